//! One open queue: its state, and which moves are legal.

use crate::port::{SpaceId, Span};
use crate::profile::Profile;
use hal::{Pa, QueueId};
use uacce_abi::{Errno, FileRegion};

/// State of a queue file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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
    pub span: Span,
    /// First byte of memory that the core reserved for the region; `None` if a device stands behind it.
    pub reserved: Option<Pa>,
}

/// Regions of a file.
pub(crate) const REGIONS: usize = FileRegion::ALL.len();

/// An open queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub node: u32,
    pub id: QueueId,
    pub owner: SpaceId,
    pub profile: Profile,
    pub state: QueueState,
    /// The device holds the queue. False once it was put, or the device is gone.
    pub held: bool,
    /// A stop failed: the device may still touch the queue's memory and its owner's, so its PASID is cut off for good.
    pub stuck: bool,
    pub regions: [Option<MappedRegion>; REGIONS],
}

impl Queue {
    pub fn new(node: u32, id: QueueId, owner: SpaceId, profile: Profile) -> Self {
        Self { node, id, owner, profile, state: QueueState::Init, held: true, stuck: false, regions: [None; REGIONS] }
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

    /// Refuses a second mapping, and a length that is none.
    ///
    /// # Errors
    /// `ENXIO`, `EEXIST`, `EINVAL`.
    pub fn check_map(&self, region: FileRegion, len_bytes: u64) -> Result<(), Errno> {
        self.check_alive()?;
        if self.regions[region as usize].is_some() {
            return Err(Errno::EEXIST);
        }
        if len_bytes == 0 || !len_bytes.is_multiple_of(uacce_abi::PAGE_BYTES) { Err(Errno::EINVAL) } else { Ok(()) }
    }
}
