//! Finding the STE and the CD of a transaction, through the configuration caches (IHI 0070 3.3, 5.1 to 5.4).

use hal::{BusError, Pa, PhysMemory, Requester, StreamId, SubstreamId};
use smmu_spec::cd::{CD_BYTES, L1CD, L1CD_BYTES};
use smmu_spec::event::{EventId, EventRecord};
use smmu_spec::regs::{CR2, STRTAB_BASE, STRTAB_BASE_CFG};
use smmu_spec::ste::{L1STD, L1STD_BYTES, SPAN_MAX, STE_BYTES, effective_split};

use crate::cache::Cache;
use crate::context::Context;
use crate::model::SmmuModel;
use crate::stage1::{Translation, TranslationFault};
use crate::stage2::{Purpose, Stage2, Stage2Access};
use crate::stream::{CdTable, DefaultSubstream, Overrides, Stage1Config, SteAction, SteConfig};
use crate::tlb::world;
use crate::violation::Violation;

/// The caches. Keys: L1STD StreamID >> SPLIT; STE StreamID; L1CD and CD StreamID << 20 | index.
pub(crate) struct ConfigurationCaches {
    pub l1std: Cache<u64, 64>,
    pub ste: Cache<SteAction, 64>,
    pub l1cd: Cache<u64, 64>,
    /// `None`: the CD is ILLEGAL.
    pub cd: Cache<Option<Context>, 128>,
}

impl ConfigurationCaches {
    pub const fn new() -> Self {
        Self { l1std: Cache::new(), ste: Cache::new(), l1cd: Cache::new(), cd: Cache::new() }
    }
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
pub(crate) enum Route {
    /// Untranslated.
    Bypass(Overrides),
    /// Through these stages.
    Translate(Translation, Overrides),
}

pub(crate) enum SteFault {
    BadStreamId,
    Fetch(u64),
}

enum CdFault {
    BadSubstream,
    Fetch(u64),
    Illegal,
    Stage2(TranslationFault),
}

/// Where the CD of a transaction lies.
#[derive(Clone, Copy)]
struct CdPlace<'a> {
    stream: StreamId,
    config: &'a Stage1Config,
    /// Its table's addresses are translated by this.
    stage2: Option<&'a Stage2>,
}

const fn cd_key(stream: StreamId, index: u32) -> u64 {
    (stream.0 as u64) << 20 | index as u64
}

impl SmmuModel {
    /// Steps 1 to 7 of a translation: from requester to context, in the architecture's order of checks.
    pub(crate) fn route(&mut self, who: Requester, mem: &mut impl PhysMemory) -> Result<Route, Refusal> {
        let record = |id| EventRecord::new(id, who.stream).with_substream(who.substream);
        let ste = self.ste(who.stream, mem).map_err(|fault| match fault {
            SteFault::BadStreamId if CR2::RECINVSID.is_set(self.regs.cr2) => Refusal::Record(record(EventId::C_BAD_STREAMID), false),
            SteFault::BadStreamId => Refusal::Silent,
            SteFault::Fetch(at) => Refusal::Record(record(EventId::F_STE_FETCH).with_fetch_address(self.within_oas(at)), false),
        })?;
        let merges = match &ste {
            SteAction::Bypass(overrides) | SteAction::Translate(SteConfig { overrides, .. }) => overrides.merges,
            SteAction::Illegal | SteAction::Abort => false,
        };
        let bad_substream = |ssid| {
            let record = EventRecord::new(EventId::C_BAD_SUBSTREAMID, who.stream).with_bad_substream(ssid);
            Refusal::Record(record, merges)
        };
        let disabled = || Refusal::Record(EventRecord::new(EventId::F_STREAM_DISABLED, who.stream), merges);
        let config = match (ste, who.substream) {
            (SteAction::Illegal, _) => return Err(Refusal::Record(record(EventId::C_BAD_STE), false)),
            (SteAction::Abort, _) => return Err(Refusal::Silent),
            (SteAction::Bypass(_), Some(ssid)) => return Err(bad_substream(ssid)),
            (SteAction::Bypass(overrides), None) => return Ok(Route::Bypass(overrides)),
            (SteAction::Translate(config), _) => config,
        };
        let SteConfig { stage1, stage2, overrides, .. } = config;
        let without_stage1 = || match stage2 {
            None => Route::Bypass(overrides),
            Some(_) => Route::Translate(Translation { stage1: None, stage2 }, overrides),
        };
        let (stage1, index) = match (stage1, who.substream) {
            (None, Some(ssid)) => return Err(bad_substream(ssid)),
            (None, None) => return Ok(without_stage1()),
            (Some(config), Some(ssid)) => {
                if config.cd_max == 0 || ssid.0 >> config.cd_max != 0 {
                    return Err(bad_substream(ssid));
                }
                if config.default_substream == DefaultSubstream::Ssid0 && ssid.0 == 0 {
                    return Err(disabled());
                }
                (config, ssid.0)
            }
            (Some(config), None) if config.cd_max > 0 => match config.default_substream {
                DefaultSubstream::Terminate => return Err(disabled()),
                DefaultSubstream::Bypass => return Ok(without_stage1()),
                DefaultSubstream::Ssid0 => (config, 0),
            },
            (Some(config), None) => (config, 0),
        };
        let place = CdPlace { stream: who.stream, config: &stage1, stage2: stage2.as_ref() };
        let context = self.cd(place, index, mem).map_err(|fault| match (fault, stage2) {
            (CdFault::BadSubstream, _) => bad_substream(SubstreamId(index)),
            (CdFault::Stage2(fault), Some(stage2)) => Refusal::Stage2(stage2, overrides, fault),
            (CdFault::Fetch(at), _) => Refusal::Record(record(EventId::F_CD_FETCH).with_fetch_address(self.within_oas(at)), merges),
            (CdFault::Illegal | CdFault::Stage2(_), _) => Refusal::Record(record(EventId::C_BAD_CD), merges),
        })?;
        if self.retention.prefetches() {
            self.prefetch_neighbours(place, index, mem);
        }
        Ok(Route::Translate(Translation { stage1: Some(context), stage2 }, overrides))
    }

