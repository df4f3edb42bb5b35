//! The engine's hands: job slots, and the cores that work in them.
//!
//! A request is taken and finished under the big lock; in between the codec runs without it and takes it for each page moved. A slot belongs to the
//! core that set it `Running`, until that core parks or frees it under the lock. With no engine core the same loop runs at the end of a trap.

use core::cell::UnsafeCell;

use firmware_platform::ENGINE_SGI;
use firmware_platform::trace::{Counter, Kind};
use hal::{Requester, StallTag, Verdict};
use hal_aarch64::{cpu, gic};
use qm_model::{Completion, Task};
use qm_spec::QmVersion;
use smmu_model::HELD_STAG;
use zip_model::{Direction, EngineMemory, Job, Step};

use crate::dma::LockedDma;
use crate::state::{self, Silicon};
use crate::trace;

/// Requests that can be under way at once.
pub const SLOTS: usize = 4;
/// Verdicts that can arrive before their request has parked: at most one per slot.
const EARLY: usize = SLOTS;

/// Who may touch a slot's work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SlotState {
    /// Nobody: it is empty.
    Free,
    /// The core that set this.
    Running,
    /// The holder of the big lock, to resume it.
    Parked(StallTag),
    /// The core that takes it next.
    Ready,
}

/// What one slot works on.
struct Work {
    job: Option<(Job, Task)>,
    memory: EngineMemory,
}

struct Slot(UnsafeCell<Work>);

// SAFETY: `SlotState` says who may touch it, and changes only under the big lock.
unsafe impl Sync for Slot {}

#[unsafe(link_section = ".data.el2")]
static WORK: [Slot; SLOTS] = [const { Slot(UnsafeCell::new(Work { job: None, memory: EngineMemory::new() })) }; SLOTS];

/// The states of the slots and of the engine cores.
#[derive(Debug)]
pub struct Scheduler {
    slots: [SlotState; SLOTS],
    early: [Option<(StallTag, Verdict)>; EARLY],
    /// Slots that ran while held transactions were woken.
    woken: [bool; SLOTS],
    /// Engine cores that sleep, one bit per core number.
    idle: u32,
}

impl Scheduler {
    /// All slots free, no core asleep.
    pub const fn new() -> Self {
        Self { slots: [SlotState::Free; SLOTS], early: [None; EARLY], woken: [false; SLOTS], idle: 0 }
    }

    fn find(&self, wanted: SlotState) -> Option<usize> {
        self.slots.iter().position(|state| *state == wanted)
    }
}

/// The work of a slot.
///
/// # Safety
/// The caller is who [`SlotState`] allows, and holds no other reference to it.
#[allow(clippy::mut_from_ref)]
unsafe fn work(slot: usize) -> &'static mut Work {
    // SAFETY: the caller's promise.
    unsafe { &mut *WORK[slot].0.get() }
}

