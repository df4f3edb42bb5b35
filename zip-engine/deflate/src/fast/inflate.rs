//! The bulk loop of decompression.
//!
//! A round begins with at least 56 held bits and the entry of the next symbol already looked up. It decodes up to three literals, or a match behind at
//! most two; the entry of the next symbol is looked up and the bits are refilled before the match is copied, so that the copy hides the loads.
//!
//! Bits of one round: three literals take at most 3 × 11; two and a length 2 × 11 + 15 + 5, then the bits are refilled; a distance 15 + 13 and the look-up behind
//! it 11. The refill before the distance is not always needed.
//!
//! It stops in front of whatever is odd (an invalid codeword, a distance that reaches too far) and leaves the verdict to the careful path.
//!
//! Where a slice has too little slack for that, the same loop goes on along the edge: each match is then compared with the room that is left, and the last
//! bytes of input are read from a padded copy. So only the last symbols are left to the careful path.

use super::{copy16_twice, load64, store64};
use crate::constants::MATCH_BYTES_MAX;
use core::hint::cold_path;

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

/// Output bytes that a round may touch: two literals, a longest match, and what its copy writes behind the end.
pub(crate) const OUTPUT_SLACK: usize = 2 + MATCH_BYTES_MAX + COPY_SLACK;

/// Bytes that a copy may touch behind the end of its match, at most: it goes in strides of at most 32 bytes from the start of the match.
pub(super) const COPY_SLACK: usize = 32;

/// Output bytes that a round along the edge puts without looking: three literals.
pub(crate) const EDGE_OUTPUT_SLACK: usize = 3;

/// Input bytes not yet held with which a round along the edge can begin, even if none is held. It then has all the bits that it may take: two literals of 11,
/// a length of 15 + 5, a distance of 15 + 13.
pub(crate) const EDGE_INPUT_SLACK: usize = 9;
const _: () = assert!(11 + 11 + 15 + 5 + 15 + 13 <= 8 * EDGE_INPUT_SLACK);

/// Bytes of the padded copy: fewer than `INPUT_SLACK` of input, and what two refills touch behind a start two bytes before their end.
const PADDED_BYTES: usize = INPUT_SLACK - 1 - 2 + 7 + 8;

/// Bits below which a distance and the look-up behind it may not fit.
const DISTANCE_BITS: u32 = 15 + 13 + LITLEN_ROOT as u32;

/// Whether the bits are refilled before every distance. Whether it is needed cannot be predicted, and a wrong guess costs more than the refill.
const REFILL_ALWAYS: bool = super::BY_ARITHMETIC;

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
pub(super) trait Isa {
    /// Returns the low bits of `bits`, as many as bits 7:0 of `entry` say; those are below 64.
    fn low_bits(bits: u64, entry: u32) -> u64;
}

/// Any CPU.
pub(super) struct Portable;

impl Isa for Portable {
    #[inline(always)]
    fn low_bits(bits: u64, entry: u32) -> u64 {
        bits & !u64::MAX.wrapping_shl(entry)
    }
}

/// x86-64 with BMI2.
#[cfg(target_arch = "x86_64")]
pub(super) struct Bmi2;

#[cfg(target_arch = "x86_64")]
impl Isa for Bmi2 {
    #[inline(always)]
    fn low_bits(bits: u64, entry: u32) -> u64 {
        // SAFETY: only functions with the target feature use this type, and they are called on CPUs with BMI2 only.
        unsafe { core::arch::x86_64::_bzhi_u64(bits, entry) }
    }
}

/// Decodes symbols while there is slack. `window_filled` bytes of history lie before the output, in the reach of `from_window`.
pub(crate) fn decode(run: &mut Run<'_>, window_filled: usize, from_window: CopyFromWindow<'_>) -> Exit {
    if run.input.len() - run.from >= INPUT_SLACK {
        if run.output.len() - run.at >= OUTPUT_SLACK {
            let input_len = run.input.len();
            let exit = decode_on_cpu::<false>(run, input_len - (INPUT_SLACK - 8), window_filled, from_window);
            if exit != Exit::Slack {
                return exit;
            }
        }
        if run.input.len() - run.from >= INPUT_SLACK && run.output.len() - run.at >= EDGE_OUTPUT_SLACK {
            let input_len = run.input.len();
            let exit = decode_on_cpu::<true>(run, input_len - (INPUT_SLACK - 8), window_filled, from_window);
            if exit != Exit::Slack {
                return exit;
            }
        }
    }
    let left = run.input.len() - run.from;
    if !(2..INPUT_SLACK).contains(&left) || run.output.len() - run.at < EDGE_OUTPUT_SLACK {
        return Exit::Slack;
    }
    decode_padded(run, left, window_filled, from_window)
}

