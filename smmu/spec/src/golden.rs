//! Golden words: every field of every structure and queue entry, both ways.
//!
//! Each literal was worked out from the bit ranges of the facts, outside of this program, with values in which neighbouring fields differ; each
//! layout appears twice, the second time with the bits turned round. Register words and whole entries stand beside their definitions.

use hal::{StallTag, StreamId, SubstreamId};

use crate::{
    cd::*,
    command::*,
    event::*,
    pri::{PRI_DW0, PRI_DW1, PageRequest},
    ste::*,
};

macro_rules! golden {
    ($layout:ident: $word:literal = $($field:ident $value:literal),* $(,)?) => {{
        let encoded = 0_u64 $(| $layout::$field.val($value).value)*;
        assert_eq!(encoded, $word, "{} encodes", stringify!($layout));
        $(assert_eq!($layout::$field.read($word), $value, "{}.{} decodes", stringify!($layout), stringify!($field));)*
    }};
}

#[test]
fn sm_c19_stream_table_words_both_ways() {
    golden!(L1STD: 0x00bb_cdcb_fa53_e095 = SPAN 0x15, L2PTR 0x2ef372fe94f82);
    golden!(L1STD: 0x0044_3234_05ac_1f4a = SPAN 0xa, L2PTR 0x110c8d016b07d);
    golden!(STE_DW0: 0x38c6_ef37_2fe9_4f94 = V 0, CONFIG 2, S1FMT 1, S1CONTEXTPTR 0x31bbcdcbfa53e, S1CDMAX 7);
    golden!(STE_DW0: 0xc039_10c8_d016_b06b = V 1, CONFIG 5, S1FMT 2, S1CONTEXTPTR 0xe44323405ac1, S1CDMAX 0x18);
    golden!(STE_DW1: 0x0005_51c6_a55a_5799 = S1DSS 1, S1CIR 2, S1COR 1, S1CSH 2, S2HWU 7, DRE 1, CONT 2, DCP 1, PPAR 0, MEV 1, SW 5, S1PIE 1, S2FWB 0, S1MPAM 1, S1STALLD 0, EATS 2, STRW 2, MEMATTR 6, MTCFG 0, ALLOCCFG 0xe, SHCFG 1, NSCFG 1, PRIVCFG 1, INSTCFG 1);
    golden!(STE_DW1: 0x000a_a039_5aa5_a866 = S1DSS 2, S1CIR 1, S1COR 2, S1CSH 1, S2HWU 8, DRE 0, CONT 0xd, DCP 0, PPAR 1, MEV 0, SW 0xa, S1PIE 0, S2FWB 1, S1MPAM 0, S1STALLD 1, EATS 1, STRW 1, MEMATTR 9, MTCFG 1, ALLOCCFG 1, SHCFG 2, NSCFG 2, PRIVCFG 2, INSTCFG 2);
    golden!(STE_DW2: 0x9552_9a42_0000_7c15 = S2VMID 0x7c15, S2T0SZ 2, S2SL0 1, S2IR0 2, S2OR0 2, S2SH0 1, S2TG 2, S2PS 2, S2AA64 0, S2ENDI 1, S2AFFD 0, S2PTW 1, S2HD 0, S2HA 1, S2S 0, S2R 1, S2HAFT 0, S2PIE 1, S2POE 0, DPT_VMATCH 2);
    golden!(STE_DW2: 0x6aad_65bd_0000_83ea = S2VMID 0x83ea, S2T0SZ 0x3d, S2SL0 2, S2IR0 1, S2OR0 1, S2SH0 2, S2TG 1, S2PS 5, S2AA64 1, S2ENDI 0, S2AFFD 1, S2PTW 0, S2HD 1, S2HA 0, S2S 1, S2R 0, S2HAFT 1, S2PIE 0, S2POE 1, DPT_VMATCH 1);
    golden!(STE_DW3: 0x009e_3779_b97f_4a7a = S2NSW 0, S2NSA 1, S2SL0_2 0, S2DS 1, S2TTB 0x9e3779b97f4a7);
    golden!(STE_DW3: 0x0061_c886_4680_b585 = S2NSW 1, S2NSA 0, S2SL0_2 1, S2DS 0, S2TTB 0x61c8864680b58);
    golden!(STE_DW4: 0x0000_0000_7c15_0000 = PARTID 0x7c15);
    golden!(STE_DW4: 0x0000_0000_83ea_0000 = PARTID 0x83ea);
    golden!(STE_DW5: 0x00f3_72fe_94f8_2015 = PMG 0x15, VMSPTR 0xf372fe94f82);
    golden!(STE_DW5: 0x000c_8d01_6b07_d0ea = PMG 0xea, VMSPTR 0xc8d016b07d);
}

