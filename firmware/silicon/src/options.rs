//! What the device tree's `/silicon` node asks for.

use fdt::Fdt;
use hal_aarch64::boot::MAX_CORES;
use smmu_model::Profile;

use crate::guest;

/// The properties of `/silicon`.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Revision of the accelerator: 0x21, 0x30, or 0x51, which shows itself as 0x30 with a sub-version.
    pub revision: u8,
    /// Cores that the payload may start, the boot core included.
    pub host_cores: usize,
    /// Cores that run the engine at EL2, numbered after the host cores.
    pub engine_cores: usize,
    /// 0: hash and counters only; 1: every trapped access is recorded.
    pub trace_level: u32,
    /// Entry of a foreign payload; none means the own kernel.
    pub payload: Option<u64>,
    /// How the SMMU model's TLB treats old entries.
    pub tlb_policy: TlbPolicy,
    /// Which SMMU is modelled.
    pub smmu_profile: Profile,
    /// Bits of a SubstreamID, in the SMMU (IDR1.SSIDSIZE) and in the function (PASID capability); none means what profile and function have.
    pub ssid_bits: Option<u8>,
    /// The dummy engine's function is on the bus.
    pub has_dummy: bool,
}

/// Values of `tlb-policy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlbPolicy {
    /// `miss`: every access walks.
    AlwaysMiss,
    /// `sticky`: entries stay until invalidated.
    Sticky,
    /// `random`: entries are dropped by a seeded generator.
    Random,
    /// `prefetch`: neighbours are walked ahead.
    Prefetch,
}

/// The tree could not be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OptionsError {
    /// No flattened device tree at the agreed address.
    NoTree,
    /// A value is out of range; the property's name.
    BadValue(&'static str),
}

/// Reads `/silicon`; a missing node or property means the default: revision 0x30, one host core, no engine core, no records, own kernel.
///
/// # Errors
/// See [`OptionsError`].
///
/// # Safety
/// As for [`guest::with_device_tree`]: no payload runs yet.
pub unsafe fn read() -> Result<Options, OptionsError> {
    // SAFETY: the caller's promise.
    unsafe { guest::with_device_tree(parse) }.unwrap_or(Err(OptionsError::NoTree))
}

fn parse(bytes: &[u8]) -> Result<Options, OptionsError> {
    let tree = Fdt::new(bytes).map_err(|_| OptionsError::NoTree)?;
    let node = tree.find_node("/silicon");
    let number = |name: &'static str, default: usize| -> Result<usize, OptionsError> {
        match node.and_then(|n| n.property(name)) {
            None => Ok(default),
            Some(p) => p.as_usize().ok_or(OptionsError::BadValue(name)),
        }
    };
    let word = |name: &str| node.and_then(|n| n.property(name)).and_then(|p| p.as_str());

    let revision = match number("revision", 0x30)? {
        0x21 => 0x21,
        0x30 => 0x30,
        0x51 => 0x51,
        _ => return Err(OptionsError::BadValue("revision")),
    };
    let host_cores = number("host-cores", 1)?;
    let engine_cores = number("engine-cores", 0)?;
    if host_cores == 0 || host_cores > MAX_CORES {
        return Err(OptionsError::BadValue("host-cores"));
    }
    if engine_cores > MAX_CORES - host_cores {
        return Err(OptionsError::BadValue("engine-cores"));
    }
    let tlb_policy = match word("tlb-policy").unwrap_or("sticky") {
        "miss" => TlbPolicy::AlwaysMiss,
        "sticky" => TlbPolicy::Sticky,
        "random" => TlbPolicy::Random,
        "prefetch" => TlbPolicy::Prefetch,
        _ => return Err(OptionsError::BadValue("tlb-policy")),
    };
    let smmu_profile = Profile::by_name(word("smmu-profile").unwrap_or("stall")).ok_or(OptionsError::BadValue("smmu-profile"))?;
    let ssid_bits = match number("ssid-bits", 0)? {
        0 => None,
        bits @ 1..=16 => Some(bits as u8),
        _ => return Err(OptionsError::BadValue("ssid-bits")),
    };
    let payload = match node.and_then(|n| n.property("payload")) {
        None => None,
        Some(p) => Some(u64::from_be_bytes(p.value.try_into().map_err(|_| OptionsError::BadValue("payload"))?)),
    };
    let trace_level = number("trace-level", 0)? as u32;
    let has_dummy = number("dummy-engine", 0)? != 0;
    Ok(Options { revision, host_cores, engine_cores, trace_level, payload, tlb_policy, smmu_profile, ssid_bits, has_dummy })
}
