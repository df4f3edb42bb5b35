//! The core proper: nodes, open queues, and the calls on them.

use crate::attribute;
use crate::bond::{Bonds, Sharing};
use crate::errno::{errno_of, errno_of_space};
use crate::interface::Interface;
use crate::port::{AddressSpaces, Drained, SpaceId, Span};
use crate::profile::Profile;
use crate::queue::{MappedRegion, Queue, QueueState, REGIONS, Readiness};
use hal::{Pa, QueueDevice, QueueId, Region, SubstreamId, Va};
use heapless::Vec;
use uacce_abi::{Attribute, Command, Errno, FileRegion, NodeIndex, flags, ioctl::ARGUMENT_MAX_BYTES};

/// A registered device. The device is gone once it was removed; the node stays until its last queue was closed.
#[derive(Debug)]
pub(crate) struct Node<D> {
    pub interface: Interface,
    pub profile: Profile,
    pub device: Option<D>,
    pub open_queues: u32,
}

/// A device with its interface, known to nobody yet: the first of its three states.
#[derive(Debug)]
pub struct Allocated<D> {
    interface: Interface,
    device: D,
}

impl<D: QueueDevice> Allocated<D> {
    /// Puts interface and device together. Nothing of it can be seen or opened.
    pub const fn new(interface: Interface, device: D) -> Self {
        Self { interface, device }
    }

    /// Gives the device back.
    pub fn into_device(self) -> D {
        self.device
    }
}

/// A device that has a node: the second state. There is one of these per device, and removing it takes it.
#[derive(PartialEq, Eq, Debug)]
pub struct Registered(NodeIndex);

impl Registered {
    /// The device's node.
    pub const fn node(&self) -> NodeIndex {
        self.0
    }
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    queue: Option<Queue>,
}

/// Names an open queue. Stale after close: the generation moves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct QueueHandle {
    slot: u16,
    generation: u32,
}

/// What is left of a removed device: the third state.
#[derive(Debug)]
pub struct Removed<D> {
    /// The device, given back to its driver.
    pub device: D,
    /// Queues that did not stop; the device still holds them.
    pub stuck_queues: u32,
}

/// The core: at most `NODES` devices, `QUEUES` open queues and as many bonds.
#[derive(Debug)]
pub struct Uacce<D, const NODES: usize, const QUEUES: usize> {
    nodes: [Option<Node<D>>; NODES],
    slots: [Slot; QUEUES],
    bonds: Bonds<QUEUES>,
    is_tainted: bool,
}

impl<D: QueueDevice, const NODES: usize, const QUEUES: usize> Default for Uacce<D, NODES, QUEUES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: QueueDevice, const NODES: usize, const QUEUES: usize> Uacce<D, NODES, QUEUES> {
    const SLOTS_FIT: () = assert!(QUEUES <= u16::MAX as usize + 1);

    /// A core without devices.
    pub const fn new() -> Self {
        let () = Self::SLOTS_FIT;
        Self {
            nodes: [const { None }; NODES],
            slots: [const { Slot { generation: 0, queue: None } }; QUEUES],
            bonds: Bonds::new(),
            is_tainted: false,
        }
    }

    /// Publishes a device as a node, complete in one step: nobody can open it earlier, and its attributes are final when it shows.
    /// What was granted may be less than what was asked for: see [`Uacce::profile`].
    ///
    /// # Errors
    /// The allocation, if there is no room for another node.
    pub fn register(&mut self, allocated: Allocated<D>, spaces: &impl AddressSpaces) -> Result<Registered, Allocated<D>> {
        let Some(at) = self.nodes.iter().position(Option::is_none) else { return Err(allocated) };
        let Allocated { interface, device } = allocated;
        let offered = spaces.profile(at as u32);
        let wants_sva = interface.flags & flags::SVA != 0;
        let profile = if offered == Profile::Sva && !wants_sva { Profile::PasidOnly } else { offered };
        self.is_tainted |= profile.is_tainting();
        self.nodes[at] = Some(Node { interface, profile, device: Some(device), open_queues: 0 });
        Ok(Registered(NodeIndex(at as u32)))
    }

