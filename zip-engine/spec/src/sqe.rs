//! The submission entry: 32 words (D.1).

use core::fmt;
use hal::Iova;
use tock_registers::LocalRegisterCopy;

use crate::{BufferType, ContextWords, RequestType, SqeType, Status, Window};

/// Length of an entry in words.
pub const SQE_WORDS: usize = 32;
/// Length of an entry in bytes.
pub const SQE_BYTES: usize = 128;

/// Word numbers of an entry.
pub mod dw {
    /// Out: input bytes consumed.
    pub const CONSUMED: usize = 0;
    /// Out: output bytes produced.
    pub const PRODUCED: usize = 1;
    /// Out: literal count of the lz77 types.
    pub const COMP_DATA_LENGTH: usize = 2;
    /// Out: status ([`STATUS_WORD`](crate::STATUS_WORD)).
    pub const STATUS: usize = 3;
    /// In: input length in bytes.
    pub const INPUT_LENGTH: usize = 4;
    /// In: logical block address, low half (storage).
    pub const LBA_LOW: usize = 5;
    /// In: logical block address, high half (storage).
    pub const LBA_HIGH: usize = 6;
    /// In: [`CONTROL`](crate::CONTROL).
    pub const CONTROL: usize = 7;
    /// In: [`OUTPUT_OFFSET`](crate::OUTPUT_OFFSET).
    pub const OUTPUT_OFFSET: usize = 8;
    /// In: [`SELECT`](crate::SELECT).
    pub const SELECT: usize = 9;
    /// In: [`DIF_GENERATE`](crate::DIF_GENERATE) (storage).
    pub const DIF_GENERATE: usize = 10;
    /// In: private information (storage).
    pub const PRIVATE_INFO: usize = 11;
    /// In: [`DIF_VERIFY`](crate::DIF_VERIFY) (storage).
    pub const DIF_VERIFY: usize = 12;
    /// In and out: tag of type 0; literal room of the lz77 types.
    pub const TAG_TYPE0: usize = 13;
    /// In: output room in bytes.
    pub const DEST_AVAIL_OUT: usize = 14;
    /// In and out: first context word.
    pub const CTX_DW0: usize = 15;
    /// In: compress-head address, unused by software.
    pub const HEAD_LOW: usize = 16;
    /// In: compress-head address, high half.
    pub const HEAD_HIGH: usize = 17;
    /// In: source address.
    pub const SOURCE_LOW: usize = 18;
    /// In: source address, high half.
    pub const SOURCE_HIGH: usize = 19;
    /// In: destination address.
    pub const DESTINATION_LOW: usize = 20;
    /// In: destination address, high half.
    pub const DESTINATION_HIGH: usize = 21;
    /// In: stream context address.
    pub const CONTEXT_LOW: usize = 22;
    /// In: stream context address, high half.
    pub const CONTEXT_HIGH: usize = 23;
    /// In: literals address of the lz77 types; key 1 address of type 0.
    pub const LITERALS_LOW: usize = 24;
    /// In: the same, high half.
    pub const LITERALS_HIGH: usize = 25;
    /// In and out: tag of type 3, low half; key 2 address of type 0.
    pub const TAG_LOW: usize = 26;
    /// In and out: tag of type 3, high half.
    pub const TAG_HIGH: usize = 27;
    /// In and out: second context word.
    pub const CTX_DW1: usize = 28;
    /// In and out: third context word.
    pub const CTX_DW2: usize = 29;
    /// In and out: running uncompressed size (gzip).
    pub const ISIZE: usize = 30;
    /// In and out: running checksum.
    pub const CHECKSUM: usize = 31;
}

pub use fields::*;

#[allow(missing_docs, reason = "the macro makes items of its own that carry no documentation")]
mod fields {
    use tock_registers::register_bitfields;

