//! The global allocator: one heap per writable level, chosen by who asks. EL0 has none.

use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;
use core::ptr::{NonNull, null_mut};

use hal_aarch64::{SpinLock, cpu};
use linked_list_allocator::Heap;

use crate::level::{Level, level};

static EL1_HEAP: SpinLock<Heap> = SpinLock::new(Heap::empty());
#[unsafe(link_section = ".bss.el2")]
static EL2_HEAP: SpinLock<Heap> = SpinLock::new(Heap::empty());

struct LevelHeaps;

#[global_allocator]
static HEAPS: LevelHeaps = LevelHeaps;

/// Gives a level its heap.
///
/// # Safety
/// `room` is memory that belongs to the level and that nothing else uses, and the level has no heap yet.
pub unsafe fn init(level: Level, room: Range<usize>) {
    let heap = match level {
        Level::El1 => &EL1_HEAP,
        Level::El2 => &EL2_HEAP,
        Level::El0 => return,
    };
    // SAFETY: the caller's promise.
    unsafe { heap.lock().init(core::ptr::with_exposed_provenance_mut(room.start), room.len()) };
}

/// Bytes of the caller's heap that are in use.
pub fn heap_used() -> usize {
    with_heap(|heap| heap.used()).unwrap_or(0)
}

/// Runs `f` on the caller's heap with interrupts masked, so that no handler of the same level can meet the lock taken.
fn with_heap<T>(f: impl FnOnce(&mut Heap) -> T) -> Option<T> {
    let heap = match level() {
        Level::El0 => return None,
        Level::El1 => &EL1_HEAP,
        Level::El2 => &EL2_HEAP,
    };
    Some(cpu::without_interrupts(|| f(&mut heap.lock())))
}

// SAFETY: each level allocates from its own heap under its lock; a block is freed by the level that got it, since levels share no boxes.
unsafe impl GlobalAlloc for LevelHeaps {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        with_heap(|heap| heap.allocate_first_fit(layout).ok()).flatten().map_or(null_mut(), NonNull::as_ptr)
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller frees what `alloc` gave with this layout.
            with_heap(|heap| unsafe { heap.deallocate(block, layout) });
        }
    }
}
