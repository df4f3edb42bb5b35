//! One engine over flat memory whose pages can be absent, read-only or broken.

use std::collections::BTreeMap;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use hal::{DmaError, DmaPort, Iova, Requester, StallTag, StreamId, SubstreamId, Verdict};
use zip_model::{Direction, EngineMemory, Job, Step};
use zip_spec::{
    BufferType, Capabilities, Completion, Container, Flush, Mode, Request, Sqe, SqeType, StreamStep, Window, dw, stream_context,
};

pub const PAGE: u64 = 4096;
pub const BASE: u64 = 0x7000_0000;
/// The queue's requester: every access of a job must carry it.
pub const WHO: Requester = Requester { stream: StreamId(8), substream: Some(SubstreamId(5)), privileged: false };
/// Steps after which a job counts as wedged.
pub const MAX_STEPS: u32 = 200_000;

pub const FORMATS: [Container; 3] = [Container::Raw, Container::Zlib, Container::Gzip];

/// What a page does instead of answering.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageState {
    /// Stalls every access until resumed.
    Absent,
    /// Aborts every access.
    Broken,
    /// Aborts writes.
    ReadOnly,
}

/// Memory as the engine's port sees it.
pub struct FlatPort {
    bytes: Vec<u8>,
    pages: BTreeMap<u64, PageState>,
    pub stalls: u32,
    pub accesses: u64,
    next_stag: u16,
    open: BTreeMap<u16, u64>,
    /// The requester that every access must carry.
    pub expected: Requester,
}

impl FlatPort {
    fn check(&mut self, who: Requester, at: Iova, len: usize, is_write: bool) -> Result<usize, DmaError> {
        assert_eq!(who, self.expected);
        self.accesses += 1;
        let end = at.0.checked_add(len as u64).ok_or(DmaError::Abort)?;
        assert!(len > 0 && at.0 / PAGE == (end - 1) / PAGE, "an access crosses a page: {at} + {len}");
        if at.0 < BASE || end > BASE + self.bytes.len() as u64 {
            return Err(DmaError::Abort);
        }
        match self.pages.get(&(at.0 / PAGE)) {
            None => {}
            Some(PageState::ReadOnly) if !is_write => {}
            Some(PageState::ReadOnly | PageState::Broken) => return Err(DmaError::Abort),
            Some(PageState::Absent) => {
                self.stalls += 1;
                self.next_stag = self.next_stag.wrapping_add(1);
                self.open.insert(self.next_stag, at.0 / PAGE);
                return Err(DmaError::Stalled(StallTag { stream: who.stream, stag: self.next_stag }));
            }
        }
        Ok((at.0 - BASE) as usize)
    }

    /// Makes the page present that a stall waits for.
    pub fn resolve(&mut self, tag: StallTag) {
        let page = self.open.remove(&tag.stag).expect("a stall that is open");
        self.pages.remove(&page);
    }

    /// Sets the state of every page of a range.
    pub fn set_pages(&mut self, at: Iova, len: usize, state: Option<PageState>) {
        for page in at.0 / PAGE..=(at.0 + len.max(1) as u64 - 1) / PAGE {
            match state {
                Some(state) => self.pages.insert(page, state),
                None => self.pages.remove(&page),
            };
        }
    }
}

