//! VMSAv8-64 translation table descriptors of both stages as the SMMU reads them (Arm ARM D8.3, IHI 0070 3.4).
#![allow(missing_docs, reason = "register_bitfields! generates undocumented items beside each documented field")]

use tock_registers::register_bitfields;

register_bitfields! { u64,
    /// Any stage-1 descriptor. Address fields depend on granule and level: see [`Granule`].
    pub DESCRIPTOR [
        /// Valid.
        VALID OFFSET(0) NUMBITS(1) [],
        /// Table at levels 0 to 2, page at level 3; 0 means block (levels 1, 2) or reserved (level 3).
        TABLE OFFSET(1) NUMBITS(1) [],
    ],
    /// A block or page descriptor. Output address: bits 47 down to the level's shift.
    pub LEAF [
        /// Valid.
        VALID OFFSET(0) NUMBITS(1) [],
        /// 1 page (level 3), 0 block.
        PAGE OFFSET(1) NUMBITS(1) [],
        /// Index into MAIR.
        ATTR_INDEX OFFSET(2) NUMBITS(3) [],
        /// Ignored for Non-secure streams.
        NS OFFSET(5) NUMBITS(1) [],
        /// AP\[1\]: unprivileged access allowed.
        AP1 OFFSET(6) NUMBITS(1) [],
        /// AP\[2\]: read-only; clean, if DBM.
        AP2 OFFSET(7) NUMBITS(1) [],
        /// Shareability.
        SH OFFSET(8) NUMBITS(2) [ NonShareable = 0, Outer = 2, Inner = 3 ],
        /// Access flag.
        AF OFFSET(10) NUMBITS(1) [],
        /// Not global: the entry is tagged with the ASID.
        NG OFFSET(11) NUMBITS(1) [],
        /// 64 KiB granule: address bits 51:48.
        ADDR_51_48 OFFSET(12) NUMBITS(4) [],
        /// Block: not cached in the TLB while its table is being replaced (BBML 1).
        NT OFFSET(16) NUMBITS(1) [],
        /// Guarded page, ignored.
        GP OFFSET(50) NUMBITS(1) [],
        /// Dirty bit modifier.
        DBM OFFSET(51) NUMBITS(1) [],
        /// Contiguous hint.
        CONTIGUOUS OFFSET(52) NUMBITS(1) [],
        /// Privileged execute never.
        PXN OFFSET(53) NUMBITS(1) [],
        /// Unprivileged execute never.
        UXN OFFSET(54) NUMBITS(1) [],
        /// Free for software.
        SW OFFSET(55) NUMBITS(4) [],
        /// Page-based hardware attributes.
        PBHA OFFSET(59) NUMBITS(4) [],
    ],
    /// A stage 2 block or page descriptor. Output address as in [`LEAF`].
    pub LEAF_S2 [
        /// Valid.
        VALID OFFSET(0) NUMBITS(1) [],
        /// 1 page (level 3), 0 block.
        PAGE OFFSET(1) NUMBITS(1) [],
        /// Memory type; bits 3:2 = 0 is Device, whatever S2FWB says.
        MEM_ATTR OFFSET(2) NUMBITS(4) [],
        /// S2AP\[0\]: readable.
        READ OFFSET(6) NUMBITS(1) [],
        /// S2AP\[1\]: writable; 0 with DBM means clean.
        WRITE OFFSET(7) NUMBITS(1) [],
        /// Shareability.
        SH OFFSET(8) NUMBITS(2) [ NonShareable = 0, Outer = 2, Inner = 3 ],
        /// Access flag.
        AF OFFSET(10) NUMBITS(1) [],
        /// 64 KiB granule: address bits 51:48.
        ADDR_51_48 OFFSET(12) NUMBITS(4) [],
        /// Block: not cached in the TLB while its table is being replaced (BBML 1).
        NT OFFSET(16) NUMBITS(1) [],
        /// Dirty bit modifier.
        DBM OFFSET(51) NUMBITS(1) [],
        /// Contiguous hint.
        CONTIGUOUS OFFSET(52) NUMBITS(1) [],
        /// Execute never. Codes need IDR3.XNX; without it bit 54 alone counts.
        XN OFFSET(53) NUMBITS(2) [ Nobody = 2, OnlyUnprivileged = 1, OnlyPrivileged = 3, Everybody = 0 ],
        /// Free for software.
        SW OFFSET(55) NUMBITS(4) [],
        /// Page-based hardware attributes.
        PBHA OFFSET(59) NUMBITS(4) [],
    ],
    /// A table descriptor (levels 0 to 2). Next table: bits 47 down to the granule's shift.
    pub TABLE [
        /// Valid.
        VALID OFFSET(0) NUMBITS(1) [],
        /// 1.
        TABLE OFFSET(1) NUMBITS(1) [],
        /// Access flag of the table, only with HAFT.
        AF OFFSET(10) NUMBITS(1) [],
        /// 64 KiB granule: address bits 51:48.
        ADDR_51_48 OFFSET(12) NUMBITS(4) [],
        /// Privileged execute never below.
        PXN_TABLE OFFSET(59) NUMBITS(1) [],
        /// Unprivileged execute never below.
        UXN_TABLE OFFSET(60) NUMBITS(1) [],
        /// Bit 0 removes unprivileged access, bit 1 removes write, below.
        AP_TABLE OFFSET(61) NUMBITS(2) [],
        /// Ignored for Non-secure streams.
        NS_TABLE OFFSET(63) NUMBITS(1) [],
    ],
}

