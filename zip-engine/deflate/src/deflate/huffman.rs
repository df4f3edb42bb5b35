//! Length-limited prefix codes from frequencies.

use crate::constants::*;
use crate::fast::put::Codeword;

/// Computes code lengths of at most `limit` bits for the symbols with a frequency above 0; the others get 0.
///
/// The lengths are optimal unless the limit bites, and then close. A code of one symbol is made complete with a second one, because some decoders
/// refuse incomplete codes; a code of none stays empty. Frequencies add up to less than 2^23.
pub(super) fn build_lengths(frequencies: &[u32], limit: usize, lengths: &mut [u8]) {
    lengths.fill(0);
    // (frequency, symbol) in one word, so that one integer sort orders both.
    let mut keys = [0u32; LITLEN_SYMBOLS + 1];
    let mut used = 0;
    // Whether a symbol is used is hard to guess, so every one is entered and the unused ones written over.
    for (symbol, &frequency) in frequencies[..frequencies.len().min(LITLEN_SYMBOLS)].iter().enumerate() {
        keys[used] = frequency << 9 | symbol as u32;
        used += usize::from(frequency != 0);
    }
    match used {
        0 => return,
        1 => {
            let symbol = keys[0] as usize & 0x1ff;
            lengths[symbol] = 1;
            lengths[usize::from(symbol == 0)] = 1;
            return;
        }
        _ => {}
    }
    let keys = &mut keys[..used];
    sort_keys(keys);

    let mut weights = [0u32; LITLEN_SYMBOLS];
    for (weight, &key) in weights.iter_mut().zip(keys.iter()) {
        *weight = key >> 9;
    }
    let depths = &mut weights[..used];
    minimum_redundancy(depths);

    // How many codewords of each length; those past the limit are cut, which over-subscribes the code.
    let mut count = [0usize; CODEWORD_BITS_MAX + 1];
    for &depth in depths.iter() {
        count[(depth as usize).min(limit)] += 1;
    }
    let mut taken: usize = (1..=limit).map(|len| count[len] << (limit - len)).sum();
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

    let mut next = 0;
    for len in (1..=limit).rev() {
        for &key in &keys[next..next + count[len]] {
            lengths[key as usize & 0x1ff] = len as u8;
        }
        next += count[len];
    }
}

/// Sorts keys by their frequency, those of one frequency staying in the order of their symbols: by six bits of it after another.
fn sort_keys(keys: &mut [u32]) {
    let most = keys.iter().fold(0, |most, &key| most | key);
    let mut other = [0u32; LITLEN_SYMBOLS];
    let other = &mut other[..keys.len()];
    let mut shift = 9;
    while shift < 32 && most >> shift != 0 {
        let mut starts = [0u16; 64];
        for &key in keys.iter() {
            starts[(key >> shift) as usize % 64] += 1;
        }
        let mut next = 0;
        for start in &mut starts {
            next += core::mem::replace(start, next);
        }
        for &key in keys.iter() {
            let start = &mut starts[(key >> shift) as usize % 64];
            other[usize::from(*start)] = key;
            *start += 1;
        }
        keys.copy_from_slice(other);
        shift += 6;
    }
}

/// Replaces ascending weights, at least two, by the depths of an optimal code, descending (Moffat and Katajainen 1995, in place).
fn minimum_redundancy(a: &mut [u32]) {
    let n = a.len();
    // Pair weights from the left; `root` walks the internal nodes, which become parent indices behind it.
    a[0] += a[1];
    let mut root = 0;
    let mut leaf = 2;
    for next in 1..n - 1 {
        if leaf >= n || a[root] < a[leaf] {
            a[next] = a[root];
            a[root] = next as u32;
            root += 1;
        } else {
            a[next] = a[leaf];
            leaf += 1;
        }
        if leaf >= n || (root < next && a[root] < a[leaf]) {
            a[next] += a[root];
            a[root] = next as u32;
            root += 1;
        } else {
            a[next] += a[leaf];
            leaf += 1;
        }
    }
    // Parent indices become depths of internal nodes.
    a[n - 2] = 0;
    for next in (0..n - 2).rev() {
        a[next] = a[a[next] as usize] + 1;
    }
    // Internal depths become leaf depths.
    let mut available = 1u32;
    let mut used = 0u32;
    let mut depth = 0u32;
    let mut root = n as isize - 2;
    let mut next = n as isize - 1;
    while available > 0 {
        while root >= 0 && a[root as usize] == depth {
            used += 1;
            root -= 1;
        }
        while available > used {
            a[next as usize] = depth;
            next -= 1;
            available -= 1;
        }
        available = 2 * used;
        depth += 1;
        used = 0;
    }
}

