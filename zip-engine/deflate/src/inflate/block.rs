//! Block headers: type, stored lengths, and the code lengths of a dynamic block (RFC 1951 §3.2.3–3.2.7).

use super::bits::BitReader;
use super::order::Order;
use super::table::{PRECODE_ENTRIES, PRECODE_REPEATS, precode_symbol_and_repeats};
use super::{Codes, Inflate, InflateError, LENGTHS, Mode, Sink, Stop};
use crate::constants::*;

impl Inflate {
    /// Reads BFINAL and BTYPE.
    pub(super) fn block_header(&mut self, reader: &mut BitReader<'_>) -> Result<(), Stop> {
        if !reader.hold(3) {
            return Err(Stop::NeedInput);
        }
        let header = reader.peek(3);
        let next = match header >> 1 {
            0 => Mode::StoredHeader,
            1 => Mode::LitLen,
            2 => Mode::DynamicHeader,
            _ => return Err(Stop::Bad(InflateError::InvalidBlockType)),
        };
        reader.skip(3);
        self.final_block = header & 1 != 0;
        match next {
            Mode::StoredHeader => reader.align(),
            Mode::LitLen => self.load_fixed_codes(),
            _ => {}
        }
        self.mode = next;
        Ok(())
    }

    /// Reads LEN and NLEN.
    pub(super) fn stored_header(&mut self, reader: &mut BitReader<'_>) -> Result<(), Stop> {
        if !reader.hold(32) {
            return Err(Stop::NeedInput);
        }
        let both = reader.peek(32);
        let (len, nlen) = (both as u16, (both >> 16) as u16);
        if len != !nlen {
            return Err(Stop::Bad(InflateError::StoredLengthMismatch { len, nlen }));
        }
        reader.skip(32);
        self.left = len;
        self.mode = Mode::Stored;
        Ok(())
    }

    /// Copies bytes of a stored block.
    pub(super) fn stored(&mut self, reader: &mut BitReader<'_>, sink: &mut Sink<'_>) -> Result<(), Stop> {
        // The fast loop may have read ahead over the header; whole bytes go back, and an earlier step left none behind it.
        reader.give_back();
        let rest = &reader.input[reader.at..];
        let room = sink.output.len() - sink.at;
        let len = usize::from(self.left).min(rest.len()).min(room);
        sink.output[sink.at..sink.at + len].copy_from_slice(&rest[..len]);
        reader.at += len;
        sink.at += len;
        self.left -= len as u16;
        if self.left != 0 {
            return Err(if len == rest.len() { Stop::NeedInput } else { Stop::NeedOutput });
        }
        self.end_block(reader);
        Ok(())
    }

    /// Reads HLIT, HDIST and HCLEN.
    pub(super) fn dynamic_header(&mut self, reader: &mut BitReader<'_>) -> Result<(), Stop> {
        if !reader.hold(14) {
            return Err(Stop::NeedInput);
        }
        let header = reader.peek(14);
        let (hlit, hdist, hclen) = (257 + (header & 0x1f) as u16, 1 + (header >> 5 & 0x1f) as u16, 4 + (header >> 10) as u16);
        if usize::from(hlit) > LITLEN_USED || usize::from(hdist) > DISTANCE_USED {
            return Err(Stop::Bad(InflateError::TooManySymbols { hlit, hdist }));
        }
        reader.skip(14);
        (self.hlit, self.hdist, self.hclen) = (hlit, hdist, hclen);
        self.precode_lengths = [0; PRECODE_SYMBOLS];
        self.have = 0;
        self.codes = Codes::None;
        self.mode = Mode::PrecodeLengths;
        Ok(())
    }

    /// Reads the lengths of the precode and builds its table.
    pub(super) fn precode_lengths(&mut self, reader: &mut BitReader<'_>) -> Result<(), Stop> {
        let result = self.read_precode_lengths(reader);
        reader.forget_unread();
        result?;
        if self.precode.build_precode(&self.precode_lengths).is_err() {
            return Err(Stop::Bad(InflateError::InvalidPrecode));
        }
        self.have = 0;
        // What repeats of 0 leave alone.
        self.lengths = [0; LENGTHS];
        self.mode = Mode::CodeLengths;
        Ok(())
    }

