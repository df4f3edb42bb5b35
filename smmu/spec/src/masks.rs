//! Layout checks: fields are disjoint, and their union is the table typed by hand from the facts.
//!
//! The tables below were typed from the bit ranges of the fact sheet, not derived from the fields: a transposed offset shows up here.

use std::{string::String, vec::Vec};
use tock_registers::{RegisterLongName, UIntLike, debug::RegisterDebugInfo};

use crate::{cd::*, command::*, descriptor::*, event::*, pri::*, regs::*, ste::*};

fn fields<T, R>() -> Vec<(String, u64)>
where
    T: UIntLike + Into<u64> + Copy + 'static,
    R: RegisterLongName + RegisterDebugInfo<T> + 'static,
{
    R::field_names().iter().zip(R::fields()).map(|(name, f)| (String::from(*name), Into::<u64>::into(f.mask) << f.shift)).collect()
}

/// Compares a layout with `(name, high bit, low bit)` rows, in any order.
fn check<T, R>(layout: &str, rows: &[(&str, u32, u32)])
where
    T: UIntLike + Into<u64> + Copy + 'static,
    R: RegisterLongName + RegisterDebugInfo<T> + 'static,
{
    let mut union = 0_u64;
    let mut found = fields::<T, R>();
    assert_eq!(found.len(), rows.len(), "{layout}: number of fields");
    for (name, mask) in &found {
        assert_eq!(union & mask, 0, "{layout}.{name} overlaps another field");
        union |= mask;
    }
    found.sort();
    for &(name, high, low) in rows {
        let mask = (u64::MAX >> (63 - high)) & (u64::MAX << low);
        let at = found.iter().position(|(n, _)| n == name).unwrap_or_else(|| panic!("{layout}.{name} is missing"));
        assert_eq!(found[at].1, mask, "{layout}.{name}");
    }
}

macro_rules! check {
    ($t:ty, $r:ident: $($name:ident $high:literal $low:literal),* $(,)?) => {
        check::<$t, $r::Register>(stringify!($r), &[$((stringify!($name), $high, $low)),*])
    };
}

