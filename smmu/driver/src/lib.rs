#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod ats;
mod cd_table;
mod command_queue;
mod completion;
mod entry;
mod error;
mod event;
mod fault;
mod features;
mod guest;
#[cfg(test)]
mod guest_tests;
mod ids;
mod init;
mod output_queue;
mod port;
mod reports;
#[cfg(test)]
mod script;
#[cfg(test)]
mod sequence_tests;
mod space;
mod stage2;
mod stream;
mod stream_table;
mod tlb;

pub use ats::{AtsOptions, PageAnswer, PageEvent, PageGroup};
pub use completion::Completion;
pub use error::{CommandError, CommandFailure, SmmuError, TableField, Timeout};
pub use event::{Event, FaultKind, Stage2Fault, Ticket, TranslationFault};
pub use fault::GlobalErrors;
pub use features::{Features, Refusal, StallModel};
pub use init::{Config, Smmu, TableMemory};
pub use reports::ReportLimit;
pub use smmu_spec::{
    command::{Leaf, Operation},
    descriptor::Granule,
    event::{EventRecord, FaultClass},
    pri::PageRequest,
};
pub use space::TableDescription;
pub use stage2::{CdShape, GuestContexts, Stage2Description, Untagged};
pub use stream::FaultModel;
