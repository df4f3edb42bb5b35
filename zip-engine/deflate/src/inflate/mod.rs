//! Decompression: a resumable state machine around two decode tables and a history ring.
//!
//! `step` runs the machine over one input slice and one output slice. Symbols are decoded one at a time by the careful path in this file,
//! which may stop between any two bits; while both slices have slack, [`bulk`] decodes in bulk and hands back in front of anything odd,
//! so every verdict is given in one place.

mod bits;
mod block;
mod bulk;
mod error;
mod order;
mod state;
mod table;
mod together;
mod window;

use crate::constants::*;
use crate::status::{Framing, Progress, Status};
use bits::BitReader;
use table::{DistanceOrder, LitLenOrder, PrecodeTable, Table};
use window::Window;

pub use error::InflateError;
pub use state::INFLATE_STATE_BYTES;
pub(crate) use table::Tables;
pub use together::{Request, inflate_together};

/// Where in the stream the decoder stands: the next thing to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// BFINAL and BTYPE.
    BlockHeader,
    /// LEN and NLEN.
    StoredHeader,
    /// Bytes of a stored block.
    Stored,
    /// HLIT, HDIST and HCLEN.
    DynamicHeader,
    /// Lengths of the precode.
    PrecodeLengths,
    /// Code lengths of the literal/length and distance codes.
    CodeLengths,
    /// A literal/length symbol.
    LitLen,
    /// The distance of a match whose length is known.
    Distance,
    /// The rest of a match.
    Match,
    /// The trailer.
    Trailer,
    /// Nothing: the stream is complete.
    Done,
    /// Nothing: the stream is bad.
    Failed,
}

/// Code lengths of a dynamic block, at most.
const LENGTHS: usize = LITLEN_USED + DISTANCE_USED;

/// Which codes the tables hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codes {
    None,
    Fixed,
    Dynamic,
}

/// Why the machine stopped inside a step.
enum Stop {
    NeedInput,
    NeedOutput,
    Done,
    Bad(InflateError),
}

/// A decompressor for one stream at a time.
///
/// About 13 KiB of tables and state, and the 32 KiB window. It is a plain value: put it in a static by [`Inflate::new`], or in a slot that is
/// reused by [`Inflate::reset`].
pub struct Inflate {
    framing: Framing,
    mode: Mode,
    final_block: bool,
    /// Held bits between steps.
    bits: u64,
    count: u32,
    total_in: u64,
    total_out: u64,
    check: u32,
    isize: u32,
    error: Option<InflateError>,
    error_offset: u64,
    codes: Codes,
    hlit: u16,
    hdist: u16,
    hclen: u16,
    /// Code lengths read so far, in `PrecodeLengths` and `CodeLengths`.
    have: u16,
    precode_lengths: [u8; PRECODE_SYMBOLS],
    /// The lengths read; in `CodeLengths`, 0 behind them.
    lengths: [u8; LENGTHS],
    /// Bytes left of a match or a stored block.
    left: u16,
    distance: u16,
    trailer: [u8; 8],
    trailer_have: u8,
    precode: PrecodeTable,
    /// Symbols of the code lengths while these are read and the tables built.
    litlen_order: LitLenOrder,
    distance_order: DistanceOrder,
    tables: Tables,
    window: Window,
}

/// The working memory beside the window stays within 32 KiB.
const _: () = assert!(size_of::<Inflate>() - size_of::<Window>() <= 32 * 1024);

impl Default for Inflate {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflate {
    /// Returns a decompressor that stands before a raw stream.
    pub const fn new() -> Self {
        Inflate {
            framing: Framing::Raw,
            mode: Mode::BlockHeader,
            final_block: false,
            bits: 0,
            count: 0,
            total_in: 0,
            total_out: 0,
            check: 0,
            isize: 0,
            error: None,
            error_offset: 0,
            codes: Codes::None,
            hlit: 0,
            hdist: 0,
            hclen: 0,
            have: 0,
            precode_lengths: [0; PRECODE_SYMBOLS],
            lengths: [0; LENGTHS],
            left: 0,
            distance: 0,
            trailer: [0; 8],
            trailer_have: 0,
            precode: Table::new(),
            litlen_order: LitLenOrder::new(),
            distance_order: DistanceOrder::new(),
            tables: Tables { litlen: Table::new(), distances: Table::new() },
            window: Window::new(),
        }
    }

