//! Virtual functions on the target: each with its own stream, queues and node; what happens to one is nothing to the others.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

#[cfg(target_os = "none")]
extern crate alloc;

/// What runs at EL0. A process's number is its function's node, and its own place on the board from bit 8 on.
#[cfg(target_os = "none")]
mod programs {
    use core::sync::atomic::Ordering;

    use firmware_apps::SvcSystem;
    use hal::Barriers;
    use qm_spec::{Arm, Doorbell, DoorbellLayout};
    use target_tests::check;
    use target_tests::pattern::Random;
    use target_tests::user::{self, DOORBELL, RawQueue, board, deflate, give_way, hold, leave, memory, set_word, store, word};
    use uacce_abi::{NodeIndex, QpContext};
    use zip_spec::Completion;

    pub const PAGE: u64 = 4096;
    pub const BYTES: u64 = 4 * PAGE;
    pub const FUNCTIONS: usize = 8;
    /// Words of the board, one per process from each on.
    pub const DONE: usize = 0;
    pub const ROUNDS: usize = 16;
    pub const STOPPED: usize = 32;
    pub const ATTACKS: usize = 48;
    pub const GO: usize = 64;
    /// Completions per function when the first had enough.
    pub const SHARES: usize = 80;
    /// How many rounds the workers run.
    pub const LAST_ROUND: usize = 65;

    fn node(number: u64) -> NodeIndex {
        NodeIndex(number as u32 & 0xff)
    }

    fn good(completion: Completion) -> u64 {
        check!(completion.status.is_good(), completion.status.0);
        completion.produced.into()
    }

    /// A function's queues and a process's memory.
    struct Worker {
        there: RawQueue,
        back: RawQueue,
        source: u64,
        packed: u64,
        output: u64,
    }

    impl Worker {
        fn new(number: u64) -> Self {
            let there = RawQueue::open_on(node(number), QpContext::COMPRESS);
            let back = RawQueue::open_on(node(number), QpContext::DECOMPRESS);
            Self { there, back, source: memory(BYTES), packed: memory(2 * BYTES), output: memory(BYTES) }
        }

        /// Data there and back again.
        fn round(&mut self, seed: u64) {
            user::fill(self.source, BYTES, seed);
            let completion = self.there.run(&deflate(self.source, BYTES, self.packed, 2 * BYTES, seed));
            check!(completion.consumed as u64 == BYTES, completion.consumed);
            let produced = good(completion);
            good(self.back.run(&deflate(self.packed, produced, self.output, BYTES, seed)));
            check!(user::holds(self.output, BYTES, seed), seed);
        }
    }

    /// Runs its rounds and keeps what it has.
    pub extern "C" fn worker(number: u64) -> ! {
        let me = (number >> 8) as usize;
        let mut worker = Worker::new(number);
        set_word(GO + 1 + me, 1);
        let mut round = 1;
        while round <= word(LAST_ROUND) {
            worker.round(number << 32 | round);
            set_word(ROUNDS + me, round);
            round += 1;
        }
        set_word(DONE + me, 1);
        hold()
    }

    /// As a worker, and goes away.
    pub extern "C" fn visitor(number: u64) -> ! {
        let mut worker = Worker::new(number);
        worker.round(number);
        set_word(DONE + (number >> 8) as usize, 1);
        leave()
    }

    /// Keeps its queue full until that is taken out of service, then starts anew with another one.
    pub extern "C" fn victim(number: u64) -> ! {
        let me = (number >> 8) as usize;
        let mut worker = Worker::new(number);
        user::fill(worker.source, BYTES, 7);
        let (mut sent, mut received) = (0_u64, 0_u64);
        loop {
            let (submissions_end, completions_end) = worker.there.stop_words();
            if completions_end {
                check!(submissions_end);
                break;
            }
            if !submissions_end && sent - received < 64 {
                worker.there.put(&deflate(worker.source, BYTES, worker.packed, 2 * BYTES, sent));
                worker.there.ring();
                sent += 1;
            }
            if let Some(completion) = worker.there.take() {
                // In order, each once.
                check!(completion.tag == received, completion.tag);
                good(completion);
                received += 1;
                set_word(ROUNDS + me, received);
            }
        }
        set_word(STOPPED + me, 1 + sent - received);
        check!(worker.there.close().is_ok());
        check!(worker.back.close().is_ok());
        Worker::new(number).round(number);
        set_word(DONE + me, 1);
        hold()
    }

