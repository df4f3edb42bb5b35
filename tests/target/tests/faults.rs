//! Memory that is not there, or not like that: device faults of processes, resolved or refused, and what the SMMU says about them.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

/// What runs at EL0.
#[cfg(target_os = "none")]
mod programs {
    use target_tests::check;
    use target_tests::get;
    use target_tests::user::{self, FREE_AT, RawQueue, SvcSystem, counters, deflate, hold, leave, memory, memory_at, set_word};
    use uacce_abi::{Call, Kernel, Protection};
    use zip_spec::{Completion, Status};

    pub const PAGE: u64 = 4096;
    /// Nothing is ever mapped there.
    pub const NOWHERE: u64 = FREE_AT + 0x7000_0040;
    /// Words of the board.
    pub const DONE: usize = 0;
    pub const SOURCE_FAULTS: usize = 1;
    pub const OUTPUT_FAULTS: usize = 2;
    pub const CPU_FAULTS: usize = 3;
    pub const REFUSED: usize = 4;
    pub const AT: usize = 5;
    /// Where the test says a kernel buffer is.
    pub const KERNEL_MEMORY: usize = 8;
    /// Where the process's own table is.
    pub const ROOT: usize = 9;
    pub const GO: usize = 10;
    /// Registers of the interrupt controller and of the SMMU: mapped for the kernel in every process's table.
    pub const GIC: u64 = 0x0800_0000;
    pub const SMMU: u64 = 0x20_0000_0000;
    /// Requests of [`no_such_memory`].
    pub const BAD: usize = 13;
    /// Statuses, in order.
    pub const STATUSES: usize = 16;
    pub const ROUNDS: usize = 40;

    fn good(completion: Completion, bytes: u64) -> u64 {
        check!(completion.status.is_good(), completion.status.0);
        check!(completion.consumed as u64 == bytes, completion.consumed);
        completion.produced.into()
    }

    /// Neither buffer was touched by anybody, in either direction.
    pub extern "C" fn first_touch(_: u64) -> ! {
        const BYTES: u64 = 64 * PAGE;
        let (mut there, mut back) = (RawQueue::compressing(), RawQueue::decompressing());
        // 64 pages of zeroes become a few hundred bytes: one page of output.
        let (zeroes, packed) = (memory(BYTES), memory(BYTES));
        let before = counters();
        let produced = good(there.run(&deflate(zeroes, BYTES, packed, BYTES, 1)), BYTES);
        let during = counters().since(&before);
        check!(produced < PAGE, produced);
        set_word(SOURCE_FAULTS, during.device_page_faults);
        set_word(CPU_FAULTS, during.cpu_page_faults);
        // 64 pages of output, none touched.
        let output = memory(BYTES);
        let before = counters();
        let completion = back.run(&deflate(packed, produced, output, BYTES, 2));
        let during = counters().since(&before);
        check!(completion.status.is_good() && completion.produced as u64 == BYTES, completion.produced);
        set_word(OUTPUT_FAULTS, during.device_page_faults);
        check!(during.cpu_page_faults == 0, during.cpu_page_faults);
        check!(user::is_all(output, BYTES, 0));

        // The same with data: what the device wrote into fresh pages, the CPU has at the same addresses.
        let source = memory(BYTES);
        user::fill(source, BYTES, 5);
        let (packed, output) = (memory(2 * BYTES), memory(BYTES));
        let produced = good(there.run(&deflate(source, BYTES, packed, 2 * BYTES, 3)), BYTES);
        let completion = back.run(&deflate(packed, produced, output, BYTES, 4));
        check!(completion.status.is_good() && completion.produced as u64 == BYTES, completion.produced);
        check!(user::holds(output, BYTES, 5));
        // Warm, nothing faults any more.
        let before = counters();
        good(there.run(&deflate(source, BYTES, packed, 2 * BYTES, 5)), BYTES);
        check!(counters().since(&before).device_page_faults == 0);
        set_word(DONE, 1);
        leave()
    }

