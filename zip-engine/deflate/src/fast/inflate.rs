//! The bulk loop of decompression.
//!
//! A round begins with at least 56 held bits and the entry of the next symbol already looked up. It decodes up to three literals, or a match behind at
//! most two; the entry of the next symbol is looked up and the bits are refilled before the match is copied, so that the copy hides the loads.
//!
//! Bits of one round: three literals take at most 3 × 11; two and a length 2 × 11 + 15 + 5, which leaves 14 to look up a distance. A distance takes 8 + 13 and the look-up
//! behind it 11; if fewer are held, which is rare, and always before a subtable of distances, the bits are refilled.
//!
//! It stops in front of whatever is odd (an invalid codeword, a distance that reaches too far) and leaves the verdict to the careful path.
//!
//! Where the output has too little slack for that, the same loop goes on along the edge: each match is then compared with the room that is left. The last bytes of
//! input, and on other CPUs than x86-64 all of it, are decoded by the loop of `position.rs`.

pub(crate) use super::entry;
use super::entry::*;
use super::{copy16_twice, load64, position, store64};
use crate::constants::MATCH_BYTES_MAX;
use crate::inflate::Tables;
use core::hint::cold_path;
use core::sync::atomic::{Ordering, compiler_fence};

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

/// Input bytes not yet held with which it is worth to begin.
pub(crate) const WORTH_INPUT: usize = 9;

/// Bits below which a distance and the look-up behind it may not fit.
const DISTANCE_BITS: u32 = (DISTANCE_ROOT + 13 + LITLEN_ROOT) as u32;

/// The longest distance.
pub(super) const DISTANCE_MAX: usize = 1 << 15;

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
    /// The tables of the block.
    pub(crate) tables: &'a Tables,
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

/// Decodes symbols while there is slack. `window_filled` bytes of history lie before the output, in the reach of `from_window`.
pub(crate) fn decode(run: &mut Run<'_>, window_filled: usize, from_window: CopyFromWindow<'_>) -> Exit {
    if holds_bits() && run.input.len() - run.from >= INPUT_SLACK {
        let last_from = run.input.len() - (INPUT_SLACK - 8);
        if run.output.len() - run.at >= OUTPUT_SLACK {
            let exit = decode_on_cpu::<false>(run, last_from, window_filled, from_window);
            if exit != Exit::Slack {
                return exit;
            }
        }
        if run.input.len() - run.from >= INPUT_SLACK && run.output.len() - run.at >= EDGE_OUTPUT_SLACK {
            let exit = decode_on_cpu::<true>(run, last_from, window_filled, from_window);
            if exit != Exit::Slack {
                return exit;
            }
        }
    }
    position::decode(run, window_filled, from_window)
}

/// Whether the loop that holds bits goes first: where a load that waits costs more than instructions.
#[cfg(not(test))]
fn holds_bits() -> bool {
    cfg!(target_arch = "x86_64")
}

