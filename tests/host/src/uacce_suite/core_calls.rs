//! The core's calls: states × calls × callers, refusals, and the order in which things are taken back.

use super::fakes::{DUS_BYTES, Did, FakeDevice, FakeSpaces, Log, MMIO_BYTES, Shared};
use hal::{QueueError, Region};
use std::rc::Rc;
use uacce_abi::{Attribute, Command, Errno, FileRegion, NodeIndex};
use uacce_kernel::{Allocated, Drained, Interface, QueueHandle, QueueState, Readiness, Registered, SpaceId, Uacce};

const OWNER: SpaceId = SpaceId(1);
const STRANGER: SpaceId = SpaceId(2);
const NODE: NodeIndex = NodeIndex(0);

struct Fixture {
    uacce: Uacce<Shared, 2, 16>,
    spaces: FakeSpaces,
    device: Rc<FakeDevice>,
    log: Log,
    registered: Option<Registered>,
}

/// A device before it has a node.
fn allocated(name: &str, device: &Rc<FakeDevice>) -> Allocated<Shared> {
    Allocated::new(Interface::new(name).unwrap(), Shared(device.clone()))
}

impl Fixture {
    fn new(queues: u16) -> Self {
        let log = Log::default();
        let (device, spaces) = (FakeDevice::new(&log, queues), FakeSpaces::new(&log));
        let mut uacce = Uacce::new();
        let registered = uacce.register(allocated("hisi_zip", &device), &spaces).expect("a node");
        assert_eq!(registered.node(), NODE);
        Self { uacce, spaces, device, log, registered: Some(registered) }
    }
    fn open(&mut self, space: SpaceId) -> QueueHandle {
        self.uacce.open(NODE, space, &mut self.spaces).expect("open")
    }
    fn start(&mut self, queue: QueueHandle, space: SpaceId) -> Result<(), Errno> {
        self.uacce.ioctl(queue, space, Command::START_Q, &mut [])
    }
    fn put(&mut self, queue: QueueHandle, space: SpaceId) -> Result<(), Errno> {
        self.uacce.ioctl(queue, space, Command::PUT_Q, &mut [])
    }
    fn context(&mut self, queue: QueueHandle, space: SpaceId) -> Result<(), Errno> {
        self.uacce.ioctl(queue, space, Command::SET_QP_CTX, &mut [0; 4])
    }
    fn map(&mut self, queue: QueueHandle, space: SpaceId, region: Region, len: u64) -> Result<hal::Va, Errno> {
        self.uacce.map(queue, space, region.into(), len, &mut self.spaces)
    }
    fn remove(&mut self) -> uacce_kernel::Removed<Shared> {
        let registered = self.registered.take().expect("removed once");
        self.uacce.remove(registered, &mut self.spaces).expect("remove")
    }
    fn close(&mut self, queue: QueueHandle, space: SpaceId) -> Result<(), Errno> {
        self.uacce.close(queue, space, &mut self.spaces)
    }
    fn attribute(&self, attribute: Attribute) -> Result<String, Errno> {
        let mut value = [0; 256];
        let len = self.uacce.attribute(NODE, attribute, &mut value)?;
        Ok(String::from_utf8(value[..len].to_vec()).unwrap())
    }
    /// A queue of OWNER in the wanted state.
    fn in_state(&mut self, state: QueueState) -> QueueHandle {
        let queue = self.open(OWNER);
        match state {
            QueueState::Init => {}
            QueueState::Started => self.start(queue, OWNER).expect("start"),
            QueueState::Zombie => {
                self.start(queue, OWNER).expect("start");
                self.device.stop.set(Err(QueueError::TimedOut));
                assert_eq!(self.put(queue, OWNER), Err(Errno::ETIMEDOUT));
                self.device.stop.set(Ok(()));
            }
        }
        assert_eq!(self.uacce.state(queue, OWNER), Ok(state));
        queue
    }
}