    /// The output's page becomes read-only after the device has written it: its translation is in the SMMU's TLB.
    pub extern "C" fn read_only(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (source, output) = (memory(PAGE), memory(PAGE));
        user::fill(source, PAGE, 6);
        let request = deflate(source, PAGE, output, PAGE, 1);
        good(queue.run(&request), PAGE);
        for index in 0..PAGE / 8 {
            user::store(output + index * 8, 0xa5a5_5a5a_0123_4567);
        }
        user::protect(output, PAGE, Protection::Read);
        let before = counters();
        let completion = queue.run(&request);
        let during = counters().since(&before);
        set_word(STATUSES, completion.status.0.into());
        set_word(REFUSED, during.device_faults_refused);
        check!(completion.produced == 0, completion.produced);
        check!(user::is_all(output, PAGE, 0xa5a5_5a5a_0123_4567));
        // It may still be read, by both.
        let elsewhere = memory(PAGE);
        good(queue.run(&deflate(output, PAGE, elsewhere, PAGE, 2)), PAGE);
        // And written again, once that is allowed again.
        user::protect(output, PAGE, Protection::ReadWrite);
        good(queue.run(&request), PAGE);
        check!(!user::is_all(output, PAGE, 0xa5a5_5a5a_0123_4567));
        set_word(AT, output);
        set_word(DONE, 1);
        hold()
    }

    /// A read-only area whose page does not exist yet: reads make it, writes do not.
    pub extern "C" fn read_only_untouched(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (source, output) = (memory(PAGE), memory(PAGE));
        user::fill(source, PAGE, 7);
        let area = FREE_AT;
        memory_at(area, 2 * PAGE, Protection::Read);
        memory_at(area + 0x10_0000, PAGE, Protection::None);
        let completion = queue.run(&deflate(source, PAGE, area, PAGE, 1));
        set_word(STATUSES, completion.status.0.into());
        good(queue.run(&deflate(area + PAGE, PAGE, output, PAGE, 2)), PAGE);
        check!(user::is_all(area, 2 * PAGE, 0));
        let completion = queue.run(&deflate(area + 0x10_0000, PAGE, output, PAGE, 3));
        set_word(STATUSES + 1, completion.status.0.into());
        good(queue.run(&deflate(source, PAGE, output, PAGE, 4)), PAGE);
        set_word(DONE, 1);
        leave()
    }

    /// Memory that goes away between two requests whose translations are cached, and other memory at the same address.
    pub extern "C" fn unmapped(_: u64) -> ! {
        let (mut there, mut back) = (RawQueue::compressing(), RawQueue::decompressing());
        let (source, output) = (FREE_AT, FREE_AT + 0x10_0000);
        let map = |at| memory_at(at, PAGE, Protection::ReadWrite);
        let unmap = |at| check!(SvcSystem.call(Call::Unmap { at, len_bytes: PAGE }) == Ok(0));
        let (packed, plain) = (memory(2 * PAGE), memory(PAGE));
        for round in 0..16 {
            map(source);
            map(output);
            user::fill(source, PAGE, round);
            let request = deflate(source, PAGE, output, PAGE, round);
            good(there.run(&request), PAGE);
            // Its frame is free for somebody else: what the device is told to write there now must not reach it.
            unmap(output);
            let next = memory(PAGE);
            user::fill(next, PAGE, 1000 + round);
            check!(there.run(&request).status == Status::DESTINATION_ABORT, round);
            check!(user::holds(next, PAGE, 1000 + round), round);
            unmap(next);
            // The same for reading.
            let request = deflate(source, PAGE, packed, 2 * PAGE, round);
            good(there.run(&request), PAGE);
            unmap(source);
            check!(there.run(&request).status == Status::SOURCE_ABORT, round);
            // New memory at the old address is what is seen there.
            map(source);
            let produced = good(there.run(&request), PAGE);
            good_output(back.run(&deflate(packed, produced, plain, PAGE, round)));
            check!(user::is_all(plain, PAGE, 0), round);
            unmap(source);
        }
        set_word(DONE, 1);
        leave()
    }

    fn good_output(completion: Completion) {
        check!(completion.status.is_good(), completion.status.0);
        check!(u64::from(completion.produced) == PAGE, completion.produced);
    }

