//! What a Stream table entry asks for (IHI 0070 5.2).

use smmu_spec::ste::{STE_DW0, STE_DW1, STE_DW2};

use crate::profile::{Features, StallModel};

/// Words of an STE that some implemented feature looks at.
pub(crate) type SteWords = [u64; 4];

/// The decision that an STE encodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SteAction {
    /// ILLEGAL: C_BAD_STE.
    Illegal,
    /// Terminate silently.
    Abort,
    /// No translation.
    Bypass(Overrides),
    /// Stage 1.
    Stage1(Stage1Config),
}

/// Permission attributes that replace the incoming ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Overrides {
    pub privileged: Option<bool>,
    pub instruction: Option<bool>,
}

/// Shape of the CD table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CdTable {
    Linear,
    /// Level-2 tables resolve this many SubstreamID bits.
    TwoLevel(u32),
}

/// Traffic without a SubstreamID while substreams are in use (S1DSS).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DefaultSubstream {
    Terminate,
    Bypass,
    Ssid0,
}

/// The stage 1 part of an STE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stage1Config {
    /// CD or CD table.
    pub context_ptr: u64,
    /// Log2 of the number of CDs; 0: no substreams.
    pub cd_max: u32,
    pub table: CdTable,
    pub default_substream: DefaultSubstream,
    /// STRW code.
    pub world: u8,
    pub vmid: u16,
    pub stall_disabled: bool,
    pub overrides: Overrides,
}

impl SteAction {
    /// Decodes an STE under what the implementation advertises.
    pub fn decode(words: &SteWords, f: &Features) -> Self {
        let [dw0, dw1, dw2, _] = *words;
        if !STE_DW0::V.is_set(dw0) {
            return Self::Illegal;
        }
        let overrides = overrides(dw1, f);
        match STE_DW0::CONFIG.read(dw0) {
            0..=3 => Self::Abort,
            4 => Self::Bypass(overrides),
            5 if f.s1p => stage1(dw0, dw1, dw2, f).map_or(Self::Illegal, |s1| Self::Stage1(Stage1Config { overrides, ..s1 })),
            _ => Self::Illegal,
        }
    }
}

fn overrides(dw1: u64, f: &Features) -> Overrides {
    if !f.perms_override {
        return Overrides::default();
    }
    let two_way = |code| match code {
        2 => Some(false),
        3 => Some(true),
        _ => None,
    };
    Overrides { privileged: two_way(STE_DW1::PRIVCFG.read(dw1)), instruction: two_way(STE_DW1::INSTCFG.read(dw1)) }
}

