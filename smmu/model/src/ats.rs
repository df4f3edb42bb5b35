//! ATS: translation requests, translated traffic, invalidation of endpoints' caches (IHI 0070 3.9, 4.5, 13.6).

use hal::{AccessKind, Iova, IrqLines, Pa, PhysMemory, Requester, StreamId, SubstreamId};
use heapless::Deque;
use smmu_spec::event::{EventId, EventRecord};
use smmu_spec::regs::CR0;

use crate::configuration::{Refusal, Route};
use crate::model::SmmuModel;
use crate::profile::Features;
use crate::stage1::{Stages, TranslationFault};
use crate::stage2::Stage2;
use crate::stream::{Incoming, SteAction};
use crate::tlb::{Entry, allow};
use crate::translate::{Fault, Transaction, Translated, overridden};
use crate::walker::Walker;

/// Invalidations that can be under way at once. More wait in the Command queue.
pub(crate) const INVALIDATIONS: usize = 64;

/// A request of an endpoint for a translation that it will keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TranslationRequest {
    /// Who asks.
    pub who: Requester,
    /// Where.
    pub iova: Iova,
    /// The endpoint will not write (NW): no dirty state changes.
    pub no_write: bool,
    /// The endpoint wants to execute; only with a SubstreamID.
    pub execute: bool,
}

/// What a successful translation completion says about one 4 KiB page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AtsTranslation {
    /// First byte of the page, physical or (split-stage) intermediate.
    pub page: Pa,
    /// Reads are allowed.
    pub read: bool,
    /// Writes are allowed.
    pub write: bool,
    /// Execution is allowed.
    pub execute: bool,
}

impl AtsTranslation {
    const NOTHING: Self = Self { page: Pa(0), read: false, write: false, execute: false };
}

/// How a translation request ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtsCompletion {
    /// With a translation, which may allow nothing.
    Success(AtsTranslation),
    /// ATS is not enabled for the stream.
    UnsupportedRequest,
    /// The request met an error.
    CompleterAbort,
}

/// An order to an endpoint to drop translations (CMD_ATC_INV).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AtcInvalidation {
    /// Which endpoint.
    pub stream: StreamId,
    /// Whose translations; `None` for those without a SubstreamID.
    pub substream: Option<SubstreamId>,
    /// Those of every SubstreamID; those without one stay.
    pub global: bool,
    /// First address.
    pub address: u64,
    /// Log2 of the number of 4 KiB pages; 52 is everything.
    pub size: u8,
}

impl AtcInvalidation {
    /// True if a translation that `substream` uses for the page of `address` must go.
    pub fn covers(&self, substream: Option<SubstreamId>, address: u64) -> bool {
        let owner = substream == self.substream || self.global && self.substream.is_some() && substream.is_some();
        let shift = 12 + u32::from(self.size);
        owner && (shift >= 64 || address >> shift == self.address >> shift)
    }
}

/// Invalidations between CMD_ATC_INV and the endpoint's completion.
pub(crate) struct AtcQueue {
    waiting: Deque<AtcInvalidation, INVALIDATIONS>,
    /// Taken by an endpoint, or waiting for one.
    outstanding: u32,
    /// One of them was not completed.
    failed: bool,
}

impl AtcQueue {
    pub const fn new() -> Self {
        Self { waiting: Deque::new(), outstanding: 0, failed: false }
    }

    pub fn is_full(&self) -> bool {
        self.waiting.is_full()
    }

    pub fn push(&mut self, invalidation: AtcInvalidation) {
        if self.waiting.push_back(invalidation).is_ok() {
            self.outstanding += 1;
        }
    }

    /// True while CMD_SYNC must wait.
    pub const fn is_busy(&self) -> bool {
        self.outstanding > 0
    }

    /// True once if an invalidation failed.
    pub const fn take_failure(&mut self) -> bool {
        core::mem::replace(&mut self.failed, false)
    }
}

/// How STE.EATS takes effect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ats {
    Full,
    SplitStage,
}

impl SmmuModel {
    /// The next invalidation for an endpoint, to be drained after every register write. Each one taken is answered by
    /// [`finish_atc_invalidation`](Self::finish_atc_invalidation); a CMD_SYNC behind it waits until then.
    pub fn take_atc_invalidation(&mut self) -> Option<AtcInvalidation> {
        self.atc.waiting.pop_front()
    }

