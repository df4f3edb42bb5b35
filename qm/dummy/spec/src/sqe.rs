//! The submission entry: 8 words.

use hal::Iova;
use tock_registers::LocalRegisterCopy;

use crate::Status;

/// log2 of an entry's bytes, as a queue's context has it.
pub const LOG2_SQE_BYTES: u8 = 5;
/// Length of an entry in bytes.
pub const SQE_BYTES: usize = 1 << LOG2_SQE_BYTES;
/// Length of an entry in words.
pub const SQE_WORDS: usize = SQE_BYTES / 4;
/// Longest copy in bytes.
pub const MAX_BYTES: u32 = 16 << 20;
/// The only operation.
pub const OPERATION_COPY: u32 = 1;

/// Word numbers of an entry.
pub mod dw {
    /// [`CONTROL`](crate::CONTROL).
    pub const CONTROL: usize = 0;
    /// In: length in bytes.
    pub const LENGTH: usize = 1;
    /// In: source address, low half.
    pub const SOURCE_LOW: usize = 2;
    /// In: source address, high half.
    pub const SOURCE_HIGH: usize = 3;
    /// In: destination address, low half.
    pub const DESTINATION_LOW: usize = 4;
    /// In: destination address, high half.
    pub const DESTINATION_HIGH: usize = 5;
    /// The caller's own.
    pub const TAG: usize = 6;
    /// Out: bytes written.
    pub const WRITTEN: usize = 7;
}

pub use fields::CONTROL;

#[allow(missing_docs, reason = "the macro makes items of its own that carry no documentation")]
mod fields {
    use tock_registers::register_bitfields;

    register_bitfields! { u32,
        /// Word 0: what to do, and what became of it.
        pub CONTROL [
            /// [7:0] OPERATION: 1 copies.
            OPERATION OFFSET(0) NUMBITS(8) [],
            /// [15:8] STATUS: see [`Status`](crate::Status).
            STATUS OFFSET(8) NUMBITS(8) [],
            /// [31:16] must be 0.
            RESERVED OFFSET(16) NUMBITS(16) [],
        ],
    }
}

/// An entry, as it lies in the ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C, align(8))]
pub struct Sqe(pub [u32; SQE_WORDS]);

impl Sqe {
    /// An entry of zeroes.
    pub const ZERO: Self = Self([0; SQE_WORDS]);

    /// Word 0.
    pub const fn control(&self) -> LocalRegisterCopy<u32, CONTROL::Register> {
        LocalRegisterCopy::new(self.0[dw::CONTROL])
    }

    fn address(&self, low: usize) -> Iova {
        Iova(u64::from(self.0[low]) | u64::from(self.0[low + 1]) << 32)
    }

    /// What a device is asked for: one look at the words, checked in the order of the status numbers.
    ///
    /// # Errors
    /// `BAD_OPERATION`, `BAD_LENGTH`, `BAD_RANGE`.
    pub fn request(&self) -> Result<Request, Status> {
        let control = self.control();
        if control.read(CONTROL::OPERATION) != OPERATION_COPY || control.read(CONTROL::RESERVED) != 0 {
            return Err(Status::BAD_OPERATION);
        }
        let len_bytes = self.0[dw::LENGTH];
        if len_bytes == 0 || len_bytes > MAX_BYTES {
            return Err(Status::BAD_LENGTH);
        }
        let (source, destination) = (self.address(dw::SOURCE_LOW), self.address(dw::DESTINATION_LOW));
        let last = u64::from(len_bytes) - 1;
        let (Some(source_last), Some(destination_last)) = (source.checked_add(last), destination.checked_add(last)) else {
            return Err(Status::BAD_RANGE);
        };
        if source.0 <= destination_last.0 && destination.0 <= source_last.0 {
            return Err(Status::BAD_RANGE);
        }
        Ok(Request { source, destination, len_bytes, tag: self.0[dw::TAG] })
    }

    /// Writes how the request ended; the other words stay.
    pub fn set_result(&mut self, status: Status, written_bytes: u32) {
        let mut control = self.control();
        control.modify(CONTROL::STATUS.val(status.0.into()));
        self.0[dw::CONTROL] = control.get();
        self.0[dw::WRITTEN] = written_bytes;
    }
}

/// A copy that somebody wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Where the data are.
    pub source: Iova,
    /// Where they go.
    pub destination: Iova,
    /// How many bytes, 1 to [`MAX_BYTES`].
    pub len_bytes: u32,
    /// The caller's own.
    pub tag: u32,
}

