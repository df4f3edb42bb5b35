//! firmware-apps
#![no_std]
#![forbid(unsafe_code)]
