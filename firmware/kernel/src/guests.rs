//! Guests: functions whose DMA goes through a stage 2 of the kernel's, for somebody who has addresses of his own.
//!
//! A guest is offered memory at addresses of its own (intermediate ones). A page of it is put into stage 2 when the device first wants it: the
//! access stalls until then (ADR 0094). What was not offered, or not for that, ends in an abort, whatever the guest's own stage 1 says.
//! A function that is given to a guest leaves the kernel's domain and its node; its registers stay with the kernel's driver of it.

use alloc::vec::Vec;

use firmware_kerncore::table::{Blocks, Leaf, PageTable, TableError};
use firmware_kerncore::vma::Rights;
use hal::{AccessKind, Ipa, Pa, StreamId, Verdict};
use hal_aarch64::{SpinLock, barrier, mmu};
use smmu_driver::{
    FaultClass, FaultKind, FaultModel, Granule, GuestContexts, Leaf as Levels, Operation, SmmuError, Stage2Description, Stage2Fault,
    TranslationFault,
};

use crate::accelerator::{self, Accelerator, AcceleratorError};
use crate::memory::Tables;
use crate::smmu;

const PAGE: u64 = 4096;

/// What a guest may be offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offer {
    /// RAM, put there page by page on first use.
    Memory(Rights),
    /// Device registers, there at once: an interrupt message does not wait.
    Device,
}

/// A call for a guest was refused, or failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GuestError {
    /// There is no such guest.
    NoGuest,
    /// The guest still has functions.
    InUse,
    /// There is no such function, or no guest has it.
    NoFunction,
    /// The range is none, or something was offered there; without memory for a table.
    Table(TableError),
    /// The SMMU's driver refused: `NoStage2` and `NoStall` where guests cannot be served, `StreamBound` while processes use the function.
    Smmu(SmmuError),
    /// The function did not come back to the kernel's own domain.
    Function(AcceleratorError),
}

impl From<SmmuError> for GuestError {
    fn from(error: SmmuError) -> Self {
        Self::Smmu(error)
    }
}

/// Names a guest: its VMID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuestId(u16);

struct Area {
    at: Ipa,
    base: Pa,
    len_bytes: u64,
    offer: Offer,
}

impl Area {
    fn holds(&self, at: Ipa) -> bool {
        at.0.wrapping_sub(self.at.0) < self.len_bytes
    }

    /// True if pages are put there for such an access.
    fn allows(&self, access: AccessKind) -> bool {
        matches!(
            (self.offer, access),
            (Offer::Memory(Rights::ReadWrite), AccessKind::Read | AccessKind::Write) | (Offer::Memory(Rights::Read), AccessKind::Read)
        )
    }

    fn leaf(&self) -> Leaf {
        match self.offer {
            Offer::Memory(rights) => Leaf::Guest(rights),
            Offer::Device => Leaf::GuestDevice,
        }
    }
}

struct Guest {
    id: GuestId,
    table: PageTable,
    areas: Vec<Area>,
    streams: Vec<StreamId>,
}

static GUESTS: SpinLock<Vec<Guest>> = SpinLock::new(Vec::new());

fn with<T>(id: GuestId, f: impl FnOnce(&mut Guest) -> Result<T, GuestError>) -> Result<T, GuestError> {
    GUESTS.lock().iter_mut().find(|guest| guest.id == id).map_or(Err(GuestError::NoGuest), f)
}

fn with_smmu<T>(f: impl FnOnce(&mut smmu::KernelSmmu) -> Result<T, SmmuError>) -> Result<T, SmmuError> {
    smmu::with(f).unwrap_or(Err(SmmuError::NoStage2))
}

