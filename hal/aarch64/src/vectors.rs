//! Exception vectors of EL1 and EL2.
//!
//! An entry has 128 bytes: it makes room, saves two registers and branches to a common tail. Symbols the program must define:
//!
//! * `el1_exception(frame: &mut ContextFrame, source: u64)` `extern "C"`: any exception taken to EL1; on return the frame is restored.
//! * `el2_trap(frame: &mut TrapFrame, esr: u64, far: u64, hpfar: u64)` `extern "C"`: a synchronous exception of a lower level, taken to EL2.
//! * `el2_unexpected(frame: &mut TrapFrame, source: u64) -> !` `extern "C"`: anything else at EL2.
//!
//! `source` is the vector's number, see [`Source`].
//!
//! A fault of a level on itself may be its stack's end, and the entry would fault again on the same stack. So the entries for synchronous
//! exceptions of the same level look at the bit of the stack pointer that tells a stack from the hole below it, and go on on a stack kept for
//! that.

use core::arch::global_asm;

use crate::boot::{EL1_STACK_LOG2, EL2_STACK_LOG2, EMERGENCY_STACK_BYTES, MAX_CORES};

/// Which vector an exception came through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Synchronous, from the same level.
    SyncSame,
    /// IRQ, while at the same level.
    IrqSame,
    /// Synchronous, from a lower level in AArch64.
    SyncLower,
    /// IRQ, while at a lower level in AArch64.
    IrqLower,
    /// Synchronous, from the same level, without room left on its stack: the frame lies elsewhere, its x0 holds the stack pointer, and
    /// nothing can be returned to.
    StackOverflow,
    /// FIQ, SError, SP_EL0 or AArch32: the vector's number.
    Other(u64),
}

/// What the vectors call a synchronous exception without stack: no vector has this number.
const STACK_OVERFLOW: u64 = 16;

impl Source {
    /// Decodes a vector's number: 4 × (0 SP_EL0, 1 SP_ELx, 2 lower AArch64, 3 lower AArch32) + (0 sync, 1 IRQ, 2 FIQ, 3 SError).
    pub const fn from_vector(number: u64) -> Self {
        match number {
            4 => Self::SyncSame,
            5 => Self::IrqSame,
            8 => Self::SyncLower,
            9 => Self::IrqLower,
            STACK_OVERFLOW => Self::StackOverflow,
            other => Self::Other(other),
        }
    }
}

