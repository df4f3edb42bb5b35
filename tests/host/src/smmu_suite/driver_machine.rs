//! The machine of the driver suites: the real driver, the real model, one memory between them, a device that does DMA, tables that a CPU builds.

use hal::{
    AccessKind, Barriers, DmaBuffer, DmaMapper, Iova, Pa, PhysMemory, RegisterWindow, Requester, StallTag, StreamId, SubstreamId, Va,
    Verdict,
};
use smmu_driver::{Config, Event, EventRecord, Granule, Smmu, SmmuError, Stage2Description, TableDescription, TableMemory};
use smmu_model::{Endpoint, Fault, Policy, Profile, SmmuModel, Transaction, Violation};
use smmu_spec::regs::{self, CR0};

use crate::support::{
    FakeClock, Fault as Misbehaviour, Faulty, HostBuffer, HostDma, HostMemory, IrqRecorder, MmioDevice, ModelWindow, StoreRelease,
};

/// Where the driver's structures and the tables lie.
const ARENA: (u64, u64) = (0x1000_0000, 0x1000_0000);
/// Plain memory for data.
pub const DATA: u64 = 0x4000_0000;
const DATA_BYTES: u64 = 0x0400_0000;
/// The accelerator's stream.
pub const STREAM: StreamId = StreamId(8);

/// The model with its machine.
pub struct Device {
    pub model: Box<SmmuModel>,
    memory: HostMemory,
    irq: IrqRecorder,
    resumed: Vec<(StallTag, Verdict)>,
    /// Reads tried after every register write, and what came of them.
    intruder: Option<(Requester, u64)>,
    outcomes: Vec<Result<u64, Fault>>,
    /// The device's side of ATS and PRI.
    pub endpoint: Box<Endpoint>,
}

impl MmioDevice for Device {
    fn mmio_read(&mut self, offset: u64, bytes: u8) -> u64 {
        self.model.mmio_read(offset, bytes)
    }

    fn mmio_write(&mut self, offset: u64, bytes: u8, value: u64) {
        self.model.mmio_write(offset, bytes, value, &mut self.memory, &mut self.irq);
        self.endpoint.serve(&mut self.model, &mut self.memory, &mut self.irq);
        while let Some(resumed) = self.model.take_resumed().or_else(|| self.endpoint.take_resumed()) {
            self.resumed.push(resumed);
        }
        if let Some((who, iova)) = self.intruder {
            let outcome = self.translate(who, iova, AccessKind::Read);
            self.outcomes.push(outcome.map(|pa| self.memory.read64(pa).expect("the page is RAM")));
        }
    }
}

impl Device {
    /// Makes a model that nobody has touched.
    pub fn new(profile: Profile, policy: Policy, memory: &HostMemory, irq: &IrqRecorder) -> Self {
        let mut model = Box::new(SmmuModel::new(profile));
        model.set_policy(policy);
        Self {
            model,
            memory: memory.clone(),
            irq: irq.clone(),
            resumed: Vec::new(),
            intruder: None,
            outcomes: Vec::new(),
            endpoint: Box::new(Endpoint::new()),
        }
    }

    /// Hears that memory is given back: strict mode asks its caches, and what the registers point to must be off. An SMMU that is off follows
    /// nothing, and whoever switches it on again invalidates first.
    fn note_freed(&mut self, at: Pa, len_bytes: u64) {
        let enabled = self.model.mmio_read(regs::SMMU_CR0ACK.offset(), 4) as u32;
        for (bit, base) in [
            (CR0::SMMUEN::SET, regs::SMMU_STRTAB_BASE.offset()),
            (CR0::CMDQEN::SET, regs::SMMU_CMDQ_BASE.offset()),
            (CR0::EVENTQEN::SET, regs::SMMU_EVENTQ_BASE.offset()),
            (CR0::PRIQEN::SET, regs::SMMU_PRIQ_BASE.offset()),
        ] {
            let base = self.model.mmio_read(base, 8) & 0x00ff_ffff_ffff_ffe0;
            assert!(enabled & bit.value == 0 || !(at.0..at.0 + len_bytes).contains(&base), "{base:#x} is given back and still in use");
        }
        if CR0::SMMUEN.is_set(enabled) {
            (at.0 & !0xfff..at.0 + len_bytes).step_by(0x1000).for_each(|page| self.model.note_freed(Pa(page)));
        }
    }

