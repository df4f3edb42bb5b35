//! What runs out and comes back, and what an operation must not touch: PASIDs and instances under load, process switches and forks beside a
//! device at work.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

/// What runs at EL0.
#[cfg(target_os = "none")]
mod programs {
    use firmware_apps::SvcSystem;
    use target_tests::pattern::Random;
    use target_tests::session::number;
    use target_tests::user::{self, RawQueue, await_words, counters, deflate, give_way, leave, load, memory, set_word, word};
    use target_tests::{check, get};
    use uacce_abi::{Attribute, Fd, Kernel, NodeIndex, PollFd, QpContext};

    const PAGE: u64 = 4096;
    /// Words of the board, one per process from each on.
    pub const HAS: usize = 0;
    pub const REFUSED: usize = 32;
    pub const GO: usize = 64;
    pub const DONE: usize = 96;
    pub const VALUE: usize = 121;
    /// Instances of the accelerator.
    pub const INSTANCES: u64 = 64;

    fn works(queue: &mut RawQueue, seed: u64) {
        let (source, output) = (memory(PAGE), memory(2 * PAGE));
        user::fill(source, PAGE, seed);
        check!(queue.run(&deflate(source, PAGE, output, 2 * PAGE, seed)).status.is_good());
    }

    /// Takes a queue, waits until one can be had, and keeps it until told.
    pub extern "C" fn holder(me: u64) -> ! {
        let at = me as usize;
        let mut fd = SvcSystem.open_node(NodeIndex(0));
        if let Err(errno) = fd {
            set_word(REFUSED + at, errno.to_result() as u64);
            await_words(GO + at..GO + at + 1, 1);
            fd = SvcSystem.open_node(NodeIndex(0));
        }
        let mut queue = RawQueue::of(get!(fd), QpContext::COMPRESS);
        works(&mut queue, me);
        // Its space has a PASID: more queues need no more.
        let mut second = RawQueue::compressing();
        works(&mut second, me);
        check!(second.close() == Ok(()));
        set_word(HAS + at, 1);
        await_words(GO + at..GO + at + 1, 2);
        check!(me.is_multiple_of(2) || queue.close() == Ok(()));
        set_word(DONE + at, 1);
        leave()
    }

    /// Has all queues at once: the driver keeps the memory of as many rings as were ever in use together.
    pub extern "C" fn has_all(_: u64) -> ! {
        for _ in 0..INSTANCES {
            get!(SvcSystem.open_node(NodeIndex(0)));
        }
        check!(number(Attribute::AvailableInstances) == 0);
        leave()
    }

    /// Opens and closes at random, looking at the count.
    pub extern "C" fn churns(me: u64) -> ! {
        let mut random = Random(me);
        let mut open = [Fd(-1); 5];
        while word(GO) == 0 {
            let place = &mut open[random.below(5) as usize];
            if *place == Fd(-1) {
                *place = get!(SvcSystem.open_node(NodeIndex(0)));
                check!(number(Attribute::AvailableInstances) < INSTANCES);
            } else {
                check!(SvcSystem.close(*place) == Ok(()));
                *place = Fd(-1);
                check!(number(Attribute::AvailableInstances) <= INSTANCES);
            }
            set_word(HAS + me as usize, word(HAS + me as usize) + 1);
        }
        leave()
    }

    /// A request that waits for the engine while this process and another take turns.
    pub extern "C" fn turns(me: u64) -> ! {
        if me != 0 {
            while word(GO) == 0 {
                give_way();
            }
            leave()
        }
        let mut queue = RawQueue::compressing();
        let (source, output) = (memory(PAGE), memory(2 * PAGE));
        user::fill(source, PAGE, 1);
        check!(queue.run(&deflate(source, PAGE, output, 2 * PAGE, 1)).status.is_good());
        let expected = load(output);
        set_word(HAS, 1);
        await_words(GO + 1..GO + 2, 1);
        user::store(output, !expected);
        queue.put(&deflate(source, PAGE, output, 2 * PAGE, 2));
        queue.ring();
        set_word(HAS + 1, 1);
        let before = counters().dispatches;
        while word(GO) == 0 {
            give_way();
        }
        set_word(VALUE, counters().dispatches - before);
        let completion = queue.wait();
        check!(completion.status.is_good() && completion.tag == 2 && load(output) == expected);
        leave()
    }

