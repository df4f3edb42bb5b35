//! The engine behind real queues: every request type, one shot and in streams, flat and in lists; and what its cores say of it.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

/// What runs at EL0.
#[cfg(target_os = "none")]
mod programs {
    use firmware_apps::SvcSystem;
    use hal::{Clock, Iova};
    use hal_aarch64::GenericTimer;
    use target_tests::user::{RawQueue, leave, memory, set_word, store, word};
    use target_tests::{check, get};
    use uacce_user::{CompletionWait, Lz77Format, Lz77Level, Parsed, ZipQueue, lz4_block, lz77_one_shot};
    use zip_spec::{
        BufferType, Completion, Flush, Mode, Request, RequestType, SGL_ENTRY_BYTES, SGL_HEADER_BYTES, Sequence, SglEntry, SglHeader,
        SqeType, Status, StreamStep, Window, stream_context,
    };

    /// Words of the board: requests sent by direction, those that the engine had to refuse, bytes by direction, and the end.
    pub const SENT: usize = 0;
    pub const REFUSED: usize = 2;
    pub const CONSUMED: usize = 4;
    pub const PRODUCED: usize = 6;
    pub const STOPS: usize = 8;
    pub const DONE: usize = 9;
    /// Instructions per input byte, in hundredths.
    pub const WORK: usize = 10;

    const DATA_BYTES: u64 = 60_000;
    const ROOM_BYTES: u64 = 96 << 10;
    const WAIT: CompletionWait = CompletionWait { spins: 1 << 20, timeout_nanoseconds: 20_000_000_000 };

    pub struct Random(u64);

