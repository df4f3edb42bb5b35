//! The bit writer.

use crate::fast::put::Codeword;
use crate::fast::store_word;

/// Puts bits, lowest first (RFC 1951 §3.1.1), into a slice that has slack.
pub(super) struct BitWriter<'a> {
    out: &'a mut [u8],
    /// Whole bytes written.
    pub(super) at: usize,
    /// Bits not yet written, and how many: at most 7 after `flush`.
    pub(super) bits: u64,
    pub(super) count: u32,
}

/// Bytes that `flush` may touch behind the last whole one.
pub(super) const FLUSH_SLACK: usize = 8;

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut [u8], bits: u64, count: u32) -> Self {
        BitWriter { out, at: 0, bits, count }
    }

    /// Returns the bytes left.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.out.len() - self.at
    }

    /// Puts the low `count` bits of `value`, whose other bits are 0. At most 56 bits between two flushes.
    #[inline(always)]
    pub(super) fn put(&mut self, value: u64, count: u32) {
        self.bits |= value << self.count;
        self.count += count;
    }

    /// Puts a codeword, which has bits.
    #[inline(always)]
    pub(super) fn put_codeword(&mut self, codeword: Codeword) {
        let count = codeword as u32 & 0xff;
        debug_assert!(count > 0);
        self.put(codeword.wrapping_shr(count.wrapping_neg()), count);
    }

    /// Writes whole bytes. Needs `FLUSH_SLACK` bytes of room.
    #[inline(always)]
    pub(super) fn flush(&mut self) {
        store_word(self.out, self.at, self.bits);
        self.at += (self.count >> 3) as usize;
        self.bits >>= self.count & !7;
        self.count &= 7;
    }

    /// Lets `write` put into what is free: it is given the free bytes and the held bits, and returns the bytes written, the bits then held, and a result.
    #[inline(always)]
    pub(super) fn with_free<R>(&mut self, write: impl FnOnce(&mut [u8], u64, u32) -> (usize, u64, u32, R)) -> R {
        let (written, bits, count, result) = write(&mut self.out[self.at..], self.bits, self.count);
        self.at += written;
        self.bits = bits;
        self.count = count;
        result
    }

    /// Puts zero bits up to the next byte boundary and writes them.
    pub(super) fn align(&mut self) {
        self.count = self.count.next_multiple_of(8);
        self.flush();
    }

    /// Writes bytes; the writer is byte-aligned.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}
