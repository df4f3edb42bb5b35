//! The accelerators: queue manager and engine drivers put together, their interrupts, their nodes.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use firmware_kerncore::pci::{self as pci_core, MsiError};
use firmware_kerncore::tree::{Interrupt, Machine};
use hal::{AllocError, Clock, Pa, QueueDevice, QueueId, StreamId};
use hal_aarch64::{GenericTimer, MmioWindow, SpinLock};
use qm_driver::{AsyncEvent, Clear, Lock, Parameters, Qm, QmDevice, QmError, Role, Snapshot, Timeouts};
use qm_spec::QmVersion;
use qm_spec::regs::function::SUB_VERSION_ID;
use smmu_driver::{FaultModel, SmmuError};
use uacce_abi::NodeIndex;
use uacce_kernel::{Interface, Profile, QueueHandle};
use zip_driver::{CoreStatistics, InitError, UserTraffic};
use zip_spec::{Core, SqeType};

use crate::dma::{DeviceAddresses, DomainMemory};
use crate::domain::DomainId;
use crate::engines::{Engine, EngineKind};
use crate::faults;
use crate::interrupts::{self, Purpose};
use crate::msi::{self, Vectors};
use crate::pci::{self, Found, FunctionError};
use crate::queues::Link;
use crate::sharing::{self, Service};
use crate::smmu::PageFaults;
use crate::virtual_functions::{self, VirtualWindows};
use crate::{domain, queues, recovery, smmu};

/// Queue pairs that a function gets.
const QUEUES: usize = 64;
/// MSI vectors of a function.
const VECTORS: u32 = 4;
/// Index of the register file's base address register.
pub(crate) const REGISTERS: u8 = 2;
/// Index of the doorbell pages' base address register.
pub(crate) const DOORBELLS: u8 = 4;
/// Length of one queue's doorbell page.
const DOORBELL_PAGE_BYTES: u64 = 0x1_0000;
/// Length of the doorbell pages that the kernel maps of a function: those of the queues that it uses.
pub(crate) const DOORBELLS_BYTES: u64 = QUEUES as u64 * DOORBELL_PAGE_BYTES;

/// Page requests that a device may have under way. Those of all devices together find room in the PRI queue.
const PAGE_REQUESTS: u32 = 32;

/// Time for drivers that wait for a device. While they wait the SMMU's events are served: what the device is doing may need a page first.
#[derive(Clone, Copy, Default, Debug)]
pub struct ServingClock;

impl Clock for ServingClock {
    fn now_ticks(&self) -> u64 {
        GenericTimer.now_ticks()
    }
    fn ticks_per_second(&self) -> u64 {
        GenericTimer.ticks_per_second()
    }
    fn relax(&self) {
        GenericTimer.relax();
        faults::serve_while_waiting();
        virtual_functions::serve_peers();
    }
}

pub(crate) type KernelQm = Qm<MmioWindow, ServingClock, DomainMemory, QUEUES>;

/// The queue manager's driver behind a lock.
pub struct SharedQm(SpinLock<KernelQm>);

impl Lock for &'static SharedQm {
    type Target = KernelQm;
    fn with<R>(&self, f: impl FnOnce(&mut KernelQm) -> R) -> R {
        f(&mut self.0.lock())
    }
}

/// A function of an accelerator in use.
pub struct Accelerator {
    pub(crate) qm: &'static SharedQm,
    pub(crate) registers: MmioWindow,
    pub(crate) engine: Engine,
    pub(crate) found: Found,
    pub(crate) connection: Connection,
    pub(crate) vectors: Vectors,
    /// Of a virtual function: the index of its physical one, and its own number.
    pub(crate) physical: Option<(usize, u16)>,
    /// Of a physical function: what its virtual ones will need.
    pub(crate) windows: Option<VirtualWindows>,
    /// Its registers after bring-up.
    pub(crate) first_words: SpinLock<Option<Snapshot>>,
    device: &'static QmDevice<&'static SharedQm>,
    node: AtomicU32,
}

