//! The model's own accesses stall or are refused: nothing is lost, nothing wedges.

use hal::{Iova, Verdict};
use qm_model::Completion;
use qm_spec::{MailboxCommand, MailboxOp, QmVersion};

use super::machine::*;
use crate::support::PageRule;

fn bare() -> Machine {
    let machine = Machine::new(config(QmVersion::V3, 4, 8, 4));
    machine.bare();
    machine.bare_queue(0, 4, true);
    machine.bare_queue(1, 4, false);
    machine.put_words(Machine::sq_at(0), &[5; 32]);
    machine
}

fn stall(machine: &Machine, at: u64, stag: u16) {
    machine.port.set_rule(Iova(at), Some(PageRule::Stall(stag)));
}
fn lift(machine: &Machine, at: u64) {
    machine.port.set_rule(Iova(at), None);
}

#[test]
fn a_stalled_fetch_parks_its_queue_only() {
    for verdict in [Verdict::Retry, Verdict::ReadZeroWriteIgnore, Verdict::Abort] {
        let machine = bare();
        stall(&machine, Machine::sq_at(0), 3);
        let mut s = machine.silicon();
        s.ring_page(0, sq_doorbell(0, 1));
        assert!(s.take().is_none());
        assert!(s.model.waits_for(hal::StallTag { stream: STREAM, stag: 3 }));
        assert!(!s.model.waits_for(hal::StallTag { stream: STREAM, stag: 4 }));
        s.ring_page(1, sq_doorbell(1, 1));
        assert_eq!(s.run(), 1, "the other queue goes on");
        assert!(s.take().is_none(), "no second access while the first waits");
        assert_eq!(s.read(0x30_0150), 0, "the bus is not drained");
        lift(&machine, Machine::sq_at(0));
        assert!(s.resume(3, verdict));
        assert!(!s.resume(3, verdict), "once");
        let task = s.take();
        match verdict {
            Verdict::Retry => assert_eq!(task.unwrap().sqe, [5; 32]),
            Verdict::ReadZeroWriteIgnore => assert_eq!(task.unwrap().sqe, [0; 32]),
            Verdict::Abort => {
                assert!(task.is_none());
                assert!(s.model.queue_view(0).unwrap().halted);
                assert_eq!(s.read(0x10_0000), 1, "read response");
                assert_eq!(machine.words::<1>(RAM + 0x100), [0x0005_0000]);
            }
        }
    }
}

/// Accesses that are held back without a record share a tag, and one answer is for all of them.
#[test]
fn all_accesses_that_wait_under_one_tag_go_on_together() {
    let machine = bare();
    let mut s = machine.silicon();
    for qn in 0..2 {
        stall(&machine, Machine::sq_at(qn), 9);
        s.ring_page(qn.into(), sq_doorbell(qn, 1));
    }
    assert!(s.take().is_none());
    (0..2).for_each(|qn| lift(&machine, Machine::sq_at(qn)));
    assert!(s.resume(9, Verdict::Retry));
    assert_eq!(s.run(), 2, "nobody is forgotten");
    assert!(!s.resume(9, Verdict::Retry));
}

#[test]
fn a_stalled_write_back_and_a_stalled_completion_go_on_in_order() {
    let machine = bare();
    let mut s = machine.silicon();
    s.ring_page(0, sq_doorbell(0, 2));
    let task = s.take().unwrap();
    stall(&machine, Machine::sq_at(0), 4);
    stall(&machine, Machine::cq_at(0), 5);
    assert_eq!(s.give_back(task), Completion::Parked);
    assert!(s.take().is_none(), "the next entry waits for this one's completion");
    lift(&machine, Machine::sq_at(0));
    assert!(s.resume(4, Verdict::Retry));
    assert_eq!(machine.words::<4>(Machine::sq_at(0)), [5, 6, 5, u32::MAX], "the entry is back before its completion");
    assert_eq!(machine.words::<4>(Machine::cq_at(0)), [0; 4]);
    assert_eq!(machine.vectors(), []);
    lift(&machine, Machine::cq_at(0));
    assert!(s.resume(5, Verdict::Retry));
    assert_eq!(machine.words::<4>(Machine::cq_at(0)), [0, 0, 0, 0x1_0000]);
    assert_eq!(machine.vectors(), [0]);
    assert_eq!(s.run(), 1);
    assert_eq!(s.read(0x30_0150), 3);
}

