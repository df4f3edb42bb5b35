//! A naive walker, random tables for it, and the comparison with the model: for tests and fuzz targets.

use hal::{AccessKind, Requester};
use smmu_model::{Policy, Profile};

use super::model_bench::*;
use super::rng::Draw;

/// Why the reference ends: event number, stage 2, class, intermediate address.
type Fail = (u8, bool, u8, u64);

/// What a CD or an STE says beside the tables.
#[derive(Clone, Copy, Default, Debug)]
struct Rules {
    ha: bool,
    hd: bool,
    affd: bool,
    had: bool,
    tbi: bool,
    pan: bool,
    wxn: bool,
}

/// A tree of tables as the architecture's tables describe it; nothing of it comes from the model.
#[derive(Clone, Copy, Debug)]
struct Tree {
    page_bits: u32,
    input_bits: u32,
    /// Address bits below what the start table resolves.
    start_shift: u32,
    output_bits: u32,
    root: u64,
    rules: Rules,
}

/// Walks to a leaf: output address and descriptor with the table restrictions in bits 63:59.
fn leaf(
    mem: &Memory,
    t: &Tree,
    address: u64,
    place: impl Fn(u64) -> Result<u64, Fail>,
    fail: impl Fn(u8) -> Fail,
) -> Result<(u64, u64), Fail> {
    let (mut shift, mut table, mut restrictions) = (t.start_shift, t.root, 0);
    loop {
        let index = (address >> shift) & if shift == t.start_shift { u64::MAX } else { (1 << (t.page_bits - 3)) - 1 };
        let at = place(table + index * 8)?;
        if HOLE.contains(&at) {
            return Err(fail(0x0b));
        }
        let d = mem.get(at);
        let address_from = |bits: u32| if t.page_bits == 16 { (d & 0xf000) << 36 } else { 0 } | d & 0x0000_ffff_ffff_ffff >> bits << bits;
        let level = 3 - (shift - t.page_bits) / (t.page_bits - 3);
        match (d & 3, level) {
            (3, 0..=2) => {
                table = address_from(t.page_bits);
                if table >> t.output_bits != 0 {
                    return Err(fail(0x11));
                }
                if !t.rules.had {
                    restrictions |= d >> 59 << 59;
                }
                shift -= t.page_bits - 3;
            }
            (3, 3) | (1, 2) | (1, 1) if level > 1 || t.page_bits == 12 => {
                let out = address_from(shift) | address & ((1 << shift) - 1);
                return if out >> t.output_bits != 0 { Err(fail(0x11)) } else { Ok((out, d & !(0x1f << 59) | restrictions)) };
            }
            _ => return Err(fail(0x10)),
        }
    }
}

fn stage2(mem: &Memory, t: &Tree, ipa: u64, privileged: bool, kind: AccessKind, class: u8) -> Result<u64, Fail> {
    let fail = |event| (event, true, class, ipa);
    if ipa >> t.input_bits != 0 {
        return Err(fail(0x10));
    }
    let (out, d) = leaf(mem, t, ipa, Ok, fail)?;
    if d >> 10 & 1 == 0 && !t.rules.ha && !t.rules.affd {
        return Err(fail(0x12));
    }
    let clean = t.rules.ha && t.rules.hd && d >> 51 & 1 == 1;
    let allowed = match kind {
        AccessKind::Read => d >> 6 & 1 == 1,
        AccessKind::Write => d >> 7 & 1 == 1 || clean,
        AccessKind::Execute => [true, !privileged, false, privileged][(d >> 53 & 3) as usize],
    };
    if allowed { Ok(out) } else { Err(fail(0x13)) }
}

fn stage1(mem: &Memory, t: &Tree, below: Option<&Tree>, va: u64, privileged: bool, kind: AccessKind) -> Result<u64, Fail> {
    let fail = |event| (event, false, 2, 0);
    let va = if t.rules.tbi { ((va << 8) as i64 >> 8) as u64 } else { va };
    if va >> t.input_bits != 0 {
        return Err(fail(0x10));
    }
    let place = |ipa| below.map_or(Ok(ipa), |s2| stage2(mem, s2, ipa, true, AccessKind::Read, 1));
    let (out, d) = leaf(mem, t, va, place, |event| if event == 0x0b { (event, false, 1, 0) } else { fail(event) })?;
    if d >> 10 & 1 == 0 && !t.rules.ha && !t.rules.affd {
        return Err(fail(0x12));
    }
    let clean = t.rules.ha && t.rules.hd && d >> 51 & 1 == 1;
    let writable = (d >> 7 & 1 == 0 || clean) && d >> 62 & 1 == 0;
    let user = d >> 6 & 1 == 1 && d >> 61 & 1 == 0;
    let allowed = match (privileged, kind) {
        (false, AccessKind::Read) => user,
        (false, AccessKind::Write) => user && writable,
        (false, AccessKind::Execute) => d >> 54 & 1 == 0 && d >> 60 & 1 == 0 && !(t.rules.wxn && user && writable),
        (true, AccessKind::Read) => !(t.rules.pan && user),
        (true, AccessKind::Write) => writable && !(t.rules.pan && user),
        (true, AccessKind::Execute) => d >> 53 & 1 == 0 && d >> 59 & 1 == 0 && !(user && writable) && !(t.rules.wxn && writable),
    };
    if allowed { Ok(out) } else { Err(fail(0x13)) }
}

