//! What the engine offers: constants before V3, capability words from V3 on (B.2).

use hal::RegisterWindow;
use zip_spec::Capabilities;
use zip_spec::registers::{
    CAP_CORE_COUNTS, CAP_DEVICE_ALGORITHMS, CAP_ZIP_CE_MASK, CAP_ZIP_NFE_MASK, CAP_ZIP_RESET_SHUTDOWN, CORE_COUNTS, RESET_SHUTDOWN,
};

/// Whether the function has capability words: the low byte of word 0x3100, which the queue manager's driver reads, is not 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CapabilityWords {
    /// They must be read.
    Present,
    /// The revision's constants hold.
    Absent,
}

/// Reads what the engine offers. Words of a revision before 0x30 are never read. `revision` is the sub-version (BAR2+0x210) where that is not 0,
/// else the PCI revision id.
///
/// Core counts beyond what the register file has room for are cut to it.
pub fn read_capabilities(window: &impl RegisterWindow, revision: u8, words: CapabilityWords) -> Capabilities {
    let constants = Capabilities::of_revision(revision);
    if revision < 0x30 {
        return constants;
    }
    if words == CapabilityWords::Absent {
        return Capabilities::V3_UNTOLD;
    }
    let counts = CAP_CORE_COUNTS.read(window);
    let masks = CAP_ZIP_RESET_SHUTDOWN.read(window);
    Capabilities {
        compress_cores: counts.read(CORE_COUNTS::COMPRESS).min(zip_spec::MAX_COMPRESS_CORES as u32) as u8,
        decompress_cores: counts.read(CORE_COUNTS::DECOMPRESS).min(zip_spec::MAX_DECOMPRESS_CORES as u32) as u8,
        algorithms: CAP_DEVICE_ALGORITHMS.get(window),
        nfe_mask: CAP_ZIP_NFE_MASK.get(window),
        reset_mask: masks.read(RESET_SHUTDOWN::RESET),
        shutdown_mask: masks.read(RESET_SHUTDOWN::SHUTDOWN),
        ce_mask: CAP_ZIP_CE_MASK.get(window),
        ..constants
    }
}
