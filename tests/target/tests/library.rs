//! The user library on the machine: several drivers, requests in flight, zlib's calls, reserved memory, two engines in one address space.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

/// What runs at EL0.
#[cfg(target_os = "none")]
mod programs {
    use firmware_apps::{AppSystem, SvcSystem};
    use hal::Iova;
    use target_tests::session::number;
    use target_tests::user::{counters, fill, hold, holds, leave, memory, request, set_word};
    use target_tests::{check, get};
    use uacce_abi::{Attribute, Call, Kernel, NodeIndex, ProcessId};
    use uacce_user::{
        Asynchronous, Coding, CompletionWait, CopyQueue, Deflate, Direction, Inflate, Job, Library, Sharing, Wanted, WdError, WdQueue,
        Z_BUF_ERROR, Z_FINISH, Z_NO_FLUSH, Z_OK, Z_STREAM_END, ZBuffers, ZipQueue, deflate, deflate_end, deflate_init2, inflate,
        inflate_end, inflate_init2, wd_flush, wd_recv_sync, wd_release_queue, wd_request_queue, wd_reserve_memory, wd_send,
        wd_share_reserved_memory,
    };
    use zip_spec::{Completion, Container, RequestType, Sqe, Window};

    pub const KERNEL: usize = 0;
    pub const CONTROL: usize = 1;
    pub const PRODUCED: usize = 2;
    pub const AT: usize = 3;
    pub const DONE: usize = 8;

    const POLL: CompletionWait = CompletionWait { spins: u32::MAX, timeout_nanoseconds: 0 };
    const DEFLATE: Wanted<'static> = Wanted { algorithm: "deflate", direction: Direction::Compress };
    const INFLATE: Wanted<'static> = Wanted { algorithm: "deflate", direction: Direction::Decompress };

    /// Takes a queue and gives it back; drains one that is full of requests.
    pub extern "C" fn takes_and_flushes(_: u64) -> ! {
        let free = number(Attribute::AvailableInstances);
        let system = SvcSystem;
        check!(wd_request_queue(&system, &Wanted { algorithm: "rsa", direction: Direction::Compress }).err() == Some(WdError::NoDevice));
        let mut queue = get!(wd_request_queue(&system, &DEFLATE));
        check!(number(Attribute::AvailableInstances) == free - 1);
        let (source, output) = (memory(4096), memory(8192));
        fill(source, 4096, 1);
        for tag in 0..300 {
            get!(wd_send(&mut queue, &request(RequestType::DEFLATE, source, 4096, output, 8192, tag)));
        }
        let mut expected = 0;
        let drained = wd_flush(&mut queue, CompletionWait::PATIENT, |sqe| {
            let completion = Completion::from(sqe);
            check!(completion.status.is_good() && completion.tag == expected, completion.tag);
            expected += 1;
        });
        check!(drained == Ok(()) && expected == 300 && queue.in_flight() == 0, expected);
        // A queue that was drained goes on.
        get!(wd_send(&mut queue, &request(RequestType::DEFLATE, source, 4096, output, 8192, 300)));
        let mut sqe = Sqe::ZERO;
        check!(wd_recv_sync(&mut queue, &mut sqe, CompletionWait::PATIENT) == Ok(()) && sqe.tag() == 300);
        check!(wd_release_queue(queue) == Ok(()) && number(Attribute::AvailableInstances) == free);
        leave()
    }

    /// Jobs over memory and stack that nobody has touched yet.
    const WARM_UP: usize = 64;
    const JOBS: usize = WARM_UP + 1000;
    const JOB_BYTES: usize = 512;