    impl Random {
        fn below(&mut self, n: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) % n
        }
    }

    /// Memory of this process as bytes. The areas of a test do not overlap, and none is looked at through two of these at once.
    fn bytes(at: u64, len: u64) -> &'static mut [u8] {
        // SAFETY: mapped by `memory` for the process's life; a test looks at it between requests only.
        unsafe { core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut(at as usize), len as usize) }
    }

    /// Text of repeated words, and noise in the middle.
    fn write_data(at: u64, len: u64, seed: u64) {
        let words: [&[u8]; 8] = [b"queue ", b"doorbell ", b"page ", b"the ", b"engine ", b"stall\n", b"of ", b"resumes, "];
        let mut random = Random(seed);
        let out = bytes(at, len);
        let (mut done, noise) = (0, out.len() / 2..out.len() / 2 + out.len() / 8);
        while done < out.len() {
            if noise.contains(&done) {
                out[done] = random.below(256) as u8;
                done += 1;
                continue;
            }
            for byte in words[random.below(8) as usize] {
                if done < out.len() {
                    out[done] = *byte;
                    done += 1;
                }
            }
        }
    }

    /// Length of the memory that a chain of lists is written to.
    const LISTS_BYTES: u64 = 64 << 10;

    /// Cuts memory into a chain of lists at `place`, each with at most `per_list` entries.
    fn lists(place: u64, at: u64, len: u64, longest: u64, per_list: u64, random: &mut Random) {
        let (mut list, mut left, mut from) = (place, len, at);
        while left > 0 {
            let mut count = 0;
            while left > 0 && count < per_list {
                let piece = (1 + random.below(longest)).min(left);
                let entry = SglEntry { address: Iova(from), len_bytes: piece as u32 }.to_bytes();
                bytes(list + SGL_HEADER_BYTES as u64 + count * SGL_ENTRY_BYTES as u64, SGL_ENTRY_BYTES as u64).copy_from_slice(&entry);
                (from, left, count) = (from + piece, left - piece, count + 1);
            }
            let next = (list + SGL_HEADER_BYTES as u64 + count * SGL_ENTRY_BYTES as u64).next_multiple_of(64);
            check!(next + 64 + 32 * per_list < place + LISTS_BYTES);
            let header = SglHeader {
                next: Iova(if left > 0 { next } else { 0 }),
                entry_sum_in_chain: 0,
                entry_sum_in_sgl: count as u16,
                entry_length_in_sgl: per_list as u16,
            };
            bytes(list, SGL_HEADER_BYTES as u64).copy_from_slice(&header.to_bytes());
            list = next;
        }
    }

    /// One side of a request.
    #[derive(Clone, Copy)]
    struct Side {
        at: u64,
        len: u64,
    }

    fn request(request_type: RequestType, kind: BufferType, source: Side, destination: Side, mode: Mode) -> Request {
        Request {
            sqe_type: SqeType::TYPE3,
            request_type,
            buffer_type: kind,
            window: Window::K32,
            source: Iova(source.at),
            source_bytes: source.len as u32,
            source_offset: 0,
            destination: Iova(destination.at),
            destination_bytes: destination.len as u32,
            destination_offset: 0,
            mode,
            tag: 0x51_0000_0051,
        }
    }

    /// Runs a request and books it.
    fn run(queue: &mut RawQueue, direction: usize, request: &Request) -> Completion {
        let completion = queue.run(&request.encode());
        for (index, more) in [(SENT, 1), (CONSUMED, completion.consumed), (PRODUCED, completion.produced)] {
            set_word(index + direction, word(index + direction) + u64::from(more));
        }
        completion
    }

    /// A stream between its requests.
    struct Stream(StreamStep);

    impl Stream {
        fn new() -> Self {
            let context = Iova(memory(stream_context::BUFFER_BYTES) + stream_context::SOFTWARE_BYTES);
            Self(StreamStep { is_new: true, flush: Flush::Sync, context, words: Default::default(), isize: 0, checksum: 0 })
        }

        fn mode(&mut self, flush: Flush) -> Mode {
            self.0.flush = flush;
            Mode::Stream(self.0)
        }

        fn follow(&mut self, completion: &Completion) {
            let Completion { words, isize, checksum, .. } = *completion;
            self.0 = StreamStep { is_new: false, words, isize, checksum, ..self.0 };
        }
    }

    /// How a request's memory is described.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Layout {
        Flat,
        Lists { longest: u64, per_list: u64 },
    }

    impl Layout {
        fn kind(self) -> BufferType {
            if self == Self::Flat { BufferType::FLAT } else { BufferType::SGL }
        }

        /// What an entry says of memory; lists are written to `place`.
        fn of(self, place: u64, at: u64, len: u64, random: &mut Random) -> u64 {
            let Self::Lists { longest, per_list } = self else { return at };
            lists(place, at, len, longest, per_list, random);
            place
        }
    }

    const FORMATS: [RequestType; 3] = [RequestType::DEFLATE, RequestType::ZLIB, RequestType::GZIP];
    const LAYOUTS: [Layout; 3] =
        [Layout::Flat, Layout::Lists { longest: 9000, per_list: 255 }, Layout::Lists { longest: 700, per_list: 3 }];

    /// Every format there and back in one request each way, flat and in lists.
    pub extern "C" fn one_shots(_: u64) -> ! {
        let mut queues = [RawQueue::compressing(), RawQueue::decompressing()];
        let [data, packed, back] = [memory(ROOM_BYTES), memory(ROOM_BYTES), memory(ROOM_BYTES)];
        let places = [memory(LISTS_BYTES), memory(LISTS_BYTES)];
        write_data(data, DATA_BYTES, 1);
        let mut random = Random(2);
        for format in FORMATS {
            for layout in LAYOUTS {
                bytes(packed, ROOM_BYTES).fill(0xa5);
                bytes(back, ROOM_BYTES).fill(0x5a);
                let (source, room) =
                    (layout.of(places[0], data, DATA_BYTES, &mut random), layout.of(places[1], packed, ROOM_BYTES, &mut random));
                let compress = request(
                    format,
                    layout.kind(),
                    Side { at: source, len: DATA_BYTES },
                    Side { at: room, len: ROOM_BYTES },
                    Mode::ONE_SHOT,
                );
                let made = run(&mut queues[0], 0, &compress);
                check!(made.status == Status::SUCCESS && u64::from(made.consumed) == DATA_BYTES, made.status.0);
                check!(made.produced > 5000 && u64::from(made.produced) < DATA_BYTES / 2, made.produced);
                check!(bytes(packed, ROOM_BYTES)[made.produced as usize..].iter().all(|byte| *byte == 0xa5));
                let len = u64::from(made.produced);
                let (source, room) = (layout.of(places[0], packed, len, &mut random), layout.of(places[1], back, DATA_BYTES, &mut random));
                let decompress =
                    request(format, layout.kind(), Side { at: source, len }, Side { at: room, len: DATA_BYTES }, Mode::ONE_SHOT);
                let got = run(&mut queues[1], 1, &decompress);
                check!(got.status == Status::SUCCESS && got.is_last_block, got.status.0);
                check!((got.consumed, u64::from(got.produced)) == (made.produced, DATA_BYTES), got.produced);
                check!((got.checksum, got.isize) == (made.checksum, made.isize), got.checksum);
                check!(bytes(back, DATA_BYTES) == bytes(data, DATA_BYTES));
                check!(bytes(back, ROOM_BYTES)[DATA_BYTES as usize..].iter().all(|byte| *byte == 0x5a));
            }
        }
        // Streams that another encoder made.
        for (format, body, expected) in FOREIGN {
            bytes(packed, body.len() as u64).copy_from_slice(body);
            let decompress = request(
                *format,
                BufferType::FLAT,
                Side { at: packed, len: body.len() as u64 },
                Side { at: back, len: ROOM_BYTES },
                Mode::ONE_SHOT,
            );
            let got = run(&mut queues[1], 1, &decompress);
            check!(got.status == Status::SUCCESS && got.consumed as usize == body.len(), got.status.0);
            check!(bytes(back, u64::from(got.produced)) == *expected, got.produced);
        }
        // And entries that the engine refuses.
        for (direction, queue) in queues.iter_mut().enumerate() {
            let good =
                request(RequestType::ZLIB, BufferType::FLAT, Side { at: data, len: 100 }, Side { at: back, len: 4096 }, Mode::ONE_SHOT);
            for (bad, status) in [
                (Request { request_type: RequestType(0x77), ..good }, Status::BAD_REQUEST_TYPE),
                (Request { buffer_type: BufferType(7), ..good }, Status::BAD_BUFFER_TYPE),
                (Request { sqe_type: SqeType(9), ..good }, Status::BAD_SQE_TYPE),
                (Request { source_bytes: 0, ..good }, Status::BAD_INPUT_LENGTH),
                (Request { source_bytes: (8 << 20) + 1, ..good }, Status::BAD_INPUT_LENGTH),
            ] {
                let refused = run(queue, direction, &bad);
                check!(refused.status == status && refused.consumed == 0 && refused.produced == 0, refused.status.0);
                set_word(REFUSED + direction, word(REFUSED + direction) + 1);
            }
        }
        set_word(DONE, 1);
        leave()
    }

    /// zlib at level 9 over "abcabcabc…" of 60 bytes: raw, with the Adler-32, and with CRC-32 and length.
    const ABC: &[u8] = b"abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc";
    const FOREIGN: &[(RequestType, &[u8], &[u8])] = &[
        (RequestType::DEFLATE, &[0x4b, 0x4c, 0x4a, 0x4e, 0x24, 0x17, 0x01, 0x00], ABC),
        (RequestType::ZLIB, &[0x4b, 0x4c, 0x4a, 0x4e, 0x24, 0x17, 0x01, 0x00, ADLER[0], ADLER[1], ADLER[2], ADLER[3]], ABC),
        (RequestType::GZIP, &[0x4b, 0x4c, 0x4a, 0x4e, 0x24, 0x17, 0x01, 0x00, CRC[0], CRC[1], CRC[2], CRC[3], 60, 0, 0, 0], ABC),
    ];
    const ADLER: [u8; 4] = [0xbc, 0xbe, 0x16, 0xf9];
    const CRC: [u8; 4] = [0x2d, 0xfa, 0x91, 0xe1];

    /// Every format in streams of random steps, whose output is full at random places; two queues of each direction take turns.
    pub extern "C" fn streams(_: u64) -> ! {
        let mut compressors = [RawQueue::compressing(), RawQueue::compressing()];
        let mut decompressors = [RawQueue::decompressing(), RawQueue::decompressing()];
        let [data, packed, back] = [memory(ROOM_BYTES), memory(ROOM_BYTES), memory(ROOM_BYTES)];
        let places = [memory(LISTS_BYTES), memory(LISTS_BYTES)];
        write_data(data, DATA_BYTES, 3);
        let mut random = Random(4);
        let mut stops = 0;
        for format in FORMATS {
            for layout in [Layout::Flat, Layout::Lists { longest: 500, per_list: 7 }] {
                for tight in [false, true] {
                    let mut stream = Stream::new();
                    let (mut from, mut to, mut turn) = (0, 0, 0);
                    loop {
                        let len = (1 + random.below(20_000)).min(DATA_BYTES - from);
                        let room = if tight { 17 + random.below(900) } else { 30_000 };
                        check!(to + room <= ROOM_BYTES, to);
                        let flush = if from + len == DATA_BYTES { Flush::Finish } else { Flush::Sync };
                        let source = Side { at: layout.of(places[0], data + from, len, &mut random), len };
                        let destination = Side { at: layout.of(places[1], packed + to, room, &mut random), len: room };
                        let step = request(format, layout.kind(), source, destination, stream.mode(flush));
                        let made = run(&mut compressors[turn % 2], 0, &step);
                        turn += 1;
                        check!(made.status == Status::SUCCESS, made.status.0);
                        stream.follow(&made);
                        from += u64::from(made.consumed);
                        to += u64::from(made.produced);
                        stops += u64::from(made.words.held() != 0);
                        if from == DATA_BYTES && flush == Flush::Finish && made.words.held() == 0 {
                            break;
                        }
                    }
                    bytes(back, ROOM_BYTES).fill(0x5a);
                    let mut stream = Stream::new();
                    let (all, mut from, mut to, mut turn) = (to, 0, 0, 0);
                    loop {
                        let len = random.below(4000).min(all - from);
                        let room = (17 + random.below(if tight { 900 } else { 20_000 })).min(ROOM_BYTES - to);
                        let source = Side { at: layout.of(places[0], packed + from, len, &mut random), len };
                        let destination = Side { at: layout.of(places[1], back + to, room, &mut random), len: room };
                        let step = request(format, layout.kind(), source, destination, stream.mode(Flush::Sync));
                        let got = run(&mut decompressors[turn % 2], 1, &step);
                        turn += 1;
                        stream.follow(&got);
                        from += u64::from(got.consumed);
                        to += u64::from(got.produced);
                        stops += u64::from(got.words.held() != 0);
                        if got.status == Status::END_OF_STREAM {
                            check!(got.is_last_block && from == all, from);
                            break;
                        }
                        check!(got.status == Status::SUCCESS && turn < 10_000, got.status.0);
                    }
                    check!(to == DATA_BYTES && bytes(back, DATA_BYTES) == bytes(data, DATA_BYTES), to);
                }
            }
        }
        set_word(STOPS, stops);
        set_word(DONE, 1);
        leave()
    }

    /// What sequences stand for; `names_repeats` as in Zstandard.
    fn expand(found: &Parsed<'_>, names_repeats: bool, out: &mut [u8]) -> usize {
        let (mut last, mut from, mut to) = ([1u32, 4, 8], 0, 0);
        let copy_literals = |from: &mut usize, to: &mut usize, out: &mut [u8], count: usize| {
            out[*to..*to + count].copy_from_slice(&found.literals[*from..*from + count]);
            (*from, *to) = (*from + count, *to + count);
        };
        for (literals, Sequence { offset, match_length, .. }) in found.sequences() {
            copy_literals(&mut from, &mut to, out, literals as usize);
            let (distance, length) = if names_repeats {
                let number = if offset > 3 { 3 } else { offset - u32::from(literals != 0) };
                let distance = match number {
                    _ if offset > 3 => offset - 3,
                    3 => last[0] - 1,
                    number => last[number as usize],
                };
                last = match number {
                    0 => last,
                    1 => [distance, last[0], last[2]],
                    _ => [distance, last[0], last[1]],
                };
                (distance, u32::from(match_length) + 3)
            } else {
                (offset, u32::from(match_length))
            };
            for _ in 0..length {
                out[to] = out[to - distance as usize];
                to += 1;
            }
        }
        let rest = found.literals.len() - from;
        copy_literals(&mut from, &mut to, out, rest);
        to
    }

    fn parse(format: Lz77Format, data: &[u8], back: &mut [u8]) {
        let system = SvcSystem;
        let mut queue = get!(ZipQueue::request_lz77(&system, format, WAIT));
        let (literal_room, sequence_room) = (format.literals_room(data.len()) as u64, format.sequences_room(data.len()) as u64);
        let (literals, sequences) = (memory(literal_room), memory(sequence_room));
        for level in [Lz77Level::Plain, Lz77Level::Price] {
            let (literals, sequences) = (bytes(literals, literal_room), bytes(sequences, sequence_room));
            let found = get!(lz77_one_shot(&mut queue, format, level, Window::K32, data, literals, sequences));
            check!(found.literals.len() < data.len() / 2, found.literals.len());
            check!(found.frequencies.len() == if format == Lz77Format::Zstd { 784 } else { 0 });
            back.fill(0x5a);
            check!(expand(&found, format == Lz77Format::Zstd, back) == data.len());
            check!(back[..data.len()] == *data);
        }
    }

    /// Literals and sequences for Zstandard: from revision 0x30 on.
    pub extern "C" fn lz77_zstd(_: u64) -> ! {
        let (data, back) = (memory(ROOM_BYTES), memory(ROOM_BYTES));
        write_data(data, DATA_BYTES, 5);
        parse(Lz77Format::Zstd, bytes(data, DATA_BYTES), bytes(back, ROOM_BYTES));
        set_word(DONE, 1);
        leave()
    }

    /// What only the newest part has.
    pub extern "C" fn newest(_: u64) -> ! {
        let (data, back, packed) = (memory(ROOM_BYTES), memory(ROOM_BYTES), memory(ROOM_BYTES));
        write_data(data, DATA_BYTES, 6);
        parse(Lz77Format::Zstd, bytes(data, DATA_BYTES), bytes(back, ROOM_BYTES));
        parse(Lz77Format::Only, bytes(data, DATA_BYTES), bytes(back, ROOM_BYTES));
        let system = SvcSystem;
        let mut queue = get!(ZipQueue::request_lz4(&system, WAIT));
        let len = get!(lz4_block(&mut queue, Window::K16, bytes(data, DATA_BYTES), bytes(packed, ROOM_BYTES)));
        check!(len < DATA_BYTES as usize / 2, len);
        bytes(back, ROOM_BYTES).fill(0x5a);
        check!(unpack_lz4(&bytes(packed, ROOM_BYTES)[..len], bytes(back, ROOM_BYTES)) == DATA_BYTES as usize);
        check!(bytes(back, DATA_BYTES) == bytes(data, DATA_BYTES));
        set_word(DONE, 1);
        leave()
    }

    /// Decodes an LZ4 block.
    fn unpack_lz4(block: &[u8], out: &mut [u8]) -> usize {
        let (mut from, mut to) = (0, 0);
        let length = |from: &mut usize, nibble: u8| {
            let mut length = usize::from(nibble);
            if nibble == 15 {
                loop {
                    let byte = block[*from];
                    *from += 1;
                    length += usize::from(byte);
                    if byte != 255 {
                        break;
                    }
                }
            }
            length
        };
        loop {
            let token = block[from];
            from += 1;
            let literals = length(&mut from, token >> 4);
            out[to..to + literals].copy_from_slice(&block[from..from + literals]);
            (from, to) = (from + literals, to + literals);
            if from == block.len() {
                return to;
            }
            let distance = usize::from(block[from]) | usize::from(block[from + 1]) << 8;
            from += 2;
            for _ in 0..length(&mut from, token & 15) + 4 {
                out[to] = out[to - distance];
                to += 1;
            }
        }
    }

    /// Begins streams on two queues and goes away in their middle: `number` says whether the queues are closed first.
    pub extern "C" fn abandon(number: u64) -> ! {
        let (data, packed) = (memory(ROOM_BYTES), memory(ROOM_BYTES));
        write_data(data, DATA_BYTES, number);
        let mut queues = [RawQueue::compressing(), RawQueue::decompressing()];
        let mut stream = Stream::new();
        let step = request(
            RequestType::GZIP,
            BufferType::FLAT,
            Side { at: data, len: DATA_BYTES },
            Side { at: packed, len: ROOM_BYTES },
            stream.mode(Flush::Sync),
        );
        let made = run(&mut queues[0], 0, &step);
        check!(made.status == Status::SUCCESS && u64::from(made.consumed) == DATA_BYTES, made.status.0);
        let mut stream = Stream::new();
        let len = u64::from(made.produced) / 2;
        let step = request(
            RequestType::GZIP,
            BufferType::FLAT,
            Side { at: packed, len },
            Side { at: data, len: DATA_BYTES },
            stream.mode(Flush::Sync),
        );
        let got = run(&mut queues[1], 1, &step);
        check!(got.status == Status::SUCCESS && u64::from(got.consumed) == len, got.status.0);
        if number.is_multiple_of(2) {
            for queue in queues {
                get!(queue.close());
            }
        }
        set_word(DONE, word(DONE) + 1);
        leave()
    }

    /// Puts bits as DEFLATE has them.
    struct Bits<'a> {
        out: &'a mut [u8],
        at: usize,
        held: u64,
        count: u32,
    }

    impl Bits<'_> {
        fn put(&mut self, value: u64, bits: u32) {
            self.held |= value << self.count;
            self.count += bits;
            while self.count >= 8 {
                self.out[self.at] = self.held as u8;
                self.at += 1;
                self.held >>= 8;
                self.count -= 8;
            }
        }
    }

    /// Streams that make a decoder work: dynamic blocks with one literal each, and blocks of nothing.
    fn hostile(out: &mut [u8], kind: u64, blocks: usize) -> usize {
        let mut bits = Bits { out, at: 0, held: 0, count: 0 };
        for number in 0..blocks {
            bits.put(u64::from(number + 1 == blocks), 1);
            match kind {
                0 => {
                    // HLIT 257, HDIST 1, HCLEN 18; one bit for 18, two for 0 and 1; 65 zeros, a 1, 190 zeros, a 1, and a 0 for distances.
                    for (value, width) in [(0b10, 2), (0, 5), (0, 5), (14, 4)] {
                        bits.put(value, width);
                    }
                    for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1] {
                        bits.put(
                            if symbol == 18 {
                                1
                            } else if symbol < 2 {
                                2
                            } else {
                                0
                            },
                            3,
                        );
                    }
                    for (value, width) in [(0, 1), (54, 7), (0b11, 2), (0, 1), (127, 7), (0, 1), (41, 7), (0b11, 2), (0b01, 2), (0b10, 2)] {
                        bits.put(value, width);
                    }
                }
                1 => {
                    bits.put(0b00, 2);
                    let pad = (8 - bits.count) % 8;
                    bits.put(0, pad);
                    bits.put(0xffff_0000, 32);
                }
                _ => bits.put(0b01, 2 + 7),
            }
        }
        bits.put(0, 7);
        bits.at
    }

    /// Virtual nanoseconds, which are instructions here, of one decompression per hostile stream; by input byte, in hundredths.
    pub extern "C" fn work(_: u64) -> ! {
        let (packed, back) = (memory(ROOM_BYTES), memory(ROOM_BYTES));
        let mut queue = RawQueue::decompressing();
        for kind in 0..3 {
            let len = hostile(bytes(packed, ROOM_BYTES), kind, [3000, 10_000, 30_000][kind as usize]) as u64;
            let step = request(
                RequestType::DEFLATE,
                BufferType::FLAT,
                Side { at: packed, len },
                Side { at: back, len: ROOM_BYTES },
                Mode::ONE_SHOT,
            );
            // Once to have the memory there.
            check!(queue.run(&step.encode()).status == Status::SUCCESS, kind);
            let before = GenericTimer.now_ticks();
            check!(queue.run(&step.encode()).status == Status::SUCCESS, kind);
            let ticks = GenericTimer.now_ticks() - before;
            set_word(WORK + kind as usize, ticks * (100_000_000_000 / GenericTimer.ticks_per_second()) / len);
        }
        set_word(DONE, 1);
        leave()
    }

    /// On a part without them, the queue says so and the engine refuses the entry.
    pub extern "C" fn not_offered(_: u64) -> ! {
        let system = SvcSystem;
        check!(ZipQueue::request_lz4(&system, WAIT).is_err());
        check!(ZipQueue::request_lz77(&system, Lz77Format::Only, WAIT).is_err());
        let mut queue = RawQueue::compressing();
        let at = memory(4096);
        store(at, 1);
        let side = Side { at, len: 64 };
        for request_type in [RequestType::LZ4, RequestType::LZ77_ONLY, RequestType::LZ77_ONLY_PRICE] {
            let refused = run(&mut queue, 0, &request(request_type, BufferType::FLAT, side, side, Mode::ONE_SHOT));
            check!(refused.status == Status::BAD_REQUEST_TYPE, refused.status.0);
        }
        set_word(DONE, 1);
        leave()
    }
}

