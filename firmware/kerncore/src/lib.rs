//! firmware-kerncore
#![no_std]
#![forbid(unsafe_code)]