    /// Rings what it should not, in its own page, for as long as the others work.
    pub extern "C" fn hostile(number: u64) -> ! {
        let me = (number >> 8) as usize;
        let mut random = Random(number);
        while word(DONE) == 0 {
            let queue = RawQueue::open_on(node(number), QpContext::COMPRESS);
            for _ in 0..64 {
                let foreign = random.below(1024) as u16;
                let words = [
                    Doorbell::sq(foreign, random.number() as u16).encode(DoorbellLayout::V2),
                    Doorbell::cq(foreign, random.number() as u16, Arm::NextEvent).encode(DoorbellLayout::V2),
                    random.number(),
                    Doorbell::sq(queue.number, random.number() as u16 | 0x400).encode(DoorbellLayout::V2),
                ];
                for word in words {
                    store(queue.mmio + DOORBELL, word);
                }
                store(queue.mmio + random.below(RawQueue::MMIO_BYTES / 8) * 8, random.number());
                board(ATTACKS + me).fetch_add(5, Ordering::Relaxed);
            }
            check!(queue.close().is_ok());
            give_way();
        }
        set_word(DONE + me, 1);
        hold()
    }

    /// Fills one queue of each of eight functions, waits for the start, and counts who got how much when the first has had `GOAL`.
    pub extern "C" fn referee(_: u64) -> ! {
        const ENTRIES: u64 = 1000;
        const GOAL: u64 = 950;
        let (source, output) = (memory(PAGE), memory(2 * PAGE));
        user::fill(source, PAGE, 1);
        user::touch(output, 2 * PAGE);
        let mut queues: [RawQueue; FUNCTIONS] = core::array::from_fn(|index| {
            let mut queue = RawQueue::open_on(NodeIndex(1 + index as u32), QpContext::COMPRESS);
            // What the kernel keeps is touched before the race.
            good(queue.run(&deflate(source, PAGE, output, 2 * PAGE, 0)));
            for tag in 1..=ENTRIES {
                queue.put(&deflate(source, PAGE, output, 2 * PAGE, tag));
            }
            queue
        });
        set_word(DONE + 1, 1);
        while word(GO) == 0 {
            give_way();
        }
        SvcSystem.dma_wmb();
        for queue in &mut queues {
            queue.ring();
        }
        set_word(DONE + 2, 1);
        let mut had = [0_u64; FUNCTIONS];
        while had.iter().all(|count| *count < GOAL) {
            for (queue, count) in queues.iter_mut().zip(&mut had) {
                while let Some(completion) = queue.take() {
                    good(completion);
                    *count += 1;
                }
            }
        }
        for (index, count) in had.iter().enumerate() {
            set_word(SHARES + index, *count);
        }
        set_word(DONE, 1);
        hold()
    }
}

#[cfg(target_os = "none")]
mod help {
    use alloc::vec::Vec;

    use firmware_kernel::{AcceleratorReport, enable_virtual};
    use target_tests::accelerator;

    /// Brings the kernel up with so many virtual functions.
    pub fn start_with(vfs: u16) -> (AcceleratorReport, Vec<AcceleratorReport>) {
        let report = target_tests::start_kernel();
        let physical = accelerator(&report).clone();
        let functions = enable_virtual(physical.index, vfs).expect("virtual functions");
        (physical, functions.into_iter().map(|function| function.expect("a function")).collect())
    }

    /// The number of a process on a function's node.
    pub fn number(function: &AcceleratorReport, place: usize) -> u64 {
        u64::from(function.node.expect("a node").0) | (place as u64) << 8
    }
}

