//! One block: which kind is cheapest, its header, and its body in resumable units.

use super::bits::BitWriter;
use super::huffman::{LengthCount, assign_codewords, build_lengths, count_of};
use crate::constants::*;
use crate::fast::put::{Codes, LITLEN_BITS_MAX, SEQUENCE_BYTES, put};
use crate::fast::sequence::{Counts, LENGTH_SLOTS, Sequence};

/// Bytes of room that a unit of output may need: a sequence. A dynamic header needs at most 17 + 19·3 + 316·14 bits = 563 bytes.
pub(super) const UNIT_BYTES: usize = 1024;

const _: () = assert!(SEQUENCE_BYTES <= UNIT_BYTES);

/// Code lengths of a header in run-length form: symbol in 4:0, extra bits in 15:5.
struct HeaderCode {
    items: [u16; LITLEN_USED + DISTANCE_USED],
    count: usize,
    frequencies: [u32; PRECODE_SYMBOLS],
}

/// Base and extra bits of each length symbol - 257.
static LENGTHS: [(u16, u8); LENGTH_SLOTS] = {
    let mut lengths = [(0, 0); LENGTH_SLOTS];
    let mut symbol = 0;
    while symbol < LENGTH_BASE.len() {
        lengths[symbol] = (LENGTH_BASE[symbol], LENGTH_EXTRA[symbol]);
        symbol += 1;
    }
    lengths
};

/// What kind a block becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Stored,
    Fixed,
    Dynamic,
}

/// The code of the block at hand and how far its body has been put.
pub(super) struct BlockEncoder {
    codes: Codes,
    litlen_lengths: [u8; LITLEN_SYMBOLS],
    distance_lengths: [u8; DISTANCE_SYMBOLS],
    /// Next sequence.
    next: usize,
    /// Input bytes of the block that have been put.
    pub(super) encoded: usize,
}

impl BlockEncoder {
    pub(super) const fn new() -> Self {
        BlockEncoder {
            codes: Codes { litlen: [0; 257 + LENGTH_SLOTS], lengths: [0; 256], distance: [0; DISTANCE_SYMBOLS] },
            litlen_lengths: [0; LITLEN_SYMBOLS],
            distance_lengths: [0; DISTANCE_SYMBOLS],
            next: 0,
            encoded: 0,
        }
    }

    /// Chooses the cheapest kind for a closed block of `bytes` bytes by its exact cost, and puts the header unless it is to be stored.
    pub(super) fn begin(&mut self, counts: &mut Counts, bytes: usize, last: bool, writer: &mut BitWriter<'_>) -> Kind {
        counts.litlen[END_OF_BLOCK] += 1;
        let Counts { litlen, distance } = &*counts;
        let extra = cost(&litlen[257..], &LENGTH_EXTRA) + cost(distance, &DISTANCE_EXTRA);

        // The symbols that never occur are counted 0 times, so they lose the lengths that the fixed codes gave them.
        let of_litlen = build_lengths(litlen, LITLEN_BITS_MAX, &mut self.litlen_lengths, &FIXED_LITLEN_LENGTHS);
        let of_distance = build_lengths(distance, CODEWORD_BITS_MAX, &mut self.distance_lengths, &FIXED_DISTANCE_LENGTHS);
        let hlit = self.litlen_lengths[..LITLEN_USED].iter().rposition(|&length| length != 0).map_or(257, |last| last + 1);
        let hdist = self.distance_lengths[..DISTANCE_USED].iter().rposition(|&length| length != 0).map_or(1, |last| last + 1);
        let mut header = HeaderCode::new();
        header.add_lengths(&self.litlen_lengths[..hlit], &self.distance_lengths[..hdist]);
        let mut precode_lengths = [0u8; PRECODE_SYMBOLS];
        let of_header = build_lengths(&header.frequencies, PRECODE_BITS_MAX, &mut precode_lengths, &PRECODE_EXTRA);
        counts.litlen[END_OF_BLOCK] -= 1;
        let hclen = 4.max(PRECODE_ORDER.iter().rposition(|&symbol| precode_lengths[usize::from(symbol)] != 0).map_or(4, |last| last + 1));

        let fixed_cost = 3 + extra + of_litlen.others + of_distance.others;
        let dynamic_cost = 3 + 14 + 3 * hclen as u32 + of_header.bits + of_header.others + extra + of_litlen.bits + of_distance.bits;
        let to_boundary = (writer.count + 3).next_multiple_of(8) - writer.count;
        let stored_cost = to_boundary + 32 + 8 * bytes as u32;

        self.next = 0;
        self.encoded = 0;
        if stored_cost <= fixed_cost.min(dynamic_cost) {
            return Kind::Stored;
        }
        if fixed_cost <= dynamic_cost {
            self.litlen_lengths = FIXED_LITLEN_LENGTHS;
            self.distance_lengths = FIXED_DISTANCE_LENGTHS;
            self.assign_codewords(&count_of(&FIXED_LITLEN_LENGTHS), &count_of(&FIXED_DISTANCE_LENGTHS));
            writer.put(u64::from(last) | 1 << 1, 3);
            writer.flush();
            return Kind::Fixed;
        }
        self.assign_codewords(&of_litlen.count, &of_distance.count);
        writer.put(u64::from(last) | 2 << 1, 3);
        writer.put((hlit - 257) as u64, 5);
        writer.put((hdist - 1) as u64, 5);
        writer.put((hclen - 4) as u64, 4);
        writer.flush();
        for symbols in PRECODE_ORDER[..hclen].chunks(16) {
            for &symbol in symbols {
                writer.put(u64::from(precode_lengths[usize::from(symbol)]), 3);
            }
            writer.flush();
        }
        header.put(&precode_lengths, &of_header.count, writer);
        Kind::Dynamic
    }

