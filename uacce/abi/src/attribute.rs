//! Attributes of a node: what Linux shows as files below `/sys/class/uacce/<node>/`.

/// An attribute. The number is the system call's argument.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum Attribute {
    /// Name of the node (`hisi_zip-0`): the directory's name.
    Name = 0,
    /// Queue format and version (`hisi_qm_v3`).
    Api = 1,
    /// Effective flags, decimal ([`crate::flags`]).
    Flags = 2,
    /// Queues that can be opened now, decimal.
    AvailableInstances = 3,
    /// Algorithms, one per line.
    Algorithms = 4,
    /// Length of the MMIO region in bytes, decimal. Absent (`ENOENT`) if the device has no such region.
    RegionMmioSize = 5,
    /// Length of the DUS region in bytes, decimal. Absent (`ENOENT`) if the device has no such region.
    RegionDusSize = 6,
    /// 1 while the device is out of service because of its errors, else 0.
    Isolate = 7,
    /// Errors per hour that the device may have before it is isolated, decimal; 0 never isolates. Set by the kernel's owner, not by processes.
    IsolateStrategy = 8,
    /// Number of the node, decimal. Older generation.
    Id = 9,
    /// NUMA node of the device, decimal; -1 where there is but one. Older generation.
    NodeId = 10,
    /// Distance of the device to the caller's core, decimal: 0 where there is one node. Older generation.
    NumaDistance = 11,
    /// 1 once this kernel has served a device that nothing confines, else 0.
    Tainted = 12,
}

impl Attribute {
    /// Every attribute, in number order.
    pub const ALL: [Self; 13] = [
        Self::Name,
        Self::Api,
        Self::Flags,
        Self::AvailableInstances,
        Self::Algorithms,
        Self::RegionMmioSize,
        Self::RegionDusSize,
        Self::Isolate,
        Self::IsolateStrategy,
        Self::Id,
        Self::NodeId,
        Self::NumaDistance,
        Self::Tainted,
    ];

    /// The file name that Linux gives the attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Api => "api",
            Self::Flags => "flags",
            Self::AvailableInstances => "available_instances",
            Self::Algorithms => "algorithms",
            Self::RegionMmioSize => "region_mmio_size",
            Self::RegionDusSize => "region_dus_size",
            Self::Isolate => "isolate",
            Self::IsolateStrategy => "isolate_strategy",
            Self::Id => "id",
            Self::NodeId => "node_id",
            Self::NumaDistance => "numa_distance",
            Self::Tainted => "tainted",
        }
    }

    /// The attribute of this number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| *attribute as u64 == number)
    }

    /// The attribute of this file name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.name() == name)
    }
}

/// Longest attribute value in bytes.
pub const VALUE_MAX_BYTES: usize = 256;

/// Bits of the `flags` attribute.
pub mod flags {
    /// The device shares the opener's address space.
    pub const SVA: u32 = 1 << 0;
    /// Legacy: no IOMMU, or pass-through.
    pub const NOIOMMU: u32 = 1 << 1;
    /// Legacy: several page tables, but no device faults.
    pub const PASID: u32 = 1 << 2;
    /// Legacy: one page table for the whole device, no bit at all.
    pub const SHARE_DOMAIN: u32 = 0;
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn names_and_numbers_are_distinct_and_dense() {
        for (number, attribute) in Attribute::ALL.into_iter().enumerate() {
            assert_eq!(attribute as usize, number);
            assert_eq!(Attribute::from_number(number as u64), Some(attribute));
            assert_eq!(Attribute::from_name(attribute.name()), Some(attribute));
        }
        assert_eq!(Attribute::from_number(13), None);
        assert_eq!(Attribute::from_number(1 << 32), None);
        assert_eq!(Attribute::from_name("priority"), None);
    }

    #[test]
    fn sva_is_bit_0() {
        assert_eq!(flags::SVA, 0x1);
    }
}
