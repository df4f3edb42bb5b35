//! The accelerators: queue manager and engine drivers put together, their interrupts, their nodes.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use firmware_kerncore::pci::{self as pci_core, MsiError};
use firmware_kerncore::tree::{Interrupt, Machine};
use hal::{AllocError, Clock, QueueDevice, QueueId, StreamId};
use hal_aarch64::{GenericTimer, MmioWindow, SpinLock};
use qm_driver::{AsyncEvent, Engine, Lock, Parameters, Qm, QmDevice, QmError, Timeouts};
use qm_spec::QmVersion;
use qm_spec::regs::function::SUB_VERSION_ID;
use smmu_driver::{FaultModel, SmmuError};
use uacce_abi::NodeIndex;
use uacce_kernel::{Interface, Profile, QueueHandle};
use zip_driver::{CapabilityWords, CoreStatistics, InitError, UserTraffic};
use zip_spec::Core;

use crate::dma::{DeviceAddresses, DomainMemory};
use crate::domain::DomainId;
use crate::interrupts::{self, Purpose};
use crate::msi;
use crate::pci::{self, Found, FunctionError};
use crate::queues::Link;
use crate::sharing::{self, Service};
use crate::smmu::PageFaults;
use crate::{domain, queues, smmu};

/// Vendor ID of the accelerators.
const VENDOR: u16 = 0x19e5;
/// Device ID of the zip engine's physical function.
const ZIP: u16 = 0xa250;
/// Queue pairs that a function gets.
const QUEUES: usize = 64;
/// MSI vectors of a physical function.
const VECTORS: u32 = 4;
/// Index of the register file's base address register.
const REGISTERS: u8 = 2;
/// Index of the doorbell pages' base address register.
const DOORBELLS: u8 = 4;
/// Length of one queue's doorbell page.
const DOORBELL_PAGE_BYTES: u64 = 0x1_0000;

/// Page requests that a function may have under way. All of them together find room in the PRI queue.
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
        smmu::service_events();
        smmu::service_pages();
    }
}

type KernelQm = Qm<MmioWindow, ServingClock, DomainMemory, QUEUES>;

/// The queue manager's driver behind a lock.
pub struct SharedQm(SpinLock<KernelQm>);

impl Lock for &'static SharedQm {
    type Target = KernelQm;
    fn with<R>(&self, f: impl FnOnce(&mut KernelQm) -> R) -> R {
        f(&mut self.0.lock())
    }
}

/// An accelerator in use.
pub struct Accelerator {
    qm: &'static SharedQm,
    registers: MmioWindow,
    capabilities: zip_spec::Capabilities,
    node: AtomicU32,
}

static ACCELERATORS: SpinLock<Vec<&'static Accelerator>> = SpinLock::new(Vec::new());

/// What was found and brought up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcceleratorReport {
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
}

/// Brings every accelerator up that the buses hold. One that fails does not hold the others up.
pub(crate) fn init(machine: &Machine) -> Vec<Result<AcceleratorReport, (Found, AcceleratorError)>> {
    let is_ours = |found: &Found| found.function.vendor == VENDOR && found.function.device == ZIP && found.function.is_endpoint;
    let found = pci::functions().into_iter().filter(is_ours);
    found.map(|found| bring_up(machine, &found).map_err(|error| (found, error))).collect()
}

