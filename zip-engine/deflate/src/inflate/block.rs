//! Block headers: type, stored lengths, and the code lengths of a dynamic block (RFC 1951 §3.2.3–3.2.7).

use super::bits::BitReader;
use super::table::precode_symbol_and_repeats;
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
        let all = usize::from(self.hlit + self.hdist);
        let mut have = usize::from(self.have);
        let mut here = BitReader { ..*reader };
        let stop = 'all: loop {
            here.fill();
            // Each takes at most 14 of 56 bits.
            for _ in 0..4 {
                if have >= all {
                    break 'all Ok(());
                }
                let (entry, _) = self.precode.lookup(here.bits);
                // `fill` leaves fewer bits at the end of the input only. Those that are known decide.
                if entry & 0xff > here.count {
                    break 'all Err(Stop::NeedInput);
                }
                let (symbol, repeats) = precode_symbol_and_repeats(entry, here.bits);
                if symbol < 16 {
                    self.lengths[have] = symbol;
                    have += 1;
                    here.skip(entry & 0xff);
                    continue;
                }
                if symbol == 16 && have == 0 || have + repeats > all {
                    break 'all Err(Stop::Bad(InflateError::InvalidLengthRepeat));
                }
                let value = if symbol == 16 { self.lengths[have - 1] } else { 0 };
                // Most repeat at most 16 times; what is written behind them is overwritten.
                match self.lengths[have..].first_chunk_mut() {
                    Some(sixteen) if repeats <= 16 => *sixteen = [value; 16],
                    _ => self.lengths[have..have + repeats].fill(value),
                }
                have += repeats;
                here.skip(entry & 0xff);
            }
        };
        *reader = here;
        self.have = have as u16;
        stop
    }

    /// Builds both tables from the code lengths.
    pub(super) fn build_dynamic_codes(&mut self) -> Result<(), InflateError> {
        self.codes = Codes::None;
        let (litlen, rest) = self.lengths.split_at(usize::from(self.hlit));
        if litlen[END_OF_BLOCK] == 0 {
            return Err(InflateError::MissingEndOfBlock);
        }
        self.tables.litlen.build_litlen(litlen).map_err(|_| InflateError::InvalidLitLenCode)?;
        self.tables.distances.build_distance(&rest[..usize::from(self.hdist)]).map_err(|_| InflateError::InvalidDistanceCode)?;
        self.codes = Codes::Dynamic;
        Ok(())
    }

    /// Makes the tables hold the fixed codes.
    pub(super) fn load_fixed_codes(&mut self) {
        if self.codes == Codes::Fixed {
            return;
        }
        let complete =
            self.tables.litlen.build_litlen(&FIXED_LITLEN_LENGTHS).and(self.tables.distances.build_distance(&FIXED_DISTANCE_LENGTHS));
        assert!(complete.is_ok(), "the fixed codes are complete");
        self.codes = Codes::Fixed;
    }
}
