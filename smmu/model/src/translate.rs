//! Translating one transaction (IHI 0070 3.4, 15 as condensed: the order of checks).

use hal::{AccessKind, Iova, IrqLines, Pa, PhysMemory, Requester, StallTag};
use smmu_spec::event::{EventId, EventRecord, FaultClass};
use smmu_spec::regs::{CR0, GBPA};

use crate::configuration::{Refusal, Route};
use crate::micro_tlb::{Line, RECENT, requester_key};
use crate::model::SmmuModel;
use crate::stage1::{Translation, TranslationFault, locate, serves};
use crate::stage2::Purpose;
use crate::stalls::{Admission, Key};
use crate::stream::Overrides;
use crate::trace::Trace;

/// One access of a device to one address. Accesses that cross 4 KiB are split by the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// Who accesses.
    pub who: Requester,
    /// Where, before translation.
    pub iova: Iova,
    /// What for.
    pub kind: AccessKind,
}

/// Where a transaction goes. Valid to the end of the 4 KiB page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translated {
    /// Physical address.
    pub pa: Pa,
    /// Memory attributes as a MAIR byte; 0xff (write-back) for untranslated traffic.
    pub attributes: u8,
    /// Shareability code as in a descriptor.
    pub shareability: u8,
}

/// How a transaction ends that has no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// With an abort.
    Abort,
    /// As if done: a read returns zero, a write is dropped.
    ReadZeroWriteIgnore,
    /// Not yet: repeat it once [`SmmuModel::take_resumed`] has given the tag.
    Stalled(StallTag),
}

/// A requester's context as far as the caches know it: what makes a TLB hit cheap. Dropped by any configuration command.
pub(crate) struct Resolved {
    key: u64,
    generation: u64,
    translation: Option<Translation>,
}

impl Resolved {
    pub const EMPTY: Self = Self { key: 0, generation: 0, translation: None };
}

/// Number of resolved contexts.
pub(crate) const RESOLVED: usize = 256;

#[inline]
fn resolved_slot(key: u64) -> usize {
    (key ^ (key >> 32).wrapping_mul(0x25)) as usize & (RESOLVED - 1)
}

impl SmmuModel {
    /// Translates one access.
    ///
    /// # Errors
    /// See [`Fault`]; what software is to know was recorded.
    #[inline]
    pub fn translate(&mut self, tx: Transaction, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) -> Result<Translated, Fault> {
        let Some(key) = requester_key(&tx.who) else {
            self.counters.translations += 1;
            return self.translate_in_full(tx, mem, irq);
        };
        let recent = &self.recent[Line::place(key, &tx) & (RECENT - 1)];
        if recent.serves(key, &tx, self.recent_generation) {
            self.recent_hits += 1;
            return Ok(recent.translated(&tx));
        }
        self.translate_resolved(tx, key, mem, irq)
    }

    #[inline(never)]
    fn translate_resolved(
        &mut self,
        tx: Transaction,
        key: u64,
        mem: &mut impl PhysMemory,
        irq: &mut impl IrqLines,
    ) -> Result<Translated, Fault> {
        self.counters.translations += 1;
        let slot = &self.resolved[resolved_slot(key)];
        if slot.key == key
            && slot.generation == self.generation
            && let Some(Translation { stage1: Some(context), .. }) = &slot.translation
            && let Some((_, address)) = locate(context, &tx)
            && let Some(entry) = self.tlb.lookup(context.tag, address)
            && serves(entry, &tx)
        {
            self.counters.tlb_hits += 1;
            let translated = Translated::from_entry(entry, address);
            self.keep_recent(key, &tx, &translated);
            return Ok(translated);
        }
        self.translate_in_full(tx, mem, irq)
    }

    #[inline(never)]
    fn translate_in_full(&mut self, tx: Transaction, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) -> Result<Translated, Fault> {
        if !CR0::SMMUEN.is_set(self.regs.cr0ack) {
            let refused = GBPA::ABORT.is_set(self.regs.gbpa) || self.features.beyond_oas(tx.iova.0);
            return if refused { Err(Fault::Abort) } else { Ok(untranslated(tx.iova)) };
        }
        let mut translation = Translation::NONE;
        match self.route(tx.who, &mut translation, mem) {
            Err(Refusal::Silent) => Err(Fault::Abort),
            Err(Refusal::Record(record, merges)) => {
                self.record_event(record, merges, mem, irq);
                Err(Fault::Abort)
            }
            Ok(Route::Bypass(overrides)) => {
                if self.features.beyond_oas(tx.iova.0) {
                    let record = client_record(EventId::F_ADDR_SIZE, &overridden(tx, overrides)).with_class(FaultClass::In);
                    self.record_event(record, overrides.merges, mem, irq);
                    return Err(Fault::Abort);
                }
                Ok(untranslated(tx.iova))
            }
            Err(Refusal::Stage2(stage2, overrides, fault)) => {
                let translation = Translation { stage1: None, stage2: Some(stage2) };
                Err(self.end(&overridden(tx, overrides), &translation, (fault, overrides.merges), mem, irq))
            }
            Ok(Route::Translate(overrides)) => {
                let key = requester_key(&tx.who).filter(|_| self.retention.is_steady() && overrides.changes_nothing());
                if let Some(key) = key {
                    self.resolved[resolved_slot(key)] = Resolved { key, generation: self.generation, translation: Some(translation) };
                }
                let tx = overridden(tx, overrides);
                match self.through_stages(&tx, &translation, mem) {
                    Ok(entry) => {
                        let translated = Translated::from_entry(&entry, tx.iova.0);
                        if let Some(key) = key {
                            self.keep_recent(key, &tx, &translated);
                        }
                        Ok(translated)
                    }
                    Err(fault) => Err(self.end(&tx, &translation, (fault, overrides.merges), mem, irq)),
                }
            }
        }
    }

