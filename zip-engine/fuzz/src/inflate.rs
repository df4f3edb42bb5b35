//! Any bytes as a stream: verdict, output and consumed count are zlib's, in one step and in pieces, by the fast loop, beside another stream,
//! and by the careful path.

use deflate::gzip::{GzipHeader, GzipHeaderError};
use deflate::zlib::{ZlibHeader, ZlibHeaderError};
use deflate::{Framing, Inflate, Request, Status, inflate_together};

use crate::data::Random;
use crate::judges::zlib_decoder;

/// How a decoding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Done,
    Truncated,
    Bad,
}

/// What a decoder made of a stream. Of a bad one the consumed count says nothing.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    verdict: Verdict,
    consumed: usize,
    output: Vec<u8>,
}

/// More output than this is not waited for.
const OUTPUT_MAX: usize = 4 << 20;

fn zlib(stream: &[u8], framing: Framing) -> Decoded {
    let mut decoder = zlib_decoder(framing);
    let (mut output, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    let verdict = loop {
        let (before_in, before_out) = (decoder.total_in() as usize, decoder.total_out() as usize);
        let result = decoder.decompress(&stream[before_in..], &mut buffer, flate2::FlushDecompress::None);
        let (after_in, after_out) = (decoder.total_in() as usize, decoder.total_out() as usize);
        output.extend_from_slice(&buffer[..after_out - before_out]);
        match result {
            Ok(flate2::Status::StreamEnd) => break Verdict::Done,
            Ok(_) if (after_in, after_out) == (before_in, before_out) || output.len() > OUTPUT_MAX => break Verdict::Truncated,
            Ok(_) => {}
            Err(_) => break Verdict::Bad,
        }
    };
    Decoded { verdict, consumed: if verdict == Verdict::Bad { 0 } else { decoder.total_in() as usize }, output }
}

/// Decodes the body; `step` is one of the two ways.
fn ours(
    body: &[u8],
    framing: Framing,
    mut piece: impl FnMut() -> usize,
    mut room: impl FnMut() -> usize,
    careful: bool,
) -> (Decoded, Option<u64>) {
    let mut inflate = Box::new(Inflate::new());
    inflate.reset(framing);
    let (mut consumed, mut output, mut buffer) = (0, Vec::new(), vec![0xa5; 1 << 16]);
    let mut steps = 0u64;
    let verdict = loop {
        let end = body.len().min(consumed + piece().clamp(1, 1 << 30));
        let room = room().clamp(1, buffer.len());
        let (input, room) = (&body[consumed..end], &mut buffer[..room]);
        let progress = if careful { inflate.step_carefully(input, room) } else { inflate.step(input, room) };
        consumed += progress.consumed;
        output.extend_from_slice(&buffer[..progress.produced]);
        steps += 1;
        // Every step but the last moves something: as many steps as bytes bound the work of a caller.
        assert!(steps <= consumed as u64 + output.len() as u64 + 2, "{steps} steps");
        match progress.status {
            Status::Done => break Verdict::Done,
            Status::Error(_) => break Verdict::Bad,
            Status::NeedInput if consumed == body.len() => break Verdict::Truncated,
            _ if output.len() > OUTPUT_MAX => break Verdict::Truncated,
            Status::NeedInput | Status::NeedOutput => {}
        }
    };
    let offset = inflate.error_offset();
    (Decoded { verdict, consumed: if verdict == Verdict::Bad { 0 } else { consumed }, output }, offset)
}

/// Decodes the body beside another stream, a cut of it, and in the room that its output needs.
fn ours_together(body: &[u8], framing: Framing, output_len: usize) -> Decoded {
    let mut contexts = Box::new([Inflate::new(), Inflate::new()]);
    let (mut output, mut other) = (vec![0xa5; output_len + 1], vec![0xa5; output_len]);
    let mut requests = [Request::new(framing, body, &mut output), Request::new(framing, &body[..body.len() - body.len() / 5], &mut other)];
    inflate_together(&mut contexts, &mut requests);
    let progress = requests[0].progress;
    let verdict = match progress.status {
        Status::Done => Verdict::Done,
        Status::Error(_) => Verdict::Bad,
        Status::NeedInput => Verdict::Truncated,
        Status::NeedOutput => panic!("more output than alone"),
    };
    output.truncate(progress.produced);
    Decoded { verdict, consumed: if verdict == Verdict::Bad { 0 } else { progress.consumed }, output }
}

/// What our header parser says: the header's length, or how it ends.
fn header(stream: &[u8], framing: Framing) -> Result<usize, Verdict> {
    match framing {
        Framing::Raw => Ok(0),
        Framing::ZlibBody => match ZlibHeader::parse(stream) {
            Ok(_) => Ok(2),
            Err(ZlibHeaderError::Truncated) => Err(Verdict::Truncated),
            Err(_) => Err(Verdict::Bad),
        },
        Framing::GzipBody => match GzipHeader::parse(stream) {
            Ok((_, len)) => Ok(len),
            Err(GzipHeaderError::Truncated) => Err(Verdict::Truncated),
            Err(_) => Err(Verdict::Bad),
        },
    }
}

/// The first byte chooses framing and cuts, the rest is the stream.
pub fn body(data: &[u8]) {
    let Some((choice, stream)) = data.split_first() else { return };
    let framing = crate::round_trip::FRAMINGS[usize::from(choice % 3)];
    let judged = zlib(stream, framing);
    let header = match header(stream, framing) {
        Ok(len) => len,
        Err(verdict) => {
            // zlib asks for a dictionary where ours refuses one: flate2 tells that as an error too.
            assert_eq!((verdict, judged.output.len()), (judged.verdict, 0), "header of {stream:02x?}");
            return;
        }
    };
    let body = &stream[header..];
    let (mut whole, offset) = ours(body, framing, || usize::MAX, || usize::MAX, false);
    let limit = [1 << 20, 2000, 350, 20, 1][usize::from(choice / 3 % 5)];
    let (mut a, mut b) = (Random(u64::from(*choice)), Random(u64::from(*choice) + 1));
    let cut = ours(body, framing, || 1 + a.below(limit), || 1 + b.below(limit), false);
    assert!(cut.0 == whole && cut.1 == offset, "in pieces of up to {limit}: {stream:02x?}");
    let careful = ours(body, framing, || usize::MAX, || usize::MAX, true);
    assert!(careful.0 == whole && careful.1 == offset, "by the careful path: {stream:02x?}");
    if whole.output.len() > OUTPUT_MAX {
        return;
    }
    assert!(ours_together(body, framing, whole.output.len()) == whole, "beside another: {stream:02x?}");
    if whole.verdict != Verdict::Bad {
        whole.consumed += header;
    }
    assert_eq!((whole.verdict, whole.consumed), (judged.verdict, judged.consumed), "{framing:?}: {stream:02x?}");
    assert!(whole.output == judged.output, "{framing:?}: output differs: {stream:02x?}");
}
