//! lz77_zstd, lz77_only and LZ4 blocks: what the engine finds stands for the input, in every layout, and others decode it.

use super::output::{chain, cut, gather, scatter};
use super::rig::*;
use super::zstd_frame::{self, Block};
use hal::Iova;
use zip_model::{Direction, Step, ZipCore};
use zip_spec::registers::LIT_LEN_EN;
use zip_spec::{
    BufferType, Capabilities, Completion, Container, Flush, Lz77Completion, Lz77Request, Mode, Request, RequestType, Sequence, Sqe,
    SqeType, Status, StreamStep, Window, frequency, stream_context,
};

const ZSTD: [RequestType; 2] = [RequestType::LZ77_ZSTD, RequestType::LZ77_ZSTD_PRICE];
const ONLY: [RequestType; 2] = [RequestType::LZ77_ONLY, RequestType::LZ77_ONLY_PRICE];

fn newest(megabytes: usize) -> Rig {
    let mut rig = Rig::new(megabytes);
    rig.capabilities = Capabilities::V5;
    rig
}

/// What came back of a request for sequences.
#[derive(Debug, PartialEq, Eq)]
struct Parse {
    completion: Lz77Completion,
    literals: Vec<u8>,
    /// With their true numbers of literals.
    sequences: Vec<(u32, Sequence)>,
    frequencies: Vec<u32>,
}

fn read_parse(completion: Lz77Completion, literals: &[u8], sequences: &[u8]) -> Parse {
    let end = 8 * completion.sequences as usize;
    let records = sequences[..end].as_chunks::<8>().0;
    let sequences_read = records
        .iter()
        .enumerate()
        .map(|(number, bytes)| {
            let sequence = Sequence::from_bytes(bytes);
            let long = completion.long_literals == Some(number as u32);
            (u32::from(sequence.literal_length) + if long { 65_536 } else { 0 }, sequence)
        })
        .collect();
    let table = sequences.get(end + 8..end + 8 + 784).unwrap_or(&[]);
    Parse {
        completion,
        literals: literals[..completion.literals as usize].to_vec(),
        sequences: sequences_read,
        frequencies: table.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect(),
    }
}

fn request(request_type: RequestType, source: Iova, len: usize, literals: (Iova, usize), sequences: (Iova, usize)) -> Lz77Request {
    Lz77Request {
        request: Request { request_type, ..flat(Container::Raw, source, len, sequences.0, sequences.1) },
        literals: literals.0,
        literals_bytes: literals.1 as u32,
    }
}

/// Room that is enough for the sequences of any input.
fn sequence_room(len: usize) -> usize {
    (len / 4 + 1) * 8 + 8 + 784
}

/// One request over flat buffers; nothing is written past what is told.
fn parse(rig: &mut Rig, request_type: RequestType, input: &[u8]) -> Parse {
    let source = rig.put(input);
    let literals = (rig.room(input.len() + 16), input.len() + 16);
    let sequences = (rig.room(sequence_room(input.len())), sequence_room(input.len()));
    let sqe = rig.run_entry(request(request_type, source, input.len(), literals, sequences).encode(), Direction::Compress);
    let completion = Lz77Completion::from(&sqe);
    assert_eq!((completion.status, completion.consumed as usize), (Status::SUCCESS, input.len()));
    assert!(rig.guard_is_intact(literals.0, literals.1) && rig.guard_is_intact(sequences.0, sequences.1));
    let parse = read_parse(completion, &rig.peek(literals.0, literals.1), &rig.peek(sequences.0, sequences.1));
    rig.rewind(source);
    parse
}

/// What plain sequences stand for (lz77_only).
fn expand_only(parse: &Parse) -> Vec<u8> {
    let (mut out, mut from) = (vec![], 0);
    for (literals, sequence) in &parse.sequences {
        out.extend_from_slice(&parse.literals[from..from + *literals as usize]);
        from += *literals as usize;
        assert_eq!(sequence.offset == 0, sequence.match_length == 0);
        for _ in 0..sequence.match_length {
            out.push(out[out.len() - sequence.offset as usize]);
        }
    }
    out.extend_from_slice(&parse.literals[from..]);
    out
}

fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let mut random = Random(5);
    let noise = random.bytes(131_072);
    // Noise, then a repeat of its end: one run of more than 65535 literals in front of a match.
    let mut late = noise[..90_000].to_vec();
    late.extend_from_slice(&noise[70_000..85_000]);
    late.extend_from_slice(&text(2000, 3));
    let mut alternating = vec![];
    while alternating.len() < 100_000 {
        let at = random.below(60_000);
        alternating.extend_from_slice(&noise[at..at + random.below(40)]);
        alternating.extend_from_slice(&text(random.below(300), 9));
    }
    vec![
        ("one byte", vec![7]),
        ("four", b"abcd".to_vec()),
        ("five equal", vec![b'x'; 5]),
        ("text", text(131_072, 1)),
        ("short text", text(700, 2)),
        ("zeros", vec![0; 131_072]),
        ("noise", noise),
        ("a late match", late),
        ("alternating", alternating),
        ("pairs", (0..60_000usize).flat_map(|i| [(i % 251) as u8, (i / 251) as u8]).collect()),
    ]
}

#[test]
fn lz77_zstd_output_in_a_frame_decodes_to_the_input() {
    let mut rig = Rig::new(4);
    let mut frames = 0;
    for request_type in ZSTD {
        for (name, input) in samples() {
            let found = parse(&mut rig, request_type, &input);
            let matched: usize = found.sequences.iter().map(|(_, s)| usize::from(s.match_length) + 3).sum();
            assert_eq!(found.literals.len() + matched, input.len(), "{name}");
            let has_long = found.sequences.iter().any(|(literals, _)| *literals > 65_535);
            assert_eq!(found.completion.long_literals.is_some(), has_long, "{name}");
            assert!(name != "a late match" || has_long, "{name}: {:?}", found.completion);
            if !zstd_frame::fits(&found.literals, &found.sequences, 128 << 10) {
                assert!(name == "noise", "{name} would have to be stored");
                continue;
            }
            let frame = zstd_frame::frame(&[Block::Sequences { literals: &found.literals, sequences: &found.sequences }]);
            assert!(zstd_frame::decode(&frame) == input, "{name}");
            match zstd_frame::decode_by_program(&frame) {
                Some(output) => assert!(output == input, "{name} by zstd"),
                None => eprintln!("lz77_zstd: no zstd program, decoded by the crate alone"),
            }
            frames += 1;
        }
    }
    assert!(frames >= 18, "{frames}");
}

#[test]
fn lz77_zstd_repeated_distances_get_their_numbers() {
    let mut rig = Rig::new(4);
    // Records of one length: nearly every match has the last distance.
    let input: Vec<u8> = (0..4000u32).flat_map(|i| [b'r', b'e', b'c', b':', (i * 7) as u8, (i >> 3) as u8, b';', b'\n']).collect();
    let found = parse(&mut rig, RequestType::LZ77_ZSTD, &input);
    let repeats = found.sequences.iter().filter(|(_, s)| (1..=3).contains(&s.offset)).count();
    assert!(repeats * 2 > found.sequences.len(), "{repeats} of {}", found.sequences.len());
    assert!(found.sequences.iter().all(|(_, s)| s.offset != 0));
}

#[test]
fn lz77_zstd_table_counts_the_codes() {
    let mut rig = Rig::new(4);
    for (name, input) in samples() {
        let found = parse(&mut rig, RequestType::LZ77_ZSTD_PRICE, &input);
        let mut counts = vec![0; 784 / 4];
        for (literals, sequence) in &found.sequences {
            // Up to the first code of more than one length; the rest are counted together.
            counts[frequency::LITERAL_LENGTHS + (*literals).min(16) as usize] += 1;
            counts[frequency::MATCH_LENGTHS + sequence.match_length.min(32) as usize] += 1;
            counts[frequency::OFFSETS + sequence.offset.ilog2() as usize] += 1;
        }
        let sum = |from: usize, to: usize| found.frequencies[from..to].iter().sum::<u32>();
        assert_eq!(found.frequencies[..16], counts[..16], "{name}");
        assert_eq!(sum(16, frequency::MATCH_LENGTHS), counts[16], "{name}");
        assert_eq!(found.frequencies[frequency::MATCH_LENGTHS..][..32], counts[frequency::MATCH_LENGTHS..][..32], "{name}");
        assert_eq!(sum(frequency::MATCH_LENGTHS + 32, frequency::OFFSETS), counts[frequency::MATCH_LENGTHS + 32], "{name}");
        assert_eq!(found.frequencies[frequency::OFFSETS..], counts[frequency::OFFSETS..], "{name}");
    }
}

