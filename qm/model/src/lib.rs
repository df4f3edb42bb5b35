//! The HiSilicon queue manager (QM) as hardware: registers, queues, events, interrupts and configuration space of all its functions.
//!
//! [`QmModel`] is a value. It owns no memory: contexts, entries, events and interrupt messages travel through the [`DmaPort`] of the call.
//! Every access may stall; the model then keeps what it was about to do and goes on in [`QmModel::resume`]. It knows no engine: firmware
//! takes a [`Task`] out, runs it, and gives it back.
//!
//! Everything written to the model is hostile. Offsets are answered on purpose: what has no register reads 0 and is counted. Software that
//! breaks a rule gets what hardware would give it, and a record that names the rule: [`Violation`]. Section letters are those of the project's fact file on the QM. Rules that the file leaves open, and the answers chosen here:
//!
//! * A bad doorbell index (at or past the depth, or one that overtakes) halts the queue it names and reports an asynchronous event of
//!   type 2 for it. It does not set bit 10: that bit makes drivers reset the controller, and user space must not be able to cause that.
//! * A doorbell to a queue that is not running, or through the page of another queue, is dropped and recorded in bit 9 (SQ) or 8 (CQ).
//! * A ring holds at most `depth − 1` entries. One completion more is a CQ overflow and halts the queue; one event more is an EQ overflow,
//!   and the event queue then stands still until its context is loaded again. Asynchronous events wait inside until there is room.
//! * Every function sees a mailbox window of its own. Commands execute one at a time; one that waits, for a drain or for a stalled access, does
//!   not hold up those of other functions.
//! * STOP_QP lets the queue finish what was submitted, takes no new doorbells, and leaves the mailbox busy until then.
//! * Clearing memory, loading a context and stopping end a queue's life; a result of an earlier life is dropped.
#![no_std]
#![forbid(unsafe_code)]

mod ats;
mod bus;
mod config;
mod counters;
mod doorbell;
mod event;
mod function;
mod interrupt;
mod mailbox;
mod pci;
mod queue;
mod ready;
mod registers;
mod shaper;
mod task;
mod vft;
mod violation;
mod writeback;

pub use ats::{PAGE_REQUESTS, PageRequestStatus, PageRequests};
pub use config::QmConfig;
pub use counters::Counters;
pub use task::{Completion, Task};
pub use violation::Violation;

use hal::{DmaPort, StallTag, Verdict};
use heapless::Deque;

use counters::{HardwareCounters, bump};
use function::{Function, PF};
use interrupt::Ras;
use queue::{CompletionQueue, QueueState, SubmissionQueue};
use ready::{LEVELS, ReadySet};
use registers::{Latency, Storage};
use vft::Vft;

/// A memory BAR of the function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bar {
    /// Registers.
    Bar2,
    /// Doorbell pages, one of 64 KiB per queue.
    Bar4,
}

/// A queue manager with `QUEUES` queues, 1 to 1024, and `FUNCTIONS` functions: the physical one and up to 63 virtual ones.
///
/// Methods without a function number are the physical function's; those named `function_…` take one.
pub struct QmModel<const QUEUES: usize = 1024, const FUNCTIONS: usize = 1> {
    config: QmConfig,
    functions: [Function<QUEUES>; FUNCTIONS],
    ras: Ras,
    storage: Storage,
    memory_ready: Latency,
    vft: Vft,
    sq: [SubmissionQueue; QUEUES],
    cq: [CompletionQueue; QUEUES],
    ready: [ReadySet; LEVELS],
    /// Members of all ready sets.
    ready_queues: u16,
    /// Functions with members, a bit each.
    ready_functions: u64,
    virtual_now: u64,
    /// IFC_READY_STATUS and IFC_INT_SOURCE_P.
    peers_ready: u64,
    peers_source: u64,
    hardware: HardwareCounters,
    counters: Counters,
    violations: Deque<Violation, 32>,
}

impl<const QUEUES: usize, const FUNCTIONS: usize> QmModel<QUEUES, FUNCTIONS> {
    /// Makes a device in its reset state.
    ///
    /// # Panics
    /// If `QUEUES` is 0 or more than 1024, or `FUNCTIONS` 0 or more than 64, or the configuration offers more virtual functions than there is room
    /// for; at compile time where the values are constants.
    pub const fn new(config: QmConfig) -> Self {
        assert!(QUEUES >= 1 && QUEUES <= qm_spec::MAX_QUEUES as usize);
        assert!(FUNCTIONS >= 1 && FUNCTIONS <= qm_spec::MAX_VFS as usize + 1 && (config.total_vfs as usize) < FUNCTIONS);
        Self {
            functions: [const { Function::new() }; FUNCTIONS],
            ras: Ras::new(),
            storage: Storage::new(),
            memory_ready: Latency::never(),
            vft: Vft::new(),
            sq: [const { SubmissionQueue::new() }; QUEUES],
            cq: [const { CompletionQueue::new() }; QUEUES],
            ready: [const { ReadySet::new() }; LEVELS],
            ready_queues: 0,
            ready_functions: 0,
            virtual_now: 0,
            peers_ready: 0,
            peers_source: 0,
            hardware: HardwareCounters::new(),
            counters: Counters::new(),
            violations: Deque::new(),
            config,
        }
    }

    /// The configuration.
    pub const fn config(&self) -> &QmConfig {
        &self.config
    }

    /// Narrows the PASIDs that the functions can emit, before anybody has looked at the configuration space: 0 takes the capability out.
    pub fn set_pasid_width(&mut self, bits: u8) {
        self.config.pasid_width = bits.min(20);
    }

