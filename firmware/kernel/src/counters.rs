//! What the kernel counts: every exception taken to EL1, by vector.

use core::sync::atomic::{AtomicU64, Ordering};

static EXCEPTIONS: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

/// Vector numbers of [`exceptions`].
pub mod vector {
    /// Synchronous, from EL1.
    pub const SYNC_EL1: usize = 4;
    /// Interrupt, while at EL1.
    pub const IRQ_EL1: usize = 5;
    /// Synchronous, from EL0.
    pub const SYNC_EL0: usize = 8;
    /// Interrupt, while at EL0.
    pub const IRQ_EL0: usize = 9;
}

pub(crate) fn count(source: u64) {
    EXCEPTIONS[source as usize & 15].fetch_add(1, Ordering::Relaxed);
}

/// Exceptions taken to EL1 since boot, by vector: 4 × (0 SP_EL0, 1 SP_EL1, 2 lower AArch64, 3 lower AArch32) + (0 sync, 1 IRQ, 2 FIQ, 3 SError).
pub fn exceptions() -> [u64; 16] {
    core::array::from_fn(|vector| EXCEPTIONS[vector].load(Ordering::Relaxed))
}

/// Exceptions taken to EL1 since boot.
pub fn total_exceptions() -> u64 {
    exceptions().iter().sum()
}