    /// A request whose output needs more frames than there are, one after there are enough again.
    pub extern "C" fn starves(_: u64) -> ! {
        const BYTES: u64 = 256 * PAGE;
        let (mut there, mut back) = (RawQueue::compressing(), RawQueue::decompressing());
        let (zeroes, packed, output) = (memory(BYTES), memory(PAGE), memory(BYTES));
        let produced = good(there.run(&deflate(zeroes, BYTES, packed, PAGE, 1)), BYTES);
        get!(SvcSystem.call(Call::Unmap { at: zeroes, len_bytes: BYTES }));
        set_word(AT, 1);
        user::await_words(GO..GO + 1, 1);
        let completion = back.run(&deflate(packed, produced, output, BYTES, 2));
        set_word(STATUSES, completion.status.0.into());
        set_word(REFUSED, counters().device_faults_refused);
        set_word(DONE, 1);
        user::await_words(GO..GO + 1, 2);
        let completion = back.run(&deflate(packed, produced, output, BYTES, 3));
        check!(completion.status.is_good() && u64::from(completion.produced) == BYTES, completion.status.0);
        set_word(DONE + 15, 1);
        leave()
    }

    /// Works on memory that it has, all the time.
    pub extern "C" fn bystander(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (source, output) = (memory(PAGE), memory(2 * PAGE));
        user::fill(source, PAGE, 3);
        let mut rounds = 0;
        loop {
            good(queue.run(&deflate(source, PAGE, output, 2 * PAGE, rounds)), PAGE);
            rounds += 1;
            set_word(ROUNDS, rounds);
            user::give_way();
        }
    }

    /// Bytes of the image that every process can read, long enough to cross a page.
    static CONSTANTS: Words = Words({
        let mut bytes = [0; 3 * PAGE as usize];
        let mut i = 0;
        while i < bytes.len() {
            bytes[i] = (i / 7) as u8;
            i += 1;
        }
        bytes
    });

    /// Compared word by word.
    #[repr(align(8))]
    struct Words([u8; 3 * PAGE as usize]);

    /// What the process can read without ever having asked for it, the device can read for it, and cannot write.
    pub extern "C" fn constants(_: u64) -> ! {
        let (mut there, mut back) = (RawQueue::compressing(), RawQueue::decompressing());
        let (at, bytes) = (CONSTANTS.0.as_ptr() as u64, CONSTANTS.0.len() as u64);
        let (packed, output) = (memory(2 * bytes), memory(bytes));
        let produced = good(there.run(&deflate(at, bytes, packed, 2 * bytes, 1)), bytes);
        let completion = back.run(&deflate(packed, produced, output, bytes, 2));
        check!(completion.status.is_good() && completion.produced as u64 == bytes, completion.produced);
        for index in 0..bytes / 8 {
            check!(user::load(output + index * 8) == user::load(at + index * 8), index);
        }
        let completion = back.run(&deflate(packed, produced, at, bytes, 3));
        set_word(STATUSES, completion.status.0.into());
        check!(CONSTANTS.0[0] == 0 && CONSTANTS.0[8] == 1);
        set_word(DONE, 1);
        leave()
    }

    /// Requests that name memory which is not the process's; after each, one that is fine.
    pub extern "C" fn no_such_memory(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (source, output) = (memory(2 * PAGE), memory(PAGE));
        user::fill(source, 2 * PAGE, 8);
        user::await_words(GO..GO + 1, 1);
        let (kernel, root) = (user::word(KERNEL_MEMORY), user::word(ROOT));
        let last = FREE_AT + 0x100_0000;
        memory_at(last, PAGE, Protection::ReadWrite);
        user::fill(last, PAGE, 9);
        let bad = [
            deflate(NOWHERE, PAGE, output, PAGE, 100),
            deflate(source, PAGE, NOWHERE, PAGE, 101),
            deflate(kernel, PAGE, output, PAGE, 102),
            deflate(source, PAGE, kernel, PAGE, 103),
            // The first page is there, the second is not.
            deflate(last, 2 * PAGE, output, PAGE, 104),
            // Beyond all addresses of a process, below and above the hole.
            deflate(0, PAGE, output, PAGE, 105),
            deflate(1 << 45, PAGE, output, PAGE, 106),
            deflate(0xffff_ff80_0000_0000, PAGE, output, PAGE, 107),
            // The process's own table, and registers that the kernel has mapped in it.
            deflate(root, PAGE, output, PAGE, 108),
            deflate(source, PAGE, root, PAGE, 109),
            deflate(GIC, PAGE, output, PAGE, 110),
            deflate(source, PAGE, SMMU, PAGE, 111),
            // What the process may store to and no device may: its own doorbell page.
            deflate(source, PAGE, queue.mmio, PAGE, 112),
        ];
        check!(bad.len() == BAD);
        let before = counters();
        for (index, request) in bad.iter().enumerate() {
            let completion = queue.run(request);
            check!(!completion.status.is_good(), index);
            set_word(STATUSES + index, completion.status.0.into());
            let completion = queue.run(&deflate(source, PAGE, output, PAGE, index as u64));
            check!(completion.status == Status::SUCCESS, completion.status.0);
        }
        set_word(REFUSED, counters().since(&before).device_faults_refused);
        set_word(AT, last);
        set_word(DONE, bad.len() as u64);
        hold()
    }
}

