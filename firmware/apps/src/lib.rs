#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

mod abuse;
mod args;
mod console;
mod figures;
mod forker;
mod pingpong;
#[cfg(target_os = "none")]
mod svc;
mod text;
mod tour;
mod zip;

pub use abuse::run_abuse;
pub use args::{ArgumentError, Arguments, BadArgument};
pub use console::Console;
pub use forker::run_forker;
pub use pingpong::run_pingpong;
pub use tour::run_tour;
pub use zip::run_zip;

#[cfg(target_os = "none")]
pub use programs::{PROGRAMS, Program, find_program};
#[cfg(target_os = "none")]
pub use svc::SvcSystem;

/// What an app needs beyond the queue library: memory of its own that comes into being as it is touched.
pub trait AppSystem: uacce_user::System {
    /// Takes fresh zeroed memory of at least `len_bytes`.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn take_memory(&self, len_bytes: usize) -> Result<&'static mut [u8], uacce_abi::Errno>;

    /// Instructions that this core has retired so far, by exception level. The machine counts them, and the kernel opens the counters to
    /// processes, only where the argument `count=1` says so; elsewhere this must not be called.
    fn instructions(&self) -> Instructions;
}

/// Instructions of one core at EL0, EL1 and EL2, in this order. Each is 32 bits wide and wraps.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Instructions(pub [u32; 3]);

impl Instructions {
    /// What was counted since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self(core::array::from_fn(|level| self.0[level].wrapping_sub(earlier.0[level])))
    }
}

#[cfg(target_os = "none")]
mod programs {
    use uacce_abi::Kernel;

    use crate::svc::SvcSystem;

    /// A program of the image. The kernel starts `entry` at EL0 on a fresh stack; it ends by the exit call.
    #[derive(Clone, Copy, Debug)]
    pub struct Program {
        /// Name that a spawn call or the command line uses.
        pub name: &'static str,
        /// First instruction.
        pub entry: uacce_abi::Entry,
        /// Stack that it needs, in bytes.
        pub stack_bytes: usize,
    }

    /// Every program of the image.
    pub const PROGRAMS: &[Program] = &[
        Program { name: "tour", entry: tour_main, stack_bytes: STACK_BYTES },
        Program { name: "zip", entry: zip_main, stack_bytes: STACK_BYTES },
        Program { name: "forker", entry: forker_main, stack_bytes: STACK_BYTES },
        Program { name: "abuse", entry: abuse_main, stack_bytes: STACK_BYTES },
        Program { name: "pingpong", entry: pingpong_main, stack_bytes: STACK_BYTES },
    ];

    const STACK_BYTES: usize = 32 << 10;

    /// The program of this name.
    pub fn find_program(name: &str) -> Option<&'static Program> {
        PROGRAMS.iter().find(|program| program.name == name)
    }

    extern "C" fn tour_main(_: u64) -> ! {
        let system = SvcSystem;
        system.exit(crate::run_tour(&system))
    }

    extern "C" fn forker_main(_: u64) -> ! {
        let system = SvcSystem;
        system.exit(crate::run_forker(&system))
    }

    extern "C" fn abuse_main(_: u64) -> ! {
        let system = SvcSystem;
        system.exit(crate::run_abuse(&system))
    }

    extern "C" fn pingpong_main(_: u64) -> ! {
        let system = SvcSystem;
        system.exit(crate::run_pingpong(&system))
    }

    extern "C" fn zip_main(_: u64) -> ! {
        let system = SvcSystem;
        system.exit(crate::run_zip(&system))
    }
}
