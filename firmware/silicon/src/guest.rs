//! Guest memory as the models' physical memory: the only file that touches it.
//!
//! Invariant: an access ends inside RAM below the image or inside EL1's room, at EL2's alias; a read may also end inside the shared room, which every
//! level may read. Everything else (EL2's room, the trace, devices) is refused, whatever a descriptor says. The bytes belong to no Rust object of EL2 and may change under us: nothing is read twice.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use firmware_platform::{DTB_BASE, IMAGE_BASE, RAM_BASE};
use hal::{BusError, Pa, PhysMemory};

use crate::lines;
use crate::memory::GUEST_ALIAS;

/// A device tree is taken up to this length.
const TREE_BYTES_MAX: usize = 0x10_0000;

/// The payload's memory.
#[derive(Clone, Debug)]
pub struct GuestMemory {
    el1_room: Range<usize>,
    shared: Range<usize>,
}

impl GuestMemory {
    /// Memory of this machine, given the image's rooms.
    pub const fn new(el1_room: Range<usize>, shared: Range<usize>) -> Self {
        Self { el1_room, shared }
    }

    /// EL2's pointer to `len_bytes` bytes at `at`, if all of them are the payload's.
    #[inline]
    fn pointer(&self, at: Pa, len_bytes: usize) -> Result<*mut u8, BusError> {
        let start = at.0 as usize;
        let end = start.checked_add(len_bytes).ok_or(BusError)?;
        let is_ram = start >= RAM_BASE as usize && end <= IMAGE_BASE as usize;
        if is_ram || (start >= self.el1_room.start && end <= self.el1_room.end) {
            return Ok(core::ptr::with_exposed_provenance_mut(start + GUEST_ALIAS));
        }
        Err(BusError)
    }

    /// EL2's pointer to `len_bytes` bytes at `at`, if the payload may read all of them: its own, or code and constants of the image.
    #[inline]
    fn readable(&self, at: Pa, len_bytes: usize) -> Result<*const u8, BusError> {
        let start = at.0 as usize;
        if self.shared.contains(&start) && len_bytes <= self.shared.end - start {
            return Ok(core::ptr::with_exposed_provenance(start));
        }
        self.pointer(at, len_bytes).map(<*mut u8>::cast_const)
    }

    #[inline]
    fn word(&self, at: Pa) -> Result<&AtomicU64, BusError> {
        if !at.is_aligned(8) {
            return Err(BusError);
        }
        let pointer = self.pointer(at, 8)?;
        // SAFETY: eight aligned bytes of mapped memory that is never unmapped; only accessed as memory, by atomics here.
        Ok(unsafe { AtomicU64::from_ptr(pointer.cast()) })
    }

    /// Reads an instruction word: from guest memory, or from the shared room if the kernel is ours.
    ///
    /// # Errors
    /// [`BusError`] if the address is neither.
    pub fn fetch(&self, at: Pa) -> Result<u32, BusError> {
        if !at.is_aligned(4) {
            return Err(BusError);
        }
        let pointer = self.readable(at, 4)?.cast::<u32>();
        // SAFETY: four aligned bytes of mapped memory.
        Ok(unsafe { pointer.read_volatile() })
    }
}

impl PhysMemory for GuestMemory {
    fn read(&mut self, at: Pa, out: &mut [u8]) -> Result<(), BusError> {
        let from = self.readable(at, out.len())?;
        // SAFETY: the source is mapped for that length and is no Rust object; a concurrent store of the payload can only change the bytes got.
        unsafe { core::ptr::copy_nonoverlapping(from, out.as_mut_ptr(), out.len()) };
        Ok(())
    }

    fn write(&mut self, at: Pa, data: &[u8]) -> Result<(), BusError> {
        if let Ok(word) = <[u8; 4]>::try_from(data)
            && lines::is_msi_doorbell(at)
        {
            return lines::pend_msi(u32::from_le_bytes(word));
        }
        let to = self.pointer(at, data.len())?;
        // SAFETY: as for reads.
        unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len()) };
        Ok(())
    }

    fn read64(&mut self, at: Pa) -> Result<u64, BusError> {
        Ok(self.word(at)?.load(Ordering::Acquire))
    }

    fn write64(&mut self, at: Pa, value: u64) -> Result<(), BusError> {
        self.word(at)?.store(value, Ordering::Release);
        Ok(())
    }

    fn compare_exchange64(&mut self, at: Pa, current: u64, new: u64) -> Result<u64, BusError> {
        Ok(match self.word(at)?.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(found) | Err(found) => found,
        })
    }
}

/// Runs `f` on the flattened device tree where the runner put it, if its header is one.
///
/// # Safety
/// No payload runs yet on any core, and none starts before this returns: the bytes are lent as a slice.
pub unsafe fn with_device_tree<T>(f: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let start = core::ptr::with_exposed_provenance::<u8>(DTB_BASE as usize + GUEST_ALIAS);
    // SAFETY: guest RAM is mapped at the alias; by the caller's promise the bytes do not change while the slice is used.
    let header = unsafe { core::slice::from_raw_parts(start, 8) };
    if header[..4] != [0xd0, 0x0d, 0xfe, 0xed] {
        return None;
    }
    let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
    if len > TREE_BYTES_MAX {
        return None;
    }
    // SAFETY: as above; the tree's area is inside RAM by its bounded length.
    Some(f(unsafe { core::slice::from_raw_parts(start, len) }))
}
