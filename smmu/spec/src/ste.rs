//! Stream table: level-1 descriptors and Stream table entries (IHI 0070 5.1, 5.2).
//!
//! An STE is 64 bytes, eight 64-bit words; words 6 and 7 are zero in the Non-secure interface without permission indirection.
#![allow(missing_docs, reason = "register_bitfields! generates undocumented items beside each documented field")]

use tock_registers::register_bitfields;

/// Bytes of a Stream table entry.
pub const STE_BYTES: u64 = 64;
/// Bytes of a level-1 Stream table descriptor.
pub const L1STD_BYTES: u64 = 8;

register_bitfields! { u64,
    /// Level-1 Stream table descriptor.
    pub L1STD [
        /// 0 invalid; n means 2^(n-1) entries in the level-2 array. More than SPLIT + 1, or above 11, acts as invalid.
        SPAN OFFSET(0) NUMBITS(5) [],
        /// Address bits 55:6 of the level-2 array.
        L2PTR OFFSET(6) NUMBITS(50) [],
    ],
    /// STE word 0.
    pub STE_DW0 [
        /// Valid; 0 makes the whole entry ILLEGAL.
        V OFFSET(0) NUMBITS(1) [],
        /// What happens to the stream; values below 4 all abort silently.
        CONFIG OFFSET(1) NUMBITS(3) [ Abort = 0, Bypass = 4, Stage1 = 5, Stage2 = 6, Nested = 7 ],
        /// Shape of the CD table; 3 acts as 0.
        S1FMT OFFSET(4) NUMBITS(2) [ Linear = 0, TwoLevel4K = 1, TwoLevel64K = 2 ],
        /// Address bits 55:6 of the CD or the CD table.
        S1CONTEXTPTR OFFSET(6) NUMBITS(50) [],
        /// Log2 of the number of CDs; 0 switches substreams off.
        S1CDMAX OFFSET(59) NUMBITS(5) [],
    ],
    /// STE word 1.
    pub STE_DW1 [
        /// Traffic without a SubstreamID while S1CDMax > 0; 3 acts as 0.
        S1DSS OFFSET(0) NUMBITS(2) [ Terminate = 0, Bypass = 1, Ssid0 = 2 ],
        /// CD fetch, inner.
        S1CIR OFFSET(2) NUMBITS(2) [ NonCacheable = 0, WriteBackReadAllocate = 1, WriteThrough = 2, WriteBack = 3 ],
        /// CD fetch, outer.
        S1COR OFFSET(4) NUMBITS(2) [ NonCacheable = 0, WriteBackReadAllocate = 1, WriteThrough = 2, WriteBack = 3 ],
        /// CD fetch, shareability.
        S1CSH OFFSET(6) NUMBITS(2) [ NonShareable = 0, Outer = 2, Inner = 3 ],
        /// Page-based hardware attributes of stage 2.
        S2HWU OFFSET(8) NUMBITS(4) [],
        /// Destructive reads.
        DRE OFFSET(12) NUMBITS(1) [],
        /// 2^CONT identical neighbours, a hint.
        CONT OFFSET(13) NUMBITS(4) [],
        /// Directed cache prefetch.
        DCP OFFSET(17) NUMBITS(1) [],
        /// PRI auto-responses carry the PASID.
        PPAR OFFSET(18) NUMBITS(1) [],
        /// Events may be merged.
        MEV OFFSET(19) NUMBITS(1) [],
        /// Free for software.
        SW OFFSET(20) NUMBITS(4) [],
        /// Stage 1 permission indirection.
        S1PIE OFFSET(24) NUMBITS(1) [],
        /// Stage 2 forced write-back.
        S2FWB OFFSET(25) NUMBITS(1) [],
        /// Memory partitioning by CD.
        S1MPAM OFFSET(26) NUMBITS(1) [],
        /// Makes CD.S = 1 ILLEGAL.
        S1STALLD OFFSET(27) NUMBITS(1) [],
        /// ATS.
        EATS OFFSET(28) NUMBITS(2) [ None = 0, Full = 1, SplitStage = 2, Dpt = 3 ],
        /// Stream world; 1 and 3 are ILLEGAL here.
        STRW OFFSET(30) NUMBITS(2) [ NsEl1 = 0, NsEl2 = 2 ],
        /// Memory type override.
        MEMATTR OFFSET(32) NUMBITS(4) [],
        /// Use MEMATTR.
        MTCFG OFFSET(36) NUMBITS(1) [],
        /// Allocation hints.
        ALLOCCFG OFFSET(37) NUMBITS(4) [],
        /// Shareability.
        SHCFG OFFSET(44) NUMBITS(2) [ NonShareable = 0, Incoming = 1, Outer = 2, Inner = 3 ],
        /// Security override, ignored for Non-secure streams.
        NSCFG OFFSET(46) NUMBITS(2) [],
        /// Privilege override.
        PRIVCFG OFFSET(48) NUMBITS(2) [ Incoming = 0, Unprivileged = 2, Privileged = 3 ],
        /// Instruction/data override of reads.
        INSTCFG OFFSET(50) NUMBITS(2) [ Incoming = 0, Data = 2, Instruction = 3 ],
    ],
    /// STE word 2: stage 2, and the VMID that also tags stage-1-only entries when IDR0.S2P = 1.
    pub STE_DW2 [
        /// VMID.
        S2VMID OFFSET(0) NUMBITS(16) [],
        /// 64 minus the IPA bits.
        S2T0SZ OFFSET(32) NUMBITS(6) [],
        /// Start level code.
        S2SL0 OFFSET(38) NUMBITS(2) [],
        /// Walk, inner cacheability.
        S2IR0 OFFSET(40) NUMBITS(2) [],
        /// Walk, outer cacheability.
        S2OR0 OFFSET(42) NUMBITS(2) [],
        /// Walk, shareability.
        S2SH0 OFFSET(44) NUMBITS(2) [],
        /// Granule.
        S2TG OFFSET(46) NUMBITS(2) [ Granule4K = 0, Granule64K = 1, Granule16K = 2 ],
        /// Output address size code.
        S2PS OFFSET(48) NUMBITS(3) [],
        /// VMSAv8-64 tables.
        S2AA64 OFFSET(51) NUMBITS(1) [],
        /// Big-endian tables.
        S2ENDI OFFSET(52) NUMBITS(1) [],
        /// AF = 0 does not fault.
        S2AFFD OFFSET(53) NUMBITS(1) [],
        /// A walk that hits Device memory faults.
        S2PTW OFFSET(54) NUMBITS(1) [],
        /// Hardware dirty state.
        S2HD OFFSET(55) NUMBITS(1) [],
        /// Hardware Access flag.
        S2HA OFFSET(56) NUMBITS(1) [],
        /// Stall on stage 2 faults.
        S2S OFFSET(57) NUMBITS(1) [],
        /// Record stage 2 faults.
        S2R OFFSET(58) NUMBITS(1) [],
        /// Hardware table Access flag.
        S2HAFT OFFSET(59) NUMBITS(1) [],
        /// Permission indirection.
        S2PIE OFFSET(60) NUMBITS(1) [],
        /// Permission overlay.
        S2POE OFFSET(61) NUMBITS(1) [],
        /// Device permission table VMID match.
        DPT_VMATCH OFFSET(62) NUMBITS(2) [],
    ],
    /// STE word 3.
    pub STE_DW3 [
        /// Secure only.
        S2NSW OFFSET(0) NUMBITS(1) [],
        /// Secure only.
        S2NSA OFFSET(1) NUMBITS(1) [],
        /// Start level code, third bit.
        S2SL0_2 OFFSET(2) NUMBITS(1) [],
        /// 52-bit stage 2 with small granules.
        S2DS OFFSET(3) NUMBITS(1) [],
        /// Stage 2 table address bits 55:4.
        S2TTB OFFSET(4) NUMBITS(52) [],
    ],
    /// STE word 4.
    pub STE_DW4 [
        /// Partition of table accesses.
        PARTID OFFSET(16) NUMBITS(16) [],
    ],
    /// STE word 5.
    pub STE_DW5 [
        /// Performance group.
        PMG OFFSET(0) NUMBITS(8) [],
        /// Address bits 55:12 of the Virtual Machine Structure.
        VMSPTR OFFSET(12) NUMBITS(44) [],
    ],
}

