//! Stall model: tags, RESUME, STALL_TERM, full queues, limits (SM-F03 to SM-F06, SM-F12).

use hal::{AccessKind, StallTag, StreamId, Verdict};
use smmu_model::{Fault, HELD_STAG, Profile, Violation};
use smmu_spec::command::{Operation as O, ResumeAction};

use super::model_bench::*;

fn stalling(event_log2: u32) -> Bench {
    let mut b = Bench::with_events(Profile::STALL_S1, event_log2);
    b.set_ste(SID, [STE_S1, STE_DW1]);
    b.set_cd(CDTAB, CD | CD_S);
    b
}

fn stall(b: &mut Bench, address: u64) -> StallTag {
    match b.read_at(address) {
        Err(Fault::Stalled(tag)) => tag,
        other => panic!("{other:?}"),
    }
}

fn resume(b: &mut Bench, tag: StallTag, action: ResumeAction) {
    b.command(O::Resume { stream: tag.stream, stag: tag.stag, action });
}

#[test]
fn sm_f03_stall_map_resume_retry() {
    let mut b = stalling(3);
    let tag = stall(&mut b, 0x1008);
    let record = b.event();
    assert_eq!(record, [0x0000_0008_0000_0010, 0x0000_0208_8000_0000 | u64::from(tag.stag), 0x1008, 0]);
    assert_eq!(b.resumed(), []);
    b.map(0x1000, 0x5000_0000 | PAGE_RW);
    resume(&mut b, tag, ResumeAction::Retry);
    assert_eq!(b.resumed(), [(tag, Verdict::Retry)]);
    assert_eq!(b.read_at(0x1008), Ok(0x5000_0008));
    b.no_event();
}

#[test]
fn every_governed_fault_can_stall_with_or_without_r() {
    let mut b = stalling(3);
    b.set_cd(CDTAB, CD & !CD_R | CD_S);
    b.map(0x1000, 0x5000_0000 | PAGE_RW & !0x400);
    b.map(0x2000, 0x5000_0000 | PAGE_RO);
    b.map(0x3000, 1 << 47 | PAGE_RW);
    b.mem.set(CDTAB, (CD & !CD_R & !(7 << 32)) | CD_S | 4 << 32);
    for (address, id) in [(0x1000, 0x12), (0x2000, 0x13), (0x3000, 0x11), (0x4000, 0x10)] {
        assert!(matches!(b.write_at(address), Err(Fault::Stalled(_))));
        let [dw0, dw1, ..] = b.event();
        assert_eq!((dw0 & 0xff, dw1 >> 31 & 1), (id, 1));
    }
}

#[test]
fn configuration_and_walk_aborts_do_not_stall() {
    let mut b = stalling(3);
    b.mem.set(ROOT + 16, HOLE.start | TABLE);
    assert_eq!(b.read_at(2 << 39), Err(Fault::Abort));
    assert_eq!(b.event()[1] >> 31 & 1, 0);
}

#[test]
fn sm_f04_abort_and_read_zero_verdicts() {
    let mut b = stalling(3);
    for (action, verdict) in [(ResumeAction::Abort, Verdict::Abort), (ResumeAction::ReadZeroWriteIgnore, Verdict::ReadZeroWriteIgnore)] {
        let tag = stall(&mut b, 0x1000);
        b.events();
        resume(&mut b, tag, action);
        assert_eq!(b.resumed(), [(tag, verdict)]);
    }
    let mut term = Profile::STALL_S1;
    term.ids.idr0 |= 1 << 26;
    let mut b = Bench::new(term);
    b.set_ste(SID, [STE_S1, STE_DW1]);
    b.set_cd(CDTAB, CD | CD_S);
    let tag = stall(&mut b, 0x1000);
    resume(&mut b, tag, ResumeAction::ReadZeroWriteIgnore);
    assert_eq!(b.resumed(), [(tag, Verdict::Abort)], "TERM_MODEL = 1");
}

#[test]
fn sm_f05_unknown_and_repeated_tags_are_ignored_and_logged() {
    let mut b = stalling(3);
    let tag = stall(&mut b, 0x1000);
    for wrong in [StallTag { stag: tag.stag ^ 1, ..tag }, StallTag { stream: StreamId(9), ..tag }] {
        resume(&mut b, wrong, ResumeAction::Abort);
        assert_eq!((b.resumed(), b.violations()), (vec![], vec![Violation::UnknownStall(wrong)]));
    }
    resume(&mut b, tag, ResumeAction::Retry);
    resume(&mut b, tag, ResumeAction::Abort);
    assert_eq!((b.resumed(), b.violations()), (vec![(tag, Verdict::Retry)], vec![Violation::UnknownStall(tag)]));
    let again = stall(&mut b, 0x1000);
    assert_ne!(again.stag, tag.stag, "a late answer cannot hit the next stall");
}

#[test]
fn sm_f06_stall_term_ends_all_of_a_stream_and_no_other() {
    let mut b = stalling(3);
    b.set_ste(9, [STE_S1, STE_DW1]);
    let tags: Vec<_> = (1..4).map(|n| stall(&mut b, n << 12)).collect();
    let Err(Fault::Stalled(other)) = b.translate_as(who(9, None), 0x1000, AccessKind::Read) else { panic!() };
    b.command(O::StallTerm { stream: StreamId(SID) });
    let expected: Vec<_> = tags.iter().map(|t| (*t, Verdict::Abort)).collect();
    assert_eq!(b.resumed(), expected);
    resume(&mut b, other, ResumeAction::Retry);
    assert_eq!(b.resumed(), [(other, Verdict::Retry)]);
}

