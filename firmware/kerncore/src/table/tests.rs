extern crate std;
use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

#[derive(Default)]
struct Memory {
    words: BTreeMap<u64, u64>,
    tables: BTreeSet<u64>,
    next: u64,
    left: usize,
}

impl Memory {
    fn new(left: usize) -> Self {
        Self { next: 0x4000_0000, left, ..Self::default() }
    }
}

impl TableMemory for Memory {
    fn read(&self, at: Pa) -> u64 {
        assert!(self.tables.contains(&(at.0 & !0xfff)), "read outside a table: {at}");
        self.words.get(&at.0).copied().unwrap_or(0)
    }
    fn write(&mut self, at: Pa, descriptor: u64) {
        assert!(self.tables.contains(&(at.0 & !0xfff)), "write outside a table: {at}");
        self.words.insert(at.0, descriptor);
    }
    fn write_run(&mut self, at: Pa, entries: u64, descriptor: u64, step: u64) {
        assert!(at.0 % 4096 + entries * 8 <= 4096, "past the end of a table");
        (0..entries).for_each(|index| self.write(Pa(at.0 + index * 8), descriptor + index * step));
    }
    fn clear_run(&mut self, at: Pa, entries: u64, mut old: impl FnMut(u64, u64)) {
        assert!(at.0 % 4096 + entries * 8 <= 4096, "past the end of a table");
        for index in 0..entries {
            let slot = Pa(at.0 + index * 8);
            let descriptor = self.read(slot);
            if descriptor & 1 != 0 {
                self.write(slot, 0);
                old(index, descriptor);
            }
        }
    }
    fn first_valid(&self, at: Pa, entries: u64) -> Option<u64> {
        (0..entries).find(|index| self.read(Pa(at.0 + index * 8)) & 1 != 0)
    }
    fn alloc_table(&mut self) -> Option<Pa> {
        self.left = self.left.checked_sub(1)?;
        self.next += 0x1000;
        self.tables.insert(self.next);
        Some(Pa(self.next))
    }
    fn free_table(&mut self, at: Pa) {
        assert!(self.tables.remove(&at.0), "freed {at}, which is no table");
    }
}

/// Words worked out by hand from the descriptor format: index, AP, SH, AF, nG, PXN, UXN.
#[test]
fn leaf_words_are_those_of_the_architecture() {
    let cases = [
        (Leaf::User(Rights::ReadWrite), 0x0060_0000_8000_0f47),
        (Leaf::User(Rights::Read), 0x0060_0000_8000_0fc7),
        (Leaf::User(Rights::None), 0x0060_0000_8000_0f87),
        (Leaf::UserDevice, 0x0060_0000_8000_0e43),
        (Leaf::KernelOfProcess, 0x0060_0000_8000_0f07),
        (Leaf::KernelData, 0x0060_0000_8000_0707),
        (Leaf::KernelDevice, 0x0060_0000_8000_0603),
        (Leaf::Text, 0x0000_0000_8000_07c7),
        (Leaf::Constants, 0x0060_0000_8000_07c7),
        (Leaf::Domain, 0x0060_0000_8000_0f47),
        (Leaf::DomainDevice, 0x0060_0000_8000_0e43),
        // Stage 2: MemAttr, S2AP, SH, AF, XN.
        (Leaf::Guest(Rights::ReadWrite), 0x0040_0000_8000_07ff),
        (Leaf::Guest(Rights::Read), 0x0040_0000_8000_077f),
        (Leaf::Guest(Rights::None), 0x0040_0000_8000_073f),
        (Leaf::GuestDevice, 0x0040_0000_8000_06c7),
    ];
    for (leaf, word) in cases {
        let mut memory = Memory::new(3);
        let mut table = PageTable::new(&mut memory).unwrap();
        table.map(&mut memory, 0x10_0000_0000, Pa(0x8000_0000), 4096, leaf, Blocks::Allowed).unwrap();
        assert_eq!(table.lookup(&memory, 0x10_0000_0000).unwrap().descriptor, word, "{leaf:?}");
    }
}

