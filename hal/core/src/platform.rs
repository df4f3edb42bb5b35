//! What a driver needs from the platform around its device: configuration space, and a reset that no register of the device gives.

use crate::StreamId;

/// One function's PCI configuration space, as its driver sees it. Offsets are bytes, accesses aligned 32-bit words.
pub trait ConfigSpace {
    /// Reads a word; all ones if the function does not answer.
    fn read32(&self, offset: u16) -> u32;
    /// Writes a word.
    fn write32(&self, offset: u16, value: u32);
}

impl<T: ConfigSpace + ?Sized> ConfigSpace for &T {
    fn read32(&self, offset: u16) -> u32 {
        (**self).read32(offset)
    }
    fn write32(&self, offset: u16, value: u32) {
        (**self).write32(offset, value);
    }
}

/// A platform reset did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResetError {
    /// The platform refused it or it failed: the device is in an unknown state.
    Failed,
    /// The platform did not see it end in time: the device may still be resetting.
    TimedOut,
}

/// The platform's service that resets a whole device, known by the StreamID of its physical function.
pub trait PlatformReset {
    /// Resets the device and returns when that is over. The device's bus traffic must have been stopped before.
    ///
    /// # Errors
    /// See [`ResetError`].
    fn reset(&self, device: StreamId) -> Result<(), ResetError>;
}

impl<T: PlatformReset + ?Sized> PlatformReset for &T {
    fn reset(&self, device: StreamId) -> Result<(), ResetError> {
        (**self).reset(device)
    }
}
