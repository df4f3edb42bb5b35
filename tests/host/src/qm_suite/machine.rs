//! A queue manager model with memory, a null engine, and the driver's windows onto it.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

use core::time::Duration;

use hal::{Iova, Pa, QueueId, RegisterWindow, StreamId, Verdict};
use qm_driver::{Engine, Parameters, Qm, Timeouts};
use qm_model::{Bar, Completion, QmConfig, QmModel, Task};
use qm_spec::{Mailbox, MailboxCommand, MailboxOp, QmVersion, pci};

use crate::support::{DirectPort, FakeClock, HostDma, HostMemory};

/// Queues of the tests' device.
pub const QUEUES: usize = 8;
/// Where the tests' drivers get memory.
pub const DMA_BASE: u64 = 0x8000_0000;
/// Where message-signalled interrupts go.
pub const MSI_FRAME: u64 = 0x5000_0000;
/// First of the four messages' data.
pub const MSI_DATA: u32 = 0x40;
/// StreamID of the function.
pub const STREAM: StreamId = StreamId(8);
/// Where tests without a driver put their contexts and rings.
pub const RAM: u64 = 0x1_0000;

/// A driver over this machine.
pub type Driver<W = QmWindow> = Qm<W, FakeClock, HostDma, QUEUES>;

/// The model and its way to memory.
pub struct Silicon {
    pub model: QmModel<QUEUES>,
    pub port: DirectPort,
}

impl Silicon {
    /// Takes one entry.
    pub fn take(&mut self) -> Option<Task> {
        self.model.next_task(&mut self.port)
    }

    /// Gives one entry back, marked as the null engine does: word 1 is word 0 plus 1, word 3 is all ones.
    pub fn give_back(&mut self, mut task: Task) -> Completion {
        task.sqe[1] = task.sqe[0].wrapping_add(1);
        task.sqe[3] = u32::MAX;
        self.model.complete(&task, &mut self.port).unwrap_or(Completion::Dropped)
    }

    /// Runs what can be run; returns how many entries.
    pub fn run(&mut self) -> usize {
        let mut done = 0;
        while let Some(task) = self.take() {
            self.give_back(task);
            done += 1;
        }
        done
    }

    /// Stores a command to the mailbox and reads its end: status, words 1 and 2.
    pub fn command(&mut self, mailbox: Mailbox) -> (u8, u64) {
        let (low, high) = mailbox.encode();
        self.model.mmio_write128(0x300, low, high, &mut self.port);
        for _ in 0..8 {
            let word = self.model.mmio_read(Bar::Bar2, 0x300, 4);
            if word & 0x2000 == 0 {
                return (
                    (word >> 9 & 0xf) as u8,
                    self.model.mmio_read(Bar::Bar2, 0x304, 4) | self.model.mmio_read(Bar::Bar2, 0x308, 4) << 32,
                );
            }
        }
        (0xff, 0)
    }

    pub fn read(&mut self, offset: u64) -> u32 {
        self.model.mmio_read(Bar::Bar2, offset, 4) as u32
    }

    pub fn write(&mut self, offset: u64, value: u32) {
        self.model.mmio_write(Bar::Bar2, offset, 4, value.into(), &mut self.port);
    }

    /// Rings a doorbell given as its golden 64-bit word, in BAR2.
    pub fn ring(&mut self, offset: u64, word: u64) {
        self.model.mmio_write(Bar::Bar2, offset, 8, word, &mut self.port);
    }

    /// Rings a doorbell in a queue's own page.
    pub fn ring_page(&mut self, page: u64, word: u64) {
        self.model.mmio_write(Bar::Bar4, page * 0x1_0000 + 0x1000, 8, word, &mut self.port);
    }

    pub fn resume(&mut self, stag: u16, verdict: Verdict) -> bool {
        self.model.resume(hal::StallTag { stream: STREAM, stag }, verdict, &mut self.port)
    }

    /// Writes one VFT entry by the registers.
    pub fn vft(&mut self, table: u32, entry: u64) {
        for (offset, value) in
            [(0x58, 0), (0x5c, table), (0x60, 0), (0x64, entry as u32), (0x68, (entry >> 32) as u32), (0x6c, 0), (0x54, 1)]
        {
            self.write(0x10_0000 + offset, value);
        }
        for _ in 0..8 {
            if self.read(0x10_006c) == 1 {
                return;
            }
        }
        panic!("the VFT operation does not end");
    }
}

/// The machine of one test.
#[derive(Clone)]
pub struct Machine {
    pub silicon: Rc<RefCell<Silicon>>,
    pub memory: HostMemory,
    pub port: DirectPort,
    pub dma: HostDma,
    pub clock: FakeClock,
    /// The engine works before the store of a doorbell has ended: as soon as it may.
    pub eager: Rc<Cell<bool>>,
}