    /// Makes codewords of the code lengths.
    fn assign_codewords(&mut self, of_litlen: &LengthCount, of_distance: &LengthCount) {
        let codes = &mut self.codes;
        assign_codewords(&self.litlen_lengths, of_litlen, &mut codes.litlen);
        assign_codewords(&self.distance_lengths, of_distance, &mut codes.distance);
        // Length 258 is of the symbol before its own too, and wins.
        for (symbol, &(base, extra)) in LENGTHS[..LENGTH_BASE.len()].iter().enumerate() {
            let plain = codes.litlen[257 + symbol];
            let of_symbol = &mut codes.lengths[usize::from(base) - MATCH_BYTES_MIN..];
            let extra = u32::from(extra);
            if plain & 0xff == 0 {
                continue;
            }
            // The extra bits go above the codeword, which makes way.
            let bits = (plain & 0xff) + u64::from(extra);
            let shifted = (plain & !0xff) >> extra | bits;
            for (value, codeword) in of_symbol.iter_mut().take(1 << extra).enumerate() {
                *codeword = shifted | (value as u64).unbounded_shl(64 - extra);
            }
        }
    }

    /// Puts sequences while there is room for one; `data` begins with the block. Returns whether the block, its end included, is complete.
    pub(super) fn put_body(&mut self, sequences: &[Sequence], data: &[u8], writer: &mut BitWriter<'_>) -> bool {
        let sequences = &sequences[self.next..];
        let literals = &data[self.encoded..];
        let done = writer.with_free(|out, bits, count| {
            let done = put(&self.codes, sequences, literals, out, bits, count);
            (done.written, done.bits, done.count, done)
        });
        self.next += done.sequences;
        self.encoded += done.encoded;
        let complete = done.sequences == sequences.len() && writer.room() >= UNIT_BYTES;
        if complete {
            self.put_end(writer);
        }
        complete
    }

    /// Puts the end of the block.
    pub(super) fn put_end(&self, writer: &mut BitWriter<'_>) {
        writer.put_codeword(self.codes.litlen[END_OF_BLOCK]);
        writer.flush();
    }
}

/// Returns the bits that the codewords of all counted symbols take.
fn cost(frequencies: &[u32], lengths: &[u8]) -> u32 {
    frequencies.iter().zip(lengths).map(|(&frequency, &length)| frequency * u32::from(length)).sum()
}

/// Symbols rounded up, so that a mask keeps an index in range.
const PRECODE_SLOTS: usize = 32;
/// Extra bits of the precode symbols.
static PRECODE_EXTRA: [u8; PRECODE_SYMBOLS] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 7];

