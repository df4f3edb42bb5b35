//! System registers: `aarch64-cpu` names nearly all; here is what it lacks, and what callers above should not have to spell.
//!
//! Its accessors are safe functions and `nomem`: the compiler may move memory accesses over them. So a register whose write changes what memory
//! accesses mean (translation, masks of interrupts) is written here in one assembly block, or between barriers, which are not `nomem`.

use core::arch::asm;

use aarch64_cpu::registers::{CurrentEL, ESR_EL1, ESR_EL2, FAR_EL1, FAR_EL2, MPIDR_EL1, Readable};

/// Reads a system register that `aarch64-cpu` lacks, by its assembler name or `S<op0>_<op1>_C<n>_C<m>_<op2>`. Never `nomem`, so it is not
/// moved over memory accesses.
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

/// Writes a system register that `aarch64-cpu` lacks, by its assembler name or encoding. The effect needs an `isb` unless an exception return
/// follows.
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
    CurrentEL.read(CurrentEL::EL) as u8
}

/// This core's affinity: MPIDR_EL1 without the flag bits. At EL1 under EL2 this reads VMPIDR_EL2.
#[inline(always)]
pub fn affinity() -> u64 {
    const FIELDS: u64 = MPIDR_EL1::Aff3.val(0xff).value | MPIDR_EL1::Aff2.val(0xff).value | MPIDR_EL1::Aff1.val(0xff).value | 0xff;
    MPIDR_EL1.get() & FIELDS
}

/// Reads the syndrome of the last exception taken to EL1.
pub fn esr_el1() -> u64 {
    ESR_EL1.get()
}

/// Reads the fault address of the last exception taken to EL1.
pub fn far_el1() -> u64 {
    FAR_EL1.get()
}

/// Reads the syndrome of the last exception taken to EL2.
pub fn esr_el2() -> u64 {
    ESR_EL2.get()
}

/// Reads the fault address of the last exception taken to EL2.
pub fn far_el2() -> u64 {
    FAR_EL2.get()
}

/// Sets the EL1 vector base, 2 KiB aligned.
///
/// # Safety
/// `base` must be a vector table that stays mapped and executable at EL1.
pub unsafe fn set_vbar_el1(base: usize) {
    // SAFETY: the caller's promise. Not by `aarch64-cpu`, whose safe setter would hide it.
    unsafe { asm!("msr vbar_el1, {}", "isb", in(reg) base, options(nostack, preserves_flags)) };
}
