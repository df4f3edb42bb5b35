//! Strict mode: mistakes that show in memory are named, sound sequences are not; and records that may be merged are (SM-F).

use hal::{AccessKind, Pa, StreamId, SubstreamId};
use smmu_model::{Fault, Policy, Profile, Violation};
use smmu_spec::command::{Leaf, Operation as O, TlbiRange};

use super::model_bench::*;

const OLD: u64 = 0x5000_0000;
const TORN_STE: Violation = Violation::TornUpdate { stream: StreamId(SID), substream: None };
const TORN_CD: Violation = Violation::TornUpdate { stream: StreamId(SID), substream: Some(SubstreamId(0)) };

fn used() -> Bench {
    let mut b = Bench::stage1();
    b.map(0x1000, OLD | PAGE_RW);
    assert_eq!(b.read_at(0x1000), Ok(OLD));
    b
}

fn cfgi_ste(b: &mut Bench) -> Vec<Violation> {
    b.cfgi_ste(SID, Leaf::Only);
    b.sync();
    b.violations()
}

fn cfgi_cd(b: &mut Bench) -> Vec<Violation> {
    b.command(O::CfgiCd { stream: StreamId(SID), substream: SubstreamId(0), leaf: Leaf::Only });
    b.sync();
    b.violations()
}

#[test]
fn a_live_ste_changed_in_two_words_is_a_torn_update() {
    let mut b = used();
    b.set_ste(SID, [STE_S1 + 0x40, STE_DW1 ^ 1]);
    assert_eq!(cfgi_ste(&mut b), [TORN_STE]);
    assert_eq!(cfgi_ste(&mut b), [], "once");
}

#[test]
fn an_ste_changed_by_one_word_or_through_v_0_or_in_unused_bits_is_sound() {
    for steps in [
        // One word that matters; bits of another that do not (MEV, stage 2's).
        vec![[STE_S1 + 0x40, STE_DW1 | 1 << 19]],
        // Through V = 0.
        vec![[STE_S1 & !1, STE_DW1], [STE_S1 & !1, 0], [0x1300_004b, 0]],
        // To bypass without a gap: SHCFG first, which stage 1 does not look at.
        vec![[STE_S1, STE_DW1 | 1 << 44], [9, STE_DW1 | 1 << 44], [9, 1 << 44]],
        // To abort and back.
        vec![[1, STE_DW1], [1, 0], [1, STE_DW1], [STE_S1, STE_DW1]],
    ] {
        let mut b = used();
        for step in steps {
            b.set_ste(SID, step);
            assert_eq!(cfgi_ste(&mut b), [], "{step:x?}");
        }
    }
}

#[test]
fn a_live_cd_changed_in_two_words_is_a_torn_update_and_a_disabled_half_has_no_table() {
    let change = |dw0: u64, ttb0: u64| {
        let mut b = used();
        b.mem.set(CDTAB, dw0);
        b.mem.set(CDTAB + 8, ttb0);
        cfgi_cd(&mut b)
    };
    assert_eq!(change(CD + (1 << 48), ROOT + 0x1000), [TORN_CD], "ASID and table");
    assert_eq!(change(CD + (1 << 48), ROOT), []);
    assert_eq!(change(CD & !(1 << 31), ROOT + 0x1000), [], "V = 0");
    let mut b = used();
    b.mem.set(CDTAB, CD | 1 << 14);
    assert_eq!(cfgi_cd(&mut b), [], "quiesced by EPD0");
    b.mem.set(CDTAB + 8, 0);
    assert_eq!(cfgi_cd(&mut b), [], "the table of a disabled half");
}

