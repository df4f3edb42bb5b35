//! Strict mode: mistakes of software that show in memory, not in registers. Nothing here changes an answer.

use hal::{Pa, PhysMemory, StreamId, SubstreamId};
use smmu_spec::cd::{CD_DW0, CD_DW1, CD_DW2};
use smmu_spec::command::Leaf as Levels;
use smmu_spec::descriptor::{Granule, LEAF};
use smmu_spec::ste::{STE_DW0, STE_DW1, STE_DW2};

use crate::cache::Cache;
use crate::cd_table::cd_key;
use crate::configuration::Configuration;
use crate::context::Context;
use crate::model::SmmuModel;
use crate::stream::{SteAction, SteConfig};
use crate::violation::Violation;
use crate::walker::Walker;

/// A structure as it was when it was last invalidated, or first fetched since. A fetch in between may meet a half of a change, and is no excuse for
/// the other half.
#[derive(Clone, Copy)]
struct Seen {
    at: u64,
    words: [u64; 4],
}

/// Structures seen lately. Keys as in the configuration caches.
pub(crate) struct Structures<const SETS: usize>(Cache<Seen, SETS>);

impl<const SETS: usize> Structures<SETS> {
    pub const fn new() -> Self {
        Self(Cache::new())
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes note of a fetch.
    pub fn saw(&mut self, key: u64, at: u64, words: [u64; 4]) {
        if self.0.find(key).is_none_or(|seen| seen.at != at) {
            self.0.insert(key, Seen { at, words });
        }
    }

    /// Gives one up.
    fn take(&mut self, key: u64) -> Option<Seen> {
        let seen = self.0.get(key)?;
        self.0.remove(key);
        Some(seen)
    }
}

/// What overrides privilege and instruction fetches, and what overrides memory type and shareability, in word 1 of an STE.
const PERMISSION_OVERRIDES: u64 = 0xf << 48;
const TYPE_OVERRIDES: u64 = 0x1f << 32 | 3 << 44;

/// The bits of an STE's first words that decide anything, given the STE. EATS and MEV may change at any time.
fn used_of_ste(words: &[u64; 4]) -> [u64; 4] {
    let v = STE_DW0::V::SET.value;
    if !STE_DW0::V.is_set(words[0]) {
        return [v, 0, 0, 0];
    }
    let config = STE_DW0::CONFIG.read(words[0]);
    let mut used = [v | STE_DW0::CONFIG.mask << STE_DW0::CONFIG.shift, 0, 0, 0];
    if config < 4 {
        return used;
    }
    used[1] |= PERMISSION_OVERRIDES;
    if config == 4 {
        used[1] |= TYPE_OVERRIDES;
    }
    if config & 1 != 0 {
        // S1Fmt, S1ContextPtr, S1CDMax; S1DSS, S1CIR, S1COR, S1CSH, S1STALLD, STRW; S2VMID.
        used[0] |= 0x30 | 0x00ff_ffff_ffff_ffc0 | 0x1f << 59;
        used[1] |= 0xff | 1 << 27 | 3 << 30 | if STE_DW1::S1DSS.read(words[1]) == 1 { TYPE_OVERRIDES } else { 0 };
        used[2] |= 0xffff;
    }
    if config & 2 != 0 {
        used[1] |= STE_DW1::S2FWB::SET.value | TYPE_OVERRIDES;
        used[2] |= STE_DW2::S2VMID.mask | !0xffff & !(3 << 62);
        used[3] = u64::MAX;
    }
    used
}

/// The same for a CD: a half that is not walked uses neither its table nor its geometry.
fn used_of_cd(words: &[u64; 4]) -> [u64; 4] {
    if !CD_DW0::V.is_set(words[0]) {
        return [CD_DW0::V::SET.value, 0, 0, 0];
    }
    let mut used = [u64::MAX; 4];
    if CD_DW0::EPD0.is_set(words[0]) {
        used[0] &= !0x3fff;
        used[1] &= !(CD_DW1::TTB0.mask << CD_DW1::TTB0.shift);
    }
    if CD_DW0::EPD1.is_set(words[0]) {
        used[0] &= !(0x3fff << 16);
        used[2] &= !(CD_DW2::TTB1.mask << CD_DW2::TTB1.shift);
    }
    used
}

/// True if a reader between the stores could have met a mixture: several words changed bits that mattered before or matter now.
fn is_torn(old: &[u64; 4], new: &[u64; 4], valid: u64, used: fn(&[u64; 4]) -> [u64; 4]) -> bool {
    let (before, now) = (used(old), used(new));
    let changed = (0..4).filter(|i| (old[*i] ^ new[*i]) & (before[*i] | now[*i]) != 0).count();
    // To or from V = 0 the other words may be in any state.
    old[0] & new[0] & valid != 0 && changed > 1
}

impl SmmuModel {
    /// Compares an STE with what it was, at CMD_CFGI_STE. With all levels the next one may lie elsewhere, and with another STE so may the CDs: who
    /// has given up the old ones may use their memory for anything.
    pub(crate) fn check_ste_update(&mut self, stream: StreamId, leaf: Levels, mem: &mut impl PhysMemory) {
        let key = u64::from(stream.0);
        self.configuration.contexts.seen.0.remove_where(|k, _| k >> 20 == key);
        let Some(seen) = self.configuration.streams.seen.take(key) else { return };
        let Some(words) = read_words(seen.at, mem) else { return };
        if is_torn(&seen.words, &words, STE_DW0::V::SET.value, used_of_ste) {
            self.log(Violation::TornUpdate { stream, substream: None });
        }
        if leaf == Levels::Only {
            self.configuration.streams.seen.saw(key, seen.at, words);
        }
    }

