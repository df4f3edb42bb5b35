//! Devices in a process's space: bound to its table, to a table of its reserved memory, or to nothing but addresses.

use firmware_kerncore::table::{Blocks, Leaf, PageTable};
use firmware_kerncore::vma::Rights;
use hal::{Pa, RegionKind, SubstreamId, Va};
use hal_aarch64::barrier;
use smmu_driver::SmmuError;
use uacce_kernel::{Drained, Profile, Reserved, SpaceError, SpaceId, Span};

use super::{PAGE, Space, region, with};
use crate::memory::{self, Tables};
use crate::queues::Link;
use crate::{domain, smmu};

/// Lets a device work in a space: under the space's one PASID where there are PASIDs.
///
/// # Errors
/// `Gone`, `OutOfSubstreams`, `OutOfMemory`, `Iommu`.
pub(crate) fn bind(id: SpaceId, link: Link) -> Result<Option<SubstreamId>, SpaceError> {
    with(id, |space| {
        let substream = match link.profile {
            Profile::Sva | Profile::PasidOnly => Some(space.bind_substream(&link)?),
            Profile::ShareDomain => {
                for (at, (span, base)) in space.reserved.iter().enumerate() {
                    if domain::map_at(link.domain, span.at, *base, span.len_bytes).is_err() {
                        let _ =
                            space.reserved[..at].iter().try_for_each(|(span, _)| domain::unmap_at(link.domain, span.at, span.len_bytes));
                        return Err(SpaceError::OutOfMemory);
                    }
                }
                None
            }
            Profile::NoIommu => None,
        };
        space.bound.push(link);
        Ok(substream)
    })
    .unwrap_or(Err(SpaceError::Gone))
}

/// Ends it. A device that did not drain loses the space all the same, but the PASID is never used again.
pub(crate) fn unbind(id: SpaceId, link: Link, substream: Option<SubstreamId>, drained: Drained) {
    with(id, |space| {
        space.bound.retain(|bound| bound.stream != link.stream);
        match (link.profile, substream) {
            (Profile::Sva | Profile::PasidOnly, Some(substream)) => space.unbind_substream(&link, substream, drained),
            (Profile::ShareDomain, _) => {
                // Nothing of the process may stay in a table that the next one's device walks.
                for (span, _) in &space.reserved {
                    space.tainted |= domain::unmap_at(link.domain, span.at, span.len_bytes).is_err();
                }
            }
            _ => {}
        }
    });
}

/// Reserves zeroed memory, physically in one piece, for a process and its devices.
///
/// # Errors
/// `Gone`, `OutOfMemory`.
pub(crate) fn reserve(id: SpaceId, len_bytes: u64) -> Result<Reserved, SpaceError> {
    reserve_as(id, len_bytes, Rights::ReadWrite, Leaf::User(Rights::ReadWrite))
}

/// Reserves the same for the kernel and the process's devices: the process has the addresses, and may not touch them.
///
/// # Errors
/// `Gone`, `OutOfMemory`.
pub(crate) fn reserve_for_kernel(id: SpaceId, len_bytes: u64) -> Result<Reserved, SpaceError> {
    reserve_as(id, len_bytes, Rights::None, Leaf::KernelOfProcess)
}

fn reserve_as(id: SpaceId, len_bytes: u64, rights: Rights, leaf: Leaf) -> Result<Reserved, SpaceError> {
    let frames = usize::try_from(len_bytes / PAGE).map_err(|_| SpaceError::OutOfMemory)?;
    let reserved = with(id, |space| {
        let base = memory::alloc_run(frames, PAGE).ok_or(SpaceError::OutOfMemory)?;
        let reserved = region::place(space, base, len_bytes, RegionKind::Memory, rights, leaf).and_then(|at| {
            let span = Span { at, len_bytes };
            match space.show_to_devices(span, base) {
                Ok(()) => Ok(Reserved { at, base }),
                Err(error) => {
                    space.hide_from_devices(span);
                    region::remove(space, at.0, len_bytes);
                    Err(error)
                }
            }
        });
        if reserved.is_err() {
            memory::free_run(base, frames);
        }
        reserved
    });
    reserved.unwrap_or(Err(SpaceError::Gone))
}

/// Takes reserved memory back.
pub(crate) fn release(id: SpaceId, span: Span, base: Pa, drained: Drained) {
    with(id, |space| {
        space.reserved.retain(|(reserved, _)| *reserved != span);
        let is_hidden = space.hide_from_devices(span);
        region::remove(space, span.at.0, span.len_bytes);
        // Without translation only a device at rest has let go.
        if is_hidden && drained == Drained::Yes {
            memory::free_run(base, (span.len_bytes / PAGE) as usize);
        } else {
            defmt::error!("reserved memory at {=u64:#x} is lost: a device did not let go", base.0);
        }
    });
}

