//! Memory that requests may name where a device does not share the process's address space.
//!
//! The same two calls work in every profile: where addresses are shared they take ordinary memory and have nothing to do, so that a
//! program that keeps its requests inside reserved memory runs on any device.

use hal::Iova;
use uacce_abi::{Call, FileRegion, PAGE_BYTES, Protection};

use crate::{RingEntry, Sharing, System, WdError, WdQueue};

/// Memory that a queue's device reaches. It is the process's until the queue is released; with ordinary memory (SVA) until it is unmapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reserved {
    at: u64,
    len_bytes: u64,
    device: u64,
}

impl Reserved {
    /// Address for the process.
    pub const fn address(&self) -> u64 {
        self.at
    }

    /// Length in bytes.
    pub const fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// What a request carries for `len_bytes` at an offset; `None` if that is not all inside. Where anything translates, it is the process's
    /// own address.
    pub const fn for_device(&self, offset: u64, len_bytes: u64) -> Option<Iova> {
        match offset.checked_add(len_bytes) {
            Some(end) if end <= self.len_bytes => Some(Iova(self.device + offset)),
            _ => None,
        }
    }
}

/// Reserves zeroed memory for a queue's requests. Without shared addresses a queue has one such region.
///
/// # Errors
/// `Kernel`: `EEXIST` the second time, `ENOMEM`, `EINVAL` for no bytes at all.
pub fn wd_reserve_memory<S: System, E: RingEntry>(queue: &WdQueue<'_, S, E>, len_bytes: u64) -> Result<Reserved, WdError> {
    let (system, fd) = (queue.system(), queue.fd());
    let len_bytes = len_bytes.checked_next_multiple_of(PAGE_BYTES).unwrap_or(len_bytes);
    let at = match queue.sharing() {
        Sharing::Sva => system.map_memory(len_bytes, Protection::ReadWrite)?,
        Sharing::Reserved | Sharing::Physical => system.map_region(fd, FileRegion::Ss, len_bytes)?,
    };
    let device = if queue.sharing() == Sharing::Physical { system.ss_dma(fd)? } else { at };
    Ok(Reserved { at, len_bytes, device })
}

/// Lets a second queue's requests name the memory that was reserved for a first one, under the same addresses.
///
/// # Errors
/// `Kernel`: `EINVAL` if nothing was reserved or the two cannot share, `EBADF`, `EACCES`.
pub fn wd_share_reserved_memory<S: System, E: RingEntry, F: RingEntry>(
    queue: &WdQueue<'_, S, E>,
    target: &WdQueue<'_, S, F>,
) -> Result<(), WdError> {
    if target.sharing() == Sharing::Sva {
        // It reaches all of the process's memory as it is.
        return Ok(());
    }
    queue.system().call(Call::ShareQueue { fd: queue.fd(), target: target.fd() })?;
    Ok(())
}
