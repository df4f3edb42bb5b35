//! The PF area, 0x100000 to 0x1047ff (B.5 to B.7, B.9, B.10).
#![allow(missing_docs, reason = "register_bitfields! makes items of its own beside each documented field")]

use tock_registers::register_bitfields;

use super::function::FLAG;
use crate::{QUEUE_NUMBERS, RAS};

register_bitfields! { u32,
    /// CACHE_CTL.
    pub CACHE [
        /// [0] SQC cache on.
        SQC OFFSET(0) NUMBITS(1) [],
        /// [1] CQC cache on.
        CQC OFFSET(1) NUMBITS(1) [],
        /// [4] SQC write-back on.
        SQC_WB OFFSET(4) NUMBITS(1) [],
        /// [10:5] SQC write-back threshold.
        SQC_THRESHOLD OFFSET(5) NUMBITS(6) [],
        /// [11] CQC write-back on.
        CQC_WB OFFSET(11) NUMBITS(1) [],
        /// [17:12] CQC write-back threshold.
        CQC_THRESHOLD OFFSET(12) NUMBITS(6) [],
    ],
    /// PM_CTRL.
    pub PM [
        /// [9] IDLE_DISABLE: no clock gating when idle.
        IDLE_DISABLE OFFSET(9) NUMBITS(1) [],
    ],
    /// Selector of a counter: a function and one of its queues.
    pub COUNTER_SELECT [
        /// [5:0] FUNCTION.
        FUNCTION OFFSET(0) NUMBITS(6) [],
        /// [31:16] QUEUE.
        QUEUE OFFSET(16) NUMBITS(16) [],
    ],
    /// SHAPER_CFG.
    pub SHAPER_CFG_FIELDS [
        /// [9:0] TYPE0: base rate of algorithm type 0.
        TYPE0 OFFSET(0) NUMBITS(10) [],
        /// [19:10] TYPE1: base rate of algorithm type 1.
        TYPE1 OFFSET(10) NUMBITS(10) [],
        /// [30] ENABLE.
        ENABLE OFFSET(30) NUMBITS(1) [],
    ],
    /// Bus attribute word (B.8).
    pub AXUSER [
        /// [0] SSV: transactions carry a substream (version 2, data streams only).
        SSV OFFSET(0) NUMBITS(1) [],
        /// [4] FP.
        FP OFFSET(4) NUMBITS(1) [],
        /// [5] NO.
        NO OFFSET(5) NUMBITS(1) [],
        /// [6] NS: non-secure.
        NS OFFSET(6) NUMBITS(1) [],
        /// [14:12] CMD_TYPE: 1 is SMMU normal.
        CMD_TYPE OFFSET(12) NUMBITS(3) [],
        /// [30] SNOOP.
        SNOOP OFFSET(30) NUMBITS(1) [],
    ]
}

