//! Bad streams and hostile entries.

use super::rig::*;
use hal::Iova;
use proptest::prelude::*;
use zip_model::{Direction, Job, Step};
use zip_spec::{Completion, Container, Request, Sqe, Status, dw};

#[test]
fn zp_b02_no_prefix_is_a_success() {
    for container in FORMATS {
        for (seed, level) in [(1, 1), (2, 6), (3, 9)] {
            let data = text(1500, seed);
            let body = judge_encode(container, &data, level);
            let mut rig = Rig::new(1);
            for cut in 1..body.len() {
                let (completion, out) = rig.one_shot(container, Direction::Decompress, &body[..cut], 2000);
                assert_eq!((completion.status, completion.consumed as usize), (Status::TRUNCATED, cut), "{container:?}");
                assert!(data.starts_with(&out));
            }
        }
    }
}

#[test]
fn zp_b03_no_flipped_bit_gives_wrong_data_with_a_good_status() {
    let mut rig = Rig::new(1);
    for seed in 0..3 {
        let data = text(400, seed);
        let body = judge_encode(Container::Gzip, &data, 6);
        for bit in 0..body.len() * 8 {
            let mut spoilt = body.clone();
            spoilt[bit / 8] ^= 1 << (bit % 8);
            let (completion, out) = rig.one_shot(Container::Gzip, Direction::Decompress, &spoilt, 4000);
            assert!(!completion.status.is_good() || out == data, "bit {bit}: {completion:?}");
        }
    }
}

#[test]
fn zp_b08_wrong_trailers_have_their_own_status() {
    let mut rig = Rig::new(1);
    let data = text(3000, 1);
    for (container, from_end, expected) in [
        (Container::Zlib, 1, Status::CHECKSUM_MISMATCH),
        (Container::Gzip, 8, Status::CHECKSUM_MISMATCH),
        (Container::Gzip, 1, Status::LENGTH_MISMATCH),
    ] {
        let mut body = judge_encode(container, &data, 6);
        let at = body.len() - from_end;
        body[at] ^= 0x80;
        let (completion, out) = rig.one_shot(container, Direction::Decompress, &body, 3000);
        assert_eq!(completion.status, expected);
        // The data had been decoded by then; the count says where the trailer is bad.
        assert_eq!(out.len(), 3000);
        let trailer = body.len() - container.trailer_bytes();
        assert!((trailer..body.len()).contains(&(completion.consumed as usize)), "{completion:?}");
    }
}

#[test]
fn zp_b01_faults_of_the_format_have_their_own_status() {
    let cases: [(&[u8], Status); 7] = [
        (&[0x06], Status::BAD_BLOCK_TYPE),
        (&[0x00, 0x00, 0x00, 0x00, 0x00], Status::BAD_STORED_LENGTH),
        (&[0xfc, 0x00, 0x00], Status::BAD_CODE_LENGTHS),
        (&[0x04, 0x00, 0xfe, 0xff], Status::BAD_CODE_LENGTHS),
        (&[0x02, 0x7e, 0xff, 0xff], Status::BAD_SYMBOL),
        (&[0x0c, 0xc0, 0x81, 0x00, 0x00, 0x00, 0x00, 0x00, 0x90, 0xff, 0x6b, 0x04], Status::DISTANCE_TOO_FAR),
        (&[0x01, 0x01, 0x00, 0xfe, 0xff], Status::TRUNCATED),
    ];
    let mut rig = Rig::new(1);
    for (stream, expected) in cases {
        let (completion, _) = rig.one_shot(Container::Raw, Direction::Decompress, stream, 4000);
        assert_eq!(completion.status, expected, "{stream:02x?}");
    }
}

#[test]
fn zp_b07_ratio_bombs_stop_at_the_limit() {
    let mut rig = Rig::new(4);
    let body = judge_encode(Container::Gzip, &vec![0; 8 << 20], 9);
    assert!(body.len() < 10_000);
    let (completion, out) = rig.one_shot(Container::Gzip, Direction::Decompress, &body, 1 << 20);
    assert_eq!((completion.status, out.len()), (Status::DESTINATION_TOO_SMALL, 1 << 20));
    let empty_blocks = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(3000);
    let body = [&empty_blocks[..], &[0x03, 0x00]].concat();
    let (completion, out) = rig.one_shot(Container::Raw, Direction::Decompress, &body, 16);
    assert_eq!((completion.status, out.len()), (Status::SUCCESS, 0));
}

