//! The one place where the library touches mapped memory.
//!
//! Invariant: a [`UserRegion`] spans memory that stays mapped, readable and writable, for as long as the value lives, and that no Rust
//! reference points to: the device writes it behind the compiler's back, so every access is volatile and of a fixed width.
#![allow(unsafe_code)]

use crate::SharedRegion;

/// A region that the kernel has mapped into this process.
#[derive(Debug)]
pub struct UserRegion {
    base: *mut u8,
    len_bytes: usize,
}

impl UserRegion {
    /// Takes the region at address `at`.
    ///
    /// # Safety
    /// 1. `[at, at + len_bytes)` is one mapping of this process, readable and writable, and stays so while the value lives.
    /// 2. `at` is a multiple of 8.
    /// 3. No reference to any byte of it exists meanwhile.
    pub unsafe fn new(at: u64, len_bytes: usize) -> Self {
        Self { base: core::ptr::with_exposed_provenance_mut(at as usize), len_bytes }
    }

    /// The place of `bytes` bytes at `offset`.
    ///
    /// # Panics
    /// If they are not inside the region, or not aligned to 4 bytes.
    #[inline(always)]
    fn place(&self, offset: usize, bytes: usize) -> *mut u8 {
        assert!(offset.is_multiple_of(4) && offset <= self.len_bytes && bytes <= self.len_bytes - offset);
        self.base.wrapping_add(offset)
    }
}

impl SharedRegion for UserRegion {
    #[inline(always)]
    fn read32(&self, offset: usize) -> u32 {
        let place = self.place(offset, 4).cast::<u32>();
        // SAFETY: `place` is inside the mapping and 4-aligned (checked), the mapping is live (invariant).
        unsafe { place.read_volatile() }
    }

    #[inline(always)]
    fn write64(&self, offset: usize, value: u64) {
        assert!(offset.is_multiple_of(8));
        let place = self.place(offset, 8).cast::<u64>();
        // SAFETY: `place` is inside the mapping and 8-aligned (checked), the mapping is live (invariant).
        unsafe { place.write_volatile(value) }
    }

    #[inline(always)]
    fn write_entry(&self, offset: usize, words: &[u64; 16]) {
        assert!(offset.is_multiple_of(8));
        let place = self.place(offset, 128).cast::<u64>();
        for (i, word) in words.iter().enumerate() {
            // SAFETY: `place + i` is one of 16 words whose 128 bytes are inside the mapping (checked), 8-aligned, live (invariant).
            unsafe { place.wrapping_add(i).write_volatile(*word) }
        }
    }

    #[inline(always)]
    fn read_entry(&self, offset: usize, words: &mut [u64; 16]) {
        assert!(offset.is_multiple_of(8));
        let place = self.place(offset, 128).cast::<u64>();
        for (i, word) in words.iter_mut().enumerate() {
            // SAFETY: `place + i` is one of 16 words whose 128 bytes are inside the mapping (checked), 8-aligned, live (invariant).
            *word = unsafe { place.wrapping_add(i).read_volatile() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;

    #[test]
    fn accesses_land_where_they_say() {
        let memory = Box::leak(Box::new([0u64; 40]));
        let at = core::ptr::from_mut(memory).cast::<u8>().expose_provenance() as u64;
        // SAFETY: the leaked box lives for ever, is 8-aligned, and is used through the region only from here on.
        let region = unsafe { UserRegion::new(at, 320) };
        region.write64(8, 0x1122_3344_5566_7788);
        assert_eq!((region.read32(8), region.read32(12)), (0x5566_7788, 0x1122_3344));
        let words = core::array::from_fn(|i| i as u64 * 3);
        region.write_entry(192, &words);
        let mut back = [0; 16];
        region.read_entry(192, &mut back);
        assert_eq!(back, words);
        assert_eq!((region.read32(184), region.read32(200)), (0, 3));
    }

    #[test]
    fn accesses_outside_are_refused() {
        // SAFETY: an empty region has no byte to access.
        let region = unsafe { UserRegion::new(0, 0) };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| region.read32(0))).is_err());
    }
}
