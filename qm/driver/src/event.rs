//! Interrupts of the event queue and the asynchronous event queue (F.5).

use hal::{Clock, DmaBuffer, DmaMapper, QueueId, RegisterWindow};
use qm_spec::regs::function::DOORBELL_EQ_AEQ;
use qm_spec::{AEQE_BYTES, Aeqe, AeqeType, Doorbell, DoorbellLayout, EQE_BYTES, Eqe};

use crate::{Qm, QpState};

/// What one pass over the event queue found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EventReport {
    /// Queues that were handed to the caller.
    pub queues: u32,
    /// Entries that named no queue of ours, or one that is not started.
    pub stray: u32,
}

/// Something went wrong with a queue or with the function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AsyncEvent {
    /// A queue's completions were not consumed. Its user has been told to submit nothing; call [`Qm::disable_queue`].
    CqOverflow(QueueId),
    /// A queue's completion could not be delivered, or its user misused it. As above.
    CqeError(QueueId),
    /// Events of the function were lost: stop and start it.
    EqOverflow,
    /// A type that no version documents.
    Unknown {
        /// Queue number as the device wrote it.
        queue: u16,
        /// Type.
        kind: AeqeType,
    },
    /// An entry for a queue that does not exist or is not started.
    Stray {
        /// Queue number as the device wrote it.
        queue: u16,
    },
}

impl<W: RegisterWindow, C: Clock, M: DmaMapper, const QUEUES: usize> Qm<W, C, M, QUEUES> {
    pub(crate) fn ring_events(&self, doorbell: Doorbell) {
        self.registers.write64(DOORBELL_EQ_AEQ.offset(), doorbell.encode(DoorbellLayout::V2));
    }

    fn aeq_offset(&self) -> usize {
        (EQE_BYTES * usize::from(self.capabilities.depths.eq)).next_multiple_of(32)
    }

    /// Answers an EQ interrupt: calls `served` for each queue with new completions, at most half the ring in one pass, then rings the EQ doorbell,
    /// which lets the next interrupt come. An interrupt with nothing new is counted.
    pub fn handle_eq(&mut self, mut served: impl FnMut(QueueId)) -> EventReport {
        let mut report = EventReport::default();
        self.statistics.eq_interrupts = self.statistics.eq_interrupts.wrapping_add(1);
        let (Some(memory), Some(mut eq)) = (&self.function_memory, self.eq) else { return report };
        let most = (eq.depth_entries() / 2 - 1).max(1);
        let mut found = 0;
        while found < most {
            let eqe = Eqe::decode(memory.read32(usize::from(eq.head()) * EQE_BYTES));
            if !eq.is_new(eqe.phase) {
                break;
            }
            // Completions that the caller looks at next may not be older than this entry.
            self.mapper.dma_rmb();
            eq.advance();
            found += 1;
            let queue = QueueId(eqe.cqn);
            match self.queues.get(usize::from(eqe.cqn)) {
                Some(qp) if eqe.cqn < self.queue_count && qp.state == QpState::Started => {
                    report.queues += 1;
                    served(queue);
                }
                _ => report.stray += 1,
            }
        }
        self.eq = Some(eq);
        self.ring_events(Doorbell::eq(eq.head()));
        self.statistics.stray_events = self.statistics.stray_events.wrapping_add(report.stray);
        if found == 0 {
            self.statistics.spurious_eq_interrupts = self.statistics.spurious_eq_interrupts.wrapping_add(1);
        }
        report
    }

    /// Answers an AEQ interrupt: calls `happened` for each entry, then rings the AEQ doorbell. A queue with an error gets its TX-stop word at once;
    /// stopping it may take long and is left to the caller.
    pub fn handle_aeq(&mut self, mut happened: impl FnMut(AsyncEvent)) {
        self.statistics.aeq_interrupts = self.statistics.aeq_interrupts.wrapping_add(1);
        let base = self.aeq_offset();
        let Some(mut aeq) = self.aeq else { return };
        // A pass is bounded by a lap: more cannot be there, whatever the device writes.
        for _ in 0..aeq.depth_entries() {
            let Some(memory) = &self.function_memory else { return };
            let aeqe = Aeqe::decode(memory.read32(base + usize::from(aeq.head()) * AEQE_BYTES));
            if !aeq.is_new(aeqe.phase) {
                break;
            }
            self.mapper.dma_rmb();
            aeq.advance();
            let queue = QueueId(aeqe.queue);
            let known = matches!(self.queue_state(queue), QpState::Started | QpState::Stopping);
            let event = match aeqe.kind {
                AeqeType::EQ_OVERFLOW => AsyncEvent::EqOverflow,
                AeqeType::CQ_OVERFLOW | AeqeType::CQE_ERROR if !known => AsyncEvent::Stray { queue: aeqe.queue },
                AeqeType::CQ_OVERFLOW => AsyncEvent::CqOverflow(queue),
                AeqeType::CQE_ERROR => AsyncEvent::CqeError(queue),
                kind => AsyncEvent::Unknown { queue: aeqe.queue, kind },
            };
            match event {
                AsyncEvent::CqOverflow(queue) | AsyncEvent::CqeError(queue) => self.forbid_submissions(queue),
                AsyncEvent::Stray { .. } => self.statistics.stray_events = self.statistics.stray_events.wrapping_add(1),
                AsyncEvent::EqOverflow | AsyncEvent::Unknown { .. } => {}
            }
            happened(event);
        }
        self.aeq = Some(aeq);
        self.ring_events(Doorbell::aeq(aeq.head()));
    }
}