/// Address bits 47:12 of a descriptor, before masking to the level's shift.
pub const ADDR_47_12: u64 = 0x0000_ffff_ffff_f000;

/// A translation granule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Granule {
    /// 4 KiB.
    Kib4,
    /// 16 KiB.
    Kib16,
    /// 64 KiB.
    Kib64,
}

impl Granule {
    /// Decodes CD.TG0.
    pub const fn from_tg0(code: u64) -> Option<Self> {
        match code {
            0 => Some(Self::Kib4),
            1 => Some(Self::Kib64),
            2 => Some(Self::Kib16),
            _ => None,
        }
    }

    /// Decodes CD.TG1.
    pub const fn from_tg1(code: u64) -> Option<Self> {
        match code {
            1 => Some(Self::Kib16),
            2 => Some(Self::Kib4),
            3 => Some(Self::Kib64),
            _ => None,
        }
    }

    /// Decodes the TG field of a range invalidation; 0 is the single-address form.
    pub const fn from_tlbi_tg(code: u64) -> Option<Self> {
        match code {
            1 => Some(Self::Kib4),
            2 => Some(Self::Kib16),
            3 => Some(Self::Kib64),
            _ => None,
        }
    }

    /// Log2 of the page size.
    pub const fn shift(self) -> u32 {
        match self {
            Self::Kib4 => 12,
            Self::Kib16 => 14,
            Self::Kib64 => 16,
        }
    }

    /// Address bits that one level resolves.
    pub const fn stride(self) -> u32 {
        self.shift() - 3
    }

    /// Log2 of the bytes that one descriptor of `level` (0 to 3) covers.
    pub const fn level_shift(self, level: u32) -> u32 {
        self.shift() + (3 - level) * self.stride()
    }

    /// Level at which a stage-1 walk of `input_bits` address bits starts.
    pub const fn start_level(self, input_bits: u32) -> u32 {
        let mut level = 3;
        while level > 0 && input_bits > self.level_shift(level) + self.stride() {
            level -= 1;
        }
        level
    }

    /// Level that STE.S2SL0 names as the start of a stage 2 walk; `None` for the code that needs small tables or 52-bit addresses.
    pub const fn stage2_start_level(self, sl0: u64) -> Option<u32> {
        match (self, sl0) {
            (Self::Kib4, 0) | (Self::Kib16 | Self::Kib64, 1) => Some(2),
            (Self::Kib4, 1) | (Self::Kib16 | Self::Kib64, 2) => Some(1),
            (Self::Kib4, 2) => Some(0),
            (Self::Kib16 | Self::Kib64, 0) => Some(3),
            _ => None,
        }
    }

    /// True if a block may stand at `level` (without 52-bit small-granule addresses).
    pub const fn has_block_at(self, level: u32) -> bool {
        match self {
            Self::Kib4 => level == 1 || level == 2,
            Self::Kib16 | Self::Kib64 => level == 2,
        }
    }

    /// Entries of a contiguous run at `level`; 1 where the hint has no meaning.
    pub const fn contiguous_entries(self, level: u32) -> u64 {
        match (self, level) {
            (Self::Kib4, 1..=3) => 16,
            (Self::Kib16, 2) => 32,
            (Self::Kib16, 3) => 128,
            (Self::Kib64, 2 | 3) => 32,
            _ => 1,
        }
    }