impl DmaPort for FlatPort {
    fn read(&mut self, who: Requester, from: Iova, out: &mut [u8]) -> Result<(), DmaError> {
        let at = self.check(who, from, out.len(), false)?;
        out.copy_from_slice(&self.bytes[at..at + out.len()]);
        Ok(())
    }
    fn write(&mut self, who: Requester, to: Iova, data: &[u8]) -> Result<(), DmaError> {
        let at = self.check(who, to, data.len(), true)?;
        self.bytes[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// Engine, memory and a bump allocator over it.
pub struct Rig {
    pub port: FlatPort,
    pub engine: Box<EngineMemory>,
    pub capabilities: Capabilities,
    next: u64,
}

/// What stands behind every buffer, to show writes past its end.
pub const GUARD: [u8; 64] = [0xa5; 64];

impl Rig {
    pub fn new(megabytes: usize) -> Self {
        let port = FlatPort {
            bytes: vec![0; megabytes << 20],
            pages: BTreeMap::new(),
            stalls: 0,
            accesses: 0,
            next_stag: 0,
            open: BTreeMap::new(),
            expected: WHO,
        };
        Self { port, engine: Box::default(), capabilities: Capabilities::V3, next: BASE + 0x123 }
    }

    /// Memory for `len` bytes, misaligned, on pages of its own, with a guard behind it.
    pub fn room(&mut self, len: usize) -> Iova {
        let at = Iova(self.next);
        self.poke(Iova(at.0 + len as u64), &GUARD);
        self.next = (self.next + len as u64 + GUARD.len() as u64).next_multiple_of(PAGE) + 0x30 + (len as u64 & 0xf);
        at
    }
    pub fn aligned(&mut self, len: usize, align: u64) -> Iova {
        self.next = self.next.next_multiple_of(align);
        self.room(len)
    }
    pub fn put(&mut self, data: &[u8]) -> Iova {
        let at = self.room(data.len());
        self.poke(at, data);
        at
    }
    /// Gives back what was handed out since the room at `at`, that one included.
    pub fn rewind(&mut self, at: Iova) {
        self.next = at.0;
    }
    pub fn poke(&mut self, at: Iova, data: &[u8]) {
        let at = (at.0 - BASE) as usize;
        self.port.bytes[at..at + data.len()].copy_from_slice(data);
    }
    pub fn peek(&self, at: Iova, len: usize) -> Vec<u8> {
        let at = (at.0 - BASE) as usize;
        self.port.bytes[at..at + len].to_vec()
    }
    pub fn guard_is_intact(&self, at: Iova, len: usize) -> bool {
        self.peek(Iova(at.0 + len as u64), GUARD.len()) == GUARD
    }

    /// Runs an entry to its end; stalls are resolved and retried.
    pub fn run_sqe(&mut self, sqe: Sqe, direction: Direction) -> Completion {
        Completion::from(&self.run_entry(sqe, direction))
    }

    /// Runs an entry to its end; returns it.
    pub fn run_entry(&mut self, sqe: Sqe, direction: Direction) -> Sqe {
        let mut job = Job::with_capabilities(sqe.0, direction, WHO, &self.capabilities);
        for _ in 0..MAX_STEPS {
            match job.step(&mut self.port, &mut self.engine) {
                Step::Progress => {}
                Step::Stalled(tag) => {
                    assert_eq!(job.step(&mut self.port, &mut self.engine), Step::Stalled(tag), "a parked job stays parked");
                    self.port.resolve(tag);
                    job.resume(Verdict::Retry);
                }
                Step::Done(words) => {
                    assert!(job.is_done());
                    assert_eq!(job.step(&mut self.port, &mut self.engine), Step::Done(words), "a finished job stays finished");
                    check_untouched(&sqe, &Sqe(words));
                    return Sqe(words);
                }
            }
        }
        panic!("the job is wedged: {job:?}");
    }

    pub fn run(&mut self, request: Request, direction: Direction) -> Completion {
        self.run_sqe(request.encode(), direction)
    }

    /// One shot from a slice into `room` bytes; returns the completion and what was produced.
    pub fn one_shot(&mut self, container: Container, direction: Direction, input: &[u8], room: usize) -> (Completion, Vec<u8>) {
        let source = self.put(input);
        let destination = self.room(room);
        let untouched = vec![0x5a; room];
        self.poke(destination, &untouched);
        let completion = self.run(flat(container, source, input.len(), destination, room), direction);
        let output = self.peek(destination, room);
        let produced = completion.produced as usize;
        assert!(self.guard_is_intact(destination, room) && output[produced..].iter().all(|byte| *byte == 0x5a), "written past dw1");
        self.next = source.0;
        (completion, output[..produced].to_vec())
    }
}

/// The words that are software's come back as they went.
fn check_untouched(before: &Sqe, after: &Sqe) {
    let results =
        [dw::CONSUMED, dw::PRODUCED, dw::COMP_DATA_LENGTH, dw::STATUS, dw::CTX_DW0, dw::CTX_DW1, dw::CTX_DW2, dw::ISIZE, dw::CHECKSUM];
    for word in (0..32).filter(|word| !results.contains(word)) {
        assert_eq!(before.0[word], after.0[word], "dw{word} was changed");
    }
}

pub fn flat(container: Container, source: Iova, source_bytes: usize, destination: Iova, room: usize) -> Request {
    Request {
        sqe_type: SqeType::TYPE3,
        request_type: container.request_type(),
        buffer_type: BufferType::FLAT,
        window: Window::K32,
        source,
        source_bytes: source_bytes as u32,
        source_offset: 0,
        destination,
        destination_bytes: room as u32,
        destination_offset: 0,
        mode: Mode::ONE_SHOT,
        tag: 0x1234,
    }
}

/// A stream between its requests: what a library keeps.
#[derive(Clone, Copy)]
pub struct StreamState {
    pub context: Iova,
    pub step: StreamStep,
}

impl StreamState {
    pub fn new(rig: &mut Rig) -> Self {
        let buffer = rig.room(stream_context::BUFFER_BYTES as usize);
        let context = Iova(buffer.0 + stream_context::SOFTWARE_BYTES);
        Self { context, step: StreamStep { is_new: true, flush: Flush::Sync, context, words: Default::default(), isize: 0, checksum: 0 } }
    }
    pub fn follow(&mut self, completion: &Completion) {
        let Completion { words, isize, checksum, .. } = *completion;
        self.step = StreamStep { is_new: false, words, isize, checksum, ..self.step };
    }
}

/// Random numbers of a seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

pub fn text(len: usize, seed: u64) -> Vec<u8> {
    let words =
        ["queue ", "page ", "fault ", "of ", "the ", "engine ", "resumes, ", "stall ", "ring ", "doorbell\n", "and ", "literal ", "a "];
    let mut random = Random(seed);
    let mut out = Vec::with_capacity(len + 16);
    while out.len() < len {
        if random.below(20) == 0 {
            out.extend(random.next().to_string().bytes());
        }
        out.extend(words[random.below(words.len())].bytes());
    }
    out.truncate(len);
    out
}

/// Decodes a body with zlib's Rust port, header put in front; `None` unless it is one whole stream.
pub fn judge_decode(container: Container, body: &[u8], max: usize) -> Option<Vec<u8>> {
    let stream = [container.header(), body].concat();
    let mut decoder = match container {
        Container::Raw => Decompress::new(false),
        Container::Zlib => Decompress::new(true),
        Container::Gzip => Decompress::new_gzip(15),
    };
    let mut out = Vec::with_capacity(max + 64);
    let status = decoder.decompress_vec(&stream, &mut out, FlushDecompress::Finish).ok()?;
    (status == flate2::Status::StreamEnd && decoder.total_in() == stream.len() as u64).then_some(out)
}

/// Compresses with zlib's Rust port; returns the body, header stripped.
pub fn judge_encode(container: Container, data: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = match container {
        Container::Raw => Compress::new(Compression::new(level), false),
        Container::Zlib => Compress::new(Compression::new(level), true),
        Container::Gzip => Compress::new_gzip(Compression::new(level), 15),
    };
    let mut out = Vec::with_capacity(data.len() + data.len() / 8 + 256);
    assert!(matches!(encoder.compress_vec(data, &mut out, FlushCompress::Finish), Ok(flate2::Status::StreamEnd)));
    out[container.header().len()..].to_vec()
}
