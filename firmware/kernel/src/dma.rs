//! Memory shared with devices: physical runs for the SMMU itself, and runs behind an IOVA for everything that the SMMU translates.

use firmware_kerncore::frames::FRAME_BYTES;
use hal::{AllocError, Barriers, DmaBuffer, DmaMapper, Iova, Pa};
use hal_aarch64::SystemBarriers;

use crate::{domain, memory};

/// Frames in a row, and the address by which the device knows them.
#[derive(Debug)]
pub struct Buffer {
    base: Pa,
    device: Iova,
    len_bytes: usize,
    frames: usize,
}

impl Buffer {
    fn at(&self, offset: usize, bytes: usize) -> Pa {
        assert!(offset <= self.len_bytes && bytes <= self.len_bytes - offset, "access outside the buffer");
        Pa(self.base.0 + offset as u64)
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
        memory::load8(self.at(offset, 1))
    }
    fn write8(&self, offset: usize, value: u8) {
        memory::store8(self.at(offset, 1), value);
    }
    fn read16(&self, offset: usize) -> u16 {
        memory::load16(self.at(offset, 2))
    }
    fn write16(&self, offset: usize, value: u16) {
        memory::store16(self.at(offset, 2), value);
    }
    fn read32(&self, offset: usize) -> u32 {
        memory::load32(self.at(offset, 4))
    }
    fn write32(&self, offset: usize, value: u32) {
        memory::store32(self.at(offset, 4), value);
    }
    fn read64(&self, offset: usize) -> u64 {
        memory::load64(self.at(offset, 8))
    }
    fn write64(&self, offset: usize, value: u64) {
        memory::store64(self.at(offset, 8), value);
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
        Ok(Buffer { base, device: Iova(base.0), len_bytes, frames })
    }
    fn free(&self, buffer: Buffer) {
        memory::free_run(buffer.base, buffer.frames);
    }
}

/// Memory for devices behind the SMMU: each allocation has its own IOVA range in the kernel's domain.
#[derive(Clone, Copy, Default, Debug)]
pub struct DomainMemory;

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
        match domain::map_memory(base, frames as u64 * FRAME_BYTES, align as u64) {
            Ok(device) => Ok(Buffer { base, device, len_bytes, frames }),
            Err(error) => {
                memory::free_run(base, frames);
                Err(error)
            }
        }
    }

    fn free(&self, buffer: Buffer) {
        // A range that could not be invalidated may still be reached by the device: its frames are lost rather than reused.
        if domain::unmap(buffer.device, buffer.frames as u64 * FRAME_BYTES).is_ok() {
            memory::free_run(buffer.base, buffer.frames);
        }
    }
}
