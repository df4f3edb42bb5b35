//! The kernel's device domain: the table of transactions without SubstreamID, and the IOVAs that it maps.
//!
//! The window lies above RAM, so that a physical address given to a device by mistake, or an IOVA used as one, hits nothing.

use core::ops::Range;

use firmware_kerncore::ranges::RangeAllocator;
use firmware_kerncore::table::{Blocks, Leaf, PageTable, TableError};
use hal::{AllocError, Iova, Pa, Va};
use hal_aarch64::SpinLock;
use smmu_driver::{SmmuError, TableDescription};

use crate::memory::Tables;
use crate::smmu;

/// Device addresses that are handed out: the upper half of the 32-bit space, so that every device can emit them.
pub const IOVA_WINDOW: Range<u64> = 0x8000_0000..0x1_0000_0000;

struct Domain {
    table: PageTable,
    asid: u16,
    iovas: RangeAllocator,
}

static DOMAIN: SpinLock<Option<Domain>> = SpinLock::new(None);

/// Makes the domain, with an ASID of its own; returns the description of its table.
///
/// # Errors
/// `Memory`, `NoIdentifiers`.
pub(crate) fn init() -> Result<TableDescription, SmmuError> {
    let asid = smmu::with(|smmu| smmu.allocate_asid()).ok_or(SmmuError::Dead)??;
    let table = PageTable::new(&mut Tables).ok_or(SmmuError::Memory(AllocError::OutOfMemory))?;
    let description = smmu::describe(table.root(), asid);
    let iovas = RangeAllocator::new(IOVA_WINDOW.start, IOVA_WINDOW.end);
    *DOMAIN.lock() = Some(Domain { table, asid, iovas });
    Ok(description)
}

/// The description of the domain's table, to attach a stream with; `None` without an SMMU.
pub fn description() -> Option<TableDescription> {
    DOMAIN.lock().as_ref().map(|domain| smmu::describe(domain.table.root(), domain.asid))
}

fn map(pa: Pa, len_bytes: u64, align: u64, leaf: Leaf) -> Result<Iova, AllocError> {
    let mut domain = DOMAIN.lock();
    let domain = domain.as_mut().ok_or(AllocError::OutOfAddresses)?;
    let iova = domain.iovas.alloc(len_bytes, align.max(4096)).ok_or(AllocError::OutOfAddresses)?;
    if domain.table.map(&mut Tables, iova, pa, len_bytes, leaf, Blocks::PagesOnly).is_err() {
        // Pages before the one that failed are mapped but were never told to anybody.
        let _ = domain.table.unmap(&mut Tables, iova, len_bytes, |_, _, _| {});
        domain.iovas.free(iova, len_bytes);
        return Err(AllocError::OutOfMemory);
    }
    // The table is seen before any address that it maps: faults are not cached, so that is all.
    hal_aarch64::barrier::dsb_ishst();
    Ok(Iova(iova))
}

/// Maps RAM for devices.
///
/// # Errors
/// `OutOfAddresses`, `OutOfMemory`.
pub fn map_memory(pa: Pa, len_bytes: u64, align: u64) -> Result<Iova, AllocError> {
    map(pa, len_bytes, align, Leaf::Domain)
}

/// Maps device registers for devices: the MSI frame.
///
/// # Errors
/// `OutOfAddresses`, `OutOfMemory`.
pub fn map_device(pa: Pa, len_bytes: u64) -> Result<Iova, AllocError> {
    map(pa, len_bytes, 4096, Leaf::DomainDevice)
}

/// Takes a mapping away and gives its IOVAs back once no device can use it any more.
///
/// # Errors
/// What the invalidation returned; the range stays taken, and what it mapped must not be reused.
pub fn unmap(at: Iova, len_bytes: u64) -> Result<(), SmmuError> {
    let mut domain = DOMAIN.lock();
    let domain = domain.as_mut().ok_or(SmmuError::Dead)?;
    let done: Result<(), TableError> = domain.table.unmap(&mut Tables, at.0, len_bytes, |_, _, _| {});
    debug_assert!(done.is_ok(), "the domain maps pages only");
    smmu::invalidate_range(domain.asid, Va(at.0), len_bytes)?;
    domain.iovas.free(at.0, len_bytes);
    Ok(())
}

/// What an IOVA is mapped to.
pub fn lookup(at: Iova) -> Option<Pa> {
    DOMAIN.lock().as_ref()?.table.lookup(&Tables, at.0).map(|found| found.pa)
}
