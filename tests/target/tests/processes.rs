//! Copies of a process, other programs in its place, and ends of every kind, while devices work in its memory.
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
    use firmware_apps::SvcSystem;
    use target_tests::session::{Shared, number};
    use target_tests::user::{self, RawQueue, await_words, counters, deflate, give_way, leave, load, memory, set_word, store, word};
    use target_tests::{check, get};
    use uacce_abi::{Attribute, Call, Command, Errno, Fd, FileRegion, Kernel, NodeIndex, OnExec, PollFd, ProcessId};
    use zip_spec::Status;

    const PAGE: u64 = 4096;
    pub const READY: usize = 0;
    pub const AT: usize = 1;
    pub const PINNED: usize = 2;
    pub const GO: usize = 3;
    pub const CHILD_DONE: usize = 4;
    /// What parent, child and device see: before the device writes, and after.
    pub const PARENT: usize = 8;
    pub const CHILD: usize = 9;
    pub const DEVICE: usize = 10;
    pub const PARENT_AFTER: usize = 11;
    pub const CHILD_AFTER: usize = 12;
    pub const COPIES: usize = 13;
    pub const NUMBER: usize = 14;
    pub const DONE: usize = 16;
    /// Orders of [`disputed`]: who writes after the fork.
    pub const CHILD_WRITES: u64 = 0;
    pub const PARENT_WRITES: u64 = 1;

    /// Runs `child` in a copy of this process; returns its number. The copy ends with code 0.
    fn forked(child: impl FnOnce()) -> ProcessId {
        match get!(SvcSystem.fork()) {
            Some(process) => process,
            None => {
                child();
                leave()
            }
        }
    }

    fn reap(process: ProcessId) {
        let code = get!(SvcSystem.wait(process));
        check!(code == 0, code);
    }

    /// What the device reads at an address of its own: packed by one queue, unpacked by another into memory that nobody disputes.
    fn device_reads(there: &mut RawQueue, back: &mut RawQueue, shared: &Shared, at: u64) -> u64 {
        let (packed, plain) = (shared.at, shared.at + 2 * PAGE);
        let completion = there.run(&deflate(at, PAGE, shared.device(packed), 2 * PAGE, 1));
        check!(completion.status.is_good(), completion.status.0);
        let completion = back.run(&deflate(shared.device(packed), completion.produced.into(), shared.device(plain), PAGE, 2));
        check!(completion.status.is_good(), completion.status.0);
        load(plain)
    }

    /// Makes the device write a page with this word in front.
    fn device_writes(there: &mut RawQueue, back: &mut RawQueue, shared: &Shared, at: u64, value: u64) {
        let (packed, plain) = (shared.at, shared.at + 2 * PAGE);
        user::fill(plain, PAGE, value);
        store(plain, value);
        let completion = there.run(&deflate(shared.device(plain), PAGE, shared.device(packed), 2 * PAGE, 3));
        check!(completion.status.is_good(), completion.status.0);
        let completion = back.run(&deflate(shared.device(packed), completion.produced.into(), at, PAGE, 4));
        check!(completion.status.is_good(), completion.status.0);
    }

    /// The two tables of the discussion: a page that the device knows, a fork, and one of the two writes.
    pub extern "C" fn disputed(order: u64) -> ! {
        let mut there = RawQueue::compressing();
        let shared = Shared::take(&there, 3 * PAGE);
        let mut back = RawQueue::decompressing();
        let page = memory(PAGE);
        store(page, 0xcafe);
        set_word(AT, page);
        set_word(READY, 1);
        await_words(GO..GO + 1, 1);
        let pinned = word(PINNED);
        check!(device_reads(&mut there, &mut back, &shared, pinned) == 0xcafe);
        let child = forked(|| {
            if order == CHILD_WRITES {
                store(page, 0xdead);
            }
            set_word(CHILD, load(page));
            set_word(CHILD_DONE, 1);
            await_words(DONE..DONE + 1, 1);
            set_word(CHILD_AFTER, load(page));
        });
        if order == PARENT_WRITES {
            store(page, 0xbeef);
        }
        await_words(CHILD_DONE..CHILD_DONE + 1, 1);
        set_word(PARENT, load(page));
        set_word(DEVICE, device_reads(&mut there, &mut back, &shared, pinned));
        device_writes(&mut there, &mut back, &shared, pinned, 0xf00d);
        set_word(PARENT_AFTER, load(page));
        set_word(DONE, 1);
        reap(child);
        leave()
    }

    /// Data of a request that is large enough to be forked into.
    pub const BIG: u64 = 256 << 10;
    pub const FORKS: u64 = 12;

    /// Forks while the device works, and the copy writes the same pages at once.
    pub extern "C" fn forks_in_mid_request(_: u64) -> ! {
        let mut there = RawQueue::compressing();
        let mut back = RawQueue::decompressing();
        let (data, packed) = (memory(BIG), memory(2 * BIG));
        user::fill(data, BIG, 9);
        let completion = there.run(&deflate(data, BIG, packed, 2 * BIG, 1));
        check!(completion.status.is_good(), completion.status.0);
        let packed_bytes = u64::from(completion.produced);
        for round in 0..FORKS {
            let output = memory(BIG);
            if round % 2 == 0 {
                user::touch(output, BIG);
            }
            back.put(&deflate(packed, packed_bytes, output, BIG, round));
            back.ring();
            let child = forked(|| {
                user::fill(output, BIG, 100 + round);
                check!(user::holds(output, BIG, 100 + round));
                // Inputs are shared, and may be written too.
                user::fill(packed, packed_bytes & !7, 200 + round);
                set_word(COPIES, word(COPIES) + counters().page_copies);
            });
            let completion = back.wait();
            check!(completion.status.is_good() && completion.tag == round, completion.status.0);
            check!(user::holds(output, BIG, 9), round);
            reap(child);
            check!(user::holds(output, BIG, 9), round);
            get!(SvcSystem.call(Call::Unmap { at: output, len_bytes: BIG }));
        }
        set_word(COPIES, word(COPIES) + counters().page_copies);
        leave()
    }

    /// With the device held back: the doorbell was rung, then comes the fork, then the copy writes, then the device.
    pub extern "C" fn forks_before_the_device(_: u64) -> ! {
        let mut there = RawQueue::compressing();
        let mut back = RawQueue::decompressing();
        let (data, packed, output) = (memory(BIG), memory(2 * BIG), memory(BIG));
        user::fill(data, BIG, 9);
        let completion = there.run(&deflate(data, BIG, packed, 2 * BIG, 1));
        check!(completion.status.is_good(), completion.status.0);
        user::touch(output, BIG);
        set_word(READY, 1);
        await_words(GO..GO + 1, 1);
        back.put(&deflate(packed, completion.produced.into(), output, BIG, 2));
        back.ring();
        let child = forked(|| {
            user::fill(output, BIG, 10);
            set_word(CHILD_DONE, 1);
            await_words(DONE..DONE + 1, 1);
            check!(user::holds(output, BIG, 10));
            set_word(CHILD_AFTER, 1);
        });
        let completion = back.wait();
        check!(completion.status.is_good(), completion.status.0);
        check!(user::holds(output, BIG, 9));
        set_word(DONE, 1);
        reap(child);
        leave()
    }

    /// Everything that a copy of a handle could be used for.
    pub extern "C" fn copies_a_handle(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (data, packed) = (memory(PAGE), memory(2 * PAGE));
        user::fill(data, PAGE, 1);
        check!(queue.run(&deflate(data, PAGE, packed, 2 * PAGE, 1)).status.is_good());
        let free = number(Attribute::AvailableInstances);
        let child = forked(|| {
            let fd = queue.fd;
            for command in [Command::START_Q, Command::PUT_Q] {
                check!(SvcSystem.ioctl(fd, command) == Err(Errno::EACCES));
            }
            check!(SvcSystem.set_qp_context(fd, 0) == Err(Errno::EACCES));
            check!(SvcSystem.map_region(fd, FileRegion::Mmio, RawQueue::MMIO_BYTES) == Err(Errno::EACCES));
            check!(SvcSystem.map_region(fd, FileRegion::Dus, PAGE) == Err(Errno::EACCES));
            check!(SvcSystem.call(Call::ShareQueue { fd, target: fd }) == Err(Errno::EACCES));
            let mut entries = [PollFd::new(fd)];
            check!(SvcSystem.poll(&mut entries, 0) == Ok(1) && entries[0].revents == PollFd::NVAL, entries[0].revents);
            // What was a request's memory is ordinary memory here.
            check!(user::holds(data, PAGE, 1));
            check!(SvcSystem.close(fd) == Ok(()) && SvcSystem.close(fd) == Err(Errno::EBADF));
            check!(number(Attribute::AvailableInstances) == free);
            set_word(CHILD_DONE, 1);
        });
        reap(child);
        check!(word(CHILD_DONE) == 1);
        check!(number(Attribute::AvailableInstances) == free);
        check!(queue.run(&deflate(data, PAGE, packed, 2 * PAGE, 2)).status.is_good());
        check!(queue.close() == Ok(()));
        leave()
    }

    /// A copy that touches its parent's doorbell or rings: by number.
    pub extern "C" fn copy_touches(what: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (data, packed) = (memory(PAGE), memory(2 * PAGE));
        check!(queue.run(&deflate(data, PAGE, packed, 2 * PAGE, 1)).status.is_good());
        let at = if what == 0 { queue.mmio + user::DOORBELL } else { queue.dus };
        let child = forked(|| store(at, queue.doorbell()));
        let code = get!(SvcSystem.wait(child));
        // Bit 31, and the class of a data abort from EL0.
        check!(code == 0x8000_0024, code);
        check!(queue.run(&deflate(data, PAGE, packed, 2 * PAGE, 2)).status.is_good());
        leave()
    }

    /// A copy that takes a queue of its own.
    pub extern "C" fn copy_binds(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (data, packed) = (memory(PAGE), memory(2 * PAGE));
        user::fill(data, PAGE, 1);
        check!(queue.run(&deflate(data, PAGE, packed, 2 * PAGE, 1)).status.is_good());
        let child = forked(|| {
            set_word(NUMBER, get!(SvcSystem.call(Call::Identity)));
            set_word(READY, 1);
            await_words(GO..GO + 1, 1);
            let mut own = RawQueue::compressing();
            user::fill(data, PAGE, 2);
            check!(own.run(&deflate(data, PAGE, packed, 2 * PAGE, 7)).status.is_good());
            set_word(CHILD_DONE, 1);
            await_words(DONE..DONE + 1, 1);
        });
        await_words(CHILD_DONE..CHILD_DONE + 1, 1);
        check!(user::holds(data, PAGE, 1));
        check!(queue.run(&deflate(data, PAGE, packed, 2 * PAGE, 3)).status.is_good());
        while word(DONE) == 0 {
            give_way();
        }
        reap(child);
        leave()
    }

    /// Another program in this process's place, with a request under way. `order` is 1 for handles that stay open.
    pub extern "C" fn executes(order: u64) -> ! {
        let on_exec = if order == 0 { OnExec::Close } else { OnExec::Keep };
        let fd = get!(SvcSystem.call(Call::OpenNode { node: NodeIndex(0), on_exec })) as i32;
        let mut queue = RawQueue::of(Fd(fd), 0);
        let (data, packed) = (memory(BIG), memory(2 * BIG));
        user::fill(data, BIG, 1);
        queue.put(&deflate(data, BIG, packed, 2 * BIG, 1));
        queue.ring();
        check!(SvcSystem.call(Call::Exec { program: "no such program", arguments: "" }) == Err(Errno::ENOENT));
        check!(queue.wait().status.is_good());
        queue.put(&deflate(data, BIG, packed, 2 * BIG, 2));
        queue.ring();
        set_word(READY, 1);
        let refused = SvcSystem.call(Call::Exec { program: "forker", arguments: "role=leaf" });
        user::fail(line!(), refused.is_ok().into())
    }

    /// Ends in the way that its number says, with requests under way and pages of theirs absent.
    pub extern "C" fn ends(way: u64) -> ! {
        let mut queues = [RawQueue::compressing(), RawQueue::decompressing(), RawQueue::compressing()];
        for queue in &mut queues {
            let (data, packed) = (memory(BIG), memory(2 * BIG));
            for tag in 0..4 {
                queue.put(&deflate(data, BIG, packed, 2 * BIG, tag));
            }
            queue.ring();
        }
        match way {
            0 => leave(),
            1 => set_word(DONE, load(8)),
            2 => {
                set_word(READY, 1);
                user::hold()
            }
            _ => {
                let _ = SvcSystem.call(Call::Exec { program: "forker", arguments: "role=leaf" });
            }
        }
        leave()
    }

    /// Makes a copy that ends in one of the ways, `count` times.
    pub extern "C" fn parent_of_many(count: u64) -> ! {
        for round in 0..count {
            set_word(READY, 0);
            let child = match get!(SvcSystem.fork()) {
                Some(child) => child,
                None => ends(round % 4),
            };
            if round % 4 == 2 {
                await_words(READY..READY + 1, 1);
                get!(SvcSystem.call(Call::Kill { process: child }));
                check!(SvcSystem.call(Call::Kill { process: child }) == Err(Errno::ESRCH));
            }
            let code = get!(SvcSystem.wait(child));
            let expected = [0, 0x8000_0024, 137, 7][(round % 4) as usize];
            check!(code == expected, code);
        }
        check!(SvcSystem.call(Call::Kill { process: ProcessId(9999) }) == Err(Errno::ESRCH));
        check!(SvcSystem.wait(ProcessId(9999)) == Err(Errno::ECHILD));
        leave()
    }

    /// One of a crowd: a queue, ten requests, an end without a close.
    pub extern "C" fn one_of_many(who: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (data, packed) = (memory(PAGE), memory(2 * PAGE));
        user::fill(data, PAGE, who);
        for tag in 0..10 {
            let completion = queue.run(&deflate(data, PAGE, packed, 2 * PAGE, tag));
            check!(completion.status.is_good(), completion.status.0);
        }
        set_word(DONE + who as usize % 128, 1);
        leave()
    }

    /// Opens and closes.
    pub extern "C" fn rounds(count: u64) -> ! {
        let free = number(Attribute::AvailableInstances);
        for round in 0..count {
            let queue = RawQueue::compressing();
            check!(number(Attribute::AvailableInstances) == free - 1, round);
            check!(queue.close() == Ok(()));
            check!(number(Attribute::AvailableInstances) == free, round);
        }
        leave()
    }

    /// Takes `count` queues and keeps them until told; then gives one back, and takes it again.
    pub extern "C" fn takes(count: u64) -> ! {
        let mut last = Fd(-1);
        for _ in 0..count {
            last = get!(SvcSystem.open_node(NodeIndex(0)));
        }
        set_word(DONE, word(DONE) + 1);
        await_words(GO..GO + 1, 1);
        check!(number(Attribute::AvailableInstances) == 0);
        check!(SvcSystem.open_node(NodeIndex(0)) == Err(Errno::EBUSY));
        get!(SvcSystem.close(last));
        check!(number(Attribute::AvailableInstances) == 1);
        get!(SvcSystem.open_node(NodeIndex(0)));
        check!(SvcSystem.open_node(NodeIndex(0)) == Err(Errno::EBUSY));
        leave()
    }

    /// Runs one of the image's programs.
    pub extern "C" fn runs_a_program(which: u64) -> ! {
        let program = ["forker", "abuse"][which as usize];
        let child = get!(SvcSystem.call(Call::Spawn { program, arguments: "" })) as u32;
        reap(ProcessId(child));
        leave()
    }

    /// Memory of a copy's own in every order of writes, without a device.
    pub extern "C" fn copies_memory(_: u64) -> ! {
        let pages = memory(64 * PAGE);
        user::fill(pages, 64 * PAGE, 1);
        user::protect(pages + 63 * PAGE, PAGE, uacce_abi::Protection::Read);
        let before = counters().page_copies;
        let child = forked(|| {
            check!(user::holds(pages, 64 * PAGE, 1));
            let grandchild = forked(|| {
                check!(user::holds(pages, 63 * PAGE, 1));
                user::fill(pages, 16 * PAGE, 3);
                check!(user::holds(pages, 16 * PAGE, 3));
            });
            // The parent writes while somebody else has the pages as well.
            await_words(READY..READY + 1, 1);
            user::fill(pages, 8 * PAGE, 2);
            reap(grandchild);
            check!(user::holds(pages, 8 * PAGE, 2));
            check!(load(pages + 20 * PAGE) == target_tests::pattern::word(1, 20 * 512));
            user::protect(pages + 63 * PAGE, PAGE, uacce_abi::Protection::ReadWrite);
            store(pages + 63 * PAGE, 5);
        });
        user::fill(pages, 4 * PAGE, 4);
        check!(counters().page_copies - before >= 4, counters().page_copies);
        set_word(READY, 1);
        reap(child);
        check!(user::holds(pages, 4 * PAGE, 4));
        check!(load(pages + 63 * PAGE) == target_tests::pattern::word(1, 63 * 512));
        // The last holder writes in place.
        let before = counters().page_copies;
        user::fill(pages + 32 * PAGE, 8 * PAGE, 6);
        check!(counters().page_copies == before, counters().page_copies);
        // Written by the kernel on the process's behalf: a copy first.
        let child = forked(|| await_words(DONE..DONE + 1, 1));
        let mut value = [0; 16];
        let into = pages + 40 * PAGE;
        let len = get!(SvcSystem.attribute(NodeIndex(0), Attribute::Api, &mut value)).len();
        check!(len > 0 && load(into) == target_tests::pattern::word(1, 40 * 512));
        set_word(DONE, 1);
        reap(child);
        check!(Status::SUCCESS.is_good());
        leave()
    }
}