#[test]
fn sm_c19_context_words_both_ways() {
    golden!(L1CD: 0x00f3_72fe_94f8_2000 = V 0, L2PTR 0xf372fe94f82);
    golden!(L1CD: 0x000c_8d01_6b07_d001 = V 1, L2PTR 0xc8d016b07d);
    golden!(CD_DW0: 0x0001_aaae_96ba_6995 = T0SZ 0x15, TG0 2, IR0 1, OR0 2, SH0 2, EPD0 1, ENDI 0, T1SZ 0x3a, TG1 2, IR1 2, OR1 1, SH1 1, EPD1 0, V 1, IPS 6, AFFD 1, WXN 0, UWXN 1, TBI0 0, TBI1 1, PAN 0, AA64 1, HD 0, HA 1, S 0, R 1, A 0, ASET 1, ASID 1);
    golden!(CD_DW0: 0xfffe_5551_6945_966a = T0SZ 0x2a, TG0 1, IR0 2, OR0 1, SH0 1, EPD0 0, ENDI 1, T1SZ 5, TG1 1, IR1 1, OR1 2, SH1 2, EPD1 1, V 0, IPS 1, AFFD 0, WXN 1, UWXN 0, TBI0 1, TBI1 0, PAN 1, AA64 0, HD 1, HA 0, S 1, R 0, A 1, ASET 0, ASID 0xfffe);
    golden!(CD_DW1: 0xa40e_3779_b97f_4a7a = NSCFG0 0, HAD0 1, E0PD0 0, HAFT 1, TTB0 0xe3779b97f4a7, PNCH 1, EPAN 0, HWU0 0xa);
    golden!(CD_DW1: 0x5801_c886_4680_b585 = NSCFG0 1, HAD0 0, E0PD0 1, HAFT 0, TTB0 0x1c8864680b58, PNCH 0, EPAN 1, HWU0 5);
    golden!(CD_DW2: 0xa40e_3779_b97f_4a7a = NSCFG1 0, HAD1 1, E0PD1 0, AIE 1, TTB1 0xe3779b97f4a7, DS 1, PIE 0, HWU1 0xa);
    golden!(CD_DW2: 0x5801_c886_4680_b585 = NSCFG1 1, HAD1 0, E0PD1 1, AIE 0, TTB1 0x1c8864680b58, DS 0, PIE 1, HWU1 5);
    golden!(CD_DW3: 0x2fe9_4f82_7f4a_7c15 = MAIR0 0x7f4a7c15, MAIR1 0x2fe94f82);
    golden!(CD_DW3: 0xd016_b07d_80b5_83ea = MAIR0 0x80b583ea, MAIR1 0xd016b07d);
    golden!(CD_DW4: 0x2fe9_4f82_7f4a_7c15 = AMAIR0 0x7f4a7c15, AMAIR1 0x2fe94f82);
    golden!(CD_DW4: 0xd016_b07d_80b5_83ea = AMAIR0 0x80b583ea, AMAIR1 0xd016b07d);
    golden!(CD_DW5: 0x00f0_4f82_7f4a_7c15 = IMPDEF 0x7f4a7c15, PARTID 0x4f82, PMG 0xf0);
    golden!(CD_DW5: 0x000f_b07d_80b5_83ea = IMPDEF 0x80b583ea, PARTID 0xb07d, PMG 0xf);
    golden!(CD_DW6: 0x0000_4f82_7f4a_7c15 = PIIU 0x4f827f4a7c15);
    golden!(CD_DW6: 0x0000_b07d_80b5_83ea = PIIU 0xb07d80b583ea);
    golden!(CD_DW7: 0x0000_4f82_7f4a_7c15 = PIIP 0x4f827f4a7c15);
    golden!(CD_DW7: 0x0000_b07d_80b5_83ea = PIIP 0xb07d80b583ea);
}

