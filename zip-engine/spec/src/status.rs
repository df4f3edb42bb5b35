//! Result codes of a request: dw3 7:0 (D.4).

use core::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// A result code. Open: an unknown code stays representable.
        ///
        /// The codes up to 0x13 are the part's. No list of its error codes is public, so those from 0x40 on are this model's own choice
        /// of unlisted values: software must treat every code but 0x00, 0x0d and 0x13 as an error.
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(transparent)]
        pub struct Status(pub u8);

        impl Status {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// Every code with a name, and what it says in a few words.
            pub const ALL: &'static [(Self, &'static str, &'static str)] = &[$((Self::$name, stringify!($name), $text),)*];
        }
    };
}

codes! {
    /// Done.
    SUCCESS = 0x00, "success";
    /// One-shot compression made the data longer; the output is valid.
    NEGATIVE_COMPRESSION = 0x0d, "output longer than input";
    /// The destination is full before the end.
    DESTINATION_TOO_SMALL = 0x0e, "destination too small";
    /// Integrity field of the source is wrong (storage path).
    SOURCE_DIF = 0x0f, "source integrity field wrong";
    /// CRC-32 or Adler-32 of the trailer differs.
    CHECKSUM_MISMATCH = 0x10, "checksum mismatch";
    /// Integrity field of the uncompressed data is wrong (storage path).
    DESTINATION_DIF = 0x12, "uncompressed data integrity field wrong";
    /// A stream decompression reached the end of its stream.
    END_OF_STREAM = 0x13, "end of stream";

    /// dw7 31:28 names no entry layout of this revision.
    BAD_SQE_TYPE = 0x40, "unknown entry type";
    /// dw9 7:0 names no algorithm of this revision and direction.
    BAD_REQUEST_TYPE = 0x41, "unsupported request type";
    /// dw9 11:8 names no buffer type.
    BAD_BUFFER_TYPE = 0x42, "unknown buffer type";
    /// dw9 15:12 names no window, on a compression.
    BAD_WINDOW = 0x43, "unknown window";
    /// A reserved bit is set, or an integrity (DIF) field is used.
    RESERVED_BITS = 0x44, "reserved bits set";
    /// The input is empty on a one-shot request, or longer than the limit.
    BAD_INPUT_LENGTH = 0x45, "input length out of range";
    /// A buffer runs past the end of the address space, or an offset is given without a list.
    BAD_ADDRESS = 0x46, "buffer address out of range";
    /// No core of this direction is enabled.
    NO_CORE = 0x47, "no core enabled";
    /// A stream of a format that has whole blocks only.
    BAD_MODE = 0x48, "format has no streams";

    /// A read of the source was terminated.
    SOURCE_ABORT = 0x50, "source read aborted";
    /// A write to the destination was terminated.
    DESTINATION_ABORT = 0x51, "destination write aborted";
    /// A read of the source's scatter list was terminated.
    SOURCE_SGL_ABORT = 0x52, "source list read aborted";
    /// A read of the destination's scatter list was terminated.
    DESTINATION_SGL_ABORT = 0x53, "destination list read aborted";
    /// An access to the stream context was terminated.
    CONTEXT_ABORT = 0x54, "stream context access aborted";
    /// The source's scatter list breaks its rules or is shorter than the input.
    BAD_SOURCE_SGL = 0x58, "source list malformed";
    /// The destination's scatter list breaks its rules.
    BAD_DESTINATION_SGL = 0x59, "destination list malformed";
    /// The stream context holds no state of this format and direction.
    BAD_CONTEXT = 0x5a, "stream context invalid";

    /// DEFLATE block type 3.
    BAD_BLOCK_TYPE = 0x60, "invalid block type";
    /// LEN and NLEN of a stored block disagree.
    BAD_STORED_LENGTH = 0x61, "invalid stored block length";
    /// A set of code lengths is over-subscribed, incomplete, too long or repeats nothing.
    BAD_CODE_LENGTHS = 0x62, "invalid code lengths";
    /// A code that no symbol has, or a symbol without meaning.
    BAD_SYMBOL = 0x63, "invalid code";
    /// A match reaches before the start of the window.
    DISTANCE_TOO_FAR = 0x64, "distance too far back";
    /// A one-shot input ends before its stream does.
    TRUNCATED = 0x65, "input truncated";
    /// The length in the gzip trailer differs.
    LENGTH_MISMATCH = 0x66, "length mismatch";
}

impl Status {
    /// The name of the constant, if the code has one.
    pub fn name(self) -> Option<&'static str> {
        Self::ALL.iter().find(|(code, ..)| *code == self).map(|(_, name, _)| *name)
    }

    /// What the code says, in a few words.
    pub fn text(self) -> &'static str {
        Self::ALL.iter().find(|(code, ..)| *code == self).map_or("malformed stream or descriptor", |(_, _, text)| *text)
    }

    /// True if the produced bytes are good: 0x00, 0x0d and 0x13.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::SUCCESS | Self::NEGATIVE_COMPRESSION | Self::END_OF_STREAM)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Status({:#04x})", self.0),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x} ({})", self.0, self.text())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn listed_codes_are_those_of_the_part() {
        let listed = [
            Status::SUCCESS,
            Status::NEGATIVE_COMPRESSION,
            Status::DESTINATION_TOO_SMALL,
            Status::SOURCE_DIF,
            Status::CHECKSUM_MISMATCH,
            Status::DESTINATION_DIF,
            Status::END_OF_STREAM,
        ];
        assert_eq!(listed.map(|status| status.0), [0x00, 0x0d, 0x0e, 0x0f, 0x10, 0x12, 0x13]);
    }

    #[test]
    fn codes_are_distinct_and_only_three_are_good() {
        for (i, (code, name, _)) in Status::ALL.iter().enumerate() {
            assert!(Status::ALL[..i].iter().all(|(other, ..)| other != code), "{name} appears twice");
        }
        let good: std::vec::Vec<u8> = (0..=255).filter(|&code| Status(code).is_good()).collect();
        assert_eq!(good, [0x00, 0x0d, 0x13]);
    }

    #[test]
    fn display_names_number_and_reason() {
        assert_eq!(std::format!("{}", Status(0x10)), "0x10 (checksum mismatch)");
        assert_eq!(std::format!("{}", Status(0xee)), "0xee (malformed stream or descriptor)");
    }
}
