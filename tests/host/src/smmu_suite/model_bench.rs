//! A machine for tests of the SMMU model alone: sparse memory with holes, an interrupt log, tables written by hand.
//!
//! It programs the model through registers and memory only, with words typed from the specification, never through the driver.

use std::collections::HashMap;
use std::ops::Range;

use hal::{AccessKind, BusError, Iova, IrqLines, Pa, PhysMemory, Requester, StallTag, StreamId, SubstreamId, Verdict};
use smmu_model::{Fault, Policy, Profile, SmmuModel, Transaction, Translated, Violation};
use smmu_spec::command::{Command, Leaf, Operation, SyncSignal};
use smmu_spec::event::EventRecord;

pub const STRTAB: u64 = 0x1000_0000;
pub const CMDQ: u64 = 0x1100_0000;
pub const EVENTQ: u64 = 0x1200_0000;
pub const CDTAB: u64 = 0x1300_0000;
/// Nothing decodes here.
pub const HOLE: Range<u64> = 0x3000_0000..0x4000_0000;
/// Start table of the standard context.
pub const ROOT: u64 = 0x2000_0000;
pub const SID: u32 = 8;

/// STE word 0: valid, stage 1, one CD at CDTAB.
pub const STE_S1: u64 = 0x1300_000b;
/// STE word 1: S1DSS = SSID0, write-back inner-shareable CD fetches.
pub const STE_DW1: u64 = 0xd6;
/// CD word 0: T0SZ 16, 4 KiB, WBWA, inner, EPD1, V, IPS 48 bits, AA64, R, A, ASID 7.
pub const CD: u64 = 0x0007_6205_c000_3510;
pub const CD_S: u64 = 1 << 44;
pub const CD_R: u64 = 1 << 45;
pub const CD_A: u64 = 1 << 46;
/// Page: valid, user read-write, inner shareable, AF, not global.
pub const PAGE_RW: u64 = 0xf43;
pub const PAGE_RO: u64 = 0xfc3;
pub const TABLE: u64 = 3;

#[derive(Default)]
pub struct Memory {
    words: HashMap<u64, u64>,
    pub holes: Vec<Range<u64>>,
    /// 4-byte writes, as MSIs are.
    pub messages: Vec<(u64, u32)>,
    pub reads: u64,
    /// Runs once before the next compare-exchange: another observer changing the word.
    pub race: Option<(u64, u64)>,
}

impl Memory {
    fn check(&self, at: u64, bytes: u64) -> Result<(), BusError> {
        let hit = |hole: &Range<u64>| at < hole.end && at + bytes > hole.start;
        if self.holes.iter().any(hit) { Err(BusError) } else { Ok(()) }
    }
    pub fn get(&self, at: u64) -> u64 {
        assert_eq!(at % 8, 0);
        self.words.get(&at).copied().unwrap_or(0)
    }
    pub fn set(&mut self, at: u64, value: u64) {
        assert_eq!(at % 8, 0);
        self.words.insert(at, value);
    }
}

impl PhysMemory for Memory {
    fn read(&mut self, at: Pa, out: &mut [u8]) -> Result<(), BusError> {
        self.check(at.0, out.len() as u64)?;
        for (i, byte) in out.iter_mut().enumerate() {
            let address = at.0 + i as u64;
            *byte = (self.get(address & !7) >> (8 * (address & 7))) as u8;
        }
        Ok(())
    }
    fn write(&mut self, at: Pa, data: &[u8]) -> Result<(), BusError> {
        self.check(at.0, data.len() as u64)?;
        if let Ok(word) = <[u8; 4]>::try_from(data) {
            self.messages.push((at.0, u32::from_le_bytes(word)));
        }
        for (i, byte) in data.iter().enumerate() {
            let address = at.0 + i as u64;
            let shift = 8 * (address & 7);
            let word = self.get(address & !7) & !(0xff << shift) | u64::from(*byte) << shift;
            self.set(address & !7, word);
        }
        Ok(())
    }
    fn read64(&mut self, at: Pa) -> Result<u64, BusError> {
        self.check(at.0, 8)?;
        self.reads += 1;
        Ok(self.get(at.0))
    }
    fn write64(&mut self, at: Pa, value: u64) -> Result<(), BusError> {
        self.check(at.0, 8)?;
        self.set(at.0, value);
        Ok(())
    }
    fn compare_exchange64(&mut self, at: Pa, current: u64, new: u64) -> Result<u64, BusError> {
        self.check(at.0, 8)?;
        if let Some((address, value)) = self.race.take() {
            self.set(address, value);
        }
        let found = self.get(at.0);
        if found == current {
            self.set(at.0, new);
        }
        Ok(found)
    }
}

