//! Who can reach what: processes beside each other, the kernel beside processes, doorbell pages, and a process that dies.
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
    use firmware_apps::SvcSystem;
    use qm_spec::{Arm, Doorbell, DoorbellLayout};
    use target_tests::check;
    use target_tests::user::{
        self, DOORBELL, FREE_AT, RawQueue, await_words, deflate, hold, leave, memory, memory_at, set_word, store, word,
    };
    use uacce_abi::{Call, Kernel, Protection};
    use zip_spec::{Completion, Status};

    pub const PAGE: u64 = 4096;
    /// Processes that run beside each other.
    pub const CROWD: usize = 4;
    /// Words of the board: each process has its own of each kind.
    pub const DONE: usize = 0;
    pub const SENT: usize = 16;
    pub const MMIO: usize = 48;
    pub const NUMBER: usize = 64;
    pub const STATUS: usize = 80;
    pub const SOURCE: usize = 96;
    pub const OUTPUT: usize = 97;
    pub const GO: usize = 98;
    pub const RUNG: usize = 99;
    /// Requests that kernel and process have under way at once, each.
    pub const BATCH: u64 = 32;

    /// Addresses that all processes of the crowd use.
    pub const SHARED_SOURCE: u64 = FREE_AT;
    pub const SHARED_PACKED: u64 = FREE_AT + 0x20_0000;
    pub const SHARED_OUTPUT: u64 = FREE_AT + 0x40_0000;
    pub const BYTES: u64 = 16 * PAGE;

    fn good(completion: Completion) -> u64 {
        check!(completion.status.is_good(), completion.status.0);
        completion.produced.into()
    }

    /// The same addresses as everybody, and data of its own.
    pub extern "C" fn one_of_a_crowd(who: u64) -> ! {
        memory_at(SHARED_SOURCE, BYTES, Protection::ReadWrite);
        memory_at(SHARED_PACKED, 2 * BYTES, Protection::ReadWrite);
        memory_at(SHARED_OUTPUT, BYTES, Protection::ReadWrite);
        let me = who as usize;
        let (mut there, mut back) = (RawQueue::compressing(), RawQueue::decompressing());
        for round in 1..=16 {
            let seed = who * 1000 + round;
            user::fill(SHARED_SOURCE, BYTES, seed);
            // Nobody rings before all are ready, nobody looks before all have rung.
            there.put(&deflate(SHARED_SOURCE, BYTES, SHARED_PACKED, 2 * BYTES, seed));
            set_word(SENT + me, 2 * round - 1);
            await_words(SENT..SENT + CROWD, 2 * round - 1);
            there.ring();
            set_word(SENT + me, 2 * round);
            await_words(SENT..SENT + CROWD, 2 * round);
            let completion = there.wait();
            check!(completion.tag == seed, completion.tag);
            check!(completion.consumed as u64 == BYTES, completion.consumed);
            let produced = good(completion);
            good(back.run(&deflate(SHARED_PACKED, produced, SHARED_OUTPUT, BYTES, seed)));
            check!(user::holds(SHARED_OUTPUT, BYTES, seed), round);
            check!(user::holds(SHARED_SOURCE, BYTES, seed), round);
        }
        set_word(NUMBER + me, there.number.into());
        set_word(DONE + me, 1);
        hold()
    }

    /// Words of [`resident`]: whose turn it is, and which turns were taken.
    pub const TURN: usize = 100;
    pub const TAKEN: usize = 104;
    pub const TURNS: u64 = 4;

    /// Bound, with data of its own at everybody's address; sends a request when it is its turn.
    pub extern "C" fn resident(who: u64) -> ! {
        let me = who as usize;
        user::fill(SHARED_SOURCE, PAGE, 40 + who);
        memory_at(SHARED_OUTPUT, BYTES, Protection::ReadWrite);
        let mut queue = RawQueue::compressing();
        set_word(DONE + me, 1);
        for turn in 1..=TURNS {
            await_words(TURN + me..TURN + me + 1, turn);
            // Nobody has touched the page that the device is to write: it waits there while others run.
            let output = SHARED_OUTPUT + turn * PAGE;
            good(queue.run(&deflate(SHARED_SOURCE, PAGE, output, PAGE, turn)));
            set_word(TAKEN + 2 * turn as usize + me, 1);
        }
        hold()
    }

    /// Has a queue and says where.
    pub extern "C" fn owner(who: u64) -> ! {
        let queue = RawQueue::compressing();
        let me = who as usize;
        set_word(MMIO + me, queue.mmio);
        set_word(NUMBER + me, u64::from(queue.number) + 1);
        set_word(DONE + me, 1);
        hold()
    }

    /// Stores to its own doorbell page, then to the first byte past it.
    pub extern "C" fn steps_over(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (source, output) = (memory(PAGE), memory(PAGE));
        good(queue.run(&deflate(source, PAGE, output, PAGE, 1)));
        let past = queue.mmio + queue.mmio_bytes;
        set_word(MMIO, past);
        store(past, Doorbell::sq(queue.number + 1, 1).encode(DoorbellLayout::V2));
        leave()
    }

    /// Has written an entry that nobody may start but itself.
    pub extern "C" fn victim(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (source, output) = (memory(PAGE), memory(PAGE));
        user::fill(source, PAGE, 3);
        user::touch(output, PAGE);
        queue.put(&deflate(source, PAGE, output, PAGE, 77));
        set_word(NUMBER, u64::from(queue.number) + 1);
        await_words(GO..GO + 1, 1);
        // What the attacker did would have had its effect by now.
        SvcSystem.invoke(Call::Sleep { nanoseconds: 50_000_000 });
        check!(queue.take().is_none());
        check!(user::is_all(output, PAGE, 0));
        queue.ring();
        let completion = queue.wait();
        check!(completion.tag == 77 && completion.status == Status::SUCCESS, completion.tag);
        SvcSystem.invoke(Call::Sleep { nanoseconds: 20_000_000 });
        check!(queue.take().is_none());
        set_word(DONE, 1);
        leave()
    }

    /// Rings its own page with the number of somebody else's queue.
    pub extern "C" fn attacker(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        await_words(NUMBER..NUMBER + 1, 1);
        let victim = word(NUMBER) as u16 - 1;
        check!(victim != queue.number, victim);
        let at = queue.mmio + DOORBELL;
        for tail in [1, 1, 2, 1023, 1024, 0xffff] {
            store(at, Doorbell::sq(victim, tail).encode(DoorbellLayout::V2));
            store(at, Doorbell::cq(victim, tail, Arm::NextEvent).encode(DoorbellLayout::V2));
        }
        // Queues that nobody has, and rings that are the kernel's.
        store(at, Doorbell::sq(63, 1).encode(DoorbellLayout::V2));
        store(at, Doorbell::sq(1023, 1).encode(DoorbellLayout::V2));
        store(at, Doorbell::eq(1).encode(DoorbellLayout::V2));
        store(at, Doorbell::aeq(1).encode(DoorbellLayout::V2));
        // Its own queue is as good as before.
        let (source, output) = (memory(PAGE), memory(PAGE));
        user::fill(source, PAGE, 4);
        good(queue.run(&deflate(source, PAGE, output, PAGE, 5)));
        // A page of doorbells has nothing to read.
        for offset in [0, 8, DOORBELL, 0x2000, 0xfff8] {
            check!(user::load(queue.mmio + offset) == 0, offset);
        }
        set_word(GO, 1);
        await_words(DONE..DONE + 1, 1);
        leave()
    }

    /// A process beside the kernel's own queue. SOURCE: a device address of the kernel's.
    pub extern "C" fn beside_the_kernel(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (source, output) = (memory(PAGE), memory(PAGE));
        user::fill(source, PAGE, 11);
        user::touch(output, PAGE);
        let kernel = word(SOURCE);
        good(queue.run(&deflate(source, PAGE, output, PAGE, 1)));
        set_word(STATUS, queue.run(&deflate(kernel, PAGE, output, PAGE, 2)).status.0.into());
        set_word(STATUS + 1, queue.run(&deflate(source, PAGE, kernel, PAGE, 3)).status.0.into());
        good(queue.run(&deflate(source, PAGE, output, PAGE, 4)));
        set_word(OUTPUT, source);
        set_word(DONE, 1);
        await_words(GO..GO + 1, 1);
        // The kernel's own requests wait for the engine already.
        for tag in 0..BATCH {
            queue.put(&deflate(source, PAGE, output, PAGE, tag));
        }
        queue.ring();
        set_word(RUNG, 1);
        let mut produced = 0;
        for tag in 0..BATCH {
            let completion = queue.wait();
            check!(completion.tag == tag, completion.tag);
            produced = good(completion);
        }
        let again = memory(PAGE);
        good(RawQueue::decompressing().run(&deflate(output, produced, again, PAGE, 5)));
        check!(user::holds(again, PAGE, 11));
        set_word(DONE + 1, 1);
        hold()
    }

    /// Where the test lends frames.
    pub const LENT: u64 = FREE_AT + 0x1000_0000;
    /// Queues and requests of the one that dies.
    pub const QUEUES: usize = 8;
    pub const REQUESTS: usize = 4;
    pub const OUTPUT_BYTES: u64 = 0x2_0000;
    const INPUT_BYTES: u64 = 0x1_0000;

    /// Sends on eight queues and dies before anything has come back.
    pub extern "C" fn dies(_: u64) -> ! {
        let mut queues: [RawQueue; QUEUES] = core::array::from_fn(|_| RawQueue::compressing());
        let source = memory(INPUT_BYTES);
        user::fill(source, INPUT_BYTES, 12);
        for (index, queue) in queues.iter_mut().enumerate() {
            for request in 0..REQUESTS {
                let at = LENT + (index * REQUESTS + request) as u64 * OUTPUT_BYTES;
                queue.put(&deflate(source, INPUT_BYTES, at, OUTPUT_BYTES, request as u64));
            }
        }
        set_word(DONE, 1);
        for queue in &queues {
            queue.ring();
        }
        store(0, 0);
        leave()
    }

    /// Sends as much of memory that it never touched: the device asks for every page of it.
    pub extern "C" fn asks_for_much(_: u64) -> ! {
        let mut queues: [RawQueue; QUEUES] = core::array::from_fn(|_| RawQueue::compressing());
        for queue in &mut queues {
            for request in 0..REQUESTS {
                let (source, output) = (memory(INPUT_BYTES), memory(OUTPUT_BYTES));
                queue.put(&deflate(source, INPUT_BYTES, output, OUTPUT_BYTES, request as u64));
            }
        }
        for queue in &queues {
            queue.ring();
        }
        set_word(DONE, 1);
        hold()
    }

    /// Opens and closes while requests are under way, again and again.
    pub extern "C" fn closes_early(_: u64) -> ! {
        let (source, output) = (memory(INPUT_BYTES), memory(2 * INPUT_BYTES));
        user::fill(source, INPUT_BYTES, 13);
        // Another queue keeps the PASID bound: the SMMU would let a late result through.
        let mut other = RawQueue::compressing();
        for round in 0..20 {
            let mut queue = RawQueue::compressing();
            for tag in 0..3 {
                queue.put(&deflate(source, INPUT_BYTES, output, 2 * INPUT_BYTES, tag));
            }
            queue.ring();
            if round % 2 == 1 {
                queue.wait();
            }
            check!(queue.close().is_ok(), round);
            // No result may arrive after the handle is gone.
            user::fill(output, 2 * INPUT_BYTES, 14);
            SvcSystem.invoke(Call::Sleep { nanoseconds: 5_000_000 });
            check!(user::holds(output, 2 * INPUT_BYTES, 14), round);
        }
        good(other.run(&deflate(source, INPUT_BYTES, output, 2 * INPUT_BYTES, 9)));
        set_word(DONE, 1);
        leave()
    }
}

