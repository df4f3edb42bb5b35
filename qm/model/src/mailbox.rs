//! The mailbox: commands, their results, and those that take time.

use hal::{DmaError, DmaPort, Iova, StallTag, Verdict};
use qm_spec::{
    CAP_FUNCTIONS, CONTEXT_BYTES, CqcFields, EqcFields, MB_W0, Mailbox, MailboxCommand, MailboxOp, MailboxStatus, QmVersion, RAS,
    SqcFields, context_from_bytes, context_to_bytes,
};

use crate::counters::bump;
use crate::registers::Latency;
use crate::{QmModel, Violation};

/// What a running command waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pending {
    Nothing,
    /// Its access stalled.
    Bus(Mailbox, StallTag),
    /// One queue must drain.
    Drain(Mailbox),
    /// All queues must drain.
    DrainAll(Mailbox),
}

/// The 128-bit window and the command in it.
pub struct MailboxState {
    words: [u32; 4],
    pending: Pending,
    finished: Latency,
    sqc_table: Option<Iova>,
    cqc_table: Option<Iova>,
}

/// How far a command got.
enum Progress {
    Done(MailboxStatus),
    Waits(Pending),
}
use Progress::{Done, Waits};

impl MailboxState {
    pub const fn new() -> Self {
        Self { words: [0; 4], pending: Pending::Nothing, finished: Latency::done(), sqc_table: None, cqc_table: None }
    }
    pub fn waits_for(&self, tag: StallTag) -> bool {
        matches!(self.pending, Pending::Bus(_, t) if t == tag)
    }
    /// Reads a word of the window; word 0 shows BUSY until the command has ended.
    pub fn read(&mut self, word: usize) -> u32 {
        let value = self.words[word % 4];
        let busy = word == 0 && (self.pending != Pending::Nothing || !self.finished.poll());
        if busy { value | MB_W0::BUSY::SET.value } else { value }
    }
    fn is_busy(&self) -> bool {
        self.pending != Pending::Nothing || !self.finished.is_done()
    }
    /// Base of the SQC and CQC backing tables.
    pub const fn tables(&self) -> (Option<Iova>, Option<Iova>) {
        (self.sqc_table, self.cqc_table)
    }
}

impl<const QUEUES: usize, const FUNCTIONS: usize> QmModel<QUEUES, FUNCTIONS> {
    /// Takes the 128-bit store of a command.
    pub(crate) fn mailbox_command(&mut self, f: usize, low: u64, high: u64, dma: &mut impl DmaPort) {
        if self.functions[f].mailbox.is_busy() {
            bump(&mut self.counters.mailbox_overruns);
            let command = Mailbox::decode(low, high).command;
            self.log(Violation::MailboxWhileBusy { function: f as u8, command });
            return;
        }
        self.functions[f].mailbox.words = [low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32];
        if low & u64::from(MB_W0::BUSY::SET.value) == 0 {
            // Without BUSY the store fills the window and starts nothing.
            return;
        }
        bump(&mut self.functions[f].mailboxes);
        let mailbox = Mailbox::decode(low, high);
        let progress = self.execute(f, mailbox, None, dma);
        if let Done(status) = progress
            && !matches!(status, MailboxStatus::SUCCESS | MailboxStatus::BUS_ERROR)
        {
            self.log(Violation::MailboxRefused { function: f as u8, command: mailbox.command, status });
        }
        self.settle(f, progress);
    }

    /// Flags a store that is not one 128-bit store. It starts nothing and leaves the window as it was.
    pub(crate) fn torn_mailbox(&mut self, f: usize, offset: u64, bytes: u8) {
        bump(&mut self.counters.torn_mailboxes);
        self.log(Violation::TornMailbox { function: f as u8, offset, bytes });
    }

    pub(crate) fn resume_mailbox(&mut self, f: usize, verdict: Verdict, dma: &mut impl DmaPort) {
        if let Pending::Bus(mailbox, _) = self.functions[f].mailbox.pending {
            let progress = self.execute(f, mailbox, Some(verdict), dma);
            self.settle(f, progress);
        }
    }

    /// Ends a command that waits for queues to drain, if they have.
    pub(crate) fn poll_stop(&mut self) {
        for f in 0..FUNCTIONS {
            if let Pending::Drain(mailbox) | Pending::DrainAll(mailbox) = self.functions[f].mailbox.pending {
                let progress = self.drain(f, mailbox);
                self.settle(f, progress);
            }
        }
    }