#[derive(Default)]
pub struct Lines(pub Vec<u32>);

impl IrqLines for Lines {
    fn pulse(&mut self, line: u32) {
        self.0.push(line);
    }
}

pub struct Bench {
    pub model: Box<SmmuModel>,
    pub mem: Memory,
    pub irq: Lines,
    cmd_prod: u32,
    cmd_log2: u32,
    event_log2: u32,
    next_table: u64,
}

pub fn who(stream: u32, substream: Option<u32>) -> Requester {
    Requester { stream: StreamId(stream), substream: substream.map(SubstreamId), privileged: false }
}

impl Bench {
    /// A model in reset, with empty memory.
    pub fn reset(profile: Profile) -> Self {
        let mem = Memory { holes: vec![HOLE], ..Memory::default() };
        let model = Box::new(SmmuModel::new(profile));
        Self { model, mem, irq: Lines::default(), cmd_prod: 0, cmd_log2: 0, event_log2: 0, next_table: ROOT + 0x10_0000 }
    }

    /// Linear table of 2^5 streams, queues of 8 commands and `1 << event_log2` records, everything on.
    pub fn with_events(profile: Profile, event_log2: u32) -> Self {
        let mut b = Self::reset(profile);
        (b.cmd_log2, b.event_log2) = (3, event_log2);
        b.write64(0x080, STRTAB);
        b.write(0x088, 5);
        b.write(0x028, 0x0d75);
        b.write(0x02c, 2);
        b.write64(0x090, CMDQ | 3);
        b.write64(0x0a0, EVENTQ | u64::from(event_log2));
        b.write(0x050, 5);
        b.write(0x020, 0xd);
        assert_eq!(b.read(0x024), 0xd);
        b
    }

    pub fn new(profile: Profile) -> Self {
        Self::with_events(profile, 3)
    }

    /// Stage 1 for SID with the standard CD, without substreams.
    pub fn stage1() -> Self {
        let mut b = Self::new(Profile::STALL_S1);
        b.set_ste(SID, [STE_S1, STE_DW1]);
        b.set_cd(CDTAB, CD);
        b
    }

    pub fn read(&mut self, offset: u64) -> u32 {
        self.model.mmio_read(offset, 4) as u32
    }
    pub fn write(&mut self, offset: u64, value: u32) {
        self.model.mmio_write(offset, 4, u64::from(value), &mut self.mem, &mut self.irq);
    }
    pub fn write64(&mut self, offset: u64, value: u64) {
        self.model.mmio_write(offset, 8, value, &mut self.mem, &mut self.irq);
    }

    pub fn set_ste(&mut self, stream: u32, words: [u64; 2]) {
        let at = STRTAB + 64 * u64::from(stream);
        self.mem.set(at, words[0]);
        self.mem.set(at + 8, words[1]);
    }

    /// A CD at `at` with word 0 `dw0`, TTB0 = ROOT, MAIR 0xff.
    pub fn set_cd(&mut self, at: u64, dw0: u64) {
        for (i, word) in [dw0, ROOT, 0, 0xff].into_iter().enumerate() {
            self.mem.set(at + 8 * i as u64, word);
        }
    }

    /// Maps a 4 KiB page below `root` (48-bit addresses); returns where the descriptor lies.
    pub fn map_in(&mut self, root: u64, va: u64, descriptor: u64) -> u64 {
        let mut table = root;
        for shift in [39, 30, 21] {
            let at = table + 8 * ((va >> shift) & 0x1ff);
            if self.mem.get(at) & 1 == 0 {
                self.mem.set(at, self.next_table | TABLE);
                self.next_table += 0x1000;
            }
            table = self.mem.get(at) & 0x0000_ffff_ffff_f000;
        }
        let at = table + 8 * ((va >> 12) & 0x1ff);
        self.mem.set(at, descriptor);
        at
    }
    pub fn map(&mut self, va: u64, descriptor: u64) -> u64 {
        self.map_in(ROOT, va, descriptor)
    }

