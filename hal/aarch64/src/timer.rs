//! The generic timer: time, delays, and the EL1 timer interrupt.

use core::arch::asm;

use embedded_hal::delay::DelayNs;
use hal::Clock;

use crate::{cpu, read_sysreg};

/// The virtual counter (CNTVCT_EL0) as a clock. CNTVOFF is 0 under our EL2.
#[derive(Clone, Copy, Default, Debug)]
pub struct GenericTimer;

impl Clock for GenericTimer {
    #[inline]
    fn now_ticks(&self) -> u64 {
        read_sysreg!("cntvct_el0")
    }
    #[inline]
    fn ticks_per_second(&self) -> u64 {
        read_sysreg!("cntfrq_el0")
    }
    #[inline(always)]
    fn relax(&self) {
        cpu::relax();
    }
}

impl DelayNs for GenericTimer {
    fn delay_ns(&mut self, ns: u32) {
        let deadline = self.deadline(core::time::Duration::from_nanos(u64::from(ns)));
        while !deadline.has_passed(&*self) {
            self.relax();
        }
    }
}

/// INTID of the virtual timer's interrupt (PPI 11).
pub const VIRTUAL_TIMER_INTID: u32 = 27;
/// INTID of the physical EL1 timer's interrupt (PPI 14).
pub const PHYSICAL_TIMER_INTID: u32 = 30;

/// The virtual timer of this core: one comparator.
#[derive(Clone, Copy, Default, Debug)]
pub struct VirtualTimer;

impl VirtualTimer {
    /// Arms the comparator: the interrupt pends once CNTVCT reaches `at_ticks`.
    pub fn arm(&self, at_ticks: u64) {
        // SAFETY: only changes when an interrupt pends.
        unsafe {
            asm!("msr cntv_cval_el0, {at}", "msr cntv_ctl_el0, {on}", "isb", at = in(reg) at_ticks, on = in(reg) 1_u64, options(nostack, preserves_flags))
        };
    }
    /// Disarms: the interrupt line falls.
    pub fn disarm(&self) {
        // SAFETY: as above.
        unsafe { asm!("msr cntv_ctl_el0, xzr", "isb", options(nostack, preserves_flags)) };
    }
    /// True if armed and due.
    pub fn is_due(&self) -> bool {
        read_sysreg!("cntv_ctl_el0") & 5 == 5
    }
}
