//! The engines behind the queue managers: all that the driver of a function asks of one. A further engine is a further arm of each of these.

use firmware_kerncore::pci::Function;
use hal_aarch64::{GenericTimer, MmioWindow};
use qm_spec::QmVersion;
use qm_spec::pci::VENDOR;
use zip_driver::{CapabilityWords, InitError, UserTraffic};

/// What the zip engine can do at most, for the shaper: compression and decompression (B.6).
const ZIP_BASE_RATES: [u16; 2] = [750, 140];

/// Which engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineKind {
    /// The zip engine.
    Zip,
    /// The dummy engine.
    Dummy,
}

impl EngineKind {
    /// The engine behind a physical function; `None` if it is none of ours.
    pub(crate) fn of(function: &Function) -> Option<Self> {
        match (function.vendor, function.device) {
            _ if !function.is_endpoint => None,
            (VENDOR, zip_spec::PF_DEVICE) => Some(Self::Zip),
            (VENDOR, dummy_spec::PF_DEVICE) => Some(Self::Dummy),
            _ => None,
        }
    }
}

/// An engine, and what it says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Engine {
    Zip(zip_spec::Capabilities),
    Dummy,
}

/// What an engine's part of the abnormal interrupt came to.
pub(crate) struct EngineErrors {
    pub needs_reset: bool,
    /// Its bus carries nothing until a reset.
    pub is_frozen: bool,
}

impl Engine {
    /// Reads what the engine says of itself.
    pub fn read(kind: EngineKind, registers: &MmioWindow, version: QmVersion, sub_version: u8) -> Self {
        match kind {
            EngineKind::Zip => {
                let words = if version == QmVersion::V3 { CapabilityWords::Present } else { CapabilityWords::Absent };
                let revision = if sub_version == 0 { version.revision() } else { sub_version };
                Self::Zip(zip_driver::read_capabilities(registers, revision, words))
            }
            EngineKind::Dummy => Self::Dummy,
        }
    }

    pub const fn kind(&self) -> EngineKind {
        match self {
            Self::Zip(_) => EngineKind::Zip,
            Self::Dummy => EngineKind::Dummy,
        }
    }

    /// Stem of its nodes' names.
    pub const fn node_name(&self) -> &'static str {
        match self {
            Self::Zip(_) => "hisi_zip",
            Self::Dummy => "dummy",
        }
    }

    /// Name of its queues' format.
    pub const fn api(&self, version: QmVersion, sub_version: u8) -> &'static str {
        match self {
            Self::Zip(_) => version.api_with(sub_version),
            Self::Dummy => dummy_spec::API,
        }
    }

    /// What its queues are for, one algorithm per line.
    pub const fn algorithms(&self) -> &'static str {
        match self {
            Self::Zip(capabilities) => capabilities.algorithm_names(),
            Self::Dummy => dummy_spec::ALGORITHMS,
        }
    }

    /// All that its queue manager's driver is told.
    pub const fn for_queues(&self) -> qm_driver::Engine {
        let algorithms = self.algorithms();
        match self {
            Self::Zip(_) => qm_driver::Engine { log2_sqe_bytes: 7, alg_types: 2, algorithms },
            Self::Dummy => qm_driver::Engine { log2_sqe_bytes: dummy_spec::LOG2_SQE_BYTES, alg_types: dummy_spec::ALG_TYPES, algorithms },
        }
    }

    /// What it can do at most, for a shaper that shares it among functions.
    pub const fn base_rates(&self) -> Option<[u16; 2]> {
        match self {
            Self::Zip(_) => Some(ZIP_BASE_RATES),
            Self::Dummy => None,
        }
    }

    /// Sets its own registers up.
    ///
    /// # Errors
    /// The zip engine's.
    pub fn bring_up(&self, registers: &MmioWindow, traffic: UserTraffic) -> Result<(), InitError> {
        match self {
            Self::Zip(capabilities) => zip_driver::bring_up(registers, &GenericTimer, capabilities, traffic),
            // It has none.
            Self::Dummy => Ok(()),
        }
    }

    /// Stops what it does of its own accord, before a reset; false if it did not stop.
    pub fn quiesce(&self, registers: &MmioWindow) -> bool {
        match self {
            Self::Zip(capabilities) if capabilities.is_pasid_per_queue => zip_driver::close_prefetch(registers, &GenericTimer).is_ok(),
            Self::Zip(_) | Self::Dummy => true,
        }
    }

    /// Takes its errors.
    pub fn take_errors(&self, registers: &MmioWindow) -> Option<EngineErrors> {
        let Self::Zip(capabilities) = self else { return None };
        let report = zip_driver::take_errors(registers, capabilities)?;
        defmt::error!("zip: errors {=u32:#x}, reset needed: {=bool}", report.errors, report.needs_reset);
        Some(EngineErrors { needs_reset: report.needs_reset, is_frozen: report.errors & capabilities.shutdown_mask != 0 })
    }
}
