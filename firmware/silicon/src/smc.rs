//! SMC of the payload: cores are started through EL2, the accelerator is reset here, everything else is QEMU's PSCI. Arm DEN 0022.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use firmware_platform::DEVICE_RESET;
use firmware_platform::trace::Kind;
use hal_aarch64::boot::{self, MAX_CORES};
use hal_aarch64::context::TrapFrame;
use hal_aarch64::psci::forward_smc;

use crate::{reset, state, trace};

/// PSCI CPU_ON, 32-bit and 64-bit forms.
const CPU_ON: [u64; 2] = [0x8400_0003, 0xc400_0003];
/// PSCI AFFINITY_INFO, 32-bit and 64-bit forms.
const AFFINITY_INFO: [u64; 2] = [0x8400_0004, 0xc400_0004];
/// PSCI: the target does not exist for the caller.
const INVALID_PARAMETERS: u64 = -2_i64 as u64;

/// Where the payload wants a core to begin, and with what in x0.
struct Start {
    entry: AtomicU64,
    context: AtomicU64,
}

#[unsafe(link_section = ".bss.el2")]
static STARTS: [Start; MAX_CORES] = [const { Start { entry: AtomicU64::new(0), context: AtomicU64::new(0) } }; MAX_CORES];
/// A foreign payload runs: vendor calls are refused.
#[unsafe(link_section = ".bss.el2")]
pub static IS_FOREIGN: AtomicBool = AtomicBool::new(false);

/// Answers an SMC and steps over it.
pub fn call(frame: &mut TrapFrame) {
    frame.elr += 4;
    let x = frame.arguments();
    // A function identifier is 32 bits wide.
    let function = x[0] & 0xffff_ffff;
    if CPU_ON.contains(&function) {
        x[0] = cpu_on(function, x[1], x[2], x[3]);
        return;
    }
    if AFFINITY_INFO.contains(&function) && host_core(x[1]).is_none() {
        x[0] = INVALID_PARAMETERS;
        return;
    }
    if function == u64::from(DEVICE_RESET) {
        x[0] = reset::call(x[1], x[2]);
        return;
    }
    let results = forward_smc([function, x[1], x[2], x[3], x[4], x[5], x[6], x[7]]);
    x[..4].copy_from_slice(&results);
}

/// The host core with this affinity. Cores are numbered by Aff0 on this machine.
fn host_core(affinity: u64) -> Option<usize> {
    let core = usize::try_from(affinity & 0xff_00ff_ffff).ok()?;
    (core < state::host_cores()).then_some(core)
}

fn cpu_on(function: u64, affinity: u64, entry: u64, context: u64) -> u64 {
    let Some(core) = host_core(affinity) else { return INVALID_PARAMETERS };
    {
        let _order = state::lock();
        trace::note(None, Kind::CoreOn, core as u64, entry, context);
    }
    // A core that runs already keeps its record: only its own start reads it, and PSCI answers ALREADY_ON below without one.
    STARTS[core].entry.store(entry, Ordering::Relaxed);
    STARTS[core].context.store(context, Ordering::Release);
    forward_smc([function, affinity, boot::el2_secondary_entry(), core as u64, 0, 0, 0, 0])[0]
}

/// Where core `core` shall enter EL1, and its x0.
pub fn start_of(core: usize) -> (u64, u64) {
    let context = STARTS[core].context.load(Ordering::Acquire);
    (STARTS[core].entry.load(Ordering::Relaxed), context)
}
