//! Doorbells: from the shared register in BAR2, and from the queues' own pages in BAR4.

use hal::DmaPort;
use qm_spec::regs::{DOORBELL_OFFSET, DOORBELL_PAGE_BYTES};
use qm_spec::{AeqeType, BadIndex, Doorbell, DoorbellCommand, DoorbellLayout, RAS};

use crate::counters::bump;
use crate::queue::QueueState;
use crate::{QmModel, Violation};

/// Queue number and its reserved bits (11:0), command (15:12), lowest priority bit (48) of a doorbell.
const PLAIN_MASK: u64 = 0xffff | 1 << 48;

/// Where a doorbell was rung.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A queue's own page.
    Page(u16),
    /// The submission and completion register shared by the function.
    Shared,
    /// The register of the event queues.
    Events,
}

/// Why a doorbell had no effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    /// The queue is not running, or not the page's: recorded, nothing else.
    NotThere,
    /// The random data do not match the context's.
    Random,
    /// The position is impossible: the queue is halted.
    Index(BadIndex),
    /// Command at the wrong place, or no such event queue: counted only.
    Misplaced,
    /// The position in an event queue is impossible: counted only.
    EventIndex(BadIndex),
}

impl Refusal {
    fn of_events(index: Option<BadIndex>) -> Self {
        index.map_or(Self::Misplaced, Self::EventIndex)
    }
}

impl<const QUEUES: usize, const FUNCTIONS: usize> QmModel<QUEUES, FUNCTIONS> {
    /// Takes the 64-bit store of a doorbell.
    pub(crate) fn doorbell(&mut self, f: usize, place: Place, word: u64, dma: &mut impl DmaPort) {
        let doorbell = Doorbell::decode(word, DoorbellLayout::V2);
        bump(&mut self.functions[f].doorbells);
        self.hardware.last_doorbell = word;
        let result = match (doorbell.command, place) {
            (DoorbellCommand::SQ, Place::Page(_) | Place::Shared) => self.sq_doorbell(f, doorbell, place),
            (DoorbellCommand::CQ, Place::Page(_) | Place::Shared) => self.cq_doorbell(f, doorbell, place, dma),
            (DoorbellCommand::EQ, Place::Events) => self.eq_doorbell(f, doorbell.index, dma).map_err(Refusal::of_events),
            (DoorbellCommand::AEQ, Place::Events) => self.aeq_doorbell(f, doorbell.index, dma).map_err(Refusal::of_events),
            _ => Err(Refusal::Misplaced),
        };
        if let Err(refusal) = result {
            self.refuse(f, place, doorbell, refusal, dma);
        }
    }

    /// The short way for the commonest store to BAR4: a submission doorbell of a running queue in its own page. False if it is anything
    /// else, with nothing changed; [`mmio_write`](Self::mmio_write) then judges it.
    ///
    /// A running queue lies inside the function's share: a change of the VFT ends those that do not, and a context outside it is not loaded.
    #[inline(always)]
    pub fn ring_submission(&mut self, offset: u64, bytes: u8, word: u64) -> bool {
        self.function_ring_submission(0, offset, bytes, word)
    }

    /// The same for BAR4 of any function. A function that is not enabled has no running queue.
    #[inline(always)]
    pub fn function_ring_submission(&mut self, function: u8, offset: u64, bytes: u8, word: u64) -> bool {
        let qn = offset / DOORBELL_PAGE_BYTES;
        // Command SQ, even priority, the page's own queue.
        let is_plain = offset % DOORBELL_PAGE_BYTES == DOORBELL_OFFSET && bytes == 8 && word & PLAIN_MASK == qn;
        let Some(owner) = self.functions.get_mut(usize::from(function)) else { return false };
        if !is_plain || qn >= u64::from(owner.count) {
            return false;
        }
        let at = usize::from(owner.first) + qn as usize;
        let Some(sq) = self.sq.get_mut(at) else { return false };
        if !sq.take_tail((word >> 16) as u16, (word >> 32) as u16) {
            return false;
        }
        bump(&mut owner.doorbells);
        let runnable = sq.is_runnable();
        if sq.is_listed != runnable {
            self.set_ready(at, runnable);
        }
        self.hardware.last_doorbell = word;
        true
    }

    /// The same for completion doorbells that do not arm the queue.
    #[inline(always)]
    pub fn ring_completion(&mut self, offset: u64, bytes: u8, word: u64) -> bool {
        self.function_ring_completion(0, offset, bytes, word)
    }

