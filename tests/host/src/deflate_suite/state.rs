//! State images: a stream moves between contexts at any point, and images from anybody do no harm.

use super::*;
use deflate::{DEFLATE_STATE_BYTES_MAX, DeflateError, FinalBlock, INFLATE_STATE_BYTES, STATE_BYTES_MAX, StateError, WINDOW_BYTES};

/// Moves a decompressor through its image into a context that was used for something else.
fn move_inflate(inflate: &Inflate, fresh: &mut Inflate) {
    let mut image = [0xa5; STATE_BYTES_MAX];
    let mut window = [0; WINDOW_BYTES];
    let image_len = inflate.export_state(&mut image).unwrap();
    let window_len = inflate.export_window(&mut window).unwrap();
    assert_eq!((image_len, window_len), (INFLATE_STATE_BYTES, inflate.window_len()));
    fresh.import(&image[..image_len], &window[..window_len]).unwrap();
}

#[test]
fn zp_s03_inflate_moves_after_every_step() {
    let mut rng = Rng(50);
    for (name, input) in samples() {
        let input = &input[..input.len().min(60_000)];
        for (framing, level) in [(Framing::Raw, 0), (Framing::ZlibBody, 6), (Framing::GzipBody, 1)] {
            let (_, wrapper) = with_header(&[], framing);
            let header = [0, 2, 10][FRAMINGS.iter().position(|&f| f == framing).unwrap()];
            let stream = &judge_compress(input, wrapper, level)[header..];
            let mut contexts = [Box::new(Inflate::new()), Box::new(Inflate::new())];
            contexts[0].reset(framing);
            let (mut at, mut output) = (0, Vec::new());
            let mut buffer = [0; 5000];
            let mut small = true;
            loop {
                // Single bytes through the headers, then larger ones.
                small &= at < 200;
                let (input_len, room) = if small { (1, 1 + rng.below(3)) } else { (rng.below(3000), rng.below(5000)) };
                let piece = &stream[at..stream.len().min(at + input_len)];
                let progress = contexts[0].step(piece, &mut buffer[..room]);
                at += progress.consumed;
                output.extend_from_slice(&buffer[..progress.produced]);
                match progress.status {
                    Status::Done => break,
                    Status::Error(error) => panic!("{name}: {error:?}"),
                    _ => {}
                }
                let [from, to] = &mut contexts;
                move_inflate(from, to);
                assert_eq!(
                    (from.total_in(), from.total_out(), from.check(), from.tail_bits()),
                    (to.total_in(), to.total_out(), to.check(), to.tail_bits())
                );
                contexts.swap(0, 1);
            }
            assert!(at == stream.len() && output == input, "{name}");
        }
    }
}

#[test]
fn zp_s03_deflate_is_suspended_at_any_output_limit_and_moves() {
    let mut rng = Rng(51);
    for (name, input) in samples() {
        let input = &input[..input.len().min(80_000)];
        for framing in FRAMINGS {
            for limit in [1usize, 60, 700, 3000, 30_000] {
                let input = &input[..input.len().min(50 * limit + 2000)];
                let mut contexts = [Box::new(Deflate::new()), Box::new(Deflate::new())];
                contexts[0].reset(Params { final_block: FinalBlock::Empty, ..Params::new(framing) });
                let (mut at, mut stream) = (0, Vec::new());
                let mut buffer = vec![0; limit];
                let (mut steps, mut cut) = (0, false);
                loop {
                    let room = 1 + rng.below(limit);
                    let (end, flush) =
                        if rng.below(2) == 0 { (input.len(), Flush::Finish) } else { (input.len().min(at + 20_000), Flush::Sync) };
                    let progress = contexts[0].step(&input[at..end], &mut buffer[..room], flush);
                    at += progress.consumed;
                    stream.extend_from_slice(&buffer[..progress.produced]);
                    steps += 1;
                    assert!(steps < 4 * input.len() + 1000, "{name}: no progress at {at}");
                    match progress.status {
                        Status::Done => break,
                        Status::Error(error) => panic!("{name}: {error:?}"),
                        Status::NeedInput | Status::NeedOutput => {}
                    }
                    let [from, to] = &mut contexts;
                    let given_back = from.suspend().unwrap();
                    at -= given_back;
                    if progress.status == Status::NeedInput {
                        assert_eq!(given_back, 0, "everything was flushed");
                    }
                    assert_eq!((from.total_in(), from.isize()), (at as u64, at as u32));
                    assert_eq!(from.suspend(), Ok(0));
                    let mut image = [0xa5; STATE_BYTES_MAX];
                    let len = from.export_state(&mut image).unwrap();
                    assert!(len <= DEFLATE_STATE_BYTES_MAX);
                    let mut window = [0; WINDOW_BYTES];
                    let window_len = from.export_window(&mut window).unwrap();
                    // In mid-block the oldest part may have been given up for the input of the block.
                    cut |= given_back != 0;
                    assert!(window_len == at.min(WINDOW_BYTES) || cut && window_len <= at);
                    assert!(window[..window_len] == input[at - window_len..at]);
                    to.import(&image[..len], &window[..window_len]).unwrap();
                    assert_eq!(from.pending_output(), to.pending_output());
                    contexts.swap(0, 1);
                }
                assert_eq!(at, input.len());
                let (whole, wrapper) = with_header(&stream, framing);
                let judged = judge(&whole, wrapper);
                assert_eq!((judged.verdict, judged.consumed), (Ok(flate2::Status::StreamEnd), whole.len()), "{name} at {limit}");
                assert!(judged.output == input, "{name} at {limit}");
            }
        }
    }
}

