//! Interrupt messages and the abnormal interrupt.

use hal::{DmaError, DmaPort, StallTag, Verdict};
use qm_spec::{QmVersion, RAS, RAS_ALL, regs::pf, vector};

use crate::QmModel;
use crate::counters::bump;
use crate::function::PF;

/// Messages under way, a bit per vector. What waits behind a mask is the PCI capability's business.
pub struct Msi {
    due: u8,
    waits: [Option<StallTag>; vector::COUNT as usize],
}

impl Msi {
    pub const fn new() -> Self {
        Self { due: 0, waits: [None; vector::COUNT as usize] }
    }
    pub fn forget(&mut self) {
        *self = Self::new();
    }
    pub fn waits_for(&self, tag: StallTag) -> bool {
        self.waits.contains(&Some(tag))
    }
    /// True if a message has not left yet.
    pub fn is_under_way(&self) -> bool {
        self.due != 0 || self.waits.iter().any(Option::is_some)
    }
}

/// Error bits of the function.
pub struct Ras {
    source: u32,
    mask: u32,
    /// What was reported when the message was last sent: only a new bit sends another.
    reported: u32,
}

impl Ras {
    pub const fn new() -> Self {
        Self { source: 0, mask: RAS_ALL, reported: 0 }
    }
    pub const fn source(&self) -> u32 {
        self.source
    }
    pub const fn mask(&self) -> u32 {
        self.mask
    }
    pub const fn status(&self) -> u32 {
        self.source & !self.mask
    }
}

impl<const QUEUES: usize, const FUNCTIONS: usize> QmModel<QUEUES, FUNCTIONS> {
    /// Sends the message of `vector`, or keeps it pending behind its mask.
    pub(crate) fn send_message(&mut self, f: usize, vector: u8, dma: &mut impl DmaPort) {
        self.functions[f].msi.due |= 1 << vector;
        self.pump_messages(f, None, dma);
    }

    pub(crate) fn resume_message(&mut self, f: usize, tag: StallTag, verdict: Verdict, dma: &mut impl DmaPort) {
        for vector in 0..vector::COUNT {
            if self.functions[f].msi.waits[usize::from(vector)] == Some(tag) {
                self.functions[f].msi.waits[usize::from(vector)] = None;
                self.functions[f].msi.due |= 1 << vector;
                self.pump_messages(f, Some((vector, verdict)), dma);
            }
        }
    }

    /// Sends everything that is due. A refused message is an error of its own, whose message may be refused too: it is raised once.
    pub(crate) fn pump_messages(&mut self, f: usize, mut resumed: Option<(u8, Verdict)>, dma: &mut impl DmaPort) {
        while self.functions[f].msi.due != 0 {
            let vector = self.functions[f].msi.due.trailing_zeros() as u8;
            self.functions[f].msi.due &= !(1 << vector);
            if self.functions[f].msi.waits[usize::from(vector)].is_some() {
                continue;
            }
            let Some((at, data)) = self.functions[f].pci.message(vector) else {
                if !self.functions[f].pci.hold_masked(vector) {
                    bump(&mut self.counters.messages_lost);
                }
                continue;
            };
            let verdict = match resumed {
                Some((v, verdict)) if v == vector => {
                    resumed = None;
                    Some(verdict)
                }
                _ => None,
            };
            match self.access(f, verdict).write(dma, at, &data.to_le_bytes()) {
                Ok(()) => {}
                Err(DmaError::Stalled(tag)) => {
                    bump(&mut self.counters.stalls);
                    self.functions[f].msi.waits[usize::from(vector)] = Some(tag);
                }
                Err(DmaError::Abort) => {
                    bump(&mut self.counters.aborts);
                    self.ras.source |= RAS::AXI_BRESP::SET.value;
                    match self.note_abnormal() {
                        true if f == PF => self.functions[f].msi.due |= 1 << vector::ABNORMAL,
                        true => self.send_message(PF, vector::ABNORMAL, dma),
                        false => {}
                    }
                }
            }
        }
    }

    /// Brings the abnormal interrupt up to date; true if a message is due.
    fn note_abnormal(&mut self) -> bool {
        let enabled = self.storage.get(pf::RAS_CE_ENABLE) | self.storage.get(pf::RAS_NFE_ENABLE) | self.storage.get(pf::RAS_FE_ENABLE);
        let reports = self.ras.status() & enabled;
        let new = reports & !self.ras.reported != 0;
        self.ras.reported = reports;
        new
    }

    /// Sends the abnormal message if an enabled, unmasked error is new.
    pub(crate) fn update_abnormal(&mut self, dma: &mut impl DmaPort) {
        if self.note_abnormal() {
            self.send_message(PF, vector::ABNORMAL, dma);
        }
    }

    /// Records errors.
    pub(crate) fn raise(&mut self, bits: u32, dma: &mut impl DmaPort) {
        self.ras.source |= bits & RAS_ALL;
        self.update_abnormal(dma);
    }

    /// Injects errors, as a write of ABNORMAL_INT_SET does.
    pub(crate) fn inject(&mut self, bits: u32, dma: &mut impl DmaPort) {
        if bits & RAS::ECC_1BIT::SET.value != 0 {
            bump(&mut self.hardware.ecc_1bit);
        }
        if bits & RAS::ECC_MBIT::SET.value != 0 {
            bump(&mut self.hardware.ecc_mbit);
        }
        self.raise(bits, dma);
    }

    pub(crate) fn clear_errors(&mut self, bits: u32, dma: &mut impl DmaPort) {
        self.ras.source &= !bits;
        self.update_abnormal(dma);
    }

    pub(crate) fn set_error_mask(&mut self, mask: u32, dma: &mut impl DmaPort) {
        self.ras.mask = mask & RAS_ALL;
        self.update_abnormal(dma);
    }

    /// The bus refused one of the function's writes.
    pub(crate) fn write_refused(&mut self, dma: &mut impl DmaPort) {
        bump(&mut self.counters.aborts);
        self.raise(RAS::AXI_BRESP::SET.value, dma);
    }

    /// The bus refused one of the function's reads.
    pub(crate) fn read_refused(&mut self, dma: &mut impl DmaPort) {
        bump(&mut self.counters.aborts);
        self.raise(RAS::AXI_RRESP::SET.value, dma);
    }

    /// Sends the abnormal interrupt for an error that the engine reports in its own registers.
    pub fn engine_error(&mut self, dma: &mut impl DmaPort) {
        self.send_message(PF, vector::ABNORMAL, dma);
    }

    /// Errors that freeze the bus: selected by a register on version 3, the multi-bit ECC error before.
    pub(crate) fn shutdown_errors(&self) -> u32 {
        match self.config.version {
            QmVersion::V3 => self.storage.get(pf::OOO_SHUTDOWN_SEL),
            _ => RAS::ECC_MBIT::SET.value,
        }
    }
}
