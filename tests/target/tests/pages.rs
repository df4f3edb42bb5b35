//! A device that keeps translations and asks for pages (ATS, PRI): invalidation of its cache, groups of requests, a queue that overflows, a
//! device that is told to stop. What programs see of it is in `faults` and `isolation`, which run on the same machine.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

/// What runs at EL0.
#[cfg(target_os = "none")]
mod programs {
    use target_tests::check;
    use target_tests::user::{self, FREE_AT, RawQueue, await_words, deflate, hold, memory, memory_at, set_word};
    use uacce_abi::Protection;

    pub const PAGE: u64 = 4096;
    /// Words of the board.
    pub const DONE: usize = 0;
    pub const GO: usize = 16;
    pub const SUMS: usize = 32;
    /// Where the test lends a frame.
    pub const LENT: u64 = FREE_AT;
    /// An area that nobody has touched.
    pub const AREA: u64 = FREE_AT + 0x1000_0000;
    pub const AREA_PAGES: u64 = 128;

    /// Compresses the lent page whenever it is told to, and says what came out.
    pub extern "C" fn reads_again(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let output = memory(2 * PAGE);
        for round in 0..8 {
            await_words(GO + round..GO + round + 1, 1);
            let completion = queue.run(&deflate(LENT, PAGE, output, 2 * PAGE, round as u64));
            check!(completion.status.is_good(), completion.status.0);
            let words = (completion.produced as u64).div_ceil(8);
            let sum = (0..words).fold(1, |sum: u64, index| sum.wrapping_mul(0x100_0000_01b3) ^ user::load(output + index * 8));
            set_word(SUMS + round, sum);
            set_word(DONE + round, 1);
        }
        hold()
    }

    /// Has an untouched area, a queue, and a request in it whose source nobody has touched either.
    pub extern "C" fn asks(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        memory_at(AREA, AREA_PAGES * PAGE, Protection::ReadWrite);
        let (source, output) = (memory(PAGE), memory(PAGE));
        user::touch(output, PAGE);
        queue.put(&deflate(source, PAGE, output, PAGE, 9));
        queue.ring();
        set_word(DONE, 1);
        let completion = queue.wait();
        check!(completion.status.is_good() && completion.tag == 9, completion.status.0);
        set_word(DONE + 1, 1);
        await_words(GO..GO + 1, 1);
        let completion = queue.run(&deflate(AREA + 127 * PAGE, PAGE, output, PAGE, 10));
        set_word(SUMS, u64::from(completion.status.0));
        set_word(DONE + 2, 1);
        hold()
    }
}

#[cfg(target_os = "none")]
mod steps {
    use super::programs as p;
    use core::time::Duration;
    use firmware_kerncore::pci::{ConfigSpace, EXTENDED_PRI, enable_page_requests, extended_capability};
    use firmware_kerncore::vma::Rights;
    use firmware_kernel::{
        Ecam, Identity, ServingClock, config_space, identity, lookup_user, page_request_counters, space_counters, with_smmu,
    };
    use firmware_platform::trace::Counter;
    use hal::{AccessKind, Clock, DmaBuffer, Iova, Pa, StreamId, SubstreamId, Va};
    use hal_aarch64::{GenericTimer, barrier};
    use smmu_driver::{CommandError, FaultModel, Leaf, PageAnswer, PageEvent, PageGroup, SmmuError};
    use target_tests::board::{frames, lend_frames, space};
    use target_tests::vendor::{self, Answer};
    use target_tests::{Board, accelerator, pattern, start_kernel};
    use uacce_abi::ProcessId;
    use uacce_kernel::SpaceId;

    const PATIENCE: Duration = Duration::from_secs(10);
    /// PRI control and status: enabled; a refusal of all requests was seen; an answer fitted none; stopped.
    const ENABLED: u32 = 1;
    const FAILURE: u32 = 1 << 16;
    const UNEXPECTED: u32 = 1 << 17;

    fn who(process: ProcessId) -> (SpaceId, Identity, SubstreamId) {
        let space = space(process);
        let identity = identity(space).expect("alive");
        (space, identity, identity.substream.expect("a process with a queue has a PASID"))
    }

    /// The descriptor of a page, found by walking the table by hand.
    fn descriptor(root: Pa, at: u64) -> *mut u64 {
        let entry = |table: u64, shift: u32| core::ptr::with_exposed_provenance_mut::<u64>((table + 8 * (at >> shift & 0x1ff)) as usize);
        let mut table = root.0;
        for shift in [30, 21] {
            // SAFETY: a table of a living process, in RAM that the kernel maps identically; nobody changes it while this runs.
            let next = unsafe { entry(table, shift).read_volatile() };
            assert_eq!(next & 3, 3, "a table at {at:#x}");
            table = next & 0x0000_ffff_ffff_f000;
        }
        entry(table, 12)
    }

