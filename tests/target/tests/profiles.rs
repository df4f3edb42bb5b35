//! The queue interface in each of the four ways of sharing memory: the same programs, once per profile.
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
    use target_tests::user::{self, RawQueue, await_words, deflate, hold, leave, load, memory, set_word, store, word};
    use target_tests::{check, get};
    use uacce_abi::{Attribute, Call, Command, Errno, FileRegion, Kernel, NodeIndex, OnExec, PollFd};
    use zip_spec::Status;

    const DATA_BYTES: u64 = 16 << 10;
    pub const FLAGS: usize = 0;
    pub const TAINTED: usize = 1;
    pub const INSTANCES: usize = 2;
    pub const STATUS: usize = 3;
    pub const PACKED_BYTES: usize = 4;
    pub const ANSWER: usize = 5;
    pub const RESERVED: usize = 6;
    pub const GO: usize = 7;
    pub const DONE: usize = 8;

    /// Three pieces of memory that the device reaches: data, packed, and the data again.
    fn pieces(queue: &RawQueue) -> (Shared, [u64; 3]) {
        let shared = Shared::take(queue, 4 * DATA_BYTES);
        (shared, [shared.at, shared.at + DATA_BYTES, shared.at + 3 * DATA_BYTES])
    }

    /// There and back through two queues.
    fn round_trip(seed: u64) {
        let mut there = RawQueue::compressing();
        let (shared, [data, packed, again]) = pieces(&there);
        let mut back = RawQueue::decompressing();
        user::fill(data, DATA_BYTES, seed);
        let request = |from, from_bytes, to, to_bytes, tag| deflate(shared.device(from), from_bytes, shared.device(to), to_bytes, tag);
        let completion = there.run(&request(data, DATA_BYTES, packed, 2 * DATA_BYTES, 1));
        check!(completion.status.is_good(), completion.status.0);
        check!(u64::from(completion.consumed) == DATA_BYTES, completion.consumed);
        set_word(PACKED_BYTES, completion.produced.into());
        let completion = back.run(&request(packed, completion.produced.into(), again, DATA_BYTES, 2));
        check!(completion.status.is_good(), completion.status.0);
        check!(user::holds(again, DATA_BYTES, seed));
        check!(back.close() == Ok(()));
        check!(there.close() == Ok(()));
    }

    pub extern "C" fn there_and_back(seed: u64) -> ! {
        round_trip(seed);
        set_word(FLAGS, number(Attribute::Flags));
        set_word(TAINTED, number(Attribute::Tainted));
        set_word(INSTANCES, number(Attribute::AvailableInstances));
        leave()
    }

    /// Keeps a queue until it is told to go.
    pub extern "C" fn keeper(_: u64) -> ! {
        let queue = RawQueue::compressing();
        let (_, [data, ..]) = pieces(&queue);
        store(data, 1);
        set_word(DONE, 1);
        await_words(GO..GO + 1, 1);
        check!(queue.close() == Ok(()));
        set_word(DONE + 1, 1);
        leave()
    }

    /// Opens a queue while somebody else has one.
    pub extern "C" fn second(_: u64) -> ! {
        let answer = SvcSystem.invoke(Call::OpenNode { node: NodeIndex(0), on_exec: OnExec::Close });
        set_word(ANSWER, answer as u64);
        leave()
    }

    /// A request that reads memory which was not reserved.
    pub extern "C" fn outside(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (shared, [_, packed, _]) = pieces(&queue);
        let other = memory(4096);
        user::fill(other, 4096, 3);
        let completion = queue.run(&deflate(other, 4096, shared.device(packed), 4096, 1));
        set_word(STATUS, completion.status.0.into());
        // The queue lives on.
        let (_, [data, ..]) = (shared, [shared.at]);
        let completion = queue.run(&deflate(shared.device(data), 64, shared.device(packed), 4096, 2));
        check!(completion.status == Status::SUCCESS, completion.status.0);
        leave()
    }

    /// What reserved memory is like.
    pub extern "C" fn reserves(_: u64) -> ! {
        let queue = RawQueue::compressing();
        let map = |region, len| SvcSystem.map_region(queue.fd, region, len);
        let at = map(FileRegion::Ss, 0x3000);
        set_word(ANSWER, at.map_or_else(|errno| errno.to_result() as u64, |_| 1));
        if let Ok(at) = at {
            check!(user::is_all(at, 0x3000, 0), at);
            check!(map(FileRegion::Ss, 0x3000) == Err(Errno::EEXIST));
            user::fill(at, 0x3000, 4);
            set_word(RESERVED, at);
            let dma = SvcSystem.ss_dma(queue.fd);
            set_word(STATUS, dma.unwrap_or(0));
            // Neither cut nor changed; as a whole it goes once nothing can be in flight.
            check!(SvcSystem.call(Call::Unmap { at, len_bytes: 0x1000 }) == Err(Errno::EINVAL));
            check!(SvcSystem.call(Call::Protect { at, len_bytes: 0x3000, protection: uacce_abi::Protection::Read }) == Err(Errno::EPERM));
        }
        set_word(DONE, 1);
        hold()
    }

    /// What addresses kept for the kernel are like.
    pub extern "C" fn kernel_only(_: u64) -> ! {
        let queue = RawQueue::compressing();
        let at = SvcSystem.map_region(queue.fd, FileRegion::Dko, 0x1000);
        set_word(ANSWER, at.map_or_else(|errno| errno.to_result() as u64, |_| 1));
        let Ok(at) = at else { leave() };
        set_word(RESERVED, at);
        let again = SvcSystem.call(Call::MapMemory { len_bytes: 0x1000, protection: uacce_abi::Protection::ReadWrite, at });
        check!(again == Err(Errno::EEXIST), again.is_ok());
        set_word(DONE, 1);
        await_words(GO..GO + 1, 1);
        // Not the process's to touch.
        set_word(DONE + 1, load(at));
        leave()
    }

    /// Shares what it has reserved for one queue with another.
    pub extern "C" fn shares(_: u64) -> ! {
        let mut first = RawQueue::compressing();
        let (shared, [data, packed, _]) = pieces(&first);
        let mut second = RawQueue::compressing();
        let answer = SvcSystem.invoke(Call::ShareQueue { fd: first.fd, target: second.fd });
        set_word(ANSWER, answer as u64);
        user::fill(data, 4096, 5);
        for (queue, tag) in [(&mut first, 1), (&mut second, 2)] {
            let completion = queue.run(&deflate(shared.device(data), 4096, shared.device(packed), 8192, tag));
            check!(completion.status.is_good(), completion.status.0);
        }
        let nobody = uacce_abi::Fd(60);
        check!(SvcSystem.call(Call::ShareQueue { fd: first.fd, target: nobody }) == Err(Errno::EBADF));
        leave()
    }

    /// Opens the node of an accelerator that serves the kernel.
    pub extern "C" fn finds_no_node(_: u64) -> ! {
        let mut value = [0; 16];
        check!(SvcSystem.open_node(NodeIndex(0)) == Err(Errno::ENODEV));
        check!(SvcSystem.attribute(NodeIndex(0), Attribute::Api, &mut value) == Err(Errno::ENODEV));
        leave()
    }

    /// Works, is told that the device is gone, and looks at what is left.
    pub extern "C" fn survivor(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (shared, [data, packed, _]) = pieces(&queue);
        user::fill(data, 4096, 6);
        let request = |tag| deflate(shared.device(data), 4096, shared.device(packed), 8192, tag);
        check!(queue.run(&request(1)).status.is_good());
        // One more is under way as the device goes.
        queue.put(&request(2));
        queue.ring();
        set_word(DONE, 1);
        let mut entries = [PollFd::new(queue.fd)];
        loop {
            get!(SvcSystem.poll(&mut entries, 1_000_000_000));
            if entries[0].revents & PollFd::ERR != 0 {
                break;
            }
        }
        // The request in flight has ended, once: its completion lies in the copy of the rings.
        let completion = queue.take_quietly();
        check!(completion.is_some_and(|c| c.tag == 2));
        check!(queue.take_quietly().is_none());
        check!(queue.stop_words() == (true, true));
        let ioctl = |command| SvcSystem.ioctl(queue.fd, command);
        check!(ioctl(Command::START_Q) == Err(Errno::ENXIO) && ioctl(Command::PUT_Q) == Err(Errno::ENXIO));
        check!(SvcSystem.map_region(queue.fd, FileRegion::Dus, 4096) == Err(Errno::ENXIO));
        check!(SvcSystem.open_node(NodeIndex(0)) == Err(Errno::ENODEV));
        set_word(DONE + 1, 1);
        await_words(GO..GO + 1, 1);
        if word(STATUS) == 1 {
            // The doorbell is gone.
            queue.ring();
        }
        check!(SvcSystem.close(queue.fd) == Ok(()));
        leave()
    }
}

