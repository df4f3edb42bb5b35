//! Everything that the silicon is, behind one lock.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hal::StreamId;
use hal_aarch64::{SpinGuard, SpinLock, sysreg};
use qm_model::{QmConfig, QmModel};
use qm_spec::{QmVersion, SUB_VERSION_V5};
use smmu_model::{Policy, Profile, SmmuModel, Tracing};
use zip_model::ZipCore;
use zip_spec::Capabilities;
use zip_spec::registers::{CAPABILITY_WORDS, capability_words};

use crate::Image;
use crate::ats::AtsPort;
use crate::dma::TranslatedDma;
use crate::doorbells::Doorbells;
use crate::dummy::Dummy;
use crate::engine::Scheduler;
use crate::guest::GuestMemory;
use crate::options::{Options, TlbPolicy};
use crate::reset::ResetService;

/// Queues of the accelerator.
const QUEUES: usize = 1024;
/// Functions of the accelerator: the physical one and as many virtual ones as SR-IOV of this part has.
pub const FUNCTIONS: usize = 1 + qm_spec::MAX_VFS as usize;
/// Number of the physical function.
pub const PF: u8 = 0;

/// The accelerator's queue manager with all its functions.
pub type Accelerator = QmModel<QUEUES, FUNCTIONS>;

/// The models and what binds them.
pub struct Silicon {
    /// The SMMU in front of the accelerator.
    pub smmu: SmmuModel,
    /// The physical function's port with ATS, where the machine has it.
    pub ats: AtsPort,
    /// The accelerator's queue manager and PCI functions.
    pub qm: Accelerator,
    /// Where the doorbells of its functions are.
    pub doorbells: Doorbells,
    /// The accelerator's engine registers.
    pub zip: ZipCore,
    /// The payload's memory.
    pub memory: GuestMemory,
    /// Job slots and engine cores.
    pub scheduler: Scheduler,
    /// The platform's reset of the accelerator.
    pub reset: ResetService,
    /// The dummy engine's function.
    pub dummy: Dummy,
    /// False: requests stay in their queues, whatever engine they are for.
    pub engine_is_on: bool,
}

/// The engine's words in the queue manager's capability area, as (offset, word), of revision 0x30 and of its sub-version 0x51.
static ENGINE_CAPABILITIES: [[(u16, u32); CAPABILITY_WORDS.len()]; 2] =
    [capability_words(&Capabilities::V3), capability_words(&Capabilities::V5)];

const fn qm(version: QmVersion) -> Accelerator {
    let mut config = QmConfig::new(version, StreamId(firmware_platform::ACCELERATOR_RID), zip_spec::PF_DEVICE);
    config.engine_capabilities = &ENGINE_CAPABILITIES[0];
    config.total_vfs = qm_spec::MAX_VFS;
    // A driver's time-out runs in real time, and a simulated core may stand still for longer than a millisecond between two polls. A sound poll asks
    // once more after its deadline: one busy answer shows who does not wait, and harms nobody who does.
    config.latency_reads = 1;
    // What Linux needs of the part (see the field); our driver meets the harsher part in the host suites.
    config.one_event_outstanding = true;
    QmModel::new(config)
}

#[unsafe(link_section = ".data.el2")]
static SILICON: SpinLock<Silicon> = SpinLock::new(Silicon {
    smmu: SmmuModel::new(Profile::STALL),
    ats: AtsPort::ABSENT,
    qm: qm(QmVersion::V3),
    doorbells: Doorbells::NONE,
    zip: ZipCore::new(Capabilities::V3),
    memory: GuestMemory::new(0..0, 0..0),
    scheduler: Scheduler::new(),
    reset: ResetService::new(),
    dummy: Dummy::new(),
    engine_is_on: true,
});

#[unsafe(link_section = ".bss.el2")]
static HOST_CORES: AtomicUsize = AtomicUsize::new(0);
#[unsafe(link_section = ".bss.el2")]
static ENGINE_CORES: AtomicUsize = AtomicUsize::new(0);
#[unsafe(link_section = ".bss.el2")]
static EL2_ROOM_BYTES: AtomicU64 = AtomicU64::new(0);

/// Takes the big lock. EL2 takes no interrupts on host cores and traps do not nest, so the holder always gets on.
#[inline(always)]
pub fn lock() -> SpinGuard<'static, Silicon> {
    SILICON.lock()
}

/// This core's number.
#[inline(always)]
pub fn core_index() -> u8 {
    sysreg::affinity() as u8
}

/// Cores that the payload may start.
pub fn host_cores() -> usize {
    HOST_CORES.load(Ordering::Relaxed)
}

/// Cores that run the engine.
pub fn engine_cores() -> usize {
    ENGINE_CORES.load(Ordering::Relaxed)
}

/// Length of EL2's room.
pub fn el2_room_bytes() -> u64 {
    EL2_ROOM_BYTES.load(Ordering::Relaxed)
}

/// Builds the part that the options ask for. Called once, before any payload.
pub fn configure(image: &Image, options: &Options) {
    HOST_CORES.store(options.host_cores, Ordering::Relaxed);
    ENGINE_CORES.store(options.engine_cores, Ordering::Relaxed);
    EL2_ROOM_BYTES.store(image.el2_room.len() as u64, Ordering::Relaxed);
    let mut silicon = lock();
    silicon.memory = GuestMemory::new(image.el1_room.clone(), image.shared.clone());
    match options.revision {
        0x21 => {
            silicon.qm = const { qm(QmVersion::V2) };
            silicon.zip = ZipCore::new(Capabilities::V2);
        }
        SUB_VERSION_V5 => {
            silicon.qm.set_sub_version(SUB_VERSION_V5, &ENGINE_CAPABILITIES[1]);
            silicon.zip = ZipCore::new(Capabilities::V5);
        }
        _ => {}
    }
    if options.smmu_profile.has_ats() {
        silicon.qm.offer_ats();
        silicon.ats.offer(StreamId(firmware_platform::ACCELERATOR_RID));
    }
    let mut profile = options.smmu_profile.with_oas(hal_aarch64::mmu::pa_range_of_core() as u32);
    if let Some(bits) = options.ssid_bits {
        profile = profile.with_ssid_bits(bits.into());
        silicon.qm.set_pasid_width(bits);
    }
    if options.has_dummy {
        silicon.dummy.appear(options.ssid_bits);
    }
    // In place: a new value would pass through a stack that is not made for it.
    silicon.smmu.reset_as(profile);
    silicon.smmu.set_tracing(if options.trace_level > 0 { Tracing::On } else { Tracing::Off });
    silicon.smmu.set_policy(match options.tlb_policy {
        TlbPolicy::AlwaysMiss => Policy::AlwaysMiss,
        TlbPolicy::Sticky => Policy::Sticky,
        TlbPolicy::Random => Policy::Random { seed: 1 },
        TlbPolicy::Prefetch => Policy::Prefetch,
    });
}

impl Silicon {
    /// The function's way to memory, for a caller that holds the lock.
    pub fn dma(&mut self) -> TranslatedDma<'_> {
        TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory, ats: &mut self.ats }
    }
}
