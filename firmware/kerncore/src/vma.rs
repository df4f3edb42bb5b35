//! What a process's address space is meant to hold: areas, not pages.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;
use hal::{AccessKind, RegionKind};

/// Granule of areas in bytes.
pub const PAGE_BYTES: u64 = 4096;

/// What a process may do with an area. Nothing of a process's own is executable: programs live in the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rights {
    /// Nothing.
    None,
    /// Loads.
    Read,
    /// Loads and stores.
    ReadWrite,
}

impl Rights {
    /// True if an unprivileged access of this kind is allowed.
    pub const fn allows(self, access: AccessKind) -> bool {
        match access {
            AccessKind::Read => !matches!(self, Self::None),
            AccessKind::Write => matches!(self, Self::ReadWrite),
            AccessKind::Execute => false,
        }
    }
}

/// What stands behind an area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backing {
    /// Zeroed pages that appear as they are touched.
    Anonymous,
    /// A region of a device queue, mapped as a whole when the area was made. It is neither split nor changed.
    Queue {
        /// Which queue handle and region, for whoever takes it back.
        owner: u64,
        /// Device or normal memory.
        kind: RegionKind,
    },
    /// Physical memory lent by the kernel, mapped as a whole when the area was made; not the process's to free.
    Lent,
}

/// One area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// What the process may do.
    pub rights: Rights,
    /// What stands behind.
    pub backing: Backing,
}

/// A change of areas was refused; nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AreaError {
    /// Empty, not page-aligned, or past the end of the window.
    BadRange,
    /// Something lies there already.
    Occupied,
    /// Nothing lies at this address.
    Hole {
        /// The first address without an area.
        at: u64,
    },
    /// A queue region or lent memory would be cut or changed.
    Fixed,
}

/// The areas of one space.
///
/// Invariant: areas are page-aligned, non-empty, disjoint, inside the window, and keyed by their start.
#[derive(Debug, Clone)]
pub struct AreaSet {
    window: Range<u64>,
    areas: BTreeMap<u64, Area>,
}

impl AreaSet {
    /// An empty set over a window of addresses.
    pub const fn new(window: Range<u64>) -> Self {
        Self { window, areas: BTreeMap::new() }
    }

    fn check(&self, at: u64, len_bytes: u64) -> Result<Range<u64>, AreaError> {
        let len = len_bytes.checked_next_multiple_of(PAGE_BYTES).filter(|len| *len != 0).ok_or(AreaError::BadRange)?;
        let end = at.checked_add(len).ok_or(AreaError::BadRange)?;
        if !at.is_multiple_of(PAGE_BYTES) || at < self.window.start || end > self.window.end {
            return Err(AreaError::BadRange);
        }
        Ok(at..end)
    }

    /// The areas that touch a range, in address order.
    fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = &Area> {
        let first = self.find(range.start).map_or(range.start, |area| area.start);
        self.areas.range(first..range.end).map(|(_, area)| area)
    }

    /// The area that holds an address.
    pub fn find(&self, at: u64) -> Option<&Area> {
        self.areas.range(..=at).next_back().map(|(_, area)| area).filter(|area| at < area.end)
    }

    /// All areas, in address order.
    pub fn iter(&self) -> impl Iterator<Item = &Area> {
        self.areas.values()
    }

    /// The highest free range of `len_bytes` whose start is a multiple of `align`, with a guard page on either side.
    pub fn find_free(&self, len_bytes: u64, align: u64) -> Option<u64> {
        let len = len_bytes.checked_next_multiple_of(PAGE_BYTES).filter(|len| *len != 0)?;
        let mut end = self.window.end;
        for area in self.areas.values().rev() {
            if let Some(at) = Self::fit(area.end, end, len, align) {
                return Some(at);
            }
            end = area.start;
        }
        Self::fit(self.window.start, end, len, align)
    }

    fn fit(start: u64, end: u64, len: u64, align: u64) -> Option<u64> {
        let at = end.checked_sub(PAGE_BYTES)?.checked_sub(len)? & !(align - 1);
        (at >= start.checked_add(PAGE_BYTES)?).then_some(at)
    }

    /// Adds an area.
    ///
    /// # Errors
    /// `BadRange`, `Occupied`.
    pub fn insert(&mut self, at: u64, len_bytes: u64, rights: Rights, backing: Backing) -> Result<Area, AreaError> {
        let range = self.check(at, len_bytes)?;
        if self.overlapping(&range).next().is_some() {
            return Err(AreaError::Occupied);
        }
        let area = Area { start: range.start, end: range.end, rights, backing };
        self.areas.insert(area.start, area);
        Ok(area)
    }

    /// The areas that a copy of the process has: all but queue regions.
    pub fn inherited(&self) -> Self {
        let kept = self.areas.iter().filter(|(_, area)| !matches!(area.backing, Backing::Queue { .. }));
        Self { window: self.window.clone(), areas: kept.map(|(at, area)| (*at, *area)).collect() }
    }

