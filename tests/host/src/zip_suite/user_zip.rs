//! The user library's sessions over the engine's model: whole files, headers and trailers included, against an outside judge.

use super::rig::{FORMATS, Random, judge_encode, text};
use super::user_device::*;
use flate2::{Decompress, FlushDecompress};
use uacce_user::{
    CompletionWait, Direction, HeaderError, MIN_OUTPUT_BYTES, StreamContext, Tail, WdError, ZipCompressor, ZipDecompressor, ZipError,
    ZipQueue, compress_one_shot, decompress_one_shot,
};
use zip_spec::{Capabilities, Container, Flush, Status, Window};

const WAIT: CompletionWait = CompletionWait { spins: 4, timeout_nanoseconds: 0 };

fn queue(mock: &Mock, container: Container, direction: Direction) -> ZipQueue<'_, Mock> {
    ZipQueue::request(mock, container, direction, WAIT).unwrap()
}

/// Decodes a file with the judge; `None` unless it is one whole stream.
fn judge(container: Container, file: &[u8], max: usize) -> Option<Vec<u8>> {
    let mut decoder = match container {
        Container::Raw => Decompress::new(false),
        Container::Zlib => Decompress::new(true),
        Container::Gzip => Decompress::new_gzip(15),
    };
    let mut out = Vec::with_capacity(max + 64);
    let status = decoder.decompress_vec(file, &mut out, FlushDecompress::Finish).ok()?;
    (status == flate2::Status::StreamEnd && decoder.total_in() == file.len() as u64).then_some(out)
}

fn file_of(container: Container, data: &[u8], level: u32) -> Vec<u8> {
    [container.header(), &judge_encode(container, data, level)].concat()
}

fn compress_file(mock: &Mock, container: Container, data: &[u8], chunk: usize, room: usize) -> Vec<u8> {
    let mut queue = queue(mock, container, Direction::Compress);
    let mut memory = vec![0; StreamContext::BYTES];
    mock.register(&memory);
    let mut stream = ZipCompressor::new(container, Window::K32, StreamContext::new(&mut memory).unwrap());
    let (mut file, mut at, mut out) = (vec![], 0, vec![0; room]);
    loop {
        let end = (at + chunk).min(data.len());
        mock.register(&data[at..end]);
        let flush = if end == data.len() { Flush::Finish } else { Flush::Sync };
        let progress = stream.compress(&mut queue, &data[at..end], &mut out, flush).unwrap();
        mock.fetch(&mut out);
        file.extend(&out[..progress.produced]);
        at += progress.consumed;
        if progress.is_end {
            assert_eq!(at, data.len());
            assert_eq!(stream.compress(&mut queue, &[], &mut out, Flush::Finish), Err(ZipError::Finished));
            return file;
        }
        assert!(progress.consumed > 0 || progress.produced > 0 || at == data.len());
    }
}

fn decompress_file(mock: &Mock, container: Container, file: &[u8], chunk: usize, room: usize) -> Result<(Vec<u8>, u64), ZipError> {
    let mut queue = queue(mock, container, Direction::Decompress);
    let mut memory = vec![0; StreamContext::BYTES];
    mock.register(&memory);
    let mut stream = ZipDecompressor::new(container, StreamContext::new(&mut memory).unwrap());
    let (mut data, mut at, mut out, mut held) = (vec![], 0, vec![0; room], false);
    loop {
        let end = (at + chunk).min(file.len());
        if at == end && !held {
            stream.finish()?;
        }
        mock.register(&file[at..end]);
        let progress = stream.decompress(&mut queue, &file[at..end], &mut out)?;
        mock.fetch(&mut out);
        data.extend(&out[..progress.produced]);
        at += progress.consumed;
        held = progress.has_held_output;
        if progress.is_end {
            assert_eq!((stream.total_in(), stream.total_out()), (at as u64, data.len() as u64));
            return Ok((data, stream.total_in()));
        }
    }
}

#[test]
fn zp_c02_one_shot_files_of_every_format() {
    for capabilities in [Capabilities::V2, Capabilities::V3] {
        let mock = Mock::zip(capabilities);
        for container in FORMATS {
            if container == Container::Raw && capabilities == Capabilities::V2 {
                let request = ZipQueue::request(&mock, container, Direction::Compress, WAIT);
                assert_eq!(request.err(), Some(WdError::NoDevice), "V2 has no raw DEFLATE");
                continue;
            }
            for data in [vec![], b"x".to_vec(), text(5000, 1), Random(1).bytes(9000), text(300_000, 2)] {
                let mut out = vec![0; data.len() + data.len() / 8 + 512];
                mock.register(&data);
                let len =
                    compress_one_shot(&mut queue(&mock, container, Direction::Compress), container, Window::K32, &data, &mut out).unwrap();
                let header = out[..container.header().len()].to_vec();
                let end = out[..len].to_vec();
                mock.fetch(&mut out);
                if data.is_empty() {
                    out[..len].copy_from_slice(&end);
                }
                assert_eq!(header, container.header());
                assert!(judge(container, &out[..len], data.len()).as_deref() == Some(&data[..]), "{container:?}");

                let file = file_of(container, &data, 6);
                let mut back = vec![0; data.len() + 16];
                mock.register(&file);
                let done = decompress_one_shot(&mut queue(&mock, container, Direction::Decompress), container, &file, &mut back).unwrap();
                mock.fetch(&mut back);
                assert_eq!((done.consumed, done.produced, done.tail), (file.len(), data.len(), Tail::Nothing));
                assert!(back[..done.produced] == data[..]);
            }
        }
    }
}

