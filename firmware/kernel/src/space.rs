//! Address spaces of processes: areas, tables, ASIDs and PASIDs, and the one handler of their page faults.
//!
//! Locks: a space is reached through [`SPACES`]; under it frames, the kernel's table and the SMMU may be locked, never the queue core or the
//! tasks. Every removal and every change of rights is followed by both invalidations, the CPU's and the SMMU's, before a frame is reused.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

use firmware_kerncore::fault::{self, Refusal, Resolution};
use firmware_kerncore::table::{Blocks, Found, Leaf, PageTable};
use firmware_kerncore::vma::{Area, AreaError, AreaSet, Backing, Rights};
use hal::{AccessKind, Iova, Pa, RegionBacking, RegionKind, StreamId, SubstreamId, Va, Verdict};
use hal_aarch64::{SpinLock, barrier, mmu, tlb};
use smmu_driver::SmmuError;
use uacce_abi::{Errno, STACK_BYTES, USER_ADDRESSES};
use uacce_kernel::{Drained, SpaceError, SpaceId};

use crate::kernel_table::{self, USER_ENTRIES};
use crate::memory::{self, Tables};
use crate::smmu;

const PAGE: u64 = 4096;

/// What a space counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpaceCounters {
    /// Faults of the CPU that were resolved.
    pub cpu_faults: u64,
    /// Faults of devices that were resolved.
    pub device_faults: u64,
    /// Faults of devices that were refused.
    pub device_refusals: u64,
    /// Pages held.
    pub resident: u64,
}

/// A process's address space.
struct Space {
    areas: AreaSet,
    table: PageTable,
    asid: u16,
    substream: Option<SubstreamId>,
    streams: Vec<StreamId>,
    counters: SpaceCounters,
    /// A device may still reach the tables or the pages: nothing of it is ever reused.
    tainted: bool,
    /// The process has ended: faults of devices are refused.
    ending: bool,
}

struct Spaces {
    spaces: BTreeMap<SpaceId, Space>,
    next: u64,
}

static SPACES: SpinLock<Spaces> = SpinLock::new(Spaces { spaces: BTreeMap::new(), next: 1 });

/// The stack's area.
const STACK: Range<u64> = USER_ADDRESSES.end - PAGE - STACK_BYTES..USER_ADDRESSES.end - PAGE;
/// Where a stack begins.
pub(crate) const STACK_TOP: u64 = STACK.end;

/// Why a fault could not be resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultError {
    /// The process may not.
    Refused(Refusal),
    /// No frame left.
    OutOfMemory,
}

impl Space {
    /// Resolves a fault; returns the physical address of the byte.
    fn resolve(&mut self, at: u64, access: AccessKind) -> Result<Pa, FaultError> {
        let found = self.table.lookup(&Tables, at);
        match fault::resolve(&self.areas, at, access, found.map(|f| f.user_rights())) {
            Resolution::MapZeroed { rights } => {
                let frame = memory::alloc_frame().ok_or(FaultError::OutOfMemory)?;
                let page = at & !(PAGE - 1);
                if self.table.map(&mut Tables, page, frame, PAGE, Leaf::User(rights), Blocks::PagesOnly).is_err() {
                    memory::free_frame(frame);
                    return Err(FaultError::OutOfMemory);
                }
                // The zeroes before the descriptor, the descriptor before the access is repeated. Faults are not cached: no TLBI.
                barrier::dsb_ish();
                barrier::isb();
                self.counters.resident += 1;
                Ok(Pa(frame.0 + at % PAGE))
            }
            Resolution::Repeat => {
                tlb::invalidate_va(Va(at), self.asid);
                found.map(|f| f.pa).ok_or(FaultError::Refused(Refusal::Fixed))
            }
            Resolution::Refuse(refusal) => Err(FaultError::Refused(refusal)),
        }
    }

