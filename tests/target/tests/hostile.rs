//! A hostile process and its neighbours: memory that is not its own, rings that it scribbles over, entries of random bits that it changes while
//! the device reads them, calls by the thousand.
//!
//! Built with `SOC_LONG` set, the fuzzer runs 10 million actions.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

/// What runs at EL0.
#[cfg(target_os = "none")]
mod programs {
    use firmware_apps::SvcSystem;
    use qm_spec::{Arm, Doorbell, DoorbellLayout};
    use target_tests::pattern::Random;
    use target_tests::session::number;
    use target_tests::user::{
        self, DOORBELL, FREE_AT, RawQueue, await_words, deflate, give_way, hold, leave, load, memory, memory_at, set_word, store, word,
    };
    use target_tests::{check, get};
    use uacce_abi::{Attribute, Call, Command, Errno, Fd, Kernel, NodeIndex, OnExec, PollFd, Protection, QpContext};

    const PAGE: u64 = 4096;
    const BYTES: u64 = 2 * PAGE;
    /// Words of the board.
    pub const DONE: usize = 0;
    pub const OVER: usize = 8;
    pub const AT: usize = 9;
    pub const VALUE: usize = 10;
    pub const ROUNDS: usize = 16;
    pub const DUS: usize = 24;
    pub const MMIO: usize = 25;
    pub const QUEUES: usize = 26;
    pub const PUT: usize = 27;
    pub const RUNG: usize = 28;
    /// Neighbours of the fuzzer.
    pub const NEIGHBOURS: usize = 2;
    /// Actions of the fuzzer.
    pub const ACTIONS: u64 = if option_env!("SOC_LONG").is_some() { 10_000_000 } else { 40_000 };
    /// Calls of [`calls`].
    pub const CALLS: u64 = 10_000;

    /// Data there and back, again and again, until all is over.
    pub extern "C" fn neighbour(me: u64) -> ! {
        let (mut there, mut back) = (RawQueue::compressing(), RawQueue::decompressing());
        let (source, packed, plain) = (memory(BYTES), memory(2 * BYTES), memory(BYTES));
        set_word(DUS, there.dus);
        set_word(MMIO, there.mmio);
        let mut rounds = 0;
        while word(OVER) == 0 {
            let seed = me << 32 | rounds;
            user::fill(source, BYTES, seed);
            let completion = there.run(&deflate(source, BYTES, packed, 2 * BYTES, seed));
            check!(completion.status.is_good(), completion.status.0);
            let completion = back.run(&deflate(packed, completion.produced.into(), plain, BYTES, seed));
            check!(completion.status.is_good() && user::holds(plain, BYTES, seed), completion.status.0);
            check!(there.stop_words() == (false, false) && back.stop_words() == (false, false));
            rounds += 1;
            set_word(ROUNDS + me as usize, rounds);
            give_way();
        }
        check!(there.take().is_none() && back.take().is_none());
        set_word(DONE + me as usize, 1);
        hold()
    }

    /// Reaches for an address, to load or to store.
    pub extern "C" fn reaches(how: u64) -> ! {
        let at = word(AT);
        if how == 0 {
            set_word(VALUE, load(at));
        } else {
            store(at, 0x5a5a_5a5a_5a5a_5a5a);
        }
        leave()
    }

    fn dus_bytes() -> u64 {
        number(Attribute::RegionDusSize)
    }

    /// Scribbles over its whole shared region, stop words and all, with requests in flight.
    pub extern "C" fn scribbles(_: u64) -> ! {
        let len_bytes = dus_bytes();
        for round in 0..8 {
            let mut queue = RawQueue::compressing();
            let (source, output) = (memory(16 * PAGE), memory(32 * PAGE));
            for tag in 0..16 {
                queue.put(&deflate(source, 16 * PAGE, output, 32 * PAGE, tag));
            }
            queue.ring();
            user::fill(queue.dus, len_bytes, round);
            queue.ring();
            check!(queue.stop_words() == (true, true));
            give_way();
            check!(queue.close() == Ok(()), round);
        }
        set_word(VALUE, 1);
        leave()
    }

