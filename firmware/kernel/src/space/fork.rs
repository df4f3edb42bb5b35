//! A copy of a space: the same memory, until one of the two writes.
//!
//! Queue regions and reserved memory are not copied, and no device is bound to the copy. Devices of the original go on in the original: what
//! becomes read-only in its table faults for them as it does for the CPU, and the page that they then write is the original's.

use alloc::vec::Vec;

use firmware_kerncore::table::{Inherit, TableError};
use firmware_kerncore::vma::{Area, Backing};
use uacce_abi::Errno;
use uacce_kernel::SpaceId;

use super::{SPACES, Space, empty, take_apart};
use crate::memory::{self, Tables};

/// Makes a copy of a space.
///
/// # Errors
/// `ENOMEM`, `ESRCH`; the original is as it was, but that pages may have to be made its own again.
pub(crate) fn fork(id: SpaceId) -> Result<SpaceId, Errno> {
    let mut spaces = SPACES.lock();
    let parent = spaces.spaces.get_mut(&id).ok_or(Errno::ESRCH)?;
    let mut child = empty(parent.areas.inherited())?;
    let shared = parent.share_with(&mut child);
    // The copy runs only after the original's walkers have let go of every writable entry.
    let is_quiet = parent.invalidate_all().is_ok();
    if shared.is_err() || !is_quiet {
        drop(spaces);
        take_apart(SpaceId(0), child);
        return Err(Errno::ENOMEM);
    }
    Ok(spaces.add(child))
}

impl Space {
    fn share_with(&mut self, child: &mut Space) -> Result<(), TableError> {
        let areas: Vec<Area> = child.areas.iter().copied().collect();
        for area in areas {
            let how = if area.backing == Backing::Anonymous { Inherit::Shared } else { Inherit::Same };
            let mut pages = 0;
            let shared = self.table.share(&mut Tables, &mut child.table, area.start..area.end, how, |frame| {
                let is_shared = memory::share_frame(frame);
                pages += u64::from(is_shared);
                is_shared
            });
            if how == Inherit::Shared {
                child.counters.resident += pages;
            }
            shared?;
        }
        Ok(())
    }
}
