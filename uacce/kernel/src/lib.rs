//! The uacce core: device queues handed to processes as queue files.
//!
//! [`Uacce`] owns the registered devices, the open queues and the bonds between devices and address spaces. It moves a queue through its
//! states, refuses every move that is not one, maps each region once, and takes everything back in the one safe order: stop, unbind,
//! unmap, put. It knows no engine, no register and no page table: it drives a [`hal::QueueDevice`], and reaches address spaces through
//! [`AddressSpaces`].
//!
//! The owner of a queue is an address space, not a process number ([`SpaceId`] is never used twice), and every call checks it: a handle
//! that leaks to another process is worth nothing there.
//!
//! # States and refusals
//!
//! | call | INIT | STARTED | ZOMBIE (device removed, or the stop failed) |
//! |---|---|---|---|
//! | `START_Q` | → STARTED; the device's refusal as errno, stays INIT | `EINVAL` | `ENXIO` |
//! | `PUT_Q` | 0 | stops, → INIT; `ETIMEDOUT` or `EIO`, → ZOMBIE | `ENXIO` |
//! | device commands | the device's answer | the device's answer | `ENXIO` |
//! | map a region | its address; `EEXIST`, `EINVAL`, `ENOMEM` | as INIT | `ENXIO` |
//! | poll | nothing | readable once the device reports completions | error |
//! | close | put, unmapped, perhaps unbound | stopped first | unmapped; put if the device is there |
//!
//! Every call by another address space: `EACCES`, before anything else is looked at. A stale handle: `EBADF`.
#![no_std]
#![forbid(unsafe_code)]

mod attribute;
mod bond;
mod core;
mod errno;
mod interface;
mod port;
mod profile;
mod queue;

pub use crate::core::{Allocated, QueueHandle, Registered, Removed, Uacce};
pub use errno::errno_of;
pub use interface::{Interface, NAME_MAX_BYTES, NameError};
pub use port::{AddressSpaces, Drained, Reserved, SpaceError, SpaceId, Span};
pub use profile::Profile;
pub use queue::{QueueState, Readiness};
