//! The VMSAv8-64 walk of either stage (IHI 0070 3.4, Arm ARM D8).

use hal::{Pa, PhysMemory};
use smmu_spec::descriptor::{Granule, LEAF, TABLE};
use smmu_spec::event::EventId;

use crate::context::Context;
use crate::model::SmmuModel;
use crate::stage1::TranslationFault;
use crate::stage2::{Purpose, Stage2, Stage2Access};
use crate::tlb::{TablePointer, Tag, allow};

/// Table descriptor bits that restrict what lies below.
const RESTRICTIONS: u64 = 0x1f << 59;

/// A tree of translation tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tables {
    /// Owner of what is found.
    pub tag: Tag,
    /// Start table, aligned to its own size.
    pub table: u64,
    /// Input address bits.
    pub input_bits: u32,
    pub start_level: u32,
    pub granule: Granule,
    pub output_bits: u32,
    /// Table descriptors restrict nothing.
    pub hierarchy_ignored: bool,
}

/// Why a walk ended without a leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WalkFault {
    /// Reading the descriptor at this address aborted.
    ExternalAbort(u64),
    /// Invalid descriptor.
    Translation,
    /// Table or output address beyond the output size.
    AddressSize,
    /// Stage 2 refused the address of a stage 1 descriptor.
    Nested(TranslationFault),
}

impl WalkFault {
    /// As a fault of stage 1.
    pub const fn in_stage1(self) -> TranslationFault {
        match self {
            Self::ExternalAbort(at) => TranslationFault::WalkAbort { at, stage2: None },
            Self::Translation => TranslationFault::Stage1(EventId::F_TRANSLATION),
            Self::AddressSize => TranslationFault::Stage1(EventId::F_ADDR_SIZE),
            Self::Nested(fault) => fault,
        }
    }

    /// As a fault of stage 2.
    pub const fn in_stage2(self, access: Stage2Access, ipa: u64) -> TranslationFault {
        match self {
            Self::ExternalAbort(at) => TranslationFault::WalkAbort { at, stage2: Some(access.purpose) },
            Self::Translation => access.fault(EventId::F_TRANSLATION, ipa),
            Self::AddressSize => access.fault(EventId::F_ADDR_SIZE, ipa),
            Self::Nested(fault) => fault,
        }
    }
}

/// A leaf descriptor and where it stood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Leaf {
    pub descriptor: u64,
    /// Physical address of the descriptor.
    pub descriptor_at: u64,
    /// The same address before stage 2.
    pub descriptor_ipa: u64,
    /// Output address of the leaf's first byte.
    pub output: u64,
    pub level: u32,
    pub granule: Granule,
    /// OR of the table descriptors' bits 63:59.
    pub restrictions: u64,
}

impl Leaf {
    /// Log2 of the bytes that this descriptor maps.
    pub fn size_log2(&self) -> u32 {
        self.granule.level_shift(self.level)
    }

    /// Log2 of the bytes that one TLB entry may cover: the contiguous run, if the hint is set.
    pub fn reach_log2(&self) -> u32 {
        let run = if LEAF::CONTIGUOUS.is_set(self.descriptor) { self.granule.contiguous_entries(self.level) } else { 1 };
        self.size_log2() + run.trailing_zeros()
    }

    /// Output address of the 4 KiB piece that holds `address`.
    pub fn output_page(&self, address: u64) -> u64 {
        (self.output | address & ((1 << self.size_log2()) - 1)) & !0xfff
    }

    /// True if hardware may make this stage 1 descriptor writable.
    pub fn is_writable_clean(&self, context: &Context) -> bool {
        context.update_dirty
            && LEAF::DBM.is_set(self.descriptor)
            && LEAF::AP2.is_set(self.descriptor)
            && TABLE::AP_TABLE.read(self.restrictions) & 2 == 0
    }

