//! Memory attributes and the switch of translation tables. The tables themselves are built by firmware.
//!
//! Translation is on before the first Rust instruction (`boot.rs`): exclusives work on Device memory on no machine that promises it, so no lock
//! may be taken before. What runs here replaces one table by another.

use core::arch::asm;

use aarch64_cpu::registers::{ID_AA64MMFR0_EL1, MAIR_EL1, Readable, SCTLR_EL1, SCTLR_EL2, TCR_EL1, TCR_EL2};

/// Bits of virtual addresses at EL1 and EL2: a 4 KiB granule starts at level 1.
pub const VA_BITS: u64 = 39;

/// Memory attributes of the house: index 0 Device-nGnRE, index 1 normal write-back, index 2 normal non-cacheable. For MAIR_EL1 and MAIR_EL2.
pub const MAIR: u64 = MAIR_EL1::Attr0_Device::nonGathering_nonReordering_EarlyWriteAck.value
    | MAIR_EL1::Attr1_Normal_Outer::WriteBack_NonTransient_ReadWriteAlloc.value
    | MAIR_EL1::Attr1_Normal_Inner::WriteBack_NonTransient_ReadWriteAlloc.value
    | MAIR_EL1::Attr2_Normal_Outer::NonCacheable.value
    | MAIR_EL1::Attr2_Normal_Inner::NonCacheable.value;
/// The SMMU's context descriptors carry the same attributes.
const _: () = assert!(MAIR == 0x44_ff04);

/// TCR_EL1 but for the physical address size: TTBR0 only, 4 KiB granule, write-back inner-shareable walks, 16-bit ASIDs, TTBR1 off.
pub const TCR_EL1_BASE: u64 = TCR_EL1::T0SZ.val(64 - VA_BITS).value
    | TCR_EL1::IRGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value
    | TCR_EL1::ORGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value
    | TCR_EL1::SH0::Inner.value
    | TCR_EL1::TG0::KiB_4.value
    | TCR_EL1::EPD1::DisableTTBR1Walks.value
    | TCR_EL1::TG1::KiB_4.value
    | TCR_EL1::AS::ASID16Bits.value;
/// Position of TCR_EL1.IPS.
pub const TCR_EL1_IPS_SHIFT: usize = TCR_EL1::IPS.shift;

/// TCR_EL2 but for the physical address size; E2H = 0. Bits 31 and 23 are RES1.
pub const TCR_EL2_BASE: u64 = (1 << 31)
    | (1 << 23)
    | TCR_EL2::T0SZ.val(64 - VA_BITS).value
    | TCR_EL2::IRGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value
    | TCR_EL2::ORGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value
    | TCR_EL2::SH0::Inner.value
    | TCR_EL2::TG0::KiB_4.value;
/// Position of TCR_EL2.PS.
pub const TCR_EL2_PS_SHIFT: usize = TCR_EL2::PS.shift;

/// SCTLR_EL1 with everything off: the bits that are RES1, among them SPAN (23): exceptions leave PSTATE.PAN alone. PAN stays clear here, since
/// processes may read the image's constants and the kernel reads them too; it touches no process's memory by the process's addresses.
pub const SCTLR_EL1_RES1: u64 = 0x30d0_0800;

/// SCTLR_EL1 as the house runs: MMU, caches, stack alignment checks; EL0 may use WFI, WFE, cache maintenance and CTR_EL0.
pub const SCTLR_EL1_ON: u64 = SCTLR_EL1_RES1
    | SCTLR_EL1::M::Enable.value
    | SCTLR_EL1::C::Cacheable.value
    | SCTLR_EL1::I::Cacheable.value
    | SCTLR_EL1::SA::Enable.value
    | SCTLR_EL1::SA0::Enable.value
    | SCTLR_EL1::DZE::DontTrap.value
    | SCTLR_EL1::UCT::DontTrap.value
    | SCTLR_EL1::NTWI::DontTrap.value
    | SCTLR_EL1::NTWE::DontTrap.value
    | SCTLR_EL1::UCI::DontTrap.value;