    /// A thousand jobs and more, up to sixteen in flight, without a call: what was in flight comes back in order, with its data.
    pub extern "C" fn in_flight(_: u64) -> ! {
        let system = SvcSystem;
        let mut queue = get!(ZipQueue::request(&system, Container::Zlib, Direction::Compress, POLL));
        let inputs = get!(system.take_memory(16 * JOB_BYTES));
        let outputs = get!(system.take_memory(16 * 2 * JOB_BYTES));
        for (at, byte) in inputs.iter_mut().enumerate() {
            *byte = (at / 3 % 251) as u8;
        }
        outputs.fill(0xff);
        let mut expected = 0;
        let mut produced = 0;
        let coding = Coding::Compress(Container::Zlib, Window::K32);
        let during = queue.asynchronous(coding, |queue: &mut Asynchronous<'_, '_, '_, '_, _, usize, 16>| {
            let mut free: [Option<&mut [u8]>; 16] = [const { None }; 16];
            for (slot, output) in free.iter_mut().zip(outputs.chunks_exact_mut(2 * JOB_BYTES)) {
                *slot = Some(output);
            }
            let (mut before, mut sent) = (None, 0);
            while expected < JOBS {
                if expected >= WARM_UP && before.is_none() {
                    before = Some(counters());
                }
                while sent < JOBS
                    && let Some(output) = free[sent % 16].take()
                {
                    let input = &inputs[sent % 16 * JOB_BYTES..][..JOB_BYTES];
                    check!(queue.stage(Job { input, output, tag: sent }).is_ok(), sent);
                    sent += 1;
                }
                let _ = queue.poll(|done| {
                    check!(done.job.tag == expected, done.job.tag);
                    let made = get!(done.result).produced;
                    check!(made > 20 && done.job.output.starts_with(&[0x78]), made);
                    produced += made;
                    free[expected % 16] = Some(done.job.output);
                    expected += 1;
                });
            }
            counters().since(&before.unwrap_or_default())
        });
        set_word(KERNEL, during.kernel_el1_exceptions);
        set_word(CONTROL, during.system_calls);
        set_word(PRODUCED, produced as u64);
        set_word(DONE, expected as u64);
        leave()
    }

    /// zlib's calls there and back, in small pieces, for all three formats; once with the container chosen by the data.
    pub extern "C" fn zlib_calls(_: u64) -> ! {
        const BYTES: usize = 50_000;
        let system = SvcSystem;
        let data = get!(system.take_memory(BYTES));
        for (at, byte) in data.iter_mut().enumerate() {
            *byte = (at * at / 977 % 250) as u8;
        }
        let (packed, again) = (get!(system.take_memory(2 * BYTES)), get!(system.take_memory(BYTES)));
        let memory = get!(system.take_memory(Deflate::<SvcSystem>::MEMORY_BYTES));
        let scratch = get!(system.take_memory(Inflate::<SvcSystem>::MEMORY_BYTES));
        for (there, back) in [(15, 15), (31, 47), (-15, -15)] {
            let Ok(mut stream) = deflate_init2(&system, memory, 6, there) else { target_tests::user::fail(line!(), there as u64) };
            let (mut at, mut len) = (0, 0);
            let adler = loop {
                let end = (at + 7000).min(BYTES);
                let mut io = ZBuffers { next_in: &data[at..end], next_out: &mut packed[len..len + 3000] };
                let code = deflate(&mut stream, &mut io, if end == BYTES { Z_FINISH } else { Z_NO_FLUSH });
                (at, len) = (end - io.avail_in(), len + 3000 - io.avail_out());
                match code {
                    Z_STREAM_END => break stream.adler,
                    Z_OK | Z_BUF_ERROR => {}
                    other => target_tests::user::fail(line!(), other.0 as u64),
                }
            };
            check!(deflate_end(stream) == Z_OK && len < BYTES, len);
            let Ok(mut stream) = inflate_init2(&system, scratch, back) else { target_tests::user::fail(line!(), back as u64) };
            again.fill(0);
            let (mut at, mut made) = (0, 0);
            loop {
                let (end, room) = ((at + 999).min(len), (made + 100).min(BYTES));
                let mut io = ZBuffers { next_in: &packed[at..end], next_out: &mut again[made..room] };
                let code = inflate(&mut stream, &mut io, Z_NO_FLUSH);
                (at, made) = (end - io.avail_in(), room - io.avail_out());
                match code {
                    Z_STREAM_END => break,
                    Z_OK => {}
                    other => target_tests::user::fail(line!(), other.0 as u64),
                }
            }
            check!(stream.adler == adler && at == len && made == BYTES && again == data, made);
            check!(inflate_end(stream) == Z_OK);
        }
        leave()
    }

