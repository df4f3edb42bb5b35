//! What runs at EL0: each series is a process of its own, which leaves its samples in memory that the kernel has lent it.

use core::hint::black_box;

use firmware_apps::{AppSystem, SvcSystem};
use hal::{Iova, Region};
use hal_aarch64::pmu::{self, Instructions};
use target_tests::user::{self, RawQueue};
use uacce_abi::{Attribute, Call, Command, Errno, Fd, FileRegion, Kernel, NodeIndex, PAGE_BYTES, Protection, VALUE_MAX_BYTES};
use uacce_user::{
    Asynchronous, Coding, CompletionWait, Direction, Job, Wanted, WdError, WdQueue, ZipQueue, wd_recv, wd_recv_batch, wd_recv_sync,
    wd_request_queue, wd_send, wd_send_batch,
};
use zip_spec::{BufferType, Container, Mode, Request, Sqe, Window};

/// Where the samples lie in a process.
pub const SAMPLES: u64 = 0x18_0000_0000;
/// Most samples of a series.
pub const SAMPLES_MAX: usize = 2048;
/// Length of the lent memory: three words per sample.
pub const SAMPLES_BYTES: u64 = (SAMPLES_MAX as u64 * 24).next_multiple_of(4096);
/// Bytes of a request's input.
const INPUT_BYTES: u32 = 64;
/// Requests of a batch.
pub const BATCH: usize = 16;
/// Requests before the first sample.
const WARM_UP: usize = 8;
/// Requests of a batch that goes with one doorbell.
pub const DEEP_BATCH: usize = 64;

/// What is sampled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Series {
    /// Nothing: what sampling itself costs.
    Nothing = 0,
    /// Sends while the engine is off; then sleeps, so that it can be switched on.
    SendOnly,
    /// The send of a request.
    Send,
    /// The receive of a request that is complete.
    Receive,
    /// The same without a look: the queue is armed, the interrupt comes, poll() says so.
    ReceiveByInterrupt,
    /// Sixteen sends, then sixteen receives.
    Batch,
    /// A receive on an idle queue.
    ReceiveNothing,
    /// A loop of sends and receives: one sample, of all of it.
    SendReceive,
    /// Batches of [`DEEP_BATCH`] requests, sent and received with a doorbell each: one sample, of all of them.
    Batches,
    /// The fork of a process without queues.
    Fork,
    /// The fork of a process with a started queue.
    ForkWithQueue,
    /// Send and receive, both pages known to the device.
    Warm,
    /// The same, the destination never touched before.
    FirstWrite,
    /// The same, the source never touched before.
    FirstRead,
    /// A store to a page never touched before.
    CpuFirstWrite,
    /// Opens `count` queues and keeps them; then sleeps.
    KeepOpen,
    /// Everything from the open to the started queue, the only one of its process.
    Open,
    /// Of [`Series::Open`]: the open.
    OpenNode,
    /// Of [`Series::Open`]: the direction and the depths, two calls.
    SetContext,
    /// Of [`Series::Open`]: the map of the rings.
    MapDus,
    /// Of [`Series::Open`]: the map of the doorbell page.
    MapMmio,
    /// Of [`Series::Open`]: the start.
    StartQ,
    /// The close of a started queue.
    Close,
    /// A request over a page of the user's own memory.
    Page,
    /// The same by way of reserved memory: a copy in, the request, a copy out.
    PageByCopies,
    /// A loop of jobs by the asynchronous calls, each submitted and polled for: one sample, of all of it.
    Asynchronous,
    /// The same sixteen at a time, with a doorbell each way.
    AsynchronousBatches,
}

