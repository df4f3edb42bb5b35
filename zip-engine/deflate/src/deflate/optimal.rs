//! Finding matches at the best level: all lengths at every position from binary trees, then the cheapest way through the block, found again with the
//! costs that the last way leads to.
//!
//! A tree holds the positions of one hash, the last one at its root, ordered by the bytes that follow them; descending from the root toward the place
//! of a new position passes candidates that agree with it in more and more bytes, and splits the tree into the children of the new root.

use super::huffman::build_lengths;
use crate::constants::*;
use crate::fast::find::{Limits, match_bytes};
use crate::fast::sequence::{Counts, Cursor, LENGTH_SYMBOL, Sequence, distance_symbol};
use crate::fast::split::Splitter;
use crate::fast::table::{HASHED_BYTES, hash, hash_three};
use crate::status::WINDOW_BYTES;

/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = 256 * 1024;
/// Roots of trees of four bytes: 256 KiB.
const HASH_BITS: u32 = 16;
/// Last positions of three bytes, two of each hash: 128 KiB.
const SHORT_HASH_BITS: u32 = 14;
/// Candidates that are looked at for a position.
const DEPTH: usize = 280;
/// Matches of all positions of a block, with their numbers: 4 MiB. When it is full the block ends.
const MATCHES: usize = 1024 * 1024;
/// Most matches of one position: one of each length.
const MATCHES_EACH: usize = MATCH_BYTES_MAX - MATCH_BYTES_MIN + 1;
/// Ways through a block that are tried, at most; one that saves fewer bits than the other number is the last.
const PASSES: usize = 10;
const WORTHWHILE_BITS: u32 = 2;
/// Positions with children: more than the window, because the one that is a whole window back must not share a slot with the one at hand.
const SLOTS: usize = 2 * WINDOW_BYTES;
/// Position numbers begin here, so that 0 is too far from all of them.
const BASE: u32 = WINDOW_BYTES as u32 + 1;
/// A bit costs so much.
const BIT: u32 = 16;
/// Three bytes from further away cost more than as literals, roughly.
const NEAR: u32 = 4096;
/// Bits of symbols that the last way did not use.
const UNUSED_LITERAL: u8 = 13;
const UNUSED_LENGTH: u8 = 13;
const UNUSED_DISTANCE: u8 = 10;

/// One step of a way: its length in 8:0 (1: a literal), distance - 1 above.
type Step = u32;

/// Trees, the matches of a block, and ways through it.
pub struct Optimal {
    roots: [u32; 1 << HASH_BITS],
    /// The last two positions of each hash of three bytes, the last one first.
    short: [[u32; 2]; 1 << SHORT_HASH_BITS],
    /// Smaller and greater child of each position.
    children: [[u32; 2]; SLOTS],
    /// What turns a position into its number.
    base: u32,
    reached: usize,
    /// Per position its matches by ascending length, each a [`Step`], then how many they are.
    matches: [u32; MATCHES],
    matches_len: usize,
    /// End of the positions whose matches are there.
    matched: usize,
    /// Positions that are still inside of a longest match and have no matches of their own: it is taken.
    inside: usize,
    /// Where the parse that feeds the splitter looks next.
    observe_at: usize,
    /// Cost of the way from each position to the end of the block, and its first step.
    costs: [u32; BLOCK_BYTES + MATCH_BYTES_MAX + 16],
    steps: [Step; BLOCK_BYTES + MATCH_BYTES_MAX + 16],
    prices: Prices,
    splitter: Splitter,
    /// Where the splitter compared last, and the end of the matches of positions before it.
    compared: (usize, usize),
    /// The symbols behind that place differ from those before it.
    differs: bool,
    /// No block has told what symbols cost.
    is_new: bool,
    pub(crate) counts: Counts,
}

/// What symbols cost.
struct Prices {
    literals: [u32; 256],
    lengths: [u32; MATCH_BYTES_MAX + 1],
    distances: [u32; DISTANCE_SYMBOLS],
}

