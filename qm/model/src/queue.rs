//! Submission and completion queues as the device keeps them.

use hal::{Iova, StallTag};
use qm_spec::{ContextWords, CqcFields, ORDER_CLOSE, QmVersion, RingCursors, SqcFields};

/// Where a submission queue stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueState {
    /// No context was loaded.
    Absent,
    /// Takes doorbells.
    Running,
    /// Finishes what was submitted and takes nothing more.
    Stopping,
    /// Stopped by software, or loaded closed.
    Stopped,
    /// Stopped by an error.
    Halted,
}

/// What the queue's own traffic waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Nothing.
    Idle,
    /// The fetch of an entry stalled.
    Fetch(StallTag),
    /// An entry was fetched and waits to be taken.
    Fetched,
    /// The write-back of an entry stalled.
    WriteBack(StallTag),
    /// The completion of an entry stalled.
    Complete(StallTag),
}

/// Largest submission entry: 128 bytes.
pub const SQE_WORDS: usize = 32;

/// A submission queue.
pub struct SubmissionQueue {
    state: QueueState,
    fields: Option<(SqcFields, RingCursors)>,
    generation: u32,
    /// Function whose queue this is, from the load on.
    pub owner: u8,
    /// Priority of this life: which ready set the queue waits in.
    pub level: u8,
    /// It is in that ready set. Kept by `set_ready` alone.
    pub is_listed: bool,
    /// Tasks of this queue that the engine holds, of this life or an earlier one.
    pub outstanding: u8,
    pub stage: Stage,
    pub sqe: [u32; SQE_WORDS],
    /// Kind of asynchronous event that waits to be reported.
    pub error: Option<u8>,
    pub fetched_count: u32,
}

impl SubmissionQueue {
    pub const fn new() -> Self {
        Self {
            state: QueueState::Absent,
            fields: None,
            generation: 0,
            owner: 0,
            level: 0,
            is_listed: false,
            outstanding: 0,
            stage: Stage::Idle,
            sqe: [0; SQE_WORDS],
            error: None,
            fetched_count: 0,
        }
    }

    pub const fn state(&self) -> QueueState {
        self.state
    }
    pub const fn generation(&self) -> u32 {
        self.generation
    }
    pub fn fields(&self) -> Option<&SqcFields> {
        self.fields.as_ref().map(|(fields, _)| fields)
    }
    pub fn ring(&self) -> Option<&RingCursors> {
        self.fields.as_ref().map(|(_, ring)| ring)
    }
    pub fn ring_mut(&mut self) -> Option<&mut RingCursors> {
        self.fields.as_mut().map(|(_, ring)| ring)
    }

    /// Moves the tail of a running queue whose random data match; false, with nothing changed, otherwise or if the position is impossible.
    #[inline(always)]
    pub fn take_tail(&mut self, rand: u16, index: u16) -> bool {
        match &mut self.fields {
            Some((fields, ring)) if self.state == QueueState::Running && fields.rand == rand => ring.move_tail(index).is_ok(),
            _ => false,
        }
    }

    /// Begins a life with this context; false, and nothing changed, if the context contradicts itself.
    pub fn load(&mut self, fields: SqcFields, queues: u16, owner: u8) -> bool {
        let sane = (4..=7).contains(&fields.log2_sqe_bytes) && fields.cqn < queues;
        let Some(ring) = RingCursors::at(fields.depth_entries, fields.head, fields.tail, fields.head_wrap, fields.tail_wrap) else {
            return false;
        };
        if !sane {
            return false;
        }
        self.end_life();
        self.state = if fields.order & ORDER_CLOSE != 0 { QueueState::Stopped } else { QueueState::Running };
        self.fields = Some((fields, ring));
        self.owner = owner;
        self.level = fields.priority & 0xf;
        true
    }

    /// Ends the queue's life: what the engine still holds of it will be dropped, what waits inside is forgotten.
    pub fn end_life(&mut self) {
        self.state = QueueState::Absent;
        self.fields = None;
        self.generation = self.generation.wrapping_add(1);
        self.stage = Stage::Idle;
        self.error = None;
        self.fetched_count = 0;
    }

    /// Stops the queue because of an error; its context stays readable.
    pub fn halt(&mut self) {
        self.state = QueueState::Halted;
        self.generation = self.generation.wrapping_add(1);
        self.stage = Stage::Idle;
    }

    /// Takes no more doorbells; what was submitted will still run.
    pub fn begin_stop(&mut self) {
        if self.state == QueueState::Running {
            self.state = QueueState::Stopping;
        }
    }

