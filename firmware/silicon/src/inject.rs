//! Exceptions that the hardware we play raises in EL1.

use core::arch::asm;

use hal::Access;
use hal_aarch64::context::{SPSR_EL1H_MASKED, TrapFrame};
use hal_aarch64::{read_sysreg, write_sysreg};

/// ESR.IL: a 32-bit instruction.
const IL: u64 = 1 << 25;
/// EC of a data abort from the same level; the lower level's is one less.
const EC_DATA_ABORT_SAME: u64 = 0x25;
/// EC of an instruction abort from the same level; the lower level's is one less.
const EC_INSTRUCTION_ABORT_SAME: u64 = 0x21;
/// DFSC: synchronous external abort, not on a walk.
const EXTERNAL_ABORT: u64 = 0x10;

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
    let vbar = read_sysreg!("vbar_el1");
    // SAFETY: EL1's registers, at the moment that an exception to EL1 writes them.
    unsafe {
        asm!("msr esr_el1, {}", "msr elr_el1, {}", "msr spsr_el1, {}", in(reg) esr, in(reg) frame.elr, in(reg) frame.spsr, options(nostack, preserves_flags));
    }
    if let Some(far) = far {
        // SAFETY: as above.
        unsafe { write_sysreg!("far_el1", far) };
    }
    // PSTATE.PAN is set on entry unless SCTLR_EL1.SPAN says to leave it.
    let has_pan = (read_sysreg!("id_aa64mmfr1_el1") >> 20) & 0xf != 0;
    let pan = if has_pan && read_sysreg!("sctlr_el1") & (1 << 23) == 0 { 1 << 22 } else { frame.spsr & (1 << 22) };
    frame.spsr = SPSR_EL1H_MASKED | pan;
    frame.elr = vbar + vector;
}
