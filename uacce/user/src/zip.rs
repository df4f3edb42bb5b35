//! Compression and decompression over a queue in streams, for raw DEFLATE, zlib and gzip; and what they share with the one-shot calls.
//!
//! The engine makes and checks DEFLATE data and trailers; this layer writes and strips headers, cuts chunks so that the engine is sure to
//! make progress, hands the running words back (D.7), and tells data errors from queue errors.

use core::fmt;

use hal::Iova;
use zip_spec::{
    BufferType, Completion, Container, ContextState, ContextWords, Flush, Mode, Request, Sqe, SqeType, Status, StreamStep, Window,
    crc32_from_gzip_register, stream_context,
};

use crate::{
    CompletionWait, Direction, HeaderError, HeaderReader, QueueFormat, System, Wanted, WdError, WdQueue, wd_release_queue, wd_request_queue,
};

/// Least output room of one call in bytes: the engine cannot use the first few hundred bytes of a stream's output well (D.7 point 3).
pub const MIN_OUTPUT_BYTES: usize = 256;
/// Longest input or output of one request in bytes (D.11).
pub const MAX_REQUEST_BYTES: usize = zip_spec::MAX_FLAT_BYTES as usize;

/// An empty final stored block: how a stream ends when nothing is left to compress (D.7 point 6).
const EMPTY_FINAL_BLOCK: [u8; 5] = [0x01, 0x00, 0x00, 0xff, 0xff];

/// Why data could not be compressed or decompressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ZipError {
    /// The queue failed.
    Queue(WdError),
    /// The stream's header is bad.
    Header {
        /// What is wrong.
        error: HeaderError,
        /// Offset of the byte that shows it.
        offset: u64,
    },
    /// The engine refused the data or the request.
    Data {
        /// Its status.
        status: Status,
        /// Offset of the input, header included, at which it stopped.
        offset: u64,
    },
    /// The input ends before its stream does.
    Truncated {
        /// Length of the input.
        offset: u64,
    },
    /// The output slice is shorter than one call needs.
    OutputTooSmall {
        /// What one call needs.
        needed: usize,
    },
    /// A one-shot input longer than a request can be.
    InputTooLong,
    /// The stream has ended already.
    Finished,
    /// A completion came back for another request.
    WrongTag {
        /// The request's tag.
        sent: u64,
        /// The completion's.
        received: u64,
    },
    /// The engine took nothing and wrote nothing, although it had input and room.
    NoProgress {
        /// Offset of the input.
        offset: u64,
    },
    /// The completion counts more bytes than the request had.
    BadCount {
        /// Input bytes it claims.
        consumed: u32,
        /// Output bytes it claims.
        produced: u32,
    },
}

impl From<WdError> for ZipError {
    fn from(error: WdError) -> Self {
        Self::Queue(error)
    }
}

impl fmt::Display for ZipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(error) => write!(f, "queue error: {error:?}"),
            Self::Header { error, offset } => write!(f, "bad header at offset {offset}: {error}"),
            Self::Data { status, offset } => write!(f, "bad data at offset {offset}: status {status}"),
            Self::Truncated { offset } => write!(f, "bad data at offset {offset}: status {}", Status::TRUNCATED),
            Self::OutputTooSmall { needed } => write!(f, "output buffer below {needed} bytes"),
            Self::InputTooLong => f.write_str("input longer than one request"),
            Self::Finished => f.write_str("stream has ended"),
            Self::WrongTag { sent, received } => write!(f, "completion of request {received:#x} in place of {sent:#x}"),
            Self::NoProgress { offset } => write!(f, "no progress at offset {offset}"),
            Self::BadCount { consumed, produced } => write!(f, "completion counts {consumed} bytes in, {produced} out"),
        }
    }
}

/// A queue with one request at a time on it.
pub struct ZipQueue<'s, S: System> {
    queue: WdQueue<'s, S>,
    wait: CompletionWait,
    next_tag: u32,
}

