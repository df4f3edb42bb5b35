//! Message-signalled interrupts: vectors out of the GICv2m frame, and the address by which devices reach it.

use alloc::vec::Vec;

use firmware_kerncore::tree::MsiFrame;
use hal::{AllocError, Iova, Pa};
use hal_aarch64::SpinLock;

use crate::dma::DeviceAddresses;
use crate::domain::{self, DomainId};

/// Offset of MSI_SETSPI_NS in the frame.
const MSI_SETSPI_NS: u64 = 0x40;
const PAGE: u64 = 4096;

static NEXT_INTID: SpinLock<Option<(u32, u32)>> = SpinLock::new(None);
/// Where each domain has the frame.
static FRAME_IOVAS: SpinLock<Vec<(DomainId, Iova)>> = SpinLock::new(Vec::new());

/// Vectors of one function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Vectors {
    /// What devices write to.
    pub address: Iova,
    /// What vector 0 writes: its INTID. Vector n writes n more.
    pub first_intid: u32,
}

/// Takes `count` vectors, a power of two, aligned to it: a device replaces the low bits of its message.
///
/// # Errors
/// `OutOfAddresses` without a free vector or IOVA, `OutOfMemory`.
pub(crate) fn allocate(frame: &MsiFrame, count: u32, addresses: DeviceAddresses) -> Result<Vectors, AllocError> {
    let mut next = NEXT_INTID.lock();
    let (at, end) = next.get_or_insert((frame.first_intid, frame.first_intid + frame.count));
    let first = at.next_multiple_of(count);
    if first + count > *end {
        return Err(AllocError::OutOfAddresses);
    }
    let page = Pa(frame.registers.base & !(PAGE - 1));
    let iova = match addresses {
        DeviceAddresses::Physical => Iova(page.0),
        DeviceAddresses::Domain(id) => {
            let mut known = FRAME_IOVAS.lock();
            match known.iter().find(|(domain, _)| *domain == id) {
                Some((_, iova)) => *iova,
                None => {
                    let iova = domain::map_device(id, page, PAGE)?;
                    known.push((id, iova));
                    iova
                }
            }
        }
    };
    *at = first + count;
    Ok(Vectors { address: iova.wrapping_add(frame.registers.base % PAGE + MSI_SETSPI_NS), first_intid: first })
}