/// A window onto one BAR of the model.
#[derive(Clone)]
pub struct QmWindow {
    silicon: Rc<RefCell<Silicon>>,
    bar: Bar,
    eager: Rc<Cell<bool>>,
}

impl QmWindow {
    fn silicon(&self) -> RefMut<'_, Silicon> {
        self.silicon.borrow_mut()
    }
    fn store(&self, offset: u64, bytes: u8, value: u64) {
        let mut silicon = self.silicon();
        let Silicon { model, port } = &mut *silicon;
        model.mmio_write(self.bar, offset, bytes, value, port);
        if self.eager.get() {
            silicon.run();
        }
    }
}

impl RegisterWindow for QmWindow {
    fn read32(&self, offset: u64) -> u32 {
        self.silicon().model.mmio_read(self.bar, offset, 4) as u32
    }
    fn write32(&self, offset: u64, value: u32) {
        self.store(offset, 4, value.into());
    }
    fn read64(&self, offset: u64) -> u64 {
        self.silicon().model.mmio_read(self.bar, offset, 8)
    }
    fn write64(&self, offset: u64, value: u64) {
        self.store(offset, 8, value);
    }
    fn write128(&self, offset: u64, low: u64, high: u64) {
        let mut silicon = self.silicon();
        let Silicon { model, port } = &mut *silicon;
        model.mmio_write128(offset, low, high, port);
    }
}

/// A configuration whose rings have the given depths (version 3 only: a version 2 part cannot say so).
pub fn config(version: QmVersion, sq_cq: u16, eq: u16, aeq: u16) -> QmConfig {
    let mut config = QmConfig::new(version, STREAM, 0xa250);
    config.capability.queue_depths = u32::from(sq_cq) | u32::from(sq_cq) << 16;
    config.capability.event_depths = u32::from(eq) | u32::from(aeq) << 16;
    config.engine_capabilities = &[(0x3130, 0x1ffe)];
    config
}

impl Machine {
    pub fn new(config: QmConfig) -> Self {
        let memory = HostMemory::with_ram(&[(RAM, 0x10_0000)]);
        memory.set_msi_frame(Pa(MSI_FRAME), 0x1000);
        let port = DirectPort::new(&memory);
        let dma = HostDma::new(&memory, Pa(DMA_BASE), 0x400_0000);
        let mut model = QmModel::new(config);
        let mut dma_port = port.clone();
        // What an operating system does before a driver runs: memory decode, bus master, four vectors.
        for (offset, bytes, value) in
            [(0x04, 2, 0x6), (0x84, 4, MSI_FRAME as u32), (0x88, 4, (MSI_FRAME >> 32) as u32), (0x8c, 2, MSI_DATA), (0x82, 2, 0x21)]
        {
            model.config_write(offset, bytes, value, &mut dma_port);
        }
        let silicon = Rc::new(RefCell::new(Silicon { model, port: port.clone() }));
        Self { silicon, memory, port, dma, clock: FakeClock::new(), eager: Rc::default() }
    }

    /// A version 3 machine with rings of the given depth.
    pub fn v3(depth: u16) -> Self {
        Self::new(config(QmVersion::V3, depth, 2 * depth, depth))
    }

