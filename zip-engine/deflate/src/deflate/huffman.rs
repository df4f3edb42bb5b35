//! Length-limited prefix codes from frequencies.

use crate::constants::*;
use crate::fast::put::Codeword;

/// What `build_lengths` has made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Built {
    /// How many codewords there are of each length.
    pub(super) count: LengthCount,
    /// Bits that all symbols take.
    pub(super) bits: u32,
    /// Bits that they take by the other lengths that were given.
    pub(super) others: u32,
}

/// How many codewords there are of each length; nothing is said about length 0.
pub(super) type LengthCount = [u16; CODEWORD_BITS_MAX + 1];

/// Counts the codewords of each length.
pub(super) fn count_of(lengths: &[u8]) -> LengthCount {
    let mut count = [0; CODEWORD_BITS_MAX + 1];
    for &length in lengths {
        count[usize::from(length) & 0xf] += 1;
    }
    count
}

/// Computes code lengths of at most `limit` bits for the symbols, as many as there are lengths, with a frequency above 0; the others get 0. Returns what
/// they take, by these lengths and by `others`.
///
/// The lengths are optimal unless the limit bites, and then close. A code of one symbol is made complete with a second one, because some decoders
/// refuse incomplete codes; a code of none stays empty. Frequencies add up to less than 2^23.
pub(super) fn build_lengths<const SYMBOLS: usize>(
    frequencies: &[u32],
    limit: usize,
    lengths: &mut [u8; SYMBOLS],
    others: &[u8; SYMBOLS],
) -> Built {
    const { assert!(SYMBOLS <= 1 << SYMBOL_BITS) };
    *lengths = [0; SYMBOLS];
    // (frequency, symbol) in one word, so that one integer sort orders both.
    let mut keys = [0u32; SYMBOLS];
    let mut used = 0;
    let mut any = 0;
    // Whether a symbol is used is hard to guess, so every one is entered and the unused ones written over.
    for (symbol, &frequency) in frequencies[..SYMBOLS].iter().enumerate() {
        keys[used] = frequency << SYMBOL_BITS | symbol as u32;
        any |= frequency;
        used += usize::from(frequency != 0);
    }
    if used < 2 {
        if used == 1 {
            let symbol = keys[0] as usize % (1 << SYMBOL_BITS);
            lengths[symbol] = 1;
            lengths[usize::from(symbol == 0)] = 1;
            let mut count = [0; CODEWORD_BITS_MAX + 1];
            count[1] = 2;
            return Built { count, bits: any, others: any * u32::from(others[symbol]) };
        }
        return Built::default();
    }
    let mut other = [0u32; SYMBOLS];
    let (keys, spare) = sort_keys(&mut keys[..used], &mut other[..used], any);
    // Those past the limit are cut, which over-subscribes the code.
    let mut count = count_lengths(keys, &mut spare[1..], limit);
    let mut taken: usize = (1..=limit).map(|len| usize::from(count[len]) << (limit - len)).sum();
    while taken > 1 << limit {
        // One of the longest goes beside a shorter one, which grows by one bit: one pattern of `limit` bits is freed.
        count[limit] -= 1;
        let mut len = limit - 1;
        while count[len] == 0 {
            len -= 1;
        }
        count[len] -= 1;
        count[len + 1] += 2;
        taken -= 1;
    }

    // The rarest symbols have the longest codewords.
    let (mut bits, mut in_others) = (0, 0);
    let mut rest = keys;
    for len in (1..=limit).rev() {
        let (these, shorter) = rest.split_at(usize::from(count[len]).min(rest.len()));
        for &key in these {
            let (symbol, frequency) = (key as usize % (1 << SYMBOL_BITS), key >> SYMBOL_BITS);
            lengths[symbol] = len as u8;
            bits += frequency * len as u32;
            in_others += frequency * u32::from(others[symbol]);
        }
        rest = shorter;
    }
    Built { count, bits, others: in_others }
}

/// Bits of a symbol in a key; its frequency is above them.
const SYMBOL_BITS: u32 = 9;