    /// Fetches configuration as a hint: nothing is recorded.
    pub(crate) fn prefetch_configuration(&mut self, who: Requester, mem: &mut impl PhysMemory) {
        if self.retention.caches() {
            let _ = self.route(who, mem);
        }
    }

    fn prefetch_neighbours(&mut self, place: CdPlace<'_>, index: u32, mem: &mut impl PhysMemory) {
        let _ = self.ste(StreamId(place.stream.0.wrapping_add(1)), mem);
        if (index + 1) >> place.config.cd_max == 0 {
            let _ = self.cd(place, index + 1, mem);
        }
    }

    fn within_oas(&self, address: u64) -> u64 {
        address & ((1 << self.features.oas_bits) - 1)
    }

    fn fetch(&mut self, at: u64, mem: &mut impl PhysMemory) -> Result<u64, BusError> {
        if self.features.beyond_oas(at) { Err(BusError) } else { mem.read64(Pa(at)) }
    }

    fn fetch_words(&mut self, at: u64, mem: &mut impl PhysMemory) -> Result<[u64; 4], BusError> {
        let mut words = [0; 4];
        for (i, word) in words.iter_mut().enumerate() {
            *word = self.fetch(at + 8 * i as u64, mem)?;
        }
        Ok(words)
    }

    pub(crate) fn ste(&mut self, stream: StreamId, mem: &mut impl PhysMemory) -> Result<SteAction, SteFault> {
        let key = u64::from(stream.0);
        if let Some(found) = self.caches.ste.get(key) {
            if !self.retention.forgets() {
                return Ok(found);
            }
            self.caches.ste.remove(key);
        }
        let at = self.ste_address(stream, mem)?;
        self.counters.ste_fetches += 1;
        let words = self.fetch_words(at, mem).map_err(|_| SteFault::Fetch(at))?;
        let mut action = SteAction::decode(&words, &self.features);
        if let SteAction::Translate(SteConfig { stage1: Some(stage1), .. }) = &mut action
            && stage1.world == world::EL2
            && CR2::E2H.is_set(self.regs.cr2)
        {
            stage1.world = world::EL2_E2H;
        }
        if self.retention.caches() {
            self.structures.saw_ste(key, at, words);
            self.caches.ste.insert(key, action);
        }
        Ok(action)
    }

    /// A word of a valid STE, from memory; `None` if it cannot be read.
    pub(crate) fn ste_word(&mut self, stream: StreamId, word: u64, mem: &mut impl PhysMemory) -> Option<u64> {
        let at = self.ste_address(stream, mem).ok()?;
        self.fetch(at + 8 * word, mem).ok()
    }

