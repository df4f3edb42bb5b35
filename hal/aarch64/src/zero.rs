//! Zeroing memory by whole cache lines.

use core::arch::asm;

use crate::read_sysreg;

/// DCZID_EL0.DZP: `dc zva` is prohibited.
const PROHIBITED: u64 = 1 << 4;

/// Blocks that are zeroed between two looks at the end: with the usual 64 bytes a page.
const TURN_BLOCKS: usize = 64;

/// Zeroes `len_bytes` bytes from `at`: by `dc zva` where both are whole blocks of it, else by stores.
///
/// # Safety
/// The range is mapped writable as Normal memory, and no Rust reference to any of it exists.
pub unsafe fn zero_memory(at: *mut u8, len_bytes: usize) {
    let id = read_sysreg!("dczid_el0");
    let block = 4_usize << (id & 0xf);
    let start = at as usize;
    if id & PROHIBITED != 0 || !start.is_multiple_of(block) || !len_bytes.is_multiple_of(block) {
        // SAFETY: the caller's promise.
        return unsafe { core::ptr::write_bytes(at, 0, len_bytes) };
    }
    let end = start + len_bytes;
    let mut next = start;
    // Many blocks a turn: the loop's own instructions would otherwise be half of the work.
    while end - next >= TURN_BLOCKS * block {
        // SAFETY: zeroes `TURN_BLOCKS` blocks inside the caller's range.
        unsafe {
            asm!(
                ".rept {blocks}",
                "dc zva, {at}",
                "add {at}, {at}, {block}",
                ".endr",
                blocks = const TURN_BLOCKS,
                at = inout(reg) next,
                block = in(reg) block,
                options(nostack, preserves_flags),
            );
        };
    }
    while next < end {
        // SAFETY: zeroes one block inside the caller's range.
        unsafe { asm!("dc zva, {}", in(reg) next, options(nostack, preserves_flags)) };
        next += block;
    }
}
