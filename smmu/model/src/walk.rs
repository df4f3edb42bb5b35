//! The VMSAv8-64 walk of either stage (IHI 0070 3.4, Arm ARM D8).

use hal::{Pa, PhysMemory};
use smmu_spec::descriptor::{Granule, LEAF, TABLE};
use smmu_spec::event::EventId;

use crate::context::Context;
use crate::stage1::TranslationFault;
use crate::stage2::{Purpose, Stage2, Stage2Access};
use crate::tlb::{TablePointer, Tag, allow};
use crate::walker::Walker;

/// Table descriptor bits that restrict what lies below.
const RESTRICTIONS: u64 = 0x1f << 59;

/// Both bits that tell what a descriptor is: set for a table, and for a page at level 3.
pub(crate) const KIND: u64 = TABLE::VALID.mask << TABLE::VALID.shift | TABLE::TABLE.mask << TABLE::TABLE.shift;

/// A tree of translation tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tables {
    /// Owner of what is found.
    pub tag: Tag,
    /// Start table, aligned to its own size.
    pub table: u64,
    /// Input address bits.
    pub input_bits: u32,
    pub granule: Granule,
    /// Log2 of the bytes that a descriptor of the start table covers.
    pub start_shift: u32,
    /// Index of the start table's last descriptor.
    start_last: u64,
    /// Address bits that no table and no output may have.
    pub beyond: u64,
    /// Bits of table descriptors that restrict what lies below.
    pub restrictive: u64,
}

impl Tables {
    /// Tables that start at `start_level` with the table that `table` points into; `None` if it lies beyond the output size. Table descriptors
    /// restrict nothing if `hierarchy_ignored`.
    pub fn new(
        tag: Tag,
        table: u64,
        (input_bits, start_level): (u32, u32),
        granule: Granule,
        output_bits: u32,
        hierarchy_ignored: bool,
    ) -> Option<Self> {
        // Only the 64 KiB granule has more than 48 address bits.
        let beyond = u64::MAX << if granule == Granule::Kib64 { output_bits } else { output_bits.min(48) };
        let start_shift = granule.level_shift(start_level);
        let start_last = (1 << (input_bits - start_shift)) - 1;
        let restrictive = if hierarchy_ignored { 0 } else { RESTRICTIONS };
        let tables = Self { tag, table, input_bits, granule, start_shift, start_last, beyond, restrictive };
        (table & beyond == 0).then_some(Self { table: table & tables.start_mask(), ..tables })
    }

    /// No tables: nothing is walked.
    pub const fn none(tag: Tag) -> Self {
        Self { tag, table: 0, input_bits: 64, granule: Granule::Kib4, start_shift: 12, start_last: 0, beyond: u64::MAX, restrictive: 0 }
    }

    /// Address bits of a start table that count: it is aligned to its size, 64 bytes at least.
    pub const fn start_mask(&self) -> u64 {
        let bytes = 8 * (self.start_last + 1);
        !(if bytes < 64 { 64 } else { bytes } - 1)
    }
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
    /// The table descriptors' bits 63:59 that restrict it.
    pub restrictions: u64,
    /// Log2 of the bytes that this descriptor maps.
    pub size_log2: u8,
    /// Log2 of the bytes that one TLB entry may cover: the contiguous run, if the hint is set.
    pub reach_log2: u8,
    pub level: u8,
    pub granule: Granule,
}

impl Leaf {
    /// Field by field: whoever takes the copy by its address then keeps nobody else's leaf out of registers.
    #[inline(always)]
    pub fn copied(&self) -> Self {
        let Self { descriptor, descriptor_at, descriptor_ipa, output, restrictions, size_log2, reach_log2, level, granule } = *self;
        Self { descriptor, descriptor_at, descriptor_ipa, output, restrictions, size_log2, reach_log2, level, granule }
    }

    /// Output address of the 4 KiB piece that holds `address`.
    pub fn output_page(&self, address: u64) -> u64 {
        (self.output | address & ((1 << self.size_log2) - 1)) & !0xfff
    }

    /// Who may do what by stage 1, as `allow` bits.
    #[inline(always)]
    pub fn permissions(&self, context: &Context) -> u16 {
        let d = governed(self.descriptor, self.restrictions);
        let case = case_of(d) | context.rules;
        // Hardware may make it writable.
        let is_clean = context.update_dirty && LEAF::DBM.is_set(d) && LEAF::AP2.is_set(d);
        if is_clean {
            return granted(case & !rule::READ_ONLY) | allow::CLEAN;
        }
        granted(case)
    }
}

/// A stage 1 descriptor as the restrictions of the tables above it leave it.
#[inline(always)]
fn governed(descriptor: u64, restrictions: u64) -> u64 {
    let mut d = descriptor;
    if restrictions == 0 {
        return d;
    }
    let ap_table = TABLE::AP_TABLE.read(restrictions);
    if ap_table & 1 != 0 {
        d &= !LEAF::AP1::SET.value;
    }
    if ap_table & 2 != 0 {
        // Read-only for good.
        d = d & !LEAF::DBM::SET.value | LEAF::AP2::SET.value;
    }
    if TABLE::UXN_TABLE.is_set(restrictions) {
        d |= LEAF::UXN::SET.value;
    }
    if TABLE::PXN_TABLE.is_set(restrictions) {
        d |= LEAF::PXN::SET.value;
    }
    d
}

/// What a governed descriptor decides, as `rule` bits.
#[inline(always)]
pub(crate) fn case_of(governed: u64) -> u8 {
    let d = governed;
    (LEAF::AP1.read(d) | LEAF::AP2.read(d) << 1 | LEAF::PXN.read(d) << 2 | LEAF::UXN.read(d) << 3) as u8
}

