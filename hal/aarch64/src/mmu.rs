//! Memory attributes and the switch that turns translation on. The tables themselves are built by `aarch64-paging` in firmware.

use core::arch::asm;

/// Memory attributes of the house: index 0 Device-nGnRE, index 1 normal write-back, index 2 normal non-cacheable. For MAIR_EL1 and MAIR_EL2.
pub const MAIR: u64 = 0x0044_ff04;
/// Attribute index of device memory in [`MAIR`].
pub const DEVICE_INDEX: usize = 0;
/// Attribute index of normal write-back memory in [`MAIR`].
pub const NORMAL_INDEX: usize = 1;

/// TCR_EL1 for TTBR0 only: 48-bit... `va_bits` of user and kernel addresses, 4 KiB granule, write-back inner-shareable walks, 16-bit ASIDs, TTBR1 off.
pub const fn tcr_el1(va_bits: u64, pa_range: u64) -> u64 {
    (64 - va_bits) | (1 << 8) | (1 << 10) | (3 << 12) | (1 << 23) | (0b10 << 30) | (pa_range << 32) | (1 << 36)
}

/// The physical address size code of this core (ID_AA64MMFR0_EL1.PARange), at most 0b101 (48 bits) for a 4 KiB granule without LPA2.
pub fn pa_range() -> u64 {
    (crate::read_sysreg!("id_aa64mmfr0_el1") & 0xf).min(5)
}

/// SCTLR_EL1 as the house runs: MMU, caches, stack alignment checks; EL0 may use WFI, WFE, cache maintenance and CTR_EL0.
pub const SCTLR_EL1_ON: u64 =
    0x30d0_0800 | 1 | (1 << 2) | (1 << 3) | (1 << 4) | (1 << 12) | (1 << 14) | (1 << 15) | (1 << 16) | (1 << 18) | (1 << 26);

/// Turns stage 1 of EL1 and EL0 on.
///
/// # Safety
/// `ttbr0` (table address and ASID) must map the running code, its stack and everything it uses identically to now.
pub unsafe fn enable_el1(ttbr0: u64, tcr: u64) {
    // SAFETY: the caller's promise; stale entries are dropped before the switch.
    unsafe {
        asm!(
            "msr mair_el1, {mair}", "msr tcr_el1, {tcr}", "msr ttbr0_el1, {ttbr0}", "dsb ish", "tlbi vmalle1", "dsb ish", "isb",
            "msr sctlr_el1, {sctlr}", "isb",
            mair = in(reg) MAIR, tcr = in(reg) tcr, ttbr0 = in(reg) ttbr0, sctlr = in(reg) SCTLR_EL1_ON, options(nostack, preserves_flags)
        );
    }
}

/// Switches to another TTBR0 of EL1 (table address and ASID).
///
/// # Safety
/// The new table must map the running code, its stack and everything it uses identically to the old one.
pub unsafe fn set_ttbr0_el1(ttbr0: u64) {
    // SAFETY: the caller's promise. No TLBI: entries are tagged with the ASID.
    unsafe { asm!("dsb ishst", "msr ttbr0_el1, {}", "isb", in(reg) ttbr0, options(nostack, preserves_flags)) };
}

/// Reads TTBR0_EL1.
pub fn ttbr0_el1() -> u64 {
    crate::read_sysreg!("ttbr0_el1")
}

/// Turns EL2's own stage 1 on, with `va_bits` of identity-mapped addresses.
///
/// # Safety
/// `ttbr0` must map the running code, its stack and everything it uses identically.
pub unsafe fn enable_el2(ttbr0: u64, va_bits: u64) {
    let tcr = (1 << 31) | (1 << 23) | (64 - va_bits) | (1 << 8) | (1 << 10) | (3 << 12) | (pa_range() << 16);
    let sctlr: u64 = 0x30c5_0830 | 1 | (1 << 2) | (1 << 3) | (1 << 12);
    // SAFETY: the caller's promise; stale entries are dropped before the switch.
    unsafe {
        asm!(
            "msr mair_el2, {mair}", "msr tcr_el2, {tcr}", "msr ttbr0_el2, {ttbr0}", "dsb ish", "tlbi alle2", "dsb ish", "isb",
            "msr sctlr_el2, {sctlr}", "isb",
            mair = in(reg) MAIR, tcr = in(reg) tcr, ttbr0 = in(reg) ttbr0, sctlr = in(reg) sctlr, options(nostack, preserves_flags)
        );
    }
}