    /// Both invalidations of a range.
    fn invalidate(&mut self, at: u64, len_bytes: u64) -> Result<(), SmmuError> {
        if len_bytes / PAGE > 32 {
            tlb::invalidate_asid(self.asid);
        } else {
            for page in (at..at + len_bytes).step_by(PAGE as usize) {
                tlb::invalidate_va(Va(page), self.asid);
            }
        }
        if self.streams.is_empty() {
            // No context of any device names the ASID: unbinding has dropped what the SMMU held of it.
            return Ok(());
        }
        let result = smmu::invalidate_range(self.asid, Va(at), len_bytes);
        if result.is_err() {
            self.tainted = true;
        }
        result
    }

    /// Unmaps what areas covered; frees the frames of anonymous ones once nobody can reach them.
    fn drop_pages(&mut self, gone: &[Area]) {
        for area in gone {
            let len = area.end - area.start;
            let mut frames = Vec::new();
            let is_own = area.backing == Backing::Anonymous;
            let unmapped = self.table.unmap(&mut Tables, area.start, len, |_, pa, _| {
                if is_own {
                    frames.push(pa);
                }
            });
            debug_assert!(unmapped.is_ok(), "areas are whole");
            self.counters.resident -= frames.len() as u64;
            if self.invalidate(area.start, len).is_ok() {
                frames.into_iter().for_each(memory::free_frame);
            }
        }
    }
}

/// Makes a space with a stack.
///
/// # Errors
/// `ENOMEM` without memory or ASID.
pub(crate) fn create() -> Result<SpaceId, Errno> {
    let asid = smmu::allocate_asid().ok_or(Errno::ENOMEM)?;
    let Some(mut table) = PageTable::new(&mut Tables) else {
        smmu::free_asid(asid);
        return Err(Errno::ENOMEM);
    };
    kernel_table::share_with(&mut table);
    barrier::dsb_ishst();
    let mut areas = AreaSet::new(USER_ADDRESSES);
    areas.insert(STACK.start, STACK_BYTES, Rights::ReadWrite, Backing::Anonymous).map_err(|_| Errno::ENOMEM)?;
    let mut spaces = SPACES.lock();
    let id = SpaceId(spaces.next);
    spaces.next += 1;
    let (streams, counters) = (Vec::new(), SpaceCounters::default());
    spaces.spaces.insert(id, Space { areas, table, asid, substream: None, streams, counters, tainted: false, ending: false });
    Ok(id)
}

fn with<T>(id: SpaceId, f: impl FnOnce(&mut Space) -> T) -> Option<T> {
    SPACES.lock().spaces.get_mut(&id).map(f)
}

/// From now on faults of devices in this space are refused: its process has ended, and its requests may end in error.
pub(crate) fn begin_exit(id: SpaceId) {
    with(id, |space| space.ending = true);
}

/// Takes a space apart. Its queues are closed, so no device is bound to it.
pub(crate) fn destroy(id: SpaceId) {
    // Whatever table is active, it is not this one any more.
    kernel_table::activate();
    let Some(mut space) = SPACES.lock().spaces.remove(&id) else { return };
    let all: Vec<Area> = space.areas.iter().copied().collect();
    tlb::invalidate_asid(space.asid);
    space.drop_pages(&all);
    if let Some(substream) = space.substream
        && !space.tainted
        && smmu::with(|smmu| smmu.free_substream(substream)) != Some(Ok(()))
    {
        space.tainted = true;
    }
    if space.tainted {
        defmt::error!("address space {=u64}: a device did not let go, its tables and PASID are lost", id.0);
        return;
    }
    tlb::invalidate_asid(space.asid);
    space.table.destroy(&mut Tables, USER_ENTRIES);
    smmu::free_asid(space.asid);
}

/// Switches the CPU to a space.
pub(crate) fn activate(id: SpaceId) {
    if let Some(ttbr0) = with(id, |space| space.table.root().0 | u64::from(space.asid) << 48) {
        // SAFETY: every process's table maps the kernel exactly as the kernel's own does.
        unsafe { mmu::set_ttbr0_el1(ttbr0) };
    }
}

