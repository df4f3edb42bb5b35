//! zlib's calls over the engine's model, judged by another zlib.

use super::rig::{FORMATS, Random, judge_encode, text};
use super::user_device::*;
use flate2::{Decompress, FlushDecompress};
use uacce_user::*;
use zip_spec::Container;

/// A stream of `data` by the judge.
pub fn judged(container: Container, data: &[u8]) -> Vec<u8> {
    [container.header(), &judge_encode(container, data, 6)].concat()
}

fn judge(container: Container) -> Decompress {
    match container {
        Container::Raw => Decompress::new(false),
        Container::Zlib => Decompress::new(true),
        Container::Gzip => Decompress::new_gzip(15),
    }
}

fn window_bits(container: Container) -> i32 {
    match container {
        Container::Raw => -15,
        Container::Zlib => 15,
        Container::Gzip => 31,
    }
}

/// How a caller cuts its calls.
#[derive(Clone, Copy, Debug)]
struct Cuts {
    input: usize,
    output: usize,
    /// A flush after so many calls.
    flush_every: usize,
}

const CUTS: [Cuts; 4] = [
    Cuts { input: usize::MAX, output: 1 << 17, flush_every: 0 },
    Cuts { input: 7, output: 1, flush_every: 0 },
    Cuts { input: 1000, output: 300, flush_every: 3 },
    Cuts { input: 40_000, output: 9000, flush_every: 2 },
];

fn deflated(mock: &Mock, container: Container, data: &[u8], cuts: Cuts) -> Vec<u8> {
    let mut memory = vec![0; Deflate::<Mock>::MEMORY_BYTES];
    let mut stream = deflate_init2(mock, &mut memory, -1, window_bits(container)).unwrap();
    let (mut file, mut at, mut room) = (vec![], 0_usize, vec![0; cuts.output]);
    for call in 1.. {
        let end = at.saturating_add(cuts.input).min(data.len());
        let is_flush = cuts.flush_every > 0 && call % cuts.flush_every == 0;
        let flush = if end == data.len() {
            Z_FINISH
        } else if is_flush {
            Z_SYNC_FLUSH
        } else {
            Z_NO_FLUSH
        };
        loop {
            let mut io = ZBuffers { next_in: &data[at..end], next_out: &mut room };
            let code = deflate(&mut stream, &mut io, flush);
            let (left, unused) = (io.avail_in(), io.avail_out());
            at = end - left;
            file.extend(&room[..room.len() - unused]);
            assert_eq!((stream.total_in, stream.total_out), (at as u64, file.len() as u64));
            match code {
                Z_STREAM_END => {
                    assert_eq!((at, deflate_end(stream)), (data.len(), Z_OK));
                    return file;
                }
                Z_OK | Z_BUF_ERROR => {}
                other => panic!("{other:?}: {:?}", stream.msg),
            }
            if unused > 0 && left == 0 && flush != Z_FINISH {
                break;
            }
        }
    }
    unreachable!()
}

fn inflated(mock: &Mock, bits: i32, file: &[u8], cuts: Cuts) -> (Vec<u8>, u32) {
    let mut memory = vec![0; Inflate::<Mock>::MEMORY_BYTES];
    let mut stream = inflate_init2(mock, &mut memory, bits).unwrap();
    let (mut data, mut at, mut room) = (vec![], 0_usize, vec![0; cuts.output]);
    loop {
        let end = at.saturating_add(cuts.input).min(file.len());
        let mut io = ZBuffers { next_in: &file[at..end], next_out: &mut room };
        let code = inflate(&mut stream, &mut io, Z_NO_FLUSH);
        at = end - io.avail_in();
        let unused = io.avail_out();
        data.extend(&room[..room.len() - unused]);
        assert_eq!((stream.total_in, stream.total_out), (at as u64, data.len() as u64));
        match code {
            Z_STREAM_END => {
                let adler = stream.adler;
                assert_eq!(inflate_end(stream), Z_OK);
                assert_eq!(at, file.len());
                return (data, adler);
            }
            Z_OK => {}
            other => panic!("{other:?} at {at}: {:?}", stream.msg),
        }
    }
}

/// The checksum that stands in a trailer; 1 without one.
fn trailer(container: Container, file: &[u8]) -> u32 {
    let word = |from_end: usize| file[file.len() - from_end..][..4].try_into().unwrap();
    match container {
        Container::Raw => 1,
        Container::Zlib => u32::from_be_bytes(word(4)),
        Container::Gzip => u32::from_le_bytes(word(8)),
    }
}

#[test]
fn ua_u10_deflate_and_inflate_in_pieces_of_any_size() {
    for container in FORMATS {
        for (number, cuts) in CUTS.into_iter().enumerate() {
            let mock = Mock::zip_in_place();
            let len = [100_000, 1500, 30_000, 150_000][number];
            let data = text(len, 5 + number as u64);
            let file = deflated(&mock, container, &data, cuts);
            let mut plain = Vec::with_capacity(len + 1);
            let verdict = judge(container).decompress_vec(&file, &mut plain, FlushDecompress::Finish);
            assert!(matches!(verdict, Ok(flate2::Status::StreamEnd)) && plain == data, "{container:?} {cuts:?}");
            let (again, adler) = inflated(&mock, window_bits(container), &file, cuts);
            assert!(again == data, "{container:?} {cuts:?}");
            assert_eq!(adler, trailer(container, &file));
        }
    }
}

