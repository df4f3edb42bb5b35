//! Performance counters filtered by exception level: the house's measure under `-icount`, where one instruction is one count.

use core::arch::asm;

use crate::read_sysreg;

/// Instructions retired since [`start`], counted apart by level.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Instructions {
    /// Retired at EL0.
    pub el0: u64,
    /// Retired at EL1.
    pub el1: u64,
    /// Retired at EL2.
    pub el2: u64,
}

impl Instructions {
    /// What was counted since `earlier`, counters being 32 bits wide.
    pub fn since(self, earlier: Self) -> Self {
        let sub = |a: u64, b: u64| a.wrapping_sub(b) & 0xffff_ffff;
        Self { el0: sub(self.el0, earlier.el0), el1: sub(self.el1, earlier.el1), el2: sub(self.el2, earlier.el2) }
    }
}

/// INST_RETIRED, the event counted. QEMU counts it under `-icount` only.
const INST_RETIRED: u64 = 8;
/// PMEVTYPER.P: do not count at EL1.
const NOT_EL1: u64 = 1 << 31;
/// PMEVTYPER.U: do not count at EL0.
const NOT_EL0: u64 = 1 << 30;
/// PMEVTYPER.NSH: count at EL2.
const AT_EL2: u64 = 1 << 27;

/// Programs counters 0, 1, 2 for EL0, EL1, EL2 and the cycle counter for all levels, opens them to EL0 and lets them run.
///
/// From EL1 or EL2. Counting at EL2 needs MDCR_EL2.HPMD = 0 and the counters in the guest's range (HPMN), which our EL2 leaves so.
pub fn start() {
    // SAFETY: counters change nothing but themselves. `aarch64-cpu` names no register of the PMU.
    unsafe {
        asm!(
            "msr pmevtyper0_el0, {el0}", "msr pmevtyper1_el0, {el1}", "msr pmevtyper2_el0, {el2}", "msr pmccfiltr_el0, {all}",
            "msr pmcntenset_el0, {set}", "msr pmuserenr_el0, {open}", "msr pmcr_el0, {run}", "isb",
            el0 = in(reg) INST_RETIRED | NOT_EL1, el1 = in(reg) INST_RETIRED | NOT_EL0, el2 = in(reg) INST_RETIRED | NOT_EL0 | NOT_EL1 | AT_EL2,
            all = in(reg) AT_EL2, set = in(reg) (1_u64 << 31) | 7, open = in(reg) 0xf_u64,
            // E, P (reset events), C (reset cycles), LC (64-bit cycles).
            run = in(reg) 1_u64 | 2 | 4 | (1 << 6), options(nostack, preserves_flags)
        );
    }
}

/// Reads the three counters. Usable at EL0 after [`start`].
#[inline(always)]
pub fn instructions() -> Instructions {
    let (el0, el1, el2);
    // SAFETY: reads counters.
    unsafe {
        asm!("isb", "mrs {}, pmevcntr0_el0", "mrs {}, pmevcntr1_el0", "mrs {}, pmevcntr2_el0", out(reg) el0, out(reg) el1, out(reg) el2, options(nostack, preserves_flags))
    };
    Instructions { el0, el1, el2 }
}

/// Cycles at all levels since [`start`]. Usable at EL0 after it.
#[inline(always)]
pub fn cycles() -> u64 {
    read_sysreg!("pmccntr_el0")
}

/// Number of event counters (PMCR_EL0.N).
pub fn counters() -> u64 {
    (read_sysreg!("pmcr_el0") >> 11) & 0x1f
}
