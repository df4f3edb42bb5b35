//! ATS and PRI: completions, translated traffic, invalidation of endpoints, the PRI queue and its answers.

use hal::{AccessKind, Iova, Pa, Requester, StallTag, StreamId, SubstreamId, Verdict};
use smmu_model::{AtcInvalidation, AtsCompletion, AtsTranslation, Endpoint, Fault, PageResponse, Profile, Transaction, TranslationRequest};
use smmu_spec::command::{Leaf, Operation, PriResponse};
use smmu_spec::pri::PageRequest;

use super::model_bench::*;

const PRIQ: u64 = 0x1400_0000;
const EATS_FULL: u64 = 1 << 28;
const EATS_SPLIT: u64 = 2 << 28;
const PPAR: u64 = 1 << 18;
const LO: u32 = 1 << 31;

/// Stage 1 with 16 substreams in a linear table (CD 3 is the standard one), full ATS, a PRI queue of four, everything on.
fn bench() -> Bench {
    bench_with(EATS_FULL, 0)
}

fn bench_with(dw1: u64, irq_cfg2: u32) -> Bench {
    bench_of(Profile::ATSPRI, dw1, irq_cfg2)
}

fn bench_of(profile: Profile, dw1: u64, irq_cfg2: u32) -> Bench {
    let mut b = Bench::new(profile);
    b.write64(0x0c0, PRIQ | 2);
    b.write(0x0dc, irq_cfg2);
    b.write(0x050, 7);
    b.write(0x020, 0x1f);
    assert_eq!(b.read(0x024), 0x1f);
    b.set_ste(SID, [STE_S1 | 4 << 59, STE_DW1 | dw1]);
    for ssid in [0, 3] {
        b.set_cd(CDTAB + 64 * ssid, CD);
    }
    b.map(0x7000, 0x5000_0000 | PAGE_RW);
    b.map(0x8000, 0x5100_0000 | PAGE_RO);
    b
}

fn request(b: &mut Bench, who: Requester, iova: u64, no_write: bool) -> AtsCompletion {
    let request = TranslationRequest { who, iova: Iova(iova), no_write, execute: false };
    b.model.ats_request(request, &mut b.mem, &mut b.irq)
}

fn granted(page: u64, write: bool) -> AtsCompletion {
    AtsCompletion::Success(AtsTranslation { page: Pa(page), read: true, write, execute: false })
}

const NOTHING: AtsCompletion = AtsCompletion::Success(AtsTranslation { page: Pa(0), read: false, write: false, execute: false });

#[test]
fn ats_success_carries_what_the_tables_grant() {
    let mut b = bench();
    let user = who(SID, Some(3));
    assert_eq!(request(&mut b, user, 0x7010, false), granted(0x5000_0000, true));
    assert_eq!(request(&mut b, user, 0x7010, true), granted(0x5000_0000, false), "NW asks for no write");
    assert_eq!(request(&mut b, user, 0x8010, false), granted(0x5100_0000, false), "read-only");
    assert_eq!(request(&mut b, user, 0x9000, false), NOTHING, "a hole is a success without rights");
    b.map(0x9000, 0x5000_0000 | PAGE_RW & !0x400);
    assert_eq!(request(&mut b, user, 0x9000, false), NOTHING, "so is a clear Access flag");
    b.no_event();
}

#[test]
fn ats_of_bypassed_stage_1_grants_nothing_beyond_the_address_size() {
    // S1DSS = bypass; full ATS of stage 1 alone, then split-stage ATS of both.
    let mut b = bench();
    b.set_ste(SID, [STE_S1 | 4 << 59, 0xd5 | EATS_FULL]);
    b.cfgi_ste(SID, Leaf::Only);
    let kernel = who(SID, None);
    let identity = |page| AtsCompletion::Success(AtsTranslation { page: Pa(page), read: true, write: true, execute: false });
    let top = (1 << 48) - 0x1000;
    assert_eq!([top, 1 << 48, 1 << 63].map(|iova| request(&mut b, kernel, iova, false)), [identity(top), NOTHING, NOTHING]);
    let at = STRTAB + 64 * u64::from(SID);
    for (i, word) in [STE_S1 | 4 << 59 | 4, 0xd5 | EATS_SPLIT, 0x040d_0059_0000_0005, 0x2800_0000].into_iter().enumerate() {
        b.mem.set(at + 8 * i as u64, word);
    }
    b.cfgi_ste(SID, Leaf::Only);
    assert_eq!([top, 1 << 48].map(|iova| request(&mut b, kernel, iova, false)), [identity(top), NOTHING]);
    b.no_event();
}