#[test]
fn zp_s01_files_in_chunks_of_every_format() {
    let mock = Mock::zip(Capabilities::V3);
    for container in FORMATS {
        for data in [vec![], b"a".to_vec(), text(150_000, 3), Random(2).bytes(70_000), vec![0; 400_000]] {
            // The last pair leaves no room for a whole chunk; the third ends exactly on a chunk.
            for (chunk, room) in [(1 << 20, 2 << 20), (10_000, 20_000), (data.len().max(1), data.len() * 2 + 512), (50_000, 300)] {
                if room == 300 && data.len() > 100_000 {
                    continue;
                }
                let file = compress_file(&mock, container, &data, chunk, room);
                assert!(judge(container, &file, data.len()).as_deref() == Some(&data[..]), "{container:?} {} {chunk} {room}", data.len());
            }
            for (chunk, room) in [(1 << 20, 1 << 20), (777, 4096), (1, 300), (60_000, 256)] {
                if (chunk == 1 && data.len() > 1000) || (room < 1000 && data.len() > 200_000) {
                    continue;
                }
                let file = file_of(container, &data, 6);
                let (back, consumed) = decompress_file(&mock, container, &file, chunk, room).unwrap();
                assert_eq!((back == data, consumed as usize), (true, file.len()), "{container:?} {} {chunk} {room}", data.len());
            }
        }
    }
}

#[test]
fn zp_s02_an_empty_last_chunk_ends_the_file_in_software() {
    let mock = Mock::zip(Capabilities::V3);
    let data = text(20_000, 1);
    for container in FORMATS {
        let mut queue = queue(&mock, container, Direction::Compress);
        let mut memory = vec![0; StreamContext::BYTES];
        mock.register(&memory);
        let mut stream = ZipCompressor::new(container, Window::K32, StreamContext::new(&mut memory).unwrap());
        let mut out = vec![0; 40_000];
        mock.register(&data);
        let first = stream.compress(&mut queue, &data, &mut out, Flush::Sync).unwrap();
        mock.fetch(&mut out);
        let mut file = out[..first.produced].to_vec();
        assert_eq!(stream.compress(&mut queue, &[], &mut out, Flush::Sync).unwrap().produced, 0);
        let entries = mock.state.fetched.borrow().len();
        let last = stream.compress(&mut queue, &[], &mut out, Flush::Finish).unwrap();
        assert!(last.is_end);
        assert_eq!(mock.state.fetched.borrow().len(), entries, "no entry is sent for it");
        file.extend(&out[..last.produced]);
        assert!(judge(container, &file, data.len()).as_deref() == Some(&data[..]), "{container:?}");
    }
}

#[test]
fn zp_b10_what_follows_a_stream_is_reported() {
    let mock = Mock::zip(Capabilities::V3);
    let file = file_of(Container::Gzip, b"first", 6);
    for (rest, tail) in [(&b""[..], Tail::Nothing), (&file, Tail::Member), (&b"\0\0\0"[..], Tail::Garbage)] {
        let both = [&file[..], rest].concat();
        let mut out = vec![0; 64];
        mock.register(&both);
        let done =
            decompress_one_shot(&mut queue(&mock, Container::Gzip, Direction::Decompress), Container::Gzip, &both, &mut out).unwrap();
        assert_eq!((done.consumed, done.produced, done.tail), (file.len(), 5, tail));
    }
}

#[test]
fn zp_b10_members_follow_one_another() {
    let mock = Mock::zip(Capabilities::V3);
    let both = [file_of(Container::Gzip, b"first ", 6), file_of(Container::Gzip, b"second", 6)].concat();
    let mut queue = queue(&mock, Container::Gzip, Direction::Decompress);
    let mut memory = vec![0; StreamContext::BYTES];
    mock.register(&memory);
    let mut stream = ZipDecompressor::new(Container::Gzip, StreamContext::new(&mut memory).unwrap());
    let (mut at, mut data, mut out) = (0, vec![], vec![0; 256]);
    mock.register(&both);
    while at < both.len() {
        let progress = stream.decompress(&mut queue, &both[at..], &mut out).unwrap();
        mock.fetch(&mut out);
        data.extend(&out[..progress.produced]);
        at += progress.consumed;
        if progress.is_end && Tail::of(Container::Gzip, &both[at..]) == Tail::Member {
            stream.restart();
        }
    }
    assert_eq!((&data[..], stream.finish(), stream.total_in()), (&b"first second"[..], Ok(()), both.len() as u64));
}

