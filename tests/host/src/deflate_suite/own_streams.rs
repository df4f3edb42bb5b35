//! Streams made for this suite, one hazard each, with the verdict, consumed count and output that zlib 1.2.13 recorded.

use super::vectors::{agree_with_judge, decode_wrapped};
use super::*;

/// A row of the table.
pub(crate) struct Row {
    pub(crate) framing: &'static str,
    pub(crate) what: &'static str,
    pub(crate) stream: Vec<u8>,
    verdict: &'static str,
    consumed: &'static str,
    output_bytes: &'static str,
    output_crc: &'static str,
}

/// The table: framing, what it shows, the stream, and what zlib makes of it.
pub(crate) fn rows() -> Vec<Row> {
    let table = include_str!("streams.tsv");
    table
        .lines()
        .skip(1)
        .map(|row| {
            let cells: Vec<&str> = row.split('\t').collect();
            let [framing, what, digits, verdict, consumed, output_bytes, output_crc] = cells[..] else { panic!("seven cells: {row}") };
            Row { framing, what, stream: hex(digits), verdict, consumed, output_bytes, output_crc }
        })
        .collect()
}

#[test]
fn zp_b01_own_streams_get_the_recorded_verdict_output_and_count() {
    let rows = rows();
    assert!(rows.len() >= 240, "{} rows", rows.len());
    for row in &rows {
        let (wrapper, what) = match row.framing {
            "raw" => (Wrapper::Raw, row.what),
            "zlib" => (Wrapper::Zlib, row.what),
            "gzip" => (Wrapper::Gzip, row.what),
            other => panic!("unknown framing {other}"),
        };
        let (decoded, message) = decode_wrapped(&row.stream, wrapper);
        match row.verdict.split_once(':') {
            Some(("error", words)) => assert_eq!(message, Some(words), "{what}"),
            _ => {
                let verdict = if row.verdict == "ok" { Verdict::Done } else { Verdict::Truncated };
                assert_eq!((decoded.verdict, message), (verdict, None), "{what}");
                let crc = deflate::checksum::crc32(deflate::checksum::CRC32_INIT, &decoded.output);
                let seen = (decoded.consumed.to_string(), decoded.output.len().to_string(), format!("{crc:08x}"));
                assert_eq!((&*seen.0, &*seen.1, &*seen.2), (row.consumed, row.output_bytes, row.output_crc), "{what}");
            }
        }
        // flate2 has no words for a dictionary that is missing.
        if row.verdict != "error:need dictionary" {
            agree_with_judge(&row.stream, wrapper, what);
        }
    }
}
