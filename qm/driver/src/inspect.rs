//! What a field engineer looks at: contexts of queues and of the function, decoded, beside what the driver believes (E.5).

use hal::{Clock, DmaMapper, QueueId, RegisterWindow};
use qm_spec::regs::pf;
use qm_spec::{ContextWords, CqcFields, EqcFields, MailboxCommand, SqcFields};

use crate::{Qm, QmError, QmState, QpState, Role};

/// A context as the device has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dump<F> {
    /// The eight words.
    pub words: ContextWords,
    /// The same, decoded.
    pub fields: F,
}

/// One queue, from both sides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueReport {
    /// Queue.
    pub queue: QueueId,
    /// Where the driver believes it to be.
    pub state: QpState,
    /// Requests of the kernel's own that are outstanding.
    pub outstanding: u16,
    /// Submission queue context.
    pub sqc: Dump<SqcFields>,
    /// Completion queue context.
    pub cqc: Dump<CqcFields>,
}

impl QueueReport {
    /// Entries that the device was told of and has not finished.
    pub const fn submitted(&self) -> u32 {
        between(self.sqc.fields.head, self.sqc.fields.tail, self.sqc.fields.depth_entries)
    }
    /// Completions that the device wrote and was not told to be consumed.
    pub const fn unconsumed(&self) -> u32 {
        between(self.cqc.fields.head, self.cqc.fields.tail, self.cqc.fields.depth_entries)
    }
}

const fn between(head: u16, tail: u16, depth_entries: u32) -> u32 {
    let (head, tail) = (head as u32, tail as u32);
    if tail >= head { tail - head } else { (depth_entries + tail).saturating_sub(head) }
}

/// The event queues of a function, and how many of its queues are where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FunctionReport {
    /// Where the function stands.
    pub state: QmState,
    /// Queues that are free, taken, started, stopping.
    pub queues: [u16; 4],
    /// Event queue context.
    pub eqc: Dump<EqcFields>,
    /// Asynchronous event queue context.
    pub aeqc: Dump<EqcFields>,
    /// Where the driver reads both next.
    pub heads: [u16; 2],
}

/// Statistics that the part keeps (B.10); a virtual function has none of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DeviceCounters {
    /// Mailbox commands of the function asked for.
    pub mailboxes: u32,
    /// Doorbells of that function.
    pub doorbells: u32,
    /// Entries handed to the engine.
    pub sent: u32,
    /// Entries written back.
    pub written_back: u32,
    /// Entries that the engine finished.
    pub finished: u32,
    /// Completions, events and asynchronous events written.
    pub written: [u32; 3],
    /// Completions that could not be delivered.
    pub completion_errors: u32,
    /// Single-bit and multi-bit memory errors.
    pub ecc: [u32; 2],
}

impl<W: RegisterWindow, C: Clock, M: DmaMapper, const QUEUES: usize> Qm<W, C, M, QUEUES> {
    /// Dumps both contexts of a queue. The queue goes on meanwhile: the two dumps are of two moments.
    ///
    /// # Errors
    /// [`QmError::NoSuchQueue`], [`QmError::WrongFunctionState`] unless the function is started, [`QmError::Mailbox`].
    pub fn inspect_queue(&mut self, queue: QueueId) -> Result<QueueReport, QmError> {
        let qp = self.qp(queue)?;
        let (state, outstanding) = (qp.state, qp.used);
        self.must_be_started()?;
        let version = self.version();
        let sqc = self.dump_context(MailboxCommand::SQC, queue.0)?;
        let cqc = self.dump_context(MailboxCommand::CQC, queue.0)?;
        Ok(QueueReport {
            queue,
            state,
            outstanding,
            sqc: Dump { words: sqc, fields: SqcFields::decode(&sqc, version) },
            cqc: Dump { words: cqc, fields: CqcFields::decode(&cqc, version) },
        })
    }

    /// Dumps the contexts of the event queues and counts the queues.
    ///
    /// # Errors
    /// [`QmError::WrongFunctionState`] unless the function is started, [`QmError::Mailbox`].
    pub fn inspect_function(&mut self) -> Result<FunctionReport, QmError> {
        self.must_be_started()?;
        let eqc = self.dump_context(MailboxCommand::EQC, 0)?;
        let aeqc = self.dump_context(MailboxCommand::AEQC, 0)?;
        let mut queues = [0; 4];
        for qp in &self.queues[..usize::from(self.queue_count)] {
            let at = match qp.state {
                QpState::Free => 0,
                QpState::Init => 1,
                QpState::Started => 2,
                QpState::Stopping => 3,
            };
            queues[at] += 1;
        }
        Ok(FunctionReport {
            state: self.state,
            queues,
            eqc: Dump { words: eqc, fields: EqcFields::decode(&eqc) },
            aeqc: Dump { words: aeqc, fields: EqcFields::decode(&aeqc) },
            heads: [self.eq, self.aeq].map(|ring| ring.map_or(0, |ring| ring.head())),
        })
    }

    /// Reads the part's statistics, those of `function` where they are kept per function. With `Clear::OnRead` each is 0 afterwards.
    ///
    /// # Errors
    /// [`QmError::Invalid`] on a virtual function, or for a function number past 63.
    pub fn device_counters(&self, function: u8, clear: Clear) -> Result<DeviceCounters, QmError> {
        if self.role != Role::Physical || u16::from(function) > qm_spec::MAX_VFS {
            return Err(QmError::Invalid);
        }
        let registers = &self.registers;
        pf::CNT_CLR_CE.set(registers, u32::from(clear == Clear::OnRead));
        pf::MB_CNT_SELECT.set(registers, function.into());
        pf::DB_CNT_SELECT.set(registers, function.into());
        let counters = DeviceCounters {
            mailboxes: pf::MB_CNT.get(registers),
            doorbells: pf::DB_CNT.get(registers),
            sent: pf::SEND_SQE_TO_ACC_CNT.get(registers),
            written_back: pf::WB_SQE_FROM_ACC_CNT.get(registers),
            finished: pf::ACC_FINISH_CNT.get(registers),
            written: [pf::CQE_OUT_CNT.get(registers), pf::EQE_OUT_CNT.get(registers), pf::AEQE_OUT_CNT.get(registers)],
            completion_errors: pf::CQE_ERR_CNT.get(registers),
            ecc: [pf::ECC_1BIT_CNT.get(registers), pf::ECC_MBIT_CNT.get(registers)],
        };
        pf::CNT_CLR_CE.set(registers, 0);
        Ok(counters)
    }

    fn must_be_started(&self) -> Result<(), QmError> {
        if self.state == QmState::Started { Ok(()) } else { Err(QmError::WrongFunctionState(self.state)) }
    }
}

/// Whether reading a counter clears it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clear {
    /// It stays.
    No,
    /// It is 0 afterwards.
    OnRead,
}
