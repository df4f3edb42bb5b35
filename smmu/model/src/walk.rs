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
    pub fn permissions(&self, context: &Context) -> u16 {
        let (d, ap_table) = (self.descriptor, TABLE::AP_TABLE.read(self.restrictions));
        let is_clean = self.is_writable_clean(context);
        let unprivileged = LEAF::AP1.is_set(d) && ap_table & 1 == 0;
        let writable = (!LEAF::AP2.is_set(d) || is_clean) && ap_table & 2 == 0;
        let uxn = LEAF::UXN.is_set(d) || TABLE::UXN_TABLE.is_set(self.restrictions);
        let pxn = LEAF::PXN.is_set(d) || TABLE::PXN_TABLE.is_set(self.restrictions);
        let case = u8::from(unprivileged) | u8::from(writable) << 1 | u8::from(uxn) << 2 | u8::from(pxn) << 3 | context.rules;
        u16::from(PERMISSIONS[usize::from(case)]) | if is_clean { allow::CLEAN } else { 0 }
    }
}

/// Bits that decide who may do what at stage 1: of the descriptors in 3:0, of the CD and its world above.
pub(crate) mod rule {
    pub const UNPRIVILEGED: u8 = 1;
    pub const WRITABLE: u8 = 1 << 1;
    pub const UXN: u8 = 1 << 2;
    pub const PXN: u8 = 1 << 3;
    pub const WXN: u8 = 1 << 4;
    pub const PAN: u8 = 1 << 5;
    pub const EPAN: u8 = 1 << 6;
    /// EL2 without E2H: one privilege, one execute-never bit.
    pub const PLAIN_EL2: u8 = 1 << 7;
}

/// The `allow` bits of each combination of `rule` bits.
static PERMISSIONS: [u8; 256] = {
    let mut table = [0; 256];
    let mut case = 0;
    while case < table.len() {
        table[case] = permissions_of(case as u8);
        case += 1;
    }
    table
};

const fn permissions_of(case: u8) -> u8 {
    const fn grant(bits: u8, who: u16, what: u16, granted: bool) -> u8 {
        bits | (granted as u8) << (who + what)
    }
    let (writable, wxn) = (case & rule::WRITABLE != 0, case & rule::WXN != 0);
    let uxn = case & rule::UXN != 0;
    if case & rule::PLAIN_EL2 != 0 {
        let executable = !(uxn || wxn && writable);
        let mut bits = 0;
        let mut who = allow::UNPRIVILEGED;
        while who <= allow::PRIVILEGED {
            bits = grant(bits, who, allow::READ, true);
            bits = grant(bits, who, allow::WRITE, writable);
            bits = grant(bits, who, allow::EXECUTE, executable);
            who += allow::PRIVILEGED - allow::UNPRIVILEGED;
        }
        return bits;
    }
    let unprivileged = case & rule::UNPRIVILEGED != 0;
    let unprivileged_writable = unprivileged && writable;
    let unprivileged_executable = !(uxn || wxn && unprivileged_writable);
    let mut bits = grant(0, allow::UNPRIVILEGED, allow::READ, unprivileged);
    bits = grant(bits, allow::UNPRIVILEGED, allow::WRITE, unprivileged_writable);
    bits = grant(bits, allow::UNPRIVILEGED, allow::EXECUTE, unprivileged_executable);
    // PAN keeps privileged data accesses off what is accessible without privilege; EPAN counts executing as access.
    let is_kept_off = case & rule::PAN != 0 && (unprivileged || case & rule::EPAN != 0 && unprivileged_executable);
    bits = grant(bits, allow::PRIVILEGED, allow::READ, !is_kept_off);
    bits = grant(bits, allow::PRIVILEGED, allow::WRITE, writable && !is_kept_off);
    grant(bits, allow::PRIVILEGED, allow::EXECUTE, !(case & rule::PXN != 0 || unprivileged_writable || wxn && writable))
}

impl SmmuModel {
    /// Walks for `address`, already checked to lie in the tables' range. Level-3 tables found earlier are taken from the walk cache.
    /// Descriptors of nested tables lie where stage 2 `through` says.
    #[inline]
    pub(crate) fn walk_tables(
        &mut self,
        tables: &Tables,
        address: u64,
        through: Option<&Stage2>,
        mem: &mut impl PhysMemory,
    ) -> Result<Leaf, WalkFault> {
        match through {
            None => self.walk_plain(tables, address, mem),
            Some(s2) => self.walk_nested(tables, address, s2, mem),
        }
    }

