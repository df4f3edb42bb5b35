//! Stream table, STE, CD table, CD: who is found, who is refused, in which order (SM-C12 to SM-C18, SM-P03 to SM-P06, SM-F14).

use hal::AccessKind;
use smmu_model::{Fault, Profile};

use super::model_bench::*;

const ABORT: Result<u64, Fault> = Err(Fault::Abort);

/// Bench with SMMUEN = 0, so that the Stream table can be chosen; `enable` starts it.
fn off() -> Bench {
    let mut b = Bench::new(Profile::STALL_S1);
    b.write(0x020, 0xc);
    b
}

fn enable(b: &mut Bench) {
    b.write(0x020, 0xd);
}

fn bypass_ste(b: &mut Bench, at: u64) {
    b.mem.set(at, 9);
}

fn access(b: &mut Bench, stream: u32) -> Result<u64, Fault> {
    b.translate_as(who(stream, None), 0x4000, AccessKind::Read).map(|t| t.pa.0)
}

fn bad_streamid(stream: u32) -> [u64; 4] {
    [u64::from(stream) << 32 | 2, 0, 0, 0]
}

#[test]
fn sm_c13_streamid_at_and_above_log2size() {
    let mut b = Bench::new(Profile::STALL_S1);
    bypass_ste(&mut b, STRTAB + 31 * 64);
    bypass_ste(&mut b, STRTAB + 32 * 64);
    assert_eq!(access(&mut b, 31), Ok(0x4000));
    b.no_event();
    assert_eq!(access(&mut b, 32), ABORT);
    assert_eq!(b.event(), bad_streamid(32));
    assert_eq!(access(&mut b, 0xffff_ffff), ABORT);
    assert_eq!(b.event(), bad_streamid(0xffff_ffff));
}

#[test]
fn sm_f14_bad_streamid_is_silent_without_recinvsid() {
    let mut b = off();
    b.write(0x02c, 0);
    enable(&mut b);
    assert_eq!(access(&mut b, 32), ABORT);
    b.no_event();
}

#[test]
fn bad_streamid_carries_the_substream() {
    let mut b = Bench::new(Profile::STALL_S1);
    assert!(b.translate_as(who(0x99, Some(5)), 0, AccessKind::Read).is_err());
    assert_eq!(b.event(), [0x0000_0099_0000_5802, 0, 0, 0]);
}

#[test]
fn log2size_is_clamped_to_sidsize() {
    let mut b = off();
    b.write(0x088, 32);
    enable(&mut b);
    b.violations();
    bypass_ste(&mut b, STRTAB + 0xffff * 64);
    assert_eq!(access(&mut b, 0xffff), Ok(0x4000));
    assert_eq!(access(&mut b, 0x1_0000), ABORT);
    assert_eq!(b.event(), bad_streamid(0x1_0000));
}

#[test]
fn sm_c12_two_level_table_with_every_split() {
    for (split, acts_as) in [(6, 6), (8, 8), (10, 10), (7, 6), (0, 6), (31, 6)] {
        let mut b = off();
        b.write(0x088, 16 | split << 6 | 1 << 16);
        enable(&mut b);
        let stream = (3 << acts_as) + 2;
        let array = 0x1010_0000;
        b.mem.set(STRTAB + 3 * 8, array | 3);
        bypass_ste(&mut b, array + 2 * 64);
        assert_eq!(access(&mut b, stream), Ok(0x4000), "SPLIT {split}");
        assert_eq!(access(&mut b, stream + 1), ABORT, "STE.V = 0 inside the span");
        assert_eq!(b.event()[0] & 0xff, 4);
        assert_eq!(access(&mut b, stream + 2), ABORT, "beyond the span");
        assert_eq!(b.event(), bad_streamid(stream + 2));
    }
}

#[test]
fn sm_c14_level_1_spans() {
    for (span, is_valid) in [(0, false), (1, true), (9, true), (10, false), (11, false), (12, false), (31, false)] {
        let mut b = off();
        b.write(0x088, 16 | 8 << 6 | 1 << 16);
        enable(&mut b);
        b.mem.set(STRTAB + 8, 0x1010_0000 | span);
        bypass_ste(&mut b, 0x1010_0000);
        assert_eq!(access(&mut b, 0x100).is_ok(), is_valid, "span {span}");
        if !is_valid {
            assert_eq!(b.event(), bad_streamid(0x100));
        }
    }
}

