//! Every cut of input and output gives what one shot gives.

use super::*;
use deflate::FinalBlock;

/// Samples with stored blocks.
pub(super) const INCOMPRESSIBLE: [&str; 4] = ["random", "text, random, text", "period 32768", "period 32769"];

/// Streams of all block kinds, small enough for every cut.
fn small_streams() -> Vec<(Framing, Vec<u8>)> {
    let mut streams = Vec::new();
    for (i, (_, sample)) in samples().into_iter().enumerate() {
        let input = &sample[..sample.len().min(300)];
        let framing = FRAMINGS[i % 3];
        streams.push((framing, compress(input, Params::new(framing))));
        for level in [0, 6] {
            streams.push((Framing::Raw, judge_compress(input, Wrapper::Raw, level)));
        }
    }
    streams
}

#[test]
fn zp_s01_inflate_cut_at_every_byte_of_input_and_of_output() {
    for (framing, stream) in small_streams() {
        let whole = inflate(&stream, framing);
        assert_eq!(whole.verdict, Verdict::Done);
        for cut in 0..=stream.len() {
            let mut pieces = [cut, usize::MAX].into_iter();
            assert_eq!(
                inflate_pieces(&stream, framing, || pieces.next().unwrap_or(usize::MAX), || usize::MAX),
                whole,
                "input cut at {cut}"
            );
        }
        for cut in 0..=whole.output.len() {
            let mut pieces = [cut].into_iter();
            assert_eq!(
                inflate_pieces(&stream, framing, || usize::MAX, || pieces.next().unwrap_or(usize::MAX)),
                whole,
                "output cut at {cut}"
            );
        }
    }
}

#[test]
fn zp_s01_inflate_in_single_bytes_and_random_pieces() {
    let mut rng = Rng(31);
    for (name, input) in samples() {
        for framing in FRAMINGS {
            let stream = compress(&input, Params::new(framing));
            let whole = inflate(&stream, framing);
            assert!(inflate_pieces(&stream, framing, || 1, || usize::MAX) == whole, "{name}");
            assert!(inflate_pieces(&stream, framing, || usize::MAX, || 1) == whole, "{name}");
            assert!(inflate_pieces(&stream, framing, || 1, || 1) == whole, "{name}");
            let (mut a, mut b) = (Rng(rng.next()), Rng(rng.next()));
            assert!(inflate_pieces(&stream, framing, || a.below(900), || b.below(2000)) == whole, "{name}");
        }
    }
}

#[test]
fn zp_o02_deflate_output_cuts_do_not_change_the_stream() {
    let mut rng = Rng(32);
    for (name, input) in samples() {
        for framing in FRAMINGS {
            for final_block in [FinalBlock::Data, FinalBlock::Empty] {
                let params = Params { final_block, ..Params::new(framing) };
                let whole = compress(&input, params);
                let same = |stream: &[u8]| {
                    // Stored blocks of suspendable streams fit the room of their step.
                    let decoded = inflate(stream, framing);
                    decoded.verdict == Verdict::Done
                        && decoded.output == input
                        && (stream == whole || final_block == FinalBlock::Empty && INCOMPRESSIBLE.contains(&name))
                };
                for limit in [1, 2, 3, 7, 100, 1023, 1024, 1025, 5000] {
                    let stream = deflate_pieces(&input, params, || usize::MAX, || limit, || Flush::None);
                    assert!(same(&stream), "{name} in pieces of {limit}");
                }
                let mut sizes = Rng(rng.next());
                let stream = deflate_pieces(&input, params, || usize::MAX, || sizes.below(3000), || Flush::None);
                assert!(same(&stream), "{name} in random pieces");
            }
        }
    }
}

#[test]
fn zp_s01_deflate_input_cuts_decode_and_leave_compressible_streams_unchanged() {
    let mut rng = Rng(33);
    for (name, input) in samples() {
        let whole = compress(&input, Params::new(Framing::GzipBody));
        for limit in [1, 5, 400, 4096, 50_000] {
            let mut sizes = Rng(rng.next());
            let stream = deflate_pieces(&input, Params::new(Framing::GzipBody), || 1 + sizes.below(limit), || usize::MAX, || Flush::None);
            let decoded = inflate(&stream, Framing::GzipBody);
            assert!(decoded.verdict == Verdict::Done && decoded.output == input, "{name} in pieces of {limit}");
            if !INCOMPRESSIBLE.contains(&name) {
                assert!(stream == whole, "{name} in pieces of {limit}");
            }
        }
    }
}

