//! Bonds: which device works in which address space, under which PASID, for how many queues.

use crate::port::{AddressSpaces, Drained, SpaceError, SpaceId};
use hal::SubstreamId;
use heapless::Vec;

#[derive(Debug)]
struct Bond {
    node: u32,
    space: SpaceId,
    substream: Option<SubstreamId>,
    queues: u32,
    drained: Drained,
}

/// Whether a device has room for more than one space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sharing {
    /// Any number of spaces.
    Many,
    /// One space at a time: the device has one table.
    One,
}

/// All bonds; at most one per node and space, counted by queues.
#[derive(Debug)]
pub(crate) struct Bonds<const N: usize> {
    bonds: Vec<Bond, N>,
}

impl<const N: usize> Bonds<N> {
    pub const fn new() -> Self {
        Self { bonds: Vec::new() }
    }

    fn find(&mut self, node: u32, space: SpaceId) -> Option<&mut Bond> {
        self.bonds.iter_mut().find(|bond| bond.node == node && bond.space == space)
    }

    /// Takes one more reference, binding at the first.
    pub fn acquire(
        &mut self,
        node: u32,
        space: SpaceId,
        sharing: Sharing,
        spaces: &mut impl AddressSpaces,
    ) -> Result<Option<SubstreamId>, SpaceError> {
        if let Some(bond) = self.find(node, space) {
            bond.queues += 1;
            return Ok(bond.substream);
        }
        if sharing == Sharing::One && self.bonds.iter().any(|bond| bond.node == node) {
            return Err(SpaceError::Taken);
        }
        if self.bonds.is_full() {
            return Err(SpaceError::OutOfMemory);
        }
        let substream = spaces.bind(node, space)?;
        let bond = Bond { node, space, substream, queues: 1, drained: Drained::Yes };
        // There is room: checked above.
        let _ = self.bonds.push(bond);
        Ok(substream)
    }

    /// Gives one reference back, unbinding at the last. One queue that did not stop taints the bond for good.
    pub fn release(&mut self, node: u32, space: SpaceId, drained: Drained, spaces: &mut impl AddressSpaces) {
        let Some(at) = self.bonds.iter().position(|bond| bond.node == node && bond.space == space) else { return };
        let bond = &mut self.bonds[at];
        bond.queues -= 1;
        if drained == Drained::No {
            bond.drained = Drained::No;
        }
        if bond.queues == 0 {
            let Bond { node, space, substream, drained, .. } = self.bonds.swap_remove(at);
            spaces.unbind(node, space, substream, drained);
        }
    }

    /// The PASID under which node `node` works in `space`.
    pub fn substream(&self, node: u32, space: SpaceId) -> Option<SubstreamId> {
        self.bonds.iter().find(|bond| bond.node == node && bond.space == space).and_then(|bond| bond.substream)
    }

    /// Number of bonds.
    pub fn len(&self) -> usize {
        self.bonds.len()
    }
}
