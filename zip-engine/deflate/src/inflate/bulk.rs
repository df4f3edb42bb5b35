//! The bulk loop: decodes while input and output have slack, and touches nothing it is not sure of.
//!
//! One round refills to at least 56 bits by one 8-byte load, decodes up to three literals, or a match after a second refill. It stops in front of
//! an invalid codeword, of a distance that reaches too far, and of the end of the slack; the careful path then reads the same bits again.

use super::bits::BitReader;
use super::table::{BLOCK_END, EXCEPTIONAL, LITERAL, SUBTABLE, subtable_index};
use super::{Inflate, Sink, base_and_extra, copy_match};
use crate::constants::MATCH_BYTES_MAX;

/// Input bytes that a round may load: two refills, each moving on by at most 7 bytes and loading 8.
const INPUT_SLACK: usize = 16;

/// Output bytes that a round may write: three literals or one literal run and a match, and up to 15 bytes behind it.
const OUTPUT_SLACK: usize = 3 + MATCH_BYTES_MAX + 16;

/// Returns whether a round may run.
#[inline]
pub(super) fn has_slack(reader: &BitReader<'_>, sink: &Sink<'_>) -> bool {
    reader.input.len() - reader.at >= INPUT_SLACK && sink.output.len() - sink.at >= OUTPUT_SLACK
}

/// Eight bytes of `bytes` from `at`.
#[inline(always)]
fn load(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[inline(always)]
fn store(bytes: &mut [u8], at: usize, word: u64) {
    bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

/// What remains of `8 - 8 % distance`: the largest multiple of a short distance that a word holds.
const SHORT_STRIDE: [u8; 8] = [8, 8, 8, 6, 8, 5, 6, 7];

impl Inflate {
    /// Decodes symbols in bulk. The mode is `LitLen` before and, unless the block ended, after.
    pub(super) fn run_fast(&mut self, reader: &mut BitReader<'_>, sink: &mut Sink<'_>) {
        if !has_slack(reader, sink) {
            return;
        }
        let litlen = &self.litlen.entries;
        let litlen_mask = (1usize << self.litlen.root) - 1;
        let distances = &self.distances.entries;
        let distance_mask = (1usize << self.distances.root) - 1;
        let window_filled = self.window.filled();
        let input = reader.input;
        let output = &mut *sink.output;
        let input_end = input.len() - INPUT_SLACK;
        let output_end = output.len() - OUTPUT_SLACK;
        let mut from = reader.at;
        let mut at = sink.at;
        let mut bits = reader.bits;
        let mut count = reader.count;
        let mut block_ended = false;

        // The bits at and above `count` are those of the next byte or 0, so loading them again changes nothing.
        macro_rules! refill {
            () => {
                bits |= load(input, from) << count;
                from += ((63 - count) >> 3) as usize;
                count |= 56;
            };
        }
        macro_rules! take {
            ($entry:expr) => {
                bits >>= $entry & 0x3f;
                count -= $entry & 0x3f;
            };
        }

        while from <= input_end && at <= output_end {
            refill!();
            let mut entry = litlen[bits as usize & litlen_mask & 0x7ff];
            if entry & LITERAL != 0 {
                take!(entry);
                output[at] = (entry >> 16) as u8;
                at += 1;
                entry = litlen[bits as usize & litlen_mask & 0x7ff];
                if entry & LITERAL != 0 {
                    take!(entry);
                    output[at] = (entry >> 16) as u8;
                    at += 1;
                    entry = litlen[bits as usize & litlen_mask & 0x7ff];
                    if entry & LITERAL != 0 {
                        take!(entry);
                        output[at] = (entry >> 16) as u8;
                        at += 1;
                        continue;
                    }
                }
                refill!();
            }
            // Before the symbol: 56 bits or more, enough for a length (15 + 5) and a distance (15 + 13).
            let (bits_before, count_before) = (bits, count);
            if entry & EXCEPTIONAL != 0 {
                if entry & SUBTABLE != 0 {
                    take!(entry);
                    entry = litlen[subtable_index(entry, bits)];
                }
                if entry & LITERAL != 0 {
                    take!(entry);
                    output[at] = (entry >> 16) as u8;
                    at += 1;
                    continue;
                }
                if entry & EXCEPTIONAL != 0 {
                    if entry & BLOCK_END != 0 {
                        take!(entry);
                        block_ended = true;
                    } else {
                        (bits, count) = (bits_before, count_before);
                    }
                    break;
                }
            }
            let len = usize::from(base_and_extra(entry, bits));
            take!(entry);
            entry = distances[bits as usize & distance_mask & 0xff];
            if entry & EXCEPTIONAL != 0 {
                if entry & SUBTABLE != 0 {
                    take!(entry);
                    entry = distances[subtable_index(entry, bits)];
                }
                if entry & EXCEPTIONAL != 0 {
                    (bits, count) = (bits_before, count_before);
                    break;
                }
            }
            let distance = usize::from(base_and_extra(entry, bits));
            if distance > at {
                if distance > at + window_filled {
                    (bits, count) = (bits_before, count_before);
                    break;
                }
                take!(entry);
                copy_match(&self.window, output, at, distance, len);
                at += len;
                continue;
            }
            take!(entry);
            let end = at + len;
            let mut source = at - distance;
            if distance >= 8 {
                // Word by word, possibly up to 7 bytes past the end: each word is complete before it is read again.
                loop {
                    let word = load(output, source);
                    store(output, at, word);
                    if at + 8 >= end {
                        break;
                    }
                    let word = load(output, source + 8);
                    store(output, at + 8, word);
                    source += 16;
                    at += 16;
                    if at >= end {
                        break;
                    }
                }
            } else {
                // Spread the first `distance` bytes over a word, then write it at strides that keep its phase.
                let mut word = load(output, source) & ((1 << (8 * distance)) - 1);
                let mut width = distance;
                while width < 8 {
                    word |= word << (8 * width);
                    width *= 2;
                }
                let stride = usize::from(SHORT_STRIDE[distance & 7]);
                while at < end {
                    store(output, at, word);
                    at += stride;
                }
            }
            at = end;
        }
        reader.at = from;
        reader.count = count;
        reader.bits = bits & ((1 << count) - 1);
        sink.at = at;
        if block_ended {
            self.end_block(reader);
        }
    }
}
