//! Probe: what this SMMU can do, and what the driver will not work with.

use hal::RegisterWindow;
use smmu_spec::{
    descriptor::Granule,
    regs::{AIDR, IDR0, IDR1, IDR3, IDR5, SMMU_AIDR, SMMU_IDR0, SMMU_IDR1, SMMU_IDR3, SMMU_IDR5, address_bits},
};

use crate::init::{Config, TableMemory};

/// Why an SMMU is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// AIDR.ArchMajorRev is not 0: not an SMMUv3. Holds the whole register.
    Architecture(u32),
    /// IDR0.S1P = 0.
    NoStage1,
    /// IDR0.TTF without AArch64 tables.
    NoAarch64Tables,
    /// IDR0.TTENDIAN allows no little-endian tables.
    NoLittleEndianTables,
    /// IDR0.STALL_MODEL is reserved.
    ReservedStallModel,
    /// IDR0.ST_LEVEL is reserved.
    ReservedTableLevels,
    /// IDR1.REL: preset addresses count from the SMMU's own.
    RelativeBases,
    /// IDR1.TABLES_PRESET: the Stream table's place is fixed.
    TablesPreset,
    /// IDR1.QUEUES_PRESET: the queues' place is fixed.
    QueuesPreset,
    /// IDR5 lacks the granule that the configuration asks for.
    NoGranule(Granule),
    /// IDR0.COHACC = 0, but the memory handed to the driver is cacheable.
    NotCoherent,
    /// Completion by message is asked for, but IDR0.MSI or IDR0.COHACC is 0.
    NoMessages,
    /// Completion by event is asked for, but IDR0.SEV is 0.
    NoWakeEvent,
}

/// Which fault models an SMMU has (IDR0.STALL_MODEL).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StallModel {
    /// Each context chooses.
    StallOrTerminate,
    /// Faults terminate always.
    TerminateOnly,
    /// Faults stall always.
    StallOnly,
}

impl StallModel {
    /// True if a context may stall.
    pub const fn can_stall(self) -> bool {
        !matches!(self, Self::TerminateOnly)
    }
}

/// What the identification registers say, as far as the driver uses it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    /// n of SMMUv3.n.
    pub minor_revision: u8,
    /// Stage 2 exists: stage-1 TLB entries carry a VMID.
    pub has_stage2: bool,
    /// VMID bits, 8 or 16; 0 without stage 2.
    pub vmid_bits: u8,
    /// EL2 stream worlds exist.
    pub has_hyp: bool,
    /// Structures and tables are read coherently with the CPU's caches.
    pub is_coherent: bool,
    /// Broadcast TLB maintenance could be followed; the driver switches it off and sends commands.
    pub has_broadcast_tlbi: bool,
    /// Hardware update of Access flag (1) and dirty state (2); the driver does not use it.
    pub httu: u8,
    /// ATS exists; streams use it after [`enable_ats`](crate::Smmu::enable_ats).
    pub has_ats: bool,
    /// PRI exists.
    pub has_pri: bool,
    /// log2 of the longest PRI queue.
    pub page_queue_log2: u8,
    /// Message-signalled interrupts exist. The driver uses them for completion of commands if asked to; all else is wired.
    pub has_msi: bool,
    /// CMD_SYNC can send an event to waiting CPUs.
    pub has_wake_event: bool,
    /// ASID bits, 8 or 16.
    pub asid_bits: u8,
    /// Fault models.
    pub stall_model: StallModel,
    /// Most stalls recorded at a time; 0 without the stall model.
    pub stall_max: u16,
    /// Terminated accesses can only abort.
    pub terminate_aborts_only: bool,
    /// Two-level Stream tables exist.
    pub two_level_streams: bool,
    /// Two-level CD tables exist.
    pub two_level_cds: bool,
    /// StreamID bits.
    pub stream_bits: u8,
    /// SubstreamID bits; 0 means one address space per stream.
    pub substream_bits: u8,
    /// log2 of the longest Command queue.
    pub command_queue_log2: u8,
    /// log2 of the longest Event queue.
    pub event_queue_log2: u8,
    /// Range invalidation and level hints.
    pub has_range_invalidation: bool,
    /// Small translation tables: T0SZ up to 48 (47 with 64 KiB).
    pub has_small_tables: bool,
    /// Break-before-make level.
    pub bbml: u8,
    /// Output address size code (IDR5.OAS).
    pub oas_code: u8,
    /// Output address bits.
    pub output_bits: u8,
    /// 52-bit virtual addresses exist (with 64 KiB granules).
    pub has_wide_va: bool,
    /// 4 KiB, 16 KiB, 64 KiB granule.
    pub granules: [bool; 3],
    /// GBPA.ABORT holds: traffic is aborted while translation is off. Known after initialisation.
    pub aborts_while_disabled: bool,
}

