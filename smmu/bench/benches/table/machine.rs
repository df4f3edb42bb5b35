//! The equal set-up: one stream, N SubstreamIDs with a CD and an ASID each, one page each, tables of four levels.

use hal::{AccessKind, BusError, Iova, IrqLines, Pa, PhysMemory, Requester, StreamId, SubstreamId};
use smmu_model::{MicroTlb, Policy, Ports, Profile, SmmuModel, Transaction};

use crate::naive::Naive;

/// StreamID of all traffic.
pub const SID: u32 = 8;
/// The page of SubstreamID 0.
const VA: u64 = 0x12_3456_7000;
/// What lies between the pages of two sets.
const STRIDE: u64 = 4 << 39 | 8 << 30 | 8 << 21 | 8 << 12 | 8;
/// Copies at a port: room for every page of the largest set-up.
pub const LINES: usize = 1 << 16;
/// SubstreamIDs of the largest set-up.
pub const MOST: u32 = 1 << 16;

pub const STRTAB: u64 = 0x1_0000;
const CD_L1: u64 = 0x2_0000;
const CD_L2: u64 = 0x10_0000;
const TABLES: u64 = 0x80_0000;
/// Sets of tables: address spaces share them in turn, since 65,536 would take 1 GiB.
const SETS: u64 = 64;
const BYTES: usize = 16 << 20;
/// Pages of SubstreamID 0 that stand beside the others', and their level-3 tables: eight times what the TLB holds.
pub const PAGES: u64 = 1 << 14;
const PAGES_VA: u64 = 0x12_0000_0000;
const PAGES_TABLES: u64 = 0x98_0000;
const PAGES_AT: u64 = 0x8000_0000;

