//! The fast loops against the careful path: one and the same outcome for every stream and every cut.

use super::*;
use std::time::{Duration, Instant};

/// What one decoder made of a stream: output, consumed, verdict, offset of the fault.
fn outcome(stream: &[u8], framing: Framing, careful: bool, seed: u64, limit: usize) -> (Decoded, Option<u64>) {
    let mut inflate = Box::new(Inflate::new());
    inflate.reset(framing);
    let mut rng = Rng(seed);
    let mut decoded = Decoded { output: Vec::new(), consumed: 0, verdict: Verdict::Truncated };
    let mut buffer = vec![0xa5; limit];
    loop {
        let end = stream.len().min(decoded.consumed + 1 + rng.below(limit));
        let room = 1 + rng.below(limit);
        let input = &stream[decoded.consumed..end];
        let progress = if careful { inflate.step_carefully(input, &mut buffer[..room]) } else { inflate.step(input, &mut buffer[..room]) };
        decoded.consumed += progress.consumed;
        decoded.output.extend_from_slice(&buffer[..progress.produced]);
        match progress.status {
            Status::Done => decoded.verdict = Verdict::Done,
            Status::Error(error) => decoded.verdict = Verdict::Bad(error),
            Status::NeedInput if decoded.consumed == stream.len() => {}
            Status::NeedInput | Status::NeedOutput => continue,
        }
        return (decoded, inflate.error_offset());
    }
}

fn agree(stream: &[u8], framing: Framing, seed: u64, limit: usize, what: &str) -> Verdict {
    let (fast, fast_offset) = outcome(stream, framing, false, seed, limit);
    let (careful, careful_offset) = outcome(stream, framing, true, seed, limit);
    assert_eq!((&fast.verdict, fast.consumed, fast_offset), (&careful.verdict, careful.consumed, careful_offset), "{what}");
    assert!(fast.output == careful.output, "{what}: the outputs differ");
    fast.verdict
}

/// Streams of all encoders and levels at hand.
fn streams() -> Vec<Vec<u8>> {
    let mut streams = Vec::new();
    for (_, sample) in samples() {
        for level in [0, 1, 4, 6, 9] {
            streams.push(judge_compress(&sample, Wrapper::Raw, level));
        }
        streams.push(compress(&sample, Params::new(Framing::Raw)));
    }
    streams
}

#[test]
fn zp_f01_the_fast_loop_is_the_careful_path_on_good_streams_cut_anywhere() {
    for (i, stream) in streams().iter().enumerate() {
        for limit in [1 << 20, 70_000, 3000, 400, 40] {
            let verdict = agree(stream, Framing::Raw, i as u64, limit, &format!("stream {i}, pieces of {limit}"));
            assert_eq!(verdict, Verdict::Done);
        }
    }
}

#[test]
fn zp_f01_the_fast_loop_is_the_careful_path_on_damaged_streams() {
    let mut rng = Rng(60);
    let streams: Vec<Vec<u8>> = streams().into_iter().map(|stream| stream[..stream.len().min(6000)].to_vec()).collect();
    let (mut good, mut bad) = (0, 0);
    for round in 0..12_000 {
        let mut stream = streams[rng.below(streams.len())].clone();
        for _ in 0..1 + rng.below(3) {
            let range = if rng.below(2) == 0 { stream.len().min(100) } else { stream.len() };
            let at = rng.below(range);
            stream[at] ^= 1 << rng.below(8);
        }
        let limit = [1 << 17, 2000, 350][rng.below(3)];
        match agree(&stream, Framing::Raw, round, limit, &format!("round {round}")) {
            Verdict::Bad(_) => bad += 1,
            _ => good += 1,
        }
    }
    assert!(good > 500 && bad > 500, "{good} {bad}");
}

#[test]
fn zp_f01_the_fast_loop_is_the_careful_path_on_noise_behind_a_fixed_header() {
    let mut rng = Rng(61);
    for round in 0..20_000 {
        // History first, so that distances reach something, then a fixed block of noise.
        let history = rng.below(3000);
        let mut stream = vec![0, history as u8, (history >> 8) as u8, !history as u8, (!history >> 8) as u8];
        stream.extend(rng.bytes(history));
        let len = 1 + rng.below(2000);
        let noise = rng.bytes(len);
        stream.push(noise[0] & !7 | 0b011);
        stream.extend_from_slice(&noise[1..]);
        let limit = [1 << 17, 2000, 350][rng.below(3)];
        agree(&stream, Framing::Raw, round, limit, &format!("round {round}"));
    }
}

#[test]
fn zp_f02_both_paths_may_alternate_within_a_stream() {
    let mut rng = Rng(62);
    for (name, sample) in samples() {
        let stream = judge_compress(&sample, Wrapper::Gzip, 6);
        let mut inflate = Box::new(Inflate::new());
        inflate.reset(Framing::GzipBody);
        let (mut at, mut output, mut buffer) = (10, Vec::new(), vec![0; 9000]);
        loop {
            let end = stream.len().min(at + rng.below(4000));
            let room = rng.below(9000);
            let (input, room) = (&stream[at..end], &mut buffer[..room]);
            let progress = if rng.below(2) == 0 { inflate.step(input, room) } else { inflate.step_carefully(input, room) };
            at += progress.consumed;
            output.extend_from_slice(&buffer[..progress.produced]);
            match progress.status {
                Status::Done => break,
                Status::Error(error) => panic!("{name}: {error:?}"),
                _ => {}
            }
        }
        assert!(at == stream.len() && output == sample, "{name}");
    }
}

/// Random data of random structure: noise, few symbols, repeats, runs.
fn structured(rng: &mut Rng) -> Vec<u8> {
    let mut data = Vec::new();
    for _ in 0..rng.below(60) {
        let len = 1 + rng.below(900);
        match rng.below(4) {
            0 => data.extend(rng.bytes(len)),
            1 => data.extend((0..len).map(|_| b'a' + rng.below(6).min(rng.below(6)) as u8)),
            2 => data.extend(std::iter::repeat_n(rng.next() as u8, len)),
            _ if data.is_empty() => {}
            _ => {
                let distance = 1 + rng.below(data.len().min(40_000));
                for _ in 0..len {
                    data.push(data[data.len() - distance]);
                }
            }
        }
    }
    data
}

/// Runs for `DEFLATE_FUZZ_SECONDS`, three by default, from `DEFLATE_FUZZ_SEED`: our streams through the judge, and damaged streams of both encoders with the
/// judge's verdict, the careful path's, and the fast loop's.
#[test]
fn zp_f03_both_paths_and_the_judge_agree_for_some_time() {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let time = Duration::from_secs(number("DEFLATE_FUZZ_SECONDS", 3));
    let mut rng = Rng(number("DEFLATE_FUZZ_SEED", 63));
    let start = Instant::now();
    let mut rounds = 0;
    while start.elapsed() < time {
        let what = format!("round {rounds}");
        let data = structured(&mut rng);
        let ours = compress(&data, Params::new(Framing::Raw));
        assert!(judge(&ours, Wrapper::Raw).output == data, "{what}");
        let level = rng.below(10) as u32;
        let mut stream = if rng.below(2) == 0 { ours } else { judge_compress(&data, Wrapper::Raw, level) };
        for _ in 0..rng.below(4) {
            let at = rng.below(stream.len());
            stream[at] ^= 1 << rng.below(8);
        }
        super::bad_input::agree(&stream, &what);
        let limit = [1 << 17, 5000, 400][rng.below(3)];
        agree(&stream, Framing::Raw, rounds, limit, &what);
        rounds += 1;
    }
    assert!(rounds > 10, "{rounds}");
}
