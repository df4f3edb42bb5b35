//! The argument string of a process: words `key=value`, values percent-encoded.

use core::fmt;

use heapless::{String, Vec};
use uacce_abi::{Call, Errno, Kernel};
use zip_spec::Container;

/// Longest argument string in bytes.
const ARGUMENTS_BYTES: usize = 2048;
/// Longest decoded value in bytes.
const VALUE_BYTES: usize = 1024;

/// What is wrong with an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadArgument {
    /// The word is not there.
    Missing,
    /// The value is not one of those allowed.
    NotAllowed,
    /// `%` without two hexadecimal digits, not UTF-8, or too long.
    BadEncoding,
}

/// A process cannot read its arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgumentError {
    /// The kernel refused to tell.
    Kernel(Errno),
    /// One of them is bad.
    Bad {
        /// Its key.
        key: &'static str,
        /// What is wrong.
        what: BadArgument,
    },
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(errno) => write!(f, "cannot read the arguments: {errno}"),
            Self::Bad { key, what: BadArgument::Missing } => write!(f, "argument {key}= is missing"),
            Self::Bad { key, what: BadArgument::NotAllowed } => write!(f, "argument {key}= has no such value"),
            Self::Bad { key, what: BadArgument::BadEncoding } => write!(f, "argument {key}= is badly encoded"),
        }
    }
}

/// The arguments of this process.
pub struct Arguments {
    text: String<ARGUMENTS_BYTES>,
}

impl Arguments {
    /// Reads the arguments from the kernel.
    ///
    /// # Errors
    /// `Kernel`.
    pub fn read(kernel: &impl Kernel) -> Result<Self, ArgumentError> {
        let mut bytes = [0; ARGUMENTS_BYTES];
        let len = kernel.call(Call::Arguments { into: &mut bytes }).map_err(ArgumentError::Kernel)? as usize;
        let text = bytes.get(..len).and_then(|bytes| core::str::from_utf8(bytes).ok());
        text.map_or(Err(ArgumentError::Kernel(Errno::EINVAL)), Self::parse)
    }

    /// Takes an argument string.
    ///
    /// # Errors
    /// `Kernel(E2BIG)` if it is too long.
    pub fn parse(text: &str) -> Result<Self, ArgumentError> {
        String::try_from(text).map(|text| Self { text }).map_err(|_| ArgumentError::Kernel(Errno::E2BIG))
    }

    /// The value of a key as it stands, still encoded.
    pub fn raw(&self, key: &str) -> Option<&str> {
        self.text.split_ascii_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    /// The decoded value of a key, if it is there.
    ///
    /// # Errors
    /// `Bad` with `BadEncoding`.
    pub fn value(&self, key: &'static str) -> Result<Option<String<VALUE_BYTES>>, ArgumentError> {
        let bad = ArgumentError::Bad { key, what: BadArgument::BadEncoding };
        self.raw(key).map(|raw| decode(raw).ok_or(bad)).transpose()
    }

    /// The value of a key as a decimal number, if it is there.
    ///
    /// # Errors
    /// `Bad` with `NotAllowed`.
    pub fn number(&self, key: &'static str) -> Result<Option<u64>, ArgumentError> {
        let bad = ArgumentError::Bad { key, what: BadArgument::NotAllowed };
        self.raw(key).map(|raw| raw.parse().map_err(|_| bad)).transpose()
    }

    /// The decoded value of a key.
    ///
    /// # Errors
    /// `Bad` with `Missing` or `BadEncoding`.
    pub fn path(&self, key: &'static str) -> Result<String<VALUE_BYTES>, ArgumentError> {
        self.value(key)?.ok_or(ArgumentError::Bad { key, what: BadArgument::Missing })
    }

    /// The value of a key, translated.
    ///
    /// # Errors
    /// `Bad` with `Missing` or `NotAllowed`.
    pub fn choice<T>(&self, key: &'static str, of: impl FnOnce(&str) -> Option<T>) -> Result<T, ArgumentError> {
        let raw = self.raw(key).ok_or(ArgumentError::Bad { key, what: BadArgument::Missing })?;
        of(raw).ok_or(ArgumentError::Bad { key, what: BadArgument::NotAllowed })
    }
}

/// The container of the word `fmt=`.
pub(crate) fn container(word: &str) -> Option<Container> {
    match word {
        "z" => Some(Container::Zlib),
        "g" => Some(Container::Gzip),
        "r" => Some(Container::Raw),
        _ => None,
    }
}

fn decode(raw: &str) -> Option<String<VALUE_BYTES>> {
    let mut bytes: Vec<u8, VALUE_BYTES> = Vec::new();
    let mut rest = raw.as_bytes();
    while let [first, after @ ..] = rest {
        let byte;
        (byte, rest) = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |b: &u8| char::from(*b).to_digit(16);
                ((digit(high)? * 16 + digit(low)?) as u8, after)
            }
            (b'%', _) => return None,
            (byte, after) => (*byte, after),
        };
        bytes.push(byte).ok()?;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_and_decoded() {
        let arguments = Arguments::parse("app=zip fmt=g dir=c in=/a%20b%25 out= seed=7 count=x").unwrap();
        assert_eq!((arguments.number("seed"), arguments.number("level")), (Ok(Some(7)), Ok(None)));
        assert!(arguments.number("count").is_err());
        assert_eq!(arguments.choice("fmt", container), Ok(Container::Gzip));
        assert_eq!(arguments.path("in").as_deref(), Ok("/a b%"));
        assert_eq!(arguments.path("out").as_deref(), Ok(""));
        assert_eq!(arguments.value("level"), Ok(None));
    }

    #[test]
    fn faults_name_the_key() {
        let arguments = Arguments::parse("fmt=x in=%4 xin=a").unwrap();
        let bad = |key, what| ArgumentError::Bad { key, what };
        assert_eq!(arguments.choice("fmt", container).unwrap_err(), bad("fmt", BadArgument::NotAllowed));
        assert_eq!(arguments.choice("dir", container).unwrap_err(), bad("dir", BadArgument::Missing));
        assert_eq!(arguments.path("in").unwrap_err(), bad("in", BadArgument::BadEncoding));
        assert!(Arguments::parse(&"x".repeat(3000)).is_err());
    }
}
