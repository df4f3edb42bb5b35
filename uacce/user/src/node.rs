//! Finding a device: by the name of its queue format and by its algorithms.

use core::any::TypeId;

use uacce_abi::{Attribute, Errno, NodeIndex, VALUE_MAX_BYTES};

use crate::{Library, QueueFormat, Sharing, System, UserDriver, WdError};

/// What a queue does with its requests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum Direction {
    /// Compress; the one direction of engines that have but one.
    Compress = 0,
    /// Decompress.
    Decompress = 1,
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
#[derive(Clone, Copy)]
pub(crate) struct Match<'d> {
    pub(crate) driver: &'d dyn UserDriver,
    pub(crate) node: NodeIndex,
    pub(crate) format: QueueFormat,
    pub(crate) sharing: Sharing,
    pub(crate) mmio_bytes: u64,
    pub(crate) dus_bytes: u64,
}

/// The first node from `from` on that fits; what would be said if there is none is kept in `reason`.
pub(crate) fn find_node<'d, S: System>(
    system: &S,
    library: &Library<'d>,
    algorithm: &str,
    entry: Option<TypeId>,
    from: NodeIndex,
    reason: &mut WdError,
) -> Result<Option<Match<'d>>, WdError> {
    for number in from.0..NodeIndex::LIMIT {
        match look_at(system, library, algorithm, entry, NodeIndex(number), reason) {
            // A device that was removed leaves a gap; one can go between two looks.
            Ok(None) | Err(WdError::Kernel(Errno::ENODEV)) => {}
            found => return found,
        }
    }
    Ok(None)
}

/// A node, if it fits.
fn look_at<'d, S: System>(
    system: &S,
    library: &Library<'d>,
    algorithm: &str,
    entry: Option<TypeId>,
    node: NodeIndex,
    reason: &mut WdError,
) -> Result<Option<Match<'d>>, WdError> {
    let mut value = [0; VALUE_MAX_BYTES];
    let api = system.attribute(node, Attribute::Api, &mut value)?;
    let Some((driver, format)) = library.driver_for(api, algorithm, entry) else { return Ok(None) };
    if !system.attribute(node, Attribute::Algorithms, &mut value)?.lines().any(|line| line == algorithm) {
        return Ok(None);
    }
    let sharing = Sharing::of_flags(number_of(system, node, Attribute::Flags)?);
    if library.needs_sva() && sharing != Sharing::Sva {
        *reason = WdError::NoSva;
        return Ok(None);
    }
    if number_of(system, node, Attribute::AvailableInstances)? == 0 {
        *reason = WdError::NoInstance;
        return Ok(None);
    }
    let mmio_bytes = number_of(system, node, Attribute::RegionMmioSize)?;
    let dus_bytes = number_of(system, node, Attribute::RegionDusSize)?;
    Ok(Some(Match { driver, node, format, sharing, mmio_bytes, dus_bytes }))
}

fn number_of<S: System>(system: &S, node: NodeIndex, attribute: Attribute) -> Result<u64, WdError> {
    let mut value = [0; VALUE_MAX_BYTES];
    let text = system.attribute(node, attribute, &mut value)?;
    text.trim_end().parse().map_err(|_| WdError::Kernel(Errno::EIO))
}
