//! The stages of a transaction: range, TLB, walk, Access flag, permissions, then stage 2.

use hal::{AccessKind, Pa, PhysMemory};
use smmu_spec::descriptor::{Granule, LEAF};
use smmu_spec::event::EventId;

use crate::context::{Context, Half};
use crate::profile::Features;
use crate::stage2::{Purpose, Stage2, Stage2Access, combine_attributes, combine_shareability};
use crate::stream::Incoming;
use crate::tlb::{Entry, allow};
use crate::translate::{Transaction, Translated};
use crate::walk::{Leaf, WalkFault};
use crate::walker::Walker;

/// How often a descriptor that changes under an atomic update is read again before the walk is given up as aborted.
pub(crate) const UPDATE_ATTEMPTS: u32 = 64;

/// Why a translation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TranslationFault {
    /// One of the four faults of stage 1, which CD.{S, R, A} governs.
    Stage1(EventId),
    /// One of the four faults of stage 2, which STE.{S2S, S2R} governs.
    Stage2 { id: EventId, purpose: Purpose, ipa: u64 },
    /// F_WALK_EABT with its fetch address, and what stage 2 was walked for.
    WalkAbort { at: u64, stage2: Option<Purpose> },
    /// The input address of a stage 2 that nothing precedes is too large.
    InputSize,
}

/// How far a translation goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Through every stage.
    Both,
    /// To the intermediate address.
    Stage1,
}

const TRANSLATION: TranslationFault = TranslationFault::Stage1(EventId::F_TRANSLATION);

/// What translates a requester's traffic, at least one stage: where it stands in a cache, or was decoded a moment ago.
#[derive(Clone, Copy)]
pub(crate) struct Stages<'a> {
    pub stage1: Option<&'a Context>,
    pub stage2: Option<&'a Stage2>,
}

/// What CD.{S, R, A} or STE.{S2S, S2R} say about a fault.
#[derive(Clone, Copy)]
pub(crate) struct Conduct {
    pub stall: bool,
    pub record: bool,
    pub abort: bool,
}

impl Stages<'_> {
    /// How faults of stage 1 and of stage 2 end. Terminated stage 2 faults always abort.
    pub fn conduct(&self) -> [Option<Conduct>; 2] {
        [
            self.stage1.map(|context| Conduct { stall: context.stall, record: context.record, abort: context.abort }),
            self.stage2.map(|s2| Conduct { stall: s2.stall, record: s2.record, abort: true }),
        ]
    }
}

/// What stage 1 is asked for, and by what.
struct Request<'a> {
    tx: &'a Transaction,
    context: &'a Context,
    half: &'a Half,
    /// In the half's range.
    address: u64,
    stage2: Option<&'a Stage2>,
    extent: Extent,
}

/// The descriptor as an access wants it, or why the access is refused.
#[inline(always)]
fn wanted(tx: &Transaction, context: &Context, leaf: &Leaf, permissions: u16) -> Result<u64, EventId> {
    let has_access = LEAF::AF.is_set(leaf.descriptor);
    if !has_access && !context.update_access && !context.access_flag_ignored {
        return Err(EventId::F_ACCESS);
    }
    if permissions & permission_bit(tx) == 0 {
        return Err(EventId::F_PERMISSION);
    }
    let mut wanted = leaf.descriptor;
    if context.update_access {
        wanted |= LEAF::AF::SET.value;
    }
    if tx.kind == AccessKind::Write && permissions & allow::CLEAN != 0 {
        wanted &= !LEAF::AP2::SET.value;
    }
    Ok(wanted)
}

/// Selects the half and checks the address against it; gives the address with its ignored top byte replaced.
#[inline]
pub(crate) fn locate<'c>(context: &'c Context, tx: &Transaction) -> Option<(&'c Half, u64)> {
    let address = ((tx.iova.0 << 8) as i64 >> 8) as u64;
    let is_upper = address >> 63 == 1;
    let half = &context.halves[usize::from(is_upper)];
    let distance = if is_upper { !address } else { address };
    let top_byte_fits = half.top_byte_ignored || address == tx.iova.0;
    let is_forbidden = half.unprivileged_forbidden && !tx.who.privileged;
    (distance & half.outside == 0 && top_byte_fits && !is_forbidden).then_some((half, address))
}

