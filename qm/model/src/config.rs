//! What a part is: fixed when the model is made.

use hal::StreamId;
use qm_spec::{CAP_FUNCTIONS, CapabilityWords, QmVersion, pci};

/// Properties of one function.
#[derive(Clone, Copy, Debug)]
pub struct QmConfig {
    /// Revision of the block; decides layouts, features and the PCI revision id.
    pub version: QmVersion,
    /// What SUB_VERSION_ID (0x210) reads: 0, or the number of a later part that shows the revision of version 3 (A.1). Nothing else follows from it.
    pub sub_version: u8,
    /// StreamID of everything that the function emits.
    pub stream: StreamId,
    /// PCI vendor id.
    pub vendor: u16,
    /// PCI device id: names the engine behind the queues.
    pub device: u16,
    /// Subsystem vendor (15:0) and id (31:16).
    pub subsystem: u32,
    /// Virtual functions that the part offers, 0 to 63; 0 leaves the SR-IOV capability out.
    pub total_vfs: u16,
    /// PASID bits that the function can emit, 1 to 20; 0 leaves the capability out.
    pub pasid_width: u8,
    /// The physical function has the ATS and PRI capabilities.
    pub ats: bool,
    /// Capability words of the queue manager (0x3100 to 0x312c, version 3).
    pub capability: CapabilityWords,
    /// Capability words of the engine, `(offset, word)` with offsets 0x3130 to 0x3178. Offsets not named read 0. Without any, the capability
    /// table shows version 0 and software takes the constants of the QM version for everything (B.2).
    pub engine_capabilities: &'static [(u16, u32)],
    /// A completion queue has at most one event queue entry that software has not consumed; another event follows when it has. Without it every
    /// arming can bring an entry, the harsher part. Which one the real part is, no source says; Linux collects into as many places as there are
    /// queues and needs the bound.
    pub one_event_outstanding: bool,
    /// Reads of a "done" or "busy" bit that must pass before a register operation shows its end. 0 is at once.
    pub latency_reads: u8,
}

/// Features of word 0x3100 that this model does not build: runtime power management, DAE.
const NOT_BUILT: u32 = CAP_FUNCTIONS::VF_PM::SET.value | CAP_FUNCTIONS::PF_PM::SET.value | CAP_FUNCTIONS::DAE::SET.value;

impl QmConfig {
    /// A function of the given version with the version's default capabilities, less what the model does not build.
    pub const fn new(version: QmVersion, stream: StreamId, device: u16) -> Self {
        let mut capability = CapabilityWords::of(version);
        capability.functions &= !NOT_BUILT;
        Self {
            version,
            sub_version: 0,
            stream,
            vendor: pci::VENDOR,
            device,
            subsystem: pci::VENDOR as u32 | (device as u32) << 16,
            total_vfs: 0,
            pasid_width: 16,
            ats: false,
            capability,
            engine_capabilities: &[],
            one_event_outstanding: false,
            latency_reads: 2,
        }
    }

    /// Device id of the virtual functions: one more than the physical function's (A.1).
    pub const fn vf_device(&self) -> u16 {
        self.device.wrapping_add(1)
    }

    /// Word 0x3100 as software reads it.
    pub const fn functions_word(&self) -> u32 {
        if self.engine_capabilities.is_empty() { 0 } else { self.capability.functions }
    }

    /// True if every queue has its own doorbell page (register 0x30).
    pub const fn isolated_doorbells(&self) -> bool {
        matches!(self.version, QmVersion::V3)
    }
}
