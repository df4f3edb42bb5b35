//! Bandwidth: which function the engine serves next.
//!
//! The model has no time, so a shaper entry is a weight and not a cap: while several functions have work, each gets engine work in proportion to
//! its rate; one that is alone gets everything. Inside a function higher queue priorities are served first, equal ones in turn.

use qm_spec::regs::pf::{SHAPER_CFG, SHAPER_CFG_FIELDS};
use qm_spec::{QmVersion, ShaperFields, VftType};

use crate::QmModel;
use crate::ready::LEVELS;

/// Virtual time that one unit of work costs at weight 1.
const SCALE: u64 = 1 << 32;

impl<const QUEUES: usize, const FUNCTIONS: usize> QmModel<QUEUES, FUNCTIONS> {
    /// Notes whether a device queue has something to run.
    #[inline(always)]
    pub(crate) fn set_ready(&mut self, at: usize, ready: bool) {
        if self.sq[at].is_listed != ready {
            self.change_ready(at, ready);
        }
    }

    /// The rare half of it, out of the way of a doorbell.
    #[inline(never)]
    fn change_ready(&mut self, at: usize, ready: bool) {
        self.sq[at].is_listed = ready;
        let level = usize::from(self.sq[at].level) % LEVELS;
        if self.ready[level].set(at as u16, ready) {
            let f = usize::from(self.sq[at].owner) % FUNCTIONS;
            if !ready {
                self.functions[f].ready -= 1;
                if self.functions[f].ready == 0 {
                    self.ready_functions &= !(1 << f);
                }
                self.ready_queues -= 1;
                return;
            }
            if self.functions[f].ready == 0 {
                // Who was idle has no claim to what others used meanwhile.
                let now = self.virtual_now;
                let function = &mut self.functions[f];
                function.virtual_time = function.virtual_time.max(now);
            }
            self.functions[f].ready += 1;
            self.ready_functions |= 1 << f;
            self.ready_queues += 1;
        }
    }

    /// The function to serve next: of those that have work and may emit transactions, the one that has had least.
    pub(crate) fn next_function(&self) -> Option<usize> {
        let mut left = self.ready_functions;
        let mut next = None;
        while left != 0 {
            let f = left.trailing_zeros() as usize % FUNCTIONS;
            left &= left - 1;
            if self.is_enabled(f) && self.functions[f].pci.bus_master() {
                let had = self.functions[f].virtual_time;
                if next.is_none_or(|(_, least)| had < least) {
                    next = Some((f, had));
                }
            }
        }
        next.map(|(f, _)| f)
    }

    /// Takes the next queue to look at out of the ready set.
    pub(crate) fn take_ready(&mut self) -> Option<usize> {
        let f = self.next_function()?;
        self.virtual_now = self.virtual_now.max(self.functions[f].virtual_time);
        let share = self.functions[f].queues();
        for level in (0..LEVELS).rev() {
            if let Some(qn) = self.ready[level].next(share.clone(), self.functions[f].cursors[level]) {
                self.functions[f].cursors[level] = qn + 1;
                self.set_ready(usize::from(qn), false);
                return Some(usize::from(qn));
            }
        }
        None
    }

    /// Charges a function for engine work.
    pub(crate) fn charge(&mut self, f: usize, alg_type: u8, units: u64) {
        let cost = SCALE / self.weight(f, alg_type) * units;
        self.functions[f].virtual_time = self.functions[f].virtual_time.saturating_add(cost);
    }

    /// Weight of a function: its shaper rate, or the highest where nothing shapes.
    fn weight(&self, f: usize, alg_type: u8) -> u64 {
        let shapes = self.config.version == QmVersion::V3 && self.storage.get(SHAPER_CFG) & SHAPER_CFG_FIELDS::ENABLE::SET.value != 0;
        let entry = self.vft.get(VftType::SHAPER, f, alg_type);
        match ShaperFields::decode(entry) {
            Some(fields) if shapes => fields.weight().max(1),
            _ => ShaperFields::FULL.weight(),
        }
    }
}
