//! Command queue entries (IHI 0070 chapter 4): raw words, and the operations they encode.
#![allow(missing_docs, reason = "register_bitfields! generates undocumented items beside each documented field")]

use core::fmt;

use hal::{StreamId, SubstreamId};
use tock_registers::register_bitfields;

register_bitfields! { u64,
    /// Word 0 of every command: opcode and the operands of configuration, ATS, PRI and stall commands.
    pub CMD_DW0 [
        /// Opcode.
        OP OFFSET(0) NUMBITS(8) [],
        /// Secure stream; illegal on the Non-secure queue.
        SSEC OFFSET(10) NUMBITS(1) [],
        /// SSID is valid.
        SSV OFFSET(11) NUMBITS(1) [],
        /// SubstreamID.
        SSID OFFSET(12) NUMBITS(20) [],
        /// StreamID.
        SID OFFSET(32) NUMBITS(32) [],
    ],
    /// Word 0 of TLB invalidations.
    pub TLBI_DW0 [
        /// Opcode.
        OP OFFSET(0) NUMBITS(8) [],
        /// Secure; illegal on the Non-secure queue.
        SSEC OFFSET(10) NUMBITS(1) [],
        /// Range: units minus 1.
        NUM OFFSET(12) NUMBITS(5) [],
        /// Range: log2 of the unit in granules.
        SCALE OFFSET(20) NUMBITS(6) [],
        /// VMID.
        VMID OFFSET(32) NUMBITS(16) [],
        /// ASID.
        ASID OFFSET(48) NUMBITS(16) [],
    ],
    /// Word 1 of TLB invalidations by address.
    pub TLBI_DW1 [
        /// Last-level entries only.
        LEAF OFFSET(0) NUMBITS(1) [],
        /// Level hint of 128-bit descriptors.
        TTL128 OFFSET(7) NUMBITS(1) [],
        /// Level hint, 0 for any.
        TTL OFFSET(8) NUMBITS(2) [],
        /// Granule of a range; 0 is the single-address form.
        TG OFFSET(10) NUMBITS(2) [ Single = 0, Granule4K = 1, Granule16K = 2, Granule64K = 3 ],
        /// Address bits 63:12.
        ADDR OFFSET(12) NUMBITS(52) [],
    ],
    /// Word 1 of CMD_CFGI_*.
    pub CFGI_DW1 [
        /// Range of CMD_CFGI_STE_RANGE, whose bit 0 is Leaf in the other commands.
        RANGE OFFSET(0) NUMBITS(5) [],
    ],
    /// Word 1 of CMD_PREFETCH_ADDR.
    pub PREFETCH_DW1 [
        /// Log2 of the number of pages.
        SIZE OFFSET(0) NUMBITS(5) [],
        /// Log2 of the step in 4 KiB.
        STRIDE OFFSET(5) NUMBITS(5) [],
        /// Address bits 63:12.
        ADDR OFFSET(12) NUMBITS(52) [],
    ],
    /// Word 0 of CMD_ATC_INV, beside the common fields.
    pub ATC_DW0 [
        /// Global: any SubstreamID.
        G OFFSET(9) NUMBITS(1) [],
    ],
    /// Word 1 of CMD_ATC_INV.
    pub ATC_DW1 [
        /// Log2 of the number of 4 KiB pages; 52 for everything.
        SIZE OFFSET(0) NUMBITS(6) [],
        /// Address bits 63:12.
        ADDR OFFSET(12) NUMBITS(52) [],
    ],
    /// Word 1 of CMD_PRI_RESP.
    pub PRI_RESP_DW1 [
        /// Group.
        PRG_INDEX OFFSET(0) NUMBITS(9) [],
        /// Answer.
        RESP OFFSET(12) NUMBITS(2) [ Failure = 0, Invalid = 1, Success = 2 ],
    ],
    /// Word 0 of CMD_RESUME.
    pub RESUME_DW0 [
        /// Opcode.
        OP OFFSET(0) NUMBITS(8) [],
        /// Secure; illegal on the Non-secure queue.
        SSEC OFFSET(10) NUMBITS(1) [],
        /// Retry.
        AC OFFSET(12) NUMBITS(1) [],
        /// Abort, if not retried.
        AB OFFSET(13) NUMBITS(1) [],
        /// StreamID.
        SID OFFSET(32) NUMBITS(32) [],
    ],
    /// Word 1 of CMD_RESUME.
    pub RESUME_DW1 [
        /// Stall tag.
        STAG OFFSET(0) NUMBITS(16) [],
    ],
    /// Word 0 of CMD_SYNC.
    pub SYNC_DW0 [
        /// Opcode.
        OP OFFSET(0) NUMBITS(8) [],
        /// Secure; illegal on the Non-secure queue.
        SSEC OFFSET(10) NUMBITS(1) [],
        /// Completion signal; 3 is illegal.
        CS OFFSET(12) NUMBITS(2) [ None = 0, Irq = 1, Sev = 2 ],
        /// MSI shareability.
        MSH OFFSET(22) NUMBITS(2) [ NonShareable = 0, Outer = 2, Inner = 3 ],
        /// MSI memory type.
        MSIATTR OFFSET(24) NUMBITS(4) [],
        /// MSI payload.
        MSIDATA OFFSET(32) NUMBITS(32) [],
    ],
    /// Word 1 of CMD_SYNC.
    pub SYNC_DW1 [
        /// MSI address bits 55:2; 0 means no MSI.
        MSIADDR OFFSET(2) NUMBITS(54) [],
    ],
}

