//! Life of a queue: taken, configured, started, stopped, given back.

use hal::{Barriers, Clock, DmaBuffer, DmaMapper, QueueId, Region, RegionBacking, RegionKind, RegisterWindow, SubstreamId, poll_until};
use qm_spec::regs::{DOORBELL_OFFSET, DOORBELL_PAGE_BYTES};
use qm_spec::{
    Arm, CqcFields, Doorbell, DoorbellCommand, DoorbellLayout, DusLayout, Mailbox, MailboxCommand, MailboxOp, ORDER_CLOSE, PhaseRing,
    QmVersion, SqcFields, ioctl,
};

use crate::{MailboxError, Qm, QmError, QmState};

/// Where a queue stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QpState {
    /// Nobody has it.
    Free,
    /// Taken, not served by the device.
    Init,
    /// Served by the device.
    Started,
    /// A stop was sent and has not ended: the device may still use its memory.
    Stopping,
}

/// One queue.
pub struct Qp<B> {
    pub(crate) state: QpState,
    pub(crate) block: Option<B>,
    alg_type: u8,
    substream: Option<SubstreamId>,
    /// Its holder has given it back, though the device may still use its memory: free as soon as that has ended.
    is_orphan: bool,
    /// Next free submission slot and outstanding entries, of a queue that the kernel itself drives.
    pub(crate) tail: u16,
    pub(crate) used: u16,
    /// The device has written to the block since it was taken.
    was_started: bool,
    /// The block holds zeroes: it was wiped when the queue was given back.
    is_wiped: bool,
    /// Consumer position of a queue that the kernel drives.
    pub(crate) cq: Option<PhaseRing>,
    /// The kernel's own look at a queue that a process drives.
    pub(crate) shadow: Option<PhaseRing>,
}

impl<B> Qp<B> {
    pub(crate) const fn new() -> Self {
        Self {
            state: QpState::Free,
            block: None,
            alg_type: 0,
            substream: None,
            is_orphan: false,
            tail: 0,
            used: 0,
            was_started: false,
            is_wiped: false,
            cq: None,
            shadow: None,
        }
    }

    /// Slot of the oldest outstanding entry, in a ring of `depth` entries.
    pub(crate) const fn oldest(&self, depth: u16) -> u16 {
        if self.tail >= self.used { self.tail - self.used } else { depth - self.used + self.tail }
    }

    /// The device has let go of the queue. One that was given back already is free, and nobody waits for its requests.
    pub(crate) const fn is_released(&mut self) {
        self.state = QpState::Init;
        if self.is_orphan {
            self.state = QpState::Free;
            self.is_orphan = false;
            self.used = 0;
        }
    }

    /// Takes the memory of a queue that the device cannot reach any more.
    pub(crate) fn take_block(&mut self) -> Option<B> {
        if self.state == QpState::Stopping { None } else { self.block.take() }
    }
}

impl<B: DmaBuffer> Qp<B> {
    /// Completions in memory that the kernel has not taken, at most as many as are outstanding.
    pub(crate) fn unseen(&self, layout: &DusLayout, memory: &impl Barriers) -> u16 {
        let (Some(block), Some(mut cq)) = (&self.block, self.cq) else { return 0 };
        let mut unseen = 0;
        while unseen < self.used {
            let at = layout.cq_offset() + usize::from(cq.head()) * qm_spec::CQE_BYTES;
            if !cq.is_new(qm_spec::Cqe::phase_of(block.read32(at + 12))) {
                break;
            }
            // The next entry may not be older than this one.
            memory.dma_rmb();
            cq.advance();
            unseen += 1;
        }
        unseen
    }
}

/// What a closed context demands of doorbells: nobody rings with it.
const SPOILT_RAND: u16 = 0xaaaa;

impl<W: RegisterWindow, C: Clock, M: DmaMapper, const QUEUES: usize> Qm<W, C, M, QUEUES> {
    pub(crate) fn qp(&self, queue: QueueId) -> Result<&Qp<M::Buffer>, QmError> {
        match self.queues.get(usize::from(queue.0)) {
            Some(qp) if queue.0 < self.queue_count => Ok(qp),
            _ => Err(QmError::NoSuchQueue),
        }
    }

