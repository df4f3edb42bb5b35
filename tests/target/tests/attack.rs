//! A hostile process on revision 0x30: what it can do to the doorbell page of its queue, and what its death at any moment leaves behind.
//!
//! Built with `SOC_LONG` set, the suite runs its long forms: 200 values per offset, 2,000 deaths.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

/// What runs at EL0.
#[cfg(target_os = "none")]
mod programs {
    use firmware_apps::SvcSystem;
    use hal::RegisterWindow;
    use hal_aarch64::MmioWindow;
    use hal_aarch64::pmu::{self, Instructions};
    use qm_spec::{Arm, Doorbell, DoorbellLayout};
    use target_tests::check;
    use target_tests::pattern::Random;
    use target_tests::user::{self, FREE_AT, RawQueue, deflate, give_way, hold, leave, load, memory, set_word, word};
    use uacce_abi::{Call, Kernel, NodeIndex, QpContext};

    const IS_LONG: bool = option_env!("SOC_LONG").is_some();
    /// Values that every offset of the page takes.
    const VALUES: u64 = if IS_LONG { 200 } else { 2 };
    /// Deaths.
    pub const DEATHS: u64 = if IS_LONG { 2000 } else { 60 };

    const PAGE: u64 = 4096;
    const BYTES: u64 = 2 * PAGE;
    /// Offsets that are attacked between two rounds of the others.
    const BATCH: u64 = 64;
    /// Workers beside the attacker.
    pub const WORKERS: usize = 3;
    /// Rounds that a worker runs before anybody attacks.
    const QUIET_ROUNDS: u64 = 64;
    /// Rounds that every worker runs under attack, at least.
    pub const ATTACKED_ROUNDS: u64 = 256;

    /// Words of the board: per worker, then the attacker's.
    pub const READY: usize = 0;
    pub const HASH: usize = 8;
    pub const QUIET: usize = 16;
    pub const ATTACKED: usize = 24;
    pub const ROUNDS: usize = 32;
    pub const DONE: usize = 40;
    pub const STORES: usize = 48;
    pub const REPLACED: usize = 49;
    pub const ATTACK: usize = 50;
    pub const OVER: usize = 51;

    /// Requests that the doomed one keeps in flight per queue.
    const IN_FLIGHT: u64 = 48;
    /// Words of the board in the test of deaths.
    pub const REQUESTS: usize = 64;

    fn hash(at: u64, len_bytes: u64) -> u64 {
        (0..len_bytes / 8).fold(0xcbf2_9ce4_8422_2325, |hash, index| (hash ^ load(at + 8 * index)).wrapping_mul(0x0000_0100_0000_01b3))
    }

    /// Runs known requests and holds each result against the first; leaves the mean cost of a round with and without an attacker.
    pub extern "C" fn worker(who: u64) -> ! {
        let me = who as usize;
        let mut queue = RawQueue::compressing();
        let (source, output) = (memory(BYTES), memory(2 * BYTES));
        user::fill(source, BYTES, who);
        user::touch(output, 2 * BYTES);
        let mut round = |tag: u64| -> (u64, Instructions) {
            let before = pmu::instructions();
            let completion = queue.run(&deflate(source, BYTES, output, 2 * BYTES, tag));
            let spent = pmu::instructions().since(before);
            check!(completion.status.is_good(), completion.status.0);
            (hash(output, u64::from(completion.produced) & !7), spent)
        };
        let (known, _) = round(0);
        set_word(HASH + me, known);
        let mut costs = [0_u64; 2];
        let mut rounds = [0_u64; 2];
        let mut tag = 1;
        while word(OVER) == 0 {
            let under_attack = usize::from(word(ATTACK) != 0);
            let (found, spent) = round(tag);
            check!(found == known, tag);
            costs[under_attack] += spent.el0 + spent.el1 + spent.el2;
            rounds[under_attack] += 1;
            tag += 1;
            set_word(ROUNDS + me, rounds[1]);
            if rounds[0] == QUIET_ROUNDS {
                set_word(READY + me, 1);
            }
            give_way();
        }
        set_word(QUIET + me, costs[0] / rounds[0]);
        set_word(ATTACKED + me, costs[1] / rounds[1].max(1));
        set_word(DONE + me, 1);
        hold()
    }

