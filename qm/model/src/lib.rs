//! The HiSilicon queue manager (QM) as hardware: one function's registers, queues, events, interrupts and configuration space.
//!
//! [`QmModel`] is a value. It owns no memory: contexts, entries, events and interrupt messages travel through the [`DmaPort`] of the call.
//! Every access may stall; the model then keeps what it was about to do and goes on in [`QmModel::resume`]. It knows no engine: firmware
//! takes a [`Task`] out, runs it, and gives it back.
//!
//! Everything written to the model is hostile. Offsets are answered on purpose: what has no register reads 0 and is counted. Section
//! letters are those of the project's fact file on the QM. Rules that the file leaves open, and the answers chosen here:
//!
//! * A bad doorbell index (at or past the depth, or one that overtakes) halts the queue it names and reports an asynchronous event of
//!   type 2 for it. It does not set bit 10: that bit makes drivers reset the controller, and user space must not be able to cause that.
//! * A doorbell to a queue that is not running, or through the page of another queue, is dropped and recorded in bit 9 (SQ) or 8 (CQ).
//! * A ring holds at most `depth − 1` entries. One completion more is a CQ overflow and halts the queue; one event more is an EQ overflow,
//!   and the event queue then stands still until its context is loaded again. Asynchronous events wait inside until there is room.
//! * STOP_QP lets the queue finish what was submitted, takes no new doorbells, and leaves the mailbox busy until then.
//! * Clearing memory, loading a context and stopping end a queue's life; a result of an earlier life is dropped.
#![no_std]
#![forbid(unsafe_code)]

mod bus;
mod config;
mod counters;
mod doorbell;
mod event;
mod interrupt;
mod mailbox;
mod pci;
mod queue;
mod ready;
mod registers;
mod task;
mod vft;
mod writeback;

pub use config::QmConfig;
pub use counters::Counters;
pub use task::{Completion, Task};

use hal::{DmaPort, StallTag, Verdict};

use counters::HardwareCounters;
use event::{AsyncFifo, EventFifo, EventRing};
use interrupt::{Msi, Ras};
use mailbox::MailboxState;
use pci::PciSpace;
use queue::{CompletionQueue, QueueState, SubmissionQueue};
use ready::ReadySet;
use registers::{Latency, Storage};
use vft::Vft;
use writeback::WriteBack;

/// A memory BAR of the function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bar {
    /// Registers.
    Bar2,
    /// Doorbell pages, one of 64 KiB per queue.
    Bar4,
}

/// One function of a queue manager of a device with `QUEUES` queues, 1 to 1024.
pub struct QmModel<const QUEUES: usize = 1024> {
    config: QmConfig,
    pci: PciSpace,
    msi: Msi,
    ras: Ras,
    storage: Storage,
    memory_ready: Latency,
    vft: Vft,
    mailbox: MailboxState,
    write_back: WriteBack,
    sq: [SubmissionQueue; QUEUES],
    cq: [CompletionQueue; QUEUES],
    eq: EventRing,
    aeq: EventRing,
    events: EventFifo<QUEUES>,
    async_events: AsyncFifo<QUEUES>,
    ready: ReadySet,
    hardware: HardwareCounters,
    counters: Counters,
}

impl<const QUEUES: usize> QmModel<QUEUES> {
    /// Makes a function in its reset state.
    ///
    /// # Panics
    /// If `QUEUES` is 0 or more than 1024; at compile time where the value is a constant.
    pub const fn new(config: QmConfig) -> Self {
        assert!(QUEUES >= 1 && QUEUES <= qm_spec::MAX_QUEUES as usize);
        Self {
            pci: PciSpace::new(),
            msi: Msi::new(),
            ras: Ras::new(),
            storage: Storage::new(),
            memory_ready: Latency::never(),
            vft: Vft::new(),
            mailbox: MailboxState::new(),
            write_back: WriteBack::new(),
            sq: [const { SubmissionQueue::new() }; QUEUES],
            cq: [const { CompletionQueue::new() }; QUEUES],
            eq: EventRing::new(),
            aeq: EventRing::new(),
            events: EventFifo::new(),
            async_events: AsyncFifo::new(),
            ready: ReadySet::new(),
            hardware: HardwareCounters::new(),
            counters: Counters::new(),
            config,
        }
    }

    /// The configuration.
    pub const fn config(&self) -> &QmConfig {
        &self.config
    }

