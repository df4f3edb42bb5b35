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
        for &symbol in PRECODE_ORDER.iter().take(usize::from(self.hclen)).skip(usize::from(self.have)) {
            if reader.count < 3 {
                reader.fill();
                if reader.count < 3 {
                    return Err(Stop::NeedInput);
                }
            }
            self.precode_lengths[usize::from(symbol)] = reader.peek(3) as u8;
            reader.skip(3);
            self.have += 1;
        }
        Ok(())
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
        let complete =
            self.tables.litlen.build_litlen(&self.litlen_order).and(self.tables.distances.build_distance(&self.distance_order));
        assert!(complete.is_ok(), "the fixed codes are complete");
        self.codes = Codes::Fixed;
    }
}

/// Most bits of a symbol of the precode and of how often it repeats.
const PRECODE_STEP_BITS: u32 = 7 + 7;

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
        while self.have < end.min(LENGTHS) {
            if self.reader.count < PRECODE_STEP_BITS {
                self.reader.fill();
                // Fewer bits are left at the end of the input only. Those that are known decide.
                if self.precode[self.reader.bits as usize % PRECODE_ENTRIES] & 0xff > self.reader.count {
                    return Err(Stop::NeedInput);
                }
            }
            let bits = self.reader.bits;
            let entry = self.precode[bits as usize % PRECODE_ENTRIES];
            let have = self.have;
            if entry & PRECODE_REPEATS == 0 {
                let length = (entry >> 16 & 0xf) as u8;
                self.lengths[have] = length;
                order.push(have - start, length);
                self.have = have + 1;
                self.reader.skip(entry & 0xff);
                continue;
            }
            let (symbol, repeats) = precode_symbol_and_repeats(entry, bits);
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
                        order.push(at - start, last);
                    }
                }
            }
            self.have = have + repeats;
            self.reader.skip(entry & 0xff);
        }
        Ok(())
    }
}
