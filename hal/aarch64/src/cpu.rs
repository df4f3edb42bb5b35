//! What one core does besides computing: wait, hand over, mask interrupts.

use core::arch::asm;

use aarch64_cpu::registers::{DAIF, Readable};

/// Sleeps until an interrupt pends, masked or not. Not `aarch64-cpu`'s, which is `nomem`: a load could move up over it.
#[inline(always)]
pub fn wfi() {
    // SAFETY: changes no state that Rust knows; memory effects of the waker become visible by the `dsb` before.
    unsafe { asm!("dsb sy", "wfi", options(nostack, preserves_flags)) };
}

/// Sends an event to all cores: whoever waits in [`wfe`] goes on, and sees what was stored before.
#[inline(always)]
pub fn sev() {
    // SAFETY: changes no state that Rust knows.
    unsafe { asm!("dsb sy", "sev", options(nostack, preserves_flags)) };
}

/// Sleeps until an event comes or has come, an interrupt pends, or for no reason: the caller looks again.
#[inline(always)]
pub fn wfe() {
    // SAFETY: as for `wfi`.
    unsafe { asm!("wfe", options(nostack, preserves_flags)) };
}

/// Hands the turn over: under a single-threaded simulator another core runs.
#[inline(always)]
pub fn relax() {
    // SAFETY: a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
}

/// Masks IRQs at the current level and returns DAIF as it was, for [`restore_interrupts`].
#[inline(always)]
pub fn mask_interrupts() -> u64 {
    let daif = DAIF.get();
    // SAFETY: masking cannot break an invariant. Not by `aarch64-cpu`, which is `nomem`: this must be a barrier to the compiler.
    unsafe { asm!("msr daifset, #2", options(nostack, preserves_flags)) };
    daif
}

/// Unmasks IRQs at the current level.
#[inline(always)]
pub fn unmask_interrupts() {
    // SAFETY: the vector table handles what comes.
    unsafe { asm!("msr daifclr, #2", options(nostack, preserves_flags)) };
}

/// Writes DAIF back.
#[inline(always)]
pub fn restore_interrupts(daif: u64) {
    // SAFETY: puts the mask back that the caller had. A barrier to the compiler, as above.
    unsafe { asm!("msr daif, {}", in(reg) daif, options(nostack, preserves_flags)) };
}

/// Runs `f` with IRQs masked.
pub fn without_interrupts<T>(f: impl FnOnce() -> T) -> T {
    let daif = mask_interrupts();
    let result = f();
    restore_interrupts(daif);
    result
}

/// Stops this core for ever, at little cost to the host.
pub fn park() -> ! {
    loop {
        wfi();
    }
}

/// The current stack pointer.
#[inline(always)]
pub fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// The current frame pointer.
#[inline(always)]
pub fn frame_pointer() -> usize {
    let fp: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, x29", out(reg) fp, options(nomem, nostack, preserves_flags)) };
    fp
}