impl Series {
    const ALL: [Self; 27] = [
        Self::Nothing,
        Self::SendOnly,
        Self::Send,
        Self::Receive,
        Self::ReceiveByInterrupt,
        Self::Batch,
        Self::ReceiveNothing,
        Self::SendReceive,
        Self::Batches,
        Self::Fork,
        Self::ForkWithQueue,
        Self::Warm,
        Self::FirstWrite,
        Self::FirstRead,
        Self::CpuFirstWrite,
        Self::KeepOpen,
        Self::Open,
        Self::OpenNode,
        Self::SetContext,
        Self::MapDus,
        Self::MapMmio,
        Self::StartQ,
        Self::Close,
        Self::Page,
        Self::PageByCopies,
        Self::Asynchronous,
        Self::AsynchronousBatches,
    ];

    /// True if all operations together are one sample.
    pub fn is_one_sample(self) -> bool {
        matches!(self, Self::SendReceive | Self::Batches | Self::Asynchronous | Self::AsynchronousBatches)
    }

    /// Samples that `count` operations give.
    pub fn samples(self, count: usize) -> usize {
        if self.is_one_sample() { 1 } else { count }
    }

    /// True if the process sleeps before it gives its queues back.
    pub fn sleeps(self) -> bool {
        matches!(self, Self::SendOnly | Self::KeepOpen)
    }
}

/// The number by which a process is told what to do.
pub fn order(series: Series, count: usize) -> u64 {
    series as u64 | (count as u64) << 8
}

/// Samples, in the order taken.
struct Samples(usize);

impl Samples {
    #[inline(always)]
    fn add(&mut self, before: Instructions, after: Instructions) {
        let spent = after.since(before);
        let at = SAMPLES as usize + 24 * self.0;
        assert!(self.0 < SAMPLES_MAX);
        for (index, word) in [spent.el0, spent.el1, spent.el2].into_iter().enumerate() {
            let place = core::ptr::with_exposed_provenance_mut::<u64>(at + 8 * index);
            // SAFETY: the kernel has lent this process `SAMPLES_BYTES` of memory at `SAMPLES`, writable, for its whole life; in bounds by the
            // check above, aligned, and no reference to it exists.
            unsafe { place.write_volatile(word) };
        }
        self.0 += 1;
    }
}

/// A process's first instruction.
pub extern "C" fn main(order: u64) -> ! {
    let system = SvcSystem;
    let series = Series::ALL[(order & 0xff) as usize];
    let code = match run(&system, series, (order >> 8) as usize) {
        Ok(()) => 0,
        Err(_) => 1,
    };
    system.exit(code)
}

fn run(system: &SvcSystem, series: Series, count: usize) -> Result<(), WdError> {
    let mut samples = Samples(0);
    match series {
        Series::Nothing => {
            for _ in 0..count {
                let before = pmu::instructions();
                samples.add(before, pmu::instructions());
            }
            Ok(())
        }
        Series::Fork => forks(system, count, &mut samples),
        Series::ForkWithQueue => {
            let wanted = Wanted { algorithm: Container::Zlib.algorithm_name(), direction: Direction::Compress };
            let _queue = wd_request_queue(system, &wanted)?;
            forks(system, count, &mut samples)
        }
        Series::CpuFirstWrite => {
            let pages = system.map_memory(count as u64 * PAGE_BYTES, Protection::ReadWrite)?;
            for index in 0..count {
                let place = core::ptr::with_exposed_provenance_mut::<u64>(pages as usize + index * PAGE_BYTES as usize);
                let before = pmu::instructions();
                // SAFETY: memory that the kernel has just mapped for this process, aligned, known to nobody else.
                unsafe { place.write_volatile(1) };
                samples.add(before, pmu::instructions());
            }
            Ok(())
        }
        Series::KeepOpen
        | Series::Open
        | Series::OpenNode
        | Series::SetContext
        | Series::MapDus
        | Series::MapMmio
        | Series::StartQ
        | Series::Close => open_and_close(system, series, count, &mut samples),
        Series::Page | Series::PageByCopies => pages(system, series, count, &mut samples),
        Series::Asynchronous => in_flight::<1>(system, count, &mut samples),
        Series::AsynchronousBatches => in_flight::<BATCH>(system, count, &mut samples),
        _ => requests(system, series, count, &mut samples),
    }
}

