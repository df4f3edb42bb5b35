//! The HiSilicon queue manager (QM) in words and bits: what hardware and software must agree on, and nothing that either of them decides.
//!
//! The queue manager is the front end of a family of accelerators: it owns submission and completion queues, hands entries to an engine
//! and reports back. This crate describes versions 1 to 3 (PCI revisions 0x20, 0x21, 0x30) and knows no engine: the length of a
//! submission entry and the engine's own registers and capability words are parameters.
//!
//! All registers are 32-bit and little-endian unless stated; memory structures are little-endian. Section letters in the documentation
//! (A to J) are those of the project's fact file on the QM.
#![no_std]
#![forbid(unsafe_code)]

mod capability;
mod context;
mod doorbell;
mod dus;
mod entry;
pub mod ioctl;
mod mailbox;
pub mod pci;
mod peer;
mod ras;
pub mod regs;
mod ring;
mod shaper;
mod version;
mod vft;

pub use capability::{CAP_FUNCTIONS, CapabilityWords, DepthCaps, QUEUE_NUMBERS, QueueNumbers};
pub use context::{
    CONTEXT_BYTES, CONTEXT_WORDS, CQC_W11, CQC_W13, ContextWords, CqcFields, EQC_W6, EqcFields, ORDER_CLOSE, ORDER_FC, ORDER_KEEP,
    RING_POSITION, SQC_W3, SQC_W5, SQC_W6, SqcFields, context_from_bytes, context_to_bytes,
};
pub use doorbell::{Arm, DB_V1, DB_V2, Doorbell, DoorbellCommand, Layout as DoorbellLayout};
pub use dus::DusLayout;
pub use entry::{AEQE, AEQE_BYTES, Aeqe, AeqeType, CQE_BYTES, CQE_W2, CQE_W3, Cqe, EQE, EQE_BYTES, Eqe};
pub use mailbox::{ALL_VFS, MB_W0, Mailbox, MailboxCommand, MailboxOp, MailboxStatus};
pub use peer::{PEER_MESSAGE, PeerCommand, PeerMessage};
pub use ras::{ABNORMAL_INF00, ABNORMAL_INF01, RAS, RAS_ALL, RAS_AXI, RasMasks};
pub use ring::{BadIndex, PhaseRing, RingCursors};
pub use shaper::ShaperFields;
pub use version::{QmVersion, SUB_VERSION_V5};
pub use vft::{CQC_VFT, SHAPER, SQC_VFT, SqcVft, VfShares, VftType};

/// Largest queue number a doorbell can name, plus 1: 10 bits on version 2 and later (B.4).
pub const MAX_QUEUES: u16 = 1024;
/// Virtual functions that the number space provides for (A.1).
pub const MAX_VFS: u16 = 63;

/// Interrupt vectors (A.4): the position in the MSI block.
pub mod vector {
    /// Event queue: completions.
    pub const EQ: u8 = 0;
    /// Asynchronous event queue: queue errors.
    pub const AEQ: u8 = 1;
    /// Message between physical and virtual function.
    pub const MAILBOX: u8 = 2;
    /// Abnormal: RAS errors of the QM and of the engine.
    pub const ABNORMAL: u8 = 3;
    /// Vectors of the physical function.
    pub const COUNT: u8 = 4;
}
