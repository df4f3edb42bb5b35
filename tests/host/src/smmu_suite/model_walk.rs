//! The stage-1 walk against an independent reference, permissions, hardware updates, halves (SM-T01 to SM-T10, SM-T15).

use hal::{AccessKind, Requester};
use smmu_model::{Policy, Profile};

use super::model_bench::*;
use super::rng::Rng;

/// What the reference walker is told; nothing of it comes from the model.
#[derive(Clone, Copy, Debug)]
struct Regime {
    page_bits: u32,
    tsz: u32,
    upper: bool,
    ips_bits: u32,
    root: u64,
    hierarchy: bool,
    wxn: bool,
    pan: bool,
}

/// A naive walker written from the architecture's tables: address or event number.
fn reference(mem: &Memory, r: &Regime, va: u64, privileged: bool, kind: AccessKind) -> Result<u64, u8> {
    let inputs = 64 - r.tsz;
    let fixed = va >> inputs;
    if fixed != if r.upper { (1 << r.tsz) - 1 } else { 0 } {
        return Err(0x10);
    }
    let va = va & ((1 << inputs) - 1);
    let per_level = r.page_bits - 3;
    let levels = (inputs - r.page_bits).div_ceil(per_level);
    let (mut table, mut ro, mut no_user, mut uxn, mut pxn) = (r.root, false, false, false, false);
    for step in (0..levels).rev() {
        let shift = r.page_bits + step * per_level;
        let index = (va >> shift) & if step == levels - 1 { u64::MAX } else { (1 << per_level) - 1 };
        let at = table + index * 8;
        if HOLE.contains(&at) {
            return Err(0x0b);
        }
        let d = mem.get(at);
        let low = |bits: u32| {
            let high = if r.page_bits == 16 { (d & 0xf000) << 36 } else { 0 };
            high | d & 0x0000_ffff_ffff_ffff >> bits << bits
        };
        let is_block = d & 3 == 1 && (step == 1 || step == 2 && r.page_bits == 12);
        if d & 1 == 0 || step == 0 && d & 3 == 1 || d & 3 == 1 && !is_block && step > 0 {
            return Err(0x10);
        }
        if step > 0 && d & 3 == 3 {
            table = low(r.page_bits);
            if table >> r.ips_bits != 0 {
                return Err(0x11);
            }
            if r.hierarchy {
                ro |= d >> 62 & 1 == 1;
                no_user |= d >> 61 & 1 == 1;
                uxn |= d >> 60 & 1 == 1;
                pxn |= d >> 59 & 1 == 1;
            }
            continue;
        }
        let out = low(shift) | va & ((1 << shift) - 1);
        if out >> r.ips_bits != 0 {
            return Err(0x11);
        }
        if d >> 10 & 1 == 0 {
            return Err(0x12);
        }
        ro |= d >> 7 & 1 == 1;
        no_user |= d >> 6 & 1 == 0;
        uxn |= d >> 54 & 1 == 1;
        pxn |= d >> 53 & 1 == 1;
        let user_writable = !ro && !no_user;
        let allowed = match (privileged, kind) {
            (false, AccessKind::Read) => !no_user,
            (false, AccessKind::Write) => user_writable,
            (false, AccessKind::Execute) => !(uxn || r.wxn && user_writable),
            (true, AccessKind::Read) => no_user || !r.pan,
            (true, AccessKind::Write) => !ro && (no_user || !r.pan),
            (true, AccessKind::Execute) => !pxn && !user_writable && (!r.wxn || ro),
        };
        return if allowed { Ok(out) } else { Err(0x13) };
    }
    unreachable!("the last step ends the loop")
}

/// A random descriptor: mostly a plausible table or leaf, sometimes anything.
fn descriptor(rng: &mut Rng, page_bits: u32, arena: u64) -> u64 {
    let table = arena + rng.below(24) * (1 << page_bits);
    match rng.below(16) {
        0 => rng.next(),
        1 => 0,
        2 => (HOLE.start + (rng.below(4) << 16)) | 3,
        3 => table | 3 | rng.next() & 0x1f << 59,
        4..=9 => table | 3,
        _ => {
            let output = rng.next() & 0x0000_00ff_ffff_f000 & !((1 << page_bits) - 1);
            let attributes = rng.next() & (0x3 << 53 | 0x8c0) | 0x400 & !(u64::from(rng.below(8) == 0) << 10);
            output | attributes | 1 | ((rng.below(4) != 0) as u64 * 2)
        }
    }
}

