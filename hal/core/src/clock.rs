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
        const NANOSECONDS: u64 = 1_000_000_000;
        let rate = self.ticks_per_second();
        let (whole, rest) = (after.as_secs().saturating_mul(rate), u64::from(after.subsec_nanos()));
        // 64 bits suffice up to 18 GHz, and a core divides them in one instruction.
        let part = match rest.checked_mul(rate) {
            Some(product) => product / NANOSECONDS,
            None => (u128::from(rest) * u128::from(rate) / u128::from(NANOSECONDS)) as u64,
        };
        Deadline { at_ticks: self.now_ticks().saturating_add(whole.saturating_add(part)) }
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

#[cfg(test)]
mod tests {
    use super::*;

    struct At(u64, u64);

    impl Clock for At {
        fn now_ticks(&self) -> u64 {
            self.0
        }
        fn ticks_per_second(&self) -> u64 {
            self.1
        }
        fn relax(&self) {}
    }

    #[test]
    fn deadlines_are_whole_ticks_at_any_rate() {
        let at = |now, rate, after| At(now, rate).deadline(after).at_ticks;
        assert_eq!(at(5, 62_500_000, Duration::from_millis(1)), 5 + 62_500);
        assert_eq!(at(0, 3, Duration::new(2, 999_999_999)), 8);
        assert_eq!(at(0, 1 << 60, Duration::from_nanos(999_999_999)), ((999_999_999_u128 << 60) / 1_000_000_000) as u64);
        assert_eq!(at(1, 1_000_000_000, Duration::MAX), u64::MAX);
    }
}
