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
use hal::{AccessKind, Iova, Pa, SubstreamId, Va, Verdict};
use hal_aarch64::{SpinLock, barrier, mmu, tlb};
use smmu_driver::SmmuError;
use uacce_abi::{Errno, STACK_BYTES, USER_ADDRESSES};
use uacce_kernel::{Profile, SpaceId, Span};

use crate::kernel_table::{self, USER_ENTRIES};
use crate::memory::{self, Tables};
use crate::queues::Link;
use crate::smmu;

mod copy;
mod device;
mod fork;
mod region;

pub(crate) use copy::{Borrowed, check_out, copy_in, copy_out};
pub(crate) use device::{bind, release, reserve, reserve_for_kernel, unbind};
pub(crate) use fork::fork;
pub(crate) use region::{map_queue_region, queue_areas, replace_by_copy, unmap_queue_regions};

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
    /// Pages copied because they were shared and written to.
    pub copies: u64,
}

/// A process's address space.
struct Space {
    areas: AreaSet,
    table: PageTable,
    asid: u16,
    substream: Option<SubstreamId>,
    /// Devices that work in it, and how.
    bound: Vec<Link>,
    /// The table of devices that have a PASID but cannot take faults, made when the first is bound.
    device_table: Option<(PageTable, u16)>,
    /// Memory reserved for those that do not walk the process's table.
    reserved: Vec<(Span, Pa)>,
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
            Resolution::Own => {
                let found = found.ok_or(FaultError::Refused(Refusal::Fixed))?;
                let page = at & !(PAGE - 1);
                let frame = Pa(found.pa.0 & !(PAGE - 1));
                let own = self.own_page(page, frame)?;
                Ok(Pa(own.0 + at % PAGE))
            }
            Resolution::Repeat => {
                tlb::invalidate_va(Va(at), self.asid);
                found.map(|f| f.pa).ok_or(FaultError::Refused(Refusal::Fixed))
            }
            Resolution::Refuse(refusal) => Err(FaultError::Refused(refusal)),
        }
    }

    /// Resolves a fault of a device.
    fn resolve_for_device(&mut self, at: Iova, access: AccessKind) -> Verdict {
        if self.ending || !self.is_walked_by_devices() {
            return Verdict::Abort;
        }
        match self.resolve(at.0, access) {
            Ok(_) => {
                self.counters.device_faults += 1;
                Verdict::Retry
            }
            Err(error) => {
                self.counters.device_refusals += 1;
                defmt::debug!("device fault at {=u64:#x} refused: {}", at.0, defmt::Debug2Format(&error));
                Verdict::Abort
            }
        }
    }

    /// Makes a page that was shared the process's own, writable, with what it holds; returns its frame.
    fn own_page(&mut self, page: u64, frame: Pa) -> Result<Pa, FaultError> {
        let leaf = Leaf::User(Rights::ReadWrite);
        if !memory::is_shared(frame) {
            // Whoever shared it has a copy or is gone. The walkers may hold the read-only entry: the access is repeated only without it.
            self.table.protect(&mut Tables, page, leaf);
            let _ = self.invalidate(page, PAGE);
            return Ok(frame);
        }
        let copy = memory::copy_frame(frame).ok_or(FaultError::OutOfMemory)?;
        // Break before make: no walker may hold the old frame and the new one at once, and a device must have written its last word to the
        // old one before anybody reads the new one.
        let _ = self.table.unmap(&mut Tables, page, PAGE, |_, _, _| {});
        let gone = self.invalidate(page, PAGE);
        if self.table.map(&mut Tables, page, copy, PAGE, leaf, Blocks::PagesOnly).is_err() {
            memory::free_frame(copy);
            return Err(FaultError::OutOfMemory);
        }
        barrier::dsb_ish();
        barrier::isb();
        if gone.is_ok() {
            memory::free_frame(frame);
        }
        self.counters.copies += 1;
        Ok(copy)
    }

    /// True if a device walks the process's own table.
    fn is_walked_by_devices(&self) -> bool {
        self.bound.iter().any(|link| link.profile == Profile::Sva)
    }

    /// Both invalidations of a range.
    fn invalidate(&mut self, at: u64, len_bytes: u64) -> Result<(), SmmuError> {
        if len_bytes / PAGE > 8 {
            tlb::invalidate_asid(self.asid);
        } else {
            for page in (at..at + len_bytes).step_by(PAGE as usize) {
                tlb::invalidate_va(Va(page), self.asid);
            }
        }
        if !self.is_walked_by_devices() {
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
        let mut frames = Vec::new();
        for area in gone {
            let is_own = area.backing == Backing::Anonymous;
            let unmapped = self.table.unmap(&mut Tables, area.start, area.end - area.start, |_, pa, _| {
                if is_own {
                    frames.push(pa);
                }
            });
            debug_assert!(unmapped.is_ok(), "areas are whole");
        }
        self.counters.resident -= frames.len() as u64;
        // One invalidation for all of them.
        let done = match gone {
            [] => Ok(()),
            [area] => self.invalidate(area.start, area.end - area.start),
            _ => self.invalidate_all(),
        };
        if done.is_ok() {
            frames.into_iter().for_each(memory::free_frame);
        }
    }

    /// Makes CPU and SMMU forget every entry of this space.
    fn invalidate_all(&mut self) -> Result<(), SmmuError> {
        tlb::invalidate_asid(self.asid);
        if !self.is_walked_by_devices() {
            return Ok(());
        }
        let asid = self.asid;
        let result = smmu::with(|smmu| smmu.invalidate_asid(asid)).unwrap_or(Ok(()));
        self.tainted |= result.is_err();
        result
    }
}