/// Submits and polls for jobs, `N` at a time.
fn in_flight<const N: usize>(system: &SvcSystem, count: usize, samples: &mut Samples) -> Result<(), WdError> {
    let polled = CompletionWait { spins: u32::MAX, timeout_nanoseconds: 0 };
    let mut queue = ZipQueue::request(system, Container::Raw, Direction::Compress, polled)?;
    let input = &*system.take_memory(PAGE_BYTES as usize)?;
    let outputs = system.take_memory(N * PAGE_BYTES as usize)?;
    let coding = Coding::Compress(Container::Raw, Window::K32);
    queue.asynchronous(coding, |queue: &mut Asynchronous<'_, '_, '_, '_, _, (), N>| {
        let mut free: [Option<&mut [u8]>; N] = [const { None }; N];
        for (slot, output) in free.iter_mut().zip(outputs.chunks_exact_mut(PAGE_BYTES as usize)) {
            *slot = Some(output);
        }
        let mut before = pmu::instructions();
        for operation in 0..WARM_UP + count / N {
            if operation == WARM_UP {
                before = pmu::instructions();
            }
            for slot in &mut free {
                let Some(output) = slot.take() else { return Err(WdError::Busy) };
                let job = Job { input: &input[..INPUT_BYTES as usize], output, tag: () };
                queue.stage(black_box(job)).map_err(|(error, _)| error)?;
            }
            let (mut done, mut is_good) = (0, true);
            while done < N {
                let _ = queue.poll(|ended| {
                    is_good &= ended.result.is_ok();
                    free[done] = Some(ended.job.output);
                    done += 1;
                });
            }
            if !is_good {
                return Err(WdError::Stopped);
            }
        }
        samples.add(before, pmu::instructions());
        Ok(())
    })
}

/// Requests over a page of data that does not compress: what comes out is as long as what went in, and a little more. By hand, in both ways
/// alike: what differs is the copies.
fn pages(system: &SvcSystem, series: Series, count: usize, samples: &mut Samples) -> Result<(), WdError> {
    const OUTPUT: u64 = PAGE_BYTES;
    let mut queue = RawQueue::compressing();
    let own = system.map_memory(4 * PAGE_BYTES, Protection::ReadWrite)?;
    let reserved = if series == Series::PageByCopies { Some(system.map_region(queue.fd, FileRegion::Ss, 4 * PAGE_BYTES)?) } else { None };
    let device = reserved.unwrap_or(own);
    let mut word = 1_u64;
    for offset in (0..4 * PAGE_BYTES).step_by(8) {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let place = core::ptr::with_exposed_provenance_mut::<u64>((own + offset) as usize);
        // SAFETY: memory that the kernel has just mapped for this process, aligned, known to nobody else.
        unsafe { place.write_volatile(word ^ word >> 29) };
    }
    let request = user::request(Container::Zlib.request_type(), device, PAGE_BYTES, device + OUTPUT, 2 * PAGE_BYTES, 1);
    for round in 0..WARM_UP + count {
        let before = pmu::instructions();
        if let Some(reserved) = reserved {
            copy(own, reserved, PAGE_BYTES);
        }
        queue.put(black_box(&request));
        queue.ring();
        let completion = loop {
            if let Some(completion) = queue.take() {
                break completion;
            }
        };
        let produced = u64::from(completion.produced);
        if let Some(reserved) = reserved {
            copy(reserved + OUTPUT, own + OUTPUT, produced);
        }
        let after = pmu::instructions();
        if !completion.status.is_good() || !(PAGE_BYTES..PAGE_BYTES + 64).contains(&produced) {
            return Err(WdError::Kernel(Errno::EIO));
        }
        if round >= WARM_UP {
            samples.add(before, after);
        }
    }
    Ok(())
}

