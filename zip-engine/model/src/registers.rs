//! The register block of the engine: core enables, bus attributes, errors, statistics; and the routing of requests to cores (E.1–E.3).

use hal::Requester;
use zip_spec::registers::{
    ARCACHE_0, ARCACHE_1, ATTRIBUTE, AWCACHE_0, AWCACHE_1, BD_RUSER, BD_WUSER, CLOCK_GATE, CLOCK_GATE_CTRL, CONTROL_REACTION, CORE_BYTES,
    CORE_INT_MASK, CORE_INT_SET, CORE_INT_SOURCE, CORE_INT_STATUS, CORE_SRAM_ECC_ERR_INFO, COUNTER_CLEAR, Core, DATA_RUSER, DATA_WUSER,
    ECC_INFO, FSM_MAX_CNT, HIGH_PERF, LIT_LEN_EN, LITERAL_LENGTH, OOO_SHUTDOWN_SEL, PEH_CFG_AUTO_GATE, PREFETCH_CFG, RAS_CE_ENABLE,
    RAS_FE_ENABLE, RAS_NFE_ENABLE, SGL_RUSER, SOFT_CTRL_CNT_CLR_CE, UNCOM_ERR_RAS_CTRL, WINDOW_BASE, WINDOW_BYTES, ZIP_CONTROL,
};
use zip_spec::{Capabilities, MAX_COMPRESS_CORES, RequestType, Sqe, Status, error_mask};

use crate::counters::Counters;
use crate::port::Requesters;
use crate::{Direction, Job};

/// Number of plain storage registers.
const STORAGE: usize = 20;

/// The plain storage registers: offset, value after reset, and whether V2 lacks them.
const STORED: [(u64, u32, bool); STORAGE] = [
    (SOFT_CTRL_CNT_CLR_CE.info.offset, SOFT_CTRL_CNT_CLR_CE.info.reset as u32, false),
    (FSM_MAX_CNT.info.offset, FSM_MAX_CNT.info.reset as u32, false),
    (ARCACHE_0.info.offset, ARCACHE_0.info.reset as u32, false),
    (ARCACHE_1.info.offset, ARCACHE_1.info.reset as u32, false),
    (AWCACHE_0.info.offset, AWCACHE_0.info.reset as u32, false),
    (AWCACHE_1.info.offset, AWCACHE_1.info.reset as u32, false),
    (BD_RUSER.info.offset, BD_RUSER.info.reset as u32, false),
    (SGL_RUSER.info.offset, SGL_RUSER.info.reset as u32, false),
    (DATA_RUSER.info.offset, DATA_RUSER.info.reset as u32, false),
    (DATA_WUSER.info.offset, DATA_WUSER.info.reset as u32, false),
    (BD_WUSER.info.offset, BD_WUSER.info.reset as u32, false),
    (RAS_CE_ENABLE.info.offset, RAS_CE_ENABLE.info.reset as u32, false),
    (RAS_NFE_ENABLE.info.offset, RAS_NFE_ENABLE.info.reset as u32, false),
    (RAS_FE_ENABLE.info.offset, RAS_FE_ENABLE.info.reset as u32, false),
    (UNCOM_ERR_RAS_CTRL.info.offset, UNCOM_ERR_RAS_CTRL.info.reset as u32, false),
    (PEH_CFG_AUTO_GATE.info.offset, PEH_CFG_AUTO_GATE.info.reset as u32, true),
    (PREFETCH_CFG.info.offset, PREFETCH_CFG.info.reset as u32, true),
    (LIT_LEN_EN.info.offset, LIT_LEN_EN.info.reset as u32, true),
    (HIGH_PERF.info.offset, HIGH_PERF.info.reset as u32, false),
    (OOO_SHUTDOWN_SEL.info.offset, OOO_SHUTDOWN_SEL.info.reset as u32, true),
];

/// The engine's registers and the book-keeping of its cores.
#[derive(Debug)]
pub struct ZipCore {
    capabilities: Capabilities,
    stored: [u32; STORAGE],
    clock_gate: u32,
    control: u32,
    int_source: u32,
    int_mask: u32,
    is_frozen: bool,
    ecc_info: u32,
    cores: [Counters; Core::ALL.len()],
    last_routed: [u8; 2],
}

