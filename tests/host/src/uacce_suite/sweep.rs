//! A life with every call on a port failing in turn: whatever was taken before comes back.

use super::fakes::{DUS_BYTES, Did, FakeDevice, FakeSpaces, Log, MMIO_BYTES, Shared};
use std::rc::Rc;
use uacce_abi::{Command, Errno, FileRegion, NodeIndex};
use uacce_kernel::{Allocated, Interface, Profile, SpaceId, Uacce};

const OWNER: SpaceId = SpaceId(1);
const NODE: NodeIndex = NodeIndex(0);
const QUEUES: u16 = 4;

type Core = Uacce<Shared, 1, 8>;

/// Two queues of one process: opened, mapped, started, one of them put; then the process ends. Errors are the process's own business.
fn life(uacce: &mut Core, spaces: &mut FakeSpaces) {
    let queues = [0, 1].map(|_| uacce.open(NODE, OWNER, spaces));
    for queue in queues.into_iter().flatten() {
        for (region, len_bytes) in
            [(FileRegion::Dus, DUS_BYTES), (FileRegion::Mmio, MMIO_BYTES), (FileRegion::Ss, 0x2000), (FileRegion::Dko, 0x1000)]
        {
            let _ = uacce.map(queue, OWNER, region, len_bytes, spaces);
        }
        let _ = uacce.ioctl(queue, OWNER, Command::START_Q, &mut []);
    }
    if let Ok(queue) = queues[1] {
        let _ = uacce.ioctl(queue, OWNER, Command::PUT_Q, &mut []);
        let _ = uacce.close(queue, OWNER, spaces);
    }
    uacce.space_exit(OWNER, spaces);
}

#[test]
fn sy_i02_each_call_on_a_port_fails_in_turn_and_everything_unwinds() {
    for profile in Profile::ALL {
        let mut failures = 0;
        for nth in 1.. {
            let log = Log::default();
            let (device, mut spaces) = (FakeDevice::new(&log, QUEUES), FakeSpaces::with_profile(&log, profile));
            let mut uacce = Core::new();
            let allocated = Allocated::new(Interface::new("hisi_zip").unwrap(), Shared(Rc::clone(&device)));
            uacce.register(allocated, &spaces).expect("a node");
            log.fail_at(nth);
            life(&mut uacce, &mut spaces);
            if log.waits_for_failure() {
                break;
            }
            failures += 1;
            let done = log.take();
            let count = |wanted: fn(&Did) -> bool| done.iter().filter(|did| wanted(did)).count();
            assert_eq!((uacce.open_queues(), uacce.bonds()), (0, 0), "{profile:?}, call {nth}");
            assert!(spaces.mappings.is_empty(), "{profile:?}, call {nth}: {:?}", spaces.mappings);
            assert_eq!(count(|did| matches!(did, Did::Bind(_))), count(|did| matches!(did, Did::Unbind(..))), "{profile:?}, call {nth}");
            // Every queue goes back; one that did not stop is the device's to keep.
            assert_eq!(
                count(|did| matches!(did, Did::Get(..))),
                count(|did| matches!(did, Did::Put(_))),
                "{profile:?}, call {nth}: {done:?}"
            );
            assert_eq!(*device.kept.borrow(), *device.running_on.borrow(), "{profile:?}, call {nth}");
            assert_eq!(device.free.borrow().len() + device.kept.borrow().len(), usize::from(QUEUES), "{profile:?}, call {nth}");
            // The next process finds all that is left.
            let second = uacce.open(NODE, SpaceId(2), &mut spaces).expect("open");
            assert_eq!(uacce.ioctl(second, SpaceId(2), Command::START_Q, &mut []), Ok(()), "{profile:?}, call {nth}");
            assert_eq!(uacce.ioctl(second, OWNER, Command::PUT_Q, &mut []), Err(Errno::EACCES));
        }
        // Two binds or one, two queues, their maps, two starts, two stops.
        assert!(failures >= 10, "{profile:?}: {failures}");
    }
}
