//! The contract between a process and the kernel: system calls, queue handles, control commands, attributes.
//!
//! A process traps with `svc #0`: `x8` holds the call's number, `x0`…`x5` its arguments, `x0` comes back with a value ≥ 0 or a negated
//! [`Errno`]. All other registers, the vector registers included, are kept. [`Call`] is one definition for both sides: the process turns
//! it into registers, the kernel turns registers into a [`Request`].
//!
//! Region numbers are [`FileRegion`]: they are the "page offset" of an mmap on a queue handle.
#![no_std]
#![forbid(unsafe_code)]

pub mod attribute;
pub mod call;
pub mod counters;
pub mod errno;
pub mod ioctl;
pub mod legacy;
pub mod poll;
pub mod program;
pub mod region;

pub use attribute::{Attribute, VALUE_MAX_BYTES, flags};
pub use call::{Call, Fd, Kernel, NodeIndex, OnExec, OpenMode, ProcessId, Protection, Registers, Request, UserSlice};
pub use counters::Counters;
pub use errno::Errno;
pub use ioctl::{Command, QpContext, QpInfo};
pub use poll::PollFd;
pub use program::{Entry, Program, STACK_BYTES, USER_ADDRESSES};
pub use region::FileRegion;

/// Granule of every mapping, in bytes.
pub const PAGE_BYTES: u64 = 4096;