/// A command opcode.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Opcode(pub u8);

macro_rules! opcodes {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl Opcode {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The specification's name without `CMD_`, if the code has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

opcodes! {
    /// Hint: fetch configuration.
    PREFETCH_CONFIG = 0x01;
    /// Hint: fetch translations.
    PREFETCH_ADDR = 0x02;
    /// Invalidate an STE and the CDs of its stream.
    CFGI_STE = 0x03;
    /// Invalidate a block of STEs; with Range = 31 everything (CFGI_ALL).
    CFGI_STE_RANGE = 0x04;
    /// Invalidate a CD.
    CFGI_CD = 0x05;
    /// Invalidate all CDs of a stream.
    CFGI_CD_ALL = 0x06;
    /// Invalidate VMS PARTID mappings.
    CFGI_VMS_PIDM = 0x07;
    /// Invalidate all stage 1 entries of a VMID.
    TLBI_NH_ALL = 0x10;
    /// Invalidate the non-global entries of an ASID.
    TLBI_NH_ASID = 0x11;
    /// Invalidate by address and ASID.
    TLBI_NH_VA = 0x12;
    /// Invalidate by address, any ASID.
    TLBI_NH_VAA = 0x13;
    /// EL3, illegal on the Non-secure queue.
    TLBI_EL3_ALL = 0x18;
    /// EL3, illegal on the Non-secure queue.
    TLBI_EL3_VA = 0x1a;
    /// Invalidate all EL2 entries.
    TLBI_EL2_ALL = 0x20;
    /// Invalidate the entries of an EL2-E2H ASID.
    TLBI_EL2_ASID = 0x21;
    /// Invalidate EL2 entries by address.
    TLBI_EL2_VA = 0x22;
    /// Invalidate EL2 entries by address, any ASID.
    TLBI_EL2_VAA = 0x23;
    /// Invalidate both stages of a VMID.
    TLBI_S12_VMALL = 0x28;
    /// Invalidate stage 2 by IPA.
    TLBI_S2_IPA = 0x2a;
    /// Invalidate everything that is Non-secure EL1.
    TLBI_NSNH_ALL = 0x30;
    /// Invalidate an endpoint's translation cache.
    ATC_INV = 0x40;
    /// Answer a page request group.
    PRI_RESP = 0x41;
    /// Resolve a stalled transaction.
    RESUME = 0x44;
    /// Terminate all stalled transactions of a stream.
    STALL_TERM = 0x45;
    /// Barrier.
    SYNC = 0x46;
}

impl fmt::Debug for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "CMD_{name}"),
            None => write!(f, "Opcode({:#04x})", self.0),
        }
    }
}

/// Which entries an invalidation must reach (field Leaf).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaf {
    /// Last-level entries only (Leaf = 1).
    Only,
    /// Intermediate entries too (Leaf = 0).
    AllLevels,
}

impl Leaf {
    const fn bit(self) -> u64 {
        match self {
            Self::Only => 1,
            Self::AllLevels => 0,
        }
    }
    const fn from_bit(word: u64) -> Self {
        if word & 1 == 1 { Self::Only } else { Self::AllLevels }
    }
}