#[test]
fn ua_u10_inflate_takes_what_another_zlib_made() {
    let data = text(50_000, 9);
    for (container, bits) in [(Container::Zlib, 47), (Container::Gzip, 47), (Container::Zlib, 0), (Container::Raw, -9)] {
        let mock = Mock::zip_in_place();
        let file = judged(container, &data);
        assert!(inflated(&mock, bits, &file, CUTS[2]).0 == data, "{container:?} {bits}");
    }
}

#[test]
fn ua_u10_gathered_input_makes_few_requests() {
    let mock = Mock::zip_in_place();
    let data = text(100_000, 2);
    let file = deflated(&mock, Container::Zlib, &data, Cuts { input: 100, output: 1 << 17, flush_every: 0 });
    let requests = mock.state.fetched.borrow().len();
    assert!(requests <= 5, "{requests} requests for 1000 calls");
    assert!(file.len() < data.len() / 2);
}

#[test]
fn ua_u10_a_sync_flush_lets_everything_out() {
    let mock = Mock::zip_in_place();
    let mut memory = vec![0; Deflate::<Mock>::MEMORY_BYTES];
    let mut stream = deflate_init(&mock, &mut memory, 9).unwrap();
    let (mut judge, mut room, mut plain) = (judge(Container::Zlib), vec![0; 4096], Vec::with_capacity(4096));
    for piece in [&b"first, "[..], b"second, ", b"third"] {
        let mut io = ZBuffers { next_in: piece, next_out: &mut room };
        assert_eq!(deflate(&mut stream, &mut io, Z_NO_FLUSH), Z_OK);
        assert_eq!((io.avail_in(), io.avail_out()), (0, 4096), "gathered");
        assert_eq!(deflate(&mut stream, &mut io, Z_SYNC_FLUSH), Z_OK);
        let made = 4096 - io.avail_out();
        // Nothing more to flush: no progress.
        assert_eq!(deflate(&mut stream, &mut io, Z_SYNC_FLUSH), Z_BUF_ERROR);
        judge.decompress_vec(&room[..made], &mut plain, FlushDecompress::Sync).unwrap();
    }
    assert_eq!(plain, b"first, second, third");
    assert_eq!((stream.total_in, stream.adler), (20, adler32(&plain)));
    assert_eq!(deflate_end(stream), Z_DATA_ERROR, "it was not finished");
}

/// RFC 1950 §9, in words.
fn adler32(data: &[u8]) -> u32 {
    let (low, high) = data.iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    high << 16 | low
}

