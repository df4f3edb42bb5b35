//! System calls: from registers to a result. Arguments are allegations; each is checked where it is used.

use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use firmware_kerncore::vma::Rights;
use hal::{Clock, Va};
use hal_aarch64::{ContextFrame, GenericTimer, SpinLock, semihost};
use uacce_abi::ioctl::ARGUMENT_MAX_BYTES;
use uacce_abi::{
    Call, Command, Errno, Fd, OnExec, OpenMode, PollFd, ProcessId, Protection, Registers, Request, UserSlice, VALUE_MAX_BYTES,
};
use uacce_kernel::{QueueHandle, Readiness, SpaceId};

use crate::files::File;
use crate::queues;
use crate::task::{self, DeadlineTicks, Exit};
use crate::{boot, console, space};

/// Bytes that one host access moves.
const BOUNCE_BYTES: usize = 0x4_0000;
/// Longest name, path or argument string.
const STRING_MAX_BYTES: u64 = 4096;

static BOUNCE: SpinLock<Vec<u8>> = SpinLock::new(Vec::new());

/// What a process waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pending {
    /// One of its queues, or a moment.
    Poll {
        /// Its poll entries.
        entries: UserSlice,
        /// Ticks; `None` waits without limit.
        deadline: Option<u64>,
    },
    /// A moment.
    Sleep {
        /// Ticks.
        deadline: u64,
    },
    /// The end of a child.
    Wait {
        /// The child.
        child: ProcessId,
    },
}

impl Pending {
    /// When it ends at the latest.
    pub(crate) fn deadline(&self) -> Option<u64> {
        match self {
            Self::Poll { deadline, .. } => *deadline,
            Self::Sleep { deadline } => Some(*deadline),
            Self::Wait { .. } => None,
        }
    }
}

/// What a call comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// `x0`.
    Return(i64),
    /// The process sleeps.
    Block(Pending),
    /// The process gives the core to others, and its call returns 0.
    Yield,
    /// The process ends.
    Exit(i32),
    /// The process goes on in another program: from this frame, in this space.
    Exec {
        /// First instruction.
        entry: uacce_abi::Entry,
    },
    /// The process has made a copy of itself, whose frame is to be taken from its own; `x0` is the copy's number.
    Fork {
        /// The copy's space.
        space: SpaceId,
    },
}

impl From<Result<u64, Errno>> for Outcome {
    fn from(result: Result<u64, Errno>) -> Self {
        Self::Return(result.map_or_else(Errno::to_result, |value| value as i64))
    }
}

/// Executes the call that a frame states.
pub(crate) fn call(frame: &ContextFrame) -> Outcome {
    let x = &frame.x;
    let registers = Registers { number: x[8], arguments: [x[0], x[1], x[2], x[3], x[4], x[5]] };
    let request = match Request::decode(&registers) {
        Ok(request) => request,
        Err(errno) => return Outcome::Return(errno.to_result()),
    };
    let (id, space) = task::with_current(|id, task| (id, task.space));
    execute(id, space, request)
}

