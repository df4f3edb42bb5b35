//! Streams that change their way, tables that the caller builds for one SubstreamID, and what traffic meets meanwhile.

use hal::{Requester, StreamId, SubstreamId, Verdict};
use smmu_driver::{Config, Event, FaultModel, SmmuError, Untagged};
use smmu_model::{Fault, Profile};
use smmu_spec::event::EventId;

use super::driver_machine::{DATA, Driver, Machine, Right, STAGE2_RW, STREAM, Tables, kernel, user};
use super::driver_runs::{Run, on_every};

fn start(run: Run, profile: Profile) -> (Machine, Driver) {
    let machine = run.machine(profile);
    let driver = machine.start(Config::default()).expect("the driver comes up");
    (machine, driver)
}

/// A table that maps the first data page to itself.
fn identity(machine: &Machine, driver: &mut Driver) -> Tables {
    let mut table = Tables::new(machine, driver);
    table.map(DATA, machine.page(0, 0x1d), Right::ReadWrite);
    table
}

#[test]
fn sm_c20_passing_translating_and_stage_2_follow_one_another_without_a_gap() {
    on_every(|run| {
        let (machine, mut driver) = start(run, Profile::STALL);
        let table = identity(&machine, &mut driver);
        driver.attach_bypass(STREAM).unwrap();
        assert_eq!(machine.read(kernel(), DATA), Ok(0x1d));
        machine.set_intruder(kernel(), DATA);
        // Stores that leave early show an entry half written, if it ever is.
        let (model, gaps) = (machine.model.clone(), std::rc::Rc::new(std::cell::Cell::new(0)));
        let counted = gaps.clone();
        machine.dma.on_release(move || {
            let outcome = model.device().translate(kernel(), DATA, hal::AccessKind::Read);
            counted.set(counted.get() + u32::from(outcome.is_err()));
        });
        driver.attach(STREAM, &table.description(), FaultModel::Stall).unwrap();
        for untagged in [Untagged::Bypass, Untagged::Table, Untagged::Bypass] {
            driver.set_untagged(STREAM, untagged).unwrap();
        }
        let outcomes = machine.outcomes();
        assert!(outcomes.len() > 5 && outcomes.iter().all(|o| *o == Ok(0x1d)), "{outcomes:?}");
        assert_eq!(gaps.get(), 0);
        // Away and back: aborts from a moment on, and never anything else.
        let abort = |o: &Result<u64, Fault>| *o == Err(Fault::Abort);
        machine.set_intruder(kernel(), DATA);
        driver.block(STREAM).unwrap();
        let outcomes = machine.outcomes();
        let from = outcomes.iter().position(abort).expect("it is cut off");
        assert!(outcomes[from..].iter().all(abort), "{outcomes:?}");
        driver.unblock(STREAM).unwrap();
        driver.detach(STREAM).unwrap();
        // Passing to stage 2, on one that passes again.
        let vmid = driver.allocate_vmid().unwrap();
        let mut stage2 = Tables::at(&machine, &driver, 0, 0);
        stage2.store(DATA, machine.page(0, 0x1d) | STAGE2_RW);
        hal::Barriers::dma_wmb(&machine.dma);
        driver.attach_abort(STREAM).unwrap();
        assert_eq!(machine.read(kernel(), DATA), Err(Fault::Abort));
        driver.attach_bypass(STREAM).unwrap();
        gaps.set(0);
        machine.set_intruder(kernel(), DATA);
        driver.attach_stage2(STREAM, &stage2.stage2(vmid), FaultModel::Stall).unwrap();
        let outcomes = machine.outcomes();
        assert!(outcomes.len() >= 2 && outcomes.iter().all(|o| *o == Ok(0x1d)), "{outcomes:?}");
        assert_eq!((gaps.get(), machine.events(&mut driver), machine.violations()), (0, vec![], vec![]));
        assert_eq!(driver.attach_bypass(STREAM), Err(SmmuError::StreamBusy(STREAM)), "one that translates is let go first");
    });
}