/// Outcomes seen: translated, then the events 0x0b, 0x10, 0x11, 0x12, 0x13.
type Outcomes = [u32; 6];

fn differential(page_bits: u32, seed: u64, rounds: u32, policy: Policy, outcomes: &mut Outcomes) {
    let mut rng = Rng(seed);
    for round in 0..rounds {
        let mut b = Bench::new(Profile::STALL_S1).policy(policy);
        b.set_ste(SID, [STE_S1, STE_DW1]);
        let upper = rng.below(2) == 1;
        let arena = 0x8000_0000_u64;
        let ips_code = [1, 2, 5][rng.below(3) as usize];
        let r = Regime {
            page_bits,
            tsz: 16 + rng.below(24) as u32,
            upper,
            ips_bits: [36, 40, 48][[1, 2, 5].iter().position(|c| *c == ips_code).unwrap()],
            root: arena + 24 * (1 << page_bits),
            hierarchy: rng.below(2) == 1,
            wxn: rng.below(4) == 0,
            pan: rng.below(4) == 0,
        };
        let per_table = 1_u64 << (page_bits - 3);
        // Few entries per table are filled, and addresses are drawn from the same few indices.
        let indices: Vec<u64> = (0..6).map(|_| rng.below(per_table)).chain([0, per_table - 1]).collect();
        for table in 0..25 {
            for &i in &indices {
                let d = descriptor(&mut rng, page_bits, arena);
                b.mem.set(arena + table * (1 << page_bits) + i * 8, d);
            }
        }
        let tg = match (page_bits, upper) {
            (12, false) => 0,
            (14, false) => 2 << 6,
            (16, false) => 1 << 6,
            (12, true) => 2 << 22,
            (14, true) => 1 << 22,
            _ => 3 << 22,
        };
        let half = if upper { 1 << 14 | u64::from(r.tsz) << 16 } else { 1 << 30 | u64::from(r.tsz) };
        let dw0 = half | tg | 1 << 31 | ips_code << 32 | u64::from(r.wxn) << 36 | u64::from(r.pan) << 40 | 1 << 41 | 3 << 45 | 7 << 48;
        let had = u64::from(!r.hierarchy) << 1;
        for (i, word) in [dw0, if upper { 0 } else { r.root | had }, if upper { r.root | had } else { 0 }, 0xff].iter().enumerate() {
            b.mem.set(CDTAB + 8 * i as u64, *word);
        }
        for _ in 0..40 {
            let mut va = rng.below(1 << page_bits);
            for level in 0..4 {
                va |= indices[rng.below(8) as usize] << (page_bits + level * (page_bits - 3)).min(63);
            }
            let mask = (1_u64 << (64 - r.tsz)) - 1;
            va = if upper { va | !mask } else { va & mask };
            if rng.below(16) == 0 {
                va ^= 1 << (64 - r.tsz + rng.below(u64::from(r.tsz)) as u32);
            }
            let privileged = rng.below(2) == 1;
            let kind = [AccessKind::Read, AccessKind::Write, AccessKind::Execute][rng.below(3) as usize];
            let expected = reference(&b.mem, &r, va, privileged, kind);
            let who = Requester { privileged, ..who(SID, None) };
            let got = b.translate_as(who, va, kind);
            let event = b.events().first().map(|e| e.id().0);
            let kinds = [Ok(()), Err(0x0b), Err(0x10), Err(0x11), Err(0x12), Err(0x13)];
            outcomes[kinds.iter().position(|k| *k == expected.map(|_| ())).expect("listed")] += 1;
            let got = got.map(|t| t.pa.0).map_err(|_| event.expect("recorded"));
            assert_eq!(got, expected, "seed {seed} round {round} {r:?} va {va:#x} privileged {privileged} {kind:?}");
        }
    }
}

#[test]
fn sm_t15_random_walks_equal_the_reference_4k() {
    let mut outcomes = Outcomes::default();
    for seed in 1..=3 {
        differential(12, seed, 400, Policy::AlwaysMiss, &mut outcomes);
        differential(12, seed, 200, Policy::Sticky, &mut outcomes);
    }
    assert!(outcomes.iter().all(|n| *n > 300), "every outcome is exercised: {outcomes:?}");
}

