//! Finding the CD of a transaction, through the configuration caches (IHI 0070 3.3.2, 5.3, 5.4).

use hal::{Pa, PhysMemory, StreamId};
use smmu_spec::cd::{CD_BYTES, CD_DW0, CD_DW1, L1CD, L1CD_BYTES};

use crate::cache::Cache;
use crate::context::{CdWords, Context};
use crate::decoded::LatestCd;
use crate::profile::Features;
use crate::stage1::TranslationFault;
use crate::stage2::{Purpose, Stage2, Stage2Access};
use crate::stream::{CdTable, Stage1Config};
use crate::stream_table::fetch;
use crate::strict::Structures;
use crate::tlb::{Tag, world};
use crate::violation::{Violation, ViolationLog};
use crate::walker::Walker;

/// CDs and level-1 CD table descriptors. Keys: [`cd_key`].
pub(crate) struct Contexts {
    pub l1cd: Cache<u64, 64>,
    /// `None`: the CD is ILLEGAL.
    pub cd: Cache<Option<Context>, 128>,
    /// By owner of translations: its latest CD with a table. Some 512 owners fit.
    owners: Cache<Owner, 128>,
    pub latest: LatestCd,
    /// CDs as they were when last looked at.
    pub seen: Structures<32>,
    /// CDs read from memory.
    pub fetches: u64,
}

/// The latest CD of an owner.
#[derive(Clone, Copy)]
struct Owner {
    table: u64,
    /// Key of the CD; [`GONE`] once its stream was invalidated.
    key: u64,
    /// Physical address of the CD.
    at: u64,
}

/// No CD's key.
const GONE: u64 = u64::MAX;

impl Owner {
    /// True if the CD still stands in memory with the owner's ASID and this table.
    fn stands(&self, tag: Tag, mem: &mut impl PhysMemory) -> bool {
        let mut words = [0; 2];
        if self.key == GONE || mem.read_words(Pa(self.at), &mut words).is_err() {
            return false;
        }
        let [dw0, dw1] = words;
        // The plain EL2 world looks at neither EPD0 nor ASID.
        let is_owners = tag.world() == world::EL2 || !CD_DW0::EPD0.is_set(dw0) && CD_DW0::ASID.read(dw0) as u16 == tag.asid();
        CD_DW0::V.is_set(dw0) && is_owners && CD_DW1::TTB0.read(dw1) << 4 == self.table
    }
}

/// Why there is no context.
pub(crate) enum CdFault {
    BadSubstream,
    /// Reading this address aborted.
    Fetch(u64),
    Illegal,
    /// Stage 2 refused an address of the CD table.
    Stage2(TranslationFault),
}

/// Where the CDs of a stream lie.
#[derive(Clone, Copy)]
pub(crate) struct CdPlace<'a> {
    pub stream: StreamId,
    pub config: &'a Stage1Config,
    /// Its table's addresses are translated by this.
    pub stage2: Option<&'a Stage2>,
}

impl CdPlace<'_> {
    /// Physical address of `at` in the CD table.
    #[inline(always)]
    fn address(&self, at: u64, walker: &mut Walker, mem: &mut impl PhysMemory) -> Result<u64, CdFault> {
        match self.stage2 {
            None => Ok(at),
            Some(s2) => Self::nested_address(at, s2, walker, mem),
        }
    }

    #[inline(never)]
    fn nested_address(at: u64, s2: &Stage2, walker: &mut Walker, mem: &mut impl PhysMemory) -> Result<u64, CdFault> {
        match walker.stage2(s2, at, Stage2Access::fetch(Purpose::ContextDescriptor), mem) {
            Ok(page) => Ok(page.output | at & 0xfff),
            Err(fault) => Err(CdFault::Stage2(fault)),
        }
    }
}

/// StreamID << 20 | index.
pub(crate) const fn cd_key(stream: StreamId, index: u32) -> u64 {
    (stream.0 as u64) << 20 | index as u64
}

impl Contexts {
    pub const fn new() -> Self {
        Self { l1cd: Cache::new(), cd: Cache::new(), owners: Cache::new(), latest: LatestCd::new(), seen: Structures::new(), fetches: 0 }
    }

    /// Takes note that the CDs of the streams that `named` selects are out of use: their memory may hold anything.
    pub fn retire_owners(&mut self, named: impl Fn(StreamId) -> bool) {
        self.owners.for_each(|owner| {
            if owner.key != GONE && named(StreamId((owner.key >> 20) as u32)) {
                owner.key = GONE;
            }
        });
    }

