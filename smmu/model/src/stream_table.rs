//! Finding the STE of a stream, through the configuration caches (IHI 0070 3.3.1, 5.1, 5.2).

use hal::{BusError, Pa, PhysMemory, StreamId};
use smmu_spec::regs::{CR2, STRTAB_BASE, STRTAB_BASE_CFG};
use smmu_spec::ste::{L1STD, L1STD_BYTES, SPAN_MAX, STE_BYTES, effective_split};

use crate::cache::Cache;
use crate::decoded::LatestSte;
use crate::policy::Retention;
use crate::profile::Features;
use crate::registers::Registers;
use crate::stream::SteAction;
use crate::strict::Structures;

/// STEs and level-1 Stream table descriptors. Keys: STE StreamID; L1STD StreamID >> SPLIT.
pub(crate) struct Streams {
    pub l1std: Cache<u64, 64>,
    pub ste: Cache<SteAction, 64>,
    pub latest: LatestSte,
    /// STEs as they were when last looked at.
    pub seen: Structures<16>,
    /// STEs read from memory.
    pub fetches: u64,
    /// Where the latest STE was found while nothing was cached.
    pub found: Found,
}

/// Where an STE was found.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    /// The level-1 descriptor that led to it and its address, if the table has two levels.
    pub l1std: Option<(u64, u64)>,
    pub ste_at: u64,
}

impl Found {
    pub const NOWHERE: Self = Self { l1std: None, ste_at: 0 };
}

/// Why there is no STE.
pub(crate) enum SteFault {
    BadStreamId,
    /// Reading this address aborted.
    Fetch(u64),
}

/// Reads a word of a configuration structure.
pub(crate) fn fetch(at: u64, f: &Features, mem: &mut impl PhysMemory) -> Result<u64, BusError> {
    if f.beyond_oas(at) { Err(BusError) } else { mem.read64(Pa(at)) }
}

impl Streams {
    pub const fn new() -> Self {
        Self {
            l1std: Cache::new(),
            ste: Cache::new(),
            latest: LatestSte::new(),
            seen: Structures::new(),
            fetches: 0,
            found: Found::NOWHERE,
        }
    }

    /// What the STE of `stream` asks for. `CACHES` is whether anything is cached.
    #[inline(always)]
    pub fn action<const CACHES: bool>(
        &mut self,
        stream: StreamId,
        regs: &Registers,
        f: &Features,
        retention: &mut Retention,
        mem: &mut impl PhysMemory,
    ) -> Result<&SteAction, SteFault> {
        if CACHES {
            return self.cached(stream, regs, f, retention, mem);
        }
        self.found.l1std = None;
        let at = self.address::<CACHES>(stream, regs, f, retention, mem)?;
        self.found.ste_at = at;
        self.fetched(at, regs, f, mem).map(|(action, _)| action)
    }

    #[inline(never)]
    fn cached(
        &mut self,
        stream: StreamId,
        regs: &Registers,
        f: &Features,
        retention: &mut Retention,
        mem: &mut impl PhysMemory,
    ) -> Result<&SteAction, SteFault> {
        let key = u64::from(stream.0);
        if self.ste.find(key).is_some() {
            if !retention.forgets() {
                return self.ste.find(key).ok_or(SteFault::BadStreamId);
            }
            self.ste.remove(key);
        }
        let at = self.address::<true>(stream, regs, f, retention, mem)?;
        let (action, words) = self.fetched(at, regs, f, mem)?;
        let action = *action;
        self.seen.saw(key, at, words);
        Ok(self.ste.insert(key, action))
    }

    #[inline(always)]
    fn fetched(&mut self, at: u64, regs: &Registers, f: &Features, mem: &mut impl PhysMemory) -> Result<(&SteAction, [u64; 4]), SteFault> {
        self.fetches += 1;
        let mut words = [0; 4];
        if f.beyond_oas(at) || mem.read_words(Pa(at), &mut words).is_err() {
            return Err(SteFault::Fetch(at));
        }
        Ok((self.latest.decode(&words, CR2::E2H.is_set(regs.cr2), f), words))
    }

    /// A word of a valid STE, from memory; `None` if it cannot be read.
    pub fn word(
        &mut self,
        stream: StreamId,
        word: u64,
        regs: &Registers,
        f: &Features,
        retention: &mut Retention,
        mem: &mut impl PhysMemory,
    ) -> Option<u64> {
        let at = if retention.caches() {
            self.address::<true>(stream, regs, f, retention, mem)
        } else {
            self.address::<false>(stream, regs, f, retention, mem)
        };
        let at = at.ok()?;
        fetch(at + 8 * word, f, mem).ok()
    }

    #[inline(always)]
    fn address<const CACHES: bool>(
        &mut self,
        stream: StreamId,
        regs: &Registers,
        f: &Features,
        retention: &mut Retention,
        mem: &mut impl PhysMemory,
    ) -> Result<u64, SteFault> {
        let cfg = regs.strtab_base_cfg;
        let log2 = STRTAB_BASE_CFG::LOG2SIZE.read(cfg).min(f.sid_bits);
        let sid = u64::from(stream.0);
        if sid >> log2 != 0 {
            return Err(SteFault::BadStreamId);
        }
        let base = STRTAB_BASE::ADDR.read(regs.strtab_base) << 6;
        if STRTAB_BASE_CFG::FMT.read(cfg) != 1 {
            return Ok((base & !((STE_BYTES << log2) - 1)) + sid * STE_BYTES);
        }
        let split = effective_split(STRTAB_BASE_CFG::SPLIT.read(cfg));
        let table_bytes = (L1STD_BYTES << log2.saturating_sub(split)).max(64);
        let index = sid >> split;
        let known = if CACHES { self.l1std.get(index) } else { None };
        let descriptor = match known {
            Some(found) if !retention.forgets() => found,
            _ => {
                let at = (base & !(table_bytes - 1)) + index * L1STD_BYTES;
                let fetched = fetch(at, f, mem).map_err(|_| SteFault::Fetch(at))?;
                if CACHES {
                    self.l1std.insert(index, fetched);
                } else {
                    self.found.l1std = Some((at, fetched));
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
}
