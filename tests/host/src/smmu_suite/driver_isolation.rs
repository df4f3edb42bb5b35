//! Who sees what: matrices of streams and processes, identifiers that change hands, pages that go while devices run.

use std::collections::BTreeMap;

use hal::{Pa, PhysMemory, Requester, StreamId, SubstreamId, Va, Verdict};
use smmu_driver::{Config, Event, FaultKind, FaultModel, Leaf};
use smmu_model::{Fault, Profile};
use smmu_spec::event::EventId;

use super::driver_machine::{Attached, DATA, Right, STREAM, Tables, kernel, user};
use super::driver_runs::{Run, on_every};

const SIDE: u64 = 16;

/// The device of a stream on behalf of a process, or of itself.
fn of(stream: u64, substream: Option<SubstreamId>) -> Requester {
    Requester { stream: StreamId(0x100 + 0x11 * stream as u32), substream, privileged: false }
}

#[test]
fn sm_p02_sixteen_pasids_by_sixteen_streams_each_see_their_own_data_and_no_other() {
    on_every(|run| {
        let machine = run.machine(Profile::STALL_S1);
        let mut driver = machine.start(Config::default()).unwrap();
        // Sixteen streams with a table of their own; sixteen processes, bound on all of them but one.
        let mut kernels = Vec::new();
        for stream in 0..SIDE {
            let mut table = Tables::new(&machine, &mut driver);
            table.map(0x7000, machine.page(0x200 + stream, 0x2000 + stream), Right::ReadWrite);
            driver.attach(of(stream, None).stream, &table.description(), FaultModel::Terminate).unwrap();
            kernels.push(table);
        }
        let mut processes = Vec::new();
        for process in 0..SIDE {
            let substream = driver.allocate_substream().unwrap();
            let mut tables = Tables::new(&machine, &mut driver);
            // The same address for all, and sixteen pages where this one alone has its column.
            tables.map(0x7000, machine.page(process, 0x1000 + process), Right::ReadWrite);
            for column in 0..SIDE {
                let page = machine.page(0x20 + process * SIDE + column, process << 8 | column);
                tables.map(0x100_0000 + (process * SIDE + column) * 0x1000, page, Right::ReadWrite);
            }
            for stream in (0..SIDE).filter(|stream| *stream != process) {
                driver.bind(of(stream, None).stream, substream, &tables.description()).unwrap();
            }
            processes.push((substream, tables));
        }
        let check = |driver: &mut super::driver_machine::Driver, bound: &dyn Fn(u64, u64) -> bool| {
            let mut expected = 0;
            for stream in 0..SIDE {
                assert_eq!(machine.read(of(stream, None), 0x7000), Ok(0x2000 + stream));
                for (p, (substream, _)) in processes.iter().enumerate() {
                    let (p, who) = (p as u64, of(stream, Some(*substream)));
                    let seen = machine.read(who, 0x7000);
                    assert_eq!(seen, if bound(stream, p) { Ok(0x1000 + p) } else { Err(Fault::Abort) }, "stream {stream} process {p}");
                    expected += u64::from(!bound(stream, p));
                    // A column of its own on this stream, and the same one of its right neighbour.
                    let own = machine.read(who, 0x100_0000 + (p * SIDE + stream) * 0x1000);
                    assert_eq!(own, if bound(stream, p) { Ok(p << 8 | stream) } else { Err(Fault::Abort) });
                    let foreign = machine.read(who, 0x100_0000 + ((p + 1) % SIDE * SIDE + stream) * 0x1000);
                    assert_eq!(foreign, Err(Fault::Abort), "stream {stream} process {p} reads its neighbour's page");
                }
                // Each refusal names its stream and its process.
                for event in machine.events(driver) {
                    let (at, id) = match event {
                        Event::Fault(fault) => (fault.stream, fault.substream),
                        Event::Other(record) => (record.stream(), record.substream()),
                        other => panic!("{other:?}"),
                    };
                    assert_eq!(at, of(stream, None).stream);
                    let p = processes.iter().position(|(substream, _)| Some(*substream) == id).expect("one of ours") as u64;
                    assert_eq!(matches!(event, Event::Fault(_)), bound(stream, p), "{event:?}");
                }
            }
            expected
        };
        assert_eq!(check(&mut driver, &|stream, p| stream != p), SIDE);
        // Half of them leave, as on a chess board. Those who stay notice nothing.
        for (p, (substream, _)) in processes.iter().enumerate() {
            for stream in (0..SIDE).filter(|s| *s != p as u64 && (s + p as u64).is_multiple_of(2)) {
                driver.unbind(of(stream, None).stream, *substream).unwrap();
            }
        }
        check(&mut driver, &|stream, p| stream != p && (stream + p) % 2 == 1);
        assert_eq!(machine.violations(), []);
    });
}

