//! Physical memory in the kernel's hands: frames, and words and bytes inside them.
//!
//! The kernel maps all RAM that the device tree names identically, as normal write-back memory, and never unmaps it. Invariant of this file:
//! every access lies inside a frame of the map (checked), and no Rust reference is ever made to such memory: frames belong to page tables,
//! processes and devices, which change them at any moment.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use firmware_kerncore::frames::{FRAME_BYTES, FrameMap};
use firmware_kerncore::table::TableMemory;
use hal::Pa;
use hal_aarch64::SpinLock;

static FRAMES: SpinLock<Option<FrameMap>> = SpinLock::new(None);
static IS_READY: AtomicBool = AtomicBool::new(false);
static FIRST: AtomicU64 = AtomicU64::new(0);
static END: AtomicU64 = AtomicU64::new(0);

/// Takes over the memory that is handed out from now on. Called once.
pub(crate) fn init(map: FrameMap, first: Pa, end: Pa) {
    FIRST.store(first.0, Ordering::Relaxed);
    END.store(end.0, Ordering::Relaxed);
    *FRAMES.lock() = Some(map);
    IS_READY.store(true, Ordering::Release);
}

fn with_frames<T>(f: impl FnOnce(&mut FrameMap) -> T) -> Option<T> {
    FRAMES.lock().as_mut().map(f)
}

/// Frames that can be taken.
pub fn free_frames() -> usize {
    with_frames(|map| map.free_frames()).unwrap_or(0)
}

/// Frames in all.
pub fn total_frames() -> usize {
    with_frames(|map| map.total_frames()).unwrap_or(0)
}

/// Frames that nobody can have while the value lives: a machine with less memory, for tests of what happens without.
#[derive(Debug)]
pub struct Withheld(Vec<(Pa, usize)>);

/// Takes free frames away until at most `keep` are left. Nothing is written to them.
pub fn withhold_frames(keep: usize) -> Withheld {
    let mut runs = Vec::new();
    let mut frames = free_frames().saturating_sub(keep);
    while frames > 0 && free_frames() > keep {
        let wanted = frames.min(free_frames() - keep);
        match with_frames(|map| map.alloc_run(wanted, FRAME_BYTES)).flatten() {
            Some(at) => runs.push((at, wanted)),
            None => frames = wanted / 2,
        }
    }
    Withheld(runs)
}

impl Drop for Withheld {
    fn drop(&mut self) {
        for (at, frames) in self.0.drain(..) {
            free_run(at, frames);
        }
    }
}

/// A pointer to `len_bytes` bytes of RAM.
///
/// # Panics
/// If they are not RAM that the kernel manages.
fn pointer(at: Pa, len_bytes: usize) -> *mut u8 {
    let end = at.0.checked_add(len_bytes as u64);
    let inside = at.0 >= FIRST.load(Ordering::Relaxed) && end.is_some_and(|end| end <= END.load(Ordering::Relaxed));
    assert!(inside, "{at}+{len_bytes:#x} is not the kernel's to touch");
    core::ptr::with_exposed_provenance_mut(at.0 as usize)
}

macro_rules! words {
    ($load:ident, $store:ident, $t:ty, $atomic:ty) => {
        /// Loads a naturally aligned word in one access.
        pub(crate) fn $load(at: Pa) -> $t {
            assert!(at.is_aligned(size_of::<$t>() as u64), "{at} is misaligned");
            let word = pointer(at, size_of::<$t>());
            // SAFETY: mapped, aligned RAM (both checked), accessed only as atomics or by copies, never by reference.
            unsafe { <$atomic>::from_ptr(word.cast()) }.load(Ordering::Relaxed)
        }
        /// Stores a naturally aligned word in one access.
        pub(crate) fn $store(at: Pa, value: $t) {
            assert!(at.is_aligned(size_of::<$t>() as u64), "{at} is misaligned");
            let word = pointer(at, size_of::<$t>());
            // SAFETY: as for the load.
            unsafe { <$atomic>::from_ptr(word.cast()) }.store(value, Ordering::Relaxed);
        }
    };
}
words!(load64, store64, u64, AtomicU64);

/// Copies out of RAM.
pub(crate) fn copy_from(at: Pa, into: &mut [u8]) {
    let from = pointer(at, into.len());
    // SAFETY: mapped RAM of that length; a process or device that changes it meanwhile only changes the bytes got.
    unsafe { core::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
}

/// Copies into RAM.
pub(crate) fn copy_to(at: Pa, data: &[u8]) {
    let to = pointer(at, data.len());
    // SAFETY: as for copying out.
    unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len()) };
}

/// Zeroes RAM.
pub(crate) fn zero(at: Pa, len_bytes: usize) {
    let to = pointer(at, len_bytes);
    // SAFETY: as for copying in.
    unsafe { hal_aarch64::zero::zero_memory(to, len_bytes) };
}

/// Takes a zeroed frame.
pub(crate) fn alloc_frame() -> Option<Pa> {
    let at = with_frames(FrameMap::alloc)??;
    zero(at, FRAME_BYTES as usize);
    Some(at)
}

/// Gives a frame back: it is free after its last holder. The holder may not map it any more, and no TLB may hold it for him.
pub(crate) fn free_frame(at: Pa) {
    with_frames(|map| map.free(at));
}