    /// Lets the page at `at` lead to other memory, and tells nobody.
    fn swap_silently(root: Pa, at: u64, to: Pa) {
        let descriptor = descriptor(root, at);
        // SAFETY: as above.
        let word = unsafe { descriptor.read_volatile() };
        // SAFETY: as above; the store is what a kernel's own would be.
        unsafe { descriptor.write_volatile(word & !0x0000_ffff_ffff_f000 | to.0) };
        barrier::dsb_ishst();
    }

    /// A page that is exchanged under a device which has read it: sums of what it read before, after the exchange, after the invalidation.
    fn exchange() -> [u64; 3] {
        start_kernel();
        let board = Board::new();
        let process = board.start("reads again", p::reads_again, 0);
        let [old, new] = [1, 2].map(|seed| {
            let page = frames(4096, 4096);
            for index in 0..512 {
                page.write64(index * 8, pattern::word(seed, index as u64));
            }
            page
        });
        lend_frames(process, p::LENT, &old, Rights::ReadWrite);
        let round = |number: usize| {
            board.set(p::GO + number, 1);
            board.run_until(p::DONE + number..p::DONE + number + 1);
            board.word(p::SUMS + number)
        };
        let before = round(0);
        assert_eq!(round(1), before, "the same page, the same sum");
        let (_, identity, _) = who(process);
        swap_silently(identity.root, p::LENT, new.physical_address().expect("frames"));
        let exchanged = round(2);
        with_smmu(|smmu| smmu.invalidate_range(identity.asid, Va(p::LENT), 4096, Leaf::Only)).expect("an SMMU").expect("invalidated");
        [before, exchanged, round(3)]
    }

    pub fn the_old_page_until_told() {
        let [before, exchanged, told] = exchange();
        assert_eq!(exchanged, before, "the device's own cache keeps what it has until CMD_ATC_INV");
        assert_ne!(told, before);
    }

    pub fn no_cache_no_old_page() {
        let [before, exchanged, told] = exchange();
        assert_ne!(exchanged, before, "nothing remembers the old page");
        assert_eq!(told, exchanged);
    }

    /// Configuration space and requester ID of the accelerator, and the place of its PRI capability.
    fn pri() -> (Ecam, u16, u16) {
        let found = firmware_kernel::functions().into_iter().find(|f| f.function.vendor == 0x19e5).expect("an accelerator");
        let config = config_space(found.host).expect("the host bridge's configuration space");
        let at = extended_capability(&config, found.function.rid, EXTENDED_PRI).expect("PRI");
        (config, found.function.rid, at)
    }

    fn pri_status() -> u32 {
        let (config, rid, at) = pri();
        config.read32(rid, at + 4)
    }

    /// The accelerator's own access to a page of the area.
    fn touch(stream: StreamId, substream: SubstreamId, page: u64, kind: AccessKind) -> Answer {
        vendor::translate(stream, Some(substream), Iova(p::AREA + page * p::PAGE), kind)
    }

    /// A process whose request waits until the engine is on.
    fn asking() -> (Board, StreamId, ProcessId) {
        let report = start_kernel();
        vendor::set_engine(false);
        let board = Board::new();
        let process = board.start("asks", p::asks, 0);
        board.run_until(p::DONE..p::DONE + 1);
        (board, accelerator(&report).stream, process)
    }

