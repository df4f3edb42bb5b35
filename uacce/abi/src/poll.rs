//! Waiting for queue handles.

use crate::Fd;

/// One entry of a poll call, 8 bytes, as in POSIX.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct PollFd {
    /// The handle.
    pub fd: i32,
    /// What to wait for: [`PollFd::IN`] or 0. Errors are always reported.
    pub events: u16,
    /// What happened.
    pub revents: u16,
}

impl PollFd {
    /// Length of the structure in bytes.
    pub const BYTES: usize = 8;
    /// Most entries of one call.
    pub const MAX_ENTRIES: usize = 16;
    /// Completions arrived since this handle was polled last.
    pub const IN: u16 = 0x001;
    /// The queue is dead.
    pub const ERR: u16 = 0x008;
    /// Not an open queue handle of the caller.
    pub const NVAL: u16 = 0x020;

    /// An entry that waits for completions on `fd`.
    pub const fn new(fd: Fd) -> Self {
        Self { fd: fd.0, events: Self::IN, revents: 0 }
    }

    /// The structure as it lies in memory.
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        let (fd, events, revents) = (self.fd.to_le_bytes(), self.events.to_le_bytes(), self.revents.to_le_bytes());
        [fd[0], fd[1], fd[2], fd[3], events[0], events[1], revents[0], revents[1]]
    }

    /// Reads the structure from memory.
    pub const fn from_bytes(b: [u8; Self::BYTES]) -> Self {
        Self {
            fd: i32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            events: u16::from_le_bytes([b[4], b[5]]),
            revents: u16::from_le_bytes([b[6], b[7]]),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn layout_is_that_of_posix() {
        assert_eq!(size_of::<PollFd>(), PollFd::BYTES);
        assert_eq!((offset_of!(PollFd, fd), offset_of!(PollFd, events), offset_of!(PollFd, revents)), (0, 4, 6));
        let golden = [0x03, 0, 0, 0, 0x01, 0, 0x08, 0];
        let entry = PollFd { fd: 3, events: PollFd::IN, revents: PollFd::ERR };
        assert_eq!(entry.to_bytes(), golden);
        assert_eq!(PollFd::from_bytes(golden), entry);
    }
}
