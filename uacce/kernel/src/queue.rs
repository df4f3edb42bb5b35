//! One open queue: its state, and which moves are legal.

use crate::port::SpaceId;
use hal::{QueueId, Region, Va};
use uacce_abi::Errno;

/// State of a queue file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum QueueState {
    /// Dead: only close is left.
    Zombie = 0,
    /// Taken from the device, not served.
    Init = 1,
    /// Served by the device.
    Started = 2,
}

/// What poll has to say about a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// Nothing new.
    Quiet,
    /// Completions arrived since this was asked last.
    Readable,
    /// The queue is dead.
    Error,
}

/// Where a region lies in its owner's space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MappedRegion {
    pub at: Va,
    pub len_bytes: u64,
}

/// An open queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub node: u32,
    pub id: QueueId,
    pub owner: SpaceId,
    pub state: QueueState,
    /// The device holds the queue. False once it was put, or the device is gone.
    pub held: bool,
    /// A stop failed: the device may still touch the queue's memory, so it is never put.
    pub stuck: bool,
    pub regions: [Option<MappedRegion>; 2],
}

impl Queue {
    pub fn new(node: u32, id: QueueId, owner: SpaceId) -> Self {
        Self { node, id, owner, state: QueueState::Init, held: true, stuck: false, regions: [None; 2] }
    }

    /// Refuses a queue that has ended.
    ///
    /// # Errors
    /// `ENXIO`.
    pub fn check_alive(&self) -> Result<(), Errno> {
        if self.state == QueueState::Zombie { Err(Errno::ENXIO) } else { Ok(()) }
    }

    /// Refuses to start anything but an INIT queue.
    ///
    /// # Errors
    /// `ENXIO`, `EINVAL`.
    pub fn check_start(&self) -> Result<(), Errno> {
        self.check_alive()?;
        if self.state == QueueState::Started { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// Refuses a second mapping, a region that the device lacks, and a length that does not fit.
    ///
    /// # Errors
    /// `ENXIO`, `EEXIST`, `EINVAL`.
    pub fn check_map(&self, region: Region, device_len_bytes: u64, len_bytes: u64) -> Result<(), Errno> {
        self.check_alive()?;
        if self.regions[region as usize].is_some() {
            return Err(Errno::EEXIST);
        }
        let fits = match region {
            Region::Mmio => len_bytes <= device_len_bytes,
            Region::Dus => len_bytes == device_len_bytes,
        };
        if len_bytes == 0 || !len_bytes.is_multiple_of(uacce_abi::PAGE_BYTES) || !fits { Err(Errno::EINVAL) } else { Ok(()) }
    }
}
