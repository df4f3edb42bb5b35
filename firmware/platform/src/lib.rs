//! The machine's numbers, in one place: what the silicon answers at, what the runner writes into the device tree and on QEMU's command line.
//!
//! The kernel does not know this crate: it finds everything through the device tree, as it would on a board.
#![no_std]
#![forbid(unsafe_code)]

pub mod trace;
pub mod vendor;

/// QEMU virt's RAM.
pub const RAM_BASE: u64 = 0x4000_0000;
/// Length of RAM in bytes (`-m 1024`).
pub const RAM_BYTES: u64 = 0x4000_0000;
/// First byte of the image; memory that the guest is told of ends here.
pub const IMAGE_BASE: u64 = 0x7c00_0000;
/// Where EL2's trace lies: past the image, hidden from EL1, read by the runner through the RAM's backing file.
pub const TRACE_BASE: u64 = 0x7e00_0000;
/// Length of the trace area in bytes, header included.
pub const TRACE_BYTES: u64 = 0x0200_0000;

/// Where the runner places a Linux `Image`.
pub const LINUX_IMAGE_BASE: u64 = 0x4020_0000;
/// Where the runner places an initial RAM file system.
pub const INITRD_BASE: u64 = 0x4800_0000;
/// Where the runner places the device tree, for every payload.
pub const DTB_BASE: u64 = 0x4a00_0000;

/// The modelled SMMUv3: two 64 KiB pages.
pub const SMMU_BASE: u64 = 0x20_0000_0000;
/// Length of the SMMU's window in bytes.
pub const SMMU_BYTES: u64 = 0x2_0000;
/// The modelled host bridge's configuration space (ECAM): bus 0.
pub const ECAM_BASE: u64 = 0x20_1000_0000;
/// Length of the ECAM in bytes: one bus.
pub const ECAM_BYTES: u64 = 0x10_0000;
/// CPU address of the bridge's 32-bit memory window.
pub const PCI_MEM32_BASE: u64 = 0x20_2000_0000;
/// PCI address of the same window.
pub const PCI_MEM32_BUS: u64 = 0x3000_0000;
/// Length of the 32-bit window in bytes.
pub const PCI_MEM32_BYTES: u64 = 0x1000_0000;
/// The bridge's 64-bit prefetchable window; CPU and PCI addresses are equal.
pub const PCI_MEM64_BASE: u64 = 0x21_0000_0000;
/// Length of the 64-bit window in bytes.
pub const PCI_MEM64_BYTES: u64 = 0x2_0000_0000;
/// The GICv2m-style MSI frame.
pub const MSI_FRAME_BASE: u64 = 0x20_3000_0000;
/// Length of the MSI frame in bytes.
pub const MSI_FRAME_BYTES: u64 = 0x1000;
/// First INTID of the MSI frame (an SPI; `arm,msi-base-spi` counts the same way in QEMU's trees).
pub const MSI_BASE_INTID: u32 = 208;
/// Number of INTIDs of the MSI frame: 12 functions of 4 vectors.
pub const MSI_COUNT: u32 = 48;

/// First SPI's INTID.
pub const SPI_BASE: u32 = 32;
/// SMMU event queue interrupt (INTID, edge).
pub const SMMU_EVENTQ_INTID: u32 = 42;
/// SMMU PRI queue interrupt (INTID, edge).
pub const SMMU_PRIQ_INTID: u32 = 43;
/// SMMU global error interrupt (INTID, edge).
pub const SMMU_GERROR_INTID: u32 = 44;
/// SMMU CMD_SYNC interrupt (INTID, edge).
pub const SMMU_CMDQ_SYNC_INTID: u32 = 45;

/// The accelerator's requester ID on bus 0, which is its StreamID: device 1, function 0.
pub const ACCELERATOR_RID: u32 = 0x08;

/// The dummy engine's requester ID on bus 0, past all virtual functions of the accelerator: device 16, function 0.
pub const DUMMY_RID: u32 = 0x80;

/// SMC function of the device reset service, which the device tree names: silicon provider's range, 64-bit fast call. What it takes and returns is
/// `hal::device_reset`.
pub const DEVICE_RESET: u32 = 0xc200_0001;

/// QEMU virt's GIC distributor.
pub const GICD_BASE: u64 = 0x0800_0000;
/// QEMU virt's GIC redistributors, 128 KiB each.
pub const GICR_BASE: u64 = 0x080a_0000;
/// QEMU virt's PL011.
pub const UART_BASE: u64 = 0x0900_0000;
/// The SGI that wakes a parked engine core.
pub const ENGINE_SGI: u8 = 15;
