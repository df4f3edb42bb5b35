//! Where a stream lies in the memory of its context (D.6), and the model's private header there.
//!
//! The header fills the first bytes, the codec's state image the bytes between the shared words and the window, the history the window.
//! Everything is read back as a stranger wrote it: the header is checked here, the image by the codec.

use zip_spec::{RequestType, stream_context};

use crate::Direction;

/// "ZMC" and a version.
const MAGIC: u32 = 0x0243_4d5a;
/// Length of the header in bytes.
const HEADER_BYTES: usize = 16;

/// Longest codec image in bytes.
pub(crate) const IMAGE_BYTES: usize = stream_context::WINDOW - stream_context::PRIVATE;
/// Length of a context image: everything up to and with the tail bits behind the longest window.
pub(crate) const CONTEXT_BYTES: usize = stream_context::tail_bits(stream_context::WINDOW_MAX_BYTES) + 8;

const _: () = assert!(HEADER_BYTES <= stream_context::REPCODES && CONTEXT_BYTES <= stream_context::END);

/// A run of bytes of the context.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    pub(crate) at: usize,
    pub(crate) len: usize,
}

impl Extent {
    /// Nothing.
    pub(crate) const EMPTY: Self = Self { at: 0, len: 0 };
    /// The header.
    pub(crate) const HEADER: Self = Self { at: 0, len: HEADER_BYTES };
    /// The words that software shares: last distances and pending literals.
    pub(crate) const REPCODES: Self = Self { at: stream_context::REPCODES, len: stream_context::PRIVATE - stream_context::REPCODES };
    /// Header, shared words and codec image: what is read before the length of the window is known.
    pub(crate) const STATE: Self = Self { at: 0, len: stream_context::WINDOW };

    /// The first `len` bytes of the codec image.
    pub(crate) const fn image(len: usize) -> Self {
        Self { at: stream_context::PRIVATE, len }
    }
    /// The first `len` bytes of the window.
    pub(crate) const fn window(len: usize) -> Self {
        Self { at: stream_context::WINDOW, len }
    }
    /// The window, its padding and the tail bits.
    pub(crate) const fn window_and_tail(window_bytes: usize) -> Self {
        Self { at: stream_context::WINDOW, len: stream_context::tail_bits(window_bytes) + 8 - stream_context::WINDOW }
    }

    pub(crate) const fn range(self) -> core::ops::Range<usize> {
        self.at..self.at + self.len
    }
}

/// What the header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) image_bytes: usize,
    pub(crate) window_bytes: usize,
}

fn kind(direction: Direction, request_type: RequestType) -> [u8; 2] {
    let direction = match direction {
        Direction::Compress => 1,
        Direction::Decompress => 2,
    };
    [direction, request_type.0]
}

impl Header {
    /// Writes the header of an open stream.
    pub(crate) fn write(self, context: &mut [u8], direction: Direction, request_type: RequestType) {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4..6].copy_from_slice(&kind(direction, request_type));
        bytes[8..12].copy_from_slice(&(self.image_bytes as u32).to_le_bytes());
        bytes[12..16].copy_from_slice(&(self.window_bytes as u32).to_le_bytes());
        context[Extent::HEADER.range()].copy_from_slice(&bytes);
    }

    /// Reads a header; `None` unless it is that of an open stream of this direction and format.
    pub(crate) fn read(context: &[u8], direction: Direction, request_type: RequestType) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([context[at], context[at + 1], context[at + 2], context[at + 3]]);
        let header = Self { image_bytes: word(8) as usize, window_bytes: word(12) as usize };
        let is_sound = word(0) == MAGIC
            && context[4..6] == kind(direction, request_type)
            && header.image_bytes <= IMAGE_BYTES
            && header.window_bytes <= stream_context::WINDOW_MAX_BYTES;
        is_sound.then_some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_read_back_for_its_own_kind_only() {
        let header = Header { image_bytes: 100, window_bytes: 32_768 };
        let mut context = [0; CONTEXT_BYTES];
        header.write(&mut context, Direction::Decompress, RequestType::GZIP);
        assert_eq!(Header::read(&context, Direction::Decompress, RequestType::GZIP), Some(header));
        assert_eq!(Header::read(&context, Direction::Compress, RequestType::GZIP), None);
        assert_eq!(Header::read(&context, Direction::Decompress, RequestType::ZLIB), None);
        context[13] = 0x81;
        assert_eq!(Header::read(&context, Direction::Decompress, RequestType::GZIP), None, "window of 0x8100");
        context.fill(0);
        assert_eq!(Header::read(&context, Direction::Decompress, RequestType::GZIP), None, "zeroed context");
    }

    #[test]
    fn nothing_is_written_over_the_shared_words() {
        let shared = 784..800;
        for extent in [Extent::HEADER, Extent::image(IMAGE_BYTES), Extent::window_and_tail(0), Extent::window_and_tail(32_768)] {
            assert!(extent.range().end <= shared.start || extent.at >= shared.end, "{extent:?}");
        }
        assert_eq!(Extent::window_and_tail(32_768).range().end, CONTEXT_BYTES);
    }
}
