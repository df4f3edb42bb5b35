//! One node with one queue behind the user library: a kernel that keeps a log, rings in weakly ordered memory, a device that tests drive.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use hal::{Barriers, DmaBuffer, DmaError, DmaMapper, DmaPort, Iova, Pa, PhysMemory, Region, Requester};
use qm_spec::{Cqe, Doorbell, DoorbellCommand, DoorbellLayout, DusLayout};
use uacce_abi::{Attribute, Call, Command, Errno, FileRegion, Kernel, QpContext, QpInfo};
use uacce_user::{QueueMemory, QueueRegions, RingEntry, System};
use zip_model::{Direction, EngineMemory, Job, Step};
use zip_spec::{Capabilities, Sqe};

use super::rig::WHO;
use crate::support::{HostBuffer, HostDma, HostMemory};

pub const NUMBER: u16 = 6;

/// What a test sees of the kernel and of the doorbell, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Did {
    Open(u32),
    Context(u16),
    Info,
    Map(Region, u64),
    Reserve(FileRegion, u64),
    Memory(u64),
    Share(i32, i32),
    Start,
    Put,
    Close,
    Poll(u64),
    Sq(u16),
    Cq { head: u16, arms: bool },
}

/// How entries are answered.
pub enum Engine {
    /// dw0 = the entry's number of arrival, dw1 = its dw4, status 0.
    Echo,
    /// All input is taken, nothing comes out, and something is said to be held back.
    Swallow,
    /// By the engine's model, over a shadow of the process's memory.
    Zip(Box<EngineMemory>, Shadow, Capabilities),
    /// By the engine's model, over this process's own memory: what shares its addresses.
    InPlace(Box<EngineMemory>, OwnMemory, Capabilities),
}

/// This process's memory, as a device that shares its addresses has it.
pub struct OwnMemory(File);

impl OwnMemory {
    fn new() -> Self {
        Self(File::options().read(true).write(true).open("/proc/self/mem").expect("a process may look at itself"))
    }
}

impl DmaPort for OwnMemory {
    fn read(&mut self, who: Requester, from: Iova, out: &mut [u8]) -> Result<(), DmaError> {
        assert_eq!(who, WHO);
        self.0.read_exact_at(out, from.0).map_err(|_| DmaError::Abort)
    }
    fn write(&mut self, who: Requester, to: Iova, data: &[u8]) -> Result<(), DmaError> {
        assert_eq!(who, WHO);
        self.0.write_all_at(data, to.0).map_err(|_| DmaError::Abort)
    }
}

/// A process's memory as the engine sees it: only what a test has registered or the engine has written.
#[derive(Default)]
pub struct Shadow {
    pages: BTreeMap<u64, Box<[u8; 4096]>>,
    /// What was written since the last take.
    pub written: Vec<(u64, Vec<u8>)>,
    /// Writes to a page without entry make one; reads abort.
    pub reads_of_nothing: u32,
}

impl Shadow {
    pub fn store(&mut self, at: u64, data: &[u8]) {
        for (i, byte) in data.iter().enumerate() {
            let at = at + i as u64;
            self.pages.entry(at / 4096).or_insert_with(|| Box::new([0; 4096]))[(at % 4096) as usize] = *byte;
        }
    }
}

impl DmaPort for Shadow {
    fn read(&mut self, who: Requester, from: Iova, out: &mut [u8]) -> Result<(), DmaError> {
        assert_eq!(who, WHO);
        let Some(page) = self.pages.get(&(from.0 / 4096)) else {
            self.reads_of_nothing += 1;
            return Err(DmaError::Abort);
        };
        let at = (from.0 % 4096) as usize;
        out.copy_from_slice(&page[at..at + out.len()]);
        Ok(())
    }
    fn write(&mut self, who: Requester, to: Iova, data: &[u8]) -> Result<(), DmaError> {
        assert_eq!(who, WHO);
        self.store(to.0, data);
        self.written.push((to.0, data.to_vec()));
        Ok(())
    }
}

/// Attributes of a node. One without an `api` is not there; one without another attribute goes away before that is asked for.
#[derive(Clone)]
pub struct Node {
    pub api: &'static str,
    pub algorithms: &'static str,
    pub flags: &'static str,
    pub instances: &'static str,
    pub dus_bytes: u64,
    pub mmio_bytes: u64,
    pub open: Result<i32, Errno>,
}

