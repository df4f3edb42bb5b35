use super::*;
use crate::Profile;

/// Words 1 to 3: VMID 5, 40 input bits from level 1 (two tables), 4 KiB, 48-bit output, AArch64, S2R, table at 0x5000_0000.
const GOOD: [u64; 3] = [0, 0x040d_3558_0000_0005, 0x5000_0000];

fn decode_for(words: [u64; 3], profile: Profile) -> Option<Stage2> {
    Stage2::decode(words[0], words[1], words[2], &Features::of(&profile.ids))
}

fn is_legal(dw2: u64) -> bool {
    decode_for([0, dw2, GOOD[2]], Profile::STALL).is_some()
}

fn with(shift: u32, bits: u32, value: u64) -> u64 {
    GOOD[1] & !(((1 << bits) - 1) << shift) | value << shift
}

fn idr0(profile: Profile, clear: u32, set: u32) -> Profile {
    let mut ids = profile.ids;
    ids.idr0 = ids.idr0 & !clear | set;
    Profile { ids, ..profile }
}

#[test]
fn a_golden_entry_decodes() {
    let s2 = decode_for(GOOD, Profile::STALL).expect("legal");
    assert_eq!((s2.tables.input_bits, s2.tables.beyond), (40, u64::MAX << 48));
    assert_eq!((s2.tables.table, s2.tables.tag), (0x5000_0000, Tag::of_stage2(5)));
    assert!(s2.record && !s2.stall && !s2.update_access);
}

#[test]
fn ste_s2aa64_0_is_illegal() {
    assert!(!is_legal(GOOD[1] & !(1 << 51)));
}

#[test]
fn ste_s2s_follows_the_stall_model() {
    let stalling = GOOD[1] | 1 << 57;
    assert!(is_legal(stalling));
    let terminate_only = idr0(Profile::STALL, 3 << 24, 1 << 24);
    assert!(decode_for([0, stalling, GOOD[2]], terminate_only).is_none());
    assert!(decode_for(GOOD, terminate_only).is_some());
    let forced = idr0(Profile::STALL, 3 << 24, 2 << 24);
    assert!(decode_for([0, stalling, GOOD[2]], forced).is_some());
    assert!(decode_for(GOOD, forced).is_none());
}

#[test]
fn ste_s2ha_and_s2hd_need_httu() {
    let (ha, hd) = (GOOD[1] | 1 << 56, GOOD[1] | 1 << 55);
    assert!(is_legal(ha) && is_legal(hd));
    assert!(!decode_for([0, hd, GOOD[2]], Profile::STALL).expect("legal").update_dirty, "S2HD without S2HA is off");
    let access_only = idr0(Profile::STALL, 3 << 6, 1 << 6);
    assert!(decode_for([0, ha, GOOD[2]], access_only).is_some() && decode_for([0, hd, GOOD[2]], access_only).is_none());
    assert!(decode_for([0, ha, GOOD[2]], idr0(Profile::STALL, 3 << 6, 0)).is_none());
}

#[test]
fn ste_s2haft_without_s2ha_is_illegal_where_it_exists() {
    let haft = GOOD[1] | 1 << 59;
    assert!(is_legal(haft), "not looked at with HTTU = 2");
    let tables = idr0(Profile::STALL, 3 << 6, 3 << 6);
    assert!(decode_for([0, haft, GOOD[2]], tables).is_none());
    assert!(decode_for([0, haft | 1 << 56, GOOD[2]], tables).is_some());
}

#[test]
fn ste_s2tg_reserved_or_missing_is_illegal() {
    assert!(!is_legal(with(46, 2, 3)));
    assert!(is_legal(with(46, 2, 2)), "16 KiB: level 2 with sixteen tables covers 40 bits");
    let mut ids = Profile::STALL.ids;
    ids.idr5 &= !(1 << 4);
    assert!(decode_for(GOOD, Profile { ids, ..Profile::STALL }).is_none());
}

#[test]
fn ste_s2ttb_beyond_s2ps_is_illegal() {
    assert!(decode_for([0, GOOD[1], 1 << 48], Profile::STALL).is_none());
    assert!(decode_for([0, GOOD[1], 1 << 47], Profile::STALL).is_some());
    assert!(decode_for([0, with(48, 3, 2), 1 << 40], Profile::STALL).is_none(), "S2PS of 40 bits");
    let wide = Profile::STALL.with_oas(6);
    assert!(decode_for([0, with(48, 3, 6), 1 << 48], wide).is_none(), "4 KiB granule stops at 48 bits");
    assert!(decode_for([0, with(48, 3, 6) | 1 << 46, 1 << 48], wide).is_some(), "64 KiB granule reaches 52");
}