/// No node.
const NO_NODE: u32 = u32::MAX;

static ACCELERATORS: SpinLock<Vec<&'static Accelerator>> = SpinLock::new(Vec::new());
static MACHINE: SpinLock<Option<Machine>> = SpinLock::new(None);

/// The function with an index.
pub(crate) fn at(index: usize) -> Option<&'static Accelerator> {
    ACCELERATORS.lock().get(index).copied()
}

/// Number of functions that have ever been in use.
pub(crate) fn count() -> usize {
    ACCELERATORS.lock().len()
}

/// Adds a function; returns its index.
pub(crate) fn add(accelerator: &'static Accelerator) -> usize {
    let mut all = ACCELERATORS.lock();
    all.push(accelerator);
    all.len() - 1
}

/// What was found and brought up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcceleratorReport {
    /// Its index in calls of this kernel.
    pub index: usize,
    /// Its function.
    pub found: Found,
    /// Its StreamID.
    pub stream: StreamId,
    /// Its queue manager's version.
    pub version: QmVersion,
    /// Its queue pairs.
    pub queues: u16,
    /// Those of them that are free.
    pub free_queues: u32,
    /// What stands behind them.
    pub engine: EngineKind,
    /// Its algorithms, one per line.
    pub algorithms: &'static str,
    /// Its node, if processes are served.
    pub node: Option<NodeIndex>,
    /// How it shares memory with them.
    pub profile: Option<Profile>,
}

/// An accelerator was left alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AcceleratorError {
    /// No `iommu-map` puts it behind the kernel's SMMU: nothing would confine it.
    NotConfined,
    /// A boot argument about sharing is none: see [`sharing`].
    BadArgument,
    /// Its revision is unknown.
    Revision(u8),
    /// Its function could not be brought up.
    Function(FunctionError),
    /// It lacks a base address register.
    NoRegister(u8),
    /// The SMMU refused its stream.
    Smmu(SmmuError),
    /// No `msi-map`, or no vectors.
    Msi(Option<AllocError>),
    /// Its MSI capability cannot carry the vectors.
    MsiCapability(MsiError),
    /// Its queue manager did not start.
    Qm(QmError),
    /// Its engine did not start.
    Engine(InitError),
    /// The SMMU stalls no access, and the function cannot ask for pages: it could not work in processes' memory.
    NoPageRequests,
    /// No node is free.
    NoNode,
    /// There is no such accelerator, or it has no such virtual function.
    NoFunction,
}

/// Brings every accelerator up that the buses hold. One that fails does not hold the others up.
pub(crate) fn init(machine: &Machine) -> Vec<Result<AcceleratorReport, (Found, AcceleratorError)>> {
    *MACHINE.lock() = Some(machine.clone());
    let found = pci::functions().into_iter().filter_map(|found| Some((EngineKind::of(&found.function)?, found)));
    found.map(|(kind, found)| bring_up(&found, kind).map_err(|error| (found, error))).collect()
}

