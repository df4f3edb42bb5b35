//! Time as an argument, so that every wait has a deadline and tests own the clock.

use core::time::Duration;

/// A monotonic counter.
pub trait Clock {
    /// The counter now, in ticks.
    fn now_ticks(&self) -> u64;
    /// Ticks per second.
    fn ticks_per_second(&self) -> u64;
    /// Tells the machine that the caller spins (`yield` on target: under a single-threaded simulator it hands the turn over).
    fn relax(&self);

    /// The deadline that lies `after` from now.
    fn deadline(&self, after: Duration) -> Deadline {
        let ticks = after.as_nanos() * u128::from(self.ticks_per_second()) / 1_000_000_000;
        Deadline { at_ticks: self.now_ticks().saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX)) }
    }
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now_ticks(&self) -> u64 {
        (**self).now_ticks()
    }
    fn ticks_per_second(&self) -> u64 {
        (**self).ticks_per_second()
    }
    fn relax(&self) {
        (**self).relax();
    }
}

/// A moment after which a wait must end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadline {
    at_ticks: u64,
}

impl Deadline {
    /// True once the moment has come.
    pub fn has_passed(&self, clock: &impl Clock) -> bool {
        clock.now_ticks() >= self.at_ticks
    }
}

/// A wait reached its deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expired;

/// Calls `ready` until it answers or `within` has passed; it is asked once more after the deadline, so a slow caller is not punished.
///
/// # Errors
/// [`Expired`] if `ready` never answered.
pub fn poll_until<T>(clock: &impl Clock, within: Duration, mut ready: impl FnMut() -> Option<T>) -> Result<T, Expired> {
    let deadline = clock.deadline(within);
    loop {
        let late = deadline.has_passed(clock);
        if let Some(value) = ready() {
            return Ok(value);
        }
        if late {
            return Err(Expired);
        }
        clock.relax();
    }
}
