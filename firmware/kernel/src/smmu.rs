//! The SMMU: one, found by device tree; its events, and the faults of devices in processes.

use core::sync::atomic::{AtomicU64, Ordering};

use firmware_kerncore::numbers::NumberPool;
use hal::{Pa, StreamId, SubstreamId, Va, Verdict};
use hal_aarch64::{GenericTimer, MmioWindow, SpinLock, mmu};
use heapless::Deque;
use smmu_driver::{Config, Event, Features, Granule, Leaf, Smmu, SmmuError, TableDescription};

use crate::dma::PhysicalMemory;
use crate::space;

type KernelSmmu = Smmu<MmioWindow, GenericTimer, PhysicalMemory>;

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
    let config = Config { asid_bits: mmu::asid_bits(), ..Config::default() };
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

/// True if devices behind the SMMU can work in processes' address spaces: SubstreamIDs, stalls, coherent walks, our granule.
pub fn supports_sva() -> bool {
    features().is_some_and(|f| f.substream_bits > 0 && f.stall_model.can_stall() && f.is_coherent && f.has_granule(Granule::Kib4))
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