#[test]
fn zp_s03_what_cannot_be_suspended_says_so() {
    let input = text(100_000, 12);
    let mut buffer = vec![0; 2000];
    let mut image = [0; STATE_BYTES_MAX];
    let mut deflate = Box::new(Deflate::new());
    deflate.reset(Params::new(Framing::Raw));
    assert_eq!(deflate.step(&input, &mut buffer, Flush::None).status, Status::NeedOutput);
    assert_eq!(deflate.export_state(&mut image), Err(StateError::NotSuspended));
    deflate.reset(Params::new(Framing::Raw));
    assert_eq!(deflate.step(&input[..20_000], &mut buffer, Flush::Finish).status, Status::NeedOutput);
    assert_eq!(deflate.suspend(), Err(StateError::BlockOpen));
    // And goes on as if not asked.
    let mut stream = buffer.clone();
    while deflate.step(&[], &mut buffer, Flush::Finish).status != Status::Done {
        stream.extend_from_slice(&buffer);
    }
    assert!(compress(&input[..20_000], Params::new(Framing::Raw)).starts_with(&stream));
    deflate.reset(Params::new(Framing::Raw));
    assert_eq!(deflate.export_state(&mut image[..10]), Err(StateError::BufferTooShort { needed: 46 }));

    let mut inflate = Box::new(Inflate::new());
    assert!(matches!(inflate.step(&[6], &mut buffer).status, Status::Error(InflateError::InvalidBlockType)));
    assert_eq!(inflate.export_state(&mut image), Err(StateError::NothingToResume));
}

#[test]
fn zp_s03_announced_stored_bytes_that_never_come_are_an_error() {
    let input = Rng(52).bytes(60_000);
    let mut deflate = Box::new(Deflate::new());
    deflate.reset(Params::new(Framing::Raw));
    let mut buffer = vec![0; 10_000];
    let progress = deflate.step(&input, &mut buffer, Flush::Finish);
    assert_eq!(progress.status, Status::NeedOutput);
    assert_eq!(deflate.suspend(), Err(StateError::BlockOpen));
    let mut produced = progress.produced;
    let status = loop {
        let progress = deflate.step(&[], &mut buffer, Flush::Finish);
        produced += progress.produced;
        if progress.status != Status::NeedOutput {
            break progress.status;
        }
    };
    assert_eq!(status, Status::Error(DeflateError::StoredDataMissing { bytes: (input.len() + 5 - produced) as u16 }));
}

/// Runs whatever an import left for a while; only a panic, a hang or a count out of range is wrong.
fn run_inflate(inflate: &mut Inflate, rng: &mut Rng) {
    let noise = rng.bytes(300);
    let mut output = [0; 700];
    let mut at = 0;
    for _ in 0..20 {
        let end = (at + rng.below(100)).min(noise.len());
        let room = rng.below(output.len());
        let progress = inflate.step(&noise[at..end], &mut output[..room]);
        assert!(progress.consumed <= end - at && progress.produced <= room);
        at += progress.consumed;
        let mut image = [0; STATE_BYTES_MAX];
        let _ = inflate.export_state(&mut image);
    }
}

