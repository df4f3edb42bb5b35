//! Capability words: what a version 3 part says about itself, and the constants that hold where nothing is said (B.2).
#![allow(missing_docs, reason = "register_bitfields! makes items of its own beside each documented field")]

use tock_registers::{LocalRegisterCopy, register_bitfields};

use crate::QmVersion;

register_bitfields! { u32,
    /// Word 0x3100. Meaningful if VERSION is not 0; the constants of the QM version apply otherwise.
    pub CAP_FUNCTIONS [
        /// [7:0] VERSION of the capability table.
        VERSION OFFSET(0) NUMBITS(8) [],
        /// [8] SHAPER: per-function bandwidth shaper.
        SHAPER OFFSET(8) NUMBITS(1) [],
        /// [9] STOP_QP: mailbox command STOP_QP.
        STOP_QP OFFSET(9) NUMBITS(1) [],
        /// [10] FLUSH_QM: mailbox command FLUSH_QM.
        FLUSH_QM OFFSET(10) NUMBITS(1) [],
        /// [11] PF_VF: messages between functions.
        PF_VF OFFSET(11) NUMBITS(1) [],
        /// [12] VF_PM: runtime power management of a VF.
        VF_PM OFFSET(12) NUMBITS(1) [],
        /// [13] PF_PM: runtime power management of the PF.
        PF_PM OFFSET(13) NUMBITS(1) [],
        /// [14] SVA_PREFETCH: the engine prefetches translations.
        SVA_PREFETCH OFFSET(14) NUMBITS(1) [],
        /// [15] DAE: a data analysis engine is present.
        DAE OFFSET(15) NUMBITS(1) [],
    ],
    /// Word 0x100158: queue numbers. Always read by the PF from version 3 on.
    pub QUEUE_NUMBERS [
        /// [10:0] TOTAL: queues of the device.
        TOTAL OFFSET(0) NUMBITS(11) [],
        /// [21:11] MAX: most queues of one function.
        MAX OFFSET(11) NUMBITS(11) [],
    ]
}

/// Queue counts of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueNumbers {
    /// Queues of the device.
    pub total: u16,
    /// Most queues that one function may have.
    pub max_per_function: u16,
}

impl QueueNumbers {
    /// The register's word.
    pub fn encode(&self) -> u32 {
        (QUEUE_NUMBERS::TOTAL.val(self.total.into()) + QUEUE_NUMBERS::MAX.val(self.max_per_function.into())).value
    }
    /// Reads the register's word.
    pub fn decode(word: u32) -> Self {
        let word = LocalRegisterCopy::<u32, QUEUE_NUMBERS::Register>::new(word);
        Self { total: word.read(QUEUE_NUMBERS::TOTAL) as u16, max_per_function: word.read(QUEUE_NUMBERS::MAX) as u16 }
    }
}

/// Ring depths of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DepthCaps {
    /// Event queue entries.
    pub eq: u16,
    /// Asynchronous event queue entries.
    pub aeq: u16,
    /// Submission queue entries.
    pub sq: u16,
    /// Completion queue entries.
    pub cq: u16,
}

impl DepthCaps {
    /// The defaults of a version.
    pub const fn of(version: QmVersion) -> Self {
        let aeq = match version {
            QmVersion::V1 => 0,
            QmVersion::V2 | QmVersion::V3 => 0x400,
        };
        Self { eq: 0x800, aeq, sq: 0x400, cq: 0x400 }
    }
    /// Word 0x3104.
    pub const fn events_word(&self) -> u32 {
        self.eq as u32 | (self.aeq as u32) << 16
    }
    /// Word 0x3108.
    pub const fn queues_word(&self) -> u32 {
        self.sq as u32 | (self.cq as u32) << 16
    }
    /// Reads words 0x3104 and 0x3108.
    pub const fn decode(events: u32, queues: u32) -> Self {
        Self { eq: events as u16, aeq: (events >> 16) as u16, sq: queues as u16, cq: (queues >> 16) as u16 }
    }
}

