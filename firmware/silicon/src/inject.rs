//! Exceptions that the hardware we play raises in EL1.

use aarch64_cpu::registers::{ELR_EL1, ESR_EL1, FAR_EL1, ID_AA64MMFR1_EL1, Readable, SCTLR_EL1, SPSR_EL1, VBAR_EL1, Writeable};
use hal::Access;
use hal_aarch64::context::{SPSR_EL1H_MASKED, TrapFrame};

/// ESR.IL: a 32-bit instruction.
const IL: u64 = 1 << 25;
/// EC of a data abort from the same level; the lower level's is one less.
const EC_DATA_ABORT_SAME: u64 = 0x25;
/// EC of an instruction abort from the same level; the lower level's is one less.
const EC_INSTRUCTION_ABORT_SAME: u64 = 0x21;
/// DFSC: synchronous external abort, not on a walk.
const EXTERNAL_ABORT: u64 = 0x10;

/// PSTATE.PAN in an SPSR.
const PAN: u64 = 1 << 22;
/// SCTLR_EL1.SPAN, which `aarch64-cpu` does not name.
const SPAN: u64 = 1 << 23;

/// Ends the interrupted load or store with a synchronous external abort: nothing answers at that address.
pub fn external_data_abort(frame: &mut TrapFrame, far: u64, access: Access) {
    let ec = EC_DATA_ABORT_SAME - u64::from(is_from_el0(frame));
    let wnr = if access == Access::Write { 1 << 6 } else { 0 };
    take_to_el1(frame, (ec << 26) | IL | wnr | EXTERNAL_ABORT, Some(far));
}

/// Ends the interrupted fetch with a synchronous external abort.
pub fn external_instruction_abort(frame: &mut TrapFrame, far: u64) {
    let ec = EC_INSTRUCTION_ABORT_SAME - u64::from(is_from_el0(frame));
    take_to_el1(frame, (ec << 26) | IL | EXTERNAL_ABORT, Some(far));
}

/// Ends the interrupted instruction as undefined.
pub fn undefined(frame: &mut TrapFrame) {
    take_to_el1(frame, IL, None);
}

fn is_from_el0(frame: &TrapFrame) -> bool {
    frame.spsr & 0xf == 0
}

/// Enters EL1's synchronous vector as the core itself would. DDI 0487, AArch64.TakeException.
fn take_to_el1(frame: &mut TrapFrame, esr: u64, far: Option<u64>) {
    let vector = match frame.spsr & 0x1f {
        0x4 => 0x000,
        0x5 => 0x200,
        m if m & 0x10 == 0 => 0x400,
        _ => 0x600,
    };
    ESR_EL1.set(esr);
    ELR_EL1.set(frame.elr);
    SPSR_EL1.set(frame.spsr);
    if let Some(far) = far {
        FAR_EL1.set(far);
    }
    // PSTATE.PAN is set on entry unless SCTLR_EL1.SPAN says to leave it.
    let has_pan = ID_AA64MMFR1_EL1.is_set(ID_AA64MMFR1_EL1::PAN);
    let pan = if has_pan && SCTLR_EL1.get() & SPAN == 0 { PAN } else { frame.spsr & PAN };
    frame.spsr = SPSR_EL1H_MASKED | pan;
    frame.elr = VBAR_EL1.get() + vector;
}