#[test]
fn sm_t13_a_contiguous_hint_must_be_true_and_never_gives_a_third_page() {
    const CONTIGUOUS: u64 = 1 << 52;
    let touched = |first: u64, second: u64| {
        let mut b = Bench::stage1();
        let at = b.map(0x1_0000, first);
        b.map(0x1_1000, second);
        assert!(b.read_at(0x1_0000).is_ok());
        (b.violations(), at)
    };
    let run = OLD | PAGE_RW | CONTIGUOUS;
    assert_eq!(touched(run, run + 0x1000).0, []);
    assert_eq!(touched(run, (run + 0x1000) & !(1 << 10)).0, [], "each has its Access flag");
    for (first, second) in
        [(run, run + 0x2000), (run, (run + 0x1000) & !CONTIGUOUS), (run, (run + 0x1000) ^ 0x40), (run + 0x1000, run + 0x2000)]
    {
        let (violations, at) = touched(first, second);
        assert_eq!(violations, [Violation::WrongContiguous { descriptor_at: at }], "{first:x} {second:x}");
    }
    // A wrong run under every policy: each page leads where its own descriptor says or where the run of the other one would put it.
    for policy in [Policy::AlwaysMiss, Policy::Sticky, Policy::Random { seed: 7 }, Policy::Prefetch] {
        let mut b = Bench::stage1().policy(policy);
        b.map(0x1_0000, run);
        b.map(0x1_1000, run + 0x5000);
        for _ in 0..8 {
            for (address, own, other) in [(0x1_0000, OLD, OLD + 0x4000), (0x1_1000, OLD + 0x5000, OLD + 0x1000)] {
                let page = b.read_at(address);
                assert!(page == Ok(own) || page == Ok(other), "{policy:?}: {address:#x} -> {page:x?}");
            }
        }
        assert!(b.violations().iter().all(|v| matches!(v, Violation::WrongContiguous { .. })), "{policy:?}");
    }
}

#[test]
fn sm_t13_a_run_may_be_filled_entry_by_entry_and_a_hole_in_it_is_wrong() {
    const CONTIGUOUS: u64 = 1 << 52;
    // Which of the sixteen entries are valid, and which of them is used.
    let used = |valid: u16, page: u64| {
        let mut b = Bench::stage1();
        for index in (0..16).filter(|i| valid >> i & 1 == 1) {
            b.map(0x1_0000 + 0x1000 * index, (OLD + 0x1000 * index) | PAGE_RW | CONTIGUOUS);
        }
        assert_eq!(b.read_at(0x1_0000 + 0x1000 * page), Ok(OLD + 0x1000 * page));
        b.violations().len()
    };
    for filled in 1..16 {
        for page in 0..filled {
            assert_eq!(used((1 << filled) - 1, page), 0, "{filled} from below, {page} used");
            assert_eq!(used(!0 << (16 - filled), 15 - page), 0, "{filled} from above, {page} used");
        }
    }
    for hole in 1..15 {
        assert_eq!(used(!(1 << hole), hole ^ 1), 1, "a hole at {hole}, its neighbour used");
    }
    assert_eq!(used(0b10, 1) + used(0b1010, 3), 2, "neither begins at an end");
}

#[test]
fn a_block_becomes_a_table_of_the_same_pages_without_a_break() {
    // IDR3.BBML = 2. A block of 2 MiB, and a table of its 512 pages in its place.
    for profile in [Profile::STALL, Profile::STALL_S1, Profile::ATSPRI, Profile::OVERRIDES, Profile::QEMU72] {
        assert_eq!(profile.ids.idr3 >> 11 & 3, 2, "{}", profile.name);
    }
    let mut b = Bench::stage1();
    b.map(0x20_0000, 0);
    let table = b.map(0x20_0000, 0) & !0xfff;
    let above = (ROOT..ROOT + 0x20_0000).step_by(8).find(|at| b.mem.get(*at) == table | 3).expect("what points to the table");
    for index in 0..512 {
        b.mem.set(table + 8 * index, (OLD + 0x1000 * index) | PAGE_RW);
    }
    let small_pages = table | 3;
    let block = OLD | PAGE_RW & !2;
    for (from, to) in [(block, small_pages), (small_pages, block)] {
        b.mem.set(above, from);
        assert_eq!(b.read_at(0x20_1000), Ok(OLD + 0x1000));
        b.mem.set(above, to);
        assert_eq!([0x20_1000, 0x20_2000].map(|va| b.read_at(va)), [Ok(OLD + 0x1000), Ok(OLD + 0x2000)]);
        let range = TlbiRange { address: 0x20_3000, leaf: Leaf::AllLevels, tg: 0, num: 0, scale: 0, ttl: 0 };
        b.command(O::TlbiNhVa { vmid: 0, asid: 7, range });
        b.sync();
    }
    assert_eq!(b.violations(), []);
}