#[test]
fn ua_l3_q9_l01_whole_life_in_order() {
    let mut f = Fixture::new(4);
    let queue = f.open(OWNER);
    let mut context = [0xff, 0xff, 1, 0];
    f.uacce.ioctl(queue, OWNER, Command::SET_QP_CTX, &mut context).expect("context");
    assert_eq!(context, [0, 0, 1, 0], "the queue's number is returned, the direction kept");
    f.map(queue, OWNER, Region::Dus, DUS_BYTES).expect("map DUS");
    f.map(queue, OWNER, Region::Mmio, MMIO_BYTES).expect("map MMIO");
    f.start(queue, OWNER).expect("start");
    f.put(queue, OWNER).expect("put");
    f.close(queue, OWNER).expect("close");
    let (dus, mmio) = (0x10_0010_0000 - 0x10_0000, 0x10_0010_0000);
    assert_eq!(
        f.log.take(),
        [
            Did::Bind(1),
            Did::Get(0, Some(1)),
            Did::Map(1, 0x5000_0000),
            Did::Map(1, 0x21_0000_0000),
            Did::Start(0),
            Did::Stop(0),
            Did::Unbind(1, Some(1), Drained::Yes),
            Did::Unmap(1, mmio),
            Did::Unmap(1, dus),
            Did::Put(0),
        ]
    );
}

#[test]
fn ua_l02_states_times_calls() {
    use QueueState::{Init, Started, Zombie};
    type Case = (QueueState, fn(&mut Fixture, QueueHandle) -> Result<(), Errno>, Result<(), Errno>, QueueState);
    let start: fn(&mut Fixture, QueueHandle) -> _ = |f, q| f.start(q, OWNER);
    let put: fn(&mut Fixture, QueueHandle) -> _ = |f, q| f.put(q, OWNER);
    let context: fn(&mut Fixture, QueueHandle) -> _ = |f, q| f.context(q, OWNER);
    let map: fn(&mut Fixture, QueueHandle) -> _ = |f, q| f.map(q, OWNER, Region::Dus, DUS_BYTES).map(drop);
    let cases: [Case; 12] = [
        (Init, start, Ok(()), Started),
        (Init, put, Ok(()), Init),
        (Init, context, Ok(()), Init),
        (Init, map, Ok(()), Init),
        (Started, start, Err(Errno::EINVAL), Started),
        (Started, put, Ok(()), Init),
        (Started, context, Ok(()), Started),
        (Started, map, Ok(()), Started),
        (Zombie, start, Err(Errno::ENXIO), Zombie),
        (Zombie, put, Err(Errno::ENXIO), Zombie),
        (Zombie, context, Err(Errno::ENXIO), Zombie),
        (Zombie, map, Err(Errno::ENXIO), Zombie),
    ];
    for (number, (before, call, expected, after)) in cases.into_iter().enumerate() {
        let mut f = Fixture::new(4);
        let queue = f.in_state(before);
        assert_eq!(call(&mut f, queue), expected, "case {number}");
        assert_eq!(f.uacce.state(queue, OWNER), Ok(after), "case {number}");
    }
    for (state, poll) in [(Init, Readiness::Quiet), (Started, Readiness::Quiet), (Zombie, Readiness::Error)] {
        let mut f = Fixture::new(4);
        let queue = f.in_state(state);
        assert_eq!(f.uacce.poll(queue, OWNER), Ok(poll));
        assert_eq!(f.close(queue, OWNER), Ok(()), "close is legal in {state:?}");
        assert_eq!(f.uacce.state(queue, OWNER), Err(Errno::EBADF));
    }
}

#[test]
fn ua_p04_every_call_of_a_stranger_is_refused_in_every_state() {
    for state in [QueueState::Init, QueueState::Started, QueueState::Zombie] {
        let mut f = Fixture::new(4);
        let queue = f.in_state(state);
        f.device.updated.borrow_mut().insert(0);
        f.log.take();
        assert_eq!(f.start(queue, STRANGER), Err(Errno::EACCES));
        assert_eq!(f.put(queue, STRANGER), Err(Errno::EACCES));
        assert_eq!(f.context(queue, STRANGER), Err(Errno::EACCES));
        assert_eq!(f.map(queue, STRANGER, Region::Mmio, MMIO_BYTES), Err(Errno::EACCES));
        assert_eq!(f.uacce.unmap(queue, STRANGER, hal::Va(0), 4096, &mut f.spaces), Err(Errno::EACCES));
        assert_eq!(f.uacce.poll(queue, STRANGER), Err(Errno::EACCES));
        assert_eq!(f.close(queue, STRANGER), Err(Errno::EACCES));
        f.uacce.space_exit(STRANGER, &mut f.spaces);
        assert_eq!(f.log.take(), [], "nothing reached a port");
        assert_eq!(f.uacce.state(queue, OWNER), Ok(state), "nothing changed");
        if state == QueueState::Started {
            assert_eq!(f.uacce.poll(queue, OWNER), Ok(Readiness::Readable), "the news was not consumed by the stranger");
        }
    }
}