impl<'s, S: System> ZipQueue<'s, S> {
    /// Requests a queue for a format and direction.
    ///
    /// # Errors
    /// As [`wd_request_queue`].
    pub fn request(system: &'s S, container: Container, direction: Direction, wait: CompletionWait) -> Result<Self, WdError> {
        let queue = wd_request_queue(system, &Wanted { algorithm: container.algorithm_name(), direction })?;
        Ok(Self::over(queue, wait))
    }

    pub(crate) fn over(queue: WdQueue<'s, S>, wait: CompletionWait) -> Self {
        Self { queue, wait, next_tag: 1 }
    }

    /// The queue itself.
    pub fn queue(&mut self) -> &mut WdQueue<'s, S> {
        &mut self.queue
    }

    /// The queue's format.
    pub const fn format(&self) -> &QueueFormat {
        self.queue.format()
    }

    /// How it waits.
    pub const fn wait(&self) -> CompletionWait {
        self.wait
    }

    /// Gives the queue back.
    ///
    /// # Errors
    /// `Kernel`: the handle is gone all the same.
    pub fn release(self) -> Result<(), WdError> {
        wd_release_queue(self.queue)
    }

    /// The kernel below.
    pub fn system(&self) -> &S {
        self.queue.system()
    }

    /// Runs one request to its completion. Entry layout and tag are filled in. A request whose completion does not come is not left to run:
    /// the queue is stopped, and answers `Stopped` from then on.
    ///
    /// # Errors
    /// `Queue`, `WrongTag`, `BadCount`. A completion with an error status is no error here.
    pub fn run(&mut self, request: Request) -> Result<Completion, ZipError> {
        let sqe = self.run_entry(|sqe_type, tag| Request { sqe_type, tag, ..request }.encode())?;
        let completion = Completion::from(&sqe);
        if completion.consumed > request.source_bytes || completion.produced > request.destination_bytes {
            return Err(ZipError::BadCount { consumed: completion.consumed, produced: completion.produced });
        }
        Ok(completion)
    }

    /// Runs the entry that `encode` makes of layout and tag to its completion.
    pub(crate) fn run_entry(&mut self, encode: impl FnOnce(SqeType, u64) -> Sqe) -> Result<Sqe, ZipError> {
        let sent = u64::from(self.next_tag);
        self.next_tag = self.next_tag.wrapping_add(1).max(1);
        self.queue.send(&encode(self.queue.format().sqe_type(), sent))?;
        let mut sqe = Sqe::ZERO;
        let received = self.queue.receive_sync(&mut sqe, self.wait).map(|()| sqe.tag());
        if received == Ok(sent) {
            return Ok(sqe);
        }
        // The request may still be under way, and its buffers are the caller's again when this returns.
        self.queue.halt();
        Err(received.map_or_else(ZipError::Queue, |received| ZipError::WrongTag { sent, received }))
    }
}

/// A request over two slices of the caller's.
pub(crate) fn request(container: Container, window: Window, input: &[u8], output: &mut [u8], mode: Mode) -> Request {
    let destination = Iova(output.as_mut_ptr().expose_provenance() as u64);
    let source = if input.is_empty() {
        // Nothing is read, but some part of the path wants an address that is the caller's.
        destination
    } else {
        Iova(input.as_ptr().expose_provenance() as u64)
    };
    Request {
        sqe_type: zip_spec::SqeType::TYPE3,
        request_type: container.request_type(),
        buffer_type: BufferType::FLAT,
        window,
        source,
        source_bytes: input.len() as u32,
        source_offset: 0,
        destination,
        destination_bytes: output.len() as u32,
        destination_offset: 0,
        mode,
        tag: 0,
    }
}

/// Writes what ends a stream whose last chunk is empty; `checksum` and `isize` are the running words. Returns the bytes written.
pub(crate) fn put_empty_end(container: Container, checksum: u32, isize: u32, output: &mut [u8]) -> usize {
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        output[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&EMPTY_FINAL_BLOCK);
    match container {
        Container::Raw => {}
        Container::Zlib => put(&checksum.to_be_bytes()),
        Container::Gzip => {
            put(&crc32_from_gzip_register(checksum).to_le_bytes());
            put(&isize.to_le_bytes());
        }
    }
    at
}

