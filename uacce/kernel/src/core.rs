//! The core proper: nodes, open queues, and the calls on them.

use crate::attribute;
use crate::bond::Bonds;
use crate::errno::{errno_of, errno_of_space};
use crate::interface::Interface;
use crate::port::{AddressSpaces, Drained, SpaceId};
use crate::queue::{MappedRegion, Queue, QueueState, Readiness};
use hal::{QueueDevice, QueueId, Region, SubstreamId, Va};
use uacce_abi::{Attribute, Command, Errno, NodeIndex, flags, ioctl::ARGUMENT_MAX_BYTES};

/// A registered device. The device is gone once it was removed; the node stays until its last queue was closed.
#[derive(Debug)]
pub(crate) struct Node<D> {
    pub interface: Interface,
    pub effective_flags: u32,
    pub device: Option<D>,
    pub open_queues: u32,
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

/// What is left of a removed device.
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
        Self { nodes: [const { None }; NODES], slots: [const { Slot { generation: 0, queue: None } }; QUEUES], bonds: Bonds::new() }
    }

    /// Publishes a device as a node, complete in one step: nobody can open it earlier, and its attributes are final when it shows.
    /// The flags granted may be fewer than asked for: see [`Uacce::effective_flags`].
    ///
    /// # Errors
    /// The device, if there is no room for another node.
    pub fn register(&mut self, interface: Interface, device: D, spaces: &impl AddressSpaces) -> Result<NodeIndex, D> {
        let Some(at) = self.nodes.iter().position(Option::is_none) else { return Err(device) };
        let granted = if spaces.supports_sva(at as u32) { flags::SVA } else { 0 };
        let effective_flags = interface.flags & granted;
        self.nodes[at] = Some(Node { interface, effective_flags, device: Some(device), open_queues: 0 });
        Ok(NodeIndex(at as u32))
    }

    /// The flags that were granted to a node.
    pub fn effective_flags(&self, node: NodeIndex) -> Option<u32> {
        self.nodes.get(node.0 as usize)?.as_ref().map(|node| node.effective_flags)
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
        attribute::write_value(entry, device, node.0, attribute, into)
    }

    /// Takes a queue for `caller`, binding its address space at the first.
    ///
    /// # Errors
    /// `ENODEV` without such a node or without shared virtual addressing, `EBUSY` without a free instance or PASID, `EMFILE` without a
    /// free handle, `ENOMEM`, or the device's own refusal.
    pub fn open(&mut self, node: NodeIndex, caller: SpaceId, spaces: &mut impl AddressSpaces) -> Result<QueueHandle, Errno> {
        let entry = self.nodes.get_mut(node.0 as usize).and_then(Option::as_mut).ok_or(Errno::ENODEV)?;
        let device = entry.device.as_ref().ok_or(Errno::ENODEV)?;
        if entry.effective_flags & flags::SVA == 0 {
            return Err(Errno::ENODEV);
        }
        let at = self.slots.iter().position(|slot| slot.queue.is_none()).ok_or(Errno::EMFILE)?;
        let substream = self.bonds.acquire(node.0, caller, spaces).map_err(errno_of_space)?;
        let id = match device.get_queue(Some(substream)) {
            Ok(id) => id,
            Err(error) => {
                self.bonds.release(node.0, caller, Drained::Yes, spaces);
                return Err(errno_of(error));
            }
        };
        entry.open_queues += 1;
        let slot = &mut self.slots[at];
        slot.generation = slot.generation.wrapping_add(1);
        slot.queue = Some(Queue::new(node.0, id, caller));
        Ok(QueueHandle { slot: at as u16, generation: slot.generation })
    }

    /// A control command. `argument` is the kernel's copy of the caller's structure, updated in place.
    ///
    /// # Errors
    /// The table at the top of the crate; `EINVAL` for a length that is not the command's, an unknown command, or a legacy one.
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
            Command::SHARE_SVAS | Command::GET_SS_DMA => Err(Errno::EINVAL),
            _ => device.ioctl(queue.id, command.0, argument).map_err(errno_of),
        }
    }

    /// Maps a region into the owner's space; returns its address.
    ///
    /// # Errors
    /// `ENXIO`, `EEXIST`, `EINVAL` for a region that the device lacks or a length that does not fit, `ENOMEM`.
    pub fn map(
        &mut self,
        handle: QueueHandle,
        caller: SpaceId,
        region: Region,
        len_bytes: u64,
        spaces: &mut impl AddressSpaces,
    ) -> Result<Va, Errno> {
        let (queue, device) = self.owned(handle, caller)?;
        queue.check_alive()?;
        let backing = device.ok_or(Errno::ENXIO)?.region(queue.id, region).ok_or(Errno::EINVAL)?;
        queue.check_map(region, backing.len_bytes, len_bytes)?;
        let at = spaces.map(caller, backing, len_bytes).map_err(errno_of_space)?;
        queue.regions[region as usize] = Some(MappedRegion { at, len_bytes });
        Ok(at)
    }

    /// Removes the mapping of a region, by its address; the region can be mapped again.
    ///
    /// # Errors
    /// `EINVAL` if no region of the queue lies there with exactly that length.
    pub fn unmap(
        &mut self,
        handle: QueueHandle,
        caller: SpaceId,
        at: Va,
        len_bytes: u64,
        spaces: &mut impl AddressSpaces,
    ) -> Result<(), Errno> {
        let (queue, _) = self.owned(handle, caller)?;
        let wanted = Some(MappedRegion { at, len_bytes });
        let region = queue.regions.iter_mut().find(|region| **region == wanted).ok_or(Errno::EINVAL)?;
        *region = None;
        spaces.unmap(caller, at, len_bytes);
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

    /// Closes a queue: stops it if it runs, unmaps its regions, puts it, and unbinds the space at the last queue.
    ///
    /// # Errors
    /// `EBADF`, `EACCES`; nothing has changed then.
    pub fn close(&mut self, handle: QueueHandle, caller: SpaceId, spaces: &mut impl AddressSpaces) -> Result<(), Errno> {
        self.owned(handle, caller)?;
        self.reclaim(usize::from(handle.slot), spaces);
        Ok(())
    }

    /// Takes everything back from a space that ends, whatever state its queues are in: all of them stop before the first is put, and all
    /// are put before the space is unbound. Its handles are stale afterwards.
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

    /// Removes a device: its queues stop, their regions vanish from their owners' spaces, and what is left of them is dead. The node's
    /// number is free again once the last of them was closed.
    ///
    /// # Errors
    /// `ENODEV` without such a device.
    pub fn remove(&mut self, node: NodeIndex, spaces: &mut impl AddressSpaces) -> Result<Removed<D>, Errno> {
        let entry = self.nodes.get_mut(node.0 as usize).and_then(Option::as_mut).ok_or(Errno::ENODEV)?;
        // From here on nobody finds the device.
        let device = entry.device.take().ok_or(Errno::ENODEV)?;
        if entry.open_queues == 0 {
            self.nodes[node.0 as usize] = None;
        }
        let mut stuck_queues = 0;
        for slot in &mut self.slots {
            if let Some(queue) = slot.queue.as_mut().filter(|queue| queue.node == node.0) {
                let _ = stop(queue, &device);
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
        let Some(mut queue) = self.slots[at].queue.take() else { return };
        let device = device_of(&self.nodes, queue.node);
        if let Some(device) = device {
            let _ = stop(&mut queue, device);
        }
        release_hold(&mut queue, device, &mut self.bonds, spaces);
        let entry = &mut self.nodes[queue.node as usize];
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

/// Stops a started queue. A queue that does not stop is dead and stays with the device: its memory may still be written.
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

/// Unmaps a stopped queue's regions, puts it and drops its bond, in this order: a region must not outlive its queue's owner, and a PASID
/// must outlive the queue that uses it.
fn release_hold<const N: usize>(
    queue: &mut Queue,
    device: Option<&impl QueueDevice>,
    bonds: &mut Bonds<N>,
    spaces: &mut impl AddressSpaces,
) {
    for region in &mut queue.regions {
        if let Some(MappedRegion { at, len_bytes }) = region.take() {
            spaces.unmap(queue.owner, at, len_bytes);
        }
    }
    if !queue.held {
        return;
    }
    queue.held = false;
    if let Some(device) = device
        && !queue.stuck
    {
        device.put_queue(queue.id);
    }
    let drained = if queue.stuck { Drained::No } else { Drained::Yes };
    bonds.release(queue.node, queue.owner, drained, spaces);
}