/// Makes a guest that reaches nothing yet.
///
/// # Errors
/// `Smmu`: `NoStage2` without an SMMU that has it, `NoStall` if its accesses could not wait, `NoIdentifiers`. `Table`: `OutOfMemory`.
pub fn make() -> Result<GuestId, GuestError> {
    let features = smmu::features().filter(|features| features.has_stage2).ok_or(SmmuError::NoStage2)?;
    if !features.stall_model.can_stall() {
        return Err(SmmuError::NoStall.into());
    }
    let table = PageTable::new(&mut Tables).ok_or(GuestError::Table(TableError::OutOfMemory))?;
    match with_smmu(|smmu| smmu.allocate_vmid()) {
        Ok(vmid) => {
            let id = GuestId(vmid);
            GUESTS.lock().push(Guest { id, table, areas: Vec::new(), streams: Vec::new() });
            Ok(id)
        }
        Err(error) => {
            table.destroy(&mut Tables, 0..0);
            Err(error.into())
        }
    }
}

/// Offers memory or a device at addresses of the guest's. What lies at `base` stays the caller's, and may be reused after [`withdraw`] only.
///
/// # Errors
/// `NoGuest`; `Table`: `BadRange` unless it is made of pages of the 39-bit space, `Occupied` if some of it was offered, `OutOfMemory`.
pub fn offer(id: GuestId, at: Ipa, base: Pa, len_bytes: u64, offer: Offer) -> Result<(), GuestError> {
    let is_paged = [at.0, base.0, len_bytes].iter().all(|value| value.is_multiple_of(PAGE)) && len_bytes > 0;
    let fits = |start: u64, bits: u32| start.checked_add(len_bytes).is_some_and(|end| end <= 1 << bits);
    if !is_paged || !fits(at.0, firmware_kerncore::table::VA_BITS) || !fits(base.0, 48) {
        return Err(GuestError::Table(TableError::BadRange));
    }
    with(id, |guest| {
        if let Some(other) = guest.areas.iter().find(|other| at.0 < other.at.0 + other.len_bytes && other.at.0 < at.0 + len_bytes) {
            return Err(GuestError::Table(TableError::Occupied { at: other.at.0 }));
        }
        let area = Area { at, base, len_bytes, offer };
        if offer == Offer::Device {
            let mapped = guest.table.map(&mut Tables, at.0, base, len_bytes, area.leaf(), Blocks::PagesOnly);
            barrier::dsb_ishst();
            // An area that is there in part is taken away as one that is there as a whole.
            guest.areas.push(area);
            return mapped.map_err(GuestError::Table);
        }
        guest.areas.push(area);
        Ok(())
    })
}

/// Takes back what was offered at an address. When this returns no device of the guest uses it any more.
///
/// # Errors
/// `NoGuest`; `Table`: `BadRange` if no offer begins there. `Smmu`: what the invalidation returned; the memory must then not be reused.
pub fn withdraw(id: GuestId, at: Ipa) -> Result<(), GuestError> {
    with(id, |guest| {
        let index = guest.areas.iter().position(|area| area.at == at).ok_or(GuestError::Table(TableError::BadRange))?;
        let Area { len_bytes, .. } = guest.areas.swap_remove(index);
        guest.table.unmap(&mut Tables, at.0, len_bytes, |_, _, _| {}).map_err(GuestError::Table)?;
        Ok(with_smmu(|smmu| smmu.invalidate_ipa(id.0, at, len_bytes, Levels::Only))?)
    })
}

/// Gives a function to a guest: its DMA is translated by the guest's stage 2, below the guest's own stage 1 if it has `contexts`. Its node goes.
/// The function does nothing while it moves.
///
/// # Errors
/// `NoGuest`, `NoFunction`; `Smmu`: `StreamBound` while processes use it, and nothing was done; after any other error the function's DMA
/// may abort until [`take_back`].
pub fn give(id: GuestId, index: usize, contexts: Option<&GuestContexts>) -> Result<(), GuestError> {
    let function = accelerator::at(index).ok_or(GuestError::NoFunction)?;
    let stream = function.connection.stream;
    with(id, |guest| {
        let ps = (mmu::pa_range() as u8).min(smmu::features().map_or(5, |features| features.oas_code));
        let table = Stage2Description { ttb: guest.table.root(), t0sz: 25, start_level: 1, granule: Granule::Kib4, ps, vmid: id.0 };
        with_smmu(|smmu| smmu.detach(stream))?;
        guest.streams.push(stream);
        with_smmu(|smmu| match contexts {
            Some(contexts) => smmu.attach_nested(stream, &table, contexts, FaultModel::Stall),
            None => smmu.attach_stage2(stream, &table, FaultModel::Stall),
        })?;
        Ok(())
    })?;
    function.unpublish();
    Ok(())
}