#[test]
fn sm_c19_register_masks() {
    check!(u32, IDR0: S2P 0 0, S1P 1 1, TTF 3 2, COHACC 4 4, BTM 5 5, HTTU 7 6, DORMHINT 8 8, HYP 9 9, ATS 10 10, NS1ATS 11 11,
        ASID16 12 12, MSI 13 13, SEV 14 14, ATOS 15 15, PRI 16 16, VMW 17 17, VMID16 18 18, CD2L 19 19, VATOS 20 20, TTENDIAN 22 21,
        ATSRECERR 23 23, STALL_MODEL 25 24, TERM_MODEL 26 26, ST_LEVEL 28 27, RME_IMPL 30 30);
    check!(u32, IDR1: SIDSIZE 5 0, SSIDSIZE 10 6, PRIQS 15 11, EVENTQS 20 16, CMDQS 25 21, ATTR_PERMS_OVR 26 26, ATTR_TYPES_OVR 27 27,
        REL 28 28, QUEUES_PRESET 29 29, TABLES_PRESET 30 30, ECMDQ 31 31);
    check!(u32, IDR3: HAD 2 2, PBHA 3 3, XNX 4 4, PPS 5 5, MPAM 7 7, FWB 8 8, STT 9 9, RIL 10 10, BBML 12 11, E0PD 13 13, PTWNNC 14 14,
        DPT 15 15, PASIDTT 16 16, EPAN 17 17, S1PI 18 18, S2PI 19 19, S2PO 20 20, THE 21 21, MTEPERM 22 22, AIE 23 23);
    check!(u32, IDR5: OAS 2 0, GRAN4K 4 4, GRAN16K 5 5, GRAN64K 6 6, DS 7 7, D128 8 8, VAX 11 10, STALL_MAX 31 16);
    check!(u32, IIDR: IMPLEMENTER 11 0, REVISION 15 12, VARIANT 19 16, PRODUCT_ID 31 20);
    check!(u32, AIDR: ARCH_MINOR_REV 3 0, ARCH_MAJOR_REV 7 4);
    check!(u32, CR0: SMMUEN 0 0, PRIQEN 1 1, EVENTQEN 2 2, CMDQEN 3 3, ATSCHK 4 4, VMW 8 6, DPT_WALK_EN 10 10);
    check!(u32, CR1: QUEUE_IC 1 0, QUEUE_OC 3 2, QUEUE_SH 5 4, TABLE_IC 7 6, TABLE_OC 9 8, TABLE_SH 11 10);
    check!(u32, CR2: E2H 0 0, RECINVSID 1 1, PTM 2 2, REC_CFG_ATS 3 3);
    check!(u32, GBPA: MEMATTR 3 0, MTCFG 4 4, ALLOCCFG 11 8, SHCFG 13 12, PRIVCFG 17 16, INSTCFG 19 18, ABORT 20 20, UPDATE 31 31);
    check!(u32, IRQ_CTRL: GERROR_IRQEN 0 0, PRIQ_IRQEN 1 1, EVENTQ_IRQEN 2 2);
    check!(u32, GERROR: CMDQ_ERR 0 0, EVENTQ_ABT_ERR 2 2, PRIQ_ABT_ERR 3 3, MSI_CMDQ_ABT_ERR 4 4, MSI_EVENTQ_ABT_ERR 5 5,
        MSI_PRIQ_ABT_ERR 6 6, MSI_GERROR_ABT_ERR 7 7, SFM_ERR 8 8, CMDQP_ERR 9 9, DPT_ERR 10 10);
    check!(u64, IRQ_CFG0: ADDR 55 2);
    check!(u32, IRQ_CFG2: MEMATTR 3 0, SH 5 4, LO 31 31);
    check!(u64, STRTAB_BASE: ADDR 55 6, RA 62 62);
    check!(u32, STRTAB_BASE_CFG: LOG2SIZE 5 0, SPLIT 10 6, FMT 17 16);
    check!(u64, QUEUE_BASE: LOG2SIZE 4 0, ADDR 55 5, ALLOC 62 62);
    check!(u32, CMDQ_PROD: WR 19 0);
    check!(u32, CMDQ_CONS: RD 19 0, ERR 30 24);
    check!(u32, OUTPUT_PROD: WR 19 0, OVFLG 31 31);
    check!(u32, OUTPUT_CONS: RD 19 0, OVACKFLG 31 31);
    check!(u32, IDR2: BA_VATOS 9 0);
    check!(u32, STATUSR: DORMANT 0 0);
    check!(u32, IRQ_CFG1: DATA 31 0);
}

#[test]
fn sm_c19_ste_masks() {
    check!(u64, L1STD: SPAN 4 0, L2PTR 55 6);
    check!(u64, STE_DW0: V 0 0, CONFIG 3 1, S1FMT 5 4, S1CONTEXTPTR 55 6, S1CDMAX 63 59);
    check!(u64, STE_DW1: S1DSS 1 0, S1CIR 3 2, S1COR 5 4, S1CSH 7 6, S2HWU 11 8, DRE 12 12, CONT 16 13, DCP 17 17, PPAR 18 18, MEV 19 19,
        SW 23 20, S1PIE 24 24, S2FWB 25 25, S1MPAM 26 26, S1STALLD 27 27, EATS 29 28, STRW 31 30, MEMATTR 35 32, MTCFG 36 36,
        ALLOCCFG 40 37, SHCFG 45 44, NSCFG 47 46, PRIVCFG 49 48, INSTCFG 51 50);
    check!(u64, STE_DW2: S2VMID 15 0, S2T0SZ 37 32, S2SL0 39 38, S2IR0 41 40, S2OR0 43 42, S2SH0 45 44, S2TG 47 46, S2PS 50 48,
        S2AA64 51 51, S2ENDI 52 52, S2AFFD 53 53, S2PTW 54 54, S2HD 55 55, S2HA 56 56, S2S 57 57, S2R 58 58, S2HAFT 59 59, S2PIE 60 60,
        S2POE 61 61, DPT_VMATCH 63 62);
    check!(u64, STE_DW3: S2NSW 0 0, S2NSA 1 1, S2SL0_2 2 2, S2DS 3 3, S2TTB 55 4);
    check!(u64, STE_DW4: PARTID 31 16);
    check!(u64, STE_DW5: PMG 7 0, VMSPTR 55 12);
}

