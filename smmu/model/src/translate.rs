//! Translating one transaction (IHI 0070 3.4, 15 as condensed: the order of checks).

use hal::{AccessKind, Iova, IrqLines, Pa, PhysMemory, Requester, StallTag, StreamId};
use smmu_spec::event::{EventId, EventRecord, FaultClass};
use smmu_spec::regs::{CR0, GBPA};

use crate::configuration::{Refusal, Route};
use crate::context::Context;
use crate::micro_tlb::{Line, RECENT, requester_key};
use crate::model::SmmuModel;
use crate::plain::Asked;
use crate::stage1::{Conduct, Stages, TranslationFault};
use crate::stage2::{Purpose, Stage2};
use crate::stalls::{Admission, Key};
use crate::stream::{Incoming, Overrides, SteAction};
use crate::stream_table::SteFault;
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
    /// Memory attributes as a MAIR byte; 0xff (write-back) for untranslated traffic that nothing overrides.
    pub attributes: u8,
    /// Shareability code as in a descriptor. Device memory, and what is non-cacheable inside and outside, is outer shareable whatever it says.
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

/// A requester's stages as the caches gave them: what makes a TLB hit cheap, and what a walk begins with. Dropped by any configuration
/// command.
pub(crate) struct Resolved {
    key: u64,
    generation: u64,
    overrides: Overrides,
    stage1: Option<Context>,
    stage2: Option<Stage2>,
}

impl Resolved {
    pub const EMPTY: Self = Self { key: 0, generation: 0, overrides: Overrides::NONE, stage1: None, stage2: None };

