//! The command queue at small sizes and under errors; barriers.

use hal::{Pa, RegisterWindow, Va};
use smmu_driver::{CommandError, Config, Event, FaultModel, Leaf, ReportLimit, SmmuError};
use smmu_model::{Fault, Policy, Profile, Trace, Tracing};
use smmu_spec::{irq, regs};

use super::driver_machine::{Attached, Machine, POLICIES, Right, STREAM, Tables, kernel, user};
use super::driver_runs::{Run, on_every};
use crate::support::Fault as Misbehaviour;

fn bench_with(run: Run, command_queue_log2: u8) -> Attached {
    let config = Config { command_queue_log2, ..Config::default() };
    run.attached_with(Profile::STALL_S1, config, FaultModel::Stall)
}

#[test]
fn sm_i12_no_command_is_lost_or_repeated_at_any_queue_size() {
    on_every(|run| {
        for log2 in 0..=4 {
            let mut bench = bench_with(run, log2);
            let (process, mut tables) = bench.process();
            let before = bench.machine.model.device().model.counters().commands;
            // A range of 0x5555 pages takes three commands (21 pages, 21 times 64, 5 times 4,096) and a CMD_SYNC: more than the small queues hold.
            // With the answer to the fault that is five a round: twelve laps of the largest.
            for round in 0..40_u64 {
                tables.map(0x40_0000, bench.machine.page(0, round), Right::ReadWrite);
                assert_eq!(bench.machine.read(user(process), 0x40_0000), Ok(round), "log2 {log2}");
                tables.store(0x40_0000, 0);
                bench.driver.invalidate_range(tables.asid, Va(0x40_0000), 0x5555 * 0x1000, Leaf::Only).unwrap();
                assert!(matches!(bench.machine.read(user(process), 0x40_0000), Err(Fault::Stalled(_))), "log2 {log2} round {round}");
                bench.machine.dma.take_interrupt();
                bench.driver.handle_events(|_| Some(hal::Verdict::Abort)).unwrap();
                assert_eq!(bench.machine.take_resumed().len(), 1);
            }
            let commands = bench.machine.model.device().model.counters().commands - before;
            assert_eq!(commands, 40 * 5, "log2 {log2}");
            assert_eq!(bench.machine.violations(), []);
        }
    });
}

#[test]
fn sm_i12_a_queue_that_never_empties_is_an_error_within_the_deadline() {
    on_every(|run| {
        let mut bench = bench_with(run, 1);
        let stuck = u64::from(bench.machine.model.read32(regs::SMMU_CMDQ_CONS.offset()));
        bench.machine.window.inject(Misbehaviour::WritesLost { offset: regs::SMMU_CMDQ_PROD.offset() });
        bench.machine.window.inject(Misbehaviour::Stuck { offset: regs::SMMU_CMDQ_CONS.offset(), value: stuck });
        let before = bench.machine.clock.micros();
        let error = bench.driver.invalidate_range(1, Va(0), 0x5555 * 0x1000, Leaf::Only).unwrap_err();
        assert!(matches!(error, SmmuError::Timeout(t) if t.register == "SMMU_CMDQ_CONS"), "{error:?}");
        assert!(bench.machine.clock.micros() - before < 2_000_000);
        assert_eq!(bench.driver.invalidate_all(), Err(SmmuError::Dead), "and no second wait");
    });
}

#[test]
fn sm_i11_a_refused_command_is_repaired_and_the_caller_is_told() {
    on_every(|run| {
        // An SMMU whose IDR3 promises ranges that it does not have refuses the range form.
        let mut lying = Profile::STALL_S1;
        lying.ids.idr3 &= !(1 << 10);
        let machine = run.machine(lying);
        let honest = Profile::STALL_S1.ids.idr3;
        machine.window.inject(Misbehaviour::Stuck { offset: regs::SMMU_IDR3.offset(), value: u64::from(honest) });
        let mut driver = machine.start(Config::default()).unwrap();
        let mut tables = Tables::new(&machine, &mut driver);
        driver.attach(STREAM, &tables.description(), FaultModel::Stall).unwrap();
        tables.map(0x7000, machine.page(0, 1), Right::ReadWrite);
        machine.irq.take_all();
        let error = driver.invalidate_range(tables.asid, Va(0x7000), 0x2000, Leaf::Only).unwrap_err();
        let SmmuError::Command(failure) = error else { panic!("{error:?}") };
        assert_eq!((failure.error, failure.command[0] & 0xff), (CommandError::Illegal, 0x12));
        assert_eq!(machine.irq.take(irq::GERROR), 1);
        assert_eq!(driver.handle_global_error().unwrap().active.get(), 0, "nothing is left to acknowledge");
        assert_eq!(machine.read(kernel(), 0x7000), Ok(1));
        driver.invalidate_asid(tables.asid).expect("the queue goes on");
    });
}

