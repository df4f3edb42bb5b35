//! Two engines on one machine, each behind a queue manager of its own: zip, and the dummy, which copies memory and has another queue format.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

#[cfg(target_os = "none")]
extern crate alloc;

/// What runs at EL0.
#[cfg(target_os = "none")]
mod programs {
    use dummy_spec::{Completion, MAX_BYTES, Request, Sqe, Status};
    use firmware_apps::SvcSystem;
    use hal::Iova;
    use target_tests::pattern::Random;
    use target_tests::user::{self, FREE_AT, RawQueue, deflate, fill, give_way, holds, leave, memory, set_word, store, word};
    use target_tests::{check, get};
    use uacce_abi::{Attribute, Errno, Kernel, NodeIndex, PollFd, Protection, VALUE_MAX_BYTES};

    pub const PAGE: u64 = 4096;
    /// The engines' nodes, in the order of their places on the bus.
    pub const ZIP: NodeIndex = NodeIndex(0);
    pub const DUMMY: NodeIndex = NodeIndex(1);

    /// Words of the board.
    pub const BUSY: usize = 0;
    pub const STOPPED: usize = 8;
    pub const DONE: usize = 16;

    fn is(node: NodeIndex, attribute: Attribute, expected: &str) -> bool {
        let mut value = [0; VALUE_MAX_BYTES];
        get!(SvcSystem.attribute(node, attribute, &mut value)).trim_end() == expected
    }

    fn copy(source: u64, destination: u64, len_bytes: u64, tag: u64) -> Sqe {
        Request { source: Iova(source), destination: Iova(destination), len_bytes: len_bytes as u32, tag: tag as u32 }.encode()
    }

    fn submit(queue: &mut RawQueue, sqe: &Sqe) {
        queue.put_words(&sqe.0);
        queue.ring();
    }

    #[track_caller]
    fn finish(queue: &mut RawQueue) -> Completion {
        let mut sqe = Sqe::ZERO;
        queue.wait_words(&mut sqe.0);
        Completion::from(&sqe)
    }

    #[track_caller]
    fn run(queue: &mut RawQueue, sqe: &Sqe) -> Completion {
        submit(queue, sqe);
        finish(queue)
    }

    /// Reads what the second node says of itself, and talks to it in its own format.
    pub extern "C" fn foreigner(_: u64) -> ! {
        check!(is(DUMMY, Attribute::Api, "hisi_dummy_v1") && is(DUMMY, Attribute::Algorithms, "memcpy"));
        check!(is(DUMMY, Attribute::Name, "dummy-1") && is(ZIP, Attribute::Name, "hisi_zip-0") && is(ZIP, Attribute::Api, "hisi_qm_v3"));
        let mut value = [0; VALUE_MAX_BYTES];
        check!(SvcSystem.attribute(NodeIndex(2), Attribute::Api, &mut value) == Err(Errno::ENODEV));

        let fd = get!(SvcSystem.open_node(DUMMY));
        // One algorithm type: what selects decompression elsewhere is nothing here.
        check!(SvcSystem.set_qp_context(fd, 1) == Err(Errno::EINVAL));
        let mut queue = RawQueue::of(fd, 0);
        check!(queue.entry_bytes == 32, queue.entry_bytes);

        // Odd ends on both sides; the destination's pages are met by the engine first.
        let len_bytes = 5 * PAGE + 7;
        let (source, destination) = (memory(6 * PAGE) + 1, memory(7 * PAGE) + 100);
        for at in 0..len_bytes {
            user::store8(source + at, at as u8 ^ (at >> 8) as u8);
        }
        let completion = run(&mut queue, &copy(source, destination, len_bytes, 7));
        check!(completion == Completion { status: Status::COPIED, written_bytes: len_bytes as u32, tag: 7 }, completion.status.0);
        check!((0..len_bytes).all(|at| user::load8(destination + at) == at as u8 ^ (at >> 8) as u8));
        check!(user::load8(destination - 1) == 0 && user::load8(destination + len_bytes) == 0);

        // What is wrong with a request is that request's.
        let nowhere = 0x1000;
        user::memory_at(FREE_AT, PAGE, Protection::ReadWrite);
        let mut unknown = copy(source, destination, 64, 8);
        unknown.0[0] = 2;
        let wrong: [(Sqe, Status, u64); 6] = [
            (unknown, Status::BAD_OPERATION, 0),
            (copy(source, destination, 0, 8), Status::BAD_LENGTH, 0),
            (copy(source, destination, u64::from(MAX_BYTES) + 1, 8), Status::BAD_LENGTH, 0),
            (copy(source, source + 63, 64, 8), Status::BAD_RANGE, 0),
            (copy(nowhere, destination, 64, 8), Status::READ_FAULT, 0),
            // One page is there, and nothing behind it.
            (copy(source, FREE_AT, 2 * PAGE, 8), Status::WRITE_FAULT, PAGE),
        ];
        for (index, (sqe, status, written)) in wrong.iter().enumerate() {
            let completion = run(&mut queue, sqe);
            check!(completion == Completion { status: *status, written_bytes: *written as u32, tag: 8 }, index);
        }
        check!(run(&mut queue, &copy(source, destination, 64, 9)).status.is_good());
        check!(queue.stop_words() == (false, false));

        // A full turn of the ring and more, many at a time.
        let mut sent = 0;
        for received in 0..3000 {
            while sent < 3000 && sent < received + 500 {
                queue.put_words(&copy(source, destination + sent % 512 * 8, 8, sent).0);
                sent += 1;
                if sent % 16 == 0 || sent == 3000 {
                    queue.ring();
                }
            }
            let completion = finish(&mut queue);
            check!(completion.status.is_good() && u64::from(completion.tag) == received, completion.tag);
        }
        check!(queue.close().is_ok());
        leave()
    }

