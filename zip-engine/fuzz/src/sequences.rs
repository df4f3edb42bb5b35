//! Any bytes as data for the match finder, and as an LZ4 block.

use deflate::lz4::{self, BlockError};
use deflate::lz77::{Effort, Event, Finder, Params};

use crate::data::Random;

/// Compresses and decompresses the bytes as data, then reads them as a block.
pub fn body(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let effort = if choice % 2 == 0 { Effort::Fast } else { Effort::Thorough };
    finder(rest, *choice, effort);
    block(rest, effort);
    foreign(rest);
}

/// Events stand for the data, whatever went before and however it is cut.
fn finder(data: &[u8], choice: u8, effort: Effort) {
    let split = data.len() * usize::from(choice / 16) / 32;
    let (history, input) = data.split_at(split);
    let params = Params {
        window_bytes: 1 << (choice / 2 % 16),
        effort,
        length_max: [4, 258, 65_538, u32::MAX][usize::from(choice / 32 % 4)],
        tail_bytes: choice % 16,
        begin_bytes: choice / 16,
    };
    let mut finder = Box::new(Finder::new());
    let mut events = |mut piece: Box<dyn FnMut() -> usize>| {
        finder.reset(params, history);
        let (mut at, mut events) = (0usize, Vec::new());
        loop {
            let end = input.len().min(at.saturating_add(piece()));
            let (taken, event) = finder.step(&input[at..end], end == input.len());
            at += taken;
            match event {
                Event::NeedInput => assert!(at == end && end < input.len()),
                Event::Match { .. } => events.push(event),
                Event::End { .. } => {
                    assert_eq!(at, input.len());
                    events.push(event);
                    return events;
                }
            }
        }
    };
    let whole = events(Box::new(|| usize::MAX));
    let mut random = Random(u64::from(choice));
    assert_eq!(events(Box::new(move || 1 + random.below(300))), whole, "in pieces: {data:02x?}");
    let (mut out, mut from) = (history.to_vec(), 0);
    for event in whole {
        let (literals, length, distance) = match event {
            Event::Match { literals, length, distance } => (literals as usize, length as usize, distance as usize),
            Event::End { literals } => (literals as usize, 0, 1),
            Event::NeedInput => unreachable!(),
        };
        out.extend_from_slice(&input[from..from + literals]);
        assert!(distance <= params.window_bytes as usize && length <= params.length_max as usize);
        for _ in 0..length {
            out.push(out[out.len() - distance]);
        }
        from += literals + length;
    }
    assert!(out == data, "events do not stand for the data: {data:02x?}");
}

/// Our blocks are read by lz4_flex and by ours, and theirs by ours.
fn block(data: &[u8], effort: Effort) {
    let mut finder = Box::new(Finder::new());
    let mut packed = vec![0; lz4::bound(data.len() as u64) as usize];
    let len = lz4::compress_block(&mut finder, lz4::params(32_768, effort), data, &mut packed).expect("room for any block");
    assert!(lz4_flex::block::decompress(&packed[..len], data.len()).expect("a good block") == data, "{data:02x?}");
    for packed in [&packed[..len], &lz4_flex::block::compress(data)] {
        let mut out = vec![0; data.len()];
        assert_eq!(lz4::decompress_block(packed, &mut out), Ok(data.len()), "{data:02x?}");
        assert!(out == data, "{data:02x?}");
    }
}

/// Any bytes as a block: no panic, no write past the room, and lz4_flex's verdict where it has one.
fn foreign(bytes: &[u8]) {
    const ROOM: usize = 1 << 16;
    let mut out = vec![0; ROOM];
    let ours = lz4::decompress_block(bytes, &mut out);
    let mut theirs = vec![0; ROOM];
    match (ours, lz4_flex::block::decompress_into(bytes, &mut theirs)) {
        (Ok(len), Ok(other)) => assert!(len == other && out[..len] == theirs[..len], "{bytes:02x?}"),
        (Ok(_), Err(error)) => panic!("{error:?} for a block that ours takes: {bytes:02x?}"),
        // lz4_flex takes a block that ends behind a match, which has no last sequence of literals.
        (Err(BlockError::Truncated), Ok(_)) | (Err(_), Err(_)) => {}
        (Err(error), Ok(_)) => panic!("{error:?} for a block that lz4_flex takes: {bytes:02x?}"),
    }
}
