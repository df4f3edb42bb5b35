//! Configuration caches and TLB: what stays stale until which command, and what must not be cached (SM-I01 to SM-I06).

use hal::{AccessKind, StreamId, SubstreamId};
use smmu_model::{Policy, Profile, Violation};
use smmu_spec::command::{Leaf, Operation as O, TlbiRange};

use super::model_bench::*;

const OLD: u64 = 0x5000_0000;
const NEW: u64 = 0x5555_0000;

/// A page that the TLB holds while memory says otherwise.
fn stale_page(descriptor: u64) -> Bench {
    let mut b = Bench::stage1();
    let at = b.map(0x1000, OLD | descriptor);
    b.map(0x2000, OLD | descriptor);
    assert_eq!(b.read_at(0x1000), Ok(OLD));
    assert_eq!(b.read_at(0x2000), Ok(OLD));
    b.mem.set(at, NEW | descriptor);
    b.mem.set(at + 8, NEW | descriptor);
    assert_eq!((b.read_at(0x1000), b.read_at(0x2000)), (Ok(OLD), Ok(OLD)), "sticky");
    b
}

fn va(address: u64, leaf: Leaf) -> TlbiRange {
    TlbiRange::single(address, leaf)
}

#[test]
fn sm_i02_each_tlb_invalidation_drops_what_it_names_and_no_more() {
    const NG: u64 = PAGE_RW;
    const GLOBAL: u64 = PAGE_RW & !0x800;
    let leaf = Leaf::Only;
    let pages4k = |address, num, scale, ttl| TlbiRange { address, leaf, tg: 1, num, scale, ttl };
    // Command, page kind, whether 0x1000 and 0x2000 are dropped.
    let rows: &[(O, u64, bool, bool)] = &[
        (O::TlbiNsnhAll, NG, true, true),
        (O::TlbiNsnhAll, GLOBAL, true, true),
        (O::TlbiNhAll { vmid: 0 }, NG, true, true),
        (O::TlbiNhAll { vmid: 0 }, GLOBAL, true, true),
        (O::TlbiNhAsid { vmid: 0, asid: 7 }, NG, true, true),
        (O::TlbiNhAsid { vmid: 0, asid: 8 }, NG, false, false),
        (O::TlbiNhAsid { vmid: 0, asid: 7 }, GLOBAL, false, false),
        (O::TlbiNhVa { vmid: 0, asid: 7, range: va(0x1000, leaf) }, NG, true, false),
        (O::TlbiNhVa { vmid: 0, asid: 7, range: va(0x3000, leaf) }, NG, false, false),
        (O::TlbiNhVa { vmid: 0, asid: 8, range: va(0x1000, leaf) }, NG, false, false),
        (O::TlbiNhVa { vmid: 0, asid: 8, range: va(0x1000, leaf) }, GLOBAL, true, false),
        (O::TlbiNhVaa { vmid: 0, range: va(0x2000, leaf) }, NG, false, true),
        (O::TlbiNhVaa { vmid: 0, range: va(0x2000, leaf) }, GLOBAL, false, true),
        (O::TlbiNhVa { vmid: 0, asid: 7, range: pages4k(0x1000, 0, 0, 3) }, NG, true, false),
        (O::TlbiNhVa { vmid: 0, asid: 7, range: pages4k(0x1000, 1, 0, 0) }, NG, true, true),
        (O::TlbiNhVa { vmid: 0, asid: 7, range: pages4k(0x0000, 0, 1, 0) }, NG, true, false),
        (O::TlbiNhVa { vmid: 0, asid: 7, range: pages4k(0x0000, 1, 1, 0) }, NG, true, true),
        (O::TlbiNhVa { vmid: 0, asid: 7, range: pages4k(0x0000, 1, 0, 2) }, NG, false, false),
        (O::TlbiNhVaa { vmid: 0, range: TlbiRange { tg: 3, ..pages4k(0, 1, 4, 0) } }, NG, false, false),
        (O::CFGI_ALL, NG, false, false),
    ];
    for &(operation, kind, first, second) in rows {
        let mut b = stale_page(kind);
        b.command(operation);
        b.sync();
        let seen = |dropped| Ok(if dropped { NEW } else { OLD });
        assert_eq!(b.read_at(0x1000), seen(first), "{operation:?} page {kind:#x}");
        assert_eq!(b.read_at(0x2000), seen(second), "{operation:?} page {kind:#x}");
        assert_eq!(b.violations(), []);
    }
}

