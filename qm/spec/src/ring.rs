//! Ring arithmetic, the only place that adds 1 to a ring index.
//!
//! Entries carry a phase bit: the producer writes 1 in the first lap over zeroed memory and flips it at every wrap (C.4). Positions are
//! raw indices below the depth, never free-running counters, and the depth may be any number, so nothing here masks by a power of two.

/// The consumer's place in a ring of phase-marked entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PhaseRing {
    depth: u32,
    head: u32,
    phase: bool,
}

impl PhaseRing {
    /// Starts at index 0 expecting phase 1, over a ring of `depth_entries` zeroed entries, 1 to 65,536.
    pub const fn new(depth_entries: u32) -> Option<Self> {
        if depth_entries == 0 || depth_entries > 0x1_0000 {
            return None;
        }
        Some(Self { depth: depth_entries, head: 0, phase: true })
    }

    /// Index of the next entry to look at.
    pub const fn head(&self) -> u16 {
        self.head as u16
    }

    /// Entries in the ring.
    pub const fn depth_entries(&self) -> u32 {
        self.depth
    }

    /// The phase that a new entry at the head must show.
    pub const fn expected_phase(&self) -> bool {
        self.phase
    }

    /// True if an entry with this phase bit, read at the head, is new.
    pub const fn is_new(&self, entry_phase: bool) -> bool {
        entry_phase == self.phase
    }

    /// Passes the entry at the head.
    pub const fn advance(&mut self) {
        self.head += 1;
        if self.head == self.depth {
            self.head = 0;
            self.phase = !self.phase;
        }
    }
}

/// A peer named a ring position that it may not name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadIndex {
    /// At or beyond the depth.
    OutOfRange {
        /// The index named.
        index: u16,
        /// Entries in the ring.
        depth_entries: u32,
    },
    /// A head that would pass the tail, or a tail that would pass the head.
    Overtakes {
        /// The index named.
        index: u16,
        /// Where the head is.
        head: u16,
        /// Where the tail is.
        tail: u16,
    },
}

/// Both ends of a ring, as its owner keeps them: positions and their wrap signature bits.
///
/// At most `depth − 1` entries are outstanding, so that head = tail means empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingCursors {
    depth: u32,
    head: u32,
    tail: u32,
    head_wrap: bool,
    tail_wrap: bool,
}

impl RingCursors {
    /// An empty ring of `depth_entries`, 2 to 65,536.
    pub const fn new(depth_entries: u32) -> Option<Self> {
        if depth_entries < 2 || depth_entries > 0x1_0000 {
            return None;
        }
        Some(Self { depth: depth_entries, head: 0, tail: 0, head_wrap: false, tail_wrap: false })
    }

    /// A ring that continues where a context says it was; `None` if the positions do not fit the depth.
    pub const fn at(depth_entries: u32, head: u16, tail: u16, head_wrap: bool, tail_wrap: bool) -> Option<Self> {
        match Self::new(depth_entries) {
            Some(empty) if (head as u32) < depth_entries && (tail as u32) < depth_entries => {
                Some(Self { head: head as u32, tail: tail as u32, head_wrap, tail_wrap, ..empty })
            }
            _ => None,
        }
    }

    /// Entries in the ring.
    pub const fn depth_entries(&self) -> u32 {
        self.depth
    }
    /// Index of the oldest outstanding entry.
    pub const fn head(&self) -> u16 {
        self.head as u16
    }
    /// Index of the next free slot.
    pub const fn tail(&self) -> u16 {
        self.tail as u16
    }
    /// Flips each time the head passes the end.
    pub const fn head_wrap(&self) -> bool {
        self.head_wrap
    }
    /// Flips each time the tail passes the end.
    pub const fn tail_wrap(&self) -> bool {
        self.tail_wrap
    }
    /// The phase bit for an entry written at the tail: 1 in the first lap.
    pub const fn tail_phase(&self) -> bool {
        !self.tail_wrap
    }
    /// Outstanding entries.
    pub const fn used(&self) -> u32 {
        if self.tail >= self.head { self.tail - self.head } else { self.depth - self.head + self.tail }
    }
    /// Slots that may still be filled.
    pub const fn free(&self) -> u32 {
        self.depth - 1 - self.used()
    }
    /// True if nothing is outstanding.
    pub const fn is_empty(&self) -> bool {
        self.head == self.tail
    }
    /// True at `depth − 1` outstanding entries.
    pub const fn is_full(&self) -> bool {
        self.free() == 0
    }

    /// Takes one slot at the tail; false, and nothing done, if the ring is full.
    pub const fn push(&mut self) -> bool {
        if self.is_full() {
            return false;
        }
        self.tail += 1;
        if self.tail == self.depth {
            self.tail = 0;
            self.tail_wrap = !self.tail_wrap;
        }
        true
    }

    /// Gives one slot back at the head; false, and nothing done, if the ring is empty.
    pub const fn pop(&mut self) -> bool {
        if self.is_empty() {
            return false;
        }
        self.head += 1;
        if self.head == self.depth {
            self.head = 0;
            self.head_wrap = !self.head_wrap;
        }
        true
    }

