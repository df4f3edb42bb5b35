//! Faults, stalls and what becomes of them.

use hal::{AccessKind, Iova, Va, Verdict};
use smmu_driver::{Config, Event, FaultKind, FaultModel, Leaf, SmmuError, Ticket};
use smmu_model::{Fault, Profile};
use smmu_spec::{event::EventId, irq};

use super::driver_machine::{Right, STREAM, Tables, kernel, user};
use super::driver_runs::on_every;

fn only_ticket(events: &[Event]) -> Ticket {
    let [Event::Fault(fault)] = events else { panic!("{events:?}") };
    fault.stall.expect("a ticket")
}

#[test]
fn sm_f03_a_stalled_access_completes_after_the_page_was_mapped() {
    on_every(|run| {
        let mut bench = run.attached();
        let (process, mut tables) = bench.process();
        let pa = bench.machine.page(0, 0xda7a);
        bench.machine.irq.take_all();
        let Err(Fault::Stalled(tag)) = bench.machine.read(user(process), 0x7008) else { panic!() };
        assert_eq!(bench.machine.irq.take(irq::EVENTQ), 1);
        let events = bench.machine.events(&mut bench.driver);
        let [Event::Fault(fault)] = events[..] else { panic!("{events:?}") };
        assert_eq!((fault.kind, fault.access, fault.address), (FaultKind::Translation, AccessKind::Read, Iova(0x7008)));
        assert_eq!((fault.stream, fault.substream, fault.privileged), (STREAM, Some(process), false));
        let ticket = fault.stall.expect("a ticket");
        assert_eq!(ticket.tag(), tag);
        tables.map(0x7000, pa, Right::ReadWrite);
        bench.driver.resume(ticket, Verdict::Retry).unwrap();
        assert_eq!(bench.machine.take_resumed(), [(tag, Verdict::Retry)]);
        assert_eq!(bench.machine.read(user(process), 0x7008), Ok(0xda7a));
        assert_eq!(bench.driver.resume(ticket, Verdict::Retry), Err(SmmuError::UnknownStall), "one answer per stall");
        assert_eq!((bench.driver.pending_stalls(), bench.machine.violations()), (0, vec![]));
    });
}

#[test]
fn sm_f04_a_stalled_access_can_be_refused() {
    on_every(|run| {
        for verdict in [Verdict::Abort, Verdict::ReadZeroWriteIgnore] {
            let mut bench = run.attached();
            let (process, _tables) = bench.process();
            let Err(Fault::Stalled(tag)) = bench.machine.write(user(process), 0x7000, 1) else { panic!() };
            bench.machine.dma.take_interrupt();
            let mut seen = Vec::new();
            bench
                .driver
                .handle_events(|event| {
                    seen.push(*event);
                    Some(verdict)
                })
                .unwrap();
            assert!(matches!(seen[..], [Event::Fault(fault)] if fault.access == AccessKind::Write));
            assert_eq!(bench.machine.take_resumed(), [(tag, verdict)]);
            assert_eq!((bench.driver.pending_stalls(), bench.machine.violations()), (0, vec![]));
        }
    });
}