    pub(crate) fn qp_mut(&mut self, queue: QueueId) -> Result<&mut Qp<M::Buffer>, QmError> {
        match self.queues.get_mut(usize::from(queue.0)) {
            Some(qp) if queue.0 < self.queue_count => Ok(qp),
            _ => Err(QmError::NoSuchQueue),
        }
    }

    /// State of a queue; `Free` for one that does not exist.
    pub fn queue_state(&self, queue: QueueId) -> QpState {
        self.qp(queue).map_or(QpState::Free, |qp| qp.state)
    }

    /// Queues that can be taken now.
    pub fn available(&self) -> u32 {
        let free = |qp: &&Qp<M::Buffer>| qp.state == QpState::Free;
        if self.state == QmState::Started && !self.isolated {
            self.queues[..usize::from(self.queue_count)].iter().filter(free).count() as u32
        } else {
            0
        }
    }

    /// Takes the next free queue, in turn. With a substream its requests use that address space. Its memory holds zeroes: it was wiped when an
    /// earlier owner gave it back.
    ///
    /// # Errors
    /// [`QmError::NoFreeQueue`], [`QmError::Alloc`], [`QmError::Invalid`] for a substream of more than 16 bits, [`QmError::WrongFunctionState`].
    pub fn get_queue(&mut self, substream: Option<SubstreamId>) -> Result<QueueId, QmError> {
        let result = self.try_get_queue(substream);
        if result.is_err() {
            self.statistics.create_qp_errors = self.statistics.create_qp_errors.wrapping_add(1);
        }
        result
    }

    fn try_get_queue(&mut self, substream: Option<SubstreamId>) -> Result<QueueId, QmError> {
        if self.state != QmState::Started {
            return Err(QmError::WrongFunctionState(self.state));
        }
        if self.isolated {
            return Err(QmError::Isolated);
        }
        if substream.is_some_and(|pasid| pasid.0 > 0xffff) {
            return Err(QmError::Invalid);
        }
        let count = self.queue_count;
        let next = self.next_queue;
        let mut qn = (0..count).map(|step| (next + step) % count).find(|qn| self.queues[usize::from(*qn)].state == QpState::Free);
        if qn.is_none() {
            // One that was given back before it had stopped may have stopped by now.
            qn = (0..count).find(|qn| self.queues[usize::from(*qn)].is_orphan && self.stop_queue(QueueId(*qn)).is_ok());
        }
        let qn = qn.ok_or(QmError::NoFreeQueue)?;
        // Its own block from an earlier turn, else the one given back last, whatever its number was: the device knows a block by the address in
        // the contexts only.
        let spare = |qp: &mut Qp<M::Buffer>| match qp.state {
            QpState::Free => qp.block.take().map(|block| (block, qp.is_wiped)),
            _ => None,
        };
        let mut found = None;
        for from in [qn, self.last_freed].into_iter().chain(0..count) {
            found = self.queues.get_mut(usize::from(from)).and_then(spare);
            if found.is_some() {
                break;
            }
        }
        let block = match found {
            Some((block, true)) => block,
            Some((block, false)) => {
                block.zero(0, self.layout.len_bytes());
                block
            }
            None => self.mapper.alloc(self.layout.len_bytes(), self.parameters.page_bytes)?,
        };
        self.queues[usize::from(qn)] = Qp { state: QpState::Init, block: Some(block), substream, ..Qp::new() };
        self.next_queue = (qn + 1) % count;
        Ok(QueueId(qn))
    }

    /// Gives a queue back and wipes its memory. One that was not stopped, or would not stop, is kept from everybody until it has, or until a
    /// reset: the device may still use its memory.
    pub fn put_queue(&mut self, queue: QueueId) {
        let len_bytes = self.layout.len_bytes();
        if let Ok(qp) = self.qp_mut(queue) {
            match qp.state {
                QpState::Init => {
                    if let Some(block) = &qp.block {
                        block.zero(0, len_bytes);
                        qp.is_wiped = true;
                    }
                    qp.used = 0;
                    qp.state = QpState::Free;
                    self.last_freed = queue.0;
                }
                QpState::Started | QpState::Stopping => qp.is_orphan = true,
                QpState::Free => {}
            }
        }
    }

