//! The stream context: three words that travel in the entry, and the memory behind dw22/23 (D.6).

use tock_registers::LocalRegisterCopy;

pub use fields::*;

#[allow(missing_docs, reason = "the macro makes items of its own that carry no documentation")]
mod fields {
    use tock_registers::register_bitfields;

    register_bitfields! { u32,
        /// dw15 — first context word. Written back by the engine, handed in again by the caller.
        pub CTX_DW0 [
            /// [3:0] CTX_ST: why the request ended where it did.
            CTX_ST OFFSET(0) NUMBITS(4) [],
            /// [7] BFINAL of the current block.
            BFINAL OFFSET(7) NUMBITS(1) [],
            /// [15:10] TAIL_BITS: valid bits in the tail-bit area.
            TAIL_BITS OFFSET(10) NUMBITS(6) [],
        ],
        /// dw28 — second context word.
        pub CTX_DW1 [
            /// [18:0] HELD: output that is still inside the engine's context; only compared with 0.
            HELD OFFSET(0) NUMBITS(19) [],
        ],
        /// dw29 — third context word.
        pub CTX_DW2 [
            /// [15:0] WINDOW_BYTES: history in the window, in bytes.
            WINDOW_BYTES OFFSET(0) NUMBITS(16) [],
        ],
    }
}

/// Why a stream request ended where it did: dw15 3:0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct ContextState(pub u8);

impl ContextState {
    /// Nothing special.
    pub const NONE: Self = Self(0);
    /// Finished decoding, but the output did not fit.
    pub const DECODED_NO_SPACE: Self = Self(1);
    /// The destination is full in the middle of decoding.
    pub const OUTPUT_FULL: Self = Self(2);
    /// No block has been started.
    pub const BLOCK_NOT_STARTED: Self = Self(3);
    /// The format has no checksum.
    pub const NO_CRC: Self = Self(4);
}

/// The three words that a caller keeps between the requests of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ContextWords {
    /// dw15.
    pub dw0: u32,
    /// dw28.
    pub dw1: u32,
    /// dw29.
    pub dw2: u32,
}

impl ContextWords {
    /// The state.
    pub fn state(self) -> ContextState {
        ContextState(LocalRegisterCopy::<u32, CTX_DW0::Register>::new(self.dw0).read(CTX_DW0::CTX_ST) as u8)
    }
    /// True if the last block has been started.
    pub fn is_final(self) -> bool {
        LocalRegisterCopy::<u32, CTX_DW0::Register>::new(self.dw0).is_set(CTX_DW0::BFINAL)
    }
    /// Valid bits in the tail-bit area.
    pub fn tail_bits(self) -> u32 {
        LocalRegisterCopy::<u32, CTX_DW0::Register>::new(self.dw0).read(CTX_DW0::TAIL_BITS)
    }
    /// Output held inside the context; 0 means none.
    pub fn held(self) -> u32 {
        LocalRegisterCopy::<u32, CTX_DW1::Register>::new(self.dw1).read(CTX_DW1::HELD)
    }
    /// History in the window, in bytes.
    pub fn window_bytes(self) -> u32 {
        LocalRegisterCopy::<u32, CTX_DW2::Register>::new(self.dw2).read(CTX_DW2::WINDOW_BYTES)
    }
}

/// Offsets in the memory that dw22/23 points to. A library's buffer begins [`SOFTWARE_BYTES`](stream_context::SOFTWARE_BYTES) before it.
pub mod stream_context {
    /// Length of the software area in front, in bytes.
    pub const SOFTWARE_BYTES: u64 = 64;
    /// Length of a library's whole buffer in bytes.
    pub const BUFFER_BYTES: u64 = 64 << 10;
    /// Three repcodes of lz77_zstd, shared with software.
    pub const REPCODES: usize = 784;
    /// Pending literal length, shared with software, which clears it.
    pub const PENDING_LITERALS: usize = 796;
    /// First byte of the engine's private state behind the shared words.
    pub const PRIVATE: usize = 800;
    /// End of the private state, which is the start of the history window.
    pub const WINDOW: usize = 0xc00;
    /// Longest history in bytes.
    pub const WINDOW_MAX_BYTES: usize = 32 << 10;
    /// First byte that belongs to software again (its bounce buffer).
    pub const END: usize = 0x97c0;

    /// Offset of the undecoded tail bits (8 bytes) behind a history of `window_bytes` bytes.
    pub const fn tail_bits(window_bytes: usize) -> usize {
        WINDOW + window_bytes.next_multiple_of(16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_decode_by_the_table() {
        let words = ContextWords { dw0: 0x0000_9c82, dw1: 0xfff8_0005, dw2: 0xdead_8000 };
        assert_eq!(words.state(), ContextState::OUTPUT_FULL);
        assert!(words.is_final());
        assert_eq!(words.tail_bits(), 0x27);
        assert_eq!(words.held(), 5);
        assert_eq!(words.window_bytes(), 0x8000);
        let fields = CTX_DW0::CTX_ST.val(2) + CTX_DW0::BFINAL::SET + CTX_DW0::TAIL_BITS.val(39);
        assert_eq!(fields.value, 0x9c82);
    }

    #[test]
    fn areas_do_not_overlap() {
        use stream_context::*;
        assert_eq!((REPCODES + 12, PENDING_LITERALS + 4), (PENDING_LITERALS, PRIVATE));
        assert_eq!(tail_bits(0), 0xc00);
        assert_eq!(tail_bits(1), 0xc10);
        assert_eq!(tail_bits(WINDOW_MAX_BYTES), 0x8c00);
        const { assert!(tail_bits(WINDOW_MAX_BYTES) + 8 <= END) };
    }
}