    /// The same for BAR4 of any function.
    #[inline(always)]
    pub fn function_ring_completion(&mut self, function: u8, offset: u64, bytes: u8, word: u64) -> bool {
        let qn = offset / DOORBELL_PAGE_BYTES;
        let wanted = qn | u64::from(DoorbellCommand::CQ.0) << 12;
        let is_plain = offset % DOORBELL_PAGE_BYTES == DOORBELL_OFFSET && bytes == 8 && word & PLAIN_MASK == wanted;
        let Some(owner) = self.functions.get_mut(usize::from(function)) else { return false };
        if !is_plain || qn >= u64::from(owner.count) {
            return false;
        }
        let Some(cq) = self.cq.get_mut(usize::from(owner.first) + qn as usize) else { return false };
        if !cq.take_head((word >> 16) as u16, (word >> 32) as u16) {
            return false;
        }
        bump(&mut owner.doorbells);
        self.hardware.last_doorbell = word;
        true
    }

    /// Counts a store that is no doorbell at all: wrong width or offset.
    pub(crate) fn not_a_doorbell(&mut self, f: usize, page: Option<u16>, bytes: u8) {
        bump(&mut self.counters.doorbells_refused);
        self.log(Violation::DoorbellShape { function: f as u8, page, bytes });
    }

    fn owns(&self, f: usize, qn: u16, place: Place) -> bool {
        qn < self.share_of(f) && (place == Place::Shared || place == Place::Page(qn))
    }

    fn sq_doorbell(&mut self, f: usize, doorbell: Doorbell, place: Place) -> Result<(), Refusal> {
        let qn = doorbell.queue;
        if !self.owns(f, qn, place) {
            return Err(Refusal::NotThere);
        }
        let at = self.device_queue(f, qn);
        let sq = &mut self.sq[at];
        if sq.state() != QueueState::Running {
            return Err(Refusal::NotThere);
        }
        if sq.fields().is_some_and(|fields| fields.rand != doorbell.rand) {
            return Err(Refusal::Random);
        }
        // Priority 1 with index 0 looks at the queue again without moving its tail: a restored queue is kicked that way.
        if doorbell.priority & 1 == 0
            && let Some(ring) = sq.ring_mut()
        {
            ring.move_tail(doorbell.index).map_err(Refusal::Index)?;
        }
        let runnable = sq.is_runnable();
        self.set_ready(at, runnable);
        Ok(())
    }

    fn cq_doorbell(&mut self, f: usize, doorbell: Doorbell, place: Place, dma: &mut impl DmaPort) -> Result<(), Refusal> {
        let qn = doorbell.queue;
        if !self.owns(f, qn, place) {
            return Err(Refusal::NotThere);
        }
        let at = self.device_queue(f, qn);
        let cq = &mut self.cq[at];
        let Some(rand) = cq.fields().map(|fields| fields.rand) else { return Err(Refusal::NotThere) };
        if rand != doorbell.rand {
            return Err(Refusal::Random);
        }
        let Some(ring) = cq.ring_mut() else { return Err(Refusal::NotThere) };
        ring.move_head(doorbell.index).map_err(Refusal::Index)?;
        let left = !ring.is_empty();
        if doorbell.arms() {
            // What completed between software's last look and this doorbell must not wait for the next completion.
            cq.armed = !left;
            if left {
                self.raise_event(f, qn, dma);
            }
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn refuse(&mut self, f: usize, place: Place, doorbell: Doorbell, refusal: Refusal, dma: &mut impl DmaPort) {
        bump(&mut self.counters.doorbells_refused);
        let (function, queue, command) = (f as u8, doorbell.queue, doorbell.command);
        let page = match place {
            Place::Page(page) => Some(page),
            Place::Shared | Place::Events => None,
        };
        self.log(match refusal {
            Refusal::Misplaced => Violation::DoorbellMisplaced { function, page, command },
            Refusal::NotThere if self.owns(f, queue, place) => Violation::IdleDoorbell { function, queue },
            Refusal::NotThere => Violation::ForeignDoorbell { function, page, queue },
            Refusal::Random => Violation::WrongRandom { function, queue },
            Refusal::Index(index) => Violation::BadIndex { function, queue, command, index },
            Refusal::EventIndex(index) => Violation::BadIndex { function, queue: 0, command, index },
        });
        let invalid = if doorbell.command == DoorbellCommand::CQ { RAS::CQ_VF_INVALID::SET } else { RAS::SQ_VF_INVALID::SET };
        match refusal {
            Refusal::Misplaced | Refusal::EventIndex(_) => {}
            Refusal::NotThere => self.raise(invalid.value, dma),
            Refusal::Random => self.raise(RAS::DB_RANDOM_INVALID::SET.value, dma),
            Refusal::Index(_) => {
                self.raise(invalid.value, dma);
                self.halt_queue(f, doorbell.queue, AeqeType::CQE_ERROR, dma);
            }
        }
    }

    /// Halts a queue and reports it.
    pub(crate) fn halt_queue(&mut self, f: usize, qn: u16, kind: AeqeType, dma: &mut impl DmaPort) {
        let at = self.device_queue(f, qn);
        let sq = &mut self.sq[at];
        if matches!(sq.state(), QueueState::Running | QueueState::Stopping) {
            sq.halt();
            self.set_ready(at, false);
            self.raise_async_event(f, qn, kind, dma);
            self.poll_stop();
        }
    }
}
