//! The TLB and the walk cache.
//!
//! Larger pages are kept as the 4 KiB piece that was used, with the size of the whole: a hit is then one probe, and an invalidation
//! that covers any byte of the page still drops every piece. Entries are tagged by stream world, VMID, ASID (or global) and ASET, never
//! by StreamID or SubstreamID.

use smmu_spec::command::Leaf;
use smmu_spec::descriptor::Granule;

/// Who an entry belongs to, packed: bit 63 set, ASID 15:0, VMID 31:16, world 33:32, ASET 34, global 35.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tag(u64);

/// Worlds of tags: the STRW codes, and two codes that no STE may carry.
pub(crate) mod world {
    /// Non-secure EL1, nested or not.
    pub const EL1: u8 = 0;
    /// Stage 2 of a VMID: addresses are intermediate physical ones.
    pub const STAGE2: u8 = 1;
    /// EL2 without E2H.
    pub const EL2: u8 = 2;
    /// EL2 with E2H.
    pub const EL2_E2H: u8 = 3;
}

const TAG_VALID: u64 = 1 << 63;
const TAG_ASET: u64 = 1 << 34;
const TAG_GLOBAL: u64 = 1 << 35;

impl Tag {
    /// Matches nothing.
    pub const NONE: Self = Self(0);

    /// The tag of non-global entries. `world` is the STRW code.
    pub const fn of_asid(world: u8, vmid: u16, asid: u16, aset: bool) -> Self {
        Self(TAG_VALID | asid as u64 | (vmid as u64) << 16 | (world as u64) << 32 | if aset { TAG_ASET } else { 0 })
    }

    /// The tag of stage 2 entries.
    pub const fn of_stage2(vmid: u16) -> Self {
        Self::of_asid(world::STAGE2, vmid, 0, false)
    }

    /// The tag of global entries that this owner may use.
    pub const fn global(self) -> Self {
        Self(self.0 & !0xffff | TAG_GLOBAL)
    }

    /// The same owner but for the ASID.
    pub const fn with_asid(self, asid: u16) -> Self {
        Self(self.0 & !0xffff | asid as u64)
    }

    pub const fn is_global(self) -> bool {
        self.0 & TAG_GLOBAL != 0
    }

    pub const fn asid(self) -> u16 {
        self.0 as u16
    }

    /// As a number that tells owners apart.
    pub const fn number(self) -> u64 {
        self.0
    }

    const fn vmid(self) -> u16 {
        (self.0 >> 16) as u16
    }

    pub const fn world(self) -> u8 {
        (self.0 >> 32) as u8 & 3
    }
}

/// Permission bits of an entry: unprivileged read, write, execute, then privileged.
pub(crate) mod allow {
    pub const UNPRIVILEGED: u16 = 0;
    pub const PRIVILEGED: u16 = 3;
    pub const READ: u16 = 0;
    pub const WRITE: u16 = 1;
    pub const EXECUTE: u16 = 2;
    /// A write must first make the descriptor dirty.
    pub const CLEAN: u16 = 1 << 6;
    /// Every access.
    pub const EVERYTHING: u16 = 0x3f;
}

/// A translation as the TLB keeps it.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub tag: Tag,
    /// Input address >> 12.
    pub page: u64,
    /// Output address of the 4 KiB piece.
    pub output: u64,
    /// The same before stage 2; equal without one.
    pub ipa: u64,
    /// `allow` bits of the stage whose addresses these are.
    pub permissions: u16,
    /// `allow` bits of stage 2 below it; everything without one.
    pub stage2: u16,
    /// Log2 of the whole page, contiguous run included.
    pub size_log2: u8,
    pub level: u8,
    pub granule: Granule,
    /// MAIR byte.
    pub attributes: u8,
    pub shareability: u8,
}

impl Entry {
    pub const EMPTY: Self = Self {
        tag: Tag::NONE,
        page: 0,
        output: 0,
        ipa: 0,
        permissions: 0,
        stage2: 0,
        size_log2: 0,
        level: 0,
        granule: Granule::Kib4,
        attributes: 0,
        shareability: 0,
    };

