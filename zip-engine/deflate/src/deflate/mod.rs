//! Compression: collect a block, choose its kind, put it; every stage resumable.
//!
//! Output is put in units of at most [`block::UNIT_BYTES`]. A unit goes straight to the caller's slice when that has room for the largest, else
//! to a stage of one unit, which is drained first. So no unit has to stop in its middle, and the stream does not depend on how the output
//! was cut.

mod bits;
mod block;
mod cuts;
mod finder;
mod huffman;
mod matcher;
mod one_shot;
mod optimal;
mod state;
mod way;

use crate::constants::*;
use crate::fast::buckets::Buckets;
use crate::fast::chains::Chains;
use crate::fast::find::Positions;
use crate::status::{Framing, Progress, StateError, Status, WINDOW_BYTES};
use bits::{BitWriter, FLUSH_SLACK};
use block::{BlockEncoder, Kind, UNIT_BYTES};
pub use finder::Finder;
use matcher::{Collected, Matcher, Search};
use one_shot::ONE_SHOT_BYTES_MIN;
use optimal::Optimal;

pub use state::DEFLATE_STATE_BYTES_MAX;

/// How much work goes into matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// One candidate per position, few positions entered.
    #[default]
    Fastest,
    /// Two candidates per position, all positions entered.
    Balanced,
    /// Chains of candidates, lazy; blocks end where the data changes.
    High,
    /// All matches, and the cheapest way through them.
    Best,
}

/// Which block carries BFINAL when a stream is finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FinalBlock {
    /// The last block with data: the shortest stream. It cannot be suspended once that block has begun.
    #[default]
    Data,
    /// An empty block behind the data: at most two bytes longer, and suspendable anywhere. Stored blocks are then no longer than what one step has
    /// input and room for, so where input is incompressible the stream depends on how the output was cut too.
    Empty,
}

/// What a stream is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Which trailer follows.
    pub framing: Framing,
    /// Longest distance of a match in bytes, 1 to 32768; more counts as 32768 and 0 as 1.
    pub window_bytes: u32,
    /// Which block carries BFINAL.
    pub final_block: FinalBlock,
}

impl Params {
    /// Returns the parameters of a one-shot stream: 32 KiB window, BFINAL on the last data block.
    pub const fn new(framing: Framing) -> Self {
        Params { framing, window_bytes: WINDOW_BYTES as u32, final_block: FinalBlock::Data }
    }

    const fn distance_max(&self) -> usize {
        match self.window_bytes as usize {
            0 => 1,
            bytes if bytes > WINDOW_BYTES => WINDOW_BYTES,
            bytes => bytes,
        }
    }
}

/// What is asked of a step beyond taking input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Nothing: output comes when a block is full.
    None,
    /// All input so far can be decoded from the output, which ends byte-aligned with an empty stored block.
    Sync,
    /// The stream ends behind this input.
    Finish,
}

/// What the caller did that no stream can follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeflateError {
    /// With [`FinalBlock::Data`]: a stored block was announced over input that was then not offered again.
    StoredDataMissing {
        /// Bytes that the block still needs.
        bytes: u16,
    },
}

/// What comes next in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Collecting sequences.
    Collect,
    /// The body of a block.
    Body,
    /// Bytes of a stored block.
    Stored,
    /// Nothing: the trailer has been put.
    Done,
    /// Nothing: the caller broke the contract.
    Failed,
}

/// Output of units for which the caller's slice had no room.
struct Stage {
    bytes: [u8; STAGE_BYTES],
    start: usize,
    end: usize,
}

/// Most bytes that the header of a stored block adds: held bits, LEN and NLEN, and flush slack.
const STORED_HEADER_BYTES: usize = 2 + 4 + FLUSH_SLACK;

/// One unit, and behind it at least one more that [`Compressor::suspend`] puts. The state image holds it.
const STAGE_BYTES: usize = 2200;

const _: () = assert!(STAGE_BYTES >= 2 * UNIT_BYTES);

/// A compressor for one stream at a time, of the level that its finder has.
///
/// It is a plain value: put it in a static by `new`, or in a slot that is reused by [`Compressor::reset`].
pub struct Compressor<F: Finder> {
    stream: Stream<F>,
    stage: Stage,
    total_in: u64,
    total_out: u64,
}

