//! QM-P and QM-O: events, arming, interrupts, overflows.

use hal::{Pa, PhysMemory, QueueId};
use qm_driver::{AsyncEvent, EventReport, QpState};
use qm_model::QmConfig;
use qm_spec::QmVersion;

use super::machine::*;

const SQE: [u32; 32] = [1; 32];

/// Takes an EQ interrupt and returns the queues served.
fn serve(machine: &Machine, driver: &mut Driver) -> (Vec<u16>, EventReport) {
    machine.dma.take_interrupt();
    let mut queues = Vec::new();
    let report = driver.handle_eq(|queue| queues.push(queue.0));
    (queues, report)
}

fn consume(driver: &mut Driver, queue: QueueId) -> usize {
    let mut sqe = [0; 32];
    let mut count = 0;
    while driver.poll_completion(queue, &mut sqe).unwrap().is_some() {
        count += 1;
    }
    count
}

#[test]
fn an_armed_queue_sends_one_event_and_one_message() {
    let machine = Machine::v3(8);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    assert_eq!(machine.vectors(), [], "nothing before the first completion");
    for _ in 0..3 {
        driver.submit(queue, &SQE).unwrap();
    }
    machine.silicon().run();
    assert_eq!(machine.vectors(), [0], "the context arms the first completion, not the others");
    assert_eq!(machine.silicon().read(0x8), 1);
    assert_eq!(serve(&machine, &mut driver).0, [queue.0]);
    assert_eq!(machine.silicon().read(0x8), 0, "the doorbell clears the source");
    assert_eq!(consume(&mut driver, queue), 3);
    driver.submit(queue, &SQE).unwrap();
    machine.silicon().run();
    assert_eq!(machine.vectors(), [], "not armed again");
    assert_eq!(consume(&mut driver, queue), 1);
    driver.arm(queue).unwrap();
    driver.submit(queue, &SQE).unwrap();
    machine.silicon().run();
    assert_eq!(machine.vectors(), [0]);
}

#[test]
fn the_event_queue_sends_one_message_per_doorbell() {
    let machine = Machine::v3(8);
    let mut driver = machine.started();
    let queues = [machine.queue(&mut driver), machine.queue(&mut driver), machine.queue(&mut driver)];
    for queue in queues {
        driver.submit(queue, &SQE).unwrap();
    }
    machine.silicon().run();
    assert_eq!(machine.vectors(), [0], "three events, one message: the ring is armed once");
    assert_eq!(serve(&machine, &mut driver).0, [0, 1, 2]);
    assert_eq!(machine.vectors(), []);
}

#[test]
fn qm_p08_a_completion_between_the_last_poll_and_the_arming_is_delivered() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    let mut next = 0;
    // Every placement of one completion among: poll, arm, sleep.
    for place in 0..3 {
        for _ in 0..9 {
            driver.submit(queue, &SQE).unwrap();
            let engine = |at: i32| {
                if place == at {
                    machine.silicon().run();
                }
            };
            engine(0);
            let polled = consume(&mut driver, queue);
            engine(1);
            driver.arm(queue).unwrap();
            engine(2);
            let messages = machine.vectors().len();
            assert!(polled == 1 || messages == 1, "place {place}: neither polled nor told");
            if messages == 1 {
                let served = serve(&machine, &mut driver).0;
                // Arming over a completion that was told already tells it again; that is allowed.
                assert!(!served.is_empty() && served.iter().all(|qn| *qn == queue.0));
            }
            next += polled + consume(&mut driver, queue);
            machine.vectors();
        }
    }
    assert_eq!(next, 27);
}

/// Linux sizes what one pass collects by the number of queues; a process that arms at every completion must not get more out of such a part.
#[test]
fn qm_p05_a_queue_has_one_event_outstanding_however_often_it_is_armed() {
    let machine = Machine::new(QmConfig { one_event_outstanding: true, ..config(QmVersion::V3, 4, 8, 4) });
    let mut driver = machine.started();
    let (busy, other) = (machine.queue(&mut driver), machine.queue(&mut driver));
    for _ in 0..20 {
        driver.submit(busy, &SQE).unwrap();
        machine.silicon().run();
        assert_eq!(consume(&mut driver, busy), 1);
        driver.arm(busy).unwrap();
    }
    driver.submit(other, &SQE).unwrap();
    machine.silicon().run();
    assert_eq!(machine.vectors(), [0]);
    assert_eq!(serve(&machine, &mut driver).0, [busy.0, other.0], "one entry each, and no overflow of a ring of 8");
    // What came since is told once more, as soon as software has consumed the entry, and not again after that.
    assert_eq!(machine.vectors(), [0]);
    assert_eq!(serve(&machine, &mut driver).0, [busy.0]);
    assert_eq!(machine.vectors(), []);
}

