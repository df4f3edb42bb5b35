//! The VFT: queue shares per function, and shaper entries.

use qm_spec::{CQC_VFT, SqcVft, VftType, regs::pf};

use crate::QmModel;
use crate::registers::Latency;

const FUNCTIONS: usize = qm_spec::MAX_VFS as usize + 1;

/// The tables, and the register operation on them.
pub struct Vft {
    sqc: [u64; FUNCTIONS],
    cqc: [u64; FUNCTIONS],
    shaper: [[u64; FUNCTIONS]; 2],
    /// Queues of the physical function, as its entries say: every doorbell looks at it.
    share: u16,
    pub ready: Latency,
}

impl Vft {
    pub const fn new() -> Self {
        Self { sqc: [0; FUNCTIONS], cqc: [0; FUNCTIONS], shaper: [[0; FUNCTIONS]; 2], share: 0, ready: Latency::done() }
    }

    /// This function's SQC entry.
    pub const fn own_entry(&self) -> u64 {
        self.sqc[0]
    }

    /// Queues of the physical function.
    #[inline(always)]
    pub const fn share(&self) -> u16 {
        self.share
    }

    /// Decodes the share anew: none unless both entries are valid and the share lies inside a device of `total` queues.
    fn divide(&mut self, total: u16) {
        self.share = match SqcVft::decode(self.sqc[0]) {
            Some(vft)
                if self.cqc[0] & CQC_VFT::VALID::SET.value != 0 && u32::from(vft.first) + u32::from(vft.count) <= u32::from(total) =>
            {
                vft.count
            }
            _ => 0,
        };
    }

    fn cell(&mut self, table: VftType, address: u32) -> Option<&mut u64> {
        let function = address as usize % FUNCTIONS;
        match (table, address >> 6) {
            (VftType::SQC, 0) => Some(&mut self.sqc[function]),
            (VftType::CQC, 0) => Some(&mut self.cqc[function]),
            (VftType::SHAPER, alg @ 0..=1) => Some(&mut self.shaper[alg as usize][function]),
            _ => None,
        }
    }
}

impl<const QUEUES: usize> QmModel<QUEUES> {
    /// Executes the operation that the VFT registers describe. Without an initialised memory it never becomes ready.
    pub(crate) fn execute_vft(&mut self) {
        if !self.memory_ready.is_done() {
            self.vft.ready = Latency::never();
            return;
        }
        let table = VftType(self.storage.get(pf::VFT_CFG_TYPE));
        let address = self.storage.get(pf::VFT_CFG);
        let reads = self.storage.get(pf::VFT_CFG_OP_WR) & 1 == 1;
        let data = u64::from(self.storage.get(pf::VFT_CFG_DATA_L)) | u64::from(self.storage.get(pf::VFT_CFG_DATA_H)) << 32;
        if let Some(cell) = self.vft.cell(table, address) {
            if reads {
                let entry = *cell;
                self.storage.set(pf::VFT_CFG_DATA_L, entry as u32);
                self.storage.set(pf::VFT_CFG_DATA_H, (entry >> 32) as u32);
            } else {
                *cell = data;
                self.vft.divide(QUEUES as u16);
                self.end_queues_from(self.queue_count());
            }
        }
        self.vft.ready = Latency::after(self.config.latency_reads);
    }

    /// Ends the queues that are not this function's any more.
    fn end_queues_from(&mut self, first: u16) {
        for qn in first..QUEUES as u16 {
            if self.sq[usize::from(qn)].fields().is_some() || self.cq[usize::from(qn)].fields().is_some() {
                self.sq[usize::from(qn)].end_life();
                let waits = self.cq[usize::from(qn)].event_waits;
                self.cq[usize::from(qn)] = crate::queue::CompletionQueue::new();
                self.cq[usize::from(qn)].event_waits = waits;
                self.ready.set(qn, false);
            }
        }
    }
}
