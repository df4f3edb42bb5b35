//! The uacce core in this kernel: its devices, its address spaces, its waiters.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use hal::{QueueDevice, QueueError, QueueId, Region, RegionBacking, StreamId, SubstreamId, Va};
use hal_aarch64::SpinLock;
use uacce_abi::NodeIndex;
use uacce_kernel::{AddressSpaces, Drained, Interface, QueueHandle, SpaceError, SpaceId, Uacce};

use crate::{smmu, space};

/// Devices at a time.
const NODES: usize = 4;
/// Queues open at a time.
const QUEUES: usize = 256;
/// No stream.
const NO_STREAM: u32 = u32::MAX;

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
static STREAMS: [AtomicU32; NODES] = [const { AtomicU32::new(NO_STREAM) }; NODES];

/// The address spaces behind the core's port.
pub struct Spaces;

impl Spaces {
    fn stream(node: u32) -> Option<StreamId> {
        let stream = STREAMS.get(node as usize)?.load(Ordering::Relaxed);
        (stream != NO_STREAM).then_some(StreamId(stream))
    }
}

impl AddressSpaces for Spaces {
    fn supports_sva(&self, _node: u32) -> bool {
        smmu::supports_sva()
    }
    fn bind(&mut self, node: u32, id: SpaceId) -> Result<SubstreamId, SpaceError> {
        space::bind(id, Self::stream(node).ok_or(SpaceError::Iommu)?)
    }
    fn unbind(&mut self, node: u32, id: SpaceId, substream: SubstreamId, drained: Drained) {
        if let Some(stream) = Self::stream(node) {
            space::unbind(id, stream, substream, drained);
        }
    }
    fn map(&mut self, id: SpaceId, backing: RegionBacking, len_bytes: u64) -> Result<Va, SpaceError> {
        space::map_queue_region(id, backing, len_bytes)
    }
    fn unmap(&mut self, id: SpaceId, at: Va, len_bytes: u64) {
        space::unmap_queue_region(id, at, len_bytes);
    }
}

/// Runs `f` on the core. While it runs, nothing else may ask for the core; device waits inside it serve the SMMU's events.
pub fn with_core<T>(f: impl FnOnce(&mut Core, &mut Spaces) -> T) -> T {
    f(&mut CORE.lock(), &mut Spaces)
}

/// Publishes a device whose requests carry `stream`.
pub(crate) fn register(interface: Interface, device: &'static (dyn QueueDevice + Sync), stream: StreamId) -> Option<NodeIndex> {
    let node = with_core(|core, spaces| core.register(interface, Device(device), spaces)).ok()?;
    STREAMS[node.0 as usize].store(stream.0, Ordering::Relaxed);
    Some(node)
}

/// The open queues behind device queues: whom an interrupt wakes.
pub(crate) fn handles_of(node: NodeIndex, queues: &[QueueId]) -> Vec<QueueHandle> {
    with_core(|core, _| queues.iter().filter_map(|queue| core.handle_of(node, *queue)).collect())
}
