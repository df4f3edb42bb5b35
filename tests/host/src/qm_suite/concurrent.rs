//! Driver and device at the same time, under every order of their memory accesses that loom finds: the real driver and the real model, over
//! memory whose rings are loom's atomics.
//!
//! A processor's loads and stores are relaxed; `dma_wmb` and `dma_rmb` are the fences that they stand for. The device's transactions reach
//! memory in the order in which it makes them, and a completion entry's last word, with its phase bit, after the rest.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use hal::{AllocError, Barriers, Clock, DmaBuffer, DmaError, DmaMapper, DmaPort, Iova, QueueId, RegisterWindow, Requester, StreamId};
use loom::sync::Mutex;
use loom::sync::atomic::Ordering::{Acquire, Release};
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed, fence};
use loom::thread;
use qm_driver::{Engine, Parameters, Qm, QpState, Timeouts};
use qm_model::{Bar, Completion, QmConfig, QmModel, Task};
use qm_spec::{MailboxCommand, QmVersion};

/// Entries of every ring.
const DEPTH: u16 = 3;
const SQE_WORDS: usize = 4;

type Model = QmModel<4, 1>;
type Driver = Qm<Window, Ticks, Memory, 4>;

/// What both sides reach while they run at the same time.
struct Hot {
    words: BTreeMap<u64, AtomicU32>,
    tail: AtomicU32,
    head: AtomicU32,
}

struct Machine {
    words: RefCell<Vec<u32>>,
    next: Cell<u64>,
    hot: OnceCell<Hot>,
    model: Mutex<Box<Model>>,
    /// Memory that the device may not touch any more.
    quiet: RefCell<Option<std::ops::Range<u64>>>,
    /// A barrier left out: stores, loads.
    broken: (bool, bool),
}

impl Machine {
    fn new(broken: (bool, bool)) -> Rc<Self> {
        let mut config = QmConfig::new(QmVersion::V3, StreamId(8), 0xa250);
        config.capability.queue_depths = u32::from(DEPTH) | u32::from(DEPTH) << 16;
        config.capability.event_depths = 4 | 4 << 16;
        config.engine_capabilities = &[(0x3130, 0x1ffe)];
        config.latency_reads = 0;
        Rc::new(Self {
            words: RefCell::new(vec![0; 0x1000]),
            next: Cell::new(0x1000),
            hot: OnceCell::new(),
            model: Mutex::new(Box::new(Model::new(config))),
            quiet: RefCell::new(None),
            broken,
        })
    }

    fn load(&self, at: u64) -> u32 {
        match self.hot.get().and_then(|hot| hot.words.get(&at)) {
            Some(word) => word.load(Relaxed),
            None => self.words.borrow()[at as usize / 4],
        }
    }

    fn store(&self, at: u64, value: u32) {
        match self.hot.get().and_then(|hot| hot.words.get(&at)) {
            Some(word) => word.store(value, Relaxed),
            None => self.words.borrow_mut()[at as usize / 4] = value,
        }
    }

    /// From here on the words of `range` and the doorbells are seen by two threads.
    fn heat(&self, range: std::ops::Range<u64>) {
        let words = range.step_by(4).map(|at| (at, AtomicU32::new(self.load(at)))).collect();
        assert!(self.hot.set(Hot { words, tail: AtomicU32::new(0), head: AtomicU32::new(0) }).is_ok());
    }

    fn reaches(&self, at: Iova, len: usize) {
        if let Some(quiet) = &*self.quiet.borrow() {
            assert!(at.0 + len as u64 <= quiet.start || at.0 >= quiet.end, "the device is in a stopped queue's memory");
        }
    }
}

#[derive(Clone)]
struct Memory(Rc<Machine>);
struct Buffer(Rc<Machine>, u64, usize);
#[derive(Clone)]
struct Port(Rc<Machine>);
#[derive(Clone)]
struct Window(Rc<Machine>, Bar);
struct Ticks(Cell<u64>);

impl DmaBuffer for Buffer {
    fn device_address(&self) -> Iova {
        Iova(self.1)
    }
    fn len_bytes(&self) -> usize {
        self.2
    }
    fn read8(&self, _: usize) -> u8 {
        unreachable!("the driver loads words")
    }
    fn write8(&self, _: usize, _: u8) {
        unreachable!("the driver stores words")
    }
    fn read16(&self, _: usize) -> u16 {
        unreachable!("the driver loads words")
    }
    fn write16(&self, _: usize, _: u16) {
        unreachable!("the driver stores words")
    }
    fn read32(&self, offset: usize) -> u32 {
        self.0.load(self.1 + offset as u64)
    }
    fn write32(&self, offset: usize, value: u32) {
        self.0.store(self.1 + offset as u64, value);
    }
    fn read64(&self, offset: usize) -> u64 {
        u64::from(self.read32(offset)) | u64::from(self.read32(offset + 4)) << 32
    }
    fn write64(&self, offset: usize, value: u64) {
        self.write32(offset, value as u32);
        self.write32(offset + 4, (value >> 32) as u32);
    }
}