fn bring_up(found: &Found, kind: EngineKind) -> Result<AcceleratorReport, AcceleratorError> {
    let bars = pci::bring_up(found).map_err(AcceleratorError::Function)?;
    let bar = |index: u8| bars.iter().find(|bar| bar.demand.index == index);
    let registers = pci::map_bar(bar(REGISTERS).ok_or(AcceleratorError::NoRegister(REGISTERS))?, u64::MAX);
    let registers = registers.map_err(AcceleratorError::Function)?;
    let doorbells = match bar(DOORBELLS) {
        Some(bar) => Some(Doorbells { pages: pci::map_bar(bar, DOORBELLS_BYTES).map_err(AcceleratorError::Function)?, base: bar.base }),
        None => None,
    };
    let windows = virtual_functions::map(found)?;
    let connection = connection(stream_of(found)?)?;
    connect(found, found.function.rid, &connection)?;
    let vectors = set_up_interrupts(found, count(), connection.addresses)?;
    let accelerator = Accelerator::new(found, kind, Role::Physical, Resources { registers, doorbells, connection, vectors, windows })?;
    if let Some(rates) = accelerator.engine.base_rates()
        && accelerator.qm.with_lock(|qm| qm.capabilities().shaper)
    {
        accelerator.qm.with_lock(|qm| qm.set_base_rates(rates));
    }
    accelerator.qm.with_lock(KernelQm::initialise).map_err(AcceleratorError::Qm)?;
    accelerator.bring_engine_up().map_err(AcceleratorError::Engine)?;
    let accelerator: &'static Accelerator = Box::leak(Box::new(accelerator));
    let index = add(accelerator);
    accelerator.qm.with_lock(KernelQm::start).map_err(AcceleratorError::Qm)?;
    accelerator.publish(index)
}

/// What a function was given on its bus.
pub(crate) struct Resources {
    /// BAR2.
    pub(crate) registers: MmioWindow,
    /// BAR4, where there is one.
    pub(crate) doorbells: Option<Doorbells>,
    pub(crate) connection: Connection,
    pub(crate) vectors: Vectors,
    /// Room for its virtual functions.
    pub(crate) windows: Option<VirtualWindows>,
}

/// Doorbell pages.
#[derive(Clone, Copy)]
pub(crate) struct Doorbells {
    /// For the kernel.
    pub(crate) pages: MmioWindow,
    /// Where processes' mappings lead.
    pub(crate) base: Pa,
}

impl Accelerator {
    /// Puts a function together whose registers nobody has touched yet.
    pub(crate) fn new(found: &Found, kind: EngineKind, role: Role, resources: Resources) -> Result<Self, AcceleratorError> {
        let Resources { registers, doorbells, connection, vectors, windows } = resources;
        let revision = found.function.revision;
        let version = QmVersion::from_revision(revision).ok_or(AcceleratorError::Revision(revision))?;
        // Later parts show the revision of version 3 and say here what they are.
        let sub_version = if version == QmVersion::V3 { SUB_VERSION_ID.get(&registers) as u8 } else { 0 };
        let engine = Engine::read(kind, &registers, version, sub_version);
        let parameters = Parameters {
            version,
            queues: QUEUES as u16,
            page_bytes: 4096,
            engine: engine.for_queues(),
            doorbell_pages: doorbells.map(|doorbells| doorbells.base),
            timeouts: Timeouts::default(),
        };
        let make = if role == Role::Physical { KernelQm::new } else { KernelQm::new_virtual };
        let qm = make(parameters, registers, doorbells.map(|doorbells| doorbells.pages), ServingClock, DomainMemory(connection.addresses));
        let qm: &'static SharedQm = Box::leak(Box::new(SharedQm(SpinLock::new(qm))));
        let device: &'static QmDevice<&'static SharedQm> = Box::leak(Box::new(QmDevice::with_api(qm, engine.api(version, sub_version))));
        let (found, node, first_words) = (found.clone(), AtomicU32::new(NO_NODE), SpinLock::new(None));
        Ok(Self { qm, registers, engine, found, connection, vectors, physical: None, windows, first_words, device, node })
    }

    /// Sets the engine's own registers up.
    pub(crate) fn bring_engine_up(&self) -> Result<(), InitError> {
        let has_substreams = self.connection.link.is_some_and(|link| link.profile.has_substream());
        let traffic = if has_substreams { UserTraffic::Sva } else { UserTraffic::Kernel };
        self.engine.bring_up(&self.registers, traffic)
    }

