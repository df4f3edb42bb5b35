//! Tables that grow on demand, at their limits: every StreamID and SubstreamID there is, with the room for a few.

use hal::{Requester, StreamId, SubstreamId};
use smmu_driver::{Config, FaultModel, SmmuError, Untagged};
use smmu_model::{Fault, Profile};
use smmu_spec::event::EventId;

use super::driver_machine::{Attached, DATA, Driver, Machine, Right, STREAM, Tables, config_for, kernel, user};
use super::driver_runs::on_every;

/// Blocks of 1,024 SubstreamIDs that a stream holds contexts in at a time.
const LEAVES: u32 = 16;
/// Streams that can be attached at a time.
const STREAMS: u32 = 32;

/// A process under a number that somebody else chose.
fn claim(bench: &mut Attached, number: u32) -> (SubstreamId, Tables) {
    let substream = SubstreamId(number);
    bench.driver.claim_substream(substream).unwrap_or_else(|e| panic!("{number:#x}: {e:?}"));
    (substream, Tables::new(&bench.machine, &mut bench.driver))
}

fn let_go(bench: &mut Attached, (substream, tables): (SubstreamId, Tables)) {
    bench.driver.unbind(STREAM, substream).expect("it was bound");
    bench.driver.free_substream(substream).expect("it was claimed");
    bench.driver.free_asid(tables.asid).expect("nobody else uses it");
    tables.free();
}

#[test]
fn sm_p06_every_substream_that_the_smmu_has_can_be_bound() {
    on_every(|run| {
        for bits in [1, 6, 10, 11, 16, 20] {
            let mut bench = run.attached_with(Profile::STALL_S1.with_ssid_bits(bits), Config::default(), FaultModel::Stall);
            let last = (1 << bits) - 1;
            let mut numbers: Vec<u32> =
                [1, 2, 1023, 1024, 1025, 0xffff, 0x1_0000, 0x8_0001, last].into_iter().filter(|n| *n <= last).collect();
            numbers.sort_unstable();
            numbers.dedup();
            let mut processes = Vec::new();
            for (i, number) in (0..).zip(&numbers) {
                let (substream, mut tables) = claim(&mut bench, *number);
                tables.map(0x7000, bench.machine.page(i, 0x70 + i), Right::ReadWrite);
                bench.driver.bind(STREAM, substream, &tables.description()).unwrap();
                processes.push((substream, tables));
            }
            for (i, (substream, _)) in (0..).zip(&processes) {
                assert_eq!(bench.machine.read(user(*substream), 0x7000), Ok(0x70 + i), "{substream:?} of {bits} bits");
            }
            for beyond in [0, last + 1, u32::MAX] {
                let beyond = SubstreamId(beyond);
                assert_eq!(bench.driver.claim_substream(beyond), Err(SmmuError::SubstreamOutOfRange(beyond)));
            }
            // What the driver hands out itself is none of these.
            if let Ok(substream) = bench.driver.allocate_substream() {
                assert!(!numbers.contains(&substream.0));
                bench.driver.free_substream(substream).unwrap();
            }
            for process in processes {
                let_go(&mut bench, process);
            }
            assert_eq!(bench.machine.read(user(SubstreamId(last)), 0x7000), Err(Fault::Abort));
            bench.driver.detach(STREAM).unwrap();
            assert_eq!(bench.machine.violations(), []);
        }
    });
}

