//! The table walker and what it keeps: TLB and walk cache, the retention policy, its counts, the log of broken rules.
//!
//! It knows no configuration: whoever asks lends it the stages. So a context can be used where it stands, in a cache or decoded a moment
//! ago, while its tables are walked.

use crate::policy::{Policy, Retention};
use crate::tlb::{Entry, Tlb};
use crate::violation::{Violation, ViolationLog};

pub(crate) struct Walker {
    pub tlb: Tlb,
    pub retention: Retention,
    /// Walks begun.
    pub walks: u64,
    /// Translations that a TLB entry served or denied.
    pub tlb_hits: u64,
    pub log: ViolationLog,
}

impl Walker {
    pub const fn new(policy: Policy) -> Self {
        Self { tlb: Tlb::new(), retention: Retention::new(policy), walks: 0, tlb_hits: 0, log: ViolationLog::new() }
    }

    /// Keeps a translation, if anything is kept.
    #[inline]
    pub fn keep(&mut self, entry: &Entry) {
        if self.retention.caches() && self.tlb.insert(entry) {
            self.log.push(Violation::WithoutBreak { address: entry.page << 12 });
        }
    }
}
