//! SMMUv3 (Arm IHI 0070): registers, structures, queue entries and translation-table descriptors of the Non-secure programming interface.
//!
//! Facts only. [`regs`] places every register, [`ste`] and [`cd`] lay out the configuration structures, [`command`], [`event`] and [`pri`]
//! the queue entries, [`queue`] owns the arithmetic of ring indices, [`descriptor`] lays out VMSAv8-64 stage-1 descriptors, [`id`] lists
//! the identification values that a model may advertise. All structures are little-endian words; a field is named by a tock-registers
//! `Field` with an explicit offset and width. No algorithm that belongs to one side only lives here.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod cd;
pub mod command;
pub mod descriptor;
pub mod event;
pub mod id;
pub mod pri;
pub mod queue;
pub mod regs;
pub mod ste;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod masks;

/// Interrupt outputs of the SMMU, as numbered on `hal::IrqLines`.
pub mod irq {
    /// Event queue became non-empty.
    pub const EVENTQ: u32 = 0;
    /// PRI queue became non-empty.
    pub const PRIQ: u32 = 1;
    /// A CMD_SYNC with CS = 1 completed.
    pub const CMDQ_SYNC: u32 = 2;
    /// A global error became active.
    pub const GERROR: u32 = 3;
}