    /// Stores to every offset of its page, with 4 and with 8 bytes: foreign numbers, positions past the depth, anything. Begins
    /// again until the others have had their rounds: a process that stores has no more time than they.
    pub extern "C" fn attacker(_: u64) -> ! {
        user::await_words(READY..READY + WORKERS, 1);
        set_word(ATTACK, 1);
        let mut random = Random(1);
        let (mut stores, mut replaced) = (0_u64, 0_u64);
        let mut queue = RawQueue::compressing();
        loop {
            for first in (0..RawQueue::MMIO_BYTES / 4).step_by(BATCH as usize) {
                // SAFETY: the queue's own doorbell page, mapped for this process until the queue is closed, which the window does not outlive.
                let page = unsafe { MmioWindow::new(queue.mmio as usize, RawQueue::MMIO_BYTES) };
                for offset in (first..first + BATCH).map(|index| 4 * index) {
                    for _ in 0..VALUES {
                        let value = match random.below(5) {
                            0 => Doorbell::sq(random.below(1024) as u16, random.number() as u16).encode(DoorbellLayout::V2),
                            1 => Doorbell::cq(random.below(1024) as u16, random.number() as u16, Arm::NextEvent).encode(DoorbellLayout::V2),
                            2 => Doorbell::sq(queue.number, random.number() as u16 | 0x400).encode(DoorbellLayout::V2),
                            3 => Doorbell::cq(queue.number, random.number() as u16 | 0x400, Arm::No).encode(DoorbellLayout::V2),
                            _ => random.number(),
                        };
                        page.write32(offset, value as u32);
                        stores += 1;
                        if offset.is_multiple_of(8) {
                            page.write64(offset, value);
                            stores += 1;
                        }
                    }
                }
                // Once its own queue is stopped nothing that it rings counts any more: it takes another one.
                if queue.stop_words() != (false, false) {
                    replaced += 1;
                    check!(queue.close().is_ok());
                    queue = RawQueue::compressing();
                }
                give_way();
            }
            if (ROUNDS..ROUNDS + WORKERS).all(|rounds| word(rounds) >= ATTACKED_ROUNDS) {
                break;
            }
        }
        set_word(STORES, stores);
        set_word(REPLACED, replaced);
        set_word(OVER, 1);
        hold()
    }

    /// Keeps two queues full of requests over memory that nobody has touched, and memory that is not there.
    pub extern "C" fn doomed(seed: u64) -> ! {
        let mut random = Random(seed);
        let mut queues = [QpContext::COMPRESS, QpContext::DECOMPRESS].map(|direction| RawQueue::open_on(NodeIndex(0), direction));
        let (source, lent) = (memory(64 * PAGE), FREE_AT);
        let mut tag = 0;
        let mut in_flight = [0_u64; 2];
        loop {
            for (queue, in_flight) in queues.iter_mut().zip(&mut in_flight) {
                for _ in 0..random.below(16).min(IN_FLIGHT - *in_flight) {
                    let from = source + random.below(48) * PAGE;
                    let to = match random.below(4) {
                        0 => lent + random.below(8) * PAGE,
                        1 => 0x1000,
                        _ => source + random.below(48) * PAGE,
                    };
                    queue.put(&deflate(from, (1 + random.below(16)) * PAGE, to, (1 + random.below(8)) * PAGE, tag));
                    tag += 1;
                    *in_flight += 1;
                }
                queue.ring();
                for _ in 0..random.below(64) {
                    *in_flight -= u64::from(queue.take().is_some());
                }
            }
            set_word(REQUESTS, tag);
            if random.below(8) == 0 && in_flight[0] < IN_FLIGHT {
                // Afresh: new memory whose pages the device meets first.
                let fresh = memory(16 * PAGE);
                in_flight[0] += 1;
                queues[0].put(&deflate(fresh, 8 * PAGE, fresh + 8 * PAGE, 8 * PAGE, tag));
                queues[0].ring();
            }
        }
    }

    /// Has a queue for a moment, as whoever comes next.
    pub extern "C" fn next(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (source, output) = (memory(PAGE), memory(2 * PAGE));
        user::fill(source, PAGE, 3);
        check!(queue.run(&deflate(source, PAGE, output, 2 * PAGE, 1)).status.is_good());
        check!(queue.close().is_ok());
        leave()
    }

    /// Ends at once.
    pub extern "C" fn moment(_: u64) -> ! {
        SvcSystem.invoke(Call::Yield);
        leave()
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 900)]
mod on_rev30_1p0_icount {
    use super::programs as p;
    use firmware_kernel::{print_line, set_tick, with_qm};
    use hal_aarch64::pmu;
    use target_tests::{Board, start_kernel};

