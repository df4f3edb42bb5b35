//! The AXI master block (AM), 0x300000 (B.8).
#![allow(missing_docs, reason = "register_bitfields! makes items of its own beside each documented field")]

use tock_registers::register_bitfields;

use super::function::FLAG;

register_bitfields! { u32,
    /// TRANS_RETURN.
    pub RETURNED [
        /// [1:0] ALL: 3 when both reads and writes have returned.
        ALL OFFSET(0) NUMBITS(2) [],
    ],
    /// CFG_PORT_WR_EN.
    pub PORTS [
        /// [11] MSI: the ZIP engine's MSI port.
        MSI OFFSET(11) NUMBITS(1) [],
    ]
}

registers! {
    /// Registers of the AXI master block, ascending.
    REGISTERS:
    /// MASTER_GLOBAL_CTRL — bit 0: stop issuing. Offset 0x300000, RW.
    MASTER_GLOBAL_CTRL: u32, FLAG::Register = 0x30_0000, ReadWrite, 0;
    /// CURR_TRANS — single-port maximum. Offset 0x300014, RW.
    SINGLE_PORT_MAX_TRANS: u32 = 0x30_0014, ReadWrite, 0;
    /// CFG_PORT_WR_EN — per-port write enable. Offset 0x30001c, RW, reset all on.
    CFG_PORT_WR_EN: u32, PORTS::Register = 0x30_001c, ReadWrite, 0xffff_ffff;
    /// CURR_PORT_STS. Offset 0x300100, RO.
    CURR_PORT_STS: u32 = 0x30_0100, ReadOnly, 0;
    /// ROB_ECC_INT_STS — bit 1: multi-bit ECC. Offset 0x300104, W1C.
    ROB_ECC_INT_STS: u32 = 0x30_0104, WriteOneToClear, 0;
    /// TRANS_RETURN — 3 when drained. Offset 0x300150, RO, reset 3.
    TRANS_RETURN: u32, RETURNED::Register = 0x30_0150, ReadOnly, 3;
    /// RD_MAX_TRANS_ID. Offset 0x300154, RO.
    RD_MAX_TRANS_ID: u32 = 0x30_0154, ReadOnly, 0;
    /// WR_MAX_TRANS_ID. Offset 0x300158, RO.
    WR_MAX_TRANS_ID: u32 = 0x30_0158, ReadOnly, 0;
    /// ALARM_RRESP. Offset 0x300180, RO.
    ALARM_RRESP: u32 = 0x30_0180, ReadOnly, 0;
    /// ALARM_BRESP. Offset 0x300184, RO.
    ALARM_BRESP: u32 = 0x30_0184, ReadOnly, 0;
}
