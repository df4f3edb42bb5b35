//! Finding matches at the high level: chains of all positions with the same hash, searched to a depth; a match gives way to one at the next position that
//! is worth more; blocks end where the symbols change.

use super::find::{Limits, back, match_bytes, rebased, rebased_reach, rewound, swept};
use super::load64;
use super::sequence::{Counts, Cursor, Sequence};
use super::split::Splitter;
use crate::constants::*;
use crate::status::WINDOW_BYTES;

/// Bytes that a round needs behind its position.
pub(crate) const ROUND_BYTES: usize = 8;
/// Heads of chains of four bytes: 64 KiB.
const HASH_BITS: u32 = 15;
/// Last positions of three bytes: 16 KiB.
const SHORT_HASH_BITS: u32 = 13;
/// Candidates that are looked at for a position, and for the next one when there is a match already.
const DEPTH: u32 = 28;
const NEXT_DEPTH: u32 = 12;
/// A match of this many bytes is taken at once.
const NICE: usize = 72;
/// Three bytes from further away cost more than as literals.
const SHORT_DISTANCE_MAX: usize = 4096;

/// Chains of positions, all modulo 2^16; heads are as the entries of `Positions` are.
pub struct Chains {
    heads: [u16; 1 << HASH_BITS],
    short: [u16; 1 << SHORT_HASH_BITS],
    /// Way back from each position of the window to the one before it in its chain. Those of positions never entered mean nothing; whatever they say, a
    /// candidate is used only within the data and after a comparison.
    links: [u16; WINDOW_BYTES],
    /// What a rebase took off positions: links stay where they are.
    shift: usize,
    reached: usize,
    /// Shortest match worth a look in the block at hand.
    shortest: usize,
    splitter: Splitter,
    pub(crate) counts: Counts,
}

