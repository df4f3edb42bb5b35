//! The codec against an outside judge: zlib-rs behind flate2, whose verdicts are zlib's, and the recorded verdicts of zlib itself.
//!
//! Names begin with the id of the checklist row they show.

mod bad_input;
mod correctness;
mod headers;
mod levels;
mod no_allocator;
mod oracle;
pub(crate) mod own_streams;
mod round_trips;
mod state;
mod streaming;
mod together;
mod vectors;
mod walk;

use deflate::{Deflate, Flush, Framing, Inflate, InflateError, Params, Status};
use std::path::PathBuf;

/// Returns the directory of shared facts: `SHARED_DIR`, or `../shared` beside the workspace. Says so and returns nothing when it is absent.
pub(crate) fn shared_dir(what: &str, test: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SHARED_DIR")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")), PathBuf::from);
    let dir = root.join(what);
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("{test}: SKIPPED, no directory {} (set SHARED_DIR)", dir.display());
    None
}

/// A repeatable source of numbers.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// English-like text: words of a small vocabulary, so that there are matches at all distances.
fn text(len: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng(seed);
    let words: Vec<Vec<u8>> =
        (0..400).map(|_| (0..2 + rng.below(9)).map(|_| b'a' + rng.below(26).min(rng.0 as usize % 26) as u8).collect()).collect();
    let mut out = Vec::with_capacity(len + 16);
    while out.len() < len {
        let word = rng.below(400).min(rng.below(400));
        out.extend_from_slice(&words[word]);
        out.push(if rng.below(12) == 0 { b'\n' } else { b' ' });
    }
    out.truncate(len);
    out
}

/// Inputs of different nature, each with its name.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let mut rng = Rng(11);
    let mut fibonacci = Vec::new();
    let (mut a, mut b) = (1usize, 1usize);
    for symbol in 0..22u8 {
        fibonacci.extend(std::iter::repeat_n(symbol, a));
        (a, b) = (b, a + b);
    }
    for i in (1..fibonacci.len()).rev() {
        fibonacci.swap(i, rng.below(i + 1));
    }
    let mut mixed = text(40_000, 5);
    mixed.extend(rng.bytes(90_000));
    mixed.extend(text(50_000, 6));
    let json: Vec<u8> =
        (0..3000).flat_map(|i| format!("{{\"id\": {i}, \"value\": {}, \"on\": {}}},\n", i * i % 977, i % 3 == 0).into_bytes()).collect();
    vec![
        ("one byte", vec![b'x']),
        ("two bytes", vec![b'x', b'x']),
        ("three bytes", b"abc".to_vec()),
        ("zeros", vec![0; 200_000]),
        ("text", text(150_000, 1)),
        ("random", rng.bytes(150_000)),
        ("fibonacci weights", fibonacci),
        ("text, random, text", mixed),
        ("json", json),
        ("two symbols", (0..70_000).map(|_| if rng.below(9) == 0 { b'1' } else { b'0' }).collect()),
        ("period 32768", rng.bytes(32768).repeat(3)),
        ("period 32769", rng.bytes(32769).repeat(3)),
        ("short periods", (0..60_000usize).map(|i| (i % (1 + i / 5000)) as u8).collect()),
    ]
}

/// How a decoding went.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Done,
    Truncated,
    Bad(InflateError),
}

/// What a decoder made of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    output: Vec<u8>,
    consumed: usize,
    verdict: Verdict,
}

/// Decodes in pieces: `input_piece` and `output_piece` give the sizes of the slices of each step.
fn inflate_pieces(
    stream: &[u8],
    framing: Framing,
    mut input_piece: impl FnMut() -> usize,
    mut output_piece: impl FnMut() -> usize,
) -> Decoded {
    let mut inflate = Box::new(Inflate::new());
    inflate.reset(framing);
    let mut decoded = Decoded { output: Vec::new(), consumed: 0, verdict: Verdict::Truncated };
    let mut buffer = vec![0xa5; 1 << 16];
    let mut idle = 0;
    loop {
        let input_len = input_piece().min(stream.len() - decoded.consumed);
        let output_len = output_piece().min(buffer.len());
        let input = &stream[decoded.consumed..decoded.consumed + input_len];
        let progress = inflate.step(input, &mut buffer[..output_len]);
        assert!(progress.consumed <= input_len && progress.produced <= output_len);
        decoded.consumed += progress.consumed;
        decoded.output.extend_from_slice(&buffer[..progress.produced]);
        assert_eq!(inflate.total_in(), decoded.consumed as u64);
        assert_eq!(inflate.total_out(), decoded.output.len() as u64);
        assert!(inflate.tail_bits().1 < 40);
        // A step that moves nothing is only right when one side is empty.
        idle = if progress.consumed + progress.produced == 0 { idle + 1 } else { 0 };
        assert!(idle < 10_000, "no progress at {} of {}", decoded.consumed, stream.len());
        match progress.status {
            Status::Done => decoded.verdict = Verdict::Done,
            Status::Error(error) => decoded.verdict = Verdict::Bad(error),
            Status::NeedInput => {
                assert_eq!(progress.consumed, input_len, "NeedInput means that all was consumed");
                if decoded.consumed == stream.len() {
                    return decoded;
                }
                continue;
            }
            Status::NeedOutput => {
                assert_eq!(progress.produced, output_len, "NeedOutput means that the output is full");
                continue;
            }
        }
        return decoded;
    }
}

