//! Page frames: which are free. Bookkeeping only; zeroing is the caller's.

use alloc::vec;
use alloc::vec::Vec;
use hal::Pa;

/// Bytes of a frame.
pub const FRAME_BYTES: u64 = 4096;

/// A range of physical memory, frame by frame.
///
/// Invariant: `free` is the number of clear bits below `frames`; bits past it are set.
#[derive(Debug)]
pub struct FrameMap {
    base: Pa,
    frames: usize,
    used: Vec<u64>,
    /// Holders of each used frame beyond the first.
    shares: Vec<u16>,
    free: usize,
    next: usize,
}

impl FrameMap {
    /// A map of the whole frames inside `base..base + len_bytes`, all free.
    pub fn new(base: Pa, len_bytes: u64) -> Self {
        let start = base.0.next_multiple_of(FRAME_BYTES);
        let end = (base.0 + len_bytes) & !(FRAME_BYTES - 1);
        let frames = (end.saturating_sub(start) / FRAME_BYTES) as usize;
        let mut used = vec![0; frames.div_ceil(64)];
        if !frames.is_multiple_of(64)
            && let Some(last) = used.last_mut()
        {
            *last = !0 << (frames % 64);
        }
        Self { base: Pa(start), frames, used, shares: vec![0; frames], free: frames, next: 0 }
    }

    /// Frames that can be taken.
    pub fn free_frames(&self) -> usize {
        self.free
    }

    /// Frames in all.
    pub fn total_frames(&self) -> usize {
        self.frames
    }

    /// True if the address lies in a frame of this map.
    pub fn contains(&self, at: Pa) -> bool {
        at.0 >= self.base.0 && at.0 < self.base.0 + self.frames as u64 * FRAME_BYTES
    }

    fn is_used(&self, frame: usize) -> bool {
        self.used[frame / 64] >> (frame % 64) & 1 != 0
    }

    fn take(&mut self, frame: usize) {
        self.used[frame / 64] |= 1 << (frame % 64);
        self.free -= 1;
    }

    /// Marks every frame that touches `base..base + len_bytes` as used for good. What lies outside the map is ignored.
    pub fn reserve(&mut self, base: Pa, len_bytes: u64) {
        let map_end = self.base.0 + self.frames as u64 * FRAME_BYTES;
        let start = base.0.clamp(self.base.0, map_end) & !(FRAME_BYTES - 1);
        let end = base.0.saturating_add(len_bytes).clamp(self.base.0, map_end);
        for at in (start..end).step_by(FRAME_BYTES as usize) {
            let frame = ((at - self.base.0) / FRAME_BYTES) as usize;
            if !self.is_used(frame) {
                self.take(frame);
            }
        }
    }

    /// Takes one frame.
    pub fn alloc(&mut self) -> Option<Pa> {
        let words = self.used.len();
        for step in 0..words {
            let word = (self.next + step) % words;
            let bit = self.used[word].trailing_ones() as usize;
            if bit < 64 {
                self.next = word;
                let frame = word * 64 + bit;
                self.take(frame);
                return Some(self.address(frame));
            }
        }
        None
    }

    /// Takes `count` frames in a row, the first aligned to `align_bytes`, a power of two of at least a frame; searched from the top so
    /// that long runs and single frames stay apart.
    pub fn alloc_run(&mut self, count: usize, align_bytes: u64) -> Option<Pa> {
        let last = self.frames.checked_sub(count)?;
        if count == 0 {
            return None;
        }
        let mut candidate = last;
        loop {
            let misaligned = self.address(candidate).offset_in(align_bytes) / FRAME_BYTES;
            candidate = candidate.checked_sub(misaligned as usize)?;
            match (candidate..candidate + count).rev().find(|frame| self.is_used(*frame)) {
                None => break,
                Some(blocker) => candidate = blocker.checked_sub(count)?,
            }
        }
        for frame in candidate..candidate + count {
            self.take(frame);
        }
        Some(self.address(candidate))
    }

    fn used_frame(&self, at: Pa) -> usize {
        assert!(self.contains(at) && at.is_aligned(FRAME_BYTES), "{at} is no frame");
        let frame = ((at.0 - self.base.0) / FRAME_BYTES) as usize;
        assert!(self.is_used(frame), "{at} was freed twice");
        frame
    }

