//! What a Context descriptor asks for (IHI 0070 5.4).

use smmu_spec::cd::{CD_DW0, CD_DW1, CD_DW2};
use smmu_spec::descriptor::Granule;
use smmu_spec::regs::address_bits;

use crate::profile::{Features, StallModel};
use crate::stream::Stage1Config;
use crate::tlb::{Tag, world};
use crate::walk::{Tables, rule};

/// Words of a CD that some implemented feature looks at.
pub(crate) type CdWords = [u64; 4];

/// One half of the input address space: TTB0 or TTB1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Half {
    pub tables: Tables,
    /// Bits that show that an address, or the complement of one of the upper half, is out of range; none while walks are disabled.
    pub outside: u64,
    pub walks_disabled: bool,
    pub top_byte_ignored: bool,
    pub unprivileged_forbidden: bool,
}

/// A legal CD, ready for use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Context {
    pub halves: [Half; 2],
    /// Owner of the translations.
    pub tag: Tag,
    pub mair: u64,
    pub access_flag_ignored: bool,
    /// WXN, PAN, EPAN and the world, as bits of `walk::rule`.
    pub rules: u8,
    pub update_access: bool,
    pub update_dirty: bool,
    pub stall: bool,
    pub record: bool,
    pub abort: bool,
}

impl Context {
    /// Decodes a CD reached through `ste`; `None` if ILLEGAL (C_BAD_CD).
    pub fn decode(words: &CdWords, ste: &Stage1Config, f: &Features) -> Option<Self> {
        let [dw0, dw1, dw2, mair] = *words;
        if !CD_DW0::V.is_set(dw0) || !CD_DW0::AA64.is_set(dw0) {
            return None;
        }
        let stall = CD_DW0::S.is_set(dw0);
        let stall_is_legal = match f.stall_model {
            StallModel::Both => !(stall && ste.stall_disabled),
            StallModel::TerminateOnly => !stall,
            StallModel::Forced => stall,
        };
        let abort = CD_DW0::A.is_set(dw0);
        let asid = CD_DW0::ASID.read(dw0) as u16;
        let (ha, hd) = (CD_DW0::HA.is_set(dw0), CD_DW0::HD.is_set(dw0));
        // The plain EL2 world has TTB0 only and ignores EPDx, ASID and PAN.
        let el2 = ste.world == world::EL2;
        let is_legal = stall_is_legal
            && (abort || !f.term_model)
            && (asid <= 0xff || f.asid16 || el2)
            && (!ha || f.httu >= 1)
            && (!hd || f.httu >= 2)
            && (f.httu < 3 || ha || !CD_DW1::HAFT.is_set(dw1));
        if !is_legal {
            return None;
        }
        let output_bits = address_bits(CD_DW0::IPS.read(dw0) as u32).min(f.oas_bits);
        let halves = [
            RawHalf {
                walks_disabled: CD_DW0::EPD0.is_set(dw0) && !el2,
                size: CD_DW0::T0SZ.read(dw0) as u32,
                granule: Granule::from_tg0(CD_DW0::TG0.read(dw0)),
                table: CD_DW1::TTB0.read(dw1) << 4,
                top_byte_ignored: CD_DW0::TBI0.is_set(dw0),
                unprivileged_forbidden: f.e0pd && !el2 && CD_DW1::E0PD0.is_set(dw1),
                hierarchy_ignored: f.had && CD_DW1::HAD0.is_set(dw1),
            },
            RawHalf {
                walks_disabled: CD_DW0::EPD1.is_set(dw0) || el2,
                size: CD_DW0::T1SZ.read(dw0) as u32,
                granule: Granule::from_tg1(CD_DW0::TG1.read(dw0)),
                table: CD_DW2::TTB1.read(dw2) << 4,
                top_byte_ignored: CD_DW0::TBI1.is_set(dw0),
                unprivileged_forbidden: f.e0pd && CD_DW2::E0PD1.is_set(dw2),
                hierarchy_ignored: f.had && CD_DW2::HAD1.is_set(dw2),
            },
        ];
        let big_endian = CD_DW0::ENDI.is_set(dw0);
        let endian_is_legal = match f.ttendian {
            2 => !big_endian,
            3 => big_endian,
            _ => true,
        };
        if !endian_is_legal && halves.iter().any(|h| !h.walks_disabled) {
            return None;
        }
        let tag = Tag::of_asid(ste.world, ste.vmid, if el2 { 0 } else { asid }, CD_DW0::ASET.is_set(dw0));
        Some(Self {
            halves: [halves[0].check(tag, output_bits, f)?, halves[1].check(tag, output_bits, f)?],
            tag,
            mair,
            access_flag_ignored: CD_DW0::AFFD.is_set(dw0),
            rules: if CD_DW0::WXN.is_set(dw0) { rule::WXN } else { 0 }
                | if CD_DW0::PAN.is_set(dw0) { rule::PAN } else { 0 }
                | if f.epan && CD_DW1::EPAN.is_set(dw1) { rule::EPAN } else { 0 }
                | if el2 { rule::PLAIN_EL2 } else { 0 },
            update_access: ha,
            update_dirty: hd && ha,
            stall,
            record: CD_DW0::R.is_set(dw0),
            abort,
        })
    }
}