    /// Takes an endpoint's completion of one invalidation; `completed` is false if it timed out, which makes the CMD_SYNC behind it fail
    /// (CERROR_ATC_INV_SYNC). Goes on with the Command queue.
    pub fn finish_atc_invalidation(&mut self, completed: bool, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) {
        if self.atc.outstanding > 0 {
            self.atc.outstanding -= 1;
            self.atc.failed |= !completed;
        }
        self.step(mem, irq);
    }

    /// The effective EATS of a stream, or how its ATS traffic ends.
    fn effective_ats(&mut self, stream: StreamId, mem: &mut impl PhysMemory) -> Result<Option<Ats>, AtsRefusal> {
        let checks = CR0::ATSCHK.is_set(self.regs.cr0ack);
        match self.ste(stream, mem) {
            // IDR0.ATSRECERR = 0: configuration errors of ATS traffic leave no record.
            Err(_) | Ok(SteAction::Illegal) => Err(AtsRefusal::Error),
            Ok(SteAction::Abort) => Err(AtsRefusal::Silent),
            Ok(SteAction::Bypass(_)) => Ok(None),
            Ok(SteAction::Translate(config)) => Ok(match config.eats {
                1 => Some(Ats::Full),
                2 if checks => Some(Ats::SplitStage),
                _ => None,
            }),
        }
    }

    /// Answers an ATS translation request.
    pub fn ats_request(&mut self, request: TranslationRequest, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) -> AtsCompletion {
        let TranslationRequest { who, iova, .. } = request;
        // Without a SubstreamID every request is one for data, unprivileged.
        let who = Requester { privileged: who.privileged && who.substream.is_some(), ..who };
        let ats = if CR0::SMMUEN.is_set(self.regs.cr0ack) { self.effective_ats(who.stream, mem) } else { Ok(None) };
        let ats = match ats {
            Ok(Some(ats)) => ats,
            Ok(None) => {
                let record = EventRecord::new(EventId::F_BAD_ATS_TREQ, who.stream).with_substream(who.substream);
                self.record_event(record.with_input_address(iova.0 & !0xfff), false, mem, irq);
                return AtsCompletion::UnsupportedRequest;
            }
            Err(AtsRefusal::Silent) => return AtsCompletion::UnsupportedRequest,
            Err(AtsRefusal::Error) => return AtsCompletion::CompleterAbort,
        };
        let Self { configuration, walker, regs, features, .. } = self;
        let (stages, overrides) = match configuration.route_aside(&who, regs, features, walker, mem) {
            // No stage 1 looks at the range: F_ADDR_SIZE, as a completion.
            Ok(Route::Bypass(_) | Route::Translate(Stages { stage1: None, .. }, _)) if features.beyond_oas(iova.0) => {
                return AtsCompletion::Success(AtsTranslation::NOTHING);
            }
            Ok(Route::Translate(stages, overrides)) => (stages, overrides),
            // Stage 1 alone, bypassed by S1DSS.
            Ok(Route::Bypass(_)) => {
                let page = Pa(iova.0 & !0xfff);
                return AtsCompletion::Success(AtsTranslation { page, read: true, write: true, execute: false });
            }
            Err(Refusal::Silent | Refusal::Record(..) | Refusal::Stage2(_, _, TranslationFault::WalkAbort { .. })) => {
                return AtsCompletion::CompleterAbort;
            }
            // A fault of stage 2 on the way to the CD is one of the translation.
            Err(Refusal::Stage2(..)) => return AtsCompletion::Success(AtsTranslation::NOTHING),
        };
        let who = Requester { privileged: overrides.privileged.unwrap_or(who.privileged), ..who };
        // INSTCFG makes every read an instruction fetch, or none. Execution alone is not granted to anybody.
        let read = if overrides.instruction == Some(true) { AccessKind::Execute } else { AccessKind::Read };
        let wanted = [(!request.no_write).then_some(AccessKind::Write), Some(read)];
        for kind in wanted.into_iter().flatten() {
            let tx = Transaction { who, iova, kind };
            match walker.for_endpoint(ats, &tx, stages, features, mem) {
                Ok(entry) => return AtsCompletion::Success(granted(&entry, &tx, &request, overrides.instruction)),
                // The next weaker access may be allowed.
                Err(TranslationFault::Stage1(EventId::F_PERMISSION) | TranslationFault::Stage2 { id: EventId::F_PERMISSION, .. }) => {}
                Err(TranslationFault::WalkAbort { .. }) => return AtsCompletion::CompleterAbort,
                Err(TranslationFault::Stage1(_) | TranslationFault::Stage2 { .. } | TranslationFault::InputSize) => break,
            }
        }
        AtsCompletion::Success(AtsTranslation::NOTHING)
    }