#[test]
fn sm_c19_command_words_both_ways() {
    golden!(CMD_DW0: 0x9b97_f4a7_fa53_e415 = OP 0x15, SSEC 1, SSV 0, SSID 0xfa53e, SID 0x9b97f4a7);
    golden!(CMD_DW0: 0x6468_0b58_05ac_18ea = OP 0xea, SSEC 0, SSV 1, SSID 0x5ac1, SID 0x64680b58);
    golden!(TLBI_DW0: 0xfe94_f4a7_03e1_0415 = OP 0x15, SSEC 1, NUM 0x10, SCALE 0x3e, VMID 0xf4a7, ASID 0xfe94);
    golden!(TLBI_DW0: 0x016b_0b58_0010_f0ea = OP 0xea, SSEC 0, NUM 0xf, SCALE 1, VMID 0xb58, ASID 0x16b);
    golden!(TLBI_DW1: 0x9e37_79b9_7f4a_7980 = LEAF 0, TTL128 1, TTL 1, TG 2, ADDR 0x9e3779b97f4a7);
    golden!(TLBI_DW1: 0x61c8_8646_80b5_8601 = LEAF 1, TTL128 0, TTL 2, TG 1, ADDR 0x61c8864680b58);
    golden!(CFGI_DW1: 0x0000_0000_0000_0015 = RANGE 0x15);
    golden!(CFGI_DW1: 0x0000_0000_0000_000a = RANGE 0xa);
    golden!(PREFETCH_DW1: 0x8dde_6e5f_d29f_0055 = SIZE 0x15, STRIDE 2, ADDR 0x8dde6e5fd29f0);
    golden!(PREFETCH_DW1: 0x7221_91a0_2d60_f3aa = SIZE 0xa, STRIDE 0x1d, ADDR 0x722191a02d60f);
    golden!(ATC_DW0: 0x0000_0000_0000_0000 = G 0);
    golden!(ATC_DW0: 0x0000_0000_0000_0200 = G 1);
    golden!(ATC_DW1: 0x6ef3_72fe_94f8_2015 = SIZE 0x15, ADDR 0x6ef372fe94f82);
    golden!(ATC_DW1: 0x910c_8d01_6b07_d02a = SIZE 0x2a, ADDR 0x910c8d016b07d);
    golden!(PRI_RESP_DW1: 0x0000_0000_0000_2015 = PRG_INDEX 0x15, RESP 2);
    golden!(PRI_RESP_DW1: 0x0000_0000_0000_11ea = PRG_INDEX 0x1ea, RESP 1);
    golden!(RESUME_DW0: 0x9b97_f4a7_0000_2415 = OP 0x15, SSEC 1, AC 0, AB 1, SID 0x9b97f4a7);
    golden!(RESUME_DW0: 0x6468_0b58_0000_10ea = OP 0xea, SSEC 0, AC 1, AB 0, SID 0x64680b58);
    golden!(RESUME_DW1: 0x0000_0000_0000_7c15 = STAG 0x7c15);
    golden!(RESUME_DW1: 0x0000_0000_0000_83ea = STAG 0x83ea);
    golden!(SYNC_DW0: 0xf372_fe94_0780_1415 = OP 0x15, SSEC 1, CS 1, MSH 2, MSIATTR 7, MSIDATA 0xf372fe94);
    golden!(SYNC_DW0: 0x0c8d_016b_0840_20ea = OP 0xea, SSEC 0, CS 2, MSH 1, MSIATTR 8, MSIDATA 0xc8d016b);
    golden!(SYNC_DW1: 0x00dd_e6e5_fd29_f054 = MSIADDR 0x3779b97f4a7c15);
    golden!(SYNC_DW1: 0x0022_191a_02d6_0fa8 = MSIADDR 0x8864680b583ea);
}