#[test]
fn sm_p08_dma_with_the_old_pasid_faults_after_unbind() {
    on_every(|run| {
        let mut bench = run.attached();
        let (old, mut tables) = bench.process();
        let (other, mut other_tables) = bench.process();
        tables.map(0x7000, bench.machine.page(0, 1), Right::ReadWrite);
        other_tables.map(0x7000, bench.machine.page(1, 2), Right::ReadWrite);
        assert_eq!(bench.machine.read(user(old), 0x7000), Ok(1));
        bench.driver.unbind(STREAM, old).unwrap();
        for _ in 0..3 {
            assert_eq!(bench.machine.read(user(old), 0x7000), Err(Fault::Abort));
            assert_eq!(bench.machine.write(user(old), 0x7000, 9), Err(Fault::Abort));
            assert_eq!(bench.machine.read(user(other), 0x7000), Ok(2));
        }
        let records = bench.machine.records(&mut bench.driver);
        assert!(records.len() == 6 && records.iter().all(|r| (r.id(), r.substream()) == (EventId::C_BAD_CD, Some(old))));
        assert_eq!((bench.machine.memory.peek64(Pa(DATA)), bench.machine.violations()), (1, vec![]));
    });
}

#[test]
fn sm_p09_a_hundred_thousand_changes_of_hands_show_no_owner_the_data_of_another() {
    on_every(|run| {
        let mut bench = run.attached_with(Profile::STALL_S1, Config { asid_bits: 8, ..Config::default() }, FaultModel::Stall);
        let root = Tables::new(&bench.machine, &mut bench.driver);
        // Two tables take turns; each time another process owns SubstreamID and ASID.
        let pages: Vec<_> = (0..2).map(|i| bench.machine.page(i, 0x50 + i)).collect();
        let mut tables: Vec<_> = pages.iter().map(|_| Tables::at(&bench.machine, &bench.driver, 0, 0)).collect();
        tables[0].map(0x7000, pages[0], Right::ReadWrite);
        tables[1].map(0x7000, pages[1], Right::ReadWrite);
        for round in 0..8_400_usize {
            let at = round % 2;
            let asid = bench.driver.allocate_asid().unwrap();
            let substream = bench.driver.allocate_substream().unwrap();
            let description = smmu_driver::TableDescription { asid, ..tables[at].description() };
            bench.driver.bind(STREAM, substream, &description).unwrap();
            assert_eq!(bench.machine.read(user(substream), 0x7000), Ok(0x50 + at as u64), "round {round}");
            let stalls = round % 5 == 0;
            if stalls {
                assert!(matches!(bench.machine.read(user(substream), 0x9000), Err(Fault::Stalled(_))));
            }
            bench.driver.unbind(STREAM, substream).unwrap();
            assert_eq!(bench.machine.take_resumed().len(), usize::from(stalls));
            bench.driver.free_substream(substream).unwrap();
            bench.driver.free_asid(asid).unwrap();
            if stalls {
                let events = bench.machine.events(&mut bench.driver);
                assert!(matches!(events[..], [Event::Fault(fault)] if fault.stall.is_none()), "round {round}: {events:?}");
            }
        }
        bench.driver.free_asid(root.asid).unwrap();
        assert_eq!((bench.driver.pending_stalls(), bench.machine.violations()), (0, vec![]));
    });
}

/// A process that lives, with its table.
type Life = Option<(SubstreamId, Tables)>;