/// The running checksum word before any data.
pub(crate) const fn initial_checksum(container: Container) -> u32 {
    match container {
        Container::Raw => 0,
        Container::Zlib => 1,
        Container::Gzip => zip_spec::gzip_register_from_crc32(0),
    }
}

/// The memory that the engine keeps a stream's state in. Nobody else may touch it while the stream is open.
#[derive(Debug)]
pub struct StreamContext<'m> {
    buffer: &'m mut [u8],
}

impl<'m> StreamContext<'m> {
    /// Length that the memory must have, in bytes.
    pub const BYTES: usize = stream_context::BUFFER_BYTES as usize;

    /// Takes memory for a stream; `None` if it is too short.
    pub fn new(buffer: &'m mut [u8]) -> Option<Self> {
        (buffer.len() >= Self::BYTES).then_some(Self { buffer })
    }

    /// Forgets whatever stream was there: a new one starts from zeroes.
    fn clear(&mut self) {
        self.buffer.fill(0);
    }

    /// What the entry carries: the engine's part of the buffer.
    fn address(&mut self) -> Iova {
        Iova(self.buffer.as_mut_ptr().expose_provenance() as u64 + stream_context::SOFTWARE_BYTES)
    }
}

/// The running words of a stream.
#[derive(Clone, Copy, Debug)]
struct Running {
    is_new: bool,
    words: ContextWords,
    isize: u32,
    checksum: u32,
}

impl Running {
    const NEW: Self = Self { is_new: true, words: ContextWords { dw0: 0, dw1: 0, dw2: 0 }, isize: 0, checksum: 0 };

    fn step(&self, context: Iova, flush: Flush) -> Mode {
        Mode::Stream(StreamStep { is_new: self.is_new, flush, context, words: self.words, isize: self.isize, checksum: self.checksum })
    }

    fn follow(&mut self, completion: &Completion) {
        *self = Self { is_new: false, words: completion.words, isize: completion.isize, checksum: completion.checksum };
    }

    /// The engine has output that found no room.
    fn has_held_output(&self) -> bool {
        self.words.held() != 0 || self.words.state() == ContextState::DECODED_NO_SPACE
    }

    /// The checksum of the uncompressed data so far, as the trailer has it; 1 where there is no trailer.
    const fn data_checksum(&self, container: Container) -> u32 {
        match container {
            Container::Raw => 1,
            Container::Zlib if self.is_new => 1,
            Container::Zlib => self.checksum,
            Container::Gzip if self.is_new => 0,
            Container::Gzip => crc32_from_gzip_register(self.checksum),
        }
    }
}

/// How far one call of a stream came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkProgress {
    /// Input bytes taken; the rest must be offered again.
    pub consumed: usize,
    /// Output bytes written.
    pub produced: usize,
    /// The stream is complete.
    pub is_end: bool,
    /// There is more output than found room: call again even without input.
    pub has_held_output: bool,
}

/// A stream of any length on its way to be compressed.
#[derive(Debug)]
pub struct ZipCompressor<'m> {
    container: Container,
    window: Window,
    context: StreamContext<'m>,
    running: Running,
    is_finished: bool,
    total_in: u64,
}

impl<'m> ZipCompressor<'m> {
    /// A compressor before a new stream.
    pub fn new(container: Container, window: Window, mut context: StreamContext<'m>) -> Self {
        context.clear();
        Self { container, window, context, running: Running::NEW, is_finished: false, total_in: 0 }
    }