/// The compressor of the fastest level: about 64 KiB of tables and state, and the 32 KiB window.
pub type Deflate = Compressor<Positions>;
/// The compressor of the balanced level: less than 192 KiB in all.
pub type DeflateBalanced = Compressor<Buckets>;
/// The compressor of the high level: less than 768 KiB in all.
pub type DeflateHigh = Compressor<Chains>;
/// The compressor of the best level: less than 8 MiB in all, too much for most stacks.
pub type DeflateBest = Compressor<Optimal>;

/// The stream but for what the caller's slices had no room for.
struct Stream<F: Finder> {
    params: Params,
    phase: Phase,
    /// BFINAL has been put.
    final_put: bool,
    /// No input was encoded since the last sync flush or the start.
    synced: bool,
    /// Bytes that the stored block at hand still needs.
    stored_left: usize,
    /// Bytes behind those that are to be stored too, in blocks of their own.
    stored_run: usize,
    /// The stream ends with them.
    stored_last: bool,
    /// Held bits between units.
    bits: u64,
    count: u32,
    /// Checksum and length of the encoded input.
    check: u32,
    isize: u32,
    encoder: BlockEncoder,
    matcher: Matcher<F>,
}

/// Whether a unit was put or input is needed first.
enum Next {
    Again,
    NeedInput,
}

/// The working memory beside the window stays within 64 KiB.
const _: () = assert!(size_of::<Deflate>() - WINDOW_BYTES <= 64 * 1024);
const _: () = assert!(size_of::<DeflateBalanced>() <= 192 * 1024);
const _: () = assert!(size_of::<DeflateHigh>() <= 768 * 1024);
const _: () = assert!(size_of::<DeflateBest>() <= 8 * 1024 * 1024);

impl<F: Finder> Default for Compressor<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: Finder> Compressor<F> {
    /// Its level.
    pub const LEVEL: Level = F::LEVEL;

    /// Returns a compressor that stands before a raw stream.
    pub const fn new() -> Self {
        let stream = Stream {
            params: Params::new(Framing::Raw),
            phase: Phase::Collect,
            final_put: false,
            synced: true,
            stored_left: 0,
            stored_run: 0,
            stored_last: false,
            bits: 0,
            count: 0,
            check: 0,
            isize: 0,
            encoder: BlockEncoder::new(),
            matcher: Matcher::new(),
        };
        Compressor { stream, stage: Stage { bytes: [0; STAGE_BYTES], start: 0, end: 0 }, total_in: 0, total_out: 0 }
    }

    /// Goes before a new stream; keeps nothing of the last one.
    pub fn reset(&mut self, params: Params) {
        self.stream.reset(params);
        self.stage.start = 0;
        self.stage.end = 0;
        self.total_in = 0;
        self.total_out = 0;
    }

    /// Compresses `input` into `output`.
    ///
    /// With [`Flush::None`] and [`Flush::Sync`] the step ends with [`Status::NeedInput`] when all input was consumed and, for `Sync`, everything is in the
    /// output. After [`Status::NeedOutput`] call again with the unconsumed input and the same `flush`. [`Status::Done`] comes with `Finish` only.
    /// The bytes of `output` behind `produced` are scratch.
    ///
    /// The stream depends on the input, on the flushes and, where input is incompressible, on how it was cut; with [`FinalBlock::Data`] it never depends on
    /// how the output was cut.
    pub fn step(&mut self, input: &[u8], output: &mut [u8], flush: Flush) -> Progress<DeflateError> {
        let (mut consumed, mut produced) = (0, 0);
        if flush == Flush::Finish && self.is_fresh() && input.len() >= ONE_SHOT_BYTES_MIN {
            (consumed, produced) = self.stream.one_shot(input, output);
        }
        let status = loop {
            produced += self.stage.drain(&mut output[produced..]);
            if !self.stage.is_empty() {
                break Status::NeedOutput;
            }
            match self.stream.phase {
                Phase::Done => break Status::Done,
                Phase::Failed => break Status::Error(DeflateError::StoredDataMissing { bytes: self.stream.stored_left as u16 }),
                _ => {}
            }
            consumed += self.stream.fill(&input[consumed..]);
            let rest = &input[consumed..];
            let room = &mut output[produced..];
            let next = if room.len() >= UNIT_BYTES {
                let (next, put) = self.stream.advance(rest, flush, room);
                produced += put;
                next
            } else {
                let (next, put) = self.stream.advance(rest, flush, &mut self.stage.bytes[..UNIT_BYTES]);
                self.stage.start = 0;
                self.stage.end = put;
                next
            };
            if let Next::NeedInput = next {
                break Status::NeedInput;
            }
        };
        self.total_in = self.total_in.wrapping_add(consumed as u64);
        self.total_out = self.total_out.wrapping_add(produced as u64);
        Progress { consumed, produced, status }
    }

