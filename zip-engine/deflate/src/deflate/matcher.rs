//! The sliding buffer, and the search for matches of the block being collected.
//!
//! Input is copied into one linear buffer: 32 KiB of history or more, then the block being collected, then lookahead. When it is full, what is
//! older than 32 KiB is moved out. Where all input is in the caller's slice from the first byte on, [`Search`] runs on that slice itself.

use super::finder::Finder;
use crate::constants::*;
use crate::fast::chains::GIVES_WAY_MAX;
use crate::fast::find::{self, Limits};
use crate::fast::sequence::{Counts, Cursor, Sequence};
use crate::fast::table::{HASHED_BYTES, SWEEP_BYTES};
use crate::status::WINDOW_BYTES;

/// Matching waits for this much input unless flushing, so that what it finds does not depend on how the input was cut.
///
/// A match at the high level may give way to the next one again and again, but not for longer than its gains allow; at the others a round looks at the
/// next position at most.
pub(super) const LOOKAHEAD: usize = MATCH_BYTES_MAX + 128;

const _: () = assert!(GIVES_WAY_MAX + 1 + MATCH_BYTES_MAX <= LOOKAHEAD && find::ROUND_BYTES <= LOOKAHEAD);

/// Every so many bytes of what is stored unseen a position is entered, and as many positions are looked up to find one of them again.
const SPARSE: usize = 16;

/// Sequences kept free for the literals that are left when a block of `bytes` ends, in runs of 255.
pub(super) const fn reserve(bytes: usize) -> usize {
    (bytes + MATCH_BYTES_MAX + 1) / Sequence::RUN_MAX + 2
}

/// What collecting ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collected {
    /// The block is complete.
    BlockFull,
    /// All input in reach has been matched.
    InputUsed,
}

/// The block being collected: its place in the data, its sequences, and where earlier bytes are found again.
///
/// `data` is the same throughout, up to the end of what has been taken: the buffer of a [`Matcher`], or the caller's input.
pub(super) struct Search<F: Finder> {
    /// First byte of the current block that is not yet encoded.
    pub(super) block: usize,
    pub(super) cursor: Cursor,
    /// Where the search stands behind a block that was ended earlier, at the cursor: the sequences between the two are of the next one.
    ahead: Option<Cursor>,
    distance_max: usize,
    /// Where the next position is entered in a run that is stored unseen: `HASHED_BYTES` more than its distance from the block.
    sparse: usize,
    /// Where the next sweep is due.
    sweep_at: usize,
    sequences: F::Sequences,
    finder: F,
}

/// A search in a sliding buffer.
pub(super) struct Matcher<F: Finder> {
    buffer: F::Buffer,
    /// End of the input in the buffer.
    end: usize,
    pub(super) search: Search<F>,
}

impl<F: Finder> Search<F> {
    const fn new() -> Self {
        Search {
            block: 0,
            cursor: Cursor::ZERO,
            ahead: None,
            distance_max: WINDOW_BYTES,
            sparse: HASHED_BYTES,
            sweep_at: SWEEP_BYTES,
            sequences: F::SEQUENCES,
            finder: F::NEW,
        }
    }

    fn clear(&mut self) {
        self.finder.clear();
        self.sweep_at = SWEEP_BYTES;
        self.block = 0;
        self.end_sparse();
        self.begin_block(0);
    }

    fn begin_block(&mut self, at: usize) {
        self.cursor = Cursor { pos: at, run_start: at, count: 0 };
        self.ahead = None;
        self.finder.begin_block();
    }

    /// Returns whether nothing of the block has been collected.
    pub(super) fn block_is_empty(&self) -> bool {
        self.cursor.pos == self.block
    }

    /// Returns the bytes of the block from its first unencoded one to the last matched one.
    pub(super) fn block_bytes(&self) -> usize {
        self.cursor.pos - self.block
    }

    pub(super) fn sequences(&self) -> &[Sequence] {
        &self.sequences.as_ref()[..self.cursor.count]
    }

    /// How often each symbol occurs in the closed block, its end not counted.
    pub(super) fn counts(&mut self) -> &mut Counts {
        self.finder.counts()
    }

    /// Keeps the finder's positions apart from those that are 64 KiB older.
    fn sweep(&mut self, pos: usize) {
        if pos >= self.sweep_at {
            self.finder.sweep(pos);
            self.sweep_at = pos + SWEEP_BYTES;
        }
    }

