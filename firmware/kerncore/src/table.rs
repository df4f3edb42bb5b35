//! Translation tables, 4 KiB granule, 39-bit addresses (three levels, from level 1): of the kernel, of processes, of the device domain; and, in
//! the same shape, of stage 2 for guests.
//!
//! The same tables are walked by the CPU and by the SMMU. This module writes descriptors; who invalidates what afterwards, and when a frame
//! may be reused, is the caller's duty, and every call that can leave a stale entry behind says so.

use core::ops::Range;
use hal::Pa;
use smmu_spec::descriptor::{ADDR_47_12, LEAF, LEAF_S2, TABLE};
use tock_registers::fields::FieldValue;

use crate::vma::Rights;

/// Bits of an address that a table translates.
pub const VA_BITS: u32 = 39;
/// Entries of one table.
pub const ENTRIES: usize = 512;
/// Bytes that one root entry covers.
pub const ROOT_ENTRY_BYTES: u64 = 1 << 30;

/// Memory that tables are made of. Every word is written by one aligned 64-bit store: a walker may read it at any moment.
pub trait TableMemory {
    /// Reads a descriptor.
    fn read(&self, at: Pa) -> u64;
    /// Writes a descriptor.
    fn write(&mut self, at: Pa, descriptor: u64);
    /// Writes `entries` descriptors in a row inside one table, the first `descriptor`, each `step` more than the one before.
    fn write_run(&mut self, at: Pa, entries: u64, descriptor: u64, step: u64);
    /// Zeroes `entries` descriptors in a row inside one table, telling `old` the index and value of each valid one.
    fn clear_run(&mut self, at: Pa, entries: u64, old: impl FnMut(u64, u64));
    /// The first valid one of `entries` descriptors in a row inside one table.
    fn first_valid(&self, at: Pa, entries: u64) -> Option<u64>;
    /// Takes a zeroed frame for a table.
    fn alloc_table(&mut self) -> Option<Pa>;
    /// Gives a table's frame back.
    fn free_table(&mut self, at: Pa);
}

/// How a page is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaf {
    /// A process's own normal memory.
    User(Rights),
    /// A device page in a process's hands.
    UserDevice,
    /// Memory at a process's addresses that only the kernel may touch.
    KernelOfProcess,
    /// Kernel data.
    KernelData,
    /// A device of the kernel.
    KernelDevice,
    /// Program text: read and executed by kernel and processes.
    Text,
    /// Constants: read by kernel and processes.
    Constants,
    /// Normal memory of the device domain, unprivileged read and write: what PCIe without a PASID prefix emits.
    Domain,
    /// Device memory of the device domain: the MSI frame.
    DomainDevice,
    /// Normal memory of a guest: a descriptor of stage 2.
    Guest(Rights),
    /// A device in a guest's hands: a descriptor of stage 2.
    GuestDevice,
}

/// Attribute index of device memory: entry 0 of the house's MAIR.
const DEVICE: u64 = 0;
/// Attribute index of normal write-back memory: entry 1.
const NORMAL: u64 = 1;
/// Stage 2's type of normal memory, write-back inside and outside: what stage 1 says stands.
const NORMAL_S2: u64 = 0xf;
/// Stage 2's type of device memory, nGnRE.
const DEVICE_S2: u64 = 1;

impl Leaf {
    /// The descriptor without valid, page and address bits.
    fn attributes(self) -> u64 {
        let normal = LEAF::ATTR_INDEX.val(NORMAL) + LEAF::SH::Inner + LEAF::AF::SET;
        let device = LEAF::ATTR_INDEX.val(DEVICE) + LEAF::SH::Outer + LEAF::AF::SET;
        let never = LEAF::PXN::SET + LEAF::UXN::SET;
        let leaf = match self {
            Self::User(Rights::None) => normal + LEAF::AP2::SET + LEAF::NG::SET + never,
            Self::User(Rights::Read) => normal + LEAF::AP1::SET + LEAF::AP2::SET + LEAF::NG::SET + never,
            Self::User(Rights::ReadWrite) => normal + LEAF::AP1::SET + LEAF::NG::SET + never,
            Self::UserDevice => device + LEAF::AP1::SET + LEAF::NG::SET + never,
            Self::KernelOfProcess => normal + LEAF::NG::SET + never,
            Self::KernelData => normal + never,
            Self::KernelDevice => device + never,
            Self::Text => normal + LEAF::AP1::SET + LEAF::AP2::SET,
            Self::Constants => normal + LEAF::AP1::SET + LEAF::AP2::SET + never,
            Self::Domain => normal + LEAF::AP1::SET + LEAF::NG::SET + never,
            Self::DomainDevice => device + LEAF::AP1::SET + LEAF::NG::SET + never,
            Self::Guest(rights) => return stage2(LEAF_S2::MEM_ATTR.val(NORMAL_S2) + LEAF_S2::SH::Inner, rights),
            Self::GuestDevice => return stage2(LEAF_S2::MEM_ATTR.val(DEVICE_S2) + LEAF_S2::SH::Outer, Rights::ReadWrite),
        };
        leaf.value
    }
}

