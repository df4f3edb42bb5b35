#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod ats;
mod cd_table;
mod command_queue;
mod entry;
mod error;
mod event_queue;
mod fault;
mod features;
mod ids;
mod init;
mod page_queue;
mod port;
#[cfg(test)]
mod script;
#[cfg(test)]
mod sequence_tests;
mod space;
mod stream;
mod stream_table;
mod tlb;

pub use ats::{AtsOptions, PageAnswer, PageEvent, PageGroup};
pub use error::{CommandError, CommandFailure, SmmuError, TableField, Timeout};
pub use event_queue::{Event, FaultKind, Ticket, TranslationFault};
pub use fault::GlobalErrors;
pub use features::{Features, Refusal, StallModel};
pub use init::{Config, Smmu, TableMemory};
pub use smmu_spec::{command::Leaf, descriptor::Granule, event::EventRecord, pri::PageRequest};
pub use space::TableDescription;
pub use stream::FaultModel;
