//! Streams that are cut, damaged, hand-made or random: the verdict is zlib's and nothing is ever wrong with a good status.

use super::*;
use deflate::gzip::{GZIP_HEADER, GzipHeader};

/// Bits lowest first, as RFC 1951 packs them.
#[derive(Default)]
struct BitString {
    bytes: Vec<u8>,
    used: u32,
}

impl BitString {
    fn put(&mut self, value: u32, count: u32) -> &mut Self {
        for i in 0..count {
            if self.used == 0 {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> i & 1) as u8) << self.used;
            self.used = (self.used + 1) % 8;
        }
        self
    }

    /// A Huffman codeword: highest bit first.
    fn code(&mut self, codeword: u32, count: u32) -> &mut Self {
        self.put(codeword.reverse_bits() >> (32 - count), count)
    }

    /// A stored block that is not the last.
    fn stored(&mut self, data: &[u8]) -> &mut Self {
        self.put(0, 3);
        self.used = 0;
        let len = data.len() as u16;
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(&(!len).to_le_bytes());
        self.bytes.extend_from_slice(data);
        self
    }

    /// A last fixed block with one match of three bytes.
    fn fixed_match(&mut self, distance: u32) -> &mut Self {
        const BASES: [u32; 30] = [
            1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289,
            16385, 24577,
        ];
        let symbol = BASES.iter().rposition(|&base| base <= distance).unwrap();
        self.put(0b011, 3).code(1, 7).code(symbol as u32, 5);
        self.put(distance - BASES[symbol], (symbol as u32 / 2).saturating_sub(1));
        self.code(0, 7)
    }
}

/// Twenty gzip files of some hundred bytes, by both encoders.
fn small_gzip_files() -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut files = Vec::new();
    for (i, (_, sample)) in samples().into_iter().enumerate() {
        let input = sample[..sample.len().min(120 + 40 * i)].to_vec();
        let stream = if i % 2 == 0 {
            judge_compress(&input, Wrapper::Gzip, 9)
        } else {
            [&GZIP_HEADER[..], &compress(&input, Params::new(Framing::GzipBody))].concat()
        };
        files.push((stream, input));
    }
    for i in 0..7u32 {
        let input = text(400, u64::from(i) + 40);
        files.push((judge_compress(&input, Wrapper::Gzip, i + 1), input));
    }
    assert_eq!(files.len(), 20);
    files
}

/// Decodes a whole gzip file: header and body.
fn gunzip(stream: &[u8]) -> Option<Decoded> {
    let (_, len) = GzipHeader::parse(stream).ok()?;
    Some(inflate(&stream[len..], Framing::GzipBody))
}

#[test]
fn zp_b02_every_prefix_is_truncated() {
    for (stream, input) in small_gzip_files() {
        for len in 0..stream.len() {
            let Some(decoded) = gunzip(&stream[..len]) else { continue };
            assert_eq!(decoded.verdict, Verdict::Truncated, "{len} of {}", stream.len());
            assert!(input.starts_with(&decoded.output));
        }
        assert_eq!(gunzip(&stream).map(|decoded| (decoded.verdict, decoded.output)), Some((Verdict::Done, input)));
    }
}

#[test]
fn zp_b03_no_single_bit_flip_gives_wrong_data_with_a_good_status() {
    let mut refused = 0;
    for (stream, input) in small_gzip_files() {
        for bit in 0..8 * stream.len() {
            let mut damaged = stream.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            match gunzip(&damaged) {
                Some(Decoded { verdict: Verdict::Done, output, .. }) => assert!(output == input, "bit {bit} of {}", stream.len()),
                _ => refused += 1,
            }
        }
    }
    assert!(refused > 10_000, "{refused}");
}

