//! The plain way: a walk as nearly all are, by structures that read as they did the last time.
//!
//! STE, CD and descriptors are fetched like any walk's, in the same order. Their words are held against masks that were taken from structures
//! decoded before: a word that agrees says what the decoded one said, so that no rule is stated here a second time. Whatever differs, is
//! refused, wants an update or has a hint ends the attempt before anybody could see it, and the walk begins anew by the rules.

use hal::{AccessKind, Iova, Pa, PhysMemory, Requester, StreamId, SubstreamId};
use smmu_spec::cd::{CD_BYTES, CD_DW1, L1CD, L1CD_BYTES, SPLIT_4K, SPLIT_64K};
use smmu_spec::descriptor::{Granule, LEAF};

use crate::configuration::Configuration;
use crate::profile::Features;
use crate::stage1::permission;
use crate::stream::{CdChoice, CdTable, SteAction};
use crate::stream_table::Found;
use crate::tlb::allow;
use crate::translate::{Transaction, Translated};
use crate::walk::{KIND, case_of, granted};

/// Address bits of a 4 KiB descriptor.
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// Bits of a page descriptor that say who may do what.
const PERMISSIONS: u64 = LEAF::AP1::SET.value | LEAF::AP2::SET.value | LEAF::PXN::SET.value | LEAF::UXN::SET.value;

/// A way from a stream to its tables, as the latest walk by the rules went it.
pub(crate) struct Plain {
    /// StreamID; [`NOBODY`] while there is none.
    stream: u64,
    /// Where its STE was found.
    found: Found,
    /// The words of it that count without a stage 2.
    ste: [u64; 3],
    /// The lowest SubstreamID that has a CD of its own, and how many have.
    first: u32,
    substreams: u32,
    /// Traffic without a SubstreamID goes by CD 0.
    serves_default: bool,
    cd_table: CdTable,
    cd_table_base: u64,
    /// Bits of a level-1 descriptor that must read as V alone.
    l1cd_mask: u64,
    /// Bits of the CD that must read as in `cd`.
    cd_mask: [u64; 2],
    cd: [u64; 3],
    /// Address bits of TTB0.
    table_mask: u64,
    /// Input address bits that must be 0.
    outside: u64,
    /// Levels of tables, the pages' own included: 2 to 4.
    levels: u32,
    /// Bits of table descriptors that must read as those of a table that restricts nothing.
    next_mask: u64,
    /// Bits of a page descriptor that must read as in `page`, the permissions of the page before this one among them.
    page_mask: u64,
    page: u64,
    /// What these permissions grant.
    granted: u16,
    rules: u8,
    /// Walks that went this way.
    pub walks: u64,
}

/// No StreamID.
const NOBODY: u64 = u64::MAX;
/// What no page descriptor reads as behind a mask.
const NO_PAGE: u64 = u64::MAX;

/// Who accesses and what for, but for the StreamID, in one register: SubstreamID in 31:0, 32 is set if there is none, from 33 upwards the number of
/// the `allow` bit.
#[derive(Clone, Copy)]
pub(crate) struct Asked(u64);

impl Asked {
    const WITHOUT_SUBSTREAM: u64 = 1 << 32;
    const PERMISSION_AT: u32 = 33;

    #[inline(always)]
    pub fn by(tx: &Transaction) -> Self {
        let substream = tx.who.substream.map_or(Self::WITHOUT_SUBSTREAM, |ssid| u64::from(ssid.0));
        Self(substream | u64::from(permission(tx)) << Self::PERMISSION_AT)
    }

    #[inline(always)]
    fn substream(self) -> Option<SubstreamId> {
        (self.0 & Self::WITHOUT_SUBSTREAM == 0).then_some(SubstreamId(self.0 as u32))
    }

    #[inline(always)]
    fn permission_bit(self) -> u16 {
        1 << (self.0 >> Self::PERMISSION_AT)
    }

    /// The transaction as it was.
    fn transaction(self, stream: StreamId, iova: Iova) -> Transaction {
        let permission = (self.0 >> Self::PERMISSION_AT) as u16;
        let kind = match permission % allow::PRIVILEGED {
            allow::READ => AccessKind::Read,
            allow::WRITE => AccessKind::Write,
            _ => AccessKind::Execute,
        };
        let who = Requester { stream, substream: self.substream(), privileged: permission >= allow::PRIVILEGED };
        Transaction { who, iova, kind }
    }
}

