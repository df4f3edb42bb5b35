//! Stage 1 of a transaction: range, TLB, walk, Access flag, permissions.

use hal::{AccessKind, Pa, PhysMemory};
use smmu_spec::descriptor::LEAF;
use smmu_spec::event::EventId;

use crate::context::{Context, Half};
use crate::model::SmmuModel;
use crate::tlb::{Entry, allow};
use crate::translate::{Transaction, Translated};
use crate::walk::{Leaf, WalkFault, walk};

/// How often a descriptor that changes under an atomic update is read again before the walk is given up as aborted.
const UPDATE_ATTEMPTS: u32 = 64;

/// Why stage 1 ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage1Fault {
    /// One of the four faults that CD.{S, R, A} governs.
    Governed(EventId),
    /// F_WALK_EABT with its fetch address.
    WalkAbort(u64),
}

const TRANSLATION: Stage1Fault = Stage1Fault::Governed(EventId::F_TRANSLATION);

/// Selects the half and checks the address against it; gives the address with its ignored top byte replaced.
#[inline]
pub(crate) fn locate<'c>(context: &'c Context, tx: &Transaction) -> Option<(&'c Half, u64)> {
    let address = ((tx.iova.0 << 8) as i64 >> 8) as u64;
    let is_upper = address >> 63 == 1;
    let half = &context.halves[usize::from(is_upper)];
    let distance = if is_upper { !address } else { address };
    let in_range = half.input_bits >= 64 || distance >> half.input_bits == 0;
    let top_byte_fits = half.top_byte_ignored || address == tx.iova.0;
    let is_forbidden = half.unprivileged_forbidden && !tx.who.privileged;
    (in_range && top_byte_fits && !is_forbidden).then_some((half, address))
}

#[inline]
pub(crate) fn permission_bit(tx: &Transaction) -> u16 {
    let who = if tx.who.privileged { allow::PRIVILEGED } else { allow::UNPRIVILEGED };
    let what = match tx.kind {
        AccessKind::Read => allow::READ,
        AccessKind::Write => allow::WRITE,
        AccessKind::Execute => allow::EXECUTE,
    };
    1 << (who + what)
}

/// True if the entry serves the transaction as it stands.
#[inline]
pub(crate) fn serves(entry: &Entry, tx: &Transaction) -> bool {
    let needs_update = tx.kind == AccessKind::Write && entry.permissions & allow::CLEAN != 0;
    entry.permissions & permission_bit(tx) != 0 && !needs_update
}

impl Translated {
    #[inline]
    pub(crate) fn from_entry(entry: &Entry, address: u64) -> Self {
        Self { pa: Pa(entry.output | address & 0xfff), attributes: entry.attributes, shareability: entry.shareability }
    }
}

impl SmmuModel {
    /// Translates through `context`. Nothing is recorded here.
    pub(crate) fn stage1(&mut self, tx: &Transaction, context: &Context, mem: &mut impl PhysMemory) -> Result<Translated, Stage1Fault> {
        let (half, address) = locate(context, tx).ok_or(TRANSLATION)?;
        if let Some(entry) = self.tlb.lookup(context.tag, address).copied() {
            if self.retention.forgets() {
                self.tlb.forget(context.tag, address);
            } else if serves(&entry, tx) {
                self.counters.tlb_hits += 1;
                return Ok(Translated::from_entry(&entry, address));
            } else if entry.permissions & permission_bit(tx) == 0 {
                // A denying entry stays until it is invalidated: relaxing a permission needs maintenance too.
                self.counters.tlb_hits += 1;
                return Err(Stage1Fault::Governed(EventId::F_PERMISSION));
            }
        }
        if half.walks_disabled {
            return Err(TRANSLATION);
        }
        let entry = self.walk_and_update(tx, context, half, address, mem)?;
        if self.retention.prefetches() {
            self.prefetch_page(tx, context, address.wrapping_add(1 << 12), mem);
        }
        Ok(Translated::from_entry(&entry, address))
    }