#[test]
fn blocks_are_dropped_by_any_address_inside() {
    for inside in [0x40_0000, 0x5f_f000, 0x4a_b000] {
        let mut b = Bench::stage1();
        b.map(0, 0);
        let level2 = b.mem.get(b.mem.get(ROOT) & !3) & !3;
        b.mem.set(level2 + 8 * 2, 0x6000_0000 | 0xf41);
        assert_eq!((b.read_at(0x40_0123), b.read_at(0x5f_ffff)), (Ok(0x6000_0123), Ok(0x601f_ffff)));
        b.mem.set(level2 + 8 * 2, 0x6020_0000 | 0xf41);
        b.command(O::TlbiNhVa { vmid: 0, asid: 7, range: va(inside, Leaf::Only) });
        assert_eq!((b.read_at(0x40_0123), b.read_at(0x5f_ffff)), (Ok(0x6020_0123), Ok(0x603f_ffff)));
    }
}

#[test]
fn contiguous_runs_are_dropped_as_one() {
    let mut b = Bench::stage1();
    let contiguous = 1 << 52;
    let first = b.map(0x1_0000, 0x6000_0000 | PAGE_RW | contiguous);
    for i in 1..16 {
        b.map(0x1_0000 + i * 0x1000, (0x6000_0000 + i * 0x1000) | PAGE_RW | contiguous);
    }
    assert_eq!((b.read_at(0x1_0000), b.read_at(0x1_3000)), (Ok(0x6000_0000), Ok(0x6000_3000)));
    for i in 0..16 {
        b.mem.set(first + i * 8, 0);
    }
    b.command(O::TlbiNhVa { vmid: 0, asid: 7, range: va(0x1_f000, Leaf::Only) });
    assert!(b.read_at(0x1_0000).is_err() && b.read_at(0x1_3000).is_err());
}

#[test]
fn sm_i05_leaf_only_invalidation_leaves_the_walk_cache() {
    for (leaf, expected) in [(Leaf::Only, OLD), (Leaf::AllLevels, NEW)] {
        let mut b = Bench::stage1();
        b.map(0x1000, OLD | PAGE_RW);
        assert_eq!(b.read_at(0x1000), Ok(OLD));
        let level2 = b.mem.get(b.mem.get(ROOT) & !3) & !3;
        b.mem.set(0x2800_0000 + 8, NEW | PAGE_RW);
        b.mem.set(level2, 0x2800_0000 | TABLE);
        b.command(O::TlbiNhVa { vmid: 0, asid: 7, range: va(0x1000, leaf) });
        assert_eq!(b.read_at(0x1000), Ok(expected), "{leaf:?}");
    }
}

#[test]
fn misaligned_ranges_do_nothing_and_are_violations() {
    let mut b = stale_page(PAGE_RW);
    let range = TlbiRange { address: 0x1000, leaf: Leaf::Only, tg: 1, num: 0, scale: 0, ttl: 2 };
    b.command(O::TlbiNhVa { vmid: 0, asid: 7, range });
    assert!(matches!(b.violations()[..], [Violation::MisalignedRange { .. }]));
    assert_eq!(b.read_at(0x1000), Ok(OLD));
}

#[test]
fn failed_walks_are_never_cached() {
    let mut b = Bench::stage1();
    assert!(b.read_at(0x1000).is_err());
    let at = b.map(0x1000, OLD | PAGE_RW & !0x400);
    assert!(b.read_at(0x1000).is_err(), "AF = 0");
    b.mem.set(at, OLD | PAGE_RW);
    assert_eq!(b.read_at(0x1000), Ok(OLD));
}

