//! Recorded streams with zlib's verdicts: infcover, Go's TestStreams, and the files of several projects' test suites.

use super::*;
use deflate::gzip::{GzipHeader, GzipHeaderError};
use deflate::zlib::{ZlibHeader, ZlibHeaderError};

/// A wrapped stream decoded by header parser and body decoder together, with zlib's words for what is wrong.
pub(super) fn decode_wrapped(stream: &[u8], wrapper: Wrapper) -> (Decoded, Option<&'static str>) {
    let refused = |message| (Decoded { output: Vec::new(), consumed: 0, verdict: Verdict::Truncated }, Some(message));
    let (header, framing) = match wrapper {
        Wrapper::Raw => (0, Framing::Raw),
        Wrapper::Zlib => match ZlibHeader::parse(stream) {
            Ok(_) => (2, Framing::ZlibBody),
            Err(ZlibHeaderError::Truncated) => (stream.len(), Framing::ZlibBody),
            Err(ZlibHeaderError::BadCheck) => return refused("incorrect header check"),
            Err(ZlibHeaderError::UnknownMethod { .. }) => return refused("unknown compression method"),
            Err(ZlibHeaderError::WindowTooLarge { .. }) => return refused("invalid window size"),
            Err(ZlibHeaderError::PresetDictionary) => return refused("need dictionary"),
        },
        Wrapper::Gzip => match GzipHeader::parse(stream) {
            Ok((_, len)) => (len, Framing::GzipBody),
            Err(GzipHeaderError::Truncated) => (stream.len(), Framing::GzipBody),
            Err(GzipHeaderError::NotGzip { .. }) => return refused("incorrect header check"),
            Err(GzipHeaderError::UnknownMethod { .. }) => return refused("unknown compression method"),
            Err(GzipHeaderError::ReservedFlags { .. }) => return refused("unknown header flags set"),
            Err(GzipHeaderError::HeaderCrcMismatch { .. }) => return refused("header crc mismatch"),
        },
    };
    let mut decoded = inflate(&stream[header..], framing);
    decoded.consumed += header;
    let message = match decoded.verdict {
        Verdict::Bad(error) => Some(zlibs_words(error)),
        _ => None,
    };
    (decoded, message)
}

/// zlib's message for each error.
fn zlibs_words(error: InflateError) -> &'static str {
    match error {
        InflateError::InvalidBlockType => "invalid block type",
        InflateError::StoredLengthMismatch { .. } => "invalid stored block lengths",
        InflateError::TooManySymbols { .. } => "too many length or distance symbols",
        InflateError::InvalidPrecode => "invalid code lengths set",
        InflateError::InvalidLengthRepeat => "invalid bit length repeat",
        InflateError::MissingEndOfBlock => "invalid code -- missing end-of-block",
        InflateError::InvalidLitLenCode => "invalid literal/lengths set",
        InflateError::InvalidDistanceCode => "invalid distances set",
        InflateError::InvalidLitLenSymbol => "invalid literal/length code",
        InflateError::InvalidDistanceSymbol => "invalid distance code",
        InflateError::DistanceTooFarBack { .. } => "invalid distance too far back",
        InflateError::AdlerMismatch { .. } | InflateError::CrcMismatch { .. } => "incorrect data check",
        InflateError::IsizeMismatch { .. } => "incorrect length check",
    }
}