impl Plain {
    pub const fn new() -> Self {
        Self {
            stream: NOBODY,
            found: Found::NOWHERE,
            ste: [0; 3],
            first: 0,
            substreams: 0,
            serves_default: false,
            cd_table: CdTable::Linear,
            cd_table_base: 0,
            l1cd_mask: 0,
            cd_mask: [0; 2],
            cd: [0; 3],
            table_mask: 0,
            outside: 0,
            levels: 0,
            next_mask: 0,
            page_mask: 0,
            page: NO_PAGE,
            granted: 0,
            rules: 0,
            walks: 0,
        }
    }

    /// To be called whenever registers may have changed.
    pub fn forget(&mut self) {
        self.stream = NOBODY;
    }

    /// Learns the way that the latest walk went for `stream`, if it is a plain one: one stage, nothing overridden, tables of 4 KiB below TTB0.
    #[inline(never)]
    pub fn learn(&mut self, stream: u32, configuration: &Configuration, f: &Features) {
        self.forget();
        let Configuration { streams, contexts } = configuration;
        let ([ste @ .., _], action) = streams.latest.parts();
        let SteAction::Translate(config) = action else { return };
        let (Some(stage1), None) = (&config.stage1, &config.stage2) else { return };
        let Some((cd, cd_mask, context)) = contexts.latest.parts() else { return };
        let half = &context.halves[0];
        let tables = &half.tables;
        let is_plain = config.overrides.changes_nothing()
            && !half.walks_disabled
            && !half.unprivileged_forbidden
            && tables.granule == Granule::Kib4
            && tables.start_shift > Granule::Kib4.shift();
        if !is_plain {
            return;
        }
        let first = u32::from(stage1.choose(Some(SubstreamId(0))) != CdChoice::Index(0));
        let l1cd_mask = L1CD::V::SET.value | L1CD::L2PTR.mask << L1CD::L2PTR.shift & f.beyond_oas;
        let beyond = tables.beyond & ADDRESS;
        let dirty = if context.update_dirty { LEAF::DBM::SET.value } else { 0 };
        *self = Self {
            stream: u64::from(stream),
            found: streams.found,
            ste,
            first,
            substreams: if stage1.cd_max == 0 { 0 } else { (1 << stage1.cd_max) - first },
            serves_default: stage1.choose(None) == CdChoice::Index(0),
            cd_table: stage1.table,
            cd_table_base: stage1.table_base,
            l1cd_mask,
            cd_mask,
            cd,
            table_mask: tables.start_mask() & CD_DW1::TTB0.mask << CD_DW1::TTB0.shift,
            outside: half.outside,
            levels: (tables.start_shift - 3) / 9,
            next_mask: KIND | beyond | tables.restrictive,
            page_mask: KIND | beyond | LEAF::AF::SET.value | LEAF::CONTIGUOUS::SET.value | dirty | PERMISSIONS,
            page: NO_PAGE,
            granted: 0,
            rules: context.rules,
            walks: self.walks,
        };
    }

    /// An access of the way's stream.
    pub fn transaction(&self, asked: Asked, address: u64) -> Transaction {
        asked.transaction(StreamId(self.stream as u32), Iova(address))
    }

    /// True if the way is this stream's.
    #[inline(always)]
    pub fn is_of(&self, stream: StreamId) -> bool {
        u64::from(stream.0) == self.stream
    }

    /// Goes the way for an access of its stream; `None` if anything is not as it was, or not plain. Nobody sees then that it was tried.
    #[inline(always)]
    pub fn translate(&mut self, asked: Asked, address: u64, mem: &mut impl PhysMemory) -> Option<Translated> {
        let index = match asked.substream() {
            Some(ssid) if ssid.0.wrapping_sub(self.first) < self.substreams => ssid.0,
            None if self.serves_default => 0,
            _ => return None,
        };
        if address & self.outside != 0 {
            return None;
        }
        if let Some((at, word)) = self.found.l1std
            && mem.read64(Pa(at)) != Ok(word)
        {
            return None;
        }
        let mut ste = [0; 4];
        if mem.read_words(Pa(self.found.ste_at), &mut ste).is_err()
            || ste[0] != self.ste[0]
            || ste[1] != self.ste[1]
            || ste[2] != self.ste[2]
        {
            return None;
        }
        let cd_at = match self.cd_table {
            CdTable::Linear => self.cd_table_base + u64::from(index) * CD_BYTES,
            CdTable::TwoLevel(SPLIT_64K) => self.in_leaf::<SPLIT_64K, _>(index, mem)?,
            CdTable::TwoLevel(_) => self.in_leaf::<SPLIT_4K, _>(index, mem)?,
        };
        let mut cd = [0; 4];
        if mem.read_words(Pa(cd_at), &mut cd).is_err() {
            return None;
        }
        let [dw0, dw1, dw2, mair] = cd;
        if dw0 & self.cd_mask[0] != self.cd[0] || dw1 & self.cd_mask[1] != self.cd[1] || dw2 != self.cd[2] {
            return None;
        }
        let table = dw1 & self.table_mask;
        let page = match self.levels {
            4 => self.page::<4, _>(table, address, mem)?,
            3 => self.page::<3, _>(table, address, mem)?,
            _ => self.page::<2, _>(table, address, mem)?,
        };
        if page & self.page_mask != self.page && !self.takes(page) {
            return None;
        }
        if self.granted & asked.permission_bit() == 0 {
            return None;
        }
        self.walks += 1;
        Some(Translated {
            pa: Pa(page & ADDRESS | address & 0xfff),
            attributes: (mair >> (8 * LEAF::ATTR_INDEX.read(page))) as u8,
            shareability: LEAF::SH.read(page) as u8,
        })
    }

