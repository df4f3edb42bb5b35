//! How the end of commands is noticed: by register, by message, by event, by interrupt; and what happens when that fails.

use hal::{Pa, RegisterWindow, Va};
use smmu_driver::{Completion, Config, FaultModel, Leaf, Refusal, SmmuError};
use smmu_model::{Fault, Profile};
use smmu_spec::{irq, regs};

use super::driver_machine::{Attached, Right, STREAM, config_for, kernel, user};
use super::driver_runs::{Run, on_every};
use crate::support::Fault as Misbehaviour;

const ALL: [Completion; 5] = [Completion::Poll, Completion::Message, Completion::MessageOrPoll, Completion::Event, Completion::Interrupt];

fn bench(run: Run, completion: Completion) -> Attached {
    run.attached_with(Profile::STALL, Config { completion, ..Config::default() }, FaultModel::Stall)
}

/// A page of a process mapped, read, unmapped, out of reach.
fn map_and_unmap(bench: &mut Attached, rounds: u64) {
    let (process, mut tables) = bench.process();
    for round in 0..rounds {
        tables.map(0x7000, bench.machine.page(0, round), Right::ReadWrite);
        assert_eq!(bench.machine.read(user(process), 0x7000), Ok(round));
        tables.unmap(&mut bench.driver, 0x7000);
        assert!(matches!(bench.machine.read(user(process), 0x7000), Err(Fault::Stalled(_))), "round {round}");
        bench.machine.dma.take_interrupt();
        bench.driver.handle_events(|_| Some(hal::Verdict::Abort)).unwrap();
        bench.machine.take_resumed();
    }
    bench.driver.unbind(STREAM, process).unwrap();
    bench.driver.free_asid(tables.asid).unwrap();
    bench.driver.free_substream(process).unwrap();
    tables.free();
}

#[test]
fn sm_i08_commands_are_done_when_the_call_returns_however_completion_is_noticed() {
    on_every(|run| {
        for completion in ALL {
            let mut bench = bench(run, completion);
            bench.machine.irq.take_all();
            let before = bench.machine.model.device().model.counters();
            map_and_unmap(&mut bench, 20);
            let sent = bench.machine.model.device().model.counters();
            let interrupts = bench.machine.irq.take(irq::CMDQ_SYNC);
            match completion {
                Completion::Event => assert!(sent.sev - before.sev >= 20 && interrupts == 0),
                Completion::Poll => assert_eq!((sent.sev - before.sev, interrupts), (0, 0)),
                _ => assert!(interrupts >= 20 && sent.sev == before.sev),
            }
            assert_eq!(bench.driver.handle_global_error().unwrap().active.get(), 0);
            assert_eq!(bench.machine.violations(), [], "{completion:?}");
            bench.driver.shutdown().unwrap();
        }
    });
}

#[test]
fn sm_i08_a_message_spares_the_register_and_is_never_taken_for_an_older_one() {
    on_every(|run| {
        let mut bench = bench(run, Completion::Message);
        // The register shows garbage: nobody looks at it as long as messages come.
        let offset = regs::SMMU_CMDQ_CONS.offset();
        bench.machine.window.inject(Misbehaviour::Stuck { offset, value: 0xf_ffff });
        map_and_unmap(&mut bench, 20);
        // The doorbell is lost: the message of the invalidation before must not do for this one.
        bench.machine.window.heal();
        bench.machine.window.inject(Misbehaviour::WritesLost { offset: regs::SMMU_CMDQ_PROD.offset() });
        let before = bench.machine.clock.micros();
        let error = bench.driver.invalidate_asid(1).unwrap_err();
        assert!(matches!(error, SmmuError::Timeout(t) if t.register == "SMMU_CMDQ_CONS"), "{error:?}");
        assert!(bench.machine.clock.micros() - before < 3_000_000, "bounded");
        assert_eq!(bench.driver.invalidate_asid(1), Err(SmmuError::Dead));
    });
}

