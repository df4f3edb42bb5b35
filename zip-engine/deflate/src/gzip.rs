//! The gzip header (RFC 1952 §2.3), for the software that wraps and unwraps a [`crate::Framing::GzipBody`].

use crate::checksum::{CRC32_INIT, crc32};

/// The header without optional fields, time 0, operating system Unix.
pub const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

const FTEXT: u8 = 1 << 0;
const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;

/// A gzip header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GzipHeader<'a> {
    /// FTEXT: the data is probably text.
    pub text: bool,
    /// MTIME in seconds since 1970, 0 for none.
    pub mtime: u32,
    /// XFL.
    pub extra_flags: u8,
    /// OS.
    pub os: u8,
    /// The extra field without its length, at most 65535 bytes.
    pub extra: Option<&'a [u8]>,
    /// The file name in ISO 8859-1, without its zero.
    pub name: Option<&'a [u8]>,
    /// The comment in ISO 8859-1, without its zero.
    pub comment: Option<&'a [u8]>,
    /// FHCRC: the header ends with its own CRC-16.
    pub header_crc: bool,
}

/// Why a gzip header was refused, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GzipHeaderError {
    /// More bytes could still make a header.
    Truncated,
    /// ID1 and ID2 are not 1f 8b.
    NotGzip {
        /// Offset of the first wrong byte.
        offset: usize,
    },
    /// CM is not 8.
    UnknownMethod {
        /// CM as read.
        method: u8,
    },
    /// FLG has reserved bits.
    ReservedFlags {
        /// FLG as read.
        flags: u8,
    },
    /// The CRC-16 of the header is wrong.
    HeaderCrcMismatch {
        /// Offset of the CRC-16.
        offset: usize,
        /// Value in the header.
        expected: u16,
        /// Value of the header.
        computed: u16,
    },
}

impl GzipHeaderError {
    /// Returns the offset of the offending byte, or of the first missing one in a header of `len` bytes so far.
    pub fn offset(self, len: usize) -> usize {
        match self {
            GzipHeaderError::Truncated => len,
            GzipHeaderError::NotGzip { offset } | GzipHeaderError::HeaderCrcMismatch { offset, .. } => offset,
            GzipHeaderError::UnknownMethod { .. } => 2,
            GzipHeaderError::ReservedFlags { .. } => 3,
        }
    }
}

/// The buffer for a header is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderBufferTooShort {
    /// Bytes that the header needs.
    pub needed: usize,
}

/// Takes `len` bytes at `at`.
fn take<'a>(bytes: &'a [u8], at: &mut usize, len: usize) -> Result<&'a [u8], GzipHeaderError> {
    let field = bytes.get(*at..*at + len).ok_or(GzipHeaderError::Truncated)?;
    *at += len;
    Ok(field)
}

/// Takes bytes up to a zero, and the zero.
fn take_string<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], GzipHeaderError> {
    let rest = &bytes[*at..];
    let len = rest.iter().position(|&byte| byte == 0).ok_or(GzipHeaderError::Truncated)?;
    *at += len + 1;
    Ok(&rest[..len])
}