    /// Sets the algorithm type of a queue that is not started.
    ///
    /// # Errors
    /// [`QmError::Invalid`], [`QmError::WrongQueueState`], [`QmError::NoSuchQueue`].
    pub fn set_alg_type(&mut self, queue: QueueId, alg_type: u16) -> Result<(), QmError> {
        if alg_type >= u16::from(self.parameters.engine.alg_types) {
            return Err(QmError::Invalid);
        }
        let qp = self.qp_mut(queue)?;
        if qp.state != QpState::Init {
            return Err(QmError::WrongQueueState(qp.state));
        }
        qp.alg_type = alg_type as u8;
        Ok(())
    }

    /// Lets the device serve a queue: CQ zeroed, SQC, then CQC.
    ///
    /// # Errors
    /// [`QmError::Mailbox`], [`QmError::WrongQueueState`], [`QmError::NoSuchQueue`]. If the CQC is refused the SQC is closed again.
    /// [`QmError::Unfinished`] until requests of the queue's last life were taken or cancelled. [`QmError::Resetting`].
    pub fn start_queue(&mut self, queue: QueueId) -> Result<(), QmError> {
        self.must_not_be_resetting()?;
        let layout = self.layout;
        let version = self.parameters.version;
        let depths = self.capabilities.depths;
        let log2_sqe_bytes = self.parameters.engine.log2_sqe_bytes;
        let qp = self.qp_mut(queue)?;
        let (QpState::Init, Some(block)) = (qp.state, &qp.block) else { return Err(QmError::WrongQueueState(qp.state)) };
        if qp.used != 0 {
            return Err(QmError::Unfinished { requests: qp.used });
        }
        // A second start finds the completions of the first, and their phases.
        if qp.was_started {
            block.zero(layout.cq_offset(), layout.cq_bytes());
            block.write64(layout.rx_stop_offset(), 0);
        }
        qp.was_started = true;
        let base = block.device_address();
        qp.tail = 0;
        qp.cq = PhaseRing::new(depths.cq.into());
        qp.shadow = PhaseRing::new(depths.cq.into());
        let pasid = qp.substream.map_or(0, |substream| substream.0 as u16);
        let pasid_enable = version.has_pasid_enable() && qp.substream.is_some();
        let sqc = SqcFields { pasid, pasid_enable, ..SqcFields::fresh(queue.0, base, depths.sq.into(), log2_sqe_bytes, qp.alg_type) };
        let cq_base = base.wrapping_add(layout.cq_offset() as u64);
        let cqc = CqcFields { pasid, pasid_enable, ..CqcFields::fresh(cq_base, depths.cq.into()) };
        let first = self.load_context(MailboxCommand::SQC, queue.0, &sqc.encode(version));
        let second = match first {
            Ok(()) => self.load_context(MailboxCommand::CQC, queue.0, &cqc.encode(version)),
            Err(_) => Ok(()),
        };
        if let Err(error) = second {
            self.close_context(queue, sqc)?;
            return Err(error);
        }
        if let Err(error) = first {
            if matches!(error, QmError::Mailbox(MailboxError::TimedOut { .. } | MailboxError::Mismatch { .. })) {
                self.qp_mut(queue)?.state = QpState::Stopping;
            }
            return Err(error);
        }
        self.qp_mut(queue)?.state = QpState::Started;
        Ok(())
    }

    /// Loads a context that takes nothing. On failure the queue is kept from everybody.
    fn close_context(&mut self, queue: QueueId, sqc: SqcFields) -> Result<(), QmError> {
        let closed = SqcFields { order: sqc.order | ORDER_CLOSE, rand: SPOILT_RAND, ..sqc };
        let version = self.parameters.version;
        let result = self.load_context(MailboxCommand::SQC, queue.0, &closed.encode(version));
        if result.is_err() {
            self.qp_mut(queue)?.state = QpState::Stopping;
        }
        result
    }

