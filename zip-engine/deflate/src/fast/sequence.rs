//! What matching hands to putting: sequences, and how often each symbol occurs in them.

use crate::constants::*;

/// Symbols rounded up, so that a mask keeps an index in range.
pub(crate) const LENGTH_SLOTS: usize = 32;

/// Symbol - 257 of each length - 3.
pub(crate) static LENGTH_SYMBOL: [u8; 256] = {
    let mut symbols = [0; 256];
    let mut symbol = 0;
    while symbol < 29 {
        let mut length = LENGTH_BASE[symbol] as usize;
        while length <= MATCH_BYTES_MAX {
            symbols[length - MATCH_BYTES_MIN] = symbol as u8;
            length += 1;
        }
        symbol += 1;
    }
    symbols
};

/// Returns symbol and number of extra bits of a distance, given minus one.
#[inline(always)]
pub(crate) fn distance_symbol(index: u32) -> (usize, u32) {
    // Below 4 the symbol is the index. The highest bit and the one below it are the symbol, the rest are extra bits.
    let extra = 30 - (index | 2).leading_zeros();
    ((2 * extra + (index >> extra)) as usize, extra)
}

/// A run of literals and the match behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence(u32);

impl Sequence {
    /// No literals and no match.
    pub(crate) const EMPTY: Self = Sequence(0);
    /// Most literals of one sequence.
    pub(crate) const RUN_MAX: usize = 255;

    /// Packs run (31:24), a match (23), its length - 3 (22:15) and distance - 1 (14:0).
    #[inline(always)]
    pub(crate) fn new(run: usize, len: usize, distance: usize) -> Self {
        // By addition, so that the constants are one, which is an immediate operand.
        const MATCH: u32 = (1 << 23) - ((MATCH_BYTES_MIN as u32) << 15);
        Sequence(((run as u32) << 24).wrapping_add((len as u32) << 15).wrapping_add(distance as u32 - 1).wrapping_add(MATCH))
    }

    pub(crate) fn literals(run: usize) -> Self {
        Sequence((run << 24) as u32)
    }

    /// Literals before the match.
    #[inline(always)]
    pub(crate) fn run(self) -> usize {
        (self.0 >> 24) as usize
    }

    /// Whether there is a match behind them.
    #[inline(always)]
    pub(crate) fn is_match(self) -> bool {
        self.0 & 1 << 23 != 0
    }

    /// Match length - 3.
    #[inline(always)]
    pub(crate) fn length_index(self) -> usize {
        (self.0 >> 15 & 0xff) as usize
    }

    /// Distance - 1.
    #[inline(always)]
    pub(crate) fn distance_index(self) -> u32 {
        self.0 & 0x7fff
    }
}

/// Puts a run of literals and the match behind it, and returns how many sequences there are then.
#[inline(always)]
pub(crate) fn put_match(sequences: &mut [Sequence], count: usize, run: usize, len: usize, distance: usize) -> usize {
    let (mut count, mut run) = (count, run);
    if run > Sequence::RUN_MAX {
        (count, run) = put_long_run(sequences, count, run);
    }
    sequences[count] = Sequence::new(run, len, distance);
    count + 1
}

/// Puts what of a run is too long for one sequence into sequences of its own; returns how many there are then, for which there is one more place, and the rest.
#[cold]
pub(super) fn put_long_run(sequences: &mut [Sequence], mut count: usize, mut run: usize) -> (usize, usize) {
    while run > Sequence::RUN_MAX {
        sequences[count] = Sequence::literals(Sequence::RUN_MAX);
        count += 1;
        run -= Sequence::RUN_MAX;
    }
    assert!(count < sequences.len());
    (count, run)
}

/// How often each symbol occurs in the block being collected.
pub struct Counts {
    /// Literals, end of block, lengths.
    pub(crate) litlen: [u32; 257 + LENGTH_SLOTS],
    /// Distances.
    pub(crate) distance: [u32; DISTANCE_SYMBOLS],
}

impl Counts {
    pub(crate) const fn new() -> Self {
        Counts { litlen: [0; 257 + LENGTH_SLOTS], distance: [0; DISTANCE_SYMBOLS] }
    }

    /// Counts nothing.
    pub(crate) fn clear(&mut self) {
        super::zero_all(&mut self.litlen);
        super::zero_all(&mut self.distance);
    }

    /// Counts the symbols of sequences that make the first of these bytes.
    pub(crate) fn of(data: &[u8], sequences: &[Sequence]) -> Self {
        let mut counts = Self::new();
        let mut at = 0;
        for sequence in sequences {
            for &literal in &data[at..at + sequence.run()] {
                counts.literal(literal);
            }
            at += sequence.run();
            if sequence.is_match() {
                let len = sequence.length_index() + MATCH_BYTES_MIN;
                counts.a_match(len, sequence.distance_index() as usize + 1);
                at += len;
            }
        }
        counts
    }

    /// Takes other counts, which are a part of these, away.
    pub(crate) fn take(&mut self, part: &Self) {
        let all = self.litlen.iter_mut().chain(&mut self.distance);
        for (count, part) in all.zip(part.litlen.iter().chain(&part.distance)) {
            *count -= part;
        }
    }

    /// Counts a literal.
    #[inline(always)]
    pub(crate) fn literal(&mut self, byte: u8) {
        self.litlen[usize::from(byte)] += 1;
    }

    /// Counts a match.
    #[inline(always)]
    pub(crate) fn a_match(&mut self, len: usize, distance: usize) {
        self.match_of(len, distance_symbol(distance as u32 - 1).0);
    }

    /// Counts a match whose distance has this symbol.
    #[inline(always)]
    pub(crate) fn match_of(&mut self, len: usize, distance_symbol: usize) {
        self.length(LENGTH_SYMBOL[(len - MATCH_BYTES_MIN) & 0xff].into());
        self.distance[distance_symbol % DISTANCE_SYMBOLS] += 1;
    }

    /// Counts a length symbol, less 257.
    #[inline(always)]
    pub(crate) fn length(&mut self, symbol: usize) {
        self.litlen[257 + symbol % LENGTH_SLOTS] += 1;
    }

    /// Counts a distance.
    ///
    /// # Safety
    /// It is 1 to 32 KiB.
    #[inline(always)]
    pub(crate) unsafe fn distance(&mut self, distance: usize) {
        let index = distance as u32 - 1;
        // As `distance_symbol`: twice the place of the highest bit, and the one below it.
        let above = (index | 2).leading_zeros();
        let symbol = ((index << above >> 30) as usize).wrapping_sub(2 * (above as usize)).wrapping_add(60);
        debug_assert!(symbol < DISTANCE_SYMBOLS);
        // SAFETY: what `above` counts is 17 to 30 of 32 by the contract, so that 60 - 2 * `above` is 0 to 26, and two bits are at most 3.
        unsafe { *self.distance.get_unchecked_mut(symbol) += 1 };
    }
}

/// Where the matcher stands.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    /// First byte that is not yet matched.
    pub(crate) pos: usize,
    /// First literal of the sequence being collected.
    pub(crate) run_start: usize,
    /// Sequences collected.
    pub(crate) count: usize,
}

impl Cursor {
    /// At the beginning of the data.
    pub(crate) const ZERO: Self = Cursor { pos: 0, run_start: 0, count: 0 };
}
