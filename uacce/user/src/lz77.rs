//! Literals and sequences, and LZ4 blocks: the engine's match finder without an entropy code behind it. One request each, flat buffers.

use hal::Iova;
use zip_spec::{
    BufferType, Completion, FREQUENCY_BYTES, FREQUENCY_GAP_BYTES, LITERAL_SLACK_BYTES, LZ77_ONLY_MAX_BYTES, LZ77_ZSTD_MAX_BYTES,
    Lz77Completion, Lz77Request, Mode, Request, RequestType, SEQUENCE_BYTES, Sequence, Window,
};

use crate::{CompletionWait, Direction, MAX_REQUEST_BYTES, System, Wanted, WdError, ZipError, ZipQueue, wd_request_queue};

/// What the sequences are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lz77Format {
    /// A Zstandard encoder: offsets as that format writes them, and how often each code is needed.
    Zstd,
    /// Anybody: plain distances and lengths. From sub-version 0x50 on.
    Only,
}

/// How much work goes into matches; the libraries' levels 8 and 9.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lz77Level {
    /// The plain code.
    Plain,
    /// The price code: fewer literals and sequences for more work.
    Price,
}

impl Lz77Format {
    /// The name in the `algorithms` attribute.
    pub const fn algorithm_name(self) -> &'static str {
        match self {
            Self::Zstd => "lz77_zstd",
            Self::Only => "lz77_only",
        }
    }

    /// Longest input of one request in bytes.
    pub const fn max_bytes(self) -> usize {
        match self {
            Self::Zstd => LZ77_ZSTD_MAX_BYTES as usize,
            Self::Only => LZ77_ONLY_MAX_BYTES as usize,
        }
    }

    /// Length that the literals' buffer must have for `input_bytes`.
    pub const fn literals_room(self, input_bytes: usize) -> usize {
        input_bytes + LITERAL_SLACK_BYTES as usize
    }

    /// Length of a buffer that holds the sequences of any `input_bytes`, and what stands behind them.
    pub const fn sequences_room(self, input_bytes: usize) -> usize {
        let most = (input_bytes / 4 + 1) * SEQUENCE_BYTES;
        match self {
            Self::Zstd => most + FREQUENCY_GAP_BYTES + FREQUENCY_BYTES,
            Self::Only => most,
        }
    }

    const fn request_type(self, level: Lz77Level) -> RequestType {
        match (self, level) {
            (Self::Zstd, Lz77Level::Plain) => RequestType::LZ77_ZSTD,
            (Self::Zstd, Lz77Level::Price) => RequestType::LZ77_ZSTD_PRICE,
            (Self::Only, Lz77Level::Plain) => RequestType::LZ77_ONLY,
            (Self::Only, Lz77Level::Price) => RequestType::LZ77_ONLY_PRICE,
        }
    }

    const fn trailer_bytes(self) -> usize {
        match self {
            Self::Zstd => FREQUENCY_GAP_BYTES + FREQUENCY_BYTES,
            Self::Only => 0,
        }
    }
}

/// What the engine found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parsed<'o> {
    /// All literals, those behind the last sequence included.
    pub literals: &'o [u8],
    /// The sequences as they lie in memory.
    sequences: &'o [[u8; SEQUENCE_BYTES]],
    /// The sequence that has 65536 literals more than it says.
    pub long_literals: Option<u32>,
    /// The table behind the sequences ([`zip_spec::frequency`]); nothing for [`Lz77Format::Only`].
    pub frequencies: &'o [u8],
}

impl<'o> Parsed<'o> {
    /// The sequences, in order, with their true numbers of literals.
    pub fn sequences(&self) -> impl Iterator<Item = (u32, Sequence)> + use<'o> {
        let long = self.long_literals;
        self.sequences.iter().enumerate().map(move |(number, bytes)| {
            let sequence = Sequence::from_bytes(bytes);
            let more = if long == Some(number as u32) { zip_spec::LONG_LITERALS } else { 0 };
            (u32::from(sequence.literal_length) + more, sequence)
        })
    }
}

impl<'s, S: System> ZipQueue<'s, S> {
    /// Requests a queue that compresses to literals and sequences.
    ///
    /// # Errors
    /// As [`wd_request_queue`].
    pub fn request_lz77(system: &'s S, format: Lz77Format, wait: CompletionWait) -> Result<Self, WdError> {
        Self::request_compression(system, format.algorithm_name(), wait)
    }

