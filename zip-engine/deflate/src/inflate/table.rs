//! Decode tables: built from code lengths, read with one look-up for most symbols.
//!
//! A table has `1 << root` entries indexed by the next `root` bits of the stream, and after them the subtables of the prefixes
//! whose codewords are longer. One entry (`u32`):
//!
//! | kind | 31 | 30:16 | 15 | 14 | 13 | 11:8 | 7:0 |
//! |---|---|---|---|---|---|---|---|
//! | literal | 1 | literal | 0 | 0 | 0 | codeword bits | codeword bits |
//! | length | 0 | base length | 0 | 0 | 0 | codeword bits | codeword + extra bits |
//! | distance | 0 | base distance | 0 | 0 | 0 | codeword bits | codeword + extra bits |
//! | precode symbol | 0 | repeats, symbol | 0 | 0 | 0 | codeword bits | codeword + extra bits |
//! | end of block | 0 | 0 | 1 | 0 | 1 | codeword bits | codeword bits |
//! | no such symbol | 0 | 0 | 1 | 0 | 0 | codeword bits | codeword bits |
//! | subtable pointer | 0 | first entry | 1 | 1 | 0 | index bits | `root` |
//!
//! Of a precode entry, 20:16 are the symbol and 24:21 the least number of code lengths that it stands for.
//!
//! Codeword bits count from the first bit that the table is indexed by, so in a subtable they leave out the `root` bits before it.
//!
//! Size: a complete code of 288 symbols of at most 15 bits needs at most 2342 entries with an 11-bit root, one of 32 symbols 402 with
//! an 8-bit root (`enough 288 11 15` and `enough 32 8 15` of zlib's examples), the precode 128. Incomplete codes have one codeword
//! of one bit and need two.

use super::order::Order;
use crate::constants::*;
pub(super) use crate::fast::inflate::entry::{BLOCK_END, EXCEPTIONAL, LITERAL, SUBTABLE};
use crate::fast::inflate::{DISTANCE_ENTRIES, DISTANCE_ROOT, LITLEN_ENTRIES, LITLEN_ROOT};
use crate::fast::words::double;
use core::cmp::Ordering;

/// Entries of the precode table.
pub(super) const PRECODE_ENTRIES: usize = 1 << PRECODE_BITS_MAX;

/// Why code lengths make no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodeError {
    /// More codewords than bit patterns.
    OverSubscribed,
    /// Bit patterns left over.
    Incomplete,
}

/// Which incomplete codes are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incomplete {
    /// None but the empty one (the precode; its symbols then all read as 0).
    Refused,
    /// The empty code and a single codeword of one bit (literal/length and distance).
    SingleBit,
}

/// The literal/length symbols in the order of their codewords.
pub(super) type LitLenOrder = Order<512>;
/// The distance symbols in the order of their codewords.
pub(super) type DistanceOrder = Order<32>;
/// The symbols of the precode in the order of their codewords.
type PrecodeOrder = Order<32>;

/// Entries of the literal/length symbols without their codeword bits.
static LITLEN_SYMBOL_ENTRIES: [u32; 512] = {
    let mut entries = [EXCEPTIONAL; 512];
    let mut symbol = 0;
    while symbol < END_OF_BLOCK {
        entries[symbol] = LITERAL | (symbol as u32) << 16;
        symbol += 1;
    }
    entries[END_OF_BLOCK] = EXCEPTIONAL | BLOCK_END;
    let mut i = 0;
    while i < LENGTH_BASE.len() {
        entries[257 + i] = (LENGTH_BASE[i] as u32) << 16 | LENGTH_EXTRA[i] as u32;
        i += 1;
    }
    entries
};

/// Entries of the distance symbols without their codeword bits.
static DISTANCE_SYMBOL_ENTRIES: [u32; DISTANCE_SYMBOLS] = {
    let mut entries = [EXCEPTIONAL; DISTANCE_SYMBOLS];
    let mut i = 0;
    while i < DISTANCE_BASE.len() {
        entries[i] = (DISTANCE_BASE[i] as u32) << 16 | DISTANCE_EXTRA[i] as u32;
        i += 1;
    }
    entries
};

/// Entries of the precode symbols without their codeword bits.
static PRECODE_SYMBOL_ENTRIES: [u32; 32] = {
    let mut entries = [0; 32];
    let mut symbol = 0;
    while symbol < PRECODE_SYMBOLS {
        // §3.2.7: repeat the last length 3 to 6 times, 0 3 to 10 times, 0 11 to 138 times.
        let (repeats, extra) = match symbol {
            16 => (3, 2),
            17 => (3, 3),
            18 => (11, 7),
            _ => (1, 0),
        };
        entries[symbol] = repeats << 21 | (symbol as u32) << 16 | extra;
        symbol += 1;
    }
    entries
};

