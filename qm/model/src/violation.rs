//! What software did against the queue manager's rules.
//!
//! The model goes on as hardware would, and keeps a record that names the rule. What a process can do from its own doorbell page is marked: no
//! driver can keep it from doing that, so it says nothing about the driver.

use qm_spec::{BadIndex, DoorbellCommand, MailboxCommand, MailboxStatus};

use crate::QmModel;
use crate::counters::bump;

/// One broken rule. Numbers of queues are the function's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    /// A store to the mailbox window that is not one 128-bit store. It started nothing.
    TornMailbox {
        /// Function.
        function: u8,
        /// Offset of the store.
        offset: u64,
        /// Its width in bytes.
        bytes: u8,
    },
    /// A command while another had not ended. Dropped.
    MailboxWhileBusy {
        /// Function.
        function: u8,
        /// The command that was dropped.
        command: MailboxCommand,
    },
    /// A command that the model refused for what it said.
    MailboxRefused {
        /// Function.
        function: u8,
        /// Command.
        command: MailboxCommand,
        /// Status that it ended with.
        status: MailboxStatus,
    },
    /// The context of a queue was loaded over one that still has work. The work is dropped.
    ContextWhileLive {
        /// Function.
        function: u8,
        /// SQC or CQC.
        command: MailboxCommand,
        /// Queue.
        queue: u16,
    },
    /// The context of an event queue was loaded while queues of the function run.
    EventContextWhileLive {
        /// Function.
        function: u8,
        /// EQC or AEQC.
        command: MailboxCommand,
    },
    /// The share of a function changed while queues of it are in use. Their work is dropped.
    ShareWhileLive {
        /// Function.
        function: u8,
    },
    /// A share that names queues of another function. Not taken.
    ShareOverlaps {
        /// Function that it was for.
        function: u8,
    },
    /// A VFT operation before the internal memory was initialised. It never becomes ready.
    VftBeforeMemory,
    /// A VFT operation on top of one that software has not seen to end.
    VftWhileBusy,
    /// The internal memory was cleared while queues are in use. Their work is dropped.
    MemoryInitWhileLive,
    /// The platform reset the device before its transactions had returned.
    ResetWhileBusy,
    /// A virtual function wrote a register that only the physical one has. Ignored.
    PhysicalRegister {
        /// Function.
        function: u8,
        /// Offset.
        offset: u64,
    },
    /// A store at a doorbell or in its page that is not one aligned 64-bit store to it. It rang nothing.
    DoorbellShape {
        /// Function.
        function: u8,
        /// Queue of the page; `None` in BAR2.
        page: Option<u16>,
        /// Width in bytes.
        bytes: u8,
    },
    /// A doorbell whose command does not belong to its place, or of an event queue that does not exist. Dropped.
    DoorbellMisplaced {
        /// Function.
        function: u8,
        /// Queue of the page; `None` in BAR2.
        page: Option<u16>,
        /// Command.
        command: DoorbellCommand,
    },
    /// A doorbell for a queue that is not the page's, or not the function's. Dropped.
    ForeignDoorbell {
        /// Function.
        function: u8,
        /// Queue of the page; `None` in BAR2.
        page: Option<u16>,
        /// Queue that it names.
        queue: u16,
    },
    /// A doorbell for a queue that does not run. Dropped.
    IdleDoorbell {
        /// Function.
        function: u8,
        /// Queue.
        queue: u16,
    },
    /// A doorbell whose random data are not the context's. Dropped.
    WrongRandom {
        /// Function.
        function: u8,
        /// Queue.
        queue: u16,
    },
    /// A doorbell with an impossible position. A queue is halted, an event queue stays as it was.
    BadIndex {
        /// Function.
        function: u8,
        /// Queue; 0 for event queues.
        queue: u16,
        /// Which ring.
        command: DoorbellCommand,
        /// What is wrong with it.
        index: BadIndex,
    },
    /// The model was about to reach into the memory of a queue that has been stopped: its own fault, never the software's. Refused.
    AccessAfterStop {
        /// Function.
        function: u8,
        /// Queue.
        queue: u16,
    },
}