    /// Keeps both engines busy, with requests of each under way while the other's are waited for. The two meet in the data: what one wrote the other
    /// reads, by the same addresses.
    pub extern "C" fn juggler(_: u64) -> ! {
        let mut zip = RawQueue::open_on(ZIP, 0);
        let mut unzip = RawQueue::open_on(ZIP, 1);
        let mut dummy = RawQueue::open_on(DUMMY, 0);
        let bytes = 4 * PAGE;
        let (source, packed, copied, output) = (memory(bytes), memory(2 * bytes), memory(2 * bytes), memory(bytes));
        let (from, to) = (memory(64 * PAGE), memory(64 * PAGE));
        fill(from, 64 * PAGE, 99);
        for round in 1..=24 {
            fill(source, bytes, round);
            // Both at once: neither is waited for before the other has its request.
            submit(&mut dummy, &copy(from, to, 64 * PAGE, 1000 + round));
            let completion = zip.run(&deflate(source, bytes, packed, 2 * bytes, round));
            check!(completion.status.is_good(), completion.status.0);
            let completion_of_copy = finish(&mut dummy);
            check!(completion_of_copy.status.is_good() && u64::from(completion_of_copy.tag) == 1000 + round, completion_of_copy.status.0);
            check!(holds(to, 64 * PAGE, 99));
            // A chain: the copy of what was packed is unpacked.
            let packed_bytes = u64::from(completion.produced);
            check!(run(&mut dummy, &copy(packed, copied, packed_bytes, round)).status.is_good());
            let completion = unzip.run(&deflate(copied, packed_bytes, output, bytes, round));
            check!(completion.status.is_good() && holds(output, bytes, round), completion.status.0);
            for page in (0..64 * PAGE).step_by(PAGE as usize) {
                store(to + page, 0);
            }
        }
        set_word(DONE, 1);
        check!(zip.close().is_ok() && unzip.close().is_ok() && dummy.close().is_ok());
        leave()
    }

    /// Keeps its queue full of copies whose pages nobody has touched, and some that cannot be.
    pub extern "C" fn doomed(seed: u64) -> ! {
        let mut random = Random(seed + 1);
        let mut queue = RawQueue::open_on(DUMMY, 0);
        let (mut in_flight, mut tag) = (0, 0);
        loop {
            let (source, destination) = (memory(32 * PAGE), memory(32 * PAGE));
            for _ in 0..32 {
                let at = random.below(24) * PAGE;
                let to = if random.below(8) == 0 { 0x1000 } else { destination + at };
                queue.put_words(&copy(source + at, to, 8 * PAGE, tag).0);
                in_flight += 1;
                tag += 1;
            }
            queue.ring();
            let mut sqe = Sqe::ZERO;
            while in_flight > 400 {
                in_flight -= u64::from(queue.take_words(&mut sqe.0));
            }
            set_word(BUSY, 1);
        }
    }

