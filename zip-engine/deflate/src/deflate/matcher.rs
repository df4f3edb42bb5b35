//! The sliding buffer and the match finder of the fastest level.
//!
//! Input is copied into one linear buffer: up to 32 KiB of history, then the block being collected, then lookahead. When it is full the part
//! older than 32 KiB is moved out. Positions in the hash table are the low 16 bits of stream positions; they need no rebasing when the
//! buffer slides, because a candidate is only believed after its bytes were compared.

use crate::constants::*;
use crate::status::WINDOW_BYTES;

/// Bytes behind the history: the wait for a slide, and the lookahead.
const AHEAD_BYTES: usize = 8 * 1024;
/// Size of the buffer.
const BUFFER_BYTES: usize = WINDOW_BYTES + AHEAD_BYTES;
/// Matching waits for this much input unless flushing, so that what it finds does not depend on how the input was cut.
const LOOKAHEAD: usize = MATCH_BYTES_MAX + 8;
/// A block ends when it has this many bytes. A match may carry it 257 further and it must still lie in the history.
const BLOCK_BYTES: usize = WINDOW_BYTES - MATCH_BYTES_MAX;
/// Sequences of a block.
const SEQUENCES: usize = 4608;
/// Sequences kept free for the literals that are left when a block ends: 32 KiB in runs of 511.
const SEQUENCES_RESERVE: usize = WINDOW_BYTES / Sequence::RUN_MAX + 2;
/// Buckets of the hash table, two positions each: 32 KiB.
const HASH_BITS: u32 = 13;
/// Positions inside a match that are entered into the table. All of them gain 0.5 % of ratio and cost 3 to 12 instructions per byte.
const INSERTIONS: usize = 4;
/// Shortest match: the bytes that are hashed. Three-byte matches gain 0.1 % here and cost a second table.
const HASHED_BYTES: usize = 4;

/// Fewest bytes of a block that is full: as many shortest matches as there are sequences.
pub(super) const FULL_BLOCK_BYTES_MIN: usize = (SEQUENCES - SEQUENCES_RESERVE) * HASHED_BYTES;

/// A run of literals and the match behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequence(u32);

impl Sequence {
    /// Most literals of one sequence.
    pub(super) const RUN_MAX: usize = 511;

    /// Packs run (31:23), match length - 3 (22:15; 0 means no match) and distance - 1 (14:0).
    fn new(run: usize, len: usize, distance: usize) -> Self {
        Sequence((run << 23 | (len - MATCH_BYTES_MIN) << 15 | (distance - 1)) as u32)
    }

    fn literals(run: usize) -> Self {
        Sequence((run << 23) as u32)
    }

    /// Literals before the match.
    #[inline(always)]
    pub(super) fn run(self) -> usize {
        (self.0 >> 23) as usize
    }

    /// Match length - 3, or 0 for no match.
    #[inline(always)]
    pub(super) fn length_index(self) -> usize {
        (self.0 >> 15 & 0xff) as usize
    }

    /// Distance - 1.
    #[inline(always)]
    pub(super) fn distance_index(self) -> u32 {
        self.0 & 0x7fff
    }

    /// Input bytes that the sequence stands for.
    #[inline(always)]
    pub(super) fn bytes(self) -> usize {
        let index = self.length_index();
        self.run() + if index == 0 { 0 } else { index + MATCH_BYTES_MIN }
    }
}

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
    buffer: [u8; BUFFER_BYTES],
    /// Low bits of the stream position of `buffer[0]`.
    base: u16,
    /// First byte of the current block that is not yet encoded.
    pub(super) block: usize,
    /// First byte that is not yet matched.
    pos: usize,
    /// First literal of the sequence being collected.
    run_start: usize,
    /// End of the input in the buffer.
    end: usize,
    distance_max: usize,
    sequences: [Sequence; SEQUENCES],
    sequence_count: usize,
    table: [u32; 1 << HASH_BITS],
}