    /// Compresses a chunk: one request at most. With `Flush::Finish` the stream ends behind `input`, once all of it was taken.
    ///
    /// # Errors
    /// `OutputTooSmall`, `Finished`, `Data`, `NoProgress`, `Queue`; after any but the first two the stream is lost.
    pub fn compress<S: System>(
        &mut self,
        queue: &mut ZipQueue<'_, S>,
        input: &[u8],
        output: &mut [u8],
        flush: Flush,
    ) -> Result<ChunkProgress, ZipError> {
        if self.is_finished {
            return Err(ZipError::Finished);
        }
        if output.len() < MIN_OUTPUT_BYTES {
            return Err(ZipError::OutputTooSmall { needed: MIN_OUTPUT_BYTES });
        }
        let header = if self.running.is_new { self.container.header() } else { &[] };
        let is_pending = self.running.has_held_output();
        if input.is_empty() && !is_pending && flush == Flush::Sync {
            return Ok(ChunkProgress { consumed: 0, produced: 0, is_end: false, has_held_output: false });
        }
        let (front, body) = output.split_at_mut(header.len());
        front.copy_from_slice(header);
        if input.is_empty() && !is_pending {
            let checksum = if self.running.is_new { initial_checksum(self.container) } else { self.running.checksum };
            let produced = header.len() + put_empty_end(self.container, checksum, self.running.isize, body);
            self.is_finished = true;
            return Ok(ChunkProgress { consumed: 0, produced, is_end: true, has_held_output: false });
        }

        let room = body.len().min(MAX_REQUEST_BYTES);
        let taken = chunk_for_room(input.len().min(MAX_REQUEST_BYTES), room);
        let is_last = flush == Flush::Finish && taken == input.len();
        let mode = self.running.step(self.context.address(), if is_last { Flush::Finish } else { Flush::Sync });
        let completion = queue.run(request(self.container, self.window, &input[..taken], &mut body[..room], mode))?;
        if !completion.status.is_good() {
            return Err(ZipError::Data { status: completion.status, offset: self.total_in + u64::from(completion.consumed) });
        }
        self.running.follow(&completion);
        let consumed = completion.consumed as usize;
        let has_ended = is_last && taken == 0 && !self.running.has_held_output();
        if consumed == 0 && completion.produced == 0 && !has_ended {
            return Err(ZipError::NoProgress { offset: self.total_in });
        }
        self.total_in += consumed as u64;
        self.is_finished = is_last && consumed == taken && !self.running.has_held_output();
        Ok(ChunkProgress {
            consumed,
            produced: header.len() + completion.produced as usize,
            is_end: self.is_finished,
            has_held_output: self.running.has_held_output(),
        })
    }

    /// Input bytes taken so far.
    pub const fn total_in(&self) -> u64 {
        self.total_in
    }

    /// True once the stream is complete.
    pub const fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// The engine has output that found no room: call again even without input.
    pub fn has_held_output(&self) -> bool {
        self.running.has_held_output()
    }

    /// Adler-32 (zlib) or CRC-32 (gzip) of the input taken so far; 1 for raw data.
    pub const fn checksum(&self) -> u32 {
        self.running.data_checksum(self.container)
    }
}

/// How much of `input_bytes` is sure to fit into `room_bytes` when it does not shrink (D.7 point 2).
const fn chunk_for_room(input_bytes: usize, room_bytes: usize) -> usize {
    if input_bytes + input_bytes.div_ceil(8) <= room_bytes { input_bytes } else { room_bytes * 8 / 9 / 4 * 4 }
}

/// A stream of any length on its way to be decompressed.
#[derive(Debug)]
pub struct ZipDecompressor<'m> {
    container: Container,
    context: StreamContext<'m>,
    header: HeaderReader,
    running: Running,
    is_finished: bool,
    total_in: u64,
    total_out: u64,
}

impl<'m> ZipDecompressor<'m> {
    /// A decompressor before a new stream.
    pub fn new(container: Container, mut context: StreamContext<'m>) -> Self {
        context.clear();
        let header = HeaderReader::new(container);
        Self { container, context, header, running: Running::NEW, is_finished: false, total_in: 0, total_out: 0 }
    }

    /// Goes before another stream of the same input, such as the next gzip member; the totals go on counting.
    pub fn restart(&mut self) {
        self.context.clear();
        self.header = HeaderReader::new(self.container);
        self.running = Running::NEW;
        self.is_finished = false;
    }

    /// The same before a stream of another format.
    pub fn restart_as(&mut self, container: Container) {
        self.container = container;
        self.restart();
    }

