//! The two tables of EL2: its own stage 1 and the payload's stage 2.
//!
//! EL2 sees its own room and the shared room at their addresses, and everything that EL1 may write only at [`GUEST_ALIAS`]. So the one way to guest
//! memory is `guest.rs`, and a static of EL2 code that the linker put into EL1's room faults at its first access instead of lying open to EL1.

use aarch64_cpu::registers::VTCR_EL2;
use aarch64_paging::Mapping;
use aarch64_paging::descriptor::{El23Attributes, PhysicalAddress, Stage2Attributes};
use aarch64_paging::idmap::IdTranslation;
use aarch64_paging::paging::{Constraints, El2, MemoryRegion, Stage2};
use firmware_platform::{GICD_BASE, IMAGE_BASE, RAM_BASE, TRACE_BASE, TRACE_BYTES, UART_BASE};
use hal_aarch64::{boot, mmu};

use crate::Image;

/// EL2 sees physical address `pa` of guest memory at `pa + GUEST_ALIAS`.
pub const GUEST_ALIAS: usize = 0x10_0000_0000;

/// GIC distributor; the ITS behind it stays hidden: its tables are DMA that no stage 2 checks.
const GICD: (usize, usize) = (GICD_BASE as usize, 0x0801_0000);
/// GIC redistributors, up to the UART.
const GICR: (usize, usize) = (0x080a_0000, 0x0900_0000);
/// PL011 and PL031.
const UART_AND_RTC: (usize, usize) = (UART_BASE as usize, 0x0902_0000);
/// What EL1 gets of QEMU's own machine. Hidden: flash, fw-cfg (it has DMA), the platform bus, the ITS, virtio-mmio.
const PASSED_THROUGH: [(usize, usize); 8] = [
    GICD,
    GICR,
    UART_AND_RTC,
    // PL061.
    (0x0903_0000, 0x0904_0000),
    // QEMU's SMMUv3.
    (0x0905_0000, 0x0907_0000),
    // QEMU's PCIe: 32-bit window and I/O window.
    (0x1000_0000, 0x3f00_0000),
    // Its ECAM.
    (0x40_1000_0000, 0x40_2000_0000),
    // Its 64-bit window; left out where the physical address space ends below it.
    (0x80_0000_0000, 0x100_0000_0000),
];

/// The tables of this machine, shared by all its cores.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Value of TTBR0_EL2.
    pub ttbr0_el2: u64,
    /// Value of VTTBR_EL2 (VMID 0).
    pub vttbr: u64,
    /// Value of VTCR_EL2.
    pub vtcr: u64,
}

/// Builds both tables on EL2's heap; they live for ever.
pub fn build(image: &Image) -> Tables {
    let (vttbr, vtcr) = build_stage2(image);
    Tables { ttbr0_el2: build_stage1(image), vttbr, vtcr }
}

/// Puts EL2's stage 1 in the boot table's place, on this core.
pub fn enable_stage1(tables: &Tables) {
    // SAFETY: the table maps code, constants, this core's stack and all statics of EL2 identically.
    unsafe { mmu::replace_el2(tables.ttbr0_el2) };
}

fn region(start: usize, end: usize) -> MemoryRegion {
    MemoryRegion::new(start, end)
}

fn build_stage1(image: &Image) -> u64 {
    let base = El23Attributes::VALID | El23Attributes::ACCESSED | El23Attributes::USER_RES1;
    let normal = base | El23Attributes::ATTRIBUTE_INDEX_1 | El23Attributes::INNER_SHAREABLE;
    let data = normal | El23Attributes::XN;
    let device = base | El23Attributes::ATTRIBUTE_INDEX_0 | El23Attributes::XN;
    let mut table = Mapping::new(IdTranslation::new(), 1, El2);
    let mut map = |start: usize, end: usize, alias: usize, flags| {
        table.map_range(&region(start + alias, end + alias), PhysicalAddress(start), flags, Constraints::empty()).expect("EL2's own table");
    };
    map(image.shared.start, image.shared.end, 0, normal | El23Attributes::READ_ONLY);
    // EL2's room, less the hole below each stack: an overflow must not reach the statics.
    let mut from = image.el2_room.start;
    for core in 0..boot::MAX_CORES {
        let stack = boot::el2_stack(core);
        map(from, stack.start - boot::EL2_STACK_BYTES, 0, data);
        from = stack.start;
    }
    map(from, image.el2_room.end, 0, data);
    map(TRACE_BASE as usize, (TRACE_BASE + TRACE_BYTES) as usize, 0, data);
    for (start, end) in [GICD, GICR, UART_AND_RTC] {
        map(start, end, 0, device);
    }
    map(RAM_BASE as usize, IMAGE_BASE as usize, GUEST_ALIAS, data);
    map(image.el1_room.start, image.el1_room.end, GUEST_ALIAS, data);
    let root = table.root_address().0 as u64;
    // Cores walk it from now on; it is never taken down.
    core::mem::forget(table);
    root
}

fn build_stage2(image: &Image) -> (u64, u64) {
    let normal = Stage2Attributes::VALID
        | Stage2Attributes::ACCESS_FLAG
        | Stage2Attributes::MEMATTR_NORMAL_INNER_WB
        | Stage2Attributes::MEMATTR_NORMAL_OUTER_WB
        | Stage2Attributes::SH_INNER;
    let device = Stage2Attributes::VALID
        | Stage2Attributes::ACCESS_FLAG
        | Stage2Attributes::MEMATTR_DEVICE_nGnRE
        | Stage2Attributes::S2AP_ACCESS_RW
        | Stage2Attributes::XN;
    // A start at level 0 needs more than 42 physical address bits; below that 39 bits from level 1 serve, without QEMU's 64-bit window.
    let pa_range = mmu::pa_range();
    let (root_level, ipa_bits, start_level) =
        if pa_range >= 4 { (0, 44, VTCR_EL2::SL0::Granule4KBLevel0) } else { (1, 39, VTCR_EL2::SL0::Granule4KBLevel1) };
    let mut table = Mapping::new(IdTranslation::new(), root_level, Stage2);
    let mut map = |start: usize, end: usize, flags| {
        table.map_range(&region(start, end), PhysicalAddress(start), flags, Constraints::empty()).expect("the payload's stage 2");
    };
    map(RAM_BASE as usize, IMAGE_BASE as usize, normal | Stage2Attributes::S2AP_ACCESS_RW);
    map(image.shared.start, image.shared.end, normal | Stage2Attributes::S2AP_ACCESS_RO);
    map(image.el1_room.start, image.el1_room.end, normal | Stage2Attributes::S2AP_ACCESS_RW | Stage2Attributes::XN);
    for (start, end) in PASSED_THROUGH {
        if end <= 1 << ipa_bits {
            map(start, end, device);
        }
    }
    let root = table.root_address().0 as u64;
    let vtcr = VTCR_EL2::RES1::SET
        + VTCR_EL2::PS.val(pa_range)
        + VTCR_EL2::TG0::Granule4KB
        + VTCR_EL2::SH0::Inner
        + VTCR_EL2::ORGN0::NormalWBRAWA
        + VTCR_EL2::IRGN0::NormalWBRAWA
        + start_level
        + VTCR_EL2::T0SZ.val(64 - ipa_bits as u64);
    core::mem::forget(table);
    (root, vtcr.value)
}
