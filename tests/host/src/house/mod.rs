//! The rules of the house, as tests: who may know whom, where `unsafe` may stand, how long a file may be, what a tracked file may not say.
//!
//! The rules are data: the table of crates in `docs/ARCHITECTURE.md` is what these tests read.

mod crates;
mod knowledge;
mod texts;
mod units;
mod unsafety;

pub use crates::root;