#[test]
fn ste_s2t0sz_outside_its_range_is_illegal() {
    // Level 0 takes 40 to 48 bits, level 1 31 to 43, level 2 22 to 34; 25 bits are the least without small tables.
    for (sl0, least, most) in [(2, 16, 24), (1, 21, 33), (0, 30, 39)] {
        for size in 0..64 {
            let dw2 = with(32, 6, size) & !(3 << 38) | sl0 << 38;
            assert_eq!(is_legal(dw2), (least..=most).contains(&size), "S2SL0 {sl0} S2T0SZ {size}");
        }
    }
    let narrow = Profile::STALL.with_oas(2);
    assert!(decode_for([0, with(32, 6, 23) & !(3 << 38) | 2 << 38, 0], narrow).is_none(), "41 bits with OAS of 40");
    assert!(decode_for([0, with(32, 6, 24), 0], narrow).is_some());
}

#[test]
fn ste_s2sl0_without_a_level_or_with_too_many_tables_is_illegal() {
    assert!(!is_legal(with(38, 2, 3)));
    assert!(!is_legal(with(38, 2, 0)), "40 bits from level 2 would take 1,024 tables");
    let tg64 = |size: u64, sl0: u64| with(32, 6, size) & !(3 << 38) | sl0 << 38 | 1 << 46;
    assert!(is_legal(tg64(31, 0)), "33 bits from level 3 take sixteen tables");
    assert!(!is_legal(tg64(30, 0)));
    assert!(!is_legal(tg64(31, 2)), "33 bits leave nothing for level 1");
    assert!(is_legal(tg64(20, 2)));
}

#[test]
fn ste_s2endi_needs_big_endian_tables() {
    assert!(!is_legal(GOOD[1] | 1 << 52));
    assert!(decode_for([0, GOOD[1] | 1 << 52, GOOD[2]], idr0(Profile::STALL, 3 << 21, 0)).is_some());
}

#[test]
fn ste_s2vmid_above_8_bits_needs_vmid16() {
    assert!(is_legal(GOOD[1] | 0x100));
    assert!(decode_for([0, GOOD[1] | 0x100, GOOD[2]], idr0(Profile::STALL, 1 << 18, 0)).is_none());
}

#[test]
fn xn_codes_follow_xnx() {
    let s2 = decode_for(GOOD, Profile::STALL).expect("legal");
    let executes = |s2: &Stage2, xn: u64| {
        let bits = s2.permissions(0xff | xn << 53);
        [allow::UNPRIVILEGED, allow::PRIVILEGED].map(|who| bits & 1 << (who + allow::EXECUTE) != 0)
    };
    assert_eq!([0, 1, 2, 3].map(|xn| executes(&s2, xn)), [[true, true], [true, false], [false, false], [false, true]]);
    let old = Stage2 { has_xnx: false, ..s2 };
    assert_eq!([0, 1, 2, 3].map(|xn| executes(&old, xn)), [[true, true], [true, true], [false, false], [false, false]]);
}

#[test]
fn s2fwb_is_looked_at_where_it_exists() {
    let forced = |profile| decode_for([1 << 25, GOOD[1], GOOD[2]], profile).is_some_and(|s2| s2.force_write_back);
    let mut without = Profile::STALL;
    without.ids.idr3 &= !(1 << 8);
    assert!(forced(Profile::STALL) && !forced(without));
    assert!(!decode_for(GOOD, Profile::STALL).expect("legal").force_write_back);
}

#[test]
fn attributes_of_both_stages_combine_to_the_weaker() {
    let rows = [
        (0xff, 0xf, 0xff),
        (0xff, 0x5, 0x44),
        (0xff, 0xa, 0xbb),
        (0x44, 0xf, 0x44),
        (0xff, 0x1, 0x04),
        (0x04, 0xf, 0x04),
        (0x0c, 0x0, 0x00),
        (0x00, 0x3, 0x00),
        // S2FWB: write-back whatever stage 1 says; stage 1's own; Device.
        (0x44, 0x16, 0xff),
        (0x44, 0x17, 0x44),
        (0xff, 0x15, 0x44),
        (0xff, 0x11, 0x04),
    ];
    for (mair, s2, expected) in rows {
        assert_eq!(combine_attributes(mair, s2), expected, "{mair:#x} with {s2:#x}");
    }
    assert_eq!([(0, 3), (3, 2), (2, 0), (0, 0)].map(|(a, b)| combine_shareability(a, b)), [3, 2, 2, 0]);
}
