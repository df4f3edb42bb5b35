//! Reading a submission entry: every rule that an entry can break before the first byte is fetched.

use deflate::lz77::Effort;
use hal::Iova;
use zip_spec::{
    BufferType, CONTROL, Capabilities, Container, LZ77_ONLY_MAX_BYTES, LZ77_ZSTD_MAX_BYTES, MAX_FLAT_BYTES, OUTPUT_OFFSET, Sqe, Status, dw,
    stream_context,
};

use crate::buffer::Buffer;
use crate::sequences::{Format, SequenceJob, SequencePlan};

/// What the queue's engine does: the algorithm type of its SQC.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// Algorithm type 0.
    Compress,
    /// Algorithm type 1.
    Decompress,
}

impl Direction {
    /// The direction of an algorithm type; `None` for a type that this engine does not serve.
    pub const fn from_alg_type(alg_type: u8) -> Option<Self> {
        match alg_type {
            0 => Some(Self::Compress),
            1 => Some(Self::Decompress),
            _ => None,
        }
    }
}

/// A stream step, as the entry asks for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamPlan {
    pub(crate) is_new: bool,
    pub(crate) context: Iova,
}

/// A well-formed request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) container: Container,
    /// Farthest match distance in bytes (compression).
    pub(crate) window_bytes: u32,
    pub(crate) source: Buffer,
    pub(crate) source_bytes: u32,
    pub(crate) destination: Buffer,
    pub(crate) room_bytes: u32,
    /// The stream ends with this request (compression).
    pub(crate) is_last: bool,
    pub(crate) stream: Option<StreamPlan>,
    /// A step that asks for nothing and gets a completion (D.7 point 4).
    pub(crate) is_no_op: bool,
    /// Running size and checksum word handed in.
    pub(crate) isize: u32,
    pub(crate) checksum: u32,
}

/// Longest output room at which an empty request means "do nothing" (D.7 point 4).
const NO_OP_ROOM_BYTES: u32 = 0x10;

/// What a well-formed entry asks for. There is one of it per job slot and nowhere to box it.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant)]
pub(crate) enum Work {
    /// DEFLATE in some container, either way.
    Deflate(Plan),
    /// Literals and sequences, or an LZ4 block.
    Sequences(SequenceJob),
}

/// Checks an entry and lays out what is to be done.
///
/// # Errors
/// The status that the entry is answered with.
pub(crate) fn decode(sqe: &Sqe, direction: Direction, capabilities: &Capabilities) -> Result<Work, Status> {
    let request_type = sqe.request_type();
    if !capabilities.takes_sqe_type(sqe.sqe_type()) {
        return Err(Status::BAD_SQE_TYPE);
    }
    if !capabilities.takes_request(sqe.sqe_type(), request_type) {
        return Err(Status::BAD_REQUEST_TYPE);
    }
    match (Container::of(request_type), Format::of(request_type)) {
        (Some(container), _) => Ok(Work::Deflate(decode_deflate(sqe, direction, container)?)),
        (None, Some(format)) if direction == Direction::Compress => Ok(Work::Sequences(decode_sequences(sqe, format)?)),
        _ => Err(Status::BAD_REQUEST_TYPE),
    }
}

/// What the rules of every format say about an entry.
struct Selectors {
    kind: BufferType,
    window_bytes: u32,
    source_skip: u32,
    destination_skip: u32,
}

fn decode_selectors(sqe: &Sqe, direction: Direction) -> Result<Selectors, Status> {
    let control = sqe.control();
    let kind = sqe.buffer_type();
    if kind != BufferType::FLAT && kind != BufferType::SGL {
        return Err(Status::BAD_BUFFER_TYPE);
    }
    let window_bytes = match direction {
        Direction::Compress => sqe.window().bytes().ok_or(Status::BAD_WINDOW)?,
        // Libraries leave the session's value here; a decompressor always keeps the whole window.
        Direction::Decompress => 32 << 10,
    };
    let is_dif_asked = sqe.0[dw::DIF_GENERATE] != 0 || sqe.0[dw::DIF_VERIFY] != 0;
    if control.is_set(CONTROL::RESERVED) || sqe.output_offset().read(OUTPUT_OFFSET::RESERVED) != 0 || is_dif_asked {
        return Err(Status::RESERVED_BITS);
    }
    let (source_skip, destination_skip) = (control.read(CONTROL::INPUT_OFFSET), sqe.output_offset().read(OUTPUT_OFFSET::OFFSET));
    if kind == BufferType::FLAT && (source_skip != 0 || destination_skip != 0) {
        return Err(Status::BAD_ADDRESS);
    }
    Ok(Selectors { kind, window_bytes, source_skip, destination_skip })
}

