//! User drivers and the library over them: one library, any number of drivers, chosen by what a node says of itself.
//!
//! A driver is a constant that an application puts into a table; the table is the library. Nothing registers itself, nothing is allocated,
//! and an engine whose driver is not in the table is not driven.

use core::any::TypeId;

use qm_spec::{DoorbellLayout, QmVersion, SUB_VERSION_V5};
use uacce_abi::{Errno, NodeIndex, flags};
use zip_spec::{Sqe, SqeType};

use crate::node::{Match, find_node};
use crate::queue::set_up;
use crate::{CopyDriver, RingEntry, System, Wanted, WdError, WdQueue};

/// A queue format that a driver can drive: where a queue's doorbell is, and what its words look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueFormat {
    /// Version of the queue manager.
    pub version: QmVersion,
    /// Bit layout of a doorbell.
    pub doorbell: DoorbellLayout,
    /// Offset of the doorbell in the MMIO region, in bytes.
    pub doorbell_offset: usize,
}

impl QueueFormat {
    /// Layout of a ZIP entry in a queue of this format.
    pub const fn sqe_type(&self) -> SqeType {
        match self.version {
            QmVersion::V3 => SqeType::TYPE3,
            QmVersion::V1 | QmVersion::V2 => SqeType::TYPE0,
        }
    }
}

/// What knows the queues of one kind of engine.
pub trait UserDriver {
    /// Its name, for reports.
    fn name(&self) -> &'static str;
    /// The format of an `api` attribute; `None` if this driver does not know it.
    fn format_of(&self, api: &str) -> Option<QueueFormat>;
    /// True if its entries can ask for this algorithm, a line of the `algorithms` attribute.
    fn serves(&self, algorithm: &str) -> bool;
    /// The type of its entries: `TypeId::of` some [`RingEntry`].
    fn entry(&self) -> TypeId;
}

/// The driver of the compression engine.
#[derive(Clone, Copy, Debug)]
pub struct ZipDriver;

impl UserDriver for ZipDriver {
    fn name(&self) -> &'static str {
        "zip"
    }

    fn format_of(&self, api: &str) -> Option<QueueFormat> {
        let version = match api {
            // Its rings and doorbells are those of version 3.
            api if api == QmVersion::V3.api_with(SUB_VERSION_V5) => QmVersion::V3,
            api => [QmVersion::V2, QmVersion::V3].into_iter().find(|version| version.api() == api)?,
        };
        Some(QueueFormat { version, doorbell: DoorbellLayout::V2, doorbell_offset: 0x1000 })
    }

    fn serves(&self, algorithm: &str) -> bool {
        matches!(algorithm, "zlib" | "gzip" | "deflate" | "lz77_zstd" | "lz77_only" | "lz4")
    }

    fn entry(&self) -> TypeId {
        TypeId::of::<Sqe>()
    }
}

/// How a process's memory and a device's meet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sharing {
    /// The device has the process's whole address space.
    Sva,
    /// The device has what was reserved, at the process's own addresses.
    Reserved,
    /// The device has physical addresses, and what was reserved is in one piece there.
    Physical,
}

impl Sharing {
    /// What a `flags` attribute says.
    pub const fn of_flags(word: u64) -> Self {
        if word & flags::SVA as u64 != 0 {
            Self::Sva
        } else if word & flags::NOIOMMU as u64 != 0 {
            Self::Physical
        } else {
            Self::Reserved
        }
    }
}

/// A table of user drivers, and what its application can live with.
#[derive(Clone, Copy)]
pub struct Library<'d> {
    drivers: &'d [&'d dyn UserDriver],
    needs_sva: bool,
}

/// A node, and the driver that fits it.
#[derive(Clone, Copy)]
pub struct Chosen<'d> {
    /// The driver.
    pub driver: &'d dyn UserDriver,
    /// The node.
    pub node: NodeIndex,
    /// Format of its queues.
    pub format: QueueFormat,
    /// How memory is shared.
    pub sharing: Sharing,
}

impl Library<'static> {
    /// The library with the compression driver only.
    pub const ZIP: Self = Self::new(&[&ZipDriver]);
    /// The library with every driver that there is here.
    pub const ALL: Self = Self::new(&[&ZipDriver, &CopyDriver]);
}