fn bring_up(machine: &Machine, found: &Found) -> Result<AcceleratorReport, AcceleratorError> {
    let revision = found.function.revision;
    let version = QmVersion::from_revision(revision).ok_or(AcceleratorError::Revision(revision))?;
    let stream = pci::stream_of(machine, found).ok_or(AcceleratorError::NotConfined)?;
    let bars = pci::bring_up(found).map_err(AcceleratorError::Function)?;
    let bar = |index: u8| bars.iter().find(|bar| bar.demand.index == index);
    let registers = pci::map_bar(bar(REGISTERS).ok_or(AcceleratorError::NoRegister(REGISTERS))?, u64::MAX);
    let registers = registers.map_err(AcceleratorError::Function)?;
    let doorbells = match bar(DOORBELLS) {
        Some(bar) => Some(pci::map_bar(bar, QUEUES as u64 * DOORBELL_PAGE_BYTES).map_err(AcceleratorError::Function)?),
        None => None,
    };

    let service = sharing::service(machine.bootargs.as_str()).map_err(|_| AcceleratorError::BadArgument)?;
    let (addresses, link) = join(stream, service.ok_or(AcceleratorError::NotConfined)?)?;
    let serves_sva = link.is_some_and(|link| link.profile == Profile::Sva);
    let page_faults = smmu::page_faults().filter(|_| serves_sva);
    let index = ACCELERATORS.lock().len();
    set_up_interrupts(machine, found, index, addresses)?;
    if let Some(config) = pci::config_space(found.host) {
        pci_core::enable_pasid(&config, found.function.rid);
        if page_faults == Some(PageFaults::PageRequest) {
            let requests = pci_core::page_requests(&config, found.function.rid).ok_or(AcceleratorError::NoPageRequests)?;
            // The SMMU first: translation requests of a stream without ATS are refused.
            smmu::enable_page_requests(stream, requests.answers_carry_pasid).map_err(AcceleratorError::Smmu)?;
            pci_core::enable_page_requests(&config, found.function.rid, requests.capacity.min(PAGE_REQUESTS));
        }
    }

    let words = if version == QmVersion::V3 { CapabilityWords::Present } else { CapabilityWords::Absent };
    // Later parts show the revision of version 3 and say here what they are.
    let sub_version = if version == QmVersion::V3 { SUB_VERSION_ID.get(&registers) as u8 } else { 0 };
    let capabilities = zip_driver::read_capabilities(&registers, if sub_version == 0 { revision } else { sub_version }, words);
    let parameters = Parameters {
        version,
        queues: QUEUES as u16,
        page_bytes: 4096,
        engine: Engine { log2_sqe_bytes: 7, alg_types: 2, algorithms: capabilities.algorithm_names() },
        doorbell_pages: bar(DOORBELLS).map(|bar| bar.base),
        timeouts: Timeouts::default(),
    };
    let qm = Qm::new(parameters, registers, doorbells, ServingClock, DomainMemory(addresses));
    let qm: &'static SharedQm = Box::leak(Box::new(SharedQm(SpinLock::new(qm))));
    qm.with_lock(KernelQm::initialise).map_err(AcceleratorError::Qm)?;
    let traffic = if link.is_some_and(|link| link.profile.has_substream()) { UserTraffic::Sva } else { UserTraffic::Kernel };
    zip_driver::bring_up(&registers, &GenericTimer, &capabilities, traffic).map_err(AcceleratorError::Engine)?;

    let accelerator = Accelerator { qm, registers, capabilities, node: AtomicU32::new(u32::MAX) };
    let accelerator: &'static Accelerator = Box::leak(Box::new(accelerator));
    ACCELERATORS.lock().push(accelerator);
    qm.with_lock(KernelQm::start).map_err(AcceleratorError::Qm)?;
    let device: &'static QmDevice<&'static SharedQm> = Box::leak(Box::new(QmDevice::with_api(qm, version.api_with(sub_version))));
    let interface = Interface::new("hisi_zip").map_err(|_| AcceleratorError::NoNode)?;
    let node = match link {
        Some(link) => {
            let node = queues::register(interface, device, link).ok_or(AcceleratorError::NoNode)?;
            accelerator.node.store(node.0, Ordering::Relaxed);
            Some(node)
        }
        None => None,
    };
    Ok(AcceleratorReport {
        found: found.clone(),
        stream,
        version,
        queues: qm.with_lock(|qm| qm.queue_count()),
        free_queues: device.available_instances(),
        algorithms: capabilities.algorithm_names(),
        node,
        profile: link.map(|link| link.profile),
    })
}

