//! Ring indices (IHI 0070 3.5.1): the index in the low bits, a wrap bit above it.

/// Bytes of a Command queue entry.
pub const CMD_BYTES: u64 = 16;
/// Bytes of an Event queue entry.
pub const EVENT_BYTES: u64 = 32;
/// Largest log2 of entries that any queue can have.
pub const LOG2_MAX: u32 = 19;

/// A position in a queue of 2^log2 entries. Owns all wrap arithmetic: nobody else adds 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingIndex {
    value: u32,
    log2: u8,
}

impl RingIndex {
    /// Takes the WR or RD field of an index register; bits above the wrap bit are dropped, as hardware does.
    pub const fn new(raw: u32, log2_entries: u32) -> Self {
        let log2 = if log2_entries > LOG2_MAX { LOG2_MAX } else { log2_entries };
        Self { value: raw & ((2 << log2) - 1), log2: log2 as u8 }
    }

    /// The value for the register: wrap bit and index.
    pub const fn raw(self) -> u32 {
        self.value
    }

    /// Number of entries of the queue.
    pub const fn entries(self) -> u32 {
        1 << self.log2
    }

    /// The slot, 0 to entries − 1.
    pub const fn index(self) -> u32 {
        self.value & ((1 << self.log2) - 1)
    }

    /// The wrap bit.
    pub const fn wrap(self) -> u32 {
        self.value >> self.log2
    }

    /// The position `count` entries on, `count` at most twice the entries.
    pub const fn advanced(self, count: u32) -> Self {
        Self { value: (self.value + count) & ((2 << self.log2) - 1), log2: self.log2 }
    }

    /// The next position.
    pub const fn next(self) -> Self {
        self.advanced(1)
    }

    /// Entries between consumer `cons` and producer `self`; `None` if the two are further apart than the queue is long.
    pub const fn used_since(self, cons: Self) -> Option<u32> {
        let distance = self.value.wrapping_sub(cons.value) & ((2 << self.log2) - 1);
        if distance <= self.entries() { Some(distance) } else { None }
    }

    /// True if producer `self` and consumer `cons` show an empty queue.
    pub const fn is_empty(self, cons: Self) -> bool {
        self.value == cons.value
    }

    /// True if producer `self` and consumer `cons` show a full queue.
    pub const fn is_full(self, cons: Self) -> bool {
        self.value ^ cons.value == 1 << self.log2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_every_pair_of_a_small_queue() {
        for log2 in 0..=4_u32 {
            let entries = 1 << log2;
            for cons in 0..2 * entries {
                for used in 0..2 * entries {
                    let c = RingIndex::new(cons, log2);
                    let p = c.advanced(used);
                    assert_eq!(p.used_since(c), (used <= entries).then_some(used), "log2 {log2} cons {cons} used {used}");
                    assert_eq!(p.is_empty(c), used == 0);
                    assert_eq!(p.is_full(c), used == entries);
                }
            }
        }
    }

    #[test]
    fn wrap_sits_above_the_index() {
        let last = RingIndex::new(7, 3);
        assert_eq!((last.index(), last.wrap()), (7, 0));
        assert_eq!(last.next().raw(), 8);
        assert_eq!((last.next().index(), last.next().wrap()), (0, 1));
        assert_eq!(RingIndex::new(15, 3).next().raw(), 0);
        assert_eq!(RingIndex::new(0xffff_fff5, 3).raw(), 5);
        assert_eq!(RingIndex::new(0xf_ffff, 19).index(), 0x7_ffff);
    }
}