/// The addresses of a TLB invalidation, as the fields stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlbiRange {
    /// First address, a multiple of 4 KiB.
    pub address: u64,
    /// Levels.
    pub leaf: Leaf,
    /// Granule code; 0 is the single-address form, in which the next three must be 0.
    pub tg: u8,
    /// Units minus 1, 0 to 31.
    pub num: u8,
    /// Log2 of a unit in granules, 0 to 63.
    pub scale: u8,
    /// Level hint, 0 for any.
    pub ttl: u8,
}

impl TlbiRange {
    /// The single-address form: any entry that covers `address`.
    pub const fn single(address: u64, leaf: Leaf) -> Self {
        Self { address, leaf, tg: 0, num: 0, scale: 0, ttl: 0 }
    }

    fn dw0(&self) -> u64 {
        (TLBI_DW0::NUM.val(u64::from(self.num)) + TLBI_DW0::SCALE.val(u64::from(self.scale))).value
    }

    fn dw1(&self) -> u64 {
        (TLBI_DW1::LEAF.val(self.leaf.bit())
            + TLBI_DW1::TTL.val(u64::from(self.ttl))
            + TLBI_DW1::TG.val(u64::from(self.tg))
            + TLBI_DW1::ADDR.val(self.address >> 12))
        .value
    }

    fn decode(dw0: u64, dw1: u64) -> Self {
        Self {
            address: TLBI_DW1::ADDR.read(dw1) << 12,
            leaf: Leaf::from_bit(dw1),
            tg: TLBI_DW1::TG.read(dw1) as u8,
            num: TLBI_DW0::NUM.read(dw0) as u8,
            scale: TLBI_DW0::SCALE.read(dw0) as u8,
            ttl: TLBI_DW1::TTL.read(dw1) as u8,
        }
    }
}

/// How CMD_SYNC reports completion (fields CS and MSI*).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncSignal {
    /// Nothing but CMDQ_CONS.
    None,
    /// The wired interrupt, and an MSI if `address` is not 0.
    Irq {
        /// MSI address, a multiple of 4.
        address: u64,
        /// MSI payload.
        data: u32,
        /// Shareability code of the write.
        shareability: u8,
        /// Memory type code of the write.
        attributes: u8,
    },
    /// An event to waiting CPUs.
    Sev,
    /// CS = 3, illegal.
    Reserved,
}

/// Answer to a page request group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PriResponse {
    /// The device must stop using page requests.
    Failure,
    /// At least one page cannot be had.
    Invalid,
    /// Try again.
    Success,
    /// Code 3, illegal.
    Reserved,
}

/// What CMD_RESUME wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResumeAction {
    /// Translate again (Ac = 1).
    Retry,
    /// End with an abort (Ac = 0, Ab = 1).
    Abort,
    /// End as if done, reads as zero (Ac = 0, Ab = 0).
    ReadZeroWriteIgnore,
}