    register_bitfields! { u32,
        /// dw3 — result.
        pub STATUS_WORD [
            /// [7:0] CODE: see [`Status`](crate::Status).
            CODE OFFSET(0) NUMBITS(8) [],
            /// [8] LAST_BLOCK: the final block was seen.
            LAST_BLOCK OFFSET(8) NUMBITS(1) [],
        ],
        /// dw7 — input offset, stream control, entry type.
        pub CONTROL [
            /// [23:0] INPUT_OFFSET: bytes to skip in the source list.
            INPUT_OFFSET OFFSET(0) NUMBITS(24) [],
            /// [24] reserved.
            RESERVED OFFSET(24) NUMBITS(1) [],
            /// [25] FLUSH: 1 finish, 0 more follows.
            FLUSH OFFSET(25) NUMBITS(1) [],
            /// [26] STREAM_MODE: 1 stateful.
            STREAM_MODE OFFSET(26) NUMBITS(1) [],
            /// [27] STREAM_NEW: 1 first request of a stream.
            STREAM_NEW OFFSET(27) NUMBITS(1) [],
            /// [31:28] SQE_TYPE: see [`SqeType`](crate::SqeType).
            SQE_TYPE OFFSET(28) NUMBITS(4) [],
        ],
        /// dw8 — output offset.
        pub OUTPUT_OFFSET [
            /// [23:0] OFFSET: bytes to skip in the destination list.
            OFFSET OFFSET(0) NUMBITS(24) [],
            /// [31:24] reserved.
            RESERVED OFFSET(24) NUMBITS(8) [],
        ],
        /// dw9 — selectors.
        pub SELECT [
            /// [7:0] REQUEST_TYPE: see [`RequestType`](crate::RequestType).
            REQUEST_TYPE OFFSET(0) NUMBITS(8) [],
            /// [11:8] BUFFER_TYPE: see [`BufferType`](crate::BufferType).
            BUFFER_TYPE OFFSET(8) NUMBITS(4) [],
            /// [15:12] WINDOW: see [`Window`](crate::Window).
            WINDOW OFFSET(12) NUMBITS(4) [],
            /// [31:16] ALIGNMENT: named by the part, used by no software.
            ALIGNMENT OFFSET(16) NUMBITS(16) [],
        ],
        /// dw10 — integrity field generation (storage).
        pub DIF_GENERATE [
            /// [3:0] PAGE_LAYOUT.
            PAGE_LAYOUT OFFSET(0) NUMBITS(4) [],
            /// [7:4] GUARD.
            GUARD OFFSET(4) NUMBITS(4) [],
            /// [11:8] VERSION_GENERATE.
            VERSION_GENERATE OFFSET(8) NUMBITS(4) [],
            /// [15:12] APP_GENERATE.
            APP_GENERATE OFFSET(12) NUMBITS(4) [],
            /// [23:16] APP_TAG.
            APP_TAG OFFSET(16) NUMBITS(8) [],
            /// [31:24] VERSION.
            VERSION OFFSET(24) NUMBITS(8) [],
        ],
        /// dw12 — integrity field verification (storage).
        pub DIF_VERIFY [
            /// [3:0] REF_GENERATE.
            REF_GENERATE OFFSET(0) NUMBITS(4) [],
            /// [7:4] PAD_TYPE.
            PAD_TYPE OFFSET(4) NUMBITS(4) [],
            /// [11:8] GUARD_VERIFY.
            GUARD_VERIFY OFFSET(8) NUMBITS(4) [],
            /// [15:12] REF_VERIFY.
            REF_VERIFY OFFSET(12) NUMBITS(4) [],
            /// [31:16] BLOCK_SIZE.
            BLOCK_SIZE OFFSET(16) NUMBITS(16) [],
        ],
    }
}

/// A submission entry, before or after completion.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Sqe(pub [u32; SQE_WORDS]);

impl Sqe {
    /// All words 0.
    pub const ZERO: Self = Self([0; SQE_WORDS]);

    /// Two neighbouring words as one 64-bit number: `low` and `low + 1`.
    #[inline]
    pub const fn pair(&self, low: usize) -> u64 {
        self.0[low] as u64 | (self.0[low + 1] as u64) << 32
    }
    /// Sets two neighbouring words.
    #[inline]
    pub const fn set_pair(&mut self, low: usize, value: u64) {
        self.0[low] = value as u32;
        self.0[low + 1] = (value >> 32) as u32;
    }