    /// Forks ten times, with a queue or without one; leaves how many invalidations the SMMU was asked for.
    pub extern "C" fn forks(with_queue: u64) -> ! {
        let _queue = (with_queue != 0).then(RawQueue::compressing);
        let pages = memory(16 * PAGE);
        user::touch(pages, 16 * PAGE);
        let before = counters().kernel_smmu_invalidations;
        for _ in 0..10 {
            let Some(child) = get!(SvcSystem.fork()) else { leave() };
            check!(get!(SvcSystem.wait(child)) == 0);
        }
        set_word(VALUE, counters().kernel_smmu_invalidations - before);
        leave()
    }

    /// Requests over memory that it has, for ever.
    pub extern "C" fn steady(me: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (source, output) = (memory(PAGE), memory(2 * PAGE));
        user::fill(source, PAGE, me);
        user::touch(output, 2 * PAGE);
        loop {
            check!(queue.run(&deflate(source, PAGE, output, 2 * PAGE, me)).status.is_good());
            set_word(HAS + me as usize, word(HAS + me as usize) + 1);
            give_way();
        }
    }

    /// Requests over memory that nobody has touched, as many at once as there is room for.
    pub extern "C" fn storms(me: u64) -> ! {
        const BYTES: u64 = 16 * PAGE;
        const AT_ONCE: u64 = 64;
        let (mut there, mut back) = (RawQueue::compressing(), RawQueue::decompressing());
        let (zeroes, packed) = (memory(BYTES), memory(PAGE));
        let produced = there.run(&deflate(zeroes, BYTES, packed, PAGE, 1)).produced;
        loop {
            let output = memory(AT_ONCE * BYTES);
            for tag in 0..AT_ONCE {
                back.put(&deflate(packed, produced.into(), output + tag * BYTES, BYTES, tag));
            }
            back.ring();
            for _ in 0..AT_ONCE {
                check!(back.wait().status.is_good());
            }
            get!(SvcSystem.call(uacce_abi::Call::Unmap { at: output, len_bytes: AT_ONCE * BYTES }));
            set_word(HAS + me as usize, counters().device_page_faults);
        }
    }

    /// The same from several queues at once, by a process that sleeps meanwhile.
    pub extern "C" fn storms_asleep(me: u64) -> ! {
        const QUEUES: usize = 6;
        const BYTES: u64 = 16 * PAGE;
        const AT_ONCE: u64 = 8;
        let mut there = RawQueue::compressing();
        let mut queues: [RawQueue; QUEUES] = core::array::from_fn(|_| RawQueue::decompressing());
        let (zeroes, packed) = (memory(BYTES), memory(PAGE));
        let produced = there.run(&deflate(zeroes, BYTES, packed, PAGE, 1)).produced;
        loop {
            let output = memory(QUEUES as u64 * AT_ONCE * BYTES);
            let mut at = output;
            for queue in &mut queues {
                for tag in 0..AT_ONCE {
                    queue.put(&deflate(packed, produced.into(), at, BYTES, tag));
                    at += BYTES;
                }
                queue.ring();
            }
            let mut left = QUEUES as u64 * AT_ONCE;
            while left > 0 {
                queues.iter().for_each(RawQueue::arm);
                let mut entries: [PollFd; QUEUES] = core::array::from_fn(|index| PollFd::new(queues[index].fd));
                check!(get!(SvcSystem.poll(&mut entries, 20_000_000_000)) > 0, left);
                for queue in &mut queues {
                    while let Some(completion) = queue.take() {
                        check!(completion.status.is_good());
                        left -= 1;
                    }
                }
            }
            get!(SvcSystem.call(uacce_abi::Call::Unmap { at: output, len_bytes: at - output }));
            set_word(HAS + me as usize, counters().device_page_faults);
        }
    }

    /// Lets time pass.
    pub extern "C" fn moment(nanoseconds: u64) -> ! {
        SvcSystem.invoke(uacce_abi::Call::Sleep { nanoseconds });
        leave()
    }
}

