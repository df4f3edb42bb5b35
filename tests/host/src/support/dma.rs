//! The CPU side of shared memory: a store buffer, and loads that may be older than their flag.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use hal::{AllocError, Barriers, DmaBuffer, DmaMapper, Iova, Pa};

use super::HostMemory;

/// When stores leave the store buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreRelease {
    /// At `dma_wmb` only.
    AtBarrier,
    /// At `dma_wmb`, and now and then early and out of order (order per 8-byte word is kept).
    Seeded(u64),
}

struct Store {
    at: u64,
    bytes: [u8; 8],
    len: usize,
}

struct Cpu {
    memory: HostMemory,
    release: StoreRelease,
    random: u64,
    stores: VecDeque<Store>,
    /// Bytes of this epoch that were loaded while changed, as a mask per 8-byte word: they read new from now on.
    settled: BTreeMap<u64, u8>,
    /// A load of this epoch met something new.
    knows_of_progress: bool,
    arena: (u64, u64),
    /// Addresses below are not handed out again: what was freed stays free, and an access to it is noticed.
    quarantine: Option<u64>,
    live: BTreeMap<u64, u64>,
    fail_after: Option<u32>,
    on_release: Option<Box<dyn FnMut()>>,
    on_free: Option<Box<dyn FnMut(Pa, u64)>>,
}

/// Where host tests' drivers get memory: physical addresses are device addresses. A clone is another handle.
#[derive(Clone)]
pub struct HostDma {
    cpu: Rc<RefCell<Cpu>>,
    wmbs: Rc<Cell<u64>>,
    rmbs: Rc<Cell<u64>>,
    /// Mutation switches: a barrier that is switched off does nothing, as if the driver had left it out.
    broken: Rc<Cell<(bool, bool)>>,
}

/// A block of memory of a [`HostDma`].
pub struct HostBuffer {
    cpu: Rc<RefCell<Cpu>>,
    at: u64,
    len: usize,
}

fn mask_of(at: u64, len: usize) -> u8 {
    (((1u16 << len) - 1) << (at % 8)) as u8
}

impl Cpu {
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn store(&mut self, at: u64, data: &[u8]) {
        let mut bytes = [0; 8];
        bytes[..data.len()].copy_from_slice(data);
        self.stores.push_back(Store { at, bytes, len: data.len() });
        if matches!(self.release, StoreRelease::Seeded(_)) && self.next_random().is_multiple_of(4) {
            // Often the youngest: what announces something is usually stored last, and must not be seen first.
            let newest = self.stores.len() - 1;
            let pick = if self.next_random().is_multiple_of(2) { newest } else { (self.next_random() % (newest as u64 + 1)) as usize };
            let word = self.stores[pick].at / 8;
            let first = self.stores.iter().position(|s| s.at / 8 == word).unwrap_or(pick);
            if let Some(store) = self.stores.remove(first) {
                self.commit(&store);
                if let Some(hook) = &mut self.on_release {
                    hook();
                }
            }
        }
    }

    fn commit(&self, store: &Store) {
        self.memory.poke(Pa(store.at), &store.bytes[..store.len]);
    }

    fn drain(&mut self) {
        while let Some(store) = self.stores.pop_front() {
            self.commit(&store);
        }
        self.memory.publish();
    }

    fn begin_epoch(&mut self) {
        self.memory.begin_epoch();
        self.settled.clear();
        self.knows_of_progress = false;
    }

    fn load(&mut self, at: u64, out: &mut [u8]) {
        let mut old = [0; 8];
        let old = &mut old[..out.len()];
        self.memory.read_both(at, out, old);
        if out != old {
            let mask = mask_of(at, out.len());
            let settled = self.settled.entry(at / 8).or_insert(0);
            let fresh = *settled & mask != 0 || !self.knows_of_progress;
            *settled |= mask;
            self.knows_of_progress = true;
            if !fresh {
                out.copy_from_slice(old);
            }
        }
        for store in &self.stores {
            for i in 0..store.len {
                let byte = store.at + i as u64;
                if byte >= at && byte < at + out.len() as u64 {
                    out[(byte - at) as usize] = store.bytes[i];
                }
            }
        }
    }
}

impl HostDma {
    /// Makes a mapper that hands out `[base, base + len_bytes)` of `memory`, which must not decode yet: only live allocations do.
    pub fn new(memory: &HostMemory, base: Pa, len_bytes: u64) -> Self {
        Self::with_release(memory, base, len_bytes, StoreRelease::AtBarrier)
    }

    /// As [`new`](Self::new) with a choice of when stores leave the buffer.
    pub fn with_release(memory: &HostMemory, base: Pa, len_bytes: u64, release: StoreRelease) -> Self {
        let random = match release {
            StoreRelease::AtBarrier => 1,
            StoreRelease::Seeded(seed) => seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        };
        let cpu = Cpu {
            memory: memory.clone(),
            release,
            random,
            stores: VecDeque::new(),
            settled: BTreeMap::new(),
            knows_of_progress: false,
            arena: (base.0, len_bytes),
            quarantine: None,
            live: BTreeMap::new(),
            fail_after: None,
            on_release: None,
            on_free: None,
        };
        Self { cpu: Rc::new(RefCell::new(cpu)), wmbs: Rc::default(), rmbs: Rc::default(), broken: Rc::default() }
    }

    /// Begins an epoch, as taking an interrupt does.
    pub fn take_interrupt(&self) {
        self.cpu.borrow_mut().begin_epoch();
    }

