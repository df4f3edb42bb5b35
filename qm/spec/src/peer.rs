//! Messages between the physical function and its virtual ones: 64 bits, command below, argument above (B.9).
#![allow(missing_docs, reason = "register_bitfields! makes items of its own beside each documented field")]

use tock_registers::{LocalRegisterCopy, register_bitfields};

register_bitfields! { u64,
    /// A message.
    pub PEER_MESSAGE [
        /// [31:0] COMMAND.
        COMMAND OFFSET(0) NUMBITS(32) [],
        /// [63:32] ARGUMENT.
        ARGUMENT OFFSET(32) NUMBITS(32) [],
    ]
}

/// What a message says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerCommand(pub u32);

impl PeerCommand {
    /// To a VF: the PF is about to be reset by PCI.
    pub const PF_FLR_PREPARE: Self = Self(1);
    /// To a VF: the controller is about to be reset.
    pub const PF_SRST_PREPARE: Self = Self(2);
    /// To a VF: the reset is over.
    pub const PF_RESET_DONE: Self = Self(3);
    /// From a VF: stopped.
    pub const VF_PREPARE_DONE: Self = Self(4);
    /// From a VF: could not stop.
    pub const VF_PREPARE_FAIL: Self = Self(5);
    /// From a VF: running again.
    pub const VF_START_DONE: Self = Self(6);
    /// From a VF: could not start.
    pub const VF_START_FAIL: Self = Self(7);
    /// To a VF: its rate, in the argument, quality of service × 100.
    pub const PF_SET_QOS: Self = Self(8);
    /// From a VF: which rate is mine?
    pub const VF_GET_QOS: Self = Self(9);
}

/// A message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerMessage {
    /// What it says.
    pub command: PeerCommand,
    /// Its argument; 0 where none is defined.
    pub argument: u32,
}

impl PeerMessage {
    /// A message without an argument.
    pub const fn new(command: PeerCommand) -> Self {
        Self { command, argument: 0 }
    }
    /// The 64-bit word.
    pub fn encode(&self) -> u64 {
        (PEER_MESSAGE::COMMAND.val(self.command.0.into()) + PEER_MESSAGE::ARGUMENT.val(self.argument.into())).value
    }
    /// Reads a word.
    pub fn decode(word: u64) -> Self {
        let word = LocalRegisterCopy::<u64, PEER_MESSAGE::Register>::new(word);
        Self { command: PeerCommand(word.read(PEER_MESSAGE::COMMAND) as u32), argument: word.read(PEER_MESSAGE::ARGUMENT) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words 1 and 2 of golden rows 33 and 34.
    #[test]
    fn golden_rows_33_and_34() {
        assert_eq!(PeerMessage::new(PeerCommand::PF_FLR_PREPARE).encode(), 0x0000_0000_0000_0001);
        let qos = PeerMessage { command: PeerCommand::PF_SET_QOS, argument: 100_000 };
        assert_eq!(qos.encode(), 0x0001_86a0_0000_0008);
        assert_eq!(PeerMessage::decode(0x0001_86a0_0000_0008), qos);
        assert_eq!([PEER_MESSAGE::COMMAND, PEER_MESSAGE::ARGUMENT].map(|f| f.mask << f.shift), [0xffff_ffff, 0xffff_ffff_0000_0000]);
    }
}