    /// Returns whether nothing of a stream that can be compressed in place has been taken.
    fn is_fresh(&self) -> bool {
        self.total_in == 0 && self.stream.is_fresh() && self.stage.is_empty() && self.stream.params.final_block == FinalBlock::Data
    }

    /// Makes the stream carry on from a small state: ends the open block early and gives back the input that is not encoded.
    ///
    /// Returns how many of the last accepted bytes must be offered again; they are no longer part of [`Compressor::total_in`]. Everything else is in the output
    /// or, for up to 2200 bytes, in the state. Call it when a step ended and the stream is to be continued elsewhere, by
    /// [`Compressor::export_state`]; after a `Sync` that ended with `NeedInput` it gives nothing back and changes nothing.
    ///
    /// # Errors
    /// `BlockOpen` if the block carries BFINAL or is stored, which [`FinalBlock::Empty`] avoids; the stream is then unchanged.
    pub fn suspend(&mut self) -> Result<usize, StateError> {
        let stream = &mut self.stream;
        if stream.phase == Phase::Body && stream.final_put || stream.stored_left != 0 {
            return Err(StateError::BlockOpen);
        }
        if stream.phase == Phase::Body {
            self.stage.compact();
            let mut writer = BitWriter::new(&mut self.stage.bytes[self.stage.end..], stream.bits, stream.count);
            // At least one sequence, so that a stream which is suspended after every byte still moves, and as many as its header is worth.
            let (search, data) = stream.matcher.split();
            if !stream.encoder.put_body(search.sequences(), &data[search.block..], &mut writer) {
                stream.encoder.put_end(&mut writer);
            }
            (stream.bits, stream.count) = (writer.bits, writer.count);
            self.stage.end += writer.at;
            stream.commit(stream.encoder.encoded);
            stream.phase = Phase::Collect;
        }
        if stream.phase == Phase::Stored {
            stream.stored_run = 0;
            stream.phase = Phase::Collect;
        }
        let given_back = stream.matcher.drop_unencoded();
        self.total_in = self.total_in.wrapping_sub(given_back as u64);
        Ok(given_back)
    }

    /// Returns the checksum of the encoded input: Adler-32, CRC-32 or 0, by the framing.
    ///
    /// It covers all accepted input after a completed `Sync` or `Finish` and after [`Compressor::suspend`].
    pub fn check(&self) -> u32 {
        self.stream.check
    }

    /// Returns the length of the encoded input modulo 2^32, as [`Compressor::check`] covers it.
    pub fn isize(&self) -> u32 {
        self.stream.isize
    }

    /// Replaces the running checksum and length, for callers that carry them beside the context.
    pub fn set_check(&mut self, check: u32, isize: u32) {
        self.stream.check = check;
        self.stream.isize = isize;
    }

    /// Returns the bytes consumed since the reset.
    pub fn total_in(&self) -> u64 {
        self.total_in
    }

    /// Returns the bytes produced since the reset.
    pub fn total_out(&self) -> u64 {
        self.total_out
    }

    /// Returns how many finished bytes wait for room in the output.
    pub fn pending_output(&self) -> usize {
        self.stage.end - self.stage.start
    }

    /// Returns whether the stream, its trailer included, is in the output.
    pub fn is_done(&self) -> bool {
        self.stream.phase == Phase::Done && self.stage.is_empty()
    }
}

impl Stage {
    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Moves bytes to the front of `output` and returns how many.
    fn drain(&mut self, output: &mut [u8]) -> usize {
        let len = (self.end - self.start).min(output.len());
        output[..len].copy_from_slice(&self.bytes[self.start..self.start + len]);
        self.start += len;
        len
    }

    /// Moves what is left to the front.
    fn compact(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }
}

