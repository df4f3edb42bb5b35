//! Header parsers against files that other programs wrote.

use super::*;
use deflate::gzip::{GzipHeader, GzipHeaderError};
use deflate::zlib::ZlibHeader;

#[test]
fn zp_b08_headers_of_the_judge_parse() {
    for level in 1..=9 {
        let header = ZlibHeader::parse(&judge_compress(b"x", Wrapper::Zlib, level)).unwrap();
        assert_eq!(header.window_bits, 15);
        assert_eq!(GzipHeader::parse(&judge_compress(b"x", Wrapper::Gzip, level)).unwrap().1, 10);
    }
}

#[test]
fn zp_b08_the_judge_takes_a_header_with_every_field() {
    let header = GzipHeader {
        text: true,
        mtime: 1,
        extra_flags: 4,
        os: 255,
        extra: Some(&[7; 300]),
        name: Some(b"name"),
        comment: Some(b"comment"),
        header_crc: true,
    };
    let mut bytes = [0; 400];
    let len = header.emit(&mut bytes).unwrap();
    assert_eq!(GzipHeader::parse(&bytes[..len]), Ok((header, len)));
    let stream = [&bytes[..len], &compress(b"data", Params::new(Framing::GzipBody))].concat();
    let judged = judge(&stream, Wrapper::Gzip);
    assert_eq!((judged.verdict, &judged.output[..]), (Ok(flate2::Status::StreamEnd), &b"data"[..]));
    for at in 4..len {
        let mut damaged = bytes;
        damaged[at] ^= 0x40;
        // A longer extra field or a lost zero swallows the data: no verdict yet, but no success either.
        let refused = judge(&[&damaged[..len], &stream[len..]].concat(), Wrapper::Gzip).verdict != Ok(flate2::Status::StreamEnd);
        let ours = GzipHeader::parse(&damaged[..len]);
        assert!(refused, "byte {at}");
        assert!(matches!(ours, Err(GzipHeaderError::HeaderCrcMismatch { .. } | GzipHeaderError::Truncated)), "byte {at}: {ours:?}");
    }
}

#[test]
fn zp_b11_random_headers_never_panic() {
    let mut rng = Rng(4);
    for _ in 0..50_000 {
        let len = rng.below(40);
        let mut bytes = rng.bytes(len);
        if rng.below(2) == 0 && len > 3 {
            bytes[..3].copy_from_slice(&[0x1f, 0x8b, 8]);
        }
        if let Ok((_, len)) = GzipHeader::parse(&bytes) {
            assert!(len <= bytes.len());
        }
        let _ = ZlibHeader::parse(&bytes);
    }
}
