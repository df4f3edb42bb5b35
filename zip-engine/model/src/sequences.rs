//! A request whose result is literals and sequences (lz77_zstd, lz77_only) or an LZ4 block (D.9).
//!
//! The match finder reads the source ahead; the literals are copied from the source by a second cursor once it is known how many there are.
//! So a run of literals may be as long as the input. What a process changes in between makes its own output wrong and nothing else: the lengths
//! are those that the finder saw.

use core::ops::Range;

use deflate::lz4::{self, Code};
use deflate::lz77::repcode::{Repcodes, literal_code, match_code, offset_code};
use deflate::lz77::{Effort, Event, Params};
use hal::DmaPort;
use zip_spec::{
    CTX_DW2, ContextWords, FREQUENCY_BYTES, FREQUENCY_GAP_BYTES, LITERAL_OVERFLOW, LONG_LITERALS, RequestType, SEQUENCE_BYTES, Sequence,
    Status, ZSTD_MATCH_BASE, frequency,
};

use crate::Direction;
use crate::buffer::{Buffer, BufferError};
use crate::context::{Extent, Header};
use crate::decode::StreamPlan;
use crate::engine::{EngineMemory, STAGE_BYTES};
use crate::job::{Break, Staged, broken, move_context, read_source};
use crate::port::{Port, piece};

/// Half of the output stage: one for sequences or the block, one for literals.
const HALF_BYTES: usize = STAGE_BYTES / 2;
/// Phases that one step goes through.
const PHASES_PER_STEP: usize = 64;
/// Longest literal run that a sequence of lz77_only can name.
const ONLY_LITERALS_MAX: u32 = u16::MAX as u32;

/// What the result looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Lz77Zstd,
    Lz77Only,
    Lz4,
}

impl Format {
    /// The format of a request type and the work that it asks for: the price codes are the thorough ones.
    pub(crate) const fn of(request_type: RequestType) -> Option<(Self, Effort)> {
        match request_type {
            RequestType::LZ77_ZSTD => Some((Self::Lz77Zstd, Effort::Fast)),
            RequestType::LZ77_ZSTD_PRICE => Some((Self::Lz77Zstd, Effort::Thorough)),
            RequestType::LZ77_ONLY => Some((Self::Lz77Only, Effort::Fast)),
            RequestType::LZ77_ONLY_PRICE => Some((Self::Lz77Only, Effort::Thorough)),
            RequestType::LZ4 => Some((Self::Lz4, Effort::Fast)),
            _ => None,
        }
    }

    const fn params(self, window_bytes: u32, effort: Effort) -> Params {
        match self {
            Self::Lz77Zstd => Params { window_bytes, effort, length_max: u16::MAX as u32 + ZSTD_MATCH_BASE, tail_bytes: 0, begin_bytes: 0 },
            Self::Lz77Only => Params { window_bytes, effort, length_max: u16::MAX as u32, tail_bytes: 0, begin_bytes: 0 },
            Self::Lz4 => lz4::params(window_bytes, effort),
        }
    }
}

/// A way out: a run of memory, and the part of the output stage that goes there.
#[derive(Clone, Copy, Debug)]
struct Outlet {
    memory: Buffer,
    room_left: u32,
    base: usize,
    staged: Staged,
    written: u32,
}

impl Outlet {
    const fn new(memory: Buffer, room_left: u32, base: usize) -> Self {
        Self { memory, room_left, base, staged: Staged { start: 0, end: 0 }, written: 0 }
    }

    fn free_bytes(&self) -> usize {
        HALF_BYTES - self.staged.end
    }

    fn free(&self) -> Range<usize> {
        self.base + self.staged.end..self.base + HALF_BYTES
    }

    /// Stages bytes for which there is room.
    fn put(&mut self, engine: &mut EngineMemory, bytes: &[u8]) {
        let at = self.base + self.staged.end;
        engine.output[at..at + bytes.len()].copy_from_slice(bytes);
        self.staged.end += bytes.len();
    }