/// Largest legal L1STD.Span.
pub const SPAN_MAX: u64 = 11;

/// The StreamID bits that a level-2 table resolves: SPLIT itself if 6, 8 or 10, else 6.
pub const fn effective_split(split: u32) -> u32 {
    match split {
        8 | 10 => split,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tock_registers::LocalRegisterCopy;

    #[test]
    fn stage1_single_cd_golden() {
        let dw0 = STE_DW0::V::SET + STE_DW0::CONFIG::Stage1 + STE_DW0::S1CONTEXTPTR.val(0x4101_0000 >> 6);
        assert_eq!(dw0.value, 0x0000_0000_4101_000b);
        let dw1 =
            STE_DW1::S1DSS::Ssid0 + STE_DW1::S1CIR::WriteBackReadAllocate + STE_DW1::S1COR::WriteBackReadAllocate + STE_DW1::S1CSH::Inner;
        assert_eq!(dw1.value, 0xd6);
    }

    #[test]
    fn stage1_two_level_64k_table_golden() {
        let dw0 = STE_DW0::V::SET
            + STE_DW0::CONFIG::Stage1
            + STE_DW0::S1FMT::TwoLevel64K
            + STE_DW0::S1CONTEXTPTR.val(0x4800_0000 >> 6)
            + STE_DW0::S1CDMAX.val(16);
        assert_eq!(dw0.value, 0x8000_0000_4800_002b);
        let back: LocalRegisterCopy<u64, STE_DW0::Register> = LocalRegisterCopy::new(0x8000_0000_4800_002b);
        assert_eq!(back.read(STE_DW0::S1CONTEXTPTR) << 6, 0x4800_0000);
        assert_eq!((back.read(STE_DW0::S1CDMAX), back.read(STE_DW0::S1FMT), back.read(STE_DW0::CONFIG)), (16, 2, 5));
    }

    #[test]
    fn abort_and_bypass_golden() {
        assert_eq!((STE_DW0::V::SET + STE_DW0::CONFIG::Abort).value, 1);
        assert_eq!((STE_DW0::V::SET + STE_DW0::CONFIG::Bypass).value, 9);
        assert_eq!(STE_DW1::SHCFG::Incoming.value, 1 << 44);
    }

    #[test]
    fn l1std_for_256_entries_golden() {
        assert_eq!((L1STD::SPAN.val(9) + L1STD::L2PTR.val(0x4242_0000 >> 6)).value, 0x4242_0009);
    }

    #[test]
    fn odd_splits_act_as_6() {
        assert_eq!([0, 6, 7, 8, 9, 10, 11, 31].map(effective_split), [6, 6, 6, 8, 6, 10, 6, 6]);
    }
}
