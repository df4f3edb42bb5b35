//! A device with virtual functions: the model, windows onto every function, configuration space, a platform reset that can fail.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::time::Duration;

use hal::{ConfigSpace, Pa, PlatformReset, QueueId, RegisterWindow, ResetError, StreamId};
use qm_driver::{Engine, Parameters, Qm, Reset, ResetFailure, Surroundings, Timeouts};
use qm_model::{Bar, Completion, QmModel};
use qm_spec::QmVersion;
use zip_model::ZipCore;
use zip_spec::Capabilities;

use super::machine::{DMA_BASE, MSI_DATA, MSI_FRAME, RAM, STREAM, config};
use crate::support::{DirectPort, FakeClock, HostDma, HostMemory};

/// Queues of the device.
pub const QUEUES: usize = 256;
/// The physical function and 63 virtual ones.
pub const FUNCTIONS: usize = 64;
/// Where the engine's registers lie in BAR2.
const ENGINE: std::ops::Range<u64> = 0x30_1000..0x31_0000;
/// A driver of any function.
pub type Driver = Qm<Window, FakeClock, HostDma, QUEUES>;

pub struct Silicon {
    pub model: QmModel<QUEUES, FUNCTIONS>,
    /// The engine's registers, in the physical function's BAR2.
    pub zip: ZipCore,
    pub port: DirectPort,
    /// What the platform's reset answers next.
    pub refuse: Option<ResetError>,
    /// 32-bit stores to the physical function's BAR2, in order.
    pub stores: Vec<(u64, u32)>,
    /// Mailbox stores of this function are lost.
    pub deaf_mailbox: Option<u8>,
    /// A 32-bit register of a function that reads as this, whatever it holds.
    pub stuck: Option<(u8, u64, u32)>,
    pub resets: u32,
    /// Stores and mailbox commands that were taken so far.
    pub taken: u32,
    /// The platform resets the device, unasked, behind this many of them; then every register reads as in the list.
    pub strike: Option<u32>,
    pub struck: Vec<(u64, u32)>,
}

/// Every register of the queue manager, in the order of its offset.
pub fn register_offsets() -> impl Iterator<Item = u64> {
    use qm_spec::regs::{am, function, pf};
    function::REGISTERS.iter().chain(pf::REGISTERS).chain(am::REGISTERS).map(|register| register.offset)
}

impl Silicon {
    /// One more store or command has been taken.
    fn count(&mut self) {
        self.taken += 1;
        if self.strike == Some(self.taken) {
            self.model.reset();
            self.zip.reset();
            self.struck = register_offsets().map(|offset| (offset, self.read(0, offset))).collect();
        }
    }

