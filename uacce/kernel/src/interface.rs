//! How a device presents itself when it is allocated a node.

use heapless::String;
use uacce_abi::flags;

/// Longest interface name in bytes. The node's name adds `-` and its number.
pub const NAME_MAX_BYTES: usize = 53;

/// An interface name was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameError {
    /// Empty.
    Empty,
    /// Longer than [`NAME_MAX_BYTES`].
    TooLong {
        /// Its length in bytes.
        len_bytes: usize,
    },
    /// Holds a character other than a letter, a digit, `_` or `-`.
    BadCharacter,
}

/// Name and wishes of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    pub(crate) name: String<NAME_MAX_BYTES>,
    pub(crate) flags: u32,
}

impl Interface {
    /// An interface that asks for shared virtual addressing. What it gets is in the node's effective flags.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return Err(NameError::BadCharacter);
        }
        let name = String::try_from(name).map_err(|_| NameError::TooLong { len_bytes: name.len() })?;
        Ok(Self { name, flags: flags::SVA })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn ua_r4_names_are_checked() {
        assert_eq!(Interface::new(""), Err(NameError::Empty));
        assert_eq!(Interface::new("a b"), Err(NameError::BadCharacter));
        assert_eq!(Interface::new("../x"), Err(NameError::BadCharacter));
        let long = "x".repeat(NAME_MAX_BYTES + 1);
        assert_eq!(Interface::new(&long), Err(NameError::TooLong { len_bytes: NAME_MAX_BYTES + 1 }));
        assert!(Interface::new(&long[1..]).is_ok());
        assert!(Interface::new("hisi_zip").is_ok());
    }
}