    /// Moves the tail to where a producer's doorbell says; returns how many entries that adds, 0 if it was there already.
    ///
    /// # Errors
    /// [`BadIndex`]; nothing is then changed.
    #[inline(always)]
    pub const fn move_tail(&mut self, index: u16) -> Result<u32, BadIndex> {
        let to = index as u32;
        if to >= self.depth {
            return Err(BadIndex::OutOfRange { index, depth_entries: self.depth });
        }
        let added = if to >= self.tail { to - self.tail } else { self.depth - self.tail + to };
        if added > self.free() {
            return Err(BadIndex::Overtakes { index, head: self.head(), tail: self.tail() });
        }
        if to < self.tail {
            self.tail_wrap = !self.tail_wrap;
        }
        self.tail = to;
        Ok(added)
    }

    /// Moves the head to where a consumer's doorbell says; returns how many entries that frees.
    ///
    /// # Errors
    /// [`BadIndex`]; nothing is then changed.
    #[inline(always)]
    pub const fn move_head(&mut self, index: u16) -> Result<u32, BadIndex> {
        let to = index as u32;
        if to >= self.depth {
            return Err(BadIndex::OutOfRange { index, depth_entries: self.depth });
        }
        let freed = if to >= self.head { to - self.head } else { self.depth - self.head + to };
        if freed > self.used() {
            return Err(BadIndex::Overtakes { index, head: self.head(), tail: self.tail() });
        }
        if to < self.head {
            self.head_wrap = !self.head_wrap;
        }
        self.head = to;
        Ok(freed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every ring of depth 2 to 4 (and 5, not a power of two), every sequence of pushes and pops of 12 steps, against a plain counter.
    #[test]
    fn cursors_agree_with_counters_for_every_short_history() {
        // Miri sees shorter histories.
        let steps = if cfg!(miri) { 6 } else { 12 };
        for depth in 2..=5u32 {
            for history in 0..1u32 << steps {
                let mut ring = RingCursors::new(depth).unwrap();
                let mut consumer = PhaseRing::new(depth).unwrap();
                let mut phases = [false; 5];
                let (mut pushed, mut popped) = (0u32, 0u32);
                for step in 0..steps {
                    if history >> step & 1 == 1 {
                        let slot = ring.tail() as usize;
                        let phase = ring.tail_phase();
                        let done = ring.push();
                        assert_eq!(done, pushed - popped < depth - 1);
                        if done {
                            phases[slot] = phase;
                            pushed += 1;
                        }
                    } else {
                        let new = consumer.is_new(phases[consumer.head() as usize]);
                        assert_eq!(new, pushed > popped, "depth {depth} history {history:#x} step {step}");
                        if new {
                            consumer.advance();
                            assert!(ring.pop());
                            popped += 1;
                        }
                    }
                    assert_eq!(ring.used(), pushed - popped);
                    assert_eq!(u32::from(ring.tail()), pushed % depth);
                    assert_eq!(u32::from(ring.head()), popped % depth);
                    assert_eq!(ring.tail_wrap(), (pushed / depth) % 2 == 1);
                    assert_eq!(ring.head_wrap(), (popped / depth) % 2 == 1);
                    assert_eq!(consumer.head(), ring.head());
                }
            }
        }
    }

    #[test]
    fn moves_refuse_what_overtakes_and_change_nothing() {
        let mut ring = RingCursors::new(4).unwrap();
        assert_eq!(ring.move_tail(4), Err(BadIndex::OutOfRange { index: 4, depth_entries: 4 }));
        assert_eq!(ring.move_tail(3), Ok(3));
        assert_eq!(ring.move_tail(0), Err(BadIndex::Overtakes { index: 0, head: 0, tail: 3 }));
        assert_eq!(ring.move_tail(3), Ok(0));
        assert_eq!(ring.move_head(2), Ok(2));
        assert_eq!(ring.move_tail(1), Ok(2));
        assert!(ring.tail_wrap());
        assert_eq!(ring.move_head(2), Ok(0));
        assert_eq!(ring.move_head(1), Ok(3));
        assert!(ring.head_wrap() && ring.is_empty());
        assert_eq!(ring.move_head(2), Err(BadIndex::Overtakes { index: 2, head: 1, tail: 1 }));
    }

    #[test]
    fn depths_out_of_range_are_refused() {
        assert!(PhaseRing::new(0).is_none() && PhaseRing::new(0x1_0001).is_none());
        assert!(RingCursors::new(1).is_none() && RingCursors::new(0x1_0001).is_none());
        assert!(RingCursors::at(4, 4, 0, false, false).is_none());
        let mut deepest = RingCursors::new(0x1_0000).unwrap();
        assert_eq!(deepest.move_tail(0xffff), Ok(0xffff));
        assert!(deepest.is_full() && !deepest.push());
        assert_eq!(deepest.move_head(0xffff), Ok(0xffff));
        assert!(deepest.push());
        assert_eq!((deepest.tail(), deepest.tail_wrap()), (0, true));
    }
}
