//! Two functions, two processes, four queues, and a kernel that serves interrupts: what every row of the matrix runs on.
//!
//! The processes drive their rings themselves, through the doorbell pages that the uacce core gave them; uacce core, drivers and model are the
//! real ones. A judge reads every access of the device: nothing may touch the memory of a queue that was stopped, nor leave its own function.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use hal::{Access, QueueDevice, QueueId, Region};
use qm_driver::{AbnormalReport, AsyncEvent, Lock, QmDevice, QmError, QmState, ResetFailure};
use qm_model::{Bar, Violation};
use qm_spec::PhaseRing;
use uacce_abi::{Command, Errno, NodeIndex};
use uacce_kernel::{Allocated, Interface, QueueHandle, SpaceId, Uacce};
use zip_driver::{CapabilityWords, ErrorReport, UserTraffic};

use super::super::machine::{RAM, STREAM};
use super::super::many::{Device, Driver, Platform};
use super::engine::{Cores, JOB_BYTES, turned};
use super::ledger::{Fate, Ledger};
use super::spaces::Spaces;

/// Depth of every ring.
pub const DEPTH: u16 = 8;
/// The queues of a rig: (process, function).
pub const QUEUES: [(usize, usize); 4] = [(0, 0), (1, 0), (0, 1), (1, 1)];

/// A driver behind the caller's lock.
#[derive(Clone)]
pub struct Shared(pub Rc<RefCell<Driver>>);

impl Lock for Shared {
    type Target = Driver;
    fn with<R>(&self, f: impl FnOnce(&mut Driver) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }
}

/// What the kernel logs: one record per event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Record {
    /// Errors of the queue manager.
    Qm(AbnormalReport),
    /// Errors of the engine.
    Zip(ErrorReport),
    /// An asynchronous event of a function.
    Async(usize, AsyncEvent),
    /// A controller reset: requests of kernel queues cut off, functions that did not answer; or where it failed.
    Reset(Result<u64, ResetFailure>),
    /// A function was stopped and started.
    Restart(usize, Result<(), QmError>),
}

/// An open queue as its process sees it.
pub struct UserQueue {
    pub process: usize,
    pub function: usize,
    pub handle: QueueHandle,
    pub qn: u16,
    pub dus: u64,
    pub tail: u16,
    cq: PhaseRing,
    pub in_flight: VecDeque<(u16, u32)>,
    /// What the process got from its queue: nothing may be sent or received any more.
    pub dead: bool,
    /// The process does not look at its queue.
    pub asleep: bool,
}

/// Doorbells on their way from a process to the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DoorbellFault {
    /// They arrive.
    #[default]
    None,
    /// They are lost.
    Dropped,
    /// They arrive when [`Rig::deliver_doorbells`] is called.
    Delayed,
    /// They arrive twice.
    Doubled,
}

