//! Entries of the decode tables, as the loops read them.

use super::inflate::{DISTANCE_ENTRIES, DISTANCE_ROOT, LITLEN_ENTRIES, LITLEN_ROOT};

/// The entry is a literal.
pub(crate) const LITERAL: u32 = 1 << 31;
/// The entry is neither a literal nor a base value.
pub(crate) const EXCEPTIONAL: u32 = 1 << 15;
/// With [`EXCEPTIONAL`]: the entry points to a subtable.
pub(crate) const SUBTABLE: u32 = 1 << 14;
/// With [`EXCEPTIONAL`]: the entry ends the block.
pub(crate) const BLOCK_END: u32 = 1 << 13;

/// What differs by instruction set.
pub(super) trait Isa {
    /// Returns the low bits of `bits`, as many as bits 7:0 of `entry` say; those are below 64.
    fn low_bits(bits: u64, entry: u64) -> u64;
}

/// Any CPU.
pub(super) struct Portable;

impl Isa for Portable {
    #[inline(always)]
    fn low_bits(bits: u64, entry: u64) -> u64 {
        bits & !u64::MAX.wrapping_shl(entry as u32)
    }
}

/// x86-64 with BMI2.
#[cfg(target_arch = "x86_64")]
pub(super) struct Bmi2;

#[cfg(target_arch = "x86_64")]
impl Isa for Bmi2 {
    #[inline(always)]
    fn low_bits(bits: u64, entry: u64) -> u64 {
        // SAFETY: only functions with the target feature use this type, and they are called on CPUs with BMI2 only.
        unsafe { core::arch::x86_64::_bzhi_u64(bits, entry as u32) }
    }
}

/// An entry of a table, widened at once: what is added to addresses and bits then needs no instruction for that.
#[derive(Clone, Copy)]
pub(super) struct Entry(u64);

/// What [`Entry::of`] looks up by.
const _: () = assert!(LITLEN_ENTRIES.ilog2() as usize == LITLEN_ROOT && DISTANCE_ENTRIES.ilog2() as usize == DISTANCE_ROOT);

impl Entry {
    /// Looks up a symbol in the root of a table, whose size is the largest power of two that `ENTRIES` holds.
    #[inline(always)]
    pub(super) fn of<const ENTRIES: usize>(table: &[u32; ENTRIES], bits: u64) -> Self {
        Entry(table[bits as usize % (1 << ENTRIES.ilog2())].into())
    }

    /// Looks up the symbol in the subtable that this entry points to, by the bits behind those of the root.
    #[inline(always)]
    pub(super) fn in_subtable<const ENTRIES: usize>(self, table: &[u32; ENTRIES], bits: u64) -> Self {
        Entry(table[self.value() + (bits as usize & ((1 << (self.0 >> 8 & 0xf)) - 1))].into())
    }

    #[inline(always)]
    pub(super) fn is(self, flag: u32) -> bool {
        self.0 as u32 & flag != 0
    }

    /// Returns the literal, the base or the first entry of the subtable. Above a literal is its flag.
    #[inline(always)]
    pub(super) fn value(self) -> usize {
        (self.0 >> 16) as usize
    }

    /// Returns how many bits the symbol takes in all.
    #[inline(always)]
    pub(super) fn taken(self) -> u64 {
        self.0 & 0xff
    }

    /// Returns what can be subtracted from a count of which only bits 7:0 are looked at.
    #[inline(always)]
    pub(super) fn raw(self) -> u32 {
        self.0 as u32
    }

    /// Returns the bits behind the symbol.
    #[inline(always)]
    pub(super) fn take(self, bits: u64) -> u64 {
        bits.wrapping_shr(self.0 as u32)
    }

    /// Returns base and extra bits.
    #[inline(always)]
    pub(super) fn number<I: Isa>(self, bits: u64) -> usize {
        self.value() + I::low_bits(bits, self.0).wrapping_shr((self.0 >> 8) as u32) as usize
    }
}