/// What holds on a machine with stalls and on one with page requests.
#[cfg(target_os = "none")]
mod shared {
    use super::help::{number, start_with};
    use super::programs as p;
    use alloc::vec::Vec;
    use firmware_kernel::{function_reset, with_core};
    use hal::{AccessKind, Iova, StreamId, SubstreamId};
    use target_tests::board::space;
    use target_tests::{Board, vendor};

    pub fn eight_functions_run_jobs_at_once() {
        let (physical, functions) = start_with(8);
        assert_eq!(functions.len(), 8);
        for (index, function) in functions.iter().enumerate() {
            assert_eq!(function.stream, StreamId(physical.stream.0 + 1 + index as u32));
            assert_eq!((function.queues, function.free_queues, function.algorithms), (64, 64, physical.algorithms));
            assert_ne!(function.node, physical.node);
        }
        let board = Board::new();
        board.set(p::LAST_ROUND, 20);
        let mut workers = Vec::new();
        for (place, function) in core::iter::once(&physical).chain(&functions).enumerate() {
            workers.push(board.start("worker", p::worker, number(function, place)));
        }
        board.run_until(p::DONE..p::DONE + 9);
        // A process that works on one function cannot be reached through another.
        for (own, worker) in workers.iter().enumerate() {
            let all: Vec<_> = core::iter::once(&physical).chain(&functions).collect();
            let substream = with_core(|core, _| core.substream(all[own].node.expect("a node"), space(*worker))).expect("bound");
            for (other, function) in all.iter().enumerate() {
                let answer = vendor::translate(function.stream, Some(substream), Iova(0x1000), AccessKind::Read);
                // Its own table has nothing there, and says so by a stall; the others' have no such process.
                assert_eq!(matches!(answer, vendor::Answer::Stalled(_)), own == other, "process {own}, function {other}: {answer:?}");
            }
        }
        // The monitor sees functions of both kinds while they work.
        assert_eq!([physical.index, functions[3].index, 99].map(firmware_kernel::dump), [true, true, false]);
        let unknown = vendor::translate(StreamId(functions[7].stream.0 + 1), Some(SubstreamId(1)), Iova(0x1000), AccessKind::Read);
        assert_eq!(unknown, vendor::Answer::Abort, "a function that is not enabled");
    }