#[test]
fn zp_b02_truncated_files_name_their_length() {
    let mock = Mock::zip(Capabilities::V3);
    for container in FORMATS {
        let file = file_of(container, &text(3000, 1), 6);
        for cut in [0, 1, 2, 5, 10, 11, file.len() / 2, file.len() - 1] {
            let cut = cut.min(file.len() - 1);
            for chunk in [100, 10_000] {
                let error = decompress_file(&mock, container, &file[..cut], chunk, 8192).unwrap_err();
                assert_eq!(error, ZipError::Truncated { offset: cut as u64 }, "{container:?} {cut}");
            }
            let mut out = vec![0; 4000];
            mock.register(&file[..cut]);
            let mut queue = queue(&mock, container, Direction::Decompress);
            let error = decompress_one_shot(&mut queue, container, &file[..cut], &mut out).unwrap_err();
            assert_eq!(error, ZipError::Truncated { offset: cut as u64 }, "{container:?} {cut}");
        }
    }
}

#[test]
fn zp_b08_bad_files_name_status_and_offset() {
    let mock = Mock::zip(Capabilities::V3);
    let data = text(30_000, 1);
    let file = file_of(Container::Gzip, &data, 6);
    for chunk in [1000, 100_000] {
        let mut crc = file.clone();
        let at = crc.len() - 8;
        crc[at] ^= 1;
        match decompress_file(&mock, Container::Gzip, &crc, chunk, 65_536).unwrap_err() {
            ZipError::Data { status: Status::CHECKSUM_MISMATCH, offset } => {
                assert!((at as u64..at as u64 + 4).contains(&offset), "{offset}")
            }
            other => panic!("{other:?}"),
        }
        let mut length = file.clone();
        let at = length.len() - 1;
        length[at] ^= 1;
        assert!(matches!(
            decompress_file(&mock, Container::Gzip, &length, chunk, 65_536),
            Err(ZipError::Data { status: Status::LENGTH_MISMATCH, .. })
        ));
    }
    let mut block = file.clone();
    block[10] |= 6;
    let error = decompress_file(&mock, Container::Gzip, &block, 1000, 65_536).unwrap_err();
    assert_eq!(error, ZipError::Data { status: Status::BAD_BLOCK_TYPE, offset: 10 });
    assert_eq!(error.to_string(), "bad data at offset 10: status 0x60 (invalid block type)");
    let error = decompress_file(&mock, Container::Gzip, b"not a gzip file", 1000, 65_536).unwrap_err();
    assert_eq!(error, ZipError::Header { error: HeaderError::NotThisFormat, offset: 0 });
    assert_eq!(error.to_string(), "bad header at offset 0: not a stream of this format");
}

#[test]
fn zp_o01_too_little_output_is_told() {
    let mock = Mock::zip(Capabilities::V3);
    let mut queue = queue(&mock, Container::Zlib, Direction::Decompress);
    let mut memory = vec![0; StreamContext::BYTES];
    mock.register(&memory);
    let mut stream = ZipDecompressor::new(Container::Zlib, StreamContext::new(&mut memory).unwrap());
    let mut out = vec![0; MIN_OUTPUT_BYTES - 1];
    assert_eq!(stream.decompress(&mut queue, &[0x78], &mut out), Err(ZipError::OutputTooSmall { needed: MIN_OUTPUT_BYTES }));
    let file = file_of(Container::Zlib, &text(3000, 1), 6);
    mock.register(&file);
    let error = decompress_one_shot(&mut queue, Container::Zlib, &file, &mut [0; 100]).unwrap_err();
    assert!(matches!(error, ZipError::Data { status: Status::DESTINATION_TOO_SMALL, .. }), "{error:?}");
    assert!(StreamContext::new(&mut vec![0; StreamContext::BYTES - 1]).is_none());
}

#[test]
fn a_request_that_names_absent_memory_ends_in_a_status_and_the_queue_lives() {
    let mock = Mock::zip(Capabilities::V3);
    let mut queue = queue(&mock, Container::Gzip, Direction::Compress);
    let data = text(3000, 1);
    let mut out = vec![0; 4000];
    let error = compress_one_shot(&mut queue, Container::Gzip, Window::K32, &data, &mut out).unwrap_err();
    assert_eq!(error, ZipError::Data { status: Status::SOURCE_ABORT, offset: 0 });
    mock.register(&data);
    assert!(compress_one_shot(&mut queue, Container::Gzip, Window::K32, &data, &mut out).is_ok());
}