    /// The stages, if this is of the model's generation.
    pub fn stages(&self, generation: u64) -> Option<Stages<'_>> {
        (self.generation == generation).then_some(Stages { stage1: self.stage1.as_ref(), stage2: self.stage2.as_ref() })
    }
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
    // By value to whoever does more than a hit, so that a hit keeps the transaction in registers.
    #[inline(always)]
    pub fn translate(&mut self, tx: Transaction, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) -> Result<Translated, Fault> {
        if self.plain.is_of(tx.who.stream) {
            return self.translate_plainly(Asked::by(&tx), tx.iova.0, mem, irq);
        }
        let Some(key) = requester_key(&tx.who) else { return self.translate_anew(tx, 0, mem, irq) };
        let recent = &self.recent[Line::place(key, &tx) & (RECENT - 1)];
        if recent.serves(key, &tx, self.recent_generation) {
            self.recent_hits += 1;
            return Ok(recent.translated(&tx));
        }
        self.translate_anew(tx, key, mem, irq)
    }

    /// What traffic meets while the SMMU is disabled.
    #[inline(never)]
    fn disabled(&self, tx: &Transaction) -> Result<Translated, Fault> {
        let refused = GBPA::ABORT.is_set(self.regs.gbpa) || self.features.beyond_oas(tx.iova.0);
        if refused {
            return Err(Fault::Abort);
        }
        let gbpa = self.regs.gbpa;
        let incoming = if self.features.types_override {
            let memory_type = GBPA::MTCFG.is_set(gbpa).then(|| GBPA::MEMATTR.read(gbpa) as u8);
            Incoming::replaced(memory_type, GBPA::SHCFG.read(gbpa) as u8)
        } else {
            Incoming::PLAIN
        };
        Ok(untranslated(tx.iova, incoming))
    }

    /// Translates what no recent answer serves. `key` names the requester; 0 is nobody's.
    #[inline(never)]
    fn translate_anew(
        &mut self,
        tx: Transaction,
        key: u64,
        mem: &mut impl PhysMemory,
        irq: &mut impl IrqLines,
    ) -> Result<Translated, Fault> {
        if self.walker.retention.caches() {
            self.counters.translations += 1;
            return self.translate_cached(&tx, key, mem, irq);
        }
        self.translate_uncached(&tx, mem, irq)
    }

    /// Translates an access of the plain way's stream. The way is known only while nothing is cached and the SMMU is enabled.
    // What is handed over fits into registers.
    #[inline(never)]
    fn translate_plainly(
        &mut self,
        asked: Asked,
        address: u64,
        mem: &mut impl PhysMemory,
        irq: &mut impl IrqLines,
    ) -> Result<Translated, Fault> {
        match self.plain.translate(asked, address, mem) {
            Some(translated) => Ok(translated),
            None => self.translate_uncached(&self.plain.transaction(asked, address), mem, irq),
        }
    }

    /// Translates by the rules while nothing is cached. Cold beside the plain way.
    #[cold]
    #[inline(never)]
    fn translate_uncached(&mut self, tx: &Transaction, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) -> Result<Translated, Fault> {
        self.counters.translations += 1;
        if !CR0::SMMUEN.is_set(self.regs.cr0ack) {
            return self.disabled(tx);
        }
        let Self { configuration, walker, regs, features, .. } = self;
        let (stages, overrides) = match configuration.route::<false>(&tx.who, regs, features, walker, mem) {
            Ok(Route::Translate(stages, overrides)) => (stages, overrides),
            Ok(Route::Bypass(&overrides)) => return self.bypass(tx, overrides, mem, irq),
            Err(refusal) => return Err(self.refuse(tx, refusal, mem, irq)),
        };
        let other;
        let tx = if overrides.changes_nothing() {
            tx
        } else {
            other = overridden(tx, overrides);
            &other
        };
        match walker.through_stages_uncached(tx, stages, features, mem) {
            Ok(translated) => {
                self.plain.learn(tx.who.stream.0, &self.configuration, &self.features);
                Ok(translated)
            }
            Err(fault) => {
                let (conduct, merges) = (stages.conduct(), overrides.merges);
                Err(self.end(tx, conduct, (fault, merges), mem, irq))
            }
        }
    }

    /// The same while something is cached.
    #[inline(never)]
    fn translate_cached(
        &mut self,
        tx: &Transaction,
        key: u64,
        mem: &mut impl PhysMemory,
        irq: &mut impl IrqLines,
    ) -> Result<Translated, Fault> {
        let enabled = CR0::SMMUEN.is_set(self.regs.cr0ack);
        let Self { configuration, walker, regs, features, resolved, generation, .. } = self;
        let slot = &mut resolved[resolved_slot(key)];
        let is_resolved = slot.key == key && slot.generation == *generation;
        let (stages, overrides, keeps) = if is_resolved {
            (Stages { stage1: slot.stage1.as_ref(), stage2: slot.stage2.as_ref() }, &slot.overrides, true)
        } else {
            if !enabled {
                return self.disabled(tx);
            }
            let (stages, overrides) = match configuration.route::<true>(&tx.who, regs, features, walker, mem) {
                Ok(Route::Translate(stages, overrides)) => (stages, overrides),
                Ok(Route::Bypass(&overrides)) => return self.bypass(tx, overrides, mem, irq),
                Err(refusal) => return Err(self.refuse(tx, refusal, mem, irq)),
            };
            let keeps = key != 0 && walker.retention.is_steady() && overrides.changes_nothing();
            if keeps {
                let (stage1, stage2) = (stages.stage1.copied(), stages.stage2.copied());
                *slot = Resolved { key, generation: *generation, overrides: *overrides, stage1, stage2 };
            }
            (stages, overrides, keeps)
        };
        let other;
        let tx = if overrides.changes_nothing() {
            tx
        } else {
            other = overridden(tx, overrides);
            &other
        };
        match walker.through_stages(tx, stages, features, mem) {
            Ok(entry) => {
                let translated = Translated::from_entry(&entry, tx.iova.0);
                if keeps {
                    self.keep_recent(key, tx, &translated);
                }
                Ok(translated)
            }
            Err(fault) => {
                let (conduct, merges) = (stages.conduct(), overrides.merges);
                Err(self.end(tx, conduct, (fault, merges), mem, irq))
            }
        }
    }

    #[inline(never)]
    fn bypass(
        &mut self,
        tx: &Transaction,
        overrides: Overrides,
        mem: &mut impl PhysMemory,
        irq: &mut impl IrqLines,
    ) -> Result<Translated, Fault> {
        if self.features.beyond_oas(tx.iova.0) {
            let record = client_record(EventId::F_ADDR_SIZE, &overridden(tx, &overrides)).with_class(FaultClass::In);
            self.record_event(record, overrides.merges, mem, irq);
            return Err(Fault::Abort);
        }
        Ok(untranslated(tx.iova, overrides.incoming))
    }

    /// Ends a transaction that has no stages.
    #[inline(never)]
    fn refuse(&mut self, tx: &Transaction, refusal: Refusal, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) -> Fault {
        match refusal {
            Refusal::Silent => Fault::Abort,
            Refusal::Record(record, merges) => {
                self.record_event(record, merges, mem, irq);
                Fault::Abort
            }
            Refusal::Stage2(stage2, overrides, fault) => {
                let conduct = Stages { stage1: None, stage2: Some(&stage2) }.conduct();
                self.end(&overridden(tx, &overrides), conduct, (fault, overrides.merges), mem, irq)
            }
        }
    }

    /// Fetches what STE and CD say as a hint, for CMD_PREFETCH_CONFIG; with an address its translation too, for CMD_PREFETCH_ADDR. Nothing is
    /// recorded.
    pub(crate) fn prefetch_route(&mut self, who: Requester, address: Option<u64>, mem: &mut impl PhysMemory) {
        let Self { configuration, walker, regs, features, .. } = self;
        if let Ok(Route::Translate(Stages { stage1: Some(context), stage2 }, _)) =
            configuration.route_aside(&who, regs, features, walker, mem)
            && let Some(address) = address
        {
            let tx = Transaction { who, iova: Iova(address), kind: AccessKind::Read };
            walker.prefetch_page(&tx, context, stage2, address, mem);
        }
    }

    /// What the STE of `stream` asks for.
    pub(crate) fn ste(&mut self, stream: StreamId, mem: &mut impl PhysMemory) -> Result<&SteAction, SteFault> {
        let Self { configuration, regs, features, walker, .. } = self;
        configuration.ste(stream, regs, features, &mut walker.retention, mem)
    }

    /// A word of a valid STE, from memory; `None` if it cannot be read.
    pub(crate) fn ste_word(&mut self, stream: StreamId, word: u64, mem: &mut impl PhysMemory) -> Option<u64> {
        self.configuration.streams.word(stream, word, &self.regs, &self.features, &mut self.walker.retention, mem)
    }

    /// Ends a transaction that did not translate, as CD.{S, R, A} or STE.{S2S, S2R} say; its record may be merged where `merges`.
    #[inline(never)]
    pub(crate) fn end(
        &mut self,
        tx: &Transaction,
        [stage1, stage2]: [Option<Conduct>; 2],
        (fault, merges): (TranslationFault, bool),
        mem: &mut impl PhysMemory,
        irq: &mut impl IrqLines,
    ) -> Fault {
        let (record, stalls, records, aborts) = match (fault, stage1, stage2) {
            (TranslationFault::Stage1(id), Some(context), _) => {
                (client_record(id, tx).with_class(FaultClass::In), context.stall, context.record, context.abort)
            }
            (TranslationFault::Stage2 { id, purpose, ipa }, _, Some(s2)) => {
                let mut record = client_record(id, tx).with_stage2().with_class(purpose.class()).with_ipa(ipa);
                if id == EventId::F_PERMISSION && purpose == Purpose::TableRead {
                    record = record.with_table_read();
                }
                (record, s2.stall, s2.record, s2.abort)
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

fn untranslated(iova: Iova, Incoming { attributes, shareability }: Incoming) -> Translated {
    Translated { pa: Pa(iova.0), attributes, shareability }
}

pub(crate) fn overridden(tx: &Transaction, overrides: &Overrides) -> Transaction {
    let privileged = overrides.privileged.unwrap_or(tx.who.privileged);
    // Instruction and data are exchanged for reads only.
    let kind = match (tx.kind, overrides.instruction) {
        (AccessKind::Write, _) | (_, None) => tx.kind,
        (_, Some(true)) => AccessKind::Execute,
        (_, Some(false)) => AccessKind::Read,
    };
    Transaction { who: Requester { privileged, ..tx.who }, kind, ..*tx }
}

pub(crate) fn client_record(id: EventId, tx: &Transaction) -> EventRecord {
    EventRecord::new(id, tx.who.stream)
        .with_substream(tx.who.substream)
        .with_access(tx.kind != AccessKind::Write, tx.kind == AccessKind::Execute, tx.who.privileged)
        .with_input_address(tx.iova.0)
}