#[test]
fn lz77_zstd_price_code_finds_no_less() {
    let mut rig = Rig::new(4);
    let input = text(131_072, 4);
    let cost = |found: &Parse| found.literals.len() + 3 * found.sequences.len();
    let [plain, price] = ZSTD.map(|request_type| cost(&parse(&mut rig, request_type, &input)));
    assert!(price < plain, "{price} {plain}");
}

/// A stream of blocks: history and repeated distances go on, also behind a block that the caller stored.
#[test]
fn lz77_zstd_streams_go_on_over_blocks_and_engines() {
    let mut random = Random(8);
    for request_type in ZSTD {
        let mut rig = Rig::new(16);
        let mut input = text(200_000, 5);
        input.extend(random.bytes(300_000));
        input.extend(text(150_000, 5));
        let mut stream = StreamState::new(&mut rig);
        let (source, literals) = (rig.put(&input), rig.room(140_000));
        let sequences = rig.room(sequence_room(131_072));
        let (mut at, mut kept) = (0, vec![]);
        while at < input.len() {
            let len = (20_000 + random.below(110_000)).min(input.len() - at);
            let repcodes = rig.peek(Iova(stream.context.0 + 784), 12);
            let mut request =
                request(request_type, Iova(source.0 + at as u64), len, (literals, 140_000), (sequences, sequence_room(131_072)));
            request.request.mode = Mode::Stream(stream.step);
            let sqe = rig.run_entry(request.encode(), Direction::Compress);
            let completion = Lz77Completion::from(&sqe);
            assert_eq!((completion.status, completion.consumed as usize), (Status::SUCCESS, len));
            stream.follow(&Completion::from(&sqe));
            let found = read_parse(completion, &rig.peek(literals, 140_000), &rig.peek(sequences, sequence_room(131_072)));
            let trailing = found.literals.len() as u32 - found.sequences.iter().map(|(literals, _)| literals).sum::<u32>();
            assert_eq!(rig.peek(Iova(stream.context.0 + 796), 4), trailing.to_le_bytes());
            let is_stored = !zstd_frame::fits(&found.literals, &found.sequences, len);
            if is_stored {
                // What a driver does whose block was stored: the last distances are those before it.
                rig.poke(
                    Iova(stream.context.0 + 784),
                    &if at == 0 { [1, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0] } else { repcodes.try_into().unwrap() },
                );
            }
            kept.push((at..at + len, found, is_stored));
            at += len;
            // Another slot serves the next block.
            *rig.engine = Default::default();
        }
        assert!(kept.iter().any(|(_, _, is_stored)| *is_stored) && kept.iter().any(|(_, _, is_stored)| !*is_stored));
        let blocks: Vec<Block<'_>> = kept
            .iter()
            .map(|(range, found, is_stored)| match is_stored {
                true => Block::Raw(&input[range.clone()]),
                false => Block::Sequences { literals: &found.literals, sequences: &found.sequences },
            })
            .collect();
        assert!(zstd_frame::decode(&zstd_frame::frame(&blocks)) == input);
        // History is of use: the second text begins with what the first had.
        let first_of_last = kept.iter().rev().find(|(range, _, _)| range.start > 500_000).expect("a late block");
        assert!(first_of_last.1.literals.len() * 4 < first_of_last.0.len());
    }
}