#[test]
fn a_refused_completion_halts_the_queue_and_is_reported() {
    for (at, cqe_errors) in [(Machine::sq_at(0), 0), (Machine::cq_at(0), 1)] {
        let machine = bare();
        let mut s = machine.silicon();
        s.ring_page(0, sq_doorbell(0, 2));
        let task = s.take().unwrap();
        machine.port.set_rule(Iova(at), Some(PageRule::Abort));
        assert_eq!(s.give_back(task), Completion::Dropped);
        assert!(s.model.queue_view(0).unwrap().halted);
        assert_eq!((s.read(0x10_0000), s.read(0x10_40b4)), (2, cqe_errors), "write response");
        assert_eq!(machine.words::<1>(RAM + 0x100), [0x0005_0000]);
        s.ring_page(1, sq_doorbell(1, 1));
        assert_eq!(s.run(), 1, "the other queue goes on");
    }
}

#[test]
fn sm_f18_refused_accesses_to_the_rings_are_told_apart() {
    // Where, then: whether the entry was fetched, the source that the error registers name, completions refused.
    for (at, fetched, source, cqe_errors) in [(Machine::sq_at(0), false, 1, 0), (Machine::cq_at(0), true, 2, 1)] {
        let machine = bare();
        let mut s = machine.silicon();
        machine.port.set_rule(Iova(at), Some(PageRule::Abort));
        s.ring_page(0, sq_doorbell(0, 1));
        let task = s.take();
        assert_eq!(task.is_some(), fetched);
        if let Some(task) = task {
            assert_eq!(s.give_back(task), Completion::Dropped);
        }
        assert_eq!((s.read(0x10_0000), s.read(0x10_40b4)), (source, cqe_errors));
        assert_eq!(machine.words::<1>(RAM + 0x100), [0x0005_0000], "the queue's owner is told");
        assert!(s.model.queue_view(0).unwrap().halted);
        s.ring_page(1, sq_doorbell(1, 1));
        assert_eq!(s.run(), 1, "the other queue goes on");
    }
}

#[test]
fn a_stalled_event_is_written_later_and_once() {
    let machine = bare();
    machine.bare_queue(1, 4, true);
    stall(&machine, RAM, 6);
    let mut s = machine.silicon();
    s.ring_page(0, sq_doorbell(0, 1));
    s.ring_page(1, sq_doorbell(1, 1));
    assert_eq!(s.run(), 2);
    assert_eq!(machine.vectors(), []);
    lift(&machine, RAM);
    assert!(s.resume(6, Verdict::Retry));
    assert_eq!(machine.words::<3>(RAM), [0x1_0000, 0x1_0001, 0], "both, in order");
    assert_eq!(machine.vectors(), [0]);
}

#[test]
fn a_refused_event_is_lost_and_recorded() {
    let machine = bare();
    machine.port.set_rule(Iova(RAM), Some(PageRule::Abort));
    let mut s = machine.silicon();
    s.ring_page(0, sq_doorbell(0, 1));
    assert_eq!(s.run(), 1);
    assert_eq!((s.read(0x10_0000), s.model.counters().events_lost), (2, 1));
    assert_eq!(machine.words::<4>(Machine::cq_at(0)), [0, 0, 0, 0x1_0000], "the completion itself is there");
}

#[test]
fn a_stalled_asynchronous_event_is_written_later() {
    let machine = bare();
    // The ring of asynchronous events shares a page with the event ring; both stall with one tag, as two accesses to one page would not.
    stall(&machine, RAM, 7);
    let mut s = machine.silicon();
    s.ring_page(1, sq_doorbell(1, 9));
    assert_eq!(machine.vectors(), []);
    lift(&machine, RAM);
    assert!(s.resume(7, Verdict::Retry));
    assert_eq!(machine.words::<1>(RAM + 0x100), [0x0005_0001]);
    assert_eq!(machine.vectors(), [1]);
}