    /// What the stage whose addresses these are gives: stage 1's output before stage 2.
    fn own_output(&self) -> u64 {
        if self.tag.world() == world::STAGE2 { self.output } else { self.ipa }
    }

    fn first(&self) -> u64 {
        (self.page << 12) & !((1 << self.size_log2) - 1)
    }

    fn last(&self) -> u64 {
        (self.page << 12) | ((1 << self.size_log2) - 1)
    }
}

/// A pointer to a level-3 table, found by an earlier walk.
#[derive(Clone, Copy)]
pub(crate) struct TablePointer {
    pub tag: Tag,
    /// First input address that the table covers.
    pub first: u64,
    pub table: u64,
    pub granule: Granule,
    /// Hierarchical restrictions collected on the way (table descriptor bits 63:59).
    pub restrictions: u64,
}

/// Which entries an invalidation is about.
#[derive(Clone, Copy)]
pub(crate) struct Scope {
    pub world: u8,
    pub vmid: Option<u16>,
    pub owner: Owner,
    pub addresses: Option<Addresses>,
}

/// Whose entries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Non-global entries of this ASID.
    Asid(u16),
    /// Entries of this ASID, and global ones.
    AsidOrGlobal(u16),
    /// Everybody's.
    All,
}

/// Which addresses: `first..=last`, normalised.
#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    pub first: u64,
    pub last: u64,
    pub leaf: Leaf,
    /// Only entries of this granule need to go.
    pub granule: Option<Granule>,
    /// Only leaves of this level need to go, and tables above it.
    pub level: Option<u8>,
}

impl Scope {
    fn owns(&self, tag: Tag) -> bool {
        tag != Tag::NONE
            && tag.world() == self.world
            && self.vmid.is_none_or(|vmid| vmid == tag.vmid())
            && match self.owner {
                Owner::Asid(asid) => !tag.is_global() && tag.asid() == asid,
                Owner::AsidOrGlobal(asid) => tag.is_global() || tag.asid() == asid,
                Owner::All => true,
            }
    }

    fn covers(&self, entry: &Entry) -> bool {
        self.owns(entry.tag)
            && self.addresses.is_none_or(|a| {
                entry.first() <= a.last
                    && entry.last() >= a.first
                    && a.granule.is_none_or(|g| g == entry.granule)
                    && a.level.is_none_or(|l| l == entry.level)
            })
    }

    fn covers_table(&self, pointer: &TablePointer) -> bool {
        self.owns(pointer.tag)
            && self.addresses.is_none_or(|a| {
                let last = pointer.first | ((1 << pointer.granule.level_shift(2)) - 1);
                a.leaf == Leaf::AllLevels
                    && pointer.first <= a.last
                    && last >= a.first
                    && a.granule.is_none_or(|g| g == pointer.granule)
                    // The pointer is a level-2 table entry: it must go with leaves of level 3.
                    && a.level.is_none_or(|l| l > 2)
            })
    }
}

const WAYS: usize = 4;
const SETS: usize = 512;
const POINTERS: usize = 256;

pub(crate) struct Tlb {
    entries: [[Entry; WAYS]; SETS],
    pointers: [TablePointer; POINTERS],
    victim: usize,
    /// Upper bound of global entries held: without any, a lookup probes once.
    globals: u32,
    /// Upper bound of entries larger than 4 KiB: without any, an invalidation of one page looks at its set only.
    large: u32,
}

fn mix(page: u64, tag: Tag) -> u64 {
    // ASIDs spread over sets, so that many address spaces with equal addresses do not fight for one set.
    page ^ (page >> 9) ^ u64::from(tag.asid()).wrapping_mul(0x9d)
}

impl Tlb {
    pub const fn new() -> Self {
        let pointer = TablePointer { tag: Tag::NONE, first: 0, table: 0, granule: Granule::Kib4, restrictions: 0 };
        Self { entries: [[Entry::EMPTY; WAYS]; SETS], pointers: [pointer; POINTERS], victim: 0, globals: 0, large: 0 }
    }