/// SCTLR_EL2 as the house runs: MMU, caches, stack alignment checks, and the RES1 bits.
pub const SCTLR_EL2_ON: u64 =
    0x30c5_0830 | SCTLR_EL2::M::Enable.value | SCTLR_EL2::C::Cacheable.value | SCTLR_EL2::I::Cacheable.value | SCTLR_EL2::SA::Enable.value;

/// The largest physical address size code for a 4 KiB granule without LPA2: 48 bits.
pub const PA_RANGE_MAX: u64 = 0b101;

/// The physical address size code of this core (ID_AA64MMFR0_EL1.PARange), at most [`PA_RANGE_MAX`].
pub fn pa_range() -> u64 {
    ID_AA64MMFR0_EL1.read(ID_AA64MMFR0_EL1::PARange).min(PA_RANGE_MAX)
}

/// The same code as the core has it, 52 bits included: what other masters on the interconnect may put out.
pub fn pa_range_of_core() -> u64 {
    ID_AA64MMFR0_EL1.read(ID_AA64MMFR0_EL1::PARange)
}

/// Bits of an ASID that this core tells apart (ID_AA64MMFR0_EL1.ASIDBits).
pub fn asid_bits() -> u8 {
    if ID_AA64MMFR0_EL1.matches_all(ID_AA64MMFR0_EL1::ASIDBits::Bits_16) { 16 } else { 8 }
}

/// Replaces the table of EL1 and EL0 by one that maps the same addresses by other sizes or rights.
///
/// Old and new entries must never meet in a TLB, so translation is off between them (break before make). All in one block: with translation off
/// the compiler may not touch memory.
///
/// # Safety
/// 1. `ttbr0` (table address and ASID) must map the running code, its stack and everything it uses identically.
/// 2. One core runs at EL1.
pub unsafe fn replace_el1(ttbr0: u64) {
    // SAFETY: the caller's promise. The code is mapped identically, so it goes on at the same address with translation off.
    unsafe {
        asm!(
            "dsb ish", "mrs {on}, sctlr_el1", "bic {off}, {on}, #1", "msr sctlr_el1, {off}", "isb", "msr ttbr0_el1, {ttbr0}", "isb",
            "tlbi vmalle1", "dsb nsh", "msr sctlr_el1, {on}", "isb",
            on = out(reg) _, off = out(reg) _, ttbr0 = in(reg) ttbr0, options(nostack, preserves_flags)
        );
    }
}

/// Switches to another TTBR0 of EL1 (table address and ASID).
///
/// # Safety
/// The new table must map the running code, its stack and everything it uses by the same entries as the old one, all global; its other entries
/// are not global, and its ASID has no stale ones.
pub unsafe fn set_ttbr0_el1(ttbr0: u64) {
    // SAFETY: the caller's promise. No TLBI: entries are tagged with the ASID.
    unsafe { asm!("dsb ishst", "msr ttbr0_el1, {}", "isb", in(reg) ttbr0, options(nostack, preserves_flags)) };
}

/// Replaces EL2's table on this core by one that maps the same addresses by other sizes or rights. See [`replace_el1`].
///
/// # Safety
/// `ttbr0` must map the running code, its stack and everything it uses identically.
pub unsafe fn replace_el2(ttbr0: u64) {
    // SAFETY: as for EL1. E2H = 0: no ASID, so all of EL2's entries on this core go.
    unsafe {
        asm!(
            "dsb ish", "mrs {on}, sctlr_el2", "bic {off}, {on}, #1", "msr sctlr_el2, {off}", "isb", "msr ttbr0_el2, {ttbr0}", "isb",
            "tlbi alle2", "dsb nsh", "msr sctlr_el2, {on}", "isb",
            on = out(reg) _, off = out(reg) _, ttbr0 = in(reg) ttbr0, options(nostack, preserves_flags)
        );
    }
}