    /// Decompresses a chunk: one request at most. `consumed` stops exactly behind the trailer.
    ///
    /// # Errors
    /// `Header`, `Data`, `NoProgress`, `OutputTooSmall`, `Finished`, `Queue`; after any but `OutputTooSmall` and `Finished` the stream is lost.
    pub fn decompress<S: System>(
        &mut self,
        queue: &mut ZipQueue<'_, S>,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<ChunkProgress, ZipError> {
        if self.is_finished {
            return Err(ZipError::Finished);
        }
        if output.len() < MIN_OUTPUT_BYTES {
            return Err(ZipError::OutputTooSmall { needed: MIN_OUTPUT_BYTES });
        }
        let skipped = self.header.feed(input).map_err(|(error, at)| ZipError::Header { error, offset: self.total_in + at as u64 })?;
        self.total_in += skipped as u64;
        let body = &input[skipped..];
        if body.is_empty() && !self.running.has_held_output() {
            return Ok(ChunkProgress { consumed: skipped, produced: 0, is_end: false, has_held_output: false });
        }
        let body = &body[..body.len().min(MAX_REQUEST_BYTES)];
        let room = output.len().min(MAX_REQUEST_BYTES);
        let mode = self.running.step(self.context.address(), Flush::Sync);
        let completion = queue.run(request(self.container, Window::K32, body, &mut output[..room], mode))?;
        let is_end = completion.status == Status::END_OF_STREAM && completion.is_last_block;
        if !is_end && completion.status != Status::SUCCESS {
            return Err(ZipError::Data { status: completion.status, offset: self.total_in + u64::from(completion.consumed) });
        }
        if !is_end && completion.consumed == 0 && completion.produced == 0 {
            return Err(ZipError::NoProgress { offset: self.total_in });
        }
        self.running.follow(&completion);
        self.is_finished = is_end;
        self.total_in += u64::from(completion.consumed);
        self.total_out += u64::from(completion.produced);
        Ok(ChunkProgress {
            consumed: skipped + completion.consumed as usize,
            produced: completion.produced as usize,
            is_end,
            has_held_output: !is_end && self.running.has_held_output(),
        })
    }

    /// Says that the input has ended.
    ///
    /// # Errors
    /// `Truncated` if the stream has not.
    pub const fn finish(&self) -> Result<(), ZipError> {
        if self.is_finished { Ok(()) } else { Err(ZipError::Truncated { offset: self.total_in }) }
    }

    /// Input bytes taken so far, headers and trailers included.
    pub const fn total_in(&self) -> u64 {
        self.total_in
    }

    /// Output bytes so far.
    pub const fn total_out(&self) -> u64 {
        self.total_out
    }

    /// True once the stream is complete.
    pub const fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// The engine has output that found no room: call again even without input.
    pub fn has_held_output(&self) -> bool {
        !self.is_finished && self.running.has_held_output()
    }

    /// Adler-32 (zlib) or CRC-32 (gzip) of the output so far; 1 for raw data.
    pub const fn checksum(&self) -> u32 {
        self.running.data_checksum(self.container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_leave_room_for_an_eighth_more() {
        assert_eq!(chunk_for_room(800, 900), 800);
        assert_eq!(chunk_for_room(801, 901), 800);
        assert_eq!(chunk_for_room(1 << 20, 4096), 3640);
        assert_eq!(chunk_for_room(0, 256), 0);
    }

    #[test]
    fn empty_ends_are_whole_streams_behind_their_header() {
        let mut out = [0; 32];
        assert_eq!(put_empty_end(Container::Gzip, initial_checksum(Container::Gzip), 0, &mut out), 13);
        assert_eq!(out[..13], [1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(put_empty_end(Container::Zlib, initial_checksum(Container::Zlib), 0, &mut out), 9);
        assert_eq!(out[..9], [1, 0, 0, 0xff, 0xff, 0, 0, 0, 1]);
        assert_eq!(put_empty_end(Container::Raw, 0, 0, &mut out), 5);
    }

    #[test]
    fn row_57_trailer_bytes_of_an_empty_last_chunk() {
        let mut out = [0; 32];
        put_empty_end(Container::Gzip, 0x9b63_d02c, 9, &mut out);
        assert_eq!(out[5..13], [0x26, 0x39, 0xf4, 0xcb, 9, 0, 0, 0]);
        put_empty_end(Container::Zlib, 0x091e_01de, 9, &mut out);
        assert_eq!(out[5..9], [0x09, 0x1e, 0x01, 0xde]);
    }
}
