//! Compression and decompression with one request each.

use zip_spec::{Completion, Container, Mode, Request, Status, Window};

use crate::zip::{initial_checksum, put_empty_end, request};
use crate::{HeaderReader, MAX_REQUEST_BYTES, MIN_OUTPUT_BYTES, System, ZipError, ZipQueue};

/// What follows a complete stream in its input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tail {
    /// Nothing.
    Nothing,
    /// Another gzip member begins.
    Member,
    /// Bytes that belong to no stream.
    Garbage,
}

impl Tail {
    /// Looks at the bytes behind a stream.
    pub fn of(container: Container, rest: &[u8]) -> Self {
        match (container, rest) {
            (_, []) => Self::Nothing,
            (Container::Gzip, [0x1f] | [0x1f, 0x8b, ..]) => Self::Member,
            _ => Self::Garbage,
        }
    }
}

/// What a one-shot decompression came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OneShot {
    /// Input bytes of the stream, header and trailer included.
    pub consumed: usize,
    /// Output bytes.
    pub produced: usize,
    /// What follows in the input.
    pub tail: Tail,
}

/// A job, laid out: what is asked of the engine, and what its answer will mean.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plan {
    /// One request.
    Request {
        /// Layout and tag are not in it yet.
        request: Request,
        /// What its counts are judged by.
        limits: Limits,
    },
    /// Nothing is left for the engine: the output is there.
    Made {
        /// Its length in bytes.
        produced: usize,
    },
}

/// What the counts of an answer are judged by, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    source: u32,
    destination: u32,
    /// Input before the engine's.
    header_in: u32,
    /// Output before the engine's.
    header_out: u32,
}

/// Input bytes taken and output bytes written, headers and trailers included.
pub(crate) type Counts = (usize, usize);

impl Plan {
    /// Lays out a compression and writes the header.
    pub(crate) fn compression(container: Container, window: Window, input: &[u8], output: &mut [u8]) -> Result<Self, ZipError> {
        if input.len() > MAX_REQUEST_BYTES {
            return Err(ZipError::InputTooLong);
        }
        if output.len() < MIN_OUTPUT_BYTES {
            return Err(ZipError::OutputTooSmall { needed: MIN_OUTPUT_BYTES });
        }
        let header = container.header();
        let (front, body) = output.split_at_mut(header.len());
        front.copy_from_slice(header);
        if input.is_empty() {
            return Ok(Self::Made { produced: header.len() + put_empty_end(container, initial_checksum(container), 0, body) });
        }
        let room = body.len().min(MAX_REQUEST_BYTES);
        let request = request(container, window, input, &mut body[..room], Mode::ONE_SHOT);
        Ok(Self::of(request, 0, header.len()))
    }

    /// Reads the header and lays out a decompression.
    pub(crate) fn decompression(container: Container, input: &[u8], output: &mut [u8]) -> Result<Self, ZipError> {
        let mut header = HeaderReader::new(container);
        let skipped = header.feed(input).map_err(|(error, at)| ZipError::Header { error, offset: at as u64 })?;
        let body = &input[skipped..];
        if !header.is_done() || body.is_empty() {
            return Err(ZipError::Truncated { offset: input.len() as u64 });
        }
        if body.len() > MAX_REQUEST_BYTES {
            return Err(ZipError::InputTooLong);
        }
        let room = output.len().min(MAX_REQUEST_BYTES);
        let request = request(container, Window::K32, body, &mut output[..room], Mode::ONE_SHOT);
        Ok(Self::of(request, skipped, 0))
    }

    fn of(request: Request, header_in: usize, header_out: usize) -> Self {
        // A header of an input that is longer than a number of 32 bits can say would be refused as a request already.
        let (header_in, header_out) = (header_in as u32, header_out as u32);
        let limits = Limits { source: request.source_bytes, destination: request.destination_bytes, header_in, header_out };
        Self::Request { request, limits }
    }
}

/// What the answer to a request means.
///
/// # Errors
/// `BadCount`, `Truncated`, `Data`.
pub(crate) fn outcome(limits: &Limits, completion: &Completion) -> Result<Counts, ZipError> {
    let &Completion { consumed, produced, status, .. } = completion;
    if consumed > limits.source || produced > limits.destination {
        return Err(ZipError::BadCount { consumed, produced });
    }
    let before = u64::from(limits.header_in);
    match status {
        status if status.is_good() => Ok(((before as usize) + consumed as usize, limits.header_out as usize + produced as usize)),
        Status::TRUNCATED => Err(ZipError::Truncated { offset: before + u64::from(limits.source) }),
        status => Err(ZipError::Data { status, offset: before + u64::from(consumed) }),
    }
}

fn run<S: System>(queue: &mut ZipQueue<'_, S>, plan: Plan) -> Result<Counts, ZipError> {
    match plan {
        Plan::Made { produced } => Ok((0, produced)),
        Plan::Request { request, limits } => outcome(&limits, &queue.run(request)?),
    }
}

/// Compresses `input` into `output` with one request, header included; returns the bytes written.
///
/// # Errors
/// `InputTooLong`, `OutputTooSmall`, `Data` (0x0e if the output is full), `Queue`.
pub fn compress_one_shot<S: System>(
    queue: &mut ZipQueue<'_, S>,
    container: Container,
    window: Window,
    input: &[u8],
    output: &mut [u8],
) -> Result<usize, ZipError> {
    let plan = Plan::compression(container, window, input, output)?;
    run(queue, plan).map(|(_, produced)| produced)
}

/// Decompresses one stream at the front of `input` with one request.
///
/// # Errors
/// `Header`, `Truncated`, `Data` (0x0e if the output is full), `InputTooLong`, `Queue`.
pub fn decompress_one_shot<S: System>(
    queue: &mut ZipQueue<'_, S>,
    container: Container,
    input: &[u8],
    output: &mut [u8],
) -> Result<OneShot, ZipError> {
    let plan = Plan::decompression(container, input, output)?;
    let (consumed, produced) = run(queue, plan)?;
    Ok(OneShot { consumed, produced, tail: Tail::of(container, &input[consumed..]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails() {
        assert_eq!(Tail::of(Container::Gzip, &[]), Tail::Nothing);
        assert_eq!(Tail::of(Container::Gzip, &[0x1f, 0x8b, 8]), Tail::Member);
        assert_eq!(Tail::of(Container::Gzip, &[0, 0]), Tail::Garbage);
        assert_eq!(Tail::of(Container::Zlib, &[0x78, 0x9c]), Tail::Garbage);
    }
}