registers! {
    /// Registers of the PF area, ascending.
    REGISTERS:
    /// ABNORMAL_INT_SOURCE — errors. Offset 0x100000, W1C.
    ABNORMAL_INT_SOURCE: u32, RAS::Register = 0x10_0000, WriteOneToClear, 0;
    /// ABNORMAL_INT_MASK — 1 masks. Offset 0x100004, RW, reset 0x7fff.
    ABNORMAL_INT_MASK: u32, RAS::Register = 0x10_0004, ReadWrite, 0x7fff;
    /// ABNORMAL_INT_STATUS — source and not mask. Offset 0x100008, RO.
    ABNORMAL_INT_STATUS: u32, RAS::Register = 0x10_0008, ReadOnly, 0;
    /// ABNORMAL_INT_SET — injection. Offset 0x10000c, WO.
    ABNORMAL_INT_SET: u32, RAS::Register = 0x10_000c, WriteOnly, 0;
    /// ABNORMAL_INF00 — owner of a FIFO overflow. Offset 0x100010, RO.
    ABNORMAL_INF00: u32, crate::ABNORMAL_INF00::Register = 0x10_0010, ReadOnly, 0;
    /// ABNORMAL_INF01 — owner of a doorbell timeout. Offset 0x100014, RO.
    ABNORMAL_INF01: u32, crate::ABNORMAL_INF01::Register = 0x10_0014, ReadOnly, 0;
    /// ABNORMAL_INF02 — bit 22: AXI poison. Offset 0x100018, RO.
    ABNORMAL_INF02: u32 = 0x10_0018, ReadOnly, 0;
    /// MEM_START_INIT — write 1: clear the internal memory. Offset 0x100040, WO.
    MEM_START_INIT: u32, FLAG::Register = 0x10_0040, WriteOnly, 0;
    /// MEM_INIT_DONE. Offset 0x100044, RO.
    MEM_INIT_DONE: u32, FLAG::Register = 0x10_0044, ReadOnly, 0;
    /// CACHE_CTL. Offset 0x100050, RW.
    CACHE_CTL: u32, CACHE::Register = 0x10_0050, ReadWrite, 0;
    /// VFT_CFG_OP_ENABLE — write 1 to execute. Offset 0x100054, WO.
    VFT_CFG_OP_ENABLE: u32, FLAG::Register = 0x10_0054, WriteOnly, 0;
    /// VFT_CFG_OP_WR — 0 write, 1 read an entry. Offset 0x100058, RW.
    VFT_CFG_OP_WR: u32, FLAG::Register = 0x10_0058, ReadWrite, 0;
    /// VFT_CFG_TYPE — which table. Offset 0x10005c, RW.
    VFT_CFG_TYPE: u32 = 0x10_005c, ReadWrite, 0;
    /// VFT_CFG — function number; for the shaper with the algorithm type at bit 6. Offset 0x100060, RW.
    VFT_CFG: u32 = 0x10_0060, ReadWrite, 0;
    /// VFT_CFG_DATA_L — entry, low word. Offset 0x100064, RW.
    VFT_CFG_DATA_L: u32 = 0x10_0064, ReadWrite, 0;
    /// VFT_CFG_DATA_H — entry, high word. Offset 0x100068, RW.
    VFT_CFG_DATA_H: u32 = 0x10_0068, ReadWrite, 0;
    /// VFT_CFG_RDY — idle; software clears it before it starts. Offset 0x10006c, RW, reset 1.
    VFT_CFG_RDY: u32, FLAG::Register = 0x10_006c, ReadWrite, 1;
    /// TIMEOUT_CFG. Offset 0x100070, RW.
    TIMEOUT_CFG: u32 = 0x10_0070, ReadWrite, 0;
    /// DB_TIMEOUT_CFG — nanoseconds. Offset 0x100074, RW.
    DB_TIMEOUT_CFG: u32 = 0x10_0074, ReadWrite, 0;
    /// FLR_PENDING_TIME_CFG. Offset 0x100078, RW.
    FLR_PENDING_TIME_CFG: u32 = 0x10_0078, ReadWrite, 0;
    /// ARUSER_M_CFG_1 — bus attributes of reads. Offset 0x100088, RW.
    ARUSER_M_CFG_1: u32, AXUSER::Register = 0x10_0088, ReadWrite, 0;
    /// ARUSER_M_CFG_ENABLE. Offset 0x100090, RW.
    ARUSER_M_CFG_ENABLE: u32 = 0x10_0090, ReadWrite, 0;
    /// AWUSER_M_CFG_1 — bus attributes of writes. Offset 0x100098, RW.
    AWUSER_M_CFG_1: u32, AXUSER::Register = 0x10_0098, ReadWrite, 0;
    /// AWUSER_M_CFG_ENABLE. Offset 0x1000a0, RW.
    AWUSER_M_CFG_ENABLE: u32 = 0x10_00a0, ReadWrite, 0;
    /// WUSER_M_CFG_ENABLE. Offset 0x1000a8, RW.
    WUSER_M_CFG_ENABLE: u32 = 0x10_00a8, ReadWrite, 0;
    /// AXI_M_CFG. Offset 0x1000ac, RW.
    AXI_M_CFG: u32 = 0x10_00ac, ReadWrite, 0;
    /// AXI_M_CFG_ENABLE. Offset 0x1000b0, RW.
    AXI_M_CFG_ENABLE: u32 = 0x10_00b0, ReadWrite, 0;
    /// PEH_AXUSER_CFG. Offset 0x1000cc, RW.
    PEH_AXUSER_CFG: u32 = 0x10_00cc, ReadWrite, 0;
    /// PEH_AXUSER_CFG_ENABLE. Offset 0x1000d0, RW.
    PEH_AXUSER_CFG_ENABLE: u32 = 0x10_00d0, ReadWrite, 0;
    /// PEH_VENDOR_ID — scratch for a write and read-back. Offset 0x1000d8, RW, reset 0x19e5.
    PEH_VENDOR_ID: u32 = 0x10_00d8, ReadWrite, 0x19e5;
    /// REVISION_ID — bits 7:0 as in configuration space. Offset 0x1000dc, RO.
    REVISION_ID: u32 = 0x10_00dc, ReadOnly, 0;
    /// RAS_CE_ENABLE — correctable errors. Offset 0x1000ec, RW.
    RAS_CE_ENABLE: u32, RAS::Register = 0x10_00ec, ReadWrite, 0;
    /// RAS_FE_ENABLE — fatal errors. Offset 0x1000f0, RW.
    RAS_FE_ENABLE: u32, RAS::Register = 0x10_00f0, ReadWrite, 0;
    /// RAS_NFE_ENABLE — non-fatal errors. Offset 0x1000f4, RW.
    RAS_NFE_ENABLE: u32, RAS::Register = 0x10_00f4, ReadWrite, 0;
    /// RAS_CE_THRESHOLD — events per interrupt. Offset 0x1000f8, RW.
    RAS_CE_THRESHOLD: u32 = 0x10_00f8, ReadWrite, 0;
    /// PEH_DFX_INFO0 — bits 0 and 2: MSI on its way. Offset 0x1000fc, RO.
    PEH_DFX_INFO0: u32 = 0x10_00fc, ReadOnly, 0;
    /// PEH_DFX_INFO1 — 19:16: MSI operations. Offset 0x100100, RO.
    PEH_DFX_INFO1: u32 = 0x10_0100, ReadOnly, 0;
    /// CNT_CLR_CE — bit 0: counters clear on read. Offset 0x100118, RW.
    CNT_CLR_CE: u32, FLAG::Register = 0x10_0118, ReadWrite, 0;
    /// AXI_TIMEOUT_CTRL. Offset 0x100120, RW.
    AXI_TIMEOUT_CTRL: u32 = 0x10_0120, ReadWrite, 0;
    /// AXI_TIMEOUT_STATUS. Offset 0x100124, RO.
    AXI_TIMEOUT_STATUS: u32 = 0x10_0124, ReadOnly, 0;
    /// IFC_READY_STATUS — VFs that have not acknowledged. Offset 0x100128, 64-bit, RO.
    IFC_READY_STATUS: u64 = 0x10_0128, ReadOnly, 0;
    /// IFC_INT_SET_P — fire. Offset 0x100130, WO.
    IFC_INT_SET_P: u32 = 0x10_0130, WriteOnly, 0;
    /// IFC_INT_CFG — destination function. Offset 0x100134, RW.
    IFC_INT_CFG: u32 = 0x10_0134, ReadWrite, 0;
    /// IFC_INT_SOURCE_P — VFs that sent. Offset 0x100138, 64-bit, W1C.
    IFC_INT_SOURCE_P: u64 = 0x10_0138, WriteOneToClear, 0;
    /// CQE_AGGR_TIMEOUT_CTRL. Offset 0x100144, RW.
    CQE_AGGR_TIMEOUT_CTRL: u32 = 0x10_0144, ReadWrite, 0;
    /// PM_CTRL. Offset 0x100148, RW.
    PM_CTRL: u32, PM::Register = 0x10_0148, ReadWrite, 0;
    /// QUE_ISO_EN. Offset 0x100154, RW.
    QUE_ISO_EN: u32 = 0x10_0154, ReadWrite, 0;
    /// QUEUE_NUM — queue numbers. Offset 0x100158, RO.
    QUEUE_NUM: u32, QUEUE_NUMBERS::Register = 0x10_0158, ReadOnly, 0;
    /// SHAPER_CFG — base rates. Offset 0x100164, RW.
    SHAPER_CFG: u32, SHAPER_CFG_FIELDS::Register = 0x10_0164, ReadWrite, 0;
    /// ECC_1BIT_CNT. Offset 0x104000, clear on read.
    ECC_1BIT_CNT: u32 = 0x10_4000, ReadOnly, 0;
    /// ECC_1BIT_INF. Offset 0x104004, RO.
    ECC_1BIT_INF: u32 = 0x10_4004, ReadOnly, 0;
    /// ECC_MBIT_CNT. Offset 0x104008, clear on read.
    ECC_MBIT_CNT: u32 = 0x10_4008, ReadOnly, 0;
    /// ECC_MBIT_INF. Offset 0x10400c, RO.
    ECC_MBIT_INF: u32 = 0x10_400c, ReadOnly, 0;
    /// MB_CNT_SELECT — function. Offset 0x104010, RW.
    MB_CNT_SELECT: u32, COUNTER_SELECT::Register = 0x10_4010, ReadWrite, 0;
    /// MB_CNT — mailboxes. Offset 0x104018, clear on read.
    MB_CNT: u32 = 0x10_4018, ReadOnly, 0;
    /// DB_CNT_SELECT — function. Offset 0x104020, RW.
    DB_CNT_SELECT: u32, COUNTER_SELECT::Register = 0x10_4020, ReadWrite, 0;
    /// DB_CNT — doorbells. Offset 0x104028, clear on read.
    DB_CNT: u32 = 0x10_4028, ReadOnly, 0;
    /// SQE_CNT_SELECT — function and queue. Offset 0x104030, RW.
    SQE_CNT_SELECT: u32, COUNTER_SELECT::Register = 0x10_4030, ReadWrite, 0;
    /// SQE_CNT — entries fetched. Offset 0x104038, clear on read.
    SQE_CNT: u32 = 0x10_4038, ReadOnly, 0;
    /// CQE_CNT_SELECT — function and queue. Offset 0x104040, RW.
    CQE_CNT_SELECT: u32, COUNTER_SELECT::Register = 0x10_4040, ReadWrite, 0;
    /// CQE_CNT — completions written. Offset 0x104048, clear on read.
    CQE_CNT: u32 = 0x10_4048, ReadOnly, 0;
    /// SEND_SQE_TO_ACC_CNT — entries given to the engine. Offset 0x104050, clear on read.
    SEND_SQE_TO_ACC_CNT: u32 = 0x10_4050, ReadOnly, 0;
    /// WB_SQE_FROM_ACC_CNT — entries written back. Offset 0x104058, clear on read.
    WB_SQE_FROM_ACC_CNT: u32 = 0x10_4058, ReadOnly, 0;
    /// ACC_FINISH_CNT — entries that the engine finished. Offset 0x104060, clear on read.
    ACC_FINISH_CNT: u32 = 0x10_4060, ReadOnly, 0;
    /// ACC_RDY_VLD0. Offset 0x1040a0, RO.
    ACC_RDY_VLD0: u32 = 0x10_40a0, ReadOnly, 0;
    /// ACC_RDY_VLD1. Offset 0x1040a4, RO.
    ACC_RDY_VLD1: u32 = 0x10_40a4, ReadOnly, 0;
    /// AXI_RDY_VLD. Offset 0x1040a8, RO.
    AXI_RDY_VLD: u32 = 0x10_40a8, ReadOnly, 0;
    /// CQE_ERR_CNT. Offset 0x1040b4, clear on read.
    CQE_ERR_CNT: u32 = 0x10_40b4, ReadOnly, 0;
    /// FF_ST0, first of seven. Offset 0x1040c8, RO.
    FF_ST0: u32 = 0x10_40c8, ReadOnly, 0;
    /// FF_ST1. Offset 0x1040cc, RO.
    FF_ST1: u32 = 0x10_40cc, ReadOnly, 0;
    /// FF_ST2. Offset 0x1040d0, RO.
    FF_ST2: u32 = 0x10_40d0, ReadOnly, 0;
    /// FF_ST3. Offset 0x1040d4, RO.
    FF_ST3: u32 = 0x10_40d4, ReadOnly, 0;
    /// FF_ST4. Offset 0x1040d8, RO.
    FF_ST4: u32 = 0x10_40d8, ReadOnly, 0;
    /// FF_ST5. Offset 0x1040dc, RO.
    FF_ST5: u32 = 0x10_40dc, ReadOnly, 0;
    /// FF_ST6. Offset 0x1040e0, RO.
    FF_ST6: u32 = 0x10_40e0, ReadOnly, 0;
    /// IN_IDLE_ST — 1: idle. Offset 0x1040e4, RO.
    IN_IDLE_ST: u32, FLAG::Register = 0x10_40e4, ReadOnly, 1;
    /// RAS_MSI_INT_SEL. Offset 0x1040f4, RW.
    RAS_MSI_INT_SEL: u32 = 0x10_40f4, ReadWrite, 0;
    /// OOO_SHUTDOWN_SEL — errors that freeze the AXI master (version 3). Offset 0x1040f8, RW.
    OOO_SHUTDOWN_SEL: u32, RAS::Register = 0x10_40f8, ReadWrite, 0;
    /// ACC_RAS_MSI_INT_SEL. Offset 0x1040fc, RW.
    ACC_RAS_MSI_INT_SEL: u32 = 0x10_40fc, ReadWrite, 0;
    /// CQE_OUT_CNT. Offset 0x104100, RO.
    CQE_OUT_CNT: u32 = 0x10_4100, ReadOnly, 0;
    /// EQE_OUT_CNT. Offset 0x104104, RO.
    EQE_OUT_CNT: u32 = 0x10_4104, ReadOnly, 0;
    /// AEQE_OUT_CNT. Offset 0x104108, RO.
    AEQE_OUT_CNT: u32 = 0x10_4108, ReadOnly, 0;
    /// DB_INFO0 — last doorbell, low word. Offset 0x104180, RO.
    DB_INFO0: u32 = 0x10_4180, ReadOnly, 0;
    /// DB_INFO1 — last doorbell, high word. Offset 0x104184, RO.
    DB_INFO1: u32 = 0x10_4184, ReadOnly, 0;
}

