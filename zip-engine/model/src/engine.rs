//! The working memory of one job slot, and the codec behind one face for both directions.

use core::fmt;
use core::ops::Range;

use deflate::lz77::Finder;
use deflate::{Deflate, FinalBlock, Flush, Framing, Inflate, InflateError, Params, Status as CodecStatus};
use zip_spec::{
    CTX_DW0, CTX_DW1, CTX_DW2, Container, ContextState, ContextWords, Status, crc32_from_gzip_register, frequency,
    gzip_register_from_crc32, stream_context,
};

use crate::Direction;
use crate::context::{CONTEXT_BYTES, Extent, Header};
use crate::decode::Plan;

/// Length of the input and of the output stage in bytes.
pub const STAGE_BYTES: usize = 64 << 10;

/// Staging buffers, stream context image and codec contexts of one job slot.
///
/// It is large (see the crate's README) and holds no state that outlives a job.
pub struct EngineMemory {
    pub(crate) input: [u8; STAGE_BYTES],
    pub(crate) output: [u8; STAGE_BYTES],
    pub(crate) context: [u8; CONTEXT_BYTES],
    pub(crate) finder: Finder,
    /// How often the sequences of an lz77_zstd request need each code.
    pub(crate) frequencies: [u32; frequency::WORDS],
    inflate: Inflate,
    deflate: Deflate,
}

impl fmt::Debug for EngineMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineMemory").finish_non_exhaustive()
    }
}

/// Why the codec stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CodecStop {
    NeedInput,
    NeedOutput,
    Done,
    /// The stream is bad at this offset of it.
    Failed {
        status: Status,
        offset: u64,
    },
}

/// How far the codec came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodecProgress {
    pub(crate) consumed: usize,
    pub(crate) produced: usize,
    pub(crate) stop: CodecStop,
}

impl EngineMemory {
    /// Memory of an idle slot.
    pub const fn new() -> Self {
        Self {
            input: [0; STAGE_BYTES],
            output: [0; STAGE_BYTES],
            context: [0; CONTEXT_BYTES],
            finder: Finder::new(),
            frequencies: [0; frequency::WORDS],
            inflate: Inflate::new(),
            deflate: Deflate::new(),
        }
    }

    /// Puts the codec before a new stream.
    pub(crate) fn reset_codec(&mut self, direction: Direction, plan: &Plan) {
        match direction {
            Direction::Compress => {
                // An open stream must be suspendable at any output boundary, so its BFINAL goes on a block of its own.
                let final_block = if plan.stream.is_some() { FinalBlock::Empty } else { FinalBlock::Data };
                self.deflate.reset(Params { window_bytes: plan.window_bytes, final_block, ..Params::new(framing(plan.container)) });
            }
            Direction::Decompress => self.inflate.reset(framing(plan.container)),
        }
    }

    /// Reads the header of the context image; the length of the window, if the header is sound.
    pub(crate) fn parse_header(&self, direction: Direction, container: Container) -> Option<usize> {
        Header::read(&self.context, direction, container.request_type()).map(|header| header.window_bytes)
    }

    /// Puts the codec where the context image says, with the running values that the entry brings (D.7 point 2).
    pub(crate) fn import_codec(&mut self, direction: Direction, plan: &Plan) -> Result<(), BadContext> {
        let header = Header::read(&self.context, direction, plan.container.request_type()).ok_or(BadContext)?;
        let image = &self.context[Extent::image(header.image_bytes).range()];
        let window = &self.context[Extent::window(header.window_bytes).range()];
        let (check, isize) = codec_check(plan);
        match direction {
            Direction::Compress => {
                self.deflate.import(image, window).map_err(|_| BadContext)?;
                self.deflate.set_check(check, isize);
            }
            Direction::Decompress => {
                self.inflate.import(image, window).map_err(|_| BadContext)?;
                self.inflate.set_check(check, isize);
            }
        }
        Ok(())
    }