impl Barriers for Memory {
    fn dma_wmb(&self) {
        if !self.0.broken.0 {
            fence(Release);
        }
    }
    fn dma_rmb(&self) {
        if !self.0.broken.1 {
            fence(Acquire);
        }
    }
}

impl DmaMapper for Memory {
    type Buffer = Buffer;
    fn alloc(&self, len_bytes: usize, align: usize) -> Result<Buffer, AllocError> {
        let at = self.0.next.get().next_multiple_of(align.min(64) as u64);
        self.0.next.set(at + len_bytes.next_multiple_of(8) as u64);
        assert!(self.0.next.get() <= 0x4000);
        Ok(Buffer(self.0.clone(), at, len_bytes))
    }
    fn free(&self, _: Buffer) {}
}

impl DmaPort for Port {
    fn read(&mut self, _: Requester, from: Iova, out: &mut [u8]) -> Result<(), DmaError> {
        self.0.reaches(from, out.len());
        for (index, chunk) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            *chunk = self.0.load(from.0 + 4 * index as u64).to_le_bytes();
        }
        Ok(())
    }
    fn write(&mut self, _: Requester, to: Iova, data: &[u8]) -> Result<(), DmaError> {
        self.0.reaches(to, data.len());
        // Behind everything that the device wrote before.
        fence(Release);
        let words = data.as_chunks::<4>().0;
        for (index, word) in words.iter().enumerate() {
            if index + 1 == words.len() {
                fence(Release);
            }
            self.0.store(to.0 + 4 * index as u64, u32::from_le_bytes(*word));
        }
        Ok(())
    }
}

impl Window {
    fn with<R>(&self, f: impl FnOnce(&mut Model, &mut Port) -> R) -> R {
        f(&mut self.0.model.lock().unwrap(), &mut Port(self.0.clone()))
    }
}

impl RegisterWindow for Window {
    fn read32(&self, offset: u64) -> u32 {
        self.with(|model, _| model.mmio_read(self.1, offset, 4) as u32)
    }
    fn write32(&self, offset: u64, value: u32) {
        self.with(|model, port| model.mmio_write(self.1, offset, 4, value.into(), port));
    }
    fn read64(&self, offset: u64) -> u64 {
        self.with(|model, _| model.mmio_read(self.1, offset, 8))
    }
    fn write64(&self, offset: u64, value: u64) {
        match self.0.hot.get().filter(|_| self.1 == Bar::Bar4) {
            // A store on its way to the device; what the device does with it is the device's thread.
            Some(hot) if value & 0xf000 == 0 => hot.tail.store((value >> 32) as u32, Relaxed),
            Some(hot) => hot.head.store((value >> 32) as u32, Relaxed),
            None => self.with(|model, port| model.mmio_write(self.1, offset, 8, value, port)),
        }
    }
    fn write128(&self, offset: u64, low: u64, high: u64) {
        self.with(|model, port| model.mmio_write128(offset, low, high, port));
    }
}

impl Clock for Ticks {
    fn now_ticks(&self) -> u64 {
        self.0.get()
    }
    fn ticks_per_second(&self) -> u64 {
        1_000_000
    }
    fn relax(&self) {
        thread::yield_now();
    }
}

/// A driver with one started queue, and where the queue's rings lie.
fn started(machine: &Rc<Machine>) -> (Driver, QueueId, std::ops::Range<u64>) {
    machine.model.lock().unwrap().config_write(4, 2, 6, &mut Port(machine.clone()));
    let parameters = Parameters {
        version: QmVersion::V3,
        queues: 2,
        page_bytes: 64,
        engine: Engine { log2_sqe_bytes: 4, alg_types: 1, algorithms: "null" },
        doorbell_pages: None,
        timeouts: Timeouts::default(),
    };
    let window = |bar| Window(machine.clone(), bar);
    let mut driver = Qm::new(parameters, window(Bar::Bar2), Some(window(Bar::Bar4)), Ticks(Cell::new(0)), Memory(machine.clone()));
    driver.initialise().unwrap();
    driver.start().unwrap();
    let queue = driver.get_queue(None).unwrap();
    let base = machine.next.get() - driver.dus_layout().len_bytes() as u64;
    driver.start_queue(queue).unwrap();
    let rings = base..base + (usize::from(DEPTH) * (SQE_WORDS * 4 + 16)) as u64;
    (driver, queue, rings)
}

fn finish(model: &mut Model, mut task: Task, port: &mut Port) -> Completion {
    task.sqe[1] = task.sqe[0] + 1;
    model.complete(&task, port).unwrap()
}

