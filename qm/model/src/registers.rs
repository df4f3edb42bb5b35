//! The register file: which offset means what, on which width.

use hal::{DmaPort, Permission, Reg, RegInfo};
use qm_spec::regs::{BAR2_BYTES, DOORBELL_OFFSET, DOORBELL_PAGE_BYTES, FUNCTION_AREA_END, am, function, pf};
use qm_spec::{QmVersion, QueueNumbers};
use tock_registers::RegisterLongName;

use crate::counters::bump;
use crate::doorbell::Place;
use crate::function::PF;
use crate::queue::QueueState;
use crate::{Bar, QmModel, Violation};

/// When an operation shows its end: after so many reads of its "done" bit, at once, or never.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Latency(Option<u8>);

impl Latency {
    pub const fn never() -> Self {
        Self(None)
    }
    pub const fn done() -> Self {
        Self(Some(0))
    }
    pub const fn after(reads: u8) -> Self {
        Self(Some(reads))
    }
    /// True once software could know; nothing starts on top of it before.
    pub const fn is_done(&self) -> bool {
        matches!(self.0, Some(0))
    }
    /// True from the start of an operation until software could know of its end.
    pub const fn is_under_way(&self) -> bool {
        matches!(self.0, Some(1..))
    }
    /// One read of the bit.
    pub const fn poll(&mut self) -> bool {
        match self.0 {
            Some(0) => true,
            Some(left) => {
                self.0 = Some(left - 1);
                false
            }
            None => false,
        }
    }
}

const FUNCTION_LEN: usize = function::REGISTERS.len();
const PF_LEN: usize = pf::REGISTERS.len();
const AM_LEN: usize = am::REGISTERS.len();

/// What a function's plain registers hold.
pub struct FunctionCells([u32; FUNCTION_LEN]);

impl FunctionCells {
    pub const fn new() -> Self {
        Self(resets(function::REGISTERS))
    }
    /// The word at an offset; 0 where there is no register.
    pub fn get(&self, offset: u64) -> u32 {
        find(function::REGISTERS, offset).map_or(0, |at| self.0[at])
    }
    pub fn set(&mut self, offset: u64, value: u32) {
        if let Some(at) = find(function::REGISTERS, offset) {
            self.0[at] = value;
        }
    }
    fn cell(&mut self, offset: u64) -> Option<(&mut u32, Permission)> {
        let at = find(function::REGISTERS, offset)?;
        Some((&mut self.0[at], function::REGISTERS[at].permission))
    }
}

/// What plain registers of the device hold.
pub struct Storage {
    pf: [u32; PF_LEN],
    am: [u32; AM_LEN],
    am_shut: bool,
}

const fn resets<const LEN: usize>(table: &[RegInfo]) -> [u32; LEN] {
    let mut words = [0; LEN];
    let mut i = 0;
    while i < LEN {
        words[i] = table[i].reset as u32;
        i += 1;
    }
    words
}

fn find(table: &[RegInfo], offset: u64) -> Option<usize> {
    table.binary_search_by_key(&offset, |reg| reg.offset).ok()
}

/// The function that a counter selector names.
fn function_of(select: u32) -> usize {
    (select & 0x3f) as usize
}

impl Storage {
    pub const fn new() -> Self {
        Self { pf: resets(pf::REGISTERS), am: resets(am::REGISTERS), am_shut: false }
    }

    /// False while software has stopped the AXI master.
    pub const fn am_open(&self) -> bool {
        !self.am_shut
    }

    fn cell(&mut self, offset: u64) -> Option<(&mut u32, Permission)> {
        let (table, words): (&[RegInfo], &mut [u32]) = match offset {
            ..0x30_0000 => (pf::REGISTERS, &mut self.pf),
            _ => (am::REGISTERS, &mut self.am),
        };
        let at = find(table, offset)?;
        Some((&mut words[at], table[at].permission))
    }

    /// The word of a plain PF register.
    pub fn get<R: RegisterLongName>(&self, reg: Reg<u32, R>) -> u32 {
        find(pf::REGISTERS, reg.offset()).map_or(0, |at| self.pf[at])
    }

    /// Sets the word of a plain PF register.
    pub fn set<R: RegisterLongName>(&mut self, reg: Reg<u32, R>, value: u32) {
        if let Some(at) = find(pf::REGISTERS, reg.offset()) {
            self.pf[at] = value;
        }
    }
}