#[test]
fn a_denying_entry_is_cached_until_it_is_invalidated() {
    let mut b = Bench::stage1();
    let at = b.map(0x1000, OLD | PAGE_RO);
    assert!(b.write_at(0x1000).is_err());
    b.mem.set(at, OLD | PAGE_RW);
    assert!(b.write_at(0x1000).is_err(), "permission relaxed without TLBI");
    b.command(O::TlbiNhVa { vmid: 0, asid: 7, range: va(0x1000, Leaf::Only) });
    assert_eq!(b.write_at(0x1000), Ok(OLD));
}

#[test]
fn a_denying_entry_without_access_flag_is_not_cached() {
    let mut b = Bench::stage1();
    b.set_cd(CDTAB, CD | 1 << 43);
    let at = b.map(0x1000, OLD | PAGE_RO & !0x400);
    assert!(b.write_at(0x1000).is_err());
    assert_eq!(b.mem.get(at), OLD | PAGE_RO & !0x400, "the access was not performed");
    b.mem.set(at, OLD | PAGE_RW & !0x400);
    assert_eq!(b.write_at(0x1000), Ok(OLD));
}

#[test]
fn a_r_s_come_from_the_configuration_cache_not_from_the_tlb() {
    let mut b = Bench::stage1();
    b.set_cd(CDTAB, CD & !(CD_R | CD_A));
    b.map(0x1000, OLD | PAGE_RO);
    assert!(b.write_at(0x1000).is_err());
    b.no_event();
    b.set_cd(CDTAB, CD);
    b.command(O::CfgiCd { stream: StreamId(SID), substream: SubstreamId(0), leaf: Leaf::Only });
    assert!(b.write_at(0x1000).is_err());
    assert_eq!(b.event()[0] & 0xff, 0x13);
}

/// Two-level stream table and two-level CD table, one page per (stream, substream).
fn configured() -> Bench {
    let mut b = Bench::new(Profile::STALL_S1);
    b.write(0x020, 0xc);
    b.write(0x088, 16 | 6 << 6 | 1 << 16);
    b.write(0x020, 0xd);
    b.mem.set(STRTAB, 0x1010_0000 | 7);
    for stream in [SID, SID + 1] {
        let ste = 0x1010_0000 + 64 * u64::from(stream);
        b.mem.set(ste, (CDTAB + 0x1_0000 * u64::from(stream)) | 0x1b | 16 << 59);
        b.mem.set(ste + 8, STE_DW1);
        b.mem.set(CDTAB + 0x1_0000 * u64::from(stream), 0x1800_0001 + 0x1000 * u64::from(stream));
        for ssid in [1, 2] {
            b.set_cd(cd_at(stream, ssid), CD);
        }
    }
    b.map(0x1000, OLD | PAGE_RW);
    b.map_in(ROOT + 0x1000, 0x1000, NEW | PAGE_RW);
    b
}

fn cd_at(stream: u32, ssid: u32) -> u64 {
    0x1800_0000 + 0x1000 * u64::from(stream) + 64 * u64::from(ssid)
}

/// CD of another address space: ASID 9, the second root.
fn switch_cd(b: &mut Bench, at: u64) {
    b.mem.set(at + 8, ROOT + 0x1000);
    b.mem.set(at, CD & !(0xffff << 48) | 9 << 48);
}

fn seen(b: &mut Bench, stream: u32, ssid: u32) -> Option<u64> {
    b.translate_as(who(stream, Some(ssid)), 0x1000, AccessKind::Read).map(|t| t.pa.0).ok()
}

const PAIRS: [(u32, u32); 4] = [(SID, 1), (SID, 2), (SID + 1, 1), (SID + 1, 2)];

