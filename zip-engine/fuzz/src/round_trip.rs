//! Round trips: what ours makes, judges decode, and so does ours in any pieces. Shared with the host suites, which have other judges.

use super::data::{Random, structured};
use deflate::{Deflate, Flush, Framing, Inflate, Params, Status};

/// The three framings.
pub const FRAMINGS: [Framing; 3] = [Framing::Raw, Framing::ZlibBody, Framing::GzipBody];

/// The parameters of every level that the codec has, with a name.
pub fn levels(framing: Framing) -> Vec<(&'static str, Params)> {
    vec![("fastest", Params::new(framing))]
}

/// Compresses; each step has as much output as `room` says.
pub fn compress(deflate: &mut Deflate, input: &[u8], params: Params, mut room: impl FnMut() -> usize) -> Vec<u8> {
    deflate.reset(params);
    let (mut at, mut stream, mut buffer) = (0, Vec::new(), vec![0xa5; 1 << 16]);
    loop {
        let room = room().clamp(1, buffer.len());
        let progress = deflate.step(&input[at..], &mut buffer[..room], Flush::Finish);
        at += progress.consumed;
        stream.extend_from_slice(&buffer[..progress.produced]);
        match progress.status {
            Status::Done => {
                assert_eq!(at, input.len());
                return stream;
            }
            Status::NeedOutput => assert_eq!(progress.produced, room),
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
pub fn check(data: &[u8], seed: u64, judges: &[NamedJudge<'_>], contexts: &mut (Box<Deflate>, Box<Inflate>)) {
    let (deflate, inflate) = contexts;
    let mut random = Random(seed);
    for framing in FRAMINGS {
        for (level, params) in levels(framing) {
            let what = format!("buffer of seed {seed}, {} bytes, {level}, {framing:?}", data.len());
            let body = compress(deflate, data, params, || usize::MAX);
            for (name, judge) in judges {
                assert!(judge(&body, framing, data.len()).as_deref() == Some(data), "{what}: not decoded by {name}");
            }
            assert!(
                decompress(inflate, &body, framing, || usize::MAX, || usize::MAX).as_deref() == Some(data),
                "{what}: not decoded by ours"
            );
            // Pieces of some size, single bytes among them, make no difference.
            let (a, b, c) = (size(&mut random), size(&mut random), size(&mut random));
            let mut cuts = Random(seed ^ 1);
            assert!(compress(deflate, data, params, || 1 + cuts.below(a)) == body, "{what}: output in pieces of up to {a}");
            let (mut inputs, mut outputs) = (Random(seed ^ 2), Random(seed ^ 3));
            let cut = decompress(inflate, &body, framing, || 1 + inputs.below(b), || 1 + outputs.below(c));
            assert!(cut.as_deref() == Some(data), "{what}: pieces of up to {b} and {c}");
        }
    }
}

fn size(random: &mut Random) -> usize {
    [1, 2, 7, 100, 3000, 30_000][random.below(6)]
}

/// `count` buffers, random and structured by turns.
pub fn run(count: u64, first_seed: u64, judges: &[NamedJudge<'_>]) {
    let mut contexts = (Box::new(Deflate::new()), Box::new(Inflate::new()));
    for number in 0..count {
        let seed = first_seed.wrapping_add(number);
        let mut random = Random(seed);
        let data = if number % 4 == 0 {
            let len = random.below_one_of(&[3, 300, 5000, 100_000]);
            random.bytes(len)
        } else {
            structured(&mut random, 200_000)
        };
        check(&data, seed, judges, &mut contexts);
    }
}