#[test]
fn qm_p05_a_pass_takes_half_the_ring_and_the_rest_comes_with_the_next_message() {
    let machine = Machine::new(config(QmVersion::V3, 4, 6, 4));
    let mut driver = machine.started();
    let queues: Vec<QueueId> = (0..4).map(|_| machine.queue(&mut driver)).collect();
    for queue in &queues {
        driver.submit(*queue, &SQE).unwrap();
    }
    machine.silicon().run();
    assert_eq!(machine.vectors(), [0]);
    assert_eq!(serve(&machine, &mut driver).0, [0, 1]);
    assert_eq!(machine.vectors(), [0], "the doorbell leaves entries behind: told again");
    assert_eq!(serve(&machine, &mut driver).0, [2, 3]);
    assert_eq!(machine.vectors(), []);
}

#[test]
fn qm_p01_the_event_queue_wraps() {
    for depth in [4u16, 5, 8] {
        let machine = Machine::new(config(QmVersion::V3, 4, depth, 4));
        let mut driver = machine.started();
        let queue = machine.queue(&mut driver);
        for round in 0..3 * depth + 1 {
            driver.submit(queue, &SQE).unwrap();
            machine.silicon().run();
            assert_eq!(machine.vectors(), [0], "depth {depth} round {round}");
            assert_eq!(serve(&machine, &mut driver), (vec![queue.0], EventReport { queues: 1, stray: 0 }));
            assert_eq!(consume(&mut driver, queue), 1);
            driver.arm(queue).unwrap();
        }
    }
}

#[test]
fn qm_p06_a_spurious_interrupt_is_counted_and_does_nothing() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    machine.queue(&mut driver);
    for _ in 0..3 {
        assert_eq!(serve(&machine, &mut driver), (vec![], EventReport::default()));
    }
    assert_eq!(driver.statistics().spurious_eq_interrupts, 3);
    let mut events = 0;
    driver.handle_aeq(|_| events += 1);
    assert_eq!(events, 0);
    assert_eq!(machine.vectors(), [], "no message comes of it");
}

#[test]
fn qm_p07_a_lost_interrupt_loses_no_completion() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    driver.submit(queue, &SQE).unwrap();
    machine.silicon().run();
    machine.vectors();
    assert_eq!(consume(&mut driver, queue), 1, "polling sees it");
    assert_eq!(serve(&machine, &mut driver).0, [queue.0], "and so does a timer that calls the handler");
}

#[test]
fn qm_p10_an_event_of_a_stopped_queue_is_ignored() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    machine.run_while_waiting();
    let queue = machine.queue(&mut driver);
    driver.submit(queue, &SQE).unwrap();
    driver.stop_queue(queue).unwrap();
    assert_eq!(serve(&machine, &mut driver), (vec![], EventReport { queues: 0, stray: 1 }));
    assert_eq!(driver.statistics().stray_events, 1);
}

#[test]
fn qm_p11_an_event_that_names_no_queue_is_dropped() {
    let mut machine = Machine::v3(8);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    let eqc = driver.dump_context(qm_spec::MailboxCommand::EQC, 0).unwrap();
    let ring = u64::from(eqc[1]);
    for (slot, qn) in [4u16, 7, 8, 1023, 0xffff, queue.0].into_iter().enumerate() {
        let word = 0x1_0000 | u32::from(qn);
        machine.memory.write(Pa(ring + slot as u64 * 4), &word.to_le_bytes()).unwrap();
    }
    assert_eq!(serve(&machine, &mut driver), (vec![queue.0], EventReport { queues: 1, stray: 5 }));
}

#[test]
fn qm_o01_a_queue_that_is_not_consumed_overflows_alone() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let (bad, good) = (machine.queue(&mut driver), machine.queue(&mut driver));
    machine.vectors();
    // A process that submits without ever consuming: three completions fit, the fourth does not.
    let mut s = machine.silicon();
    s.ring_page(0, sq_doorbell(0, 3));
    assert_eq!(s.run(), 3);
    s.ring_page(0, sq_doorbell(0, 1));
    assert_eq!(s.run(), 1);
    assert!(s.model.queue_view(0).unwrap().halted);
    drop(s);
    assert_eq!(machine.vectors(), [0, 1], "the first completion's event, then the error");
    machine.dma.take_interrupt();
    let mut events = Vec::new();
    driver.handle_aeq(|event| events.push(event));
    assert_eq!(events, [AsyncEvent::CqOverflow(bad)]);
    let block = u64::from(driver.dump_context(qm_spec::MailboxCommand::SQC, bad.0).unwrap()[1]);
    let (rx, tx) = (driver.dus_layout().rx_stop_offset() as u64, driver.dus_layout().tx_stop_offset() as u64);
    assert_eq!((machine.words::<1>(block + tx), machine.words::<1>(block + rx)), ([1], [0]), "TX-stop at once, RX-stop only when drained");
    driver.disable_queue(bad).unwrap();
    assert_eq!(machine.words::<1>(block + rx), [1]);
    assert_eq!(driver.queue_state(bad), QpState::Init);
    driver.submit(good, &SQE).unwrap();
    machine.silicon().run();
    assert_eq!(consume(&mut driver, good), 1, "the neighbour works");
    driver.start_queue(bad).unwrap();
    assert_eq!(machine.words::<2>(block + rx), [0, 0], "both words are cleared for the next life");
    driver.submit(bad, &SQE).unwrap();
    machine.silicon().run();
    assert_eq!(consume(&mut driver, bad), 1);
}

