//! The one place where the library touches mapped memory.
//!
//! Invariant: a [`UserQueueMemory`] points into two mappings that stay mapped, readable and writable, for as long as the value lives, and
//! that no Rust reference points to: the device writes them behind the compiler's back, so every access to them is volatile and of a fixed width: 128 bits
//! for entries, which nobody reads before the doorbell or the phase bit says so, 64 and 32 for what orders them.
//! The pointers are aligned and, with an index below the depth that is kept beside them, in bounds: both are checked once, at the start.
#![allow(unsafe_code)]

use core::marker::PhantomData;

use qm_spec::CQE_BYTES;

use crate::{QueueMemory, QueueRegions, RingEntry};

/// Words of 32 bits of a completion entry.
const CQE_WORDS32: usize = CQE_BYTES / 4;

/// A queue's regions as the kernel has mapped them into this process; its submission entries are `E`.
#[derive(Debug)]
pub struct UserQueueMemory<E> {
    submissions: *mut u128,
    completions: *mut u32,
    rx_stop: *mut u32,
    tx_stop: *mut u32,
    doorbell: *mut u64,
    sq_depth: u32,
    cq_depth: u32,
    entry: PhantomData<fn(E)>,
}

impl<E: RingEntry> UserQueueMemory<E> {
    /// Words of 128 bits of a submission entry.
    const WORDS128: usize = const {
        assert!(E::BYTES > 0 && E::BYTES.is_multiple_of(16));
        E::BYTES / 16
    };

    /// Takes the regions.
    ///
    /// # Safety
    /// 1. `[dus, dus + layout.len_bytes())` and `[mmio, mmio + mmio_bytes)` are mappings of this process, readable and writable, and stay
    ///    so while the value lives.
    /// 2. No reference to any byte of them exists meanwhile.
    ///
    /// # Panics
    /// If the rings do not have the depths' lengths, the doorbell lies outside its region, or an address is not a multiple of 8, of the shared
    /// region of 16.
    pub unsafe fn new(regions: &QueueRegions) -> Self {
        let QueueRegions { dus, layout, sq_depth, cq_depth, mmio, mmio_bytes, doorbell_offset } = *regions;
        assert!(layout.sq_bytes() == usize::from(sq_depth) * E::BYTES && layout.cq_bytes() == usize::from(cq_depth) * CQE_BYTES);
        assert!(mmio_bytes >= 8 && doorbell_offset as u64 <= mmio_bytes - 8);
        assert!(
            dus.is_multiple_of(16) && layout.sq_offset().is_multiple_of(16) && mmio.is_multiple_of(8) && doorbell_offset.is_multiple_of(8)
        );
        let shared = core::ptr::with_exposed_provenance_mut::<u8>(dus as usize);
        let registers = core::ptr::with_exposed_provenance_mut::<u8>(mmio as usize);
        Self {
            submissions: shared.wrapping_add(layout.sq_offset()).cast(),
            completions: shared.wrapping_add(layout.cq_offset()).cast(),
            rx_stop: shared.wrapping_add(layout.rx_stop_offset()).cast(),
            tx_stop: shared.wrapping_add(layout.tx_stop_offset()).cast(),
            doorbell: registers.wrapping_add(doorbell_offset).cast(),
            sq_depth: sq_depth.into(),
            cq_depth: cq_depth.into(),
            entry: PhantomData,
        }
    }

    #[inline(always)]
    fn submission(&self, index: u32) -> *mut u128 {
        assert!(index < self.sq_depth);
        self.submissions.wrapping_add(index as usize * Self::WORDS128)
    }

    #[inline(always)]
    fn completion(&self, index: u32, dword: usize) -> *mut u32 {
        assert!(index < self.cq_depth);
        self.completions.wrapping_add(index as usize * CQE_WORDS32 + dword)
    }
}

/// One 64-bit store with a base register only: a form that a hypervisor which answers for the device can decode. A volatile store may become
/// another one.
#[inline(always)]
fn store_doorbell(at: *mut u64, word: u64) {
    #[cfg(target_os = "none")]
    // SAFETY: in bounds, aligned and live (invariant). Not `nomem`: no access moves over it.
    unsafe {
        core::arch::asm!("str {word}, [{at}]", word = in(reg) word, at = in(reg) at, options(nostack, preserves_flags));
    }
    #[cfg(not(target_os = "none"))]
    // SAFETY: as above.
    unsafe {
        at.write_volatile(word);
    }
}

impl<E: RingEntry> QueueMemory<E> for UserQueueMemory<E> {
    #[inline(always)]
    fn is_tx_stopped(&self) -> bool {
        // SAFETY: in bounds, aligned and live (invariant).
        unsafe { self.tx_stop.read_volatile() != 0 }
    }

    #[inline(always)]
    fn is_rx_stopped(&self) -> bool {
        // SAFETY: in bounds, aligned and live (invariant).
        unsafe { self.rx_stop.read_volatile() != 0 }
    }

    #[inline(always)]
    fn write_entry(&self, index: u32, entry: &E) {
        let words = entry.words();
        let (from, to) = (words.as_ptr().cast::<[u64; 2]>(), self.submission(index));
        assert!(words.len() == 4 * Self::WORDS128 && from.is_aligned());
        for i in 0..Self::WORDS128 {
            // SAFETY: one of the pairs of 64-bit words that the slice holds; aligned (both checked), and borrowed.
            let [low, high] = unsafe { from.wrapping_add(i).read() };
            // SAFETY: one of the words of an entry of the ring (index checked), aligned and live (invariant).
            unsafe { to.wrapping_add(i).write_volatile(u128::from(low) | u128::from(high) << 64) }
        }
    }

