//! What a queue call can answer instead of success, split by what the caller can do about it.

use uacce_abi::Errno;

/// Why a queue call did not do what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WdError {
    /// No completion has arrived. Ask again.
    Again,
    /// The submission ring is full; nothing was submitted. Receive first.
    Busy,
    /// The wait ended before a completion arrived. Ask again.
    TimedOut,
    /// No queue is free on any matching device. Ask again later.
    NoInstance,
    /// No device offers this algorithm through a queue format that this library knows.
    NoDevice,
    /// A matching device exists, but it does not share the process's address space.
    NoSva,
    /// The device or the kernel has stopped the queue: what is in flight is lost. Release it and request another.
    Stopped,
    /// The device wrote a completion that cannot be right. Release the queue.
    BadCompletion {
        /// SQ index that it named.
        sq_head: u16,
        /// Queue that it named.
        sq_num: u16,
    },
    /// The device's queues share their doorbells (revision 0x21), and the kernel gives no process all of them.
    SharedDoorbells,
    /// Depths, entry length or region lengths of the queue do not fit together. Release the queue.
    BadLayout {
        /// Bytes per submission entry.
        sqe_bytes: u32,
        /// Submission entries.
        sq_depth: u16,
        /// Completion entries.
        cq_depth: u16,
        /// Length of the shared region in bytes.
        region_bytes: u64,
    },
    /// The kernel refused.
    Kernel(Errno),
}

impl WdError {
    /// True if the same call can succeed later on the same queue; false if the queue, or the request for one, is dead.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Again | Self::Busy | Self::TimedOut | Self::NoInstance)
    }
}

impl From<Errno> for WdError {
    fn from(errno: Errno) -> Self {
        Self::Kernel(errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_either_retry_or_dead() {
        let retry = [WdError::Again, WdError::Busy, WdError::TimedOut, WdError::NoInstance];
        let layout = WdError::BadLayout { sqe_bytes: 64, sq_depth: 1024, cq_depth: 1024, region_bytes: 0 };
        let dead = [
            WdError::NoDevice,
            WdError::NoSva,
            WdError::Stopped,
            WdError::BadCompletion { sq_head: 9, sq_num: 0 },
            layout,
            WdError::Kernel(Errno::ENXIO),
        ];
        assert!(retry.into_iter().all(WdError::is_retryable));
        assert!(!dead.into_iter().any(WdError::is_retryable));
    }
}
