//! Bring-up, take-over and switching off, against the model.

use hal::{Pa, RegisterWindow, StreamId};
use smmu_driver::{Config, Event, FaultModel, Refusal, SmmuError, StallModel, TableMemory};
use smmu_model::{Fault, Policy, Profile};
use smmu_spec::{event::EventId, regs};

use super::driver_machine::{DATA, Machine, Right, STREAM, Tables, config_for, kernel};
use super::driver_runs::on_every;
use crate::support::Fault as Misbehaviour;

#[test]
fn sm_c07_no_traffic_passes_before_bring_up_and_none_by_default_after() {
    on_every(|run| {
        let machine = run.machine(Profile::STALL_S1);
        assert_eq!(machine.read(kernel(), DATA), Err(Fault::Abort));
        machine.set_intruder(kernel(), DATA);
        let mut driver = machine.start(Config::default()).unwrap();
        assert_eq!((machine.intrusions(), machine.read(kernel(), DATA)), (0, Err(Fault::Abort)));
        machine.drop_intruder();
        let others: Vec<_> = machine.records(&mut driver).iter().map(|r| r.id()).collect();
        assert!(others.iter().all(|id| *id == EventId::C_BAD_STREAMID), "no L1 descriptor yet: {others:?}");
        assert_eq!(machine.violations(), []);
    });
}

/// Firmware that let everything pass and left its queues and a bypassing stream table behind.
fn left_on(machine: &Machine) {
    let ste = DATA + 0x10_0000;
    for sid in 0..64 {
        machine.memory.poke64(Pa(ste + sid * 64), 9);
        machine.memory.poke64(Pa(ste + sid * 64 + 8), 1 << 44);
    }
    let window = &machine.model;
    let until = |what: &dyn Fn() -> bool| assert!((0..100).any(|_| what()), "firmware waits for its acknowledgements");
    regs::SMMU_GBPA.set(window, 1 << 31);
    until(&|| regs::SMMU_GBPA.get(window) >> 31 == 0);
    regs::SMMU_STRTAB_BASE.set(window, ste);
    regs::SMMU_STRTAB_BASE_CFG.set(window, 6);
    regs::SMMU_CMDQ_BASE.set(window, (DATA + 0x20_0000) | 3);
    regs::SMMU_CMDQ_PROD.set(window, 5);
    regs::SMMU_CMDQ_CONS.set(window, 5);
    regs::SMMU_EVENTQ_BASE.set(window, (DATA + 0x21_0000) | 2);
    regs::SMMU_EVENTQ_PROD.set(window, 3);
    regs::SMMU_EVENTQ_CONS.set(window, 1);
    regs::SMMU_IRQ_CTRL.set(window, 5);
    for cr0 in [8, 0xc, 0xd] {
        regs::SMMU_CR0.set(window, cr0);
        until(&|| regs::SMMU_CR0ACK.get(window) == cr0);
    }
    // A command that is illegal: CMDQ_ERR stays active.
    regs::SMMU_CMDQ_PROD.set(window, 6);
    assert_ne!(regs::SMMU_GERROR.get(window), regs::SMMU_GERRORN.get(window));
}

#[test]
fn sm_c24_taking_over_from_firmware_opens_no_bypass_window() {
    on_every(|run| {
        let machine = run.machine(Profile::STALL_S1);
        left_on(&machine);
        assert!(machine.read(kernel(), DATA).is_ok(), "firmware lets it pass");
        machine.violations();
        machine.set_intruder(kernel(), DATA);
        let mut driver = machine.start(Config::default()).unwrap();
        // Firmware's own table is in force until SMMUEN = 0 is acknowledged: it lets pass what comes with the first two writes, GBPA.ABORT and
        // CR0 = 0. From then on nothing passes.
        let outcomes = machine.outcomes();
        let passed = outcomes.iter().take_while(|o| o.is_ok()).count();
        assert_eq!((passed, machine.intrusions()), (if run.seed == 1 { 1 } else { 2 }, passed));
        assert_eq!(machine.read(kernel(), DATA), Err(Fault::Abort));
        let kernel_table = Tables::new(&machine, &mut driver);
        driver.attach(STREAM, &kernel_table.description(), FaultModel::Stall).unwrap();
        assert_eq!(machine.intrusions(), passed);
        assert_eq!(machine.violations(), []);
    });
}

