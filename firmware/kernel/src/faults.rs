//! Faults of devices in processes: each is answered once, in the time of the process whose device it is.
//!
//! A fault is served as it comes, on the one core, whoever runs. Its time is counted as the time of the process that it is for; while that process
//! has had more of the core than others who want it, its faults wait in [`WAITING`]: until its turn comes, the others have had as much, or
//! [`PATIENCE`] is over. Then the oldest come first. What waits is stalled in the SMMU, or asked for by the device, and goes with the process or the
//! device as everything else of that kind does: the driver answers it, and says so when we come to it.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use hal::{AccessKind, Clock, Iova, SubstreamId, Verdict};
use hal_aarch64::{GenericTimer, SpinLock};
use heapless::Deque;
use smmu_driver::{Event, PageAnswer, PageEvent, PageGroup, PageRequest, SmmuError, Ticket};
use uacce_kernel::SpaceId;

use crate::task::{self, DeadlineTicks, FaultShare};
use crate::{guests, smmu, space};

/// Refused groups that can be incomplete at a time.
const OPEN_GROUPS: usize = 16;

/// Faults that can wait for their process's share: fewer than the driver keeps stalls and groups, so that it always has room for the next.
const MAX_WAITING: usize = 32;

/// The longest that a fault waits for its process's share: a turn.
const PATIENCE: Duration = Duration::from_millis(10);

/// How soon waiting faults are looked at again where no switch of processes comes first.
const SECOND_LOOK: Duration = Duration::from_millis(1);

/// What wants a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// A transaction that the SMMU holds back.
    Stall { ticket: Ticket, at: Iova, access: AccessKind },
    /// A device that asks.
    Request(PageRequest),
}

/// A fault that waits for its process's share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Waiting {
    fault: Fault,
    space: SpaceId,
    /// It waits no longer than until then, in ticks.
    until: u64,
}

/// Oldest first.
static WAITING: SpinLock<Deque<Waiting, MAX_WAITING>> = SpinLock::new(Deque::new());
static WAITING_COUNT: AtomicUsize = AtomicUsize::new(0);
/// When they are to be looked at again, in ticks.
static NEXT_LOOK: AtomicU64 = AtomicU64::new(0);
static POSTPONED_COUNT: AtomicU64 = AtomicU64::new(0);
/// Groups with a request that was refused, whose last request has not come yet.
static REFUSED: SpinLock<heapless::Vec<PageGroup, OPEN_GROUPS>> = SpinLock::new(heapless::Vec::new());
static PAGE_REQUEST_COUNT: AtomicU64 = AtomicU64::new(0);
static PAGE_OVERFLOW_COUNT: AtomicU64 = AtomicU64::new(0);

/// Whose memory a fault wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    /// Nobody's that could be given: the kernel's own.
    Kernel,
    /// The process's that has this PASID.
    Pasid(SubstreamId),
    /// A process's.
    Space(SpaceId),
}

impl Owner {
    /// Whose memory an access wants. The kernel's own domain maps what it lets devices use, before they use it.
    fn of(substream: Option<SubstreamId>, privileged: bool) -> Self {
        substream.filter(|_| !privileged).map_or(Self::Kernel, Self::Pasid)
    }
}

/// Who calls for service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Service {
    /// An interrupt: processes have their shares.
    InShares,
    /// The kernel, which waits for a device that may wait for a page: nothing may wait.
    AtOnce,
}

/// Serves what the SMMU's event interrupt is for.
pub(crate) fn handle_events() {
    service_events(Service::InShares);
}

/// Serves what the SMMU's PRI interrupt is for.
pub(crate) fn handle_pages() {
    service_pages(Service::InShares);
}

/// Serves everything at once, for a caller that waits for a device: what that is doing may need a page first, and no interrupt is taken.
///
/// If the SMMU or the address spaces are being worked on further up the stack, nothing happens; whoever does so waits for no device.
#[inline(always)]
pub(crate) fn serve_while_waiting() {
    if WAITING_COUNT.load(Ordering::Relaxed) > 0 {
        serve_all();
    }
    service_events(Service::AtOnce);
    service_pages(Service::AtOnce);
}

