//! What can be wrong with a stream.

/// Why a stream was refused. The verdicts are zlib's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateError {
    /// BTYPE is 3 (RFC 1951 §3.2.3).
    InvalidBlockType,
    /// LEN of a stored block is not the complement of NLEN (RFC 1951 §3.2.4).
    StoredLengthMismatch {
        /// LEN as read.
        len: u16,
        /// NLEN as read.
        nlen: u16,
    },
    /// HLIT names more than 286 literal/length symbols or HDIST more than 30 distance symbols (RFC 1951 §3.2.7).
    TooManySymbols {
        /// Literal/length symbols, 257 + HLIT.
        hlit: u16,
        /// Distance symbols, 1 + HDIST.
        hdist: u16,
    },
    /// The code of the code lengths is over-subscribed or incomplete.
    InvalidPrecode,
    /// Code length symbol 16 comes first, or a repeat runs past the last length.
    InvalidLengthRepeat,
    /// The end-of-block symbol 256 has no codeword.
    MissingEndOfBlock,
    /// The literal/length code is over-subscribed, or incomplete with more than one codeword of one bit.
    InvalidLitLenCode,
    /// The distance code is over-subscribed, or incomplete with more than one codeword of one bit.
    InvalidDistanceCode,
    /// The bits are no literal/length codeword, or that of symbol 286 or 287.
    InvalidLitLenSymbol,
    /// The bits are no distance codeword, or that of symbol 30 or 31.
    InvalidDistanceSymbol,
    /// The distance reaches back before the first byte of output.
    DistanceTooFarBack {
        /// The distance in bytes.
        distance: u16,
        /// Bytes of output that it may reach back into.
        available: u16,
    },
    /// The Adler-32 of the trailer differs from that of the output (RFC 1950 §2.2).
    AdlerMismatch {
        /// Value in the stream.
        expected: u32,
        /// Value of the data.
        computed: u32,
    },
    /// The CRC32 of the trailer differs from that of the output (RFC 1952 §2.3.1).
    CrcMismatch {
        /// Value in the stream.
        expected: u32,
        /// Value of the data.
        computed: u32,
    },
    /// ISIZE of the trailer differs from the length of the output modulo 2^32 (RFC 1952 §2.3.1).
    IsizeMismatch {
        /// Value in the stream.
        expected: u32,
        /// Value of the data.
        computed: u32,
    },
}
