//! Address spaces as the uacce core sees them: PASIDs, bonds and mappings, counted.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use hal::{Pa, RegionBacking, SubstreamId, Va};
use uacce_kernel::{AddressSpaces, Drained, Profile, Reserved, SpaceError, SpaceId, Span};

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
    fn profile(&self, _: u32) -> Profile {
        Profile::Sva
    }
    fn bind(&mut self, node: u32, space: SpaceId) -> Result<Option<SubstreamId>, SpaceError> {
        let counts = &mut *self.0.borrow_mut();
        // One PASID per space, for every device.
        let pasid = (1..).find(|pasid| pasid >> 4 == space.0 as u32 && !counts.cut.contains(pasid)).ok_or(SpaceError::OutOfSubstreams)?;
        assert_eq!(counts.bonds.insert((node, space.0), pasid), None);
        Ok(Some(SubstreamId(pasid)))
    }
    fn unbind(&mut self, node: u32, space: SpaceId, substream: Option<SubstreamId>, drained: Drained) {
        let counts = &mut *self.0.borrow_mut();
        let pasid = counts.bonds.remove(&(node, space.0)).expect("bound");
        assert_eq!(Some(SubstreamId(pasid)), substream);
        if drained == Drained::No {
            counts.cut.insert(pasid);
        }
    }
    fn map(&mut self, _: SpaceId, backing: RegionBacking, len_bytes: u64) -> Result<Va, SpaceError> {
        // The processes of these tests see physical addresses.
        assert!(self.0.borrow_mut().mappings.insert((backing.base.0, len_bytes)), "mapped twice");
        Ok(Va(backing.base.0))
    }
    fn unmap(&mut self, _: SpaceId, spans: &[Span]) {
        for span in spans {
            assert!(self.0.borrow_mut().mappings.remove(&(span.at.0, span.len_bytes)), "was not mapped");
        }
    }
    fn replace_by_copy(&mut self, space: SpaceId, span: Span) {
        self.unmap(space, &[span]);
    }
    fn reserve(&mut self, _: SpaceId, _: u64) -> Result<Reserved, SpaceError> {
        unreachable!("the profile has no reserved memory")
    }
    fn release(&mut self, _: SpaceId, _: Span, _: Pa, _: Drained) {
        unreachable!("nothing was reserved")
    }
    fn reserve_for_kernel(&mut self, _: SpaceId, _: u64) -> Result<Reserved, SpaceError> {
        unreachable!("the profile keeps no addresses")
    }
}