#[test]
fn lz77_zstd_continuations_of_nothing_are_refused() {
    let mut rig = Rig::new(4);
    let input = text(3000, 1);
    let mut stream = StreamState::new(&mut rig);
    let (source, literals, sequences) = (rig.put(&input), rig.room(4000), rig.room(9000));
    let run = |rig: &mut Rig, request_type, step: StreamStep| {
        let mut request = request(request_type, source, input.len(), (literals, 4000), (sequences, 9000));
        request.request.mode = Mode::Stream(step);
        Completion::from(&rig.run_entry(request.encode(), Direction::Compress))
    };
    let cold = StreamStep { is_new: false, ..stream.step };
    assert_eq!(run(&mut rig, RequestType::LZ77_ZSTD, cold).status, Status::BAD_CONTEXT);
    let completion = run(&mut rig, RequestType::LZ77_ZSTD, stream.step);
    assert_eq!(completion.status, Status::SUCCESS);
    stream.follow(&completion);
    assert_eq!(completion.words.window_bytes(), 3000);
    // Another type's stream is not this one's, nor is it one of DEFLATE.
    assert_eq!(run(&mut rig, RequestType::LZ77_ZSTD_PRICE, stream.step).status, Status::BAD_CONTEXT);
    let deflate = Request { mode: Mode::Stream(stream.step), ..flat(Container::Raw, source, input.len(), sequences, 9000) };
    assert_eq!(rig.run(deflate, Direction::Compress).status, Status::BAD_CONTEXT);
    // Any last distances may stand there: the output is the process's own.
    for repcodes in [[0u8; 12], [0xff; 12], [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]] {
        rig.poke(Iova(stream.context.0 + stream_context::REPCODES as u64), &repcodes);
        let completion = run(&mut rig, RequestType::LZ77_ZSTD, stream.step);
        assert_eq!(completion.status, Status::SUCCESS);
        stream.follow(&completion);
    }
}

#[test]
fn lz77_only_stands_for_the_input() {
    let mut rig = newest(64);
    for request_type in ONLY {
        let mut inputs = samples();
        let mut long = Random(3).bytes(300_000);
        long.extend_from_within(280_000..);
        inputs.push(("long runs of literals", long));
        inputs.push(("long zeros", vec![0; 1 << 20]));
        inputs.push(("long text", text(1 << 20, 6)));
        for (name, input) in inputs {
            let found = parse(&mut rig, request_type, &input);
            assert!(expand_only(&found) == input, "{name}");
            assert_eq!(found.completion.long_literals, None, "{name}");
            if name == "long runs of literals" {
                assert!(found.sequences.iter().filter(|(literals, s)| *literals == 65_535 && s.offset == 0).count() >= 2);
            }
        }
    }
    // The longest input, and one byte more.
    let longest = (8 << 20) - 16;
    let noise = Random(7).bytes(20_000);
    let input: Vec<u8> = noise.iter().copied().cycle().take(longest).collect();
    assert!(expand_only(&parse(&mut rig, RequestType::LZ77_ONLY, &input)) == input);
    let sqe = request(RequestType::LZ77_ONLY, Iova(BASE), longest + 1, (Iova(BASE), 16), (Iova(BASE), 16)).encode();
    assert_eq!(rig.run_sqe(sqe, Direction::Compress).status, Status::BAD_INPUT_LENGTH);
}

#[test]
fn windows_bound_the_distances_of_every_type() {
    let mut rig = newest(8);
    let noise = Random(4).bytes(20_000);
    let input = [&noise[..], &noise[..3000], &noise, &text(30_000, 3)].concat();
    for (window, bytes) in
        [(Window::K4, 4 << 10), (Window::K8, 8 << 10), (Window::K16, 16 << 10), (Window::K24, 24 << 10), (Window::K32, 32 << 10)]
    {
        let source = rig.put(&input);
        let (literals, sequences) = (rig.room(input.len() + 16), rig.room(sequence_room(input.len())));
        let mut plain =
            request(RequestType::LZ77_ONLY, source, input.len(), (literals, input.len() + 16), (sequences, sequence_room(input.len())));
        plain.request.window = window;
        let completion = Lz77Completion::from(&rig.run_entry(plain.encode(), Direction::Compress));
        let found = read_parse(completion, &rig.peek(literals, input.len() + 16), &rig.peek(sequences, sequence_room(input.len())));
        assert!(expand_only(&found) == input);
        let longest = found.sequences.iter().map(|(_, s)| s.offset).max().unwrap();
        assert!(longest <= bytes, "{longest} in a window of {bytes}");
        // The noise comes back at distances of 3000, 20000 and 23000 bytes.
        assert_eq!(longest > 16 << 10, bytes > 16 << 10, "{longest} in a window of {bytes}");
        rig.rewind(source);
    }
}

fn lz4(source: Iova, len: usize, destination: Iova, room: usize) -> Request {
    Request { request_type: RequestType::LZ4, ..flat(Container::Raw, source, len, destination, room) }
}