impl Space {
    fn bind_substream(&mut self, link: &Link) -> Result<SubstreamId, SpaceError> {
        let substream = match self.substream {
            Some(substream) => substream,
            None => match smmu::with(|smmu| smmu.allocate_substream()) {
                Some(Ok(substream)) => substream,
                _ => return Err(SpaceError::OutOfSubstreams),
            },
        };
        let table = match link.profile {
            Profile::Sva => Ok((self.table.root(), self.asid)),
            _ => self.device_table(),
        };
        let bound = table.and_then(|(root, asid)| {
            smmu::bind(link.stream, substream, root, asid).map_err(|error| {
                defmt::error!("bind: {}", defmt::Debug2Format(&error));
                if matches!(error, SmmuError::Memory(_)) { SpaceError::OutOfMemory } else { SpaceError::Iommu }
            })
        });
        match bound {
            Ok(()) => {
                self.substream = Some(substream);
                Ok(substream)
            }
            Err(error) => {
                if self.substream.is_none() {
                    let _ = smmu::with(|smmu| smmu.free_substream(substream));
                }
                Err(error)
            }
        }
    }

    fn unbind_substream(&mut self, link: &Link, substream: SubstreamId, drained: Drained) {
        let done = match drained {
            Drained::Yes => smmu::with(|smmu| smmu.unbind(link.stream, substream)),
            Drained::No => smmu::with(|smmu| smmu.quiesce(link.stream, substream)),
        };
        if done != Some(Ok(())) {
            defmt::error!("unbind: {}", defmt::Debug2Format(&done));
        }
        if done != Some(Ok(())) || drained == Drained::No {
            self.tainted = true;
        }
        let is_last = !self.bound.iter().any(|link| link.profile.has_substream());
        if is_last && !self.tainted && smmu::with(|smmu| smmu.free_substream(substream)) == Some(Ok(())) {
            self.substream = None;
        }
    }

    /// Ends translation for the devices that work in this space by PASID. What they have under way aborts: without this each request would ask for
    /// a page once more before it is refused, in the time of the processes that go on.
    pub(super) fn quiet_devices(&mut self) {
        let Some(substream) = self.substream else { return };
        for link in self.bound.iter().filter(|link| link.profile.has_substream()) {
            // Whatever fails here fails again when the device is unbound, which has the consequences.
            let _ = smmu::with(|smmu| smmu.quiesce(link.stream, substream));
        }
    }

    /// Root and ASID of the table for devices that cannot take faults.
    fn device_table(&mut self) -> Result<(Pa, u16), SpaceError> {
        if let Some((table, asid)) = &self.device_table {
            return Ok((table.root(), *asid));
        }
        let asid = smmu::allocate_asid().ok_or(SpaceError::OutOfMemory)?;
        let Some(mut table) = PageTable::new(&mut Tables) else {
            smmu::free_asid(asid);
            return Err(SpaceError::OutOfMemory);
        };
        for (span, base) in &self.reserved {
            if table.map(&mut Tables, span.at.0, *base, span.len_bytes, Leaf::Domain, Blocks::PagesOnly).is_err() {
                table.destroy(&mut Tables, crate::kernel_table::USER_ENTRIES);
                smmu::free_asid(asid);
                return Err(SpaceError::OutOfMemory);
            }
        }
        barrier::dsb_ishst();
        let root = table.root();
        self.device_table = Some((table, asid));
        Ok((root, asid))
    }

    /// Maps reserved memory where the devices of this space look, at the process's own addresses.
    fn show_to_devices(&mut self, span: Span, base: Pa) -> Result<(), SpaceError> {
        if let Some((table, _)) = &mut self.device_table {
            let mapped = table.map(&mut Tables, span.at.0, base, span.len_bytes, Leaf::Domain, Blocks::PagesOnly);
            mapped.map_err(|_| SpaceError::OutOfMemory)?;
            barrier::dsb_ishst();
        }
        for link in self.bound.iter().filter(|link| link.profile == Profile::ShareDomain) {
            domain::map_at(link.domain, span.at, base, span.len_bytes).map_err(|_| SpaceError::OutOfMemory)?;
        }
        self.reserved.push((span, base));
        Ok(())
    }

    /// Undoes it; false if a device may still reach the memory.
    fn hide_from_devices(&mut self, span: Span) -> bool {
        let mut is_hidden = true;
        if let Some((table, asid)) = &mut self.device_table {
            let _ = table.unmap(&mut Tables, span.at.0, span.len_bytes, |_, _, _| {});
            is_hidden &= smmu::invalidate_range(*asid, Va(span.at.0), span.len_bytes).is_ok();
        }
        for link in self.bound.iter().filter(|link| link.profile == Profile::ShareDomain) {
            is_hidden &= domain::unmap_at(link.domain, span.at, span.len_bytes).is_ok();
        }
        is_hidden
    }
}