#[test]
fn disabling_the_smmu_aborts_stalled_transactions() {
    let mut b = stalling(3);
    let tag = stall(&mut b, 0x1000);
    b.write(0x020, 0xc);
    assert_eq!(b.resumed(), [(tag, Verdict::Abort)]);
    assert_eq!(b.violations(), [Violation::DisabledWithStalls { count: 1 }]);
}

#[test]
fn sm_f12_stall_records_wait_for_room_and_never_overflow() {
    let mut b = stalling(1);
    let tags: Vec<_> = (1..=5).map(|n| stall(&mut b, n << 12)).collect();
    assert_eq!(b.read(0x1_00a8), 2, "two fit, no overflow flag");
    assert_eq!(b.model.counters().events_lost, 0);
    let addresses: Vec<u64> = b.events().iter().map(|e| e.input_address()).collect();
    assert_eq!(addresses, [0x1000, 0x2000, 0x3000, 0x4000, 0x5000], "oldest first, as room appears");
    for tag in tags {
        resume(&mut b, tag, ResumeAction::Abort);
        assert_eq!(b.resumed(), [(tag, Verdict::Abort)]);
    }
}

#[test]
fn a_resume_before_its_record_is_ignored() {
    let mut b = stalling(0);
    stall(&mut b, 0x1000);
    let unseen = stall(&mut b, 0x2000);
    resume(&mut b, unseen, ResumeAction::Abort);
    assert_eq!((b.resumed(), b.violations()), (vec![], vec![Violation::UnknownStall(unseen)]));
}

#[test]
fn unwritten_records_of_old_configuration_do_not_survive_invalidate_and_sync() {
    let mut b = stalling(0);
    let first = stall(&mut b, 0x1000);
    let unseen = stall(&mut b, 0x2000);
    b.sync();
    assert_eq!(b.resumed(), [], "a SYNC alone does not disturb stalls");
    b.command(O::TlbiNhAsid { vmid: 0, asid: 7 });
    b.sync();
    assert_eq!(b.resumed(), [(unseen, Verdict::Retry)]);
    assert_eq!(b.events().len(), 1);
    resume(&mut b, first, ResumeAction::Abort);
    assert_eq!(b.resumed(), [(first, Verdict::Abort)]);
}

#[test]
fn an_equal_transaction_is_held_back_and_retried_with_the_first() {
    let mut b = stalling(3);
    let tag = stall(&mut b, 0x1000);
    let held = stall(&mut b, 0x1ff8);
    assert_eq!(held, StallTag { stream: StreamId(SID), stag: HELD_STAG });
    assert_ne!(stall(&mut b, 0x2000).stag, HELD_STAG, "another page");
    assert!(matches!(b.write_at(0x1000), Err(Fault::Stalled(t)) if t.stag != HELD_STAG), "another direction");
    assert_eq!(b.events().len(), 3, "one record for the equal pair");
    resume(&mut b, tag, ResumeAction::Abort);
    assert_eq!(b.resumed(), [(tag, Verdict::Abort), (held, Verdict::Retry)]);
}

#[test]
fn stall_max_bounds_what_is_recorded_at_once() {
    let mut few = Profile::STALL_S1;
    few.ids.idr5 = few.ids.idr5 & 0xffff | 2 << 16;
    let mut b = Bench::new(few);
    b.set_ste(SID, [STE_S1, STE_DW1]);
    b.set_cd(CDTAB, CD | CD_S);
    let tags = [stall(&mut b, 0x1000), stall(&mut b, 0x2000)];
    let held = stall(&mut b, 0x3000);
    assert_eq!((held.stag, b.events().len()), (HELD_STAG, 2));
    resume(&mut b, tags[1], ResumeAction::Abort);
    assert_eq!(b.resumed(), [(tags[1], Verdict::Abort), (held, Verdict::Retry)]);
    assert_ne!(stall(&mut b, 0x3000).stag, HELD_STAG);
    assert_eq!(b.event()[2], 0x3000);
}

#[test]
fn stalls_survive_a_disabled_event_queue() {
    let mut b = stalling(3);
    b.write(0x020, 9);
    stall(&mut b, 0x1000);
    assert_eq!(b.read(0x1_00a8), 0);
    b.write(0x020, 0xd);
    assert_eq!(b.event()[2], 0x1000);
}

#[test]
fn flood_of_faults_through_a_small_queue_loses_none() {
    let mut b = stalling(2);
    let mut open: Vec<u64> = (1..=200).collect();
    let mut done = 0;
    while done < 200 {
        for page in &open {
            if let Ok(pa) = b.read_at(page << 12) {
                assert_eq!(pa, 0x5000_0000 + (page << 12));
                done += 1;
            }
        }
        open.retain(|page| b.read_at(page << 12).is_err());
        for record in b.events() {
            let tag = record.stall().expect("stalled");
            let page = record.input_address() & !0xfff;
            b.map(page, (0x5000_0000 + page) | PAGE_RW);
            resume(&mut b, tag, ResumeAction::Retry);
        }
        b.resumed();
    }
    assert_eq!((b.model.counters().events_lost, b.read(0x1_00a8) >> 31), (0, 0));
}
