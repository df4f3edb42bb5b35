//! A device of a few lines for the driver's own tests: registers that hold what is stored, commands that succeed at once, memory as words. What a test
//! wants the device to write it writes itself. Small enough for Miri; the model proper meets the driver in the host suites.

use core::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use hal::{AllocError, Barriers, Clock, DmaBuffer, DmaMapper, Iova, QueueId, RegisterWindow};
use qm_spec::regs::{function, pf};
use qm_spec::{CONTEXT_WORDS, ContextWords, Mailbox, MailboxCommand, MailboxOp, QmVersion};

use crate::{Engine, Parameters, Qm, Timeouts};

/// Entries of every ring.
pub(crate) const DEPTH: u16 = 4;
/// Words of a submission entry.
pub(crate) const SQE_WORDS: usize = 4;

/// A driver over the script.
pub(crate) type Driver = Qm<Script, Script, Script, 4>;

#[derive(Default)]
struct State {
    registers: BTreeMap<u64, u64>,
    memory: Vec<u32>,
    /// Contexts that were loaded, by command and queue.
    contexts: BTreeMap<(u8, u16), ContextWords>,
    /// 64-bit stores of doorbells, in order.
    doorbells: Vec<(u64, u64)>,
}

/// One machine: registers, memory, clock. A clone is another handle.
#[derive(Clone, Default)]
pub(crate) struct Script {
    state: Rc<RefCell<State>>,
    ticks: Rc<Cell<u64>>,
}

/// A block of the script's memory.
pub(crate) struct Block {
    state: Rc<RefCell<State>>,
    at: u64,
    len_bytes: usize,
}

impl Script {
    /// A version 3 part with rings of [`DEPTH`] entries.
    pub(crate) fn new() -> Self {
        let script = Self::default();
        let mut state = script.state.borrow_mut();
        let depths = u64::from(DEPTH) | u64::from(DEPTH) << 16;
        let registers = [
            (function::QUE_ISO_CFG_V.offset(), 1),
            (function::CAPABILITY.offset(), 1),
            (function::CAP_QUEUE_DEPTHS.offset(), depths),
            (function::CAP_EVENT_DEPTHS.offset(), depths),
            (pf::QUEUE_NUM.offset(), 4 | 4 << 11),
            (pf::MEM_INIT_DONE.offset(), 1),
            (pf::VFT_CFG_RDY.offset(), 1),
        ];
        state.registers.extend(registers);
        // Address 0 is nobody's.
        state.memory = vec![0; 16];
        drop(state);
        script
    }

    /// A driver that is up, and a started queue.
    pub(crate) fn started(&self) -> (Driver, QueueId) {
        let parameters = Parameters {
            version: QmVersion::V3,
            queues: 2,
            page_bytes: 64,
            engine: Engine { log2_sqe_bytes: 4, alg_types: 1, algorithms: "null" },
            doorbell_pages: None,
            timeouts: Timeouts::default(),
        };
        let mut driver = Qm::new(parameters, self.clone(), Some(self.clone()), self.clone(), self.clone());
        driver.initialise().expect("initialise");
        driver.start().expect("start");
        let queue = driver.get_queue(None).expect("a queue");
        driver.start_queue(queue).expect("start");
        (driver, queue)
    }

    /// The context that was loaded last.
    pub(crate) fn context(&self, command: MailboxCommand, queue: u16) -> ContextWords {
        self.state.borrow().contexts[&(command.0, queue)]
    }

    /// Takes the doorbells so far.
    pub(crate) fn take_doorbells(&self) -> Vec<(u64, u64)> {
        core::mem::take(&mut self.state.borrow_mut().doorbells)
    }

    /// Writes words as the device.
    pub(crate) fn put(&self, at: u64, words: &[u32]) {
        let first = at as usize / 4;
        self.state.borrow_mut().memory[first..first + words.len()].copy_from_slice(words);
    }

