//! Finding matches at the fastest level.
//!
//! One candidate per position from a table of 16-bit positions that fits the first-level cache; two positions a round, so that the loads of one hide
//! behind the other; eight bytes compared by one XOR; one branch for "no match at either", the choice between the two by arithmetic; symbols
//! counted on the way.

use super::load64;
use super::sequence::{Counts, Cursor, Sequence};
use crate::constants::*;
use crate::status::WINDOW_BYTES;

/// Buckets of the hash table, one position each: 16 KiB.
const HASH_BITS: u32 = 13;
/// Shortest match: the bytes that are hashed.
pub(crate) const HASHED_BYTES: usize = 4;
/// Bytes of data that a round needs behind its first position: two positions of eight bytes, and the four of a literal at the first.
pub(crate) const ROUND_BYTES: usize = 12;
/// Positions between two sweeps: what is too far at one of them is still too far, and not yet near again, at the next.
pub(crate) const SWEEP_BYTES: usize = 28 * 1024;
/// Where a swept entry points: one further than any match may reach.
const TOO_FAR: u16 = WINDOW_BYTES as u16 + 1;

const _: () = assert!(TOO_FAR as usize + SWEEP_BYTES + MATCH_BYTES_MAX + 2 < 1 << 16);

/// The last position of each hash, modulo 2^16.
///
/// Every entry is the low half of a position before `reached`, or of 0, so that all of them are positions of the data. So from any position p at or behind `reached` the way back to an entry's position, taken
/// modulo 2^16, is at most p: below 2^16 it is the difference itself, behind it any 16-bit number will do.
pub struct Positions {
    table: [u16; 1 << HASH_BITS],
    reached: usize,
    /// Beside the table, so that the loop needs one register for both.
    pub(crate) counts: Counts,
}