    /// One program for every profile: requests name reserved memory only, which two queues share.
    pub extern "C" fn reserves(_: u64) -> ! {
        let system = SvcSystem;
        let library = Library::ALL.with_reserved_memory();
        let mut there: WdQueue<'_, SvcSystem> = get!(library.request(&system, &DEFLATE));
        let mut back: WdQueue<'_, SvcSystem> = get!(library.request(&system, &INFLATE));
        let reserved = get!(wd_reserve_memory(&there, 16 << 10));
        get!(wd_share_reserved_memory(&there, &back));
        let place = |offset, len_bytes| match reserved.for_device(offset, len_bytes) {
            Some(at) => at.0,
            None => target_tests::user::fail(line!(), offset),
        };
        // Where anything translates, the device has the process's own addresses.
        check!((place(0, 1) == reserved.address()) == (there.sharing() != Sharing::Physical), place(0, 1));
        check!(wd_request_queue(&system, &DEFLATE).is_ok() == (there.sharing() == Sharing::Sva));
        fill(reserved.address(), 4096, 7);
        let run = |queue: &mut WdQueue<'_, SvcSystem>, source: (u64, u64), output: (u64, u64)| {
            get!(wd_send(
                queue,
                &request(RequestType::DEFLATE, place(source.0, source.1), source.1, place(output.0, output.1), output.1, 1)
            ));
            let mut sqe = Sqe::ZERO;
            get!(wd_recv_sync(queue, &mut sqe, CompletionWait::PATIENT));
            let completion = Completion::from(&sqe);
            check!(completion.status.is_good(), completion.status.0);
            u64::from(completion.produced)
        };
        let len = run(&mut there, (0, 4096), (4096, 8192));
        check!(run(&mut back, (4096, len), (12 << 10, 4096)) == 4096);
        check!(holds(reserved.address() + (12 << 10), 4096, 7));
        set_word(DONE, 1);
        leave()
    }

    /// What one engine's queue has reserved, the other engine's reads and writes by the same address.
    pub extern "C" fn shares_with_another_engine(_: u64) -> ! {
        let system = SvcSystem;
        let library = Library::ALL.with_reserved_memory();
        let zip: WdQueue<'_, SvcSystem> = get!(library.request(&system, &DEFLATE));
        let reserved = get!(wd_reserve_memory(&zip, 8192));
        let mut copy = get!(CopyQueue::request(&system, &library, CompletionWait::PATIENT));
        get!(wd_share_reserved_memory(&zip, copy.queue()));
        fill(reserved.address(), 4096, 9);
        let at = |offset| reserved.for_device(offset, 4096).unwrap_or(Iova(0));
        check!(at(0).0 == reserved.address());
        check!(copy.start(at(0), at(4096), 4096) == Ok(()) && copy.finish() == Ok(()));
        check!(holds(reserved.address() + 4096, 4096, 9));
        // Memory that was not reserved stays out of its reach.
        let other = memory(4096);
        check!(copy.start(Iova(other), at(4096), 4096) == Ok(()) && copy.finish().is_err());
        set_word(DONE, 1);
        leave()
    }

    /// One pointer through both engines and the CPU, with no call between the stages; then keeps everything.
    pub extern "C" fn one_pointer(_: u64) -> ! {
        let system = SvcSystem;
        let chosen = |algorithm| get!(Library::ALL.choose(&system, algorithm));
        let (zip, copy) = (chosen("deflate"), chosen("memcpy"));
        check!((zip.node, zip.driver.name()) == (NodeIndex(0), "zip") && (copy.node, copy.driver.name()) == (NodeIndex(1), "copy"));
        check!(Library::ZIP.choose(&system, "memcpy").err() == Some(WdError::NoDevice));
        let mut copy = get!(CopyQueue::request(&system, &Library::ALL, POLL));
        let mut zip: WdQueue<'_, SvcSystem> = get!(Library::ALL.request(&system, &DEFLATE));
        let (wire, pointer, packed) = (memory(4096), memory(4096), memory(8192));
        fill(wire, 4096, 3);
        let mut run = |tag| {
            check!(copy.start(Iova(wire), Iova(pointer), 4096) == Ok(()) && copy.finish() == Ok(()));
            get!(wd_send(&mut zip, &request(RequestType::DEFLATE, pointer, 4096, packed, 8192, tag)));
            let mut sqe = Sqe::ZERO;
            get!(wd_recv_sync(&mut zip, &mut sqe, POLL));
            let completion = Completion::from(&sqe);
            check!(completion.status.is_good() && completion.tag == tag, completion.status.0);
            check!(holds(pointer, 4096, 3));
            completion.produced
        };
        let first = run(1);
        let before = counters();
        check!((2..102).all(|tag| run(tag) == first));
        set_word(KERNEL, counters().since(&before).kernel_el1_exceptions);
        set_word(AT, pointer);
        set_word(DONE, 1);
        hold()
    }

    /// Runs the pipeline program to its end.
    pub extern "C" fn runs_pingpong(_: u64) -> ! {
        let child = get!(SvcSystem.call(Call::Spawn { program: "pingpong", arguments: "" })) as u32;
        check!(SvcSystem.wait(ProcessId(child)) == Ok(0));
        leave()
    }
}

