//! What the library needs from the machine below it.

use hal::Barriers;
use qm_spec::DusLayout;
use uacce_abi::Kernel;
use zip_spec::Sqe;

/// Where the kernel has mapped the regions of a queue, and what lies where in them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueRegions {
    /// Address of the shared region: rings and stop words. As long as `layout` says.
    pub dus: u64,
    /// Layout of the shared region.
    pub layout: DusLayout,
    /// Submission entries of 128 bytes.
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

/// The mapped memory of one queue. Each access is one load or store, of an entry 8 of 128 bits; none orders anything.
///
/// An index outside its ring panics.
pub trait QueueMemory {
    /// True once the queue takes no more submissions.
    fn is_tx_stopped(&self) -> bool;
    /// True once no more completions will come.
    fn is_rx_stopped(&self) -> bool;
    /// Writes a submission entry.
    fn write_entry(&self, index: u32, sqe: &Sqe);
    /// Reads a submission entry back.
    fn read_entry(&self, index: u32, into: &mut Sqe);
    /// Reads dword 2 of a completion entry.
    fn completion_dw2(&self, index: u32) -> u32;
    /// Reads dword 3 of a completion entry: the phase.
    fn completion_dw3(&self, index: u32) -> u32;
    /// Stores to the doorbell.
    fn ring_doorbell(&self, word: u64);
}

/// The kernel below, the barriers of the CPU, and mapped regions as memory.
pub trait System: Kernel + Barriers {
    /// The mapped memory of a queue.
    type Memory: QueueMemory;

    /// Takes the regions that the kernel has just mapped for a queue.
    fn queue_memory(&self, regions: &QueueRegions) -> Self::Memory;
    /// Tells the machine that the caller spins.
    fn relax(&self);
}