    /// Reads words as the device.
    pub(crate) fn words<const N: usize>(&self, at: u64) -> [u32; N] {
        let first = at as usize / 4;
        core::array::from_fn(|index| self.state.borrow().memory[first + index])
    }
}

impl RegisterWindow for Script {
    fn read32(&self, offset: u64) -> u32 {
        self.read64(offset) as u32
    }
    fn write32(&self, offset: u64, value: u32) {
        self.write64(offset, value.into());
    }
    fn read64(&self, offset: u64) -> u64 {
        self.state.borrow().registers.get(&offset).copied().unwrap_or(0)
    }
    fn write64(&self, offset: u64, value: u64) {
        let mut state = self.state.borrow_mut();
        // Doorbells of queues lie in their pages, those of events in one register; offsets do not overlap with what is stored otherwise.
        if offset % 0x1_0000 == 0x1000 || offset == function::DOORBELL_EQ_AEQ.offset() {
            state.doorbells.push((offset, value));
        } else {
            // A table operation is done as soon as it is asked for.
            let value = if offset == pf::VFT_CFG_RDY.offset() { 1 } else { value };
            state.registers.insert(offset, value);
        }
    }
    fn write128(&self, offset: u64, low: u64, high: u64) {
        let mailbox = Mailbox::decode(low, high);
        let mut state = self.state.borrow_mut();
        let is_context = [MailboxCommand::SQC, MailboxCommand::CQC, MailboxCommand::EQC, MailboxCommand::AEQC].contains(&mailbox.command);
        if is_context && mailbox.op == MailboxOp::Write {
            let first = mailbox.base as usize / 4;
            let words: [u32; CONTEXT_WORDS] = core::array::from_fn(|index| state.memory[first + index]);
            state.contexts.insert((mailbox.command.0, mailbox.queue), words);
        }
        // Without BUSY, with status 0: it has ended well.
        state.registers.insert(offset, low & 0xffff_c1ff);
    }
}

impl Clock for Script {
    fn now_ticks(&self) -> u64 {
        self.ticks.get()
    }
    fn ticks_per_second(&self) -> u64 {
        1_000_000
    }
    fn relax(&self) {
        self.ticks.set(self.ticks.get() + 1000);
    }
}

impl Barriers for Script {
    fn dma_wmb(&self) {}
    fn dma_rmb(&self) {}
}

impl DmaMapper for Script {
    type Buffer = Block;
    fn alloc(&self, len_bytes: usize, align: usize) -> Result<Block, AllocError> {
        let mut state = self.state.borrow_mut();
        let at = (state.memory.len() * 4).next_multiple_of(align);
        state.memory.resize((at + len_bytes).div_ceil(4), 0);
        Ok(Block { state: self.state.clone(), at: at as u64, len_bytes })
    }
    fn free(&self, _: Block) {}
}

impl DmaBuffer for Block {
    fn device_address(&self) -> Iova {
        Iova(self.at)
    }
    fn len_bytes(&self) -> usize {
        self.len_bytes
    }
    fn read8(&self, _: usize) -> u8 {
        unreachable!("the driver loads words")
    }
    fn write8(&self, _: usize, _: u8) {
        unreachable!("the driver stores words")
    }
    fn read16(&self, _: usize) -> u16 {
        unreachable!("the driver loads words")
    }
    fn write16(&self, _: usize, _: u16) {
        unreachable!("the driver stores words")
    }
    fn read32(&self, offset: usize) -> u32 {
        assert!(offset + 4 <= self.len_bytes);
        self.state.borrow().memory[(self.at as usize + offset) / 4]
    }
    fn write32(&self, offset: usize, value: u32) {
        assert!(offset + 4 <= self.len_bytes);
        self.state.borrow_mut().memory[(self.at as usize + offset) / 4] = value;
    }
    fn read64(&self, offset: usize) -> u64 {
        u64::from(self.read32(offset)) | u64::from(self.read32(offset + 4)) << 32
    }
    fn write64(&self, offset: usize, value: u64) {
        self.write32(offset, value as u32);
        self.write32(offset + 4, (value >> 32) as u32);
    }
}
