//! Queue contexts: SQC, CQC, EQC, AEQC (C.1 to C.3). Eight little-endian dwords each; the last one of EQC and AEQC is undefined.
#![allow(missing_docs, reason = "register_bitfields! makes items of its own beside each documented field")]

use tock_registers::{LocalRegisterCopy, register_bitfields};

use hal::Iova;

use crate::QmVersion;

/// Dwords of a context.
pub const CONTEXT_WORDS: usize = 8;
/// Bytes of a context, and of its slot in a backing table.
pub const CONTEXT_BYTES: usize = 32;
/// A context as it lies in memory.
pub type ContextWords = [u32; CONTEXT_WORDS];

register_bitfields! { u32,
    /// Dword 0 of every context.
    pub RING_POSITION [
        /// [15:0] HEAD: oldest entry.
        HEAD OFFSET(0) NUMBITS(16) [],
        /// [31:16] TAIL: next free slot.
        TAIL OFFSET(16) NUMBITS(16) [],
    ],
    /// Dword 3 of SQC and CQC.
    pub SQC_W3 [
        /// [11:0] DEPTH: entries − 1 (version 2 and later).
        DEPTH OFFSET(0) NUMBITS(12) [],
        /// [15:12] ENTRY: log2 of the entry's bytes.
        ENTRY OFFSET(12) NUMBITS(4) [],
        /// [31:16] STASH: unused.
        STASH OFFSET(16) NUMBITS(16) [],
    ],
    /// Dword 5 of the SQC: PASID and `w11`.
    pub SQC_W5 [
        /// [15:0] PASID.
        PASID OFFSET(0) NUMBITS(16) [],
        /// [21] HEAD_WRAP: head wrap signature.
        HEAD_WRAP OFFSET(21) NUMBITS(1) [],
        /// [22] TAIL_WRAP: tail wrap signature.
        TAIL_WRAP OFFSET(22) NUMBITS(1) [],
        /// [23] PASID_EN: requests carry the PASID (version 3).
        PASID_EN OFFSET(23) NUMBITS(1) [],
    ],
    /// Dword 6 of the SQC: CQ number and `w13`.
    pub SQC_W6 [
        /// [15:0] CQN: completion queue.
        CQN OFFSET(0) NUMBITS(16) [],
        /// [19:16] PRIORITY.
        PRIORITY OFFSET(16) NUMBITS(4) [],
        /// [23:20] ORDER: keep order, fc, close, reserved.
        ORDER OFFSET(20) NUMBITS(4) [],
        /// [27:24] ALG: algorithm type of the engine.
        ALG OFFSET(24) NUMBITS(4) [],
    ],
    /// Dword 5 of the CQC: PASID and `w11`. PASID enable sits at another bit than in the SQC.
    pub CQC_W11 [
        /// [15:0] PASID.
        PASID OFFSET(0) NUMBITS(16) [],
        /// [16] PASID_EN (version 3).
        PASID_EN OFFSET(16) NUMBITS(1) [],
        /// [21] HEAD_WRAP: head wrap signature.
        HEAD_WRAP OFFSET(21) NUMBITS(1) [],
        /// [22] TAIL_WRAP: tail wrap signature.
        TAIL_WRAP OFFSET(22) NUMBITS(1) [],
    ],
    /// Dword 6 of the CQC.
    pub CQC_W13 [
        /// [0] PHASE: phase of the first lap.
        PHASE OFFSET(0) NUMBITS(1) [],
        /// [1] C_FLAG: raise an event for the first completion.
        C_FLAG OFFSET(1) NUMBITS(1) [],
        /// [2] STASH_VALID: unused.
        STASH_VALID OFFSET(2) NUMBITS(1) [],
    ],
    /// Dword 6 of EQC and AEQC.
    pub EQC_W6 [
        /// [15:0] DEPTH: entries − 1.
        DEPTH OFFSET(0) NUMBITS(16) [],
        /// [16] PHASE: phase of the first lap.
        PHASE OFFSET(16) NUMBITS(1) [],
    ]
}

