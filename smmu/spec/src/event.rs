//! Event queue records (IHI 0070 chapter 7.3).
#![allow(missing_docs, reason = "register_bitfields! generates undocumented items beside each documented field")]

use core::fmt;

use hal::{StallTag, StreamId, SubstreamId};
use tock_registers::register_bitfields;

register_bitfields! { u64,
    /// Event record word 0.
    pub EVENT_DW0 [
        /// Event number.
        ID OFFSET(0) NUMBITS(8) [],
        /// SSID is valid.
        SSV OFFSET(11) NUMBITS(1) [],
        /// SubstreamID.
        SSID OFFSET(12) NUMBITS(20) [],
        /// StreamID.
        SID OFFSET(32) NUMBITS(32) [],
    ],
    /// Event record word 1.
    pub EVENT_DW1 [
        /// Stall tag; Reason in fetch aborts, F_UUT and conflicts.
        STAG OFFSET(0) NUMBITS(16) [],
        /// Granule protection check fault.
        GPCF OFFSET(16) NUMBITS(1) [],
        /// The transaction is stalled.
        STALL OFFSET(31) NUMBITS(1) [],
        /// Privileged.
        PNU OFFSET(33) NUMBITS(1) [],
        /// Instruction.
        IND OFFSET(34) NUMBITS(1) [],
        /// Read.
        RNW OFFSET(35) NUMBITS(1) [],
        /// IPA is Non-secure.
        NSIPA OFFSET(38) NUMBITS(1) [],
        /// Stage 2 fault.
        S2 OFFSET(39) NUMBITS(1) [],
        /// What was accessed.
        CLASS OFFSET(40) NUMBITS(2) [ Cd = 0, Tt = 1, In = 2 ],
        /// The table access was a read; only stage 2 permission faults of class TT.
        TTRNW OFFSET(44) NUMBITS(1) [],
    ],
    /// Event record word 3.
    pub EVENT_DW3 [
        /// IPA (55:12) or fetch address (55:3).
        ADDR OFFSET(3) NUMBITS(53) [],
    ],
}

/// An event number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId(pub u8);

macro_rules! event_ids {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl EventId {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The specification's name, if the number has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// Every named event.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

event_ids! {
    /// Unsupported upstream transaction.
    F_UUT = 0x01;
    /// StreamID out of range, or its level-1 descriptor is invalid.
    C_BAD_STREAMID = 0x02;
    /// Fetching an STE or its level-1 descriptor aborted.
    F_STE_FETCH = 0x03;
    /// The STE is ILLEGAL.
    C_BAD_STE = 0x04;
    /// An ATS translation request where ATS is not enabled.
    F_BAD_ATS_TREQ = 0x05;
    /// No SubstreamID where one is needed, or SubstreamID 0 where it stands for its absence.
    F_STREAM_DISABLED = 0x06;
    /// ATS Translated traffic is not allowed.
    F_TRANSL_FORBIDDEN = 0x07;
    /// SubstreamID out of range, or its level-1 descriptor is invalid.
    C_BAD_SUBSTREAMID = 0x08;
    /// Fetching a CD or its level-1 descriptor aborted.
    F_CD_FETCH = 0x09;
    /// The CD is ILLEGAL.
    C_BAD_CD = 0x0a;
    /// Reading or updating a translation table descriptor aborted.
    F_WALK_EABT = 0x0b;
    /// No translation.
    F_TRANSLATION = 0x10;
    /// Output address too large.
    F_ADDR_SIZE = 0x11;
    /// Access flag clear.
    F_ACCESS = 0x12;
    /// Permission denied.
    F_PERMISSION = 0x13;
    /// Two TLB entries match.
    F_TLB_CONFLICT = 0x20;
    /// Two configuration cache entries match.
    F_CFG_CONFLICT = 0x21;
    /// Speculative page request hint.
    E_PAGE_REQUEST = 0x24;
    /// Fetching the Virtual Machine Structure aborted.
    F_VMS_FETCH = 0x25;
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "EventId({:#04x})", self.0),
        }
    }
}

/// What a faulting access was made for (field CLASS).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum FaultClass {
    /// Fetch of a CD.
    Cd = 0,
    /// Walk of a translation table.
    Tt = 1,
    /// The input address itself.
    In = 2,
}

/// One record, as it lies in the queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EventRecord(pub [u64; 4]);

