//! Golden contexts of J.1 and independently typed masks.

use super::*;
use QmVersion::{V1, V2, V3};

#[test]
fn golden_sqc_rows_1_to_5() {
    let row1 = SqcFields::fresh(0, Iova(0xfffc_0000), 1024, 7, 0);
    let row2 = SqcFields::fresh(1, Iova(0xfff8_0000), 1024, 7, 1);
    let row4 = SqcFields { pasid: 1, ..SqcFields::fresh(3, Iova(0xfff0_0000), 1024, 7, 1) };
    let row3 = SqcFields { pasid_enable: true, ..row4 };
    let row5 = row1;
    let rows = [
        (row1, V3, [0, 0xfffc_0000, 0, 0x0000_73ff, 0, 0, 0x0010_0000, 0]),
        (row1, V2, [0, 0xfffc_0000, 0, 0x0000_73ff, 0, 0, 0x0010_0000, 0]),
        (row2, V3, [0, 0xfff8_0000, 0, 0x0000_73ff, 0, 0, 0x0110_0001, 0]),
        (row3, V3, [0, 0xfff0_0000, 0, 0x0000_73ff, 0, 0x0080_0001, 0x0110_0003, 0]),
        (row4, V2, [0, 0xfff0_0000, 0, 0x0000_73ff, 0, 0x0000_0001, 0x0110_0003, 0]),
        (row5, V1, [0, 0xfffc_0000, 0, 0x0000_7000, 0x0000_03ff, 0, 0x0010_0000, 0]),
    ];
    for (fields, version, golden) in rows {
        assert_eq!(fields.encode(version), golden);
        assert_eq!(SqcFields::decode(&golden, version), fields);
    }
}

#[test]
fn golden_cqc_rows_6_to_8() {
    let row6 = CqcFields::fresh(Iova(0xfffe_0000), 1024);
    let row7 = CqcFields { pasid: 1, pasid_enable: true, ..CqcFields::fresh(Iova(0xfff2_0000), 1024) };
    let rows = [
        (row6, V3, [0, 0xfffe_0000, 0, 0x0000_43ff, 0, 0, 3, 0]),
        (row7, V3, [0, 0xfff2_0000, 0, 0x0000_43ff, 0, 0x0001_0001, 3, 0]),
        (row6, V1, [0, 0xfffe_0000, 0, 0x0000_4000, 0x0000_03ff, 0, 3, 0]),
    ];
    for (fields, version, golden) in rows {
        assert_eq!(fields.encode(version), golden);
        assert_eq!(CqcFields::decode(&golden, version), fields);
    }
}

#[test]
fn golden_eqc_and_aeqc_rows_9_to_11() {
    let eqc = EqcFields::fresh(Iova(0xffff_8000), 2048);
    assert_eq!(eqc.encode()[..7], [0, 0xffff_8000, 0, 0, 0, 0, 0x0001_07ff]);
    assert_eq!(eqc.encode_eqc_v1()[..7], [0, 0xffff_8000, 0, 0x0000_2000, 0, 0, 0x0001_07ff]);
    let aeqc = EqcFields::fresh(Iova(0xffff_a000), 1024);
    assert_eq!(aeqc.encode()[..7], [0, 0xffff_a000, 0, 0, 0, 0, 0x0001_03ff]);
    assert_eq!(EqcFields::decode(&[0, 0xffff_a000, 0, 0, 0, 0, 0x0001_03ff, 0xdead_beef]), aeqc);
}

