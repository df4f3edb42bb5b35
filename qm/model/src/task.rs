//! Entries out to the engine and back.

use hal::{DmaError, DmaPort, StreamId, SubstreamId, Verdict};
use qm_spec::{AeqeType, CQE_BYTES, Cqe, RAS};

use crate::counters::bump;
use crate::queue::{QueueState, SQE_WORDS, Stage};
use crate::{QmModel, Violation};

/// One submission entry handed to the engine.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Function: 0 is the physical one.
    pub function: u8,
    /// Queue, in the function's own numbers.
    pub qn: u16,
    /// Queue, in the device's numbers.
    pub device_queue: u16,
    /// Slot of the entry in its ring.
    pub sq_index: u16,
    /// Algorithm type of the queue: for ZIP 0 compress, 1 decompress.
    pub alg_type: u8,
    /// StreamID of the function.
    pub stream: StreamId,
    /// Address space of what the entry points to, as the queue's context enables it (version 3).
    pub substream: Option<SubstreamId>,
    /// The context's PASID field whether enabled or not: on version 2 the engine's bus attribute (SSV) decides if it is used.
    pub pasid: SubstreamId,
    /// The queue's life in which the entry was fetched.
    pub generation: u32,
    /// The entry; words past the queue's entry length are 0.
    pub sqe: [u32; SQE_WORDS],
}

/// What became of a finished task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completion {
    /// Entry and completion are written.
    Delivered,
    /// The bus stalled: the model keeps the rest and goes on in [`QmModel::resume`].
    Parked,
    /// The queue's life ended meanwhile, or there was no room for the completion; the queue, if it still lives, is halted.
    Dropped,
}

impl<const QUEUES: usize, const FUNCTIONS: usize> QmModel<QUEUES, FUNCTIONS> {
    /// True if a queue could be looked at, whether or not its function may.
    #[inline(always)]
    pub const fn has_ready(&self) -> bool {
        self.ready_queues != 0
    }

    /// True if [`next_task`](Self::next_task) has a queue to look at.
    pub fn has_task(&self) -> bool {
        self.issues() && self.next_function().is_some()
    }

    /// Takes the next runnable entry, queues in turn, at most one in flight per queue. Each call ends in [`complete`](Self::complete).
    pub fn next_task(&mut self, dma: &mut impl DmaPort) -> Option<Task> {
        if !self.issues() {
            return None;
        }
        while let Some(at) = self.take_ready() {
            if self.sq[at].is_runnable()
                && self.fetch(at, None, dma)
                && let Some(task) = self.hand_out(at)
            {
                return Some(task);
            }
        }
        None
    }