    fn probe(&self, tag: Tag, page: u64) -> Option<&Entry> {
        let set = &self.entries[mix(page, tag) as usize & (SETS - 1)];
        set.iter().find(|e| e.page == page && e.tag == tag)
    }

    /// Finds the entry for `address` that owner `tag` may use.
    #[inline]
    pub fn lookup(&self, tag: Tag, address: u64) -> Option<&Entry> {
        let page = address >> 12;
        let own = self.probe(tag, page);
        if own.is_some() || self.globals == 0 { own } else { self.probe(tag.global(), page) }
    }

    /// Inserts or replaces; true if the same page of the same owner stood there with another output.
    pub fn insert(&mut self, entry: &Entry) -> bool {
        self.globals += u32::from(entry.tag.is_global());
        self.large += u32::from(entry.size_log2 > 12);
        let set = &mut self.entries[mix(entry.page, entry.tag) as usize & (SETS - 1)];
        let way = set
            .iter()
            .position(|e| e.page == entry.page && e.tag == entry.tag)
            .or_else(|| set.iter().position(|e| e.tag == Tag::NONE))
            .unwrap_or_else(|| {
                self.victim = (self.victim + 1) % WAYS;
                self.victim
            });
        let old = &mut set[way];
        let is_broken = old.tag == entry.tag && old.page == entry.page && old.own_output() != entry.own_output();
        *old = *entry;
        is_broken
    }

    /// True if an entry or a table pointer leads to the 4 KiB page at `page`.
    pub fn leads_to(&self, page: u64) -> bool {
        self.entries.iter().flatten().any(|e| e.tag != Tag::NONE && e.output == page)
            || self.pointers.iter().any(|p| p.tag != Tag::NONE && p.table & !0xfff == page)
    }

    /// Forgets the entry for `address`, if there is one.
    pub fn forget(&mut self, tag: Tag, address: u64) {
        let page = address >> 12;
        for tag in [tag, tag.global()] {
            for entry in &mut self.entries[mix(page, tag) as usize & (SETS - 1)] {
                if entry.page == page && entry.tag == tag {
                    entry.tag = Tag::NONE;
                }
            }
        }
    }

    fn pointer_slot(tag: Tag, first: u64, granule: Granule) -> usize {
        mix(first >> granule.level_shift(2), tag) as usize & (POINTERS - 1)
    }

    /// Finds a level-3 table for `address`.
    pub fn table_pointer(&self, tag: Tag, address: u64, granule: Granule) -> Option<&TablePointer> {
        let first = address & !((1 << granule.level_shift(2)) - 1);
        let pointer = &self.pointers[Self::pointer_slot(tag, first, granule)];
        (pointer.tag == tag && pointer.first == first && pointer.granule == granule).then_some(pointer)
    }

    pub fn insert_table_pointer(&mut self, pointer: TablePointer) {
        self.pointers[Self::pointer_slot(pointer.tag, pointer.first, pointer.granule)] = pointer;
    }

    /// Drops exactly what `scope` demands.
    pub fn invalidate(&mut self, scope: &Scope) {
        let one_page = matches!(scope.addresses, Some(a) if a.first >> 12 == a.last >> 12);
        match (scope.owner, scope.addresses) {
            (Owner::Asid(asid) | Owner::AsidOrGlobal(asid), Some(a)) if one_page && self.large == 0 => {
                let page = a.first >> 12;
                let own = Tag::of_asid(0, 0, asid, false);
                for tag in [own, own.global()] {
                    for entry in &mut self.entries[mix(page, tag) as usize & (SETS - 1)] {
                        if scope.covers(entry) {
                            entry.tag = Tag::NONE;
                        }
                    }
                }
            }
            _ => self.sweep(|entry| scope.covers(entry)),
        }
        if scope.addresses.is_none_or(|a| a.leaf == Leaf::AllLevels) {
            for pointer in &mut self.pointers {
                if scope.covers_table(pointer) {
                    pointer.tag = Tag::NONE;
                }
            }
        }
    }

