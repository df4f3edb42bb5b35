//! Streams: state lives in the context between requests, and only there.

use super::rig::*;
use hal::Iova;
use proptest::prelude::*;
use zip_model::{Direction, EngineMemory};
use zip_spec::{Completion, Container, ContextState, Flush, Mode, Request, Status, Window, stream_context};

/// Runs one step of a stream; the state follows.
fn step(rig: &mut Rig, stream: &mut StreamState, direction: Direction, request: Request, flush: Flush) -> Completion {
    stream.step.flush = flush;
    let completion = rig.run(Request { mode: Mode::Stream(stream.step), ..request }, direction);
    stream.follow(&completion);
    completion
}

/// Compresses in a stream; the chunk lengths come from `next`, each with room to spare.
fn compress_in_chunks(rig: &mut Rig, container: Container, data: &[u8], mut next: impl FnMut() -> usize) -> Vec<u8> {
    let mut stream = StreamState::new(rig);
    let source = rig.put(data);
    let destination = rig.room(data.len() + data.len() / 4 + 4096);
    let (mut at, mut out) = (0, vec![]);
    loop {
        let len = next().clamp(1, data.len() - at);
        let flush = if at + len == data.len() { Flush::Finish } else { Flush::Sync };
        let request = flat(container, Iova(source.0 + at as u64), len, destination, len + len / 4 + 256);
        let completion = step(rig, &mut stream, Direction::Compress, request, flush);
        assert_eq!((completion.status, completion.consumed as usize), (Status::SUCCESS, len));
        out.extend(rig.peek(destination, completion.produced as usize));
        at += len;
        // Another slot serves the next request: nothing may stay in this one.
        *rig.engine = Default::default();
        if at == data.len() {
            return out;
        }
    }
}

/// Decompresses in a stream: input and output lengths come from the two functions.
fn decompress_in_chunks(
    rig: &mut Rig,
    container: Container,
    body: &[u8],
    mut next_in: impl FnMut() -> usize,
    mut next_out: impl FnMut() -> usize,
    mut between: impl FnMut(&mut Rig),
) -> (Vec<u8>, Completion, usize) {
    let mut stream = StreamState::new(rig);
    let source = rig.put(body);
    let longest = 1 << 17;
    let destination = rig.room(longest);
    let (mut at, mut out) = (0, vec![]);
    for _ in 0..1_000_000 {
        let len = next_in().min(body.len() - at);
        let room = next_out().clamp(1, longest);
        let request = flat(container, Iova(source.0 + at as u64), len, destination, room);
        let is_no_op = len == 0 && room <= 0x10;
        let completion = step(rig, &mut stream, Direction::Decompress, request, Flush::Sync);
        assert!(completion.consumed as usize <= len && completion.produced as usize <= room);
        out.extend(rig.peek(destination, completion.produced as usize));
        at += completion.consumed as usize;
        between(rig);
        let is_stuck = at == body.len() && completion.produced == 0 && completion.words.held() == 0 && !is_no_op;
        if completion.status != Status::SUCCESS || is_stuck {
            return (out, completion, at);
        }
    }
    panic!("the stream does not end");
}

#[test]
fn zp_s01_compressed_in_chunks_is_one_stream() {
    let data = text(200_000, 1);
    let mut random = Random(2);
    for container in FORMATS {
        for size in [1000, 65_536, 100_000, 200_000] {
            let mut rig = Rig::new(4);
            let body = compress_in_chunks(&mut rig, container, &data, || size);
            assert!(judge_decode(container, &body, data.len()).as_deref() == Some(&data[..]), "{container:?} {size}");
        }
        let mut rig = Rig::new(4);
        let body = compress_in_chunks(&mut rig, container, &data, || 1 + random.below(30_000));
        assert!(judge_decode(container, &body, data.len()).as_deref() == Some(&data[..]), "{container:?} random");
    }
}

#[test]
fn zp_s01_one_byte_feeds() {
    let data = text(3000, 1);
    for container in FORMATS {
        let mut rig = Rig::new(4);
        let body = compress_in_chunks(&mut rig, container, &data[..300], || 1);
        assert!(judge_decode(container, &body, 300).as_deref() == Some(&data[..300]));
        let body = judge_encode(container, &data, 6);
        let (out, end, consumed) = decompress_in_chunks(&mut rig, container, &body, || 1, || 32, |_| {});
        assert_eq!((end.status, end.is_last_block, consumed), (Status::END_OF_STREAM, true, body.len()), "{container:?}");
        assert!(out == data);
        let (out, end, _) = decompress_in_chunks(&mut rig, container, &body, || 64, || 1, |_| {});
        assert_eq!((end.status, out == data), (Status::END_OF_STREAM, true), "{container:?}: one byte out");
    }
}