/// Resolves a fault of the CPU.
///
/// # Errors
/// See [`FaultError`]: the process dies.
pub(crate) fn resolve_cpu_fault(id: SpaceId, at: u64, access: AccessKind) -> Result<(), FaultError> {
    with(id, |space| {
        space.resolve(at, access)?;
        space.counters.cpu_faults += 1;
        Ok(())
    })
    .unwrap_or(Err(FaultError::Refused(Refusal::NoArea)))
}

/// Resolves a fault of a device in the process that its PASID names.
pub(crate) fn resolve_device_fault(substream: SubstreamId, at: Iova, access: AccessKind) -> Verdict {
    let Some(mut spaces) = SPACES.try_lock() else {
        // Only a wait for a device ends here with the spaces locked, and there is none.
        return Verdict::Abort;
    };
    let Some(space) = spaces.spaces.values_mut().find(|space| space.substream == Some(substream)) else { return Verdict::Abort };
    if space.ending {
        return Verdict::Abort;
    }
    match space.resolve(at.0, access) {
        Ok(_) => {
            space.counters.device_faults += 1;
            Verdict::Retry
        }
        Err(error) => {
            space.counters.device_refusals += 1;
            defmt::debug!("device fault at {=u64:#x} refused: {}", at.0, defmt::Debug2Format(&error));
            Verdict::Abort
        }
    }
}

/// Adds demand-zero memory; returns its address.
///
/// # Errors
/// `EINVAL`, `ENOMEM`.
pub(crate) fn map_anonymous(id: SpaceId, len_bytes: u64, rights: Rights, at: u64) -> Result<u64, Errno> {
    with(id, |space| {
        // Big areas lie on block borders: one table then serves as much of them as it can.
        let align = if len_bytes >= 2 << 20 { 2 << 20 } else { PAGE };
        let at = if at == 0 { space.areas.find_free(len_bytes, align).ok_or(Errno::ENOMEM)? } else { at };
        space.areas.insert(at, len_bytes, rights, Backing::Anonymous).map(|area| area.start).map_err(|error| match error {
            AreaError::Occupied => Errno::EEXIST,
            _ => Errno::EINVAL,
        })
    })
    .unwrap_or(Err(Errno::ESRCH))
}

/// Removes memory; queue regions must have been taken care of before.
///
/// # Errors
/// `EINVAL`.
pub(crate) fn unmap(id: SpaceId, at: u64, len_bytes: u64) -> Result<(), Errno> {
    with(id, |space| {
        let gone = space.areas.remove(at, len_bytes).map_err(|_| Errno::EINVAL)?;
        space.drop_pages(&gone);
        Ok(())
    })
    .unwrap_or(Err(Errno::ESRCH))
}

/// Changes the rights of memory.
///
/// # Errors
/// `EINVAL`, `ENOMEM` where there is none, `EPERM` for queue regions.
pub(crate) fn protect(id: SpaceId, at: u64, len_bytes: u64, rights: Rights) -> Result<(), Errno> {
    with(id, |space| {
        let changed = space.areas.protect(at, len_bytes, rights).map_err(|error| match error {
            AreaError::Hole { .. } => Errno::ENOMEM,
            AreaError::Fixed => Errno::EPERM,
            AreaError::BadRange | AreaError::Occupied => Errno::EINVAL,
        })?;
        for area in &changed {
            for page in (area.start..area.end).step_by(PAGE as usize) {
                space.table.protect(&mut Tables, page, Leaf::User(rights));
            }
            // A page that became readable must not be denied by a stale entry, one that became read-only must not be written through one.
            let _ = space.invalidate(area.start, area.end - area.start);
        }
        Ok(())
    })
    .unwrap_or(Err(Errno::ESRCH))
}

/// The areas of a range that are queue regions.
pub(crate) fn queue_areas(id: SpaceId, at: u64, len_bytes: u64) -> Vec<Area> {
    let end = at.saturating_add(len_bytes);
    let is_hit = |area: &&Area| area.start < end && area.end > at && matches!(area.backing, Backing::Queue { .. });
    with(id, |space| space.areas.iter().filter(is_hit).copied().collect()).unwrap_or_default()
}