impl Features {
    /// Reads the identification registers and refuses what the driver cannot serve.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies.
    pub fn probe(window: &impl RegisterWindow, config: &Config) -> Result<Self, Refusal> {
        let aidr = SMMU_AIDR.read(window);
        let idr0 = SMMU_IDR0.read(window);
        let idr1 = SMMU_IDR1.read(window);
        let idr3 = SMMU_IDR3.read(window);
        let idr5 = SMMU_IDR5.read(window);
        if aidr.read(AIDR::ARCH_MAJOR_REV) != 0 {
            return Err(Refusal::Architecture(aidr.get()));
        }
        if !idr0.is_set(IDR0::S1P) {
            return Err(Refusal::NoStage1);
        }
        if idr0.read(IDR0::TTF) & IDR0::TTF::Aarch64.value >> IDR0::TTF.shift == 0 {
            return Err(Refusal::NoAarch64Tables);
        }
        if !matches!(idr0.read_as_enum(IDR0::TTENDIAN), Some(IDR0::TTENDIAN::Value::Mixed | IDR0::TTENDIAN::Value::Little)) {
            return Err(Refusal::NoLittleEndianTables);
        }
        let stall_model = match idr0.read_as_enum(IDR0::STALL_MODEL) {
            Some(IDR0::STALL_MODEL::Value::StallAndTerminate) => StallModel::StallOrTerminate,
            Some(IDR0::STALL_MODEL::Value::TerminateOnly) => StallModel::TerminateOnly,
            Some(IDR0::STALL_MODEL::Value::StallForced) => StallModel::StallOnly,
            None => return Err(Refusal::ReservedStallModel),
        };
        let two_level_streams = match idr0.read_as_enum(IDR0::ST_LEVEL) {
            Some(IDR0::ST_LEVEL::Value::Linear) => false,
            Some(IDR0::ST_LEVEL::Value::TwoLevel) => true,
            None => return Err(Refusal::ReservedTableLevels),
        };
        if idr1.is_set(IDR1::REL) {
            return Err(Refusal::RelativeBases);
        }
        if idr1.is_set(IDR1::TABLES_PRESET) {
            return Err(Refusal::TablesPreset);
        }
        if idr1.is_set(IDR1::QUEUES_PRESET) {
            return Err(Refusal::QueuesPreset);
        }
        let features = Self {
            minor_revision: aidr.read(AIDR::ARCH_MINOR_REV) as u8,
            has_stage2: idr0.is_set(IDR0::S2P),
            vmid_bits: match (idr0.is_set(IDR0::S2P), idr0.is_set(IDR0::VMID16)) {
                (false, _) => 0,
                (true, false) => 8,
                (true, true) => 16,
            },
            has_hyp: idr0.is_set(IDR0::HYP),
            is_coherent: idr0.is_set(IDR0::COHACC),
            has_broadcast_tlbi: idr0.is_set(IDR0::BTM),
            httu: idr0.read(IDR0::HTTU) as u8,
            has_ats: idr0.is_set(IDR0::ATS),
            has_pri: idr0.is_set(IDR0::ATS) && idr0.is_set(IDR0::PRI),
            page_queue_log2: idr1.read(IDR1::PRIQS).min(19) as u8,
            has_msi: idr0.is_set(IDR0::MSI),
            has_wake_event: idr0.is_set(IDR0::SEV),
            asid_bits: if idr0.is_set(IDR0::ASID16) { 16 } else { 8 },
            stall_model,
            stall_max: if stall_model.can_stall() { idr5.read(IDR5::STALL_MAX) as u16 } else { 0 },
            terminate_aborts_only: idr0.is_set(IDR0::TERM_MODEL),
            two_level_streams,
            two_level_cds: idr0.is_set(IDR0::CD2L),
            stream_bits: idr1.read(IDR1::SIDSIZE).min(32) as u8,
            substream_bits: idr1.read(IDR1::SSIDSIZE).min(20) as u8,
            command_queue_log2: idr1.read(IDR1::CMDQS).min(19) as u8,
            event_queue_log2: idr1.read(IDR1::EVENTQS).min(19) as u8,
            has_range_invalidation: idr3.is_set(IDR3::RIL),
            has_small_tables: idr3.is_set(IDR3::STT),
            bbml: idr3.read(IDR3::BBML) as u8,
            oas_code: idr5.read(IDR5::OAS) as u8,
            output_bits: address_bits(idr5.read(IDR5::OAS)) as u8,
            has_wide_va: idr5.read(IDR5::VAX) != 0,
            granules: [idr5.is_set(IDR5::GRAN4K), idr5.is_set(IDR5::GRAN16K), idr5.is_set(IDR5::GRAN64K)],
            aborts_while_disabled: false,
        };
        if !features.has_granule(config.granule) {
            return Err(Refusal::NoGranule(config.granule));
        }
        if !features.is_coherent && config.memory == TableMemory::Cacheable {
            return Err(Refusal::NotCoherent);
        }
        config.completion.settle(&features)?;
        Ok(features)
    }

    /// True if tables of this granule can be walked.
    pub const fn has_granule(&self, granule: Granule) -> bool {
        match granule {
            Granule::Kib4 => self.granules[0],
            Granule::Kib16 => self.granules[1],
            Granule::Kib64 => self.granules[2],
        }
    }
}
