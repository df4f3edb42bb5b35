#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod bring_up;
mod capability;
mod errors;
mod statistics;

pub use bring_up::{InitError, UserTraffic, bring_up, close_prefetch, open_prefetch, wait_sva_idle};
pub use capability::{CapabilityWords, read_capabilities};
pub use errors::{ErrorReport, disable_errors, enable_errors, take_errors};
pub use statistics::{CoreStatistics, clear_statistics, read_statistics};
