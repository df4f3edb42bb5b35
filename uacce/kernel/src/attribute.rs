//! Attribute values of a node.

use crate::core::Node;
use ::core::fmt::{self, Write};
use hal::{QueueDevice, Region};
use uacce_abi::{Attribute, Errno};

/// Text into a caller's buffer; remembers that something did not fit.
struct Cursor<'a> {
    into: &'a mut [u8],
    len: usize,
}

impl Write for Cursor<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let end = self.len + s.len();
        self.into.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Writes the value of an attribute; returns its length in bytes.
///
/// # Errors
/// `ENOENT` if the device lacks the region, `ERANGE` if the value does not fit.
pub(crate) fn write_value<D: QueueDevice>(
    node: &Node<D>,
    device: &D,
    number: u32,
    is_tainted: bool,
    attribute: Attribute,
    into: &mut [u8],
) -> Result<usize, Errno> {
    let mut out = Cursor { into, len: 0 };
    let region = |region| match device.region_len_bytes(region) {
        0 => Err(Errno::ENOENT),
        len => Ok(len),
    };
    match attribute {
        Attribute::Name => write!(out, "{}-{number}", node.interface.name),
        Attribute::Api => out.write_str(device.api()),
        Attribute::Flags => write!(out, "{}", node.profile.flags()),
        Attribute::AvailableInstances => write!(out, "{}", device.available_instances()),
        Attribute::Algorithms => out.write_str(device.algorithms()),
        Attribute::RegionMmioSize => write!(out, "{}", region(Region::Mmio)?),
        Attribute::RegionDusSize => write!(out, "{}", region(Region::Dus)?),
        Attribute::Isolate => write!(out, "{}", u8::from(device.is_isolated())),
        Attribute::IsolateStrategy => write!(out, "{}", device.isolate_strategy()),
        Attribute::Id => write!(out, "{number}"),
        Attribute::NodeId => out.write_str("-1"),
        Attribute::NumaDistance => out.write_str("0"),
        Attribute::Tainted => write!(out, "{}", u8::from(is_tainted)),
    }
    .map_err(|fmt::Error| Errno::ERANGE)?;
    Ok(out.len)
}