/// Set in precode entries of symbols that repeat code lengths: 16 to 18.
pub(super) const PRECODE_REPEATS: u32 = 16 << 16;

/// Returns the symbol of a precode entry and, from it and the `bits` it was looked up by, how many code lengths it stands for.
#[inline(always)]
pub(super) fn precode_symbol_and_repeats(entry: u32, bits: u64) -> (u8, usize) {
    let extra = (bits & ((1 << (entry & 0xf)) - 1)) >> (entry >> 8 & 0xf);
    ((entry >> 16 & 0x1f) as u8, (entry >> 21) as usize + extra as usize)
}

/// A decode table of `ENTRIES` entries, of which the first `1 << ROOT` are the root.
pub(crate) struct Table<const ENTRIES: usize, const ROOT: usize> {
    pub(crate) entries: [u32; ENTRIES],
}

/// The tables of a block.
pub(crate) struct Tables {
    pub(crate) litlen: LitLenTable,
    pub(crate) distances: DistanceTable,
}

/// The literal/length table.
pub(crate) type LitLenTable = Table<LITLEN_ENTRIES, LITLEN_ROOT>;
/// The distance table.
pub(crate) type DistanceTable = Table<DISTANCE_ENTRIES, DISTANCE_ROOT>;
/// The table of the precode.
pub(super) type PrecodeTable = Table<PRECODE_ENTRIES, PRECODE_BITS_MAX>;

impl<const ENTRIES: usize, const ROOT: usize> Table<ENTRIES, ROOT> {
    pub(super) const fn new() -> Self {
        Table { entries: [0; ENTRIES] }
    }

    /// Looks up the symbol that the bits begin with; bits past the known ones are 0.
    ///
    /// Returns its entry and the bits before it that led to a subtable. The symbol is known only if all its bits are.
    #[inline]
    pub(super) fn lookup(&self, bits: u64) -> (u32, u32) {
        let entry = self.entries[bits as usize % (1 << ROOT)];
        if entry & (EXCEPTIONAL | SUBTABLE) != EXCEPTIONAL | SUBTABLE {
            return (entry, 0);
        }
        (self.entries[subtable_index(entry, bits >> ROOT)], ROOT as u32)
    }
}

/// Returns the index of the entry that `bits` select in the subtable of `pointer`.
#[inline(always)]
pub(super) fn subtable_index(pointer: u32, bits: u64) -> usize {
    let index_bits = (pointer >> 8) & 0xf;
    (pointer >> 16) as usize + (bits as usize & ((1 << index_bits) - 1))
}

impl LitLenTable {
    /// Builds the literal/length table.
    pub(super) fn build_litlen(&mut self, order: &LitLenOrder) -> Result<(), CodeError> {
        build::<_, LITLEN_ROOT, _>(&mut self.entries, order, &LITLEN_SYMBOL_ENTRIES, Incomplete::SingleBit)
    }
}

impl DistanceTable {
    /// Builds the distance table.
    pub(super) fn build_distance(&mut self, order: &DistanceOrder) -> Result<(), CodeError> {
        build::<_, DISTANCE_ROOT, _>(&mut self.entries, order, &DISTANCE_SYMBOL_ENTRIES, Incomplete::SingleBit)
    }
}

impl PrecodeTable {
    /// Builds the precode table.
    pub(super) fn build_precode(&mut self, lengths: &[u8; PRECODE_SYMBOLS]) -> Result<(), CodeError> {
        let mut order = PrecodeOrder::new();
        order.set(lengths);
        build::<_, PRECODE_BITS_MAX, _>(&mut self.entries, &order, &PRECODE_SYMBOL_ENTRIES, Incomplete::Refused)
    }
}

/// Adds the codeword bits to the entry of a symbol: once alone, once to what is consumed in all.
const fn with_codeword_bits(symbol_entry: u32, bits: usize) -> u32 {
    symbol_entry + ((bits as u32) << 8) + bits as u32
}

/// All bit patterns, where a codeword of `len` bits takes `1 << (32 - len)`.
const ALL_PATTERNS: u64 = 1 << 32;

