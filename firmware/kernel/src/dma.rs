//! Memory shared with devices: physical runs for the SMMU itself, and runs behind an IOVA for everything that the SMMU translates.

use firmware_kerncore::frames::FRAME_BYTES;
use hal::{AllocError, Barriers, DmaBuffer, DmaMapper, Iova, Pa};
use hal_aarch64::SystemBarriers;

use crate::domain::DomainId;
use crate::memory::Room;
use crate::{domain, memory};

/// Frames in a row, and the address by which the device knows them.
#[derive(Debug)]
pub struct Buffer {
    base: Pa,
    device: Iova,
    len_bytes: usize,
    frames: usize,
    room: Room,
}

impl Buffer {
    fn new((base, frames): (Pa, usize), device: Iova, len_bytes: usize) -> Self {
        Self { base, device, len_bytes, frames, room: Room::new(base, len_bytes) }
    }

    fn at(&self, offset: usize, bytes: usize) -> Pa {
        assert!(offset <= self.len_bytes && bytes <= self.len_bytes - offset, "access outside the buffer");
        Pa(self.base.0 + offset as u64)
    }

    /// Copies into its beginning.
    ///
    /// # Panics
    /// If it is shorter.
    pub(crate) fn copy_in(&self, data: &[u8]) {
        memory::copy_to(self.at(0, data.len()), data);
    }

    /// Copies its beginning out.
    ///
    /// # Panics
    /// If it is shorter.
    pub(crate) fn copy_out(&self, into: &mut [u8]) {
        memory::copy_from(self.at(0, into.len()), into);
    }

    fn alloc_frames(len_bytes: usize, align: usize) -> Result<(Pa, usize), AllocError> {
        if len_bytes == 0 || !align.is_power_of_two() {
            return Err(AllocError::BadShape);
        }
        let frames = len_bytes.div_ceil(FRAME_BYTES as usize);
        let base = memory::alloc_run(frames, (align as u64).max(FRAME_BYTES)).ok_or(AllocError::OutOfMemory)?;
        Ok((base, frames))
    }
}

impl DmaBuffer for Buffer {
    fn device_address(&self) -> Iova {
        self.device
    }
    fn len_bytes(&self) -> usize {
        self.len_bytes
    }
    fn physical_address(&self) -> Option<Pa> {
        Some(self.base)
    }
    fn read8(&self, offset: usize) -> u8 {
        self.room.load8(offset)
    }
    fn write8(&self, offset: usize, value: u8) {
        self.room.store8(offset, value);
    }
    fn read16(&self, offset: usize) -> u16 {
        self.room.load16(offset)
    }
    fn write16(&self, offset: usize, value: u16) {
        self.room.store16(offset, value);
    }
    fn read32(&self, offset: usize) -> u32 {
        self.room.load32(offset)
    }
    fn write32(&self, offset: usize, value: u32) {
        self.room.store32(offset, value);
    }
    fn read64(&self, offset: usize) -> u64 {
        self.room.load64(offset)
    }
    fn write64(&self, offset: usize, value: u64) {
        self.room.store64(offset, value);
    }
    fn zero(&self, offset: usize, len_bytes: usize) {
        memory::zero(self.at(offset, len_bytes), len_bytes);
    }
}

/// Memory for the SMMU's own structures: device addresses are physical addresses.
#[derive(Clone, Copy, Default, Debug)]
pub struct PhysicalMemory;

impl Barriers for PhysicalMemory {
    fn dma_wmb(&self) {
        SystemBarriers.dma_wmb();
    }
    fn dma_rmb(&self) {
        SystemBarriers.dma_rmb();
    }
}

impl DmaMapper for PhysicalMemory {
    type Buffer = Buffer;

    fn alloc(&self, len_bytes: usize, align: usize) -> Result<Buffer, AllocError> {
        let (base, frames) = Buffer::alloc_frames(len_bytes, align)?;
        Ok(Buffer::new((base, frames), Iova(base.0), len_bytes))
    }
    fn free(&self, buffer: Buffer) {
        memory::free_run(buffer.base, buffer.frames);
    }
}

/// By which addresses a device reaches the kernel's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DeviceAddresses {
    /// IOVAs of a domain.
    Domain(DomainId),
    /// Physical addresses: nothing translates.
    Physical,
}

/// Memory for devices: behind the SMMU each allocation has its own IOVA range in a domain of the kernel's, by default in the common one.
#[derive(Clone, Copy, Debug)]
pub struct DomainMemory(pub(crate) DeviceAddresses);

impl Default for DomainMemory {
    fn default() -> Self {
        Self(DeviceAddresses::Domain(DomainId::default()))
    }
}

impl Barriers for DomainMemory {
    fn dma_wmb(&self) {
        SystemBarriers.dma_wmb();
    }
    fn dma_rmb(&self) {
        SystemBarriers.dma_rmb();
    }
}

impl DmaMapper for DomainMemory {
    type Buffer = Buffer;

    fn alloc(&self, len_bytes: usize, align: usize) -> Result<Buffer, AllocError> {
        let (base, frames) = Buffer::alloc_frames(len_bytes, align)?;
        let DeviceAddresses::Domain(id) = self.0 else {
            return Ok(Buffer::new((base, frames), Iova(base.0), len_bytes));
        };
        match domain::map_memory_in(id, base, frames as u64 * FRAME_BYTES, align as u64) {
            Ok(device) => Ok(Buffer::new((base, frames), device, len_bytes)),
            Err(error) => {
                memory::free_run(base, frames);
                Err(error)
            }
        }
    }

    fn free(&self, buffer: Buffer) {
        // A range that could not be invalidated may still be reached by the device: its frames are lost rather than reused.
        let is_out_of_reach = match self.0 {
            DeviceAddresses::Domain(id) => domain::unmap_in(id, buffer.device, buffer.frames as u64 * FRAME_BYTES).is_ok(),
            DeviceAddresses::Physical => true,
        };
        if is_out_of_reach {
            memory::free_run(buffer.base, buffer.frames);
        }
    }
}