/// A command's meaning. Reserved bits are neither encoded nor decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "operands carry the names of their fields")]
pub enum Operation {
    /// CMD_PREFETCH_CONFIG.
    PrefetchConfig { stream: StreamId, substream: Option<SubstreamId> },
    /// CMD_PREFETCH_ADDR: 2^size pages at steps of 2^(12 + stride).
    PrefetchAddr { stream: StreamId, substream: Option<SubstreamId>, address: u64, size: u8, stride: u8 },
    /// CMD_CFGI_STE.
    CfgiSte { stream: StreamId, leaf: Leaf },
    /// CMD_CFGI_STE_RANGE: the aligned block of 2^(range + 1) StreamIDs around `stream`; range 31 is CMD_CFGI_ALL.
    CfgiSteRange { stream: StreamId, range: u8 },
    /// CMD_CFGI_CD.
    CfgiCd { stream: StreamId, substream: SubstreamId, leaf: Leaf },
    /// CMD_CFGI_CD_ALL.
    CfgiCdAll { stream: StreamId },
    /// CMD_TLBI_NH_ALL.
    TlbiNhAll { vmid: u16 },
    /// CMD_TLBI_NH_ASID.
    TlbiNhAsid { vmid: u16, asid: u16 },
    /// CMD_TLBI_NH_VA.
    TlbiNhVa { vmid: u16, asid: u16, range: TlbiRange },
    /// CMD_TLBI_NH_VAA.
    TlbiNhVaa { vmid: u16, range: TlbiRange },
    /// CMD_TLBI_EL2_ALL.
    TlbiEl2All,
    /// CMD_TLBI_EL2_ASID.
    TlbiEl2Asid { asid: u16 },
    /// CMD_TLBI_EL2_VA.
    TlbiEl2Va { asid: u16, range: TlbiRange },
    /// CMD_TLBI_EL2_VAA.
    TlbiEl2Vaa { range: TlbiRange },
    /// CMD_TLBI_S12_VMALL.
    TlbiS12Vmall { vmid: u16 },
    /// CMD_TLBI_S2_IPA.
    TlbiS2Ipa { vmid: u16, range: TlbiRange },
    /// CMD_TLBI_NSNH_ALL.
    TlbiNsnhAll,
    /// CMD_ATC_INV: 2^size pages of 4 KiB, 52 for everything.
    AtcInv { stream: StreamId, substream: Option<SubstreamId>, global: bool, address: u64, size: u8 },
    /// CMD_PRI_RESP.
    PriResp { stream: StreamId, substream: Option<SubstreamId>, prg_index: u16, response: PriResponse },
    /// CMD_RESUME.
    Resume { stream: StreamId, stag: u16, action: ResumeAction },
    /// CMD_STALL_TERM.
    StallTerm { stream: StreamId },
    /// CMD_SYNC.
    Sync(SyncSignal),
    /// Any opcode that is not listed above.
    Other(Opcode),
}

impl Operation {
    /// CMD_CFGI_ALL.
    pub const CFGI_ALL: Self = Self::CfgiSteRange { stream: StreamId(0), range: 31 };

    /// Encodes the command. `Other` becomes its opcode alone.
    pub fn encode(&self) -> Command {
        use Operation as O;
        let [op, dw0, dw1] = match *self {
            O::PrefetchConfig { stream, substream } => [Opcode::PREFETCH_CONFIG.0.into(), sid(stream) | ssid(substream), 0],
            O::PrefetchAddr { stream, substream, address, size, stride } => [
                Opcode::PREFETCH_ADDR.0.into(),
                sid(stream) | ssid(substream),
                (PREFETCH_DW1::SIZE.val(size.into()) + PREFETCH_DW1::STRIDE.val(stride.into()) + PREFETCH_DW1::ADDR.val(address >> 12))
                    .value,
            ],
            O::CfgiSte { stream, leaf } => [Opcode::CFGI_STE.0.into(), sid(stream), leaf.bit()],
            O::CfgiSteRange { stream, range } => [Opcode::CFGI_STE_RANGE.0.into(), sid(stream), CFGI_DW1::RANGE.val(range.into()).value],
            O::CfgiCd { stream, substream, leaf } => {
                [Opcode::CFGI_CD.0.into(), sid(stream) | CMD_DW0::SSID.val(substream.0.into()).value, leaf.bit()]
            }
            O::CfgiCdAll { stream } => [Opcode::CFGI_CD_ALL.0.into(), sid(stream), 0],
            O::TlbiNhAll { vmid } => [Opcode::TLBI_NH_ALL.0.into(), tag(vmid, 0), 0],
            O::TlbiNhAsid { vmid, asid } => [Opcode::TLBI_NH_ASID.0.into(), tag(vmid, asid), 0],
            O::TlbiNhVa { vmid, asid, range } => [Opcode::TLBI_NH_VA.0.into(), tag(vmid, asid) | range.dw0(), range.dw1()],
            O::TlbiNhVaa { vmid, range } => [Opcode::TLBI_NH_VAA.0.into(), tag(vmid, 0) | range.dw0(), range.dw1()],
            O::TlbiEl2All => [Opcode::TLBI_EL2_ALL.0.into(), 0, 0],
            O::TlbiEl2Asid { asid } => [Opcode::TLBI_EL2_ASID.0.into(), tag(0, asid), 0],
            O::TlbiEl2Va { asid, range } => [Opcode::TLBI_EL2_VA.0.into(), tag(0, asid) | range.dw0(), range.dw1()],
            O::TlbiEl2Vaa { range } => [Opcode::TLBI_EL2_VAA.0.into(), range.dw0(), range.dw1()],
            O::TlbiS12Vmall { vmid } => [Opcode::TLBI_S12_VMALL.0.into(), tag(vmid, 0), 0],
            O::TlbiS2Ipa { vmid, range } => [Opcode::TLBI_S2_IPA.0.into(), tag(vmid, 0) | range.dw0(), range.dw1()],
            O::TlbiNsnhAll => [Opcode::TLBI_NSNH_ALL.0.into(), 0, 0],
            O::AtcInv { stream, substream, global, address, size } => [
                Opcode::ATC_INV.0.into(),
                sid(stream) | ssid(substream) | ATC_DW0::G.val(global.into()).value,
                (ATC_DW1::SIZE.val(size.into()) + ATC_DW1::ADDR.val(address >> 12)).value,
            ],
            O::PriResp { stream, substream, prg_index, response } => [
                Opcode::PRI_RESP.0.into(),
                sid(stream) | ssid(substream),
                (PRI_RESP_DW1::PRG_INDEX.val(prg_index.into()) + PRI_RESP_DW1::RESP.val(response as u64)).value,
            ],
            O::Resume { stream, stag, action } => {
                let action = match action {
                    ResumeAction::Retry => RESUME_DW0::AC::SET.value,
                    ResumeAction::Abort => RESUME_DW0::AB::SET.value,
                    ResumeAction::ReadZeroWriteIgnore => 0,
                };
                [Opcode::RESUME.0.into(), sid(stream) | action, RESUME_DW1::STAG.val(stag.into()).value]
            }
            O::StallTerm { stream } => [Opcode::STALL_TERM.0.into(), sid(stream), 0],
            O::Sync(signal) => {
                let [dw0, dw1] = encode_sync(signal);
                [Opcode::SYNC.0.into(), dw0, dw1]
            }
            O::Other(opcode) => [opcode.0.into(), 0, 0],
        };
        Command([op | dw0, dw1])
    }
}