#[cfg(target_os = "none")]
mod steps {
    use super::programs as p;
    use firmware_kernel::{free_frames, identity, living, lookup_user, run_until_exit, space_of, with_core, with_qm};
    use target_tests::board::space;
    use target_tests::{Board, start_kernel, vendor};
    use uacce_abi::ProcessId;

    /// Plays a table; returns what parent, child and device see, and what parent and child see after the device wrote.
    pub fn table(order: u64, is_pinned: bool) -> ([u64; 3], [u64; 2]) {
        start_kernel();
        let board = Board::new();
        let process = board.start("disputed", p::disputed, order);
        board.run_until(p::READY..p::READY + 1);
        let at = board.word(p::AT);
        // What a driver without page faults does: it looks the page up once and believes it for ever.
        board.set(p::PINNED, if is_pinned { lookup_user(space(process), at).expect("touched").pa.0 } else { at });
        board.set(p::GO, 1);
        board.run(process);
        let words = |first| board.word(first);
        ([words(p::PARENT), words(p::CHILD), words(p::DEVICE)], [words(p::PARENT_AFTER), words(p::CHILD_AFTER)])
    }

    pub fn run(name: &str, entry: uacce_abi::Entry, number: u64) -> Board {
        start_kernel();
        let board = Board::new();
        let frames = free_frames();
        let queues = with_qm(0, |qm| qm.available());
        board.run(board.start(name, entry, number));
        assert_eq!(with_qm(0, |qm| qm.available()), queues, "instances");
        assert_eq!(with_core(|core, _| (core.open_queues(), core.bonds())), (0, 0));
        // A second time nothing more may be taken than what drivers keep from the first.
        let kept = free_frames();
        let second = Board::new();
        second.run(second.start(name, entry, number));
        assert_eq!(free_frames() + 1, kept, "frames, but for the second board's own; {frames} at first");
        board
    }

