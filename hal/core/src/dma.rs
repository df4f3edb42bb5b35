//! Memory that a driver shares with its device.

use crate::{Iova, Pa};

/// A block of memory that both the CPU and a device see. Offsets are bytes, accesses are naturally aligned and single-copy atomic.
///
/// Accesses go to memory in program order as far as *this CPU* is concerned; what the device observes is ordered by [`Barriers`] only.
pub trait DmaBuffer {
    /// The address to give to the device: an IOVA behind an SMMU, a physical address without one.
    fn device_address(&self) -> Iova;
    /// Length in bytes.
    fn len_bytes(&self) -> usize;
    /// The first byte's physical address if the block is physically contiguous: what a kernel maps into a process that shares the block.
    /// `None` if the block cannot be shared.
    fn physical_address(&self) -> Option<Pa> {
        None
    }
    /// Reads 8 bits.
    fn read8(&self, offset: usize) -> u8;
    /// Writes 8 bits.
    fn write8(&self, offset: usize, value: u8);
    /// Reads 16 bits.
    fn read16(&self, offset: usize) -> u16;
    /// Writes 16 bits.
    fn write16(&self, offset: usize, value: u16);
    /// Reads 32 bits.
    fn read32(&self, offset: usize) -> u32;
    /// Writes 32 bits.
    fn write32(&self, offset: usize, value: u32);
    /// Reads 64 bits.
    fn read64(&self, offset: usize) -> u64;
    /// Writes 64 bits.
    fn write64(&self, offset: usize, value: u64);

    /// Zeroes `len_bytes` bytes from `offset`, both multiples of 4.
    fn zero(&self, offset: usize, len_bytes: usize) {
        for at in (offset..offset + len_bytes).step_by(4) {
            self.write32(at, 0);
        }
    }
}

/// The two hand-over barriers between CPU and device. A call, not an intrinsic, so that a host test memory can show a missing one:
/// it holds stores back until `dma_wmb` and serves an older copy until `dma_rmb`.
pub trait Barriers {
    /// Everything stored before is visible to the device before any later store (a doorbell, a valid bit) is.
    fn dma_wmb(&self);
    /// Nothing read later is older than what was read before (a phase bit, an index).
    fn dma_rmb(&self);
}

/// A DMA allocation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AllocError {
    /// No memory of that size left.
    OutOfMemory,
    /// No device addresses of that size left.
    OutOfAddresses,
    /// The length is 0 or the alignment is not a power of two.
    BadShape,
}

/// Where a driver gets memory that its device can reach.
///
/// Firmware makes one out of the SMMU driver for devices behind the SMMU, and one over plain physical memory for the SMMU itself.
pub trait DmaMapper: Barriers {
    /// What an allocation is.
    type Buffer: DmaBuffer;

    /// Allocates `len_bytes` zeroed bytes whose device address is a multiple of `align`, a power of two.
    ///
    /// # Errors
    /// See [`AllocError`].
    fn alloc(&self, len_bytes: usize, align: usize) -> Result<Self::Buffer, AllocError>;
    /// Takes a buffer back. When this returns the device cannot reach it any more.
    fn free(&self, buffer: Self::Buffer);
}