#[test]
fn sm_t15_random_walks_equal_the_reference_16k() {
    let mut outcomes = Outcomes::default();
    for seed in 1..=3 {
        differential(14, seed, 400, Policy::AlwaysMiss, &mut outcomes);
        differential(14, seed, 200, Policy::Prefetch, &mut outcomes);
    }
    assert!(outcomes.iter().all(|n| *n > 300), "every outcome is exercised: {outcomes:?}");
}

#[test]
fn sm_t15_random_walks_equal_the_reference_64k() {
    let mut outcomes = Outcomes::default();
    for seed in 1..=3 {
        differential(16, seed, 400, Policy::AlwaysMiss, &mut outcomes);
        differential(16, seed, 200, Policy::Random { seed: seed as u32 }, &mut outcomes);
    }
    assert!(outcomes.iter().all(|n| *n > 300), "every outcome is exercised: {outcomes:?}");
}

#[test]
fn sm_t04_ttb1_split_and_tbi() {
    let mut b = Bench::stage1();
    let two_halves = CD & !(1 << 30) | 16 << 16 | 2 << 22;
    b.set_cd(CDTAB, two_halves);
    b.mem.set(CDTAB + 16, ROOT + 0x1000);
    b.map(0x1000, 0x5000_0000 | PAGE_RW);
    b.map_in(ROOT + 0x1000, 0x1000, 0x5555_0000 | PAGE_RW);
    assert_eq!(b.read_at(0x1008), Ok(0x5000_0008));
    assert_eq!(b.read_at(0xffff_0000_0000_1008), Ok(0x5555_0008));
    assert!(b.read_at(0x5500_0000_0000_1008).is_err() && b.read_at(0x00ff_0000_0000_1008).is_err());
    b.set_cd(CDTAB, two_halves | 3 << 38);
    b.mem.set(CDTAB + 16, ROOT + 0x1000);
    b.cfgi_all();
    assert_eq!(b.read_at(0x5500_0000_0000_1008), Ok(0x5000_0008), "TBI0");
    assert_eq!(b.read_at(0x55ff_0000_0000_1008), Ok(0x5555_0008), "TBI1");
    assert!(b.read_at(0x5580_0000_0000_1008).is_err(), "bits 54:48 still count");
    b.events();
    b.set_cd(CDTAB, two_halves | 1 << 30);
    b.cfgi_all();
    assert!(b.read_at(0xffff_0000_0000_1008).is_err());
    assert_eq!(b.event()[0] & 0xff, 0x10, "EPD1");
}

/// Who may do what, as the architecture's tables have it: AP\[2:1\]; unprivileged and privileged, first without and then with WXN; whether PAN keeps
/// privileged data accesses off. UXN and PXN take the x away.
const RIGHTS: [(u64, [&str; 2], [&str; 2], bool); 4] = [
    (0b00, ["--x", "rwx"], ["--x", "rw-"], false),
    (0b01, ["rwx", "rw-"], ["rw-", "rw-"], true),
    (0b10, ["--x", "r-x"], ["--x", "r-x"], false),
    (0b11, ["r-x", "r-x"], ["r-x", "r-x"], true),
];

#[test]
fn sm_t05_permissions_are_those_of_the_architectures_tables() {
    let mut rows = 0;
    for (ap, plain, with_wxn, pan_applies) in RIGHTS {
        for (uxn, pxn, wxn, pan) in (0..16_u64).map(|i| (i & 1, i >> 1 & 1, i >> 2 & 1, i >> 3)) {
            let mut b = Bench::stage1();
            b.set_cd(CDTAB, CD | wxn << 36 | pan << 40);
            b.map(0x1000, 0x5000_0000 | 0xf03 | ap << 6 | uxn << 54 | pxn << 53);
            for (privileged, x_never) in [(false, uxn), (true, pxn)] {
                let rights = if wxn == 1 { with_wxn } else { plain }[usize::from(privileged)];
                for (kind, letter) in [(AccessKind::Read, 'r'), (AccessKind::Write, 'w'), (AccessKind::Execute, 'x')] {
                    let kept_off = letter != 'x' && privileged && pan == 1 && pan_applies;
                    let allowed = rights.contains(letter) && !kept_off && !(letter == 'x' && x_never == 1);
                    let row = format!("AP {ap:02b}, UXN {uxn}, PXN {pxn}, WXN {wxn}, PAN {pan}, privileged {privileged}: {letter}");
                    let who = Requester { privileged, ..who(SID, None) };
                    assert_eq!(b.translate_as(who, 0x1000, kind).is_ok(), allowed, "{row}");
                    let events: Vec<_> = b.events().iter().map(|event| event.0[0] & 0xff).collect();
                    assert_eq!(events, if allowed { vec![] } else { vec![0x13] }, "{row}");
                    rows += 1;
                }
            }
        }
    }
    assert_eq!(rows, 64 * 6);
}

