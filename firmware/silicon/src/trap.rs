//! Everything that comes up from below: the dispatch on the exception class.

use hal::{Esr, ExceptionClass};
use hal_aarch64::context::TrapFrame;
use hal_aarch64::sysreg;
use hal_aarch64::vectors::Source;

use crate::{abort, inject, smc, vendor};

/// A synchronous exception of EL1 or EL0.
#[unsafe(no_mangle)]
extern "C" fn el2_trap(frame: &mut TrapFrame, esr: u64, far: u64, hpfar: u64) {
    let esr = Esr(esr);
    if abort::is_plain_store8(esr) && abort::ring(frame, esr, far, hpfar) {
        return;
    }
    any_trap(frame, esr, far, hpfar);
}

/// Whatever is no plain doorbell.
#[inline(never)]
fn any_trap(frame: &mut TrapFrame, esr: Esr, far: u64, hpfar: u64) {
    if abort::is_plain(esr) {
        return abort::plain(frame, esr, far, hpfar);
    }
    match esr.class() {
        ExceptionClass::DATA_ABORT_LOWER => abort::other(frame, esr, far, hpfar),
        ExceptionClass::SMC => smc::call(frame),
        ExceptionClass::HVC => vendor::call(frame),
        ExceptionClass::INSTRUCTION_ABORT_LOWER => inject::external_instruction_abort(frame, far),
        // WFI and WFE are not trapped; any other class is an instruction that this part does not have.
        _ => inject::undefined(frame),
    }
}

/// Anything else at EL2: a broken invariant of ours.
#[unsafe(no_mangle)]
extern "C" fn el2_unexpected(frame: &mut TrapFrame, source: u64) -> ! {
    let (esr, far) = (sysreg::esr_el2(), sysreg::far_el2());
    if let Source::StackOverflow = Source::from_vector(source) {
        panic!("EL2 stack overflow: sp {:#x}, esr {esr:#x}, far {far:#x}, elr {:#x}, lr {:#x}", frame.reg(0), frame.elr, frame.reg(30));
    }
    panic!("exception at EL2: vector {source}, esr {esr:#x}, far {far:#x}, elr {:#x}, lr {:#x}", frame.elr, frame.reg(30));
}
