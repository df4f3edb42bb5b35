//! TLB maintenance. Each call orders earlier page-table stores before it and completes before it returns.

use core::arch::asm;

use hal::Va;

/// Invalidates all EL1 and EL0 stage-1 entries of this VMID, on all cores.
pub fn invalidate_all_el1() {
    // SAFETY: dropping TLB entries is always allowed.
    unsafe { asm!("dsb ishst", "tlbi vmalle1is", "dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// Invalidates all EL0 and EL1 entries of an ASID, on all cores.
pub fn invalidate_asid(asid: u16) {
    // SAFETY: as above.
    unsafe { asm!("dsb ishst", "tlbi aside1is, {}", "dsb ish", "isb", in(reg) u64::from(asid) << 48, options(nostack, preserves_flags)) };
}

/// Invalidates the entries of one page of an ASID, all levels, on all cores.
pub fn invalidate_va(va: Va, asid: u16) {
    let operand = (u64::from(asid) << 48) | ((va.0 >> 12) & 0xfff_ffff_ffff);
    // SAFETY: as above.
    unsafe { asm!("dsb ishst", "tlbi vae1is, {}", "dsb ish", "isb", in(reg) operand, options(nostack, preserves_flags)) };
}

/// Invalidates stage-1 and stage-2 entries of the current VMID, on all cores. At EL2.
pub fn invalidate_all_stage12() {
    // SAFETY: as above.
    unsafe { asm!("dsb ishst", "tlbi vmalls12e1is", "dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// Invalidates EL2's own entries on this core. At EL2.
pub fn invalidate_all_el2() {
    // SAFETY: as above.
    unsafe { asm!("dsb nshst", "tlbi alle2", "dsb nsh", "isb", options(nostack, preserves_flags)) };
}

/// Makes code that was written as data fetchable on all cores: cleans to the point of unification is not needed where IDC = 1, the
/// instruction caches are invalidated.
pub fn invalidate_icache() {
    // SAFETY: dropping clean cache lines is always allowed.
    unsafe { asm!("dsb ish", "ic ialluis", "dsb ish", "isb", options(nostack, preserves_flags)) };
}