    /// Runs everything with a null engine: word 1 becomes word 0 plus 1, word 3 all ones. Returns the functions served, in order.
    pub fn run(&mut self) -> Vec<u8> {
        let mut served = Vec::new();
        while let Some(mut task) = self.model.next_task(&mut self.port) {
            served.push(task.function);
            task.sqe[1] = task.sqe[0].wrapping_add(1);
            task.sqe[3] = u32::MAX;
            assert!(!matches!(self.model.complete(&task, &mut self.port), Ok(Completion::Parked)));
        }
        served
    }
    pub fn read(&mut self, function: u8, offset: u64) -> u32 {
        self.load(function, Bar::Bar2, offset, 4) as u32
    }
    pub fn load(&mut self, function: u8, bar: Bar, offset: u64, bytes: u8) -> u64 {
        if let Some((_, _, value)) = self.stuck.filter(|(f, at, _)| bar == Bar::Bar2 && (*f, *at, 4) == (function, offset, bytes)) {
            return value.into();
        }
        match function {
            0 if bar == Bar::Bar2 && ENGINE.contains(&offset) => self.zip.mmio_read(offset, bytes),
            0 => self.model.mmio_read(bar, offset, bytes),
            f => self.model.function_read(f, bar, offset, bytes),
        }
    }
    pub fn write(&mut self, function: u8, offset: u64, value: u32) {
        self.store(function, Bar::Bar2, offset, 4, value.into());
    }
    pub fn store(&mut self, function: u8, bar: Bar, offset: u64, bytes: u8, value: u64) {
        if function == 0 && bar == Bar::Bar2 && bytes == 4 {
            self.stores.push((offset, value as u32));
        }
        if function == 0 && bar == Bar::Bar2 && ENGINE.contains(&offset) {
            let was = self.zip.has_abnormal_interrupt();
            self.zip.mmio_write(offset, bytes, value);
            if self.zip.has_abnormal_interrupt() && !was {
                self.model.engine_error(&mut self.port);
            }
        } else if function == 0 {
            self.model.mmio_write(bar, offset, bytes, value, &mut self.port);
        } else {
            self.model.function_write(function, bar, offset, bytes, value, &mut self.port);
        }
        self.count();
    }
    /// Sends a mailbox command of a function; its status and data.
    pub fn command(&mut self, function: u8, word0: u32, base: u64) -> (u32, u64) {
        let low = u64::from(word0 | 0x2000) | base << 32;
        if function == 0 {
            self.model.mmio_write128(0x300, low, base >> 32, &mut self.port);
        } else {
            self.model.function_write128(function, 0x300, low, base >> 32, &mut self.port);
        }
        for _ in 0..8 {
            let word = self.read(function, 0x300);
            if word & 0x2000 == 0 {
                return (word >> 9 & 0xf, u64::from(self.read(function, 0x304)) | u64::from(self.read(function, 0x308)) << 32);
            }
        }
        (0xff, 0)
    }
}

/// A BAR of a function.
#[derive(Clone)]
pub struct Window {
    silicon: Rc<RefCell<Silicon>>,
    function: u8,
    bar: Bar,
    on: Rc<Cell<bool>>,
}

impl Window {
    fn load(&self, offset: u64, bytes: u8) -> u64 {
        // Memory decode off: nobody answers.
        if !self.on.get() {
            return u64::MAX >> (64 - 8 * u32::from(bytes));
        }
        self.silicon.borrow_mut().load(self.function, self.bar, offset, bytes)
    }
    fn store(&self, offset: u64, bytes: u8, value: u64) {
        if self.on.get() {
            self.silicon.borrow_mut().store(self.function, self.bar, offset, bytes, value);
        }
    }
}

impl RegisterWindow for Window {
    fn read32(&self, offset: u64) -> u32 {
        self.load(offset, 4) as u32
    }
    fn write32(&self, offset: u64, value: u32) {
        self.store(offset, 4, value.into());
    }
    fn read64(&self, offset: u64) -> u64 {
        self.load(offset, 8)
    }
    fn write64(&self, offset: u64, value: u64) {
        self.store(offset, 8, value);
    }
    fn write128(&self, offset: u64, low: u64, high: u64) {
        if self.on.get() {
            let s = &mut *self.silicon.borrow_mut();
            match self.function {
                f if s.deaf_mailbox == Some(f) => {}
                0 => s.model.mmio_write128(offset, low, high, &mut s.port),
                f => s.model.function_write128(f, offset, low, high, &mut s.port),
            }
            s.count();
        }
    }
}

/// Configuration space of a function; a stuck bit reads back as it was.
#[derive(Clone)]
pub struct Config {
    silicon: Rc<RefCell<Silicon>>,
    function: u8,
    on: Rc<Cell<bool>>,
    pub stuck: Rc<Cell<Option<(u16, u32)>>>,
}

impl ConfigSpace for Config {
    fn read32(&self, offset: u16) -> u32 {
        self.silicon.borrow().model.function_config_read(self.function, offset, 4)
    }
    fn write32(&self, offset: u16, value: u32) {
        let value = match self.stuck.get() {
            Some((at, bits)) if at == offset => value & !bits | self.read32(offset) & bits,
            _ => value,
        };
        let s = &mut *self.silicon.borrow_mut();
        s.model.function_config_write(self.function, offset, 4, value, &mut s.port);
        if offset == 4 && self.function == 0 {
            self.on.set(value & 2 != 0);
        }
    }
}