    /// Output address of a leaf or table descriptor whose field reaches down to `low_bit`.
    pub const fn address(self, descriptor: u64, low_bit: u32) -> u64 {
        let low = descriptor & ADDR_47_12 & !((1 << low_bit) - 1);
        match self {
            Self::Kib64 => low | ((descriptor >> 12) & 0xf) << 48,
            _ => low,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PA: u64 = 0x4567_8000;

    #[test]
    fn pages_golden() {
        let page = LEAF::VALID::SET + LEAF::PAGE::SET + LEAF::AF::SET + LEAF::SH::Inner;
        assert_eq!(PA | (page + LEAF::AP1::SET).value, PA | 0x743);
        assert_eq!((page + LEAF::AP1::SET + LEAF::AP2::SET).value, 0x7c3);
        assert_eq!(page.value, 0x703);
        assert_eq!((LEAF::VALID::SET + LEAF::PAGE::SET + LEAF::AP1::SET + LEAF::SH::Inner).value, 0x343);
        assert_eq!((page + LEAF::AP1::SET + LEAF::NG::SET).value, 0xf43);
        assert_eq!((LEAF::VALID::SET + LEAF::AF::SET + LEAF::SH::Inner + LEAF::AP1::SET).value, 0x741);
        assert_eq!((TABLE::VALID::SET + TABLE::TABLE::SET).value, 3);
    }

    #[test]
    fn levels_follow_the_table_of_granules() {
        // 4K: TxSZ 16-24 L0, 25-33 L1, 34-39 L2.
        for (tsz, level) in [(16, 0), (24, 0), (25, 1), (33, 1), (34, 2), (39, 2)] {
            assert_eq!(Granule::Kib4.start_level(64 - tsz), level, "4K T0SZ {tsz}");
        }
        for (tsz, level) in [(16, 0), (17, 1), (27, 1), (28, 2), (38, 2), (39, 3)] {
            assert_eq!(Granule::Kib16.start_level(64 - tsz), level, "16K T0SZ {tsz}");
        }
        for (tsz, level) in [(12, 1), (16, 1), (21, 1), (22, 2), (34, 2), (35, 3), (39, 3)] {
            assert_eq!(Granule::Kib64.start_level(64 - tsz), level, "64K T0SZ {tsz}");
        }
        assert_eq!([0, 1, 2, 3].map(|l| Granule::Kib4.level_shift(l)), [39, 30, 21, 12]);
        assert_eq!([1, 2, 3].map(|l| Granule::Kib16.level_shift(l)), [36, 25, 14]);
        assert_eq!([1, 2, 3].map(|l| Granule::Kib64.level_shift(l)), [42, 29, 16]);
    }

    #[test]
    fn stage2_start_levels_follow_the_table_of_codes() {
        assert_eq!([0, 1, 2, 3].map(|c| Granule::Kib4.stage2_start_level(c)), [Some(2), Some(1), Some(0), None]);
        for granule in [Granule::Kib16, Granule::Kib64] {
            assert_eq!([0, 1, 2, 3].map(|c| granule.stage2_start_level(c)), [Some(3), Some(2), Some(1), None]);
        }
    }

    #[test]
    fn stage2_pages_golden() {
        let page = LEAF_S2::VALID::SET + LEAF_S2::PAGE::SET + LEAF_S2::AF::SET + LEAF_S2::SH::Inner + LEAF_S2::MEM_ATTR.val(0xf);
        assert_eq!((page + LEAF_S2::READ::SET + LEAF_S2::WRITE::SET).value, 0x7ff);
        assert_eq!((page + LEAF_S2::READ::SET).value, 0x77f);
        assert_eq!(LEAF_S2::XN::Nobody.value, 1 << 54);
        assert_eq!(LEAF_S2::XN::OnlyUnprivileged.value, 1 << 53);
    }

    #[test]
    fn sixty_four_kib_addresses_have_52_bits() {
        assert_eq!(Granule::Kib64.address(0x0000_1234_5678_f003, 16), 0x000f_1234_5678_0000 & !0xffff);
        assert_eq!(Granule::Kib4.address(0x0000_1234_5678_f003, 12), 0x0000_1234_5678_f000);
    }
}
