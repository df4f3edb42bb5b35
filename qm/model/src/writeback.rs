//! CACHE_WB: the contexts that the device keeps inside go out to the backing tables.

use hal::{DmaError, DmaPort, StallTag, Verdict};
use qm_spec::{CONTEXT_BYTES, context_to_bytes};

use crate::QmModel;
use crate::counters::bump;
use crate::registers::Latency;

/// A write-back under way.
pub struct WriteBack {
    /// The next context: SQC of queue n/2 if even, CQC if odd.
    next: Option<u32>,
    waits: Option<StallTag>,
    pub done: Latency,
}

impl WriteBack {
    pub const fn new() -> Self {
        Self { next: None, waits: None, done: Latency::never() }
    }
    pub fn waits_for(&self, tag: StallTag) -> bool {
        self.waits == Some(tag)
    }
}

impl<const QUEUES: usize, const FUNCTIONS: usize> QmModel<QUEUES, FUNCTIONS> {
    pub(crate) fn start_write_back(&mut self, f: usize, dma: &mut impl DmaPort) {
        if self.functions[f].write_back.next.is_none() {
            self.functions[f].write_back = WriteBack { next: Some(0), ..WriteBack::new() };
            self.write_contexts(f, None, dma);
        }
    }

    pub(crate) fn resume_write_back(&mut self, f: usize, verdict: Verdict, dma: &mut impl DmaPort) {
        self.functions[f].write_back.waits = None;
        self.write_contexts(f, Some(verdict), dma);
    }

    fn write_contexts(&mut self, f: usize, mut verdict: Option<Verdict>, dma: &mut impl DmaPort) {
        let (sqc_table, cqc_table) = self.functions[f].mailbox.tables();
        while let Some(next) = self.functions[f].write_back.next {
            let qn = (next / 2) as usize;
            if qn >= usize::from(self.share_of(f)) {
                self.functions[f].write_back.next = None;
                self.functions[f].write_back.done = Latency::after(self.config.latency_reads);
                return;
            }
            let version = self.config.version;
            let at = self.device_queue(f, qn as u16);
            let (table, words) = if next % 2 == 0 {
                (sqc_table.filter(|_| self.sq[at].fields().is_some()), self.sq[at].context(version))
            } else {
                (cqc_table.filter(|_| self.cq[at].fields().is_some()), self.cq[at].context(version))
            };
            if let Some(table) = table {
                let at = table.wrapping_add((qn * CONTEXT_BYTES) as u64);
                match self.access(f, verdict.take()).write(dma, at, &context_to_bytes(&words)) {
                    Ok(()) => {}
                    Err(DmaError::Stalled(tag)) => {
                        bump(&mut self.counters.stalls);
                        self.functions[f].write_back.waits = Some(tag);
                        return;
                    }
                    Err(DmaError::Abort) => self.write_refused(dma),
                }
            }
            self.functions[f].write_back.next = Some(next + 1);
        }
    }
}
