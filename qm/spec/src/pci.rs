//! How a function shows itself in PCI configuration space (A.1, A.2, A.4). Offsets in bytes; standard layouts of the PCI specifications.
#![allow(missing_docs, reason = "register_bitfields! makes items of its own beside each documented field")]

use tock_registers::register_bitfields;

register_bitfields! { u32,
    /// Command (15:0) and status (31:16), offset 0x04.
    pub COMMAND [
        /// [1] MSE: memory space enable.
        MSE OFFSET(1) NUMBITS(1) [],
        /// [2] BME: bus master enable.
        BME OFFSET(2) NUMBITS(1) [],
        /// [6] PERR: parity error response.
        PERR OFFSET(6) NUMBITS(1) [],
        /// [8] SERR: system error enable.
        SERR OFFSET(8) NUMBITS(1) [],
        /// [10] INTX_DISABLE.
        INTX_DISABLE OFFSET(10) NUMBITS(1) [],
        /// [20] CAP_LIST: there is a capability list.
        CAP_LIST OFFSET(20) NUMBITS(1) [],
    ],
    /// Device capabilities of PCI Express, capability + 0x04.
    pub DEVICE_CAPABILITIES [
        /// [5] EXTENDED_TAG.
        EXTENDED_TAG OFFSET(5) NUMBITS(1) [],
        /// [15] ROLE_BASED error reporting.
        ROLE_BASED OFFSET(15) NUMBITS(1) [],
        /// [28] FLR: function-level reset.
        FLR OFFSET(28) NUMBITS(1) [],
    ],
    /// Device control of PCI Express, capability + 0x08.
    pub DEVICE_CONTROL [
        /// [15] INITIATE_FLR: write 1 to reset the function; reads 0.
        INITIATE_FLR OFFSET(15) NUMBITS(1) [],
    ],
    /// SR-IOV control (15:0) and status (31:16), capability + 0x08.
    pub SRIOV_CONTROL [
        /// [0] VF_ENABLE.
        VF_ENABLE OFFSET(0) NUMBITS(1) [],
        /// [3] VF_MSE: memory space of the VFs.
        VF_MSE OFFSET(3) NUMBITS(1) [],
        /// [4] ARI: hierarchy of alternative routing ids.
        ARI OFFSET(4) NUMBITS(1) [],
    ],
    /// InitialVFs and TotalVFs, capability + 0x0c.
    pub SRIOV_VFS [
        /// [15:0] INITIAL.
        INITIAL OFFSET(0) NUMBITS(16) [],
        /// [31:16] TOTAL.
        TOTAL OFFSET(16) NUMBITS(16) [],
    ],
    /// First VF offset and VF stride, capability + 0x14.
    pub SRIOV_ROUTE [
        /// [15:0] OFFSET.
        OFFSET OFFSET(0) NUMBITS(16) [],
        /// [31:16] STRIDE.
        STRIDE OFFSET(16) NUMBITS(16) [],
    ],
    /// First dword of the MSI capability.
    pub MSI_CONTROL [
        /// [7:0] ID: 5.
        ID OFFSET(0) NUMBITS(8) [],
        /// [15:8] NEXT capability.
        NEXT OFFSET(8) NUMBITS(8) [],
        /// [16] ENABLE.
        ENABLE OFFSET(16) NUMBITS(1) [],
        /// [19:17] CAPABLE: log2 of the vectors wanted.
        CAPABLE OFFSET(17) NUMBITS(3) [],
        /// [22:20] ENABLED: log2 of the vectors granted.
        ENABLED OFFSET(20) NUMBITS(3) [],
        /// [23] ADDRESS64.
        ADDRESS64 OFFSET(23) NUMBITS(1) [],
        /// [24] PER_VECTOR_MASK.
        PER_VECTOR_MASK OFFSET(24) NUMBITS(1) [],
    ],
    /// Second dword of the PASID extended capability: capability (15:0), control (31:16).
    pub PASID [
        /// [1] EXEC: execute permission supported.
        EXEC OFFSET(1) NUMBITS(1) [],
        /// [2] PRIV: privileged mode supported.
        PRIV OFFSET(2) NUMBITS(1) [],
        /// [12:8] WIDTH in bits.
        WIDTH OFFSET(8) NUMBITS(5) [],
        /// [16] ENABLE.
        ENABLE OFFSET(16) NUMBITS(1) [],
    ],
    /// Second dword of the ATS extended capability: capability (15:0), control (31:16).
    pub ATS [
        /// [4:0] QUEUE_DEPTH: invalidations that can wait, 0 for 32.
        QUEUE_DEPTH OFFSET(0) NUMBITS(5) [],
        /// [5] PAGE_ALIGNED: untranslated addresses of requests are aligned to 4 KiB.
        PAGE_ALIGNED OFFSET(5) NUMBITS(1) [],
        /// [6] GLOBAL: invalidations of all PASIDs are understood.
        GLOBAL OFFSET(6) NUMBITS(1) [],
        /// [20:16] STU: log2 of the smallest translation, in 4 KiB.
        STU OFFSET(16) NUMBITS(5) [],
        /// [31] ENABLE.
        ENABLE OFFSET(31) NUMBITS(1) [],
    ],
    /// Second dword of the PRI extended capability: control (15:0), status (31:16).
    pub PRI [
        /// [0] ENABLE.
        ENABLE OFFSET(0) NUMBITS(1) [],
        /// [1] RESET: write 1 while disabled to forget requests under way; reads 0.
        RESET OFFSET(1) NUMBITS(1) [],
        /// [16] RESPONSE_FAILURE: a request was answered by Response Failure. Write 1 to clear.
        RESPONSE_FAILURE OFFSET(16) NUMBITS(1) [],
        /// [17] UNEXPECTED_GROUP: an answer fitted no request. Write 1 to clear.
        UNEXPECTED_GROUP OFFSET(17) NUMBITS(1) [],
        /// [24] STOPPED: disabled, and every request was answered.
        STOPPED OFFSET(24) NUMBITS(1) [],
        /// [31] RESPONSE_PASID: answers to requests with a PASID must carry it.
        RESPONSE_PASID OFFSET(31) NUMBITS(1) [],
    ]
}