#[cfg(target_os = "none")]
mod steps {
    use super::programs as p;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::time::Duration;
    use firmware_kerncore::vma::Rights;
    use firmware_kernel::{
        CompressDirection, Compressor, DomainMemory, Exit, PageFaults, ServingClock, config_space, free_frames, identity, living,
        lookup_user, page_faults, run_until_exit, space_counters, take_events, with_qm,
    };
    use firmware_platform::trace::Counter;
    use hal::{AccessKind, Clock, DmaBuffer, DmaMapper, Iova, Pa, StreamId};
    use hal_aarch64::GenericTimer;
    use smmu_driver::{Event, TranslationFault};
    use target_tests::board::{frames, lend_frames, space};
    use target_tests::kernel_queue::KernelQueue;
    use target_tests::user::{RawQueue, deflate};
    use target_tests::vendor::Answer;
    use target_tests::{Board, accelerator, pattern, start_kernel, vendor};
    use uacce_abi::ProcessId;
    use zip_spec::{Container, Status};

    /// ESR_EL1.EC of a data abort from EL0.
    const DATA_ABORT_EL0: u8 = 0x24;

    fn all_distinct<T: PartialEq>(values: &[T]) -> bool {
        values.iter().enumerate().all(|(at, value)| !values[..at].contains(value))
    }

