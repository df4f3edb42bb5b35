//! Stage 2: the table that a guest's intermediate addresses go through, the guest's own stage 1 above it, and what an STE says of both
//! (IHI 0070, sections 3.3.2, 5.2).

use hal::{Ipa, Pa};
use smmu_spec::{
    cd::{CD_BYTES, L1CD_BYTES, SPLIT_4K, SPLIT_64K},
    descriptor::Granule,
    regs::address_bits,
    ste::{STE_DW0, STE_DW1, STE_DW2, STE_DW3},
};

use crate::entry::Words;
use crate::error::{SmmuError, TableField};
use crate::features::Features;
use crate::stream_table::default_substream;

/// A VMSAv8-64 stage-2 table, as a VTTBR and its VTCR describe it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage2Description {
    /// First byte of the start-level table, or of up to 16 that lie side by side.
    pub ttb: Pa,
    /// 64 minus the number of intermediate address bits.
    pub t0sz: u8,
    /// Level at which walks start: 0 to 2 with 4 KiB granules, 1 to 3 with others.
    pub start_level: u8,
    /// Granule.
    pub granule: Granule,
    /// Output address size code, as in VTCR_EL2.PS and IDR5.OAS; at most OAS.
    pub ps: u8,
    /// The guest's VMID. One VMID denotes one table, on every stream.
    pub vmid: u16,
}

impl Stage2Description {
    const fn input_bits(&self) -> u32 {
        64 - self.t0sz as u32
    }

    /// STE.S2SL0; `None` if no code names the start level.
    fn start_code(&self) -> Option<u64> {
        (0..3).find(|code| self.granule.stage2_start_level(*code) == Some(u32::from(self.start_level)))
    }

    /// Checks the description against what the SMMU can walk.
    pub(crate) fn check(&self, features: &Features) -> Result<(), SmmuError> {
        let bad = |field| Err(SmmuError::BadTable(field));
        if !features.has_granule(self.granule) {
            return bad(TableField::Granule);
        }
        let is_64k = self.granule == Granule::Kib64;
        // With VMSAv8-64 tables the input is no wider than the output.
        let widest = if is_64k { 52 } else { 48 };
        let most = match (features.has_small_tables, is_64k) {
            (false, _) => 39,
            (true, false) => 48,
            (true, true) => 47,
        };
        let input_limit = u32::from(features.output_bits).min(widest);
        if self.t0sz > most || self.input_bits() > input_limit {
            return bad(TableField::T0sz);
        }
        let Some(_) = self.start_code() else { return bad(TableField::StartLevel) };
        let shift = self.granule.level_shift(u32::from(self.start_level));
        // At least one address bit for the start level, at most sixteen tables side by side.
        if self.input_bits() <= shift || self.input_bits() > shift + self.granule.stride() + 4 {
            return bad(TableField::StartLevel);
        }
        if self.ps > features.oas_code || self.ps > 6 {
            return bad(TableField::OutputSize);
        }
        let table_bytes = (8_u64 << (self.input_bits() - shift)).max(64);
        let output_limit = address_bits(u32::from(self.ps)).min(widest);
        if !self.ttb.is_aligned(table_bytes) || self.ttb.0 >> output_limit != 0 {
            return bad(TableField::Ttb0);
        }
        if self.vmid == 0 || features.vmid_bits < 16 && self.vmid > 0xff {
            return bad(TableField::Vmid);
        }
        Ok(())
    }
}

/// Shape of a guest's CD table (STE.S1Fmt).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CdShape {
    /// One CD, or one table.
    Linear,
    /// Two levels, leaves of 4 KiB.
    TwoLevel4K,
    /// Two levels, leaves of 64 KiB.
    TwoLevel64K,
}

/// What traffic without a SubstreamID does on a stream that has SubstreamIDs (STE.S1DSS).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Untagged {
    /// It aborts, with a record.
    Abort,
    /// It bypasses stage 1.
    Bypass,
    /// It is translated by context 0.
    Table,
}

/// A guest's stage 1, as its own Stream table entry describes it. All its addresses are intermediate ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuestContexts {
    /// The CD or the CD table.
    pub pointer: Ipa,
    /// Shape of the table.
    pub shape: CdShape,
    /// log2 of the number of CDs; 0: one CD, no SubstreamIDs.
    pub substream_bits: u8,
    /// Traffic without a SubstreamID, where there are SubstreamIDs.
    pub untagged: Untagged,
    /// The guest's CDs may stall; somebody must answer then.
    pub may_stall: bool,
}

impl GuestContexts {
    /// Checks the guest's wishes: no value of these fields reaches an STE that the SMMU would call ILLEGAL.
    pub(crate) fn check(&self, table: &Stage2Description, features: &Features) -> Result<(), SmmuError> {
        let bad = |field| Err(SmmuError::BadTable(field));
        if self.substream_bits > features.substream_bits {
            return bad(TableField::SubstreamBits);
        }
        let bits = u32::from(self.substream_bits);
        let entries = |split: u32| L1CD_BYTES << bits.saturating_sub(split);
        let bytes = match (self.shape, bits) {
            (CdShape::Linear, _) => CD_BYTES << bits,
            (_, 0) => return bad(TableField::Shape),
            _ if !features.two_level_cds => return bad(TableField::Shape),
            (CdShape::TwoLevel4K, _) => entries(SPLIT_4K).max(64),
            (CdShape::TwoLevel64K, _) => entries(SPLIT_64K).max(64),
        };
        if !self.pointer.is_aligned(bytes) || self.pointer.0 >> table.input_bits() != 0 {
            return bad(TableField::ContextPointer);
        }
        if self.may_stall && !features.stall_model.can_stall() {
            return Err(SmmuError::NoStall);
        }
        Ok(())
    }
}

