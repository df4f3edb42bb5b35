//! How a request ended.

use core::fmt;

/// Status of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Status(pub u8);

impl Status {
    /// The entry was not run.
    pub const NONE: Self = Self(0);
    /// Everything was copied.
    pub const COPIED: Self = Self(1);
    /// Unknown operation, or a bit that must be 0.
    pub const BAD_OPERATION: Self = Self(2);
    /// Length 0, or longer than [`MAX_BYTES`](crate::MAX_BYTES).
    pub const BAD_LENGTH: Self = Self(3);
    /// A range passes the end of the address space, or the two share a byte.
    pub const BAD_RANGE: Self = Self(4);
    /// The source could not be read.
    pub const READ_FAULT: Self = Self(5);
    /// The destination could not be written.
    pub const WRITE_FAULT: Self = Self(6);

    /// True if all of it was copied.
    pub const fn is_good(self) -> bool {
        self.0 == Self::COPIED.0
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::NONE => "not run",
            Self::COPIED => "copied",
            Self::BAD_OPERATION => "bad operation",
            Self::BAD_LENGTH => "bad length",
            Self::BAD_RANGE => "bad range",
            Self::READ_FAULT => "read fault",
            Self::WRITE_FAULT => "write fault",
            Self(other) => return write!(f, "status {other:#04x}"),
        };
        f.write_str(name)
    }
}