/// Bit 0 of the order nibble: completions in submission order.
pub const ORDER_KEEP: u8 = 1;
/// Bit 1 of the order nibble, named in one source only.
pub const ORDER_FC: u8 = 2;
/// Bit 2 of the order nibble: the queue takes nothing.
pub const ORDER_CLOSE: u8 = 4;

/// Dword 3 of an EQC of version 1: log2 of the 4-byte entry at bit 12 (C.3).
const EQC_V1_W3: u32 = 2 << 12;

const fn split(base: Iova) -> (u32, u32) {
    (base.0 as u32, (base.0 >> 32) as u32)
}
const fn join(low: u32, high: u32) -> Iova {
    Iova(low as u64 | (high as u64) << 32)
}

/// A submission queue context in parts (C.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SqcFields {
    /// Oldest entry that the device has not finished.
    pub head: u16,
    /// Next free slot.
    pub tail: u16,
    /// Address of the ring, on the function's plain stream, never in a PASID's address space.
    pub base: Iova,
    /// Entries, 1 to 4096 (1 to 65,536 on version 1).
    pub depth_entries: u32,
    /// log2 of a submission entry's bytes.
    pub log2_sqe_bytes: u8,
    /// What doorbells must carry as random data (version 2 and later).
    pub rand: u16,
    /// Address space of what the entries point to.
    pub pasid: u16,
    /// True if that address space is used (version 3).
    pub pasid_enable: bool,
    /// Head wrap signature.
    pub head_wrap: bool,
    /// Tail wrap signature.
    pub tail_wrap: bool,
    /// Completion queue.
    pub cqn: u16,
    /// Priority, 0 to 15.
    pub priority: u8,
    /// `ORDER_*` bits.
    pub order: u8,
    /// The engine's algorithm type: for ZIP 0 compress, 1 decompress.
    pub alg_type: u8,
}

impl SqcFields {
    /// A fresh context for queue `queue`, as drivers load it: empty ring, completions in order to the CQ of the same number.
    pub const fn fresh(queue: u16, base: Iova, depth_entries: u32, log2_sqe_bytes: u8, alg_type: u8) -> Self {
        Self {
            head: 0,
            tail: 0,
            base,
            depth_entries,
            log2_sqe_bytes,
            rand: 0,
            pasid: 0,
            pasid_enable: false,
            head_wrap: false,
            tail_wrap: false,
            cqn: queue,
            priority: 0,
            order: ORDER_KEEP,
            alg_type,
        }
    }

    /// The words in memory.
    pub fn encode(&self, version: QmVersion) -> ContextWords {
        let (low, high) = split(self.base);
        let depth = self.depth_entries.wrapping_sub(1);
        let entry = SQC_W3::ENTRY.val(self.log2_sqe_bytes.into());
        let (w3, w4) = match version {
            QmVersion::V1 => (entry.value, depth & 0xffff),
            _ => ((entry + SQC_W3::DEPTH.val(depth)).value, u32::from(self.rand)),
        };
        let w5 = SQC_W5::PASID.val(self.pasid.into())
            + SQC_W5::HEAD_WRAP.val(self.head_wrap.into())
            + SQC_W5::TAIL_WRAP.val(self.tail_wrap.into())
            + SQC_W5::PASID_EN.val(self.pasid_enable.into());
        let w6 = SQC_W6::CQN.val(self.cqn.into())
            + SQC_W6::PRIORITY.val(self.priority.into())
            + SQC_W6::ORDER.val(self.order.into())
            + SQC_W6::ALG.val(self.alg_type.into());
        let w0 = RING_POSITION::HEAD.val(self.head.into()) + RING_POSITION::TAIL.val(self.tail.into());
        [w0.value, low, high, w3, w4, w5.value, w6.value, 0]
    }

