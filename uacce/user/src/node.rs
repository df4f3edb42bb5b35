//! Finding a device: by the name of its queue format and by its algorithms.

use qm_spec::{DoorbellLayout, QmVersion, SUB_VERSION_V5};
use uacce_abi::{Attribute, Errno, NodeIndex, VALUE_MAX_BYTES, flags};
use zip_spec::SqeType;

use crate::{System, WdError};

/// What a queue does with its requests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum Direction {
    /// Compress.
    Compress = 0,
    /// Decompress.
    Decompress = 1,
}

/// A queue format that this library can drive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueFormat {
    /// Version of the queue manager.
    pub version: QmVersion,
    /// Bit layout of a doorbell.
    pub doorbell: DoorbellLayout,
    /// Offset of the doorbell in the MMIO region, in bytes.
    pub doorbell_offset: usize,
    /// Layout of a ZIP entry.
    pub sqe_type: SqeType,
}

impl QueueFormat {
    /// The format of an `api` attribute; `None` if this library does not know it.
    pub fn of_api(api: &str) -> Option<Self> {
        let version = match api {
            // Its rings and doorbells are those of version 3.
            api if api == QmVersion::V3.api_with(SUB_VERSION_V5) => QmVersion::V3,
            api => [QmVersion::V2, QmVersion::V3].into_iter().find(|version| version.api() == api)?,
        };
        let sqe_type = if version == QmVersion::V3 { SqeType::TYPE3 } else { SqeType::TYPE0 };
        Some(Self { version, doorbell: DoorbellLayout::V2, doorbell_offset: 0x1000, sqe_type })
    }
}

/// What a process wants of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted<'a> {
    /// One line of the `algorithms` attribute.
    pub algorithm: &'a str,
    /// Direction.
    pub direction: Direction,
}

/// A node that fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Match {
    pub(crate) node: NodeIndex,
    pub(crate) format: QueueFormat,
    pub(crate) mmio_bytes: u64,
    pub(crate) dus_bytes: u64,
}

/// The first node from `from` on that fits; what would be said if there is none is kept in `reason`.
pub(crate) fn find_node<S: System>(
    system: &S,
    wanted: &Wanted<'_>,
    from: NodeIndex,
    reason: &mut WdError,
) -> Result<Option<Match>, WdError> {
    for number in from.0.. {
        let node = NodeIndex(number);
        let mut value = [0; VALUE_MAX_BYTES];
        let format = match system.attribute(node, Attribute::Api, &mut value) {
            Ok(api) => QueueFormat::of_api(api),
            Err(Errno::ENODEV) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let Some(format) = format else { continue };
        if !system.attribute(node, Attribute::Algorithms, &mut value)?.lines().any(|line| line == wanted.algorithm) {
            continue;
        }
        if number_of(system, node, Attribute::Flags)? & u64::from(flags::SVA) == 0 {
            *reason = WdError::NoSva;
            continue;
        }
        if number_of(system, node, Attribute::AvailableInstances)? == 0 {
            *reason = WdError::NoInstance;
            continue;
        }
        let mmio_bytes = number_of(system, node, Attribute::RegionMmioSize)?;
        let dus_bytes = number_of(system, node, Attribute::RegionDusSize)?;
        return Ok(Some(Match { node, format, mmio_bytes, dus_bytes }));
    }
    Ok(None)
}

fn number_of<S: System>(system: &S, node: NodeIndex, attribute: Attribute) -> Result<u64, WdError> {
    let mut value = [0; VALUE_MAX_BYTES];
    let text = system.attribute(node, attribute, &mut value)?;
    text.trim_end().parse().map_err(|_| WdError::Kernel(Errno::EIO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_formats_are_driven() {
        assert_eq!(QueueFormat::of_api("hisi_qm_v2").map(|format| format.sqe_type), Some(SqeType::TYPE0));
        assert_eq!(QueueFormat::of_api("hisi_qm_v3").map(|format| format.sqe_type), Some(SqeType::TYPE3));
        assert_eq!(QueueFormat::of_api("hisi_qm_v5"), QueueFormat::of_api("hisi_qm_v3"));
        for unknown in ["", "hisi_qm_v1", "hisi_qm_v4", "hisi_qm_v51", "hisi_qm_v30", "hisi_qm_v3_noiommu", "dummy_v1"] {
            assert_eq!(QueueFormat::of_api(unknown), None, "{unknown}");
        }
    }
}
