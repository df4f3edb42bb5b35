#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

pub mod checksum;
mod constants;
mod image;
mod inflate;
mod status;

pub use inflate::{INFLATE_STATE_BYTES, Inflate, InflateError};
pub use status::{Framing, Progress, STATE_BYTES_MAX, StateError, Status, WINDOW_BYTES};
