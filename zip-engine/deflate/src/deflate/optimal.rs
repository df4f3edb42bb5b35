//! Finding matches at the best level: all lengths at every position from binary trees; then a plan of blocks, by what their symbols cost; then the cheapest
//! way through each block, found again with the costs that the last way leads to.
//!
//! A tree holds the positions of one hash, the last one at its root, ordered by the bytes that follow them; descending from the root toward the place
//! of a new position passes candidates that agree with it in more and more bytes, and splits the tree into the children of the new root.

use super::cuts::{self, PIECES};
use super::way::{self, COSTS_BEHIND, Matches, Prices, Step, count_way, distance_of, match_step, step_of};
use crate::constants::*;
use crate::fast::find::Limits;
use crate::fast::sequence::{Counts, Cursor, Sequence, put_match};
use crate::fast::table::{HASHED_BYTES, hash, hash_three};
use crate::status::WINDOW_BYTES;
use core::hint::select_unpredictable;

/// Bytes that are divided into blocks together.
pub(super) const BLOCK_BYTES: usize = 256 * 1024;
/// Roots of trees of four bytes: 256 KiB.
const HASH_BITS: u32 = 16;
/// Last positions of three bytes, two of each hash: 128 KiB.
const SHORT_HASH_BITS: u32 = 14;
/// Candidates that are looked at for a position. 280 find nothing that is worth more: a longer match from further away costs its distance.
const DEPTH: usize = 60;
/// Matches of all positions of a plan, with their numbers: 4 MiB. When it is full the plan is made.
const MATCHES: usize = 1024 * 1024;
/// Most matches of one position: one of each length.
const MATCHES_EACH: usize = MATCH_BYTES_MAX - MATCH_BYTES_MIN + 1;
/// Ways through a block that are tried, at most; one that saves no more than so many bits and such a share of all is the last.
const PASSES: usize = 10;
const WORTHWHILE_BITS: u32 = 4;
const WORTHWHILE_SHARE: u32 = 2000;
/// Positions with children. The one that is a whole window back shares its slot with the one at hand.
const SLOTS: usize = WINDOW_BYTES;
/// Position numbers begin here, so that 0 is too far from all of them.
const BASE: u32 = WINDOW_BYTES as u32 + 1;

/// A block to be: where it ends, counted from the first one of the plan, and where its matches do.
#[derive(Clone, Copy)]
struct Planned {
    end: usize,
    matches_end: usize,
}

/// Trees, the matches of a block, and ways through it.
pub struct Optimal {
    roots: [u32; 1 << HASH_BITS],
    /// The last two positions of each hash of three bytes, the last one first.
    short: [[u32; 2]; 1 << SHORT_HASH_BITS],
    /// Smaller and greater child of each position.
    children: [u32; 2 * SLOTS],
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
    /// Cost of the way from each position to the end of the block, and its first step. Positions are counted from the first block of the plan.
    costs: [u32; BLOCK_BYTES + MATCH_BYTES_MAX + COSTS_BEHIND],
    steps: [Step; BLOCK_BYTES + MATCH_BYTES_MAX + COSTS_BEHIND],
    prices: Prices,
    /// The blocks that what has been searched is divided into: how many there are, and how many have been ended.
    plan: [Planned; PIECES],
    planned: usize,
    taken: usize,
    /// No block has told what symbols cost.
    is_new: bool,
    pub(crate) counts: Counts,
}

fn word_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])
}

/// Returns how many bytes agree, at most `max`, where `len` are known to, and whether the first of the two is smaller behind them.
#[inline(always)]
fn compare(there: &[u8], here: &[u8], mut len: usize, max: usize) -> (usize, bool) {
    // Eight bytes behind the longest match, if they are there, save the look at single ones.
    let room = here.len().min(max + 8);
    let (there, here) = (&there[..room], &here[..room]);
    while len + 8 <= room {
        let word = |bytes: &[u8]| u64::from_be_bytes(bytes[len..len + 8].try_into().expect("eight bytes"));
        let (a, b) = (word(there), word(here));
        if a != b {
            return ((len + (a ^ b).leading_zeros() as usize / 8).min(max), a < b);
        }
        len += 8;
        if len >= max {
            return (max, false);
        }
    }
    while len < max && there[len] == here[len] {
        len += 1;
    }
    (len, len < max && there[len] < here[len])
}

