//! The SMMU: one, found by device tree; its events and global errors, and its contexts.

use core::sync::atomic::{AtomicU64, Ordering};

use firmware_kerncore::numbers::NumberPool;
use hal::{Pa, StreamId, SubstreamId, Va};
use hal_aarch64::{GenericTimer, MmioWindow, SpinLock, mmu};
use heapless::Deque;
use smmu_driver::{AtsOptions, Completion, Config, Event, Features, Granule, Leaf, PageEvent, Smmu, SmmuError, TableDescription};

use crate::dma::PhysicalMemory;

/// The driver as this kernel has it.
pub(crate) type KernelSmmu = Smmu<MmioWindow, GenericTimer, PhysicalMemory>;

/// Events kept for whoever asks, the oldest dropped first.
const KEPT_EVENTS: usize = 64;

/// The driver is 69 KB: it is made where it stays.
static SMMU: SpinLock<Option<KernelSmmu>> = SpinLock::new(None);
static FEATURES: SpinLock<Option<Features>> = SpinLock::new(None);
static EVENTS: SpinLock<Deque<Event, KEPT_EVENTS>> = SpinLock::new(Deque::new());
static EVENT_COUNT: AtomicU64 = AtomicU64::new(0);
static INVALIDATION_COUNT: AtomicU64 = AtomicU64::new(0);

/// Brings the SMMU up, every stream aborting.
///
/// # Errors
/// The driver's.
pub(crate) fn init(registers: MmioWindow) -> Result<Features, SmmuError> {
    // CPU and SMMU know a process by the same ASID: one that either would cut off is never handed out.
    // A message in memory is polled without a register access.
    let config = Config { asid_bits: mmu::asid_bits(), completion: Completion::MessageOrPoll, ..Config::default() };
    let features = *Smmu::init_in(&mut SMMU.lock(), registers, GenericTimer, PhysicalMemory, config)?.features();
    *FEATURES.lock() = Some(features);
    Ok(features)
}

/// What the SMMU can do, if there is one.
pub fn features() -> Option<Features> {
    *FEATURES.lock()
}

/// Runs `f` on the SMMU, if there is one. Not to be nested.
pub fn with<T>(f: impl FnOnce(&mut Smmu<MmioWindow, GenericTimer, PhysicalMemory>) -> T) -> Option<T> {
    SMMU.lock().as_mut().map(f)
}

/// A table of the house's shape: 39-bit addresses, 4 KiB granule, the CPU's own attributes.
pub(crate) fn describe(ttb0: Pa, asid: u16) -> TableDescription {
    let oas_code = features().map_or(5, |features| features.oas_code);
    let ips = (mmu::pa_range() as u8).min(oas_code);
    TableDescription { ttb0, t0sz: 25, granule: Granule::Kib4, ips, mair: mmu::MAIR, asid }
}

/// How a device's access waits for a page that is not there yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageFaults {
    /// The SMMU stalls it: any device can.
    Stall,
    /// The device asks for the page (ATS and PRI), if it can.
    PageRequest,
}

/// How devices' accesses wait for pages behind this SMMU; `None` if they cannot. Stalls come first: they ask nothing of the device.
pub fn page_faults() -> Option<PageFaults> {
    let features = features()?;
    if features.stall_model.can_stall() {
        Some(PageFaults::Stall)
    } else {
        (features.has_ats && features.has_pri).then_some(PageFaults::PageRequest)
    }
}

/// True if devices behind the SMMU can work in processes' address spaces: SubstreamIDs, page faults, coherent walks, our granule.
pub fn supports_sva() -> bool {
    page_faults().is_some() && features().is_some_and(|f| f.substream_bits > 0 && f.is_coherent && f.has_granule(Granule::Kib4))
}

/// Drops the leaf translations of a range. Without an SMMU there are none.
///
/// # Errors
/// A failure of the command queue: what was mapped must not be reused.
pub(crate) fn invalidate_range(asid: u16, at: Va, len_bytes: u64) -> Result<(), SmmuError> {
    INVALIDATION_COUNT.fetch_add(1, Ordering::Relaxed);
    with(|smmu| smmu.invalidate_range(asid, at, len_bytes, Leaf::Only)).unwrap_or(Ok(()))
}

