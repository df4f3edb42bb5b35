//! PSCI by `smccc`, over the conduit that the device tree names.

pub use smccc::psci::error::Error;
use smccc::{Hvc, Smc, psci};

/// How the firmware below is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduit {
    /// By `smc`: there is an EL2 (ours, or QEMU with `virtualization=on`).
    Smc,
    /// By `hvc`: `virtualization=off`.
    Hvc,
}

impl Conduit {
    /// The conduit that a `/psci` node's `method` property names.
    pub fn from_method(method: &str) -> Option<Self> {
        match method {
            "smc" => Some(Self::Smc),
            "hvc" => Some(Self::Hvc),
            _ => None,
        }
    }

    /// Starts a core at `entry` with `context` in x0, at the level of the caller, MMU off.
    ///
    /// # Errors
    /// PSCI's own.
    pub fn cpu_on(self, affinity: u64, entry: u64, context: u64) -> Result<(), Error> {
        match self {
            Self::Smc => psci::cpu_on::<Smc>(affinity, entry, context),
            Self::Hvc => psci::cpu_on::<Hvc>(affinity, entry, context),
        }
    }

    /// Makes a 64-bit fast call of the firmware: function identifier, x1, x2; returns x0. Arm DEN 0028.
    pub fn call(self, function: u32, x1: u64, x2: u64) -> u64 {
        let mut arguments = [0; 17];
        [arguments[0], arguments[1]] = [x1, x2];
        match self {
            Self::Smc => smccc::smc64(function, arguments)[0],
            Self::Hvc => smccc::hvc64(function, arguments)[0],
        }
    }

    /// Powers the machine off.
    ///
    /// # Errors
    /// Returns only if the firmware refuses.
    pub fn system_off(self) -> Result<(), Error> {
        match self {
            Self::Smc => psci::system_off::<Smc>(),
            Self::Hvc => psci::system_off::<Hvc>(),
        }
    }
}

/// Passes an SMC on with the registers of whoever made it: x0 to x7 in, x0 to x3 out.
pub fn forward_smc(args: [u64; 8]) -> [u64; 4] {
    let mut out = [0; 4];
    // SAFETY: the SMC calling convention preserves x18 and up and lets x0..x17 change, all declared.
    unsafe {
        core::arch::asm!(
            "smc #0",
            inout("x0") args[0] => out[0], inout("x1") args[1] => out[1], inout("x2") args[2] => out[2], inout("x3") args[3] => out[3],
            inout("x4") args[4] => _, inout("x5") args[5] => _, inout("x6") args[6] => _, inout("x7") args[7] => _,
            out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,
            options(nostack)
        );
    }
    out
}