#[test]
fn sm_c19_cd_masks() {
    check!(u64, L1CD: V 0 0, L2PTR 55 12);
    check!(u64, CD_DW0: T0SZ 5 0, TG0 7 6, IR0 9 8, OR0 11 10, SH0 13 12, EPD0 14 14, ENDI 15 15, T1SZ 21 16, TG1 23 22, IR1 25 24,
        OR1 27 26, SH1 29 28, EPD1 30 30, V 31 31, IPS 34 32, AFFD 35 35, WXN 36 36, UWXN 37 37, TBI0 38 38, TBI1 39 39, PAN 40 40,
        AA64 41 41, HD 42 42, HA 43 43, S 44 44, R 45 45, A 46 46, ASET 47 47, ASID 63 48);
    let union = fields::<u64, CD_DW0::Register>().iter().fold(0, |all, (_, mask)| all | mask);
    assert_eq!(union, u64::MAX, "word 0 of a CD has no reserved bit");
    check!(u64, CD_DW1: NSCFG0 0 0, HAD0 1 1, E0PD0 2 2, HAFT 3 3, TTB0 51 4, PNCH 58 58, EPAN 59 59, HWU0 63 60);
    check!(u64, CD_DW2: NSCFG1 0 0, HAD1 1 1, E0PD1 2 2, AIE 3 3, TTB1 51 4, DS 58 58, PIE 59 59, HWU1 63 60);
    check!(u64, CD_DW3: MAIR0 31 0, MAIR1 63 32);
    check!(u64, CD_DW4: AMAIR0 31 0, AMAIR1 63 32);
    check!(u64, CD_DW6: PIIU 47 0);
    check!(u64, CD_DW7: PIIP 47 0);
    check!(u64, CD_DW5: IMPDEF 31 0, PARTID 47 32, PMG 55 48);
}

#[test]
fn sm_c19_queue_entry_masks() {
    check!(u64, CMD_DW0: OP 7 0, SSEC 10 10, SSV 11 11, SSID 31 12, SID 63 32);
    check!(u64, TLBI_DW0: OP 7 0, SSEC 10 10, NUM 16 12, SCALE 25 20, VMID 47 32, ASID 63 48);
    check!(u64, TLBI_DW1: LEAF 0 0, TTL128 7 7, TTL 9 8, TG 11 10, ADDR 63 12);
    check!(u64, CFGI_DW1: RANGE 4 0);
    check!(u64, PREFETCH_DW1: SIZE 4 0, STRIDE 9 5, ADDR 63 12);
    check!(u64, ATC_DW0: G 9 9);
    check!(u64, ATC_DW1: SIZE 5 0, ADDR 63 12);
    check!(u64, PRI_RESP_DW1: PRG_INDEX 8 0, RESP 13 12);
    check!(u64, RESUME_DW0: OP 7 0, SSEC 10 10, AC 12 12, AB 13 13, SID 63 32);
    check!(u64, RESUME_DW1: STAG 15 0);
    check!(u64, SYNC_DW0: OP 7 0, SSEC 10 10, CS 13 12, MSH 23 22, MSIATTR 27 24, MSIDATA 63 32);
    check!(u64, SYNC_DW1: MSIADDR 55 2);
    check!(u64, EVENT_DW0: ID 7 0, SSV 11 11, SSID 31 12, SID 63 32);
    check!(u64, EVENT_DW1: STAG 15 0, GPCF 16 16, STALL 31 31, PNU 33 33, IND 34 34, RNW 35 35, NSIPA 38 38, S2 39 39, CLASS 41 40,
        TTRNW 44 44);
    check!(u64, EVENT_DW3: ADDR 55 3);
    check!(u64, PRI_DW0: SID 31 0, SSID 51 32, PRIV 58 58, X 59 59, R 60 60, W 61 61, LAST 62 62, SSV 63 63);
    check!(u64, PRI_DW1: PRG_INDEX 8 0, ADDR 63 12);
}

#[test]
fn sm_c19_descriptor_masks() {
    check!(u64, LEAF: VALID 0 0, PAGE 1 1, ATTR_INDEX 4 2, NS 5 5, AP1 6 6, AP2 7 7, SH 9 8, AF 10 10, NG 11 11, ADDR_51_48 15 12, NT 16 16,
        GP 50 50, DBM 51 51, CONTIGUOUS 52 52, PXN 53 53, UXN 54 54, SW 58 55, PBHA 62 59);
    check!(u64, LEAF_S2: VALID 0 0, PAGE 1 1, MEM_ATTR 5 2, READ 6 6, WRITE 7 7, SH 9 8, AF 10 10, ADDR_51_48 15 12, NT 16 16, DBM 51 51,
        CONTIGUOUS 52 52, XN 54 53, SW 58 55, PBHA 62 59);
    check!(u64, TABLE: VALID 0 0, TABLE 1 1, AF 10 10, ADDR_51_48 15 12, PXN_TABLE 59 59, UXN_TABLE 60 60, AP_TABLE 62 61, NS_TABLE 63 63);
}