    /// Takes the permissions of `page` for those of the pages to come, if it is a plain one.
    #[cold]
    fn takes(&mut self, page: u64) -> bool {
        let is_plain = page & self.page_mask & !PERMISSIONS == KIND | LEAF::AF::SET.value;
        if is_plain {
            self.page = page & self.page_mask;
            self.granted = granted(case_of(page) | self.rules);
        }
        is_plain
    }

    /// Where the CD of `index` lies in a leaf of 2^`SPLIT` CDs.
    #[inline(always)]
    fn in_leaf<const SPLIT: u32, M: PhysMemory>(&self, index: u32, mem: &mut M) -> Option<u64> {
        let descriptor = mem.read64(Pa(self.cd_table_base + u64::from(index >> SPLIT) * L1CD_BYTES)).ok()?;
        if descriptor & self.l1cd_mask != L1CD::V::SET.value {
            return None;
        }
        let leaf = descriptor & const { L1CD::L2PTR.mask << L1CD::L2PTR.shift & !((CD_BYTES << SPLIT) - 1) };
        Some(leaf + u64::from(index & ((1 << SPLIT) - 1)) * CD_BYTES)
    }

    /// The level-3 descriptor of `address` below `LEVELS` - 1 levels of tables.
    #[inline(always)]
    fn page<const LEVELS: u32, M: PhysMemory>(&self, mut table: u64, address: u64, mem: &mut M) -> Option<u64> {
        let mut level = LEVELS - 1;
        while level > 0 {
            let descriptor = mem.read64(entry_at(table, address, level)).ok()?;
            if descriptor & self.next_mask != KIND {
                return None;
            }
            table = descriptor & ADDRESS;
            level -= 1;
        }
        mem.read64(entry_at(table, address, 0)).ok()
    }
}

/// Where a table has its descriptor for `address`; `level` counts from the pages up. A start table is aligned to its size, so that the index
/// stands beside the address.
#[inline(always)]
fn entry_at(table: u64, address: u64, level: u32) -> Pa {
    Pa(table | (address >> (9 * level + 9)) & 0xff8)
}

#[cfg(test)]
mod tests {
    use hal::{BusError, IrqLines};

    use super::*;
    use crate::{Policy, Profile, SmmuModel};

    const SID: u32 = 1;
    const ROOT: u64 = 0x3000;

    /// 64 KiB from address 0.
    struct Words(std::vec::Vec<u64>, u64);

    impl PhysMemory for Words {
        fn read(&mut self, _: Pa, _: &mut [u8]) -> Result<(), BusError> {
            Err(BusError)
        }
        fn write(&mut self, _: Pa, _: &[u8]) -> Result<(), BusError> {
            Err(BusError)
        }
        fn read64(&mut self, at: Pa) -> Result<u64, BusError> {
            self.1 += 1;
            self.0.get(at.0 as usize / 8).copied().ok_or(BusError)
        }
        fn write64(&mut self, at: Pa, value: u64) -> Result<(), BusError> {
            *self.0.get_mut(at.0 as usize / 8).ok_or(BusError)? = value;
            Ok(())
        }
        fn compare_exchange64(&mut self, _: Pa, _: u64, _: u64) -> Result<u64, BusError> {
            Err(BusError)
        }
    }

    struct NoLines;

    impl IrqLines for NoLines {
        fn pulse(&mut self, _: u32) {}
    }

