//! Hardware errors on the target: injected through the part's own registers under load, answered by a controller reset through the platform's
//! service, or by none where the class says so.
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
    use firmware_apps::SvcSystem;
    use target_tests::check;
    use target_tests::session::number_of;
    use target_tests::user::{self, RawQueue, await_words, board, deflate, hold, leave, memory, set_word, word};
    use uacce_abi::{Attribute, Errno, Kernel, NodeIndex, QpContext};
    use zip_spec::Completion;

    const PAGE: u64 = 4096;
    const BYTES: u64 = 4 * PAGE;
    /// Requests in flight per queue.
    const IN_FLIGHT: u64 = 32;
    /// Words of the board, one per process from each on.
    pub const BUSY: usize = 0;
    pub const GOOD: usize = 8;
    pub const SENT: usize = 16;
    pub const ENDED: usize = 24;
    pub const CUT: usize = 32;
    pub const GO: usize = 40;
    /// 1: nobody may be stopped.
    pub const UNDISTURBED: usize = 48;

    fn good(completion: Completion) -> u64 {
        check!(completion.status.is_good(), completion.status.0);
        completion.produced.into()
    }

    /// One queue kept full.
    struct Load {
        queue: RawQueue,
        source: u64,
        output: u64,
        sent: u64,
        ended: u64,
    }

    impl Load {
        fn new(number: u64, source: u64, output: u64) -> Self {
            let queue = RawQueue::open_on(NodeIndex(number as u32 & 0xff), QpContext::COMPRESS);
            Self { queue, source, output, sent: 0, ended: 0 }
        }

        /// One step; false once the kernel has said that nothing more comes.
        fn step(&mut self) -> bool {
            let (no_more_submissions, no_more_completions) = self.queue.stop_words();
            if no_more_completions {
                check!(no_more_submissions);
                return false;
            }
            if !no_more_submissions && self.sent - self.ended < IN_FLIGHT {
                self.queue.put(&deflate(self.source, BYTES, self.output, 2 * BYTES, self.sent));
                self.queue.ring();
                self.sent += 1;
            }
            if let Some(completion) = self.queue.take() {
                // In order, and each once.
                check!(completion.tag == self.ended, completion.tag);
                good(completion);
                self.ended += 1;
            }
            true
        }
    }

    /// A hundred requests, there and back, with the right data.
    fn hundred_good(number: u64, source: u64, packed: u64, output: u64) {
        let node = NodeIndex(number as u32 & 0xff);
        let mut there = RawQueue::open_on(node, QpContext::COMPRESS);
        let mut back = RawQueue::open_on(node, QpContext::DECOMPRESS);
        for round in 0..50 {
            let seed = number << 16 | round;
            user::fill(source, BYTES, seed);
            let produced = good(there.run(&deflate(source, BYTES, packed, 2 * BYTES, seed)));
            good(back.run(&deflate(packed, produced, output, BYTES, seed)));
            check!(user::holds(output, BYTES, seed), round);
        }
        check!(there.close().is_ok());
        check!(back.close().is_ok());
    }

    /// Two queues under load until they are taken out of service, then good requests on new ones; again and again, each time at the test's word.
    pub extern "C" fn user_of(number: u64) -> ! {
        let me = (number >> 8) as usize;
        let (source, packed, output) = (memory(BYTES), memory(2 * BYTES), memory(BYTES));
        let second = memory(2 * BYTES);
        for episode in 1.. {
            user::fill(source, BYTES, episode);
            let mut loads = [Load::new(number, source, packed), Load::new(number, source, second)];
            let mut lives = [true; 2];
            while lives.iter().any(|lives| *lives) {
                for (load, lives) in loads.iter_mut().zip(&mut lives) {
                    *lives = *lives && load.step();
                }
                let ended: u64 = loads.iter().map(|load| load.ended).sum();
                set_word(ENDED + me, ended);
                if ended >= 100 {
                    set_word(BUSY + me, 1);
                }
                if word(UNDISTURBED) != 0 && ended >= word(UNDISTURBED) {
                    check!(lives == [true; 2]);
                    set_word(GOOD + me, 1);
                    await_words(GO..GO + 1, episode);
                }
            }
            let of = |what: fn(&Load) -> u64| loads.iter().map(what).sum::<u64>();
            set_word(SENT + me, of(|load| load.sent));
            set_word(ENDED + me, of(|load| load.ended));
            set_word(CUT + me, of(|load| load.sent - load.ended));
            for load in loads {
                check!(load.queue.close().is_ok());
            }
            hundred_good(number, source, packed, output);
            set_word(GOOD + me, episode);
            await_words(GO..GO + 1, episode);
        }
        hold()
    }

    /// Has every queue of a function once: the kernel keeps their memory from then on.
    pub extern "C" fn has_each_queue_once(number: u64) -> ! {
        for _ in 0..64 {
            check!(RawQueue::open_on(NodeIndex(number as u32 & 0xff), QpContext::COMPRESS).close().is_ok());
        }
        leave()
    }

    /// Asks for a queue, which it must not get; then, at the test's word, for good ones.
    pub extern "C" fn refused(number: u64) -> ! {
        let node = NodeIndex(number as u32 & 0xff);
        let isolated = |value: u64| check!(number_of(node, Attribute::Isolate) == value);
        check!(SvcSystem.open_node(node) == Err(Errno::ENODEV));
        isolated(1);
        set_word(BUSY, 1);
        await_words(GO..GO + 1, 1);
        isolated(0);
        let (source, packed, output) = (memory(BYTES), memory(2 * BYTES), memory(BYTES));
        hundred_good(number, source, packed, output);
        set_word(GOOD, 1);
        hold()
    }

    /// Sleeps in poll() on a queue whose request cannot end, until the kernel has news.
    pub extern "C" fn sleeper(number: u64) -> ! {
        let queue = RawQueue::open_on(NodeIndex(number as u32 & 0xff), QpContext::COMPRESS);
        board(BUSY).store(1, core::sync::atomic::Ordering::Release);
        let mut entries = [uacce_abi::PollFd::new(queue.fd)];
        check!(SvcSystem.poll(&mut entries, 30_000_000_000) == Ok(1));
        check!(queue.stop_words() == (true, true));
        set_word(GOOD, 1);
        hold()
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 90)]
mod plain {
    use super::programs as p;
    use alloc::vec::Vec;
    use firmware_kernel::{
        AcceleratorReport, ErrorSource, QmError, ResetStep, controller_reset, enable_virtual, free_frames, inject_errors, with_qm,
    };
    use qm_spec::{QmVersion, RAS, RAS_ALL, RasMasks};
    use target_tests::vendor::{ResetFault, set_reset_fault};
    use target_tests::{Board, accelerator, start_kernel};
    use zip_spec::error_mask;

