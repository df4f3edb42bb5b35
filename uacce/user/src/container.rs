//! Headers of zlib and gzip streams on the way in: the engine takes DEFLATE data and trailer, software strips what comes before (D.8).
//!
//! The part's own libraries skip ten bytes of a gzip file blindly and so fail on a file name; this reader knows every optional field.

use core::fmt;
use zip_spec::Container;

/// What is wrong with a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderError {
    /// The first bytes are not those of the format.
    NotThisFormat,
    /// The compression method is not DEFLATE.
    UnknownMethod {
        /// CM.
        method: u8,
    },
    /// A flag bit that must be 0 is not (RFC 1952 §2.3.1.2).
    ReservedFlags {
        /// FLG.
        flags: u8,
    },
    /// The two bytes of a zlib header are no multiple of 31.
    BadCheck,
    /// CINFO asks for a window beyond 32 KiB.
    WindowTooLarge {
        /// CINFO.
        cinfo: u8,
    },
    /// The stream needs a preset dictionary, which the engine does not take.
    PresetDictionary,
    /// The header's own CRC16 differs (FHCRC).
    HeaderCrc {
        /// Value in the header.
        expected: u16,
        /// Value of its bytes.
        computed: u16,
    },
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThisFormat => f.write_str("not a stream of this format"),
            Self::UnknownMethod { method } => write!(f, "unknown compression method {method}"),
            Self::ReservedFlags { flags } => write!(f, "reserved header flags set ({flags:#04x})"),
            Self::BadCheck => f.write_str("header check failed"),
            Self::WindowTooLarge { cinfo } => write!(f, "window too large (CINFO {cinfo})"),
            Self::PresetDictionary => f.write_str("preset dictionary needed"),
            Self::HeaderCrc { expected, computed } => write!(f, "header CRC16 is {expected:#06x}, computed {computed:#06x}"),
        }
    }
}

/// The field of a gzip header that comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GzipField {
    /// Magic, method, flags, time, extra flags, system: ten bytes.
    Fixed,
    /// XLEN, two bytes.
    ExtraLength,
    /// The extra field.
    Extra,
    /// The file name, up to a zero byte.
    Name,
    /// The comment, up to a zero byte.
    Comment,
    /// CRC16 of the header.
    HeaderCrc,
}

const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Zlib { have: u8, cmf: u8 },
    Gzip { field: GzipField, have: u16, flags: u8, extra_bytes: u16, low: u8 },
    Done,
}

/// Reads a header byte by byte, however the input is cut.
#[derive(Clone, Copy, Debug)]
pub struct HeaderReader {
    state: State,
    crc: u32,
}

impl HeaderReader {
    /// A reader before the header of `container`; a raw stream has none.
    pub const fn new(container: Container) -> Self {
        let state = match container {
            Container::Raw => State::Done,
            Container::Zlib => State::Zlib { have: 0, cmf: 0 },
            Container::Gzip => State::Gzip { field: GzipField::Fixed, have: 0, flags: 0, extra_bytes: 0, low: 0 },
        };
        Self { state, crc: u32::MAX }
    }

    /// True once the header has been passed.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes header bytes from the front of `input`; returns how many.
    ///
    /// # Errors
    /// What is wrong, and the number of `input`'s bytes before the one that showed it.
    pub fn feed(&mut self, input: &[u8]) -> Result<usize, (HeaderError, usize)> {
        for (at, byte) in input.iter().enumerate() {
            if self.is_done() {
                return Ok(at);
            }
            self.state = match self.state {
                State::Zlib { have, cmf } => zlib_byte(have, cmf, *byte),
                State::Gzip { .. } => self.gzip_byte(*byte),
                State::Done => Ok(State::Done),
            }
            .map_err(|error| (error, at))?;
        }
        Ok(input.len())
    }