#[test]
fn ua_u10_answers_have_zlibs_numbers_and_meaning() {
    let mock = Mock::zip_in_place();
    let numbers = [Z_OK, Z_STREAM_END, Z_NEED_DICT, Z_ERRNO, Z_STREAM_ERROR, Z_DATA_ERROR, Z_MEM_ERROR, Z_BUF_ERROR, Z_VERSION_ERROR];
    assert_eq!(numbers.map(|code| code.0), [0, 1, 2, -1, -2, -3, -4, -5, -6]);
    assert_eq!([Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH].map(|mode| mode.0), [0, 2, 4]);

    let mut memory = vec![0; Deflate::<Mock>::MEMORY_BYTES];
    let needed = memory.len();
    for (level, bits) in [(10, 15), (-2, 15), (6, 14), (6, 16), (6, -11), (6, 32)] {
        let error = deflate_init2(&mock, &mut memory, level, bits).err();
        assert_eq!(error.map(InitError::code), Some(Z_STREAM_ERROR), "{level} {bits}");
    }
    let error = deflate_init(&mock, &mut memory[1..], 6).err().unwrap();
    assert_eq!((error, error.code()), (InitError::Memory { needed }, Z_MEM_ERROR));
    let nobody = Mock::with(16, |nodes| nodes.clear());
    let error = deflate_init(&nobody, &mut memory, 6).err().unwrap();
    assert_eq!((error, error.code()), (InitError::Queue(WdError::NoDevice), Z_ERRNO));

    let mut stream = deflate_init(&mock, &mut memory, 6).unwrap();
    let mut room = [0; 1000];
    let call = |stream: &mut _, input: &[u8], room: &mut [u8], flush| {
        let mut io = ZBuffers { next_in: input, next_out: room };
        deflate(stream, &mut io, flush)
    };
    // Full flush and numbers beyond.
    for mode in [1, 3, 5, 6, -1] {
        assert_eq!(call(&mut stream, b"x", &mut room, FlushMode(mode)), Z_STREAM_ERROR);
    }
    assert_eq!(call(&mut stream, b"", &mut room, Z_NO_FLUSH), Z_BUF_ERROR);
    assert_eq!(call(&mut stream, b"data", &mut [], Z_FINISH), Z_BUF_ERROR);
    assert_eq!(call(&mut stream, b"data", &mut room[..1], Z_FINISH), Z_OK);
    assert_eq!(call(&mut stream, b"more", &mut room, Z_NO_FLUSH), Z_STREAM_ERROR, "the end was announced");
    assert_eq!(call(&mut stream, b"", &mut room, Z_FINISH), Z_STREAM_END);
    assert_eq!(call(&mut stream, b"", &mut room, Z_FINISH), Z_STREAM_END);
    assert_eq!(deflate_end(stream), Z_OK);

    let file = judged(Container::Zlib, &text(3000, 1));
    let mut damaged = file.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let dictionary = [0x78, 0xbb, 1, 2, 3, 4];
    let no_header = [0x78, 0x9d, 1];
    for (input, flush, room, expected) in [
        (&file[..], Z_FINISH, 5000, Z_STREAM_END),
        (&file[..100], Z_FINISH, 5000, Z_BUF_ERROR),
        (&file[..], Z_FINISH, 10, Z_BUF_ERROR),
        (&file[..], Z_NO_FLUSH, 10, Z_OK),
        (&[], Z_NO_FLUSH, 10, Z_BUF_ERROR),
        (&damaged, Z_NO_FLUSH, 5000, Z_DATA_ERROR),
        (&no_header, Z_NO_FLUSH, 5000, Z_DATA_ERROR),
        (&dictionary, Z_NO_FLUSH, 5000, Z_NEED_DICT),
        (&file[..], FlushMode(3), 5000, Z_STREAM_ERROR),
    ] {
        let (mut memory, mut room) = (vec![0; Inflate::<Mock>::MEMORY_BYTES], vec![0; room]);
        let mut stream = inflate_init(&mock, &mut memory).unwrap();
        let mut io = ZBuffers { next_in: input, next_out: &mut room };
        let code = inflate(&mut stream, &mut io, flush);
        assert_eq!(code, expected, "{} bytes, {flush:?}: {:?}", input.len(), stream.msg);
        let is_lost = matches!(code, Z_DATA_ERROR | Z_NEED_DICT);
        assert_eq!(stream.msg.is_some(), is_lost);
        if is_lost {
            assert_eq!(inflate(&mut stream, &mut io, flush), Z_STREAM_ERROR, "and stays lost");
        }
        assert_eq!(inflate_end(stream), Z_OK);
    }
}

/// A queue that dies under a stream is told as that, with the cause beside it.
#[test]
fn ua_u10_a_dead_queue_is_an_errno() {
    let mock = Mock::zip_in_place();
    let mut memory = vec![0; Deflate::<Mock>::MEMORY_BYTES];
    let mut stream = deflate_init(&mock, &mut memory, 6).unwrap();
    mock.set_tx_stop();
    let mut room = [0; 1000];
    let mut io = ZBuffers { next_in: b"data", next_out: &mut room };
    assert_eq!(deflate(&mut stream, &mut io, Z_FINISH), Z_ERRNO);
    assert_eq!(stream.msg, Some(ZipError::Queue(WdError::Stopped)));
    assert_eq!(deflate(&mut stream, &mut io, Z_FINISH), Z_STREAM_ERROR);
}

/// Without any progress a call comes back, whatever the device says that it still has.
#[test]
fn ua_u10_a_device_that_holds_its_output_for_ever_ends_the_stream() {
    let mock = Mock::new(16);
    *mock.state.engine.borrow_mut() = Engine::Swallow;
    let mut memory = vec![0; Deflate::<Mock>::MEMORY_BYTES];
    let mut stream = deflate_init(&mock, &mut memory, 6).unwrap();
    let mut room = [0; 1000];
    let mut io = ZBuffers { next_in: b"data", next_out: &mut room };
    assert_eq!(deflate(&mut stream, &mut io, Z_FINISH), Z_ERRNO);
    assert_eq!(stream.msg, Some(ZipError::NoProgress { offset: 4 }));
}

/// Random cuts against the judge.
#[test]
fn ua_u10_random_cuts() {
    let mut random = Random(11);
    for _ in 0..12 {
        let mock = Mock::zip_in_place();
        let container = FORMATS[random.below(3)];
        let data = text(random.below(20_000), random.next());
        let mut cut = |most| 1 + random.below(most);
        let cuts = Cuts { input: cut(4000), output: cut(2000), flush_every: cut(5) - 1 };
        let file = deflated(&mock, container, &data, cuts);
        let mut plain = Vec::with_capacity(data.len() + 1);
        judge(container).decompress_vec(&file, &mut plain, FlushDecompress::Finish).unwrap();
        assert!(plain == data && inflated(&mock, window_bits(container), &file, cuts).0 == data, "{container:?} {cuts:?}");
    }
}
