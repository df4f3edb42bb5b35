//! The codecs, each behind the same small face: raw DEFLATE, one request at a time, contexts reused.

use deflate::{Deflate, DeflateBalanced, DeflateBest, DeflateHigh, Flush, Framing, Inflate, Params, Request, Status, inflate_together};
use libdeflater::{CompressionLvl, Compressor, Decompressor};

/// Decodes one raw stream into `output` and returns the bytes produced.
pub type Decode = Box<dyn FnMut(&[u8], &mut [u8]) -> usize>;
/// Decodes raw streams, each into its output.
pub type DecodeQueue = Box<dyn FnMut(&[Vec<u8>], Vec<&mut [u8]>)>;
/// Encodes one request as a raw stream into `output` and returns the bytes produced.
pub type Encode = Box<dyn FnMut(&[u8], &mut [u8]) -> usize>;
/// Checksum of a buffer.
pub type Check = Box<dyn FnMut(&[u8]) -> u32>;

/// A codec under its name.
pub struct Peer<F> {
    /// As the table prints it; a level follows behind a colon.
    pub name: &'static str,
    /// What is measured.
    pub run: F,
}

/// zlib's calling convention, as three libraries offer it.
macro_rules! zlib_like {
    ($module:ident) => {
        mod $module {
            use core::mem::{MaybeUninit, size_of};
            use $module::*;

            /// A stream that asks for zlib's own allocator by null pointers, initialised by `init`.
            fn open(init: impl FnOnce(*mut z_stream) -> core::ffi::c_int) -> Box<z_stream> {
                let mut stream = Box::new(MaybeUninit::<z_stream>::zeroed());
                assert_eq!(init(stream.as_mut_ptr()), Z_OK);
                // SAFETY: plain integers, pointers, and allocator functions, which the successful initialisation has filled in.
                unsafe { stream.assume_init() }
            }

            pub fn decode() -> super::Decode {
                // SAFETY: the stream is as zlib wants it before initialisation.
                let mut stream = open(|stream| unsafe { inflateInit2_(stream, -15, zlibVersion(), size_of::<z_stream>() as _) });
                Box::new(move |input, output| {
                    stream.next_in = input.as_ptr().cast_mut();
                    stream.avail_in = input.len() as _;
                    stream.next_out = output.as_mut_ptr();
                    stream.avail_out = output.len() as _;
                    // SAFETY: initialised above; both ranges are valid for the call.
                    let status = unsafe {
                        inflateReset(&mut *stream);
                        inflate(&mut *stream, Z_FINISH)
                    };
                    assert_eq!(status, Z_STREAM_END);
                    output.len() - stream.avail_out as usize
                })
            }

            pub fn encode(level: i32) -> super::Encode {
                let size = size_of::<z_stream>() as _;
                // SAFETY: the stream is as zlib wants it before initialisation.
                let init = |stream| unsafe { deflateInit2_(stream, level, Z_DEFLATED, -15, 8, 0, zlibVersion(), size) };
                let mut stream = open(init);
                Box::new(move |input, output| {
                    stream.next_in = input.as_ptr().cast_mut();
                    stream.avail_in = input.len() as _;
                    stream.next_out = output.as_mut_ptr();
                    stream.avail_out = output.len() as _;
                    // SAFETY: initialised above; both ranges are valid for the call.
                    let status = unsafe {
                        deflateReset(&mut *stream);
                        deflate(&mut *stream, Z_FINISH)
                    };
                    assert_eq!(status, Z_STREAM_END);
                    output.len() - stream.avail_out as usize
                })
            }

            pub fn checks() -> [super::Check; 2] {
                // SAFETY: the range is valid for the call.
                let crc = |data: &[u8]| unsafe { crc32(0, data.as_ptr(), data.len() as _) as u32 };
                // SAFETY: the range is valid for the call.
                let adler = |data: &[u8]| unsafe { adler32(1, data.as_ptr(), data.len() as _) as u32 };
                [Box::new(crc), Box::new(adler)]
            }
        }
    };
}

zlib_like!(libz_ng_sys);
zlib_like!(libz_rs_sys);
zlib_like!(libz_sys);

fn ours_decode() -> Decode {
    let mut inflate = Box::new(Inflate::new());
    Box::new(move |input, output| {
        inflate.reset(Framing::Raw);
        let progress = inflate.step(input, output);
        assert_eq!(progress.status, Status::Done);
        progress.produced
    })
}

macro_rules! ours_encode {
    ($context:ty) => {{
        let mut deflate = Box::new(<$context>::new());
        let encode: Encode = Box::new(move |input, output| {
            deflate.reset(Params::new(Framing::Raw));
            let progress = deflate.step(input, output, Flush::Finish);
            assert_eq!(progress.status, Status::Done);
            progress.produced
        });
        encode
    }};
}

fn libdeflate_decode() -> Decode {
    let mut decompressor = Decompressor::new();
    Box::new(move |input, output| decompressor.deflate_decompress(input, output).expect("a good stream"))
}

