//! The bit buffer: bits of the stream that were read and not yet used, lowest first (RFC 1951 §3.1.1).

use crate::fast::words::word_at;

/// Reads bits from the held bits and then from the input of one step.
///
/// Invariant between calls: bits of `bits` at and above `count` are 0, except inside the bulk loops, which clean up behind themselves.
pub(super) struct BitReader<'a> {
    pub(super) input: &'a [u8],
    /// Bytes of `input` read.
    pub(super) at: usize,
    pub(super) bits: u64,
    pub(super) count: u32,
}

impl BitReader<'_> {
    /// Reads bytes until `count` bits are held; `count` ≤ 32. Returns whether the input had them.
    #[inline]
    pub(super) fn hold(&mut self, count: u32) -> bool {
        while self.count < count {
            if !self.pull() {
                return false;
            }
        }
        true
    }

    /// Reads one byte. Returns whether there was one.
    #[inline]
    pub(super) fn pull(&mut self) -> bool {
        let Some(&byte) = self.input.get(self.at) else { return false };
        self.at += 1;
        self.bits |= u64::from(byte) << self.count;
        self.count += 8;
        true
    }

    /// Reads bytes until more than 55 bits are held or the input ends. Bits above the count may then be those of the next byte.
    #[inline]
    pub(super) fn fill(&mut self) {
        if !self.fill_word() {
            while self.count < 56 && self.pull() {}
        }
    }

    /// Reads bytes until more than 55 bits are held, as [`BitReader::fill`], if eight bytes of input are left. Returns whether they are.
    #[inline(always)]
    pub(super) fn fill_word(&mut self) -> bool {
        let Some(word) = word_at(self.input, self.at) else { return false };
        self.bits |= word << self.count;
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
        true
    }

    /// Clears the bits above the count, which [`BitReader::fill`] may have set.
    #[inline]
    pub(super) fn forget_unread(&mut self) {
        self.bits &= (1 << self.count) - 1;
    }

    /// Returns the next `count` held bits without using them; `count` ≤ 32.
    #[inline]
    pub(super) fn peek(&self, count: u32) -> u32 {
        (self.bits & ((1 << count) - 1)) as u32
    }

    /// Uses `count` held bits.
    #[inline]
    pub(super) fn skip(&mut self, count: u32) {
        self.bits >>= count;
        self.count -= count;
    }

    /// Uses the bits up to the next byte boundary of the stream.
    pub(super) fn align(&mut self) {
        self.skip(self.count % 8);
    }

    /// Gives whole unused bytes of this step's input back, so that `at` counts what was really read.
    ///
    /// Bytes held from an earlier step stay: they belong to the symbol at hand.
    pub(super) fn give_back(&mut self) {
        let bytes = (self.count as usize / 8).min(self.at);
        self.at -= bytes;
        self.count -= 8 * bytes as u32;
        self.bits &= (1 << self.count) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_lowest_first_and_unused_bytes_go_back() {
        let mut reader = BitReader { input: &[0b1010_0110, 0xff, 0x0f, 0x55], at: 0, bits: 0, count: 0 };
        assert!(reader.hold(3));
        assert_eq!((reader.peek(3), reader.at), (0b110, 1));
        reader.skip(3);
        assert!(reader.hold(21));
        assert_eq!(reader.at, 3);
        assert_eq!(reader.peek(5), 0b10100);
        reader.skip(5);
        reader.give_back();
        assert_eq!((reader.at, reader.count, reader.bits), (1, 0, 0));
        assert!(reader.hold(24));
        assert!(!reader.hold(25));
        assert_eq!(reader.at, 4);
    }

    #[test]
    fn bits_of_an_earlier_step_are_never_given_back() {
        let mut reader = BitReader { input: &[0x12], at: 0, bits: 0x3ff, count: 10 };
        assert!(reader.hold(18));
        reader.skip(1);
        reader.give_back();
        assert_eq!((reader.at, reader.count, reader.bits), (0, 9, 0x1ff));
    }

    #[test]
    fn align_drops_the_rest_of_the_byte() {
        let mut reader = BitReader { input: &[0xff, 0x34], at: 0, bits: 0, count: 0 };
        assert!(reader.hold(16));
        reader.skip(3);
        reader.align();
        assert_eq!(reader.peek(8), 0x34);
    }
}
