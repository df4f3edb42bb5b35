//! Decoding in bulk: the fast loop, as long as it has some slack on both sides.
//!
//! It touches nothing it is not sure of: it stops in front of an invalid codeword, of a distance that reaches too far, and of what does not fit. The
//! careful path then reads the same bits again and gives the verdict.

use super::bits::BitReader;
use super::{Inflate, Mode, Sink, copy_match};
use crate::fast::inflate::{EDGE_OUTPUT_SLACK, Exit, Run, WORTH_INPUT, decode};

/// Returns whether the fast loop can decode a symbol.
#[inline]
pub(super) fn has_slack(reader: &BitReader<'_>, sink: &Sink<'_>) -> bool {
    reader.input.len() - reader.at >= WORTH_INPUT && sink.output.len() - sink.at >= EDGE_OUTPUT_SLACK
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
            tables: &self.tables,
        };
        let exit = decode(&mut run, window.filled(), &|output, at, distance, length| copy_match(window, output, at, distance, length));
        (reader.at, reader.bits, reader.count, sink.at) = (run.from, run.bits, run.count, run.at);
        match exit {
            Exit::Slack | Exit::Symbol => {}
            Exit::BlockEnd => self.end_block(reader),
            Exit::Distance(length) => {
                self.left = length;
                self.mode = Mode::Distance;
            }
        }
    }
}
