//! Stage 2: what an STE says about it, and the translation of one intermediate physical address (IHI 0070 3.3.2, 5.2).

use hal::{AccessKind, Pa, PhysMemory};
use smmu_spec::descriptor::{Granule, LEAF_S2};
use smmu_spec::event::{EventId, FaultClass};
use smmu_spec::regs::address_bits;
use smmu_spec::ste::{STE_DW2, STE_DW3};

use crate::profile::{Features, StallModel};
use crate::stage1::{TranslationFault, UPDATE_ATTEMPTS, permission_bit};
use crate::stream::Incoming;
use crate::tlb::{Entry, Tag, allow};
use crate::translate::Transaction;
use crate::walk::{Leaf, Tables};
use crate::walker::Walker;

/// The stage 2 part of an STE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stage2 {
    pub tables: Tables,
    pub access_flag_ignored: bool,
    pub update_access: bool,
    pub update_dirty: bool,
    /// S2PTW: walks and CD fetches may not hit Device memory.
    pub protects_walks: bool,
    /// S2FWB.
    pub force_write_back: bool,
    /// XN has two bits.
    pub has_xnx: bool,
    pub stall: bool,
    pub record: bool,
    /// Attributes of traffic that no stage 1 translates.
    pub incoming: Incoming,
}

/// What an address is translated for by stage 2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// The transaction itself.
    Input,
    /// Reading a CD or its level-1 descriptor.
    ContextDescriptor,
    /// Reading a stage 1 descriptor.
    TableRead,
    /// Updating a stage 1 descriptor.
    TableUpdate,
}

impl Purpose {
    pub const fn class(self) -> FaultClass {
        match self {
            Self::Input => FaultClass::In,
            Self::ContextDescriptor => FaultClass::Cd,
            Self::TableRead | Self::TableUpdate => FaultClass::Tt,
        }
    }
}

/// One access as stage 2 sees it.
#[derive(Clone, Copy)]
pub(crate) struct Stage2Access {
    pub purpose: Purpose,
    /// `allow` bit that the access needs.
    pub needs: u16,
    pub is_write: bool,
    /// False: permissions are checked, but hardware changes no dirty state yet.
    pub commits: bool,
}

impl Stage2Access {
    const PRIVILEGED_READ: u16 = 1 << (allow::PRIVILEGED + allow::READ);
    const PRIVILEGED_WRITE: u16 = 1 << (allow::PRIVILEGED + allow::WRITE);

    pub fn of(tx: &Transaction) -> Self {
        Self { purpose: Purpose::Input, needs: permission_bit(tx), is_write: tx.kind == AccessKind::Write, commits: true }
    }

    pub const fn fetch(purpose: Purpose) -> Self {
        match purpose {
            Purpose::TableUpdate => Self { purpose, needs: Self::PRIVILEGED_WRITE, is_write: true, commits: true },
            _ => Self { purpose, needs: Self::PRIVILEGED_READ, is_write: false, commits: true },
        }
    }

    pub const fn fault(self, id: EventId, ipa: u64) -> TranslationFault {
        TranslationFault::Stage2 { id, purpose: self.purpose, ipa }
    }
}

/// Bit 4 of a stage 2 entry's attributes: MemAttr is read as S2FWB says.
const FORCED: u8 = 1 << 4;

const fn is_device(attributes: u8) -> bool {
    attributes & 0xc == 0
}

/// MAIR byte of stage 1 attributes `mair` under stage 2 attributes.
pub(crate) fn combine_attributes(mair: u8, stage2: u8) -> u8 {
    let s1_device = mair & 0xf0 == 0;
    if is_device(stage2) {
        let device = (stage2 & 3) << 2;
        return if s1_device { mair.min(device) } else { device };
    }
    if stage2 & FORCED != 0 {
        return match (stage2 & 7, s1_device) {
            (6, _) => 0xff,
            (5, false) => 0x44,
            _ => mair,
        };
    }
    if s1_device {
        return mair;
    }
    let weaker = |s1: u8, s2: u8| match s2 {
        3 => s1,
        // Write-through, unless stage 1 is weaker still.
        2 if s1 != 4 => s1.min(0xb),
        _ => 4,
    };
    weaker(mair >> 4, (stage2 >> 2) & 3) << 4 | weaker(mair & 0xf, stage2 & 3)
}

/// Shareability of both stages together: outer beats inner beats none.
pub(crate) const fn combine_shareability(s1: u8, s2: u8) -> u8 {
    match (s1, s2) {
        (2, _) | (_, 2) => 2,
        (3, _) | (_, 3) => 3,
        _ => 0,
    }
}