impl Prices {
    /// Prices before anything is known of a stream.
    const FIRST: Self = {
        let mut lengths = [0; MATCH_BYTES_MAX + 1];
        let mut length = MATCH_BYTES_MIN;
        while length <= MATCH_BYTES_MAX {
            let symbol = LENGTH_SYMBOL[length - MATCH_BYTES_MIN] as usize;
            lengths[length] = (6 + LENGTH_EXTRA[symbol] as u32 + symbol as u32 / 8) * BIT;
            length += 1;
        }
        let mut distances = [0; DISTANCE_SYMBOLS];
        let mut symbol = 0;
        while symbol < DISTANCE_USED {
            distances[symbol] = (5 + DISTANCE_EXTRA[symbol] as u32) * BIT;
            symbol += 1;
        }
        Prices { literals: [8 * BIT; 256], lengths, distances }
    };

    /// Sets every price to the mean of it and another one.
    fn approach(&mut self, other: &Self) {
        let pairs = |prices: &mut [u32], others: &[u32]| {
            for (price, other) in prices.iter_mut().zip(others) {
                *price = (*price + other) / 2;
            }
        };
        pairs(&mut self.literals, &other.literals);
        pairs(&mut self.lengths, &other.lengths);
        pairs(&mut self.distances, &other.distances);
    }

    /// Sets the prices that symbols so frequent have in their own code.
    fn follow(&mut self, counts: &Counts) {
        let mut litlen = counts.litlen;
        litlen[END_OF_BLOCK] += 1;
        let mut lengths = [0; LITLEN_SYMBOLS];
        build_lengths(&litlen[..LITLEN_SYMBOLS], 14, &mut lengths);
        let or = |length: u8, unused: u8| u32::from(if length == 0 { unused } else { length }) * BIT;
        for (price, &length) in self.literals.iter_mut().zip(&lengths) {
            *price = or(length, UNUSED_LITERAL);
        }
        for (price, &symbol) in self.lengths[MATCH_BYTES_MIN..].iter_mut().zip(&LENGTH_SYMBOL) {
            let symbol = usize::from(symbol);
            *price = or(lengths[257 + symbol], UNUSED_LENGTH) + u32::from(LENGTH_EXTRA[symbol]) * BIT;
        }
        let mut lengths = [0; DISTANCE_SYMBOLS];
        build_lengths(&counts.distance, CODEWORD_BITS_MAX, &mut lengths);
        for ((price, &length), &extra) in self.distances.iter_mut().zip(&lengths).zip(&DISTANCE_EXTRA) {
            *price = or(length, UNUSED_DISTANCE) + u32::from(extra) * BIT;
        }
    }
}

fn word_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])
}