/// Copies as a good library does, 64 bytes a turn: what the compiler makes of a loop here is several times as long.
#[inline(always)]
fn copy(from: u64, to: u64, len_bytes: u64) {
    // SAFETY: both ranges are mapped for this process, begin at a page and reach 64 bytes past what is copied; no reference to them exists.
    unsafe {
        core::arch::asm!(
            "2:",
            "ldp q0, q1, [{from}]",
            "ldp q2, q3, [{from}, #32]",
            "stp q0, q1, [{to}]",
            "stp q2, q3, [{to}, #32]",
            "add {from}, {from}, #64",
            "add {to}, {to}, #64",
            "subs {left}, {left}, #64",
            "b.gt 2b",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            left = inout(reg) len_bytes => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            options(nostack),
        );
    }
}

/// Forks; the copies end at once.
fn forks(system: &SvcSystem, count: usize, samples: &mut Samples) -> Result<(), WdError> {
    for _ in 0..count {
        let before = pmu::instructions();
        let forked = system.fork()?;
        let after = pmu::instructions();
        let Some(copy) = forked else { system.exit(0) };
        samples.add(before, after);
        system.wait(copy)?;
    }
    Ok(())
}

fn number(system: &SvcSystem, attribute: Attribute) -> Result<u64, WdError> {
    let mut value = [0; VALUE_MAX_BYTES];
    let text = system.attribute(NodeIndex(0), attribute, &mut value)?;
    text.trim_end().parse().map_err(|_| WdError::NoDevice)
}

/// The calls that bring a queue up, without the look at the node's attributes before them; samples the one that the series names.
fn open(system: &SvcSystem, mmio_bytes: u64, dus_bytes: u64, series: Series, samples: &mut Samples) -> Result<Fd, WdError> {
    let mut fd = Fd(-1);
    for step in [Series::OpenNode, Series::SetContext, Series::MapDus, Series::MapMmio, Series::StartQ] {
        let before = if step == series { pmu::instructions() } else { Instructions::default() };
        match step {
            Series::OpenNode => fd = system.open_node(NodeIndex(0))?,
            Series::SetContext => {
                system.set_qp_context(fd, Direction::Compress as u16)?;
                system.set_qp_info(fd)?;
            }
            Series::MapDus => drop(system.map_region(fd, Region::Dus, dus_bytes)?),
            Series::MapMmio => drop(system.map_region(fd, Region::Mmio, mmio_bytes)?),
            _ => system.ioctl(fd, Command::START_Q)?,
        }
        if step == series {
            samples.add(before, pmu::instructions());
        }
    }
    Ok(fd)
}

fn open_and_close(system: &SvcSystem, series: Series, count: usize, samples: &mut Samples) -> Result<(), WdError> {
    let (mmio_bytes, dus_bytes) = (number(system, Attribute::RegionMmioSize)?, number(system, Attribute::RegionDusSize)?);
    for _ in 0..count {
        let before = pmu::instructions();
        let fd = open(system, mmio_bytes, dus_bytes, series, samples)?;
        let between = pmu::instructions();
        if series == Series::KeepOpen {
            samples.add(before, between);
            continue;
        }
        system.close(fd)?;
        let after = pmu::instructions();
        match series {
            Series::Open => samples.add(before, between),
            Series::Close => samples.add(between, after),
            _ => {}
        }
    }
    if series == Series::KeepOpen { sleep(system) } else { Ok(()) }
}

/// Receives the oldest completion, looking until it is there.
#[inline(always)]
fn receive(queue: &mut WdQueue<'_, SvcSystem>, into: &mut Sqe) -> Result<(), WdError> {
    loop {
        match wd_recv(queue, into) {
            Err(WdError::Again) => {}
            other => return other,
        }
    }
}