    fn faults() -> Vec<TranslationFault> {
        let mut faults = Vec::new();
        // Records that nobody was interrupted for yet.
        ServingClock.relax();
        take_events(|event| match event {
            Event::Fault(fault) => faults.push(fault),
            other => panic!("an event that is no fault: {other:?}"),
        });
        faults
    }

    /// Lets devices work for a while; what they ask for is served.
    fn pause(time: Duration) {
        let deadline = ServingClock.deadline(time);
        while !deadline.has_passed(&ServingClock) {
            ServingClock.relax();
        }
    }

    pub fn crowd() {
        start_kernel();
        let board = Board::new();
        let crowd: Vec<ProcessId> = (0..p::CROWD).map(|who| board.start("one of a crowd", p::one_of_a_crowd, who as u64)).collect();
        board.run_until(p::DONE..p::DONE + p::CROWD);
        let identities: Vec<_> = crowd.iter().map(|process| identity(space(*process)).expect("alive")).collect();
        assert!(all_distinct(&identities.iter().map(|identity| identity.root).collect::<Vec<_>>()));
        assert!(all_distinct(&identities.iter().map(|identity| identity.asid).collect::<Vec<_>>()));
        assert!(all_distinct(&identities.iter().map(|identity| identity.substream).collect::<Vec<_>>()));
        assert!(identities.iter().all(|identity| identity.substream.is_some()));
        for at in [p::SHARED_SOURCE, p::SHARED_PACKED, p::SHARED_OUTPUT] {
            let places: Vec<Pa> =
                crowd.iter().map(|process| lookup_user(space(*process), at).expect("touched memory is mapped").pa).collect();
            assert!(all_distinct(&places), "{at:#x}: {places:?}");
        }
    }