    pub fn a_reset_and_a_hostile_function_disturb_no_other() {
        let (_, functions) = start_with(8);
        let board = Board::new();
        board.set(p::LAST_ROUND, 40);
        for (place, function) in functions.iter().enumerate().take(6) {
            board.start("worker", p::worker, number(function, place + 1));
        }
        board.start("hostile", p::hostile, number(&functions[6], 7));
        board.start("victim", p::victim, number(&functions[7], 8));
        // In the middle of everybody's work, one function is reset; and again.
        board.run_until(p::ROUNDS + 1..p::ROUNDS + 7);
        board.run_until(p::ROUNDS + 8..p::ROUNDS + 9);
        function_reset(functions[7].index).expect("a function-level reset");
        board.run_until(p::STOPPED + 8..p::STOPPED + 9);
        board.run_until(p::DONE + 8..p::DONE + 9);
        board.run_until(p::DONE + 1..p::DONE + 7);
        board.set(p::DONE, 1);
        board.run_until(p::DONE + 7..p::DONE + 8);
        assert!(board.word(p::ATTACKS + 7) >= 320, "{} attacks", board.word(p::ATTACKS + 7));
        for place in 1..7 {
            assert_eq!(board.word(p::ROUNDS + place), 40);
        }
        // The victim's requests ended once each: completed, or cut off and told so.
        assert!(board.word(p::STOPPED + 8) >= 1);
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod plain {
    use super::help::number;
    use super::programs as p;
    use alloc::vec::Vec;
    use firmware_kernel::{AcceleratorError, QmError, disable_virtual, enable_virtual, with_qm};
    use target_tests::{Board, accelerator, start_kernel};

    #[test]
    fn qm_v01_eight_functions_run_jobs_at_once_each_on_its_own_stream() {
        super::shared::eight_functions_run_jobs_at_once();
    }

    #[test]
    fn qm_r08_a_reset_and_a_hostile_function_disturb_no_other() {
        super::shared::a_reset_and_a_hostile_function_disturb_no_other();
    }

    #[test]
    fn qm_v04_functions_come_and_go() {
        let report = start_kernel();
        let index = accelerator(&report).index;
        let free = || firmware_kernel::with_qm(index, |qm| qm.available());
        let before = free();
        assert_eq!(enable_virtual(index, 12).err(), Some(AcceleratorError::NoFunction), "the frame has no vectors for a twelfth");
        let board = Board::new();
        for round in 0..3 {
            let functions = enable_virtual(index, 2 + round).expect("virtual functions");
            let functions: Vec<_> = functions.into_iter().map(|function| function.expect("a function")).collect();
            assert_eq!(enable_virtual(index, 2).err(), Some(AcceleratorError::Qm(QmError::VfsEnabled)));
            for (place, function) in functions.iter().enumerate() {
                board.set(p::DONE + place, 0);
                board.run(board.start("visitor", p::visitor, number(function, place)));
                assert_eq!(board.word(p::DONE + place), 1);
                assert_eq!(with_qm(function.index, |qm| qm.available()), Some(64), "every queue came back");
            }
            disable_virtual(index).expect("nobody uses them");
            assert_eq!(free(), before);
        }
        let functions = enable_virtual(index, 1).expect("a virtual function");
        let function = functions.into_iter().next().and_then(Result::ok).expect("a function");
        board.set(p::DONE, 0);
        board.start("worker", p::worker, number(&function, 0));
        board.run_until(p::DONE..p::DONE + 1);
        assert_eq!(disable_virtual(index), Err(AcceleratorError::Qm(QmError::VfsBusy)), "a queue is open");
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 120)]
mod on_1p1_icount {
    use super::help::start_with;
    use super::programs as p;
    use firmware_kernel::with_qm;
    use target_tests::{Board, vendor};

    #[test]
    fn qm_v05_functions_with_work_share_the_engine_by_quality_of_service() {
        const QUALITY: [u16; 8] = [1000, 800, 600, 400, 300, 200, 150, 100];
        let (physical, functions) = start_with(8);
        for (index, quality) in QUALITY.into_iter().enumerate() {
            with_qm(physical.index, |qm| qm.set_qos(index as u16 + 1, quality)).expect("it is there").expect("a quality");
        }
        assert_eq!(functions.len(), 8);
        let board = Board::new();
        let referee = board.start("referee", p::referee, 0);
        board.run_until(p::DONE + 1..p::DONE + 2);
        vendor::set_engine(false);
        board.set(p::GO, 1);
        board.run_until(p::DONE + 2..p::DONE + 3);
        vendor::set_engine(true);
        board.run_until(p::DONE..p::DONE + 1);
        let _ = referee;
        let shares: [u64; 8] = core::array::from_fn(|index| board.word(p::SHARES + index));
        let all: u64 = shares.iter().sum();
        let sum: u64 = QUALITY.iter().map(|quality| u64::from(*quality)).sum();
        firmware_kernel::print_line(format_args!("quality {QUALITY:?}, requests {shares:?} of {all}"));
        for (quality, share) in QUALITY.into_iter().zip(shares) {
            let due = all * u64::from(quality);
            let is = share * sum;
            assert!(is.abs_diff(due) * 10 <= due, "quality {quality}: {share} of {all}, {shares:?}");
        }
    }
}

/// The functions keep translations of their own and ask for pages by the physical function's PRI.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_atspri {
    use firmware_kernel::page_request_counters;

    #[test]
    fn qm_v01_eight_functions_run_jobs_at_once_each_on_its_own_stream() {
        super::shared::eight_functions_run_jobs_at_once();
        let counters = page_request_counters();
        assert!(counters.requests > 9 * 4, "every function met pages that were not there: {counters:?}");
    }

    #[test]
    fn qm_r08_a_reset_and_a_hostile_function_disturb_no_other() {
        super::shared::a_reset_and_a_hostile_function_disturb_no_other();
    }
}
