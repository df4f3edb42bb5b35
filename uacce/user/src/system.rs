//! What the library needs from the machine below it.

use hal::Barriers;
use qm_spec::DusLayout;
use uacce_abi::Kernel;
use zip_spec::{SQE_BYTES, Sqe};

/// An entry of a submission ring, before or after completion: words and nothing else.
///
/// An entry begins at a multiple of 8 bytes and is a multiple of 16 bytes long.
pub trait RingEntry: Copy + 'static {
    /// Length in bytes.
    const BYTES: usize;
    /// All words 0.
    const ZERO: Self;

    /// The words of the entry, all of them.
    fn words(&self) -> &[u32];
    /// The words of the entry, all of them, to write.
    fn words_mut(&mut self) -> &mut [u32];
}

impl RingEntry for Sqe {
    const BYTES: usize = SQE_BYTES;
    const ZERO: Self = Self::ZERO;

    #[inline(always)]
    fn words(&self) -> &[u32] {
        &self.0
    }

    #[inline(always)]
    fn words_mut(&mut self) -> &mut [u32] {
        &mut self.0
    }
}

/// Where the kernel has mapped the regions of a queue, and what lies where in them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueRegions {
    /// Address of the shared region: rings and stop words. As long as `layout` says.
    pub dus: u64,
    /// Layout of the shared region.
    pub layout: DusLayout,
    /// Submission entries.
    pub sq_depth: u16,
    /// Completion entries of 16 bytes.
    pub cq_depth: u16,
    /// Address of the doorbell region.
    pub mmio: u64,
    /// Length of the doorbell region in bytes.
    pub mmio_bytes: u64,
    /// Offset of the doorbell in it, in bytes.
    pub doorbell_offset: usize,
}

/// The mapped memory of one queue. Each access is one load or store, of an entry one per 128 bits; none orders anything.
///
/// An index outside its ring panics.
pub trait QueueMemory<E: RingEntry> {
    /// True once the queue takes no more submissions.
    fn is_tx_stopped(&self) -> bool;
    /// True once no more completions will come.
    fn is_rx_stopped(&self) -> bool;
    /// Writes a submission entry.
    fn write_entry(&self, index: u32, entry: &E);
    /// Reads a submission entry back.
    fn read_entry(&self, index: u32, into: &mut E);
    /// Reads dword 2 of a completion entry.
    fn completion_dw2(&self, index: u32) -> u32;
    /// Reads dword 3 of a completion entry: the phase.
    fn completion_dw3(&self, index: u32) -> u32;
    /// Stores to the doorbell.
    fn ring_doorbell(&self, word: u64);
}

/// The kernel below, the barriers of the CPU, and mapped regions as memory.
pub trait System: Kernel + Barriers {
    /// The mapped memory of a queue of entries `E`.
    type Memory<E: RingEntry>: QueueMemory<E>;

    /// Takes the regions that the kernel has just mapped for a queue.
    fn queue_memory<E: RingEntry>(&self, regions: &QueueRegions) -> Self::Memory<E>;
    /// Tells the machine that the caller spins.
    fn relax(&self);
}