fn execute(id: u32, space: SpaceId, request: Request) -> Outcome {
    match request {
        Request::Exit { code } => Outcome::Exit(code),
        Request::Yield => Outcome::Yield,
        Request::Sleep { nanoseconds } => {
            Outcome::Block(Pending::Sleep { deadline: GenericTimer.deadline_ticks(Duration::from_nanos(nanoseconds)) })
        }
        Request::Wait { process } => wait(id, process),
        Request::Poll { entries, timeout_nanoseconds } => {
            let deadline = match timeout_nanoseconds {
                Call::FOREVER => None,
                after => Some(GenericTimer.deadline_ticks(Duration::from_nanos(after))),
            };
            poll(space, entries, deadline)
        }
        Request::Write { fd, data } => write(space, fd, data).into(),
        Request::Read { fd, into } => read(space, fd, into).into(),
        Request::Close { fd } => close(space, fd).map(|()| 0).into(),
        Request::OpenNode { node, on_exec } => open(space, node, on_exec).into(),
        Request::Attribute { node, attribute, into } => {
            let mut value = [0; VALUE_MAX_BYTES];
            queues::with_core(|core, _| core.attribute(node, attribute, &mut value))
                .and_then(|len| copy_value(space, &value[..len], into))
                .into()
        }
        Request::Ioctl { fd, command, argument } => ioctl(space, fd, command, argument).map(|()| 0).into(),
        Request::MapRegion { fd, region, len_bytes } => {
            let map = |handle| queues::with_core(|core, spaces| core.map(handle, space, region, len_bytes, spaces));
            queue(fd).and_then(map).map(|at| at.0).into()
        }
        Request::MapMemory { len_bytes, protection, at } => space::map_anonymous(space, len_bytes, rights(protection), at).into(),
        Request::Unmap { at, len_bytes } => unmap(space, at, len_bytes).map(|()| 0).into(),
        Request::Protect { at, len_bytes, protection } => space::protect(space, at, len_bytes, rights(protection)).map(|()| 0).into(),
        Request::OpenHostFile { path, mode } => open_host_file(space, path, mode).into(),
        Request::HostFileLength { fd } => with_host(fd, |file| file.len_bytes()).into(),
        Request::Arguments { into } => {
            let arguments = task::with_current(|_, task| task.arguments.clone());
            copy_value(space, arguments.as_bytes(), into).into()
        }
        Request::Counters { into } => {
            let counters = task::counters_of(ProcessId(id)).unwrap_or_default();
            copy_value(space, &counters.to_bytes(), into).into()
        }
        Request::Spawn { program, arguments } => spawn(id, space, program, arguments).into(),
        Request::Identity => Outcome::Return(i64::from(id)),
        Request::Fork => match space::fork(space) {
            Ok(space) => Outcome::Fork { space },
            Err(errno) => Outcome::Return(errno.to_result()),
        },
        Request::Exec { program, arguments } => match exec(space, program, arguments) {
            Ok(entry) => Outcome::Exec { entry },
            Err(errno) => Outcome::Return(errno.to_result()),
        },
        Request::Kill { process } => task::kill_child(id, process).map(|()| 0).into(),
    }
}

/// Looks again at what a process waits for.
pub(crate) fn retry(pending: Pending) -> Outcome {
    let (id, space) = task::with_current(|id, task| (id, task.space));
    match pending {
        Pending::Poll { entries, deadline } => poll(space, entries, deadline),
        Pending::Sleep { deadline } if GenericTimer.now_ticks() >= deadline => Outcome::Return(0),
        Pending::Sleep { .. } => Outcome::Block(pending),
        Pending::Wait { child } => wait(id, child),
    }
}

fn wait(id: u32, child: ProcessId) -> Outcome {
    match task::reap(id, child) {
        Ok(Exit::Code(code)) => Outcome::Return(i64::from(code as u32)),
        Ok(Exit::Killed { class, .. }) => Outcome::Return(0x8000_0000 | i64::from(class)),
        Err(Errno::EAGAIN) => Outcome::Block(Pending::Wait { child }),
        Err(errno) => Outcome::Return(errno.to_result()),
    }
}

const fn rights(protection: Protection) -> Rights {
    match protection {
        Protection::None => Rights::None,
        Protection::Read => Rights::Read,
        Protection::ReadWrite => Rights::ReadWrite,
    }
}

fn queue(fd: Fd) -> Result<QueueHandle, Errno> {
    task::with_current(|_, task| task.files.queue(fd))
}

fn copy_value(space: SpaceId, value: &[u8], into: UserSlice) -> Result<u64, Errno> {
    if (value.len() as u64) > into.len_bytes {
        return Err(Errno::ERANGE);
    }
    space::copy_out(space, into.at, value)?;
    Ok(value.len() as u64)
}

fn copy_string(space: SpaceId, from: UserSlice) -> Result<String, Errno> {
    if from.len_bytes > STRING_MAX_BYTES {
        return Err(Errno::E2BIG);
    }
    let mut bytes = vec![0; from.len_bytes as usize];
    space::copy_in(space, from.at, &mut bytes)?;
    String::from_utf8(bytes).map_err(|_| Errno::EINVAL)
}

fn open(space: SpaceId, node: uacce_abi::NodeIndex, on_exec: OnExec) -> Result<u64, Errno> {
    if !task::with_current(|_, task| task.files.has_room()) {
        return Err(Errno::EMFILE);
    }
    let handle = queues::with_core(|core, spaces| core.open(node, space, spaces))?;
    task::with_current(|_, task| task.files.add(File::Queue(handle, on_exec))).map(|fd| fd.0 as u64)
}

