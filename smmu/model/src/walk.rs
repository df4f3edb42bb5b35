//! The VMSAv8-64 stage-1 walk (IHI 0070 3.4, Arm ARM D8).

use hal::{Pa, PhysMemory};
use smmu_spec::descriptor::{Granule, LEAF, TABLE};

use crate::context::{Context, Half};
use crate::tlb::{TablePointer, Tlb, allow};

/// Table descriptor bits that restrict what lies below.
const RESTRICTIONS: u64 = 0x1f << 59;

/// Why a walk ended without a leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WalkFault {
    /// Reading or updating the descriptor at this address aborted.
    ExternalAbort(u64),
    /// Invalid descriptor.
    Translation,
    /// Table or output address beyond the output size.
    AddressSize,
}

/// A leaf descriptor and where it stood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Leaf {
    pub descriptor: u64,
    pub descriptor_at: u64,
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

    /// True if hardware may make this descriptor writable.
    pub fn is_writable_clean(&self, context: &Context) -> bool {
        context.update_dirty
            && LEAF::DBM.is_set(self.descriptor)
            && LEAF::AP2.is_set(self.descriptor)
            && TABLE::AP_TABLE.read(self.restrictions) & 2 == 0
    }

    /// Who may do what, as `allow` bits.
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

/// Walks for `address`, already checked to lie in `half`. With a TLB, level-3 tables found earlier are taken from its walk cache.
pub(crate) fn walk(
    context: &Context,
    half: &Half,
    address: u64,
    mut walk_cache: Option<&mut Tlb>,
    mem: &mut impl PhysMemory,
) -> Result<Leaf, WalkFault> {
    let granule = half.granule;
    let beyond = |a: u64| a >> context.output_bits != 0;
    let (mut level, mut table, mut restrictions) = (half.start_level, half.table, 0);
    let mut index_bits = half.input_bits - granule.level_shift(level);
    if level < 3
        && let Some(found) = walk_cache.as_deref().and_then(|c| c.table_pointer(context.tag, address, granule))
    {
        (level, table, restrictions, index_bits) = (3, found.table, found.restrictions, granule.stride());
    }
    loop {
        let shift = granule.level_shift(level);
        let index = (address >> shift) & ((1 << index_bits) - 1);
        let at = table + index * 8;
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
            if !half.hierarchy_ignored {
                restrictions |= descriptor & RESTRICTIONS;
            }
            level += 1;
            index_bits = granule.stride();
            if level == 3
                && let Some(cache) = walk_cache.as_deref_mut()
            {
                let first = address & !((1 << granule.level_shift(2)) - 1);
                cache.insert_table_pointer(TablePointer { tag: context.tag, first, table, granule, restrictions });
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
        return Ok(Leaf { descriptor, descriptor_at: at, output, level, granule, restrictions });
    }
}