#[test]
fn zp_s01_every_cut_of_input_and_output() {
    let data = [text(2000, 5), Random(1).bytes(300), vec![9; 900]].concat();
    for container in FORMATS {
        let body = judge_encode(container, &data, 9);
        for cut in 0..=body.len() {
            let mut rig = Rig::new(1);
            let mut first = true;
            let next_in = || if std::mem::take(&mut first) { cut } else { usize::MAX };
            let (out, end, consumed) = decompress_in_chunks(&mut rig, container, &body, next_in, || 8192, |_| {});
            assert_eq!((end.status, consumed, out == data), (Status::END_OF_STREAM, body.len(), true), "{container:?} input cut {cut}");
        }
        for cut in (17..data.len()).step_by(7) {
            let mut rig = Rig::new(1);
            let mut first = true;
            let next_out = || if std::mem::take(&mut first) { cut } else { 8192 };
            let (out, end, _) = decompress_in_chunks(&mut rig, container, &body, || usize::MAX, next_out, |_| {});
            assert_eq!((end.status, out == data), (Status::END_OF_STREAM, true), "{container:?} output cut {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn zp_s01_random_splits_equal_one_shot(seed: u64, len in 1usize..120_000, longest_in in 1usize..9000, longest_out in 1usize..40_000) {
        let mut random = Random(seed);
        let data = if seed % 3 == 0 { random.bytes(len) } else { text(len, seed) };
        let container = FORMATS[(seed >> 8) as usize % 3];
        let mut rig = Rig::new(4);
        let body = judge_encode(container, &data, 1 + (seed >> 16) as u32 % 9);
        let mut other = Random(seed ^ 1);
        // The engine memory is exchanged between requests: the context must carry everything.
        let (out, end, consumed) = decompress_in_chunks(
            &mut rig, container, &body, || 1 + random.below(longest_in), || 17 + other.below(longest_out), |rig| *rig.engine = Default::default());
        prop_assert_eq!((end.status, consumed), (Status::END_OF_STREAM, body.len()));
        prop_assert!(out == data);
        let expected = zip_words(container, &data);
        prop_assert_eq!((end.checksum, end.isize), expected);
    }
}

/// dw31 and dw30 of a whole stream over `data`.
fn zip_words(container: Container, data: &[u8]) -> (u32, u32) {
    let mut rig = Rig::new(1 + (data.len() >> 19));
    let (completion, _) = rig.one_shot(container, Direction::Compress, data, data.len() + data.len() / 8 + 64);
    (completion.checksum, completion.isize)
}

#[test]
fn zp_s01_compression_with_too_little_room_goes_on_where_it_stopped() {
    for (name, data) in
        [("text", text(150_000, 3)), ("random", Random(4).bytes(150_000)), ("mixed", [text(60_000, 1), Random(2).bytes(60_000)].concat())]
    {
        for container in FORMATS {
            for room in [300, 5000, 30_000] {
                let mut rig = Rig::new(4);
                let mut stream = StreamState::new(&mut rig);
                let source = rig.put(&data);
                let destination = rig.room(room);
                let (mut at, mut out) = (0, vec![]);
                for turn in 0.. {
                    assert!(turn < 20_000, "{name} {container:?} {room}: no end");
                    // Everything that is left is offered each time, far more than fits.
                    let request = flat(container, Iova(source.0 + at as u64), data.len() - at, destination, room);
                    let completion = step(&mut rig, &mut stream, Direction::Compress, request, Flush::Finish);
                    assert_eq!(completion.status, Status::SUCCESS, "{name} {container:?} {room}");
                    assert!(completion.consumed > 0 || completion.produced > 0);
                    at += completion.consumed as usize;
                    out.extend(rig.peek(destination, completion.produced as usize));
                    *rig.engine = Default::default();
                    if at == data.len() && completion.words.held() == 0 {
                        break;
                    }
                }
                assert!(judge_decode(container, &out, data.len()).as_deref() == Some(&data[..]), "{name} {container:?} {room}");
            }
        }
    }
}

#[test]
fn zp_s02_every_sync_leaves_a_decodable_prefix() {
    let data = text(50_000, 6);
    let mut rig = Rig::new(4);
    let mut stream = StreamState::new(&mut rig);
    let (source, destination) = (rig.put(&data), rig.room(20_000));
    let mut body = vec![];
    for (i, chunk) in data.chunks(10_000).enumerate() {
        let request = flat(Container::Raw, Iova(source.0 + i as u64 * 10_000), chunk.len(), destination, 20_000);
        let flush = if i == 4 { Flush::Finish } else { Flush::Sync };
        let completion = step(&mut rig, &mut stream, Direction::Compress, request, flush);
        assert!(!completion.is_last_block);
        body.extend(rig.peek(destination, completion.produced as usize));
        let mut decoder = flate2::Decompress::new(false);
        let mut out = Vec::with_capacity(60_000);
        let status = decoder.decompress_vec(&body, &mut out, flate2::FlushDecompress::Sync).unwrap();
        assert!(out == data[..(i + 1) * 10_000]);
        assert_eq!(status == flate2::Status::StreamEnd, i == 4, "BFINAL comes once, at the end");
        assert_eq!(i != 4, body.ends_with(&[0, 0, 0xff, 0xff]));
    }
}

#[test]
fn zp_s02_empty_finish_ends_the_stream() {
    for container in FORMATS {
        let mut rig = Rig::new(1);
        let mut stream = StreamState::new(&mut rig);
        let data = text(1000, 1);
        let (source, destination) = (rig.put(&data), rig.room(4000));
        let first = step(&mut rig, &mut stream, Direction::Compress, flat(container, source, 1000, destination, 4000), Flush::Sync);
        let mut body = rig.peek(destination, first.produced as usize);
        let last = step(&mut rig, &mut stream, Direction::Compress, flat(container, source, 0, destination, 4000), Flush::Finish);
        body.extend(rig.peek(destination, last.produced as usize));
        assert!(judge_decode(container, &body, 1000) == Some(data));
    }
}

#[test]
fn zp_s03_a_stream_moves_between_engines() {
    let data = text(90_000, 7);
    let body = judge_encode(Container::Gzip, &data, 6);
    let mut rig = Rig::new(4);
    let mut spare = [Box::<EngineMemory>::default(), Box::default()];
    let mut turn = 0;
    let (out, end, _) = decompress_in_chunks(
        &mut rig,
        Container::Gzip,
        &body,
        || 5000,
        || 20_000,
        |rig| {
            turn += 1;
            std::mem::swap(&mut rig.engine, &mut spare[turn % 2]);
        },
    );
    assert_eq!((end.status, out == data), (Status::END_OF_STREAM, true));
}

#[test]
fn zp_s04_64_streams_interleaved() {
    let mut rig = Rig::new(16);
    let mut streams: Vec<_> = (0..64u64)
        .map(|i| {
            let data = text(2000 + 37 * i as usize, i);
            let container = FORMATS[i as usize % 3];
            let body = judge_encode(container, &data, 6);
            let source = rig.put(&body);
            (StreamState::new(&mut rig), container, data, source, body.len(), 0usize, vec![])
        })
        .collect();
    let destination = rig.room(2000);
    let mut open = 64;
    while open > 0 {
        for (stream, container, _, source, len, at, out) in &mut streams {
            if *at == *len {
                continue;
            }
            let request = flat(*container, Iova(source.0 + *at as u64), (*len - *at).min(211), destination, 2000);
            let completion = step(&mut rig, stream, Direction::Decompress, request, Flush::Sync);
            *at += completion.consumed as usize;
            out.extend(rig.peek(destination, completion.produced as usize));
            match completion.status {
                Status::END_OF_STREAM => open -= 1,
                status => assert_eq!(status, Status::SUCCESS),
            }
        }
    }
    assert!(streams.iter().all(|(_, _, data, .., out)| data == out));
}

#[test]
fn zp_s05_a_continuation_of_nothing_is_refused() {
    for direction in [Direction::Compress, Direction::Decompress] {
        let mut rig = Rig::new(1);
        let mut stream = StreamState::new(&mut rig);
        stream.step.is_new = false;
        let (source, destination) = (rig.put(&text(100, 1)), rig.room(400));
        let completion = step(&mut rig, &mut stream, direction, flat(Container::Zlib, source, 100, destination, 400), Flush::Sync);
        assert_eq!((completion.status, completion.consumed, completion.produced), (Status::BAD_CONTEXT, 0, 0));
    }
}

#[test]
fn zp_s05_a_stream_that_has_ended_cannot_go_on() {
    let mut rig = Rig::new(1);
    let body = judge_encode(Container::Gzip, b"abc", 6);
    let mut stream = StreamState::new(&mut rig);
    let (source, destination) = (rig.put(&body), rig.room(400));
    let request = flat(Container::Gzip, source, body.len(), destination, 400);
    assert_eq!(step(&mut rig, &mut stream, Direction::Decompress, request, Flush::Sync).status, Status::END_OF_STREAM);
    assert_eq!(step(&mut rig, &mut stream, Direction::Decompress, request, Flush::Sync).status, Status::BAD_CONTEXT);
}

#[test]
fn zp_s05_a_new_stream_ignores_words_and_context() {
    // A library's session reset clears neither checksum nor isize.
    let mut rig = Rig::new(1);
    let data = text(5000, 1);
    let body = judge_encode(Container::Gzip, &data, 6);
    let mut stream = StreamState::new(&mut rig);
    let junk = Random(1).bytes(40_000);
    rig.poke(stream.context, &junk);
    stream.step.words = zip_spec::ContextWords { dw0: u32::MAX, dw1: u32::MAX, dw2: u32::MAX };
    (stream.step.isize, stream.step.checksum) = (77, 0x1234_5678);
    let (source, destination) = (rig.put(&body), rig.room(5000));
    let completion =
        step(&mut rig, &mut stream, Direction::Decompress, flat(Container::Gzip, source, body.len(), destination, 5000), Flush::Sync);
    assert_eq!(completion.status, Status::END_OF_STREAM);
    assert!(rig.peek(destination, 5000) == data);
}

#[test]
fn zp_s05_shared_words_and_software_areas_are_left_alone() {
    let data = text(100_000, 2);
    for direction in [Direction::Compress, Direction::Decompress] {
        let mut rig = Rig::new(2);
        let input = if direction == Direction::Compress { data.clone() } else { judge_encode(Container::Zlib, &data, 6) };
        let mut stream = StreamState::new(&mut rig);
        let before = Iova(stream.context.0 - stream_context::SOFTWARE_BYTES);
        let marks = [(before, 64), (Iova(stream.context.0 + 784), 16), (Iova(stream.context.0 + stream_context::END as u64), 512)];
        for (at, len) in marks {
            rig.poke(at, &vec![0xc3; len]);
        }
        let (source, destination) = (rig.put(&input), rig.room(200_000));
        for part in 0..3 {
            let from = part * input.len() / 4;
            let request = flat(Container::Zlib, Iova(source.0 + from as u64), input.len() / 4, destination, 200_000);
            let completion = step(&mut rig, &mut stream, direction, request, Flush::Sync);
            assert_eq!(completion.status, Status::SUCCESS);
            assert!(completion.words.window_bytes() > 0);
        }
        for (at, len) in marks {
            assert_eq!(rig.peek(at, len), vec![0xc3; len], "{direction:?} at {at}");
        }
    }
}

/// The running words are the caller's: a wrong one shows up as a wrong trailer, nothing else.
#[test]
fn zp_s05_wrong_running_words_end_in_a_mismatch() {
    for (container, spoil_isize, expected) in [
        (Container::Zlib, false, Status::CHECKSUM_MISMATCH),
        (Container::Gzip, false, Status::CHECKSUM_MISMATCH),
        (Container::Gzip, true, Status::LENGTH_MISMATCH),
    ] {
        let mut rig = Rig::new(1);
        let data = text(5000, 1);
        let body = judge_encode(container, &data, 6);
        let mut stream = StreamState::new(&mut rig);
        let (source, destination) = (rig.put(&body), rig.room(9000));
        let half = body.len() / 2;
        let first = step(&mut rig, &mut stream, Direction::Decompress, flat(container, source, half, destination, 9000), Flush::Sync);
        if spoil_isize {
            stream.step.isize ^= 1;
        } else {
            stream.step.checksum = 0xffff_ffff;
        }
        assert_eq!(first.consumed as usize, half);
        let request = flat(container, Iova(source.0 + half as u64), body.len() - half, destination, 9000);
        assert_eq!(step(&mut rig, &mut stream, Direction::Decompress, request, Flush::Sync).status, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn zp_s05_a_corrupted_context_never_escapes(seed: u64, flips in 1usize..12, decompress: bool) {
        let mut random = Random(seed);
        let data = text(30_000, seed % 16);
        let direction = if decompress { Direction::Decompress } else { Direction::Compress };
        let input = if decompress { judge_encode(Container::Gzip, &data, 6) } else { data };
        let mut rig = Rig::new(1);
        let mut stream = StreamState::new(&mut rig);
        let (source, destination) = (rig.put(&input), rig.room(70_000));
        let half = random.below(input.len() - 1) + 1;
        let room = 300 + random.below(60_000);
        let first = step(&mut rig, &mut stream, direction, flat(Container::Gzip, source, half, destination, room), Flush::Sync);
        let at = first.consumed as usize;
        for _ in 0..flips {
            // Mostly in the header and the state image, where it hurts.
            let offset = [random.below(16), 800 + random.below(460), 800 + random.below(80), random.below(0x8c08)][random.below(4)];
            let byte = random.next() as u8;
            rig.poke(Iova(stream.context.0 + offset as u64), &[byte]);
        }
        stream.step.checksum = random.next() as u32;
        for _ in 0..4 {
            let request = flat(Container::Gzip, Iova(source.0 + at as u64), input.len() - at, destination, 70_000);
            let completion = step(&mut rig, &mut stream, direction, request, Flush::Finish);
            prop_assert!(completion.consumed as usize <= input.len() - at);
            prop_assert!(completion.produced <= 70_000);
            prop_assert!(rig.guard_is_intact(destination, 70_000));
        }
    }
}

#[test]
fn zp_s06_held_output_is_drained_before_the_end() {
    let data = vec![b'z'; 20_000];
    let body = judge_encode(Container::Zlib, &data, 9);
    let mut rig = Rig::new(1);
    let mut stream = StreamState::new(&mut rig);
    let (source, destination) = (rig.put(&body), rig.room(8000));
    let (mut at, mut total) = (0, 0);
    loop {
        let request = flat(Container::Zlib, Iova(source.0 + at as u64), body.len() - at, destination, 999);
        let completion = step(&mut rig, &mut stream, Direction::Decompress, request, Flush::Sync);
        (at, total) = (at + completion.consumed as usize, total + completion.produced);
        if completion.status == Status::END_OF_STREAM {
            break;
        }
        assert_eq!((completion.status, completion.words.state(), completion.produced), (Status::SUCCESS, ContextState::OUTPUT_FULL, 999));
        assert_ne!(completion.words.held(), 0);
    }
    assert_eq!((at, total), (body.len(), 20_000));
}

#[test]
fn empty_step_with_little_room_is_a_completion_and_nothing_else() {
    let mut rig = Rig::new(1);
    let mut stream = StreamState::new(&mut rig);
    let data = text(500, 1);
    let (source, destination) = (rig.put(&data), rig.room(2000));
    step(&mut rig, &mut stream, Direction::Compress, flat(Container::Gzip, source, 500, destination, 2000), Flush::Sync);
    let before = stream.step;
    let accesses = rig.port.accesses;
    for room in [0, 1, 0x10] {
        let completion =
            step(&mut rig, &mut stream, Direction::Compress, flat(Container::Gzip, source, 0, destination, room), Flush::Finish);
        assert_eq!((completion.status, completion.produced), (Status::SUCCESS, 0));
        assert_eq!((stream.step.words, stream.step.checksum, stream.step.isize), (before.words, before.checksum, before.isize));
    }
    assert_eq!(rig.port.accesses, accesses);
    let completion = step(&mut rig, &mut stream, Direction::Compress, flat(Container::Gzip, source, 0, destination, 0x11), Flush::Finish);
    assert_eq!(completion.status, Status::SUCCESS);
    assert!(completion.produced > 0);
}

#[test]
fn a_stream_keeps_the_window_of_its_first_request() {
    // Programmed once; a continuation that names another window changes nothing that a decoder could notice.
    let data = text(60_000, 4);
    let mut rig = Rig::new(2);
    let mut stream = StreamState::new(&mut rig);
    let (source, destination) = (rig.put(&data), rig.room(80_000));
    let first = Request { window: Window::K4, ..flat(Container::Raw, source, 30_000, destination, 40_000) };
    let first = step(&mut rig, &mut stream, Direction::Compress, first, Flush::Sync);
    let mut body = rig.peek(destination, first.produced as usize);
    let second = Request { window: Window::K32, ..flat(Container::Raw, Iova(source.0 + 30_000), 30_000, destination, 40_000) };
    let second = step(&mut rig, &mut stream, Direction::Compress, second, Flush::Finish);
    body.extend(rig.peek(destination, second.produced as usize));
    assert!(judge_decode(Container::Raw, &body, 60_000) == Some(data));
}