    fn ste_address(&mut self, stream: StreamId, mem: &mut impl PhysMemory) -> Result<u64, SteFault> {
        let cfg = self.regs.strtab_base_cfg;
        let log2 = STRTAB_BASE_CFG::LOG2SIZE.read(cfg).min(self.features.sid_bits);
        let sid = u64::from(stream.0);
        if sid >> log2 != 0 {
            return Err(SteFault::BadStreamId);
        }
        let base = STRTAB_BASE::ADDR.read(self.regs.strtab_base) << 6;
        if STRTAB_BASE_CFG::FMT.read(cfg) != 1 {
            return Ok((base & !((STE_BYTES << log2) - 1)) + sid * STE_BYTES);
        }
        let split = effective_split(STRTAB_BASE_CFG::SPLIT.read(cfg));
        let table_bytes = (L1STD_BYTES << log2.saturating_sub(split)).max(64);
        let index = sid >> split;
        let descriptor = match self.caches.l1std.get(index) {
            Some(found) if !self.retention.forgets() => found,
            _ => {
                let at = (base & !(table_bytes - 1)) + index * L1STD_BYTES;
                let fetched = self.fetch(at, mem).map_err(|_| SteFault::Fetch(at))?;
                if self.retention.caches() {
                    self.caches.l1std.insert(index, fetched);
                }
                fetched
            }
        };
        let span = L1STD::SPAN.read(descriptor);
        if span == 0 || span > SPAN_MAX || span > u64::from(split) + 1 {
            return Err(SteFault::BadStreamId);
        }
        let (entries, offset) = (1_u64 << (span - 1), sid & ((1 << split) - 1));
        if offset >= entries {
            return Err(SteFault::BadStreamId);
        }
        let array = L1STD::L2PTR.read(descriptor) << 6;
        Ok((array & !(entries * STE_BYTES - 1)) + offset * STE_BYTES)
    }

    /// Physical address of `at` in a CD table.
    fn cd_table_address(&mut self, place: CdPlace<'_>, at: u64, mem: &mut impl PhysMemory) -> Result<u64, CdFault> {
        match place.stage2 {
            None => Ok(at),
            Some(s2) => match self.stage2(s2, at, Stage2Access::fetch(Purpose::ContextDescriptor), mem) {
                Ok(page) => Ok(page.output | at & 0xfff),
                Err(fault) => Err(CdFault::Stage2(fault)),
            },
        }
    }

    fn cd(&mut self, place: CdPlace<'_>, index: u32, mem: &mut impl PhysMemory) -> Result<Context, CdFault> {
        let key = cd_key(place.stream, index);
        if let Some(found) = self.caches.cd.get(key) {
            if !self.retention.forgets() {
                return found.ok_or(CdFault::Illegal);
            }
            self.caches.cd.remove(key);
        }
        let at = self.cd_address(place, index, mem)?;
        // A CD never crosses a page.
        let at = self.cd_table_address(place, at, mem)?;
        self.counters.cd_fetches += 1;
        let words = self.fetch_words(at, mem).map_err(|_| CdFault::Fetch(at))?;
        let context = Context::decode(&words, place.config, &self.features);
        if self.retention.caches() {
            self.structures.saw_cd(key, at, words);
            self.check_asid(key, context.as_ref());
            self.caches.cd.insert(key, context);
        }
        context.ok_or(CdFault::Illegal)
    }

    fn cd_address(&mut self, place: CdPlace<'_>, index: u32, mem: &mut impl PhysMemory) -> Result<u64, CdFault> {
        let CdPlace { stream, config, .. } = place;
        let base = config.context_ptr;
        let CdTable::TwoLevel(split) = config.table else {
            return Ok((base & !((CD_BYTES << config.cd_max) - 1)) + u64::from(index) * CD_BYTES);
        };
        let table_bytes = (L1CD_BYTES << config.cd_max.saturating_sub(split)).max(64);
        let key = cd_key(stream, index >> split);
        let descriptor = match self.caches.l1cd.get(key) {
            Some(found) if !self.retention.forgets() => found,
            _ => {
                let at = (base & !(table_bytes - 1)) + u64::from(index >> split) * L1CD_BYTES;
                let at = self.cd_table_address(place, at, mem)?;
                let fetched = self.fetch(at, mem).map_err(|_| CdFault::Fetch(at))?;
                if self.retention.caches() {
                    self.caches.l1cd.insert(key, fetched);
                }
                fetched
            }
        };
        let table = L1CD::L2PTR.read(descriptor) << 12;
        if !L1CD::V.is_set(descriptor) || self.features.beyond_oas(table) {
            return Err(CdFault::BadSubstream);
        }
        let in_table = u64::from(index & ((1 << split) - 1));
        Ok((table & !((CD_BYTES << split) - 1)) + in_table * CD_BYTES)
    }

    /// Logs two live CDs of one owner with different tables.
    fn check_asid(&mut self, key: u64, new: Option<&Context>) {
        let Some(new) = new.filter(|c| !c.halves[0].walks_disabled) else { return };
        let clashes = self
            .caches
            .cd
            .values()
            .filter(|(k, _)| *k != key)
            .filter_map(|(_, c)| c.as_ref())
            .any(|old| old.tag == new.tag && !old.halves[0].walks_disabled && old.halves[0].table != new.halves[0].table);
        if clashes {
            self.log(Violation::AsidClash { asid: new.tag.asid() });
        }
    }
}
