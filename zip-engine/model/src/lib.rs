//! The ZIP engine as a model: its registers, and its requests as re-entrant step machines.
//!
//! [`ZipCore`] answers the register block and hands out work: [`ZipCore::accept`] turns a submission entry into a [`Job`], which runs
//! apart from all registers over a [`hal::DmaPort`] and an [`EngineMemory`] until it is [`Step::Done`]; [`ZipCore::retire`] then books
//! it. A job whose memory access stalls parks itself and goes on at the same place when it is resumed. Nothing that a job reads
//! (entry, lists, data, stream context) is believed, and every word of it is fetched once.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod buffer;
mod context;
mod counters;
mod decode;
mod engine;
mod job;
mod port;
mod registers;
mod sequences;

pub use decode::Direction;
pub use engine::{EngineMemory, STAGE_BYTES};
pub use job::{Job, Step};
pub use registers::ZipCore;