/// Takes the SMMU's pending events: faults of devices in processes are resolved, refused or postponed, everything is kept for
/// [`smmu::take_events`].
#[inline(never)]
fn service_events(service: Service) {
    while let Some(event) = smmu::next_event() {
        let Event::Fault(fault) = event else {
            defmt::warn!("SMMU event: {}", defmt::Debug2Format(&event));
            continue;
        };
        let Some(ticket) = fault.stall else { continue };
        if let Some(wanted) = fault.stage2() {
            resume(ticket, guests::resolve(&fault, wanted));
            continue;
        }
        let owner = Owner::of(fault.substream, fault.privileged);
        if is_nobody_in_the_way(service) {
            answer_stall(ticket, owner, fault.address, fault.access);
        } else {
            arrive(Fault::Stall { ticket, at: fault.address, access: fault.access }, owner);
        }
    }
}

/// Takes the pending page requests of devices: each is resolved, refused or postponed, and each group answered once, after its last request.
#[inline(never)]
fn service_pages(service: Service) {
    while let Some(event) = smmu::next_page_event() {
        match event {
            PageEvent::Request(request) => {
                PAGE_REQUEST_COUNT.fetch_add(1, Ordering::Relaxed);
                let owner = Owner::of(request.substream, request.privileged);
                if is_nobody_in_the_way(service) {
                    answer_request(&request, owner);
                } else {
                    arrive(Fault::Request(request), owner);
                }
            }
            PageEvent::RequestsLost => {
                PAGE_OVERFLOW_COUNT.fetch_add(1, Ordering::Relaxed);
                // Groups without their last request will never be completed: the device asks again.
                REFUSED.lock().clear();
            }
            PageEvent::Stopped { .. } => {}
        }
    }
}

/// True if a fault is served with no more ado: nothing came before it, and nobody is there to share the core with.
#[inline(always)]
fn is_nobody_in_the_way(service: Service) -> bool {
    service == Service::AtOnce || WAITING_COUNT.load(Ordering::Relaxed) == 0 && task::is_alone()
}

/// Serves a fault, or lets it wait for its process's share.
#[inline(never)]
fn arrive(fault: Fault, owner: Owner) {
    let space = match owner {
        Owner::Pasid(substream) => space::of_substream(substream),
        Owner::Kernel | Owner::Space(_) => None,
    };
    match space {
        // In the order in which they came: a group's last request is answered for all of them.
        Some(space) => {
            if is_waiting(space) || !serve_in_share(&fault, space) {
                postpone(fault, space);
            }
        }
        None => answer(&fault, owner),
    }
}

/// Serves a fault in the time of its process; false if the process has had its share.
fn serve_in_share(fault: &Fault, space: SpaceId) -> bool {
    let share = task::fault_share(space);
    if share.is_open {
        serve_for(fault, space, &share);
    }
    share.is_open
}

fn serve_for(fault: &Fault, space: SpaceId, share: &FaultShare) {
    let begin = GenericTimer.now_ticks();
    answer(fault, Owner::Space(space));
    if let Some(task) = share.task {
        task::spend(task, GenericTimer.now_ticks().saturating_sub(begin));
    }
}

fn is_waiting(space: SpaceId) -> bool {
    WAITING_COUNT.load(Ordering::Relaxed) > 0 && WAITING.lock().iter().any(|waiting| waiting.space == space)
}

fn postpone(fault: Fault, space: SpaceId) {
    POSTPONED_COUNT.fetch_add(1, Ordering::Relaxed);
    if WAITING_COUNT.load(Ordering::Relaxed) == MAX_WAITING
        && let Some(oldest) = take_oldest()
    {
        answer(&oldest.fault, Owner::Space(oldest.space));
    }
    let waiting = Waiting { fault, space, until: GenericTimer.deadline_ticks(PATIENCE) };
    if WAITING_COUNT.load(Ordering::Relaxed) == 0 {
        NEXT_LOOK.store(GenericTimer.deadline_ticks(SECOND_LOOK), Ordering::Relaxed);
    }
    put_back(waiting);
}

fn take_oldest() -> Option<Waiting> {
    let waiting = WAITING.lock().pop_front()?;
    WAITING_COUNT.fetch_sub(1, Ordering::Relaxed);
    Some(waiting)
}