/// Flat memory from address 0.
pub struct Memory(&'static mut [u8; BYTES]);

impl Memory {
    fn set(&mut self, at: u64, word: u64) {
        self.0[at as usize..][..8].copy_from_slice(&word.to_le_bytes());
    }
    fn part(&mut self, at: Pa, len: usize) -> Result<&mut [u8], BusError> {
        let at = at.0 as usize;
        let last = BYTES.checked_sub(len).ok_or(BusError)?;
        if at > last {
            return Err(BusError);
        }
        Ok(&mut self.0[at..at + len])
    }
}

impl PhysMemory for Memory {
    fn read(&mut self, at: Pa, out: &mut [u8]) -> Result<(), BusError> {
        out.copy_from_slice(self.part(at, out.len())?);
        Ok(())
    }
    fn write(&mut self, at: Pa, data: &[u8]) -> Result<(), BusError> {
        self.part(at, data.len())?.copy_from_slice(data);
        Ok(())
    }
    fn read64(&mut self, at: Pa) -> Result<u64, BusError> {
        let mut words = [0];
        self.read_words(at, &mut words)?;
        Ok(words[0])
    }
    #[inline]
    fn read_words(&mut self, at: Pa, out: &mut [u64]) -> Result<(), BusError> {
        let (at, len) = (at.0 as usize, 8 * out.len());
        if len > BYTES || at > BYTES - len {
            return Err(BusError);
        }
        for (word, bytes) in out.iter_mut().zip(self.0[at..at + len].as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Ok(())
    }
    fn write64(&mut self, at: Pa, value: u64) -> Result<(), BusError> {
        self.write(at, &value.to_le_bytes())
    }
    fn compare_exchange64(&mut self, at: Pa, current: u64, new: u64) -> Result<u64, BusError> {
        let found = self.read64(at)?;
        if found == current {
            self.write64(at, new)?;
        }
        Ok(found)
    }
}

/// No line is ever pulsed here.
pub struct NoLines;

impl IrqLines for NoLines {
    fn pulse(&mut self, line: u32) {
        panic!("interrupt {line}: a translation failed");
    }
}

/// Structures in memory, as software would have left them.
pub fn memory() -> Memory {
    // A page begins where a page of the host begins, and so a structure where a cache line does.
    let room = vec![0_u8; BYTES + 0xfff].leak();
    let skipped = room.as_ptr().align_offset(0x1000);
    let mut mem = Memory((&mut room[skipped..][..BYTES]).try_into().expect("its size"));
    // STE: valid, stage 1, two-level CD table with 64 KiB leaves, 2^16 CDs, S1DSS 0.
    mem.set(STRTAB + 64 * u64::from(SID), CD_L1 | 0x2b | 16 << 59);
    mem.set(STRTAB + 64 * u64::from(SID) + 8, 0xd4);
    for i in 0..64 {
        mem.set(CD_L1 + 8 * i, (CD_L2 + 0x1_0000 * i) | 1);
    }
    for ssid in 0..u64::from(MOST) {
        let at = CD_L2 + 64 * ssid;
        // T0SZ 16, 4 KiB, EPD1, V, IPS 48 bits, AA64, R, A, ASID = SubstreamID.
        mem.set(at, 0x0000_6205_c000_3510 | ssid << 48);
        mem.set(at + 8, TABLES + 0x4000 * (ssid % SETS));
        mem.set(at + 24, 0xff);
    }
    for set in 0..SETS {
        let (va, mut table) = (address(set as u32), TABLES + 0x4000 * set);
        for shift in [39, 30, 21] {
            mem.set(table + 8 * ((va >> shift) & 0x1ff), (table + 0x1000) | 3);
            table += 0x1000;
        }
        mem.set(table + 8 * ((va >> 12) & 0x1ff), output(va) & !0xfff | 0xf43);
    }
    // Beside the page of the first address space, below the same level-2 table.
    let level2 = TABLES + 0x2000;
    for page in 0..PAGES {
        let table = PAGES_TABLES + 0x1000 * (page >> 9);
        let va = PAGES_VA + 0x1000 * page;
        mem.set(level2 + 8 * ((va >> 21) & 0x1ff), table | 3);
        mem.set(table + 8 * ((va >> 12) & 0x1ff), (PAGES_AT + 0x1000 * page) | 0xf43);
    }
    mem
}

/// A read of the `i`th of the pages beside, as SubstreamID 0, and where that page lies.
pub fn read_page(i: u64) -> (Transaction, u64) {
    let page = i % PAGES;
    let who = Requester { stream: StreamId(SID), substream: Some(SubstreamId(0)), privileged: false };
    (Transaction { who, iova: Iova(PAGES_VA + 0x1000 * page), kind: AccessKind::Read }, PAGES_AT + 0x1000 * page)
}

/// An address on the page of each set.
static ADDRESSES: [u64; SETS as usize] = {
    let mut addresses = [VA; SETS as usize];
    let mut set = 1;
    while set < addresses.len() {
        addresses[set] = addresses[set - 1] + STRIDE;
        set += 1;
    }
    addresses
};

/// What an address space reads: an address on its only page.
#[inline(always)]
pub fn address(ssid: u32) -> u64 {
    ADDRESSES[ssid as usize % ADDRESSES.len()]
}

/// Where an address of such a page lies.
#[inline(always)]
pub fn output(va: u64) -> u64 {
    0x4000_0000 | va & 0x3fff_ffff
}

/// A read at `va` as SubstreamID `ssid`.
#[inline(always)]
pub fn read(ssid: u32, va: u64) -> Transaction {
    let who = Requester { stream: StreamId(SID), substream: Some(SubstreamId(ssid)), privileged: false };
    Transaction { who, iova: Iova(va), kind: AccessKind::Read }
}

/// An enabled model behind these structures.
pub fn model(policy: Policy, mem: &mut Memory) -> Box<SmmuModel> {
    let mut model = Box::new(SmmuModel::new(Profile::STALL_S1));
    let lines = &mut NoLines;
    model.mmio_write(0x080, 8, STRTAB, mem, lines);
    model.mmio_write(0x088, 4, 5, mem, lines);
    model.mmio_write(0x020, 4, 1, mem, lines);
    model.set_policy(policy);
    model
}

/// The naive walker of an SMMU that identifies itself as this one and is set up like it.
pub fn naive(model: &mut SmmuModel) -> Naive {
    let mut id = |offset| model.mmio_read(offset, 4) as u32;
    let [idr0, idr1, idr3, idr5] = [id(0x000), id(0x004), id(0x00c), id(0x014)];
    Naive { idr0, idr1, idr3, idr5, cr0: 1, strtab_base: STRTAB, strtab_base_cfg: 5 }
}

/// A port that holds the page of every SubstreamID below `count`.
pub fn port(count: u32, ports: &'static Ports, model: &mut SmmuModel, mem: &mut Memory) -> Box<MicroTlb<'static, LINES>> {
    let mut port = Box::new(ports.open().expect("a port"));
    for ssid in 0..count {
        port.translate(read(ssid, address(ssid)), model, mem, &mut NoLines).expect("mapped");
    }
    port
}