pub struct State {
    pub nodes: Vec<Node>,
    pub info: QpInfo,
    pub layout: DusLayout,
    pub engine: RefCell<Engine>,
    /// Serve entries in the doorbell's store; else when a test says so.
    pub is_eager: Cell<bool>,
    /// Serve entries when the process polls.
    pub serves_on_poll: Cell<bool>,
    pub poll_revents: Cell<u16>,
    pub refuses: Cell<Option<(Command, Errno)>>,
    log: RefCell<Vec<Did>>,
    memory: RefCell<HostMemory>,
    dus: HostBuffer,
    sq_head: Cell<u16>,
    sq_tail: Cell<u16>,
    cq_tail: Cell<u16>,
    phase: Cell<bool>,
    direction: Cell<Direction>,
    arrivals: Cell<u32>,
    /// Entries as the device fetched them.
    pub fetched: RefCell<VecDeque<Sqe>>,
    started: Cell<bool>,
    pub relaxes: Cell<u64>,
}

/// The system below the library; a clone is another handle.
#[derive(Clone)]
pub struct Mock {
    pub state: Rc<State>,
    pub dma: HostDma,
}

/// The mock's mapped memory.
pub struct MockMemory(Rc<State>);

const DUS_AT: u64 = 0x20_0000_0000;
const MMIO_AT: u64 = 0x20_1000_0000;
/// Where reserved and other memory lies for the process, and reserved memory for a device without translation.
pub const SS_AT: u64 = 0x20_2000_0000;
pub const SS_PHYSICAL: u64 = 0x5000_0000;
const ARENA: u64 = 0x100_0000;

impl Mock {
    pub fn new(depth: u16) -> Self {
        Self::with(depth, |_| {})
    }

    /// A node `hisi_qm_v3` for all formats, changed by `change`.
    pub fn with(depth: u16, change: impl FnOnce(&mut Vec<Node>)) -> Self {
        Self::of_entries(128, depth, change)
    }

    /// The same with submission entries of another length.
    pub fn of_entries(entry_bytes: usize, depth: u16, change: impl FnOnce(&mut Vec<Node>)) -> Self {
        let layout = DusLayout::new(entry_bytes, depth.into(), depth.into(), 4096);
        let memory = HostMemory::new();
        let dma = HostDma::new(&memory, Pa(ARENA), 1 << 20);
        let dus = dma.alloc(layout.len_bytes(), 4096).unwrap();
        let mut nodes = vec![Node {
            api: "hisi_qm_v3",
            algorithms: "zlib\ngzip\ndeflate",
            flags: "1",
            instances: "4",
            dus_bytes: layout.len_bytes() as u64,
            mmio_bytes: 0x1_0000,
            open: Ok(3),
        }];
        change(&mut nodes);
        let state = State {
            nodes,
            info: QpInfo { sqe_size: entry_bytes as u32, sq_depth: depth, cq_depth: depth, reserved: 0 },
            layout,
            engine: RefCell::new(Engine::Echo),
            is_eager: Cell::new(true),
            serves_on_poll: Cell::new(false),
            poll_revents: Cell::new(0),
            refuses: Cell::new(None),
            log: RefCell::default(),
            memory: RefCell::new(memory),
            dus,
            sq_head: Cell::new(0),
            sq_tail: Cell::new(0),
            cq_tail: Cell::new(0),
            phase: Cell::new(true),
            direction: Cell::new(Direction::Compress),
            arrivals: Cell::new(0),
            fetched: RefCell::default(),
            started: Cell::new(false),
            relaxes: Cell::new(0),
        };
        Self { state: Rc::new(state), dma }
    }

    /// A node whose queue runs the engine's model.
    pub fn zip(capabilities: Capabilities) -> Self {
        let mock = Self::with(64, |nodes| {
            nodes[0].algorithms = capabilities.algorithm_names();
            if capabilities.has_lz77_only {
                nodes[0].api = "hisi_qm_v5";
            }
            if !capabilities.is_pasid_per_queue {
                (nodes[0].api, nodes[0].mmio_bytes) = ("hisi_qm_v2", 0x2000);
            }
        });
        *mock.state.engine.borrow_mut() = Engine::Zip(Box::default(), Shadow::default(), capabilities);
        mock
    }

