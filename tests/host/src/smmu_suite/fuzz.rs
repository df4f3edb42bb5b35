//! The fuzzers' bodies on seeded bytes, where no fuzzer is. `SMMU_FUZZ_SECONDS` sets how long each runs; a plain test run takes the short form.

use std::time::{Duration, Instant};

use super::fuzz_bodies;
use super::rng::Rng;

fn run(body: fn(&[u8]), seed: u64, at_least: u32) {
    let seconds = std::env::var("SMMU_FUZZ_SECONDS").map_or(0, |n| n.parse().expect("a number"));
    // Miri is some thousand times slower.
    let at_least = if cfg!(miri) { at_least.div_ceil(1500) } else { at_least };
    let (begin, mut rng, mut runs) = (Instant::now(), Rng(seed), 0);
    while runs < at_least || begin.elapsed() < Duration::from_secs(seconds) {
        let length = rng.below(900) as usize;
        let data: Vec<u8> = (0..length).map(|_| rng.next() as u8).collect();
        body(&data);
        runs += 1;
    }
}

#[test]
fn random_bytes_as_tables_give_the_reference_s_answers() {
    run(fuzz_bodies::walk, 0x7a11_0001, 150);
}

#[test]
fn random_bytes_as_commands_stop_the_queue_where_the_rules_say() {
    run(fuzz_bodies::commands, 0x7a11_0002, 1_500);
}

#[test]
fn random_bytes_as_structures_decode_to_what_encodes_to_them() {
    run(fuzz_bodies::decoders, 0x7a11_0003, 3_000);
}