/// Takes the SMMU's next event, which is also kept for [`take_events`]; `None` as well while the SMMU is worked on further up the stack.
#[inline(always)]
pub(crate) fn next_event() -> Option<Event> {
    let next = SMMU.try_lock()?.as_mut()?.next_event();
    match next {
        Ok(event) => {
            let event = event?;
            EVENT_COUNT.fetch_add(1, Ordering::Relaxed);
            keep(event);
            Some(event)
        }
        Err(error) => {
            defmt::error!("SMMU event queue: {}", defmt::Debug2Format(&error));
            None
        }
    }
}

/// Takes the next page request of a device, or what happened to them; `None` as well while the SMMU is worked on further up the stack.
#[inline(always)]
pub(crate) fn next_page_event() -> Option<PageEvent> {
    let next = SMMU.try_lock()?.as_mut()?.next_page_event();
    next.unwrap_or_else(|error| {
        defmt::error!("SMMU page requests: {}", defmt::Debug2Format(&error));
        None
    })
}

/// True while the SMMU is worked on further up the stack.
pub(crate) fn is_busy() -> bool {
    SMMU.try_lock().is_none()
}

/// Lets the device of an attached stream keep translations and ask for pages; afterwards both may be switched on in it.
///
/// # Errors
/// The driver's.
pub(crate) fn enable_page_requests(stream: StreamId, answers_carry_substream: bool) -> Result<(), SmmuError> {
    let options = AtsOptions { response_carries_substream: answers_carry_substream };
    with(|smmu| smmu.enable_ats(stream, options)).unwrap_or(Err(SmmuError::Dead))
}

/// Handles the global error interrupt.
pub(crate) fn service_errors() {
    match with(|smmu| smmu.handle_global_error()) {
        Some(Ok(errors)) if errors.is_fatal() => defmt::error!("SMMU: service failure, all device traffic is off"),
        Some(Ok(errors)) => defmt::warn!("SMMU: global error {=u32:#x}", errors.active.get()),
        Some(Err(error)) => defmt::error!("SMMU global error: {}", defmt::Debug2Format(&error)),
        None => {}
    }
}

fn keep(event: Event) {
    let mut events = EVENTS.lock();
    if events.is_full() {
        events.pop_front();
    }
    let _ = events.push_back(event);
}

/// Hands the events out that were kept since the last call, oldest first.
pub fn take_events(mut each: impl FnMut(Event)) {
    let mut events = core::mem::take(&mut *EVENTS.lock());
    while let Some(event) = events.pop_front() {
        each(event);
    }
}

/// Event records read since boot.
pub fn event_count() -> u64 {
    EVENT_COUNT.load(Ordering::Relaxed)
}

/// Invalidations sent since boot.
pub fn invalidation_count() -> u64 {
    INVALIDATION_COUNT.load(Ordering::Relaxed)
}

/// Lets `stream`'s transactions with `substream` be translated by a process's table.
///
/// # Errors
/// The driver's.
pub(crate) fn bind(stream: StreamId, substream: SubstreamId, root: Pa, asid: u16) -> Result<(), SmmuError> {
    with(|smmu| smmu.bind(stream, substream, &describe(root, asid))).unwrap_or(Err(SmmuError::Dead))
}

/// ASIDs where no SMMU hands them out.
static OWN_ASIDS: SpinLock<Option<NumberPool>> = SpinLock::new(None);

/// Takes an ASID that neither CPU nor SMMU uses. Never 0: that is the kernel's.
pub(crate) fn allocate_asid() -> Option<u16> {
    match with(|smmu| smmu.allocate_asid()) {
        Some(result) => result.ok(),
        None => OWN_ASIDS.lock().get_or_insert_with(|| NumberPool::new(1, 0x100)).take().map(|asid| asid as u16),
    }
}

/// Gives an ASID back; the CPU's TLB holds nothing of it any more. One that the SMMU cannot let go stays taken.
pub(crate) fn free_asid(asid: u16) {
    match with(|smmu| smmu.free_asid(asid)) {
        Some(Ok(())) => {}
        Some(Err(error)) => defmt::error!("ASID {=u16}: {}", asid, defmt::Debug2Format(&error)),
        None => {
            if let Some(pool) = OWN_ASIDS.lock().as_mut() {
                pool.give_back(u32::from(asid));
            }
        }
    }
}
