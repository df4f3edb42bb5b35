//! Layouts and code points of the HiSilicon ZIP engine: submission entry, hardware scatter list, stream context, registers.
//!
//! Facts only, no algorithm: what the words mean, once, for driver, model, user library and tests. Words are 32-bit numbers,
//! little-endian in memory. Section letters in the comments (D.1, E.2 …) are those of the project's QM and ZIP fact sheet.
#![no_std]
#![forbid(unsafe_code)]

mod capability;
mod checksum;
mod context;
mod header;
mod lz77;
mod part;
pub mod registers;
mod request;
mod selector;
mod sgl;
mod sqe;
mod status;

pub use capability::{Capabilities, MAX_COMPRESS_CORES, MAX_DECOMPRESS_CORES, algorithm, error_mask};
pub use checksum::{crc32_from_gzip_register, gzip_register_from_crc32};
pub use context::{CTX_DW0, CTX_DW1, CTX_DW2, ContextState, ContextWords, stream_context};
pub use header::{Container, GZIP_HEADER, ZLIB_HEADER};
pub use lz77::{
    FREQUENCY_BYTES, FREQUENCY_GAP_BYTES, LITERAL_OVERFLOW, LITERAL_SLACK_BYTES, LONG_LITERALS, LZ77_ONLY_MAX_BYTES, LZ77_ZSTD_MAX_BYTES,
    Lz77Completion, Lz77Request, SEQUENCE_BYTES, Sequence, ZSTD_MATCH_BASE, frequency,
};
pub use part::PF_DEVICE;
pub use registers::Core;
pub use request::{Completion, Mode, Request, StreamStep};
pub use selector::{BufferType, Flush, MAX_FLAT_BYTES, RequestType, SqeType, Window};
pub use sgl::{SGL_ALIGN, SGL_ENTRY_BYTES, SGL_HEADER_BYTES, SGL_MAX_CHAIN, SGL_MAX_ENTRIES, SGL_MAX_ENTRY_BYTES, SglEntry, SglHeader};
pub use sqe::{CONTROL, DIF_GENERATE, DIF_VERIFY, OUTPUT_OFFSET, SELECT, SQE_BYTES, SQE_WORDS, STATUS_WORD, Sqe, dw};
pub use status::Status;