impl<'d> Library<'d> {
    /// A library of these drivers; the first that fits a node has it. Its queues take any address of the process.
    pub const fn new(drivers: &'d [&'d dyn UserDriver]) -> Self {
        Self { drivers, needs_sva: true }
    }

    /// The same for an application whose requests name reserved memory only ([`wd_reserve_memory`](crate::wd_reserve_memory)): it can be served
    /// by devices that do not share the process's address space.
    pub const fn with_reserved_memory(self) -> Self {
        Self { drivers: self.drivers, needs_sva: false }
    }

    pub(crate) const fn needs_sva(&self) -> bool {
        self.needs_sva
    }

    /// The driver that knows this `api` and serves the algorithm with entries of this type, if one is asked for.
    pub(crate) fn driver_for(&self, api: &str, algorithm: &str, entry: Option<TypeId>) -> Option<(&'d dyn UserDriver, QueueFormat)> {
        let fits = |driver: &&dyn UserDriver| driver.serves(algorithm) && entry.is_none_or(|entry| entry == driver.entry());
        self.drivers.iter().copied().filter(fits).find_map(|driver| Some((driver, driver.format_of(api)?)))
    }

    /// Looks for a node that offers an algorithm, has an instance left, and is known to a driver. Nothing is opened.
    ///
    /// # Errors
    /// `NoDevice`, `NoSva`, `NoInstance`, `Kernel`.
    pub fn choose<S: System>(&self, system: &S, algorithm: &str) -> Result<Chosen<'d>, WdError> {
        let mut reason = WdError::NoDevice;
        match find_node(system, self, algorithm, None, NodeIndex(0), &mut reason)? {
            Some(Match { driver, node, format, sharing, .. }) => Ok(Chosen { driver, node, format, sharing }),
            None => Err(reason),
        }
    }

    /// Requests a queue of entries `E`: opens the first node that fits and has an instance left, sets the direction, maps both regions,
    /// starts it.
    ///
    /// # Errors
    /// `NoDevice`, `NoSva`, `NoInstance`, `BadLayout`, `SharedDoorbells`, `Kernel`.
    pub fn request<'s, S: System, E: RingEntry>(&self, system: &'s S, wanted: &Wanted<'_>) -> Result<WdQueue<'s, S, E>, WdError> {
        let mut reason = WdError::NoDevice;
        let mut from = NodeIndex(0);
        while let Some(found) = find_node(system, self, wanted.algorithm, Some(TypeId::of::<E>()), from, &mut reason)? {
            match system.open_node(found.node) {
                Ok(fd) => return set_up(system, fd, &found, wanted),
                // Somebody was faster, or the device went away between the two calls: look further.
                Err(Errno::EBUSY) => reason = WdError::NoInstance,
                Err(Errno::ENODEV) => {}
                Err(errno) => return Err(errno.into()),
            }
            from = NodeIndex(found.node.0 + 1);
        }
        Err(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_formats_are_driven() {
        let sqe_type = |api| ZipDriver.format_of(api).map(|format| format.sqe_type());
        assert_eq!(sqe_type("hisi_qm_v2"), Some(SqeType::TYPE0));
        assert_eq!(sqe_type("hisi_qm_v3"), Some(SqeType::TYPE3));
        assert_eq!(ZipDriver.format_of("hisi_qm_v5"), ZipDriver.format_of("hisi_qm_v3"));
        for unknown in ["", "hisi_qm_v1", "hisi_qm_v4", "hisi_qm_v51", "hisi_qm_v30", "hisi_qm_v3_noiommu", "dummy_v1"] {
            assert_eq!(ZipDriver.format_of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn sharing_is_what_the_effective_flags_say() {
        assert_eq!([1, 4, 0, 2].map(Sharing::of_flags), [Sharing::Sva, Sharing::Reserved, Sharing::Reserved, Sharing::Physical]);
    }

    #[test]
    fn a_driver_that_is_not_in_the_table_drives_nothing() {
        let is_served = |library: Library<'_>, entry| library.driver_for("hisi_qm_v3", "gzip", entry).is_some();
        assert!(is_served(Library::ZIP, None) && is_served(Library::ZIP, Some(TypeId::of::<Sqe>())));
        assert!(!is_served(Library::new(&[]), None) && !is_served(Library::ZIP, Some(TypeId::of::<u32>())));
    }
}