#[test]
fn qm_o02_a_misused_queue_is_reported_as_an_error() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    machine.silicon().ring_page(0, sq_doorbell(0, 9));
    assert_eq!(machine.vectors(), [1]);
    machine.dma.take_interrupt();
    let mut events = Vec::new();
    driver.handle_aeq(|event| events.push(event));
    assert_eq!(events, [AsyncEvent::CqeError(queue)]);
    driver.disable_queue(queue).unwrap();
}

#[test]
fn qm_o03_events_that_are_not_consumed_stop_the_event_queue_and_say_so() {
    let machine = Machine::new(config(QmVersion::V3, 16, 4, 4));
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    for _ in 0..5 {
        driver.submit(queue, &SQE).unwrap();
        machine.silicon().run();
        assert_eq!(consume(&mut driver, queue), 1);
        driver.arm(queue).unwrap();
    }
    assert_eq!(machine.vectors(), [0, 1], "three events fit, the fourth does not");
    machine.dma.take_interrupt();
    let mut events = Vec::new();
    driver.handle_aeq(|event| events.push(event));
    assert_eq!(events, [AsyncEvent::EqOverflow], "once");
    assert_eq!(machine.silicon().model.counters().events_lost, 2);
    machine.run_while_waiting();
    driver.shutdown().unwrap();
    driver.initialise().unwrap();
    driver.start().unwrap();
    let queue = machine.queue(&mut driver);
    machine.vectors();
    driver.submit(queue, &SQE).unwrap();
    machine.silicon().run();
    assert_eq!(machine.vectors(), [0], "after a restart of the function events come again");
    assert_eq!(serve(&machine, &mut driver).0, [queue.0]);
}

#[test]
fn qm_o04_an_unknown_type_is_passed_on_and_passed_over() {
    let mut machine = Machine::v3(4);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    let aeqc = driver.dump_context(qm_spec::MailboxCommand::AEQC, 0).unwrap();
    let ring = u64::from(aeqc[1]);
    // Type 15 of queue 2, then row 52's CQ overflow for a queue that is not ours, then for one that is.
    for (slot, word) in [0x001f_0002u32, 0x0001_0007, 0x0001_0000 | u32::from(queue.0)].into_iter().enumerate() {
        machine.memory.write(Pa(ring + slot as u64 * 4), &word.to_le_bytes()).unwrap();
    }
    let mut events = Vec::new();
    driver.handle_aeq(|event| events.push(event));
    assert_eq!(
        events,
        [AsyncEvent::Unknown { queue: 2, kind: qm_spec::AeqeType(15) }, AsyncEvent::Stray { queue: 7 }, AsyncEvent::CqOverflow(queue)]
    );
}

#[test]
fn qm_o05_asynchronous_events_wait_for_room() {
    let machine = Machine::new(config(QmVersion::V3, 4, 8, 2));
    let mut driver = machine.started();
    let queues: Vec<QueueId> = (0..4).map(|_| machine.queue(&mut driver)).collect();
    for qn in 0..4u16 {
        machine.silicon().ring_page(qn.into(), sq_doorbell(qn, 9));
    }
    assert_eq!(machine.vectors(), [1]);
    let mut events = Vec::new();
    for _ in 0..4 {
        machine.dma.take_interrupt();
        driver.handle_aeq(|event| events.push(event));
    }
    assert_eq!(events, queues.iter().map(|queue| AsyncEvent::CqeError(*queue)).collect::<Vec<_>>());
    assert_eq!(machine.vectors(), [1, 1, 1], "one message for each entry that found the ring empty");
}

#[test]
fn masked_sources_wait_and_are_told_when_unmasked() {
    let machine = Machine::v3(4);
    machine.bare();
    machine.bare_queue(0, 4, true);
    let mut s = machine.silicon();
    s.write(0xc, 1);
    s.ring_page(0, sq_doorbell(0, 1));
    s.run();
    assert_eq!((s.read(0x8), machine.vectors()), (1, vec![]));
    s.write(0xc, 0);
    assert_eq!(machine.vectors(), [0]);
    s.write(0xc, 1);
    s.write(0xc, 0);
    assert_eq!(machine.vectors(), [0], "the source is still there");
    s.ring(0x2000, 0x0000_0001_0000_2000);
    assert_eq!(s.read(0x8), 0);
}

/// A timer may call the handler without an interrupt: nothing but the handler's own barrier stands between the event and its completion.
#[test]
fn qm_p02_a_completion_is_not_older_than_its_event() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    for round in 0..5 {
        driver.submit(queue, &SQE).unwrap();
        assert_eq!(driver.poll_completion(queue, &mut [0; 32]), Ok(None));
        machine.silicon().run();
        let mut told = 0;
        driver.handle_eq(|_| told += 1);
        assert_eq!((told, consume(&mut driver, queue)), (1, 1), "round {round}");
        driver.arm(queue).unwrap();
    }
}