    /// Bytes that the codec has taken since its stream began.
    pub(crate) fn total_in(&self, direction: Direction) -> u64 {
        match direction {
            Direction::Compress => self.deflate.total_in(),
            Direction::Decompress => self.inflate.total_in(),
        }
    }

    /// Runs the codec from a range of the input stage into a range of the output stage.
    pub(crate) fn run_codec(
        &mut self,
        direction: Direction,
        plan: &Plan,
        from: Range<usize>,
        into: Range<usize>,
        is_all_in: bool,
    ) -> CodecProgress {
        let (input, output) = (&self.input[from], &mut self.output[into]);
        match direction {
            Direction::Compress => {
                let flush = match (is_all_in, plan.is_last) {
                    (false, _) => Flush::None,
                    (true, false) => Flush::Sync,
                    (true, true) => Flush::Finish,
                };
                let progress = self.deflate.step(input, output, flush);
                let stop = match progress.status {
                    CodecStatus::NeedInput => CodecStop::NeedInput,
                    CodecStatus::NeedOutput => CodecStop::NeedOutput,
                    CodecStatus::Done => CodecStop::Done,
                    // The step does not offer what the stopped one before it was promised.
                    CodecStatus::Error(_) => CodecStop::Failed { status: Status::BAD_CONTEXT, offset: self.deflate.total_in() },
                };
                CodecProgress { consumed: progress.consumed, produced: progress.produced, stop }
            }
            Direction::Decompress => {
                let progress = self.inflate.step(input, output);
                let stop = match progress.status {
                    CodecStatus::NeedInput => CodecStop::NeedInput,
                    CodecStatus::NeedOutput => CodecStop::NeedOutput,
                    CodecStatus::Done => CodecStop::Done,
                    CodecStatus::Error(error) => CodecStop::Failed {
                        status: status_of(error),
                        offset: self.inflate.error_offset().unwrap_or(self.inflate.total_in()),
                    },
                };
                CodecProgress { consumed: progress.consumed, produced: progress.produced, stop }
            }
        }
    }

    /// Brings the codec to where it can be laid down; returns how many of the input bytes it had taken must be offered again.
    pub(crate) fn suspend_codec(&mut self, direction: Direction) -> Result<usize, Status> {
        match direction {
            Direction::Compress => self.deflate.suspend().map_err(|_| Status::BAD_CONTEXT),
            Direction::Decompress => Ok(0),
        }
    }

    /// Lays the state of an open stream out for saving; returns what to write and the words for the entry.
    pub(crate) fn export_codec(&mut self, direction: Direction, plan: &Plan, is_full: bool) -> Result<([Extent; 3], ContextWords), Status> {
        let image = &mut self.context[Extent::image(crate::context::IMAGE_BYTES).range()];
        let (image_bytes, window_bytes) = match direction {
            Direction::Compress => {
                let image_bytes = self.deflate.export_state(image).map_err(|_| Status::BAD_CONTEXT)?;
                (image_bytes, self.deflate.window().len())
            }
            Direction::Decompress => {
                let image_bytes = self.inflate.export_state(image).map_err(|_| Status::BAD_CONTEXT)?;
                (image_bytes, self.inflate.window_len())
            }
        };
        let tail = stream_context::tail_bits(window_bytes);
        self.context[stream_context::WINDOW + window_bytes..tail].fill(0);
        let window = &mut self.context[Extent::window(window_bytes).range()];
        let (tail_bits, tail_count) = match direction {
            Direction::Compress => {
                self.deflate.export_window(window).map_err(|_| Status::BAD_CONTEXT)?;
                (0, 0)
            }
            Direction::Decompress => {
                self.inflate.export_window(window).map_err(|_| Status::BAD_CONTEXT)?;
                self.inflate.tail_bits()
            }
        };
        self.context[tail..tail + 8].copy_from_slice(&tail_bits.to_le_bytes());
        Header { image_bytes, window_bytes }.write(&mut self.context, direction, plan.container.request_type());

        let state = match direction {
            _ if is_full => ContextState::OUTPUT_FULL,
            Direction::Decompress if self.inflate.is_between_blocks() => ContextState::BLOCK_NOT_STARTED,
            _ => ContextState::NONE,
        };
        let is_final = direction == Direction::Decompress && self.inflate.in_final_block();
        let words = ContextWords {
            dw0: (CTX_DW0::CTX_ST.val(u32::from(state.0)) + CTX_DW0::BFINAL.val(u32::from(is_final)) + CTX_DW0::TAIL_BITS.val(tail_count))
                .value,
            dw1: CTX_DW1::HELD.val(u32::from(is_full)).value,
            dw2: CTX_DW2::WINDOW_BYTES.val(window_bytes as u32).value,
        };
        let extents = [Extent::image(image_bytes), Extent::window_and_tail(window_bytes), Extent::HEADER];
        Ok((extents, words))
    }