    /// One address through the device's translation cache.
    pub fn translate_by_ats(&mut self, who: Requester, iova: u64, kind: AccessKind) -> Result<Pa, Fault> {
        let tx = Transaction { who, iova: Iova(iova), kind };
        self.endpoint.translate(&mut self.model, tx, &mut self.memory, &mut self.irq).map(|t| t.pa)
    }

    /// A page request of the device's own making.
    pub fn request_page(&mut self, request: smmu_spec::pri::PageRequest) {
        self.model.page_request(request, &mut self.memory, &mut self.irq);
    }

    /// One address through the SMMU.
    pub fn translate(&mut self, who: Requester, iova: u64, kind: AccessKind) -> Result<Pa, Fault> {
        let tx = Transaction { who, iova: Iova(iova), kind };
        self.model.translate(tx, &mut self.memory, &mut self.irq).map(|t| t.pa)
    }
}

/// Whatever else a test is about: no driver gives memory back that the SMMU may still use. A test that does so itself takes the violation.
impl Drop for Device {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        while let Some(violation) = self.model.take_violation() {
            assert!(!matches!(violation, Violation::FreedWhileCached { .. } | Violation::FreedBeforeSync { .. }), "{violation:?}");
        }
    }
}

/// Registers as the driver of these suites sees them.
pub type Window = Faulty<ModelWindow<Device>>;
/// The driver of these suites.
pub type Driver = Smmu<Window, FakeClock, HostDma>;

/// Everything but the driver.
#[derive(Clone)]
pub struct Machine {
    pub memory: HostMemory,
    pub dma: HostDma,
    pub clock: FakeClock,
    pub irq: IrqRecorder,
    pub model: ModelWindow<Device>,
    pub window: Window,
}

/// All policies; the random one with three seeds.
pub const POLICIES: [Policy; 6] = [
    Policy::AlwaysMiss,
    Policy::Sticky,
    Policy::Prefetch,
    Policy::Random { seed: 1 },
    Policy::Random { seed: 2 },
    Policy::Random { seed: 3 },
];

/// A configuration that suits the profile.
pub fn config_for(profile: &Profile) -> Config {
    let coherent = profile.ids.idr0 & 1 << 4 != 0;
    Config { memory: if coherent { TableMemory::Cacheable } else { TableMemory::NonCacheable }, ..Config::default() }
}

impl Machine {
    pub fn new(profile: Profile, policy: Policy) -> Self {
        Self::with_stores(profile, policy, StoreRelease::AtBarrier)
    }

    /// A CPU whose stores also leave early and out of order.
    pub fn with_early_stores(profile: Profile, policy: Policy, seed: u64) -> Self {
        Self::with_stores(profile, policy, StoreRelease::Seeded(seed))
    }

    fn with_stores(profile: Profile, policy: Policy, release: StoreRelease) -> Self {
        let memory = HostMemory::with_ram(&[(DATA, DATA_BYTES)]);
        let irq = IrqRecorder::default();
        let model = ModelWindow::new(Device::new(profile, policy, &memory, &irq));
        let dma = HostDma::with_release(&memory, Pa(ARENA.0), ARENA.1, release);
        let device = model.clone();
        dma.on_free(move |at, len_bytes| device.device().note_freed(at, len_bytes));
        Self { dma, window: Faulty::new(model.clone()), clock: FakeClock::new(), memory, irq, model }
    }

    /// Brings the driver up.
    pub fn start(&self, config: Config) -> Result<Driver, SmmuError> {
        Smmu::init(self.window.clone(), self.clock.clone(), self.dma.clone(), config)
    }

