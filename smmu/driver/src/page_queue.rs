//! The PRI queue: page requests out, overflow acknowledged once everything before it was read (IHI 0070, sections 3.5, 8.1).

use hal::{Clock, DmaBuffer, DmaMapper, RegisterWindow};
use smmu_spec::{
    pri::{PRI_BYTES, PageRequest},
    queue::RingIndex,
    regs::{OUTPUT_CONS, OUTPUT_PROD, SMMU_PRIQ_CONS, SMMU_PRIQ_PROD},
};

use crate::error::SmmuError;
use crate::port::Port;

/// What lies at the queue's head.
pub(crate) enum PageHead {
    Request(PageRequest),
    Overflow,
}

/// The consumer side of the PRI queue.
pub(crate) struct PageQueue<B> {
    ring: B,
    log2_entries: u32,
    cons: RingIndex,
    prod: RingIndex,
    /// OVACKFLG as last written.
    acknowledged: bool,
    /// OVFLG as last read. While the two differ the SMMU adds nothing.
    overflow: bool,
}

impl<B: DmaBuffer> PageQueue<B> {
    pub(crate) fn new<M: DmaMapper<Buffer = B>>(memory: &M, log2_entries: u32) -> Result<Self, SmmuError> {
        let bytes = (PRI_BYTES as usize) << log2_entries;
        let ring = memory.alloc(bytes, bytes.max(32))?;
        let zero = RingIndex::new(0, log2_entries);
        Ok(Self { ring, log2_entries, cons: zero, prod: zero, acknowledged: false, overflow: false })
    }

    pub(crate) fn free<M: DmaMapper<Buffer = B>>(self, memory: &M) {
        memory.free(self.ring);
    }

    pub(crate) fn base(&self) -> u64 {
        self.ring.device_address().0
    }

    pub(crate) const fn log2_entries(&self) -> u32 {
        self.log2_entries
    }

    /// What lies at the head; nothing is consumed.
    pub(crate) fn head<W: RegisterWindow, C: Clock, M: DmaMapper>(&mut self, port: &Port<W, C, M>) -> Result<Option<PageHead>, SmmuError> {
        if self.prod.is_empty(self.cons) {
            self.read_prod(port)?;
        }
        if !self.prod.is_empty(self.cons) {
            let at = self.cons.index() as usize * PRI_BYTES as usize;
            return Ok(Some(PageHead::Request(PageRequest::decode([self.ring.read64(at), self.ring.read64(at + 8)]))));
        }
        Ok((self.overflow != self.acknowledged).then_some(PageHead::Overflow))
    }

    /// Consumes what [`head`](Self::head) showed.
    pub(crate) fn advance<W: RegisterWindow, C: Clock, M: DmaMapper>(&mut self, port: &Port<W, C, M>) {
        if self.prod.is_empty(self.cons) {
            self.acknowledged = self.overflow;
        } else {
            self.cons = self.cons.next();
        }
        // The request was read before the slot is given back.
        port.acquire();
        let value = OUTPUT_CONS::RD.val(self.cons.raw()) + OUTPUT_CONS::OVACKFLG.val(u32::from(self.acknowledged));
        SMMU_PRIQ_CONS.write(&port.window, value);
    }

    fn read_prod<W: RegisterWindow, C: Clock, M: DmaMapper>(&mut self, port: &Port<W, C, M>) -> Result<(), SmmuError> {
        let register = SMMU_PRIQ_PROD.read(&port.window);
        let field = register.read(OUTPUT_PROD::WR);
        let prod = RingIndex::new(field, self.log2_entries);
        if prod.raw() != field || prod.used_since(self.cons).is_none() {
            return Err(SmmuError::BadIndex { register: SMMU_PRIQ_PROD.info.name, seen: register.get() });
        }
        self.prod = prod;
        self.overflow = register.is_set(OUTPUT_PROD::OVFLG);
        // Requests are not older than the index that covers them.
        port.acquire();
        Ok(())
    }
}
