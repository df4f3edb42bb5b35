//! Control calls on a queue file that belong to the QM (A.5): numbers and argument layouts.

/// `SET_QP_CTX`: `{u16 id; u16 qc_type}`; the caller gives the algorithm type, the kernel returns the queue number.
pub const SET_QP_CTX: u32 = 0xc004_480a;
/// Bytes of the argument of [`SET_QP_CTX`].
pub const SET_QP_CTX_BYTES: usize = 4;
/// `SET_QP_INFO`: `{u32 sqe_size; u16 sq_depth; u16 cq_depth; u64 reserved}`; the kernel fills it.
pub const SET_QP_INFO: u32 = 0xc010_480b;
/// Bytes of the argument of [`SET_QP_INFO`].
pub const SET_QP_INFO_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_follow_the_generic_encoding() {
        let iowr = |ty: u8, nr: u32, size: usize| 3 << 30 | (size as u32) << 16 | u32::from(ty) << 8 | nr;
        assert_eq!(super::SET_QP_CTX, iowr(b'H', 10, super::SET_QP_CTX_BYTES));
        assert_eq!(super::SET_QP_INFO, iowr(b'H', 11, super::SET_QP_INFO_BYTES));
    }
}
