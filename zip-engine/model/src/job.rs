//! One request as a re-entrant step machine: read the entry, bring the data in piece by piece, run the codec, write the data out.
//!
//! Each [`Job::step`] does a bounded piece of work. Between two steps the whole state is in the [`Job`] and its [`EngineMemory`], so a
//! memory access that stalls only parks the job: the phase and its cursors stand still, and the step after [`Job::resume`] repeats that
//! one access.

use hal::{DmaError, DmaPort, Iova, Requester, StallTag, Verdict};
use zip_spec::{Capabilities, Completion, ContextWords, Sqe, Status, dw};

use crate::buffer::{Buffer, BufferError};
use crate::context::Extent;
use crate::decode::{Direction, Plan, Work, decode};
use crate::engine::{CodecStop, EngineMemory, STAGE_BYTES};
use crate::port::{Port, Requesters, piece};
use crate::sequences::open_source;

/// What one step came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Went on; step again.
    Progress,
    /// A memory access waits for software: step again after [`Job::resume`].
    Stalled(StallTag),
    /// The request has ended; here is its entry with the result words written.
    Done([u32; 32]),
}

/// Where the machine stands: the next thing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Prepare the codec, or go and fetch the stream's state.
    Begin,
    /// Read the fixed part of the stream context.
    LoadState,
    /// Read the window of the stream context.
    LoadWindow,
    /// Bring input into the stage.
    Fill,
    /// Run the codec between the stages.
    Code,
    /// Write the output stage out.
    Drain,
    /// Look for more output room.
    OpenDestination,
    /// Lay the stream's state out for saving.
    Export,
    /// Write the stream context back.
    Save,
    /// Write the result words.
    Finish,
    /// Nothing.
    Done,
}

/// Why the data phase is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    /// All input is used up, and the codec wants more or has flushed.
    InputUsed,
    /// There is more to write, and no room.
    OutputFull,
    /// The stream is complete.
    StreamEnd,
    /// It cannot go on.
    Failed(Status),
}

/// Why a phase stopped before its end.
pub(crate) enum Break {
    Stall(StallTag),
    Fail(Status),
}

/// The bytes of a stage that are in use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Staged {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Staged {
    pub(crate) fn len(self) -> usize {
        self.end - self.start
    }
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A request under way.
#[derive(Debug)]
pub struct Job {
    sqe: Sqe,
    direction: Direction,
    who: Requesters,
    core: Option<usize>,
    work: Result<Work, Status>,
    phase: Phase,
    ending: Option<Ending>,
    verdict: Option<Verdict>,
    stalled: Option<StallTag>,
    /// Source bytes that are not in the stage yet.
    source_left: u32,
    /// Destination bytes that are not promised to the stage yet: what remains of the entry's room.
    room_left: u32,
    input: Staged,
    output: Staged,
    consumed: u32,
    produced: u32,
    /// Stream offset at which this request began, in the codec's count of input bytes.
    base_in: u64,
    /// Bytes of the current context transfer that are done.
    moved: usize,
    /// Context extents to save, in order.
    extents: [Extent; 3],
    extent: usize,
    words: ContextWords,
    /// The codec has been set up for this request: before, it still holds what the last job left.
    is_codec_ready: bool,
}

impl Job {
    /// Begins a request on an engine of revision 0x30: see [`ZipCore::accept`](crate::ZipCore::accept), which also counts and routes.
    ///
    /// `who` makes every access to data, lists and stream context.
    pub fn start(sqe: [u32; 32], direction: Direction, who: Requester) -> Self {
        Self::with_capabilities(sqe, direction, who, &Capabilities::V3)
    }

    /// Begins a request on an engine of another revision.
    pub fn with_capabilities(sqe: [u32; 32], direction: Direction, who: Requester, capabilities: &Capabilities) -> Self {
        let who = Requesters { read: who, write: who, list: who };
        Self { core: None, ..Self::on_core(Sqe(sqe), direction, who, capabilities, 0) }
    }

