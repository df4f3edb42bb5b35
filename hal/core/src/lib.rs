//! The ports through which the blocks of the house meet.
//!
//! A driver sees its device as a [`RegisterWindow`], its shared memory as [`DmaBuffer`]s handed out by a [`DmaMapper`], time as a
//! [`Clock`]. A model sees the machine as a [`PhysMemory`] and [`IrqLines`], and the memory that a request names as a [`DmaPort`].
//! uacce drives a [`QueueDevice`]. This crate holds no policy, no assembly, no allocation and no `unsafe`: firmware implements the
//! ports for the real machine, tests implement them for the host.
#![no_std]
#![forbid(unsafe_code)]

mod addr;
mod clock;
mod dma;
mod esr;
mod machine;
mod platform;
mod queue;
mod reg;
mod window;

pub use addr::{Access, AccessKind, Iova, Ipa, Pa, StreamId, SubstreamId, Va};
pub use clock::{Clock, Deadline, Expired, poll_until};
pub use dma::{AllocError, Barriers, DmaBuffer, DmaMapper};
pub use esr::{DataAbort, Esr, ExceptionClass, FaultStatus, LoadStore, StorePair};
pub use machine::{BusError, DmaError, DmaPort, IrqLines, PhysMemory, Requester, StallTag, Verdict};
pub use platform::{ConfigSpace, PlatformReset, ResetError, device_reset};
pub use queue::{QueueDevice, QueueError, QueueId, Region, RegionBacking, RegionKind};
pub use reg::{Permission, Reg, RegInfo};
pub use window::RegisterWindow;
