//! The update protocol against a reader that looks at every moment: the cases of Linux' KUnit suite, and random pairs.

use std::vec::Vec;

use super::{Change, Step, Words, rewrite};
use crate::cd_table::{self, Treatment, context, quiesced};
use crate::features::StallModel;
use crate::space::TableDescription;
use crate::stage2::Untagged;
use crate::stream_table::{self, CdFormat, Stage1, abort, bypass};
use hal::Pa;
use smmu_spec::descriptor::Granule;

/// What the SMMU may make of an entry: the bits that it looks at.
fn meaning(entry: &Words, used: fn(&Words) -> Words) -> Words {
    let mask = used(entry);
    core::array::from_fn(|i| entry[i] & mask[i])
}

/// Runs the update; returns (syncs, hitless) after checking every state that a reader could have cached between two syncs.
fn run(from: &Words, to: &Words, used: fn(&Words) -> Words) -> (usize, bool) {
    let memory = core::cell::RefCell::new(*from);
    let states = core::cell::RefCell::new(std::vec![*from]);
    let synced = core::cell::RefCell::new(*from);
    let (syncs, tidied) = (core::cell::Cell::new(0), core::cell::Cell::new(false));
    let mut all: Vec<Words> = std::vec![];
    let change = rewrite::<()>(
        from,
        to,
        used,
        |i, value| {
            memory.borrow_mut()[i] = value;
            states.borrow_mut().push(*memory.borrow());
        },
        |step| {
            // Nothing comes after a tidying step, and what was synced before it means the target already.
            assert!(!tidied.get());
            assert!(step == Step::Needed || meaning(&synced.borrow(), used) == meaning(to, used));
            tidied.set(step == Step::Tidying);
            *synced.borrow_mut() = *memory.borrow();
            syncs.set(syncs.get() + 1);
            Ok(())
        },
    )
    .unwrap();
    all.extend(states.borrow().iter());
    assert_eq!(*memory.borrow(), *to, "the entry is the target, bit for bit");
    let mut saw_invalid = false;
    for state in &all {
        let seen = meaning(state, used);
        let invalid = state[0] == 0 && from[0] != 0 && to[0] != 0;
        saw_invalid |= invalid;
        assert!(
            invalid || seen == meaning(from, used) || seen == meaning(to, used) || !is_valid(state),
            "a mixture: {state:x?} between {from:x?} and {to:x?}"
        );
    }
    assert_eq!(saw_invalid, change == Change::ThroughInvalid);
    (syncs.get(), change == Change::Hitless)
}

/// Valid in either layout: an STE's V is bit 0, a CD's is bit 31. Address bits of an STE may stand in bit 31, so bit 0 decides where it is set.
fn is_valid(entry: &Words) -> bool {
    entry[0] & 1 == 1 || entry[0] >> 31 & 1 == 1
}

fn stage1(pointer: u64, format: CdFormat, bits: u8) -> Words {
    Stage1 {
        context_pointer: pointer,
        format,
        substream_bits: bits,
        untagged: Untagged::Table,
        cacheable: true,
        never_stalls: false,
        ats: None,
    }
    .ste()
}

fn with_s1dss(mut ste: Words, s1dss: u64) -> Words {
    ste[1] = ste[1] & !3 | s1dss;
    if s1dss == 1 {
        ste[1] |= 1 << 44;
    }
    ste
}

fn stage2() -> Words {
    // V, Config = S2; SHCFG incoming; VMID 0 as in stage 1, T0SZ 24, SL0 1, WB/inner, 44-bit, AA64, S2R; a table.
    [0xd, 1 << 44, 0x040c_3558_0000_0000, 0x4040_0000, 0, 0, 0, 0]
}

fn nested() -> Words {
    let mut ste = stage1(0x4100_0000, CdFormat::Linear, 0);
    ste[0] |= 0xe;
    (ste[1], ste[2], ste[3]) = (ste[1] | 1 << 44, stage2()[2], stage2()[3]);
    ste
}

#[test]
fn sm_c20_stream_entries_change_hitless_in_as_few_syncs_as_the_reference() {
    let table = stage1(0x4100_0000, CdFormat::TwoLevel, 16);
    let used = stream_table::used;
    for (from, to, syncs) in [
        (bypass(), abort(), 2),
        (abort(), bypass(), 2),
        (table, abort(), 2),
        (abort(), table, 2),
        (table, bypass(), 3),
        (bypass(), table, 3),
        (with_s1dss(table, 0), table, 1),
        (table, with_s1dss(table, 0), 1),
        (with_s1dss(table, 1), bypass(), 2),
        (bypass(), with_s1dss(table, 1), 2),
        (stage2(), abort(), 2),
        (abort(), stage2(), 2),
        (stage2(), bypass(), 2),
        (bypass(), stage2(), 2),
        (table, stage2(), 3),
        (stage2(), table, 3),
    ] {
        assert_eq!(run(&from, &to, used), (syncs, true), "{from:x?} -> {to:x?}");
    }
}

#[test]
fn sm_c22_two_words_that_matter_go_through_invalid() {
    let one = stage1(0x4100_0000, CdFormat::TwoLevel, 16);
    let other = with_s1dss(stage1(0x4200_0000, CdFormat::TwoLevel, 16), 0);
    assert_eq!(run(&one, &other, stream_table::used), (3, false));
}

fn cd(asid: u16, ttb0: u64, stall: bool) -> Words {
    let table = TableDescription { ttb0: Pa(ttb0), t0sz: 16, granule: Granule::Kib4, ips: 5, mair: 0x44ff, asid };
    context(&table, Treatment { stall, private_asid: false, cacheable: true })
}

#[test]
fn sm_c21_contexts_are_made_cleared_renamed_and_released_in_as_few_syncs_as_the_reference() {
    let used = cd_table::used;
    let live = cd(7, 0x4030_0000, true);
    let quiet = quiesced(&live, StallModel::StallOrTerminate);
    assert_eq!(run(&[0; 8], &live, used).0, 2);
    assert_eq!(run(&live, &[0; 8], used).0, 2);
    assert_eq!(run(&live, &cd(8, 0x4030_0000, true), used), (1, true));
    assert_eq!(run(&live, &quiet, used), (2, true));
    assert_eq!(run(&quiet, &live, used), (2, true));
    assert_eq!(run(&live, &cd(8, 0x4040_0000, true), used), (3, false));
}

#[test]
fn every_pair_of_stream_entries_changes_without_a_mixture() {
    let mut entries = std::vec![[0; 8], abort(), bypass(), stage2(), nested()];
    for pointer in [0x4100_0000, 0x4200_0000] {
        for (format, bits) in [(CdFormat::Linear, 0), (CdFormat::Linear, 10), (CdFormat::TwoLevel, 16)] {
            for s1dss in [0, 1, 2] {
                entries.push(with_s1dss(stage1(pointer, format, bits), s1dss));
            }
        }
    }
    for from in &entries {
        for to in &entries {
            let (syncs, _) = run(from, to, stream_table::used);
            assert!(syncs <= 3);
            assert_eq!(syncs == 0, from == to);
        }
    }
}
