//! One table from one interleaved run: ours beside the others.
//!
//! Every peer does every request once per round, in an order that rotates from round to round; the figure is the median of the rounds in CPU time
//! of the thread. `random` is left out of totals and means. Streams to decode are zlib's at level 6.

mod data;
mod peers;

use data::File;
use peers::{Decode, DecodeQueue, Encode, Peer};
use std::hint::black_box;

const USAGE: &str =
    "cargo bench [-- [--short] [--rounds N] [--only inflate|queue|deflate|checksum] [--file NAME] [--files] [--peer NAME]...]
cargo bench -- --instructions inflate|deflate|crc32|adler32 --peer NAME [--request BYTES] [--file NAME] [--short]
    runs the work once in the function `measured`, for: valgrind --tool=callgrind --toggle-collect='*measured*'
cargo bench -- --write-streams DIR
    writes zlib's streams at level 6 of the first 256 KiB of each file, and of 16 requests of 4 KiB, for the codec's bench on the target
--short     256 KiB of each file and 3 rounds instead of all and 5
--files     a line per file too
CORPUS_DIR  where the files are (default ../shared/corpus beside the workspace)";

/// Sizes of requests; 0 is the whole file.
const REQUESTS: [usize; 3] = [0, 64 << 10, 4 << 10];

/// Sizes of requests of which several are queued.
const QUEUED_REQUESTS: [usize; 3] = [64 << 10, 16 << 10, 4 << 10];

/// What the command line asks for.
struct Options {
    short: bool,
    rounds: usize,
    only: Option<String>,
    file: Option<String>,
    per_file: bool,
    peers: Vec<String>,
    instructions: Option<String>,
    request: usize,
    write_streams: Option<String>,
}

fn options() -> Options {
    let mut options = Options {
        short: false,
        rounds: 0,
        only: None,
        file: None,
        per_file: false,
        peers: Vec::new(),
        instructions: None,
        request: 0,
        write_streams: None,
    };
    let mut words = std::env::args().skip(1);
    let usage = || -> ! {
        eprintln!("{USAGE}");
        std::process::exit(2)
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| usage());
        match word.as_str() {
            // What cargo adds.
            "--bench" => {}
            "--short" => options.short = true,
            "--files" => options.per_file = true,
            "--rounds" => options.rounds = value().parse().unwrap_or_else(|_| usage()),
            "--only" => options.only = Some(value()),
            "--file" => options.file = Some(value()),
            "--peer" => options.peers.push(value()),
            "--instructions" => options.instructions = Some(value()),
            "--write-streams" => options.write_streams = Some(value()),
            "--request" => options.request = value().parse().unwrap_or_else(|_| usage()),
            _ => usage(),
        }
    }
    if options.rounds == 0 {
        options.rounds = if options.short { 3 } else { 5 };
    }
    options
}

/// Nanoseconds of CPU time of this thread.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn median(mut times: Vec<u64>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2] as f64
}

/// Cuts a file into requests.
fn requests(bytes: &[u8], request: usize) -> Vec<&[u8]> {
    bytes.chunks(if request == 0 { bytes.len().max(1) } else { request }).collect()
}

/// What one peer did with one file.
#[derive(Clone, Copy)]
struct Cell {
    plain: f64,
    packed: f64,
    nanoseconds: f64,
}