    pub fn follows_the_process() {
        let stream = accelerator(&start_kernel()).stream;
        let board = Board::new();
        let sources = [0, 1].map(|_| frames(p::PAGE as usize, 4096));
        let residents = [0, 1].map(|who| board.start("resident", p::resident, who as u64));
        for (process, source) in residents.iter().zip(&sources) {
            lend_frames(*process, p::SHARED_SOURCE, source, Rights::ReadWrite);
        }
        board.run_until(p::DONE..p::DONE + 2);
        let identities = residents.map(|process| identity(space(process)).expect("alive"));
        assert!(identities[0].asid != identities[1].asid && identities[0].root != identities[1].root);
        for turn in 1..=p::TURNS {
            for me in [0, 1] {
                board.set(p::TURN + me, turn);
                let taken = p::TAKEN + 2 * turn as usize + me;
                board.run_until(taken..taken + 1);
                // The process that waited for this was the last one on the CPU; what either one's device sees does not depend on that.
                for (identity, source) in identities.iter().zip(&sources) {
                    let answer = vendor::translate(stream, identity.substream, Iova(p::SHARED_SOURCE), AccessKind::Read);
                    assert_eq!(answer, Answer::At(source.physical_address().expect("frames")), "turn {turn} of {me}");
                }
                // The page that the device waited for came into the space of the process whose request it was.
                let has_output = residents.map(|process| lookup_user(space(process), p::SHARED_OUTPUT + turn * p::PAGE).is_some());
                assert_eq!(has_output, [true, me == 1], "turn {turn} of {me}");
            }
        }
        for (source, seed) in sources.iter().zip([40, 41]) {
            assert!((0..512).all(|index| source.read64(index * 8) == pattern::word(seed, index as u64)));
        }
        assert!(faults().iter().all(|fault| fault.stall.is_some()), "each was answered with a page");
    }