impl ZipCore {
    /// An engine after reset.
    pub const fn new(capabilities: Capabilities) -> Self {
        let mut stored = [0; STORAGE];
        let mut i = 0;
        while i < STORAGE {
            if capabilities.is_pasid_per_queue || !STORED[i].2 {
                stored[i] = STORED[i].1;
            }
            i += 1;
        }
        Self {
            capabilities,
            stored,
            clock_gate: 0,
            control: 0,
            int_source: 0,
            int_mask: CORE_INT_MASK.info.reset as u32,
            is_frozen: false,
            ecc_info: 0,
            cores: [Counters::ZERO; Core::ALL.len()],
            last_routed: [0; 2],
        }
    }

    /// Goes back to the state after reset. Jobs that run keep running; the queue manager drops their results.
    pub fn reset(&mut self) {
        *self = Self::new(self.capabilities);
    }

    /// What the revision offers.
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// True while an unmasked error is pending: the level of the abnormal interrupt's engine part.
    pub const fn has_abnormal_interrupt(&self) -> bool {
        self.int_source & !self.int_mask != 0
    }

    /// True while an error has stopped the engine's bus traffic. A new request must not be accepted.
    pub const fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// Raises error bits, as a fault inside the engine does.
    pub fn raise(&mut self, errors: u32) {
        let known = if self.capabilities.is_pasid_per_queue {
            error_mask::ALL
        } else {
            error_mask::ALL & !(error_mask::AXI_POISON | error_mask::SVA)
        };
        let errors = errors & known;
        self.int_source |= errors;
        let selected = if self.capabilities.is_pasid_per_queue { self.stored_at(OOO_SHUTDOWN_SEL.offset()) } else { error_mask::ECC_2BIT };
        if errors & selected != 0 && self.control & CONTROL_REACTION::SHUTDOWN_ENABLE::SET.value != 0 {
            self.is_frozen = true;
        }
    }

    /// Raises an ECC error of a RAM at an address: `CORE_SRAM_ECC_ERR_INFO` keeps where the last one was.
    pub fn raise_ecc(&mut self, errors: u32, ram: u8, address: u8) {
        self.ecc_info = (ECC_INFO::RAM.val(u32::from(ram)) + ECC_INFO::ADDRESS.val(u32::from(address))).value;
        self.raise(errors & (error_mask::ECC_1BIT | error_mask::ECC_2BIT));
    }

    /// Reads `bytes` (1, 2, 4 or 8) at `offset` of BAR2. Registers are 32 bits wide; unknown ones read 0.
    pub fn mmio_read(&mut self, offset: u64, bytes: u8) -> u64 {
        let word = offset & !3;
        let low = u64::from(self.read32(word));
        match bytes {
            8 => low | u64::from(self.read32(word + 4)) << 32,
            4 => low,
            _ => low >> (8 * (offset & 3)) & ((1 << (8 * u64::from(bytes))) - 1),
        }
    }

    /// Writes `bytes` (1, 2, 4 or 8) at `offset` of BAR2. Writes of less than a register are ignored, as are unknown registers.
    pub fn mmio_write(&mut self, offset: u64, bytes: u8, value: u64) {
        if !offset.is_multiple_of(4) {
            return;
        }
        match bytes {
            4 => self.write32(offset, value as u32),
            8 => {
                self.write32(offset, value as u32);
                self.write32(offset + 4, (value >> 32) as u32);
            }
            _ => {}
        }
    }

    fn stored_at(&self, offset: u64) -> u32 {
        STORED.iter().zip(self.stored).find(|((at, ..), _)| *at == offset).map_or(0, |(_, value)| value)
    }

    fn read32(&mut self, offset: u64) -> u32 {
        if !(WINDOW_BASE..WINDOW_BASE + WINDOW_BYTES).contains(&offset) {
            return 0;
        }
        if let Some(index) = ((offset - WINDOW_BASE) / CORE_BYTES).checked_sub(1) {
            return self.read_core(index as usize, offset % CORE_BYTES);
        }
        match offset {
            _ if offset == CLOCK_GATE_CTRL.offset() => self.clock_gate,
            _ if offset == ZIP_CONTROL.offset() => self.control,
            _ if offset == CORE_INT_SOURCE.offset() => self.int_source,
            _ if offset == CORE_INT_MASK.offset() => self.int_mask,
            _ if offset == CORE_INT_STATUS.offset() => self.int_source & !self.int_mask,
            _ if offset == CORE_SRAM_ECC_ERR_INFO.offset() => self.ecc_info,
            // SVA_TRANS and unknown words read 0: nothing is outstanding between two register accesses.
            _ => self.stored_at(offset),
        }
    }