    /// The same for a CD, at CMD_CFGI_CD.
    pub(crate) fn check_cd_update(&mut self, stream: StreamId, substream: SubstreamId, leaf: Levels, mem: &mut impl PhysMemory) {
        let key = cd_key(stream, substream.0);
        let Some(seen) = self.configuration.contexts.seen.take(key) else { return };
        let Some(words) = read_words(seen.at, mem) else { return };
        if is_torn(&seen.words, &words, CD_DW0::V::SET.value, used_of_cd) {
            self.log(Violation::TornUpdate { stream, substream: Some(substream) });
        }
        if leaf == Levels::Only {
            self.configuration.contexts.seen.saw(key, seen.at, words);
        }
    }

    /// The same for all CDs of a stream, at CMD_CFGI_CD_ALL, which drops their level 1 too. One of several that are torn is named.
    pub(crate) fn check_cd_updates(&mut self, stream: StreamId, mem: &mut impl PhysMemory) {
        let mut torn = None;
        self.configuration.contexts.seen.0.remove_where(|key, seen| {
            let is_named = key >> 20 == u64::from(stream.0);
            if is_named
                && let Some(words) = read_words(seen.at, mem)
                && is_torn(&seen.words, &words, CD_DW0::V::SET.value, used_of_cd)
            {
                torn = Some(SubstreamId(key as u32 & 0xf_ffff));
            }
            is_named
        });
        if torn.is_some() {
            self.log(Violation::TornUpdate { stream, substream: torn });
        }
    }

