//! The calls of zlib over a queue: `deflate`, `inflate` and their like, with zlib's names for modes and answers.
//!
//! What differs from zlib is what Rust and the engine demand. The buffers of a call are slices that go with the call ([`ZBuffers`]), so that they
//! can be filled again between calls; memory is the caller's, taken at the start ([`Deflate::MEMORY_BYTES`], [`Inflate::MEMORY_BYTES`]), since
//! nothing here allocates. Calls may be cut as small as one likes: what the engine cannot take or give in small pieces is gathered. Large pieces
//! are read and written where they lie. There is one level of compression, no preset dictionary and no full flush.

use zip_spec::{Container, Flush, Window};

use crate::{
    CompletionWait, Direction, HeaderError, MIN_OUTPUT_BYTES, StreamContext, System, WdError, ZipCompressor, ZipDecompressor, ZipError,
    ZipQueue,
};

/// How much of what has been handed in must come out: zlib's number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct FlushMode(pub i32);

/// Input may be gathered.
pub const Z_NO_FLUSH: FlushMode = FlushMode(0);
/// All input so far comes out, to a byte boundary.
pub const Z_SYNC_FLUSH: FlushMode = FlushMode(2);
/// The input ends here.
pub const Z_FINISH: FlushMode = FlushMode(4);

/// How a call ended: zlib's number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct ReturnCode(pub i32);

/// Some progress was made.
pub const Z_OK: ReturnCode = ReturnCode(0);
/// The stream is complete, and all of it has come out.
pub const Z_STREAM_END: ReturnCode = ReturnCode(1);
/// The stream needs a preset dictionary, which the engine does not take: it cannot be read.
pub const Z_NEED_DICT: ReturnCode = ReturnCode(2);
/// The queue failed; [`ZStream::msg`] tells how, and whether another queue can be had.
pub const Z_ERRNO: ReturnCode = ReturnCode(-1);
/// A parameter that is none, or a stream that is lost.
pub const Z_STREAM_ERROR: ReturnCode = ReturnCode(-2);
/// The data are damaged; at the end of a compression: it was not finished.
pub const Z_DATA_ERROR: ReturnCode = ReturnCode(-3);
/// The memory for the stream is too short.
pub const Z_MEM_ERROR: ReturnCode = ReturnCode(-4);
/// No progress was possible: more input or more room is needed. Not fatal.
pub const Z_BUF_ERROR: ReturnCode = ReturnCode(-5);
/// Nothing here answers this: there is one version.
pub const Z_VERSION_ERROR: ReturnCode = ReturnCode(-6);

/// The slices of a call; each call moves them on by what it has taken and written.
#[derive(Debug)]
pub struct ZBuffers<'b> {
    /// Input that has not been taken.
    pub next_in: &'b [u8],
    /// Output that has not been written.
    pub next_out: &'b mut [u8],
}

impl ZBuffers<'_> {
    /// Input bytes not taken.
    pub const fn avail_in(&self) -> usize {
        self.next_in.len()
    }

    /// Output bytes not written.
    pub const fn avail_out(&self) -> usize {
        self.next_out.len()
    }

    fn wrote(&mut self, len: usize) {
        let out = core::mem::take(&mut self.next_out);
        self.next_out = &mut out[len..];
    }
}

/// A stream: what its user may look at, and its state.
#[derive(Debug)]
pub struct ZStream<T> {
    /// Input bytes taken.
    pub total_in: u64,
    /// Output bytes written.
    pub total_out: u64,
    /// Checksum of the uncompressed data that the engine has seen: Adler-32 (zlib) or CRC-32 (gzip). Input that is gathered is not in it yet.
    pub adler: u32,
    /// What went wrong.
    pub msg: Option<ZipError>,
    state: T,
}

/// Why a stream could not be begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InitError {
    /// A parameter is out of range.
    Parameter,
    /// The memory is too short.
    Memory {
        /// Bytes that it must have.
        needed: usize,
    },
    /// No queue.
    Queue(WdError),
}

impl InitError {
    /// zlib's number for it.
    pub const fn code(self) -> ReturnCode {
        match self {
            Self::Parameter => Z_STREAM_ERROR,
            Self::Memory { .. } => Z_MEM_ERROR,
            Self::Queue(_) => Z_ERRNO,
        }
    }
}

/// zlib's number for an error of a stream.
const fn code_of(error: &ZipError) -> ReturnCode {
    match error {
        ZipError::Header { error: HeaderError::PresetDictionary, .. } => Z_NEED_DICT,
        ZipError::Header { .. } | ZipError::Data { .. } => Z_DATA_ERROR,
        ZipError::Truncated { .. } | ZipError::OutputTooSmall { .. } => Z_BUF_ERROR,
        ZipError::InputTooLong | ZipError::Finished => Z_STREAM_ERROR,
        ZipError::Queue(_) | ZipError::WrongTag { .. } | ZipError::NoProgress { .. } | ZipError::BadCount { .. } => Z_ERRNO,
    }
}

