//! The Event queue: records out, overflow acknowledged (IHI 0070, sections 7.2 to 7.4).

use hal::{AccessKind, Clock, DmaBuffer, DmaMapper, Iova, RegisterWindow, StallTag, StreamId, SubstreamId};
use smmu_spec::{
    event::{EventId, EventRecord},
    queue::{EVENT_BYTES, RingIndex},
    regs::{OUTPUT_CONS, OUTPUT_PROD, SMMU_EVENTQ_CONS, SMMU_EVENTQ_PROD},
};

use crate::error::SmmuError;
use crate::port::Port;

/// A stalled transaction that waits for [`resume`](crate::Smmu::resume). Two stalls never have equal tickets, although tags are reused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    pub(crate) tag: StallTag,
    pub(crate) serial: u64,
}

impl Ticket {
    /// The tag of the event record.
    pub const fn tag(&self) -> StallTag {
        self.tag
    }
}

/// Why a translation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// F_TRANSLATION: nothing is mapped there.
    Translation,
    /// F_ADDR_SIZE: an output address is too large.
    AddressSize,
    /// F_ACCESS: the Access flag is clear.
    Access,
    /// F_PERMISSION: the mapping does not allow this access.
    Permission,
}

/// A transaction that did not translate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TranslationFault {
    /// Why.
    pub kind: FaultKind,
    /// Who.
    pub stream: StreamId,
    /// In which address space; `None` is the stream's own.
    pub substream: Option<SubstreamId>,
    /// Where.
    pub address: Iova,
    /// What was wanted.
    pub access: AccessKind,
    /// With privilege.
    pub privileged: bool,
    /// The transaction waits for an answer. `None`: it was terminated, or answered by the driver because nobody owns the address space.
    pub stall: Option<Ticket>,
    /// The record as it lay in the queue.
    pub record: EventRecord,
}

/// What the SMMU reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A transaction did not translate.
    Fault(TranslationFault),
    /// Anything else: bad StreamIDs, illegal structures, aborted fetches, unknown numbers. The transaction was terminated.
    Other(EventRecord),
    /// The queue was full: records of terminated transactions are lost. Stalls are never lost.
    RecordsLost,
}

/// Classifies a record; `stall` is the ticket of its stalled transaction.
pub(crate) fn classify(record: EventRecord, stall: Option<Ticket>) -> Event {
    let kind = match record.id() {
        EventId::F_TRANSLATION => FaultKind::Translation,
        EventId::F_ADDR_SIZE => FaultKind::AddressSize,
        EventId::F_ACCESS => FaultKind::Access,
        EventId::F_PERMISSION => FaultKind::Permission,
        _ => return Event::Other(record),
    };
    let access = match (record.is_instruction(), record.is_read()) {
        (true, _) => AccessKind::Execute,
        (false, true) => AccessKind::Read,
        (false, false) => AccessKind::Write,
    };
    Event::Fault(TranslationFault {
        kind,
        stream: record.stream(),
        substream: record.substream(),
        address: Iova(record.input_address()),
        access,
        privileged: record.is_privileged(),
        stall,
        record,
    })
}

/// What lies at the queue's head.
pub(crate) enum Head {
    Record(EventRecord),
    Overflow,
}

/// The consumer side of the Event queue.
pub(crate) struct EventQueue<B> {
    ring: B,
    log2_entries: u32,
    cons: RingIndex,
    /// As last read, to save a register read per record.
    prod: RingIndex,
    /// OVACKFLG as last written or about to be written.
    acknowledged: bool,
    overflow: bool,
}

impl<B: DmaBuffer> EventQueue<B> {
    pub(crate) fn new<M: DmaMapper<Buffer = B>>(memory: &M, log2_entries: u32) -> Result<Self, SmmuError> {
        let bytes = (EVENT_BYTES as usize) << log2_entries;
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
    pub(crate) fn head<W: RegisterWindow, C: Clock, M: DmaMapper>(&mut self, port: &Port<W, C, M>) -> Result<Option<Head>, SmmuError> {
        if self.prod.is_empty(self.cons) {
            self.read_prod(port)?;
        }
        if !self.prod.is_empty(self.cons) {
            let at = self.cons.index() as usize * EVENT_BYTES as usize;
            let words = core::array::from_fn(|i| self.ring.read64(at + 8 * i));
            return Ok(Some(Head::Record(EventRecord(words))));
        }
        Ok(self.overflow.then_some(Head::Overflow))
    }

    /// Consumes what [`head`](Self::head) showed.
    pub(crate) fn advance<W: RegisterWindow, C: Clock, M: DmaMapper>(&mut self, port: &Port<W, C, M>) {
        if self.prod.is_empty(self.cons) {
            self.overflow = false;
        } else {
            self.cons = self.cons.next();
        }
        // The record was read before the slot is given back.
        port.acquire();
        let value = OUTPUT_CONS::RD.val(self.cons.raw()) + OUTPUT_CONS::OVACKFLG.val(u32::from(self.acknowledged));
        SMMU_EVENTQ_CONS.write(&port.window, value);
    }

    fn read_prod<W: RegisterWindow, C: Clock, M: DmaMapper>(&mut self, port: &Port<W, C, M>) -> Result<(), SmmuError> {
        let register = SMMU_EVENTQ_PROD.read(&port.window);
        let field = register.read(OUTPUT_PROD::WR);
        let prod = RingIndex::new(field, self.log2_entries);
        if prod.raw() != field || prod.used_since(self.cons).is_none() {
            return Err(SmmuError::BadIndex { register: SMMU_EVENTQ_PROD.info.name, seen: register.get() });
        }
        self.prod = prod;
        let flag = register.is_set(OUTPUT_PROD::OVFLG);
        if flag != self.acknowledged {
            self.overflow = true;
            // Acknowledged with the next consumer index.
            self.acknowledged = flag;
        }
        // Records are not older than the index that covers them.
        port.acquire();
        Ok(())
    }
}