    fn gzip_byte(&mut self, byte: u8) -> Result<State, HeaderError> {
        let State::Gzip { field, have, flags, extra_bytes, low } = self.state else { return Ok(self.state) };
        let expected_crc = !self.crc as u16;
        self.crc = crc32_byte(self.crc, byte);
        let stay = |flags| State::Gzip { field, have: have + 1, flags, extra_bytes, low };
        match (field, have) {
            (GzipField::Fixed, 0) if byte != 0x1f => Err(HeaderError::NotThisFormat),
            (GzipField::Fixed, 1) if byte != 0x8b => Err(HeaderError::NotThisFormat),
            (GzipField::Fixed, 2) if byte != 8 => Err(HeaderError::UnknownMethod { method: byte }),
            (GzipField::Fixed, 3) if byte & RESERVED != 0 => Err(HeaderError::ReservedFlags { flags: byte }),
            (GzipField::Fixed, 3) => Ok(stay(byte)),
            (GzipField::Fixed, 0..=8) => Ok(stay(flags)),
            (GzipField::Fixed, _) => Ok(next_field(flags, field)),
            (GzipField::ExtraLength, 0) => Ok(State::Gzip { field, have: 1, flags, extra_bytes, low: byte }),
            (GzipField::ExtraLength, _) => match u16::from_le_bytes([low, byte]) {
                0 => Ok(next_field(flags, GzipField::Extra)),
                extra_bytes => Ok(State::Gzip { field: GzipField::Extra, have: 0, flags, extra_bytes, low }),
            },
            (GzipField::Extra, _) if have + 1 < extra_bytes => Ok(stay(flags)),
            (GzipField::Extra, _) => Ok(next_field(flags, field)),
            (GzipField::Name | GzipField::Comment, _) if byte != 0 => Ok(self.state),
            (GzipField::Name | GzipField::Comment, _) => Ok(next_field(flags, field)),
            (GzipField::HeaderCrc, 0) => Ok(State::Gzip { field, have: 1, flags, extra_bytes: expected_crc, low: byte }),
            (GzipField::HeaderCrc, _) => {
                // The bytes of the CRC itself are not covered: the value was kept when its first byte came.
                let (expected, computed) = (u16::from_le_bytes([low, byte]), extra_bytes);
                if expected == computed { Ok(State::Done) } else { Err(HeaderError::HeaderCrc { expected, computed }) }
            }
        }
    }
}

fn zlib_byte(have: u8, cmf: u8, byte: u8) -> Result<State, HeaderError> {
    if have == 0 {
        return Ok(State::Zlib { have: 1, cmf: byte });
    }
    if !u16::from_be_bytes([cmf, byte]).is_multiple_of(31) {
        return Err(HeaderError::BadCheck);
    }
    match (cmf & 0xf, cmf >> 4, byte & 0x20) {
        (8, 0..=7, 0) => Ok(State::Done),
        (8, 0..=7, _) => Err(HeaderError::PresetDictionary),
        (8, cinfo, _) => Err(HeaderError::WindowTooLarge { cinfo }),
        (method, ..) => Err(HeaderError::UnknownMethod { method }),
    }
}

/// The first field after `field` that the flags announce.
fn next_field(flags: u8, field: GzipField) -> State {
    let order = [(GzipField::ExtraLength, FEXTRA), (GzipField::Name, FNAME), (GzipField::Comment, FCOMMENT), (GzipField::HeaderCrc, FHCRC)];
    let passed = match field {
        GzipField::Fixed => 0,
        GzipField::ExtraLength | GzipField::Extra => 1,
        GzipField::Name => 2,
        GzipField::Comment => 3,
        GzipField::HeaderCrc => 4,
    };
    match order[passed..].iter().find(|(_, flag)| flags & flag != 0) {
        Some(&(field, _)) => State::Gzip { field, have: 0, flags, extra_bytes: 0, low: 0 },
        None => State::Done,
    }
}

