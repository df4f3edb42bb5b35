//! What a revision of the part offers: the constants of the capability words (B.2) and error masks (E.2).

use crate::{Core, RequestType, SqeType};

/// Compression cores that the register file has room for.
pub const MAX_COMPRESS_CORES: usize = 2;
/// Decompression cores that the register file has room for.
pub const MAX_DECOMPRESS_CORES: usize = 6;

/// Bits of the algorithm bitmap: each algorithm owns a pair, compress and decompress.
pub mod algorithm {
    /// zlib, both directions.
    pub const ZLIB: u32 = 0b11;
    /// gzip, both directions.
    pub const GZIP: u32 = 0b11 << 2;
    /// Raw DEFLATE, both directions.
    pub const DEFLATE: u32 = 0b11 << 4;
    /// lz77_zstd, and lz77_only where there is that: compression, both bits.
    pub const LZ77: u32 = 0b11 << 6;
    /// LZ4 blocks: compression, both bits.
    pub const LZ4: u32 = 0b11 << 8;
}

/// Bits of the core error registers (source, mask, set, status).
pub mod error_mask {
    /// Single-bit ECC.
    pub const ECC_1BIT: u32 = 1 << 0;
    /// Multi-bit ECC; also freezes the bus.
    pub const ECC_2BIT: u32 = 1 << 1;
    /// AXI read response.
    pub const AXI_READ: u32 = 1 << 2;
    /// AXI write response.
    pub const AXI_WRITE: u32 = 1 << 3;
    /// Source address parse.
    pub const SOURCE_ADDRESS: u32 = 1 << 4;
    /// Destination address parse.
    pub const DESTINATION_ADDRESS: u32 = 1 << 5;
    /// Input prefetch address.
    pub const PREFETCH_ADDRESS: u32 = 1 << 6;
    /// Input prefetch data.
    pub const PREFETCH_DATA: u32 = 1 << 7;
    /// Compression information.
    pub const COMPRESSION_INFO: u32 = 1 << 8;
    /// Encode information.
    pub const ENCODE_INFO: u32 = 1 << 9;
    /// Output stage.
    pub const OUTPUT_STAGE: u32 = 1 << 10;
    /// AXI poison, from V3 on.
    pub const AXI_POISON: u32 = 1 << 11;
    /// SVA error, from V3 on.
    pub const SVA: u32 = 1 << 12;
    /// Every bit that V3 defines.
    pub const ALL: u32 = 0x1fff;
}

/// What one revision offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// Compression cores; enable bits 1:0.
    pub compress_cores: u8,
    /// Decompression cores; enable bits from 2 on.
    pub decompress_cores: u8,
    /// Device (user) algorithm bitmap: word 0x3148.
    pub algorithms: u32,
    /// Non-fatal errors: word 0x3130.
    pub nfe_mask: u32,
    /// Non-fatal errors that need a reset: word 0x3134.
    pub reset_mask: u32,
    /// Errors that freeze the bus: word 0x3134.
    pub shutdown_mask: u32,
    /// Corrected errors: word 0x3138.
    pub ce_mask: u32,
    /// True if the per-queue PASID bit carries SVA (V3); false if the bus attribute does (V2).
    pub is_pasid_per_queue: bool,
    /// True if the bits 7:6 of the bitmap mean lz77_only as well (sub-version 0x50 and later).
    pub has_lz77_only: bool,
}

impl Capabilities {
    /// Revision 0x21, QM V2.
    pub const V2: Self = Self {
        compress_cores: 2,
        decompress_cores: 6,
        algorithms: 0x0f,
        nfe_mask: 0x7fe,
        reset_mask: 0x7fe,
        shutdown_mask: 0x2,
        ce_mask: 0x1,
        is_pasid_per_queue: false,
        has_lz77_only: false,
    };
    /// Revision 0x30, QM V3.
    pub const V3: Self = Self {
        compress_cores: 2,
        decompress_cores: 3,
        algorithms: 0xff,
        nfe_mask: 0x1ffe,
        reset_mask: 0x7fe,
        shutdown_mask: 0x7fe,
        ce_mask: 0x1,
        is_pasid_per_queue: true,
        has_lz77_only: false,
    };
    /// Revision 0x30 with sub-version 0x51: what V3 has, lz77_only and LZ4.
    pub const V5: Self = Self { algorithms: 0x3ff, has_lz77_only: true, ..Self::V3 };
    /// What holds for a part of revision 0x30 or later whose table of capability words is empty (B.2): no lz77.
    pub const V3_UNTOLD: Self = Self { algorithms: 0x3f, ..Self::V3 };

    /// The capabilities of a revision: the PCI revision id, or the sub-version (BAR2+0x210) where that is not 0 (A.1).
    pub const fn of_revision(revision: u8) -> Self {
        match revision {
            0x50.. => Self::V5,
            0x30.. => Self::V3,
            _ => Self::V2,
        }
    }

    /// Algorithms of a core: capability words 0x314c to 0x315c. Compression cores have the even bits and both of lz77 and LZ4,
    /// decompression cores the odd bits of the first three pairs. 0 for a core that is not there.
    pub const fn core_algorithms(&self, core: Core) -> u32 {
        match core {
            Core::Compress(n) if n < self.compress_cores => self.algorithms & (0x15 | algorithm::LZ77 | algorithm::LZ4),
            Core::Decompress(n) if n < self.decompress_cores => self.algorithms & 0x2a,
            _ => 0,
        }
    }

    /// Enable bits of the compression cores in `CLOCK_GATE_CTRL`: word 0x3140 15:0.
    pub const fn compress_enable(&self) -> u32 {
        (1 << self.compress_cores) - 1
    }

