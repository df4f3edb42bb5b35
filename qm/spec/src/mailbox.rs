//! The mailbox: one 128-bit command word at 0x300 (B.3).
#![allow(missing_docs, reason = "register_bitfields! makes items of its own beside each documented field")]

use tock_registers::{LocalRegisterCopy, register_bitfields};

use hal::Iova;

register_bitfields! { u32,
    /// Mailbox word 0. Offset 0x300 of the function area. Reset 0.
    pub MB_W0 [
        /// [7:0] CMD: the command.
        CMD OFFSET(0) NUMBITS(8) [],
        /// [8] EVENT: never set by known software.
        EVENT OFFSET(8) NUMBITS(1) [],
        /// [12:9] STATUS: result, 0 is success.
        STATUS OFFSET(9) NUMBITS(4) [],
        /// [13] BUSY: set by software with the command, cleared by the device at its end.
        BUSY OFFSET(13) NUMBITS(1) [],
        /// [14] OP: 0 software to device, 1 device to software.
        OP OFFSET(14) NUMBITS(1) [],
        /// [31:16] QUEUE: function-local queue, peer function, or 0xffff for all VFs.
        QUEUE OFFSET(16) NUMBITS(16) [],
    ]
}

/// Queue field that addresses every virtual function.
pub const ALL_VFS: u16 = 0xffff;

/// A mailbox command code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MailboxCommand(pub u8);

impl MailboxCommand {
    /// Submission queue context.
    pub const SQC: Self = Self(0x0);
    /// Completion queue context.
    pub const CQC: Self = Self(0x1);
    /// Event queue context.
    pub const EQC: Self = Self(0x2);
    /// Asynchronous event queue context.
    pub const AEQC: Self = Self(0x3);
    /// Base of the SQC backing table.
    pub const SQC_BT: Self = Self(0x4);
    /// Base of the CQC backing table.
    pub const CQC_BT: Self = Self(0x5);
    /// This function's SQC VFT entry.
    pub const SQC_VFT: Self = Self(0x6);
    /// Named in one source only.
    pub const CLOSE_QM: Self = Self(0x7);
    /// Stop and drain one queue (version 3).
    pub const STOP_QP: Self = Self(0x8);
    /// Stop and drain the whole function (capability bit 10).
    pub const FLUSH_QM: Self = Self(0x9);
    /// Named in one source only.
    pub const FLUSH_QP: Self = Self(0xa);
    /// Post a message to a peer function.
    pub const SRC: Self = Self(0xc);
    /// Fetch the message of a peer function.
    pub const DST: Self = Self(0xd);
    /// Pause the function, for live migration.
    pub const PAUSE_QM: Self = Self(0xe);
}

/// Direction of a mailbox command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailboxOp {
    /// Software gives the device something.
    Write,
    /// The device gives software something.
    Read,
}

/// Result of a command. Only 0 is documented; the other numbers are what the model of this project answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MailboxStatus(pub u8);

impl MailboxStatus {
    /// Done.
    pub const SUCCESS: Self = Self(0);
    /// The command code, or this op of it, is unknown.
    pub const UNSUPPORTED: Self = Self(1);
    /// The queue number is not this function's.
    pub const BAD_QUEUE: Self = Self(2);
    /// The address is misaligned.
    pub const MISALIGNED: Self = Self(3);
    /// The bus refused the context's address.
    pub const BUS_ERROR: Self = Self(4);
    /// The context's fields contradict themselves.
    pub const BAD_CONTEXT: Self = Self(5);
    /// Something that must come first has not been done.
    pub const NOT_READY: Self = Self(6);
    /// There is no such peer function.
    pub const NO_PEER: Self = Self(7);
}

/// A decoded mailbox command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mailbox {
    /// What to do.
    pub command: MailboxCommand,
    /// In which direction.
    pub op: MailboxOp,
    /// Queue, or peer function.
    pub queue: u16,
    /// Words 1 and 2: an address, a message, or returned data.
    pub base: u64,
}

impl Mailbox {
    /// A command whose words 1 and 2 are an address.
    pub const fn with_address(command: MailboxCommand, op: MailboxOp, queue: u16, address: Iova) -> Self {
        Self { command, op, queue, base: address.0 }
    }

