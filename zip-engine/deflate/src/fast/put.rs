//! Putting sequences as bits.

use super::sequence::{LENGTH_SLOTS, Sequence, distance_symbol};
use super::{BY_ARITHMETIC, store64};
use crate::constants::*;
use core::hint::select_unpredictable;

/// One codeword ready to be put: its bits, reversed, in 31:8, their number in 7:0.
pub(crate) type Codeword = u32;

/// The codes of a block.
pub(crate) struct Codes {
    /// Literals, end of block, and length symbols.
    pub(crate) litlen: [Codeword; 257 + LENGTH_SLOTS],
    /// Per length - 3, its codeword and extra bits together.
    pub(crate) lengths: [Codeword; 256],
    /// Distance symbols.
    pub(crate) distance: [Codeword; DISTANCE_SYMBOLS],
}

/// Bytes of room that one sequence may need: a store for every four of 255 literals, one for the rest and one for the match, each of which
/// moves on by at most 7 bytes and writes 8.
pub(crate) const SEQUENCE_BYTES: usize = (Sequence::RUN_MAX / 4 + 2) * 7 + 8;

/// What [`put`] did.
pub(crate) struct Put {
    /// Sequences put.
    pub(crate) sequences: usize,
    /// Input bytes that they stand for.
    pub(crate) encoded: usize,
    /// Output bytes written.
    pub(crate) written: usize,
    /// Held bits.
    pub(crate) bits: u64,
    /// How many, at most 7.
    pub(crate) count: u32,
}

/// Puts sequences while `out` has `SEQUENCE_BYTES`; `literals` begins with the first sequence's, at most 7 bits are held.
///
/// Literal and length codewords have at most 14 bits, so that four fit behind the held bits.
pub(crate) fn put(codes: &Codes, sequences: &[Sequence], literals: &[u8], out: &mut [u8], bits: u64, count: u32) -> Put {
    #[cfg(target_arch = "x86_64")]
    if super::has_bmi2() {
        // SAFETY: the CPU has BMI1, BMI2 and LZCNT.
        return unsafe { put_bmi2(codes, sequences, literals, out, bits, count) };
    }
    put_anywhere(codes, sequences, literals, out, bits, count)
}

/// [`put_anywhere`] for a CPU with BMI2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2,lzcnt")]
fn put_bmi2(codes: &Codes, sequences: &[Sequence], literals: &[u8], out: &mut [u8], bits: u64, count: u32) -> Put {
    put_anywhere(codes, sequences, literals, out, bits, count)
}

#[inline(always)]
fn put_anywhere(codes: &Codes, sequences: &[Sequence], literals: &[u8], out: &mut [u8], bits: u64, count: u32) -> Put {
    let (mut bits, mut count) = (bits, count & 7);
    let out_len = out.len();
    let out = out.as_mut_ptr();
    let mut at = 0;
    let mut encoded = 0;
    let mut done = 0;
    macro_rules! add {
        ($codeword:expr) => {
            let codeword = $codeword;
            bits |= u64::from(codeword >> 8).wrapping_shl(count);
            count += codeword & 0xff;
        };
    }
    macro_rules! flush {
        () => {
            debug_assert!(at + 8 <= out_len && count < 64);
            // SAFETY: `SEQUENCE_BYTES` bytes were left in front of the sequence; a store moves on by at most 7 bytes, and its sequence makes at most
            // RUN_MAX / 4 + 2 of them.
            unsafe { store64(out.wrapping_add(at), bits) };
            at += (count >> 3 & 7) as usize;
            bits = bits.wrapping_shr(count & 0x38);
            count &= 7;
        };
    }
    for &sequence in sequences {
        if out_len - at < SEQUENCE_BYTES {
            break;
        }
        let (mut word, mut word_bits) = (0, 0);
        let mut run = sequence.run();
        if BY_ARITHMETIC && literals.len() - encoded >= run + 4 {
            while run > 4 {
                let four = &literals[encoded..encoded + 4];
                add!(codes.litlen[usize::from(four[0])]);
                add!(codes.litlen[usize::from(four[1])]);
                add!(codes.litlen[usize::from(four[2])]);
                add!(codes.litlen[usize::from(four[3])]);
                flush!();
                encoded += 4;
                run -= 4;
            }
            let four = &literals[encoded..encoded + 4];
            let codeword = |i: usize| select_unpredictable(run > i, codes.litlen[usize::from(four[i])], 0);
            let (first, first_bits) = join(codeword(0), codeword(1));
            (word, word_bits) = (first, first_bits & 0xff);
            // Most runs are so short.
            if run > 2 {
                let (second, second_bits) = join(codeword(2), codeword(3));
                word |= second.wrapping_shl(first_bits);
                word_bits += second_bits & 0xff;
            }
            encoded += run;
        } else {
            let (fours, rest) = literals[encoded..encoded + run].as_chunks::<4>();
            for four in fours {
                add!(codes.litlen[usize::from(four[0])]);
                add!(codes.litlen[usize::from(four[1])]);
                add!(codes.litlen[usize::from(four[2])]);
                add!(codes.litlen[usize::from(four[3])]);
                flush!();
            }
            if let [first, others @ ..] = rest {
                add!(codes.litlen[usize::from(*first)]);
                if let [second, others @ ..] = others {
                    add!(codes.litlen[usize::from(*second)]);
                    if let [third] = others {
                        add!(codes.litlen[usize::from(*third)]);
                    }
                }
                flush!();
            }
            encoded += run;
        }
        if !sequence.is_match() {
            bits |= word.wrapping_shl(count);
            count += word_bits;
            flush!();
        } else {
            let (length, index) = (sequence.length_index(), sequence.distance_index());
            let (symbol, extra) = distance_symbol(index);
            let (of_length, of_distance) = (codes.lengths[length & 0xff], codes.distance[symbol % DISTANCE_SYMBOLS]);
            let (codewords, codeword_bits) = join(of_length, of_distance);
            let the_match = codewords | u64::from(index & ((1 << extra) - 1)).wrapping_shl(codeword_bits);
            let match_bits = (codeword_bits & 0xff) + extra;
            // 14 + 5 and 15 + 13 bits behind four codewords of 14 and seven held bits are too many, but seldom are there that many.
            bits |= word.wrapping_shl(count);
            count += word_bits;
            if count + match_bits >= 64 {
                flush!();
            }
            bits |= the_match.wrapping_shl(count);
            count += match_bits;
            flush!();
            encoded += length + MATCH_BYTES_MIN;
        }
        done += 1;
    }
    Put { sequences: done, encoded, written: at, bits, count }
}

/// Joins two codewords, the first one lowest; bits 7:0 of what is returned beside them are their bits.
#[inline(always)]
fn join(first: Codeword, second: Codeword) -> (u64, u32) {
    (u64::from(first >> 8) | u64::from(second >> 8).wrapping_shl(first), first + second)
}