    /// How a node's device shares memory.
    pub fn profile(&self, node: NodeIndex) -> Option<Profile> {
        self.nodes.get(node.0 as usize)?.as_ref().map(|node| node.profile)
    }

    /// The flags that were granted to a node.
    pub fn effective_flags(&self, node: NodeIndex) -> Option<u32> {
        self.profile(node).map(Profile::flags)
    }

    /// True once a device that nothing confines was registered. It stays so.
    pub const fn is_tainted(&self) -> bool {
        self.is_tainted
    }

    /// The device of a node.
    pub fn device(&self, node: NodeIndex) -> Option<&D> {
        self.nodes.get(node.0 as usize)?.as_ref()?.device.as_ref()
    }

    /// Writes an attribute of a node; returns its length in bytes.
    ///
    /// # Errors
    /// `ENODEV` without such a node, `ENOENT` for an absent attribute, `ERANGE` if it does not fit.
    pub fn attribute(&self, node: NodeIndex, attribute: Attribute, into: &mut [u8]) -> Result<usize, Errno> {
        let entry = self.nodes.get(node.0 as usize).and_then(Option::as_ref).ok_or(Errno::ENODEV)?;
        let device = entry.device.as_ref().ok_or(Errno::ENODEV)?;
        attribute::write_value(entry, device, node.0, self.is_tainted, attribute, into)
    }

    /// Takes a queue for `caller`, binding its address space at the first.
    ///
    /// # Errors
    /// `ENODEV` without such a node, `EBUSY` without a free instance or PASID or if another process has a device that serves one, `EMFILE`
    /// without a free handle, `ENOMEM`, or the device's own refusal.
    pub fn open(&mut self, node: NodeIndex, caller: SpaceId, spaces: &mut impl AddressSpaces) -> Result<QueueHandle, Errno> {
        let entry = self.nodes.get_mut(node.0 as usize).and_then(Option::as_mut).ok_or(Errno::ENODEV)?;
        let device = entry.device.as_ref().ok_or(Errno::ENODEV)?;
        let profile = entry.profile;
        let at = self.slots.iter().position(|slot| slot.queue.is_none()).ok_or(Errno::EMFILE)?;
        let sharing = if profile == Profile::ShareDomain { Sharing::One } else { Sharing::Many };
        let substream = self.bonds.acquire(node.0, caller, sharing, spaces).map_err(errno_of_space)?;
        let id = match device.get_queue(substream) {
            Ok(id) => id,
            Err(error) => {
                self.bonds.release(node.0, caller, Drained::Yes, spaces);
                return Err(errno_of(error));
            }
        };
        entry.open_queues += 1;
        let slot = &mut self.slots[at];
        slot.generation = slot.generation.wrapping_add(1);
        slot.queue = Some(Queue::new(node.0, id, caller, profile));
        Ok(QueueHandle { slot: at as u16, generation: slot.generation })
    }

    /// A control command. `argument` is the kernel's copy of the caller's structure, updated in place.
    ///
    /// # Errors
    /// The table at the top of the crate; `EINVAL` for a length that is not the command's, an unknown command, or one that the node's profile
    /// does not have.
    pub fn ioctl(&mut self, handle: QueueHandle, caller: SpaceId, command: Command, argument: &mut [u8]) -> Result<(), Errno> {
        let (queue, device) = self.owned(handle, caller)?;
        queue.check_alive()?;
        let device = device.ok_or(Errno::ENXIO)?;
        if argument.len() != command.argument_bytes() || argument.len() > ARGUMENT_MAX_BYTES {
            return Err(Errno::EINVAL);
        }
        match command {
            Command::START_Q => {
                queue.check_start()?;
                device.start_queue(queue.id).map_err(errno_of)?;
                queue.state = QueueState::Started;
                Ok(())
            }
            Command::PUT_Q => stop(queue, device),
            // The other queue is not a structure but a handle: see `share`.
            Command::SHARE_SVAS => Err(Errno::EINVAL),
            Command::GET_SS_DMA => {
                let base = queue.physical_share().ok_or(Errno::EINVAL)?;
                argument.copy_from_slice(&base.0.to_le_bytes());
                Ok(())
            }
            _ => device.ioctl(queue.id, command.0, argument).map_err(errno_of),
        }
    }

