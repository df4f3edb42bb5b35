//! The end of a program that broke its own invariant: where, why, and the way there, then an exit status.

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use firmware_platform::UART_BASE;
use hal_aarch64::pl011::Pl011;
use hal_aarch64::psci::Conduit;
use hal_aarch64::{MmioWindow, backtrace, boot, cpu, semihost, sysreg};

use crate::level::{Level, level};

/// Exit status of a panicked image, Rust's own.
const PANIC_STATUS: i32 = 101;

static EL1_PANICS: AtomicU32 = AtomicU32::new(0);
#[unsafe(link_section = ".bss.el2")]
static EL2_PANICS: AtomicU32 = AtomicU32::new(0);

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    let (panics, stack) = match level() {
        // The kernel ends the process: a permanently undefined instruction, which it reports with the address.
        Level::El0 => loop {
            // SAFETY: UDF always traps to EL1.
            unsafe { core::arch::asm!("udf #0xdead") };
        },
        Level::El1 => (&EL1_PANICS, boot::el1_stack()),
        Level::El2 => (&EL2_PANICS, boot::el2_stack((sysreg::affinity() & 0xff) as usize % boot::MAX_CORES)),
    };
    cpu::mask_interrupts();
    match panics.fetch_add(1, Ordering::AcqRel) {
        0 => {}
        // A panic inside this handler, or on a second core, ends at once.
        1 => stop(),
        // Not even the exit call works: semihosting is closed.
        _ => power_off(),
    }
    if crate::log::is_closed() {
        report_on_uart(info);
    } else {
        defmt::error!("{}", defmt::Display2Format(info));
        backtrace::walk(cpu::frame_pointer(), stack_of_frames(stack), |pc| defmt::error!("backtrace: {=usize:#x}", pc));
    }
    stop()
}

/// Kernel threads may run on stacks of their own, so at EL1 any frame record in RAM is taken, as long as records rise.
fn stack_of_frames(boot_stack: core::ops::Range<usize>) -> core::ops::Range<usize> {
    let sp = cpu::stack_pointer();
    if boot_stack.contains(&sp) { boot_stack } else { sp..sp.next_multiple_of(0x1_0000) }
}

fn report_on_uart(info: &PanicInfo) {
    // SAFETY: EL2 maps the UART identically as device memory; the payload's own output may be cut by it, which is right for a dying machine.
    let mut uart = Pl011::new(unsafe { MmioWindow::new(UART_BASE as usize, 0x1000) });
    // Nothing can be done about a failing report.
    let _ = writeln!(uart, "\n{info}");
}

fn stop() -> ! {
    if crate::log::is_closed() {
        power_off();
    }
    semihost::exit(PANIC_STATUS)
}

fn power_off() -> ! {
    // Returns if refused.
    let _ = Conduit::Smc.system_off();
    cpu::park()
}