fn put_back(waiting: Waiting) {
    if WAITING.lock().push_back(waiting).is_ok() {
        WAITING_COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

/// Serves what may wait no longer: faults of the process that runs now, of those that have less than their share by now, and those that were patient.
pub(crate) fn serve_due() {
    let count = WAITING_COUNT.load(Ordering::Relaxed);
    if count == 0 {
        return;
    }
    let now = GenericTimer.now_ticks();
    // Each once, and what waits on keeps its place.
    for _ in 0..count {
        let Some(waiting) = take_oldest() else { return };
        let share = task::fault_share(waiting.space);
        if share.is_open || now >= waiting.until {
            serve_for(&waiting.fault, waiting.space, &share);
        } else {
            put_back(waiting);
        }
    }
    NEXT_LOOK.store(GenericTimer.deadline_ticks(SECOND_LOOK), Ordering::Relaxed);
}

/// Serves everything that waits: nobody else has use for the time.
pub(crate) fn serve_all() {
    if WAITING_COUNT.load(Ordering::Relaxed) == 0 || smmu::is_busy() {
        return;
    }
    while let Some(waiting) = take_oldest() {
        answer(&waiting.fault, Owner::Space(waiting.space));
    }
}

/// When somebody has to call [`serve_due`] at the latest, in ticks; `None` if nothing waits.
pub(crate) fn next_look() -> Option<u64> {
    (WAITING_COUNT.load(Ordering::Relaxed) > 0).then(|| NEXT_LOOK.load(Ordering::Relaxed))
}

/// Resolves or refuses a fault, and says so to whoever waits for it.
fn answer(fault: &Fault, owner: Owner) {
    match *fault {
        Fault::Stall { ticket, at, access } => answer_stall(ticket, owner, at, access),
        // The driver answered when the PASID was taken away. Others may have it by now, and groups of the same number: a group has no ticket.
        Fault::Request(ref request) if matches!(owner, Owner::Space(space) if !space::has_substream(space, request.substream)) => {}
        Fault::Request(ref request) => answer_request(request, owner),
    }
}

/// Resolves or refuses the fault of a stalled transaction, and lets that go on or end.
fn answer_stall(ticket: Ticket, owner: Owner, at: Iova, access: AccessKind) {
    resume(ticket, resolve(owner, at, access));
}

fn resume(ticket: Ticket, verdict: Verdict) {
    match smmu::with(|smmu| smmu.resume(ticket, verdict)) {
        // The address space went away meanwhile; the driver has answered.
        None | Some(Ok(()) | Err(SmmuError::UnknownStall)) => {}
        Some(Err(error)) => defmt::error!("SMMU resume: {}", defmt::Debug2Format(&error)),
    }
}

fn resolve(owner: Owner, at: Iova, access: AccessKind) -> Verdict {
    match owner {
        Owner::Kernel => Verdict::Abort,
        Owner::Pasid(substream) => space::resolve_pasid_fault(substream, at, access),
        Owner::Space(space) => space::resolve_device_fault(space, at, access),
    }
}

/// Resolves or refuses a page request; with the last one of a group the group is answered.
#[inline(always)]
fn answer_request(request: &PageRequest, owner: Owner) {
    let group = PageGroup { stream: request.stream, substream: request.substream, prg_index: request.prg_index };
    // A request may ask for both.
    let kinds = [(request.read, AccessKind::Read), (request.write, AccessKind::Write), (request.execute, AccessKind::Execute)];
    let is_refused =
        kinds.into_iter().filter(|(wanted, _)| *wanted).any(|(_, access)| resolve(owner, Iova(request.address), access) != Verdict::Retry);
    let mut refused = REFUSED.lock();
    if is_refused && !refused.contains(&group) {
        // Without room for the note the group is answered as if all were well: its access repeats, fails alone, and is then refused.
        let _ = refused.push(group);
    }
    if !request.last {
        return;
    }
    let answer = match refused.iter().position(|other| *other == group) {
        Some(at) => {
            refused.swap_remove(at);
            PageAnswer::Invalid
        }
        None => PageAnswer::Success,
    };
    match smmu::with(|smmu| smmu.respond(group, answer)) {
        // The address space went away meanwhile; the driver has answered.
        None | Some(Ok(()) | Err(SmmuError::UnknownGroup)) => {}
        Some(Err(error)) => defmt::error!("SMMU page answer: {}", defmt::Debug2Format(&error)),
    }
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

/// Faults since boot that had to wait because their process had had its share.
pub fn postponed_count() -> u64 {
    POSTPONED_COUNT.load(Ordering::Relaxed)
}
