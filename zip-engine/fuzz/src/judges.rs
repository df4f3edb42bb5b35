//! The judges: zlib and libdeflate, as C libraries.

use deflate::Framing;

/// Decodes a body in a framing; `None` unless it is one whole stream.
pub type Judge = fn(&[u8], Framing, usize) -> Option<Vec<u8>>;

/// Every judge with its name.
pub const JUDGES: [(&str, Judge); 2] = [("zlib", zlib), ("libdeflate", libdeflate)];

/// A whole stream: the libraries' header in front of a body.
pub fn with_header(body: &[u8], framing: Framing) -> Vec<u8> {
    let header: &[u8] = match framing {
        Framing::Raw => &[],
        Framing::ZlibBody => &deflate::zlib::ZLIB_HEADER,
        Framing::GzipBody => &deflate::gzip::GZIP_HEADER,
    };
    [header, body].concat()
}

/// zlib's decoder for a framing.
pub fn zlib_decoder(framing: Framing) -> flate2::Decompress {
    match framing {
        Framing::Raw => flate2::Decompress::new(false),
        Framing::ZlibBody => flate2::Decompress::new(true),
        Framing::GzipBody => flate2::Decompress::new_gzip(15),
    }
}

fn zlib(body: &[u8], framing: Framing, len: usize) -> Option<Vec<u8>> {
    let stream = with_header(body, framing);
    let mut decoder = zlib_decoder(framing);
    let mut out = Vec::with_capacity(len + 64);
    let status = decoder.decompress_vec(&stream, &mut out, flate2::FlushDecompress::Finish).ok()?;
    (status == flate2::Status::StreamEnd && decoder.total_in() == stream.len() as u64).then_some(out)
}

fn libdeflate(body: &[u8], framing: Framing, len: usize) -> Option<Vec<u8>> {
    let stream = with_header(body, framing);
    let mut decoder = libdeflater::Decompressor::new();
    let mut out = vec![0; len + 1];
    let result = match framing {
        Framing::Raw => decoder.deflate_decompress(&stream, &mut out),
        Framing::ZlibBody => decoder.zlib_decompress(&stream, &mut out),
        Framing::GzipBody => decoder.gzip_decompress(&stream, &mut out),
    };
    out.truncate(result.ok()?);
    Some(out)
}

/// zlib's raw stream of data.
pub fn zlib_encode(data: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::Compress::new(flate2::Compression::new(level), false);
    let mut out = Vec::with_capacity(data.len() + data.len() / 8 + 1024);
    let status = encoder.compress_vec(data, &mut out, flate2::FlushCompress::Finish);
    assert!(matches!(status, Ok(flate2::Status::StreamEnd)));
    out
}