/// Loads four bytes of the buffer. Positions are always below its end; the clamp lets the compiler see it.
#[inline(always)]
fn load32(buffer: &[u8; BUFFER_BYTES], at: usize) -> u32 {
    let at = at.min(BUFFER_BYTES - 4);
    u32::from_le_bytes([buffer[at], buffer[at + 1], buffer[at + 2], buffer[at + 3]])
}

#[inline(always)]
fn load64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[inline(always)]
fn hash(word: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

/// Returns how many of at most `max` bytes agree at `a` and `b`; the first `HASHED_BYTES` do.
#[inline(always)]
fn match_length(bytes: &[u8], a: usize, b: usize, max: usize) -> usize {
    let left = &bytes[a..a + max];
    let right = &bytes[b..b + max];
    let mut len = HASHED_BYTES;
    while len + 8 <= max {
        let difference = load64(left, len) ^ load64(right, len);
        if difference != 0 {
            return len + difference.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    while len < max && left[len] == right[len] {
        len += 1;
    }
    len
}

impl Matcher {
    pub(super) const fn new() -> Self {
        Matcher {
            buffer: [0; BUFFER_BYTES],
            base: 0,
            block: 0,
            pos: 0,
            run_start: 0,
            end: 0,
            distance_max: WINDOW_BYTES,
            sequences: [Sequence(0); SEQUENCES],
            sequence_count: 0,
            table: [0; 1 << HASH_BITS],
        }
    }

    /// Forgets the stream. The table is cleared so that output depends on nothing before.
    pub(super) fn reset(&mut self, distance_max: usize) {
        self.base = 0;
        (self.block, self.pos, self.run_start, self.end) = (0, 0, 0, 0);
        self.distance_max = distance_max;
        self.sequence_count = 0;
        self.table.fill(0);
    }

    /// Takes `history`, at most 32 KiB, as the bytes before the stream's next one.
    pub(super) fn load_history(&mut self, history: &[u8]) {
        let len = history.len();
        self.buffer[..len].copy_from_slice(history);
        (self.block, self.pos, self.run_start, self.end) = (len, len, len, len);
        // Every fourth position: repeats longer than seven bytes are still found, at a quarter of the cost of a full scan.
        for at in (0..len.saturating_sub(HASHED_BYTES - 1)).step_by(4) {
            self.insert(at);
        }
    }

    /// Returns the history, at most 32 KiB: what lies before the first byte that is not yet encoded.
    pub(super) fn history(&self) -> &[u8] {
        &self.buffer[self.block.saturating_sub(WINDOW_BYTES)..self.block]
    }

    /// Returns the bytes of the block from its first unencoded one to the last matched one.
    pub(super) fn block_bytes(&self) -> &[u8] {
        &self.buffer[self.block..self.pos]
    }

    /// Returns the bytes that are in the buffer and not yet encoded.
    pub(super) fn unencoded(&self) -> &[u8] {
        &self.buffer[self.block..self.end]
    }

    /// Returns whether the block takes in all input of the buffer.
    pub(super) fn block_is_all(&self) -> bool {
        self.pos == self.end
    }

    pub(super) fn sequences(&self) -> &[Sequence] {
        &self.sequences[..self.sequence_count]
    }

    pub(super) fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    #[inline(always)]
    fn insert(&mut self, at: usize) {
        let slot = &mut self.table[hash(load32(&self.buffer, at))];
        *slot = *slot << 16 | u32::from(self.base.wrapping_add(at as u16));
    }

    /// Copies input into the buffer, sliding it if that makes room. Returns the bytes taken.
    pub(super) fn fill(&mut self, input: &[u8]) -> usize {
        if input.is_empty() {
            return 0;
        }
        if self.end == BUFFER_BYTES {
            // The block is at most 32 KiB long, so it stays too.
            let gone = self.pos.saturating_sub(WINDOW_BYTES).min(self.block);
            self.buffer.copy_within(gone.., 0);
            self.base = self.base.wrapping_add(gone as u16);
            self.block -= gone;
            self.pos -= gone;
            self.run_start -= gone;
            self.end -= gone;
        }
        let len = input.len().min(BUFFER_BYTES - self.end);
        self.buffer[self.end..self.end + len].copy_from_slice(&input[..len]);
        self.end += len;
        len
    }

    /// Matches what is in the buffer. `flushing` says that no input follows for now.
    pub(super) fn collect(&mut self, flushing: bool) -> Collected {
        // Where matching may begin: with all of a longest match in the buffer, or with the bytes that are hashed.
        let reserve = if flushing { HASHED_BYTES - 1 } else { LOOKAHEAD };
        let input_stop = self.end.saturating_sub(reserve);
        let stop = input_stop.min(self.block + BLOCK_BYTES);
        let end = self.end;
        let base = usize::from(self.base);
        let distance_max = self.distance_max;
        let buffer = &self.buffer;
        let table = &mut self.table;
        let mut pos = self.pos;
        let mut run_start = self.run_start;
        let mut count = self.sequence_count;
        while pos < stop && count < SEQUENCES - SEQUENCES_RESERVE {
            let word = load32(buffer, pos);
            let current = base + pos;
            let slot = &mut table[hash(word)];
            let candidates = *slot;
            *slot = candidates << 16 | (current & 0xffff) as u32;
            let reach = pos.min(distance_max);

            // A distance of 0 is 64 KiB or nothing.
            let newer = current.wrapping_sub(candidates as usize) & 0xffff;
            let newer_agrees = newer.wrapping_sub(1) < reach && load32(buffer, pos - newer) == word;
            let older = current.wrapping_sub((candidates >> 16) as usize) & 0xffff;
            let older_agrees = older.wrapping_sub(1) < reach && load32(buffer, pos - older) == word;
            if !(newer_agrees || older_agrees) {
                pos += 1;
                continue;
            }
            let max = MATCH_BYTES_MAX.min(end - pos);
            let (mut len, mut distance) = (0, newer);
            if newer_agrees {
                len = match_length(buffer, pos - newer, pos, max);
            }
            if older_agrees {
                let older_len = match_length(buffer, pos - older, pos, max);
                if older_len > len {
                    (len, distance) = (older_len, older);
                }
            }
            let mut run = pos - run_start;
            while run > Sequence::RUN_MAX {
                self.sequences[count] = Sequence::literals(Sequence::RUN_MAX);
                count += 1;
                run -= Sequence::RUN_MAX;
            }
            self.sequences[count] = Sequence::new(run, len, distance);
            count += 1;
            let next = pos + len;
            for at in (pos + 1)..next.min(end - HASHED_BYTES + 1).min(pos + 1 + INSERTIONS) {
                let slot = &mut table[hash(load32(buffer, at))];
                *slot = *slot << 16 | (base + at) as u32 & 0xffff;
            }
            pos = next;
            run_start = next;
        }
        // The last bytes before a flush are too few to hash.
        if flushing && pos >= input_stop && pos < self.block + BLOCK_BYTES {
            pos = pos.max(end);
        }
        self.pos = pos;
        self.run_start = run_start;
        self.sequence_count = count;
        if pos < input_stop { Collected::BlockFull } else { Collected::InputUsed }
    }

    #[inline(always)]
    fn push_sequence(&mut self, sequence: Sequence) {
        self.sequences[self.sequence_count] = sequence;
        self.sequence_count += 1;
    }

    /// Ends the block in front of the first unmatched byte: what is left becomes literals.
    pub(super) fn close_block(&mut self) {
        let mut run = self.pos - self.run_start;
        while run > 0 {
            let part = run.min(Sequence::RUN_MAX);
            self.push_sequence(Sequence::literals(part));
            run -= part;
        }
        self.run_start = self.pos;
    }

    /// Begins the next block behind `encoded` bytes of this one; nothing else of it remains.
    pub(super) fn next_block(&mut self, encoded: usize) {
        self.block += encoded;
        self.pos = self.pos.max(self.block);
        self.run_start = self.pos;
        self.sequence_count = 0;
    }

    /// Drops all input that is not encoded and returns how many bytes that were.
    pub(super) fn drop_unencoded(&mut self) -> usize {
        let dropped = self.end - self.block;
        self.end = self.block;
        self.pos = self.block;
        self.run_start = self.block;
        self.sequence_count = 0;
        dropped
    }
}
