//! Laying out a request and reading its completion: what the kernel's self-check and the user library share.

use hal::Iova;

use crate::{BufferType, CONTROL, ContextWords, Flush, OUTPUT_OFFSET, RequestType, SELECT, Sqe, SqeType, Status, Window, dw};

/// One step of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamStep {
    /// True on the first request of a stream: the context, `words`, `isize` and `checksum` are then not looked at.
    pub is_new: bool,
    /// Whether the stream ends with this request (compression).
    pub flush: Flush,
    /// The stream context, engine part ([`stream_context`](crate::stream_context)).
    pub context: Iova,
    /// What the last completion returned, 0 at first.
    pub words: ContextWords,
    /// Running uncompressed size that the last completion returned.
    pub isize: u32,
    /// Running checksum word that the last completion returned.
    pub checksum: u32,
}

/// Whether a request stands alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// A whole stream in one request. The engine ignores both bits; the libraries set them, the kernel does not.
    OneShot {
        /// dw7 bit 25.
        flush: Flush,
        /// dw7 bit 27.
        is_new: bool,
    },
    /// A step of a stream.
    Stream(StreamStep),
}

impl Mode {
    /// The bits that the user libraries send.
    pub const ONE_SHOT: Self = Self::OneShot { flush: Flush::Finish, is_new: true };
}

/// What a request asks for. The direction is the queue's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Entry layout.
    pub sqe_type: SqeType,
    /// Format.
    pub request_type: RequestType,
    /// What the addresses mean.
    pub buffer_type: BufferType,
    /// Farthest match distance (compression).
    pub window: Window,
    /// Data, or list.
    pub source: Iova,
    /// Input length in bytes.
    pub source_bytes: u32,
    /// Bytes to skip in a source list; 24 bits.
    pub source_offset: u32,
    /// Buffer, or list.
    pub destination: Iova,
    /// Output room in bytes.
    pub destination_bytes: u32,
    /// Bytes to skip in a destination list; 24 bits.
    pub destination_offset: u32,
    /// One shot, or a step of a stream.
    pub mode: Mode,
    /// Returned unchanged; type 0 keeps 32 bits.
    pub tag: u64,
}

impl Request {
    /// Lays the request out.
    pub fn encode(&self) -> Sqe {
        let mut sqe = Sqe::ZERO;
        let (flush, is_new, is_stream) = match self.mode {
            Mode::OneShot { flush, is_new } => (flush, is_new, false),
            Mode::Stream(step) => (step.flush, step.is_new, true),
        };
        sqe.0[dw::INPUT_LENGTH] = self.source_bytes;
        sqe.0[dw::CONTROL] = (CONTROL::INPUT_OFFSET.val(self.source_offset)
            + CONTROL::FLUSH.val(u32::from(flush == Flush::Finish))
            + CONTROL::STREAM_MODE.val(u32::from(is_stream))
            + CONTROL::STREAM_NEW.val(u32::from(is_new))
            + CONTROL::SQE_TYPE.val(u32::from(self.sqe_type.0)))
        .value;
        sqe.0[dw::OUTPUT_OFFSET] = OUTPUT_OFFSET::OFFSET.val(self.destination_offset).value;
        sqe.0[dw::SELECT] = (SELECT::REQUEST_TYPE.val(u32::from(self.request_type.0))
            + SELECT::BUFFER_TYPE.val(u32::from(self.buffer_type.0))
            + SELECT::WINDOW.val(u32::from(self.window.0)))
        .value;
        sqe.0[dw::DEST_AVAIL_OUT] = self.destination_bytes;
        sqe.set_pair(dw::SOURCE_LOW, self.source.0);
        sqe.set_pair(dw::DESTINATION_LOW, self.destination.0);
        if let Mode::Stream(step) = self.mode {
            sqe.set_pair(dw::CONTEXT_LOW, step.context.0);
            sqe.set_context_words(step.words);
            sqe.0[dw::ISIZE] = step.isize;
            sqe.0[dw::CHECKSUM] = step.checksum;
        }
        sqe.set_tag(self.tag);
        sqe
    }
}

