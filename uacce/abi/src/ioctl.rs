//! Control commands of a queue handle and their argument structures.
//!
//! A command word is `direction << 30 | argument bytes << 16 | type << 8 | number`, as Linux's `_IO*` macros build it on arm64.

/// A control command.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct Command(pub u32);

const NONE: u32 = 0;
const READ: u32 = 2;
const READ_WRITE: u32 = 3;

impl Command {
    const fn new(direction: u32, kind: u8, number: u8, argument_bytes: u32) -> Self {
        Self(direction << 30 | argument_bytes << 16 | (kind as u32) << 8 | number as u32)
    }

    /// Lets the device serve the queue. `_IO('W', 0)`, no argument.
    pub const START_Q: Self = Self::new(NONE, b'W', 0, 0);
    /// Stops the queue and gives it back. `_IO('W', 1)`, no argument.
    pub const PUT_Q: Self = Self::new(NONE, b'W', 1, 0);
    /// Sets the direction of the queue and returns its number; argument [`QpContext`]. `_IOWR('H', 10, …)`.
    pub const SET_QP_CTX: Self = Self::new(READ_WRITE, b'H', 10, QpContext::BYTES as u32);
    /// Returns entry size and depths; argument [`QpInfo`]. `_IOWR('H', 11, …)`.
    pub const SET_QP_INFO: Self = Self::new(READ_WRITE, b'H', 11, QpInfo::BYTES as u32);
    /// Legacy: shares mappings between queues. `_IO('W', 2)`. Refused in the SVA profile.
    pub const SHARE_SVAS: Self = Self::new(NONE, b'W', 2, 0);
    /// Legacy: returns the physical address of the static share memory. `_IOR('W', 3, unsigned long)`. Refused in the SVA profile.
    pub const GET_SS_DMA: Self = Self::new(READ, b'W', 3, 8);

    /// Length of the argument structure in bytes.
    pub const fn argument_bytes(self) -> usize {
        (self.0 >> 16 & 0x3fff) as usize
    }

    /// True if the caller's structure is read.
    pub const fn reads_argument(self) -> bool {
        self.0 >> 30 & 1 != 0
    }

    /// True if the caller's structure is written.
    pub const fn writes_argument(self) -> bool {
        self.0 >> 31 != 0
    }
}

/// Longest argument structure of any command, in bytes.
pub const ARGUMENT_MAX_BYTES: usize = 16;

/// Argument of [`Command::SET_QP_CTX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct QpContext {
    /// Out: the queue number, which the SQ doorbell carries.
    pub id: u16,
    /// In: 0 compress, 1 decompress ([`QpContext::COMPRESS`], [`QpContext::DECOMPRESS`]).
    pub qc_type: u16,
}

impl QpContext {
    /// Length of the structure in bytes.
    pub const BYTES: usize = 4;
    /// The queue compresses.
    pub const COMPRESS: u16 = 0;
    /// The queue decompresses.
    pub const DECOMPRESS: u16 = 1;

    /// The structure as it lies in memory.
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        let ([i0, i1], [t0, t1]) = (self.id.to_le_bytes(), self.qc_type.to_le_bytes());
        [i0, i1, t0, t1]
    }

    /// Reads the structure from memory.
    pub const fn from_bytes(b: [u8; Self::BYTES]) -> Self {
        Self { id: u16::from_le_bytes([b[0], b[1]]), qc_type: u16::from_le_bytes([b[2], b[3]]) }
    }
}

/// Argument of [`Command::SET_QP_INFO`]; all fields are outputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct QpInfo {
    /// Bytes per submission entry.
    pub sqe_size: u32,
    /// Submission entries.
    pub sq_depth: u16,
    /// Completion entries, of 16 bytes.
    pub cq_depth: u16,
    /// 0.
    pub reserved: u64,
}

impl QpInfo {
    /// Length of the structure in bytes.
    pub const BYTES: usize = 16;

    /// The structure as it lies in memory.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0..4].copy_from_slice(&self.sqe_size.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.sq_depth.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.cq_depth.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.reserved.to_le_bytes());
        bytes
    }

    /// Reads the structure from memory.
    pub const fn from_bytes(b: [u8; Self::BYTES]) -> Self {
        Self {
            sqe_size: u32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            sq_depth: u16::from_le_bytes([b[4], b[5]]),
            cq_depth: u16::from_le_bytes([b[6], b[7]]),
            reserved: u64::from_le_bytes([b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]]),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn command_words_are_those_of_the_published_headers() {
        assert_eq!(Command::START_Q.0, 0x5700);
        assert_eq!(Command::PUT_Q.0, 0x5701);
        assert_eq!(Command::SET_QP_CTX.0, 0xc004_480a);
        assert_eq!(Command::SET_QP_INFO.0, 0xc010_480b);
        assert_eq!(Command::GET_SS_DMA.0, 0x8008_5703);
        assert_eq!(Command::SHARE_SVAS.0, 0x5702);
    }

    #[test]
    fn command_words_tell_size_and_direction() {
        assert_eq!(Command(0xc010_480b).argument_bytes(), 16);
        assert!(Command(0xc010_480b).reads_argument() && Command(0xc010_480b).writes_argument());
        assert!(!Command(0x8008_5703).reads_argument() && Command(0x8008_5703).writes_argument());
        assert_eq!(Command(0x5700).argument_bytes(), 0);
        assert!(!Command(0x5700).reads_argument() && !Command(0x5700).writes_argument());
    }

    #[test]
    fn structures_have_the_published_layout() {
        assert_eq!((size_of::<QpContext>(), offset_of!(QpContext, id), offset_of!(QpContext, qc_type)), (4, 0, 2));
        assert_eq!(size_of::<QpInfo>(), 16);
        assert_eq!((offset_of!(QpInfo, sqe_size), offset_of!(QpInfo, sq_depth)), (0, 4));
        assert_eq!((offset_of!(QpInfo, cq_depth), offset_of!(QpInfo, reserved)), (6, 8));
    }

    #[test]
    fn structures_are_little_endian_in_memory() {
        assert_eq!(QpContext { id: 0x1234, qc_type: 1 }.to_bytes(), [0x34, 0x12, 0x01, 0x00]);
        assert_eq!(QpContext::from_bytes([0x34, 0x12, 0x01, 0x00]), QpContext { id: 0x1234, qc_type: 1 });
        let golden = [0x80, 0, 0, 0, 0x00, 0x04, 0x00, 0x04, 0, 0, 0, 0, 0, 0, 0, 0];
        let info = QpInfo { sqe_size: 128, sq_depth: 1024, cq_depth: 1024, reserved: 0 };
        assert_eq!(info.to_bytes(), golden);
        assert_eq!(QpInfo::from_bytes(golden), info);
    }
}
