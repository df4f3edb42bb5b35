//! Numbers that are handed out and come back: SubstreamIDs, ASIDs, VMIDs.

/// A set of the numbers `1..limit`, `limit` at most 64 × `WORDS`. A number that came back is not handed out again until all others were tried,
/// so that a late user of it is noticed rather than served.
pub(crate) struct Numbers<const WORDS: usize> {
    taken: [u64; WORDS],
    limit: u32,
    next: u32,
}

impl<const WORDS: usize> Numbers<WORDS> {
    const ROOM: u32 = 64 * WORDS as u32;

    /// All of `1..limit` are free.
    pub(crate) const fn new(limit: u32) -> Self {
        Self { taken: [0; WORDS], limit: if limit > Self::ROOM { Self::ROOM } else { limit }, next: 1 }
    }

    /// True if `number` is handed out.
    pub(crate) const fn is_taken(&self, number: u32) -> bool {
        number < self.limit && self.taken[number as usize / 64] >> (number % 64) & 1 == 1
    }

    /// Hands out a number.
    pub(crate) fn take(&mut self) -> Option<u32> {
        let found = (self.next..self.limit).chain(1..self.next).find(|n| !self.is_taken(*n))?;
        self.taken[found as usize / 64] |= 1 << (found % 64);
        self.next = found + 1;
        Some(found)
    }

    /// Takes a number back; false if it was not handed out.
    pub(crate) fn give_back(&mut self, number: u32) -> bool {
        let was = self.is_taken(number);
        if was {
            self.taken[number as usize / 64] &= !(1 << (number % 64));
        }
        was
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;

    #[test]
    fn all_numbers_but_zero_are_handed_out_once() {
        let mut numbers = Numbers::<2>::new(100);
        let mut seen = [false; 100];
        while let Some(n) = numbers.take() {
            assert!(!core::mem::replace(&mut seen[n as usize], true));
        }
        assert!(!seen[0] && seen[1..].iter().all(|s| *s));
        assert!(numbers.give_back(7) && !numbers.give_back(7) && !numbers.give_back(0) && !numbers.give_back(100));
        assert_eq!((numbers.take(), numbers.take()), (Some(7), None));
    }

    #[test]
    fn a_returned_number_is_the_last_to_be_reused() {
        let mut numbers = Numbers::<1>::new(5);
        let first = numbers.take().unwrap();
        numbers.give_back(first);
        assert_eq!([numbers.take(), numbers.take(), numbers.take(), numbers.take()], [Some(2), Some(3), Some(4), Some(first)]);
    }

    #[test]
    fn sets_hold_what_they_have_room_for() {
        assert_eq!(Numbers::<1>::new(1).take(), None);
        assert_eq!(Numbers::<1>::new(0).take(), None);
        let mut numbers = Numbers::<1>::new(1 << 16);
        assert_eq!((1..64).find(|n| numbers.take() != Some(*n)), None);
        assert_eq!(numbers.take(), None);
    }
}
