//! What a Stream table entry asks for (IHI 0070 5.2).

use hal::SubstreamId;
use smmu_spec::cd::{CD_BYTES, L1CD_BYTES};
use smmu_spec::ste::{STE_DW0, STE_DW1, STE_DW2};

use crate::profile::{Features, StallModel};
use crate::stage2::{Stage2, combine_attributes};
use crate::tlb::world;

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
    /// Stage 1, stage 2, or both.
    Translate(SteConfig),
}

/// The translating part of an STE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SteConfig {
    pub stage1: Option<Stage1Config>,
    pub stage2: Option<Stage2>,
    pub overrides: Overrides,
    /// EATS as it stands: whether it is in effect depends on CR0.ATSCHK.
    pub eats: u8,
}

/// Memory attributes of traffic that no stage 1 translates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Incoming {
    /// As a MAIR byte.
    pub attributes: u8,
    /// As in a descriptor.
    pub shareability: u8,
}

impl Incoming {
    /// What every requester sends: write-back, inner shareable.
    pub const PLAIN: Self = Self { attributes: 0xff, shareability: 3 };

    /// The same as MemAttr (if MTCFG says so) and SHCFG of an STE or of GBPA replace it.
    pub fn replaced(memory_type: Option<u8>, shcfg: u8) -> Self {
        let attributes = memory_type.map_or(Self::PLAIN.attributes, |memattr| combine_attributes(0xff, memattr & 0xf));
        // 1: as it came.
        let shareability = if shcfg == 1 { Self::PLAIN.shareability } else { shcfg };
        Self { attributes, shareability }
    }
}

impl Default for Incoming {
    fn default() -> Self {
        Self::PLAIN
    }
}

/// What an STE says about a transaction and its records whatever its stages are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Overrides {
    pub privileged: Option<bool>,
    pub instruction: Option<bool>,
    pub incoming: Incoming,
    /// MEV: records may be merged.
    pub merges: bool,
}

impl Overrides {
    /// None, and no merging.
    pub const NONE: Self = Self { privileged: None, instruction: None, incoming: Incoming::PLAIN, merges: false };

    /// True if the transaction goes on as it came, but for attributes that stage 1 would replace anyway.
    pub fn changes_nothing(&self) -> bool {
        self.privileged.is_none() && self.instruction.is_none()
    }
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

/// The CD by which a transaction goes, or why it goes by none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CdChoice {
    Index(u32),
    /// Stage 1 is bypassed.
    NoStage1,
    /// F_STREAM_DISABLED.
    Disabled,
    /// C_BAD_SUBSTREAMID.
    BadSubstream(SubstreamId),
}

/// The stage 1 part of an STE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stage1Config {
    /// CD, CD table or level-1 CD table, aligned to its size.
    pub table_base: u64,
    /// Log2 of the number of CDs; 0: no substreams.
    pub cd_max: u32,
    pub table: CdTable,
    pub default_substream: DefaultSubstream,
    /// STRW code.
    pub world: u8,
    pub vmid: u16,
    pub stall_disabled: bool,
}

impl Stage1Config {
    /// Chooses the CD of traffic with this SubstreamID, or with none.
    #[inline(always)]
    pub fn choose(&self, substream: Option<SubstreamId>) -> CdChoice {
        match substream {
            Some(ssid) if self.cd_max == 0 || ssid.0 >> self.cd_max != 0 => CdChoice::BadSubstream(ssid),
            Some(SubstreamId(0)) if self.default_substream == DefaultSubstream::Ssid0 => CdChoice::Disabled,
            Some(ssid) => CdChoice::Index(ssid.0),
            None if self.cd_max == 0 => CdChoice::Index(0),
            None => match self.default_substream {
                DefaultSubstream::Terminate => CdChoice::Disabled,
                DefaultSubstream::Bypass => CdChoice::NoStage1,
                DefaultSubstream::Ssid0 => CdChoice::Index(0),
            },
        }
    }
}

impl SteAction {
    /// Decodes an STE under CR2.E2H and what the implementation advertises.
    pub fn decode(words: &SteWords, e2h: bool, f: &Features) -> Self {
        let [dw0, dw1, dw2, dw3] = *words;
        if !STE_DW0::V.is_set(dw0) {
            return Self::Illegal;
        }
        let overrides = overrides(dw1, f);
        match STE_DW0::CONFIG.read(dw0) {
            0..=3 => Self::Abort,
            4 => Self::Bypass(overrides),
            config => match translating(config, [dw0, dw1, dw2, dw3], overrides, f) {
                None => Self::Illegal,
                Some(mut config) => {
                    if let Some(stage1) = &mut config.stage1
                        && stage1.world == world::EL2
                        && e2h
                    {
                        stage1.world = world::EL2_E2H;
                    }
                    Self::Translate(config)
                }
            },
        }
    }
}