    /// Sleeps until its copy is done, again and again.
    pub extern "C" fn sleeper(_: u64) -> ! {
        let mut queue = RawQueue::open_on(DUMMY, 0);
        let (source, destination) = (memory(PAGE), memory(PAGE));
        for tag in 0..20 {
            fill(source, PAGE, tag);
            queue.arm();
            submit(&mut queue, &copy(source, destination, PAGE, tag));
            let mut entries = [PollFd::new(queue.fd)];
            check!(SvcSystem.poll(&mut entries, 30_000_000_000) == Ok(1), tag);
            let mut sqe = Sqe::ZERO;
            check!(queue.take_words(&mut sqe.0) && Completion::from(&sqe).status.is_good() && holds(destination, PAGE, tag), tag);
        }
        leave()
    }

    /// Runs a request to its end; false if its queue is taken out of service before that.
    fn survives(queue: &mut RawQueue, sqe: &[u32], into: &mut [u32]) -> bool {
        queue.put_words(sqe);
        // Once this word is set there may be no doorbell any more.
        if !queue.stop_words().0 {
            queue.ring();
        }
        loop {
            let (is_ending, is_over) = queue.stop_words();
            if if is_ending { queue.take_words_quietly(into) } else { queue.take_words(into) } {
                return true;
            }
            if is_over {
                return false;
            }
            give_way();
        }
    }

    /// Works on one engine for ever; says so every 20 rounds. When its queue is taken out of service it says so, too, and takes another one.
    pub extern "C" fn worker(node: u64) -> ! {
        work(node, true)
    }

    /// As [`worker`], but ends with its first queue.
    pub extern "C" fn leaver(node: u64) -> ! {
        work(node, false)
    }

    /// Finds the dummy gone, and zip in its place.
    pub extern "C" fn stranger(_: u64) -> ! {
        check!(SvcSystem.open_node(DUMMY) == Err(Errno::ENODEV));
        check!(is(ZIP, Attribute::Name, "hisi_zip-0"));
        leave()
    }

    /// Ends at once.
    pub extern "C" fn moment(_: u64) -> ! {
        give_way();
        leave()
    }

    fn work(node: u64, again: bool) -> ! {
        let me = node as usize;
        let open = || RawQueue::open_on(NodeIndex(node as u32), 0);
        let mut queue = open();
        let (source, output) = (memory(PAGE), memory(2 * PAGE));
        fill(source, PAGE, node);
        for round in 1.. {
            let survived = if node == u64::from(ZIP.0) {
                let mut sqe = zip_spec::Sqe::ZERO;
                let survived = survives(&mut queue, &deflate(source, PAGE, output, 2 * PAGE, round).0, &mut sqe.0);
                check!(!survived || zip_spec::Completion::from(&sqe).status.is_good(), round);
                survived
            } else {
                let mut sqe = Sqe::ZERO;
                let survived = survives(&mut queue, &copy(source, output, PAGE, round).0, &mut sqe.0);
                check!(!survived || Completion::from(&sqe).status.is_good() && holds(output, PAGE, node), round);
                survived
            };
            if !survived {
                set_word(STOPPED + me, word(STOPPED + me) + 1);
                check!(queue.close().is_ok());
                if !again {
                    break;
                }
                queue = open();
            }
            if round % 20 == 0 {
                set_word(BUSY + me, 1);
            }
        }
        leave()
    }
}

/// What holds whoever does the engines' work, and when.
#[cfg(target_os = "none")]
mod shared {
    use super::programs as p;
    use target_tests::{Board, start_kernel};

    pub fn two_unlike_engines_work_at_once_in_one_process() {
        start_kernel();
        let board = Board::new();
        let juggler = board.start("juggler", p::juggler, 0);
        board.run(juggler);
        assert_eq!(board.word(p::DONE), 1);
    }

    /// Two controllers: what an error makes of one is nothing to the other.
    pub fn a_reset_of_one_device_is_nothing_to_the_other() {
        use firmware_kernel::{ErrorSource, controller_reset, inject_errors};
        use qm_spec::RAS;

        start_kernel();
        let board = Board::new();
        for node in [p::ZIP, p::DUMMY] {
            board.start("worker", p::worker, u64::from(node.0));
        }
        let until_busy = || {
            (0..2).for_each(|place| board.set(p::BUSY + place, 0));
            board.run_until(p::BUSY..p::BUSY + 2);
        };
        for (index, stopped) in [(1, [0, 1]), (0, [1, 1])] {
            until_busy();
            assert!(inject_errors(index, ErrorSource::QueueManager, RAS::ECC_MBIT::SET.value));
            board.run_until(p::STOPPED + index..p::STOPPED + index + 1);
            until_busy();
            assert_eq!([0, 1].map(|place| board.word(p::STOPPED + place)), stopped, "device {index} was reset, and nothing else");
        }
        assert!(!inject_errors(1, ErrorSource::Engine, 1), "the dummy engine has no error registers");
        assert!(controller_reset(1).is_ok());
        until_busy();
        assert_eq!([0, 1].map(|place| board.word(p::STOPPED + place)), [1, 2]);
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 120)]
mod on_dummy {
    use super::programs as p;
    use alloc::vec::Vec;
    use firmware_kernel::{EngineKind, remove_device, with_qm};
    use target_tests::{Board, start_kernel};