/// A request for everything that a page may grant: what was granted, as read, write, execute.
fn rights(b: &mut Bench, who: Requester, iova: u64) -> (bool, bool, bool) {
    let request = TranslationRequest { who, iova: Iova(iova), no_write: false, execute: true };
    match b.model.ats_request(request, &mut b.mem, &mut b.irq) {
        AtsCompletion::Success(t) => (t.read, t.write, t.execute),
        other => panic!("{other:?}"),
    }
}

/// 0x1000: all may execute, nobody unprivileged read; 0x2000: read and execute; 0x3000: for the privileged, no execution.
fn map_rights(b: &mut Bench) {
    b.map(0x1000, 0x5000_0000 | PAGE_RO & !0x40);
    b.map(0x2000, 0x5100_0000 | PAGE_RO);
    b.map(0x3000, 0x5200_0000 | PAGE_RW & !0x40 | 3 << 53);
}

#[test]
fn ats_grants_execution_with_reading_only_and_privilege_to_substreams_only() {
    let mut b = bench();
    map_rights(&mut b);
    let privileged = |ssid| Requester { privileged: true, ..who(SID, ssid) };
    assert_eq!(rights(&mut b, who(SID, Some(3)), 0x1000), (false, false, false), "execution alone is nothing");
    assert_eq!(rights(&mut b, who(SID, Some(3)), 0x2000), (true, false, true));
    assert_eq!(rights(&mut b, privileged(Some(3)), 0x3000), (true, true, false));
    b.set_ste(SID, [STE_S1, STE_DW1 | EATS_FULL]);
    b.cfgi_all();
    assert_eq!(rights(&mut b, privileged(None), 0x3000), (false, false, false), "no privilege without a SubstreamID");
    assert_eq!(rights(&mut b, privileged(None), 0x2000), (true, false, false), "no execution either");
    b.no_event();
}

#[test]
fn ats_requests_are_subject_to_privcfg_and_instcfg() {
    let mut both = Profile::ATSPRI;
    both.ids.idr1 |= Profile::OVERRIDES.ids.idr1 & 3 << 26;
    let granted = |dw1: u64, iova| {
        let mut b = bench_of(both, EATS_FULL | dw1, 0);
        map_rights(&mut b);
        rights(&mut b, who(SID, Some(3)), iova)
    };
    assert_eq!([0x1000, 0x2000, 0x3000].map(|iova| granted(0, iova)), [(false, false, false), (true, false, true), (false, false, false)]);
    assert_eq!(granted(3 << 48, 0x3000), (true, true, false), "PRIVCFG = privileged");
    assert_eq!(granted(3 << 50, 0x1000), (true, false, true), "INSTCFG = instruction: what may be executed");
    assert_eq!(granted(3 << 50 | 3 << 48, 0x3000), (false, true, false), "what may not, may not be read");
    assert_eq!(granted(2 << 50 | 3 << 48, 0x3000), (true, true, true), "INSTCFG = data: what may be read");
}

#[test]
fn ats_meets_faults_of_stage_2_below_stage_1_as_a_page_that_allows_nothing() {
    let mut b = bench();
    let at = STRTAB + 64 * u64::from(SID);
    let root2 = 0x2800_0000;
    for (i, word) in [STE_S1 | 4 | 4 << 59, STE_DW1 | EATS_FULL, 0x040d_0059_0000_0005, root2].into_iter().enumerate() {
        b.mem.set(at + 8 * i as u64, word);
    }
    let user = who(SID, Some(3));
    // Blocks of 1 GiB: hole, no Access flag, no right to read; for the CD and stage 1's tables alike.
    for block in [0, 0x3fd, 0x7bd] {
        b.mem.set(root2, block);
        b.cfgi_all();
        assert_eq!(request(&mut b, user, 0x7010, false), NOTHING, "{block:x}");
    }
    b.mem.set(root2, HOLE.start | 3);
    b.cfgi_all();
    assert_eq!(request(&mut b, user, 0x7010, false), AtsCompletion::CompleterAbort, "an aborted walk is an error");
    b.no_event();
}