impl Silicon {
    /// Hands the verdicts that software gave to whoever waits for them; true if the engine may go on.
    pub fn collect_resumed(&mut self) -> bool {
        let mut any = false;
        while let Some((tag, verdict)) = self.smmu.take_resumed() {
            any = true;
            let code = match verdict {
                Verdict::Retry => 0,
                Verdict::Abort => 1,
                Verdict::ReadZeroWriteIgnore => 2,
            };
            trace::note(Some(Counter::Resumes), Kind::Resume, u64::from(tag.stream.0), u64::from(tag.stag), code);
            if tag.stag == HELD_STAG {
                self.wake_held(tag);
            } else if let Some(slot) = self.scheduler.find(SlotState::Parked(tag)) {
                // SAFETY: parked, and we hold the lock.
                if let Some((job, _)) = unsafe { work(slot) }.job.as_mut() {
                    job.resume(verdict);
                }
                self.scheduler.slots[slot] = SlotState::Ready;
            } else if self.qm.waits_for(tag) {
                let mut dma = crate::dma::TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory };
                self.qm.resume(tag, verdict, &mut dma);
            } else if let Some(free) = self.scheduler.early.iter_mut().find(|e| e.is_none()) {
                *free = Some((tag, verdict));
            }
        }
        any && self.has_work()
    }

    /// Wakes everything that the SMMU held back under this one tag: such transactions have no record of their own, and any of them may be the one
    /// that can go on. A slot that still runs may have been told to wait a moment ago: it finds the wake-up when it parks, and at worst tries once more.
    fn wake_held(&mut self, tag: StallTag) {
        for slot in 0..SLOTS {
            match self.scheduler.slots[slot] {
                SlotState::Parked(waits) if waits == tag => {
                    // SAFETY: parked, and we hold the lock.
                    if let Some((job, _)) = unsafe { work(slot) }.job.as_mut() {
                        job.resume(Verdict::Retry);
                    }
                    self.scheduler.slots[slot] = SlotState::Ready;
                }
                SlotState::Running => self.scheduler.woken[slot] = true,
                _ => {}
            }
        }
        if self.qm.waits_for(tag) {
            let mut dma = crate::dma::TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory };
            self.qm.resume(tag, Verdict::Retry, &mut dma);
        }
    }

    /// True if a core could take something up now.
    fn has_work(&self) -> bool {
        self.scheduler.find(SlotState::Ready).is_some()
            || (self.engine_is_on && !self.zip.is_frozen() && self.scheduler.find(SlotState::Free).is_some() && self.qm.has_task())
    }

    /// Takes a slot to work on: a resumed one first, else a free one with the next request.
    fn take_slot(&mut self) -> Option<usize> {
        if let Some(slot) = self.scheduler.find(SlotState::Ready) {
            self.scheduler.slots[slot] = SlotState::Running;
            return Some(slot);
        }
        if !self.engine_is_on || self.zip.is_frozen() {
            return None;
        }
        let slot = self.scheduler.find(SlotState::Free)?;
        let mut dma = crate::dma::TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory };
        let task = self.qm.next_task(&mut dma)?;
        let substream = if self.qm.config().version == QmVersion::V2 { Some(task.pasid) } else { task.substream };
        let who = Requester { stream: task.stream, substream, privileged: false };
        // The algorithm type has more values than the engine has directions; its lowest bit selects.
        let direction = Direction::from_alg_type(task.alg_type & 1).unwrap_or(Direction::Compress);
        let job = self.zip.accept(task.sqe, direction, who);
        trace::note(Some(Counter::Jobs), Kind::Job, u64::from(task.qn), slot as u64, u64::from(task.sq_index));
        // SAFETY: the slot was free and becomes ours under the lock.
        unsafe { work(slot) }.job = Some((job, task));
        self.scheduler.slots[slot] = SlotState::Running;
        Some(slot)
    }

    /// Parks a slot until its tag is resumed; the verdict if it was already.
    fn park(&mut self, slot: usize, tag: StallTag) -> Option<Verdict> {
        trace::note(Some(Counter::Stalls), Kind::Stall, u64::from(tag.stream.0), u64::from(tag.stag), slot as u64);
        if tag.stag == HELD_STAG && core::mem::take(&mut self.scheduler.woken[slot]) {
            return Some(Verdict::Retry);
        }
        let early = self.scheduler.early.iter_mut().find(|e| e.is_some_and(|(t, _)| t == tag));
        if let Some((_, verdict)) = early.and_then(Option::take) {
            return Some(verdict);
        }
        self.scheduler.slots[slot] = SlotState::Parked(tag);
        None
    }

    /// Ends a slot's request.
    fn finish(&mut self, slot: usize, sqe: [u32; 32]) {
        // SAFETY: the slot is running on this core.
        if let Some((job, mut task)) = unsafe { work(slot) }.job.take() {
            task.sqe = sqe;
            self.zip.retire(&job);
            let mut dma = crate::dma::TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory };
            match self.qm.complete(&task, &mut dma) {
                Ok(Completion::Delivered | Completion::Parked) => {}
                Ok(Completion::Dropped) => trace::note(Some(Counter::Dropped), Kind::JobDone, u64::from(task.qn), slot as u64, 1),
                // The queue manager has halted the queue and raised its error interrupt.
                Err(_) => {}
            }
            trace::note(Some(Counter::JobsDone), Kind::JobDone, u64::from(task.qn), slot as u64, 0);
        }
        self.scheduler.slots[slot] = SlotState::Free;
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

/// Steps a slot until it parks or ends.
fn run(slot: usize) {
    loop {
        // SAFETY: the slot is running on this core.
        let Work { job, memory } = unsafe { work(slot) };
        let Some((job, _)) = job else { return };
        match job.step(&mut LockedDma, memory) {
            Step::Progress => {}
            Step::Stalled(tag) => match state::lock().park(slot, tag) {
                None => return,
                Some(verdict) => job.resume(verdict),
            },
            Step::Done(sqe) => return state::lock().finish(slot, sqe),
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
