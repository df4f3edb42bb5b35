//! A soak: eight processes at once, two engines (zip, and the dummy that copies), one host core and three engine cores, and everything that can happen to a process at
//! random: kills, copies, faults, memory that goes away under a request, queues closed too early, resets of the controller under all of it.
//!
//! Three things are watched. Every request ends exactly once: a completion must be of a request in flight, every request in flight has a
//! deadline or was cut off by a reset that its queue tells of, and the silicon has ended what it began once all is quiet. Data is right: what nobody disturbed is packed by one engine, copied
//! by the other and unpacked again, and what a closed queue left behind is never written again. What was taken comes back: frames, heap, queues, PASIDs and bonds
//! are counted at every quiet moment.
//!
//! The seed is printed. `SOC_SEED=N` runs another one, `SOC_LONG=1` the long form of 60 s; both are read as the suite is built. Every
//! decision follows from the seed; under `icount` the whole machine does, so that a failing run repeats itself.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
target_tests::suite!();

/// What runs at EL0.
#[cfg(target_os = "none")]
mod programs {
    use core::sync::atomic::Ordering;
    use core::time::Duration;

    use firmware_apps::SvcSystem;
    use hal::{Clock, Deadline, Iova};
    use hal_aarch64::GenericTimer;
    use target_tests::pattern::Random;
    use target_tests::user::{self, FREE_AT, RawQueue, board, counters, deflate, give_way, leave, load, set_word, store, word};
    use target_tests::{check, get};
    use uacce_abi::{Call, Command, Errno, Kernel, NodeIndex, PollFd, Protection, QpContext};

    const PAGE: u64 = 4096;
    /// Words of the board.
    pub const STOP: usize = 0;
    /// What happened, summed over all processes.
    pub const SENT: usize = 16;
    pub const ENDED: usize = 17;
    pub const ABORTED: usize = 18;
    pub const VERIFIED: usize = 19;
    pub const DISTURBED: usize = 20;
    pub const FORKED: usize = 21;
    pub const FAULTED: usize = 22;
    pub const ABANDONED: usize = 23;
    pub const SLEPT: usize = 24;
    pub const DEVICE_FAULTS: usize = 25;
    pub const LEFT: usize = 26;
    pub const DEAD: usize = 27;
    /// Queues that a reset has met before they were started.
    pub const STILLBORN: usize = 28;
    pub const RESETS: usize = 29;

    /// Requests that a process may have in flight.
    const JOBS: usize = 6;
    /// Queues of a process: of zip one that compresses and one that decompresses, and two of the dummy.
    const QUEUES: usize = 4;
    const PACK: usize = 0;
    const UNPACK: usize = 1;
    const COPY: usize = 2;
    /// Longest input of a request, in pages.
    const PAGES: u64 = 4;
    /// Pages of what a request occupies: input, twice as much for what is packed, the same for its copy, and as much as the input again.
    const AREA_PAGES: u64 = 6 * PAGES;
    const AREA_BYTES: u64 = AREA_PAGES * PAGE;
    /// Addresses that the requests of one job lie at.
    const ROOM_BYTES: u64 = 1 << 20;
    /// How long a request may take. Eight processes share the core.
    const PATIENCE: Duration = Duration::from_secs(30);
    /// Exit code of a process that was killed, and of one that died of a data abort.
    const KILLED: u64 = 137;
    const DATA_ABORT: u64 = 0x8000_0024;

    fn count(index: usize) {
        board(index).fetch_add(1, Ordering::Relaxed);
    }