    fn walk_plain(&mut self, tables: &Tables, address: u64, mem: &mut impl PhysMemory) -> Result<Leaf, WalkFault> {
        let place = |_: &mut Self, ipa, _: &mut _| Ok(ipa);
        match tables.granule {
            Granule::Kib4 => self.walk_granule::<0, _>(tables, address, place, mem),
            Granule::Kib16 => self.walk_granule::<2, _>(tables, address, place, mem),
            Granule::Kib64 => self.walk_granule::<1, _>(tables, address, place, mem),
        }
    }

    fn walk_nested(&mut self, tables: &Tables, address: u64, s2: &Stage2, mem: &mut impl PhysMemory) -> Result<Leaf, WalkFault> {
        let place = |model: &mut Self, ipa, mem: &mut _| {
            let page = model.stage2(s2, ipa, Stage2Access::fetch(Purpose::TableRead), mem).map_err(WalkFault::Nested)?;
            Ok(page.output | ipa & 0xfff)
        };
        match tables.granule {
            Granule::Kib4 => self.walk_granule::<0, _>(tables, address, place, mem),
            Granule::Kib16 => self.walk_granule::<2, _>(tables, address, place, mem),
            Granule::Kib64 => self.walk_granule::<1, _>(tables, address, place, mem),
        }
    }

    /// Walks tables of the granule that `TG0` names: a copy of the loop per granule, so that its shifts and masks are constants. A descriptor
    /// lies where `place` says.
    #[inline(always)]
    fn walk_granule<const TG0: u64, M: PhysMemory>(
        &mut self,
        tables: &Tables,
        address: u64,
        place: impl Fn(&mut Self, u64, &mut M) -> Result<u64, WalkFault>,
        mem: &mut M,
    ) -> Result<Leaf, WalkFault> {
        let granule = const { Granule::from_tg0(TG0).expect("a granule's code") };
        let (page_shift, stride) = (granule.shift(), granule.stride());
        self.counters.walks += 1;
        let caches = self.retention.caches();
        let beyond = u64::MAX << tables.output_bits;
        let (mut table, mut restrictions) = (tables.table, 0);
        let mut shift = granule.level_shift(tables.start_level);
        let mut last_index = (1_u64 << (tables.input_bits - shift)) - 1;
        if caches
            && shift > page_shift
            && let Some(found) = self.tlb.table_pointer(tables.tag, address, granule)
        {
            (table, restrictions) = (found.table, found.restrictions);
            (shift, last_index) = (page_shift, (1 << stride) - 1);
        }
        let (descriptor, at, ipa) = loop {
            let ipa = table + ((address >> shift) & last_index) * 8;
            let at = place(self, ipa, mem)?;
            let descriptor = mem.read64(Pa(at)).map_err(|_| WalkFault::ExternalAbort(at))?;
            let is_table = TABLE::VALID.is_set(descriptor) && TABLE::TABLE.is_set(descriptor) && shift > page_shift;
            if !is_table {
                break (descriptor, at, ipa);
            }
            table = granule.address(descriptor, page_shift);
            if table & beyond != 0 {
                return Err(WalkFault::AddressSize);
            }
            restrictions |= descriptor;
            (shift, last_index) = (shift - stride, (1 << stride) - 1);
            if caches && shift == page_shift {
                let first = address & !((1 << granule.level_shift(2)) - 1);
                let restrictions = if tables.hierarchy_ignored { 0 } else { restrictions & RESTRICTIONS };
                self.tlb.insert_table_pointer(TablePointer { tag: tables.tag, first, table, granule, restrictions });
            }
        };
        let level = 3 - (shift - page_shift) / stride;
        let is_leaf = if level == 3 { TABLE::TABLE.is_set(descriptor) } else { granule.has_block_at(level) };
        if !TABLE::VALID.is_set(descriptor) || !is_leaf {
            return Err(WalkFault::Translation);
        }
        let output = granule.address(descriptor, shift);
        if output & beyond != 0 {
            return Err(WalkFault::AddressSize);
        }
        let restrictions = if tables.hierarchy_ignored { 0 } else { restrictions & RESTRICTIONS };
        let leaf = Leaf { descriptor, descriptor_at: at, descriptor_ipa: ipa, output, level, granule, restrictions };
        if LEAF::CONTIGUOUS.is_set(descriptor) {
            self.check_contiguous(&leaf, mem);
        }
        Ok(leaf)
    }
}