/// Puts a stream where its service belongs; returns the addresses by which the device knows the kernel's memory, and its link to processes.
fn join(stream: StreamId, service: Service) -> Result<(DeviceAddresses, Option<Link>), AcceleratorError> {
    let link = |profile, domain| Some(Link { stream, profile, domain });
    let domain = match service {
        Service::Processes(Profile::NoIommu) => {
            // Without an SMMU nothing has to be opened.
            match smmu::with(|smmu| smmu.attach_bypass(stream)) {
                None | Some(Ok(())) => {}
                Some(Err(error)) => return Err(AcceleratorError::Smmu(error)),
            }
            return Ok((DeviceAddresses::Physical, link(Profile::NoIommu, DomainId::default())));
        }
        Service::Processes(Profile::ShareDomain) => domain::make().map_err(AcceleratorError::Smmu)?,
        Service::KernelOnly | Service::Processes(_) => DomainId::default(),
    };
    // From here on its DMA is translated: the kernel's by this domain, its processes' by theirs.
    let table = domain::description_of(domain).ok_or(AcceleratorError::NotConfined)?;
    let stalls = service == Service::Processes(Profile::Sva) && smmu::page_faults() == Some(PageFaults::Stall);
    let faults = if stalls { FaultModel::Stall } else { FaultModel::Terminate };
    match smmu::with(|smmu| smmu.attach(stream, &table, faults)) {
        Some(Ok(())) => {}
        Some(Err(error)) => return Err(AcceleratorError::Smmu(error)),
        None => return Err(AcceleratorError::NotConfined),
    }
    let link = match service {
        Service::KernelOnly => None,
        Service::Processes(profile) => link(profile, domain),
    };
    Ok((DeviceAddresses::Domain(domain), link))
}

impl SharedQm {
    /// Runs `f` with the lock held.
    pub fn with_lock<R>(&self, f: impl FnOnce(&mut KernelQm) -> R) -> R {
        f(&mut self.0.lock())
    }
}

fn set_up_interrupts(machine: &Machine, found: &Found, index: usize, addresses: DeviceAddresses) -> Result<(), AcceleratorError> {
    let bridge = pci::bridge_of(found).ok_or(AcceleratorError::Msi(None))?;
    let frame = machine.msi_frame_of(&bridge, found.function.rid).ok_or(AcceleratorError::Msi(None))?;
    let vectors = msi::allocate(frame, VECTORS, addresses).map_err(|error| AcceleratorError::Msi(Some(error)))?;
    for vector in 0..VECTORS {
        let interrupt = Interrupt { intid: vectors.first_intid + vector, edge: true };
        interrupts::enable(interrupt, Purpose::Accelerator { index, vector });
    }
    let config = pci::config_space(found.host).ok_or(AcceleratorError::Msi(None))?;
    pci_core::set_msi(&config, found.function.rid, vectors.address.0, vectors.first_intid as u16, VECTORS)
        .map_err(AcceleratorError::MsiCapability)
}

/// Handles a vector of an accelerator; returns the open queues whose pollers should look again.
pub(crate) fn interrupt(index: usize, vector: u32) -> Vec<QueueHandle> {
    let Some(accelerator) = ACCELERATORS.lock().get(index).copied() else { return Vec::new() };
    let node = NodeIndex(accelerator.node.load(Ordering::Relaxed));
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
            let report = accelerator.qm.with_lock(KernelQm::handle_abnormal);
            if report.errors != 0 {
                defmt::error!("QM: errors {=u32:#x}, reset needed for {=u32:#x}", report.errors, report.needs_reset);
            }
            if let Some(report) = zip_driver::take_errors(&accelerator.registers, &accelerator.capabilities) {
                defmt::error!("zip: errors {=u32:#x}, reset needed: {=bool}", report.errors, report.needs_reset);
            }
        }
        // The function mailbox: this kernel enables no virtual functions.
        _ => {}
    }
    queues::handles_of(node, &served)
}

/// What one core of an accelerator's engine has counted.
pub fn engine_statistics(index: usize, core: Core) -> Option<CoreStatistics> {
    let accelerator = ACCELERATORS.lock().get(index).copied()?;
    Some(zip_driver::read_statistics(&accelerator.registers, core))
}

/// Runs `f` on an accelerator's queue manager: kernel-side requests, statistics.
pub fn with_qm<T>(index: usize, f: impl FnOnce(&mut Qm<MmioWindow, ServingClock, DomainMemory, QUEUES>) -> T) -> Option<T> {
    let accelerator = ACCELERATORS.lock().get(index).copied()?;
    Some(accelerator.qm.with_lock(f))
}
