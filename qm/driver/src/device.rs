//! The queue manager as uacce drives it.

use hal::{Clock, DmaMapper, QueueDevice, QueueError, QueueId, Region, RegionBacking, RegisterWindow, SubstreamId};

use crate::Qm;

/// Exclusive access to a driver that several callers share: the caller's lock.
pub trait Lock {
    /// What is locked.
    type Target;
    /// Calls `f` with the lock held.
    fn with<R>(&self, f: impl FnOnce(&mut Self::Target) -> R) -> R;
}

/// A [`Qm`] behind the caller's lock, as a [`QueueDevice`].
pub struct QmDevice<L> {
    lock: L,
    api: &'static str,
    algorithms: &'static str,
}

impl<L, W, C, M, const QUEUES: usize> QmDevice<L>
where
    L: Lock<Target = Qm<W, C, M, QUEUES>>,
    W: RegisterWindow,
    C: Clock,
    M: DmaMapper,
{
    /// Wraps the lock.
    pub fn new(lock: L) -> Self {
        let api = lock.with(|qm| qm.parameters().version.api());
        Self::with_api(lock, api)
    }

    /// Wraps the lock; the queue format has a name that the version does not tell ([`qm_spec::QmVersion::api_with`]).
    pub fn with_api(lock: L, api: &'static str) -> Self {
        let algorithms = lock.with(|qm| qm.parameters().engine.algorithms);
        Self { lock, api, algorithms }
    }

    /// The lock.
    pub const fn lock(&self) -> &L {
        &self.lock
    }
}

impl<L, W, C, M, const QUEUES: usize> QueueDevice for QmDevice<L>
where
    L: Lock<Target = Qm<W, C, M, QUEUES>>,
    W: RegisterWindow,
    C: Clock,
    M: DmaMapper,
{
    fn api(&self) -> &'static str {
        self.api
    }
    fn algorithms(&self) -> &'static str {
        self.algorithms
    }
    fn available_instances(&self) -> u32 {
        self.lock.with(|qm| qm.available())
    }
    fn region_len_bytes(&self, region: Region) -> u64 {
        self.lock.with(|qm| qm.region_len_bytes(region))
    }
    fn get_queue(&self, substream: Option<SubstreamId>) -> Result<QueueId, QueueError> {
        self.lock.with(|qm| qm.get_queue(substream)).map_err(|error| error.queue_error())
    }
    fn put_queue(&self, queue: QueueId) {
        self.lock.with(|qm| qm.put_queue(queue));
    }
    fn start_queue(&self, queue: QueueId) -> Result<(), QueueError> {
        self.lock.with(|qm| qm.start_queue(queue)).map_err(|error| error.queue_error())
    }
    fn stop_queue(&self, queue: QueueId) -> Result<(), QueueError> {
        self.lock.with(|qm| qm.stop_queue(queue)).map_err(|error| error.queue_error())
    }
    fn retire_queue(&self, queue: QueueId) -> Result<(), QueueError> {
        self.lock.with(|qm| qm.disable_queue(queue)).map_err(|error| error.queue_error())
    }
    fn is_isolated(&self) -> bool {
        self.lock.with(|qm| qm.is_isolated())
    }
    fn isolate_strategy(&self) -> u32 {
        self.lock.with(|qm| qm.isolate_threshold().into())
    }
    fn is_updated(&self, queue: QueueId) -> bool {
        self.lock.with(|qm| qm.is_updated(queue))
    }
    fn region(&self, queue: QueueId, region: Region) -> Option<RegionBacking> {
        self.lock.with(|qm| qm.region(queue, region))
    }
    fn ioctl(&self, queue: QueueId, command: u32, arg: &mut [u8]) -> Result<(), QueueError> {
        self.lock.with(|qm| qm.ioctl(queue, command, arg)).map_err(|error| error.queue_error())
    }
}
