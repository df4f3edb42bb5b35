//! Selectors of a request: format, buffers, window, flush, entry type (D.2, D.3).

/// What the engine is asked to do: dw9 7:0. Open: an unknown code stays representable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct RequestType(pub u8);

impl RequestType {
    /// DEFLATE without a container. From V3 on, entry type 3.
    pub const DEFLATE: Self = Self(0x01);
    /// DEFLATE and Adler-32; the two header bytes are software's.
    pub const ZLIB: Self = Self(0x02);
    /// DEFLATE, CRC-32 and length; the header is software's.
    pub const GZIP: Self = Self(0x03);
    /// LZ4 blocks, compress only (V4/V5).
    pub const LZ4: Self = Self(0x04);
    /// AES-128 XTS, the storage path of V1/V2.
    pub const XTS_AES_128: Self = Self(0x10);
    /// AES-256 XTS, the storage path of V1/V2.
    pub const XTS_AES_256: Self = Self(0x20);
    /// SM4 XTS, the storage path of V1/V2.
    pub const XTS_SM4: Self = Self(0x30);
    /// Literals and sequences, compress only (V4/V5).
    pub const LZ77_ONLY: Self = Self(0x40);
    /// The same with the price code.
    pub const LZ77_ONLY_PRICE: Self = Self(0x41);
    /// Literals and sequences for Zstandard with the price code, compress only (V3).
    pub const LZ77_ZSTD_PRICE: Self = Self(0x42);
    /// Literals and sequences for Zstandard, compress only (V3).
    pub const LZ77_ZSTD: Self = Self(0x43);
}

/// How dw18–21 are to be read: dw9 11:8.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct BufferType(pub u8);

impl BufferType {
    /// The address is that of the data.
    pub const FLAT: Self = Self(0);
    /// The address is that of a hardware scatter list (D.10).
    pub const SGL: Self = Self(1);
}

/// Farthest match distance of a compression: dw9 15:12. Ignored on decompression.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct Window(pub u8);

impl Window {
    /// 4 KiB.
    pub const K4: Self = Self(0);
    /// 8 KiB.
    pub const K8: Self = Self(1);
    /// 16 KiB.
    pub const K16: Self = Self(2);
    /// 24 KiB.
    pub const K24: Self = Self(3);
    /// 32 KiB.
    pub const K32: Self = Self(4);

    /// Length in bytes, `None` for a code without meaning.
    pub const fn bytes(self) -> Option<u32> {
        match self {
            Self::K4 => Some(4 << 10),
            Self::K8 => Some(8 << 10),
            Self::K16 => Some(16 << 10),
            Self::K24 => Some(24 << 10),
            Self::K32 => Some(32 << 10),
            _ => None,
        }
    }
}

/// Layout of the entry: dw7 31:28.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct SqeType(pub u8);

impl SqeType {
    /// V1/V2: 32-bit tag in dw13.
    pub const TYPE0: Self = Self(0);
    /// V3 and later: 64-bit tag in dw26/27.
    pub const TYPE3: Self = Self(3);
}

/// What follows after this request's data: dw7 bit 25. Of meaning in stream mode only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Flush {
    /// More will follow: end on a byte boundary, keep the stream open.
    Sync,
    /// The last data: final block and trailer.
    Finish,
}

/// Longest input or output of one request with flat buffers, in bytes (D.11).
pub const MAX_FLAT_BYTES: u32 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_codes_are_those_of_the_part() {
        let bytes = [0u8, 1, 2, 3, 4, 5, 15].map(|code| Window(code).bytes());
        assert_eq!(bytes, [Some(4096), Some(8192), Some(16384), Some(24576), Some(32768), None, None]);
    }

    #[test]
    fn request_type_codes() {
        assert_eq!([RequestType::DEFLATE.0, RequestType::ZLIB.0, RequestType::GZIP.0, RequestType::LZ4.0], [1, 2, 3, 4]);
        assert_eq!(
            [RequestType::LZ77_ONLY.0, RequestType::LZ77_ONLY_PRICE.0, RequestType::LZ77_ZSTD_PRICE.0, RequestType::LZ77_ZSTD.0],
            [0x40, 0x41, 0x42, 0x43]
        );
    }
}