#[cfg(target_os = "none")]
mod steps {
    use super::programs as p;
    use target_tests::{Board, start_kernel};

    pub fn run(name: &str, entry: uacce_abi::Entry) -> Board {
        start_kernel();
        let board = Board::new();
        firmware_kernel::set_tick(false);
        board.run(board.start(name, entry, 0));
        board
    }

    pub fn reserved_memory() {
        assert_eq!(run("reserves", p::reserves).word(p::DONE), 1);
    }

    pub fn two_engines_reserved_memory() {
        assert_eq!(run("shares", p::shares_with_another_engine).word(p::DONE), 1);
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod plain {
    use super::{programs as p, steps};

    #[test]
    fn ua_u1_u2_u6_queues_are_taken_drained_and_given_back() {
        steps::run("takes and flushes", p::takes_and_flushes);
    }

    #[test]
    fn ua_u3_u4_a6_1000_jobs_in_flight_take_no_el1_exception() {
        let board = steps::run("in flight", p::in_flight);
        assert_eq!(board.word(p::DONE), 1064);
        // The query that ends the interval, and no other.
        assert_eq!((board.word(p::KERNEL), board.word(p::CONTROL)), (1, 1));
    }

    #[test]
    fn ua_u10_zlibs_calls_go_there_and_back() {
        steps::run("zlib calls", p::zlib_calls);
    }

    #[test]
    fn ua_u7_u8_one_program_for_every_profile() {
        steps::reserved_memory();
    }
}

/// The same program where addresses are not shared.
#[cfg(target_os = "none")]
macro_rules! profile {
    ($module:ident) => {
        #[embedded_test::tests(default_timeout = 60)]
        mod $module {
            #[test]
            fn ua_u7_u8_one_program_for_every_profile() {
                super::steps::reserved_memory();
            }
        }
    };
}

#[cfg(target_os = "none")]
profile!(on_pasid);
#[cfg(target_os = "none")]
profile!(on_domain);
#[cfg(target_os = "none")]
profile!(on_noiommu);

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_dummy {
    use super::{programs as p, steps};
    use firmware_kernel::{identity, lookup_user};
    use hal::{AccessKind, Iova};
    use target_tests::board::space;
    use target_tests::vendor::{self, Answer};
    use target_tests::{Board, start_kernel};

    #[test]
    fn ua_a3_a8_o20_one_pointer_goes_through_both_engines_and_the_cpu() {
        let report = start_kernel();
        let streams = [0, 1].map(|index: usize| report.accelerators[index].as_ref().expect("it came up").stream);
        let board = Board::new();
        firmware_kernel::set_tick(false);
        let process = board.start("one pointer", p::one_pointer, 0);
        board.run_until(p::DONE..p::DONE + 1);
        // A hundred packets through both engines: the query that ends the interval is the one exception.
        assert_eq!(board.word(p::KERNEL), 1);
        // One address space for all: the same substream of both devices leads to the process's own page.
        let at = board.word(p::AT);
        let page = lookup_user(space(process), at).expect("mapped").pa;
        let substream = identity(space(process)).and_then(|identity| identity.substream);
        assert!(substream.is_some());
        for stream in streams {
            assert_eq!(vendor::translate(stream, substream, Iova(at), AccessKind::Read), Answer::At(page), "{stream:?}");
        }
    }

    #[test]
    fn ua_o20_the_pipeline_program_comes_to_its_end() {
        steps::run("runs pingpong", p::runs_pingpong);
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_pasid_dummy {
    #[test]
    fn ua_u8_a_second_engine_uses_what_was_reserved_for_the_first() {
        super::steps::two_engines_reserved_memory();
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_domain_dummy {
    #[test]
    fn ua_u8_a_second_engine_uses_what_was_reserved_for_the_first() {
        super::steps::two_engines_reserved_memory();
    }
}