impl EventRecord {
    /// Starts a record: number and StreamID, everything else 0.
    pub fn new(id: EventId, stream: StreamId) -> Self {
        Self([(EVENT_DW0::ID.val(u64::from(id.0)) + EVENT_DW0::SID.val(u64::from(stream.0))).value, 0, 0, 0])
    }

    /// Adds a SubstreamID with SSV = 1; nothing for `None`.
    #[must_use]
    pub fn with_substream(mut self, substream: Option<SubstreamId>) -> Self {
        if let Some(ssid) = substream {
            self.0[0] |= (EVENT_DW0::SSV::SET + EVENT_DW0::SSID.val(u64::from(ssid.0))).value;
        }
        self
    }

    /// Adds a SubstreamID with SSV = 0, as C_BAD_SUBSTREAMID carries it.
    #[must_use]
    pub fn with_bad_substream(mut self, substream: SubstreamId) -> Self {
        self.0[0] |= EVENT_DW0::SSID.val(u64::from(substream.0)).value;
        self
    }

    /// Adds the client access: direction, instruction or data, privilege.
    #[must_use]
    pub fn with_access(mut self, is_read: bool, is_instruction: bool, is_privileged: bool) -> Self {
        self.0[1] |= (EVENT_DW1::RNW.val(u64::from(is_read))
            + EVENT_DW1::IND.val(u64::from(is_instruction && is_read))
            + EVENT_DW1::PNU.val(u64::from(is_privileged)))
        .value;
        self
    }

    /// Adds the input address.
    #[must_use]
    pub fn with_input_address(mut self, address: u64) -> Self {
        self.0[2] = address;
        self
    }

    /// Adds the fault class.
    #[must_use]
    pub fn with_class(mut self, class: FaultClass) -> Self {
        self.0[1] |= EVENT_DW1::CLASS.val(class as u64).value;
        self
    }

    /// Marks a stage 2 fault.
    #[must_use]
    pub fn with_stage2(mut self) -> Self {
        self.0[1] |= EVENT_DW1::S2::SET.value;
        self
    }

    /// Marks a table access as a read (TTRnW).
    #[must_use]
    pub fn with_table_read(mut self) -> Self {
        self.0[1] |= EVENT_DW1::TTRNW::SET.value;
        self
    }

    /// Adds the IPA (bits 55:12 are kept).
    #[must_use]
    pub fn with_ipa(mut self, ipa: u64) -> Self {
        self.0[3] = ipa & 0x00ff_ffff_ffff_f000;
        self
    }

    /// Adds the fetch address (bits 55:3 are kept).
    #[must_use]
    pub fn with_fetch_address(mut self, address: u64) -> Self {
        self.0[3] = EVENT_DW3::ADDR.val(address >> 3).value;
        self
    }

    /// Adds the implementation-defined reason of a record without stall.
    #[must_use]
    pub fn with_reason(mut self, reason: u16) -> Self {
        self.0[1] |= EVENT_DW1::STAG.val(u64::from(reason)).value;
        self
    }

    /// Marks the transaction as stalled under `stag`.
    #[must_use]
    pub fn with_stall(mut self, stag: u16) -> Self {
        self.0[1] |= (EVENT_DW1::STALL::SET + EVENT_DW1::STAG.val(u64::from(stag))).value;
        self
    }

    /// Event number.
    pub fn id(&self) -> EventId {
        EventId(EVENT_DW0::ID.read(self.0[0]) as u8)
    }

    /// StreamID.
    pub fn stream(&self) -> StreamId {
        StreamId(EVENT_DW0::SID.read(self.0[0]) as u32)
    }

    /// SubstreamID, if the record carries one. C_BAD_SUBSTREAMID always does although its SSV bit is 0.
    pub fn substream(&self) -> Option<SubstreamId> {
        let valid = EVENT_DW0::SSV.is_set(self.0[0]) || self.id() == EventId::C_BAD_SUBSTREAMID;
        valid.then(|| SubstreamId(EVENT_DW0::SSID.read(self.0[0]) as u32))
    }

    /// The tag to resume, if the transaction is stalled.
    pub fn stall(&self) -> Option<StallTag> {
        EVENT_DW1::STALL.is_set(self.0[1]).then(|| StallTag { stream: self.stream(), stag: EVENT_DW1::STAG.read(self.0[1]) as u16 })
    }