/// The platform's reset: what a model has for it.
pub struct Platform(Rc<RefCell<Silicon>>);

impl PlatformReset for Platform {
    fn reset(&self, device: StreamId) -> Result<(), ResetError> {
        assert_eq!(device, STREAM);
        let s = &mut *self.0.borrow_mut();
        if let Some(error) = s.refuse.take() {
            return Err(error);
        }
        assert_eq!(s.model.mmio_read(Bar::Bar2, 0x30_0150, 4), 3, "the bus is drained before a reset");
        s.model.reset();
        s.zip.reset();
        s.resets += 1;
        Ok(())
    }
}

#[derive(Clone)]
pub struct Device {
    pub silicon: Rc<RefCell<Silicon>>,
    pub memory: HostMemory,
    pub port: DirectPort,
    pub dma: HostDma,
    pub clock: FakeClock,
    pub config: Config,
    on: Rc<Cell<bool>>,
}

impl Device {
    pub fn new(total_vfs: u16) -> Self {
        Self::of(QmVersion::V3, total_vfs)
    }

    pub fn of(version: QmVersion, total_vfs: u16) -> Self {
        let memory = HostMemory::with_ram(&[(RAM, 0x10_0000)]);
        memory.set_msi_frame(Pa(MSI_FRAME), 0x1000);
        let port = DirectPort::new(&memory);
        let dma = HostDma::new(&memory, Pa(DMA_BASE), 0x1000_0000);
        let mut part = config(version, 8, 16, 8);
        part.total_vfs = total_vfs;
        let silicon = Rc::new(RefCell::new(Silicon {
            model: QmModel::new(part),
            zip: ZipCore::new(if version == QmVersion::V3 { Capabilities::V3 } else { Capabilities::V2 }),
            port: port.clone(),
            refuse: None,
            stuck: None,
            deaf_mailbox: None,
            stores: Vec::new(),
            resets: 0,
            taken: 0,
            strike: None,
            struck: Vec::new(),
        }));
        let on = Rc::new(Cell::new(true));
        let config = Config { silicon: silicon.clone(), function: 0, on: on.clone(), stuck: Rc::default() };
        let device = Self { silicon, memory, port, dma, clock: FakeClock::new(), config, on };
        device.set_up(0);
        device
    }

    /// What an operating system does before a driver runs: bus master, memory, and four vectors in a block of 4 per function.
    pub fn set_up(&self, function: u8) {
        let config = self.config(function);
        for (offset, value) in
            [(0x04, 6), (0x84, MSI_FRAME as u32), (0x88, 0), (0x8c, MSI_DATA + 4 * u32::from(function)), (0x80, 0x0021_0000)]
        {
            config.write32(offset, value);
        }
    }

