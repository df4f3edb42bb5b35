//! SMMUs that lack one thing or another: the driver does without, or says what it needs.

use hal::{Requester, StreamId, Verdict};
use smmu_driver::{Completion, Config, Event, FaultModel, SmmuError, StallModel, TableMemory};
use smmu_model::{Fault, Profile};
use smmu_spec::{id::IdRegisters, regs};

use super::driver_machine::{Driver, Machine, Right, Tables, config_for};
use super::driver_runs::{Run, on_every};

/// One access that nothing is mapped for: it ends with an abort, at once or after the driver was asked.
fn misses(machine: &Machine, driver: &mut Driver, who: Requester, may_stall: bool) {
    let outcome = machine.read(who, 0x9000);
    assert_eq!(matches!(outcome, Err(Fault::Stalled(_))), may_stall, "{outcome:?}");
    let events = machine.events(driver);
    let [Event::Fault(fault)] = events[..] else { panic!("{events:?}") };
    assert_eq!((fault.stream, fault.substream, fault.address.0), (who.stream, who.substream, 0x9000));
    assert_eq!(fault.stall.is_some(), may_stall);
    if let Some(ticket) = fault.stall {
        driver.resume(ticket, Verdict::Abort).unwrap();
        assert!(matches!(machine.take_resumed()[..], [(_, Verdict::Abort)]));
    }
}

/// What every SMMU must do: a stream with a table, a process beside it, invalidation, faults, and an end that leaves nothing.
fn lives(run: Run, profile: Profile, config: Config) {
    let machine = run.machine(profile);
    let mut driver = machine.start(config).unwrap_or_else(|e| panic!("refused: {e:?}"));
    let features = *driver.features();
    let model = features.stall_model;
    let last = (1_u64 << features.stream_bits.min(config.stream_bits)) - 1;
    let kernel = Requester { stream: StreamId(last.min(8) as u32), substream: None, privileged: false };
    let mut table = Tables::new(&machine, &mut driver);
    let faults = if model.can_stall() { FaultModel::Stall } else { FaultModel::Terminate };
    driver.attach(kernel.stream, &table.description(), faults).unwrap();
    table.map(0x7000, machine.page(0, 0x77), Right::ReadWrite);
    assert_eq!(machine.read(kernel, 0x7000), Ok(0x77));
    // The device's own faults terminate where they can.
    misses(&machine, &mut driver, kernel, model == StallModel::StallOnly);
    if features.substream_bits > 0 {
        let substream = driver.allocate_substream().unwrap();
        let user = Requester { substream: Some(substream), ..kernel };
        let mut process = Tables::new(&machine, &mut driver);
        driver.bind(kernel.stream, substream, &process.description()).unwrap();
        for round in 0..3 {
            process.map(0x7000, machine.page(1, 0x80 + round), Right::ReadWrite);
            assert_eq!(machine.read(user, 0x7000), Ok(0x80 + round));
            assert_eq!(machine.read(kernel, 0x7000), Ok(0x77));
            process.unmap(&mut driver, 0x7000);
            misses(&machine, &mut driver, user, model.can_stall());
        }
        // Late traffic of a process that has ended: quiet, but where stalls are forced the driver has to answer.
        driver.quiesce(kernel.stream, substream).unwrap();
        let late = machine.read(user, 0x7000);
        let events = machine.events(&mut driver);
        if model == StallModel::StallOnly {
            assert!(matches!(late, Err(Fault::Stalled(_))));
            assert!(matches!(events[..], [Event::Fault(fault)] if fault.stall.is_none()), "{events:?}");
            assert!(matches!(machine.take_resumed()[..], [(_, Verdict::Abort)]));
        } else {
            assert_eq!((late, events), (Err(Fault::Abort), vec![]));
        }
        driver.unbind(kernel.stream, substream).unwrap();
        driver.free_substream(substream).unwrap();
        driver.free_asid(process.asid).unwrap();
        process.free();
    }
    assert_eq!(machine.read(kernel, 0x7000), Ok(0x77));
    driver.detach(kernel.stream).unwrap();
    assert_eq!(machine.read(kernel, 0x7000), Err(Fault::Abort));
    assert_eq!(driver.handle_global_error().unwrap().active.get(), 0);
    driver.shutdown().unwrap();
    table.free();
    assert_eq!((machine.dma.live_buffers(), machine.violations()), (0, vec![]));
}

fn set(register: &mut u32, high: u32, low: u32, value: u32) {
    let mask = (u32::MAX >> (31 - high)) & (u32::MAX << low);
    *register = *register & !mask | value << low;
}