    /// Goes before a new stream; keeps nothing of the last one. Costs no clearing of tables or window.
    pub fn reset(&mut self, framing: Framing) {
        self.framing = framing;
        self.mode = Mode::BlockHeader;
        self.final_block = false;
        self.bits = 0;
        self.count = 0;
        self.total_in = 0;
        self.total_out = 0;
        self.check = framing.initial_check();
        self.isize = 0;
        self.error = None;
        self.error_offset = 0;
        // The fixed tables stay usable, but what a stream does must not depend on the one before.
        self.codes = Codes::None;
        self.have = 0;
        self.left = 0;
        self.distance = 0;
        self.trailer_have = 0;
        self.window.clear();
    }

    /// Decodes from `input` into `output` until one of them or the stream ends.
    ///
    /// The bytes of `output` behind `produced` are scratch. At the end of the stream `consumed` is exact: no byte behind the trailer counts. Work is
    /// linear in `input.len() + output.len()`.
    ///
    /// [`Status::NeedInput`] with an empty rest of the input and no end in sight means a truncated stream.
    pub fn step(&mut self, input: &[u8], output: &mut [u8]) -> Progress<InflateError> {
        self.step_with::<true>(input, output)
    }

    /// Does what [`Inflate::step`] does with the careful path alone, at a tenth of the speed: what the fast loops are compared with.
    ///
    /// Both can be mixed within a stream.
    pub fn step_carefully(&mut self, input: &[u8], output: &mut [u8]) -> Progress<InflateError> {
        self.step_with::<false>(input, output)
    }

    fn step_with<const BULK: bool>(&mut self, input: &[u8], output: &mut [u8]) -> Progress<InflateError> {
        if let Some(error) = self.error {
            return Progress { consumed: 0, produced: 0, status: Status::Error(error) };
        }
        let mut reader = BitReader { input, at: 0, bits: self.bits, count: self.count };
        let mut sink = Sink { output, at: 0, checked: 0 };
        let stop = self.run::<BULK>(&mut reader, &mut sink);
        self.end_step(&mut reader, &mut sink, stop)
    }

    /// Keeps what the next step needs, and tells how far this one came.
    fn end_step(&mut self, reader: &mut BitReader<'_>, sink: &mut Sink<'_>, stop: Stop) -> Progress<InflateError> {
        // When input is needed, what is held is the beginning of the symbol at hand; otherwise it is unread.
        let offset = self.total_in.wrapping_add(reader.at as u64).wrapping_sub(u64::from(reader.count.div_ceil(8)));
        if !matches!(stop, Stop::NeedInput) {
            reader.give_back();
        }
        self.bits = reader.bits;
        self.count = reader.count;
        self.total_in = self.total_in.wrapping_add(reader.at as u64);
        self.total_out = self.total_out.wrapping_add(sink.at as u64);
        self.fold_checks(sink);
        // Behind the end nothing reaches back.
        match stop {
            Stop::Done => self.window.clear(),
            _ => self.window.push(&sink.output[..sink.at]),
        }
        let status = match stop {
            Stop::NeedInput => Status::NeedInput,
            Stop::NeedOutput => Status::NeedOutput,
            Stop::Done => Status::Done,
            Stop::Bad(error) => {
                self.mode = Mode::Failed;
                self.error = Some(error);
                self.error_offset = offset;
                Status::Error(error)
            }
        };
        Progress { consumed: reader.at, produced: sink.at, status }
    }

    /// Returns the checksum of the output so far: Adler-32, CRC-32 or 0, by the framing.
    pub fn check(&self) -> u32 {
        self.check
    }

    /// Returns the length of the output so far modulo 2^32 (ISIZE of RFC 1952).
    pub fn isize(&self) -> u32 {
        self.isize
    }

    /// Replaces the running checksum and length, for callers that carry them beside the context.
    pub fn set_check(&mut self, check: u32, isize: u32) {
        self.check = check;
        self.isize = isize;
    }

    /// Returns the bytes consumed since the reset.
    pub fn total_in(&self) -> u64 {
        self.total_in
    }

    /// Returns the bytes produced since the reset.
    pub fn total_out(&self) -> u64 {
        self.total_out
    }

    /// Returns where the stream is bad: the offset since the reset of the byte that holds the first bit of the offending field or symbol.
    pub fn error_offset(&self) -> Option<u64> {
        self.error.map(|_| self.error_offset)
    }