    /// Begins a request on a core.
    pub(crate) fn on_core(sqe: Sqe, direction: Direction, who: Requesters, capabilities: &Capabilities, core: usize) -> Self {
        let work = decode(&sqe, direction, capabilities);
        let (source_left, room_left) = match &work {
            Ok(Work::Deflate(plan)) => (plan.source_bytes, plan.room_bytes),
            _ => (0, 0),
        };
        Self {
            sqe,
            direction,
            who,
            core: Some(core),
            work,
            phase: Phase::Begin,
            ending: None,
            verdict: None,
            stalled: None,
            source_left,
            room_left,
            input: Staged::default(),
            output: Staged::default(),
            consumed: 0,
            produced: 0,
            base_in: 0,
            moved: 0,
            extents: [Extent::EMPTY; 3],
            extent: 0,
            words: ContextWords::default(),
            is_codec_ready: false,
        }
    }

    /// A request that no core takes: it ends with `status` at the first step.
    pub(crate) fn refused(sqe: Sqe, status: Status) -> Self {
        let nobody = Requester { stream: hal::StreamId(0), substream: None, privileged: false };
        let who = Requesters { read: nobody, write: nobody, list: nobody };
        let mut job = Self::on_core(sqe, Direction::Compress, who, &Capabilities::V3, 0);
        job.core = None;
        job.work = Err(status);
        job
    }

    /// True if the entry broke no rule that can be told from the entry alone.
    pub const fn is_well_formed(&self) -> bool {
        self.work.is_ok()
    }

    /// Bytes consumed and produced so far.
    pub const fn moved_bytes(&self) -> (u32, u32) {
        match &self.work {
            Ok(Work::Sequences(job)) => job.moved_bytes(),
            _ => (self.consumed, self.produced),
        }
    }

    /// Leaves long literal runs out of dw31, as `LIT_LEN_EN` says.
    pub(crate) fn withhold_long_literals(&mut self) {
        if let Ok(Work::Sequences(job)) = &mut self.work {
            job.tells_long_literals = false;
        }
    }

