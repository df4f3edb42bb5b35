//! Block headers: type, stored lengths, and the code lengths of a dynamic block (RFC 1951 §3.2.3–3.2.7).

use super::bits::BitReader;
use super::{Codes, Inflate, InflateError, Mode, Sink, Stop};
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
        while self.have < self.hclen {
            if !reader.hold(3) {
                return Err(Stop::NeedInput);
            }
            self.precode_lengths[usize::from(PRECODE_ORDER[usize::from(self.have)])] = reader.peek(3) as u8;
            reader.skip(3);
            self.have += 1;
        }
        if self.precode.build_precode(&self.precode_lengths).is_err() {
            return Err(Stop::Bad(InflateError::InvalidPrecode));
        }
        self.have = 0;
        self.mode = Mode::CodeLengths;
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
        let all = self.hlit + self.hdist;
        while self.have < all {
            // The longest codeword and its extra bits.
            if reader.count < 14 {
                reader.fill();
            }
            let entry = loop {
                let (entry, _) = self.precode.lookup(reader.bits);
                if entry & 0xff <= reader.count {
                    break entry;
                }
                if !reader.pull() {
                    return Err(Stop::NeedInput);
                }
            };
            let (symbol, codeword) = ((entry >> 16) as u8, entry & 0xff);
            if symbol < 16 {
                self.lengths[usize::from(self.have)] = symbol;
                self.have += 1;
                reader.skip(codeword);
                continue;
            }
            let (base, extra) = match symbol {
                16 => (3, 2),
                17 => (3, 3),
                _ => (11, 7),
            };
            if !reader.hold(codeword + extra) {
                return Err(Stop::NeedInput);
            }
            let repeat = base + (reader.peek(codeword + extra) >> codeword) as u16;
            let value = match (symbol, self.have) {
                (16, 0) => return Err(Stop::Bad(InflateError::InvalidLengthRepeat)),
                (16, have) => self.lengths[usize::from(have) - 1],
                _ => 0,
            };
            if self.have + repeat > all {
                return Err(Stop::Bad(InflateError::InvalidLengthRepeat));
            }
            self.lengths[usize::from(self.have)..usize::from(self.have + repeat)].fill(value);
            self.have += repeat;
            reader.skip(codeword + extra);
        }
        Ok(())
    }

    /// Builds both tables from the code lengths.
    pub(super) fn build_dynamic_codes(&mut self) -> Result<(), InflateError> {
        self.codes = Codes::None;
        let (litlen, rest) = self.lengths.split_at(usize::from(self.hlit));
        if litlen[END_OF_BLOCK] == 0 {
            return Err(InflateError::MissingEndOfBlock);
        }
        self.litlen.build_litlen(litlen).map_err(|_| InflateError::InvalidLitLenCode)?;
        self.distances.build_distance(&rest[..usize::from(self.hdist)]).map_err(|_| InflateError::InvalidDistanceCode)?;
        self.codes = Codes::Dynamic;
        Ok(())
    }

    /// Makes the tables hold the fixed codes.
    pub(super) fn load_fixed_codes(&mut self) {
        if self.codes == Codes::Fixed {
            return;
        }
        let complete = self.litlen.build_litlen(&FIXED_LITLEN_LENGTHS).and(self.distances.build_distance(&FIXED_DISTANCE_LENGTHS));
        assert!(complete.is_ok(), "the fixed codes are complete");
        self.codes = Codes::Fixed;
    }
}