    /// dw3.
    #[inline]
    pub const fn status_word(&self) -> LocalRegisterCopy<u32, STATUS_WORD::Register> {
        LocalRegisterCopy::new(self.0[dw::STATUS])
    }
    /// dw7.
    #[inline]
    pub const fn control(&self) -> LocalRegisterCopy<u32, CONTROL::Register> {
        LocalRegisterCopy::new(self.0[dw::CONTROL])
    }
    /// dw8.
    #[inline]
    pub const fn output_offset(&self) -> LocalRegisterCopy<u32, OUTPUT_OFFSET::Register> {
        LocalRegisterCopy::new(self.0[dw::OUTPUT_OFFSET])
    }
    /// dw9.
    #[inline]
    pub const fn select(&self) -> LocalRegisterCopy<u32, SELECT::Register> {
        LocalRegisterCopy::new(self.0[dw::SELECT])
    }

    /// Status code: dw3 7:0.
    #[inline]
    pub fn status(&self) -> Status {
        Status(self.status_word().read(STATUS_WORD::CODE) as u8)
    }
    /// True if the final block was seen: dw3 bit 8.
    #[inline]
    pub fn is_last_block(&self) -> bool {
        self.status_word().is_set(STATUS_WORD::LAST_BLOCK)
    }
    /// Entry layout: dw7 31:28.
    #[inline]
    pub fn sqe_type(&self) -> SqeType {
        SqeType(self.control().read(CONTROL::SQE_TYPE) as u8)
    }
    /// Format: dw9 7:0.
    #[inline]
    pub fn request_type(&self) -> RequestType {
        RequestType(self.select().read(SELECT::REQUEST_TYPE) as u8)
    }
    /// Flat or list: dw9 11:8.
    #[inline]
    pub fn buffer_type(&self) -> BufferType {
        BufferType(self.select().read(SELECT::BUFFER_TYPE) as u8)
    }
    /// Window: dw9 15:12.
    #[inline]
    pub fn window(&self) -> Window {
        Window(self.select().read(SELECT::WINDOW) as u8)
    }
    /// Source address: dw18/19.
    #[inline]
    pub const fn source(&self) -> Iova {
        Iova(self.pair(dw::SOURCE_LOW))
    }
    /// Destination address: dw20/21.
    #[inline]
    pub const fn destination(&self) -> Iova {
        Iova(self.pair(dw::DESTINATION_LOW))
    }
    /// Stream context address: dw22/23.
    #[inline]
    pub const fn context(&self) -> Iova {
        Iova(self.pair(dw::CONTEXT_LOW))
    }
    /// Context words: dw15, dw28, dw29.
    #[inline]
    pub const fn context_words(&self) -> ContextWords {
        ContextWords { dw0: self.0[dw::CTX_DW0], dw1: self.0[dw::CTX_DW1], dw2: self.0[dw::CTX_DW2] }
    }
    /// Sets the context words.
    #[inline]
    pub const fn set_context_words(&mut self, words: ContextWords) {
        self.0[dw::CTX_DW0] = words.dw0;
        self.0[dw::CTX_DW1] = words.dw1;
        self.0[dw::CTX_DW2] = words.dw2;
    }
    /// The tag: dw13 in type 0, dw26/27 else.
    #[inline]
    pub fn tag(&self) -> u64 {
        if self.sqe_type() == SqeType::TYPE0 { u64::from(self.0[dw::TAG_TYPE0]) } else { self.pair(dw::TAG_LOW) }
    }
    /// Sets the tag where the entry's type keeps it; type 0 keeps the low 32 bits.
    #[inline]
    pub fn set_tag(&mut self, tag: u64) {
        if self.sqe_type() == SqeType::TYPE0 {
            self.0[dw::TAG_TYPE0] = tag as u32;
        } else {
            self.set_pair(dw::TAG_LOW, tag);
        }
    }
    /// Sets the result words: dw0, dw1, dw3. dw2 becomes 0.
    #[inline]
    pub fn set_result(&mut self, consumed: u32, produced: u32, status: Status, is_last_block: bool) {
        self.0[dw::CONSUMED] = consumed;
        self.0[dw::PRODUCED] = produced;
        self.0[dw::COMP_DATA_LENGTH] = 0;
        self.0[dw::STATUS] = (STATUS_WORD::CODE.val(u32::from(status.0)) + STATUS_WORD::LAST_BLOCK.val(u32::from(is_last_block))).value;
    }
}

impl From<[u32; SQE_WORDS]> for Sqe {
    fn from(words: [u32; SQE_WORDS]) -> Self {
        Self(words)
    }
}