/// One LZ4 request over flat buffers.
fn block(rig: &mut Rig, input: &[u8], room: usize) -> (Completion, Vec<u8>) {
    let (source, destination) = (rig.put(input), rig.room(room));
    let completion = rig.run(lz4(source, input.len(), destination, room), Direction::Compress);
    assert!(rig.guard_is_intact(destination, room));
    let out = rig.peek(destination, completion.produced as usize);
    rig.rewind(source);
    (completion, out)
}

#[test]
fn lz4_blocks_decode_with_lz4_flex_and_back() {
    let mut rig = newest(40);
    let mut inputs = samples();
    for len in [1, 4, 5, 11, 12, 13, 14, 17, 65_535, 65_536, 65_537] {
        inputs.push(("equal bytes", vec![b'q'; len]));
        inputs.push(("text of some length", text(len, 8)));
    }
    inputs.push(("long noise", Random(6).bytes(1 << 20)));
    inputs.push(("8 MiB of text", text(8 << 20, 9)));
    inputs.push(("8 MiB of zeros", vec![0; 8 << 20]));
    for (name, input) in inputs {
        let (completion, packed) = block(&mut rig, &input, input.len() + input.len() / 255 + 16);
        let grew = packed.len() > input.len();
        assert_eq!(completion.status, if grew { Status::NEGATIVE_COMPRESSION } else { Status::SUCCESS }, "{name}");
        assert_eq!(completion.consumed as usize, input.len(), "{name}");
        assert!(lz4_flex::block::decompress(&packed, input.len()).expect(name) == input, "{name}");
        let mut output = vec![0; input.len()];
        assert_eq!(deflate::lz4::decompress_block(&packed, &mut output), Ok(input.len()), "{name}");
        assert!(output == input, "{name}");
        let theirs = lz4_flex::block::compress(&input);
        assert_eq!(deflate::lz4::decompress_block(&theirs, &mut output), Ok(input.len()), "{name} of lz4_flex");
        assert!(output == input, "{name} of lz4_flex");
    }
}

#[test]
fn lz4_lengths_and_rooms_out_of_range() {
    let mut rig = newest(4);
    for len in [0, (8 << 20) + 1] {
        assert_eq!(rig.run(lz4(Iova(BASE), len, Iova(BASE), 4096), Direction::Compress).status, Status::BAD_INPUT_LENGTH, "{len}");
    }
    for input in [text(3000, 1), Random(2).bytes(3000), vec![0; 3000]] {
        let (whole, packed) = block(&mut rig, &input, 4000);
        let (exact, same) = block(&mut rig, &input, packed.len());
        assert_eq!((exact, same == packed), (whole, true));
        for room in [packed.len() - 1, packed.len() / 2, 1, 0] {
            let (short, front) = block(&mut rig, &input, room);
            assert_eq!(short.status, Status::DESTINATION_TOO_SMALL, "{room}");
            assert!(short.produced as usize <= room && packed.starts_with(&front), "{room}");
        }
    }
}

#[test]
fn lists_with_random_cuts_equal_flat_for_sequences_and_blocks() {
    let mut random = Random(12);
    for round in 0..16 {
        let input = [text(100_000, round), random.bytes(3000), text(4000, round)].concat();
        for request_type in [RequestType::LZ77_ZSTD, RequestType::LZ77_ONLY_PRICE, RequestType::LZ4] {
            let mut rig = newest(48);
            let longest = [3000, 300_000, 40][round as usize % 3];
            let input = if longest == 40 { &input[90_000..] } else { &input[..] };
            let per_list = 1 + random.below(255);
            let source_entries = cut(&mut rig, input.len(), &mut random, longest);
            scatter(&mut rig, &source_entries, input);
            let (literal_room, sequence_room) = (input.len() + 16, sequence_room(input.len()));
            let literal_entries = cut(&mut rig, literal_room, &mut random, longest);
            let sequence_entries = cut(&mut rig, sequence_room, &mut random, longest);
            let source = chain(&mut rig, &source_entries, per_list);
            let literals = chain(&mut rig, &literal_entries, per_list);
            let sequences = chain(&mut rig, &sequence_entries, per_list);
            if request_type == RequestType::LZ4 {
                let (smooth, packed) = block(&mut rig, input, sequence_room);
                let listed = Request { buffer_type: BufferType::SGL, ..lz4(source, input.len(), sequences, sequence_room) };
                assert_eq!(rig.run(listed, Direction::Compress), smooth);
                assert!(gather(&rig, &sequence_entries)[..packed.len()] == packed);
            } else {
                let smooth = parse(&mut rig, request_type, input);
                let mut listed = request(request_type, source, input.len(), (literals, literal_room), (sequences, sequence_room));
                listed.request.buffer_type = BufferType::SGL;
                let completion = Lz77Completion::from(&rig.run_entry(listed.encode(), Direction::Compress));
                assert!(read_parse(completion, &gather(&rig, &literal_entries), &gather(&rig, &sequence_entries)) == smooth);
            }
        }
    }
}