    /// Matches the data. `flushing` says that no input follows for now.
    pub(super) fn collect(&mut self, data: &[u8], flushing: bool) -> Collected {
        // Where matching may begin: with all of a longest match in the data, or with what a round reads.
        let end_of_rounds = data.len().saturating_sub(if flushing { F::ROUND_BYTES } else { LOOKAHEAD });
        let block_stop = self.block + F::BLOCK_BYTES;
        let count_max = self.sequences.as_ref().len() - reserve(F::BLOCK_BYTES);
        loop {
            self.sweep(self.cursor.pos);
            let stop = end_of_rounds.min(block_stop).min(self.sweep_at);
            let limits = Limits { stop, distance_max: self.distance_max, count_max };
            let Self { finder, sequences, cursor, block, .. } = self;
            let full = finder.find(data, *block, sequences.as_mut(), cursor, limits);
            if full || cursor.pos >= block_stop || cursor.count >= count_max {
                return Collected::BlockFull;
            }
            if cursor.pos < self.sweep_at || cursor.pos >= end_of_rounds {
                break;
            }
        }
        if flushing {
            // The last bytes are too few for a round.
            let counts = self.finder.counts();
            for &literal in &data[self.cursor.pos..] {
                counts.literal(literal);
            }
            self.cursor.pos = data.len();
        }
        Collected::InputUsed
    }

    /// Ends the block in front of the first unmatched byte: what is left becomes literals.
    pub(super) fn close_block(&mut self, data: &[u8]) {
        let Self { finder, sequences, cursor, ahead, block, .. } = self;
        let sequences = sequences.as_mut();
        *ahead = finder.end_block(data, *block, sequences, cursor);
        let Cursor { pos, run_start, count } = cursor;
        while *run_start < *pos {
            let part = (*pos - *run_start).min(Sequence::RUN_MAX);
            sequences[*count] = Sequence::literals(part);
            *count += 1;
            *run_start += part;
        }
        // A finder that keeps what it has found to itself has no sequences behind those.
        if let Some(ahead) = ahead {
            ahead.count = ahead.count.max(*count);
        }
    }

    /// Returns whether sequences of the next block have been found.
    pub(super) fn is_ahead(&self) -> bool {
        self.ahead.is_some()
    }

    /// Begins the next block behind `encoded` bytes of this one; nothing else of it remains. `data` is as ever.
    pub(super) fn next_block(&mut self, data: &[u8], encoded: usize) {
        self.block += encoded;
        let Some(ahead) = self.ahead else { return self.begin_block(self.block.max(self.cursor.pos)) };
        let (begin, first) = (self.cursor.pos, self.cursor.count);
        if self.block < begin {
            return;
        }
        assert!(self.block == begin, "a block is not encoded further than it goes");
        self.ahead = None;
        let sequences = self.sequences.as_mut();
        sequences.copy_within(first..ahead.count, 0);
        self.cursor = Cursor { count: ahead.count - first, ..ahead };
        self.finder.carry_on(&data[begin..ahead.pos], &sequences[..self.cursor.count], self.cursor);
    }

    /// Prepares for data without what no match may reach and no block needs, and returns how many bytes that are.
    fn forget(&mut self) -> usize {
        let Self { block, cursor, finder, sweep_at, .. } = self;
        let gone = cursor.pos.saturating_sub(WINDOW_BYTES + 1).min(*block);
        let pos = cursor.pos.max(finder.reached());
        finder.rebase(pos, pos - gone);
        *block -= gone;
        cursor.pos -= gone;
        cursor.run_start -= gone;
        if let Some(ahead) = &mut self.ahead {
            ahead.pos -= gone;
            ahead.run_start -= gone;
        }
        *sweep_at = sweep_at.saturating_sub(gone);
        gone
    }

    /// Makes the next `len` bytes, none of them collected, the whole block, without a look for matches.
    pub(super) fn take_unmatched(&mut self, len: usize) {
        self.begin_block(self.block);
        self.cursor.pos = self.block + len;
        self.cursor.run_start = self.cursor.pos;
    }

    /// Enters some positions of the next `len` bytes of the block, which are stored unseen, so that repeats of them can be noticed.
    ///
    /// Which ones does not depend on how a run is cut into calls.
    pub(super) fn enter_sparsely(&mut self, data: &[u8], len: usize) {
        let end = self.block + len;
        let mut at = (self.block + self.sparse).saturating_sub(HASHED_BYTES);
        while at + HASHED_BYTES <= end {
            // What a collected block has entered already is not entered again.
            if at >= self.finder.reached() {
                self.sweep(at);
                self.finder.enter(data, at);
            }
            at += SPARSE;
        }
        self.sparse = at + HASHED_BYTES - end;
    }