#[cfg(target_os = "none")]
mod steps {
    use super::programs as p;
    use core::time::Duration;
    use firmware_kernel::{free_frames, set_quantum, with_core, with_qm};
    use firmware_platform::trace::Counter;
    use target_tests::pattern::Random;
    use target_tests::{Board, start_kernel, vendor};
    use uacce_abi::Errno;

    fn available() -> u64 {
        with_qm(0, |qm| qm.available()).expect("a QM").into()
    }

    /// Every instance is free or open, at any moment.
    fn assert_counted(what: &str) {
        assert_eq!(available() + with_core(|core, _| core.open_queues()) as u64, p::INSTANCES, "{what}");
    }

    /// PASIDs of 4 bits: the kernel's own, and fifteen.
    const PASIDS: usize = 15;

    pub fn pasids() {
        start_kernel();
        assert_eq!(available(), p::INSTANCES);
        let board = Board::new();
        board.run(board.start("has all", p::has_all, 0));
        let mut kept = None;
        for round in 0..4 {
            for word in p::HAS..p::DONE + PASIDS + 1 {
                board.set(word, 0);
            }
            for me in 0..PASIDS {
                board.start("holder", p::holder, me as u64);
            }
            board.run_until(p::HAS..p::HAS + PASIDS);
            assert_eq!((available(), with_core(|core, _| core.bonds())), (p::INSTANCES - PASIDS as u64, PASIDS));
            // One more process: there are queues, but no PASID.
            let last = board.start("one more", p::holder, PASIDS as u64);
            board.run_until(p::REFUSED + PASIDS..p::REFUSED + PASIDS + 1);
            assert_eq!(board.word(p::REFUSED + PASIDS), Errno::EBUSY.to_result() as u64, "round {round}");
            assert_counted("after the refusal");
            assert_eq!(with_core(|core, _| core.bonds()), PASIDS, "a refused open leaves no bond");
            // Somebody goes, by a close or by its end; then it works.
            let leaves = round % PASIDS;
            board.set(p::GO + leaves, 2);
            board.run_until(p::DONE + leaves..p::DONE + leaves + 1);
            while with_core(|core, _| core.bonds()) == PASIDS {
                board.run(board.start("moment", p::moment, 1_000_000));
            }
            board.set(p::GO + PASIDS, 1);
            board.run_until(p::HAS + PASIDS..p::HAS + PASIDS + 1);
            assert_counted("with the other one");
            for me in 0..=PASIDS {
                board.set(p::GO + me, 2);
            }
            board.run(last);
            board.run_until(p::DONE..p::DONE + PASIDS);
            while with_core(|core, _| core.bonds()) > 0 {
                board.run(board.start("moment", p::moment, 1_000_000));
            }
            assert_eq!(available(), p::INSTANCES, "round {round}");
            let frames = free_frames();
            assert_eq!(*kept.get_or_insert(frames), frames, "round {round}");
        }
    }

    pub fn counted() {
        const PROCESSES: usize = 8;
        start_kernel();
        let board = Board::new();
        for me in 0..PROCESSES {
            board.start("churns", p::churns, me as u64);
        }
        let mut random = Random(3);
        let mut seen = [p::INSTANCES, 0];
        for look in 0..400 {
            set_quantum(Duration::from_micros(10 + random.below(300)));
            board.run(board.start("moment", p::moment, 1000 * random.below(500)));
            assert_counted("while they open and close");
            seen = [seen[0].min(available()), seen[1].max(available())];
            assert!(look < 100 || seen[0] < p::INSTANCES);
        }
        assert!(seen[0] + 8 <= seen[1], "between {} and {} were free", seen[0], seen[1]);
        assert!((0..PROCESSES).all(|me| board.word(p::HAS + me) > 20), "everybody had a turn");
        board.set(p::GO, 1);
        while with_core(|core, _| core.open_queues()) > 0 {
            board.run(board.start("moment", p::moment, 1_000_000));
        }
        assert_eq!(available(), p::INSTANCES);
    }

