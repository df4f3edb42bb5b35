//! Driver of the HiSilicon queue manager (QM), versions 2 and 3, for any engine behind it.
//!
//! [`Qm`] brings one physical function up, owns its queues and answers its interrupts. It knows registers through a
//! [`RegisterWindow`](hal::RegisterWindow), memory through a [`DmaMapper`](hal::DmaMapper) and time through a [`Clock`](hal::Clock); it
//! allocates nothing else and keeps no statics. The engine is a number of bytes per entry, an algorithm string and a count of algorithm
//! types; its own registers are its own driver's, between [`Qm::initialise`] and [`Qm::start`].
//!
//! Everything that the device or a process writes is hostile: entries are read once, numbers are checked before they index anything. Memory
//! that a command which timed out may still be using is never given back.
//!
//! Section letters in comments are those of the project's fact file on the QM.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod abnormal;
mod bring_up;
mod device;
mod error;
mod event;
mod inspect;
mod mailbox;
mod parameters;
mod peer;
mod queue;
mod reset;
#[cfg(test)]
mod ring_tests;
#[cfg(test)]
mod scripted;
mod shaper;
mod snapshot;
mod sriov;
mod traffic;

pub use abnormal::AbnormalReport;
pub use bring_up::Capabilities;
pub use device::{Lock, QmDevice};
pub use error::{MailboxError, QmError};
pub use event::{AsyncEvent, EventReport};
pub use inspect::{Clear, DeviceCounters, Dump, FunctionReport, QueueReport};
pub use parameters::{Engine, Parameters, Timeouts};
pub use peer::Peer;
pub use queue::QpState;
pub use reset::{ErrorRate, Reset, ResetFailure, ResetStep, Surroundings};
pub use snapshot::{Difference, Snapshot};

use hal::{Clock, DmaMapper, RegisterWindow};
use qm_spec::{DusLayout, PhaseRing};

use queue::Qp;

/// Counters that a field engineer asks for. All wrap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Queues that could not be handed out.
    pub create_qp_errors: u32,
    /// Mailbox commands that failed or timed out.
    pub mailbox_errors: u32,
    /// Interrupts of the event queue.
    pub eq_interrupts: u32,
    /// Interrupts of the event queue that brought nothing.
    pub spurious_eq_interrupts: u32,
    /// Event entries that named no queue of ours, or one that is not started.
    pub stray_events: u32,
    /// Interrupts of the asynchronous event queue.
    pub aeq_interrupts: u32,
    /// Abnormal interrupts.
    pub abnormal_interrupts: u32,
}

/// Where the function stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QmState {
    /// Nothing was done yet, or everything was given back.
    Down,
    /// Registers are set up; the engine may be, too.
    Initialised,
    /// Queues can be used.
    Started,
    /// A reset or a suspension is under way, or a reset failed: the device may be in any state, its memory is left to it.
    Resetting,
}

/// Which kind of function a driver serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The device's own function.
    Physical,
    /// One of its virtual functions.
    Virtual,
}

/// One function with up to `QUEUES` queues.
pub struct Qm<W, C, M: DmaMapper, const QUEUES: usize = 64> {
    registers: W,
    doorbell_pages: Option<W>,
    clock: C,
    mapper: M,
    role: Role,
    /// Virtual functions that were given queues.
    vfs: u16,
    /// Quality of service of every function.
    qos: [u16; qm_spec::MAX_VFS as usize + 1],
    base_rates: Option<[u16; 2]>,
    /// User queues may be taken: false between the failure of a reset and the next that works.
    isolated: bool,
    errors: ErrorRate,
    frozen_elsewhere: bool,
    parameters: Parameters,
    state: QmState,
    capabilities: Capabilities,
    layout: DusLayout,
    queue_count: u16,
    function_memory: Option<M::Buffer>,
    context: Option<M::Buffer>,
    /// A mailbox command timed out and has not been seen to end: the device may still use what it named.
    mailbox_owes: bool,
    eq: Option<PhaseRing>,
    aeq: Option<PhaseRing>,
    queues: [Qp<M::Buffer>; QUEUES],
    next_queue: u16,
    /// The free queue whose block is to serve next.
    last_freed: u16,
    statistics: Statistics,
}

impl<W: RegisterWindow, C: Clock, M: DmaMapper, const QUEUES: usize> Qm<W, C, M, QUEUES> {
    /// Makes a driver that has touched nothing yet. `registers` is BAR2; `doorbell_pages` is BAR4 where the function has one.
    pub fn new(parameters: Parameters, registers: W, doorbell_pages: Option<W>, clock: C, mapper: M) -> Self {
        let capabilities = Capabilities::defaults(parameters.version);
        Self {
            layout: capabilities.layout(&parameters),
            registers,
            doorbell_pages,
            clock,
            mapper,
            role: Role::Physical,
            vfs: 0,
            qos: [1000; qm_spec::MAX_VFS as usize + 1],
            base_rates: None,
            isolated: false,
            errors: ErrorRate::new(),
            frozen_elsewhere: false,
            parameters,
            state: QmState::Down,
            capabilities,
            queue_count: 0,
            function_memory: None,
            context: None,
            mailbox_owes: false,
            eq: None,
            aeq: None,
            queues: [const { Qp::new() }; QUEUES],
            next_queue: 0,
            last_freed: 0,
            statistics: Statistics::default(),
        }
    }

    /// Makes a driver of a virtual function, whose queues the physical function's driver gave it. It uses up to `parameters.queues` of them.
    pub fn new_virtual(parameters: Parameters, registers: W, doorbell_pages: Option<W>, clock: C, mapper: M) -> Self {
        Self { role: Role::Virtual, ..Self::new(parameters, registers, doorbell_pages, clock, mapper) }
    }

    /// Which kind of function this is.
    pub const fn role(&self) -> Role {
        self.role
    }
    /// Virtual functions that have queues.
    pub const fn vf_count(&self) -> u16 {
        self.vfs
    }
    /// Where the function stands.
    pub const fn state(&self) -> QmState {
        self.state
    }
    /// What the part said about itself; constants of the version before [`initialise`](Self::initialise).
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
    /// Counters.
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }
    /// What the driver was made with.
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }
    /// Layout of every queue's shared block.
    pub const fn dus_layout(&self) -> &DusLayout {
        &self.layout
    }
    /// Queues of this function.
    pub const fn queue_count(&self) -> u16 {
        self.queue_count
    }
}
