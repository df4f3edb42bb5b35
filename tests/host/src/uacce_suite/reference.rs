//! A reference in a hundred lines, and random sequences of calls that it and the core must answer alike.

use super::fakes::{DUS_BYTES, FakeDevice, FakeSpaces, Log, MMIO_BYTES, Shared};
use std::rc::Rc;
use uacce_abi::{Command, Errno, FileRegion, NodeIndex};
use uacce_kernel::{Allocated, Interface, Profile, QueueHandle, QueueState, Readiness, Registered, SpaceId, Uacce};

const QUEUES: usize = 6;
const INSTANCES: usize = 4;
const SPACES: u64 = 3;

/// What the reference knows of a queue.
#[derive(Clone, Debug)]
struct Known {
    owner: u64,
    state: QueueState,
    regions: [bool; 4],
}

/// What may happen. Queues are named by the number of the open that made them.
#[derive(Clone, Copy, Debug)]
enum Op {
    Open(u64),
    Start(usize, u64),
    Put(usize, u64),
    Map(usize, u64, FileRegion),
    Unmap(usize, u64, FileRegion),
    Physical(usize, u64),
    Share(usize, usize, u64),
    Poll(usize, u64),
    Close(usize, u64),
    Exit(u64),
    Remove,
}

/// The reference. `None` stands for a queue that was closed.
struct Reference {
    profile: Profile,
    queues: Vec<Option<Known>>,
    is_removed: bool,
}

impl Reference {
    fn open_queues(&self) -> impl Iterator<Item = &Known> {
        self.queues.iter().flatten()
    }

    fn owned(&mut self, queue: usize, caller: u64) -> Result<&mut Known, Errno> {
        let known = self.queues.get_mut(queue).and_then(Option::as_mut).ok_or(Errno::EBADF)?;
        if known.owner == caller { Ok(known) } else { Err(Errno::EACCES) }
    }

    fn alive(&mut self, queue: usize, caller: u64) -> Result<&mut Known, Errno> {
        let known = self.owned(queue, caller)?;
        if known.state == QueueState::Zombie { Err(Errno::ENXIO) } else { Ok(known) }
    }

    fn apply(&mut self, op: Op) -> Result<(), Errno> {
        let profile = self.profile;
        match op {
            Op::Open(caller) => {
                let is_taken = profile == Profile::ShareDomain && self.open_queues().any(|known| known.owner != caller);
                let refusal = match () {
                    () if self.is_removed => Some(Errno::ENODEV),
                    () if self.open_queues().count() == QUEUES => Some(Errno::EMFILE),
                    () if is_taken || self.open_queues().count() >= INSTANCES => Some(Errno::EBUSY),
                    () => None,
                };
                if let Some(errno) = refusal {
                    return Err(errno);
                }
                self.queues.push(Some(Known { owner: caller, state: QueueState::Init, regions: [false; 4] }));
            }
            Op::Start(queue, caller) => match self.alive(queue, caller)? {
                Known { state: QueueState::Started, .. } => return Err(Errno::EINVAL),
                known => known.state = QueueState::Started,
            },
            Op::Put(queue, caller) => self.alive(queue, caller)?.state = QueueState::Init,
            Op::Map(queue, caller, region) => {
                let known = self.alive(queue, caller)?;
                let exists = match region {
                    FileRegion::Mmio | FileRegion::Dus => true,
                    FileRegion::Ss => profile != Profile::Sva,
                    FileRegion::Dko => profile == Profile::ShareDomain,
                };
                match (known.regions[region as usize], exists) {
                    (true, _) => return Err(Errno::EEXIST),
                    (false, false) => return Err(Errno::EINVAL),
                    (false, true) => known.regions[region as usize] = true,
                }
            }
            Op::Unmap(queue, caller, region) => {
                let known = self.owned(queue, caller)?;
                let is_pinned = region == FileRegion::Ss && profile == Profile::NoIommu && known.state == QueueState::Started;
                match known.regions[region as usize] {
                    false => return Err(Errno::EINVAL),
                    true if is_pinned => return Err(Errno::EBUSY),
                    true => known.regions[region as usize] = false,
                }
            }
            Op::Physical(queue, caller) => {
                let known = self.alive(queue, caller)?;
                if profile != Profile::NoIommu || !known.regions[FileRegion::Ss as usize] {
                    return Err(Errno::EINVAL);
                }
            }
            Op::Share(queue, target, caller) => {
                let is_mapped = self.alive(queue, caller)?.regions[FileRegion::Ss as usize];
                self.alive(target, caller)?;
                if !is_mapped {
                    return Err(Errno::EINVAL);
                }
            }
            Op::Poll(queue, caller) => drop(self.owned(queue, caller)?),
            Op::Close(queue, caller) => {
                self.owned(queue, caller)?;
                self.queues[queue] = None;
            }
            Op::Exit(space) => {
                self.queues
                    .iter_mut()
                    .filter(|queue| queue.as_ref().is_some_and(|known| known.owner == space))
                    .for_each(|queue| *queue = None);
            }
            Op::Remove => {
                self.is_removed = true;
                for known in self.queues.iter_mut().flatten() {
                    (known.state, known.regions) = (QueueState::Zombie, [false; 4]);
                }
            }
        }
        Ok(())
    }
}

/// The core, driven by the same operations.
struct Driven {
    uacce: Uacce<Shared, 1, QUEUES>,
    spaces: FakeSpaces,
    device: Rc<FakeDevice>,
    registered: Option<Registered>,
    handles: Vec<QueueHandle>,
    places: Vec<[Option<hal::Va>; 4]>,
}

