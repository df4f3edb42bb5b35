//! The two loops of fast compression: finding matches, and putting sequences as bits.
//!
//! Matches: one candidate per position from a table of 16-bit buffer positions that fits the first-level cache; two positions a round, so that the
//! loads of one hide behind the other; eight bytes compared by one XOR; symbols counted on the way.

use super::{load64, store64};
use crate::constants::*;
use crate::status::WINDOW_BYTES;

/// Bytes behind the history: the wait for a slide, and the lookahead.
const AHEAD_BYTES: usize = 18 * 1024;
/// Bytes of data that the buffer holds.
pub(crate) const BUFFER_BYTES: usize = WINDOW_BYTES + AHEAD_BYTES;
/// Bytes behind those that may be read but mean nothing.
const PAD_BYTES: usize = 16;
/// Bytes that a round needs between its first position and the end of the data: two positions of eight bytes.
pub(crate) const ROUND_BYTES: usize = 12;
/// Buckets of the hash table, one position each: 16 KiB.
const HASH_BITS: u32 = 13;
/// Shortest match: the bytes that are hashed.
pub(crate) const HASHED_BYTES: usize = 4;
/// Symbols rounded up, so that a mask keeps an index in range.
pub(crate) const LENGTH_SLOTS: usize = 32;

/// The sliding buffer.
pub(crate) type Buffer = [u8; BUFFER_BYTES + PAD_BYTES];

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
pub(crate) struct Sequence(u32);

impl Sequence {
    /// No literals and no match.
    pub(crate) const EMPTY: Self = Sequence(0);
    /// Most literals of one sequence.
    pub(crate) const RUN_MAX: usize = 511;

    /// Packs run (31:23), match length - 3 (22:15; 0 means no match) and distance - 1 (14:0).
    #[inline(always)]
    pub(crate) fn new(run: usize, len: usize, distance: usize) -> Self {
        Sequence((run << 23 | (len - MATCH_BYTES_MIN) << 15 | (distance - 1)) as u32)
    }

    pub(crate) fn literals(run: usize) -> Self {
        Sequence((run << 23) as u32)
    }

    /// Literals before the match.
    #[inline(always)]
    pub(crate) fn run(self) -> usize {
        (self.0 >> 23) as usize
    }

    /// Match length - 3, or 0 for no match.
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

/// How often each symbol occurs in the block being collected.
pub(crate) struct Counts {
    /// Literals, end of block, lengths.
    pub(crate) litlen: [u32; 257 + LENGTH_SLOTS],
    /// Distances.
    pub(crate) distance: [u32; DISTANCE_SYMBOLS],
}

impl Counts {
    pub(crate) const fn new() -> Self {
        Counts { litlen: [0; 257 + LENGTH_SLOTS], distance: [0; DISTANCE_SYMBOLS] }
    }

    /// Counts a literal.
    #[inline(always)]
    pub(crate) fn literal(&mut self, byte: u8) {
        self.litlen[usize::from(byte)] += 1;
    }

    /// Counts a match.
    #[inline(always)]
    pub(crate) fn a_match(&mut self, len: usize, distance: usize) {
        let symbol = usize::from(LENGTH_SYMBOL[(len - MATCH_BYTES_MIN) & 0xff]) % LENGTH_SLOTS;
        self.litlen[257 + symbol] += 1;
        self.distance[distance_symbol(distance as u32 - 1).0 % DISTANCE_SYMBOLS] += 1;
    }
}

/// The last position of each hash, 0 for none. Positions are below `BUFFER_BYTES`: nothing outside this file can write them.
pub(crate) struct Positions([u16; 1 << HASH_BITS]);

#[inline(always)]
fn hash(word: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

impl Positions {
    pub(crate) const fn new() -> Self {
        Positions([0; 1 << HASH_BITS])
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.0.fill(0);
    }

    /// Follows the buffer, of which the first `gone` bytes were moved out.
    pub(crate) fn slide(&mut self, gone: usize) {
        let gone = gone.min(usize::from(u16::MAX)) as u16;
        for position in &mut self.0 {
            *position = position.saturating_sub(gone);
        }
    }

    /// Enters a position below `BUFFER_BYTES`, and returns the one before with the same hash.
    #[inline(always)]
    pub(crate) fn replace(&mut self, buffer: &Buffer, at: usize) -> usize {
        let at = at.min(BUFFER_BYTES - 1);
        let word = u32::from_le_bytes([buffer[at], buffer[at + 1], buffer[at + 2], buffer[at + 3]]);
        usize::from(core::mem::replace(&mut self.0[hash(word)], at as u16))
    }
}

/// Where the matcher stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    /// First byte that is not yet matched.
    pub(crate) pos: usize,
    /// First literal of the sequence being collected.
    pub(crate) run_start: usize,
    /// Sequences collected.
    pub(crate) count: usize,
}

/// How far it may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Rounds begin before this position.
    pub(crate) stop: usize,
    /// End of the data; at least `ROUND_BYTES` behind `stop`.
    pub(crate) end: usize,
    /// First byte that a match may begin at, at least 1.
    pub(crate) start: usize,
    /// Longest distance.
    pub(crate) distance_max: usize,
    /// Rounds begin with fewer sequences than this.
    pub(crate) count_max: usize,
}

