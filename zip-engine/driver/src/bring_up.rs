//! From reset to ready: F.1 steps 12 to 14 for the engine's own registers.

use core::time::Duration;

use hal::{Clock, RegisterWindow, poll_until};
use zip_spec::registers::{
    ARCACHE_0, ARCACHE_1, ATTRIBUTE, AWCACHE_0, AWCACHE_1, BD_RUSER, BD_WUSER, CLOCK_GATE, CLOCK_GATE_CTRL, DATA_RUSER, DATA_WUSER,
    HIGH_PERF, LIT_LEN_EN, LITERAL_LENGTH, PEH_CFG_AUTO_GATE, PREFETCH, PREFETCH_CFG, SGL_RUSER, SVA_TRANS, USER_ATTRIBUTE,
};
use zip_spec::{Capabilities, MAX_COMPRESS_CORES};

use crate::{clear_statistics, enable_errors};

/// How long the engine may take to confirm a prefetch change.
const PREFETCH_WITHIN: Duration = Duration::from_millis(1);
/// How long outstanding SVA transactions may take to end.
const SVA_IDLE_WITHIN: Duration = Duration::from_millis(100);

/// Whose memory requests point to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UserTraffic {
    /// The kernel's only.
    Kernel,
    /// Processes' as well. Before V3 the whole engine then sends data and list traffic with a substream.
    Sva,
}

/// The engine did not become ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InitError {
    /// `PREFETCH_CFG` did not confirm.
    PrefetchTimeout {
        /// The register at the deadline.
        seen: u32,
    },
    /// SVA transactions are still outstanding.
    SvaBusy {
        /// `SVA_TRANS` at the deadline.
        seen: u32,
    },
    /// `CLOCK_GATE_CTRL` did not take the core enables: the engine is not there, or has other cores than it says.
    CoresNotEnabled {
        /// What was written.
        wanted: u32,
        /// What was read back.
        seen: u32,
    },
}

/// Brings the engine up. `window` is the physical function's BAR2; the queue manager's memory is already initialised.
///
/// # Errors
/// See [`InitError`]; the engine must then not be used.
pub fn bring_up(
    window: &impl RegisterWindow,
    clock: &impl Clock,
    capabilities: &Capabilities,
    traffic: UserTraffic,
) -> Result<(), InitError> {
    set_bus_attributes(window, capabilities, traffic);
    if capabilities.is_pasid_per_queue {
        open_prefetch(window, clock)?;
    }
    enable_cores(window, capabilities)?;
    if capabilities.is_pasid_per_queue {
        LIT_LEN_EN.set(window, LIT_LEN_EN.get(window) & !LITERAL_LENGTH::OFF::SET.value);
    }
    // Ratio before throughput: the part's default, and its setting for compression only.
    HIGH_PERF.set(window, 0);
    enable_errors(window, capabilities);
    clear_statistics(window);
    Ok(())
}

fn set_bus_attributes(window: &impl RegisterWindow, capabilities: &Capabilities, traffic: UserTraffic) {
    for register in [ARCACHE_0, ARCACHE_1, AWCACHE_0, AWCACHE_1] {
        register.set(window, u32::MAX);
    }
    let needs_ssv = !capabilities.is_pasid_per_queue && traffic == UserTraffic::Sva;
    let data = USER_ATTRIBUTE | ATTRIBUTE::SSV.val(u32::from(needs_ssv)).value;
    BD_RUSER.set(window, USER_ATTRIBUTE);
    BD_WUSER.set(window, USER_ATTRIBUTE);
    SGL_RUSER.set(window, data);
    DATA_RUSER.set(window, data);
    DATA_WUSER.set(window, data);
}

/// Lets the engine prefetch SVA translations. Needed again after every reset or resume.
///
/// # Errors
/// `PrefetchTimeout`.
pub fn open_prefetch(window: &impl RegisterWindow, clock: &impl Clock) -> Result<(), InitError> {
    let closed = (PREFETCH::DISABLE::SET + PREFETCH::CLOSED_17::SET + PREFETCH::CLOSED_0::SET).value;
    PREFETCH_CFG.set(window, PREFETCH_CFG.get(window) & !closed);
    wait_prefetch(window, clock, false)
}

/// Stops SVA prefetch, before a reset or suspend.
///
/// # Errors
/// `PrefetchTimeout`, `SvaBusy`.
pub fn close_prefetch(window: &impl RegisterWindow, clock: &impl Clock) -> Result<(), InitError> {
    PREFETCH_CFG.set(window, PREFETCH_CFG.get(window) | PREFETCH::DISABLE::SET.value);
    wait_prefetch(window, clock, true)?;
    wait_sva_idle(window, clock)
}

fn wait_prefetch(window: &impl RegisterWindow, clock: &impl Clock, is_disabled: bool) -> Result<(), InitError> {
    poll_until(clock, PREFETCH_WITHIN, || (PREFETCH_CFG.read(window).is_set(PREFETCH::DISABLE) == is_disabled).then_some(()))
        .map_err(|_| InitError::PrefetchTimeout { seen: PREFETCH_CFG.get(window) })
}

/// Waits until no SVA transaction is outstanding: three idle samples in a row.
///
/// # Errors
/// `SvaBusy`.
pub fn wait_sva_idle(window: &impl RegisterWindow, clock: &impl Clock) -> Result<(), InitError> {
    let mut idle_samples = 0;
    poll_until(clock, SVA_IDLE_WITHIN, || {
        idle_samples = if SVA_TRANS.get(window) == 0 { idle_samples + 1 } else { 0 };
        (idle_samples == 3).then_some(())
    })
    .map_err(|_| InitError::SvaBusy { seen: SVA_TRANS.get(window) })
}

fn enable_cores(window: &impl RegisterWindow, capabilities: &Capabilities) -> Result<(), InitError> {
    let mut enables = CLOCK_GATE::DECOMP_CHECK_ENABLE::SET
        + CLOCK_GATE::COMPRESS.val(capabilities.compress_enable())
        + CLOCK_GATE::DECOMPRESS.val(capabilities.decompress_enable() >> MAX_COMPRESS_CORES);
    CLOCK_GATE_CTRL.write(window, enables);
    if capabilities.is_pasid_per_queue {
        enables += CLOCK_GATE::CORE_GATING.val(0xff) + CLOCK_GATE::OOO_GATING::SET;
        CLOCK_GATE_CTRL.write(window, enables);
        PEH_CFG_AUTO_GATE.set(window, PEH_CFG_AUTO_GATE.get(window) | 1);
    }
    let seen = CLOCK_GATE_CTRL.get(window);
    if seen == enables.value { Ok(()) } else { Err(InitError::CoresNotEnabled { wanted: enables.value, seen }) }
}