    #[inline(always)]
    fn read_entry(&self, index: u32, into: &mut E) {
        let words = into.words_mut();
        let (from, to) = (self.submission(index), words.as_mut_ptr().cast::<[u64; 2]>());
        assert!(words.len() == 4 * Self::WORDS128 && to.is_aligned());
        for i in 0..Self::WORDS128 {
            // SAFETY: one of the words of an entry of the ring (index checked), aligned and live (invariant).
            let word = unsafe { from.wrapping_add(i).read_volatile() };
            // SAFETY: one of the pairs of 64-bit words that the slice holds; aligned (both checked), and borrowed mutably.
            unsafe { to.wrapping_add(i).write([word as u64, (word >> 64) as u64]) }
        }
    }

    #[inline(always)]
    fn completion_dw2(&self, index: u32) -> u32 {
        // SAFETY: a word of an entry of the ring (index checked), aligned and live (invariant).
        unsafe { self.completion(index, 2).read_volatile() }
    }

    #[inline(always)]
    fn completion_dw3(&self, index: u32) -> u32 {
        // SAFETY: a word of an entry of the ring (index checked), aligned and live (invariant).
        unsafe { self.completion(index, 3).read_volatile() }
    }

    #[inline(always)]
    fn ring_doorbell(&self, word: u64) {
        store_doorbell(self.doorbell, word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qm_spec::DusLayout;
    use std::boxed::Box;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use zip_spec::{SQE_BYTES, Sqe};

    /// The shared memory, aligned as a mapping is.
    #[repr(align(16))]
    struct Shared([u64; 1024]);

    /// Two entries of each kind, and a doorbell at 8: the shared memory, the doorbell page and both as regions.
    fn regions() -> (&'static [u64; 1024], &'static [u64; 4], QueueRegions) {
        let layout = DusLayout::new(SQE_BYTES, 2, 2, 4096);
        assert_eq!(layout.len_bytes(), 8192);
        let (Shared(dus), mmio) = (Box::leak(Box::new(Shared([0; 1024]))), Box::leak(Box::new([0u64; 4])));
        let at = |bytes: *const u64| bytes.expose_provenance() as u64;
        let regions = QueueRegions {
            dus: at(dus.as_ptr()),
            layout,
            sq_depth: 2,
            cq_depth: 2,
            mmio: at(mmio.as_ptr()),
            mmio_bytes: 32,
            doorbell_offset: 8,
        };
        (dus, mmio, regions)
    }

    /// Reads a word as the device would see it.
    fn seen(words: &[u64], index: usize) -> u64 {
        // SAFETY: the element of a leaked array, read as the memory that others write.
        unsafe { core::ptr::from_ref(&words[index]).read_volatile() }
    }

    #[test]
    fn accesses_land_where_they_say() {
        let (dus, mmio, regions) = regions();
        // SAFETY: the leaked arrays live for ever; the test looks at them by volatile reads only.
        let memory = unsafe { UserQueueMemory::<Sqe>::new(&regions) };
        let sqe = Sqe(core::array::from_fn(|i| i as u32 * 3 + 1));
        memory.write_entry(1, &sqe);
        let mut back = Sqe::ZERO;
        memory.read_entry(1, &mut back);
        assert_eq!(back, sqe);
        assert_eq!((seen(dus, 15), seen(dus, 16), seen(dus, 31), seen(dus, 32)), (0, 4 << 32 | 1, 94 << 32 | 91, 0));
        assert_eq!((memory.completion_dw2(0), memory.completion_dw3(1)), (0, 0));
        memory.ring_doorbell(0x1122_3344_5566_7788);
        assert_eq!((seen(mmio, 0), seen(mmio, 1)), (0, 0x1122_3344_5566_7788));
        assert!(!memory.is_rx_stopped() && !memory.is_tx_stopped());
    }

    #[test]
    fn indices_and_regions_out_of_range_are_refused() {
        let (_, _, regions) = regions();
        // SAFETY: the leaked arrays live for ever.
        let memory = unsafe { UserQueueMemory::<Sqe>::new(&regions) };
        let refuses = |access: &dyn Fn()| catch_unwind(AssertUnwindSafe(access)).is_err();
        assert!(refuses(&|| memory.write_entry(2, &Sqe::ZERO)) && refuses(&|| memory.read_entry(2, &mut Sqe::default())));
        assert!(refuses(&|| _ = memory.completion_dw3(2)) && refuses(&|| _ = memory.completion_dw2(u32::MAX)));
        for bad in [
            QueueRegions { sq_depth: 3, ..regions },
            QueueRegions { cq_depth: 1, ..regions },
            QueueRegions { doorbell_offset: 32, ..regions },
            QueueRegions { mmio: regions.mmio + 4, ..regions },
            QueueRegions { dus: regions.dus + 8, ..regions },
        ] {
            // SAFETY: the constructor panics before it keeps anything.
            assert!(refuses(&|| drop(unsafe { UserQueueMemory::<Sqe>::new(&bad) })), "{bad:?}");
        }
    }
}
