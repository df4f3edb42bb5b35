//! The work, and its count.

use alloc::vec;
use alloc::vec::Vec;
use deflate::{Compressor, Deflate, DeflateHigh, Finder, Flush, Framing, Inflate, Params, Status};
use hal_aarch64::{SpinLock, pmu};

use crate::data::File;

/// Bytes of a request.
const REQUEST: usize = 4096;
/// Bytes of a file that are cut into requests to decompress, and to compress; and those that are compressed whole.
const INFLATED_IN_REQUESTS: usize = 64 << 10;
const DEFLATED_IN_REQUESTS: usize = 32 << 10;
const DEFLATED_WHOLE: usize = 128 << 10;

static INFLATE: SpinLock<Inflate> = SpinLock::new(Inflate::new());
static FASTEST: SpinLock<Deflate> = SpinLock::new(Deflate::new());
static HIGH: SpinLock<DeflateHigh> = SpinLock::new(DeflateHigh::new());

/// What some bytes took.
#[derive(Clone, Copy, Default)]
pub struct Cost {
    bytes: u64,
    instructions: u64,
}

impl Cost {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Cost { bytes: self.bytes + other.bytes, instructions: self.instructions + other.instructions }
    }

    /// Hundredths of an instruction per byte, rounded up.
    pub fn hundredths_per_byte(self) -> u64 {
        (100 * self.instructions).div_ceil(self.bytes.max(1))
    }
}

/// Measures one file: decompression of the whole and of requests, fastest compression of the whole and of requests.
pub fn file(file: &File) -> [Cost; 4] {
    let whole = &file.bytes[..];
    let in_requests = |most: usize| whole[..most.min(whole.len())].chunks(REQUEST).collect::<Vec<_>>();
    let inflated = in_requests(INFLATED_IN_REQUESTS);
    let [whole_stream, request_streams] = match &file.streams {
        Some(streams) => streams.clone(),
        None => [high(&[whole]), high(&inflated)],
    };
    [
        inflate(&[whole], &whole_stream),
        inflate(&inflated, &request_streams),
        deflate(&[&whole[..DEFLATED_WHOLE.min(whole.len())]]),
        deflate(&in_requests(DEFLATED_IN_REQUESTS)),
    ]
}

/// Counts the instructions of `work`, of which a call for nothing is taken off.
fn count(work: impl FnOnce()) -> u64 {
    let nothing = {
        let before = pmu::instructions();
        pmu::instructions().since(before).el1
    };
    let before = pmu::instructions();
    work();
    pmu::instructions().since(before).el1 - nothing
}

/// Compresses one plain text to `packed` and returns the length of the stream.
fn pack<F: Finder>(deflate: &mut Compressor<F>, plain: &[u8], packed: &mut [u8]) -> usize {
    deflate.reset(Params::new(Framing::Raw));
    let put = deflate.step(plain, packed, Flush::Finish);
    assert_eq!((put.consumed, put.status), (plain.len(), Status::Done));
    put.produced
}

fn room_for(plain: &[u8]) -> Vec<u8> {
    vec![0; plain.len() + plain.len() / 8 + 64]
}

/// Compresses each at the high level, one stream behind the other.
fn high(plains: &[&[u8]]) -> Vec<u8> {
    let mut deflate = HIGH.lock();
    let mut streams = Vec::new();
    for plain in plains {
        let mut packed = room_for(plain);
        let len = pack(&mut deflate, plain, &mut packed);
        streams.extend_from_slice(&packed[..len]);
    }
    streams
}

fn inflate(plains: &[&[u8]], streams: &[u8]) -> Cost {
    let mut inflate = INFLATE.lock();
    let mut cost = Cost::default();
    let mut rest = streams;
    for plain in plains {
        let mut output = vec![0; plain.len()];
        let mut consumed = 0;
        cost.instructions += count(|| {
            inflate.reset(Framing::Raw);
            let got = inflate.step(rest, &mut output);
            assert_eq!(got.status, Status::Done);
            consumed = got.consumed;
        });
        assert!(output == *plain, "decodes to what it was");
        cost.bytes += plain.len() as u64;
        rest = &rest[consumed..];
    }
    cost
}

fn deflate(plains: &[&[u8]]) -> Cost {
    let mut deflate = FASTEST.lock();
    let mut cost = Cost::default();
    for plain in plains {
        let mut packed = room_for(plain);
        cost.instructions += count(|| {
            pack(&mut deflate, plain, &mut packed);
        });
        cost.bytes += plain.len() as u64;
    }
    cost
}
