//! Whole streams in one request, both ways, against an outside judge.

use super::rig::*;
use hal::Iova;
use zip_model::{Direction, Job, Step};
use zip_spec::{Capabilities, Container, Flush, Mode, Request, RequestType, Sqe, SqeType, Status, Window, dw};

fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let mut random = Random(7);
    let fibonacci = {
        let (mut a, mut b, mut out) = (1usize, 1usize, vec![]);
        for symbol in 0..22u8 {
            out.extend(std::iter::repeat_n(symbol, a));
            (a, b) = (b, a + b);
        }
        for i in (1..out.len()).rev() {
            out.swap(i, random.below(i + 1));
        }
        out
    };
    vec![
        ("text", text(300_000, 1)),
        ("zeros", vec![0; 200_000]),
        ("random", random.bytes(150_000)),
        ("fibonacci", fibonacci),
        ("mixed", [text(70_000, 2), random.bytes(70_000), vec![b'x'; 70_000], text(70_000, 3)].concat()),
        ("one", vec![b'Q']),
        ("two", vec![b'Q', b'q']),
        ("three", vec![7; 3]),
    ]
}

#[test]
fn zp_c01_compress_is_decoded_by_the_judge() {
    let mut rig = Rig::new(4);
    for (name, data) in samples() {
        for container in FORMATS {
            let (completion, body) = rig.one_shot(container, Direction::Compress, &data, data.len() + data.len() / 8 + 64);
            assert!(completion.status.is_good(), "{name} {container:?}: {completion:?}");
            assert_eq!(completion.consumed as usize, data.len());
            assert!(judge_decode(container, &body, data.len()).as_deref() == Some(&data[..]), "{name} {container:?}");
        }
    }
}

#[test]
fn zp_c01_decompress_what_the_judge_encoded() {
    let mut rig = Rig::new(4);
    for (name, data) in samples() {
        for container in FORMATS {
            for level in [0, 1, 6, 9] {
                let body = judge_encode(container, &data, level);
                let (completion, out) = rig.one_shot(container, Direction::Decompress, &body, data.len());
                assert_eq!(completion.status, Status::SUCCESS, "{name} {container:?} level {level}");
                assert!(completion.is_last_block);
                assert_eq!((completion.consumed as usize, out.len()), (body.len(), data.len()));
                assert!(out == data, "{name} {container:?} level {level}");
            }
        }
    }
}

#[test]
fn zp_c01_kernel_form_of_a_one_shot_ends_the_stream_too() {
    // Flush and new both 0: dw7 = 0x30000000, as the kernel's self-test sends it.
    let mut rig = Rig::new(2);
    let data = b"Join us now and share the software Join us now and share the software ";
    for container in FORMATS {
        let (source, destination) = (rig.put(data), rig.room(512));
        let request = Request {
            mode: Mode::OneShot { flush: Flush::Sync, is_new: false },
            window: Window::K4,
            ..flat(container, source, 70, destination, 512)
        };
        assert_eq!(request.encode().0[dw::CONTROL], 0x3000_0000);
        let completion = rig.run(request, Direction::Compress);
        assert_eq!((completion.status, completion.consumed), (Status::SUCCESS, 70));
        assert!(completion.produced < 70);
        let body = rig.peek(destination, completion.produced as usize);
        assert!(judge_decode(container, &body, 70).as_deref() == Some(&data[..]));
    }
}

#[test]
fn zp_c02_checksum_and_isize_words() {
    let mut rig = Rig::new(2);
    let data = b"123456789";
    for direction in [Direction::Compress, Direction::Decompress] {
        for (container, checksum, isize) in [(Container::Zlib, 0x091e_01de, 0), (Container::Gzip, 0x9b63_d02c, 9), (Container::Raw, 0, 0)] {
            let input = if direction == Direction::Compress { data.to_vec() } else { judge_encode(container, data, 6) };
            let (completion, output) = rig.one_shot(container, direction, &input, 64);
            assert!(completion.status.is_good());
            assert_eq!((completion.checksum, completion.isize), (checksum, isize), "{container:?} {direction:?}");
            if direction == Direction::Compress {
                let trailer = &output[output.len() - container.trailer_bytes()..];
                let expected: &[u8] = match container {
                    Container::Raw => &[],
                    Container::Zlib => &[0x09, 0x1e, 0x01, 0xde],
                    Container::Gzip => &[0x26, 0x39, 0xf4, 0xcb, 9, 0, 0, 0],
                };
                assert_eq!(trailer, expected);
            }
        }
    }
}