fn sid(stream: StreamId) -> u64 {
    CMD_DW0::SID.val(stream.0.into()).value
}

fn ssid(substream: Option<SubstreamId>) -> u64 {
    substream.map_or(0, |s| (CMD_DW0::SSV::SET + CMD_DW0::SSID.val(s.0.into())).value)
}

fn tag(vmid: u16, asid: u16) -> u64 {
    (TLBI_DW0::VMID.val(vmid.into()) + TLBI_DW0::ASID.val(asid.into())).value
}

fn encode_sync(signal: SyncSignal) -> [u64; 2] {
    match signal {
        SyncSignal::None => [SYNC_DW0::CS::None.value, 0],
        SyncSignal::Irq { address, data, shareability, attributes } => [
            (SYNC_DW0::CS::Irq
                + SYNC_DW0::MSH.val(shareability.into())
                + SYNC_DW0::MSIATTR.val(attributes.into())
                + SYNC_DW0::MSIDATA.val(data.into()))
            .value,
            SYNC_DW1::MSIADDR.val(address >> 2).value,
        ],
        SyncSignal::Sev => [SYNC_DW0::CS::Sev.value, 0],
        SyncSignal::Reserved => [SYNC_DW0::CS.val(3).value, 0],
    }
}

/// One command, as it lies in the queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Command(pub [u64; 2]);

impl Command {
    /// Opcode.
    pub fn opcode(&self) -> Opcode {
        Opcode(CMD_DW0::OP.read(self.0[0]) as u8)
    }

    /// True if SSec is set, which makes any command illegal on the Non-secure queue.
    pub fn is_secure(&self) -> bool {
        CMD_DW0::SSEC.is_set(self.0[0])
    }