    /// Reads the words of memory. Reserved bits are ignored.
    pub fn decode(words: &ContextWords, version: QmVersion) -> Self {
        let w0 = LocalRegisterCopy::<u32, RING_POSITION::Register>::new(words[0]);
        let w3 = LocalRegisterCopy::<u32, SQC_W3::Register>::new(words[3]);
        let w5 = LocalRegisterCopy::<u32, SQC_W5::Register>::new(words[5]);
        let w6 = LocalRegisterCopy::<u32, SQC_W6::Register>::new(words[6]);
        let w8 = words[4] as u16;
        let (depth, rand) = match version {
            QmVersion::V1 => (u32::from(w8), 0),
            _ => (w3.read(SQC_W3::DEPTH), w8),
        };
        Self {
            head: w0.read(RING_POSITION::HEAD) as u16,
            tail: w0.read(RING_POSITION::TAIL) as u16,
            base: join(words[1], words[2]),
            depth_entries: depth + 1,
            log2_sqe_bytes: w3.read(SQC_W3::ENTRY) as u8,
            rand,
            pasid: w5.read(SQC_W5::PASID) as u16,
            pasid_enable: version.has_pasid_enable() && w5.is_set(SQC_W5::PASID_EN),
            head_wrap: w5.is_set(SQC_W5::HEAD_WRAP),
            tail_wrap: w5.is_set(SQC_W5::TAIL_WRAP),
            cqn: w6.read(SQC_W6::CQN) as u16,
            priority: w6.read(SQC_W6::PRIORITY) as u8,
            order: w6.read(SQC_W6::ORDER) as u8,
            alg_type: w6.read(SQC_W6::ALG) as u8,
        }
    }
}

/// A completion queue context in parts (C.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CqcFields {
    /// Next entry that software will consume.
    pub head: u16,
    /// Next slot that the device will write.
    pub tail: u16,
    /// Address of the ring, on the function's plain stream.
    pub base: Iova,
    /// Entries, 1 to 4096 (1 to 65,536 on version 1).
    pub depth_entries: u32,
    /// log2 of a completion entry's bytes: 4.
    pub log2_cqe_bytes: u8,
    /// What doorbells must carry as random data (version 2 and later).
    pub rand: u16,
    /// PASID of the queue; the ring does not use it.
    pub pasid: u16,
    /// PASID enable (version 3).
    pub pasid_enable: bool,
    /// Head wrap signature.
    pub head_wrap: bool,
    /// Tail wrap signature.
    pub tail_wrap: bool,
    /// Phase of the first lap.
    pub phase: bool,
    /// Raise an event for the first completion.
    pub c_flag: bool,
}

impl CqcFields {
    /// A fresh context, as drivers load it: empty ring, phase 1, armed.
    pub const fn fresh(base: Iova, depth_entries: u32) -> Self {
        Self {
            head: 0,
            tail: 0,
            base,
            depth_entries,
            log2_cqe_bytes: 4,
            rand: 0,
            pasid: 0,
            pasid_enable: false,
            head_wrap: false,
            tail_wrap: false,
            phase: true,
            c_flag: true,
        }
    }

    /// The words in memory.
    pub fn encode(&self, version: QmVersion) -> ContextWords {
        let (low, high) = split(self.base);
        let depth = self.depth_entries.wrapping_sub(1);
        let entry = SQC_W3::ENTRY.val(self.log2_cqe_bytes.into());
        let (w3, w4) = match version {
            QmVersion::V1 => (entry.value, depth & 0xffff),
            _ => ((entry + SQC_W3::DEPTH.val(depth)).value, u32::from(self.rand)),
        };
        let w5 = CQC_W11::PASID.val(self.pasid.into())
            + CQC_W11::PASID_EN.val(self.pasid_enable.into())
            + CQC_W11::HEAD_WRAP.val(self.head_wrap.into())
            + CQC_W11::TAIL_WRAP.val(self.tail_wrap.into());
        let w6 = CQC_W13::PHASE.val(self.phase.into()) + CQC_W13::C_FLAG.val(self.c_flag.into());
        let w0 = RING_POSITION::HEAD.val(self.head.into()) + RING_POSITION::TAIL.val(self.tail.into());
        [w0.value, low, high, w3, w4, w5.value, w6.value, 0]
    }