    pub fn doorbell_mapping() {
        let report = start_kernel();
        let found = &accelerator(&report).found;
        let config = config_space(found.host).expect("the host bridge's configuration space");
        let word = |offset| firmware_kerncore::pci::ConfigSpace::read32(&config, found.function.rid, offset);
        let bar4 = u64::from(word(0x20) & !0xf) | u64::from(word(0x24)) << 32;
        let board = Board::new();
        let owners: Vec<ProcessId> = (0..3).map(|who| board.start("owner", p::owner, who)).collect();
        board.run_until(p::DONE..p::DONE + 3);
        for (who, process) in owners.iter().enumerate() {
            let (at, number) = (board.word(p::MMIO + who), board.word(p::NUMBER + who) - 1);
            for offset in (0..RawQueue::MMIO_BYTES).step_by(4096) {
                let found = lookup_user(space(*process), at + offset).expect("the page is mapped");
                assert_eq!(found.pa, Pa(bar4 + number * RawQueue::MMIO_BYTES + offset));
                assert_eq!(found.user_rights(), Rights::ReadWrite);
                // Attribute index 0 of the house's MAIR: device memory; never executable.
                assert_eq!((found.descriptor >> 2 & 7, found.descriptor >> 53 & 3), (0, 3));
            }
            assert_eq!(lookup_user(space(*process), at - 8), None);
            assert_eq!(lookup_user(space(*process), at + RawQueue::MMIO_BYTES), None);
        }
    }

    pub fn store_past_the_page() {
        start_kernel();
        let board = Board::new();
        let process = board.start("steps over", p::steps_over, 0);
        let exit = run_until_exit(process);
        let Ok(Exit::Killed { class, address, .. }) = exit else { panic!("{exit:?}") };
        assert_eq!((class, address), (DATA_ABORT_EL0, board.word(p::MMIO)));
        assert!(board.word(p::MMIO) != 0);
    }

    pub fn foreign_number() {
        start_kernel();
        let board = Board::new();
        board.start("victim", p::victim, 0);
        board.run(board.start("attacker", p::attacker, 0));
        assert_eq!(board.word(p::DONE), 1);
    }

