//! A scripted SMMU for order-critical sequences: registers that acknowledge at once, a Command queue that is logged as it is consumed, memory
//! that shows stores only after `dma_wmb`.

use core::cell::{Cell, RefCell};
use std::{collections::BTreeMap, rc::Rc, string::String, vec::Vec};

use hal::{AllocError, Barriers, Clock, DmaBuffer, DmaMapper, Iova, RegisterWindow};
use smmu_spec::{command::Command, regs};

/// What the scripted SMMU saw, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// A register write.
    Write(&'static str, u64),
    /// A command was consumed.
    Command(String),
}

#[derive(Default)]
struct State {
    registers: BTreeMap<u64, u64>,
    /// What the device sees.
    memory: BTreeMap<u64, u64>,
    /// Stores that wait for `dma_wmb`.
    pending: Vec<(u64, u64)>,
    next_buffer: u64,
    live: u32,
    seen: Vec<Seen>,
    /// CR0 bits that are never acknowledged.
    deaf: u64,
    /// The command at this position (counted from the start) is illegal, once.
    illegal: Option<u64>,
    consumed: u64,
}

/// One scripted machine: registers, memory, clock.
#[derive(Clone, Default)]
pub(crate) struct Script {
    state: Rc<RefCell<State>>,
    ticks: Rc<Cell<u64>>,
}

/// A buffer of the scripted memory.
pub(crate) struct Buffer {
    state: Rc<RefCell<State>>,
    at: u64,
    len: usize,
}

impl Script {
    /// An SMMU with these identification registers; `left_on` as firmware may leave it.
    pub(crate) fn new(id: smmu_spec::id::IdRegisters, left_on: bool) -> Self {
        let script = Self::default();
        let mut state = script.state.borrow_mut();
        state.next_buffer = 0x10_0000;
        for (reg, value) in [
            (regs::SMMU_IDR0.info, id.idr0),
            (regs::SMMU_IDR1.info, id.idr1),
            (regs::SMMU_IDR3.info, id.idr3),
            (regs::SMMU_IDR5.info, id.idr5),
            (regs::SMMU_AIDR.info, id.aidr),
            (regs::SMMU_CR0.info, if left_on { 0xd } else { 0 }),
            (regs::SMMU_CR0ACK.info, if left_on { 0xd } else { 0 }),
            (regs::SMMU_IRQ_CTRL.info, if left_on { 5 } else { 0 }),
            (regs::SMMU_IRQ_CTRLACK.info, if left_on { 5 } else { 0 }),
            (regs::SMMU_GERROR.info, if left_on { 4 } else { 0 }),
        ] {
            state.registers.insert(reg.offset, u64::from(value));
        }
        drop(state);
        script
    }

    pub(crate) fn take(&self) -> Vec<Seen> {
        core::mem::take(&mut self.state.borrow_mut().seen)
    }

    pub(crate) fn be_deaf_to(&self, cr0: u64) {
        self.state.borrow_mut().deaf = cr0;
    }

    pub(crate) fn refuse_command(&self, nth: u64) {
        let mut state = self.state.borrow_mut();
        state.illegal = Some(state.consumed + nth);
    }

    pub(crate) fn set(&self, reg: hal::RegInfo, value: u64) {
        self.state.borrow_mut().registers.insert(reg.offset, value);
    }

    pub(crate) fn live_buffers(&self) -> u32 {
        self.state.borrow().live
    }
}

impl State {
    fn get(&self, reg: hal::RegInfo) -> u64 {
        self.registers.get(&reg.offset).copied().unwrap_or(0)
    }

    fn put(&mut self, reg: hal::RegInfo, value: u64) {
        self.registers.insert(reg.offset, value);
    }

    /// Consumes commands until the queue is empty or one is refused.
    fn consume(&mut self) {
        let base = self.get(regs::SMMU_CMDQ_BASE.info);
        let mask = (2 << (base & 0x1f)) - 1;
        let active = self.get(regs::SMMU_GERROR.info) ^ self.get(regs::SMMU_GERRORN.info);
        while active & 1 == 0 && self.get(regs::SMMU_CMDQ_CONS.info) & mask != self.get(regs::SMMU_CMDQ_PROD.info) {
            let cons = self.get(regs::SMMU_CMDQ_CONS.info) & mask;
            let at = (base & 0x00ff_ffff_ffff_ffe0) + (cons & (mask >> 1)) * 16;
            let word = |i| self.memory.get(&(at + i)).copied().unwrap_or(0);
            let command = Command([word(0), word(8)]);
            if self.illegal == Some(self.consumed) {
                self.illegal = None;
                self.put(regs::SMMU_CMDQ_CONS.info, cons | 1 << 24);
                let gerror = self.get(regs::SMMU_GERROR.info);
                self.put(regs::SMMU_GERROR.info, gerror ^ 1);
                self.seen.push(Seen::Command(std::format!("refused {command:?}")));
                return;
            }
            self.seen.push(Seen::Command(std::format!("{:?}", command.decode())));
            self.consumed += 1;
            self.put(regs::SMMU_CMDQ_CONS.info, (cons + 1) & mask);
        }
    }

