//! Counters: those that registers show, and those that only the model keeps.

/// What the model counted that hardware keeps no register for. All wrap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Stores to the mailbox that were not one 128-bit store.
    pub torn_mailboxes: u32,
    /// 128-bit stores while the mailbox was busy: dropped.
    pub mailbox_overruns: u32,
    /// Doorbells refused: queue not running, not the page's, bad index, wrong random data, wrong width or place.
    pub doorbells_refused: u32,
    /// Reads of offsets without a register.
    pub unknown_reads: u32,
    /// Writes to offsets without a register, or of 8 or 16 bits.
    pub unknown_writes: u32,
    /// Completion events that had no event queue to go to, or a full one.
    pub events_lost: u32,
    /// Interrupt messages that were not sent because MSI was off.
    pub messages_lost: u32,
    /// Results dropped because their queue's life had ended.
    pub results_dropped: u32,
    /// VFT entries that overlapped the share of another function: not taken.
    pub shares_refused: u32,
    /// Resets of the whole device, of which the engine behind it has to know.
    pub device_resets: u32,
    /// Own accesses that stalled.
    pub stalls: u32,
    /// Own accesses that the bus refused.
    pub aborts: u32,
    /// Rules broken by software: see [`Violation`](crate::Violation).
    pub violations: u32,
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            torn_mailboxes: 0,
            mailbox_overruns: 0,
            doorbells_refused: 0,
            unknown_reads: 0,
            unknown_writes: 0,
            events_lost: 0,
            messages_lost: 0,
            results_dropped: 0,
            shares_refused: 0,
            device_resets: 0,
            stalls: 0,
            aborts: 0,
            violations: 0,
        }
    }
}

/// Adds one to a counter.
pub(crate) fn bump(counter: &mut u32) {
    *counter = counter.wrapping_add(1);
}

/// Statistics registers (B.10).
#[derive(Clone, Copy)]
pub(crate) struct HardwareCounters {
    pub ecc_1bit: u32,
    pub ecc_mbit: u32,
    pub sent: u32,
    pub written_back: u32,
    pub finished: u32,
    pub cqe_errors: u32,
    pub cqes: u32,
    pub eqes: u32,
    pub aeqes: u32,
    pub last_doorbell: u64,
}

impl HardwareCounters {
    pub const fn new() -> Self {
        Self {
            ecc_1bit: 0,
            ecc_mbit: 0,
            sent: 0,
            written_back: 0,
            finished: 0,
            cqe_errors: 0,
            cqes: 0,
            eqes: 0,
            aeqes: 0,
            last_doorbell: 0,
        }
    }
}
