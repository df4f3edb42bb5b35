//! The bulk loop of decompression for a stream that is at a bit position instead of holding bits.
//!
//! To refill is to load the eight bytes at the position, four instructions on aarch64, and nothing has to be given back in front of what is odd. But the next
//! look-up waits for that load, so where waits cost more than instructions the loop that holds bits goes first (`inflate.rs`), and this one decodes the last
//! bytes only.
//!
//! A load gives at least 57 bits. A round takes up to four literals of 11, or a match behind at most three: behind two literals or more, and behind the root of
//! a subtable, the bits are loaded again.
//!
//! The last bytes of input are read from a copy with zeros behind. A round that has used some of the zeros is taken back, so all symbols that the input holds whole
//! are decoded here, but for those of the last round.

use super::entry::*;
use super::inflate::{COPY_SLACK, CopyFromWindow, DISTANCE_MAX, DISTANCE_ROOT, Exit, LITLEN_ROOT, Run, copy_match};
use super::{copy32, copy32s, load64, put};
use crate::constants::MATCH_BYTES_MAX;
use crate::inflate::Tables;
use core::hint::cold_path;
use core::sync::atomic::{Ordering, compiler_fence};

/// Literals that a round may put.
const LITERALS: usize = 4;

/// Bits behind the beginning of a round from which the last load of all may be: three literals, a length with its subtable, and the root of a distance.
const LAST_LOAD: usize = (LITERALS - 1) * LITLEN_ROOT + 15 + 5 + DISTANCE_ROOT;

/// Input bytes from the one with the next bit on that a round may touch.
const INPUT_SLACK: usize = LAST_LOAD.div_ceil(8) + 8;

/// Bits that a load is sure to give.
const LOADED: usize = 8 * 8 - 7;
// Four literals; a match behind one literal without subtables; behind a load for it, a match without them; what is behind the root of either.
const _: () =
    assert!(LITERALS * LITLEN_ROOT <= LOADED && 2 * LITLEN_ROOT + 5 + DISTANCE_ROOT + 13 <= LOADED && 4 + 5 + DISTANCE_ROOT + 13 <= LOADED);

/// Output bytes that a round may touch.
const OUTPUT_SLACK: usize = LITERALS - 1 + MATCH_BYTES_MAX + COPY_SLACK;

/// Output bytes that a round along the edge puts without looking.
const EDGE_OUTPUT_SLACK: usize = LITERALS;

/// Decodes symbols until the last that are whole. As `inflate::decode`.
pub(super) fn decode(run: &mut Run<'_>, window_filled: usize, from_window: CopyFromWindow<'_>) -> Exit {
    // Bits held from an earlier step are not in this input.
    let Some(position) = (8 * run.from as u64).checked_sub(run.count.into()) else { return Exit::Slack };
    let mut rounds =
        Rounds { input: run.input, last: 0, end: 8 * run.input.len() as u64, position, output: run.output, at: run.at, tables: run.tables };
    let exit = rounds.until_the_end(window_filled, from_window);
    let (position, at) = (rounds.position, rounds.at);
    (run.from, run.count, run.bits) = held_at(run.input, position);
    run.at = at;
    exit
}

/// Returns what a reader at a bit position holds: the bytes read, and the bits of the last one that are not used, counted and as they are.
pub(crate) fn held_at(input: &[u8], position: u64) -> (usize, u32, u64) {
    let read = position.div_ceil(8);
    let count = (8 * read - position) as u32;
    let bits = match (read as usize).checked_sub(1) {
        Some(last) if count > 0 => u64::from(input[last]) >> (8 - count),
        _ => 0,
    };
    (read as usize, count, bits)
}

/// A run of rounds.
struct Rounds<'a> {
    input: &'a [u8],
    /// The last position at which a round may begin.
    last: u64,
    /// Bits of the input that are no padding.
    end: u64,
    /// Bits of the input used.
    position: u64,
    output: &'a mut [u8],
    /// Bytes of the output written.
    at: usize,
    tables: &'a Tables,
}