    /// Who may do what by stage 1, as `allow` bits.
    pub fn permissions(&self, context: &Context, plain_el2: bool) -> u16 {
        let d = self.descriptor;
        let ap_table = TABLE::AP_TABLE.read(self.restrictions);
        let clean = self.is_writable_clean(context);
        let writable = (!LEAF::AP2.is_set(d) || clean) && ap_table & 2 == 0;
        let mut bits = if clean { allow::CLEAN } else { 0 };
        let mut grant = |who: u16, what: u16| bits |= 1 << (who + what);
        if plain_el2 {
            let executable = !(LEAF::UXN.is_set(d) || TABLE::UXN_TABLE.is_set(self.restrictions) || context.wxn && writable);
            for who in [allow::UNPRIVILEGED, allow::PRIVILEGED] {
                grant(who, allow::READ);
                if writable {
                    grant(who, allow::WRITE);
                }
                if executable {
                    grant(who, allow::EXECUTE);
                }
            }
            return bits;
        }
        let unprivileged = LEAF::AP1.is_set(d) && ap_table & 1 == 0;
        let unprivileged_writable = unprivileged && writable;
        let uxn = LEAF::UXN.is_set(d) || TABLE::UXN_TABLE.is_set(self.restrictions);
        let pxn = LEAF::PXN.is_set(d) || TABLE::PXN_TABLE.is_set(self.restrictions);
        let unprivileged_executable = !(uxn || context.wxn && unprivileged_writable);
        if unprivileged {
            grant(allow::UNPRIVILEGED, allow::READ);
        }
        if unprivileged_writable {
            grant(allow::UNPRIVILEGED, allow::WRITE);
        }
        if unprivileged_executable {
            grant(allow::UNPRIVILEGED, allow::EXECUTE);
        }
        let privileged_data = !(context.pan && (unprivileged || context.epan && unprivileged_executable));
        if privileged_data {
            grant(allow::PRIVILEGED, allow::READ);
            if writable {
                grant(allow::PRIVILEGED, allow::WRITE);
            }
        }
        if !(pxn || unprivileged_writable || context.wxn && writable) {
            grant(allow::PRIVILEGED, allow::EXECUTE);
        }
        bits
    }
}

impl SmmuModel {
    /// Walks for `address`, already checked to lie in the tables' range. Level-3 tables found earlier are taken from the walk cache.
    /// Descriptors of nested tables lie where stage 2 `through` says.
    pub(crate) fn walk_tables(
        &mut self,
        tables: &Tables,
        address: u64,
        through: Option<&Stage2>,
        mem: &mut impl PhysMemory,
    ) -> Result<Leaf, WalkFault> {
        self.counters.walks += 1;
        let caches = self.retention.caches();
        let granule = tables.granule;
        let beyond = |a: u64| a >> tables.output_bits != 0;
        let (mut level, mut table, mut restrictions) = (tables.start_level, tables.table, 0);
        let mut index_bits = tables.input_bits - granule.level_shift(level);
        if level < 3
            && caches
            && let Some(found) = self.tlb.table_pointer(tables.tag, address, granule)
        {
            (level, table, restrictions, index_bits) = (3, found.table, found.restrictions, granule.stride());
        }
        loop {
            let shift = granule.level_shift(level);
            let index = (address >> shift) & ((1 << index_bits) - 1);
            let ipa = table + index * 8;
            let at = match through {
                None => ipa,
                Some(s2) => {
                    let page = self.stage2(s2, ipa, Stage2Access::fetch(Purpose::TableRead), mem).map_err(WalkFault::Nested)?;
                    page.output | ipa & 0xfff
                }
            };
            let descriptor = mem.read64(Pa(at)).map_err(|_| WalkFault::ExternalAbort(at))?;
            if !TABLE::VALID.is_set(descriptor) {
                return Err(WalkFault::Translation);
            }
            let table_bit = TABLE::TABLE.is_set(descriptor);
            if level < 3 && table_bit {
                table = granule.address(descriptor, granule.shift());
                if beyond(table) {
                    return Err(WalkFault::AddressSize);
                }
                if !tables.hierarchy_ignored {
                    restrictions |= descriptor & RESTRICTIONS;
                }
                level += 1;
                index_bits = granule.stride();
                if level == 3 && caches {
                    let first = address & !((1 << granule.level_shift(2)) - 1);
                    self.tlb.insert_table_pointer(TablePointer { tag: tables.tag, first, table, granule, restrictions });
                }
                continue;
            }
            if (level == 3 && !table_bit) || (level < 3 && !granule.has_block_at(level)) {
                return Err(WalkFault::Translation);
            }
            let output = granule.address(descriptor, shift);
            if beyond(output) {
                return Err(WalkFault::AddressSize);
            }
            let leaf = Leaf { descriptor, descriptor_at: at, descriptor_ipa: ipa, output, level, granule, restrictions };
            if LEAF::CONTIGUOUS.is_set(descriptor) {
                self.check_contiguous(&leaf, mem);
            }
            return Ok(leaf);
        }
    }
}
