//! What can go wrong, as values.

use hal::{AllocError, StreamId, SubstreamId};

use crate::features::Refusal;

/// A wait reached its deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeout {
    /// The register that was polled, by its name in IHI 0070.
    pub register: &'static str,
    /// The value that was waited for, under the mask that mattered.
    pub wanted: u32,
    /// The last value read.
    pub seen: u32,
}

/// Why the SMMU stopped at a command (CMDQ_CONS.ERR; IHI 0070, section 7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommandError {
    /// CERROR_ILL: opcode or field illegal. The slot was replaced by a CMD_SYNC.
    Illegal,
    /// CERROR_ABT: the queue could not be read. It was tried again.
    QueueAbort,
    /// CERROR_ATC_INV_SYNC: an endpoint did not complete an ATC invalidation.
    AtcTimeout,
    /// A code that the driver does not know.
    Unknown(u8),
}

/// A command that the SMMU refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandFailure {
    /// The reason.
    pub error: CommandError,
    /// The command as it stood in the queue.
    pub command: [u64; 2],
}

/// An operation on the SMMU failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SmmuError {
    /// This SMMU cannot be served.
    Refused(Refusal),
    /// The SMMU did not answer in time.
    Timeout(Timeout),
    /// No memory for a table.
    Memory(AllocError),
    /// The SMMU refused a command. Commands before and after it were executed.
    Command(CommandFailure),
    /// An index register holds a value that cannot be: more entries consumed or produced than exist.
    BadIndex {
        /// The register, by its name in IHI 0070.
        register: &'static str,
        /// What it held.
        seen: u32,
    },
    /// The SMMU entered Service Failure Mode, or a wait for the command queue failed before: nothing can be invalidated any more.
    Dead,
    /// The StreamID lies beyond the stream table.
    StreamOutOfRange(StreamId),
    /// The stream is attached already.
    StreamBusy(StreamId),
    /// The stream is not attached, or not in the mode that the call needs.
    NoSuchStream(StreamId),
    /// The stream still has bound SubstreamIDs.
    StreamBound(StreamId),
    /// The stream has no SubstreamIDs, or not this one; SubstreamID 0 belongs to the kernel's table.
    SubstreamOutOfRange(SubstreamId),
    /// The SubstreamID is bound already.
    SubstreamBusy(SubstreamId),
    /// The SubstreamID is not bound on this stream.
    NotBound(SubstreamId),
    /// The description of a table breaks a rule; the field is named.
    BadTable(TableField),
    /// The ASID denotes another address space, or was not handed out.
    AsidInUse(u16),
    /// The VMID denotes another table, or was not handed out, or no stream uses it.
    VmidInUse(u16),
    /// All ASIDs, all SubstreamIDs or all VMIDs are taken.
    NoIdentifiers,
    /// The driver's own room for streams, tables, address spaces or pending stalls is used up.
    NoRoom,
    /// No stall with this tag waits for an answer.
    UnknownStall,
    /// The SMMU has no stall model.
    NoStall,
    /// The SMMU has no stage 2.
    NoStage2,
    /// The stream has no table for traffic without a SubstreamID.
    NoKernelTable(StreamId),
    /// A guest may not give the command at this position.
    NotForGuests(usize),
    /// The SMMU has no ATS.
    NoAts,
    /// No page request group like this waits for an answer.
    UnknownGroup,
    /// The stream must be blocked first: its transactions could stall again.
    NotBlocked(StreamId),
}

/// Which field of a table description breaks a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableField {
    /// T0SZ is out of range.
    T0sz,
    /// The granule is not supported.
    Granule,
    /// The output size exceeds OAS.
    OutputSize,
    /// The table is misaligned or beyond the output size.
    Ttb0,
    /// The ASID is wider than IDR0.ASID16 allows.
    Asid,
    /// The VMID is 0 or wider than IDR0.VMID16 allows.
    Vmid,
    /// Walks of this many address bits cannot start at this level.
    StartLevel,
    /// A CD table for more SubstreamIDs than the SMMU has.
    SubstreamBits,
    /// A shape of CD table that the SMMU does not have, or two levels without SubstreamIDs.
    Shape,
    /// The guest's CD table is misaligned or beyond its addresses.
    ContextPointer,
}

impl From<Timeout> for SmmuError {
    fn from(timeout: Timeout) -> Self {
        Self::Timeout(timeout)
    }
}

impl From<AllocError> for SmmuError {
    fn from(error: AllocError) -> Self {
        Self::Memory(error)
    }
}

impl From<Refusal> for SmmuError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
