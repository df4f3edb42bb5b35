//! Little-endian cursors over a state image.
//!
//! The reader takes bytes that anybody may have written: every access is checked, and the error names the offset.

use crate::status::StateError;

/// Writes fields to the front of a buffer that is known to be long enough.
pub(crate) struct ImageWriter<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> ImageWriter<'a> {
    /// Begins an image of exactly `needed` bytes or fewer.
    pub(crate) fn new(bytes: &'a mut [u8], needed: usize) -> Result<Self, StateError> {
        if bytes.len() < needed {
            return Err(StateError::BufferTooShort { needed });
        }
        Ok(ImageWriter { bytes, at: 0 })
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.bytes[self.at..self.at + value.len()].copy_from_slice(value);
        self.at += value.len();
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    /// Returns the bytes written.
    pub(crate) fn len(&self) -> usize {
        self.at
    }
}

/// Reads fields from the front of an untrusted buffer.
pub(crate) struct ImageReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> ImageReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        ImageReader { bytes, at: 0 }
    }

    pub(crate) fn slice(&mut self, len: usize) -> Result<&'a [u8], StateError> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..len) else { return Err(StateError::BufferTooShort { needed: self.at + len }) };
        self.at += len;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let mut value = [0; N];
        value.copy_from_slice(self.slice(N)?);
        Ok(value)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, StateError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, StateError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, StateError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, StateError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Returns `value` if `valid`, else names the field that ends here as bad.
    pub(crate) fn check<T>(&self, value: T, valid: bool) -> Result<T, StateError> {
        if valid { Ok(value) } else { Err(StateError::BadField { offset: self.at }) }
    }
}
