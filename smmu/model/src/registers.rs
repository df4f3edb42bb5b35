//! The register file of both pages: access rules, guards, update protocols (IHI 0070 chapter 6).

use hal::{IrqLines, PhysMemory, Verdict};
use smmu_spec::pri::PRI_BYTES;
use smmu_spec::queue::{CMD_BYTES, EVENT_BYTES, RingIndex};
use smmu_spec::regs::*;

use crate::ats::AtcQueue;
use crate::decoded::{LatestCd, LatestSte};
use crate::model::SmmuModel;
use crate::policy::Retention;
use crate::profile::Features;
use crate::violation::Violation;

/// An MSI as its three registers describe it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MsiConfig {
    pub address: u64,
    pub data: u32,
    pub control: u32,
}

impl MsiConfig {
    const OFF: Self = Self { address: 0, data: 0, control: 0 };
}

/// A register whose writes take effect later.
#[derive(Clone, Copy)]
struct Update {
    accesses_left: u32,
    is_pending: bool,
}

impl Update {
    const IDLE: Self = Self { accesses_left: 0, is_pending: false };

    fn start(&mut self, delay: u32) {
        *self = Self { accesses_left: delay, is_pending: true };
    }

    /// True when the update is due.
    fn tick(&mut self) -> bool {
        if !self.is_pending {
            return false;
        }
        if self.accesses_left > 0 {
            self.accesses_left -= 1;
            return false;
        }
        self.is_pending = false;
        true
    }
}

/// Register values. `cr0ack` and `irq_ctrlack` are what is in effect.
pub(crate) struct Registers {
    pub cr0: u32,
    pub cr0ack: u32,
    cr0_update: Update,
    /// SMMUEN is off, and CR0ACK will say so once no port uses a translation any more.
    drains: bool,
    cr1: u32,
    pub cr2: u32,
    /// In effect; Update reads from `gbpa_update`.
    pub gbpa: u32,
    gbpa_next: u32,
    gbpa_update: Update,
    irq_ctrl: u32,
    pub irq_ctrlack: u32,
    irq_ctrl_update: Update,
    pub gerror: u32,
    gerrorn: u32,
    pub gerror_msi: MsiConfig,
    pub strtab_base: u64,
    pub strtab_base_cfg: u32,
    cmdq_base: u64,
    cmdq_prod: u32,
    cmdq_cons: u32,
    eventq_base: u64,
    pub eventq_prod: u32,
    pub eventq_cons: u32,
    pub eventq_msi: MsiConfig,
    cmdq_log2: u32,
    eventq_log2: u32,
    priq_base: u64,
    pub priq_prod: u32,
    pub priq_cons: u32,
    pub priq_msi: MsiConfig,
    priq_log2: u32,
}

impl Registers {
    pub const fn new() -> Self {
        Self {
            cr0: 0,
            cr0ack: 0,
            cr0_update: Update::IDLE,
            drains: false,
            cr1: 0,
            cr2: 0,
            gbpa: SMMU_GBPA.info.reset as u32,
            gbpa_next: 0,
            gbpa_update: Update::IDLE,
            irq_ctrl: 0,
            irq_ctrlack: 0,
            irq_ctrl_update: Update::IDLE,
            gerror: 0,
            gerrorn: 0,
            gerror_msi: MsiConfig::OFF,
            strtab_base: 0,
            strtab_base_cfg: 0,
            cmdq_base: 0,
            cmdq_prod: 0,
            cmdq_cons: 0,
            eventq_base: 0,
            eventq_prod: 0,
            eventq_cons: 0,
            eventq_msi: MsiConfig::OFF,
            cmdq_log2: 0,
            eventq_log2: 0,
            priq_base: 0,
            priq_prod: 0,
            priq_cons: 0,
            priq_msi: MsiConfig::OFF,
            priq_log2: 0,
        }
    }

    pub fn is_error_active(&self, bit: u32) -> bool {
        (self.gerror ^ self.gerrorn) & bit != 0
    }

    pub fn cmdq_indices(&self) -> (RingIndex, RingIndex) {
        (RingIndex::new(self.cmdq_prod, self.cmdq_log2), RingIndex::new(CMDQ_CONS::RD.read(self.cmdq_cons), self.cmdq_log2))
    }

    pub fn cmdq_address(&self) -> u64 {
        queue_address(self.cmdq_base, self.cmdq_log2, CMD_BYTES)
    }