/// Offsets of the registers that are more than storage.
mod at {
    use super::{am, function, pf};
    macro_rules! offsets {
        ($($block:ident: $($name:ident)*;)*) => { $($(pub const $name: u64 = $block::$name.offset();)*)* };
    }
    offsets! {
        function: SUB_VERSION_ID IFC_INT_SOURCE_V IFC_INT_MASK IFC_INT_STATUS IFC_INT_SET_V VF_AEQ_INT_SOURCE VF_AEQ_INT_MASK VF_EQ_INT_SOURCE VF_EQ_INT_MASK QUE_ISO_CFG_V DFX_FUNS_ACTIVE_ST CACHE_WB_START CACHE_WB_DONE
            MB_CMD_SEND_BASE MB_CMD_DATA_ADDR_L MB_CMD_DATA_ADDR_H MB_TOKEN DOORBELL_SQ_CQ DOORBELL_EQ_AEQ
            CAPABILITY CAP_EVENT_DEPTHS CAP_QUEUE_DEPTHS CAP_EQ_IRQ CAP_AEQ_IRQ CAP_ABNORMAL_IRQ CAP_MAILBOX_IRQ CAP_IRQ_COUNTS CAP_NFE CAP_RESET_SHUTDOWN
            CAP_CE CAP_END;
        pf: ABNORMAL_INT_SOURCE ABNORMAL_INT_MASK ABNORMAL_INT_STATUS ABNORMAL_INT_SET MEM_START_INIT MEM_INIT_DONE VFT_CFG_OP_ENABLE VFT_CFG_RDY
            IFC_READY_STATUS IFC_INT_SET_P IFC_INT_SOURCE_P REVISION_ID RAS_CE_ENABLE RAS_FE_ENABLE RAS_NFE_ENABLE PEH_DFX_INFO0 QUEUE_NUM ECC_1BIT_CNT ECC_MBIT_CNT MB_CNT
            DB_CNT SQE_CNT CQE_CNT SEND_SQE_TO_ACC_CNT WB_SQE_FROM_ACC_CNT ACC_FINISH_CNT CQE_ERR_CNT
            IN_IDLE_ST CQE_OUT_CNT EQE_OUT_CNT AEQE_OUT_CNT DB_INFO0 DB_INFO1;
        am: MASTER_GLOBAL_CTRL TRANS_RETURN;
    }
    /// Upper halves of the 64-bit registers.
    pub const IFC_READY_STATUS_H: u64 = IFC_READY_STATUS + 4;
    pub const IFC_INT_SOURCE_P_H: u64 = IFC_INT_SOURCE_P + 4;
    /// Last dword of the mailbox window, and the first past it.
    pub const MAILBOX_END: u64 = MB_CMD_SEND_BASE + 16;
}

impl<const QUEUES: usize, const FUNCTIONS: usize> QmModel<QUEUES, FUNCTIONS> {
    /// Reads `bytes` (1, 2, 4 or 8) at `offset` of a BAR. BAR2 covers 0 to 0x17ffff and 0x300000 to 0x300fff.
    pub fn mmio_read(&mut self, bar: Bar, offset: u64, bytes: u8) -> u64 {
        self.read_at(PF, bar, offset, bytes)
    }

    /// Reads a BAR of a virtual function, 1 to 63. BAR2 of a virtual function holds the function area only; a function that is not enabled reads
    /// all ones.
    pub fn function_read(&mut self, function: u8, bar: Bar, offset: u64, bytes: u8) -> u64 {
        if self.is_enabled(function.into()) {
            self.read_at(function.into(), bar, offset, bytes)
        } else {
            u64::MAX >> (64 - 8 * u32::from(bytes.clamp(1, 8)))
        }
    }

    fn read_at(&mut self, f: usize, bar: Bar, offset: u64, bytes: u8) -> u64 {
        if bar == Bar::Bar4 {
            // Doorbells are write-only.
            return 0;
        }
        let word = offset & !3;
        match bytes {
            8 if offset.is_multiple_of(8) => u64::from(self.read32(f, offset)) | u64::from(self.read32(f, offset + 4)) << 32,
            4 if offset.is_multiple_of(4) => u64::from(self.read32(f, offset)),
            1 | 2 if offset.is_multiple_of(u64::from(bytes)) => {
                u64::from(self.read32(f, word)) >> (8 * (offset - word)) & ((1 << (8 * bytes)) - 1)
            }
            _ => {
                bump(&mut self.counters.unknown_reads);
                0
            }
        }
    }