/// Asserts that the fields and the reserved ranges `high low` cover the layout, each bit once.
fn covers<T, R>(layout: &str, bits: u32, reserved: &[(u32, u32)])
where
    T: UIntLike + Into<u64> + Copy + 'static,
    R: RegisterLongName + RegisterDebugInfo<T> + 'static,
{
    let masks = fields::<T, R>().into_iter().map(|(_, mask)| mask);
    let gaps = reserved.iter().map(|(high, low)| (u64::MAX >> (63 - high)) & (u64::MAX << low));
    let mut union = 0_u64;
    for mask in masks.chain(gaps) {
        assert_eq!(union & mask, 0, "{layout}: {mask:#x} twice");
        union |= mask;
    }
    assert_eq!(union, u64::MAX >> (64 - bits), "{layout}: bits that are neither a field nor reserved");
}

macro_rules! covers {
    ($t:ty, $($layout:ident: $([$high:literal $low:literal])*;)*) => {
        $(covers::<$t, $layout::Register>(stringify!($layout), <$t>::BITS, &[$(($high, $low)),*]);)*
    };
}

/// The reserved bits as the facts give them. Words that overlay a common one (ATC_DW0) are left out: the common one is here.
#[test]
fn sm_c19_fields_and_reserved_bits_cover_every_layout() {
    covers!(u32,
        IDR0: [29 29] [31 31];
        IDR1: ;
        IDR2: [31 10];
        IDR3: [1 0] [6 6] [31 24];
        IDR5: [3 3] [9 9] [15 12];
        IIDR: ;
        AIDR: [31 8];
        CR0: [5 5] [9 9] [31 11];
        CR1: [31 12];
        CR2: [31 4];
        STATUSR: [31 1];
        GBPA: [7 5] [15 14] [30 21];
        IRQ_CTRL: [31 3];
        GERROR: [1 1] [31 11];
        IRQ_CFG1: ;
        IRQ_CFG2: [30 6];
        STRTAB_BASE_CFG: [15 11] [31 18];
        CMDQ_PROD: [31 20];
        CMDQ_CONS: [23 20] [31 31];
        OUTPUT_PROD: [30 20];
        OUTPUT_CONS: [30 20];
    );
    covers!(u64,
        IRQ_CFG0: [1 0] [63 56];
        STRTAB_BASE: [5 0] [61 56] [63 63];
        QUEUE_BASE: [61 56] [63 63];
        L1STD: [5 5] [63 56];
        STE_DW0: [58 56];
        STE_DW1: [43 41] [63 52];
        STE_DW2: [31 16];
        STE_DW3: [63 56];
        STE_DW4: [15 0] [63 32];
        STE_DW5: [11 8] [63 56];
        L1CD: [11 1] [63 56];
        CD_DW0: ;
        CD_DW1: [57 52];
        CD_DW2: [57 52];
        CD_DW3: ;
        CD_DW4: ;
        CD_DW5: [63 56];
        CD_DW6: [63 48];
        CD_DW7: [63 48];
        CMD_DW0: [9 8];
        TLBI_DW0: [9 8] [11 11] [19 17] [31 26];
        TLBI_DW1: [6 1];
        CFGI_DW1: [63 5];
        PREFETCH_DW1: [11 10];
        ATC_DW1: [11 6];
        PRI_RESP_DW1: [11 9] [63 14];
        RESUME_DW0: [9 8] [11 11] [31 14];
        RESUME_DW1: [63 16];
        SYNC_DW0: [9 8] [11 11] [21 14] [31 28];
        SYNC_DW1: [1 0] [63 56];
        EVENT_DW0: [10 8];
        EVENT_DW1: [30 17] [32 32] [37 36] [43 42] [63 45];
        EVENT_DW3: [2 0] [63 56];
        PRI_DW0: [57 52];
        PRI_DW1: [11 9];
    );
}
