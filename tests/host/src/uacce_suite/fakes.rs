//! A device and address spaces that write down what was asked of them, in order.

use hal::{Pa, QueueDevice, QueueError, QueueId, Region, RegionBacking, RegionKind, SubstreamId, Va};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use uacce_kernel::{AddressSpaces, Drained, Profile, Reserved, SpaceError, SpaceId, Span};

/// One call on a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Did {
    Get(u16, Option<u32>),
    Start(u16),
    Stop(u16),
    Retire(u16),
    Put(u16),
    Bind(u64),
    Unbind(u64, Option<u32>, Drained),
    Map(u64, u64),
    Unmap(u64, u64),
    /// A mapping was replaced by a copy of what it held.
    Copied(u64, u64),
    Reserve(u64, u64),
    ReserveForKernel(u64, u64),
    Release(u64, u64, Drained),
}

/// The order of everything, over both ports, and which call is to fail.
#[derive(Clone, Default, Debug)]
pub struct Log {
    done: Rc<RefCell<Vec<Did>>>,
    until_failure: Rc<Cell<u32>>,
}

impl Log {
    pub fn take(&self) -> Vec<Did> {
        self.done.take()
    }
    /// Lets the `nth` call that can fail do so, 1 being the next; 0 for none.
    pub fn fail_at(&self, nth: u32) {
        self.until_failure.set(nth);
    }
    /// True while the failure asked for has not come.
    pub fn waits_for_failure(&self) -> bool {
        self.until_failure.get() != 0
    }
    fn push(&self, did: Did) {
        self.done.borrow_mut().push(did);
    }
    fn fails(&self) -> bool {
        let left = self.until_failure.get();
        self.until_failure.set(left.saturating_sub(1));
        left == 1
    }
}

/// Length of the fake's doorbell region.
pub const MMIO_BYTES: u64 = 0x1_0000;
/// Length of the fake's shared region.
pub const DUS_BYTES: u64 = 0x2_5000;

/// A device of `total` queues whose refusals a test sets.
#[derive(Debug)]
pub struct FakeDevice {
    pub log: Log,
    pub free: RefCell<BTreeSet<u16>>,
    /// Queues that did not stop, and those of them that were given back: the device keeps them.
    pub running_on: RefCell<BTreeSet<u16>>,
    pub kept: RefCell<BTreeSet<u16>>,
    pub start: Cell<Result<(), QueueError>>,
    pub stop: Cell<Result<(), QueueError>>,
    pub updated: RefCell<BTreeSet<u16>>,
    pub has_dus: bool,
    pub is_isolated: Cell<bool>,
}

impl FakeDevice {
    pub fn new(log: &Log, total: u16) -> Rc<Self> {
        Rc::new(Self {
            log: log.clone(),
            free: RefCell::new((0..total).collect()),
            running_on: RefCell::default(),
            kept: RefCell::default(),
            start: Cell::new(Ok(())),
            stop: Cell::new(Ok(())),
            updated: RefCell::default(),
            has_dus: true,
            is_isolated: Cell::new(false),
        })
    }

    fn stop(&self, queue: QueueId) -> Result<(), QueueError> {
        let result = if self.log.fails() { Err(QueueError::TimedOut) } else { self.stop.get() };
        if result.is_err() {
            self.running_on.borrow_mut().insert(queue.0);
        }
        result
    }
}

/// A shared fake: the test keeps one hand on it.
#[derive(Debug)]
pub struct Shared(pub Rc<FakeDevice>);

impl QueueDevice for Shared {
    fn api(&self) -> &'static str {
        "hisi_qm_v3"
    }
    fn algorithms(&self) -> &'static str {
        "zlib\ngzip\ndeflate"
    }
    fn available_instances(&self) -> u32 {
        self.0.free.borrow().len() as u32
    }
    fn region_len_bytes(&self, region: Region) -> u64 {
        match region {
            Region::Mmio => MMIO_BYTES,
            Region::Dus if self.0.has_dus => DUS_BYTES,
            Region::Dus => 0,
        }
    }
    fn get_queue(&self, substream: Option<SubstreamId>) -> Result<QueueId, QueueError> {
        if self.0.log.fails() {
            return Err(QueueError::OutOfMemory);
        }
        let id = self.0.free.borrow_mut().pop_first().ok_or(QueueError::Busy)?;
        self.0.log.push(Did::Get(id, substream.map(|s| s.0)));
        Ok(QueueId(id))
    }
    fn put_queue(&self, queue: QueueId) {
        self.0.log.push(Did::Put(queue.0));
        let place = if self.0.running_on.borrow().contains(&queue.0) { &self.0.kept } else { &self.0.free };
        assert!(place.borrow_mut().insert(queue.0), "queue {} was put twice", queue.0);
    }
    fn start_queue(&self, queue: QueueId) -> Result<(), QueueError> {
        self.0.log.push(Did::Start(queue.0));
        if self.0.log.fails() { Err(QueueError::Io) } else { self.0.start.get() }
    }
    fn stop_queue(&self, queue: QueueId) -> Result<(), QueueError> {
        self.0.log.push(Did::Stop(queue.0));
        self.0.stop(queue)
    }
    fn retire_queue(&self, queue: QueueId) -> Result<(), QueueError> {
        self.0.log.push(Did::Retire(queue.0));
        self.0.stop(queue)
    }
    fn is_isolated(&self) -> bool {
        self.0.is_isolated.get()
    }
    fn isolate_strategy(&self) -> u32 {
        5
    }
    fn is_updated(&self, queue: QueueId) -> bool {
        self.0.updated.borrow_mut().remove(&queue.0)
    }
    fn region(&self, queue: QueueId, region: Region) -> Option<RegionBacking> {
        let len_bytes = self.region_len_bytes(region);
        let (base, kind) = match region {
            Region::Mmio => (0x21_0000_0000 + u64::from(queue.0) * MMIO_BYTES, RegionKind::Device),
            Region::Dus => (0x5000_0000 + u64::from(queue.0) * DUS_BYTES, RegionKind::Memory),
        };
        (len_bytes != 0).then_some(RegionBacking { base: Pa(base), len_bytes, kind })
    }
    fn ioctl(&self, queue: QueueId, command: u32, arg: &mut [u8]) -> Result<(), QueueError> {
        match (command, arg.len()) {
            (0xc004_480a, 4) => {
                if u16::from_le_bytes([arg[2], arg[3]]) > 1 {
                    return Err(QueueError::Invalid);
                }
                arg[..2].copy_from_slice(&queue.0.to_le_bytes());
                Ok(())
            }
            _ => Err(QueueError::Invalid),
        }
    }
}

