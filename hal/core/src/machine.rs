//! The machine as a device model sees it: physical memory, interrupt lines, and translated DMA.

use crate::{Iova, Pa, StreamId, SubstreamId};

/// The memory system refused an access: nothing decodes the address, or it is not the model's to touch. IHI 0070's "external abort".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BusError;

/// Physical memory, addressed the way the memory system decodes it. Every access of a model ends here.
pub trait PhysMemory {
    /// Reads `out.len()` bytes.
    ///
    /// # Errors
    /// [`BusError`] if any byte is out of reach; `out` is then unspecified.
    fn read(&mut self, at: Pa, out: &mut [u8]) -> Result<(), BusError>;
    /// Writes `data`. A 4-byte write may be a message-signalled interrupt.
    ///
    /// # Errors
    /// [`BusError`] if any byte is out of reach; nothing is then written.
    fn write(&mut self, at: Pa, data: &[u8]) -> Result<(), BusError>;
    /// Reads an aligned 64-bit word in one access.
    ///
    /// # Errors
    /// [`BusError`] if out of reach.
    fn read64(&mut self, at: Pa) -> Result<u64, BusError>;
    /// Reads aligned 64-bit words that follow each other, each in one access, in rising order.
    ///
    /// # Errors
    /// [`BusError`] if any of them is out of reach; `out` is then unspecified.
    #[inline]
    fn read_words(&mut self, at: Pa, out: &mut [u64]) -> Result<(), BusError> {
        for (i, word) in out.iter_mut().enumerate() {
            *word = self.read64(Pa(at.0 + 8 * i as u64))?;
        }
        Ok(())
    }
    /// Writes an aligned 64-bit word in one access.
    ///
    /// # Errors
    /// [`BusError`] if out of reach.
    fn write64(&mut self, at: Pa, value: u64) -> Result<(), BusError>;
    /// Stores `new` if the aligned 64-bit word equals `current`; returns the word found.
    ///
    /// # Errors
    /// [`BusError`] if out of reach.
    fn compare_exchange64(&mut self, at: Pa, current: u64, new: u64) -> Result<u64, BusError>;
}

/// A block's interrupt outputs, numbered by its own spec crate.
pub trait IrqLines {
    /// Gives line `line` one edge.
    fn pulse(&mut self, line: u32);
}

/// Who makes a transaction: what the SMMU looks at besides the address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Requester {
    /// StreamID of the function.
    pub stream: StreamId,
    /// SubstreamID, if the transaction carries one (SSV = 1).
    pub substream: Option<SubstreamId>,
    /// Privileged access. PCIe without a PASID prefix is never privileged.
    pub privileged: bool,
}

/// Identifies one stalled transaction until it is resumed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StallTag {
    /// StreamID of the stalled transaction.
    pub stream: StreamId,
    /// STAG of its event record.
    pub stag: u16,
}

/// How software resolved a stall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Translate again.
    Retry,
    /// End with an abort.
    Abort,
    /// End as if done: reads return zero, writes are dropped.
    ReadZeroWriteIgnore,
}

/// A DMA access did not complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DmaError {
    /// It was terminated; the SMMU has recorded why, if configured to.
    Abort,
    /// It waits for software. Repeat the same access once the tag was resumed with [`Verdict::Retry`].
    Stalled(StallTag),
}

/// Memory as an engine sees it: through the SMMU. Accesses may cross pages; an access that fails may have been done in part, and repeating it is harmless.
pub trait DmaPort {
    /// Reads `out.len()` bytes from `from`.
    ///
    /// # Errors
    /// See [`DmaError`].
    fn read(&mut self, who: Requester, from: Iova, out: &mut [u8]) -> Result<(), DmaError>;
    /// Writes `data` to `to`.
    ///
    /// # Errors
    /// See [`DmaError`].
    fn write(&mut self, who: Requester, to: Iova, data: &[u8]) -> Result<(), DmaError>;
}