impl<F: Finder> Stream<F> {
    fn reset(&mut self, params: Params) {
        self.params = params;
        self.phase = Phase::Collect;
        self.final_put = false;
        self.synced = true;
        self.stored_left = 0;
        self.stored_run = 0;
        self.bits = 0;
        self.count = 0;
        self.check = params.framing.initial_check();
        self.isize = 0;
        self.matcher.reset(params.distance_max());
    }

    /// Takes input where the phase has use for it; behind BFINAL only what was announced.
    fn fill(&mut self, input: &[u8]) -> usize {
        let wanted = match self.phase {
            Phase::Collect if !self.final_put => input.len(),
            Phase::Stored if !self.final_put => input.len(),
            Phase::Stored => input.len().min(self.stored_left.saturating_sub(self.matcher.unencoded().len())),
            _ => 0,
        };
        self.matcher.fill(&input[..wanted])
    }

    /// Puts at most what fits into `out`, at least one unit of `UNIT_BYTES`; returns the bytes put. `rest` is the input behind the buffer.
    fn advance(&mut self, rest: &[u8], flush: Flush, out: &mut [u8]) -> (Next, usize) {
        let mut writer = BitWriter::new(out, self.bits, self.count);
        let next = match self.phase {
            Phase::Collect if self.final_put => self.end_stream(&mut writer),
            Phase::Collect => self.collect(rest, flush, &mut writer),
            Phase::Body => {
                let (search, data) = self.matcher.split();
                if self.encoder.put_body(search.sequences(), &data[search.block..], &mut writer) {
                    self.commit(self.encoder.encoded);
                    self.phase = Phase::Collect;
                }
                Next::Again
            }
            Phase::Stored => self.put_stored(rest, flush, &mut writer),
            Phase::Done | Phase::Failed => Next::Again,
        };
        self.bits = writer.bits;
        self.count = writer.count;
        (next, writer.at)
    }

    /// Collects sequences and, when the block is complete, begins to put it.
    fn collect(&mut self, rest: &[u8], flush: Flush, writer: &mut BitWriter<'_>) -> Next {
        let all_in_buffer = rest.is_empty();
        let flushing = all_in_buffer && flush != Flush::None;
        let (search, data) = self.matcher.split();
        if F::LOOKS && search.block_is_empty() && data.len() - search.block < SAMPLE_BYTES && !flushing {
            return if all_in_buffer { Next::NeedInput } else { Next::Again };
        }
        let unmatched = look(search, data, rest, flush);
        if unmatched == 0 && search.collect(data, flushing) == Collected::InputUsed {
            if !all_in_buffer {
                return Next::Again;
            }
            if !flushing {
                return Next::NeedInput;
            }
            if search.block_bytes() == 0 {
                return match flush {
                    Flush::Finish => self.end_stream(writer),
                    _ => self.sync(writer),
                };
            }
        }
        search.close_block(data);
        self.synced = false;
        let finish = flush == Flush::Finish && self.params.final_block == FinalBlock::Data;
        let last = finish && all_in_buffer && search.cursor.pos == data.len();
        let block = search.block_bytes();
        if unmatched != 0 || self.encoder.begin(search.counts(), block, last, writer) == Kind::Stored {
            let run = stored_run(search, data, rest);
            match self.params.final_block {
                FinalBlock::Data => {
                    self.stored_last = finish && run == self.matcher.unencoded().len() + rest.len();
                    self.stored_run = run;
                    self.begin_stored_of_run(STORED_BYTES_MAX, writer);
                }
                FinalBlock::Empty => {
                    self.stored_last = false;
                    self.stored_run = run;
                }
            }
            self.phase = Phase::Stored;
        } else {
            self.final_put = last;
            self.phase = Phase::Body;
        }
        Next::Again
    }

    /// Puts the header of a stored block of at most 65535 bytes.
    fn begin_stored(&mut self, len: usize, last: bool, writer: &mut BitWriter<'_>) {
        writer.put(u64::from(last), 3);
        writer.align();
        writer.bytes(&(len as u16).to_le_bytes());
        writer.bytes(&(!len as u16).to_le_bytes());
        self.final_put = last;
        self.stored_left = len;
    }