/// Address spaces: PASIDs from 1 up, one per space for all devices.
pub struct FakeSpaces {
    pub log: Log,
    pub profile: Profile,
    pub pasids: Vec<u64>,
    pub pasid_limit: usize,
    /// What is mapped or reserved, by space and address.
    pub mappings: BTreeSet<(u64, u64)>,
    pub out_of_memory: bool,
    next: u64,
}

impl FakeSpaces {
    pub fn new(log: &Log) -> Self {
        Self::with_profile(log, Profile::Sva)
    }

    pub fn with_profile(log: &Log, profile: Profile) -> Self {
        let (pasids, mappings) = (Vec::new(), BTreeSet::new());
        Self { log: log.clone(), profile, pasids, pasid_limit: 64, mappings, out_of_memory: false, next: 0x10_0000_0000 }
    }

    fn place(&mut self, space: SpaceId) -> Result<u64, SpaceError> {
        if self.out_of_memory || self.log.fails() {
            return Err(SpaceError::OutOfMemory);
        }
        let at = self.next;
        self.next += 0x10_0000;
        self.mappings.insert((space.0, at));
        Ok(at)
    }

    fn remove(&mut self, space: SpaceId, at: Va) {
        assert!(self.mappings.remove(&(space.0, at.0)), "taken away what is not there");
    }
}

impl AddressSpaces for FakeSpaces {
    fn profile(&self, _node: u32) -> Profile {
        self.profile
    }
    fn bind(&mut self, _node: u32, space: SpaceId) -> Result<Option<SubstreamId>, SpaceError> {
        if self.log.fails() {
            return Err(SpaceError::Iommu);
        }
        self.log.push(Did::Bind(space.0));
        if !self.profile.has_substream() {
            return Ok(None);
        }
        let at = self.pasids.iter().position(|owner| *owner == space.0);
        let at = match at {
            Some(at) => at,
            None if self.pasids.len() == self.pasid_limit => return Err(SpaceError::OutOfSubstreams),
            None => {
                self.pasids.push(space.0);
                self.pasids.len() - 1
            }
        };
        Ok(Some(SubstreamId(at as u32 + 1)))
    }
    fn unbind(&mut self, _node: u32, space: SpaceId, substream: Option<SubstreamId>, drained: Drained) {
        self.log.push(Did::Unbind(space.0, substream.map(|s| s.0), drained));
    }
    fn map(&mut self, space: SpaceId, backing: RegionBacking, _len_bytes: u64) -> Result<Va, SpaceError> {
        let at = self.place(space)?;
        self.log.push(Did::Map(space.0, backing.base.0));
        Ok(Va(at))
    }
    fn unmap(&mut self, space: SpaceId, spans: &[Span]) {
        for span in spans {
            self.log.push(Did::Unmap(space.0, span.at.0));
            self.remove(space, span.at);
        }
    }
    fn replace_by_copy(&mut self, space: SpaceId, span: Span) {
        self.log.push(Did::Copied(space.0, span.at.0));
        self.remove(space, span.at);
    }
    fn reserve(&mut self, space: SpaceId, len_bytes: u64) -> Result<Reserved, SpaceError> {
        let at = self.place(space)?;
        self.log.push(Did::Reserve(space.0, len_bytes));
        Ok(Reserved { at: Va(at), base: Pa(at + 0x40_0000_0000) })
    }
    fn release(&mut self, space: SpaceId, span: Span, _base: Pa, drained: Drained) {
        self.log.push(Did::Release(space.0, span.at.0, drained));
        self.remove(space, span.at);
    }
    fn reserve_for_kernel(&mut self, space: SpaceId, len_bytes: u64) -> Result<Reserved, SpaceError> {
        let at = self.place(space)?;
        self.log.push(Did::ReserveForKernel(space.0, len_bytes));
        Ok(Reserved { at: Va(at), base: Pa(at + 0x40_0000_0000) })
    }
}
