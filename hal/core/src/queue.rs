//! A device with hardware queues, as uacce drives it.

use crate::{Pa, SubstreamId};

/// A queue of one device, function-local.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QueueId(pub u16);

/// A region of a queue file. The numbers are the mmap page offsets of the user ABI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Region {
    /// The queue's doorbell page.
    Mmio = 0,
    /// Memory shared by device and user: the rings.
    Dus = 1,
}

/// How a region must be mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegionKind {
    /// Device memory: no gathering, no speculation, never executable.
    Device,
    /// Normal cacheable memory.
    Memory,
}

/// What stands behind a region: physical pages, contiguous.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegionBacking {
    /// First byte, page-aligned.
    pub base: Pa,
    /// Length in bytes, a multiple of the page size.
    pub len_bytes: u64,
    /// How to map it.
    pub kind: RegionKind,
}

/// A queue operation was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueError {
    /// No instance left.
    Busy,
    /// Not in the state that the call needs.
    WrongState,
    /// Unknown command or argument out of range.
    Invalid,
    /// Out of memory for the queue.
    OutOfMemory,
    /// The device did not answer in time.
    TimedOut,
    /// The device answered with an error.
    Io,
    /// The device is gone or isolated.
    NoDevice,
}

/// A device whose hardware queues can be handed to processes.
pub trait QueueDevice {
    /// Names the queue format and its version; the user library matches on it (`hisi_qm_v3`).
    fn api(&self) -> &'static str;
    /// Algorithms, newline separated.
    fn algorithms(&self) -> &'static str;
    /// Queues that can be taken now.
    fn available_instances(&self) -> u32;
    /// Length in bytes of a region of every queue, 0 if there is none.
    fn region_len_bytes(&self, region: Region) -> u64;
    /// Takes a queue; with a substream its requests use that address space.
    ///
    /// # Errors
    /// `Busy`, `OutOfMemory`, `NoDevice`.
    fn get_queue(&self, substream: Option<SubstreamId>) -> Result<QueueId, QueueError>;
    /// Gives a queue back. One that did not stop is kept from everybody until it has, or until the device was reset.
    fn put_queue(&self, queue: QueueId);
    /// Lets the device serve the queue.
    ///
    /// # Errors
    /// `WrongState`, `TimedOut`, `Io`, `NoDevice`.
    fn start_queue(&self, queue: QueueId) -> Result<(), QueueError>;
    /// Stops the queue and waits until the device has drained it.
    ///
    /// # Errors
    /// `TimedOut`, `Io`: the device may still touch the queue's memory, which must not be reused.
    fn stop_queue(&self, queue: QueueId) -> Result<(), QueueError>;
    /// Ends a queue whose device goes away: its memory tells its user that nothing more is taken, what was submitted ends, and its memory tells
    /// that no more completions come.
    ///
    /// # Errors
    /// As [`stop_queue`](Self::stop_queue); the user has been told both all the same.
    fn retire_queue(&self, queue: QueueId) -> Result<(), QueueError>;
    /// True while the device is out of service because of its errors: no queue is handed out.
    fn is_isolated(&self) -> bool;
    /// Errors per hour before the device is isolated; 0 never isolates.
    fn isolate_strategy(&self) -> u32;
    /// True if completions arrived since the last call (the kernel's own cursor; rings no doorbell).
    fn is_updated(&self, queue: QueueId) -> bool;
    /// What stands behind a region of this queue.
    fn region(&self, queue: QueueId, region: Region) -> Option<RegionBacking>;
    /// A device-specific control call; `arg` is the argument structure, updated in place.
    ///
    /// # Errors
    /// `Invalid` for an unknown command, else what the command defines.
    fn ioctl(&self, queue: QueueId, command: u32, arg: &mut [u8]) -> Result<(), QueueError>;
}