    /// Puts the header of a stored block over the next bytes of the run, at most `most` of them.
    fn begin_stored_of_run(&mut self, most: usize, writer: &mut BitWriter<'_>) {
        let len = self.stored_run.min(most).min(STORED_BYTES_MAX);
        self.stored_run -= len;
        self.begin_stored(len, self.stored_last && self.stored_run == 0, writer);
    }

    /// Passes bytes of a stored block through, or begins the next of a run.
    fn put_stored(&mut self, rest: &[u8], flush: Flush, writer: &mut BitWriter<'_>) -> Next {
        let buffered = self.matcher.unencoded().len();
        if buffered == 0 {
            if !rest.is_empty() {
                return Next::Again;
            }
            if flush == Flush::None {
                return Next::NeedInput;
            }
            self.phase = if self.stored_left == 0 { Phase::Collect } else { Phase::Failed };
            return Next::Again;
        }
        if self.stored_left == 0 {
            let most = match self.params.final_block {
                FinalBlock::Data => STORED_BYTES_MAX,
                // No more than what this step has the input and the room for. In a stage, that is what goes into it at once.
                FinalBlock::Empty => {
                    let whole_step = writer.room().saturating_sub(2 * UNIT_BYTES).min(buffered + rest.len());
                    whole_step.max(buffered.min(UNIT_BYTES - STORED_HEADER_BYTES))
                }
            };
            self.begin_stored_of_run(most, writer);
        }
        let len = buffered.min(self.stored_left).min(writer.room());
        writer.bytes(&self.matcher.unencoded()[..len]);
        let (search, data) = self.matcher.split();
        search.enter_sparsely(data, len);
        self.commit(len);
        self.stored_left -= len;
        if self.stored_left + self.stored_run == 0 {
            self.matcher.search.end_sparse();
            self.phase = Phase::Collect;
        }
        Next::Again
    }

    /// Counts `len` bytes of the block as encoded.
    fn commit(&mut self, len: usize) {
        let encoded = &self.matcher.unencoded()[..len];
        self.check = self.params.framing.extend_check(self.check, encoded);
        self.isize = self.isize.wrapping_add(len as u32);
        let (search, data) = self.matcher.split();
        search.next_block(data, len);
    }

    /// Does what `commit` does, for a search in `data`.
    fn commit_in(&mut self, data: &[u8], len: usize) {
        let from = self.matcher.search.block;
        self.check = self.params.framing.extend_check(self.check, &data[from..from + len]);
        self.isize = self.isize.wrapping_add(len as u32);
        self.matcher.search.next_block(data, len);
    }

    /// Puts an empty stored block, once.
    fn sync(&mut self, writer: &mut BitWriter<'_>) -> Next {
        if self.synced {
            return Next::NeedInput;
        }
        self.synced = true;
        writer.put(0, 3);
        writer.align();
        writer.bytes(&[0, 0, 0xff, 0xff]);
        Next::Again
    }

    /// Puts BFINAL, if it has not been, and the trailer.
    fn end_stream(&mut self, writer: &mut BitWriter<'_>) -> Next {
        if !self.final_put {
            // BFINAL, the fixed codes, and their end-of-block codeword of seven zeros.
            writer.put(0b011, 10);
            self.final_put = true;
        }
        writer.align();
        match self.params.framing {
            Framing::Raw => {}
            Framing::ZlibBody => writer.bytes(&self.check.to_be_bytes()),
            Framing::GzipBody => {
                writer.bytes(&self.check.to_le_bytes());
                writer.bytes(&self.isize.to_le_bytes());
            }
        }
        self.phase = Phase::Done;
        Next::Again
    }
}

/// Bytes of which the symbol counts are looked at together.
const SAMPLE_BYTES: usize = 4096;
/// Incompressible bytes that are worth a block of their own.
const LONG_RUN_BYTES: usize = 22 * 1024;
/// Fewer say too little: they are matched and stored by their cost.
const SAMPLE_BYTES_MIN: usize = 1024;