    /// The physical function, and the first of two virtual ones.
    fn two_functions() -> [AcceleratorReport; 2] {
        let physical = accelerator(&start_kernel()).clone();
        let functions = enable_virtual(physical.index, 2).expect("virtual functions");
        let functions: Vec<_> = functions.into_iter().map(|function| function.expect("a function")).collect();
        [physical, functions[0].clone()]
    }

    fn number(function: &AcceleratorReport, place: usize) -> u64 {
        u64::from(function.node.expect("a node").0) | (place as u64) << 8
    }

    fn free_queues(functions: &[AcceleratorReport; 2]) -> [Option<u32>; 2] {
        functions.each_ref().map(|function| with_qm(function.index, |qm| qm.available()))
    }

    /// Errors that demand a reset, one after the other, each under the load of four queues, two processes, two functions.
    fn each_resets(source: ErrorSource, errors: u32) {
        let functions = two_functions();
        let free = free_queues(&functions);
        let board = Board::new();
        for (place, function) in functions.iter().enumerate() {
            board.run(board.start("each queue", p::has_each_queue_once, number(function, place)));
            board.start("user", p::user_of, number(function, place));
        }
        let mut frames = None;
        for (episode, bit) in (0..32).filter(|bit| errors >> bit & 1 == 1).enumerate() {
            for place in 0..2 {
                board.set(p::BUSY + place, 0);
                board.set(p::GOOD + place, 0);
            }
            board.set(p::GO, episode as u64);
            board.run_until(p::BUSY..p::BUSY + 2);
            assert!(inject_errors(functions[0].index, source, 1 << bit));
            board.run_until(p::GOOD..p::GOOD + 2);
            for place in 0..2 {
                let [sent, ended, cut] = [p::SENT, p::ENDED, p::CUT].map(|word| board.word(word + place));
                assert_eq!(sent, ended + cut, "bit {bit}");
                assert!(ended >= 100 && cut <= 64, "bit {bit}: {ended} ended, {cut} cut off");
            }
            assert_eq!(free_queues(&functions), free, "bit {bit}: every queue came back");
            let now = free_frames();
            assert_eq!(*frames.get_or_insert(now), now, "bit {bit}: every page came back");
        }
    }

