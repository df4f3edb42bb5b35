//! What differs by level: how matches are found, and how much memory that takes.

use super::Level;
use super::cuts;
use super::matcher::{LOOKAHEAD, reserve};
use super::optimal::{self, Optimal};
use crate::constants::*;
use crate::fast::buckets::Buckets;
use crate::fast::chains::{self, Chains};
use crate::fast::find::{Limits, Positions, ROUND_BYTES, find};
use crate::fast::sequence::{Counts, Cursor, Sequence};
use crate::fast::split::SPLIT_BYTES_MIN;
use crate::fast::table::HASHED_BYTES;
use crate::status::WINDOW_BYTES;

/// A way to find matches.
///
/// Positions are indices into the data, which is handed to every call; it may be moved between calls, which [`Finder::rebase`] says.
pub trait Finder {
    /// Its level.
    const LEVEL: Level;
    /// A block ends when it has this many bytes. A search may carry it 259 further.
    const BLOCK_BYTES: usize;
    /// A search may begin before the last so many bytes of the data.
    const ROUND_BYTES: usize;
    /// Whether a first look may find that the data is not worth a search.
    const LOOKS: bool;
    /// An array of sequences.
    type Sequences: AsRef<[Sequence]> + AsMut<[Sequence]>;
    /// No sequences.
    const SEQUENCES: Self::Sequences;
    /// An array of bytes: history, a block and lookahead.
    type Buffer: AsRef<[u8]> + AsMut<[u8]>;
    /// An empty buffer.
    const BUFFER: Self::Buffer;
    /// A finder that knows no position.
    const NEW: Self;

    /// Forgets all positions.
    fn clear(&mut self);
    /// Begins a block.
    fn begin_block(&mut self);
    /// How often each symbol occurs in the block.
    fn counts(&mut self) -> &mut Counts;
    /// Follows the data when what is at `pos`, at or behind all that was entered, moves to `to`.
    fn rebase(&mut self, pos: usize, to: usize);
    /// Forgets what is too far from `pos`.
    fn sweep(&mut self, pos: usize);
    /// Forgets positions at and behind `pos`.
    fn rewind(&mut self, pos: usize);
    /// Returns the end of what was entered.
    fn reached(&self) -> usize;
    /// Enters a position that four bytes follow, at or behind all that was entered; returns one that the same bytes may follow, or something else.
    fn enter(&mut self, data: &[u8], at: usize) -> usize;
    /// Enters positions of history, which is all there is.
    fn enter_history(&mut self, data: &[u8]) {
        for at in 0..data.len().saturating_sub(HASHED_BYTES - 1) {
            self.enter(data, at);
        }
    }
    /// Collects sequences of the block that begins at `block`, from `cursor` to one of the limits. Returns whether the block should end here.
    fn find(&mut self, data: &[u8], block: usize, sequences: &mut [Sequence], cursor: &mut Cursor, limits: Limits) -> bool;
    /// Has the last word about the sequences of the block that ends at the cursor, and may end it earlier: then it returns the cursor as it was. The
    /// sequences between the two, if there are any, are of the next block, which begins by [`Finder::carry_on`].
    fn end_block(&mut self, _data: &[u8], _block: usize, _sequences: &mut [Sequence], _cursor: &mut Cursor) -> Option<Cursor> {
        None
    }
    /// Begins a block of which `sequences`, for the bytes `data`, were found before the last one ended; the search stands at `cursor`.
    fn carry_on(&mut self, _data: &[u8], _sequences: &[Sequence], _cursor: Cursor) {}
}

/// What every finder passes on to its own functions of the same names.
macro_rules! passed_on {
    () => {
        const NEW: Self = Self::new();

        fn clear(&mut self) {
            self.clear();
        }

        fn begin_block(&mut self) {
            self.begin_block();
        }

        fn counts(&mut self) -> &mut Counts {
            &mut self.counts
        }

        fn rebase(&mut self, pos: usize, to: usize) {
            self.rebase(pos, to);
        }

        fn sweep(&mut self, pos: usize) {
            self.sweep(pos);
        }

        fn rewind(&mut self, pos: usize) {
            self.rewind(pos);
        }

        fn reached(&self) -> usize {
            self.reached()
        }

        fn enter(&mut self, data: &[u8], at: usize) -> usize {
            self.enter(data, at)
        }
    };
}

/// Bytes of a block at the fastest level.
const FASTEST_BLOCK_BYTES: usize = 42 * 1024;
/// Bytes of its buffer: with the block at hand and the lookahead it has to hold 32 KiB of history or the block, whichever is more.
const FASTEST_BUFFER_BYTES: usize = WINDOW_BYTES + 15 * 1024;
/// Sequences of its blocks.
const FASTEST_SEQUENCES: usize = 5632;

const _: () = assert!(FASTEST_BLOCK_BYTES + 259 + LOOKAHEAD <= FASTEST_BUFFER_BYTES);

/// Fewest bytes of a block that is full: a piece of a plan. At the other levels there are more: as many shortest matches as there are sequences, or as many as
/// the splitter asks for.
pub(super) const FULL_BLOCK_BYTES_MIN: usize = cuts::PIECE_BYTES_MIN;

const _: () = assert!(FULL_BLOCK_BYTES_MIN <= SPLIT_BYTES_MIN);
const _: () = assert!(FULL_BLOCK_BYTES_MIN <= (FASTEST_SEQUENCES - reserve(FASTEST_BLOCK_BYTES)) * HASHED_BYTES);