/// Items for whose bits there is room.
const ITEMS_AT_ONCE: usize = 56 / (PRECODE_BITS_MAX + 7);

impl HeaderCode {
    fn new() -> Self {
        HeaderCode { items: [0; LITLEN_USED + DISTANCE_USED], count: 0, frequencies: [0; PRECODE_SYMBOLS] }
    }

    /// Run-length codes both codes' lengths as one list; runs cross the border between them (§3.2.7).
    fn add_lengths(&mut self, litlen: &[u8], distance: &[u8]) {
        let all = litlen.len() + distance.len();
        let mut lengths = [0xff; LITLEN_USED + DISTANCE_USED + 1];
        lengths[..litlen.len()].copy_from_slice(litlen);
        lengths[litlen.len()..all].copy_from_slice(distance);
        let Self { items, count, frequencies } = self;
        let mut used = 0;
        let mut add = |symbol: usize, extra: usize| {
            items[used] = (symbol | extra << 5) as u16;
            used += 1;
            frequencies[symbol] += 1;
        };
        let mut run = 0;
        // What is behind the last one equals no length.
        for (&length, &next) in lengths[..all].iter().zip(&lengths[1..=all]) {
            run += 1;
            if next == length {
                continue;
            }
            let length = usize::from(length);
            let mut left = core::mem::take(&mut run);
            if left > 2 {
                if length == 0 {
                    while left >= 11 {
                        let part = left.min(138);
                        add(18, part - 11);
                        left -= part;
                    }
                    if left >= 3 {
                        add(17, left - 3);
                        left = 0;
                    }
                } else {
                    add(length, 0);
                    left -= 1;
                    while left >= 3 {
                        let part = left.min(6);
                        add(16, part - 3);
                        left -= part;
                    }
                }
            }
            for _ in 0..left {
                add(length, 0);
            }
        }
        *count = used;
    }

    fn put(&self, lengths: &[u8; PRECODE_SYMBOLS], count: &LengthCount, writer: &mut BitWriter<'_>) {
        let mut codewords = [0; PRECODE_SLOTS];
        assign_codewords(lengths, count, &mut codewords);
        let mut extra = [0; PRECODE_SLOTS];
        extra[..PRECODE_SYMBOLS].copy_from_slice(&PRECODE_EXTRA);
        for items in self.items[..self.count].chunks(ITEMS_AT_ONCE) {
            for &item in items {
                let symbol = usize::from(item) % PRECODE_SLOTS;
                writer.put_codeword(codewords[symbol]);
                writer.put(u64::from(item >> 5), extra[symbol].into());
            }
            writer.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fast::sequence::{LENGTH_SYMBOL, distance_symbol};

    #[test]
    fn length_and_distance_symbols_invert_the_tables() {
        for (symbol, (&base, &extra)) in LENGTH_BASE.iter().zip(&LENGTH_EXTRA).enumerate() {
            // The last length of symbol 284 has a symbol of its own.
            let last = (base + (1 << extra) - 1).min(if symbol == 27 { 257 } else { 258 });
            for length in base..=last {
                assert_eq!(usize::from(LENGTH_SYMBOL[usize::from(length) - 3]), symbol, "length {length}");
            }
        }
        for (symbol, (&base, &extra)) in DISTANCE_BASE.iter().zip(&DISTANCE_EXTRA).enumerate() {
            for distance in u32::from(base)..u32::from(base) + (1 << extra) {
                assert_eq!(distance_symbol(distance - 1), (symbol, u32::from(extra)), "distance {distance}");
            }
        }
    }

    #[test]
    fn runs_of_lengths_are_written_as_the_rfc_says() {
        let mut header = HeaderCode::new();
        let mut litlen = [0; 257 + 10];
        litlen[0] = 5;
        litlen[150..157].fill(7);
        litlen[266] = 3;
        header.add_lengths(&litlen, &[3, 3, 3, 0]);
        // 5, 149 zeros as 138 + 11, 7 and six more, 109 zeros, 3 and three more across the border, one zero.
        let expected = [5, 18 | 127 << 5, 18, 7, 16 | 3 << 5, 18 | 98 << 5, 3, 16, 0];
        assert_eq!(header.items[..header.count], expected);
    }
}
