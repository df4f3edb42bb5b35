//! The loop that decodes two streams at once.
//!
//! Decompression of one stream waits: for the table look-ups, of which each needs the one before, and for branches guessed wrong. Here a turn takes a literal, if
//! there is one, and the symbol behind it, a literal or a whole match, of each stream in turn, without a branch that depends on which it is; so the waits of
//! one stream are filled with the work of the other. Four streams were slower: their tables do not fit the first-level cache.
//!
//! What makes literal and match alike: a literal is a match of one byte whose source is a table of all bytes. Both tables are looked up for either; for a
//! literal the second result is replaced. All else (codewords that need a subtable, matches that overlap themselves or are longer than a copy) is a
//! branch that is rarely taken.
//!
//! A stream is at a bit position, not in a bit buffer, so it needs two registers. A load of eight bytes gives at least 57 bits; a turn takes at most 48:
//! three codewords of the roots, 11 + 11 + 8, and 5 + 13 bits behind them. With its subtables a match takes 48 too.

use super::entry::*;
use super::inflate::{COPY_SLACK, DISTANCE_ROOT, LITLEN_ROOT, copy_match};
use super::{copy16_twice, load64};
use crate::inflate::Tables;
use core::hint::{cold_path, select_unpredictable};

/// Input bytes from the one with the next bit on that a turn may touch.
const INPUT_SLACK: usize = 8;
const _: () = assert!(LITLEN_ROOT + LITLEN_ROOT + 5 + DISTANCE_ROOT + 13 <= 8 * INPUT_SLACK - 7 && 15 + 5 + 15 + 13 <= 8 * INPUT_SLACK - 7);

/// Bytes of a match that are copied without looking at its length: two times sixteen.
const COPY: usize = 32;

/// Output bytes that a turn touches without looking: a literal and one copy. A longer match is compared with the room.
const OUTPUT_SLACK: usize = 1 + COPY;

/// One of the streams: between symbols of a block, and without history before its output.
pub(crate) struct Lane<'a> {
    /// The input of the step.
    pub(crate) input: &'a [u8],
    /// Bits of `input` used.
    pub(crate) position: usize,
    /// The output of the step.
    pub(crate) output: &'a mut [u8],
    /// Bytes of `output` written.
    pub(crate) at: usize,
    /// The tables of the block.
    pub(crate) tables: &'a Tables,
}

/// Returns whether a stream at these places has the slack for a symbol.
pub(crate) fn has_slack(input: &[u8], position: usize, output: &[u8], at: usize) -> bool {
    position / 8 + INPUT_SLACK <= input.len() && at + OUTPUT_SLACK <= output.len()
}