    /// Gives a started function its node, if processes may use it.
    pub(crate) fn publish(&'static self, index: usize) -> Result<AcceleratorReport, AcceleratorError> {
        *self.first_words.lock() = Some(self.qm.with_lock(|qm| qm.snapshot()));
        let interface = Interface::new(self.engine.node_name()).map_err(|_| AcceleratorError::NoNode)?;
        let link = self.connection.link;
        let node = match link {
            Some(link) => Some(queues::register(interface, self.device, link).ok_or(AcceleratorError::NoNode)?),
            None => None,
        };
        self.node.store(node.map_or(NO_NODE, |node| node.0), Ordering::Relaxed);
        let (version, queues) = self.qm.with_lock(|qm| (qm.version(), qm.queue_count()));
        let algorithms = self.engine.algorithms();
        let (found, stream, free_queues) = (self.found.clone(), self.connection.stream, self.device.available_instances());
        let (profile, engine) = (link.map(|link| link.profile), self.engine.kind());
        Ok(AcceleratorReport { index, engine, found, stream, version, queues, free_queues, algorithms, node, profile })
    }

    /// Its node, if it has one.
    pub(crate) fn node(&self) -> Option<NodeIndex> {
        Some(self.node.load(Ordering::Relaxed)).filter(|node| *node != NO_NODE).map(NodeIndex)
    }

    /// Takes its node away; nobody has it open.
    pub(crate) fn unpublish(&self) {
        if let Some(node) = self.node() {
            self.node.store(NO_NODE, Ordering::Relaxed);
            queues::remove(node);
        }
    }

    /// The open queues behind all its queues: whom a reset wakes.
    pub(crate) fn handles(&self) -> Vec<QueueHandle> {
        let Some(node) = self.node() else { return Vec::new() };
        let queues: Vec<QueueId> = (0..QUEUES as u16).map(QueueId).collect();
        queues::handles_of(node, &queues)
    }

    /// Its configuration space.
    pub(crate) fn config(&self) -> Option<pci::FunctionSpace> {
        Some(pci::FunctionSpace { ecam: pci::config_space(self.found.host)?, rid: self.found.function.rid })
    }
}

/// The StreamID of a function behind the kernel's SMMU.
pub(crate) fn stream_of(found: &Found) -> Result<StreamId, AcceleratorError> {
    MACHINE.lock().as_ref().and_then(|machine| pci::stream_of(machine, found)).ok_or(AcceleratorError::NotConfined)
}

/// How a function reaches memory, its own work's and its processes'.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    /// What its transactions carry.
    pub(crate) stream: StreamId,
    /// By which addresses it knows the kernel's memory.
    pub(crate) addresses: DeviceAddresses,
    /// How it is joined to processes, if it is.
    pub(crate) link: Option<Link>,
}

/// Chooses where a stream's service puts it; it is not let through yet.
pub(crate) fn connection(stream: StreamId) -> Result<Connection, AcceleratorError> {
    let service = match MACHINE.lock().as_ref() {
        Some(machine) => sharing::service(machine.bootargs.as_str()).map_err(|_| AcceleratorError::BadArgument)?,
        None => None,
    };
    let service = service.ok_or(AcceleratorError::NotConfined)?;
    let link = |profile, domain| Some(Link { stream, profile, domain });
    let domain = match service {
        Service::Processes(Profile::NoIommu) => {
            let link = link(Profile::NoIommu, DomainId::default());
            return Ok(Connection { stream, addresses: DeviceAddresses::Physical, link });
        }
        Service::Processes(Profile::ShareDomain) => domain::make().map_err(AcceleratorError::Smmu)?,
        Service::KernelOnly | Service::Processes(_) => DomainId::default(),
    };
    let link = match service {
        Service::KernelOnly => None,
        Service::Processes(profile) => link(profile, domain),
    };
    Ok(Connection { stream, addresses: DeviceAddresses::Domain(domain), link })
}