#[cfg(target_os = "none")]
mod checks {
    use super::programs as p;
    use firmware_kernel::{engine_statistics, engine_traffic};
    use target_tests::Board;
    use zip_spec::{Core, MAX_COMPRESS_CORES};

    /// What the cores say, summed by direction, and which of them worked.
    pub fn statistics_match(board: &Board) {
        let statistics = Core::ALL.map(|core| engine_statistics(0, core).expect("an engine"));
        for (direction, cores) in [&statistics[..MAX_COMPRESS_CORES], &statistics[MAX_COMPRESS_CORES..]].into_iter().enumerate() {
            let sum = |field: fn(&firmware_kernel::CoreStatistics) -> u32| cores.iter().map(|core| u64::from(field(core))).sum::<u64>();
            let (sent, refused) = (board.word(p::SENT + direction), board.word(p::REFUSED + direction));
            assert_eq!(sum(|core| core.received), sent, "direction {direction}");
            assert_eq!((sum(|core| core.right), sum(|core| core.error)), (sent - refused, refused), "direction {direction}");
            assert_eq!(sum(|core| core.done), sent - refused, "direction {direction}");
            assert_eq!(sum(|core| core.consumed), board.word(p::CONSUMED + direction), "direction {direction}");
            assert_eq!(sum(|core| core.produced), board.word(p::PRODUCED + direction), "direction {direction}");
        }
        // The queue manager has handed over as many as the cores have got, and has them all back.
        let (handed, back) = engine_traffic(0).expect("a queue manager");
        let received: u32 = statistics.iter().map(|core| core.received).sum();
        assert_eq!((handed, back), (received, received));
    }