    /// Processes of [`crowd`], some at a time.
    const CROWD: u64 = 100;
    const AT_A_TIME: u64 = 20;

    pub fn crowd() {
        start_kernel();
        let board = Board::new();
        let queues = with_qm(0, |qm| qm.available());
        let mut kept = 0;
        for batch in 0..CROWD / AT_A_TIME + 1 {
            for who in 0..AT_A_TIME {
                board.set(p::DONE + who as usize, 0);
                board.start("one of many", p::one_of_many, who);
            }
            board.run_until(p::DONE..p::DONE + AT_A_TIME as usize);
            // Whoever has set its word may still have to end.
            while living().iter().any(|process| space_of(*process).is_some()) {
                let waiter = board.start("waiter", target_tests::user::wait_for_words, p::DONE as u64 | (p::DONE as u64 + 1) << 32);
                board.run(waiter);
            }
            assert_eq!(with_qm(0, |qm| qm.available()), queues, "instances after batch {batch}");
            if batch == 0 {
                kept = free_frames();
            }
        }
        assert_eq!(free_frames(), kept, "memory is flat");
    }

    /// What the context table grows by until every PASID was used once: 16 leaves of 64 KiB.
    const CONTEXT_LEAVES_FRAMES: usize = 16 * 16;

    pub fn rounds(count: u64) {
        start_kernel();
        let board = Board::new();
        board.run(board.start("rounds", p::rounds, 1));
        let (queues, frames) = (with_qm(0, |qm| qm.available()), free_frames());
        board.run(board.start("rounds", p::rounds, count));
        assert_eq!(with_qm(0, |qm| qm.available()), queues);
        let lost = frames - free_frames();
        assert!(lost <= CONTEXT_LEAVES_FRAMES, "{lost} frames");
    }