    /// Gives a frame one more holder; false if it has as many as can be counted.
    ///
    /// # Panics
    /// As [`FrameMap::free`].
    pub fn share(&mut self, at: Pa) -> bool {
        let frame = self.used_frame(at);
        match self.shares[frame].checked_add(1) {
            Some(more) => self.shares[frame] = more,
            None => return false,
        }
        true
    }

    /// True if a frame has more than one holder.
    ///
    /// # Panics
    /// As [`FrameMap::free`].
    pub fn is_shared(&self, at: Pa) -> bool {
        self.shares[self.used_frame(at)] != 0
    }

    /// Gives a frame back: it has one holder less, and is free after the last.
    ///
    /// # Panics
    /// If it is not a frame of this map, or free already: the owner of the caller's books is wrong.
    pub fn free(&mut self, at: Pa) {
        let frame = self.used_frame(at);
        if self.shares[frame] != 0 {
            self.shares[frame] -= 1;
            return;
        }
        self.used[frame / 64] &= !(1 << (frame % 64));
        self.free += 1;
    }

    /// Gives a run back.
    ///
    /// # Panics
    /// As [`FrameMap::free`].
    pub fn free_run(&mut self, at: Pa, count: usize) {
        for frame in 0..count as u64 {
            self.free(Pa(at.0 + frame * FRAME_BYTES));
        }
    }

    fn address(&self, frame: usize) -> Pa {
        Pa(self.base.0 + frame as u64 * FRAME_BYTES)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn hands_out_each_frame_once_and_then_none() {
        let mut map = FrameMap::new(Pa(0x4000_0800), 70 * FRAME_BYTES);
        assert_eq!(map.total_frames(), 69, "only whole frames count");
        let frames: BTreeSet<_> = core::iter::from_fn(|| map.alloc()).collect();
        assert_eq!((frames.len(), map.free_frames(), map.alloc()), (69, 0, None));
        assert!(frames.iter().all(|at| at.is_aligned(FRAME_BYTES) && map.contains(*at)));
        for at in &frames {
            map.free(*at);
        }
        assert_eq!(map.free_frames(), 69);
    }

    #[test]
    fn runs_are_contiguous_aligned_and_avoid_what_is_used() {
        let mut map = FrameMap::new(Pa(0x4000_0000), 64 * FRAME_BYTES);
        map.reserve(Pa(0x4003_8000), 1);
        let run = map.alloc_run(4, 0x4000).unwrap();
        assert_eq!(run, Pa(0x4003_c000));
        assert_eq!(map.alloc_run(8, 0x8000), Some(Pa(0x4003_0000)));
        assert_eq!(map.alloc_run(65, FRAME_BYTES), None);
        assert_eq!(map.alloc_run(0, FRAME_BYTES), None);
        assert_eq!(map.free_frames(), 64 - 1 - 4 - 8);
        map.free_run(run, 4);
        assert_eq!(map.alloc_run(4, FRAME_BYTES), Some(run));
    }

    #[test]
    fn reserving_clips_to_the_map_and_counts_once() {
        let mut map = FrameMap::new(Pa(0x4000_0000), 8 * FRAME_BYTES);
        map.reserve(Pa(0), 0x4000_1001);
        map.reserve(Pa(0x4000_1000), 1);
        map.reserve(Pa(0x4000_7fff), u64::MAX);
        assert_eq!(map.free_frames(), 8 - 3);
        assert_eq!(map.alloc(), Some(Pa(0x4000_2000)));
    }

    #[test]
    fn a_shared_frame_is_free_after_its_last_holder() {
        let mut map = FrameMap::new(Pa(0x4000_0000), 8 * FRAME_BYTES);
        let at = map.alloc().unwrap();
        assert!(!map.is_shared(at) && map.share(at) && map.share(at) && map.is_shared(at));
        map.free(at);
        map.free(at);
        assert_eq!((map.is_shared(at), map.free_frames()), (false, 7));
        map.free(at);
        assert_eq!(map.free_frames(), 8);
        let again = map.alloc().unwrap();
        assert!((0..u16::MAX).all(|_| map.share(again)) && !map.share(again), "what cannot be counted is refused");
    }

    #[test]
    #[should_panic(expected = "twice")]
    fn freeing_twice_is_a_broken_invariant() {
        let mut map = FrameMap::new(Pa(0x4000_0000), 8 * FRAME_BYTES);
        let at = map.alloc().unwrap();
        map.free(at);
        map.free(at);
    }
}