/// Prints a line per peer: MB/s of plain bytes over the whole set, the ratio, and the geometric mean over the files of the speed against the first peer.
fn print_lines(title: &str, names: &[&str], files: &[&File], cells: &[Vec<Cell>], per_file: bool) {
    println!("\n{title}");
    println!("{:<16} {:>9} {:>8} {:>10} {:>15}", "", "MB/s", "ratio", "vs first", "worst..best");
    let counted: Vec<usize> = (0..files.len()).filter(|&file| files[file].name != "random").collect();
    for (peer, name) in names.iter().enumerate() {
        let sum = |pick: fn(&Cell) -> f64| counted.iter().map(|&file| pick(&cells[file][peer])).sum::<f64>();
        let speeds: Vec<f64> = counted.iter().map(|&file| cells[file][0].nanoseconds / cells[file][peer].nanoseconds).collect();
        let mean = (speeds.iter().map(|speed| speed.ln()).sum::<f64>() / speeds.len() as f64).exp();
        let worst = speeds.iter().copied().fold(f64::MAX, f64::min);
        let best = speeds.iter().copied().fold(0.0, f64::max);
        let plain = sum(|cell| cell.plain);
        let speed = plain / sum(|cell| cell.nanoseconds) * 1000.0;
        println!("{name:<16} {speed:>9.0} {:>8.3} {mean:>10.3} {worst:>8.2}..{best:.2}", plain / sum(|cell| cell.packed));
    }
    for (file, cells) in files.iter().zip(cells).filter(|(file, _)| per_file || file.name == "random") {
        print!("  {:<12}", file.name);
        for (cell, name) in cells.iter().zip(names) {
            print!(" {name} {:.0} ({:.3})", cell.plain / cell.nanoseconds * 1000.0, cell.plain / cell.packed);
        }
        println!();
    }
}

/// Runs every peer over every request of a file, `rounds` times, interleaved; returns the medians.
fn measure<F>(peers: &mut [Peer<F>], rounds: usize, mut work: impl FnMut(&mut F)) -> Vec<f64> {
    let mut times = vec![Vec::new(); peers.len()];
    for round in 0..rounds + 1 {
        for turn in 0..peers.len() {
            let peer = (turn + round) % peers.len();
            let start = now();
            work(&mut peers[peer].run);
            // The first round warms up.
            if round > 0 {
                times[peer].push(now() - start);
            }
        }
    }
    times.into_iter().map(median).collect()
}

fn inflate_table(files: &[&File], request: usize, peers: &mut [Peer<Decode>], options: &Options) {
    let mut zlib = peers::reference_encoder(6);
    let mut cells = Vec::new();
    for file in files {
        let (plain, streams) = packed(file, request, &mut zlib);
        let mut output = vec![0; plain.iter().map(|request| request.len()).max().unwrap_or(0)];
        let times = measure(peers, options.rounds, |decode| {
            for (plain, stream) in plain.iter().zip(&streams) {
                let produced = decode(black_box(stream), &mut output[..plain.len()]);
                assert_eq!(produced, plain.len());
            }
        });
        for peer in peers.iter_mut() {
            for (plain, stream) in plain.iter().zip(&streams) {
                output.fill(0);
                (peer.run)(stream, &mut output[..plain.len()]);
                assert!(output[..plain.len()] == **plain, "{} decodes {} wrongly", peer.name, file.name);
            }
        }
        let packed = streams.iter().map(Vec::len).sum::<usize>() as f64;
        cells.push(times.iter().map(|&nanoseconds| Cell { plain: file.bytes.len() as f64, packed, nanoseconds }).collect());
    }
    let names: Vec<&str> = peers.iter().map(|peer| peer.name).collect();
    print_lines(&format!("inflate, {}, streams of zlib -6", request_name(request)), &names, files, &cells, options.per_file);
}

/// Queued requests: each has an output of its own.
fn queue_table(files: &[&File], request: usize, peers: &mut [Peer<DecodeQueue>], options: &Options) {
    let mut zlib = peers::reference_encoder(6);
    let mut cells = Vec::new();
    for file in files {
        let (_, streams) = packed(file, request, &mut zlib);
        let mut output = vec![0; file.bytes.len()];
        let times = measure(peers, options.rounds, |decode| decode(black_box(&streams), output.chunks_mut(request).collect()));
        for peer in peers.iter_mut() {
            output.fill(0);
            (peer.run)(&streams, output.chunks_mut(request).collect());
            assert!(output == file.bytes, "{} decodes {} wrongly", peer.name, file.name);
        }
        let packed = streams.iter().map(Vec::len).sum::<usize>() as f64;
        cells.push(times.iter().map(|&nanoseconds| Cell { plain: file.bytes.len() as f64, packed, nanoseconds }).collect());
    }
    let names: Vec<&str> = peers.iter().map(|peer| peer.name).collect();
    print_lines(&format!("inflate, queued {}, streams of zlib -6", request_name(request)), &names, files, &cells, options.per_file);
}

