//! What the caller knows and the part cannot say.

use core::time::Duration;

use hal::Pa;
use qm_spec::QmVersion;

/// The engine behind the queues, as far as queues care.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    /// log2 of a submission entry's bytes, 4 to 7.
    pub log2_sqe_bytes: u8,
    /// Algorithm types that a queue may have: 2 means 0 and 1.
    pub alg_types: u8,
    /// Algorithms for user libraries, newline separated.
    pub algorithms: &'static str,
}

/// How long the driver waits.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a register operation: memory initialisation, VFT, cache write-back.
    pub register: Duration,
    /// For an ordinary mailbox command.
    pub mailbox: Duration,
    /// For a queue to drain.
    pub drain: Duration,
    /// For a peer function to take or to answer a message.
    pub peer: Duration,
}

impl Default for Timeouts {
    /// 1 s for what hardware does in microseconds, 5 s for a drain (I.4), 20 s for a peer (B.9).
    fn default() -> Self {
        Self {
            register: Duration::from_secs(1),
            mailbox: Duration::from_secs(1),
            drain: Duration::from_secs(5),
            peer: Duration::from_secs(20),
        }
    }
}

/// Everything that a driver is made with.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// Version, from the PCI revision id.
    pub version: QmVersion,
    /// Queues wanted, at least 2; more than the device has is an error.
    pub queues: u16,
    /// Page size of the processes that map queues, a power of two.
    pub page_bytes: usize,
    /// The engine.
    pub engine: Engine,
    /// Physical address of BAR4, if there is one: what the MMIO region of a queue maps.
    pub doorbell_pages: Option<Pa>,
    /// Deadlines.
    pub timeouts: Timeouts,
}
