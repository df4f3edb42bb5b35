//! All levels: what they make is a stream of the same data, the same however the output was cut, and never much longer than stored.

use super::streaming::INCOMPRESSIBLE;
use super::*;
use deflate::{Compressor, DeflateBalanced, DeflateBest, DeflateHigh, FinalBlock, Finder, Level, deflate_bound};
use std::sync::Mutex;

/// Too large for the stack of a test.
static BEST: Mutex<DeflateBest> = Mutex::new(DeflateBest::new());

/// Compresses with outputs of `limit` bytes.
fn compress_at<F: Finder>(deflate: &mut Compressor<F>, input: &[u8], params: Params, limit: usize) -> Vec<u8> {
    compress_cut(deflate, input, params, usize::MAX, limit)
}

/// Compresses with inputs of `piece` and outputs of `limit` bytes.
fn compress_cut<F: Finder>(deflate: &mut Compressor<F>, input: &[u8], params: Params, piece: usize, limit: usize) -> Vec<u8> {
    deflate.reset(params);
    let mut stream = Vec::new();
    let mut buffer = vec![0xa5; limit.min(1 << 21)];
    let (mut at, mut end) = (0usize, 0);
    loop {
        if at == end {
            end = at.saturating_add(piece).min(input.len());
        }
        let progress = deflate.step(&input[at..end], &mut buffer, if end == input.len() { Flush::Finish } else { Flush::None });
        at += progress.consumed;
        stream.extend_from_slice(&buffer[..progress.produced]);
        match progress.status {
            Status::Done => return stream,
            Status::NeedOutput => {}
            Status::NeedInput if at == end && end < input.len() => {}
            other => panic!("{other:?} at {at}"),
        }
    }
}

/// Returns the bytes that the beginnings of all samples took.
fn check_level<F: Finder>(deflate: &mut Compressor<F>) -> usize {
    let level = Compressor::<F>::LEVEL;
    // The best level takes its time.
    let is_slow = level == Level::Best;
    let mut all = 0;
    for (name, input) in samples() {
        let begin = &input[..input.len().min(20_000)];
        all += compress_at(deflate, begin, Params::new(Framing::Raw), usize::MAX).len();
        let input = if is_slow { begin } else { &input };
        for framing in [Framing::Raw, Framing::GzipBody] {
            let whole = compress_at(deflate, input, Params::new(framing), usize::MAX);
            assert!(whole.len() as u64 <= deflate_bound(input.len() as u64, framing), "{level:?}: {name} has {} bytes", whole.len());
            let decoded = inflate(&whole, framing);
            assert!(decoded.verdict == Verdict::Done && decoded.output == input, "{level:?}: {name} comes back");
            let (framed, wrapper) = with_header(&whole, framing);
            assert!(judge(&framed, wrapper).output == input, "{level:?}: {name} comes back from the judge");
        }
        let params = Params::new(Framing::Raw);
        let whole = compress_at(deflate, input, params, usize::MAX);
        for limit in if is_slow { &[100][..] } else { &[1, 100, 1500, 40_000] }.iter().copied() {
            let pieces = compress_at(deflate, input, params, limit);
            assert!(pieces == whole, "{level:?}: {name} in pieces of {limit}");
        }
        for piece in if is_slow { &[3000][..] } else { &[7, 900, 70_000] }.iter().copied() {
            let pieces = compress_cut(deflate, input, params, piece, 3000);
            let same = pieces == whole || INCOMPRESSIBLE.contains(&name) && inflate(&pieces, Framing::Raw).output == input;
            assert!(same, "{level:?}: {name} from pieces of {piece}");
        }
        let suspendable = Params { final_block: FinalBlock::Empty, window_bytes: 4096, ..params };
        let stream = compress_at(deflate, input, suspendable, 5000);
        assert!(inflate(&stream, Framing::Raw).output == input, "{level:?}: {name} with an empty last block");
    }
    // Never more than five bytes for every 64 KiB over the data.
    let noise = Rng(9).bytes(if is_slow { 1 << 18 } else { 1 << 20 });
    let stored = compress_at(deflate, &noise, Params::new(Framing::Raw), usize::MAX);
    assert!(stored.len() <= noise.len() + 5 * (noise.len() / 65535 + 1) + 2, "{level:?}: noise becomes {} bytes", stored.len());
    all
}

/// A text of several blocks at the best level, whose symbols change: both ways to cut it, and at the others.
#[test]
fn zp_o03_blocks_that_end_where_symbols_change_come_back() {
    let mut input = text(30_000, 1);
    input.extend((0..30_000u32).flat_map(|i| (i * i % 977).to_le_bytes()));
    input.extend(text(20_000, 2));
    fn check<F: Finder>(deflate: &mut Compressor<F>, input: &[u8]) -> usize {
        let params = Params::new(Framing::ZlibBody);
        let whole = compress_at(deflate, input, params, usize::MAX);
        assert!(inflate(&whole, Framing::ZlibBody).output == input);
        assert!(compress_cut(deflate, input, params, 10_000, 333) == whole);
        whole.len()
    }
    let high = check(&mut *Box::new(DeflateHigh::new()), &input);
    let best = check(&mut *BEST.lock().expect("one test at a time"), &input);
    assert!(best <= high);
}

/// More than the best level divides at once, in changing symbols: what stays open behind a plan is carried into the next one, however the input is cut.
#[test]
fn zp_o03_plans_of_the_best_level_follow_each_other() {
    let mut rng = Rng(41);
    let mut input = Vec::new();
    for part in 0..12 {
        input.extend(text(40_000, part));
        input.extend((0..3000 * part as u32).flat_map(|i| (i * i % (900 + part as u32)).to_le_bytes()));
        input.extend(rng.bytes(700));
    }
    let deflate = &mut *BEST.lock().expect("one test at a time");
    let params = Params::new(Framing::GzipBody);
    let whole = compress_at(deflate, &input, params, usize::MAX);
    assert!(inflate(&whole, Framing::GzipBody).output == input);
    assert!(compress_cut(deflate, &input, params, 9_999, 20_000) == whole);
}

#[test]
fn zp_o03_every_level_round_trips_and_higher_ones_take_fewer_bytes() {
    let taken = [
        (Level::Fastest, check_level(&mut *Box::new(Deflate::new()))),
        (Level::Balanced, check_level(&mut *Box::new(DeflateBalanced::new()))),
        (Level::High, check_level(&mut *Box::new(DeflateHigh::new()))),
        (Level::Best, check_level(&mut *BEST.lock().expect("one test at a time"))),
    ];
    assert!(taken.is_sorted_by(|a, b| a.0 < b.0 && a.1 >= b.1), "{taken:?}");
}