    pub fn exhausted() {
        start_kernel();
        let board = Board::new();
        let all = with_qm(0, |qm| qm.available()).expect("a QM");
        // More than one process may have handles for.
        let first = board.start("takes most", p::takes, u64::from(all) - 8);
        board.run_until(p::DONE..p::DONE + 1);
        board.set(p::DONE, 0);
        let second = board.start("takes the rest", p::takes, 8);
        board.run_until(p::DONE..p::DONE + 1);
        assert_eq!(with_qm(0, |qm| qm.available()), Some(0));
        board.set(p::GO, 1);
        board.run(first);
        assert_eq!(with_qm(0, |qm| qm.available()), Some(all - 8));
        assert_eq!(with_core(|core, _| core.open_queues()), 8);
        let _ = second;
    }

    pub fn held_back() {
        start_kernel();
        let board = Board::new();
        let process = board.start("forks before the device", p::forks_before_the_device, 0);
        board.run_until(p::READY..p::READY + 1);
        vendor::set_engine(false);
        board.set(p::GO, 1);
        board.run_until(p::CHILD_DONE..p::CHILD_DONE + 1);
        vendor::set_engine(true);
        board.run(process);
        assert_eq!(board.word(p::CHILD_AFTER), 1, "the copy keeps what it wrote");
    }