#[test]
fn zp_b10_consumed_stops_exactly_behind_the_trailer() {
    let mut rig = Rig::new(1);
    let data = text(5000, 1);
    for container in FORMATS {
        let body = judge_encode(container, &data, 6);
        for tail in [1, 2, 8, 100] {
            let input = [&body[..], &vec![0x1f; tail]].concat();
            let (completion, out) = rig.one_shot(container, Direction::Decompress, &input, 6000);
            assert_eq!(
                (completion.status, completion.consumed as usize, out == data),
                (Status::SUCCESS, body.len(), true),
                "{container:?} {tail}"
            );
        }
    }
}

#[test]
fn zp_b12_each_bad_field_has_its_own_status() {
    let mut rig = Rig::new(1);
    let (source, destination) = (rig.put(&text(64, 1)), rig.room(512));
    let good = flat(Container::Zlib, source, 64, destination, 512).encode();
    type Spoil = fn(&mut [u32; 32]);
    let cases: [(&str, Spoil, Status); 17] = [
        ("type 1", |w| w[7] = w[7] & 0x0fff_ffff | 0x1000_0000, Status::BAD_SQE_TYPE),
        ("type 15", |w| w[7] |= 0xf000_0000, Status::BAD_SQE_TYPE),
        ("request 0", |w| w[9] &= !0xff, Status::BAD_REQUEST_TYPE),
        ("lz4", |w| w[9] = w[9] & !0xff | 0x04, Status::BAD_REQUEST_TYPE),
        ("lz77_only", |w| w[9] = w[9] & !0xff | 0x40, Status::BAD_REQUEST_TYPE),
        ("xts", |w| w[9] = w[9] & !0xff | 0x10, Status::BAD_REQUEST_TYPE),
        ("raw with type 0", |w| (w[7], w[9]) = (w[7] & 0x0fff_ffff, w[9] & !0xff | 1), Status::BAD_REQUEST_TYPE),
        ("buffer type 2", |w| w[9] |= 0x200, Status::BAD_BUFFER_TYPE),
        ("window 5", |w| w[9] = w[9] & !0xf000 | 0x5000, Status::BAD_WINDOW),
        ("dw7 bit 24", |w| w[7] |= 1 << 24, Status::RESERVED_BITS),
        ("dw8 bit 31", |w| w[8] |= 1 << 31, Status::RESERVED_BITS),
        ("dif generate", |w| w[10] = 1, Status::RESERVED_BITS),
        ("dif verify", |w| w[12] = 0x100, Status::RESERVED_BITS),
        ("offset without list", |w| w[7] |= 10, Status::BAD_ADDRESS),
        ("out offset without list", |w| w[8] |= 10, Status::BAD_ADDRESS),
        ("source past 2^64", |w| (w[18], w[19]) = (u32::MAX - 60, u32::MAX), Status::BAD_ADDRESS),
        ("context past 2^64", |w| (w[7], w[22], w[23]) = (w[7] | 1 << 26, u32::MAX, u32::MAX), Status::BAD_ADDRESS),
    ];
    for (name, spoil, expected) in cases {
        let mut words = good.0;
        spoil(&mut words);
        let completion = rig.run_sqe(Sqe(words), Direction::Compress);
        assert_eq!((completion.status, completion.consumed, completion.produced), (expected, 0, 0), "{name}");
    }
    assert_eq!(rig.port.accesses, 0, "nothing is fetched for a bad entry");
    // What does not matter for the direction or mode is ignored: libraries leave values there.
    for (name, spoil) in [
        ("window on decompression", (|w| w[9] |= 0xf000) as Spoil),
        ("context of a one-shot", |w| (w[22], w[23]) = (64, 0)),
        ("context words of a one-shot", |w| (w[15], w[28], w[29], w[30], w[31]) = (1, 2, 3, 4, 5)),
        ("private words", |w| (w[5], w[6], w[11], w[16], w[17], w[24], w[25]) = (1, 2, 3, 4, 5, 6, 7)),
    ] {
        let body = judge_encode(Container::Zlib, b"abc", 6);
        let source = rig.put(&body);
        let mut words = flat(Container::Zlib, source, body.len(), destination, 512).encode().0;
        spoil(&mut words);
        let completion = rig.run_sqe(Sqe(words), Direction::Decompress);
        assert_eq!((completion.status, completion.words), (Status::SUCCESS, Default::default()), "{name}");
    }
}