#[test]
fn zp_b01_inline_streams_get_the_recorded_verdict() {
    let Some(dir) = shared_dir("vectors", "zp_b01") else { return };
    let table = std::fs::read_to_string(dir.join("inline.tsv")).unwrap();
    let mut rows = 0;
    for row in table.lines().skip(1) {
        let cells: Vec<&str> = row.split('\t').collect();
        let [source, format, digits, what, expected] = cells[..] else { panic!("five cells: {row}") };
        let stream = hex(digits);
        match source {
            "infcover.try" => {
                let wrapper = if format == "raw" { Wrapper::Raw } else { Wrapper::Gzip };
                let (decoded, message) = decode_wrapped(&stream, wrapper);
                if expected == "fail" {
                    // The description of these rows is zlib's message.
                    assert_eq!(message, Some(what), "{row}");
                } else {
                    assert!(!matches!(decoded.verdict, Verdict::Bad(_)), "{row}: {message:?}");
                }
            }
            "infcover.inf" => {
                let bits: i32 = format.split_whitespace().next().unwrap().strip_prefix("wbits=").unwrap().parse().unwrap();
                let wrapper = match bits {
                    // What inflateInit2 itself refuses has no stream.
                    1 => continue,
                    ..0 => Wrapper::Raw,
                    0..16 => Wrapper::Zlib,
                    16..32 => Wrapper::Gzip,
                    _ if stream.starts_with(&[0x1f]) => Wrapper::Gzip,
                    _ => Wrapper::Zlib,
                };
                let (decoded, mut message) = decode_wrapped(&stream, wrapper);
                // A window limit below that of the header is the caller's: the header says its size.
                if wrapper == Wrapper::Zlib
                    && bits != 0
                    && ZlibHeader::parse(&stream).is_ok_and(|header| i32::from(header.window_bits) > bits)
                {
                    message = Some("invalid window size");
                }
                match expected {
                    "Z_DATA_ERROR" => assert!(message.is_some(), "{row}: {:?}", decoded.verdict),
                    "Z_NEED_DICT" => assert_eq!(message, Some("need dictionary"), "{row}"),
                    "Z_STREAM_END" => assert_eq!(decoded.verdict, Verdict::Done, "{row}"),
                    "Z_OK" => assert_eq!(message, None, "{row}"),
                    other => panic!("unknown expectation {other}"),
                }
            }
            "go.TestStreams" => {
                let (decoded, message) = decode_wrapped(&stream, Wrapper::Raw);
                match expected {
                    // Go counts a missing end as a failure too.
                    "fail" => assert_ne!(decoded.verdict, Verdict::Done, "{row}"),
                    "(empty)" => assert_eq!((decoded.output.len(), message), (0, None), "{row}"),
                    digits => assert_eq!((decoded.output, message), (hex(digits), None), "{row}"),
                }
            }
            other => panic!("unknown source {other}"),
        }
        // And the judge's verdict on the same bytes, which knows what is truncated and what is refused.
        if format == "raw" {
            agree_with_judge(&stream, Wrapper::Raw, row);
        }
        rows += 1;
    }
    assert!(rows >= 70, "{rows} rows");
}

/// Compares verdict, message, output and, where the stream is not refused, the consumed count with the judge's.
pub(super) fn agree_with_judge(stream: &[u8], wrapper: Wrapper, what: &str) {
    let (decoded, message) = decode_wrapped(stream, wrapper);
    let judged = judge(stream, wrapper);
    match judged.verdict {
        Ok(flate2::Status::StreamEnd) => {
            assert_eq!((decoded.verdict, decoded.consumed), (Verdict::Done, judged.consumed), "{what}");
            assert!(decoded.output == judged.output, "{what}: output differs");
        }
        Ok(_) => {
            assert_eq!((decoded.verdict, message), (Verdict::Truncated, None), "{what}");
            assert!(decoded.output == judged.output, "{what}: output differs");
        }
        // The judge's bulk loop loses its own words; the recorded ones of zlib are compared by the callers.
        Err(words) if words == "repeated call with bad state" => assert!(message.is_some(), "{what}"),
        Err(words) => assert_eq!(message, Some(&words[..]), "{what}"),
    }
}

#[test]
fn zp_b09_vector_files_get_zlibs_verdict_in_every_framing() {
    let Some(dir) = shared_dir("vectors", "zp_b09") else { return };
    let table = std::fs::read_to_string(dir.join("expected.tsv")).unwrap();
    let mut files = 0;
    for row in table.lines().filter(|row| !row.starts_with('#') && !row.is_empty()) {
        let cells: Vec<&str> = row.split('\t').collect();
        let Ok(stream) = std::fs::read(dir.join(cells[0])) else { panic!("no file {}", cells[0]) };
        for (wrapper, expected) in [(Wrapper::Raw, cells[3]), (Wrapper::Zlib, cells[4]), (Wrapper::Gzip, cells[5])] {
            let what = format!("{} as {wrapper:?}", cells[0]);
            let fields: Vec<&str> = expected.split('|').collect();
            let (decoded, message) = decode_wrapped(&stream, wrapper);
            match fields[0].split_once(':') {
                Some(("error", words)) => assert_eq!(message, Some(words), "{what}"),
                _ => {
                    let verdict = if fields[0] == "ok" { Verdict::Done } else { Verdict::Truncated };
                    assert_eq!((decoded.verdict, message), (verdict, None), "{what}");
                    assert_eq!(
                        (decoded.consumed, decoded.output.len()),
                        (fields[1].parse().unwrap(), fields[2].parse().unwrap()),
                        "{what}"
                    );
                }
            }
            agree_with_judge(&stream, wrapper, &what);
        }
        files += 1;
    }
    assert!(files >= 100, "{files} files");
}
