//! The data path without the kernel: polling takes no exception, and who sleeps is woken.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

/// What runs at EL0.
#[cfg(target_os = "none")]
mod programs {
    use core::cell::Cell;

    use firmware_apps::SvcSystem;
    use hal::{Barriers, Clock};
    use hal_aarch64::GenericTimer;
    use target_tests::pattern::Random;
    use target_tests::user::{self, PATIENCE, RawQueue, counters, deflate, leave, memory, request, set_word};
    use target_tests::{check, get};
    use uacce_abi::{Call, Kernel, PollFd};
    use uacce_user::{
        CompletionWait, Direction, RingEntry, System, Wanted, WdError, WdQueue, wd_recv, wd_recv_sync, wd_request_queue, wd_send,
    };
    use zip_spec::{Completion, RequestType, Sqe};

    const SOURCE_BYTES: u64 = 512;
    const OUTPUT_BYTES: u64 = 4096;
    pub const ROUNDS: u64 = 1000;
    /// Rounds of the sleeper.
    pub const SLEEPS_WANTED: u64 = if option_env!("SOC_LONG").is_some() { 10_000 } else { 1_000 };
    /// Words of the board.
    pub const KERNEL: usize = 0;
    pub const OWN: usize = 1;
    pub const CONTROL: usize = 2;
    pub const INTERRUPTS: usize = 3;
    pub const SLEEPS: usize = 4;
    pub const LOST: usize = 5;
    pub const RINGS: usize = 6;
    pub const CALLS: usize = 7;
    pub const DONE: usize = 8;

    const WANTED: Wanted<'static> = Wanted { algorithm: "gzip", direction: Direction::Compress };

    struct Buffers {
        source: u64,
        output: u64,
        produced: u32,
    }

    impl Buffers {
        fn sqe(&self, tag: u64) -> Sqe {
            request(RequestType::GZIP, self.source, SOURCE_BYTES, self.output, OUTPUT_BYTES, tag)
        }

        fn check(&self, sqe: &Sqe, tag: u64) {
            let completion = Completion::from(sqe);
            check!(completion.status.is_good(), completion.status.0);
            check!(completion.tag == tag, completion.tag);
            check!(completion.consumed as u64 == SOURCE_BYTES && completion.produced == self.produced, completion.produced);
        }
    }

    /// Polls. The clock is read at EL0, and seldom: no exception is taken.
    fn receive<S: System>(queue: &mut WdQueue<'_, S>, into: &mut Sqe) {
        let deadline = GenericTimer.deadline(PATIENCE);
        loop {
            for _ in 0..64 {
                match wd_recv(queue, into) {
                    Err(WdError::Again) => SvcSystem.relax(),
                    other => return get!(other),
                }
            }
            check!(!deadline.has_passed(&GenericTimer), queue.number());
        }
    }

    fn one(queue: &mut WdQueue<'_, SvcSystem>, buffers: &Buffers, tag: u64) {
        let mut sqe = Sqe::ZERO;
        get!(wd_send(queue, &buffers.sqe(tag)));
        receive(queue, &mut sqe);
        buffers.check(&sqe, tag);
    }

    /// Buffers that CPU and device have touched, and what the request gives.
    fn warm(queue: &mut WdQueue<'_, SvcSystem>) -> Buffers {
        let (source, output) = (memory(SOURCE_BYTES), memory(OUTPUT_BYTES));
        user::fill(source, SOURCE_BYTES, 1);
        user::touch(output, OUTPUT_BYTES);
        let mut buffers = Buffers { source, output, produced: 0 };
        let mut sqe = Sqe::ZERO;
        get!(wd_send(queue, &buffers.sqe(7)));
        receive(queue, &mut sqe);
        let completion = Completion::from(&sqe);
        check!(completion.status.is_good() && completion.produced > 20, completion.produced);
        buffers.produced = completion.produced;
        one(queue, &buffers, 8);
        buffers
    }

    fn thousand(queue: &mut WdQueue<'_, SvcSystem>, buffers: &Buffers) {
        for tag in 0..ROUNDS {
            one(queue, buffers, tag);
        }
    }