#[test]
fn sm_c24_what_the_predecessor_left_in_the_tlb_is_gone() {
    on_every(|run| {
        let machine = run.machine(Profile::STALL_S1);
        let mut first = machine.start(Config::default()).unwrap();
        let mut old = Tables::new(&machine, &mut first);
        first.attach(STREAM, &old.description(), FaultModel::Stall).unwrap();
        old.map(0x7000, machine.page(0, 1), Right::ReadWrite);
        assert_eq!(machine.read(kernel(), 0x7000), Ok(1));
        std::mem::forget(first);
        let mut second = machine.start(Config::default()).unwrap();
        let table = Tables::new(&machine, &mut second);
        assert_eq!(table.asid, old.asid, "the same ASID, another table");
        second.attach(STREAM, &table.description(), FaultModel::Stall).unwrap();
        assert_eq!(machine.read(kernel(), 0x7000), Err(Fault::Abort));
    });
}

#[test]
fn sm_c24_bringing_up_twice_ends_in_the_same_state() {
    on_every(|run| {
        let machine = run.machine(Profile::STALL_S1);
        let state = |machine: &Machine| {
            let skip = ["SMMU_STRTAB_BASE", "SMMU_CMDQ_BASE", "SMMU_EVENTQ_BASE"];
            let regs = regs::ALL.iter().filter(|r| !skip.contains(&r.name));
            regs.map(|r| if r.bytes == 8 { machine.model.read64(r.offset) } else { u64::from(machine.model.read32(r.offset)) })
                .collect::<Vec<_>>()
        };
        let first = machine.start(Config::default()).unwrap();
        let once = state(&machine);
        assert!(machine.read(kernel(), 0x1000).is_err());
        assert_ne!(state(&machine), once, "a record of the first life");
        std::mem::forget(first);
        let second = machine.start(Config::default()).unwrap();
        assert_eq!(state(&machine), once);
        second.shutdown().unwrap();
        assert_eq!(machine.violations(), []);
    });
}