    /// Returns whether BFINAL of the current block, or of the last one, is set.
    pub fn in_final_block(&self) -> bool {
        self.final_block
    }

    /// Returns whether the next thing to read is a block header.
    pub fn is_between_blocks(&self) -> bool {
        self.mode == Mode::BlockHeader
    }

    /// Returns whether the stream, its trailer included, is complete.
    pub fn is_done(&self) -> bool {
        self.mode == Mode::Done
    }

    /// Returns whether output is known that had no room yet (the rest of a match).
    pub fn has_pending_output(&self) -> bool {
        self.mode == Mode::Match
    }

    /// Returns the input bits that were consumed and not yet used, lowest first, and how many they are: always less than 40.
    pub fn tail_bits(&self) -> (u64, u32) {
        (self.bits, self.count)
    }

    /// Extends check and isize over output that they do not cover yet.
    fn fold_checks(&mut self, sink: &mut Sink<'_>) {
        let new = &sink.output[sink.checked..sink.at];
        self.check = self.framing.extend_check(self.check, new);
        self.isize = self.isize.wrapping_add(new.len() as u32);
        sink.checked = sink.at;
    }

    /// Runs the machine until it has to stop.
    fn run<const BULK: bool>(&mut self, reader: &mut BitReader<'_>, sink: &mut Sink<'_>) -> Stop {
        loop {
            if let Err(stop) = self.run_once::<BULK>(reader, sink) {
                return stop;
            }
        }
    }

    /// Reads the next thing.
    #[inline(always)]
    fn run_once<const BULK: bool>(&mut self, reader: &mut BitReader<'_>, sink: &mut Sink<'_>) -> Result<(), Stop> {
        match self.mode {
            Mode::BlockHeader => self.block_header(reader),
            Mode::StoredHeader => self.stored_header(reader),
            Mode::Stored => self.stored(reader, sink),
            Mode::DynamicHeader => self.dynamic_header(reader),
            Mode::PrecodeLengths => self.precode_lengths(reader),
            Mode::CodeLengths => self.code_lengths(reader),
            Mode::LitLen => {
                if BULK {
                    self.run_bulk(reader, sink);
                }
                if self.mode == Mode::LitLen { self.litlen(reader, sink) } else { Ok(()) }
            }
            Mode::Distance => self.distance(reader, sink),
            Mode::Match => self.rest_of_match(sink),
            Mode::Trailer => self.trailer(reader, sink),
            Mode::Done => Err(Stop::Done),
            // `step` answers before it runs the machine.
            Mode::Failed => Err(Stop::Done),
        }
    }

    /// Decodes literal/length symbols until a match, the end of the block, or a reason for the fast loop to take over.
    fn litlen(&mut self, reader: &mut BitReader<'_>, sink: &mut Sink<'_>) -> Result<(), Stop> {
        loop {
            let (entry, before) = loop {
                let (entry, before) = self.tables.litlen.lookup(reader.bits);
                if before + (entry & 0xff) <= reader.count {
                    break (entry, before);
                }
                if !reader.pull() {
                    return Err(Stop::NeedInput);
                }
            };
            if entry & table::LITERAL != 0 {
                let Some(slot) = sink.output.get_mut(sink.at) else { return Err(Stop::NeedOutput) };
                *slot = (entry >> 16) as u8;
                sink.at += 1;
                reader.skip(before + (entry & 0xff));
                if bulk::has_slack(reader, sink) {
                    return Ok(());
                }
                continue;
            }
            if entry & table::EXCEPTIONAL != 0 {
                if entry & table::BLOCK_END == 0 {
                    return Err(Stop::Bad(InflateError::InvalidLitLenSymbol));
                }
                reader.skip(before + (entry & 0xff));
                self.end_block(reader);
                return Ok(());
            }
            self.left = base_and_extra(entry, reader.bits >> before);
            reader.skip(before + (entry & 0xff));
            self.mode = Mode::Distance;
            return Ok(());
        }
    }