    /// A device access of 8 bytes: translation, then memory.
    pub fn read(&self, who: Requester, iova: u64) -> Result<u64, Fault> {
        let pa = self.model.device().translate(who, iova, AccessKind::Read)?;
        Ok(self.memory.clone().read64(pa).expect("the page is RAM"))
    }

    /// As [`read`](Self::read), by a device that uses ATS.
    pub fn read_by_ats(&self, who: Requester, iova: u64) -> Result<u64, Fault> {
        let pa = self.model.device().translate_by_ats(who, iova, AccessKind::Read)?;
        Ok(self.memory.clone().read64(pa).expect("the page is RAM"))
    }

    /// A device store of 8 bytes.
    pub fn write(&self, who: Requester, iova: u64, value: u64) -> Result<(), Fault> {
        let pa = self.model.device().translate(who, iova, AccessKind::Write)?;
        self.memory.clone().write64(pa, value).expect("the page is RAM");
        Ok(())
    }

    /// What became of stalled transactions since the last call.
    pub fn take_resumed(&self) -> Vec<(StallTag, Verdict)> {
        std::mem::take(&mut self.model.device().resumed)
    }

    /// From now on `who` reads `iova` after every register write.
    pub fn set_intruder(&self, who: Requester, iova: u64) {
        let mut device = self.model.device();
        device.intruder = Some((who, iova));
        device.outcomes.clear();
    }

    /// The intruder gives up.
    pub fn drop_intruder(&self) {
        self.model.device().intruder = None;
    }

    /// What the intruder has met since it was set.
    pub fn outcomes(&self) -> Vec<Result<u64, Fault>> {
        self.model.device().outcomes.clone()
    }

    /// How often the intruder got through.
    pub fn intrusions(&self) -> usize {
        self.outcomes().iter().filter(|o| o.is_ok()).count()
    }

    /// The rules that the driver broke so far.
    pub fn violations(&self) -> Vec<Violation> {
        let mut all = Vec::new();
        while let Some(violation) = self.model.device().model.take_violation() {
            all.push(violation);
        }
        all
    }

    /// Delivers the event interrupt and collects what the driver reports.
    pub fn events(&self, driver: &mut Driver) -> Vec<Event> {
        self.dma.take_interrupt();
        let all: Vec<_> = std::iter::from_fn(|| driver.next_event().expect("events can be fetched")).take(1000).collect();
        assert!(all.len() < 1000, "events without end");
        all
    }

    /// As [`events`](Self::events), the records only.
    pub fn records(&self, driver: &mut Driver) -> Vec<EventRecord> {
        let record = |event| match event {
            Event::Fault(fault) => fault.record,
            Event::Other(record) => record,
            Event::RecordsLost | Event::Suppressed { .. } => panic!("records lost"),
        };
        self.events(driver).into_iter().map(record).collect()
    }

    /// A page of data, filled with `value`.
    pub fn page(&self, number: u64, value: u64) -> u64 {
        let pa = DATA + number * 0x1000;
        for at in (0..0x1000).step_by(8) {
            self.memory.poke64(Pa(pa + at), value);
        }
        pa
    }
}

/// The device on behalf of a process.
pub const fn user(substream: SubstreamId) -> Requester {
    Requester { stream: STREAM, substream: Some(substream), privileged: false }
}

/// The device on its own behalf.
pub const fn kernel() -> Requester {
    Requester { stream: STREAM, substream: None, privileged: false }
}

/// What a mapping allows an unprivileged master to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    ReadWrite,
    ReadOnly,
    /// Privileged masters only.
    Nobody,
}

impl Right {
    /// Bits of a page descriptor: valid, page, attribute 0, inner shareable, AF, nG, and AP.
    const fn bits(self) -> u64 {
        match self {
            Self::ReadWrite => 0xf43,
            Self::ReadOnly => 0xfc3,
            Self::Nobody => 0xf03,
        }
    }
}