    pub fn set_cmdq_cons(&mut self, cons: RingIndex) {
        self.cmdq_cons = self.cmdq_cons & !0xf_ffff | cons.raw();
    }

    pub fn set_cmdq_error(&mut self, cerror: u8) {
        self.cmdq_cons = self.cmdq_cons & 0xf_ffff | CMDQ_CONS::ERR.val(u32::from(cerror)).value;
    }

    pub fn eventq_indices(&self) -> (RingIndex, RingIndex) {
        let prod = RingIndex::new(OUTPUT_PROD::WR.read(self.eventq_prod), self.eventq_log2);
        (prod, RingIndex::new(OUTPUT_CONS::RD.read(self.eventq_cons), self.eventq_log2))
    }

    pub fn eventq_address(&self) -> u64 {
        queue_address(self.eventq_base, self.eventq_log2, EVENT_BYTES)
    }

    /// Indices that are further apart than the queue is long count as full.
    pub fn eventq_has_room(&self) -> bool {
        let (prod, cons) = self.eventq_indices();
        prod.used_since(cons).is_some_and(|used| used < prod.entries())
    }

    pub fn priq_indices(&self) -> (RingIndex, RingIndex) {
        let prod = RingIndex::new(OUTPUT_PROD::WR.read(self.priq_prod), self.priq_log2);
        (prod, RingIndex::new(OUTPUT_CONS::RD.read(self.priq_cons), self.priq_log2))
    }

    pub fn priq_address(&self) -> u64 {
        queue_address(self.priq_base, self.priq_log2, PRI_BYTES)
    }

    /// Indices that are further apart than the queue is long count as full.
    pub fn priq_has_room(&self) -> bool {
        let (prod, cons) = self.priq_indices();
        prod.used_since(cons).is_some_and(|used| used < prod.entries())
    }

    /// PRIQ_IRQ_CFG2.LO.
    pub fn priq_interrupts_on_last(&self) -> bool {
        IRQ_CFG2::LO.is_set(self.priq_msi.control)
    }

    fn is_enabled(&self, bit: u32) -> bool {
        (self.cr0 | self.cr0ack) & bit != 0
    }

    fn is_irq_enabled(&self, bit: u32) -> bool {
        (self.irq_ctrl | self.irq_ctrlack) & bit != 0
    }
}

/// Queue base with the bits below max(queue bytes, 32) cleared.
fn queue_address(base: u64, log2: u32, entry_bytes: u64) -> u64 {
    (QUEUE_BASE::ADDR.read(base) << 5) & !((entry_bytes << log2).max(32) - 1)
}

const SMMUEN: u32 = 1;
const EVENTQEN: u32 = 1 << 2;
const CMDQEN: u32 = 1 << 3;
const PRIQEN: u32 = 1 << 1;
const CMDQ_PROD_OFFSET: u64 = SMMU_CMDQ_PROD.info.offset;

/// Writable bits of STRTAB_BASE, of queue bases and of IRQ_CFG0.
const STRTAB_BASE_BITS: u64 = 0x40ff_ffff_ffff_ffc0;
const QUEUE_BASE_BITS: u64 = 0x40ff_ffff_ffff_ffff;
const IRQ_CFG0_BITS: u64 = 0x00ff_ffff_ffff_fffc;
const CR1_QUEUE_BITS: u32 = 0x3f;
const CR1_TABLE_BITS: u32 = 0xfc0;
const GBPA_BITS: u32 = 0x001f_3f1f;

/// Offset of the 64-bit register that `offset` lies in.
const fn wide_register(offset: u64) -> Option<u64> {
    match offset & !7 {
        wide @ (0x068 | 0x080 | 0x090 | 0x0a0 | 0x0b0 | 0x0c0 | 0x0d0) => Some(wide),
        _ => None,
    }
}

impl SmmuModel {
    /// Reads a register: 4 bytes anywhere, 8 bytes at 64-bit registers. Anything else, and reserved space, reads 0.
    pub fn mmio_read(&mut self, offset: u64, bytes: u8) -> u64 {
        self.tick_updates();
        match (bytes, offset % u64::from(bytes.max(1))) {
            (4, 0) => {
                let wide = wide_register(offset).map(|o| self.read_wide(o) >> (8 * (offset & 4)));
                wide.map_or_else(|| u64::from(self.read_narrow(offset)), |v| v & 0xffff_ffff)
            }
            (8, 0) if wide_register(offset).is_some() => self.read_wide(offset),
            _ => {
                self.log(Violation::AccessShape { offset, bytes });
                0
            }
        }
    }

