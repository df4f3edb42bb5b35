//! Copies between kernel and process.

use core::ops::Range;

use firmware_kerncore::vma::Backing;
use hal::{AccessKind, Pa, RegionKind};
use uacce_abi::Errno;
use uacce_kernel::SpaceId;

use super::{PAGE, SPACES};
use crate::memory::{self, Tables};

/// Runs `f` on each page's part of a user range, resolved for `access`. The range is an allegation of the process: nothing of it is
/// believed, and it may be half there.
///
/// # Errors
/// `EFAULT`; parts before the bad page were visited.
fn for_each_part(
    id: SpaceId,
    at: u64,
    len_bytes: u64,
    access: AccessKind,
    constants: &Range<u64>,
    mut f: impl FnMut(Pa, Range<usize>),
) -> Result<(), Errno> {
    let end = at.checked_add(len_bytes).ok_or(Errno::EFAULT)?;
    if access == AccessKind::Read && at >= constants.start && end <= constants.end {
        f(Pa(at), 0..len_bytes as usize);
        return Ok(());
    }
    let mut spaces = SPACES.lock();
    let space = spaces.spaces.get_mut(&id).ok_or(Errno::ESRCH)?;
    let mut va = at;
    while va < end {
        let part = (end - va).min(PAGE - va % PAGE);
        let area = space.areas.find(va).ok_or(Errno::EFAULT)?;
        if !area.rights.allows(access) || matches!(area.backing, Backing::Queue { kind: RegionKind::Device, .. }) {
            return Err(Errno::EFAULT);
        }
        let pa = match space.table.lookup(&Tables, va).filter(|found| found.user_rights().allows(access)) {
            Some(found) => found.pa,
            // Absent, or shared with a copy of the process and about to be written.
            None => space.resolve(va, access).map_err(|_| Errno::EFAULT)?,
        };
        let offset = (va - at) as usize;
        f(pa, offset..offset + part as usize);
        va += part;
    }
    Ok(())
}

/// Copies out of a process: its own memory, or constants of the image.
///
/// # Errors
/// `EFAULT`.
pub(crate) fn copy_in(id: SpaceId, at: u64, into: &mut [u8]) -> Result<(), Errno> {
    let constants = crate::boot::shared_room();
    for_each_part(id, at, into.len() as u64, AccessKind::Read, &constants, |pa, range| {
        if constants.contains(&pa.0) {
            crate::boot::copy_constants(pa, &mut into[range]);
        } else {
            memory::copy_from(pa, &mut into[range]);
        }
    })
}

/// Memory of a process that is there and may be written, in at most two pieces. Nothing can move it before the process runs again: a page that
/// the process owns is replaced by nobody.
pub(crate) struct Borrowed([(Pa, usize); 2]);

impl Borrowed {
    /// Makes sure of at most a page's length of a process's memory.
    ///
    /// # Errors
    /// `EFAULT`.
    pub(crate) fn new(id: SpaceId, at: u64, len_bytes: u64) -> Result<Self, Errno> {
        if len_bytes > PAGE {
            return Err(Errno::EFAULT);
        }
        let (mut parts, mut count) = ([(Pa(0), 0); 2], 0);
        for_each_part(id, at, len_bytes, AccessKind::Write, &(0..0), |pa, range| {
            parts[count] = (pa, range.len());
            count += 1;
        })?;
        Ok(Self(parts))
    }

    /// Reads it.
    pub(crate) fn read(&self, into: &mut [u8]) {
        let (first, second) = into.split_at_mut(self.0[0].1);
        for (part, (pa, len)) in [first, second].into_iter().zip(self.0) {
            if len > 0 {
                memory::copy_from(pa, part);
            }
        }
    }

    /// Writes it.
    pub(crate) fn write(&self, data: &[u8]) {
        let (first, second) = data.split_at(self.0[0].1);
        for (part, (pa, len)) in [first, second].into_iter().zip(self.0) {
            if len > 0 {
                memory::copy_to(pa, part);
            }
        }
    }
}

/// Copies into a process.
///
/// # Errors
/// `EFAULT`; the part before the bad page was written.
pub(crate) fn copy_out(id: SpaceId, at: u64, data: &[u8]) -> Result<(), Errno> {
    for_each_part(id, at, data.len() as u64, AccessKind::Write, &(0..0), |pa, range| memory::copy_to(pa, &data[range]))
}

/// Checks that a process may write all of a range, making its pages appear, so that a copy cannot fail half-way.
///
/// # Errors
/// `EFAULT`.
pub(crate) fn check_out(id: SpaceId, at: u64, len_bytes: u64) -> Result<(), Errno> {
    for_each_part(id, at, len_bytes, AccessKind::Write, &(0..0), |_, _| {})
}