#[test]
fn split_stage_traffic_is_data_unprivileged_and_of_the_size_of_an_input() {
    let mut b = bench();
    let at = STRTAB + 64 * u64::from(SID);
    let root2 = 0x2800_0000;
    // S2R.
    for (i, word) in [STE_S1 | 4 | 4 << 59, STE_DW1 | EATS_SPLIT, 0x040d_0059_0000_0005, root2].into_iter().enumerate() {
        b.mem.set(at + 8 * i as u64, word);
    }
    // XN = 3: only the privileged may execute, which this traffic never does.
    b.mem.set(root2, 0x7fd | 3 << 53);
    let send = |b: &mut Bench, who, at, kind| b.model.translated(who, Pa(at), kind, &mut b.mem, &mut b.irq).map(|t| t.pa.0);
    let privileged = Requester { privileged: true, ..who(SID, Some(3)) };
    assert_eq!(send(&mut b, who(SID, Some(3)), 0x10, AccessKind::Execute), Ok(0x10), "a read of data");
    assert_eq!(send(&mut b, privileged, 0x4000_0010, AccessKind::Write), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0010, 1 << 39 | 2 << 40, 0x4000_0010, 0x4000_0000], "neither SSV nor PnU");
    assert_eq!(send(&mut b, privileged, 1 << 48, AccessKind::Read), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0011, 2 << 40 | 1 << 35, 1 << 48, 0], "as an input of stage 1");
}

#[test]
fn ats_marks_dirty_only_without_no_write() {
    let mut b = bench();
    b.set_cd(CDTAB + 192, CD | 3 << 42);
    let at = b.map(0x9000, 0x5200_0000 | PAGE_RO | 1 << 51);
    assert_eq!(request(&mut b, who(SID, Some(3)), 0x9000, true), granted(0x5200_0000, false));
    assert_eq!(b.mem.get(at) & 0x80, 0x80);
    assert_eq!(request(&mut b, who(SID, Some(3)), 0x9000, false), granted(0x5200_0000, true));
    assert_eq!(b.mem.get(at) & 0x80, 0);
}

#[test]
fn ats_errors_end_with_ur_or_ca() {
    let mut b = bench();
    let ste = STRTAB + 64 * u64::from(SID);
    assert_eq!(request(&mut b, who(SID, Some(99)), 0, false), AtsCompletion::CompleterAbort, "C_BAD_SUBSTREAMID");
    b.mem.set(CDTAB + 64, 0);
    assert_eq!(request(&mut b, who(SID, Some(1)), 0, false), AtsCompletion::CompleterAbort, "C_BAD_CD");
    assert_eq!(request(&mut b, who(99, None), 0, false), AtsCompletion::CompleterAbort, "C_BAD_STREAMID");
    b.mem.set(ROOT + 8, HOLE.start | 3);
    assert_eq!(request(&mut b, who(SID, Some(3)), 1 << 39, false), AtsCompletion::CompleterAbort, "F_WALK_EABT");
    b.mem.set(ste, 1);
    b.cfgi_all();
    assert_eq!(request(&mut b, who(SID, None), 0, false), AtsCompletion::UnsupportedRequest, "Config 0");
    b.no_event();
}

#[test]
fn f_bad_ats_treq_where_ats_is_off() {
    let bad = |ssid: u64| [0x0000_0008_0000_0005 | ssid, 0, 0x7000, 0];
    let mut b = bench_with(0, 0);
    assert_eq!(request(&mut b, who(SID, Some(3)), 0x7010, false), AtsCompletion::UnsupportedRequest);
    assert_eq!(b.event(), bad(0x3800));
    b.set_ste(SID, [9, EATS_FULL]);
    b.cfgi_all();
    assert_eq!(request(&mut b, who(SID, None), 0x7010, false), AtsCompletion::UnsupportedRequest, "bypass");
    assert_eq!(b.event(), bad(0));
    b.write(0x020, 0x1e);
    assert_eq!(request(&mut b, who(SID, None), 0x7010, false), AtsCompletion::UnsupportedRequest, "SMMUEN = 0");
    assert_eq!(b.event(), bad(0));
}

