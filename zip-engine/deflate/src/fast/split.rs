//! Where a block should end: where the symbols that come differ from those it has.
//!
//! Symbols are counted in a few kinds. When enough new ones are there, their shares are compared with those of the block so far; where the difference is
//! large, more so the longer the block is, it ends.

/// Kinds of literals, by two high bits and the lowest; then short and long matches.
const LITERAL_KINDS: usize = 8;
const KINDS: usize = LITERAL_KINDS + 2;
/// New symbols that are compared with those before.
const NEW: u32 = 512;
/// Matches of so many bytes are long ones.
const LONG: usize = 9;
/// Fewest bytes of a block that ends so.
pub(crate) const SPLIT_BYTES_MIN: usize = 5 * 1024;

/// Symbols of the block so far, and the new ones.
#[derive(Clone, Copy)]
pub(crate) struct Splitter {
    before: [u32; KINDS],
    new: [u32; KINDS],
    before_all: u32,
    new_all: u32,
}

impl Splitter {
    pub(crate) const fn new() -> Self {
        Splitter { before: [0; KINDS], new: [0; KINDS], before_all: 0, new_all: 0 }
    }

    /// Counts a literal.
    #[inline(always)]
    pub(crate) fn literal(&mut self, byte: u8) {
        self.new[usize::from(byte >> 5 & 6 | byte & 1)] += 1;
        self.new_all += 1;
    }

    /// Counts a match.
    #[inline(always)]
    pub(crate) fn a_match(&mut self, len: usize) {
        self.new[LITERAL_KINDS + usize::from(len >= LONG)] += 1;
        self.new_all += 1;
    }

    /// Returns whether there are enough new symbols for a comparison.
    #[inline(always)]
    pub(crate) fn has_enough(&self) -> bool {
        self.new_all >= NEW
    }

    /// Returns whether the new symbols differ so much from those of the block before them, which has so many bytes, that it should end there.
    #[inline(never)]
    pub(crate) fn differs(&self, bytes: usize) -> bool {
        let (before_all, new_all) = (u64::from(self.before_all), u64::from(self.new_all));
        // The sum of the differences of the shares, times both totals: 0 for the same, twice the product for nothing in common.
        let difference: u64 = self
            .before
            .iter()
            .zip(&self.new)
            .map(|(&before, &new)| (u64::from(before) * new_all).abs_diff(u64::from(new) * before_all))
            .sum();
        // 0.4 of one share, less a little for every 4 KiB.
        let cutoff = before_all * new_all * 2 / 5;
        before_all > 0 && bytes >= SPLIT_BYTES_MIN && difference + (bytes as u64 / 4096) * before_all >= cutoff
    }

    /// Makes the new symbols part of the block.
    #[inline(never)]
    pub(crate) fn merge(&mut self) {
        for (before, new) in self.before.iter_mut().zip(&mut self.new) {
            *before += core::mem::take(new);
        }
        self.before_all += core::mem::take(&mut self.new_all);
    }

    /// Makes the new symbols all that the block has: it begins with them.
    pub(crate) fn keep_new(&mut self) {
        self.before = core::mem::take(&mut self.new);
        self.before_all = core::mem::take(&mut self.new_all);
    }
}