    fn read_precode_lengths(&mut self, reader: &mut BitReader<'_>) -> Result<(), Stop> {
        let mut here = BitReader { ..*reader };
        let mut result = Ok(());
        let (mut have, hclen) = (usize::from(self.have), usize::from(self.hclen));
        for &symbol in PRECODE_ORDER.iter().take(hclen).skip(have) {
            if here.count < 3 {
                here.fill();
                if here.count < 3 {
                    result = Err(Stop::NeedInput);
                    break;
                }
            }
            self.precode_lengths[usize::from(symbol)] = here.peek(3) as u8;
            here.skip(3);
            have += 1;
        }
        (*reader, self.have) = (here, have as u16);
        result
    }

    /// Reads the code lengths of both codes and builds their tables.
    pub(super) fn code_lengths(&mut self, reader: &mut BitReader<'_>) -> Result<(), Stop> {
        let result = self.read_code_lengths(reader);
        reader.forget_unread();
        result?;
        self.build_dynamic_codes().map_err(Stop::Bad)?;
        self.mode = Mode::LitLen;
        Ok(())
    }

    fn read_code_lengths(&mut self, reader: &mut BitReader<'_>) -> Result<(), Stop> {
        let hlit = usize::from(self.hlit);
        let mut read = CodeLengths {
            reader: BitReader { ..*reader },
            precode: &self.precode.entries,
            lengths: &mut self.lengths,
            have: usize::from(self.have),
            all: hlit + usize::from(self.hdist),
        };
        let result = match read.code(0, hlit, &mut self.litlen_order) {
            Ok(()) => read.code(hlit, read.all, &mut self.distance_order),
            stop => stop,
        };
        (*reader, self.have) = (read.reader, read.have as u16);
        result
    }

    /// Makes the orders those of the code lengths, as reading them does.
    pub(super) fn set_orders(&mut self) {
        let (litlen, rest) = self.lengths.split_at(usize::from(self.hlit));
        self.litlen_order.set(litlen);
        self.distance_order.set(&rest[..usize::from(self.hdist)]);
    }

    /// Builds both tables from code lengths and orders.
    pub(super) fn build_dynamic_codes(&mut self) -> Result<(), InflateError> {
        self.codes = Codes::None;
        if self.lengths[END_OF_BLOCK] == 0 {
            return Err(InflateError::MissingEndOfBlock);
        }
        self.tables.litlen.build_litlen(&self.litlen_order).map_err(|_| InflateError::InvalidLitLenCode)?;
        self.tables.distances.build_distance(&self.distance_order).map_err(|_| InflateError::InvalidDistanceCode)?;
        self.codes = Codes::Dynamic;
        Ok(())
    }

    /// Makes the tables hold the fixed codes.
    pub(super) fn load_fixed_codes(&mut self) {
        if self.codes == Codes::Fixed {
            return;
        }
        self.litlen_order.set(&FIXED_LITLEN_LENGTHS);
        self.distance_order.set(&FIXED_DISTANCE_LENGTHS);
        let complete = self.tables.litlen.build_litlen(&self.litlen_order).and(self.tables.distances.build_distance(&self.distance_order));
        assert!(complete.is_ok(), "the fixed codes are complete");
        self.codes = Codes::Fixed;
    }
}

/// Symbols of the precode that are read without looking whether there are bits, until one of them repeats.
const AT_ONCE: usize = 7;
/// All but the last take at most 7 of the 56 bits, the last one 7 and as many that say how often it repeats.
const _: () = assert!((AT_ONCE + 1) * PRECODE_BITS_MAX <= 56);

/// Code lengths that are being read.
struct CodeLengths<'a, 'r> {
    reader: BitReader<'r>,
    precode: &'a [u32; PRECODE_ENTRIES],
    /// Both codes' lengths, 0 where none was read.
    lengths: &'a mut [u8; LENGTHS],
    /// How many were read.
    have: usize,
    /// How many there are.
    all: usize,
}