#[test]
fn sm_i04_each_configuration_command_drops_the_cds_it_names_and_no_more() {
    let (stream, substream) = (StreamId(SID), SubstreamId(1));
    let rows: &[(O, [bool; 4])] = &[
        (O::CfgiCd { stream, substream, leaf: Leaf::Only }, [true, false, false, false]),
        (O::CfgiCd { stream, substream, leaf: Leaf::AllLevels }, [true, false, false, false]),
        (O::CfgiCdAll { stream }, [true, true, false, false]),
        (O::CfgiSte { stream, leaf: Leaf::Only }, [true, true, false, false]),
        (O::CfgiSteRange { stream, range: 0 }, [true; 4]),
        (O::CfgiSteRange { stream: StreamId(0x40), range: 0 }, [false; 4]),
        (O::CfgiSteRange { stream: StreamId(0xf), range: 2 }, [true; 4]),
        (O::CFGI_ALL, [true; 4]),
        (O::TlbiNsnhAll, [false; 4]),
    ];
    for &(operation, dropped) in rows {
        let mut b = configured();
        for (s, p) in PAIRS {
            assert_eq!(seen(&mut b, s, p), Some(OLD));
        }
        for (s, p) in PAIRS {
            switch_cd(&mut b, cd_at(s, p));
            assert_eq!(seen(&mut b, s, p), Some(OLD), "sticky");
        }
        b.command(operation);
        b.sync();
        for ((s, p), dropped) in PAIRS.into_iter().zip(dropped) {
            let expected = if dropped { NEW } else { OLD };
            assert_eq!(seen(&mut b, s, p), Some(expected), "{operation:?} SID {s} SSID {p}");
        }
    }
}

#[test]
fn stes_stay_until_their_stream_is_named() {
    let mut b = configured();
    for (s, p) in PAIRS {
        seen(&mut b, s, p);
    }
    for stream in [SID, SID + 1] {
        b.mem.set(0x1010_0000 + 64 * u64::from(stream), 1);
    }
    assert_eq!(seen(&mut b, SID, 1), Some(OLD));
    b.cfgi_ste(SID, Leaf::Only);
    assert_eq!((seen(&mut b, SID, 1), seen(&mut b, SID + 1, 1)), (None, Some(OLD)));
}

#[test]
fn level_1_descriptors_stay_until_a_command_with_leaf_0() {
    let mut b = configured();
    assert_eq!(seen(&mut b, SID, 1), Some(OLD));
    // Move both level-2 arrays.
    b.mem.set(STRTAB, 0);
    b.cfgi_ste(SID, Leaf::Only);
    assert_eq!(seen(&mut b, SID, 1), Some(OLD), "L1STD is still cached");
    b.mem.set(CDTAB + 0x1_0000 * u64::from(SID), 0);
    b.command(O::CfgiCd { stream: StreamId(SID), substream: SubstreamId(1), leaf: Leaf::Only });
    assert_eq!(seen(&mut b, SID, 1), Some(OLD), "L1CD is still cached");
    b.command(O::CfgiCd { stream: StreamId(SID), substream: SubstreamId(1), leaf: Leaf::AllLevels });
    assert_eq!(seen(&mut b, SID, 1), None);
    assert_eq!(b.event()[0] & 0xff, 8);
    b.cfgi_ste(SID, Leaf::AllLevels);
    assert_eq!(seen(&mut b, SID, 1), None);
    assert_eq!(b.event()[0] & 0xff, 2);
}

#[test]
fn invalid_structures_are_cached_too() {
    let mut b = Bench::stage1();
    b.map(0x1000, OLD | PAGE_RW);
    b.set_ste(SID, [0, 0]);
    assert!(b.read_at(0x1000).is_err());
    b.set_ste(SID, [STE_S1, STE_DW1]);
    assert!(b.read_at(0x1000).is_err(), "V: 0 → 1 needs CFGI_STE");
    b.set_cd(CDTAB, 0);
    b.cfgi_ste(SID, Leaf::Only);
    assert!(b.read_at(0x1000).is_err());
    b.set_cd(CDTAB, CD);
    assert!(b.read_at(0x1000).is_err(), "V: 0 → 1 needs CFGI_CD");
    b.command(O::CfgiCd { stream: StreamId(SID), substream: SubstreamId(0), leaf: Leaf::Only });
    assert_eq!(b.read_at(0x1000), Ok(OLD));
}