    #[test]
    fn qm_r03_every_queue_manager_error_that_demands_a_reset_is_recovered_under_load() {
        each_resets(ErrorSource::QueueManager, RasMasks::of(QmVersion::V3).reset);
    }

    #[test]
    fn qm_r03_every_engine_error_that_demands_a_reset_is_recovered_under_load() {
        each_resets(ErrorSource::Engine, 0x7fe);
    }

    #[test]
    fn qm_r11_errors_of_other_classes_stop_nobody() {
        let functions = two_functions();
        let board = Board::new();
        for (place, function) in functions.iter().enumerate() {
            board.start("user", p::user_of, number(function, place));
        }
        board.run_until(p::BUSY..p::BUSY + 2);
        let harmless = RAS_ALL & !RasMasks::of(QmVersion::V3).reset;
        assert!(harmless & RAS::ECC_1BIT::SET.value != 0 && harmless & RAS::DB_RANDOM_INVALID::SET.value != 0);
        assert!(inject_errors(functions[0].index, ErrorSource::QueueManager, harmless));
        assert!(inject_errors(functions[0].index, ErrorSource::Engine, error_mask::ALL & !0x7fe));
        board.set(p::UNDISTURBED, 1000 + board.word(p::ENDED).max(board.word(p::ENDED + 1)));
        board.run_until(p::GOOD..p::GOOD + 2);
        let interrupts = with_qm(functions[0].index, |qm| qm.statistics().abnormal_interrupts).expect("it is there");
        assert!(interrupts >= 1, "the error was told");
    }

    #[test]
    fn qm_r01_ua_p06_a_platform_that_fails_isolates_until_a_reset_works() {
        fails_then_works(ResetFault::Fails, QmError::Unsupported);
    }

    #[test]
    fn qm_r01_ua_p06_a_platform_that_hangs_isolates_until_a_reset_works() {
        fails_then_works(ResetFault::NeverEnds, QmError::DrainTimedOut);
    }

    fn fails_then_works(fault: ResetFault, error: QmError) {
        let functions = two_functions();
        let index = functions[0].index;
        let free = free_queues(&functions);
        set_reset_fault(fault);
        let failure = controller_reset(index).expect_err("the platform does not reset");
        assert_eq!((failure.step, failure.error), (ResetStep::Platform, error));
        assert_eq!(free_queues(&functions)[0], Some(0), "no queue is handed out");
        let board = Board::new();
        board.start("refused", p::refused, number(&functions[0], 0));
        board.run_until(p::BUSY..p::BUSY + 1);
        set_reset_fault(ResetFault::None);
        let reset = controller_reset(index).expect("a second reset works");
        assert_eq!((reset.cancelled, reset.silent_vfs & !0b110), (0, 0));
        assert_eq!(free_queues(&functions), free);
        board.set(p::GO, 1);
        board.run_until(p::GOOD..p::GOOD + 1);
    }

    #[test]
    fn a_reset_wakes_who_sleeps_in_poll() {
        let functions = two_functions();
        let board = Board::new();
        board.start("sleeper", p::sleeper, number(&functions[1], 0));
        board.run_until(p::BUSY..p::BUSY + 1);
        assert!(inject_errors(functions[0].index, ErrorSource::QueueManager, RAS::ECC_MBIT::SET.value));
        board.run_until(p::GOOD..p::GOOD + 1);
    }
}