#[test]
fn fmt_2_and_3_act_as_linear() {
    for fmt in [2, 3] {
        let mut b = off();
        b.write(0x088, 5 | 8 << 6 | fmt << 16);
        enable(&mut b);
        bypass_ste(&mut b, STRTAB + 64);
        assert_eq!(access(&mut b, 1), Ok(0x4000));
    }
}

#[test]
fn sm_c15_ste_abort_is_silent_and_invalid_is_recorded() {
    let mut b = Bench::new(Profile::STALL_S1);
    for config in 0..4 {
        b.set_ste(SID, [1 | config << 1, 0]);
        b.cfgi_all();
        assert_eq!(access(&mut b, SID), ABORT);
        b.no_event();
    }
    for bad in [0, 8, 0xd, 0xf] {
        b.set_ste(SID, [bad, 0]);
        b.cfgi_all();
        assert_eq!(access(&mut b, SID), ABORT);
        assert_eq!(b.event(), [0x0000_0008_0000_0004, 0, 0, 0], "dw0 {bad:#x}");
    }
}

#[test]
fn sm_c17_ste_fetch_abort() {
    let mut b = off();
    b.write64(0x080, HOLE.start);
    enable(&mut b);
    assert_eq!(access(&mut b, 3), ABORT);
    assert_eq!(b.event(), [0x0000_0003_0000_0003, 0, 0, HOLE.start + 0xc0]);
    let mut two = off();
    two.write(0x088, 16 | 8 << 6 | 1 << 16);
    enable(&mut two);
    two.mem.set(STRTAB + 8, HOLE.start | 9);
    assert!(two.translate_as(who(0x102, Some(1)), 0, AccessKind::Read).is_err());
    assert_eq!(two.event(), [0x0000_0102_0000_1803, 0, 0, HOLE.start + 0x80]);
    two.mem.holes.push(STRTAB..STRTAB + 0x1000);
    assert_eq!(access(&mut two, 0x203), ABORT);
    assert_eq!(two.event(), [0x0000_0203_0000_0003, 0, 0, STRTAB + 0x10], "the level-1 descriptor");
}

#[test]
fn aborted_fetches_are_not_cached() {
    let mut b = Bench::stage1();
    b.map(0x1000, 0x5000_0000 | PAGE_RW);
    b.mem.holes.push(STRTAB..STRTAB + 0x1000);
    assert_eq!(b.read_at(0x1000), ABORT);
    b.mem.holes.pop();
    b.mem.holes.push(CDTAB..CDTAB + 0x1000);
    assert_eq!(b.read_at(0x1000), ABORT);
    b.mem.holes.pop();
    assert_eq!(b.read_at(0x1000), Ok(0x5000_0000));
    let ids: Vec<u8> = b.events().iter().map(|e| e.id().0).collect();
    assert_eq!(ids, [3, 9]);
}

#[test]
fn sm_c17_cd_fetch_abort() {
    let mut b = Bench::new(Profile::STALL_S1);
    b.set_ste(SID, [HOLE.start | 0xb | 4 << 59, STE_DW1]);
    assert!(b.translate_as(who(SID, Some(5)), 0x1234, AccessKind::Read).is_err());
    assert_eq!(b.event(), [0x0000_0008_0000_5809, 0, 0, HOLE.start + 5 * 64]);
    b.set_ste(SID, [HOLE.start | 0x2b | 16 << 59, STE_DW1]);
    b.cfgi_all();
    assert!(b.translate_as(who(SID, Some(0x1c05)), 0x1234, AccessKind::Read).is_err());
    assert_eq!(b.event(), [0x0000_0008_01c0_5809, 0, 0, HOLE.start + 7 * 8], "the level-1 descriptor");
}

#[test]
fn sm_c18_illegal_cd() {
    let mut b = Bench::stage1();
    b.set_cd(CDTAB, CD & !(1 << 31));
    assert_eq!(b.read_at(0x1000), ABORT);
    assert_eq!(b.event(), [0x0000_0008_0000_000a, 0, 0, 0]);
    b.set_ste(SID, [STE_S1 | 4 << 59, STE_DW1]);
    b.set_cd(CDTAB + 3 * 64, CD & !(1 << 41));
    b.cfgi_all();
    assert!(b.translate_as(who(SID, Some(3)), 0, AccessKind::Write).is_err());
    assert_eq!(b.event(), [0x0000_0008_0000_380a, 0, 0, 0]);
}