impl CodeLengths<'_, '_> {
    /// Reads until the lengths of one code, those from `start` to `end`, are complete. A run may go on into the next code.
    #[inline(always)]
    fn code<const SYMBOLS: usize>(&mut self, start: usize, end: usize, order: &mut Order<SYMBOLS>) -> Result<(), Stop> {
        // Those of an earlier step, or of a run that went on to here.
        order.set(self.lengths.get(start..self.have.min(end)).unwrap_or(&[]));
        let end = end.min(LENGTHS);
        'symbols: while self.have < end {
            let many = self.have + AT_ONCE <= end && self.reader.fill_word();
            let entry = 'repeat: {
                if many {
                    for _ in 0..AT_ONCE {
                        let entry = self.next_entry();
                        if entry & PRECODE_REPEATS != 0 {
                            break 'repeat entry;
                        }
                        self.one_length(entry, start, order);
                    }
                    continue 'symbols;
                }
                self.reader.fill();
                // Fewer bits are left at the end of the input only. Those that are known decide.
                let entry = self.next_entry();
                if entry & 0xff > self.reader.count {
                    return Err(Stop::NeedInput);
                }
                if entry & PRECODE_REPEATS == 0 {
                    self.one_length(entry, start, order);
                    continue 'symbols;
                }
                entry
            };
            let (symbol, repeats) = precode_symbol_and_repeats(entry, self.reader.bits);
            let have = self.have;
            let of_last = symbol == 16;
            if of_last && have == 0 || have + repeats > self.all {
                return Err(Stop::Bad(InflateError::InvalidLengthRepeat));
            }
            // The others repeat 0, which is there already.
            if of_last {
                let last = self.lengths[have - 1];
                for (at, length) in self.lengths.iter_mut().enumerate().skip(have).take(repeats) {
                    *length = last;
                    if at < end {
                        order.push(at - start, usize::from(last));
                    }
                }
            }
            self.have = have + repeats;
            self.reader.skip(entry & 0xff);
        }
        Ok(())
    }

    /// Looks up the next symbol.
    #[inline(always)]
    fn next_entry(&self) -> u32 {
        self.precode[self.reader.bits as usize % PRECODE_ENTRIES]
    }

    /// Takes a symbol that is a length.
    #[inline(always)]
    fn one_length<const SYMBOLS: usize>(&mut self, entry: u32, start: usize, order: &mut Order<SYMBOLS>) {
        let length = (entry >> 16 & 0xf) as usize;
        self.lengths[self.have] = length as u8;
        order.push(self.have - start, length);
        self.have += 1;
        self.reader.skip(entry & 0xff);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::status::{Framing, Status};

    /// Appends the lowest `count` bits of `value`.
    fn put(stream: &mut std::vec::Vec<bool>, value: u32, count: u32) {
        stream.extend((0..count).map(|bit| value >> bit & 1 != 0));
    }

    /// Puts a block of two literal/length and two distance codewords, all of one bit, up to its code lengths.
    ///
    /// The precode is 0 for length 1, 10 for symbol 16 and 11 for symbol 18.
    fn put_header(stream: &mut std::vec::Vec<bool>, is_final: bool) {
        for (value, count) in [(u32::from(is_final), 1), (2, 2), (0, 5), (1, 5), (14, 4)] {
            put(stream, value, count);
        }
        for &symbol in &PRECODE_ORDER[..18] {
            put(stream, [(1, 1), (16, 2), (18, 2)].iter().find(|(has, _)| *has == symbol).map_or(0, |&(_, length)| length), 3);
        }
    }

    #[test]
    fn zp_s01_runs_go_on_into_the_distances_wherever_the_header_is_cut() {
        let mut stream = std::vec::Vec::new();
        // 0 138 times and 117 times; 1, and three times again: symbols 255 and 256, both distances.
        put_header(&mut stream, false);
        for (value, count) in [(0b11, 2), (127, 7), (0b11, 2), (106, 7), (0, 1), (0b01, 2), (0, 2)] {
            put(&mut stream, value, count);
        }
        // Literal 255, end of block.
        put(&mut stream, 0b10, 2);
        // 1; 0 as often; 1 three times: symbols 0 and 256, both distances. Literal 0, end of block.
        put_header(&mut stream, true);
        for (value, count) in [(0, 1), (0b11, 2), (127, 7), (0b11, 2), (106, 7), (0, 3), (0b10, 2)] {
            put(&mut stream, value, count);
        }
        let bytes: std::vec::Vec<u8> =
            stream.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit))).collect();
        // With and without the bytes behind the stream that a word is loaded from.
        for behind in [0, 16] {
            let mut input = bytes.clone();
            input.resize(bytes.len() + behind, 0x55);
            for cut in 0..=bytes.len() {
                let (mut inflate, mut output) = (Inflate::new(), [0x11; 8]);
                inflate.reset(Framing::Raw);
                let first = inflate.step(&input[..cut], &mut output);
                let second = inflate.step(&input[first.consumed..], &mut output[first.produced..]);
                assert_eq!(first.consumed + second.consumed, bytes.len(), "cut at {cut}");
                assert_eq!((second.status, &output[..3]), (Status::Done, &[255, 0, 0x11][..]), "cut at {cut}");
            }
        }
    }
}
