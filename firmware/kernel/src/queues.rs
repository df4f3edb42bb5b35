//! The uacce core in this kernel: its devices, its address spaces, its waiters.

use alloc::vec::Vec;

use hal::{Pa, QueueDevice, QueueError, QueueId, Region, RegionBacking, StreamId, SubstreamId, Va};
use hal_aarch64::SpinLock;
use uacce_abi::NodeIndex;
use uacce_kernel::{
    AddressSpaces, Allocated, Drained, Interface, Profile, QueueHandle, Registered, Reserved, SpaceError, SpaceId, Span, Uacce,
};

use crate::domain::DomainId;
use crate::{space, task};

/// Devices at a time.
const NODES: usize = 16;
const _: () = assert!(NODES <= uacce_abi::NodeIndex::LIMIT as usize);
/// Queues open at a time.
const QUEUES: usize = 256;

/// How a device is joined to address spaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Link {
    /// What its transactions carry.
    pub stream: StreamId,
    /// How it shares memory.
    pub profile: Profile,
    /// The domain of what it does without a SubstreamID.
    pub domain: DomainId,
}

/// A device of whatever kind.
pub struct Device(pub &'static (dyn QueueDevice + Sync));

impl QueueDevice for Device {
    fn api(&self) -> &'static str {
        self.0.api()
    }
    fn algorithms(&self) -> &'static str {
        self.0.algorithms()
    }
    fn available_instances(&self) -> u32 {
        self.0.available_instances()
    }
    fn region_len_bytes(&self, region: Region) -> u64 {
        self.0.region_len_bytes(region)
    }
    fn get_queue(&self, substream: Option<SubstreamId>) -> Result<QueueId, QueueError> {
        self.0.get_queue(substream)
    }
    fn put_queue(&self, queue: QueueId) {
        self.0.put_queue(queue);
    }
    fn start_queue(&self, queue: QueueId) -> Result<(), QueueError> {
        self.0.start_queue(queue)
    }
    fn stop_queue(&self, queue: QueueId) -> Result<(), QueueError> {
        self.0.stop_queue(queue).inspect_err(|error| defmt::error!("queue {=u16} did not stop: {}", queue.0, defmt::Debug2Format(error)))
    }
    fn retire_queue(&self, queue: QueueId) -> Result<(), QueueError> {
        self.0.retire_queue(queue).inspect_err(|error| defmt::error!("queue {=u16} did not stop: {}", queue.0, defmt::Debug2Format(error)))
    }
    fn is_isolated(&self) -> bool {
        self.0.is_isolated()
    }
    fn isolate_strategy(&self) -> u32 {
        self.0.isolate_strategy()
    }
    fn is_updated(&self, queue: QueueId) -> bool {
        self.0.is_updated(queue)
    }
    fn region(&self, queue: QueueId, region: Region) -> Option<RegionBacking> {
        self.0.region(queue, region)
    }
    fn ioctl(&self, queue: QueueId, command: u32, arg: &mut [u8]) -> Result<(), QueueError> {
        self.0.ioctl(queue, command, arg)
    }
}

/// The core, as this kernel has it.
pub type Core = Uacce<Device, NODES, QUEUES>;

static CORE: SpinLock<Core> = SpinLock::new(Uacce::new());
static LINKS: SpinLock<[Option<Link>; NODES]> = SpinLock::new([None; NODES]);
static REGISTERED: SpinLock<Vec<Registered>> = SpinLock::new(Vec::new());

/// The address spaces behind the core's port.
pub struct Spaces {
    /// How the device that is being registered shares memory.
    offered: Profile,
}

fn link(node: u32) -> Option<Link> {
    LINKS.lock().get(node as usize).copied().flatten()
}

impl AddressSpaces for Spaces {
    fn profile(&self, _node: u32) -> Profile {
        self.offered
    }
    fn bind(&mut self, node: u32, id: SpaceId) -> Result<Option<SubstreamId>, SpaceError> {
        space::bind(id, link(node).ok_or(SpaceError::Iommu)?)
    }
    fn unbind(&mut self, node: u32, id: SpaceId, substream: Option<SubstreamId>, drained: Drained) {
        if let Some(link) = link(node) {
            space::unbind(id, link, substream, drained);
        }
    }
    fn map(&mut self, id: SpaceId, backing: RegionBacking, len_bytes: u64) -> Result<Va, SpaceError> {
        space::map_queue_region(id, backing, len_bytes)
    }
    fn unmap(&mut self, id: SpaceId, spans: &[Span]) {
        space::unmap_queue_regions(id, spans);
    }
    fn replace_by_copy(&mut self, id: SpaceId, span: Span) {
        space::replace_by_copy(id, span);
    }
    fn reserve(&mut self, id: SpaceId, len_bytes: u64) -> Result<Reserved, SpaceError> {
        space::reserve(id, len_bytes)
    }
    fn release(&mut self, id: SpaceId, span: Span, base: Pa, drained: Drained) {
        space::release(id, span, base, drained);
    }
    fn reserve_for_kernel(&mut self, id: SpaceId, len_bytes: u64) -> Result<Reserved, SpaceError> {
        space::reserve_for_kernel(id, len_bytes)
    }
}

/// Runs `f` on the core. While it runs, nothing else may ask for the core; device waits inside it serve the SMMU's events.
pub fn with_core<T>(f: impl FnOnce(&mut Core, &mut Spaces) -> T) -> T {
    f(&mut CORE.lock(), &mut Spaces { offered: Profile::Sva })
}

/// Publishes a device.
pub(crate) fn register(interface: Interface, device: &'static (dyn QueueDevice + Sync), link: Link) -> Option<NodeIndex> {
    let registered = with_core(|core, spaces| {
        spaces.offered = link.profile;
        let registered = core.register(Allocated::new(interface, Device(device)), spaces).ok()?;
        // Before anybody can open it.
        LINKS.lock()[registered.node().0 as usize] = Some(link);
        Some(registered)
    })?;
    let node = registered.node();
    REGISTERED.lock().push(registered);
    Some(node)
}

/// Takes a device away from processes, whatever its queues are doing: doorbells go, requests end, whoever sleeps on a queue wakes and is
/// told. Returns how many queues did not stop, `None` if the node has no device.
pub fn remove(node: NodeIndex) -> Option<u32> {
    let registered = {
        let mut all = REGISTERED.lock();
        let at = all.iter().position(|registered| registered.node() == node)?;
        all.swap_remove(at)
    };
    let removed = with_core(|core, spaces| core.remove(registered, spaces)).ok()?;
    task::wake_all_pollers();
    Some(removed.stuck_queues)
}

/// The open queues behind device queues: whom an interrupt wakes.
pub(crate) fn handles_of(node: NodeIndex, queues: &[QueueId]) -> Vec<QueueHandle> {
    with_core(|core, _| queues.iter().filter_map(|queue| core.handle_of(node, *queue)).collect())
}
