//! The zlib header (RFC 1950 §2.2), for the software that wraps and unwraps a [`crate::Framing::ZlibBody`].

/// The header of a stream with a 32 KiB window and no dictionary at the default level.
pub const ZLIB_HEADER: [u8; 2] = [0x78, 0x9c];

/// A parsed zlib header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZlibHeader {
    /// Logarithm of the window size, 8 to 15 (CINFO + 8).
    pub window_bits: u8,
    /// FLEVEL: 0 fastest, 1 fast, 2 default, 3 slowest.
    pub level: u8,
}

/// Why a zlib header was refused, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZlibHeaderError {
    /// Fewer than two bytes.
    Truncated,
    /// CMF and FLG are no multiple of 31.
    BadCheck,
    /// CM is not 8.
    UnknownMethod {
        /// CM as read.
        method: u8,
    },
    /// CINFO is above 7.
    WindowTooLarge {
        /// CINFO as read.
        cinfo: u8,
    },
    /// FDICT is set; preset dictionaries are not supported.
    PresetDictionary,
}

impl ZlibHeaderError {
    /// Returns the offset of the offending byte.
    pub fn offset(self) -> usize {
        match self {
            ZlibHeaderError::UnknownMethod { .. } | ZlibHeaderError::WindowTooLarge { .. } => 0,
            ZlibHeaderError::Truncated | ZlibHeaderError::BadCheck | ZlibHeaderError::PresetDictionary => 1,
        }
    }
}

impl ZlibHeader {
    /// Bytes of a header.
    pub const BYTES: usize = 2;

    /// Parses the header that `bytes` begins with.
    ///
    /// # Errors
    /// As [`ZlibHeaderError`] says; `Truncated` if more bytes could still make a header.
    pub fn parse(bytes: &[u8]) -> Result<Self, ZlibHeaderError> {
        let &[cmf, flg, ..] = bytes else { return Err(ZlibHeaderError::Truncated) };
        if !u16::from_be_bytes([cmf, flg]).is_multiple_of(31) {
            return Err(ZlibHeaderError::BadCheck);
        }
        let (method, cinfo) = (cmf & 0xf, cmf >> 4);
        if method != 8 {
            return Err(ZlibHeaderError::UnknownMethod { method });
        }
        if cinfo > 7 {
            return Err(ZlibHeaderError::WindowTooLarge { cinfo });
        }
        if flg & 0x20 != 0 {
            return Err(ZlibHeaderError::PresetDictionary);
        }
        Ok(ZlibHeader { window_bits: cinfo + 8, level: flg >> 6 })
    }

    /// Returns the bytes of the header; a window outside 8..=15 bits counts as the nearest.
    pub fn emit(self) -> [u8; 2] {
        let cmf = (self.window_bits.clamp(8, 15) - 8) << 4 | 8;
        let flg = self.level.min(3) << 6;
        let remainder = u16::from_be_bytes([cmf, flg]) % 31;
        [cmf, flg + if remainder == 0 { 0 } else { 31 - remainder as u8 }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_headers() {
        for (bytes, window_bits, level) in
            [([0x78, 0x01], 15, 0), ([0x78, 0x5e], 15, 1), ([0x78, 0x9c], 15, 2), ([0x78, 0xda], 15, 3), ([0x08, 0x1d], 8, 0)]
        {
            let header = ZlibHeader { window_bits, level };
            assert_eq!(ZlibHeader::parse(&bytes), Ok(header));
            assert_eq!(header.emit(), bytes);
        }
    }

    #[test]
    fn every_fault_has_its_own_error() {
        assert_eq!(ZlibHeader::parse(&[]), Err(ZlibHeaderError::Truncated));
        assert_eq!(ZlibHeader::parse(&[0x78]), Err(ZlibHeaderError::Truncated));
        assert_eq!(ZlibHeader::parse(&[0x78, 0x90]), Err(ZlibHeaderError::BadCheck));
        assert_eq!(ZlibHeader::parse(&[0x77, 0x85]), Err(ZlibHeaderError::UnknownMethod { method: 7 }));
        assert_eq!(ZlibHeader::parse(&[0x88, 0x1c]), Err(ZlibHeaderError::WindowTooLarge { cinfo: 8 }));
        assert_eq!(ZlibHeader::parse(&[0x08, 0xb8]), Err(ZlibHeaderError::PresetDictionary));
    }
}
