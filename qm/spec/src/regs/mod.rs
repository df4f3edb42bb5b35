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