#[test]
fn sm_c21_contexts_come_and_go_without_a_gap_for_their_neighbours() {
    on_every(|run| {
        let mut bench = run.attached();
        let (steady, mut tables) = bench.process();
        tables.map(0x7000, bench.machine.page(0, 0x57), Right::ReadWrite);
        assert_eq!(bench.machine.read(user(steady), 0x7000), Ok(0x57));
        bench.machine.set_intruder(user(steady), 0x7000);
        for _ in 0..20 {
            let (other, other_tables) = bench.process();
            bench.driver.quiesce(STREAM, other).unwrap();
            bench.driver.unbind(STREAM, other).unwrap();
            bench.driver.free_substream(other).unwrap();
            bench.driver.free_asid(other_tables.asid).unwrap();
            other_tables.free();
        }
        let outcomes = bench.machine.outcomes();
        assert!(outcomes.len() > 100 && outcomes.iter().all(|o| *o == Ok(0x57)));
        // A release is hitless for its own traffic: it ends in the quiet abort, never in a record of an illegal context.
        bench.machine.set_intruder(user(steady), 0x7000);
        bench.driver.quiesce(STREAM, steady).unwrap();
        let outcomes = bench.machine.outcomes();
        assert!(outcomes.iter().all(|o| matches!(o, Ok(0x57) | Err(Fault::Abort))), "{outcomes:?}");
        bench.machine.drop_intruder();
        assert_eq!((bench.machine.events(&mut bench.driver), bench.machine.violations()), (vec![], vec![]));
    });
}

