//! The CPU's own walker, asked by `AT` instructions.

use core::arch::asm;

use aarch64_cpu::registers::{PAR_EL1, Readable, Writeable};
use hal::{Pa, Va};

/// PAR_EL1: what an address translation instruction answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Par(pub u64);

impl Par {
    /// The translated address of `va`, or the fault status code (ESR encoding, ISS\[5:0\]).
    ///
    /// # Errors
    /// The fault status code.
    pub fn result(self, va: Va) -> Result<Pa, u8> {
        if self.0 & 1 == 0 { Ok(Pa((self.0 & 0x000f_ffff_ffff_f000) | va.offset_in(0x1000))) } else { Err(((self.0 >> 1) & 0x3f) as u8) }
    }
    /// True if a failed walk failed at stage 2 (PAR_EL1.S).
    pub fn is_stage2_fault(self) -> bool {
        self.0 & 1 == 1 && self.0 & (1 << 9) != 0
    }
}

macro_rules! at {
    ($(#[$doc:meta])* $name:ident, $op:literal) => {
        $(#[$doc])*
        pub fn $name(va: Va) -> Par {
            let par: u64;
            // SAFETY: a walk changes PAR_EL1 only; EL2 callers save and restore it for their guest. In one block, so that nothing else
            // writes PAR_EL1 in between; `aarch64-cpu` has no AT.
            unsafe { asm!(concat!("at ", $op, ", {va}"), "isb", "mrs {par}, par_el1", va = in(reg) va.0, par = out(reg) par, options(nostack, preserves_flags)) };
            Par(par)
        }
    };
}

at!(/** Stage 1 as an EL0 read. */ s1e0r, "s1e0r");
at!(/** Stage 1 as an EL0 write. */ s1e0w, "s1e0w");
at!(/** Stage 1 as an EL1 read. */ s1e1r, "s1e1r");
at!(/** Stage 1 as an EL1 write. */ s1e1w, "s1e1w");
at!(/** Both stages as an EL1 read. At EL2. */ s12e1r, "s12e1r");
at!(/** Both stages as an EL0 read. At EL2. */ s12e0r, "s12e0r");

/// Runs `f` and gives PAR_EL1 its old value back: EL2 must not change what its guest may be about to read.
pub fn preserving_par<T>(f: impl FnOnce() -> T) -> T {
    let par = PAR_EL1.get();
    let result = f();
    PAR_EL1.set(par);
    result
}