    /// More requests than the PRI queue has room for: those that fit are served, those that do not are sent again, and the engine's own is
    /// among the latter.
    pub fn overflow() {
        let (board, stream, process) = asking();
        let (space, _, substream) = who(process);
        let (config, rid, at) = pri();
        // More credit than the kernel gave: off, allocation, on.
        config.write32(rid, at + 4, 0);
        assert!(enable_page_requests(&config, rid, 96));
        let entries = 64;
        let before = page_request_counters();
        for page in 0..entries {
            assert_eq!(touch(stream, substream, page, AccessKind::Write), Answer::Stalled(page as u16), "page {page}");
        }
        // The 65th finds the queue full: the SMMU answers it, and it waits for something to happen.
        assert_eq!(touch(stream, substream, entries, AccessKind::Read), Answer::Stalled(entries as u16));
        let stalls = vendor::counter(Counter::Stalls);
        vendor::set_engine(true);
        let deadline = GenericTimer.deadline(PATIENCE);
        while vendor::counter(Counter::Stalls) == stalls {
            assert!(!deadline.has_passed(&GenericTimer), "the engine asks for its source");
        }
        assert_eq!(page_request_counters(), before, "nobody has looked at the queue yet");
        board.run_until(p::DONE + 1..p::DONE + 2);
        let after = page_request_counters();
        assert_eq!(after.overflows - before.overflows, 1);
        assert_eq!(after.requests - before.requests, entries + 1, "64 that fitted, and the engine's second try");
        assert!((0..entries).all(|page| lookup_user(space, p::AREA + page * p::PAGE).is_some()));
        assert!(lookup_user(space, p::AREA + entries * p::PAGE).is_none(), "what was lost is gone until the device asks again");
        // Which it does, by itself.
        assert!(matches!(touch(stream, substream, entries, AccessKind::Read), Answer::Stalled(_)));
        ServingClock.relax();
        assert!(matches!(touch(stream, substream, entries, AccessKind::Read), Answer::At(_)));
        assert_eq!(pri_status() & (FAILURE | UNEXPECTED | ENABLED), ENABLED);
    }

    /// Fewer requests may be under way than accesses wait: the others wait for their turn.
    pub fn credits() {
        let (board, stream, process) = asking();
        let (space, _, substream) = who(process);
        let (config, rid, at) = pri();
        config.write32(rid, at + 4, 0);
        assert!(enable_page_requests(&config, rid, 2));
        let before = page_request_counters().requests;
        assert_eq!(touch(stream, substream, 0, AccessKind::Read), Answer::Stalled(0));
        assert_eq!(touch(stream, substream, 1, AccessKind::Read), Answer::Stalled(1));
        let stalls = vendor::counter(Counter::Stalls);
        vendor::set_engine(true);
        let deadline = GenericTimer.deadline(PATIENCE);
        while vendor::counter(Counter::Stalls) == stalls {
            assert!(!deadline.has_passed(&GenericTimer), "the engine waits for a credit");
        }
        board.run_until(p::DONE + 1..p::DONE + 2);
        assert_eq!(page_request_counters().requests - before, 3);
        assert!([0, 1].iter().all(|page| lookup_user(space, p::AREA + page * p::PAGE).is_some()));
    }

    /// Requests in groups: one answer each, for all of its requests.
    pub fn groups() {
        let (_board, stream, process) = asking();
        let (space, _, substream) = who(process);
        let page = |index: u64| Iova(p::AREA + index * p::PAGE);
        let answers = || vendor::counter(Counter::Resumes);
        let before = answers();
        // Two groups, interleaved.
        vendor::request_page(substream, page(0), false, false, 80);
        vendor::request_page(substream, page(10), false, false, 81);
        vendor::request_page(substream, page(1), true, false, 80);
        ServingClock.relax();
        assert_eq!(answers(), before, "no group is complete");
        assert!(lookup_user(space, page(0).0).is_some() && lookup_user(space, page(10).0).is_some());
        vendor::request_page(substream, page(2), true, true, 80);
        ServingClock.relax();
        assert_eq!(answers(), before + 1);
        // One bad page spoils its group; the good ones are there all the same.
        let refusals = space_counters(space).device_refusals;
        vendor::request_page(substream, Iova(p::AREA - p::PAGE), false, false, 81);
        vendor::request_page(substream, page(11), true, true, 81);
        vendor::request_page(substream, page(3), false, true, 82);
        ServingClock.relax();
        assert_eq!(answers(), before + 3);
        assert_eq!(space_counters(space).device_refusals, refusals + 1);
        for index in [0, 1, 2, 3, 10, 11] {
            assert!(matches!(touch(stream, substream, index, AccessKind::Write), Answer::At(_)), "page {index}");
        }
        assert_eq!(pri_status() & (FAILURE | UNEXPECTED), 0, "every answer fitted");
    }