    /// Lets the device of another queue of the same owner use this queue's reserved memory. What was reserved belongs to the address space, and
    /// a device is given all of it as it is bound: what is left is to refuse pairs that have nothing to share.
    ///
    /// # Errors
    /// `EBADF`, `EACCES`, `ENXIO`; `EINVAL` if the profile of either has no reserved memory, or none was mapped.
    pub fn share(&mut self, handle: QueueHandle, target: QueueHandle, caller: SpaceId) -> Result<(), Errno> {
        let (queue, _) = self.owned(handle, caller)?;
        queue.check_alive()?;
        let is_mapped = queue.regions[FileRegion::Ss as usize].is_some();
        let (queue, _) = self.owned(target, caller)?;
        queue.check_alive()?;
        let target_shares = queue.profile.has_static_share();
        if target_shares && is_mapped { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Maps a region into the owner's space; returns its address. A region that the profile adds is made by the core, of any length.
    ///
    /// # Errors
    /// `ENXIO`, `EEXIST`, `EINVAL` for a region that device or profile lack or a length that does not fit, `ENOMEM`.
    pub fn map(
        &mut self,
        handle: QueueHandle,
        caller: SpaceId,
        region: FileRegion,
        len_bytes: u64,
        spaces: &mut impl AddressSpaces,
    ) -> Result<Va, Errno> {
        let (queue, device) = self.owned(handle, caller)?;
        queue.check_map(region, len_bytes)?;
        let device = device.ok_or(Errno::ENXIO)?;
        let of_device = |wanted| device.region(queue.id, wanted).ok_or(Errno::EINVAL);
        let (at, reserved) = match region {
            FileRegion::Mmio => {
                let backing = of_device(Region::Mmio).and_then(|b| if len_bytes > b.len_bytes { Err(Errno::EINVAL) } else { Ok(b) })?;
                (spaces.map(caller, backing, len_bytes).map_err(errno_of_space)?, None)
            }
            FileRegion::Dus => {
                let backing = of_device(Region::Dus).and_then(|b| if len_bytes != b.len_bytes { Err(Errno::EINVAL) } else { Ok(b) })?;
                (spaces.map(caller, backing, len_bytes).map_err(errno_of_space)?, None)
            }
            FileRegion::Ss if queue.profile.has_static_share() => {
                let reserved = spaces.reserve(caller, len_bytes).map_err(errno_of_space)?;
                (reserved.at, Some(reserved.base))
            }
            FileRegion::Dko if queue.profile.has_kernel_only() => {
                let reserved = spaces.reserve_for_kernel(caller, len_bytes).map_err(errno_of_space)?;
                (reserved.at, Some(reserved.base))
            }
            FileRegion::Ss | FileRegion::Dko => return Err(Errno::EINVAL),
        };
        queue.regions[region as usize] = Some(MappedRegion { span: Span { at, len_bytes }, reserved });
        Ok(at)
    }

    /// Removes the mapping of a region, by its address; the region can be mapped again.
    ///
    /// # Errors
    /// `EINVAL` if no region of the queue lies there with exactly that length; `EBUSY` for reserved memory of a running queue where no IOMMU
    /// could end what is in flight.
    pub fn unmap(
        &mut self,
        handle: QueueHandle,
        caller: SpaceId,
        at: Va,
        len_bytes: u64,
        spaces: &mut impl AddressSpaces,
    ) -> Result<(), Errno> {
        let (queue, _) = self.owned(handle, caller)?;
        let wanted = Span { at, len_bytes };
        let region = queue.regions.iter_mut().find(|region| region.is_some_and(|r| r.span == wanted)).ok_or(Errno::EINVAL)?;
        let is_reserved = region.is_some_and(|region| region.reserved.is_some());
        if is_reserved && queue.profile == Profile::NoIommu && queue.state == QueueState::Started {
            return Err(Errno::EBUSY);
        }
        match region.take().and_then(|region| region.reserved) {
            Some(base) => {
                let drained = if queue.stuck { Drained::No } else { Drained::Yes };
                spaces.release(caller, wanted, base, drained);
            }
            None => spaces.unmap(caller, &[wanted]),
        }
        Ok(())
    }

    /// What poll has to say. Asking consumes the news.
    ///
    /// # Errors
    /// `EBADF`, `EACCES`.
    pub fn poll(&mut self, handle: QueueHandle, caller: SpaceId) -> Result<Readiness, Errno> {
        let (queue, device) = self.owned(handle, caller)?;
        Ok(match (queue.state, device) {
            (QueueState::Zombie, _) | (_, None) => Readiness::Error,
            (QueueState::Init, _) => Readiness::Quiet,
            (QueueState::Started, Some(device)) => {
                if device.is_updated(queue.id) {
                    Readiness::Readable
                } else {
                    Readiness::Quiet
                }
            }
        })
    }

    /// Closes a queue: stops it if it runs, unbinds the space at the last queue, unmaps its regions, puts it.
    ///
    /// # Errors
    /// `EBADF`, `EACCES`; nothing has changed then.
    pub fn close(&mut self, handle: QueueHandle, caller: SpaceId, spaces: &mut impl AddressSpaces) -> Result<(), Errno> {
        self.owned(handle, caller)?;
        self.reclaim(usize::from(handle.slot), spaces);
        Ok(())
    }

    /// Takes everything back from a space that ends, whatever state its queues are in: all of them stop before the first is unmapped or put.
    /// Its handles are stale afterwards.
    pub fn space_exit(&mut self, space: SpaceId, spaces: &mut impl AddressSpaces) {
        for slot in &mut self.slots {
            if let Some(queue) = slot.queue.as_mut().filter(|queue| queue.owner == space)
                && let Some(device) = device_of(&self.nodes, queue.node)
            {
                // A refusal is kept in `stuck`; there is nobody to tell.
                let _ = stop(queue, device);
            }
        }
        for at in 0..QUEUES {
            if self.slots[at].queue.as_ref().is_some_and(|queue| queue.owner == space) {
                self.reclaim(at, spaces);
            }
        }
    }

    /// Removes a device: its queues stop and say so in their memory, of which their owners keep a copy, their doorbells vanish from their
    /// owners' spaces, and what is left of them is dead. The node's number is free again once the last of them was closed.
    ///
    /// # Errors
    /// `ENODEV` without such a device: it is of another core.
    pub fn remove(&mut self, registered: Registered, spaces: &mut impl AddressSpaces) -> Result<Removed<D>, Errno> {
        let node = registered.0;
        let entry = self.nodes.get_mut(node.0 as usize).and_then(Option::as_mut).ok_or(Errno::ENODEV)?;
        // From here on nobody finds the device.
        let device = entry.device.take().ok_or(Errno::ENODEV)?;
        if entry.open_queues == 0 {
            self.nodes[node.0 as usize] = None;
        }
        let mut stuck_queues = 0;
        for slot in &mut self.slots {
            if let Some(queue) = slot.queue.as_mut().filter(|queue| queue.node == node.0) {
                if queue.state == QueueState::Started {
                    // Pending requests end now, and the owner is told in the rings that there will be no more.
                    queue.stuck = device.retire_queue(queue.id).is_err();
                }
                if let Some(region) = queue.regions[FileRegion::Dus as usize].take() {
                    spaces.replace_by_copy(queue.owner, region.span);
                }
                release_hold(queue, Some(&device), &mut self.bonds, spaces);
                queue.state = QueueState::Zombie;
                stuck_queues += u32::from(queue.stuck);
            }
        }
        Ok(Removed { device, stuck_queues })
    }

    /// The handle of a device queue: whom a completion wakes.
    pub fn handle_of(&self, node: NodeIndex, id: QueueId) -> Option<QueueHandle> {
        self.slots.iter().enumerate().find_map(|(at, slot)| {
            let queue = slot.queue.as_ref()?;
            (queue.node == node.0 && queue.id == id && queue.held).then_some(QueueHandle { slot: at as u16, generation: slot.generation })
        })
    }

    /// State of a queue.
    ///
    /// # Errors
    /// `EBADF`, `EACCES`.
    pub fn state(&mut self, handle: QueueHandle, caller: SpaceId) -> Result<QueueState, Errno> {
        self.owned(handle, caller).map(|(queue, _)| queue.state)
    }

    /// The PASID under which a node works in a space; for the kernel only, no call returns it to a process.
    pub fn substream(&self, node: NodeIndex, space: SpaceId) -> Option<SubstreamId> {
        self.bonds.substream(node.0, space)
    }

    /// Number of bonds between devices and spaces.
    pub fn bonds(&self) -> usize {
        self.bonds.len()
    }

    /// Number of open queues.
    pub fn open_queues(&self) -> usize {
        self.slots.iter().filter(|slot| slot.queue.is_some()).count()
    }

    fn owned(&mut self, handle: QueueHandle, caller: SpaceId) -> Result<(&mut Queue, Option<&D>), Errno> {
        let slot = self.slots.get_mut(usize::from(handle.slot)).ok_or(Errno::EBADF)?;
        if slot.generation != handle.generation {
            return Err(Errno::EBADF);
        }
        let queue = slot.queue.as_mut().ok_or(Errno::EBADF)?;
        if queue.owner != caller {
            return Err(Errno::EACCES);
        }
        let device = device_of(&self.nodes, queue.node);
        Ok((queue, device))
    }

    /// Takes one slot back.
    fn reclaim(&mut self, at: usize, spaces: &mut impl AddressSpaces) {
        let slot = &mut self.slots[at].queue;
        let Some(queue) = slot.as_mut() else { return };
        let node = queue.node;
        let device = device_of(&self.nodes, node);
        if let Some(device) = device {
            let _ = stop(queue, device);
        }
        release_hold(queue, device, &mut self.bonds, spaces);
        *slot = None;
        let entry = &mut self.nodes[node as usize];
        if let Some(node) = entry {
            node.open_queues -= 1;
            if node.open_queues == 0 && node.device.is_none() {
                *entry = None;
            }
        }
    }
}

fn device_of<D>(nodes: &[Option<Node<D>>], node: u32) -> Option<&D> {
    nodes[node as usize].as_ref()?.device.as_ref()
}

/// Stops a started queue. A queue that does not stop is dead: its memory may still be written, and stays with the device.
fn stop(queue: &mut Queue, device: &impl QueueDevice) -> Result<(), Errno> {
    if queue.state != QueueState::Started {
        return Ok(());
    }
    match device.stop_queue(queue.id) {
        Ok(()) => {
            queue.state = QueueState::Init;
            Ok(())
        }
        Err(error) => {
            queue.state = QueueState::Zombie;
            queue.stuck = true;
            Err(errno_of(error))
        }
    }
}

/// Drops a stopped queue's bond, unmaps its regions and puts it, in this order: once the last bond is gone no device walks the space's table,
/// so that one invalidation serves both; and a queue's memory is nobody's before it is put.
fn release_hold<const N: usize>(
    queue: &mut Queue,
    device: Option<&impl QueueDevice>,
    bonds: &mut Bonds<N>,
    spaces: &mut impl AddressSpaces,
) {
    let drained = if queue.stuck { Drained::No } else { Drained::Yes };
    if queue.held {
        bonds.release(queue.node, queue.owner, drained, spaces);
    }
    let mut spans: Vec<Span, REGIONS> = Vec::new();
    for region in &mut queue.regions {
        match region.take() {
            Some(MappedRegion { span, reserved: Some(base) }) => spaces.release(queue.owner, span, base, drained),
            // As many as there are regions.
            Some(MappedRegion { span, reserved: None }) => drop(spans.push(span)),
            None => {}
        }
    }
    if !spans.is_empty() {
        spaces.unmap(queue.owner, &spans);
    }
    // One that did not stop goes back, too: only the device can tell when its memory is free.
    if ::core::mem::take(&mut queue.held)
        && let Some(device) = device
    {
        device.put_queue(queue.id);
    }
}

impl Queue {
    /// Where requests of a device that nothing translates for find the reserved memory.
    fn physical_share(&self) -> Option<Pa> {
        self.regions[FileRegion::Ss as usize]?.reserved.filter(|_| self.profile == Profile::NoIommu)
    }
}