/// Runs an entry with no mercy: absent pages are retried, aborted or ignored at random. Returns its end.
fn torture(rig: &mut Rig, words: [u32; 32], direction: Direction, random: &mut Random) -> Completion {
    let mut job = Job::start(words, direction, WHO);
    for _ in 0..MAX_STEPS {
        match job.step(&mut rig.port, &mut rig.engine) {
            Step::Progress => {}
            Step::Done(words) => return Completion::from(&Sqe(words)),
            Step::Stalled(tag) => {
                let verdict = [hal::Verdict::Retry, hal::Verdict::Abort, hal::Verdict::ReadZeroWriteIgnore][random.below(3)];
                rig.port.resolve(tag);
                job.resume(verdict);
            }
        }
    }
    panic!("the job is wedged: {words:08x?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]
    #[test]
    fn zp_b11_random_entries_never_wedge(words: [u32; 32], decompress: bool) {
        let mut rig = Rig::new(0);
        let direction = if decompress { Direction::Decompress } else { Direction::Compress };
        torture(&mut rig, words, direction, &mut Random(words[0].into()));
    }
}

#[test]
fn zp_b11_entries_with_some_fields_random_never_wedge() {
    let mut random = Random(77);
    let mut rig = Rig::new(1);
    let junk = random.bytes(1 << 20);
    let body = judge_encode(Container::Gzip, &text(60_000, 1), 6);
    for round in 0..3000 {
        if round % 500 == 0 {
            rig.poke(Iova(BASE), &junk);
            rig.poke(Iova(BASE + 0x1000), &body);
        }
        let container = FORMATS[random.below(3)];
        let inside = |random: &mut Random| Iova(BASE + random.below(1 << 20) as u64);
        let (from, into) = (inside(&mut random), inside(&mut random));
        let from = if random.below(2) == 0 { Iova(BASE + 0x1000) } else { from };
        let mut sqe = Request { ..flat(container, from, 1 + random.below(40_000), into, random.below(40_000)) }.encode();
        sqe.set_pair(dw::CONTEXT_LOW, inside(&mut random).0);
        for _ in 0..random.below(4) {
            let word = [dw::CONTROL, dw::SELECT, dw::INPUT_LENGTH, dw::DEST_AVAIL_OUT, dw::CTX_DW0, dw::CHECKSUM, dw::OUTPUT_OFFSET]
                [random.below(7)];
            let keep = [0xffff_ffff, 0xff, 0xf0ff_00ff][random.below(3)];
            sqe.0[word] = sqe.0[word] & keep | random.next() as u32 & !keep;
        }
        if random.below(3) == 0 {
            sqe.0[dw::CONTROL] |= 1 << 26;
        }
        if random.below(3) == 0 {
            sqe.0[dw::SELECT] |= 1 << 8;
            sqe.0[dw::SOURCE_LOW] &= !63;
            sqe.0[dw::DESTINATION_LOW] &= !63;
        }
        let at = inside(&mut random);
        rig.port.set_pages(
            at,
            4096 * random.below(20) + 1,
            Some([PageState::Absent, PageState::Broken, PageState::ReadOnly][random.below(3)]),
        );
        let direction = if random.below(2) == 0 { Direction::Compress } else { Direction::Decompress };
        let completion = torture(&mut rig, sqe.0, direction, &mut random);
        assert!(completion.produced <= sqe.0[dw::DEST_AVAIL_OUT] && completion.consumed <= sqe.0[dw::INPUT_LENGTH], "{completion:?}");
        rig.port.set_pages(Iova(BASE), 1 << 20, None);
    }
}
