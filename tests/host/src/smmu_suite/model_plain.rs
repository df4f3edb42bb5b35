//! Walks by the plain way, which trusts masks of what was decoded before, beside walks by the rules: they may differ in nothing.
//!
//! Two models see the same memory and the same accesses. The second one has a register written before every access, with the value that it has:
//! whatever was learned of walks is forgotten by that, so that it always goes by the rules.

use hal::{AccessKind, Requester, StreamId, SubstreamId};
use smmu_model::{Policy, Profile};

use super::model_bench::*;
use super::rng::Rng;

/// Level-1 Stream table, where there are two levels: STE 8 is the last of its first leaf of 2^6.
const L1STD: u64 = 0x1400_0000;
const L1CD: u64 = 0x1500_0000;
const GERRORN: u64 = 0x064;

/// How a pair is set up.
struct Shape {
    profile: Profile,
    two_level_streams: bool,
    /// S1Fmt and S1CDMax.
    cds: (u64, u64),
    /// S1DSS.
    default: u64,
    /// T0SZ.
    size: u64,
    /// Output size code; 4 is 44 bits.
    ips: u64,
    /// TTB1 is in use too.
    upper: bool,
    /// Of CD word 0: WXN, PAN, HA and HD.
    rules: u64,
    /// E0PD0.
    unprivileged_forbidden: bool,
    /// PRIVCFG and INSTCFG.
    overrides: u64,
    /// The page is clean: DBM and AP\[2\].
    clean: bool,
}

impl Shape {
    fn draw(rng: &mut Rng) -> Self {
        // Without VMID16, a word of the STE counts that says nothing otherwise while there is no stage 2.
        let mut short_vmids = Profile::STALL;
        short_vmids.ids.idr0 &= !(1 << 18);
        let profiles = [Profile::STALL, Profile::STALL_S1, Profile::ATSPRI, Profile::OVERRIDES, Profile::QEMU72, short_vmids];
        let profile = profiles[rng.below(6) as usize];
        let has_substreams = profile.name != Profile::QEMU72.name;
        let cds = if has_substreams { [(0, 0), (0, 6), (1, 10), (2, 16), (2, 8)][rng.below(5) as usize] } else { (0, 0) };
        let size = [16, 16, 20, 25, 33, 38][rng.below(6) as usize];
        let (two_level_streams, default) = (rng.below(3) == 0, rng.below(3));
        // QEMU's updates no descriptors.
        let updates = if has_substreams { 3 << 42 } else { 0 };
        let rules = [0, 1 << 36, 1 << 40, updates, updates | 1 << 36][rng.below(5) as usize];
        Self {
            profile,
            two_level_streams,
            cds,
            default,
            size,
            ips: 4 + rng.below(2),
            upper: rng.below(2) == 0,
            rules,
            unprivileged_forbidden: rng.below(8) == 0,
            overrides: [0, 2, 3, 8, 12, 11][rng.below(6) as usize],
            clean: rng.below(3) == 0,
        }
    }

    /// The start table: no more aligned than it has to be.
    fn root(&self) -> u64 {
        let start_bits = (64 - self.size - 12 - 1) % 9 + 1;
        ROOT + (8 << start_bits).max(64)
    }

