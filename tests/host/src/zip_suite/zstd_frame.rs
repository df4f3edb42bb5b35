//! A Zstandard frame around given literals and sequences, by RFC 8878: literals raw, sequences coded with the predefined tables.
//!
//! It compresses badly and says exactly what the sequences say: what a decoder makes of the frame is what they stand for.

use zip_spec::Sequence;

/// A predefined distribution: counts per code, −1 for "less than one".
struct Predefined {
    log: u32,
    counts: &'static [i32],
}

const LITERAL_LENGTHS: Predefined = Predefined {
    log: 6,
    counts: &[4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1],
};
const MATCH_LENGTHS: Predefined = Predefined {
    log: 6,
    counts: &[
        1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, -1, -1, -1, -1, -1, -1, -1,
    ],
};
const OFFSETS: Predefined =
    Predefined { log: 5, counts: &[1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1] };

/// Base and extra bits of the literal length codes from 16 on (RFC 8878, table 15).
const LITERAL_EXTRA: [(u32, u32); 20] = [
    (16, 1),
    (18, 1),
    (20, 1),
    (22, 1),
    (24, 2),
    (28, 2),
    (32, 3),
    (40, 3),
    (48, 4),
    (64, 6),
    (128, 7),
    (256, 8),
    (512, 9),
    (1024, 10),
    (2048, 11),
    (4096, 12),
    (8192, 13),
    (16_384, 14),
    (32_768, 15),
    (65_536, 16),
];
/// Base and extra bits of the match length codes from 32 on (RFC 8878, table 16).
const MATCH_EXTRA: [(u32, u32); 21] = [
    (35, 1),
    (37, 1),
    (39, 1),
    (41, 1),
    (43, 2),
    (47, 2),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 5),
    (131, 7),
    (259, 8),
    (515, 9),
    (1027, 10),
    (2051, 11),
    (4099, 12),
    (8195, 13),
    (16_387, 14),
    (32_771, 15),
    (65_539, 16),
];

/// One cell of a decoding table.
#[derive(Clone, Copy, Default)]
struct Cell {
    symbol: usize,
    bits: u32,
    base: u32,
}

/// Spreads a distribution over its table (RFC 8878 §4.1.1).
fn table(from: &Predefined) -> Vec<Cell> {
    let size = 1usize << from.log;
    let mut cells = vec![Cell::default(); size];
    let mut high = size;
    for (symbol, _) in from.counts.iter().enumerate().filter(|(_, count)| **count == -1) {
        high -= 1;
        cells[high] = Cell { symbol, bits: from.log, base: 0 };
    }
    let step = (size >> 1) + (size >> 3) + 3;
    let mut at = 0;
    for (symbol, count) in from.counts.iter().enumerate() {
        for _ in 0..(*count).max(0) {
            cells[at].symbol = symbol;
            loop {
                at = (at + step) % size;
                if at < high {
                    break;
                }
            }
        }
    }
    assert_eq!(at, 0);
    let mut next: Vec<u32> = from.counts.iter().map(|count| (*count).max(0) as u32).collect();
    for cell in &mut cells[..high] {
        let number = next[cell.symbol];
        next[cell.symbol] += 1;
        cell.bits = from.log - number.ilog2();
        cell.base = (number << cell.bits) - size as u32;
    }
    cells
}

/// The states that a run of symbols goes through, and the bits read between them.
fn states(cells: &[Cell], symbols: &[usize]) -> (u32, Vec<(u32, u32)>) {
    let of_symbol = |symbol: usize| cells.iter().enumerate().filter(move |(_, cell)| cell.symbol == symbol);
    let mut bits = vec![];
    let mut state = of_symbol(*symbols.last().unwrap()).next().unwrap().0;
    for symbol in symbols.iter().rev().skip(1) {
        let reaches = |cell: &Cell| (cell.base..cell.base + (1 << cell.bits)).contains(&(state as u32));
        let (before, cell) = of_symbol(*symbol).find(|(_, cell)| reaches(cell)).unwrap();
        bits.push((state as u32 - cell.base, cell.bits));
        state = before;
    }
    bits.reverse();
    (state as u32, bits)
}

/// Code, extra value and number of extra bits of a length.
fn length_code(length: u32, plain: u32, first: u32, extra: &[(u32, u32)]) -> (usize, (u32, u32)) {
    if length < extra[0].0 {
        return ((length - plain) as usize, (0, 0));
    }
    let row = extra.iter().rposition(|(base, _)| *base <= length).unwrap();
    (row + first as usize, (length - extra[row].0, extra[row].1))
}