/// HiSilicon's vendor id.
pub const VENDOR: u16 = 0x19e5;
/// Base class 0x12, processing accelerator; sub-class and interface 0.
pub const CLASS: u32 = 0x12_0000;

/// Vendor and device id.
pub const ID: u16 = 0x00;
/// Command and status.
pub const COMMAND_STATUS: u16 = 0x04;
/// Revision (7:0) and class (31:8).
pub const REVISION_CLASS: u16 = 0x08;
/// Cache line, latency, header type, BIST.
pub const HEADER: u16 = 0x0c;
/// BAR2, low half: the register file.
pub const BAR2: u16 = 0x18;
/// BAR4, low half: doorbell pages.
pub const BAR4: u16 = 0x20;
/// Subsystem vendor and id.
pub const SUBSYSTEM: u16 = 0x2c;
/// Pointer to the first capability.
pub const CAPABILITIES: u16 = 0x34;
/// Interrupt line and pin.
pub const INTERRUPT: u16 = 0x3c;
/// Low bits of a 64-bit prefetchable memory BAR.
pub const BAR_MEM64_PREFETCH: u32 = 0xc;

/// Capability id of MSI.
pub const CAP_ID_MSI: u8 = 0x05;
/// Capability id of PCI Express.
pub const CAP_ID_PCIE: u8 = 0x10;
/// Extended capability id of PASID.
pub const EXT_CAP_ID_PASID: u16 = 0x1b;

/// Extended capability id of ATS.
pub const EXT_CAP_ID_ATS: u16 = 0x0f;
/// Extended capability id of PRI.
pub const EXT_CAP_ID_PRI: u16 = 0x13;
/// Extended capability id of SR-IOV.
pub const EXT_CAP_ID_SRIOV: u16 = 0x10;

