//! Regions of a queue file.

use hal::Region;

/// A region of a queue file. The merged interface has the first two; the others exist in the profiles without shared virtual addressing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum FileRegion {
    /// The queue's doorbell page.
    Mmio = 0,
    /// Memory shared by device and user: the rings.
    Dus = 1,
    /// Reserved memory, at one address for the process and its devices (static share).
    Ss = 2,
    /// Addresses that the kernel keeps from the process for the device's own memory (device kernel-only).
    Dko = 3,
}

impl FileRegion {
    /// Every region, in number order.
    pub const ALL: [Self; 4] = [Self::Mmio, Self::Dus, Self::Ss, Self::Dko];

    /// The region of this number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|region| *region as u64 == number)
    }

    /// Its number in the RFC generation's enumeration ([`crate::legacy`]).
    pub const fn legacy_number(self) -> u32 {
        match self {
            Self::Mmio => crate::legacy::QFRT_MMIO,
            Self::Dus => crate::legacy::QFRT_DUS,
            Self::Ss => crate::legacy::QFRT_SS,
            Self::Dko => crate::legacy::QFRT_DKO,
        }
    }
}

impl From<Region> for FileRegion {
    fn from(region: Region) -> Self {
        match region {
            Region::Mmio => Self::Mmio,
            Region::Dus => Self::Dus,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ua_q1_numbers_of_both_generations() {
        assert_eq!(FileRegion::ALL.map(|region| (region as u32, region.legacy_number())), [(0, 0), (1, 2), (2, 3), (3, 1)]);
        assert_eq!(crate::legacy::QFRT_MAX, 4);
        assert_eq!((FileRegion::from_number(3), FileRegion::from_number(4)), (Some(FileRegion::Dko), None));
        assert_eq!(FileRegion::from(Region::Dus) as u8, Region::Dus as u8);
    }
}