#[test]
fn zp_b04_distances_reach_to_the_first_byte_and_no_further() {
    for history in [1usize, 2, 3, 100, 32_766, 32_767, 32_768] {
        let data = Rng(history as u64).bytes(history);
        let good = BitString::default().stored(&data).fixed_match(history as u32).bytes.clone();
        let expected = [&data[..], &data.iter().copied().cycle().take(3).collect::<Vec<_>>()].concat();
        // In one step, with the history in an earlier step, and byte by byte.
        for piece in [usize::MAX, history, 1] {
            let decoded = inflate_pieces(&good, Framing::Raw, || usize::MAX, || piece);
            assert_eq!((decoded.verdict, decoded.output == expected), (Verdict::Done, true), "history {history}");
            if history < 32_768 {
                let bad = BitString::default().stored(&data).fixed_match(history as u32 + 1).bytes.clone();
                let decoded = inflate_pieces(&bad, Framing::Raw, || usize::MAX, || piece);
                let error = InflateError::DistanceTooFarBack { distance: history as u16 + 1, available: history as u16 };
                assert_eq!((decoded.verdict, decoded.output == data), (Verdict::Bad(error), true), "history {history}");
            }
        }
    }
}

#[test]
fn zp_b04_a_match_may_reach_over_the_whole_window_at_any_place() {
    // 40,000 bytes of history, so that the window is full and has wrapped.
    let data = Rng(1).bytes(40_000);
    for distance in [1u32, 2, 7, 8, 9, 32_767, 32_768] {
        let stream = BitString::default().stored(&data).fixed_match(distance).bytes.clone();
        for piece in [usize::MAX, 40_000, 39_999, 1000] {
            let decoded = inflate_pieces(&stream, Framing::Raw, || usize::MAX, || piece);
            assert_eq!(decoded.verdict, Verdict::Done);
            let tail: Vec<u8> = (0..3).map(|i| decoded.output[40_000 + i - distance as usize]).collect();
            assert_eq!(decoded.output[40_000..], tail);
        }
    }
}

#[test]
fn zp_b05_symbols_that_the_fixed_codes_have_and_the_format_does_not() {
    for (symbol, codeword) in [(286, 0b1100_0110), (287, 0b1100_0111)] {
        let stream = BitString::default().put(0b011, 3).code(codeword, 8).put(0, 32).bytes.clone();
        assert_eq!(inflate(&stream, Framing::Raw).verdict, Verdict::Bad(InflateError::InvalidLitLenSymbol), "{symbol}");
    }
    for symbol in [30, 31] {
        let stream = BitString::default().put(0b011, 3).code(0x30, 8).code(1, 7).code(symbol, 5).put(0, 32).bytes.clone();
        assert_eq!(inflate(&stream, Framing::Raw).verdict, Verdict::Bad(InflateError::InvalidDistanceSymbol), "{symbol}");
    }
}

#[test]
fn zp_b05_hlit_and_hdist_limits() {
    for (hlit, hdist, accepted) in [(286, 30, true), (287, 30, false), (288, 1, false), (257, 31, false), (257, 32, false)] {
        let stream = BitString::default().put(0b101, 3).put(hlit - 257, 5).put(hdist - 1, 5).put(0, 4).bytes.clone();
        let verdict = inflate(&stream, Framing::Raw).verdict;
        let refused = Verdict::Bad(InflateError::TooManySymbols { hlit: hlit as u16, hdist: hdist as u16 });
        assert_eq!(verdict == refused, !accepted, "{hlit} {hdist}: {verdict:?}");
    }
}

/// Verdict, output and consumed count against the judge's.
pub(super) fn agree(stream: &[u8], what: &str) -> bool {
    let decoded = inflate(stream, Framing::Raw);
    let judged = judge(stream, Wrapper::Raw);
    match (&decoded.verdict, &judged.verdict) {
        (Verdict::Done, Ok(flate2::Status::StreamEnd)) => assert_eq!(decoded.consumed, judged.consumed, "{what}"),
        (Verdict::Truncated, Ok(flate2::Status::Ok | flate2::Status::BufError)) => {}
        (Verdict::Bad(_), Err(_)) => return false,
        (ours, theirs) => panic!("{what}: ours {ours:?}, zlib's {theirs:?}: {stream:02x?}"),
    }
    assert!(decoded.output == judged.output, "{what}: output differs: {stream:02x?}");
    true
}