    /// Nothing but requests, as many as it is told.
    pub extern "C" fn requests(count: u64) -> ! {
        let system = SvcSystem;
        let mut queue = get!(wd_request_queue(&system, &WANTED));
        let buffers = warm(&mut queue);
        for tag in 0..count {
            one(&mut queue, &buffers, tag);
        }
        leave()
    }

    /// Has a queue, and says where its rings lie.
    pub extern "C" fn has_rings(_: u64) -> ! {
        let queue = RawQueue::compressing();
        set_word(RINGS, queue.dus);
        set_word(DONE, 1);
        user::hold()
    }

    /// One at a time; the query that ends an interval is the one exception in it.
    pub extern "C" fn one_by_one(_: u64) -> ! {
        let system = SvcSystem;
        let mut queue = get!(wd_request_queue(&system, &WANTED));
        let buffers = warm(&mut queue);
        let before = counters();
        thousand(&mut queue, &buffers);
        let during = counters().since(&before);
        set_word(KERNEL, during.kernel_el1_exceptions);
        set_word(OWN, during.el1_exceptions);
        set_word(INTERRUPTS, during.interrupts);
        // The counters do see calls.
        let before = counters();
        for tag in 0..10 {
            one(&mut queue, &buffers, tag);
            system.invoke(Call::Identity);
        }
        set_word(CONTROL, counters().since(&before).kernel_el1_exceptions);
        set_word(DONE, 1);
        leave()
    }

    /// Many in flight.
    pub extern "C" fn in_batches(_: u64) -> ! {
        let system = SvcSystem;
        let mut queue = get!(wd_request_queue(&system, &WANTED));
        let buffers = warm(&mut queue);
        let mut sqe = Sqe::ZERO;
        let before = counters();
        for batch in 0..10 {
            for tag in 0..100 {
                get!(wd_send(&mut queue, &buffers.sqe(batch * 100 + tag)));
            }
            for tag in 0..100 {
                receive(&mut queue, &mut sqe);
                buffers.check(&sqe, batch * 100 + tag);
            }
        }
        set_word(KERNEL, counters().since(&before).kernel_el1_exceptions);
        set_word(DONE, 1);
        leave()
    }

    /// One at a time, with somebody else who wants the core, until an interrupt has given it to that one and another one has given it back. The
    /// interval is as long as that takes, and no number of requests: where the simulated cores share a core of the host, each request waits for
    /// its scheduler's turns.
    pub extern "C" fn with_company(_: u64) -> ! {
        let system = SvcSystem;
        let mut queue = get!(wd_request_queue(&system, &WANTED));
        let buffers = warm(&mut queue);
        let deadline = GenericTimer.deadline(PATIENCE);
        let before = counters();
        let mut tag = 0;
        let during = loop {
            one(&mut queue, &buffers, tag);
            tag += 1;
            let during = counters().since(&before);
            if during.interrupts > 0 && during.kernel_el1_exceptions > during.el1_exceptions {
                break during;
            }
            check!(!deadline.has_passed(&GenericTimer), tag);
        };
        set_word(KERNEL, during.kernel_el1_exceptions);
        set_word(OWN, during.el1_exceptions);
        set_word(INTERRUPTS, during.interrupts);
        set_word(CALLS, during.system_calls);
        // A query per request, and no other call.
        check!(during.system_calls == tag, during.system_calls);
        set_word(DONE, 1);
        leave()
    }

    /// Wants the core for ever.
    pub extern "C" fn spin(_: u64) -> ! {
        loop {
            SvcSystem.relax();
        }
    }

    /// Full rings, three laps and a bit.
    pub extern "C" fn full_rings(_: u64) -> ! {
        let system = SvcSystem;
        let mut queue = get!(wd_request_queue(&system, &WANTED));
        let buffers = warm(&mut queue);
        let mut sqe = Sqe::ZERO;
        let mut tag = 0;
        for _ in 0..3 {
            let first = tag;
            for _ in 0..queue.capacity() {
                get!(wd_send(&mut queue, &buffers.sqe(tag)));
                tag += 1;
            }
            check!(wd_send(&mut queue, &buffers.sqe(0xbad)) == Err(WdError::Busy));
            check!(queue.in_flight() == queue.capacity(), queue.in_flight());
            for expected in first..tag {
                receive(&mut queue, &mut sqe);
                buffers.check(&sqe, expected);
            }
            check!(wd_recv(&mut queue, &mut sqe) == Err(WdError::Again));
        }
        set_word(DONE, tag);
        leave()
    }