/// The number of the `allow` bit that a transaction needs.
#[inline]
pub(crate) fn permission(tx: &Transaction) -> u16 {
    let who = if tx.who.privileged { allow::PRIVILEGED } else { allow::UNPRIVILEGED };
    let what = match tx.kind {
        AccessKind::Read => allow::READ,
        AccessKind::Write => allow::WRITE,
        AccessKind::Execute => allow::EXECUTE,
    };
    who + what
}

#[inline]
pub(crate) fn permission_bit(tx: &Transaction) -> u16 {
    1 << permission(tx)
}

/// True if the entry serves the transaction as it stands.
#[inline]
pub(crate) fn serves(entry: &Entry, tx: &Transaction) -> bool {
    let needs_update = tx.kind == AccessKind::Write && (entry.permissions | entry.stage2) & allow::CLEAN != 0;
    entry.permissions & entry.stage2 & permission_bit(tx) != 0 && !needs_update
}

impl Translated {
    #[inline]
    pub(crate) fn from_entry(entry: &Entry, address: u64) -> Self {
        Self { pa: Pa(entry.output | address & 0xfff), attributes: entry.attributes, shareability: entry.shareability }
    }
}

impl Entry {
    /// A stage 2 entry for traffic that no stage 1 translates.
    pub(crate) fn without_stage1(self, incoming: Incoming) -> Self {
        let Incoming { attributes, shareability } = incoming;
        Self {
            attributes: combine_attributes(attributes, self.attributes),
            shareability: combine_shareability(shareability, self.shareability),
            ..self
        }
    }

    /// What stage 1 alone says.
    fn before_stage2(self) -> Self {
        Self { output: self.ipa, stage2: allow::EVERYTHING, ..self }
    }

    /// A page that stands for itself. Never kept.
    pub(crate) const fn identity(address: u64) -> Self {
        let page = address & !0xfff;
        Self { output: page, ipa: page, permissions: allow::EVERYTHING, stage2: allow::EVERYTHING, attributes: 0xff, ..Self::EMPTY }
    }
}

impl Walker {
    /// Translates through whatever stages there are. Nothing is recorded here.
    #[inline(never)]
    pub(crate) fn through_stages(
        &mut self,
        tx: &Transaction,
        stages: Stages<'_>,
        f: &Features,
        mem: &mut impl PhysMemory,
    ) -> Result<Entry, TranslationFault> {
        match (stages.stage1, stages.stage2) {
            (Some(context), stage2) => self.stage1(tx, context, stage2, Extent::Both, mem),
            (None, Some(s2)) => {
                if f.beyond_oas(tx.iova.0) {
                    return Err(TranslationFault::InputSize);
                }
                let known = self.tlb.lookup(s2.tables.tag, tx.iova.0).is_some();
                self.tlb_hits += u64::from(known);
                self.stage2(s2, tx.iova.0, Stage2Access::of(tx), mem).map(|page| page.without_stage1(s2.incoming))
            }
            (None, None) => Err(TranslationFault::InputSize),
        }
    }

    /// [`through_stages`](Self::through_stages) while nothing is cached. One stage with tables of 4 KiB that grants the access as they stand is
    /// done in the caller's code.
    #[inline(always)]
    pub(crate) fn through_stages_uncached(
        &mut self,
        tx: &Transaction,
        stages: Stages<'_>,
        f: &Features,
        mem: &mut impl PhysMemory,
    ) -> Result<Translated, TranslationFault> {
        if let Stages { stage1: Some(context), stage2: None } = stages
            && let Some((half, address)) = locate(context, tx)
            && !half.walks_disabled
            && half.tables.granule == Granule::Kib4
        {
            return match self.serve_plainly::<false>(tx, context, (half, address), mem) {
                Ok(entry) => Ok(Translated::from_entry(&entry, address)),
                Err(fault) => Err(fault),
            };
        }
        self.through_stages(tx, stages, f, mem).map(|entry| Translated::from_entry(&entry, tx.iova.0))
    }

    /// Translates by stage 1 only, for split-stage ATS: the output is an intermediate address. Tables still lie where stage 2 says.
    pub(crate) fn stage1_alone(
        &mut self,
        tx: &Transaction,
        context: &Context,
        stage2: Option<&Stage2>,
        mem: &mut impl PhysMemory,
    ) -> Result<Entry, TranslationFault> {
        self.stage1(tx, context, stage2, Extent::Stage1, mem).map(Entry::before_stage2)
    }