/// Collects sequences from `at` to one of the limits.
pub(crate) fn find(
    buffer: &Buffer,
    positions: &mut Positions,
    counts: &mut Counts,
    sequences: &mut [Sequence],
    at: Cursor,
    limits: Limits,
) -> Cursor {
    #[cfg(target_arch = "x86_64")]
    if super::has_bmi2() {
        // SAFETY: the CPU has BMI1, BMI2 and LZCNT.
        return unsafe { find_bmi2(buffer, positions, counts, sequences, at, limits) };
    }
    find_anywhere(buffer, positions, counts, sequences, at, limits)
}

/// [`find_anywhere`] for a CPU with BMI2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2,lzcnt")]
fn find_bmi2(
    buffer: &Buffer,
    positions: &mut Positions,
    counts: &mut Counts,
    sequences: &mut [Sequence],
    at: Cursor,
    limits: Limits,
) -> Cursor {
    find_anywhere(buffer, positions, counts, sequences, at, limits)
}

#[inline(always)]
fn find_anywhere(
    buffer: &Buffer,
    positions: &mut Positions,
    counts: &mut Counts,
    sequences: &mut [Sequence],
    at: Cursor,
    limits: Limits,
) -> Cursor {
    let Limits { stop, end, start, distance_max, count_max } = limits;
    let Cursor { mut pos, mut run_start, mut count } = at;
    if pos >= stop {
        return at;
    }
    assert!(stop + ROUND_BYTES <= end && end <= BUFFER_BYTES && start <= pos);
    let bytes = buffer.as_ptr();
    let table = &mut positions.0;
    macro_rules! load {
        ($at:expr) => {{
            let at: usize = $at;
            debug_assert!(at + 8 <= buffer.len());
            // SAFETY: `at` is a position of the table, below `BUFFER_BYTES`; or `pos` or `pos + 1` of a round, below `stop` + 1; or it is less than
            // `end - pos` bytes behind one of these two that is not behind the other. All are at most `end` ≤ `BUFFER_BYTES`, behind which are
            // `PAD_BYTES` ≥ 8 more.
            unsafe { load64(bytes.wrapping_add(at)) }
        }};
    }
    while pos < stop && count < count_max {
        let word = load!(pos);
        let slot = &mut table[hash(word as u32)];
        let candidate = usize::from(*slot);
        *slot = pos as u16;
        let slot = &mut table[hash((word >> 8) as u32)];
        let next_candidate = usize::from(*slot);
        *slot = (pos + 1) as u16;

        let mut from = candidate;
        let mut difference = load!(candidate) ^ word;
        let next_difference = load!(next_candidate) ^ load!(pos + 1);
        let reach = distance_max.min(pos - start);
        // A position that is not yet there, one before the data and one too far are all refused by one comparison.
        let here = difference as u32 == 0 && pos.wrapping_sub(candidate).wrapping_sub(1) < reach;
        // A match here of less than eight bytes gives way to a longer one at the next position.
        if !here || difference.trailing_zeros() + 7 < next_difference.trailing_zeros() {
            let next_is_match = next_difference as u32 == 0 && (pos + 1).wrapping_sub(next_candidate).wrapping_sub(1) < reach;
            if next_is_match {
                counts.literal(word as u8);
                pos += 1;
                from = next_candidate;
                difference = next_difference;
            } else if !here {
                counts.literal(word as u8);
                counts.literal((word >> 8) as u8);
                pos += 2;
                continue;
            }
        }
        let distance = pos - from;
        let max = MATCH_BYTES_MAX.min(end - pos);
        let mut len = 0;
        while difference == 0 {
            len += 8;
            if len >= max {
                break;
            }
            difference = load!(from + len) ^ load!(pos + len);
        }
        if difference != 0 {
            len += difference.trailing_zeros() as usize / 8;
        }
        let len = len.min(max);
        let mut run = pos - run_start;
        while run > Sequence::RUN_MAX {
            sequences[count] = Sequence::literals(Sequence::RUN_MAX);
            count += 1;
            run -= Sequence::RUN_MAX;
        }
        sequences[count] = Sequence::new(run, len, distance);
        count += 1;
        counts.a_match(len, distance);
        // Five positions inside of the match, three from its start and two from its end.
        let word = load!(pos + 1);
        table[hash(word as u32)] = (pos + 1) as u16;
        table[hash((word >> 8) as u32)] = (pos + 2) as u16;
        table[hash((word >> 16) as u32)] = (pos + 3) as u16;
        pos += len;
        let word = load!(pos - 2);
        table[hash(word as u32)] = (pos - 2) as u16;
        table[hash((word >> 8) as u32)] = (pos - 1) as u16;
        run_start = pos;
    }
    Cursor { pos, run_start, count }
}

