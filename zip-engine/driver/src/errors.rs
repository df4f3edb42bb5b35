//! Error reporting of the engine (E.1, E.2, F.1 step 13).

use hal::RegisterWindow;
use zip_spec::registers::{
    CONTROL_REACTION, CORE_INT_MASK, CORE_INT_SOURCE, CORE_INT_STATUS, CORE_SRAM_ECC_ERR_INFO, OOO_SHUTDOWN_SEL, RAS_CE_ENABLE,
    RAS_FE_ENABLE, RAS_NFE_ENABLE, ZIP_CONTROL,
};
use zip_spec::{Capabilities, error_mask};

/// Clears what is pending, chooses how errors are reported and what freezes the bus, and unmasks.
pub fn enable_errors(window: &impl RegisterWindow, capabilities: &Capabilities) {
    RAS_CE_ENABLE.set(window, capabilities.ce_mask);
    RAS_FE_ENABLE.set(window, 0);
    RAS_NFE_ENABLE.set(window, capabilities.nfe_mask);
    CORE_INT_SOURCE.set(window, capabilities.ce_mask | capabilities.nfe_mask);
    if capabilities.is_pasid_per_queue {
        OOO_SHUTDOWN_SEL.set(window, capabilities.shutdown_mask);
    }
    ZIP_CONTROL.set(window, ZIP_CONTROL.get(window) | CONTROL_REACTION::SHUTDOWN_ENABLE::SET.value);
    CORE_INT_MASK.set(window, 0);
}

/// Masks every error and lets none freeze the bus: before a reset.
pub fn disable_errors(window: &impl RegisterWindow, capabilities: &Capabilities) {
    CORE_INT_MASK.set(window, error_mask::ALL);
    ZIP_CONTROL.set(window, ZIP_CONTROL.get(window) & !CONTROL_REACTION::SHUTDOWN_ENABLE::SET.value);
    if capabilities.is_pasid_per_queue {
        OOO_SHUTDOWN_SEL.set(window, 0);
    }
}

/// What the engine reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ErrorReport {
    /// Error bits ([`error_mask`]).
    pub errors: u32,
    /// True if one of them needs a reset of the device.
    pub needs_reset: bool,
    /// Where an ECC error was, if there is one: `CORE_SRAM_ECC_ERR_INFO`.
    pub ecc_info: Option<u32>,
}

/// Takes the pending errors: the engine's part of the abnormal interrupt. Errors that need a reset stay pending, and their reporting is
/// switched off, so that they neither get lost nor storm.
pub fn take_errors(window: &impl RegisterWindow, capabilities: &Capabilities) -> Option<ErrorReport> {
    let errors = CORE_INT_STATUS.get(window) & error_mask::ALL;
    if errors == 0 {
        return None;
    }
    let is_ecc = errors & (error_mask::ECC_1BIT | error_mask::ECC_2BIT) != 0;
    let ecc_info = is_ecc.then(|| CORE_SRAM_ECC_ERR_INFO.get(window));
    let fatal = errors & capabilities.reset_mask;
    if fatal != 0 {
        RAS_NFE_ENABLE.set(window, capabilities.nfe_mask & !fatal);
        CORE_INT_MASK.set(window, CORE_INT_MASK.get(window) | fatal);
    }
    CORE_INT_SOURCE.set(window, errors & !fatal);
    Some(ErrorReport { errors, needs_reset: fatal != 0, ecc_info })
}