    /// Writes a register, runs the commands and delivers the records that the write makes possible.
    pub fn mmio_write(&mut self, offset: u64, bytes: u8, value: u64, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) {
        if offset == CMDQ_PROD_OFFSET && bytes == 4 && !self.has_pending_update() {
            self.write_cmdq_prod(value as u32);
            self.run_commands(mem, irq);
            return;
        }
        self.plain.forget();
        // The write comes before the tick, so that a delay of n is acknowledged to the nth access after it.
        match (bytes, offset % u64::from(bytes.max(1))) {
            (4, 0) => match wide_register(offset) {
                Some(wide) => {
                    let shift = 8 * (offset & 4);
                    let merged = self.read_wide(wide) & !(0xffff_ffff << shift) | (value & 0xffff_ffff) << shift;
                    self.write_wide(wide, merged);
                }
                None => self.write_narrow(offset, value as u32),
            },
            (8, 0) if wide_register(offset).is_some() => self.write_wide(offset, value),
            _ => self.log(Violation::AccessShape { offset, bytes }),
        }
        self.tick_updates();
        self.step(mem, irq);
    }

    /// Does what waits for memory: queued commands, retained stall records. `mmio_write` calls it; with an acknowledgement delay a
    /// machine calls it after reads too, since an enable may then take effect during one.
    pub fn step(&mut self, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) {
        self.flush_stall_records(mem, irq);
        self.run_commands(mem, irq);
    }

    /// Delays every acknowledgement (CR0ACK, IRQ_CTRLACK, GBPA.Update) by `accesses` register accesses. 0, the default, is at once.
    pub fn set_ack_delay(&mut self, accesses: u32) {
        self.ack_delay = accesses;
    }

    fn has_pending_update(&self) -> bool {
        self.regs.cr0_update.is_pending || self.regs.gbpa_update.is_pending || self.regs.irq_ctrl_update.is_pending
    }

    fn tick_updates(&mut self) {
        self.regs.drains = self.regs.drains && !self.ports_have_left();
        if !self.has_pending_update() {
            return;
        }
        self.plain.forget();
        if self.regs.cr0_update.tick() {
            self.apply_cr0();
        }
        if self.regs.irq_ctrl_update.tick() {
            self.regs.irq_ctrlack = self.regs.irq_ctrl;
        }
        if self.regs.gbpa_update.tick() {
            self.regs.gbpa = self.regs.gbpa_next;
        }
    }

    fn apply_cr0(&mut self) {
        let (old, new) = (self.regs.cr0ack, self.regs.cr0);
        self.regs.cr0ack = new;
        if (old ^ new) & SMMUEN == 0 {
            return;
        }
        self.forget_resolved();
        self.regs.drains = new & SMMUEN == 0 && !self.ports_have_left();
        if new & SMMUEN == 0 {
            // Nothing is live any more: every structure may change in any way.
            self.configuration.streams.seen.clear();
            self.configuration.contexts.seen.clear();
            self.configuration.contexts.retire_owners(|_| true);
            let count = self.stalls.resolve_all(Verdict::Abort, |_| true);
            self.stalls.wake_held();
            if count > 0 {
                self.log(Violation::DisabledWithStalls { count });
            }
        } else {
            self.check_stream_table_alignment();
        }
    }

    fn check_stream_table_alignment(&mut self) {
        let cfg = self.regs.strtab_base_cfg;
        let log2 = STRTAB_BASE_CFG::LOG2SIZE.read(cfg).min(self.features.sid_bits);
        let bytes = if STRTAB_BASE_CFG::FMT.read(cfg) == 1 {
            8_u64 << log2.saturating_sub(smmu_spec::ste::effective_split(STRTAB_BASE_CFG::SPLIT.read(cfg)))
        } else {
            64 << log2
        };
        if (STRTAB_BASE::ADDR.read(self.regs.strtab_base) << 6) & (bytes.max(64) - 1) != 0 {
            self.log(Violation::MisalignedBase { offset: SMMU_STRTAB_BASE.offset() });
        }
    }