    /// A device that is told never to ask again does not, until it is switched on anew.
    pub fn response_failure() {
        let (board, stream, process) = asking();
        let (_, _, substream) = who(process);
        assert_eq!(touch(stream, substream, 0, AccessKind::Read), Answer::Stalled(0));
        let event = with_smmu(|smmu| smmu.next_page_event()).expect("an SMMU").expect("an honest queue");
        let Some(PageEvent::Request(request)) = event else { panic!("{event:?}") };
        assert_eq!((request.stream, request.substream, request.address), (stream, Some(substream), p::AREA));
        assert!(request.read && !request.write && request.last && !request.privileged);
        let group = PageGroup { stream, substream: Some(substream), prg_index: request.prg_index };
        with_smmu(|smmu| smmu.respond(group, PageAnswer::Failure)).expect("an SMMU").expect("answered");
        assert_eq!(pri_status() & (FAILURE | UNEXPECTED | ENABLED), FAILURE | ENABLED);
        assert_eq!(touch(stream, substream, 1, AccessKind::Read), Answer::Abort);
        // The request of the process ends in an error, not in silence.
        let (config, rid, at) = pri();
        config.write32(rid, at + 4, FAILURE);
        assert_eq!(pri_status() & (FAILURE | ENABLED), 0);
        assert!(enable_page_requests(&config, rid, 32));
        vendor::set_engine(true);
        board.run_until(p::DONE + 1..p::DONE + 2);
        // With requests off a missing page is an error of the request.
        config.write32(rid, at + 4, 0);
        board.set(p::GO, 1);
        board.run_until(p::DONE + 2..p::DONE + 3);
        assert_eq!(board.word(p::SUMS) as u8, zip_spec::Status::SOURCE_ABORT.0);
    }

    /// Invalidations for a device that is not there time out: the driver says so, and the queue goes on.
    pub fn nobody_answers_an_invalidation() {
        const NOBODY: StreamId = StreamId(0x20);
        let report = start_kernel();
        let table = firmware_kernel::domain_table().expect("a domain");
        let options = smmu_driver::AtsOptions { response_carries_substream: true };
        with_smmu(|smmu| {
            smmu.attach(NOBODY, &table, FaultModel::Terminate).expect("a free stream");
            smmu.enable_ats(NOBODY, options).expect("ATS");
        })
        .expect("an SMMU");
        let at = firmware_kernel::map_iova(frames(4096, 4096).physical_address().expect("frames"), 4096, 4096).expect("an IOVA");
        let Err(SmmuError::Command(failure)) = firmware_kernel::unmap_iova(at, 4096) else { panic!("nobody has completed it") };
        assert_eq!(failure.error, CommandError::AtcTimeout);
        // The accelerator is in the same domain, and its queues are worked on by the same driver.
        assert_eq!(accelerator(&report).stream, StreamId(8));
        with_smmu(|smmu| smmu.invalidate_all().expect_err("still nobody")).expect("an SMMU");
        assert_eq!(with_smmu(|smmu| smmu.next_event()).expect("an SMMU"), Ok(None));
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_atspri {
    use super::steps;

    #[test]
    fn sm_an_overflow_of_the_pri_queue_loses_nothing_for_good() {
        steps::overflow();
    }

    #[test]
    fn sm_more_accesses_than_credits_wait_for_their_turn() {
        steps::credits();
    }

    #[test]
    fn sm_page_requests_come_in_groups_and_each_has_one_answer() {
        steps::groups();
    }

    #[test]
    fn sm_response_failure_silences_the_device() {
        steps::response_failure();
    }

    #[test]
    fn sm_an_invalidation_that_nobody_completes_is_reported() {
        steps::nobody_answers_an_invalidation();
    }
}

/// The engine's request is in the trap that rang: it parks, and goes on in the one that answers.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_atspri_1p0_icount {
    use super::steps;

    #[test]
    fn sm_an_overflow_of_the_pri_queue_loses_nothing_for_good() {
        steps::overflow();
    }

    #[test]
    fn sm_more_accesses_than_credits_wait_for_their_turn() {
        steps::credits();
    }
}

/// Three engine cores beside the kernel.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_atspri_1p3 {
    use super::steps;

    #[test]
    fn sm_an_overflow_of_the_pri_queue_loses_nothing_for_good() {
        steps::overflow();
    }

    #[test]
    fn sm_more_accesses_than_credits_wait_for_their_turn() {
        steps::credits();
    }

    #[test]
    fn sm_response_failure_silences_the_device() {
        steps::response_failure();
    }
}

/// The SMMU itself remembers nothing: what is served stale comes from the device's cache.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_atspri_miss {
    #[test]
    fn ua_o16_without_atc_inv_the_old_page_is_served() {
        super::steps::the_old_page_until_told();
    }
}

/// The same without a cache in the device: the control.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_miss {
    #[test]
    fn ua_o16_without_any_cache_the_new_page_is_served_at_once() {
        super::steps::no_cache_no_old_page();
    }
}