#[test]
fn sm_c19_event_words_both_ways() {
    golden!(EVENT_DW0: 0xdcbf_a53e_d29f_0815 = ID 0x15, SSV 1, SSID 0xd29f0, SID 0xdcbfa53e);
    golden!(EVENT_DW0: 0x2340_5ac1_2d60_f0ea = ID 0xea, SSV 0, SSID 0x2d60f, SID 0x23405ac1);
    golden!(EVENT_DW1: 0x0000_128a_0001_7c15 = STAG 0x7c15, GPCF 1, STALL 0, PNU 1, IND 0, RNW 1, NSIPA 0, S2 1, CLASS 2, TTRNW 1);
    golden!(EVENT_DW1: 0x0000_0144_8000_83ea = STAG 0x83ea, GPCF 0, STALL 1, PNU 0, IND 1, RNW 0, NSIPA 1, S2 0, CLASS 1, TTRNW 0);
    golden!(EVENT_DW3: 0x00bb_cdcb_fa53_e0a8 = ADDR 0x1779b97f4a7c15);
    golden!(EVENT_DW3: 0x0044_3234_05ac_1f50 = ADDR 0x8864680b583ea);
}

#[test]
fn sm_c19_page_request_words_both_ways() {
    golden!(PRI_DW0: 0xa809_4f82_7f4a_7c15 = SID 0x7f4a7c15, SSID 0x94f82, PRIV 0, X 1, R 0, W 1, LAST 0, SSV 1);
    golden!(PRI_DW0: 0x5406_b07d_80b5_83ea = SID 0x80b583ea, SSID 0x6b07d, PRIV 1, X 0, R 1, W 0, LAST 1, SSV 0);
    golden!(PRI_DW1: 0x6ef3_72fe_94f8_2015 = PRG_INDEX 0x15, ADDR 0x6ef372fe94f82);
    golden!(PRI_DW1: 0x910c_8d01_6b07_d1ea = PRG_INDEX 0x1ea, ADDR 0x910c8d016b07d);
}

/// What a record must decode to, beside its number and StreamID 8.
struct Expected {
    words: [u64; 4],
    substream: Option<u32>,
    stall: Option<u16>,
    read: bool,
    instruction: bool,
    privileged: bool,
    stage2: bool,
    class: FaultClass,
    input: u64,
    ipa: u64,
    fetch: u64,
}

const NOTHING: Expected = Expected {
    words: [0; 4],
    substream: None,
    stall: None,
    read: false,
    instruction: false,
    privileged: false,
    stage2: false,
    class: FaultClass::Cd,
    input: 0,
    ipa: 0,
    fetch: 0,
};