    /// True once the request has ended.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    pub(crate) const fn core(&self) -> Option<usize> {
        self.core
    }

    /// Answers the stall that the last step reported.
    ///
    /// With `Retry` the access is repeated by the next step; with `Abort` the request ends with the status of an aborted access; with
    /// `ReadZeroWriteIgnore` that one access counts as done, reading zeros.
    pub fn resume(&mut self, verdict: Verdict) {
        if self.stalled.take().is_some() {
            self.verdict = Some(verdict);
        }
    }

    /// Does one bounded piece of work. `engine` must be the same from the first step to the last, and serve no other job meanwhile.
    pub fn step(&mut self, dma: &mut impl DmaPort, engine: &mut EngineMemory) -> Step {
        if let Some(tag) = self.stalled {
            return Step::Stalled(tag);
        }
        if self.phase == Phase::Done {
            return Step::Done(self.sqe.0);
        }
        let mut verdict = self.verdict.take();
        let mut port = Port::new(dma, &mut verdict, self.who);
        let outcome = match &mut self.work {
            Ok(Work::Deflate(plan)) => {
                let mut plan = *plan;
                let outcome = self.run(&mut plan, &mut port, engine);
                self.work = Ok(Work::Deflate(plan));
                outcome
            }
            Ok(Work::Sequences(job)) => {
                let outcome = job.step(&mut port, engine);
                if job.is_done() || matches!(outcome, Err(Break::Fail(_))) {
                    self.finish_sequences(&outcome);
                    Ok(())
                } else {
                    outcome
                }
            }
            Err(status) => {
                self.ending = Some(Ending::Failed(*status));
                self.finish(engine);
                Ok(())
            }
        };
        match outcome {
            Ok(()) if self.phase == Phase::Done => Step::Done(self.sqe.0),
            Ok(()) => Step::Progress,
            Err(Break::Stall(tag)) => {
                self.stalled = Some(tag);
                Step::Stalled(tag)
            }
            Err(Break::Fail(status)) => {
                self.fail(status);
                Step::Progress
            }
        }
    }

    /// Writes the result words of a request for sequences.
    fn finish_sequences(&mut self, outcome: &Result<(), Break>) {
        let Ok(Work::Sequences(job)) = &self.work else { return };
        let (consumed, produced, literals) = job.result();
        let status = match outcome {
            Err(Break::Fail(status)) => *status,
            _ => job.status(),
        };
        self.sqe.set_context_words(job.words());
        self.sqe.0[dw::ISIZE] = 0;
        self.sqe.0[dw::CHECKSUM] = job.overflow_word();
        self.sqe.set_result(consumed, produced, status, false);
        self.sqe.0[dw::COMP_DATA_LENGTH] = literals;
        self.phase = Phase::Done;
    }

    fn run<D: DmaPort>(&mut self, plan: &mut Plan, port: &mut Port<'_, D>, engine: &mut EngineMemory) -> Result<(), Break> {
        match self.phase {
            Phase::Begin => self.begin(plan, engine),
            Phase::LoadState => self.load_state(plan, port, engine),
            Phase::LoadWindow => self.load_window(plan, port, engine),
            Phase::Fill => self.fill(plan, port, engine),
            Phase::Code => self.code(plan, engine),
            Phase::Drain => self.drain(plan, port, engine),
            Phase::OpenDestination => self.open_destination(plan, port),
            Phase::Export => self.export(plan, engine),
            Phase::Save => self.save(plan, port, engine),
            Phase::Finish => {
                self.finish(engine);
                Ok(())
            }
            Phase::Done => Ok(()),
        }
    }

    /// Ends the request with an error. Output that is good is still written, unless writing is what failed.
    fn fail(&mut self, status: Status) {
        let is_first = !matches!(self.ending, Some(Ending::Failed(_)));
        if is_first {
            self.ending = Some(Ending::Failed(status));
        }
        let can_write = self.phase == Phase::Fill || self.phase == Phase::Code;
        self.phase = if is_first && can_write && !self.output.is_empty() { Phase::Drain } else { Phase::Finish };
    }

    fn begin(&mut self, plan: &Plan, engine: &mut EngineMemory) -> Result<(), Break> {
        if plan.is_no_op {
            // The words travel back unchanged: the stream has not moved.
            self.words = self.sqe.context_words();
            self.phase = Phase::Finish;
            return Ok(());
        }
        match plan.stream {
            Some(stream) if !stream.is_new => self.phase = Phase::LoadState,
            _ => {
                engine.reset_codec(self.direction, plan);
                self.is_codec_ready = true;
                self.phase = Phase::Fill;
            }
        }
        Ok(())
    }

    fn load_state<D: DmaPort>(&mut self, plan: &Plan, port: &mut Port<'_, D>, engine: &mut EngineMemory) -> Result<(), Break> {
        let extent = Extent::STATE;
        self.move_context(
            plan,
            extent,
            |at, range, port: &mut Port<'_, D>| port.read(port.who.read, at, &mut engine.context[range]),
            port,
        )?;
        let window_bytes = engine.parse_header(self.direction, plan.container).ok_or(Break::Fail(Status::BAD_CONTEXT))?;
        self.extents[0] = Extent::window(window_bytes);
        self.phase = Phase::LoadWindow;
        Ok(())
    }

    fn load_window<D: DmaPort>(&mut self, plan: &Plan, port: &mut Port<'_, D>, engine: &mut EngineMemory) -> Result<(), Break> {
        let extent = self.extents[0];
        self.move_context(
            plan,
            extent,
            |at, range, port: &mut Port<'_, D>| port.read(port.who.read, at, &mut engine.context[range]),
            port,
        )?;
        engine.import_codec(self.direction, plan).map_err(|_| Break::Fail(Status::BAD_CONTEXT))?;
        self.is_codec_ready = true;
        self.base_in = engine.total_in(self.direction);
        self.phase = Phase::Fill;
        Ok(())
    }

    /// Moves one extent between the stream context and its image, piece by piece from where the last attempt stopped.
    fn move_context<D: DmaPort>(
        &mut self,
        plan: &Plan,
        extent: Extent,
        access: impl FnMut(Iova, core::ops::Range<usize>, &mut Port<'_, D>) -> Result<(), DmaError>,
        port: &mut Port<'_, D>,
    ) -> Result<(), Break> {
        match plan.stream {
            Some(stream) => move_context(stream.context, extent, &mut self.moved, port, access),
            None => Ok(()),
        }
    }

    fn fill<D: DmaPort>(&mut self, plan: &mut Plan, port: &mut Port<'_, D>, engine: &mut EngineMemory) -> Result<(), Break> {
        read_source(&mut plan.source, &mut self.source_left, &mut self.input, port, engine)?;
        self.phase = Phase::Code;
        Ok(())
    }

    fn code(&mut self, plan: &Plan, engine: &mut EngineMemory) -> Result<(), Break> {
        let (_, segment) = plan.destination.segment();
        let promised = self.output.len();
        let room = (segment.min(self.room_left) as usize).saturating_sub(promised).min(STAGE_BYTES - self.output.end);
        let is_all_in = self.source_left == 0;
        let progress =
            engine.run_codec(self.direction, plan, self.input.start..self.input.end, self.output.end..self.output.end + room, is_all_in);
        self.input.start += progress.consumed;
        self.output.end += progress.produced;
        self.consumed += progress.consumed as u32;
        match progress.stop {
            CodecStop::NeedInput if !is_all_in => self.phase = Phase::Fill,
            CodecStop::NeedInput => self.end_data(Ending::InputUsed),
            CodecStop::NeedOutput if !self.output.is_empty() => self.phase = Phase::Drain,
            CodecStop::NeedOutput => self.phase = Phase::OpenDestination,
            CodecStop::Done => self.end_data(Ending::StreamEnd),
            CodecStop::Failed { status, offset } => {
                self.consumed = u32::try_from(offset.saturating_sub(self.base_in)).unwrap_or(u32::MAX);
                return Err(Break::Fail(status));
            }
        }
        Ok(())
    }

    fn end_data(&mut self, ending: Ending) {
        self.ending = Some(ending);
        self.phase = if self.output.is_empty() { Phase::Export } else { Phase::Drain };
    }

    fn drain<D: DmaPort>(&mut self, plan: &mut Plan, port: &mut Port<'_, D>, engine: &EngineMemory) -> Result<(), Break> {
        while !self.output.is_empty() {
            // What is staged never passes the open segment: see `code`.
            let (at, _) = plan.destination.segment();
            let bytes = piece(at, self.output.len());
            let who = port.who.write;
            let stage = &engine.output[self.output.start..self.output.start + bytes];
            port.write(who, at, stage).map_err(|error| broken(error, Status::DESTINATION_ABORT))?;
            plan.destination.advance(bytes as u32);
            self.room_left -= bytes as u32;
            self.output.start += bytes;
            self.produced += bytes as u32;
        }
        self.output = Staged::default();
        self.phase = match self.ending {
            None => Phase::Code,
            Some(Ending::Failed(_)) => Phase::Finish,
            Some(_) => Phase::Export,
        };
        Ok(())
    }

    fn open_destination<D: DmaPort>(&mut self, plan: &mut Plan, port: &mut Port<'_, D>) -> Result<(), Break> {
        let is_open = self.room_left > 0
            && plan.destination.advance_segment(port).map_err(|error| match error {
                BufferError::List(error) => broken(error, Status::DESTINATION_SGL_ABORT),
                BufferError::Malformed => Break::Fail(Status::BAD_DESTINATION_SGL),
            })?;
        if is_open {
            self.phase = Phase::Code;
        } else {
            self.end_data(Ending::OutputFull);
        }
        Ok(())
    }

    fn export(&mut self, plan: &Plan, engine: &mut EngineMemory) -> Result<(), Break> {
        if plan.stream.is_none() {
            self.phase = Phase::Finish;
            return Ok(());
        }
        let is_full = self.ending == Some(Ending::OutputFull);
        if self.ending == Some(Ending::StreamEnd) {
            self.extents = engine.forget_stream();
        } else {
            let given_back = engine.suspend_codec(self.direction).map_err(Break::Fail)?;
            self.consumed = self.consumed.saturating_sub(given_back as u32);
            let (extents, words) = engine.export_codec(self.direction, plan, is_full).map_err(Break::Fail)?;
            (self.extents, self.words) = (extents, words);
        }
        self.phase = Phase::Save;
        Ok(())
    }

    fn save<D: DmaPort>(&mut self, plan: &Plan, port: &mut Port<'_, D>, engine: &EngineMemory) -> Result<(), Break> {
        while let Some(extent) = self.extents.get(self.extent).copied() {
            self.move_context(
                plan,
                extent,
                |at, range, port: &mut Port<'_, D>| port.write(port.who.write, at, &engine.context[range]),
                port,
            )?;
            self.extent += 1;
        }
        self.phase = Phase::Finish;
        Ok(())
    }

    fn finish(&mut self, engine: &EngineMemory) {
        let status = self.status();
        let mut is_last_block = false;
        if let Ok(Work::Deflate(plan)) = &self.work
            && self.is_codec_ready
        {
            let (checksum, isize) = engine.check_words(self.direction, plan.container);
            self.sqe.0[dw::CHECKSUM] = checksum;
            self.sqe.0[dw::ISIZE] = isize;
            is_last_block = self.direction == Direction::Decompress && engine.is_in_final_block();
        }
        self.sqe.set_context_words(self.words);
        self.sqe.set_result(self.consumed, self.produced, status, is_last_block);
        self.phase = Phase::Done;
    }

    /// The status by what happened (D.4).
    fn status(&self) -> Status {
        let is_stream = matches!(&self.work, Ok(Work::Deflate(plan)) if plan.stream.is_some());
        match (self.ending, self.direction, is_stream) {
            (None, ..) => Status::SUCCESS,
            (Some(Ending::Failed(status)), ..) => status,
            (Some(Ending::OutputFull), _, false) => Status::DESTINATION_TOO_SMALL,
            (Some(Ending::OutputFull), _, true) => Status::SUCCESS,
            (Some(Ending::InputUsed), Direction::Decompress, false) => Status::TRUNCATED,
            (Some(Ending::InputUsed), ..) => Status::SUCCESS,
            (Some(Ending::StreamEnd), Direction::Decompress, true) => Status::END_OF_STREAM,
            // What the part says of a step is not known; of a whole stream it says when it grew.
            (Some(Ending::StreamEnd), Direction::Compress, false) if self.produced > self.consumed => Status::NEGATIVE_COMPRESSION,
            (Some(Ending::StreamEnd), ..) => Status::SUCCESS,
        }
    }

    /// The result, once the request has ended.
    pub fn completion(&self) -> Option<Completion> {
        self.is_done().then(|| Completion::from(&self.sqe))
    }
}

