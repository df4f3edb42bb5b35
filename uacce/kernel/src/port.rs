//! What the core needs from the kernel's address spaces and from its IOMMU layer.

use crate::profile::Profile;
use hal::{Pa, RegionBacking, SubstreamId, Va};

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
    /// The device has one table, and another space has it.
    Taken,
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

/// A part of a space that a queue's file made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// First address.
    pub at: Va,
    /// Length in bytes, whole pages.
    pub len_bytes: u64,
}

/// Memory reserved for a process and its devices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reserved {
    /// Where the process has it, and, but without an IOMMU, where its devices have it.
    pub at: Va,
    /// Its first byte; the rest follows without gaps.
    pub base: Pa,
}

/// The kernel's address spaces, and the IOMMU behind a node's device.
pub trait AddressSpaces {
    /// How node `node`'s device can share memory on this machine.
    fn profile(&self, node: u32) -> Profile;
    /// Lets node `node`'s device work in `space`; the same PASID for every device of one space, none where the profile has none.
    ///
    /// # Errors
    /// `Gone`, `OutOfSubstreams`, `OutOfMemory`, `Taken`, `Iommu`.
    fn bind(&mut self, node: u32, space: SpaceId) -> Result<Option<SubstreamId>, SpaceError>;
    /// Ends it. When this returns the device cannot reach the space any more.
    fn unbind(&mut self, node: u32, space: SpaceId, substream: Option<SubstreamId>, drained: Drained);
    /// Maps the first `len_bytes` of a backing into `space`, for loads and stores, never executable, not inherited by a fork.
    ///
    /// # Errors
    /// `Gone`, `OutOfMemory`.
    fn map(&mut self, space: SpaceId, backing: RegionBacking, len_bytes: u64) -> Result<Va, SpaceError>;
    /// Removes such mappings. When this returns the process cannot reach the backings any more.
    fn unmap(&mut self, space: SpaceId, spans: &[Span]);
    /// Puts a private copy of what lies there in the place of such a mapping: the backing goes away, its last contents stay readable.
    /// Without memory for the copy the mapping goes away as by `unmap`.
    fn replace_by_copy(&mut self, space: SpaceId, span: Span);
    /// Reserves zeroed memory that the process and every device bound to the space reach, at the same address; not inherited by a fork.
    ///
    /// # Errors
    /// `Gone`, `OutOfMemory`, `Iommu`.
    fn reserve(&mut self, space: SpaceId, len_bytes: u64) -> Result<Reserved, SpaceError>;
    /// Takes it back. When this returns no device bound to the space reaches it; a device that is not drained keeps it for good.
    fn release(&mut self, space: SpaceId, span: Span, base: Pa, drained: Drained);
    /// Keeps addresses of the process for the kernel: mapped for the kernel and the node's device, closed to the process.
    ///
    /// # Errors
    /// `Gone`, `OutOfMemory`, `Iommu`.
    fn reserve_for_kernel(&mut self, space: SpaceId, len_bytes: u64) -> Result<Reserved, SpaceError>;
}
