//! The kernel command line: words, some of the form `key=value`, values percent-encoded where they hold spaces.

use alloc::string::String;
use alloc::vec::Vec;

/// The value of the first word `key=…`, still encoded.
pub fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// True if the bare word stands in the line.
pub fn has_word(line: &str, word: &str) -> bool {
    line.split_ascii_whitespace().any(|w| w == word)
}

/// A percent-encoded value was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// `%` without two hexadecimal digits, at this byte.
    BadEscape {
        /// Byte position of the `%`.
        at: usize,
    },
    /// The bytes are not UTF-8.
    NotUtf8,
}

/// Decodes `%XX`.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(value: &str) -> Result<String, DecodeError> {
    let bytes = value.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte != b'%' {
            out.push(*byte);
            at += 1;
            continue;
        }
        let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else { return Err(DecodeError::BadEscape { at }) };
        out.push((high * 16 + low) as u8);
        at += 3;
    }
    String::from_utf8(out).map_err(|_| DecodeError::NotUtf8)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn words_are_found_whole() {
        let line = "app=zip fmt=g in=/a%20b quiet";
        assert_eq!(value(line, "app"), Some("zip"));
        assert_eq!(value(line, "in"), Some("/a%20b"));
        assert_eq!((value(line, "ap"), value(line, "mt"), value(line, "quiet")), (None, None, None));
        assert!(has_word(line, "quiet") && !has_word(line, "qui") && !has_word(line, "app"));
    }

    #[test]
    fn values_are_decoded_or_refused() {
        assert_eq!(decode("/a%20b%25").as_deref(), Ok("/a b%"));
        assert_eq!(decode("%c3%A9").as_deref(), Ok("é"));
        assert_eq!(decode("a%2"), Err(DecodeError::BadEscape { at: 1 }));
        assert_eq!(decode("%zz"), Err(DecodeError::BadEscape { at: 0 }));
        assert_eq!(decode("%+1"), Err(DecodeError::BadEscape { at: 0 }));
        assert_eq!(decode("%ff"), Err(DecodeError::NotUtf8));
    }
}
