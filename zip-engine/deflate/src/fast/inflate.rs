//! The bulk loop of decompression.
//!
//! A round begins with at least 56 held bits and the entry of the next symbol already looked up. It decodes up to three literals, or a match behind at
//! most two; the entry of the next symbol is looked up and the bits are refilled before the match is copied, so that the copy hides the loads.
//!
//! Bits of one round: three literals take at most 3 × 11, a length 15 + 5, the look-up of the next entry 11. A distance takes 15 + 13 and
//! the look-up behind it 11; where fewer than these 39 are left behind the length, the bits are refilled once more.
//!
//! It stops in front of whatever is odd (an invalid codeword, a distance that reaches too far) and leaves the verdict to the careful path.

use super::{copy16, load64, store64};
use crate::constants::MATCH_BYTES_MAX;

/// Flags and fields of table entries, as `inflate::table` defines them.
pub(crate) mod entry {
    /// The entry is a literal.
    pub(crate) const LITERAL: u32 = 1 << 31;
    /// The entry is neither a literal nor a base value.
    pub(crate) const EXCEPTIONAL: u32 = 1 << 15;
    /// With [`EXCEPTIONAL`]: the entry points to a subtable.
    pub(crate) const SUBTABLE: u32 = 1 << 14;
    /// With [`EXCEPTIONAL`]: the entry ends the block.
    pub(crate) const BLOCK_END: u32 = 1 << 13;
}
use entry::*;

/// Index bits of the literal/length root. Twelve lost 15 % on the host: the table leaves the first-level cache.
///
/// Roots are always whole, though shorter would do for some codes: masks and sizes are then constants, so that look-ups need no check and no register.
pub(crate) const LITLEN_ROOT: usize = 11;
/// Index bits of the distance root.
pub(crate) const DISTANCE_ROOT: usize = 8;
/// Entries of the literal/length table.
pub(crate) const LITLEN_ENTRIES: usize = 2342;
/// Entries of the distance table.
pub(crate) const DISTANCE_ENTRIES: usize = 402;

/// Input bytes that a round may touch: two refills, each of which moves on by at most 7 bytes and loads 8. The refill before the first round is one more.
pub(crate) const INPUT_SLACK: usize = 3 * 7 + 8;

/// Output bytes that a round may touch: two literals, a longest match, and what its copy writes behind the end. Copies go in strides of at most 32 bytes
/// from the start of the match, so they touch fewer than 32 bytes more.
pub(crate) const OUTPUT_SLACK: usize = 2 + MATCH_BYTES_MAX + 32;

/// Bits below which a distance and the look-up behind it may not fit.
const DISTANCE_BITS: u32 = 15 + 13 + LITLEN_ROOT as u32;

/// Output, bits and tables of a run.
pub(crate) struct Run<'a> {
    /// The input of the step.
    pub(crate) input: &'a [u8],
    /// Bytes of `input` read.
    pub(crate) from: usize,
    /// Held bits.
    pub(crate) bits: u64,
    /// How many.
    pub(crate) count: u32,
    /// The output of the step.
    pub(crate) output: &'a mut [u8],
    /// Bytes of `output` written.
    pub(crate) at: usize,
    /// Literal/length table.
    pub(crate) litlen: &'a [u32; LITLEN_ENTRIES],
    /// Distance table.
    pub(crate) distances: &'a [u32; DISTANCE_ENTRIES],
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Too little slack for another round.
    Slack,
    /// Behind the end of the block.
    BlockEnd,
    /// In front of a literal/length symbol that the careful path must look at.
    Symbol,
    /// In front of a distance that the careful path must look at; the match has this many bytes.
    Distance(u16),
}

/// Copies a match whose bytes begin before the output of the step: output, position, distance, length.
pub(crate) type CopyFromWindow<'a> = &'a dyn Fn(&mut [u8], usize, usize, usize);

/// What differs by instruction set.
trait Isa {
    /// Returns the low bits of `bits`, as many as bits 7:0 of `entry` say; those are below 64.
    fn low_bits(bits: u64, entry: u32) -> u64;
}

/// Any CPU.
struct Portable;

impl Isa for Portable {
    #[inline(always)]
    fn low_bits(bits: u64, entry: u32) -> u64 {
        bits & !u64::MAX.wrapping_shl(entry)
    }
}

/// x86-64 with BMI2.
#[cfg(target_arch = "x86_64")]
struct Bmi2;

#[cfg(target_arch = "x86_64")]
impl Isa for Bmi2 {
    #[inline(always)]
    fn low_bits(bits: u64, entry: u32) -> u64 {
        // SAFETY: only `decode_bmi2` uses this type, and it is called on CPUs with BMI2 only.
        unsafe { core::arch::x86_64::_bzhi_u64(bits, entry) }
    }
}