    fn read_wide(&self, offset: u64) -> u64 {
        let r = &self.regs;
        match offset {
            0x068 => r.gerror_msi.address,
            0x080 => r.strtab_base,
            0x090 => r.cmdq_base,
            0x0a0 => r.eventq_base,
            0x0b0 => r.eventq_msi.address,
            0x0c0 => r.priq_base,
            0x0d0 => r.priq_msi.address,
            _ => 0,
        }
    }

    fn read_narrow(&self, offset: u64) -> u32 {
        let r = &self.regs;
        let ids = &self.profile.ids;
        match offset {
            0x000 => ids.idr0,
            0x004 => ids.idr1,
            0x00c => ids.idr3,
            0x014 => ids.idr5,
            0x018 => ids.iidr,
            0x01c => ids.aidr,
            0x020 => r.cr0,
            0x024 => r.cr0ack | if r.drains { SMMUEN } else { 0 },
            0x028 => r.cr1,
            0x02c => r.cr2,
            0x044 => r.gbpa | if r.gbpa_update.is_pending { GBPA::UPDATE::SET.value } else { 0 },
            0x050 => r.irq_ctrl,
            0x054 => r.irq_ctrlack,
            0x060 => r.gerror,
            0x064 => r.gerrorn,
            0x070 => r.gerror_msi.data,
            0x074 => r.gerror_msi.control,
            0x088 => r.strtab_base_cfg,
            0x098 => r.cmdq_prod,
            0x09c => r.cmdq_cons,
            0x0b8 => r.eventq_msi.data,
            0x0bc => r.eventq_msi.control,
            0x0d8 => r.priq_msi.data,
            0x0dc => r.priq_msi.control,
            0xff0..=0xffc => CIDR[(offset - CIDR0_OFFSET) as usize / 4],
            0x1_00a8 => r.eventq_prod,
            0x1_00ac => r.eventq_cons,
            0x1_00c8 => r.priq_prod,
            0x1_00cc => r.priq_cons,
            _ => 0,
        }
    }

    /// True if the guard lets the write pass; logs it otherwise.
    fn may_write(&mut self, offset: u64, is_guarded: bool) -> bool {
        if is_guarded {
            self.log(Violation::GuardedWrite { offset });
        }
        !is_guarded
    }

    fn write_wide(&mut self, offset: u64, value: u64) {
        let smmu_on = self.regs.is_enabled(SMMUEN);
        match offset {
            0x080 if self.may_write(offset, smmu_on) => self.regs.strtab_base = value & STRTAB_BASE_BITS,
            0x090 if self.may_write(offset, self.regs.is_enabled(CMDQEN)) => {
                self.regs.cmdq_base = value & QUEUE_BASE_BITS;
                self.regs.cmdq_log2 = QUEUE_BASE::LOG2SIZE.read(value).min(u64::from(self.features.cmdqs)) as u32;
                self.check_queue_alignment(offset, value, self.regs.cmdq_log2, CMD_BYTES);
            }
            0x0a0 if self.may_write(offset, self.regs.is_enabled(EVENTQEN)) => {
                self.regs.eventq_base = value & QUEUE_BASE_BITS;
                self.regs.eventq_log2 = QUEUE_BASE::LOG2SIZE.read(value).min(u64::from(self.features.eventqs)) as u32;
                self.check_queue_alignment(offset, value, self.regs.eventq_log2, EVENT_BYTES);
            }
            0x068 if self.may_write_msi(offset, IRQ_CTRL::GERROR_IRQEN::SET.value) => {
                self.regs.gerror_msi.address = value & IRQ_CFG0_BITS;
            }
            0x0b0 if self.may_write_msi(offset, IRQ_CTRL::EVENTQ_IRQEN::SET.value) => {
                self.regs.eventq_msi.address = value & IRQ_CFG0_BITS;
            }
            0x0c0 if self.features.pri && self.may_write(offset, self.regs.is_enabled(PRIQEN)) => {
                self.regs.priq_base = value & QUEUE_BASE_BITS;
                self.regs.priq_log2 = QUEUE_BASE::LOG2SIZE.read(value).min(u64::from(self.features.priqs)) as u32;
                self.check_queue_alignment(offset, value, self.regs.priq_log2, PRI_BYTES);
            }
            0x0d0 if self.may_write_priq_msi(offset) => self.regs.priq_msi.address = value & IRQ_CFG0_BITS,
            _ => {}
        }
    }

    /// MSI registers exist with IDR0.MSI only, and are guarded by their interrupt's enable.
    fn may_write_msi(&mut self, offset: u64, enable: u32) -> bool {
        self.features.msi && self.may_write(offset, self.regs.is_irq_enabled(enable))
    }

