//! The walk against the naive walker.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smmu_fuzz::fuzz_bodies::walk(data));
