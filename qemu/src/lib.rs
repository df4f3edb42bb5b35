//! The cargo runner of the image, and the one place that knows QEMU's command line and makes the device tree.
//!
//! `cargo run`, `cargo test` and `cargo bench` call it with an ELF file. An image is booted; a test image has its tests listed and each is
//! booted in a QEMU of its own. It decodes the defmt frames, passes exit codes on, ends what takes too long, and never outlives its QEMU
//! nor its QEMU it.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

#[cfg(not(target_os = "none"))]
mod host;

#[cfg(not(target_os = "none"))]
pub use host::main;
