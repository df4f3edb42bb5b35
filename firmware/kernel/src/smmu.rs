//! The SMMU: one, found by device tree; its events, and the faults of devices in processes.

use core::sync::atomic::{AtomicU64, Ordering};

use firmware_kerncore::numbers::NumberPool;
use hal::{AccessKind, Iova, Pa, StreamId, SubstreamId, Va, Verdict};
use hal_aarch64::{GenericTimer, MmioWindow, SpinLock, mmu};
use heapless::Deque;
use smmu_driver::{
    AtsOptions, Completion, Config, Event, Features, Granule, Leaf, PageAnswer, PageEvent, PageGroup, Smmu, SmmuError, TableDescription,
};

use crate::dma::PhysicalMemory;
use crate::space;

type KernelSmmu = Smmu<MmioWindow, GenericTimer, PhysicalMemory>;

/// Events kept for whoever asks, the oldest dropped first.
const KEPT_EVENTS: usize = 64;

/// Refused groups that can be incomplete at a time.
const OPEN_GROUPS: usize = 16;

/// The driver is 69 KB: it is made where it stays.
static SMMU: SpinLock<Option<KernelSmmu>> = SpinLock::new(None);
static FEATURES: SpinLock<Option<Features>> = SpinLock::new(None);
static EVENTS: SpinLock<Deque<Event, KEPT_EVENTS>> = SpinLock::new(Deque::new());
static EVENT_COUNT: AtomicU64 = AtomicU64::new(0);
static INVALIDATION_COUNT: AtomicU64 = AtomicU64::new(0);
/// Groups with a request that was refused, whose last request has not come yet.
static REFUSED: SpinLock<heapless::Vec<PageGroup, OPEN_GROUPS>> = SpinLock::new(heapless::Vec::new());
static PAGE_REQUEST_COUNT: AtomicU64 = AtomicU64::new(0);
static PAGE_OVERFLOW_COUNT: AtomicU64 = AtomicU64::new(0);

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

/// Takes the SMMU's pending events: faults of devices in processes are resolved or refused, everything is kept for [`take_events`].
///
/// Also called while a queue is being stopped, where an interrupt cannot be taken: a request of that queue may wait for one of these. If
/// the SMMU or the address spaces are being worked on further up the stack, nothing happens; whoever does so waits for no device.
pub(crate) fn service_events() {
    loop {
        let Some(mut guard) = SMMU.try_lock() else { return };
        let Some(smmu) = guard.as_mut() else { return };
        let event = match smmu.next_event() {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(error) => {
                defmt::error!("SMMU event queue: {}", defmt::Debug2Format(&error));
                return;
            }
        };
        drop(guard);
        EVENT_COUNT.fetch_add(1, Ordering::Relaxed);
        keep(event);
        let Event::Fault(fault) = event else {
            defmt::warn!("SMMU event: {}", defmt::Debug2Format(&event));
            continue;
        };
        let Some(ticket) = fault.stall else { continue };
        let verdict = match fault.substream {
            Some(substream) if !fault.privileged => space::resolve_device_fault(substream, fault.address, fault.access),
            _ => Verdict::Abort,
        };
        match with(|smmu| smmu.resume(ticket, verdict)) {
            // The address space went away meanwhile; the driver has answered.
            None | Some(Ok(()) | Err(SmmuError::UnknownStall)) => {}
            Some(Err(error)) => defmt::error!("SMMU resume: {}", defmt::Debug2Format(&error)),
        }
    }
}

/// Takes the pending page requests of devices: each is resolved or refused, and each group answered once, after its last request.
///
/// Called as [`service_events`] is, and returns early where that does.
pub(crate) fn service_pages() {
    let Some(mut refused) = REFUSED.try_lock() else { return };
    loop {
        let Some(mut guard) = SMMU.try_lock() else { return };
        let Some(smmu) = guard.as_mut() else { return };
        let event = match smmu.next_page_event() {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(error) => {
                defmt::error!("SMMU page requests: {}", defmt::Debug2Format(&error));
                return;
            }
        };
        drop(guard);
        let request = match event {
            PageEvent::Request(request) => request,
            PageEvent::RequestsLost => {
                PAGE_OVERFLOW_COUNT.fetch_add(1, Ordering::Relaxed);
                // Groups without their last request will never be completed: the device asks again.
                refused.clear();
                continue;
            }
            PageEvent::Stopped { .. } => continue,
        };
        PAGE_REQUEST_COUNT.fetch_add(1, Ordering::Relaxed);
        let group = PageGroup { stream: request.stream, substream: request.substream, prg_index: request.prg_index };
        // A request may ask for both.
        let kinds = [(request.read, AccessKind::Read), (request.write, AccessKind::Write), (request.execute, AccessKind::Execute)];
        let is_refused = match request.substream {
            Some(substream) if !request.privileged => kinds
                .into_iter()
                .filter(|(wanted, _)| *wanted)
                .any(|(_, access)| space::resolve_device_fault(substream, Iova(request.address), access) != Verdict::Retry),
            // The kernel's own domain maps what it lets devices use, before they use it.
            _ => true,
        };
        if is_refused && !refused.contains(&group) {
            // Without room for the note the group is answered as if all were well: its access repeats, fails alone, and is then refused.
            let _ = refused.push(group);
        }
        if !request.last {
            continue;
        }
        let answer = match refused.iter().position(|other| *other == group) {
            Some(at) => {
                refused.swap_remove(at);
                PageAnswer::Invalid
            }
            None => PageAnswer::Success,
        };
        match with(|smmu| smmu.respond(group, answer)) {
            // The address space went away meanwhile; the driver has answered.
            None | Some(Ok(()) | Err(SmmuError::UnknownGroup)) => {}
            Some(Err(error)) => defmt::error!("SMMU page answer: {}", defmt::Debug2Format(&error)),
        }
    }
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

/// What page requests came to since boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PageRequestCounters {
    /// Requests read from the PRI queue.
    pub requests: u64,
    /// Times that the queue was too short.
    pub overflows: u64,
}

/// What page requests came to since boot.
pub fn page_request_counters() -> PageRequestCounters {
    let [requests, overflows] = [&PAGE_REQUEST_COUNT, &PAGE_OVERFLOW_COUNT].map(|count| count.load(Ordering::Relaxed));
    PageRequestCounters { requests, overflows }
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
