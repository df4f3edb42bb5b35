//! What the kernel of this image is started with.

use firmware_kernel::Boot;
use hal::Pa;
use uacce_abi::Program;

use crate::rooms;

/// Runs app number `APP` at EL0. The kernel's number for spawned threads means nothing to an app that was started by name.
extern "C" fn entry<const APP: usize>(_number: u64) -> ! {
    (firmware_apps::PROGRAMS[APP].entry)()
}

const fn program<const APP: usize>() -> Program {
    Program { name: firmware_apps::PROGRAMS[APP].name, entry: entry::<APP> }
}

/// The apps, as the kernel starts them.
static PROGRAMS: [Program; 2] = [program::<0>(), program::<1>()];
const _: () = assert!(PROGRAMS.len() == firmware_apps::PROGRAMS.len(), "every app is listed");

/// What [`firmware_kernel::init`] needs to know of this image.
pub fn boot(tree: Pa) -> Boot {
    Boot { tree, shared: rooms::shared_room(), data: rooms::el1_room(), programs: &PROGRAMS }
}
