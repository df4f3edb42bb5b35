//! Finding matches at the high level: chains of all positions with the same hash, searched to a depth; a match gives way to one at the next position that
//! is worth more; blocks end where the symbols change.

use super::find::{Limits, match_bytes};
use super::load32;
use super::sequence::{Counts, Cursor, Sequence, put_match};
use super::split::Splitter;
use super::table::{HASHED_BYTES, SWEEP_BYTES, change_all, hash, hash_three};
use crate::constants::*;
use crate::status::WINDOW_BYTES;

/// Bytes that a round needs behind its position.
pub(crate) const ROUND_BYTES: usize = 8;
/// Heads of chains of four bytes: 128 KiB.
const HASH_BITS: u32 = 16;
/// Last positions of three bytes: 32 KiB.
const SHORT_HASH_BITS: u32 = 14;
/// Candidates that are looked at for a position, and for the next one when there is a match already.
const DEPTH: u32 = 38;
const NEXT_DEPTH: u32 = 18;
/// A match of this many bytes is taken at once.
const NICE: usize = 72;
/// Three bytes from further away cost more than as literals.
const SHORT_DISTANCE_MAX: usize = 4096;
/// What a match must gain to take the place of the one before it, in bits: four for a byte of length, less the logarithm of the distance.
const GAIN_MIN: usize = 3;
/// Most positions by which matches give way in a row: each time the worth grows by `GAIN_MIN`, from that of three bytes as far away as may be at
/// least to that of one that is not nice and near at most, and a nice one ends it.
pub(crate) const GIVES_WAY_MAX: usize = (4 * (NICE - 1) + 15 - 4 * MATCH_BYTES_MIN) / GAIN_MIN + 1;

/// The number of the first position: more than a window, so that an entry of 0 is too far from every position before the first sweep.
const FIRST: usize = WINDOW_BYTES + 1;

const _: () = assert!(FIRST + SWEEP_BYTES + MATCH_BYTES_MAX + GIVES_WAY_MAX < 1 << 16);

/// Positions, all as numbers modulo 2^16 that a rebase leaves as they are. Whatever they say, a candidate is used only within the data and after a
/// comparison. What is more than a window away from a sweep stays so until the next one.
struct Tables {
    /// The last position of each hash of four bytes.
    heads: [u16; 1 << HASH_BITS],
    /// The last position of each hash of three bytes.
    short: [u16; 1 << SHORT_HASH_BITS],
    /// For each position of the window the one before it in its chain. Those of positions never entered mean nothing.
    links: [u16; WINDOW_BYTES],
}

/// Chains of positions, and the block that is made with them.
pub struct Chains {
    tables: Tables,
    /// The number of position 0.
    base: usize,
    reached: usize,
    /// Shortest match worth a look in the block at hand.
    shortest: usize,
    splitter: Splitter,
    /// Where the splitter compared last: always behind a match.
    compared: Cursor,
    /// The symbols behind that place differ from those before it.
    differs: bool,
    pub(crate) counts: Counts,
}

impl Chains {
    pub(crate) const fn new() -> Self {
        Chains {
            tables: Tables { heads: [0; 1 << HASH_BITS], short: [0; 1 << SHORT_HASH_BITS], links: [0; WINDOW_BYTES] },
            base: FIRST,
            reached: 0,
            shortest: MATCH_BYTES_MIN,
            splitter: Splitter::new(),
            compared: Cursor::ZERO,
            differs: false,
            counts: Counts::new(),
        }
    }

    /// Begins a block.
    pub(crate) fn begin_block(&mut self) {
        self.counts = Counts::new();
        self.splitter = Splitter::new();
        self.compared = Cursor::ZERO;
        self.differs = false;
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.tables.heads.fill(0);
        self.tables.short.fill(0);
        self.base = FIRST;
        self.reached = 0;
    }

    /// Follows the data when what is at `pos`, at or behind all that was entered, moves to `to`.
    pub(crate) fn rebase(&mut self, pos: usize, to: usize) {
        assert!(pos >= self.reached);
        self.base = self.base.wrapping_add(pos - to);
        self.reached = (self.reached + to).saturating_sub(pos);
        self.compared.pos = self.compared.pos.saturating_sub(pos - to);
    }

    /// As `Table::sweep`.
    pub(crate) fn sweep(&mut self, pos: usize) {
        self.tables.change(self.base.wrapping_add(pos) as u16, |back| back.min(FIRST as u16));
        self.reached = pos;
    }

    /// Forgets positions at and behind `pos`.
    pub(crate) fn rewind(&mut self, pos: usize) {
        let ahead = self.reached.saturating_sub(pos).min(usize::from(u16::MAX)) as u16;
        let reached = self.base.wrapping_add(self.reached) as u16;
        self.tables.change(reached, |back| if back <= ahead { FIRST as u16 } else { back.min(FIRST as u16) });
        self.reached = self.reached.min(pos);
    }

    /// Returns the end of what was entered.
    pub(crate) fn reached(&self) -> usize {
        self.reached
    }

