//! qemu-runner
#![no_std]
#![forbid(unsafe_code)]