#[test]
fn another_output_without_a_break_is_named_where_it_is_met() {
    // A clean page is cached for reading; the write walks again and meets another output.
    let mut b = Bench::stage1();
    b.set_cd(CDTAB, CD | 3 << 42);
    let clean = PAGE_RO | 1 << 51;
    b.map(0x1000, OLD | clean);
    assert_eq!(b.read_at(0x1000), Ok(OLD));
    b.map(0x1000, 0x5555_0000 | clean);
    assert_eq!(b.write_at(0x1000), Ok(0x5555_0000));
    assert_eq!(b.violations(), [Violation::WithoutBreak { address: 0x1000 }]);
}

#[test]
fn memory_is_given_up_after_its_invalidation_and_sync() {
    let page = |b: &mut Bench, at: u64| {
        b.model.note_freed(Pa(at));
        b.violations()
    };
    let mut b = used();
    for at in [OLD, ROOT] {
        assert_eq!(page(&mut b, at), [Violation::FreedWhileCached { page: at }]);
    }
    assert_eq!(page(&mut b, CDTAB), [Violation::FreedWhileCached { page: CDTAB }]);
    b.command(O::TlbiNhVa { vmid: 0, asid: 7, range: TlbiRange::single(0x1000, Leaf::Only) });
    assert_eq!(page(&mut b, OLD), [Violation::FreedBeforeSync { page: OLD }]);
    b.sync();
    assert_eq!(page(&mut b, OLD), []);
    // The level-3 table stays in the walk cache until an invalidation of all levels.
    let table = b.mem.get(ROOT) & 0x0000_ffff_ffff_f000;
    let level2 = b.mem.get(table) & 0x0000_ffff_ffff_f000;
    let level3 = b.mem.get(level2) & 0x0000_ffff_ffff_f000;
    assert_eq!(page(&mut b, level3), [Violation::FreedWhileCached { page: level3 }]);
    b.cfgi_all();
    for at in [OLD, ROOT, CDTAB, level3] {
        assert_eq!(page(&mut b, at), []);
    }
}

#[test]
fn a_table_is_not_free_while_a_requester_is_known_by_it() {
    const OWN_ROOT: u64 = 0x2600_0000;
    let mut b = Bench::stage1();
    // 2^11 CDs side by side, all of one address space but for one.
    b.set_ste(SID, [STE_S1 | 11 << 59, STE_DW1]);
    b.map(0x1000, OLD | PAGE_RW);
    b.map_in(OWN_ROOT, 0x1000, OLD | PAGE_RW);
    for ssid in 0..2048 {
        b.set_cd(CDTAB + 64 * ssid, CD);
    }
    b.set_cd(CDTAB + 64 * 5, CD & !(0xff << 48) | 9 << 48);
    b.mem.set(CDTAB + 64 * 5 + 8, OWN_ROOT);
    let read = |b: &mut Bench, ssid| b.translate_as(who(SID, Some(ssid)), 0x1000, AccessKind::Read).map(|t| t.pa.0);
    assert_eq!(read(&mut b, 5), Ok(OLD));
    // Others take its CD's place in the cache, but not the requester's own.
    for ssid in (16..2048).filter(|ssid| ssid % 256 != 5) {
        assert_eq!(read(&mut b, ssid), Ok(OLD));
    }
    b.model.note_freed(Pa(OWN_ROOT));
    assert_eq!(b.violations(), [Violation::FreedWhileCached { page: OWN_ROOT }]);
    let fetches = b.model.counters().cd_fetches;
    b.map_in(OWN_ROOT, 0x9000, OLD | PAGE_RW);
    assert_eq!(b.translate_as(who(SID, Some(5)), 0x9000, AccessKind::Read).map(|t| t.pa.0), Ok(OLD), "walked from that very table");
    assert_eq!(b.model.counters().cd_fetches, fetches);
    b.cfgi_all();
    b.model.note_freed(Pa(OWN_ROOT));
    assert_eq!(b.violations(), []);
}