// Register files, shared by both levels.
global_asm!(
    r#"
    .macro save_gpr_2_to_30
    stp x2, x3, [sp, #16]
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    stp x18, x19, [sp, #144]
    stp x20, x21, [sp, #160]
    stp x22, x23, [sp, #176]
    stp x24, x25, [sp, #192]
    stp x26, x27, [sp, #208]
    stp x28, x29, [sp, #224]
    .endm
    .macro restore_gpr_0_to_29
    ldp x2, x3, [sp, #16]
    ldp x4, x5, [sp, #32]
    ldp x6, x7, [sp, #48]
    ldp x8, x9, [sp, #64]
    ldp x10, x11, [sp, #80]
    ldp x12, x13, [sp, #96]
    ldp x14, x15, [sp, #112]
    ldp x16, x17, [sp, #128]
    ldp x18, x19, [sp, #144]
    ldp x20, x21, [sp, #160]
    ldp x22, x23, [sp, #176]
    ldp x24, x25, [sp, #192]
    ldp x26, x27, [sp, #208]
    ldp x28, x29, [sp, #224]
    ldp x0, x1, [sp]
    .endm
    .macro fp_registers op, base
    \op q0, q1, [\base]
    \op q2, q3, [\base, #32]
    \op q4, q5, [\base, #64]
    \op q6, q7, [\base, #96]
    \op q8, q9, [\base, #128]
    \op q10, q11, [\base, #160]
    \op q12, q13, [\base, #192]
    \op q14, q15, [\base, #224]
    \op q16, q17, [\base, #256]
    \op q18, q19, [\base, #288]
    \op q20, q21, [\base, #320]
    \op q22, q23, [\base, #352]
    \op q24, q25, [\base, #384]
    \op q26, q27, [\base, #416]
    \op q28, q29, [\base, #448]
    \op q30, q31, [\base, #480]
    .endm

    .section .text.vectors, "ax"

    // ---- EL1: the whole ContextFrame, FP included; kernel code uses NEON for copies.
    .macro el1_vector number
    .balign 128
    sub sp, sp, #800
    stp x0, x1, [sp]
    mov x1, #\number
    b el1_save_context
    .endm

    // Branches to `overflow` if sp lies in the hole below a stack, x0 then being sp; keeps every register otherwise.
    .macro check_stack bit, overflow
    add sp, sp, x0
    sub x0, sp, x0
    tbz x0, #\bit, \overflow
    sub x0, sp, x0
    sub sp, sp, x0
    .endm

    .balign 2048
    .global el1_vectors
el1_vectors:
    el1_vector 0
    el1_vector 1
    el1_vector 2
    el1_vector 3
    .balign 128
    sub sp, sp, #800
    check_stack {el1_stack_bit}, el1_overflow
    stp x0, x1, [sp]
    mov x1, #4
    b el1_save_context
    el1_vector 5
    el1_vector 6
    el1_vector 7
    el1_vector 8
    el1_vector 9
    el1_vector 10
    el1_vector 11
    el1_vector 12
    el1_vector 13
    el1_vector 14
    el1_vector 15
    .balign 128

el1_save_context:
    save_gpr_2_to_30
    mrs x2, sp_el0
    stp x30, x2, [sp, #240]
    mrs x3, elr_el1
    mrs x4, spsr_el1
    stp x3, x4, [sp, #256]
    add x5, sp, #272
    fp_registers stp, x5
    mrs x6, fpsr
    mrs x7, fpcr
    str x6, [sp, #784]
    str x7, [sp, #792]
    // A backtrace ends at EL0's border and goes on through an exception from EL1 itself.
    tst x4, #0xf
    csel x29, x29, xzr, ne
    mov x0, sp
    bl el1_exception

    .global el1_restore_context
el1_restore_context:
    add x5, sp, #272
    fp_registers ldp, x5
    ldr x6, [sp, #784]
    ldr x7, [sp, #792]
    msr fpsr, x6
    msr fpcr, x7
    ldp x3, x4, [sp, #256]
    msr elr_el1, x3
    msr spsr_el1, x4
    ldp x30, x2, [sp, #240]
    msr sp_el0, x2
    restore_gpr_0_to_29
    add sp, sp, #800
    eret

    // One core runs at EL1.
el1_overflow:
    adrp x1, el1_emergency_stack_end
    add x1, x1, :lo12:el1_emergency_stack_end
    mov sp, x1
    sub sp, sp, #800
    stp x0, xzr, [sp]
    mov x1, #{overflow}
    b el1_save_context

    // ---- EL2: general registers at once, FP only when EL2 touches it.
    .macro el2_vector_unexpected number
    .balign 128
    sub sp, sp, #272
    stp x0, x1, [sp]
    mov x1, #\number
    b el2_save_unexpected
    .endm

    .balign 2048
    .global el2_vectors
el2_vectors:
    el2_vector_unexpected 0
    el2_vector_unexpected 1
    el2_vector_unexpected 2
    el2_vector_unexpected 3
    // Synchronous from EL2 itself: the lazy FP trap (EC 0x07), or a fault of ours.
    .balign 128
    sub sp, sp, #272
    check_stack {el2_stack_bit}, el2_overflow
    stp x0, x1, [sp]
    mrs x0, esr_el2
    lsr x0, x0, #26
    cmp x0, #7
    b.eq el2_save_fp
    mov x1, #4
    b el2_save_unexpected
    el2_vector_unexpected 5
    el2_vector_unexpected 6
    el2_vector_unexpected 7
    // Synchronous from a lower level: the trap path.
    .balign 128
    sub sp, sp, #272
    stp x0, x1, [sp]
    b el2_save_context
    el2_vector_unexpected 9
    el2_vector_unexpected 10
    el2_vector_unexpected 11
    el2_vector_unexpected 12
    el2_vector_unexpected 13
    el2_vector_unexpected 14
    el2_vector_unexpected 15
    .balign 128

el2_save_context:
    save_gpr_2_to_30
    mrs x0, tpidr_el2
    ldr x1, [x0, #16]
    msr cptr_el2, x1
    stp x30, xzr, [sp, #240]
    mrs x4, elr_el2
    mrs x5, spsr_el2
    stp x4, x5, [sp, #256]
    mrs x1, esr_el2
    mrs x2, far_el2
    mrs x3, hpfar_el2
    isb
    mov x29, xzr
    mov x0, sp
    bl el2_trap

    .global el2_restore_context
el2_restore_context:
    mrs x2, tpidr_el2
    ldp x3, x4, [x2]
    cbnz x3, el2_restore_fp
    msr cptr_el2, x4
1:  ldr x30, [sp, #240]
    ldp x4, x5, [sp, #256]
    msr elr_el2, x4
    msr spsr_el2, x5
    restore_gpr_0_to_29
    add sp, sp, #272
    eret

el2_restore_fp:
    str xzr, [x2]
    add x5, x2, #32
    fp_registers ldp, x5
    ldr x6, [x2, #544]
    msr fpsr, x6
    ldr x6, [x2, #552]
    msr fpcr, x6
    b 1b

el2_save_fp:
    mrs x0, tpidr_el2
    ldr x1, [x0, #8]
    msr cptr_el2, x1
    isb
    add x1, x0, #32
    fp_registers stp, x1
    mrs x1, fpsr
    str x1, [x0, #544]
    mrs x1, fpcr
    str x1, [x0, #552]
    mov x1, #1
    str x1, [x0]
    ldp x0, x1, [sp]
    add sp, sp, #272
    eret

    // Nothing returns: x1 and x2 are given up, the frame keeps x0 = sp and the rest.
el2_overflow:
    mrs x1, mpidr_el1
    and x1, x1, #{last_core}
    add x1, x1, #1
    adrp x2, el2_emergency_stacks
    add x2, x2, :lo12:el2_emergency_stacks
    add x1, x2, x1, lsl #{emergency_log2}
    mov sp, x1
    sub sp, sp, #272
    stp x0, xzr, [sp]
    mov x1, #{overflow}
    b el2_save_unexpected

el2_save_unexpected:
    save_gpr_2_to_30
    stp x30, xzr, [sp, #240]
    mrs x2, elr_el2
    mrs x3, spsr_el2
    stp x2, x3, [sp, #256]
    // Whatever comes now may use FP; nothing returns from here.
    mrs x2, cptr_el2
    bic x2, x2, #0x400
    msr cptr_el2, x2
    isb
    mov x0, sp
    bl el2_unexpected
    b .

    .section .bss.el2.emergency, "aw", @nobits
    .balign 16
el2_emergency_stacks:
    .space {emergency_stack} * {cores}

    .section .bss.el1_emergency, "aw", @nobits
    .balign 16
    .space {emergency_stack}
el1_emergency_stack_end:
"#,
    overflow = const STACK_OVERFLOW,
    el1_stack_bit = const EL1_STACK_LOG2,
    el2_stack_bit = const EL2_STACK_LOG2,
    emergency_stack = const EMERGENCY_STACK_BYTES,
    cores = const MAX_CORES,
    emergency_log2 = const EMERGENCY_STACK_BYTES.ilog2(),
    last_core = const MAX_CORES - 1,
);
