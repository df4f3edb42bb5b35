//! Checksums on x86-64 with vector instructions: CRC-32 by carry-less multiplication, Adler-32 by sums of products.
//!
//! CRC-32: four lanes of 128 bits are folded over 64 bytes at a time (Gopal et al., "Fast CRC computation for generic polynomials using PCLMULQDQ", 2009):
//! a lane times x^512 is congruent to something of 128 bits, which is added to the next 64 bytes. The lanes are then folded to one, whose sixteen bytes
//! have the CRC of everything before them; the portable code takes that from there.

use core::arch::x86_64::*;

/// x^n modulo the polynomial, bits reversed, as the multiplier of a reflected half lane wants it.
const fn multiplier(n: u32) -> i64 {
    // Bit 31 is x^0; a step multiplies by x.
    let mut power = 1u32 << 31;
    let mut i = 0;
    while i < n {
        power = if power & 1 == 0 { power >> 1 } else { power >> 1 ^ 0xedb8_8320 };
        i += 1;
    }
    // A product of reflected factors is one bit too low.
    (power as i64) << 1
}

/// Multipliers that move a lane `bytes` on: of its first half by 64 bits more, and the product itself is 32 bits ahead.
const fn multipliers(bytes: u32) -> [i64; 2] {
    [multiplier(8 * bytes + 32), multiplier(8 * bytes - 32)]
}

const BY_64: [i64; 2] = multipliers(64);
const BY_16: [i64; 2] = multipliers(16);

/// Fewest bytes worth the vector code.
pub(crate) const CRC_BYTES_MIN: usize = 64;

/// Folds all whole 16-byte pieces of `data`, at least 64 bytes, into sixteen bytes with the same CRC, which `register` precedes.
///
/// Returns them and what is left of the data; the register is 0 before them. `None` on a CPU without PCLMULQDQ.
pub(crate) fn crc_fold(register: u32, data: &[u8]) -> Option<([u8; 16], &[u8])> {
    if data.len() < CRC_BYTES_MIN || !super::has_pclmul() {
        return None;
    }
    // SAFETY: the CPU has PCLMULQDQ and SSE4.1.
    Some(unsafe { fold(register, data) })
}

#[target_feature(enable = "pclmulqdq,sse4.1")]
fn fold(register: u32, data: &[u8]) -> ([u8; 16], &[u8]) {
    let load = |bytes: &[u8; 16]| {
        // SAFETY: sixteen readable bytes; any alignment will do.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    };
    let by_64 = _mm_set_epi64x(BY_64[1], BY_64[0]);
    let by_16 = _mm_set_epi64x(BY_16[1], BY_16[0]);
    let (pieces, _) = data.as_chunks::<16>();
    let (fours, ones) = pieces.as_chunks::<4>();
    let [first, fours @ ..] = fours else { return ([0; 16], data) };
    let mut lanes = first.map(|piece| load(&piece));
    lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi32_si128(register as i32));
    for four in fours {
        for (lane, piece) in lanes.iter_mut().zip(four) {
            *lane = step(*lane, by_64, load(piece));
        }
    }
    let mut lane = lanes[0];
    for &next in &lanes[1..] {
        lane = step(lane, by_16, next);
    }
    for piece in ones {
        lane = step(lane, by_16, load(piece));
    }
    let mut bytes = [0; 16];
    // SAFETY: sixteen writable bytes; any alignment will do.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), lane) };
    (bytes, &data[16 * pieces.len()..])
}

/// Moves a lane on and adds what is there.
#[target_feature(enable = "pclmulqdq,sse4.1")]
fn step(lane: __m128i, by: __m128i, next: __m128i) -> __m128i {
    let low = _mm_clmulepi64_si128::<0x00>(lane, by);
    let high = _mm_clmulepi64_si128::<0x11>(lane, by);
    _mm_xor_si128(_mm_xor_si128(low, high), next)
}

/// Bytes of one round of the Adler-32 code.
pub(crate) const ADLER_ROUND: usize = 64;

/// Adds rounds to the sums; the caller reduces them before they overflow. `None` on a CPU without AVX2.
pub(crate) fn adler_sums(a: u32, b: u32, rounds: &[[u8; ADLER_ROUND]]) -> Option<(u32, u32)> {
    if !super::has_avx2() {
        return None;
    }
    // SAFETY: the CPU has AVX2.
    Some(unsafe { sums(a, b, rounds) })
}

#[target_feature(enable = "avx2")]
fn sums(a: u32, b: u32, rounds: &[[u8; ADLER_ROUND]]) -> (u32, u32) {
    let zero = _mm256_setzero_si256();
    let ones = _mm256_set1_epi16(1);
    // Byte i of a round counts once for itself and once for every byte of the round behind it.
    let weights = |from: i8| {
        let mut weights = [0i8; 32];
        for (i, weight) in weights.iter_mut().enumerate() {
            *weight = from - i as i8;
        }
        // SAFETY: thirty-two readable bytes; any alignment will do.
        unsafe { _mm256_loadu_si256(weights.as_ptr().cast()) }
    };
    let (first_weights, second_weights) = (weights(64), weights(32));
    let mut sum = zero;
    // What the sum of all earlier rounds adds to b, 64 times.
    let mut earlier = zero;
    let mut weighted = zero;
    for round in rounds {
        // SAFETY: sixty-four readable bytes; any alignment will do.
        let first = unsafe { _mm256_loadu_si256(round.as_ptr().cast()) };
        // SAFETY: likewise.
        let second = unsafe { _mm256_loadu_si256(round.as_ptr().wrapping_add(32).cast()) };
        earlier = _mm256_add_epi32(earlier, sum);
        sum = _mm256_add_epi32(sum, _mm256_add_epi32(_mm256_sad_epu8(first, zero), _mm256_sad_epu8(second, zero)));
        // Two products of at most 255 × 64 and 255 × 63 fit 16 bits.
        let first = _mm256_madd_epi16(_mm256_maddubs_epi16(first, first_weights), ones);
        let second = _mm256_madd_epi16(_mm256_maddubs_epi16(second, second_weights), ones);
        weighted = _mm256_add_epi32(weighted, _mm256_add_epi32(first, second));
    }
    let total = |vector: __m256i| {
        let mut lanes = [0u32; 8];
        // SAFETY: thirty-two writable bytes; any alignment will do.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), vector) };
        lanes.iter().fold(0u32, |total, &lane| total.wrapping_add(lane))
    };
    let b = b + a * (ADLER_ROUND * rounds.len()) as u32 + total(earlier) * ADLER_ROUND as u32 + total(weighted);
    (a + total(sum), b)
}
