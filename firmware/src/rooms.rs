//! The rooms of the image, as the linker laid them out.

use core::ops::Range;

unsafe extern "C" {
    static __image_start: u8;
    static __shared_end: u8;
    static __el2_start: u8;
    static __el2_end: u8;
    static __el2_heap_start: u8;
    static __el2_heap_end: u8;
    static __el1_start: u8;
    static __el1_end: u8;
    static __el1_heap_start: u8;
    static __el1_heap_end: u8;
}

fn range(start: *const u8, end: *const u8) -> Range<usize> {
    start as usize..end as usize
}

/// Code and constants: read-only and executable at every level.
pub fn shared_room() -> Range<usize> {
    range(&raw const __image_start, &raw const __shared_end)
}

/// What EL2 writes.
pub fn el2_room() -> Range<usize> {
    range(&raw const __el2_start, &raw const __el2_end)
}

/// What EL1 writes: data, stack of the boot core, heap.
pub fn el1_room() -> Range<usize> {
    range(&raw const __el1_start, &raw const __el1_end)
}

/// EL2's heap.
pub fn el2_heap() -> Range<usize> {
    range(&raw const __el2_heap_start, &raw const __el2_heap_end)
}

/// EL1's heap.
pub fn el1_heap() -> Range<usize> {
    range(&raw const __el1_heap_start, &raw const __el1_heap_end)
}