/// The `allow` bits of a combination of `rule` bits.
#[inline(always)]
pub(crate) fn granted(case: u8) -> u16 {
    u16::from(PERMISSIONS[usize::from(case)])
}

/// Bits that decide who may do what at stage 1: of the descriptors in 3:0, of the CD and its world above.
pub(crate) mod rule {
    /// AP\[1\].
    pub const UNPRIVILEGED: u8 = 1;
    /// AP\[2\].
    pub const READ_ONLY: u8 = 1 << 1;
    pub const PXN: u8 = 1 << 2;
    pub const UXN: u8 = 1 << 3;
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
    let (writable, wxn) = (case & rule::READ_ONLY == 0, case & rule::WXN != 0);
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

impl Walker {
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

    /// [`walk_tables`](Self::walk_tables) for tables of 4 KiB that nothing translates, as part of the caller's code.
    #[inline(always)]
    pub(crate) fn walk_4k<const CACHES: bool>(
        &mut self,
        tables: &Tables,
        address: u64,
        mem: &mut impl PhysMemory,
    ) -> Result<Leaf, WalkFault> {
        self.walk_granule::<0, CACHES, _>(tables, address, |_, ipa, _| Ok(ipa), mem)
    }

    #[inline(never)]
    fn walk_plain(&mut self, tables: &Tables, address: u64, mem: &mut impl PhysMemory) -> Result<Leaf, WalkFault> {
        let place = |_: &mut Self, ipa, _: &mut _| Ok(ipa);
        match tables.granule {
            Granule::Kib4 => self.walk_granule::<0, true, _>(tables, address, place, mem),
            Granule::Kib16 => self.walk_granule::<2, true, _>(tables, address, place, mem),
            Granule::Kib64 => self.walk_granule::<1, true, _>(tables, address, place, mem),
        }
    }

    #[inline(never)]
    fn walk_nested(&mut self, tables: &Tables, address: u64, s2: &Stage2, mem: &mut impl PhysMemory) -> Result<Leaf, WalkFault> {
        let place = |walker: &mut Self, ipa, mem: &mut _| match walker.stage2(s2, ipa, Stage2Access::fetch(Purpose::TableRead), mem) {
            Ok(page) => Ok(page.output | ipa & 0xfff),
            Err(fault) => Err(WalkFault::Nested(fault)),
        };
        match tables.granule {
            Granule::Kib4 => self.walk_granule::<0, true, _>(tables, address, place, mem),
            Granule::Kib16 => self.walk_granule::<2, true, _>(tables, address, place, mem),
            Granule::Kib64 => self.walk_granule::<1, true, _>(tables, address, place, mem),
        }
    }

    /// Walks tables of the granule that `TG0` names: a copy of the loop per granule, so that its shifts and masks are constants. A descriptor
    /// lies where `place` says. Without `CACHES` nothing is cached.
    #[inline(always)]
    fn walk_granule<const TG0: u64, const CACHES: bool, M: PhysMemory>(
        &mut self,
        tables: &Tables,
        address: u64,
        place: impl Fn(&mut Self, u64, &mut M) -> Result<u64, WalkFault>,
        mem: &mut M,
    ) -> Result<Leaf, WalkFault> {
        let granule = const { Granule::from_tg0(TG0).expect("a granule's code") };
        let (page_shift, stride) = (granule.shift(), granule.stride());
        self.walks += 1;
        let (mut table, mut restrictions) = (tables.table, 0);
        let (mut shift, mut last) = (tables.start_shift, tables.start_last);
        let mut is_new = CACHES && self.retention.caches() && shift > page_shift;
        if is_new && let Some(found) = self.tlb.table_pointer(tables.tag, address, granule) {
            (table, restrictions) = (found.table, found.restrictions);
            (shift, last) = (page_shift, (1 << stride) - 1);
            is_new = false;
        }
        let (descriptor, at, ipa) = loop {
            let ipa = table + ((address >> shift) & last) * 8;
            if is_new && shift == page_shift {
                let first = address & !((1 << granule.level_shift(2)) - 1);
                let restrictions = restrictions & tables.restrictive;
                self.tlb.insert_table_pointer(TablePointer { tag: tables.tag, first, table, granule, restrictions });
            }
            let at = place(self, ipa, mem)?;
            let Ok(descriptor) = mem.read64(Pa(at)) else { return Err(WalkFault::ExternalAbort(at)) };
            let is_table = descriptor & KIND == KIND && shift > page_shift;
            if !is_table {
                break (descriptor, at, ipa);
            }
            table = granule.address(descriptor, page_shift);
            if table & tables.beyond != 0 {
                return Err(WalkFault::AddressSize);
            }
            restrictions |= descriptor;
            (shift, last) = (shift - stride, (1 << stride) - 1);
        };
        let (level, is_leaf) = if shift == page_shift {
            (3, descriptor & KIND == KIND)
        } else {
            let level = 3 - (shift - page_shift) / stride;
            (level, TABLE::VALID.is_set(descriptor) && granule.has_block_at(level))
        };
        if !is_leaf {
            return Err(WalkFault::Translation);
        }
        let output = granule.address(descriptor, shift);
        if output & tables.beyond != 0 {
            return Err(WalkFault::AddressSize);
        }
        let restrictions = restrictions & tables.restrictive;
        let (size_log2, mut reach_log2) = (shift as u8, shift as u8);
        if LEAF::CONTIGUOUS.is_set(descriptor) {
            reach_log2 += granule.contiguous_entries(level).trailing_zeros() as u8;
            self.check_contiguous(descriptor, (at, output), (granule, level), mem);
        }
        let level = level as u8;
        Ok(Leaf { descriptor, descriptor_at: at, descriptor_ipa: ipa, output, restrictions, size_log2, reach_log2, level, granule })
    }
}
