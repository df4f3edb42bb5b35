//! Register map of both 64 KiB pages (IHI 0070 chapter 6).
//!
//! Page 1 holds only the indices of the output queues, so that they can be handed to another owner. Offsets count from page 0.
//! Guards ("write only while ...") stand at each register; [`ALL`] lists every register that some profile may implement.
#![allow(missing_docs, reason = "register_bitfields! generates undocumented items beside each documented field")]

use hal::{Permission, Reg, RegInfo};
use tock_registers::register_bitfields;

/// Length in bytes of the register region: two pages.
pub const REGION_BYTES: u64 = 0x2_0000;
/// Offset of page 1.
pub const PAGE1: u64 = 0x1_0000;

register_bitfields! { u32,
    /// SMMU_IDR0: features.
    pub IDR0 [
        /// Stage 2 supported.
        S2P OFFSET(0) NUMBITS(1) [],
        /// Stage 1 supported.
        S1P OFFSET(1) NUMBITS(1) [],
        /// Translation table formats: bit 0 AArch32 LPAE, bit 1 AArch64.
        TTF OFFSET(2) NUMBITS(2) [ Aarch32 = 1, Aarch64 = 2, Both = 3 ],
        /// Table walks and queue accesses are coherent with the CPU's caches.
        COHACC OFFSET(4) NUMBITS(1) [],
        /// Broadcast TLB maintenance is followed.
        BTM OFFSET(5) NUMBITS(1) [],
        /// Hardware update of Access flag and dirty state.
        HTTU OFFSET(6) NUMBITS(2) [ None = 0, Access = 1, AccessDirty = 2, AccessDirtyTable = 3 ],
        /// Dormant hint.
        DORMHINT OFFSET(8) NUMBITS(1) [],
        /// EL2 stream worlds and their TLB commands.
        HYP OFFSET(9) NUMBITS(1) [],
        /// PCIe ATS.
        ATS OFFSET(10) NUMBITS(1) [],
        /// Split-stage ATS not supported.
        NS1ATS OFFSET(11) NUMBITS(1) [],
        /// 16-bit ASIDs.
        ASID16 OFFSET(12) NUMBITS(1) [],
        /// Message-signalled interrupts.
        MSI OFFSET(13) NUMBITS(1) [],
        /// CMD_SYNC can send an event to waiting CPUs.
        SEV OFFSET(14) NUMBITS(1) [],
        /// Address translation operations registers.
        ATOS OFFSET(15) NUMBITS(1) [],
        /// PCIe page requests.
        PRI OFFSET(16) NUMBITS(1) [],
        /// VMID wildcard matching.
        VMW OFFSET(17) NUMBITS(1) [],
        /// 16-bit VMIDs.
        VMID16 OFFSET(18) NUMBITS(1) [],
        /// Two-level CD tables.
        CD2L OFFSET(19) NUMBITS(1) [],
        /// Virtual ATOS page.
        VATOS OFFSET(20) NUMBITS(1) [],
        /// Endianness of translation tables.
        TTENDIAN OFFSET(21) NUMBITS(2) [ Mixed = 0, Little = 2, Big = 3 ],
        /// CR2.REC_CFG_ATS is implemented.
        ATSRECERR OFFSET(23) NUMBITS(1) [],
        /// Fault models.
        STALL_MODEL OFFSET(24) NUMBITS(2) [ StallAndTerminate = 0, TerminateOnly = 1, StallForced = 2 ],
        /// Terminated faults can only abort, never read zero and ignore writes.
        TERM_MODEL OFFSET(26) NUMBITS(1) [],
        /// Stream table formats.
        ST_LEVEL OFFSET(27) NUMBITS(2) [ Linear = 0, TwoLevel = 1 ],
        /// Realm management extension.
        RME_IMPL OFFSET(30) NUMBITS(1) [],
    ],
    /// SMMU_IDR1: sizes.
    pub IDR1 [
        /// StreamID bits.
        SIDSIZE OFFSET(0) NUMBITS(6) [],
        /// SubstreamID bits.
        SSIDSIZE OFFSET(6) NUMBITS(5) [],
        /// Largest log2 of PRI queue entries.
        PRIQS OFFSET(11) NUMBITS(5) [],
        /// Largest log2 of Event queue entries.
        EVENTQS OFFSET(16) NUMBITS(5) [],
        /// Largest log2 of Command queue entries.
        CMDQS OFFSET(21) NUMBITS(5) [],
        /// Incoming permission attributes can be overridden.
        ATTR_PERMS_OVR OFFSET(26) NUMBITS(1) [],
        /// Incoming memory attributes can be overridden.
        ATTR_TYPES_OVR OFFSET(27) NUMBITS(1) [],
        /// Preset bases are relative.
        REL OFFSET(28) NUMBITS(1) [],
        /// Queue bases are fixed.
        QUEUES_PRESET OFFSET(29) NUMBITS(1) [],
        /// Table bases are fixed.
        TABLES_PRESET OFFSET(30) NUMBITS(1) [],
        /// Enhanced Command queues.
        ECMDQ OFFSET(31) NUMBITS(1) [],
    ],
    /// SMMU_IDR2: ATOS page.
    pub IDR2 [
        /// Offset of the VATOS page.
        BA_VATOS OFFSET(0) NUMBITS(10) [],
    ],
    /// SMMU_IDR3: features.
    pub IDR3 [
        /// Hierarchical attribute disable.
        HAD OFFSET(2) NUMBITS(1) [],
        /// Page-based hardware attributes.
        PBHA OFFSET(3) NUMBITS(1) [],
        /// Stage 2 execute-never per privilege.
        XNX OFFSET(4) NUMBITS(1) [],
        /// PRI responses carry the PASID.
        PPS OFFSET(5) NUMBITS(1) [],
        /// Memory partitioning.
        MPAM OFFSET(7) NUMBITS(1) [],
        /// Stage 2 forced write-back.
        FWB OFFSET(8) NUMBITS(1) [],
        /// Small translation tables.
        STT OFFSET(9) NUMBITS(1) [],
        /// Range invalidation and level hints.
        RIL OFFSET(10) NUMBITS(1) [],
        /// Break-before-make level.
        BBML OFFSET(11) NUMBITS(2) [],
        /// CD.E0PDx.
        E0PD OFFSET(13) NUMBITS(1) [],
        /// Walks to non-cacheable memory in nested configurations.
        PTWNNC OFFSET(14) NUMBITS(1) [],
        /// Device permission table.
        DPT OFFSET(15) NUMBITS(1) [],
        /// PASID on ATS Translated transactions.
        PASIDTT OFFSET(16) NUMBITS(1) [],
        /// CD.EPAN.
        EPAN OFFSET(17) NUMBITS(1) [],
        /// Stage 1 permission indirection.
        S1PI OFFSET(18) NUMBITS(1) [],
        /// Stage 2 permission indirection.
        S2PI OFFSET(19) NUMBITS(1) [],
        /// Stage 2 permission overlay.
        S2PO OFFSET(20) NUMBITS(1) [],
        /// Translation hardening.
        THE OFFSET(21) NUMBITS(1) [],
        /// Memory tagging permission.
        MTEPERM OFFSET(22) NUMBITS(1) [],
        /// Attribute index extension.
        AIE OFFSET(23) NUMBITS(1) [],
    ],
    /// SMMU_IDR5: address sizes, granules, stalls.
    pub IDR5 [
        /// Output address size.
        OAS OFFSET(0) NUMBITS(3) [ Bits32 = 0, Bits36 = 1, Bits40 = 2, Bits42 = 3, Bits44 = 4, Bits48 = 5, Bits52 = 6, Bits56 = 7 ],
        /// 4 KiB granule.
        GRAN4K OFFSET(4) NUMBITS(1) [],
        /// 16 KiB granule.
        GRAN16K OFFSET(5) NUMBITS(1) [],
        /// 64 KiB granule.
        GRAN64K OFFSET(6) NUMBITS(1) [],
        /// 52-bit addresses with 4 KiB and 16 KiB granules.
        DS OFFSET(7) NUMBITS(1) [],
        /// 128-bit descriptors.
        D128 OFFSET(8) NUMBITS(1) [],
        /// Virtual address size: 0 means 48 bits, 1 means 52.
        VAX OFFSET(10) NUMBITS(2) [],
        /// Upper bound of recorded, unresolved stalls.
        STALL_MAX OFFSET(16) NUMBITS(16) [],
    ],
    /// SMMU_IIDR: who made it.
    pub IIDR [
        /// JEP106 code of the implementer.
        IMPLEMENTER OFFSET(0) NUMBITS(12) [],
        /// Minor revision.
        REVISION OFFSET(12) NUMBITS(4) [],
        /// Variant or major revision.
        VARIANT OFFSET(16) NUMBITS(4) [],
        /// Product.
        PRODUCT_ID OFFSET(20) NUMBITS(12) [],
    ],
    /// SMMU_AIDR: architecture version.
    pub AIDR [
        /// Minor revision: n means SMMUv3.n.
        ARCH_MINOR_REV OFFSET(0) NUMBITS(4) [],
        /// Major revision, 0 for SMMUv3.
        ARCH_MAJOR_REV OFFSET(4) NUMBITS(4) [],
    ],
    /// SMMU_CR0 and SMMU_CR0ACK: enables and their acknowledgement.
    pub CR0 [
        /// Translate Non-secure transactions.
        SMMUEN OFFSET(0) NUMBITS(1) [],
        /// Accept page requests. RES0 without IDR0.PRI.
        PRIQEN OFFSET(1) NUMBITS(1) [],
        /// Write event records.
        EVENTQEN OFFSET(2) NUMBITS(1) [],
        /// Consume commands.
        CMDQEN OFFSET(3) NUMBITS(1) [],
        /// Check ATS Translated transactions. RES0 without IDR0.ATS.
        ATSCHK OFFSET(4) NUMBITS(1) [],
        /// VMID wildcard. RES0 without IDR0.VMW.
        VMW OFFSET(6) NUMBITS(3) [],
        /// Device permission table walks. RES0 without IDR3.DPT.
        DPT_WALK_EN OFFSET(10) NUMBITS(1) [],
    ],
    /// SMMU_CR1: attributes of queue and table accesses.
    pub CR1 [
        /// Queue inner cacheability.
        QUEUE_IC OFFSET(0) NUMBITS(2) [ NonCacheable = 0, WriteBack = 1, WriteThrough = 2 ],
        /// Queue outer cacheability.
        QUEUE_OC OFFSET(2) NUMBITS(2) [ NonCacheable = 0, WriteBack = 1, WriteThrough = 2 ],
        /// Queue shareability.
        QUEUE_SH OFFSET(4) NUMBITS(2) [ NonShareable = 0, Outer = 2, Inner = 3 ],
        /// Stream table inner cacheability.
        TABLE_IC OFFSET(6) NUMBITS(2) [ NonCacheable = 0, WriteBack = 1, WriteThrough = 2 ],
        /// Stream table outer cacheability.
        TABLE_OC OFFSET(8) NUMBITS(2) [ NonCacheable = 0, WriteBack = 1, WriteThrough = 2 ],
        /// Stream table shareability.
        TABLE_SH OFFSET(10) NUMBITS(2) [ NonShareable = 0, Outer = 2, Inner = 3 ],
    ],
    /// SMMU_CR2: behaviour.
    pub CR2 [
        /// EL2-E2H stream world. RES0 without IDR0.Hyp.
        E2H OFFSET(0) NUMBITS(1) [],
        /// Record C_BAD_STREAMID.
        RECINVSID OFFSET(1) NUMBITS(1) [],
        /// Ignore broadcast TLB maintenance. RES0 without IDR0.BTM.
        PTM OFFSET(2) NUMBITS(1) [],
        /// Record configuration errors of ATS traffic. RES0 without IDR0.ATSRECERR.
        REC_CFG_ATS OFFSET(3) NUMBITS(1) [],
    ],
    /// SMMU_STATUSR.
    pub STATUSR [
        /// No transaction has been seen for a while.
        DORMANT OFFSET(0) NUMBITS(1) [],
    ],
    /// SMMU_GBPA: what happens to traffic while SMMUEN = 0. Written with Update = 1 while Update reads 0.
    pub GBPA [
        /// Memory type.
        MEMATTR OFFSET(0) NUMBITS(4) [],
        /// Use MemAttr instead of the incoming type.
        MTCFG OFFSET(4) NUMBITS(1) [],
        /// Allocation hints.
        ALLOCCFG OFFSET(8) NUMBITS(4) [],
        /// Shareability.
        SHCFG OFFSET(12) NUMBITS(2) [ NonShareable = 0, Incoming = 1, Outer = 2, Inner = 3 ],
        /// Privilege override.
        PRIVCFG OFFSET(16) NUMBITS(2) [],
        /// Instruction/data override.
        INSTCFG OFFSET(18) NUMBITS(2) [],
        /// Abort instead of bypass.
        ABORT OFFSET(20) NUMBITS(1) [],
        /// Set to request, clears when in effect.
        UPDATE OFFSET(31) NUMBITS(1) [],
    ],
    /// SMMU_IRQ_CTRL and SMMU_IRQ_CTRLACK.
    pub IRQ_CTRL [
        /// Global error interrupt.
        GERROR_IRQEN OFFSET(0) NUMBITS(1) [],
        /// PRI queue interrupt. RES0 without IDR0.PRI.
        PRIQ_IRQEN OFFSET(1) NUMBITS(1) [],
        /// Event queue interrupt.
        EVENTQ_IRQEN OFFSET(2) NUMBITS(1) [],
    ],
    /// SMMU_GERROR and SMMU_GERRORN: error x is active while bit x differs between the two.
    pub GERROR [
        /// Command error; the reason is in CMDQ_CONS.ERR. Consumption is stopped.
        CMDQ_ERR OFFSET(0) NUMBITS(1) [],
        /// A write to the Event queue aborted. Delivery is stopped.
        EVENTQ_ABT_ERR OFFSET(2) NUMBITS(1) [],
        /// A write to the PRI queue aborted.
        PRIQ_ABT_ERR OFFSET(3) NUMBITS(1) [],
        /// A CMD_SYNC's MSI aborted.
        MSI_CMDQ_ABT_ERR OFFSET(4) NUMBITS(1) [],
        /// An Event queue MSI aborted.
        MSI_EVENTQ_ABT_ERR OFFSET(5) NUMBITS(1) [],
        /// A PRI queue MSI aborted.
        MSI_PRIQ_ABT_ERR OFFSET(6) NUMBITS(1) [],
        /// A GERROR MSI aborted; raises no GERROR interrupt itself.
        MSI_GERROR_ABT_ERR OFFSET(7) NUMBITS(1) [],
        /// Service failure mode was entered.
        SFM_ERR OFFSET(8) NUMBITS(1) [],
        /// Error of an enhanced Command queue page.
        CMDQP_ERR OFFSET(9) NUMBITS(1) [],
        /// Device permission table error.
        DPT_ERR OFFSET(10) NUMBITS(1) [],
    ],
    /// SMMU_*_IRQ_CFG1: MSI payload.
    pub IRQ_CFG1 [
        /// Word that is written.
        DATA OFFSET(0) NUMBITS(32) [],
    ],
    /// SMMU_*_IRQ_CFG2: MSI attributes.
    pub IRQ_CFG2 [
        /// Memory type.
        MEMATTR OFFSET(0) NUMBITS(4) [],
        /// Shareability.
        SH OFFSET(4) NUMBITS(2) [ NonShareable = 0, Outer = 2, Inner = 3 ],
        /// PRI queue only: interrupt on Last only.
        LO OFFSET(31) NUMBITS(1) [],
    ],
    /// SMMU_STRTAB_BASE_CFG: shape of the Stream table.
    pub STRTAB_BASE_CFG [
        /// Log2 of the number of StreamIDs covered.
        LOG2SIZE OFFSET(0) NUMBITS(6) [],
        /// StreamID bits resolved by a level-2 table; values other than 6, 8, 10 act as 6.
        SPLIT OFFSET(6) NUMBITS(5) [],
        /// Format.
        FMT OFFSET(16) NUMBITS(2) [ Linear = 0, TwoLevel = 1 ],
    ],
    /// SMMU_CMDQ_PROD.
    pub CMDQ_PROD [
        /// Write index with wrap bit.
        WR OFFSET(0) NUMBITS(20) [],
    ],
    /// SMMU_CMDQ_CONS.
    pub CMDQ_CONS [
        /// Read index with wrap bit.
        RD OFFSET(0) NUMBITS(20) [],
        /// Reason of the latest command error; stale once GERROR.CMDQ_ERR is inactive.
        ERR OFFSET(24) NUMBITS(7) [ None = 0, Ill = 1, Abt = 2, AtcInvSync = 3 ],
    ],
    /// SMMU_EVENTQ_PROD and SMMU_PRIQ_PROD.
    pub OUTPUT_PROD [
        /// Write index with wrap bit.
        WR OFFSET(0) NUMBITS(20) [],
        /// Toggled when an entry is dropped and the previous overflow was acknowledged.
        OVFLG OFFSET(31) NUMBITS(1) [],
    ],
    /// SMMU_EVENTQ_CONS and SMMU_PRIQ_CONS.
    pub OUTPUT_CONS [
        /// Read index with wrap bit.
        RD OFFSET(0) NUMBITS(20) [],
        /// Copy of OVFLG, as the acknowledgement.
        OVACKFLG OFFSET(31) NUMBITS(1) [],
    ],
}