/// Offsets inside the SR-IOV capability.
pub mod sriov {
    /// Control and status.
    pub const CONTROL: u16 = 0x08;
    /// InitialVFs and TotalVFs.
    pub const VFS: u16 = 0x0c;
    /// NumVFs.
    pub const NUM_VFS: u16 = 0x10;
    /// First VF offset and stride.
    pub const ROUTE: u16 = 0x14;
    /// VF device id in 31:16.
    pub const DEVICE: u16 = 0x18;
    /// Supported page sizes.
    pub const SUPPORTED_PAGES: u16 = 0x1c;
    /// System page size.
    pub const SYSTEM_PAGE: u16 = 0x20;
    /// VF BAR2, low half.
    pub const BAR2: u16 = 0x2c;
    /// VF BAR4, low half.
    pub const BAR4: u16 = 0x34;
}

/// Bytes of one function's configuration space.
pub const CONFIG_BYTES: u16 = 0x1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_those_of_the_pci_specifications() {
        let command = [COMMAND::MSE, COMMAND::BME, COMMAND::PERR, COMMAND::SERR, COMMAND::INTX_DISABLE, COMMAND::CAP_LIST];
        assert_eq!(command.map(|f| f.mask << f.shift), [0x2, 0x4, 0x40, 0x100, 0x400, 0x10_0000]);
        let msi = [
            MSI_CONTROL::ID,
            MSI_CONTROL::NEXT,
            MSI_CONTROL::ENABLE,
            MSI_CONTROL::CAPABLE,
            MSI_CONTROL::ENABLED,
            MSI_CONTROL::ADDRESS64,
            MSI_CONTROL::PER_VECTOR_MASK,
        ];
        assert_eq!(msi.map(|f| f.mask << f.shift), [0xff, 0xff00, 0x1_0000, 0xe_0000, 0x70_0000, 0x80_0000, 0x100_0000]);
        assert_eq!(
            [DEVICE_CAPABILITIES::EXTENDED_TAG, DEVICE_CAPABILITIES::ROLE_BASED, DEVICE_CAPABILITIES::FLR].map(|f| f.mask << f.shift),
            [0x20, 0x8000, 0x1000_0000]
        );
        assert_eq!(DEVICE_CONTROL::INITIATE_FLR.mask << DEVICE_CONTROL::INITIATE_FLR.shift, 0x8000);
        assert_eq!([SRIOV_CONTROL::VF_ENABLE, SRIOV_CONTROL::VF_MSE, SRIOV_CONTROL::ARI].map(|f| f.mask << f.shift), [1, 8, 0x10]);
        assert_eq!([SRIOV_VFS::INITIAL, SRIOV_VFS::TOTAL].map(|f| f.mask << f.shift), [0xffff, 0xffff_0000]);
        assert_eq!([SRIOV_ROUTE::OFFSET, SRIOV_ROUTE::STRIDE].map(|f| f.mask << f.shift), [0xffff, 0xffff_0000]);
        assert_eq!(
            [ATS::QUEUE_DEPTH, ATS::PAGE_ALIGNED, ATS::GLOBAL, ATS::STU, ATS::ENABLE].map(|f| f.mask << f.shift),
            [0x1f, 0x20, 0x40, 0x1f_0000, 0x8000_0000]
        );
        assert_eq!(
            [PRI::ENABLE, PRI::RESET, PRI::RESPONSE_FAILURE, PRI::UNEXPECTED_GROUP, PRI::STOPPED, PRI::RESPONSE_PASID]
                .map(|f| f.mask << f.shift),
            [1, 2, 0x1_0000, 0x2_0000, 0x100_0000, 0x8000_0000]
        );
        assert_eq!([PASID::EXEC, PASID::PRIV, PASID::WIDTH, PASID::ENABLE].map(|f| f.mask << f.shift), [2, 4, 0x1f00, 0x1_0000]);
    }
}
