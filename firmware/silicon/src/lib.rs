//! firmware-silicon
#![no_std]
#![forbid(unsafe_code)]