/// Bytes on their way between slices of the caller's and the engine.
#[derive(Debug)]
struct Stage<'m> {
    buffer: &'m mut [u8],
    from: usize,
    to: usize,
}

impl<'m> Stage<'m> {
    const fn new(buffer: &'m mut [u8]) -> Self {
        Self { buffer, from: 0, to: 0 }
    }

    const fn is_empty(&self) -> bool {
        self.from == self.to
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.from..self.to]
    }

    /// Takes what fits from the front of `input`.
    fn gather(&mut self, input: &mut &[u8]) {
        if self.from > 0 {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        let len = input.len().min(self.buffer.len() - self.to);
        let (front, rest) = input.split_at(len);
        self.buffer[self.to..self.to + len].copy_from_slice(front);
        self.to += len;
        *input = rest;
    }

    /// Takes note of what the engine has written: into the caller's room, or into the stage, which was empty.
    fn written(&mut self, io: &mut ZBuffers<'_>, is_direct: bool, len: usize) {
        if is_direct {
            io.wrote(len);
        } else {
            (self.from, self.to) = (0, len);
        }
    }

    fn drain(&mut self, io: &mut ZBuffers<'_>) {
        let len = io.avail_out().min(self.to - self.from);
        io.next_out[..len].copy_from_slice(&self.buffer[self.from..self.from + len]);
        self.from += len;
        io.wrote(len);
    }
}