/// Intermediate addresses of stage 1's tables, of the CD, and of data; physical addresses are higher by `OFFSET`.
const TABLES: u64 = 0x8000_0000;
const CD_IPA: u64 = 0x8800_0000;
const DATA: u64 = 0x1_0000_0000;
const OFFSET: u64 = 0x2000_0000;
/// Stage 2's own tables.
const TREE2: u64 = 0xc000_0000;

/// Maps one page of stage 2, giving tables as needed.
fn map2(mem: &mut Memory, t: &Tree, next: &mut u64, ipa: u64, descriptor: u64) {
    let (mut shift, mut table) = (t.start_shift, t.root);
    while shift > t.page_bits {
        let index = (ipa >> shift) & if shift == t.start_shift { u64::MAX } else { (1 << (t.page_bits - 3)) - 1 };
        let at = table + index * 8;
        if mem.get(at) & 1 == 0 {
            mem.set(at, *next | 3);
            *next += 1 << t.page_bits;
        }
        table = mem.get(at) & 0x0000_ffff_ffff_f000;
        shift -= t.page_bits - 3;
    }
    let index = (ipa >> shift) & if shift == t.start_shift { u64::MAX } else { (1 << (t.page_bits - 3)) - 1 };
    mem.set(table + index * 8, descriptor);
}

fn random_stage2(rng: &mut impl Draw, mem: &mut Memory) -> (Tree, [u64; 2]) {
    let page_bits = [12, 14, 16][rng.below(3) as usize];
    let (input_bits, level) = loop {
        let (bits, level) = (32 + rng.below(17) as u32, rng.below(4) as u32);
        let shift = page_bits + (3 - level) * (page_bits - 3);
        let exists = level > 0 || page_bits == 12;
        if exists && bits > shift && bits <= shift + page_bits + 1 && !(page_bits == 12 && level == 3) {
            break (bits, level);
        }
    };
    let start_shift = page_bits + (3 - level) * (page_bits - 3);
    let root = TREE2;
    let mut next = TREE2 + (8 << (input_bits - start_shift)).max(1 << 16);
    next = next.next_multiple_of(1 << 16);
    let ps = [2, 5][rng.below(2) as usize];
    let rules = Rules { ha: rng.below(4) == 0, hd: rng.below(2) == 0, affd: rng.below(4) == 0, ..Rules::default() };
    let t = Tree { page_bits, input_bits, start_shift, output_bits: [40, 48][usize::from(ps == 5)], root, rules };
    let page = 1 << page_bits;
    let pages: Vec<u64> = (0..25).map(|i| TABLES + i * 0x1_0000).chain([CD_IPA]).chain((0..16).map(|i| DATA + i * 0x1_0000)).collect();
    for ipa in pages {
        for piece in (0..0x1_0000).step_by(page as usize) {
            if ipa >> input_bits != 0 {
                continue;
            }
            let data = ipa >= DATA;
            let mut d = (ipa + piece + OFFSET) | 0x7ff;
            if data {
                // Dirty-bit modifier and contiguous hint.
                d |= rng.next() & 3 << 51;
                d = d & !0xc0 | rng.next() & (3 << 53 | 0xc0);
                if rng.below(2) == 0 {
                    d = d & !(3 << 53) | 0xc0;
                }
            }
            match rng.below(if data { 16 } else { 250 }) {
                0 => d &= !0x400,
                1 => d = 0,
                2 => d &= !2,
                3 => d &= !0x40,
                4 => d |= 1 << 44,
                5 if !data => d = HOLE.start | 0x7ff,
                _ => {}
            }
            map2(mem, &t, &mut next, ipa + piece, d);
        }
    }
    if rng.below(6) == 0 {
        // A start table entry that is needed is broken.
        let needed = [TABLES, CD_IPA, DATA, DATA][rng.below(4) as usize];
        let at = root + (needed >> start_shift) * 8;
        let broken = [0, HOLE.start | 3, 1 << 46 | 3, mem.get(at) & !2][rng.below(4) as usize];
        if needed >> input_bits == 0 && level < 3 {
            mem.set(at, broken);
        }
    }
    let sl0 = match (page_bits, level) {
        (12, level) => 2 - level,
        (_, level) => 3 - level,
    };
    let tg = [0, 2, 1][(page_bits as usize - 12) / 2];
    // VMID 5, S2AA64, S2R.
    let rules = u64::from(rules.affd) << 53 | u64::from(rules.hd) << 55 | u64::from(rules.ha) << 56;
    let dw2 = rules | 5 | u64::from(64 - input_bits) << 32 | u64::from(sl0) << 38 | tg << 46 | ps << 48 | 1 << 51 | 1 << 58;
    (t, [dw2, root])
}

