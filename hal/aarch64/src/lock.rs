//! The lock of the house: test-and-set, spinning with `yield`.
//!
//! A fair ticket lock starves when there are more simulated cores than host cores, and `isb` as a spin hint hangs under `-icount`.

use crate::cpu;

/// Spins by `yield`.
#[derive(Clone, Copy, Debug)]
pub struct YieldRelax;

impl spin::RelaxStrategy for YieldRelax {
    #[inline(always)]
    fn relax() {
        cpu::relax();
    }
}

/// A test-and-set lock. It does not mask interrupts: a lock shared with a handler is taken with them masked.
pub type SpinLock<T> = spin::mutex::SpinMutex<T, YieldRelax>;

/// What holding a [`SpinLock`] looks like.
pub type SpinGuard<'a, T> = spin::mutex::SpinMutexGuard<'a, T, YieldRelax>;
