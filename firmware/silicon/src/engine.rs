//! The engines' hands: job slots, and the cores that work in them. Each engine has slots of its own; the cores work for both, in turn.
//!
//! A request is taken and finished under the big lock; in between the codec runs without it and takes it for each page moved. A slot belongs to the
//! core that set it `Running`, until that core parks or frees it under the lock. With no engine core the same loop runs at the end of a trap.

use core::cell::UnsafeCell;

use firmware_platform::ENGINE_SGI;
use firmware_platform::trace::{Counter, Kind};
use hal::{DmaError, Requester, StallTag, Verdict};
use hal_aarch64::{cpu, gic};
use heapless::Vec;
use qm_model::{Completion, Task};
use qm_spec::QmVersion;
use zip_model::{Direction, EngineMemory, Job, Step};

use crate::dma::LockedDma;
use crate::state::{self, Silicon};
use crate::trace;

/// Requests of the zip engine that can be under way at once. Their slots come first.
const ZIP_SLOTS: usize = 4;
/// Requests of the dummy engine that can be under way at once.
const DUMMY_SLOTS: usize = 2;
const SLOTS: usize = ZIP_SLOTS + DUMMY_SLOTS;

/// Requests of the zip engine that can wait for the one of their address space that waits for a page.
const MOST_HELD: usize = 64;

/// Bytes of a request that count as one unit of engine work.
const WORK_UNIT_BYTES: u64 = 64;

/// Who may touch a slot's work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SlotState {
    /// Nobody: it is empty.
    Free,
    /// The core that set this.
    Running,
    /// As `Running`; its access has stalled, and it is on its way to park. The verdict may come before it does.
    Stalling(StallTag, Option<Verdict>),
    /// The holder of the big lock, to resume it.
    Parked(StallTag),
    /// The core that takes it next.
    Ready,
}

/// A request under way.
#[expect(clippy::large_enum_variant, reason = "it lies in a static, one per slot, and there is nothing to box it in")]
enum Running {
    Zip(Job),
    Dummy(dummy_model::Job),
}

impl Running {
    fn resume(&mut self, verdict: Verdict) {
        match self {
            Self::Zip(job) => job.resume(verdict),
            Self::Dummy(job) => job.resume(verdict),
        }
    }
}

/// What one slot works on.
type Work = Option<(Running, Task)>;

/// Something of one slot.
struct Slot<T>(UnsafeCell<T>);

// SAFETY: `SlotState` says who may touch it, and changes only under the big lock.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// What the slot has.
    ///
    /// # Safety
    /// The caller is who [`SlotState`] allows, and holds no other reference to it.
    #[allow(clippy::mut_from_ref)]
    unsafe fn get(&self) -> &mut T {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.0.get() }
    }
}

#[unsafe(link_section = ".data.el2")]
static WORK: [Slot<Work>; SLOTS] = [const { Slot::new(None) }; SLOTS];
#[unsafe(link_section = ".data.el2")]
static ZIP_MEMORY: [Slot<EngineMemory>; ZIP_SLOTS] = [const { Slot::new(EngineMemory::new()) }; ZIP_SLOTS];
#[unsafe(link_section = ".data.el2")]
static DUMMY_MEMORY: [Slot<dummy_model::EngineMemory>; DUMMY_SLOTS] = [const { Slot::new(dummy_model::EngineMemory::new()) }; DUMMY_SLOTS];

/// The states of the slots and of the engine cores.
#[derive(Debug)]
pub struct Scheduler {
    slots: [SlotState; SLOTS],
    /// Engine cores that sleep, one bit per core number.
    idle: u32,
    /// The dummy engine is asked first next time.
    dummy_first: bool,
    /// Requests of the zip engine that are fetched but not begun, oldest first.
    held: Vec<Task, MOST_HELD>,
    /// Whose request each slot worked on last.
    requesters: [Option<Requester>; ZIP_SLOTS],
}

impl Scheduler {
    /// All slots free, no core asleep.
    pub const fn new() -> Self {
        Self { slots: [SlotState::Free; SLOTS], idle: 0, dummy_first: false, held: Vec::new(), requesters: [None; ZIP_SLOTS] }
    }

    fn find_ready(&self) -> Option<usize> {
        self.slots.iter().position(|state| *state == SlotState::Ready)
    }

