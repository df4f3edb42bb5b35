//! Physical memory in the kernel's hands: frames, and words and bytes inside them.
//!
//! The kernel maps all RAM that the device tree names identically, as normal write-back memory, and never unmaps it. Invariant of this file:
//! every access lies inside a frame of the map (checked), and no Rust reference is ever made to such memory: frames belong to page tables,
//! processes and devices, which change them at any moment.

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
words!(load8, store8, u8, AtomicU8);
words!(load16, store16, u16, AtomicU16);
words!(load32, store32, u32, AtomicU32);
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

/// Gives a frame back. Nothing may map it any more, and no TLB may hold it.
pub(crate) fn free_frame(at: Pa) {
    with_frames(|map| map.free(at));
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
    fn alloc_table(&mut self) -> Option<Pa> {
        alloc_frame()
    }
    fn free_table(&mut self, at: Pa) {
        free_frame(at);
    }
}
