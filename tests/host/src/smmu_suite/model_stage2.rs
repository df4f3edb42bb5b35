//! Stage 2 and nested translation: records, stalls, hardware updates, VMIDs and their maintenance, EL2 stream worlds.

use hal::{AccessKind, Requester, StallTag, StreamId, Verdict};
use smmu_model::{Fault, Profile};
use smmu_spec::command::{Leaf, Operation, ResumeAction, TlbiRange};

use super::model_bench::*;

/// Start table of stage 2: 39 input bits from level 1.
const ROOT2: u64 = 0x2800_0000;
/// STE word 2: VMID 5, S2T0SZ 25, S2SL0 1, 48-bit output, AArch64, S2R.
const DW2: u64 = 0x040d_0059_0000_0005;
const S2S: u64 = 1 << 57;
const S2R: u64 = 1 << 58;
const S2HA_HD: u64 = 3 << 55;
const S2PTW: u64 = 1 << 54;
const S2AFFD: u64 = 1 << 53;
/// Stage 2 page: write-back, read-write, inner shareable, AF.
const RW2: u64 = 0x7ff;
const RO2: u64 = 0x77f;
const DBM: u64 = 1 << 51;
const S2: u64 = 1 << 39;

fn class(code: u64) -> u64 {
    code << 40
}
const CD_CLASS: u64 = 0;
const TT: u64 = 1;
const IN: u64 = 2;
const RNW: u64 = 1 << 35;
const TTRNW: u64 = 1 << 44;

impl Bench {
    fn set_stage2(&mut self, config: u64, dw2: u64) {
        let at = STRTAB + 64 * u64::from(SID);
        for (i, word) in [CDTAB | config, STE_DW1, dw2, ROOT2].into_iter().enumerate() {
            self.mem.set(at + 8 * i as u64, word);
        }
    }

    /// Maps a page of stage 2; returns where its descriptor lies.
    fn map2(&mut self, ipa: u64, descriptor: u64) -> u64 {
        let at = ROOT2 + 8 * (ipa >> 30);
        let level2 = ROOT2 + 0x10_0000 + (ipa >> 30) * 0x1000;
        self.mem.set(at, level2 | 3);
        let at = level2 + 8 * (ipa >> 21 & 0x1ff);
        let level3 = ROOT2 + 0x20_0000 + (ipa >> 21) * 0x1000;
        self.mem.set(at, level3 | 3);
        let at = level3 + 8 * (ipa >> 12 & 0x1ff);
        self.mem.set(at, descriptor);
        at
    }

    /// Config 6: stage 2 alone.
    fn stage2(dw2: u64) -> Self {
        let mut b = Self::new(Profile::STALL);
        b.set_stage2(0xd, dw2);
        b
    }

    /// Config 7: the standard CD, its tables and itself identity-mapped by stage 2, page 0x7000 at IPA 0x5000_0000.
    fn nested(dw2: u64) -> Self {
        let mut b = Self::new(Profile::STALL);
        b.set_stage2(0xf, dw2);
        b.set_cd(CDTAB, CD);
        b.map(0x7000, 0x5000_0000 | PAGE_RW);
        for page in [CDTAB, ROOT, ROOT + 0x10_0000, ROOT + 0x10_1000, ROOT + 0x10_2000] {
            b.map2(page, page | RW2);
        }
        b.map2(0x5000_0000, 0x6000_0000 | RW2);
        b
    }
}

#[test]
fn stage_2_alone_translates_and_names_its_faults() {
    let mut b = Bench::stage2(DW2);
    b.map2(0x7000, 0x6000_0000 | RO2);
    assert_eq!(b.read_at(0x7123), Ok(0x6000_0123));
    assert_eq!(b.write_at(0x7123), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0013, S2 | class(IN), 0x7123, 0x7000]);
    assert_eq!(b.read_at(0x9008), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0010, S2 | class(IN) | RNW, 0x9008, 0x9000]);
    assert_eq!(b.read_at(1 << 39), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0010, S2 | class(IN) | RNW, 1 << 39, 1 << 39]);
    b.map2(0x9000, 1 << 47 | RW2 | HOLE.start);
    b.set_stage2(0xd, DW2 & !(7 << 48) | 2 << 48);
    b.cfgi_all();
    assert_eq!(b.read_at(0x9000), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0011, S2 | class(IN) | RNW, 0x9000, 0x9000]);
}

