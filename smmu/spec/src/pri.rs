//! PRI queue entries (IHI 0070 8.1).
#![allow(missing_docs, reason = "register_bitfields! generates undocumented items beside each documented field")]

use hal::{StreamId, SubstreamId};
use tock_registers::register_bitfields;

/// Bytes of a PRI queue entry.
pub const PRI_BYTES: u64 = 16;

register_bitfields! { u64,
    /// PRI entry word 0.
    pub PRI_DW0 [
        /// StreamID.
        SID OFFSET(0) NUMBITS(32) [],
        /// SubstreamID, valid with SSV.
        SSID OFFSET(32) NUMBITS(20) [],
        /// Privileged access wanted.
        PRIV OFFSET(58) NUMBITS(1) [],
        /// Execute wanted.
        X OFFSET(59) NUMBITS(1) [],
        /// Read wanted.
        R OFFSET(60) NUMBITS(1) [],
        /// Write wanted.
        W OFFSET(61) NUMBITS(1) [],
        /// Last request of its group.
        LAST OFFSET(62) NUMBITS(1) [],
        /// SSID is valid.
        SSV OFFSET(63) NUMBITS(1) [],
    ],
    /// PRI entry word 1.
    pub PRI_DW1 [
        /// Page request group index.
        PRG_INDEX OFFSET(0) NUMBITS(9) [],
        /// Address bits 63:12.
        ADDR OFFSET(12) NUMBITS(52) [],
    ],
}

/// One page request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRequest {
    /// Who asks.
    pub stream: StreamId,
    /// For which address space.
    pub substream: Option<SubstreamId>,
    /// Page address, a multiple of 4 KiB.
    pub address: u64,
    /// Group.
    pub prg_index: u16,
    /// Read wanted.
    pub read: bool,
    /// Write wanted.
    pub write: bool,
    /// Execute wanted.
    pub execute: bool,
    /// Privileged access wanted.
    pub privileged: bool,
    /// Last of its group.
    pub last: bool,
}

impl PageRequest {
    /// Encodes the entry.
    pub fn encode(&self) -> [u64; 2] {
        let dw0 = PRI_DW0::SID.val(u64::from(self.stream.0))
            + PRI_DW0::SSID.val(self.substream.map_or(0, |s| u64::from(s.0)))
            + PRI_DW0::PRIV.val(u64::from(self.privileged))
            + PRI_DW0::X.val(u64::from(self.execute))
            + PRI_DW0::R.val(u64::from(self.read))
            + PRI_DW0::W.val(u64::from(self.write))
            + PRI_DW0::LAST.val(u64::from(self.last))
            + PRI_DW0::SSV.val(u64::from(self.substream.is_some()));
        let dw1 = PRI_DW1::PRG_INDEX.val(u64::from(self.prg_index)) + PRI_DW1::ADDR.val(self.address >> 12);
        [dw0.value, dw1.value]
    }

    /// Decodes an entry.
    pub fn decode(words: [u64; 2]) -> Self {
        let [dw0, dw1] = words;
        Self {
            stream: StreamId(PRI_DW0::SID.read(dw0) as u32),
            substream: PRI_DW0::SSV.is_set(dw0).then(|| SubstreamId(PRI_DW0::SSID.read(dw0) as u32)),
            address: PRI_DW1::ADDR.read(dw1) << 12,
            prg_index: PRI_DW1::PRG_INDEX.read(dw1) as u16,
            read: PRI_DW0::R.is_set(dw0),
            write: PRI_DW0::W.is_set(dw0),
            execute: PRI_DW0::X.is_set(dw0),
            privileged: PRI_DW0::PRIV.is_set(dw0),
            last: PRI_DW0::LAST.is_set(dw0),
        }
    }

    /// True for a PASID stop marker, which needs no response.
    pub fn is_stop_marker(&self) -> bool {
        self.last && !self.read && !self.write && self.substream.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_last_golden() {
        let request = PageRequest {
            stream: StreamId(8),
            substream: Some(SubstreamId(3)),
            address: 0x7000,
            prg_index: 5,
            read: true,
            write: false,
            execute: false,
            privileged: false,
            last: true,
        };
        let words = [0xd000_0003_0000_0008, 0x7005];
        assert_eq!(request.encode(), words);
        assert_eq!(PageRequest::decode(words), request);
        assert!(!request.is_stop_marker());
        assert!(PageRequest { read: false, ..request }.is_stop_marker());
        assert!(!PageRequest { read: false, substream: None, ..request }.is_stop_marker());
    }
}
