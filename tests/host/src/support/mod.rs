//! The host machine that the suites run on: memory with holes, a CPU with a store buffer, models behind register windows, a clock that tests own.
//!
//! # What a CPU and a device see of each other
//!
//! [`HostMemory`] is memory as the *device* sees it. A driver reaches it through [`HostDma`] buffers, as a weakly ordered CPU does:
//!
//! 1. **Stores are held back.** A store goes into the CPU's store buffer. `dma_wmb` makes all earlier stores visible to the device, in program
//!    order. Nothing else does (with [`StoreRelease::Seeded`] single words also leave early and out of order, as a real buffer drains).
//!    A doorbell without the barrier therefore shows the device old memory.
//! 2. **Own stores are forwarded.** The CPU always reads what it last stored.
//! 3. **Device stores are seen one flag at a time.** `dma_rmb` begins an *epoch*. The first load of an epoch that meets bytes which the device
//!    changed since the epoch began returns the new bytes: this is the flag (a phase bit, a first word). From then on the CPU knows of progress, and
//!    any load of *other* changed bytes returns what stood there when the epoch began: such a load may have been satisfied early.
//!    Bytes that were loaded once while changed read new from then on, so a load never goes backwards and polling always ends.
//!    A missing `dma_rmb` between a phase bit and the data that it covers therefore reads old data, however the data was touched before.
//! 4. Taking an interrupt begins an epoch too: loads are not hoisted over exception entry. A test that delivers one calls [`HostDma::take_interrupt`].
//!
//! Correct code, barrier after flag and before data, reads new data always.

#![allow(dead_code, reason = "each suite uses its own part of the machine")]

mod clock;
mod dma;
mod irq;
mod memory;
mod middleware;
mod port;
pub mod reference;
mod tests;
mod window;

#[allow(unused_imports, reason = "each suite uses its own part of the machine")]
pub use {
    clock::FakeClock,
    dma::{HostBuffer, HostDma, StoreRelease},
    irq::IrqRecorder,
    memory::HostMemory,
    middleware::{Fault, Faulty, Touch, Traced},
    port::{DirectPort, PageRule},
    window::{MmioDevice, ModelWindow},
};