    fn stage1(
        &mut self,
        tx: &Transaction,
        context: &Context,
        stage2: Option<&Stage2>,
        extent: Extent,
        mem: &mut impl PhysMemory,
    ) -> Result<Entry, TranslationFault> {
        let Some((half, address)) = locate(context, tx) else { return Err(TRANSLATION) };
        let caches = self.retention.caches();
        if caches && let Some(entry) = self.tlb.lookup(context.tag, address) {
            let bit = permission_bit(tx);
            if self.retention.forgets() {
                self.tlb.forget(context.tag, address);
            } else if serves(entry, tx) || extent == Extent::Stage1 && serves(&entry.before_stage2(), tx) {
                self.tlb_hits += 1;
                return Ok(*entry);
            } else if entry.permissions & bit == 0 {
                // A denying entry stays until it is invalidated: relaxing a permission needs maintenance too.
                self.tlb_hits += 1;
                return Err(TranslationFault::Stage1(EventId::F_PERMISSION));
            } else if entry.stage2 & bit == 0 && extent == Extent::Both {
                self.tlb_hits += 1;
                let ipa = entry.ipa | address & 0xfff;
                return Err(Stage2Access::of(tx).fault(EventId::F_PERMISSION, ipa));
            }
        }
        if half.walks_disabled {
            return Err(TRANSLATION);
        }
        let answer = if stage2.is_none() && half.tables.granule == Granule::Kib4 {
            self.serve_plainly::<true>(tx, context, (half, address), mem)
        } else {
            self.serve(&Request { tx, context, half, address, stage2, extent }, mem)
        };
        if caches && answer.is_ok() && self.retention.prefetches() {
            self.prefetch_page(tx, context, stage2, address.wrapping_add(1 << 12), mem);
        }
        answer
    }

    /// [`serve`](Self::serve) for one stage with tables of 4 KiB. An access that the leaf grants as it stands is done in the caller's code.
    #[inline(always)]
    fn serve_plainly<const CACHES: bool>(
        &mut self,
        tx: &Transaction,
        context: &Context,
        (half, address): (&Half, u64),
        mem: &mut impl PhysMemory,
    ) -> Result<Entry, TranslationFault> {
        let leaf = match self.walk_4k::<CACHES>(&half.tables, address, mem) {
            Ok(leaf) => leaf,
            Err(fault) => return Err(fault.in_stage1()),
        };
        let entry = entry_of(&leaf, context, address);
        if wanted(tx, context, &leaf, entry.permissions) == Ok(leaf.descriptor) {
            if CACHES {
                self.keep(&entry);
            }
            return Ok(entry);
        }
        let request = Request { tx, context, half, address, stage2: None, extent: Extent::Both };
        self.settle(&request, leaf.copied(), mem)
    }

    /// Walks for a request until an answer is final.
    #[inline(never)]
    fn serve(&mut self, request: &Request<'_>, mem: &mut impl PhysMemory) -> Result<Entry, TranslationFault> {
        match self.walk_tables(&request.half.tables, request.address, request.stage2, mem) {
            Ok(leaf) => self.settle(request, leaf, mem),
            Err(fault) => Err(fault.in_stage1()),
        }
    }