/// How an STE with stage 2 treats faults and memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stage2Treatment {
    /// Stage-2 faults wait for software.
    pub(crate) stall: bool,
    /// The SMMU lets each context choose, so that a guest's choice must be limited.
    pub(crate) contexts_choose: bool,
    /// Walks and CD fetches are cacheable and inner shareable.
    pub(crate) cacheable: bool,
}

/// An STE that translates by stage 2, below the guest's stage 1 if there is one. Faults of stage 2 are recorded; a walk or a CD fetch that stage 2
/// sends to Device memory faults.
pub(crate) fn ste(table: &Stage2Description, guest: Option<&GuestContexts>, how: Stage2Treatment) -> Words {
    let mut dw0 = STE_DW0::V::SET + if guest.is_some() { STE_DW0::CONFIG::Nested } else { STE_DW0::CONFIG::Stage2 };
    let mut dw1 = STE_DW1::SHCFG::Incoming;
    if let Some(guest) = guest {
        dw0 += match guest.shape {
            CdShape::Linear => STE_DW0::S1FMT::Linear,
            CdShape::TwoLevel4K => STE_DW0::S1FMT::TwoLevel4K,
            CdShape::TwoLevel64K => STE_DW0::S1FMT::TwoLevel64K,
        };
        dw0 += STE_DW0::S1CONTEXTPTR.val(guest.pointer.0 >> STE_DW0::S1CONTEXTPTR.shift)
            + STE_DW0::S1CDMAX.val(u64::from(guest.substream_bits));
        dw1 += default_substream(guest.untagged) + STE_DW1::S1STALLD.val(u64::from(how.contexts_choose && !guest.may_stall));
        if how.cacheable {
            dw1 += STE_DW1::S1CIR::WriteBackReadAllocate + STE_DW1::S1COR::WriteBackReadAllocate + STE_DW1::S1CSH::Inner;
        }
    }
    let granule = match table.granule {
        Granule::Kib4 => STE_DW2::S2TG::Granule4K,
        Granule::Kib16 => STE_DW2::S2TG::Granule16K,
        Granule::Kib64 => STE_DW2::S2TG::Granule64K,
    };
    let mut dw2 = STE_DW2::S2VMID.val(u64::from(table.vmid))
        + STE_DW2::S2T0SZ.val(u64::from(table.t0sz))
        + STE_DW2::S2SL0.val(table.start_code().unwrap_or(0))
        + granule
        + STE_DW2::S2PS.val(u64::from(table.ps))
        + STE_DW2::S2AA64::SET
        + STE_DW2::S2PTW::SET
        + STE_DW2::S2S.val(u64::from(how.stall))
        + STE_DW2::S2R::SET;
    if how.cacheable {
        dw2 += STE_DW2::S2IR0.val(1) + STE_DW2::S2OR0.val(1) + STE_DW2::S2SH0.val(3);
    }
    let dw3 = STE_DW3::S2TTB.val(table.ttb.0 >> STE_DW3::S2TTB.shift);
    [dw0.value, dw1.value, dw2.value, dw3.value, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream_table::used;

    const TABLE: Stage2Description =
        Stage2Description { ttb: Pa(0x5000_0000), t0sz: 24, start_level: 1, granule: Granule::Kib4, ps: 4, vmid: 5 };
    const GUEST: GuestContexts = GuestContexts {
        pointer: Ipa(0x8000_0000),
        shape: CdShape::TwoLevel64K,
        substream_bits: 16,
        untagged: Untagged::Table,
        may_stall: true,
    };
    const HOW: Stage2Treatment = Stage2Treatment { stall: false, contexts_choose: true, cacheable: true };

    #[test]
    fn entries_are_the_words_of_the_document() {
        // V, Config 6; SHCFG 1. VMID 5, T0SZ 24, SL0 1, WBWA inner shareable, 4 KiB, PS 4, AA64, PTW, R.
        assert_eq!(ste(&TABLE, None, HOW), [0xd, 1 << 44, 0x044c_3558_0000_0005, 0x5000_0000, 0, 0, 0, 0]);
        let stalling = Stage2Treatment { stall: true, cacheable: false, ..HOW };
        assert_eq!(ste(&TABLE, None, stalling)[2], 0x064c_0058_0000_0005);
        let large = Stage2Description { granule: Granule::Kib64, start_level: 2, t0sz: 24, ps: 5, ..TABLE };
        // S2TG 1, SL0 1 = level 2.
        assert_eq!(ste(&large, None, HOW)[2], 0x044d_7558_0000_0005);
        // V, Config 7, S1Fmt 2, S1CDMax 16; S1DSS 2, write-back CD fetches, SHCFG 1.
        assert_eq!(ste(&TABLE, Some(&GUEST), HOW)[..2], [0x8000_0000_8000_002f, 0x0000_1000_0000_00d6]);
        let tame = GuestContexts { shape: CdShape::TwoLevel4K, untagged: Untagged::Abort, may_stall: false, ..GUEST };
        assert_eq!(ste(&TABLE, Some(&tame), HOW)[..2], [0x8000_0000_8000_001f, 0x0000_1000_0800_00d4]);
        let bypassing = GuestContexts { untagged: Untagged::Bypass, ..GUEST };
        assert_eq!(ste(&TABLE, Some(&bypassing), HOW)[1], 0x0000_1000_0000_00d5);
    }

    #[test]
    fn no_builder_sets_a_bit_that_nobody_looks_at() {
        for guest in [None, Some(&GUEST)] {
            let ste = ste(&TABLE, guest, Stage2Treatment { stall: true, ..HOW });
            let mask = used(&ste);
            assert!((0..8).all(|i| ste[i] & !mask[i] == 0), "{ste:x?}");
        }
    }
}