    /// The words that a walk for SubstreamID 3, or for CD 0, comes by, where they lie; all of them such that the walk comes to the page.
    fn words(&self, va: u64) -> Vec<(u64, u64)> {
        let ste = STRTAB + 64 * u64::from(SID);
        let stalls = self.profile.name != Profile::QEMU72.name;
        let leaf = if self.cds.0 == 0 { CDTAB } else { L1CD };
        let mut words = vec![
            (L1STD, STRTAB | 7),
            (ste, leaf | 0xb | self.cds.0 << 4 | self.cds.1 << 59),
            (ste + 8, STE_DW1 & !3 | self.default | self.overrides << 48),
            (ste + 16, 0),
            (ste + 24, 0),
            (L1CD, CDTAB | 1),
        ];
        for index in [0, 3] {
            // In use, TTB1 has 4 KiB tables and as many address bits as TTB0; not in use, EPD1 is set.
            let upper = if self.upper { self.size << 16 | 2 << 22 } else { 1 << 30 };
            let stall = if stalls && self.size == 20 { CD_S } else { 0 };
            let dw0 = CD & !(0x3f | 1 << 30 | 7 << 32) | self.size | upper | self.ips << 32 | CD_R | stall | self.rules;
            let dw1 = self.root() | u64::from(self.unprivileged_forbidden) << 2;
            words.extend([(0, dw0), (8, dw1), (16, 0), (24, 0xff44)].map(|(at, word)| (CDTAB + 64 * index + at, word)));
        }
        // The second tree stands where a start table cut off to a page would be.
        let start = 39 - 9 * ((self.size - 16) / 9);
        for (root, tree, page) in [(self.root(), ROOT + 0x1_0000, 0x4567_8000), (ROOT, ROOT + 0x10_0000, 0x4321_0000)] {
            let mut table = root;
            for (shift, next) in [39, 30, 21].into_iter().filter(|shift| *shift <= start).zip(0..) {
                words.push((table + 8 * (va >> shift & 0x1ff), (tree + 0x1_0000 * next) | TABLE));
                table = tree + 0x1_0000 * next;
            }
            words.push((table + 8 * (va >> 12 & 0x1ff), page | PAGE_RW | if self.clean { 1 << 51 | 1 << 7 } else { 0 }));
        }
        words
    }

    fn bench(&self) -> Bench {
        let mut b = Bench::with_events(self.profile, 9).policy(Policy::AlwaysMiss);
        if self.two_level_streams && b.read(0x000) >> 27 & 3 == 1 {
            b.write(0x020, 0xc);
            b.write64(0x080, L1STD);
            // FMT 1, SPLIT 6.
            b.write(0x088, 1 << 16 | 6 << 6 | 5);
            b.write(0x020, 0xd);
        }
        b
    }
}

#[test]
fn the_plain_way_and_the_rules_agree() {
    let (mut translated, mut refused, mut begun_anew) = (0, 0, 0);
    for seed in 1..=2_000 {
        let rng = &mut Rng(seed);
        // The first numbers of small seeds are small.
        for _ in 0..8 {
            let _ = rng.next();
        }
        let shape = Shape::draw(rng);
        let va = rng.next() & ((1 << (64 - shape.size)) - 1) & !0xfff;
        let words = shape.words(va);
        let [mut a, mut b] = [shape.bench(), shape.bench()];
        for bench in [&mut a, &mut b] {
            for (at, word) in &words {
                // Addresses that are too large would lead to the same words.
                [0, 1 << 45, 1 << 50].map(|high| at | high).into_iter().for_each(|at| bench.mem.set(at, *word));
            }
        }
        for step in 0..60 {
            // Some bits of some word change; now and then all are as they were.
            if rng.below(3) == 0 {
                let (at, word) = words[rng.below(words.len() as u64) as usize];
                let notable = [0, 1, 6, 7, 10, 15, 45, 50, 50, 51, 52, 53, 54, 59, 60, 61, 62];
                let one = |rng: &mut Rng| if rng.below(3) > 0 { notable[rng.below(17) as usize] } else { rng.below(64) };
                let flips = (0..rng.below(3)).fold(0, |bits, _| bits | 1 << one(rng));
                for bench in [&mut a, &mut b] {
                    bench.mem.set(at, word ^ flips);
                }
            }
            if rng.below(6) == 0 {
                for bench in [&mut a, &mut b] {
                    words.iter().for_each(|(at, word)| bench.mem.set(*at, *word));
                }
                // Not after every access: that the queue is read is written to a register.
                assert_eq!(a.events(), b.events(), "seed {seed}, before step {step}");
            }
            let substream = [None, Some(0), Some(3), Some(3), Some(1 << 15)][rng.below(5) as usize].map(SubstreamId);
            let who = Requester { stream: StreamId(SID), substream, privileged: rng.below(4) == 0 };
            let kind = [AccessKind::Read, AccessKind::Write, AccessKind::Execute][rng.below(3) as usize];
            let address = (va | rng.below(0x1000)) ^ if rng.below(8) == 0 { 1 << rng.below(64) } else { 0 };
            let before = b.read(0x060);
            b.write(GERRORN, before);
            let [by_the_way, by_the_rules] = [&mut a, &mut b].map(|bench| bench.translate_as(who, address, kind));
            assert_eq!(by_the_way, by_the_rules, "seed {seed}, step {step}: {who:?} {address:#x} {kind:?}");
            *(if by_the_way.is_ok() { &mut translated } else { &mut refused }) += 1;
            assert_eq!(a.model.counters(), b.model.counters(), "seed {seed}, step {step}");
            assert!(words.iter().all(|(at, _)| a.mem.get(*at) == b.mem.get(*at)), "seed {seed}, step {step}: an update");
        }
        assert_eq!(a.events(), b.events(), "seed {seed}, at the end");
        begun_anew += a.mem.reads - b.mem.reads;
    }
    assert!(translated > 30_000 && refused > 30_000, "{translated} and {refused}");
    // Where the way was not gone to its end, the words were read once more. Without a way nothing is.
    assert!(begun_anew > 100_000, "{begun_anew}");
}