/// A process table of 4 KiB granule with 39 input bits, built by stores that wait for a barrier.
pub struct Tables {
    dma: HostDma,
    pub asid: u16,
    ips: u8,
    /// Where its owner believes its memory to be: a guest counts from here.
    offset: u64,
    root: HostBuffer,
    /// Next-level tables by (level, prefix of the address).
    below: Vec<((u32, u64), HostBuffer)>,
}

const T0SZ: u8 = 25;
/// A stage 2 page: write-back, read and write, inner shareable, AF.
pub const STAGE2_RW: u64 = 0x7ff;
/// As [`STAGE2_RW`] without write.
pub const STAGE2_RO: u64 = 0x77f;

impl Tables {
    /// Makes an empty table with an ASID of the driver.
    pub fn new(machine: &Machine, driver: &mut Driver) -> Self {
        let asid = driver.allocate_asid().expect("an ASID");
        Self::at(machine, driver, asid, 0)
    }

    /// Makes an empty table whose owner finds its memory `offset` above where it lies. Of stage 2 with `offset` 0.
    pub fn at(machine: &Machine, driver: &Driver, asid: u16, offset: u64) -> Self {
        let root = machine.dma.alloc(4096, 4096).expect("memory");
        machine.dma.dma_wmb();
        Self { dma: machine.dma.clone(), asid, ips: driver.features().oas_code.min(5), offset, root, below: Vec::new() }
    }

    /// For `attach_stage2` and `attach_nested`.
    pub fn stage2(&self, vmid: u16) -> Stage2Description {
        let ttb = Pa(self.root.device_address().0);
        Stage2Description { ttb, t0sz: T0SZ, start_level: 1, granule: Granule::Kib4, ps: self.ips, vmid }
    }

    /// Where its owner believes the start table to be.
    pub fn root(&self) -> u64 {
        self.root.device_address().0 + self.offset
    }

    /// Lets a guest's stage 2 hold this table's own memory, where its owner believes it to be.
    pub fn put_into(&self, stage2: &mut Self) {
        for table in self.below.iter().map(|(_, t)| t).chain([&self.root]) {
            let pa = table.device_address().0;
            stage2.store(pa + self.offset, pa | STAGE2_RW);
        }
        self.dma.dma_wmb();
    }

    /// For `attach` and `bind`.
    pub fn description(&self) -> TableDescription {
        let ttb0 = Pa(self.root.device_address().0);
        TableDescription { ttb0, t0sz: T0SZ, granule: Granule::Kib4, ips: self.ips, mair: 0xff, asid: self.asid }
    }

    fn slot(va: u64, level: u32) -> usize {
        ((va >> (12 + 9 * (3 - level)) & 0x1ff) * 8) as usize
    }

    fn table(&mut self, va: u64, level: u32) -> usize {
        let key = (level, va >> (12 + 9 * (4 - level)));
        if let Some(at) = self.below.iter().position(|(k, _)| *k == key) {
            return at;
        }
        let parent = (level == 3).then(|| self.table(va, 2));
        let table = self.dma.alloc(4096, 4096).expect("memory");
        self.dma.dma_wmb();
        let descriptor = (table.device_address().0 + self.offset) | 3;
        let place = Self::slot(va, level - 1);
        match parent {
            Some(parent) => self.below[parent].1.write64(place, descriptor),
            None => self.root.write64(place, descriptor),
        }
        self.below.push((key, table));
        self.below.len() - 1
    }

    /// Stores a descriptor; nothing is visible to the SMMU before a barrier.
    pub fn store(&mut self, va: u64, descriptor: u64) {
        let at = self.table(va, 3);
        self.below[at].1.write64(Self::slot(va, 3), descriptor);
    }

    /// Maps a page that was not mapped: no invalidation needed.
    pub fn map(&mut self, va: u64, pa: u64, right: Right) {
        self.store(va, pa | right.bits());
        self.dma.dma_wmb();
    }

