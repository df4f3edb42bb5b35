//! The image's glue: rooms of memory, heap, log, panic and the two entries. It knows every level and does none of their work.
//!
//! A program links this crate, names its kernel with [`kernel_entry!`] and is complete. `main.rs` beside it starts the kernel with the apps;
//! the on-target tests start it with their own main.
#![cfg(target_os = "none")]
#![no_std]

mod entry;
mod heap;
mod level;
mod log;
mod panic;
mod programs;
mod rooms;

pub use hal::Pa;
pub use heap::heap_used;
pub use level::{Level, level};
pub use log::log_records;
pub use programs::boot;
pub use rooms::{el1_heap, el1_room, shared_room};

/// Names the function that EL1 starts with: `fn(Pa) -> !`, given the device tree's address, on one core, on the boot stack, with the first
/// gibibyte of RAM mapped and nothing else.
#[macro_export]
macro_rules! kernel_entry {
    ($path:path) => {
        /// EL1's first Rust function.
        #[unsafe(export_name = "firmware_kernel_entry")]
        pub fn __firmware_kernel_entry(dtb: $crate::Pa) -> ! {
            let entry: fn($crate::Pa) -> ! = $path;
            entry(dtb)
        }
    };
}