    /// Reads the oldest entry of a queue into its buffer; false if that stalled or failed.
    fn fetch(&mut self, at: usize, verdict: Option<Verdict>, dma: &mut impl DmaPort) -> bool {
        let sq = &mut self.sq[at];
        if sq.stage == Stage::Fetched {
            return true;
        }
        let Some((from, len)) = sq.head_entry() else { return false };
        let (f, qn) = self.local_queue(at);
        if !self.may_access(at) {
            return false;
        }
        let mut bytes = [0; SQE_WORDS * 4];
        let result = self.access(f, verdict).read(dma, from, &mut bytes[..len]);
        let sq = &mut self.sq[at];
        match result {
            Ok(()) => {
                for (word, chunk) in sq.sqe.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *word = u32::from_le_bytes(*chunk);
                }
                sq.stage = Stage::Fetched;
                true
            }
            Err(DmaError::Stalled(tag)) => {
                bump(&mut self.counters.stalls);
                sq.stage = Stage::Fetch(tag);
                false
            }
            Err(DmaError::Abort) => {
                self.read_refused(dma);
                self.halt_queue(f, qn, AeqeType::CQE_ERROR, dma);
                false
            }
        }
    }

    fn hand_out(&mut self, at: usize) -> Option<Task> {
        let (f, qn) = self.local_queue(at);
        let stream = self.stream_of(f);
        let sq = &mut self.sq[at];
        let sq_index = sq.ring()?.head();
        let fields = *sq.fields()?;
        sq.stage = Stage::Idle;
        sq.outstanding += 1;
        bump(&mut sq.fetched_count);
        bump(&mut self.hardware.sent);
        let pasid = SubstreamId(fields.pasid.into());
        let task = Task {
            function: f as u8,
            qn,
            device_queue: at as u16,
            sq_index,
            alg_type: fields.alg_type,
            stream,
            substream: fields.pasid_enable.then_some(pasid),
            pasid,
            generation: sq.generation(),
            sqe: sq.sqe,
        };
        self.charge(f, task.alg_type, 1);
        Some(task)
    }

    /// Charges a task for the engine work that it took beyond the one unit that every task costs: the currency of the shaper.
    pub fn charge_work(&mut self, task: &Task, units: u64) {
        self.charge(usize::from(task.function) % FUNCTIONS, task.alg_type, units);
    }

    /// True while the queue's life in which a task was taken goes on. The result of any other task will be dropped: the engine may stop early.
    pub fn is_current(&self, task: &Task) -> bool {
        self.sq
            .get(usize::from(task.device_queue))
            .is_some_and(|sq| sq.generation() == task.generation && matches!(sq.state(), QueueState::Running | QueueState::Stopping))
    }

    /// True if the engine may still move data for a task: its queue's life goes on, no error has frozen the bus, its function is bus master.
    pub fn may_transfer(&self, task: &Task) -> bool {
        let is_master = self.functions.get(usize::from(task.function)).is_some_and(|function| function.pci.bus_master());
        is_master && self.is_current(task) && !self.frozen()
    }

    /// Takes back a finished task: writes the entry, then its completion, then event and interrupt if armed.
    ///
    /// # Errors
    /// [`DmaError::Abort`] if the bus refused the entry or the completion; the queue is then halted and the error reported.
    /// A stall is not an error: see [`Completion::Parked`].
    pub fn complete(&mut self, task: &Task, dma: &mut impl DmaPort) -> Result<Completion, DmaError> {
        let at = usize::from(task.device_queue);
        // A bus that an error has frozen carries nothing more: the entry stays where it is, as if it had not been run.
        let alive = self.is_current(task) && !self.frozen();
        let Some(sq) = self.sq.get_mut(at) else { return Ok(Completion::Dropped) };
        sq.outstanding = sq.outstanding.saturating_sub(1);
        bump(&mut self.hardware.finished);
        if !alive {
            self.drop_result(at);
            return Ok(Completion::Dropped);
        }
        sq.sqe = task.sqe;
        self.write_entry(at, None, dma)
    }

    /// Takes back a task that the engine will not finish, because an error of its own has frozen its bus: nothing is written, the entry stays where
    /// it is as if it had not been run.
    pub fn abandon(&mut self, task: &Task) {
        let at = usize::from(task.device_queue);
        if let Some(sq) = self.sq.get_mut(at) {
            sq.outstanding = sq.outstanding.saturating_sub(1);
            self.drop_result(at);
        }
    }

    fn drop_result(&mut self, at: usize) {
        bump(&mut self.counters.results_dropped);
        let runnable = self.sq[at].is_runnable();
        self.set_ready(at, runnable);
        self.poll_stop();
    }

    fn write_entry(&mut self, at: usize, verdict: Option<Verdict>, dma: &mut impl DmaPort) -> Result<Completion, DmaError> {
        let sq = &self.sq[at];
        let (f, qn) = self.local_queue(at);
        let Some((to, len)) = sq.head_entry() else { return Ok(Completion::Dropped) };
        if !self.may_access(at) {
            return Ok(Completion::Dropped);
        }
        let sq = &self.sq[at];
        let mut bytes = [0; SQE_WORDS * 4];
        for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(&sq.sqe) {
            *chunk = word.to_le_bytes();
        }
        match self.access(f, verdict).write(dma, to, &bytes[..len]) {
            Ok(()) => {
                bump(&mut self.hardware.written_back);
                self.write_completion(at, None, dma)
            }
            Err(DmaError::Stalled(tag)) => {
                bump(&mut self.counters.stalls);
                self.sq[at].stage = Stage::WriteBack(tag);
                Ok(Completion::Parked)
            }
            Err(DmaError::Abort) => self.completion_refused(f, qn, dma),
        }
    }

    fn write_completion(&mut self, at: usize, verdict: Option<Verdict>, dma: &mut impl DmaPort) -> Result<Completion, DmaError> {
        let sq = &self.sq[at];
        let (f, qn) = self.local_queue(at);
        let (Some(ring), Some(fields)) = (sq.ring(), sq.fields()) else { return Ok(Completion::Dropped) };
        if !sq.takes_work() {
            self.may_access(at);
            return Ok(Completion::Dropped);
        }
        let (sq_head, cqn) = (ring.head(), fields.cqn);
        let cq_at = self.device_queue(f, cqn);
        let cq = Some(&self.cq[cq_at]).filter(|_| cqn < self.share_of(f));
        let Some((cq, (to, phase))) = cq.and_then(|cq| cq.tail_slot().map(|slot| (cq, slot))) else {
            self.raise(RAS::CQ_VF_INVALID::SET.value, dma);
            bump(&mut self.hardware.cqe_errors);
            self.halt_queue(f, qn, AeqeType::CQE_ERROR, dma);
            return Ok(Completion::Dropped);
        };
        if cq.ring().is_some_and(|ring| ring.is_full()) {
            self.halt_queue(f, qn, AeqeType::CQ_OVERFLOW, dma);
            return Ok(Completion::Dropped);
        }
        let mut bytes = [0; CQE_BYTES];
        for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(Cqe { sq_head, sq_num: qn, phase }.encode()) {
            *chunk = word.to_le_bytes();
        }
        match self.access(f, verdict).write(dma, to, &bytes) {
            Ok(()) => {
                self.finish(at, f, cqn, dma);
                Ok(Completion::Delivered)
            }
            Err(DmaError::Stalled(tag)) => {
                bump(&mut self.counters.stalls);
                self.sq[at].stage = Stage::Complete(tag);
                Ok(Completion::Parked)
            }
            Err(DmaError::Abort) => {
                bump(&mut self.hardware.cqe_errors);
                self.completion_refused(f, qn, dma)
            }
        }
    }

    /// The model's own rule: nothing of a stopped queue's memory is touched. What leads here keeps it; this is the last line.
    fn may_access(&mut self, at: usize) -> bool {
        let may = self.sq[at].takes_work();
        if !may {
            let (f, queue) = self.local_queue(at);
            self.log(Violation::AccessAfterStop { function: f as u8, queue });
        }
        may
    }

    fn completion_refused(&mut self, f: usize, qn: u16, dma: &mut impl DmaPort) -> Result<Completion, DmaError> {
        self.write_refused(dma);
        self.halt_queue(f, qn, AeqeType::CQE_ERROR, dma);
        Err(DmaError::Abort)
    }

    /// The completion is in memory: advances the rings, raises the event, looks at what waits for the queue.
    fn finish(&mut self, at: usize, f: usize, cqn: u16, dma: &mut impl DmaPort) {
        let cq_at = self.device_queue(f, cqn);
        let sq = &mut self.sq[at];
        sq.stage = Stage::Idle;
        if let Some(ring) = sq.ring_mut() {
            ring.pop();
        }
        let runnable = sq.is_runnable();
        self.set_ready(at, runnable);
        bump(&mut self.hardware.cqes);
        let cq = &mut self.cq[cq_at];
        bump(&mut cq.written_count);
        if let Some(ring) = cq.ring_mut() {
            ring.push();
        }
        if cq.armed {
            cq.armed = false;
            self.raise_event(f, cqn, dma);
        }
        self.poll_stop();
    }

    /// Goes on with a queue whose own access had stalled.
    pub(crate) fn resume_queue(&mut self, at: usize, verdict: Verdict, dma: &mut impl DmaPort) {
        let sq = &mut self.sq[at];
        let stage = core::mem::replace(&mut sq.stage, Stage::Idle);
        // An abort is reported by what these calls do to the queue; there is no caller to tell.
        match stage {
            Stage::Fetch(_) => {
                let fetched = self.fetch(at, Some(verdict), dma);
                self.set_ready(at, fetched);
            }
            Stage::WriteBack(_) => {
                let _ = self.write_entry(at, Some(verdict), dma);
            }
            Stage::Complete(_) => {
                let _ = self.write_completion(at, Some(verdict), dma);
            }
            Stage::Idle | Stage::Fetched => sq.stage = stage,
        }
        self.poll_stop();
    }
}