impl Violation {
    /// The rule, after the thing that it is about.
    pub const fn clause(&self) -> &'static str {
        match self {
            Self::TornMailbox { .. } => "mailbox: a command is one 128-bit store (B.3)",
            Self::MailboxWhileBusy { .. } => "mailbox: a command is stored while BUSY reads 0 (B.3)",
            Self::MailboxRefused { .. } => "mailbox: a command names what exists, is aligned and contradicts nothing (B.3, C)",
            Self::ContextWhileLive { .. } => "contexts: a queue is drained before its context is loaded again (C.6)",
            Self::EventContextWhileLive { .. } => "contexts: event queues are set up before queues run (C.6)",
            Self::ShareWhileLive { .. } => "VFT: queues are stopped before their share is taken away (F.3)",
            Self::ShareOverlaps { .. } => "VFT: a queue belongs to one function (B.5)",
            Self::VftBeforeMemory => "VFT: follows memory initialisation (B.5)",
            Self::VftWhileBusy => "VFT: one operation at a time, ready is polled before and after (B.5)",
            Self::MemoryInitWhileLive => "memory initialisation: no queue is in use (B.6, F.1)",
            Self::ResetWhileBusy => "platform reset: the bus is drained before it (F.6, step 7)",
            Self::PhysicalRegister { .. } => "register map: offsets from 0x100000 on are the physical function's (B)",
            Self::DoorbellShape { .. } => "doorbells: one 64-bit store (B.4)",
            Self::DoorbellMisplaced { .. } => "doorbells: SQ and CQ at 0x1000, EQ and AEQ at 0x2000 (B.4)",
            Self::ForeignDoorbell { .. } => "doorbells: a page rings its own queue, a function its own queues (A.2, B.7)",
            Self::IdleDoorbell { .. } => "doorbells: a queue is started before it is rung and not rung once it is stopped (F.4)",
            Self::WrongRandom { .. } => "doorbells: random data equal the context's (B.4)",
            Self::BadIndex { .. } => "doorbells: a position is below the depth and overtakes nothing (B.4)",
            Self::AccessAfterStop { .. } => "stop: a stopped queue's memory is not touched (C.6)",
        }
    }

    /// True if a process can do this with the doorbell page of its queue: the driver is not to blame.
    pub const fn comes_from_a_process(&self) -> bool {
        match self {
            Self::DoorbellShape { page, .. } | Self::DoorbellMisplaced { page, .. } | Self::ForeignDoorbell { page, .. } => page.is_some(),
            Self::IdleDoorbell { .. } | Self::WrongRandom { .. } => true,
            Self::BadIndex { command, .. } => command.0 == DoorbellCommand::SQ.0 || command.0 == DoorbellCommand::CQ.0,
            _ => false,
        }
    }
}

impl<const QUEUES: usize, const FUNCTIONS: usize> QmModel<QUEUES, FUNCTIONS> {
    /// Takes the oldest recorded violation; at most 32 are kept, the newest ones.
    pub fn take_violation(&mut self) -> Option<Violation> {
        self.violations.pop_front()
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn log(&mut self, violation: Violation) {
        bump(&mut self.counters.violations);
        if self.violations.is_full() {
            self.violations.pop_front();
        }
        let _ = self.violations.push_back(violation);
    }

    /// True if a queue has work: submitted entries, a task with the engine, an access under way.
    pub(crate) fn has_work(&self, at: usize) -> bool {
        let sq = &self.sq[at];
        !sq.is_quiet() || sq.takes_work() && sq.ring().is_some_and(|ring| !ring.is_empty())
    }

    /// True if a queue is in use: has work or, where queues can be told to stop, has not been told.
    fn in_use(&self, at: usize) -> bool {
        self.has_work(at) || self.offers(qm_spec::CAP_FUNCTIONS::STOP_QP::SET.value) && self.sq[at].takes_work()
    }

    /// True if any queue of a function is in use.
    pub(crate) fn share_in_use(&self, f: usize) -> bool {
        self.functions[f].queues().any(|at| self.in_use(at))
    }
}

#[cfg(test)]
mod tests {
    use hal::{DmaError, DmaPort, Iova, Requester, StreamId};
    use qm_spec::{QmVersion, SqcFields};

    use super::*;
    use crate::QmConfig;
    use crate::queue::Stage;

    /// A bus on which nothing may be seen.
    struct Silent;

    impl DmaPort for Silent {
        fn read(&mut self, _: Requester, from: Iova, _: &mut [u8]) -> Result<(), DmaError> {
            panic!("a read of {from:?}")
        }
        fn write(&mut self, _: Requester, to: Iova, _: &[u8]) -> Result<(), DmaError> {
            panic!("a write of {to:?}")
        }
    }

    /// Nothing from outside leads here, so the state is bent from inside: a stopped queue with an access left over.
    #[test]
    fn qm_a_stopped_queues_memory_is_out_of_the_models_own_reach() {
        for stage in [Stage::Fetch(tag()), Stage::WriteBack(tag()), Stage::Complete(tag())] {
            let mut model = QmModel::<2, 1>::new(QmConfig::new(QmVersion::V3, StreamId(0), 0xa250));
            let fields = SqcFields { tail: 1, ..SqcFields::fresh(0, Iova(0x1000), 4, 7, 0) };
            assert!(model.sq[0].load(fields, 2, 0));
            model.sq[0].halt();
            model.sq[0].stage = stage;
            model.resume_queue(0, hal::Verdict::Retry, &mut Silent);
            assert_eq!(model.take_violation(), Some(Violation::AccessAfterStop { function: 0, queue: 0 }), "{stage:?}");
        }
    }

    const fn tag() -> hal::StallTag {
        hal::StallTag { stream: StreamId(0), stag: 1 }
    }
}