#[test]
fn caches_survive_a_disable() {
    let mut b = stale_page(PAGE_RW);
    b.write(0x020, 0xc);
    b.write(0x020, 0xd);
    assert_eq!(b.read_at(0x1000), Ok(OLD));
}

#[test]
fn quiesced_descriptor_still_hits_until_tlbi() {
    let mut b = Bench::stage1();
    b.map(0x1000, OLD | PAGE_RW);
    assert_eq!(b.read_at(0x1000), Ok(OLD));
    b.set_cd(CDTAB, CD | 1 << 14);
    b.command(O::CfgiCd { stream: StreamId(SID), substream: SubstreamId(0), leaf: Leaf::Only });
    assert_eq!(b.read_at(0x1000), Ok(OLD), "EPD0 blocks walks, not hits");
    b.command(O::TlbiNhAsid { vmid: 0, asid: 7 });
    assert!(b.read_at(0x1000).is_err());
    assert_eq!(b.event()[0] & 0xff, 0x10);
}

#[test]
fn aset_separates_global_entries() {
    let mut b = Bench::new(Profile::STALL_S1);
    b.set_ste(SID, [STE_S1 | 2 << 59, STE_DW1]);
    for (ssid, aset, root) in [(1, 0, ROOT), (2, 0, ROOT + 0x1000), (3, 1, ROOT + 0x1000)] {
        let asid = 16 + ssid;
        b.set_cd(CDTAB + 64 * ssid, CD & !(0xffff << 48) | aset << 47 | asid << 48);
        b.mem.set(CDTAB + 64 * ssid + 8, root);
    }
    b.map(0x1000, OLD | PAGE_RW & !0x800);
    b.map_in(ROOT + 0x1000, 0x1000, NEW | PAGE_RW & !0x800);
    assert_eq!(seen(&mut b, SID, 1), Some(OLD));
    assert_eq!(seen(&mut b, SID, 2), Some(OLD), "global: any ASID of ASET 0");
    assert_eq!(seen(&mut b, SID, 3), Some(NEW), "never across ASET");
}

#[test]
fn one_asid_for_two_tables_is_a_violation() {
    let mut b = Bench::new(Profile::STALL_S1);
    b.set_ste(SID, [STE_S1 | 2 << 59, STE_DW1]);
    b.set_cd(CDTAB + 64, CD);
    b.set_cd(CDTAB + 128, CD);
    b.mem.set(CDTAB + 128 + 8, ROOT + 0x1000);
    let _ = seen(&mut b, SID, 1);
    assert_eq!(b.violations(), []);
    let _ = seen(&mut b, SID, 2);
    assert_eq!(b.violations(), [Violation::AsidClash { asid: 7 }]);
}

#[test]
fn one_asid_for_two_tables_is_a_violation_also_when_the_first_cd_was_evicted() {
    // CD 1 with ASID 7; then so many of another ASID that no cache holds it any more; then CD 5000 with ASID 7 and another table.
    let clash = |between: fn(&mut Bench)| {
        let mut b = Bench::new(Profile::STALL_S1);
        b.set_ste(SID, [STE_S1 | 13 << 59, STE_DW1]);
        b.set_cd(CDTAB + 64, CD);
        let _ = seen(&mut b, SID, 1);
        for ssid in 2..2_000 {
            b.set_cd(CDTAB + 64 * u64::from(ssid), CD + (1 << 48));
            let _ = seen(&mut b, SID, ssid);
        }
        let fetches = b.model.counters().cd_fetches;
        let _ = seen(&mut b, SID, 1);
        assert_eq!(b.model.counters().cd_fetches, fetches + 1, "it was evicted");
        for ssid in 2..2_000 {
            let _ = seen(&mut b, SID, ssid);
        }
        between(&mut b);
        assert_eq!(b.violations(), []);
        b.set_cd(CDTAB + 64 * 5_000, CD);
        b.mem.set(CDTAB + 64 * 5_000 + 8, ROOT + 0x1000);
        let _ = seen(&mut b, SID, 5_000);
        b.violations()
    };
    assert_eq!(clash(|_| {}), [Violation::AsidClash { asid: 7 }]);
    assert_eq!(clash(|b| b.mem.set(CDTAB + 64, 0)), [], "the first one is gone");
    assert_eq!(clash(|b| b.mem.set(CDTAB + 64, CD + (2 << 48))), [], "it has another ASID");
    assert_eq!(clash(|b| b.mem.set(CDTAB + 64, CD | 1 << 14)), [], "it has no table (EPD0)");
    assert_eq!(clash(|b| b.cfgi_ste(SID, Leaf::Only)), [], "its memory is not a CD's any more");
}