    /// Decodes the distance of a match.
    fn distance(&mut self, reader: &mut BitReader<'_>, sink: &Sink<'_>) -> Result<(), Stop> {
        let (entry, before) = loop {
            let (entry, before) = self.tables.distances.lookup(reader.bits);
            if before + (entry & 0xff) <= reader.count {
                break (entry, before);
            }
            if !reader.pull() {
                return Err(Stop::NeedInput);
            }
        };
        if entry & table::EXCEPTIONAL != 0 {
            return Err(Stop::Bad(InflateError::InvalidDistanceSymbol));
        }
        let distance = base_and_extra(entry, reader.bits >> before);
        let available = (self.window.filled() + sink.at).min(crate::WINDOW_BYTES);
        if usize::from(distance) > available {
            return Err(Stop::Bad(InflateError::DistanceTooFarBack { distance, available: available as u16 }));
        }
        reader.skip(before + (entry & 0xff));
        self.distance = distance;
        self.mode = Mode::Match;
        Ok(())
    }

    /// Copies the rest of a match, as far as there is room.
    fn rest_of_match(&mut self, sink: &mut Sink<'_>) -> Result<(), Stop> {
        let room = sink.output.len() - sink.at;
        let len = usize::from(self.left).min(room);
        copy_match(&self.window, sink.output, sink.at, usize::from(self.distance), len);
        sink.at += len;
        self.left -= len as u16;
        if self.left != 0 {
            return Err(Stop::NeedOutput);
        }
        self.mode = Mode::LitLen;
        Ok(())
    }

    /// Goes on behind a block: to the next, or byte-aligned to the trailer.
    fn end_block(&mut self, reader: &mut BitReader<'_>) {
        if self.final_block {
            reader.align();
            self.mode = Mode::Trailer;
        } else {
            self.mode = Mode::BlockHeader;
        }
    }

    /// Reads the trailer byte by byte and compares it.
    fn trailer(&mut self, reader: &mut BitReader<'_>, sink: &mut Sink<'_>) -> Result<(), Stop> {
        self.fold_checks(sink);
        let need = self.framing.trailer_bytes() as u8;
        while self.trailer_have < need {
            if !reader.hold(8) {
                return Err(Stop::NeedInput);
            }
            let mut field = self.trailer;
            field[usize::from(self.trailer_have)] = reader.peek(8) as u8;
            let word = |at: usize| [field[at], field[at + 1], field[at + 2], field[at + 3]];
            match (self.framing, self.trailer_have) {
                (Framing::ZlibBody, 3) => {
                    let expected = u32::from_be_bytes(word(0));
                    if expected != self.check {
                        return Err(Stop::Bad(InflateError::AdlerMismatch { expected, computed: self.check }));
                    }
                }
                (Framing::GzipBody, 3) => {
                    let expected = u32::from_le_bytes(word(0));
                    if expected != self.check {
                        return Err(Stop::Bad(InflateError::CrcMismatch { expected, computed: self.check }));
                    }
                }
                (Framing::GzipBody, 7) => {
                    let expected = u32::from_le_bytes(word(4));
                    if expected != self.isize {
                        return Err(Stop::Bad(InflateError::IsizeMismatch { expected, computed: self.isize }));
                    }
                }
                _ => {}
            }
            self.trailer = field;
            self.trailer_have += 1;
            reader.skip(8);
        }
        self.mode = Mode::Done;
        Ok(())
    }
}

/// The output of one step.
struct Sink<'a> {
    output: &'a mut [u8],
    /// Bytes written.
    at: usize,
    /// Bytes that the checksum covers.
    checked: usize,
}

/// Returns the base of a length or distance entry plus the extra bits behind its codeword.
#[inline(always)]
fn base_and_extra(entry: u32, bits: u64) -> u16 {
    let codeword = (entry >> 8) & 0xf;
    let total = entry & 0x1f;
    ((entry >> 16) as u64 + ((bits & ((1 << total) - 1)) >> codeword)) as u16
}

/// Copies `len` bytes from `distance` back to `output[at..]`; what lies before `output` comes from the window.
///
/// The caller has checked that `distance` ≤ window + `at` and that the bytes fit.
fn copy_match(window: &Window, output: &mut [u8], mut at: usize, distance: usize, mut len: usize) {
    if distance > at {
        let back = distance - at;
        let from_window = back.min(len);
        window.copy_back(back, &mut output[at..at + from_window]);
        at += from_window;
        len -= from_window;
    }
    if distance >= len {
        output.copy_within(at - distance.min(at)..at - distance.min(at) + len, at);
    } else {
        for i in at..at + len {
            output[i] = output[i - distance];
        }
    }
}