/// What a stream of one direction does in a call.
trait Step {
    fn step(&mut self, io: &mut ZBuffers<'_>, flush: FlushMode) -> Result<ReturnCode, ZipError>;
    fn checksum(&self) -> u32;
    /// True once the stream cannot go on.
    fn is_lost(&mut self) -> &mut bool;
}

fn begin<T: Step>(state: T) -> ZStream<T> {
    ZStream { total_in: 0, total_out: 0, adler: state.checksum(), msg: None, state }
}

fn call<T: Step>(stream: &mut ZStream<T>, io: &mut ZBuffers<'_>, flush: FlushMode) -> ReturnCode {
    if *stream.state.is_lost() || ![Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH].contains(&flush) {
        return Z_STREAM_ERROR;
    }
    let (avail_in, avail_out) = (io.avail_in(), io.avail_out());
    let answer = stream.state.step(io, flush);
    let (took, wrote) = (avail_in - io.avail_in(), avail_out - io.avail_out());
    stream.total_in += took as u64;
    stream.total_out += wrote as u64;
    stream.adler = stream.state.checksum();
    match answer {
        Ok(Z_OK) if took == 0 && wrote == 0 => Z_BUF_ERROR,
        Ok(code) => code,
        Err(error) => {
            *stream.state.is_lost() = true;
            stream.msg = Some(error);
            code_of(&error)
        }
    }
}

/// The state of a compression.
pub struct Deflate<'s, 'm, S: System> {
    queue: ZipQueue<'s, S>,
    stream: ZipCompressor<'m>,
    input: Stage<'m>,
    output: Stage<'m>,
    is_ending: bool,
    is_lost: bool,
}

/// Input that is gathered for one request.
const INPUT_STAGE_BYTES: usize = 32 << 10;
/// Output of one request over what is gathered: an eighth more, and what the engine cannot use.
const OUTPUT_STAGE_BYTES: usize = INPUT_STAGE_BYTES + INPUT_STAGE_BYTES / 8 + MIN_OUTPUT_BYTES;
/// Room of the caller's that is written to where it lies, even if not all input fits.
const DIRECT_OUTPUT_BYTES: usize = 16 << 10;

impl<S: System> Deflate<'_, '_, S> {
    /// Memory of a stream, in bytes.
    pub const MEMORY_BYTES: usize = StreamContext::BYTES + INPUT_STAGE_BYTES + OUTPUT_STAGE_BYTES;
}

/// Begins a compression to the zlib format. `level` is -1 to 9 and all the same to the engine.
///
/// # Errors
/// See [`InitError`].
pub fn deflate_init<'s, 'm, S: System>(system: &'s S, memory: &'m mut [u8], level: i32) -> Result<ZStream<Deflate<'s, 'm, S>>, InitError> {
    deflate_init2(system, memory, level, 15)
}

/// Begins a compression. `window_bits` is 15 for the zlib format, 16 more for gzip, negative for raw DEFLATE data; gzip and raw also take
/// windows of 12, 13 and 14 bits.
///
/// # Errors
/// See [`InitError`].
pub fn deflate_init2<'s, 'm, S: System>(
    system: &'s S,
    memory: &'m mut [u8],
    level: i32,
    window_bits: i32,
) -> Result<ZStream<Deflate<'s, 'm, S>>, InitError> {
    let window = |bits| match bits {
        12 => Window::K4,
        13 => Window::K8,
        14 => Window::K16,
        _ => Window::K32,
    };
    let (container, window) = match window_bits {
        // The header that the engine's software writes says 32 KiB.
        15 => (Container::Zlib, Window::K32),
        28..=31 => (Container::Gzip, window(window_bits - 16)),
        -15..=-12 => (Container::Raw, window(-window_bits)),
        _ => return Err(InitError::Parameter),
    };
    if !(-1..=9).contains(&level) {
        return Err(InitError::Parameter);
    }
    let needed = Deflate::<S>::MEMORY_BYTES;
    let (context, stages) = memory.split_at_mut_checked(StreamContext::BYTES).ok_or(InitError::Memory { needed })?;
    let (input, output) = stages.split_at_mut_checked(INPUT_STAGE_BYTES).ok_or(InitError::Memory { needed })?;
    let output = output.get_mut(..OUTPUT_STAGE_BYTES).ok_or(InitError::Memory { needed })?;
    let context = StreamContext::new(context).ok_or(InitError::Memory { needed })?;
    let queue = ZipQueue::request(system, container, Direction::Compress, CompletionWait::PATIENT).map_err(InitError::Queue)?;
    let stream = ZipCompressor::new(container, window, context);
    let (input, output) = (Stage::new(input), Stage::new(output));
    Ok(begin(Deflate { queue, stream, input, output, is_ending: false, is_lost: false }))
}

impl<S: System> Step for Deflate<'_, '_, S> {
    fn step(&mut self, io: &mut ZBuffers<'_>, flush: FlushMode) -> Result<ReturnCode, ZipError> {
        if self.is_ending && flush != Z_FINISH {
            return Ok(Z_STREAM_ERROR);
        }
        self.is_ending = flush == Z_FINISH;
        loop {
            self.output.drain(io);
            if self.stream.is_finished() && self.output.is_empty() {
                return Ok(Z_STREAM_END);
            }
            if io.avail_out() == 0 {
                return Ok(Z_OK);
            }
            let is_gathered = !self.input.is_empty() || (flush == Z_NO_FLUSH && io.avail_in() < INPUT_STAGE_BYTES);
            if is_gathered {
                self.input.gather(&mut io.next_in);
            }
            let source = if is_gathered { self.input.bytes() } else { io.next_in };
            let is_all = !is_gathered || io.next_in.is_empty();
            let is_worth_a_request = match flush {
                Z_FINISH => true,
                Z_SYNC_FLUSH => !source.is_empty() || self.stream.has_held_output(),
                _ => source.len() >= INPUT_STAGE_BYTES || self.stream.has_held_output(),
            };
            if !is_worth_a_request {
                return Ok(Z_OK);
            }
            let is_direct = io.avail_out() >= DIRECT_OUTPUT_BYTES.min(source.len() + source.len() / 8 + MIN_OUTPUT_BYTES);
            let destination = if is_direct { &mut *io.next_out } else { &mut *self.output.buffer };
            let end = if flush == Z_FINISH && is_all { Flush::Finish } else { Flush::Sync };
            let progress = self.stream.compress(&mut self.queue, source, destination, end)?;
            if is_gathered {
                self.input.from += progress.consumed;
            } else {
                io.next_in = &io.next_in[progress.consumed..];
            }
            self.output.written(io, is_direct, progress.produced);
        }
    }

    fn checksum(&self) -> u32 {
        self.stream.checksum()
    }