#[test]
fn sm_i11_an_illegal_command_in_the_middle_stops_nobody() {
    on_every(|run| {
        let mut bench = run.attached();
        let (process, mut tables) = bench.process();
        tables.map(0x7000, bench.machine.page(0, 1), Right::ReadWrite);
        assert_eq!(bench.machine.read(user(process), 0x7000), Ok(1));
        bench.spoil_next_command();
        tables.store(0x7000, 0);
        let error = bench.driver.invalidate_range(tables.asid, Va(0x7000), 0x1000, Leaf::Only).unwrap_err();
        let SmmuError::Command(failure) = error else { panic!("{error:?}") };
        assert_eq!(failure.error, CommandError::Illegal);
        bench.driver.invalidate_range(tables.asid, Va(0x7000), 0x1000, Leaf::Only).expect("tried again, it works");
        assert!(matches!(bench.machine.read(user(process), 0x7000), Err(Fault::Stalled(_))));
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_i11_a_refused_command_that_nobody_waits_for_is_repaired_by_the_error_interrupt() {
    on_every(|run| {
        let mut bench = run.attached();
        let (process, mut tables) = bench.process();
        assert!(matches!(bench.machine.read(user(process), 0x7000), Err(Fault::Stalled(_))));
        let events = bench.machine.events(&mut bench.driver);
        let [Event::Fault(fault)] = events[..] else { panic!("{events:?}") };
        // The answer lies unread in memory when a stray store makes its opcode a reserved one.
        let prod = regs::SMMU_CMDQ_PROD.offset();
        let base = regs::SMMU_CMDQ_BASE.get(&bench.machine.model) & 0x00ff_ffff_ffff_ffe0;
        let told = bench.machine.model.read32(prod);
        bench.machine.window.inject(Misbehaviour::WriteLostOnce { offset: prod, nth: 0 });
        bench.driver.resume(fault.stall.expect("a ticket"), hal::Verdict::Abort).expect("on its way");
        bench.machine.memory.poke64(Pa(base + u64::from(told & 0xff) * 16), 0xff);
        bench.machine.irq.take_all();
        bench.machine.model.write32(prod, (told + 1) & 0x1ff);
        assert_eq!(bench.machine.irq.take(irq::GERROR), 1);
        let errors = bench.driver.handle_global_error().unwrap();
        assert!(errors.active.is_set(regs::GERROR::CMDQ_ERR) && errors.recovery.is_ok());
        let failure = errors.command.expect("the command that was refused");
        assert_eq!((failure.error, failure.command[0]), (CommandError::Illegal, 0xff));
        let errors = bench.driver.handle_global_error().unwrap();
        assert!(errors.active.get() == 0 && errors.command.is_none(), "told once");
        // The queue goes on, and who cuts the stream off ends what was not answered.
        tables.map(0x8000, bench.machine.page(0, 8), Right::ReadWrite);
        bench.driver.invalidate_asid(tables.asid).expect("the queue goes on");
        assert_eq!(bench.machine.take_resumed(), []);
        bench.driver.block(STREAM).unwrap();
        assert!(matches!(bench.machine.take_resumed()[..], [(_, hal::Verdict::Abort)]));
        bench.driver.unblock(STREAM).unwrap();
        assert_eq!(bench.machine.read(user(process), 0x8000), Ok(8));
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_i10_a_queue_in_a_hole_is_tried_again_and_then_given_up() {
    on_every(|run| {
        let ring = |bench: &Attached| Pa(regs::SMMU_CMDQ_BASE.get(&bench.machine.model) & 0x00ff_ffff_ffff_ffe0);
        let mut bench = run.attached();
        bench.machine.memory.hide_from_devices(ring(&bench), 4096, true);
        let error = bench.driver.invalidate_all().unwrap_err();
        assert!(matches!(error, SmmuError::Command(failure) if failure.error == CommandError::QueueAbort), "{error:?}");
        assert_eq!(bench.driver.invalidate_all(), Err(SmmuError::Dead));
        // Memory that comes back in time is enough. The doorbell is lost once, so that the queue's state can be changed before it is read.
        let mut bench = run.attached();
        bench.machine.window.inject(Misbehaviour::WriteLostOnce { offset: regs::SMMU_CMDQ_PROD.offset(), nth: 0 });
        let (memory, model, at) = (bench.machine.memory.clone(), bench.machine.model.clone(), ring(&bench));
        let rung = std::cell::Cell::new(false);
        bench.machine.clock.on_relax(move || {
            if !rung.replace(true) {
                memory.hide_from_devices(at, 4096, true);
                let told = model.read32(regs::SMMU_CMDQ_PROD.offset());
                model.write32(regs::SMMU_CMDQ_PROD.offset(), told + 2);
                memory.hide_from_devices(at, 4096, false);
            }
        });
        let error = bench.driver.invalidate_all().unwrap_err();
        assert!(matches!(error, SmmuError::Command(failure) if failure.error == CommandError::QueueAbort), "{error:?}");
        bench.driver.invalidate_all().expect("it went on where it had stopped");
        assert_eq!(bench.machine.violations(), []);
    });
}

/// Runs a row in every combination, with ten orders each in which stores leave the CPU.
fn on_every_order(row: impl Fn(&Machine)) {
    on_every(|run| {
        for order in 0..10 {
            row(&Machine::with_early_stores(Profile::STALL_S1, run.policy, u64::from(100 * run.seed + order)));
        }
    });
}

#[test]
fn sm_i18_commands_are_visible_before_the_index_that_announces_them() {
    let machine = Machine::new(Profile::STALL_S1, Policy::Sticky);
    machine.dma.break_barriers(true, false);
    assert!(machine.start(Config::default()).is_err(), "without dma_wmb the SMMU reads what was there before");
    on_every_order(|machine| {
        // With it, the order in which single stores leave the CPU does not matter.
        let mut driver = machine.start(Config::default()).unwrap();
        let mut tables = Tables::new(machine, &mut driver);
        driver.attach(STREAM, &tables.description(), FaultModel::Stall).unwrap();
        tables.map(0x7000, machine.page(0, 1), Right::ReadWrite);
        assert_eq!(machine.read(kernel(), 0x7000), Ok(1));
        tables.unmap(&mut driver, 0x7000);
        assert_eq!(machine.read(kernel(), 0x7000), Err(Fault::Abort));
    });
}

#[test]
fn sm_i18_no_structure_is_reachable_before_its_contents() {
    on_every_order(|machine| {
        let mut driver = machine.start(Config::default()).unwrap();
        let mut tables = Tables::new(machine, &mut driver);
        tables.map(0x7000, machine.page(0, 1), Right::ReadWrite);
        // The device reads whenever a store has left the CPU early, through the streams and contexts that are being made.
        let model = machine.model.clone();
        let seen = std::rc::Rc::new(std::cell::RefCell::new(std::collections::BTreeSet::new()));
        let ids = seen.clone();
        machine.model.device().model.set_tracing(Tracing::On);
        machine.dma.on_release(move || {
            for who in [kernel(), user(hal::SubstreamId(1)), hal::Requester { stream: hal::StreamId(0x208), ..kernel() }] {
                let _ = model.device().translate(who, 0x7000, hal::AccessKind::Read);
            }
            while let Some(step) = model.device().model.take_trace() {
                if let Trace::Event(record) | Trace::EventLost(record) = step {
                    ids.borrow_mut().insert(record.id().0);
                }
            }
        });
        driver.attach(STREAM, &tables.description(), FaultModel::Stall).unwrap();
        let (process, mut process_tables) = (driver.allocate_substream().unwrap(), Tables::new(machine, &mut driver));
        process_tables.map(0x7000, machine.page(1, 2), Right::ReadWrite);
        driver.bind(STREAM, process, &process_tables.description()).unwrap();
        driver.attach_bypass(hal::StreamId(0x208)).unwrap();
        driver.unbind(STREAM, process).unwrap();
        driver.detach(hal::StreamId(0x208)).unwrap();
        // No entry of an unwritten array, no half-written context: only what the sequences themselves show.
        let seen = seen.borrow();
        assert!(seen.iter().all(|id| [0x02, 0x0a].contains(id)), "events {seen:x?}");
        assert_eq!(machine.violations(), []);
    });
}

#[test]
fn sm_i18_records_are_not_older_than_the_index_that_covers_them() {
    on_every(|run| {
        for broken in [true, false] {
            let config = Config { reports: ReportLimit::NONE, ..Config::default() };
            let mut bench = run.attached_with(Profile::STALL_S1, config, FaultModel::Stall);
            let mut right = true;
            for lap in 0..3_u64 {
                // Three laps of the queue, in batches.
                for batch in 0..16 {
                    for i in 0..8 {
                        let iova = 0x10_0000 + (lap * 128 + batch * 8 + i) * 0x1000;
                        assert_eq!(bench.machine.read(kernel(), iova), Err(Fault::Abort));
                    }
                    bench.machine.dma.break_barriers(false, broken);
                    for i in 0..8 {
                        let expected = 0x10_0000 + (lap * 128 + batch * 8 + i) * 0x1000;
                        let event = bench.driver.next_event().unwrap();
                        right &= matches!(event, Some(Event::Fault(fault)) if fault.address.0 == expected);
                    }
                    bench.machine.dma.break_barriers(false, false);
                }
            }
            assert_eq!(right, !broken, "the barrier decides");
        }
    });
}

#[test]
fn an_event_index_of_garbage_is_not_followed() {
    for value in [0xf_ffff, 0x1ff, 129] {
        let mut bench = Attached::new(Policy::Sticky);
        bench.machine.window.inject(Misbehaviour::ReadOnce { offset: regs::SMMU_EVENTQ_PROD.offset(), nth: 0, value });
        assert_eq!(bench.driver.next_event(), Err(SmmuError::BadIndex { register: "SMMU_EVENTQ_PROD", seen: value as u32 }));
        assert_eq!(bench.driver.next_event(), Ok(None), "once");
    }
}

#[test]
fn all_policies_give_the_same_answers_over_a_random_life() {
    let mut outcomes = Vec::new();
    for policy in POLICIES {
        let mut bench = Attached::new(policy);
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut processes: Vec<_> = (0..4).map(|_| bench.process()).collect();
        let mut outcome = Vec::new();
        for step in 0..1500_u64 {
            let at = next(4) as usize;
            let va = 0x10_0000 + next(24) * 0x1000;
            match next(8) {
                0 | 1 => {
                    // Break before make.
                    let page = bench.machine.page(step % 64, step);
                    let (_, tables) = &mut processes[at];
                    tables.unmap(&mut bench.driver, va);
                    tables.map(va, page, Right::ReadWrite);
                }
                2 => processes[at].1.unmap(&mut bench.driver, va),
                3 if step % 10 == 0 => {
                    let (substream, tables) = processes.swap_remove(at);
                    bench.driver.unbind(STREAM, substream).unwrap();
                    bench.driver.free_asid(tables.asid).unwrap();
                    bench.driver.free_substream(substream).unwrap();
                    tables.free();
                    let fresh = bench.process();
                    processes.insert(at, fresh);
                }
                _ => {
                    let result = bench.machine.read(user(processes[at].0), va);
                    outcome.push(result.ok());
                    if result.is_err() {
                        bench.machine.dma.take_interrupt();
                        bench.driver.handle_events(|_| Some(hal::Verdict::Abort)).unwrap();
                        bench.machine.take_resumed();
                    }
                }
            }
        }
        assert_eq!(bench.machine.violations(), [], "{policy:?}");
        outcomes.push(outcome);
    }
    assert!(outcomes[0].iter().filter(|o| o.is_some()).count() > 50);
    for (policy, outcome) in POLICIES.iter().zip(&outcomes) {
        assert_eq!(*outcome, outcomes[0], "{policy:?} against always-miss");
    }
}