register_bitfields! { u64,
    /// SMMU_*_IRQ_CFG0: MSI address; 0 means no MSI.
    pub IRQ_CFG0 [
        /// Address bits 55:2.
        ADDR OFFSET(2) NUMBITS(54) [],
    ],
    /// SMMU_STRTAB_BASE.
    pub STRTAB_BASE [
        /// Address bits 55:6.
        ADDR OFFSET(6) NUMBITS(50) [],
        /// Read-allocate hint.
        RA OFFSET(62) NUMBITS(1) [],
    ],
    /// SMMU_CMDQ_BASE, SMMU_EVENTQ_BASE and SMMU_PRIQ_BASE.
    pub QUEUE_BASE [
        /// Log2 of the number of entries.
        LOG2SIZE OFFSET(0) NUMBITS(5) [],
        /// Address bits 55:5; bits below the queue's size act as 0.
        ADDR OFFSET(5) NUMBITS(51) [],
        /// Allocation hint: read-allocate (Command queue) or write-allocate (output queues).
        ALLOC OFFSET(62) NUMBITS(1) [],
    ],
}

/// Reasons of a command error, CMDQ_CONS.ERR.
pub mod cerror {
    /// No error.
    pub const NONE: u8 = 0;
    /// Opcode or field is illegal.
    pub const ILL: u8 = 1;
    /// Reading the queue aborted.
    pub const ABT: u8 = 2;
    /// An ATC invalidation before this CMD_SYNC failed.
    pub const ATC_INV_SYNC: u8 = 3;
}