/// Decodes in one step per 64 KiB of output.
fn inflate(stream: &[u8], framing: Framing) -> Decoded {
    inflate_pieces(stream, framing, || usize::MAX, || usize::MAX)
}

/// Compresses in pieces; every step flushes with what `flush` says while input remains, and the last with `Finish`.
fn deflate_pieces(
    input: &[u8],
    params: Params,
    mut input_piece: impl FnMut() -> usize,
    mut output_piece: impl FnMut() -> usize,
    mut flush: impl FnMut() -> Flush,
) -> Vec<u8> {
    let mut deflate = Box::new(Deflate::new());
    deflate.reset(params);
    let mut stream = Vec::new();
    let mut buffer = vec![0xa5; 1 << 17];
    let mut at = 0;
    let mut pending: Option<(usize, Flush)> = None;
    loop {
        let (end, how) = pending.take().unwrap_or_else(|| {
            let end = at + input_piece().min(input.len() - at);
            (end, if end == input.len() { Flush::Finish } else { flush() })
        });
        let output_len = output_piece().min(buffer.len());
        let progress = deflate.step(&input[at..end], &mut buffer[..output_len], how);
        at += progress.consumed;
        stream.extend_from_slice(&buffer[..progress.produced]);
        assert_eq!((deflate.total_in(), deflate.total_out()), (at as u64, stream.len() as u64));
        match progress.status {
            Status::Done => {
                assert_eq!(at, input.len());
                return stream;
            }
            Status::NeedInput => assert_eq!(at, end, "NeedInput means that all was consumed"),
            Status::NeedOutput => {
                assert_eq!(progress.produced, output_len, "NeedOutput means that the output is full");
                pending = Some((end, how));
            }
            Status::Error(error) => panic!("{error:?}"),
        }
    }
}

/// Compresses in one go.
fn compress(input: &[u8], params: Params) -> Vec<u8> {
    deflate_pieces(input, params, || usize::MAX, || usize::MAX, || Flush::None)
}

/// What the judge made of a stream: output, consumed, and an error text.
struct Judged {
    output: Vec<u8>,
    consumed: usize,
    verdict: Result<flate2::Status, String>,
}

/// Which wrapper the judge is to expect; it reads the header too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrapper {
    Raw,
    Zlib,
    Gzip,
}

/// Decodes with the judge.
fn judge(stream: &[u8], wrapper: Wrapper) -> Judged {
    let mut decoder = match wrapper {
        Wrapper::Raw => flate2::Decompress::new(false),
        Wrapper::Zlib => flate2::Decompress::new(true),
        Wrapper::Gzip => flate2::Decompress::new_gzip(15),
    };
    let mut output = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    let verdict = loop {
        let (before_in, before_out) = (decoder.total_in() as usize, decoder.total_out() as usize);
        let result = decoder.decompress(&stream[before_in..], &mut buffer, flate2::FlushDecompress::None);
        let (after_in, after_out) = (decoder.total_in() as usize, decoder.total_out() as usize);
        output.extend_from_slice(&buffer[..after_out - before_out]);
        match result {
            Ok(flate2::Status::Ok) if (after_in, after_out) != (before_in, before_out) => {}
            Ok(status) => break Ok(status),
            Err(error) => break Err(error.message().unwrap_or("").to_owned()),
        }
    };
    Judged { output, consumed: decoder.total_in() as usize, verdict }
}

/// Compresses with the judge. Raw has no header; zlib has two bytes, gzip ten.
fn judge_compress(input: &[u8], wrapper: Wrapper, level: u32) -> Vec<u8> {
    let level = flate2::Compression::new(level);
    let mut encoder = match wrapper {
        Wrapper::Raw => flate2::Compress::new(level, false),
        Wrapper::Zlib => flate2::Compress::new(level, true),
        Wrapper::Gzip => flate2::Compress::new_gzip(level, 15),
    };
    let mut stream = Vec::with_capacity(input.len() + input.len() / 8 + 1024);
    let status = encoder.compress_vec(input, &mut stream, flate2::FlushCompress::Finish).unwrap();
    assert_eq!(status, flate2::Status::StreamEnd);
    stream
}

/// Puts the header of the wrapper in front of a body.
fn with_header(body: &[u8], framing: Framing) -> (Vec<u8>, Wrapper) {
    let (header, wrapper): (&[u8], _) = match framing {
        Framing::Raw => (&[], Wrapper::Raw),
        Framing::ZlibBody => (&deflate::zlib::ZLIB_HEADER, Wrapper::Zlib),
        Framing::GzipBody => (&deflate::gzip::GZIP_HEADER, Wrapper::Gzip),
    };
    ([header, body].concat(), wrapper)
}

const FRAMINGS: [Framing; 3] = [Framing::Raw, Framing::ZlibBody, Framing::GzipBody];

/// Parses a string of hex digits.
fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect()
}