impl Optimal {
    pub(crate) const fn new() -> Self {
        Optimal {
            roots: [0; 1 << HASH_BITS],
            short: [[0; 2]; 1 << SHORT_HASH_BITS],
            children: [0; 2 * SLOTS],
            base: BASE,
            reached: 0,
            matches: [0; MATCHES],
            matches_len: 0,
            matched: 0,
            inside: 0,
            costs: [0; BLOCK_BYTES + MATCH_BYTES_MAX + COSTS_BEHIND],
            steps: [0; BLOCK_BYTES + MATCH_BYTES_MAX + COSTS_BEHIND],
            prices: Prices::FIRST,
            plan: [Planned { end: 0, matches_end: 0 }; PIECES],
            planned: 0,
            taken: 0,
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
        self.matches_len = 0;
        self.matched = 0;
        self.inside = 0;
        (self.planned, self.taken) = (0, 0);
    }

    /// Follows the data when what is at `pos`, at or behind all that was entered, moves to `to`.
    pub(crate) fn rebase(&mut self, pos: usize, to: usize) {
        self.base = self.base.wrapping_add((pos - to) as u32);
        self.reached = to;
        self.matched = self.matched.saturating_sub(pos - to);
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
        let children = &mut self.children;
        let here = &data[pos..];
        // Where the next smaller and the next greater node go.
        let slot = me as usize % SLOTS * 2;
        let (mut smaller, mut greater) = (slot, slot + 1);
        let (mut smaller_len, mut greater_len) = (0, 0);
        for _ in 0..DEPTH {
            let distance = me.wrapping_sub(node);
            if distance.wrapping_sub(1) >= reach {
                break;
            }
            let there = &data[pos - distance as usize..];
            let at = node as usize % SLOTS * 2;
            let (smaller_child, greater_child) = (children[at], children[at + 1]);
            // All nodes below agree with what was passed on either side at least as far.
            let (len, is_smaller) = compare(there, here, smaller_len.min(greater_len), max);
            if len > best {
                best = len;
                found(len, distance as usize);
            }
            if len == max && distance as usize != SLOTS {
                // As good as equal: its children become the new ones.
                children[smaller] = smaller_child;
                children[greater] = greater_child;
                return best;
            }
            // What is below is older. A whole window back it is out of reach, and the slot is the one of the position at hand.
            if distance as usize == SLOTS {
                break;
            }
            // Without a branch: which way it goes cannot be guessed.
            children[select_unpredictable(is_smaller, smaller, greater)] = node;
            let place = at + usize::from(is_smaller);
            smaller = select_unpredictable(is_smaller, place, smaller);
            greater = select_unpredictable(is_smaller, greater, place);
            smaller_len = select_unpredictable(is_smaller, len, smaller_len);
            greater_len = select_unpredictable(is_smaller, greater_len, len);
            node = select_unpredictable(is_smaller, greater_child, smaller_child);
        }
        children[smaller] = 0;
        children[greater] = 0;
        best
    }

    /// Collects the matches of the block that begins at `block`; returns whether it should end here.
    pub(crate) fn find(&mut self, data: &[u8], block: usize, cursor: &mut Cursor, limits: Limits) -> bool {
        if self.taken < self.planned {
            return true;
        }
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
                each[each_len % MATCHES_EACH] = match_step(len, distance);
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
            pos += 1;
            full |= matches_len + MATCHES_EACH + MATCH_BYTES_MAX + 2 > MATCHES;
        }
        self.matches_len = matches_len;
        self.matched = pos;
        self.reached = self.reached.max(pos);
        cursor.pos = pos;
        cursor.run_start = block;
        full
    }