#[test]
fn ua_q8_l03_regions_are_mapped_once_and_whole() {
    let mut f = Fixture::new(4);
    let queue = f.open(OWNER);
    for len in [0, 1, 4096, DUS_BYTES - 4096, DUS_BYTES + 4096, !0xfff] {
        assert_eq!(f.map(queue, OWNER, Region::Dus, len), Err(Errno::EINVAL), "DUS length {len:#x}");
    }
    for len in [0, 1, MMIO_BYTES + 4096] {
        assert_eq!(f.map(queue, OWNER, Region::Mmio, len), Err(Errno::EINVAL), "MMIO length {len:#x}");
    }
    let at = f.map(queue, OWNER, Region::Dus, DUS_BYTES).expect("map");
    assert_eq!(f.map(queue, OWNER, Region::Dus, DUS_BYTES), Err(Errno::EEXIST));
    assert_eq!(f.map(queue, OWNER, Region::Dus, 1), Err(Errno::EEXIST));
    f.map(queue, OWNER, Region::Mmio, 4096).expect("a shorter doorbell mapping is accepted");
    assert_eq!(f.uacce.unmap(queue, OWNER, at, 4096, &mut f.spaces), Err(Errno::EINVAL), "never in part");
    f.uacce.unmap(queue, OWNER, at, DUS_BYTES, &mut f.spaces).expect("as a whole");
    f.map(queue, OWNER, Region::Dus, DUS_BYTES).expect("and again");
    f.spaces.out_of_memory = true;
    let other = f.open(OWNER);
    assert_eq!(f.map(other, OWNER, Region::Dus, DUS_BYTES), Err(Errno::ENOMEM));
    f.spaces.out_of_memory = false;
    f.map(other, OWNER, Region::Dus, DUS_BYTES).expect("a failed mapping leaves no trace");
}

#[test]
fn ua_q7_a_region_that_the_device_lacks_is_absent_everywhere() {
    let log = Log::default();
    let mut device = FakeDevice::new(&log, 1);
    Rc::get_mut(&mut device).unwrap().has_dus = false;
    let mut spaces = FakeSpaces::new(&log);
    let mut uacce = Uacce::<_, 1, 4>::new();
    assert!(uacce.register(allocated("dummy", &device), &spaces).is_ok());
    assert_eq!(uacce.attribute(NODE, Attribute::RegionDusSize, &mut [0; 16]), Err(Errno::ENOENT));
    assert_eq!(uacce.attribute(NODE, Attribute::RegionMmioSize, &mut [0; 16]), Ok(5));
    let queue = uacce.open(NODE, OWNER, &mut spaces).expect("open");
    assert_eq!(uacce.map(queue, OWNER, FileRegion::Dus, 4096, &mut spaces), Err(Errno::EINVAL));
}

#[test]
fn ua_l04_start_twice_is_refused_put_twice_is_not() {
    let mut f = Fixture::new(4);
    let queue = f.open(OWNER);
    assert_eq!(f.start(queue, OWNER), Ok(()));
    assert_eq!(f.start(queue, OWNER), Err(Errno::EINVAL));
    assert_eq!((f.put(queue, OWNER), f.put(queue, OWNER)), (Ok(()), Ok(())));
    let stops = f.log.take().into_iter().filter(|did| *did == Did::Stop(0)).count();
    assert_eq!(stops, 1);
    for (refusal, errno) in [(QueueError::Io, Errno::EIO), (QueueError::TimedOut, Errno::ETIMEDOUT)] {
        f.device.start.set(Err(refusal));
        assert_eq!(f.start(queue, OWNER), Err(errno));
        assert_eq!(f.uacce.state(queue, OWNER), Ok(QueueState::Init), "a refused start starts nothing");
    }
}