fn random_stage1(rng: &mut impl Draw, mem: &mut Memory, mode: Mode) -> (Tree, [u64; 2]) {
    let page_bits = [12, 14, 16][rng.below(3) as usize];
    let tsz = 16 + rng.below(24) as u32;
    let input_bits = 64 - tsz;
    let levels = (input_bits - page_bits).div_ceil(page_bits - 3);
    let start_shift = page_bits + (levels - 1) * (page_bits - 3);
    let ips = [2, 5][rng.below(2) as usize];
    let nested = mode == Mode::Nested;
    let offset = if nested { OFFSET } else { 0 };
    let mut one_in = |n| rng.below(n) == 0;
    // Nested updates of stage 1 tables have tests of their own.
    let rules =
        Rules { ha: !nested && one_in(4), hd: one_in(2), affd: one_in(4), had: one_in(4), tbi: one_in(4), pan: one_in(4), wxn: one_in(4) };
    let root = TABLES + 24 * 0x1_0000;
    let t = Tree { page_bits, input_bits, start_shift, output_bits: [40, 48][usize::from(ips == 5)], root, rules };
    for table in 0..25 {
        for index in indices(page_bits) {
            let next = TABLES + rng.below(24) * 0x1_0000;
            let d = match rng.below(32) {
                0 => rng.next(),
                1 => 0,
                2 => HOLE.start | 3,
                3 => next | 3 | rng.next() & 0x1f << 59,
                4..=18 => next | 3,
                _ => {
                    let output = if rng.below(12) == 0 { rng.next() & 0x0000_0fff_ffff_0000 } else { DATA + rng.below(16) * 0x1_0000 };
                    let attributes = rng.next() & (0xf << 51 | 0x8c0) | 0x400 & !(u64::from(rng.below(12) == 0) << 10);
                    output | attributes | 1 | ((rng.below(4) != 0) as u64 * 2)
                }
            };
            mem.set(TABLES + offset + table * 0x1_0000 + index * 8, d);
        }
    }
    let tg0 = [0, 2, 1][(page_bits as usize - 12) / 2];
    // EPD1, V, AA64, R, A, ASID 7.
    let dw0 = u64::from(tsz) | tg0 << 6 | 1 << 30 | 1 << 31 | ips << 32 | 1 << 41 | 3 << 45 | 7 << 48;
    let Rules { ha, hd, affd, had, tbi, pan, wxn } = rules;
    // HD is ILLEGAL nowhere, and means nothing without HA.
    let bits = [(ha, 43), (hd, 42), (affd, 35), (tbi, 38), (pan, 40), (wxn, 36)];
    let dw0 = bits.iter().fold(dw0, |dw0, (on, bit)| dw0 | u64::from(*on) << bit);
    (t, [dw0, t.root | u64::from(had) << 1])
}

/// The few indices of every table that are filled, and from which addresses are made.
fn indices(page_bits: u32) -> [u64; 4] {
    [0, 1, 37, (1 << (page_bits - 3)) - 1]
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Stage1,
    Stage2,
    Nested,
}

/// Outcomes: translated, then stage 1's and stage 2's 0x0b, 0x10, 0x11, 0x12, 0x13, then CD fetches refused by stage 2.
pub type Outcomes = [u32; 12];

