//! Requests whose result is literals and sequences: what they have beside a [`Request`], and what comes back (D.9).
//!
//! No source says what a sequence of lz77_only looks like, nor what the 784 bytes behind those of lz77_zstd hold; the model's choices are
//! the ones described here.

use hal::Iova;
use tock_registers::LocalRegisterCopy;

use crate::{Request, RequestType, Sqe, Status, dw};

pub use fields::*;

#[allow(missing_docs, reason = "the macro makes items of its own that carry no documentation")]
mod fields {
    use tock_registers::register_bitfields;

    register_bitfields! { u32,
        /// dw31 of a completed lz77_zstd request — literal lengths of more than 16 bits.
        pub LITERAL_OVERFLOW [
            /// [23:0] POSITION: number of the sequence whose literal length lacks bit 16.
            POSITION OFFSET(0) NUMBITS(24) [],
            /// [31:24] COUNT: how many such sequences there are, 0 or 1.
            COUNT OFFSET(24) NUMBITS(8) [],
        ],
    }
}

/// Longest input of an lz77_zstd request in bytes: one block of a Zstandard frame.
pub const LZ77_ZSTD_MAX_BYTES: u32 = 128 << 10;
/// Longest input of an lz77_only request in bytes.
pub const LZ77_ONLY_MAX_BYTES: u32 = (8 << 20) - 16;
/// How much longer than the input a buffer for literals is to be, in bytes.
pub const LITERAL_SLACK_BYTES: u32 = 16;
/// Length of a sequence in bytes.
pub const SEQUENCE_BYTES: usize = 8;
/// Distance from the end of the last sequence to the table behind it, in bytes.
pub const FREQUENCY_GAP_BYTES: usize = 8;
/// Length of the table behind the sequences of an lz77_zstd request in bytes.
pub const FREQUENCY_BYTES: usize = 784;
/// Shortest match that a sequence of lz77_zstd can name: what its match length is counted from.
pub const ZSTD_MATCH_BASE: u32 = 3;

/// Words of the table behind the sequences: how often each code of RFC 8878 §3.1.1.3.2.1 is needed, 32 bits each; the rest is 0.
pub mod frequency {
    /// First word of the literal length codes 0 to 35.
    pub const LITERAL_LENGTHS: usize = 0;
    /// First word of the match length codes 0 to 52.
    pub const MATCH_LENGTHS: usize = 36;
    /// First word of the offset codes 0 to 31.
    pub const OFFSETS: usize = 89;
    /// Words in use.
    pub const WORDS: usize = 121;
}

/// Least literal length that a sequence of lz77_zstd cannot hold: bit 16 is then in dw31.
pub const LONG_LITERALS: u32 = 1 << 16;

/// One sequence: so many literals, then a match.
///
/// In lz77_zstd, `offset` is the offset value of RFC 8878 §3.1.1.5 (1 to 3 name one of the last distances, more is the distance and 3), and
/// `match_length` the length less 3. In lz77_only, `offset` is the distance and `match_length` the length; with both 0 there is no match, which is
/// how a run of literals longer than 65535 goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sequence {
    /// Offset 0, 4 bytes.
    pub offset: u32,
    /// Offset 4, 2 bytes: literals in front of the match, 16 bits of them.
    pub literal_length: u16,
    /// Offset 6, 2 bytes.
    pub match_length: u16,
}

impl Sequence {
    /// The sequence as it lies in memory.
    pub const fn to_bytes(self) -> [u8; SEQUENCE_BYTES] {
        let [a, b, c, d] = self.offset.to_le_bytes();
        let [e, f] = self.literal_length.to_le_bytes();
        let [g, h] = self.match_length.to_le_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// Reads a sequence.
    pub const fn from_bytes(bytes: &[u8; SEQUENCE_BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h] = *bytes;
        Self {
            offset: u32::from_le_bytes([a, b, c, d]),
            literal_length: u16::from_le_bytes([e, f]),
            match_length: u16::from_le_bytes([g, h]),
        }
    }
}

/// A request for literals and sequences. Its destination is the sequences'; the entry is of type 3, whose dw13 is no tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lz77Request {
    /// The request; `destination` and `destination_bytes` are those of the sequences.
    pub request: Request,
    /// Where the literals go: data, or a list as the buffer type says. dw24/25.
    pub literals: Iova,
    /// Room for literals in bytes. dw13.
    pub literals_bytes: u32,
}

impl Lz77Request {
    /// Lays the request out.
    pub fn encode(&self) -> Sqe {
        let mut sqe = self.request.encode();
        sqe.0[dw::TAG_TYPE0] = self.literals_bytes;
        sqe.set_pair(dw::LITERALS_LOW, self.literals.0);
        sqe
    }
}