/// Makes a space with a stack.
///
/// # Errors
/// `ENOMEM` without memory or ASID.
pub(crate) fn create() -> Result<SpaceId, Errno> {
    let mut areas = AreaSet::new(USER_ADDRESSES);
    areas.insert(STACK.start, STACK_BYTES, Rights::ReadWrite, Backing::Anonymous).map_err(|_| Errno::ENOMEM)?;
    let space = empty(areas)?;
    let mut spaces = SPACES.lock();
    Ok(spaces.add(space))
}

/// A space of these areas with nothing mapped.
fn empty(areas: AreaSet) -> Result<Space, Errno> {
    let asid = smmu::allocate_asid().ok_or(Errno::ENOMEM)?;
    let Some(mut table) = PageTable::new(&mut Tables) else {
        smmu::free_asid(asid);
        return Err(Errno::ENOMEM);
    };
    kernel_table::share_with(&mut table);
    barrier::dsb_ishst();
    Ok(Space {
        areas,
        table,
        asid,
        substream: None,
        bound: Vec::new(),
        device_table: None,
        reserved: Vec::new(),
        counters: SpaceCounters::default(),
        tainted: false,
        ending: false,
    })
}

impl Spaces {
    fn add(&mut self, space: Space) -> SpaceId {
        let id = SpaceId(self.next);
        self.next += 1;
        self.spaces.insert(id, space);
        id
    }
}

fn with<T>(id: SpaceId, f: impl FnOnce(&mut Space) -> T) -> Option<T> {
    SPACES.lock().spaces.get_mut(&id).map(f)
}

/// From now on devices reach nothing in this space, and faults of theirs are refused: its process has ended, and its requests may end in error.
pub(crate) fn begin_exit(id: SpaceId) {
    with(id, |space| {
        space.ending = true;
        space.quiet_devices();
    });
}

/// Takes a space apart. Its queues are closed, so no device is bound to it.
pub(crate) fn destroy(id: SpaceId) {
    // Whatever table is active, it is not this one any more.
    kernel_table::activate();
    let Some(space) = SPACES.lock().spaces.remove(&id) else { return };
    take_apart(id, space);
}

fn take_apart(id: SpaceId, mut space: Space) {
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
    if let Some((table, asid)) = space.device_table {
        smmu::free_asid(asid);
        table.destroy(&mut Tables, USER_ENTRIES);
    }
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

/// The space that a PASID names.
pub(crate) fn of_substream(substream: SubstreamId) -> Option<SpaceId> {
    let spaces = SPACES.try_lock()?;
    spaces.spaces.iter().find(|(_, space)| space.substream == Some(substream)).map(|(id, _)| *id)
}

/// True unless a space no longer has this PASID.
pub(crate) fn has_substream(id: SpaceId, substream: Option<SubstreamId>) -> bool {
    SPACES.try_lock().is_none_or(|spaces| spaces.spaces.get(&id).is_some_and(|space| space.substream == substream))
}

/// Resolves a fault of a device in the process that its PASID names.
pub(crate) fn resolve_pasid_fault(substream: SubstreamId, at: Iova, access: AccessKind) -> Verdict {
    // Only a wait for a device ends here with the spaces locked, and there is none.
    let Some(mut spaces) = SPACES.try_lock() else { return Verdict::Abort };
    let space = spaces.spaces.values_mut().find(|space| space.substream == Some(substream));
    space.map_or(Verdict::Abort, |space| space.resolve_for_device(at, access))
}

/// Resolves a fault of a device in a process, if that still lives.
pub(crate) fn resolve_device_fault(id: SpaceId, at: Iova, access: AccessKind) -> Verdict {
    let Some(mut spaces) = SPACES.try_lock() else { return Verdict::Abort };
    spaces.spaces.get_mut(&id).map_or(Verdict::Abort, |space| space.resolve_for_device(at, access))
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
                let Some(found) = space.table.lookup(&Tables, page) else { continue };
                // What is shared stays read-only until it is written to.
                let is_shared = area.backing == Backing::Anonymous && rights == Rights::ReadWrite && memory::is_shared(found.pa);
                space.table.protect(&mut Tables, page, Leaf::User(if is_shared { Rights::Read } else { rights }));
            }
            // A page that became readable must not be denied by a stale entry, one that became read-only must not be written through one.
            let _ = space.invalidate(area.start, area.end - area.start);
        }
        Ok(())
    })
    .unwrap_or(Err(Errno::ESRCH))
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
            region::remove(space, at, len_bytes);
            return Err(Errno::ENOMEM);
        }
        barrier::dsb_ishst();
        barrier::isb();
        Ok(())
    })
    .unwrap_or(Err(Errno::ESRCH))
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