    pub fn config(&self, function: u8) -> Config {
        Config { function, ..self.config.clone() }
    }
    pub fn silicon(&self) -> RefMut<'_, Silicon> {
        self.silicon.borrow_mut()
    }
    pub fn window(&self, function: u8, bar: Bar) -> Window {
        Window { silicon: self.silicon.clone(), function, bar, on: self.on.clone() }
    }

    pub fn parameters(&self, queues: u16) -> Parameters {
        Parameters {
            version: self.silicon().model.config().version,
            queues,
            page_bytes: 4096,
            engine: Engine { log2_sqe_bytes: 7, alg_types: 2, algorithms: "null" },
            doorbell_pages: Some(Pa(0x21_0000_0000)),
            timeouts: Timeouts {
                mailbox: Duration::from_millis(5),
                drain: Duration::from_millis(10),
                register: Duration::from_millis(5),
                peer: Duration::from_millis(100),
            },
        }
    }

    /// The physical function's driver, started with 4 queues.
    pub fn physical(&self) -> Driver {
        let (registers, pages) = (self.window(0, Bar::Bar2), Some(self.window(0, Bar::Bar4)));
        let mut driver = Qm::new(self.parameters(4), registers, pages, self.clock.clone(), self.dma.clone());
        driver.set_base_rates([750, 140]);
        driver.initialise().expect("initialise");
        driver.start().expect("start");
        driver
    }

    /// A virtual function's driver, started.
    pub fn virtual_function(&self, function: u8) -> Driver {
        self.set_up(function);
        let (registers, pages) = (self.window(function, Bar::Bar2), Some(self.window(function, Bar::Bar4)));
        let mut parameters = self.parameters(2);
        parameters.doorbell_pages = Some(Pa(0x21_0000_0000 + (u64::from(function) << 32)));
        let mut driver = Qm::new_virtual(parameters, registers, pages, self.clock.clone(), self.dma.clone());
        driver.initialise().expect("initialise");
        driver.start().expect("start");
        driver
    }

    /// `vfs` virtual functions with drivers that answer the physical function whenever somebody waits.
    pub fn with_vfs(&self, vfs: u16) -> (Driver, Vec<Rc<RefCell<Driver>>>) {
        let mut physical = self.physical();
        physical.enable_vfs(vfs, &self.config).expect("enable");
        let drivers: Vec<_> = (1..=vfs).map(|vf| Rc::new(RefCell::new(self.virtual_function(vf as u8)))).collect();
        let (listeners, silicon) = (drivers.clone(), self.silicon.clone());
        self.clock.on_relax(move || {
            silicon.borrow_mut().run();
            for driver in &listeners {
                if let Ok(mut driver) = driver.try_borrow_mut() {
                    let _ = driver.handle_pf_message();
                }
            }
        });
        (physical, drivers)
    }

    /// A controller reset with an engine that does what it is told, except what `fails` says.
    pub fn reset(&self, driver: &mut Driver, quiesce: bool, initialise: bool) -> Result<Reset, ResetFailure> {
        driver.controller_reset(&mut self.around(&mut || quiesce, &mut || initialise, &Platform(self.silicon.clone())))
    }

    pub fn around<'a>(
        &'a self,
        quiesce_engine: &'a mut dyn FnMut() -> bool,
        initialise_engine: &'a mut dyn FnMut() -> bool,
        platform: &'a Platform,
    ) -> Surroundings<'a> {
        Surroundings { config: &self.config, platform, device: STREAM, quiesce_engine, initialise_engine }
    }

    pub fn platform(&self) -> Platform {
        Platform(self.silicon.clone())
    }

    pub fn vectors(&self) -> Vec<u32> {
        self.memory.take_msis().iter().map(|(_, data)| data - MSI_DATA).collect()
    }
}

/// A started queue of a driver.
pub fn queue(driver: &mut Driver) -> QueueId {
    let queue = driver.get_queue(None).expect("a free queue");
    driver.start_queue(queue).expect("start");
    queue
}

/// Cancels what a stopped queue has outstanding; the slots, oldest first.
pub fn cancel(driver: &mut Driver, queue: QueueId) -> Vec<u16> {
    let mut slots = Vec::new();
    driver.cancel_outstanding(queue, |slot| slots.push(slot)).expect("a stopped queue");
    slots
}

/// Starts a queue again after a reset; what was outstanding is cancelled.
pub fn restart(driver: &mut Driver, queue: QueueId) {
    cancel(driver, queue);
    driver.start_queue(queue).expect("start");
}

/// Runs `jobs` jobs through a queue, one after the other, and checks each.
pub fn good_jobs(device: &Device, driver: &mut Driver, queue: QueueId, jobs: u32) {
    for job in 0..jobs {
        driver.submit(queue, &[job; 32]).expect("submit");
        device.silicon().run();
        let mut sqe = [0; 32];
        assert!(driver.poll_completion(queue, &mut sqe).expect("poll").is_some(), "job {job}");
        assert_eq!((sqe[0], sqe[1], sqe[3]), (job, job + 1, u32::MAX));
    }
}
