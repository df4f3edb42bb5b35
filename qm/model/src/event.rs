//! Event queue and asynchronous event queue: entries into memory, one message per arming.

use hal::{DmaError, DmaPort, Iova, StallTag, Verdict};
use heapless::Deque;
use qm_spec::{Aeqe, AeqeType, BadIndex, ContextWords, EqcFields, Eqe, RingCursors, vector};

use crate::QmModel;
use crate::counters::bump;

/// The function's ring of events or of asynchronous events.
pub struct EventRing {
    fields: Option<(EqcFields, RingCursors)>,
    /// A message is due at the next entry.
    armed: bool,
    /// An entry was written since the last doorbell.
    source: bool,
    masked: bool,
    overflowed: bool,
    waits: Option<StallTag>,
    /// Entries written and entries consumed in this life, modulo 2^32.
    written: u32,
    consumed: u32,
}

impl EventRing {
    pub const fn new() -> Self {
        Self { fields: None, armed: false, source: false, masked: true, overflowed: false, waits: None, written: 0, consumed: 0 }
    }

    /// Begins a life with this context; false, and nothing changed, if the context contradicts itself.
    pub fn load(&mut self, fields: EqcFields) -> bool {
        let Some(ring) = RingCursors::at(fields.depth_entries, fields.head, fields.tail, false, false) else { return false };
        *self = Self { fields: Some((fields, ring)), masked: self.masked, ..Self::new() };
        true
    }

    /// The context as a dump shows it; all zero if none was loaded.
    pub fn context(&self) -> ContextWords {
        let Some((fields, ring)) = &self.fields else { return [0; 8] };
        EqcFields { head: ring.head(), tail: ring.tail(), ..*fields }.encode()
    }

    pub const fn source(&self) -> bool {
        self.source
    }
    pub const fn masked(&self) -> bool {
        self.masked
    }

    /// Sets the mask; true if that lets a waiting interrupt out.
    pub fn set_mask(&mut self, masked: bool) -> bool {
        let released = self.masked && !masked && self.source;
        self.masked = masked;
        released
    }

    pub fn waits_for(&self, tag: StallTag) -> bool {
        self.waits == Some(tag)
    }

    /// Software consumed up to `head`: clears the source and arms, or asks for another message (true) if entries are left.
    fn doorbell(&mut self, head: u16) -> Result<bool, Option<BadIndex>> {
        let Some((_, ring)) = self.fields.as_mut() else { return Err(None) };
        let freed = ring.move_head(head).map_err(Some)?;
        self.consumed = self.consumed.wrapping_add(freed);
        self.source = !ring.is_empty();
        self.armed = !self.source;
        Ok(self.source && !self.masked)
    }

    /// Where the next entry goes and its phase; `None` if there is no ring or no room.
    fn slot(&self) -> Option<(Iova, bool)> {
        let (fields, ring) = self.fields.as_ref()?;
        let at = fields.base.wrapping_add(u64::from(ring.tail()) * qm_spec::EQE_BYTES as u64);
        (!ring.is_full()).then_some((at, fields.phase ^ ring.tail_wrap()))
    }

    /// True if software has not consumed entry number `written` yet.
    const fn is_outstanding(&self, written: u32) -> bool {
        self.consumed.wrapping_sub(written) as i32 <= 0
    }

    /// An entry was written; true if a message is due.
    fn note_written(&mut self) -> bool {
        if let Some((_, ring)) = self.fields.as_mut() {
            ring.push();
        }
        self.written = self.written.wrapping_add(1);
        let due = self.armed;
        if due {
            self.armed = false;
            self.source = true;
        }
        due && !self.masked
    }
}

/// Completion events that wait for the ring, in order; a completion queue is in it at most once.
pub struct EventFifo<const QUEUES: usize>(Deque<u16, QUEUES>);

impl<const QUEUES: usize> EventFifo<QUEUES> {
    pub const fn new() -> Self {
        Self(Deque::new())
    }
}

/// Asynchronous events that wait for the ring; a queue is in it at most once, the event queue's overflow beside it.
pub struct AsyncFifo<const QUEUES: usize> {
    queues: Deque<u16, QUEUES>,
    eq_overflow: bool,
}