impl Rounds<'_> {
    fn until_the_end(&mut self, window_filled: usize, from_window: CopyFromWindow<'_>) -> Exit {
        if let Some(last) = self.input.len().checked_sub(INPUT_SLACK) {
            self.last = 8 * last as u64 + 7;
            let mut exit = Exit::Slack;
            if self.position <= self.last && self.room() >= OUTPUT_SLACK {
                exit = self.decode::<false>(window_filled, from_window);
            }
            if exit == Exit::Slack && self.position <= self.last && self.room() >= EDGE_OUTPUT_SLACK {
                exit = self.decode::<true>(window_filled, from_window);
            }
            if exit != Exit::Slack {
                return exit;
            }
        }
        let first = self.position / 8;
        let rest = &self.input[first as usize..];
        if rest.is_empty() || rest.len() >= INPUT_SLACK || self.room() < EDGE_OUTPUT_SLACK {
            return Exit::Slack;
        }
        let mut padded = [0; 2 * INPUT_SLACK - 1];
        padded[..rest.len()].copy_from_slice(rest);
        let end = 8 * rest.len() as u64;
        let position = self.position % 8;
        let mut along = Rounds { input: &padded, last: end - 1, end, position, output: self.output, at: self.at, tables: self.tables };
        let exit = along.decode::<true>(window_filled, from_window);
        (self.position, self.at) = (8 * first + along.position, along.at);
        exit
    }

    fn room(&self) -> usize {
        self.output.len() - self.at
    }

    /// The loop. The caller has checked that there is as much slack as a round may touch: input behind `last`, output behind `at`, of which a round along the
    /// edge needs `EDGE_OUTPUT_SLACK` only.
    #[inline(never)]
    fn decode<const EDGE: bool>(&mut self, window_filled: usize, from_window: CopyFromWindow<'_>) -> Exit {
        let slack = if EDGE { EDGE_OUTPUT_SLACK } else { OUTPUT_SLACK };
        assert!(self.last / 8 + INPUT_SLACK as u64 <= self.input.len() as u64, "slack of the input");
        assert!(self.at <= self.output.len() && self.output.len() >= slack, "slack of the output");
        let input = self.input.as_ptr();
        let (litlen, distances) = (&self.tables.litlen.entries, &self.tables.distances.entries);
        let output_len = self.output.len();
        let output = self.output.as_mut_ptr();
        // Then no distance leads from the output to before address 0, so sources can be compared by their addresses.
        if output.addr() < DISTANCE_MAX {
            return Exit::Slack;
        }
        let (last, output_stop) = (self.last, output.wrapping_add(output_len - slack));
        let mut position = self.position;
        let mut at = output.wrapping_add(self.at);
        // Where the round began.
        let mut began = (position, at);

        macro_rules! load {
            ($position:expr) => {{
                debug_assert!($position / 8 + 8 <= self.input.len() as u64);
                // SAFETY: a round begins at or before `last`, at least INPUT_SLACK bytes before the end of the input, and loads at most LAST_LOAD bits further on.
                unsafe { load64(input.wrapping_add(($position / 8) as usize)) }.wrapping_shr($position as u32 & 7)
            }};
        }
        macro_rules! put {
            ($entry:expr) => {
                debug_assert!(output_len - (at as usize - output as usize) > 0);
                // SAFETY: a round begins with at least EDGE_OUTPUT_SLACK bytes left and puts as many literals at most.
                at = unsafe { put($entry.value() as u8, at) };
                position += $entry.taken();
            };
        }
        let exit = 'run: loop {
            if position > last || at > output_stop {
                // Makes the way out a block of its own: else the compiler prepares for it in every round.
                compiler_fence(Ordering::SeqCst);
                break Exit::Slack;
            }
            if EDGE {
                began = (position, at);
            }
            let mut bits = load!(position);
            let mut entry = Entry::of(litlen, bits);
            // Puts a literal and looks up the next symbol.
            macro_rules! literal {
                () => {
                    put!(entry);
                    bits = entry.take(bits);
                    entry = Entry::of(litlen, bits);
                };
            }
            if entry.is(LITERAL) {
                literal!();
                if entry.is(LITERAL) {
                    literal!();
                    if entry.is(LITERAL) {
                        literal!();
                        if entry.is(LITERAL) {
                            put!(entry);
                            continue;
                        }
                    }
                    bits = load!(position);
                }
            }
            if entry.is(EXCEPTIONAL) {
                cold_path();
                if entry.is(BLOCK_END) {
                    position += entry.taken();
                    break Exit::BlockEnd;
                }
                if !entry.is(SUBTABLE) {
                    break Exit::Symbol;
                }
                bits = load!(position + LITLEN_ROOT as u64);
                entry = entry.in_subtable(litlen, bits);
                if entry.is(EXCEPTIONAL) && !entry.is(BLOCK_END) {
                    break Exit::Symbol;
                }
                position += LITLEN_ROOT as u64;
                if entry.is(BLOCK_END) {
                    position += entry.taken();
                    break Exit::BlockEnd;
                }
                if entry.is(LITERAL) {
                    put!(entry);
                    continue;
                }
            }
            let length = entry.number::<Portable>(bits);
            debug_assert!((3..=MATCH_BYTES_MAX).contains(&length));
            position += entry.taken();
            bits = entry.take(bits);
            let mut entry = Entry::of(distances, bits);
            if EDGE && length > output_len - (at as usize - output as usize) {
                cold_path();
                break Exit::Distance(length as u16);
            }
            let distance;
            if entry.is(EXCEPTIONAL) {
                cold_path();
                if !entry.is(SUBTABLE) {
                    break Exit::Distance(length as u16);
                }
                bits = load!(position + DISTANCE_ROOT as u64);
                entry = entry.in_subtable(distances, bits);
                distance = entry.number::<Portable>(bits);
                if entry.is(EXCEPTIONAL) || distance > at as usize - output as usize + window_filled {
                    break Exit::Distance(length as u16);
                }
                position += DISTANCE_ROOT as u64;
            } else {
                distance = entry.number::<Portable>(bits);
            }
            position += entry.taken();
            debug_assert!(distance <= DISTANCE_MAX);
            let from = at.wrapping_sub(distance).cast_const();
            if from.addr() < output.addr() {
                cold_path();
                let written = at as usize - output as usize;
                // One that came from a subtable was compared there.
                if distance > written + window_filled {
                    position -= entry.taken();
                    break 'run Exit::Distance(length as u16);
                }
                // SAFETY: the whole output of the step, borrowed through `self` and touched by nothing else during the call.
                let whole = unsafe { core::slice::from_raw_parts_mut(output, output_len) };
                from_window(whole, written, distance, length);
                at = at.wrapping_add(length);
                continue;
            }
            if EDGE && output_len - (at as usize - output as usize) < length + COPY_SLACK {
                cold_path();
                for i in 0..length {
                    // SAFETY: `distance` was checked against what is written.
                    let copied = unsafe { from.wrapping_add(i).read() };
                    // SAFETY: `length` bytes are left.
                    unsafe { at.wrapping_add(i).write(copied) };
                }
            } else if distance < 32 {
                cold_path();
                // SAFETY: a round away from the edge began with OUTPUT_SLACK bytes left and has put at most three literals, so a longest match and COPY_SLACK bytes
                // fit; along the edge that was compared just now. `distance` was checked against what is written.
                unsafe { copy_match(at, distance, length) };
            } else {
                debug_assert!(output_len - (at as usize - output as usize) >= length + COPY_SLACK);
                // SAFETY: as above; the distance is no less than the copy.
                unsafe { copy32(from, at) };
                if length > 32 {
                    // SAFETY: as above; each copy begins before the end of the match, so ends less than COPY_SLACK bytes behind it.
                    unsafe { copy32s(from.wrapping_add(32), at.wrapping_add(32), at.wrapping_add(length)) };
                }
            }
            at = at.wrapping_add(length);
        };
        // Padding was read for bits: the round is done again, by whoever knows when to stop.
        let exit = if EDGE && position > self.end {
            (position, at) = began;
            Exit::Slack
        } else {
            exit
        };
        self.position = position;
        self.at = at as usize - output as usize;
        exit
    }
}
