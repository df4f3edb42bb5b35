//! Where the blocks of the best level end: the cheapest division of what has been searched, by what the symbols of its pieces would cost in codes of their
//! own.

use super::way::{Step, step_of};
use crate::constants::*;
use crate::fast::sequence::LENGTH_SYMBOL;

/// Pieces of what is divided, at most.
pub(super) const PIECES: usize = 128;
/// Fewest bytes of a piece, where there are so many at all.
pub(super) const PIECE_BYTES_MIN: usize = 1024;
/// Literals, end of block and lengths, then distances.
const SYMBOLS: usize = LITLEN_SYMBOLS + DISTANCE_SYMBOLS;
/// Words of room that [`divide`] needs.
pub(super) const ROOM: usize = PIECES * SYMBOLS;

/// A bit counts so much here.
const BIT: u32 = 64;
/// What the header of a block takes, roughly: so much, and so much more for every symbol that has a codeword.
const HEADER: u32 = 110 * BIT;
const HEADER_SYMBOL: u32 = 7 * BIT / 2;
/// What a stored block takes beside its bytes, at most.
const STORED: u32 = 40 * BIT;
/// A block that is so much more expensive than another division will not become the cheapest by growing.
const HOPELESS: u32 = 3000 * BIT;

/// Numbers below this have their n log n in a table, and one more.
const TABLE: usize = 1024;

/// n log2 n.
static N_LOG_N: [u32; TABLE + 1] = {
    let mut table = [0; TABLE + 1];
    let mut n = 2;
    while n <= TABLE {
        // The logarithm with 16 bits behind the point: each is whether the square passes two.
        let whole = n.ilog2();
        let (mut power, mut log) = ((n as u64) << (31 - whole), whole as u64);
        let mut bit = 0;
        while bit < 16 {
            power = (power * power) >> 31;
            let passes = power >> 32;
            power >>= passes;
            log = log << 1 | passes;
            bit += 1;
        }
        table[n] = ((n as u64 * log * BIT as u64 + (1 << 15)) >> 16) as u32;
        n += 1;
    }
    table
};

/// Returns n log2 n in parts of a bit, n below 2^20.
fn n_log_n(n: u32) -> u32 {
    if n < TABLE as u32 {
        return N_LOG_N[n as usize];
    }
    // n = m · 2^k + r: between the values for m and m + 1.
    let k = n.ilog2() - (TABLE.ilog2() - 1);
    let (m, r) = ((n >> k) as usize, n & ((1 << k) - 1));
    (N_LOG_N[m] << k) + (N_LOG_N[m + 1] - N_LOG_N[m]) * r + n * k * BIT
}

/// Divides the bytes that a way leads through; writes where the blocks end, and returns how many there are. `room` is scratch.
pub(super) fn divide(bytes: &[u8], steps: &[Step], room: &mut [u32; ROOM], ends: &mut [u32; PIECES]) -> usize {
    let mut piece_ends = [(0u32, 0usize); PIECES];
    let pieces = count_pieces(bytes, steps, room, &mut piece_ends);

    // What the blocks to each place cost at least, and where the last of them begins.
    let mut costs = [u32::MAX; PIECES + 1];
    let mut begins = [0u8; PIECES + 1];
    costs[0] = 0;
    for begin in 0..pieces {
        let mut counts = [0u32; SYMBOLS];
        counts[END_OF_BLOCK] = 1;
        let (mut used, mut sum) = (1, 0);
        let mut all = [1, 0];
        let (first_byte, mut at) = if begin == 0 { (0, 0) } else { piece_ends[begin - 1] };
        for end in begin..pieces {
            let next = piece_ends[end].1;
            for &entry in &room[at..next] {
                let (symbol, more) = ((entry >> 16) as usize, entry & 0xffff);
                let before = counts[symbol % SYMBOLS];
                counts[symbol % SYMBOLS] = before + more;
                used += u32::from(before == 0);
                sum += n_log_n(before + more) - n_log_n(before);
                all[usize::from(symbol >= LITLEN_SYMBOLS)] += more;
            }
            at = next;
            let coded = HEADER + used * HEADER_SYMBOL + n_log_n(all[0]) + n_log_n(all[1]) - sum;
            let stored = STORED + (piece_ends[end].0 - first_byte) * 8 * BIT;
            let cost = costs[begin] + coded.min(stored);
            if cost < costs[end + 1] {
                costs[end + 1] = cost;
                begins[end + 1] = begin as u8;
            } else if cost > costs[end + 1].saturating_add(HOPELESS) {
                break;
            }
        }
    }

    let mut blocks = 0;
    let mut end = pieces;
    while end > 0 {
        ends[blocks] = piece_ends[end - 1].0;
        blocks += 1;
        end = usize::from(begins[end]);
    }
    ends[..blocks].reverse();
    blocks
}