    /// Reads the words of memory. Reserved bits are ignored.
    pub fn decode(words: &ContextWords, version: QmVersion) -> Self {
        let w0 = LocalRegisterCopy::<u32, RING_POSITION::Register>::new(words[0]);
        let w3 = LocalRegisterCopy::<u32, SQC_W3::Register>::new(words[3]);
        let w5 = LocalRegisterCopy::<u32, CQC_W11::Register>::new(words[5]);
        let w6 = LocalRegisterCopy::<u32, CQC_W13::Register>::new(words[6]);
        let w8 = words[4] as u16;
        let (depth, rand) = match version {
            QmVersion::V1 => (u32::from(w8), 0),
            _ => (w3.read(SQC_W3::DEPTH), w8),
        };
        Self {
            head: w0.read(RING_POSITION::HEAD) as u16,
            tail: w0.read(RING_POSITION::TAIL) as u16,
            base: join(words[1], words[2]),
            depth_entries: depth + 1,
            log2_cqe_bytes: w3.read(SQC_W3::ENTRY) as u8,
            rand,
            pasid: w5.read(CQC_W11::PASID) as u16,
            pasid_enable: version.has_pasid_enable() && w5.is_set(CQC_W11::PASID_EN),
            head_wrap: w5.is_set(CQC_W11::HEAD_WRAP),
            tail_wrap: w5.is_set(CQC_W11::TAIL_WRAP),
            phase: w6.is_set(CQC_W13::PHASE),
            c_flag: w6.is_set(CQC_W13::C_FLAG),
        }
    }
}

/// An event queue context in parts (C.3); the asynchronous event queue's has the same form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EqcFields {
    /// Next entry that software will consume.
    pub head: u16,
    /// Next slot that the device will write.
    pub tail: u16,
    /// Address of the ring, on the function's plain stream.
    pub base: Iova,
    /// Entries, 1 to 65,536.
    pub depth_entries: u32,
    /// Phase of the first lap.
    pub phase: bool,
}

impl EqcFields {
    /// A fresh context, as drivers load it: empty ring, phase 1.
    pub const fn fresh(base: Iova, depth_entries: u32) -> Self {
        Self { head: 0, tail: 0, base, depth_entries, phase: true }
    }

    /// The words of an AEQC in memory, and of an EQC from version 2 on.
    pub fn encode(&self) -> ContextWords {
        let (low, high) = split(self.base);
        let w0 = RING_POSITION::HEAD.val(self.head.into()) + RING_POSITION::TAIL.val(self.tail.into());
        let w6 = EQC_W6::DEPTH.val(self.depth_entries.wrapping_sub(1)) + EQC_W6::PHASE.val(self.phase.into());
        [w0.value, low, high, 0, 0, 0, w6.value, 0]
    }

    /// The words of an EQC in memory, version 1.
    pub fn encode_eqc_v1(&self) -> ContextWords {
        let mut words = self.encode();
        words[3] = EQC_V1_W3;
        words
    }

    /// Reads the words of memory; the eighth is ignored.
    pub fn decode(words: &ContextWords) -> Self {
        let w0 = LocalRegisterCopy::<u32, RING_POSITION::Register>::new(words[0]);
        let w6 = LocalRegisterCopy::<u32, EQC_W6::Register>::new(words[6]);
        Self {
            head: w0.read(RING_POSITION::HEAD) as u16,
            tail: w0.read(RING_POSITION::TAIL) as u16,
            base: join(words[1], words[2]),
            depth_entries: w6.read(EQC_W6::DEPTH) + 1,
            phase: w6.is_set(EQC_W6::PHASE),
        }
    }
}

/// Reads a context from the bytes of memory.
pub fn context_from_bytes(bytes: &[u8; CONTEXT_BYTES]) -> ContextWords {
    let mut words = [0; CONTEXT_WORDS];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*chunk);
    }
    words
}

/// Writes a context as the bytes of memory.
pub fn context_to_bytes(words: &ContextWords) -> [u8; CONTEXT_BYTES] {
    let mut bytes = [0; CONTEXT_BYTES];
    for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *chunk = word.to_le_bytes();
    }
    bytes
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
