//! Error numbers of the system calls.
//!
//! A call returns a value ≥ 0, or the negated number. The numbers are those of Linux, so that one errno table serves both kernels.

use core::fmt;

macro_rules! errnos {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// Why a system call was refused. Open: an unknown number stays representable.
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(transparent)]
        pub struct Errno(pub u16);

        impl Errno {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Every number this ABI uses, with its name.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$name, stringify!($name)),)*];
        }
    };
}

errnos! {
    /// The operation is never allowed on this object.
    EPERM = 1,
    /// No such node, program or host file.
    ENOENT = 2,
    /// No such process.
    ESRCH = 3,
    /// The device or the host answered with an error.
    EIO = 5,
    /// The queue is dead: its device is gone, or it was put.
    ENXIO = 6,
    /// An argument list is too long.
    E2BIG = 7,
    /// Not an open handle, or not of the kind that the call needs.
    EBADF = 9,
    /// The child does not exist or was waited for already.
    ECHILD = 10,
    /// Nothing now; try again.
    EAGAIN = 11,
    /// Out of memory or of addresses.
    ENOMEM = 12,
    /// Not the owner: the handle belongs to another address space.
    EACCES = 13,
    /// An argument points to memory that the caller does not have.
    EFAULT = 14,
    /// No instance left.
    EBUSY = 16,
    /// The region is mapped already.
    EEXIST = 17,
    /// No such device, or the device lacks the function.
    ENODEV = 19,
    /// Unknown command, argument out of range, or wrong state.
    EINVAL = 22,
    /// Too many open handles.
    EMFILE = 24,
    /// Not a call that this kind of handle has.
    ENOTTY = 25,
    /// A buffer is too small for the answer.
    ERANGE = 34,
    /// Unknown system call.
    ENOSYS = 38,
    /// The device did not answer in time.
    ETIMEDOUT = 110,
}

impl Errno {
    /// The value of `x0` for this error.
    pub const fn to_result(self) -> i64 {
        -(self.0 as i64)
    }

    /// The name, if the number is one of this ABI's.
    pub fn name(self) -> Option<&'static str> {
        Self::ALL.iter().find(|(errno, _)| *errno == self).map(|(_, name)| *name)
    }

    /// Splits the value of `x0`: −4095…−1 is an error, anything else (addresses included) a result.
    ///
    /// # Errors
    /// The number, if it was one.
    pub const fn split(result: i64) -> Result<u64, Self> {
        if result < 0 && result >= -4095 { Err(Self(result.unsigned_abs() as u16)) } else { Ok(result as u64) }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn numbers_are_distinct_and_those_of_linux() {
        for (i, (errno, name)) in Errno::ALL.iter().enumerate() {
            assert!(Errno::ALL[..i].iter().all(|(other, _)| other != errno), "{name} appears twice");
        }
        assert_eq!(Errno::EINVAL.to_result(), -22);
        assert_eq!(Errno::ETIMEDOUT.to_result(), -110);
        assert_eq!(Errno::ENXIO.to_result(), -6);
    }

    #[test]
    fn addresses_with_the_top_bit_set_are_results() {
        assert_eq!(Errno::split(-1), Err(Errno::EPERM));
        assert_eq!(Errno::split(-4095), Err(Errno(4095)));
        assert_eq!(Errno::split(-4096), Ok((-4096i64) as u64));
        assert_eq!(Errno::split(0), Ok(0));
    }
}