    /// The context of `index`. `CACHES` is whether anything is cached.
    #[inline(always)]
    pub fn context<const CACHES: bool>(
        &mut self,
        place: CdPlace<'_>,
        index: u32,
        f: &Features,
        walker: &mut Walker,
        mem: &mut impl PhysMemory,
    ) -> Result<&Context, CdFault> {
        if CACHES {
            return self.cached(place, index, f, walker, mem);
        }
        let at = self.address::<CACHES>(place, index, f, walker, mem)?;
        match self.fetched(at, place, f, mem)? {
            (Some(context), _) => Ok(context),
            (None, _) => Err(CdFault::Illegal),
        }
    }

    #[inline(never)]
    fn cached(
        &mut self,
        place: CdPlace<'_>,
        index: u32,
        f: &Features,
        walker: &mut Walker,
        mem: &mut impl PhysMemory,
    ) -> Result<&Context, CdFault> {
        let key = cd_key(place.stream, index);
        if self.cd.find(key).is_some() {
            if !walker.retention.forgets() {
                return self.cd.find(key).and_then(Option::as_ref).ok_or(CdFault::Illegal);
            }
            self.cd.remove(key);
        }
        let at = self.address::<true>(place, index, f, walker, mem)?;
        let (context, words) = self.fetched(at, place, f, mem)?;
        let context = context.copied();
        self.seen.saw(key, at, words);
        self.check_asid((key, at), context.as_ref(), &mut walker.log, mem);
        self.cd.insert(key, context).as_ref().ok_or(CdFault::Illegal)
    }

    #[inline(always)]
    fn fetched(
        &mut self,
        at: u64,
        place: CdPlace<'_>,
        f: &Features,
        mem: &mut impl PhysMemory,
    ) -> Result<(Option<&Context>, CdWords), CdFault> {
        self.fetches += 1;
        let mut words = [0; 4];
        if f.beyond_oas(at) || mem.read_words(Pa(at), &mut words).is_err() {
            return Err(CdFault::Fetch(at));
        }
        Ok((self.latest.decode(&words, place.config, f), words))
    }

    /// Physical address of the CD of `index`.
    #[inline(always)]
    fn address<const CACHES: bool>(
        &mut self,
        place: CdPlace<'_>,
        index: u32,
        f: &Features,
        walker: &mut Walker,
        mem: &mut impl PhysMemory,
    ) -> Result<u64, CdFault> {
        let config = place.config;
        let CdTable::TwoLevel(split) = config.table else {
            return place.address(config.table_base + u64::from(index) * CD_BYTES, walker, mem);
        };
        let key = cd_key(place.stream, index >> split);
        let known = if CACHES { self.l1cd.get(key) } else { None };
        let descriptor = match known {
            Some(found) if !walker.retention.forgets() => found,
            _ => {
                let at = config.table_base + u64::from(index >> split) * L1CD_BYTES;
                let at = place.address(at, walker, mem)?;
                let fetched = fetch(at, f, mem).map_err(|_| CdFault::Fetch(at))?;
                if CACHES {
                    self.l1cd.insert(key, fetched);
                }
                fetched
            }
        };
        let table = L1CD::L2PTR.read(descriptor) << 12;
        if !L1CD::V.is_set(descriptor) || f.beyond_oas(table) {
            return Err(CdFault::BadSubstream);
        }
        let in_table = u64::from(index & ((1 << split) - 1));
        // A CD never crosses a page.
        place.address((table & !((CD_BYTES << split) - 1)) + in_table * CD_BYTES, walker, mem)
    }

    /// Logs two live CDs of one owner with different tables, if the owner's table is another one than last time. The other CD is the owner's
    /// latest one, if it still stands in memory and its stream was not invalidated since, whether or not a cache still holds it; or one
    /// that a cache holds.
    fn check_asid(&mut self, (key, at): (u64, u64), new: Option<&Context>, log: &mut ViolationLog, mem: &mut impl PhysMemory) {
        let Some(new) = new.filter(|c| !c.halves[0].walks_disabled) else { return };
        let table = new.halves[0].tables.table;
        let latest = self.owners.get(new.tag.number());
        self.owners.insert(new.tag.number(), Owner { table, key, at });
        let Some(latest) = latest.filter(|latest| latest.table != table) else { return };
        if latest.key != key && latest.stands(new.tag, mem) {
            log.push(Violation::AsidClash { asid: new.tag.asid() });
            return;
        }
        let clashes = self
            .cd
            .values()
            .filter(|(k, _)| *k != key)
            .filter_map(|(_, c)| c.as_ref())
            .any(|old| old.tag == new.tag && !old.halves[0].walks_disabled && old.halves[0].tables.table != table);
        if clashes {
            log.push(Violation::AsidClash { asid: new.tag.asid() });
        }
    }
}