fn libdeflate_encode(level: i32) -> Encode {
    let mut compressor = Compressor::new(CompressionLvl::new(level).expect("a level of libdeflate"));
    Box::new(move |input, output| compressor.deflate_compress(input, output).expect("room for the stream"))
}

fn miniz_decode() -> Decode {
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF};
    let mut decompressor = Box::new(DecompressorOxide::new());
    Box::new(move |input, output| {
        decompressor.init();
        decompress(&mut decompressor, input, output, 0, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF).2
    })
}

fn miniz_encode(level: i32) -> Encode {
    use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, TDEFLStatus, compress, create_comp_flags_from_zip_params};
    let mut compressor = Box::new(CompressorOxide::new(create_comp_flags_from_zip_params(level, -15, 0)));
    Box::new(move |input, output| {
        compressor.reset();
        let (status, _, produced) = compress(&mut compressor, input, output, TDEFLFlush::Finish);
        assert_eq!(status, TDEFLStatus::Done);
        produced
    })
}

/// The decoders; the first is what the others are compared with.
pub fn decoders() -> Vec<Peer<Decode>> {
    vec![
        Peer { name: "libdeflate", run: libdeflate_decode() },
        Peer { name: "ours", run: ours_decode() },
        Peer { name: "zlib-ng", run: libz_ng_sys::decode() },
        Peer { name: "zlib-rs", run: libz_rs_sys::decode() },
        Peer { name: "zlib", run: libz_sys::decode() },
        Peer { name: "miniz", run: miniz_decode() },
    ]
}

/// One after the other.
fn one_by_one(mut decode: Decode) -> DecodeQueue {
    Box::new(move |streams, outputs| {
        for (stream, output) in streams.iter().zip(outputs) {
            let len = output.len();
            assert_eq!(decode(stream, output), len);
        }
    })
}

/// With so many in the queue at a time.
fn ours_together(queued: usize) -> DecodeQueue {
    let mut contexts = Box::new([Inflate::new(), Inflate::new()]);
    Box::new(move |streams, outputs| {
        let mut outputs = outputs.into_iter();
        for streams in streams.chunks(queued) {
            let mut requests: Vec<Request> =
                streams.iter().zip(&mut outputs).map(|(stream, output)| Request::new(Framing::Raw, stream, output)).collect();
            inflate_together(&mut contexts, &mut requests);
            assert!(requests.iter().all(|request| request.progress.status == Status::Done));
        }
    })
}

/// The decoders of queued requests; the first is what the others are compared with.
pub fn queue_decoders() -> Vec<Peer<DecodeQueue>> {
    vec![
        Peer { name: "libdeflate", run: one_by_one(libdeflate_decode()) },
        Peer { name: "ours", run: one_by_one(ours_decode()) },
        Peer { name: "ours, 2 queued", run: ours_together(2) },
        Peer { name: "ours, 16 queued", run: ours_together(16) },
    ]
}

/// The encoders; the first is what the others are compared with.
pub fn encoders() -> Vec<Peer<Encode>> {
    vec![
        Peer { name: "libdeflate:1", run: libdeflate_encode(1) },
        Peer { name: "ours:fastest", run: ours_encode!(Deflate) },
        Peer { name: "ours:balanced", run: ours_encode!(DeflateBalanced) },
        Peer { name: "zlib:1", run: libz_sys::encode(1) },
        Peer { name: "zlib-ng:1", run: libz_ng_sys::encode(1) },
        Peer { name: "zlib-rs:1", run: libz_rs_sys::encode(1) },
        Peer { name: "miniz:1", run: miniz_encode(1) },
        Peer { name: "libdeflate:6", run: libdeflate_encode(6) },
        Peer { name: "ours:high", run: ours_encode!(DeflateHigh) },
        Peer { name: "zlib-ng:6", run: libz_ng_sys::encode(6) },
        Peer { name: "zlib-rs:6", run: libz_rs_sys::encode(6) },
        Peer { name: "libdeflate:12", run: libdeflate_encode(12) },
        Peer { name: "ours:best", run: ours_encode!(DeflateBest) },
    ]
}

/// The checksums: name, CRC-32, Adler-32; the first is what the others are compared with.
pub fn checks() -> Vec<(&'static str, [Check; 2])> {
    let ours: [Check; 2] = [Box::new(|data| deflate::checksum::crc32(0, data)), Box::new(|data| deflate::checksum::adler32(1, data))];
    let libdeflate: [Check; 2] = [Box::new(libdeflater::crc32), Box::new(libdeflater::adler32)];
    vec![
        ("zlib-rs", libz_rs_sys::checks()),
        ("ours", ours),
        ("libdeflate", libdeflate),
        ("zlib-ng", libz_ng_sys::checks()),
        ("zlib", libz_sys::checks()),
    ]
}

/// The encoder of the streams that are decoded: zlib itself.
pub fn reference_encoder(level: i32) -> Encode {
    libz_sys::encode(level)
}