/// One codeword ready to be put: its bits, reversed, in 31:8, their number in 7:0.
pub(crate) type Codeword = u32;

/// The codes of a block.
pub(crate) struct Codes {
    /// Literals, end of block, and length symbols.
    pub(crate) litlen: [Codeword; 257 + LENGTH_SLOTS],
    /// Per length - 3, its codeword and extra bits together.
    pub(crate) lengths: [Codeword; 256],
    /// Distance symbols.
    pub(crate) distance: [Codeword; DISTANCE_SYMBOLS],
}

/// Bytes of room that one sequence may need: a store for every four of 511 literals, one for the rest and one for the match, each of which
/// moves on by at most 7 bytes and writes 8.
pub(crate) const SEQUENCE_BYTES: usize = (Sequence::RUN_MAX / 4 + 2) * 7 + 8;

/// What [`put`] did.
pub(crate) struct Put {
    /// Sequences put.
    pub(crate) sequences: usize,
    /// Input bytes that they stand for.
    pub(crate) encoded: usize,
    /// Output bytes written.
    pub(crate) written: usize,
    /// Held bits.
    pub(crate) bits: u64,
    /// How many, at most 7.
    pub(crate) count: u32,
}

/// Puts sequences while `out` has `SEQUENCE_BYTES`; `literals` begins with the first sequence's, at most 7 bits are held.
///
/// Literal and length codewords have at most 14 bits, so that four fit behind the held bits.
pub(crate) fn put(codes: &Codes, sequences: &[Sequence], literals: &[u8], out: &mut [u8], bits: u64, count: u32) -> Put {
    #[cfg(target_arch = "x86_64")]
    if super::has_bmi2() {
        // SAFETY: the CPU has BMI1, BMI2 and LZCNT.
        return unsafe { put_bmi2(codes, sequences, literals, out, bits, count) };
    }
    put_anywhere(codes, sequences, literals, out, bits, count)
}

/// [`put_anywhere`] for a CPU with BMI2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2,lzcnt")]
fn put_bmi2(codes: &Codes, sequences: &[Sequence], literals: &[u8], out: &mut [u8], bits: u64, count: u32) -> Put {
    put_anywhere(codes, sequences, literals, out, bits, count)
}

#[inline(always)]
fn put_anywhere(codes: &Codes, sequences: &[Sequence], literals: &[u8], out: &mut [u8], bits: u64, count: u32) -> Put {
    let (mut bits, mut count) = (bits, count & 7);
    let out_len = out.len();
    let out = out.as_mut_ptr();
    let mut at = 0;
    let mut encoded = 0;
    let mut done = 0;
    macro_rules! add {
        ($codeword:expr) => {
            let codeword = $codeword;
            bits |= u64::from(codeword >> 8).wrapping_shl(count);
            count += codeword & 0xff;
        };
    }
    macro_rules! flush {
        () => {
            debug_assert!(at + 8 <= out_len && count < 64);
            // SAFETY: `SEQUENCE_BYTES` bytes were left in front of the sequence; a store moves on by at most 7 bytes, and its sequence makes at most
            // RUN_MAX / 4 + 2 of them.
            unsafe { store64(out.wrapping_add(at), bits) };
            at += (count >> 3 & 7) as usize;
            bits = bits.wrapping_shr(count & 0x38);
            count &= 7;
        };
    }
    for &sequence in sequences {
        if out_len - at < SEQUENCE_BYTES {
            break;
        }
        let run = &literals[encoded..encoded + sequence.run()];
        let (fours, rest) = run.as_chunks::<4>();
        for four in fours {
            add!(codes.litlen[usize::from(four[0])]);
            add!(codes.litlen[usize::from(four[1])]);
            add!(codes.litlen[usize::from(four[2])]);
            add!(codes.litlen[usize::from(four[3])]);
            flush!();
        }
        if let [first, others @ ..] = rest {
            add!(codes.litlen[usize::from(*first)]);
            if let [second, others @ ..] = others {
                add!(codes.litlen[usize::from(*second)]);
                if let [third] = others {
                    add!(codes.litlen[usize::from(*third)]);
                }
            }
            flush!();
        }
        encoded += sequence.run();
        let length = sequence.length_index();
        if length != 0 {
            // Seven held bits, 14 + 5 and 15 + 13 fit the 64.
            add!(codes.lengths[length & 0xff]);
            let index = sequence.distance_index();
            let (symbol, extra) = distance_symbol(index);
            let codeword = codes.distance[symbol % DISTANCE_SYMBOLS];
            add!(codeword);
            bits |= u64::from(index & ((1 << extra) - 1)).wrapping_shl(count);
            count += extra;
            flush!();
            encoded += length + MATCH_BYTES_MIN;
        }
        done += 1;
    }
    Put { sequences: done, encoded, written: at, bits, count }
}
