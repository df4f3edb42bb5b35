//! After an error: the controller's reset through the platform's service, and the reset of one function by PCI.

use alloc::vec::Vec;
use core::time::Duration;

use firmware_kerncore::pci as pci_core;
use firmware_kerncore::tree::DeviceReset;
use hal::{PlatformReset, RegisterWindow, ResetError, StreamId, device_reset, poll_until};
use hal_aarch64::psci::Conduit;
use hal_aarch64::{GenericTimer, SpinLock};
use qm_driver::{QmError, Reset, ResetFailure, ResetStep, Surroundings};
use qm_spec::regs::pf;
use uacce_kernel::QueueHandle;
use zip_spec::registers::CORE_INT_SET;

use crate::accelerator::{self, Accelerator};
use crate::engines::EngineKind;
use crate::virtual_functions::{self, awaiting_peers};

/// How long the platform may take for a reset.
const PLATFORM_WITHIN: Duration = Duration::from_secs(2);

static SERVICE: SpinLock<Option<(Conduit, u32)>> = SpinLock::new(None);

/// Takes the reset service over that the device tree names.
pub(crate) fn init(service: Option<&DeviceReset>) {
    let conduit = |service: &DeviceReset| Conduit::from_method(&service.method).map(|conduit| (conduit, service.function));
    *SERVICE.lock() = service.and_then(conduit);
}

/// The service as the queue manager's driver wants it; without one every reset fails.
struct FirmwareReset;

impl PlatformReset for FirmwareReset {
    fn reset(&self, device: StreamId) -> Result<(), ResetError> {
        let (conduit, function) = SERVICE.lock().ok_or(ResetError::Failed)?;
        let call = |wanted: u64| conduit.call(function, u64::from(device.0), wanted) as i64;
        let mut answer = call(device_reset::BEGIN);
        poll_until(&GenericTimer, PLATFORM_WITHIN, || {
            if answer == device_reset::BUSY {
                answer = call(device_reset::ASK);
            }
            (answer != device_reset::BUSY).then_some(())
        })
        .map_err(|_| ResetError::TimedOut)?;
        if answer == device_reset::DONE { Ok(()) } else { Err(ResetError::Failed) }
    }
}

/// Runs `f` with all that a reset of the function needs besides its queue manager.
fn with_surroundings<T>(accelerator: &Accelerator, f: impl FnOnce(&mut Surroundings<'_>) -> T) -> Option<T> {
    let config = accelerator.config()?;
    let is_physical = accelerator.physical.is_none();
    Some(f(&mut Surroundings {
        config: &config,
        platform: &FirmwareReset,
        device: accelerator.connection.stream,
        quiesce_engine: &mut || !is_physical || accelerator.engine.quiesce(&accelerator.registers),
        initialise_engine: &mut || !is_physical || accelerator.bring_engine_up().is_ok(),
    }))
}

const NO_FUNCTION: ResetFailure = ResetFailure { step: ResetStep::QuietMessages, error: QmError::Unsupported };

/// Resets an accelerator, all its functions with it. Open queues are dead afterwards; their users open new ones.
///
/// # Errors
/// Where and how it failed: no queue is handed out until a later call works.
pub fn controller_reset(index: usize) -> Result<Reset, ResetFailure> {
    let accelerator = accelerator::at(index).filter(|one| one.physical.is_none()).ok_or(NO_FUNCTION)?;
    let reset = || with_surroundings(accelerator, |around| accelerator.qm.with_lock(|qm| qm.controller_reset(around)));
    awaiting_peers(reset).unwrap_or(Err(NO_FUNCTION))
}

/// Resets after an error that demands it; returns the open queues of all functions: their users have stop words to read.
pub(crate) fn recover(index: usize) -> Vec<QueueHandle> {
    match controller_reset(index) {
        Ok(reset) => {
            defmt::warn!(
                "QM: controller reset, {=u32} requests of the kernel cut off, silent functions {=u64:#x}",
                reset.cancelled,
                reset.silent_vfs
            );
        }
        Err(failure) => defmt::error!("QM: controller reset failed: {}", defmt::Debug2Format(&failure)),
    }
    let physical = accelerator::at(index).into_iter();
    physical.chain(virtual_functions::of(index)).flat_map(Accelerator::handles).collect()
}

/// Resets one function by PCI: its queues stop, its users are told, it starts again. Of a physical function everything goes with it.
///
/// # Errors
/// As [`controller_reset`].
pub fn function_reset(index: usize) -> Result<(), ResetFailure> {
    let accelerator = accelerator::at(index).ok_or(NO_FUNCTION)?;
    let config = accelerator.config().ok_or(NO_FUNCTION)?;
    // A reset of the physical function takes the configuration of its virtual ones with it.
    let spaces = core::iter::once(accelerator).chain(virtual_functions::of(index)).filter_map(Accelerator::config);
    let saved: Vec<_> = spaces.map(|config| (config, pci_core::SavedSpace::of(&config.ecam, config.rid))).collect();
    awaiting_peers(|| {
        let wrong = |error| ResetFailure { step: ResetStep::QuietMessages, error };
        accelerator.qm.with_lock(|qm| qm.prepare_function_reset()).map_err(wrong)?;
        if !pci_core::function_level_reset(&config.ecam, config.rid) {
            return Err(NO_FUNCTION);
        }
        for (config, saved) in &saved {
            saved.restore(&config.ecam, config.rid);
        }
        with_surroundings(accelerator, |around| accelerator.qm.with_lock(|qm| qm.finish_function_reset(around)))
            .unwrap_or(Err(NO_FUNCTION))
            .map(|_| ())
    })
}

/// Where an error is injected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorSource {
    /// The queue manager: bits of `qm_spec::RAS`.
    QueueManager,
    /// The zip engine: bits of `zip_spec::error_mask`.
    Engine,
}

/// Injects errors through the part's own registers, as field engineers do; false if there is no such accelerator, or its engine has no such registers.
pub fn inject_errors(index: usize, source: ErrorSource, bits: u32) -> bool {
    let Some(accelerator) = accelerator::at(index).filter(|one| one.physical.is_none()) else { return false };
    let register = match source {
        ErrorSource::QueueManager => pf::ABNORMAL_INT_SET.offset(),
        ErrorSource::Engine if accelerator.engine.kind() == EngineKind::Zip => CORE_INT_SET.offset(),
        ErrorSource::Engine => return false,
    };
    accelerator.registers.write32(register, bits);
    true
}
