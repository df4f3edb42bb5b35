//! `abuse`: a hostile user. Each attack is made, and must end in an error of the attacker's own.

use core::fmt::Write;

use hal::{Iova, Region};
use uacce_abi::{Attribute, Call, Command, Errno, Fd, FileRegion, NodeIndex, OnExec, ProcessId, Protection};
use uacce_user::{Direction, Wanted, WdError, WdQueue, wd_recv, wd_request_queue, wd_send};
use zip_spec::{BufferType, Completion, Container, Mode, Request, Sqe, Window};

use crate::{AppSystem, Console};

/// Bad calls in a row: none may leave a line in the kernel's log.
const FLOOD: usize = 10_000;

/// Runs the program; returns 0 if every attack was refused.
pub fn run_abuse<S: AppSystem>(system: &S) -> i32 {
    let mut console = Console::new(system, Fd::STDOUT);
    let wanted = Wanted { algorithm: Container::Zlib.algorithm_name(), direction: Direction::Compress };
    let mut queue = match wd_request_queue(system, &wanted) {
        Ok(queue) => queue,
        Err(error) => {
            let _ = writeln!(console, "abuse: no queue: {error:?}");
            return 1;
        }
    };
    let mut failures = 0;
    let mut report = |what: &str, held: bool| {
        failures += i32::from(!held);
        let _ = writeln!(console, "{what}: {}", if held { "refused" } else { "NOT REFUSED" });
    };
    report("calls with handles and numbers that are not", bad_numbers(system));
    report("regions twice, cut, changed, too long", bad_regions(system, queue.fd()));
    report("moves that the state does not have", bad_moves(system, queue.fd()));
    report("requests to addresses that are not the caller's", bad_requests(system, &mut queue));
    report("entries of random bits", random_entries(&mut queue));
    for _ in 0..FLOOD {
        let _ = system.call(Call::Close { fd: Fd(9) });
        let _ = system.ioctl(queue.fd(), Command(0x5799));
    }
    report("20,000 bad calls in a row", works(system, &mut queue));
    i32::from(failures != 0)
}

fn bad_numbers<S: AppSystem>(system: &S) -> bool {
    let far = [Fd(-1), Fd(0), Fd(3 + 63), Fd(i32::MAX)];
    let closed = far.iter().all(|fd| system.close(*fd).is_err() && system.ioctl(*fd, Command::START_Q).is_err());
    let open = |node| system.call(Call::OpenNode { node: NodeIndex(node), on_exec: OnExec::Close });
    closed
        && [99, u32::MAX].into_iter().all(|node| open(node) == Err(Errno::ENODEV))
        && system.call(Call::Wait { process: ProcessId(0) }) == Err(Errno::ECHILD)
        && system.call(Call::Kill { process: ProcessId(1) }) == Err(Errno::ESRCH)
}

fn bad_regions<S: AppSystem>(system: &S, fd: Fd) -> bool {
    let map = |region, len_bytes| system.call(Call::MapRegion { fd, region, len_bytes });
    map(FileRegion::Dus, 4096) == Err(Errno::EEXIST)
        && map(FileRegion::Mmio, 4096) == Err(Errno::EEXIST)
        && map(FileRegion::Ss, 4096) == Err(Errno::EINVAL)
        && map(FileRegion::from(Region::Dus), u64::MAX).is_err()
        && system.call(Call::MapMemory { len_bytes: 4096, protection: Protection::ReadWrite, at: 0x4000_0000 }).is_err()
        && system.call(Call::Unmap { at: 0x4000_0000, len_bytes: 4096 }).is_err()
        && system.call(Call::Protect { at: 0x7c00_0000, len_bytes: 4096, protection: Protection::ReadWrite }).is_err()
}

fn bad_moves<S: AppSystem>(system: &S, fd: Fd) -> bool {
    let mut short = [0; 3];
    system.ioctl(fd, Command::START_Q) == Err(Errno::EINVAL)
        && system.call(Call::Ioctl { fd, command: Command::SET_QP_CTX, argument: &mut short }) == Err(Errno::EINVAL)
        && system.call(Call::Ioctl { fd, command: Command::GET_SS_DMA, argument: &mut [0; 8] }) == Err(Errno::EINVAL)
        && system.call(Call::Read { fd, into: &mut short }) == Err(Errno::EBADF)
        && system.attribute(NodeIndex(0), Attribute::Api, &mut [0; 2]) == Err(Errno::ERANGE)
}

/// Runs one request to its end; true if there was exactly one completion for it.
fn run<S: AppSystem>(queue: &mut WdQueue<'_, S>, sqe: &Sqe) -> Option<Completion> {
    wd_send(queue, sqe).ok()?;
    let mut done = Sqe::ZERO;
    loop {
        match wd_recv(queue, &mut done) {
            Ok(()) => return Some(Completion::from(&done)),
            Err(WdError::Again) => {}
            Err(_) => return None,
        }
    }
}

fn request<S: AppSystem>(queue: &WdQueue<'_, S>, source: u64, destination: u64) -> Sqe {
    Request {
        sqe_type: queue.format().sqe_type(),
        request_type: Container::Zlib.request_type(),
        buffer_type: BufferType::FLAT,
        window: Window::K32,
        source: Iova(source),
        source_bytes: 64,
        source_offset: 0,
        destination: Iova(destination),
        destination_bytes: 4096,
        destination_offset: 0,
        mode: Mode::ONE_SHOT,
        tag: 1,
    }
    .encode()
}

fn bad_requests<S: AppSystem>(system: &S, queue: &mut WdQueue<'_, S>) -> bool {
    let Ok(own) = system.map_memory(8192, Protection::ReadWrite) else { return false };
    [0, 0x1000, 0x4000_0000, 0x8000_0000, 0x20_0000_0000, 0x7fff_ffff_f000, u64::MAX - 63].into_iter().all(|at| {
        let reads = run(queue, &request(queue, at, own));
        let writes = run(queue, &request(queue, own, at));
        reads.is_some_and(|c| !c.status.is_good()) && writes.is_some_and(|c| !c.status.is_good())
    }) && works(system, queue)
}

fn random_entries<S: AppSystem>(queue: &mut WdQueue<'_, S>) -> bool {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..200).all(|_| {
        let sqe = Sqe(core::array::from_fn(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u32
        }));
        run(queue, &sqe).is_some()
    })
}

fn works<S: AppSystem>(system: &S, queue: &mut WdQueue<'_, S>) -> bool {
    let Ok(own) = system.map_memory(8192, Protection::ReadWrite) else { return false };
    run(queue, &request(queue, own, own + 4096)).is_some_and(|completion| completion.status.is_good())
}
