//! How a device is allowed to share memory with processes: what the SMMU can do, less what the boot arguments forbid.
//!
//! `uacce_mode=0` leaves devices to the kernel's own users, `1` (the default) gives them to processes, `2` does so without translation, for
//! tests only. `uacce_share=sva`, `pasid` or `domain` is the most that is granted in mode 1.

use firmware_kerncore::bootargs;
use uacce_kernel::Profile;

use crate::smmu;

/// Who is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Service {
    /// The kernel's own users only.
    KernelOnly,
    /// Processes, in this way.
    Processes(Profile),
}

/// A boot argument has a value that is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadArgument;

/// The best that the SMMU allows; `None` without one.
fn best() -> Option<Profile> {
    let features = smmu::features()?;
    Some(match () {
        () if smmu::supports_sva() => Profile::Sva,
        () if features.substream_bits > 0 && features.is_coherent => Profile::PasidOnly,
        () => Profile::ShareDomain,
    })
}

/// Reads the boot arguments.
///
/// # Errors
/// [`BadArgument`]; the device is left alone then, rather than shared in a way that nobody asked for.
pub(crate) fn service(line: &str) -> Result<Option<Service>, BadArgument> {
    let most = match bootargs::value(line, "uacce_share") {
        None | Some("sva") => Profile::Sva,
        Some("pasid") => Profile::PasidOnly,
        Some("domain") => Profile::ShareDomain,
        Some(_) => return Err(BadArgument),
    };
    match bootargs::value(line, "uacce_mode") {
        // Profiles are in order, best first.
        None | Some("1") => Ok(best().map(|best| Service::Processes(best.max(most)))),
        Some("0") => Ok(Some(Service::KernelOnly)),
        Some("2") => Ok(Some(Service::Processes(Profile::NoIommu))),
        Some(_) => Err(BadArgument),
    }
}