    /// Ends the run of bytes that are stored unseen.
    pub(super) fn end_sparse(&mut self) {
        self.sparse = HASHED_BYTES;
    }

    /// Returns whether any of the next `len` bytes of the block, looked at in places, have occurred before.
    ///
    /// Enters the positions that it looks at, and forgets them again if any has.
    pub(super) fn has_repeats(&mut self, data: &[u8], len: usize) -> bool {
        let Some(last) = (self.block + len).checked_sub(HASHED_BYTES) else { return false };
        self.sweep(self.block);
        let mut found = false;
        for place in (self.block..last).step_by(16 * SPARSE) {
            for at in place..(place + SPARSE).min(last) {
                let candidate = self.finder.enter(data, at);
                let near = at.wrapping_sub(candidate).wrapping_sub(1) < self.distance_max;
                found |= near && data[candidate..candidate + HASHED_BYTES] == data[at..at + HASHED_BYTES];
            }
            for at in (place + SPARSE..(place + 16 * SPARSE).min(last)).step_by(SPARSE) {
                self.finder.enter(data, at);
            }
        }
        if found {
            self.finder.rewind(self.block);
        }
        found
    }
}

impl<F: Finder> Matcher<F> {
    pub(super) const fn new() -> Self {
        Matcher { buffer: F::BUFFER, end: 0, search: Search::new() }
    }

    /// Forgets the stream: nothing of it can be matched any more.
    pub(super) fn reset(&mut self, distance_max: usize) {
        self.search.clear();
        self.end = 0;
        self.search.distance_max = distance_max;
    }

    /// Takes what has to be kept of the caller's input into the buffer, and lookahead; returns the bytes consumed.
    pub(super) fn absorb(&mut self, input: &[u8]) -> usize {
        let gone = self.search.forget();
        let buffer = self.buffer.as_mut();
        let len = (input.len() - gone).min(buffer.len());
        buffer[..len].copy_from_slice(&input[gone..gone + len]);
        self.end = len;
        gone + len
    }

    /// Takes `history`, at most 32 KiB, as the bytes before the stream's next one.
    pub(super) fn load_history(&mut self, history: &[u8]) {
        self.search.clear();
        let end = history.len();
        self.buffer.as_mut()[..end].copy_from_slice(history);
        self.end = end;
        self.search.block = end;
        self.search.begin_block(end);
        self.search.finder.enter_history(&self.buffer.as_ref()[..end]);
        self.search.sweep_at = end;
    }

    /// Returns the history, at most 32 KiB: what lies before the first byte that is not yet encoded.
    pub(super) fn history(&self) -> &[u8] {
        let block = self.search.block;
        &self.buffer.as_ref()[block.saturating_sub(WINDOW_BYTES)..block]
    }

    /// Returns the bytes that are in the buffer and not yet encoded.
    pub(super) fn unencoded(&self) -> &[u8] {
        &self.buffer.as_ref()[self.search.block..self.end]
    }

    /// Returns the search and the data it is in.
    pub(super) fn split(&mut self) -> (&mut Search<F>, &[u8]) {
        (&mut self.search, &self.buffer.as_ref()[..self.end])
    }

    /// Copies input into the buffer, sliding it if that makes room. Returns the bytes taken.
    pub(super) fn fill(&mut self, input: &[u8]) -> usize {
        if input.is_empty() {
            return 0;
        }
        let buffer = self.buffer.as_mut();
        if self.end == buffer.len() {
            let gone = self.search.forget();
            buffer.copy_within(gone.., 0);
            self.end -= gone;
        }
        let len = input.len().min(buffer.len() - self.end);
        buffer[self.end..self.end + len].copy_from_slice(&input[..len]);
        self.end += len;
        len
    }

    /// Drops all input that is not encoded and returns how many bytes that were.
    pub(super) fn drop_unencoded(&mut self) -> usize {
        let dropped = self.end - self.search.block;
        self.end = self.search.block;
        self.search.end_sparse();
        if self.search.finder.reached() > self.end {
            self.search.finder.rewind(self.end);
        }
        self.search.begin_block(self.end);
        dropped
    }
}