/// Assigns the codewords of `lengths` (RFC 1951 §3.2.2), reversed for the stream.
pub(super) fn assign_codewords(lengths: &[u8], codewords: &mut [Codeword]) {
    let mut codes = [0u16; CODEWORD_BITS_MAX + 1];
    let mut code = 0u32;
    let mut count = [0u32; CODEWORD_BITS_MAX + 1];
    for &length in lengths {
        count[usize::from(length) & 0xf] += 1;
    }
    count[0] = 0;
    for len in 1..=CODEWORD_BITS_MAX {
        code = (code + count[len - 1]) << 1;
        codes[len] = code as u16;
    }
    // Length 0 counts up a code of its own, of which no bit is used.
    for (&length, codeword) in lengths.iter().zip(codewords.iter_mut()) {
        let len = u32::from(length) & 0xf;
        let code = &mut codes[len as usize];
        let reversed = u32::from(*code).reverse_bits().wrapping_shr(32 - len) * u32::from(len != 0);
        *codeword = reversed << 8 | len;
        *code = code.wrapping_add(1);
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
        build_lengths(&[5, 9, 12, 13, 16, 45], 15, &mut lengths);
        assert_eq!(lengths, [4, 4, 3, 3, 3, 1]);
    }

    #[test]
    fn codes_of_none_one_and_two_symbols() {
        let mut lengths = [9; 4];
        build_lengths(&[0, 0, 0, 0], 15, &mut lengths);
        assert_eq!(lengths, [0, 0, 0, 0]);
        build_lengths(&[0, 0, 7, 0], 15, &mut lengths);
        assert_eq!(lengths, [1, 0, 1, 0]);
        build_lengths(&[7, 0, 0, 0], 15, &mut lengths);
        assert_eq!(lengths, [1, 1, 0, 0]);
        build_lengths(&[0, 1, 7, 0], 15, &mut lengths);
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
            build_lengths(&frequencies, limit, &mut lengths);
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
            build_lengths(&frequencies, 15, &mut lengths);
            assert_eq!(kraft(&lengths, 15), 1 << 15);
            let mut codewords = [0; 286];
            assign_codewords(&lengths, &mut codewords);
            // Each codeword takes its own patterns of 15 bits.
            let mut taken = [false; 1 << 15];
            for codeword in codewords.into_iter().filter(|&codeword| codeword != 0) {
                for high in 0..1u32 << (15 - (codeword & 0xff)) {
                    let pattern = (codeword >> 8 | high << (codeword & 0xff)) as usize;
                    assert!(!core::mem::replace(&mut taken[pattern], true));
                }
            }
        }
    }

    #[test]
    fn fixed_codewords_are_those_of_the_rfc() {
        let mut codewords = [0; LITLEN_SYMBOLS];
        assign_codewords(&FIXED_LITLEN_LENGTHS, &mut codewords);
        // §3.2.6: 0 is 00110000, 144 is 110010000, 256 is 0000000, 280 is 11000000; first bit lowest.
        assert_eq!(codewords[0], 0b0000_1100 << 8 | 8);
        assert_eq!(codewords[144], 0b0_0001_0011 << 8 | 9);
        assert_eq!(codewords[256], 7);
        assert_eq!(codewords[280], 0b0000_0011 << 8 | 8);
    }
}
