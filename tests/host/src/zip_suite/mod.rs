//! The ZIP engine: requests over flat memory, stalls and aborts, streams, hostile entries, registers, and the user library on a mock device.

mod bad_input;
mod burst;
mod correctness;
mod documents;
mod output;
mod registers;
mod rig;
mod sequences;
mod stalls;
mod streams;
mod user_asynchronous;
mod user_device;
mod user_library;
mod user_lz77;
mod user_queue;
mod user_zip;
mod user_zlib;
mod vectors;
mod zstd_frame;
