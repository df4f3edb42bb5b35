//! The engine on recorded streams: the status is good exactly where zlib accepts, output and consumed count are zlib's, and the work is bounded.

use super::rig::*;
use crate::deflate_suite::own_streams::rows;
use crate::deflate_suite::shared_dir;
use deflate::gzip::GzipHeader;
use deflate::zlib::ZlibHeader;
use flate2::{Decompress, FlushDecompress};
use hal::Iova;
use zip_model::{Direction, Job, Step};
use zip_spec::{Container, Status};

/// What the judge makes of a body.
fn judge(container: Container, body: &[u8]) -> (Result<flate2::Status, ()>, usize, Vec<u8>) {
    let stream = [container.header(), body].concat();
    let mut decoder = match container {
        Container::Raw => Decompress::new(false),
        Container::Zlib => Decompress::new(true),
        Container::Gzip => Decompress::new_gzip(15),
    };
    let (mut out, mut buffer) = (vec![], vec![0; 1 << 16]);
    loop {
        let before = (decoder.total_in() as usize, decoder.total_out() as usize);
        let result = decoder.decompress(&stream[before.0..], &mut buffer, FlushDecompress::None);
        let after = (decoder.total_in() as usize, decoder.total_out() as usize);
        out.extend_from_slice(&buffer[..after.1 - before.1]);
        let end = match result {
            Ok(flate2::Status::Ok) if after != before => continue,
            Ok(status) => Ok(status),
            Err(_) => Err(()),
        };
        return (end, after.0.saturating_sub(container.header().len()), out);
    }
}

/// One request over a body against the judge.
fn agree(rig: &mut Rig, container: Container, body: &[u8], what: &str) {
    if body.is_empty() {
        return;
    }
    let (verdict, consumed, output) = judge(container, body);
    let (completion, produced) = rig.one_shot(container, Direction::Decompress, body, output.len() + 300);
    match verdict {
        Ok(flate2::Status::StreamEnd) => {
            assert_eq!((completion.status, completion.consumed as usize), (Status::SUCCESS, consumed), "{what}");
            assert!(completion.is_last_block, "{what}");
        }
        Ok(_) => assert_eq!(completion.status, Status::TRUNCATED, "{what}"),
        Err(()) => assert!(!completion.status.is_good() && completion.status != Status::TRUNCATED, "{what}: {:?}", completion.status),
    }
    assert!(verdict.is_err() || produced == output, "{what}: output differs");
}

/// The body behind the header of a framing, if that is sound.
fn body_of(container: Container, stream: &[u8]) -> Option<&[u8]> {
    let header = match container {
        Container::Raw => 0,
        Container::Zlib => ZlibHeader::parse(stream).ok().map(|_| 2)?,
        Container::Gzip => GzipHeader::parse(stream).ok()?.1,
    };
    Some(&stream[header..])
}

#[test]
fn zp_b01_the_engine_gives_own_streams_zlibs_verdict() {
    let mut rig = Rig::new(4);
    let mut bodies = 0;
    for row in rows() {
        let container = FORMATS[["raw", "zlib", "gzip"].iter().position(|framing| *framing == row.framing).unwrap()];
        if let Some(body) = body_of(container, &row.stream) {
            agree(&mut rig, container, body, row.what);
            bodies += 1;
        }
    }
    assert!(bodies > 200, "{bodies}");
}

#[test]
fn zp_b09_the_engine_gives_vector_files_zlibs_verdict() {
    let Some(dir) = shared_dir("vectors", "zp_b09") else { return };
    let table = std::fs::read_to_string(dir.join("expected.tsv")).unwrap();
    let mut rig = Rig::new(16);
    let mut bodies = 0;
    for row in table.lines().filter(|row| !row.starts_with('#') && !row.is_empty()) {
        let name = row.split('\t').next().unwrap();
        let stream = std::fs::read(dir.join(name)).unwrap();
        for container in FORMATS {
            if let Some(body) = body_of(container, &stream) {
                agree(&mut rig, container, body, &format!("{name} as {container:?}"));
                bodies += 1;
            }
        }
    }
    assert!(bodies > 130, "{bodies}");
}

