//! Address spaces as the uacce core sees them: PASIDs, bonds and mappings, counted.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use hal::{RegionBacking, SubstreamId, Va};
use uacce_kernel::{AddressSpaces, Drained, SpaceError, SpaceId};

/// What is out.
#[derive(Default)]
pub struct Counts {
    /// Bonds: node and space, with the PASID.
    pub bonds: BTreeMap<(u32, u64), u32>,
    /// PASIDs that were cut off because a queue did not drain.
    pub cut: BTreeSet<u32>,
    /// Mappings: address and length.
    pub mappings: BTreeSet<(u64, u64)>,
}

/// A handle; a clone counts in the same book.
#[derive(Clone, Default)]
pub struct Spaces(pub Rc<RefCell<Counts>>);

impl AddressSpaces for Spaces {
    fn supports_sva(&self, _: u32) -> bool {
        true
    }
    fn bind(&mut self, node: u32, space: SpaceId) -> Result<SubstreamId, SpaceError> {
        let counts = &mut *self.0.borrow_mut();
        // One PASID per space, for every device.
        let pasid = (1..).find(|pasid| pasid >> 4 == space.0 as u32 && !counts.cut.contains(pasid)).ok_or(SpaceError::OutOfSubstreams)?;
        assert_eq!(counts.bonds.insert((node, space.0), pasid), None);
        Ok(SubstreamId(pasid))
    }
    fn unbind(&mut self, node: u32, space: SpaceId, substream: SubstreamId, drained: Drained) {
        let counts = &mut *self.0.borrow_mut();
        assert_eq!(counts.bonds.remove(&(node, space.0)), Some(substream.0));
        if drained == Drained::No {
            counts.cut.insert(substream.0);
        }
    }
    fn map(&mut self, _: SpaceId, backing: RegionBacking, len_bytes: u64) -> Result<Va, SpaceError> {
        // The processes of these tests see physical addresses.
        assert!(self.0.borrow_mut().mappings.insert((backing.base.0, len_bytes)), "mapped twice");
        Ok(Va(backing.base.0))
    }
    fn unmap(&mut self, _: SpaceId, at: Va, len_bytes: u64) {
        assert!(self.0.borrow_mut().mappings.remove(&(at.0, len_bytes)), "was not mapped");
    }
}