#[test]
fn sm_p11_thirty_two_processes_bind_and_leave_in_any_order_and_leave_nothing_behind() {
    on_every(|run| {
        let mut bench = run.attached();
        let before = bench.machine.dma.live_buffers();
        let mut random = run.rng();
        // Thirty-two workers with thirty-two rounds each, a step of a random one at a time.
        let mut workers: Vec<(u32, u32, Life)> = (0..32).map(|_| (0, 0, None)).collect();
        while workers.iter().any(|(rounds, ..)| *rounds < 32) {
            let index = random.below(32);
            let (rounds, step, life) = &mut workers[index as usize];
            if *rounds == 32 {
                continue;
            }
            match life {
                None => {
                    let (substream, mut tables) = bench.process();
                    tables.map(0x7000, bench.machine.page(index, 0x900 + index), Right::ReadWrite);
                    *life = Some((substream, tables));
                }
                Some((substream, _)) if *step < 3 => {
                    assert_eq!(bench.machine.read(user(*substream), 0x7000), Ok(0x900 + index));
                    *step += 1;
                }
                Some(_) => {
                    let (substream, tables) = life.take().expect("it lives");
                    bench.driver.unbind(STREAM, substream).unwrap();
                    bench.driver.free_substream(substream).unwrap();
                    bench.driver.free_asid(tables.asid).unwrap();
                    tables.free();
                    (*rounds, *step) = (*rounds + 1, 0);
                }
            }
        }
        // Leaves of the CD table stay with the stream.
        assert!(bench.machine.dma.live_buffers() <= before + 2);
        bench.driver.detach(STREAM).expect("no user is left");
        assert_eq!(bench.driver.free_asid(bench.kernel.asid), Ok(()));
        bench.driver.shutdown().unwrap();
        bench.kernel.free();
        assert_eq!((bench.machine.dma.live_buffers(), bench.machine.violations()), (0, vec![]));
    });
}