#[test]
fn absent_pages_give_the_same_sequences_and_blocks() {
    let input = [text(100_000, 2), Random(9).bytes(20_000)].concat();
    let mut rig = newest(8);
    let smooth = parse(&mut rig, RequestType::LZ77_ZSTD, &input);
    let (source, literals) = (rig.put(&input), rig.room(input.len() + 16));
    let sequences = rig.room(sequence_room(input.len()));
    for (at, len) in [(source, input.len()), (literals, input.len() + 16), (sequences, sequence_room(input.len()))] {
        rig.port.set_pages(at, len, Some(PageState::Absent));
    }
    let entry = request(RequestType::LZ77_ZSTD, source, input.len(), (literals, input.len() + 16), (sequences, sequence_room(input.len())));
    let completion = Lz77Completion::from(&rig.run_entry(entry.encode(), Direction::Compress));
    let found = read_parse(completion, &rig.peek(literals, input.len() + 16), &rig.peek(sequences, sequence_room(input.len())));
    assert!(found == smooth && rig.port.stalls > 50);
    let (whole, packed) = block(&mut rig, &input, 130_000);
    let destination = rig.room(130_000);
    rig.port.set_pages(source, input.len(), Some(PageState::Absent));
    rig.port.set_pages(destination, 130_000, Some(PageState::Absent));
    assert_eq!(rig.run(lz4(source, input.len(), destination, 130_000), Direction::Compress), whole);
    assert!(rig.peek(destination, packed.len()) == packed);
}

#[test]
fn aborts_of_sequences_and_blocks_have_the_status_of_their_place() {
    let input = text(50_000, 3);
    let room = sequence_room(input.len());
    for (place, status) in
        [(0, Status::SOURCE_ABORT), (1, Status::DESTINATION_ABORT), (2, Status::DESTINATION_ABORT), (3, Status::CONTEXT_ABORT)]
    {
        let mut rig = newest(8);
        let stream = StreamState::new(&mut rig);
        let (source, literals, sequences) = (rig.put(&input), rig.room(50_016), rig.room(room));
        let (at, len) = [(source, 50_000), (literals, 50_016), (sequences, room), (stream.context, 35_000)][place];
        rig.port.set_pages(at, len, Some(PageState::Broken));
        let mut entry = request(RequestType::LZ77_ZSTD, source, input.len(), (literals, 50_016), (sequences, room));
        if place == 3 {
            entry.request.mode = Mode::Stream(stream.step);
        }
        assert_eq!(rig.run_sqe(entry.encode(), Direction::Compress).status, status);
        if place < 2 {
            let destination = if place == 1 { literals } else { sequences };
            assert_eq!(rig.run(lz4(source, input.len(), destination, room.min(50_016)), Direction::Compress).status, status);
        }
    }
}

#[test]
fn rooms_that_are_too_small_for_sequences() {
    let mut rig = Rig::new(4);
    let input = text(20_000, 3);
    let found = parse(&mut rig, RequestType::LZ77_ZSTD, &input);
    let source = rig.put(&input);
    let (literals, sequences) = (rig.room(20_016), rig.room(60_000));
    let exact = (found.literals.len(), 8 * found.sequences.len() + 8 + 784);
    let mut status = |literal_room: usize, sequence_room: usize| {
        let entry = request(RequestType::LZ77_ZSTD, source, input.len(), (literals, literal_room), (sequences, sequence_room));
        rig.run_sqe(entry.encode(), Direction::Compress).status
    };
    assert_eq!(status(exact.0, exact.1), Status::SUCCESS);
    assert_eq!(status(exact.0 - 1, exact.1), Status::DESTINATION_TOO_SMALL);
    assert_eq!(status(exact.0, exact.1 - 1), Status::DESTINATION_TOO_SMALL);
    assert_eq!(status(0, exact.1), Status::DESTINATION_TOO_SMALL);
    assert_eq!(status(exact.0, 0), Status::DESTINATION_TOO_SMALL);
    for len in [0, 131_073] {
        let entry = request(RequestType::LZ77_ZSTD, source, len, (literals, 20_016), (sequences, 60_000));
        assert_eq!(rig.run_sqe(entry.encode(), Direction::Compress).status, Status::BAD_INPUT_LENGTH, "{len}");
    }
}

