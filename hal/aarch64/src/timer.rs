//! The generic timer: time, delays, and the EL1 timer interrupt.

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTKCTL_EL1, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0, Readable, Writeable};
use embedded_hal::delay::DelayNs;
use hal::Clock;

use crate::{barrier, cpu};

/// The virtual counter (CNTVCT_EL0) as a clock. CNTVOFF is 0 under our EL2.
#[derive(Clone, Copy, Default, Debug)]
pub struct GenericTimer;

impl Clock for GenericTimer {
    #[inline]
    fn now_ticks(&self) -> u64 {
        CNTVCT_EL0.get()
    }
    #[inline]
    fn ticks_per_second(&self) -> u64 {
        CNTFRQ_EL0.get()
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

/// Lets EL0 read both counters, which hold no secret. At EL1.
pub fn open_counters_to_el0() {
    CNTKCTL_EL1.write(CNTKCTL_EL1::EL0VCTEN::SET + CNTKCTL_EL1::EL0PCTEN::SET);
    barrier::isb();
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
        CNTV_CVAL_EL0.set(at_ticks);
        CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET);
        barrier::isb();
    }
    /// Disarms: the interrupt line falls.
    pub fn disarm(&self) {
        CNTV_CTL_EL0.set(0);
        barrier::isb();
    }
    /// True if armed and due.
    pub fn is_due(&self) -> bool {
        CNTV_CTL_EL0.matches_all(CNTV_CTL_EL0::ENABLE::SET + CNTV_CTL_EL0::ISTATUS::SET)
    }
}