/// One half as its fields stand.
struct RawHalf {
    walks_disabled: bool,
    size: u32,
    granule: Option<Granule>,
    table: u64,
    top_byte_ignored: bool,
    unprivileged_forbidden: bool,
    hierarchy_ignored: bool,
}

impl RawHalf {
    /// `None` if ILLEGAL. Nothing but the walk disable is looked at while it is set.
    fn check(&self, tag: Tag, output_bits: u32, f: &Features) -> Option<Half> {
        let Self { walks_disabled, top_byte_ignored, unprivileged_forbidden, hierarchy_ignored, .. } = *self;
        let half = |tables, outside| Half { tables, outside, walks_disabled, top_byte_ignored, unprivileged_forbidden };
        if walks_disabled {
            return Some(half(Tables::none(tag), 0));
        }
        let granule = self.granule.filter(|g| f.has_granule(*g))?;
        let smallest = if f.vax && granule == Granule::Kib64 { 12 } else { 16 };
        let largest = match (f.stt, granule) {
            (false, _) => 39,
            (true, Granule::Kib64) => 47,
            (true, _) => 48,
        };
        if !(smallest..=largest).contains(&self.size) {
            return None;
        }
        let input_bits = 64 - self.size;
        let start_level = granule.start_level(input_bits);
        let tables = Tables::new(tag, self.table, (input_bits, start_level), granule, output_bits, hierarchy_ignored)?;
        Some(half(tables, u64::MAX << input_bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use crate::stream::{CdTable, DefaultSubstream};

    const SVA: CdWords = [0x0007_7204_c000_3519, 0x4400_0000, 0, 0xff];

    fn ste() -> Stage1Config {
        Stage1Config {
            table_base: 0,
            cd_max: 0,
            table: CdTable::Linear,
            default_substream: DefaultSubstream::Ssid0,
            world: 0,
            vmid: 0,
            stall_disabled: false,
        }
    }

    fn decode_for(dw0: u64, profile: Profile) -> Option<Context> {
        Context::decode(&[dw0, SVA[1], SVA[2], SVA[3]], &ste(), &Features::of(&profile.ids))
    }

    fn is_legal(dw0: u64) -> bool {
        decode_for(dw0, Profile::STALL_S1).is_some()
    }

    #[test]
    fn golden_sva_descriptor_decodes() {
        let context = decode_for(SVA[0], Profile::STALL_S1).expect("legal");
        let tables = Tables::new(context.tag, 0x4400_0000, (39, 1), Granule::Kib4, 44, false);
        assert_eq!((Some(context.halves[0].tables), context.halves[0].outside), (tables, !0x7f_ffff_ffff));
        assert!(context.stall && context.record && context.abort && context.halves[1].walks_disabled);
        assert_eq!(context.tag.asid(), 7);
    }

    #[test]
    fn the_upper_half_has_the_same_rules_and_only_while_it_is_walked() {
        let f = Features::of(&Profile::STALL_S1.ids);
        // T1SZ 25, 4 KiB; IPS of 44 bits.
        let upper = SVA[0] & !(1 << 30) | 25 << 16 | 2 << 22;
        let with = |dw0: u64, ttb1: u64| Context::decode(&[dw0, SVA[1], ttb1, 0], &ste(), &f).is_some();
        for tsz in 0..64 {
            assert_eq!(with(upper & !(0x3f << 16) | tsz << 16, 0), (16..=39).contains(&tsz), "T1SZ {tsz}");
            assert!(with(upper & !(0x3f << 16) | tsz << 16 | 1 << 30, 0), "EPD1 with T1SZ {tsz}");
        }
        assert!(with(upper, 1 << 43) && !with(upper, 1 << 44) && with(upper | 1 << 30, 1 << 44));
        assert!([1, 2, 3].iter().all(|tg1| with(upper & !(3 << 22) | tg1 << 22, 0)));
        assert!(Context::decode(&[upper, SVA[1], 1 << 44, 0], &Stage1Config { world: world::EL2, ..ste() }, &f).is_some(), "no such half");
    }

    #[test]
    fn v_0_and_aa64_0_are_illegal() {
        assert!(!is_legal(SVA[0] & !(1 << 31)));
        assert!(!is_legal(SVA[0] & !(1 << 41)));
    }

    #[test]
    fn t0sz_outside_16_to_39_is_illegal_unless_epd0() {
        let with = |tsz: u64| SVA[0] & !0x3f | tsz;
        for tsz in 0..64 {
            assert_eq!(is_legal(with(tsz)), (16..=39).contains(&tsz), "T0SZ {tsz}");
            assert!(is_legal(with(tsz) | 1 << 14), "EPD0 with T0SZ {tsz}");
        }
        let mut stt = Profile::STALL_S1;
        stt.ids.idr3 |= 1 << 9;
        assert!(decode_for(with(48), stt).is_some() && decode_for(with(49), stt).is_none());
        let tg64 = |tsz: u64| with(tsz) | 1 << 6;
        assert!(decode_for(tg64(47), stt).is_some() && decode_for(tg64(48), stt).is_none());
        let mut vax = Profile::STALL_S1;
        vax.ids.idr5 |= 1 << 10;
        assert!(decode_for(tg64(12), vax).is_some() && decode_for(tg64(11), vax).is_none());
        assert!(decode_for(with(15), vax).is_none(), "52-bit addresses need the 64 KiB granule");
    }

    #[test]
    fn reserved_and_missing_granules_are_illegal() {
        assert!(!is_legal(SVA[0] | 3 << 6));
        assert!(is_legal(SVA[0] | 2 << 6));
        let ids = Profile::QEMU72;
        let no_stall = (SVA[0] & !(1 << 44)) | 2 << 6;
        assert!(decode_for(no_stall, ids).is_some());
        assert!(decode_for(no_stall & !(3 << 6) | 1 << 6, Profile::MIN).is_none(), "MIN has the 4 KiB granule only");
    }

    #[test]
    fn tg1_0_is_reserved() {
        let ttb1 = SVA[0] & !(1 << 30) | 25 << 16;
        assert!(!is_legal(ttb1));
        assert!(is_legal(ttb1 | 2 << 22));
    }

    #[test]
    fn stall_bit_follows_the_model_and_s1stalld() {
        let f = Features::of(&Profile::STALL_S1.ids);
        assert!(Context::decode(&SVA, &Stage1Config { stall_disabled: true, ..ste() }, &f).is_none());
        assert!(decode_for(SVA[0], Profile::QEMU72).is_none(), "S = 1 with STALL_MODEL = 1");
        let mut forced = Profile::STALL_S1;
        forced.ids.idr0 = forced.ids.idr0 & !(3 << 24) | 2 << 24;
        assert!(decode_for(SVA[0] & !(1 << 44), forced).is_none(), "S = 0 with STALL_MODEL = 2");
        assert!(decode_for(SVA[0], forced).is_some());
    }

    #[test]
    fn a_0_is_illegal_under_term_model() {
        let no_abort = SVA[0] & !(1 << 46) & !(1 << 44);
        assert!(is_legal(no_abort));
        assert!(decode_for(no_abort, Profile::QEMU72).is_none());
    }

    #[test]
    fn ha_and_hd_need_httu() {
        let ha = SVA[0] & !(1 << 44) | 1 << 43;
        let hd = ha & !(1 << 43) | 1 << 42;
        assert!(decode_for(ha, Profile::QEMU72).is_none() && decode_for(hd, Profile::QEMU72).is_none());
        assert!(is_legal(ha) && is_legal(hd));
        assert!(!decode_for(hd, Profile::STALL_S1).expect("legal").update_dirty, "HD without HA is off");
        let mut access_only = Profile::STALL_S1;
        access_only.ids.idr0 = access_only.ids.idr0 & !(3 << 6) | 1 << 6;
        assert!(decode_for(ha, access_only).is_some() && decode_for(hd, access_only).is_none());
    }

    #[test]
    fn haft_without_ha_is_illegal_where_it_exists() {
        let f = |profile: Profile| Features::of(&profile.ids);
        let mut tables = Profile::STALL_S1;
        tables.ids.idr0 |= 3 << 6;
        let haft = |dw0, profile| Context::decode(&[dw0, SVA[1] | 1 << 3, 0, 0], &ste(), &f(profile)).is_some();
        assert!(haft(SVA[0], Profile::STALL_S1), "not looked at with HTTU = 2");
        assert!(!haft(SVA[0], tables) && haft(SVA[0] | 1 << 43, tables));
    }

    #[test]
    fn asid_above_8_bits_needs_asid16() {
        let wide = SVA[0] | 0x0100_0000_0000_0000;
        assert!(is_legal(wide));
        let mut asid8 = Profile::STALL_S1;
        asid8.ids.idr0 &= !(1 << 12);
        assert!(decode_for(wide, asid8).is_none() && decode_for(SVA[0], asid8).is_some());
    }

    #[test]
    fn the_plain_el2_world_looks_at_no_asid() {
        let mut asid8 = Profile::STALL;
        asid8.ids.idr0 &= !(1 << 12);
        let of = |world| {
            let words = [SVA[0] | 0x0100_0000_0000_0000, SVA[1], SVA[2], SVA[3]];
            Context::decode(&words, &Stage1Config { world, ..ste() }, &Features::of(&asid8.ids))
        };
        assert!(of(world::EL2).is_some_and(|context| context.tag.asid() == 0));
        assert!(of(world::EL2_E2H).is_none(), "it has ASIDs");
    }

    #[test]
    fn big_endian_tables_need_their_feature_unless_no_half_walks() {
        assert!(!is_legal(SVA[0] | 1 << 15));
        assert!(is_legal(SVA[0] | 1 << 15 | 1 << 14));
    }

    #[test]
    fn ttb0_beyond_the_output_size_is_illegal() {
        let f = Features::of(&Profile::STALL_S1.ids);
        assert!(Context::decode(&[SVA[0], 1 << 44, 0, 0], &ste(), &f).is_none(), "IPS is 44 bits");
        let ips48 = SVA[0] & !(7 << 32) | 5 << 32;
        assert!(Context::decode(&[ips48, 1 << 44, 0, 0], &ste(), &f).is_some());
        let wide = Features::of(&Profile::STALL_S1.with_oas(6).ids);
        let ips52 = SVA[0] & !(7 << 32) | 6 << 32;
        assert!(Context::decode(&[ips52, 1 << 48, 0, 0], &ste(), &wide).is_none(), "4 KiB granule stops at 48 bits");
        assert!(Context::decode(&[ips52 | 1 << 6, 1 << 48, 0, 0], &ste(), &wide).is_some(), "64 KiB granule reaches 52");
    }
}