/// Takes a function back from whichever guest has it: it works in the kernel's own domain again, and has a node.
///
/// # Errors
/// `NoFunction`, `Smmu`, `Function`. The call may be repeated.
pub fn take_back(index: usize) -> Result<(), GuestError> {
    let function: &'static Accelerator = accelerator::at(index).ok_or(GuestError::NoFunction)?;
    let stream = function.connection.stream;
    let id = GUESTS.lock().iter().find(|guest| guest.streams.contains(&stream)).map(|guest| guest.id).ok_or(GuestError::NoFunction)?;
    match with_smmu(|smmu| smmu.detach(stream)) {
        // It never got as far as the guest's.
        Ok(()) | Err(SmmuError::NoSuchStream(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let physical = function.physical.and_then(|(physical, _)| accelerator::at(physical)).unwrap_or(function);
    accelerator::connect(&function.found, physical.found.function.rid, &function.connection).map_err(GuestError::Function)?;
    with(id, |guest| {
        guest.streams.retain(|other| *other != stream);
        Ok(())
    })?;
    function.publish(index).map_err(GuestError::Function)?;
    Ok(())
}

/// Does for a guest what it asked the SMMU that it believes to own: invalidations of its stage 1 and of its contexts.
///
/// # Errors
/// `Smmu`: as the driver says; `NotForGuests` for any other command.
pub fn execute(id: GuestId, commands: &[Operation]) -> Result<(), GuestError> {
    Ok(with_smmu(|smmu| smmu.execute_for_guest(id.0, commands))?)
}

/// Ends a guest that has no functions any more.
///
/// # Errors
/// `NoGuest`, `InUse`; `Smmu`: what the invalidation returned, and the guest stays.
pub fn remove(id: GuestId) -> Result<(), GuestError> {
    with(id, |guest| if guest.streams.is_empty() { Ok(()) } else { Err(GuestError::InUse) })?;
    with_smmu(|smmu| smmu.free_vmid(id.0))?;
    let mut guests = GUESTS.lock();
    if let Some(at) = guests.iter().position(|guest| guest.id == id) {
        guests.swap_remove(at).table.destroy(&mut Tables, 0..firmware_kerncore::table::ENTRIES);
    }
    Ok(())
}

/// Puts the page there that a guest's device waits for, if it was offered for such an access.
pub(crate) fn resolve(fault: &TranslationFault, wanted: Stage2Fault) -> Verdict {
    let mut guests = GUESTS.lock();
    let Some(Guest { table, areas, .. }) = guests.iter_mut().find(|guest| guest.streams.contains(&fault.stream)) else {
        return Verdict::Abort;
    };
    // Of contexts and tables of stage 1 the SMMU only reads.
    let access = if wanted.class == Some(FaultClass::In) { fault.access } else { AccessKind::Read };
    let area = areas.iter().find(|area| area.holds(wanted.address) && area.allows(access));
    let Some(area) = area.filter(|_| fault.kind == FaultKind::Translation) else { return Verdict::Abort };
    let page = wanted.address.align_down(PAGE);
    let mapped = table.map(&mut Tables, page.0, Pa(area.base.0 + (page.0 - area.at.0)), PAGE, area.leaf(), Blocks::PagesOnly);
    // Faults are not cached: that the table is seen is all.
    barrier::dsb_ishst();
    match mapped {
        // Occupied: it was put there for another access that had stalled, too.
        Ok(()) | Err(TableError::Occupied { .. }) => Verdict::Retry,
        Err(_) => Verdict::Abort,
    }
}