#[inline(always)]
fn hash(word: u64) -> usize {
    ((word as u32).wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

#[inline(always)]
fn short_hash(word: u64) -> usize {
    ((word as u32) << 8).wrapping_mul(0x9e37_79b1) as usize >> (32 - SHORT_HASH_BITS)
}

impl Chains {
    pub(crate) const fn new() -> Self {
        Chains {
            heads: [0; 1 << HASH_BITS],
            short: [0; 1 << SHORT_HASH_BITS],
            links: [0; WINDOW_BYTES],
            shift: 0,
            reached: 0,
            shortest: MATCH_BYTES_MIN,
            splitter: Splitter::new(),
            counts: Counts::new(),
        }
    }

    /// Begins a block.
    pub(crate) fn begin_block(&mut self) {
        self.counts = Counts::new();
        self.splitter = Splitter::new();
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.heads.fill(0);
        self.short.fill(0);
        self.shift = 0;
        self.reached = 0;
    }

    fn each(&mut self, change: impl Fn(u16) -> u16) {
        self.heads.iter_mut().for_each(|entry| *entry = change(*entry));
        self.short.iter_mut().for_each(|entry| *entry = change(*entry));
    }

    /// As `Positions::rebase`.
    pub(crate) fn rebase(&mut self, pos: usize, to: usize) {
        assert!(pos >= self.reached);
        self.each(|entry| rebased(entry, pos, to));
        self.shift = self.shift.wrapping_add(pos).wrapping_sub(to);
        self.reached = rebased_reach(self.reached, pos, to);
    }

    /// As `Positions::sweep`.
    pub(crate) fn sweep(&mut self, pos: usize) {
        assert!(pos >= self.reached);
        self.each(|entry| swept(entry, pos));
        self.reached = pos;
    }

    /// As `Positions::rewind`.
    pub(crate) fn rewind(&mut self, pos: usize) {
        let reached = self.reached;
        self.each(|entry| rewound(entry, reached, pos));
        self.reached = reached.min(pos);
    }

    /// Returns the end of what was entered.
    pub(crate) fn reached(&self) -> usize {
        self.reached
    }

    /// Enters a position whose first bytes are `word`, and returns the ways back to candidates of four and of three bytes.
    #[inline(always)]
    fn enter_word(&mut self, at: usize, word: u64) -> (usize, usize) {
        let head = &mut self.heads[hash(word)];
        let distance = back(at, *head);
        *head = at as u16;
        let short = &mut self.short[short_hash(word)];
        let short_distance = back(at, *short);
        *short = at as u16;
        self.links[at.wrapping_add(self.shift) % WINDOW_BYTES] = distance as u16;
        (distance, short_distance)
    }

    /// Enters a position that four bytes follow, and returns the one before with the same hash.
    pub(crate) fn replace(&mut self, data: &[u8], at: usize) -> usize {
        let word = u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
        self.reached = self.reached.max(at + 1);
        at.wrapping_sub(self.enter_word(at, u64::from(word)).0)
    }

    /// Collects sequences of the block that begins at `block`; returns whether it should end here.
    pub(crate) fn find(&mut self, data: &[u8], block: usize, sequences: &mut [Sequence], cursor: &mut Cursor, limits: Limits) -> bool {
        #[cfg(target_arch = "x86_64")]
        if super::has_bmi2() {
            // SAFETY: the CPU has BMI1, BMI2 and LZCNT.
            return unsafe { self.find_bmi2(data, block, sequences, cursor, limits) };
        }
        self.find_anywhere(data, block, sequences, cursor, limits)
    }

    /// [`Chains::find_anywhere`] for a CPU with BMI2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "bmi1,bmi2,lzcnt")]
    fn find_bmi2(&mut self, data: &[u8], block: usize, sequences: &mut [Sequence], cursor: &mut Cursor, limits: Limits) -> bool {
        self.find_anywhere(data, block, sequences, cursor, limits)
    }

    #[inline(always)]
    fn find_anywhere(&mut self, data: &[u8], block: usize, sequences: &mut [Sequence], cursor: &mut Cursor, limits: Limits) -> bool {
        let Limits { stop, distance_max, count_max } = limits;
        let Cursor { mut pos, mut run_start, mut count } = *cursor;
        let end = data.len();
        let stop = stop.min((end + 1).saturating_sub(ROUND_BYTES));
        if pos >= stop || count >= count_max {
            return false;
        }
        assert!(distance_max <= WINDOW_BYTES && self.reached <= pos);
        if pos == block {
            self.shortest = shortest_match(&data[block..]);
        }
        let mut full = false;
        while pos < stop {
            let (mut len, mut distance) = self.longest(data, pos, distance_max, self.shortest - 1, DEPTH);
            if len < self.shortest {
                self.counts.literal(data[pos]);
                self.splitter.literal(data[pos]);
                pos += 1;
                continue;
            }
            let mut entered = pos + 1;
            // Not as far as the round, lest it depend on how the input was cut.
            while len < NICE && pos + 1 + ROUND_BYTES <= end {
                let (next_len, next_distance) = self.longest(data, pos + 1, distance_max, len - 1, NEXT_DEPTH);
                entered = pos + 2;
                // A byte of length is worth about four bits, a distance its logarithm; the match at hand saves a literal.
                let gain = 4 * (next_len as i32 - len as i32) + distance.ilog2() as i32 - next_distance.max(1).ilog2() as i32;
                if next_len < len || gain <= 2 {
                    break;
                }
                self.counts.literal(data[pos]);
                self.splitter.literal(data[pos]);
                pos += 1;
                (len, distance) = (next_len, next_distance);
            }
            let mut run = pos - run_start;
            while run > Sequence::RUN_MAX {
                sequences[count] = Sequence::literals(Sequence::RUN_MAX);
                count += 1;
                run -= Sequence::RUN_MAX;
            }
            sequences[count] = Sequence::new(run, len, distance);
            count += 1;
            self.counts.a_match(len, distance);
            self.splitter.a_match(len);
            pos += len;
            run_start = pos;
            if pos + 8 > end {
                break;
            }
            for at in entered..pos {
                // SAFETY: `at + 8` < `pos + 8` ≤ `end`.
                let word = unsafe { load64(data.as_ptr().wrapping_add(at)) };
                self.enter_word(at, word);
            }
            full = self.splitter.should_end(pos - block);
            if full || count >= count_max {
                break;
            }
        }
        self.reached = pos;
        *cursor = Cursor { pos, run_start, count };
        full
    }

    /// Enters `pos`, at least `ROUND_BYTES` before the end, and returns the longest match there of more than `least` bytes, and its distance; length 0 if
    /// there is none.
    #[inline(always)]
    fn longest(&mut self, data: &[u8], pos: usize, distance_max: usize, least: usize, depth: u32) -> (usize, usize) {
        let bytes = data.as_ptr();
        assert!(pos + 8 <= data.len());
        // SAFETY: eight bytes of data, as was just checked.
        let word = unsafe { load64(bytes.wrapping_add(pos)) };
        let (mut distance, short_distance) = self.enter_word(pos, word);
        let max = MATCH_BYTES_MAX.min(data.len() - pos);
        let reach = distance_max.min(pos);
        let (mut best, mut best_distance) = (least, 0);
        if least < MATCH_BYTES_MIN && short_distance.wrapping_sub(1) < reach.min(SHORT_DISTANCE_MAX) {
            // SAFETY: `pos - short_distance` is not before the data, as `short_distance` is at most `reach` ≤ `pos`, and eight bytes follow it.
            let there = unsafe { load64(bytes.wrapping_add(pos - short_distance)) };
            if (there ^ word) as u32 & 0xff_ffff == 0 {
                best = MATCH_BYTES_MIN;
                best_distance = short_distance;
            }
        }
        let mut left = depth;
        while left > 0 && distance.wrapping_sub(1) < reach && best + 5 <= max {
            left -= 1;
            let candidate = pos - distance;
            // The four bytes that end where a better match must reach; most candidates differ there.
            let last = best.max(3) - 3;
            // SAFETY: `last + 8` ≤ `best + 5` or 8; both are at most `max` or 8, so at most the end of the data from `pos` on, and `candidate` is before `pos`.
            let there = unsafe { load64(bytes.wrapping_add(candidate + last)) };
            // SAFETY: likewise.
            let here = unsafe { load64(bytes.wrapping_add(pos + last)) };
            if (there ^ here) as u32 == 0 {
                let len = match_bytes(data, candidate, pos);
                if len > best {
                    (best, best_distance) = (len, distance);
                    if len >= NICE {
                        break;
                    }
                }
            }
            // The first of its hash: position 0, to which all heads lead at first.
            let link = self.links[candidate.wrapping_add(self.shift) % WINDOW_BYTES];
            if link == 0 {
                break;
            }
            distance += usize::from(link);
        }
        if best_distance == 0 { (0, 0) } else { (best, best_distance) }
    }
}

/// Returns the shortest match that is worth its bits in data that begins like this: where few literals occur, they are cheap.
fn shortest_match(data: &[u8]) -> usize {
    let mut used = [0u64; 4];
    for &byte in &data[..data.len().min(4096)] {
        used[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }
    match used.iter().map(|bits| bits.count_ones()).sum::<u32>() {
        0..12 => 6,
        12..24 => 5,
        24..80 => 4,
        _ => 3,
    }
}