#[test]
fn sm_t05_e0pd_keeps_unprivileged_traffic_out_of_a_half() {
    let mut b = Bench::stage1();
    b.mem.set(CDTAB + 8, ROOT | 4);
    b.map(0x1000, 0x5000_0000 | PAGE_RW);
    let privileged = Requester { privileged: true, ..who(SID, None) };
    assert!(b.translate_as(privileged, 0x1000, AccessKind::Read).is_ok());
    assert!(b.read_at(0x1000).is_err(), "although the TLB holds it");
    assert_eq!(b.event()[0] & 0xff, 0x10);
}

#[test]
fn sm_t05_epan_extends_pan_to_unprivileged_executable_pages() {
    let mut p = Profile::STALL_S1;
    p.ids.idr3 |= 1 << 17;
    for (uxn, allowed) in [(0, false), (1 << 54, true)] {
        let mut b = Bench::new(p);
        b.set_ste(SID, [STE_S1, STE_DW1]);
        b.set_cd(CDTAB, CD | 1 << 40);
        b.mem.set(CDTAB + 8, ROOT | 1 << 59);
        b.map(0x1000, 0x5000_0000 | PAGE_RW & !0x40 | uxn);
        let privileged = Requester { privileged: true, ..who(SID, None) };
        assert_eq!(b.translate_as(privileged, 0x1000, AccessKind::Read).is_ok(), allowed);
    }
}

#[test]
fn sm_t06_affd_suppresses_f_access() {
    let mut b = Bench::stage1();
    b.set_cd(CDTAB, CD | 1 << 35);
    let at = b.map(0x1000, 0x5000_0000 | PAGE_RW & !0x400);
    assert_eq!(b.read_at(0x1000), Ok(0x5000_0000));
    assert_eq!(b.mem.get(at), 0x5000_0000 | PAGE_RW & !0x400, "and updates nothing");
}

const DBM: u64 = 1 << 51;

#[test]
fn sm_t06_access_flag_and_dirty_state_are_updated() {
    let mut b = Bench::stage1();
    b.set_cd(CDTAB, CD | 3 << 42);
    let af = b.map(0x1000, 0x5000_0000 | PAGE_RW & !0x400);
    let clean = b.map(0x2000, 0x5000_0000 | PAGE_RO & !0x400 | DBM);
    assert_eq!(b.read_at(0x1000), Ok(0x5000_0000));
    assert_eq!(b.mem.get(af), 0x5000_0000 | PAGE_RW);
    assert_eq!(b.read_at(0x2000), Ok(0x5000_0000));
    assert_eq!(b.mem.get(clean), 0x5000_0000 | PAGE_RO | DBM, "a read sets AF only");
    assert_eq!(b.write_at(0x2000), Ok(0x5000_0000), "through a cached clean entry");
    assert_eq!(b.mem.get(clean), 0x5000_0000 | PAGE_RW | DBM);
    let reads = b.mem.reads;
    assert_eq!(b.write_at(0x2008), Ok(0x5000_0008));
    assert_eq!(b.mem.reads, reads, "dirty now: a plain hit");
}