    fn walk_and_update(
        &mut self,
        tx: &Transaction,
        context: &Context,
        half: &Half,
        address: u64,
        mem: &mut impl PhysMemory,
    ) -> Result<Entry, Stage1Fault> {
        let mut updated_at = 0;
        for _ in 0..UPDATE_ATTEMPTS {
            let mut leaf = self.walk(context, half, address, mem)?;
            updated_at = leaf.descriptor_at;
            let has_access = LEAF::AF.is_set(leaf.descriptor);
            if !has_access && !context.update_access && !context.access_flag_ignored {
                return Err(Stage1Fault::Governed(EventId::F_ACCESS));
            }
            let entry = self.entry_of(&leaf, context, address);
            if entry.permissions & permission_bit(tx) == 0 {
                // An entry whose Access flag hardware has yet to set is not cached.
                if has_access || !context.update_access {
                    self.keep(entry);
                }
                return Err(Stage1Fault::Governed(EventId::F_PERMISSION));
            }
            let mut wanted = leaf.descriptor;
            if context.update_access {
                wanted |= LEAF::AF::SET.value;
            }
            if tx.kind == AccessKind::Write && entry.permissions & allow::CLEAN != 0 {
                wanted &= !LEAF::AP2::SET.value;
            }
            if wanted == leaf.descriptor {
                self.keep(entry);
                return Ok(entry);
            }
            let found = mem
                .compare_exchange64(Pa(leaf.descriptor_at), leaf.descriptor, wanted)
                .map_err(|_| Stage1Fault::WalkAbort(leaf.descriptor_at))?;
            if found == leaf.descriptor {
                leaf.descriptor = wanted;
                let entry = self.entry_of(&leaf, context, address);
                self.keep(entry);
                return Ok(entry);
            }
        }
        Err(Stage1Fault::WalkAbort(updated_at))
    }

    fn walk(&mut self, context: &Context, half: &Half, address: u64, mem: &mut impl PhysMemory) -> Result<Leaf, Stage1Fault> {
        self.counters.walks += 1;
        let cache = self.retention.caches().then_some(&mut self.tlb);
        walk(context, half, address, cache, mem).map_err(|fault| match fault {
            WalkFault::ExternalAbort(at) => Stage1Fault::WalkAbort(at),
            WalkFault::Translation => TRANSLATION,
            WalkFault::AddressSize => Stage1Fault::Governed(EventId::F_ADDR_SIZE),
        })
    }

    /// Fetches a translation as a hint: nothing is recorded or updated.
    pub(crate) fn prefetch_page(&mut self, tx: &Transaction, context: &Context, address: u64, mem: &mut impl PhysMemory) {
        if !self.retention.caches() {
            return;
        }
        let hint = Transaction { iova: hal::Iova(address), ..*tx };
        let Some((half, address)) = locate(context, &hint) else { return };
        if half.walks_disabled || self.tlb.lookup(context.tag, address).is_some() {
            return;
        }
        let Ok(leaf) = self.walk(context, half, address, mem) else { return };
        if LEAF::AF.is_set(leaf.descriptor) || context.access_flag_ignored && !context.update_access {
            let entry = self.entry_of(&leaf, context, address);
            self.keep(entry);
        }
    }

    fn entry_of(&self, leaf: &Leaf, context: &Context, address: u64) -> Entry {
        let is_global = !LEAF::NG.is_set(leaf.descriptor);
        let attr_index = LEAF::ATTR_INDEX.read(leaf.descriptor);
        Entry {
            tag: if is_global { context.tag.global() } else { context.tag },
            page: address >> 12,
            output: (leaf.output | address & ((1 << leaf.size_log2()) - 1)) & !0xfff,
            permissions: leaf.permissions(context, context.tag.world() == 2),
            size_log2: leaf.reach_log2() as u8,
            level: leaf.level as u8,
            granule: leaf.granule,
            attributes: (context.mair >> (8 * attr_index)) as u8,
            shareability: LEAF::SH.read(leaf.descriptor) as u8,
        }
    }

    fn keep(&mut self, entry: Entry) {
        if self.retention.caches() {
            self.tlb.insert(entry);
        }
    }
}