    /// Sleeps as long as it takes, and remembers when nothing came.
    struct Watched {
        sleeps: Cell<u64>,
        lost: Cell<u64>,
    }

    impl Kernel for Watched {
        fn invoke(&self, call: Call<'_>) -> i64 {
            let Call::Poll { entries, .. } = call else { return SvcSystem.invoke(call) };
            let ready = SvcSystem.invoke(Call::Poll { entries, timeout_nanoseconds: 20_000_000_000 });
            self.sleeps.set(self.sleeps.get() + 1);
            self.lost.set(self.lost.get() + u64::from(ready == 0));
            ready
        }
    }

    impl Barriers for Watched {
        fn dma_wmb(&self) {
            SvcSystem.dma_wmb();
        }
        fn dma_rmb(&self) {
            SvcSystem.dma_rmb();
        }
    }

    impl System for Watched {
        type Memory<E: RingEntry> = <SvcSystem as System>::Memory<E>;
        fn queue_memory<E: RingEntry>(&self, regions: &uacce_user::QueueRegions) -> Self::Memory<E> {
            SvcSystem.queue_memory(regions)
        }
        fn relax(&self) {
            SvcSystem.relax();
        }
    }

    /// Receives without a single look before the sleep. Requests of any length end at any moment: before the queue is armed, between that and
    /// the sleep, in the sleep.
    pub extern "C" fn sleeper(seed: u64) -> ! {
        const BYTES: u64 = 16 << 10;
        let mut random = Random(seed);
        let system = Watched { sleeps: Cell::new(0), lost: Cell::new(0) };
        let mut queue = get!(wd_request_queue(&system, &WANTED));
        let (source, output) = (memory(BYTES), memory(2 * BYTES));
        user::fill(source, BYTES, 2);
        user::touch(output, 2 * BYTES);
        let mut sqe = Sqe::ZERO;
        for tag in 0..SLEEPS_WANTED {
            let bytes = 8 * (1 + random.below(BYTES / 8));
            get!(wd_send(&mut queue, &request(RequestType::GZIP, source, bytes, output, 2 * BYTES, tag)));
            get!(wd_recv_sync(&mut queue, &mut sqe, CompletionWait { spins: 0, timeout_nanoseconds: u64::MAX }));
            let completion = Completion::from(&sqe);
            check!(completion.status.is_good() && completion.tag == tag, completion.tag);
            check!(system.lost.get() == 0, tag);
        }
        set_word(SLEEPS, system.sleeps.get());
        set_word(LOST, system.lost.get());
        set_word(DONE, 1);
        leave()
    }