/// One byte of the CRC-32 register of RFC 1952 §8, bit by bit: headers are short.
fn crc32_byte(crc: u32, byte: u8) -> u32 {
    let mut crc = crc ^ u32::from(byte);
    for _ in 0..8 {
        crc = if crc & 1 != 0 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn read(container: Container, bytes: &[u8]) -> Result<(usize, bool), (HeaderError, usize)> {
        let mut reader = HeaderReader::new(container);
        reader.feed(bytes).map(|used| (used, reader.is_done()))
    }

    /// Extra field "ab", name "n", comment "c", CRC16.
    fn full_header() -> Vec<u8> {
        let mut bytes = std::vec![0x1f, 0x8b, 8, 0x1e, 1, 2, 3, 4, 0, 3, 2, 0, b'a', b'b', b'n', 0, b'c', 0];
        let crc = !bytes.iter().fold(u32::MAX, |crc, byte| crc32_byte(crc, *byte));
        bytes.extend(&(crc as u16).to_le_bytes());
        bytes
    }

    #[test]
    fn crc_of_the_check_string() {
        assert_eq!(!b"123456789".iter().fold(u32::MAX, |crc, byte| crc32_byte(crc, *byte)), 0xcbf4_3926);
    }

    #[test]
    fn plain_headers_end_where_the_data_begins() {
        assert_eq!(read(Container::Gzip, &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 0x4c]), Ok((10, true)));
        assert_eq!(read(Container::Zlib, &[0x78, 0x9c, 0x4b]), Ok((2, true)));
        assert_eq!(read(Container::Raw, &[0x4b]), Ok((0, true)));
    }

    #[test]
    fn optional_fields_are_passed_however_the_input_is_cut() {
        let mut bytes = full_header();
        let len = bytes.len();
        bytes.extend([0xaa, 0xbb]);
        assert_eq!(read(Container::Gzip, &bytes), Ok((len, true)));
        for cut in 0..=len {
            let mut reader = HeaderReader::new(Container::Gzip);
            assert_eq!(reader.feed(&bytes[..cut]), Ok(cut));
            assert_eq!(reader.is_done(), cut == len, "cut {cut}");
            assert_eq!(reader.feed(&bytes[cut..]), Ok(len - cut), "cut {cut}");
            assert!(reader.is_done());
        }
    }

    #[test]
    fn every_prefix_wants_more() {
        let bytes = full_header();
        for cut in 0..bytes.len() {
            assert_eq!(read(Container::Gzip, &bytes[..cut]), Ok((cut, false)), "cut {cut}");
        }
    }

    #[test]
    fn faults_name_the_byte() {
        assert_eq!(read(Container::Gzip, b"PK\x03\x04"), Err((HeaderError::NotThisFormat, 0)));
        assert_eq!(read(Container::Gzip, &[0x1f, 0x8c]), Err((HeaderError::NotThisFormat, 1)));
        assert_eq!(read(Container::Gzip, &[0x1f, 0x8b, 7]), Err((HeaderError::UnknownMethod { method: 7 }, 2)));
        assert_eq!(read(Container::Gzip, &[0x1f, 0x8b, 8, 0x20]), Err((HeaderError::ReservedFlags { flags: 0x20 }, 3)));
        assert_eq!(read(Container::Zlib, &[0x78, 0x9d]), Err((HeaderError::BadCheck, 1)));
        assert_eq!(read(Container::Zlib, &[0x88, 0x1c]), Err((HeaderError::WindowTooLarge { cinfo: 8 }, 1)));
        assert_eq!(read(Container::Zlib, &[0x77, 0x85]), Err((HeaderError::UnknownMethod { method: 7 }, 1)));
        assert_eq!(read(Container::Zlib, &[0x78, 0xbb]), Err((HeaderError::PresetDictionary, 1)));
        let mut bytes = full_header();
        *bytes.last_mut().unwrap() ^= 0x40;
        let at = bytes.len() - 1;
        assert!(matches!(read(Container::Gzip, &bytes), Err((HeaderError::HeaderCrc { .. }, offset)) if offset == at));
    }
}
