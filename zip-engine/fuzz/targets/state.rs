//! The body `state` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zip_fuzz::state::body(data));