    fn write(&mut self, offset: u64, value: u64) {
        let info = regs::ALL.iter().find(|r| r.offset == offset).expect("a register of the specification");
        self.seen.push(Seen::Write(info.name, value));
        self.registers.insert(offset, value);
        match info.name {
            "SMMU_CR0" => self.put(regs::SMMU_CR0ACK.info, value & !self.deaf),
            "SMMU_IRQ_CTRL" => self.put(regs::SMMU_IRQ_CTRLACK.info, value),
            "SMMU_GBPA" => self.put(*info, value & !(1 << 31)),
            "SMMU_CMDQ_PROD" | "SMMU_GERRORN" if self.get(regs::SMMU_CR0.info) & 8 != 0 => self.consume(),
            _ => {}
        }
    }
}

impl RegisterWindow for Script {
    fn read32(&self, offset: u64) -> u32 {
        self.state.borrow().registers.get(&offset).copied().unwrap_or(0) as u32
    }
    fn write32(&self, offset: u64, value: u32) {
        self.state.borrow_mut().write(offset, u64::from(value));
    }
    fn read64(&self, offset: u64) -> u64 {
        self.state.borrow().registers.get(&offset).copied().unwrap_or(0)
    }
    fn write64(&self, offset: u64, value: u64) {
        self.state.borrow_mut().write(offset, value);
    }
    fn write128(&self, offset: u64, _: u64, _: u64) {
        panic!("no 16-byte register at {offset:#x}");
    }
}

impl Clock for Script {
    fn now_ticks(&self) -> u64 {
        self.ticks.set(self.ticks.get() + 1);
        self.ticks.get()
    }
    fn ticks_per_second(&self) -> u64 {
        1000
    }
    fn relax(&self) {
        self.ticks.set(self.ticks.get() + 10);
    }
}

impl Barriers for Script {
    fn dma_wmb(&self) {
        let mut state = self.state.borrow_mut();
        for (at, value) in core::mem::take(&mut state.pending) {
            state.memory.insert(at, value);
        }
    }
    fn dma_rmb(&self) {}
}

impl DmaMapper for Script {
    type Buffer = Buffer;
    fn alloc(&self, len: usize, align: usize) -> Result<Buffer, AllocError> {
        let mut state = self.state.borrow_mut();
        let at = state.next_buffer.next_multiple_of(align as u64);
        state.next_buffer = at + len as u64;
        state.live += 1;
        Ok(Buffer { state: Rc::clone(&self.state), at, len })
    }
    fn free(&self, _: Buffer) {
        self.state.borrow_mut().live -= 1;
    }
}

impl Buffer {
    fn word(&self, offset: usize) -> u64 {
        let at = self.at + offset as u64;
        let state = self.state.borrow();
        let pending = state.pending.iter().rev().find(|(a, _)| *a == at).map(|(_, v)| *v);
        pending.unwrap_or_else(|| state.memory.get(&at).copied().unwrap_or(0))
    }
}

/// The driver touches its structures by aligned 64-bit accesses only; anything else is a defect.
impl DmaBuffer for Buffer {
    fn device_address(&self) -> Iova {
        Iova(self.at)
    }
    fn len_bytes(&self) -> usize {
        self.len
    }
    fn read64(&self, offset: usize) -> u64 {
        assert!(offset % 8 == 0 && offset < self.len);
        self.word(offset)
    }
    fn write64(&self, offset: usize, value: u64) {
        assert!(offset % 8 == 0 && offset < self.len);
        self.state.borrow_mut().pending.push((self.at + offset as u64, value));
    }
    fn read8(&self, _: usize) -> u8 {
        panic!("8-bit access to an SMMU structure")
    }
    fn write8(&self, _: usize, _: u8) {
        panic!("8-bit access to an SMMU structure")
    }
    fn read16(&self, _: usize) -> u16 {
        panic!("16-bit access to an SMMU structure")
    }
    fn write16(&self, _: usize, _: u16) {
        panic!("16-bit access to an SMMU structure")
    }
    fn read32(&self, _: usize) -> u32 {
        panic!("32-bit access to an SMMU structure")
    }
    fn write32(&self, _: usize, _: u32) {
        panic!("32-bit access to an SMMU structure")
    }
}
