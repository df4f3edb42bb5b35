//! Round trips: what ours makes, judges decode, and so does ours in any pieces. Shared with the host suites, which have other judges.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::data::{Random, structured};
use deflate::{
    Compressor, Deflate, DeflateBalanced, DeflateBest, DeflateError, DeflateHigh, Finder, Flush, Framing, Inflate, Params, Progress, Status,
};

/// The three framings.
pub const FRAMINGS: [Framing; 3] = [Framing::Raw, Framing::ZlibBody, Framing::GzipBody];

/// A compressor of any level.
pub trait AnyLevel {
    /// Goes before a new stream.
    fn reset(&mut self, params: Params);
    /// Compresses `input` into `output`.
    fn step(&mut self, input: &[u8], output: &mut [u8], flush: Flush) -> Progress<DeflateError>;
}

impl<F: Finder> AnyLevel for Compressor<F> {
    fn reset(&mut self, params: Params) {
        Compressor::reset(self, params);
    }

    fn step(&mut self, input: &[u8], output: &mut [u8], flush: Flush) -> Progress<DeflateError> {
        Compressor::step(self, input, output, flush)
    }
}

/// A compressor of every level that the codec has. They are reused from stream to stream: nothing of the last one may show.
pub struct Levels {
    fastest: Deflate,
    balanced: DeflateBalanced,
    high: DeflateHigh,
    best: DeflateBest,
}

impl Levels {
    /// Every compressor, with a name.
    pub fn each(&mut self) -> [(&'static str, &mut dyn AnyLevel); 4] {
        [("fastest", &mut self.fastest), ("balanced", &mut self.balanced), ("high", &mut self.high), ("best", &mut self.best)]
    }
}

/// The compressors: too large for a stack. Whoever panicked with them leaves them fit for a reset.
pub fn levels() -> MutexGuard<'static, Levels> {
    static LEVELS: Mutex<Levels> = Mutex::new(Levels {
        fastest: Deflate::new(),
        balanced: DeflateBalanced::new(),
        high: DeflateHigh::new(),
        best: DeflateBest::new(),
    });
    LEVELS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compresses; each step has as much input and output as the functions say.
pub fn compress(
    deflate: &mut dyn AnyLevel,
    input: &[u8],
    params: Params,
    mut piece: impl FnMut() -> usize,
    mut room: impl FnMut() -> usize,
) -> Vec<u8> {
    deflate.reset(params);
    let (mut at, mut stream, mut buffer) = (0, Vec::new(), vec![0xa5; 1 << 16]);
    let mut end = 0;
    loop {
        // After a full output the same input is offered again.
        if at == end {
            end = input.len().min(at + piece().clamp(1, 1 << 30));
        }
        let room = room().clamp(1, buffer.len());
        let flush = if end == input.len() { Flush::Finish } else { Flush::None };
        let progress = deflate.step(&input[at..end], &mut buffer[..room], flush);
        at += progress.consumed;
        stream.extend_from_slice(&buffer[..progress.produced]);
        match progress.status {
            Status::Done => {
                assert_eq!(at, input.len());
                return stream;
            }
            Status::NeedOutput => assert_eq!(progress.produced, room),
            Status::NeedInput if at == end && end < input.len() => {}
            other => panic!("{other:?} at {at} of {}", input.len()),
        }
    }
}

/// Decompresses one whole stream; each step has as much input and output as the functions say. `None` if it is bad or ends early.
pub fn decompress(
    inflate: &mut Inflate,
    stream: &[u8],
    framing: Framing,
    mut piece: impl FnMut() -> usize,
    mut room: impl FnMut() -> usize,
) -> Option<Vec<u8>> {
    inflate.reset(framing);
    let (mut at, mut output, mut buffer) = (0, Vec::new(), vec![0x5a; 1 << 16]);
    loop {
        let end = stream.len().min(at + piece().clamp(1, 1 << 30));
        let room = room().clamp(1, buffer.len());
        let progress = inflate.step(&stream[at..end], &mut buffer[..room]);
        at += progress.consumed;
        output.extend_from_slice(&buffer[..progress.produced]);
        match progress.status {
            Status::Done => return (at == stream.len()).then_some(output),
            Status::NeedInput if at == stream.len() => return None,
            Status::Error(_) => return None,
            Status::NeedInput | Status::NeedOutput => {}
        }
    }
}

/// A judge and its name.
pub type NamedJudge<'j> = (&'j str, &'j dyn Fn(&[u8], Framing, usize) -> Option<Vec<u8>>);

/// One buffer at every level in every framing.
pub fn check(data: &[u8], seed: u64, judges: &[NamedJudge<'_>], levels: &mut Levels, inflate: &mut Inflate) {
    let mut random = Random(seed);
    for framing in FRAMINGS {
        for (level, deflate) in levels.each() {
            let what = format!("buffer of seed {seed}, {} bytes, {level}, {framing:?}", data.len());
            let params = Params::new(framing);
            let body = compress(deflate, data, params, || usize::MAX, || usize::MAX);
            for (name, judge) in judges {
                assert!(judge(&body, framing, data.len()).as_deref() == Some(data), "{what}: not decoded by {name}");
            }
            assert!(
                decompress(inflate, &body, framing, || usize::MAX, || usize::MAX).as_deref() == Some(data),
                "{what}: not decoded by ours"
            );
            // Pieces of some size, single bytes among them, make no difference; one framing will do.
            if framing != FRAMINGS[(seed % 3) as usize] {
                continue;
            }
            let (a, b, c, d) = (size(&mut random), size(&mut random), size(&mut random), size(&mut random));
            let mut cuts = Random(seed ^ 1);
            assert!(compress(deflate, data, params, || usize::MAX, || 1 + cuts.below(a)) == body, "{what}: output in pieces of up to {a}");
            let (mut inputs, mut outputs) = (Random(seed ^ 2), Random(seed ^ 3));
            let cut = decompress(inflate, &body, framing, || 1 + inputs.below(b), || 1 + outputs.below(c));
            assert!(cut.as_deref() == Some(data), "{what}: pieces of up to {b} and {c}");
            // Where the data is incompressible, stored blocks are what the step sees of it: another stream of the same data.
            let mut pieces = Random(seed ^ 4);
            let pieced = compress(deflate, data, params, || 1 + pieces.below(d), || usize::MAX);
            assert!(
                pieced == body || decompress(inflate, &pieced, framing, || usize::MAX, || usize::MAX).as_deref() == Some(data),
                "{what}: input in pieces of up to {d}"
            );
        }
    }
}

fn size(random: &mut Random) -> usize {
    [1, 2, 7, 100, 3000, 30_000][random.below(6)]
}

/// `count` buffers, random and structured by turns, of at most `longest` bytes.
pub fn run(count: u64, first_seed: u64, longest: usize, judges: &[NamedJudge<'_>]) {
    let (mut levels, mut inflate) = (levels(), Box::new(Inflate::new()));
    for number in 0..count {
        let seed = first_seed.wrapping_add(number);
        let mut random = Random(seed);
        let data = if number % 4 == 0 {
            let len = random.below_one_of(&[3, 300, 5000, longest / 2]);
            random.bytes(len)
        } else {
            structured(&mut random, longest)
        };
        check(&data, seed, judges, &mut levels, &mut inflate);
    }
}