/// Maps a queue region.
///
/// # Errors
/// `Gone`, `OutOfMemory`.
pub(crate) fn map_queue_region(id: SpaceId, backing: RegionBacking, len_bytes: u64) -> Result<Va, SpaceError> {
    let leaf = match backing.kind {
        RegionKind::Device => Leaf::UserDevice,
        RegionKind::Memory => Leaf::User(Rights::ReadWrite),
    };
    with(id, |space| {
        let at = space.areas.find_free(len_bytes, PAGE).ok_or(SpaceError::OutOfMemory)?;
        let owner = Backing::Queue { owner: backing.base.0, kind: backing.kind };
        space.areas.insert(at, len_bytes, Rights::ReadWrite, owner).map_err(|_| SpaceError::OutOfMemory)?;
        if space.table.map(&mut Tables, at, backing.base, len_bytes, leaf, Blocks::PagesOnly).is_err() {
            unmap_region(space, at, len_bytes);
            return Err(SpaceError::OutOfMemory);
        }
        barrier::dsb_ishst();
        barrier::isb();
        Ok(Va(at))
    })
    .unwrap_or(Err(SpaceError::Gone))
}

fn unmap_region(space: &mut Space, at: u64, len_bytes: u64) {
    if let Ok(gone) = space.areas.remove(at, len_bytes) {
        space.drop_pages(&gone);
    }
}

/// Removes a queue region.
pub(crate) fn unmap_queue_region(id: SpaceId, at: Va, len_bytes: u64) {
    with(id, |space| unmap_region(space, at.0, len_bytes));
}

/// Lends kernel memory to a process at a fixed address, with blocks where it is aligned; for tests of block mappings.
///
/// # Errors
/// `EINVAL`, `EEXIST`, `ENOMEM`.
pub fn lend(id: SpaceId, at: u64, pa: Pa, len_bytes: u64, rights: Rights) -> Result<(), Errno> {
    with(id, |space| {
        space.areas.insert(at, len_bytes, rights, Backing::Lent).map_err(|error| match error {
            AreaError::Occupied => Errno::EEXIST,
            _ => Errno::EINVAL,
        })?;
        if space.table.map(&mut Tables, at, pa, len_bytes, Leaf::User(rights), Blocks::Allowed).is_err() {
            unmap_region(space, at, len_bytes);
            return Err(Errno::ENOMEM);
        }
        barrier::dsb_ishst();
        barrier::isb();
        Ok(())
    })
    .unwrap_or(Err(Errno::ESRCH))
}

/// Lets a stream work in a space, under the space's one PASID.
///
/// # Errors
/// `Gone`, `OutOfSubstreams`, `OutOfMemory`, `Iommu`.
pub(crate) fn bind(id: SpaceId, stream: StreamId) -> Result<SubstreamId, SpaceError> {
    with(id, |space| {
        let substream = match space.substream {
            Some(substream) => substream,
            None => match smmu::with(|smmu| smmu.allocate_substream()) {
                Some(Ok(substream)) => substream,
                _ => return Err(SpaceError::OutOfSubstreams),
            },
        };
        match smmu::bind(stream, substream, space.table.root(), space.asid) {
            Ok(()) => {
                space.substream = Some(substream);
                space.streams.push(stream);
                Ok(substream)
            }
            Err(error) => {
                defmt::error!("bind: {}", defmt::Debug2Format(&error));
                if space.substream.is_none() {
                    let _ = smmu::with(|smmu| smmu.free_substream(substream));
                }
                Err(if matches!(error, SmmuError::Memory(_)) { SpaceError::OutOfMemory } else { SpaceError::Iommu })
            }
        }
    })
    .unwrap_or(Err(SpaceError::Gone))
}

/// Ends it. A device that did not drain loses the space all the same, but the PASID is never used again.
pub(crate) fn unbind(id: SpaceId, stream: StreamId, substream: SubstreamId, drained: Drained) {
    with(id, |space| {
        let done = match drained {
            Drained::Yes => smmu::with(|smmu| smmu.unbind(stream, substream)),
            Drained::No => smmu::with(|smmu| smmu.quiesce(stream, substream)),
        };
        if done != Some(Ok(())) {
            defmt::error!("unbind: {}", defmt::Debug2Format(&done));
        }
        if done != Some(Ok(())) || drained == Drained::No {
            space.tainted = true;
        }
        space.streams.retain(|bound| *bound != stream);
        if space.streams.is_empty() && !space.tainted && smmu::with(|smmu| smmu.free_substream(substream)) == Some(Ok(())) {
            space.substream = None;
        }
    });
}

