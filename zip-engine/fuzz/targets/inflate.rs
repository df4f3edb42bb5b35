//! The body `inflate` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zip_fuzz::inflate::body(data));