#[inline(always)]
fn hash(word: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

impl Positions {
    pub(crate) const fn new() -> Self {
        Positions { table: [0; 1 << HASH_BITS], reached: 0, counts: Counts::new() }
    }

    /// Begins a block.
    pub(crate) fn begin_block(&mut self) {
        self.counts = Counts::new();
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.table.fill(0);
        self.reached = 0;
    }

    /// Follows the data when what is at `pos`, at or behind all that was entered, moves to `to`, and with it at least what matches may reach.
    pub(crate) fn rebase(&mut self, pos: usize, to: usize) {
        assert!(pos >= self.reached);
        for entry in &mut self.table {
            *entry = rebased(*entry, pos, to);
        }
        self.reached = rebased_reach(self.reached, pos, to);
    }

    /// Makes entries that are too far from `pos` stay so for `SWEEP_BYTES` more; needed where positions go past 2^16.
    pub(crate) fn sweep(&mut self, pos: usize) {
        assert!(pos >= self.reached);
        for entry in &mut self.table {
            *entry = swept(*entry, pos);
        }
        self.reached = pos;
    }

    /// Forgets positions at and behind `pos`.
    pub(crate) fn rewind(&mut self, pos: usize) {
        for entry in &mut self.table {
            *entry = rewound(*entry, self.reached, pos);
        }
        self.reached = self.reached.min(pos);
    }

    /// Returns the end of what was entered.
    pub(crate) fn reached(&self) -> usize {
        self.reached
    }

    /// Enters a position that four bytes follow, and returns the one before with the same hash.
    #[inline(always)]
    pub(crate) fn replace(&mut self, data: &[u8], at: usize) -> usize {
        let word = u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
        let entry = core::mem::replace(&mut self.table[hash(word)], at as u16);
        self.reached = self.reached.max(at + 1);
        at.wrapping_sub(usize::from((at as u16).wrapping_sub(entry)))
    }
}

/// The way back to the position of an entry.
#[inline(always)]
pub(super) fn back(pos: usize, entry: u16) -> usize {
    usize::from((pos as u16).wrapping_sub(entry))
}

/// An entry when what is at `pos` moves to `to`.
#[inline(always)]
pub(super) fn rebased(entry: u16, pos: usize, to: usize) -> u16 {
    (to as u16).wrapping_sub((pos as u16).wrapping_sub(entry).min(to.min(usize::from(TOO_FAR)) as u16))
}

/// The end of what was entered when what is at `pos` moves to `to`: entries that are too far are brought nearer, and have to be before it.
pub(super) fn rebased_reach(reached: usize, pos: usize, to: usize) -> usize {
    (reached + to).saturating_sub(pos).max(to.saturating_sub(usize::from(TOO_FAR) - 1))
}

/// An entry after a sweep at `pos`.
#[inline(always)]
pub(super) fn swept(entry: u16, pos: usize) -> u16 {
    rebased(entry, pos, pos)
}

/// An entry when positions from `pos` to `reached` are forgotten.
#[inline(always)]
pub(super) fn rewound(entry: u16, reached: usize, pos: usize) -> u16 {
    let ahead = reached.saturating_sub(pos).min(usize::from(u16::MAX)) as u16;
    if (reached as u16).wrapping_sub(entry) <= ahead { (pos - pos.min(usize::from(TOO_FAR))) as u16 } else { entry }
}

/// Returns how many bytes at `from` and behind it, which is before `pos`, are those at `pos`: 258 at most.
#[inline(always)]
pub(crate) fn match_bytes(data: &[u8], from: usize, pos: usize) -> usize {
    let max = MATCH_BYTES_MAX.min(data.len().saturating_sub(pos));
    let bytes = data.as_ptr();
    let mut len = 0;
    // Steps of a constant, so that the next ones need not wait for this one.
    while len + 8 <= max && from < pos {
        // SAFETY: `len + 8` bytes from `pos` on are in `data`, and `from` is before it.
        let there = unsafe { load64(bytes.wrapping_add(from + len)) };
        // SAFETY: likewise.
        let here = unsafe { load64(bytes.wrapping_add(pos + len)) };
        if there != here {
            return len + (there ^ here).trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    while len < max && data[from + len] == data[pos + len] {
        len += 1;
    }
    len
}

/// How far a search may go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rounds begin before this position, and at least `ROUND_BYTES` before the end of the data.
    pub(crate) stop: usize,
    /// Longest distance, at most 32 KiB.
    pub(crate) distance_max: usize,
    /// Rounds begin with fewer sequences than this.
    pub(crate) count_max: usize,
}

/// Collects sequences of `data` from `at`, which is not before the last call's end, to one of the limits.
pub(crate) fn find(data: &[u8], positions: &mut Positions, sequences: &mut [Sequence], at: Cursor, limits: Limits) -> Cursor {
    #[cfg(target_arch = "x86_64")]
    if super::has_bmi2() {
        // SAFETY: the CPU has BMI1, BMI2 and LZCNT.
        return unsafe { find_bmi2(data, positions, sequences, at, limits) };
    }
    find_anywhere(data, positions, sequences, at, limits)
}

/// [`find_anywhere`] for a CPU with BMI2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2,lzcnt")]
fn find_bmi2(data: &[u8], positions: &mut Positions, sequences: &mut [Sequence], at: Cursor, limits: Limits) -> Cursor {
    find_anywhere(data, positions, sequences, at, limits)
}

#[inline(always)]
fn find_anywhere(data: &[u8], positions: &mut Positions, sequences: &mut [Sequence], at: Cursor, limits: Limits) -> Cursor {
    let Limits { stop, distance_max, count_max } = limits;
    let Cursor { mut pos, mut run_start, mut count } = at;
    let end = data.len();
    let stop = stop.min(end.saturating_sub(ROUND_BYTES));
    if pos >= stop || count >= count_max {
        return at;
    }
    assert!(distance_max <= WINDOW_BYTES && positions.reached <= pos);
    let bytes = data.as_ptr();
    let Positions { table, counts, .. } = &mut *positions;
    macro_rules! load {
        ($at:expr) => {{
            let at: usize = $at;
            debug_assert!(at + 8 <= end);
            // SAFETY: one of these, each with eight bytes in `data`:
            // * `pos` or `pos + 1` of a round, which begins before `end - ROUND_BYTES`;
            // * a candidate: `pos` or `pos + 1` less a way back which `Positions` keeps at most that far, because `reached` is at most `pos`: it was before
            //   the first round, and what rounds enter is before the `pos` of the next;
            // * `pos + len`, or `from + len` before it, with `len + 8` ≤ `end - pos`;
            // * `pos - 2` behind a match, with `pos + 6` ≤ `end`.
            unsafe { load64(bytes.wrapping_add(at)) }
        }};
    }
    while pos < stop {
        let word = load!(pos);
        let slot = &mut table[hash(word as u32)];
        let distance = back(pos, *slot);
        *slot = pos as u16;
        let slot = &mut table[hash((word >> 8) as u32)];
        let next_distance = back(pos + 1, *slot);
        *slot = (pos + 1) as u16;

        let difference = load!(pos - distance) ^ word;
        let next_difference = load!(pos + 1 - next_distance) ^ load!(pos + 1);
        if (difference as u32).min(next_difference as u32) != 0 {
            counts.literal(word as u8);
            counts.literal((word >> 8) as u8);
            pos += 2;
            continue;
        }
        let mut difference = difference;
        let mut distance = distance;
        // Distance 0 and one too far are refused by one comparison.
        let here = difference as u32 == 0 && distance.wrapping_sub(1) < distance_max;
        // A match here of less than eight bytes gives way to a longer one at the next position.
        if !here || difference.trailing_zeros() + 7 < next_difference.trailing_zeros() {
            if next_difference as u32 == 0 && next_distance.wrapping_sub(1) < distance_max {
                counts.literal(word as u8);
                pos += 1;
                difference = next_difference;
                distance = next_distance;
            } else if !here {
                counts.literal(word as u8);
                counts.literal((word >> 8) as u8);
                pos += 2;
                continue;
            }
        }

        let max = MATCH_BYTES_MAX.min(end - pos);
        let from = pos - distance;
        let mut len = difference.trailing_zeros() as usize / 8;
        if difference == 0 {
            // Steps of a constant, so that the next ones need not wait for this one.
            len = 8;
            loop {
                if len + 8 > max {
                    while len < max && data[from + len] == data[pos + len] {
                        len += 1;
                    }
                    break;
                }
                let difference = load!(from + len) ^ load!(pos + len);
                if difference != 0 {
                    len += difference.trailing_zeros() as usize / 8;
                    break;
                }
                len += 8;
            }
        }
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
        run_start = pos;
        if pos + 6 > end || count >= count_max {
            break;
        }
        let word = load!(pos - 2);
        table[hash(word as u32)] = (pos - 2) as u16;
        table[hash((word >> 8) as u32)] = (pos - 1) as u16;
    }
    positions.reached = pos;
    Cursor { pos, run_start, count }
}