#[test]
fn sm_c08_shutdown_aborts_and_gives_all_memory_back() {
    on_every(|run| {
        let mut bench = run.attached();
        let pa = bench.machine.page(0, 7);
        bench.kernel.map(0x1000, pa, Right::ReadWrite);
        let (substream, mut tables) = bench.process();
        tables.map(0x2000, pa, Right::ReadWrite);
        assert_eq!(bench.machine.read(kernel(), 0x1000), Ok(7));
        let stalled = bench.machine.read(super::driver_machine::user(substream), 0x5000);
        assert!(matches!(stalled, Err(Fault::Stalled(_))));
        bench.machine.set_intruder(kernel(), DATA);
        bench.driver.shutdown().unwrap();
        assert_eq!(bench.machine.intrusions(), 0);
        assert_eq!(bench.machine.read(kernel(), 0x1000), Err(Fault::Abort));
        assert_eq!(bench.machine.take_resumed().len(), 1, "the stalled transaction ended");
        bench.kernel.free();
        tables.free();
        assert_eq!(bench.machine.dma.live_buffers(), 0);
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_c23_every_profile_is_served_or_refused_by_name() {
    on_every(|run| {
        for profile in Profile::ALL {
            let machine = run.machine(profile);
            let mut driver = machine.start(config_for(&profile)).unwrap_or_else(|e| panic!("{}: {e:?}", profile.name));
            let features = *driver.features();
            let mut table = Tables::new(&machine, &mut driver);
            let stall = features.stall_model == StallModel::StallOrTerminate;
            let faults = if stall { FaultModel::Stall } else { FaultModel::Terminate };
            if !stall {
                let wrong = driver.attach(STREAM, &table.description(), FaultModel::Stall);
                assert_eq!(wrong, Err(SmmuError::NoStall), "{}", profile.name);
            }
            driver.attach(STREAM, &table.description(), faults).unwrap();
            let pa = machine.page(0, 0x77);
            table.map(0x8000, pa, Right::ReadWrite);
            assert_eq!(machine.read(kernel(), 0x8000), Ok(0x77), "{}", profile.name);
            table.unmap(&mut driver, 0x8000);
            assert_eq!(machine.read(kernel(), 0x8000), Err(Fault::Abort));
            let events = machine.events(&mut driver);
            assert!(matches!(events[..], [Event::Fault(fault)] if fault.stall.is_none()), "{}: {events:?}", profile.name);
            if features.substream_bits == 0 {
                assert_eq!(driver.allocate_substream(), Err(SmmuError::NoIdentifiers));
            }
            driver.detach(STREAM).unwrap();
            driver.shutdown().unwrap();
            table.free();
            assert_eq!((machine.dma.live_buffers(), machine.violations()), (0, vec![]), "{}", profile.name);
        }
        let machine = run.machine(Profile::MIN);
        assert_eq!(machine.start(Config::default()).err(), Some(SmmuError::Refused(Refusal::NotCoherent)));
        let non_cacheable = Config { memory: TableMemory::NonCacheable, ..Config::default() };
        assert!(machine.start(non_cacheable).is_ok());
    });
}

#[test]
fn sm_c04_an_acknowledge_that_never_comes_is_a_named_error_within_the_deadline() {
    on_every(|run| {
        for (register, name) in [
            (regs::SMMU_CR0ACK.info.offset, "SMMU_CR0ACK"),
            (regs::SMMU_IRQ_CTRLACK.info.offset, "SMMU_IRQ_CTRLACK"),
            (regs::SMMU_GBPA.info.offset, "SMMU_GBPA"),
        ] {
            let machine = run.machine(Profile::STALL_S1);
            machine.window.inject(Misbehaviour::Stuck { offset: register, value: 0x8000_0002 });
            let before = machine.clock.micros();
            let error = machine.start(Config::default()).err().expect("an error");
            let SmmuError::Timeout(timeout) = error else { panic!("{error:?}") };
            assert_eq!((timeout.register, timeout.seen), (name, 0x8000_0002));
            assert!(machine.clock.micros() - before < 3_000_000, "it gave up after {} us", machine.clock.micros() - before);
        }
    });
}

#[test]
fn every_allocation_of_bring_up_and_attach_fails_in_turn_without_a_leak() {
    let machine = Machine::new(Profile::STALL_S1, Policy::Sticky);
    for n in 0.. {
        machine.dma.fail_after(Some(n));
        match machine.start(Config::default()) {
            Err(error) => assert!(matches!(error, SmmuError::Memory(_)), "{error:?}"),
            Ok(driver) => {
                assert_eq!(n, 3);
                driver.shutdown().unwrap();
                break;
            }
        }
        assert_eq!(machine.dma.live_buffers(), 0);
    }
    machine.dma.fail_after(None);
    let mut driver = machine.start(Config::default()).unwrap();
    let table = Tables::new(&machine, &mut driver);
    for n in 0.. {
        machine.dma.fail_after(Some(n));
        match driver.attach(STREAM, &table.description(), FaultModel::Stall) {
            Err(error) => assert!(matches!(error, SmmuError::Memory(_)), "{error:?}"),
            Ok(()) => break,
        }
        assert_eq!(machine.read(kernel(), 0x1000), Err(Fault::Abort));
    }
    machine.dma.fail_after(None);
    driver.detach(STREAM).unwrap();
    driver.attach(STREAM, &table.description(), FaultModel::Stall).expect("a second try succeeds");
    driver.shutdown().unwrap();
    table.free();
    assert_eq!(machine.dma.live_buffers(), 0);
}

#[test]
fn streams_bypass_abort_and_translate_side_by_side() {
    on_every(|run| {
        let mut bench = run.attached();
        let pa = bench.machine.page(3, 0x33);
        let far = StreamId(0x1234);
        let passing = hal::Requester { stream: far, ..kernel() };
        assert_eq!(bench.machine.read(passing, pa), Err(Fault::Abort));
        bench.driver.attach_bypass(far).unwrap();
        assert_eq!(bench.machine.read(passing, pa), Ok(0x33));
        assert_eq!(bench.machine.read(kernel(), pa), Err(Fault::Abort), "this one has a table, an empty one");
        let neighbour = hal::Requester { stream: StreamId(0x1235), ..kernel() };
        assert_eq!(bench.machine.read(neighbour, pa), Err(Fault::Abort));
        bench.driver.detach(far).unwrap();
        assert_eq!(bench.machine.read(passing, pa), Err(Fault::Abort));
        assert_eq!(bench.machine.violations(), []);
    });
}