    /// Stops a queue and waits until the device has finished what was submitted. Stopping a stopped queue does nothing.
    ///
    /// # Errors
    /// [`QmError::Mailbox`], [`QmError::DrainTimedOut`], [`QmError::Resetting`]: the device may still touch the queue's memory, the queue stays
    /// `Stopping`, and the call can be repeated.
    pub fn stop_queue(&mut self, queue: QueueId) -> Result<(), QmError> {
        let qp = self.qp_mut(queue)?;
        match qp.state {
            QpState::Free => return Err(QmError::WrongQueueState(qp.state)),
            QpState::Init => return Ok(()),
            QpState::Started | QpState::Stopping => qp.state = QpState::Stopping,
        }
        self.must_not_be_resetting()?;
        if self.capabilities.stop_qp {
            let stop = Mailbox { command: MailboxCommand::STOP_QP, op: MailboxOp::Write, queue: queue.0, base: 0 };
            self.mailbox(stop, self.parameters.timeouts.drain)?;
        } else {
            self.drain_by_context(queue)?;
        }
        self.qp_mut(queue)?.is_released();
        Ok(())
    }

    /// Version 2: the queue is drained once as many completions were written as entries were submitted (C.6); then it is closed.
    fn drain_by_context(&mut self, queue: QueueId) -> Result<(), QmError> {
        let version = self.parameters.version;
        let deadline = self.clock.deadline(self.parameters.timeouts.drain);
        loop {
            let late = deadline.has_passed(&self.clock);
            let sqc = SqcFields::decode(&self.dump_context(MailboxCommand::SQC, queue.0)?, version);
            let cqc = CqcFields::decode(&self.dump_context(MailboxCommand::CQC, queue.0)?, version);
            if (sqc.tail, sqc.tail_wrap) == (cqc.tail, cqc.tail_wrap) {
                return self.close_context(queue, SqcFields { head: 0, tail: 0, head_wrap: false, tail_wrap: false, ..sqc });
            }
            if late {
                return Err(QmError::DrainTimedOut);
            }
            self.clock.relax();
        }
    }

    /// Takes a queue with an error out of service: its user is told to submit nothing, the device finishes, its user is told to stop polling.
    ///
    /// # Errors
    /// As [`stop_queue`](Self::stop_queue); the user has then been told both.
    pub fn disable_queue(&mut self, queue: QueueId) -> Result<(), QmError> {
        self.forbid_submissions(queue);
        let result = self.stop_queue(queue);
        self.end_polling(queue);
        result
    }

    /// Sets the TX-stop word.
    pub(crate) fn forbid_submissions(&mut self, queue: QueueId) {
        let offset = self.layout.tx_stop_offset();
        if let Ok(Qp { block: Some(block), .. }) = self.qp(queue) {
            block.write32(offset, 1);
            self.mapper.dma_wmb();
        }
    }

    /// Stops one queue for good, whatever state it is in.
    pub(crate) fn retire_queue(&mut self, qn: u16) -> Result<(), QmError> {
        let queue = QueueId(qn);
        match self.queue_state(queue) {
            QpState::Started | QpState::Stopping => self.disable_queue(queue),
            QpState::Free | QpState::Init => Ok(()),
        }
    }

    /// True if completions arrived since the last call: the kernel's own cursor, at most one lap ahead. Rings no doorbell. A queue that a reset or
    /// an error took out of service is news, too: its stop words say so.
    pub fn is_updated(&mut self, queue: QueueId) -> bool {
        let layout = self.layout;
        let Ok(qp) = self.qp_mut(queue) else { return false };
        if qp.state != QpState::Started {
            return true;
        }
        let (Some(block), Some(shadow)) = (&qp.block, &mut qp.shadow) else { return false };
        let mut updated = false;
        // The process may write the ring too: a lap is all that honest entries can be ahead.
        for _ in 0..shadow.depth_entries() {
            let at = layout.cq_offset() + usize::from(shadow.head()) * qm_spec::CQE_BYTES;
            if !shadow.is_new(qm_spec::Cqe::phase_of(block.read32(at + 12))) {
                break;
            }
            shadow.advance();
            updated = true;
        }
        updated
    }

    /// What stands behind a region of a queue. The doorbell region exists only where doorbells are isolated; elsewhere the page would also hold the
    /// mailbox and everybody's doorbell.
    pub fn region(&self, queue: QueueId, region: Region) -> Option<RegionBacking> {
        let qp = self.qp(queue).ok()?;
        match region {
            Region::Mmio => {
                let base = self.parameters.doorbell_pages.filter(|_| self.capabilities.isolated_doorbells)?;
                let base = base.checked_add(u64::from(queue.0) * DOORBELL_PAGE_BYTES)?;
                Some(RegionBacking { base, len_bytes: DOORBELL_PAGE_BYTES, kind: RegionKind::Device })
            }
            Region::Dus => {
                let base = qp.block.as_ref()?.physical_address()?;
                Some(RegionBacking { base, len_bytes: self.layout.len_bytes() as u64, kind: RegionKind::Memory })
            }
        }
    }

