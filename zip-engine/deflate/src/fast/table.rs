//! Tables of the last positions of each hash: their upkeep, the same for all levels that have 16-bit entries.

use super::sequence::Counts;
use crate::status::WINDOW_BYTES;

/// Shortest match from a table: the bytes that are hashed.
pub(crate) const HASHED_BYTES: usize = 4;
/// Positions between two sweeps: what is too far at one of them is still too far, and not yet near again, at the next.
pub(crate) const SWEEP_BYTES: usize = 28 * 1024;
/// Where a swept entry points: one further than any match may reach.
pub(super) const TOO_FAR: u16 = WINDOW_BYTES as u16 + 1;

const _: () = assert!(TOO_FAR as usize + SWEEP_BYTES + crate::constants::MATCH_BYTES_MAX + 2 < 1 << 16);

/// The hash of four bytes, `bits` wide.
#[inline(always)]
pub(crate) fn hash(word: u32, bits: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b1) >> (32 - bits)) as usize
}

/// The hash of the first three of four bytes, `bits` wide.
#[inline(always)]
pub(crate) fn hash_three(word: u32, bits: u32) -> usize {
    hash(word << 8, bits)
}

/// One or two positions, each modulo 2^16.
pub trait Entry: Copy {
    /// The entry that leads to position 0 alone.
    const ZERO: Self;

    /// Makes all entries lead to position 0 alone.
    fn clear(entries: &mut [Self]) {
        entries.fill(Self::ZERO);
    }

    /// Applies a change to every position.
    fn map(self, change: impl Fn(u16) -> u16) -> Self;
}

impl Entry for u16 {
    const ZERO: Self = 0;

    fn clear(entries: &mut [Self]) {
        super::zero_all(entries);
    }

    #[inline(always)]
    fn map(self, change: impl Fn(u16) -> u16) -> Self {
        change(self)
    }
}

/// The last position in the low half, the one before it in the other.
impl Entry for u32 {
    const ZERO: Self = 0;

    #[inline(always)]
    fn map(self, change: impl Fn(u16) -> u16) -> Self {
        u32::from(change(self as u16)) | u32::from(change((self >> 16) as u16)) << 16
    }
}

/// The last positions of each hash, modulo 2^16.
///
/// Every position in an entry is the low half of one before `reached`, or of 0, so that all of them are positions of the data. So from any position p at
/// or behind `reached` the way back to an entry's position, taken modulo 2^16, is at most p: below 2^16 it is the difference itself, behind it any
/// 16-bit number will do.
///
/// Aligned, so that many entries are changed at once where the compiler may not load across alignment.
#[repr(C, align(64))]
pub struct Table<E: Entry, const ENTRIES: usize> {
    pub(super) entries: [E; ENTRIES],
    pub(super) reached: usize,
    /// Beside the table, so that a loop needs one register for both.
    pub(crate) counts: Counts,
}

impl<E: Entry, const ENTRIES: usize> Table<E, ENTRIES> {
    /// Bits of a hash.
    pub(super) const BITS: u32 = ENTRIES.ilog2();

    pub(crate) const fn new() -> Self {
        Table { entries: [E::ZERO; ENTRIES], reached: 0, counts: Counts::new() }
    }

    /// Begins a block.
    pub(crate) fn begin_block(&mut self) {
        self.counts.clear();
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        E::clear(&mut self.entries);
        self.reached = 0;
    }

    fn change(&mut self, change: impl Fn(u16) -> u16) {
        change_all(&mut self.entries, change);
    }

    /// Follows the data when what is at `pos`, at or behind all that was entered, moves to `to`, and with it at least what matches may reach.
    pub(crate) fn rebase(&mut self, pos: usize, to: usize) {
        assert!(pos >= self.reached);
        self.change(|entry| rebased(entry, pos, to));
        // Entries that are too far are brought nearer, and have to be before what is reached.
        self.reached = (self.reached + to).saturating_sub(pos).max(to.saturating_sub(usize::from(TOO_FAR) - 1));
    }

    /// Makes entries that are too far from `pos` stay so for `SWEEP_BYTES` more; needed where positions go past 2^16.
    pub(crate) fn sweep(&mut self, pos: usize) {
        assert!(pos >= self.reached);
        self.change(|entry| rebased(entry, pos, pos));
        self.reached = pos;
    }

    /// Forgets positions at and behind `pos`.
    pub(crate) fn rewind(&mut self, pos: usize) {
        let reached = self.reached;
        self.change(|entry| rewound(entry, reached, pos));
        self.reached = reached.min(pos);
    }

    /// Returns the end of what was entered.
    pub(crate) fn reached(&self) -> usize {
        self.reached
    }
}

/// Applies a change to every position of every entry.
pub(super) fn change_all<E: Entry>(entries: &mut [E], change: impl Fn(u16) -> u16) {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the CPU has AVX2.
        return unsafe { change_all_avx2(entries, change) };
    }
    change_all_anywhere(entries, change);
}

/// [`change_all_anywhere`] for a CPU with AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn change_all_avx2<E: Entry>(entries: &mut [E], change: impl Fn(u16) -> u16) {
    change_all_anywhere(entries, change);
}

#[inline(always)]
fn change_all_anywhere<E: Entry>(entries: &mut [E], change: impl Fn(u16) -> u16) {
    for entry in entries {
        *entry = entry.map(&change);
    }
}

/// The way back to the position of an entry.
#[inline(always)]
pub(super) fn back(pos: usize, entry: u16) -> usize {
    usize::from((pos as u16).wrapping_sub(entry))
}

/// A position of an entry when what is at `pos` moves to `to`.
#[inline(always)]
fn rebased(entry: u16, pos: usize, to: usize) -> u16 {
    (to as u16).wrapping_sub((pos as u16).wrapping_sub(entry).min(to.min(usize::from(TOO_FAR)) as u16))
}

/// A position of an entry when those from `pos` to `reached` are forgotten.
#[inline(always)]
fn rewound(entry: u16, reached: usize, pos: usize) -> u16 {
    let ahead = reached.saturating_sub(pos).min(usize::from(u16::MAX)) as u16;
    if (reached as u16).wrapping_sub(entry) <= ahead { (pos - pos.min(usize::from(TOO_FAR))) as u16 } else { entry }
}
