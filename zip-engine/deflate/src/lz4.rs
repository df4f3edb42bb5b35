//! The LZ4 block format: how literals and matches lie in it, and both directions from slice to slice.
//!
//! A sequence is a token (literal length 7:4, match length less 4 in 3:0, 15 means that bytes follow), more literal length, the literals, the
//! distance in two bytes, more match length. The last sequence has literals only; the last five bytes are literals, and no match begins in the
//! last twelve.

use crate::lz77::{Effort, Event, Finder, MATCH_MIN, Params};

/// Returns the parameters of a finder whose matches an LZ4 block can hold.
pub const fn params(window_bytes: u32, effort: Effort) -> Params {
    Params { window_bytes, effort, length_max: u32::MAX, tail_bytes: 5, begin_bytes: 12 }
}

/// Returns the most bytes that a block over `len` bytes has.
pub const fn bound(len: u64) -> u64 {
    len + len / 255 + 16
}

/// Bytes of a sequence that are not literals, handed out in as many pieces as there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    head: [u8; 2],
    head_at: u8,
    head_end: u8,
    /// Bytes of 255 that follow.
    full: u32,
    last: Option<u8>,
}

impl Code {
    /// Nothing.
    pub const EMPTY: Self = Code { head: [0; 2], head_at: 0, head_end: 0, full: 0, last: None };

    /// What stands in front of the literals of a sequence. `length` is that of its match, `None` for the last sequence.
    pub const fn front(literals: u32, length: Option<u32>) -> Self {
        let excess = match length {
            Some(length) => length.saturating_sub(MATCH_MIN as u32),
            None => 0,
        };
        Code { head: [nibble_of(literals) << 4 | nibble_of(excess), 0], head_end: 1, ..Self::EMPTY }.with_length(literals)
    }

    /// What stands behind the literals of a sequence with a match.
    pub const fn back(distance: u16, length: u32) -> Self {
        Code { head: distance.to_le_bytes(), head_end: 2, ..Self::EMPTY }.with_length(length.saturating_sub(MATCH_MIN as u32))
    }

    const fn with_length(mut self, length: u32) -> Self {
        if length >= 15 {
            self.full = (length - 15) / 255;
            self.last = Some(((length - 15) % 255) as u8);
        }
        self
    }

    /// True once everything has been handed out.
    pub const fn is_empty(&self) -> bool {
        self.head_at == self.head_end && self.full == 0 && self.last.is_none()
    }

    /// Writes as much as there is room for to the front of `out`; returns how many bytes.
    pub fn put(&mut self, out: &mut [u8]) -> usize {
        let mut at = 0;
        let mut push = |byte: u8| match out.get_mut(at) {
            Some(slot) => {
                *slot = byte;
                at += 1;
                true
            }
            None => false,
        };
        while self.head_at < self.head_end && push(self.head[usize::from(self.head_at)]) {
            self.head_at += 1;
        }
        while self.head_at == self.head_end && self.full > 0 && push(255) {
            self.full -= 1;
        }
        if self.head_at == self.head_end
            && self.full == 0
            && let Some(last) = self.last
            && push(last)
        {
            self.last = None;
        }
        at
    }
}

const fn nibble_of(length: u32) -> u8 {
    if length < 15 { length as u8 } else { 15 }
}

/// Compresses `input` into one block; returns its length, or `None` if `output` is too short ([`bound`] bytes never are).
pub fn compress_block(finder: &mut Finder, params: Params, input: &[u8], output: &mut [u8]) -> Option<usize> {
    fn append(output: &mut [u8], at: &mut usize, mut code: Code) -> Option<()> {
        *at += code.put(output.get_mut(*at..)?);
        code.is_empty().then_some(())
    }
    finder.reset(params, &[]);
    let (mut fed, mut from, mut at) = (0, 0, 0);
    loop {
        let (taken, event) = finder.step(&input[fed..], true);
        fed += taken;
        let (literals, copy) = match event {
            Event::Match { literals, length, distance } => (literals, Some((length, distance))),
            Event::End { literals } => (literals, None),
            // The input has an end, so that it never is too short.
            Event::NeedInput => continue,
        };
        append(output, &mut at, Code::front(literals, copy.map(|(length, _)| length)))?;
        let run = &input[from..from + literals as usize];
        output.get_mut(at..at + run.len())?.copy_from_slice(run);
        at += run.len();
        let Some((length, distance)) = copy else { return Some(at) };
        append(output, &mut at, Code::back(distance as u16, length))?;
        from += (literals + length) as usize;
    }
}

/// Why a block could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// The block ends in the middle of a sequence.
    Truncated,
    /// There is more output than room.
    OutputFull,
    /// A match reaches before the first byte, or has the distance 0.
    BadDistance {
        /// The distance.
        distance: u16,
        /// Bytes of output in front of the match.
        available: usize,
    },
}

