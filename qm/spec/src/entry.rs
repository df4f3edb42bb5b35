//! Entries that the device writes: CQE, EQE, AEQE (C.4).
#![allow(missing_docs, reason = "register_bitfields! makes items of its own beside each documented field")]

use tock_registers::{LocalRegisterCopy, register_bitfields};

register_bitfields! { u32,
    /// Dword 2 of a CQE.
    pub CQE_W2 [
        /// [15:0] SQ_HEAD: index of the finished submission entry.
        SQ_HEAD OFFSET(0) NUMBITS(16) [],
        /// [31:16] SQ_NUM: its queue.
        SQ_NUM OFFSET(16) NUMBITS(16) [],
    ],
    /// Dword 3 of a CQE.
    pub CQE_W3 [
        /// [16] PHASE.
        PHASE OFFSET(16) NUMBITS(1) [],
        /// [31:17] STATUS, named in one source only.
        STATUS OFFSET(17) NUMBITS(15) [],
    ],
    /// An event queue entry.
    pub EQE [
        /// [15:0] CQN: the completion queue that has something new.
        CQN OFFSET(0) NUMBITS(16) [],
        /// [16] PHASE.
        PHASE OFFSET(16) NUMBITS(1) [],
    ],
    /// An asynchronous event queue entry.
    pub AEQE [
        /// [15:0] QN: the queue.
        QN OFFSET(0) NUMBITS(16) [],
        /// [16] PHASE.
        PHASE OFFSET(16) NUMBITS(1) [],
        /// [20:17] TYPE: what happened.
        TYPE OFFSET(17) NUMBITS(4) [],
    ]
}

/// Bytes of a completion entry.
pub const CQE_BYTES: usize = 16;
/// Bytes of an event entry.
pub const EQE_BYTES: usize = 4;
/// Bytes of an asynchronous event entry.
pub const AEQE_BYTES: usize = 4;

/// A completion entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cqe {
    /// Index of the finished submission entry. Comes from a device: check it against the depth.
    pub sq_head: u16,
    /// Queue of that entry.
    pub sq_num: u16,
    /// Phase bit.
    pub phase: bool,
}

impl Cqe {
    /// The four dwords in memory.
    pub fn encode(&self) -> [u32; 4] {
        let w2 = CQE_W2::SQ_HEAD.val(self.sq_head.into()) + CQE_W2::SQ_NUM.val(self.sq_num.into());
        [0, 0, w2.value, CQE_W3::PHASE.val(self.phase.into()).value]
    }
    /// Reads dwords 2 and 3.
    pub fn decode(w2: u32, w3: u32) -> Self {
        let w2 = LocalRegisterCopy::<u32, CQE_W2::Register>::new(w2);
        Self { sq_head: w2.read(CQE_W2::SQ_HEAD) as u16, sq_num: w2.read(CQE_W2::SQ_NUM) as u16, phase: Self::phase_of(w3) }
    }
    /// The phase bit of dword 3.
    pub fn phase_of(w3: u32) -> bool {
        LocalRegisterCopy::<u32, CQE_W3::Register>::new(w3).is_set(CQE_W3::PHASE)
    }
}

/// An event queue entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Eqe {
    /// Completion queue. Comes from a device: check it against the queue count.
    pub cqn: u16,
    /// Phase bit.
    pub phase: bool,
}

impl Eqe {
    /// The dword in memory.
    pub fn encode(&self) -> u32 {
        (EQE::CQN.val(self.cqn.into()) + EQE::PHASE.val(self.phase.into())).value
    }
    /// Reads the dword.
    pub fn decode(word: u32) -> Self {
        let word = LocalRegisterCopy::<u32, EQE::Register>::new(word);
        Self { cqn: word.read(EQE::CQN) as u16, phase: word.is_set(EQE::PHASE) }
    }
}

/// What an asynchronous event reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AeqeType(pub u8);

impl AeqeType {
    /// A completion queue was not drained.
    pub const CQ_OVERFLOW: Self = Self(0);
    /// The event queue was not drained: the whole function is affected.
    pub const EQ_OVERFLOW: Self = Self(1);
    /// A completion could not be delivered.
    pub const CQE_ERROR: Self = Self(2);
}

/// An asynchronous event queue entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Aeqe {
    /// The queue. Comes from a device: check it against the queue count.
    pub queue: u16,
    /// Phase bit.
    pub phase: bool,
    /// What happened.
    pub kind: AeqeType,
}

impl Aeqe {
    /// The dword in memory.
    pub fn encode(&self) -> u32 {
        (AEQE::QN.val(self.queue.into()) + AEQE::PHASE.val(self.phase.into()) + AEQE::TYPE.val(self.kind.0.into())).value
    }
    /// Reads the dword; bits above the type are ignored.
    pub fn decode(word: u32) -> Self {
        let word = LocalRegisterCopy::<u32, AEQE::Register>::new(word);
        Self { queue: word.read(AEQE::QN) as u16, phase: word.is_set(AEQE::PHASE), kind: AeqeType(word.read(AEQE::TYPE) as u8) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_rows_50_to_52() {
        let cqe = Cqe { sq_head: 5, sq_num: 3, phase: true };
        assert_eq!(cqe.encode(), [0, 0, 0x0003_0005, 0x0001_0000]);
        assert_eq!(Cqe { phase: false, ..cqe }.encode(), [0, 0, 0x0003_0005, 0]);
        assert_eq!(Cqe::decode(0x0003_0005, 0x0001_0000), cqe);
        assert_eq!(Eqe { cqn: 3, phase: true }.encode(), 0x0001_0003);
        assert_eq!(Eqe { cqn: 3, phase: false }.encode(), 0x0000_0003);
        assert_eq!(Eqe::decode(0x0001_0003), Eqe { cqn: 3, phase: true });
        let rows = [
            (Aeqe { queue: 3, phase: true, kind: AeqeType::CQ_OVERFLOW }, 0x0001_0003),
            (Aeqe { queue: 0, phase: true, kind: AeqeType::EQ_OVERFLOW }, 0x0003_0000),
            (Aeqe { queue: 3, phase: true, kind: AeqeType::CQE_ERROR }, 0x0005_0003),
        ];
        for (aeqe, word) in rows {
            assert_eq!(aeqe.encode(), word);
            assert_eq!(Aeqe::decode(word), aeqe);
            assert_eq!(Aeqe::decode(word | 0xffe0_0000), aeqe, "the type is four bits wide");
        }
    }

    #[test]
    fn masks_of_table_c4() {
        assert_eq!([CQE_W2::SQ_HEAD, CQE_W2::SQ_NUM].map(|f| f.mask << f.shift), [0xffff, 0xffff_0000]);
        assert_eq!([CQE_W3::PHASE, CQE_W3::STATUS].map(|f| f.mask << f.shift), [0x1_0000, 0xfffe_0000]);
        assert_eq!([EQE::CQN, EQE::PHASE].map(|f| f.mask << f.shift), [0xffff, 0x1_0000]);
        assert_eq!([AEQE::QN, AEQE::PHASE, AEQE::TYPE].map(|f| f.mask << f.shift), [0xffff, 0x1_0000, 0x1e_0000]);
    }
}