/// Fills `table`, of whose index bits `ROOT` are the root's, with the code of `order`.
///
/// Codewords are assigned in order of (length, symbol), §3.2.2, and written with their bits reversed, as the stream has them. While codewords of `len` bits are
/// assigned the table is kept `1 << len` entries long; to go one bit further it is doubled by a copy. So no entry is filled in a loop of strides but those of
/// subtables. Codewords are kept at the top of a word, from where one reversal brings them to the bottom.
#[inline(always)]
fn build<const ENTRIES: usize, const ROOT: usize, const SYMBOLS: usize>(
    table: &mut [u32; ENTRIES],
    order: &Order<SYMBOLS>,
    symbol_entries: &[u32; SYMBOLS],
    incomplete: Incomplete,
) -> Result<(), CodeError> {
    // Patterns taken so far: the codeword behind the last one.
    let mut taken = 0u64;
    for len in 1..=ROOT {
        if taken != 0 {
            double(table, 1 << (len - 1));
        }
        let patterns = 1u32 << (32 - len);
        taken += u64::from(order.count(len)) * u64::from(patterns);
        // The last of them first, as they are listed.
        let mut codeword = taken as u32;
        let mut symbol = order.last(len);
        for _ in 0..order.count(len) {
            codeword = codeword.wrapping_sub(patterns);
            table[codeword.reverse_bits() as usize % (1 << ROOT)] = with_codeword_bits(symbol_entries[symbol], len);
            symbol = order.before(symbol);
        }
    }
    let mut long = 0;
    for len in ROOT + 1..=CODEWORD_BITS_MAX {
        taken += u64::from(order.count(len)) << (32 - len);
        long += order.count(len);
    }
    match taken.cmp(&ALL_PATTERNS) {
        Ordering::Greater => Err(CodeError::OverSubscribed),
        Ordering::Less => {
            let root = &mut table[..1 << ROOT];
            root.fill(with_codeword_bits(EXCEPTIONAL, 1));
            match incomplete {
                // The precode without symbols reads as symbol 0, one bit each: the missing end-of-block code is then what is reported.
                Incomplete::Refused if taken == 0 => root.fill(with_codeword_bits(symbol_entries[0], 1)),
                Incomplete::SingleBit if taken == 0 => {}
                Incomplete::SingleBit if order.count(1) == 1 && taken == ALL_PATTERNS / 2 => {
                    let entry = with_codeword_bits(symbol_entries[order.last(1)], 1);
                    root.iter_mut().step_by(2).for_each(|slot| *slot = entry);
                }
                _ => return Err(CodeError::Incomplete),
            }
            Ok(())
        }
        Ordering::Equal => {
            if long != 0 {
                fill_subtables::<ENTRIES, ROOT, SYMBOLS>(table, order, symbol_entries);
            }
            Ok(())
        }
    }
}