    /// Removes the area that spans exactly this range, whatever stands behind it.
    pub fn take(&mut self, at: u64, len_bytes: u64) -> Option<Area> {
        self.areas.get(&at).filter(|area| area.end - area.start == len_bytes)?;
        self.areas.remove(&at)
    }

    /// Turns the queue region that begins at an address into memory of the process's own; false if none begins there.
    pub fn disown(&mut self, at: u64) -> bool {
        match self.areas.get_mut(&at) {
            Some(area) if matches!(area.backing, Backing::Queue { .. }) => {
                area.backing = Backing::Anonymous;
                true
            }
            _ => false,
        }
    }

    /// Removes whatever lies in a range, cutting anonymous areas at its ends; returns the pieces removed, in address order. Holes are fine.
    ///
    /// # Errors
    /// `BadRange`; `Fixed` if a queue region or lent memory would be cut: those go whole or not at all.
    pub fn remove(&mut self, at: u64, len_bytes: u64) -> Result<Vec<Area>, AreaError> {
        let range = self.check(at, len_bytes)?;
        let cuts = |area: &Area| area.start < range.start || area.end > range.end;
        if self.overlapping(&range).any(|area| area.backing != Backing::Anonymous && cuts(area)) {
            return Err(AreaError::Fixed);
        }
        let touched: Vec<Area> = self.overlapping(&range).copied().collect();
        Ok(touched.into_iter().map(|area| self.carve(area, &range)).collect())
    }

    /// Changes the rights in a range, cutting areas at its ends; returns the pieces changed, in address order.
    ///
    /// # Errors
    /// `BadRange`, `Hole`; `Fixed` if a queue region or lent memory lies in it.
    pub fn protect(&mut self, at: u64, len_bytes: u64, rights: Rights) -> Result<Vec<Area>, AreaError> {
        let range = self.check(at, len_bytes)?;
        let touched: Vec<Area> = self.overlapping(&range).copied().collect();
        let mut covered = range.start;
        for area in &touched {
            if area.backing != Backing::Anonymous {
                return Err(AreaError::Fixed);
            }
            if area.start > covered {
                return Err(AreaError::Hole { at: covered });
            }
            covered = area.end;
        }
        if covered < range.end {
            return Err(AreaError::Hole { at: covered });
        }
        let mut changed = Vec::with_capacity(touched.len());
        for area in touched {
            let piece = Area { rights, ..self.carve(area, &range) };
            self.areas.insert(piece.start, piece);
            changed.push(piece);
        }
        Ok(changed)
    }