macro_rules! registers {
    ($($(#[$doc:meta])* $name:ident: $width:ty, $fields:ident, $offset:expr, $permission:ident, $reset:expr;)*) => {
        $( $(#[$doc])* pub const $name: Reg<$width, $fields::Register> =
            Reg::<$width, $fields::Register>::new(stringify!($name), $offset, Permission::$permission, $reset); )*
        /// Every register, ascending by offset.
        pub const ALL: &[RegInfo] = &[$($name.info),*];
    };
}

registers! {
    /// Features. Reset by profile.
    SMMU_IDR0: u32, IDR0, 0x000, ReadOnly, 0;
    /// Sizes. Reset by profile.
    SMMU_IDR1: u32, IDR1, 0x004, ReadOnly, 0;
    /// VATOS page offset.
    SMMU_IDR2: u32, IDR2, 0x008, ReadOnly, 0;
    /// Features. Reset by profile.
    SMMU_IDR3: u32, IDR3, 0x00c, ReadOnly, 0;
    /// Address sizes and stall limit. Reset by profile.
    SMMU_IDR5: u32, IDR5, 0x014, ReadOnly, 0;
    /// Implementer.
    SMMU_IIDR: u32, IIDR, 0x018, ReadOnly, 0;
    /// Architecture version. Reset by profile.
    SMMU_AIDR: u32, AIDR, 0x01c, ReadOnly, 0;
    /// Enables. A field must not be written again before CR0ACK shows its previous value.
    SMMU_CR0: u32, CR0, 0x020, ReadWrite, 0;
    /// Acknowledges CR0; bits of absent features never acknowledge.
    SMMU_CR0ACK: u32, CR0, 0x024, ReadOnly, 0;
    /// Access attributes. TABLE_* writable while SMMUEN = 0, QUEUE_* while all queues are disabled.
    SMMU_CR1: u32, CR1, 0x028, ReadWrite, 0;
    /// Behaviour. Writable while SMMUEN = 0.
    SMMU_CR2: u32, CR2, 0x02c, ReadWrite, 0;
    /// Dormant status.
    SMMU_STATUSR: u32, STATUSR, 0x040, ReadOnly, 0;
    /// Bypass attributes, by the Update protocol. The reset value of ABORT is the implementation's choice; the models abort.
    SMMU_GBPA: u32, GBPA, 0x044, ReadWrite, 0x0010_0000;
    /// Interrupt enables.
    SMMU_IRQ_CTRL: u32, IRQ_CTRL, 0x050, ReadWrite, 0;
    /// Acknowledges IRQ_CTRL.
    SMMU_IRQ_CTRLACK: u32, IRQ_CTRL, 0x054, ReadOnly, 0;
    /// Global errors.
    SMMU_GERROR: u32, GERROR, 0x060, ReadOnly, 0;
    /// Acknowledgement of global errors, by writing what GERROR read.
    SMMU_GERRORN: u32, GERROR, 0x064, ReadWrite, 0;
    /// GERROR MSI address. Writable while GERROR_IRQEN = 0; RES0 without IDR0.MSI, as all IRQ_CFG registers.
    SMMU_GERROR_IRQ_CFG0: u64, IRQ_CFG0, 0x068, ReadWrite, 0;
    /// GERROR MSI payload.
    SMMU_GERROR_IRQ_CFG1: u32, IRQ_CFG1, 0x070, ReadWrite, 0;
    /// GERROR MSI attributes.
    SMMU_GERROR_IRQ_CFG2: u32, IRQ_CFG2, 0x074, ReadWrite, 0;
    /// Stream table base. Writable while SMMUEN = 0.
    SMMU_STRTAB_BASE: u64, STRTAB_BASE, 0x080, ReadWrite, 0;
    /// Stream table shape. Writable while SMMUEN = 0.
    SMMU_STRTAB_BASE_CFG: u32, STRTAB_BASE_CFG, 0x088, ReadWrite, 0;
    /// Command queue base. Writable while CMDQEN = 0.
    SMMU_CMDQ_BASE: u64, QUEUE_BASE, 0x090, ReadWrite, 0;
    /// Command queue producer index. Always writable.
    SMMU_CMDQ_PROD: u32, CMDQ_PROD, 0x098, ReadWrite, 0;
    /// Command queue consumer index. Writable while CMDQEN = 0.
    SMMU_CMDQ_CONS: u32, CMDQ_CONS, 0x09c, ReadWrite, 0;
    /// Event queue base. Writable while EVENTQEN = 0.
    SMMU_EVENTQ_BASE: u64, QUEUE_BASE, 0x0a0, ReadWrite, 0;
    /// Event queue MSI address. Writable while EVENTQ_IRQEN = 0.
    SMMU_EVENTQ_IRQ_CFG0: u64, IRQ_CFG0, 0x0b0, ReadWrite, 0;
    /// Event queue MSI payload.
    SMMU_EVENTQ_IRQ_CFG1: u32, IRQ_CFG1, 0x0b8, ReadWrite, 0;
    /// Event queue MSI attributes.
    SMMU_EVENTQ_IRQ_CFG2: u32, IRQ_CFG2, 0x0bc, ReadWrite, 0;
    /// PRI queue base. RES0 without IDR0.PRI, as all PRIQ registers. Writable while PRIQEN = 0.
    SMMU_PRIQ_BASE: u64, QUEUE_BASE, 0x0c0, ReadWrite, 0;
    /// PRI queue MSI address. Writable while PRIQ_IRQEN = 0.
    SMMU_PRIQ_IRQ_CFG0: u64, IRQ_CFG0, 0x0d0, ReadWrite, 0;
    /// PRI queue MSI payload.
    SMMU_PRIQ_IRQ_CFG1: u32, IRQ_CFG1, 0x0d8, ReadWrite, 0;
    /// PRI queue MSI attributes and LO.
    SMMU_PRIQ_IRQ_CFG2: u32, IRQ_CFG2, 0x0dc, ReadWrite, 0;
    /// Event queue producer index, page 1. Writable while EVENTQEN = 0.
    SMMU_EVENTQ_PROD: u32, OUTPUT_PROD, 0x1_00a8, ReadWrite, 0;
    /// Event queue consumer index, page 1. Always writable.
    SMMU_EVENTQ_CONS: u32, OUTPUT_CONS, 0x1_00ac, ReadWrite, 0;
    /// PRI queue producer index, page 1. Writable while PRIQEN = 0.
    SMMU_PRIQ_PROD: u32, OUTPUT_PROD, 0x1_00c8, ReadWrite, 0;
    /// PRI queue consumer index, page 1. Always writable.
    SMMU_PRIQ_CONS: u32, OUTPUT_CONS, 0x1_00cc, ReadWrite, 0;
}

/// CoreSight identification, CIDR0..3 at 0xff0, 0xff4, 0xff8, 0xffc.
pub const CIDR: [u32; 4] = [0x0d, 0xf0, 0x05, 0xb1];
/// Offset of CIDR0.
pub const CIDR0_OFFSET: u64 = 0xff0;

/// Address bits of an OAS, IPS or S2PS code.
pub const fn address_bits(code: u32) -> u32 {
    match code {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        5 => 48,
        6 => 52,
        _ => 56,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_ascend_do_not_overlap_and_stay_inside_the_region() {
        let mut end = 0;
        for reg in ALL {
            assert!(reg.offset >= end, "{} overlaps its predecessor", reg.name);
            assert_eq!(reg.offset % u64::from(reg.bytes), 0, "{} is misaligned", reg.name);
            end = reg.offset + u64::from(reg.bytes);
        }
        assert!(end <= REGION_BYTES);
    }

    #[test]
    fn all_write_back_inner_shareable_is_0x0d75() {
        let cr1 = CR1::QUEUE_IC::WriteBack
            + CR1::QUEUE_OC::WriteBack
            + CR1::QUEUE_SH::Inner
            + CR1::TABLE_IC::WriteBack
            + CR1::TABLE_OC::WriteBack
            + CR1::TABLE_SH::Inner;
        assert_eq!(cr1.value, 0x0d75);
    }

    #[test]
    fn two_level_table_of_2_to_the_16_split_8() {
        let cfg = STRTAB_BASE_CFG::LOG2SIZE.val(16) + STRTAB_BASE_CFG::SPLIT.val(8) + STRTAB_BASE_CFG::FMT::TwoLevel;
        assert_eq!(cfg.value, 0x0001_0210);
    }

    #[test]
    fn address_size_codes() {
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(address_bits), [32, 36, 40, 42, 44, 48, 52, 56]);
    }
}
