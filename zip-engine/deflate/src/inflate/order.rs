//! The order of codewords: symbols of a code by the lengths of their codewords (RFC 1951 §3.2.2).

use crate::constants::CODEWORD_BITS_MAX;

/// A list of symbols per length, each from its last symbol to its first.
///
/// Lists grow while the code lengths are read, so that nothing is counted or sorted afterwards. `SYMBOLS` is a power of two and more than the symbols of the
/// code: an index is made valid by a mask.
pub(super) struct Order<const SYMBOLS: usize> {
    /// Of each length: how many symbols have it (31:16) and the last of them (15:0). Those of length 0 have no codeword.
    lists: [u32; CODEWORD_BITS_MAX + 1],
    /// The symbol before each in its list; anything for the first.
    before: [u16; SYMBOLS],
}

impl<const SYMBOLS: usize> Order<SYMBOLS> {
    pub(super) const fn new() -> Self {
        assert!(SYMBOLS.is_power_of_two());
        Order { lists: [0; CODEWORD_BITS_MAX + 1], before: [0; SYMBOLS] }
    }

    /// Empties the lists.
    pub(super) fn clear(&mut self) {
        self.lists = [0; CODEWORD_BITS_MAX + 1];
    }

    /// Adds the next symbol; the symbols of a list grow.
    #[inline(always)]
    pub(super) fn push(&mut self, symbol: usize, length: usize) {
        let list = &mut self.lists[length & CODEWORD_BITS_MAX];
        self.before[symbol % SYMBOLS] = *list as u16;
        *list = (*list | 0xffff) + 1 + symbol as u32;
    }

    /// Makes the lists those of `lengths`.
    pub(super) fn set(&mut self, lengths: &[u8]) {
        self.clear();
        for (symbol, &length) in lengths.iter().enumerate() {
            self.push(symbol, usize::from(length));
        }
    }

    /// Returns how many symbols have codewords of `length` bits.
    #[inline(always)]
    pub(super) fn count(&self, length: usize) -> u32 {
        self.lists[length] >> 16
    }

    /// Returns the last symbol of `length`, if there is one.
    #[inline(always)]
    pub(super) fn last(&self, length: usize) -> usize {
        self.lists[length] as usize % SYMBOLS
    }

    /// Returns the symbol before `symbol` of the same length, if there is one.
    #[inline(always)]
    pub(super) fn before(&self, symbol: usize) -> usize {
        usize::from(self.before[symbol % SYMBOLS]) % SYMBOLS
    }
}
