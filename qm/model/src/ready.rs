//! Which queues have something to run, served in turn.

use core::ops::Range;

const WORDS: usize = qm_spec::MAX_QUEUES as usize / 64;
/// Priorities that a queue's context can name.
pub const LEVELS: usize = 16;

/// A set of device queue numbers: finding a member costs a few words, however many queues exist.
pub struct ReadySet {
    words: [u64; WORDS],
    members: u16,
}

impl ReadySet {
    pub const fn new() -> Self {
        Self { words: [0; WORDS], members: 0 }
    }

    /// Puts a queue in or out; true if that changed something.
    pub fn set(&mut self, qn: u16, ready: bool) -> bool {
        let word = &mut self.words[usize::from(qn) / 64 % WORDS];
        let bit = 1 << (qn % 64);
        let changed = (*word & bit != 0) != ready;
        if changed {
            *word ^= bit;
            self.members = if ready { self.members + 1 } else { self.members - 1 };
        }
        changed
    }

    pub const fn is_empty(&self) -> bool {
        self.members == 0
    }

    /// The first member of a share at or after `cursor`, going round once.
    pub fn next(&self, share: Range<usize>, cursor: u16) -> Option<u16> {
        if self.is_empty() {
            return None;
        }
        let cursor = if share.contains(&usize::from(cursor)) { usize::from(cursor) } else { share.start };
        self.first_in(cursor..share.end).or_else(|| self.first_in(share.start..cursor))
    }

    fn first_in(&self, range: Range<usize>) -> Option<u16> {
        let mut at = range.start;
        while at < range.end {
            let word = self.words[at / 64 % WORDS] >> (at % 64);
            if word != 0 {
                let found = at + word.trailing_zeros() as usize;
                return (found < range.end).then_some(found as u16);
            }
            at = (at / 64 + 1) * 64;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_in_turn_inside_a_share_and_forgets_what_is_cleared() {
        let mut set = ReadySet::new();
        for qn in [0, 5, 63, 64, 1023] {
            assert!(set.set(qn, true));
            assert!(!set.set(qn, true));
        }
        assert_eq!([0, 1, 6, 64, 65].map(|cursor| set.next(0..1024, cursor)), [Some(0), Some(5), Some(63), Some(64), Some(1023)]);
        assert_eq!(set.next(1..1024, 0), Some(5), "a cursor outside the share begins anew");
        assert_eq!(set.next(6..63, 10), None);
        assert_eq!(set.next(0..64, 6), Some(63));
        assert_eq!(set.next(0..63, 6), Some(0), "goes round inside the share");
        assert!(set.set(63, false));
        assert_eq!(set.next(6..64, 6), None);
        for qn in [0, 5, 64, 1023] {
            set.set(qn, false);
        }
        assert!(set.is_empty());
        assert_eq!(set.next(0..1024, 0), None);
    }
}
