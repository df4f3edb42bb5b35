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

/// The firmware service behind [`PlatformReset`] on machines with a device tree: the counterpart of ACPI's `ZRST` method.
///
/// A node compatible with [`COMPATIBLE`](device_reset::COMPATIBLE) names the conduit (`method`: "smc" or "hvc") and the function (`function-id`, one
/// cell: a 64-bit fast call of the silicon provider's range, Arm DEN 0028). x1 is the StreamID of the device's physical function, x2 what is
/// wanted; x0 returns one of the results, 64 bits wide.
pub mod device_reset {
    /// `compatible` of the node.
    pub const COMPATIBLE: &str = "soc,device-reset";
    /// x2: begin a reset.
    pub const BEGIN: u64 = 0;
    /// x2: say whether the reset that was begun has ended.
    pub const ASK: u64 = 1;
    /// x0: it has ended; the device is as after power-on, but for its configuration spaces.
    pub const DONE: i64 = 0;
    /// x0: it is under way: ask again.
    pub const BUSY: i64 = 1;
    /// x0: there is no such service.
    pub const NOT_SUPPORTED: i64 = -1;
    /// x0: no device with that StreamID can be reset, or x2 is neither.
    pub const INVALID_PARAMETERS: i64 = -2;
    /// x0: it was begun and failed, or none was begun; the device is in an unknown state.
    pub const FAILED: i64 = -3;
}

impl<T: PlatformReset + ?Sized> PlatformReset for &T {
    fn reset(&self, device: StreamId) -> Result<(), ResetError> {
        (**self).reset(device)
    }
}
