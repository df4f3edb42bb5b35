//! The VFT: queue shares per function, and shaper entries.

use qm_spec::{CQC_VFT, SqcVft, VftType, regs::pf};

use crate::counters::bump;
use crate::registers::Latency;
use crate::{QmModel, Violation};

const ENTRIES: usize = qm_spec::MAX_VFS as usize + 1;

/// The tables, and the register operation on them.
pub struct Vft {
    sqc: [u64; ENTRIES],
    cqc: [u64; ENTRIES],
    shaper: [[u64; ENTRIES]; 2],
    pub ready: Latency,
}

impl Vft {
    pub const fn new() -> Self {
        Self { sqc: [0; ENTRIES], cqc: [0; ENTRIES], shaper: [[0; ENTRIES]; 2], ready: Latency::done() }
    }

    /// A function's SQC entry.
    pub const fn entry(&self, f: usize) -> u64 {
        self.sqc[f % ENTRIES]
    }

    /// An entry of any table; algorithm types past the second share its shaper.
    pub fn get(&self, table: VftType, f: usize, alg_type: u8) -> u64 {
        match table {
            VftType::SQC => self.sqc[f % ENTRIES],
            VftType::CQC => self.cqc[f % ENTRIES],
            _ => self.shaper[usize::from(alg_type).min(1)][f % ENTRIES],
        }
    }

    /// Share of a function: none unless both entries are valid and the share lies inside a device of `total` queues.
    fn share(&self, f: usize, total: u16) -> (u16, u16) {
        match SqcVft::decode(self.sqc[f]) {
            Some(vft)
                if self.cqc[f] & CQC_VFT::VALID::SET.value != 0 && u32::from(vft.first) + u32::from(vft.count) <= u32::from(total) =>
            {
                (vft.first, vft.count)
            }
            _ => (0, 0),
        }
    }

    /// True if an SQC entry would give queues away that another function's valid entry names.
    fn overlaps(&self, f: usize, entry: u64) -> bool {
        let Some(new) = SqcVft::decode(entry) else { return false };
        self.sqc.iter().enumerate().filter(|(other, _)| *other != f).filter_map(|(_, entry)| SqcVft::decode(*entry)).any(|old| {
            u32::from(new.first) < u32::from(old.first) + u32::from(old.count)
                && u32::from(old.first) < u32::from(new.first) + u32::from(new.count)
        })
    }

    fn cell(&mut self, table: VftType, address: u32) -> Option<&mut u64> {
        let f = address as usize % ENTRIES;
        match (table, address >> 6) {
            (VftType::SQC, 0) => Some(&mut self.sqc[f]),
            (VftType::CQC, 0) => Some(&mut self.cqc[f]),
            (VftType::SHAPER, alg @ 0..=1) => Some(&mut self.shaper[alg as usize][f]),
            _ => None,
        }
    }
}

impl<const QUEUES: usize, const FUNCTIONS: usize> QmModel<QUEUES, FUNCTIONS> {
    /// Executes the operation that the VFT registers describe. Without an initialised memory it never becomes ready. An entry that takes queues
    /// of another function is not taken.
    pub(crate) fn execute_vft(&mut self) {
        if !self.memory_ready.is_done() {
            self.log(Violation::VftBeforeMemory);
            self.vft.ready = Latency::never();
            return;
        }
        if self.vft.ready.is_under_way() {
            self.log(Violation::VftWhileBusy);
        }
        let table = VftType(self.storage.get(pf::VFT_CFG_TYPE));
        let address = self.storage.get(pf::VFT_CFG);
        let reads = self.storage.get(pf::VFT_CFG_OP_WR) & 1 == 1;
        let data = u64::from(self.storage.get(pf::VFT_CFG_DATA_L)) | u64::from(self.storage.get(pf::VFT_CFG_DATA_H)) << 32;
        let f = address as usize % ENTRIES;
        if !reads && table == VftType::SQC && address >> 6 == 0 && self.vft.overlaps(f, data) {
            bump(&mut self.counters.shares_refused);
            self.log(Violation::ShareOverlaps { function: f as u8 });
        } else if let Some(cell) = self.vft.cell(table, address) {
            if reads {
                let entry = *cell;
                self.storage.set(pf::VFT_CFG_DATA_L, entry as u32);
                self.storage.set(pf::VFT_CFG_DATA_H, (entry >> 32) as u32);
            } else {
                *cell = data;
                if f < FUNCTIONS {
                    self.take_share(f);
                }
            }
        }
        self.vft.ready = Latency::after(self.config.latency_reads);
    }

    /// Brings a function's share up to date. Queues of a share that changed end.
    fn take_share(&mut self, f: usize) {
        let (first, count) = self.vft.share(f, QUEUES as u16);
        if (first, count) != (self.functions[f].first, self.functions[f].count) {
            if self.share_in_use(f) {
                self.log(Violation::ShareWhileLive { function: f as u8 });
            }
            self.end_share(f);
            self.functions[f].first = first;
            self.functions[f].count = count;
            self.functions[f].cursors = [first; crate::ready::LEVELS];
        }
    }
}