/// `None` if ILLEGAL. `config` is 5, 6 or 7.
fn translating(config: u64, [dw0, dw1, dw2, dw3]: SteWords, overrides: Overrides, f: &Features) -> Option<SteConfig> {
    let (wants1, wants2) = (config & 1 != 0, config & 2 != 0);
    if wants1 && !f.s1p || wants2 && !f.s2p {
        return None;
    }
    let stage2 = if wants2 { Some(Stage2 { incoming: overrides.incoming, ..Stage2::decode(dw1, dw2, dw3, f)? }) } else { None };
    let stage1 = if wants1 { Some(stage1(dw0, dw1, dw2, wants2, f)?) } else { None };
    let eats = if f.ats { STE_DW1::EATS.read(dw1) as u8 } else { 0 };
    let stage2_stalls = stage2.is_some_and(|s2| s2.stall);
    let eats_is_legal = match eats {
        1 => !stage2_stalls,
        2 => config == 7 && !stage2_stalls && !f.ns1ats,
        _ => true,
    };
    eats_is_legal.then_some(SteConfig { stage1, stage2, overrides, eats })
}

fn overrides(dw1: u64, f: &Features) -> Overrides {
    let merges = STE_DW1::MEV.is_set(dw1);
    let incoming = if f.types_override {
        let memory_type = STE_DW1::MTCFG.is_set(dw1).then(|| STE_DW1::MEMATTR.read(dw1) as u8);
        Incoming::replaced(memory_type, STE_DW1::SHCFG.read(dw1) as u8)
    } else {
        Incoming::PLAIN
    };
    if !f.perms_override {
        return Overrides { incoming, merges, ..Overrides::NONE };
    }
    let two_way = |code| match code {
        2 => Some(false),
        3 => Some(true),
        _ => None,
    };
    let (privileged, instruction) = (two_way(STE_DW1::PRIVCFG.read(dw1)), two_way(STE_DW1::INSTCFG.read(dw1)));
    Overrides { privileged, instruction, incoming, merges }
}

