//! From requester to stages: what STE and CD say about a transaction, in the architecture's order of checks (IHI 0070 3.3, 15 as condensed).

use hal::{PhysMemory, Requester, StreamId, SubstreamId};
use smmu_spec::event::{EventId, EventRecord};
use smmu_spec::regs::CR2;

use crate::cd_table::{CdFault, CdPlace, Contexts};
use crate::policy::Retention;
use crate::profile::Features;
use crate::registers::Registers;
use crate::stage1::{Stages, TranslationFault};
use crate::stage2::Stage2;
use crate::stream::{CdChoice, Overrides, SteAction};
use crate::stream_table::{SteFault, Streams};
use crate::walker::Walker;

/// What the model knows of the structures in memory.
pub(crate) struct Configuration {
    pub streams: Streams,
    pub contexts: Contexts,
}

/// Why a transaction ends before any translation, always by an abort.
pub(crate) enum Refusal {
    /// Without a record.
    Silent,
    /// With this record, if the queue takes it; true if it may be merged.
    Record(EventRecord, bool),
    /// Stage 2 refused an address of the CD table.
    Stage2(Stage2, Overrides, TranslationFault),
}

/// How a transaction goes on.
pub(crate) enum Route<'a> {
    /// Untranslated.
    Bypass(&'a Overrides),
    /// Through these stages.
    Translate(Stages<'a>, &'a Overrides),
}

impl Configuration {
    pub const fn new() -> Self {
        Self { streams: Streams::new(), contexts: Contexts::new() }
    }

    /// What the STE of `stream` asks for.
    #[inline(never)]
    pub fn ste(
        &mut self,
        stream: StreamId,
        regs: &Registers,
        f: &Features,
        retention: &mut Retention,
        mem: &mut impl PhysMemory,
    ) -> Result<&SteAction, SteFault> {
        if retention.caches() {
            self.streams.action::<true>(stream, regs, f, retention, mem)
        } else {
            self.streams.action::<false>(stream, regs, f, retention, mem)
        }
    }

    /// [`route`](Self::route) for whoever is not in a hurry.
    #[inline(never)]
    pub fn route_aside(
        &mut self,
        who: &Requester,
        regs: &Registers,
        f: &Features,
        walker: &mut Walker,
        mem: &mut impl PhysMemory,
    ) -> Result<Route<'_>, Refusal> {
        if walker.retention.caches() {
            self.route::<true>(who, regs, f, walker, mem)
        } else {
            self.route::<false>(who, regs, f, walker, mem)
        }
    }

    /// Steps 1 to 7 of a translation: from requester to context, in the architecture's order of checks. What is fetched as a hint is fetched
    /// first, so that it takes nobody's place in a cache afterwards. `CACHES` is whether anything is cached.
    #[inline(always)]
    pub fn route<const CACHES: bool>(
        &mut self,
        who: &Requester,
        regs: &Registers,
        f: &Features,
        walker: &mut Walker,
        mem: &mut impl PhysMemory,
    ) -> Result<Route<'_>, Refusal> {
        let Self { streams, contexts } = self;
        let within_oas = |address| address & ((1 << f.oas_bits) - 1);
        let record = |id| EventRecord::new(id, who.stream).with_substream(who.substream);
        let prefetches = CACHES && walker.retention.prefetches();
        if prefetches {
            let _ = streams.action::<CACHES>(StreamId(who.stream.0.wrapping_add(1)), regs, f, &mut walker.retention, mem);
        }
        let ste = match streams.action::<CACHES>(who.stream, regs, f, &mut walker.retention, mem) {
            Ok(ste) => ste,
            Err(SteFault::BadStreamId) if CR2::RECINVSID.is_set(regs.cr2) => {
                return Err(Refusal::Record(record(EventId::C_BAD_STREAMID), false));
            }
            Err(SteFault::BadStreamId) => return Err(Refusal::Silent),
            Err(SteFault::Fetch(at)) => {
                let record = record(EventId::F_STE_FETCH).with_fetch_address(within_oas(at));
                return Err(Refusal::Record(record, false));
            }
        };
        let bad_substream = |ssid, merges| {
            let record = EventRecord::new(EventId::C_BAD_SUBSTREAMID, who.stream).with_bad_substream(ssid);
            Refusal::Record(record, merges)
        };
        let disabled = |merges| Refusal::Record(EventRecord::new(EventId::F_STREAM_DISABLED, who.stream), merges);
        let SteAction::Translate(config) = ste else {
            return match (ste, who.substream) {
                (SteAction::Illegal, _) => Err(Refusal::Record(record(EventId::C_BAD_STE), false)),
                (SteAction::Bypass(overrides), Some(ssid)) => Err(bad_substream(ssid, overrides.merges)),
                (SteAction::Bypass(overrides), None) => Ok(Route::Bypass(overrides)),
                (SteAction::Abort | SteAction::Translate(_), _) => Err(Refusal::Silent),
            };
        };
        let (overrides, stage2) = (&config.overrides, config.stage2.as_ref());
        let without_stage1 =
            || if stage2.is_some() { Route::Translate(Stages { stage1: None, stage2 }, overrides) } else { Route::Bypass(overrides) };
        let config = match (&config.stage1, who.substream) {
            (None, Some(ssid)) => return Err(bad_substream(ssid, overrides.merges)),
            (None, None) => return Ok(without_stage1()),
            (Some(config), _) => config,
        };
        let index = match config.choose(who.substream) {
            CdChoice::Index(index) => index,
            CdChoice::NoStage1 => return Ok(without_stage1()),
            CdChoice::Disabled => return Err(disabled(overrides.merges)),
            CdChoice::BadSubstream(ssid) => return Err(bad_substream(ssid, overrides.merges)),
        };
        let place = CdPlace { stream: who.stream, config, stage2 };
        if prefetches && (index + 1) >> config.cd_max == 0 {
            let _ = contexts.context::<CACHES>(place, index + 1, f, walker, mem);
        }
        match contexts.context::<CACHES>(place, index, f, walker, mem) {
            Ok(context) => Ok(Route::Translate(Stages { stage1: Some(context), stage2 }, overrides)),
            Err(fault) => {
                let merges = overrides.merges;
                Err(match (fault, stage2) {
                    (CdFault::BadSubstream, _) => bad_substream(SubstreamId(index), merges),
                    (CdFault::Stage2(fault), Some(stage2)) => Refusal::Stage2(*stage2, *overrides, fault),
                    (CdFault::Fetch(at), _) => Refusal::Record(record(EventId::F_CD_FETCH).with_fetch_address(within_oas(at)), merges),
                    (CdFault::Illegal | CdFault::Stage2(_), _) => Refusal::Record(record(EventId::C_BAD_CD), merges),
                })
            }
        }
    }
}