#[test]
fn zp_c03_sizes_around_the_borders() {
    let mut rig = Rig::new(20);
    for size in [1, 2, 3, 255, 256, 4095, 4096, 4097, 65_535, 65_536, 65_537, (8 << 20) - 1, 8 << 20] {
        let data = text(size, size as u64);
        let (completion, body) = rig.one_shot(Container::Gzip, Direction::Compress, &data, size + size / 8 + 64);
        assert!(completion.status.is_good(), "{size}");
        let (completion, out) = rig.one_shot(Container::Gzip, Direction::Decompress, &body, size);
        assert_eq!(completion.status, Status::SUCCESS, "{size}");
        assert!(out == data, "{size}");
    }
}

#[test]
fn zp_c03_lengths_out_of_range_are_refused() {
    let mut rig = Rig::new(1);
    let (source, destination) = (rig.room(64), rig.room(4096));
    for direction in [Direction::Compress, Direction::Decompress] {
        for bytes in [0, (8 << 20) + 1, u32::MAX as usize] {
            let completion = rig.run(flat(Container::Zlib, source, bytes, destination, 4096), direction);
            assert_eq!((completion.status, completion.consumed, completion.produced), (Status::BAD_INPUT_LENGTH, 0, 0), "{bytes}");
        }
    }
    assert_eq!(rig.port.accesses, 0);
}

#[test]
fn zp_c05_incompressible_data_grows_by_little_and_says_so() {
    let mut rig = Rig::new(4);
    let mut random = Random(5);
    for size in [1, 10, 100, 5_000, 65_535, 65_536, 300_000] {
        let data = random.bytes(size);
        for container in FORMATS {
            let (completion, body) = rig.one_shot(container, Direction::Compress, &data, size + size / 8 + 64);
            assert_eq!(completion.status, Status::NEGATIVE_COMPRESSION, "{size} {container:?}");
            assert!(body.len() <= size + 5 * (size / 18_168 + 1) + 2 + container.trailer_bytes());
            assert!(judge_decode(container, &body, size).as_deref() == Some(&data[..]));
        }
    }
}

#[test]
fn zp_c06_no_match_reaches_past_the_window() {
    let mut rig = Rig::new(2);
    let block = Random(3).bytes(3000);
    for (window, bytes) in [(Window::K4, 4096), (Window::K8, 8192), (Window::K16, 16_384), (Window::K24, 24_576), (Window::K32, 32_768)] {
        // The block comes again a little nearer, or a little farther, than the window reaches.
        let mut packed_bytes = |distance: usize| {
            let filler: Vec<u8> = (0..distance - block.len()).map(|i| (i % 251) as u8).collect();
            let data = [&block[..], &filler, &block].concat();
            let (source, destination) = (rig.put(&data), rig.room(data.len() * 2));
            let request = Request { window, ..flat(Container::Raw, source, data.len(), destination, data.len() * 2) };
            let completion = rig.run(request, Direction::Compress);
            let body = rig.peek(destination, completion.produced as usize);
            assert!(judge_decode(Container::Raw, &body, data.len()).as_deref() == Some(&data[..]));
            body.len()
        };
        let (inside, outside) = (packed_bytes(bytes - 100), packed_bytes(bytes + 100));
        assert!(outside > inside + 2000, "window {bytes}: {inside} inside, {outside} outside");
    }
}