    /// What the model counted that hardware keeps no register for.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Puts everything behind configuration space back to its reset state. Tasks that the engine still holds are dropped when they come back.
    pub fn reset(&mut self) {
        self.msi.forget();
        self.ras = Ras::new();
        self.storage = Storage::new();
        self.memory_ready = Latency::never();
        self.mailbox = MailboxState::new();
        self.write_back = WriteBack::new();
        self.clear_queues();
        self.hardware = HardwareCounters::new();
    }

    /// Ends every queue and forgets who owns what, as clearing the internal memory does.
    fn clear_queues(&mut self) {
        self.vft = Vft::new();
        self.eq = EventRing::new();
        self.aeq = EventRing::new();
        self.events = EventFifo::new();
        self.async_events = AsyncFifo::new();
        self.ready = ReadySet::new();
        for sq in &mut self.sq {
            sq.end_life();
        }
        for cq in &mut self.cq {
            *cq = CompletionQueue::new();
        }
    }

    /// Number of queues that the VFT gives this function; 0 while it is not valid.
    pub fn queue_count(&self) -> u16 {
        self.vft.share()
    }

    /// Goes on with the access that waited for `tag`; false if none did.
    pub fn resume(&mut self, tag: StallTag, verdict: Verdict, dma: &mut impl DmaPort) -> bool {
        if self.mailbox.waits_for(tag) {
            self.resume_mailbox(verdict, dma);
        } else if self.write_back.waits_for(tag) {
            self.resume_write_back(verdict, dma);
        } else if self.eq.waits_for(tag) {
            self.resume_event(verdict, dma);
        } else if self.aeq.waits_for(tag) {
            self.resume_async_event(verdict, dma);
        } else if self.msi.waits_for(tag) {
            self.resume_message(tag, verdict, dma);
        } else if let Some(qn) = self.sq.iter().position(|sq| sq.waits_for(tag)) {
            self.resume_queue(qn as u16, verdict, dma);
        } else {
            return false;
        }
        true
    }

    /// True if one of the model's own accesses waits for this stall.
    pub fn waits_for(&self, tag: StallTag) -> bool {
        self.mailbox.waits_for(tag)
            || self.write_back.waits_for(tag)
            || self.eq.waits_for(tag)
            || self.aeq.waits_for(tag)
            || self.msi.waits_for(tag)
            || self.sq.iter().any(|sq| sq.waits_for(tag))
    }

    /// True if configuration space lets the function emit transactions.
    pub fn bus_master(&self) -> bool {
        self.pci.bus_master()
    }

    /// True if the function starts new transactions: bus master on, AXI master open, no error that freezes the bus, memory initialised.
    #[inline(never)]
    fn issues(&self) -> bool {
        self.pci.bus_master() && self.storage.am_open() && !self.frozen() && self.memory_ready.is_done()
    }

    /// True while an error stands that freezes the AXI master.
    fn frozen(&self) -> bool {
        self.ras.source() & self.shutdown_errors() != 0
    }

    /// True if no task is with the engine and no access of a queue is under way.
    pub fn is_idle(&self) -> bool {
        self.sq.iter().all(SubmissionQueue::is_quiet)
    }

    /// State and positions of a queue, for debuggers and tests; `None` past the device's queues.
    pub fn queue_view(&self, qn: u16) -> Option<QueueView> {
        let sq = self.sq.get(usize::from(qn))?;
        let cq = self.cq.get(usize::from(qn))?;
        Some(QueueView {
            running: sq.state() == QueueState::Running,
            halted: sq.state() == QueueState::Halted,
            sq_head: sq.ring().map_or(0, |r| r.head()),
            sq_tail: sq.ring().map_or(0, |r| r.tail()),
            cq_head: cq.ring().map_or(0, |r| r.head()),
            cq_tail: cq.ring().map_or(0, |r| r.tail()),
            generation: sq.generation(),
        })
    }
}

/// A queue seen from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueView {
    /// Takes doorbells.
    pub running: bool,
    /// Stopped by an error of its own.
    pub halted: bool,
    /// Oldest unfinished submission.
    pub sq_head: u16,
    /// Next free submission slot.
    pub sq_tail: u16,
    /// Next completion that software will consume.
    pub cq_head: u16,
    /// Next completion slot.
    pub cq_tail: u16,
    /// Life counter.
    pub generation: u32,
}