/// Every event of the table with every field that it has. SSID 5, addresses that reach into all bits of their fields.
fn records() -> [Expected; 19] {
    let sub = Some(5);
    [
        // F_UUT: SSV, SSID, RnW, PnU, Reason 7, InputAddr.
        Expected {
            words: [0x0000_0008_0000_5801, 0x0000_000a_0000_0007, 0x1234_5678, 0],
            substream: sub,
            read: true,
            privileged: true,
            input: 0x1234_5678,
            ..NOTHING
        },
        // C_BAD_STREAMID.
        Expected { words: [0x0000_0008_0000_5802, 0, 0, 0], substream: sub, ..NOTHING },
        // F_STE_FETCH: Reason, FetchAddr.
        Expected {
            words: [0x0000_0008_0000_5803, 0x7, 0, 0x00ab_cdef_0123_4568],
            substream: sub,
            ipa: 0x00ab_cdef_0123_4000,
            fetch: 0x00ab_cdef_0123_4568,
            ..NOTHING
        },
        // C_BAD_STE.
        Expected { words: [0x0000_0008_0000_5804, 0, 0, 0], substream: sub, ..NOTHING },
        // F_BAD_ATS_TREQ: address in word 2.
        Expected { words: [0x0000_0008_0000_5805, 0, 0xffff_8000_0000_7000, 0], substream: sub, input: 0xffff_8000_0000_7000, ..NOTHING },
        // F_STREAM_DISABLED: nothing else.
        Expected { words: [0x0000_0008_0000_0006, 0, 0, 0], ..NOTHING },
        // F_TRANSL_FORBIDDEN: RnW, InputAddr.
        Expected { words: [0x0000_0008_0000_0007, 0x0000_0008_0000_0000, 0x7000, 0], read: true, input: 0x7000, ..NOTHING },
        // C_BAD_SUBSTREAMID: SSID without SSV.
        Expected { words: [0x0000_0008_0000_5008, 0, 0, 0], substream: sub, ..NOTHING },
        // F_CD_FETCH.
        Expected { words: [0x0000_0008_0000_5809, 0, 0, 0x4101_0148], substream: sub, ipa: 0x4101_0000, fetch: 0x4101_0148, ..NOTHING },
        // C_BAD_CD.
        Expected { words: [0x0000_0008_0000_580a, 0, 0, 0], substream: sub, ..NOTHING },
        // F_WALK_EABT of stage 1: CLASS TT, InD, RnW, InputAddr, FetchAddr.
        Expected {
            words: [0x0000_0008_0000_580b, 0x0000_010c_0000_0000, 0x7008, 0x5000_0038],
            substream: sub,
            read: true,
            instruction: true,
            class: FaultClass::Tt,
            input: 0x7008,
            ipa: 0x5000_0000,
            fetch: 0x5000_0038,
            ..NOTHING
        },
        // F_TRANSLATION, stalled: STAG 0x1234, CLASS IN.
        Expected {
            words: [0x0000_0008_0000_5810, 0x0000_0208_8000_1234, 0x7000, 0],
            substream: sub,
            stall: Some(0x1234),
            read: true,
            class: FaultClass::In,
            input: 0x7000,
            ..NOTHING
        },
        // F_ADDR_SIZE of a privileged write.
        Expected {
            words: [0x0000_0008_0000_5811, 0x0000_0202_0000_0000, 0x7000, 0],
            substream: sub,
            privileged: true,
            class: FaultClass::In,
            input: 0x7000,
            ..NOTHING
        },
        // F_ACCESS at stage 2 of a CD fetch: CLASS CD, IPA.
        Expected {
            words: [0x0000_0008_0000_5812, 0x0000_0088_0000_0000, 0x7000, 0x0012_3456_789a_b000],
            substream: sub,
            read: true,
            stage2: true,
            input: 0x7000,
            ipa: 0x0012_3456_789a_b000,
            fetch: 0x0012_3456_789a_b000,
            ..NOTHING
        },
        // F_PERMISSION at stage 2 of a walk: CLASS TT, TTRnW.
        Expected {
            words: [0x0000_0008_0000_5813, 0x0000_1180_0000_0000, 0x7000, 0x8000],
            substream: sub,
            stage2: true,
            class: FaultClass::Tt,
            input: 0x7000,
            ipa: 0x8000,
            fetch: 0x8000,
            ..NOTHING
        },
        // F_TLB_CONFLICT.
        Expected { words: [0x0000_0008_0000_5820, 0x0000_0008_0000_0001, 0x7000, 0], substream: sub, read: true, input: 0x7000, ..NOTHING },
        // F_CFG_CONFLICT.
        Expected { words: [0x0000_0008_0000_5821, 0x1, 0, 0], substream: sub, ..NOTHING },
        // E_PAGE_REQUEST: address in word 2.
        Expected { words: [0x0000_0008_0000_5824, 0, 0x7000, 0], substream: sub, input: 0x7000, ..NOTHING },
        // F_VMS_FETCH.
        Expected { words: [0x0000_0008_0000_5825, 0x2, 0, 0x4200_0008], substream: sub, ipa: 0x4200_0000, fetch: 0x4200_0008, ..NOTHING },
    ]
}