/// Lets a function's DMA through the SMMU: from here on it is translated, the kernel's by its domain, its processes' by theirs. Pages are asked for
/// by the PRI of `physical`: the function itself, or the physical one of a virtual one.
pub(crate) fn connect(found: &Found, physical: u16, connection: &Connection) -> Result<(), AcceleratorError> {
    let Connection { stream, addresses, link } = *connection;
    let rid = found.function.rid;
    let config = pci::config_space(found.host).ok_or(AcceleratorError::NotConfined)?;
    let DeviceAddresses::Domain(domain) = addresses else {
        // Without an SMMU nothing has to be opened.
        return match smmu::with(|smmu| smmu.attach_bypass(stream)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(AcceleratorError::Smmu(error)),
        };
    };
    let table = domain::description_of(domain).ok_or(AcceleratorError::NotConfined)?;
    let serves_sva = link.is_some_and(|link| link.profile == Profile::Sva);
    let page_faults = smmu::page_faults().filter(|_| serves_sva);
    let requests = match page_faults {
        Some(PageFaults::PageRequest) => {
            let requests = pci_core::page_requests(&config, physical).filter(|_| pci_core::has_ats(&config, rid));
            Some(requests.ok_or(AcceleratorError::NoPageRequests)?)
        }
        _ => None,
    };
    let faults = if page_faults == Some(PageFaults::Stall) { FaultModel::Stall } else { FaultModel::Terminate };
    match smmu::with(|smmu| smmu.attach(stream, &table, faults)) {
        Some(Ok(())) => {}
        Some(Err(error)) => return Err(AcceleratorError::Smmu(error)),
        None => return Err(AcceleratorError::NotConfined),
    }
    pci_core::enable_pasid(&config, rid);
    if let Some(requests) = requests {
        // The SMMU first: translation requests of a stream without ATS are refused.
        smmu::enable_page_requests(stream, requests.answers_carry_pasid).map_err(AcceleratorError::Smmu)?;
        if physical == rid {
            pci_core::enable_page_requests(&config, rid, requests.capacity.min(PAGE_REQUESTS));
        } else {
            pci_core::enable_ats(&config, rid);
        }
    }
    Ok(())
}

impl SharedQm {
    /// Runs `f` if nobody further up the stack holds the lock.
    pub(crate) fn try_with_lock<R>(&self, f: impl FnOnce(&mut KernelQm) -> R) -> Option<R> {
        self.0.try_lock().map(|mut qm| f(&mut qm))
    }

    /// Runs `f` with the lock held.
    pub fn with_lock<R>(&self, f: impl FnOnce(&mut KernelQm) -> R) -> R {
        f(&mut self.0.lock())
    }
}

/// Takes vectors for the function with an index and programs them.
pub(crate) fn set_up_interrupts(found: &Found, index: usize, addresses: DeviceAddresses) -> Result<Vectors, AcceleratorError> {
    let bridge = pci::bridge_of(found).ok_or(AcceleratorError::Msi(None))?;
    let vectors = {
        let machine = MACHINE.lock();
        let frame = machine.as_ref().and_then(|machine| machine.msi_frame_of(&bridge, found.function.rid));
        msi::allocate(frame.ok_or(AcceleratorError::Msi(None))?, VECTORS, addresses).map_err(|error| AcceleratorError::Msi(Some(error)))?
    };
    for vector in 0..VECTORS {
        let interrupt = Interrupt { intid: vectors.first_intid + vector, edge: true };
        interrupts::enable(interrupt, Purpose::Accelerator { index, vector });
    }
    program_interrupts(found, vectors)?;
    Ok(vectors)
}

/// Writes a function's MSI capability.
pub(crate) fn program_interrupts(found: &Found, vectors: Vectors) -> Result<(), AcceleratorError> {
    let config = pci::config_space(found.host).ok_or(AcceleratorError::Msi(None))?;
    pci_core::set_msi(&config, found.function.rid, vectors.address.0, vectors.first_intid as u16, VECTORS)
        .map_err(AcceleratorError::MsiCapability)
}