pub struct Rig {
    pub device: Device,
    pub drivers: [Shared; 2],
    pub uacce: Uacce<QmDevice<Shared>, 2, 16>,
    pub spaces: Spaces,
    pub cores: Cores,
    pub queues: Vec<UserQueue>,
    pub ledger: Ledger,
    pub log: Vec<Record>,
    pub doorbells: DoorbellFault,
    delayed: Vec<(usize, u16, u64)>,
    /// Interrupts are taken but for these: vectors as `4 × function + vector`.
    pub lost_vectors: Vec<u32>,
    /// Processes sleep until the kernel wakes them.
    pub sleepy: bool,
    /// Every so many turns the kernel looks at the event queues without an interrupt; 0 is never.
    pub timer: u32,
    turns: u32,
    /// Entries that name any address are part of the row: there is no SMMU here to confine them.
    pub wild: bool,
    /// A rule that a driver may break here, because it was kept from knowing.
    pub excused: Option<Violation>,
    /// Memory that no device may touch now: base and length, and why.
    quiet: BTreeMap<u64, (u64, &'static str)>,
    pub initialises: Rc<Cell<bool>>,
}

impl Rig {
    /// A rig whose functions are up and whose memory is warm: every block that a queue needs has been handed out once.
    pub fn new() -> Self {
        let device = Device::new(1);
        device.dma.never_reuse();
        let mut physical = device.physical();
        let capabilities = zip_driver::read_capabilities(&device.window(0, Bar::Bar2), 0x30, CapabilityWords::Absent);
        zip_driver::bring_up(&device.window(0, Bar::Bar2), &device.clock, &capabilities, UserTraffic::Sva).expect("engine");
        physical.enable_vfs(1, &device.config).expect("enable");
        let drivers = [physical, device.virtual_function(1)].map(|driver| Shared(Rc::new(RefCell::new(driver))));
        let (spaces, cores) = (Spaces::default(), Cores::default());
        let mut uacce = Uacce::new();
        for (node, driver) in drivers.iter().enumerate() {
            let allocated = Allocated::new(Interface::new("hisi_zip").unwrap(), QmDevice::new(driver.clone()));
            let registered = uacce.register(allocated, &spaces);
            assert!(registered.is_ok_and(|registered| registered.node().0 as usize == node));
        }
        let (silicon, engine, listener) = (device.silicon.clone(), cores.clone(), drivers[1].clone());
        device.clock.on_relax(move || {
            if let (Ok(mut silicon), Ok(mut engine)) = (silicon.try_borrow_mut(), engine.try_borrow_mut()) {
                engine.run(&mut silicon);
            }
            if let Ok(mut driver) = listener.0.try_borrow_mut() {
                let _ = driver.handle_pf_message();
            }
        });
        let mut rig = Self {
            device,
            drivers,
            uacce,
            spaces,
            cores,
            queues: Vec::new(),
            ledger: Ledger::default(),
            log: Vec::new(),
            doorbells: DoorbellFault::None,
            delayed: Vec::new(),
            lost_vectors: Vec::new(),
            sleepy: false,
            timer: 5,
            turns: 0,
            wild: false,
            excused: None,
            quiet: BTreeMap::new(),
            initialises: Rc::new(Cell::new(true)),
        };
        for (process, function) in [(0, 0), (0, 0), (0, 0), (0, 0), (1, 1), (1, 1)] {
            let queue = rig.open(process, function);
            rig.queues.push(queue);
        }
        while let Some(queue) = rig.queues.pop() {
            rig.close(queue);
        }
        rig
    }

    /// What must come back: free queues of both functions, bonds, PASIDs cut off, mappings, blocks of memory.
    pub fn counts(&self) -> (Vec<u32>, usize, usize, usize, usize) {
        let free = (0..2).map(|node| self.uacce.device(NodeIndex(node)).map_or(0, QueueDevice::available_instances)).collect();
        let counts = self.spaces.0.borrow();
        (free, counts.bonds.len(), counts.cut.len(), counts.mappings.len(), self.device.dma.live_buffers())
    }

    /// A process opens a queue of a function, maps both regions and starts it.
    pub fn try_open(&mut self, process: usize, function: usize) -> Result<UserQueue, Errno> {
        let (node, space) = (NodeIndex(function as u32), SpaceId(process as u64 + 1));
        let handle = self.uacce.open(node, space, &mut self.spaces)?;
        let mut context = [0; 4];
        self.uacce.ioctl(handle, space, Command::SET_QP_CTX, &mut context)?;
        let device = self.uacce.device(node).expect("a device");
        let lengths = [Region::Dus, Region::Mmio].map(|region| device.region_len_bytes(region));
        let dus = self.uacce.map(handle, space, Region::Dus.into(), lengths[0], &mut self.spaces)?.0;
        self.uacce.map(handle, space, Region::Mmio.into(), lengths[1], &mut self.spaces)?;
        self.judge();
        self.quiet.remove(&dus);
        if let Err(errno) = self.uacce.ioctl(handle, space, Command::START_Q, &mut []) {
            self.uacce.close(handle, space, &mut self.spaces).expect("close");
            return Err(errno);
        }
        let cq = PhaseRing::new(DEPTH.into()).expect("a depth");
        let qn = u16::from_le_bytes([context[0], context[1]]);
        Ok(UserQueue { process, function, handle, qn, dus, tail: 0, cq, in_flight: VecDeque::new(), dead: false, asleep: self.sleepy })
    }