/// `None` if ILLEGAL.
fn stage1(dw0: u64, dw1: u64, dw2: u64, is_nested: bool, f: &Features) -> Option<Stage1Config> {
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
    // Nested, the pointer is an intermediate address: stage 2 refuses what is beyond its range.
    if !is_nested && f.beyond_oas(context_ptr) {
        return None;
    }
    let world = if f.hyp && !is_nested { STE_DW1::STRW.read(dw1) as u8 } else { world::EL1 };
    if world & 1 == 1 {
        return None;
    }
    let stall_disabled = STE_DW1::S1STALLD.is_set(dw1);
    if stall_disabled && f.stall_model != StallModel::Both {
        return None;
    }
    // The VMID tags stage-1-only EL1 translations where stage 2 exists, and is not looked at where it does not.
    let vmid = if f.s2p && world == world::EL1 { STE_DW2::S2VMID.read(dw2) as u16 } else { 0 };
    if vmid > 0xff && !f.vmid16 {
        return None;
    }
    let default_substream = match STE_DW1::S1DSS.read(dw1) {
        1 => DefaultSubstream::Bypass,
        2 => DefaultSubstream::Ssid0,
        _ => DefaultSubstream::Terminate,
    };
    let table_bytes = match table {
        CdTable::Linear => CD_BYTES << cd_max,
        CdTable::TwoLevel(split) => (L1CD_BYTES << cd_max.saturating_sub(split)).max(64),
    };
    let table_base = context_ptr & !(table_bytes - 1);
    Some(Stage1Config { table_base, cd_max, table, default_substream, world, vmid, stall_disabled })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;

    const GOOD: SteWords = [0x8000_0000_4800_002b, 0xd6, 0, 0];

    fn decode(words: SteWords, profile: Profile) -> SteAction {
        SteAction::decode(&words, false, &Features::of(&profile.ids))
    }

    fn stage1_of(action: SteAction) -> Option<Stage1Config> {
        match action {
            SteAction::Translate(config) => config.stage1,
            _ => None,
        }
    }

    #[test]
    fn every_config_code() {
        let f = |config: u64| decode([1 | config << 1, 0, 0, 0], Profile::STALL_S1);
        for config in 0..4 {
            assert_eq!(f(config), SteAction::Abort);
        }
        assert_eq!(f(4), SteAction::Bypass(Overrides::default()));
        assert!(stage1_of(f(5)).is_some());
        assert_eq!((f(6), f(7)), (SteAction::Illegal, SteAction::Illegal), "stage 2 without IDR0.S2P");
        assert_eq!(decode([0xb & !1, 0, 0, 0], Profile::STALL_S1), SteAction::Illegal, "V = 0");
    }

    #[test]
    fn golden_table_decodes() {
        let s1 = stage1_of(decode(GOOD, Profile::STALL_S1)).expect("stage 1");
        assert_eq!((s1.table_base, s1.cd_max, s1.table), (0x4800_0000, 16, CdTable::TwoLevel(10)));
        assert_eq!(s1.default_substream, DefaultSubstream::Ssid0);
    }

    #[test]
    fn s1cdmax_above_ssidsize_is_illegal() {
        let [dw0, dw1, ..] = GOOD;
        assert_eq!(decode([dw0 & !(31 << 59) | 17 << 59, dw1, 0, 0], Profile::STALL_S1), SteAction::Illegal);
        let mut narrow = Profile::STALL_S1;
        narrow.ids.idr1 &= !(0x1f << 6);
        assert!(stage1_of(decode(GOOD, narrow)).is_some_and(|s1| s1.cd_max == 0), "not looked at without SubstreamIDs");
    }

    #[test]
    fn s1fmt_two_level_needs_cd2l_and_3_acts_as_linear() {
        let mut no_cd2l = Profile::STALL_S1;
        no_cd2l.ids.idr0 &= !(1 << 19);
        assert_eq!(decode(GOOD, no_cd2l), SteAction::Illegal);
        let [dw0, ..] = GOOD;
        let fmt3 = decode([dw0 | 3 << 4, 0xd6, 0, 0], no_cd2l);
        assert!(stage1_of(fmt3).is_some_and(|s1| s1.table == CdTable::Linear));
    }

    #[test]
    fn s1contextptr_beyond_oas_is_illegal() {
        assert_eq!(decode([0xb | 1 << 48, 0xd6, 0, 0], Profile::STALL_S1), SteAction::Illegal);
        assert!(stage1_of(decode([0xb | 1 << 48, 0xd6, 0, 0], Profile::STALL_S1.with_oas(6))).is_some());
    }

    #[test]
    fn s1stalld_needs_both_stall_models() {
        assert!(stage1_of(decode([0xb, 0xd6 | 1 << 27, 0, 0], Profile::STALL_S1)).is_some_and(|s1| s1.stall_disabled));
        assert_eq!(decode([0xb, 0xd6 | 1 << 27, 0, 0], Profile::QEMU72), SteAction::Illegal);
        assert_eq!(decode([9, 1 << 27, 0, 0], Profile::QEMU72), SteAction::Bypass(Overrides::default()), "ignored with stage 1 off");
    }

    #[test]
    fn strw_and_vmid_are_not_looked_at_without_their_features() {
        assert!(stage1_of(decode([0xb, 1 << 30, 0xffff, 0], Profile::STALL_S1)).is_some_and(|s1| s1.world == 0 && s1.vmid == 0));
        let both = Profile::STALL;
        assert_eq!(decode([0xb, 1 << 30, 0, 0], both), SteAction::Illegal, "STRW = 1");
        assert_eq!(decode([0xb, 3 << 30, 0, 0], both), SteAction::Illegal, "STRW = 3");
        assert!(stage1_of(decode([0xb, 0, 0x123, 0], both)).is_some_and(|s1| s1.vmid == 0x123));
        let mut vmid8 = both;
        vmid8.ids.idr0 &= !(1 << 18);
        assert_eq!(decode([0xb, 0, 0x123, 0], vmid8), SteAction::Illegal, "VMID above 8 bits");
    }

    /// Stage 2 as in the tests of stage 2.
    const S2: [u64; 2] = [0x040d_3558_0000_0005, 0x5000_0000];

    #[test]
    fn ste_config_6_and_7_need_stage_2_and_config_7_stage_1() {
        for config in [6, 7] {
            let words = [1 | config << 1, 0, S2[0], S2[1]];
            let SteAction::Translate(c) = decode(words, Profile::STALL) else { panic!("Config {config}") };
            assert_eq!((c.stage1.is_some(), c.stage2.is_some()), (config == 7, true));
            assert_eq!(decode(words, Profile::STALL_S1), SteAction::Illegal);
        }
        let mut only_s2 = Profile::STALL;
        only_s2.ids.idr0 &= !(1 << 1 | 1 << 9);
        assert!(matches!(decode([0xd, 0, S2[0], S2[1]], only_s2), SteAction::Translate(_)));
        assert_eq!(decode([0xf, 0, S2[0], S2[1]], only_s2), SteAction::Illegal);
        assert_eq!(decode([0xb, 0, 0, 0], only_s2), SteAction::Illegal, "IDR0.S1P = 0");
    }

    #[test]
    fn nested_strw_is_ignored_and_the_table_pointer_is_an_intermediate_address() {
        let nested = [0xf | 1 << 50, 3 << 30, S2[0], S2[1]];
        assert!(stage1_of(decode(nested, Profile::STALL)).is_some_and(|s1| s1.world == 0 && s1.vmid == 5));
    }

    #[test]
    fn ste_eats_1_with_s2s_is_illegal() {
        let mut ats = Profile::STALL;
        ats.ids.idr0 |= 1 << 10;
        let eats = |code: u64| code << 28;
        let stalling = S2[0] | 1 << 57;
        assert_eq!(decode([0xd, eats(1), stalling, S2[1]], ats), SteAction::Illegal);
        assert!(matches!(decode([0xd, eats(1), S2[0], S2[1]], ats), SteAction::Translate(c) if c.eats == 1));
        assert!(matches!(decode([0xd, eats(1), stalling, S2[1]], Profile::STALL), SteAction::Translate(c) if c.eats == 0), "no ATS");
    }

    #[test]
    fn ste_eats_2_needs_nesting_without_s2s_and_ns1ats_0() {
        let mut ats = Profile::STALL;
        ats.ids.idr0 |= 1 << 10;
        let split = 2 << 28;
        assert!(matches!(decode([0xf, split, S2[0], S2[1]], ats), SteAction::Translate(c) if c.eats == 2));
        assert_eq!(decode([0xb, split, 0, 0], ats), SteAction::Illegal, "stage 1 only");
        assert_eq!(decode([0xd, split, S2[0], S2[1]], ats), SteAction::Illegal, "stage 2 only");
        assert_eq!(decode([0xf, split, S2[0] | 1 << 57, S2[1]], ats), SteAction::Illegal, "S2S = 1");
        ats.ids.idr0 |= 1 << 11;
        assert_eq!(decode([0xf, split, S2[0], S2[1]], ats), SteAction::Illegal, "IDR0.NS1ATS = 1");
    }

    #[test]
    fn permission_overrides_need_their_feature() {
        let words = [9, 1 << 44 | 2 << 48 | 3 << 50, 0, 0];
        assert_eq!(decode(words, Profile::STALL_S1), SteAction::Bypass(Overrides::default()));
        let both = Overrides { privileged: Some(false), instruction: Some(true), ..Overrides::NONE };
        assert_eq!(decode(words, Profile::OVERRIDES), SteAction::Bypass(both));
        let incoming = |code: u64| decode([9, 1 << 44 | code << 48 | code << 50, 0, 0], Profile::OVERRIDES);
        assert_eq!([0, 1].map(incoming), [SteAction::Bypass(Overrides::NONE); 2], "0 and 1 both mean: as it came");
    }

    #[test]
    fn memory_types_of_overrides_are_those_of_stage_2_descriptors() {
        let incoming = |memattr: u64, shcfg: u64| match decode([9, memattr << 32 | 1 << 36 | shcfg << 44, 0, 0], Profile::OVERRIDES) {
            SteAction::Bypass(overrides) => (overrides.incoming.attributes, overrides.incoming.shareability),
            _ => panic!("bypass"),
        };
        // nGnRnE, nGnRE, nGRE, GRE; then outer 3:2 and inner 1:0: 1 non-cacheable, 2 write-through, 3 write-back.
        assert_eq!([0, 1, 2, 3].map(|m| incoming(m, 0)), [(0, 0), (4, 0), (8, 0), (0xc, 0)]);
        assert_eq!([5, 0xa, 0xf, 7, 0xd].map(|m| incoming(m, 1)), [(0x44, 3), (0xbb, 3), (0xff, 3), (0x4f, 3), (0xf4, 3)]);
        assert_eq!([2, 3].map(|s| incoming(0xf, s)), [(0xff, 2), (0xff, 3)]);
    }
}