#[cfg(target_os = "none")]
mod steps {
    use super::programs as p;
    use alloc::vec;
    use alloc::vec::Vec;
    use firmware_kernel::{
        CompressDirection, CompressError, Compressor, Exit, free_frames, identity, lookup_user, remove_device, run_until_exit, with_core,
        with_qm,
    };
    use hal::{AccessKind, Iova};
    use target_tests::board::space;
    use target_tests::vendor::{self, Answer};
    use target_tests::{Board, accelerator, start_kernel};
    use uacce_abi::{Errno, NodeIndex};
    use uacce_kernel::Profile;
    use zip_spec::{Container, Status};

    const DATA_ABORT_EL0: u8 = 0x24;

    fn refusal(errno: Errno) -> u64 {
        errno.to_result() as u64
    }

    pub fn round_trips(profile: Profile) {
        let report = start_kernel();
        assert_eq!(accelerator(&report).profile, Some(profile));
        let board = Board::new();
        let queues = with_qm(0, |qm| qm.available()).expect("a QM");
        for round in 0..4 {
            board.run(board.start("there and back", p::there_and_back, 7 + round));
            assert_eq!(with_qm(0, |qm| qm.available()), Some(queues), "instances come back");
            if round == 1 {
                board.set(p::STATUS, free_frames() as u64);
            }
        }
        assert_eq!(board.word(p::STATUS), free_frames() as u64, "and so does memory");
        assert!(board.word(p::PACKED_BYTES) > 0);
        let seen = (board.word(p::FLAGS), board.word(p::TAINTED), board.word(p::INSTANCES));
        assert_eq!(seen, (profile.flags().into(), (profile == Profile::NoIommu).into(), queues.into()));
        assert_eq!(with_core(|core, _| (core.open_queues(), core.bonds())), (0, 0));
    }