/// Two CDs (0 and 1) with a page of their own each, and any S1DSS and S1CDMax.
fn dss_bench(dss: u64, cd_max: u64) -> Bench {
    let mut b = Bench::new(Profile::STALL_S1);
    b.set_ste(SID, [STE_S1 | cd_max << 59, STE_DW1 & !3 | dss]);
    for (index, root, asid) in [(0, ROOT, 7_u64), (1, ROOT + 0x1000, 9), (2, ROOT + 0x2000, 10)] {
        b.set_cd(CDTAB + index * 64, CD & !(0xffff << 48) | asid << 48);
        b.mem.set(CDTAB + index * 64 + 8, root);
        b.map_in(root, 0x4000, (0x5000_0000 + (index << 12)) | PAGE_RW);
    }
    b
}

#[test]
fn sm_p04_s1dss_by_substream_matrix() {
    const DISABLED: [u64; 4] = [0x0000_0008_0000_0006, 0, 0, 0];
    let bad = |ssid: u64| [0x0000_0008_0000_0008 | ssid << 12, 0, 0, 0];
    let (cd0, cd1) = (Ok(0x5000_0000), Ok(0x5000_1000));
    type Outcome = Result<u64, [u64; 4]>;
    // (S1DSS, S1CDMax) → outcome without SSID, with 0, with 1, with 2 (= 2^S1CDMax).
    let rows: [(u64, u64, [Outcome; 4]); 8] = [
        (0, 1, [Err(DISABLED), cd0, cd1, Err(bad(2))]),
        (1, 1, [Ok(0x4000), cd0, cd1, Err(bad(2))]),
        (2, 1, [cd0, Err(DISABLED), cd1, Err(bad(2))]),
        (3, 1, [Err(DISABLED), cd0, cd1, Err(bad(2))]),
        (0, 0, [cd0, Err(bad(0)), Err(bad(1)), Err(bad(2))]),
        (1, 0, [cd0, Err(bad(0)), Err(bad(1)), Err(bad(2))]),
        (2, 0, [cd0, Err(bad(0)), Err(bad(1)), Err(bad(2))]),
        (3, 0, [cd0, Err(bad(0)), Err(bad(1)), Err(bad(2))]),
    ];
    for (dss, cd_max, outcomes) in rows {
        for (ssid, expected) in [None, Some(0), Some(1), Some(2)].into_iter().zip(outcomes) {
            let mut b = dss_bench(dss, cd_max);
            let got = b.translate_as(who(SID, ssid), 0x4000, AccessKind::Read).map(|t| t.pa.0);
            match expected {
                Ok(pa) => assert_eq!(got, Ok(pa), "S1DSS {dss} S1CDMax {cd_max} SSID {ssid:?}"),
                Err(record) => {
                    assert_eq!(got, ABORT, "S1DSS {dss} S1CDMax {cd_max} SSID {ssid:?}");
                    assert_eq!(b.event(), record, "S1DSS {dss} S1CDMax {cd_max} SSID {ssid:?}");
                }
            }
        }
    }
}

#[test]
fn sm_p03_substream_with_stage_1_off_or_without_ssids() {
    let mut b = Bench::new(Profile::STALL_S1);
    b.set_ste(SID, [9, 0]);
    assert!(b.translate_as(who(SID, Some(4)), 0, AccessKind::Read).is_err());
    assert_eq!(b.event(), [0x0000_0008_0000_4008, 0, 0, 0]);
    let mut q = Bench::new(Profile::QEMU72);
    q.set_ste(SID, [STE_S1 | 4 << 59, STE_DW1]);
    q.set_cd(CDTAB, CD);
    q.map(0x1000, 0x5000_0000 | PAGE_RW);
    assert_eq!(q.read_at(0x1000), Ok(0x5000_0000), "S1CDMax is not looked at");
    assert!(q.translate_as(who(SID, Some(0)), 0x1000, AccessKind::Read).is_err());
    assert_eq!(q.event()[0] & 0xff, 8);
}

#[test]
fn substreams_above_20_bits_are_refused() {
    let mut b = dss_bench(2, 16);
    for ssid in [0x1_0000, 0x10_0000, 0x10_0001, u32::MAX] {
        assert!(b.translate_as(who(SID, Some(ssid)), 0x4000, AccessKind::Read).is_err());
        assert_eq!(b.event()[0] & 0xff, 8, "{ssid:#x}");
    }
}

