//! Accesses of EL1 that may abort: vectors of their own catch the abort, step over the instruction and keep its syndrome.

use core::arch::{asm, global_asm};

use hal::Access;
use hal_aarch64::{read_sysreg, sysreg};

global_asm!(
    r#"
    .section .text.target_test_probe, "ax"
    .balign 2048
    .global target_test_probe_vectors
target_test_probe_vectors:
    .rept 4
    .balign 128
    b .
    .endr
    // Synchronous, same level, SP_EL1: x16 = syndrome, on to the next instruction. Callers give both registers away.
    .balign 128
    mrs x16, esr_el1
    mrs x17, elr_el1
    add x17, x17, #4
    msr elr_el1, x17
    eret
    .rept 11
    .balign 128
    b .
    .endr
"#
);

unsafe extern "C" {
    static target_test_probe_vectors: u8;
}

/// What a probing access came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was answered; a load returned this.
    Done(u64),
    /// It was ended by an exception with this syndrome.
    Aborted(u64),
}

impl Outcome {
    /// True for a synchronous external abort of EL1's own load or store: what an address that nobody answers gives.
    pub fn is_external_abort(self, access: Access) -> bool {
        let is_write = u64::from(access == Access::Write);
        matches!(self, Self::Aborted(esr) if esr >> 26 == 0x25 && esr & 0x3f == 0x10 && esr >> 6 & 1 == is_write)
    }
}

/// Runs `f` with the catching vectors in place. Nothing in `f` may take another exception.
pub fn with_vectors<T>(f: impl FnOnce() -> T) -> T {
    let vectors = read_sysreg!("vbar_el1");
    // SAFETY: the table is part of the image; interrupts are masked, so only the probes below come through it.
    unsafe { sysreg::set_vbar_el1(&raw const target_test_probe_vectors as usize) };
    let result = f();
    // SAFETY: the value found.
    unsafe { sysreg::set_vbar_el1(vectors as usize) };
    result
}

/// Runs one instruction with the address in x9, the value in x10, x11; tells how it ended. A test's machine is its own: whatever the access
/// changes is what the test wants to know.
#[macro_export]
macro_rules! probe_instruction {
    ($instruction:literal, $address:expr, $value:expr) => {{
        let (address, value): (u64, u64) = ($address, $value);
        let (syndrome, result): (u64, u64);
        // SAFETY: a test's machine is its own: whatever the access changes is what the test wants to know.
        unsafe {
            core::arch::asm!(
                "mov x16, xzr",
                $instruction,
                "dsb sy",
                inlateout("x9") address => _,
                inlateout("x10") value => result,
                inlateout("x11") 0_u64 => _,
                out("x16") syndrome,
                out("x17") _,
                options(nostack),
            );
        }
        if syndrome == 0 { $crate::probe::Outcome::Done(result) } else { $crate::probe::Outcome::Aborted(syndrome) }
    }};
}

/// Loads 64 bits. Inside [`with_vectors`].
pub fn load(at: u64) -> Outcome {
    probe_instruction!("ldr x10, [x9]", at, 0_u64)
}

/// Stores 64 bits. Inside [`with_vectors`].
pub fn store(at: u64, value: u64) -> Outcome {
    probe_instruction!("str x10, [x9]", at, value)
}

/// Keeps the compiler from moving accesses across a probe.
pub fn fence() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}
