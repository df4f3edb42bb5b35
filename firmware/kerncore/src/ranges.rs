//! Address ranges: a window from which aligned ranges are taken and given back. Serves IOVAs and the users' virtual addresses.

use alloc::collections::BTreeMap;

/// A window `start..end` with its free ranges.
///
/// Invariant: `free` maps start → end of disjoint, non-touching, non-empty ranges inside the window.
#[derive(Debug, Clone)]
pub struct RangeAllocator {
    start: u64,
    end: u64,
    free: BTreeMap<u64, u64>,
}

impl RangeAllocator {
    /// A window, all free.
    pub fn new(start: u64, end: u64) -> Self {
        let mut free = BTreeMap::new();
        if start < end {
            free.insert(start, end);
        }
        Self { start, end, free }
    }

    /// Takes `len` addresses, the first a multiple of `align`, a power of two; the highest that fit.
    pub fn alloc(&mut self, len: u64, align: u64) -> Option<u64> {
        if len == 0 || !align.is_power_of_two() {
            return None;
        }
        let (at, from, to) = self.free.iter().rev().find_map(|(from, to)| {
            let at = to.checked_sub(len)? & !(align - 1);
            (at >= *from).then_some((at, *from, *to))
        })?;
        self.carve(at, at + len, from, to);
        Some(at)
    }

    /// Takes exactly `at..at + len`; false if any of it is not free.
    pub fn alloc_at(&mut self, at: u64, len: u64) -> bool {
        let Some(end) = at.checked_add(len).filter(|_| len != 0) else { return false };
        let Some((from, to)) = self.free.range(..=at).next_back().map(|(f, t)| (*f, *t)).filter(|(_, to)| end <= *to) else {
            return false;
        };
        self.carve(at, end, from, to);
        true
    }

    fn carve(&mut self, at: u64, end: u64, from: u64, to: u64) {
        self.free.remove(&from);
        if from < at {
            self.free.insert(from, at);
        }
        if end < to {
            self.free.insert(end, to);
        }
    }

    /// Gives `at..at + len` back.
    ///
    /// # Panics
    /// If any of it lies outside the window or is free: the caller's books are wrong.
    pub fn free(&mut self, at: u64, len: u64) {
        let (mut from, mut to) = (at, at + len);
        assert!(len != 0 && from >= self.start && to <= self.end, "range outside its window");
        let before = self.free.range(..to).next_back().map(|(f, t)| (*f, *t));
        assert!(before.is_none_or(|(_, end)| end <= at), "range freed twice");
        if let Some((f, t)) = before.filter(|(_, end)| *end == at) {
            self.free.remove(&f);
            (from, _) = (f, t);
        }
        if let Some(t) = self.free.remove(&to) {
            to = t;
        }
        self.free.insert(from, to);
    }

    /// Free addresses.
    pub fn free_len(&self) -> u64 {
        self.free.iter().map(|(from, to)| to - from).sum()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn takes_the_highest_aligned_range() {
        let mut window = RangeAllocator::new(0x1000, 0x10_0000);
        assert_eq!(window.alloc(0x1000, 0x1000), Some(0xf_f000));
        assert_eq!(window.alloc(0x2_5000, 0x1_0000), Some(0xd_0000));
        assert_eq!(window.alloc(0x1000, 0x1000), Some(0xf_e000), "the gap above an aligned range is used");
        assert_eq!(window.alloc(0x10_0000, 0x1000), None);
        assert_eq!((window.alloc(0, 0x1000), window.alloc(0x1000, 3)), (None, None));
    }

    #[test]
    fn neighbours_merge_when_freed() {
        let mut window = RangeAllocator::new(0, 0x4000);
        let taken: std::vec::Vec<_> = (0..4).map(|_| window.alloc(0x1000, 0x1000).unwrap()).collect();
        for at in [taken[1], taken[3], taken[2], taken[0]] {
            window.free(at, 0x1000);
        }
        assert_eq!(window.free_len(), 0x4000);
        assert_eq!(window.alloc(0x4000, 0x1000), Some(0));
    }

    #[test]
    fn a_fixed_range_is_taken_only_if_all_of_it_is_free() {
        let mut window = RangeAllocator::new(0x1000, 0x8000);
        assert!(window.alloc_at(0x3000, 0x2000));
        assert!(!window.alloc_at(0x4000, 0x1000));
        assert!(!window.alloc_at(0x2000, 0x2000));
        assert!(!window.alloc_at(0x7000, 0x2000));
        assert!(!window.alloc_at(0, 0x1000));
        assert!(!window.alloc_at(u64::MAX, 2));
        assert!(window.alloc_at(0x1000, 0x2000) && window.alloc_at(0x5000, 0x3000));
        assert_eq!(window.free_len(), 0);
    }

    #[test]
    #[should_panic(expected = "freed twice")]
    fn freeing_twice_is_a_broken_invariant() {
        let mut window = RangeAllocator::new(0, 0x4000);
        window.free(0x1000, 0x1000);
    }
}