#[test]
fn f_transl_forbidden_where_translated_traffic_is_not_allowed() {
    let forbidden = [0x0000_0008_0000_0007, 1 << 35, 0x5000_0010, 0];
    let translated =
        |b: &mut Bench| b.model.translated(who(SID, Some(3)), Pa(0x5000_0010), AccessKind::Read, &mut b.mem, &mut b.irq).map(|t| t.pa.0);
    let mut b = bench();
    assert_eq!(translated(&mut b), Ok(0x5000_0010));
    b.set_ste(SID, [STE_S1 | 4 << 59, STE_DW1]);
    b.cfgi_all();
    assert_eq!(translated(&mut b), Err(Fault::Abort));
    assert_eq!(b.event(), forbidden);
    b.write(0x020, 0xf);
    assert_eq!(translated(&mut b), Ok(0x5000_0010), "ATSCHK = 0");
    let far = b.model.translated(who(SID, Some(3)), Pa(1 << 48), AccessKind::Read, &mut b.mem, &mut b.irq);
    assert_eq!(far, Err(Fault::Abort), "the address size is checked all the same");
    b.no_event();
    b.write(0x020, 0x1e);
    assert_eq!(translated(&mut b), Err(Fault::Abort), "SMMUEN = 0");
    assert_eq!(b.event(), forbidden);
    b.write(0x020, 0x1f);
    b.set_ste(SID, [1, 0]);
    b.cfgi_all();
    assert_eq!(translated(&mut b), Err(Fault::Abort), "Config 0 is silent");
    b.no_event();
}

#[test]
fn split_stage_ats_gives_intermediate_addresses_and_stage_2_translates_the_traffic() {
    let mut b = bench();
    let at = STRTAB + 64 * u64::from(SID);
    // Stage 2: a 39-bit identity map of one 1 GiB block, and data elsewhere.
    let root2 = 0x2800_0000;
    for (i, word) in [STE_S1 | 4 | 4 << 59, STE_DW1 | EATS_SPLIT, 0x040d_0059_0000_0005, root2].into_iter().enumerate() {
        b.mem.set(at + 8 * i as u64, word);
    }
    b.mem.set(root2, 0x7fd);
    b.mem.set(root2 + 8, 0x8000_0000 | 0x7fd);
    let user = who(SID, Some(3));
    assert_eq!(request(&mut b, user, 0x7010, false), granted(0x5000_0000, true), "the intermediate address");
    let send = |b: &mut Bench, at| b.model.translated(user, Pa(at), AccessKind::Read, &mut b.mem, &mut b.irq).map(|t| t.pa.0);
    assert_eq!(send(&mut b, 0x5000_0010), Ok(0x9000_0010));
    assert_eq!(send(&mut b, 0x8000_0000), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0010, 1 << 39 | 2 << 40 | 1 << 35, 0x8000_0000, 0x8000_0000], "without a SubstreamID");
    b.write(0x020, 0xf);
    assert_eq!(request(&mut b, user, 0x7010, false), AtsCompletion::UnsupportedRequest, "needs ATSCHK");
}

#[test]
fn atc_inv_holds_the_sync_until_the_endpoint_has_completed() {
    let mut b = bench();
    b.push([0x0000_0008_0000_3840, 0x7000]);
    b.push([0x46, 0]);
    b.kick();
    assert_eq!(b.read(0x09c), 1, "the CMD_SYNC waits");
    let expected = AtcInvalidation { stream: StreamId(SID), substream: Some(SubstreamId(3)), global: false, address: 0x7000, size: 0 };
    assert_eq!(b.model.take_atc_invalidation(), Some(expected));
    assert_eq!(b.read(0x09c), 1);
    b.model.finish_atc_invalidation(true, &mut b.mem, &mut b.irq);
    assert_eq!(b.read(0x09c), 2);
}

#[test]
fn cerror_atc_inv_sync_stands_at_the_sync_and_goes_away_on_repair() {
    let mut b = bench();
    b.push([0x0000_0008_0000_3840, 0x7000]);
    b.push([0x46, 0]);
    b.kick();
    assert!(b.model.take_atc_invalidation().is_some());
    b.model.finish_atc_invalidation(false, &mut b.mem, &mut b.irq);
    assert_eq!(b.command_error(), (3, true));
    assert_eq!(b.read(0x09c) & 0xf_ffff, 1);
    let gerror = b.read(0x060);
    b.write(0x064, gerror);
    assert_eq!(b.read(0x09c) & 0xf_ffff, 2, "the CMD_SYNC is tried again");
}

