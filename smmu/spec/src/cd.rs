//! Context descriptors and their level-1 table (IHI 0070 5.3, 5.4).
//!
//! A CD is 64 bytes, eight 64-bit words; words 4 (AMAIR), 6 and 7 (permission indirection) have no field that a profile offers.
#![allow(missing_docs, reason = "register_bitfields! generates undocumented items beside each documented field")]

use tock_registers::register_bitfields;

/// Bytes of a Context descriptor.
pub const CD_BYTES: u64 = 64;
/// Bytes of a level-1 CD table descriptor.
pub const L1CD_BYTES: u64 = 8;
/// SubstreamID bits that a 4 KiB level-2 table resolves (S1Fmt 1).
pub const SPLIT_4K: u32 = 6;
/// SubstreamID bits that a 64 KiB level-2 table resolves (S1Fmt 2).
pub const SPLIT_64K: u32 = 10;

register_bitfields! { u64,
    /// Level-1 CD table descriptor.
    pub L1CD [
        /// Valid.
        V OFFSET(0) NUMBITS(1) [],
        /// Address bits 55:12 of the level-2 table.
        L2PTR OFFSET(12) NUMBITS(44) [],
    ],
    /// CD word 0.
    pub CD_DW0 [
        /// 64 minus the input address bits of the TTB0 half.
        T0SZ OFFSET(0) NUMBITS(6) [],
        /// Granule of the TTB0 half.
        TG0 OFFSET(6) NUMBITS(2) [ Granule4K = 0, Granule64K = 1, Granule16K = 2 ],
        /// TTB0 walk, inner cacheability.
        IR0 OFFSET(8) NUMBITS(2) [ NonCacheable = 0, WriteBackWriteAllocate = 1, WriteThrough = 2, WriteBack = 3 ],
        /// TTB0 walk, outer cacheability.
        OR0 OFFSET(10) NUMBITS(2) [ NonCacheable = 0, WriteBackWriteAllocate = 1, WriteThrough = 2, WriteBack = 3 ],
        /// TTB0 walk, shareability.
        SH0 OFFSET(12) NUMBITS(2) [ NonShareable = 0, Outer = 2, Inner = 3 ],
        /// No walk through TTB0.
        EPD0 OFFSET(14) NUMBITS(1) [],
        /// Big-endian tables.
        ENDI OFFSET(15) NUMBITS(1) [],
        /// 64 minus the input address bits of the TTB1 half.
        T1SZ OFFSET(16) NUMBITS(6) [],
        /// Granule of the TTB1 half; the code differs from TG0.
        TG1 OFFSET(22) NUMBITS(2) [ Granule16K = 1, Granule4K = 2, Granule64K = 3 ],
        /// TTB1 walk, inner cacheability.
        IR1 OFFSET(24) NUMBITS(2) [ NonCacheable = 0, WriteBackWriteAllocate = 1, WriteThrough = 2, WriteBack = 3 ],
        /// TTB1 walk, outer cacheability.
        OR1 OFFSET(26) NUMBITS(2) [ NonCacheable = 0, WriteBackWriteAllocate = 1, WriteThrough = 2, WriteBack = 3 ],
        /// TTB1 walk, shareability.
        SH1 OFFSET(28) NUMBITS(2) [ NonShareable = 0, Outer = 2, Inner = 3 ],
        /// No walk through TTB1.
        EPD1 OFFSET(30) NUMBITS(1) [],
        /// Valid.
        V OFFSET(31) NUMBITS(1) [],
        /// Output address size code.
        IPS OFFSET(32) NUMBITS(3) [],
        /// AF = 0 does not fault; ignored with HA.
        AFFD OFFSET(35) NUMBITS(1) [],
        /// Writable means never executable.
        WXN OFFSET(36) NUMBITS(1) [],
        /// AArch32 only.
        UWXN OFFSET(37) NUMBITS(1) [],
        /// Top byte of TTB0 addresses is ignored.
        TBI0 OFFSET(38) NUMBITS(1) [],
        /// Top byte of TTB1 addresses is ignored.
        TBI1 OFFSET(39) NUMBITS(1) [],
        /// Privileged data access to an unprivileged page faults.
        PAN OFFSET(40) NUMBITS(1) [],
        /// VMSAv8-64 tables.
        AA64 OFFSET(41) NUMBITS(1) [],
        /// Hardware dirty state.
        HD OFFSET(42) NUMBITS(1) [],
        /// Hardware Access flag.
        HA OFFSET(43) NUMBITS(1) [],
        /// Stall faults.
        S OFFSET(44) NUMBITS(1) [],
        /// Record terminated faults.
        R OFFSET(45) NUMBITS(1) [],
        /// Terminated faults abort; 0: read zero, ignore writes.
        A OFFSET(46) NUMBITS(1) [],
        /// The ASID is private: not shared with the CPU.
        ASET OFFSET(47) NUMBITS(1) [],
        /// ASID.
        ASID OFFSET(48) NUMBITS(16) [],
    ],
    /// CD word 1.
    pub CD_DW1 [
        /// Ignored for Non-secure streams.
        NSCFG0 OFFSET(0) NUMBITS(1) [],
        /// Hierarchical attributes of TTB0 tables are ignored.
        HAD0 OFFSET(1) NUMBITS(1) [],
        /// Unprivileged access to the TTB0 half faults.
        E0PD0 OFFSET(2) NUMBITS(1) [],
        /// Hardware table Access flag.
        HAFT OFFSET(3) NUMBITS(1) [],
        /// Address bits 51:4 of the TTB0 table.
        TTB0 OFFSET(4) NUMBITS(48) [],
        /// Protected and non-protected contiguous.
        PNCH OFFSET(58) NUMBITS(1) [],
        /// PAN applies to unprivileged-executable pages too.
        EPAN OFFSET(59) NUMBITS(1) [],
        /// Page-based hardware attributes.
        HWU0 OFFSET(60) NUMBITS(4) [],
    ],
    /// CD word 2.
    pub CD_DW2 [
        /// Ignored for Non-secure streams.
        NSCFG1 OFFSET(0) NUMBITS(1) [],
        /// Hierarchical attributes of TTB1 tables are ignored.
        HAD1 OFFSET(1) NUMBITS(1) [],
        /// Unprivileged access to the TTB1 half faults.
        E0PD1 OFFSET(2) NUMBITS(1) [],
        /// Attribute index extension.
        AIE OFFSET(3) NUMBITS(1) [],
        /// Address bits 51:4 of the TTB1 table.
        TTB1 OFFSET(4) NUMBITS(48) [],
        /// 52-bit addresses with small granules.
        DS OFFSET(58) NUMBITS(1) [],
        /// Permission indirection.
        PIE OFFSET(59) NUMBITS(1) [],
        /// Page-based hardware attributes.
        HWU1 OFFSET(60) NUMBITS(4) [],
    ],
    /// CD word 3: eight memory attributes.
    pub CD_DW3 [
        /// Attributes 0 to 3.
        MAIR0 OFFSET(0) NUMBITS(32) [],
        /// Attributes 4 to 7.
        MAIR1 OFFSET(32) NUMBITS(32) [],
    ],
    /// CD word 4: eight auxiliary attributes.
    pub CD_DW4 [
        /// Attributes 0 to 3.
        AMAIR0 OFFSET(0) NUMBITS(32) [],
        /// Attributes 4 to 7.
        AMAIR1 OFFSET(32) NUMBITS(32) [],
    ],
    /// CD word 5.
    pub CD_DW5 [
        /// Implementation defined.
        IMPDEF OFFSET(0) NUMBITS(32) [],
        /// Partition.
        PARTID OFFSET(32) NUMBITS(16) [],
        /// Performance group.
        PMG OFFSET(48) NUMBITS(8) [],
    ],
    /// CD word 6: sixteen unprivileged permissions of three bits.
    pub CD_DW6 [
        /// They count with PIE only.
        PIIU OFFSET(0) NUMBITS(48) [],
    ],
    /// CD word 7: sixteen privileged permissions of three bits.
    pub CD_DW7 [
        /// They count with PIE only.
        PIIP OFFSET(0) NUMBITS(48) [],
    ],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common() -> tock_registers::fields::FieldValue<u64, CD_DW0::Register> {
        CD_DW0::T0SZ.val(25)
            + CD_DW0::TG0::Granule4K
            + CD_DW0::IR0::WriteBackWriteAllocate
            + CD_DW0::OR0::WriteBackWriteAllocate
            + CD_DW0::SH0::Inner
            + CD_DW0::EPD1::SET
            + CD_DW0::V::SET
            + CD_DW0::IPS.val(4)
            + CD_DW0::AA64::SET
            + CD_DW0::R::SET
            + CD_DW0::A::SET
            + CD_DW0::ASID.val(7)
    }

    #[test]
    fn private_asid_golden() {
        assert_eq!((common() + CD_DW0::ASET::SET).value, 0x0007_e204_c000_3519);
    }

    #[test]
    fn sva_with_stall_golden() {
        assert_eq!((common() + CD_DW0::S::SET).value, 0x0007_7204_c000_3519);
    }

    #[test]
    fn quiesced_golden() {
        assert_eq!((common() + CD_DW0::S::SET + CD_DW0::EPD0::SET).value, 0x0007_7204_c000_7519);
    }
}