/// Counters of a space.
pub fn counters(id: SpaceId) -> SpaceCounters {
    with(id, |space| space.counters).unwrap_or_default()
}

/// Root table, ASID and PASID of a space: what tests compare the CPU's walk and the SMMU's with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// TTBR0 and CD.TTB0.
    pub root: Pa,
    /// ASID.
    pub asid: u16,
    /// PASID, while a queue is open.
    pub substream: Option<SubstreamId>,
}

/// Root table, ASID and PASID of a space.
pub fn identity(id: SpaceId) -> Option<Identity> {
    with(id, |space| Identity { root: space.table.root(), asid: space.asid, substream: space.substream })
}

/// What a space's table holds at an address.
pub fn lookup(id: SpaceId, at: u64) -> Option<Found> {
    with(id, |space| space.table.lookup(&Tables, at)).flatten()
}

/// Runs `f` on each page's part of a user range, resolved for `access`. The range is an allegation of the process: nothing of it is
/// believed, and it may be half there.
///
/// # Errors
/// `EFAULT`; parts before the bad page were visited.
fn for_each_part(
    id: SpaceId,
    at: u64,
    len_bytes: u64,
    access: AccessKind,
    constants: &Range<u64>,
    mut f: impl FnMut(Pa, Range<usize>),
) -> Result<(), Errno> {
    let end = at.checked_add(len_bytes).ok_or(Errno::EFAULT)?;
    if access == AccessKind::Read && at >= constants.start && end <= constants.end {
        f(Pa(at), 0..len_bytes as usize);
        return Ok(());
    }
    let mut spaces = SPACES.lock();
    let space = spaces.spaces.get_mut(&id).ok_or(Errno::ESRCH)?;
    let mut va = at;
    while va < end {
        let part = (end - va).min(PAGE - va % PAGE);
        let area = space.areas.find(va).ok_or(Errno::EFAULT)?;
        if !area.rights.allows(access) || matches!(area.backing, Backing::Queue { kind: RegionKind::Device, .. }) {
            return Err(Errno::EFAULT);
        }
        let pa = match space.table.lookup(&Tables, va) {
            Some(found) => found.pa,
            None => space.resolve(va, access).map_err(|_| Errno::EFAULT)?,
        };
        let offset = (va - at) as usize;
        f(pa, offset..offset + part as usize);
        va += part;
    }
    Ok(())
}

/// Copies out of a process: its own memory, or constants of the image.
///
/// # Errors
/// `EFAULT`.
pub(crate) fn copy_in(id: SpaceId, at: u64, into: &mut [u8]) -> Result<(), Errno> {
    let constants = crate::boot::shared_room();
    for_each_part(id, at, into.len() as u64, AccessKind::Read, &constants, |pa, range| {
        if constants.contains(&pa.0) {
            crate::boot::copy_constants(pa, &mut into[range]);
        } else {
            memory::copy_from(pa, &mut into[range]);
        }
    })
}

/// Copies into a process.
///
/// # Errors
/// `EFAULT`; the part before the bad page was written.
pub(crate) fn copy_out(id: SpaceId, at: u64, data: &[u8]) -> Result<(), Errno> {
    for_each_part(id, at, data.len() as u64, AccessKind::Write, &(0..0), |pa, range| memory::copy_to(pa, &data[range]))
}

/// Checks that a process may write all of a range, making its pages appear, so that a copy cannot fail half-way.
///
/// # Errors
/// `EFAULT`.
pub(crate) fn check_out(id: SpaceId, at: u64, len_bytes: u64) -> Result<(), Errno> {
    for_each_part(id, at, len_bytes, AccessKind::Write, &(0..0), |_, _| {})
}
