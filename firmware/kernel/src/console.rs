//! The console: the first PL011 of the device tree, output only.

use core::fmt;

use embedded_io::Write as _;
use hal_aarch64::pl011::Pl011;
use hal_aarch64::{MmioWindow, SpinLock};

static CONSOLE: SpinLock<Option<Pl011<MmioWindow>>> = SpinLock::new(None);

pub(crate) fn init(registers: MmioWindow) {
    *CONSOLE.lock() = Some(Pl011::new(registers));
}

/// Writes bytes as they are.
pub(crate) fn write(bytes: &[u8]) {
    if let Some(console) = CONSOLE.lock().as_mut() {
        // A PL011 takes everything.
        let Ok(()) = console.write_all(bytes);
    }
}

/// Writes formatted text.
pub(crate) fn print(arguments: fmt::Arguments<'_>) {
    if let Some(console) = CONSOLE.lock().as_mut() {
        // As above: formatting cannot fail here.
        let _ = fmt::Write::write_fmt(console, arguments);
    }
}

/// Prints a line on the kernel's console.
#[macro_export]
macro_rules! console_line {
    ($($argument:tt)*) => { $crate::print_line(::core::format_args!($($argument)*)) };
}