/// Counts the symbols of each piece: entries of a symbol and how often it occurs. Returns how many pieces there are.
fn count_pieces(bytes: &[u8], steps: &[Step], entries: &mut [u32; ROOM], ends: &mut [(u32, usize); PIECES]) -> usize {
    let piece_bytes = bytes.len().div_ceil(PIECES).max(PIECE_BYTES_MIN);
    let (mut pieces, mut len) = (0, 0);
    let mut counts = [0u16; SYMBOLS];
    let (mut at, mut begin) = (0, 0);
    while at < bytes.len() {
        let (step, distance_symbol) = step_of(steps[at]);
        if step == 1 {
            counts[usize::from(bytes[at])] += 1;
        } else {
            counts[END_OF_BLOCK + 1 + usize::from(LENGTH_SYMBOL[(step - MATCH_BYTES_MIN) & 0xff])] += 1;
            counts[LITLEN_SYMBOLS + distance_symbol] += 1;
        }
        at += step;
        if at - begin >= piece_bytes && bytes.len() - at >= PIECE_BYTES_MIN || at == bytes.len() {
            for (symbol, count) in counts.iter_mut().enumerate().filter(|(_, count)| **count != 0) {
                entries[len] = (symbol as u32) << 16 | u32::from(core::mem::take(count));
                len += 1;
            }
            ends[pieces] = (at as u32, len);
            pieces += 1;
            begin = at;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::deflate::way::match_step;
    use std::boxed::Box;
    use std::vec::Vec;

    #[test]
    fn n_log_n_is_as_computed_otherwise() {
        for n in (1..5000u32).chain((5000..600_000).step_by(997)) {
            let exact = f64::from(n) * f64::from(n).log2() * f64::from(BIT);
            assert!((f64::from(n_log_n(n)) - exact).abs() <= 1.0 + exact * 3e-6, "{n}: {} for {exact}", n_log_n(n));
        }
    }

    /// The ends of the blocks that literals are divided into.
    fn ends_of(bytes: &[u8], steps: &[Step]) -> Vec<u32> {
        let (mut room, mut ends) = (Box::new([0; ROOM]), [0; PIECES]);
        let blocks = divide(bytes, steps, &mut room, &mut ends);
        ends[..blocks].to_vec()
    }

    /// Bytes of a few values from one on.
    fn noise(seed: u64, from: u8, values: u64, len: usize) -> impl Iterator<Item = u8> {
        let mut seed = seed;
        (0..len).map(move |_| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            from + ((seed >> 33) % values) as u8
        })
    }

    #[test]
    fn blocks_end_where_the_symbols_change_and_only_there() {
        let bytes: Vec<u8> = noise(1, 0, 40, 5 * 1024).chain(noise(2, 100, 90, 9 * 1024)).chain(noise(3, 0, 40, 6 * 1024)).collect();
        assert_eq!(ends_of(&bytes, &std::vec![1; bytes.len()]), [5 * 1024, 14 * 1024, 20 * 1024]);
        let even: Vec<u8> = noise(4, 0, 100, 256 * 1024).collect();
        assert_eq!(ends_of(&even, &std::vec![1; even.len()]), [256 * 1024]);
    }

    #[test]
    fn a_block_ends_behind_a_match_and_the_last_one_with_the_data() {
        // Literals, then matches of 100 bytes, the last of them cut.
        let bytes: Vec<u8> = noise(5, 0, 200, 4100).chain(noise(6, 0, 200, 60_050)).collect();
        let mut steps = std::vec![1; bytes.len()];
        for at in (4100..bytes.len()).step_by(100) {
            steps[at] = match_step(100.min(bytes.len() - at), 1 + at % 30_000);
        }
        let ends = ends_of(&bytes, &steps);
        assert_eq!(ends.last(), Some(&(bytes.len() as u32)));
        assert!(ends.len() > 1 && ends[..ends.len() - 1].iter().all(|end| *end <= 4100 || (end - 4100) % 100 == 0), "{ends:?}");
    }
}