    /// Takes the part of `area` that lies in `range` out of the set, leaving what sticks out; returns the part.
    fn carve(&mut self, area: Area, range: &Range<u64>) -> Area {
        self.areas.remove(&area.start);
        if area.start < range.start {
            self.areas.insert(area.start, Area { end: range.start, ..area });
        }
        if area.end > range.end {
            self.areas.insert(range.end, Area { start: range.end, ..area });
        }
        Area { start: area.start.max(range.start), end: area.end.min(range.end), ..area }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;

    const BASE: u64 = 0x10_0000_0000;

    fn set() -> AreaSet {
        AreaSet::new(BASE..BASE + 0x100_0000)
    }
    fn spans(set: &AreaSet) -> Vec<(u64, u64, Rights)> {
        set.iter().map(|a| (a.start - BASE, a.end - BASE, a.rights)).collect()
    }
    const QUEUE: Backing = Backing::Queue { owner: 1, kind: RegionKind::Memory };

    #[test]
    fn areas_do_not_overlap_and_stay_in_the_window() {
        let mut set = set();
        assert!(set.insert(BASE + 0x2000, 0x1001, Rights::Read, Backing::Anonymous).is_ok());
        for (at, len) in [(0x1000, 0x2000), (0x3000, 0x1000), (0x2000, 0x2000), (0, 0x10_0000)] {
            assert_eq!(set.insert(BASE + at, len, Rights::Read, Backing::Anonymous), Err(AreaError::Occupied));
        }
        for (at, len) in
            [(BASE, 0), (BASE + 1, 0x1000), (BASE - 0x1000, 0x1000), (BASE, 0x100_1000), (BASE, u64::MAX), (u64::MAX & !0xfff, 0x1000)]
        {
            assert_eq!(set.insert(at, len, Rights::Read, Backing::Anonymous), Err(AreaError::BadRange), "{at:#x}+{len:#x}");
        }
        assert_eq!(set.find(BASE + 0x1fff), None);
        assert_eq!(set.find(BASE + 0x3fff).map(|a| a.start), Some(BASE + 0x2000), "the length was rounded up");
        assert_eq!(set.find(BASE + 0x4000), None);
    }

    #[test]
    fn removing_the_middle_splits() {
        let mut set = set();
        set.insert(BASE, 0x5000, Rights::ReadWrite, Backing::Anonymous).unwrap();
        let gone = set.remove(BASE + 0x1000, 0x2000).unwrap();
        assert_eq!(gone.iter().map(|a| (a.start - BASE, a.end - BASE)).collect::<Vec<_>>(), [(0x1000, 0x3000)]);
        assert_eq!(spans(&set), [(0, 0x1000, Rights::ReadWrite), (0x3000, 0x5000, Rights::ReadWrite)]);
        assert_eq!(set.remove(BASE + 0x1000, 0x2000), Ok(vec![]), "holes are fine");
        let gone = set.remove(BASE, 0x10_0000).unwrap();
        assert_eq!(gone.len(), 2);
        assert_eq!(spans(&set), []);
    }

    #[test]
    fn protecting_splits_and_needs_every_page() {
        let mut set = set();
        set.insert(BASE, 0x3000, Rights::ReadWrite, Backing::Anonymous).unwrap();
        set.insert(BASE + 0x3000, 0x1000, Rights::ReadWrite, Backing::Anonymous).unwrap();
        let changed = set.protect(BASE + 0x2000, 0x2000, Rights::Read).unwrap();
        assert_eq!(changed.len(), 2);
        assert_eq!(spans(&set), [(0, 0x2000, Rights::ReadWrite), (0x2000, 0x3000, Rights::Read), (0x3000, 0x4000, Rights::Read)]);
        assert_eq!(set.protect(BASE + 0x3000, 0x2000, Rights::None), Err(AreaError::Hole { at: BASE + 0x4000 }));
        assert_eq!(set.protect(BASE + 0x8000, 0x1000, Rights::None), Err(AreaError::Hole { at: BASE + 0x8000 }));
        assert_eq!(spans(&set)[2].2, Rights::Read, "a refused change changes nothing");
    }

    #[test]
    fn ua_l03_queue_regions_go_whole_or_not_at_all() {
        let mut set = set();
        set.insert(BASE + 0x1000, 0x3000, Rights::ReadWrite, QUEUE).unwrap();
        assert_eq!(set.remove(BASE + 0x1000, 0x1000), Err(AreaError::Fixed));
        assert_eq!(set.remove(BASE + 0x2000, 0x8000), Err(AreaError::Fixed));
        assert_eq!(set.protect(BASE + 0x1000, 0x3000, Rights::Read), Err(AreaError::Fixed));
        assert_eq!(set.remove(BASE, 0x8000).map(|gone| gone.len()), Ok(1));
    }

    #[test]
    fn ua_k3_queue_regions_are_not_inherited() {
        let mut set = set();
        set.insert(BASE, 0x1000, Rights::ReadWrite, Backing::Anonymous).unwrap();
        set.insert(BASE + 0x1000, 0x1000, Rights::ReadWrite, QUEUE).unwrap();
        set.insert(BASE + 0x2000, 0x1000, Rights::Read, Backing::Lent).unwrap();
        let kept = [(0, 0x1000, Rights::ReadWrite), (0x2000, 0x3000, Rights::Read)];
        assert_eq!(spans(&set.inherited()), kept);
        assert_eq!(spans(&set).len(), 3, "the original keeps what it has");
    }

    #[test]
    fn a_disowned_queue_region_is_ordinary_memory() {
        let mut set = set();
        set.insert(BASE, 0x2000, Rights::ReadWrite, QUEUE).unwrap();
        assert!(!set.disown(BASE + 0x1000) && set.disown(BASE) && !set.disown(BASE));
        assert_eq!((set.take(BASE, 0x1000), set.take(BASE + 0x1000, 0x1000)), (None, None), "exactly or not at all");
        assert_eq!(set.clone().take(BASE, 0x2000).map(|area| area.end), Some(BASE + 0x2000));
        assert_eq!(set.remove(BASE, 0x1000).map(|gone| gone.len()), Ok(1));
    }

    #[test]
    fn free_ranges_are_high_aligned_and_guarded() {
        let mut set = set();
        let at = set.find_free(0x1000, PAGE_BYTES).unwrap();
        assert_eq!(at, BASE + 0x100_0000 - 0x2000);
        set.insert(at, 0x1000, Rights::Read, Backing::Anonymous).unwrap();
        let next = set.find_free(0x1000, PAGE_BYTES).unwrap();
        assert_eq!(next, at - 0x2000, "a guard page between two areas");
        assert_eq!(set.find_free(0x20_0000, 0x20_0000).unwrap() % 0x20_0000, 0);
        assert_eq!(set.find_free(0x100_0000, PAGE_BYTES), None);
        assert_eq!(set.find_free(0, PAGE_BYTES), None);
    }
}