    pub fn open(&mut self, process: usize, function: usize) -> UserQueue {
        self.try_open(process, function).expect("open")
    }

    /// Opens the four queues of every row.
    pub fn open_all(&mut self) {
        for (process, function) in QUEUES {
            let queue = self.open(process, function);
            self.queues.push(queue);
        }
    }

    /// A process closes a queue. What it had not received is cancelled.
    pub fn close(&mut self, queue: UserQueue) {
        for (_, tag) in &queue.in_flight {
            self.ledger.end(*tag, Fate::Cancelled);
        }
        self.uacce.close(queue.handle, SpaceId(queue.process as u64 + 1), &mut self.spaces).expect("close");
        if self.drivers[queue.function].0.borrow().queue_state(QueueId(queue.qn)) == qm_driver::QpState::Free {
            self.judge();
            self.quiet.insert(queue.dus, (self.dus_len(), "a queue that was stopped and given back"));
        }
    }

    fn dus_len(&self) -> u64 {
        self.drivers[0].0.borrow().dus_layout().len_bytes() as u64
    }

    pub fn word(&self, at: u64) -> u32 {
        let mut bytes = [0; 4];
        self.device.memory.peek(hal::Pa(at), &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn job_memory(tag: u32, function: usize) -> (u64, u64) {
        let at = RAM + 0x2_0000 * function as u64 + u64::from(tag % 256) * 2 * JOB_BYTES as u64;
        (at, at + JOB_BYTES as u64)
    }

    fn pattern(tag: u32) -> [u8; JOB_BYTES] {
        core::array::from_fn(|i| (tag as u8).wrapping_mul(31).wrapping_add(i as u8) ^ (tag >> 8) as u8)
    }

    /// A process submits a request; false if its queue is full or must not be used.
    pub fn submit(&mut self, index: usize) -> bool {
        let offsets = *self.drivers[0].0.borrow().dus_layout();
        let queue = &self.queues[index];
        if queue.dead || self.word(queue.dus + offsets.tx_stop_offset() as u64) == 1 || queue.in_flight.len() >= usize::from(DEPTH) - 1 {
            return false;
        }
        self.submit_anyway(index);
        true
    }

    /// A process submits a request without asking whether there is room.
    pub fn submit_anyway(&mut self, index: usize) {
        let queue = &self.queues[index];
        let tag = self.ledger.accept();
        let function = queue.function;
        let (from, to) = Self::job_memory(tag, function);
        self.device.memory.poke(hal::Pa(from), &Self::pattern(tag));
        self.device.memory.poke(hal::Pa(to), &[0; JOB_BYTES]);
        let mut sqe = [0u32; 32];
        sqe[0] = tag;
        sqe[3] = u32::MAX;
        (sqe[4], sqe[5], sqe[6], sqe[7]) = (from as u32, (from >> 32) as u32, to as u32, (to >> 32) as u32);
        let queue = &mut self.queues[index];
        let at = queue.dus + 128 * u64::from(queue.tail);
        for (i, word) in sqe.iter().enumerate() {
            self.device.memory.poke(hal::Pa(at + 4 * i as u64), &word.to_le_bytes());
        }
        queue.in_flight.push_back((queue.tail, tag));
        queue.tail = (queue.tail + 1) % DEPTH;
        let (qn, tail) = (queue.qn, queue.tail);
        self.ring(function, qn, u64::from(tail) << 32 | u64::from(qn));
    }

    /// A store to a queue's doorbell page.
    pub fn ring(&mut self, function: usize, qn: u16, word: u64) {
        match self.doorbells {
            DoorbellFault::Dropped => {}
            DoorbellFault::Delayed => self.delayed.push((function, qn, word)),
            fault => {
                for _ in 0..=u32::from(fault == DoorbellFault::Doubled) {
                    self.device.silicon().store(function as u8, Bar::Bar4, u64::from(qn) * 0x1_0000 + 0x1000, 8, word);
                }
            }
        }
    }

    pub fn deliver_doorbells(&mut self) {
        self.doorbells = DoorbellFault::None;
        for (function, qn, word) in core::mem::take(&mut self.delayed) {
            self.ring(function, qn, word);
        }
    }

    /// A process whose requests take too long rings again.
    pub fn ring_again(&mut self, index: usize) {
        let queue = &self.queues[index];
        let (function, qn, tail) = (queue.function, queue.qn, queue.tail);
        self.ring(function, qn, u64::from(tail) << 32 | u64::from(qn));
    }

    /// A process takes what has completed; returns how many. A completion that makes no sense, or the RX-stop word, ends the queue for it.
    pub fn poll(&mut self, index: usize) -> usize {
        let layout = *self.drivers[0].0.borrow().dus_layout();
        let mut taken = 0;
        loop {
            let queue = &self.queues[index];
            if queue.dead || queue.asleep {
                return taken;
            }
            if self.word(queue.dus + layout.rx_stop_offset() as u64) == 1 {
                self.queues[index].dead = true;
                return taken;
            }
            let at = queue.dus + (layout.cq_offset() + 16 * usize::from(queue.cq.head())) as u64;
            let (w2, w3) = (self.word(at + 8), self.word(at + 12));
            if (w3 >> 16 & 1 == 1) != queue.cq.expected_phase() {
                return taken;
            }
            let expected = queue.in_flight.front().copied();
            let (sq_head, sq_num) = (w2 as u16, (w2 >> 16) as u16);
            let Some((slot, tag)) = expected.filter(|(slot, _)| *slot == sq_head && sq_num == queue.qn) else {
                self.queues[index].dead = true;
                return taken;
            };
            let entry = queue.dus + 128 * u64::from(slot);
            let fate = match (self.word(entry), self.word(entry + 4), self.word(entry + 12)) {
                (t, after, 0) if t == tag && after == tag.wrapping_add(1) => Fate::Ok,
                _ => Fate::Error,
            };
            if fate == Fate::Ok {
                let mut data = [0; JOB_BYTES];
                self.device.memory.peek(hal::Pa(Self::job_memory(tag, queue.function).1), &mut data);
                assert_eq!(data, Self::pattern(tag).map(turned), "tag {tag} of queue {index} says ok");
            }
            self.ledger.end(tag, fate);
            let queue = &mut self.queues[index];
            queue.in_flight.pop_front();
            queue.cq.advance();
            taken += 1;
            let (function, qn, head) = (queue.function, queue.qn, queue.cq.head());
            self.device.silicon().store(
                function as u8,
                Bar::Bar4,
                u64::from(qn) * 0x1_0000 + 0x1000,
                8,
                1 << 48 | u64::from(head) << 32 | 0x1000 | u64::from(qn),
            );
        }
    }

    /// The kernel answers what interrupts are pending.
    pub fn serve(&mut self) {
        self.device.dma.take_interrupt();
        for vector in self.device.vectors() {
            if let Some(at) = self.lost_vectors.iter().position(|lost| *lost == vector) {
                self.lost_vectors.remove(at);
                continue;
            }
            self.interrupt((vector / 4) as usize, vector % 4);
        }
    }

    /// One interrupt of a function.
    pub fn interrupt(&mut self, function: usize, vector: u32) {
        let driver = self.drivers[function].clone();
        match vector {
            0 => {
                let mut served = Vec::new();
                driver.0.borrow_mut().handle_eq(|queue| served.push(queue.0));
                for queue in self.queues.iter_mut().filter(|queue| queue.function == function && served.contains(&queue.qn)) {
                    queue.asleep = false;
                }
            }
            1 => {
                let mut events = Vec::new();
                driver.0.borrow_mut().handle_aeq(|event| events.push(event));
                for event in events {
                    self.log.push(Record::Async(function, event));
                    match event {
                        AsyncEvent::CqOverflow(queue) | AsyncEvent::CqeError(queue) => {
                            let _ = driver.0.borrow_mut().disable_queue(queue);
                        }
                        AsyncEvent::EqOverflow => {
                            let result = driver.0.borrow_mut().restart_function();
                            self.log.push(Record::Restart(function, result));
                        }
                        AsyncEvent::Unknown { .. } | AsyncEvent::Stray { .. } => {}
                    }
                }
            }
            2 if function == 0 => driver.0.borrow_mut().handle_vf_messages(|_| {}).expect("messages"),
            2 => {
                let _ = driver.0.borrow_mut().handle_pf_message();
            }
            _ => self.abnormal(),
        }
    }

    /// The abnormal interrupt: both blocks are asked, and one reset answers what needs one.
    pub fn abnormal(&mut self) {
        let report = self.drivers[0].0.borrow_mut().handle_abnormal();
        let window = self.device.window(0, Bar::Bar2);
        let engine = zip_driver::take_errors(&window, &zip_spec::Capabilities::V3);
        if report.errors != 0 {
            self.log.push(Record::Qm(report));
        }
        if let Some(engine) = engine {
            self.log.push(Record::Zip(engine));
        }
        if report.needs_reset != 0 || engine.is_some_and(|engine| engine.needs_reset) {
            self.reset();
        }
    }

    /// A controller reset with the engine's own part in it.
    pub fn reset(&mut self) {
        let window = self.device.window(0, Bar::Bar2);
        let capabilities = zip_spec::Capabilities::V3;
        let clock = self.device.clock.clone();
        let initialises = self.initialises.clone();
        let mut quiesce = || {
            zip_driver::disable_errors(&window, &capabilities);
            zip_driver::close_prefetch(&window, &clock).is_ok()
        };
        let mut initialise = || initialises.get() && zip_driver::bring_up(&window, &clock, &capabilities, UserTraffic::Sva).is_ok();
        let platform: Platform = self.device.platform();
        let result = {
            let mut around = self.device.around(&mut quiesce, &mut initialise, &platform);
            self.drivers[0].0.borrow_mut().controller_reset(&mut around)
        };
        if result.is_ok() {
            // Cores that died live again.
            self.cores.borrow_mut().lost.clear();
        }
        self.log.push(Record::Reset(result.map(|reset| reset.silent_vfs)));
    }

    /// One turn of the world: the engine works, the kernel serves, the processes look.
    pub fn turn(&mut self) {
        {
            let mut silicon = self.device.silicon();
            self.cores.borrow_mut().run(&mut silicon);
        }
        self.serve();
        self.turns += 1;
        if self.timer != 0 && self.turns.is_multiple_of(self.timer) {
            for function in 0..2 {
                self.interrupt(function, 0);
                self.interrupt(function, 1);
            }
        }
        for index in 0..self.queues.len() {
            self.poll(index);
            self.queues[index].asleep |= self.sleepy;
        }
        self.judge();
    }

    /// Judges what the device did since the last time.
    pub fn judge(&mut self) {
        for (who, access, at, len) in self.device.port.take_log() {
            let end = at + len as u64;
            for (base, (bytes, why)) in &self.quiet {
                assert!(end <= *base || at >= base + bytes, "{access:?} of {at:#x} by {who:?}: memory of {why}");
            }
            let function = u64::from(who.stream.0 - STREAM.0);
            let jobs = RAM + 0x2_0000 * function;
            if who.substream.is_some() && self.wild {
                continue;
            }
            if at < RAM + 0x10_0000 {
                assert!(at >= jobs && end <= jobs + 0x2_0000, "{access:?} of {at:#x} by {who:?}: another function's data");
                assert!(who.substream.is_some(), "data are the process's");
            } else {
                assert_eq!(who.substream, None, "rings and contexts stay on the plain stream");
            }
            assert!(access != Access::Write || len != 0);
        }
    }

    /// Everything that can end ends: engine awake, timers run, processes whose queue died close it and open another.
    pub fn settle(&mut self) {
        self.cores.borrow_mut().paused = false;
        for _ in 0..20 {
            self.turn();
        }
        for function in 0..2 {
            // The kernel's timer looks where an interrupt may have been lost.
            self.interrupt(function, 0);
            self.interrupt(function, 1);
        }
        self.abnormal();
        for index in 0..self.queues.len() {
            self.poll(index);
            if !self.queues[index].dead && !self.queues[index].in_flight.is_empty() {
                self.ring_again(index);
            }
        }
        self.sleepy = false;
        self.queues.iter_mut().for_each(|queue| queue.asleep = false);
        for _ in 0..4 {
            self.turn();
        }
        for index in 0..self.queues.len() {
            // A process whose requests do not come back gives its queue up.
            if self.queues[index].dead || !self.queues[index].in_flight.is_empty() {
                let (process, function) = (self.queues[index].process, self.queues[index].function);
                let dead = self.queues.remove(index);
                self.close(dead);
                let fresh = self.open(process, function);
                self.queues.insert(index, fresh);
            }
        }
    }

    /// `jobs` requests through every queue, each of which must be right.
    pub fn good_jobs(&mut self, jobs: usize) {
        let (_, [before, ..]) = self.ledger.sums();
        for job in 0..jobs {
            for index in 0..self.queues.len() {
                assert!(self.submit(index), "job {job} of queue {index}");
            }
            self.turn();
        }
        let (_, [after, errors, cancelled]) = self.ledger.sums();
        assert_eq!(after - before, jobs * self.queues.len(), "{errors} errors, {cancelled} cancelled");
    }

    /// Rules that the drivers broke: none, ever.
    pub fn assert_lawful(&self) {
        let mut silicon = self.device.silicon();
        let broken: Vec<Violation> = std::iter::from_fn(|| silicon.model.take_violation())
            .filter(|v| !v.comes_from_a_process() && Some(*v) != self.excused)
            .collect();
        assert_eq!(broken, [], "{}", broken.first().map_or("", Violation::clause));
    }

    /// The end of a row: nothing is lost, everything is back, nobody was disturbed.
    pub fn finish(mut self, start: &(Vec<u32>, usize, usize, usize, usize)) {
        self.settle();
        self.good_jobs(100);
        self.assert_lawful();
        while let Some(queue) = self.queues.pop() {
            self.close(queue);
        }
        self.ledger.check();
        assert_eq!(&self.counts(), start, "free queues, bonds, PASIDs cut off, mappings, blocks of memory");
        self.judge();
        let [physical, virtual_function] = &self.drivers;
        virtual_function.0.borrow_mut().shutdown().expect("shutdown");
        let mut physical = physical.0.borrow_mut();
        physical.disable_vfs(&self.device.config, |_| false).expect("disable");
        physical.shutdown().expect("shutdown");
        assert_eq!((physical.state(), self.device.dma.live_buffers()), (QmState::Down, 0));
        drop(physical);
        self.assert_lawful();
    }

    /// True if the log holds a controller reset that worked.
    pub fn resets(&self) -> usize {
        self.log.iter().filter(|record| matches!(record, Record::Reset(Ok(_)))).count()
    }
}

/// One row: a rig under load, a fault in the middle of it, and the ledger. `check` sees the world after everything has settled.
pub fn row(inject: impl FnOnce(&mut Rig), check: impl FnOnce(&Rig)) {
    let mut rig = Rig::new();
    let start = rig.counts();
    rig.open_all();
    rig.good_jobs(20);
    // Load: some done, two with the engine, the rest waiting.
    for index in 0..4 {
        for _ in 0..5 {
            assert!(rig.submit(index));
        }
    }
    {
        let mut silicon = rig.device.silicon();
        let mut engine = rig.cores.borrow_mut();
        for _ in 0..6 {
            engine.take(&mut silicon);
            engine.finish(&mut silicon);
        }
        engine.take(&mut silicon);
    }
    inject(&mut rig);
    // The load goes on.
    for _ in 0..3 {
        rig.turn();
        for index in 0..rig.queues.len() {
            rig.submit(index);
        }
    }
    rig.settle();
    check(&rig);
    rig.finish(&start);
}