    fn may_write_priq_msi(&mut self, offset: u64) -> bool {
        self.features.pri && self.may_write_msi(offset, IRQ_CTRL::PRIQ_IRQEN::SET.value)
    }

    fn check_queue_alignment(&mut self, offset: u64, value: u64, log2: u32, entry_bytes: u64) {
        if (QUEUE_BASE::ADDR.read(value) << 5) & ((entry_bytes << log2).max(32) - 1) != 0 {
            self.log(Violation::MisalignedBase { offset });
        }
    }

    fn write_narrow(&mut self, offset: u64, value: u32) {
        const GERROR_IRQ: u32 = 1;
        const EVENTQ_IRQ: u32 = 1 << 2;
        let smmu_on = self.regs.is_enabled(SMMUEN);
        match offset {
            0x020 => self.write_cr0(value),
            0x028 => self.write_cr1(value),
            0x02c if self.may_write(offset, smmu_on) => self.regs.cr2 = value & cr2_bits(&self.features),
            0x044 => self.write_gbpa(value),
            0x050 => self.write_irq_ctrl(value),
            0x064 => self.write_gerrorn(value),
            0x070 if self.may_write_msi(offset, GERROR_IRQ) => self.regs.gerror_msi.data = value,
            0x074 if self.may_write_msi(offset, GERROR_IRQ) => self.regs.gerror_msi.control = value & 0x3f,
            0x088 if self.may_write(offset, smmu_on) => {
                self.regs.strtab_base_cfg = value & if self.features.two_level { 0x0003_07ff } else { 0x3f };
            }
            0x098 => self.write_cmdq_prod(value),
            0x09c if self.may_write(offset, self.regs.is_enabled(CMDQEN)) => {
                let index = RingIndex::new(value, self.regs.cmdq_log2).raw();
                self.regs.cmdq_cons = index | value & CMDQ_CONS::ERR.val(0x7f).value;
            }
            0x0b8 if self.may_write_msi(offset, EVENTQ_IRQ) => self.regs.eventq_msi.data = value,
            0x0bc if self.may_write_msi(offset, EVENTQ_IRQ) => self.regs.eventq_msi.control = value & 0x3f,
            0x1_00a8 if self.may_write(offset, self.regs.is_enabled(EVENTQEN)) => {
                let flag = value & OUTPUT_PROD::OVFLG::SET.value;
                self.regs.eventq_prod = flag | RingIndex::new(value, self.regs.eventq_log2).raw();
            }
            0x1_00ac => self.write_eventq_cons(value),
            0x0d8 if self.may_write_priq_msi(offset) => self.regs.priq_msi.data = value,
            // LO exists without MSIs too.
            0x0dc if self.features.pri && self.may_write(offset, self.regs.is_irq_enabled(IRQ_CTRL::PRIQ_IRQEN::SET.value)) => {
                let bits = IRQ_CFG2::LO::SET.value | if self.features.msi { 0x3f } else { 0 };
                self.regs.priq_msi.control = value & bits;
            }
            0x1_00c8 if self.features.pri && self.may_write(offset, self.regs.is_enabled(PRIQEN)) => {
                let flag = value & OUTPUT_PROD::OVFLG::SET.value;
                self.regs.priq_prod = flag | RingIndex::new(value, self.regs.priq_log2).raw();
            }
            0x1_00cc if self.features.pri => {
                let flag = value & OUTPUT_CONS::OVACKFLG::SET.value;
                self.regs.priq_cons = flag | RingIndex::new(value, self.regs.priq_log2).raw();
                let (prod, cons) = self.regs.priq_indices();
                if self.regs.is_enabled(PRIQEN) && prod.used_since(cons).is_none() {
                    self.log(Violation::IndicesApart { offset });
                }
            }
            // Read-only, reserved, or of an absent feature: ignored.
            _ => {}
        }
    }

    fn write_cr0(&mut self, value: u32) {
        let mut bits = SMMUEN | EVENTQEN | CMDQEN;
        if self.features.pri {
            bits |= PRIQEN;
        }
        if self.features.ats {
            bits |= CR0::ATSCHK::SET.value;
        }
        let value = value & bits;
        let unacknowledged = self.regs.cr0 ^ self.regs.cr0ack;
        if (value ^ self.regs.cr0) & unacknowledged != 0 {
            self.log(Violation::UpdateInProgress { offset: SMMU_CR0.offset() });
        }
        self.regs.cr0 = value;
        self.regs.cr0_update.start(self.ack_delay);
    }