    /// Implementation-defined reason of fetch aborts, F_UUT and conflicts.
    pub fn reason(&self) -> u16 {
        EVENT_DW1::STAG.read(self.0[1]) as u16
    }

    /// True if the client read.
    pub fn is_read(&self) -> bool {
        EVENT_DW1::RNW.is_set(self.0[1])
    }

    /// True if the client fetched an instruction.
    pub fn is_instruction(&self) -> bool {
        EVENT_DW1::IND.is_set(self.0[1])
    }

    /// True if the access was privileged.
    pub fn is_privileged(&self) -> bool {
        EVENT_DW1::PNU.is_set(self.0[1])
    }

    /// True for a stage 2 fault.
    pub fn is_stage2(&self) -> bool {
        EVENT_DW1::S2.is_set(self.0[1])
    }

    /// Fault class; `None` for the reserved code.
    pub fn class(&self) -> Option<FaultClass> {
        match EVENT_DW1::CLASS.read(self.0[1]) {
            0 => Some(FaultClass::Cd),
            1 => Some(FaultClass::Tt),
            2 => Some(FaultClass::In),
            _ => None,
        }
    }

    /// The address that the client used.
    pub fn input_address(&self) -> u64 {
        self.0[2]
    }

    /// IPA of a stage 2 fault.
    pub fn ipa(&self) -> u64 {
        self.0[3] & 0x00ff_ffff_ffff_f000
    }

    /// Address of an aborted fetch.
    pub fn fetch_address(&self) -> u64 {
        EVENT_DW3::ADDR.read(self.0[3]) << 3
    }
}

impl fmt::Debug for EventRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{:?}[{a:#018x} {b:#018x} {c:#018x} {d:#018x}]", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalled_read_golden() {
        let words = [0x0000_0008_0000_5810, 0x0000_0208_8000_1234, 0x7000, 0];
        let record = EventRecord::new(EventId::F_TRANSLATION, StreamId(8))
            .with_substream(Some(SubstreamId(5)))
            .with_access(true, false, false)
            .with_class(FaultClass::In)
            .with_input_address(0x7000)
            .with_stall(0x1234);
        assert_eq!(record.0, words);
        let back = EventRecord(words);
        assert_eq!((back.id(), back.stream(), back.substream()), (EventId::F_TRANSLATION, StreamId(8), Some(SubstreamId(5))));
        assert_eq!(back.stall(), Some(StallTag { stream: StreamId(8), stag: 0x1234 }));
        assert!(back.is_read() && !back.is_instruction() && !back.is_privileged() && !back.is_stage2());
        assert_eq!((back.class(), back.input_address()), (Some(FaultClass::In), 0x7000));
    }

    #[test]
    fn bad_substream_golden() {
        let words = [0x0000_0008_0000_9008, 0, 0, 0];
        assert_eq!(EventRecord::new(EventId::C_BAD_SUBSTREAMID, StreamId(8)).with_bad_substream(SubstreamId(9)).0, words);
        assert_eq!(EventRecord(words).substream(), Some(SubstreamId(9)));
    }

    #[test]
    fn qemu_bad_ste_golden() {
        assert_eq!(EventRecord::new(EventId::C_BAD_STE, StreamId(8)).0, [0x0000_0008_0000_0004, 0, 0, 0]);
    }

    #[test]
    fn a_write_is_never_an_instruction() {
        assert_eq!(EventRecord::new(EventId::F_PERMISSION, StreamId(0)).with_access(false, true, true).0[1], 1 << 33);
    }

    #[test]
    fn numbers_of_the_table() {
        let numbers: std::vec::Vec<u8> = EventId::ALL.iter().map(|e| e.0).collect();
        let expected = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0xa, 0xb, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x24, 0x25];
        assert_eq!(numbers, expected);
    }

    #[test]
    fn addresses_lose_what_the_fields_do_not_hold() {
        let record = EventRecord::new(EventId::F_STE_FETCH, StreamId(1)).with_fetch_address(0xff12_3456_789a_bcdf);
        assert_eq!(record.0[3], 0x0012_3456_789a_bcd8);
        assert_eq!(EventRecord::new(EventId::F_PERMISSION, StreamId(1)).with_ipa(0xff12_3456_789a_bcdf).0[3], 0x0012_3456_789a_b000);
    }
}
