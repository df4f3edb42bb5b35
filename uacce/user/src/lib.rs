#![doc = include_str!("../README.md")]
#![no_std]
#![deny(unsafe_code)]

#[cfg(test)]
extern crate std;

mod asynchronous;
mod container;
mod copy;
mod driver;
mod error;
mod lz77;
mod mapping;
mod memory;
mod node;
mod one_shot;
mod queue;
mod system;
mod zip;
mod zlib;

pub use asynchronous::{Asynchronous, Coding, Done, Finished, Job};
pub use container::{GzipField, HeaderError, HeaderReader};
pub use copy::{CopyDriver, CopyError, CopyQueue};
pub use driver::{Chosen, Library, QueueFormat, Sharing, UserDriver, ZipDriver};
pub use error::WdError;
pub use lz77::{Lz77Format, Lz77Level, Parsed, lz4_block, lz77_one_shot};
pub use mapping::UserQueueMemory;
pub use memory::{Reserved, wd_reserve_memory, wd_share_reserved_memory};
pub use node::{Direction, Wanted};
pub use one_shot::{OneShot, Tail, compress_one_shot, decompress_one_shot};
pub use queue::{
    CompletionWait, WdQueue, wd_flush, wd_recv, wd_recv_batch, wd_recv_sync, wd_release_queue, wd_request_queue, wd_send, wd_send_batch,
};
pub use system::{QueueMemory, QueueRegions, RingEntry, System};
pub use zip::{ChunkProgress, MAX_REQUEST_BYTES, MIN_OUTPUT_BYTES, StreamContext, ZipCompressor, ZipDecompressor, ZipError, ZipQueue};
pub use zlib::{
    Deflate, FlushMode, Inflate, InitError, ReturnCode, Z_BUF_ERROR, Z_DATA_ERROR, Z_ERRNO, Z_FINISH, Z_MEM_ERROR, Z_NEED_DICT, Z_NO_FLUSH,
    Z_OK, Z_STREAM_END, Z_STREAM_ERROR, Z_SYNC_FLUSH, Z_VERSION_ERROR, ZBuffers, ZStream, deflate, deflate_end, deflate_init,
    deflate_init2, inflate, inflate_end, inflate_init, inflate_init2,
};