    /// Lets the address's last-level table be the one of `other`.
    pub fn steal_leaf_table(&mut self, other: &Self, va: u64) {
        let key = |level: u32| (level, va >> (12 + 9 * (4 - level)));
        let find = |tables: &Self, level| tables.below.iter().position(|(k, _)| *k == key(level)).expect("a table");
        let pa = other.below[find(other, 3)].1.device_address().0;
        let parent = find(self, 2);
        self.below[parent].1.write64(Self::slot(va, 2), pa | 3);
    }

    /// Takes the address's last-level table out, for its owner to give it up.
    pub fn unlink_leaf_table(&mut self, va: u64) -> HostBuffer {
        let at = self.table(va, 3);
        let parent = self.table(va, 2);
        self.below[parent].1.write64(Self::slot(va, 2), 0);
        self.dma.dma_wmb();
        self.below.remove(at).1
    }

    /// Unmaps a page as it should be done: store, then the driver's barrier and invalidation.
    pub fn unmap(&mut self, driver: &mut Driver, va: u64) {
        self.store(va, 0);
        driver.invalidate_range(self.asid, Va(va), 0x1000, smmu_driver::Leaf::Only).expect("invalidation completes");
    }

    /// Unmaps a page and forgets the invalidation.
    pub fn unmap_and_forget(&mut self, va: u64) {
        self.store(va, 0);
        self.dma.dma_wmb();
    }

    /// Gives the memory back; the table must be unbound.
    pub fn free(self) {
        for (_, table) in self.below {
            self.dma.free(table);
        }
        self.dma.free(self.root);
    }
}

/// A machine with the stream attached to a kernel table.
pub struct Attached {
    pub machine: Machine,
    pub driver: Driver,
    pub kernel: Tables,
}

impl Attached {
    /// The default profile under `policy`.
    pub fn new(policy: Policy) -> Self {
        Self::with(Profile::STALL_S1, policy, Config::default(), smmu_driver::FaultModel::Stall)
    }

    pub fn with(profile: Profile, policy: Policy, config: Config, faults: smmu_driver::FaultModel) -> Self {
        Self::on(Machine::new(profile, policy), config, faults)
    }

    /// Loses the next doorbell of the command queue once, so that the command lies unread in memory; there a stray store makes its opcode a
    /// reserved one, and only then the SMMU is told.
    pub fn spoil_next_command(&self) {
        let prod = regs::SMMU_CMDQ_PROD.offset();
        let base = regs::SMMU_CMDQ_BASE.get(&self.machine.model) & 0x00ff_ffff_ffff_ffe0;
        // A queue of 256 entries: eight index bits and the wrap bit.
        let slot = self.machine.model.read32(prod) & 0xff;
        let (memory, model) = (self.machine.memory.clone(), self.machine.model.clone());
        self.machine.window.inject(Misbehaviour::WriteLostOnce { offset: prod, nth: 0 });
        let done = std::cell::Cell::new(false);
        self.machine.clock.on_relax(move || {
            if !done.replace(true) {
                memory.poke64(Pa(base + u64::from(slot) * 16), 0xff);
                let told = model.read32(prod);
                model.write32(prod, (told + 2) & 0x1ff);
            }
        });
    }

    /// On this machine.
    pub fn on(machine: Machine, config: Config, faults: smmu_driver::FaultModel) -> Self {
        let mut driver = machine.start(config).expect("the driver comes up");
        let kernel = Tables::new(&machine, &mut driver);
        driver.attach(STREAM, &kernel.description(), faults).expect("the stream attaches");
        Self { machine, driver, kernel }
    }

    /// A process: its SubstreamID and its table, bound.
    pub fn process(&mut self) -> (SubstreamId, Tables) {
        let tables = Tables::new(&self.machine, &mut self.driver);
        let substream = self.driver.allocate_substream().expect("a SubstreamID");
        self.driver.bind(STREAM, substream, &tables.description()).expect("the table binds");
        (substream, tables)
    }
}