/// A stage 2 descriptor of this kind of memory, without valid, page and address bits.
fn stage2(memory: FieldValue<u64, LEAF_S2::Register>, rights: Rights) -> u64 {
    let allowed = match rights {
        Rights::None => LEAF_S2::READ::CLEAR,
        Rights::Read => LEAF_S2::READ::SET,
        Rights::ReadWrite => LEAF_S2::READ::SET + LEAF_S2::WRITE::SET,
    };
    (memory + allowed + LEAF_S2::AF::SET + LEAF_S2::XN::Nobody).value
}

/// What a lookup found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// Physical address of the byte asked for.
    pub pa: Pa,
    /// Bytes that the descriptor covers.
    pub len_bytes: u64,
    /// The descriptor.
    pub descriptor: u64,
}

impl Found {
    /// What an unprivileged access may do.
    pub fn user_rights(&self) -> Rights {
        match (LEAF::AP1.is_set(self.descriptor), LEAF::AP2.is_set(self.descriptor)) {
            (false, _) => Rights::None,
            (true, true) => Rights::Read,
            (true, false) => Rights::ReadWrite,
        }
    }
}

/// A table operation was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableError {
    /// No frame for a table. Pages before the one that failed are mapped.
    OutOfMemory,
    /// Something is mapped there. Pages before it are mapped.
    Occupied {
        /// Its address.
        at: u64,
    },
    /// The range leaves the address space or is not page-aligned.
    BadRange,
    /// A block would have to be split.
    Block {
        /// Its address.
        at: u64,
    },
}

const fn shift(level: u32) -> u32 {
    39 - 9 * level
}

/// A table tree, by its root.
#[derive(Debug)]
pub struct PageTable {
    root: Pa,
}

impl PageTable {
    /// An empty tree.
    pub fn new(memory: &mut impl TableMemory) -> Option<Self> {
        memory.alloc_table().map(|root| Self { root })
    }

    /// Physical address of the root: TTBR0, CD.TTB0.
    pub fn root(&self) -> Pa {
        self.root
    }

    fn entry(table: Pa, level: u32, at: u64) -> Pa {
        Pa(table.0 + (at >> shift(level) & 0x1ff) * 8)
    }

    fn check(at: u64, len_bytes: u64) -> Result<(), TableError> {
        let end = at.checked_add(len_bytes).ok_or(TableError::BadRange)?;
        let aligned = at.is_multiple_of(4096) && len_bytes.is_multiple_of(4096) && len_bytes != 0;
        if aligned && end <= 1 << VA_BITS { Ok(()) } else { Err(TableError::BadRange) }
    }

    /// Takes over root entries of another tree: both walk the same tables below from now on, and the other tree owns them.
    pub fn share_root_entries(&mut self, memory: &mut impl TableMemory, from: &Self, entries: Range<usize>) {
        for entry in entries {
            let offset = entry as u64 * 8;
            let descriptor = memory.read(Pa(from.root.0 + offset));
            memory.write(Pa(self.root.0 + offset), descriptor);
        }
    }

    /// Maps a range with the largest blocks that alignment and length allow, or with pages only. Nothing may be mapped there; invalid
    /// descriptors are not cached, so nothing needs to be invalidated.
    ///
    /// # Errors
    /// See [`TableError`].
    pub fn map(
        &mut self,
        memory: &mut impl TableMemory,
        at: u64,
        pa: Pa,
        len_bytes: u64,
        leaf: Leaf,
        blocks: Blocks,
    ) -> Result<(), TableError> {
        Self::check(at, len_bytes)?;
        let attributes = leaf.attributes() | LEAF::VALID::SET.value;
        let mut done = 0;
        while done < len_bytes {
            let (va, pa) = (at + done, pa.0 + done);
            let fits = |level: u32| (va | pa).is_multiple_of(1 << shift(level)) && len_bytes - done >= 1 << shift(level);
            let level = if blocks == Blocks::PagesOnly { 3 } else { (1..=3).find(|level| fits(*level)).unwrap_or(3) };
            let table = self.table_of(memory, va, level)?;
            // One walk serves all entries of the same table: the run of pages, or the one block.
            let entries = if level == 3 { (512 - (va >> 12 & 0x1ff)).min((len_bytes - done) >> 12) } else { 1 };
            let page = if level == 3 { LEAF::PAGE::SET.value } else { 0 };
            let slot = Self::entry(table, level, va);
            let free = memory.first_valid(slot, entries).unwrap_or(entries);
            memory.write_run(slot, free, pa | attributes | page, 1 << shift(level));
            if free < entries {
                return Err(TableError::Occupied { at: va + (free << shift(level)) });
            }
            done += entries << shift(level);
        }
        Ok(())
    }