impl<const QUEUES: usize> AsyncFifo<QUEUES> {
    pub const fn new() -> Self {
        Self { queues: Deque::new(), eq_overflow: false }
    }
}

impl<const QUEUES: usize, const FUNCTIONS: usize> QmModel<QUEUES, FUNCTIONS> {
    /// Notes that completion queue `cqn` has something new, and writes what can be written.
    pub(crate) fn raise_event(&mut self, f: usize, cqn: u16, dma: &mut impl DmaPort) {
        let at = self.device_queue(f, cqn);
        if self.config.one_event_outstanding && self.cq[at].last_event.is_some_and(|entry| self.functions[f].eq.is_outstanding(entry)) {
            if !self.cq[at].event_again {
                self.cq[at].event_again = true;
                self.functions[f].events_again += 1;
            }
            return;
        }
        if !self.cq[at].event_waits && self.functions[f].events.0.push_back(cqn).is_ok() {
            self.cq[at].event_waits = true;
        }
        self.pump_events(f, None, dma);
    }

    /// Notes an error of queue `qn`, and writes what can be written.
    pub(crate) fn raise_async_event(&mut self, f: usize, qn: u16, kind: AeqeType, dma: &mut impl DmaPort) {
        let at = self.device_queue(f, qn);
        if self.sq[at].error.is_none() && self.functions[f].async_events.queues.push_back(qn).is_ok() {
            self.sq[at].error = Some(kind.0);
        }
        self.pump_async_events(f, None, dma);
    }

    pub(crate) fn resume_event(&mut self, f: usize, verdict: Verdict, dma: &mut impl DmaPort) {
        self.functions[f].eq.waits = None;
        self.pump_events(f, Some(verdict), dma);
    }

    pub(crate) fn resume_async_event(&mut self, f: usize, verdict: Verdict, dma: &mut impl DmaPort) {
        self.functions[f].aeq.waits = None;
        self.pump_async_events(f, Some(verdict), dma);
    }

    fn pump_events(&mut self, f: usize, mut verdict: Option<Verdict>, dma: &mut impl DmaPort) {
        while self.functions[f].eq.waits.is_none()
            && let Some(&cqn) = self.functions[f].events.0.front()
        {
            let Some((at, phase)) = self.functions[f].eq.slot() else {
                if self.functions[f].eq.fields.is_some() && !self.functions[f].eq.overflowed {
                    self.functions[f].eq.overflowed = true;
                    self.functions[f].async_events.eq_overflow = true;
                    self.pump_async_events(f, None, dma);
                }
                self.lose_event(f);
                continue;
            };
            if self.functions[f].eq.overflowed {
                self.lose_event(f);
                continue;
            }
            let entry = Eqe { cqn, phase }.encode().to_le_bytes();
            match self.access(f, verdict.take()).write(dma, at, &entry) {
                Ok(()) => {
                    self.functions[f].events.0.pop_front();
                    let at = self.device_queue(f, cqn);
                    self.cq[at].event_waits = false;
                    self.cq[at].last_event = Some(self.functions[f].eq.written);
                    bump(&mut self.hardware.eqes);
                    if self.functions[f].eq.note_written() {
                        self.send_message(f, vector::EQ, dma);
                    }
                }
                Err(DmaError::Stalled(tag)) => {
                    bump(&mut self.counters.stalls);
                    self.functions[f].eq.waits = Some(tag);
                }
                Err(DmaError::Abort) => {
                    self.lose_event(f);
                    self.write_refused(dma);
                }
            }
        }
    }

    fn lose_event(&mut self, f: usize) {
        if let Some(cqn) = self.functions[f].events.0.pop_front() {
            let at = self.device_queue(f, cqn);
            self.cq[at].event_waits = false;
            bump(&mut self.counters.events_lost);
        }
    }

