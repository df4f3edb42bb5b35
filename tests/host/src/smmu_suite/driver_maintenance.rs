//! What the caches of the SMMU may no longer know, and when: invalidation, contexts, isolation.

use hal::{DmaMapper, Pa, SubstreamId, Va};
use smmu_driver::{Event, FaultKind, Leaf, SmmuError};
use smmu_model::{Fault, Policy, Violation};
use smmu_spec::event::EventId;

use super::driver_machine::{Attached, DATA, Right, STREAM, Tables, kernel, user};
use super::driver_runs::on_every;

#[test]
fn sm_i01_a_page_is_out_of_reach_when_unmap_returns() {
    on_every(|run| {
        let mut bench = run.attached();
        let pa = bench.machine.page(0, 0x11);
        for round in 0..20 {
            bench.kernel.map(0x7000, pa, Right::ReadWrite);
            assert_eq!(bench.machine.read(kernel(), 0x7000), Ok(0x11));
            bench.kernel.unmap(&mut bench.driver, 0x7000);
            assert_eq!(bench.machine.read(kernel(), 0x7000), Err(Fault::Abort), "round {round}");
        }
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_i01_a_device_that_never_rests_loses_the_page_with_the_unmap() {
    on_every(|run| {
        let mut a = run.attached();
        let (process, mut tables) = a.process();
        let page = a.machine.page(1, 0x11);
        tables.map(0x10_0000, page, Right::ReadWrite);
        a.machine.set_intruder(user(process), 0x10_0000);
        tables.unmap(&mut a.driver, 0x10_0000);
        a.machine.drop_intruder();
        assert!(a.machine.read(user(process), 0x10_0000).is_err(), "invalidated before the store, the entry came back");
    });
}

#[test]
fn sm_i01_a_forgotten_invalidation_is_noticed() {
    let mut bench = Attached::new(Policy::Sticky);
    let pa = bench.machine.page(0, 0x11);
    bench.kernel.map(0x7000, pa, Right::ReadWrite);
    assert_eq!(bench.machine.read(kernel(), 0x7000), Ok(0x11));
    bench.kernel.unmap_and_forget(0x7000);
    assert_eq!(bench.machine.read(kernel(), 0x7000), Ok(0x11), "the stale entry is still there: this machine can tell");
}

#[test]
fn sm_i02_invalidation_by_range_reaches_every_page_of_the_range_and_no_other_space() {
    on_every(|run| {
        let mut bench = run.attached();
        let (a, mut tables_a) = bench.process();
        let (b, mut tables_b) = bench.process();
        for i in 0..40 {
            let pa = bench.machine.page(i, i);
            tables_a.map(0x10_0000 + i * 0x1000, pa, Right::ReadWrite);
            tables_b.map(0x10_0000 + i * 0x1000, pa, Right::ReadWrite);
        }
        for (first, pages) in [(0, 1), (1, 2), (3, 5), (8, 31), (39, 1)] {
            for i in first..first + pages {
                let va = 0x10_0000 + i * 0x1000;
                assert_eq!(bench.machine.read(user(a), va), Ok(i));
                assert_eq!(bench.machine.read(user(b), va), Ok(i));
                tables_a.store(va, 0);
            }
            bench.driver.invalidate_range(tables_a.asid, Va(0x10_0000 + first * 0x1000), pages * 0x1000, Leaf::Only).unwrap();
            let walks = bench.machine.model.device().model.counters().walks;
            for i in first..first + pages {
                assert_eq!(bench.machine.read(user(b), 0x10_0000 + i * 0x1000), Ok(i), "the neighbour's");
            }
            let walked = bench.machine.model.device().model.counters().walks - walks;
            assert!(run.policy != Policy::Sticky || walked == 0, "the neighbour's entries were dropped too");
            for i in first..first + pages {
                assert!(matches!(bench.machine.read(user(a), 0x10_0000 + i * 0x1000), Err(Fault::Stalled(_))), "page {i}");
            }
            bench.driver.handle_events(|_| Some(hal::Verdict::Abort)).unwrap();
        }
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_i02_each_kind_of_invalidation_drops_what_it_names_and_nothing_else() {
    const BASE: u64 = 0x10_0000;
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Kind {
        Page,
        Range,
        Asid,
        All,
    }
    on_every(|run| {
        let mut bench = run.attached();
        let (a, mut tables_a) = bench.process();
        let (b, mut tables_b) = bench.process();
        for i in 0..8 {
            let page = bench.machine.page(i, 0x100 + i);
            bench.machine.page(16 + i, 0x200 + i);
            tables_a.map(BASE + i * 0x1000, page, Right::ReadWrite);
            tables_b.map(BASE + i * 0x1000, page, Right::ReadWrite);
        }
        let walks = |bench: &Attached| bench.machine.model.device().model.counters().walks;
        for kind in [Kind::Page, Kind::Range, Kind::Asid, Kind::All] {
            for i in 0..8 {
                assert_eq!(bench.machine.read(user(a), BASE + i * 0x1000), Ok(0x100 + i));
                assert_eq!(bench.machine.read(user(b), BASE + i * 0x1000), Ok(0x100 + i));
            }
            // What is named goes; with everything, the neighbour's too.
            let (first, pages) = match kind {
                Kind::Page => (3, 1),
                Kind::Range => (2, 3),
                Kind::Asid | Kind::All => (0, 8),
            };
            for i in first..first + pages {
                tables_a.store(BASE + i * 0x1000, 0);
                if kind == Kind::All {
                    tables_b.store(BASE + i * 0x1000, 0);
                }
            }
            let start = Va(BASE + first * 0x1000);
            match kind {
                Kind::Page | Kind::Range => bench.driver.invalidate_range(tables_a.asid, start, pages * 0x1000, Leaf::Only),
                Kind::Asid => bench.driver.invalidate_asid(tables_a.asid),
                Kind::All => bench.driver.invalidate_all(),
            }
            .unwrap();
            let before = walks(&bench);
            if kind != Kind::All {
                for i in (0..8).filter(|i| *i < first || *i >= first + pages) {
                    assert_eq!(bench.machine.read(user(a), BASE + i * 0x1000), Ok(0x100 + i));
                }
                for i in 0..8 {
                    assert_eq!(bench.machine.read(user(b), BASE + i * 0x1000), Ok(0x100 + i));
                }
                // A TLB that keeps what it has still knows all of these.
                assert!(run.policy != Policy::Sticky || walks(&bench) == before, "{kind:?} dropped what it did not name");
            }
            for i in first..first + pages {
                let spaces = if kind == Kind::All { vec![(a, &mut tables_a), (b, &mut tables_b)] } else { vec![(a, &mut tables_a)] };
                for (who, tables) in spaces {
                    let stalled = bench.machine.read(user(who), BASE + i * 0x1000);
                    assert!(matches!(stalled, Err(Fault::Stalled(_))), "{kind:?} left page {i} of {who:?}");
                    bench.machine.dma.take_interrupt();
                    bench.driver.handle_events(|_| Some(hal::Verdict::Abort)).unwrap();
                    tables.map(BASE + i * 0x1000, DATA + i * 0x1000, Right::ReadWrite);
                }
            }
        }
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_i05_a_table_page_that_is_given_up_too_early_is_noticed() {
    const VA: u64 = 0x40_0000;
    let given_up = |leaf: Option<Leaf>| {
        let mut bench = Attached::new(Policy::Sticky);
        let (process, mut tables) = bench.process();
        tables.map(VA, bench.machine.page(0, 0x0d), Right::ReadWrite);
        assert_eq!(bench.machine.read(user(process), VA), Ok(0x0d));
        let table = tables.unlink_leaf_table(VA);
        if let Some(leaf) = leaf {
            bench.driver.invalidate_range(tables.asid, Va(VA), 0x20_0000, leaf).unwrap();
        }
        bench.machine.dma.free(table);
        bench.machine.violations()
    };
    assert!(matches!(given_up(None)[..], [Violation::FreedWhileCached { .. }]));
    assert!(matches!(given_up(Some(Leaf::Only))[..], [Violation::FreedWhileCached { .. }]), "the walk cache leads there");
    assert_eq!(given_up(Some(Leaf::AllLevels)), []);
}

#[test]
fn sm_i05_a_table_page_may_go_after_an_invalidation_of_all_levels() {
    on_every(|run| {
        let mut bench = run.attached();
        let (process, mut tables) = bench.process();
        let (old, new) = (bench.machine.page(0, 0x0d), bench.machine.page(1, 0x4e));
        tables.map(0x40_0000, old, Right::ReadWrite);
        assert_eq!(bench.machine.read(user(process), 0x40_0000), Ok(0x0d));
        // The last-level table is replaced by another one.
        let mut other = Tables::new(&bench.machine, &mut bench.driver);
        other.map(0x40_0000, new, Right::ReadWrite);
        tables.steal_leaf_table(&other, 0x40_0000);
        bench.driver.invalidate_range(tables.asid, Va(0x40_0000), 0x20_0000, Leaf::AllLevels).unwrap();
        assert_eq!(bench.machine.read(user(process), 0x40_0000), Ok(0x4e));
    });
}

#[test]
fn sm_i04_a_context_change_is_in_force_when_the_call_returns() {
    on_every(|run| {
        let mut bench = run.attached();
        let substream = bench.driver.allocate_substream().unwrap();
        for round in 0..10_u64 {
            // The same SubstreamID, another process: only CFGI_CD tells the SMMU.
            let mut tables = Tables::new(&bench.machine, &mut bench.driver);
            let pa = bench.machine.page(round, 100 + round);
            tables.map(0x7000, pa, Right::ReadWrite);
            bench.driver.bind(STREAM, substream, &tables.description()).unwrap();
            assert_eq!(bench.machine.read(user(substream), 0x7000), Ok(100 + round), "after bind");
            bench.driver.unbind(STREAM, substream).unwrap();
            assert_eq!(bench.machine.read(user(substream), 0x7000), Err(Fault::Abort), "after unbind");
            bench.driver.free_asid(tables.asid).unwrap();
            tables.free();
            let records = bench.machine.records(&mut bench.driver);
            assert_eq!(records.iter().map(|r| r.id()).collect::<Vec<_>>(), [EventId::C_BAD_CD]);
        }
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_i04_the_kernel_table_can_be_replaced() {
    on_every(|run| {
        let mut bench = run.attached();
        let (one, two) = (bench.machine.page(0, 1), bench.machine.page(1, 2));
        bench.kernel.map(0x1000, one, Right::ReadWrite);
        assert_eq!(bench.machine.read(kernel(), 0x1000), Ok(1));
        let mut next = Tables::new(&bench.machine, &mut bench.driver);
        next.map(0x1000, two, Right::ReadWrite);
        bench.driver.replace_kernel_table(STREAM, &next.description()).unwrap();
        assert_eq!(bench.machine.read(kernel(), 0x1000), Ok(2));
        bench.driver.free_asid(bench.kernel.asid).expect("the old address space is free");
        // The same ASID over another table.
        let mut third = Tables::new(&bench.machine, &mut bench.driver);
        let three = bench.machine.page(2, 3);
        third.map(0x1000, three, Right::ReadWrite);
        let renamed = smmu_driver::TableDescription { asid: next.asid, ..third.description() };
        bench.driver.replace_kernel_table(STREAM, &renamed).unwrap();
        assert_eq!(bench.machine.read(kernel(), 0x1000), Ok(3));
    });
}

#[test]
fn sm_p01_one_address_two_processes_two_pages() {
    on_every(|run| {
        let mut bench = run.attached();
        let mut processes = Vec::new();
        for i in 0..16 {
            let (substream, mut tables) = bench.process();
            let pa = bench.machine.page(i, 0x100 + i);
            tables.map(0x7f00_0000, pa, Right::ReadWrite);
            tables.map(0x1000_0000 + i * 0x1000, pa, Right::ReadWrite);
            processes.push((substream, tables));
        }
        for _ in 0..2 {
            for (i, (substream, _)) in processes.iter().enumerate() {
                assert_eq!(bench.machine.read(user(*substream), 0x7f00_0000), Ok(0x100 + i as u64));
            }
        }
        // SM-P02: nobody reaches what only another one maps.
        for (i, (substream, _)) in processes.iter().enumerate() {
            for j in 0..16 {
                let result = bench.machine.read(user(*substream), 0x1000_0000 + j * 0x1000);
                if j == i as u64 {
                    assert_eq!(result, Ok(0x100 + j));
                } else {
                    assert!(matches!(result, Err(Fault::Stalled(_))), "{i} reads the page of {j}");
                }
            }
            let events = bench.machine.events(&mut bench.driver);
            assert_eq!(events.len(), 15);
            for event in events {
                let Event::Fault(fault) = event else { panic!("{event:?}") };
                assert_eq!((fault.kind, fault.stream, fault.substream), (FaultKind::Translation, STREAM, Some(*substream)));
                bench.driver.resume(fault.stall.expect("a ticket"), hal::Verdict::Abort).unwrap();
            }
        }
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_p03_an_unknown_substream_aborts_with_a_record() {
    on_every(|run| {
        let mut bench = run.attached();
        let (_, _tables) = bench.process();
        // In a leaf that exists, and in one that does not.
        for (unknown, id) in [(SubstreamId(9), EventId::C_BAD_CD), (SubstreamId(5000), EventId::C_BAD_SUBSTREAMID)] {
            assert_eq!(bench.machine.read(user(unknown), 0x7000), Err(Fault::Abort));
            let records = bench.machine.records(&mut bench.driver);
            assert_eq!(records.len(), 1);
            assert_eq!((records[0].id(), records[0].stream(), records[0].substream()), (id, STREAM, Some(unknown)));
        }
    });
}

#[test]
fn sm_p05_substream_zero_belongs_to_the_kernel() {
    on_every(|run| {
        let mut bench = run.attached();
        assert_eq!(bench.machine.read(user(SubstreamId(0)), 0x7000), Err(Fault::Abort));
        assert_eq!(bench.machine.records(&mut bench.driver)[0].id(), EventId::F_STREAM_DISABLED);
        let tables = Tables::new(&bench.machine, &mut bench.driver);
        let zero = SubstreamId(0);
        assert_eq!(bench.driver.bind(STREAM, zero, &tables.description()), Err(SmmuError::SubstreamOutOfRange(zero)));
    });
}

#[test]
fn sm_p06_a_new_leaf_of_the_context_table_is_seen_although_its_absence_was_cached() {
    on_every(|run| {
        let mut bench = run.attached();
        let far = loop {
            let substream = bench.driver.allocate_substream().unwrap();
            if substream.0 == 3000 {
                break substream;
            }
        };
        assert_eq!(bench.machine.read(user(far), 0x7000), Err(Fault::Abort));
        assert_eq!(bench.machine.records(&mut bench.driver)[0].id(), EventId::C_BAD_SUBSTREAMID);
        let mut tables = Tables::new(&bench.machine, &mut bench.driver);
        let pa = bench.machine.page(0, 0xfa);
        tables.map(0x7000, pa, Right::ReadWrite);
        bench.driver.bind(STREAM, far, &tables.description()).unwrap();
        assert_eq!(bench.machine.read(user(far), 0x7000), Ok(0xfa));
    });
}

#[test]
fn sm_p09_a_substream_that_changes_hands_at_once_never_shows_the_old_owner() {
    on_every(|run| {
        let mut bench = run.attached();
        let mut asids = std::collections::BTreeSet::new();
        for round in 0..300_u64 {
            let (substream, mut tables) = bench.process();
            asids.insert(tables.asid);
            let pa = bench.machine.page(round % 50, round);
            if round % 2 == 0 {
                tables.map(0x7000, pa, Right::ReadWrite);
                assert_eq!(bench.machine.read(user(substream), 0x7000), Ok(round));
            } else {
                // Leaves a stall behind in the queue.
                assert!(matches!(bench.machine.read(user(substream), 0x7000), Err(Fault::Stalled(_))), "{round}");
            }
            bench.driver.unbind(STREAM, substream).unwrap();
            assert_eq!(bench.machine.take_resumed().len() as u64, round % 2, "the stall was answered");
            bench.driver.free_asid(tables.asid).unwrap();
            bench.driver.free_substream(substream).unwrap();
            tables.free();
            for event in bench.machine.events(&mut bench.driver) {
                assert!(matches!(event, Event::Fault(fault) if fault.stall.is_none()), "nobody is asked to answer for the dead: {event:?}");
            }
        }
        assert!(asids.len() > 250, "identifiers come back late");
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_p10_all_substreams_can_be_taken_and_one_returned_is_enough() {
    on_every(|run| {
        let mut bench = run.attached();
        let mut last = None;
        let mut count = 0;
        while let Ok(substream) = bench.driver.allocate_substream() {
            last = Some(substream);
            count += 1;
        }
        assert_eq!((count, bench.driver.allocate_substream()), (16_383, Err(SmmuError::NoIdentifiers)));
        bench.driver.free_substream(last.unwrap()).unwrap();
        assert_eq!(bench.driver.allocate_substream(), Ok(last.unwrap()));
    });
}

#[test]
fn sm_p12_kernel_and_process_do_not_reach_each_other_on_one_stream() {
    on_every(|run| {
        let mut bench = run.attached();
        let (process, mut tables) = bench.process();
        let (ring, page) = (bench.machine.page(0, 0xca), bench.machine.page(1, 0xfe));
        bench.kernel.map(0x1000, ring, Right::ReadWrite);
        tables.map(0x2000, page, Right::ReadWrite);
        tables.map(0x3000, ring, Right::Nobody);
        for _ in 0..2 {
            assert_eq!(bench.machine.read(kernel(), 0x1000), Ok(0xca));
            assert_eq!(bench.machine.read(user(process), 0x2000), Ok(0xfe));
            assert_eq!(bench.machine.read(kernel(), 0x2000), Err(Fault::Abort), "a process page without its SubstreamID");
            assert!(matches!(bench.machine.read(user(process), 0x1000), Err(Fault::Stalled(_))), "a kernel page with a SubstreamID");
            assert!(matches!(bench.machine.read(user(process), 0x3000), Err(Fault::Stalled(_))), "privileged pages of the process");
            bench.driver.handle_events(|_| Some(hal::Verdict::Abort)).unwrap();
            bench.machine.take_resumed();
        }
    });
}

#[test]
fn sm_p13_a_quiesced_process_ends_without_events() {
    on_every(|run| {
        let mut bench = run.attached();
        let (process, mut tables) = bench.process();
        let pa = bench.machine.page(0, 5);
        tables.map(0x7000, pa, Right::ReadWrite);
        assert_eq!(bench.machine.read(user(process), 0x7000), Ok(5));
        bench.driver.quiesce(STREAM, process).unwrap();
        bench.driver.quiesce(STREAM, process).expect("twice is harmless");
        // The table's memory is gone: a walk would now find a hole.
        tables.free();
        for i in 0..100 {
            assert_eq!(bench.machine.read(user(process), 0x7000 + i * 0x1000), Err(Fault::Abort));
        }
        assert_eq!(bench.machine.events(&mut bench.driver), []);
        assert_eq!(bench.driver.free_substream(process), Err(SmmuError::SubstreamBusy(process)));
        bench.driver.unbind(STREAM, process).unwrap();
        bench.driver.free_substream(process).unwrap();
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_p07_two_streams_of_one_process_share_its_table_and_its_invalidation() {
    on_every(|run| {
        let mut bench = run.attached();
        let second = hal::StreamId(0x110);
        let mut other_kernel = Tables::new(&bench.machine, &mut bench.driver);
        other_kernel.map(0x1000, bench.machine.page(9, 9), Right::ReadWrite);
        bench.driver.attach(second, &other_kernel.description(), smmu_driver::FaultModel::Stall).unwrap();
        let (process, mut tables) = bench.process();
        bench.driver.bind(second, process, &tables.description()).unwrap();
        tables.map(0x7000, bench.machine.page(0, 0x70), Right::ReadWrite);
        let through = |stream| hal::Requester { stream, ..user(process) };
        for stream in [STREAM, second] {
            assert_eq!(bench.machine.read(through(stream), 0x7000), Ok(0x70));
        }
        tables.unmap(&mut bench.driver, 0x7000);
        for stream in [STREAM, second] {
            assert!(matches!(bench.machine.read(through(stream), 0x7000), Err(Fault::Stalled(_))));
        }
        bench.driver.unbind(second, process).unwrap();
        assert_eq!(bench.driver.free_asid(tables.asid), Err(SmmuError::AsidInUse(tables.asid)));
        bench.driver.unbind(STREAM, process).unwrap();
        bench.driver.free_asid(tables.asid).unwrap();
        assert_eq!(bench.machine.take_resumed().len(), 2);
        assert_eq!(bench.machine.memory.peek64(Pa(super::driver_machine::DATA)), 0x70);
    });
}
