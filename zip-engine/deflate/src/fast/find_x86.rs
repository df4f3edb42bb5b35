//! Finding matches at the fastest level on x86-64.
//!
//! As `find.rs`, but for what is hard to guess: one branch for "no match at either", the choice between the two by arithmetic, and one way on for both.

use super::find::{Limits, Positions, ROUND_BYTES, slot};
use super::load64;
use super::sequence::{Cursor, Sequence, put_match};
use super::table::back;
use crate::constants::*;
use crate::status::WINDOW_BYTES;

/// [`super::find::find`] for a CPU with BMI2.
#[target_feature(enable = "bmi1,bmi2,lzcnt")]
pub(super) fn find_bmi2(data: &[u8], positions: &mut Positions, sequences: &mut [Sequence], at: Cursor, limits: Limits) -> Cursor {
    find_by_arithmetic(data, positions, sequences, at, limits)
}

/// The search, for the instructions of whoever calls it.
#[inline(always)]
pub(super) fn find_by_arithmetic(data: &[u8], positions: &mut Positions, sequences: &mut [Sequence], at: Cursor, limits: Limits) -> Cursor {
    let Limits { stop, distance_max, count_max } = limits;
    let Cursor { mut pos, mut run_start, mut count } = at;
    let end = data.len();
    let stop = stop.min(end.saturating_sub(ROUND_BYTES));
    if pos >= stop || count >= count_max {
        return at;
    }
    assert!(distance_max <= WINDOW_BYTES && positions.reached <= pos);
    let bytes = data.as_ptr();
    let Positions { entries: table, counts, .. } = &mut *positions;
    macro_rules! load {
        ($at:expr) => {{
            let at: usize = $at;
            debug_assert!(at + 8 <= end);
            // SAFETY: one of these, each with eight bytes in `data`:
            // * `pos` or `pos + 1` of a round, which begins before `end - ROUND_BYTES`;
            // * a candidate: `pos` or `pos + 1` less a way back which `Table` keeps at most that far, because `reached` is at most `pos`: it was before
            //   the first round, and what rounds enter is before the `pos` of the next;
            // * `pos + len`, or `from + len` before it, with `len + 8` ≤ `end - pos`;
            // * `pos - 2` behind a match, with `pos + 6` ≤ `end`.
            unsafe { load64(bytes.wrapping_add(at)) }
        }};
    }
    while pos < stop {
        let word = load!(pos);
        let entry = &mut table[slot(word as u32)];
        let distance = back(pos, *entry);
        *entry = pos as u16;
        let entry = &mut table[slot((word >> 8) as u32)];
        let next_distance = back(pos + 1, *entry);
        *entry = (pos + 1) as u16;

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
        count = put_match(sequences, count, pos - run_start, len, distance);
        counts.a_match(len, distance);
        // Five positions inside of the match, three from its start and two from its end.
        let word = load!(pos + 1);
        table[slot(word as u32)] = (pos + 1) as u16;
        table[slot((word >> 8) as u32)] = (pos + 2) as u16;
        table[slot((word >> 16) as u32)] = (pos + 3) as u16;
        pos += len;
        run_start = pos;
        if pos + 6 > end || count >= count_max {
            break;
        }
        let word = load!(pos - 2);
        table[slot(word as u32)] = (pos - 2) as u16;
        table[slot((word >> 8) as u32)] = (pos - 1) as u16;
    }
    positions.reached = pos;
    Cursor { pos, run_start, count }
}