fn packed<'a>(file: &'a File, request: usize, encode: &mut Encode) -> (Vec<&'a [u8]>, Vec<Vec<u8>>) {
    let plain = requests(&file.bytes, request);
    let streams = plain
        .iter()
        .map(|plain| {
            let mut stream = vec![0; plain.len() + plain.len() / 8 + 1024];
            let len = encode(plain, &mut stream);
            stream.truncate(len);
            stream
        })
        .collect();
    (plain, streams)
}

fn deflate_table(files: &[&File], request: usize, peers: &mut [Peer<Encode>], options: &Options) {
    let mut cells = Vec::new();
    for file in files {
        let plain = requests(&file.bytes, request);
        let mut output = vec![0; file.bytes.len() + file.bytes.len() / 8 + 1024];
        let mut produced = vec![0; peers.len()];
        for (peer, produced) in peers.iter_mut().zip(&mut produced) {
            let mut back = vec![0; plain.iter().map(|request| request.len()).max().unwrap_or(0)];
            let mut check = libdeflater::Decompressor::new();
            for plain in &plain {
                let len = (peer.run)(plain, &mut output);
                *produced += len;
                let decoded = check.deflate_decompress(&output[..len], &mut back[..plain.len()]);
                assert!(decoded == Ok(plain.len()) && back[..plain.len()] == **plain, "{} encodes {} wrongly", peer.name, file.name);
            }
        }
        let times = measure(peers, options.rounds, |encode| {
            for plain in &plain {
                black_box(encode(black_box(plain), &mut output));
            }
        });
        let cell = |(&nanoseconds, &packed)| Cell { plain: file.bytes.len() as f64, packed: packed as f64, nanoseconds };
        cells.push(times.iter().zip(&produced).map(cell).collect());
    }
    let names: Vec<&str> = peers.iter().map(|peer| peer.name).collect();
    print_lines(&format!("deflate, {}", request_name(request)), &names, files, &cells, options.per_file);
}

fn checksum_table(options: &Options) {
    let data: Vec<u8> = (0..1u32 << 20).map(|i| (i.wrapping_mul(2654435761) >> 23) as u8).collect();
    println!("\nchecksums, GB/s (1 KiB, 4 KiB, 64 KiB, 1 MiB)");
    for (which, title) in ["CRC-32", "Adler-32"].into_iter().enumerate() {
        let mut peers: Vec<_> = peers::checks()
            .into_iter()
            .map(|(name, checks)| Peer { name, run: checks.into_iter().nth(which).expect("two checks") })
            .collect();
        let mut speeds = vec![Vec::new(); peers.len()];
        for size in [1 << 10, 4 << 10, 64 << 10, 1 << 20] {
            let values: Vec<u32> = peers.iter_mut().map(|peer| (peer.run)(&data[..size])).collect();
            assert!(values.iter().all(|value| *value == values[0]), "{title} differs: {values:x?}");
            let repeats = (8 << 20) / size;
            let times = measure(&mut peers, options.rounds, |check| {
                for _ in 0..repeats {
                    black_box(check(black_box(&data[..size])));
                }
            });
            for (speeds, time) in speeds.iter_mut().zip(times) {
                speeds.push((repeats * size) as f64 / time);
            }
        }
        for (peer, speeds) in peers.iter().zip(&speeds) {
            println!("{title:<9} {:<12} {:>7.1} {:>7.1} {:>7.1} {:>7.1}", peer.name, speeds[0], speeds[1], speeds[2], speeds[3]);
        }
    }
}