#[test]
fn sm_c19_every_event_record_decodes_and_encodes() {
    for (expected, id) in records().iter().zip(EventId::ALL) {
        let record = EventRecord(expected.words);
        assert_eq!((record.id(), record.stream()), (*id, StreamId(8)));
        assert_eq!(record.substream(), expected.substream.map(SubstreamId), "{id:?}");
        assert_eq!(record.stall(), expected.stall.map(|stag| StallTag { stream: StreamId(8), stag }), "{id:?}");
        assert_eq!(
            (record.is_read(), record.is_instruction(), record.is_privileged(), record.is_stage2(), record.class()),
            (expected.read, expected.instruction, expected.privileged, expected.stage2, Some(expected.class)),
            "{id:?}"
        );
        assert_eq!(
            (record.input_address(), record.ipa(), record.fetch_address()),
            (expected.input, expected.ipa, expected.fetch),
            "{id:?}"
        );
        // The other way, by the fields' own builders.
        let mut built = EventRecord::new(*id, StreamId(8))
            .with_access(expected.read, expected.instruction, expected.privileged)
            .with_class(expected.class)
            .with_input_address(expected.input);
        built = if *id == EventId::C_BAD_SUBSTREAMID {
            built.with_bad_substream(SubstreamId(5))
        } else {
            built.with_substream(expected.substream.map(SubstreamId))
        };
        if expected.stage2 {
            built = built.with_stage2().with_ipa(expected.ipa);
        } else if expected.fetch != 0 {
            built = built.with_fetch_address(expected.fetch);
        }
        if *id == EventId::F_PERMISSION {
            built = built.with_table_read();
        }
        match expected.stall {
            Some(stag) => built = built.with_stall(stag),
            None => built = built.with_reason(record.reason()),
        }
        assert_eq!(built.0, expected.words, "{id:?}");
    }
}

