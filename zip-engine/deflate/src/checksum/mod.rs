//! The two checksums of the framings, as plain `u32` states.

mod adler32;
mod crc32;

pub use adler32::{ADLER32_INIT, adler32};
pub use crc32::{CRC32_INIT, crc32};