    /// The table of a level that holds an address's entry, made if it is missing.
    fn table_of(&mut self, memory: &mut impl TableMemory, at: u64, level: u32) -> Result<Pa, TableError> {
        let mut table = self.root;
        for upper in 1..level {
            let slot = Self::entry(table, upper, at);
            let descriptor = memory.read(slot);
            table = if !TABLE::VALID.is_set(descriptor) {
                let new = memory.alloc_table().ok_or(TableError::OutOfMemory)?;
                memory.write(slot, new.0 | (TABLE::VALID::SET + TABLE::TABLE::SET).value);
                new
            } else if TABLE::TABLE.is_set(descriptor) {
                Pa(descriptor & ADDR_47_12)
            } else {
                return Err(TableError::Occupied { at });
            };
        }
        Ok(table)
    }

    /// Finds the descriptor of an address: its place, its level, its value.
    fn walk(&self, memory: &impl TableMemory, at: u64) -> Option<(Pa, u32, u64)> {
        if at >> VA_BITS != 0 {
            return None;
        }
        let mut table = self.root;
        for level in 1..=3 {
            let slot = Self::entry(table, level, at);
            let descriptor = memory.read(slot);
            if !TABLE::VALID.is_set(descriptor) {
                return None;
            }
            if level == 3 || !TABLE::TABLE.is_set(descriptor) {
                return Some((slot, level, descriptor));
            }
            table = Pa(descriptor & ADDR_47_12);
        }
        None
    }

    /// What an address is mapped to.
    pub fn lookup(&self, memory: &impl TableMemory, at: u64) -> Option<Found> {
        let (_, level, descriptor) = self.walk(memory, at)?;
        let len_bytes = 1 << shift(level);
        let base = descriptor & ADDR_47_12 & !(len_bytes - 1);
        Some(Found { pa: Pa(base + at % len_bytes), len_bytes, descriptor })
    }

    /// Unmaps a range; holes are fine. `gone` is told each leaf: address, what stood there, length. The walkers may still hold it until the
    /// caller has invalidated the range; only then may a frame be reused.
    ///
    /// # Errors
    /// `BadRange`; `Block` if a block sticks out of the range: what lies before it is unmapped.
    pub fn unmap(
        &mut self,
        memory: &mut impl TableMemory,
        at: u64,
        len_bytes: u64,
        mut gone: impl FnMut(u64, Pa, u64),
    ) -> Result<(), TableError> {
        Self::check(at, len_bytes)?;
        let (mut va, end) = (at, at + len_bytes);
        while va < end {
            let Some((slot, level, descriptor)) = self.walk(memory, va) else {
                va = self.skip_hole(memory, va);
                continue;
            };
            let size = 1 << shift(level);
            if !va.is_multiple_of(size) || end - va < size {
                return Err(TableError::Block { at: va & !(size - 1) });
            }
            if level == 3 {
                // The rest of the table needs no walk.
                let entries = (512 - (va >> 12 & 0x1ff)).min((end - va) >> 12);
                memory.clear_run(slot, entries, |index, descriptor| gone(va + (index << 12), Pa(descriptor & ADDR_47_12), size));
                va += entries << 12;
            } else {
                memory.write(slot, 0);
                gone(va, Pa(descriptor & ADDR_47_12), size);
                va += size;
            }
        }
        Ok(())
    }