#[test]
fn sm_c22_a_change_of_two_words_aborts_meanwhile_and_never_mixes() {
    on_every(|run| {
        let mut bench = run.attached();
        bench.kernel.map(0x1000, bench.machine.page(0, 1), Right::ReadWrite);
        let mut next = Tables::new(&bench.machine, &mut bench.driver);
        next.map(0x1000, bench.machine.page(1, 2), Right::ReadWrite);
        assert_eq!(bench.machine.read(kernel(), 0x1000), Ok(1));
        bench.machine.set_intruder(kernel(), 0x1000);
        bench.driver.replace_kernel_table(STREAM, &next.description()).unwrap();
        let outcomes = bench.machine.outcomes();
        bench.machine.drop_intruder();
        // Old, then nothing, then new: in this order.
        let stage = |o: &Result<u64, Fault>| match o {
            Ok(1) => 0,
            Err(Fault::Abort) => 1,
            Ok(2) => 2,
            other => panic!("{other:?}"),
        };
        assert!(outcomes.windows(2).all(|w| stage(&w[0]) <= stage(&w[1])), "{outcomes:?}");
        assert_eq!(outcomes.last(), Some(&Ok(2)));
        let ids: Vec<_> = bench.machine.records(&mut bench.driver).iter().map(|r| r.id()).collect();
        assert!(ids.iter().all(|id| *id == EventId::C_BAD_CD), "{ids:?}");
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_p04_traffic_without_substream_aborts_passes_or_uses_the_table() {
    on_every(|run| {
        let (machine, mut driver) = start(run, Profile::STALL_S1);
        let page = machine.page(0, 0x1d);
        driver.attach_tagged(STREAM, Untagged::Abort, FaultModel::Stall).unwrap();
        let process = driver.allocate_substream().unwrap();
        let mut tables = Tables::new(&machine, &mut driver);
        tables.map(0x7000, page, Right::ReadWrite);
        driver.bind(STREAM, process, &tables.description()).unwrap();
        for _ in 0..2 {
            assert_eq!(machine.read(kernel(), DATA), Err(Fault::Abort));
            let ids: Vec<_> = machine.records(&mut driver).iter().map(|r| r.id()).collect();
            assert_eq!(ids, [EventId::F_STREAM_DISABLED]);
            assert_eq!(machine.read(user(process), 0x7000), Ok(0x1d));
            // A change leaves the SubstreamIDs alone.
            machine.set_intruder(user(process), 0x7000);
            driver.set_untagged(STREAM, Untagged::Bypass).unwrap();
            assert_eq!(machine.read(kernel(), DATA), Ok(0x1d));
            driver.set_untagged(STREAM, Untagged::Abort).unwrap();
            assert!(machine.outcomes().iter().all(|o| *o == Ok(0x1d)));
            machine.drop_intruder();
        }
        assert_eq!(driver.set_untagged(STREAM, Untagged::Table), Err(SmmuError::NoKernelTable(STREAM)));
        assert_eq!(driver.replace_kernel_table(STREAM, &tables.description()), Err(SmmuError::NoKernelTable(STREAM)));
        let other = StreamId(0x44);
        assert_eq!(driver.attach_tagged(other, Untagged::Table, FaultModel::Stall), Err(SmmuError::NoKernelTable(other)));
        // With a table the third way is open.
        let mut table = Tables::new(&machine, &mut driver);
        table.map(0x3000, page, Right::ReadWrite);
        driver.attach(other, &table.description(), FaultModel::Stall).unwrap();
        let of = Requester { stream: other, ..kernel() };
        assert_eq!((machine.read(of, 0x3000), machine.read(of, DATA)), (Ok(0x1d), Err(Fault::Abort)));
        driver.set_untagged(other, Untagged::Bypass).unwrap();
        assert_eq!(machine.read(of, DATA), Ok(0x1d));
        driver.set_untagged(other, Untagged::Table).unwrap();
        assert_eq!(machine.read(of, 0x3000), Ok(0x1d));
        assert_eq!(machine.violations(), []);
        // Where there are no SubstreamIDs there is nothing to choose.
        let (_machine, mut driver) = start(run, Profile::QEMU72);
        let zero = SmmuError::SubstreamOutOfRange(SubstreamId(0));
        assert_eq!(driver.attach_tagged(STREAM, Untagged::Abort, FaultModel::Terminate), Err(zero));
    });
}

#[test]
fn sm_p01_several_domains_of_the_callers_own_live_on_one_stream() {
    on_every(|run| {
        let mut bench = run.attached();
        let mut domains = Vec::new();
        for i in 0..5_u64 {
            let substream = bench.driver.allocate_substream().unwrap();
            let mut tables = Tables::new(&bench.machine, &mut bench.driver);
            tables.map(0x7000, bench.machine.page(i, 0x70 + i), Right::ReadWrite);
            let faults = if i % 2 == 0 { FaultModel::Terminate } else { FaultModel::Stall };
            bench.driver.bind_domain(STREAM, substream, &tables.description(), faults).unwrap();
            domains.push((substream, tables, faults));
        }
        for (i, (substream, _, faults)) in domains.iter().enumerate() {
            assert_eq!(bench.machine.read(user(*substream), 0x7000), Ok(0x70 + i as u64));
            let missed = bench.machine.read(user(*substream), 0x9000);
            match faults {
                FaultModel::Terminate => assert_eq!(missed, Err(Fault::Abort)),
                FaultModel::Stall => assert!(matches!(missed, Err(Fault::Stalled(_)))),
            }
            let events = bench.machine.events(&mut bench.driver);
            let [Event::Fault(fault)] = events[..] else { panic!("{events:?}") };
            assert_eq!((fault.substream, fault.stall.is_some()), (Some(*substream), *faults == FaultModel::Stall));
            if let Some(ticket) = fault.stall {
                bench.driver.resume(ticket, Verdict::Abort).unwrap();
            }
        }
        // Two SubstreamIDs may share a table, and what is taken from it goes from both.
        let twin = bench.driver.allocate_substream().unwrap();
        bench.driver.bind_domain(STREAM, twin, &domains[0].1.description(), FaultModel::Terminate).unwrap();
        assert_eq!(bench.machine.read(user(twin), 0x7000), Ok(0x70));
        domains[0].1.unmap(&mut bench.driver, 0x7000);
        for who in [twin, domains[0].0] {
            assert_eq!(bench.machine.read(user(who), 0x7000), Err(Fault::Abort));
        }
        assert_eq!(bench.machine.read(user(domains[1].0), 0x7000), Ok(0x71));
        bench.driver.unbind(STREAM, twin).unwrap();
        for (substream, tables, _) in domains {
            bench.driver.unbind(STREAM, substream).unwrap();
            bench.driver.free_asid(tables.asid).unwrap();
            tables.free();
        }
        assert_eq!(bench.machine.violations(), []);
        // A stream that may not stall takes no domain that does.
        let mut bench = run.attached_with(Profile::STALL_S1, Config::default(), FaultModel::Terminate);
        let substream = bench.driver.allocate_substream().unwrap();
        let tables = Tables::new(&bench.machine, &mut bench.driver);
        let refused = bench.driver.bind_domain(STREAM, substream, &tables.description(), FaultModel::Stall);
        assert_eq!(refused, Err(SmmuError::NoStall));
    });
}