#[test]
fn zp_b05_random_dynamic_headers_get_zlibs_verdict() {
    let mut rng = Rng(20);
    let (mut good, mut bad) = (0, 0);
    for round in 0..60_000 {
        let mut stream = BitString::default();
        stream.put(0b101, 3).put(rng.below(32) as u32, 5).put(rng.below(31) as u32, 5);
        let hclen = 4 + rng.below(16);
        stream.put(hclen as u32 - 4, 4);
        // Few distinct lengths make complete codes likely.
        let shape = rng.below(4);
        for _ in 0..hclen {
            let length = match shape {
                0 => [0, 0, 0, 1, 2, 3, 3][rng.below(7)],
                1 => [0, 2, 2, 3][rng.below(4)],
                2 => [0, 0, 0, 0, 1][rng.below(5)],
                _ => rng.below(8) as u32,
            };
            stream.put(length, 3);
        }
        let mut bytes = stream.bytes.clone();
        let tail = rng.below(120);
        bytes.extend(if rng.below(3) == 0 { vec![0; tail] } else { rng.bytes(tail) });
        if agree(&bytes, &format!("round {round}")) { good += 1 } else { bad += 1 }
    }
    assert!(good > 1000 && bad > 1000, "{good} {bad}");
}

#[test]
fn zp_b05_damaged_streams_get_zlibs_verdict() {
    let mut rng = Rng(21);
    let streams: Vec<Vec<u8>> =
        samples().iter().map(|(_, sample)| judge_compress(&sample[..sample.len().min(3000)], Wrapper::Raw, 6)).collect();
    let (mut good, mut bad) = (0, 0);
    for round in 0..30_000 {
        let mut stream = streams[rng.below(streams.len())].clone();
        for _ in 0..1 + rng.below(3) {
            // Half of the damage near the front, where the code lengths are.
            let range = if rng.below(2) == 0 { stream.len().min(100) } else { stream.len() };
            let at = rng.below(range);
            stream[at] ^= 1 << rng.below(8);
        }
        if agree(&stream, &format!("round {round}")) { good += 1 } else { bad += 1 }
    }
    assert!(good > 1000 && bad > 1000, "{good} {bad}");
}

#[test]
fn zp_b06_exhausted_input_makes_no_output() {
    for (stream, _) in small_gzip_files() {
        for len in (10..stream.len() - 1).step_by(7) {
            let mut inflate = Box::new(Inflate::new());
            inflate.reset(Framing::GzipBody);
            let mut output = vec![0; 70_000];
            assert_eq!(inflate.step(&stream[10..len], &mut output).status, Status::NeedInput);
            for _ in 0..3 {
                let progress = inflate.step(&[], &mut output);
                assert_eq!((progress.consumed, progress.produced, progress.status), (0, 0, Status::NeedInput));
            }
        }
    }
}

#[test]
fn zp_b07_thousands_of_empty_blocks() {
    let mut stream = BitString::default();
    for i in 0..3000 {
        match i % 3 {
            0 => stream.stored(&[]),
            1 => stream.put(0b010, 3).code(0, 7),
            _ => {
                // HLIT 257, HDIST 1, precode 0 and 18 of one bit each... lengths: 256 zeros, one 1, one 0.
                stream.put(0b100, 3).put(0, 5).put(0, 5).put(14, 4);
                // Order 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1: 18 gets one bit, 0 and 1 two.
                for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1] {
                    stream.put(
                        match symbol {
                            18 => 1,
                            0 | 1 => 2,
                            _ => 0,
                        },
                        3,
                    );
                }
                stream.code(0, 1).put(127, 7).code(0, 1).put(107, 7).code(0b11, 2).code(0b10, 2).code(0, 1)
            }
        };
    }
    stream.put(0b011, 3).code(0, 7);
    assert!(agree(&stream.bytes, "empty blocks"));
    let decoded = inflate(&stream.bytes, Framing::Raw);
    assert_eq!((decoded.verdict, decoded.output.len()), (Verdict::Done, 0));
}

#[test]
fn zp_b07_a_bomb_is_stopped_by_the_output_limit() {
    let bomb = judge_compress(&vec![0; 4 << 20], Wrapper::Raw, 9);
    assert!(bomb.len() < 5000);
    let mut inflate = Box::new(Inflate::new());
    let mut output = [0xa5; 1000];
    let progress = inflate.step(&bomb, &mut output);
    assert_eq!((progress.produced, progress.status), (1000, Status::NeedOutput));
    assert!(progress.consumed < 100);
}

