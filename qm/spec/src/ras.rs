//! Errors of the queue manager: the bits of ABNORMAL_INT_SOURCE / MASK / STATUS / SET and their classes (B.7).
#![allow(missing_docs, reason = "register_bitfields! makes items of its own beside each documented field")]

use tock_registers::register_bitfields;

use crate::QmVersion;

register_bitfields! { u32,
    /// Error bits, the same in source, mask, status, set and class registers.
    pub RAS [
        /// [0] AXI_RRESP: read response.
        AXI_RRESP OFFSET(0) NUMBITS(1) [],
        /// [1] AXI_BRESP: write response.
        AXI_BRESP OFFSET(1) NUMBITS(1) [],
        /// [2] ECC_MBIT: multi-bit memory error.
        ECC_MBIT OFFSET(2) NUMBITS(1) [],
        /// [3] ECC_1BIT: corrected memory error.
        ECC_1BIT OFFSET(3) NUMBITS(1) [],
        /// [4] ACC_GET_TASK_TIMEOUT: the engine did not take a task in time.
        ACC_GET_TASK_TIMEOUT OFFSET(4) NUMBITS(1) [],
        /// [5] ACC_DO_TASK_TIMEOUT: the engine did not finish a task in time.
        ACC_DO_TASK_TIMEOUT OFFSET(5) NUMBITS(1) [],
        /// [6] ACC_WB_NOT_READY_TIMEOUT: write-back not ready.
        ACC_WB_NOT_READY_TIMEOUT OFFSET(6) NUMBITS(1) [],
        /// [7] SQ_CQ_VF_INVALID: both rings are not this function's.
        SQ_CQ_VF_INVALID OFFSET(7) NUMBITS(1) [],
        /// [8] CQ_VF_INVALID: a completion ring is not this function's.
        CQ_VF_INVALID OFFSET(8) NUMBITS(1) [],
        /// [9] SQ_VF_INVALID: a submission ring is not this function's.
        SQ_VF_INVALID OFFSET(9) NUMBITS(1) [],
        /// [10] DB_TIMEOUT: a doorbell was not accepted in time; owner in INF01.
        DB_TIMEOUT OFFSET(10) NUMBITS(1) [],
        /// [11] OF_FIFO_OF: the overflow FIFO overflowed; owner in INF00.
        OF_FIFO_OF OFFSET(11) NUMBITS(1) [],
        /// [12] DB_RANDOM_INVALID: a doorbell's random data did not match.
        DB_RANDOM_INVALID OFFSET(12) NUMBITS(1) [],
        /// [13] MAILBOX_TIMEOUT.
        MAILBOX_TIMEOUT OFFSET(13) NUMBITS(1) [],
        /// [14] FLR_TIMEOUT.
        FLR_TIMEOUT OFFSET(14) NUMBITS(1) [],
    ],
    /// Owner of a FIFO overflow.
    pub ABNORMAL_INF00 [
        /// [5:0] FUNCTION.
        FUNCTION OFFSET(0) NUMBITS(6) [],
        /// [7:6] KIND: 0 cq, 1 eq, 2 aeq.
        KIND OFFSET(6) NUMBITS(2) [],
        /// [31:16] QUEUE.
        QUEUE OFFSET(16) NUMBITS(16) [],
    ],
    /// Owner of a doorbell timeout.
    pub ABNORMAL_INF01 [
        /// [5:0] FUNCTION.
        FUNCTION OFFSET(0) NUMBITS(6) [],
        /// [7:6] KIND: 0 sq, 1 cq, 2 eq, 3 aeq.
        KIND OFFSET(6) NUMBITS(2) [],
        /// [31:16] QUEUE.
        QUEUE OFFSET(16) NUMBITS(16) [],
    ]
}

/// Every defined error bit; also the value of the mask register that masks everything.
pub const RAS_ALL: u32 = 0x7fff;
/// Bits that report spuriously while the internal memory is initialised over a bus just re-opened (I.3).
pub const RAS_AXI: u32 = 0x1003;

/// Which errors belong to which class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RasMasks {
    /// Correctable.
    pub ce: u32,
    /// Non-fatal.
    pub nfe: u32,
    /// Non-fatal ones that need a reset.
    pub reset: u32,
    /// Ones that freeze the bus.
    pub shutdown: u32,
}

impl RasMasks {
    /// The defaults of a version (B.2, B.7).
    pub const fn of(version: QmVersion) -> Self {
        match version {
            QmVersion::V1 => Self { ce: 0, nfe: 0, reset: 0, shutdown: 0 },
            QmVersion::V2 => Self { ce: 0x8, nfe: 0x1c57, reset: 0xc57, shutdown: 0x4 },
            QmVersion::V3 => Self { ce: 0x8, nfe: 0x7c77, reset: 0x6c77, shutdown: 0x6c77 },
        }
    }
    /// Every error that a driver has reported to it.
    pub const fn reported(&self) -> u32 {
        self.ce | self.nfe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_numbered_as_in_table_b7() {
        let bits = [
            RAS::AXI_RRESP,
            RAS::AXI_BRESP,
            RAS::ECC_MBIT,
            RAS::ECC_1BIT,
            RAS::ACC_GET_TASK_TIMEOUT,
            RAS::ACC_DO_TASK_TIMEOUT,
            RAS::ACC_WB_NOT_READY_TIMEOUT,
            RAS::SQ_CQ_VF_INVALID,
            RAS::CQ_VF_INVALID,
            RAS::SQ_VF_INVALID,
            RAS::DB_TIMEOUT,
            RAS::OF_FIFO_OF,
            RAS::DB_RANDOM_INVALID,
            RAS::MAILBOX_TIMEOUT,
            RAS::FLR_TIMEOUT,
        ];
        for (number, bit) in bits.iter().enumerate() {
            assert_eq!(bit.mask << bit.shift, 1 << number);
        }
    }

    #[test]
    fn class_masks_name_the_bits_that_b7_lists() {
        let bits = |list: &[u32]| list.iter().fold(0, |all, bit| all | 1 << bit);
        let v2 = RasMasks::of(QmVersion::V2);
        let v3 = RasMasks::of(QmVersion::V3);
        assert_eq!(v2.nfe, bits(&[0, 1, 2, 4, 6, 10, 11, 12]));
        assert_eq!(v3.nfe, bits(&[0, 1, 2, 4, 6, 10, 11, 12, 5, 13, 14]));
        assert_eq!(v2.reset, v2.nfe & !bits(&[12]));
        assert_eq!(v3.reset, v3.nfe & !bits(&[12]));
        assert_eq!((v2.shutdown, v3.shutdown), (bits(&[2]), v3.reset));
        assert_eq!(RAS_AXI, bits(&[0, 1, 12]));
        // Golden rows 46 and 47: what a driver clears first, and the mask it leaves from 7fff.
        assert_eq!((v3.reported(), RAS_ALL & !v3.reported()), (0x7c7f, 0x380));
        assert_eq!((v2.reported(), RAS_ALL & !v2.reported()), (0x1c5f, 0x63a0));
    }
}
