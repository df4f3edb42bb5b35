//! How many reports a stream may cause: a device that faults without end must not cost its owner more than a bounded number of them.

use core::time::Duration;

use hal::{Clock, Deadline};

/// How many records of terminated transactions of one stream are reported, and how soon again. Others are counted only. Stalls are always reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportLimit {
    /// Reports of one stream within a period.
    pub burst: u32,
    /// Length of a period; it begins with a report.
    pub period: Duration,
}

impl ReportLimit {
    /// Every record is reported.
    pub const NONE: Self = Self { burst: u32::MAX, period: Duration::ZERO };
}

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    /// It may be reported.
    Report,
    /// It is counted.
    Suppress,
    /// It may be reported once the number of those suppressed before was.
    CountFirst(u64),
}

/// The reports of one stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Reports {
    /// When the period ends; `None` before the first report.
    ends: Option<Deadline>,
    spent: u32,
    suppressed: u64,
}

impl Reports {
    /// Decides about one more record.
    pub(crate) fn admit(&mut self, limit: ReportLimit, clock: &impl Clock) -> Admission {
        if let Some(records) = self.overdue(clock) {
            return Admission::CountFirst(records);
        }
        if self.ends.is_none_or(|ends| ends.has_passed(clock)) {
            (self.ends, self.spent) = (Some(clock.deadline(limit.period)), 0);
        }
        if self.spent < limit.burst {
            self.spent += 1;
            Admission::Report
        } else {
            self.suppressed += 1;
            Admission::Suppress
        }
    }

    /// Takes the number of suppressed records if their period is over.
    pub(crate) fn overdue(&mut self, clock: &impl Clock) -> Option<u64> {
        let is_due = self.suppressed > 0 && self.ends.is_none_or(|ends| ends.has_passed(clock));
        is_due.then(|| self.take())
    }

    /// The number of suppressed records that nobody was told of.
    pub(crate) const fn suppressed(&self) -> u64 {
        self.suppressed
    }

    /// Takes over what was not told of a stream that is gone.
    pub(crate) fn inherit(&mut self, other: &mut Self) {
        self.suppressed += other.take();
    }

    /// Takes the number of suppressed records.
    pub(crate) fn take(&mut self) -> u64 {
        core::mem::take(&mut self.suppressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;

    #[test]
    fn a_flood_costs_a_burst_per_period_and_every_record_is_counted() {
        let clock = Script::default();
        let limit = ReportLimit { burst: 3, period: Duration::from_millis(100) };
        let mut reports = Reports::default();
        let (mut reported, mut counted) = (0, 0);
        for _ in 0..1000 {
            let mut admission = reports.admit(limit, &clock);
            if let Admission::CountFirst(records) = admission {
                counted += records;
                admission = reports.admit(limit, &clock);
                assert_eq!(admission, Admission::Report, "a new period");
            }
            reported += u64::from(admission == Admission::Report);
        }
        // Every look at this clock takes a millisecond.
        assert!((3..=3 * (clock.now_ticks() / 100 + 1)).contains(&reported), "{reported}");
        assert_eq!(reported + counted + reports.take(), 1000);
    }

    #[test]
    fn a_stream_that_behaves_is_reported_in_full() {
        let clock = Script::default();
        let mut reports = Reports::default();
        for _ in 0..500 {
            assert_eq!(reports.admit(ReportLimit::NONE, &clock), Admission::Report);
        }
        assert_eq!(reports.overdue(&clock), None);
    }
}