#[test]
fn always_miss_sees_every_change_at_once() {
    let mut b = Bench::stage1().policy(Policy::AlwaysMiss);
    let at = b.map(0x1000, OLD | PAGE_RW);
    assert_eq!(b.read_at(0x1000), Ok(OLD));
    b.mem.set(at, NEW | PAGE_RW);
    assert_eq!(b.read_at(0x1000), Ok(NEW));
    b.mem.set(CDTAB, 0);
    assert!(b.read_at(0x1000).is_err());
    b.set_ste(SID, [9, 0]);
    assert_eq!(b.read_at(0x1000), Ok(0x1000));
}

#[test]
fn prefetch_holds_the_neighbours_before_they_are_touched() {
    let mut b = Bench::stage1().policy(Policy::Prefetch);
    b.map(0x1000, OLD | PAGE_RW);
    let next = b.map(0x2000, OLD | PAGE_RW);
    assert_eq!(b.read_at(0x1000), Ok(OLD));
    b.mem.set(next, NEW | PAGE_RW);
    assert_eq!(b.read_at(0x2000), Ok(OLD), "fetched speculatively");
    b.no_event();
    b.set_ste(SID + 1, [9, 0]);
    assert!(b.translate_as(who(SID + 1, None), 0, AccessKind::Read).is_err(), "the STE was fetched while invalid");
}

#[test]
fn prefetch_never_updates_descriptors_and_never_caches_without_access_flag() {
    let mut b = Bench::stage1().policy(Policy::Prefetch);
    b.set_cd(CDTAB, CD | 3 << 42);
    b.map(0x1000, OLD | PAGE_RW);
    let next = b.map(0x2000, OLD | PAGE_RW & !0x400);
    assert_eq!(b.read_at(0x1000), Ok(OLD));
    assert_eq!(b.mem.get(next), OLD | PAGE_RW & !0x400);
    b.mem.set(next, NEW | PAGE_RW & !0x400);
    assert_eq!(b.read_at(0x2000), Ok(NEW));
}

#[test]
fn random_policy_is_repeatable_and_forgets() {
    let run = |seed| {
        let mut b = Bench::stage1().policy(Policy::Random { seed });
        for page in 1..32 {
            b.map(page << 12, OLD | PAGE_RW);
        }
        for n in 0..500_u64 {
            assert_eq!(b.read_at((1 + n * 7 % 31) << 12), Ok(OLD));
        }
        let c = b.model.counters();
        (c.walks, c.ste_fetches, c.cd_fetches, c.tlb_hits)
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
    let (walks, stes, cds, hits) = run(5);
    assert!(walks > 31 && stes > 1 && cds > 1 && hits > 100, "{walks} {stes} {cds} {hits}");
}

#[test]
fn sticky_hits_read_no_memory() {
    let mut b = Bench::stage1();
    b.map(0x1000, OLD | PAGE_RW);
    assert_eq!(b.read_at(0x1000), Ok(OLD));
    let reads = b.mem.reads;
    for _ in 0..100 {
        assert_eq!(b.read_at(0x1ff8), Ok(OLD + 0xff8));
    }
    assert_eq!((b.mem.reads, b.model.counters().tlb_hits), (reads, 100));
}