/// Makes tables by drawing from `rng`, and compares `accesses` translations with the naive walker's.
pub fn round(mode: Mode, rng: &mut impl Draw, accesses: u32, policy: Policy, outcomes: &mut Outcomes) {
    let mut b = Bench::new(Profile::STALL).policy(policy);
    let offset = if mode == Mode::Nested { OFFSET } else { 0 };
    let (t2, dw23) = random_stage2(rng, &mut b.mem);
    let (t1, cd) = random_stage1(rng, &mut b.mem, mode);
    let config = match mode {
        Mode::Stage1 => 0xb,
        Mode::Stage2 => 0xd,
        Mode::Nested => 0xf,
    };
    let at = STRTAB + 64 * u64::from(SID);
    for (i, word) in [CD_IPA | config, STE_DW1, dw23[0], dw23[1]].into_iter().enumerate() {
        b.mem.set(at + 8 * i as u64, word);
    }
    for (i, word) in [cd[0], cd[1], 0, 0xff].into_iter().enumerate() {
        b.mem.set(CD_IPA + offset + 8 * i as u64, word);
    }
    for _ in 0..accesses {
        let va = match mode {
            Mode::Stage2 => match rng.below(8) {
                0 => rng.next() & ((1 << 48) - 1),
                1 => TABLES + rng.below(25 << 16),
                _ => DATA + rng.below(16 << 16),
            },
            _ => {
                let filled = indices(t1.page_bits);
                let page = rng.below(1 << t1.page_bits);
                let stride = t1.page_bits - 3;
                let va = (0..4).fold(page, |va, level| va | filled[rng.below(4) as usize] << (t1.page_bits + level * stride).min(63));
                let va = va & ((1 << t1.input_bits) - 1);
                let top = if t1.rules.tbi { rng.next() >> 56 << 56 } else { 0 };
                if rng.below(24) == 0 { va | 1 << t1.input_bits } else { va | top }
            }
        };
        let privileged = rng.below(2) == 1;
        let kind = [AccessKind::Read, AccessKind::Write, AccessKind::Execute][rng.below(3) as usize];
        let mem = &b.mem;
        let expected = match mode {
            Mode::Stage1 => stage1(mem, &t1, None, va, privileged, kind),
            Mode::Stage2 => stage2(mem, &t2, va, privileged, kind, 2),
            Mode::Nested => stage2(mem, &t2, CD_IPA, true, AccessKind::Read, 0)
                // A CD that stage 2 puts elsewhere is all zero: C_BAD_CD.
                .and_then(
                    |pa| if pa == CD_IPA + OFFSET { Ok(()) } else { Err((if HOLE.contains(&pa) { 0x09 } else { 0x0a }, false, 0, 0)) },
                )
                .and_then(|()| stage1(mem, &t1, Some(&t2), va, privileged, kind))
                .and_then(|ipa| stage2(mem, &t2, ipa, privileged, kind, 2)),
        };
        let got = b.translate_as(Requester { privileged, ..who(SID, None) }, va, kind).map(|t| t.pa.0).map_err(|_| {
            let [dw0, dw1, dw2, dw3] = b.event();
            assert_eq!(dw2, if matches!(dw0 as u8, 0x09 | 0x0a) { 0 } else { va }, "input address");
            let (event, s2) = (dw0 as u8, dw1 >> 39 & 1 == 1);
            (event, s2, (dw1 >> 40 & 3) as u8, if s2 && event != 0x0b { dw3 } else { 0 })
        });
        let expected = expected.map_err(|(event, s2, class, ipa)| (event, s2, class, if s2 && event != 0x0b { ipa & !0xfff } else { 0 }));
        let slot = match expected {
            Ok(_) => 0,
            Err((_, true, 0, _) | (0x09 | 0x0a, ..)) => 11,
            Err((event, s2, ..)) => 1 + 5 * usize::from(s2) + [0x0b, 0x10, 0x11, 0x12, 0x13].iter().position(|e| *e == event).unwrap(),
        };
        outcomes[slot] += 1;
        assert_eq!(got, expected, "{mode:?} {policy:?} {t1:x?} {t2:x?} va {va:#x} privileged {privileged} {kind:?}");
        if got.is_ok() {
            let mem = &b.mem;
            let updated = |t: &Tree, found: Result<(u64, u64), Fail>, read_only: fn(u64) -> bool| {
                let (_, d) = found.expect("a leaf");
                assert!(!t.rules.ha || d >> 10 & 1 == 1, "the Access flag is set");
                assert!(kind != AccessKind::Write || !read_only(d), "what was written is dirty");
            };
            let aborts = |event| (event, false, 0, 0);
            match mode {
                Mode::Stage1 => {
                    let va = va << 8 >> 8;
                    updated(&t1, leaf(mem, &t1, va, Ok, aborts), |d| d >> 7 & 1 == 1);
                }
                Mode::Stage2 => updated(&t2, leaf(mem, &t2, va, Ok, aborts), |d| d >> 7 & 1 == 0),
                Mode::Nested => {}
            }
        }
    }
}