fn region_len(region: FileRegion) -> u64 {
    match region {
        FileRegion::Mmio => MMIO_BYTES,
        FileRegion::Dus => DUS_BYTES,
        FileRegion::Ss | FileRegion::Dko => 0x2000,
    }
}

impl Driven {
    fn apply(&mut self, op: Op) -> Result<(), Errno> {
        let Self { uacce, spaces, handles, places, .. } = self;
        let handle = |queue: usize| handles.get(queue).copied().ok_or(Errno::EBADF);
        match op {
            Op::Open(caller) => {
                let handle = uacce.open(NodeIndex(0), SpaceId(caller), spaces)?;
                handles.push(handle);
                places.push([None; 4]);
                Ok(())
            }
            Op::Start(queue, caller) => uacce.ioctl(handle(queue)?, SpaceId(caller), Command::START_Q, &mut []),
            Op::Put(queue, caller) => uacce.ioctl(handle(queue)?, SpaceId(caller), Command::PUT_Q, &mut []),
            Op::Map(queue, caller, region) => {
                let at = uacce.map(handle(queue)?, SpaceId(caller), region, region_len(region), spaces)?;
                places[queue][region as usize] = Some(at);
                Ok(())
            }
            Op::Unmap(queue, caller, region) => {
                let handle = handle(queue)?;
                let at = places[queue][region as usize].unwrap_or(hal::Va(0x1000));
                uacce.unmap(handle, SpaceId(caller), at, region_len(region), spaces)?;
                places[queue][region as usize] = None;
                Ok(())
            }
            Op::Physical(queue, caller) => uacce.ioctl(handle(queue)?, SpaceId(caller), Command::GET_SS_DMA, &mut [0; 8]),
            Op::Share(queue, target, caller) => uacce.share(handle(queue)?, handle(target)?, SpaceId(caller)),
            Op::Poll(queue, caller) => {
                uacce.poll(handle(queue)?, SpaceId(caller)).map(|readiness| assert!(readiness != Readiness::Readable))
            }
            Op::Close(queue, caller) => uacce.close(handle(queue)?, SpaceId(caller), spaces),
            Op::Exit(space) => {
                uacce.space_exit(SpaceId(space), spaces);
                Ok(())
            }
            Op::Remove => {
                if let Some(registered) = self.registered.take() {
                    self.uacce.remove(registered, &mut self.spaces)?;
                }
                Ok(())
            }
        }
    }
}

/// A generator of small numbers (xorshift): the same seed, the same sequence.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn op(&mut self, opened: usize) -> Op {
        let caller = self.below(SPACES) + 1;
        // Mostly recent ones, so that many are alive; one past the last now and then.
        let mut queue = || (opened + 1).saturating_sub(self.below(QUEUES as u64 + 1) as usize + 1);
        let (first, second) = (queue(), queue().min(opened.saturating_sub(1)));
        let region = FileRegion::ALL[self.below(4) as usize];
        match self.below(100) {
            0..18 => Op::Open(caller),
            18..32 => Op::Start(first, caller),
            32..42 => Op::Put(first, caller),
            42..62 => Op::Map(first, caller, region),
            62..72 => Op::Unmap(first, caller, region),
            72..76 => Op::Physical(first, caller),
            76..80 => Op::Share(first, second, caller),
            80..85 => Op::Poll(first, caller),
            85..94 => Op::Close(first, caller),
            94..99 => Op::Exit(caller),
            _ => Op::Remove,
        }
    }
}

fn play(profile: Profile, seed: u64) {
    let log = Log::default();
    let (device, spaces) = (FakeDevice::new(&log, INSTANCES as u16), FakeSpaces::with_profile(&log, profile));
    let mut uacce = Uacce::new();
    let allocated = Allocated::new(Interface::new("x").unwrap(), Shared(device.clone()));
    let registered = Some(uacce.register(allocated, &spaces).expect("a node"));
    let mut driven = Driven { uacce, spaces, device, registered, handles: Vec::new(), places: Vec::new() };
    let mut reference = Reference { profile, queues: Vec::new(), is_removed: false };
    let mut random = Seeded(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for step in 0..300 {
        let op = random.op(driven.handles.len());
        let (answer, expected) = (driven.apply(op), reference.apply(op));
        assert_eq!(answer, expected, "{profile:?}, seed {seed}, step {step}: {op:?}");
        assert_eq!(driven.uacce.open_queues(), reference.open_queues().count(), "{profile:?}, seed {seed}, step {step}: {op:?}");
        let owners: std::collections::BTreeSet<u64> =
            reference.open_queues().filter(|known| known.state != QueueState::Zombie).map(|known| known.owner).collect();
        assert_eq!(driven.uacce.bonds(), owners.len(), "{profile:?}, seed {seed}, step {step}: {op:?}");
        if !reference.is_removed {
            let free = INSTANCES - reference.open_queues().count();
            assert_eq!(driven.device.free.borrow().len(), free, "{profile:?}, seed {seed}, step {step}: {op:?}");
        }
        let mapped: usize = reference.open_queues().map(|known| known.regions.iter().filter(|mapped| **mapped).count()).sum();
        assert_eq!(driven.spaces.mappings.len(), mapped, "{profile:?}, seed {seed}, step {step}: {op:?}");
        log.take();
    }
}

#[test]
fn ua_l8_l02_random_calls_are_answered_as_by_the_reference() {
    for profile in Profile::ALL {
        for seed in 0..200 {
            play(profile, seed);
        }
    }
}