#[test]
fn zp_c08_a_slot_keeps_nothing_of_its_last_job() {
    let data = text(50_000, 9);
    let mut fresh = Rig::new(2);
    let (_, first) = fresh.one_shot(Container::Gzip, Direction::Compress, &data, 60_000);
    let mut used = Rig::new(2);
    used.one_shot(Container::Zlib, Direction::Compress, &Random(1).bytes(90_000), 100_000);
    used.one_shot(Container::Raw, Direction::Decompress, &Random(2).bytes(1000), 100_000);
    let (_, second) = used.one_shot(Container::Gzip, Direction::Compress, &data, 60_000);
    assert_eq!(first, second);
    // A request that never reaches the codec shows nothing of the job before it.
    let mut sqe = flat(Container::Gzip, Iova(0x10), 5, Iova(0x10), 5).encode();
    let refused = used.run_sqe(sqe, Direction::Decompress);
    assert_eq!((refused.checksum, refused.isize), (0xffff_ffff, 0), "a fresh codec's words");
    sqe.0[dw::SELECT] = 0;
    let refused = used.run_sqe(sqe, Direction::Decompress);
    assert_eq!((refused.checksum, refused.isize), (0, 0));
}

#[test]
fn zp_c09_tag_and_type_0_layout() {
    let mut rig = Rig::new(2);
    let data = text(5000, 4);
    let (source, destination) = (rig.put(&data), rig.room(6000));
    let request = Request { tag: 0x0123_4567_89ab_cdef, ..flat(Container::Zlib, source, data.len(), destination, 6000) };
    let new = rig.run(request, Direction::Compress);
    assert_eq!(new.tag, 0x0123_4567_89ab_cdef);
    let first = rig.peek(destination, new.produced as usize);
    let old = rig.run(Request { sqe_type: SqeType::TYPE0, ..request }, Direction::Compress);
    assert_eq!((old.tag, old.produced), (0x89ab_cdef, new.produced));
    assert_eq!(rig.peek(destination, old.produced as usize), first);
}

#[test]
fn zp_c11_vector_of_the_kernel_self_test() {
    // The kernel's first DEFLATE decompression vector.
    let packed = [
        0xf3, 0xca, 0xcf, 0xcc, 0x53, 0x28, 0x2d, 0x56, 0xc8, 0xcb, 0x2f, 0x57, 0x48, 0xcc, 0x4b, 0x51, 0x28, 0xce, 0x48, 0x2c, 0x4a, 0x55,
        0x28, 0xc9, 0x48, 0x55, 0x28, 0xce, 0x4f, 0x2b, 0x29, 0x07, 0x71, 0xbc, 0x08, 0x2b, 0x01, 0x00,
    ];
    let mut rig = Rig::new(1);
    let (completion, out) = rig.one_shot(Container::Raw, Direction::Decompress, &packed, 512);
    assert_eq!((completion.status, completion.consumed as usize), (Status::SUCCESS, packed.len()));
    assert_eq!(out, b"Join us now and share the software Join us now and share the software ");
}

#[test]
fn revision_0x21_takes_its_own_entries_only() {
    let mut rig = Rig::new(1);
    let data = text(100, 1);
    let (source, destination) = (rig.put(&data), rig.room(512));
    let mut status_of = |sqe_type, request_type| {
        let request = Request { sqe_type, request_type, ..flat(Container::Zlib, source, 100, destination, 512) };
        let mut job = Job::with_capabilities(request.encode().0, Direction::Compress, WHO, &Capabilities::V2);
        loop {
            if let Step::Done(words) = job.step(&mut rig.port, &mut rig.engine) {
                return Sqe(words).status();
            }
        }
    };
    assert_eq!(status_of(SqeType::TYPE0, RequestType::ZLIB), Status::SUCCESS);
    assert_eq!(status_of(SqeType::TYPE0, RequestType::GZIP), Status::SUCCESS);
    assert_eq!(status_of(SqeType::TYPE0, RequestType::DEFLATE), Status::BAD_REQUEST_TYPE);
    assert_eq!(status_of(SqeType::TYPE3, RequestType::ZLIB), Status::BAD_SQE_TYPE);
}
