//! A transcript that also remembers what the silicon has counted, and when that last changed: who runs out of time either waits or is slow.

use super::emulator::Watcher;
use super::ram::GuestRam;
use super::trace::Summary;
use super::transcript::Transcript;
use std::io::Write;
use std::time::{Duration, Instant};

/// Counts that have stood still for this long are those of a guest that waits.
const STILL: Duration = Duration::from_secs(5);

/// A transcript with the silicon's counts; the last look is after the machine's end.
pub struct Counted<'a, W: Write> {
    transcript: Transcript<'a, W>,
    summary: Option<Summary>,
    changed: Instant,
}

impl<'a, W: Write> Counted<'a, W> {
    /// Begins with nothing counted.
    pub fn new(transcript: Transcript<'a, W>) -> Self {
        Self { transcript, summary: None, changed: Instant::now() }
    }

    /// Ends the transcript and returns what it was written to, and the last counts; memory without an EL2 row has none.
    pub fn finish(self) -> (W, Option<Summary>) {
        (self.transcript.finish(), self.summary)
    }

    /// Says whether the silicon still had something to count; nothing if it never had.
    pub fn progress(&self) -> String {
        self.summary.map_or_else(String::new, |summary| progress(&summary, self.changed.elapsed()))
    }
}

/// Tells a guest that waits from one that is slow.
fn progress(summary: &Summary, unchanged: Duration) -> String {
    let requests = summary.requests();
    if unchanged < STILL {
        format!("; the silicon was at work: {requests} requests ended so far")
    } else {
        format!("; the silicon counted nothing for the last {} s, {requests} requests ended before", unchanged.as_secs())
    }
}

impl<W: Write> Watcher for Counted<'_, W> {
    fn log(&mut self, bytes: &[u8]) {
        self.transcript.log(bytes);
    }

    fn console(&mut self, bytes: &[u8]) {
        self.transcript.console(bytes);
    }

    fn emulator(&mut self, bytes: &[u8]) {
        self.transcript.emulator(bytes);
    }

    fn tick(&mut self, ram: &GuestRam, qemu: u32) {
        self.transcript.tick(ram, qemu);
        let summary = Summary::read(ram).ok();
        if summary != self.summary {
            (self.summary, self.changed) = (summary, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_from_who_is_slow() {
        let summary = Summary::default();
        assert!(progress(&summary, Duration::from_millis(4_999)).contains("at work: 0 requests"));
        assert!(progress(&summary, Duration::from_secs(58)).contains("nothing for the last 58 s"));
    }
}