#[test]
fn ua_i4_l05_commands_are_checked_by_number_and_length() {
    let mut f = Fixture::new(4);
    let queue = f.open(OWNER);
    let mut ioctl = |command, argument: &mut [u8]| f.uacce.ioctl(queue, OWNER, command, argument);
    assert_eq!(ioctl(Command::SET_QP_CTX, &mut [0; 3]), Err(Errno::EINVAL));
    assert_eq!(ioctl(Command::SET_QP_CTX, &mut [0; 5]), Err(Errno::EINVAL));
    assert_eq!(ioctl(Command::START_Q, &mut [0]), Err(Errno::EINVAL));
    assert_eq!(ioctl(Command::SET_QP_CTX, &mut [0, 0, 2, 0]), Err(Errno::EINVAL), "no such direction");
    assert_eq!(ioctl(Command(0x5799), &mut []), Err(Errno::EINVAL));
    assert_eq!(ioctl(Command(0xc3ff_4899), &mut [0; 0x3ff]), Err(Errno::EINVAL));
    assert_eq!(ioctl(Command::GET_SS_DMA, &mut [0; 8]), Err(Errno::EINVAL), "legacy, refused in the SVA profile");
    assert_eq!(ioctl(Command::SHARE_SVAS, &mut []), Err(Errno::EINVAL), "legacy, refused in the SVA profile");
}

#[test]
fn ua_r8_one_bond_per_space_dropped_by_its_last_queue() {
    let mut f = Fixture::new(8);
    let (a, b) = (f.open(OWNER), f.open(OWNER));
    let c = f.open(STRANGER);
    assert_eq!(f.uacce.bonds(), 2);
    assert_eq!(f.uacce.substream(NODE, OWNER), Some(hal::SubstreamId(1)));
    assert_eq!(f.uacce.substream(NODE, STRANGER), Some(hal::SubstreamId(2)));
    f.log.take();
    f.close(a, OWNER).expect("close");
    assert_eq!(f.log.take(), [Did::Put(0)]);
    f.close(b, OWNER).expect("close");
    assert_eq!(f.log.take(), [Did::Unbind(1, Some(1), Drained::Yes), Did::Put(1)]);
    assert_eq!((f.uacce.bonds(), f.uacce.substream(NODE, OWNER)), (1, None));
    f.close(c, STRANGER).expect("close");
    assert_eq!(f.uacce.bonds(), 0);
}

#[test]
fn ua_l6_r7_exit_takes_back_eight_queues_in_the_safe_order() {
    let mut f = Fixture::new(8);
    for _ in 0..8 {
        let queue = f.open(OWNER);
        f.map(queue, OWNER, Region::Dus, DUS_BYTES).expect("map");
        f.start(queue, OWNER).expect("start");
    }
    assert_eq!(f.attribute(Attribute::AvailableInstances), Ok("0".into()));
    f.log.take();
    f.uacce.space_exit(OWNER, &mut f.spaces);
    let log = f.log.take();
    let last = |wanted: fn(&Did) -> bool| log.iter().rposition(wanted).unwrap();
    let first = |wanted: fn(&Did) -> bool| log.iter().position(wanted).unwrap();
    assert!(last(|d| matches!(d, Did::Stop(_))) < first(|d| !matches!(d, Did::Stop(_))), "all stop first");
    assert!(first(|d| matches!(d, Did::Unbind(..))) < last(|d| matches!(d, Did::Unmap(..))), "unbound while the last queue is still held");
    assert_eq!(log.iter().filter(|d| matches!(d, Did::Unbind(..))).count(), 1);
    assert_eq!((f.attribute(Attribute::AvailableInstances), f.uacce.open_queues()), (Ok("8".into()), 0));
    assert!(f.spaces.mappings.is_empty());
}

#[test]
fn ua_l7_closing_after_exit_is_refused_and_a_new_owner_is_safe() {
    let mut f = Fixture::new(1);
    let old = f.open(OWNER);
    f.uacce.space_exit(OWNER, &mut f.spaces);
    let new = f.open(STRANGER);
    assert_eq!(f.close(old, OWNER), Err(Errno::EBADF));
    assert_eq!(f.close(old, STRANGER), Err(Errno::EBADF), "the slot is the same, the handle is not");
    assert_eq!(f.uacce.state(new, STRANGER), Ok(QueueState::Init));
}

#[test]
fn a_queue_that_does_not_stop_is_the_devices_to_keep_and_its_pasid_is_cut_off() {
    for how in [0, 1, 2] {
        let mut f = Fixture::new(2);
        let (queue, other) = (f.open(OWNER), f.open(OWNER));
        f.start(queue, OWNER).expect("start");
        f.device.stop.set(Err(QueueError::TimedOut));
        f.log.take();
        match how {
            0 => f.close(queue, OWNER).expect("close"),
            1 => f.uacce.space_exit(OWNER, &mut f.spaces),
            _ => assert_eq!(f.remove().stuck_queues, 1),
        }
        let _ = f.close(other, OWNER);
        let log = f.log.take();
        assert!(log.contains(&Did::Put(0)) && log.contains(&Did::Put(1)), "{how}: {log:?}");
        assert!(log.contains(&Did::Unbind(1, Some(1), Drained::No)), "{how}: {log:?}");
        assert_eq!((f.device.free.borrow().len(), f.device.kept.borrow().len()), (1, 1), "the device was told, and nobody is given it");
    }
}