    /// Writes out what is staged.
    fn drain<D: DmaPort>(&mut self, port: &mut Port<'_, D>, engine: &EngineMemory) -> Result<(), Break> {
        while !self.staged.is_empty() {
            let (at, segment) = self.memory.segment();
            if self.room_left == 0 {
                return Err(Break::Fail(Status::DESTINATION_TOO_SMALL));
            }
            if segment == 0 {
                let is_open = self.memory.advance_segment(port).map_err(|error| match error {
                    BufferError::List(error) => broken(error, Status::DESTINATION_SGL_ABORT),
                    BufferError::Malformed => Break::Fail(Status::BAD_DESTINATION_SGL),
                })?;
                if !is_open {
                    return Err(Break::Fail(Status::DESTINATION_TOO_SMALL));
                }
                continue;
            }
            let bytes = piece(at, self.staged.len().min(segment.min(self.room_left) as usize));
            let from = self.base + self.staged.start;
            let who = port.who.write;
            port.write(who, at, &engine.output[from..from + bytes]).map_err(|error| broken(error, Status::DESTINATION_ABORT))?;
            self.memory.advance(bytes as u32);
            self.room_left -= bytes as u32;
            self.staged.start += bytes;
            self.written += bytes as u32;
        }
        self.staged = Staged::default();
        Ok(())
    }
}

/// Where the request stands: the next thing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Begin,
    LoadState,
    LoadWindow(usize),
    /// Find the next sequence, bringing input in where that needs more.
    Seek,
    /// Put what stands in front of the literals.
    Front,
    /// Copy literals.
    Literals,
    /// Put what stands behind the literals.
    Back,
    /// Take the second cursor over the match.
    Skip,
    /// Put what stands behind the last sequence.
    Tail,
    /// Write out what is still staged.
    Drain,
    Export,
    Save(usize),
    Done,
}

/// The sequence at hand.
#[derive(Clone, Copy, Debug, Default)]
struct Current {
    /// Literals in front, and how many of them have not been copied.
    literals: u32,
    literals_left: u32,
    /// Length and distance of the match; none behind the last one.
    copy: Option<(u32, u32)>,
    skip_left: u32,
}

/// A request of this kind under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SequenceJob {
    request_type: RequestType,
    format: Format,
    params: Params,
    stream: Option<StreamPlan>,
    /// dw31 tells of long literal runs: `LIT_LEN_EN` has not switched that off.
    pub(crate) tells_long_literals: bool,
    phase: Phase,
    /// The source as the finder reads it, and once more as the literals are copied.
    source: Buffer,
    source_left: u32,
    again: Buffer,
    input: Staged,
    consumed: u32,
    main: Outlet,
    literals: Outlet,
    current: Current,
    code: Code,
    sequences: u32,
    literal_count: u32,
    long_literals: Option<u32>,
    repcodes: Repcodes,
    moved: usize,
    extents: [Extent; 3],
    words: ContextWords,
}

/// What the entry of a request of this kind asks for, beside its type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SequencePlan {
    pub(crate) window_bytes: u32,
    pub(crate) stream: Option<StreamPlan>,
    pub(crate) source: Buffer,
    pub(crate) source_bytes: u32,
    /// Sequences, or the block.
    pub(crate) main: (Buffer, u32),
    pub(crate) literals: (Buffer, u32),
}

impl SequenceJob {
    pub(crate) fn new(request_type: RequestType, (format, effort): (Format, Effort), plan: SequencePlan) -> Self {
        Self {
            request_type,
            format,
            params: format.params(plan.window_bytes, effort),
            stream: plan.stream,
            tells_long_literals: true,
            phase: Phase::Begin,
            source: plan.source,
            source_left: plan.source_bytes,
            again: plan.source,
            input: Staged::default(),
            consumed: 0,
            main: Outlet::new(plan.main.0, plan.main.1, 0),
            literals: Outlet::new(plan.literals.0, plan.literals.1, HALF_BYTES),
            current: Current::default(),
            code: Code::EMPTY,
            sequences: 0,
            literal_count: 0,
            long_literals: None,
            repcodes: Repcodes::default(),
            moved: 0,
            extents: [Extent::EMPTY; 3],
            words: ContextWords::default(),
        }
    }