#[test]
fn permissions_never_outlive_their_page_or_its_rules() {
    let shape = Shape {
        profile: Profile::STALL,
        two_level_streams: false,
        cds: (0, 0),
        default: 0,
        size: 25,
        ips: 5,
        upper: false,
        rules: 0,
        unprivileged_forbidden: false,
        overrides: 0,
        clean: false,
    };
    let va = 0x12_3456_7000;
    let words = shape.words(va);
    let word_at = |at: u64| *words.iter().find(|(there, _)| *there == at).expect("a word");
    let (ste_at, ste) = word_at(STRTAB + 64 * u64::from(SID) + 8);
    let (cd_at, cd) = word_at(CDTAB);
    let (page_at, page) = *words.iter().find(|(_, word)| word & !0xfff == 0x4567_8000).expect("the page");
    // AP[1], AP[2], PXN, UXN; WXN, PAN.
    let bits = |case: u64, at: &[u32]| at.iter().enumerate().fold(0, |word, (i, at)| word | (case >> i & 1) << at);
    let page_of = |case: u64| page & !(3 << 6) | bits(case, &[6, 7, 53, 54]);
    let rules_of = |case: u64| cd | bits(case, &[36, 40]);
    let requesters = [false, true].map(|privileged| Requester { stream: StreamId(SID), substream: None, privileged });
    let kinds = [AccessKind::Read, AccessKind::Write, AccessKind::Execute];
    let asked: Vec<_> = requesters.into_iter().flat_map(|who| kinds.map(|kind| (who, kind))).collect();
    // The worlds of EL1 and of EL2.
    for strw in [0, 2 << 30] {
        let [mut a, mut b] = [shape.bench(), shape.bench()];
        for bench in [&mut a, &mut b] {
            words.iter().for_each(|(at, word)| bench.mem.set(*at, *word));
            bench.mem.set(ste_at, ste | strw);
        }
        let mut verdicts = [0, 0];
        for (first, second) in (0..64_u64).flat_map(|first| (0..64_u64).map(move |second| (first, second))) {
            for begin in 0..asked.len() {
                let mut turned = asked.clone();
                turned.rotate_left(begin);
                for (case, asked) in [(first, &asked), (second, &turned)] {
                    for bench in [&mut a, &mut b] {
                        bench.mem.set(cd_at, rules_of(case >> 4));
                        bench.mem.set(page_at, page_of(case & 0xf));
                    }
                    for (who, kind) in asked {
                        let before = b.read(0x060);
                        b.write(GERRORN, before);
                        let [by_the_way, by_the_rules] = [&mut a, &mut b].map(|bench| bench.translate_as(*who, va | 0x40, *kind));
                        assert_eq!(by_the_way, by_the_rules, "{first:#x} then {second:#x}: {who:?} {kind:?}");
                        verdicts[usize::from(by_the_way.is_ok())] += 1;
                    }
                }
            }
            assert_eq!(a.events(), b.events(), "{first:#x} then {second:#x}");
            assert_eq!(a.model.counters(), b.model.counters(), "{first:#x} then {second:#x}");
        }
        assert!(verdicts.into_iter().all(|n| n > 30_000), "{verdicts:?}");
        assert!(a.mem.reads - b.mem.reads > 100_000, "{} and {}", a.mem.reads, b.mem.reads);
    }
}