    /// Where a request is on its way.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Step {
        Idle,
        /// Input to packed.
        Packing,
        /// Packed to its copy, by the other engine.
        Copying,
        /// The copy to output.
        Unpacking,
        /// Its queue was closed under it; what was written over it must stay.
        Abandoned,
    }

    /// A request and its memory.
    #[derive(Clone, Copy)]
    struct Job {
        step: Step,
        queue: usize,
        tag: u64,
        seed: u64,
        at: u64,
        len_bytes: u64,
        packed_bytes: u64,
        /// Some of its memory was taken away: it may end in an error, and its data is nobody's business.
        is_disturbed: bool,
        deadline: Deadline,
    }

    impl Job {
        fn packed(&self) -> u64 {
            self.at + PAGES * PAGE
        }
        fn copied(&self) -> u64 {
            self.at + 3 * PAGES * PAGE
        }
        fn output(&self) -> u64 {
            self.at + 5 * PAGES * PAGE
        }
        fn is_in_flight(&self) -> bool {
            matches!(self.step, Step::Packing | Step::Copying | Step::Unpacking)
        }
        fn end(&mut self) {
            get!(SvcSystem.call(Call::Unmap { at: self.at, len_bytes: AREA_BYTES }));
            self.step = Step::Idle;
        }
    }

    struct Worker {
        random: Random,
        queues: [RawQueue; QUEUES],
        jobs: [Job; JOBS],
        /// 0, or 1 for the own requests of a copy, which has the memory of its original's.
        room: usize,
        tag: u64,
    }

    /// What came back, from either engine.
    struct Ended {
        tag: u64,
        is_good: bool,
        /// Bytes read and written.
        moved: (u64, u64),
    }

    fn take_one(queue: &mut RawQueue, at: usize) -> Option<Ended> {
        if at < COPY {
            let completion = queue.take()?;
            let moved = (completion.consumed.into(), completion.produced.into());
            return Some(Ended { tag: completion.tag, is_good: completion.status.is_good(), moved });
        }
        let mut sqe = dummy_spec::Sqe::ZERO;
        queue.take_words(&mut sqe.0).then(|| {
            let completion = dummy_spec::Completion::from(&sqe);
            let bytes = completion.written_bytes.into();
            Ended { tag: completion.tag.into(), is_good: completion.status.is_good(), moved: (bytes, bytes) }
        })
    }

    fn open(queue: usize) -> RawQueue {
        let node = NodeIndex(u32::from(queue >= COPY));
        let direction = if queue == UNPACK { QpContext::DECOMPRESS } else { QpContext::COMPRESS };
        loop {
            let fd = get!(SvcSystem.open_node(node));
            match RawQueue::try_of(fd, direction) {
                Ok(queue) => return queue,
                // The device was reset between two of the calls: only a fresh queue will do.
                Err(_) => {
                    count(STILLBORN);
                    check!(word(STILLBORN) <= 16 * word(RESETS), word(STILLBORN));
                    check!(SvcSystem.close(fd) == Ok(()));
                }
            }
        }
    }

    impl Worker {
        fn new(seed: u64, room: usize) -> Self {
            let deadline = GenericTimer.deadline(PATIENCE);
            let idle =
                Job { step: Step::Idle, queue: 0, tag: 0, seed: 0, at: 0, len_bytes: 0, packed_bytes: 0, is_disturbed: false, deadline };
            Self { random: Random(seed), queues: core::array::from_fn(open), jobs: [idle; JOBS], room, tag: 0 }
        }

        fn step(&mut self) {
            match self.random.below(40) {
                0..16 => self.submit(),
                16..28 => self.take(),
                28..31 => self.disturb(),
                31 => self.sleep(),
                32 => self.reopen(),
                33 => self.refused(),
                34 | 35 => give_way(),
                36 => {
                    if self.random.below(4) == 0 {
                        self.fork();
                    }
                }
                37 => {
                    if self.random.below(12) == 0 {
                        self.ends();
                    }
                }
                _ => self.check_abandoned(),
            }
        }

        /// One of the jobs that are at a step, if there is one.
        fn any(&mut self, wanted: impl Fn(&Job) -> bool) -> Option<usize> {
            let first = self.random.below(JOBS as u64) as usize;
            (first..first + JOBS).map(|index| index % JOBS).find(|index| wanted(&self.jobs[*index]))
        }

        fn submit(&mut self) {
            let Some(index) = self.any(|job| job.step == Step::Idle) else { return };
            let seed = self.random.number();
            // At an address of its own: where a part is taken away nothing else may come to lie.
            let at = FREE_AT + ((self.room * JOBS + index) as u64) * ROOM_BYTES + seed % (ROOM_BYTES / AREA_BYTES) * AREA_BYTES;
            user::memory_at(at, AREA_BYTES, Protection::ReadWrite);
            let len_bytes = (1 + self.random.below(PAGES)) * PAGE;
            user::fill(at, len_bytes, seed);
            let job = &mut self.jobs[index];
            *job = Job { step: Step::Packing, seed, at, len_bytes, packed_bytes: 0, is_disturbed: false, ..*job };
            self.send(index, PACK);
        }

        /// Sends what a job wants next.
        fn send(&mut self, index: usize, queue: usize) {
            self.tag += 1;
            let job = &mut self.jobs[index];
            (job.tag, job.queue, job.deadline) = (self.tag, queue, GenericTimer.deadline(PATIENCE));
            let queue = &mut self.queues[queue];
            match job.step {
                Step::Packing => queue.put(&deflate(job.at, job.len_bytes, job.packed(), 2 * PAGES * PAGE, job.tag)),
                Step::Unpacking => queue.put(&deflate(job.copied(), job.packed_bytes, job.output(), job.len_bytes, job.tag)),
                _ => {
                    let (source, destination) = (Iova(job.packed()), Iova(job.copied()));
                    let request = dummy_spec::Request { source, destination, len_bytes: job.packed_bytes as u32, tag: job.tag as u32 };
                    queue.put_words(&request.encode().0);
                }
            }
            queue.ring();
            count(SENT);
        }

        /// Takes what has come back, and looks for what should have.
        fn take(&mut self) {
            for at in 0..QUEUES {
                // Looked at before the completions: whatever came before the word is there now.
                let (no_more_submissions, is_over) = self.queues[at].stop_words();
                while let Some(ended) = take_one(&mut self.queues[at], at) {
                    self.ended(at, &ended);
                }
                if is_over {
                    // The device was reset: what has not ended yet was cut off.
                    check!(no_more_submissions);
                    count(DEAD);
                    self.replace(at);
                }
            }
            for job in &self.jobs {
                check!(!(job.is_in_flight() && job.deadline.has_passed(&GenericTimer)), job.tag);
            }
        }

        fn ended(&mut self, at: usize, ended: &Ended) {
            // Of a request in flight on this queue, and so only once: a tag is never used twice.
            let Some(index) = self.jobs.iter().position(|job| job.is_in_flight() && job.queue == at && job.tag == ended.tag) else {
                user::fail(line!(), ended.tag)
            };
            count(ENDED);
            let job = &mut self.jobs[index];
            if job.is_disturbed {
                if !ended.is_good {
                    count(ABORTED);
                }
                return job.end();
            }
            check!(ended.is_good, job.step as u64);
            let (read, written) = ended.moved;
            match job.step {
                Step::Packing => {
                    check!(read == job.len_bytes, read);
                    check!(user::holds(job.at, job.len_bytes, job.seed));
                    (job.step, job.packed_bytes) = (Step::Copying, written);
                    let queue = COPY + self.random.below((QUEUES - COPY) as u64) as usize;
                    self.send(index, queue);
                }
                Step::Copying => {
                    check!(written == job.packed_bytes, written);
                    job.step = Step::Unpacking;
                    self.send(index, UNPACK);
                }
                _ => {
                    check!(written == job.len_bytes, written);
                    check!(user::holds(job.output(), job.len_bytes, job.seed) && user::holds(job.at, job.len_bytes, job.seed));
                    count(VERIFIED);
                    job.end();
                }
            }
        }

        /// Takes memory away from a request in flight, or the right to write it, or puts other memory there.
        fn disturb(&mut self) {
            let Some(index) = self.any(Job::is_in_flight) else { return };
            let (how, first) = (self.random.below(4), self.random.below(AREA_PAGES));
            let pages = 1 + self.random.below(AREA_PAGES - first);
            let job = &mut self.jobs[index];
            let (at, len_bytes) = (job.at + first * PAGE, pages * PAGE);
            // Of a range that was cut before, holes and all: what is left may not be there.
            let answer = match how {
                0 => SvcSystem.call(Call::Protect { at, len_bytes, protection: Protection::Read }),
                1 => SvcSystem.call(Call::Protect { at, len_bytes, protection: Protection::None }),
                _ => SvcSystem.call(Call::Unmap { at, len_bytes }),
            };
            check!(answer.is_ok() || job.is_disturbed && answer == Err(Errno::ENOMEM));
            job.is_disturbed = true;
            count(DISTURBED);
            if how == 3 {
                user::memory_at(at, len_bytes, Protection::ReadWrite);
            }
        }

        /// Sleeps until some queue has news, or a moment.
        fn sleep(&mut self) {
            for queue in &self.queues {
                queue.arm();
            }
            let mut entries = core::array::from_fn::<_, QUEUES, _>(|at| PollFd::new(self.queues[at].fd));
            let timeout = 1000 * (1 + self.random.below(2000));
            get!(SvcSystem.poll(&mut entries, timeout));
            // Both, if the device was reset: the queue is dead, and may have had news before.
            check!(entries.iter().all(|entry| entry.revents & !(PollFd::IN | PollFd::ERR) == 0));
            count(SLEPT);
        }

        /// Closes a queue with whatever it has in flight; takes another one for it.
        fn reopen(&mut self) {
            let at = self.random.below(QUEUES as u64) as usize;
            self.replace(at);
        }

        fn replace(&mut self, at: usize) {
            check!(SvcSystem.close(self.queues[at].fd) == Ok(()));
            for job in self.jobs.iter_mut().filter(|job| job.is_in_flight() && job.queue == at) {
                count(ABANDONED);
                if job.is_disturbed {
                    job.end();
                } else {
                    // The device has let go: what is written now stays.
                    user::fill(job.at, AREA_BYTES, !job.seed);
                    job.step = Step::Abandoned;
                }
            }
            self.queues[at] = open(at);
        }

        fn check_abandoned(&mut self) {
            if let Some(index) = self.any(|job| job.step == Step::Abandoned) {
                let job = &mut self.jobs[index];
                check!(user::holds(job.at, AREA_BYTES, !job.seed), job.tag);
                job.end();
            }
        }

        /// Calls that must be refused, with requests in flight.
        fn refused(&mut self) {
            let queue = &self.queues[self.random.below(QUEUES as u64) as usize];
            check!(SvcSystem.ioctl(queue.fd, Command::START_Q) == Err(Errno::EINVAL));
            check!(SvcSystem.map_region(queue.fd, hal::Region::Dus, PAGE) == Err(Errno::EEXIST));
            check!(SvcSystem.call(Call::Unmap { at: queue.dus, len_bytes: PAGE }) == Err(Errno::EINVAL));
        }

        /// Ends without a word to anybody, in one of two ways.
        fn ends(&mut self) {
            note_device_faults();
            if self.random.below(2) == 0 {
                count(LEFT);
                leave()
            }
            count(FAULTED);
            store(8, 0);
        }

        fn fork(&mut self) {
            let (way, seed) = (self.random.below(4), self.random.number());
            count(FORKED);
            let Some(child) = get!(SvcSystem.fork()) else { self.child(way, seed) };
            // This process goes on meanwhile.
            for _ in 0..self.random.below(8) {
                self.submit();
                self.take();
            }
            if way == 3 {
                // It may have been killed by somebody else.
                let answer = SvcSystem.call(Call::Kill { process: child });
                check!(answer.is_ok() || answer == Err(Errno::ESRCH));
            }
            let code = u64::from(get!(SvcSystem.wait(child)));
            let expected = [0, 0, DATA_ABORT, KILLED][way as usize];
            check!(code == expected || code == KILLED || word(STOP) != 0 && code == 0, code);
        }

        /// What a copy does: writes over everything that the original has in flight, or works with queues of its own and ends somehow.
        fn child(&mut self, way: u64, seed: u64) -> ! {
            if way == 0 {
                for job in self.jobs.iter().filter(|job| job.is_in_flight() && !job.is_disturbed) {
                    user::fill(job.at, AREA_BYTES, seed);
                }
                give_way();
                for job in self.jobs.iter().filter(|job| job.is_in_flight() && !job.is_disturbed) {
                    check!(user::holds(job.at, AREA_BYTES, seed), job.tag);
                }
                leave()
            }
            let mut own = Self::new(seed, 1);
            for _ in 0..JOBS {
                own.submit();
            }
            match way {
                1 => {
                    own.drain();
                    leave()
                }
                2 => store(8, 0),
                _ => {}
            }
            while word(STOP) == 0 {
                own.take();
                give_way();
            }
            leave()
        }

        /// Waits for everything in flight, and wants nothing more to come.
        fn drain(&mut self) {
            while self.jobs.iter().any(Job::is_in_flight) {
                self.take();
                give_way();
            }
            while self.jobs.iter().any(|job| job.step == Step::Abandoned) {
                self.check_abandoned();
            }
            for (at, queue) in self.queues.iter_mut().enumerate() {
                check!(take_one(queue, at).is_none(), queue.number);
            }
        }
    }

    fn note_device_faults() {
        board(DEVICE_FAULTS).fetch_add(counters().device_page_faults, Ordering::Relaxed);
    }

    /// One of the eight.
    pub extern "C" fn worker(seed: u64) -> ! {
        let mut worker = Worker::new(seed, 0);
        while word(STOP) == 0 {
            worker.step();
        }
        worker.drain();
        note_device_faults();
        if worker.random.below(2) == 0 {
            for queue in worker.queues {
                check!(queue.close() == Ok(()));
            }
        }
        leave()
    }

    /// Has all queues of a node at once: the driver keeps the memory of as many rings as were ever in use together.
    pub extern "C" fn toucher(order: u64) -> ! {
        for _ in 0..order >> 8 {
            get!(SvcSystem.open_node(NodeIndex(order as u32 & 0xff)));
        }
        leave()
    }

    /// Ends after so many nanoseconds.
    pub extern "C" fn moment(nanoseconds: u64) -> ! {
        SvcSystem.invoke(Call::Sleep { nanoseconds });
        // A word that nobody reads: the loads and stores of this program are those of any other.
        set_word(511, load(user::BOARD_AT));
        leave()
    }
}