#[test]
fn sm_p06_a_leaf_without_contexts_serves_other_numbers_and_none_of_its_old_ones() {
    on_every(|run| {
        let mut bench = run.attached_with(Profile::STALL_S1.with_ssid_bits(20), Config::default(), FaultModel::Stall);
        let (steady, mut tables) = bench.process();
        tables.map(0x7000, bench.machine.page(0, 0x57), Right::ReadWrite);
        assert_eq!(bench.machine.read(user(steady), 0x7000), Ok(0x57));
        bench.machine.set_intruder(user(steady), 0x7000);
        let mut most = 0;
        for block in 1..3 * LEAVES {
            // One by one in blocks of their own, far from each other; the SMMU looks at each block before there is one.
            let number = block * 0x5000 + 7;
            assert_eq!(bench.machine.read(user(SubstreamId(number)), 0x7000), Err(Fault::Abort));
            let (substream, mut tables) = claim(&mut bench, number);
            tables.map(0x7000, bench.machine.page(1, u64::from(number)), Right::ReadWrite);
            bench.driver.bind(STREAM, substream, &tables.description()).unwrap();
            assert_eq!(bench.machine.read(user(substream), 0x7000), Ok(u64::from(number)));
            most = most.max(bench.machine.dma.live_buffers());
            if block > LEAVES {
                // The same place of a block that was given up: the SMMU has met its level 1, not this context.
                for old in 1..block {
                    let stale = SubstreamId(old * 0x5000 + 7);
                    assert_eq!(bench.machine.read(user(stale), 0x7000), Err(Fault::Abort), "{stale:?} while {substream:?} is bound");
                }
            }
            // Nobody was ever bound here; what it leads to is cached.
            assert_eq!(bench.machine.read(user(SubstreamId(number + 1)), 0x7000), Err(Fault::Abort));
            let_go(&mut bench, (substream, tables));
            let (next, mut tables) = claim(&mut bench, block * 0x5000 + 0x1008);
            tables.map(0x7000, bench.machine.page(2, 0xbad), Right::ReadWrite);
            bench.driver.bind(STREAM, next, &tables.description()).unwrap();
            for old in 1..=block {
                assert_eq!(bench.machine.read(user(SubstreamId(old * 0x5000 + 8)), 0x7000), Err(Fault::Abort), "block {block}");
            }
            let_go(&mut bench, (next, tables));
            let ids: Vec<_> = bench.machine.records(&mut bench.driver).iter().map(|r| r.id()).collect();
            assert!(ids.iter().all(|id| [EventId::C_BAD_CD, EventId::C_BAD_SUBSTREAMID].contains(id)), "{ids:?}");
        }
        let outcomes = bench.machine.outcomes();
        bench.machine.drop_intruder();
        assert!(outcomes.len() > 100 && outcomes.iter().all(|o| *o == Ok(0x57)), "who stays notices nothing");
        // The leaves themselves, and a process or two.
        assert!(most <= LEAVES as usize + 16, "{most} blocks of memory");
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_p06_a_stream_whose_leaves_are_all_in_use_takes_no_other_until_one_is_free() {
    on_every(|run| {
        let mut bench = run.attached_with(Profile::STALL_S1.with_ssid_bits(20), Config::default(), FaultModel::Stall);
        // The kernel's own context holds the first.
        let mut held: Vec<_> = (1..LEAVES).map(|block| claim(&mut bench, block << 10 | 3)).collect();
        for (substream, tables) in &mut held {
            tables.map(0x7000, bench.machine.page(u64::from(substream.0 >> 10), substream.0.into()), Right::ReadWrite);
            bench.driver.bind(STREAM, *substream, &tables.description()).unwrap();
        }
        let (far, tables) = claim(&mut bench, 0xf_fc03);
        assert_eq!(bench.driver.bind(STREAM, far, &tables.description()), Err(SmmuError::NoRoom));
        let gone = held.swap_remove(4);
        let old = gone.0;
        let_go(&mut bench, gone);
        bench.driver.bind(STREAM, far, &tables.description()).expect("there is room now");
        for (substream, _) in &held {
            assert_eq!(bench.machine.read(user(*substream), 0x7000), Ok(substream.0.into()));
        }
        assert_eq!(bench.machine.read(user(old), 0x7000), Err(Fault::Abort));
        assert!(matches!(bench.machine.read(user(far), 0x7000), Err(Fault::Stalled(_))), "bound, with nothing mapped");
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_i05_a_context_table_is_given_up_only_after_its_stream_has_let_go() {
    on_every(|run| {
        let machine = run.machine(Profile::STALL_S1);
        let mut driver = machine.start(Config::default()).unwrap();
        for untagged in [Untagged::Abort, Untagged::Bypass] {
            let before = machine.dma.live_buffers();
            driver.attach_tagged(STREAM, untagged, FaultModel::Terminate).unwrap();
            assert_eq!(machine.read(user(SubstreamId(5)), 0x7000), Err(Fault::Abort));
            let _ = machine.events(&mut driver);
            driver.detach(STREAM).unwrap();
            assert!(machine.dma.live_buffers() <= before + 1, "an array of entries may stay");
            assert_eq!(machine.violations(), []);
        }
    });
}

fn of(stream: u32) -> Requester {
    Requester { stream: StreamId(stream), ..kernel() }
}

fn start(machine: &Machine, profile: &Profile) -> Driver {
    machine.start(config_for(profile)).expect("the driver comes up")
}

#[test]
fn sm_c12_streams_come_and_go_on_every_bus_and_leave_no_way_behind() {
    on_every(|run| {
        let machine = run.machine(Profile::STALL_S1);
        let mut driver = start(&machine, &Profile::STALL_S1);
        let page = machine.page(0, 0x1d);
        driver.attach_bypass(StreamId(0x10)).unwrap();
        machine.set_intruder(of(0x10), page);
        let mut most = 0;
        for bus in 1..3 * STREAMS {
            // Not attached ever, on a bus that is about to have entries.
            assert_eq!(machine.read(of(bus << 8 | 0x21), page), Err(Fault::Abort));
            driver.attach_bypass(StreamId(bus << 8 | 0x20)).unwrap();
            assert_eq!(machine.read(of(bus << 8 | 0x20), page), Ok(0x1d));
            assert_eq!(machine.read(of(bus << 8 | 0x21), page), Err(Fault::Abort));
            most = most.max(machine.dma.live_buffers());
            driver.detach(StreamId(bus << 8 | 0x20)).unwrap();
            // The last of the 96 takes the place that others have led to.
            driver.attach_bypass(StreamId(0x8000 | bus << 8 | 0x21)).unwrap();
            assert_eq!(machine.read(of(0x8000 | bus << 8 | 0x21), page), Ok(0x1d));
            for old in 1..=bus {
                assert_eq!(machine.read(of(old << 8 | 0x21), page), Err(Fault::Abort), "bus {old} after bus {bus}");
            }
            driver.detach(StreamId(0x8000 | bus << 8 | 0x21)).unwrap();
            let _ = machine.events(&mut driver);
        }
        machine.drop_intruder();
        assert!(machine.outcomes().len() > 100 && machine.outcomes().iter().all(|o| *o == Ok(0x1d)), "who stays notices nothing");
        assert!(most <= STREAMS as usize + 3, "{most} blocks of memory");
        // As many as can be, each on a bus of its own.
        for bus in 1..STREAMS {
            driver.attach_abort(StreamId(bus << 8)).unwrap_or_else(|e| panic!("bus {bus}: {e:?}"));
        }
        assert_eq!(driver.attach_abort(StreamId(0xff00)), Err(SmmuError::NoRoom));
        assert_eq!(machine.read(of(0x10), page), Ok(0x1d));
        assert_eq!(machine.violations(), []);
    });
}

#[test]
fn sm_c23_an_smmu_with_linear_tables_serves_every_stream_that_it_is_asked_for() {
    on_every(|run| {
        let mut profile = Profile::STALL_S1;
        // ST_LEVEL: linear tables only.
        profile.ids.idr0 &= !(3 << 27);
        for (bits, last) in [(12, 0xfff), (6, 0x3f), (0, 0)] {
            let machine = run.machine(profile);
            let mut driver = machine.start(Config { stream_bits: bits, ..config_for(&profile) }).unwrap();
            machine.page(0, 0x1d);
            let beyond = StreamId(last + 1);
            assert_eq!(driver.attach_bypass(beyond), Err(SmmuError::StreamOutOfRange(beyond)));
            assert_eq!(machine.read(of(last), DATA), Err(Fault::Abort));
            driver.attach_bypass(StreamId(last)).unwrap();
            assert_eq!(machine.read(of(last), DATA), Ok(0x1d));
            assert_eq!(machine.read(of(last + 1), DATA), Err(Fault::Abort));
            driver.detach(StreamId(last)).unwrap();
            assert_eq!((machine.read(of(last), DATA), machine.violations()), (Err(Fault::Abort), vec![]));
        }
    });
}
