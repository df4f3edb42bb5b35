//! Registers of the engine in the physical function's BAR2 (E.1, E.3). Reset values are not public; 0 unless noted.

use crate::{Capabilities, MAX_COMPRESS_CORES, MAX_DECOMPRESS_CORES};
use hal::{Permission, Reg, RegInfo};

/// First byte of the engine's registers in BAR2.
pub const WINDOW_BASE: u64 = 0x30_1000;
/// Length of the engine's registers in bytes: the common block and eight cores.
pub const WINDOW_BYTES: u64 = 0x9000;
/// Length of one core's block in bytes.
pub const CORE_BYTES: u64 = 0x1000;

pub use fields::*;

#[allow(missing_docs, reason = "the macro makes items of its own that carry no documentation")]
mod fields {
    use tock_registers::register_bitfields;

    register_bitfields! { u32,
        /// SOFT_CTRL_CNT_CLR_CE — behaviour of the statistics.
        pub COUNTER_CLEAR [
            /// [0] COUNTERS: counters clear when read.
            COUNTERS OFFSET(0) NUMBITS(1) [],
            /// [2] READ_ONLY_COUNTERS: read-only counters clear when read.
            READ_ONLY_COUNTERS OFFSET(2) NUMBITS(1) [],
        ],
        /// CLOCK_GATE_CTRL — core enables and clock gates.
        pub CLOCK_GATE [
            /// [1:0] COMPRESS: core enables.
            COMPRESS OFFSET(0) NUMBITS(2) [],
            /// [7:2] DECOMPRESS: core enables.
            DECOMPRESS OFFSET(2) NUMBITS(6) [],
            /// [15:8] CORE_GATING: one gate per core, from V3 on.
            CORE_GATING OFFSET(8) NUMBITS(8) [],
            /// [16] DECOMP_CHECK_ENABLE.
            DECOMP_CHECK_ENABLE OFFSET(16) NUMBITS(1) [],
            /// [29] OOO_GATING: gate of the out-of-order block, from V3 on.
            OOO_GATING OFFSET(29) NUMBITS(1) [],
        ],
        /// ZIP_CONTROL — reaction to errors.
        pub CONTROL_REACTION [
            /// [14] SHUTDOWN_ENABLE: an error stops the AXI master; 0→1 opens it again.
            SHUTDOWN_ENABLE OFFSET(14) NUMBITS(1) [],
        ],
        /// Core error bits: source, mask, set, status and the RAS enables share them (E.2).
        pub ERROR [
            /// [0] ECC_1BIT.
            ECC_1BIT OFFSET(0) NUMBITS(1) [],
            /// [1] ECC_2BIT: also freezes the bus.
            ECC_2BIT OFFSET(1) NUMBITS(1) [],
            /// [2] AXI_READ: read response.
            AXI_READ OFFSET(2) NUMBITS(1) [],
            /// [3] AXI_WRITE: write response.
            AXI_WRITE OFFSET(3) NUMBITS(1) [],
            /// [4] SOURCE_ADDRESS: source address parse.
            SOURCE_ADDRESS OFFSET(4) NUMBITS(1) [],
            /// [5] DESTINATION_ADDRESS: destination address parse.
            DESTINATION_ADDRESS OFFSET(5) NUMBITS(1) [],
            /// [6] PREFETCH_ADDRESS: input prefetch address.
            PREFETCH_ADDRESS OFFSET(6) NUMBITS(1) [],
            /// [7] PREFETCH_DATA: input prefetch data.
            PREFETCH_DATA OFFSET(7) NUMBITS(1) [],
            /// [8] COMPRESSION_INFO.
            COMPRESSION_INFO OFFSET(8) NUMBITS(1) [],
            /// [9] ENCODE_INFO.
            ENCODE_INFO OFFSET(9) NUMBITS(1) [],
            /// [10] OUTPUT_STAGE.
            OUTPUT_STAGE OFFSET(10) NUMBITS(1) [],
            /// [11] AXI_POISON, from V3 on.
            AXI_POISON OFFSET(11) NUMBITS(1) [],
            /// [12] SVA, from V3 on.
            SVA OFFSET(12) NUMBITS(1) [],
        ],
        /// Capability word 0x3134.
        pub RESET_SHUTDOWN [
            /// [15:0] RESET: errors that need a reset. The two halves stand in the order of the table.
            RESET OFFSET(0) NUMBITS(16) [],
            /// [31:16] SHUTDOWN: errors that freeze the bus.
            SHUTDOWN OFFSET(16) NUMBITS(16) [],
        ],
        /// Capability word 0x313c.
        pub CORE_COUNTS [
            /// [7:0] DECOMPRESS: decompression cores of a cluster.
            DECOMPRESS OFFSET(0) NUMBITS(8) [],
            /// [15:8] COMPRESS: compression cores of a cluster.
            COMPRESS OFFSET(8) NUMBITS(8) [],
            /// [23:16] CORES: cores of a cluster.
            CORES OFFSET(16) NUMBITS(8) [],
            /// [27:24] CORE_TYPES.
            CORE_TYPES OFFSET(24) NUMBITS(4) [],
            /// [31:28] CLUSTERS.
            CLUSTERS OFFSET(28) NUMBITS(4) [],
        ],
        /// PREFETCH_CFG — SVA prefetch.
        pub PREFETCH [
            /// [0] CLOSED_0: clear to let prefetch work.
            CLOSED_0 OFFSET(0) NUMBITS(1) [],
            /// [17] CLOSED_17: clear to let prefetch work.
            CLOSED_17 OFFSET(17) NUMBITS(1) [],
            /// [26] DISABLE: set to stop prefetch; reads back as the confirmation.
            DISABLE OFFSET(26) NUMBITS(1) [],
        ],
        /// CORE_SRAM_ECC_ERR_INFO — where an ECC error was.
        pub ECC_INFO [
            /// [23:16] RAM: its number.
            RAM OFFSET(16) NUMBITS(8) [],
            /// [31:24] ADDRESS in it.
            ADDRESS OFFSET(24) NUMBITS(8) [],
        ],
        /// LIT_LEN_EN — literal length handling of lz77.
        pub LITERAL_LENGTH [
            /// [4] OFF: clear to have literal lengths of more than 16 bits reported.
            OFF OFFSET(4) NUMBITS(1) [],
        ],
        /// Bus attribute word of a traffic class (B.8).
        pub ATTRIBUTE [
            /// [0] SSV: the transaction carries a SubstreamID (V2 SVA).
            SSV OFFSET(0) NUMBITS(1) [],
            /// [4] FP.
            FP OFFSET(4) NUMBITS(1) [],
            /// [5] NO.
            NO OFFSET(5) NUMBITS(1) [],
            /// [6] NS: non-secure.
            NS OFFSET(6) NUMBITS(1) [],
            /// [14:12] COMMAND_TYPE: 1 means through the SMMU.
            COMMAND_TYPE OFFSET(12) NUMBITS(3) [],
            /// [30] SNOOP.
            SNOOP OFFSET(30) NUMBITS(1) [],
        ],
    }
}

