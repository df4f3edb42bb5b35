//! The sliding buffer and the match finder of the fastest level.
//!
//! Input is copied into one linear buffer: up to 32 KiB of history, then the block being collected, then lookahead. When it is full the part
//! older than 32 KiB is moved out. A new stream begins in the buffer where the last one ended, while there is room: the positions that the table keeps of
//! the last stream are then all before the first byte and never believed, so that small requests need not clear the table.

use crate::constants::*;
use crate::fast::deflate::{BUFFER_BYTES, Buffer, Counts, Cursor, HASHED_BYTES, Limits, Positions, ROUND_BYTES, Sequence, find};
use crate::status::WINDOW_BYTES;

/// Matching waits for this much input unless flushing, so that what it finds does not depend on how the input was cut.
const LOOKAHEAD: usize = MATCH_BYTES_MAX + 8;
/// A block ends when it has this many bytes. A round may carry it 259 further; with that and the lookahead it fits the buffer.
const BLOCK_BYTES: usize = 42 * 1024;
/// Sequences of a block.
const SEQUENCES: usize = 5632;
/// Sequences kept free for the literals that are left when a block ends, in runs of 511.
const SEQUENCES_RESERVE: usize = (BLOCK_BYTES + MATCH_BYTES_MAX + 1) / Sequence::RUN_MAX + 2;
/// Room that a stream must have to begin behind the last one.
const ROOM_TO_BEGIN: usize = 8 * 1024;
/// Every so many bytes of what is stored unseen a position is entered, and as many positions are looked up to find one of them again.
const SPARSE: usize = 16;

const _: () = assert!(1 + BLOCK_BYTES + MATCH_BYTES_MAX + 1 + LOOKAHEAD <= BUFFER_BYTES);

/// Fewest bytes of a block that is full: as many shortest matches as there are sequences.
pub(super) const FULL_BLOCK_BYTES_MIN: usize = (SEQUENCES - SEQUENCES_RESERVE) * HASHED_BYTES;

/// What collecting ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collected {
    /// The block is complete.
    BlockFull,
    /// All input in reach has been matched.
    InputUsed,
}

/// Sliding buffer, hash table, and the sequences of the current block.
pub(super) struct Matcher {
    buffer: Buffer,
    /// First byte of the stream or, when that has been moved out, of the buffer.
    start: usize,
    /// First byte of the current block that is not yet encoded.
    pub(super) block: usize,
    cursor: Cursor,
    /// End of the input in the buffer.
    end: usize,
    distance_max: usize,
    /// Where the next position is entered in a run that is stored unseen: `HASHED_BYTES` more than its distance from the block.
    sparse: usize,
    sequences: [Sequence; SEQUENCES],
    counts: Counts,
    positions: Positions,
}

impl Matcher {
    pub(super) const fn new() -> Self {
        Matcher {
            buffer: [0; size_of::<Buffer>()],
            start: 1,
            block: 1,
            cursor: Cursor { pos: 1, run_start: 1, count: 0 },
            end: 1,
            distance_max: WINDOW_BYTES,
            sparse: HASHED_BYTES,
            sequences: [Sequence::EMPTY; SEQUENCES],
            counts: Counts::new(),
            positions: Positions::new(),
        }
    }

    /// Forgets the stream: nothing of it can be matched any more.
    pub(super) fn reset(&mut self, distance_max: usize) {
        if BUFFER_BYTES - self.end < ROOM_TO_BEGIN {
            self.clear();
        } else {
            self.begin_at(self.end);
        }
        self.distance_max = distance_max;
    }

    fn clear(&mut self) {
        self.positions.clear();
        self.begin_at(1);
    }

    fn begin_at(&mut self, at: usize) {
        self.start = at;
        self.block = at;
        self.end = at;
        self.end_sparse();
        self.begin_block(at);
    }

    fn begin_block(&mut self, at: usize) {
        self.cursor = Cursor { pos: at, run_start: at, count: 0 };
        self.counts = Counts::new();
    }

    /// Takes `history`, at most 32 KiB, as the bytes before the stream's next one.
    pub(super) fn load_history(&mut self, history: &[u8]) {
        self.clear();
        let end = 1 + history.len();
        self.buffer[1..end].copy_from_slice(history);
        self.block = end;
        self.end = end;
        self.begin_block(end);
        // Every fourth position: repeats longer than seven bytes are still found, at a quarter of the cost of a full scan.
        for at in (1..end.saturating_sub(HASHED_BYTES - 1)).step_by(4) {
            self.positions.replace(&self.buffer, at);
        }
    }

    /// Returns the history, at most 32 KiB: what lies before the first byte that is not yet encoded.
    pub(super) fn history(&self) -> &[u8] {
        &self.buffer[self.start.max(self.block.saturating_sub(WINDOW_BYTES))..self.block]
    }

    /// Returns the bytes of the block from its first unencoded one to the last matched one.
    pub(super) fn block_bytes(&self) -> &[u8] {
        &self.buffer[self.block..self.cursor.pos]
    }

    /// Returns the bytes that are in the buffer and not yet encoded.
    pub(super) fn unencoded(&self) -> &[u8] {
        &self.buffer[self.block..self.end]
    }

