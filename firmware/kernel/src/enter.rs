//! The way into user programs and back out to the kernel's caller.
//!
//! [`run`] keeps the callee-saved registers on the EL1 stack and leaves by an exception return to what a frame says. From then on exceptions
//! of EL0 find the stack where `run` left it. [`leave`] turns an exception's frame into a return to `run`'s own end, at EL1.

use core::arch::global_asm;

use hal_aarch64::ContextFrame;
use hal_aarch64::context::{CONTEXT_FRAME_BYTES, SPSR_EL1H_MASKED};

unsafe extern "C" {
    fn kernel_enter_user(frame: *const ContextFrame);
    fn kernel_left_user();
}

global_asm!(
    r#"
    .section .text.kernel_enter_user, "ax"
    .global kernel_enter_user
kernel_enter_user:
    stp x29, x30, [sp, #-160]!
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    // The frame, where an exception would have put it.
    sub sp, sp, #{frame}
    mov x1, sp
    mov x2, #{frame}
1:  ldp x3, x4, [x0], #16
    stp x3, x4, [x1], #16
    subs x2, x2, #16
    b.ne 1b
    b el1_restore_context

    // Exception return of the last frame: EL1, interrupts masked, the stack as it was before the frame.
    .global kernel_left_user
kernel_left_user:
    ldp x19, x20, [sp, #16]
    ldp x21, x22, [sp, #32]
    ldp x23, x24, [sp, #48]
    ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    ldp x29, x30, [sp], #160
    ret
"#,
    frame = const CONTEXT_FRAME_BYTES,
);

/// Runs user programs, beginning with what `frame` says, until an exception's frame was given to [`leave`].
pub(crate) fn run(frame: &ContextFrame) {
    assert!(frame.is_from_el0(), "a frame of the kernel cannot be entered");
    // SAFETY: the frame returns to EL0, which can change no memory of EL1 (no page of it is writable there); the function keeps what the
    // calling convention asks for, and comes back through `leave` only, once, with the stack as it left it.
    unsafe { kernel_enter_user(frame) };
}

/// Makes the return from this exception the end of [`run`].
pub(crate) fn leave(frame: &mut ContextFrame) {
    frame.elr = kernel_left_user as *const () as u64;
    frame.spsr = SPSR_EL1H_MASKED;
}
