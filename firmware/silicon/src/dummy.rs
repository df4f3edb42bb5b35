//! The dummy engine's function: a queue manager of its own beside the accelerator's, on a machine that asks for it. A machine that does not has an
//! empty place on the bus there.

use dummy_spec::{PF_DEVICE, QUEUES};
use firmware_platform::DUMMY_RID;
use hal::{DmaPort, StallTag, StreamId, Verdict};
use qm_model::{Bar, QmConfig, QmModel, Task};
use qm_spec::QmVersion;

use crate::bus::MAILBOX;
use crate::reset::ResetService;

/// Its queue manager: one function.
pub type DummyQm = QmModel<QUEUES, 1>;

/// The function.
pub struct Dummy {
    is_present: bool,
    qm: DummyQm,
    reset: ResetService,
}

impl Dummy {
    /// An empty place.
    pub const fn new() -> Self {
        let mut config = QmConfig::new(QmVersion::V3, StreamId(DUMMY_RID), PF_DEVICE);
        config.latency_reads = 1;
        // A process can arm as often as it likes: with it, none makes the event queue overflow.
        config.one_event_outstanding = true;
        Self { is_present: false, qm: QmModel::new(config), reset: ResetService::new() }
    }

    /// Puts the function on the bus, before anybody has looked.
    pub fn appear(&mut self, pasid_bits: Option<u8>) {
        self.is_present = true;
        if let Some(bits) = pasid_bits {
            self.qm.set_pasid_width(bits);
        }
    }

    /// True if it is on the bus.
    #[inline(always)]
    pub const fn is_present(&self) -> bool {
        self.is_present
    }

    /// What the platform's reset works on.
    pub const fn reset_parts(&mut self) -> (&mut ResetService, &mut DummyQm) {
        (&mut self.reset, &mut self.qm)
    }

    /// Its queue manager, for the engine.
    pub const fn qm_mut(&mut self) -> &mut DummyQm {
        &mut self.qm
    }

    /// Reads configuration space; an empty place reads as ones.
    pub fn config_read(&self, register: u16, bytes: u8) -> u32 {
        if self.is_present { self.qm.config_read(register, bytes) } else { u32::MAX }
    }

    /// Writes configuration space.
    pub fn config_write(&mut self, register: u16, bytes: u8, value: u32, dma: &mut impl DmaPort) {
        if self.is_present {
            self.qm.config_write(register, bytes, value, dma);
        }
    }

    /// Which register a PCI address is. Without memory decode, and so in an empty place, there is none.
    fn decode(&self, address: u64) -> Option<(Bar, u64)> {
        self.qm.decode(address)
    }

    /// Answers a load; ones if the address is not its.
    pub fn read(&mut self, address: u64, bytes: u8) -> u64 {
        self.decode(address).map_or(u64::MAX, |(bar, offset)| self.qm.mmio_read(bar, offset, bytes))
    }

    /// Takes a store.
    pub fn write(&mut self, address: u64, bytes: u8, value: u64, dma: &mut impl DmaPort) {
        if let Some((bar, offset)) = self.decode(address) {
            self.qm.mmio_write(bar, offset, bytes, value, dma);
        }
    }

    /// Takes a 16-byte store; false if it is not the mailbox.
    pub fn write_pair(&mut self, address: u64, low: u64, high: u64, dma: &mut impl DmaPort) -> bool {
        let is_mailbox = self.decode(address) == Some((Bar::Bar2, MAILBOX));
        if is_mailbox {
            self.qm.mmio_write128(MAILBOX, low, high, dma);
        }
        is_mailbox
    }

    /// Goes on with the queue manager's own access that waited for `tag`, if one did.
    pub fn resume(&mut self, tag: StallTag, verdict: Verdict, dma: &mut impl DmaPort) {
        if self.qm.waits_for(tag) {
            self.qm.resume(tag, verdict, dma);
        }
    }

    /// True if a request waits for the engine.
    pub fn has_task(&self) -> bool {
        self.is_present && self.qm.has_task()
    }

    /// True if the engine may move data for a request.
    pub fn may_transfer(&self, task: &Task) -> bool {
        self.qm.may_transfer(task)
    }
}
