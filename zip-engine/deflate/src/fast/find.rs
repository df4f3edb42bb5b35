//! Finding matches at the fastest level.
//!
//! One candidate per position from a table of 16-bit positions that fits the first-level cache; two positions a round, so that the loads of one hide
//! behind the other; eight bytes compared by one XOR; symbols counted on the way. Most matches are shorter than eight bytes: what longer ones need is left to
//! them. `find_x86.rs` is the same search for CPUs that pay more for a branch that is guessed wrong than for instructions.

use super::sequence::{Cursor, LENGTH_SYMBOL, Sequence, put_long_run};
use super::table::{Table, back, hash};
use super::{load64, load64_at, stay};
use crate::constants::*;
use crate::status::WINDOW_BYTES;
use core::hint::cold_path;

/// Bytes of data that a round needs behind its first position: more than the eight at the next one.
pub(crate) const ROUND_BYTES: usize = 12;

/// The last position of each hash: 16 KiB.
pub type Positions = Table<u16, { 1 << 13 }>;

#[inline(always)]
pub(super) fn slot(word: u32) -> usize {
    hash(word, Positions::BITS)
}

impl Positions {
    /// Enters a position that four bytes follow, and returns the one before with the same hash.
    #[inline(always)]
    pub(crate) fn enter(&mut self, data: &[u8], at: usize) -> usize {
        let word = u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
        let entry = core::mem::replace(&mut self.entries[slot(word)], at as u16);
        self.reached = self.reached.max(at + 1);
        at.wrapping_sub(back(at, entry))
    }
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
        return unsafe { super::find_x86::find_bmi2(data, positions, sequences, at, limits) };
    }
    find_anywhere(data, positions, sequences, at, limits)
}

fn find_anywhere(data: &[u8], positions: &mut Positions, sequences: &mut [Sequence], at: Cursor, limits: Limits) -> Cursor {
    let Limits { stop, distance_max, count_max } = limits;
    let Cursor { mut pos, mut run_start, mut count } = at;
    let end = data.len();
    let stop = stop.min(end.saturating_sub(ROUND_BYTES));
    if pos >= stop || count >= count_max {
        return at;
    }
    assert!(distance_max <= WINDOW_BYTES && positions.reached <= pos && count_max <= sequences.len());
    let bytes = data.as_ptr();
    let Positions { entries: table, counts, .. } = &mut *positions;
    // Loads behind a base that stays.
    macro_rules! load {
        ($at:expr) => {
            load!(bytes, $at)
        };
        ($base:expr, $at:expr) => {{
            let (base, at): (*const u8, usize) = ($base, $at);
            debug_assert!(base.addr() + at - bytes.addr() + 8 <= end);
            // SAFETY: one of these, each with eight bytes in `data`:
            // * `pos` of a round, which begins before `end - ROUND_BYTES`;
            // * a candidate: `pos` or `pos + 1` less a way back which `Table` keeps at most that far, because `reached` is at most `pos`: it was before
            //   the first round, and what rounds enter is before the `pos` of the next;
            // * `pos + len`, or `from + len` before it, with `len + 8` ≤ `end - pos`;
            // * `pos - 2` behind a match, with `pos + 6` ≤ `end`.
            unsafe { load64_at(base, at) }
        }};
    }
    macro_rules! enter {
        ($word:expr, $at:expr) => {
            table[slot($word as u32)] = ($at) as u16;
        };
    }
    // Distance 0 and one too far are refused by one comparison.
    let is_near = |distance: usize| distance.wrapping_sub(1) < distance_max;
    let place_max = sequences.as_ptr().wrapping_add(count_max);
    let mut place = sequences.as_mut_ptr().wrapping_add(count);
    'rounds: loop {
        let start = pos;
        let word = load!(pos);
        let entry = &mut table[slot(word as u32)];
        let way = pos.wrapping_sub(usize::from(*entry));
        *entry = pos as u16;
        let next = stay(pos + 1);
        let next_word = word >> 8;
        let entry = &mut table[slot(next_word as u32)];
        let next_way = next.wrapping_sub(usize::from(*entry));
        *entry = next as u16;

        let difference = load!(pos - low_half(way)) ^ word;
        // Of the seven bytes that are there.
        let next_difference = load!(next - low_half(next_way)) ^ next_word;
        let mut len;
        let distance;
        'known: {
            'agreed: {
                // A length below eight is its symbol - 254.
                macro_rules! short {
                    ($difference:expr) => {
                        len = $difference.trailing_zeros() as usize / 8;
                        counts.litlen[257 - MATCH_BYTES_MIN + len] += 1;
                        break 'known;
                    };
                }
                macro_rules! take_next {
                    ($distance:expr) => {
                        distance = $distance;
                        counts.literal(word as u8);
                        pos = next;
                        enter!(word >> 32, start + 4);
                        if next_difference << 8 == 0 {
                            len = 7;
                            break 'agreed;
                        }
                        short!(next_difference);
                    };
                }
                'not_here: {
                    if difference as u32 != 0 {
                        break 'not_here;
                    }
                    let way = low_half(stay(way));
                    if !is_near(way) {
                        cold_path();
                        break 'not_here;
                    }
                    if difference == 0 {
                        distance = way;
                        len = 8;
                        enter!(word >> 32, start + 4);
                        break 'agreed;
                    }
                    if next_difference & through(difference) == 0 {
                        let next_way = low_half(stay(next_way));
                        if stay(next_difference as usize) as u32 == 0 && is_near(next_way) {
                            take_next!(next_way);
                        }
                        cold_path();
                    }
                    distance = way;
                    short!(difference);
                }
                if next_difference as u32 == 0 {
                    let next_way = low_half(stay(next_way));
                    if is_near(next_way) {
                        take_next!(next_way);
                    }
                    cold_path();
                }
                counts.literal(word as u8);
                counts.literal((word >> 8) as u8);
                pos += 2;
                if pos < stop {
                    continue 'rounds;
                }
                break 'rounds;
            }
            // Steps of a constant, so that the next ones need not wait for this one.
            let max = MATCH_BYTES_MAX.min(end - pos);
            let (there, here) = (bytes.wrapping_add(pos - distance), bytes.wrapping_add(pos));
            loop {
                if len > max - 8 {
                    while len < max && data[pos - distance + len] == data[pos + len] {
                        len += 1;
                    }
                    break;
                }
                let difference = load!(there, len) ^ load!(here, len);
                if difference != 0 {
                    len += difference.trailing_zeros() as usize / 8;
                    break;
                }
                len += 8;
            }
            counts.length(usize::from(LENGTH_SYMBOL[(len - MATCH_BYTES_MIN) & 0xff]));
        }
        // SAFETY: `is_near` has said so, and `distance_max` is at most 32 KiB.
        unsafe { counts.distance(distance) };
        let mut run = pos - run_start;
        if run > Sequence::RUN_MAX {
            count = (place.addr() - sequences.as_ptr().addr()) / size_of::<Sequence>();
            (count, run) = put_long_run(sequences, count, run);
            place = sequences.as_mut_ptr().wrapping_add(count);
        }
        // SAFETY: a place of `sequences`: one before `place_max`, or the one that `put_long_run` has left.
        unsafe { place.write(Sequence::new(run, len, distance)) };
        place = place.wrapping_add(1);
        // The next two positions are in the match, however short; they and the last two are entered.
        enter!(word >> 16, start + 2);
        enter!(word >> 24, start + 3);
        pos += len;
        run_start = pos;
        if place.cast_const() >= place_max {
            break;
        }
        if pos >= stop {
            if pos + 6 <= end {
                let word = load!(pos - 2);
                enter!(word, pos - 2);
                enter!(word >> 8, pos - 1);
            }
            break;
        }
        let word = load!(pos - 2);
        enter!(word, pos - 2);
        enter!(word >> 8, pos - 1);
    }
    positions.reached = pos;
    count = (place.addr() - sequences.as_ptr().addr()) / size_of::<Sequence>();
    Cursor { pos, run_start, count }
}