#[test]
fn an_input_beyond_the_address_size_is_a_stage_1_address_size_fault_that_never_stalls() {
    let mut b = Bench::stage2(DW2 & !S2R | S2S);
    assert_eq!(b.read_at(1 << 48), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0011, class(IN) | RNW, 1 << 48, 0]);
}

#[test]
fn a_substream_needs_stage_1() {
    let mut b = Bench::stage2(DW2);
    assert_eq!(b.translate_as(who(SID, Some(3)), 0x7000, AccessKind::Read), Err(Fault::Abort));
    assert_eq!(b.event()[0], 0x0000_0008_0000_3008);
}

#[test]
fn nested_walks_name_descriptor_and_cd_in_their_faults() {
    let mut b = Bench::nested(DW2);
    assert_eq!(b.read_at(0x7010), Ok(0x6000_0010));
    b.cfgi_all();
    b.map2(0x5000_0000, 0);
    assert_eq!(b.read_at(0x7010), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0010, S2 | class(IN) | RNW, 0x7010, 0x5000_0000]);
    b.cfgi_all();
    b.map2(ROOT + 0x10_1000, 0);
    assert_eq!(b.write_at(0x7010), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0010, S2 | class(TT), 0x7010, ROOT + 0x10_1000]);
    b.cfgi_all();
    b.map2(CDTAB, 0);
    assert_eq!(b.write_at(0x7010), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0010, S2 | class(CD_CLASS), 0x7010, CDTAB]);
}

#[test]
fn nested_checks_come_in_the_architecture_s_order() {
    // Both stages put out 40 bits. Each step repairs the cause of the event before and leaves everything behind it broken.
    let mut b = Bench::nested(DW2 & !(7 << 48) | 2 << 48);
    let cd = CD & !(7 << 32) | 2 << 32;
    let leaf = b.map(0x7000, 0);
    let (table, data) = (leaf & !0xfff, 0x5000_0000);
    // What stage 2 says of a page that is to lie at `page`: a hole, out of range, no Access flag and no right, no right.
    let refusals = |page: u64| [(0x10, 0), (0x11, 1 << 44 | 3), (0x12, page | 3), (0x13, page | 0x403)];
    let meets = |b: &mut Bench, expected: [u64; 4]| {
        b.cfgi_all();
        assert_eq!(b.read_at(0x7010), Err(Fault::Abort));
        assert_eq!(b.event().map(|word| word & !(8 << 32)), expected.map(|word| word & !(8 << 32)));
    };
    let of = |id: u64| 8 << 32 | id;
    b.set_cd(CDTAB, 0);
    b.map2(table, 0);
    b.map2(data, 0);
    for (id, descriptor) in refusals(CDTAB) {
        b.map2(CDTAB, descriptor);
        meets(&mut b, [of(id), S2 | class(CD_CLASS) | RNW, 0x7010, CDTAB]);
    }
    b.map2(CDTAB, HOLE.start | RW2);
    meets(&mut b, [of(0x09), 0, 0, HOLE.start]);
    b.map2(CDTAB, CDTAB | RW2);
    meets(&mut b, [of(0x0a), 0, 0, 0]);
    b.set_cd(CDTAB, cd | 1 << 14);
    meets(&mut b, [of(0x10), class(IN) | RNW, 0x7010, 0]);
    b.set_cd(CDTAB, cd);
    for (id, descriptor) in refusals(table) {
        b.map2(table, descriptor);
        let read = if id == 0x13 { TTRNW } else { 0 };
        meets(&mut b, [of(id), S2 | class(TT) | RNW | read, 0x7010, table]);
    }
    b.map2(table, HOLE.start | RW2);
    meets(&mut b, [of(0x0b), class(TT) | RNW, 0x7010, HOLE.start + (leaf & 0xfff)]);
    b.map2(table, table | RW2);
    for (id, descriptor) in [(0x10, 0), (0x11, 1 << 44 | 3), (0x12, data | 3), (0x13, data | 0x403)] {
        b.mem.set(leaf, descriptor);
        meets(&mut b, [of(id), class(IN) | RNW, 0x7010, 0]);
    }
    b.mem.set(leaf, data | PAGE_RW);
    for (id, descriptor) in refusals(0x6000_0000) {
        b.map2(data, descriptor);
        meets(&mut b, [of(id), S2 | class(IN) | RNW, 0x7010, data]);
    }
    b.map2(data, 0x6000_0000 | RW2);
    b.cfgi_all();
    assert_eq!(b.read_at(0x7010), Ok(0x6000_0010));
}