/// Takes a frame with the contents of another one.
pub(crate) fn copy_frame(from: Pa) -> Option<Pa> {
    let at = with_frames(FrameMap::alloc)??;
    let (from, to) = (pointer(from, FRAME_BYTES as usize), pointer(at, FRAME_BYTES as usize));
    // SAFETY: two frames of RAM that do not overlap, one of them the caller's alone; a device that writes the other one changes the copy.
    unsafe { core::ptr::copy_nonoverlapping(from, to, FRAME_BYTES as usize) };
    Some(at)
}

/// Gives a frame one more holder; false if it has as many as can be counted.
pub(crate) fn share_frame(at: Pa) -> bool {
    with_frames(|map| map.share(at)).unwrap_or(false)
}

/// True if a frame has more than one holder.
pub(crate) fn is_shared(at: Pa) -> bool {
    with_frames(|map| map.is_shared(at)).unwrap_or(false)
}

/// Takes zeroed frames in a row.
pub(crate) fn alloc_run(frames: usize, align_bytes: u64) -> Option<Pa> {
    let at = with_frames(|map| map.alloc_run(frames, align_bytes))??;
    zero(at, frames * FRAME_BYTES as usize);
    Some(at)
}

/// Gives a run back.
pub(crate) fn free_run(at: Pa, frames: usize) {
    with_frames(|map| map.free_run(at, frames));
}

/// The first of `entries` descriptors in a row: checked once for all of them.
fn run(at: Pa, entries: u64) -> *mut u64 {
    assert!(at.is_aligned(8) && entries <= 512, "{at} is no row of descriptors");
    pointer(at, entries as usize * 8).cast()
}

/// One of the descriptors of a [`run`].
fn slot<'a>(slots: *mut u64, index: u64) -> &'a AtomicU64 {
    // SAFETY: mapped, aligned RAM, index below the number of descriptors that `run` checked, accessed as atomics only.
    unsafe { AtomicU64::from_ptr(slots.wrapping_add(index as usize)) }
}

/// Frames in a row that are RAM, mapped, and stay so while the value lives: what was checked once need not be checked at each access.
#[derive(Debug)]
pub(crate) struct Room {
    base: *mut u8,
    len_bytes: usize,
}

// SAFETY: a pointer to memory that is only accessed as atomics or by copies.
unsafe impl Send for Room {}
// SAFETY: as above.
unsafe impl Sync for Room {}

macro_rules! room_words {
    ($load:ident, $store:ident, $t:ty, $atomic:ty) => {
        /// Loads a naturally aligned word in one access.
        pub(crate) fn $load(&self, offset: usize) -> $t {
            // SAFETY: inside the room and aligned (checked by `at`), accessed as atomics or by copies only.
            unsafe { <$atomic>::from_ptr(self.at(offset, size_of::<$t>()).cast()) }.load(Ordering::Relaxed)
        }
        /// Stores a naturally aligned word in one access.
        pub(crate) fn $store(&self, offset: usize, value: $t) {
            // SAFETY: as for the load.
            unsafe { <$atomic>::from_ptr(self.at(offset, size_of::<$t>()).cast()) }.store(value, Ordering::Relaxed);
        }
    };
}

impl Room {
    /// The bytes of a run of frames.
    ///
    /// # Panics
    /// If they are not RAM that the kernel manages.
    pub(crate) fn new(base: Pa, len_bytes: usize) -> Self {
        assert!(base.is_aligned(FRAME_BYTES), "{base} is no frame");
        Self { base: pointer(base, len_bytes), len_bytes }
    }

    /// The place of an access, a power of two of bytes.
    fn at(&self, offset: usize, bytes: usize) -> *mut u8 {
        assert!(offset <= self.len_bytes && bytes <= self.len_bytes - offset && offset & (bytes - 1) == 0, "access outside the buffer");
        self.base.wrapping_add(offset)
    }

    room_words!(load8, store8, u8, AtomicU8);
    room_words!(load16, store16, u16, AtomicU16);
    room_words!(load32, store32, u32, AtomicU32);
    room_words!(load64, store64, u64, AtomicU64);
}

/// Page-table words in frames of RAM.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Tables;

impl TableMemory for Tables {
    fn read(&self, at: Pa) -> u64 {
        load64(at)
    }
    fn write(&mut self, at: Pa, descriptor: u64) {
        store64(at, descriptor);
    }
    fn write_run(&mut self, at: Pa, entries: u64, descriptor: u64, step: u64) {
        let slots = run(at, entries);
        for index in 0..entries {
            slot(slots, index).store(descriptor + index * step, Ordering::Relaxed);
        }
    }
    fn clear_run(&mut self, at: Pa, entries: u64, mut old: impl FnMut(u64, u64)) {
        let slots = run(at, entries);
        for index in 0..entries {
            let descriptor = slot(slots, index).load(Ordering::Relaxed);
            if descriptor & 1 != 0 {
                slot(slots, index).store(0, Ordering::Relaxed);
                old(index, descriptor);
            }
        }
    }
    fn first_valid(&self, at: Pa, entries: u64) -> Option<u64> {
        let slots = run(at, entries);
        (0..entries).find(|index| slot(slots, *index).load(Ordering::Relaxed) & 1 != 0)
    }
    fn alloc_table(&mut self) -> Option<Pa> {
        alloc_frame()
    }
    fn free_table(&mut self, at: Pa) {
        free_frame(at);
    }
}
