//! The unsafe island: everything that only assembly can say, behind safe names.
//!
//! MMIO by base-register loads and stores, barriers, system registers, the generic timer, GICv3, PL011, PSCI, semihosting, exception vectors,
//! the level switches and the boot entry. No policy lives here: who may call what, and when, is decided by firmware. The crate is empty on any
//! target but bare metal, so that the workspace checks on a host.
#![cfg(target_os = "none")]
#![no_std]

pub mod at;
pub mod backtrace;
pub mod barrier;
pub mod boot;
pub mod context;
pub mod cpu;
pub mod gic;
pub mod lock;
pub mod mmio;
pub mod mmu;
pub mod pl011;
pub mod pmu;
pub mod psci;
pub mod semihost;
pub mod sysreg;
pub mod timer;
pub mod tlb;
pub mod vectors;
pub mod zero;

pub use barrier::SystemBarriers;
pub use context::ContextFrame;
pub use lock::{SpinGuard, SpinLock, YieldRelax};
pub use mmio::MmioWindow;
pub use timer::GenericTimer;