#[test]
fn table_and_block_words_are_those_of_the_architecture() {
    let mut memory = Memory::new(9);
    let mut table = PageTable::new(&mut memory).unwrap();
    let root = table.root().0;
    table.map(&mut memory, 0x4000_0000, Pa(0x4000_0000), 1 << 30, Leaf::KernelData, Blocks::Allowed).unwrap();
    assert_eq!(memory.read(Pa(root + 8)), 0x0060_0000_4000_0705, "1 GiB block");
    table.map(&mut memory, 0x8020_0000, Pa(0x20_0000), 2 << 20, Leaf::KernelData, Blocks::Allowed).unwrap();
    let middle = memory.read(Pa(root + 16));
    assert_eq!(middle & 0xfff, 3, "table descriptor");
    assert_eq!(memory.read(Pa((middle & !0xfff) + 8)), 0x0060_0000_0020_0705, "2 MiB block");
}

#[test]
fn a_range_uses_the_largest_blocks_or_pages_only() {
    let sizes = |blocks| {
        let mut memory = Memory::new(600);
        let mut table = PageTable::new(&mut memory).unwrap();
        table.map(&mut memory, 0x3fff_f000, Pa(0x3fff_f000), 0x4040_2000, Leaf::KernelData, blocks).unwrap();
        let mut sizes = BTreeMap::new();
        table
            .unmap(&mut memory, 0x3fff_f000, 0x4040_2000, |at, pa, len| {
                assert_eq!(at, pa.0);
                *sizes.entry(len).or_insert(0) += 1;
            })
            .unwrap();
        sizes.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(sizes(Blocks::Allowed), [(0x1000, 2), (0x20_0000, 2), (0x4000_0000, 1)]);
    assert_eq!(sizes(Blocks::PagesOnly), [(0x1000, 0x4_0402)]);
}

#[test]
fn lookups_agree_with_what_was_mapped() {
    let mut memory = Memory::new(9);
    let mut table = PageTable::new(&mut memory).unwrap();
    table.map(&mut memory, 0x20_0000, Pa(0x4020_0000), 2 << 20, Leaf::User(Rights::Read), Blocks::Allowed).unwrap();
    let found = table.lookup(&memory, 0x2a_bcde).unwrap();
    assert_eq!((found.pa, found.len_bytes, found.user_rights()), (Pa(0x402a_bcde), 2 << 20, Rights::Read));
    assert_eq!(table.lookup(&memory, 0x40_0000), None);
    assert_eq!(table.lookup(&memory, 1 << 39), None);
    assert_eq!(table.lookup(&memory, 0x8000_0020_0000), None, "addresses beyond 39 bits do not alias");
}

#[test]
fn refusals_name_the_place() {
    let mut memory = Memory::new(4);
    let mut table = PageTable::new(&mut memory).unwrap();
    let data = Leaf::KernelData;
    table.map(&mut memory, 0x20_0000, Pa(0), 2 << 20, data, Blocks::Allowed).unwrap();
    let map = |table: &mut PageTable, memory: &mut Memory, at, len| table.map(memory, at, Pa(0), len, data, Blocks::PagesOnly);
    assert_eq!(map(&mut table, &mut memory, 0x21_0000, 4096), Err(TableError::Occupied { at: 0x21_0000 }));
    for (at, len) in [(1, 4096), (0, 0), (0, 1), ((1 << 39) - 4096, 8192), (u64::MAX - 4095, 4096)] {
        assert_eq!(map(&mut table, &mut memory, at, len), Err(TableError::BadRange));
    }
    assert_eq!(table.unmap(&mut memory, 0x20_1000, 4096, |_, _, _| {}), Err(TableError::Block { at: 0x20_0000 }));
    assert_eq!(table.unmap(&mut memory, 0x20_0000, 4096, |_, _, _| {}), Err(TableError::Block { at: 0x20_0000 }));
    map(&mut table, &mut memory, 0, 4096).unwrap();
    assert_eq!(map(&mut table, &mut memory, 0, 4096), Err(TableError::Occupied { at: 0 }));
    memory.left = 0;
    assert_eq!(map(&mut table, &mut memory, 0x4000_0000, 4096), Err(TableError::OutOfMemory));
}

#[test]
fn protecting_keeps_the_address_and_changes_the_rights() {
    let mut memory = Memory::new(4);
    let mut table = PageTable::new(&mut memory).unwrap();
    table.map(&mut memory, 0x1000, Pa(0x4000_1000), 4096, Leaf::User(Rights::ReadWrite), Blocks::Allowed).unwrap();
    for rights in [Rights::Read, Rights::None, Rights::ReadWrite] {
        assert!(table.protect(&mut memory, 0x1000, Leaf::User(rights)));
        let found = table.lookup(&memory, 0x1234).unwrap();
        assert_eq!((found.pa, found.user_rights()), (Pa(0x4000_1234), rights));
    }
    assert!(!table.protect(&mut memory, 0x2000, Leaf::User(Rights::Read)));
}

#[test]
fn shared_entries_follow_their_owner_and_survive_the_sharer() {
    let mut memory = Memory::new(16);
    let mut kernel = PageTable::new(&mut memory).unwrap();
    kernel.map(&mut memory, 0x1000, Pa(0x1000), 4096, Leaf::KernelData, Blocks::Allowed).unwrap();
    let mut process = PageTable::new(&mut memory).unwrap();
    process.share_root_entries(&mut memory, &kernel, 0..64);
    kernel.map(&mut memory, 0x5000, Pa(0x5000), 4096, Leaf::KernelData, Blocks::Allowed).unwrap();
    assert_eq!(process.lookup(&memory, 0x5000), kernel.lookup(&memory, 0x5000), "one table below, seen by both");
    process.map(&mut memory, 64 << 30, Pa(0x9000), 4096, Leaf::User(Rights::Read), Blocks::Allowed).unwrap();
    let before = memory.tables.len();
    process.destroy(&mut memory, 64..128);
    assert_eq!(memory.tables.len(), before - 3, "root, middle and leaf table of the process");
    assert!(kernel.lookup(&memory, 0x1000).is_some());
    kernel.destroy(&mut memory, 0..512);
    assert!(memory.tables.is_empty(), "no table is lost");
}

#[test]
fn ua_k4_a_copy_shares_pages_read_only_until_somebody_writes() {
    const BASE: u64 = 0x10_0000_0000;
    let mut memory = Memory::new(16);
    let (mut parent, mut copy) = (PageTable::new(&mut memory).unwrap(), PageTable::new(&mut memory).unwrap());
    let mut map = |at: u64, pa: u64, len: u64, rights, blocks| {
        parent.map(&mut memory, at, Pa(pa), len, Leaf::User(rights), blocks).unwrap();
    };
    map(BASE + 0x1000, 0x4000_1000, 0x2000, Rights::ReadWrite, Blocks::PagesOnly);
    map(BASE + 0x1f_f000, 0x4000_9000, 0x2000, Rights::Read, Blocks::PagesOnly);
    map(BASE + 0x40_0000, 0x4040_0000, 0x20_0000, Rights::ReadWrite, Blocks::Allowed);
    let mut told = Vec::new();
    let range = BASE..BASE + 0x20_1000;
    parent
        .share(&mut memory, &mut copy, range, Inherit::Shared, |pa| {
            told.push(pa.0);
            true
        })
        .unwrap();
    assert_eq!(told, [0x4000_1000, 0x4000_2000, 0x4000_9000, 0x4000_a000]);
    for at in [0x1000, 0x2fff, 0x1f_f000, 0x20_0000] {
        let (ours, theirs) = (parent.lookup(&memory, BASE + at), copy.lookup(&memory, BASE + at));
        assert!(ours.is_some() && ours == theirs, "{at:#x}");
        assert_eq!(ours.unwrap().user_rights(), Rights::Read);
    }
    assert_eq!(copy.lookup(&memory, BASE), None);
    parent.share(&mut memory, &mut copy, BASE + 0x40_0000..BASE + 0x60_0000, Inherit::Same, |_| panic!("not asked")).unwrap();
    let block = copy.lookup(&memory, BASE + 0x40_1234).unwrap();
    assert_eq!((block.pa, block.len_bytes, block.user_rights()), (Pa(0x4040_1234), 0x20_0000, Rights::ReadWrite));
    let again = parent.share(&mut memory, &mut copy, BASE..BASE + 0x2000, Inherit::Shared, |_| true);
    assert_eq!(again, Err(TableError::Occupied { at: BASE + 0x1000 }));
    let mut third = PageTable::new(&mut memory).unwrap();
    let refused = parent.share(&mut memory, &mut third, BASE..BASE + 0x3000, Inherit::Shared, |_| false);
    assert_eq!(refused, Err(TableError::OutOfMemory));
}