    fn free_zip_slot(&self) -> Option<usize> {
        self.slots[..ZIP_SLOTS].iter().position(|state| *state == SlotState::Free)
    }

    /// True if a request of this address space waits for a page, so that another one would most likely come to wait as well.
    fn waits_for_page(&self, who: Requester) -> bool {
        let mut slots = self.slots.iter().zip(&self.requesters);
        who.substream.is_some()
            && slots.any(|(state, requester)| matches!(state, SlotState::Parked(_) | SlotState::Stalling(..)) && *requester == Some(who))
    }

    fn free_dummy_slot(&self) -> Option<usize> {
        self.slots[ZIP_SLOTS..].iter().position(|state| *state == SlotState::Free).map(|slot| ZIP_SLOTS + slot)
    }
}

impl Silicon {
    /// Hands the verdicts that software gave to whoever waits for them; true if the engine may go on.
    pub fn collect_resumed(&mut self) -> bool {
        let mut any = false;
        while let Some((tag, verdict)) = self.smmu.take_resumed().or_else(|| self.ats.take_resumed()) {
            any = true;
            let code = match verdict {
                Verdict::Retry => 0,
                Verdict::Abort => 1,
                Verdict::ReadZeroWriteIgnore => 2,
            };
            trace::note(Some(Counter::Resumes), Kind::Resume, u64::from(tag.stream.0), u64::from(tag.stag), code);
            // Transactions that are held back without a record share a tag: all of them go on.
            for (state, work) in self.scheduler.slots.iter_mut().zip(&WORK) {
                match *state {
                    SlotState::Parked(waits) if waits == tag => {
                        // SAFETY: parked, and we hold the lock.
                        if let Some((job, _)) = unsafe { work.get() } {
                            job.resume(verdict);
                        }
                        *state = SlotState::Ready;
                    }
                    SlotState::Stalling(waits, _) if waits == tag => *state = SlotState::Stalling(tag, Some(verdict)),
                    _ => {}
                }
            }
            let mut dma = crate::dma::TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory, ats: &mut self.ats };
            if self.qm.waits_for(tag) {
                self.qm.resume(tag, verdict, &mut dma);
            }
            self.dummy.resume(tag, verdict, &mut dma);
        }
        any && self.has_work()
    }

    /// True if a core could take something up now.
    pub fn has_work(&self) -> bool {
        self.scheduler.find_ready().is_some()
            || self.engine_is_on
                && (!self.zip.is_frozen() && self.scheduler.free_zip_slot().is_some() && (self.qm.has_task() || self.find_held().is_some())
                    || self.dummy.has_task() && self.scheduler.free_dummy_slot().is_some())
    }

    /// True if an access for the request in a slot may still be made: its queue was not stopped, its function not reset, its engine not frozen.
    pub fn may_transfer(&self, slot: usize, task: &Task) -> bool {
        if slot < ZIP_SLOTS { self.qm.may_transfer(task) && !self.zip.is_frozen() } else { self.dummy.may_transfer(task) }
    }

    /// Takes a slot to work on: a resumed one first, else a free one with the next request, of either engine in turn.
    fn take_slot(&mut self) -> Option<usize> {
        if let Some(slot) = self.scheduler.find_ready() {
            self.scheduler.slots[slot] = SlotState::Running;
            return Some(slot);
        }
        if !self.engine_is_on {
            return None;
        }
        let first = if self.scheduler.dummy_first { self.take_dummy() } else { self.take_zip() };
        let taken = first.or_else(|| if self.scheduler.dummy_first { self.take_zip() } else { self.take_dummy() });
        if let Some(slot) = taken {
            self.scheduler.dummy_first = slot < ZIP_SLOTS;
        }
        taken
    }

    /// Takes the zip engine's next request. While a request of an address space waits for a page, others of that space wait with it, outside the
    /// slots: those are for whoever can use them, and software that answers one space's faults late delays that space only.
    fn take_zip(&mut self) -> Option<usize> {
        if self.zip.is_frozen() {
            // Nothing comes out of the engine any more, so nothing goes in.
            while let Some(task) = self.scheduler.held.pop() {
                self.qm.abandon(&task);
            }
            return None;
        }
        let slot = self.scheduler.free_zip_slot()?;
        let task = match self.take_held() {
            Some(task) => task,
            None => loop {
                let mut dma = crate::dma::TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory, ats: &mut self.ats };
                let task = self.qm.next_task(&mut dma)?;
                let must_wait = self.scheduler.waits_for_page(self.zip_requester(&task));
                if !must_wait || self.scheduler.held.is_full() {
                    break task;
                }
                let _ = self.scheduler.held.push(task);
            },
        };
        let who = self.zip_requester(&task);
        // The algorithm type has more values than the engine has directions; its lowest bit selects.
        let direction = Direction::from_alg_type(task.alg_type & 1).unwrap_or(Direction::Compress);
        let job = self.zip.accept(task.sqe, direction, who);
        self.scheduler.requesters[slot] = Some(who);
        self.begin(slot, Running::Zip(job), task);
        Some(slot)
    }

    /// What the zip engine's transactions for a request carry.
    fn zip_requester(&self, task: &Task) -> Requester {
        let substream = if self.qm.config().version == QmVersion::V2 { Some(task.pasid) } else { task.substream };
        Requester { stream: task.stream, substream, privileged: false }
    }

    /// The oldest request that was held back and can go on: its space waits for nothing any more, or the request has become void.
    fn find_held(&self) -> Option<usize> {
        let can_go_on = |task: &Task| !self.scheduler.waits_for_page(self.zip_requester(task)) || !self.qm.may_transfer(task);
        if self.scheduler.held.is_empty() { None } else { self.scheduler.held.iter().position(can_go_on) }
    }

    fn take_held(&mut self) -> Option<Task> {
        let at = self.find_held()?;
        Some(self.scheduler.held.remove(at))
    }

    /// Takes the dummy engine's next request.
    fn take_dummy(&mut self) -> Option<usize> {
        if !self.dummy.is_present() {
            return None;
        }
        let slot = self.scheduler.free_dummy_slot()?;
        let mut dma = crate::dma::TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory, ats: &mut self.ats };
        let task = self.dummy.qm_mut().next_task(&mut dma)?;
        let who = Requester { stream: task.stream, substream: task.substream, privileged: false };
        let mut sqe = [0; dummy_spec::SQE_WORDS];
        sqe.copy_from_slice(&task.sqe[..dummy_spec::SQE_WORDS]);
        self.begin(slot, Running::Dummy(dummy_model::Job::start(sqe, who)), task);
        Some(slot)
    }

    fn begin(&mut self, slot: usize, job: Running, task: Task) {
        trace::entry(&task.sqe);
        trace::note(Some(Counter::Jobs), Kind::Job, u64::from(task.qn), slot as u64, u64::from(task.sq_index));
        // SAFETY: the slot was free and becomes ours under the lock.
        *unsafe { WORK[slot].get() } = Some((job, task));
        self.scheduler.slots[slot] = SlotState::Running;
    }

    /// Notes that a running slot's access stalled, under the lock that translated it: no verdict can come before this.
    pub fn note_stall(&mut self, slot: usize, tag: StallTag) {
        self.scheduler.slots[slot] = SlotState::Stalling(tag, None);
    }

    /// Parks a slot until its tag is resumed; the verdict if it was already.
    fn park(&mut self, slot: usize, tag: StallTag) -> Option<Verdict> {
        trace::note(Some(Counter::Stalls), Kind::Stall, u64::from(tag.stream.0), u64::from(tag.stag), slot as u64);
        if let SlotState::Stalling(_, Some(verdict)) = self.scheduler.slots[slot] {
            self.scheduler.slots[slot] = SlotState::Running;
            return Some(verdict);
        }
        self.scheduler.slots[slot] = SlotState::Parked(tag);
        None
    }

    /// Ends a slot's request; its entry holds the result.
    fn finish(&mut self, slot: usize) {
        // SAFETY: the slot is running on this core.
        if let Some((job, task)) = unsafe { WORK[slot].get() }.take() {
            trace::entry(&task.sqe);
            let outcome = match job {
                Running::Zip(job) => self.deliver_zip(&job, &task),
                Running::Dummy(_) => {
                    let mut dma = crate::dma::TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory, ats: &mut self.ats };
                    Some(self.dummy.qm_mut().complete(&task, &mut dma))
                }
            };
            // On an error the queue manager has halted the queue and raised its interrupt.
            let is_dropped = matches!(outcome, None | Some(Ok(Completion::Dropped)));
            if is_dropped {
                trace::count(Counter::Dropped);
            }
            trace::note(Some(Counter::JobsDone), Kind::JobDone, u64::from(task.qn), slot as u64, is_dropped.into());
        }
        self.scheduler.slots[slot] = SlotState::Free;
    }

    /// Gives a request of the zip engine back to its queue manager; `None` if its result could not leave the engine.
    fn deliver_zip(&mut self, job: &Job, task: &Task) -> Option<Result<Completion, DmaError>> {
        self.zip.retire(job);
        // What the shaper shares out: a request, and a unit more for each 64 bytes that it took or gave.
        let (consumed, produced) = job.moved_bytes();
        self.qm.charge_work(task, (u64::from(consumed) + u64::from(produced)) / WORK_UNIT_BYTES);
        if self.zip.is_frozen() {
            // An error has stopped the engine's bus traffic.
            self.qm.abandon(task);
            return None;
        }
        let mut dma = crate::dma::TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory, ats: &mut self.ats };
        Some(self.qm.complete(task, &mut dma))
    }

    /// Wakes one sleeping engine core, if there is one.
    fn kick(&mut self) {
        if self.scheduler.idle == 0 {
            return;
        }
        let core = self.scheduler.idle.trailing_zeros();
        self.scheduler.idle &= !(1 << core);
        trace::count(Counter::Kicks);
        gic::send_sgi(ENGINE_SGI, u64::from(core));
    }
}

