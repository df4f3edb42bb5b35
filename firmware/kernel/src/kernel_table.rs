//! The kernel's own translation table: RAM, image and devices, identically mapped, in every process's table too.
//!
//! All entries are global and closed to EL0, but for the image's code and constants, which processes run and read. Devices are mapped while
//! the machine is being brought up; after the first process was made no root entry changes any more, so no process's copy can lack one.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use firmware_kerncore::table::{Blocks, Leaf, PageTable, ROOT_ENTRY_BYTES, TableError};
use firmware_kerncore::tree::Block;
use hal::Pa;
use hal_aarch64::{MmioWindow, SpinLock, barrier, mmu};
use uacce_abi::USER_ADDRESSES;

use crate::memory::Tables;

/// Bits of virtual addresses.
pub(crate) const VA_BITS: u64 = mmu::VA_BITS;
/// Root entries of a process's own addresses.
pub(crate) const USER_ENTRIES: Range<usize> =
    (USER_ADDRESSES.start / ROOT_ENTRY_BYTES) as usize..(USER_ADDRESSES.end / ROOT_ENTRY_BYTES) as usize;

static TABLE: SpinLock<Option<PageTable>> = SpinLock::new(None);
static ROOT: AtomicU64 = AtomicU64::new(0);
static IS_SEALED: AtomicU64 = AtomicU64::new(0);

/// Makes the kernel's table: `ram` and `data` for the kernel, `shared` for everybody, and puts it in the boot table's place.
///
/// # Errors
/// What the table said.
pub(crate) fn init(ram: &[Block], shared: &Range<usize>, data: &Range<usize>) -> Result<(), TableError> {
    let mut table = PageTable::new(&mut Tables).ok_or(TableError::OutOfMemory)?;
    let mut identity = |base: u64, len_bytes: u64, leaf| table.map(&mut Tables, base, Pa(base), len_bytes, leaf, Blocks::Allowed);
    for block in ram {
        identity(block.base, block.len_bytes, Leaf::KernelData)?;
    }
    identity(shared.start as u64, shared.len() as u64, Leaf::Text)?;
    identity(data.start as u64, data.len() as u64, Leaf::KernelData)?;
    let root = table.root().0;
    *TABLE.lock() = Some(table);
    ROOT.store(root, Ordering::Relaxed);
    // SAFETY: 1. it maps the image and all RAM identically, as the boot table does; 2. one core runs at EL1.
    unsafe { mmu::replace_el1(root) };
    Ok(())
}

/// Switches to the kernel's own table, ASID 0: no process's memory is reachable.
pub(crate) fn activate() {
    // SAFETY: it maps all that the kernel uses, identically, as every process's table does.
    unsafe { mmu::set_ttbr0_el1(ROOT.load(Ordering::Relaxed)) };
}

/// Copies the kernel's entries into a process's table.
pub(crate) fn share_with(process: &mut PageTable) {
    IS_SEALED.store(1, Ordering::Relaxed);
    if let Some(kernel) = TABLE.lock().as_ref() {
        process.share_root_entries(&mut Tables, kernel, 0..USER_ENTRIES.start);
        process.share_root_entries(&mut Tables, kernel, USER_ENTRIES.end..firmware_kerncore::table::ENTRIES);
    }
}

/// A device could not be mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapDeviceError {
    /// Processes exist already.
    Sealed,
    /// It lies where processes have their addresses, or beyond all addresses.
    OutOfReach,
    /// No memory, or something lies there.
    Table(TableError),
}

/// Maps device registers; mapping a page again is harmless.
///
/// # Errors
/// See [`MapDeviceError`].
pub fn map_device(registers: Block) -> Result<MmioWindow, MapDeviceError> {
    let start = registers.base & !0xfff;
    let end = (registers.base + registers.len_bytes).next_multiple_of(4096);
    if IS_SEALED.load(Ordering::Relaxed) != 0 {
        return Err(MapDeviceError::Sealed);
    }
    let hits_users = start < USER_ADDRESSES.end && end > USER_ADDRESSES.start;
    if hits_users || end > 1 << VA_BITS || registers.len_bytes == 0 {
        return Err(MapDeviceError::OutOfReach);
    }
    let mut table = TABLE.lock();
    let table = table.as_mut().ok_or(MapDeviceError::OutOfReach)?;
    let mut at = start;
    while at < end {
        // A page that is there already was mapped by an earlier call for a neighbouring device.
        let mapped = table.lookup(&Tables, at).map(|found| found.len_bytes - at % found.len_bytes);
        let step = match mapped {
            Some(rest) => rest,
            None => {
                let block = 2 << 20;
                let fits = at.is_multiple_of(block) && end - at >= block;
                let len = if fits { block } else { 4096 };
                table.map(&mut Tables, at, Pa(at), len, Leaf::KernelDevice, Blocks::Allowed).map_err(MapDeviceError::Table)?;
                len
            }
        };
        at += step;
    }
    barrier::dsb_ishst();
    barrier::isb();
    // SAFETY: just mapped as device memory, never unmapped; it lies outside RAM, so Rust owns nothing there.
    Ok(unsafe { MmioWindow::new(registers.base as usize, registers.len_bytes) })
}
