//! Finding matches at the balanced level: the last two positions of each hash, every position entered, a short match gives way to a longer one at the next
//! position.

use super::find::{Limits, ROUND_BYTES, back, match_bytes, rebased, rebased_reach, rewound, swept};
use super::load64;
use super::sequence::{Counts, Cursor, Sequence};
use crate::status::WINDOW_BYTES;

/// Buckets of the hash table, two positions each: 64 KiB.
const HASH_BITS: u32 = 14;
/// Matches of at least this many bytes do not enter the positions between their first and last ones.
const LONG: usize = 16;
/// How many those are.
const LONG_ENTERS: usize = 4;

/// The last two positions of each hash, modulo 2^16: the last one in the low half.
///
/// Both halves of every entry are as those of `Positions` are.
pub struct Buckets {
    table: [u32; 1 << HASH_BITS],
    reached: usize,
    pub(crate) counts: Counts,
}

#[inline(always)]
fn hash(word: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

/// Applies a change to both halves.
#[inline(always)]
fn halves(entry: u32, change: impl Fn(u16) -> u16) -> u32 {
    u32::from(change(entry as u16)) | u32::from(change((entry >> 16) as u16)) << 16
}

impl Buckets {
    pub(crate) const fn new() -> Self {
        Buckets { table: [0; 1 << HASH_BITS], reached: 0, counts: Counts::new() }
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

    /// As `Positions::rebase`.
    pub(crate) fn rebase(&mut self, pos: usize, to: usize) {
        assert!(pos >= self.reached);
        self.table.iter_mut().for_each(|entry| *entry = halves(*entry, |half| rebased(half, pos, to)));
        self.reached = rebased_reach(self.reached, pos, to);
    }

    /// As `Positions::sweep`.
    pub(crate) fn sweep(&mut self, pos: usize) {
        assert!(pos >= self.reached);
        self.table.iter_mut().for_each(|entry| *entry = halves(*entry, |half| swept(half, pos)));
        self.reached = pos;
    }

    /// As `Positions::rewind`.
    pub(crate) fn rewind(&mut self, pos: usize) {
        let reached = self.reached;
        self.table.iter_mut().for_each(|entry| *entry = halves(*entry, |half| rewound(half, reached, pos)));
        self.reached = reached.min(pos);
    }

    /// Returns the end of what was entered.
    pub(crate) fn reached(&self) -> usize {
        self.reached
    }

    /// Enters a position that four bytes follow, and returns the one before with the same hash.
    #[inline(always)]
    pub(crate) fn replace(&mut self, data: &[u8], at: usize) -> usize {
        let word = u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
        let slot = &mut self.table[hash(word)];
        let before = at.wrapping_sub(back(at, *slot as u16));
        *slot = *slot << 16 | u32::from(at as u16);
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
        let Buckets { table, counts, .. } = &mut *self;
        let bytes = data.as_ptr();
        macro_rules! load {
            ($at:expr) => {{
                let at: usize = $at;
                debug_assert!(at + 8 <= end);
                // SAFETY: as in `find`: `pos` or `pos + 1` of a round, a position that the table led to from there, which is not before the data, or a
                // position at least eight bytes before the end.
                unsafe { load64(bytes.wrapping_add(at)) }
            }};
        }
        // Enters a position, and returns the better of the two candidates: how many of its first eight bytes agree (less than four: no match), its distance,
        // and the distance of the other one if that agrees as far.
        macro_rules! look_up {
            ($pos:expr, $word:expr) => {{
                let (pos, word): (usize, u64) = ($pos, $word);
                let slot = &mut table[hash(word as u32)];
                let entry = *slot;
                *slot = entry << 16 | u32::from(pos as u16);
                let (first, second) = (back(pos, entry as u16), back(pos, (entry >> 16) as u16));
                let (of_first, of_second) = (load!(pos - first) ^ word, load!(pos - second) ^ word);
                if (of_first as u32).min(of_second as u32) != 0 {
                    (0, 0, 0)
                } else {
                    let agree = |difference: u64, distance: usize| {
                        if distance.wrapping_sub(1) < distance_max { difference.trailing_zeros() / 8 } else { 0 }
                    };
                    let (of_first, of_second) = (agree(of_first, first), agree(of_second, second));
                    if of_second > of_first {
                        (of_second, second, second)
                    } else if of_second == of_first {
                        (of_first, first, second)
                    } else {
                        (of_first, first, first)
                    }
                }
            }};
        }
        while pos < stop {
            let word = load!(pos);
            let next_word = load!(pos + 1);
            let (mut agree, mut distance, mut other) = look_up!(pos, word);
            let (next_agree, next_distance, next_other) = look_up!(pos + 1, next_word);
            if agree.max(next_agree) < 4 {
                counts.literal(word as u8);
                counts.literal((word >> 8) as u8);
                pos += 2;
                continue;
            }
            let entered = pos + 2;
            if next_agree > agree {
                counts.literal(word as u8);
                pos += 1;
                (agree, distance, other) = (next_agree, next_distance, next_other);
            }
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
            let mut run = pos - run_start;
            while run > Sequence::RUN_MAX {
                sequences[count] = Sequence::literals(Sequence::RUN_MAX);
                count += 1;
                run -= Sequence::RUN_MAX;
            }
            sequences[count] = Sequence::new(run, len, distance);
            count += 1;
            counts.a_match(len, distance);
            pos += len;
            run_start = pos;
            if pos + 8 > end || count >= count_max {
                break;
            }
            if len >= LONG {
                for at in entered..entered + LONG_ENTERS {
                    let slot = &mut table[hash(load!(at) as u32)];
                    *slot = *slot << 16 | u32::from(at as u16);
                }
            }
            for at in if len >= LONG { pos - LONG_ENTERS } else { entered }..pos {
                let slot = &mut table[hash(load!(at) as u32)];
                *slot = *slot << 16 | u32::from(at as u16);
            }
        }
        self.reached = pos;
        Cursor { pos, run_start, count }
    }
}