    pub fn binds() {
        start_kernel();
        let board = Board::new();
        let process = board.start("parent", p::copy_binds, 0);
        board.run_until(p::READY..p::READY + 1);
        let child = ProcessId(board.word(p::NUMBER) as u32);
        let of = |process| identity(space(process)).expect("alive");
        let (ours, theirs) = (of(process), of(child));
        assert!(ours.substream.is_some() && theirs.substream.is_none(), "a copy is bound to nothing");
        assert!(ours.root != theirs.root && ours.asid != theirs.asid);
        board.set(p::GO, 1);
        board.run_until(p::CHILD_DONE..p::CHILD_DONE + 1);
        let theirs = of(child);
        assert!(theirs.substream.is_some() && theirs.substream != ours.substream, "it binds for itself");
        board.set(p::DONE, 1);
        board.run(process);
    }

    pub fn executes(order: u64) {
        start_kernel();
        let board = Board::new();
        let queues = with_qm(0, |qm| qm.available());
        let process = board.start("executes", p::executes, order);
        let exit = run_until_exit(process);
        assert_eq!(exit.map(|exit| exit.status()), Ok(7), "the other program's own code");
        assert_eq!(board.word(p::READY), 1);
        assert_eq!((with_qm(0, |qm| qm.available()), with_core(|core, _| core.bonds())), (queues, 0));
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod plain {
    use super::{programs as p, steps};

    #[test]
    fn ua_o1_the_child_writes_and_nobody_else_sees_it() {
        assert_eq!(steps::table(p::CHILD_WRITES, false), ([0xcafe, 0xdead, 0xcafe], [0xf00d, 0xdead]));
    }

    #[test]
    fn ua_o1_the_parent_writes_and_the_device_sees_it() {
        assert_eq!(steps::table(p::PARENT_WRITES, false), ([0xbeef, 0xcafe, 0xbeef], [0xf00d, 0xcafe]));
    }

    #[test]
    fn ua_k4_o2_a_fork_in_mid_request_takes_nothing_from_the_parent() {
        let board = steps::run("forks in mid-request", p::forks_in_mid_request, 0);
        assert!(board.word(p::COPIES) > 0, "pages were disputed");
    }

    #[test]
    fn ua_f02_o2_what_the_device_writes_after_a_fork_is_the_parents() {
        steps::held_back();
    }

    #[test]
    fn ua_k1_a_copy_of_a_handle_is_refused_everything() {
        steps::run("copies a handle", p::copies_a_handle, 0);
    }

    #[test]
    fn ua_k3_k6_f01_the_doorbell_is_not_in_the_copy() {
        steps::run("copy rings", p::copy_touches, 0);
    }

    #[test]
    fn ua_k3_o15_f01_the_rings_are_not_in_the_copy() {
        steps::run("copy submits", p::copy_touches, 1);
    }

    #[test]
    fn ua_k5_v5_o14_f03_a_copy_binds_for_itself_under_another_pasid() {
        steps::binds();
    }

    #[test]
    fn ua_k2_l7_f05_an_exec_in_mid_request_closes_the_handle() {
        steps::executes(0);
    }

    #[test]
    fn ua_k2_a_handle_that_stays_open_is_worth_nothing_after_an_exec() {
        steps::executes(1);
    }

    #[test]
    fn ua_f04_f07_every_way_to_end_gives_everything_back() {
        steps::run("parent of many", p::parent_of_many, 16);
    }

    #[test]
    #[timeout(180)]
    fn ua_l6_l13_o11_100_processes_leave_nothing_behind() {
        steps::crowd();
    }

    #[test]
    #[timeout(300)]
    fn ua_a03_10000_rounds_of_open_and_close_count_exactly() {
        steps::rounds(10_000);
    }

    #[test]
    fn ua_a01_l13_the_last_instance_is_followed_by_ebusy_and_comes_back() {
        steps::exhausted();
    }

    #[test]
    fn the_forker_program_comes_to_its_end() {
        steps::run("runs forker", p::runs_a_program, 0);
    }

    #[test]
    fn ua_o4_t6_the_hostile_program_is_refused_everything() {
        steps::run("runs abuse", p::runs_a_program, 1);
    }

    #[test]
    fn ua_o3_former_buffers_and_all_other_memory_are_right_in_the_copy() {
        steps::run("copies memory", p::copies_memory, 0);
    }
}

/// The divergence that pinning gives, shown where nothing translates: the device believes a page that is not the parent's any more.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_noiommu {
    use super::{programs as p, steps};

    #[test]
    fn ua_o1_pinned_the_child_writes_and_the_page_stays_the_parents() {
        assert_eq!(steps::table(p::CHILD_WRITES, true), ([0xcafe, 0xdead, 0xcafe], [0xf00d, 0xdead]));
    }

    #[test]
    fn ua_o1_o2_pinned_the_parent_writes_and_the_device_never_sees_it() {
        // The device reads the old word, and what it writes reaches the child instead of the parent.
        assert_eq!(steps::table(p::PARENT_WRITES, true), ([0xbeef, 0xcafe, 0xcafe], [0xbeef, 0xf00d]));
    }
}