    fn sweep(&mut self, gone: impl Fn(&Entry) -> bool) {
        (self.globals, self.large) = (0, 0);
        for entry in self.entries.iter_mut().flatten() {
            if entry.tag == Tag::NONE {
                continue;
            }
            if gone(entry) {
                entry.tag = Tag::NONE;
            } else {
                self.globals += u32::from(entry.tag.is_global());
                self.large += u32::from(entry.size_log2 > 12);
            }
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.sweep(|_| true);
        for pointer in &mut self.pointers {
            pointer.tag = Tag::NONE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed() -> std::boxed::Box<Tlb> {
        std::boxed::Box::new(Tlb::new())
    }

    fn entry(tag: Tag, address: u64, size_log2: u8) -> Entry {
        Entry { tag, page: address >> 12, output: address ^ 0x8000_0000, size_log2, level: 3, ..Entry::EMPTY }
    }

    fn all(address: u64) -> Addresses {
        Addresses { first: address, last: address | 0xfff, leaf: Leaf::AllLevels, granule: None, level: None }
    }

    #[test]
    fn global_entries_serve_every_asid_of_the_same_aset() {
        let mut tlb = boxed();
        let asid7 = Tag::of_asid(0, 0, 7, false);
        tlb.insert(&entry(asid7.global(), 0x1000, 12));
        assert!(tlb.lookup(Tag::of_asid(0, 0, 8, false), 0x1abc).is_some());
        assert!(tlb.lookup(Tag::of_asid(0, 0, 8, true), 0x1abc).is_none(), "the other ASET");
        assert!(tlb.lookup(Tag::of_asid(2, 0, 8, false), 0x1abc).is_none(), "the other world");
        assert!(tlb.lookup(Tag::of_asid(0, 1, 8, false), 0x1abc).is_none(), "the other VMID");
        tlb.invalidate(&Scope { world: 0, vmid: None, owner: Owner::Asid(7), addresses: None });
        assert!(tlb.lookup(asid7, 0x1000).is_some(), "NH_ASID leaves global entries");
        tlb.invalidate(&Scope { world: 0, vmid: None, owner: Owner::AsidOrGlobal(9), addresses: Some(all(0x1000)) });
        assert!(tlb.lookup(asid7, 0x1000).is_none(), "NH_VA of any ASID drops a matching global entry");
    }

    #[test]
    fn a_byte_of_a_block_drops_every_piece_of_it() {
        let mut tlb = boxed();
        let tag = Tag::of_asid(0, 0, 7, false);
        tlb.insert(&entry(tag, 0x20_0000, 21));
        tlb.insert(&entry(tag, 0x3f_f000, 21));
        tlb.insert(&entry(tag, 0x40_0000, 12));
        tlb.invalidate(&Scope { world: 0, vmid: None, owner: Owner::AsidOrGlobal(7), addresses: Some(all(0x30_0000)) });
        assert!(tlb.lookup(tag, 0x20_0000).is_none() && tlb.lookup(tag, 0x3f_f000).is_none());
        assert!(tlb.lookup(tag, 0x40_0000).is_some());
    }

    #[test]
    fn leaf_only_keeps_table_pointers() {
        let mut tlb = boxed();
        let tag = Tag::of_asid(0, 0, 7, false);
        let pointer = TablePointer { tag, first: 0x20_0000, table: 0x9000, granule: Granule::Kib4, restrictions: 0 };
        tlb.insert_table_pointer(pointer);
        let scope = |addresses| Scope { world: 0, vmid: None, owner: Owner::AsidOrGlobal(7), addresses: Some(addresses) };
        tlb.invalidate(&scope(Addresses { leaf: Leaf::Only, ..all(0x20_0000) }));
        assert!(tlb.table_pointer(tag, 0x20_1000, Granule::Kib4).is_some());
        tlb.invalidate(&scope(Addresses { level: Some(2), ..all(0x20_0000) }));
        assert!(tlb.table_pointer(tag, 0x20_1000, Granule::Kib4).is_some(), "a table of level 2 may stay with TTL = 2");
        tlb.invalidate(&scope(all(0x20_0000)));
        assert!(tlb.table_pointer(tag, 0x20_1000, Granule::Kib4).is_none());
    }
}