    pub fn silicon(&self) -> RefMut<'_, Silicon> {
        self.silicon.borrow_mut()
    }

    pub fn window(&self, bar: Bar) -> QmWindow {
        QmWindow { silicon: Rc::clone(&self.silicon), bar, eager: Rc::clone(&self.eager) }
    }

    /// Lets the engine work whenever the driver spins.
    pub fn run_while_waiting(&self) {
        let silicon = Rc::clone(&self.silicon);
        self.clock.on_relax(move || {
            silicon.borrow_mut().run();
        });
    }

    pub fn parameters(&self) -> Parameters {
        let version = self.silicon().model.config().version;
        Parameters {
            version,
            queues: 4,
            page_bytes: 4096,
            engine: Engine { log2_sqe_bytes: 7, alg_types: 2, algorithms: "null" },
            doorbell_pages: Some(Pa(0x21_0000_0000)),
            timeouts: Timeouts { mailbox: Duration::from_millis(10), drain: Duration::from_millis(50), ..Timeouts::default() },
        }
    }

    /// A driver that has done nothing yet.
    pub fn driver(&self) -> Driver {
        Qm::new(self.parameters(), self.window(Bar::Bar2), Some(self.window(Bar::Bar4)), self.clock.clone(), self.dma.clone())
    }

    /// A driver that is up.
    pub fn started(&self) -> Driver {
        let mut driver = self.driver();
        driver.initialise().expect("initialise");
        driver.start().expect("start");
        driver
    }

    /// A queue of a driver, started.
    pub fn queue(&self, driver: &mut Driver) -> QueueId {
        let queue = driver.get_queue(None).expect("a free queue");
        driver.start_queue(queue).expect("start");
        queue
    }

    /// Vectors of the messages sent since the last call.
    pub fn vectors(&self) -> Vec<u32> {
        self.memory
            .take_msis()
            .iter()
            .map(|(at, data)| {
                assert_eq!(*at, MSI_FRAME);
                data - MSI_DATA
            })
            .collect()
    }

    pub fn put_words(&self, at: u64, words: &[u32]) {
        for (index, word) in words.iter().enumerate() {
            self.memory.poke(Pa(at + index as u64 * 4), &word.to_le_bytes());
        }
    }

    pub fn words<const N: usize>(&self, at: u64) -> [u32; N] {
        core::array::from_fn(|index| {
            let mut bytes = [0; 4];
            self.memory.peek(Pa(at + index as u64 * 4), &mut bytes);
            u32::from_le_bytes(bytes)
        })
    }

    /// Brings the model up by hand: memory, shares of 4 queues, EQ of 8 at RAM, AEQ of 4 at RAM + 0x100, tables at + 0x200 and + 0x300; events armed.
    pub fn bare(&self) {
        let mut s = self.silicon();
        s.write(0x10_0040, 1);
        while s.read(0x10_0044) == 0 {}
        s.vft(0, 0x0000_7000_0000_0000);
        s.vft(1, 0x1000_0000);
        self.put_words(RAM + 0x1000, &[0, RAM as u32, 0, 0, 0, 0, 0x1_0007, 0xdead_beef]);
        self.put_words(RAM + 0x1020, &[0, RAM as u32 + 0x100, 0, 0, 0, 0, 0x1_0003, 0xdead_beef]);
        let commands = [
            (MailboxCommand::EQC, RAM + 0x1000),
            (MailboxCommand::AEQC, RAM + 0x1020),
            (MailboxCommand::SQC_BT, RAM + 0x200),
            (MailboxCommand::CQC_BT, RAM + 0x300),
        ];
        for (command, base) in commands {
            assert_eq!(s.command(Mailbox::with_address(command, MailboxOp::Write, 0, Iova(base))).0, 0, "{command:?}");
        }
        s.ring(0x2000, 0x0000_0000_0000_3000);
        s.ring(0x2000, 0x0000_0000_0000_2000);
        s.write(0xc, 0);
        s.write(0x4, 0);
    }

    /// Loads a queue of `depth` entries by hand: SQ at RAM + 0x10000 × (q + 1), CQ half-way behind it.
    pub fn bare_queue(&self, qn: u16, depth: u32, c_flag: bool) {
        let (sq, cq) = (Self::sq_at(qn) as u32, Self::cq_at(qn) as u32);
        self.put_words(RAM + 0x1040, &[0, sq, 0, 0x7000 | (depth - 1), 0, 0, 0x0010_0000 | u32::from(qn), 0]);
        self.put_words(RAM + 0x1060, &[0, cq, 0, 0x4000 | (depth - 1), 0, 0, 1 | u32::from(c_flag) << 1, 0]);
        for word in 0..4 * depth {
            self.put_words(u64::from(cq) + u64::from(word) * 4, &[0]);
        }
        let mut s = self.silicon();
        assert_eq!(s.command(Mailbox::with_address(MailboxCommand::SQC, MailboxOp::Write, qn, Iova(RAM + 0x1040))).0, 0);
        assert_eq!(s.command(Mailbox::with_address(MailboxCommand::CQC, MailboxOp::Write, qn, Iova(RAM + 0x1060))).0, 0);
    }

    pub fn sq_at(qn: u16) -> u64 {
        RAM + 0x1_0000 * (u64::from(qn) + 1)
    }
    pub fn cq_at(qn: u16) -> u64 {
        Self::sq_at(qn) + 0x8000
    }
}

/// Golden form of a submission doorbell.
pub fn sq_doorbell(qn: u16, tail: u16) -> u64 {
    u64::from(tail) << 32 | u64::from(qn)
}

/// Golden form of a completion doorbell.
pub fn cq_doorbell(qn: u16, head: u16, arm: bool) -> u64 {
    u64::from(arm) << 48 | u64::from(head) << 32 | 0x1000 | u64::from(qn)
}

/// PCI command register offset, for tests that switch the function off.
pub const COMMAND: u16 = pci::COMMAND_STATUS;