    fn is_lost(&mut self) -> &mut bool {
        &mut self.is_lost
    }
}

/// Compresses as far as input and room go.
///
/// Answers `Z_OK`, `Z_STREAM_END` (with [`Z_FINISH`]), `Z_BUF_ERROR`, `Z_STREAM_ERROR`, `Z_ERRNO`.
pub fn deflate<S: System>(stream: &mut ZStream<Deflate<'_, '_, S>>, io: &mut ZBuffers<'_>, flush: FlushMode) -> ReturnCode {
    call(stream, io, flush)
}

/// Ends a compression and gives its queue back.
///
/// Answers `Z_OK`, `Z_DATA_ERROR` if the stream was begun and not finished, `Z_ERRNO` if the kernel refused the queue.
pub fn deflate_end<S: System>(stream: ZStream<Deflate<'_, '_, S>>) -> ReturnCode {
    let ZStream { total_in, total_out, state, .. } = stream;
    let is_whole = (total_in == 0 && total_out == 0) || (state.stream.is_finished() && state.output.is_empty());
    match state.queue.release() {
        Err(_) => Z_ERRNO,
        Ok(()) if is_whole => Z_OK,
        Ok(()) => Z_DATA_ERROR,
    }
}

/// The state of a decompression.
pub struct Inflate<'s, 'm, S: System> {
    queue: ZipQueue<'s, S>,
    stream: ZipDecompressor<'m>,
    output: Stage<'m>,
    /// zlib or gzip, as the first byte says.
    is_open: bool,
    is_lost: bool,
}

/// Output that is kept for callers with less room than the engine needs.
const INFLATE_STAGE_BYTES: usize = 4 << 10;

impl<S: System> Inflate<'_, '_, S> {
    /// Memory of a stream, in bytes.
    pub const MEMORY_BYTES: usize = StreamContext::BYTES + INFLATE_STAGE_BYTES;
}

/// Begins a decompression of the zlib format.
///
/// # Errors
/// See [`InitError`].
pub fn inflate_init<'s, 'm, S: System>(system: &'s S, memory: &'m mut [u8]) -> Result<ZStream<Inflate<'s, 'm, S>>, InitError> {
    inflate_init2(system, memory, 15)
}

/// Begins a decompression. `window_bits` is 8 to 15 for the zlib format (0: as its header says), 16 more for gzip, 32 more for whichever of the two it
/// is, negative for raw DEFLATE data. Windows up to 32 KiB are taken, whatever the number says.
///
/// # Errors
/// See [`InitError`].
pub fn inflate_init2<'s, 'm, S: System>(
    system: &'s S,
    memory: &'m mut [u8],
    window_bits: i32,
) -> Result<ZStream<Inflate<'s, 'm, S>>, InitError> {
    let (container, is_open) = match window_bits {
        0 | 8..=15 => (Container::Zlib, false),
        24..=31 => (Container::Gzip, false),
        40..=47 => (Container::Zlib, true),
        -15..=-8 => (Container::Raw, false),
        _ => return Err(InitError::Parameter),
    };
    let needed = Inflate::<S>::MEMORY_BYTES;
    let (context, stage) = memory.split_at_mut_checked(StreamContext::BYTES).ok_or(InitError::Memory { needed })?;
    let stage = stage.get_mut(..INFLATE_STAGE_BYTES).ok_or(InitError::Memory { needed })?;
    let context = StreamContext::new(context).ok_or(InitError::Memory { needed })?;
    let queue = ZipQueue::request(system, container, Direction::Decompress, CompletionWait::PATIENT).map_err(InitError::Queue)?;
    let stream = ZipDecompressor::new(container, context);
    Ok(begin(Inflate { queue, stream, output: Stage::new(stage), is_open, is_lost: false }))
}

impl<S: System> Step for Inflate<'_, '_, S> {
    fn step(&mut self, io: &mut ZBuffers<'_>, flush: FlushMode) -> Result<ReturnCode, ZipError> {
        if self.is_open
            && let Some(first) = io.next_in.first()
        {
            self.is_open = false;
            self.stream.restart_as(if *first == 0x1f { Container::Gzip } else { Container::Zlib });
        }
        loop {
            self.output.drain(io);
            if self.stream.is_finished() && self.output.is_empty() {
                return Ok(Z_STREAM_END);
            }
            let has_work = io.avail_in() > 0 || self.stream.has_held_output();
            if io.avail_out() == 0 || !has_work {
                // Who says that this is all wants to hear that it was not.
                return Ok(if flush == Z_FINISH { Z_BUF_ERROR } else { Z_OK });
            }
            let is_direct = io.avail_out() >= MIN_OUTPUT_BYTES;
            let destination = if is_direct { &mut *io.next_out } else { &mut *self.output.buffer };
            let progress = self.stream.decompress(&mut self.queue, io.next_in, destination)?;
            io.next_in = &io.next_in[progress.consumed..];
            self.output.written(io, is_direct, progress.produced);
        }
    }

    fn checksum(&self) -> u32 {
        self.stream.checksum()
    }

    fn is_lost(&mut self) -> &mut bool {
        &mut self.is_lost
    }
}

/// Decompresses as far as input and room go. At `Z_STREAM_END` what is left of the input lies behind the stream.
///
/// Answers `Z_OK`, `Z_STREAM_END`, `Z_BUF_ERROR`, `Z_NEED_DICT`, `Z_DATA_ERROR`, `Z_STREAM_ERROR`, `Z_ERRNO`.
pub fn inflate<S: System>(stream: &mut ZStream<Inflate<'_, '_, S>>, io: &mut ZBuffers<'_>, flush: FlushMode) -> ReturnCode {
    call(stream, io, flush)
}

/// Ends a decompression and gives its queue back.
///
/// Answers `Z_OK`, `Z_ERRNO` if the kernel refused the queue.
pub fn inflate_end<S: System>(stream: ZStream<Inflate<'_, '_, S>>) -> ReturnCode {
    if stream.state.queue.release().is_ok() { Z_OK } else { Z_ERRNO }
}
