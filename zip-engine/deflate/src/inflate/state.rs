//! The state image: everything of a decompressor but the window, with code lengths in place of tables.
//!
//! Layout, little-endian, packed: tag, framing, mode, BFINAL, codes (1 each), bits (8), count, trailer bytes read (1 each), lengths read (2),
//! total in, total out (8 each), check, isize (4 each), hlit, hdist, hclen, left, distance, window length (2 each), trailer (8), precode
//! lengths (19), code lengths (316).

use super::{Codes, Inflate, Mode};
use crate::constants::*;
use crate::image::{ImageReader, ImageWriter};
use crate::status::{Framing, STATE_BYTES_MAX, StateError, WINDOW_BYTES};

/// Bytes of the state image of [`Inflate`].
pub const INFLATE_STATE_BYTES: usize = 4 + 4 + 8 + 2 + 2 + 16 + 8 + 12 + 8 + PRECODE_SYMBOLS + LITLEN_USED + DISTANCE_USED;

const _: () = assert!(INFLATE_STATE_BYTES <= STATE_BYTES_MAX);

/// "INF1".
const TAG: u32 = u32::from_le_bytes(*b"INF1");

/// Held bits never reach this many: the longest field is LEN and NLEN, 32.
const HELD_BITS_LIMIT: u8 = 40;

const MODES: [Mode; 11] = [
    Mode::BlockHeader,
    Mode::StoredHeader,
    Mode::Stored,
    Mode::DynamicHeader,
    Mode::PrecodeLengths,
    Mode::CodeLengths,
    Mode::LitLen,
    Mode::Distance,
    Mode::Match,
    Mode::Trailer,
    Mode::Done,
];

impl Inflate {
    /// Writes the state image to the front of `image` and returns its length, [`INFLATE_STATE_BYTES`].
    ///
    /// # Errors
    /// `BufferTooShort`; `NothingToResume` when the stream is bad.
    pub fn export_state(&self, image: &mut [u8]) -> Result<usize, StateError> {
        let mut out = ImageWriter::new(image, INFLATE_STATE_BYTES)?;
        let Some(mode) = MODES.iter().position(|&mode| mode == self.mode) else { return Err(StateError::NothingToResume) };
        let codes = match self.codes {
            Codes::None => 0,
            Codes::Fixed => 1,
            Codes::Dynamic => 2,
        };
        out.u32(TAG);
        out.bytes(&[self.framing.code(), mode as u8, u8::from(self.final_block), codes]);
        out.u64(self.bits);
        out.u8(self.count as u8);
        out.u8(self.trailer_have);
        out.u16(self.have);
        out.u64(self.total_in);
        out.u64(self.total_out);
        out.u32(self.check);
        out.u32(self.isize);
        for field in [self.hlit, self.hdist, self.hclen, self.left, self.distance, self.window.filled() as u16] {
            out.u16(field);
        }
        out.bytes(&self.trailer);
        out.bytes(&self.precode_lengths);
        out.bytes(&self.lengths);
        Ok(out.len())
    }

    /// Returns the length of the history, at most 32 KiB.
    pub fn window_len(&self) -> usize {
        self.window.filled()
    }

    /// Writes the history, oldest byte first, to the front of `window` and returns its length.
    ///
    /// # Errors
    /// `BufferTooShort`.
    pub fn export_window(&self, window: &mut [u8]) -> Result<usize, StateError> {
        let filled = self.window.filled();
        let Some(into) = window.get_mut(..filled) else { return Err(StateError::BufferTooShort { needed: filled }) };
        self.window.copy_back(filled, into);
        Ok(filled)
    }

    /// Goes on where the exporting decompressor stood. `window` is the history of exactly the exported length.
    ///
    /// The image may hold anything: it is validated, and whatever passes can make the output wrong but nothing else.
    ///
    /// # Errors
    /// `BufferTooShort`, `WrongTag`, `BadField`, `BadCode`, `WrongWindow`; the decompressor then stands before a raw stream.
    pub fn import(&mut self, image: &[u8], window: &[u8]) -> Result<(), StateError> {
        self.reset(Framing::Raw);
        let result = self.load(image, window);
        if result.is_err() {
            self.reset(Framing::Raw);
        }
        result
    }