#[test]
fn zp_s02_each_sync_makes_a_decodable_prefix() {
    for (name, input) in samples() {
        let input = &input[..input.len().min(50_000)];
        let mut deflate = Box::new(Deflate::new());
        deflate.reset(Params::new(Framing::GzipBody));
        let mut inflate = Box::new(Inflate::new());
        inflate.reset(Framing::GzipBody);
        let mut rng = Rng(34);
        let mut at = 0;
        let (mut stream, mut output) = (vec![0; 200_000], vec![0; 200_000]);
        let mut stored_empty_blocks = 0;
        while at < input.len() {
            let end = (at + 1 + rng.below(9000)).min(input.len());
            let progress = deflate.step(&input[at..end], &mut stream, Flush::Sync);
            assert_eq!((progress.consumed, progress.status), (end - at, Status::NeedInput));
            assert!(stream[..progress.produced].ends_with(&[0, 0, 0xff, 0xff]), "{name}");
            stored_empty_blocks += 1;
            let decoded = inflate.step(&stream[..progress.produced], &mut output);
            assert_eq!((decoded.consumed, decoded.produced, decoded.status), (progress.produced, end - at, Status::NeedInput), "{name}");
            assert!(output[..decoded.produced] == input[at..end]);
            assert!(inflate.is_between_blocks() && !inflate.in_final_block());
            at = end;
            // Nothing new: nothing to flush.
            let idle = deflate.step(&[], &mut stream, Flush::Sync);
            assert_eq!((idle.produced, idle.status), (0, Status::NeedInput));
        }
        assert!(stored_empty_blocks > 0);
        let progress = deflate.step(&[], &mut stream, Flush::Finish);
        assert_eq!(progress.status, Status::Done);
        let decoded = inflate.step(&stream[..progress.produced], &mut output);
        assert_eq!((decoded.consumed, decoded.produced, decoded.status), (progress.produced, 0, Status::Done), "{name}");
        // Finished: further steps move nothing.
        let after = deflate.step(b"more", &mut stream, Flush::Finish);
        assert_eq!((after.consumed, after.produced, after.status), (0, 0, Status::Done));
    }
}

#[test]
fn zp_s02_mixed_flushes_in_random_pieces_round_trip() {
    let mut rng = Rng(35);
    for (name, input) in samples() {
        for framing in FRAMINGS {
            let (mut sizes, mut rooms, mut flushes) = (Rng(rng.next()), Rng(rng.next()), Rng(rng.next()));
            let body = deflate_pieces(
                &input,
                Params::new(framing),
                || 1 + sizes.below(20_000),
                || rooms.below(2000),
                || if flushes.below(3) == 0 { Flush::Sync } else { Flush::None },
            );
            let (stream, wrapper) = with_header(&body, framing);
            let judged = judge(&stream, wrapper);
            assert_eq!((judged.verdict, judged.consumed), (Ok(flate2::Status::StreamEnd), stream.len()), "{name}");
            assert!(judged.output == input, "{name}");
        }
    }
}

#[test]
fn zp_s02_input_behind_the_end_is_never_taken() {
    let input = Rng(36).bytes(50_000);
    let mut deflate = Box::new(Deflate::new());
    deflate.reset(Params::new(Framing::ZlibBody));
    let mut stream = Vec::new();
    let mut buffer = [0; 100];
    // BFINAL is out long before the data is; then other input is offered on top.
    let mut at = 0;
    loop {
        let mut offered = input[at..].to_vec();
        offered.extend_from_slice(&[0x55; 1000][..if at > 0 { 1000 } else { 0 }]);
        let progress = deflate.step(&offered, &mut buffer, Flush::Finish);
        at += progress.consumed;
        assert!(at <= input.len());
        stream.extend_from_slice(&buffer[..progress.produced]);
        if progress.status == Status::Done {
            break;
        }
    }
    let decoded = inflate(&stream, Framing::ZlibBody);
    assert!(decoded.verdict == Verdict::Done && decoded.output == input);
}