    /// Has every queue once, and finds its memory empty.
    pub extern "C" fn looks(count: u64) -> ! {
        let len_bytes = dus_bytes();
        for _ in 0..count {
            let fd = get!(SvcSystem.open_node(NodeIndex(0)));
            get!(SvcSystem.set_qp_context(fd, QpContext::COMPRESS));
            get!(SvcSystem.set_qp_info(fd));
            let dus = get!(SvcSystem.map_region(fd, hal::Region::Dus, len_bytes));
            check!(user::is_all(dus, len_bytes, 0), dus);
            // And leaves it full.
            user::fill(dus, len_bytes, 77);
            check!(SvcSystem.close(fd) == Ok(()));
        }
        leave()
    }

    /// Calls that are refused, every one.
    pub extern "C" fn calls(_: u64) -> ! {
        let queue = RawQueue::compressing();
        let fd = queue.fd;
        for round in 0..CALLS / 10 {
            let refused = [
                SvcSystem.call(Call::Close { fd: Fd(40) }),
                SvcSystem.call(Call::OpenNode { node: NodeIndex(77), on_exec: OnExec::Close }),
                SvcSystem.call(Call::Ioctl { fd, command: Command::START_Q, argument: &mut [] }),
                SvcSystem.call(Call::Ioctl { fd, command: Command(0x5799), argument: &mut [] }),
                SvcSystem.call(Call::Ioctl { fd, command: Command::SET_QP_CTX, argument: &mut [0; 3] }),
                SvcSystem.call(Call::Ioctl { fd, command: Command::GET_SS_DMA, argument: &mut [0; 8] }),
                SvcSystem.map_region(fd, hal::Region::Dus, PAGE).map(|_| 0),
                SvcSystem.call(Call::Unmap { at: queue.dus, len_bytes: PAGE }),
                SvcSystem.call(Call::Protect { at: queue.mmio, len_bytes: PAGE, protection: Protection::Read }),
                SvcSystem.call(Call::ShareQueue { fd, target: fd }),
            ];
            check!(refused.iter().all(Result::is_err), round);
        }
        leave()
    }