/// Fills the subtables of a complete code, from the last codeword of all to the first that is longer than the root.
///
/// Codewords with a prefix follow each other, so its subtable is filled before the next is begun; the first that comes is a longest one and says how many index
/// bits there are.
fn fill_subtables<const ENTRIES: usize, const ROOT: usize, const SYMBOLS: usize>(
    table: &mut [u32; ENTRIES],
    order: &Order<SYMBOLS>,
    symbol_entries: &[u32; SYMBOLS],
) {
    let mut free = 1 << ROOT;
    let (mut subtable, mut index_bits, mut prefix) = (0, 0, usize::MAX);
    // The one behind the last.
    let mut codeword = 0u32;
    for len in (ROOT + 1..=CODEWORD_BITS_MAX).rev() {
        let behind_root = len - ROOT;
        let mut symbol = order.last(len);
        for _ in 0..order.count(len) {
            codeword = codeword.wrapping_sub(1 << (32 - len));
            let reversed = codeword.reverse_bits() as usize;
            if reversed % (1 << ROOT) != prefix {
                prefix = reversed % (1 << ROOT);
                (subtable, index_bits) = (free, behind_root);
                free += 1 << index_bits;
                table[prefix] = EXCEPTIONAL | SUBTABLE | (subtable as u32) << 16 | (index_bits as u32) << 8 | ROOT as u32;
            }
            let entry = with_codeword_bits(symbol_entries[symbol], behind_root);
            let mut index = reversed >> ROOT;
            while index < 1 << index_bits {
                table[subtable + index] = entry;
                index += 1 << behind_root;
            }
            symbol = order.before(symbol);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes one symbol bit by bit from canonical codewords: RFC 1951 §3.2.2 and nothing else. Returns (symbol, bits).
    fn decode_slowly(lengths: &[u8], bits: u64) -> Option<(usize, u32)> {
        let mut code = 0u32;
        let mut next = [0u32; 17];
        for len in 1..=15 {
            let before = lengths.iter().filter(|&&l| l != 0 && usize::from(l) == len - 1).count() as u32;
            code = (code + before) << 1;
            next[len] = code;
        }
        let mut value = 0u32;
        for len in 1..=15u32 {
            value = (value << 1) | (bits >> (len - 1) & 1) as u32;
            let mut code = next[len as usize];
            for (symbol, _) in lengths.iter().enumerate().filter(|&(_, &l)| u32::from(l) == len) {
                if code == value {
                    return Some((symbol, len));
                }
                code += 1;
            }
        }
        None
    }

    fn build_litlen(table: &mut LitLenTable, lengths: &[u8]) -> Result<(), CodeError> {
        let mut order = LitLenOrder::new();
        order.set(lengths);
        table.build_litlen(&order)
    }

    fn check_litlen(lengths: &[u8]) {
        let mut table = LitLenTable::new();
        build_litlen(&mut table, lengths).unwrap();
        let mut seed = 1u64;
        for _ in 0..4000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let bits = seed >> 20;
            let (entry, before) = table.lookup(bits);
            match decode_slowly(lengths, bits) {
                Some((symbol, len)) => {
                    assert_eq!(before + (entry >> 8 & 0xf), len);
                    assert_eq!(entry & !0xfff, LITLEN_SYMBOL_ENTRIES[symbol] & !0xfff, "symbol {symbol}");
                }
                None => assert_eq!(entry & (EXCEPTIONAL | SUBTABLE | BLOCK_END), EXCEPTIONAL),
            }
        }
    }

    #[test]
    fn fixed_code_decodes_as_the_rfc_says() {
        check_litlen(&FIXED_LITLEN_LENGTHS);
    }

    #[test]
    fn long_codewords_go_through_subtables() {
        // 1, 2, 3, ... 14, 15, 15 and the same with the order reversed.
        let mut lengths = [0u8; 286];
        for i in 0..15 {
            lengths[200 + i] = i as u8 + 1;
        }
        lengths[256] = 15;
        check_litlen(&lengths);
        lengths[200..215].reverse();
        check_litlen(&lengths);
    }

    #[test]
    fn random_complete_codes_fit_and_decode() {
        // Split random leaves until 286 of at most 15 bits are there.
        let mut seed = 7u64;
        for _ in 0..40 {
            let mut lengths = [0u8; 286];
            let mut leaves = 1;
            while leaves < 286 {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let at = (seed >> 33) as usize % leaves;
                if lengths[at] < 15 {
                    lengths[at] += 1;
                    lengths[leaves] = lengths[at];
                    leaves += 1;
                }
            }
            check_litlen(&lengths);
        }
    }

    #[test]
    fn incomplete_and_over_subscribed_codes_get_zlibs_verdict() {
        let mut litlen = LitLenTable::new();
        assert_eq!(build_litlen(&mut litlen, &[1, 1, 1]), Err(CodeError::OverSubscribed));
        assert_eq!(build_litlen(&mut litlen, &[2, 2]), Err(CodeError::Incomplete));
        assert_eq!(build_litlen(&mut litlen, &[0, 2]), Err(CodeError::Incomplete));
        assert_eq!(build_litlen(&mut litlen, &[0, 1]), Ok(()));
        assert_eq!(litlen.lookup(0), (LITERAL | 1 << 16 | 0x101, 0));
        assert_eq!(litlen.lookup(1), (EXCEPTIONAL | 0x101, 0));
        assert_eq!(build_litlen(&mut litlen, &[0; 286]), Ok(()));
        assert_eq!(litlen.lookup(0), (EXCEPTIONAL | 0x101, 0));
        let mut precode = PrecodeTable::new();
        let mut lengths = [0; PRECODE_SYMBOLS];
        assert_eq!(precode.build_precode(&lengths), Ok(()));
        assert_eq!(precode.lookup(1), (1 << 21 | 0x101, 0));
        lengths[3] = 1;
        assert_eq!(precode.build_precode(&lengths), Err(CodeError::Incomplete));
    }

    #[test]
    fn single_codeword_distance_code() {
        let mut table = DistanceTable::new();
        let mut order = DistanceOrder::new();
        order.set(&[0, 0, 0, 0, 1]);
        assert_eq!(table.build_distance(&order), Ok(()));
        // Base 5, one extra bit: one bit of codeword, two consumed.
        assert_eq!(table.lookup(0), (5 << 16 | 0x102, 0));
        assert_eq!(table.lookup(1), (EXCEPTIONAL | 0x101, 0));
    }
}