#[test]
fn ua_l13_a01_the_last_instance_is_followed_by_ebusy_and_comes_back() {
    let mut f = Fixture::new(2);
    let (a, _b) = (f.open(OWNER), f.open(OWNER));
    assert_eq!(f.uacce.open(NODE, STRANGER, &mut f.spaces), Err(Errno::EBUSY));
    assert_eq!(f.uacce.bonds(), 1, "a refused open leaves no bond");
    assert_eq!(f.attribute(Attribute::AvailableInstances), Ok("0".into()));
    f.close(a, OWNER).expect("close");
    assert_eq!(f.attribute(Attribute::AvailableInstances), Ok("1".into()));
    f.open(STRANGER);
}

#[test]
fn pasids_run_out_with_ebusy_and_take_no_queue() {
    let mut f = Fixture::new(4);
    f.spaces.pasid_limit = 1;
    f.open(OWNER);
    assert_eq!(f.uacce.open(NODE, STRANGER, &mut f.spaces), Err(Errno::EBUSY));
    assert_eq!(f.device.free.borrow().len(), 3);
}

#[test]
fn ua_l1_l10_o23_l06_removal_ends_queues_at_once_and_frees_the_node_at_the_last_close() {
    let mut f = Fixture::new(2);
    let queue = f.open(OWNER);
    f.map(queue, OWNER, Region::Mmio, MMIO_BYTES).expect("map");
    f.map(queue, OWNER, Region::Dus, DUS_BYTES).expect("map");
    f.start(queue, OWNER).expect("start");
    f.log.take();
    let removed = f.remove();
    assert_eq!(removed.stuck_queues, 0);
    let expected =
        [Did::Retire(0), Did::Copied(1, 0x10_0010_0000), Did::Unbind(1, Some(1), Drained::Yes), Did::Unmap(1, 0x10_0000_0000), Did::Put(0)];
    assert_eq!(f.log.take(), expected, "the rings stay as a copy, the doorbell goes");
    assert_eq!(f.start(queue, OWNER), Err(Errno::ENXIO));
    assert_eq!(f.map(queue, OWNER, Region::Mmio, MMIO_BYTES), Err(Errno::ENXIO));
    assert_eq!(f.uacce.poll(queue, OWNER), Ok(Readiness::Error));
    assert_eq!(f.uacce.open(NODE, OWNER, &mut f.spaces), Err(Errno::ENODEV));
    assert_eq!(f.attribute(Attribute::Api), Err(Errno::ENODEV));
    let again = f.uacce.register(Allocated::new(Interface::new("hisi_zip").unwrap(), removed.device), &f.spaces);
    assert_eq!(again.expect("a node").node(), NodeIndex(1), "node 0 still has an open queue");
    f.close(queue, OWNER).expect("close");
    assert_eq!(f.log.take(), [], "nothing is taken back twice");
    let third = f.uacce.register(allocated("dummy", &FakeDevice::new(&f.log, 1)), &f.spaces);
    assert_eq!(third.expect("a node").node(), NODE, "the number is free again");
}

#[test]
fn ua_l5_i3_l07_poll_tells_each_completion_once_and_names_the_waiter() {
    let mut f = Fixture::new(4);
    let (a, b) = (f.open(OWNER), f.open(OWNER));
    f.start(a, OWNER).expect("start");
    f.start(b, OWNER).expect("start");
    f.device.updated.borrow_mut().insert(1);
    assert_eq!(f.uacce.handle_of(NODE, hal::QueueId(1)), Some(b));
    assert_eq!(f.uacce.handle_of(NODE, hal::QueueId(3)), None);
    assert_eq!(f.uacce.poll(a, OWNER), Ok(Readiness::Quiet), "exactly the waiters of that queue");
    assert_eq!(f.uacce.poll(b, OWNER), Ok(Readiness::Readable));
    assert_eq!(f.uacce.poll(b, OWNER), Ok(Readiness::Quiet));
}

