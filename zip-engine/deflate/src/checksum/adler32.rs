//! Adler-32 of zlib (RFC 1950 §8.2).

/// The Adler-32 of no data.
pub const ADLER32_INIT: u32 = 1;

/// Largest prime below 2^16.
const BASE: u32 = 65521;

/// Bytes summed at a time: enough for a few vector lanes, and the weights stay small.
const LANES: usize = 32;

/// Rounds of `LANES` bytes between two reductions.
///
/// With a, b < BASE and n = 173 × 32 = 5536 bytes of 255: b + n·a + 255·n(n+1)/2 = 4,271,020,320 < 2^32 (5552 is the largest such n).
const ROUNDS: usize = 173;

/// Extends the Adler-32 `adler` of earlier data over `data`; start with [`ADLER32_INIT`].
///
/// `adler` may be any word; its halves are reduced first.
pub fn adler32(adler: u32, data: &[u8]) -> u32 {
    let mut a = (adler & 0xffff) % BASE;
    let mut b = (adler >> 16) % BASE;
    #[cfg(target_arch = "x86_64")]
    let data = with_vectors(&mut a, &mut b, data);
    let mut blocks = data.chunks_exact(LANES * ROUNDS);
    for block in &mut blocks {
        (a, b) = sum_rounds(a, b, block.as_chunks::<LANES>().0);
    }
    let (rounds, rest) = blocks.remainder().as_chunks::<LANES>();
    (a, b) = sum_rounds(a, b, rounds);
    for &byte in rest {
        a += u32::from(byte);
        b += a;
    }
    ((b % BASE) << 16) | (a % BASE)
}

/// Sums with vector instructions as far as there are any; returns the rest of the data.
#[cfg(target_arch = "x86_64")]
fn with_vectors<'a>(a: &mut u32, b: &mut u32, data: &'a [u8]) -> &'a [u8] {
    use crate::fast::checksum::{ADLER_ROUND, adler_sums};
    let (rounds, rest) = data.as_chunks::<ADLER_ROUND>();
    for rounds in rounds.chunks(LANES * ROUNDS / ADLER_ROUND) {
        let Some(sums) = adler_sums(*a, *b, rounds) else { return data };
        (*a, *b) = (sums.0 % BASE, sums.1 % BASE);
    }
    rest
}

/// Adds at most `ROUNDS` rounds and reduces both sums.
fn sum_rounds(mut a: u32, mut b: u32, rounds: &[[u8; LANES]]) -> (u32, u32) {
    for round in rounds {
        // b gains LANES times the old a, and byte i counts once for itself and once for every byte after it.
        let mut sum = 0u32;
        let mut weighted = 0u32;
        for (i, &byte) in round.iter().enumerate() {
            sum += u32::from(byte);
            weighted += u32::from(byte) * (LANES - i) as u32;
        }
        b += a * LANES as u32 + weighted;
        a += sum;
    }
    (a % BASE, b % BASE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(adler: u32, data: &[u8]) -> u32 {
        let (mut a, mut b) = (adler & 0xffff, adler >> 16);
        for &byte in data {
            a = (a + u32::from(byte)) % BASE;
            b = (b + a) % BASE;
        }
        (b << 16) | a
    }

    #[test]
    fn known_values() {
        assert_eq!(adler32(ADLER32_INIT, b""), 1);
        assert_eq!(adler32(ADLER32_INIT, b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn largest_sums_do_not_overflow() {
        let data = [0xff; 3 * LANES * ROUNDS + 31];
        let start = ((BASE - 1) << 16) | (BASE - 1);
        for len in [0, 1, 31, 32, 33, 5535, 5536, 5537, 11072, data.len()] {
            assert_eq!(adler32(start, &data[..len]), slow(start, &data[..len]), "{len}");
        }
    }

    #[test]
    fn every_cut_agrees() {
        let data: [u8; 99] = core::array::from_fn(|i| (i * 77 + 3) as u8);
        let whole = slow(1, &data);
        for cut in 0..=data.len() {
            assert_eq!(adler32(adler32(1, &data[..cut]), &data[cut..]), whole);
        }
    }
}
