//! Decoding in bulk: first the fast loop, which needs slack on both sides, then symbol by symbol up to the ends of the slices.
//!
//! Both touch nothing they are not sure of: they stop in front of an invalid codeword, of a distance that reaches too far, and of what does not fit. The
//! careful path then reads the same bits again and gives the verdict.

use super::bits::BitReader;
use super::table::{BLOCK_END, EXCEPTIONAL, LITERAL};
use super::{Inflate, Mode, Sink, base_and_extra, copy_match};
use crate::fast::inflate::{Exit, Run, decode};

/// Bits that the longest length and distance take together, their extra bits included.
const SYMBOL_BITS_MAX: u32 = 15 + 5 + 15 + 13;

/// Returns whether it is worth to leave the careful path.
#[inline]
pub(super) fn has_slack(reader: &BitReader<'_>, sink: &Sink<'_>) -> bool {
    reader.input.len() - reader.at >= 8 && sink.output.len() - sink.at >= 8
}

impl Inflate {
    /// Decodes symbols in bulk. The mode is `LitLen` before and, unless a block ended or a match is left over, after.
    pub(super) fn run_bulk(&mut self, reader: &mut BitReader<'_>, sink: &mut Sink<'_>) {
        if !has_slack(reader, sink) {
            return;
        }
        let window = &self.window;
        let mut run = Run {
            input: reader.input,
            from: reader.at,
            bits: reader.bits,
            count: reader.count,
            output: sink.output,
            at: sink.at,
            litlen: &self.litlen.entries,
            distances: &self.distances.entries,
        };
        let exit = decode(&mut run, window.filled(), &|output, at, distance, length| copy_match(window, output, at, distance, length));
        (reader.at, reader.bits, reader.count, sink.at) = (run.from, run.bits, run.count, run.at);
        match exit {
            Exit::Slack => self.run_tail(reader, sink),
            Exit::BlockEnd => self.end_block(reader),
            Exit::Symbol => {}
            Exit::Distance(length) => {
                self.left = length;
                self.mode = Mode::Distance;
            }
        }
    }

    /// Decodes symbols that are whole, and fit whole.
    fn run_tail(&mut self, reader: &mut BitReader<'_>, sink: &mut Sink<'_>) {
        let mut ended = false;
        loop {
            if reader.count < SYMBOL_BITS_MAX {
                reader.fill();
                if reader.count < SYMBOL_BITS_MAX {
                    break;
                }
            }
            let (entry, before) = self.litlen.lookup(reader.bits);
            if entry & LITERAL != 0 {
                let Some(slot) = sink.output.get_mut(sink.at) else { break };
                *slot = (entry >> 16) as u8;
                sink.at += 1;
                reader.skip(before + (entry & 0xff));
                continue;
            }
            if entry & EXCEPTIONAL != 0 {
                if entry & BLOCK_END != 0 {
                    reader.skip(before + (entry & 0xff));
                    ended = true;
                }
                break;
            }
            let length = usize::from(base_and_extra(entry, reader.bits >> before));
            let taken = before + (entry & 0xff);
            let (entry, before) = self.distances.lookup(reader.bits >> taken);
            let distance = usize::from(base_and_extra(entry, reader.bits >> taken >> before));
            let fits = length <= sink.output.len() - sink.at && distance <= sink.at + self.window.filled();
            if entry & EXCEPTIONAL != 0 || !fits {
                break;
            }
            reader.skip(taken + before + (entry & 0xff));
            copy_match(&self.window, sink.output, sink.at, distance, length);
            sink.at += length;
        }
        reader.forget_unread();
        if ended {
            self.end_block(reader);
        }
    }
}
