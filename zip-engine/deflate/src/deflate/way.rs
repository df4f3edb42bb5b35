//! The cheapest way through a block of the best level: what symbols cost, and the steps.

use super::huffman::build_lengths;
use crate::constants::*;
use crate::fast::put::LITLEN_BITS_MAX;
use crate::fast::sequence::{Counts, LENGTH_SYMBOL, distance_symbol};

/// A bit costs so much.
pub(super) const BIT: u32 = 16;
/// Three bytes from further away cost more than as literals, roughly.
const NEAR: u32 = 4096;
/// Bits of symbols that the last way did not use.
const UNUSED_LITERAL: u8 = 15;
const UNUSED_LENGTH: u8 = 15;
const UNUSED_DISTANCE: u8 = 12;
/// Bits of a length within a step, and the lengths that fit them.
const LENGTH_BITS: u32 = 9;
const LENGTHS: usize = 1 << LENGTH_BITS;
/// Where the symbol of the distance is in a step.
const SYMBOL_SHIFT: u32 = LENGTH_BITS + 15;

/// One step of a way, or a match: its length in 8:0 (1: a literal), distance - 1 in 23:9, the symbol of the distance in 28:24.
pub(super) type Step = u32;

/// Returns the match of this length and distance.
#[inline(always)]
pub(super) fn match_step(len: usize, distance: usize) -> Step {
    let index = distance as u32 - 1;
    len as u32 | index << LENGTH_BITS | (distance_symbol(index).0 as u32) << SYMBOL_SHIFT
}

/// Returns the length of a step and the symbol of its distance.
#[inline(always)]
pub(super) fn step_of(step: Step) -> (usize, usize) {
    ((step & 0x1ff) as usize, (step >> SYMBOL_SHIFT) as usize % DISTANCE_SYMBOLS)
}

/// Returns the distance of a match.
#[inline(always)]
pub(super) fn distance_of(step: Step) -> usize {
    (step >> LENGTH_BITS & 0x7fff) as usize + 1
}

/// What symbols cost.
pub(super) struct Prices {
    literals: [u32; 256],
    lengths: [u32; LENGTHS],
    distances: [u32; DISTANCE_SYMBOLS],
}

impl Prices {
    /// Prices before anything is known of a stream.
    pub(super) const FIRST: Self = {
        let mut lengths = [0; LENGTHS];
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
    pub(super) fn approach(&mut self, other: &Self) {
        let pairs = |prices: &mut [u32], others: &[u32]| {
            for (price, other) in prices.iter_mut().zip(others) {
                *price = (*price + other) / 2;
            }
        };
        pairs(&mut self.literals, &other.literals);
        pairs(&mut self.lengths, &other.lengths);
        pairs(&mut self.distances, &other.distances);
    }

    /// Sets the prices that symbols so frequent have in their own code, and returns the bits that these symbols take in it.
    pub(super) fn follow(&mut self, counts: &Counts) -> u32 {
        let mut litlen = counts.litlen;
        litlen[END_OF_BLOCK] += 1;
        let mut lengths = [0; LITLEN_SYMBOLS];
        build_lengths(&litlen, LITLEN_BITS_MAX, &mut lengths, &[0; _]);
        let mut bits = 0;
        let or = |length: u8, unused: u8| u32::from(if length == 0 { unused } else { length }) * BIT;
        for (price, &length) in self.literals.iter_mut().zip(&lengths) {
            *price = or(length, UNUSED_LITERAL);
        }
        for (symbol, (&count, &length)) in litlen.iter().zip(&lengths).enumerate() {
            let extra = if symbol > END_OF_BLOCK { LENGTH_EXTRA.get(symbol - END_OF_BLOCK - 1).copied().unwrap_or(0) } else { 0 };
            bits += count * u32::from(length + extra);
        }
        for (price, &symbol) in self.lengths[MATCH_BYTES_MIN..].iter_mut().zip(&LENGTH_SYMBOL) {
            let symbol = usize::from(symbol);
            *price = or(lengths[257 + symbol], UNUSED_LENGTH) + u32::from(LENGTH_EXTRA[symbol]) * BIT;
        }
        let mut lengths = [0; DISTANCE_SYMBOLS];
        build_lengths(&counts.distance, CODEWORD_BITS_MAX, &mut lengths, &[0; _]);
        for (symbol, ((price, &length), &extra)) in self.distances.iter_mut().zip(&lengths).zip(&DISTANCE_EXTRA).enumerate() {
            *price = or(length, UNUSED_DISTANCE) + u32::from(extra) * BIT;
            bits += counts.distance[symbol] * u32::from(length + extra);
        }
        bits
    }
}

/// The matches of a block: per position its matches by ascending length, then how many they are. The last positions have no such list.
#[derive(Clone, Copy)]
pub(super) struct Matches<'a> {
    /// What ends with those of the last position that has a list.
    pub(super) list: &'a [u32],
    /// Positions with a list.
    pub(super) positions: usize,
}