impl Finder for Positions {
    const LEVEL: Level = Level::Fastest;
    const BLOCK_BYTES: usize = FASTEST_BLOCK_BYTES;
    const ROUND_BYTES: usize = ROUND_BYTES;
    const LOOKS: bool = true;
    type Sequences = [Sequence; FASTEST_SEQUENCES];
    const SEQUENCES: Self::Sequences = [Sequence::EMPTY; FASTEST_SEQUENCES];
    type Buffer = [u8; FASTEST_BUFFER_BYTES];
    const BUFFER: Self::Buffer = [0; FASTEST_BUFFER_BYTES];

    passed_on!();

    fn enter_history(&mut self, data: &[u8]) {
        // Every fourth position: repeats longer than seven bytes are still found, at a quarter of the cost of a full scan.
        for at in (0..data.len().saturating_sub(HASHED_BYTES - 1)).step_by(4) {
            self.enter(data, at);
        }
    }

    fn find(&mut self, data: &[u8], _block: usize, sequences: &mut [Sequence], cursor: &mut Cursor, limits: Limits) -> bool {
        *cursor = find(data, self, sequences, *cursor, limits);
        false
    }
}

/// Bytes of a block at the balanced level.
const BALANCED_BLOCK_BYTES: usize = 64 * 1024;
/// Sequences of its blocks.
const BALANCED_SEQUENCES: usize = 10 * 1024;
/// Bytes of its buffer.
const BALANCED_BUFFER_BYTES: usize = BALANCED_BLOCK_BYTES + 8 * 1024;

const _: () = assert!(BALANCED_BLOCK_BYTES + 2 * LOOKAHEAD <= BALANCED_BUFFER_BYTES);

impl Finder for Buckets {
    const LEVEL: Level = Level::Balanced;
    const BLOCK_BYTES: usize = BALANCED_BLOCK_BYTES;
    const ROUND_BYTES: usize = ROUND_BYTES;
    const LOOKS: bool = true;
    type Sequences = [Sequence; BALANCED_SEQUENCES];
    const SEQUENCES: Self::Sequences = [Sequence::EMPTY; BALANCED_SEQUENCES];
    type Buffer = [u8; BALANCED_BUFFER_BYTES];
    const BUFFER: Self::Buffer = [0; BALANCED_BUFFER_BYTES];

    passed_on!();

    fn find(&mut self, data: &[u8], _block: usize, sequences: &mut [Sequence], cursor: &mut Cursor, limits: Limits) -> bool {
        *cursor = Buckets::find(self, data, sequences, *cursor, limits);
        false
    }
}

/// Bytes of a block at the high level: the splitter ends most before.
const HIGH_BLOCK_BYTES: usize = 288 * 1024;
/// Sequences of its blocks.
const HIGH_SEQUENCES: usize = 40 * 1024;
/// Bytes of its buffer.
const HIGH_BUFFER_BYTES: usize = HIGH_BLOCK_BYTES + 8 * 1024;

impl Finder for Chains {
    const LEVEL: Level = Level::High;
    const BLOCK_BYTES: usize = HIGH_BLOCK_BYTES;
    const ROUND_BYTES: usize = chains::ROUND_BYTES - 1;
    const LOOKS: bool = true;
    type Sequences = [Sequence; HIGH_SEQUENCES];
    const SEQUENCES: Self::Sequences = [Sequence::EMPTY; HIGH_SEQUENCES];
    type Buffer = [u8; HIGH_BUFFER_BYTES];
    const BUFFER: Self::Buffer = [0; HIGH_BUFFER_BYTES];

    passed_on!();

    fn find(&mut self, data: &[u8], block: usize, sequences: &mut [Sequence], cursor: &mut Cursor, limits: Limits) -> bool {
        Chains::find(self, data, block, sequences, cursor, limits)
    }

    fn end_block(&mut self, data: &[u8], _block: usize, sequences: &mut [Sequence], cursor: &mut Cursor) -> Option<Cursor> {
        self.end_block(data, sequences, cursor)
    }

    fn carry_on(&mut self, data: &[u8], sequences: &[Sequence], cursor: Cursor) {
        self.carry_on(data, sequences, cursor);
    }
}

/// Bytes of the buffer of the best level.
const BEST_BUFFER_BYTES: usize = optimal::BLOCK_BYTES + WINDOW_BYTES;
/// Sequences of its blocks: as many shortest matches as there may be.
const BEST_SEQUENCES: usize = (optimal::BLOCK_BYTES + MATCH_BYTES_MAX) / MATCH_BYTES_MIN + reserve(optimal::BLOCK_BYTES) + 1;

impl Finder for Optimal {
    const LEVEL: Level = Level::Best;
    const BLOCK_BYTES: usize = optimal::BLOCK_BYTES;
    const ROUND_BYTES: usize = HASHED_BYTES - 1;
    const LOOKS: bool = false;
    type Sequences = [Sequence; BEST_SEQUENCES];
    const SEQUENCES: Self::Sequences = [Sequence::EMPTY; BEST_SEQUENCES];
    type Buffer = [u8; BEST_BUFFER_BYTES];
    const BUFFER: Self::Buffer = [0; BEST_BUFFER_BYTES];

    passed_on!();

    fn enter_history(&mut self, data: &[u8]) {
        self.enter_history(data);
    }

    fn find(&mut self, data: &[u8], block: usize, _sequences: &mut [Sequence], cursor: &mut Cursor, limits: Limits) -> bool {
        Optimal::find(self, data, block, cursor, limits)
    }

    fn end_block(&mut self, data: &[u8], block: usize, sequences: &mut [Sequence], cursor: &mut Cursor) -> Option<Cursor> {
        self.end_block(data, block, sequences, cursor)
    }

    fn carry_on(&mut self, _data: &[u8], _sequences: &[Sequence], _cursor: Cursor) {
        self.carry_on();
    }
}
