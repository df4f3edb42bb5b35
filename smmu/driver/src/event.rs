//! What the SMMU reports, as its owner sees it (IHI 0070, section 7.3).

use hal::{AccessKind, Iova, Ipa, StallTag, StreamId, SubstreamId};
use smmu_spec::event::{EventId, EventRecord, FaultClass};

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

/// What stage 2 refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage2Fault {
    /// What the intermediate address was needed for; `None` for a code that the driver does not know.
    pub class: Option<FaultClass>,
    /// The intermediate address, to its page.
    pub address: Ipa,
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

impl TranslationFault {
    /// What stage 2 refused; `None`: it was stage 1.
    pub fn stage2(&self) -> Option<Stage2Fault> {
        self.record.is_stage2().then(|| Stage2Fault { class: self.record.class(), address: Ipa(self.record.ipa()) })
    }
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
    /// A stream caused more records than [`Config::reports`](crate::Config::reports) lets through: so many more were dropped.
    Suppressed {
        /// Which stream; `None`: streams that are not attached, and overflows of the queue.
        stream: Option<StreamId>,
        /// How many records.
        records: u64,
    },
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