    /// Lets allocation number `n` from now (0 = the next) and all later ones fail; `None` heals.
    pub fn fail_after(&self, n: Option<u32>) {
        self.cpu.borrow_mut().fail_after = n;
    }

    /// Hands no address out twice from now on: freed memory stays a hole, and a device that still uses it is refused.
    pub fn never_reuse(&self) {
        let mut cpu = self.cpu.borrow_mut();
        let next = cpu.live.last_key_value().map_or(cpu.arena.0, |(at, len)| at + len);
        cpu.quarantine = Some(next);
    }

    /// Calls `hook` whenever a store has left early (with [`StoreRelease::Seeded`]): the moment at which a device may see a half-made structure.
    /// The hook must not touch this mapper.
    pub fn on_release(&self, hook: impl FnMut() + 'static) {
        self.cpu.borrow_mut().on_release = Some(Box::new(hook));
    }

    /// Calls `hook` with the place and the length of every block that is given back, while it still decodes: the last moment at which a device may be
    /// asked whether it has let go. The hook must not touch this mapper.
    pub fn on_free(&self, hook: impl FnMut(Pa, u64) + 'static) {
        self.cpu.borrow_mut().on_free = Some(Box::new(hook));
    }

    /// Switches `dma_wmb` or `dma_rmb` off, as if a driver had left it out: for tests which show that a missing barrier is noticed.
    pub fn break_barriers(&self, wmb: bool, rmb: bool) {
        self.broken.set((wmb, rmb));
    }

    /// `dma_wmb` and `dma_rmb` calls so far.
    pub fn barriers(&self) -> (u64, u64) {
        (self.wmbs.get(), self.rmbs.get())
    }

    /// Live allocations: 0 when everything was given back.
    pub fn live_buffers(&self) -> usize {
        self.cpu.borrow().live.len()
    }

    /// Stores that the device cannot see yet.
    pub fn held_back(&self) -> usize {
        self.cpu.borrow().stores.len()
    }
}

impl Barriers for HostDma {
    fn dma_wmb(&self) {
        self.wmbs.set(self.wmbs.get() + 1);
        if !self.broken.get().0 {
            self.cpu.borrow_mut().drain();
        }
    }

    fn dma_rmb(&self) {
        self.rmbs.set(self.rmbs.get() + 1);
        if !self.broken.get().1 {
            self.cpu.borrow_mut().begin_epoch();
        }
    }
}

impl DmaMapper for HostDma {
    type Buffer = HostBuffer;

    fn alloc(&self, len_bytes: usize, align: usize) -> Result<HostBuffer, AllocError> {
        if len_bytes == 0 || !align.is_power_of_two() {
            return Err(AllocError::BadShape);
        }
        let mut cpu = self.cpu.borrow_mut();
        if let Some(left) = cpu.fail_after {
            if left == 0 {
                return Err(AllocError::OutOfMemory);
            }
            cpu.fail_after = Some(left - 1);
        }
        let align = (align as u64).max(8);
        let len = (len_bytes as u64).next_multiple_of(8);
        let (base, total) = cpu.arena;
        let mut at = cpu.quarantine.unwrap_or(base).next_multiple_of(align);
        for (&start, &bytes) in &cpu.live {
            if at + len <= start {
                break;
            }
            at = at.max((start + bytes).next_multiple_of(align));
        }
        if at + len > base + total {
            return Err(AllocError::OutOfMemory);
        }
        cpu.live.insert(at, len);
        if let Some(next) = &mut cpu.quarantine {
            *next = at + len;
        }
        cpu.memory.add_zeroed_ram(Pa(at), len);
        drop(cpu);
        Ok(HostBuffer { cpu: Rc::clone(&self.cpu), at, len: len_bytes })
    }

    fn free(&self, buffer: HostBuffer) {
        let mut cpu = self.cpu.borrow_mut();
        if let Some(hook) = &mut cpu.on_free {
            hook(Pa(buffer.at), buffer.len as u64);
        }
        assert!(cpu.live.remove(&buffer.at).is_some(), "freed twice: {:#x}", buffer.at);
        let end = buffer.at + buffer.len as u64;
        cpu.stores.retain(|s| s.at < buffer.at || s.at >= end);
        cpu.memory.remove_ram(Pa(buffer.at));
    }
}

impl HostBuffer {
    fn locate(&self, offset: usize, bytes: usize) -> u64 {
        assert!(offset.is_multiple_of(bytes), "unaligned {bytes}-byte access at {offset:#x}");
        assert!(offset + bytes <= self.len, "{bytes}-byte access at {offset:#x} of a buffer of {:#x}", self.len);
        self.at + offset as u64
    }
}

macro_rules! accessors {
    ($($t:ty, $bytes:literal, $read:ident, $write:ident;)*) => {
        impl DmaBuffer for HostBuffer {
            fn device_address(&self) -> Iova {
                Iova(self.at)
            }
            fn len_bytes(&self) -> usize {
                self.len
            }
            fn physical_address(&self) -> Option<Pa> {
                Some(Pa(self.at))
            }
            $(
                fn $read(&self, offset: usize) -> $t {
                    let mut out = [0; $bytes];
                    self.cpu.borrow_mut().load(self.locate(offset, $bytes), &mut out);
                    <$t>::from_le_bytes(out)
                }
                fn $write(&self, offset: usize, value: $t) {
                    self.cpu.borrow_mut().store(self.locate(offset, $bytes), &value.to_le_bytes());
                }
            )*
        }
    };
}
accessors! {
    u8, 1, read8, write8;
    u16, 2, read16, write16;
    u32, 4, read32, write32;
    u64, 8, read64, write64;
}