/// The body of a compressed block.
fn compressed_block(literals: &[u8], sequences: &[(u32, Sequence)]) -> Vec<u8> {
    let mut out = vec![];
    let size = literals.len() as u32;
    match size {
        0..32 => out.push((size << 3) as u8),
        32..4096 => out.extend(&(size << 4 | 1 << 2).to_le_bytes()[..2]),
        _ => out.extend(&(size << 4 | 3 << 2).to_le_bytes()[..3]),
    }
    out.extend_from_slice(literals);
    let count = sequences.len() as u32;
    match count {
        0 => {
            out.push(0);
            return out;
        }
        1..128 => out.push(count as u8),
        128..0x7f00 => out.extend([(count >> 8) as u8 + 128, count as u8]),
        _ => {
            out.push(255);
            out.extend(&(count - 0x7f00).to_le_bytes()[..2]);
        }
    }
    out.push(0);

    let literal_codes: Vec<_> = sequences.iter().map(|(literals, _)| length_code(*literals, 0, 16, &LITERAL_EXTRA)).collect();
    let match_codes: Vec<_> = sequences.iter().map(|(_, s)| length_code(u32::from(s.match_length) + 3, 3, 32, &MATCH_EXTRA)).collect();
    let offset_codes: Vec<_> = sequences
        .iter()
        .map(|(_, s)| {
            let code = s.offset.ilog2();
            (code as usize, (s.offset - (1 << code), code))
        })
        .collect();
    let symbols = |codes: &[(usize, (u32, u32))]| -> Vec<usize> { codes.iter().map(|(code, _)| *code).collect() };
    let (literal_state, literal_bits) = states(&table(&LITERAL_LENGTHS), &symbols(&literal_codes));
    let (offset_state, offset_bits) = states(&table(&OFFSETS), &symbols(&offset_codes));
    let (match_state, match_bits) = states(&table(&MATCH_LENGTHS), &symbols(&match_codes));
    // In the order in which a decoder reads.
    let mut read = vec![(literal_state, LITERAL_LENGTHS.log), (offset_state, OFFSETS.log), (match_state, MATCH_LENGTHS.log)];
    for i in 0..sequences.len() {
        read.extend([offset_codes[i].1, match_codes[i].1, literal_codes[i].1]);
        if i + 1 < sequences.len() {
            read.extend([literal_bits[i], match_bits[i], offset_bits[i]]);
        }
    }
    // A decoder reads from the end: the first thing read is written last, and a 1 ends it all.
    let (mut held, mut count) = (0u64, 0);
    for (value, bits) in read.iter().rev().chain(&[(1, 1)]) {
        held |= u64::from(*value) << count;
        count += bits;
        while count >= 8 {
            out.push(held as u8);
            held >>= 8;
            count -= 8;
        }
    }
    if count > 0 {
        out.push(held as u8);
    }
    out
}

/// A block of a frame.
pub enum Block<'b> {
    Sequences { literals: &'b [u8], sequences: &'b [(u32, Sequence)] },
    Raw(&'b [u8]),
}

/// How a block is written: as sequences if that is not longer than the data.
pub fn fits(literals: &[u8], sequences: &[(u32, Sequence)], len: usize) -> bool {
    compressed_block(literals, sequences).len() < len
}

/// A whole frame with a window of 128 KiB, without content size and checksum.
pub fn frame(blocks: &[Block<'_>]) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 7 << 3];
    for (number, block) in blocks.iter().enumerate() {
        let (kind, body) = match block {
            Block::Raw(data) => (0, data.to_vec()),
            Block::Sequences { literals, sequences } => (2, compressed_block(literals, sequences)),
        };
        let header = u32::from(number + 1 == blocks.len()) | kind << 1 | (body.len() as u32) << 3;
        out.extend(&header.to_le_bytes()[..3]);
        out.extend(body);
    }
    out
}

/// Decodes a frame with another's decoder.
pub fn decode(frame: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut out = vec![];
    ruzstd::decoding::StreamingDecoder::new(frame).expect("a frame").read_to_end(&mut out).expect("a good frame");
    out
}

/// Decodes a frame with the `zstd` program, if there is one.
pub fn decode_by_program(frame: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut program =
        Command::new("zstd").args(["-d", "-q", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
    let mut input = program.stdin.take().expect("a pipe");
    let copy = frame.to_vec();
    let feeder = std::thread::spawn(move || input.write_all(&copy));
    let output = program.wait_with_output().expect("it ends");
    feeder.join().expect("no panic").expect("it reads all");
    assert!(output.status.success(), "zstd: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}