#[cfg(target_os = "none")]
mod steps {
    use alloc::vec::Vec;
    use core::time::Duration;

    use super::programs as p;
    use firmware_kernel::{
        controller_reset, free_frames, kill, living, print_line, run_until_exit, set_quantum, with_core, with_qm, with_smmu,
    };
    use firmware_platform::trace::Counter;
    use hal::{Clock, SubstreamId};
    use hal_aarch64::GenericTimer;
    use target_tests::board::FAILED_LINE;
    use target_tests::pattern::Random;
    use target_tests::{Board, firmware, start_kernel, vendor};
    use uacce_abi::ProcessId;

    const IS_LONG: bool = option_env!("SOC_LONG").is_some();
    /// Processes at a time, copies not counted.
    const PROCESSES: usize = 8;
    /// Quiet moments at which everything is counted.
    const PHASES: u64 = 6;
    /// How long all processes may take to end once they are told.
    const END: Duration = Duration::from_secs(60);

    const fn seed() -> u64 {
        match option_env!("SOC_SEED") {
            Some(text) => match u64::from_str_radix(text, 10) {
                Ok(seed) => seed,
                Err(_) => panic!("SOC_SEED is a decimal number"),
            },
            None => 1,
        }
    }

    /// What must come back.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Taken {
        frames: usize,
        heap: usize,
        queues: [Option<u32>; 2],
        pasids: usize,
        open_queues: usize,
        bonds: usize,
    }

    /// PASIDs that can be had: all of them, taken and given back.
    fn free_pasids() -> usize {
        with_smmu(|smmu| {
            let mut all: Vec<SubstreamId> = Vec::new();
            while let Ok(substream) = smmu.allocate_substream() {
                all.push(substream);
            }
            let count = all.len();
            for substream in all {
                smmu.free_substream(substream).expect("bound to nothing");
            }
            count
        })
        .expect("an SMMU")
    }

    fn taken(devices: [usize; 2]) -> Taken {
        let queues = devices.map(|index| with_qm(index, |qm| qm.available()));
        let (open_queues, bonds) = with_core(|core, _| (core.open_queues(), core.bonds()));
        Taken { frames: free_frames(), heap: firmware::heap_used(), queues, pasids: free_pasids(), open_queues, bonds }
    }

    fn run_for(board: &Board, nanoseconds: u64) {
        let moment = board.start("moment", p::moment, nanoseconds);
        board.run(moment);
        assert_eq!(board.word(FAILED_LINE), 0, "line {}, {:#x}", board.word(FAILED_LINE), board.word(FAILED_LINE + 1));
    }

    /// Starts who is missing.
    fn keep_alive(board: &Board, workers: &mut [Option<ProcessId>; PROCESSES], random: &mut Random) {
        let living = living();
        for worker in workers {
            if worker.is_none_or(|process| !living.contains(&process)) {
                if let Some(process) = worker {
                    // Nobody else asks how it ended.
                    let _ = run_until_exit(*process);
                }
                *worker = Some(board.start("worker", p::worker, random.number()));
            }
        }
    }

    /// Kills for each reset of the controller.
    const RESET_EVERY: u64 = 8;
    /// What the short form on a busy host may not come to.
    const RARE: [usize; 4] = [p::FAULTED, p::LEFT, p::ABANDONED, p::ABORTED];

    pub fn soak(length: Duration, is_repeatable: bool) {
        let report = start_kernel();
        let [Ok(zip), Ok(dummy)] = &report.accelerators[..] else { panic!("two engines: {:?}", report.accelerators) };
        let devices = [zip.index, dummy.index];
        let board = Board::new();
        let mut random = Random(seed());
        print_line(format_args!("seed {} (SOC_SEED={} repeats this run), {} s", seed(), seed(), length.as_secs()));
        for (node, device) in devices.into_iter().enumerate() {
            let queues = u64::from(with_qm(device, |qm| qm.available()).expect("a QM"));
            board.run(board.start("toucher", p::toucher, node as u64 | queues << 8));
        }
        let mut before = None;
        let (mut kills, mut resets) = (0, 0);
        for phase in 0..PHASES {
            board.set(p::STOP, 0);
            let end = GenericTimer.deadline(length / PHASES as u32);
            let mut workers = [None; PROCESSES];
            while !end.has_passed(&GenericTimer) {
                keep_alive(&board, &mut workers, &mut random);
                set_quantum(Duration::from_micros(100 + random.below(5000)));
                run_for(&board, 1000 * random.below(20_000));
                // Somebody dies, wherever it is: one of the eight, or a copy.
                let living = living();
                let victim = living[random.below(living.len() as u64) as usize];
                kills += u64::from(kill(victim).is_ok());
                if kills % RESET_EVERY == 0 {
                    // In the middle of everything: requests on their way, page faults pending, a process half taken apart just now.
                    controller_reset(devices[random.below(2) as usize]).expect("it comes back");
                    resets += 1;
                    board.set(p::RESETS, resets);
                }
            }
            board.set(p::STOP, 1);
            let end = GenericTimer.deadline(END);
            while !living().is_empty() {
                assert!(!end.has_passed(&GenericTimer), "{:?} do not end", living());
                run_for(&board, 1_000_000);
            }
            for process in workers.into_iter().flatten() {
                let _ = run_until_exit(process);
            }
            // The silicon ends what it began, and each once; what a reset has cut off may still be on its way out of the engine.
            let end = GenericTimer.deadline(END);
            loop {
                let [begun, done] = [Counter::Jobs, Counter::JobsDone].map(vendor::counter);
                if begun == done {
                    break;
                }
                assert!(done < begun && !end.has_passed(&GenericTimer), "{begun} requests begun, {done} ended");
                run_for(&board, 1_000_000);
            }
            assert_eq!(vendor::counter(Counter::Violations), 0, "no rule of the SMMU was broken");
            let now = taken(devices);
            print_line(format_args!("phase {phase}: {now:?}"));
            // The first phase takes what is kept for good: tables of contexts, queues of the driver.
            let then = before.get_or_insert(now);
            assert_eq!(now, *then, "phase {phase}");
        }
        let words = [
            ("sent", p::SENT),
            ("ended", p::ENDED),
            ("in an error", p::ABORTED),
            ("verified", p::VERIFIED),
            ("disturbed", p::DISTURBED),
            ("abandoned", p::ABANDONED),
            ("forks", p::FORKED),
            ("faults", p::FAULTED),
            ("sleeps", p::SLEPT),
            ("ends", p::LEFT),
            ("device page faults", p::DEVICE_FAULTS),
        ];
        for (what, word) in words {
            print_line(format_args!("{what}: {}", board.word(word)));
            assert!(board.word(word) > 0 || RARE.contains(&word) && !IS_LONG && !is_repeatable, "{what}");
        }
        print_line(format_args!("queues that died of {resets} resets: {}; kills: {kills}", board.word(p::DEAD)));
        assert!(resets > 0 || !IS_LONG && !is_repeatable);
        assert!(kills > 0 && board.word(p::SENT) >= board.word(p::ENDED));
    }

    pub fn length(short: u64, long: u64) -> Duration {
        Duration::from_secs(if IS_LONG { long } else { short })
    }
}

/// One host core and three engine cores, as fast as they go.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 300)]
mod on_1p3_dummy_ssid6 {
    use super::steps;

    #[test]
    fn sy_s01_c01_f02_eight_processes_two_engines_and_nothing_is_lost() {
        steps::soak(steps::length(4, 60), false);
    }
}

/// The same machine counting instructions: one seed is one run, to the last instruction.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 600)]
mod on_1p3_dummy_icount_ssid6 {
    use super::steps;

    #[test]
    fn sy_s01_a_seed_repeats_its_run() {
        steps::soak(steps::length(1, 6), true);
    }
}