#[test]
fn atc_inv_ranges_and_owners() {
    let inv = |substream, global, address, size| AtcInvalidation { stream: StreamId(SID), substream, global, address, size };
    let three = Some(SubstreamId(3));
    assert!(inv(three, false, 0x7000, 0).covers(three, 0x7000));
    assert!(!inv(three, false, 0x7000, 0).covers(three, 0x8000));
    assert!(!inv(three, false, 0x7000, 0).covers(None, 0x7000));
    assert!(inv(three, false, 0x8000, 3).covers(three, 0xf000));
    assert!(inv(None, false, 0, 52).covers(None, !0xfff));
    assert!(inv(three, true, 0x7000, 0).covers(Some(SubstreamId(4)), 0x7000));
    assert!(!inv(three, true, 0x7000, 0).covers(None, 0x7000), "every SubstreamID is not none");
    assert!(!inv(None, true, 0x7000, 0).covers(three, 0x7000), "G means something with SSV = 1 only");
    let mut b = bench();
    b.raw_command([0x0000_0008_0000_0040, 53]);
    assert_eq!(b.command_error(), (1, true), "Size above 52");
}

fn page(last: bool, prg_index: u16) -> PageRequest {
    PageRequest {
        stream: StreamId(SID),
        substream: Some(SubstreamId(3)),
        address: 0x9000,
        prg_index,
        read: true,
        write: false,
        execute: false,
        privileged: false,
        last,
    }
}

fn ask(b: &mut Bench, request: PageRequest) {
    b.model.page_request(request, &mut b.mem, &mut b.irq);
}

fn answers(b: &mut Bench) -> Vec<PageResponse> {
    std::iter::from_fn(|| b.model.take_page_response()).collect()
}

fn answer(substream: Option<u32>, prg_index: u16, response: PriResponse) -> PageResponse {
    PageResponse { stream: StreamId(SID), substream: substream.map(SubstreamId), prg_index, response }
}

#[test]
fn page_requests_reach_the_queue_and_are_answered_by_command() {
    let mut b = bench();
    ask(&mut b, page(false, 5));
    ask(&mut b, page(true, 5));
    assert_eq!([0, 8, 16, 24].map(|o| b.mem.get(PRIQ + o)), [0x9000_0003_0000_0008, 0x9005, 0xd000_0003_0000_0008, 0x9005]);
    assert_eq!(b.read(0x1_00c8), 2);
    assert_eq!(b.irq.0.iter().filter(|l| **l == smmu_spec::irq::PRIQ).count(), 1, "empty to non-empty");
    b.raw_command([0x0000_0008_0000_3841, 0x2005]);
    assert_eq!(answers(&mut b), [answer(Some(3), 5, PriResponse::Success)]);
    b.raw_command([0x0000_0008_0000_3841, 0x3005]);
    assert_eq!(b.command_error(), (1, true), "Resp = 3");
}

#[test]
fn privilege_and_execution_are_cleared_without_a_substream() {
    let mut b = bench();
    ask(&mut b, PageRequest { substream: None, execute: true, privileged: true, ..page(true, 1) });
    assert_eq!(b.mem.get(PRIQ), 0x5000_0000_0000_0008);
}

#[test]
fn pri_overflow_holds_until_acknowledged_and_answers_success() {
    for (dw1, substream) in [(PPAR, Some(3)), (0, None)] {
        let mut b = bench_with(EATS_FULL | dw1, 0);
        for i in 0..4 {
            ask(&mut b, page(true, i));
        }
        ask(&mut b, page(false, 4));
        assert_eq!(b.read(0x1_00c8), 1 << 31 | 4);
        ask(&mut b, page(true, 4));
        assert_eq!(answers(&mut b), [answer(substream, 4, PriResponse::Success)], "Last is answered, the rest dropped");
        ask(&mut b, PageRequest { read: false, ..page(true, 9) });
        assert_eq!(answers(&mut b), [], "a stop marker needs no answer");
        b.write(0x1_00cc, 4);
        ask(&mut b, page(true, 5));
        assert_eq!(b.read(0x1_00c8), 1 << 31 | 4, "room is not enough: the overflow is not acknowledged");
        answers(&mut b);
        b.write(0x1_00cc, 1 << 31 | 4);
        ask(&mut b, page(true, 6));
        assert_eq!(b.read(0x1_00c8), 1 << 31 | 5);
    }
}

