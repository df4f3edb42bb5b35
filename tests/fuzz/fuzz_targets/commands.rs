//! Commands of random bits.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smmu_fuzz::fuzz_bodies::commands(data));
