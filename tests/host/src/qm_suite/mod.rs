//! The queue manager: driver and model against each other and against the golden words of the fact file.
//!
//! Test names begin with the id of their row in the validation checklist (QM-M, QM-X, QM-D, QM-P, QM-O, QM-R, QM-V), those of the fault matrix with fm.

mod concurrent;
mod context;
mod documents;
mod doorbell;
mod events;
mod functions;
mod inspect;
mod machine;
mod mailbox;
mod many;
mod matrix;
mod pci;
mod registers;
mod reset;
mod reset_traffic;
mod rings;
mod second_engine;
mod shaper;
mod stalls;
mod states;
mod strict;
