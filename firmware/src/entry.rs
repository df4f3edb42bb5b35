//! The two ways into the image: as silicon at EL2, as kernel at EL1.

use firmware_platform::DTB_BASE;
use firmware_silicon::Image;
use hal::Pa;
use hal_aarch64::boot;

use crate::level::Level;
use crate::{heap, log, rooms};

unsafe extern "Rust" {
    /// Defined by [`kernel_entry!`](crate::kernel_entry).
    safe fn firmware_kernel_entry(dtb: Pa) -> !;
}

fn image() -> Image {
    Image {
        shared: rooms::shared_room(),
        el2_room: rooms::el2_room(),
        el1_room: rooms::el1_room(),
        kernel_entry: boot::el1_entry(),
        mute_log: log::mute_el2,
    }
}

#[unsafe(no_mangle)]
extern "C" fn el2_primary() -> ! {
    // SAFETY: the linker reserved this range for it; called once, by the boot core.
    unsafe { heap::init(Level::El2, rooms::el2_heap()) };
    firmware_silicon::primary(image())
}

#[unsafe(no_mangle)]
extern "C" fn el2_secondary(core: u64) -> ! {
    firmware_silicon::secondary(core as usize)
}

#[unsafe(no_mangle)]
extern "C" fn el1_main(dtb: u64) -> ! {
    // SAFETY: the linker reserved this range for it; called once, by the boot core.
    unsafe { heap::init(Level::El1, rooms::el1_heap()) };
    // Without an EL2 row nobody hands the address over: the runner places the tree where it always does.
    firmware_kernel_entry(Pa(if dtb == 0 { DTB_BASE } else { dtb }))
}
