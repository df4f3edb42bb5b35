//! The seeded loop: for so many seconds, inputs made for each body by turns. A run is repeated by its seed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zip_fuzz::data::{Random, structured};
use zip_fuzz::judges::zlib_encode;
use zip_fuzz::round_trip::{self, NamedJudge};
use zip_fuzz::{BODIES, deflate as deflate_body};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| match words.get(at) {
        None => default,
        Some(word) => word.parse().unwrap_or_else(|_| {
            eprintln!("error: {word:?} is no number");
            std::process::exit(2)
        }),
    };
    if words.first().is_some_and(|word| word == "--round-trips") {
        let count = number(1, 2000);
        let judges = deflate_body::named();
        let judges: Vec<NamedJudge<'_>> = judges.iter().map(|(name, judge)| (*name, judge as _)).collect();
        let start = Instant::now();
        round_trip::run(count, 1, 200_000, &judges);
        let levels = round_trip::levels().each().len();
        println!("{count} buffers at {levels} levels in 3 framings: decoded by zlib, libdeflate and ours, {} s", start.elapsed().as_secs());
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs());
    let (seconds, seed) = (number(0, 60), number(1, now));
    println!("fuzzing for {seconds} s, seed {seed}");
    let (start, mut rounds) = (Instant::now(), [0u64; BODIES.len()]);
    let mut random = Random(seed);
    while start.elapsed() < Duration::from_secs(seconds) {
        for (count, (name, body)) in rounds.iter_mut().zip(BODIES) {
            let turn_seed = random.next();
            let data = input_for(name, &mut Random(turn_seed));
            let result = std::panic::catch_unwind(|| body(&data));
            if result.is_err() {
                eprintln!("error: body {name} failed in round {count} of seed {seed} ({} bytes of input)", data.len());
                std::process::exit(1);
            }
            *count += 1;
        }
    }
    let counts: Vec<String> = BODIES.iter().zip(rounds).map(|((name, _), count)| format!("{name} {count}")).collect();
    println!("no difference: {} inputs", counts.join(", "));
}

/// Something that reaches deep into a body.
fn input_for(name: &str, random: &mut Random) -> Vec<u8> {
    match name {
        "inflate" => [vec![random.next() as u8], stream(random)].concat(),
        "deflate" => [random.next().to_le_bytes().to_vec(), structured(random, 60_000)].concat(),
        "sequences" => {
            let data = if random.below(4) == 0 { lz4_like(random) } else { structured(random, 60_000) };
            [vec![random.next() as u8], data].concat()
        }
        "state" => {
            let damage = random.below(4) * 3;
            [random.next().to_le_bytes().to_vec(), random.bytes(damage)].concat()
        }
        _ => {
            let mut data = random.bytes(129);
            data.extend(if random.below(2) == 0 { stream(random) } else { structured(random, 20_000) });
            data
        }
    }
}

/// A stream of some encoder, damaged or not, or a made-up beginning of one; sometimes behind a header that is not the chosen framing's.
fn stream(random: &mut Random) -> Vec<u8> {
    let data = {
        let longest = random.one_of(&[300, 5000, 60_000]);
        structured(random, longest)
    };
    let mut stream = match random.below(4) {
        0 => dynamic_header(random),
        1 => {
            let mut context = Box::new(deflate::Deflate::new());
            let raw = deflate::Params::new(deflate::Framing::Raw);
            round_trip::compress(&mut *context, &data, raw, || usize::MAX, || usize::MAX)
        }
        _ => zlib_encode(&data, random.below(10) as u32),
    };
    for _ in 0..random.below(4) {
        if stream.is_empty() {
            break;
        }
        // Half of the damage near the front, where the code lengths are.
        let range = if random.below(2) == 0 { stream.len().min(100) } else { stream.len() };
        let at = random.below(range);
        stream[at] ^= 1 << random.below(8);
    }
    if random.below(8) == 0 {
        stream.truncate(random.below(stream.len() + 1));
    }
    let adler = deflate::checksum::adler32(deflate::checksum::ADLER32_INIT, &data);
    let crc = deflate::checksum::crc32(deflate::checksum::CRC32_INIT, &data);
    match random.below(3) {
        0 => stream,
        1 => [&deflate::zlib::ZLIB_HEADER[..], &stream, &adler.to_be_bytes(), &[0x55]].concat(),
        _ => [&gzip_header(random), &stream[..], &crc.to_le_bytes(), &(data.len() as u32).to_le_bytes(), &[0xaa; 3]].concat(),
    }
}

/// A gzip header with some of its fields.
fn gzip_header(random: &mut Random) -> Vec<u8> {
    let flags = if random.below(2) == 0 { 0 } else { random.below(64) as u8 };
    let mut header = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
    if flags & 4 != 0 {
        let len = random.below(40);
        header.extend((len as u16).to_le_bytes());
        header.extend(random.bytes(len));
    }
    for field in [8, 16] {
        if flags & field != 0 {
            header.extend(std::iter::repeat_n(b'n', random.below(30)));
            header.push(0);
        }
    }
    if flags & 2 != 0 {
        let crc = deflate::checksum::crc32(deflate::checksum::CRC32_INIT, &header) as u16;
        header.extend((crc ^ u16::from(random.below(4) == 0)).to_le_bytes());
    }
    header
}

/// The header of a dynamic block with lengths that are likely to be a code, and noise behind it.
fn dynamic_header(random: &mut Random) -> Vec<u8> {
    let (mut bytes, mut held, mut count) = (Vec::new(), 0u64, 0);
    let mut put = |value: u64, bits: u32, bytes: &mut Vec<u8>| {
        held |= value << count;
        count += bits;
        while count >= 8 {
            bytes.push(held as u8);
            held >>= 8;
            count -= 8;
        }
    };
    put(0b101, 3, &mut bytes);
    put(random.below(32) as u64, 5, &mut bytes);
    put(random.below(31) as u64, 5, &mut bytes);
    let hclen = 4 + random.below(16);
    put(hclen as u64 - 4, 4, &mut bytes);
    let shape = random.below(4);
    for _ in 0..hclen {
        let length = match shape {
            0 => [0, 0, 0, 1, 2, 3, 3][random.below(7)],
            1 => [0, 2, 2, 3][random.below(4)],
            2 => [0, 0, 0, 0, 1][random.below(5)],
            _ => random.below(8) as u64,
        };
        put(length, 3, &mut bytes);
    }
    let tail = random.below(200);
    bytes.extend(if random.below(3) == 0 { vec![0; tail] } else { random.bytes(tail) });
    bytes
}

/// Sequences as an LZ4 block has them, most of them possible.
fn lz4_like(random: &mut Random) -> Vec<u8> {
    let mut block = Vec::new();
    for _ in 0..random.below(60) {
        let literals = random.below(20);
        block.push((literals.min(15) << 4 | random.below(16)) as u8);
        if literals >= 15 {
            block.push((literals - 15) as u8);
        }
        block.extend(random.bytes(literals));
        block.extend((1 + random.below(60) as u16).to_le_bytes());
        if block.len() % 3 == 0 {
            block.push(random.next() as u8);
        }
    }
    block.extend([0x20, 1, 2]);
    block
}