#[test]
fn dirty_state_needs_hd_dbm_and_permission_from_the_tables_above() {
    let mut b = Bench::stage1();
    b.set_cd(CDTAB, CD | 1 << 43);
    let at = b.map(0x1000, 0x5000_0000 | PAGE_RO | DBM);
    assert!(b.write_at(0x1000).is_err(), "HD = 0");
    b.set_cd(CDTAB, CD | 3 << 42);
    b.cfgi_all();
    b.map(0x2000, 0x5000_0000 | PAGE_RO);
    assert!(b.write_at(0x2000).is_err(), "DBM = 0");
    b.map(0x3000, 0x5000_0000 | PAGE_RO & !0x40 | DBM);
    assert!(b.write_at(0x3000).is_err(), "AP1 = 0");
    b.mem.set(ROOT, b.mem.get(ROOT) | 2 << 61);
    b.cfgi_all();
    assert!(b.write_at(0x1000).is_err(), "APTable removes write");
    assert_eq!(b.mem.get(at), 0x5000_0000 | PAGE_RO | DBM);
    assert!(b.events().iter().all(|e| e.id().0 == 0x13));
}

#[test]
fn a_descriptor_that_changes_under_the_update_is_read_again() {
    let mut b = Bench::stage1();
    b.set_cd(CDTAB, CD | 1 << 43);
    let at = b.map(0x1000, 0x5000_0000 | PAGE_RW & !0x400);
    b.mem.race = Some((at, 0x5555_0000 | PAGE_RW & !0x400));
    assert_eq!(b.read_at(0x1000), Ok(0x5555_0000));
    assert_eq!(b.mem.get(at), 0x5555_0000 | PAGE_RW);
    b.map(0x2000, 0x5000_0000 | PAGE_RW & !0x400);
    b.mem.race = Some((at + 8, 0));
    assert!(b.read_at(0x2000).is_err());
    assert_eq!(b.event()[0] & 0xff, 0x10);
}

#[test]
fn sm_t09_a_table_that_points_to_itself_is_walked_to_its_end() {
    let mut b = Bench::stage1();
    b.mem.set(ROOT, ROOT | TABLE | 0x400 | 0x40);
    let reads = b.mem.reads;
    assert_eq!(b.read_at(0x123), Ok(ROOT | 0x123), "the entry serves as page descriptor at level 3");
    assert_eq!(b.mem.reads - reads, 4 + 4 + 4, "STE, CD, four levels");
}

#[test]
fn sm_t09_a_table_in_a_hole_aborts_and_one_in_a_page_of_data_is_taken_at_its_word() {
    let mut b = Bench::stage1();
    b.mem.set(ROOT, HOLE.start | TABLE);
    assert!(b.read_at(0x1000).is_err());
    assert_eq!(b.event()[0] & 0xff, 0x0b, "F_WALK_EABT");
    // The page at 0x1000 serves as level-3 table of the next 2 MiB.
    let mut b = Bench::stage1();
    b.map(0x1000, 0x5000_0000 | PAGE_RW);
    let level2 = b.mem.get(b.mem.get(ROOT) & !3) & !3;
    b.mem.set(level2 + 8, 0x5000_0000 | TABLE);
    for (data, expected) in [(0x5555_0000 | PAGE_RW, Ok(0x5555_0000)), (0, Err(0x10)), (1, Err(0x10))] {
        b.mem.set(0x5000_0000, data);
        let reads = b.mem.reads;
        let found = b.read_at(0x20_0000).map_err(|_| b.event()[0] & 0xff);
        assert_eq!(found, expected, "{data:#x}");
        assert!(b.mem.reads - reads <= 4 + 4 + 4, "STE, CD, four levels at most");
        b.cfgi_all();
    }
}

#[test]
fn sm_t01_first_and_last_bytes_of_every_leaf_size() {
    let mut b = Bench::stage1();
    b.map(0, 0x5000_0000 | PAGE_RW);
    let level1 = b.mem.get(ROOT) & !3;
    let level2 = b.mem.get(level1) & !3;
    b.mem.set(level2 + 8, 0x6000_0000 | 0xf41);
    b.mem.set(level1 + 8, 0x1_4000_0000 | 0xf41);
    for (first, bytes, output) in [(0, 0x1000, 0x5000_0000), (0x20_0000, 0x20_0000, 0x6000_0000), (1 << 30, 1 << 30, 0x1_4000_0000)] {
        assert_eq!(b.read_at(first), Ok(output));
        assert_eq!(b.read_at(first + bytes - 1), Ok(output + bytes - 1));
        assert!(b.read_at(first + bytes).is_err(), "the next leaf is a hole");
    }
    let t = b.translate_as(who(SID, None), 0, AccessKind::Read).expect("mapped");
    assert_eq!((t.attributes, t.shareability), (0xff, 3));
}