impl Stage2 {
    /// Decodes the stage 2 fields of an STE; `None` if ILLEGAL. Incoming attributes are not its own to decode.
    pub fn decode(dw1: u64, dw2: u64, dw3: u64, f: &Features) -> Option<Self> {
        let stall = STE_DW2::S2S.is_set(dw2);
        let stall_is_legal = match f.stall_model {
            StallModel::Both => true,
            StallModel::TerminateOnly => !stall,
            StallModel::Forced => stall,
        };
        let (ha, hd) = (STE_DW2::S2HA.is_set(dw2), STE_DW2::S2HD.is_set(dw2));
        let endian_is_legal = match f.ttendian {
            2 => !STE_DW2::S2ENDI.is_set(dw2),
            3 => STE_DW2::S2ENDI.is_set(dw2),
            _ => true,
        };
        let vmid = STE_DW2::S2VMID.read(dw2) as u16;
        let is_legal = stall_is_legal
            && endian_is_legal
            && STE_DW2::S2AA64.is_set(dw2)
            && (vmid <= 0xff || f.vmid16)
            && (!ha || f.httu >= 1)
            && (!hd || f.httu >= 2)
            && (f.httu < 3 || ha || !STE_DW2::S2HAFT.is_set(dw2));
        if !is_legal {
            return None;
        }
        let granule = Granule::from_tg0(STE_DW2::S2TG.read(dw2)).filter(|g| f.has_granule(*g))?;
        let size = STE_DW2::S2T0SZ.read(dw2) as u32;
        // All tables are VMSAv8-64: the input size is the output size.
        let widest = if granule == Granule::Kib64 { 12 } else { 16 };
        let smallest = widest.max(64 - f.oas_bits.min(52));
        let largest = match (f.stt, granule) {
            (false, _) => 39,
            (true, Granule::Kib64) => 47,
            (true, _) => 48,
        };
        if !(smallest..=largest).contains(&size) {
            return None;
        }
        let input_bits = 64 - size;
        let start_level = granule.stage2_start_level(STE_DW2::S2SL0.read(dw2))?;
        let shift = granule.level_shift(start_level);
        // At least one bit for the start level, at most sixteen tables side by side.
        if input_bits <= shift || input_bits > shift + granule.stride() + 4 {
            return None;
        }
        let output_bits = address_bits(STE_DW2::S2PS.read(dw2) as u32).min(f.oas_bits);
        let table = STE_DW3::S2TTB.read(dw3) << 4;
        let tables = Tables::new(Tag::of_stage2(vmid), table, (input_bits, start_level), granule, output_bits, true)?;
        Some(Self {
            tables,
            access_flag_ignored: STE_DW2::S2AFFD.is_set(dw2),
            update_access: ha,
            update_dirty: hd && ha,
            protects_walks: STE_DW2::S2PTW.is_set(dw2),
            force_write_back: f.fwb && smmu_spec::ste::STE_DW1::S2FWB.is_set(dw1),
            has_xnx: f.xnx,
            stall,
            record: STE_DW2::S2R.is_set(dw2),
            incoming: Incoming::PLAIN,
        })
    }

    /// Who may do what, as `allow` bits.
    fn permissions(&self, descriptor: u64) -> u16 {
        let clean = self.update_dirty && LEAF_S2::DBM.is_set(descriptor) && !LEAF_S2::WRITE.is_set(descriptor);
        let xn = LEAF_S2::XN.read(descriptor);
        let [unprivileged_executes, privileged_executes] = match (self.has_xnx, xn) {
            (true, 0) | (false, 0 | 1) => [true, true],
            (true, 1) => [true, false],
            (true, 3) => [false, true],
            _ => [false, false],
        };
        let mut bits = if clean { allow::CLEAN } else { 0 };
        for (who, executes) in [(allow::UNPRIVILEGED, unprivileged_executes), (allow::PRIVILEGED, privileged_executes)] {
            if LEAF_S2::READ.is_set(descriptor) {
                bits |= 1 << (who + allow::READ);
            }
            if LEAF_S2::WRITE.is_set(descriptor) || clean {
                bits |= 1 << (who + allow::WRITE);
            }
            if executes {
                bits |= 1 << (who + allow::EXECUTE);
            }
        }
        bits
    }

    fn entry_of(&self, leaf: &Leaf, ipa: u64) -> Entry {
        let forced = if self.force_write_back { FORCED } else { 0 };
        Entry {
            tag: self.tables.tag,
            page: ipa >> 12,
            output: leaf.output_page(ipa),
            ipa: ipa & !0xfff,
            permissions: self.permissions(leaf.descriptor),
            stage2: allow::EVERYTHING,
            size_log2: leaf.reach_log2,
            level: leaf.level,
            granule: leaf.granule,
            attributes: LEAF_S2::MEM_ATTR.read(leaf.descriptor) as u8 | forced,
            shareability: LEAF_S2::SH.read(leaf.descriptor) as u8,
        }
    }

