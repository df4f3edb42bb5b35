//! The four profiles: what is granted, which regions and commands exist, who may be served at once.

use super::fakes::{DUS_BYTES, Did, FakeDevice, FakeSpaces, Log, MMIO_BYTES, Shared};
use hal::Va;
use std::rc::Rc;
use uacce_abi::{Attribute, Command, Errno, FileRegion, NodeIndex};
use uacce_kernel::{Allocated, Drained, Interface, Profile, QueueHandle, SpaceId, Uacce};

const OWNER: SpaceId = SpaceId(1);
const STRANGER: SpaceId = SpaceId(2);
const NODE: NodeIndex = NodeIndex(0);

struct Machine {
    uacce: Uacce<Shared, 2, 16>,
    spaces: FakeSpaces,
    device: Rc<FakeDevice>,
    log: Log,
}

impl Machine {
    fn new(profile: Profile) -> Self {
        let log = Log::default();
        let (device, spaces) = (FakeDevice::new(&log, 4), FakeSpaces::with_profile(&log, profile));
        let mut uacce = Uacce::new();
        let allocated = Allocated::new(Interface::new("hisi_zip").unwrap(), Shared(device.clone()));
        uacce.register(allocated, &spaces).expect("a node");
        Self { uacce, spaces, device, log }
    }
    fn open(&mut self, space: SpaceId) -> Result<QueueHandle, Errno> {
        self.uacce.open(NODE, space, &mut self.spaces)
    }
    fn map(&mut self, queue: QueueHandle, region: FileRegion, len: u64) -> Result<Va, Errno> {
        self.uacce.map(queue, OWNER, region, len, &mut self.spaces)
    }
    fn attribute(&self, attribute: Attribute) -> String {
        let mut value = [0; 16];
        let len = self.uacce.attribute(NODE, attribute, &mut value).expect("it is there");
        String::from_utf8(value[..len].to_vec()).unwrap()
    }
    fn physical(&mut self, queue: QueueHandle) -> Result<u64, Errno> {
        let mut bytes = [0; 8];
        self.uacce.ioctl(queue, OWNER, Command::GET_SS_DMA, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

#[test]
fn ua_f6_effective_flags_tell_what_was_granted() {
    let seen = Profile::ALL.map(|profile| {
        let m = Machine::new(profile);
        (m.attribute(Attribute::Flags), m.attribute(Attribute::Tainted), m.uacce.effective_flags(NODE), m.uacce.profile(NODE))
    });
    let expected = [
        ("1".into(), "0".into(), Some(1), Some(Profile::Sva)),
        ("4".into(), "0".into(), Some(4), Some(Profile::PasidOnly)),
        ("0".into(), "0".into(), Some(0), Some(Profile::ShareDomain)),
        ("2".into(), "1".into(), Some(2), Some(Profile::NoIommu)),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn ua_p3_without_pasids_one_space_is_served_at_a_time() {
    let mut m = Machine::new(Profile::ShareDomain);
    let (a, b) = (m.open(OWNER).expect("first"), m.open(OWNER).expect("the same space may have more"));
    assert_eq!(m.log.take(), [Did::Bind(1), Did::Get(0, None), Did::Get(1, None)]);
    assert_eq!(m.open(STRANGER), Err(Errno::EBUSY));
    assert_eq!(m.log.take(), [], "nothing was taken for the second");
    m.uacce.close(a, OWNER, &mut m.spaces).expect("close");
    assert_eq!(m.open(STRANGER), Err(Errno::EBUSY));
    m.uacce.close(b, OWNER, &mut m.spaces).expect("close");
    assert_eq!(m.log.take(), [Did::Put(0), Did::Unbind(1, None, Drained::Yes), Did::Put(1)]);
    m.open(STRANGER).expect("the device is free again");
    for profile in [Profile::Sva, Profile::PasidOnly, Profile::NoIommu] {
        let mut m = Machine::new(profile);
        assert!(m.open(OWNER).is_ok() && m.open(STRANGER).is_ok(), "{profile:?} serves many");
    }
}

#[test]
fn ua_x1_reserved_memory_exists_where_addresses_are_not_shared() {
    for profile in Profile::ALL {
        let mut m = Machine::new(profile);
        let queue = m.open(OWNER).expect("open");
        m.log.take();
        let mapped = m.map(queue, FileRegion::Ss, 0x3000);
        if profile == Profile::Sva {
            assert_eq!(mapped, Err(Errno::EINVAL));
            continue;
        }
        let at = mapped.expect("reserved");
        assert_eq!(m.map(queue, FileRegion::Ss, 0x3000), Err(Errno::EEXIST), "once");
        m.uacce.close(queue, OWNER, &mut m.spaces).expect("close");
        assert!(m.log.take().contains(&Did::Release(1, at.0, Drained::Yes)), "{profile:?}: it goes with the queue");
        assert!(m.spaces.mappings.is_empty());
    }
}

#[test]
fn ua_q4_addresses_kept_for_the_kernel_exist_where_there_is_one_table() {
    for profile in Profile::ALL {
        let mut m = Machine::new(profile);
        let queue = m.open(OWNER).expect("open");
        let mapped = m.map(queue, FileRegion::Dko, 0x1000);
        assert_eq!(mapped.is_ok(), profile == Profile::ShareDomain, "{profile:?}: {mapped:?}");
        assert!(mapped.is_ok() || mapped == Err(Errno::EINVAL));
        assert_eq!(m.log.take().contains(&Did::ReserveForKernel(1, 0x1000)), profile == Profile::ShareDomain);
    }
}

#[test]
fn ua_q2_regions_have_an_order_and_only_reserved_memory_has_any_length() {
    let mut regions = FileRegion::ALL;
    regions.sort_by_key(|region| region.legacy_number());
    assert_eq!(regions, [FileRegion::Mmio, FileRegion::Dko, FileRegion::Dus, FileRegion::Ss], "as drawn, from offset 0 on");
    let mut m = Machine::new(Profile::ShareDomain);
    for len in [0x1000, 0x2_0000, 0x123_4000] {
        let queue = m.open(OWNER).expect("open");
        assert_eq!(m.map(queue, FileRegion::Mmio, MMIO_BYTES + 0x1000), Err(Errno::EINVAL));
        assert_eq!(m.map(queue, FileRegion::Dus, DUS_BYTES + 0x1000), Err(Errno::EINVAL));
        assert_eq!(m.map(queue, FileRegion::Dus, DUS_BYTES - 0x1000), Err(Errno::EINVAL));
        m.map(queue, FileRegion::Ss, len).expect("as long as the application likes");
        assert!(m.log.take().contains(&Did::Reserve(1, len)));
        m.uacce.close(queue, OWNER, &mut m.spaces).expect("close");
    }
}

#[test]
fn ua_q11_without_an_iommu_the_driver_backs_its_regions_and_the_core_the_reserved_one() {
    let mut m = Machine::new(Profile::NoIommu);
    let queue = m.open(OWNER).expect("open");
    m.log.take();
    m.map(queue, FileRegion::Mmio, MMIO_BYTES).expect("doorbells");
    m.map(queue, FileRegion::Dus, DUS_BYTES).expect("rings");
    m.map(queue, FileRegion::Ss, 0x3000).expect("reserved");
    // What the fake device says its regions are, once each; nothing of the device's for the third.
    assert_eq!(m.log.take(), [Did::Map(1, 0x21_0000_0000), Did::Map(1, 0x5000_0000), Did::Reserve(1, 0x3000)]);
}

#[test]
fn ua_i1_physical_addresses_are_told_only_where_nothing_translates() {
    for profile in Profile::ALL {
        let mut m = Machine::new(profile);
        let queue = m.open(OWNER).expect("open");
        assert_eq!(m.physical(queue), Err(Errno::EINVAL), "{profile:?}: nothing is reserved");
        let reserved = m.map(queue, FileRegion::Ss, 0x2000);
        let expected = if profile == Profile::NoIommu { Ok(reserved.expect("reserved").0 + 0x40_0000_0000) } else { Err(Errno::EINVAL) };
        assert_eq!(m.physical(queue), expected, "{profile:?}");
        assert_eq!(m.uacce.ioctl(queue, STRANGER, Command::GET_SS_DMA, &mut [0; 8]), Err(Errno::EACCES));
    }
}

#[test]
fn ua_i2_the_taint_outlives_the_device() {
    let log = Log::default();
    let mut spaces = FakeSpaces::with_profile(&log, Profile::NoIommu);
    let mut uacce = Uacce::<_, 2, 4>::new();
    assert!(!uacce.is_tainted());
    let allocated = || Allocated::new(Interface::new("x").unwrap(), Shared(FakeDevice::new(&log, 1)));
    let registered = uacce.register(allocated(), &spaces).expect("a node");
    let queue = uacce.open(NODE, OWNER, &mut spaces).expect("open");
    uacce.close(queue, OWNER, &mut spaces).expect("close");
    uacce.remove(registered, &mut spaces).expect("removed");
    assert!(uacce.is_tainted());
    spaces.profile = Profile::Sva;
    uacce.register(allocated(), &spaces).expect("a node");
    assert!(uacce.is_tainted(), "a confined device later does not undo it");
}

#[test]
fn ua_u8_memory_is_shared_between_queues_of_one_owner() {
    for profile in Profile::ALL {
        let mut m = Machine::new(profile);
        let (a, b) = (m.open(OWNER).expect("open"), m.open(OWNER).expect("open"));
        assert_eq!(m.uacce.share(a, b, OWNER), Err(Errno::EINVAL), "{profile:?}: nothing is reserved");
        if m.map(a, FileRegion::Ss, 0x1000).is_err() {
            continue;
        }
        assert_eq!(m.uacce.share(a, b, OWNER), Ok(()));
        assert_eq!(m.uacce.share(b, a, OWNER), Err(Errno::EINVAL), "it is the first's memory");
        assert_eq!(m.uacce.share(a, b, STRANGER), Err(Errno::EACCES));
        m.uacce.close(b, OWNER, &mut m.spaces).expect("close");
        assert_eq!(m.uacce.share(a, b, OWNER), Err(Errno::EBADF));
        if m.profile_serves_many() {
            let other = m.open(STRANGER).expect("open");
            assert_eq!(m.uacce.share(a, other, OWNER), Err(Errno::EACCES), "{profile:?}: not with somebody else's");
        }
    }
}

impl Machine {
    fn profile_serves_many(&self) -> bool {
        self.uacce.profile(NODE) != Some(Profile::ShareDomain)
    }
}

#[test]
fn a_queue_that_does_not_stop_keeps_its_reserved_memory() {
    let mut m = Machine::new(Profile::NoIommu);
    let queue = m.open(OWNER).expect("open");
    let at = m.map(queue, FileRegion::Ss, 0x1000).expect("reserved");
    m.uacce.ioctl(queue, OWNER, Command::START_Q, &mut []).expect("start");
    m.log.take();
    m.device.stop.set(Err(hal::QueueError::TimedOut));
    m.uacce.close(queue, OWNER, &mut m.spaces).expect("close");
    let expected = [Did::Stop(0), Did::Unbind(1, None, Drained::No), Did::Release(1, at.0, Drained::No), Did::Put(0)];
    assert_eq!(m.log.take(), expected);
}

#[test]
fn reserved_memory_of_a_running_queue_stays_where_nothing_translates() {
    for profile in [Profile::PasidOnly, Profile::ShareDomain, Profile::NoIommu] {
        let mut m = Machine::new(profile);
        let queue = m.open(OWNER).expect("open");
        let at = m.map(queue, FileRegion::Ss, 0x1000).expect("reserved");
        m.map(queue, FileRegion::Dus, DUS_BYTES).expect("rings");
        m.uacce.ioctl(queue, OWNER, Command::START_Q, &mut []).expect("start");
        let unmapped = m.uacce.unmap(queue, OWNER, at, 0x1000, &mut m.spaces);
        let expected = if profile == Profile::NoIommu { Err(Errno::EBUSY) } else { Ok(()) };
        assert_eq!(unmapped, expected, "{profile:?}");
    }
}