#[test]
fn sm_f02_a_terminating_stream_aborts_and_reports() {
    on_every(|run| {
        let mut bench = run.attached_with(Profile::STALL_S1, Config::default(), FaultModel::Terminate);
        let (process, mut tables) = bench.process();
        tables.map(0x7000, bench.machine.page(0, 1), Right::ReadOnly);
        assert_eq!(bench.machine.write(user(process), 0x7000, 1), Err(Fault::Abort));
        assert_eq!(bench.machine.read(user(process), 0x8000), Err(Fault::Abort));
        assert_eq!(bench.machine.read(user(process), 0x7000), Ok(1), "others go on");
        let kinds: Vec<_> = bench
            .machine
            .events(&mut bench.driver)
            .iter()
            .map(|event| match event {
                Event::Fault(fault) => (fault.kind, fault.access, fault.stall.is_none()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(kinds, [(FaultKind::Permission, AccessKind::Write, true), (FaultKind::Translation, AccessKind::Read, true)]);
    });
}

#[test]
fn sm_f08_a_permission_that_was_widened_is_seen_by_the_retry() {
    on_every(|run| {
        let mut bench = run.attached();
        let (process, mut tables) = bench.process();
        let pa = bench.machine.page(0, 3);
        tables.map(0x7000, pa, Right::ReadOnly);
        assert_eq!(bench.machine.read(user(process), 0x7000), Ok(3), "now the TLB may hold it");
        assert!(matches!(bench.machine.write(user(process), 0x7000, 4), Err(Fault::Stalled(_))));
        let ticket = only_ticket(&bench.machine.events(&mut bench.driver));
        tables.map(0x7000, pa, Right::ReadWrite);
        bench.driver.resume(ticket, Verdict::Retry).unwrap();
        assert_eq!(bench.machine.write(user(process), 0x7000, 4), Ok(()), "the denied mapping must not be served again");
        assert_eq!(bench.machine.read(user(process), 0x7000), Ok(4));
    });
}

#[test]
fn sm_f05_a_stale_ticket_does_not_answer_a_later_stall() {
    on_every(|run| {
        let mut bench = run.attached();
        let mut old = Vec::new();
        for _ in 0..200 {
            let (process, tables) = bench.process();
            assert!(matches!(bench.machine.read(user(process), 0x7000), Err(Fault::Stalled(_))));
            old.push(only_ticket(&bench.machine.events(&mut bench.driver)));
            bench.driver.unbind(STREAM, process).unwrap();
            tables.free();
        }
        bench.machine.take_resumed();
        let (process, _tables) = bench.process();
        assert!(matches!(bench.machine.read(user(process), 0x7000), Err(Fault::Stalled(_))));
        let live = only_ticket(&bench.machine.events(&mut bench.driver));
        for ticket in old {
            assert_eq!(bench.driver.resume(ticket, Verdict::Abort), Err(SmmuError::UnknownStall));
        }
        assert_eq!(bench.machine.take_resumed(), []);
        bench.driver.resume(live, Verdict::Abort).unwrap();
        assert_eq!((bench.machine.take_resumed().len(), bench.machine.violations()), (1, vec![]));
    });
}

#[test]
fn sm_f06_blocking_a_stream_ends_all_its_stalls() {
    on_every(|run| {
        let mut bench = run.attached();
        let (process, mut tables) = bench.process();
        tables.map(0x9000, bench.machine.page(0, 9), Right::ReadWrite);
        for i in 0..10 {
            assert!(matches!(bench.machine.read(user(process), 0x10_0000 + i * 0x1000), Err(Fault::Stalled(_))));
        }
        // Some were fetched, some lie in the queue.
        bench.machine.dma.take_interrupt();
        let known: Vec<_> = (0..4).map(|_| bench.driver.next_event().unwrap().unwrap()).collect();
        assert_eq!(bench.driver.stall_terminate(STREAM), Err(SmmuError::NotBlocked(STREAM)));
        bench.driver.block(STREAM).unwrap();
        let ended = bench.machine.take_resumed();
        assert_eq!(ended.len(), 10);
        assert!(ended.iter().all(|(_, verdict)| *verdict == Verdict::Abort));
        assert_eq!(bench.machine.read(user(process), 0x9000), Err(Fault::Abort));
        for event in known {
            let Event::Fault(fault) = event else { panic!() };
            assert_eq!(bench.driver.resume(fault.stall.unwrap(), Verdict::Retry), Err(SmmuError::UnknownStall));
        }
        for event in bench.machine.events(&mut bench.driver) {
            assert!(matches!(event, Event::Fault(fault) if fault.stall.is_none()));
        }
        bench.driver.unblock(STREAM).unwrap();
        assert_eq!(bench.machine.read(user(process), 0x9000), Ok(9));
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_f07_unbinding_answers_every_stall_of_the_process_and_no_other() {
    on_every(|run| {
        let mut bench = run.attached();
        let (dying, _dying_tables) = bench.process();
        let (living, mut living_tables) = bench.process();
        for i in 0..6 {
            assert!(matches!(bench.machine.read(user(dying), 0x10_0000 + i * 0x1000), Err(Fault::Stalled(_))));
            assert!(matches!(bench.machine.read(user(living), 0x20_0000 + i * 0x1000), Err(Fault::Stalled(_))));
        }
        bench.machine.dma.take_interrupt();
        let first: Vec<_> = (0..3).map(|_| bench.driver.next_event().unwrap().unwrap()).collect();
        bench.driver.unbind(STREAM, dying).unwrap();
        assert_eq!(bench.machine.take_resumed().len(), 6);
        bench.driver.free_substream(dying).unwrap();
        // The others are reported still, and can be answered.
        let rest = bench.machine.events(&mut bench.driver);
        assert_eq!(first.len() + rest.len(), 12);
        let mut answered = 0;
        for event in first.iter().chain(&rest) {
            let Event::Fault(fault) = event else { panic!("{event:?}") };
            if fault.substream == Some(living) {
                let pa = bench.machine.page(answered, answered);
                living_tables.map(fault.address.0, pa, Right::ReadWrite);
                bench.driver.resume(fault.stall.expect("a ticket"), Verdict::Retry).unwrap();
                assert_eq!(bench.machine.read(user(living), fault.address.0), Ok(answered));
                answered += 1;
            }
        }
        assert_eq!((answered, bench.driver.pending_stalls(), bench.machine.violations()), (6, 0, vec![]));
    });
}

#[test]
fn sm_p13_a_process_that_exits_while_faults_pend_is_waited_for_by_nobody() {
    on_every(|run| {
        let mut bench = run.attached();
        let (dying, mut tables) = bench.process();
        let (living, mut living_tables) = bench.process();
        living_tables.map(0x7000, bench.machine.page(1, 0x11), Right::ReadWrite);
        for i in 0..6 {
            assert!(matches!(bench.machine.read(user(dying), 0x10_0000 + i * 0x1000), Err(Fault::Stalled(_))));
        }
        assert!(matches!(bench.machine.read(user(living), 0x9000), Err(Fault::Stalled(_))));
        // Two were fetched and are being worked at, the others lie in the queue.
        bench.machine.dma.take_interrupt();
        let known: Vec<_> = (0..2).map(|_| bench.driver.next_event().unwrap().unwrap()).collect();
        bench.driver.quiesce(STREAM, dying).unwrap();
        let ended = bench.machine.take_resumed();
        assert!(ended.len() == 6 && ended.iter().all(|(_, verdict)| *verdict == Verdict::Abort), "{ended:?}");
        // Its memory is gone; what the device still had to do neither waits nor tells of it.
        tables.map(0x7000, bench.machine.page(0, 0xdead), Right::ReadWrite);
        let table = tables.description();
        tables.free();
        for i in 0..50 {
            assert_eq!(bench.machine.read(user(dying), 0x7000 + i * 0x1000), Err(Fault::Abort));
            assert_eq!(bench.machine.read(user(living), 0x7000), Ok(0x11));
        }
        for event in known {
            let Event::Fault(fault) = event else { panic!("{event:?}") };
            assert_eq!(bench.driver.resume(fault.stall.unwrap(), Verdict::Retry), Err(SmmuError::UnknownStall), "too late");
        }
        // The records of its own stalls ask for nothing; the neighbour's does.
        let rest = bench.machine.events(&mut bench.driver);
        assert_eq!(rest.len(), 5, "{rest:?}");
        let asks = |event: &Event| matches!(event, Event::Fault(fault) if fault.stall.is_some());
        assert_eq!(rest.iter().filter(|event| asks(event)).count(), 1);
        for event in rest {
            let Event::Fault(fault) = event else { panic!("{event:?}") };
            assert_eq!(fault.stall.is_some(), fault.substream == Some(living));
        }
        assert_eq!(bench.driver.pending_stalls(), 1);
        bench.driver.unbind(STREAM, dying).unwrap();
        bench.driver.free_substream(dying).unwrap();
        bench.driver.free_asid(table.asid).unwrap();
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_p09_a_fault_that_was_set_aside_is_not_delivered_to_the_next_owner() {
    on_every(|run| {
        let mut bench = run.attached();
        let (old, tables) = bench.process();
        let (other, _other_tables) = bench.process();
        assert!(matches!(bench.machine.read(user(old), 0x7000), Err(Fault::Stalled(_))));
        assert!(matches!(bench.machine.read(user(other), 0x8000), Err(Fault::Stalled(_))));
        // To end the one the driver reads the queue: the record of the other, who lives, is kept.
        bench.driver.unbind(STREAM, other).unwrap();
        assert_eq!((bench.machine.take_resumed().len(), bench.driver.pending_stalls()), (1, 1));
        // Then that one ends too, and its number is somebody else's at once.
        bench.driver.unbind(STREAM, old).unwrap();
        assert_eq!((bench.machine.take_resumed().len(), bench.driver.pending_stalls()), (1, 0));
        bench.driver.free_substream(old).unwrap();
        bench.driver.free_asid(tables.asid).unwrap();
        bench.driver.claim_substream(old).unwrap();
        let next = Tables::new(&bench.machine, &mut bench.driver);
        bench.driver.bind(STREAM, old, &next.description()).unwrap();
        let events = bench.machine.events(&mut bench.driver);
        assert_eq!(events.len(), 2, "both are told of");
        assert!(events.iter().all(|event| matches!(event, Event::Fault(fault) if fault.stall.is_none())), "{events:?}");
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_f09_a_stall_of_nobody_is_aborted_at_once() {
    on_every(|run| {
        let mut bench = run.attached();
        let (process, _tables) = bench.process();
        assert!(matches!(bench.machine.read(user(process), 0x7000), Err(Fault::Stalled(_))));
        bench.driver.unbind(STREAM, process).unwrap();
        let resumed = bench.machine.take_resumed();
        assert!(matches!(resumed[..], [(_, Verdict::Abort)]));
        let events = bench.machine.events(&mut bench.driver);
        assert!(matches!(events[..], [Event::Fault(fault)] if fault.stall.is_none() && fault.substream == Some(process)));
    });
}

#[test]
fn sm_f11_an_overflow_is_reported_acknowledged_and_survived() {
    on_every(|run| {
        let config = Config { event_queue_log2: 2, ..Config::default() };
        let mut bench = run.attached_with(Profile::STALL_S1, config, FaultModel::Stall);
        for round in 0..3 {
            for i in 0..7 {
                assert_eq!(bench.machine.read(kernel(), 0x10_0000 + i * 0x1000), Err(Fault::Abort));
            }
            let events = bench.machine.events(&mut bench.driver);
            assert_eq!(events.iter().filter(|e| matches!(e, Event::Fault(_))).count(), 4, "round {round}: {events:?}");
            assert_eq!(events.iter().filter(|e| matches!(e, Event::RecordsLost)).count(), 1, "round {round}");
        }
        bench.kernel.map(0x1000, bench.machine.page(0, 1), Right::ReadWrite);
        assert_eq!(bench.machine.read(kernel(), 0x1000), Ok(1));
        assert_eq!(bench.machine.events(&mut bench.driver), []);
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_f12_no_stall_is_lost_in_a_queue_of_four() {
    on_every(|run| {
        let config = Config { event_queue_log2: 2, ..Config::default() };
        let mut bench = run.attached_with(Profile::STALL_S1, config, FaultModel::Stall);
        let (process, mut tables) = bench.process();
        let (other, mut other_tables) = bench.process();
        other_tables.map(0x5000, bench.machine.page(50, 5), Right::ReadWrite);
        for i in 0..40 {
            assert!(matches!(bench.machine.read(user(process), 0x10_0000 + i * 0x1000), Err(Fault::Stalled(_))));
        }
        assert_eq!(bench.machine.read(user(other), 0x5000), Ok(5), "others progress");
        let mut served = 0;
        while served < 40 {
            let events = bench.machine.events(&mut bench.driver);
            assert!(!events.is_empty(), "{served} of 40 were reported");
            for event in events {
                let Event::Fault(fault) = event else { panic!("{event:?}") };
                tables.map(fault.address.0, bench.machine.page(served, served), Right::ReadWrite);
                bench.driver.resume(fault.stall.expect("a ticket"), Verdict::Retry).unwrap();
                served += 1;
            }
        }
        let retried = bench.machine.take_resumed();
        assert_eq!(retried.iter().filter(|(tag, _)| tag.stag != smmu_model::HELD_STAG).count(), 40);
        for i in 0..40 {
            assert!(bench.machine.read(user(process), 0x10_0000 + i * 0x1000).is_ok());
        }
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_f15_an_event_queue_in_a_hole_is_a_named_error() {
    on_every(|run| {
        let mut bench = run.attached();
        let base = smmu_spec::regs::SMMU_EVENTQ_BASE.get(&bench.machine.model) & 0x00ff_ffff_ffff_ffe0;
        bench.machine.memory.hide_from_devices(hal::Pa(base), 4096, true);
        assert_eq!(bench.machine.read(kernel(), 0x7000), Err(Fault::Abort));
        assert_eq!(bench.machine.irq.take(irq::GERROR), 1);
        let errors = bench.driver.handle_global_error().unwrap();
        assert!(errors.lost_events() && !errors.is_fatal());
        let none = bench.driver.handle_global_error().unwrap();
        assert_eq!(none.active.get(), 0, "acknowledged");
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_p02_a_fault_names_stream_substream_and_address_and_the_queue_lives() {
    on_every(|run| {
        let mut bench = run.attached();
        let (process, mut tables) = bench.process();
        tables.map(0x7000, bench.machine.page(0, 1), Right::ReadOnly);
        assert!(matches!(bench.machine.write(user(process), 0x7ff8, 1), Err(Fault::Stalled(_))));
        let record = bench.machine.records(&mut bench.driver)[0];
        assert_eq!((record.id(), record.stream(), record.substream()), (EventId::F_PERMISSION, STREAM, Some(process)));
        assert_eq!((record.input_address(), record.is_read()), (0x7ff8, false));
        bench.driver.quiesce(STREAM, process).unwrap();
        let (next, mut next_tables) = bench.process();
        next_tables.map(0x7000, bench.machine.page(1, 2), Right::ReadWrite);
        assert_eq!(bench.machine.read(user(next), 0x7000), Ok(2));
    });
}

#[test]
fn faults_are_handled_while_the_command_path_is_in_use_and_nothing_waits_for_the_device() {
    on_every(|run| {
        // A stall pends throughout: invalidations, bind and unbind of others complete all the same.
        let mut bench = run.attached();
        let (stuck, _stuck_tables) = bench.process();
        let Err(Fault::Stalled(tag)) = bench.machine.read(user(stuck), 0x7000) else { panic!() };
        for _ in 0..3 {
            let (process, mut tables) = bench.process();
            tables.map(0x7000, bench.machine.page(0, 1), Right::ReadWrite);
            assert_eq!(bench.machine.read(user(process), 0x7000), Ok(1));
            bench.driver.invalidate_range(tables.asid, Va(0x7000), 0x1000, Leaf::Only).unwrap();
            bench.driver.unbind(STREAM, process).unwrap();
            tables.free();
        }
        assert_eq!(bench.machine.take_resumed(), []);
        let ticket = only_ticket(&bench.machine.events(&mut bench.driver));
        assert_eq!(ticket.tag(), tag);
        let _unused = Tables::new(&bench.machine, &mut bench.driver);
    });
}