/// `None` if ILLEGAL.
fn stage1(dw0: u64, dw1: u64, dw2: u64, f: &Features) -> Option<Stage1Config> {
    // Without SubstreamIDs S1CDMax and S1Fmt are not looked at.
    let cd_max = if f.ssid_bits == 0 { 0 } else { STE_DW0::S1CDMAX.read(dw0) as u32 };
    if cd_max > f.ssid_bits {
        return None;
    }
    let table = match STE_DW0::S1FMT.read(dw0) {
        1 if cd_max > 0 => CdTable::TwoLevel(smmu_spec::cd::SPLIT_4K),
        2 if cd_max > 0 => CdTable::TwoLevel(smmu_spec::cd::SPLIT_64K),
        _ => CdTable::Linear,
    };
    if table != CdTable::Linear && !f.cd2l {
        return None;
    }
    let context_ptr = STE_DW0::S1CONTEXTPTR.read(dw0) << 6;
    if f.beyond_oas(context_ptr) {
        return None;
    }
    let world = if f.hyp { STE_DW1::STRW.read(dw1) as u8 } else { 0 };
    if world & 1 == 1 {
        return None;
    }
    let stall_disabled = STE_DW1::S1STALLD.is_set(dw1);
    if stall_disabled && f.stall_model != StallModel::Both {
        return None;
    }
    // The VMID tags stage-1-only EL1 translations where stage 2 exists, and is not looked at where it does not.
    let vmid = if f.s2p && world == 0 { STE_DW2::S2VMID.read(dw2) as u16 } else { 0 };
    if vmid > 0xff && !f.vmid16 {
        return None;
    }
    let default_substream = match STE_DW1::S1DSS.read(dw1) {
        1 => DefaultSubstream::Bypass,
        2 => DefaultSubstream::Ssid0,
        _ => DefaultSubstream::Terminate,
    };
    Some(Stage1Config { context_ptr, cd_max, table, default_substream, world, vmid, stall_disabled, overrides: Overrides::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;

    const GOOD: SteWords = [0x8000_0000_4800_002b, 0xd6, 0, 0];

    fn decode(words: SteWords, profile: Profile) -> SteAction {
        SteAction::decode(&words, &Features::of(&profile.ids))
    }

    #[test]
    fn every_config_code() {
        let f = |config: u64| decode([1 | config << 1, 0, 0, 0], Profile::STALL_S1);
        for config in 0..4 {
            assert_eq!(f(config), SteAction::Abort);
        }
        assert_eq!(f(4), SteAction::Bypass(Overrides::default()));
        assert!(matches!(f(5), SteAction::Stage1(_)));
        assert_eq!((f(6), f(7)), (SteAction::Illegal, SteAction::Illegal), "stage 2 without IDR0.S2P");
        assert_eq!(decode([0xb & !1, 0, 0, 0], Profile::STALL_S1), SteAction::Illegal, "V = 0");
    }

    #[test]
    fn golden_table_decodes() {
        let SteAction::Stage1(s1) = decode(GOOD, Profile::STALL_S1) else { panic!("stage 1 expected") };
        assert_eq!((s1.context_ptr, s1.cd_max, s1.table), (0x4800_0000, 16, CdTable::TwoLevel(10)));
        assert_eq!(s1.default_substream, DefaultSubstream::Ssid0);
    }

    #[test]
    fn s1cdmax_above_ssidsize_is_illegal() {
        let [dw0, dw1, ..] = GOOD;
        assert_eq!(decode([dw0 & !(31 << 59) | 17 << 59, dw1, 0, 0], Profile::STALL_S1), SteAction::Illegal);
        let mut narrow = Profile::STALL_S1;
        narrow.ids.idr1 &= !(0x1f << 6);
        assert!(matches!(decode(GOOD, narrow), SteAction::Stage1(s1) if s1.cd_max == 0), "not looked at without SubstreamIDs");
    }

    #[test]
    fn s1fmt_two_level_needs_cd2l_and_3_acts_as_linear() {
        let mut no_cd2l = Profile::STALL_S1;
        no_cd2l.ids.idr0 &= !(1 << 19);
        assert_eq!(decode(GOOD, no_cd2l), SteAction::Illegal);
        let [dw0, ..] = GOOD;
        let fmt3 = decode([dw0 | 3 << 4, 0xd6, 0, 0], no_cd2l);
        assert!(matches!(fmt3, SteAction::Stage1(s1) if s1.table == CdTable::Linear));
    }

    #[test]
    fn s1contextptr_beyond_oas_is_illegal() {
        assert_eq!(decode([0xb | 1 << 48, 0xd6, 0, 0], Profile::STALL_S1), SteAction::Illegal);
        assert!(matches!(decode([0xb | 1 << 48, 0xd6, 0, 0], Profile::STALL_S1.with_oas(6)), SteAction::Stage1(_)));
    }

    #[test]
    fn s1stalld_needs_both_stall_models() {
        assert!(matches!(decode([0xb, 0xd6 | 1 << 27, 0, 0], Profile::STALL_S1), SteAction::Stage1(s1) if s1.stall_disabled));
        assert_eq!(decode([0xb, 0xd6 | 1 << 27, 0, 0], Profile::QEMU72), SteAction::Illegal);
        assert_eq!(decode([9, 1 << 27, 0, 0], Profile::QEMU72), SteAction::Bypass(Overrides::default()), "ignored with stage 1 off");
    }

    #[test]
    fn strw_and_vmid_are_not_looked_at_without_their_features() {
        assert!(matches!(decode([0xb, 1 << 30, 0xffff, 0], Profile::STALL_S1), SteAction::Stage1(s1) if s1.world == 0 && s1.vmid == 0));
        let both = Profile { name: "test", ids: smmu_spec::id::STALL };
        assert_eq!(decode([0xb, 1 << 30, 0, 0], both), SteAction::Illegal, "STRW = 1");
        assert_eq!(decode([0xb, 3 << 30, 0, 0], both), SteAction::Illegal, "STRW = 3");
        assert!(matches!(decode([0xb, 0, 0x123, 0], both), SteAction::Stage1(s1) if s1.vmid == 0x123));
        let mut vmid8 = both;
        vmid8.ids.idr0 &= !(1 << 18);
        assert_eq!(decode([0xb, 0, 0x123, 0], vmid8), SteAction::Illegal, "VMID above 8 bits");
    }

    #[test]
    fn permission_overrides_need_their_feature() {
        let words = [9, 2 << 48 | 3 << 50, 0, 0];
        assert_eq!(decode(words, Profile::STALL_S1), SteAction::Bypass(Overrides::default()));
        let mut ovr = Profile::STALL_S1;
        ovr.ids.idr1 |= 1 << 26;
        assert_eq!(decode(words, ovr), SteAction::Bypass(Overrides { privileged: Some(false), instruction: Some(true) }));
    }
}
