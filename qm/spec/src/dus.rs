//! The memory block that device, kernel and user share for one queue (A.6).

use crate::CQE_BYTES;

/// Where things lie in a queue's block: SQ, CQ, padding, one more page whose last 8 bytes are the stop words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DusLayout {
    sq_bytes: usize,
    cq_bytes: usize,
    len_bytes: usize,
}

impl DusLayout {
    /// Lays out a queue of `sq_depth` entries of `sqe_bytes` and `cq_depth` completions, in pages of `page_bytes` (a power of two).
    pub const fn new(sqe_bytes: usize, sq_depth: usize, cq_depth: usize, page_bytes: usize) -> Self {
        let sq_bytes = sqe_bytes * sq_depth;
        let cq_bytes = CQE_BYTES * cq_depth;
        let len_bytes = (sq_bytes + cq_bytes).next_multiple_of(page_bytes) + page_bytes;
        Self { sq_bytes, cq_bytes, len_bytes }
    }
    /// Offset of the submission ring.
    pub const fn sq_offset(&self) -> usize {
        0
    }
    /// Bytes of the submission ring.
    pub const fn sq_bytes(&self) -> usize {
        self.sq_bytes
    }
    /// Offset of the completion ring.
    pub const fn cq_offset(&self) -> usize {
        self.sq_bytes
    }
    /// Bytes of the completion ring.
    pub const fn cq_bytes(&self) -> usize {
        self.cq_bytes
    }
    /// Offset of the 32-bit RX-stop word: 1 tells the user to stop polling.
    pub const fn rx_stop_offset(&self) -> usize {
        self.len_bytes - 8
    }
    /// Offset of the 32-bit TX-stop word: 1 tells the user to submit nothing more.
    pub const fn tx_stop_offset(&self) -> usize {
        self.len_bytes - 4
    }
    /// Length of the block; a mapping must have exactly this length.
    pub const fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zip_defaults_of_table_a6() {
        let dus = DusLayout::new(128, 1024, 1024, 4096);
        assert_eq!((dus.sq_offset(), dus.sq_bytes()), (0, 0x2_0000));
        assert_eq!((dus.cq_offset(), dus.cq_bytes()), (0x2_0000, 0x4000));
        assert_eq!(dus.len_bytes(), 0x2_5000);
        assert_eq!((dus.rx_stop_offset(), dus.tx_stop_offset()), (0x2_4ff8, 0x2_4ffc));
        assert_eq!(dus.len_bytes(), 151_552);
    }
}