    fn write32(&mut self, offset: u64, value: u32) {
        match offset {
            _ if offset == CLOCK_GATE_CTRL.offset() => self.clock_gate = value & self.clock_gate_writable(),
            _ if offset == ZIP_CONTROL.offset() => {
                let rises = value & !self.control & CONTROL_REACTION::SHUTDOWN_ENABLE::SET.value != 0;
                self.control = value;
                self.is_frozen &= !rises;
            }
            _ if offset == CORE_INT_SOURCE.offset() => self.int_source &= !value,
            _ if offset == CORE_INT_MASK.offset() => self.int_mask = value & error_mask::ALL,
            _ if offset == CORE_INT_SET.offset() => self.raise(value),
            _ => {
                let is_v3 = self.capabilities.is_pasid_per_queue;
                for ((at, _, needs_v3), slot) in STORED.iter().zip(&mut self.stored) {
                    if *at == offset && (is_v3 || !needs_v3) {
                        *slot = value;
                    }
                }
            }
        }
    }

    fn clock_gate_writable(&self) -> u32 {
        let cores =
            self.capabilities.compress_enable() | self.capabilities.decompress_enable() | CLOCK_GATE::DECOMP_CHECK_ENABLE::SET.value;
        if self.capabilities.is_pasid_per_queue {
            cores | CLOCK_GATE::CORE_GATING.val(0xff).value | CLOCK_GATE::OOO_GATING::SET.value
        } else {
            cores
        }
    }

    /// Absent cores answer 0: drivers read all eight blocks on every revision.
    fn read_core(&mut self, index: usize, offset: u64) -> u32 {
        let clears = self.stored_at(SOFT_CTRL_CNT_CLR_CE.offset());
        let clears = clears & (COUNTER_CLEAR::COUNTERS::SET + COUNTER_CLEAR::READ_ONLY_COUNTERS::SET).value != 0;
        if !self.is_present(index) {
            return 0;
        }
        let Some(core) = self.cores.get_mut(index) else { return 0 };
        let value = core.read(offset);
        if clears {
            core.clear(offset);
        }
        value
    }

    fn is_present(&self, index: usize) -> bool {
        (self.capabilities.compress_enable() | self.capabilities.decompress_enable()) >> index & 1 != 0
    }

    /// Picks the enabled core of a direction with the fewest requests, in turn among equals. A core whose capability word names the algorithm goes first;
    /// a request for one that no core has is refused by the core that gets it.
    fn route(&mut self, direction: Direction, request_type: RequestType) -> Option<usize> {
        let serves = |core: usize| self.capabilities.core_algorithms(Core::ALL[core]) & request_type.algorithm_pair() != 0;
        let (cores, turn) = match direction {
            Direction::Compress => (0..MAX_COMPRESS_CORES, 0),
            Direction::Decompress => (MAX_COMPRESS_CORES..Core::ALL.len(), 1),
        };
        let last = usize::from(self.last_routed[turn]);
        let core = cores
            .filter(|core| self.clock_gate >> core & 1 != 0 && self.is_present(*core))
            .min_by_key(|core| (!serves(*core), self.cores[*core].in_flight, *core <= last, *core))?;
        self.last_routed[turn] = core as u8;
        Some(core)
    }

    /// Takes a request: routes it to a core and counts it. It is then run by [`Job::step`], apart from the registers.
    ///
    /// `who` is the queue's: on V2 its substream counts only for traffic whose bus attribute says SSV.
    pub fn accept(&mut self, sqe: [u32; 32], direction: Direction, who: Requester) -> Job {
        let Some(core) = self.route(direction, Sqe(sqe).request_type()) else {
            return Job::refused(Sqe(sqe), Status::NO_CORE);
        };
        let class = |attribute: u64| {
            let has_substream = self.capabilities.is_pasid_per_queue || self.stored_at(attribute) & ATTRIBUTE::SSV::SET.value != 0;
            Requester { substream: who.substream.filter(|_| has_substream), ..who }
        };
        let who = Requesters { read: class(DATA_RUSER.offset()), write: class(DATA_WUSER.offset()), list: class(SGL_RUSER.offset()) };
        let mut job = Job::on_core(Sqe(sqe), direction, who, &self.capabilities, core);
        if self.stored_at(LIT_LEN_EN.offset()) & LITERAL_LENGTH::OFF::SET.value != 0 {
            job.withhold_long_literals();
        }
        self.cores[core].count_accepted(job.is_well_formed());
        job
    }

    /// Books a request that has ended, or was given up.
    pub fn retire(&mut self, job: &Job) {
        if let Some(core) = job.core() {
            let (consumed, produced) = job.moved_bytes();
            self.cores[core].count_retired(job.is_well_formed(), consumed, produced);
        }
    }
}