/// Decodes symbols while there is slack. `window_filled` bytes of history lie before the output, in the reach of `from_window`.
pub(crate) fn decode(run: &mut Run<'_>, window_filled: usize, from_window: CopyFromWindow<'_>) -> Exit {
    if run.input.len() - run.from < INPUT_SLACK || run.output.len() - run.at < OUTPUT_SLACK {
        return Exit::Slack;
    }
    #[cfg(target_arch = "x86_64")]
    if super::has_bmi2() {
        // SAFETY: the CPU has BMI1 and BMI2.
        return unsafe { decode_bmi2(run, window_filled, from_window) };
    }
    decode_with::<Portable>(run, window_filled, from_window)
}

/// [`decode_with`] for a CPU with BMI2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2")]
fn decode_bmi2(run: &mut Run<'_>, window_filled: usize, from_window: CopyFromWindow<'_>) -> Exit {
    decode_with::<Bmi2>(run, window_filled, from_window)
}

/// The loop. `decode` has checked the slack of the first round.
#[inline(always)]
fn decode_with<I: Isa>(run: &mut Run<'_>, window_filled: usize, from_window: CopyFromWindow<'_>) -> Exit {
    let litlen = run.litlen;
    let distances = run.distances;
    let input = run.input.as_ptr_range();
    let output_len = run.output.len();
    let output = run.output.as_mut_ptr();
    // Rounds start at or before these. Both slices are longer than their slack, so neither is before its slice.
    let input_stop = input.end.wrapping_sub(INPUT_SLACK - 8);
    let output_stop = output.wrapping_add(output_len - OUTPUT_SLACK);
    let mut from = input.start.wrapping_add(run.from);
    let mut at = output.wrapping_add(run.at);
    let mut bits = run.bits;
    // Bits 7:0 are the count; above them is what subtracting whole entries leaves.
    let mut count = run.count;

    // Bits at and above `count` are those of the next byte or 0, so loading them again changes nothing.
    macro_rules! refill {
        () => {
            debug_assert!(input.end as usize - from as usize >= 8);
            // SAFETY: a round starts with INPUT_SLACK - 8 = 21 bytes left and refills at most twice, the refill before it was taken off
            // before; so at least 21 - 7 = 14 bytes are left here.
            bits |= unsafe { load64(from) }.wrapping_shl(count);
            from = from.wrapping_add(7).wrapping_sub((count >> 3 & 7) as usize);
            count |= 56;
        };
    }
    macro_rules! take {
        ($entry:expr) => {
            bits = bits.wrapping_shr($entry);
            count = count.wrapping_sub($entry);
        };
    }
    macro_rules! put_literal {
        ($literal:expr) => {
            debug_assert!(output_len - (at as usize - output as usize) > 0);
            // SAFETY: a round starts with OUTPUT_SLACK bytes left and puts at most three literals.
            unsafe { at.write($literal as u8) };
            at = at.wrapping_add(1);
        };
    }

    refill!();
    let mut entry = litlen[bits as usize % (1 << LITLEN_ROOT)];
    // Matches that reach into the window, rare but for the first of a step, are copied outside of the loop proper: a call in it would cost registers.
    let mut from_window_next = (0, 0);
    let exit = 'run: loop {
        if from_window_next.0 != 0 {
            let (distance, length) = core::mem::take(&mut from_window_next);
            let written = at as usize - output as usize;
            // SAFETY: the whole output of the step, borrowed through `run` and touched by nothing else during the call.
            let whole = unsafe { core::slice::from_raw_parts_mut(output, output_len) };
            from_window(whole, written, distance, length);
            at = at.wrapping_add(length);
            entry = litlen[bits as usize % (1 << LITLEN_ROOT)];
            refill!();
        }
        loop {
            if from > input_stop || at > output_stop {
                break 'run Exit::Slack;
            }
            let (mut saved, mut saved_count) = (bits, count);
            take!(entry);
            if entry & LITERAL != 0 {
                put_literal!(entry >> 16);
                entry = litlen[bits as usize % (1 << LITLEN_ROOT)];
                (saved, saved_count) = (bits, count);
                take!(entry);
                if entry & LITERAL != 0 {
                    put_literal!(entry >> 16);
                    entry = litlen[bits as usize % (1 << LITLEN_ROOT)];
                    (saved, saved_count) = (bits, count);
                    take!(entry);
                    if entry & LITERAL != 0 {
                        put_literal!(entry >> 16);
                        entry = litlen[bits as usize % (1 << LITLEN_ROOT)];
                        refill!();
                        continue;
                    }
                }
            }
            let mut length_bits = saved;
            if entry & EXCEPTIONAL != 0 {
                if entry & BLOCK_END != 0 {
                    break 'run Exit::BlockEnd;
                }
                if entry & SUBTABLE == 0 {
                    (bits, count) = (saved, saved_count);
                    break 'run Exit::Symbol;
                }
                let index_bits = entry >> 8 & 0xf;
                entry = litlen[(entry >> 16) as usize + (bits as usize & ((1 << index_bits) - 1))];
                length_bits = bits;
                take!(entry);
                if entry & LITERAL != 0 {
                    put_literal!(entry >> 16);
                    refill!();
                    entry = litlen[bits as usize % (1 << LITLEN_ROOT)];
                    continue;
                }
                if entry & EXCEPTIONAL != 0 {
                    if entry & BLOCK_END != 0 {
                        break 'run Exit::BlockEnd;
                    }
                    (bits, count) = (saved, saved_count);
                    break 'run Exit::Symbol;
                }
            }
            let length = (entry >> 16) as usize + I::low_bits(length_bits, entry).wrapping_shr(entry >> 8) as usize;
            debug_assert!((3..=MATCH_BYTES_MAX).contains(&length));

            entry = distances[bits as usize % (1 << DISTANCE_ROOT)];
            if count & 0xff < DISTANCE_BITS {
                refill!();
            }
            (saved, saved_count) = (bits, count);
            let mut distance_bits = bits;
            if entry & EXCEPTIONAL != 0 {
                if entry & SUBTABLE != 0 {
                    take!(entry);
                    let index_bits = entry >> 8 & 0xf;
                    entry = distances[(entry >> 16) as usize + (bits as usize & ((1 << index_bits) - 1))];
                    distance_bits = bits;
                }
                if entry & EXCEPTIONAL != 0 {
                    (bits, count) = (saved, saved_count);
                    break 'run Exit::Distance(length as u16);
                }
            }
            take!(entry);
            let distance = (entry >> 16) as usize + I::low_bits(distance_bits, entry).wrapping_shr(entry >> 8) as usize;
            let written = at as usize - output as usize;
            if distance > written {
                if distance > written + window_filled {
                    (bits, count) = (saved, saved_count);
                    break 'run Exit::Distance(length as u16);
                }
                from_window_next = (distance, length);
                continue 'run;
            }
            let to = at;
            at = at.wrapping_add(length);
            entry = litlen[bits as usize % (1 << LITLEN_ROOT)];
            refill!();
            debug_assert!(output_len - (to as usize - output as usize) >= length + 32);
            // SAFETY: the round began with OUTPUT_SLACK bytes left and has put at most two literals, so a longest match and 32 bytes fit; `distance` was
            // checked against what is written.
            unsafe { copy_match(to, distance, length) };
        }
    };
    run.from = from as usize - input.start as usize;
    run.count = count & 0x3f;
    run.bits = bits & ((1 << run.count) - 1);
    run.at = at as usize - output as usize;
    exit
}