fn close(space: SpaceId, fd: Fd) -> Result<(), Errno> {
    match task::with_current(|_, task| task.files.take(fd)) {
        Some(File::Queue(handle, _)) => match queues::with_core(|core, spaces| core.close(handle, space, spaces)) {
            // A copy of somebody else's handle, or what an exec has left of one: the number goes, and that is all there was.
            Err(Errno::EACCES | Errno::EBADF) => Ok(()),
            other => other,
        },
        Some(File::Host(_)) => Ok(()),
        None => Err(Errno::EBADF),
    }
}

/// The caller's structure is read once, and written back only when the command has succeeded.
fn ioctl(space: SpaceId, fd: Fd, command: Command, argument: UserSlice) -> Result<(), Errno> {
    let handle = queue(fd)?;
    if command == Command::SHARE_SVAS {
        // Its argument is a handle, not a structure.
        let target = i32::try_from(argument.at).map_err(|_| Errno::EBADF).and_then(|number| queue(Fd(number)))?;
        return queues::with_core(|core, _| core.share(handle, target, space));
    }
    let len = command.argument_bytes();
    if len > ARGUMENT_MAX_BYTES || argument.len_bytes != len as u64 {
        return Err(Errno::EINVAL);
    }
    let mut copy = [0; ARGUMENT_MAX_BYTES];
    let copy = &mut copy[..len];
    if !command.writes_argument() {
        space::copy_in(space, argument.at, copy)?;
        return queues::with_core(|core, _| core.ioctl(handle, space, command, copy));
    }
    // What comes back must have a place before anything is done.
    let place = space::Borrowed::new(space, argument.at, argument.len_bytes)?;
    if command.reads_argument() {
        place.read(copy);
    }
    queues::with_core(|core, _| core.ioctl(handle, space, command, copy))?;
    place.write(copy);
    Ok(())
}

/// Queue regions in the range go first, whole or not at all.
fn unmap(space: SpaceId, at: u64, len_bytes: u64) -> Result<(), Errno> {
    let regions = space::queue_areas(space, at, len_bytes);
    let end = at.checked_add(len_bytes).ok_or(Errno::EINVAL)?;
    if regions.iter().any(|area| area.start < at || area.end > end) {
        return Err(Errno::EINVAL);
    }
    let handles: Vec<QueueHandle> = task::with_current(|_, task| task.files.queues().collect());
    for area in regions {
        queues::with_core(|core, spaces| {
            // One of the caller's queues has the region there.
            let unmap = |handle: &QueueHandle| match core.unmap(*handle, space, Va(area.start), area.end - area.start, spaces) {
                Err(Errno::EINVAL | Errno::EACCES | Errno::EBADF) => None,
                answer => Some(answer),
            };
            handles.iter().find_map(unmap).unwrap_or(Err(Errno::EINVAL))
        })?;
    }
    space::unmap(space, at, len_bytes)
}

fn poll(space: SpaceId, entries: UserSlice, deadline: Option<u64>) -> Outcome {
    match look(space, entries) {
        Err(errno) => Outcome::Return(errno.to_result()),
        Ok(0) if deadline.is_none_or(|at| GenericTimer.now_ticks() < at) => Outcome::Block(Pending::Poll { entries, deadline }),
        Ok(ready) => Outcome::Return(ready),
    }
}

/// Asks each queue once; returns how many have something to report.
fn look(space: SpaceId, entries: UserSlice) -> Result<i64, Errno> {
    let mut bytes = [0; PollFd::MAX_ENTRIES * PollFd::BYTES];
    let bytes = &mut bytes[..entries.len_bytes as usize];
    space::copy_in(space, entries.at, bytes)?;
    // Asking consumes the news, so the answer must have a place.
    space::check_out(space, entries.at, entries.len_bytes)?;
    let mut ready = 0;
    let (slots, _) = bytes.as_chunks_mut::<{ PollFd::BYTES }>();
    for slot in slots {
        let mut entry = PollFd::from_bytes(*slot);
        let answer = queue(Fd(entry.fd)).and_then(|handle| queues::with_core(|core, _| core.poll(handle, space)));
        entry.revents = match answer {
            Ok(Readiness::Quiet) => 0,
            Ok(Readiness::Readable) => PollFd::IN & entry.events,
            Ok(Readiness::Error) => PollFd::ERR,
            Err(_) => PollFd::NVAL,
        };
        ready += i64::from(entry.revents != 0);
        *slot = entry.to_bytes();
    }
    space::copy_out(space, entries.at, bytes)?;
    Ok(ready)
}