#[test]
fn a_nested_cd_beyond_the_input_size_is_a_stage_2_translation_fault_of_the_cd() {
    let mut b = Bench::nested(DW2);
    // Stage 2 takes 39 bits.
    let far = 1 << 39 | CDTAB;
    b.mem.set(STRTAB + 64 * u64::from(SID), far | 0xf);
    assert_eq!(b.read_at(0x7010), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0010, S2 | class(CD_CLASS) | RNW, 0x7010, far]);
}

#[test]
fn ttrnw_marks_denied_reads_of_descriptors() {
    let mut b = Bench::nested(DW2);
    b.map2(ROOT, ROOT | 0x7bf);
    assert_eq!(b.write_at(0x7010), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0013, S2 | class(TT) | TTRNW, 0x7010, ROOT]);
}

#[test]
fn aborted_stage_2_walks_name_their_class() {
    let mut b = Bench::nested(DW2);
    b.mem.set(ROOT2 + 8, HOLE.start | 3);
    assert_eq!(b.read_at(0x7010), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_000b, S2 | class(IN) | RNW, 0x7010, HOLE.start + 0x280 * 8 % 0x1000]);
    b.cfgi_all();
    b.mem.set(ROOT2, HOLE.start | 3);
    assert_eq!(b.read_at(0x7010), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_000b, S2 | class(CD_CLASS) | RNW, 0x7010, HOLE.start + (CDTAB >> 21 & 0x1ff) * 8]);
}

#[test]
fn s2ptw_keeps_walks_out_of_device_memory() {
    for (page, dw1) in [(ROOT, S2 | class(TT) | TTRNW), (CDTAB, S2 | class(CD_CLASS))] {
        let mut b = Bench::nested(DW2);
        b.map2(page, page | RW2 & !0x3c);
        assert_eq!(b.read_at(0x7000), Ok(0x6000_0000), "Device memory does without S2PTW");
        b.set_stage2(0xf, DW2 | S2PTW);
        b.cfgi_all();
        assert_eq!(b.write_at(0x7000), Err(Fault::Abort));
        assert_eq!(b.event(), [0x0000_0008_0000_0013, dw1, 0x7000, page]);
    }
}

#[test]
fn s2affd_and_s2ha_decide_about_a_clear_access_flag() {
    let mut b = Bench::stage2(DW2);
    let at = b.map2(0x7000, 0x6000_0000 | RW2 & !0x400);
    assert_eq!(b.read_at(0x7000), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0012, S2 | class(IN) | RNW, 0x7000, 0x7000]);
    b.set_stage2(0xd, DW2 | S2AFFD);
    b.cfgi_all();
    assert_eq!(b.read_at(0x7000), Ok(0x6000_0000));
    b.set_stage2(0xd, DW2 | S2HA_HD);
    b.cfgi_all();
    assert_eq!(b.read_at(0x7000), Ok(0x6000_0000));
    assert_eq!(b.mem.get(at), 0x6000_0000 | RW2);
}

#[test]
fn s2hd_makes_a_clean_page_dirty_for_a_write_only() {
    let mut b = Bench::stage2(DW2 | S2HA_HD);
    let at = b.map2(0x7000, 0x6000_0000 | RO2 | DBM);
    assert_eq!(b.read_at(0x7000), Ok(0x6000_0000));
    assert_eq!(b.mem.get(at) & 0x80, 0);
    assert_eq!(b.write_at(0x7000), Ok(0x6000_0000));
    assert_eq!(b.mem.get(at), 0x6000_0000 | RW2 | DBM);
}

#[test]
fn a_stage_1_update_needs_write_permission_of_stage_2_and_dirties_nothing_without_it() {
    let mut b = Bench::nested(DW2);
    b.set_cd(CDTAB, CD | 3 << 42);
    let at = b.map(0x7000, 0x5000_0000 | PAGE_RO | 1 << 51);
    b.map2(at & !0xfff, at & !0xfff | RO2);
    assert_eq!(b.write_at(0x7000), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0013, S2 | class(TT), 0x7000, at & !0xfff]);
    b.map2(at & !0xfff, at & !0xfff | RW2);
    b.map2(0x5000_0000, 0x6000_0000 | RO2);
    b.cfgi_all();
    assert_eq!(b.write_at(0x7000), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0013, S2 | class(IN), 0x7000, 0x5000_0000]);
    assert_eq!(b.mem.get(at), 0x5000_0000 | PAGE_RO | 1 << 51, "no write, no dirty state");
}