/// Sorts keys by their frequency, those of one frequency staying in the order of their symbols: by six bits of it after another, from one slice to the
/// other. `any` has all bits that frequencies have. Returns the slice with the result, and the other one.
fn sort_keys<'a>(keys: &'a mut [u32], other: &'a mut [u32], any: u32) -> (&'a [u32], &'a mut [u32]) {
    let (mut from, mut to) = (keys, other);
    let mut shift = SYMBOL_BITS;
    while shift < 32 && any << SYMBOL_BITS >> shift != 0 {
        let mut starts = [0u16; 64];
        for &key in from.iter() {
            starts[(key >> shift) as usize % 64] += 1;
        }
        let mut next = 0;
        for start in &mut starts {
            next += core::mem::replace(start, next);
        }
        for &key in from.iter() {
            let start = &mut starts[(key >> shift) as usize % 64];
            to[usize::from(*start)] = key;
            *start += 1;
        }
        (from, to) = (to, from);
        shift += 6;
    }
    (from, to)
}

/// More than the longest codeword of an optimal code: one of n bits needs frequencies that add up to the Fibonacci number n + 2, which is past 2^23 for 33.
const DEPTHS: usize = 64;

/// Returns how many codewords of each length an optimal code for sorted keys, at least two, has, those past the limit counted as of that (Moffat and
/// Katajainen 1995, but for leaves, which are only counted).
///
/// `nodes`, one fewer than keys, is for the weights of the nodes that join two others, ascending; where such a node has been joined itself, for the number of the
/// one that this made.
fn count_lengths(keys: &[u32], nodes: &mut [u32], limit: usize) -> LengthCount {
    // Behind the last leaf is one that is never the lightest.
    let mut leaves = keys.iter().map(|key| key >> SYMBOL_BITS);
    let mut next_leaf = || leaves.next().unwrap_or(u32::MAX);
    let mut leaf = next_leaf();
    let mut root = 0;
    for next in 0..nodes.len() {
        let mut weight = 0;
        for _ in 0..2 {
            weight += if root >= next || leaf <= nodes[root] {
                core::mem::replace(&mut leaf, next_leaf())
            } else {
                root += 1;
                core::mem::replace(&mut nodes[root - 1], next as u32)
            };
        }
        nodes[next] = weight;
    }
    // A node is one deeper than the one above it, which is behind it; the last one is on top.
    let mut joined = [0u16; DEPTHS];
    let top = nodes.len() - 1;
    nodes[top] = 0;
    joined[0] = 1;
    for next in (0..top).rev() {
        let depth = nodes[nodes[next] as usize] + 1;
        nodes[next] = depth;
        joined[depth as usize % DEPTHS] += 1;
    }
    // What is below the nodes of a depth, and no node, is a leaf.
    let mut count = [0; CODEWORD_BITS_MAX + 1];
    let mut depth = 1;
    while joined[depth - 1] != 0 {
        count[depth.min(limit)] += 2 * joined[depth - 1] - joined[depth];
        depth += 1;
    }
    count
}