impl<'a> GzipHeader<'a> {
    /// Parses the header that `bytes` begins with and returns it with its length.
    ///
    /// Nothing is assumed about the length: a name may be as long as the file. Faults of
    /// the fixed part are reported when its two bytes of identification, or method and flags, are there, as zlib does.
    ///
    /// # Errors
    /// As [`GzipHeaderError`] says.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, usize), GzipHeaderError> {
        if let Some(&[id1, id2]) = bytes.first_chunk()
            && let Some(offset) = [id1, id2].iter().zip(&[0x1f, 0x8b]).position(|(byte, id)| byte != id)
        {
            return Err(GzipHeaderError::NotGzip { offset });
        }
        if let Some(&[_, _, method, flags]) = bytes.first_chunk() {
            if method != 8 {
                return Err(GzipHeaderError::UnknownMethod { method });
            }
            if flags & RESERVED != 0 {
                return Err(GzipHeaderError::ReservedFlags { flags });
            }
        }
        let Some(&[_, _, _, flags, time0, time1, time2, time3, extra_flags, os]) = bytes.first_chunk() else {
            return Err(GzipHeaderError::Truncated);
        };
        let mut at = 10;
        let mut extra = None;
        if flags & FEXTRA != 0 {
            let len = take(bytes, &mut at, 2)?;
            extra = Some(take(bytes, &mut at, usize::from(u16::from_le_bytes([len[0], len[1]])))?);
        }
        let name = if flags & FNAME != 0 { Some(take_string(bytes, &mut at)?) } else { None };
        let comment = if flags & FCOMMENT != 0 { Some(take_string(bytes, &mut at)?) } else { None };
        let header_crc = flags & FHCRC != 0;
        if header_crc {
            let offset = at;
            let field = take(bytes, &mut at, 2)?;
            let expected = u16::from_le_bytes([field[0], field[1]]);
            let computed = crc32(CRC32_INIT, &bytes[..offset]) as u16;
            if expected != computed {
                return Err(GzipHeaderError::HeaderCrcMismatch { offset, expected, computed });
            }
        }
        let mtime = u32::from_le_bytes([time0, time1, time2, time3]);
        Ok((GzipHeader { text: flags & FTEXT != 0, mtime, extra_flags, os, extra, name, comment, header_crc }, at))
    }

    /// Writes the header to the front of `out` and returns its length.
    ///
    /// An extra field is cut after 65535 bytes, name and comment in front of their first zero.
    ///
    /// # Errors
    /// `HeaderBufferTooShort`.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, HeaderBufferTooShort> {
        let extra = self.extra.map(|extra| &extra[..extra.len().min(usize::from(u16::MAX))]);
        let until_zero = |string: &'a [u8]| string.split(|&byte| byte == 0).next().unwrap_or(&[]);
        let name = self.name.map(until_zero);
        let comment = self.comment.map(until_zero);
        let needed = 10
            + extra.map_or(0, |extra| 2 + extra.len())
            + name.map_or(0, |name| name.len() + 1)
            + comment.map_or(0, |comment| comment.len() + 1)
            + if self.header_crc { 2 } else { 0 };
        if out.len() < needed {
            return Err(HeaderBufferTooShort { needed });
        }
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = flag(self.text, FTEXT)
            | flag(self.header_crc, FHCRC)
            | flag(extra.is_some(), FEXTRA)
            | flag(name.is_some(), FNAME)
            | flag(comment.is_some(), FCOMMENT);
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&[0x1f, 0x8b, 8, flags]);
        put(&self.mtime.to_le_bytes());
        put(&[self.extra_flags, self.os]);
        if let Some(extra) = extra {
            put(&(extra.len() as u16).to_le_bytes());
            put(extra);
        }
        for string in [name, comment].into_iter().flatten() {
            put(string);
            put(&[0]);
        }
        if self.header_crc {
            let crc = crc32(CRC32_INIT, &out[..needed - 2]) as u16;
            out[needed - 2..needed].copy_from_slice(&crc.to_le_bytes());
        }
        Ok(needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All fields: flags 1f, time 0x11223344, XFL 2, OS 3, extra "ab", name "n", comment "", CRC-16 worked out by Python.
    const FULL: [u8; 19] = [0x1f, 0x8b, 8, 0x1f, 0x44, 0x33, 0x22, 0x11, 2, 3, 2, 0, b'a', b'b', b'n', 0, 0, 0x5b, 0xa3];

    #[test]
    fn minimal_header_parses_and_is_what_is_emitted() {
        let (header, len) = GzipHeader::parse(&GZIP_HEADER).unwrap();
        assert_eq!((header, len), (GzipHeader { os: 3, ..GzipHeader::default() }, 10));
        let mut out = [0xa5; 11];
        assert_eq!(header.emit(&mut out), Ok(10));
        assert_eq!(out[..10], GZIP_HEADER);
        assert_eq!(out[10], 0xa5);
        assert_eq!(header.emit(&mut out[..9]), Err(HeaderBufferTooShort { needed: 10 }));
    }

    #[test]
    fn every_field_both_ways() {
        let header = GzipHeader {
            text: true,
            mtime: 0x1122_3344,
            extra_flags: 2,
            os: 3,
            extra: Some(b"ab"),
            name: Some(b"n"),
            comment: Some(b""),
            header_crc: true,
        };
        assert_eq!(GzipHeader::parse(&FULL), Ok((header, FULL.len())));
        let mut out = [0; FULL.len()];
        assert_eq!(header.emit(&mut out), Ok(FULL.len()));
        assert_eq!(out, FULL);
    }

    #[test]
    fn every_prefix_is_truncated() {
        for len in 0..FULL.len() {
            assert_eq!(GzipHeader::parse(&FULL[..len]), Err(GzipHeaderError::Truncated), "{len}");
        }
    }

    #[test]
    fn every_fault_has_its_own_error() {
        let with = |at: usize, value: u8| {
            let mut bytes = FULL;
            bytes[at] = value;
            GzipHeader::parse(&bytes).map(|_| ()).unwrap_err()
        };
        assert_eq!(with(0, 0x1e), GzipHeaderError::NotGzip { offset: 0 });
        assert_eq!(with(1, 0x8a), GzipHeaderError::NotGzip { offset: 1 });
        assert_eq!(with(2, 7), GzipHeaderError::UnknownMethod { method: 7 });
        assert_eq!(with(3, 0x3f), GzipHeaderError::ReservedFlags { flags: 0x3f });
        for waits in [&[0x73][..], &[0x1f, 0x8b, 7]] {
            assert_eq!(GzipHeader::parse(waits), Err(GzipHeaderError::Truncated), "the second byte of a pair is waited for");
        }
        assert!(matches!(with(14, b'm'), GzipHeaderError::HeaderCrcMismatch { offset: 17, .. }));
    }
}