#[cfg(target_os = "none")]
mod steps {
    use super::programs as p;
    use alloc::vec::Vec;
    use firmware_kernel::{PageFaults, identity, page_faults, page_request_counters, set_tick, take_events, withhold_frames};
    use firmware_platform::trace::Counter;
    use hal::{AccessKind, DmaBuffer, Iova, SubstreamId};
    use smmu_driver::{Event, FaultKind, TranslationFault};
    use target_tests::board::{frames, space};
    use target_tests::{Board, accelerator, pattern, start_kernel, vendor};
    use uacce_abi::ProcessId;
    use zip_spec::Status;

    /// The faults reported since the last call; nothing else may have been reported.
    fn faults() -> Vec<TranslationFault> {
        let mut faults = Vec::new();
        take_events(|event| match event {
            Event::Fault(fault) => faults.push(fault),
            other => panic!("an event that is no fault: {other:?}"),
        });
        faults
    }

    /// True if devices ask for pages: then the SMMU has nothing to say about accesses that were refused.
    fn by_page_requests() -> bool {
        let is_so = page_faults() == Some(PageFaults::PageRequest);
        if is_so {
            assert_eq!(faults(), []);
            assert!(page_request_counters().requests > 0);
        }
        is_so
    }

    fn substream(process: ProcessId) -> SubstreamId {
        identity(space(process)).and_then(|identity| identity.substream).expect("a process with a queue has a PASID")
    }

    pub fn first_touch() {
        start_kernel();
        let board = Board::new();
        set_tick(false);
        board.run(board.start("first touch", p::first_touch, 0));
        assert_eq!(board.word(p::DONE), 1);
        assert_eq!(board.word(p::SOURCE_FAULTS), 65, "64 pages of source, one of output");
        assert_eq!(board.word(p::OUTPUT_FAULTS), 64);
        assert_eq!(board.word(p::CPU_FAULTS), 0);
        if page_faults() == Some(PageFaults::Stall) {
            // Each of them waited, and went on when it was told.
            let [stalls, resumes] = [Counter::Stalls, Counter::Resumes].map(vendor::counter);
            assert!(stalls >= 65 + 64 && resumes >= stalls, "{stalls} stalls, {resumes} resumed");
        }
    }

    pub fn unmapped() {
        start_kernel();
        let board = Board::new();
        board.run(board.start("unmapped", p::unmapped, 0));
        assert_eq!(board.word(p::DONE), 1);
        by_page_requests();
    }

    pub fn starved() {
        start_kernel();
        let board = Board::new();
        board.start("bystander", p::bystander, 0);
        let process = board.start("starves", p::starves, 0);
        board.run_until(p::AT..p::AT + 1);
        // It has had a turn, and with that its stack, when the next waiter has: without frames it would get none.
        let waiter = board.start_waiter(p::DONE..p::DONE + 1);
        board.run_until(p::ROUNDS..p::ROUNDS + 1);
        {
            let _withheld = withhold_frames(64);
            let before = board.word(p::ROUNDS);
            board.set(p::GO, 1);
            board.run(waiter);
            assert_eq!(board.word(p::STATUSES) as u8, Status::DESTINATION_ABORT.0);
            assert!(board.word(p::REFUSED) >= 1, "the fault could not be resolved");
            assert!(board.word(p::ROUNDS) > before, "nobody else is disturbed");
        }
        board.set(p::GO, 2);
        board.run(process);
        assert_eq!(board.word(p::DONE + 15), 1, "with memory it works");
    }

