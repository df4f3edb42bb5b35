#![doc = include_str!("../README.md")]
#![no_std]
#![deny(unsafe_code)]

#[cfg(test)]
extern crate std;

mod container;
mod error;
mod lz77;
mod mapping;
mod node;
mod queue;
mod system;
mod zip;

pub use container::{GzipField, HeaderError, HeaderReader};
pub use error::WdError;
pub use lz77::{Lz77Format, Lz77Level, Parsed, lz4_block, lz77_one_shot};
pub use mapping::UserQueueMemory;
pub use node::{Direction, QueueFormat, Wanted};
pub use queue::{
    CompletionWait, WdQueue, wd_flush, wd_recv, wd_recv_batch, wd_recv_sync, wd_release_queue, wd_request_queue, wd_send, wd_send_batch,
};
pub use system::{QueueMemory, QueueRegions, System};
pub use zip::{
    ChunkProgress, MAX_REQUEST_BYTES, MIN_OUTPUT_BYTES, OneShot, StreamContext, Tail, ZipCompressor, ZipDecompressor, ZipError, ZipQueue,
    compress_one_shot, decompress_one_shot,
};