#[test]
fn sm_p06_two_level_cd_tables() {
    for (fmt, split) in [(1_u64, 6), (2, 10)] {
        let mut b = Bench::new(Profile::STALL_S1);
        b.set_ste(SID, [CDTAB | 0xb | fmt << 4 | 16 << 59, STE_DW1]);
        let leaf = 0x1400_0000;
        b.mem.set(CDTAB + 2 * 8, leaf | 1);
        let ssid = (2 << split) + 5;
        b.set_cd(leaf + 5 * 64, CD);
        b.map(0x4000, 0x5000_0000 | PAGE_RW);
        let got = b.translate_as(who(SID, Some(ssid)), 0x4000, AccessKind::Read).map(|t| t.pa.0);
        assert_eq!(got, Ok(0x5000_0000), "S1Fmt {fmt}");
        assert!(b.translate_as(who(SID, Some(1 << split)), 0x4000, AccessKind::Read).is_err());
        assert_eq!(b.event(), [0x0000_0008_0000_0008 | 1 << split << 12, 0, 0, 0], "L1CD.V = 0");
        assert_eq!(b.read_at(0x4000), ABORT);
        assert_eq!(b.event(), [0x0000_0008_0000_0008, 0, 0, 0], "CD 0 for traffic without SSID");
        b.mem.set(CDTAB + 3 * 8, 1 << 48 | 1);
        assert!(b.translate_as(who(SID, Some(3 << split)), 0x4000, AccessKind::Read).is_err());
        assert_eq!(b.event()[0] & 0xff, 8, "L2Ptr beyond the output address size");
    }
}

#[test]
fn stage_1_bypass_address_beyond_oas_is_f_addr_size_and_always_recorded() {
    let mut b = dss_bench(1, 1);
    assert_eq!(b.write_at(1 << 48 | 0x123), ABORT);
    assert_eq!(b.event(), [0x0000_0008_0000_0011, 0x0000_0200_0000_0000, 1 << 48 | 0x123, 0]);
    b.set_ste(SID, [9, 0]);
    b.cfgi_all();
    assert_eq!(b.read_at(1 << 48), ABORT);
    assert_eq!(b.event(), [0x0000_0008_0000_0011, 0x0000_0208_0000_0000, 1 << 48, 0]);
}

#[test]
fn checks_come_in_the_architecture_s_order() {
    // Each step repairs the cause of the event before; the next one in line must show.
    let mut b = off();
    b.write64(0x080, HOLE.start);
    enable(&mut b);
    let event_of = |b: &mut Bench| {
        assert_eq!(b.translate_as(who(SID, Some(0)), 0x4000, AccessKind::Read).map(|t| t.pa.0), ABORT);
        b.events().first().map(|e| e.id().0)
    };
    assert_eq!(event_of(&mut b), Some(3), "F_STE_FETCH");
    b.write(0x020, 0xc);
    b.write64(0x080, STRTAB);
    enable(&mut b);
    assert_eq!(event_of(&mut b), Some(4), "C_BAD_STE before C_BAD_SUBSTREAMID");
    b.set_ste(SID, [1, 0]);
    b.cfgi_all();
    assert_eq!(event_of(&mut b), None, "Config = abort");
    b.set_ste(SID, [STE_S1, STE_DW1]);
    b.cfgi_all();
    assert_eq!(event_of(&mut b), Some(8), "C_BAD_SUBSTREAMID");
    b.set_ste(SID, [HOLE.start | 0xb | 1 << 59, STE_DW1]);
    b.cfgi_all();
    assert_eq!(event_of(&mut b), Some(6), "F_STREAM_DISABLED before F_CD_FETCH");
    b.set_ste(SID, [HOLE.start | 0xb | 1 << 59, STE_DW1 & !3]);
    b.cfgi_all();
    assert_eq!(event_of(&mut b), Some(9), "F_CD_FETCH");
    b.set_ste(SID, [STE_S1 | 1 << 59, STE_DW1 & !3]);
    b.cfgi_all();
    assert_eq!(event_of(&mut b), Some(0xa), "C_BAD_CD");
    b.set_cd(CDTAB, CD);
    b.cfgi_all();
    assert_eq!(event_of(&mut b), Some(0x10), "F_TRANSLATION");
}