    /// Everything that a process can do wrong, in any order.
    pub extern "C" fn fuzzer(seed: u64) -> ! {
        const AREA_BYTES: u64 = 32 * PAGE;
        let mut random = Random(seed);
        let dus_bytes = dus_bytes();
        memory_at(FREE_AT, AREA_BYTES, Protection::ReadWrite);
        user::fill(FREE_AT, AREA_BYTES, seed);
        let open = |random: &mut Random| RawQueue::open(random.below(2) as u16);
        let mut queues = [open(&mut random), open(&mut random)];
        let (mut put, mut rung, mut replaced) = (0_u64, 0_u64, 0_u64);
        for action in 0..ACTIONS {
            let which = random.below(2) as usize;
            let queue = &mut queues[which];
            let within = |random: &mut Random| FREE_AT + random.below(AREA_BYTES / 8) * 8;
            match random.below(16) {
                // A good request, mostly.
                0..4 => {
                    let (from, to) = (within(&mut random), within(&mut random));
                    let mut sqe = deflate(from, 1 + random.below(BYTES), to, 1 + random.below(2 * BYTES), action);
                    for _ in 0..random.below(4) {
                        let at = random.below(32) as usize;
                        sqe.0[at] = match random.below(4) {
                            0 => random.number() as u32,
                            1 => 1 << random.below(32),
                            2 => sqe.0[at] ^ 1 << random.below(32),
                            _ => within(&mut random) as u32,
                        };
                    }
                    queue.put(&sqe);
                    put += 1;
                }
                4 | 5 => {
                    queue.ring();
                    rung += 1;
                }
                // A word of the rings, of whatever is in flight; of what entries point to.
                6..9 => store(queue.dus + random.below(dus_bytes / 8) * 8, random.number()),
                9 | 10 => store(within(&mut random), random.number()),
                11 => {
                    let value = match random.below(4) {
                        0 => Doorbell::sq(random.below(64) as u16, random.number() as u16).encode(DoorbellLayout::V2),
                        1 => Doorbell::cq(queue.number, random.number() as u16, Arm::NextEvent).encode(DoorbellLayout::V2),
                        2 => Doorbell::sq(queue.number, random.below(1024) as u16).encode(DoorbellLayout::V2),
                        _ => random.number(),
                    };
                    store(queue.mmio + if random.below(4) == 0 { random.below(0x2000) * 8 } else { DOORBELL }, value);
                    rung += 1;
                }
                12 => {
                    let at = FREE_AT + random.below(32) * PAGE;
                    let rights = [Protection::None, Protection::Read, Protection::ReadWrite, Protection::ReadWrite];
                    let protection = rights[random.below(4) as usize];
                    let _ = SvcSystem.call(Call::Protect { at, len_bytes: PAGE, protection });
                    // The fuzzer itself goes on writing there.
                    let _ = SvcSystem.call(Call::Protect { at: FREE_AT, len_bytes: AREA_BYTES, protection: Protection::ReadWrite });
                }
                13 => {
                    let command = [Command::START_Q, Command::SET_QP_CTX, Command::SET_QP_INFO, Command(random.number() as u32)];
                    let mut argument = [random.number() as u8; 16];
                    let len = random.below(17) as usize;
                    let _ = SvcSystem.call(Call::Ioctl {
                        fd: queue.fd,
                        command: command[random.below(4) as usize],
                        argument: &mut argument[..len],
                    });
                    let mut entries = [PollFd::new(queue.fd)];
                    let _ = SvcSystem.poll(&mut entries, 0);
                }
                14 => {
                    // Whatever lies there is what a scribbled ring says: nothing of it is believed.
                    let _ = queue.stop_words();
                    give_way();
                }
                _ => {
                    if random.below(16) == 0 {
                        let old = core::mem::replace(queue, open(&mut random));
                        check!(matches!(old.close(), Ok(()) | Err(Errno::EIO | Errno::ETIMEDOUT)), action);
                        replaced += 1;
                    }
                }
            }
        }
        set_word(QUEUES, replaced);
        set_word(PUT, put);
        set_word(RUNG, rung);
        leave()
    }

    /// Waits for a neighbour to be at work.
    pub fn await_neighbours() {
        await_words(ROUNDS..ROUNDS + NEIGHBOURS, 1);
    }

    /// The fuzzer beside neighbours.
    pub extern "C" fn fuzzes(seed: u64) -> ! {
        await_neighbours();
        fuzzer(seed)
    }
}

#[cfg(target_os = "none")]
mod steps {
    use super::programs as p;
    use firmware_kernel::{Exit, config_space, lookup_user, print_line, run_until_exit, with_core, with_qm};
    use hal::DmaBuffer;
    use target_tests::board::{frames, space};
    use target_tests::{Board, accelerator, pattern, start_kernel};

    const DATA_ABORT_EL0: u8 = 0x24;

    fn end(board: &Board, neighbours: usize) {
        board.set(p::OVER, 1);
        board.run_until(p::DONE..p::DONE + neighbours);
    }

    pub fn foreign_memory() {
        let report = start_kernel();
        let found = &accelerator(&report).found;
        let config = config_space(found.host).expect("the host bridge's configuration space");
        let word = |offset| u64::from(firmware_kerncore::pci::ConfigSpace::read32(&config, found.function.rid, offset));
        let registers = word(0x18) & !0xf | word(0x1c) << 32;
        let board = Board::new();
        let neighbour = board.start("neighbour", p::neighbour, 0);
        board.run_until(p::ROUNDS..p::ROUNDS + 1);
        let [dus, mmio] = [p::DUS, p::MMIO].map(|index| board.word(index));
        let physical = |at| lookup_user(space(neighbour), at).expect("mapped").pa.0;
        // Another's rings and doorbell page: at its addresses, and where they really are. Registers of the function.
        for at in [dus, mmio + 0x1000, physical(dus), physical(mmio) + 0x1000, registers, registers + 0x300] {
            for how in 0..2 {
                board.set(p::AT, at);
                let exit = run_until_exit(board.start("reaches", p::reaches, how));
                let killed = matches!(exit, Ok(Exit::Killed { class: DATA_ABORT_EL0, address, .. }) if address == at);
                assert!(killed, "{at:#x}, {}: {exit:?}", ["load", "store"][how as usize]);
                assert_eq!(board.word(p::VALUE), 0, "nothing was seen at {at:#x}");
            }
        }
        end(&board, 1);
    }

