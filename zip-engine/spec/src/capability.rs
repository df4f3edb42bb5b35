//! What a revision of the part offers: the constants of the capability words (B.2) and error masks (E.2).

use crate::{RequestType, SqeType};

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
    /// lz77_zstd.
    pub const LZ77_ZSTD: u32 = 0b11 << 6;
    /// LZ4 blocks.
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
    };
    /// Revision 0x30, QM V3, without lz77_zstd.
    pub const V3: Self = Self {
        compress_cores: 2,
        decompress_cores: 3,
        algorithms: 0x3f,
        nfe_mask: 0x1ffe,
        reset_mask: 0x7fe,
        shutdown_mask: 0x7fe,
        ce_mask: 0x1,
        is_pasid_per_queue: true,
    };

    /// The capabilities of a PCI revision: 0x30 and later have V3's, all others V2's.
    pub const fn of_revision(revision: u8) -> Self {
        if revision >= 0x30 { Self::V3 } else { Self::V2 }
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
        match self.algorithms & (algorithm::ZLIB | algorithm::GZIP | algorithm::DEFLATE) {
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
        let pair = match request_type {
            RequestType::ZLIB => algorithm::ZLIB,
            RequestType::GZIP => algorithm::GZIP,
            RequestType::DEFLATE if sqe_type.0 == SqeType::TYPE3.0 => algorithm::DEFLATE,
            _ => return false,
        };
        self.algorithms & pair == pair
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
        assert_eq!(Capabilities::of_revision(0x30).algorithm_names(), "zlib\ngzip\ndeflate");
        assert_eq!(algorithm::ZLIB | algorithm::GZIP | algorithm::DEFLATE, 0x3f);
    }

    #[test]
    fn raw_deflate_needs_type_3() {
        assert!(Capabilities::V3.takes_request(SqeType::TYPE3, RequestType::DEFLATE));
        assert!(!Capabilities::V3.takes_request(SqeType::TYPE0, RequestType::DEFLATE));
        assert!(!Capabilities::V2.takes_sqe_type(SqeType::TYPE3));
        assert!(!Capabilities::V3.takes_sqe_type(SqeType(1)));
    }
}