#[test]
fn s2s_stalls_and_s2r_records() {
    let mut b = Bench::nested(DW2 & !S2R | S2S);
    b.map2(0x5000_0000, 0);
    let Err(Fault::Stalled(StallTag { stag, .. })) = b.read_at(0x7010) else { panic!("stalled") };
    assert_eq!(b.event(), [0x0000_0008_0000_0010, S2 | class(IN) | RNW | 1 << 31 | u64::from(stag), 0x7010, 0x5000_0000]);
    b.map2(0x5000_0000, 0x6000_0000 | RW2);
    b.command(Operation::Resume { stream: StreamId(SID), stag, action: ResumeAction::Retry });
    assert_eq!(b.resumed(), [(StallTag { stream: StreamId(SID), stag }, Verdict::Retry)]);
    assert_eq!(b.read_at(0x7010), Ok(0x6000_0010));

    let mut b = Bench::stage2(DW2 & !S2R);
    assert_eq!(b.read_at(0x7010), Err(Fault::Abort), "no RAZ/WI for stage 2");
    b.no_event();
    let mut b = Bench::nested(DW2 | S2S);
    b.map2(CDTAB, 0);
    assert!(matches!(b.read_at(0x7010), Err(Fault::Stalled(_))), "a CD fetch stalls too");
}

#[test]
fn s1dss_bypass_leaves_stage_2() {
    let mut b = Bench::nested(DW2);
    let at = STRTAB + 64 * u64::from(SID);
    b.mem.set(at, CDTAB | 0xf | 4 << 59);
    b.mem.set(at + 8, 0xd5);
    b.map2(0x7000, 0x6100_0000 | RW2);
    assert_eq!(b.read_at(0x7010), Ok(0x6100_0010));
}

fn ipa(vmid: u16, address: u64) -> Operation {
    Operation::TlbiS2Ipa { vmid, range: TlbiRange::single(address, Leaf::Only) }
}

#[test]
fn tlbi_s2_ipa_reaches_stage_2_entries_and_not_combined_ones() {
    let mut b = Bench::stage2(DW2);
    b.map2(0x7000, 0x6000_0000 | RW2);
    assert_eq!(b.read_at(0x7000), Ok(0x6000_0000));
    b.map2(0x7000, 0x6200_0000 | RW2);
    for (operation, hit) in
        [(ipa(6, 0x7000), false), (ipa(5, 0x8000), false), (Operation::TlbiNhAll { vmid: 5 }, false), (ipa(5, 0x7000), true)]
    {
        b.command(operation);
        assert_eq!(b.read_at(0x7000), Ok(if hit { 0x6200_0000 } else { 0x6000_0000 }), "{operation:?}");
    }

    let mut b = Bench::nested(DW2);
    assert_eq!(b.read_at(0x7000), Ok(0x6000_0000));
    b.map2(0x5000_0000, 0x6200_0000 | RW2);
    b.command(ipa(5, 0x5000_0000));
    assert_eq!(b.read_at(0x7000), Ok(0x6000_0000), "an entry of both stages is stage 1's");
    b.command(Operation::TlbiNhAll { vmid: 5 });
    assert_eq!(b.read_at(0x7000), Ok(0x6200_0000));
}

#[test]
fn vmids_separate_guests_and_s12_vmall_drops_both_stages_of_one() {
    let mut b = Bench::nested(DW2);
    assert_eq!(b.read_at(0x7000), Ok(0x6000_0000));
    b.map2(0x5000_0000, 0x6200_0000 | RW2);
    for vmid in [4, 6] {
        b.command(Operation::TlbiS12Vmall { vmid });
        assert_eq!(b.read_at(0x7000), Ok(0x6000_0000));
    }
    b.command(Operation::TlbiS12Vmall { vmid: 5 });
    assert_eq!(b.read_at(0x7000), Ok(0x6200_0000));
    // Another VMID with the same ASID and address does not see the entry.
    b.map2(0x5000_0000, 0x6300_0000 | RW2);
    b.set_stage2(0xf, DW2 + 1);
    b.cfgi_ste(SID, Leaf::Only);
    assert_eq!(b.read_at(0x7000), Ok(0x6300_0000));
    b.set_stage2(0xf, DW2);
    b.cfgi_ste(SID, Leaf::Only);
    assert_eq!(b.read_at(0x7000), Ok(0x6200_0000), "the old VMID's entry lives");
    b.command(Operation::TlbiNsnhAll);
    assert_eq!(b.read_at(0x7000), Ok(0x6300_0000));
}