/// Commands with every operand in use, beside those of the module itself.
fn commands() -> [(Operation, [u64; 2]); 24] {
    use Operation as O;
    let stream = StreamId(0x0123_4567);
    let substream = SubstreamId(0x9_abcd);
    let range = TlbiRange { address: 0x0fed_cba9_8765_4000, leaf: Leaf::Only, tg: 2, num: 21, scale: 42, ttl: 1 };
    [
        (O::PrefetchConfig { stream, substream: Some(substream) }, [0x0123_4567_9abc_d801, 0]),
        (O::PrefetchConfig { stream, substream: None }, [0x0123_4567_0000_0001, 0]),
        (
            O::PrefetchAddr { stream, substream: None, address: 0xffff_0000_1234_5000, size: 21, stride: 10 },
            [0x0123_4567_0000_0002, 0xffff_0000_1234_5155],
        ),
        (O::CfgiSte { stream, leaf: Leaf::AllLevels }, [0x0123_4567_0000_0003, 0]),
        (O::CfgiSteRange { stream, range: 21 }, [0x0123_4567_0000_0004, 0x15]),
        (O::CfgiCd { stream, substream, leaf: Leaf::AllLevels }, [0x0123_4567_9abc_d005, 0]),
        (O::CfgiCdAll { stream }, [0x0123_4567_0000_0006, 0]),
        (O::TlbiNhAll { vmid: 0x1234 }, [0x0000_1234_0000_0010, 0]),
        (O::TlbiNhAsid { vmid: 0x1234, asid: 0x5678 }, [0x5678_1234_0000_0011, 0]),
        (O::TlbiNhVa { vmid: 0x1234, asid: 0x5678, range }, [0x5678_1234_02a1_5012, 0x0fed_cba9_8765_4901]),
        (O::TlbiNhVaa { vmid: 0x1234, range }, [0x0000_1234_02a1_5013, 0x0fed_cba9_8765_4901]),
        (O::TlbiEl2Asid { asid: 0x5678 }, [0x5678_0000_0000_0021, 0]),
        (O::TlbiEl2Va { asid: 0x5678, range }, [0x5678_0000_02a1_5022, 0x0fed_cba9_8765_4901]),
        (O::TlbiEl2Vaa { range }, [0x0000_0000_02a1_5023, 0x0fed_cba9_8765_4901]),
        (O::TlbiS12Vmall { vmid: 0x1234 }, [0x0000_1234_0000_0028, 0]),
        (O::TlbiS2Ipa { vmid: 0x1234, range }, [0x0000_1234_02a1_502a, 0x0fed_cba9_8765_4901]),
        (
            O::AtcInv { stream, substream: Some(substream), global: true, address: 0x7fff_1234_5000, size: 0x2a },
            [0x0123_4567_9abc_da40, 0x7fff_1234_502a],
        ),
        (O::PriResp { stream, substream: None, prg_index: 0x155, response: PriResponse::Failure }, [0x0123_4567_0000_0041, 0x0155]),
        (
            O::PriResp { stream, substream: Some(substream), prg_index: 0x0aa, response: PriResponse::Invalid },
            [0x0123_4567_9abc_d841, 0x10aa],
        ),
        (O::Resume { stream, stag: 0xa5c3, action: ResumeAction::ReadZeroWriteIgnore }, [0x0123_4567_0000_0044, 0xa5c3]),
        (O::Resume { stream, stag: 0xa5c3, action: ResumeAction::Abort }, [0x0123_4567_0000_2044, 0xa5c3]),
        (O::StallTerm { stream }, [0x0123_4567_0000_0045, 0]),
        (
            O::Sync(SyncSignal::Irq { address: 0x00ab_cdef_0123_4564, data: 0x89ab_cdef, shareability: 2, attributes: 5 }),
            [0x89ab_cdef_0580_1046, 0x00ab_cdef_0123_4564],
        ),
        (O::Sync(SyncSignal::Reserved), [0x3046, 0]),
    ]
}

#[test]
fn sm_c19_every_command_encodes_and_decodes_with_all_its_operands() {
    for (operation, words) in commands() {
        assert_eq!(operation.encode().0, words, "{operation:?}");
        assert_eq!(Command(words).decode(), operation, "{words:x?}");
    }
}

#[test]
fn sm_c19_page_requests_encode_and_decode_flag_by_flag() {
    let bare = PageRequest {
        stream: StreamId(0x0123_4567),
        substream: None,
        address: 0,
        prg_index: 0,
        read: false,
        write: false,
        execute: false,
        privileged: false,
        last: false,
    };
    for (request, words) in [
        (bare, [0x0000_0000_0123_4567, 0]),
        (PageRequest { substream: Some(SubstreamId(0x9_abcd)), ..bare }, [0x8009_abcd_0123_4567, 0]),
        (PageRequest { last: true, ..bare }, [0x4000_0000_0123_4567, 0]),
        (PageRequest { write: true, ..bare }, [0x2000_0000_0123_4567, 0]),
        (PageRequest { read: true, ..bare }, [0x1000_0000_0123_4567, 0]),
        (PageRequest { execute: true, ..bare }, [0x0800_0000_0123_4567, 0]),
        (PageRequest { privileged: true, ..bare }, [0x0400_0000_0123_4567, 0]),
        (PageRequest { address: 0xffff_0000_1234_5000, prg_index: 0x1a5, ..bare }, [0x0000_0000_0123_4567, 0xffff_0000_1234_51a5]),
    ] {
        assert_eq!(request.encode(), words);
        assert_eq!(PageRequest::decode(words), request);
    }
}