    /// Maps what a range of this tree maps into another tree too, at the same addresses: there nothing may be mapped. With `Inherit::Shared`
    /// writable pages become read-only in both, and each page is told to `page`, which may refuse; the caller then invalidates the range here.
    ///
    /// # Errors
    /// `OutOfMemory` without a frame for a table, or as soon as `page` returns false; `Occupied`. Pages before are in both trees.
    pub fn share(
        &mut self,
        memory: &mut impl TableMemory,
        into: &mut Self,
        range: Range<u64>,
        how: Inherit,
        mut page: impl FnMut(Pa) -> bool,
    ) -> Result<(), TableError> {
        let mut va = range.start;
        while va < range.end {
            let (table, level) = self.deepest(memory, va);
            let covered = shift(level - u32::from(level == 3));
            let end = range.end.min(((va >> covered) + 1) << covered);
            let mut to = None;
            // A table of pages is read to its end; a block, or a hole of a block's size, is one entry.
            while va < end {
                let from = Self::entry(table, level, va);
                let mut descriptor = memory.read(from);
                if LEAF::VALID.is_set(descriptor) {
                    let table = match to {
                        Some(table) => table,
                        None => *to.insert(into.table_of(memory, va, level)?),
                    };
                    let slot = Self::entry(table, level, va);
                    if LEAF::VALID.is_set(memory.read(slot)) {
                        return Err(TableError::Occupied { at: va });
                    }
                    if how == Inherit::Shared {
                        if !page(Pa(descriptor & ADDR_47_12)) {
                            return Err(TableError::OutOfMemory);
                        }
                        if !LEAF::AP2.is_set(descriptor) {
                            descriptor |= LEAF::AP2::SET.value;
                            memory.write(from, descriptor);
                        }
                    }
                    memory.write(slot, descriptor);
                }
                va = ((va >> shift(level)) + 1) << shift(level);
            }
        }
        Ok(())
    }

    /// The lowest table on the way to an address, and its level: 3, or less where a block or a hole comes first.
    fn deepest(&self, memory: &impl TableMemory, at: u64) -> (Pa, u32) {
        let mut table = self.root;
        for level in 1..3 {
            let descriptor = memory.read(Self::entry(table, level, at));
            if !TABLE::VALID.is_set(descriptor) || !TABLE::TABLE.is_set(descriptor) {
                return (table, level);
            }
            table = Pa(descriptor & ADDR_47_12);
        }
        (table, 3)
    }

    /// The next address after a hole at `at` that could be mapped.
    fn skip_hole(&self, memory: &impl TableMemory, at: u64) -> u64 {
        let mut table = self.root;
        for level in 1..3 {
            let descriptor = memory.read(Self::entry(table, level, at));
            if !TABLE::VALID.is_set(descriptor) {
                return (at | ((1 << shift(level)) - 1)) + 1;
            }
            table = Pa(descriptor & ADDR_47_12);
        }
        at + 4096
    }

    /// Changes how a mapped page looks; false if nothing is mapped there. Address and size stay, so no break-before-make is needed; the
    /// walkers may use the old attributes until the caller has invalidated the page.
    pub fn protect(&mut self, memory: &mut impl TableMemory, at: u64, leaf: Leaf) -> bool {
        let Some((slot, level, descriptor)) = self.walk(memory, at) else { return false };
        let page = if level == 3 { LEAF::PAGE::SET.value } else { 0 };
        let address = descriptor & ADDR_47_12 & !((1 << shift(level)) - 1);
        memory.write(slot, address | leaf.attributes() | LEAF::VALID::SET.value | page);
        true
    }

    /// Gives all tables below `owned` root entries back, and the root. No walker may use the tree any more.
    pub fn destroy(self, memory: &mut impl TableMemory, owned: Range<usize>) {
        for entry in owned {
            let descriptor = memory.read(Pa(self.root.0 + entry as u64 * 8));
            if !TABLE::VALID.is_set(descriptor) || !TABLE::TABLE.is_set(descriptor) {
                continue;
            }
            let middle = Pa(descriptor & ADDR_47_12);
            for slot in 0..ENTRIES as u64 {
                let descriptor = memory.read(Pa(middle.0 + slot * 8));
                if TABLE::VALID.is_set(descriptor) && TABLE::TABLE.is_set(descriptor) {
                    memory.free_table(Pa(descriptor & ADDR_47_12));
                }
            }
            memory.free_table(middle);
        }
        memory.free_table(self.root);
    }
}

/// What a copy of a process does with pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inherit {
    /// Shares them until one of the two writes.
    Shared,
    /// Has the very same, for good.
    Same,
}

/// Which leaf sizes a mapping may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blocks {
    /// 1 GiB, 2 MiB and 4 KiB.
    Allowed,
    /// 4 KiB.
    PagesOnly,
}

#[cfg(test)]
mod tests;