    /// Sends ATS Translated traffic on its way: `at` is an address that a translation completion gave.
    ///
    /// # Errors
    /// See [`Fault`]; what software is to know was recorded.
    pub fn translated(
        &mut self,
        who: Requester,
        at: Pa,
        kind: AccessKind,
        mem: &mut impl PhysMemory,
        irq: &mut impl IrqLines,
    ) -> Result<Translated, Fault> {
        self.counters.translations += 1;
        // Nothing but the address size is checked of what passes.
        let passed =
            if self.features.beyond_oas(at.0) { Err(Fault::Abort) } else { Ok(Translated { pa: at, attributes: 0xff, shareability: 3 }) };
        let enabled = CR0::SMMUEN.is_set(self.regs.cr0ack);
        if enabled && !CR0::ATSCHK.is_set(self.regs.cr0ack) {
            return passed;
        }
        let ats = if enabled { self.effective_ats(who.stream, mem) } else { Ok(None) };
        match ats {
            Err(AtsRefusal::Silent | AtsRefusal::Error) => Err(Fault::Abort),
            Ok(None) => {
                let record = EventRecord::new(EventId::F_TRANSL_FORBIDDEN, who.stream).with_access(kind != AccessKind::Write, false, false);
                self.record_event(record.with_input_address(at.0), false, mem, irq);
                Err(Fault::Abort)
            }
            Ok(Some(Ats::Full)) => passed,
            Ok(Some(Ats::SplitStage)) => {
                let Ok(SteAction::Translate(config)) = self.ste(who.stream, mem) else { return Err(Fault::Abort) };
                let (Some(s2), overrides) = (config.stage2, config.overrides) else { return Err(Fault::Abort) };
                // IDR3.PASIDTT = 0: such traffic comes without a SubstreamID, as data, unprivileged. Its memory type is not overridden.
                let kind = if kind == AccessKind::Execute { AccessKind::Read } else { kind };
                let who = Requester { substream: None, privileged: false, ..who };
                let tx = overridden(&Transaction { who, iova: Iova(at.0), kind }, &overrides);
                let s2 = Stage2 { incoming: Incoming::PLAIN, ..s2 };
                let stages = Stages { stage1: None, stage2: Some(&s2) };
                match self.walker.through_stages(&tx, stages, &self.features, mem) {
                    Ok(entry) => Ok(Translated::from_entry(&entry, at.0)),
                    Err(fault) => Err(self.end(&tx, stages.conduct(), (fault, overrides.merges), mem, irq)),
                }
            }
        }
    }
}

impl Walker {
    #[inline(never)]
    fn for_endpoint(
        &mut self,
        ats: Ats,
        tx: &Transaction,
        stages: Stages<'_>,
        f: &Features,
        mem: &mut impl PhysMemory,
    ) -> Result<Entry, TranslationFault> {
        match (ats, stages.stage1) {
            (Ats::SplitStage, Some(context)) => self.stage1_alone(tx, context, stages.stage2, mem),
            // Stage 1 bypassed: what the endpoint will send is the intermediate address itself.
            (Ats::SplitStage, None) => Ok(Entry::identity(tx.iova.0)),
            (Ats::Full, _) => self.through_stages(tx, stages, f, mem),
        }
    }
}

enum AtsRefusal {
    Silent,
    Error,
}

/// What an entry grants to an endpoint under the STE's INSTCFG. Write is granted only where a write needs no further update, execution only together
/// with reading.
fn granted(entry: &Entry, tx: &Transaction, request: &TranslationRequest, instruction: Option<bool>) -> AtsTranslation {
    let who = if tx.who.privileged { allow::PRIVILEGED } else { allow::UNPRIVILEGED };
    let bits = entry.permissions & entry.stage2;
    let is_clean = (entry.permissions | entry.stage2) & allow::CLEAN != 0;
    let has = |what: u16| bits & 1 << (who + what) != 0;
    let (read, executable) = match instruction {
        None => (has(allow::READ), has(allow::READ) && has(allow::EXECUTE)),
        Some(true) => (has(allow::EXECUTE), true),
        Some(false) => (has(allow::READ), true),
    };
    AtsTranslation {
        page: Pa(entry.output),
        read,
        write: has(allow::WRITE) && !is_clean && !request.no_write,
        execute: read && executable && request.execute && tx.who.substream.is_some(),
    }
}