#[test]
fn sm_i08_a_message_that_cannot_be_written_costs_no_command_and_ends_the_use_of_messages() {
    on_every(|run| {
        let mut bench = bench(run, Completion::Message);
        let (process, mut tables) = bench.process();
        tables.map(0x7000, bench.machine.page(0, 1), Right::ReadWrite);
        assert_eq!(bench.machine.read(user(process), 0x7000), Ok(1));
        // The word that messages go to: the last CMD_SYNC in the queue names it.
        let base = regs::SMMU_CMDQ_BASE.get(&bench.machine.model) & 0x00ff_ffff_ffff_ffe0;
        let last = bench.machine.model.read32(regs::SMMU_CMDQ_PROD.offset()).wrapping_sub(1) & 0xff;
        let word = bench.machine.memory.peek64(Pa(base + u64::from(last) * 16 + 8));
        assert_ne!(word, 0, "a message was asked for");
        bench.machine.memory.hide_from_devices(Pa(word), 64, true);
        bench.machine.irq.take_all();
        tables.unmap(&mut bench.driver, 0x7000);
        assert!(matches!(bench.machine.read(user(process), 0x7000), Err(Fault::Stalled(_))));
        assert_eq!(bench.machine.irq.take(irq::GERROR), 1, "the SMMU says so");
        let errors = bench.driver.handle_global_error().unwrap();
        assert!(errors.active.is_set(regs::GERROR::MSI_CMDQ_ABT_ERR) && errors.recovery.is_ok());
        map_and_unmap(&mut bench, 3);
        assert_eq!(bench.driver.handle_global_error().unwrap().active.get(), 0, "no second attempt");
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_i11_commands_are_repaired_while_a_message_is_waited_for() {
    on_every(|run| {
        let mut bench = bench(run, Completion::Message);
        let (process, mut tables) = bench.process();
        tables.map(0x7000, bench.machine.page(0, 1), Right::ReadWrite);
        assert_eq!(bench.machine.read(user(process), 0x7000), Ok(1));
        bench.spoil_next_command();
        tables.store(0x7000, 0);
        let error = bench.driver.invalidate_range(tables.asid, Va(0x7000), 0x1000, Leaf::Only).unwrap_err();
        assert!(matches!(error, SmmuError::Command(_)), "{error:?}");
        bench.driver.invalidate_range(tables.asid, Va(0x7000), 0x1000, Leaf::Only).expect("tried again, it works");
        assert!(matches!(bench.machine.read(user(process), 0x7000), Err(Fault::Stalled(_))));
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_c23_completion_that_the_smmu_does_not_have_is_refused_by_name() {
    on_every(|run| {
        for profile in [Profile::MIN, Profile::QEMU72] {
            let machine = run.machine(profile);
            let with = |completion| Config { completion, ..config_for(&profile) };
            assert_eq!(machine.start(with(Completion::Message)).err(), Some(SmmuError::Refused(Refusal::NoMessages)));
            assert_eq!(machine.start(with(Completion::Event)).err(), Some(SmmuError::Refused(Refusal::NoWakeEvent)));
            for completion in [Completion::MessageOrPoll, Completion::Interrupt] {
                machine.start(with(completion)).expect("served").shutdown().expect("off");
            }
            assert_eq!(machine.dma.live_buffers(), 0);
        }
    });
}

#[test]
fn sm_i10_a_stream_is_aborted_while_the_queue_cannot_be_read() {
    on_every(|run| {
        for completion in ALL {
            let mut bench = bench(run, completion);
            bench.kernel.map(0x1000, bench.machine.page(0, 1), Right::ReadWrite);
            assert_eq!(bench.machine.read(kernel(), 0x1000), Ok(1));
            let base = regs::SMMU_CMDQ_BASE.get(&bench.machine.model) & 0x00ff_ffff_ffff_ffe0;
            bench.machine.memory.hide_from_devices(Pa(base), 4096, true);
            let error = bench.driver.invalidate_all().unwrap_err();
            assert!(matches!(error, SmmuError::Command(_)), "{completion:?}: {error:?}");
            assert_eq!(bench.driver.invalidate_all(), Err(SmmuError::Dead));
            bench.driver.shutdown().expect("registers suffice to switch it off");
            assert_eq!(bench.machine.read(kernel(), 0x1000), Err(Fault::Abort));
        }
    });
}