    /// Rounds of seven processes in a tenth of a second, with an eighth of this kind beside them; and what that one leaves.
    fn seven_beside(eighth: uacce_abi::Entry) -> (u64, u64) {
        let board = Board::new();
        for me in 0..7 {
            board.start("steady", p::steady, me);
        }
        board.start("the eighth", eighth, 7);
        board.run_until(p::HAS..p::HAS + 8);
        let rounds = || (0..7).map(|me| board.word(p::HAS + me)).sum::<u64>();
        let before = rounds();
        board.run(board.start("moment", p::moment, 100_000_000));
        let result = (rounds() - before, board.word(p::HAS + 7));
        for process in firmware_kernel::living() {
            firmware_kernel::kill(process).expect("it lives");
        }
        assert_eq!(firmware_kernel::with_smmu(|smmu| smmu.pending_stalls()), Some(0), "every stall was answered");
        result
    }

    pub fn storm() {
        start_kernel();
        let (quiet, _) = seven_beside(p::steady);
        for (what, eighth) in [("that polls", p::storms as uacce_abi::Entry), ("that sleeps", p::storms_asleep)] {
            let postponed = firmware_kernel::postponed_faults();
            let (stormy, faults) = seven_beside(eighth);
            let postponed = firmware_kernel::postponed_faults() - postponed;
            firmware_kernel::print_line(format_args!(
                "{quiet} rounds, {stormy} beside a storm of {faults} faults of a process {what}, {postponed} of them postponed"
            ));
            assert!(faults > 500 && postponed > 0, "{faults}, {postponed}");
            // The plan wants four fifths.
            assert!(5 * stormy >= 4 * quiet, "{stormy} of {quiet} rounds beside a process {what}");
        }
    }

    pub fn switches() {
        start_kernel();
        let board = Board::new();
        let process = board.start("has a request", p::turns, 0);
        board.run_until(p::HAS..p::HAS + 1);
        board.start("takes turns", p::turns, 1);
        vendor::set_engine(false);
        board.set(p::GO + 1, 1);
        board.run_until(p::HAS + 1..p::HAS + 2);
        // From here on nobody has business with the device, and two processes change places all the time.
        let all = [Counter::BarAccesses, Counter::SmmuAccesses, Counter::ConfigAccesses, Counter::Messages];
        let in_a_moment_of = |nanoseconds| {
            let before = all.map(vendor::counter);
            board.run(board.start("moment", p::moment, nanoseconds));
            core::array::from_fn::<_, 4, _>(|index| vendor::counter(all[index]) - before[index])
        };
        // Both have the end of a process in them, and one has many more switches.
        let (short, long) = (in_a_moment_of(100_000), in_a_moment_of(20_000_000));
        assert_eq!(long, short, "registers of function, SMMU and bus; messages");
        assert_eq!((short[0], short[2], short[3]), (0, 0, 0), "and none at all of the device");
        vendor::set_engine(true);
        board.set(p::GO, 1);
        board.run(process);
        assert!(board.word(p::VALUE) > 100, "{} switches", board.word(p::VALUE));
    }

    pub fn forks() {
        start_kernel();
        let board = Board::new();
        let invalidations = |with_queue| {
            board.run(board.start("forks", p::forks, with_queue));
            board.word(p::VALUE)
        };
        assert_eq!(invalidations(0), 0, "no device walks this process's table");
        assert!(invalidations(1) >= 10, "and this one's a device does");
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 120)]
mod on_ssid4 {
    #[test]
    fn sm_p10_pasids_run_out_with_an_error_and_come_back() {
        super::steps::pasids();
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 120)]
mod on_1p1_icount {
    #[test]
    fn sy_f01_a_storm_of_faults_leaves_the_others_four_fifths() {
        super::steps::storm();
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 120)]
mod plain {
    use super::steps;

    #[test]
    fn ua_a02_instances_are_counted_exactly_while_eight_processes_open_and_close() {
        steps::counted();
    }

    #[test]
    fn ua_a9_o27_a_process_switch_touches_no_register() {
        steps::switches();
    }

    #[test]
    fn ua_o18_a_fork_without_queues_asks_nothing_of_the_smmu() {
        steps::forks();
    }
}
