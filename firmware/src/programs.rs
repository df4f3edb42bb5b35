//! What the kernel of this image is started with.

use firmware_kernel::Boot;
use hal::Pa;
use uacce_abi::Program;

use crate::rooms;

/// The apps, as the kernel starts them.
static PROGRAMS: [Program; firmware_apps::PROGRAMS.len()] = {
    let apps = firmware_apps::PROGRAMS;
    let mut programs = [Program { name: "", entry: apps[0].entry }; firmware_apps::PROGRAMS.len()];
    let mut i = 0;
    while i < apps.len() {
        programs[i] = Program { name: apps[i].name, entry: apps[i].entry };
        i += 1;
    }
    programs
};

/// What [`firmware_kernel::init`] needs to know of this image.
pub fn boot(tree: Pa) -> Boot {
    Boot { tree, shared: rooms::shared_room(), data: rooms::el1_room(), programs: &PROGRAMS }
}
