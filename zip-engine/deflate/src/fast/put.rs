//! Putting sequences as bits.

use super::sequence::{LENGTH_SLOTS, Sequence, distance_symbol};
use super::{BY_ARITHMETIC, store64_at};
use crate::constants::*;
use core::hint::{cold_path, select_unpredictable};

/// One codeword ready to be put: its bits, the first one lowest, at the top; their number, and that of its extra bits if there are any, in 7:0.
pub(crate) type Codeword = u64;

/// The codes of a block.
pub(crate) struct Codes {
    /// Literals, end of block, and length symbols.
    pub(crate) litlen: [Codeword; 257 + LENGTH_SLOTS],
    /// Per length - 3, its codeword and extra bits together.
    pub(crate) lengths: [Codeword; 256],
    /// Distance symbols.
    pub(crate) distance: [Codeword; DISTANCE_SYMBOLS],
}

/// Bits that may be held: the numbers of bits that come with the codewords stain the five below.
const HELD_MAX: u64 = 59;

/// Longest literal or length codeword: four literals then fit behind seven held bits.
pub(crate) const LITLEN_BITS_MAX: usize = 13;

const _: () = assert!(7 + 4 * LITLEN_BITS_MAX as u64 <= HELD_MAX && 7 + LITLEN_BITS_MAX as u64 + 5 + 15 + 13 <= HELD_MAX);

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
    // Held bits are at the top, what is below them is nothing: so a codeword is put by a shift that its number of bits commands, and nothing has to be masked.
    let mut count = u64::from(count & 7);
    let mut bits = bits.wrapping_shl(count.wrapping_neg() as u32);
    let out_len = out.len();
    let out = out.as_mut_ptr();
    let mut at = 0;
    let mut encoded = 0;
    let mut done = 0;
    macro_rules! add {
        ($codeword:expr) => {
            let codeword: Codeword = $codeword;
            bits = bits.wrapping_shr(codeword as u32) | codeword;
            count += codeword & 0xff;
        };
    }
    macro_rules! flush {
        () => {
            debug_assert!(at + 8 <= out_len && 0 < count && count <= HELD_MAX);
            // SAFETY: `SEQUENCE_BYTES` bytes were left in front of the sequence; a store moves on by at most 7 bytes, and its sequence makes at most
            // RUN_MAX / 4 + 2 of them.
            unsafe { store64_at(out, at, bits.wrapping_shr(count.wrapping_neg() as u32)) };
            at += (count >> 3) as usize;
            count &= 7;
        };
    }
    for &sequence in sequences {
        if out_len - at < SEQUENCE_BYTES {
            break;
        }
        let run = sequence.run();
        macro_rules! put_fours {
            ($fours:expr) => {
                for four in $fours {
                    add!(codes.litlen[usize::from(four[0])]);
                    add!(codes.litlen[usize::from(four[1])]);
                    add!(codes.litlen[usize::from(four[2])]);
                    add!(codes.litlen[usize::from(four[3])]);
                    flush!();
                }
            };
        }
        if BY_ARITHMETIC && literals.len() - encoded >= run + 4 {
            let before = run.saturating_sub(1) & !3;
            put_fours!(literals[encoded..encoded + before].as_chunks::<4>().0);
            // The last ones with what is behind them, of which nothing is put.
            let four = &literals[encoded + before..][..4];
            let codeword = |i: usize| select_unpredictable(run - before > i, codes.litlen[usize::from(four[i])], 0);
            // First with each other, so that the held bits wait for one of them only.
            let (mut word, mut word_bits) = join(codeword(0), codeword(1));
            // Most runs are so short.
            if run - before > 2 {
                let (second, second_bits) = join(codeword(2), codeword(3));
                word = word.wrapping_shr(second_bits as u32) | second;
                word_bits += second_bits;
            }
            bits = bits.wrapping_shr(word_bits as u32) | word;
            count += word_bits;
        } else {
            let (fours, rest) = literals[encoded..encoded + run].as_chunks::<4>();
            put_fours!(fours);
            if let [first, others @ ..] = rest {
                add!(codes.litlen[usize::from(*first)]);
                if let [second, others @ ..] = others {
                    add!(codes.litlen[usize::from(*second)]);
                    if let [third] = others {
                        add!(codes.litlen[usize::from(*third)]);
                    }
                }
            }
        }
        encoded += run;
        done += 1;
        if !sequence.is_match() {
            if count != 0 {
                flush!();
            }
            continue;
        }
        let (length, index) = (sequence.length_index(), sequence.distance_index());
        let (symbol, extra) = distance_symbol(index);
        let (of_length, of_distance) = (codes.lengths[length & 0xff], codes.distance[symbol % DISTANCE_SYMBOLS]);
        let (codewords, codeword_bits) = join(of_length, of_distance);
        // Where there are no extra bits, the index stains two of the low bits.
        let the_match = codewords.wrapping_shr(extra) | u64::from(index).wrapping_shl(extra.wrapping_neg());
        let match_bits = codeword_bits + u64::from(extra);
        // Seldom are there so many.
        if count + match_bits > HELD_MAX {
            cold_path();
            flush!();
        }
        bits = bits.wrapping_shr(match_bits as u32) | the_match;
        count += match_bits;
        flush!();
        encoded += length + MATCH_BYTES_MIN;
    }
    let held = if count == 0 { 0 } else { bits >> (64 - count) };
    Put { sequences: done, encoded, written: at, bits: held, count: count as u32 }
}

/// Joins two codewords, the first one lowest, to one at the top; returns their number of bits beside it.
#[inline(always)]
fn join(first: Codeword, second: Codeword) -> (u64, u64) {
    (first.wrapping_shr(second as u32) | second, (first & 0xff) + (second & 0xff))
}