/// Bus attribute of everything that is not SVA data on V2: snooped, through the SMMU, non-secure.
pub const USER_ATTRIBUTE: u32 = 0x4000_1070;

macro_rules! registers {
    ($list:ident, $count:literal: $($(#[$doc:meta])* $name:ident $(<$fields:ty>)? $text:literal @ $offset:literal $permission:ident = $reset:literal;)*) => {
        $($(#[$doc])* pub const $name: Reg<u32 $(, $fields)?> = Reg::<u32 $(, $fields)?>::new($text, $offset, Permission::$permission, $reset);)*
        /// Every register of the block, in offset order.
        pub const $list: [RegInfo; $count] = [$($name.info,)*];
    };
}

registers! { REGISTERS, 28:
    /// Behaviour of the statistics; 5 clears on read.
    SOFT_CTRL_CNT_CLR_CE<COUNTER_CLEAR::Register> "SOFT_CTRL_CNT_CLR_CE" @ 0x30_1000 ReadWrite = 0;
    /// Core enables and clock gates.
    CLOCK_GATE_CTRL<CLOCK_GATE::Register> "CLOCK_GATE_CTRL" @ 0x30_1004 ReadWrite = 0;
    /// Watchdog of the internal state machines.
    FSM_MAX_CNT "FSM_MAX_CNT" @ 0x30_1008 ReadWrite = 0;
    /// Reaction to errors.
    ZIP_CONTROL<CONTROL_REACTION::Register> "ZIP_CONTROL" @ 0x30_100c ReadWrite = 0;
    /// Read cache attributes, first word.
    ARCACHE_0 "ARCACHE_0" @ 0x30_1040 ReadWrite = 0;
    /// Read cache attributes, second word.
    ARCACHE_1 "ARCACHE_1" @ 0x30_1044 ReadWrite = 0;
    /// Write cache attributes, first word.
    AWCACHE_0 "AWCACHE_0" @ 0x30_1060 ReadWrite = 0;
    /// Write cache attributes, second word.
    AWCACHE_1 "AWCACHE_1" @ 0x30_1064 ReadWrite = 0;
    /// Pending errors.
    CORE_INT_SOURCE<ERROR::Register> "CORE_INT_SOURCE" @ 0x30_10a0 WriteOneToClear = 0;
    /// Masked errors. Reset value inferred: masked.
    CORE_INT_MASK<ERROR::Register> "CORE_INT_MASK" @ 0x30_10a4 ReadWrite = 0x1fff;
    /// Error injection: raises the bits written 1.
    CORE_INT_SET<ERROR::Register> "CORE_INT_SET" @ 0x30_10a8 WriteOnly = 0;
    /// Pending errors that are not masked.
    CORE_INT_STATUS<ERROR::Register> "CORE_INT_STATUS" @ 0x30_10ac ReadOnly = 0;
    /// Bus attribute of descriptor reads.
    BD_RUSER<ATTRIBUTE::Register> "BD_RUSER_32_63" @ 0x30_1110 ReadWrite = 0;
    /// Bus attribute of scatter list reads.
    SGL_RUSER<ATTRIBUTE::Register> "SGL_RUSER_32_63" @ 0x30_111c ReadWrite = 0;
    /// Bus attribute of data reads.
    DATA_RUSER<ATTRIBUTE::Register> "DATA_RUSER_32_63" @ 0x30_1128 ReadWrite = 0;
    /// Bus attribute of data writes.
    DATA_WUSER<ATTRIBUTE::Register> "DATA_WUSER_32_63" @ 0x30_1134 ReadWrite = 0;
    /// Bus attribute of descriptor writes.
    BD_WUSER<ATTRIBUTE::Register> "BD_WUSER_32_63" @ 0x30_1140 ReadWrite = 0;
    /// Where an ECC error was.
    CORE_SRAM_ECC_ERR_INFO<ECC_INFO::Register> "CORE_SRAM_ECC_ERR_INFO" @ 0x30_1148 ReadOnly = 0;
    /// Corrected errors that are reported.
    RAS_CE_ENABLE<ERROR::Register> "RAS_CE_ENABLE" @ 0x30_1160 ReadWrite = 0;
    /// Non-fatal errors that are reported.
    RAS_NFE_ENABLE<ERROR::Register> "RAS_NFE_ENABLE" @ 0x30_1164 ReadWrite = 0;
    /// Fatal errors that are reported.
    RAS_FE_ENABLE<ERROR::Register> "RAS_FE_ENABLE" @ 0x30_1168 ReadWrite = 0;
    /// Uncorrected error control, read by debug dumps only.
    UNCOM_ERR_RAS_CTRL "UNCOM_ERR_RAS_CTRL" @ 0x30_116c ReadWrite = 0;
    /// Automatic clock gate of the PCIe front end: bit 0, from V3 on.
    PEH_CFG_AUTO_GATE "PEH_CFG_AUTO_GATE" @ 0x30_11a8 ReadWrite = 0;
    /// SVA prefetch. Reset value inferred: off.
    PREFETCH_CFG<PREFETCH::Register> "PREFETCH_CFG" @ 0x30_11b0 ReadWrite = 0x0402_0001;
    /// SVA transactions outstanding; 0 when idle.
    SVA_TRANS "SVA_TRANS" @ 0x30_11c4 ReadOnly = 0;
    /// Literal length handling of lz77. From V3 on.
    LIT_LEN_EN<LITERAL_LENGTH::Register> "LIT_LEN_EN" @ 0x30_1204 ReadWrite = 0;
    /// Bit 0: 1 throughput, 0 ratio.
    HIGH_PERF "HIGH_PERF" @ 0x30_1208 ReadWrite = 0;
    /// Errors that freeze the bus by themselves. From V3 on.
    OOO_SHUTDOWN_SEL<ERROR::Register> "OOO_SHUTDOWN_SEL" @ 0x30_120c ReadWrite = 0;
}

registers! { CORE_REGISTERS, 22:
    /// BDs received. Offsets of this group are from the core's [`core_base`].
    GET_BD_NUM "GET_BD_NUM" @ 0x00 ReadOnly = 0;
    /// BDs that were well formed.
    GET_RIGHT_BD "GET_RIGHT_BD" @ 0x04 ReadOnly = 0;
    /// BDs that were not.
    GET_ERROR_BD "GET_ERROR_BD" @ 0x08 ReadOnly = 0;
    /// BDs finished.
    DONE_BD_NUM "DONE_BD_NUM" @ 0x0c ReadOnly = 0;
    /// Cycles with work.
    WORK_CYCLE "WORK_CYCLE" @ 0x10 ReadOnly = 0;
    /// Cycles without.
    IDLE_CYCLE "IDLE_CYCLE" @ 0x18 ReadOnly = 0;
    /// Longest time of a BD.
    MAX_DELAY "MAX_DELAY" @ 0x20 ReadOnly = 0;
    /// Shortest time of a BD.
    MIN_DELAY "MIN_DELAY" @ 0x24 ReadOnly = 0;
    /// Mean time of a BD.
    AVG_DELAY "AVG_DELAY" @ 0x28 ReadOnly = 0;
    /// Memory window, data.
    MEM_VISIBLE_DATA "MEM_VISIBLE_DATA" @ 0x30 ReadOnly = 0;
    /// Memory window, address.
    MEM_VISIBLE_ADDR "MEM_VISIBLE_ADDR" @ 0x34 ReadWrite = 0;
    /// Input bytes.
    CONSUMED_BYTE "CONSUMED_BYTE" @ 0x38 ReadOnly = 0;
    /// Output bytes.
    PRODUCED_BYTE "PRODUCED_BYTE" @ 0x40 ReadOnly = 0;
    /// Compression stage.
    COMP_INF "COMP_INF" @ 0x70 ReadOnly = 0;
    /// Output stage.
    PRE_OUT "PRE_OUT" @ 0x78 ReadOnly = 0;
    /// BD read stage.
    BD_RD "BD_RD" @ 0x7c ReadOnly = 0;
    /// BD write stage.
    BD_WR "BD_WR" @ 0x80 ReadOnly = 0;
    /// BD reads that failed on the bus.
    GET_BD_AXI_ERR_NUM "GET_BD_AXI_ERR_NUM" @ 0x84 ReadOnly = 0;
    /// BDs that did not parse.
    GET_BD_PARSE_ERR_NUM "GET_BD_PARSE_ERR_NUM" @ 0x88 ReadOnly = 0;
    /// BD write-backs that failed on the bus.
    ADD_BD_AXI_ERR_NUM "ADD_BD_AXI_ERR_NUM" @ 0x8c ReadOnly = 0;
    /// State of the reload unit.
    DECOMP_STF_RELOAD_CURR_ST "DECOMP_STF_RELOAD_CURR_ST" @ 0x94 ReadOnly = 0;
    /// State of the LZ77 unit.
    DECOMP_LZ77_CURR_ST "DECOMP_LZ77_CURR_ST" @ 0x9c ReadOnly = 0;
}

registers! { CAPABILITY_WORDS, 12:
    /// Non-fatal errors of the engine. Capability words lie in the function area and exist from V3 on (B.2); shown are V3's.
    CAP_ZIP_NFE_MASK<ERROR::Register> "CAP_ZIP_NFE_MASK" @ 0x3130 ReadOnly = 0x1ffe;
    /// Errors that need a reset, errors that freeze the bus.
    CAP_ZIP_RESET_SHUTDOWN<RESET_SHUTDOWN::Register> "CAP_ZIP_RESET_SHUTDOWN" @ 0x3134 ReadOnly = 0x07fe_07fe;
    /// Corrected errors of the engine.
    CAP_ZIP_CE_MASK<ERROR::Register> "CAP_ZIP_CE_MASK" @ 0x3138 ReadOnly = 0x1;
    /// How many cores there are.
    CAP_CORE_COUNTS<CORE_COUNTS::Register> "CAP_CORE_COUNTS" @ 0x313c ReadOnly = 0x1205_0203;
    /// Core enables: decompress 31:16, compress 15:0.
    CAP_CORE_ENABLES "CAP_CORE_ENABLES" @ 0x3140 ReadOnly = 0x001c_0003;
    /// Algorithms for the kernel.
    CAP_DRIVER_ALGORITHMS "CAP_DRIVER_ALGORITHMS" @ 0x3144 ReadOnly = 0x30;
    /// Algorithms for user space.
    CAP_DEVICE_ALGORITHMS "CAP_DEVICE_ALGORITHMS" @ 0x3148 ReadOnly = 0xff;
    /// Algorithms of core 1 (compress).
    CAP_CORE_1_ALGORITHMS "CAP_CORE_1_ALGORITHMS" @ 0x314c ReadOnly = 0xd5;
    /// Algorithms of core 2 (compress).
    CAP_CORE_2_ALGORITHMS "CAP_CORE_2_ALGORITHMS" @ 0x3150 ReadOnly = 0xd5;
    /// Algorithms of core 3 (decompress).
    CAP_CORE_3_ALGORITHMS "CAP_CORE_3_ALGORITHMS" @ 0x3154 ReadOnly = 0x2a;
    /// Algorithms of core 4 (decompress).
    CAP_CORE_4_ALGORITHMS "CAP_CORE_4_ALGORITHMS" @ 0x3158 ReadOnly = 0x2a;
    /// Algorithms of core 5 (decompress).
    CAP_CORE_5_ALGORITHMS "CAP_CORE_5_ALGORITHMS" @ 0x315c ReadOnly = 0x2a;
}

/// The capability words of a part from V3 on, as (offset, word).
pub const fn capability_words(capabilities: &Capabilities) -> [(u16, u32); CAPABILITY_WORDS.len()] {
    let mut words = [(0, 0); CAPABILITY_WORDS.len()];
    let mut i = 0;
    while i < words.len() {
        words[i] = (CAPABILITY_WORDS[i].offset as u16, CAPABILITY_WORDS[i].reset as u32);
        i += 1;
    }
    words[6].1 = capabilities.algorithms;
    let cores = [Core::Compress(0), Core::Compress(1), Core::Decompress(0), Core::Decompress(1), Core::Decompress(2)];
    let mut i = 0;
    while i < cores.len() {
        words[7 + i].1 = capabilities.core_algorithms(cores[i]);
        i += 1;
    }
    words
}

/// One core.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Core {
    /// A compression core, 0 or 1.
    Compress(u8),
    /// A decompression core, 0 to 5.
    Decompress(u8),
}

impl Core {
    /// Every core that the register file has room for, in address order.
    pub const ALL: [Self; MAX_COMPRESS_CORES + MAX_DECOMPRESS_CORES] = [
        Self::Compress(0),
        Self::Compress(1),
        Self::Decompress(0),
        Self::Decompress(1),
        Self::Decompress(2),
        Self::Decompress(3),
        Self::Decompress(4),
        Self::Decompress(5),
    ];

    /// Position in [`Core::ALL`]: the bit in `CLOCK_GATE_CTRL`.
    pub const fn index(self) -> usize {
        match self {
            Self::Compress(n) => n as usize,
            Self::Decompress(n) => MAX_COMPRESS_CORES + n as usize,
        }
    }

    /// First byte of the core's block in BAR2.
    pub const fn base(self) -> u64 {
        WINDOW_BASE + CORE_BYTES * (1 + self.index() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_ascend_inside_the_window() {
        for pair in REGISTERS.windows(2) {
            assert!(pair[0].offset + 4 <= pair[1].offset, "{} before {}", pair[0].name, pair[1].name);
        }
        assert!(REGISTERS.iter().all(|r| r.offset >= WINDOW_BASE && r.offset + 4 <= WINDOW_BASE + CORE_BYTES));
        for pair in CORE_REGISTERS.windows(2) {
            assert!(pair[0].offset + 4 <= pair[1].offset, "{} before {}", pair[0].name, pair[1].name);
        }
        assert!(CORE_REGISTERS.iter().all(|r| r.offset + 4 <= CORE_BYTES));
    }

    #[test]
    fn core_bases_are_those_of_the_part() {
        assert_eq!(Core::ALL.map(Core::base), [0x302000, 0x303000, 0x304000, 0x305000, 0x306000, 0x307000, 0x308000, 0x309000]);
        assert_eq!(WINDOW_BASE + WINDOW_BYTES, 0x30_a000);
    }

    #[test]
    fn capability_words_by_profile() {
        let v3 = capability_words(&Capabilities::V3);
        assert!(v3.iter().zip(CAPABILITY_WORDS).all(|(word, register)| *word == (register.offset as u16, register.reset as u32)));
        let v5 = capability_words(&Capabilities::V5);
        assert_eq!(v5[6..9], [(0x3148, 0x3ff), (0x314c, 0x3d5), (0x3150, 0x3d5)]);
        assert_eq!(v5[9..], v3[9..]);
        assert_eq!(v5[..6], v3[..6]);
    }

    #[test]
    fn row_45_clock_gate_words() {
        let v2 = CLOCK_GATE::DECOMP_CHECK_ENABLE::SET + CLOCK_GATE::COMPRESS.val(0x3) + CLOCK_GATE::DECOMPRESS.val(0xfc >> 2);
        assert_eq!(v2.value, 0x0001_00ff);
        let v3 = CLOCK_GATE::DECOMP_CHECK_ENABLE::SET + CLOCK_GATE::COMPRESS.val(0x3) + CLOCK_GATE::DECOMPRESS.val(0x1c >> 2);
        assert_eq!(v3.value, 0x0001_001f);
        assert_eq!((v3 + CLOCK_GATE::CORE_GATING.val(0xff) + CLOCK_GATE::OOO_GATING::SET).value, 0x2001_ff1f);
    }

    #[test]
    fn row_58_bus_attributes() {
        use ATTRIBUTE::*;
        let plain = SNOOP::SET + COMMAND_TYPE.val(1) + NS::SET + NO::SET + FP::SET;
        assert_eq!((plain.value, USER_ATTRIBUTE), (0x4000_1070, 0x4000_1070));
        assert_eq!((plain + SSV::SET).value, 0x4000_1071);
    }

    #[test]
    fn row_48_error_bits_and_control() {
        assert_eq!(CONTROL_REACTION::SHUTDOWN_ENABLE::SET.value, 0x4000);
        let all = ERROR::ECC_1BIT::SET
            + ERROR::ECC_2BIT::SET
            + ERROR::AXI_READ::SET
            + ERROR::AXI_WRITE::SET
            + ERROR::SOURCE_ADDRESS::SET
            + ERROR::DESTINATION_ADDRESS::SET
            + ERROR::PREFETCH_ADDRESS::SET
            + ERROR::PREFETCH_DATA::SET
            + ERROR::COMPRESSION_INFO::SET
            + ERROR::ENCODE_INFO::SET
            + ERROR::OUTPUT_STAGE::SET
            + ERROR::AXI_POISON::SET
            + ERROR::SVA::SET;
        assert_eq!(all.value, 0x1fff);
        assert_eq!((PREFETCH::DISABLE::SET + PREFETCH::CLOSED_17::SET + PREFETCH::CLOSED_0::SET).value, 0x0402_0001);
    }
}
