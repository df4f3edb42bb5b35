//! One table from one interleaved run: a hit at a port of the model, a hit of the crate `smmu`, a full walk of the model, a naive walk, and the
//! same reads without a walker; then misses of a model whose caches are warm.
//!
//! Everybody does every round, in an order that rotates and turns round; figures are medians of the rounds in CPU time of the thread. Every
//! answer is compared with where the page lies. Floors are ratios of this run, those of the walks and of two threads of its best rounds; a missed
//! one fails.

mod machine;
mod naive;
mod peer;

use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::sync::Barrier;

use cpu_time::ThreadTime;
use machine::{LINES, MOST, Memory, NoLines, PAGES, STRTAB, address, output, read, read_page};
use naive::{Naive, reads_only};
use peer::Peer;
use smmu_model::{MicroTlb, Policy, Ports, SmmuModel, Translated};
use spin::mutex::SpinMutex;

const USAGE: &str = "cargo bench [-- [--rounds N]]
cargo bench -- --instructions
    instructions per translation over the PASID counts; needs valgrind
cargo bench -- --once hit|walk|naive|reads|miss COUNT
    what --instructions counts: the function `measured`";

/// PASIDs of the three set-ups.
const COUNTS: [u32; 3] = [1, 1_000, MOST];
/// Translations of one measurement.
const BATCH: u64 = 1 << 17;
/// Instructions that a hit and a full walk may take, the loop and the comparison of the answer included.
const MOST_FOR_A_HIT: f64 = 70.0;
const MOST_FOR_A_WALK: f64 = 190.0;
/// What a walk may take of the naive walker's time.
const MOST_OF_NAIVE: f64 = 0.4;
/// Translations that are counted as instructions.
const COUNTED: u64 = 10_000;

/// Everybody's work for one PASID count: one translation each.
struct Setup {
    order: Vec<u32>,
    mem: Memory,
    ports: &'static Ports,
    sticky: Box<SmmuModel>,
    walker: Box<SmmuModel>,
    port: Box<MicroTlb<'static, LINES>>,
    naive: Naive,
    peer: Option<Peer>,
}

impl Setup {
    fn new(count: u32, with_peer: bool) -> Self {
        let mut mem = machine::memory();
        let ports: &'static Ports = Box::leak(Box::new(Ports::new()));
        let mut sticky = machine::model(Policy::Sticky, &mut mem);
        sticky.attach(ports);
        let mut walker = machine::model(Policy::AlwaysMiss, &mut mem);
        let naive = machine::naive(&mut walker);
        let port = machine::port(count, ports, &mut sticky, &mut mem);
        // Every PASID in turn, in an order that no prefetcher knows; of equal length for all counts.
        let mut order: Vec<u32> = (0..MOST).map(|i| i % count).collect();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for i in (1..order.len()).rev() {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            order.swap(i, (state >> 33) as usize % (i + 1));
        }
        Self { order, mem, ports, sticky, walker, port, naive, peer: with_peer.then(|| Peer::new(count)) }
    }
}

/// Runs `translations` and compares every answer; returns nanoseconds for each.
#[inline(never)]
fn measured(order: &[u32], translations: u64, mut translate: impl FnMut(u32, u64) -> u64) -> f64 {
    let start = ThreadTime::now();
    let (mut left, mut wrong) = (translations, 0);
    while left > 0 {
        let now = left.min(order.len() as u64);
        for ssid in &order[..now as usize] {
            let va = address(*ssid);
            wrong |= translate(*ssid, va) ^ output(va);
        }
        left -= now;
    }
    let elapsed = start.elapsed();
    assert_eq!(wrong, 0, "bits of answers");
    elapsed.as_nanos() as f64 / translations as f64
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Hit,
    PeerHit,
    Walk,
    Naive,
    Reads,
    /// A miss of the model with everything but the page in its caches, on the pages of SubstreamID 0.
    Miss,
}

const ALL: usize = 6;
const EVERYBODY: [Who; ALL] = [Who::Hit, Who::PeerHit, Who::Walk, Who::Naive, Who::Reads, Who::Miss];

/// What stands for no answer.
const NOTHING: u64 = u64::MAX;

/// The address of an answer, if the other parts are right.
#[inline(always)]
fn whole<E>(answer: Result<Translated, E>) -> u64 {
    match answer {
        Ok(Translated { pa, attributes: 0xff, shareability: 3 }) => pa.0,
        _ => NOTHING,
    }
}

