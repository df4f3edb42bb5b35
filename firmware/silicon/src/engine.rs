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
use zip_model::{Direction, EngineMemory, Job, Step};

use crate::dma::LockedDma;
use crate::state::{self, Silicon};
use crate::trace;

/// Requests that can be under way at once.
pub const SLOTS: usize = 4;

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
    /// Engine cores that sleep, one bit per core number.
    idle: u32,
}

impl Scheduler {
    /// All slots free, no core asleep.
    pub const fn new() -> Self {
        Self { slots: [SlotState::Free; SLOTS], idle: 0 }
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
        while let Some((tag, verdict)) = self.smmu.take_resumed().or_else(|| self.ats.take_resumed()) {
            any = true;
            let code = match verdict {
                Verdict::Retry => 0,
                Verdict::Abort => 1,
                Verdict::ReadZeroWriteIgnore => 2,
            };
            trace::note(Some(Counter::Resumes), Kind::Resume, u64::from(tag.stream.0), u64::from(tag.stag), code);
            // Transactions that are held back without a record share a tag: all of them go on.
            for slot in 0..SLOTS {
                match self.scheduler.slots[slot] {
                    SlotState::Parked(waits) if waits == tag => {
                        // SAFETY: parked, and we hold the lock.
                        if let Some((job, _)) = unsafe { work(slot) }.job.as_mut() {
                            job.resume(verdict);
                        }
                        self.scheduler.slots[slot] = SlotState::Ready;
                    }
                    SlotState::Stalling(waits, _) if waits == tag => self.scheduler.slots[slot] = SlotState::Stalling(tag, Some(verdict)),
                    _ => {}
                }
            }
            if self.qm.waits_for(tag) {
                let mut dma = crate::dma::TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory, ats: &mut self.ats };
                self.qm.resume(tag, verdict, &mut dma);
            }
        }
        any && self.has_work()
    }

    /// True if a core could take something up now.
    pub fn has_work(&self) -> bool {
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
        let mut dma = crate::dma::TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory, ats: &mut self.ats };
        let task = self.qm.next_task(&mut dma)?;
        let substream = if self.qm.config().version == QmVersion::V2 { Some(task.pasid) } else { task.substream };
        let who = Requester { stream: task.stream, substream, privileged: false };
        // The algorithm type has more values than the engine has directions; its lowest bit selects.
        let direction = Direction::from_alg_type(task.alg_type & 1).unwrap_or(Direction::Compress);
        let job = self.zip.accept(task.sqe, direction, who);
        trace::entry(&task.sqe);
        trace::note(Some(Counter::Jobs), Kind::Job, u64::from(task.qn), slot as u64, u64::from(task.sq_index));
        // SAFETY: the slot was free and becomes ours under the lock.
        unsafe { work(slot) }.job = Some((job, task));
        self.scheduler.slots[slot] = SlotState::Running;
        Some(slot)
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

    /// Ends a slot's request.
    fn finish(&mut self, slot: usize, sqe: [u32; 32]) {
        // SAFETY: the slot is running on this core.
        if let Some((job, mut task)) = unsafe { work(slot) }.job.take() {
            task.sqe = sqe;
            trace::entry(&sqe);
            self.zip.retire(&job);
            // What the shaper shares out: a request, and a unit more for each 64 bytes that it took or gave.
            let (consumed, produced) = job.moved_bytes();
            self.qm.charge_work(&task, (u64::from(consumed) + u64::from(produced)) / WORK_UNIT_BYTES);
            if self.zip.is_frozen() {
                // An error has stopped the engine's bus traffic: the result cannot leave it.
                self.qm.abandon(&task);
                trace::note(Some(Counter::Dropped), Kind::JobDone, u64::from(task.qn), slot as u64, 1);
                self.scheduler.slots[slot] = SlotState::Free;
                return;
            }
            let mut dma = crate::dma::TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory, ats: &mut self.ats };
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
        let Some((job, task)) = job else { return };
        match job.step(&mut LockedDma { slot, task }, memory) {
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
