//! What the suites that boot share: the way from the kernel's entry to the test that the runner asked for, and both sides of a process.
//!
//! A suite links this crate, calls [`suite!`] once, and marks its modules with `#[embedded_test::tests]`. Every test has a machine of its
//! own: it starts at EL1 on the boot table, on the boot stack, and ends the machine when it returns or panics.
//!
//! A test that wants the kernel calls [`start_kernel`], makes processes of functions of its own ([`Board::start`]), and looks at what they
//! left on the [`Board`], a page lent to all of them. [`user`] is what those functions use: they run at EL0, where no static can be written.
#![cfg(target_os = "none")]
#![no_std]

extern crate alloc;

pub mod board;
pub mod edu;
pub mod kernel_queue;
pub mod pattern;
pub mod probe;
pub mod rig;
pub mod session;
pub mod user;
pub mod vendor;

use core::sync::atomic::{AtomicU64, Ordering};

use firmware_kernel::{AcceleratorReport, Report};
use hal::Pa;

pub use board::Board;
pub use firmware;

static DEVICE_TREE: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    /// embedded-test's entry: reads from the host which test to run, runs it, and ends the machine.
    #[link_name = "main"]
    safe fn run_chosen_test() -> !;
}

/// Makes the image start with the test that the runner asks for.
#[macro_export]
macro_rules! suite {
    () => {
        $crate::firmware::kernel_entry!($crate::start);
    };
}

/// Where EL1 begins.
pub fn start(dtb: Pa) -> ! {
    DEVICE_TREE.store(dtb.0, Ordering::Relaxed);
    run_chosen_test()
}

/// Returns the device tree's address, as EL1 was given it.
pub fn device_tree() -> Pa {
    Pa(DEVICE_TREE.load(Ordering::Relaxed))
}

/// Brings the kernel up.
///
/// # Panics
/// If it does not come up.
pub fn start_kernel() -> Report {
    match firmware_kernel::init(&firmware::boot(device_tree())) {
        Ok(report) => report,
        Err(error) => panic!("the kernel does not start: {error:?}"),
    }
}

/// The accelerator that the kernel brought up.
///
/// # Panics
/// If there is none.
pub fn accelerator(report: &Report) -> &AcceleratorReport {
    match report.accelerators.first() {
        Some(Ok(accelerator)) => accelerator,
        other => panic!("no accelerator: {other:?}"),
    }
}