impl Optimal {
    pub(crate) const fn new() -> Self {
        Optimal {
            roots: [0; 1 << HASH_BITS],
            short: [[0; 2]; 1 << SHORT_HASH_BITS],
            children: [[0; 2]; SLOTS],
            base: BASE,
            reached: 0,
            matches: [0; MATCHES],
            matches_len: 0,
            matched: 0,
            inside: 0,
            observe_at: 0,
            costs: [0; BLOCK_BYTES + MATCH_BYTES_MAX + 16],
            steps: [0; BLOCK_BYTES + MATCH_BYTES_MAX + 16],
            prices: Prices::FIRST,
            splitter: Splitter::new(),
            compared: (0, 0),
            differs: false,
            is_new: true,
            counts: Counts::new(),
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.roots.fill(0);
        self.short.fill([0; 2]);
        self.base = BASE;
        self.reached = 0;
        self.prices = Prices::FIRST;
        self.is_new = true;
    }

    /// Begins a block.
    pub(crate) fn begin_block(&mut self) {
        self.counts = Counts::new();
        self.splitter = Splitter::new();
        self.compared = (0, 0);
        self.differs = false;
        self.matches_len = 0;
        self.matched = 0;
        self.inside = 0;
        self.observe_at = 0;
    }

    /// Follows the data when what is at `pos`, at or behind all that was entered, moves to `to`.
    pub(crate) fn rebase(&mut self, pos: usize, to: usize) {
        self.base = self.base.wrapping_add((pos - to) as u32);
        self.reached = to;
        self.matched = self.matched.saturating_sub(pos - to);
        self.observe_at = self.observe_at.saturating_sub(pos - to);
        self.compared.0 = self.compared.0.saturating_sub(pos - to);
    }

    /// Keeps position numbers below 2^32: once in 2 GiB everything is forgotten.
    pub(crate) fn sweep(&mut self, pos: usize) {
        if self.base.wrapping_add(pos as u32) > 1 << 31 {
            self.roots.fill(0);
            self.short.fill([0; 2]);
            self.base = BASE.wrapping_sub(pos as u32);
        }
    }

    /// Forgets positions at and behind `pos`.
    pub(crate) fn rewind(&mut self, pos: usize) {
        let first = self.base.wrapping_add(pos as u32);
        for number in self.roots.iter_mut().chain(self.short.as_flattened_mut()).filter(|number| **number >= first) {
            *number = 0;
        }
        self.reached = self.reached.min(pos);
    }

    /// Returns the end of what was entered.
    pub(crate) fn reached(&self) -> usize {
        self.reached
    }

    /// Enters nothing: a position without its place in a tree would be a false promise.
    pub(crate) fn enter(&mut self, _data: &[u8], at: usize) -> usize {
        at
    }

    /// Enters positions of history.
    pub(crate) fn enter_history(&mut self, data: &[u8]) {
        for at in 0..data.len().saturating_sub(HASHED_BYTES - 1) {
            self.descend(data, at, WINDOW_BYTES, &mut |_, _| {});
        }
        self.reached = data.len().saturating_sub(HASHED_BYTES - 1);
    }

    /// Enters a position that four bytes follow, and gives ever longer matches with their distances to `found`. Returns the longest length, or 2.
    #[inline(always)]
    fn descend(&mut self, data: &[u8], pos: usize, distance_max: usize, found: &mut impl FnMut(usize, usize)) -> usize {
        let max = MATCH_BYTES_MAX.min(data.len() - pos);
        let word = word_at(data, pos);
        let me = self.base.wrapping_add(pos as u32);
        let reach = distance_max.min(pos) as u32;
        let mut best = MATCH_BYTES_MIN - 1;

        let short = &mut self.short[hash_three(word, SHORT_HASH_BITS)];
        let candidates = *short;
        *short = [me, candidates[0]];
        for number in candidates {
            let distance = me.wrapping_sub(number);
            if distance.wrapping_sub(1) < reach && (word_at(data, pos - distance as usize) ^ word) << 8 == 0 {
                best = MATCH_BYTES_MIN;
                found(best, distance as usize);
                break;
            }
        }

        let root = &mut self.roots[hash(word, HASH_BITS)];
        let mut node = core::mem::replace(root, me);
        // Where the next smaller and the next greater node go: the slot's position and side.
        let slot = me as usize % SLOTS;
        let (mut smaller, mut greater) = ((slot, 0), (slot, 1));
        let (mut smaller_len, mut greater_len) = (0, 0);
        for _ in 0..DEPTH {
            let distance = me.wrapping_sub(node);
            if distance.wrapping_sub(1) >= reach {
                break;
            }
            let candidate = pos - distance as usize;
            let at = node as usize % SLOTS;
            // All nodes below agree with what was passed on either side at least as far.
            let mut len = smaller_len.min(greater_len);
            if data[candidate + len] == data[pos + len] {
                len += match_bytes(&data[..pos + max], candidate + len, pos + len);
                len = len.min(max);
                if len > best {
                    best = len;
                    found(len, distance as usize);
                }
                if len == max {
                    // As good as equal: its children become the new ones.
                    self.children[smaller.0][smaller.1] = self.children[at][0];
                    self.children[greater.0][greater.1] = self.children[at][1];
                    return best;
                }
            }
            if data[candidate + len] < data[pos + len] {
                self.children[smaller.0][smaller.1] = node;
                smaller = (at, 1);
                smaller_len = len;
                node = self.children[at][1];
            } else {
                self.children[greater.0][greater.1] = node;
                greater = (at, 0);
                greater_len = len;
                node = self.children[at][0];
            }
        }
        self.children[smaller.0][smaller.1] = 0;
        self.children[greater.0][greater.1] = 0;
        best
    }

    /// Collects the matches of the block that begins at `block`; returns whether it should end here.
    pub(crate) fn find(&mut self, data: &[u8], block: usize, cursor: &mut Cursor, limits: Limits) -> bool {
        let stop = limits.stop.min(data.len().saturating_sub(HASHED_BYTES - 1));
        let mut pos = cursor.pos;
        let mut full = false;
        let mut matches_len = self.matches_len;
        // The list is outside of the trees, which the call that fills it changes.
        let mut each = [0u32; MATCHES_EACH];
        while pos < stop && !full {
            let begin = matches_len;
            let mut each_len = 0;
            let best = self.descend(data, pos, limits.distance_max, &mut |len, distance| {
                each[each_len % MATCHES_EACH] = len as u32 | (distance as u32 - 1) << 9;
                each_len += 1;
            });
            if self.inside == 0 {
                self.matches[begin..begin + each_len].copy_from_slice(&each[..each_len]);
                matches_len = begin + each_len;
                if best == MATCH_BYTES_MAX {
                    self.inside = MATCH_BYTES_MAX;
                }
            } else {
                each_len = 0;
            }
            self.inside = self.inside.saturating_sub(1);
            self.matches[matches_len] = each_len as u32;
            matches_len += 1;
            if pos >= self.observe_at {
                if best >= MATCH_BYTES_MIN {
                    self.splitter.a_match(best);
                } else {
                    self.splitter.literal(data[pos]);
                }
                self.observe_at = pos + if best >= MATCH_BYTES_MIN { best } else { 1 };
            }
            pos += 1;
            if self.splitter.has_enough() && self.inside == 0 && pos >= self.observe_at {
                self.differs = self.splitter.differs(self.compared.0.saturating_sub(block));
                full = self.differs;
                if !full {
                    self.splitter.merge();
                    self.compared = (pos, matches_len);
                }
            }
            full |= matches_len + MATCHES_EACH + MATCH_BYTES_MAX + 2 > MATCHES;
        }
        self.matches_len = matches_len;
        self.matched = pos;
        self.reached = self.reached.max(pos);
        cursor.pos = pos;
        cursor.run_start = block;
        full
    }

    /// Ends the block, in front of symbols that differ if there are such, and makes sequences of the cheapest way through it. Returns where the search stands
    /// behind it.
    pub(crate) fn end_block(&mut self, data: &[u8], block: usize, sequences: &mut [Sequence], cursor: &mut Cursor) -> Option<Cursor> {
        let ahead = self.differs.then_some(*cursor);
        let mut matches_len = self.matches_len;
        if core::mem::take(&mut self.differs) {
            (cursor.pos, matches_len) = self.compared;
        }
        let bytes = &data[block..cursor.pos];
        let matched = self.matched.saturating_sub(block).min(bytes.len());
        if bytes.is_empty() || matched == 0 && matches_len == 0 {
            return ahead;
        }
        // Between what the last block's symbols cost and what a rough way through this one says.
        self.first_way(bytes, matched, matches_len);
        self.count_way(bytes);
        let before = core::mem::replace(&mut self.prices, Prices::FIRST);
        self.prices.follow(&self.counts);
        if !core::mem::take(&mut self.is_new) {
            self.prices.approach(&before);
        }
        let mut last = u32::MAX;
        for _ in 0..PASSES {
            self.search_way(bytes, matched, matches_len);
            self.count_way(bytes);
            let cost = self.costs[0];
            self.prices.follow(&self.counts);
            if cost.saturating_add(WORTHWHILE_BITS * BIT) >= last {
                break;
            }
            last = cost;
        }
        let (mut at, mut run) = (0, 0);
        while at < bytes.len() {
            let step = self.steps[at];
            let len = (step & 0x1ff) as usize;
            at += len;
            if len == 1 {
                run += 1;
                continue;
            }
            while run > Sequence::RUN_MAX {
                sequences[cursor.count] = Sequence::literals(Sequence::RUN_MAX);
                cursor.count += 1;
                run -= Sequence::RUN_MAX;
            }
            sequences[cursor.count] = Sequence::new(run, len, (step >> 9) as usize + 1);
            cursor.count += 1;
            run = 0;
        }
        cursor.run_start = cursor.pos - run;
        ahead.map(|ahead| Cursor { pos: ahead.pos, run_start: cursor.pos, count: cursor.count })
    }

    /// Begins a block with matches that were found already.
    pub(crate) fn carry_on(&mut self, cursor: Cursor) {
        self.matches.copy_within(self.compared.1..self.matches_len, 0);
        self.matches_len -= self.compared.1;
        self.splitter.keep_new();
        self.compared = (cursor.pos, self.matches_len);
    }

    /// Takes the longest match at each position, unless the next one has a longer one: a way that tells roughly which symbols there will be.
    fn first_way(&mut self, bytes: &[u8], matched: usize, matches_len: usize) {
        let mut next = matches_len;
        let mut ahead = 0;
        for at in (0..bytes.len()).rev() {
            let mut longest = 0;
            if at < matched {
                next -= 1;
                let number = self.matches[next] as usize;
                if number > 0 {
                    longest = self.matches[next - 1];
                }
                next -= number;
            }
            let len = ((longest & 0x1ff) as usize).min(bytes.len() - at);
            let taken = len > MATCH_BYTES_MIN || len == MATCH_BYTES_MIN && longest >> 9 < NEAR;
            self.steps[at] = if taken && len >= ahead { longest & !0x1ff | len as u32 } else { 1 };
            ahead = len;
        }
    }

    /// Finds the cheapest way through the block from its end to its beginning.
    fn search_way(&mut self, bytes: &[u8], matched: usize, matches_len: usize) {
        let Self { matches, costs, steps, prices, .. } = self;
        let mut next = matches_len;
        costs[bytes.len()] = 0;
        for at in (0..bytes.len()).rev() {
            let mut cost = prices.literals[usize::from(bytes[at])] + costs[at + 1];
            let mut step = 1;
            if at < matched {
                next -= 1;
                let number = matches[next] as usize;
                next -= number;
                let mut from = MATCH_BYTES_MIN;
                for &a_match in &matches[next..next + number] {
                    let to = ((a_match & 0x1ff) as usize).min(bytes.len() - at);
                    if from > to {
                        break;
                    }
                    let distance = a_match >> 9;
                    let price = prices.distances[distance_symbol(distance).0 % DISTANCE_SYMBOLS];
                    let ends = costs[at + from..=at + to].iter().zip(&prices.lengths[from..=to]);
                    for (len, (&end, &length)) in (from as u32..).zip(ends) {
                        let this = end + length + price;
                        if this < cost {
                            cost = this;
                            step = len | distance << 9;
                        }
                    }
                    from = to + 1;
                }
            }
            costs[at] = cost;
            steps[at] = step;
        }
    }

    /// Counts the symbols of the way.
    fn count_way(&mut self, bytes: &[u8]) {
        self.counts = Counts::new();
        let mut at = 0;
        while at < bytes.len() {
            let step = self.steps[at];
            let len = (step & 0x1ff) as usize;
            if len == 1 {
                self.counts.literal(bytes[at]);
            } else {
                self.counts.a_match(len, (step >> 9) as usize + 1);
            }
            at += len;
        }
    }
}
