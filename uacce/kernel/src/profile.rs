//! How a device shares memory with processes: what was granted, not what was asked for.

use uacce_abi::flags;

/// The four ways, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Profile {
    /// The device walks the process's own table under a PASID, and its faults are resolved: any address of the process, many processes.
    Sva,
    /// PASIDs, but faults end requests: each process has a device table of its own, which holds its reserved memory only.
    PasidOnly,
    /// One table for the whole device: one process at a time, and only its reserved memory.
    ShareDomain,
    /// No translation: requests carry physical addresses, of reserved memory or of anything else. Nothing confines the device.
    NoIommu,
}

impl Profile {
    /// Every profile, best first.
    pub const ALL: [Self; 4] = [Self::Sva, Self::PasidOnly, Self::ShareDomain, Self::NoIommu];

    /// The effective flags that users read.
    pub const fn flags(self) -> u32 {
        match self {
            Self::Sva => flags::SVA,
            Self::PasidOnly => flags::PASID,
            Self::ShareDomain => flags::SHARE_DOMAIN,
            Self::NoIommu => flags::NOIOMMU,
        }
    }

    /// True where a queue works in a device address space of its own.
    pub const fn has_substream(self) -> bool {
        matches!(self, Self::Sva | Self::PasidOnly)
    }

    /// True where requests can name reserved memory only, so that there is a region of it.
    pub const fn has_static_share(self) -> bool {
        !matches!(self, Self::Sva)
    }

    /// True where device and process live in one table, so that the kernel's own addresses for the device are kept from the process.
    pub const fn has_kernel_only(self) -> bool {
        matches!(self, Self::ShareDomain)
    }

    /// True where nothing confines the device.
    pub const fn is_tainting(self) -> bool {
        matches!(self, Self::NoIommu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ua_f3_flags_are_the_published_numbers() {
        assert_eq!(Profile::ALL.map(Profile::flags), [1, 4, 0, 2]);
    }
}