    /// Bytes consumed and bytes written.
    pub(crate) const fn moved_bytes(&self) -> (u32, u32) {
        (self.consumed, self.main.written + self.literals.written)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// dw0, dw1 and dw2 of the completed entry; of a request that failed, what lies in memory.
    pub(crate) fn result(&self) -> (u32, u32, u32) {
        match self.format {
            Format::Lz4 => (self.consumed, self.main.written, 0),
            _ => (
                self.consumed,
                self.sequences.min(self.main.written / SEQUENCE_BYTES as u32),
                self.literal_count.min(self.literals.written),
            ),
        }
    }

    /// dw31 of the completed entry.
    pub(crate) fn overflow_word(&self) -> u32 {
        match self.long_literals {
            Some(position) if self.tells_long_literals => (LITERAL_OVERFLOW::POSITION.val(position) + LITERAL_OVERFLOW::COUNT.val(1)).value,
            _ => 0,
        }
    }

    /// The context words of the completed entry.
    pub(crate) const fn words(&self) -> ContextWords {
        self.words
    }

    /// How a request ended that did not fail.
    pub(crate) fn status(&self) -> Status {
        let grew = self.format == Format::Lz4 && self.main.written > self.consumed;
        if grew { Status::NEGATIVE_COMPRESSION } else { Status::SUCCESS }
    }

    /// Does one bounded piece of work: a few sequences.
    pub(crate) fn step<D: DmaPort>(&mut self, port: &mut Port<'_, D>, engine: &mut EngineMemory) -> Result<(), Break> {
        for _ in 0..PHASES_PER_STEP {
            self.advance(port, engine)?;
        }
        Ok(())
    }

    /// Does the next thing.
    fn advance<D: DmaPort>(&mut self, port: &mut Port<'_, D>, engine: &mut EngineMemory) -> Result<(), Break> {
        match self.phase {
            Phase::Begin => {
                match self.stream {
                    Some(stream) if !stream.is_new => self.phase = Phase::LoadState,
                    _ => self.begin(engine, 0),
                }
                Ok(())
            }
            Phase::LoadState => self.load_state(port, engine),
            Phase::LoadWindow(bytes) => {
                self.move_context(Extent::window(bytes), port, |at, range, port| port.read(port.who.read, at, &mut engine.context[range]))?;
                self.begin(engine, bytes);
                Ok(())
            }
            Phase::Seek => self.seek(port, engine),
            Phase::Front => self.put_code(port, engine, Phase::Literals),
            Phase::Literals => self.copy_literals(port, engine),
            Phase::Back => self.back(port, engine),
            Phase::Skip => self.skip(port),
            Phase::Tail => self.tail(port, engine),
            Phase::Drain => {
                self.main.drain(port, engine)?;
                self.literals.drain(port, engine)?;
                self.phase = if self.stream.is_some() { Phase::Export } else { Phase::Done };
                Ok(())
            }
            Phase::Export => {
                self.export(engine);
                Ok(())
            }
            Phase::Save(extent) => {
                let Some(extent_at) = self.extents.get(extent).copied() else {
                    self.phase = Phase::Done;
                    return Ok(());
                };
                self.move_context(extent_at, port, |at, range, port| port.write(port.who.write, at, &engine.context[range]))?;
                self.phase = Phase::Save(extent + 1);
                Ok(())
            }
            Phase::Done => Ok(()),
        }
    }

    fn move_context<D: DmaPort>(
        &mut self,
        extent: Extent,
        port: &mut Port<'_, D>,
        access: impl FnMut(hal::Iova, Range<usize>, &mut Port<'_, D>) -> Result<(), hal::DmaError>,
    ) -> Result<(), Break> {
        match self.stream {
            Some(stream) => move_context(stream.context, extent, &mut self.moved, port, access),
            None => Ok(()),
        }
    }

    fn load_state<D: DmaPort>(&mut self, port: &mut Port<'_, D>, engine: &mut EngineMemory) -> Result<(), Break> {
        self.move_context(Extent::STATE, port, |at, range, port| port.read(port.who.read, at, &mut engine.context[range]))?;
        let header = Header::read(&engine.context, Direction::Compress, self.request_type).ok_or(Break::Fail(Status::BAD_CONTEXT))?;
        if self.format == Format::Lz77Zstd {
            let words = engine.context[Extent::REPCODES.range()].as_chunks::<4>().0;
            for (code, word) in self.repcodes.0.iter_mut().zip(words) {
                *code = u32::from_le_bytes(*word);
            }
        }
        self.phase = Phase::LoadWindow(header.window_bytes);
        Ok(())
    }

    /// Puts the finder behind the first `history_bytes` of the window.
    fn begin(&mut self, engine: &mut EngineMemory, history_bytes: usize) {
        engine.finder.reset(self.params, &engine.context[Extent::window(history_bytes).range()]);
        engine.frequencies.fill(0);
        self.phase = Phase::Seek;
    }

    fn seek<D: DmaPort>(&mut self, port: &mut Port<'_, D>, engine: &mut EngineMemory) -> Result<(), Break> {
        if self.input.is_empty() {
            read_source(&mut self.source, &mut self.source_left, &mut self.input, port, engine)?;
        }
        let (taken, event) = engine.finder.step(&engine.input[self.input.start..self.input.end], self.source_left == 0);
        self.input.start += taken;
        self.consumed += taken as u32;
        let (literals, copy) = match event {
            Event::NeedInput => return Ok(()),
            Event::Match { literals, length, distance } => (literals, Some((length, distance))),
            Event::End { literals } => (literals, None),
        };
        self.current = Current { literals, literals_left: literals, copy, skip_left: copy.map_or(0, |(length, _)| length) };
        self.phase = Phase::Literals;
        if self.format == Format::Lz4 {
            self.code = Code::front(literals, copy.map(|(length, _)| length));
            self.phase = Phase::Front;
        }
        Ok(())
    }

    /// Puts the code at hand, then goes on with `next`.
    fn put_code<D: DmaPort>(&mut self, port: &mut Port<'_, D>, engine: &mut EngineMemory, next: Phase) -> Result<(), Break> {
        self.main.staged.end += self.code.put(&mut engine.output[self.main.free()]);
        if self.code.is_empty() {
            self.phase = next;
            return Ok(());
        }
        self.main.drain(port, engine)
    }

    fn copy_literals<D: DmaPort>(&mut self, port: &mut Port<'_, D>, engine: &mut EngineMemory) -> Result<(), Break> {
        let outlet = if self.format == Format::Lz4 { &mut self.main } else { &mut self.literals };
        while self.current.literals_left > 0 {
            if outlet.free_bytes() == 0 {
                // The stage is empty after this; so much is enough for one step.
                return outlet.drain(port, engine);
            }
            let (at, segment) = self.again.segment();
            if segment == 0 {
                open_source(&mut self.again, port)?;
                continue;
            }
            let bytes = piece(at, outlet.free_bytes().min(segment.min(self.current.literals_left) as usize));
            let stage = outlet.base + outlet.staged.end;
            let who = port.who.read;
            port.read(who, at, &mut engine.output[stage..stage + bytes]).map_err(|error| broken(error, Status::SOURCE_ABORT))?;
            outlet.staged.end += bytes;
            self.again.advance(bytes as u32);
            self.current.literals_left -= bytes as u32;
        }
        self.literal_count += self.current.literals;
        self.phase = match self.current.copy {
            None => Phase::Tail,
            Some((length, distance)) => {
                if self.format == Format::Lz4 {
                    self.code = Code::back(distance as u16, length);
                }
                Phase::Back
            }
        };
        Ok(())
    }

    fn back<D: DmaPort>(&mut self, port: &mut Port<'_, D>, engine: &mut EngineMemory) -> Result<(), Break> {
        let Some((length, distance)) = self.current.copy else { return Ok(()) };
        if self.format == Format::Lz4 {
            return self.put_code(port, engine, Phase::Skip);
        }
        if self.main.free_bytes() < SEQUENCE_BYTES {
            return self.main.drain(port, engine);
        }
        let literals = self.current.literals;
        let sequence = match self.format {
            Format::Lz77Zstd => {
                let offset = self.repcodes.value_of(distance, literals);
                if literals >= LONG_LITERALS {
                    self.long_literals = Some(self.sequences);
                }
                engine.count_codes(literals, length, offset);
                Sequence { offset, literal_length: literals as u16, match_length: (length - ZSTD_MATCH_BASE) as u16 }
            }
            _ if literals > ONLY_LITERALS_MAX => {
                self.current.literals -= ONLY_LITERALS_MAX;
                Sequence { offset: 0, literal_length: ONLY_LITERALS_MAX as u16, match_length: 0 }
            }
            _ => Sequence { offset: distance, literal_length: literals as u16, match_length: length as u16 },
        };
        self.main.put(engine, &sequence.to_bytes());
        self.sequences += 1;
        if sequence.offset != 0 {
            self.phase = Phase::Skip;
        }
        Ok(())
    }

    fn skip<D: DmaPort>(&mut self, port: &mut Port<'_, D>) -> Result<(), Break> {
        while self.current.skip_left > 0 {
            let (_, segment) = self.again.segment();
            if segment == 0 {
                open_source(&mut self.again, port)?;
                continue;
            }
            let bytes = segment.min(self.current.skip_left);
            self.again.advance(bytes);
            self.current.skip_left -= bytes;
        }
        self.phase = Phase::Seek;
        Ok(())
    }

    fn tail<D: DmaPort>(&mut self, port: &mut Port<'_, D>, engine: &mut EngineMemory) -> Result<(), Break> {
        if self.format == Format::Lz77Zstd {
            if self.main.free_bytes() < FREQUENCY_GAP_BYTES + FREQUENCY_BYTES {
                return self.main.drain(port, engine);
            }
            let mut table = [0; FREQUENCY_GAP_BYTES + FREQUENCY_BYTES];
            let words = table[FREQUENCY_GAP_BYTES..].as_chunks_mut::<4>().0;
            for (word, count) in words.iter_mut().zip(engine.frequencies) {
                *word = count.to_le_bytes();
            }
            self.main.put(engine, &table);
        }
        self.phase = Phase::Drain;
        Ok(())
    }

    /// Lays the state of the stream out for saving: last distances, literals behind the last sequence, history.
    fn export(&mut self, engine: &mut EngineMemory) {
        let [first, second, third] = self.repcodes.0;
        let shared = &mut engine.context[Extent::REPCODES.range()];
        for (word, value) in shared.as_chunks_mut::<4>().0.iter_mut().zip([first, second, third, self.current.literals]) {
            *word = value.to_le_bytes();
        }
        let window = Extent::window(zip_spec::stream_context::WINDOW_MAX_BYTES);
        let window_bytes = engine.finder.export_window(&mut engine.context[window.range()]);
        Header { image_bytes: 0, window_bytes }.write(&mut engine.context, Direction::Compress, self.request_type);
        self.words.dw2 = CTX_DW2::WINDOW_BYTES.val(window_bytes as u32).value;
        self.extents = [Extent::REPCODES, Extent::window(window_bytes), Extent::HEADER];
        self.phase = Phase::Save(0);
    }
}

impl EngineMemory {
    /// Counts the codes that a sequence needs.
    fn count_codes(&mut self, literals: u32, length: u32, offset: u32) {
        self.frequencies[frequency::LITERAL_LENGTHS + literal_code(literals)] += 1;
        self.frequencies[frequency::MATCH_LENGTHS + match_code(length)] += 1;
        self.frequencies[frequency::OFFSETS + offset_code(offset)] += 1;
    }
}

/// Opens the next segment of a source that must have one.
pub(crate) fn open_source<D: DmaPort>(source: &mut Buffer, port: &mut Port<'_, D>) -> Result<(), Break> {
    let is_open = source.advance_segment(port).map_err(|error| match error {
        BufferError::List(error) => broken(error, Status::SOURCE_SGL_ABORT),
        BufferError::Malformed => Break::Fail(Status::BAD_SOURCE_SGL),
    })?;
    if is_open { Ok(()) } else { Err(Break::Fail(Status::BAD_SOURCE_SGL)) }
}