/// Factors that repeat the lowest 1 to 7 bytes of a word all over it.
const REPEAT: [u64; 8] = {
    let mut factors = [0; 8];
    let mut distance = 1;
    while distance < 8 {
        let mut shift = 0;
        while shift < 64 {
            factors[distance] |= 1 << shift;
            shift += 8 * distance;
        }
        distance += 1;
    }
    factors
};

/// The largest multiples of distances 1 to 7 that a word holds.
const STRIDE: [u8; 8] = [8, 8, 8, 6, 8, 5, 6, 7];

/// Copies `length` bytes from `distance` back to `to`, and fewer than 32 bytes of anything behind them.
///
/// # Safety
/// `distance` ≥ 1 bytes before `to` are initialised, `length + 31` from it writable.
#[inline(always)]
unsafe fn copy_match(to: *mut u8, distance: usize, length: usize) {
    let mut to = to;
    let end = to.wrapping_add(length);
    let mut from = to.wrapping_sub(distance).cast_const();
    if distance >= 16 {
        // Each sixteen bytes are complete before they are read again.
        // SAFETY: as the contract says; sixteen bytes of at least 3 + 31 are in range.
        unsafe { copy16(from, to) };
        // SAFETY: likewise.
        unsafe { copy16(from.wrapping_add(16), to.wrapping_add(16)) };
        while to.wrapping_add(32) < end {
            from = from.wrapping_add(32);
            to = to.wrapping_add(32);
            // SAFETY: begins before `end`, so ends within 31 bytes behind it.
            unsafe { copy16(from, to) };
            // SAFETY: ends with the same 32 bytes.
            unsafe { copy16(from.wrapping_add(16), to.wrapping_add(16)) };
        }
    } else if distance >= 8 {
        loop {
            // SAFETY: begins before `end`.
            let word = unsafe { load64(from) };
            // SAFETY: begins before `end`, so ends within 7 bytes behind it.
            unsafe { store64(to, word) };
            // SAFETY: these eight bytes are complete: `distance` is at least 8.
            let word = unsafe { load64(from.wrapping_add(8)) };
            // SAFETY: ends within 15 bytes behind `end`.
            unsafe { store64(to.wrapping_add(8), word) };
            from = from.wrapping_add(16);
            to = to.wrapping_add(16);
            if to >= end {
                break;
            }
        }
    } else {
        // The bytes before `to` all over a word, then that word at strides that keep its phase.
        // SAFETY: the bytes from `to` on are writable, so readable.
        let word = unsafe { load64(from) };
        let word = (word & ((1 << (8 * distance)) - 1)).wrapping_mul(REPEAT[distance & 7]);
        let stride = usize::from(STRIDE[distance & 7]);
        loop {
            // SAFETY: begins before `end`, so ends within 7 bytes behind it.
            unsafe { store64(to, word) };
            to = to.wrapping_add(stride);
            if to >= end {
                break;
            }
        }
    }
}