    #[test]
    fn qm_d05_whatever_a_process_stores_to_its_doorbell_page_is_its_own_loss() {
        start_kernel();
        set_tick(false);
        pmu::start();
        let board = Board::new();
        for who in 0..p::WORKERS {
            board.start("worker", p::worker, who as u64);
        }
        board.start("attacker", p::attacker, 0);
        board.run_until(p::DONE..p::DONE + p::WORKERS);
        let (stores, replaced) = (board.word(p::STORES), board.word(p::REPLACED));
        print_line(format_args!("{stores} stores, own queue stopped {replaced} times"));
        assert!(stores >= 3 * 8192 * 2, "{stores}");
        assert!(replaced >= 1, "no store hit the attacker's own queue");
        for who in 0..p::WORKERS {
            let [quiet, attacked, rounds] = [p::QUIET, p::ATTACKED, p::ROUNDS].map(|word| board.word(word + who));
            print_line(format_args!("worker {who}: {quiet} instructions per request, {attacked} under attack in {rounds} rounds"));
            assert!(rounds >= p::ATTACKED_ROUNDS && attacked <= 2 * quiet, "worker {who}: {quiet}, {attacked} under attack");
        }
        // Nothing of it was an error of the device.
        let resets_needed = with_qm(0, |qm| qm.handle_abnormal().needs_reset).expect("it is there");
        assert_eq!(resets_needed, 0);
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 2400)]
mod on_1p1_icount {
    use core::time::Duration;

    use super::programs as p;
    use firmware_kerncore::vma::Rights;
    use firmware_kernel::{free_frames, kill, living, print_line, run_until_exit, set_quantum, with_qm};
    use firmware_platform::trace::Counter;
    use hal::DmaBuffer;
    use target_tests::board::{frames, lend_frames};
    use target_tests::pattern::{self, Random};
    use target_tests::user::FREE_AT;
    use target_tests::{Board, start_kernel, vendor};

    const NORMAL: Duration = Duration::from_millis(10);

    #[test]
    fn ua_l6_a_process_that_dies_at_any_point_leaves_nothing_behind() {
        start_kernel();
        let board = Board::new();
        let free_queues = || with_qm(0, |qm| qm.available()).expect("it is there");
        let lent = frames(8 * 4096, 4096);
        let queues = free_queues();
        let mut random = Random(8);
        let (mut frames_left, mut requests) = (None, 0);
        for death in 0..p::DEATHS {
            board.set(p::REQUESTS, 0);
            let doomed = board.start("doomed", p::doomed, death);
            lend_frames(doomed, FREE_AT, &lent, Rights::ReadWrite);
            // It runs until its time is up, which is at any point of what it does; then the next process ends, and with it our wait.
            set_quantum(Duration::from_micros(50 + random.below(4000)));
            let moment = board.start("moment", p::moment, 0);
            run_until_exit(moment).expect("it ends");
            set_quantum(NORMAL);
            kill(doomed).expect("it lives");
            assert!(living().is_empty());
            requests += board.word(p::REQUESTS);
            // Poison where it let the device write: it stays.
            for index in 0..lent.len_bytes() / 8 {
                lent.write64(index * 8, pattern::word(death, index as u64));
            }
            assert_eq!(free_queues(), queues, "death {death}");
            board.run(board.start("next", p::next, 0));
            assert!(
                (0..lent.len_bytes() / 8).all(|index| lent.read64(index * 8) == pattern::word(death, index as u64)),
                "death {death}: DMA"
            );
            // Queue numbers go round, and each keeps its rings' memory: after a turn nothing may be lost.
            if death * 3 >= 2 * u64::from(queues) {
                // But for the tables of context descriptors, 64 KiB for each 1,024 PASIDs, which go round as well.
                let tables = 16 * (2 * (death as usize + 1) / 1024);
                let (was, now) = (*frames_left.get_or_insert(free_frames()), free_frames());
                assert!(now <= was && now + tables >= was, "death {death}: {was} frames were free, {now} are");
            }
        }
        assert_eq!(vendor::counter(Counter::Jobs), vendor::counter(Counter::JobsDone));
        let (stalls, resumes) = (vendor::counter(Counter::Stalls), vendor::counter(Counter::Resumes));
        print_line(format_args!("{} deaths, {requests} requests, {stalls} stalls, {resumes} resumed", p::DEATHS));
        assert!(requests > 10 * p::DEATHS && stalls > p::DEATHS, "{requests} requests, {stalls} stalls");
    }
}