#[test]
fn sm_c23_whatever_an_smmu_lacks_the_driver_does_without() {
    type Change = fn(&mut IdRegisters);
    let idr0: [(&str, Change); 13] = [
        ("ASID16", |id| set(&mut id.idr0, 12, 12, 0)),
        ("CD2L", |id| set(&mut id.idr0, 19, 19, 0)),
        ("ST_LEVEL", |id| set(&mut id.idr0, 28, 27, 0)),
        ("MSI", |id| set(&mut id.idr0, 13, 13, 0)),
        ("SEV", |id| set(&mut id.idr0, 14, 14, 0)),
        ("HTTU", |id| set(&mut id.idr0, 7, 6, 0)),
        ("HYP", |id| set(&mut id.idr0, 9, 9, 0)),
        ("VMID16", |id| set(&mut id.idr0, 18, 18, 0)),
        ("TERM_MODEL", |id| set(&mut id.idr0, 26, 26, 1)),
        ("STALL_MODEL 1", |id| set(&mut id.idr0, 25, 24, 1)),
        ("STALL_MODEL 2", |id| set(&mut id.idr0, 25, 24, 2)),
        ("RIL", |id| set(&mut id.idr3, 10, 10, 0)),
        ("everything of IDR3", |id| id.idr3 = 0),
    ];
    on_every(|run| {
        for base in [Profile::STALL, Profile::STALL_S1] {
            for (name, change) in idr0 {
                let mut profile = base;
                profile.name = name;
                change(&mut profile.ids);
                // Entries of 2^16 streams side by side are 4 MiB: it is asked for fewer.
                let stream_bits = if name == "ST_LEVEL" { 6 } else { 16 };
                lives(run, profile, Config { stream_bits, completion: Completion::MessageOrPoll, ..Config::default() });
            }
        }
    });
}

#[test]
fn sm_c23_however_small_an_smmu_is_the_driver_fits_into_it() {
    on_every(|run| {
        let sized = |high, low, value| {
            let mut profile = Profile::STALL_S1;
            set(&mut profile.ids.idr1, high, low, value);
            profile
        };
        // SIDSIZE, SSIDSIZE, EVENTQS, CMDQS.
        for profile in [
            sized(5, 0, 0),
            sized(5, 0, 1),
            sized(5, 0, 9),
            sized(5, 0, 32),
            sized(10, 6, 0),
            sized(10, 6, 1),
            sized(10, 6, 20),
            sized(20, 16, 0),
            sized(20, 16, 1),
            sized(25, 21, 0),
            sized(25, 21, 1),
            sized(25, 21, 4),
        ] {
            lives(run, profile, Config::default());
        }
        for oas in 0..=6 {
            lives(run, Profile::STALL_S1.with_oas(oas), Config::default());
        }
        // Memory that the SMMU reads past the CPU's caches.
        let mut apart = Profile::STALL_S1;
        set(&mut apart.ids.idr0, 4, 4, 0);
        lives(run, apart, Config { memory: TableMemory::NonCacheable, ..Config::default() });
        lives(run, Profile::MIN, config_for(&Profile::MIN));
    });
}

#[test]
fn sm_c23_numbers_are_no_wider_than_the_smmu_compares() {
    on_every(|run| {
        let mut profile = Profile::STALL;
        set(&mut profile.ids.idr0, 12, 12, 0);
        set(&mut profile.ids.idr0, 18, 18, 0);
        let machine = run.machine(profile);
        let mut driver = machine.start(Config::default()).unwrap();
        let asids: Vec<_> = std::iter::from_fn(|| driver.allocate_asid().ok()).collect();
        assert_eq!((asids.len(), asids.iter().max()), (255, Some(&255)));
        assert_eq!(driver.allocate_asid(), Err(SmmuError::NoIdentifiers));
        let vmids: Vec<_> = std::iter::from_fn(|| driver.allocate_vmid().ok()).collect();
        assert_eq!((vmids.len(), vmids.iter().max()), (255, Some(&255)));
        let mut table = Tables::at(&machine, &driver, 0x100, 0);
        table.map(0x7000, machine.page(0, 1), Right::ReadWrite);
        let wide = smmu_driver::SmmuError::BadTable(smmu_driver::TableField::Asid);
        assert_eq!(driver.attach(StreamId(8), &table.description(), FaultModel::Stall), Err(wide));
        let wide = smmu_driver::SmmuError::BadTable(smmu_driver::TableField::Vmid);
        assert_eq!(driver.attach_stage2(StreamId(8), &table.stage2(0x100), FaultModel::Stall), Err(wide));
        assert_eq!(regs::SMMU_GERROR.get(&machine.model), regs::SMMU_GERRORN.get(&machine.model));
        assert_eq!(machine.violations(), []);
    });
}
