//! What can go wrong.

use hal::{AllocError, QueueError};
use qm_spec::{MailboxCommand, MailboxStatus};

use crate::QmState;
use crate::queue::QpState;

/// A mailbox command failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailboxError {
    /// The mailbox was still busy with something else when the time was over; nothing was sent.
    Busy {
        /// The command that was not sent.
        command: MailboxCommand,
    },
    /// The command was sent and did not end in time. The device may still use its buffer.
    TimedOut {
        /// The command.
        command: MailboxCommand,
    },
    /// What ended is not what was sent: the mailbox shows another command or another queue.
    Mismatch {
        /// The command.
        command: MailboxCommand,
        /// Word 0 as it was read.
        seen: u32,
    },
    /// The device refused it.
    Refused {
        /// The command.
        command: MailboxCommand,
        /// The device's status.
        status: MailboxStatus,
    },
}

/// An operation of the driver failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QmError {
    /// A register did not show what it should in time.
    RegisterTimeout {
        /// Its offset in BAR2.
        offset: u64,
        /// Bits that were waited for.
        wanted: u32,
        /// What it showed last.
        seen: u32,
    },
    /// A mailbox command failed.
    Mailbox(MailboxError),
    /// Memory ran out.
    Alloc(AllocError),
    /// The part's version or its capabilities are not ones that this driver can serve.
    Unsupported,
    /// More queues were asked for than the device or the driver has.
    TooManyQueues {
        /// Wanted.
        wanted: u16,
        /// Available.
        available: u16,
    },
    /// The function is not in the state that the call needs.
    WrongFunctionState(QmState),
    /// The queue is not in the state that the call needs.
    WrongQueueState(QpState),
    /// There is no such queue.
    NoSuchQueue,
    /// No queue is free.
    NoFreeQueue,
    /// An argument is out of range.
    Invalid,
    /// Virtual functions have queues of the device.
    VfsEnabled,
    /// Virtual functions have queues in use.
    VfsBusy,
    /// A peer function did not acknowledge a message in time.
    PeerSilent {
        /// The peer: 0 is the physical function.
        function: u16,
    },
    /// A controller reset is under way.
    Resetting,
    /// The device was taken out of service: too many errors, or a reset that failed.
    Isolated,
    /// Requests of a stopped queue were neither taken nor cancelled.
    Unfinished {
        /// How many.
        requests: u16,
    },
    /// The ring is full: `depth − 1` entries are outstanding.
    Full,
    /// A queue did not drain in time: the device may still use its memory.
    DrainTimedOut,
    /// A completion names a submission entry or a queue that does not exist.
    HostileCompletion {
        /// The index it names.
        sq_head: u16,
        /// The queue it names.
        sq_num: u16,
    },
}

impl From<MailboxError> for QmError {
    fn from(error: MailboxError) -> Self {
        Self::Mailbox(error)
    }
}

impl From<AllocError> for QmError {
    fn from(error: AllocError) -> Self {
        Self::Alloc(error)
    }
}

impl QmError {
    /// The narrow error that a queue file reports.
    pub const fn queue_error(self) -> QueueError {
        match self {
            Self::RegisterTimeout { .. }
            | Self::Mailbox(MailboxError::Busy { .. } | MailboxError::TimedOut { .. })
            | Self::PeerSilent { .. }
            | Self::DrainTimedOut => QueueError::TimedOut,
            Self::Mailbox(MailboxError::Refused { .. } | MailboxError::Mismatch { .. }) | Self::HostileCompletion { .. } => QueueError::Io,
            Self::Alloc(_) => QueueError::OutOfMemory,
            Self::Unsupported | Self::WrongFunctionState(_) | Self::Isolated => QueueError::NoDevice,
            Self::WrongQueueState(_) => QueueError::WrongState,
            Self::TooManyQueues { .. }
            | Self::NoFreeQueue
            | Self::Full
            | Self::Unfinished { .. }
            | Self::VfsEnabled
            | Self::VfsBusy
            | Self::Resetting => QueueError::Busy,
            Self::NoSuchQueue | Self::Invalid => QueueError::Invalid,
        }
    }
}