fn requests(system: &SvcSystem, series: Series, count: usize, samples: &mut Samples) -> Result<(), WdError> {
    let container = Container::Zlib;
    let mut queue = wd_request_queue(system, &Wanted { algorithm: container.algorithm_name(), direction: Direction::Compress })?;
    let fresh = match series {
        Series::FirstWrite | Series::FirstRead => system.map_memory((count + 2) as u64 * PAGE_BYTES, Protection::ReadWrite)?,
        _ => system.map_memory(2 * PAGE_BYTES, Protection::ReadWrite)?,
    };
    let page = |index: usize| Iova(fresh + index as u64 * PAGE_BYTES);
    let sqe_type = queue.format().sqe_type();
    let request = |source: Iova, destination: Iova| {
        Request {
            sqe_type,
            request_type: container.request_type(),
            buffer_type: BufferType::FLAT,
            window: Window::K32,
            source,
            source_bytes: INPUT_BYTES,
            source_offset: 0,
            destination,
            destination_bytes: PAGE_BYTES as u32,
            destination_offset: 0,
            mode: Mode::ONE_SHOT,
            tag: 1,
        }
        .encode()
    };
    // Input is what fresh memory holds: zeroes, so that every request is the same work.
    let warm = request(page(0), page(1));
    let mut into = Sqe::ZERO;
    if series != Series::SendOnly {
        for _ in 0..WARM_UP {
            wd_send(&mut queue, &warm)?;
            receive(&mut queue, &mut into)?;
        }
    }
    if series == Series::SendReceive {
        let before = pmu::instructions();
        for _ in 0..count {
            wd_send(&mut queue, black_box(&warm))?;
            receive(&mut queue, black_box(&mut into))?;
        }
        samples.add(before, pmu::instructions());
        return Ok(());
    }
    if series == Series::Batches {
        let entries = [warm; DEEP_BATCH];
        let mut received = [Sqe::ZERO; DEEP_BATCH];
        let before = pmu::instructions();
        for _ in 0..count / DEEP_BATCH {
            let sent = wd_send_batch(&mut queue, black_box(&entries))?;
            let mut got = 0;
            while got < sent {
                match wd_recv_batch(&mut queue, black_box(&mut received[got..])) {
                    Ok(more) => got += more,
                    Err(WdError::Again) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        samples.add(before, pmu::instructions());
        return Ok(());
    }
    for index in 0..count {
        let sqe = match series {
            Series::FirstWrite => request(page(0), page(index + 2)),
            Series::FirstRead => request(page(index + 2), page(1)),
            _ => warm,
        };
        let before = pmu::instructions();
        if series == Series::ReceiveNothing {
            let nothing = wd_recv(&mut queue, &mut into);
            samples.add(before, pmu::instructions());
            assert!(nothing == Err(WdError::Again));
            continue;
        }
        if series == Series::Batch {
            for _ in 0..BATCH {
                wd_send(&mut queue, black_box(&sqe))?;
            }
            for _ in 0..BATCH {
                receive(&mut queue, black_box(&mut into))?;
            }
            samples.add(before, pmu::instructions());
            continue;
        }
        wd_send(&mut queue, black_box(&sqe))?;
        let between = pmu::instructions();
        match series {
            Series::SendOnly => samples.add(before, between),
            Series::Send => {
                samples.add(before, between);
                receive(&mut queue, &mut into)?;
            }
            Series::ReceiveByInterrupt => {
                wd_recv_sync(&mut queue, black_box(&mut into), CompletionWait { spins: 0, timeout_nanoseconds: u64::MAX })?;
                samples.add(between, pmu::instructions());
            }
            Series::Receive => {
                receive(&mut queue, black_box(&mut into))?;
                samples.add(between, pmu::instructions());
            }
            _ => {
                receive(&mut queue, &mut into)?;
                samples.add(before, pmu::instructions());
            }
        }
    }
    if series == Series::SendOnly { sleep(system) } else { Ok(()) }
}

/// Lets the kernel's side of the bench have a look.
fn sleep(system: &SvcSystem) -> Result<(), WdError> {
    system.call(Call::Sleep { nanoseconds: 1_000_000 })?;
    Ok(())
}