fn run(who: Who, s: &mut Setup, translations: u64) -> f64 {
    let Setup { order, mem, port, sticky, walker, naive, peer, .. } = s;
    match who {
        Who::Hit => measured(order, translations, |ssid, va| port.hit(&read(ssid, va), |to| to.pa.0).unwrap_or(NOTHING)),
        Who::PeerHit => {
            let peer = peer.as_ref().expect("set up");
            measured(order, translations, |ssid, va| peer.translate(ssid, va).unwrap_or(NOTHING))
        }
        Who::Walk => measured(order, translations, |ssid, va| whole(walker.translate(read(ssid, va), mem, &mut NoLines))),
        Who::Naive => measured(order, translations, |ssid, va| whole(naive.translate(&read(ssid, va), mem))),
        // Read every time: nothing but the address tells the compiler that the STE may have changed.
        Who::Reads => measured(order, translations, |ssid, va| reads_only(black_box(STRTAB), &read(ssid, va), mem).unwrap_or(NOTHING)),
        Who::Miss => {
            let before = sticky.counters();
            let mut i = 0;
            let figure = measured(order, translations, |_, va| {
                let (tx, expected) = read_page(i);
                i += 1;
                // The address that everybody else asks for stands for the right one.
                whole(sticky.translate(tx, mem, &mut NoLines)) ^ expected ^ output(va)
            });
            let after = sticky.counters();
            assert_eq!(after.walks - before.walks, translations, "every one is a miss");
            assert!(after.cd_fetches - before.cd_fetches <= 1, "with its configuration warm");
            figure
        }
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Interleaved rounds of everybody; the first round warms up. Every other round goes backwards, and every measurement follows upon the same work
/// unmeasured, so that nobody pays for what the one before has pushed out of the caches.
fn rounds(n: usize, s: &mut Setup) -> [Vec<f64>; ALL] {
    let mut figures = [const { Vec::new() }; ALL];
    for round in 0..=n {
        for turn in 0..ALL {
            let turn = if round % 2 == 0 { turn } else { ALL - 1 - turn };
            let who = (turn + round) % ALL;
            run(EVERYBODY[who], s, 2 * u64::from(MOST));
            let figure = run(EVERYBODY[who], s, BATCH);
            if round > 0 {
                figures[who].push(figure);
            }
        }
    }
    figures
}

fn best(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::MAX, f64::min)
}

/// The same by two threads that begin together: nanoseconds of the slower one.
fn together(first: impl FnOnce() -> f64, second: impl FnOnce() -> f64 + Send) -> f64 {
    let start = &Barrier::new(2);
    std::thread::scope(|scope| {
        let second = scope.spawn(move || {
            start.wait();
            second()
        });
        start.wait();
        first().max(second.join().expect("the other thread"))
    })
}

/// Two threads, each at a port of its own: nanoseconds of the slower one, beside those of one thread alone. The best of many short rounds that
/// alternate: what ports do to each other they do in every round, and what else the machine has to do only adds.
fn two_at_ports(n: usize, count: u32, s: &mut Setup) -> (f64, f64) {
    let mut other = machine::port(count, s.ports, &mut s.sticky, &mut s.mem);
    let (order, port) = (&s.order, &mut s.port);
    let hits = |port: &mut MicroTlb<'static, LINES>| {
        measured(order, 2 * BATCH, |ssid, va| port.hit(&read(ssid, va), |to| to.pa.0).unwrap_or(NOTHING))
    };
    let (mut alone, mut both) = (Vec::new(), Vec::new());
    for _ in 0..4 * n {
        alone.push(hits(port));
        both.push(together(|| hits(port), || hits(&mut other)));
    }
    (best(&alone), best(&both))
}

/// Medians of the same for full walks. The model is one, behind a lock, as in the firmware: of two threads one waits.
fn two_walkers(n: usize, s: &mut Setup) -> (f64, f64) {
    let (order, shared) = (&s.order, &SpinMutex::<_>::new((&mut s.walker, &mut s.mem)));
    let walks = || {
        measured(order, 2 * BATCH, |ssid, va| {
            let (walker, mem) = &mut *shared.lock();
            whole(walker.translate(read(ssid, va), *mem, &mut NoLines))
        })
    };
    let (alone, both) = (0..n).map(|_| (walks(), together(walks, walks))).unzip();
    (median(alone), median(both))
}

/// Prints a floor and whether it holds.
fn floor(what: &str, ratio: f64, holds: bool, wanted: &str) -> bool {
    println!("  {what:<58} {ratio:>7.2}   {wanted:<8} {}", if holds { "ok" } else { "MISSED" });
    holds
}