/// Takes a look at the beginning of a block, the same however the input was cut: returns how many bytes, now the whole block, are to be stored without
/// a search, or 0.
///
/// `data` is what the search knows, `rest` what follows.
fn look<F: Finder>(search: &mut Search<F>, data: &[u8], rest: &[u8], flush: Flush) -> usize {
    if !F::LOOKS || !search.block_is_empty() {
        return 0;
    }
    let ahead = &data[search.block..];
    let sample = ahead.len().min(SAMPLE_BYTES);
    if sample < SAMPLE_BYTES_MIN || !has_flat_counts(&ahead[..sample], &[]) {
        return 0;
    }
    let run = sample + incompressible_prefix(&ahead[sample..], rest, STORED_BYTES_MAX - sample);
    // A short block of its own would cost more than it saves.
    let long = run >= LONG_RUN_BYTES || flush != Flush::None && run == ahead.len() + rest.len();
    if !long || search.has_repeats(data, sample) {
        return 0;
    }
    search.take_unmatched(sample);
    sample
}

/// Returns how many bytes from the beginning of a closed block on are to be stored: the block, and what follows it and is not worth a search.
fn stored_run<F: Finder>(search: &Search<F>, data: &[u8], rest: &[u8]) -> usize {
    let block = search.block_bytes();
    // What has been searched is not stored unseen.
    let max = if search.is_ahead() { 0 } else { block.next_multiple_of(STORED_BYTES_MAX) - block };
    block + incompressible_prefix(&data[search.cursor.pos..], rest, max)
}

/// Returns how many of the bytes `ahead` and `rest`, at most `max`, are not worth a look: no piece of them has skewed byte counts.
///
/// The pieces do not know where `ahead` ends, so that it does not matter how much of the input is in the buffer.
fn incompressible_prefix(ahead: &[u8], rest: &[u8], max: usize) -> usize {
    let all = (ahead.len() + rest.len()).min(max);
    let mut taken = 0;
    while taken < all {
        let end = (taken + SAMPLE_BYTES).min(all);
        let cut = |part: &'_ [u8], before: usize| taken.saturating_sub(before).min(part.len())..end.saturating_sub(before).min(part.len());
        // A last piece that is too short to tell goes with the one before it.
        let tells = end - taken >= SAMPLE_BYTES_MIN || taken == 0;
        if tells && !has_flat_counts(&ahead[cut(ahead, 0)], &rest[cut(rest, ahead.len())]) {
            break;
        }
        taken = end;
    }
    taken
}

/// Returns whether byte counts are about as even as those of random bytes.
///
/// The sum of the squared counts of n random bytes is about n + n²/256; one eighth more is allowed, which is less than what base64 (4 × as much)
/// or compressed data with structure has.
fn has_flat_counts(first: &[u8], second: &[u8]) -> bool {
    // Most data shows in a few bytes that it is not random: 256 random ones have 512 for the sum, with a deviation of 23.
    if first.len() + second.len() >= 256 {
        let mut counts = [0u16; 256];
        let mut few = first.iter().chain(second);
        let mut squares = 0;
        // Of 64 random ones the sum is 80, with a deviation of 6.
        for (bytes, most) in [(64, 144), (256 - 64, 700)] {
            for &byte in few.by_ref().take(bytes) {
                let count = &mut counts[usize::from(byte)];
                *count += 1;
                // c² - (c - 1)²
                squares += 2 * u32::from(*count) - 1;
            }
            if squares > most {
                return false;
            }
        }
    }
    // Four tables, so that equal neighbours need not wait for each other.
    let mut counts = [[0u16; 256]; 4];
    for bytes in [first, second] {
        let (fours, rest) = bytes.as_chunks::<4>();
        for four in fours {
            for (counts, &byte) in counts.iter_mut().zip(four) {
                counts[usize::from(byte)] += 1;
            }
        }
        for &byte in rest {
            counts[0][usize::from(byte)] += 1;
        }
    }
    let squares: u64 = (0..256)
        .map(|byte| {
            let count: u64 = counts.iter().map(|counts| u64::from(counts[byte])).sum();
            count * count
        })
        .sum();
    let n = (first.len() + second.len()) as u64;
    8 * squares <= 9 * (n + n * n / 256)
}

/// Returns the most bytes that one `Finish` over `len` bytes makes, trailer included: every block but the last has at least 1 KiB and
/// costs at most five bytes over them.
pub const fn deflate_bound(len: u64, framing: Framing) -> u64 {
    len + 5 * (len / finder::FULL_BLOCK_BYTES_MIN as u64 + 1) + 2 + framing.trailer_bytes() as u64
}