    /// The same over this process's own memory.
    pub fn zip_in_place() -> Self {
        let mock = Self::new(64);
        *mock.state.engine.borrow_mut() = Engine::InPlace(Box::default(), OwnMemory::new(), Capabilities::V3);
        mock
    }

    /// How many things of a kind were done since the log was last taken.
    pub fn count(&self, is_it: impl Fn(&Did) -> bool) -> usize {
        self.state.log.borrow().iter().filter(|did| is_it(did)).count()
    }

    pub fn take_log(&self) -> Vec<Did> {
        self.state.log.take()
    }

    /// Puts bytes where the engine will find them.
    pub fn register(&self, data: &[u8]) {
        if let Engine::Zip(_, shadow, _) = &mut *self.state.engine.borrow_mut() {
            shadow.store(data.as_ptr().expose_provenance() as u64, data);
        }
    }

    /// Copies what the engine has written inside `buffer` into it.
    pub fn fetch(&self, buffer: &mut [u8]) {
        if let Engine::Zip(_, shadow, _) = &mut *self.state.engine.borrow_mut() {
            let written: Vec<_> = shadow.written.drain(..).collect();
            copy_into(buffer, &written);
        }
    }

    /// Takes what the engine has written since it was last asked, with the addresses.
    pub fn written(&self) -> Vec<(u64, Vec<u8>)> {
        match &mut *self.state.engine.borrow_mut() {
            Engine::Zip(_, shadow, _) => shadow.written.drain(..).collect(),
            Engine::Echo | Engine::Swallow | Engine::InPlace(..) => vec![],
        }
    }

    pub fn set_tx_stop(&self) {
        self.state.device_write(self.state.layout.tx_stop_offset(), &1u32.to_le_bytes());
        self.dma.dma_rmb();
    }
    pub fn set_rx_stop(&self) {
        self.state.device_write(self.state.layout.rx_stop_offset(), &1u32.to_le_bytes());
        self.dma.dma_rmb();
    }
    /// Serves what was submitted, at most `most` entries.
    pub fn serve(&self, most: usize) -> usize {
        self.state.serve(most)
    }
    /// Writes a completion of a test's making.
    pub fn complete_with(&self, cqe: Cqe) {
        self.state.complete(cqe);
    }
}

/// Copies what was written inside `buffer` into it.
pub fn copy_into(buffer: &mut [u8], written: &[(u64, Vec<u8>)]) {
    let base = buffer.as_mut_ptr().expose_provenance() as u64;
    for (at, data) in written {
        if let Some(offset) = at.checked_sub(base).filter(|offset| *offset < buffer.len() as u64) {
            buffer[offset as usize..offset as usize + data.len()].copy_from_slice(data);
        }
    }
}

impl State {
    fn device_write(&self, offset: usize, data: &[u8]) {
        let at = Pa(self.dus.device_address().0 + offset as u64);
        self.memory.borrow_mut().write(at, data).unwrap();
    }

    fn device_read(&self, offset: usize, out: &mut [u8]) {
        let at = Pa(self.dus.device_address().0 + offset as u64);
        self.memory.borrow_mut().read(at, out).unwrap();
    }

    /// A queue begins a life: ring positions at 0, completions and stop words zeroed.
    fn restart(&self) {
        let cq = self.layout.cq_offset();
        self.device_write(cq, &vec![0; self.layout.len_bytes() - cq]);
        self.sq_head.set(0);
        self.sq_tail.set(0);
        self.cq_tail.set(0);
        self.phase.set(true);
    }

    fn doorbell(&self, value: u64) {
        assert!(self.started.get(), "doorbell before start");
        let doorbell = Doorbell::decode(value, DoorbellLayout::V2);
        assert_eq!((doorbell.queue, doorbell.rand), (NUMBER, 0));
        match doorbell.command {
            DoorbellCommand::SQ => {
                self.log.borrow_mut().push(Did::Sq(doorbell.index));
                self.sq_tail.set(doorbell.index);
                if self.is_eager.get() {
                    self.serve(usize::MAX);
                }
            }
            DoorbellCommand::CQ => self.log.borrow_mut().push(Did::Cq { head: doorbell.index, arms: doorbell.arms() }),
            other => panic!("{other:?} on a queue's page"),
        }
    }