/// Returns a lane that cannot set out.
fn without_slack(lanes: &[&mut Lane<'_>; 2]) -> Option<usize> {
    lanes.iter().position(|lane| !has_slack(lane.input, lane.position, lane.output, lane.at))
}

/// Decodes both streams until one is out of slack or in front of a symbol that the careful path must look at. Returns which.
pub(crate) fn decode(lanes: [&mut Lane<'_>; 2]) -> usize {
    if let Some(lane) = without_slack(&lanes) {
        return lane;
    }
    #[cfg(target_arch = "x86_64")]
    if super::has_bmi2() {
        // SAFETY: the CPU has BMI1 and BMI2.
        return unsafe { decode_bmi2(lanes) };
    }
    decode_with::<Portable>(lanes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2")]
fn decode_bmi2(lanes: [&mut Lane<'_>; 2]) -> usize {
    decode_with::<Bmi2>(lanes)
}

#[inline(always)]
fn decode_with<I: Isa>(mut lanes: [&mut Lane<'_>; 2]) -> usize {
    let bounds = lanes.each_mut().map(|lane| Bounds::of(lane));
    let mut a = Place::of(lanes[0]);
    let mut b = Place::of(lanes[1]);
    let stopped = loop {
        if !a.turn::<I>(&bounds[0]) {
            break 0;
        }
        if !b.turn::<I>(&bounds[1]) {
            break 1;
        }
    };
    a.store(lanes[0]);
    b.store(lanes[1]);
    stopped
}

/// What of a lane stays as it is. The pointers are those of the lane's slices: it is made and dropped within a call that borrows the lane.
struct Bounds<'a> {
    input: *const u8,
    /// The last position from which eight bytes can be loaded.
    last_position: usize,
    output: *mut u8,
    /// The last offset in the output with `OUTPUT_SLACK` behind it.
    last_at: usize,
    tables: &'a Tables,
}

impl<'a> Bounds<'a> {
    /// # Panics
    /// When the lane has no slack: then there are no last places.
    #[inline(always)]
    fn of(lane: &mut Lane<'a>) -> Self {
        assert!(has_slack(lane.input, lane.position, lane.output, lane.at), "a lane has slack when it sets out");
        Bounds {
            input: lane.input.as_ptr(),
            last_position: 8 * (lane.input.len() - INPUT_SLACK) + 7,
            last_at: lane.output.len() - OUTPUT_SLACK,
            output: lane.output.as_mut_ptr(),
            tables: lane.tables,
        }
    }

    /// Loads the bits at a position.
    ///
    /// # Safety
    /// `position` ≤ `last_position`.
    #[inline(always)]
    unsafe fn bits(&self, position: usize) -> u64 {
        // SAFETY: eight bytes from there are in the input.
        unsafe { load64(self.input.wrapping_add(position / 8)) }.wrapping_shr(position as u32 % 8)
    }

    /// Returns how many bytes can be written at offset `at`, which is in the output.
    #[inline(always)]
    fn room(&self, at: usize) -> usize {
        self.last_at + OUTPUT_SLACK - at
    }

    /// Writes a literal.
    ///
    /// # Safety
    /// `at` is in the output.
    #[inline(always)]
    unsafe fn put(&self, at: usize, entry: u32) {
        // SAFETY: in the output by the contract.
        unsafe { self.output.wrapping_add(at).write((entry >> 16) as u8) };
    }
}

/// All bytes, and behind them what a copy may load.
static BYTES: [u8; 256 + COPY] = {
    let mut bytes = [0; 256 + COPY];
    let mut i = 0;
    while i < 256 {
        bytes[i] = i as u8;
        i += 1;
    }
    bytes
};

/// The distance entry that stands for a literal: distance 1, no bits.
const LITERAL_DISTANCE: u32 = 1 << 16;

/// Where a lane stands.
#[derive(Clone, Copy)]
struct Place {
    /// Bits of the input used.
    position: usize,
    /// Bytes of the output written.
    at: usize,
}

impl Place {
    #[inline(always)]
    fn of(lane: &Lane<'_>) -> Self {
        Place { position: lane.position, at: lane.at }
    }

    #[inline(always)]
    fn store(self, lane: &mut Lane<'_>) {
        (lane.position, lane.at) = (self.position, self.at);
    }

    /// Takes one turn. Returns whether it could: without slack, and in front of what is odd, it stays.
    #[inline(always)]
    fn turn<I: Isa>(&mut self, bounds: &Bounds<'_>) -> bool {
        let Place { position, at } = *self;
        if position > bounds.last_position || at > bounds.last_at {
            cold_path();
            return false;
        }
        // SAFETY: compared just now.
        let bits = unsafe { bounds.bits(position) };

        let entry = bounds.tables.litlen.entries[bits as usize % (1 << LITLEN_ROOT)];
        // SAFETY: OUTPUT_SLACK bytes are left. If it is no literal, its byte is overwritten.
        unsafe { bounds.put(at, entry) };
        let at = at + (entry >> 31) as usize;
        let literal_taken = select_unpredictable(entry & LITERAL != 0, entry, 0);
        let bits = bits.wrapping_shr(literal_taken);

        // The symbol behind it, or the one that it is.
        let entry = bounds.tables.litlen.entries[bits as usize % (1 << LITLEN_ROOT)];
        let is_literal = entry & LITERAL != 0;
        let behind = bits.wrapping_shr(entry);
        let second = bounds.tables.distances.entries[behind as usize % (1 << DISTANCE_ROOT)];
        let second = select_unpredictable(is_literal, LITERAL_DISTANCE, second);
        if (entry | second) & EXCEPTIONAL != 0 {
            cold_path();
            return self.take(odd_symbol::<I>(Place { position: position + (literal_taken & 0xff) as usize, at }, bounds));
        }
        let length = (entry >> 16) as usize + I::low_bits(bits, entry.into()).wrapping_shr(entry >> 8) as usize;
        let length = select_unpredictable(is_literal, 1, length);
        let distance = (second >> 16) as usize + I::low_bits(behind, second.into()).wrapping_shr(second >> 8) as usize;
        let Some(from) = at.checked_sub(distance) else {
            cold_path();
            return self.take(odd_symbol::<I>(Place { position: position + (literal_taken & 0xff) as usize, at }, bounds));
        };
        let to = bounds.output.wrapping_add(at);
        if distance >= length && length <= COPY {
            let literal = BYTES.as_ptr().wrapping_add((entry >> 16 & 0xff) as usize);
            let from = select_unpredictable(is_literal, literal, bounds.output.wrapping_add(from).cast_const());
            // SAFETY: COPY bytes at `to` are in the output. `from` is in it and before, or in the table of bytes, which has as many behind the last one.
            unsafe { copy16_twice(from, to) };
        } else {
            cold_path();
            if bounds.room(at) < length + COPY_SLACK {
                return false;
            }
            // SAFETY: room and distance were compared just now.
            unsafe { copy_match(to, distance, length) };
        }
        // At most 48 in all, so the sum of the low eight bits is within them.
        let taken = literal_taken.wrapping_add(entry).wrapping_add(second) & 0xff;
        *self = Place { position: position + taken as usize, at: at + length };
        true
    }

    #[inline(always)]
    fn take(&mut self, place: Option<Place>) -> bool {
        *self = place.unwrap_or(*self);
        place.is_some()
    }
}

/// Decodes a symbol, with subtables too, and returns where the stream then stands; `None` when it cannot. A byte of room and a copy are left.
#[cold]
#[inline(never)]
fn odd_symbol<I: Isa>(place: Place, bounds: &Bounds<'_>) -> Option<Place> {
    let Place { mut position, at } = place;
    if position > bounds.last_position {
        return None;
    }
    // SAFETY: compared just now.
    let mut bits = unsafe { bounds.bits(position) };
    let mut entry = bounds.tables.litlen.entries[bits as usize % (1 << LITLEN_ROOT)];
    if entry & (EXCEPTIONAL | SUBTABLE) == EXCEPTIONAL | SUBTABLE {
        bits >>= LITLEN_ROOT;
        position += LITLEN_ROOT;
        entry = bounds.tables.litlen.entries[(entry >> 16) as usize + (bits as usize & ((1 << (entry >> 8 & 0xf)) - 1))];
    }
    if entry & EXCEPTIONAL != 0 {
        return None;
    }
    let extra = I::low_bits(bits, entry.into()).wrapping_shr(entry >> 8) as usize;
    bits = bits.wrapping_shr(entry);
    position += (entry & 0xff) as usize;
    if entry & LITERAL != 0 {
        // SAFETY: the turn began with OUTPUT_SLACK bytes and has put one.
        unsafe { bounds.put(at, entry) };
        return Some(Place { position, at: at + 1 });
    }
    let length = (entry >> 16) as usize + extra;
    entry = bounds.tables.distances.entries[bits as usize % (1 << DISTANCE_ROOT)];
    if entry & (EXCEPTIONAL | SUBTABLE) == EXCEPTIONAL | SUBTABLE {
        bits >>= DISTANCE_ROOT;
        position += DISTANCE_ROOT;
        entry = bounds.tables.distances.entries[(entry >> 16) as usize + (bits as usize & ((1 << (entry >> 8 & 0xf)) - 1))];
    }
    let distance = (entry >> 16) as usize + I::low_bits(bits, entry.into()).wrapping_shr(entry >> 8) as usize;
    if entry & EXCEPTIONAL != 0 || distance > at || bounds.room(at) < length + COPY_SLACK {
        return None;
    }
    // SAFETY: room and distance were compared just now.
    unsafe { copy_match(bounds.output.wrapping_add(at), distance, length) };
    Some(Place { position: position + (entry & 0xff) as usize, at: at + length })
}