/// The queue manager's own capability words of one part; the engine's lie at 0x3130 to 0x315c.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapabilityWords {
    /// 0x3100, fields of [`CAP_FUNCTIONS`].
    pub functions: u32,
    /// 0x3104: EQ and AEQ depth.
    pub event_depths: u32,
    /// 0x3108: SQ and CQ depth.
    pub queue_depths: u32,
    /// 0x310c: EQ interrupt, type in 31:16, vector in 15:0.
    pub eq_irq: u32,
    /// 0x3110: AEQ interrupt.
    pub aeq_irq: u32,
    /// 0x3114: abnormal interrupt.
    pub abnormal_irq: u32,
    /// 0x3118: mailbox interrupt.
    pub mailbox_irq: u32,
    /// 0x311c: vector counts, VF in 15:0, PF in 31:16.
    pub irq_counts: u32,
    /// 0x3124: NFE mask.
    pub nfe: u32,
    /// 0x3128: reset mask in 15:0, shutdown mask in 31:16.
    pub reset_shutdown: u32,
    /// 0x312c: CE mask.
    pub ce: u32,
}

impl CapabilityWords {
    /// The constants of a version; 0x3100's version byte is 1 so that the words are to be believed.
    pub const fn of(version: QmVersion) -> Self {
        let depths = DepthCaps::of(version);
        let masks = crate::RasMasks::of(version);
        let (functions, aeq, abnormal, mailbox, counts) = match version {
            QmVersion::V1 => (0, 0, 0, 0, 0x0001_0001),
            QmVersion::V2 => (0, 0x1_0001, 0x1_0003, 0, 0x0004_0002),
            QmVersion::V3 => (0x6f01, 0x1_0001, 0x1_0003, 0x1_0002, 0x0004_0003),
        };
        Self {
            functions,
            event_depths: depths.events_word(),
            queue_depths: depths.queues_word(),
            eq_irq: 0x1_0000,
            aeq_irq: aeq,
            abnormal_irq: abnormal,
            mailbox_irq: mailbox,
            irq_counts: counts,
            nfe: masks.nfe,
            reset_shutdown: masks.reset | masks.shutdown << 16,
            ce: masks.ce,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_row_49() {
        let numbers = QueueNumbers { total: 1024, max_per_function: 1024 };
        assert_eq!(numbers.encode(), 0x0020_0400);
        assert_eq!(QueueNumbers::decode(0x0020_0400), numbers);
    }

    #[test]
    fn default_words_of_table_b2() {
        let v3 = CapabilityWords::of(QmVersion::V3);
        assert_eq!((v3.functions, v3.event_depths, v3.queue_depths), (0x6f01, 0x0400_0800, 0x0400_0400));
        assert_eq!((v3.eq_irq, v3.aeq_irq, v3.abnormal_irq, v3.mailbox_irq), (0x10000, 0x10001, 0x10003, 0x10002));
        assert_eq!((v3.nfe, v3.reset_shutdown, v3.ce), (0x7c77, 0x6c77_6c77, 0x8));
        let v2 = CapabilityWords::of(QmVersion::V2);
        assert_eq!((v2.nfe, v2.reset_shutdown, v2.ce, v2.irq_counts), (0x1c57, 0x0004_0c57, 0x8, 0x0004_0002));
        let v1 = CapabilityWords::of(QmVersion::V1);
        assert_eq!((v1.event_depths, v1.irq_counts, v1.aeq_irq), (0x0000_0800, 0x0001_0001, 0));
        assert_eq!(DepthCaps::decode(0x0400_0800, 0x0400_0400), DepthCaps { eq: 2048, aeq: 1024, sq: 1024, cq: 1024 });
    }

    #[test]
    fn function_bits_are_disjoint_and_where_b2_says() {
        let fields = [
            CAP_FUNCTIONS::VERSION,
            CAP_FUNCTIONS::SHAPER,
            CAP_FUNCTIONS::STOP_QP,
            CAP_FUNCTIONS::FLUSH_QM,
            CAP_FUNCTIONS::PF_VF,
            CAP_FUNCTIONS::VF_PM,
            CAP_FUNCTIONS::PF_PM,
            CAP_FUNCTIONS::SVA_PREFETCH,
            CAP_FUNCTIONS::DAE,
        ];
        let typed = [0xff, 0x100, 0x200, 0x400, 0x800, 0x1000, 0x2000, 0x4000, 0x8000];
        assert_eq!(fields.map(|f| f.mask << f.shift), typed);
        assert_eq!([QUEUE_NUMBERS::TOTAL, QUEUE_NUMBERS::MAX].map(|f| f.mask << f.shift), [0x7ff, 0x3f_f800]);
    }
}
