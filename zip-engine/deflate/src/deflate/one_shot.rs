//! Compression in place: where the first step brings all input, matches are searched in the caller's slice, without a copy.
//!
//! The stream is the same as that of the buffered way. When the output is full the stream goes on in that way: what has to be kept is copied.

use super::block::UNIT_BYTES;
use super::finder::Finder;
use super::{BitWriter, Flush, Kind, Phase, Stream, look, stored_run};
use crate::constants::STORED_BYTES_MAX;

/// Fewest bytes that are worth a clear table.
pub(super) const ONE_SHOT_BYTES_MIN: usize = 512;

impl<F: Finder> Stream<F> {
    /// Returns whether nothing has been taken or put.
    pub(super) fn is_fresh(&self) -> bool {
        self.phase == Phase::Collect
            && !self.final_put
            && self.synced
            && self.count == 0
            && self.matcher.unencoded().is_empty()
            && self.matcher.history().is_empty()
    }

    /// Compresses a whole stream as far as there is room; returns the bytes consumed and produced. The stream is fresh, and its BFINAL goes on data.
    pub(super) fn one_shot(&mut self, input: &[u8], out: &mut [u8]) -> (usize, usize) {
        let mut writer = BitWriter::new(out, self.bits, self.count);
        self.synced = false;
        while self.phase == Phase::Collect && writer.room() >= UNIT_BYTES {
            if self.final_put {
                self.end_stream(&mut writer);
                break;
            }
            let search = &mut self.matcher.search;
            let unmatched = look(search, input, &[], Flush::Finish);
            if unmatched == 0 {
                search.collect(input, true);
            }
            search.close_block(input);
            let (from, block) = (search.block, search.block_bytes());
            let last = from + block == input.len();
            if unmatched != 0 || self.encoder.begin(search.counts(), block, last, &mut writer) == Kind::Stored {
                let run = stored_run(search, input, &[]);
                self.stored_run = run;
                self.stored_last = from + run == input.len();
                self.begin_stored_of_run(STORED_BYTES_MAX, &mut writer);
                self.phase = Phase::Stored;
                // The rest of the run may need headers of its own.
                if writer.room() < run + UNIT_BYTES {
                    break;
                }
                let mut at = from;
                loop {
                    writer.bytes(&input[at..at + self.stored_left]);
                    at += core::mem::take(&mut self.stored_left);
                    if self.stored_run == 0 {
                        break;
                    }
                    self.begin_stored_of_run(STORED_BYTES_MAX, &mut writer);
                }
                let search = &mut self.matcher.search;
                search.enter_sparsely(input, run);
                search.end_sparse();
                self.commit_in(input, run);
            } else {
                self.final_put = last;
                self.phase = Phase::Body;
                if !self.encoder.put_body(search.sequences(), &input[from..], &mut writer) {
                    break;
                }
                self.commit_in(input, self.encoder.encoded);
            }
            self.phase = Phase::Collect;
        }
        self.bits = writer.bits;
        self.count = writer.count;
        let consumed = if self.phase == Phase::Done { input.len() } else { self.matcher.absorb(input) };
        (consumed, writer.at)
    }
}