    pub fn scribbled_rings() {
        start_kernel();
        let board = Board::new();
        let instances = with_qm(0, |qm| qm.available()).expect("a QM");
        board.start("neighbour", p::neighbour, 0);
        board.run_until(p::ROUNDS..p::ROUNDS + 1);
        board.run(board.start("scribbles", p::scribbles, 0));
        assert_eq!(board.word(p::VALUE), 1);
        let rounds = board.word(p::ROUNDS);
        // Whoever comes next, on any of the queues.
        board.run(board.start("looks", p::looks, u64::from(instances)));
        end(&board, 1);
        assert!(board.word(p::ROUNDS) > rounds, "the neighbour went on");
    }

    pub fn silence() {
        start_kernel();
        let board = Board::new();
        let process = board.start("calls", p::calls, 0);
        let before = firmware::log_records();
        board.run(process);
        assert_eq!(firmware::log_records(), before, "lines for {} bad calls", p::CALLS);
        defmt::info!("this line is counted");
        assert_eq!(firmware::log_records(), before + 1);
    }

    pub fn fuzzed() {
        start_kernel();
        let board = Board::new();
        let canary = frames(64 * 4096, 4096);
        for index in 0..canary.len_bytes() / 8 {
            canary.write64(index * 8, pattern::word(5, index as u64));
        }
        for me in 0..p::NEIGHBOURS {
            board.start("neighbour", p::neighbour, me as u64);
        }
        let fuzzer = board.start("fuzzer", p::fuzzes, 11);
        board.run(fuzzer);
        let [rounds, put, rung, replaced] = [p::ROUNDS, p::PUT, p::RUNG, p::QUEUES].map(|index| board.word(index));
        end(&board, p::NEIGHBOURS);
        print_line(format_args!("{} actions, {put} entries, {rung} doorbells, {replaced} queues; neighbour: {rounds} rounds", p::ACTIONS));
        assert!(put > p::ACTIONS / 8 && rung > p::ACTIONS / 8 && replaced > 10 && rounds > 10);
        assert!((0..canary.len_bytes() / 8).all(|index| canary.read64(index * 8) == pattern::word(5, index as u64)), "kernel memory");
        // Nothing of it was an error of the device, and nobody was reset for it.
        let statistics = with_qm(0, |qm| (qm.handle_abnormal().needs_reset, qm.statistics().abnormal_interrupts)).expect("a QM");
        assert_eq!(statistics.0, 0);
        assert_eq!(with_core(|core, _| core.open_queues()), 2 * p::NEIGHBOURS, "the fuzzer's queues came back");
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod plain {
    use super::steps;

    #[test]
    fn ua_p01_o6_what_is_anothers_or_the_devices_kills_who_reaches_for_it() {
        steps::foreign_memory();
    }

    #[test]
    fn ua_p03_p05_a_scribbled_ring_harms_its_owner_and_is_empty_for_the_next() {
        steps::scribbled_rings();
    }

    #[test]
    fn ua_l9_o23_10000_bad_calls_write_no_line() {
        steps::silence();
    }
}

/// Three engine cores: entries and what they point to change while the device reads them.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 900)]
mod on_1p3 {
    #[test]
    fn sy_m01_m02_m04_a_fuzzing_process_hurts_and_resets_nobody() {
        super::steps::fuzzed();
    }
}
