//! The way from reset to EL1, on each kind of machine.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

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