    #[test]
    fn ua_t3_a5_a_second_engine_has_a_format_of_its_own() {
        let report = start_kernel();
        let kinds = report.accelerators.iter().map(|one| one.as_ref().map(|one| (one.engine, one.stream.0, one.queues)));
        let kinds: Vec<_> = kinds.map(|one| one.expect("it comes up")).collect();
        assert_eq!(kinds, [(EngineKind::Zip, 8, 64), (EngineKind::Dummy, 0x80, 64)]);
        let board = Board::new();
        board.run(board.start("foreigner", p::foreigner, 0));
    }

    #[test]
    fn ua_o9_two_unlike_engines_work_at_once_in_one_process() {
        super::shared::two_unlike_engines_work_at_once_in_one_process();
    }

    #[test]
    fn a_reset_of_one_device_is_nothing_to_the_other() {
        super::shared::a_reset_of_one_device_is_nothing_to_the_other();
    }

    #[test]
    fn ua_t3_l5_its_interrupts_wake_who_sleeps_in_poll() {
        start_kernel();
        let board = Board::new();
        board.run(board.start("sleeper", p::sleeper, 0));
        assert!(with_qm(1, |qm| qm.statistics().eq_interrupts).expect("it is there") >= 20);
        assert_eq!(with_qm(0, |qm| qm.statistics().eq_interrupts), Some(0), "and none of the other device's");
    }

    #[test]
    fn ua_t3_l10_one_device_goes_and_the_other_stays() {
        start_kernel();
        let board = Board::new();
        for node in [p::ZIP, p::DUMMY] {
            board.start("worker", p::leaver, u64::from(node.0));
        }
        board.run_until(p::BUSY..p::BUSY + 2);
        assert_eq!(remove_device(p::DUMMY), Some(0), "every queue stopped");
        board.run_until(p::STOPPED + 1..p::STOPPED + 2);
        board.set(p::BUSY, 0);
        board.run_until(p::BUSY..p::BUSY + 1);
        assert_eq!(board.word(p::STOPPED), 0);
        board.run(board.start("stranger", p::stranger, 0));
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 120)]
mod on_dummy_1p3 {
    #[test]
    fn ua_o9_two_unlike_engines_work_at_once_in_one_process() {
        super::shared::two_unlike_engines_work_at_once_in_one_process();
    }

    #[test]
    fn a_reset_of_one_device_is_nothing_to_the_other() {
        super::shared::a_reset_of_one_device_is_nothing_to_the_other();
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 120)]
mod on_dummy_1p0_icount {
    #[test]
    fn ua_o9_two_unlike_engines_work_at_once_in_one_process() {
        super::shared::two_unlike_engines_work_at_once_in_one_process();
    }

    #[test]
    fn a_reset_of_one_device_is_nothing_to_the_other() {
        super::shared::a_reset_of_one_device_is_nothing_to_the_other();
    }
}

/// Time is counted instructions here: how long a queue takes to drain does not depend on the host.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 120)]
mod on_dummy_1p1_icount {
    use super::programs as p;
    use core::time::Duration;
    use firmware_kernel::{kill, living, run_until_exit, set_quantum, with_qm};
    use target_tests::{Board, start_kernel};

    #[test]
    fn ua_t3_l6_a_process_that_dies_amid_copies_leaves_nothing_behind() {
        start_kernel();
        let board = Board::new();
        for death in 0..12 {
            board.set(p::BUSY, 0);
            let doomed = board.start("doomed", p::doomed, death);
            if death % 2 == 0 {
                board.run_until(p::BUSY..p::BUSY + 1);
            } else {
                set_quantum(Duration::from_micros(100 << (death / 2)));
                run_until_exit(board.start("moment", p::moment, 0)).expect("it ends");
                set_quantum(Duration::from_millis(10));
            }
            kill(doomed).expect("it lives");
            assert!(living().is_empty());
            assert_eq!(with_qm(1, |qm| qm.available()), Some(64), "death {death}");
        }
        board.run(board.start("juggler", p::juggler, 0));
    }
}
