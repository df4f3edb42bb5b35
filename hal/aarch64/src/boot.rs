//! The boot entry: from reset to Rust, at the level that the machine starts us.
//!
//! `_start` at EL2 clears both rooms' `.bss` and calls `el2_primary`; at EL1 (no EL2 on this machine) it clears EL1's and goes on as the kernel.
//! `el1_start` is where EL2 enters the kernel: x0 = device tree. `el2_secondary_start` is a PSCI entry: x0 = core number.
//!
//! The program defines `el2_primary() -> !`, `el2_secondary(core: u64) -> !` and `el1_main(dtb: u64) -> !`, all `extern "C"`; the linker script
//! defines the `__*` symbols.

use core::arch::global_asm;

/// Cores that have an EL2 stack.
pub const MAX_CORES: usize = 8;
/// Length of a core's EL2 stack in bytes; the linker script reserves [`MAX_CORES`] of them. The lowest page is a guard that EL2 leaves unmapped.
pub const EL2_STACK_BYTES: usize = 0x8_0000;
/// Length of the boot core's EL1 stack in bytes.
pub const EL1_STACK_BYTES: usize = 0x40_0000;

unsafe extern "C" {
    static __el2_stacks_start: u8;
    static __el1_stack_start: u8;
    fn el1_start();
    fn el2_secondary_start();
}

/// The EL2 stack of core `core`.
///
/// # Panics
/// If there is no such core.
pub fn el2_stack(core: usize) -> core::ops::Range<usize> {
    assert!(core < MAX_CORES, "core without a stack");
    let start = &raw const __el2_stacks_start as usize + core * EL2_STACK_BYTES;
    start..start + EL2_STACK_BYTES
}

/// The boot core's EL1 stack.
pub fn el1_stack() -> core::ops::Range<usize> {
    let start = &raw const __el1_stack_start as usize;
    start..start + EL1_STACK_BYTES
}

/// Where EL2 enters the own kernel.
pub fn el1_entry() -> u64 {
    el1_start as *const () as u64
}

/// Where a further core starts at EL2, its number in x0.
pub fn el2_secondary_entry() -> u64 {
    el2_secondary_start as *const () as u64
}

global_asm!(
    r#"
    .section .text.boot, "ax"
    .global _start
_start:
    msr daifset, #0xf
    mrs x9, CurrentEL
    cmp x9, #8
    b.eq 2f

    // EL1: the machine has no EL2 for us.
    adrp x0, __bss_start
    adrp x1, __bss_end
    bl clear_pages
    mov x0, xzr
    b el1_start

2:  adrp x0, __bss_start
    adrp x1, __bss_end
    bl clear_pages
    adrp x0, __el2_bss_start
    adrp x1, __el2_bss_end
    bl clear_pages
    mov x0, xzr
    bl el2_stack_and_fp
    bl el2_primary
    b .

    // Clears [x0, x1), both page-aligned.
clear_pages:
    cmp x0, x1
    b.hs 1f
    stp xzr, xzr, [x0], #16
    b clear_pages
1:  ret

    // Takes the EL2 stack of core x0 and opens FP; keeps x0.
el2_stack_and_fp:
    msr spsel, #1
    adrp x9, __el2_stacks_start
    mov x10, #{el2_stack}
    madd x9, x0, x10, x9
    add x9, x9, x10
    mov sp, x9
    mov x9, #0x33ff
    msr cptr_el2, x9
    isb
    mov x29, xzr
    ret

    .global el2_secondary_start
el2_secondary_start:
    msr daifset, #0xf
    bl el2_stack_and_fp
    mov x30, xzr
    bl el2_secondary
    b .

    .global el1_start
el1_start:
    msr daifset, #0xf
    msr spsel, #1
    adrp x9, __el1_stack_start
    add x9, x9, #{el1_stack_pages}, lsl #12
    mov sp, x9
    mov x9, #(3 << 20)
    msr cpacr_el1, x9
    adrp x9, el1_vectors
    add x9, x9, :lo12:el1_vectors
    msr vbar_el1, x9
    isb
    mov x29, xzr
    mov x30, xzr
    bl el1_main
    b .
"#,
    el2_stack = const EL2_STACK_BYTES,
    el1_stack_pages = const EL1_STACK_BYTES / 4096,
);