    pub fn push(&mut self, words: [u64; 2]) {
        let slot = CMDQ + 16 * u64::from(self.cmd_prod & ((1 << self.cmd_log2) - 1));
        self.mem.set(slot, words[0]);
        self.mem.set(slot + 8, words[1]);
        self.cmd_prod = (self.cmd_prod + 1) & ((2 << self.cmd_log2) - 1);
    }
    pub fn kick(&mut self) {
        self.write(0x098, self.cmd_prod);
    }
    pub fn raw_command(&mut self, words: [u64; 2]) {
        self.push(words);
        self.kick();
    }
    pub fn command(&mut self, operation: Operation) {
        self.raw_command(Command::from(operation).0);
        assert_eq!(self.read(0x09c), self.cmd_prod, "{operation:?} was not consumed");
    }
    pub fn sync(&mut self) {
        self.command(Operation::Sync(SyncSignal::None));
    }
    pub fn cfgi_all(&mut self) {
        self.command(Operation::CFGI_ALL);
        self.command(Operation::TlbiNsnhAll);
        self.sync();
    }
    pub fn cfgi_ste(&mut self, stream: u32, leaf: Leaf) {
        self.command(Operation::CfgiSte { stream: StreamId(stream), leaf });
    }
    pub fn cmd_prod(&self) -> u32 {
        self.cmd_prod
    }
    /// CMDQ_CONS.ERR, and whether GERROR.CMDQ_ERR is active.
    pub fn command_error(&mut self) -> (u32, bool) {
        ((self.read(0x09c) >> 24) & 0x7f, (self.read(0x060) ^ self.read(0x064)) & 1 != 0)
    }

    pub fn translate_as(&mut self, who: Requester, iova: u64, kind: AccessKind) -> Result<Translated, Fault> {
        self.model.translate(Transaction { who, iova: Iova(iova), kind }, &mut self.mem, &mut self.irq)
    }
    pub fn at(&mut self, iova: u64, kind: AccessKind) -> Result<u64, Fault> {
        self.translate_as(who(SID, None), iova, kind).map(|t| t.pa.0)
    }
    pub fn read_at(&mut self, iova: u64) -> Result<u64, Fault> {
        self.at(iova, AccessKind::Read)
    }
    pub fn write_at(&mut self, iova: u64) -> Result<u64, Fault> {
        self.at(iova, AccessKind::Write)
    }

    /// Takes every record and moves CONS.
    pub fn events(&mut self) -> Vec<EventRecord> {
        let mut records = vec![];
        loop {
            let (prod, cons) = (self.read(0x1_00a8), self.read(0x1_00ac));
            if (prod ^ cons) & 0xf_ffff == 0 {
                return records;
            }
            let at = EVENTQ + 32 * u64::from(cons & ((1 << self.event_log2) - 1));
            records.push(EventRecord([0, 8, 16, 24].map(|o| self.mem.get(at + o))));
            let next = ((cons & 0xf_ffff) + 1) & ((2 << self.event_log2) - 1);
            self.write(0x1_00ac, next | prod & 1 << 31);
        }
    }
    pub fn event(&mut self) -> [u64; 4] {
        let events = self.events();
        assert_eq!(events.len(), 1, "exactly one record: {events:?}");
        events[0].0
    }
    pub fn no_event(&mut self) {
        assert_eq!(self.events(), []);
    }

    pub fn resumed(&mut self) -> Vec<(StallTag, Verdict)> {
        std::iter::from_fn(|| self.model.take_resumed()).collect()
    }
    pub fn violations(&mut self) -> Vec<Violation> {
        std::iter::from_fn(|| self.model.take_violation()).collect()
    }
    pub fn policy(mut self, policy: Policy) -> Self {
        self.model.set_policy(policy);
        self
    }
}