    fn serve(&self, most: usize) -> usize {
        let mut served = 0;
        while served < most && self.sq_head.get() != self.sq_tail.get() {
            let index = self.sq_head.get();
            let mut bytes = [0; 128];
            let entry_bytes = self.info.sqe_size as usize;
            self.device_read(usize::from(index) * entry_bytes, &mut bytes[..entry_bytes]);
            let mut sqe = Sqe(core::array::from_fn(|i| u32::from_le_bytes(bytes[4 * i..4 * i + 4].try_into().unwrap())));
            self.fetched.borrow_mut().push_back(sqe);
            self.answer(&mut sqe);
            let bytes: Vec<u8> = sqe.0.iter().flat_map(|word| word.to_le_bytes()).collect();
            self.device_write(usize::from(index) * entry_bytes, &bytes[..entry_bytes]);
            self.sq_head.set((index + 1) % self.info.sq_depth);
            self.complete(Cqe { sq_head: index, sq_num: NUMBER, phase: self.phase.get() });
            served += 1;
        }
        served
    }

    fn complete(&self, cqe: Cqe) {
        let at = self.layout.cq_offset() + usize::from(self.cq_tail.get()) * 16;
        let bytes: Vec<u8> = cqe.encode().iter().flat_map(|word| word.to_le_bytes()).collect();
        self.device_write(at, &bytes);
        self.cq_tail.set((self.cq_tail.get() + 1) % self.info.cq_depth);
        if self.cq_tail.get() == 0 {
            self.phase.set(!self.phase.get());
        }
    }

    fn answer(&self, sqe: &mut Sqe) {
        match &mut *self.engine.borrow_mut() {
            Engine::Echo => {
                self.arrivals.set(self.arrivals.get() + 1);
                sqe.set_result(self.arrivals.get(), sqe.0[4], zip_spec::Status::SUCCESS, false);
            }
            Engine::Swallow => {
                sqe.set_result(sqe.0[4], 0, zip_spec::Status::SUCCESS, false);
                sqe.0[zip_spec::dw::CTX_DW1] = 1;
            }
            Engine::Zip(memory, shadow, capabilities) => self.run(sqe, memory, shadow, capabilities),
            Engine::InPlace(memory, own, capabilities) => self.run(sqe, memory, own, capabilities),
        }
    }

    fn run(&self, sqe: &mut Sqe, engine: &mut EngineMemory, memory: &mut impl DmaPort, capabilities: &Capabilities) {
        let mut job = Job::with_capabilities(sqe.0, self.direction.get(), WHO, capabilities);
        loop {
            match job.step(memory, engine) {
                Step::Progress => {}
                Step::Done(words) => break *sqe = Sqe(words),
                Step::Stalled(tag) => panic!("{tag:?}"),
            }
        }
    }

    fn attribute(&self, node: u32, attribute: Attribute) -> Result<String, Errno> {
        let node = self.nodes.get(node as usize).ok_or(Errno::ENODEV)?;
        let value: String = match attribute {
            Attribute::Name => "mock".into(),
            Attribute::Api => node.api.into(),
            Attribute::Flags => node.flags.into(),
            Attribute::AvailableInstances => node.instances.into(),
            Attribute::Algorithms => node.algorithms.into(),
            Attribute::RegionMmioSize => node.mmio_bytes.to_string(),
            Attribute::RegionDusSize => node.dus_bytes.to_string(),
            _ => return Err(Errno::ENOENT),
        };
        if value.is_empty() { Err(Errno::ENODEV) } else { Ok(value) }
    }