    /// Writes `bytes` (1, 2, 4 or 8) at `offset` of a BAR. Registers take 32 bits, doorbells 64; anything narrower is dropped and counted.
    pub fn mmio_write(&mut self, bar: Bar, offset: u64, bytes: u8, value: u64, dma: &mut impl DmaPort) {
        self.write_at(PF, bar, offset, bytes, value, dma);
    }

    /// Writes a BAR of a virtual function; one that is not enabled takes nothing.
    pub fn function_write(&mut self, function: u8, bar: Bar, offset: u64, bytes: u8, value: u64, dma: &mut impl DmaPort) {
        if self.is_enabled(function.into()) {
            self.write_at(function.into(), bar, offset, bytes, value, dma);
        }
    }

    fn write_at(&mut self, f: usize, bar: Bar, offset: u64, bytes: u8, value: u64, dma: &mut impl DmaPort) {
        match bar {
            Bar::Bar4 => match (offset / DOORBELL_PAGE_BYTES, offset % DOORBELL_PAGE_BYTES, bytes) {
                (page, DOORBELL_OFFSET, 8) if page < QUEUES as u64 => self.doorbell(f, Place::Page(page as u16), value, dma),
                (page, _, _) => self.not_a_doorbell(f, Some(page as u16), bytes),
            },
            Bar::Bar2 => match (offset, bytes) {
                (at::DOORBELL_SQ_CQ, 8) => self.doorbell(f, Place::Shared, value, dma),
                (at::DOORBELL_EQ_AEQ, 8) => self.doorbell(f, Place::Events, value, dma),
                (0x1000..0x1008 | 0x2000..0x2008, _) => self.not_a_doorbell(f, None, bytes),
                (at::MB_CMD_SEND_BASE..at::MAILBOX_END, _) => self.torn_mailbox(f, offset, bytes),
                (_, 8) if offset.is_multiple_of(8) => {
                    self.write32(f, offset, value as u32, dma);
                    self.write32(f, offset + 4, (value >> 32) as u32, dma);
                }
                (_, 4) if offset.is_multiple_of(4) => self.write32(f, offset, value as u32, dma),
                _ => bump(&mut self.counters.unknown_writes),
            },
        }
    }

    /// Writes 16 bytes at once to BAR2: a mailbox command. Elsewhere it is two 64-bit stores.
    pub fn mmio_write128(&mut self, offset: u64, low: u64, high: u64, dma: &mut impl DmaPort) {
        self.write128_at(PF, offset, low, high, dma);
    }

    /// Writes 16 bytes at once to BAR2 of a virtual function.
    pub fn function_write128(&mut self, function: u8, offset: u64, low: u64, high: u64, dma: &mut impl DmaPort) {
        if self.is_enabled(function.into()) {
            self.write128_at(function.into(), offset, low, high, dma);
        }
    }

    fn write128_at(&mut self, f: usize, offset: u64, low: u64, high: u64, dma: &mut impl DmaPort) {
        if offset == at::MB_CMD_SEND_BASE {
            self.mailbox_command(f, low, high, dma);
        } else {
            self.write_at(f, Bar::Bar2, offset, 8, low, dma);
            self.write_at(f, Bar::Bar2, offset.wrapping_add(8), 8, high, dma);
        }
    }