    fn write_cr1(&mut self, value: u32) {
        let mut bits = CR1_QUEUE_BITS | CR1_TABLE_BITS;
        let changed = value ^ self.regs.cr1;
        if self.regs.is_enabled(EVENTQEN | CMDQEN | PRIQEN) && changed & CR1_QUEUE_BITS != 0 {
            self.log(Violation::GuardedWrite { offset: SMMU_CR1.offset() });
            bits &= !CR1_QUEUE_BITS;
        }
        if self.regs.is_enabled(SMMUEN) && changed & CR1_TABLE_BITS != 0 {
            self.log(Violation::GuardedWrite { offset: SMMU_CR1.offset() });
            bits &= !CR1_TABLE_BITS;
        }
        self.regs.cr1 = self.regs.cr1 & !bits | value & bits;
    }

    fn write_gbpa(&mut self, value: u32) {
        if value & GBPA::UPDATE::SET.value == 0 {
            self.log(Violation::GbpaWithoutUpdate);
        } else if self.regs.gbpa_update.is_pending {
            self.log(Violation::UpdateInProgress { offset: SMMU_GBPA.offset() });
        } else {
            self.regs.gbpa_next = value & GBPA_BITS;
            self.regs.gbpa_update.start(self.ack_delay);
        }
    }

    fn write_irq_ctrl(&mut self, value: u32) {
        let bits = IRQ_CTRL::GERROR_IRQEN::SET.value
            | IRQ_CTRL::EVENTQ_IRQEN::SET.value
            | if self.features.pri { IRQ_CTRL::PRIQ_IRQEN::SET.value } else { 0 };
        let value = value & bits;
        let unacknowledged = self.regs.irq_ctrl ^ self.regs.irq_ctrlack;
        if (value ^ self.regs.irq_ctrl) & unacknowledged != 0 {
            self.log(Violation::UpdateInProgress { offset: SMMU_IRQ_CTRL.offset() });
        }
        self.regs.irq_ctrl = value;
        self.regs.irq_ctrl_update.start(self.ack_delay);
    }

    fn write_gerrorn(&mut self, value: u32) {
        let toggled = value ^ self.regs.gerrorn;
        let active = self.regs.gerror ^ self.regs.gerrorn;
        if toggled & !active != 0 {
            self.log(Violation::InactiveErrorAcknowledged { bits: toggled & !active });
        }
        self.regs.gerrorn ^= toggled & active;
    }

    fn write_cmdq_prod(&mut self, value: u32) {
        let prod = RingIndex::new(value, self.regs.cmdq_log2);
        self.regs.cmdq_prod = prod.raw();
    }

    fn write_eventq_cons(&mut self, value: u32) {
        let flag = value & OUTPUT_CONS::OVACKFLG::SET.value;
        self.regs.eventq_cons = flag | RingIndex::new(value, self.regs.eventq_log2).raw();
        let (prod, cons) = self.regs.eventq_indices();
        if self.regs.is_enabled(EVENTQEN) && prod.used_since(cons).is_none() {
            self.log(Violation::IndicesApart { offset: SMMU_EVENTQ_CONS.offset() });
        }
    }

    /// Gives the instance other identification registers: for firmware that must follow what it finds at run time. Everything returns to
    /// its reset state.
    pub fn reset_as(&mut self, profile: crate::Profile) {
        self.profile = profile;
        self.features = Features::of(&profile.ids);
        self.regs = Registers::new();
        self.walker.tlb.clear();
        self.invalidate_ste_range(hal::StreamId(0), 31);
        // Other features read other things from the same words.
        self.configuration.streams.latest = LatestSte::new();
        self.configuration.contexts.latest = LatestCd::new();
        self.stalls.resolve_all(Verdict::Abort, |_| true);
        self.atc = AtcQueue::new();
        self.newest_record = None;
        self.responses.clear();
        self.walker.retention = Retention::new(self.walker.retention.policy);
    }
}

fn cr2_bits(f: &Features) -> u32 {
    // PTM and REC_CFG_ATS belong to features that no profile offers.
    CR2::RECINVSID::SET.value | if f.hyp { CR2::E2H::SET.value } else { 0 }
}