    /// One stream with one CD and one page at 0, three levels.
    fn machine() -> (std::boxed::Box<SmmuModel>, Words) {
        let mut mem = Words(std::vec![0; 1 << 13], 0);
        for (at, word) in [
            (0x1000 + 64 * u64::from(SID), 0x2000 | 0xb),
            (0x1000 + 64 * u64::from(SID) + 8, 0xd4),
            // T0SZ 25, 4 KiB, EPD1, V, IPS 48 bits, AA64, R, A, ASID 7.
            (0x2000, 0x0007_6205_c000_3519),
            (0x2008, ROOT),
            (0x2018, 0xff),
            (ROOT, 0x4000 | 3),
            (0x4000, 0x5000 | 3),
            (0x5000, 0x9000 | 0xf43),
        ] {
            mem.0[at as usize / 8] = word;
        }
        let mut model = std::boxed::Box::new(SmmuModel::new(Profile::STALL_S1));
        for (offset, bytes, value) in [(0x080, 8, 0x1000), (0x088, 4, 3), (0x020, 4, 1)] {
            model.mmio_write(offset, bytes, value, &mut mem, &mut NoLines);
        }
        model.set_policy(Policy::AlwaysMiss);
        (model, mem)
    }

    fn read(model: &mut SmmuModel, mem: &mut Words) -> Option<u64> {
        access(model, mem, AccessKind::Read)
    }

    fn access(model: &mut SmmuModel, mem: &mut Words, kind: AccessKind) -> Option<u64> {
        let who = Requester { stream: StreamId(SID), substream: None, privileged: false };
        let tx = Transaction { who, iova: Iova(0x18), kind };
        model.translate(tx, mem, &mut NoLines).ok().map(|to| to.pa.0)
    }

    #[test]
    fn the_second_walk_goes_the_way_of_the_first_and_reads_what_it_read() {
        let (mut model, mut mem) = machine();
        for walk in 1..=3 {
            let before = mem.1;
            assert_eq!(read(&mut model, &mut mem), Some(0x9018));
            assert_eq!(mem.1 - before, 4 + 4 + 3, "words of STE, CD and tables");
            let counters = model.counters();
            assert_eq!([counters.walks, counters.ste_fetches, counters.cd_fetches, counters.translations], [walk; 4]);
            assert_eq!(model.plain.walks, walk - 1);
        }
    }

    #[test]
    fn an_address_space_of_the_same_form_needs_no_learning() {
        let (mut model, mut mem) = machine();
        let _ = read(&mut model, &mut mem);
        // Another ASID and another table.
        (mem.0[0x2000 / 8], mem.0[0x2008 / 8]) = (0x0009_6205_c000_3519, 0x6000);
        (mem.0[0x6000 / 8], mem.0[0x5000 / 8]) = (0x4000 | 3, 0xa000 | 0xf43);
        assert_eq!(read(&mut model, &mut mem), Some(0xa018));
        assert_eq!(model.plain.walks, 1);
    }

    #[test]
    fn pages_of_other_permissions_go_the_way_and_each_has_its_own() {
        let (mut model, mut mem) = machine();
        let _ = read(&mut model, &mut mem);
        let mut walks = 0;
        // Read-write; read-only; of privileged requesters only; read-only again.
        for (page, granted) in [(0x9f43, [true, true]), (0x9fc3, [true, false]), (0x9f03, [false, false]), (0x9fc3, [true, false])] {
            mem.0[0x5000 / 8] = page;
            for (kind, granted) in [AccessKind::Read, AccessKind::Write].into_iter().zip(granted) {
                // Twice: the first one may take the permissions over, the second one finds them as they were.
                for _ in 0..2 {
                    assert_eq!(access(&mut model, &mut mem, kind), granted.then_some(0x9018), "{page:#x} {kind:?}");
                    walks += u64::from(granted);
                    assert_eq!(model.plain.walks, walks, "{page:#x} {kind:?}");
                }
            }
        }
    }

    #[test]
    fn a_register_write_and_another_policy_end_it() {
        let (mut model, mut mem) = machine();
        let _ = read(&mut model, &mut mem);
        assert!(model.plain.is_of(StreamId(SID)));
        model.mmio_write(0x020, 4, 0, &mut mem, &mut NoLines);
        assert!(!model.plain.is_of(StreamId(SID)));
        assert_eq!(read(&mut model, &mut mem), None, "disabled, and GBPA aborts");
        model.mmio_write(0x020, 4, 1, &mut mem, &mut NoLines);
        let _ = read(&mut model, &mut mem);
        model.set_policy(Policy::Sticky);
        assert!(!model.plain.is_of(StreamId(SID)));
        assert!(read(&mut model, &mut mem).is_some() && !model.plain.is_of(StreamId(SID)), "only learned while nothing is cached");
    }
}
