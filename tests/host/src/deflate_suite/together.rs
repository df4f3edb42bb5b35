//! Queued requests: each gets what it would have got alone.

use super::*;
use deflate::{Request, inflate_together};

/// A stream, its framing, and how long its output is.
type Packed = (Vec<u8>, Framing, usize);

/// Streams of several encoders, of text above all: what is literals for the most part is not interleaved.
fn streams() -> Vec<Packed> {
    let mut plains: Vec<Vec<u8>> = samples().into_iter().map(|(_, sample)| sample).collect();
    for len in [0, 1, 30, 300, 4096, 5000, 20_000] {
        plains.push(text(len, len as u64));
    }
    // Runs, and copies of copies.
    plains.push((0..9000).map(|i| b"abab cabd "[i % (2 + i / 1200)]).collect());
    let mut streams = Vec::new();
    for plain in plains {
        let plain = &plain[..plain.len().min(20_000)];
        for level in [1, 6] {
            streams.push((judge_compress(plain, Wrapper::Raw, level), Framing::Raw, plain.len()));
        }
        for framing in [Framing::Raw, Framing::ZlibBody, Framing::GzipBody] {
            streams.push((compress(plain, Params::new(framing)), framing, plain.len()));
        }
    }
    streams
}

/// Decodes all together and each alone, and compares.
fn compare(packed: &[Packed], rooms: &[usize], contexts: &mut [Inflate; 2], what: &str) {
    let mut outputs: Vec<Vec<u8>> = rooms.iter().map(|&room| vec![0xa5; room]).collect();
    let mut requests: Vec<Request> =
        packed.iter().zip(&mut outputs).map(|((stream, framing, _), output)| Request::new(*framing, stream, output)).collect();
    inflate_together(contexts, &mut requests);
    let results: Vec<_> = requests.iter().map(|request| (request.progress, request.check)).collect();
    let mut alone = Box::new(Inflate::new());
    for (i, (((stream, framing, _), output), (progress, check))) in packed.iter().zip(&outputs).zip(results).enumerate() {
        let mut expected = vec![0; output.len()];
        alone.reset(*framing);
        let wanted = alone.step_carefully(stream, &mut expected);
        let consumed_and_produced = |progress: &deflate::Progress<InflateError>| (progress.consumed, progress.produced);
        assert_eq!(progress.status, wanted.status, "{what}, request {i}");
        assert_eq!(consumed_and_produced(&progress), consumed_and_produced(&wanted), "{what}, request {i}");
        assert_eq!(check, alone.check(), "{what}, request {i}");
        assert!(output[..progress.produced] == expected[..wanted.produced], "{what}, request {i}: the outputs differ");
    }
}

fn contexts() -> Box<[Inflate; 2]> {
    Box::new([Inflate::new(), Inflate::new()])
}

#[test]
fn zp_f01_queued_requests_get_what_they_get_alone() {
    let streams = streams();
    let mut contexts = contexts();
    let mut rng = Rng(70);
    for round in 0..250 {
        let packed: Vec<Packed> = (0..rng.below(7)).map(|_| streams[rng.below(streams.len())].clone()).collect();
        let rooms: Vec<usize> = packed
            .iter()
            .map(|(_, _, len)| match rng.below(4) {
                0 => len + rng.below(100),
                1 => len.saturating_sub(rng.below(100)),
                _ => *len,
            })
            .collect();
        compare(&packed, &rooms, &mut contexts, &format!("round {round}"));
    }
}

#[test]
fn zp_f01_queued_requests_that_are_bad_or_cut_get_what_they_get_alone() {
    let streams = streams();
    let mut contexts = contexts();
    let mut rng = Rng(71);
    for round in 0..800 {
        let mut packed: Vec<Packed> = (0..2 + rng.below(3)).map(|_| streams[rng.below(streams.len())].clone()).collect();
        for (stream, _, _) in &mut packed {
            match rng.below(4) {
                0 => stream.truncate(rng.below(stream.len() + 1)),
                1 => {}
                _ if stream.is_empty() => {}
                _ => {
                    let at = rng.below(stream.len());
                    stream[at] ^= 1 << rng.below(8);
                }
            }
        }
        let rooms: Vec<usize> = packed.iter().map(|(_, _, len)| len + rng.below(2) * rng.below(600)).collect();
        compare(&packed, &rooms, &mut contexts, &format!("round {round}"));
    }
}
