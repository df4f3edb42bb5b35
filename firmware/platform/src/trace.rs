//! The access trace: what EL2 keeps at [`TRACE_BASE`](crate::TRACE_BASE), little-endian, for a reader on the host.
//!
//! A header page, then records of [`RECORD_BYTES`] from [`RECORDS_OFFSET`] on, oldest first. When the area is full further records are counted
//! as lost; hash and counters go on. A reader may look at any time: the count of records is stored after the record.

/// First eight bytes of the header: "SOCTRACE".
pub const MAGIC: u64 = u64::from_le_bytes(*b"SOCTRACE");
/// Version of this layout.
pub const VERSION: u64 = 1;
/// Where records begin, from the start of the area.
pub const RECORDS_OFFSET: usize = 0x1000;
/// Length of a record.
pub const RECORD_BYTES: usize = 32;
/// Start value of the running hash: the FNV-1a 64-bit offset basis.
pub const HASH_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
/// Multiplier of the running hash: the FNV-1a 64-bit prime. The hash folds whole 64-bit words: `h = (h ^ word) * prime`, for the words
/// meta, address and value of every trapped access, and for the 16 words of each request's entry when the engine takes it and when it gives it
/// back, in the order in which these happen.
pub const HASH_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Index of each 64-bit word of the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum HeaderWord {
    /// [`MAGIC`].
    Magic = 0,
    /// [`VERSION`].
    Version = 1,
    /// Records that fit.
    Capacity = 2,
    /// Records written.
    Written = 3,
    /// Records lost since the area was full.
    Lost = 4,
    /// Running hash; see [`HASH_PRIME`].
    Hash = 5,
    /// Trace level: records are kept if not 0.
    Level = 6,
    /// First counter; see [`Counter`].
    Counters = 8,
}

/// What EL2 counts. The number is the counter's index and its name in [`vendor`](crate::vendor) calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Counter {
    /// Trapped accesses of SMMU registers.
    SmmuAccesses = 0,
    /// Trapped accesses of configuration space.
    ConfigAccesses = 1,
    /// Trapped accesses of PCI memory: the function's BARs.
    BarAccesses = 2,
    /// Trapped accesses of the MSI frame and of holes of the aperture.
    OtherAccesses = 3,
    /// Accesses answered by an external abort.
    Aborts = 4,
    /// Requests started by the engine.
    Jobs = 5,
    /// Requests ended.
    JobsDone = 6,
    /// Stalls that parked a request.
    Stalls = 7,
    /// Stalls resumed by software, those of the queue manager's own accesses included.
    Resumes = 8,
    /// Messages delivered as interrupts.
    Messages = 9,
    /// Engine cores woken.
    Kicks = 10,
    /// Requests, of those that ended, whose result went nowhere: their queue was gone, or an error had stopped the bus.
    Dropped = 11,
    /// Accesses that no register of the block answers: reads gave 0, writes were ignored.
    Unknown = 12,
    /// Rules of the SMMU's architecture that software broke, of each register write the latest 32.
    Violations = 13,
    /// Times that the SMMU sent an event to waiting cores (CMD_SYNC with CS = SEV); several commands of one register write send one.
    WakeEvents = 14,
}

/// Number of counters.
pub const COUNTERS: usize = 15;

impl Counter {
    /// All counters with the names that a report uses.
    pub const ALL: [(Self, &'static str); COUNTERS] = [
        (Self::SmmuAccesses, "smmu-accesses"),
        (Self::ConfigAccesses, "config-accesses"),
        (Self::BarAccesses, "bar-accesses"),
        (Self::OtherAccesses, "other-accesses"),
        (Self::Aborts, "aborts"),
        (Self::Jobs, "jobs"),
        (Self::JobsDone, "jobs-done"),
        (Self::Stalls, "stalls"),
        (Self::Resumes, "resumes"),
        (Self::Messages, "messages"),
        (Self::Kicks, "kicks"),
        (Self::Dropped, "dropped"),
        (Self::Unknown, "unknown"),
        (Self::Violations, "violations"),
        (Self::WakeEvents, "wake-events"),
    ];
}

/// What a record tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A trapped load: address, value returned.
    Load = 1,
    /// A trapped store: address, value.
    Store = 2,
    /// A trapped 16-byte store: address, low value, high value in `extra`.
    StorePair = 3,
    /// An access ended by an external abort: address, ESR_EL2.
    Abort = 4,
    /// A line's edge: INTID in `address`.
    Line = 5,
    /// A message: INTID in `address`.
    Message = 6,
    /// A request taken by the engine: queue in `address`, slot in `value`, slot of the ring in `extra`.
    Job = 7,
    /// A request ended: queue in `address`, slot in `value`.
    JobDone = 8,
    /// A request or queue waits: StreamID in `address`, STAG in `value`.
    Stall = 9,
    /// Software resumed a stall: StreamID in `address`, STAG in `value`, verdict in `extra` (0 retry, 1 abort, 2 read zero, write ignore).
    Resume = 10,
    /// A core was started: core in `address`, entry in `value`.
    CoreOn = 11,
    /// A command of the SMMU's queue: its two words in `value` and `extra`. Of a burst of more than 64 the last 64 are recorded.
    SmmuCommand = 12,
    /// An event record of the SMMU: words 0 and 1 in `value` and `extra`, word 2 in `address`.
    SmmuEvent = 13,
    /// An event record that had no room, as above.
    SmmuEventLost = 14,
    /// The SMMU's command queue stopped: CERROR in `value`, slot in `extra`.
    SmmuCommandError = 15,
}

impl Kind {
    /// Decodes a record's kind byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Load,
            2 => Self::Store,
            3 => Self::StorePair,
            4 => Self::Abort,
            5 => Self::Line,
            6 => Self::Message,
            7 => Self::Job,
            8 => Self::JobDone,
            9 => Self::Stall,
            10 => Self::Resume,
            11 => Self::CoreOn,
            12 => Self::SmmuCommand,
            13 => Self::SmmuEvent,
            14 => Self::SmmuEventLost,
            15 => Self::SmmuCommandError,
            _ => return None,
        })
    }
}

/// One record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Meta word: kind in bits 7:0, width of an access in bytes in 15:8, exception level of its maker in 23:16, core in 31:24.
    pub meta: u64,
    /// Address or subject, by kind.
    pub address: u64,
    /// Value, by kind.
    pub value: u64,
    /// More, by kind.
    pub extra: u64,
}

impl Record {
    /// Packs a meta word.
    #[inline(always)]
    pub const fn meta(kind: Kind, bytes: u8, level: u8, core: u8) -> u64 {
        kind as u64 | (bytes as u64) << 8 | (level as u64) << 16 | (core as u64) << 24
    }

    /// The record's kind; `None` if unknown.
    pub const fn kind(&self) -> Option<Kind> {
        Kind::from_byte(self.meta as u8)
    }
    /// Width of the access in bytes.
    pub const fn bytes(&self) -> u8 {
        (self.meta >> 8) as u8
    }
    /// Exception level that made the access.
    pub const fn level(&self) -> u8 {
        (self.meta >> 16) as u8
    }
    /// Core that made it.
    pub const fn core(&self) -> u8 {
        (self.meta >> 24) as u8
    }

    /// Decodes a record as it lies in memory.
    pub const fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Self {
        let mut words = [0_u64; 4];
        let mut i = 0;
        while i < RECORD_BYTES {
            words[i / 8] |= (bytes[i] as u64) << (8 * (i % 8));
            i += 1;
        }
        Self { meta: words[0], address: words[1], value: words[2], extra: words[3] }
    }
}