    /// Ends a walk that came to `leaf`: refuses the access, updates the descriptor, and walks again where that fails.
    #[inline(never)]
    fn settle(&mut self, request: &Request<'_>, mut leaf: Leaf, mem: &mut impl PhysMemory) -> Result<Entry, TranslationFault> {
        let Request { tx, context, half, address, stage2, extent } = *request;
        let beyond = stage2.filter(|_| extent == Extent::Both);
        let mut attempts = 1;
        loop {
            let entry = entry_of(&leaf, context, address);
            let wanted = match wanted(tx, context, &leaf, entry.permissions) {
                Ok(wanted) if wanted == leaf.descriptor => return self.finish(request, entry, mem),
                Ok(wanted) => wanted,
                Err(id) => {
                    // Not cached: an entry whose Access flag hardware has yet to set, and one whose final address stage 2 has not seen.
                    let is_final = stage2.is_none() && (LEAF::AF.is_set(leaf.descriptor) || !context.update_access);
                    if id == EventId::F_PERMISSION && is_final {
                        self.keep(&entry);
                    }
                    return Err(TranslationFault::Stage1(id));
                }
            };
            if let Some(s2) = stage2 {
                // Both stages allow the access before any dirty state changes.
                self.stage2(s2, leaf.descriptor_ipa, Stage2Access::fetch(Purpose::TableUpdate), mem)?;
            }
            if let Some(s2) = beyond {
                self.stage2(s2, entry.output | address & 0xfff, Stage2Access { commits: false, ..Stage2Access::of(tx) }, mem)?;
            }
            let aborted = TranslationFault::WalkAbort { at: leaf.descriptor_at, stage2: None };
            let found = mem.compare_exchange64(Pa(leaf.descriptor_at), leaf.descriptor, wanted).map_err(|_| aborted)?;
            if found == leaf.descriptor {
                leaf.descriptor = wanted;
                return self.finish(request, entry_of(&leaf, context, address), mem);
            }
            if attempts == UPDATE_ATTEMPTS {
                return Err(aborted);
            }
            attempts += 1;
            leaf = self.walk_tables(&half.tables, address, stage2, mem).map_err(WalkFault::in_stage1)?;
        }
    }

    /// Sends a stage 1 result through stage 2, if there is one, and keeps both as one entry.
    fn finish(&mut self, request: &Request<'_>, entry: Entry, mem: &mut impl PhysMemory) -> Result<Entry, TranslationFault> {
        let Some(s2) = request.stage2 else {
            self.keep(&entry);
            return Ok(entry);
        };
        if request.extent == Extent::Stage1 {
            // Half of a combined entry is not kept.
            return Ok(entry);
        }
        let page = self.stage2(s2, entry.output | request.address & 0xfff, Stage2Access::of(request.tx), mem)?;
        let entry = combined(entry, &page);
        self.keep(&entry);
        Ok(entry)
    }

    /// Fetches a translation as a hint: nothing is recorded, no dirty state changes.
    #[inline(never)]
    pub(crate) fn prefetch_page(
        &mut self,
        tx: &Transaction,
        context: &Context,
        stage2: Option<&Stage2>,
        address: u64,
        mem: &mut impl PhysMemory,
    ) {
        if !self.retention.caches() {
            return;
        }
        let hint = Transaction { iova: hal::Iova(address), kind: AccessKind::Read, ..*tx };
        let Some((half, address)) = locate(context, &hint) else { return };
        if half.walks_disabled || self.tlb.lookup(context.tag, address).is_some() {
            return;
        }
        let Ok(leaf) = self.walk_tables(&half.tables, address, stage2, mem) else { return };
        if LEAF::AF.is_set(leaf.descriptor) || context.access_flag_ignored && !context.update_access {
            let entry = entry_of(&leaf, context, address);
            if stage2.is_none() || entry.permissions & permission_bit(&hint) != 0 {
                let _ = self.finish(&Request { tx: &hint, context, half, address, stage2, extent: Extent::Both }, entry, mem);
            }
        }
    }
}

#[inline(always)]
fn entry_of(leaf: &Leaf, context: &Context, address: u64) -> Entry {
    let is_global = !LEAF::NG.is_set(leaf.descriptor);
    let attr_index = LEAF::ATTR_INDEX.read(leaf.descriptor);
    let output = leaf.output_page(address);
    Entry {
        tag: if is_global { context.tag.global() } else { context.tag },
        page: address >> 12,
        output,
        ipa: output,
        permissions: leaf.permissions(context),
        stage2: allow::EVERYTHING,
        size_log2: leaf.reach_log2,
        level: leaf.level,
        granule: leaf.granule,
        attributes: (context.mair >> (8 * attr_index)) as u8,
        shareability: LEAF::SH.read(leaf.descriptor) as u8,
    }
}

/// A stage 1 entry whose output was translated by the stage 2 entry `page`. It is invalidated like the stage 1 entry.
fn combined(entry: Entry, page: &Entry) -> Entry {
    Entry {
        output: page.output,
        stage2: page.permissions,
        attributes: combine_attributes(entry.attributes, page.attributes),
        shareability: combine_shareability(entry.shareability, page.shareability),
        ..entry
    }
}
