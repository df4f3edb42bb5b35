//! The body `engine` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zip_fuzz::engine::body(data));