/// What a step of either engine came to.
enum Progress {
    GoesOn,
    Stalled(StallTag),
    Done,
}

/// Makes one step of the request in a slot. An entry that is done has its result.
fn step(slot: usize, job: &mut Running, task: &mut Task) -> Progress {
    let mut dma = LockedDma { slot, task };
    match job {
        Running::Zip(job) => {
            // SAFETY: the slot is running on this core.
            match job.step(&mut dma, unsafe { ZIP_MEMORY[slot].get() }) {
                Step::Progress => Progress::GoesOn,
                Step::Stalled(tag) => Progress::Stalled(tag),
                Step::Done(sqe) => {
                    task.sqe = sqe;
                    Progress::Done
                }
            }
        }
        Running::Dummy(job) => {
            // SAFETY: as above.
            match job.step(&mut dma, unsafe { DUMMY_MEMORY[slot - ZIP_SLOTS].get() }) {
                dummy_model::Step::Progress => Progress::GoesOn,
                dummy_model::Step::Stalled(tag) => Progress::Stalled(tag),
                dummy_model::Step::Done(sqe) => {
                    task.sqe[..sqe.len()].copy_from_slice(&sqe);
                    Progress::Done
                }
            }
        }
    }
}

/// Steps a slot until it parks or ends.
fn run(slot: usize) {
    loop {
        // SAFETY: the slot is running on this core.
        let Some((job, task)) = (unsafe { WORK[slot].get() }) else { return };
        match step(slot, job, task) {
            Progress::GoesOn => {}
            Progress::Stalled(tag) => match state::lock().park(slot, tag) {
                None => return,
                Some(verdict) => job.resume(verdict),
            },
            Progress::Done => return state::lock().finish(slot),
        }
    }
}

/// Works until nothing is left that a core could take up.
fn drain() {
    loop {
        let slot = {
            let mut silicon = state::lock();
            let Some(slot) = silicon.take_slot() else { return };
            if silicon.has_work() {
                silicon.kick();
            }
            slot
        };
        run(slot);
    }
}

/// Called without the lock when a queue or a resumed stall may have work: an engine core is woken, or this core works itself.
#[inline(never)]
pub fn work_arrived() {
    if state::engine_cores() == 0 {
        drain();
    } else {
        state::lock().kick();
    }
}

/// What an engine core does for ever. Its interrupts stay masked: a pending SGI ends the `wfi`, and is taken off the GIC here.
pub fn serve() -> ! {
    let core = state::core_index();
    loop {
        drain();
        {
            let mut silicon = state::lock();
            if silicon.has_work() {
                continue;
            }
            silicon.scheduler.idle |= 1 << core;
        }
        cpu::wfi();
        while let Some(intid) = gic::acknowledge() {
            gic::end_of_interrupt(intid);
        }
    }
}