fn table(n: usize) -> bool {
    println!("ns per translation, medians of {n} interleaved rounds of {BATCH}, every PASID in turn in random order\n");
    println!(
        "{:>8} {:>9} {:>12} {:>10} {:>11} {:>11} {:>10} {:>22} {:>13}",
        "PASIDs", "port hit", "crate's hit", "full walk", "naive walk", "reads only", "warm miss", "two threads each: hit", "walk"
    );
    let mut results = Vec::new();
    for count in COUNTS {
        let mut s = Setup::new(count, true);
        let figures = rounds(n, &mut s);
        // What other programs push out of the larger caches in some rounds is nobody's.
        let ratio = best(&figures[Who::Walk as usize]) / best(&figures[Who::Naive as usize]);
        let [hit, peer, walk, naive, reads, miss] = figures.map(median);
        let (alone, both) = two_at_ports(n, count, &mut s);
        let (one, two) = two_walkers(n, &mut s);
        print!("{count:>8} {hit:>9.1} {peer:>12.1} {walk:>10.1} {naive:>11.1} {reads:>11.1} {miss:>10.1}");
        println!(" {both:>16.1} ({alone:.1}) {two:>6.1} ({one:.1})");
        results.push((count, peer / hit, ratio, [naive, reads, miss], both / alone));
    }
    println!();
    let mut all = true;
    for (count, hit, walk, [naive, reads, miss], threads) in results {
        let wanted = if count == MOST { 3.0 } else { 8.0 };
        all &= floor(&format!("{count} PASIDs: crate's hit / port hit"), hit, hit >= wanted, &format!(">= {wanted:.1}"));
        let what = format!("{count} PASIDs: full walk / naive walk, best rounds");
        all &= floor(&what, walk, walk <= MOST_OF_NAIVE, &format!("<= {MOST_OF_NAIVE:.2}"));
        println!("  {:<58} {:>7.2}   what memory takes", format!("{count} PASIDs: reads only / naive walk"), reads / naive);
        println!("  {:<58} {:>7.2}   {PAGES} pages of one PASID", format!("{count} PASIDs: warm miss / naive walk"), miss / naive);
        all &= floor(&format!("{count} PASIDs: hit of two threads each / of one"), threads, threads <= 1.3, "<= 1.30");
    }
    all
}

/// Instructions of one translation, by valgrind.
fn instructions(what: &str, count: u32) -> f64 {
    let program = std::env::current_exe().expect("this program");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--toggle-collect=*measured*", "--callgrind-out-file=/dev/null"]);
    let output = valgrind.arg(program).args(["--once", what, &count.to_string()]).output().expect("valgrind");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let collected = text.lines().find_map(|line| line.split("Collected :").nth(1)).and_then(|n| n.trim().parse::<f64>().ok());
    collected.expect("a count") / COUNTED as f64
}

fn flat() -> bool {
    let mut all = true;
    for what in ["hit", "walk"] {
        let figures = COUNTS.map(|count| instructions(what, count));
        println!("instructions per {what} at {COUNTS:?} PASIDs: {figures:.1?}");
        let (least, most) = figures.iter().fold((f64::MAX, 0.0_f64), |(a, b), f| (a.min(*f), b.max(*f)));
        let bound = if what == "hit" { MOST_FOR_A_HIT } else { MOST_FOR_A_WALK };
        all &= floor(&format!("{what}: the most"), most, most <= bound, &format!("<= {bound}"));
        all &= floor(&format!("{what}: most / least"), most / least, most / least <= 1.1, "<= 1.10");
    }
    let [naive, reads, miss] = ["naive", "reads", "miss"].map(|what| instructions(what, 1));
    println!("instructions with 1 PASID: naive walk {naive:.1}, reads only {reads:.1}, warm miss {miss:.1}");
    all
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let holds = match words[..] {
        [] => table(16),
        ["--rounds", n] => table(n.parse::<usize>().expect("a number").max(1)),
        ["--instructions"] => flat(),
        ["--once", what, count] => {
            let mut s = Setup::new(count.parse().expect("a number"), false);
            let who = match what {
                "hit" => Who::Hit,
                "walk" => Who::Walk,
                "reads" => Who::Reads,
                "miss" => Who::Miss,
                _ => Who::Naive,
            };
            run(who, &mut s, COUNTED);
            true
        }
        _ => {
            eprintln!("{USAGE}");
            false
        }
    };
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