    /// Length in bytes of a region of every queue (A.6).
    pub fn region_len_bytes(&self, region: Region) -> u64 {
        let page = self.parameters.page_bytes as u64;
        match region {
            Region::Mmio if self.capabilities.isolated_doorbells => DOORBELL_PAGE_BYTES,
            Region::Mmio => page + DOORBELL_OFFSET / page * page,
            Region::Dus => self.layout.len_bytes() as u64,
        }
    }

    /// The control calls of a queue file: `SET_QP_CTX` and `SET_QP_INFO`.
    ///
    /// # Errors
    /// [`QmError::Invalid`] for an unknown command, a short argument or an algorithm type that the engine does not have;
    /// [`QmError::WrongQueueState`] once the queue is started.
    pub fn ioctl(&mut self, queue: QueueId, command: u32, arg: &mut [u8]) -> Result<(), QmError> {
        match command {
            ioctl::SET_QP_CTX => {
                let arg = arg.first_chunk_mut::<{ ioctl::SET_QP_CTX_BYTES }>().ok_or(QmError::Invalid)?;
                self.set_alg_type(queue, u16::from_le_bytes([arg[2], arg[3]]))?;
                arg[..2].copy_from_slice(&queue.0.to_le_bytes());
                Ok(())
            }
            ioctl::SET_QP_INFO => {
                self.qp(queue)?;
                let arg = arg.first_chunk_mut::<{ ioctl::SET_QP_INFO_BYTES }>().ok_or(QmError::Invalid)?;
                arg[..4].copy_from_slice(&(1u32 << self.parameters.engine.log2_sqe_bytes).to_le_bytes());
                arg[4..6].copy_from_slice(&self.capabilities.depths.sq.to_le_bytes());
                arg[6..8].copy_from_slice(&self.capabilities.depths.cq.to_le_bytes());
                arg[8..].fill(0);
                Ok(())
            }
            _ => Err(QmError::Invalid),
        }
    }

    /// Rings a queue's doorbell, in its own page where there is one.
    pub(crate) fn ring(&self, doorbell: Doorbell) {
        debug_assert!(matches!(doorbell.command, DoorbellCommand::SQ | DoorbellCommand::CQ));
        let word = doorbell.encode(DoorbellLayout::V2);
        match &self.doorbell_pages {
            Some(pages) if self.capabilities.isolated_doorbells => {
                pages.write64(u64::from(doorbell.queue) * DOORBELL_PAGE_BYTES + DOORBELL_OFFSET, word);
            }
            _ => self.registers.write64(DOORBELL_OFFSET, word),
        }
    }

    /// Asks for one event at the next completion of a queue that the kernel drives.
    ///
    /// # Errors
    /// [`QmError::WrongQueueState`], [`QmError::NoSuchQueue`].
    pub fn arm(&mut self, queue: QueueId) -> Result<(), QmError> {
        let qp = self.qp(queue)?;
        let (QpState::Started, Some(cq)) = (qp.state, &qp.cq) else { return Err(QmError::WrongQueueState(qp.state)) };
        self.ring(Doorbell::cq(queue.0, cq.head(), Arm::NextEvent));
        Ok(())
    }

    /// Flushes the contexts that the device keeps inside to the backing tables.
    ///
    /// # Errors
    /// [`QmError::RegisterTimeout`].
    pub fn write_back_contexts(&mut self) -> Result<(), QmError> {
        use qm_spec::regs::function::{CACHE_WB_DONE, CACHE_WB_START};
        CACHE_WB_START.set(&self.registers, 1);
        let mut seen = 0;
        poll_until(&self.clock, self.parameters.timeouts.register, || {
            seen = CACHE_WB_DONE.get(&self.registers);
            (seen & 1 == 1).then_some(())
        })
        .map_err(|_| QmError::RegisterTimeout { offset: CACHE_WB_DONE.offset(), wanted: 1, seen })
    }

    /// The algorithm version's word for user libraries.
    pub const fn version(&self) -> QmVersion {
        self.parameters.version
    }
}
