//! Which level runs. EL0 may not read CurrentEL: it is told by its stack, which lies above all physical memory.

use firmware_platform::{RAM_BASE, RAM_BYTES};
use hal_aarch64::{cpu, sysreg};

/// A privilege level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// An app.
    El0,
    /// The kernel.
    El1,
    /// The silicon.
    El2,
}

/// The level of the caller. Stacks of EL1 and EL2 lie in RAM, identity-mapped, or in the
/// upper half; stacks of EL0 lie at user addresses in between.
#[inline]
pub fn level() -> Level {
    if (RAM_BASE + RAM_BYTES + 1..1 << 63).contains(&(cpu::stack_pointer() as u64)) {
        return Level::El0;
    }
    if sysreg::current_el() == 2 { Level::El2 } else { Level::El1 }
}
