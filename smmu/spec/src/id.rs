//! Identification values that a model may advertise.

/// The identification registers of one implementation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdRegisters {
    /// SMMU_IDR0.
    pub idr0: u32,
    /// SMMU_IDR1.
    pub idr1: u32,
    /// SMMU_IDR3.
    pub idr3: u32,
    /// SMMU_IDR5.
    pub idr5: u32,
    /// SMMU_IIDR.
    pub iidr: u32,
    /// SMMU_AIDR.
    pub aidr: u32,
}

/// Both stages, EL2 stream worlds, 16 SubstreamID bits, both fault models, HTTU, MSI, SEV, range invalidation; 48-bit output. SMMUv3.3.
pub const STALL: IdRegisters = IdRegisters { idr0: 0x084c_729b, idr1: 0x014a_0410, idr3: 0x0000_7514, idr5: 0x0040_0075, iidr: 0, aidr: 3 };

/// [`STALL`] without stage 2 and without what depends on it: S2P, Hyp, VMID16, XNX, FWB, PTWNNC read 0.
pub const STALL_S1: IdRegisters = IdRegisters { idr0: 0x0848_709a, idr3: 0x0000_3404, ..STALL };

/// [`STALL`] with ATS and PRI instead of stalls: the PCIe shape.
pub const ATSPRI: IdRegisters = IdRegisters { idr0: 0x094d_769b, idr1: 0x014a_4410, idr5: 0x0000_0075, ..STALL };

/// [`STALL`] with what an STE and GBPA can say about privilege, instruction fetches, memory type and shareability of incoming traffic.
pub const OVERRIDES: IdRegisters = IdRegisters { idr1: 0x0d4a_0410, ..STALL };

/// As little as stage 1 can be: no coherency, no SubstreamIDs, 64 linear streams, queues of 8, 32-bit output, 4 KiB granule. SMMUv3.1.
pub const MIN: IdRegisters = IdRegisters { idr0: 0x0540_100a, idr1: 0x0063_0006, idr3: 0x0000_0004, idr5: 0x0000_0010, iidr: 0, aidr: 1 };

/// What QEMU 7.2's SMMUv3 reads as.
pub const QEMU72: IdRegisters =
    IdRegisters { idr0: 0x0d40_101a, idr1: 0x0273_0010, idr3: 0x0000_1404, idr5: 0x0000_0074, iidr: 0, aidr: 1 };

impl IdRegisters {
    /// The same implementation with another output address size code (IDR5.OAS, 0 to 6).
    pub const fn with_oas(self, code: u32) -> Self {
        Self { idr5: self.idr5 & !7 | code & 7, ..self }
    }

    /// The same registers with another number of SubstreamID bits (IDR1.SSIDSIZE, at most 20).
    pub const fn with_ssid_bits(self, bits: u32) -> Self {
        Self { idr1: self.idr1 & !(0x1f << 6) | (bits & 0x1f) << 6, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regs::{IDR0, IDR1, IDR3, IDR5};

    #[test]
    fn stall_s1_differs_from_stall_by_stage_2_only() {
        let stage2 = IDR0::S2P::SET + IDR0::HYP::SET + IDR0::VMID16::SET;
        assert_eq!(STALL.idr0 ^ STALL_S1.idr0, stage2.value);
        assert_eq!(STALL.idr3 ^ STALL_S1.idr3, (IDR3::XNX::SET + IDR3::FWB::SET + IDR3::PTWNNC::SET).value);
    }

    #[test]
    fn min_is_what_its_description_says() {
        assert_eq!(
            MIN.idr0,
            (IDR0::S1P::SET
                + IDR0::TTF::Aarch64
                + IDR0::ASID16::SET
                + IDR0::TTENDIAN::Little
                + IDR0::STALL_MODEL::TerminateOnly
                + IDR0::TERM_MODEL::SET)
                .value
        );
        assert_eq!(MIN.idr1, (IDR1::SIDSIZE.val(6) + IDR1::CMDQS.val(3) + IDR1::EVENTQS.val(3)).value);
    }

    #[test]
    fn atspri_is_stall_with_ats_pri_and_terminate_only() {
        assert_eq!(ATSPRI.idr0, STALL.idr0 | (IDR0::ATS::SET + IDR0::PRI::SET + IDR0::STALL_MODEL::TerminateOnly).value);
        assert_eq!(IDR1::PRIQS.read(ATSPRI.idr1), 8);
    }

    #[test]
    fn overrides_is_stall_with_both_attribute_overrides() {
        assert_eq!(OVERRIDES.idr1 ^ STALL.idr1, (IDR1::ATTR_PERMS_OVR::SET + IDR1::ATTR_TYPES_OVR::SET).value);
    }

    #[test]
    fn oas_override_changes_oas_only() {
        // SSIDSIZE is IDR1[10:6].
        assert_eq!(STALL.with_ssid_bits(5).idr1, (STALL.idr1 & 0xffff_f83f) | 0x140);
        let wide = STALL.with_oas(6);
        assert_eq!((IDR5::OAS.read(wide.idr5), wide.idr5 & !7), (6, STALL.idr5 & !7));
    }
}