    fn settle(&mut self, f: usize, progress: Progress) {
        match progress {
            Done(status) => {
                let kept = self.functions[f].mailbox.words[0] & !(MB_W0::BUSY::SET.value | MB_W0::STATUS.mask << MB_W0::STATUS.shift);
                self.functions[f].mailbox.words[0] = kept | MB_W0::STATUS.val(status.0.into()).value;
                self.functions[f].mailbox.pending = Pending::Nothing;
                self.functions[f].mailbox.finished = Latency::after(self.config.latency_reads);
            }
            Waits(pending) => self.functions[f].mailbox.pending = pending,
        }
    }

    fn execute(&mut self, f: usize, mailbox: Mailbox, verdict: Option<Verdict>, dma: &mut impl DmaPort) -> Progress {
        use MailboxCommand as C;
        if !self.memory_ready.is_done() {
            return Done(MailboxStatus::NOT_READY);
        }
        match (mailbox.command, mailbox.op) {
            (C::SQC | C::CQC, _) if mailbox.queue >= self.share_of(f) => {
                let invalid = if mailbox.command == C::SQC { RAS::SQ_VF_INVALID::SET } else { RAS::CQ_VF_INVALID::SET };
                self.raise(invalid.value, dma);
                Done(MailboxStatus::BAD_QUEUE)
            }
            (C::SQC, MailboxOp::Write) if self.functions[f].mailbox.sqc_table.is_none() => Done(MailboxStatus::NOT_READY),
            (C::CQC, MailboxOp::Write) if self.functions[f].mailbox.cqc_table.is_none() => Done(MailboxStatus::NOT_READY),
            (C::SQC | C::CQC | C::EQC | C::AEQC, MailboxOp::Write) => self.load_context(f, mailbox, verdict, dma),
            (C::SQC | C::CQC | C::EQC | C::AEQC, MailboxOp::Read) => self.dump_context(f, mailbox, verdict, dma),
            (C::SQC_BT | C::CQC_BT, MailboxOp::Write) => {
                let base = Iova(mailbox.base);
                if !base.is_aligned(CONTEXT_BYTES as u64) {
                    return Done(MailboxStatus::MISALIGNED);
                }
                let table = if mailbox.command == C::SQC_BT {
                    &mut self.functions[f].mailbox.sqc_table
                } else {
                    &mut self.functions[f].mailbox.cqc_table
                };
                *table = Some(base);
                Done(MailboxStatus::SUCCESS)
            }
            (C::SQC_BT | C::CQC_BT, MailboxOp::Read) => {
                let table =
                    if mailbox.command == C::SQC_BT { self.functions[f].mailbox.sqc_table } else { self.functions[f].mailbox.cqc_table };
                self.return_data(f, table.map_or(0, |base| base.0))
            }
            (C::SQC_VFT, MailboxOp::Read) => self.return_data(f, self.vft.entry(f)),
            (C::STOP_QP, MailboxOp::Write) if self.offers(CAP_FUNCTIONS::STOP_QP::SET.value) => {
                if mailbox.queue >= self.share_of(f) {
                    return Done(MailboxStatus::BAD_QUEUE);
                }
                let at = self.device_queue(f, mailbox.queue);
                self.sq[at].begin_stop();
                self.drain(f, mailbox)
            }
            (C::FLUSH_QM, MailboxOp::Write) if self.offers(CAP_FUNCTIONS::FLUSH_QM::SET.value) => {
                for sq in &mut self.sq[self.functions[f].queues()] {
                    sq.begin_stop();
                }
                self.drain(f, mailbox)
            }
            (C::SRC, MailboxOp::Write) if self.offers(CAP_FUNCTIONS::PF_VF::SET.value) => {
                Done(self.post_peer_message(f, mailbox.queue, mailbox.base))
            }
            (C::DST, _) if self.offers(CAP_FUNCTIONS::PF_VF::SET.value) => match self.peer_message(f, mailbox.queue) {
                Some(message) => self.return_data(f, message),
                None => Done(MailboxStatus::NO_PEER),
            },
            _ => Done(MailboxStatus::UNSUPPORTED),
        }
    }

