//! Round trips of many buffers, with the body that `zip-engine/fuzz` runs with C libraries as judges. `ROUND_TRIPS` says how many, and they
//! are longer then; 12 otherwise.

use super::*;

#[path = "../../../../zip-engine/fuzz/src/data.rs"]
pub(crate) mod data;
#[path = "../../../../zip-engine/fuzz/src/round_trip.rs"]
mod round_trip;

fn zlib_rs(body: &[u8], framing: Framing, len: usize) -> Option<Vec<u8>> {
    let (stream, wrapper) = with_header(body, framing);
    let judged = judge(&stream, wrapper);
    assert!(judged.output.len() <= len);
    (judged.verdict == Ok(flate2::Status::StreamEnd) && judged.consumed == stream.len()).then_some(judged.output)
}

fn miniz(body: &[u8], framing: Framing, len: usize) -> Option<Vec<u8>> {
    match framing {
        Framing::Raw => miniz_oxide::inflate::decompress_to_vec_with_limit(body, len).ok(),
        Framing::ZlibBody => miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(&with_header(body, framing).0, len).ok(),
        // It has no gzip: the body without its trailer is a raw stream.
        Framing::GzipBody => miniz_oxide::inflate::decompress_to_vec_with_limit(&body[..body.len() - 8], len).ok(),
    }
}

#[test]
fn zp_c10_round_trips_at_every_level_in_every_framing() {
    let asked = std::env::var("ROUND_TRIPS").ok().and_then(|text| text.parse().ok());
    let (count, longest) = asked.map_or((12, 6_000), |count| (count, 200_000));
    round_trip::run(count, 1, longest, &[("zlib-rs", &zlib_rs), ("miniz_oxide", &miniz)]);
}