    /// Requests went to the cores in turn, and to those only that the part has.
    pub fn cores_took_turns(decompress_cores: usize) {
        let received = Core::ALL.map(|core| engine_statistics(0, core).expect("an engine").received);
        let (compress, decompress) = received.split_at(MAX_COMPRESS_CORES);
        assert!(decompress[decompress_cores..].iter().all(|count| *count == 0), "{received:?}");
        for cores in [compress, &decompress[..decompress_cores]] {
            let (least, most) = (cores.iter().min(), cores.iter().max());
            assert!(least.zip(most).is_some_and(|(least, most)| *least > 0 && most - least <= 1), "{received:?}");
        }
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod plain {
    use super::{checks, programs as p};
    use firmware_kernel::with_qm;
    use target_tests::{Board, accelerator, start_kernel};

    #[test]
    fn zp_c07_every_format_one_shot_flat_and_in_lists() {
        start_kernel();
        let board = Board::new();
        board.run(board.start("one shots", p::one_shots, 0));
        assert_eq!(board.word(p::DONE), 1);
        assert_eq!((board.word(p::SENT), board.word(p::SENT + 1)), (9 + 5, 9 + 3 + 5));
        checks::statistics_match(&board);
        checks::cores_took_turns(3);
    }

    #[test]
    fn zp_s03_streams_stop_full_at_random_and_go_on_in_other_queues() {
        start_kernel();
        let board = Board::new();
        board.run(board.start("streams", p::streams, 0));
        assert_eq!(board.word(p::DONE), 1);
        assert!(board.word(p::STOPS) > 100, "{} stops", board.word(p::STOPS));
        checks::statistics_match(&board);
        checks::cores_took_turns(3);
    }

    #[test]
    fn lz77_zstd_from_revision_0x30_on() {
        start_kernel();
        let board = Board::new();
        board.run(board.start("lz77_zstd", p::lz77_zstd, 0));
        assert_eq!(board.word(p::DONE), 1);
    }

    #[test]
    fn zp_s07_abandoned_streams_give_everything_back() {
        let report = start_kernel();
        let board = Board::new();
        let free = with_qm(0, |qm| qm.available());
        assert_eq!(free, Some(accelerator(&report).free_queues));
        for number in 0..6 {
            board.run(board.start("abandon", p::abandon, number));
            assert_eq!(with_qm(0, |qm| qm.available()), free, "round {number}");
        }
        assert_eq!(board.word(p::DONE), 6);
        // And the next stream works.
        board.run(board.start("streams", p::streams, 0));
        checks::statistics_match(&board);
    }

    #[test]
    fn what_this_part_does_not_offer_is_refused() {
        start_kernel();
        let board = Board::new();
        board.run(board.start("not offered", p::not_offered, 0));
        assert_eq!(board.word(p::DONE), 1);
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_rev51 {
    use super::{checks, programs as p};
    use target_tests::{Board, accelerator, start_kernel};

    #[test]
    fn lz77_only_and_lz4_on_sub_version_0x51() {
        let report = start_kernel();
        assert_eq!(accelerator(&report).found.function.revision, 0x30, "later parts show this");
        assert_eq!(accelerator(&report).algorithms, "zlib\ngzip\ndeflate\nlz77_zstd\nlz77_only\nlz4");
        let board = Board::new();
        board.run(board.start("newest", p::newest, 0));
        assert_eq!(board.word(p::DONE), 1);
    }

    #[test]
    fn zp_c07_every_format_one_shot_flat_and_in_lists() {
        start_kernel();
        let board = Board::new();
        board.run(board.start("one shots", p::one_shots, 0));
        assert_eq!(board.word(p::DONE), 1);
        checks::statistics_match(&board);
        checks::cores_took_turns(3);
    }
}

/// Several requests at once, on engine cores beside the host's.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_1p2 {
    use super::{checks, programs as p};
    use target_tests::{Board, start_kernel};

    #[test]
    fn zp_s03_streams_move_between_engine_cores() {
        start_kernel();
        let board = Board::new();
        board.run(board.start("streams", p::streams, 0));
        assert_eq!(board.word(p::DONE), 1);
        checks::statistics_match(&board);
    }
}

/// The engine inline in the trap, instructions counted: exact, and every run alike.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_1p0_icount {
    use super::programs as p;
    use target_tests::{Board, start_kernel};

    /// Hundredths of an instruction per input byte, everything from the doorbell to the completion included, for the dearest inputs known: dynamic
    /// blocks of 13 bytes whose tables serve one literal, empty stored blocks of 5, empty fixed blocks of 10 bits. Twice what was counted: 1032, 46 and 206.
    const BOUNDS: [u64; 3] = [200_000, 10_000, 40_000];

    #[test]
    fn zp_b07_work_per_input_byte_has_a_bound() {
        start_kernel();
        let board = Board::new();
        board.run(board.start("work", p::work, 0));
        assert_eq!(board.word(p::DONE), 1);
        let work = [0, 1, 2].map(|kind| board.word(p::WORK + kind));
        assert!(work.iter().zip(BOUNDS).all(|(work, bound)| *work > 0 && *work <= bound), "{work:?} hundredths of an instruction per byte");
    }
}
