//! What the library needs from the machine below it.

use hal::Barriers;
use uacce_abi::Kernel;

/// A mapped region of a queue: memory shared with the device, or its doorbell page.
///
/// Offsets are bytes, naturally aligned and inside the region. Each access is one load or store of that width.
pub trait SharedRegion {
    /// Reads 32 bits.
    fn read32(&self, offset: usize) -> u32;
    /// Writes 64 bits: the doorbell.
    fn write64(&self, offset: usize, value: u64);
    /// Writes a submission entry at `offset`, a multiple of 8.
    fn write_entry(&self, offset: usize, words: &[u64; 16]);
    /// Reads a submission entry at `offset`, a multiple of 8.
    fn read_entry(&self, offset: usize, words: &mut [u64; 16]);
}

/// The kernel below, the barriers of the CPU, and mapped regions as memory.
pub trait System: Kernel + Barriers {
    /// A mapped region.
    type Region: SharedRegion;

    /// The region that the kernel has mapped at `at` for this queue.
    fn region(&self, at: u64, len_bytes: usize) -> Self::Region;
    /// Tells the machine that the caller spins.
    fn relax(&self);
}
