//! Requests that wait in a queue, two at once, interleaved symbol by symbol: what a queue with more than one entry gains over one after the other.
//!
//! Every stream runs its own machine; only where it stands between symbols of a block with slack on both sides does it join the loop for two, and only if the
//! block's code says that this pays. Each ends as it would have ended alone.

use super::bits::BitReader;
use super::{Codes, Inflate, InflateError, Mode, Sink, Stop};
use crate::constants::*;
use crate::fast::position::held_at;
use crate::fast::together::{Lane, decode, has_slack};
use crate::status::{Framing, Progress, Status};

/// A whole stream to decompress, and what came of it.
pub struct Request<'a> {
    framing: Framing,
    input: &'a [u8],
    output: &'a mut [u8],
    /// What [`Inflate::step`] would have returned. A stream that is not done when its input or its room ends has to be begun anew.
    pub progress: Progress<InflateError>,
    /// The checksum of the output: Adler-32, CRC-32 or 0, by the framing.
    pub check: u32,
}

impl<'a> Request<'a> {
    /// Returns a request of a stream that is all in `input` and whose output `output` has room for.
    pub fn new(framing: Framing, input: &'a [u8], output: &'a mut [u8]) -> Self {
        Request { framing, input, output, progress: Progress { consumed: 0, produced: 0, status: Status::NeedInput }, check: 0 }
    }
}

/// Decompresses requests, two at a time. Every request gets the result that it would have got alone.
///
/// What the contexts held is lost.
pub fn inflate_together(contexts: &mut [Inflate; 2], requests: &mut [Request<'_>]) {
    let mut queue = requests.iter_mut();
    let [a, b] = contexts;
    let mut streams = [Stream::next(a, &mut queue), Stream::next(b, &mut queue)];
    while let [Some(a), Some(b)] = &mut streams {
        let mut lanes = [a.lane(), b.lane()];
        let stopped = decode(lanes.each_mut());
        let [place_of_a, place_of_b] = lanes.map(|lane| (lane.position, lane.at));
        a.go_to(place_of_a);
        b.go_to(place_of_b);
        streams[stopped] = match streams[stopped].take().map(Stream::go_on) {
            Some(Err(free)) => Stream::next(free, &mut queue),
            other => other.and_then(Result::ok),
        };
    }
    // The queue is empty: a stream is missing.
    for stream in streams.into_iter().flatten() {
        stream.go_on_alone();
    }
}

/// Returns whether symbols of the block are worth interleaving, as far as the lengths of its codewords tell.
///
/// Runs of literals are what the loop for one stream is best at: where more than three in four symbols are literals, both are alike or it wins. Long matches
/// are copied in a branch, which is guessed wrong where they are neither rare nor the rule.
fn pays(inflate: &Inflate) -> bool {
    if inflate.codes != Codes::Dynamic {
        return true;
    }
    let lengths = &inflate.lengths[..usize::from(inflate.hlit)];
    // A codeword of n bits stands for one symbol in 2^n.
    let share = |lengths: &[u8]| lengths.iter().map(|&length| if length == 0 { 0 } else { 1 << CODEWORD_BITS_MAX >> length }).sum::<u32>();
    let (literals, rest) = lengths.split_at(END_OF_BLOCK);
    let (matches, long) = (share(rest), share(rest.get(FIRST_LONG - END_OF_BLOCK..).unwrap_or(&[])));
    4 * share(literals) <= 3 << CODEWORD_BITS_MAX && 10 * long <= matches
}

/// Symbol of the shortest of the lengths that are all more than 32.
const FIRST_LONG: usize = 273;

/// A request that is being decompressed.
struct Stream<'a> {
    inflate: &'a mut Inflate,
    reader: BitReader<'a>,
    sink: Sink<'a>,
    /// Whether the block is worth interleaving.
    pays: bool,
    progress: &'a mut Progress<InflateError>,
    check: &'a mut u32,
}

impl<'a> Stream<'a> {
    /// Begins requests until one comes to where it can be interleaved; those that end before are complete. `None` when no more are left.
    fn next<'r: 'a>(mut inflate: &'a mut Inflate, queue: &mut core::slice::IterMut<'a, Request<'r>>) -> Option<Self> {
        for Request { framing, input, output, progress, check } in queue {
            inflate.reset(*framing);
            let reader = BitReader { input, at: 0, bits: 0, count: 0 };
            let sink = Sink { output, at: 0, checked: 0 };
            match (Stream { inflate, reader, sink, pays: false, progress, check }).run() {
                Ok(stream) => return Some(stream),
                Err(free) => inflate = free,
            }
        }
        None
    }

    /// Runs the machine until the stream can be interleaved. Gives the context back when it ends.
    fn run(mut self) -> Result<Self, &'a mut Inflate> {
        loop {
            let mode = self.inflate.mode;
            if mode == Mode::LitLen && self.pays && has_slack(self.reader.input, self.position(), self.sink.output, self.sink.at) {
                return Ok(self);
            }
            if let Err(stop) = self.inflate.run_once::<true>(&mut self.reader, &mut self.sink) {
                return Err(self.end(stop));
            }
            // At the beginning of a block.
            if matches!(mode, Mode::BlockHeader | Mode::CodeLengths) && self.inflate.mode == Mode::LitLen {
                self.pays = pays(self.inflate);
            }
        }
    }

    /// Goes on behind the loop for two: past a symbol that it would not touch, then as [`Stream::run`].
    fn go_on(mut self) -> Result<Self, &'a mut Inflate> {
        // Between the symbols of a block, as the loop leaves it.
        match self.inflate.litlen(&mut self.reader, &mut self.sink) {
            Ok(()) => self.run(),
            Err(stop) => Err(self.end(stop)),
        }
    }

    /// Runs the machine to the end.
    fn go_on_alone(mut self) {
        let stop = self.inflate.run::<true>(&mut self.reader, &mut self.sink);
        self.end(stop);
    }

    fn end(mut self, stop: Stop) -> &'a mut Inflate {
        *self.progress = self.inflate.end_step(&mut self.reader, &mut self.sink, stop);
        *self.check = self.inflate.check;
        self.inflate
    }

    /// Returns the bits of the input that were used: at least those of the block's header.
    fn position(&self) -> usize {
        8 * self.reader.at - self.reader.count as usize
    }

    fn lane(&mut self) -> Lane<'_> {
        Lane {
            input: self.reader.input,
            position: self.position(),
            output: self.sink.output,
            at: self.sink.at,
            tables: &self.inflate.tables,
        }
    }

    /// Stands where the loop has come to.
    fn go_to(&mut self, (position, at): (usize, usize)) {
        let reader = &mut self.reader;
        (reader.at, reader.count, reader.bits) = held_at(reader.input, position as u64);
        self.sink.at = at;
    }
}