    /// Turns a stopping queue that has finished everything into a stopped one; true if nothing of it is under way.
    pub fn try_end_stop(&mut self) -> bool {
        if !self.is_quiet() {
            return false;
        }
        match self.state {
            QueueState::Running => false,
            QueueState::Stopping => {
                let drained = self.ring().is_none_or(RingCursors::is_empty);
                if drained {
                    self.state = QueueState::Stopped;
                    self.generation = self.generation.wrapping_add(1);
                }
                drained
            }
            QueueState::Absent | QueueState::Stopped | QueueState::Halted => true,
        }
    }

    /// True while the queue is served.
    pub const fn takes_work(&self) -> bool {
        matches!(self.state, QueueState::Running | QueueState::Stopping)
    }

    /// True if neither the engine nor the bus holds anything of this queue.
    pub fn is_quiet(&self) -> bool {
        self.outstanding == 0 && self.stage == Stage::Idle
    }

    /// True if the next entry could be handed out now.
    #[inline(always)]
    pub fn is_runnable(&self) -> bool {
        matches!(self.state, QueueState::Running | QueueState::Stopping)
            && self.outstanding == 0
            && matches!(self.stage, Stage::Idle | Stage::Fetched)
            && self.ring().is_some_and(|ring| !ring.is_empty())
    }

    pub fn waits_for(&self, tag: StallTag) -> bool {
        matches!(self.stage, Stage::Fetch(t) | Stage::WriteBack(t) | Stage::Complete(t) if t == tag)
    }

    /// Address of the oldest entry, and its length in bytes.
    pub fn head_entry(&self) -> Option<(Iova, usize)> {
        let (fields, ring) = self.fields.as_ref()?;
        let offset = u64::from(ring.head()) << fields.log2_sqe_bytes;
        Some((fields.base.wrapping_add(offset), 1 << fields.log2_sqe_bytes))
    }

    /// The context as a dump shows it; all zero if none was loaded.
    pub fn context(&self, version: QmVersion) -> ContextWords {
        let Some((fields, ring)) = &self.fields else { return [0; 8] };
        let now = SqcFields { head: ring.head(), tail: ring.tail(), head_wrap: ring.head_wrap(), tail_wrap: ring.tail_wrap(), ..*fields };
        now.encode(version)
    }
}

/// A completion queue.
pub struct CompletionQueue {
    fields: Option<(CqcFields, RingCursors)>,
    /// An event is due at the next completion.
    pub armed: bool,
    /// An event waits to be written.
    pub event_waits: bool,
    /// Which entry of the event queue was this queue's last one.
    pub last_event: Option<u32>,
    /// Another event became due before software had consumed the last one: it follows then.
    pub event_again: bool,
    pub written_count: u32,
}

impl CompletionQueue {
    pub const fn new() -> Self {
        Self { fields: None, armed: false, event_waits: false, last_event: None, event_again: false, written_count: 0 }
    }

    pub fn fields(&self) -> Option<&CqcFields> {
        self.fields.as_ref().map(|(fields, _)| fields)
    }
    pub fn ring(&self) -> Option<&RingCursors> {
        self.fields.as_ref().map(|(_, ring)| ring)
    }
    pub fn ring_mut(&mut self) -> Option<&mut RingCursors> {
        self.fields.as_mut().map(|(_, ring)| ring)
    }

    /// Moves the head if the random data match; false, with nothing changed, otherwise or if the position is impossible.
    #[inline(always)]
    pub fn take_head(&mut self, rand: u16, index: u16) -> bool {
        match &mut self.fields {
            Some((fields, ring)) if fields.rand == rand => ring.move_head(index).is_ok(),
            _ => false,
        }
    }

    /// Begins a life with this context; false, and nothing changed, if the context contradicts itself.
    pub fn load(&mut self, fields: CqcFields) -> bool {
        if fields.log2_cqe_bytes != 4 {
            return false;
        }
        let Some(ring) = RingCursors::at(fields.depth_entries, fields.head, fields.tail, fields.head_wrap, fields.tail_wrap) else {
            return false;
        };
        *self = Self { fields: Some((fields, ring)), armed: fields.c_flag, written_count: 0, ..*self };
        true
    }

    /// Address of the next free slot and the phase bit that an entry there must show; `None` if there is no ring.
    pub fn tail_slot(&self) -> Option<(Iova, bool)> {
        let (fields, ring) = self.fields.as_ref()?;
        let at = fields.base.wrapping_add(u64::from(ring.tail()) * qm_spec::CQE_BYTES as u64);
        Some((at, fields.phase ^ ring.tail_wrap()))
    }

    /// The context as a dump shows it; all zero if none was loaded.
    pub fn context(&self, version: QmVersion) -> ContextWords {
        let Some((fields, ring)) = &self.fields else { return [0; 8] };
        let now = CqcFields {
            head: ring.head(),
            tail: ring.tail(),
            head_wrap: ring.head_wrap(),
            tail_wrap: ring.tail_wrap(),
            c_flag: self.armed,
            ..*fields
        };
        now.encode(version)
    }
}