    fn pump_async_events(&mut self, f: usize, mut verdict: Option<Verdict>, dma: &mut impl DmaPort) {
        while self.functions[f].aeq.waits.is_none() {
            let (queue, kind) = if self.functions[f].async_events.eq_overflow {
                (0, AeqeType::EQ_OVERFLOW)
            } else if let Some(&qn) = self.functions[f].async_events.queues.front() {
                let Some(kind) = self.sq[self.device_queue(f, qn)].error else {
                    // The queue was loaded again before its error could be told.
                    self.functions[f].async_events.queues.pop_front();
                    continue;
                };
                (qn, AeqeType(kind))
            } else {
                return;
            };
            let Some((at, phase)) = self.functions[f].aeq.slot() else { return };
            let entry = Aeqe { queue, phase, kind }.encode().to_le_bytes();
            let result = self.access(f, verdict.take()).write(dma, at, &entry);
            if let Err(DmaError::Stalled(tag)) = result {
                bump(&mut self.counters.stalls);
                self.functions[f].aeq.waits = Some(tag);
                return;
            }
            if kind == AeqeType::EQ_OVERFLOW && self.functions[f].async_events.eq_overflow {
                self.functions[f].async_events.eq_overflow = false;
            } else {
                self.functions[f].async_events.queues.pop_front();
                let at = self.device_queue(f, queue);
                self.sq[at].error = None;
            }
            match result {
                Ok(()) => {
                    bump(&mut self.hardware.aeqes);
                    if self.functions[f].aeq.note_written() {
                        self.send_message(f, vector::AEQ, dma);
                    }
                }
                Err(_) => self.write_refused(dma),
            }
        }
    }

    /// EQ doorbell.
    ///
    /// # Errors
    /// What is wrong with the position; `None` if there is no such queue.
    pub(crate) fn eq_doorbell(&mut self, f: usize, head: u16, dma: &mut impl DmaPort) -> Result<(), Option<BadIndex>> {
        if self.functions[f].eq.doorbell(head)? {
            self.send_message(f, vector::EQ, dma);
        }
        self.release_events(f);
        self.pump_events(f, None, dma);
        Ok(())
    }

    /// Lets the events go that waited until software had consumed their queue's last one.
    fn release_events(&mut self, f: usize) {
        if self.functions[f].events_again == 0 {
            return;
        }
        for at in self.functions[f].queues() {
            let cq = &mut self.cq[at];
            if cq.event_again && !cq.last_event.is_some_and(|entry| self.functions[f].eq.is_outstanding(entry)) {
                cq.event_again = false;
                self.functions[f].events_again -= 1;
                let cqn = at as u16 - self.functions[f].first;
                if !cq.event_waits && self.functions[f].events.0.push_back(cqn).is_ok() {
                    cq.event_waits = true;
                }
            }
        }
    }

    /// AEQ doorbell.
    ///
    /// # Errors
    /// What is wrong with the position; `None` if there is no such queue.
    pub(crate) fn aeq_doorbell(&mut self, f: usize, head: u16, dma: &mut impl DmaPort) -> Result<(), Option<BadIndex>> {
        if self.functions[f].aeq.doorbell(head)? {
            self.send_message(f, vector::AEQ, dma);
        }
        self.pump_async_events(f, None, dma);
        Ok(())
    }

    /// Loads an event queue context; events of the old life are forgotten.
    pub(crate) fn load_eqc(&mut self, f: usize, fields: EqcFields) -> bool {
        if !self.functions[f].eq.load(fields) {
            return false;
        }
        self.functions[f].events = EventFifo::new();
        self.functions[f].events_again = 0;
        for cq in &mut self.cq[self.functions[f].queues()] {
            (cq.event_waits, cq.event_again, cq.last_event) = (false, false, None);
        }
        self.functions[f].async_events.eq_overflow = false;
        true
    }

    /// Loads an asynchronous event queue context; events of the old life are forgotten.
    pub(crate) fn load_aeqc(&mut self, f: usize, fields: EqcFields) -> bool {
        if !self.functions[f].aeq.load(fields) {
            return false;
        }
        while let Some(qn) = self.functions[f].async_events.queues.pop_front() {
            let at = self.device_queue(f, qn);
            self.sq[at].error = None;
        }
        true
    }
}
