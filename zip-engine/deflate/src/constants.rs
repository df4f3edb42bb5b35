//! Numbers of RFC 1951 that both directions use.

/// Literal/length symbols with a code in the fixed code, 286 and 287 included.
pub(crate) const LITLEN_SYMBOLS: usize = 288;
/// Literal/length symbols that may occur in data.
pub(crate) const LITLEN_USED: usize = 286;
/// Distance symbols with a code in the fixed code, 30 and 31 included.
pub(crate) const DISTANCE_SYMBOLS: usize = 32;
/// Distance symbols that may occur in data.
pub(crate) const DISTANCE_USED: usize = 30;
/// Symbols of the code for the code lengths (the precode).
pub(crate) const PRECODE_SYMBOLS: usize = 19;
/// Symbol that ends a block.
pub(crate) const END_OF_BLOCK: usize = 256;
/// Longest codeword of the literal/length and distance codes, in bits.
pub(crate) const CODEWORD_BITS_MAX: usize = 15;
/// Longest codeword of the precode, in bits.
pub(crate) const PRECODE_BITS_MAX: usize = 7;
/// Shortest match, in bytes.
pub(crate) const MATCH_BYTES_MIN: usize = 3;
/// Longest match, in bytes.
pub(crate) const MATCH_BYTES_MAX: usize = 258;
/// Most bytes of a stored block.
pub(crate) const STORED_BYTES_MAX: usize = 65535;

/// Order in which the lengths of the precode are sent (§3.2.7).
pub(crate) const PRECODE_ORDER: [u8; PRECODE_SYMBOLS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Shortest length of symbols 257..=285 (§3.2.5).
pub(crate) const LENGTH_BASE: [u16; 29] =
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
/// Extra bits of symbols 257..=285.
pub(crate) const LENGTH_EXTRA: [u8; 29] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
/// Shortest distance of symbols 0..=29.
pub(crate) const DISTANCE_BASE: [u16; 30] = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385,
    24577,
];
/// Extra bits of symbols 0..=29.
pub(crate) const DISTANCE_EXTRA: [u8; 30] =
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];

/// Returns the code lengths of the fixed literal/length code (§3.2.6).
const fn fixed_litlen_lengths() -> [u8; LITLEN_SYMBOLS] {
    let mut lengths = [8; LITLEN_SYMBOLS];
    let mut symbol = 144;
    while symbol < 256 {
        lengths[symbol] = 9;
        symbol += 1;
    }
    while symbol < 280 {
        lengths[symbol] = 7;
        symbol += 1;
    }
    lengths
}

/// Code lengths of the fixed literal/length code.
pub(crate) static FIXED_LITLEN_LENGTHS: [u8; LITLEN_SYMBOLS] = fixed_litlen_lengths();
/// Code lengths of the fixed distance code.
pub(crate) const FIXED_DISTANCE_LENGTHS: [u8; DISTANCE_SYMBOLS] = [5; DISTANCE_SYMBOLS];
