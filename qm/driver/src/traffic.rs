//! Requests of a queue that the kernel itself drives.

use hal::{Clock, DmaBuffer, DmaMapper, QueueId, RegisterWindow};
use qm_spec::{Arm, CQE_BYTES, Cqe, Doorbell};

use crate::{Qm, QmError, QpState};

impl<W: RegisterWindow, C: Clock, M: DmaMapper, const QUEUES: usize> Qm<W, C, M, QUEUES> {
    /// Submits one entry; returns its slot.
    ///
    /// # Errors
    /// [`QmError::Full`] at `depth − 1` outstanding entries, [`QmError::WrongQueueState`], [`QmError::Invalid`] if the entry has the wrong length.
    pub fn submit(&mut self, queue: QueueId, sqe: &[u32]) -> Result<u16, QmError> {
        let sq_depth = self.capabilities.depths.sq;
        let sqe_bytes = 1usize << self.parameters.engine.log2_sqe_bytes;
        if sqe.len() * 4 != sqe_bytes {
            return Err(QmError::Invalid);
        }
        let offset = self.layout.sq_offset();
        let qp = self.qp_mut(queue)?;
        let (QpState::Started, Some(block)) = (qp.state, &qp.block) else { return Err(QmError::WrongQueueState(qp.state)) };
        if qp.used == sq_depth - 1 {
            return Err(QmError::Full);
        }
        let slot = qp.tail;
        for (index, word) in sqe.iter().enumerate() {
            block.write32(offset + usize::from(slot) * sqe_bytes + index * 4, *word);
        }
        let tail = if slot + 1 == sq_depth { 0 } else { slot + 1 };
        qp.tail = tail;
        qp.used += 1;
        // The entry is in memory before the doorbell tells of it.
        self.mapper.dma_wmb();
        self.ring(Doorbell::sq(queue.0, tail));
        Ok(slot)
    }

    /// Takes the next completion of a queue: copies the finished entry to `sqe` and returns its slot, or `None` if there is nothing new. What
    /// completed before a stop or a reset can still be taken after it.
    ///
    /// # Errors
    /// [`QmError::HostileCompletion`] if the device names another queue or anything but the oldest outstanding entry (queues keep their order,
    /// C.1): nothing is copied, the queue must be stopped. [`QmError::WrongQueueState`] if the queue is not started and nothing of it is
    /// outstanding, [`QmError::Invalid`] if `sqe` has the wrong length.
    pub fn poll_completion(&mut self, queue: QueueId, sqe: &mut [u32]) -> Result<Option<u16>, QmError> {
        let sq_depth = self.capabilities.depths.sq;
        let sqe_bytes = 1usize << self.parameters.engine.log2_sqe_bytes;
        if sqe.len() * 4 != sqe_bytes {
            return Err(QmError::Invalid);
        }
        let layout = self.layout;
        let qp = self.qp(queue)?;
        let served = qp.state == QpState::Started;
        let (true, Some(block), Some(cq)) = (served || qp.used != 0, &qp.block, &qp.cq) else {
            return Err(QmError::WrongQueueState(qp.state));
        };
        let at = layout.cq_offset() + usize::from(cq.head()) * CQE_BYTES;
        let w3 = block.read32(at + 12);
        if !cq.is_new(Cqe::phase_of(w3)) {
            return Ok(None);
        }
        // The rest of the entry, and the submission entry, may not be older than the phase bit.
        self.mapper.dma_rmb();
        let cqe = Cqe::decode(block.read32(at + 8), w3);
        if qp.used == 0 || cqe.sq_head != qp.oldest(sq_depth) || cqe.sq_num != queue.0 {
            return Err(QmError::HostileCompletion { sq_head: cqe.sq_head, sq_num: cqe.sq_num });
        }
        let from = layout.sq_offset() + usize::from(cqe.sq_head) * sqe_bytes;
        for (index, word) in sqe.iter_mut().enumerate() {
            *word = block.read32(from + index * 4);
        }
        let qp = self.qp_mut(queue)?;
        let mut head = 0;
        if let Some(cq) = &mut qp.cq {
            cq.advance();
            head = cq.head();
        }
        if served {
            self.ring(Doorbell::cq(queue.0, head, Arm::No));
        }
        // Only now may the slot be used again: the copy is made.
        self.qp_mut(queue)?.used -= 1;
        Ok(Some(cqe.sq_head))
    }

    /// Ends every request of a stopped queue that has not been taken by [`poll_completion`](Self::poll_completion): calls `cancelled` with its slot,
    /// oldest first. Nobody waits for them any more; the queue can be started again.
    ///
    /// # Errors
    /// [`QmError::WrongQueueState`] while the device may still complete them.
    pub fn cancel_outstanding(&mut self, queue: QueueId, mut cancelled: impl FnMut(u16)) -> Result<(), QmError> {
        let sq_depth = self.capabilities.depths.sq;
        let qp = self.qp_mut(queue)?;
        if qp.state != QpState::Init {
            return Err(QmError::WrongQueueState(qp.state));
        }
        while qp.used != 0 {
            cancelled(qp.oldest(sq_depth));
            qp.used -= 1;
        }
        Ok(())
    }

    /// Rings the submission doorbell again with the position that it had: for one that may have been lost. Harmless otherwise.
    ///
    /// # Errors
    /// [`QmError::WrongQueueState`], [`QmError::NoSuchQueue`].
    pub fn ring_again(&mut self, queue: QueueId) -> Result<(), QmError> {
        let qp = self.qp(queue)?;
        if qp.state != QpState::Started {
            return Err(QmError::WrongQueueState(qp.state));
        }
        self.mapper.dma_wmb();
        self.ring(Doorbell::sq(queue.0, qp.tail));
        Ok(())
    }

    /// Entries of a queue that the kernel submitted and that have not completed.
    pub fn outstanding(&self, queue: QueueId) -> u16 {
        self.qp(queue).map_or(0, |qp| qp.used)
    }
}