    /// Makes the part a later one with the same registers: another SUB_VERSION_ID, other words of the engine. For before its first use.
    pub const fn set_sub_version(&mut self, sub_version: u8, engine_capabilities: &'static [(u16, u32)]) {
        self.config.sub_version = sub_version;
        self.config.engine_capabilities = engine_capabilities;
    }

    /// What the model counted that hardware keeps no register for.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The platform's reset: puts everything behind configuration spaces back to its reset state. Tasks that the engine still holds are dropped when
    /// they come back; that there are any breaks a rule.
    pub fn reset(&mut self) {
        if !self.is_drained() {
            self.log(Violation::ResetWhileBusy);
        }
        self.reset_device();
    }

    pub(crate) fn reset_device(&mut self) {
        bump(&mut self.counters.device_resets);
        self.clear_queues();
        for f in 0..FUNCTIONS {
            self.reset_function(f);
            self.functions[f].mailboxes = 0;
            self.functions[f].doorbells = 0;
        }
        self.ras = Ras::new();
        self.storage = Storage::new();
        self.memory_ready = Latency::never();
        self.hardware = HardwareCounters::new();
    }

    /// Ends every queue and forgets who owns what, as clearing the internal memory does.
    fn clear_queues(&mut self) {
        for f in 0..FUNCTIONS {
            self.end_share(f);
            let function = &mut self.functions[f];
            function.forget_events();
            (function.first, function.count, function.virtual_time) = (0, 0, 0);
        }
        self.virtual_now = 0;
        self.vft = Vft::new();
    }

    /// Number of queues that the VFT gives the physical function; 0 while its share is not valid.
    pub fn queue_count(&self) -> u16 {
        self.share_of(PF)
    }

    /// Number of queues that the VFT gives a function.
    pub fn function_queue_count(&self, function: u8) -> u16 {
        self.functions.get(usize::from(function)).map_or(0, |function| function.count)
    }

    /// Function whose own access waits for a stall.
    fn stalled_function(&self, tag: StallTag) -> Option<usize> {
        let f = tag.stream.0.checked_sub(self.config.stream.0)? as usize;
        (f < FUNCTIONS).then_some(f)
    }

    /// Device queue whose own access waits for a stall.
    fn stalled_queue(&self, f: usize, tag: StallTag) -> Option<usize> {
        self.functions[f].queues().find(|at| self.sq[*at].waits_for(tag))
    }

    /// Goes on with every access that waited for `tag`; false if none did. Several can: accesses that the SMMU holds back without a record of their own
    /// share a tag. What stalls anew meanwhile, perhaps under the same tag, waits for the next answer.
    pub fn resume(&mut self, tag: StallTag, verdict: Verdict, dma: &mut impl DmaPort) -> bool {
        let Some(f) = self.stalled_function(tag) else { return false };
        let function = &self.functions[f];
        let [mailbox, write_back, eq, aeq, msi] = [
            function.mailbox.waits_for(tag),
            function.write_back.waits_for(tag),
            function.eq.waits_for(tag),
            function.aeq.waits_for(tag),
            function.msi.waits_for(tag),
        ];
        let mut any = mailbox || write_back || eq || aeq || msi;
        if mailbox {
            self.resume_mailbox(f, verdict, dma);
        }
        if write_back {
            self.resume_write_back(f, verdict, dma);
        }
        if eq {
            self.resume_event(f, verdict, dma);
        }
        if aeq {
            self.resume_async_event(f, verdict, dma);
        }
        if msi {
            self.resume_message(f, tag, verdict, dma);
        }
        // A queue's access is followed by accesses of the same queue only: none comes twice.
        for at in self.functions[f].queues() {
            if self.sq[at].waits_for(tag) {
                self.resume_queue(at, verdict, dma);
                any = true;
            }
        }
        any
    }

    /// True if one of the model's own accesses waits for this stall.
    pub fn waits_for(&self, tag: StallTag) -> bool {
        self.stalled_function(tag).is_some_and(|f| {
            let function = &self.functions[f];
            function.mailbox.waits_for(tag)
                || function.write_back.waits_for(tag)
                || function.eq.waits_for(tag)
                || function.aeq.waits_for(tag)
                || function.msi.waits_for(tag)
                || self.stalled_queue(f, tag).is_some()
        })
    }

    /// True if configuration space lets the physical function emit transactions.
    pub fn bus_master(&self) -> bool {
        self.functions[PF].pci.bus_master()
    }

    /// True if the device starts new transactions: AXI master open, no error that freezes the bus, memory initialised.
    #[inline(never)]
    fn issues(&self) -> bool {
        self.storage.am_open() && !self.frozen() && self.memory_ready.is_done()
    }

    /// True while an error stands that freezes the AXI master.
    fn frozen(&self) -> bool {
        // Nearly always there is none, and the selection is not looked at.
        self.ras.source() != 0 && self.ras.source() & self.shutdown_errors() != 0
    }

    /// True if every transaction has returned: what TRANS_RETURN shows.
    fn is_drained(&self) -> bool {
        self.is_idle() && !self.functions.iter().any(|function| function.msi.is_under_way())
    }

    /// True if no task is with the engine and no access of a queue is under way.
    pub fn is_idle(&self) -> bool {
        self.sq.iter().all(SubmissionQueue::is_quiet)
    }

    /// [`is_idle`](Self::is_idle) for the queues of one function.
    fn function_is_idle(&self, f: usize) -> bool {
        self.sq[self.functions[f].queues()].iter().all(SubmissionQueue::is_quiet)
    }

    /// State and positions of a device queue, for debuggers and tests; `None` past the device's queues. The physical function's own numbers
    /// are the device's while its share begins at 0.
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
