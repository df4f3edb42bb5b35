//! How the driver learns that a CMD_SYNC is complete (IHI 0070, sections 3.18, 4.7.3).

use hal::{DmaBuffer, DmaMapper};
use smmu_spec::command::SyncSignal;

use crate::error::SmmuError;
use crate::features::{Features, Refusal};

/// How completion of commands is noticed. In all cases a deadline bounds the wait, and CMDQ_CONS has the last word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completion {
    /// CMDQ_CONS is polled.
    Poll,
    /// The SMMU writes a message into memory, which is polled instead of a register. Needs IDR0.MSI and coherent memory.
    Message,
    /// As `Message` where the SMMU can, else as `Poll`.
    MessageOrPoll,
    /// The SMMU sends an event to waiting CPUs (needs IDR0.SEV): it ends the `wfe` that the clock's `relax` may be. CMDQ_CONS is read then.
    Event,
    /// The SMMU raises its command interrupt: it ends the `wfi` that the clock's `relax` may be. CMDQ_CONS is read then.
    Interrupt,
}

impl Completion {
    /// What it comes to on this SMMU.
    pub(crate) fn settle(self, features: &Features) -> Result<Self, Refusal> {
        let has_messages = features.has_msi && features.is_coherent;
        match self {
            Self::Message if !has_messages => Err(Refusal::NoMessages),
            Self::MessageOrPoll => Ok(if has_messages { Self::Message } else { Self::Poll }),
            Self::Event if !features.has_wake_event => Err(Refusal::NoWakeEvent),
            other => Ok(other),
        }
    }
}

/// Where messages arrive: one word, which holds the number of the last complete CMD_SYNC.
pub(crate) struct Mailbox<B> {
    word: B,
    sequence: u32,
}

/// Normal write-back memory, inner shareable: how the message is written.
const INNER_SHAREABLE: u8 = 3;
const WRITE_BACK: u8 = 0xf;
/// A line of its own.
const BYTES: usize = 64;

impl<B: DmaBuffer> Mailbox<B> {
    pub(crate) fn new<M: DmaMapper<Buffer = B>>(memory: &M) -> Result<Self, SmmuError> {
        Ok(Self { word: memory.alloc(BYTES, BYTES)?, sequence: 0 })
    }

    pub(crate) fn free<M: DmaMapper<Buffer = B>>(self, memory: &M) {
        memory.free(self.word);
    }

    /// The signal of the next CMD_SYNC. Numbers differ from one to the next, so that an old message is not taken for a new one.
    pub(crate) fn next(&mut self) -> SyncSignal {
        self.sequence = self.sequence.wrapping_add(1);
        SyncSignal::Irq {
            address: self.word.device_address().0,
            data: self.sequence,
            shareability: INNER_SHAREABLE,
            attributes: WRITE_BACK,
        }
    }

    /// True if the message of the last CMD_SYNC has come.
    pub(crate) fn has_arrived(&self) -> bool {
        self.word.read64(0) as u32 == self.sequence
    }
}