/// Steps and accesses of a request: at most one step per stage filled, drained or segment opened, and one access per page and segment.
#[test]
fn zp_b07_work_of_a_request_is_linear_in_what_it_moves() {
    let mut random = Random(3);
    let empty_blocks = |count: usize| -> Vec<u8> { (0..count).flat_map(|_| [0, 0, 0, 0xff, 0xff]).chain([1, 0, 0, 0xff, 0xff]).collect() };
    let bodies = [
        ("text", judge_encode(Container::Raw, &text(1 << 20, 1), 6)),
        ("a bomb", judge_encode(Container::Raw, &vec![0; 4 << 20], 9)),
        ("noise", judge_encode(Container::Raw, &random.bytes(1 << 20), 1)),
        ("empty stored blocks", empty_blocks(200_000)),
        // Headers of dynamic blocks and little else: the dearest input there is.
        ("dynamic blocks of one byte", dynamic_blocks(20_000)),
    ];
    for (name, body) in bodies {
        let mut rig = Rig::new(16);
        let source = rig.put(&body);
        let destination = rig.room(6 << 20);
        let mut job = Job::start(flat(Container::Raw, source, body.len(), destination, 6 << 20).encode().0, Direction::Decompress, WHO);
        let mut steps = 0;
        let done = loop {
            steps += 1;
            match job.step(&mut rig.port, &mut rig.engine) {
                Step::Done(words) => break words,
                Step::Progress => {}
                Step::Stalled(_) => panic!("nothing is absent"),
            }
        };
        assert_eq!(zip_spec::Sqe(done).status(), Status::SUCCESS, "{name}");
        let (consumed, produced) = job.moved_bytes();
        let stages = |bytes: u32| u64::from(bytes) / zip_model::STAGE_BYTES as u64 + 1;
        // Fill, code, drain; and twice opening the destination.
        let bound = 2 * stages(consumed) + 2 * stages(produced) + 4;
        assert!(steps <= bound, "{name}: {steps} steps, {bound} allowed");
        let pages = u64::from(consumed) / PAGE + u64::from(produced) / PAGE + 2 * (stages(consumed) + stages(produced));
        assert!(rig.port.accesses <= pages, "{name}: {} accesses, {pages} allowed", rig.port.accesses);
        assert!(rig.guard_is_intact(Iova(destination.0), 6 << 20));
    }
}

/// So many dynamic blocks, each with one literal: 13 bytes of header per byte of output.
fn dynamic_blocks(count: usize) -> Vec<u8> {
    let (mut bytes, mut held, mut used) = (vec![], 0u64, 0);
    let mut put = |value: u64, bits: u32| {
        held |= value << used;
        used += bits;
        while used >= 8 {
            bytes.push(held as u8);
            held >>= 8;
            used -= 8;
        }
    };
    for number in 0..count {
        put(u64::from(number + 1 == count), 1);
        put(0b10, 2);
        // HLIT 257, HDIST 1, HCLEN 18: lengths for 18 (one bit), 0 (two) and 1 (two), in the order 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1.
        for (value, bits) in [(0, 5), (0, 5), (14, 4)] {
            put(value, bits);
        }
        for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1] {
            put(
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
        // Codewords: 18 is 0, then 0 is 10 and 1 is 11. 65 zeros, a 1 for 'A', 190 zeros, a 1 for the end, a 0 for distances.
        for (value, bits) in [(0, 1), (65 - 11, 7), (0b11, 2), (0, 1), (127, 7), (0, 1), (190 - 138 - 11, 7), (0b11, 2), (0b01, 2)] {
            put(value, bits);
        }
        // 'A' is 0, the end of the block 1.
        put(0b10, 2);
    }
    put(0, 7);
    bytes
}