    /// Requests a queue that compresses to LZ4 blocks.
    ///
    /// # Errors
    /// As [`wd_request_queue`].
    pub fn request_lz4(system: &'s S, wait: CompletionWait) -> Result<Self, WdError> {
        Self::request_compression(system, "lz4", wait)
    }

    fn request_compression(system: &'s S, algorithm: &str, wait: CompletionWait) -> Result<Self, WdError> {
        Ok(Self::over(wd_request_queue(system, &Wanted { algorithm, direction: Direction::Compress })?, wait))
    }
}

/// Finds the literals and sequences of `input`, with one request.
///
/// # Errors
/// `InputTooLong`, `OutputTooSmall` if `literals` is shorter than [`Lz77Format::literals_room`], `Data` (0x0e if `sequences` is too short), `BadCount`, `Queue`.
pub fn lz77_one_shot<'o, S: System>(
    queue: &mut ZipQueue<'_, S>,
    format: Lz77Format,
    level: Lz77Level,
    window: Window,
    input: &[u8],
    literals: &'o mut [u8],
    sequences: &'o mut [u8],
) -> Result<Parsed<'o>, ZipError> {
    if input.len() > format.max_bytes() {
        return Err(ZipError::InputTooLong);
    }
    if literals.len() < format.literals_room(input.len()) {
        return Err(ZipError::OutputTooSmall { needed: format.literals_room(input.len()) });
    }
    let room = sequences.len().min(MAX_REQUEST_BYTES);
    let request = Lz77Request {
        request: request(format.request_type(level), window, input, &mut sequences[..room]),
        literals: Iova(literals.as_mut_ptr().expose_provenance() as u64),
        literals_bytes: literals.len().min(MAX_REQUEST_BYTES) as u32,
    };
    let sqe = queue.run_entry(|sqe_type, tag| Lz77Request { request: Request { sqe_type, tag, ..request.request }, ..request }.encode())?;
    let completion = Lz77Completion::from(&sqe);
    if !completion.status.is_good() {
        return Err(ZipError::Data { status: completion.status, offset: u64::from(completion.consumed) });
    }
    let bad_count = ZipError::BadCount { consumed: completion.consumed, produced: completion.sequences };
    if completion.consumed as usize != input.len() || completion.long_literals.is_some_and(|number| number >= completion.sequences) {
        return Err(bad_count);
    }
    let literals = literals.get(..completion.literals as usize).ok_or(bad_count)?;
    let end = (completion.sequences as usize).checked_mul(SEQUENCE_BYTES).ok_or(bad_count)?;
    let trailer = format.trailer_bytes();
    let whole = end.checked_add(trailer).and_then(|whole| sequences.get(..whole)).ok_or(bad_count)?;
    Ok(Parsed {
        literals,
        sequences: whole[..end].as_chunks::<SEQUENCE_BYTES>().0,
        long_literals: completion.long_literals,
        frequencies: &whole[end + trailer.min(FREQUENCY_GAP_BYTES)..],
    })
}

/// Compresses `input` into one LZ4 block; returns its length.
///
/// # Errors
/// `InputTooLong`, `Data` (0x0e if `output` is too short), `BadCount`, `Queue`.
pub fn lz4_block<S: System>(queue: &mut ZipQueue<'_, S>, window: Window, input: &[u8], output: &mut [u8]) -> Result<usize, ZipError> {
    if input.len() > MAX_REQUEST_BYTES {
        return Err(ZipError::InputTooLong);
    }
    if input.is_empty() {
        // The engine refuses it; a block of nothing is a token that says so.
        let first = output.first_mut().ok_or(ZipError::OutputTooSmall { needed: 1 })?;
        *first = 0;
        return Ok(1);
    }
    let room = output.len().min(MAX_REQUEST_BYTES);
    let completion: Completion = queue.run(request(RequestType::LZ4, window, input, &mut output[..room]))?;
    if !completion.status.is_good() {
        return Err(ZipError::Data { status: completion.status, offset: u64::from(completion.consumed) });
    }
    Ok(completion.produced as usize)
}

fn request(request_type: RequestType, window: Window, input: &[u8], output: &mut [u8]) -> Request {
    Request {
        sqe_type: zip_spec::SqeType::TYPE3,
        request_type,
        buffer_type: BufferType::FLAT,
        window,
        source: Iova(input.as_ptr().expose_provenance() as u64),
        source_bytes: input.len() as u32,
        source_offset: 0,
        destination: Iova(output.as_mut_ptr().expose_provenance() as u64),
        destination_bytes: output.len() as u32,
        destination_offset: 0,
        mode: Mode::ONE_SHOT,
        tag: 0,
    }
}