#[test]
fn sm_i06_an_asid_that_changes_hands_shows_nothing_of_its_old_table() {
    on_every(|run| {
        let mut bench = run.attached_with(Profile::STALL_S1, Config { asid_bits: 6, ..Config::default() }, FaultModel::Stall);
        let substream = bench.driver.allocate_substream().unwrap();
        let mut uses = [0; 64];
        for round in 0..200_u64 {
            let mut tables = Tables::new(&bench.machine, &mut bench.driver);
            uses[usize::from(tables.asid)] += 1;
            if round % 2 == 0 {
                tables.map(0x7000, bench.machine.page(round % 32, round), Right::ReadWrite);
            }
            bench.driver.bind(STREAM, substream, &tables.description()).unwrap();
            match bench.machine.read(user(substream), 0x7000) {
                Ok(value) => assert_eq!((value, round % 2), (round, 0)),
                Err(Fault::Stalled(_)) => assert_eq!(round % 2, 1, "round {round}"),
                Err(other) => panic!("{other:?}"),
            }
            bench.driver.unbind(STREAM, substream).unwrap();
            bench.driver.free_asid(tables.asid).unwrap();
            tables.free();
            bench.machine.take_resumed();
            let _ = bench.machine.events(&mut bench.driver);
        }
        assert!(uses.iter().filter(|n| **n >= 3).count() > 60, "{uses:?}");
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_i07_no_device_touches_a_page_after_its_unmap_has_returned() {
    on_every(|run| {
        let mut bench = run.attached();
        let (process, mut tables) = bench.process();
        for round in 0..20_u64 {
            let pa = bench.machine.page(round, 0x600d);
            tables.map(0x7000, pa, Right::ReadWrite);
            assert_eq!(bench.machine.write(user(process), 0x7000, round), Ok(()));
            // The device reads on through the whole of the unmap.
            bench.machine.set_intruder(user(process), 0x7000);
            tables.unmap(&mut bench.driver, 0x7000);
            bench.machine.drop_intruder();
            // The page is somebody else's now.
            bench.machine.memory.poke64(Pa(pa), 0xdead);
            assert!(bench.machine.outcomes().iter().all(|o| !matches!(o, Ok(0xdead))));
            for _ in 0..3 {
                assert!(matches!(bench.machine.read(user(process), 0x7000), Err(Fault::Stalled(_))), "round {round}");
                assert!(matches!(bench.machine.write(user(process), 0x7000, 1), Err(Fault::Stalled(_))));
            }
            assert_eq!(bench.machine.memory.peek64(Pa(pa)), 0xdead);
            bench.machine.dma.take_interrupt();
            bench.driver.handle_events(|_| Some(Verdict::Abort)).unwrap();
            bench.machine.take_resumed();
        }
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_p15_a_right_that_is_taken_away_is_gone_when_the_call_returns() {
    on_every(|run| {
        let mut bench = run.attached();
        let (process, mut tables) = bench.process();
        for round in 0..20_u64 {
            let pa = bench.machine.page(0, round);
            tables.map(0x7000, pa, Right::ReadWrite);
            bench.driver.invalidate_range(tables.asid, Va(0x7000), 0x1000, Leaf::Only).unwrap();
            assert_eq!(bench.machine.write(user(process), 0x7000, round), Ok(()));
            tables.map(0x7000, pa, Right::ReadOnly);
            bench.driver.invalidate_range(tables.asid, Va(0x7000), 0x1000, Leaf::Only).unwrap();
            assert!(matches!(bench.machine.write(user(process), 0x7000, 99), Err(Fault::Stalled(_))), "round {round}");
            assert_eq!(bench.machine.read(user(process), 0x7000), Ok(round));
            let events = bench.machine.events(&mut bench.driver);
            let [Event::Fault(fault)] = events[..] else { panic!("{events:?}") };
            assert_eq!(fault.kind, FaultKind::Permission);
            bench.driver.resume(fault.stall.unwrap(), Verdict::Abort).unwrap();
            tables.unmap(&mut bench.driver, 0x7000);
        }
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_i03_any_range_is_invalidated_whole_with_range_commands_and_without() {
    on_every(|run| {
        for has_ranges in [true, false] {
            let mut profile = Profile::STALL_S1;
            if !has_ranges {
                profile.ids.idr3 &= !(1 << 10);
            }
            let mut bench = run.attached_with(profile, Config::default(), FaultModel::Terminate);
            let (process, mut tables) = bench.process();
            let mut random = run.rng();
            for _ in 0..30 {
                let most = if random.below(4) == 0 { 600 } else { 40 };
                let (first, pages) = (random.below(700), 1 + random.below(most));
                // An address and a length within pages, as callers have them.
                let (lead, tail) = (random.below(0x1000), random.below(0x1000));
                for i in first..first + pages {
                    tables.map(0x10_0000 + i * 0x1000, DATA + (i % 4) * 0x1000, Right::ReadWrite);
                }
                let touched: Vec<_> = [first, first + pages / 2, first + pages - 1].map(|i| 0x10_0000 + i * 0x1000).to_vec();
                for va in &touched {
                    assert!(bench.machine.read(user(process), *va).is_ok());
                }
                for i in first..first + pages {
                    tables.store(0x10_0000 + i * 0x1000, 0);
                }
                let start = 0x10_0000 + first * 0x1000 + lead;
                let end = 0x10_0000 + (first + pages - 1) * 0x1000 + tail.max(if pages == 1 { lead } else { 0 }) + 1;
                bench.driver.invalidate_range(tables.asid, Va(start), end - start, Leaf::Only).unwrap();
                for va in touched {
                    assert_eq!(bench.machine.read(user(process), va), Err(Fault::Abort), "{va:#x} of {pages} pages at {first}");
                }
                let _ = bench.machine.events(&mut bench.driver);
            }
            assert_eq!(bench.driver.handle_global_error().unwrap().active.get(), 0, "no range was illegal");
            assert_eq!(bench.machine.violations(), []);
        }
    });
}

#[test]
fn sm_t11_a_thousand_maps_and_unmaps_are_what_an_interval_map_says() {
    on_every(|run| {
        for half in 0..2 {
            let mut bench = run.attached_with(Profile::STALL_S1, Config::default(), FaultModel::Terminate);
            let mut random = run.rng();
            (0..half).for_each(|_| _ = random.next());
            let before = bench.machine.dma.live_buffers();
            let (process, mut tables) = bench.process();
            let mut pages: BTreeMap<u64, u64> = BTreeMap::new();
            for page in 0..64 {
                bench.machine.page(page, page);
            }
            for step in 0..1000 {
                let (first, count) = (random.below(96), 1 + random.below(8));
                match random.below(3) {
                    0 => {
                        for va in first..first + count {
                            if let std::collections::btree_map::Entry::Vacant(vacant) = pages.entry(va) {
                                let page = random.below(64);
                                vacant.insert(page);
                                tables.map(0x10_0000 + va * 0x1000, DATA + page * 0x1000, Right::ReadWrite);
                            }
                        }
                    }
                    1 => {
                        for va in first..first + count {
                            pages.remove(&va);
                            tables.store(0x10_0000 + va * 0x1000, 0);
                        }
                        bench.driver.invalidate_range(tables.asid, Va(0x10_0000 + first * 0x1000), count * 0x1000, Leaf::Only).unwrap();
                    }
                    _ => {
                        // Remapped: broken, then made.
                        let page = random.below(64);
                        tables.unmap(&mut bench.driver, 0x10_0000 + first * 0x1000);
                        tables.map(0x10_0000 + first * 0x1000, DATA + page * 0x1000, Right::ReadWrite);
                        pages.insert(first, page);
                    }
                }
                let va = random.below(104);
                let expected = pages.get(&va).copied().ok_or(Fault::Abort);
                assert_eq!(bench.machine.read(user(process), 0x10_0000 + va * 0x1000), expected, "step {step}");
                if step % 100 == 99 {
                    for va in 0..104 {
                        let expected = pages.get(&va).copied().ok_or(Fault::Abort);
                        assert_eq!(bench.machine.read(user(process), 0x10_0000 + va * 0x1000), expected, "step {step}");
                    }
                    let _ = bench.machine.events(&mut bench.driver);
                }
            }
            bench.driver.unbind(STREAM, process).unwrap();
            tables.free();
            assert!(bench.machine.dma.live_buffers() <= before + 1, "at most a leaf of contexts stays");
            assert_eq!(bench.machine.violations(), []);
        }
    });
}

#[test]
fn sm_t14_message_interrupts_go_through_the_smmu_like_any_write() {
    const FRAME: u64 = 0x5000_0000;
    on_every(|run: Run| {
        let mut bench: Attached = run.attached();
        bench.machine.memory.set_msi_frame(Pa(FRAME), 0x1000);
        let send = |bench: &Attached, who: Requester, iova: u64| {
            let pa = bench.machine.model.device().translate(who, iova, hal::AccessKind::Write)?;
            bench.machine.memory.clone().write(pa, &5_u32.to_le_bytes()).expect("something decodes there");
            Ok::<(), Fault>(())
        };
        // Mapped where the device believes its frame to be.
        bench.kernel.map(0xf000, FRAME, Right::ReadWrite);
        assert_eq!(send(&bench, kernel(), 0xf040), Ok(()));
        assert_eq!(bench.machine.memory.take_msis(), [(FRAME + 0x40, 5)]);
        // Not mapped: no interrupt, a fault instead.
        assert_eq!(send(&bench, kernel(), FRAME + 0x40), Err(Fault::Abort));
        let events = bench.machine.events(&mut bench.driver);
        assert!(matches!(events[..], [Event::Fault(fault)] if fault.address.0 == FRAME + 0x40));
        // Passed through.
        let passing = Requester { stream: StreamId(0x77), ..kernel() };
        bench.driver.attach_bypass(passing.stream).unwrap();
        assert_eq!(send(&bench, passing, FRAME + 0x80), Ok(()));
        assert_eq!(bench.machine.memory.take_msis(), [(FRAME + 0x80, 5)]);
        // A process has no way to the frame.
        let (process, _tables) = bench.process();
        assert!(matches!(send(&bench, user(process), 0xf040), Err(Fault::Stalled(_))));
        assert_eq!((bench.machine.memory.take_msis(), bench.machine.violations()), (vec![], vec![]));
    });
}
