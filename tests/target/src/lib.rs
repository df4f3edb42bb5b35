//! What the suites that boot share: the way from the kernel's entry to the test that the runner asked for.
//!
//! A suite links this crate, calls [`suite!`] once, and marks its modules with `#[embedded_test::tests]`. Every test has a machine of its
//! own: it starts at EL1 with the MMU off, on the boot stack, and ends the machine when it returns or panics.
#![cfg(target_os = "none")]
#![no_std]

use core::sync::atomic::{AtomicU64, Ordering};
use hal::Pa;

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