/// Decodes along the edge from a padded copy of the `left` bytes of input.
///
/// A round begins with at least 56 bits held and at most two bytes before the end of the real ones, so with 72 real bits: enough for all that it takes. What it
/// looks up behind them may be padding, and is looked up again by whoever goes on.
fn decode_padded(run: &mut Run<'_>, left: usize, window_filled: usize, from_window: CopyFromWindow<'_>) -> Exit {
    let mut padded = [0; PADDED_BYTES];
    padded[..left].copy_from_slice(&run.input[run.from..]);
    let mut along = Run {
        input: &padded,
        from: 0,
        bits: run.bits,
        count: run.count,
        output: run.output,
        at: run.at,
        litlen: run.litlen,
        distances: run.distances,
    };
    let exit = decode_on_cpu::<true>(&mut along, left - 2, window_filled, from_window);
    // Padding that is held was not used.
    let padding = along.from.saturating_sub(left);
    let count = along.count - 8 * padding as u32;
    (run.bits, run.count) = (along.bits & ((1 << count) - 1), count);
    (run.from, run.at) = (run.from + along.from - padding, along.at);
    exit
}

/// Calls the loop that suits the CPU. Rounds begin at or before `last_from`.
fn decode_on_cpu<const EDGE: bool>(run: &mut Run<'_>, last_from: usize, window_filled: usize, from_window: CopyFromWindow<'_>) -> Exit {
    #[cfg(target_arch = "x86_64")]
    if super::has_bmi2() {
        // SAFETY: the CPU has BMI1 and BMI2.
        return unsafe { decode_bmi2::<EDGE>(run, last_from, window_filled, from_window) };
    }
    decode_with::<Portable, EDGE>(run, last_from, window_filled, from_window)
}

/// [`decode_with`] for a CPU with BMI2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2")]
fn decode_bmi2<const EDGE: bool>(run: &mut Run<'_>, last_from: usize, window_filled: usize, from_window: CopyFromWindow<'_>) -> Exit {
    decode_with::<Bmi2, EDGE>(run, last_from, window_filled, from_window)
}