/// Handles a vector of an accelerator; returns the open queues whose pollers should look again.
pub(crate) fn interrupt(index: usize, vector: u32) -> Vec<QueueHandle> {
    let Some(accelerator) = at(index) else { return Vec::new() };
    let mut served: Vec<QueueId> = Vec::new();
    match vector {
        0 => {
            accelerator.qm.with_lock(|qm| qm.handle_eq(|queue| served.push(queue)));
        }
        1 => accelerator.qm.with_lock(|qm| {
            let mut failed = Vec::new();
            qm.handle_aeq(|event| {
                defmt::warn!("QM: {}", defmt::Debug2Format(&event));
                if let AsyncEvent::CqOverflow(queue) | AsyncEvent::CqeError(queue) = event {
                    failed.push(queue);
                }
            });
            for queue in failed {
                if let Err(error) = qm.disable_queue(queue) {
                    defmt::error!("QM: queue {=u16}: {}", queue.0, defmt::Debug2Format(&error));
                }
                served.push(queue);
            }
        }),
        3 => {
            if accelerator.physical.is_some() {
                return Vec::new();
            }
            let report = accelerator.qm.with_lock(KernelQm::handle_abnormal);
            let mut needs_reset = report.needs_reset != 0;
            let mut is_frozen = report.errors & accelerator.qm.with_lock(|qm| qm.capabilities().ras.shutdown) != 0;
            if report.needs_reset != 0 {
                defmt::error!("QM: errors {=u32:#x}, reset needed for {=u32:#x}", report.errors, report.needs_reset);
            } else if report.errors != 0 {
                // A process can cause some of them, as often as it likes.
                defmt::debug!("QM: errors {=u32:#x}", report.errors);
            }
            if let Some(errors) = accelerator.engine.take_errors(&accelerator.registers) {
                needs_reset |= errors.needs_reset;
                is_frozen |= errors.is_frozen;
            }
            if is_frozen {
                for function in core::iter::once(accelerator).chain(virtual_functions::of(index)) {
                    function.qm.with_lock(KernelQm::note_frozen_bus);
                }
            }
            if needs_reset {
                return recovery::recover(index);
            }
        }
        _ => return virtual_functions::message(index, accelerator),
    }
    accelerator.node().map_or_else(Vec::new, |node| queues::handles_of(node, &served))
}

/// How many entries an accelerator's queue manager has given to the engine, and how many the engine has finished.
pub fn engine_traffic(index: usize) -> Option<(u32, u32)> {
    let counters = with_qm(index, |qm| qm.device_counters(0, Clear::No))?.ok()?;
    Some((counters.sent, counters.finished))
}

/// What one core of an accelerator's zip engine has counted; `None` for any other engine.
pub fn engine_statistics(index: usize, core: Core) -> Option<CoreStatistics> {
    let accelerator = at(index).filter(|one| one.engine.kind() == EngineKind::Zip)?;
    Some(zip_driver::read_statistics(&accelerator.registers, core))
}

/// What the kernel's own requests to a zip engine need: memory that it reaches, how it shares memory with processes, and its entries' layout.
pub(crate) fn kernel_side(index: usize) -> Option<(DomainMemory, Option<Profile>, SqeType)> {
    let accelerator = at(index).filter(|one| one.engine.kind() == EngineKind::Zip)?;
    let version = accelerator.qm.with_lock(|qm| qm.version());
    let sqe_type = if version == QmVersion::V2 { SqeType::TYPE0 } else { SqeType::TYPE3 };
    let Connection { addresses, link, .. } = accelerator.connection;
    Some((DomainMemory(addresses), link.map(|link| link.profile), sqe_type))
}

/// Runs `f` on an accelerator's queue manager: kernel-side requests, statistics.
pub fn with_qm<T>(index: usize, f: impl FnOnce(&mut Qm<MmioWindow, ServingClock, DomainMemory, QUEUES>) -> T) -> Option<T> {
    Some(at(index)?.qm.with_lock(f))
}