#[test]
fn each_profile_takes_its_types_only() {
    let mut rig = Rig::new(1);
    let source = rig.put(&text(500, 1));
    let (literals, sequences) = (rig.room(600), rig.room(4000));
    let mut status = |capabilities: Capabilities, request_type: RequestType, direction: Direction, sqe_type: SqeType| {
        rig.capabilities = capabilities;
        let mut entry = request(request_type, source, 500, (literals, 600), (sequences, 4000));
        entry.request.sqe_type = sqe_type;
        rig.run_sqe(entry.encode(), direction).status
    };
    let all = [ZSTD[0], ZSTD[1], ONLY[0], ONLY[1], RequestType::LZ4];
    for (capabilities, taken) in [(Capabilities::V3_UNTOLD, 0), (Capabilities::V3, 2), (Capabilities::V5, 5)] {
        for (number, request_type) in all.into_iter().enumerate() {
            let expected = if number < taken { Status::SUCCESS } else { Status::BAD_REQUEST_TYPE };
            assert_eq!(status(capabilities, request_type, Direction::Compress, SqeType::TYPE3), expected, "{request_type:?}");
            assert_eq!(status(capabilities, request_type, Direction::Decompress, SqeType::TYPE3), Status::BAD_REQUEST_TYPE);
            assert_eq!(status(capabilities, request_type, Direction::Compress, SqeType::TYPE0), Status::BAD_REQUEST_TYPE);
        }
    }
    assert_eq!(status(Capabilities::V2, ZSTD[0], Direction::Compress, SqeType::TYPE3), Status::BAD_SQE_TYPE);
    // Blocks have no streams.
    let step = StreamStep { is_new: true, flush: Flush::Finish, context: sequences, words: Default::default(), isize: 0, checksum: 0 };
    rig.capabilities = Capabilities::V5;
    let streamed = Request { mode: Mode::Stream(step), ..lz4(source, 500, sequences, 4000) };
    assert_eq!(rig.run(streamed, Direction::Compress).status, Status::BAD_MODE);
}

#[test]
fn lit_len_en_bit_4_leaves_long_literals_out() {
    let mut core = ZipCore::new(Capabilities::V3);
    core.mmio_write(0x30_1004, 4, 0x1001f);
    let (_, input) = samples().swap_remove(7);
    let mut rig = Rig::new(4);
    let (source, literals) = (rig.put(&input), rig.room(input.len() + 16));
    let sequences = rig.room(sequence_room(input.len()));
    let entry = request(RequestType::LZ77_ZSTD, source, input.len(), (literals, input.len() + 16), (sequences, sequence_room(input.len())));
    for (word, has) in [(0, true), (0x10, false)] {
        core.mmio_write(LIT_LEN_EN.offset(), 4, word);
        let mut job = core.accept(entry.encode().0, Direction::Compress, WHO);
        let sqe = loop {
            if let Step::Done(words) = job.step(&mut rig.port, &mut rig.engine) {
                break Sqe(words);
            }
        };
        core.retire(&job);
        assert_eq!(sqe.0[31] != 0, has);
        assert_eq!(Lz77Completion::from(&sqe).long_literals.is_some(), has);
    }
    // Literals and sequences are what the core has produced.
    let produced = core.mmio_read(0x30_2040, 4) + core.mmio_read(0x30_3040, 4);
    let found = parse(&mut rig, RequestType::LZ77_ZSTD, &input);
    assert_eq!(produced as usize, 2 * (found.literals.len() + 8 * found.sequences.len() + 8 + 784));
}