    fn read32(&mut self, f: usize, offset: u64) -> u32 {
        match offset {
            FUNCTION_AREA_END.. if f != PF => self.unknown_read(),
            at::VF_AEQ_INT_SOURCE => self.functions[f].aeq.source().into(),
            at::VF_AEQ_INT_MASK => self.functions[f].aeq.masked().into(),
            at::VF_EQ_INT_SOURCE => self.functions[f].eq.source().into(),
            at::VF_EQ_INT_MASK => self.functions[f].eq.masked().into(),
            at::QUE_ISO_CFG_V => self.config.isolated_doorbells().into(),
            at::DFX_FUNS_ACTIVE_ST => (!self.function_is_idle(f)).into(),
            at::IFC_INT_SOURCE_V => self.functions[f].peer_source.into(),
            at::IFC_INT_STATUS => self.peer_status(f).into(),
            at::IFC_INT_SET_V => self.functions[f].peer_set.into(),
            at::CACHE_WB_DONE => self.functions[f].write_back.done.poll().into(),
            at::MB_CMD_SEND_BASE => self.functions[f].mailbox.read(0),
            at::MB_CMD_DATA_ADDR_L => self.functions[f].mailbox.read(1),
            at::MB_CMD_DATA_ADDR_H => self.functions[f].mailbox.read(2),
            at::MB_TOKEN => self.functions[f].mailbox.read(3),
            at::CAPABILITY..=at::CAP_END => self.capability(offset),
            at::ABNORMAL_INT_SOURCE => self.ras.source(),
            at::ABNORMAL_INT_MASK => self.ras.mask(),
            at::ABNORMAL_INT_STATUS => self.ras.status(),
            at::MEM_INIT_DONE => self.memory_ready.poll().into(),
            at::VFT_CFG_RDY => self.vft.ready.poll().into(),
            at::SUB_VERSION_ID => self.config.sub_version.into(),
            at::REVISION_ID => self.config.version.revision().into(),
            at::PEH_DFX_INFO0 => u32::from(self.functions.iter().any(|function| function.msi.is_under_way())) * 0b101,
            at::IFC_READY_STATUS => self.peers_ready as u32,
            at::IFC_READY_STATUS_H => (self.peers_ready >> 32) as u32,
            at::IFC_INT_SOURCE_P => self.peers_source as u32,
            at::IFC_INT_SOURCE_P_H => (self.peers_source >> 32) as u32,
            at::QUEUE_NUM => QueueNumbers { total: QUEUES as u16, max_per_function: QUEUES as u16 }.encode(),
            at::ECC_1BIT_CNT..=at::CQE_ERR_CNT => self.statistic(offset),
            at::IN_IDLE_ST => self.is_idle().into(),
            at::CQE_OUT_CNT => self.hardware.cqes,
            at::EQE_OUT_CNT => self.hardware.eqes,
            at::AEQE_OUT_CNT => self.hardware.aeqes,
            at::DB_INFO0 => self.hardware.last_doorbell as u32,
            at::DB_INFO1 => (self.hardware.last_doorbell >> 32) as u32,
            at::TRANS_RETURN => u32::from(self.is_drained()) * 3,
            _ => self.stored(f, offset),
        }
    }

    /// The plain register at an offset.
    fn cell(&mut self, f: usize, offset: u64) -> Option<(&mut u32, Permission)> {
        if offset < FUNCTION_AREA_END { self.functions[f].cells.cell(offset) } else { self.storage.cell(offset) }
    }

    fn stored(&mut self, f: usize, offset: u64) -> u32 {
        match self.cell(f, offset) {
            Some((_, Permission::WriteOnly)) => 0,
            Some((word, _)) => *word,
            None => self.unknown_read(),
        }
    }

    fn capability(&mut self, offset: u64) -> u32 {
        if self.config.version != QmVersion::V3 {
            return self.unknown_read();
        }
        let words = &self.config.capability;
        match offset {
            at::CAPABILITY => self.config.functions_word(),
            at::CAP_EVENT_DEPTHS => words.event_depths,
            at::CAP_QUEUE_DEPTHS => words.queue_depths,
            at::CAP_EQ_IRQ => words.eq_irq,
            at::CAP_AEQ_IRQ => words.aeq_irq,
            at::CAP_ABNORMAL_IRQ => words.abnormal_irq,
            at::CAP_MAILBOX_IRQ => words.mailbox_irq,
            at::CAP_IRQ_COUNTS => words.irq_counts,
            at::CAP_NFE => words.nfe,
            at::CAP_RESET_SHUTDOWN => words.reset_shutdown,
            at::CAP_CE => words.ce,
            at::CAP_END => 1,
            _ => match self.config.engine_capabilities.iter().find(|(at, _)| u64::from(*at) == offset) {
                Some((_, word)) => *word,
                None => self.unknown_read(),
            },
        }
    }

    fn unknown_read(&mut self) -> u32 {
        bump(&mut self.counters.unknown_reads);
        0
    }

    /// Statistics; those marked so clear on read while CNT_CLR_CE is 1.
    fn statistic(&mut self, offset: u64) -> u32 {
        let clears = self.storage.get(pf::CNT_CLR_CE) & 1 == 1;
        let queue_of = |select: u32| {
            let (f, qn) = (function_of(select), (select >> 16) as usize);
            (f < FUNCTIONS && qn < self.functions[f].queues().len()).then(|| self.functions[f].queues().start + qn)
        };
        let sq = queue_of(self.storage.get(pf::SQE_CNT_SELECT));
        let cq = queue_of(self.storage.get(pf::CQE_CNT_SELECT));
        let mailboxes_of = function_of(self.storage.get(pf::MB_CNT_SELECT));
        let doorbells_of = function_of(self.storage.get(pf::DB_CNT_SELECT));
        let counter = match offset {
            at::ECC_1BIT_CNT => &mut self.hardware.ecc_1bit,
            at::ECC_MBIT_CNT => &mut self.hardware.ecc_mbit,
            at::MB_CNT if mailboxes_of < FUNCTIONS => &mut self.functions[mailboxes_of].mailboxes,
            at::DB_CNT if doorbells_of < FUNCTIONS => &mut self.functions[doorbells_of].doorbells,
            at::SQE_CNT if let Some(qn) = sq => &mut self.sq[qn].fetched_count,
            at::CQE_CNT if let Some(qn) = cq => &mut self.cq[qn].written_count,
            at::SEND_SQE_TO_ACC_CNT => &mut self.hardware.sent,
            at::WB_SQE_FROM_ACC_CNT => &mut self.hardware.written_back,
            at::ACC_FINISH_CNT => &mut self.hardware.finished,
            at::CQE_ERR_CNT => &mut self.hardware.cqe_errors,
            _ => return self.stored(PF, offset),
        };
        let value = *counter;
        if clears {
            *counter = 0;
        }
        value
    }

