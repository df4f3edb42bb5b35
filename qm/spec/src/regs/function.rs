//! The function area: present in every function (B.1, B.2).
#![allow(missing_docs, reason = "register_bitfields! makes items of its own beside each documented field")]

use tock_registers::register_bitfields;

use crate::CAP_FUNCTIONS;

register_bitfields! { u32,
    /// A register whose only bit is bit 0.
    pub FLAG [
        /// [0] BIT.
        BIT OFFSET(0) NUMBITS(1) [],
    ]
}

registers! {
    /// Registers of the function area, ascending.
    REGISTERS:
    /// VF_AEQ_INT_SOURCE — asynchronous events pending. Offset 0x0000, RO; cleared by an AEQ doorbell.
    VF_AEQ_INT_SOURCE: u32, FLAG::Register = 0x0000, ReadOnly, 0;
    /// VF_AEQ_INT_MASK — 1 masks. Offset 0x0004, RW, reset 1.
    VF_AEQ_INT_MASK: u32, FLAG::Register = 0x0004, ReadWrite, 1;
    /// VF_EQ_INT_SOURCE — completion events pending. Offset 0x0008, RO; cleared by an EQ doorbell.
    VF_EQ_INT_SOURCE: u32, FLAG::Register = 0x0008, ReadOnly, 0;
    /// VF_EQ_INT_MASK — 1 masks. Offset 0x000c, RW, reset 1.
    VF_EQ_INT_MASK: u32, FLAG::Register = 0x000c, ReadWrite, 1;
    /// IFC_INT_SOURCE_V — message from a peer waits. Offset 0x0020, W1C.
    IFC_INT_SOURCE_V: u32, FLAG::Register = 0x0020, WriteOneToClear, 0;
    /// IFC_INT_MASK — 1 disables the interrupt between functions. Offset 0x0024, RW, reset 1.
    IFC_INT_MASK: u32, FLAG::Register = 0x0024, ReadWrite, 1;
    /// IFC_INT_STATUS — masked status. Offset 0x0028, RO.
    IFC_INT_STATUS: u32, FLAG::Register = 0x0028, ReadOnly, 0;
    /// IFC_INT_SET_V — a VF interrupts its PF. Offset 0x002c, RW.
    IFC_INT_SET_V: u32, FLAG::Register = 0x002c, ReadWrite, 0;
    /// QUE_ISO_CFG_V — 1 if every queue has its own doorbell page in BAR4. Offset 0x0030, RO.
    QUE_ISO_CFG_V: u32, FLAG::Register = 0x0030, ReadOnly, 0;
    /// PAGE_SIZE — prefetch page: 0 is 4 KiB, 1 is 16 KiB, 2 is 64 KiB. Offset 0x0034, RW.
    PAGE_SIZE: u32 = 0x0034, ReadWrite, 0;
    /// VF_STATE — 0 ready, 1 not ready. Offset 0x0060, RW.
    VF_STATE: u32 = 0x0060, ReadWrite, 0;
    /// DFX_FUNS_ACTIVE_ST — function active. Offset 0x0200, RO.
    DFX_FUNS_ACTIVE_ST: u32 = 0x0200, ReadOnly, 0;
    /// CACHE_WB_START — write 1: flush cached SQC and CQC to memory. Offset 0x0204, WO.
    CACHE_WB_START: u32, FLAG::Register = 0x0204, WriteOnly, 0;
    /// CACHE_WB_DONE — flush finished. Offset 0x0208, RO.
    CACHE_WB_DONE: u32, FLAG::Register = 0x0208, ReadOnly, 0;
    /// SUB_VERSION_ID — a value other than 0 replaces the revision id. Offset 0x0210, RO.
    SUB_VERSION_ID: u32 = 0x0210, ReadOnly, 0;
    /// MB_CMD_SEND_BASE — mailbox, word 0. Offset 0x0300. Commands are one 128-bit store here.
    MB_CMD_SEND_BASE: u32, crate::MB_W0::Register = 0x0300, ReadWrite, 0;
    /// MB_CMD_DATA_ADDR_L — mailbox, word 1. Offset 0x0304.
    MB_CMD_DATA_ADDR_L: u32 = 0x0304, ReadWrite, 0;
    /// MB_CMD_DATA_ADDR_H — mailbox, word 2. Offset 0x0308.
    MB_CMD_DATA_ADDR_H: u32 = 0x0308, ReadWrite, 0;
    /// MB_TOKEN — mailbox, word 3. Offset 0x030c.
    MB_TOKEN: u32 = 0x030c, ReadWrite, 0;
    /// DOORBELL_SQ_CQ — shared submission and completion doorbell. Offset 0x1000, 64-bit, WO.
    DOORBELL_SQ_CQ: u64, crate::DB_V2::Register = 0x1000, WriteOnly, 0;
    /// DOORBELL_EQ_AEQ — event doorbell, never isolated. Offset 0x2000, 64-bit, WO.
    DOORBELL_EQ_AEQ: u64, crate::DB_V2::Register = 0x2000, WriteOnly, 0;
    /// CAP_FUNCTIONS — capability version and features. Offset 0x3100, RO.
    CAPABILITY: u32, CAP_FUNCTIONS::Register = 0x3100, ReadOnly, 0;
    /// Depths of EQ (15:0) and AEQ (31:16). Offset 0x3104, RO.
    CAP_EVENT_DEPTHS: u32 = 0x3104, ReadOnly, 0;
    /// Depths of SQ (15:0) and CQ (31:16). Offset 0x3108, RO.
    CAP_QUEUE_DEPTHS: u32 = 0x3108, ReadOnly, 0;
    /// EQ interrupt: type 31:16, vector 15:0. Offset 0x310c, RO.
    CAP_EQ_IRQ: u32 = 0x310c, ReadOnly, 0;
    /// AEQ interrupt. Offset 0x3110, RO.
    CAP_AEQ_IRQ: u32 = 0x3110, ReadOnly, 0;
    /// Abnormal interrupt. Offset 0x3114, RO.
    CAP_ABNORMAL_IRQ: u32 = 0x3114, ReadOnly, 0;
    /// Mailbox interrupt. Offset 0x3118, RO.
    CAP_MAILBOX_IRQ: u32 = 0x3118, ReadOnly, 0;
    /// Interrupt counts: VF 15:0, PF 31:16. Offset 0x311c, RO.
    CAP_IRQ_COUNTS: u32 = 0x311c, ReadOnly, 0;
    /// NFE mask. Offset 0x3124, RO.
    CAP_NFE: u32 = 0x3124, ReadOnly, 0;
    /// Reset mask 15:0, shutdown mask 31:16. Offset 0x3128, RO.
    CAP_RESET_SHUTDOWN: u32 = 0x3128, ReadOnly, 0;
    /// CE mask. Offset 0x312c, RO.
    CAP_CE: u32 = 0x312c, ReadOnly, 0;
    /// End of the capability table, bit 0. Offset 0x317c, RO.
    CAP_END: u32, FLAG::Register = 0x317c, ReadOnly, 1;
}

/// First of the engine's own capability words.
pub const ENGINE_CAPABILITIES: u64 = 0x3130;
/// One past the last of the engine's own capability words.
pub const ENGINE_CAPABILITIES_END: u64 = 0x317c;