fn decode_stream(sqe: &Sqe) -> Result<Option<StreamPlan>, Status> {
    let control = sqe.control();
    if !control.is_set(CONTROL::STREAM_MODE) {
        return Ok(None);
    }
    if sqe.context().checked_add(stream_context::END as u64).is_none() {
        return Err(Status::BAD_ADDRESS);
    }
    Ok(Some(StreamPlan { is_new: control.is_set(CONTROL::STREAM_NEW), context: sqe.context() }))
}

/// A run of memory, which is nothing where its length is.
fn run(kind: BufferType, address: Iova, len_bytes: u32, skip: u32) -> Result<Buffer, Status> {
    match len_bytes {
        0 => Ok(Buffer::EMPTY),
        _ => Buffer::new(kind, address, len_bytes, skip).ok_or(Status::BAD_ADDRESS),
    }
}

fn decode_deflate(sqe: &Sqe, direction: Direction, container: Container) -> Result<Plan, Status> {
    let Selectors { kind, window_bytes, source_skip, destination_skip } = decode_selectors(sqe, direction)?;
    let control = sqe.control();
    let source_bytes = sqe.0[dw::INPUT_LENGTH];
    let mut room_bytes = sqe.0[dw::DEST_AVAIL_OUT];
    if kind == BufferType::FLAT {
        if source_bytes > MAX_FLAT_BYTES {
            return Err(Status::BAD_INPUT_LENGTH);
        }
        room_bytes = room_bytes.min(MAX_FLAT_BYTES);
    }
    let is_stream = control.is_set(CONTROL::STREAM_MODE);
    let is_no_op = source_bytes == 0 && room_bytes <= NO_OP_ROOM_BYTES;
    if source_bytes == 0 && !is_stream && !is_no_op {
        return Err(Status::BAD_INPUT_LENGTH);
    }
    let source = run(kind, sqe.source(), source_bytes, source_skip)?;
    let stream = if is_no_op { None } else { decode_stream(sqe)? };
    let destination = run(kind, sqe.destination(), room_bytes, destination_skip)?;
    Ok(Plan {
        container,
        window_bytes,
        source,
        source_bytes,
        destination,
        room_bytes,
        // A one-shot request is a whole stream, whatever its flush bit says: the kernel leaves it 0.
        is_last: !is_stream || control.is_set(CONTROL::FLUSH),
        stream,
        is_no_op,
        isize: sqe.0[dw::ISIZE],
        checksum: sqe.0[dw::CHECKSUM],
    })
}

fn decode_sequences(sqe: &Sqe, format: (Format, Effort)) -> Result<SequenceJob, Status> {
    let Selectors { kind, window_bytes, source_skip, destination_skip } = decode_selectors(sqe, Direction::Compress)?;
    let stream = decode_stream(sqe)?;
    let (longest, literals_bytes) = match format.0 {
        Format::Lz77Zstd => (LZ77_ZSTD_MAX_BYTES, sqe.0[dw::TAG_TYPE0]),
        Format::Lz77Only => (LZ77_ONLY_MAX_BYTES, sqe.0[dw::TAG_TYPE0]),
        Format::Lz4 if stream.is_some() => return Err(Status::BAD_MODE),
        Format::Lz4 => (MAX_FLAT_BYTES, 0),
    };
    let source_bytes = sqe.0[dw::INPUT_LENGTH];
    if source_bytes == 0 || source_bytes > longest {
        return Err(Status::BAD_INPUT_LENGTH);
    }
    let mut room_bytes = sqe.0[dw::DEST_AVAIL_OUT];
    if kind == BufferType::FLAT {
        room_bytes = room_bytes.min(MAX_FLAT_BYTES);
    }
    let plan = SequencePlan {
        window_bytes,
        stream,
        source: run(kind, sqe.source(), source_bytes, source_skip)?,
        source_bytes,
        main: (run(kind, sqe.destination(), room_bytes, destination_skip)?, room_bytes),
        literals: (run(kind, Iova(sqe.pair(dw::LITERALS_LOW)), literals_bytes, 0)?, literals_bytes),
    };
    Ok(SequenceJob::new(sqe.request_type(), format, plan))
}
