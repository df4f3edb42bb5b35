//! Register maps, offsets in bytes from BAR2 (B.1, B.5 to B.10).
//!
//! [`function`] is decoded by every function, [`pf`] and [`am`] by the physical function only. Reset values are those of G.3; where no
//! source names one it is 0.

macro_rules! registers {
    ($(#[$table_doc:meta])* $table:ident: $($(#[$doc:meta])* $name:ident: $width:ty $(, $fields:ty)? = $offset:literal, $permission:ident, $reset:expr;)*) => {
        $($(#[$doc])* pub const $name: hal::Reg<$width $(, $fields)?> =
            hal::Reg::<$width $(, $fields)?>::new(stringify!($name), $offset, hal::Permission::$permission, $reset);)*
        $(#[$table_doc])*
        pub const $table: &[hal::RegInfo] = &[$($name.info),*];
    };
}

pub mod am;
pub mod function;
pub mod pf;

/// Length in bytes of the register BAR of a physical function: 4 MiB covers everything up to 0x334xxx.
pub const BAR2_BYTES: u64 = 0x40_0000;
/// Length in bytes of the register BAR of a virtual function (A.2).
pub const VF_BAR2_BYTES: u64 = 0x1_0000;
/// Distance in bytes between two queues' doorbell pages in BAR4.
pub const DOORBELL_PAGE_BYTES: u64 = 0x1_0000;
/// Offset of the doorbell inside a queue's page, and of the shared SQ/CQ doorbell in BAR2.
pub const DOORBELL_OFFSET: u64 = 0x1000;
/// First byte past the function area.
pub const FUNCTION_AREA_END: u64 = 0x4000;

#[cfg(test)]
mod tests {
    use hal::RegInfo;

    fn ascending(table: &[RegInfo], from: u64, to: u64) {
        let mut end = from;
        for reg in table {
            assert!(reg.offset >= end, "{} at {:#x} overlaps its predecessor", reg.name, reg.offset);
            assert_eq!(reg.offset % 4, 0);
            end = reg.offset + u64::from(reg.bytes);
        }
        assert!(end <= to);
    }

    #[test]
    fn registers_ascend_without_overlap_inside_their_window() {
        ascending(super::function::REGISTERS, 0, super::FUNCTION_AREA_END);
        ascending(super::pf::REGISTERS, 0x10_0000, 0x18_0000);
        ascending(super::am::REGISTERS, 0x30_0000, 0x30_1000);
    }

    /// Names and offsets as the tables of B.1, B.2 and B.5 to B.10 have them, typed from there.
    #[test]
    fn offsets_are_those_of_the_tables() {
        let tables: [(&[RegInfo], &[(u64, &str)]); 3] =
            [(super::function::REGISTERS, FUNCTION), (super::pf::REGISTERS, DEVICE), (super::am::REGISTERS, MASTER)];
        for (registers, typed) in tables {
            for (offset, name) in typed {
                let found = registers.iter().find(|reg| reg.offset == *offset);
                assert_eq!(found.map(|reg| reg.name), Some(*name), "{offset:#x}");
            }
        }
    }

    const FUNCTION: &[(u64, &str)] = &[
        (0x0000, "VF_AEQ_INT_SOURCE"),
        (0x0004, "VF_AEQ_INT_MASK"),
        (0x0008, "VF_EQ_INT_SOURCE"),
        (0x000c, "VF_EQ_INT_MASK"),
        (0x0020, "IFC_INT_SOURCE_V"),
        (0x0024, "IFC_INT_MASK"),
        (0x0028, "IFC_INT_STATUS"),
        (0x002c, "IFC_INT_SET_V"),
        (0x0030, "QUE_ISO_CFG_V"),
        (0x0034, "PAGE_SIZE"),
        (0x0060, "VF_STATE"),
        (0x0200, "DFX_FUNS_ACTIVE_ST"),
        (0x0204, "CACHE_WB_START"),
        (0x0208, "CACHE_WB_DONE"),
        (0x0210, "SUB_VERSION_ID"),
        (0x0300, "MB_CMD_SEND_BASE"),
        (0x0304, "MB_CMD_DATA_ADDR_L"),
        (0x0308, "MB_CMD_DATA_ADDR_H"),
        (0x1000, "DOORBELL_SQ_CQ"),
        (0x2000, "DOORBELL_EQ_AEQ"),
        (0x3100, "CAPABILITY"),
        (0x3104, "CAP_EVENT_DEPTHS"),
        (0x3108, "CAP_QUEUE_DEPTHS"),
        (0x310c, "CAP_EQ_IRQ"),
        (0x3110, "CAP_AEQ_IRQ"),
        (0x3114, "CAP_ABNORMAL_IRQ"),
        (0x3118, "CAP_MAILBOX_IRQ"),
        (0x311c, "CAP_IRQ_COUNTS"),
        (0x3124, "CAP_NFE"),
        (0x3128, "CAP_RESET_SHUTDOWN"),
        (0x312c, "CAP_CE"),
        (0x317c, "CAP_END"),
    ];
    const DEVICE: &[(u64, &str)] = &[
        (0x10_0000, "ABNORMAL_INT_SOURCE"),
        (0x10_0004, "ABNORMAL_INT_MASK"),
        (0x10_0008, "ABNORMAL_INT_STATUS"),
        (0x10_000c, "ABNORMAL_INT_SET"),
        (0x10_0010, "ABNORMAL_INF00"),
        (0x10_0014, "ABNORMAL_INF01"),
        (0x10_0018, "ABNORMAL_INF02"),
        (0x10_0040, "MEM_START_INIT"),
        (0x10_0044, "MEM_INIT_DONE"),
        (0x10_0050, "CACHE_CTL"),
        (0x10_0054, "VFT_CFG_OP_ENABLE"),
        (0x10_0058, "VFT_CFG_OP_WR"),
        (0x10_005c, "VFT_CFG_TYPE"),
        (0x10_0060, "VFT_CFG"),
        (0x10_0064, "VFT_CFG_DATA_L"),
        (0x10_0068, "VFT_CFG_DATA_H"),
        (0x10_006c, "VFT_CFG_RDY"),
        (0x10_0070, "TIMEOUT_CFG"),
        (0x10_0074, "DB_TIMEOUT_CFG"),
        (0x10_0078, "FLR_PENDING_TIME_CFG"),
        (0x10_0088, "ARUSER_M_CFG_1"),
        (0x10_0090, "ARUSER_M_CFG_ENABLE"),
        (0x10_0098, "AWUSER_M_CFG_1"),
        (0x10_00a0, "AWUSER_M_CFG_ENABLE"),
        (0x10_00a8, "WUSER_M_CFG_ENABLE"),
        (0x10_00ac, "AXI_M_CFG"),
        (0x10_00b0, "AXI_M_CFG_ENABLE"),
        (0x10_00cc, "PEH_AXUSER_CFG"),
        (0x10_00d0, "PEH_AXUSER_CFG_ENABLE"),
        (0x10_00d8, "PEH_VENDOR_ID"),
        (0x10_00dc, "REVISION_ID"),
        (0x10_00ec, "RAS_CE_ENABLE"),
        (0x10_00f0, "RAS_FE_ENABLE"),
        (0x10_00f4, "RAS_NFE_ENABLE"),
        (0x10_00f8, "RAS_CE_THRESHOLD"),
        (0x10_00fc, "PEH_DFX_INFO0"),
        (0x10_0100, "PEH_DFX_INFO1"),
        (0x10_0128, "IFC_READY_STATUS"),
        (0x10_0130, "IFC_INT_SET_P"),
        (0x10_0134, "IFC_INT_CFG"),
        (0x10_0138, "IFC_INT_SOURCE_P"),
        (0x10_0148, "PM_CTRL"),
        (0x10_0158, "QUEUE_NUM"),
        (0x10_0164, "SHAPER_CFG"),
        (0x10_4000, "ECC_1BIT_CNT"),
        (0x10_4008, "ECC_MBIT_CNT"),
        (0x10_4010, "MB_CNT_SELECT"),
        (0x10_4018, "MB_CNT"),
        (0x10_4020, "DB_CNT_SELECT"),
        (0x10_4028, "DB_CNT"),
        (0x10_4030, "SQE_CNT_SELECT"),
        (0x10_4038, "SQE_CNT"),
        (0x10_4040, "CQE_CNT_SELECT"),
        (0x10_4048, "CQE_CNT"),
        (0x10_4050, "SEND_SQE_TO_ACC_CNT"),
        (0x10_4058, "WB_SQE_FROM_ACC_CNT"),
        (0x10_4060, "ACC_FINISH_CNT"),
        (0x10_40b4, "CQE_ERR_CNT"),
        (0x10_40e4, "IN_IDLE_ST"),
        (0x10_40f8, "OOO_SHUTDOWN_SEL"),
        (0x10_4100, "CQE_OUT_CNT"),
        (0x10_4104, "EQE_OUT_CNT"),
        (0x10_4108, "AEQE_OUT_CNT"),
        (0x10_0118, "CNT_CLR_CE"),
    ];
    const MASTER: &[(u64, &str)] = &[(0x30_0000, "MASTER_GLOBAL_CTRL"), (0x30_0150, "TRANS_RETURN")];

    #[test]
    fn reset_values_of_section_g3() {
        use super::{am, function, pf};
        let resets = [
            (function::VF_AEQ_INT_MASK.info, 0x4, 1),
            (function::VF_EQ_INT_MASK.info, 0xc, 1),
            (function::IFC_INT_MASK.info, 0x24, 1),
            (pf::VFT_CFG_RDY.info, 0x10_006c, 1),
            (pf::PEH_VENDOR_ID.info, 0x10_00d8, 0x19e5),
            (pf::ABNORMAL_INT_MASK.info, 0x10_0004, 0x7fff),
            (am::TRANS_RETURN.info, 0x30_0150, 3),
        ];
        for (info, offset, reset) in resets {
            assert_eq!((info.offset, info.reset), (offset, reset), "{}", info.name);
        }
    }
}