    pub fn second_process(profile: Profile) {
        start_kernel();
        let board = Board::new();
        board.start("keeper", p::keeper, 0);
        board.run_until(p::DONE..p::DONE + 1);
        board.run(board.start("second", p::second, 0));
        let answer = board.word(p::ANSWER) as i64;
        if profile == Profile::ShareDomain {
            assert_eq!(answer as u64, refusal(Errno::EBUSY));
        } else {
            assert!(answer > 0, "{answer}");
        }
        board.set(p::GO, 1);
        board.run_until(p::DONE + 1..p::DONE + 2);
        board.run(board.start("third", p::second, 0));
        assert!(board.word(p::ANSWER) as i64 > 0, "the device is free again");
    }

    pub fn outside(profile: Profile) {
        start_kernel();
        let board = Board::new();
        board.run(board.start("outside", p::outside, 0));
        let status = board.word(p::STATUS) as u8;
        let expected = if profile == Profile::Sva { Status::SUCCESS } else { Status::SOURCE_ABORT };
        assert_eq!(status, expected.0, "{profile:?}");
    }

    pub fn reserved(profile: Profile) {
        let report = start_kernel();
        let stream = accelerator(&report).stream;
        let board = Board::new();
        let process = board.start("reserves", p::reserves, 0);
        board.run_until(p::DONE..p::DONE + 1);
        if profile == Profile::Sva {
            return assert_eq!(board.word(p::ANSWER), refusal(Errno::EINVAL));
        }
        assert_eq!(board.word(p::ANSWER), 1);
        let at = board.word(p::RESERVED);
        let substream = identity(space(process)).and_then(|identity| identity.substream);
        assert_eq!(substream.is_some(), profile == Profile::PasidOnly);
        for page in 0..3 {
            let pa = lookup_user(space(process), at + page * 4096).expect("mapped").pa;
            if profile == Profile::NoIommu {
                assert_eq!(board.word(p::STATUS) + page * 4096, pa.0, "in one piece");
                continue;
            }
            assert_eq!(board.word(p::STATUS), 0, "physical addresses are not told");
            let seen = vendor::translate(stream, substream, Iova(at + page * 4096), AccessKind::Write);
            assert_eq!(seen, Answer::At(pa), "{profile:?}: one address for both");
        }
        if profile != Profile::NoIommu {
            let past = vendor::translate(stream, substream, Iova(at + 3 * 4096), AccessKind::Read);
            assert_eq!(past, Answer::Abort, "and not a page more");
        }
    }

