//! What software writes before and skips in front of the engine's bytes (D.8).

use crate::RequestType;

/// The zlib header that the libraries write: 32 KiB window, default level.
pub const ZLIB_HEADER: [u8; 2] = [0x78, 0x9c];
/// The gzip header that the libraries write: no name, no time, Unix.
pub const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0x03];

/// A container around DEFLATE data.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Container {
    /// None (RFC 1951).
    Raw,
    /// RFC 1950.
    Zlib,
    /// RFC 1952.
    Gzip,
}

impl Container {
    /// The container of a request type of the DEFLATE family.
    pub const fn of(request_type: RequestType) -> Option<Self> {
        match request_type {
            RequestType::DEFLATE => Some(Self::Raw),
            RequestType::ZLIB => Some(Self::Zlib),
            RequestType::GZIP => Some(Self::Gzip),
            _ => None,
        }
    }

    /// The request type.
    pub const fn request_type(self) -> RequestType {
        match self {
            Self::Raw => RequestType::DEFLATE,
            Self::Zlib => RequestType::ZLIB,
            Self::Gzip => RequestType::GZIP,
        }
    }

    /// The header that software puts in front of the engine's output.
    pub const fn header(self) -> &'static [u8] {
        match self {
            Self::Raw => &[],
            Self::Zlib => &ZLIB_HEADER,
            Self::Gzip => &GZIP_HEADER,
        }
    }

    /// Length in bytes of the trailer, which is the engine's.
    pub const fn trailer_bytes(self) -> usize {
        match self {
            Self::Raw => 0,
            Self::Zlib => 4,
            Self::Gzip => 8,
        }
    }

    /// The name in the `algorithms` attribute.
    pub const fn algorithm_name(self) -> &'static str {
        match self {
            Self::Raw => "deflate",
            Self::Zlib => "zlib",
            Self::Gzip => "gzip",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_the_libraries() {
        assert_eq!(Container::Zlib.header(), [0x78, 0x9c]);
        assert_eq!(Container::Gzip.header(), [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(u16::from_be_bytes(ZLIB_HEADER) % 31, 0);
    }
}