/// Takes the longest match at each position, unless the next one has a longer one: a way that tells roughly which symbols there will be.
pub(super) fn first_way(bytes: &[u8], matches: Matches<'_>, steps: &mut [Step]) {
    let Matches { list, positions } = matches;
    let mut next = list.len();
    let mut ahead = 0;
    for at in (0..bytes.len()).rev() {
        let mut longest = 0;
        if at < positions {
            next -= 1;
            let number = list[next] as usize;
            if number > 0 {
                longest = list[next - 1];
            }
            next -= number;
        }
        let len = step_of(longest).0.min(bytes.len() - at);
        let taken = len > MATCH_BYTES_MIN || len == MATCH_BYTES_MIN && distance_of(longest) <= NEAR as usize;
        steps[at] = if taken && len >= ahead { longest & !0x1ff | len as u32 } else { 1 };
        ahead = len;
    }
}

/// Bytes behind a block for which [`search_way`] needs room for costs.
pub(super) const COSTS_BEHIND: usize = LENGTHS;

/// Finds the cheapest way through the block from its end to its beginning. `costs` has room for `COSTS_BEHIND` more than `bytes`.
///
/// All lengths are tried: to pass over all but the longest one of each symbol costs a thousandth of the output.
pub(super) fn search_way(bytes: &[u8], matches: Matches<'_>, prices: &Prices, costs: &mut [u32], steps: &mut [Step]) {
    let Matches { list, positions } = matches;
    let positions = positions.min(bytes.len());
    let mut next = list.len();
    let mut behind = 0;
    costs[bytes.len()] = 0;
    for at in (positions..bytes.len()).rev() {
        behind += prices.literals[usize::from(bytes[at])];
        costs[at] = behind;
        steps[at] = 1;
    }
    for at in (0..positions).rev() {
        let mut cost = prices.literals[usize::from(bytes[at])] + behind;
        let mut step = 1;
        next -= 1;
        let number = list[next] as usize;
        if number > 0 {
            let left = bytes.len() - at;
            let ends: &[u32; LENGTHS] = costs[at..].first_chunk().expect("room behind the block");
            let mut len = MATCH_BYTES_MIN;
            for &a_match in &list[next - number..next] {
                let (to, symbol) = step_of(a_match);
                let to = to.min(left);
                let price = prices.distances[symbol];
                let of_match = a_match & !0x1ff;
                while len <= to {
                    let this = ends[len % LENGTHS] + prices.lengths[len % LENGTHS] + price;
                    if this < cost {
                        cost = this;
                        step = len as u32 | of_match;
                    }
                    len += 1;
                }
            }
            next -= number;
        }
        behind = cost;
        costs[at] = cost;
        steps[at] = step;
    }
}

/// Counts the symbols of a way.
pub(super) fn count_way(bytes: &[u8], steps: &[Step], counts: &mut Counts) {
    *counts = Counts::new();
    let mut at = 0;
    while at < bytes.len() {
        let (len, distance_symbol) = step_of(steps[at]);
        if len == 1 {
            counts.literal(bytes[at]);
        } else {
            counts.match_of(len, distance_symbol);
        }
        at += len;
    }
}
