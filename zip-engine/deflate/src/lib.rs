#![doc = include_str!("../README.md")]
#![no_std]
#![deny(unsafe_code)]

pub mod checksum;
mod constants;
mod deflate;
#[allow(unsafe_code)]
mod fast;
pub mod gzip;
mod image;
mod inflate;
pub mod lz4;
pub mod lz77;
mod status;
pub mod zlib;

pub use deflate::{
    Compressor, DEFLATE_STATE_BYTES_MAX, Deflate, DeflateBalanced, DeflateBest, DeflateError, DeflateHigh, FinalBlock, Finder, Flush,
    Level, Params, deflate_bound,
};
pub use inflate::{INFLATE_STATE_BYTES, Inflate, InflateError, Request, inflate_together};
pub use status::{Framing, Progress, STATE_BYTES_MAX, StateError, Status, WINDOW_BYTES};
