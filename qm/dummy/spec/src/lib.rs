#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

mod part;
mod sqe;
mod status;

pub use part::{ALG_TYPES, ALGORITHMS, API, PF_DEVICE, QUEUES};
pub use sqe::{CONTROL, Completion, LOG2_SQE_BYTES, MAX_BYTES, OPERATION_COPY, Request, SQE_BYTES, SQE_WORDS, Sqe, dw};
pub use status::Status;