/// The bits up to the one in which a match of less than seven bytes differs, and those of a byte behind it: where the next position agrees in all of them, it has a
/// longer match, to which the first one gives way.
#[inline(always)]
fn through(difference: u64) -> u64 {
    (difference ^ difference.wrapping_sub(1)) << 7
}

/// The low half of a way back, of which the table knows no more.
#[inline(always)]
fn low_half(way: usize) -> usize {
    way & 0xffff
}

/// Both searches, wherever they are tested: Miri and CPUs without BMI2 call one of them only, others the other.
#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::fast::sequence::Counts;
    use crate::fast::tests::{PLAIN, sample};
    use std::vec::Vec;

    type Find = fn(&[u8], &mut Positions, &mut [Sequence], Cursor, Limits) -> Cursor;

    /// Sequences of a piece of data up to where the search ends, which are compared with it.
    fn found(find: Find, data: &[u8], distance_max: usize) -> usize {
        let mut positions = Positions::new();
        let mut sequences = [Sequence::EMPTY; 2000];
        let mut at = Cursor { pos: 0, run_start: 0, count: 0 };
        // In steps, as they come.
        for stop in [1, 100, 1234, data.len()] {
            at = find(data, &mut positions, &mut sequences, at, Limits { stop, distance_max, count_max: 1500 });
        }
        assert!(at.count < 1500 && at.pos + ROUND_BYTES >= data.len());
        let mut again: Vec<u8> = Vec::new();
        let mut matched = 0;
        for sequence in &sequences[..at.count] {
            again.extend(&data[again.len()..][..sequence.run()]);
            if sequence.is_match() {
                let len = sequence.length_index() + MATCH_BYTES_MIN;
                let from = again.len() - sequence.distance_index() as usize - 1;
                assert!(again.len() - from <= distance_max);
                for i in from..from + len {
                    again.push(again[i]);
                }

                matched += len;
            }
        }
        assert!(again == data[..at.run_start]);
        again.extend(&data[at.run_start..at.pos]);
        let mut counts = Counts::of(data, &sequences[..at.count]);
        for &literal in &data[at.run_start..at.pos] {
            counts.literal(literal);
        }
        assert!(counts.litlen == positions.counts.litlen && counts.distance == positions.counts.distance);
        matched
    }

    #[test]
    fn both_searches_find_what_is_there() {
        let mut searches: Vec<Find> = std::vec![find, find_anywhere];
        #[cfg(target_arch = "x86_64")]
        searches.push(super::super::find_x86::find_by_arithmetic);
        let mut seed = 1_u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        let mut long_run: Vec<u8> = (0..700).map(|_| noise()).collect();
        long_run.extend_from_within(100..400);
        long_run.extend([7; 300]);
        for search in searches {
            assert!(found(search, &sample(PLAIN), WINDOW_BYTES) > PLAIN / 3);
            assert!(found(search, &sample(PLAIN), 100) > PLAIN / 8);
            assert!(found(search, &long_run, WINDOW_BYTES) >= 290 + 258);
        }
    }
}