/// What a completed entry of an lz77 type says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lz77Completion {
    /// Input bytes consumed.
    pub consumed: u32,
    /// Sequences written.
    pub sequences: u32,
    /// Literals written, those behind the last sequence included.
    pub literals: u32,
    /// The sequence whose literal length is 65536 more than it says.
    pub long_literals: Option<u32>,
    /// How it ended.
    pub status: Status,
}

impl From<&Sqe> for Lz77Completion {
    fn from(sqe: &Sqe) -> Self {
        let overflow = LocalRegisterCopy::<u32, LITERAL_OVERFLOW::Register>::new(sqe.0[dw::CHECKSUM]);
        Self {
            consumed: sqe.0[dw::CONSUMED],
            sequences: sqe.0[dw::PRODUCED],
            literals: sqe.0[dw::COMP_DATA_LENGTH],
            long_literals: (overflow.read(LITERAL_OVERFLOW::COUNT) != 0).then(|| overflow.read(LITERAL_OVERFLOW::POSITION)),
            status: sqe.status(),
        }
    }
}

impl RequestType {
    /// True if the result is literals and sequences.
    pub const fn is_lz77(self) -> bool {
        matches!(self, Self::LZ77_ZSTD | Self::LZ77_ZSTD_PRICE | Self::LZ77_ONLY | Self::LZ77_ONLY_PRICE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BufferType, Mode, SqeType, Window};

    #[test]
    fn entry_of_an_lz77_zstd_request() {
        let request = Request {
            sqe_type: SqeType::TYPE3,
            request_type: RequestType::LZ77_ZSTD,
            buffer_type: BufferType::FLAT,
            window: Window::K16,
            source: Iova(0xffff_8000_1000),
            source_bytes: 0x2_0000,
            source_offset: 0,
            destination: Iova(0xffff_9002_0010),
            destination_bytes: 0x1_0000,
            destination_offset: 0,
            mode: Mode::ONE_SHOT,
            tag: 0x77,
        };
        let sqe = Lz77Request { request, literals: Iova(0xffff_9000_0000), literals_bytes: 0x2_0010 }.encode();
        // By D.1: dw4 input, dw7 type and flags, dw9 type 0x43 and window 2, dw13/14 rooms, dw18 source, dw20 sequences, dw24 literals, dw26 tag.
        let mut words = [0; 32];
        for (at, word) in [
            (4, 0x2_0000),
            (7, 0x3a00_0000),
            (9, 0x2043),
            (13, 0x2_0010),
            (14, 0x1_0000),
            (18, 0x8000_1000),
            (19, 0xffff),
            (20, 0x9002_0010),
            (21, 0xffff),
            (24, 0x9000_0000),
            (25, 0xffff),
            (26, 0x77),
        ] {
            words[at] = word;
        }
        assert_eq!(sqe, Sqe(words));
    }

    #[test]
    fn results_lie_where_d1_says() {
        let mut sqe = Sqe::ZERO;
        (sqe.0[0], sqe.0[1], sqe.0[2]) = (0x2_0000, 12, 0x1_8000);
        let plain = Lz77Completion::from(&sqe);
        assert_eq!((plain.consumed, plain.sequences, plain.literals, plain.long_literals), (0x2_0000, 12, 0x1_8000, None));
        sqe.0[31] = 0x0100_0007;
        assert_eq!(Lz77Completion::from(&sqe).long_literals, Some(7));
        sqe.0[31] = 0x0000_0007;
        assert_eq!(Lz77Completion::from(&sqe).long_literals, None);
        assert_eq!((LITERAL_OVERFLOW::POSITION.val(7) + LITERAL_OVERFLOW::COUNT.val(1)).value, 0x0100_0007);
    }

    #[test]
    fn a_sequence_is_a_word_and_two_halves() {
        let sequence = Sequence { offset: 0x1234_5678, literal_length: 0x9abc, match_length: 0xdef0 };
        assert_eq!(sequence.to_bytes(), [0x78, 0x56, 0x34, 0x12, 0xbc, 0x9a, 0xf0, 0xde]);
        assert_eq!(Sequence::from_bytes(&[0x78, 0x56, 0x34, 0x12, 0xbc, 0x9a, 0xf0, 0xde]), sequence);
    }

    #[test]
    fn the_table_has_room_for_its_words() {
        use frequency::*;
        assert_eq!((MATCH_LENGTHS, OFFSETS, WORDS), (36, 36 + 53, 36 + 53 + 32));
        const { assert!(4 * WORDS <= FREQUENCY_BYTES) };
    }

    #[test]
    fn limits_of_d9() {
        assert_eq!((LZ77_ZSTD_MAX_BYTES, LZ77_ONLY_MAX_BYTES), (0x2_0000, 0x7f_fff0));
        let lz77 = (0..=255).filter(|code| RequestType(*code).is_lz77());
        assert!(lz77.eq([0x40, 0x41, 0x42, 0x43]));
    }
}