    /// Decodes the command.
    pub fn decode(&self) -> Operation {
        use Operation as O;
        let [dw0, dw1] = self.0;
        let stream = StreamId(CMD_DW0::SID.read(dw0) as u32);
        let substream = CMD_DW0::SSV.is_set(dw0).then(|| SubstreamId(CMD_DW0::SSID.read(dw0) as u32));
        let vmid = TLBI_DW0::VMID.read(dw0) as u16;
        let asid = TLBI_DW0::ASID.read(dw0) as u16;
        let range = TlbiRange::decode(dw0, dw1);
        match self.opcode() {
            Opcode::PREFETCH_CONFIG => O::PrefetchConfig { stream, substream },
            Opcode::PREFETCH_ADDR => O::PrefetchAddr {
                stream,
                substream,
                address: PREFETCH_DW1::ADDR.read(dw1) << 12,
                size: PREFETCH_DW1::SIZE.read(dw1) as u8,
                stride: PREFETCH_DW1::STRIDE.read(dw1) as u8,
            },
            Opcode::CFGI_STE => O::CfgiSte { stream, leaf: Leaf::from_bit(dw1) },
            Opcode::CFGI_STE_RANGE => O::CfgiSteRange { stream, range: CFGI_DW1::RANGE.read(dw1) as u8 },
            Opcode::CFGI_CD => O::CfgiCd { stream, substream: SubstreamId(CMD_DW0::SSID.read(dw0) as u32), leaf: Leaf::from_bit(dw1) },
            Opcode::CFGI_CD_ALL => O::CfgiCdAll { stream },
            Opcode::TLBI_NH_ALL => O::TlbiNhAll { vmid },
            Opcode::TLBI_NH_ASID => O::TlbiNhAsid { vmid, asid },
            Opcode::TLBI_NH_VA => O::TlbiNhVa { vmid, asid, range },
            Opcode::TLBI_NH_VAA => O::TlbiNhVaa { vmid, range },
            Opcode::TLBI_EL2_ALL => O::TlbiEl2All,
            Opcode::TLBI_EL2_ASID => O::TlbiEl2Asid { asid },
            Opcode::TLBI_EL2_VA => O::TlbiEl2Va { asid, range },
            Opcode::TLBI_EL2_VAA => O::TlbiEl2Vaa { range },
            Opcode::TLBI_S12_VMALL => O::TlbiS12Vmall { vmid },
            Opcode::TLBI_S2_IPA => O::TlbiS2Ipa { vmid, range },
            Opcode::TLBI_NSNH_ALL => O::TlbiNsnhAll,
            Opcode::ATC_INV => O::AtcInv {
                stream,
                substream,
                global: ATC_DW0::G.is_set(dw0),
                address: ATC_DW1::ADDR.read(dw1) << 12,
                size: ATC_DW1::SIZE.read(dw1) as u8,
            },
            Opcode::PRI_RESP => O::PriResp {
                stream,
                substream,
                prg_index: PRI_RESP_DW1::PRG_INDEX.read(dw1) as u16,
                response: match PRI_RESP_DW1::RESP.read(dw1) {
                    0 => PriResponse::Failure,
                    1 => PriResponse::Invalid,
                    2 => PriResponse::Success,
                    _ => PriResponse::Reserved,
                },
            },
            Opcode::RESUME => O::Resume {
                stream,
                stag: RESUME_DW1::STAG.read(dw1) as u16,
                action: match (RESUME_DW0::AC.is_set(dw0), RESUME_DW0::AB.is_set(dw0)) {
                    (true, _) => ResumeAction::Retry,
                    (false, true) => ResumeAction::Abort,
                    (false, false) => ResumeAction::ReadZeroWriteIgnore,
                },
            },
            Opcode::STALL_TERM => O::StallTerm { stream },
            Opcode::SYNC => O::Sync(match SYNC_DW0::CS.read(dw0) {
                0 => SyncSignal::None,
                1 => SyncSignal::Irq {
                    address: SYNC_DW1::MSIADDR.read(dw1) << 2,
                    data: SYNC_DW0::MSIDATA.read(dw0) as u32,
                    shareability: SYNC_DW0::MSH.read(dw0) as u8,
                    attributes: SYNC_DW0::MSIATTR.read(dw0) as u8,
                },
                2 => SyncSignal::Sev,
                _ => SyncSignal::Reserved,
            }),
            other => O::Other(other),
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}[{:#018x} {:#018x}]", self.opcode(), self.0[0], self.0[1])
    }
}

impl From<Operation> for Command {
    fn from(operation: Operation) -> Self {
        operation.encode()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S8: StreamId = StreamId(8);

    fn golden() -> [(Operation, [u64; 2]); 27] {
        use Operation as O;
        let leaf = Leaf::Only;
        let one_page = TlbiRange { address: 0x40_0000, leaf, tg: 1, num: 0, scale: 0, ttl: 3 };
        let ranged = TlbiRange { address: 0x1_2345_6000, leaf: Leaf::AllLevels, tg: 3, num: 31, scale: 63, ttl: 2 };
        [
            (O::CFGI_ALL, [0x04, 0x1f]),
            (O::CfgiSte { stream: S8, leaf }, [0x0000_0008_0000_0003, 1]),
            (O::CfgiSteRange { stream: StreamId(0x100), range: 7 }, [0x0000_0100_0000_0004, 7]),
            (O::CfgiCd { stream: S8, substream: SubstreamId(5), leaf }, [0x0000_0008_0000_5005, 1]),
            (O::CfgiCdAll { stream: S8 }, [0x0000_0008_0000_0006, 0]),
            (O::TlbiNhAll { vmid: 3 }, [0x0000_0003_0000_0010, 0]),
            (O::TlbiNhAsid { vmid: 0, asid: 7 }, [0x0007_0000_0000_0011, 0]),
            (O::TlbiNhVa { vmid: 0, asid: 7, range: TlbiRange::single(0x40_0000, leaf) }, [0x0007_0000_0000_0012, 0x40_0001]),
            (O::TlbiNhVa { vmid: 0, asid: 7, range: one_page }, [0x0007_0000_0000_0012, 0x40_0701]),
            (O::TlbiNhVaa { vmid: 0xabcd, range: ranged }, [0x0000_abcd_03f1_f013, 0x1_2345_6e00]),
            (O::TlbiEl2All, [0x20, 0]),
            (O::TlbiEl2Asid { asid: 9 }, [0x0009_0000_0000_0021, 0]),
            (O::TlbiEl2Va { asid: 9, range: TlbiRange::single(0x1000, leaf) }, [0x0009_0000_0000_0022, 0x1001]),
            (O::TlbiEl2Vaa { range: TlbiRange::single(0x1000, leaf) }, [0x23, 0x1001]),
            (O::TlbiS12Vmall { vmid: 3 }, [0x0000_0003_0000_0028, 0]),
            (O::TlbiS2Ipa { vmid: 3, range: TlbiRange::single(0x2000, leaf) }, [0x0000_0003_0000_002a, 0x2001]),
            (O::TlbiNsnhAll, [0x30, 0]),
            (O::AtcInv { stream: S8, substream: None, global: false, address: 0, size: 52 }, [0x0000_0008_0000_0040, 0x34]),
            (
                O::PriResp { stream: S8, substream: Some(SubstreamId(3)), prg_index: 5, response: PriResponse::Success },
                [0x0000_0008_0000_3841, 0x2005],
            ),
            (O::Resume { stream: S8, stag: 0x1234, action: ResumeAction::Retry }, [0x0000_0008_0000_1044, 0x1234]),
            (O::Resume { stream: S8, stag: 0x1234, action: ResumeAction::Abort }, [0x0000_0008_0000_2044, 0x1234]),
            (O::StallTerm { stream: S8 }, [0x0000_0008_0000_0045, 0]),
            (O::Sync(SyncSignal::None), [0x46, 0]),
            (O::Sync(SyncSignal::Sev), [0x2046, 0]),
            (O::Sync(SyncSignal::Irq { address: 0x4321_0000, data: 0, shareability: 3, attributes: 0xf }), [0x0fc0_1046, 0x4321_0000]),
            (O::Sync(SyncSignal::Irq { address: 0, data: 0, shareability: 0, attributes: 0 }), [0x1046, 0]),
            (
                O::PrefetchAddr { stream: S8, substream: Some(SubstreamId(2)), address: 0x7000, size: 3, stride: 1 },
                [0x0000_0008_0000_2802, 0x7023],
            ),
        ]
    }

    #[test]
    fn golden_words_both_ways() {
        for (operation, words) in golden() {
            assert_eq!(operation.encode().0, words, "{operation:?}");
            assert_eq!(Command(words).decode(), operation, "{words:x?}");
        }
    }

    #[test]
    fn reserved_codes_stay_visible() {
        assert_eq!(Command([0x3046, 0]).decode(), Operation::Sync(SyncSignal::Reserved));
        assert_eq!(
            Command([0x41, 0x3000]).decode(),
            Operation::PriResp { stream: StreamId(0), substream: None, prg_index: 0, response: PriResponse::Reserved }
        );
        assert_eq!(Command([0x50, 0]).decode(), Operation::Other(Opcode(0x50)));
        assert!(Command([0x446, 0]).is_secure());
    }
}
