//! What software did against the architecture's rules.

use hal::{StallTag, StreamId, SubstreamId};
use heapless::Deque;

/// One broken rule. The model then does what the architecture permits and is least helpful.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    /// An access of a width or alignment that the register does not support. Answered RAZ/WI.
    AccessShape {
        /// Offset in the register region.
        offset: u64,
        /// Width in bytes.
        bytes: u8,
    },
    /// A register was written while its guard forbids it. The write was ignored.
    GuardedWrite {
        /// Offset of the register.
        offset: u64,
    },
    /// A field was written again before its previous write was acknowledged.
    UpdateInProgress {
        /// Offset of the register.
        offset: u64,
    },
    /// GBPA was written without Update = 1. The write was ignored.
    GbpaWithoutUpdate,
    /// GERRORN toggled errors that are not active. Those bits were ignored.
    InactiveErrorAcknowledged {
        /// The bits.
        bits: u32,
    },
    /// A base address is not aligned to its table or queue. Low bits act as 0.
    MisalignedBase {
        /// Offset of the register.
        offset: u64,
    },
    /// Producer and consumer are further apart than the queue is long. Nothing is processed.
    IndicesApart {
        /// Offset of the index register that was written.
        offset: u64,
    },
    /// CMD_RESUME named no recorded stall. Ignored.
    UnknownStall(StallTag),
    /// SMMUEN was cleared while transactions were stalled. They were aborted.
    DisabledWithStalls {
        /// How many.
        count: u32,
    },
    /// A TLB invalidation carried a VMID or ASID that the implementation does not have. It did nothing.
    UnimplementedTag {
        /// Word 0 of the command.
        command: u64,
    },
    /// A range invalidation's address is not aligned to its granule or level. It did nothing.
    MisalignedRange {
        /// Word 1 of the command.
        command: u64,
    },
    /// A single-address invalidation (TG = 0) carried NUM, SCALE or TTL. They were ignored.
    RangeFieldsWithoutGranule {
        /// Word 0 of the command.
        command: u64,
    },
    /// Two live Context descriptors use one ASID for different TTB0 tables. Looked for where the second one is fetched: against the latest
    /// fetched one of each of the last 512 owners (fewer if their numbers collide), for as long as it stands in memory and its stream has
    /// not been invalidated, and against every cached one. A clash of ASIDs last used longer ago is not seen.
    AsidClash {
        /// The ASID.
        asid: u16,
    },
    /// A valid STE or CD changed in several words that mattered, with no V = 0 in between.
    TornUpdate {
        /// The stream.
        stream: StreamId,
        /// Whose CD; `None` for the STE.
        substream: Option<SubstreamId>,
    },
    /// A descriptor with the contiguous hint is not part of such a run: its neighbour or its own output does not fit.
    WrongContiguous {
        /// Physical address of the descriptor.
        descriptor_at: u64,
    },
    /// A page got another output address while its old translation was cached.
    WithoutBreak {
        /// Input address.
        address: u64,
    },
    /// A page was given up while a cache still led there.
    FreedWhileCached {
        /// Physical address.
        page: u64,
    },
    /// A page was given up between an invalidation and the CMD_SYNC that completes it.
    FreedBeforeSync {
        /// Physical address.
        page: u64,
    },
}

impl Violation {
    /// The rule, after the thing that it is about.
    pub const fn clause(&self) -> &'static str {
        match self {
            Self::AccessShape { .. } => {
                "register access: registers are accessed by aligned 32-bit accesses, 64-bit registers also by aligned 64-bit accesses"
            }
            Self::GuardedWrite { .. } => {
                "guarded registers: the register is writable only while the feature that uses it is disabled and acknowledged so"
            }
            Self::UpdateInProgress { .. } => "update protocol: a field must not be written again before its previous update has completed",
            Self::GbpaWithoutUpdate => "SMMU_GBPA: a write takes effect only with Update = 1",
            Self::InactiveErrorAcknowledged { .. } => "SMMU_GERRORN: only bits of active errors may be toggled",
            Self::MisalignedBase { .. } => {
                "table and queue bases: a base address is aligned to the larger of its minimum and the table's or queue's size"
            }
            Self::IndicesApart { .. } => "queue indices: producer and consumer are at most the queue's length apart",
            Self::UnknownStall(_) => "CMD_RESUME: one response for each recorded stall, after its record was read",
            Self::DisabledWithStalls { .. } => "SMMU_CR0.SMMUEN: clearing it terminates stalled transactions",
            Self::UnimplementedTag { .. } => "CMD_TLBI_*: VMID is RES0 without stage 2, ASID bits 15:8 are RES0 without IDR0.ASID16",
            Self::MisalignedRange { .. } => {
                "range invalidation: the address of a range is aligned to its granule, and with TTL to the level's block"
            }
            Self::RangeFieldsWithoutGranule { .. } => "range invalidation: NUM, SCALE and TTL are 0 while TG = 0",
            Self::TornUpdate { .. } => "configuration structures: a live entry changes by one 64-bit word that matters, or through V = 0",
            Self::WrongContiguous { .. } => {
                "Contiguous bit: all entries of a run have it, the same attributes, and outputs that follow each other from an aligned one"
            }
            Self::WithoutBreak { .. } => {
                "translation tables: a valid descriptor gets another output only after an invalid one and its invalidation"
            }
            Self::FreedWhileCached { .. } => {
                "CMD_CFGI_*, CMD_TLBI_*: memory is reused only after everything that leads there was invalidated"
            }
            Self::FreedBeforeSync { .. } => "CMD_SYNC: an invalidation is complete when the CMD_SYNC behind it is",
            Self::AsidClash { .. } => "Context descriptors: all Context descriptors of one VMID and ASID describe one address space",
        }
    }
}

/// The latest broken rules, and how many there were.
pub(crate) struct ViolationLog {
    latest: Deque<Violation, 32>,
    pub count: u64,
}

impl ViolationLog {
    pub const fn new() -> Self {
        Self { latest: Deque::new(), count: 0 }
    }

    #[inline(never)]
    pub fn push(&mut self, violation: Violation) {
        self.count += 1;
        if self.latest.is_full() {
            self.latest.pop_front();
        }
        let _ = self.latest.push_back(violation);
    }

    /// The oldest one not yet taken.
    #[inline]
    pub fn take(&mut self) -> Option<Violation> {
        self.latest.pop_front()
    }
}