    /// Returns whether the block takes in all input of the buffer.
    pub(super) fn block_is_all(&self) -> bool {
        self.cursor.pos == self.end
    }

    /// Returns whether nothing of the block has been collected.
    pub(super) fn block_is_empty(&self) -> bool {
        self.cursor.pos == self.block
    }

    pub(super) fn sequences(&self) -> &[Sequence] {
        &self.sequences[..self.cursor.count]
    }

    /// How often each symbol occurs in the closed block, its end not counted.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Copies input into the buffer, sliding it if that makes room. Returns the bytes taken.
    pub(super) fn fill(&mut self, input: &[u8]) -> usize {
        if input.is_empty() {
            return 0;
        }
        if self.end == BUFFER_BYTES {
            // The block stays too. The longest distance must lead to position 1 or behind it.
            let gone = self.cursor.pos.saturating_sub(WINDOW_BYTES + 1).min(self.block);
            self.buffer.copy_within(gone..BUFFER_BYTES, 0);
            self.positions.slide(gone);
            self.start = self.start.saturating_sub(gone);
            self.block -= gone;
            self.cursor.pos -= gone;
            self.cursor.run_start -= gone;
            self.end -= gone;
        }
        let len = input.len().min(BUFFER_BYTES - self.end);
        self.buffer[self.end..self.end + len].copy_from_slice(&input[..len]);
        self.end += len;
        len
    }

    /// Matches what is in the buffer. `flushing` says that no input follows for now.
    pub(super) fn collect(&mut self, flushing: bool) -> Collected {
        // Where matching may begin: with all of a longest match in the buffer, or with what a round reads.
        let reserve = if flushing { ROUND_BYTES } else { LOOKAHEAD };
        let input_stop = self.end.saturating_sub(reserve);
        let block_stop = self.block + BLOCK_BYTES;
        let count_max = SEQUENCES - SEQUENCES_RESERVE;
        let limits = Limits {
            stop: input_stop.min(block_stop),
            end: self.end,
            start: self.start.max(1),
            distance_max: self.distance_max,
            count_max,
        };
        self.cursor = find(&self.buffer, &mut self.positions, &mut self.counts, &mut self.sequences, self.cursor, limits);
        if self.cursor.pos >= block_stop || self.cursor.count >= count_max {
            return Collected::BlockFull;
        }
        if flushing {
            // The last bytes are too few for a round.
            for &literal in &self.buffer[self.cursor.pos..self.end] {
                self.counts.literal(literal);
            }
            self.cursor.pos = self.end;
        }
        Collected::InputUsed
    }

    /// Ends the block in front of the first unmatched byte: what is left becomes literals.
    pub(super) fn close_block(&mut self) {
        let Cursor { pos, run_start, count } = &mut self.cursor;
        while *run_start < *pos {
            let part = (*pos - *run_start).min(Sequence::RUN_MAX);
            self.sequences[*count] = Sequence::literals(part);
            *count += 1;
            *run_start += part;
        }
    }

    /// Begins the next block behind `encoded` bytes of this one; nothing else of it remains.
    pub(super) fn next_block(&mut self, encoded: usize) {
        self.block += encoded;
        self.begin_block(self.block.max(self.cursor.pos));
    }

    /// Drops all input that is not encoded and returns how many bytes that were.
    pub(super) fn drop_unencoded(&mut self) -> usize {
        let dropped = self.end - self.block;
        self.end = self.block;
        self.end_sparse();
        self.begin_block(self.block);
        dropped
    }

    /// Makes the next `len` bytes of the buffer, none of them collected, the whole block, without a look for matches.
    pub(super) fn take_unmatched(&mut self, len: usize) {
        self.begin_block(self.block);
        self.cursor.pos = self.block + len;
        self.cursor.run_start = self.cursor.pos;
    }

    /// Enters some positions of the next `len` bytes of the block, which are stored unseen, so that repeats of them can be noticed.
    ///
    /// Which ones does not depend on how a run is cut into calls.
    pub(super) fn enter_sparsely(&mut self, len: usize) {
        let end = self.block + len;
        let mut at = (self.block + self.sparse).saturating_sub(HASHED_BYTES);
        while at + HASHED_BYTES <= end {
            self.positions.replace(&self.buffer, at);
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
    /// Enters the positions that it looks at.
    pub(super) fn has_repeats(&mut self, len: usize) -> bool {
        let Some(last) = (self.block + len).checked_sub(HASHED_BYTES) else { return false };
        let mut found = 0;
        for place in (self.block..last).step_by(16 * SPARSE) {
            for at in place..(place + SPARSE).min(last) {
                let candidate = self.positions.replace(&self.buffer, at);
                let reach = self.distance_max.min(at - self.start.max(1).min(at));
                let agrees = self.buffer[candidate..candidate + HASHED_BYTES] == self.buffer[at..at + HASHED_BYTES];
                found += usize::from(at.wrapping_sub(candidate).wrapping_sub(1) < reach && agrees);
            }
            for at in (place + SPARSE..(place + 16 * SPARSE).min(last)).step_by(SPARSE) {
                self.positions.replace(&self.buffer, at);
            }
        }
        found > 0
    }
}