/// Brings input into the stage until it is full or all is there.
pub(crate) fn read_source<D: DmaPort>(
    source: &mut Buffer,
    source_left: &mut u32,
    input: &mut Staged,
    port: &mut Port<'_, D>,
    engine: &mut EngineMemory,
) -> Result<(), Break> {
    if input.is_empty() {
        *input = Staged::default();
    }
    while *source_left > 0 && input.end < STAGE_BYTES {
        let (at, left) = source.segment();
        if left == 0 {
            open_source(source, port)?;
            continue;
        }
        let wanted = left.min(*source_left) as usize;
        let bytes = piece(at, wanted.min(STAGE_BYTES - input.end));
        let who = port.who.read;
        let stage = &mut engine.input[input.end..input.end + bytes];
        port.read(who, at, stage).map_err(|error| broken(error, Status::SOURCE_ABORT))?;
        source.advance(bytes as u32);
        input.end += bytes;
        *source_left -= bytes as u32;
    }
    Ok(())
}

/// Moves one extent between a stream context and its image, piece by piece from where the last attempt stopped, which `moved` says.
pub(crate) fn move_context<D: DmaPort>(
    context: Iova,
    extent: Extent,
    moved: &mut usize,
    port: &mut Port<'_, D>,
    mut access: impl FnMut(Iova, core::ops::Range<usize>, &mut Port<'_, D>) -> Result<(), DmaError>,
) -> Result<(), Break> {
    while *moved < extent.len {
        let offset = extent.at + *moved;
        let at = context.wrapping_add(offset as u64);
        let bytes = piece(at, extent.len - *moved);
        access(at, offset..offset + bytes, port).map_err(|error| broken(error, Status::CONTEXT_ABORT))?;
        *moved += bytes;
    }
    *moved = 0;
    Ok(())
}

pub(crate) fn broken(error: DmaError, status: Status) -> Break {
    match error {
        DmaError::Stalled(tag) => Break::Stall(tag),
        DmaError::Abort => Break::Fail(status),
    }
}