impl Request {
    /// Lays the entry out. Nothing is checked: that is the device's to do.
    pub fn encode(&self) -> Sqe {
        let halves = |address: Iova| [address.0 as u32, (address.0 >> 32) as u32];
        let ([source, source_high], [destination, destination_high]) = (halves(self.source), halves(self.destination));
        let control = CONTROL::OPERATION.val(OPERATION_COPY).value;
        Sqe([control, self.len_bytes, source, source_high, destination, destination_high, self.tag, 0])
    }
}

/// What came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completion {
    /// How it ended.
    pub status: Status,
    /// Bytes written, from the destination's beginning on.
    pub written_bytes: u32,
    /// The caller's own.
    pub tag: u32,
}

impl From<&Sqe> for Completion {
    fn from(sqe: &Sqe) -> Self {
        let status = Status(sqe.control().read(CONTROL::STATUS) as u8);
        Self { status, written_bytes: sqe.0[dw::WRITTEN], tag: sqe.0[dw::TAG] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand from the table of the README.
    const GOLDEN: [u32; 8] = [0x0000_0001, 0x0000_1234, 0x9abc_def0, 0x1234_5678, 0x7654_3210, 0xfedc_ba98, 0xcafe_f00d, 0];

    #[test]
    fn a_request_is_the_words_of_the_table() {
        let request =
            Request { source: Iova(0x1234_5678_9abc_def0), destination: Iova(0xfedc_ba98_7654_3210), len_bytes: 0x1234, tag: 0xcafe_f00d };
        assert_eq!(request.encode(), Sqe(GOLDEN));
        assert_eq!(Sqe(GOLDEN).request(), Ok(request));
    }

    #[test]
    fn a_result_is_the_words_of_the_table() {
        let mut sqe = Sqe(GOLDEN);
        sqe.set_result(Status::WRITE_FAULT, 0x1000);
        let mut expected = GOLDEN;
        (expected[0], expected[7]) = (0x0000_0601, 0x1000);
        assert_eq!(sqe, Sqe(expected));
        let completion = Completion { status: Status(6), written_bytes: 0x1000, tag: 0xcafe_f00d };
        assert_eq!(Completion::from(&sqe), completion);
        // A second result replaces the first.
        sqe.set_result(Status::COPIED, 0x1234);
        assert_eq!(sqe.0[0], 0x0000_0101);
    }

    #[test]
    fn fields_cover_word_0_once() {
        let fields = [CONTROL::OPERATION, CONTROL::STATUS, CONTROL::RESERVED].map(|field| field.mask << field.shift);
        assert_eq!(fields, [0x0000_00ff, 0x0000_ff00, 0xffff_0000]);
    }

    #[test]
    fn every_refusal_has_its_status() {
        let with = |at: usize, word: u32| {
            let mut words = GOLDEN;
            words[at] = word;
            Sqe(words).request().map(|request| request.len_bytes)
        };
        assert_eq!(with(0, 0), Err(Status::BAD_OPERATION));
        assert_eq!(with(0, 2), Err(Status::BAD_OPERATION));
        assert_eq!(with(0, 0x0001_0001), Err(Status::BAD_OPERATION));
        // A status that somebody left in the word is nobody's business.
        assert_eq!(with(0, 0x0000_ff01), Ok(0x1234));
        assert_eq!(with(1, 0), Err(Status::BAD_LENGTH));
        assert_eq!(with(1, 0x0100_0001), Err(Status::BAD_LENGTH));
        assert_eq!(with(1, 0x0100_0000), Ok(0x0100_0000));
        let ranges = |source: u64, destination: u64, len_bytes: u32| {
            Request { source: Iova(source), destination: Iova(destination), len_bytes, tag: 0 }.encode().request().map(|_| ())
        };
        assert_eq!(ranges(u64::MAX - 15, 0x1000, 16), Ok(()));
        assert_eq!(ranges(u64::MAX - 14, 0x1000, 16), Err(Status::BAD_RANGE));
        assert_eq!(ranges(0x1000, u64::MAX - 14, 16), Err(Status::BAD_RANGE));
        assert_eq!(ranges(0x1000, 0x1010, 16), Ok(()));
        assert_eq!(ranges(0x1000, 0x100f, 16), Err(Status::BAD_RANGE));
        assert_eq!(ranges(0x100f, 0x1000, 16), Err(Status::BAD_RANGE));
        assert_eq!(ranges(0x1000, 0x1000, 1), Err(Status::BAD_RANGE));
    }
}
