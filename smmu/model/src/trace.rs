//! What the model did, for those who watch.

use hal::StallTag;
use smmu_spec::{command::Command, event::EventRecord};

/// One step worth showing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trace {
    /// A command was executed.
    Command(Command),
    /// The command queue stopped at a command.
    CommandError {
        /// CMDQ_CONS.ERR.
        cerror: u8,
        /// Slot of the offending command.
        index: u32,
    },
    /// A record was written to the Event queue.
    Event(EventRecord),
    /// A record was lost: the queue was full, disabled or broken.
    EventLost(EventRecord),
    /// A transaction stalled; its record may still wait for room.
    Stalled(StallTag),
}

/// Whether steps are kept for [`SmmuModel::take_trace`](crate::SmmuModel::take_trace).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tracing {
    /// Keep the latest 64 steps.
    On,
    /// Keep nothing.
    Off,
}
