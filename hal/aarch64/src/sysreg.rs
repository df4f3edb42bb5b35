//! System registers that aarch64-cpu does not name, as functions. Each is readable or writable at the level its name says, else it traps.

use core::arch::asm;

/// Reads a system register by its assembler name or `S<op0>_<op1>_C<n>_C<m>_<op2>`. Never `nomem`, so it is not moved over memory accesses.
///
/// Expands to a block that is only sound where the register exists and reading it has no side effect that Rust code relies on.
#[macro_export]
macro_rules! read_sysreg {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reads a register into a local; the user of the macro names one that exists at the current level.
        unsafe { ::core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value, options(nostack, preserves_flags)) };
        value
    }};
}

/// Writes a system register by its assembler name or encoding. The effect needs an `isb` unless an exception return follows.
///
/// Must be used inside `unsafe`: a register write can change anything.
#[macro_export]
macro_rules! write_sysreg {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        ::core::arch::asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nostack, preserves_flags))
    }};
}

/// The exception level of the caller, 1 to 3. At EL0 the register read is undefined: callers there must know it otherwise.
#[inline(always)]
pub fn current_el() -> u8 {
    ((read_sysreg!("CurrentEL") >> 2) & 3) as u8
}

/// This core's affinity: MPIDR_EL1 without the flag bits. At EL1 under EL2 this reads VMPIDR_EL2.
#[inline(always)]
pub fn affinity() -> u64 {
    read_sysreg!("mpidr_el1") & 0xff_00ff_ffff
}

/// TPIDR_EL2: this core's block at EL2.
#[inline(always)]
pub fn tpidr_el2() -> u64 {
    read_sysreg!("tpidr_el2")
}

/// Reads the syndrome of the last exception taken to EL1.
pub fn esr_el1() -> u64 {
    read_sysreg!("esr_el1")
}

/// Reads the fault address of the last exception taken to EL1.
pub fn far_el1() -> u64 {
    read_sysreg!("far_el1")
}

/// Opens FP and SIMD to EL1 and EL0 (CPACR_EL1.FPEN = 0b11).
pub fn enable_fp_el1() {
    // SAFETY: only removes traps.
    unsafe { asm!("msr cpacr_el1, {}", "isb", in(reg) 3_u64 << 20, options(nostack, preserves_flags)) };
}

/// Sets the EL1 vector base, 2 KiB aligned.
///
/// # Safety
/// `base` must be a vector table that stays mapped and executable at EL1.
pub unsafe fn set_vbar_el1(base: usize) {
    // SAFETY: the caller's promise.
    unsafe { asm!("msr vbar_el1, {}", "isb", in(reg) base, options(nostack, preserves_flags)) };
}

/// Sets the EL2 vector base, 2 KiB aligned.
///
/// # Safety
/// `base` must be a vector table that stays mapped and executable at EL2.
pub unsafe fn set_vbar_el2(base: usize) {
    // SAFETY: the caller's promise.
    unsafe { asm!("msr vbar_el2, {}", "isb", in(reg) base, options(nostack, preserves_flags)) };
}