#[test]
fn zp_b08_each_wrong_trailer_field_has_its_own_error() {
    let input = text(5000, 2);
    let gzip = compress(&input, Params::new(Framing::GzipBody));
    let zlib = compress(&input, Params::new(Framing::ZlibBody));
    let damaged = |stream: &[u8], from_end: usize| {
        let mut stream = stream.to_vec();
        let at = stream.len() - from_end;
        stream[at] ^= 0x10;
        stream
    };
    for from_end in 1..=4 {
        let verdict = inflate(&damaged(&gzip, from_end), Framing::GzipBody).verdict;
        assert!(matches!(verdict, Verdict::Bad(InflateError::IsizeMismatch { computed: 5000, .. })), "{verdict:?}");
        let verdict = inflate(&damaged(&zlib, from_end), Framing::ZlibBody).verdict;
        assert!(matches!(verdict, Verdict::Bad(InflateError::AdlerMismatch { .. })), "{verdict:?}");
    }
    for from_end in 5..=8 {
        let verdict = inflate(&damaged(&gzip, from_end), Framing::GzipBody).verdict;
        assert!(matches!(verdict, Verdict::Bad(InflateError::CrcMismatch { .. })), "{verdict:?}");
    }
}

#[test]
fn zp_b08_the_offset_of_the_fault_is_that_of_its_first_bit() {
    let offset = |stream: &[u8], framing: Framing, piece: usize| {
        let mut inflate = Box::new(Inflate::new());
        inflate.reset(framing);
        let mut output = vec![0; 100_000];
        let mut at = 0;
        loop {
            let end = at + piece.min(stream.len() - at);
            let progress = inflate.step(&stream[at..end], &mut output);
            at += progress.consumed;
            match progress.status {
                Status::NeedInput => {}
                Status::Error(error) => {
                    // Once bad, always bad, and nothing moves.
                    let again = inflate.step(&stream[at..], &mut output);
                    assert_eq!((again.consumed, again.produced, again.status), (0, 0, Status::Error(error)));
                    return inflate.error_offset().unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
    };
    let data = Rng(1).bytes(1000);
    let prefix = BitString::default().stored(&data).bytes.clone();
    let input = text(5000, 2);
    let mut bad_crc = compress(&input, Params::new(Framing::GzipBody));
    let crc_at = bad_crc.len() - 8;
    bad_crc[crc_at] ^= 1;
    let mut bad_isize = compress(&input, Params::new(Framing::GzipBody));
    bad_isize[crc_at + 5] ^= 1;
    for piece in [usize::MAX, 1, 7] {
        assert_eq!(offset(&[6], Framing::Raw, piece), 0);
        assert_eq!(offset(&[&prefix[..], &[6]].concat(), Framing::Raw, piece), 1005);
        assert_eq!(offset(&[&prefix[..], &[0, 1, 0, 1, 0]].concat(), Framing::Raw, piece), 1006);
        // Header and length symbol take 10 bits; the distance begins in the second byte.
        let far = BitString::default().stored(&data).fixed_match(1001).bytes.clone();
        assert_eq!(offset(&far, Framing::Raw, piece), 1006);
        // The trailer fields are compared when whole; what is named is their last byte.
        assert_eq!(offset(&bad_crc, Framing::GzipBody, piece), crc_at as u64 + 3);
        assert_eq!(offset(&bad_isize, Framing::GzipBody, piece), crc_at as u64 + 7);
    }
}

#[test]
fn zp_b10_bytes_behind_the_stream_are_not_consumed() {
    for (name, input) in samples() {
        let input = &input[..input.len().min(20_000)];
        for framing in FRAMINGS {
            let body = compress(input, Params::new(framing));
            let longer = [&body[..], &body, &[0xff; 40]].concat();
            for piece in [usize::MAX, 1, 2, 13] {
                let decoded = inflate_pieces(&longer, framing, || piece, || usize::MAX);
                assert_eq!((decoded.verdict, decoded.consumed), (Verdict::Done, body.len()), "{name}");
                assert!(decoded.output == input);
            }
        }
    }
}
