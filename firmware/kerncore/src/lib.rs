//! The kernel's decisions, without the machine: what is mapped where, who runs, which number is free, what a fault means, what a bus holds.
//!
//! Everything here is a value with methods and is tested on the host. The shell that moves registers is `firmware-kernel`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod bootargs;
pub mod fault;
pub mod frames;
pub mod numbers;
pub mod pci;
pub mod ranges;
pub mod sched;
pub mod sriov;
pub mod table;
pub mod tree;
pub mod vma;