/// In the tests of this crate both loops take turns.
#[cfg(test)]
fn holds_bits() -> bool {
    use core::sync::atomic::AtomicBool;
    static TURN: AtomicBool = AtomicBool::new(false);
    TURN.fetch_not(Ordering::Relaxed)
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
    let (litlen, distances) = (&run.tables.litlen.entries, &run.tables.distances.entries);
    let input = run.input.as_ptr_range();
    let output_len = run.output.len();
    let output = run.output.as_mut_ptr();
    // Then no distance leads from the output to before address 0, so sources can be compared by their addresses.
    if output.addr() < DISTANCE_MAX {
        return Exit::Slack;
    }
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
            bits = $entry.take(bits);
            count = count.wrapping_sub($entry.raw());
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
        ($entry:expr) => {
            debug_assert!(output_len - (at as usize - output as usize) > 0);
            // SAFETY: a round starts with at least EDGE_OUTPUT_SLACK bytes left and puts at most three literals.
            unsafe { at.write($entry.value() as u8) };
            at = at.wrapping_add(1);
        };
    }

    refill!();
    let mut entry = Entry::of(litlen, bits);
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
            entry = Entry::of(litlen, bits);
            refill!();
        }
        loop {
            if from > input_stop || at > output_stop {
                // Makes the way out a block of its own: else the compiler prepares for it in every round.
                compiler_fence(Ordering::SeqCst);
                break 'run Exit::Slack;
            }
            let mut saved = bits;
            take!(entry);
            if entry.is(LITERAL) {
                put_literal!(entry);
                entry = Entry::of(litlen, bits);
                saved = bits;
                take!(entry);
                if entry.is(LITERAL) {
                    put_literal!(entry);
                    entry = Entry::of(litlen, bits);
                    saved = bits;
                    take!(entry);
                    if entry.is(LITERAL) {
                        put_literal!(entry);
                        entry = Entry::of(litlen, bits);
                        refill!();
                        continue;
                    }
                }
            }
            if entry.is(EXCEPTIONAL) {
                cold_path();
                if entry.is(BLOCK_END) {
                    break 'run Exit::BlockEnd;
                }
                if !entry.is(SUBTABLE) {
                    give_back!(saved, entry.raw());
                    break 'run Exit::Symbol;
                }
                let (pointer, symbol_at) = (entry, saved);
                entry = pointer.in_subtable(litlen, bits);
                saved = bits;
                take!(entry);
                if entry.is(LITERAL) {
                    put_literal!(entry);
                    refill!();
                    entry = Entry::of(litlen, bits);
                    continue;
                }
                if entry.is(EXCEPTIONAL) {
                    if entry.is(BLOCK_END) {
                        break 'run Exit::BlockEnd;
                    }
                    give_back!(symbol_at, entry.raw().wrapping_add(pointer.raw()));
                    break 'run Exit::Symbol;
                }
            }
            let length = entry.number::<I>(saved);
            debug_assert!((3..=MATCH_BYTES_MAX).contains(&length));
            if EDGE && length > output_len - (at as usize - output as usize) {
                cold_path();
                break 'run Exit::Distance(length as u16);
            }

            entry = Entry::of(distances, bits);
            if entry.is(EXCEPTIONAL) {
                cold_path();
                if !entry.is(SUBTABLE) {
                    break 'run Exit::Distance(length as u16);
                }
                refill!();
                saved = bits;
                let pointer = entry;
                take!(pointer);
                entry = pointer.in_subtable(distances, bits);
                if entry.is(EXCEPTIONAL) || entry.number::<I>(bits) > at as usize - output as usize + window_filled {
                    give_back!(saved, pointer.raw());
                    break 'run Exit::Distance(length as u16);
                }
            } else if count & 0xff < DISTANCE_BITS {
                cold_path();
                refill!();
            }
            saved = bits;
            take!(entry);
            let distance = entry.number::<I>(saved);
            debug_assert!(distance <= DISTANCE_MAX);
            let source = at.wrapping_sub(distance).cast_const();
            if source.addr() < output.addr() {
                cold_path();
                // One that came from a subtable was compared there.
                if distance > at as usize - output as usize + window_filled {
                    give_back!(saved, entry.raw());
                    break 'run Exit::Distance(length as u16);
                }
                from_window_next = (distance, length);
                continue 'run;
            }
            let to = at;
            at = at.wrapping_add(length);
            entry = Entry::of(litlen, bits);
            refill!();
            let room = || output_len - (to as usize - output as usize);
            if EDGE && room() < length + COPY_SLACK {
                cold_path();
                for i in 0..length {
                    // SAFETY: `distance` was checked against what is written.
                    let copied = unsafe { source.wrapping_add(i).read() };
                    // SAFETY: `length` bytes are left.
                    unsafe { to.wrapping_add(i).write(copied) };
                }
                continue;
            }
            debug_assert!(room() >= length + COPY_SLACK);
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
