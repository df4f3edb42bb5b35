//! The way from reset to EL1, on each kind of machine.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

/// Runs one request over a queue of its own, at EL0.
#[cfg(target_os = "none")]
extern "C" fn one_request(_: u64) -> ! {
    use target_tests::user::{RawQueue, deflate, fill, leave, memory};
    let mut queue = RawQueue::compressing();
    let (source, output) = (memory(4096), memory(8192));
    fill(source, 4096, 1);
    let completion = queue.run(&deflate(source, 4096, output, 8192, 1));
    target_tests::check!(completion.status.is_good() && completion.consumed == 4096, completion.status.0);
    leave()
}

/// Shared steps.
#[cfg(target_os = "none")]
mod steps {
    /// First word of a flattened device tree, as a little-endian CPU reads it.
    const MAGIC: u32 = 0xd00d_feed_u32.swap_bytes();

    /// Checks that this is EL1 and that the device tree is where it was said to be.
    pub fn check_el1_with_tree() {
        assert_eq!(hal_aarch64::sysreg::current_el(), 1);
        let dtb = target_tests::device_tree();
        assert_eq!(dtb.0, firmware_platform::DTB_BASE);
        // SAFETY: the runner has placed the tree in RAM below the image; nobody writes there before the kernel's allocator exists.
        let magic = unsafe { core::ptr::with_exposed_provenance::<u32>(dtb.0 as usize).read_volatile() };
        assert_eq!(magic, MAGIC);
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 20)]
mod plain {
    #[test]
    fn el1_starts_with_the_device_tree() {
        super::steps::check_el1_with_tree();
    }

    /// Both drivers find their part, and a queue goes through doorbell, rings and nothing else.
    #[test]
    fn ua_t2_queue_manager_and_engine_are_probed() {
        let report = target_tests::start_kernel();
        let found = target_tests::accelerator(&report);
        assert_eq!((found.engine, found.queues), (firmware_kernel::EngineKind::Zip, 64));
        assert_eq!(found.node.map(|node| node.0), Some(0));
        assert_eq!(firmware_kernel::with_qm(0, |qm| qm.available()), Some(64));
        let before = target_tests::vendor::counter(firmware_platform::trace::Counter::JobsDone);
        let board = target_tests::Board::new();
        board.run(board.start("one request", super::one_request, 0));
        assert_eq!(target_tests::vendor::counter(firmware_platform::trace::Counter::JobsDone), before + 1);
    }

    /// What `cargo test` has built and booted with one command is the image that `cargo run` boots, with its programs in it.
    #[test]
    fn ua_t4_o19_one_command_builds_and_boots_the_programs() {
        for name in ["tour", "zip", "forker", "abuse", "pingpong"] {
            assert!(firmware_apps::find_program(name).is_some_and(|program| program.stack_bytes > 0), "{name}");
        }
        assert!(firmware_apps::find_program("wd").is_none());
    }

    #[test]
    #[should_panic]
    fn a_panic_reaches_the_host() {
        panic!("as it should");
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 20)]
mod on_1p0_icount {
    #[test]
    fn el1_starts_without_engine_cores() {
        super::steps::check_el1_with_tree();
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 20)]
mod on_1p3 {
    #[test]
    fn el1_starts_beside_three_engine_cores() {
        super::steps::check_el1_with_tree();
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 20)]
mod on_bare {
    #[test]
    fn el1_is_where_qemu_starts() {
        super::steps::check_el1_with_tree();
    }
}
