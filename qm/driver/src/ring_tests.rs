//! Rings, phases and contexts as the driver keeps them, against words that the tests write as the device would.

use hal::QueueId;
use qm_spec::MailboxCommand;

use crate::scripted::{DEPTH, Driver, SQE_WORDS, Script};
use crate::{AsyncEvent, QmError, QpState};

/// A queue's rings, as its contexts say.
struct Rings {
    sq: u64,
    cq: u64,
}

fn rings(script: &Script, queue: QueueId) -> Rings {
    let at = |command| u64::from(script.context(command, queue.0)[1]);
    Rings { sq: at(MailboxCommand::SQC), cq: at(MailboxCommand::CQC) }
}

/// Completes slot `slot` as the device: the entry's second word, then the completion at the `n`th place since the queue's start.
fn complete(script: &Script, rings: &Rings, queue: QueueId, slot: u16, n: u32) {
    script.put(rings.sq + u64::from(slot) * 16 + 4, &[0x5000 + u32::from(slot)]);
    let depth = u32::from(DEPTH);
    let phase = u32::from(n / depth % 2 == 0) << 16;
    script.put(rings.cq + u64::from(n % depth) * 16, &[0, 0, u32::from(slot) | u32::from(queue.0) << 16, phase]);
}

fn submit(driver: &mut Driver, queue: QueueId, tag: u32) -> u16 {
    driver.submit(queue, &[tag, 0, 0, 0]).expect("room")
}

#[test]
fn contexts_are_the_words_of_the_tables() {
    let script = Script::new();
    let (mut driver, first) = script.started();
    let second = driver.get_queue(None).expect("a queue");
    driver.start_queue(second).expect("start");
    for queue in [first, second] {
        let Rings { sq, cq } = rings(&script, queue);
        // By hand from C.1 and C.2: depth less one, entry lengths as powers of two in bits 15:12, completions in order to the CQ of the same number;
        // of the CQC the first phase is 1 and the first completion raises an event.
        let sqc = [0, sq as u32, 0, 0x4003, 0, 0, 0x0010_0000 | u32::from(queue.0), 0];
        assert_eq!(script.context(MailboxCommand::SQC, queue.0), sqc);
        assert_eq!(script.context(MailboxCommand::CQC, queue.0), [0, cq as u32, 0, 0x4003, 0, 0, 3, 0]);
        assert_eq!(cq, sq + u64::from(DEPTH) * 16);
    }
    for command in [MailboxCommand::EQC, MailboxCommand::AEQC] {
        let words = script.context(command, 0);
        assert_eq!((words[0], words[2], words[6]), (0, 0, 0x0001_0003), "C.3: first phase 1, 4 entries");
    }
}

#[test]
fn a_ring_goes_round_with_its_phase() {
    let script = Script::new();
    let (mut driver, queue) = script.started();
    let rings = rings(&script, queue);
    script.take_doorbells();
    let (mut sent, mut taken) = (0_u32, 0_u32);
    let depth = u32::from(DEPTH);
    let page = u64::from(queue.0) * 0x1_0000 + 0x1000;
    while taken < 5 * depth {
        while sent < taken + depth - 1 {
            let slot = submit(&mut driver, queue, sent);
            assert_eq!(u32::from(slot), sent % depth);
            assert_eq!(script.words::<1>(rings.sq + u64::from(slot) * 16), [sent]);
            sent += 1;
            let tail = u64::from(sent % depth);
            assert_eq!(script.take_doorbells(), [(page, tail << 32 | u64::from(queue.0))]);
        }
        assert_eq!(driver.submit(queue, &[0; SQE_WORDS]), Err(QmError::Full), "a full ring and an empty one must differ");
        let mut sqe = [0; SQE_WORDS];
        assert_eq!(driver.poll_completion(queue, &mut sqe), Ok(None), "what lies there is a lap old");
        complete(&script, &rings, queue, (taken % depth) as u16, taken);
        assert_eq!(driver.poll_completion(queue, &mut sqe), Ok(Some((taken % depth) as u16)));
        assert_eq!(sqe, [taken, 0x5000 + taken % depth, 0, 0]);
        taken += 1;
        let head = u64::from(taken % depth);
        assert_eq!(script.take_doorbells(), [(page, head << 32 | 0x1000 | u64::from(queue.0))]);
    }
}