#[test]
fn ua_s1_s2_s3_o24_o28_l08_attributes_tell_what_the_device_is() {
    let f = Fixture::new(4);
    let expected = [
        (Attribute::Name, "hisi_zip-0"),
        (Attribute::Api, "hisi_qm_v3"),
        (Attribute::Flags, "1"),
        (Attribute::AvailableInstances, "4"),
        (Attribute::Algorithms, "zlib\ngzip\ndeflate"),
        (Attribute::RegionMmioSize, "65536"),
        (Attribute::RegionDusSize, "151552"),
        (Attribute::Isolate, "0"),
        (Attribute::IsolateStrategy, "5"),
        (Attribute::Id, "0"),
        (Attribute::NodeId, "-1"),
        (Attribute::NumaDistance, "0"),
        (Attribute::Tainted, "0"),
    ];
    assert_eq!(expected.len(), Attribute::ALL.len());
    for (attribute, value) in expected {
        assert_eq!(f.attribute(attribute).as_deref(), Ok(value));
    }
    f.device.is_isolated.set(true);
    assert_eq!(f.attribute(Attribute::Isolate).as_deref(), Ok("1"));
    assert_eq!(f.uacce.attribute(NODE, Attribute::Api, &mut [0; 9]), Err(Errno::ERANGE));
    assert_eq!(f.uacce.attribute(NodeIndex(1), Attribute::Api, &mut [0; 9]), Err(Errno::ENODEV));
    assert_eq!(f.uacce.attribute(NodeIndex(u32::MAX), Attribute::Api, &mut [0; 9]), Err(Errno::ENODEV));
}

#[test]
fn handles_and_nodes_run_out_cleanly() {
    let log = Log::default();
    let mut spaces = FakeSpaces::new(&log);
    let mut uacce = Uacce::<_, 1, 2>::new();
    assert!(uacce.register(allocated("a", &FakeDevice::new(&log, 8)), &spaces).is_ok());
    let refused = uacce.register(allocated("b", &FakeDevice::new(&log, 8)), &spaces).expect_err("one node");
    assert_eq!(refused.into_device().0.free.borrow().len(), 8, "the device comes back");
    uacce.open(NODE, OWNER, &mut spaces).expect("first");
    uacce.open(NODE, OWNER, &mut spaces).expect("second");
    log.take();
    assert_eq!(uacce.open(NODE, OWNER, &mut spaces), Err(Errno::EMFILE));
    assert_eq!(log.take(), [], "refused before anything was taken");
}

#[test]
fn ua_l11_r9_l12_o24_nothing_is_open_or_taken_before_registration() {
    let log = Log::default();
    let mut spaces = FakeSpaces::new(&log);
    let device = FakeDevice::new(&log, 4);
    let mut uacce = Uacce::<_, 1, 4>::new();
    let waiting = allocated("hisi_zip", &device);
    assert_eq!(uacce.open(NODE, OWNER, &mut spaces), Err(Errno::ENODEV), "allocated is not registered");
    assert_eq!(uacce.attribute(NODE, Attribute::Name, &mut [0; 64]), Err(Errno::ENODEV));
    let registered = uacce.register(waiting, &spaces).expect("a node");
    assert!(log.take().is_empty() && device.free.borrow().len() == 4, "registration takes no queue");
    for attribute in Attribute::ALL {
        assert!(uacce.attribute(NODE, attribute, &mut [0; 64]).is_ok(), "{attribute:?} is there at once");
    }
    uacce.open(NODE, OWNER, &mut spaces).expect("open");
    assert_eq!(device.free.borrow().len(), 3, "an open takes one");
    // `registered` moves: a second removal cannot be written.
    uacce.remove(registered, &mut spaces).expect("removed");
    assert_eq!(uacce.open(NODE, OWNER, &mut spaces), Err(Errno::ENODEV));
}

#[test]
fn ua_l2_every_open_is_another_queue() {
    let mut f = Fixture::new(4);
    let queues = [f.open(OWNER), f.open(OWNER), f.open(STRANGER)];
    let mut numbers = Vec::new();
    for (queue, owner) in queues.into_iter().zip([OWNER, OWNER, STRANGER]) {
        let mut context = [0; 4];
        f.uacce.ioctl(queue, owner, Command::SET_QP_CTX, &mut context).expect("context");
        numbers.push(u16::from_le_bytes([context[0], context[1]]));
    }
    assert_eq!(numbers, [0, 1, 2]);
    f.start(queues[0], OWNER).expect("start");
    assert_eq!(f.uacce.state(queues[1], OWNER), Ok(QueueState::Init), "each has a state of its own");
}
