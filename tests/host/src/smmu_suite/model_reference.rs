//! Stage 1, stage 2 and nested translation against a naive reference (SM-T15).
//!
//! A million (tables, address, access) triples; `SMMU_TRIPLES` sets another number.

use smmu_model::Policy;

use super::reference::{Mode, Outcomes, round};
use super::rng::Rng;

/// Triples of this run, for each of the three modes.
fn triples() -> u64 {
    std::env::var("SMMU_TRIPLES").map_or(1_000_000, |n| n.parse().expect("a number")) / 3
}

fn all_rounds(mode: Mode) -> Outcomes {
    const ACCESSES: u32 = 60;
    let mut outcomes = Outcomes::default();
    for seed in 1..=triples().div_ceil(u64::from(ACCESSES)) {
        let policy = [Policy::AlwaysMiss, Policy::Sticky, Policy::Prefetch, Policy::Random { seed: seed as u32 }][seed as usize % 4];
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        rng.next();
        round(mode, &mut rng, ACCESSES, policy, &mut outcomes);
    }
    outcomes
}

fn seen(outcomes: &Outcomes, slots: impl IntoIterator<Item = usize>) {
    assert!(slots.into_iter().all(|i| outcomes[i] >= 5), "every outcome is exercised: {outcomes:?}");
}

#[test]
fn sm_t15_stage_1_equals_the_reference() {
    seen(&all_rounds(Mode::Stage1), 0..6);
}

#[test]
fn sm_t15_stage_2_equals_the_reference() {
    seen(&all_rounds(Mode::Stage2), [0, 6, 7, 8, 9, 10]);
}

#[test]
fn sm_t15_nested_equals_the_reference() {
    // An abort of stage 2's own walk is rare here; the test above has it.
    seen(&all_rounds(Mode::Nested), [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11]);
}