/// Assigns the codewords of `lengths`, of which `count` says how many there are of each (RFC 1951 §3.2.2), reversed for the stream.
///
/// A symbol without a codeword gets one of no bits, with whatever there is above.
pub(super) fn assign_codewords(lengths: &[u8], count: &LengthCount, codewords: &mut [Codeword]) {
    let mut codes = [0u64; CODEWORD_BITS_MAX + 1];
    let mut code = 0u64;
    for len in 2..=CODEWORD_BITS_MAX {
        code = (code + u64::from(count[len - 1])) << 1;
        codes[len] = code;
    }
    for (&length, codeword) in lengths.iter().zip(codewords.iter_mut()) {
        let len = u64::from(length) & 0xf;
        let code = &mut codes[len as usize];
        // The first bit, which is the highest of the code, becomes the lowest one.
        *codeword = code.reverse_bits() | len;
        *code += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kraft(lengths: &[u8], limit: u32) -> u32 {
        lengths.iter().filter(|&&length| length != 0).map(|&length| 1 << (limit - u32::from(length))).sum()
    }

    #[test]
    fn known_optimal_code() {
        let mut lengths = [0; 6];
        let built = build_lengths(&[5, 9, 12, 13, 16, 45], 15, &mut lengths, &[3, 3, 3, 3, 2, 2]);
        assert_eq!(lengths, [4, 4, 3, 3, 3, 1]);
        assert_eq!((built.bits, built.others), (4 * 14 + 3 * 41 + 45, 3 * 39 + 2 * 61));
        assert_eq!(built.count[1..6], [1, 0, 3, 2, 0]);
    }

    #[test]
    fn codes_of_none_one_and_two_symbols() {
        let mut lengths = [9; 4];
        build_lengths(&[0, 0, 0, 0], 15, &mut lengths, &[0; _]);
        assert_eq!(lengths, [0, 0, 0, 0]);
        let built = build_lengths(&[0, 0, 7, 0], 15, &mut lengths, &[2; _]);
        assert_eq!((built.bits, built.others, built.count[1]), (7, 14, 2));
        assert_eq!(lengths, [1, 0, 1, 0]);
        build_lengths(&[7, 0, 0, 0], 15, &mut lengths, &[0; _]);
        assert_eq!(lengths, [1, 1, 0, 0]);
        build_lengths(&[0, 1, 7, 0], 15, &mut lengths, &[0; _]);
        assert_eq!(lengths, [0, 1, 1, 0]);
    }

    #[test]
    fn fibonacci_weights_are_limited_and_stay_complete() {
        let mut frequencies = [0u32; 28];
        let (mut a, mut b) = (1, 1);
        for frequency in &mut frequencies {
            *frequency = a;
            (a, b) = (b, a + b);
        }
        for limit in [7, 15] {
            let mut lengths = [0; 28];
            build_lengths(&frequencies, limit, &mut lengths, &[0; _]);
            assert!(lengths.iter().all(|&length| (1..=limit as u8).contains(&length)));
            assert_eq!(kraft(&lengths, limit as u32), 1 << limit);
            assert!(lengths.is_sorted_by(|a, b| a >= b), "rarer symbols have no shorter codewords");
        }
    }

    #[test]
    fn random_frequencies_make_complete_codes_and_prefix_free_codewords() {
        let mut seed = 3u64;
        for round in 0..200 {
            let mut frequencies = [0u32; 286];
            for frequency in &mut frequencies {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                *frequency = ((seed >> 33) as u32 & 0x7fff) >> (seed >> 50) % 16;
                if (seed >> 40) % 7 < round % 7 {
                    *frequency = 0;
                }
            }
            frequencies[256] = 1;
            let mut lengths = [0; 286];
            let built = build_lengths(&frequencies, 15, &mut lengths, &[0; _]);
            assert_eq!(kraft(&lengths, 15), 1 << 15);
            assert_eq!(built.count[1..], count_of(&lengths)[1..]);
            let mut codewords = [0; 286];
            assign_codewords(&lengths, &built.count, &mut codewords);
            // Each codeword takes its own patterns of 15 bits.
            let mut taken = [false; 1 << 15];
            for codeword in codewords.into_iter().filter(|&codeword| codeword & 0xff != 0) {
                let len = codeword & 0xff;
                for high in 0..1 << (15 - len) {
                    let pattern = (codeword >> (64 - len) | high << len) as usize;
                    assert!(!core::mem::replace(&mut taken[pattern], true));
                }
            }
        }
    }

    #[test]
    fn fixed_codewords_are_those_of_the_rfc() {
        let mut codewords = [0; LITLEN_SYMBOLS];
        assign_codewords(&FIXED_LITLEN_LENGTHS, &count_of(&FIXED_LITLEN_LENGTHS), &mut codewords);
        // §3.2.6: 0 is 00110000, 144 is 110010000, 256 is 0000000, 280 is 11000000; first bit lowest.
        for (symbol, bits, len) in [(0, 0b0000_1100, 8), (144, 0b0_0001_0011, 9), (256, 0, 7), (280, 0b0000_0011, 8)] {
            assert_eq!(codewords[symbol], bits << (64 - len) | len, "symbol {symbol}");
        }
    }
}
