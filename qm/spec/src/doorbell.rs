//! Doorbells: one 64-bit store that names a ring and a position in it (B.4).
#![allow(missing_docs, reason = "register_bitfields! makes items of its own beside each documented field")]

use tock_registers::{LocalRegisterCopy, register_bitfields};

register_bitfields! { u64,
    /// Doorbell of version 1. Offset 0x340 of the function area. Write-only.
    pub DB_V1 [
        /// [15:0] QN: queue number.
        QN OFFSET(0) NUMBITS(16) [],
        /// [31:16] CMD: which ring.
        CMD OFFSET(16) NUMBITS(16) [],
        /// [47:32] INDEX: new position.
        INDEX OFFSET(32) NUMBITS(16) [],
        /// [63:48] PRIORITY: only bit 48 is used.
        PRIORITY OFFSET(48) NUMBITS(16) [],
    ],
    /// Doorbell of version 2 and later. Offset 0x1000 (SQ, CQ) or 0x2000 (EQ, AEQ), or 0x1000 in a queue's own page. Write-only.
    pub DB_V2 [
        /// [9:0] QN: queue number.
        QN OFFSET(0) NUMBITS(10) [],
        /// [15:12] CMD: which ring.
        CMD OFFSET(12) NUMBITS(4) [],
        /// [31:16] RAND: must equal the context's random data.
        RAND OFFSET(16) NUMBITS(16) [],
        /// [47:32] INDEX: new position.
        INDEX OFFSET(32) NUMBITS(16) [],
        /// [63:48] PRIORITY: only bit 48 is used; for a CQ it arms the next event.
        PRIORITY OFFSET(48) NUMBITS(16) [],
    ]
}

/// The ring that a doorbell is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DoorbellCommand(pub u8);

impl DoorbellCommand {
    /// Submission queue: new tail.
    pub const SQ: Self = Self(0);
    /// Completion queue: new head.
    pub const CQ: Self = Self(1);
    /// Event queue: new head.
    pub const EQ: Self = Self(2);
    /// Asynchronous event queue: new head.
    pub const AEQ: Self = Self(3);
}

/// Which of the two bit layouts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Version 1.
    V1,
    /// Version 2 and later.
    V2,
}

/// A decoded doorbell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Doorbell {
    /// Queue number; 0 for EQ and AEQ.
    pub queue: u16,
    /// Which ring.
    pub command: DoorbellCommand,
    /// Random data, absent in version 1.
    pub rand: u16,
    /// New position.
    pub index: u16,
    /// Priority field; bit 0 arms a CQ.
    pub priority: u16,
}

impl Doorbell {
    /// A submission doorbell: `tail` is the next free slot.
    pub const fn sq(queue: u16, tail: u16) -> Self {
        Self { queue, command: DoorbellCommand::SQ, rand: 0, index: tail, priority: 0 }
    }
    /// A completion doorbell: `head` is the next entry to consume.
    pub const fn cq(queue: u16, head: u16, arm: Arm) -> Self {
        let priority = match arm {
            Arm::No => 0,
            Arm::NextEvent => 1,
        };
        Self { queue, command: DoorbellCommand::CQ, rand: 0, index: head, priority }
    }
    /// An event queue doorbell.
    pub const fn eq(head: u16) -> Self {
        Self { queue: 0, command: DoorbellCommand::EQ, rand: 0, index: head, priority: 0 }
    }
    /// An asynchronous event queue doorbell.
    pub const fn aeq(head: u16) -> Self {
        Self { queue: 0, command: DoorbellCommand::AEQ, rand: 0, index: head, priority: 0 }
    }
    /// The same doorbell with random data.
    pub const fn with_rand(self, rand: u16) -> Self {
        Self { rand, ..self }
    }

    /// The 64-bit word to store. Queue numbers beyond the layout's field are cut off, as the store would.
    pub fn encode(&self, layout: Layout) -> u64 {
        match layout {
            Layout::V1 => {
                (DB_V1::QN.val(self.queue.into())
                    + DB_V1::CMD.val(self.command.0.into())
                    + DB_V1::INDEX.val(self.index.into())
                    + DB_V1::PRIORITY.val(self.priority.into()))
                .value
            }
            Layout::V2 => {
                (DB_V2::QN.val(self.queue.into())
                    + DB_V2::CMD.val(self.command.0.into())
                    + DB_V2::RAND.val(self.rand.into())
                    + DB_V2::INDEX.val(self.index.into())
                    + DB_V2::PRIORITY.val(self.priority.into()))
                .value
            }
        }
    }

