//! Device registers as a driver sees them.

/// One device's register block. Offsets are bytes from its base; accesses are naturally aligned and single-copy atomic.
///
/// On target this is an MMIO mapping, in host tests the model itself. Implementations order the accesses of one CPU among themselves,
/// but order nothing against memory: see [`Barriers`](crate::Barriers).
pub trait RegisterWindow {
    /// Reads a 32-bit register.
    fn read32(&self, offset: u64) -> u32;
    /// Writes a 32-bit register.
    fn write32(&self, offset: u64, value: u32);
    /// Reads a 64-bit register in one access.
    fn read64(&self, offset: u64) -> u64;
    /// Writes a 64-bit register in one access.
    fn write64(&self, offset: u64, value: u64);
    /// Writes 16 bytes in one access (a store pair): `low` at `offset`, `high` at `offset + 8`.
    fn write128(&self, offset: u64, low: u64, high: u64);
}

impl<W: RegisterWindow + ?Sized> RegisterWindow for &W {
    fn read32(&self, offset: u64) -> u32 {
        (**self).read32(offset)
    }
    fn write32(&self, offset: u64, value: u32) {
        (**self).write32(offset, value);
    }
    fn read64(&self, offset: u64) -> u64 {
        (**self).read64(offset)
    }
    fn write64(&self, offset: u64, value: u64) {
        (**self).write64(offset, value);
    }
    fn write128(&self, offset: u64, low: u64, high: u64) {
        (**self).write128(offset, low, high);
    }
}