#[test]
fn sm_f16_records_of_one_page_merge_where_mev_allows_it() {
    for (mev, records) in [(0, 3), (1, 1)] {
        let mut b = used();
        b.set_ste(SID, [STE_S1, STE_DW1 | mev << 19]);
        b.cfgi_all();
        for offset in [0, 0x10, 0xff8] {
            assert_eq!(b.read_at(0x7000 + offset), Err(Fault::Abort));
        }
        let first = b.events();
        assert_eq!(first.len(), records, "MEV = {mev}");
        assert_eq!(first[0].0[2], 0x7000, "the first one stands");
        assert_eq!(b.model.counters().events_merged, 3 - records as u64);
        // What was read is gone: a new record is due.
        assert_eq!(b.read_at(0x7000), Err(Fault::Abort));
        assert_eq!(b.events().len(), 1);
    }
}

#[test]
fn records_that_differ_stalls_and_other_streams_never_merge() {
    let mut b = used();
    b.set_ste(SID, [STE_S1, STE_DW1 | 1 << 19]);
    b.cfgi_all();
    assert_eq!(b.read_at(0x7000), Err(Fault::Abort));
    assert_eq!(b.read_at(0x8000), Err(Fault::Abort), "another page");
    assert_eq!(b.at(0x8000, AccessKind::Write), Err(Fault::Abort), "another direction");
    assert_eq!(b.read_at(0x7000), Err(Fault::Abort), "not the newest record");
    assert_eq!(b.events().len(), 4);
    b.set_cd(CDTAB, CD | CD_S);
    b.cfgi_all();
    for page in [0x7000, 0x8000] {
        assert!(matches!(b.read_at(page), Err(Fault::Stalled(_))));
    }
    assert_eq!(b.events().len(), 2);
}

#[test]
fn a_record_that_merges_is_not_lost_when_the_queue_is_full() {
    let mut b = Bench::with_events(Profile::STALL_S1, 1).policy(Policy::Sticky);
    b.set_ste(SID, [STE_S1, STE_DW1 | 1 << 19]);
    b.set_cd(CDTAB, CD);
    for address in [0x7000, 0x8000, 0x8008] {
        assert_eq!(b.read_at(address), Err(Fault::Abort));
    }
    assert_eq!(b.read(0x1_00a8) >> 31, 0, "no overflow");
    assert_eq!(b.read_at(0x9000), Err(Fault::Abort));
    assert_eq!(b.read(0x1_00a8) >> 31, 1);
    assert_eq!((b.events().len(), b.model.counters().events_lost), (2, 1));
}

#[test]
fn a_transaction_that_met_half_of_a_change_is_no_excuse_for_the_other_half() {
    for seed in 1..4 {
        let mut b = Bench::stage1().policy(Policy::Random { seed });
        b.map(0x1000, OLD | PAGE_RW);
        assert_eq!(b.read_at(0x1000), Ok(OLD));
        let fetch = |b: &mut Bench| {
            let before = b.model.counters().ste_fetches;
            while b.model.counters().ste_fetches == before {
                let _ = b.read_at(0x1000);
            }
        };
        b.set_ste(SID, [STE_S1 + 0x40, STE_DW1]);
        fetch(&mut b);
        b.set_ste(SID, [STE_S1 + 0x40, STE_DW1 ^ 1]);
        fetch(&mut b);
        assert_eq!(cfgi_ste(&mut b), [TORN_STE], "seed {seed}");
    }
}

