//! What an exception saves, and the way from EL2 down to EL1.
//!
//! The layouts are read and written by `vectors.rs` in assembly; the offsets asserted here are the ones used there.

use core::arch::asm;
use core::mem::offset_of;

use aarch64_cpu::registers::{CPTR_EL2, SPSR_EL2, TPIDR_EL2, Writeable};

use crate::barrier;

/// FP and SIMD registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C, align(16))]
pub struct FpState {
    /// q0 to q31.
    pub q: [u128; 32],
    /// FPSR.
    pub fpsr: u64,
    /// FPCR.
    pub fpcr: u64,
}

impl FpState {
    /// All zero.
    pub const ZERO: Self = Self { q: [0; 32], fpsr: 0, fpcr: 0 };
}

/// What an exception to EL1 saves on the stack of EL1, and what an exception return restores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C, align(16))]
pub struct ContextFrame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// SP_EL0.
    pub sp_el0: u64,
    /// ELR_EL1: where the exception return goes.
    pub elr: u64,
    /// SPSR_EL1: the state it returns to.
    pub spsr: u64,
    /// FP and SIMD registers.
    pub fp: FpState,
}

/// Length of a [`ContextFrame`] in bytes.
pub const CONTEXT_FRAME_BYTES: usize = size_of::<ContextFrame>();

const _: () = assert!(
    offset_of!(ContextFrame, sp_el0) == 248
        && offset_of!(ContextFrame, elr) == 256
        && offset_of!(ContextFrame, spsr) == 264
        && offset_of!(ContextFrame, fp) == 272
        && offset_of!(FpState, fpsr) == 512
        && CONTEXT_FRAME_BYTES == 800
);

/// SPSR of EL0, AArch64, interrupts on.
pub const SPSR_EL0: u64 = 0;
/// SPSR of EL1 with SP_EL1, all interrupts masked: how a payload is entered.
pub const SPSR_EL1H_MASKED: u64 =
    SPSR_EL2::M::EL1h.value | SPSR_EL2::D::Masked.value | SPSR_EL2::A::Masked.value | SPSR_EL2::I::Masked.value | SPSR_EL2::F::Masked.value;
const _: () = assert!(SPSR_EL1H_MASKED == 0x3c5);

impl ContextFrame {
    /// A frame that starts a program at `entry` at EL0 with stack pointer `sp`.
    pub const fn user(entry: u64, sp: u64) -> Self {
        Self { x: [0; 31], sp_el0: sp, elr: entry, spsr: SPSR_EL0, fp: FpState::ZERO }
    }

    /// True if the exception came from EL0.
    pub const fn is_from_el0(&self) -> bool {
        self.spsr & 0xf == 0
    }
}

/// What an exception to EL2 saves on EL2's stack. FP and SIMD registers are saved only if EL2 code touches them, see [`El2Core`].
#[derive(Debug)]
#[repr(C, align(16))]
pub struct TrapFrame {
    /// x0 to x30 of the interrupted level, then zero: what register 31 of a load or store reads as.
    x: [u64; 32],
    /// ELR_EL2: where the exception return goes.
    pub elr: u64,
    /// SPSR_EL2: the state it returns to.
    pub spsr: u64,
}

const _: () = assert!(offset_of!(TrapFrame, elr) == 256 && offset_of!(TrapFrame, spsr) == 264 && size_of::<TrapFrame>() == 272);

impl TrapFrame {
    /// Register `index` of an instruction's 5-bit field: 31 reads as zero.
    #[inline(always)]
    pub fn reg(&self, index: u8) -> u64 {
        self.x[usize::from(index & 31)]
    }
    /// Writes register `index`; 31 is dropped.
    #[inline(always)]
    pub fn set_reg(&mut self, index: u8, value: u64) {
        if index & 31 != 31 {
            self.x[usize::from(index & 31)] = value;
        }
    }
    /// x0 to x7: the arguments of a call.
    pub fn arguments(&mut self) -> &mut [u64; 8] {
        self.x.first_chunk_mut().expect("32 registers hold 8")
    }
}

/// One core's block at EL2, at TPIDR_EL2: how the vectors save FP state lazily.
///
/// While EL2 runs on behalf of a lower level, CPTR_EL2.TFP is set; the first FP or SIMD instruction of EL2 traps to EL2 itself, where the lower level's
/// registers are saved here and the trap is opened. The way out restores them if that happened. A trap that needs no FP pays six instructions.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct El2Core {
    fp_saved: u64,
    cptr_open: u64,
    cptr_trap: u64,
    /// This core's number, 0 for the boot core.
    pub index: u64,
    fp: FpState,
}

const _: () = assert!(
    offset_of!(El2Core, fp_saved) == 0
        && offset_of!(El2Core, cptr_open) == 8
        && offset_of!(El2Core, cptr_trap) == 16
        && offset_of!(El2Core, fp) == 32
        && size_of::<El2Core>() == 560
);

/// CPTR_EL2.TFP with HCR_EL2.E2H = 0; `aarch64-cpu` does not name it.
const CPTR_TFP: u64 = 1 << 10;

impl El2Core {
    /// A block for core `index`, with CPTR_EL2 as the lower levels shall run with.
    pub const fn new(index: u64, cptr: u64) -> Self {
        Self { fp_saved: 0, cptr_open: cptr & !CPTR_TFP, cptr_trap: cptr | CPTR_TFP, index, fp: FpState::ZERO }
    }
}

/// Gives this core its block and opens FP to EL2.
///
/// # Safety
/// `core` must live for ever, at EL2 only, and be used by this core only.
pub unsafe fn install_el2_core(core: *mut El2Core) {
    // SAFETY: the caller's promise; reading one field of a live block.
    let cptr = unsafe { (*core).cptr_open };
    TPIDR_EL2.set(core as u64);
    CPTR_EL2.set(cptr);
    barrier::isb();
}

/// Enters EL1 (or wherever `spsr` says) at `entry` with `args` in x0 to x3, everything else zero, EL2's stack emptied to `stack_top`.
///
/// # Safety
/// EL2's system registers are set up for a guest, TPIDR_EL2 holds this core's [`El2Core`], and nobody needs the content of this stack any more.
pub unsafe fn enter_el1(entry: u64, spsr: u64, args: [u64; 4], stack_top: usize) -> ! {
    let mut frame = TrapFrame { x: [0; 32], elr: entry, spsr };
    frame.x[..4].copy_from_slice(&args);
    let at = core::ptr::with_exposed_provenance_mut::<TrapFrame>(stack_top - size_of::<TrapFrame>());
    // SAFETY: the topmost bytes of this core's own stack; this function's frame lies far below or is not needed again after the copy.
    unsafe { at.write(frame) };
    // SAFETY: the frame is complete; the common tail restores it.
    unsafe { asm!("mov sp, {}", "b el2_restore_context", in(reg) at, options(noreturn)) };
}