fn run_deflate(deflate: &mut Deflate, rng: &mut Rng) {
    let noise = rng.bytes(300);
    let mut output = [0; 700];
    let mut at = 0;
    for _ in 0..10 {
        let end = (at + rng.below(100)).min(noise.len());
        let room = rng.below(output.len());
        let flush = [Flush::None, Flush::Sync, Flush::Finish][rng.below(3)];
        let progress = deflate.step(&noise[at..end], &mut output[..room], flush);
        assert!(progress.consumed <= end - at && progress.produced <= room);
        at += progress.consumed;
        if rng.below(3) == 0 {
            let _ = deflate.suspend();
        }
    }
}

#[test]
fn zp_s05_hostile_inflate_images_do_no_harm() {
    let mut rng = Rng(53);
    let mut inflate = Box::new(Inflate::new());
    let input = text(3000, 13);
    let stream = judge_compress(&input, Wrapper::Raw, 6);
    let mut images = Vec::new();
    for cut in [0, 1, 2, 20, 60, 300, 700] {
        inflate.reset(Framing::GzipBody);
        let mut output = [0; 900];
        inflate.step(&stream[..cut], &mut output);
        let mut image = vec![0; STATE_BYTES_MAX];
        let len = inflate.export_state(&mut image).unwrap();
        image.truncate(len);
        let mut window = vec![0; WINDOW_BYTES];
        window.truncate(inflate.export_window(&mut [0; WINDOW_BYTES]).unwrap());
        images.push((image, window));
    }
    let (mut taken, mut refused) = (0, 0);
    for round in 0..60_000 {
        let (mut image, mut window) = images[round % images.len()].clone();
        match round % 3 {
            0 => {
                let at = rng.below(image.len().min(80));
                image[at] = rng.next() as u8;
            }
            1 => {
                for _ in 0..4 {
                    let at = rng.below(image.len());
                    image[at] = rng.next() as u8;
                }
            }
            _ => {
                let tag = image[..4].to_vec();
                let len = rng.below(image.len() + 20);
                image = rng.bytes(len);
                if len > 8 {
                    image[..4].copy_from_slice(&tag);
                    for byte in &mut image[4..8] {
                        *byte %= 12;
                    }
                }
                window = vec![0; rng.below(3)];
            }
        }
        match inflate.import(&image, &window) {
            Ok(()) => {
                taken += 1;
                run_inflate(&mut inflate, &mut rng);
            }
            Err(_) => {
                refused += 1;
                // The context serves the next stream.
                let mut output = [0; 4000];
                let progress = inflate.step(&stream, &mut output);
                assert_eq!((progress.produced, progress.status), (3000, Status::Done));
            }
        }
    }
    assert!(taken > 1000 && refused > 1000, "{taken} {refused}");
    assert_eq!(inflate.import(&[], &[]), Err(StateError::BufferTooShort { needed: 4 }));
    assert!(matches!(inflate.import(&[0; 500], &[]), Err(StateError::WrongTag { found: 0 })));
    let (image, window) = &images[6];
    assert_eq!(inflate.import(image, &window[1..]), Err(StateError::WrongWindow { got: window.len() - 1 }));
}

#[test]
fn zp_s05_hostile_deflate_images_do_no_harm() {
    let mut rng = Rng(54);
    let mut deflate = Box::new(Deflate::new());
    let mut images = Vec::new();
    for (input, room) in [(text(30_000, 14), 100), (text(30_000, 14), 5000), (rng.bytes(70_000), 10_000), (text(1, 1), 100)] {
        deflate.reset(Params { final_block: FinalBlock::Empty, ..Params::new(Framing::GzipBody) });
        let mut output = vec![0; room];
        deflate.step(&input, &mut output, Flush::Sync);
        deflate.suspend().unwrap();
        let mut image = vec![0; STATE_BYTES_MAX];
        let len = deflate.export_state(&mut image).unwrap();
        image.truncate(len);
        images.push((image, deflate.window().to_vec()));
    }
    let (mut taken, mut refused) = (0, 0);
    for round in 0..6_000 {
        let (mut image, window) = images[round % images.len()].clone();
        for _ in 0..1 + round % 3 {
            let at = rng.below(image.len().min(60));
            image[at] = rng.next() as u8;
        }
        match deflate.import(&image, &window) {
            Ok(()) => {
                taken += 1;
                run_deflate(&mut deflate, &mut rng);
            }
            Err(_) => {
                refused += 1;
                let mut output = [0; 100];
                assert_eq!(deflate.step(b"next", &mut output, Flush::Finish).status, Status::Done);
            }
        }
    }
    assert!(taken > 500 && refused > 500, "{taken} {refused}");
}