    pub fn kernel_beside_process() {
        let report = start_kernel();
        let stream = accelerator(&report).stream;
        let board = Board::new();
        let source = DomainMemory::default().alloc(4096, 4096).expect("memory");
        let output = DomainMemory::default().alloc(4096, 4096).expect("memory");
        for index in 0..512 {
            source.write64(index * 8, pattern::word(20, index as u64));
            output.write64(index * 8, 0x5555);
        }
        let (source_at, output_at) = (source.device_address(), output.device_address());
        board.set(p::SOURCE, source_at.0);
        let process = board.start("beside the kernel", p::beside_the_kernel, 0);
        board.run_until(p::DONE..p::DONE + 1);
        // The kernel's device addresses mean nothing with SSV = 1.
        let statuses = [0, 1].map(|index| board.word(p::STATUS + index) as u8);
        assert_eq!(statuses, [Status::SOURCE_ABORT.0, Status::DESTINATION_ABORT.0]);
        let substream = identity(space(process)).and_then(|identity| identity.substream);
        assert!(substream.is_some());
        let by_stall = page_faults() == Some(PageFaults::Stall);
        let refused: Vec<_> = faults().into_iter().filter(|fault| fault.address == source_at).collect();
        // A device that asks for pages is told no, and the SMMU has nothing to report.
        assert_eq!(refused.len(), if by_stall { 2 } else { 0 }, "{refused:?}");
        assert_eq!(space_counters(space(process)).device_refusals, 2);
        assert!(refused.iter().all(|fault| (fault.stream, fault.substream) == (stream, substream)));

        // With SSV = 0 they do.
        let queue = KernelQueue::compressing(0, None);
        let request = |source: Iova, output: Iova, tag| deflate(source.0, 4096, output.0, 4096, tag);
        let completion = queue.run(&request(source_at, output_at, 1));
        assert_eq!((completion.status, completion.consumed), (Status::SUCCESS, 4096));
        assert!(output.read64(0) != 0x5555);
        assert!(faults().is_empty());

        // The process's addresses do not.
        let user_at = Iova(board.word(p::OUTPUT));
        assert!(lookup_user(space(process), user_at.0).is_some());
        assert_eq!(queue.run(&request(user_at, output_at, 2)).status, Status::SOURCE_ABORT);
        assert_eq!(queue.run(&request(source_at, user_at, 3)).status, Status::DESTINATION_ABORT);
        let refused = faults();
        assert_eq!(refused.len(), if by_stall { 2 } else { 0 }, "{refused:?}");
        assert!(refused.iter().all(|fault| (fault.stream, fault.substream, fault.address) == (stream, None, user_at)));
        assert_eq!(queue.run(&request(source_at, output_at, 4)).status, Status::SUCCESS);

        // Both at once: the engine stands still until requests of both kinds wait for it, on one StreamID.
        for index in 0..512 {
            output.write64(index * 8, 0x5555);
        }
        vendor::set_engine(false);
        for tag in 0..p::BATCH {
            queue.submit(&request(source_at, output_at, tag));
        }
        board.set(p::GO, 1);
        board.run_until(p::RUNG..p::RUNG + 1);
        assert!(queue.take().is_none() && output.read64(0) == 0x5555, "the engine was to stand still");
        vendor::set_engine(true);
        board.run_until(p::DONE + 1..p::DONE + 2);
        for tag in 0..p::BATCH {
            let done = queue.wait();
            assert_eq!((done.status, done.tag, done.produced), (Status::SUCCESS, tag, completion.produced));
        }
        // But for the process's page that nobody had touched.
        assert!(faults().iter().all(|fault| (fault.substream, fault.stall.is_some()) == (substream, true)));
        assert_eq!(space_counters(space(process)).device_refusals, 2);
        // The process has looked at its data; this is the kernel's.
        let packed: Vec<u8> = (0..completion.produced as usize).map(|index| output.read8(index)).collect();
        let mut again = vec![0; 4096];
        let mut back = Compressor::new(0, Container::Raw, CompressDirection::Decompress).expect("a queue");
        assert_eq!(back.run(&packed, &mut again), Ok(4096));
        assert!(again.chunks_exact(8).enumerate().all(|(index, word)| word == pattern::word(20, index as u64).to_le_bytes()));
    }

    pub fn killed() {
        let report = start_kernel();
        assert_eq!(accelerator(&report).stream, StreamId(8));
        let free_queues = || with_qm(0, |qm| qm.available()).expect("a QM");
        let board = Board::new();
        let output = frames(p::QUEUES * p::REQUESTS * p::OUTPUT_BYTES as usize, 4096);
        let words = output.len_bytes() / 8;
        let die = || {
            let process = board.start("dies", p::dies, 0);
            lend_frames(process, p::LENT, &output, Rights::ReadWrite);
            let exit = run_until_exit(process);
            assert!(matches!(exit, Ok(Exit::Killed { class: DATA_ABORT_EL0, address: 0, .. })), "{exit:?}");
            assert_eq!(board.word(p::DONE), 1);
            assert!(living().is_empty());
        };
        let queues = free_queues();
        // Queue numbers go round, and each keeps its rings' memory when it is given back; after one turn nothing may be lost.
        for _ in 0..queues as usize / p::QUEUES {
            die();
            assert_eq!(free_queues(), queues);
        }
        let frames_left = free_frames();
        let started_before = vendor::counter(Counter::Jobs);
        die();
        assert_eq!((free_queues(), free_frames()), (queues, frames_left));

        // Whatever was under way is over: what lies in its output now stays.
        take_events(|_| {});
        for index in 0..words {
            output.write64(index * 8, pattern::word(30, index as u64));
        }
        pause(Duration::from_millis(200));
        assert!((0..words).all(|index| output.read64(index * 8) == pattern::word(30, index as u64)), "DMA of a dead process");
        assert!(faults().is_empty());
        assert_eq!(vendor::counter(Counter::Jobs), vendor::counter(Counter::JobsDone));
        let started = vendor::counter(Counter::Jobs) - started_before;
        assert!(started >= 1 && started <= (p::QUEUES * p::REQUESTS) as u64, "{started} requests were started");
    }