    /// Enters a position that four bytes follow, and returns the one before with the same hash.
    pub(crate) fn enter(&mut self, data: &[u8], at: usize) -> usize {
        let word = u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
        let number = self.base.wrapping_add(at) as u16;
        self.reached = self.reached.max(at + 1);
        at.wrapping_sub(usize::from(number.wrapping_sub(self.tables.enter(number, word).0)))
    }

    /// Ends the block in front of symbols that differ, if there are such; returns where the search stands behind it.
    pub(crate) fn end_block(&mut self, data: &[u8], sequences: &[Sequence], cursor: &mut Cursor) -> Option<Cursor> {
        if !core::mem::take(&mut self.differs) {
            return None;
        }
        let ahead = core::mem::replace(cursor, self.compared);
        self.counts.take(&Counts::of(&data[cursor.pos..], &sequences[cursor.count..ahead.count]));
        Some(ahead)
    }

    /// Begins a block with sequences that were found already: those of its first bytes, `data`.
    pub(crate) fn carry_on(&mut self, data: &[u8], sequences: &[Sequence], cursor: Cursor) {
        self.counts = Counts::of(data, sequences);
        self.splitter.keep_new();
        self.compared = cursor;
        self.shortest = shortest_match(data);
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
        let Self { tables, counts, splitter, compared, base, shortest, .. } = &mut *self;
        let (base, shortest) = (*base, *shortest);
        let mut full = false;
        while pos < stop {
            let (mut len, mut distance) = tables.longest(data, pos, base, distance_max, shortest - 1, DEPTH);
            if len < shortest {
                counts.literal(data[pos]);
                splitter.literal(data[pos]);
                pos += 1;
                continue;
            }
            let mut entered = pos + 1;
            // Not as far as the round, lest it depend on how the input was cut.
            while len < NICE && pos + 1 + ROUND_BYTES <= end {
                let (next_len, next_distance) = tables.longest(data, pos + 1, base, distance_max, len - 1, NEXT_DEPTH);
                entered = pos + 2;
                // A byte of length is worth about four bits, a distance its logarithm; the match at hand saves a literal.
                let gain = 4 * (next_len as i32 - len as i32) + distance.ilog2() as i32 - next_distance.max(1).ilog2() as i32;
                if next_len < len || gain < GAIN_MIN as i32 {
                    break;
                }
                counts.literal(data[pos]);
                splitter.literal(data[pos]);
                pos += 1;
                (len, distance) = (next_len, next_distance);
            }
            count = put_match(sequences, count, pos - run_start, len, distance);
            counts.a_match(len, distance);
            splitter.a_match(len);
            pos += len;
            run_start = pos;
            if pos + 8 > end {
                break;
            }
            for at in entered..pos {
                // SAFETY: `at + 8` < `pos + 8` ≤ `end`.
                let word = unsafe { load32(data.as_ptr().wrapping_add(at)) };
                tables.enter(base.wrapping_add(at) as u16, word);
            }
            if splitter.has_enough() {
                full = splitter.differs(compared.pos.saturating_sub(block));
                if full {
                    break;
                }
                splitter.merge();
                *compared = Cursor { pos, run_start, count };
            }
            if count >= count_max {
                break;
            }
        }
        self.reached = pos;
        self.differs = full;
        *cursor = Cursor { pos, run_start, count };
        full
    }
}

impl Tables {
    /// Changes the way back from a position that each entry is.
    fn change(&mut self, number: u16, change: impl Fn(u16) -> u16) {
        let change = |entry| number.wrapping_sub(change(number.wrapping_sub(entry)));
        change_all(&mut self.heads, change);
        change_all(&mut self.short, change);
        change_all(&mut self.links, change);
    }

    /// Enters a position whose first bytes are `word`, and returns the numbers of candidates of four and of three bytes.
    #[inline(always)]
    fn enter(&mut self, number: u16, word: u32) -> (u16, u16) {
        let head = core::mem::replace(&mut self.heads[hash(word, HASH_BITS)], number);
        let short = core::mem::replace(&mut self.short[hash_three(word, SHORT_HASH_BITS)], number);
        self.links[usize::from(number) % WINDOW_BYTES] = head;
        (head, short)
    }

