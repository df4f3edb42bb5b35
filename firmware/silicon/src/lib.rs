//! The silicon: EL2 plays the hardware below the kernel.
//!
//! It owns stage 2, answers trapped accesses to its aperture from the block models, turns their DMA into accesses of guest memory through the
//! SMMU model, their lines into interrupts, and runs the engine. It knows specs and models and no driver; towards EL1 it has no policy.
//! Every register write and every byte of guest memory is hostile.
#![cfg(target_os = "none")]
#![no_std]

mod abort;
mod ats;
mod bus;
mod core_setup;
mod dma;
mod doorbells;
mod dummy;
mod engine;
mod guest;
mod inject;
mod lines;
mod memory;
mod options;
mod reset;
mod smc;
mod start;
mod state;
mod trace;
mod trap;
mod vendor;

use core::ops::Range;

pub use start::{primary, secondary};

/// What the image tells the silicon about itself.
#[derive(Clone, Debug)]
pub struct Image {
    /// Code and constants of all levels.
    pub shared: Range<usize>,
    /// What EL2 writes: absent from stage 2.
    pub el2_room: Range<usize>,
    /// What EL1 writes.
    pub el1_room: Range<usize>,
    /// Where the own kernel starts at EL1.
    pub kernel_entry: u64,
    /// Turns EL2's log off.
    pub mute_log: fn(),
}