/// Two requests are published while the device serves and the driver consumes.
fn publish_and_consume(broken: (bool, bool)) {
    let machine = Machine::new(broken);
    let (mut driver, queue, rings) = started(&machine);
    machine.heat(rings);
    let device = machine.clone();
    let serving = thread::spawn(move || {
        let hot = device.hot.get().unwrap();
        let mut port = Port(device.clone());
        let (mut seen, mut done) = (0, 0);
        while done < 2 {
            let tail = hot.tail.load(Relaxed);
            if tail == seen {
                thread::yield_now();
                continue;
            }
            seen = tail;
            // The doorbell is a transaction behind the stores that the barrier ordered before it.
            fence(Acquire);
            let mut model = device.model.lock().unwrap();
            model.mmio_write(Bar::Bar4, 0x1000, 8, u64::from(tail) << 32, &mut port);
            while let Some(task) = model.next_task(&mut port) {
                assert_eq!(task.sqe[0], 0x100 + done, "the entry that the doorbell tells of");
                assert_eq!(finish(&mut model, task, &mut port), Completion::Delivered);
                done += 1;
            }
        }
    });
    driver.submit(queue, &[0x100, 0, 0, 0]).unwrap();
    driver.submit(queue, &[0x101, 0, 0, 0]).unwrap();
    let mut taken = 0;
    while taken < 2 {
        let mut sqe = [0; SQE_WORDS];
        match driver.poll_completion(queue, &mut sqe) {
            Ok(Some(slot)) => {
                assert_eq!((u32::from(slot), sqe[0], sqe[1]), (taken, 0x100 + taken, 0x101 + taken), "nothing older than its phase bit");
                taken += 1;
            }
            Ok(None) => thread::yield_now(),
            Err(error) => panic!("{error:?}"),
        }
    }
    serving.join().unwrap();
    assert_eq!(driver.outstanding(queue), 0);
}

/// A queue is stopped while the engine completes what it holds and takes what is left.
fn stop_while_completing(held: usize) {
    let machine = Machine::new((false, false));
    let (mut driver, queue, rings) = started(&machine);
    driver.submit(queue, &[7, 0, 0, 0]).unwrap();
    driver.submit(queue, &[8, 0, 0, 0]).unwrap();
    let mut port = Port(machine.clone());
    let mut task = if held == 1 { machine.model.lock().unwrap().next_task(&mut port) } else { None };
    let device = machine.clone();
    let engine = thread::spawn(move || {
        let mut port = Port(device.clone());
        for _ in 0..3 {
            if let Some(task) = task.take() {
                let done = finish(&mut device.model.lock().unwrap(), task, &mut port);
                assert_eq!(done, Completion::Delivered, "a queue that drains loses nothing");
            }
            thread::yield_now();
            task = device.model.lock().unwrap().next_task(&mut port);
        }
        assert!(task.is_none(), "two requests, and no third");
    });
    driver.stop_queue(queue).unwrap();
    *machine.quiet.borrow_mut() = Some(rings);
    assert_eq!(driver.queue_state(queue), QpState::Init);
    for tag in 7..9 {
        let mut sqe = [0; SQE_WORDS];
        assert!(driver.poll_completion(queue, &mut sqe).unwrap().is_some());
        assert_eq!((sqe[0], sqe[1]), (tag, tag + 1));
    }
    engine.join().unwrap();
    assert_eq!(machine.model.lock().unwrap().take_violation(), None);
}

fn explore(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    builder.check(body);
}

#[test]
fn qm_d06_p02_publish_and_consume_in_every_order() {
    explore(2, || publish_and_consume((false, false)));
}

#[test]
fn qm_d06_p02_an_order_that_a_missing_barrier_allows_is_found() {
    for broken in [(true, false), (false, true)] {
        let found = std::panic::catch_unwind(|| explore(2, move || publish_and_consume(broken)));
        assert!(found.is_err(), "{broken:?}");
    }
}

/// Four processors ask for four contexts at once: the driver's lock makes one command of them at a time, and everybody gets what was asked for.
#[test]
fn qm_m09_four_processors_share_the_mailbox_and_each_gets_its_answer() {
    explore(1, || {
        let machine = Machine::new((false, false));
        let (mut driver, first, _) = started(&machine);
        let second = driver.get_queue(None).unwrap();
        driver.start_queue(second).unwrap();
        let asked = [MailboxCommand::SQC, MailboxCommand::CQC].map(|command| [(command, first.0), (command, second.0)]);
        let expected =
            asked.as_flattened().iter().map(|(command, queue)| driver.dump_context(*command, *queue).unwrap()).collect::<Vec<_>>();
        assert!((0..4).all(|one| (0..one).all(|other| expected[one] != expected[other])), "four contexts");
        let driver = Rc::new(Mutex::new(driver));
        let processors = asked.as_flattened().iter().copied().zip(expected).skip(1).map(|((command, queue), expected)| {
            let driver = driver.clone();
            thread::spawn(move || assert_eq!(driver.lock().unwrap().dump_context(command, queue), Ok(expected)))
        });
        let processors: Vec<_> = processors.collect();
        assert!(driver.lock().unwrap().dump_context(MailboxCommand::SQC, first.0).is_ok());
        processors.into_iter().for_each(|processor| processor.join().unwrap());
        let model = machine.model.lock().unwrap();
        assert_eq!((model.counters().mailbox_overruns, model.counters().torn_mailboxes), (0, 0));
    });
}

#[test]
fn qm_x08_stop_while_completing_in_every_order() {
    for held in [0, 1] {
        explore(3, move || stop_while_completing(held));
    }
}