#[test]
fn structures_that_nothing_reaches_may_change_in_any_way() {
    let cd = |leaf| O::CfgiCd { stream: StreamId(SID), substream: SubstreamId(0), leaf };
    let all = O::CfgiCdAll { stream: StreamId(SID) };
    // A CD that passes V = 0, by whatever command names it.
    for look in [all, cd(Leaf::AllLevels), O::CfgiSte { stream: StreamId(SID), leaf: Leaf::Only }] {
        let mut b = used();
        b.set_cd(CDTAB, CD & !(1 << 31));
        b.command(look);
        b.sync();
        b.set_cd(CDTAB, CD + (1 << 48));
        b.mem.set(CDTAB + 8, ROOT + 0x1000);
        assert_eq!(cfgi_cd(&mut b), [], "{look:?}");
    }
    // The old CD is given up with its STE; something else lies there when the new one is announced.
    let mut b = used();
    b.set_ste(SID, [1, STE_DW1]);
    assert_eq!(cfgi_ste(&mut b), []);
    b.set_cd(CDTAB, u64::MAX);
    b.set_cd(CDTAB + 0x1000, CD);
    b.set_ste(SID, [STE_S1 + 0x1000, STE_DW1]);
    assert_eq!(cfgi_ste(&mut b), []);
    assert_eq!(cfgi_cd(&mut b), []);
    // The same of an STE with its level-2 array, which all levels give up.
    let mut b = used();
    b.cfgi_ste(SID, Leaf::AllLevels);
    b.sync();
    b.set_ste(SID, [STE_S1 + 0x40, STE_DW1 ^ 1]);
    assert_eq!(cfgi_ste(&mut b), []);
    // Nothing is live while the SMMU is off.
    let mut b = used();
    b.write(0x020, 0xc);
    b.set_ste(SID, [STE_S1 + 0x40, STE_DW1 ^ 1]);
    assert_eq!(cfgi_ste(&mut b), []);
}

#[test]
fn cds_that_are_invalidated_all_at_once_are_compared_too() {
    let mut b = used();
    b.mem.set(CDTAB, CD + (1 << 48));
    b.mem.set(CDTAB + 8, ROOT + 0x1000);
    b.command(O::CfgiCdAll { stream: StreamId(SID) });
    b.sync();
    assert_eq!(b.violations(), [TORN_CD]);
}

#[test]
fn bits_that_are_softwares_may_differ_in_a_contiguous_run() {
    let run = OLD | PAGE_RW | 1 << 52;
    let is_sound = |second: u64| {
        let mut b = Bench::stage1();
        b.map(0x1_0000, run);
        b.map(0x1_1000, second);
        assert!(b.read_at(0x1_0000).is_ok());
        b.violations().is_empty()
    };
    for bit in [50, 55, 56, 57, 58, 59, 62, 63] {
        assert!(is_sound((run + 0x1000) | 1 << bit), "bit {bit}");
    }
    for bit in [2, 6, 8, 11, 51, 53, 54] {
        assert!(!is_sound((run + 0x1000) ^ 1 << bit), "bit {bit}");
    }
}

#[test]
fn a_level_2_table_is_given_up_after_what_leads_there_is_invalidated() {
    // S1Fmt 2, S1CDMax 16: a leaf of 64 KiB below the level-1 table.
    const LEVEL2: u64 = 0x1500_0000;
    let mut b = Bench::stage1();
    b.set_ste(SID, [0x8000_0000_1300_002b, STE_DW1]);
    b.mem.set(CDTAB, LEVEL2 | 1);
    b.set_cd(LEVEL2, CD);
    b.map(0x1000, OLD | PAGE_RW);
    assert_eq!(b.read_at(0x1000), Ok(OLD));
    b.command(O::CfgiCd { stream: StreamId(SID), substream: SubstreamId(0), leaf: Leaf::Only });
    b.sync();
    b.model.note_freed(Pa(LEVEL2));
    assert_eq!(b.violations(), [Violation::FreedWhileCached { page: LEVEL2 }], "level 1 is still cached");
    b.command(O::CfgiCd { stream: StreamId(SID), substream: SubstreamId(0), leaf: Leaf::AllLevels });
    b.sync();
    b.model.note_freed(Pa(LEVEL2));
    assert_eq!(b.violations(), []);
}
