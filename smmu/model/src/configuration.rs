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
use crate::stream::{CdTable, DefaultSubstream, Overrides, Stage1Config, SteAction};
use crate::violation::Violation;

/// The caches. Keys: L1STD StreamID >> SPLIT; STE StreamID; L1CD and CD StreamID << 20 | index.
pub(crate) struct ConfigurationCaches {
    pub l1std: Cache<u64, 64>,
    pub ste: Cache<SteAction, 64>,
    pub l1cd: Cache<u64, 64>,
    /// `None`: the CD is ILLEGAL.
    pub cd: Cache<Option<Context>, 128>,
    /// By owner of translations: the table of its latest CD.
    owners: Cache<u64, 128>,
}

impl ConfigurationCaches {
    pub const fn new() -> Self {
        Self { l1std: Cache::new(), ste: Cache::new(), l1cd: Cache::new(), cd: Cache::new(), owners: Cache::new() }
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
    /// Through the stages that were found.
    Translate(Overrides),
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
    /// Steps 1 to 7 of a translation: from requester to context, in the architecture's order of checks. The stages are put into `to`, which has
    /// none yet.
    #[inline]
    pub(crate) fn route(&mut self, who: Requester, to: &mut Translation, mem: &mut impl PhysMemory) -> Result<Route, Refusal> {
        let rec_inv_sid = CR2::RECINVSID.is_set(self.regs.cr2);
        let record = |id| EventRecord::new(id, who.stream).with_substream(who.substream);
        let ste = match self.ste(who.stream, mem) {
            Ok(ste) => ste,
            Err(SteFault::BadStreamId) if rec_inv_sid => return Err(Refusal::Record(record(EventId::C_BAD_STREAMID), false)),
            Err(SteFault::BadStreamId) => return Err(Refusal::Silent),
            Err(SteFault::Fetch(at)) => {
                let record = record(EventId::F_STE_FETCH).with_fetch_address(self.within_oas(at));
                return Err(Refusal::Record(record, false));
            }
        };
        let bad_substream = |ssid, merges| {
            let record = EventRecord::new(EventId::C_BAD_SUBSTREAMID, who.stream).with_bad_substream(ssid);
            Refusal::Record(record, merges)
        };
        let disabled = |merges| Refusal::Record(EventRecord::new(EventId::F_STREAM_DISABLED, who.stream), merges);
        let config = match (ste, who.substream) {
            (SteAction::Illegal, _) => return Err(Refusal::Record(record(EventId::C_BAD_STE), false)),
            (SteAction::Abort, _) => return Err(Refusal::Silent),
            (SteAction::Bypass(overrides), Some(ssid)) => return Err(bad_substream(ssid, overrides.merges)),
            (SteAction::Bypass(overrides), None) => return Ok(Route::Bypass(*overrides)),
            (SteAction::Translate(config), _) => config,
        };
        let overrides = config.overrides;
        if config.stage2.is_some() {
            to.stage2 = config.stage2;
        }
        let without_stage1 = if config.stage2.is_some() { Route::Translate(overrides) } else { Route::Bypass(overrides) };
        let (stage1, index) = match (config.stage1, who.substream) {
            (None, Some(ssid)) => return Err(bad_substream(ssid, overrides.merges)),
            (None, None) => return Ok(without_stage1),
            (Some(config), Some(ssid)) => {
                if config.cd_max == 0 || ssid.0 >> config.cd_max != 0 {
                    return Err(bad_substream(ssid, overrides.merges));
                }
                if config.default_substream == DefaultSubstream::Ssid0 && ssid.0 == 0 {
                    return Err(disabled(overrides.merges));
                }
                (config, ssid.0)
            }
            (Some(config), None) if config.cd_max > 0 => match config.default_substream {
                DefaultSubstream::Terminate => return Err(disabled(overrides.merges)),
                DefaultSubstream::Bypass => return Ok(without_stage1),
                DefaultSubstream::Ssid0 => (config, 0),
            },
            (Some(config), None) => (config, 0),
        };
        let Translation { stage1: context, stage2 } = to;
        let place = CdPlace { stream: who.stream, config: &stage1, stage2: stage2.as_ref() };
        if let Err(fault) = self.cd(place, index, context, mem) {
            let merges = overrides.merges;
            return Err(match (fault, *stage2) {
                (CdFault::BadSubstream, _) => bad_substream(SubstreamId(index), merges),
                (CdFault::Stage2(fault), Some(stage2)) => Refusal::Stage2(stage2, overrides, fault),
                (CdFault::Fetch(at), _) => Refusal::Record(record(EventId::F_CD_FETCH).with_fetch_address(self.within_oas(at)), merges),
                (CdFault::Illegal | CdFault::Stage2(_), _) => Refusal::Record(record(EventId::C_BAD_CD), merges),
            });
        }
        if self.retention.prefetches() {
            self.prefetch_neighbours(place, index, mem);
        }
        Ok(Route::Translate(overrides))
    }

    /// Fetches configuration as a hint: nothing is recorded.
    pub(crate) fn prefetch_configuration(&mut self, who: Requester, mem: &mut impl PhysMemory) {
        if self.retention.caches() {
            let mut translation = Translation::NONE;
            let _ = self.route(who, &mut translation, mem);
        }
    }

    fn prefetch_neighbours(&mut self, place: CdPlace<'_>, index: u32, mem: &mut impl PhysMemory) {
        let _ = self.ste(StreamId(place.stream.0.wrapping_add(1)), mem);
        if (index + 1) >> place.config.cd_max == 0 {
            let _ = self.cd(place, index + 1, &mut None, mem);
        }
    }

    fn within_oas(&self, address: u64) -> u64 {
        address & ((1 << self.features.oas_bits) - 1)
    }

    fn fetch(&mut self, at: u64, mem: &mut impl PhysMemory) -> Result<u64, BusError> {
        if self.features.beyond_oas(at) { Err(BusError) } else { mem.read64(Pa(at)) }
    }

    /// Reads the words of an STE or CD that some feature looks at. It is aligned to its size: it lies within the address size or beyond it.
    #[inline]
    fn fetch_words(&mut self, at: u64, mem: &mut impl PhysMemory) -> Result<[u64; 4], BusError> {
        if self.features.beyond_oas(at) {
            return Err(BusError);
        }
        let mut words = [0; 4];
        mem.read_words(Pa(at), &mut words)?;
        Ok(words)
    }

    #[inline]
    pub(crate) fn ste(&mut self, stream: StreamId, mem: &mut impl PhysMemory) -> Result<&SteAction, SteFault> {
        let key = u64::from(stream.0);
        let caches = self.retention.caches();
        if caches && self.caches.ste.find(key).is_some() {
            if !self.retention.forgets() {
                return self.caches.ste.find(key).ok_or(SteFault::BadStreamId);
            }
            self.caches.ste.remove(key);
        }
        let at = self.ste_address(stream, mem)?;
        self.counters.ste_fetches += 1;
        let words = self.fetch_words(at, mem).map_err(|_| SteFault::Fetch(at))?;
        let action = self.decoded.ste(&words, CR2::E2H.is_set(self.regs.cr2), &self.features);
        if caches {
            self.structures.saw_ste(key, at, words);
            self.caches.ste.insert(key, *action);
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
        let caches = self.retention.caches();
        let known = if caches { self.caches.l1std.get(index) } else { None };
        let descriptor = match known {
            Some(found) if !self.retention.forgets() => found,
            _ => {
                let at = (base & !(table_bytes - 1)) + index * L1STD_BYTES;
                let fetched = self.fetch(at, mem).map_err(|_| SteFault::Fetch(at))?;
                if caches {
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

    /// The CD of `index`, into `to`, which is `None` before.
    #[inline]
    fn cd(&mut self, place: CdPlace<'_>, index: u32, to: &mut Option<Context>, mem: &mut impl PhysMemory) -> Result<(), CdFault> {
        let key = cd_key(place.stream, index);
        let caches = self.retention.caches();
        if caches && let Some(found) = self.caches.cd.get(key) {
            if !self.retention.forgets() {
                *to = found;
                return if to.is_some() { Ok(()) } else { Err(CdFault::Illegal) };
            }
            self.caches.cd.remove(key);
        }
        let at = self.cd_address(place, index, mem)?;
        // A CD never crosses a page.
        let at = self.cd_table_address(place, at, mem)?;
        self.counters.cd_fetches += 1;
        let words = self.fetch_words(at, mem).map_err(|_| CdFault::Fetch(at))?;
        self.decoded.cd(&words, place.config, &self.features, to);
        if caches {
            self.structures.saw_cd(key, at, words);
            self.check_asid(key, to.as_ref());
            self.caches.cd.insert(key, *to);
        }
        if to.is_some() { Ok(()) } else { Err(CdFault::Illegal) }
    }

    fn cd_address(&mut self, place: CdPlace<'_>, index: u32, mem: &mut impl PhysMemory) -> Result<u64, CdFault> {
        let CdPlace { stream, config, .. } = place;
        let base = config.context_ptr;
        let CdTable::TwoLevel(split) = config.table else {
            return Ok((base & !((CD_BYTES << config.cd_max) - 1)) + u64::from(index) * CD_BYTES);
        };
        let table_bytes = (L1CD_BYTES << config.cd_max.saturating_sub(split)).max(64);
        let key = cd_key(stream, index >> split);
        let caches = self.retention.caches();
        let known = if caches { self.caches.l1cd.get(key) } else { None };
        let descriptor = match known {
            Some(found) if !self.retention.forgets() => found,
            _ => {
                let at = (base & !(table_bytes - 1)) + u64::from(index >> split) * L1CD_BYTES;
                let at = self.cd_table_address(place, at, mem)?;
                let fetched = self.fetch(at, mem).map_err(|_| CdFault::Fetch(at))?;
                if caches {
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

    /// Logs two live CDs of one owner with different tables. Looks at all of them only if the owner's table is another one than last time.
    fn check_asid(&mut self, key: u64, new: Option<&Context>) {
        let Some(new) = new.filter(|c| !c.halves[0].walks_disabled) else { return };
        let table = new.halves[0].tables.table;
        let latest = self.caches.owners.get(new.tag.number());
        self.caches.owners.insert(new.tag.number(), table);
        if latest.is_none_or(|latest| latest == table) {
            return;
        }
        let clashes = self
            .caches
            .cd
            .values()
            .filter(|(k, _)| *k != key)
            .filter_map(|(_, c)| c.as_ref())
            .any(|old| old.tag == new.tag && !old.halves[0].walks_disabled && old.halves[0].tables.table != table);
        if clashes {
            self.log(Violation::AsidClash { asid: new.tag.asid() });
        }
    }
}
