//! Numbers that are handed out and come back: SubstreamIDs, ASIDs, VMIDs.

use hal::SubstreamId;
use heapless::Vec;

use crate::error::SmmuError;

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

    /// Hands out this very number; false if it is handed out already, or beyond the set.
    pub(crate) fn claim(&mut self, number: u32) -> bool {
        let is_free = (1..self.limit).contains(&number) && !self.is_taken(number);
        if is_free {
            self.taken[number as usize / 64] |= 1 << (number % 64);
        }
        is_free
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

/// SubstreamIDs that the driver chooses itself.
const NEAR: usize = 16 * 1024;
/// SubstreamIDs beyond, which somebody else chose, at a time.
const MAX_FAR: usize = 256;

/// SubstreamIDs in use: the near ones are handed out, any can be claimed.
pub(crate) struct Substreams {
    near: Numbers<{ NEAR / 64 }>,
    far: Vec<u32, MAX_FAR>,
    /// One more than the largest that tables reach.
    limit: u32,
}

impl Substreams {
    /// All of `1..limit` are free.
    pub(crate) const fn new(limit: u32) -> Self {
        Self { near: Numbers::new(limit), far: Vec::new(), limit }
    }

    /// True if it is in use.
    pub(crate) fn is_taken(&self, number: u32) -> bool {
        self.near.is_taken(number) || self.far.contains(&number)
    }

    /// Hands out a near one.
    pub(crate) fn take(&mut self) -> Option<u32> {
        self.near.take()
    }

    /// Notes one that somebody else chose.
    pub(crate) fn claim(&mut self, substream: SubstreamId) -> Result<(), SmmuError> {
        let SubstreamId(number) = substream;
        if number == 0 || number >= self.limit {
            return Err(SmmuError::SubstreamOutOfRange(substream));
        }
        if self.is_taken(number) {
            return Err(SmmuError::SubstreamBusy(substream));
        }
        if self.near.claim(number) {
            return Ok(());
        }
        self.far.push(number).map_err(|_| SmmuError::NoRoom)
    }

    /// Takes one back; false if it was not in use.
    pub(crate) fn give_back(&mut self, number: u32) -> bool {
        let far = self.far.iter().position(|other| *other == number);
        far.map(|at| self.far.swap_remove(at)).is_some() || self.near.give_back(number)
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_FAR, Numbers, SmmuError, SubstreamId, Substreams};

    #[test]
    fn substreams_are_chosen_by_the_driver_or_by_somebody_else_and_never_by_both() {
        let mut substreams = Substreams::new(1 << 20);
        let (near, far) = (SubstreamId(2), SubstreamId(0xf_ffff));
        for wrong in [SubstreamId(0), SubstreamId(1 << 20)] {
            assert_eq!(substreams.claim(wrong), Err(SmmuError::SubstreamOutOfRange(wrong)));
        }
        for one in [near, far] {
            assert_eq!(substreams.claim(one), Ok(()));
            assert_eq!(substreams.claim(one), Err(SmmuError::SubstreamBusy(one)));
            assert!(substreams.is_taken(one.0));
        }
        assert_eq!([substreams.take(), substreams.take()], [Some(1), Some(3)]);
        assert!(substreams.give_back(far.0) && !substreams.give_back(far.0) && !substreams.is_taken(far.0));
        let far = |i: usize| SubstreamId(0x8_0000 + i as u32);
        assert_eq!((0..MAX_FAR).find(|i| substreams.claim(far(*i)).is_err()), None);
        assert_eq!(substreams.claim(far(MAX_FAR)), Err(SmmuError::NoRoom));
    }

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