    pub fn read_only() {
        let report = start_kernel();
        let stream = accelerator(&report).stream;
        let board = Board::new();
        let process = board.start("read only", p::read_only, 0);
        board.run_until(p::DONE..p::DONE + 1);
        assert_eq!(board.word(p::STATUSES), Status::DESTINATION_ABORT.0.into());
        assert!(board.word(p::REFUSED) >= 1);
        if by_page_requests() {
            return;
        }
        let faults: Vec<_> = faults().into_iter().filter(|fault| fault.kind == FaultKind::Permission).collect();
        let [fault] = faults[..] else { panic!("one permission fault was expected: {faults:?}") };
        assert_eq!((fault.stream, fault.substream), (stream, Some(substream(process))));
        assert_eq!((fault.address, fault.access), (Iova(board.word(p::AT)), AccessKind::Write));
        assert!(!fault.privileged);
    }

    pub fn read_only_untouched() {
        start_kernel();
        let board = Board::new();
        board.run(board.start("read only, untouched", p::read_only_untouched, 0));
        let statuses = [0, 1].map(|index| board.word(p::STATUSES + index) as u8);
        assert_eq!((board.word(p::DONE), statuses), (1, [Status::DESTINATION_ABORT.0, Status::SOURCE_ABORT.0]));
    }

    pub fn constants() {
        start_kernel();
        let board = Board::new();
        board.run(board.start("constants", p::constants, 0));
        assert_eq!((board.word(p::DONE), board.word(p::STATUSES) as u8), (1, Status::DESTINATION_ABORT.0));
    }

    pub fn no_such_memory() {
        let report = start_kernel();
        let stream = accelerator(&report).stream;
        let board = Board::new();
        let kernel = frames(4096, 4096);
        for index in 0..512 {
            kernel.write64(index * 8, pattern::word(99, index as u64));
        }
        let kernel_at = kernel.physical_address().expect("frames").0;
        board.set(p::KERNEL_MEMORY, kernel_at);
        let process = board.start("no such memory", p::no_such_memory, 0);
        let root = identity(space(process)).expect("alive").root.0;
        board.set(p::ROOT, root);
        board.set(p::GO, 1);
        board.run_until(p::DONE..p::DONE + 1);

        let (read, write) = (Status::SOURCE_ABORT.0, Status::DESTINATION_ABORT.0);
        let statuses: Vec<u8> = (0..p::BAD).map(|index| board.word(p::STATUSES + index) as u8).collect();
        assert_eq!(statuses, [read, write, read, write, read, read, read, read, read, write, read, write, write]);
        assert!((0..512).all(|index| kernel.read64(index * 8) == pattern::word(99, index as u64)), "kernel memory was written");

        // The SMMU lets the last one through: what lies there is no memory.
        assert_eq!(board.word(p::REFUSED), p::BAD as u64 - 1);
        if by_page_requests() {
            return;
        }
        use AccessKind::{Read, Write};
        use FaultKind::{Permission, Translation};
        let wanted = [
            (Translation, p::NOWHERE, Read),
            (Translation, p::NOWHERE, Write),
            // Mapped in the process's table, closed to it.
            (Permission, kernel_at, Read),
            (Permission, kernel_at, Write),
            (Translation, board.word(p::AT) + p::PAGE, Read),
            (Translation, 0, Read),
            (Translation, 1 << 45, Read),
            (Translation, 0xffff_ff80_0000_0000, Read),
            (Permission, root, Read),
            (Permission, root, Write),
            (Permission, p::GIC, Read),
            (Permission, p::SMMU, Write),
        ];
        let substream = substream(process);
        let all = faults();
        // Faults that were resolved are among them; those of these requests are not.
        let mut refused = all.iter().filter(|fault| wanted.iter().any(|(_, at, _)| fault.address.0 == *at));
        for (kind, at, access) in wanted {
            let fault = refused.next().unwrap_or_else(|| panic!("no event for {kind:?} {at:#x} {access:?} in {all:?}"));
            assert_eq!((fault.kind, fault.address, fault.access), (kind, Iova(at), access));
            assert_eq!((fault.stream, fault.substream, fault.privileged), (stream, Some(substream), false));
        }
        assert_eq!(refused.next(), None);
    }
}

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod plain {
    use super::steps;

    #[test]
    fn ua_v7_o8_what_was_unmapped_is_gone_for_the_device_at_once() {
        steps::unmapped();
    }

    #[test]
    fn ua_f08_without_memory_a_device_fault_ends_its_own_request_only() {
        steps::starved();
    }

    #[test]
    fn ua_f2_v2_o7_untouched_buffers_fault_on_the_device_and_come_right() {
        steps::first_touch();
    }

    #[test]
    fn ua_v3_a_page_made_read_only_refuses_the_device() {
        steps::read_only();
    }

    #[test]
    fn ua_v3_sm_f08_a_read_only_area_is_read_into_being_but_not_written() {
        steps::read_only_untouched();
    }

    #[test]
    fn ua_a7_constants_of_the_image_are_read_and_not_written() {
        steps::constants();
    }

    #[test]
    fn ua_o6_o13_sm_f08_sy_m03_memory_that_is_not_the_processs_ends_in_an_error_and_an_event() {
        steps::no_such_memory();
    }
}

