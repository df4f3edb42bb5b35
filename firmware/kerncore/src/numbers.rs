//! Small numbers handed out and taken back: ASIDs, PASIDs, process slots.

use alloc::collections::{BTreeSet, VecDeque};

/// Numbers `first..end`. A number that comes back waits behind all others, so that a stale use of it has time to show; a number that is
/// retired never comes back.
#[derive(Debug)]
pub struct NumberPool {
    next: u32,
    end: u32,
    returned: VecDeque<u32>,
    taken: BTreeSet<u32>,
    retired: u32,
}

impl NumberPool {
    /// A pool of `first..end`.
    pub fn new(first: u32, end: u32) -> Self {
        Self { next: first, end, returned: VecDeque::new(), taken: BTreeSet::new(), retired: 0 }
    }

    /// Takes a number: one never used, else the one returned longest ago.
    pub fn take(&mut self) -> Option<u32> {
        let number = if self.next < self.end {
            self.next += 1;
            self.next - 1
        } else {
            self.returned.pop_front()?
        };
        self.taken.insert(number);
        Some(number)
    }

    /// Gives a number back.
    ///
    /// # Panics
    /// If it was not taken.
    pub fn give_back(&mut self, number: u32) {
        assert!(self.taken.remove(&number), "{number} was not taken");
        self.returned.push_back(number);
    }

    /// Takes a number out of use for ever: something may still refer to it.
    ///
    /// # Panics
    /// If it was not taken.
    pub fn retire(&mut self, number: u32) {
        assert!(self.taken.remove(&number), "{number} was not taken");
        self.retired += 1;
    }

    /// Numbers retired so far.
    pub fn retired(&self) -> u32 {
        self.retired
    }

    /// Numbers in use.
    pub fn in_use(&self) -> usize {
        self.taken.len()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn numbers_come_back_last_and_retired_ones_never() {
        let mut pool = NumberPool::new(1, 4);
        assert_eq!((pool.take(), pool.take()), (Some(1), Some(2)));
        pool.give_back(1);
        assert_eq!(pool.take(), Some(3), "unused numbers go first");
        pool.retire(2);
        assert_eq!((pool.take(), pool.take()), (Some(1), None));
        pool.give_back(3);
        assert_eq!(pool.take(), Some(3));
        assert_eq!((pool.retired(), pool.in_use()), (1, 2));
    }

    #[test]
    #[should_panic(expected = "not taken")]
    fn giving_back_twice_is_a_broken_invariant() {
        let mut pool = NumberPool::new(1, 4);
        pool.take();
        pool.give_back(1);
        pool.give_back(1);
    }
}