/// What a completed entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completion {
    /// Input bytes consumed, header not counted.
    pub consumed: u32,
    /// Output bytes produced, header not counted.
    pub produced: u32,
    /// How it ended.
    pub status: Status,
    /// The final block was seen.
    pub is_last_block: bool,
    /// Context words to hand in with the next step.
    pub words: ContextWords,
    /// Running uncompressed size to hand in with the next step.
    pub isize: u32,
    /// Running checksum word to hand in with the next step.
    pub checksum: u32,
    /// The request's tag.
    pub tag: u64,
}

impl From<&Sqe> for Completion {
    fn from(sqe: &Sqe) -> Self {
        Self {
            consumed: sqe.0[dw::CONSUMED],
            produced: sqe.0[dw::PRODUCED],
            status: sqe.status(),
            is_last_block: sqe.is_last_block(),
            words: sqe.context_words(),
            isize: sqe.0[dw::ISIZE],
            checksum: sqe.0[dw::CHECKSUM],
            tag: sqe.tag(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW_53: [u32; 32] = [
        0x00000000, 0x00000000, 0x00000000, 0x00000000, // dw0
        0x00019000, 0x00000000, 0x00000000, 0x3a000000, // dw4
        0x00000000, 0x00000003, 0x00000000, 0x00000000, // dw8
        0x00000000, 0x00000000, 0x00031ff6, 0x00000000, // dw12
        0x00000000, 0x00000000, 0xb81cd000, 0x0000ffff, // dw16
        0xb819b00a, 0x0000ffff, 0x00000000, 0x00000000, // dw20
        0x00000000, 0x00000000, 0x00001234, 0x00000000, // dw24
        0x00000000, 0x00000000, 0x00000000, 0x00000000, // dw28
    ];
    const ROW_54: [u32; 32] = [
        0x00000000, 0x00000000, 0x00000000, 0x00000000, // dw0
        0x00000046, 0x00000000, 0x00000000, 0x30000000, // dw4
        0x00000000, 0x00000101, 0x00000000, 0x00000000, // dw8
        0x00000000, 0x00000000, 0x00000200, 0x00000000, // dw12
        0x00000000, 0x00000000, 0xfef00000, 0x00000000, // dw16
        0xfef00180, 0x00000000, 0x00000000, 0x00000000, // dw20
        0x00000000, 0x00000000, 0x02a3c180, 0xffff0000, // dw24
        0x00000000, 0x00000000, 0x00000000, 0x00000000, // dw28
    ];
    const ROW_55: [u32; 32] = [
        0x00000000, 0x00000000, 0x00000000, 0x00000000, // dw0
        0x00010000, 0x00000000, 0x00000000, 0x3e000000, // dw4
        0x00000000, 0x00001003, 0x00000000, 0x00000000, // dw8
        0x00000000, 0x00000000, 0x0001fff6, 0x00000000, // dw12
        0x00000000, 0x00000000, 0xa8306000, 0x0000ffff, // dw16
        0xa7ac600a, 0x0000ffff, 0xa7ab0050, 0x0000ffff, // dw20
        0x00000000, 0x00000000, 0x00001234, 0x00000000, // dw24
        0x00000000, 0x00000000, 0x00000000, 0x00000000, // dw28
    ];

    fn row_53() -> Request {
        Request {
            sqe_type: SqeType::TYPE3,
            request_type: RequestType::GZIP,
            buffer_type: BufferType::FLAT,
            window: Window::K4,
            source: Iova(0xffff_b81c_d000),
            source_bytes: 102_400,
            source_offset: 0,
            destination: Iova(0xffff_b819_b000 + 10),
            destination_bytes: 204_790,
            destination_offset: 0,
            mode: Mode::ONE_SHOT,
            tag: 0x1234,
        }
    }

    #[test]
    fn row_53_gzip_one_shot_of_the_library() {
        assert_eq!(row_53().encode(), Sqe(ROW_53));
        let sqe = Sqe(ROW_53);
        assert_eq!((sqe.sqe_type(), sqe.request_type(), sqe.buffer_type()), (SqeType::TYPE3, RequestType::GZIP, BufferType::FLAT));
        assert_eq!((sqe.source(), sqe.destination()), (Iova(0xffff_b81c_d000), Iova(0xffff_b819_b00a)));
        assert_eq!((sqe.0[dw::INPUT_LENGTH], sqe.0[dw::DEST_AVAIL_OUT], sqe.tag()), (102_400, 204_790, 0x1234));
        assert!(sqe.control().is_set(CONTROL::FLUSH) && sqe.control().is_set(CONTROL::STREAM_NEW));
        assert!(!sqe.control().is_set(CONTROL::STREAM_MODE));
    }

    #[test]
    fn row_53_as_type_0() {
        let mut words = ROW_53;
        words[7] = 0x0a00_0000;
        words[26] = 0;
        words[13] = 0x1234;
        assert_eq!(Request { sqe_type: SqeType::TYPE0, ..row_53() }.encode(), Sqe(words));
        assert_eq!(Sqe(words).tag(), 0x1234);
    }

    #[test]
    fn row_53_completion() {
        let mut words = ROW_53;
        words[0] = 0x19000;
        words[1] = 0x777;
        let completion = Completion::from(&Sqe(words));
        assert_eq!((completion.consumed, completion.produced, completion.status), (102_400, 0x777, Status::SUCCESS));
        assert!(!completion.is_last_block);
        assert_eq!(completion.tag, 0x1234);
    }

    #[test]
    fn row_54_deflate_with_lists_of_the_kernel() {
        let request = Request {
            sqe_type: SqeType::TYPE3,
            request_type: RequestType::DEFLATE,
            buffer_type: BufferType::SGL,
            window: Window::K4,
            source: Iova(0xfef0_0000),
            source_bytes: 70,
            source_offset: 0,
            destination: Iova(0xfef0_0180),
            destination_bytes: 512,
            destination_offset: 0,
            mode: Mode::OneShot { flush: Flush::Sync, is_new: false },
            tag: 0xffff_0000_02a3_c180,
        };
        assert_eq!(request.encode(), Sqe(ROW_54));
        assert_eq!(Sqe(ROW_54).tag(), 0xffff_0000_02a3_c180);
        assert_eq!(Sqe(ROW_54).buffer_type(), BufferType::SGL);
    }

    #[test]
    fn row_55_gzip_stream_and_the_four_steps() {
        let step = StreamStep {
            is_new: true,
            flush: Flush::Finish,
            context: Iova(0xffff_a7ab_0010 + 64),
            words: ContextWords::default(),
            isize: 0,
            checksum: 0,
        };
        let request = |step| Request {
            window: Window::K8,
            source: Iova(0xffff_a830_6000),
            source_bytes: 65_536,
            destination: Iova(0xffff_a7ac_600a),
            destination_bytes: 131_062,
            mode: Mode::Stream(step),
            ..row_53()
        };
        assert_eq!(request(step).encode(), Sqe(ROW_55));
        assert_eq!(Sqe(ROW_55).context(), Iova(0xffff_a7ab_0050));
        assert_eq!(Sqe(ROW_55).window(), Window::K8);
        let steps = [(true, Flush::Sync), (false, Flush::Sync), (false, Flush::Finish), (true, Flush::Finish)];
        let words = steps.map(|(is_new, flush)| request(StreamStep { is_new, flush, ..step }).encode().0[7]);
        assert_eq!(words, [0x3c00_0000, 0x3400_0000, 0x3600_0000, 0x3e00_0000]);
    }

    #[test]
    fn fed_back_words_lie_where_the_completion_returned_them() {
        let step = StreamStep {
            is_new: false,
            flush: Flush::Sync,
            context: Iova(0x1000),
            words: ContextWords { dw0: 15, dw1: 28, dw2: 29 },
            isize: 30,
            checksum: 31,
        };
        let sqe = Request { mode: Mode::Stream(step), ..row_53() }.encode();
        assert_eq!([15, 28, 29, 30, 31].map(|word| sqe.0[word]), [15, 28, 29, 30, 31]);
        let completion = Completion::from(&sqe);
        assert_eq!((completion.words, completion.isize, completion.checksum), (step.words, 30, 31));
    }
}