/// The loop. Rounds begin at or before `last_from`, which leaves at least 15 bytes of input behind it, and with `OUTPUT_SLACK` bytes of room,
/// along the edge with `EDGE_OUTPUT_SLACK`; the caller has checked that there is as much room.
#[inline(always)]
fn decode_with<I: Isa, const EDGE: bool>(
    run: &mut Run<'_>,
    last_from: usize,
    window_filled: usize,
    from_window: CopyFromWindow<'_>,
) -> Exit {
    let slack = if EDGE { EDGE_OUTPUT_SLACK } else { OUTPUT_SLACK };
    assert!(run.input.len() >= last_from + 15 && run.from <= run.input.len() - 8, "slack of the input");
    assert!(run.at <= run.output.len() && run.output.len() >= slack, "slack of the output");
    let litlen = run.litlen;
    let distances = run.distances;
    let input = run.input.as_ptr_range();
    let output_len = run.output.len();
    let output = run.output.as_mut_ptr();
    // Rounds start at or before these, which lie in their slices.
    let input_stop = input.start.wrapping_add(last_from);
    let output_stop = output.wrapping_add(output_len - slack);
    let mut from = input.start.wrapping_add(run.from);
    let mut at = output.wrapping_add(run.at);
    let mut bits = run.bits;
    // Bits 7:0 are the count; above them is what subtracting whole entries leaves.
    let mut count = run.count;

    // Bits at and above `count` are those of the next byte or 0, so loading them again changes nothing.
    macro_rules! refill {
        () => {
            debug_assert!(input.end as usize - from as usize >= 8);
            // SAFETY: the first one of all is covered by the assertion. A round starts with 15 bytes left and refills at most twice, the second time
            // at most 7 bytes further on; so at least 8 bytes are left here.
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
    // Takes back what was taken since `bits` were `$saved`.
    macro_rules! give_back {
        ($saved:expr, $entries:expr) => {
            bits = $saved;
            count = count.wrapping_add($entries);
        };
    }
    macro_rules! put_literal {
        ($literal:expr) => {
            debug_assert!(output_len - (at as usize - output as usize) > 0);
            // SAFETY: a round starts with at least EDGE_OUTPUT_SLACK bytes left and puts at most three literals.
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
                cold_path();
                break 'run Exit::Slack;
            }
            let mut saved = bits;
            take!(entry);
            if entry & LITERAL != 0 {
                put_literal!(entry >> 16);
                entry = litlen[bits as usize % (1 << LITLEN_ROOT)];
                saved = bits;
                take!(entry);
                if entry & LITERAL != 0 {
                    put_literal!(entry >> 16);
                    entry = litlen[bits as usize % (1 << LITLEN_ROOT)];
                    saved = bits;
                    take!(entry);
                    if entry & LITERAL != 0 {
                        put_literal!(entry >> 16);
                        entry = litlen[bits as usize % (1 << LITLEN_ROOT)];
                        refill!();
                        continue;
                    }
                }
            }
            if entry & EXCEPTIONAL != 0 {
                cold_path();
                if entry & BLOCK_END != 0 {
                    break 'run Exit::BlockEnd;
                }
                if entry & SUBTABLE == 0 {
                    give_back!(saved, entry);
                    break 'run Exit::Symbol;
                }
                let (pointer, symbol_at) = (entry, saved);
                let index_bits = pointer >> 8 & 0xf;
                entry = litlen[(pointer >> 16) as usize + (bits as usize & ((1 << index_bits) - 1))];
                saved = bits;
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
                    give_back!(symbol_at, entry.wrapping_add(pointer));
                    break 'run Exit::Symbol;
                }
            }
            let length = (entry >> 16) as usize + I::low_bits(saved, entry).wrapping_shr(entry >> 8) as usize;
            debug_assert!((3..=MATCH_BYTES_MAX).contains(&length));
            let written = at as usize - output as usize;
            if EDGE && length > output_len - written {
                cold_path();
                break 'run Exit::Distance(length as u16);
            }

            entry = distances[bits as usize % (1 << DISTANCE_ROOT)];
            if REFILL_ALWAYS || count & 0xff < DISTANCE_BITS {
                refill!();
            }
            saved = bits;
            if entry & EXCEPTIONAL != 0 {
                cold_path();
                if entry & SUBTABLE == 0 {
                    break 'run Exit::Distance(length as u16);
                }
                let pointer = entry;
                take!(pointer);
                let index_bits = pointer >> 8 & 0xf;
                entry = distances[(pointer >> 16) as usize + (bits as usize & ((1 << index_bits) - 1))];
                let distance = (entry >> 16) as usize + I::low_bits(bits, entry).wrapping_shr(entry >> 8) as usize;
                if entry & EXCEPTIONAL != 0 || distance > written + window_filled {
                    give_back!(saved, pointer);
                    break 'run Exit::Distance(length as u16);
                }
                saved = bits;
            }
            take!(entry);
            let distance = (entry >> 16) as usize + I::low_bits(saved, entry).wrapping_shr(entry >> 8) as usize;
            if distance > written {
                cold_path();
                // One that came from a subtable was compared there.
                if distance > written + window_filled {
                    give_back!(saved, entry);
                    break 'run Exit::Distance(length as u16);
                }
                from_window_next = (distance, length);
                continue 'run;
            }
            let to = at;
            at = at.wrapping_add(length);
            entry = litlen[bits as usize % (1 << LITLEN_ROOT)];
            refill!();
            if EDGE && output_len - written < length + COPY_SLACK {
                cold_path();
                for i in 0..length {
                    let byte = to.wrapping_add(i);
                    // SAFETY: `distance` was checked against what is written.
                    let copied = unsafe { byte.wrapping_sub(distance).read() };
                    // SAFETY: `length` bytes are left.
                    unsafe { byte.write(copied) };
                }
                continue;
            }
            debug_assert!(output_len - written >= length + COPY_SLACK);
            // SAFETY: a round away from the edge began with OUTPUT_SLACK bytes left and has put at most two literals, so a longest match and COPY_SLACK
            // bytes fit; along the edge that was compared just now. `distance` was checked against what is written.
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

/// Copies `length` bytes from `distance` back to `to`, and fewer than [`COPY_SLACK`] of anything behind them.
///
/// # Safety
/// `distance` ≥ 1 bytes before `to` are initialised, `length` + [`COPY_SLACK`] from it writable.
#[inline(always)]
pub(super) unsafe fn copy_match(to: *mut u8, distance: usize, length: usize) {
    let mut to = to;
    let end = to.wrapping_add(length);
    let mut from = to.wrapping_sub(distance).cast_const();
    if distance >= 16 {
        // Each sixteen bytes are complete before they are read again. Loads of 32 bytes at once are slower: what was stored in pieces is not forwarded.
        // SAFETY: as the contract says; 32 bytes of at least 3 + 32 are in range.
        unsafe { copy16_twice(from, to) };
        while to.wrapping_add(32) < end {
            from = from.wrapping_add(32);
            to = to.wrapping_add(32);
            // SAFETY: begins before `end`, so ends within 31 bytes behind it.
            unsafe { copy16_twice(from, to) };
        }
        return;
    }
    cold_path();
    if distance >= 8 {
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