/// Decompresses one whole block; returns the length of the output. Work is linear in input and output.
///
/// # Errors
/// See [`BlockError`]; what `output` then holds is of no meaning.
pub fn decompress_block(input: &[u8], output: &mut [u8]) -> Result<usize, BlockError> {
    let (mut from, mut at) = (0, 0);
    loop {
        let token = *input.get(from).ok_or(BlockError::Truncated)?;
        from += 1;
        let literals = length_of(token >> 4, input, &mut from)?;
        let run = from.checked_add(literals).and_then(|end| input.get(from..end)).ok_or(BlockError::Truncated)?;
        let room = output.get_mut(at..).and_then(|rest| rest.get_mut(..literals)).ok_or(BlockError::OutputFull)?;
        room.copy_from_slice(run);
        from += literals;
        at += literals;
        if from == input.len() {
            return Ok(at);
        }
        let (Some(&low), Some(&high)) = (input.get(from), input.get(from + 1)) else { return Err(BlockError::Truncated) };
        let distance = u16::from_le_bytes([low, high]);
        from += 2;
        let length = length_of(token & 15, input, &mut from)?.checked_add(MATCH_MIN).ok_or(BlockError::OutputFull)?;
        if distance == 0 || usize::from(distance) > at {
            return Err(BlockError::BadDistance { distance, available: at });
        }
        if length > output.len() - at {
            return Err(BlockError::OutputFull);
        }
        let distance = usize::from(distance);
        if distance >= length {
            output.copy_within(at - distance..at - distance + length, at);
        } else {
            for to in at..at + length {
                output[to] = output[to - distance];
            }
        }
        at += length;
    }
}

/// Reads what follows a nibble of 15.
fn length_of(nibble: u8, input: &[u8], from: &mut usize) -> Result<usize, BlockError> {
    let mut length = usize::from(nibble);
    if nibble == 15 {
        loop {
            let byte = *input.get(*from).ok_or(BlockError::Truncated)?;
            *from += 1;
            length = length.checked_add(usize::from(byte)).ok_or(BlockError::OutputFull)?;
            if byte != 255 {
                break;
            }
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;
    use std::vec;

    #[test]
    fn a_block_worked_out_by_hand() {
        // One literal, a match of 19 bytes at distance 1 (4 and the nibble 15 and a byte 0), five literals.
        let input = vec![b'a'; 25];
        let mut output = [0; 64];
        let mut finder = Box::new(Finder::new());
        let len = compress_block(&mut finder, params(32_768, Effort::Fast), &input, &mut output);
        assert_eq!(len.map(|len| output[..len].to_vec()), Some([&[0x1f, b'a', 1, 0, 0, 0x50][..], b"aaaaa"].concat()));
        assert_eq!(
            compress_block(&mut finder, params(32_768, Effort::Fast), &[], &mut output).map(|len| output[..len].to_vec()),
            Some(vec![0])
        );
        for room in 0..11 {
            assert_eq!(compress_block(&mut finder, params(32_768, Effort::Fast), &input, &mut output[..room]), None, "{room}");
        }
        assert_eq!(compress_block(&mut finder, params(32_768, Effort::Fast), &input, &mut output[..11]), Some(11));
    }

    #[test]
    fn bad_blocks_have_their_errors() {
        let mut output = [0; 40];
        let mut decompress = |block: &[u8]| decompress_block(block, &mut output);
        assert_eq!(decompress(&[0x1f, b'a', 1, 0, 0, 0x50, b'a', b'a', b'a', b'a', b'a']), Ok(25));
        assert_eq!(decompress(&[0]), Ok(0));
        // The block ends after the literals of its last sequence; what its token says of a match has no meaning.
        assert_eq!(decompress(&[0x1f, b'a']), Ok(1));
        for truncated in [&[][..], &[0x10], &[0x1f, b'a', 1], &[0x1f, b'a', 1, 0], &[0x10, b'a', 1, 0], &[0xf0], &[0xf0, 255]] {
            assert_eq!(decompress(truncated), Err(BlockError::Truncated), "{truncated:x?}");
        }
        assert_eq!(decompress(&[0x10, b'a', 2, 0, 0]), Err(BlockError::BadDistance { distance: 2, available: 1 }));
        assert_eq!(decompress(&[0x10, b'a', 0, 0, 0]), Err(BlockError::BadDistance { distance: 0, available: 1 }));
        assert_eq!(decompress(&[0x1f, b'a', 1, 0, 21, 0]), Err(BlockError::OutputFull));
        assert_eq!(decompress(&[[0xf0, 26].as_slice(), &[0; 41]].concat()), Err(BlockError::OutputFull));
    }

    #[test]
    fn lengths_are_written_as_the_format_says_in_any_pieces() {
        for (length, expected) in
            [(14, vec![0xe0]), (15, vec![0xf0, 0]), (269, vec![0xf0, 254]), (270, vec![0xf0, 255, 0]), (525, vec![0xf0, 255, 255, 0])]
        {
            for piece in 1..5 {
                let mut code = Code::front(length, None);
                let mut bytes = vec![];
                while !code.is_empty() {
                    let mut out = [0; 5];
                    let put = code.put(&mut out[..piece]);
                    bytes.extend_from_slice(&out[..put]);
                }
                assert_eq!(bytes, expected, "{length} in pieces of {piece}");
            }
        }
        let mut out = [0; 8];
        assert_eq!((Code::back(0x1234, 4 + 15 + 255 + 1).put(&mut out), &out[..4]), (4, &[0x34, 0x12, 255, 1][..]));
    }
}