    fn write32(&mut self, f: usize, offset: u64, value: u32, dma: &mut impl DmaPort) {
        let flag = value & 1 == 1;
        match offset {
            FUNCTION_AREA_END.. if f != PF => {
                bump(&mut self.counters.unknown_writes);
                self.log(Violation::PhysicalRegister { function: f as u8, offset });
            }
            at::IFC_INT_SOURCE_V if flag => self.acknowledge_peer(f),
            at::IFC_INT_MASK => self.set_peer_mask(f, value, dma),
            at::IFC_INT_SET_V if flag => self.ring_physical(f, dma),
            at::IFC_INT_SOURCE_V | at::IFC_INT_SET_V => {}
            at::IFC_INT_SET_P if flag => self.ring_peers(dma),
            at::IFC_READY_STATUS_H => {}
            at::IFC_INT_SOURCE_P => self.acknowledge_virtual(value.into()),
            at::IFC_INT_SOURCE_P_H => self.acknowledge_virtual(u64::from(value) << 32),
            at::VF_EQ_INT_MASK => {
                if self.functions[f].eq.set_mask(flag) {
                    self.send_message(f, qm_spec::vector::EQ, dma);
                }
            }
            at::VF_AEQ_INT_MASK => {
                if self.functions[f].aeq.set_mask(flag) {
                    self.send_message(f, qm_spec::vector::AEQ, dma);
                }
            }
            at::CACHE_WB_START if flag => self.start_write_back(f, dma),
            at::ABNORMAL_INT_SOURCE => self.clear_errors(value, dma),
            at::ABNORMAL_INT_MASK => self.set_error_mask(value, dma),
            at::ABNORMAL_INT_SET => self.inject(value, dma),
            at::MEM_START_INIT if flag => {
                if (0..FUNCTIONS).any(|f| self.share_in_use(f)) {
                    self.log(Violation::MemoryInitWhileLive);
                }
                self.clear_queues();
                self.memory_ready = Latency::after(self.config.latency_reads);
                self.poll_stop();
            }
            at::VFT_CFG_OP_ENABLE if flag => {
                self.execute_vft();
                self.poll_stop();
            }
            at::VFT_CFG_RDY => self.vft.ready = if flag { Latency::done() } else { Latency::never() },
            at::RAS_CE_ENABLE | at::RAS_FE_ENABLE | at::RAS_NFE_ENABLE => {
                self.store(f, offset, value);
                self.update_abnormal(dma);
            }
            at::MASTER_GLOBAL_CTRL => {
                self.store(f, offset, value);
                self.storage.am_shut = flag;
            }
            _ => self.store(f, offset, value),
        }
    }

    fn store(&mut self, f: usize, offset: u64, value: u32) {
        match self.cell(f, offset) {
            Some((word, Permission::ReadWrite)) => *word = value,
            Some((word, Permission::WriteOneToClear)) => *word &= !value,
            Some((_, Permission::ReadOnly | Permission::WriteOnly)) => {}
            None => bump(&mut self.counters.unknown_writes),
        }
    }

    /// Length in bytes of a BAR, 0 if the function does not have it.
    pub const fn bar_bytes(&self, bar: Bar) -> u64 {
        match bar {
            Bar::Bar2 => BAR2_BYTES,
            Bar::Bar4 if self.config.isolated_doorbells() => (QUEUES as u64).next_power_of_two() * DOORBELL_PAGE_BYTES,
            Bar::Bar4 => 0,
        }
    }

    /// Number of queues that take doorbells.
    pub fn running_queues(&self) -> usize {
        self.sq.iter().filter(|sq| sq.state() == QueueState::Running).count()
    }
}
