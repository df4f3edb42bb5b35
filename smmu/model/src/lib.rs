//! A register-accurate SMMUv3 (Arm IHI 0070), Non-secure programming interface.
//!
//! [`SmmuModel`] is a value. Software sees it through [`SmmuModel::mmio_read`] and [`SmmuModel::mmio_write`]; devices through
//! [`SmmuModel::translate`]. It reaches memory only through `hal::PhysMemory` and interrupts only through `hal::IrqLines`, allocates
//! nothing and knows no driver.
//!
//! The configuration caches and the TLB really hold what they fetched until software invalidates it ([`Policy`]), so forgotten
//! maintenance shows. What software may not do is refused the way the architecture allows that is least comfortable, and logged with
//! the rule it broke ([`Violation`]).
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod atc;
mod ats;
mod cache;
mod cd_table;
mod command_queue;
mod configuration;
mod context;
mod decoded;
mod event_queue;
mod invalidate;
mod micro_tlb;
mod model;
mod plain;
mod policy;
mod pri_queue;
mod profile;
mod registers;
mod stage1;
mod stage2;
mod stalls;
mod stream;
mod stream_table;
mod strict;
mod tlb;
mod trace;
mod translate;
mod violation;
mod walk;
mod walker;

pub use atc::{Atc, Endpoint};
pub use ats::{AtcInvalidation, AtsCompletion, AtsTranslation, TranslationRequest};
pub use micro_tlb::{MicroTlb, PORTS, Ports};
pub use model::{Counters, SmmuModel};
pub use policy::Policy;
pub use pri_queue::PageResponse;
pub use profile::Profile;
pub use stalls::HELD_STAG;
pub use trace::{Trace, Tracing};
pub use translate::{Fault, Transaction, Translated};
pub use violation::Violation;