    pub(crate) fn offers(&self, function: u32) -> bool {
        self.config.version == QmVersion::V3 && self.config.capability.functions & function != 0
    }

    fn drain(&mut self, f: usize, mailbox: Mailbox) -> Progress {
        if mailbox.command == MailboxCommand::STOP_QP {
            let at = self.device_queue(f, mailbox.queue);
            if self.sq[at].try_end_stop() { Done(MailboxStatus::SUCCESS) } else { Waits(Pending::Drain(mailbox)) }
        } else {
            let mut drained = true;
            for sq in &mut self.sq[self.functions[f].queues()] {
                drained &= sq.try_end_stop();
            }
            if drained { Done(MailboxStatus::SUCCESS) } else { Waits(Pending::DrainAll(mailbox)) }
        }
    }

    fn return_data(&mut self, f: usize, data: u64) -> Progress {
        self.functions[f].mailbox.words[1] = data as u32;
        self.functions[f].mailbox.words[2] = (data >> 32) as u32;
        Done(MailboxStatus::SUCCESS)
    }

    fn load_context(&mut self, f: usize, mailbox: Mailbox, verdict: Option<Verdict>, dma: &mut impl DmaPort) -> Progress {
        let at = Iova(mailbox.base);
        if !at.is_aligned(CONTEXT_BYTES as u64) {
            return Done(MailboxStatus::MISALIGNED);
        }
        let mut bytes = [0; CONTEXT_BYTES];
        match self.access(f, verdict).read(dma, at, &mut bytes) {
            Ok(()) => {}
            Err(DmaError::Stalled(tag)) => {
                bump(&mut self.counters.stalls);
                return Waits(Pending::Bus(mailbox, tag));
            }
            Err(DmaError::Abort) => {
                self.read_refused(dma);
                return Done(MailboxStatus::BUS_ERROR);
            }
        }
        let words = context_from_bytes(&bytes);
        let version = self.config.version;
        let queues = self.share_of(f);
        let qn = mailbox.queue;
        let at_queue = self.device_queue(f, qn);
        let command = mailbox.command;
        if matches!(command, MailboxCommand::EQC | MailboxCommand::AEQC) {
            if self.share_in_use(f) {
                self.log(Violation::EventContextWhileLive { function: f as u8, command });
            }
        } else if self.has_work(at_queue) {
            self.log(Violation::ContextWhileLive { function: f as u8, command, queue: qn });
        }
        let loaded = match mailbox.command {
            MailboxCommand::SQC => {
                // The set of another priority may hold the queue from an earlier life.
                self.set_ready(at_queue, false);
                let sq = &mut self.sq[at_queue];
                let loaded = sq.load(SqcFields::decode(&words, version), queues, f as u8);
                let runnable = sq.is_runnable();
                self.set_ready(at_queue, runnable);
                loaded
            }
            MailboxCommand::CQC => self.cq[at_queue].load(CqcFields::decode(&words, version)),
            MailboxCommand::EQC => self.load_eqc(f, EqcFields::decode(&words)),
            _ => self.load_aeqc(f, EqcFields::decode(&words)),
        };
        Done(if loaded { MailboxStatus::SUCCESS } else { MailboxStatus::BAD_CONTEXT })
    }

    fn dump_context(&mut self, f: usize, mailbox: Mailbox, verdict: Option<Verdict>, dma: &mut impl DmaPort) -> Progress {
        let at = Iova(mailbox.base);
        if !at.is_aligned(CONTEXT_BYTES as u64) {
            return Done(MailboxStatus::MISALIGNED);
        }
        let qn = self.device_queue(f, mailbox.queue);
        let words = match mailbox.command {
            MailboxCommand::SQC => self.sq[qn].context(self.config.version),
            MailboxCommand::CQC => self.cq[qn].context(self.config.version),
            MailboxCommand::EQC => self.functions[f].eq.context(),
            _ => self.functions[f].aeq.context(),
        };
        match self.access(f, verdict).write(dma, at, &context_to_bytes(&words)) {
            Ok(()) => Done(MailboxStatus::SUCCESS),
            Err(DmaError::Stalled(tag)) => {
                bump(&mut self.counters.stalls);
                Waits(Pending::Bus(mailbox, tag))
            }
            Err(DmaError::Abort) => {
                self.write_refused(dma);
                Done(MailboxStatus::BUS_ERROR)
            }
        }
    }
}