    /// Enable bits of the decompression cores in `CLOCK_GATE_CTRL`: word 0x3140 31:16.
    pub const fn decompress_enable(&self) -> u32 {
        ((1 << self.decompress_cores) - 1) << MAX_COMPRESS_CORES
    }

    /// The value of the `algorithms` attribute.
    pub const fn algorithm_names(&self) -> &'static str {
        match self.algorithms & 0x3ff {
            0x3ff if self.has_lz77_only => "zlib\ngzip\ndeflate\nlz77_zstd\nlz77_only\nlz4",
            0xff => "zlib\ngzip\ndeflate\nlz77_zstd",
            0x3f => "zlib\ngzip\ndeflate",
            0x0f => "zlib\ngzip",
            0x03 => "zlib",
            0x0c => "gzip",
            0x30 => "deflate",
            0x33 => "zlib\ndeflate",
            0x3c => "gzip\ndeflate",
            _ => "",
        }
    }

    /// True if the entry layout belongs to this revision. V3 takes type 0 too, for zlib and gzip.
    pub const fn takes_sqe_type(&self, sqe_type: SqeType) -> bool {
        match sqe_type {
            SqeType::TYPE0 => true,
            SqeType::TYPE3 => self.is_pasid_per_queue,
            _ => false,
        }
    }

    /// True if an entry of this layout may ask for this format.
    pub const fn takes_request(&self, sqe_type: SqeType, request_type: RequestType) -> bool {
        let is_offered = match request_type {
            RequestType::ZLIB | RequestType::GZIP => true,
            RequestType::LZ77_ONLY | RequestType::LZ77_ONLY_PRICE => self.has_lz77_only && sqe_type.0 == SqeType::TYPE3.0,
            _ => sqe_type.0 == SqeType::TYPE3.0,
        };
        let pair = request_type.algorithm_pair();
        is_offered && pair != 0 && self.algorithms & pair == pair
    }
}

impl RequestType {
    /// The pair of bits in an algorithm bitmap that stands for it; 0 for a code without meaning.
    pub const fn algorithm_pair(self) -> u32 {
        match self {
            Self::ZLIB => algorithm::ZLIB,
            Self::GZIP => algorithm::GZIP,
            Self::DEFLATE => algorithm::DEFLATE,
            Self::LZ4 => algorithm::LZ4,
            lz77 if lz77.is_lz77() => algorithm::LZ77,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_enables_are_the_capability_word() {
        assert_eq!((Capabilities::V2.decompress_enable(), Capabilities::V2.compress_enable()), (0xfc, 0x3));
        assert_eq!((Capabilities::V3.decompress_enable(), Capabilities::V3.compress_enable()), (0x1c, 0x3));
    }

    #[test]
    fn algorithm_lists_by_revision() {
        assert_eq!(Capabilities::of_revision(0x21).algorithm_names(), "zlib\ngzip");
        assert_eq!(Capabilities::of_revision(0x30).algorithm_names(), "zlib\ngzip\ndeflate\nlz77_zstd");
        assert_eq!(Capabilities::of_revision(0x51).algorithm_names(), "zlib\ngzip\ndeflate\nlz77_zstd\nlz77_only\nlz4");
        assert_eq!(Capabilities::V3_UNTOLD.algorithm_names(), "zlib\ngzip\ndeflate");
        assert_eq!(algorithm::ZLIB | algorithm::GZIP | algorithm::DEFLATE, 0x3f);
    }

    #[test]
    fn core_words_of_table_b2() {
        let v3 = Core::ALL.map(|core| Capabilities::V3.core_algorithms(core));
        assert_eq!(v3, [0xd5, 0xd5, 0x2a, 0x2a, 0x2a, 0, 0, 0]);
        let v2 = Core::ALL.map(|core| Capabilities::V2.core_algorithms(core));
        assert_eq!(v2, [0x5, 0x5, 0xa, 0xa, 0xa, 0xa, 0xa, 0xa]);
        assert_eq!(Capabilities::V5.core_algorithms(Core::Compress(0)), 0x3d5);
    }

    #[test]
    fn lz77_and_lz4_belong_to_their_revisions() {
        let takes = |capabilities: Capabilities, request_type| capabilities.takes_request(SqeType::TYPE3, request_type);
        let lz77_zstd = [RequestType::LZ77_ZSTD, RequestType::LZ77_ZSTD_PRICE];
        let newest = [RequestType::LZ77_ONLY, RequestType::LZ77_ONLY_PRICE, RequestType::LZ4];
        for (capabilities, has_zstd, has_newest) in [
            (Capabilities::V2, false, false),
            (Capabilities::V3_UNTOLD, false, false),
            (Capabilities::V3, true, false),
            (Capabilities::V5, true, true),
        ] {
            assert!(lz77_zstd.iter().all(|request_type| takes(capabilities, *request_type) == has_zstd));
            assert!(newest.iter().all(|request_type| takes(capabilities, *request_type) == has_newest));
        }
        assert!(!Capabilities::V5.takes_request(SqeType::TYPE0, RequestType::LZ4));
    }

    #[test]
    fn raw_deflate_needs_type_3() {
        assert!(Capabilities::V3.takes_request(SqeType::TYPE3, RequestType::DEFLATE));
        assert!(!Capabilities::V3.takes_request(SqeType::TYPE0, RequestType::DEFLATE));
        assert!(!Capabilities::V2.takes_sqe_type(SqeType::TYPE3));
        assert!(!Capabilities::V3.takes_sqe_type(SqeType(1)));
    }
}
