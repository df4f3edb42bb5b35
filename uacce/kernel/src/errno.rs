//! From what went wrong to what the caller is told: the one place where errors become numbers.

use crate::port::SpaceError;
use hal::QueueError;
use uacce_abi::Errno;

/// The number that stands for a device's refusal.
pub const fn errno_of(error: QueueError) -> Errno {
    match error {
        QueueError::Busy => Errno::EBUSY,
        QueueError::WrongState | QueueError::Invalid => Errno::EINVAL,
        QueueError::OutOfMemory => Errno::ENOMEM,
        QueueError::TimedOut => Errno::ETIMEDOUT,
        QueueError::Io => Errno::EIO,
        QueueError::NoDevice => Errno::ENODEV,
    }
}

/// The number that stands for an address space's refusal.
pub(crate) const fn errno_of_space(error: SpaceError) -> Errno {
    match error {
        SpaceError::Gone => Errno::ENXIO,
        SpaceError::OutOfMemory => Errno::ENOMEM,
        SpaceError::OutOfSubstreams | SpaceError::Taken => Errno::EBUSY,
        SpaceError::Iommu => Errno::ENODEV,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_error_has_its_number() {
        let table = [
            (QueueError::Busy, 16),
            (QueueError::WrongState, 22),
            (QueueError::Invalid, 22),
            (QueueError::OutOfMemory, 12),
            (QueueError::TimedOut, 110),
            (QueueError::Io, 5),
            (QueueError::NoDevice, 19),
        ];
        for (error, number) in table {
            assert_eq!(errno_of(error), Errno(number));
        }
    }

    #[test]
    fn every_space_error_has_its_number() {
        let table = [
            (SpaceError::Gone, 6),
            (SpaceError::OutOfMemory, 12),
            (SpaceError::OutOfSubstreams, 16),
            (SpaceError::Taken, 16),
            (SpaceError::Iommu, 19),
        ];
        for (error, number) in table {
            assert_eq!(errno_of_space(error), Errno(number));
        }
    }
}
