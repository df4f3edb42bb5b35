//! Reading a submission entry: every rule that an entry can break before the first byte is fetched.

use hal::Iova;
use zip_spec::{BufferType, CONTROL, Capabilities, Container, MAX_FLAT_BYTES, OUTPUT_OFFSET, Sqe, Status, dw, stream_context};

use crate::buffer::Buffer;

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

/// Checks an entry and lays out what is to be done.
///
/// # Errors
/// The status that the entry is answered with.
pub(crate) fn decode(sqe: &Sqe, direction: Direction, capabilities: &Capabilities) -> Result<Plan, Status> {
    let control = sqe.control();
    let sqe_type = sqe.sqe_type();
    if !capabilities.takes_sqe_type(sqe_type) {
        return Err(Status::BAD_SQE_TYPE);
    }
    if !capabilities.takes_request(sqe_type, sqe.request_type()) {
        return Err(Status::BAD_REQUEST_TYPE);
    }
    let container = Container::of(sqe.request_type()).ok_or(Status::BAD_REQUEST_TYPE)?;
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
    let source = match source_bytes {
        0 => Buffer::EMPTY,
        _ => Buffer::new(kind, sqe.source(), source_bytes, source_skip).ok_or(Status::BAD_ADDRESS)?,
    };
    let is_stream_context_in_reach = sqe.context().checked_add(stream_context::END as u64).is_some();
    if is_stream && !is_no_op && !is_stream_context_in_reach {
        return Err(Status::BAD_ADDRESS);
    }
    let destination = match room_bytes {
        0 => Buffer::EMPTY,
        _ => Buffer::new(kind, sqe.destination(), room_bytes, destination_skip).ok_or(Status::BAD_ADDRESS)?,
    };
    Ok(Plan {
        container,
        window_bytes,
        source,
        source_bytes,
        destination,
        room_bytes,
        // A one-shot request is a whole stream, whatever its flush bit says: the kernel leaves it 0.
        is_last: !is_stream || control.is_set(CONTROL::FLUSH),
        stream: is_stream.then(|| StreamPlan { is_new: control.is_set(CONTROL::STREAM_NEW), context: sqe.context() }),
        is_no_op,
        isize: sqe.0[dw::ISIZE],
        checksum: sqe.0[dw::CHECKSUM],
    })
}
