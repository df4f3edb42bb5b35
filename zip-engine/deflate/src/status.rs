//! What a step reports, and what both directions share.

/// Longest history a match may reach back into, in bytes (RFC 1951 §2).
pub const WINDOW_BYTES: usize = 32 * 1024;

/// Upper bound of a state image of either direction, in bytes.
///
/// The private part of a stream context holds 2272 bytes; both images are asserted to fit.
pub const STATE_BYTES_MAX: usize = 2272;

/// What follows the DEFLATE data of a stream.
///
/// Headers are no part of it: whoever wraps or unwraps a stream uses [`crate::zlib`] and [`crate::gzip`] for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Nothing (RFC 1951); no checksum is kept.
    Raw,
    /// The Adler-32 of the data, big-endian (RFC 1950 §2.2).
    ZlibBody,
    /// The CRC-32 and the length modulo 2^32, little-endian (RFC 1952 §2.3.1).
    GzipBody,
}

impl Framing {
    /// Returns the checksum of no data: 1 for Adler-32, 0 for CRC-32 and for no checksum.
    pub const fn initial_check(self) -> u32 {
        match self {
            Framing::ZlibBody => crate::checksum::ADLER32_INIT,
            Framing::GzipBody | Framing::Raw => crate::checksum::CRC32_INIT,
        }
    }

    /// Returns the number of trailer bytes.
    pub const fn trailer_bytes(self) -> usize {
        match self {
            Framing::Raw => 0,
            Framing::ZlibBody => 4,
            Framing::GzipBody => 8,
        }
    }

    /// Extends `check` over `data` with the checksum of this framing.
    pub fn extend_check(self, check: u32, data: &[u8]) -> u32 {
        match self {
            Framing::Raw => check,
            Framing::ZlibBody => crate::checksum::adler32(check, data),
            Framing::GzipBody => crate::checksum::crc32(check, data),
        }
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Framing::Raw => 0,
            Framing::ZlibBody => 1,
            Framing::GzipBody => 2,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Framing::Raw),
            1 => Some(Framing::ZlibBody),
            2 => Some(Framing::GzipBody),
            _ => None,
        }
    }
}

/// Why a step returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status<E> {
    /// Everything that the input allows has been written and all input was consumed; more input is needed to go on.
    NeedInput,
    /// The output is full and there is more to write; call again with the unconsumed input and fresh output.
    NeedOutput,
    /// The stream is complete, its trailer included. Further steps consume and produce nothing.
    Done,
    /// The stream is bad. Further steps report the same error and move nothing.
    Error(E),
}

/// How far one step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<E> {
    /// Bytes taken from the front of `input`. The rest must be offered again.
    pub consumed: usize,
    /// Bytes of the stream written to the front of `output`.
    pub produced: usize,
    /// Why the step returned.
    pub status: Status<E>,
}

/// Why a state image was refused, or could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateError {
    /// The buffer is shorter than the image.
    BufferTooShort {
        /// Bytes that the image needs.
        needed: usize,
    },
    /// The image does not begin with the tag of this direction and version.
    WrongTag {
        /// The four bytes found.
        found: u32,
    },
    /// A field holds a value that no run of the codec leaves behind.
    BadField {
        /// Offset of the field in the image, in bytes.
        offset: usize,
    },
    /// The code lengths of the image do not make a code.
    BadCode,
    /// The window is longer than 32 KiB, or its length differs from the one in the image.
    WrongWindow {
        /// Bytes handed in.
        got: usize,
    },
    /// The stream is bad or complete in a way that leaves nothing to resume.
    NothingToResume,
    /// Input was accepted that is neither in the output nor given back; see `Deflate::suspend`.
    NotSuspended,
    /// The block at hand cannot end early; `FinalBlock::Empty` avoids such blocks.
    BlockOpen,
}