    /// Tells the model that software considers the 4 KiB page at `page` free from now on: for strict tests, to be called by the owner of the
    /// memory. Logs a violation if a cache still leads there, or if an invalidation has not been completed by CMD_SYNC.
    pub fn note_freed(&mut self, page: Pa) {
        let page = page.0 & !0xfff;
        let in_page = |address: u64| address & !0xfff == page;
        let is_walked = |cd: &Context| cd.halves.iter().any(|half| !half.walks_disabled && in_page(half.tables.table));
        let Configuration { streams, contexts } = &self.configuration;
        let is_configured = streams.ste.values().any(|(_, ste)| match ste {
            SteAction::Translate(SteConfig { stage1, stage2, .. }) => {
                stage1.is_some_and(|s1| in_page(s1.table_base)) || stage2.is_some_and(|s2| in_page(s2.tables.table))
            }
            _ => false,
        });
        let is_described = contexts.cd.values().filter_map(|(_, cd)| cd.as_ref()).any(is_walked);
        let is_resolved = self
            .resolved
            .iter()
            .filter_map(|resolved| resolved.stages(self.generation))
            .any(|stages| stages.stage1.is_some_and(is_walked) || stages.stage2.is_some_and(|s2| in_page(s2.tables.table)));
        // Level-1 descriptors that are not invalid, and what lies below them.
        let is_linked = |descriptor: u64| descriptor & 0x1f != 0 && in_page(descriptor & 0x00ff_ffff_ffff_ffc0);
        let l1 = streams.l1std.values().chain(contexts.l1cd.values());
        let is_linked = l1.map(|(_, descriptor)| *descriptor).any(is_linked);
        if is_configured || is_described || is_resolved || is_linked || self.walker.tlb.leads_to(page) {
            self.log(Violation::FreedWhileCached { page });
        } else if self.invalidated_since_sync {
            self.log(Violation::FreedBeforeSync { page });
        }
    }
}

impl Walker {
    /// Looks at the neighbour of a leaf that claims to belong to a contiguous run: its descriptor, where that lies, and what it gives.
    ///
    /// A run may be met while it is filled. From invalid to valid a descriptor changes by its store alone, without break and without
    /// maintenance, and a run has as many stores as entries: while they are made in order, what is valid is one piece at an end of the run.
    /// Nothing wrong can come of it, since whatever the hint makes an implementation keep for an entry not yet written is what will be written
    /// there. A hole between valid entries was punched into a live run, without the break of all its entries that this takes; the hint may serve
    /// the page all the same. An entry taken out at the run's end looks like one not yet written, and is not named.
    #[inline(never)]
    pub(crate) fn check_contiguous(
        &mut self,
        descriptor: u64,
        (descriptor_at, output): (u64, u64),
        (granule, level): (Granule, u32),
        mem: &mut impl PhysMemory,
    ) {
        let entries = granule.contiguous_entries(level);
        if entries == 1 {
            return;
        }
        let shift = granule.level_shift(level);
        let (index, size) = (descriptor_at / 8, 1 << shift);
        let is_aligned = (output / size) % entries == index % entries;
        let Ok(neighbour) = mem.read64(Pa(descriptor_at ^ 8)) else { return };
        // Access flag and dirty state are each entry's own: AP[2] of stage 1 and S2AP[1] are one bit. Bits 50, 58:55 and 63:59 are software's, or
        // belong to features that are not there.
        let own = 1 << 10 | 1 << 7 | 1 << 50 | 0x1ff << 55;
        let beside = granule.address(neighbour, shift);
        let attributes = !(0x0000_ffff_ffff_f000 | own);
        let fits = (neighbour ^ descriptor) & attributes == 0 && beside ^ output == size;
        if !is_aligned || !(fits || !LEAF::VALID.is_set(neighbour) && is_one_piece(descriptor_at, entries, mem)) {
            self.log.push(Violation::WrongContiguous { descriptor_at });
        }
    }
}

/// True if the valid descriptors of the run around `at` stand side by side, at its begin or at its end.
fn is_one_piece(at: u64, entries: u64, mem: &mut impl PhysMemory) -> bool {
    let first = at & !(8 * entries - 1);
    let (mut changes, mut latest) = (0, None);
    for index in 0..entries {
        let Ok(descriptor) = mem.read64(Pa(first + 8 * index)) else { return false };
        let is_valid = LEAF::VALID.is_set(descriptor);
        changes += u32::from(latest.is_some_and(|latest| latest != is_valid));
        latest = Some(is_valid);
    }
    changes == 1
}

fn read_words(at: u64, mem: &mut impl PhysMemory) -> Option<[u64; 4]> {
    let mut words = [0; 4];
    mem.read_words(Pa(at), &mut words).ok()?;
    Some(words)
}