#[test]
fn a_stalled_message_is_sent_later_and_a_refused_one_is_recorded_once() {
    let machine = bare();
    stall(&machine, MSI_FRAME, 8);
    let mut s = machine.silicon();
    s.ring_page(0, sq_doorbell(0, 1));
    assert_eq!(s.run(), 1);
    assert_eq!(machine.vectors(), []);
    assert_eq!(s.read(0x10_00fc) & 5, 5, "a message is on its way");
    lift(&machine, MSI_FRAME);
    assert!(s.resume(8, Verdict::Retry));
    assert_eq!(machine.vectors(), [0]);
    assert_eq!(s.read(0x10_00fc), 0);
    s.write(0x10_00f4, 0x7fff);
    s.write(0x10_0004, 0);
    machine.port.set_rule(Iova(MSI_FRAME), Some(PageRule::Abort));
    s.ring(0x1000, cq_doorbell(0, 1, true));
    s.ring_page(0, sq_doorbell(0, 2));
    s.ring(0x2000, 0x0000_0001_0000_2000);
    assert_eq!(s.run(), 1);
    assert_eq!(s.read(0x10_0000), 2, "and its own message, refused too, does not loop");
}

#[test]
fn a_stalled_context_load_keeps_the_mailbox_busy() {
    for (verdict, word) in [(Verdict::Retry, 0x0001_0000), (Verdict::Abort, 0x0001_0800), (Verdict::ReadZeroWriteIgnore, 0x0001_0a00)] {
        let machine = bare();
        machine.put_words(RAM + 0x2000, &[0, Machine::sq_at(1) as u32, 0, 0x7003, 0, 0, 0x0010_0001, 0]);
        stall(&machine, RAM + 0x2000, 9);
        let mut s = machine.silicon();
        assert_eq!(s.command(qm_spec::Mailbox::with_address(MailboxCommand::SQC, MailboxOp::Write, 1, Iova(RAM + 0x2000))).0, 0xff, "busy");
        lift(&machine, RAM + 0x2000);
        assert!(s.resume(9, verdict));
        assert_eq!([s.read(0x300), s.read(0x300), s.read(0x300)][2], word, "{verdict:?}");
    }
}

#[test]
fn a_stalled_write_back_of_contexts_goes_on_where_it_was() {
    let machine = bare();
    let table = RAM + 0x9000;
    machine.silicon().command(qm_spec::Mailbox::with_address(MailboxCommand::CQC_BT, MailboxOp::Write, 0, Iova(table)));
    stall(&machine, table, 10);
    let mut s = machine.silicon();
    s.write(0x204, 1);
    assert!((0..5).all(|_| s.read(0x208) == 0));
    lift(&machine, table);
    assert!(s.resume(10, Verdict::Retry));
    assert_eq!([s.read(0x208), s.read(0x208), s.read(0x208)], [0, 0, 1]);
    assert_eq!(machine.words::<2>(table + 32), [0, Machine::cq_at(1) as u32]);
    assert_eq!(machine.words::<2>(RAM + 0x200 + 32), [0, Machine::sq_at(1) as u32]);
}

#[test]
fn a_stall_of_a_queue_that_ended_meanwhile_has_no_owner() {
    let machine = bare();
    stall(&machine, Machine::sq_at(0), 11);
    let mut s = machine.silicon();
    s.ring_page(0, sq_doorbell(0, 1));
    assert!(s.take().is_none());
    drop(s);
    machine.bare_queue(0, 4, false);
    machine.port.take_log();
    assert!(!machine.silicon().resume(11, Verdict::Retry));
    assert_eq!(machine.port.take_log().len(), 0);
}

#[test]
fn without_bus_master_nothing_is_emitted() {
    let machine = bare();
    let mut s = machine.silicon();
    let Silicon { model, port } = &mut *s;
    model.config_write(COMMAND, 2, 2, port);
    s.ring_page(0, sq_doorbell(0, 1));
    machine.port.take_log();
    assert!(!s.model.has_task() && s.take().is_none());
    assert_eq!(s.command(qm_spec::Mailbox::with_address(MailboxCommand::SQC, MailboxOp::Write, 1, Iova(RAM + 0x1040))).0, 4);
    assert_eq!(machine.port.take_log().len(), 0);
    let Silicon { model, port } = &mut *s;
    model.config_write(COMMAND, 2, 6, port);
    assert_eq!(s.run(), 1);
}

#[test]
fn a_closed_bus_starts_nothing_and_says_when_it_is_drained() {
    let machine = bare();
    let mut s = machine.silicon();
    s.ring_page(0, sq_doorbell(0, 2));
    let task = s.take().unwrap();
    s.write(0x30_0000, 1);
    assert_eq!(s.read(0x30_0150), 0);
    assert_eq!(s.give_back(task), Completion::Delivered);
    assert_eq!(s.read(0x30_0150), 3);
    assert!(s.take().is_none());
    s.write(0x30_0000, 0);
    assert_eq!(s.run(), 1);
}
