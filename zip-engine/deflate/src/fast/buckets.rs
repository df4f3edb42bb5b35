//! Finding matches at the balanced level: the last two positions of each hash, every position entered, a short match gives way to a longer one at the next
//! position.

use super::find::{Limits, ROUND_BYTES, match_bytes};
use super::load64;
use super::sequence::{Cursor, Sequence, put_match};
use super::table::{Table, back, hash};
use crate::status::WINDOW_BYTES;
use core::hint::select_unpredictable;

/// Matches of at least this many bytes do not enter the positions between their first and last ones.
const LONG: usize = 16;
/// How many those are.
const LONG_ENTERS: usize = 4;

/// The last two positions of each hash: 64 KiB.
pub type Buckets = Table<u32, { 1 << 14 }>;

#[inline(always)]
fn slot(word: u32) -> usize {
    hash(word, Buckets::BITS)
}

impl Buckets {
    /// Enters a position that four bytes follow, and returns the one before with the same hash.
    #[inline(always)]
    pub(crate) fn enter(&mut self, data: &[u8], at: usize) -> usize {
        let word = u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
        let entry = &mut self.entries[slot(word)];
        let before = at.wrapping_sub(back(at, *entry as u16));
        *entry = *entry << 16 | u32::from(at as u16);
        self.reached = self.reached.max(at + 1);
        before
    }

    /// Collects sequences of `data` from `at`, which is not before the last call's end, to one of the limits.
    pub(crate) fn find(&mut self, data: &[u8], sequences: &mut [Sequence], at: Cursor, limits: Limits) -> Cursor {
        #[cfg(target_arch = "x86_64")]
        if super::has_bmi2() {
            // SAFETY: the CPU has BMI1, BMI2 and LZCNT.
            return unsafe { self.find_bmi2(data, sequences, at, limits) };
        }
        self.find_anywhere(data, sequences, at, limits)
    }

    /// [`Buckets::find_anywhere`] for a CPU with BMI2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "bmi1,bmi2,lzcnt")]
    fn find_bmi2(&mut self, data: &[u8], sequences: &mut [Sequence], at: Cursor, limits: Limits) -> Cursor {
        self.find_anywhere(data, sequences, at, limits)
    }

    #[inline(always)]
    fn find_anywhere(&mut self, data: &[u8], sequences: &mut [Sequence], at: Cursor, limits: Limits) -> Cursor {
        let Limits { stop, distance_max, count_max } = limits;
        let Cursor { mut pos, mut run_start, mut count } = at;
        let end = data.len();
        let stop = stop.min(end.saturating_sub(ROUND_BYTES));
        if pos >= stop || count >= count_max {
            return at;
        }
        assert!(distance_max <= WINDOW_BYTES && self.reached <= pos);
        let Buckets { entries: table, counts, .. } = &mut *self;
        let bytes = data.as_ptr();
        macro_rules! load {
            ($at:expr) => {{
                let at: usize = $at;
                debug_assert!(at + 8 <= end);
                // SAFETY: as in `find`: `pos` or `pos + 1` of a round, a position that the table led to from there, which is not before the data, or a
                // position of a match that eight bytes follow.
                unsafe { load64(bytes.wrapping_add(at)) }
            }};
        }
        // Enters a position, and returns the ways back to its candidates and how their first eight bytes differ from those here.
        macro_rules! look_up {
            ($pos:expr, $word:expr) => {{
                let (pos, word): (usize, u64) = ($pos, $word);
                let slot = &mut table[slot(word as u32)];
                let entry = *slot;
                *slot = entry << 16 | u32::from(pos as u16);
                let (first, second) = (back(pos, entry as u16), back(pos, (entry >> 16) as u16));
                (first, load!(pos - first) ^ word, second, load!(pos - second) ^ word)
            }};
        }
        // The better of two candidates: how many of its first eight bytes agree (less than four: no match), its distance, and the distance of the other one if
        // that agrees as far.
        let better = |(first, of_first, second, of_second): (usize, u64, usize, u64)| {
            let agree = |difference: u64, distance: usize| {
                select_unpredictable(distance.wrapping_sub(1) < distance_max, difference.trailing_zeros() / 8, 0)
            };
            let (of_first, of_second) = (agree(of_first, first), agree(of_second, second));
            let distance = select_unpredictable(of_second > of_first, second, first);
            let other = select_unpredictable(of_second < of_first, first, second);
            (of_first.max(of_second), distance, other)
        };
        while pos < stop {
            let word = load!(pos);
            let next_word = load!(pos + 1);
            let candidates = look_up!(pos, word);
            let next_candidates = look_up!(pos + 1, next_word);
            let nearest = |(_, of_first, _, of_second): (usize, u64, usize, u64)| (of_first as u32).min(of_second as u32);
            if nearest(candidates).min(nearest(next_candidates)) != 0 {
                counts.literal(word as u8);
                counts.literal((word >> 8) as u8);
                pos += 2;
                continue;
            }
            let (agree, distance, other) = better(candidates);
            let (next_agree, next_distance, next_other) = better(next_candidates);
            if agree.max(next_agree) < 4 {
                counts.literal(word as u8);
                counts.literal((word >> 8) as u8);
                pos += 2;
                continue;
            }
            let entered = pos + 2;
            let gives_way = next_agree > agree;
            let agree = agree.max(next_agree);
            let mut distance = select_unpredictable(gives_way, next_distance, distance);
            let other = select_unpredictable(gives_way, next_other, other);
            counts.litlen[usize::from(word as u8)] += u32::from(gives_way);
            pos += usize::from(gives_way);
            let mut len = agree as usize;
            if len == 8 {
                len = match_bytes(data, pos - distance, pos);
                if other != distance {
                    let other_len = match_bytes(data, pos - other, pos);
                    if other_len > len {
                        (len, distance) = (other_len, other);
                    }
                }
            }
            count = put_match(sequences, count, pos - run_start, len, distance);
            counts.a_match(len, distance);
            pos += len;
            run_start = pos;
            if pos + 8 > end || count >= count_max {
                break;
            }
            let mut enter = |from: usize, to: usize| {
                // Four at a time, those past the end by arithmetic: how many there are is hard to guess.
                let mut at = from;
                while at < to {
                    for at in at..at + 4 {
                        let is_in = at < to;
                        let slot = &mut table[slot(load!(select_unpredictable(is_in, at, from)) as u32)];
                        let entered = *slot << 16 | u32::from(at as u16);
                        *slot = select_unpredictable(is_in, entered, *slot);
                    }
                    at += 4;
                }
            };
            if len >= LONG {
                enter(entered, entered + LONG_ENTERS);
                enter(pos - LONG_ENTERS, pos);
            } else {
                enter(entered, pos);
            }
        }
        self.reached = pos;
        Cursor { pos, run_start, count }
    }
}