impl Default for Sqe {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Debug for Sqe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in self.0.chunks(4).enumerate() {
            write!(
                f,
                "{}dw{} {:08x} {:08x} {:08x} {:08x}",
                if number == 0 { "" } else { " | " },
                number * 4,
                line[0],
                line[1],
                line[2],
                line[3]
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn masks(fields: &[tock_registers::fields::Field<u32, impl tock_registers::RegisterLongName>]) -> u32 {
        let mut seen = 0;
        for field in fields {
            let mask = field.mask << field.shift;
            assert_eq!(seen & mask, 0, "fields overlap");
            seen |= mask;
        }
        seen
    }

    #[test]
    fn fields_are_disjoint_and_cover_their_words() {
        let control =
            [CONTROL::INPUT_OFFSET, CONTROL::RESERVED, CONTROL::FLUSH, CONTROL::STREAM_MODE, CONTROL::STREAM_NEW, CONTROL::SQE_TYPE];
        assert_eq!(masks(&control), u32::MAX);
        assert_eq!(masks(&[SELECT::REQUEST_TYPE, SELECT::BUFFER_TYPE, SELECT::WINDOW, SELECT::ALIGNMENT]), u32::MAX);
        assert_eq!(masks(&[OUTPUT_OFFSET::OFFSET, OUTPUT_OFFSET::RESERVED]), u32::MAX);
        assert_eq!(masks(&[STATUS_WORD::CODE, STATUS_WORD::LAST_BLOCK]), 0x1ff);
        let generate = [
            DIF_GENERATE::PAGE_LAYOUT,
            DIF_GENERATE::GUARD,
            DIF_GENERATE::VERSION_GENERATE,
            DIF_GENERATE::APP_GENERATE,
            DIF_GENERATE::APP_TAG,
            DIF_GENERATE::VERSION,
        ];
        assert_eq!(masks(&generate), u32::MAX);
        let verify =
            [DIF_VERIFY::REF_GENERATE, DIF_VERIFY::PAD_TYPE, DIF_VERIFY::GUARD_VERIFY, DIF_VERIFY::REF_VERIFY, DIF_VERIFY::BLOCK_SIZE];
        assert_eq!(masks(&verify), u32::MAX);
    }

    #[test]
    fn control_words_of_the_known_clients() {
        let one_shot_library = CONTROL::SQE_TYPE.val(3) + CONTROL::STREAM_NEW::SET + CONTROL::FLUSH::SET;
        assert_eq!(one_shot_library.value, 0x3a00_0000);
        assert_eq!((CONTROL::STREAM_NEW::SET + CONTROL::FLUSH::SET).value, 0x0a00_0000);
        assert_eq!(CONTROL::SQE_TYPE.val(3).value, 0x3000_0000);
        let first = CONTROL::SQE_TYPE.val(3) + CONTROL::STREAM_NEW::SET + CONTROL::STREAM_MODE::SET;
        assert_eq!(first.value, 0x3c00_0000);
        assert_eq!((CONTROL::SQE_TYPE.val(3) + CONTROL::STREAM_MODE::SET).value, 0x3400_0000);
    }

    #[test]
    fn result_words() {
        let mut sqe = Sqe([0xffff_ffff; 32]);
        sqe.set_result(0x19000, 0x123, Status::END_OF_STREAM, true);
        assert_eq!(sqe.0[..4], [0x19000, 0x123, 0, 0x113]);
        assert_eq!((sqe.status(), sqe.is_last_block()), (Status::END_OF_STREAM, true));
    }

    #[test]
    fn tag_lies_where_the_type_keeps_it() {
        let mut old = Sqe::ZERO;
        old.set_tag(0x1234_5678_9abc);
        assert_eq!((old.0[13], old.0[26], old.tag()), (0x5678_9abc, 0, 0x5678_9abc));
        let mut new = Sqe::ZERO;
        new.0[7] = 0x3000_0000;
        new.set_tag(0xffff_0000_02a3_c180);
        assert_eq!((new.0[13], new.0[26], new.0[27]), (0, 0x02a3_c180, 0xffff_0000));
        assert_eq!(new.tag(), 0xffff_0000_02a3_c180);
    }

    #[test]
    fn debug_prints_eight_lines_of_four() {
        let text = std::format!("{:?}", Sqe::ZERO);
        assert!(text.starts_with("dw0 00000000 00000000 00000000 00000000 | dw4 "), "{text}");
    }
}