#[test]
fn a_completion_of_anything_but_the_oldest_request_is_refused() {
    let script = Script::new();
    let (mut driver, queue) = script.started();
    let rings = rings(&script, queue);
    submit(&mut driver, queue, 1);
    submit(&mut driver, queue, 2);
    for (slot, number) in [(1, 0), (2, 0), (0xffff, 0), (0, 1), (0, 0xffff)] {
        script.put(rings.cq, &[0, 0, slot | number << 16, 0x1_0000]);
        let mut sqe = [7; SQE_WORDS];
        let expected = QmError::HostileCompletion { sq_head: slot as u16, sq_num: number as u16 };
        assert_eq!(driver.poll_completion(queue, &mut sqe), Err(expected));
        assert_eq!((sqe, driver.outstanding(queue)), ([7; SQE_WORDS], 2), "nothing was taken");
    }
    complete(&script, &rings, queue, 0, 0);
    assert_eq!(driver.poll_completion(queue, &mut [0; SQE_WORDS]), Ok(Some(0)));
    // More completions than requests.
    complete(&script, &rings, queue, 1, 1);
    assert_eq!(driver.poll_completion(queue, &mut [0; SQE_WORDS]), Ok(Some(1)));
    complete(&script, &rings, queue, 2, 2);
    assert!(matches!(driver.poll_completion(queue, &mut [0; SQE_WORDS]), Err(QmError::HostileCompletion { .. })));
}

#[test]
fn requests_that_were_cut_off_are_counted_and_cancelled_in_order() {
    let script = Script::new();
    let (mut driver, queue) = script.started();
    let rings = rings(&script, queue);
    for tag in 0..3 {
        submit(&mut driver, queue, tag);
    }
    complete(&script, &rings, queue, 0, 0);
    driver.stop_queue(queue).expect("the script stops at once");
    assert_eq!(driver.start_queue(queue), Err(QmError::Unfinished { requests: 3 }));
    assert_eq!(driver.poll_completion(queue, &mut [0; SQE_WORDS]), Ok(Some(0)), "what had completed is not lost");
    let mut slots = std::vec::Vec::new();
    driver.cancel_outstanding(queue, |slot| slots.push(slot)).expect("a stopped queue");
    assert_eq!((slots.as_slice(), driver.outstanding(queue)), (&[1, 2][..], 0));
    driver.start_queue(queue).expect("again");
    assert_eq!(script.words::<4>(rings.cq), [0; 4], "no phase of the first life is left");
    assert_eq!(submit(&mut driver, queue, 9), 0, "and the ring begins anew");
}

#[test]
fn events_name_started_queues_or_are_strays() {
    let script = Script::new();
    let (mut driver, queue) = script.started();
    let eq = u64::from(script.context(MailboxCommand::EQC, 0)[1]);
    let events = |driver: &mut Driver| {
        let mut served = std::vec::Vec::new();
        let report = driver.handle_eq(|queue| served.push(queue));
        assert_eq!(report.queues as usize, served.len());
        (served, report.stray)
    };
    assert_eq!(events(&mut driver), (vec_of(&[]), 0));
    assert_eq!(driver.statistics().spurious_eq_interrupts, 1);
    script.take_doorbells();
    // Ours, one that nobody has, one that does not exist; of the fourth only the phase of the lap before.
    script.put(eq, &[0x1_0000 | u32::from(queue.0), 0x1_0001, 0x1_03ff, 0]);
    let mut all = (vec_of(&[]), 0);
    for head in 1..=3_u64 {
        let (served, stray) = events(&mut driver);
        all.0.extend(served);
        all.1 += stray;
        assert_eq!(script.take_doorbells(), [(0x2000, head << 32 | 0x2000)], "a pass takes at most half the ring");
    }
    assert_eq!(all, (vec_of(&[queue]), 2));
    // The second lap has the other phase.
    script.put(eq + 12, &[0x1_0000 | u32::from(queue.0)]);
    script.put(eq, &[u32::from(queue.0)]);
    assert_eq!(events(&mut driver).0, vec_of(&[queue]));
    assert_eq!(events(&mut driver).0, vec_of(&[queue]));
}

#[test]
fn an_error_of_a_queue_stops_its_submissions_at_once() {
    let script = Script::new();
    let (mut driver, queue) = script.started();
    let aeq = u64::from(script.context(MailboxCommand::AEQC, 0)[1]);
    let tx_stop = rings(&script, queue).sq + driver.dus_layout().tx_stop_offset() as u64;
    // Types in bits 19:17: 0 CQ overflow, 1 EQ overflow, 2 CQE error, 3 nobody knows.
    script.put(aeq, &[0x1_0000 | 3 << 17, 0x1_0000 | 1 << 17, 0x1_0003]);
    let mut seen = std::vec::Vec::new();
    driver.handle_aeq(|event| seen.push(event));
    assert!(matches!(seen[..], [AsyncEvent::Unknown { queue: 0, .. }, AsyncEvent::EqOverflow, AsyncEvent::Stray { queue: 3 }]), "{seen:?}");
    assert_eq!(script.words::<1>(tx_stop), [0]);
    script.put(aeq + 12, &[0x1_0000 | 2 << 17 | u32::from(queue.0)]);
    driver.handle_aeq(|event| assert_eq!(event, AsyncEvent::CqeError(queue)));
    assert_eq!(script.words::<1>(tx_stop), [1]);
    assert_eq!(driver.disable_queue(queue), Ok(()));
    assert_eq!(driver.queue_state(queue), QpState::Init);
}

fn vec_of(queues: &[QueueId]) -> std::vec::Vec<QueueId> {
    queues.to_vec()
}