    pub fn killed_while_faults_pend() {
        start_kernel();
        let board = Board::new();
        let process = board.start("asks for much", p::asks_for_much, 0);
        board.run_until(p::DONE..p::DONE + 1);
        // Nobody answers: what the device works at waits for a page in the end.
        let deadline = GenericTimer.deadline(Duration::from_millis(30));
        while !deadline.has_passed(&GenericTimer) {}
        let count = |what| vendor::counter(what);
        let (stalls, open) = (count(Counter::Stalls), count(Counter::Jobs) - count(Counter::JobsDone));
        assert!(stalls > 0 && open > 0, "{stalls} stalls, {open} requests");
        assert!(count(Counter::JobsDone) < (p::QUEUES * p::REQUESTS) as u64 / 2, "most are still to come");
        take_events(|_| {});
        firmware_kernel::kill(process).expect("it lives");
        pause(Duration::from_millis(50));
        assert_eq!(count(Counter::Stalls), stalls, "no request asked for a page of the dead process");
        assert_eq!(count(Counter::Jobs), count(Counter::JobsDone), "none is left waiting");
        // The records of those that waited, answered by the driver; a quiet context makes none.
        let records = faults();
        assert!(records.len() as u64 <= open && records.iter().all(|fault| fault.stall.is_none()), "{records:?}");
        assert_eq!(firmware_kernel::with_smmu(|smmu| smmu.pending_stalls()), Some(0));
        // The device works on for others.
        board.run(board.start("closes early", p::closes_early, 0));
    }

    pub fn closed_early() {
        start_kernel();
        let board = Board::new();
        let before = with_qm(0, |qm| qm.available());
        board.run(board.start("closes early", p::closes_early, 0));
        assert_eq!(board.word(p::DONE), 1);
        assert_eq!(with_qm(0, |qm| qm.available()), before);
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod plain {
    use super::steps;

    #[test]
    fn ua_p1_processes_use_the_same_addresses_at_once_with_data_of_their_own() {
        steps::crowd();
    }

    #[test]
    fn sm_p14_dma_follows_the_process_and_not_the_running_task() {
        steps::follows_the_process();
    }

    #[test]
    fn ua_q3_the_doorbell_mapping_is_exactly_the_queues_own_page() {
        steps::doorbell_mapping();
    }

    #[test]
    fn ua_q3_p01_a_store_past_the_own_doorbell_page_kills() {
        steps::store_past_the_page();
    }

    #[test]
    fn qm_d04_d05_a_foreign_queue_number_in_the_own_page_does_nothing() {
        steps::foreign_number();
    }

    #[test]
    fn ua_v4_p4_m2_r2_kernel_and_process_use_one_device_each_in_its_own_space() {
        steps::kernel_beside_process();
    }

    #[test]
    fn ua_l6_a_killed_process_gives_its_queues_back_and_its_dma_ends() {
        steps::killed();
    }

    #[test]
    fn ua_l6_a_queue_closed_early_writes_nothing_afterwards() {
        steps::closed_early();
    }
}

/// With a core for the engine: without one it works in the doorbell's trap, and has done everything when the process goes on.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_1p1 {
    use super::steps;

    #[test]
    fn ua_l6_sm_p13_a_process_that_is_killed_while_its_devices_wait_for_pages_is_asked_for_no_more() {
        steps::killed_while_faults_pend();
    }
}

/// What is above, with a device that keeps translations and asks for pages.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_atspri {
    use super::steps;

    #[test]
    fn ua_p1_processes_use_the_same_addresses_at_once_with_data_of_their_own() {
        steps::crowd();
    }

    #[test]
    fn ua_v4_p4_m2_r2_kernel_and_process_use_one_device_each_in_its_own_space() {
        steps::kernel_beside_process();
    }

    #[test]
    fn ua_l6_a_killed_process_gives_its_queues_back_and_its_dma_ends() {
        steps::killed();
    }

    #[test]
    fn ua_l6_a_queue_closed_early_writes_nothing_afterwards() {
        steps::closed_early();
    }
}

/// Three engine cores, and a TLB that forgets.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_atspri_random_1p3 {
    use super::steps;

    #[test]
    fn ua_p1_processes_use_the_same_addresses_at_once_with_data_of_their_own() {
        steps::crowd();
    }

    #[test]
    fn ua_l6_a_queue_closed_early_writes_nothing_afterwards() {
        steps::closed_early();
    }
}