/// Bus attributes of QM traffic: snooped, non-secure, through the SMMU (B.8).
pub const AXUSER_PLAIN: u32 = 0x4000_1070;
/// ARUSER/AWUSER enable value.
pub const AXUSER_ENABLE: u32 = 0xffff_fffe;
/// AXI_M_CFG value.
pub const AXI_M_CFG_VALUE: u32 = 0xffff;
/// PEH_AXUSER_CFG value: changes of bus master enable do not trigger a function-level reset.
pub const PEH_AXUSER_VALUE: u32 = 0x40_1001;
/// Enable words that turn on every bit.
pub const ENABLE_ALL: u32 = 0xffff_ffff;
/// DB_TIMEOUT_CFG value, nanoseconds.
pub const DB_TIMEOUT_VALUE: u32 = 0x1f_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_rows_43_44_and_58() {
        let cache = CACHE::SQC::SET
            + CACHE::CQC::SET
            + CACHE::SQC_WB::SET
            + CACHE::SQC_THRESHOLD.val(1)
            + CACHE::CQC_WB::SET
            + CACHE::CQC_THRESHOLD.val(1);
        assert_eq!(cache.value, 0x1833);
        let shaper = SHAPER_CFG_FIELDS::ENABLE::SET + SHAPER_CFG_FIELDS::TYPE0.val(750) + SHAPER_CFG_FIELDS::TYPE1.val(140);
        assert_eq!(shaper.value, 0x4002_32ee);
        let axuser = AXUSER::SNOOP::SET + AXUSER::CMD_TYPE.val(1) + AXUSER::NS::SET + AXUSER::NO::SET + AXUSER::FP::SET;
        assert_eq!((axuser.value, AXUSER_PLAIN), (0x4000_1070, 0x4000_1070));
        assert_eq!((axuser + AXUSER::SSV::SET).value, 0x4000_1071);
    }

    #[test]
    fn masks_of_tables_b5_b6_b10() {
        assert_eq!(
            [CACHE::SQC, CACHE::CQC, CACHE::SQC_WB, CACHE::SQC_THRESHOLD, CACHE::CQC_WB, CACHE::CQC_THRESHOLD].map(|f| f.mask << f.shift),
            [1, 2, 0x10, 0x7e0, 0x800, 0x3_f000]
        );
        assert_eq!(PM::IDLE_DISABLE.mask << PM::IDLE_DISABLE.shift, 0x200);
        assert_eq!([COUNTER_SELECT::FUNCTION, COUNTER_SELECT::QUEUE].map(|f| f.mask << f.shift), [0x3f, 0xffff_0000]);
        assert_eq!(
            [SHAPER_CFG_FIELDS::TYPE0, SHAPER_CFG_FIELDS::TYPE1, SHAPER_CFG_FIELDS::ENABLE].map(|f| f.mask << f.shift),
            [0x3ff, 0xf_fc00, 0x4000_0000]
        );
    }
}
