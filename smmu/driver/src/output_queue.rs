//! A queue that the SMMU fills: entries out, indices checked, overflow acknowledged (IHI 0070, sections 3.5, 7.4, 8.1).
//!
//! The Event queue and the PRI queue are this one thing. They differ in what an unacknowledged overflow does: the PRI queue accepts nothing
//! until then. So it is acknowledged once everything that was there has been read, which is right for both.

use hal::{Clock, DmaBuffer, DmaMapper, Reg, RegisterWindow};
use smmu_spec::{
    queue::RingIndex,
    regs::{OUTPUT_CONS, OUTPUT_PROD, SMMU_EVENTQ_CONS, SMMU_EVENTQ_PROD, SMMU_PRIQ_CONS, SMMU_PRIQ_PROD},
};

use crate::error::SmmuError;
use crate::port::Port;

/// The index registers of a queue.
#[derive(Clone, Copy)]
pub(crate) struct Indices {
    prod: Reg<u32, OUTPUT_PROD::Register>,
    cons: Reg<u32, OUTPUT_CONS::Register>,
}

/// Those of the Event queue.
pub(crate) const EVENT_INDICES: Indices = Indices { prod: SMMU_EVENTQ_PROD, cons: SMMU_EVENTQ_CONS };
/// Those of the PRI queue.
pub(crate) const PAGE_INDICES: Indices = Indices { prod: SMMU_PRIQ_PROD, cons: SMMU_PRIQ_CONS };

/// What lies at a queue's head.
pub(crate) enum Head<const WORDS: usize> {
    Entry([u64; WORDS]),
    Overflow,
}

/// The consumer side of a queue of entries of `WORDS` 64-bit words.
pub(crate) struct OutputQueue<B, const WORDS: usize> {
    ring: B,
    registers: Indices,
    log2_entries: u32,
    cons: RingIndex,
    /// As last read, to save a register read per entry.
    prod: RingIndex,
    /// OVACKFLG as last written.
    acknowledged: bool,
    /// OVFLG as last read.
    overflow: bool,
}

impl<B: DmaBuffer, const WORDS: usize> OutputQueue<B, WORDS> {
    const ENTRY_BYTES: usize = 8 * WORDS;

    pub(crate) fn new<M: DmaMapper<Buffer = B>>(memory: &M, registers: Indices, log2_entries: u32) -> Result<Self, SmmuError> {
        let bytes = Self::ENTRY_BYTES << log2_entries;
        let ring = memory.alloc(bytes, bytes.max(32))?;
        let zero = RingIndex::new(0, log2_entries);
        Ok(Self { ring, registers, log2_entries, cons: zero, prod: zero, acknowledged: false, overflow: false })
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

    /// Starts at index 0 without overflow, to be called while the queue is off.
    pub(crate) fn reset<W: RegisterWindow, C: Clock, M: DmaMapper>(&self, port: &Port<W, C, M>) {
        self.registers.prod.set(&port.window, 0);
        self.registers.cons.set(&port.window, 0);
    }

    /// What lies at the head; nothing is consumed.
    pub(crate) fn head<W: RegisterWindow, C: Clock, M: DmaMapper>(
        &mut self,
        port: &Port<W, C, M>,
    ) -> Result<Option<Head<WORDS>>, SmmuError> {
        if self.prod.is_empty(self.cons) {
            if self.overflow != self.acknowledged {
                return Ok(Some(Head::Overflow));
            }
            self.read_prod(port)?;
        }
        if !self.prod.is_empty(self.cons) {
            let at = self.cons.index() as usize * Self::ENTRY_BYTES;
            return Ok(Some(Head::Entry(core::array::from_fn(|i| self.ring.read64(at + 8 * i)))));
        }
        Ok((self.overflow != self.acknowledged).then_some(Head::Overflow))
    }

    /// Consumes what [`head`](Self::head) showed.
    pub(crate) fn advance<W: RegisterWindow, C: Clock, M: DmaMapper>(&mut self, port: &Port<W, C, M>) {
        if self.prod.is_empty(self.cons) {
            self.acknowledged = self.overflow;
        } else {
            self.cons = self.cons.next();
        }
        // The entry was read before the slot is given back.
        port.acquire();
        let value = OUTPUT_CONS::RD.val(self.cons.raw()) + OUTPUT_CONS::OVACKFLG.val(u32::from(self.acknowledged));
        self.registers.cons.write(&port.window, value);
    }

    fn read_prod<W: RegisterWindow, C: Clock, M: DmaMapper>(&mut self, port: &Port<W, C, M>) -> Result<(), SmmuError> {
        let register = self.registers.prod.read(&port.window);
        let field = register.read(OUTPUT_PROD::WR);
        let prod = RingIndex::new(field, self.log2_entries);
        if prod.raw() != field || prod.used_since(self.cons).is_none() {
            return Err(SmmuError::BadIndex { register: self.registers.prod.info.name, seen: register.get() });
        }
        self.prod = prod;
        self.overflow = register.is_set(OUTPUT_PROD::OVFLG);
        // Entries are not older than the index that covers them.
        port.acquire();
        Ok(())
    }
}
