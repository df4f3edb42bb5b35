//! The kernel: what EL1 runs between the silicon and the programs.
//!
//! It finds everything by device tree and PCI enumeration, drives SMMU, queue manager and engine, and gives programs address spaces, time and
//! queues. Its decisions are in `firmware-kerncore` and `uacce-kernel`; this crate is the shell that moves registers, frames and tables.
//!
//! Kernel code runs on one core with interrupts masked: an exception of EL0 is handled to its end, and a wait for a device serves the SMMU's
//! events itself. So there is one order of locks and no race, and what can block is a process, never the kernel: queue core before devices;
//! spaces before frames, kernel table and SMMU; nothing is held over a wait for a device but the queue core and that device's driver.
//!
//! [`start`] is the whole life of an image; tests use [`init`], [`spawn`] and [`run_until_exit`] instead.
#![cfg(target_os = "none")]
#![no_std]

extern crate alloc;

mod accelerator;
mod boot;
mod compress;
#[macro_use]
mod console;
mod counters;
mod dma;
mod domain;
mod engines;
mod enter;
mod faults;
mod files;
pub mod guests;
mod interrupts;
mod kernel_table;
mod memory;
mod monitor;
mod msi;
mod pci;
mod queues;
mod recovery;
mod report;
mod sharing;
mod smmu;
mod space;
mod syscall;
mod task;
mod trap;
mod virtual_functions;

pub use accelerator::{AcceleratorError, AcceleratorReport, ServingClock, SharedQm, engine_statistics, engine_traffic, with_qm};
pub use boot::{Boot, BootError, Report, init};
pub use compress::{CompressError, Compressor, Direction as CompressDirection, MAX_INPUT_BYTES};
pub use counters::{exceptions, total_exceptions, vector};
pub use dma::{Buffer, DomainMemory, PhysicalMemory};
pub use domain::{IOVA_WINDOW, description as domain_table, lookup as lookup_iova, map_memory as map_iova, unmap as unmap_iova};
pub use engines::EngineKind;
pub use faults::{PageRequestCounters, page_request_counters, postponed_count as postponed_faults};
pub use interrupts::{GicError, handled as interrupts_handled, unwanted as interrupts_unwanted};
pub use kernel_table::{MapDeviceError, map_device};
pub use memory::{Withheld, free_frames, total_frames, withhold_frames};
pub use monitor::dump;
pub use pci::{Bar, Ecam, Found, FunctionError, FunctionSpace, bring_up as bring_up_function, config_space, functions, map_bar, stream_of};
pub use qm_driver::{QmError, Reset, ResetFailure, ResetStep};
pub use queues::{Core, Device, Spaces, remove as remove_device, with_core};
pub use recovery::{ErrorSource, controller_reset, function_reset, inject_errors};
pub use report::print_report;
pub use smmu::{PageFaults, features as smmu_features, page_faults, supports_sva, take_events, with as with_smmu};
pub use space::{Identity, SpaceCounters, counters as space_counters, identity, lend, lookup as lookup_user};
pub use task::{Exit, counters_of, kill, living, run_until_exit, set_quantum, set_tick, space_of, spawn};
pub use virtual_functions::{MOST as MOST_VIRTUAL_FUNCTIONS, disable_virtual, enable_virtual};
pub use zip_driver::CoreStatistics;

/// Writes formatted text and a line end on the console.
pub fn print_line(text: core::fmt::Arguments<'_>) {
    console::print(format_args!("{text}\n"));
}

use firmware_kerncore::bootargs;
use hal_aarch64::semihost;

/// Runs the program that the command line names (`app=`, else `tour`), and ends the machine with its exit status. `app=dump` is the monitor: it runs
/// a few requests of the kernel's own and prints all that there is to see of the first accelerator.
///
/// On a machine without an accelerator the tour ends with what was found and status 0; any other program is refused.
pub fn start(boot: &Boot) -> ! {
    let report = match init(boot) {
        Ok(report) => report,
        Err(error) => {
            defmt::error!("kernel: {}", defmt::Debug2Format(&error));
            print_line(format_args!("kernel: {error:?}"));
            semihost::exit(1)
        }
    };
    let line = report.machine.bootargs.as_str();
    let name = bootargs::value(line, "app").unwrap_or("tour");
    if name != "zip" {
        print_report(&report);
    }
    if !report.accelerators.iter().any(Result::is_ok) {
        if name == "tour" {
            semihost::exit(0);
        }
        print_line(format_args!("kernel: no accelerator"));
        semihost::exit(1)
    }
    if name == "dump" {
        let has_run = monitor::exercise();
        let is_shown = dump(0);
        semihost::exit(i32::from(!(has_run && is_shown)));
    }
    let Some(program) = boot::program(name) else {
        print_line(format_args!("kernel: no program is called {name}"));
        semihost::exit(1)
    };
    let ended = spawn(program.name, program.entry, 0, line).and_then(run_until_exit);
    match ended {
        Ok(exit) => semihost::exit(exit.status()),
        Err(errno) => {
            print_line(format_args!("kernel: {name} could not be run: {errno}"));
            semihost::exit(1)
        }
    }
}