    /// The two halves of the 128-bit store, with BUSY set.
    pub fn encode(&self) -> (u64, u64) {
        let op = match self.op {
            MailboxOp::Write => MB_W0::OP::CLEAR,
            MailboxOp::Read => MB_W0::OP::SET,
        };
        let w0 = MB_W0::CMD.val(u32::from(self.command.0)) + MB_W0::BUSY::SET + op + MB_W0::QUEUE.val(u32::from(self.queue));
        (u64::from(w0.value) | self.base << 32, self.base >> 32)
    }

    /// Reads a 128-bit store back into its parts.
    pub fn decode(low: u64, high: u64) -> Self {
        let w0 = LocalRegisterCopy::<u32, MB_W0::Register>::new(low as u32);
        let op = if w0.is_set(MB_W0::OP) { MailboxOp::Read } else { MailboxOp::Write };
        Self { command: MailboxCommand(w0.read(MB_W0::CMD) as u8), op, queue: w0.read(MB_W0::QUEUE) as u16, base: low >> 32 | high << 32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(mailbox: Mailbox) -> [u32; 4] {
        let (low, high) = mailbox.encode();
        [low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32]
    }

    fn address(command: MailboxCommand, op: MailboxOp, queue: u16, base: u64) -> Mailbox {
        Mailbox { command, op, queue, base }
    }

    #[test]
    fn golden_rows_21_to_30_and_33_to_35() {
        use MailboxCommand as C;
        use MailboxOp::{Read, Write};
        let rows: [(Mailbox, [u32; 4]); 13] = [
            (address(C::EQC, Write, 0, 0xfeff_f180), [0x0000_2002, 0xfeff_f180, 0, 0]),
            (address(C::AEQC, Write, 0, 0xfeff_f180), [0x0000_2003, 0xfeff_f180, 0, 0]),
            (address(C::SQC_BT, Write, 0, 0xffff_b000), [0x0000_2004, 0xffff_b000, 0, 0]),
            (address(C::CQC_BT, Write, 0, 0xffff_b800), [0x0000_2005, 0xffff_b800, 0, 0]),
            (address(C::SQC, Write, 3, 0xfeff_f680), [0x0003_2000, 0xfeff_f680, 0, 0]),
            (address(C::CQC, Write, 3, 0xfeff_f680), [0x0003_2001, 0xfeff_f680, 0, 0]),
            (address(C::STOP_QP, Write, 1, 0), [0x0001_2008, 0, 0, 0]),
            (address(C::FLUSH_QM, Write, 0, 0), [0x0000_2009, 0, 0, 0]),
            (address(C::SQC, Read, 5, 0xfeff_f180), [0x0005_6000, 0xfeff_f180, 0, 0]),
            (address(C::SQC_VFT, Read, 0, 0), [0x0000_6006, 0, 0, 0]),
            (address(C::SRC, Write, ALL_VFS, 1), [0xffff_200c, 1, 0, 0]),
            (address(C::SRC, Write, 2, 0x0001_86a0_0000_0008), [0x0002_200c, 8, 0x0001_86a0, 0]),
            (address(C::DST, Write, 2, 0), [0x0002_200d, 0, 0, 0]),
        ];
        for (mailbox, golden) in rows {
            assert_eq!(words(mailbox), golden);
            let low = u64::from(golden[0]) | u64::from(golden[1]) << 32;
            let high = u64::from(golden[2]) | u64::from(golden[3]) << 32;
            assert_eq!(Mailbox::decode(low, high), mailbox);
        }
    }

    #[test]
    fn status_1_of_row_25_reads_back_as_00030200() {
        let w0 = MB_W0::QUEUE.val(3) + MB_W0::CMD.val(0) + MB_W0::STATUS.val(1);
        assert_eq!(w0.value, 0x0003_0200);
    }

    #[test]
    fn fields_have_the_masks_of_table_b3_and_are_disjoint() {
        let fields = [MB_W0::CMD, MB_W0::EVENT, MB_W0::STATUS, MB_W0::BUSY, MB_W0::OP, MB_W0::QUEUE];
        let typed = [0x0000_00ff, 0x0000_0100, 0x0000_1e00, 0x0000_2000, 0x0000_4000, 0xffff_0000u32];
        let mut seen = 0;
        for (field, mask) in fields.iter().zip(typed) {
            assert_eq!(field.mask << field.shift, mask);
            assert_eq!(seen & mask, 0);
            seen |= mask;
        }
        assert_eq!(seen, 0xffff_7fff, "bit 15 is reserved");
    }
}