    pub fn kernel_only(profile: Profile) {
        let report = start_kernel();
        let stream = accelerator(&report).stream;
        let board = Board::new();
        let process = board.start("kernel-only", p::kernel_only, 0);
        if profile != Profile::ShareDomain {
            board.run(process);
            return assert_eq!(board.word(p::ANSWER), refusal(Errno::EINVAL));
        }
        board.run_until(p::DONE..p::DONE + 1);
        let at = board.word(p::RESERVED);
        let found = lookup_user(space(process), at).expect("mapped");
        assert_eq!(found.descriptor >> 6 & 3, 0, "AP: the kernel reads and writes, the process nothing");
        assert_eq!(vendor::translate(stream, None, Iova(at), AccessKind::Write), Answer::At(found.pa), "the device has it there too");
        board.set(p::GO, 1);
        let exit = run_until_exit(process);
        assert!(matches!(exit, Ok(Exit::Killed { class: DATA_ABORT_EL0, address, .. }) if address == at), "{exit:?}");
        assert_eq!(
            vendor::translate(stream, None, Iova(at), AccessKind::Read),
            Answer::Abort,
            "nothing of it is left in the device's table"
        );
    }

    pub fn shares(profile: Profile) {
        start_kernel();
        let board = Board::new();
        board.run(board.start("shares", p::shares, 0));
        let expected = if profile == Profile::Sva { refusal(Errno::EINVAL) } else { 0 };
        assert_eq!(board.word(p::ANSWER), expected);
    }

    /// There and back through queues of the kernel's own.
    fn kernel_compresses() {
        let open = |direction| Compressor::new(0, Container::Raw, direction).expect("a queue");
        let (mut there, mut back) = (open(CompressDirection::Compress), open(CompressDirection::Decompress));
        let data: Vec<u8> = (0..10_000_u32).map(|index| ((index * index) >> 7) as u8).collect();
        let (mut packed, mut again) = (vec![0; 20_000], vec![0; 20_000]);
        let len = there.run(&data, &mut packed).expect("compressed");
        assert!(len > 0 && len < data.len(), "{len}");
        assert_eq!(back.run(&packed[..len], &mut again), Ok(data.len()));
        assert_eq!(again[..data.len()], data);
        assert_eq!(there.run(&data, &mut packed[..4]), Err(CompressError::TooLong));
        assert!(matches!(back.run(&[0xff; 64], &mut again), Err(CompressError::Data(_))));
        there.close();
        back.close();
    }