#[test]
fn a_combined_entry_denies_by_the_stage_that_denied() {
    let mut b = Bench::nested(DW2);
    b.map2(0x5000_0000, 0x6000_0000 | RO2);
    assert_eq!(b.read_at(0x7000), Ok(0x6000_0000));
    assert_eq!(b.write_at(0x7008), Err(Fault::Abort));
    assert_eq!(b.event(), [0x0000_0008_0000_0013, S2 | class(IN), 0x7008, 0x5000_0000]);
}

#[test]
fn stage_1_only_streams_carry_the_vmid_where_stage_2_exists() {
    let mut b = Bench::new(Profile::STALL);
    b.set_ste(SID, [STE_S1, STE_DW1]);
    b.mem.set(STRTAB + 64 * u64::from(SID) + 16, 9);
    b.set_cd(CDTAB, CD);
    b.map(0x7000, 0x6000_0000 | PAGE_RW);
    assert_eq!(b.read_at(0x7000), Ok(0x6000_0000));
    b.map(0x7000, 0x6100_0000 | PAGE_RW);
    b.command(Operation::TlbiNhAsid { vmid: 0, asid: 7 });
    assert_eq!(b.read_at(0x7000), Ok(0x6000_0000));
    b.command(Operation::TlbiNhAsid { vmid: 9, asid: 7 });
    assert_eq!(b.read_at(0x7000), Ok(0x6100_0000));
}

/// A stream in an EL2 world.
fn el2(e2h: bool) -> Bench {
    let mut b = Bench::new(Profile::STALL);
    b.write(0x020, 0xc);
    b.write(0x02c, 2 | u32::from(e2h));
    assert_eq!(b.read(0x02c), 2 | u32::from(e2h));
    b.write(0x020, 0xd);
    b.set_ste(SID, [STE_S1, STE_DW1 | 2 << 30]);
    b.set_cd(CDTAB, CD);
    b.map(0x7000, 0x6000_0000 | 0xf03);
    b
}

#[test]
fn the_plain_el2_world_has_one_half_no_asid_and_no_unprivileged_level() {
    let mut b = el2(false);
    assert_eq!(b.read_at(0x7000), Ok(0x6000_0000), "AP[1] = 0 denies nobody");
    assert_eq!(b.read_at(1 << 63 | 0x7000), Err(Fault::Abort));
    assert_eq!(b.event()[0], 0x0000_0008_0000_0010);
    b.map(0x7000, 0x6100_0000 | 0xf03);
    for operation in [Operation::TlbiNsnhAll, Operation::TlbiNhAll { vmid: 0 }, Operation::TlbiEl2Asid { asid: 7 }] {
        b.command(operation);
        assert_eq!(b.read_at(0x7000), Ok(0x6000_0000), "{operation:?}");
    }
    b.command(Operation::TlbiEl2Va { asid: 0, range: TlbiRange::single(0x7000, Leaf::Only) });
    assert_eq!(b.read_at(0x7000), Ok(0x6100_0000));
    b.map(0x7000, 0x6200_0000 | 0xf03);
    b.command(Operation::TlbiEl2All);
    assert_eq!(b.read_at(0x7000), Ok(0x6200_0000));
}

#[test]
fn the_e2h_world_has_asids_and_privilege() {
    let mut b = el2(true);
    let kernel = Requester { privileged: true, ..who(SID, None) };
    let read = |b: &mut Bench| b.translate_as(kernel, 0x7000, AccessKind::Read).map(|t| t.pa.0);
    assert_eq!(b.read_at(0x7000), Err(Fault::Abort), "AP[1] = 0 denies the unprivileged");
    assert_eq!(b.event()[0], 0x0000_0008_0000_0013);
    b.cfgi_all();
    b.command(Operation::TlbiEl2All);
    assert_eq!(read(&mut b), Ok(0x6000_0000));
    b.map(0x7000, 0x6100_0000 | 0xf03);
    b.command(Operation::TlbiEl2Asid { asid: 8 });
    b.command(Operation::TlbiEl2Va { asid: 8, range: TlbiRange::single(0x7000, Leaf::Only) });
    assert_eq!(read(&mut b), Ok(0x6000_0000), "another ASID");
    b.command(Operation::TlbiEl2Asid { asid: 7 });
    assert_eq!(read(&mut b), Ok(0x6100_0000));
    b.map(0x7000, 0x6200_0000 | 0xf03);
    b.command(Operation::TlbiEl2Vaa { range: TlbiRange::single(0x7000, Leaf::Only) });
    assert_eq!(read(&mut b), Ok(0x6200_0000));
}