fn with_host<T>(fd: Fd, f: impl FnOnce(&mut semihost::File) -> Result<T, semihost::HostError>) -> Result<T, Errno> {
    task::with_current(|_, task| f(task.files.host(fd)?).map_err(|_| Errno::EIO))
}

fn write(space: SpaceId, fd: Fd, data: UserSlice) -> Result<u64, Errno> {
    let mut bounce = BOUNCE.lock();
    bounce.resize(BOUNCE_BYTES, 0);
    let len = data.len_bytes.min(BOUNCE_BYTES as u64) as usize;
    let part = &mut bounce[..len];
    space::copy_in(space, data.at, part)?;
    if fd == Fd::STDOUT || fd == Fd::STDERR {
        console::write(part);
        return Ok(len as u64);
    }
    with_host(fd, |file| file.write(part)).map(|done| done as u64)
}

fn read(space: SpaceId, fd: Fd, into: UserSlice) -> Result<u64, Errno> {
    let mut bounce = BOUNCE.lock();
    bounce.resize(BOUNCE_BYTES, 0);
    let len = into.len_bytes.min(BOUNCE_BYTES as u64);
    // What the host gives is consumed: it must have a place first.
    space::check_out(space, into.at, len)?;
    let part = &mut bounce[..len as usize];
    let done = with_host(fd, |file| file.read(part))?;
    space::copy_out(space, into.at, &part[..done])?;
    Ok(done as u64)
}

fn open_host_file(space: SpaceId, path: UserSlice, mode: OpenMode) -> Result<u64, Errno> {
    let path = CString::new(copy_string(space, path)?).map_err(|_| Errno::EINVAL)?;
    if !task::with_current(|_, task| task.files.has_room()) {
        return Err(Errno::EMFILE);
    }
    let mode = match mode {
        OpenMode::Read => semihost::Mode::Read,
        OpenMode::Create => semihost::Mode::Create,
    };
    let file = semihost::File::open(&path, mode).map_err(|_| Errno::ENOENT)?;
    task::with_current(|_, task| task.files.add(File::Host(file))).map(|fd| fd.0 as u64)
}

/// Leaves the caller's space for a fresh one; returns where the program begins.
fn exec(old: SpaceId, program: UserSlice, arguments: UserSlice) -> Result<uacce_abi::Entry, Errno> {
    let (program, arguments) = (copy_string(old, program)?, copy_string(old, arguments)?);
    let program = boot::program(&program).ok_or(Errno::ENOENT)?;
    let new = space::create()?;
    // Nothing can fail from here on.
    task::with_current(|_, task| {
        task.files.close_on_exec();
        task.space = new;
        task.name = program.name.into();
        task.arguments = arguments;
    });
    task::end_space(old);
    Ok(program.entry)
}

fn spawn(parent: u32, space: SpaceId, program: UserSlice, arguments: UserSlice) -> Result<u64, Errno> {
    let (program, arguments) = (copy_string(space, program)?, copy_string(space, arguments)?);
    let program = boot::program(&program).ok_or(Errno::ENOENT)?;
    let child = task::spawn_child(Some(parent), program.name, program.entry, 0, &arguments)?;
    // From now on the caller has somebody to share the core with.
    task::arm_timer();
    Ok(u64::from(child.0))
}

/// What an exception class that kills is called.
pub(crate) const fn class_name(class: u8) -> &'static str {
    match class {
        0x00 => "undefined instruction",
        0x07 => "FP access",
        0x18 => "system register access",
        0x20 => "instruction abort",
        0x22 => "misaligned pc",
        0x24 => "data abort",
        0x26 => "misaligned sp",
        0x3c => "breakpoint",
        _ => "exception",
    }
}
