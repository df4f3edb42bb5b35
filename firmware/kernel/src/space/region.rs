//! Regions of queue files in a process's space.

use alloc::vec::Vec;

use firmware_kerncore::table::{Blocks, Leaf};
use firmware_kerncore::vma::{Area, Backing, Rights};
use hal::{Pa, RegionBacking, RegionKind, Va};
use hal_aarch64::barrier;
use uacce_kernel::{SpaceError, SpaceId, Span};

use super::{PAGE, Space, with};
use crate::memory::{self, Tables};

/// The areas of a range that are queue regions.
pub(crate) fn queue_areas(id: SpaceId, at: u64, len_bytes: u64) -> Vec<Area> {
    let end = at.saturating_add(len_bytes);
    let is_hit = |area: &&Area| area.start < end && area.end > at && matches!(area.backing, Backing::Queue { .. });
    with(id, |space| space.areas.iter().filter(is_hit).copied().collect()).unwrap_or_default()
}

/// Puts a region somewhere into a space.
pub(super) fn place(space: &mut Space, base: Pa, len_bytes: u64, kind: RegionKind, rights: Rights, leaf: Leaf) -> Result<Va, SpaceError> {
    let at = space.areas.find_free(len_bytes, PAGE).ok_or(SpaceError::OutOfMemory)?;
    space.areas.insert(at, len_bytes, rights, Backing::Queue { owner: base.0, kind }).map_err(|_| SpaceError::OutOfMemory)?;
    if space.table.map(&mut Tables, at, base, len_bytes, leaf, Blocks::PagesOnly).is_err() {
        remove(space, at, len_bytes);
        return Err(SpaceError::OutOfMemory);
    }
    barrier::dsb_ishst();
    barrier::isb();
    Ok(Va(at))
}

/// Maps a queue region.
///
/// # Errors
/// `Gone`, `OutOfMemory`.
pub(crate) fn map_queue_region(id: SpaceId, backing: RegionBacking, len_bytes: u64) -> Result<Va, SpaceError> {
    let leaf = match backing.kind {
        RegionKind::Device => Leaf::UserDevice,
        RegionKind::Memory => Leaf::User(Rights::ReadWrite),
    };
    with(id, |space| place(space, backing.base, len_bytes, backing.kind, Rights::ReadWrite, leaf)).unwrap_or(Err(SpaceError::Gone))
}

/// Takes an area and its pages away.
pub(super) fn remove(space: &mut Space, at: u64, len_bytes: u64) {
    if let Ok(gone) = space.areas.remove(at, len_bytes) {
        space.drop_pages(&gone);
    }
}

/// Removes queue regions.
pub(crate) fn unmap_queue_regions(id: SpaceId, spans: &[Span]) {
    with(id, |space| {
        for span in spans {
            space.areas.take(span.at.0, span.len_bytes);
            let _ = space.table.unmap(&mut Tables, span.at.0, span.len_bytes, |_, _, _| {});
        }
        // What stood behind them is the device's, and goes back to it when this has returned.
        let _ = match spans {
            [span] => space.invalidate(span.at.0, span.len_bytes),
            _ => space.invalidate_all(),
        };
    });
}

/// Puts a copy of what it holds in the place of a queue region: from now on it is memory of the process's own.
pub(crate) fn replace_by_copy(id: SpaceId, span: Span) {
    with(id, |space| {
        let pages = (span.at.0..span.at.0 + span.len_bytes).step_by(PAGE as usize);
        let copies: Option<Vec<Pa>> =
            pages.clone().map(|page| space.table.lookup(&Tables, page).and_then(|found| memory::copy_frame(found.pa))).collect();
        let Some(copies) = copies else { return remove(space, span.at.0, span.len_bytes) };
        let _ = space.table.unmap(&mut Tables, span.at.0, span.len_bytes, |_, _, _| {});
        // The device and its memory belong together: only the process's own view of it ends here.
        let _ = space.invalidate(span.at.0, span.len_bytes);
        space.areas.disown(span.at.0);
        for (page, frame) in pages.zip(copies) {
            match space.table.map(&mut Tables, page, frame, PAGE, Leaf::User(Rights::ReadWrite), Blocks::PagesOnly) {
                Ok(()) => space.counters.resident += 1,
                Err(_) => memory::free_frame(frame),
            }
        }
        barrier::dsb_ishst();
        barrier::isb();
    });
}