#[test]
fn every_field_has_its_own_bits() {
    let sqc = |f: fn(&mut SqcFields)| {
        let mut fields = SqcFields { order: 0, ..SqcFields::fresh(0, Iova(0), 1, 0, 0) };
        f(&mut fields);
        fields.encode(V3)
    };
    assert_eq!(sqc(|f| f.head = 0xffff), [0x0000_ffff, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(sqc(|f| f.tail = 0xffff), [0xffff_0000, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(sqc(|f| f.base = Iova(u64::MAX)), [0, 0xffff_ffff, 0xffff_ffff, 0, 0, 0, 0, 0]);
    assert_eq!(sqc(|f| f.depth_entries = 4096), [0, 0, 0, 0x0000_0fff, 0, 0, 0, 0]);
    assert_eq!(sqc(|f| f.log2_sqe_bytes = 15), [0, 0, 0, 0x0000_f000, 0, 0, 0, 0]);
    assert_eq!(sqc(|f| f.rand = 0xffff), [0, 0, 0, 0, 0x0000_ffff, 0, 0, 0]);
    assert_eq!(sqc(|f| f.pasid = 0xffff), [0, 0, 0, 0, 0, 0x0000_ffff, 0, 0]);
    assert_eq!(sqc(|f| f.head_wrap = true), [0, 0, 0, 0, 0, 0x0020_0000, 0, 0]);
    assert_eq!(sqc(|f| f.tail_wrap = true), [0, 0, 0, 0, 0, 0x0040_0000, 0, 0]);
    assert_eq!(sqc(|f| f.pasid_enable = true), [0, 0, 0, 0, 0, 0x0080_0000, 0, 0]);
    assert_eq!(sqc(|f| f.cqn = 0xffff), [0, 0, 0, 0, 0, 0, 0x0000_ffff, 0]);
    assert_eq!(sqc(|f| f.priority = 15), [0, 0, 0, 0, 0, 0, 0x000f_0000, 0]);
    assert_eq!(sqc(|f| f.order = 15), [0, 0, 0, 0, 0, 0, 0x00f0_0000, 0]);
    assert_eq!(sqc(|f| f.order = ORDER_CLOSE), [0, 0, 0, 0, 0, 0, 1 << (16 + 6), 0]);
    assert_eq!(sqc(|f| f.alg_type = 15), [0, 0, 0, 0, 0, 0, 0x0f00_0000, 0]);
    let cqc = |f: fn(&mut CqcFields)| {
        let mut fields = CqcFields { phase: false, c_flag: false, log2_cqe_bytes: 0, ..CqcFields::fresh(Iova(0), 1) };
        f(&mut fields);
        fields.encode(V3)
    };
    assert_eq!(cqc(|f| f.head = 0xffff), [0x0000_ffff, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(cqc(|f| f.tail = 0xffff), [0xffff_0000, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(cqc(|f| f.base = Iova(u64::MAX)), [0, 0xffff_ffff, 0xffff_ffff, 0, 0, 0, 0, 0]);
    assert_eq!(cqc(|f| f.depth_entries = 4096), [0, 0, 0, 0x0000_0fff, 0, 0, 0, 0]);
    assert_eq!(cqc(|f| f.log2_cqe_bytes = 15), [0, 0, 0, 0x0000_f000, 0, 0, 0, 0]);
    assert_eq!(cqc(|f| f.rand = 0xffff), [0, 0, 0, 0, 0x0000_ffff, 0, 0, 0]);
    assert_eq!(cqc(|f| f.pasid = 0xffff), [0, 0, 0, 0, 0, 0x0000_ffff, 0, 0]);
    assert_eq!(cqc(|f| f.pasid_enable = true), [0, 0, 0, 0, 0, 0x0001_0000, 0, 0]);
    assert_eq!(cqc(|f| f.head_wrap = true), [0, 0, 0, 0, 0, 0x0020_0000, 0, 0]);
    assert_eq!(cqc(|f| f.tail_wrap = true), [0, 0, 0, 0, 0, 0x0040_0000, 0, 0]);
    assert_eq!(cqc(|f| f.phase = true), [0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(cqc(|f| f.c_flag = true), [0, 0, 0, 0, 0, 0, 2, 0]);
    let eqc = |f: fn(&mut EqcFields)| {
        let mut fields = EqcFields { phase: false, ..EqcFields::fresh(Iova(0), 1) };
        f(&mut fields);
        fields.encode()
    };
    assert_eq!(eqc(|f| f.head = 0xffff), [0x0000_ffff, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(eqc(|f| f.tail = 0xffff), [0xffff_0000, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(eqc(|f| f.base = Iova(u64::MAX)), [0, 0xffff_ffff, 0xffff_ffff, 0, 0, 0, 0, 0]);
    assert_eq!(eqc(|f| f.depth_entries = 65_536), [0, 0, 0, 0, 0, 0, 0x0000_ffff, 0]);
    assert_eq!(eqc(|f| f.phase = true), [0, 0, 0, 0, 0, 0, 0x0001_0000, 0]);
    // Version 1 has its depths elsewhere (rows 5 and 8), and no random data.
    let v1 = SqcFields { rand: 0xffff, ..SqcFields::fresh(0, Iova(0), 65_536, 0, 0) };
    assert_eq!(SqcFields { order: 0, ..v1 }.encode(V1), [0, 0, 0, 0, 0x0000_ffff, 0, 0, 0]);
}

#[test]
fn bitfields_of_each_word_are_disjoint() {
    fn disjoint(masks: &[u32]) -> u32 {
        masks.iter().fold(0, |all, mask| {
            assert_eq!(all & mask, 0);
            all | mask
        })
    }
    assert_eq!(disjoint(&[RING_POSITION::HEAD, RING_POSITION::TAIL].map(|f| f.mask << f.shift)), 0xffff_ffff);
    assert_eq!(disjoint(&[SQC_W3::DEPTH, SQC_W3::ENTRY, SQC_W3::STASH].map(|f| f.mask << f.shift)), 0xffff_ffff);
    assert_eq!(disjoint(&[SQC_W5::PASID, SQC_W5::HEAD_WRAP, SQC_W5::TAIL_WRAP, SQC_W5::PASID_EN].map(|f| f.mask << f.shift)), 0x00e0_ffff);
    assert_eq!(disjoint(&[SQC_W6::CQN, SQC_W6::PRIORITY, SQC_W6::ORDER, SQC_W6::ALG].map(|f| f.mask << f.shift)), 0x0fff_ffff);
    assert_eq!(
        disjoint(&[CQC_W11::PASID, CQC_W11::PASID_EN, CQC_W11::HEAD_WRAP, CQC_W11::TAIL_WRAP].map(|f| f.mask << f.shift)),
        0x0061_ffff
    );
    assert_eq!(disjoint(&[CQC_W13::PHASE, CQC_W13::C_FLAG, CQC_W13::STASH_VALID].map(|f| f.mask << f.shift)), 7);
    assert_eq!(disjoint(&[EQC_W6::DEPTH, EQC_W6::PHASE].map(|f| f.mask << f.shift)), 0x0001_ffff);
}

#[test]
fn bytes_are_little_endian() {
    let words = [0x0403_0201, 0, 0, 0, 0, 0, 0, 0x2019_1817];
    let bytes = context_to_bytes(&words);
    assert_eq!((&bytes[..4], &bytes[28..]), (&[1u8, 2, 3, 4][..], &[0x17u8, 0x18, 0x19, 0x20][..]));
    assert_eq!(context_from_bytes(&bytes), words);
}