    /// Enters `pos`, at least `ROUND_BYTES` before the end, and returns the longest match there of more than `least` bytes, and its distance; length 0 if
    /// there is none.
    #[inline(always)]
    fn longest(&mut self, data: &[u8], pos: usize, base: usize, distance_max: usize, least: usize, depth: u32) -> (usize, usize) {
        assert!(pos + 8 <= data.len());
        let here = data.as_ptr().wrapping_add(pos);
        // SAFETY: eight bytes of data, as was just checked.
        let word = unsafe { load32(here) };
        let number = base.wrapping_add(pos) as u16;
        let (mut node, short) = self.enter(number, word);
        let reach = distance_max.min(pos);
        let max = MATCH_BYTES_MAX.min(data.len() - pos);
        let nice = NICE.min(max);
        let (mut best, mut best_distance) = (least, 0);
        if least < MATCH_BYTES_MIN {
            let distance = usize::from(number.wrapping_sub(short));
            if distance.wrapping_sub(1) < reach.min(SHORT_DISTANCE_MAX) {
                // SAFETY: `distance` is at most `reach` ≤ `pos`, and four bytes follow `pos`.
                let there = unsafe { load32(here.wrapping_sub(distance)) };
                if (there ^ word) << 8 == 0 {
                    (best, best_distance) = (MATCH_BYTES_MIN, distance);
                }
            }
        }
        let mut distance = usize::from(number.wrapping_sub(node));
        // The four bytes that end where a better match must reach; most candidates differ there.
        let mut last = best.max(HASHED_BYTES - 1) - (HASHED_BYTES - 1);
        if distance > reach || last + HASHED_BYTES > max {
            return (if best_distance == 0 { 0 } else { best }, best_distance);
        }
        // SAFETY: `last + 4` ≤ `max` bytes follow `pos` in the data.
        let mut tail = unsafe { load32(here.wrapping_add(last)) };
        let mut left = depth;
        loop {
            // SAFETY: `distance` is at most `reach` ≤ `pos`, and `last + 4` bytes follow `pos`, the more so what is before it.
            let there = unsafe { load32(here.wrapping_sub(distance).wrapping_add(last)) };
            if there == tail && distance != 0 {
                let len = match_bytes_apart(data, pos - distance, pos);
                if len > best {
                    (best, best_distance) = (len, distance);
                    last = best.max(HASHED_BYTES - 1) - (HASHED_BYTES - 1);
                    if len >= nice {
                        break;
                    }
                    // SAFETY: as before: `last + 4` ≤ `max`, as `len` is less.
                    tail = unsafe { load32(here.wrapping_add(last)) };
                }
            }
            left -= 1;
            node = self.links[usize::from(node) % WINDOW_BYTES];
            distance = usize::from(number.wrapping_sub(node));
            if left == 0 || distance > reach {
                break;
            }
        }
        (if best_distance == 0 { 0 } else { best }, best_distance)
    }
}

/// [`match_bytes`], out of the way of the loop that calls it: there are more candidates than matches, and the loop needs the registers.
#[inline(never)]
fn match_bytes_apart(data: &[u8], from: usize, pos: usize) -> usize {
    match_bytes(data, from, pos)
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

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::{DeflateHigh, Flush, Framing, Params, Status};
    use std::boxed::Box;
    use std::vec::Vec;

    /// Text of which every position has a match one byte longer than the one before it; behind it noise, so that the end of the data is far. Returns where it
    /// begins and where the noise does, too.
    fn ever_longer() -> (Vec<u8>, usize, usize) {
        let mut seed = 1u64;
        let noise: Vec<u8> = (0..2000)
            .map(|_| {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (seed >> 40) as u8
            })
            .collect();
        let longest = NICE + 4;
        let (text, rest) = noise.split_at(3 * longest);
        let mut data = Vec::new();
        for at in 0..longest {
            data.extend_from_slice(&text[at..2 * at + HASHED_BYTES]);
            data.push(rest[at]);
        }
        let begin = data.len();
        data.extend_from_slice(text);
        data.extend_from_slice(&rest[longest..]);
        (data, begin, begin + text.len())
    }

    #[test]
    fn zp_s01_matches_give_way_for_no_longer_than_the_lookahead_allows() {
        let (data, begin, end) = ever_longer();
        let mut chains = Box::new(Chains::new());
        let mut sequences = [Sequence::EMPTY; 1000];
        let mut cursor = Cursor::ZERO;
        chains.begin_block();
        for stop in [begin, end] {
            cursor.run_start = cursor.pos;
            chains.find(&data, 0, &mut sequences, &mut cursor, Limits { stop, distance_max: WINDOW_BYTES, count_max: 900 });
        }
        let given_way = sequences[..cursor.count].iter().map(|sequence| sequence.run()).max().unwrap_or(0);
        assert!((NICE - 2 * HASHED_BYTES..=GIVES_WAY_MAX).contains(&given_way), "{given_way} literals in front of a match");
    }

    #[test]
    fn zp_s01_single_bytes_make_the_same_stream_where_matches_give_way_for_long() {
        let (data, ..) = ever_longer();
        let mut deflate = Box::new(DeflateHigh::new());
        let (mut whole, mut pieces) = (std::vec![0; 8000], std::vec![0; 8000]);
        deflate.reset(Params::new(Framing::Raw));
        let put = deflate.step(&data, &mut whole, Flush::Finish);
        assert_eq!(put.status, Status::Done);
        deflate.reset(Params::new(Framing::Raw));
        let mut at = 0;
        for (place, byte) in data.iter().enumerate() {
            let flush = if place + 1 == data.len() { Flush::Finish } else { Flush::None };
            at += deflate.step(core::slice::from_ref(byte), &mut pieces[at..], flush).produced;
        }
        assert!(pieces[..at] == whole[..put.produced]);
    }
}
