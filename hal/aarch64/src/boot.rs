//! The boot entry: from reset to Rust, at the level that the machine starts us.
//!
//! `_start` at EL2 clears both rooms' `.bss` and calls `el2_primary`; at EL1 (no EL2 on this machine) it clears EL1's and goes on as the kernel.
//! `el1_start` is where EL2 enters the kernel: x0 = device tree. `el2_secondary_start` is a PSCI entry: x0 = core number.
//!
//! All of them turn translation on before they call Rust, over the first gibibyte of RAM only, which holds the image: locks need memory that
//! is not Device memory. Whoever loads the image leaves no stale cache line of it behind, as for any bare image; from then on there is no
//! access with translation off but the few of this file.
//!
//! Stacks are as long as the hole below them, and aligned so that one bit of an address tells one from the other: the vectors look at it.
//!
//! The program defines `el2_primary() -> !`, `el2_secondary(core: u64) -> !` and `el1_main(dtb: u64) -> !`, all `extern "C"`; the linker script
//! defines the `__*` symbols.

use core::arch::global_asm;

use aarch64_cpu::registers::CPACR_EL1;

use crate::mmu;

/// Cores that have an EL2 stack.
pub const MAX_CORES: usize = 8;
/// log2 of the length of a core's EL2 stack.
pub const EL2_STACK_LOG2: u32 = 18;
/// Length of a core's EL2 stack in bytes. A hole of the same length, which EL2 leaves unmapped, lies below it; the linker script reserves
/// [`MAX_CORES`] of both.
pub const EL2_STACK_BYTES: usize = 1 << EL2_STACK_LOG2;
/// log2 of the length of the boot core's EL1 stack.
pub const EL1_STACK_LOG2: u32 = 20;
/// Length of the boot core's EL1 stack in bytes. The linker script leaves a hole below it, which belongs to no room.
pub const EL1_STACK_BYTES: usize = 1 << EL1_STACK_LOG2;
/// Length of a core's stack at EL2 for the report of an overflow.
pub const EMERGENCY_STACK_BYTES: usize = 0x8000;

unsafe extern "C" {
    static __el2_stacks_start: u8;
    static __el1_stack_start: u8;
    fn el1_start();
    fn el2_secondary_start();
}

/// The EL2 stack of core `core`; below it lies a hole of [`EL2_STACK_BYTES`].
///
/// # Panics
/// If there is no such core.
pub fn el2_stack(core: usize) -> core::ops::Range<usize> {
    assert!(core < MAX_CORES, "core without a stack");
    let end = &raw const __el2_stacks_start as usize + (core + 1) * 2 * EL2_STACK_BYTES;
    end - EL2_STACK_BYTES..end
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

/// A descriptor of 1 GiB of normal memory at its own address, for the boot tables: valid, Access flag, inner shareable, attribute index 1. EL0 may
/// not execute it.
const EL1_BLOCK: u64 = 0x4000_0000 | 1 | (1 << 2) | (3 << 8) | (1 << 10) | (1 << 54);
/// The same for EL2: AP[1] is RES1, and bit 54 would forbid EL2 itself to execute.
const EL2_BLOCK: u64 = 0x4000_0000 | 1 | (1 << 2) | (1 << 6) | (3 << 8) | (1 << 10);

/// CPTR_EL2 with E2H = 0: its RES1 bits, no traps; `aarch64-cpu` names one field of it.
pub const CPTR_EL2_OPEN: u64 = 0x33ff;

global_asm!(
    r#"
    .section .rodata.boot_tables, "a"
    .balign 4096
el1_boot_table:
    .quad 0, {el1_block}
    .fill 510, 8, 0
el2_boot_table:
    .quad 0, {el2_block}
    .fill 510, 8, 0

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
    bl el2_set_up
    bl el2_primary
    b .

    // Clears [x0, x1), both page-aligned.
clear_pages:
    cmp x0, x1
    b.hs 1f
    stp xzr, xzr, [x0], #16
    b clear_pages
1:  ret

    // x9 = the physical address size code.
pa_range:
    mrs x9, id_aa64mmfr0_el1
    and x9, x9, #0xf
    mov x10, #{pa_range_max}
    cmp x9, x10
    csel x9, x9, x10, lo
    ret

    // Takes the EL2 stack of core x0, opens FP, sets the vectors, turns translation on; keeps x0.
el2_set_up:
    mov x8, x30
    msr spsel, #1
    adrp x9, __el2_stacks_start
    mov x10, #{el2_stack_pair}
    madd x9, x0, x10, x9
    add x9, x9, x10
    mov sp, x9
    ldr x9, ={cptr}
    msr cptr_el2, x9
    adrp x9, el2_vectors
    add x9, x9, :lo12:el2_vectors
    msr vbar_el2, x9
    ldr x9, ={mair}
    msr mair_el2, x9
    adrp x9, el2_boot_table
    msr ttbr0_el2, x9
    bl pa_range
    ldr x10, ={tcr_el2}
    orr x10, x10, x9, lsl #{ps}
    msr tcr_el2, x10
    dsb sy
    isb
    tlbi alle2
    dsb nsh
    ldr x9, ={sctlr_el2}
    msr sctlr_el2, x9
    isb
    mov x29, xzr
    mov x30, x8
    ret

    .global el2_secondary_start
el2_secondary_start:
    msr daifset, #0xf
    bl el2_set_up
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
    ldr x9, ={cpacr}
    msr cpacr_el1, x9
    adrp x9, el1_vectors
    add x9, x9, :lo12:el1_vectors
    msr vbar_el1, x9
    ldr x9, ={mair}
    msr mair_el1, x9
    adrp x9, el1_boot_table
    msr ttbr0_el1, x9
    bl pa_range
    ldr x10, ={tcr_el1}
    orr x10, x10, x9, lsl #{ips}
    msr tcr_el1, x10
    dsb sy
    isb
    tlbi vmalle1
    dsb nsh
    ldr x9, ={sctlr_el1}
    msr sctlr_el1, x9
    isb
    mov x29, xzr
    mov x30, xzr
    bl el1_main
    b .
    .ltorg
"#,
    el1_block = const EL1_BLOCK,
    el2_block = const EL2_BLOCK,
    pa_range_max = const mmu::PA_RANGE_MAX,
    el2_stack_pair = const 2 * EL2_STACK_BYTES,
    cptr = const CPTR_EL2_OPEN,
    cpacr = const CPACR_EL1::FPEN::TrapNothing.value,
    mair = const mmu::MAIR,
    tcr_el1 = const mmu::TCR_EL1_BASE,
    tcr_el2 = const mmu::TCR_EL2_BASE,
    ips = const mmu::TCR_EL1_IPS_SHIFT,
    ps = const mmu::TCR_EL2_PS_SHIFT,
    sctlr_el1 = const mmu::SCTLR_EL1_ON,
    sctlr_el2 = const mmu::SCTLR_EL2_ON,
    el1_stack_pages = const EL1_STACK_BYTES / 4096,
);