    pub fn kernel_beside(profile: Profile) {
        start_kernel();
        let queues = with_qm(0, |qm| qm.available());
        if profile == Profile::ShareDomain {
            let refused = Compressor::new(0, Container::Raw, CompressDirection::Compress);
            return assert_eq!(refused.err(), Some(CompressError::Unavailable), "the device's one table is a process's");
        }
        let board = Board::new();
        let keeper = board.start("keeper", p::keeper, 0);
        board.run_until(p::DONE..p::DONE + 1);
        kernel_compresses();
        board.set(p::GO, 1);
        board.run(keeper);
        kernel_compresses();
        assert_eq!(with_qm(0, |qm| qm.available()), queues);
    }

    pub fn kernel_only_service() {
        let report = start_kernel();
        assert_eq!((accelerator(&report).node, accelerator(&report).profile), (None, None));
        let board = Board::new();
        board.run(board.start("finds no node", p::finds_no_node, 0));
        kernel_compresses();
    }

    pub fn removed(touches_doorbell: bool) {
        start_kernel();
        let board = Board::new();
        let process = board.start("survivor", p::survivor, 0);
        board.run_until(p::DONE..p::DONE + 1);
        assert_eq!(remove_device(NodeIndex(0)), Some(0), "every queue stopped");
        assert_eq!(remove_device(NodeIndex(0)), None, "once");
        board.run_until(p::DONE + 1..p::DONE + 2);
        board.set(p::STATUS, touches_doorbell.into());
        board.set(p::GO, 1);
        if touches_doorbell {
            let exit = run_until_exit(process);
            assert!(matches!(exit, Ok(Exit::Killed { class: DATA_ABORT_EL0, .. })), "{exit:?}");
        } else {
            board.run(process);
        }
        assert_eq!(with_core(|core, _| (core.open_queues(), core.bonds())), (0, 0));
    }
}

/// The tests of one profile.
#[cfg(target_os = "none")]
macro_rules! profile {
    ($module:ident, $profile:expr) => {
        #[embedded_test::tests(default_timeout = 60)]
        mod $module {
            use super::steps;
            use uacce_kernel::Profile;

            const PROFILE: Profile = $profile;

            #[test]
            fn ua_l4_a5_q5_f5_f6_m3_m4_o25_data_goes_there_and_back_and_flags_tell_how() {
                steps::round_trips(PROFILE);
            }

            #[test]
            fn ua_p1_p2_p3_f1_f4_a_second_process_is_served_where_there_are_tables_for_it() {
                steps::second_process(PROFILE);
            }

            #[test]
            fn ua_p4_m2_f7_the_kernel_compresses_beside_a_process_where_there_is_room() {
                steps::kernel_beside(PROFILE);
            }

            #[test]
            fn ua_x1_memory_that_was_not_reserved_is_out_of_reach_but_in_sva() {
                steps::outside(PROFILE);
            }

            #[test]
            fn ua_x2_x4_q6_u7_i1_reserved_memory_has_one_address_for_process_and_device() {
                steps::reserved(PROFILE);
            }

            #[test]
            fn ua_q4_x3_o22_addresses_kept_for_the_kernel_are_closed_to_the_process() {
                steps::kernel_only(PROFILE);
            }

            #[test]
            fn ua_u8_two_queues_use_one_reserved_memory() {
                steps::shares(PROFILE);
            }

            #[test]
            fn ua_l06_l10_r5_i3_a_removed_device_leaves_clean_errors() {
                steps::removed(false);
            }

            #[test]
            fn ua_o12_the_doorbell_of_a_removed_device_is_gone() {
                steps::removed(true);
            }
        }
    };
}

#[cfg(target_os = "none")]
profile!(plain, Profile::Sva);
#[cfg(target_os = "none")]
profile!(on_pasid, Profile::PasidOnly);
#[cfg(target_os = "none")]
profile!(on_domain, Profile::ShareDomain);
#[cfg(target_os = "none")]
profile!(on_noiommu, Profile::NoIommu);

/// `uacce_mode=0`: the kernel's own users only.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_kernelonly {
    #[test]
    fn ua_m1_r6_without_a_node_the_kernel_still_compresses() {
        super::steps::kernel_only_service();
    }
}