    fn load(&mut self, image: &[u8], window: &[u8]) -> Result<(), StateError> {
        let mut from = ImageReader::new(image);
        let found = from.u32()?;
        if found != TAG {
            return Err(StateError::WrongTag { found });
        }
        let framing = Framing::from_code(from.u8()?);
        self.framing = from.check(framing, framing.is_some())?.unwrap_or(Framing::Raw);
        let mode = MODES.get(usize::from(from.u8()?)).copied();
        let mode = from.check(mode, mode.is_some())?.unwrap_or(Mode::BlockHeader);
        let final_block = from.u8()?;
        self.final_block = from.check(final_block, final_block <= 1)? != 0;
        let codes = from.u8()?;
        let in_block = matches!(mode, Mode::LitLen | Mode::Distance | Mode::Match);
        let codes = match from.check(codes, codes <= 2 && !(in_block && codes == 0))? {
            1 if in_block => Codes::Fixed,
            2 if in_block => Codes::Dynamic,
            _ => Codes::None,
        };

        let bits = from.u64()?;
        let count = from.u8()?;
        // Stored bytes and the trailer are read byte by byte, so nothing is held there.
        let limit = if matches!(mode, Mode::Stored | Mode::Trailer | Mode::Done) { 1 } else { HELD_BITS_LIMIT };
        self.count = u32::from(from.check(count, count < limit)?);
        self.bits = from.check(bits, bits >> self.count == 0)?;
        let trailer_have = from.u8()?;
        let trailer_valid = match mode {
            Mode::Trailer => usize::from(trailer_have) < self.framing.trailer_bytes().max(1),
            _ => usize::from(trailer_have) <= self.framing.trailer_bytes(),
        };
        self.trailer_have = from.check(trailer_have, trailer_valid)?;
        self.have = from.u16()?;
        self.total_in = from.u64()?;
        self.total_out = from.u64()?;
        self.check = from.u32()?;
        self.isize = from.u32()?;

        let dynamic = matches!(mode, Mode::PrecodeLengths | Mode::CodeLengths) || codes == Codes::Dynamic;
        let hlit = from.u16()?;
        self.hlit = from.check(hlit, !dynamic || (257..=LITLEN_USED as u16).contains(&hlit))?;
        let hdist = from.u16()?;
        self.hdist = from.check(hdist, !dynamic || (1..=DISTANCE_USED as u16).contains(&hdist))?;
        let hclen = from.u16()?;
        self.hclen = from.check(hclen, !dynamic || (4..=PRECODE_SYMBOLS as u16).contains(&hclen))?;
        let have_valid = match mode {
            Mode::PrecodeLengths => self.have <= self.hclen,
            Mode::CodeLengths => self.have <= self.hlit + self.hdist,
            _ => true,
        };
        from.check((), have_valid)?;
        let left = from.u16()?;
        let left_valid = match mode {
            Mode::Distance => (MATCH_BYTES_MIN as u16..=MATCH_BYTES_MAX as u16).contains(&left),
            Mode::Match => (1..=MATCH_BYTES_MAX as u16).contains(&left),
            _ => true,
        };
        self.left = from.check(left, left_valid)?;
        let distance = from.u16()?;
        let window_len = from.u16()?;
        self.distance = from.check(distance, mode != Mode::Match || (1..=window_len).contains(&distance))?;
        if usize::from(window_len) != window.len() || window.len() > WINDOW_BYTES {
            return Err(StateError::WrongWindow { got: window.len() });
        }
        self.trailer = from.array()?;
        self.precode_lengths = from.array()?;
        from.check((), self.precode_lengths.iter().all(|&length| usize::from(length) <= PRECODE_BITS_MAX))?;
        self.lengths = from.array()?;
        if mode == Mode::CodeLengths {
            self.lengths[usize::from(self.have)..].fill(0);
        }
        from.check((), self.lengths.iter().all(|&length| usize::from(length) <= CODEWORD_BITS_MAX))?;

        match codes {
            Codes::Fixed => self.load_fixed_codes(),
            Codes::Dynamic => {
                self.set_orders();
                self.build_dynamic_codes().map_err(|_| StateError::BadCode)?;
            }
            Codes::None => {}
        }
        if mode == Mode::CodeLengths {
            self.precode.build_precode(&self.precode_lengths).map_err(|_| StateError::BadCode)?;
        }
        self.mode = mode;
        self.window.push(window);
        Ok(())
    }
}
