//! What the core needs from the kernel's address spaces and from its IOMMU layer.

use hal::{RegionBacking, SubstreamId, Va};

/// An address space. The kernel never gives one number to two spaces, not even after the first has ended; that is what makes it an owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpaceId(pub u64);

/// An address-space operation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpaceError {
    /// The space has ended.
    Gone,
    /// No virtual addresses or no page-table memory left.
    OutOfMemory,
    /// No PASID left.
    OutOfSubstreams,
    /// The IOMMU cannot do it for this device, or did not answer.
    Iommu,
}

/// Whether the device has finished with an address space when it is unbound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drained {
    /// Every queue was stopped: no transaction with this PASID is in flight.
    Yes,
    /// A queue did not stop. The PASID must be cut off and never be given to another space.
    No,
}

/// The kernel's address spaces, and the IOMMU behind a node's device.
pub trait AddressSpaces {
    /// True if node `node`'s device can work in a process's address space: PASIDs, and faults that are resolved.
    fn supports_sva(&self, node: u32) -> bool;
    /// Lets node `node`'s device work in `space`; the same PASID for every device of one space.
    ///
    /// # Errors
    /// `Gone`, `OutOfSubstreams`, `OutOfMemory`, `Iommu`.
    fn bind(&mut self, node: u32, space: SpaceId) -> Result<SubstreamId, SpaceError>;
    /// Ends it. When this returns the device cannot reach the space any more.
    fn unbind(&mut self, node: u32, space: SpaceId, substream: SubstreamId, drained: Drained);
    /// Maps the first `len_bytes` of a backing into `space`, for loads and stores, never executable, not inherited by a fork.
    ///
    /// # Errors
    /// `Gone`, `OutOfMemory`.
    fn map(&mut self, space: SpaceId, backing: RegionBacking, len_bytes: u64) -> Result<Va, SpaceError>;
    /// Removes such a mapping. When this returns the process cannot reach the backing any more.
    fn unmap(&mut self, space: SpaceId, at: Va, len_bytes: u64);
}