/// The same under a TLB that forgets and fetches as it likes.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_random {
    use super::steps;

    #[test]
    fn ua_f2_v2_o7_untouched_buffers_fault_on_the_device_and_come_right() {
        steps::first_touch();
    }

    #[test]
    fn ua_v3_a_page_made_read_only_refuses_the_device() {
        steps::read_only();
    }

    #[test]
    fn ua_o6_o13_sm_f08_sy_m03_memory_that_is_not_the_processs_ends_in_an_error_and_an_event() {
        steps::no_such_memory();
    }
}

/// And under one that fetches neighbours.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_prefetch {
    use super::steps;

    #[test]
    fn ua_f2_v2_o7_untouched_buffers_fault_on_the_device_and_come_right() {
        steps::first_touch();
    }

    #[test]
    fn ua_v3_a_page_made_read_only_refuses_the_device() {
        steps::read_only();
    }
}

/// And with a device that asks for its pages.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_atspri {
    use super::steps;

    #[test]
    fn ua_v7_o8_what_was_unmapped_is_gone_for_the_device_at_once() {
        steps::unmapped();
    }

    #[test]
    fn ua_f2_v2_o7_untouched_buffers_fault_on_the_device_and_come_right() {
        steps::first_touch();
    }

    #[test]
    fn ua_v3_a_page_made_read_only_refuses_the_device() {
        steps::read_only();
    }

    #[test]
    fn ua_v3_sm_f08_a_read_only_area_is_read_into_being_but_not_written() {
        steps::read_only_untouched();
    }

    #[test]
    fn ua_a7_constants_of_the_image_are_read_and_not_written() {
        steps::constants();
    }

    #[test]
    fn ua_o6_o13_sm_f08_sy_m03_memory_that_is_not_the_processs_ends_in_an_error() {
        steps::no_such_memory();
    }
}

/// The request runs in the trap: it waits for its page while the kernel that shall answer goes on.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_atspri_1p0_icount {
    use super::steps;

    #[test]
    fn ua_f2_v2_o7_untouched_buffers_fault_on_the_device_and_come_right() {
        steps::first_touch();
    }

    #[test]
    fn ua_o6_o13_sm_f08_sy_m03_memory_that_is_not_the_processs_ends_in_an_error() {
        steps::no_such_memory();
    }
}

/// Three engine cores, and a TLB that forgets.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_atspri_random_1p3 {
    use super::steps;

    #[test]
    fn ua_f2_v2_o7_untouched_buffers_fault_on_the_device_and_come_right() {
        steps::first_touch();
    }

    #[test]
    fn ua_v3_a_page_made_read_only_refuses_the_device() {
        steps::read_only();
    }
}
