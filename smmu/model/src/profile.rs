//! What an instance advertises, and the features derived from it.

use smmu_spec::descriptor::Granule;
use smmu_spec::id::{self, IdRegisters};
use smmu_spec::regs::{IDR0, IDR1, IDR3, IDR5, address_bits};
use tock_registers::{RegisterLongName, fields::Field};

/// A set of identification registers that the model implements in full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Profile {
    /// Name in device trees and reports.
    pub name: &'static str,
    /// Identification registers.
    pub ids: IdRegisters,
}

impl Profile {
    /// Both stages, EL2 stream worlds, 16 SubstreamID bits, both fault models, HTTU, MSI, SEV, range invalidation; 48-bit output.
    pub const STALL: Self = Self { name: "stall", ids: id::STALL };
    /// [`Profile::STALL`] without stage 2 and EL2 stream worlds.
    pub const STALL_S1: Self = Self { name: "stall_s1", ids: id::STALL_S1 };
    /// [`Profile::STALL`] with ATS and page requests, and faults that terminate.
    pub const ATSPRI: Self = Self { name: "atspri", ids: id::ATSPRI };
    /// [`Profile::STALL`] with overrides of incoming attributes.
    pub const OVERRIDES: Self = Self { name: "overrides", ids: id::OVERRIDES };
    /// As little as stage 1 can be.
    pub const MIN: Self = Self { name: "min", ids: id::MIN };
    /// The identification registers of QEMU 7.2, with the architecture's behaviour.
    pub const QEMU72: Self = Self { name: "qemu72", ids: id::QEMU72 };
    /// Every profile that can be chosen by name.
    pub const ALL: [Self; 6] = [Self::STALL, Self::STALL_S1, Self::ATSPRI, Self::OVERRIDES, Self::MIN, Self::QEMU72];

    /// Finds a profile by name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name == name)
    }

    /// True if devices behind it may keep translations (ATS).
    pub const fn has_ats(&self) -> bool {
        get(self.ids.idr0, &IDR0::ATS) == 1
    }

    /// The same profile with another output address size code, so that it can follow the CPU's ID_AA64MMFR0_EL1.PARange (same codes).
    pub const fn with_oas(self, code: u32) -> Self {
        Self { ids: self.ids.with_oas(code), ..self }
    }

    /// The same profile with another number of SubstreamID bits (IDR1.SSIDSIZE).
    pub const fn with_ssid_bits(self, bits: u32) -> Self {
        Self { ids: self.ids.with_ssid_bits(bits), ..self }
    }
}

/// How faults may end (IDR0.STALL_MODEL).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StallModel {
    Both,
    TerminateOnly,
    Forced,
}

/// Identification fields in the form in which the model consults them.
#[derive(Clone, Copy)]
pub(crate) struct Features {
    pub s1p: bool,
    pub s2p: bool,
    pub hyp: bool,
    pub ats: bool,
    pub pri: bool,
    pub msi: bool,
    pub sev: bool,
    pub asid16: bool,
    pub vmid16: bool,
    pub cd2l: bool,
    pub two_level: bool,
    pub httu: u32,
    pub ttendian: u32,
    pub stall_model: StallModel,
    pub term_model: bool,
    pub sid_bits: u32,
    pub ssid_bits: u32,
    pub cmdqs: u32,
    pub eventqs: u32,
    pub perms_override: bool,
    pub types_override: bool,
    pub had: bool,
    pub stt: bool,
    pub ril: bool,
    pub e0pd: bool,
    pub epan: bool,
    pub fwb: bool,
    pub xnx: bool,
    pub ns1ats: bool,
    pub priqs: u32,
    pub pps: bool,
    pub oas_bits: u32,
    /// Address bits above the output address size.
    pub beyond_oas: u64,
    pub gran4k: bool,
    pub gran16k: bool,
    pub gran64k: bool,
    pub vax: bool,
    pub stall_max: u32,
}

const fn get<R: RegisterLongName>(value: u32, field: &Field<u32, R>) -> u32 {
    (value >> field.shift) & field.mask
}

impl Features {
    pub const fn of(ids: &IdRegisters) -> Self {
        let IdRegisters { idr0, idr1, idr3, idr5, .. } = *ids;
        Self {
            s1p: get(idr0, &IDR0::S1P) == 1,
            s2p: get(idr0, &IDR0::S2P) == 1,
            hyp: get(idr0, &IDR0::HYP) == 1,
            ats: get(idr0, &IDR0::ATS) == 1,
            pri: get(idr0, &IDR0::PRI) == 1,
            msi: get(idr0, &IDR0::MSI) == 1,
            sev: get(idr0, &IDR0::SEV) == 1,
            asid16: get(idr0, &IDR0::ASID16) == 1,
            vmid16: get(idr0, &IDR0::VMID16) == 1,
            cd2l: get(idr0, &IDR0::CD2L) == 1,
            two_level: get(idr0, &IDR0::ST_LEVEL) == 1,
            httu: get(idr0, &IDR0::HTTU),
            ttendian: get(idr0, &IDR0::TTENDIAN),
            stall_model: match get(idr0, &IDR0::STALL_MODEL) {
                0 => StallModel::Both,
                2 => StallModel::Forced,
                _ => StallModel::TerminateOnly,
            },
            term_model: get(idr0, &IDR0::TERM_MODEL) == 1,
            sid_bits: get(idr1, &IDR1::SIDSIZE),
            ssid_bits: get(idr1, &IDR1::SSIDSIZE),
            cmdqs: get(idr1, &IDR1::CMDQS),
            eventqs: get(idr1, &IDR1::EVENTQS),
            perms_override: get(idr1, &IDR1::ATTR_PERMS_OVR) == 1,
            types_override: get(idr1, &IDR1::ATTR_TYPES_OVR) == 1,
            had: get(idr3, &IDR3::HAD) == 1,
            stt: get(idr3, &IDR3::STT) == 1,
            ril: get(idr3, &IDR3::RIL) == 1,
            e0pd: get(idr3, &IDR3::E0PD) == 1,
            epan: get(idr3, &IDR3::EPAN) == 1,
            fwb: get(idr3, &IDR3::FWB) == 1,
            xnx: get(idr3, &IDR3::XNX) == 1,
            ns1ats: get(idr0, &IDR0::NS1ATS) == 1,
            priqs: get(idr1, &IDR1::PRIQS),
            pps: get(idr3, &IDR3::PPS) == 1,
            oas_bits: address_bits(get(idr5, &IDR5::OAS)),
            beyond_oas: u64::MAX << address_bits(get(idr5, &IDR5::OAS)),
            gran4k: get(idr5, &IDR5::GRAN4K) == 1,
            gran16k: get(idr5, &IDR5::GRAN16K) == 1,
            gran64k: get(idr5, &IDR5::GRAN64K) == 1,
            vax: get(idr5, &IDR5::VAX) == 1,
            stall_max: get(idr5, &IDR5::STALL_MAX),
        }
    }

    pub const fn has_granule(&self, granule: Granule) -> bool {
        match granule {
            Granule::Kib4 => self.gran4k,
            Granule::Kib16 => self.gran16k,
            Granule::Kib64 => self.gran64k,
        }
    }

    /// True if `address` needs more bits than the output address size.
    pub const fn beyond_oas(&self, address: u64) -> bool {
        address & self.beyond_oas != 0
    }
}