    /// Asks poll() first, every time: each completion is news once.
    pub extern "C" fn poller(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (source, output) = (memory(SOURCE_BYTES), memory(OUTPUT_BYTES));
        user::fill(source, SOURCE_BYTES, 3);
        // No news: a poll says so.
        let mut entries = [PollFd::new(queue.fd)];
        check!(SvcSystem.poll(&mut entries, 1_000_000) == Ok(0) && entries[0].revents == 0);
        let before = counters();
        for tag in 0..ROUNDS {
            queue.put(&deflate(source, SOURCE_BYTES, output, OUTPUT_BYTES, tag));
            queue.ring();
            queue.arm();
            let mut entries = [PollFd::new(queue.fd)];
            check!(SvcSystem.poll(&mut entries, 20_000_000_000) == Ok(1), tag);
            check!(entries[0].revents == PollFd::IN, entries[0].revents);
            match queue.take() {
                Some(completion) => check!(completion.tag == tag && completion.status.is_good(), completion.tag),
                None => user::fail(line!(), tag),
            }
        }
        let during = counters().since(&before);
        set_word(INTERRUPTS, during.interrupts);
        set_word(DONE, 1);
        leave()
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod plain {
    use super::programs as p;
    use firmware_kernel::{interrupts_handled, lookup_user, set_tick};
    use firmware_platform::trace::Counter;
    use target_tests::board::space;
    use target_tests::{Board, start_kernel, vendor};

    /// The query that ends the interval is an exception itself; there must be no other.
    const THE_QUERY: u64 = 1;

    #[test]
    fn ua_a6_1000_polled_requests_take_no_el1_exception() {
        start_kernel();
        let board = Board::new();
        set_tick(false);
        board.run(board.start("one by one", p::one_by_one, 0));
        assert_eq!(board.word(p::DONE), 1);
        assert_eq!(board.word(p::KERNEL), THE_QUERY, "exceptions of the whole kernel");
        assert_eq!(board.word(p::OWN), THE_QUERY, "exceptions of the process");
        assert_eq!(board.word(p::INTERRUPTS), 0);
        // Ten calls in ten requests, and the query.
        assert_eq!(board.word(p::CONTROL), 11, "the counter does not count");
        assert!(vendor::counter(Counter::JobsDone) >= 1012);
        // A send and a receive are one store to the device each, and nothing else.
        assert!(vendor::counter(Counter::BarAccesses) >= 2 * 1012);
    }

    #[test]
    fn ua_a6_1000_requests_in_batches_take_no_el1_exception() {
        start_kernel();
        let board = Board::new();
        set_tick(false);
        board.run(board.start("in batches", p::in_batches, 0));
        assert_eq!((board.word(p::DONE), board.word(p::KERNEL)), (1, THE_QUERY));
    }

    #[test]
    fn ua_q10_rings_are_memory_and_a_request_is_two_stores_to_the_device() {
        start_kernel();
        let board = Board::new();
        set_tick(false);
        let accesses = |count: u64| {
            let before = vendor::counter(Counter::BarAccesses);
            board.run(board.start("requests", p::requests, count));
            vendor::counter(Counter::BarAccesses) - before
        };
        // The first of all processes has the queue's memory made.
        accesses(1);
        let (few, many) = (accesses(100), accesses(1100));
        assert_eq!(many - few, 2 * 1000, "one doorbell tells of a request, one of its completion");
        let process = board.start("has rings", p::has_rings, 0);
        board.run_until(p::DONE..p::DONE + 1);
        let found = lookup_user(space(process), board.word(p::RINGS)).expect("mapped");
        // Attribute index 1 of the house's MAIR: normal memory; 0 would be a device's.
        assert_eq!(found.descriptor >> 2 & 7, 1);
    }

    #[test]
    fn ua_a6_interrupts_are_among_the_exceptions_counted() {
        start_kernel();
        let board = Board::new();
        let company = board.start("spin", p::spin, 0);
        board.run(board.start("with company", p::with_company, 0));
        assert!(firmware_kernel::living().contains(&company));
        let [interrupts, calls, own, all] = [p::INTERRUPTS, p::CALLS, p::OWN, p::KERNEL].map(|word| board.word(word));
        assert_eq!(board.word(p::DONE), 1);
        assert!(interrupts >= 1 && own == interrupts + calls, "{interrupts} interrupts, {calls} calls, {own} exceptions");
        // The other one's.
        assert!(all > own, "{all} exceptions of the whole kernel, {own} of them the process's");
    }

    #[test]
    fn ua_u3_a_full_ring_is_busy_and_loses_nothing() {
        start_kernel();
        let board = Board::new();
        board.run(board.start("full rings", p::full_rings, 0));
        assert_eq!(board.word(p::DONE), 3 * 1023);
    }

    #[test]
    #[timeout(300)]
    fn ua_u5_l07_synchronous_receives_lose_no_wake_up() {
        start_kernel();
        let board = Board::new();
        board.run(board.start("sleeper", p::sleeper, 5));
        assert_eq!((board.word(p::DONE), board.word(p::LOST)), (1, 0));
        // Without an engine core the request is complete before the store returns, and nobody has to sleep.
        let has_engine_core = vendor::counter(Counter::Kicks) > 0;
        assert_eq!(board.word(p::SLEEPS) > 100, has_engine_core, "{} sleeps", board.word(p::SLEEPS));
    }

    #[test]
    fn ua_l5_1000_polls_each_report_one_completion() {
        start_kernel();
        let board = Board::new();
        let before = interrupts_handled();
        board.run(board.start("poller", p::poller, 0));
        assert_eq!(board.word(p::DONE), 1);
        // An armed queue interrupts once per completion.
        let messages = interrupts_handled() - before;
        assert!(messages >= 1000, "{messages} interrupts");
        assert!(vendor::counter(Counter::Messages) >= 1000);
    }
}