    /// F_PERMISSION, if the entry denies the access.
    fn check(&self, entry: &Entry, access: Stage2Access, ipa: u64) -> Result<(), TranslationFault> {
        let is_walk = access.purpose != Purpose::Input;
        let protected = is_walk && self.protects_walks && is_device(entry.attributes);
        if protected || entry.permissions & access.needs == 0 { Err(access.fault(EventId::F_PERMISSION, ipa)) } else { Ok(()) }
    }
}

impl Walker {
    /// Translates `ipa`. Nothing is recorded here. The entry's attributes are stage 2's own.
    pub(crate) fn stage2(
        &mut self,
        s2: &Stage2,
        ipa: u64,
        access: Stage2Access,
        mem: &mut impl PhysMemory,
    ) -> Result<Entry, TranslationFault> {
        if ipa >> s2.tables.input_bits != 0 {
            return Err(access.fault(EventId::F_TRANSLATION, ipa));
        }
        if let Some(entry) = self.tlb.lookup(s2.tables.tag, ipa) {
            if self.retention.forgets() {
                self.tlb.forget(s2.tables.tag, ipa);
            } else {
                // A denying entry stays until it is invalidated.
                s2.check(entry, access, ipa)?;
                if !(access.is_write && access.commits && entry.permissions & allow::CLEAN != 0) {
                    return Ok(*entry);
                }
            }
        }
        let entry = self.walk_stage2(s2, ipa, access, mem)?;
        if access.purpose == Purpose::Input && self.retention.prefetches() {
            self.prefetch_stage2(s2, ipa.wrapping_add(1 << 12), mem);
        }
        Ok(entry)
    }

    fn walk_stage2(&mut self, s2: &Stage2, ipa: u64, access: Stage2Access, mem: &mut impl PhysMemory) -> Result<Entry, TranslationFault> {
        let mut updated_at = 0;
        for _ in 0..UPDATE_ATTEMPTS {
            let mut leaf = match self.walk_tables(&s2.tables, ipa, None, mem) {
                Ok(leaf) => leaf,
                Err(fault) => return Err(fault.in_stage2(access, ipa)),
            };
            updated_at = leaf.descriptor_at;
            let has_access = LEAF_S2::AF.is_set(leaf.descriptor);
            if !has_access && !s2.update_access && !s2.access_flag_ignored {
                return Err(access.fault(EventId::F_ACCESS, ipa));
            }
            let entry = s2.entry_of(&leaf, ipa);
            if let Err(fault) = s2.check(&entry, access, ipa) {
                // An entry whose Access flag hardware has yet to set is not cached.
                if has_access || !s2.update_access {
                    self.keep(&entry);
                }
                return Err(fault);
            }
            let mut wanted = leaf.descriptor;
            if s2.update_access {
                wanted |= LEAF_S2::AF::SET.value;
            }
            if access.is_write && access.commits && entry.permissions & allow::CLEAN != 0 {
                wanted |= LEAF_S2::WRITE::SET.value;
            }
            if wanted == leaf.descriptor {
                self.keep(&entry);
                return Ok(entry);
            }
            let found = mem
                .compare_exchange64(Pa(leaf.descriptor_at), leaf.descriptor, wanted)
                .map_err(|_| TranslationFault::WalkAbort { at: leaf.descriptor_at, stage2: Some(access.purpose) })?;
            if found == leaf.descriptor {
                leaf.descriptor = wanted;
                let entry = s2.entry_of(&leaf, ipa);
                self.keep(&entry);
                return Ok(entry);
            }
        }
        Err(TranslationFault::WalkAbort { at: updated_at, stage2: Some(access.purpose) })
    }

    /// Fetches a stage 2 translation as a hint: nothing is recorded or updated.
    fn prefetch_stage2(&mut self, s2: &Stage2, ipa: u64, mem: &mut impl PhysMemory) {
        let is_known = ipa >> s2.tables.input_bits != 0 || self.tlb.lookup(s2.tables.tag, ipa).is_some();
        if is_known || !self.retention.caches() {
            return;
        }
        let Ok(leaf) = self.walk_tables(&s2.tables, ipa, None, mem) else { return };
        if LEAF_S2::AF.is_set(leaf.descriptor) || s2.access_flag_ignored && !s2.update_access {
            self.keep(&s2.entry_of(&leaf, ipa));
        }
    }
}

#[cfg(test)]
#[path = "stage2_tests.rs"]
mod tests;
