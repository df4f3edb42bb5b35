//! The HiSilicon queue manager (QM) as hardware: one function's registers, queues, events, interrupts and configuration space.
#![no_std]
#![forbid(unsafe_code)]

mod config;

pub use config::QmConfig;

use hal::{DmaError, DmaPort, StallTag, StreamId, SubstreamId, Verdict};

/// A memory BAR of the function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bar {
    /// Registers.
    Bar2,
    /// Doorbell pages, one of 64 KiB per queue.
    Bar4,
}

/// One submission entry handed to the engine.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Queue.
    pub qn: u16,
    /// Slot of the entry in its ring.
    pub sq_index: u16,
    /// Algorithm type of the queue: for ZIP 0 compress, 1 decompress.
    pub alg_type: u8,
    /// StreamID of the function.
    pub stream: StreamId,
    /// Address space of what the entry points to, as the queue's context enables it (version 3).
    pub substream: Option<SubstreamId>,
    /// The context's PASID field whether enabled or not: on version 2 the engine's bus attribute (SSV) decides if it is used.
    pub pasid: SubstreamId,
    /// The queue's life in which the entry was fetched.
    pub generation: u32,
    /// The entry; words past the queue's entry length are 0.
    pub sqe: [u32; 32],
}

/// What became of a finished task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completion {
    /// Entry and completion are written.
    Delivered,
    /// The bus stalled: the model keeps the rest and goes on in [`QmModel::resume`].
    Parked,
    /// The queue was stopped or reloaded meanwhile; nothing was written.
    Dropped,
}

/// One function of a queue manager with up to `QUEUES` queues.
pub struct QmModel<const QUEUES: usize = 1024> {
    config: QmConfig,
}

impl<const QUEUES: usize> QmModel<QUEUES> {
    /// Makes a function in its reset state.
    pub const fn new(config: QmConfig) -> Self {
        Self { config }
    }
    /// The configuration.
    pub const fn config(&self) -> &QmConfig {
        &self.config
    }
    /// Reads `bytes` (1, 2, 4 or 8) at `offset` of a BAR. BAR2 covers 0 to 0x17ffff and 0x300000 to 0x300fff.
    pub fn mmio_read(&mut self, _bar: Bar, _offset: u64, _bytes: u8) -> u64 {
        0
    }
    /// Writes `bytes` (1, 2, 4 or 8) at `offset` of a BAR.
    pub fn mmio_write(&mut self, _bar: Bar, _offset: u64, _bytes: u8, _value: u64, _dma: &mut impl DmaPort) {}
    /// Writes 16 bytes at once to BAR2.
    pub fn mmio_write128(&mut self, _offset: u64, _low: u64, _high: u64, _dma: &mut impl DmaPort) {}
    /// Reads configuration space; `bytes` 1, 2 or 4.
    pub fn config_read(&self, _offset: u16, _bytes: u8) -> u32 {
        0
    }
    /// Writes configuration space; `bytes` 1, 2 or 4. A vector that is unmasked here may send its pending message.
    pub fn config_write(&mut self, _offset: u16, _bytes: u8, _value: u32, _dma: &mut impl DmaPort) {}
    /// Length in bytes of a BAR, 0 if the function does not have it.
    pub const fn bar_bytes(&self, _bar: Bar) -> u64 {
        0
    }
    /// Finds what a PCI memory address selects; `None` if memory decode is off or no BAR matches.
    pub fn decode(&self, _pci_address: u64) -> Option<(Bar, u64)> {
        None
    }
    /// True if some queue has an entry that [`next_task`](Self::next_task) could take.
    pub fn has_task(&self) -> bool {
        false
    }
    /// Takes the next runnable entry, at most one in flight per queue.
    pub fn next_task(&mut self, _dma: &mut impl DmaPort) -> Option<Task> {
        None
    }
    /// Takes back a finished task: writes the entry, then its completion, then event and interrupt if armed.
    ///
    /// # Errors
    /// [`DmaError::Abort`] if the bus refused the entry or the completion; the queue is then halted and the error reported.
    pub fn complete(&mut self, _task: &Task, _dma: &mut impl DmaPort) -> Result<Completion, DmaError> {
        Ok(Completion::Dropped)
    }
    /// True if one of the model's own accesses waits for this stall.
    pub fn waits_for(&self, _tag: StallTag) -> bool {
        false
    }
    /// Goes on with the access that waited for `tag`; false if none did.
    pub fn resume(&mut self, _tag: StallTag, _verdict: Verdict, _dma: &mut impl DmaPort) -> bool {
        false
    }
    /// Sends the abnormal interrupt for an error that the engine reports.
    pub fn engine_error(&mut self, _dma: &mut impl DmaPort) {}
    /// True if configuration space lets the function emit transactions.
    pub fn bus_master(&self) -> bool {
        false
    }
    /// Puts everything behind configuration space back to its reset state.
    pub fn reset(&mut self) {}
}