    /// Lays an empty header out: the stream has ended, and a continuation of it finds nothing.
    pub(crate) fn forget_stream(&mut self) -> [Extent; 3] {
        self.context[Extent::HEADER.range()].fill(0);
        [Extent::HEADER, Extent::EMPTY, Extent::EMPTY]
    }

    /// Running checksum and size as the entry carries them: dw31 and dw30.
    pub(crate) fn check_words(&self, direction: Direction, container: Container) -> (u32, u32) {
        let (check, isize) = match direction {
            Direction::Compress => (self.deflate.check(), self.deflate.isize()),
            Direction::Decompress => (self.inflate.check(), self.inflate.isize()),
        };
        match container {
            Container::Raw => (0, 0),
            Container::Zlib => (check, 0),
            Container::Gzip => (gzip_register_from_crc32(check), isize),
        }
    }

    /// True once the decompressor has met BFINAL.
    pub(crate) fn is_in_final_block(&self) -> bool {
        self.inflate.in_final_block()
    }
}

impl Default for EngineMemory {
    fn default() -> Self {
        Self::new()
    }
}

/// The context holds no state to go on from.
pub(crate) struct BadContext;

fn framing(container: Container) -> Framing {
    match container {
        Container::Raw => Framing::Raw,
        Container::Zlib => Framing::ZlibBody,
        Container::Gzip => Framing::GzipBody,
    }
}

/// The running values that the entry hands in, as the codec keeps them.
fn codec_check(plan: &Plan) -> (u32, u32) {
    match plan.container {
        Container::Raw => (0, 0),
        // Both halves of an Adler-32 are below 65521; a caller's word may not be.
        Container::Zlib => ((((plan.checksum >> 16) % 65_521) << 16) | ((plan.checksum & 0xffff) % 65_521), 0),
        Container::Gzip => (crc32_from_gzip_register(plan.checksum), plan.isize),
    }
}

fn status_of(error: InflateError) -> Status {
    match error {
        InflateError::InvalidBlockType => Status::BAD_BLOCK_TYPE,
        InflateError::StoredLengthMismatch { .. } => Status::BAD_STORED_LENGTH,
        InflateError::TooManySymbols { .. }
        | InflateError::InvalidPrecode
        | InflateError::InvalidLengthRepeat
        | InflateError::MissingEndOfBlock
        | InflateError::InvalidLitLenCode
        | InflateError::InvalidDistanceCode => Status::BAD_CODE_LENGTHS,
        InflateError::InvalidLitLenSymbol | InflateError::InvalidDistanceSymbol => Status::BAD_SYMBOL,
        InflateError::DistanceTooFarBack { .. } => Status::DISTANCE_TOO_FAR,
        InflateError::AdlerMismatch { .. } | InflateError::CrcMismatch { .. } => Status::CHECKSUM_MISMATCH,
        InflateError::IsizeMismatch { .. } => Status::LENGTH_MISMATCH,
    }
}