    /// Reads a stored word back into its parts.
    pub fn decode(word: u64, layout: Layout) -> Self {
        match layout {
            Layout::V1 => {
                let word = LocalRegisterCopy::<u64, DB_V1::Register>::new(word);
                Self {
                    queue: word.read(DB_V1::QN) as u16,
                    command: DoorbellCommand(word.read(DB_V1::CMD) as u8),
                    rand: 0,
                    index: word.read(DB_V1::INDEX) as u16,
                    priority: word.read(DB_V1::PRIORITY) as u16,
                }
            }
            Layout::V2 => {
                let word = LocalRegisterCopy::<u64, DB_V2::Register>::new(word);
                Self {
                    queue: word.read(DB_V2::QN) as u16,
                    command: DoorbellCommand(word.read(DB_V2::CMD) as u8),
                    rand: word.read(DB_V2::RAND) as u16,
                    index: word.read(DB_V2::INDEX) as u16,
                    priority: word.read(DB_V2::PRIORITY) as u16,
                }
            }
        }
    }

    /// True if a CQ doorbell asks for an event at the next completion.
    pub const fn arms(&self) -> bool {
        self.priority & 1 == 1
    }
}

/// What a completion doorbell asks for besides the new head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arm {
    /// Nothing.
    No,
    /// One event as soon as there is a completion at or past the new head.
    NextEvent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_rows_13_to_20() {
        let rekick = Doorbell { priority: 1, ..Doorbell::sq(5, 0) };
        let rows: [(Doorbell, Option<u64>, u64); 8] = [
            (Doorbell::sq(5, 7), Some(0x0000_0007_0000_0005), 0x0000_0007_0000_0005),
            (Doorbell::cq(5, 7, Arm::No), Some(0x0000_0007_0001_0005), 0x0000_0007_0000_1005),
            (Doorbell::cq(5, 7, Arm::NextEvent), Some(0x0001_0007_0001_0005), 0x0001_0007_0000_1005),
            (Doorbell::cq(1, 1, Arm::NextEvent), Some(0x0001_0001_0001_0001), 0x0001_0001_0000_1001),
            (Doorbell::eq(3), Some(0x0000_0003_0002_0000), 0x0000_0003_0000_2000),
            (Doorbell::aeq(0), Some(0x0000_0000_0003_0000), 0x0000_0000_0000_3000),
            (Doorbell::sq(2, 1).with_rand(0x5a), None, 0x0000_0001_005a_0002),
            (rekick, None, 0x0001_0000_0000_0005),
        ];
        for (doorbell, v1, v2) in rows {
            assert_eq!(doorbell.encode(Layout::V2), v2);
            assert_eq!(Doorbell::decode(v2, Layout::V2), doorbell);
            if let Some(v1) = v1 {
                assert_eq!(doorbell.encode(Layout::V1), v1);
                assert_eq!(Doorbell::decode(v1, Layout::V1), doorbell);
            }
        }
    }

    #[test]
    fn masks_of_table_b4_are_disjoint() {
        let v1 = [DB_V1::QN, DB_V1::CMD, DB_V1::INDEX, DB_V1::PRIORITY].map(|f| f.mask << f.shift);
        assert_eq!(v1, [0xffff, 0xffff_0000, 0xffff_0000_0000, 0xffff_0000_0000_0000]);
        let v2 = [DB_V2::QN, DB_V2::CMD, DB_V2::RAND, DB_V2::INDEX, DB_V2::PRIORITY].map(|f| f.mask << f.shift);
        assert_eq!(v2, [0x3ff, 0xf000, 0xffff_0000, 0xffff_0000_0000, 0xffff_0000_0000_0000]);
        assert_eq!(
            v2.iter().fold(0, |all, mask| {
                assert_eq!(all & mask, 0);
                all | mask
            }),
            0xffff_ffff_ffff_f3ff
        );
    }
}