    fn call(&self, call: Call<'_>) -> Result<u64, Errno> {
        let log = |did| self.log.borrow_mut().push(did);
        match call {
            Call::Attribute { node, attribute, into } => {
                let value = self.attribute(node.0, attribute)?;
                into.get_mut(..value.len()).ok_or(Errno::ERANGE)?.copy_from_slice(value.as_bytes());
                Ok(value.len() as u64)
            }
            Call::OpenNode { node, .. } => {
                log(Did::Open(node.0));
                self.nodes[node.0 as usize].open.map(|fd| fd as u64)
            }
            Call::Ioctl { command, argument, .. } => {
                if let Some((refused, errno)) = self.refuses.get()
                    && refused == command
                {
                    return Err(errno);
                }
                match command {
                    Command::SET_QP_CTX => {
                        let qc_type = QpContext::from_bytes(argument[..4].try_into().unwrap()).qc_type;
                        log(Did::Context(qc_type));
                        self.direction.set(Direction::from_alg_type(qc_type as u8).unwrap());
                        argument.copy_from_slice(&QpContext { id: NUMBER, qc_type }.to_bytes());
                    }
                    Command::SET_QP_INFO => {
                        log(Did::Info);
                        argument.copy_from_slice(&self.info.to_bytes());
                    }
                    Command::START_Q => {
                        log(Did::Start);
                        self.restart();
                        self.started.set(true);
                    }
                    Command::PUT_Q => {
                        log(Did::Put);
                        self.started.set(false);
                    }
                    Command::GET_SS_DMA => argument.copy_from_slice(&SS_PHYSICAL.to_le_bytes()),
                    other => panic!("{other:?}"),
                }
                Ok(0)
            }
            Call::MapMemory { len_bytes, .. } => {
                log(Did::Memory(len_bytes));
                Ok(SS_AT)
            }
            Call::ShareQueue { fd, target } => {
                log(Did::Share(fd.0, target.0));
                Ok(0)
            }
            Call::MapRegion { region: region @ (FileRegion::Ss | FileRegion::Dko), len_bytes, .. } => {
                log(Did::Reserve(region, len_bytes));
                Ok(SS_AT)
            }
            Call::MapRegion { region, len_bytes, .. } => {
                let region = if region == FileRegion::Dus { Region::Dus } else { Region::Mmio };
                log(Did::Map(region, len_bytes));
                Ok(if region == Region::Dus { DUS_AT } else { MMIO_AT })
            }
            Call::Close { .. } => {
                log(Did::Close);
                Ok(0)
            }
            Call::Poll { entries, timeout_nanoseconds } => {
                log(Did::Poll(timeout_nanoseconds));
                if self.serves_on_poll.get() {
                    self.serve(1);
                }
                entries[0].revents = self.poll_revents.get();
                Ok(u64::from(entries[0].revents != 0))
            }
            other => panic!("{other:?}"),
        }
    }
}

impl Kernel for Mock {
    fn invoke(&self, call: Call<'_>) -> i64 {
        match self.state.call(call) {
            Ok(value) => value as i64,
            Err(errno) => errno.to_result(),
        }
    }
}

impl Barriers for Mock {
    fn dma_wmb(&self) {
        self.dma.dma_wmb();
    }
    fn dma_rmb(&self) {
        self.dma.dma_rmb();
    }
}

impl System for Mock {
    type Memory<E: RingEntry> = MockMemory;

    fn queue_memory<E: RingEntry>(&self, regions: &QueueRegions) -> MockMemory {
        assert_eq!((regions.dus, regions.mmio, regions.layout), (DUS_AT, MMIO_AT, self.state.layout));
        assert_eq!(
            (regions.sq_depth, regions.cq_depth, regions.doorbell_offset),
            (self.state.info.sq_depth, self.state.info.cq_depth, 0x1000)
        );
        MockMemory(self.state.clone())
    }

    fn relax(&self) {
        self.state.relaxes.set(self.state.relaxes.get() + 1);
    }
}

impl<E: RingEntry> QueueMemory<E> for MockMemory {
    fn is_tx_stopped(&self) -> bool {
        self.0.dus.read32(self.0.layout.tx_stop_offset()) != 0
    }
    fn is_rx_stopped(&self) -> bool {
        self.0.dus.read32(self.0.layout.rx_stop_offset()) != 0
    }
    fn write_entry(&self, index: u32, entry: &E) {
        for (i, pair) in entry.words().as_chunks::<2>().0.iter().enumerate() {
            self.0.dus.write64(E::BYTES * index as usize + 8 * i, u64::from(pair[0]) | u64::from(pair[1]) << 32);
        }
    }
    fn read_entry(&self, index: u32, into: &mut E) {
        for (i, pair) in into.words_mut().as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let word = self.0.dus.read64(E::BYTES * index as usize + 8 * i);
            *pair = [word as u32, (word >> 32) as u32];
        }
    }
    fn completion_dw2(&self, index: u32) -> u32 {
        self.0.dus.read32(self.0.layout.cq_offset() + 16 * index as usize + 8)
    }
    fn completion_dw3(&self, index: u32) -> u32 {
        self.0.dus.read32(self.0.layout.cq_offset() + 16 * index as usize + 12)
    }
    fn ring_doorbell(&self, word: u64) {
        self.0.doorbell(word);
    }
}