    /// Ends the block where the plan says, which is made when there is none, and makes sequences of the cheapest way through it. Returns where the search
    /// stands behind it.
    pub(crate) fn end_block(&mut self, data: &[u8], block: usize, sequences: &mut [Sequence], cursor: &mut Cursor) -> Option<Cursor> {
        if cursor.pos == block {
            return None;
        }
        if self.taken == self.planned {
            self.plan(&data[..cursor.pos], block);
        }
        let begin = if self.taken == 0 { 0 } else { self.plan[self.taken - 1].end };
        let Planned { end, matches_end } = self.plan[self.taken];
        self.taken += 1;
        let searched = cursor.pos;
        cursor.pos = block + end - begin;
        let bytes = &data[block..cursor.pos];
        let matches = Matches { list: &self.matches[..matches_end], positions: self.matched.saturating_sub(block).min(bytes.len()) };
        let (costs, steps) = (&mut self.costs[begin..], &mut self.steps[begin..]);

        count_way(bytes, steps, &mut self.counts);
        let mut last = self.prices.follow(&self.counts);
        for _ in 0..PASSES {
            way::search_way(bytes, matches, &self.prices, costs, steps);
            count_way(bytes, steps, &mut self.counts);
            let bits = self.prices.follow(&self.counts);
            if bits.saturating_add(WORTHWHILE_BITS + bits / WORTHWHILE_SHARE) >= last {
                break;
            }
            last = bits;
        }

        let (mut at, mut run) = (0, 0);
        while at < bytes.len() {
            let step = steps[at];
            let len = step_of(step).0;
            at += len;
            if len == 1 {
                run += 1;
                continue;
            }
            cursor.count = put_match(sequences, cursor.count, run, len, distance_of(step));
            run = 0;
        }
        cursor.run_start = cursor.pos - run;
        (cursor.pos < searched).then_some(Cursor { pos: searched, run_start: cursor.pos, count: cursor.count })
    }

    /// Divides what has been searched, `data` from `block` on, into blocks. If more is to come, the last one stays open.
    fn plan(&mut self, data: &[u8], block: usize) {
        let bytes = &data[block..];
        let positions = self.matched.saturating_sub(block).min(bytes.len());
        let matches = Matches { list: &self.matches[..self.matches_len], positions };
        // Between what the last block's symbols cost and what a rough way through this says.
        way::first_way(bytes, matches, &mut self.steps);
        count_way(bytes, &self.steps, &mut self.counts);
        let before = core::mem::replace(&mut self.prices, Prices::FIRST);
        self.prices.follow(&self.counts);
        if !core::mem::take(&mut self.is_new) {
            self.prices.approach(&before);
        }
        way::search_way(bytes, matches, &self.prices, &mut self.costs, &mut self.steps);

        let mut ends = [0; PIECES];
        let room = self.costs.first_chunk_mut().expect("room for pieces");
        let mut blocks = cuts::divide(bytes, &self.steps, room, &mut ends);
        // Where all positions have been searched the data goes on. At least half of it is taken, so that little is searched for a way again and again.
        if blocks > 1 && positions == bytes.len() && ends[blocks - 2] as usize >= bytes.len() / 2 {
            blocks -= 1;
        }
        let mut next = self.matches_len;
        let mut at = positions;
        for (planned, &end) in self.plan.iter_mut().zip(&ends[..blocks]).rev() {
            while at > end as usize {
                at -= 1;
                next -= 1 + self.matches[next - 1] as usize;
            }
            *planned = Planned { end: end as usize, matches_end: next };
        }
        (self.planned, self.taken) = (blocks, 0);
    }

    /// Begins a block with matches that were found already.
    pub(crate) fn carry_on(&mut self) {
        if self.taken == self.planned {
            let begin = self.plan[self.taken - 1].matches_end;
            self.matches.copy_within(begin..self.matches_len, 0);
            self.matches_len -= begin;
            (self.planned, self.taken) = (0, 0);
        }
    }
}
