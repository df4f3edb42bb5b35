//! The state image: what remains of a suspended compressor beside its history.
//!
//! Layout, little-endian, packed: tag, framing, level, final block, phase, BFINAL put, synced, held bits' number, 0 (1 each), window limit (4), held
//! bits (1, then 1 of 0), history length, pending length (2 each), check, isize (4 each), total in, total out (8 each), then the
//! pending output.

use super::finder::Finder;
use super::{Compressor, FinalBlock, Level, Params, Phase, STAGE_BYTES};
use crate::image::{ImageReader, ImageWriter};
use crate::status::{Framing, STATE_BYTES_MAX, StateError, WINDOW_BYTES};

/// Bytes of the image before the pending output.
const FIXED_BYTES: usize = 4 + 8 + 4 + 2 + 4 + 8 + 16;

/// Most bytes of the state image of [`crate::Deflate`].
pub const DEFLATE_STATE_BYTES_MAX: usize = FIXED_BYTES + STAGE_BYTES;

const _: () = assert!(DEFLATE_STATE_BYTES_MAX <= STATE_BYTES_MAX);

/// "DEF1".
const TAG: u32 = u32::from_le_bytes(*b"DEF1");

const PHASES: [Phase; 2] = [Phase::Collect, Phase::Done];

/// Levels in the image.
const fn level_code(level: Level) -> u8 {
    match level {
        Level::Fastest => 0,
        Level::Balanced => 1,
        Level::High => 2,
        Level::Best => 3,
    }
}

impl<F: Finder> Compressor<F> {
    /// Writes the state image to the front of `image` and returns its length, at most [`DEFLATE_STATE_BYTES_MAX`].
    ///
    /// # Errors
    /// `NotSuspended` if input was accepted that [`Compressor::suspend`] would give back; `NothingToResume` after an error; `BufferTooShort`.
    pub fn export_state(&self, image: &mut [u8]) -> Result<usize, StateError> {
        let stream = &self.stream;
        if matches!(stream.phase, Phase::Body | Phase::Stored) || !stream.matcher.unencoded().is_empty() {
            return Err(StateError::NotSuspended);
        }
        let Some(phase) = PHASES.iter().position(|&phase| phase == stream.phase) else { return Err(StateError::NothingToResume) };
        let pending = &self.stage.bytes[self.stage.start..self.stage.end];
        let mut out = ImageWriter::new(image, FIXED_BYTES + pending.len())?;
        out.u32(TAG);
        let final_block = match stream.params.final_block {
            FinalBlock::Data => 0,
            FinalBlock::Empty => 1,
        };
        let level = level_code(F::LEVEL);
        out.bytes(&[stream.params.framing.code(), level, final_block, phase as u8]);
        out.bytes(&[u8::from(stream.final_put), u8::from(stream.synced), stream.count as u8, 0]);
        out.u32(stream.params.window_bytes);
        out.bytes(&[stream.bits as u8, 0]);
        out.u16(stream.matcher.history().len() as u16);
        out.u16(pending.len() as u16);
        out.u32(stream.check);
        out.u32(stream.isize);
        out.u64(self.total_in);
        out.u64(self.total_out);
        out.bytes(pending);
        Ok(out.len())
    }

    /// Returns the history, at most 32 KiB: the last encoded input.
    pub fn window(&self) -> &[u8] {
        self.stream.matcher.history()
    }

    /// Writes the history, oldest byte first, to the front of `window` and returns its length.
    ///
    /// # Errors
    /// `BufferTooShort`.
    pub fn export_window(&self, window: &mut [u8]) -> Result<usize, StateError> {
        let history = self.window();
        let Some(into) = window.get_mut(..history.len()) else { return Err(StateError::BufferTooShort { needed: history.len() }) };
        into.copy_from_slice(history);
        Ok(history.len())
    }

    /// Goes on where the exporting compressor stood. `window` is the history of exactly the exported length.
    ///
    /// The image may hold anything: it is validated, and whatever passes can make the output wrong but nothing else.
    ///
    /// # Errors
    /// `BufferTooShort`, `WrongTag`, `BadField`, `WrongWindow`; the compressor then stands before a raw stream.
    pub fn import(&mut self, image: &[u8], window: &[u8]) -> Result<(), StateError> {
        let result = self.load(image, window);
        if result.is_err() {
            self.reset(Params::new(Framing::Raw));
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
        let framing = from.check(framing, framing.is_some())?.unwrap_or(Framing::Raw);
        let level = from.u8()?;
        from.check((), level == level_code(F::LEVEL))?;
        let final_block = from.u8()?;
        let final_block = if from.check(final_block, final_block <= 1)? == 0 { FinalBlock::Data } else { FinalBlock::Empty };
        let phase = PHASES.get(usize::from(from.u8()?)).copied();
        let phase = from.check(phase, phase.is_some())?.unwrap_or(Phase::Collect);
        let final_put = from.u8()?;
        let final_put = from.check(final_put, final_put <= 1)? != 0;
        let synced = from.u8()?;
        let synced = from.check(synced, synced <= 1)? != 0;
        let count = from.u8()?;
        // The trailer leaves the stream byte-aligned.
        let count = from.check(count, count < if phase == Phase::Collect { 8 } else { 1 })?;
        let reserved = from.u8()?;
        from.check((), reserved == 0)?;
        let window_bytes = from.u32()?;
        let bits = from.u8()?;
        let bits = from.check(bits, bits >> count == 0)?;
        let reserved = from.u8()?;
        from.check((), reserved == 0)?;
        let window_len = from.u16()?;
        if usize::from(window_len) != window.len() || window.len() > WINDOW_BYTES {
            return Err(StateError::WrongWindow { got: window.len() });
        }
        let pending = usize::from(from.u16()?);
        from.check((), pending <= STAGE_BYTES)?;
        let check = from.u32()?;
        let isize = from.u32()?;
        let total_in = from.u64()?;
        let total_out = from.u64()?;
        let pending = from.slice(pending)?;

        self.reset(Params { framing, window_bytes, final_block });
        self.stream.matcher.load_history(window);
        self.stream.phase = phase;
        self.stream.final_put = final_put;
        self.stream.synced = synced;
        self.stream.bits = u64::from(bits);
        self.stream.count = u32::from(count);
        self.stream.check = check;
        self.stream.isize = isize;
        self.total_in = total_in;
        self.total_out = total_out;
        self.stage.bytes[..pending.len()].copy_from_slice(pending);
        self.stage.end = pending.len();
        Ok(())
    }
}
