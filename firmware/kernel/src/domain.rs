//! The kernel's device domains: tables of transactions without SubstreamID, and the IOVAs that they map.
//!
//! One domain serves all devices whose processes have tables of their own. A device without SubstreamIDs has a domain for itself: its one table
//! holds the kernel's memory for it and, at the process's own addresses, what a process has reserved for it.
//!
//! The window of IOVAs lies above RAM, so that a physical address given to a device by mistake, or an IOVA used as one, hits nothing; and below
//! the addresses of processes, so that the two never meet in one table.

use alloc::vec::Vec;
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

/// Names a domain.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct DomainId(usize);

static DOMAINS: SpinLock<Vec<Domain>> = SpinLock::new(Vec::new());

fn with<T>(id: DomainId, f: impl FnOnce(&mut Domain) -> T) -> Option<T> {
    DOMAINS.lock().get_mut(id.0).map(f)
}

/// Makes the common domain, with an ASID of its own; returns the description of its table.
///
/// # Errors
/// `Memory`, `NoIdentifiers`.
pub(crate) fn init() -> Result<TableDescription, SmmuError> {
    let id = make()?;
    description_of(id).ok_or(SmmuError::Dead)
}

/// Makes one more domain, with an ASID of its own.
///
/// # Errors
/// `Memory`, `NoIdentifiers`.
pub(crate) fn make() -> Result<DomainId, SmmuError> {
    let asid = smmu::with(|smmu| smmu.allocate_asid()).ok_or(SmmuError::Dead)??;
    let table = PageTable::new(&mut Tables).ok_or(SmmuError::Memory(AllocError::OutOfMemory))?;
    let iovas = RangeAllocator::new(IOVA_WINDOW.start, IOVA_WINDOW.end);
    let mut domains = DOMAINS.lock();
    domains.push(Domain { table, asid, iovas });
    Ok(DomainId(domains.len() - 1))
}

/// The description of a domain's table, to attach a stream with.
pub(crate) fn description_of(id: DomainId) -> Option<TableDescription> {
    with(id, |domain| smmu::describe(domain.table.root(), domain.asid))
}

/// The description of the common domain's table; `None` without an SMMU.
pub fn description() -> Option<TableDescription> {
    description_of(DomainId::default())
}

/// Maps memory at an address of a process's, for a device that has this domain for itself.
///
/// # Errors
/// `OutOfAddresses`, `OutOfMemory`.
pub(crate) fn map_at(id: DomainId, at: Va, pa: Pa, len_bytes: u64) -> Result<(), AllocError> {
    let mapped = with(id, |domain| {
        let mapped = domain.table.map(&mut Tables, at.0, pa, len_bytes, Leaf::Domain, Blocks::PagesOnly);
        if mapped.is_err() {
            let _ = domain.table.unmap(&mut Tables, at.0, len_bytes, |_, _, _| {});
        }
        mapped
    });
    hal_aarch64::barrier::dsb_ishst();
    match mapped {
        Some(Ok(())) => Ok(()),
        Some(Err(_)) => Err(AllocError::OutOfMemory),
        None => Err(AllocError::OutOfAddresses),
    }
}

/// Takes such a mapping away.
///
/// # Errors
/// What the invalidation returned: what was mapped must not be reused.
pub(crate) fn unmap_at(id: DomainId, at: Va, len_bytes: u64) -> Result<(), SmmuError> {
    with(id, |domain| {
        let _ = domain.table.unmap(&mut Tables, at.0, len_bytes, |_, _, _| {});
        smmu::invalidate_range(domain.asid, at, len_bytes)
    })
    .unwrap_or(Err(SmmuError::Dead))
}

fn map(id: DomainId, pa: Pa, len_bytes: u64, align: u64, leaf: Leaf) -> Result<Iova, AllocError> {
    let mut domains = DOMAINS.lock();
    let domain = domains.get_mut(id.0).ok_or(AllocError::OutOfAddresses)?;
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

/// Maps RAM for the devices of the common domain.
///
/// # Errors
/// `OutOfAddresses`, `OutOfMemory`.
pub fn map_memory(pa: Pa, len_bytes: u64, align: u64) -> Result<Iova, AllocError> {
    map_memory_in(DomainId::default(), pa, len_bytes, align)
}

/// Maps RAM for the devices of a domain.
///
/// # Errors
/// `OutOfAddresses`, `OutOfMemory`.
pub(crate) fn map_memory_in(id: DomainId, pa: Pa, len_bytes: u64, align: u64) -> Result<Iova, AllocError> {
    map(id, pa, len_bytes, align, Leaf::Domain)
}

/// Maps device registers for devices: the MSI frame.
///
/// # Errors
/// `OutOfAddresses`, `OutOfMemory`.
pub(crate) fn map_device(id: DomainId, pa: Pa, len_bytes: u64) -> Result<Iova, AllocError> {
    map(id, pa, len_bytes, 4096, Leaf::DomainDevice)
}

/// Takes a mapping of the common domain away: see [`unmap_in`].
///
/// # Errors
/// As [`unmap_in`].
pub fn unmap(at: Iova, len_bytes: u64) -> Result<(), SmmuError> {
    unmap_in(DomainId::default(), at, len_bytes)
}

/// Takes a mapping away and gives its IOVAs back once no device can use it any more.
///
/// # Errors
/// What the invalidation returned; the range stays taken, and what it mapped must not be reused.
pub(crate) fn unmap_in(id: DomainId, at: Iova, len_bytes: u64) -> Result<(), SmmuError> {
    let mut domains = DOMAINS.lock();
    let domain = domains.get_mut(id.0).ok_or(SmmuError::Dead)?;
    let done: Result<(), TableError> = domain.table.unmap(&mut Tables, at.0, len_bytes, |_, _, _| {});
    debug_assert!(done.is_ok(), "the domain maps pages only");
    smmu::invalidate_range(domain.asid, Va(at.0), len_bytes)?;
    domain.iovas.free(at.0, len_bytes);
    Ok(())
}

/// What an IOVA of the common domain is mapped to.
pub fn lookup(at: Iova) -> Option<Pa> {
    with(DomainId::default(), |domain| domain.table.lookup(&Tables, at.0).map(|found| found.pa)).flatten()
}