    /// Fetches a translation as a hint, for CMD_PREFETCH_ADDR.
    pub(crate) fn prefetch_address(&mut self, who: Requester, address: u64, mem: &mut impl PhysMemory) {
        let mut translation = Translation::NONE;
        if let Ok(Route::Translate(_)) = self.route(who, &mut translation, mem)
            && let Translation { stage1: Some(context), stage2 } = translation
        {
            let tx = Transaction { who, iova: Iova(address), kind: AccessKind::Read };
            self.prefetch_page(&tx, &context, stage2.as_ref(), address, mem);
        }
    }

    /// Ends a transaction that did not translate, as CD.{S, R, A} or STE.{S2S, S2R} say; its record may be merged where `merges`.
    pub(crate) fn end(
        &mut self,
        tx: &Transaction,
        translation: &Translation,
        (fault, merges): (TranslationFault, bool),
        mem: &mut impl PhysMemory,
        irq: &mut impl IrqLines,
    ) -> Fault {
        let (record, stalls, records, aborts) = match (fault, &translation.stage1, &translation.stage2) {
            (TranslationFault::Stage1(id), Some(context), _) => {
                (client_record(id, tx).with_class(FaultClass::In), context.stall, context.record, context.abort)
            }
            (TranslationFault::Stage2 { id, purpose, ipa }, _, Some(s2)) => {
                let mut record = client_record(id, tx).with_stage2().with_class(purpose.class()).with_ipa(ipa);
                if id == EventId::F_PERMISSION && purpose == Purpose::TableRead {
                    record = record.with_table_read();
                }
                // Terminated stage 2 faults always abort.
                (record, s2.stall, s2.record, true)
            }
            (TranslationFault::WalkAbort { at, stage2 }, ..) => {
                let record = client_record(EventId::F_WALK_EABT, tx).with_fetch_address(at);
                let record = match stage2 {
                    None => record.with_class(FaultClass::Tt),
                    Some(purpose) => record.with_stage2().with_class(purpose.class()),
                };
                (record, false, true, true)
            }
            (TranslationFault::InputSize | TranslationFault::Stage1(_) | TranslationFault::Stage2 { .. }, ..) => {
                (client_record(EventId::F_ADDR_SIZE, tx).with_class(FaultClass::In), false, true, true)
            }
        };
        if stalls {
            return self.stall(tx, record, mem, irq);
        }
        if records {
            self.record_event(record, merges, mem, irq);
        }
        if aborts { Fault::Abort } else { Fault::ReadZeroWriteIgnore }
    }

    fn stall(&mut self, tx: &Transaction, record: EventRecord, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) -> Fault {
        let key = Key { who: tx.who, page: tx.iova.0 >> 12, kind: tx.kind };
        match self.stalls.admit(key, self.features.stall_max, |stag| record.with_stall(stag)) {
            Admission::Admitted(tag) => {
                self.counters.stalls += 1;
                self.trace.push(Trace::Stalled(tag));
                self.flush_stall_records(mem, irq);
                Fault::Stalled(tag)
            }
            Admission::Held(tag) => Fault::Stalled(tag),
            Admission::Refused => Fault::Abort,
        }
    }
}

fn untranslated(iova: Iova) -> Translated {
    Translated { pa: Pa(iova.0), attributes: 0xff, shareability: 3 }
}

fn overridden(tx: Transaction, overrides: Overrides) -> Transaction {
    let privileged = overrides.privileged.unwrap_or(tx.who.privileged);
    // Instruction and data are exchanged for reads only.
    let kind = match (tx.kind, overrides.instruction) {
        (AccessKind::Write, _) | (_, None) => tx.kind,
        (_, Some(true)) => AccessKind::Execute,
        (_, Some(false)) => AccessKind::Read,
    };
    Transaction { who: Requester { privileged, ..tx.who }, kind, ..tx }
}

fn client_record(id: EventId, tx: &Transaction) -> EventRecord {
    EventRecord::new(id, tx.who.stream)
        .with_substream(tx.who.substream)
        .with_access(tx.kind != AccessKind::Write, tx.kind == AccessKind::Execute, tx.who.privileged)
        .with_input_address(tx.iova.0)
}
