//! What a fault means: one decision for the CPU's page faults and the SMMU's stalls.

use crate::vma::{AreaSet, Backing, Rights};
use hal::AccessKind;

/// Why an access is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The process has nothing there.
    NoArea,
    /// The area does not allow it.
    Rights,
    /// The area is mapped as a whole, and yet it faulted: the mapping itself does not allow it.
    Fixed,
}

/// What to do about a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resolution {
    /// Map a zeroed page with these rights, then repeat the access.
    MapZeroed {
        /// Rights of the area.
        rights: Rights,
    },
    /// Give the process a page of its own in the place of one that it shares with a copy of itself, or write to it in place if nobody else
    /// holds it any more; then repeat the access.
    Own,
    /// The page is there and allows the access: a stale TLB entry or a race. Invalidate, then repeat.
    Repeat,
    /// Kill the process, or abort the device's transaction.
    Refuse(Refusal),
}

/// Decides about a faulting access at `at`. `mapped` are the rights of the page that the tables hold there now.
///
/// A mapped page's rights follow its area's, but that a page shared with another process cannot be written.
pub fn resolve(areas: &AreaSet, at: u64, access: AccessKind, mapped: Option<Rights>) -> Resolution {
    let Some(area) = areas.find(at) else { return Resolution::Refuse(Refusal::NoArea) };
    if !area.rights.allows(access) {
        return Resolution::Refuse(Refusal::Rights);
    }
    match (mapped, area.backing) {
        (Some(rights), _) if rights.allows(access) => Resolution::Repeat,
        (None, Backing::Anonymous) => Resolution::MapZeroed { rights: area.rights },
        (Some(Rights::Read), Backing::Anonymous) => Resolution::Own,
        _ => Resolution::Refuse(Refusal::Fixed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_by_area_access_and_page() {
        use AccessKind::{Execute, Read, Write};
        const BASE: u64 = 0x10_0000_0000;
        let mut areas = AreaSet::new(BASE..BASE + 0x10_0000);
        areas.insert(BASE, 0x1000, Rights::ReadWrite, Backing::Anonymous).unwrap();
        areas.insert(BASE + 0x1000, 0x1000, Rights::Read, Backing::Anonymous).unwrap();
        areas.insert(BASE + 0x2000, 0x1000, Rights::None, Backing::Anonymous).unwrap();
        areas.insert(BASE + 0x3000, 0x1000, Rights::ReadWrite, Backing::Lent).unwrap();
        let zeroed = |rights| Resolution::MapZeroed { rights };
        let refuse = Resolution::Refuse;
        let cases = [
            (0x0, Read, None, zeroed(Rights::ReadWrite)),
            (0xfff, Write, None, zeroed(Rights::ReadWrite)),
            (0x0, Write, Some(Rights::ReadWrite), Resolution::Repeat),
            (0x0, Write, Some(Rights::Read), Resolution::Own),
            (0x0, Read, Some(Rights::Read), Resolution::Repeat),
            (0x0, Read, Some(Rights::None), refuse(Refusal::Fixed)),
            (0x3000, Write, Some(Rights::Read), refuse(Refusal::Fixed)),
            (0x0, Execute, None, refuse(Refusal::Rights)),
            (0x1000, Read, None, zeroed(Rights::Read)),
            (0x1000, Write, None, refuse(Refusal::Rights)),
            (0x1000, Write, Some(Rights::Read), refuse(Refusal::Rights)),
            (0x1000, Read, Some(Rights::Read), Resolution::Repeat),
            (0x2000, Read, None, refuse(Refusal::Rights)),
            (0x2000, Read, Some(Rights::None), refuse(Refusal::Rights)),
            (0x3000, Read, None, refuse(Refusal::Fixed)),
            (0x3000, Write, Some(Rights::ReadWrite), Resolution::Repeat),
            (0x4000, Read, None, refuse(Refusal::NoArea)),
        ];
        for (at, access, mapped, expected) in cases {
            assert_eq!(resolve(&areas, BASE + at, access, mapped), expected, "{at:#x} {access:?} {mapped:?}");
        }
    }
}