#[test]
fn pri_overflow_without_a_valid_ste_is_a_failure_without_substream() {
    let mut b = bench();
    b.set_ste(SID, [0, 0]);
    b.cfgi_all();
    for i in 0..5 {
        ask(&mut b, page(true, i));
    }
    assert_eq!(answers(&mut b), [answer(None, 4, PriResponse::Failure)]);
}

#[test]
fn a_disabled_or_broken_pri_queue_answers_failure() {
    let mut b = bench();
    b.write(0x020, 0x1d);
    ask(&mut b, page(true, 1));
    assert_eq!(answers(&mut b), [answer(Some(3), 1, PriResponse::Failure)], "PRIQEN = 0");
    b.write64(0x0c0, HOLE.start | 2);
    b.write(0x020, 0x1f);
    ask(&mut b, page(true, 2));
    assert_eq!(answers(&mut b), [answer(Some(3), 2, PriResponse::Failure)], "the write aborted");
    assert_eq!((b.read(0x060) ^ b.read(0x064)) & 8, 8, "PRIQ_ABT_ERR");
    b.write(0x020, 0x1e);
    ask(&mut b, page(true, 3));
    assert_eq!(answers(&mut b), [answer(Some(3), 3, PriResponse::Failure)], "SMMUEN = 0");
}

#[test]
fn lo_interrupts_on_last_only() {
    let mut b = bench_with(EATS_FULL, LO);
    let pulses = |b: &Bench| b.irq.0.iter().filter(|l| **l == smmu_spec::irq::PRIQ).count();
    ask(&mut b, page(false, 1));
    assert_eq!(pulses(&b), 0);
    ask(&mut b, page(true, 1));
    ask(&mut b, page(true, 2));
    assert_eq!(pulses(&b), 2);
    ask(&mut b, page(false, 3));
    ask(&mut b, page(true, 3));
    assert_eq!(pulses(&b), 3, "also when dropped by overflow");
}

#[test]
fn an_endpoint_keeps_a_page_until_atc_inv() {
    let mut b = bench();
    let mut endpoint = Box::new(Endpoint::new());
    let tx = Transaction { who: who(SID, Some(3)), iova: Iova(0x7010), kind: AccessKind::Read };
    let mut at = |b: &mut Bench| endpoint.translate(&mut b.model, tx, &mut b.mem, &mut b.irq).map(|t| t.pa.0);
    assert_eq!(at(&mut b), Ok(0x5000_0010));
    b.map(0x7000, 0x5300_0000 | PAGE_RW);
    b.cfgi_all();
    assert_eq!(at(&mut b), Ok(0x5000_0010), "TLBI does not reach the endpoint");
    b.push([0x0000_0008_0000_3840, 0x7000]);
    b.push([0x46, 0]);
    b.kick();
    endpoint.serve(&mut b.model, &mut b.mem, &mut b.irq);
    let prod = b.cmd_prod();
    assert_eq!(b.read(0x09c), prod);
    assert_eq!(endpoint.translate(&mut b.model, tx, &mut b.mem, &mut b.irq).map(|t| t.pa.0), Ok(0x5300_0010));
}

#[test]
fn an_endpoint_waits_for_its_page_and_goes_on_with_the_answer() {
    let mut b = bench();
    let mut endpoint = Box::new(Endpoint::new());
    let tx = Transaction { who: who(SID, Some(3)), iova: Iova(0x9010), kind: AccessKind::Write };
    let Err(Fault::Stalled(tag)) = endpoint.translate(&mut b.model, tx, &mut b.mem, &mut b.irq) else { panic!("waits") };
    assert_eq!(tag, StallTag { stream: StreamId(SID), stag: 0 });
    assert_eq!(b.mem.get(PRIQ), 0xe000_0003_0000_0008);
    b.map(0x9000, 0x5400_0000 | PAGE_RW);
    b.command(Operation::PriResp { stream: StreamId(SID), substream: Some(SubstreamId(3)), prg_index: 0, response: PriResponse::Success });
    endpoint.serve(&mut b.model, &mut b.mem, &mut b.irq);
    assert_eq!(endpoint.take_resumed(), Some((tag, Verdict::Retry)));
    assert_eq!(endpoint.translate(&mut b.model, tx, &mut b.mem, &mut b.irq).map(|t| t.pa.0), Ok(0x5400_0010));
}