fn request_name(request: usize) -> String {
    if request == 0 { "whole files".to_owned() } else { format!("requests of {} KiB", request >> 10) }
}

/// Where callgrind's counting is switched on.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

/// Does the work of one peer once.
fn instructions(what: &str, files: &[&File], options: &Options) {
    let wanted = |name: &str| options.peers.first().map_or(name == "ours" || name == "ours:fastest", |peer| peer == name);
    let mut bytes = 0;
    for file in files {
        let plain = requests(&file.bytes, options.request);
        let mut output = vec![0; file.bytes.len() + file.bytes.len() / 8 + 1024];
        bytes += file.bytes.len();
        match what {
            "inflate" => {
                let (_, streams) = packed(file, options.request, &mut peers::reference_encoder(6));
                for peer in peers::decoders().iter_mut().filter(|peer| wanted(peer.name)) {
                    (peer.run)(&streams[0], &mut output[..plain[0].len()]);
                    measured(&mut || {
                        for (stream, plain) in streams.iter().zip(&plain) {
                            black_box((peer.run)(stream, &mut output[..plain.len()]));
                        }
                    });
                }
            }
            "deflate" => {
                for peer in peers::encoders().iter_mut().filter(|peer| wanted(peer.name)) {
                    (peer.run)(plain[0], &mut output);
                    measured(&mut || {
                        for plain in &plain {
                            black_box((peer.run)(plain, &mut output));
                        }
                    });
                }
            }
            _ => {
                for (_, mut checks) in peers::checks().into_iter().filter(|(name, _)| wanted(name)) {
                    measured(&mut || {
                        for plain in &plain {
                            black_box(checks[usize::from(what == "adler32")](plain));
                        }
                    });
                }
            }
        }
    }
    println!("{bytes} bytes");
}

/// Writes the streams of every file, those of the requests one behind the other.
fn write_streams(directory: &str) -> std::io::Result<()> {
    let mut zlib = peers::reference_encoder(6);
    std::fs::create_dir_all(directory)?;
    for mut file in data::corpus(256 << 10) {
        let (_, whole) = packed(&file, 0, &mut zlib);
        std::fs::write(format!("{directory}/{}.whole", file.name), whole.concat())?;
        file.bytes.truncate(64 << 10);
        let (_, requests) = packed(&file, 4 << 10, &mut zlib);
        std::fs::write(format!("{directory}/{}.4k", file.name), requests.concat())?;
    }
    Ok(())
}

fn main() {
    let options = options();
    if let Some(directory) = &options.write_streams {
        return write_streams(directory).expect("the directory can be written");
    }
    let all = data::corpus(if options.short { 256 << 10 } else { usize::MAX });
    let files: Vec<&File> = all.iter().filter(|file| options.file.as_ref().is_none_or(|name| *name == file.name)).collect();
    if let Some(what) = &options.instructions {
        return instructions(what, &files, &options);
    }
    let asked = |part: &str| options.only.as_ref().is_none_or(|only| only == part);
    if asked("inflate") {
        let mut peers = peers::decoders();
        peers.retain(|peer| options.peers.is_empty() || options.peers.iter().any(|name| name == peer.name));
        for request in REQUESTS {
            inflate_table(&files, request, &mut peers, &options);
        }
    }
    if asked("queue") {
        let mut peers = peers::queue_decoders();
        peers.retain(|peer| options.peers.is_empty() || options.peers.iter().any(|name| name == peer.name));
        for request in QUEUED_REQUESTS {
            queue_table(&files, request, &mut peers, &options);
        }
    }
    if asked("deflate") {
        let mut peers = peers::encoders();
        peers.retain(|peer| options.peers.is_empty() || options.peers.iter().any(|name| name == peer.name));
        for request in REQUESTS {
            deflate_table(&files, request, &mut peers, &options);
        }
    }
    if asked("checksum") {
        checksum_table(&options);
    }
}
