//! System calls: numbers, arguments, results.
//!
//! [`Call`] is what a process asks for, with its buffers borrowed for the length of the call; [`Request`] is the same as the kernel
//! sees it: plain numbers, nothing in it believed.

use crate::{Attribute, Command, Counters, Errno, FileRegion, PollFd, QpContext, QpInfo};

/// A handle of the calling process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Fd(pub i32);

impl Fd {
    /// The console, for results.
    pub const STDOUT: Self = Self(1);
    /// The console, for complaints.
    pub const STDERR: Self = Self(2);
}

/// Number of a node. Numbers start at 0 and are dense until a device is removed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct NodeIndex(pub u32);

impl NodeIndex {
    /// No node has this number or one above it: where a look through all nodes ends.
    pub const LIMIT: u32 = 64;
}

/// Number of a process. It is a name, not an authority: nothing is granted by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct ProcessId(pub u32);

/// What a process may do with memory of its own. Never executable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum Protection {
    /// No access: every access faults.
    None = 0,
    /// Loads only, by the CPU and by devices.
    Read = 1,
    /// Loads and stores.
    ReadWrite = 3,
}

impl Protection {
    /// The protection of this number.
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Read),
            3 => Some(Self::ReadWrite),
            _ => None,
        }
    }
}

/// What becomes of a handle when its process executes another program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum OnExec {
    /// The number stays, and is worth nothing: a queue belongs to the address space that ends.
    Keep = 0,
    /// It is closed (`O_CLOEXEC`): recommended.
    Close = 1,
}

impl OnExec {
    /// The value of this number.
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Keep),
            1 => Some(Self::Close),
            _ => None,
        }
    }
}

/// How a host file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum OpenMode {
    /// For reading; it must exist.
    Read = 0,
    /// For writing; created, or cut to length 0.
    Create = 1,
}

impl OpenMode {
    /// The mode of this number.
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Read),
            1 => Some(Self::Create),
            _ => None,
        }
    }
}

/// The value of `x8`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
enum Number {
    Exit = 0,
    Write = 1,
    Read = 2,
    Close = 3,
    OpenNode = 4,
    Attribute = 5,
    Ioctl = 6,
    MapRegion = 7,
    Poll = 8,
    MapMemory = 9,
    Unmap = 10,
    Protect = 11,
    OpenHostFile = 12,
    HostFileLength = 13,
    Arguments = 14,
    Counters = 15,
    Yield = 16,
    Sleep = 17,
    Spawn = 18,
    Wait = 19,
    Identity = 20,
    Fork = 21,
    Exec = 22,
    Kill = 23,
}

impl Number {
    const ALL: [Self; 24] = [
        Self::Exit,
        Self::Write,
        Self::Read,
        Self::Close,
        Self::OpenNode,
        Self::Attribute,
        Self::Ioctl,
        Self::MapRegion,
        Self::Poll,
        Self::MapMemory,
        Self::Unmap,
        Self::Protect,
        Self::OpenHostFile,
        Self::HostFileLength,
        Self::Arguments,
        Self::Counters,
        Self::Yield,
        Self::Sleep,
        Self::Spawn,
        Self::Wait,
        Self::Identity,
        Self::Fork,
        Self::Exec,
        Self::Kill,
    ];
}

/// A call as registers: what crosses the privilege boundary.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Registers {
    /// `x8`.
    pub number: u64,
    /// `x0`…`x5`; unused ones are 0.
    pub arguments: [u64; 6],
}

/// A system call, as the process states it.
#[derive(PartialEq, Eq, Debug)]
pub enum Call<'a> {
    /// Ends the process with a code. Does not return.
    Exit {
        /// 0 is success; the first process's code becomes the machine's.
        code: i32,
    },
    /// Writes to the console or a host file; returns the bytes written, which may be fewer.
    Write {
        /// Console or host file.
        fd: Fd,
        /// What to write.
        data: &'a [u8],
    },
    /// Reads a host file from its position; returns the bytes read, 0 at the end.
    Read {
        /// Host file.
        fd: Fd,
        /// Where to.
        into: &'a mut [u8],
    },
    /// Closes a handle. A queue is stopped, put, and its regions are unmapped.
    Close {
        /// Any handle but the console.
        fd: Fd,
    },
    /// Opens a node: takes a queue; returns its handle. `EBUSY` without a free instance, `ENODEV` without such a node.
    OpenNode {
        /// The node.
        node: NodeIndex,
        /// What becomes of the handle at an `Exec`.
        on_exec: OnExec,
    },
    /// Reads an attribute; returns its length in bytes. `ENODEV` without such a node, `ENOENT` if the attribute is absent, `ERANGE` if `into` is too short.
    Attribute {
        /// The node.
        node: NodeIndex,
        /// Which.
        attribute: Attribute,
        /// Where to.
        into: &'a mut [u8],
    },
    /// A control command on a queue handle. `argument` must be as long as the command says.
    Ioctl {
        /// Queue handle.
        fd: Fd,
        /// The command.
        command: Command,
        /// Its argument structure, updated in place.
        argument: &'a mut [u8],
    },
    /// Lets the device of another queue use a queue's reserved memory: the command [`Command::SHARE_SVAS`], whose argument is a handle.
    ShareQueue {
        /// Queue handle whose reserved memory is shared.
        fd: Fd,
        /// Queue handle whose device is to use it.
        target: Fd,
    },
    /// Maps a region of a queue, once; returns its address. `EEXIST` the second time, `EINVAL` if the length does not fit the region, or if
    /// device or profile have no such region.
    MapRegion {
        /// Queue handle.
        fd: Fd,
        /// Which.
        region: FileRegion,
        /// Length in bytes: exactly the region's for DUS, at most the region's for MMIO, the caller's choice for SS and DKO.
        len_bytes: u64,
    },
    /// Waits until one of the handles has something to report; returns how many do, 0 on a time-out.
    Poll {
        /// [`PollFd`] structures, `revents` updated in place; at most [`PollFd::MAX_ENTRIES`].
        entries: &'a mut [PollFd],
        /// Longest wait; [`Call::FOREVER`] waits without limit, 0 not at all.
        timeout_nanoseconds: u64,
    },
    /// Adds zeroed memory that comes into being page by page as it is touched, by CPU or device; returns its address.
    MapMemory {
        /// Length in bytes, rounded up to pages.
        len_bytes: u64,
        /// Protection.
        protection: Protection,
        /// Where exactly, page-aligned, in free address space; 0 lets the kernel choose.
        at: u64,
    },
    /// Removes mappings. Parts of a queue region cannot be removed (`EINVAL`), the whole can.
    Unmap {
        /// First byte, page-aligned.
        at: u64,
        /// Length in bytes, rounded up to pages.
        len_bytes: u64,
    },
    /// Changes the protection of memory of the caller's own. Queue regions cannot change (`EPERM`).
    Protect {
        /// First byte, page-aligned.
        at: u64,
        /// Length in bytes, rounded up to pages.
        len_bytes: u64,
        /// New protection.
        protection: Protection,
    },
    /// Opens a file of the host; returns a handle. `ENOENT` if the host refuses.
    OpenHostFile {
        /// Path as the host knows it.
        path: &'a str,
        /// How.
        mode: OpenMode,
    },
    /// Returns the length of a host file in bytes.
    HostFileLength {
        /// Host file.
        fd: Fd,
    },
    /// Copies the argument string of this process; returns its length in bytes. `ERANGE` if `into` is too short.
    Arguments {
        /// Where to.
        into: &'a mut [u8],
    },
    /// Copies the counters; returns their length in bytes.
    Counters {
        /// Where to: [`Counters::to_bytes`].
        into: &'a mut [u8; Counters::BYTES],
    },
    /// Lets another process run.
    Yield,
    /// Sleeps at least this long.
    Sleep {
        /// How long.
        nanoseconds: u64,
    },
    /// Starts a program of the image in a new address space; returns its process number. `ENOENT` without such a program.
    Spawn {
        /// Name in the image's table of programs.
        program: &'a str,
        /// Its argument string.
        arguments: &'a str,
    },
    /// Waits for the end of a child; returns its exit code, masked to 32 bits; a killed child's is 0x8000_0000 + the fault's class.
    Wait {
        /// The child.
        process: ProcessId,
    },
    /// Returns the caller's process number.
    Identity,
    /// Makes a copy of the caller; returns the copy's number, and 0 in the copy. Memory is shared until one of them writes. Queue regions and
    /// reserved memory are not copied, handles are, and a copy of a queue handle is refused everything (`EACCES`) but its close.
    Fork,
    /// Ends the caller's address space, its queues with it, and starts a program in a new one, under the same process number. Does not return
    /// but with an error: `ENOENT` for an unknown program, `ENOMEM`; nothing has changed then.
    Exec {
        /// Name of the program.
        program: &'a str,
        /// Its argument string.
        arguments: &'a str,
    },
    /// Ends a child, whatever it is doing. `ESRCH` if the caller has no such living child.
    Kill {
        /// The child.
        process: ProcessId,
    },
}

/// A piece of the caller's memory, as alleged by it: nothing says that it exists, that it is the caller's, or that it does not change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserSlice {
    /// First byte.
    pub at: u64,
    /// Length in bytes.
    pub len_bytes: u64,
}

/// A system call, as the kernel sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "field for field the variants of Call")]
pub enum Request {
    Exit { code: i32 },
    Write { fd: Fd, data: UserSlice },
    Read { fd: Fd, into: UserSlice },
    Close { fd: Fd },
    OpenNode { node: NodeIndex, on_exec: OnExec },
    Attribute { node: NodeIndex, attribute: Attribute, into: UserSlice },
    Ioctl { fd: Fd, command: Command, argument: UserSlice },
    MapRegion { fd: Fd, region: FileRegion, len_bytes: u64 },
    Poll { entries: UserSlice, timeout_nanoseconds: u64 },
    MapMemory { len_bytes: u64, protection: Protection, at: u64 },
    Unmap { at: u64, len_bytes: u64 },
    Protect { at: u64, len_bytes: u64, protection: Protection },
    OpenHostFile { path: UserSlice, mode: OpenMode },
    HostFileLength { fd: Fd },
    Arguments { into: UserSlice },
    Counters { into: UserSlice },
    Yield,
    Sleep { nanoseconds: u64 },
    Spawn { program: UserSlice, arguments: UserSlice },
    Wait { process: ProcessId },
    Identity,
    Fork,
    Exec { program: UserSlice, arguments: UserSlice },
    Kill { process: ProcessId },
}

const fn fd_word(fd: Fd) -> u64 {
    fd.0 as i64 as u64
}

fn bytes_words(bytes: &[u8]) -> [u64; 2] {
    [bytes.as_ptr().expose_provenance() as u64, bytes.len() as u64]
}

fn bytes_words_mut(bytes: &mut [u8]) -> [u64; 2] {
    [bytes.as_mut_ptr().expose_provenance() as u64, bytes.len() as u64]
}

impl Call<'_> {
    /// A poll time-out that never comes.
    pub const FOREVER: u64 = u64::MAX;

    /// The registers that state this call. Buffers are passed by address and length.
    pub fn registers(&mut self) -> Registers {
        let (number, arguments) = match self {
            Self::Exit { code } => (Number::Exit, [*code as i64 as u64, 0, 0, 0, 0, 0]),
            Self::Write { fd, data } => {
                let [at, len] = bytes_words(data);
                (Number::Write, [fd_word(*fd), at, len, 0, 0, 0])
            }
            Self::Read { fd, into } => {
                let [at, len] = bytes_words_mut(into);
                (Number::Read, [fd_word(*fd), at, len, 0, 0, 0])
            }
            Self::Close { fd } => (Number::Close, [fd_word(*fd), 0, 0, 0, 0, 0]),
            Self::OpenNode { node, on_exec } => (Number::OpenNode, [u64::from(node.0), *on_exec as u64, 0, 0, 0, 0]),
            Self::ShareQueue { fd, target } => (Number::Ioctl, [fd_word(*fd), u64::from(Command::SHARE_SVAS.0), fd_word(*target), 0, 0, 0]),
            Self::Attribute { node, attribute, into } => {
                let [at, len] = bytes_words_mut(into);
                (Number::Attribute, [u64::from(node.0), *attribute as u64, at, len, 0, 0])
            }
            Self::Ioctl { fd, command, argument } => {
                let [at, len] = bytes_words_mut(argument);
                (Number::Ioctl, [fd_word(*fd), u64::from(command.0), at, len, 0, 0])
            }
            Self::MapRegion { fd, region, len_bytes } => (Number::MapRegion, [fd_word(*fd), *region as u64, *len_bytes, 0, 0, 0]),
            Self::Poll { entries, timeout_nanoseconds } => {
                let at = entries.as_mut_ptr().expose_provenance() as u64;
                (Number::Poll, [at, entries.len() as u64, *timeout_nanoseconds, 0, 0, 0])
            }
            Self::MapMemory { len_bytes, protection, at } => (Number::MapMemory, [*len_bytes, *protection as u64, *at, 0, 0, 0]),
            Self::Unmap { at, len_bytes } => (Number::Unmap, [*at, *len_bytes, 0, 0, 0, 0]),
            Self::Protect { at, len_bytes, protection } => (Number::Protect, [*at, *len_bytes, *protection as u64, 0, 0, 0]),
            Self::OpenHostFile { path, mode } => {
                let [at, len] = bytes_words(path.as_bytes());
                (Number::OpenHostFile, [at, len, *mode as u64, 0, 0, 0])
            }
            Self::HostFileLength { fd } => (Number::HostFileLength, [fd_word(*fd), 0, 0, 0, 0, 0]),
            Self::Arguments { into } => {
                let [at, len] = bytes_words_mut(into);
                (Number::Arguments, [at, len, 0, 0, 0, 0])
            }
            Self::Counters { into } => {
                let [at, len] = bytes_words_mut(*into);
                (Number::Counters, [at, len, 0, 0, 0, 0])
            }
            Self::Yield => (Number::Yield, [0; 6]),
            Self::Sleep { nanoseconds } => (Number::Sleep, [*nanoseconds, 0, 0, 0, 0, 0]),
            Self::Spawn { program, arguments } => {
                let ([p_at, p_len], [a_at, a_len]) = (bytes_words(program.as_bytes()), bytes_words(arguments.as_bytes()));
                (Number::Spawn, [p_at, p_len, a_at, a_len, 0, 0])
            }
            Self::Wait { process } => (Number::Wait, [u64::from(process.0), 0, 0, 0, 0, 0]),
            Self::Identity => (Number::Identity, [0; 6]),
            Self::Fork => (Number::Fork, [0; 6]),
            Self::Exec { program, arguments } => {
                let ([p_at, p_len], [a_at, a_len]) = (bytes_words(program.as_bytes()), bytes_words(arguments.as_bytes()));
                (Number::Exec, [p_at, p_len, a_at, a_len, 0, 0])
            }
            Self::Kill { process } => (Number::Kill, [u64::from(process.0), 0, 0, 0, 0, 0]),
        };
        Registers { number: number as u64, arguments }
    }
}

const fn fd_of(word: u64) -> Result<Fd, Errno> {
    if word > i32::MAX as u64 { Err(Errno::EBADF) } else { Ok(Fd(word as i32)) }
}

const fn number32(word: u64, otherwise: Errno) -> Result<u32, Errno> {
    if word > u32::MAX as u64 { Err(otherwise) } else { Ok(word as u32) }
}

impl Request {
    /// Reads a call out of its registers.
    ///
    /// # Errors
    /// `ENOSYS` for an unknown number, `EBADF` for a handle out of range, `ENODEV` and `ECHILD` for a node or process out of range,
    /// `EINVAL` for any other argument out of range.
    pub fn decode(registers: &Registers) -> Result<Self, Errno> {
        let [a0, a1, a2, a3, ..] = registers.arguments;
        let slice = |at, len_bytes| UserSlice { at, len_bytes };
        // The numbers are dense, in order.
        let number = usize::try_from(registers.number).ok().and_then(|at| Number::ALL.get(at)).ok_or(Errno::ENOSYS)?;
        Ok(match number {
            Number::Exit => Self::Exit { code: a0 as u32 as i32 },
            Number::Write => Self::Write { fd: fd_of(a0)?, data: slice(a1, a2) },
            Number::Read => Self::Read { fd: fd_of(a0)?, into: slice(a1, a2) },
            Number::Close => Self::Close { fd: fd_of(a0)? },
            Number::OpenNode => {
                Self::OpenNode { node: NodeIndex(number32(a0, Errno::ENODEV)?), on_exec: OnExec::from_number(a1).ok_or(Errno::EINVAL)? }
            }
            Number::Attribute => Self::Attribute {
                node: NodeIndex(number32(a0, Errno::ENODEV)?),
                attribute: Attribute::from_number(a1).ok_or(Errno::ENOENT)?,
                into: slice(a2, a3),
            },
            Number::Ioctl => Self::Ioctl { fd: fd_of(a0)?, command: Command(number32(a1, Errno::EINVAL)?), argument: slice(a2, a3) },
            Number::MapRegion => {
                Self::MapRegion { fd: fd_of(a0)?, region: FileRegion::from_number(a1).ok_or(Errno::EINVAL)?, len_bytes: a2 }
            }
            Number::Poll => {
                if a1 > PollFd::MAX_ENTRIES as u64 {
                    return Err(Errno::EINVAL);
                }
                Self::Poll { entries: slice(a0, a1 * PollFd::BYTES as u64), timeout_nanoseconds: a2 }
            }
            Number::MapMemory => Self::MapMemory { len_bytes: a0, protection: Protection::from_number(a1).ok_or(Errno::EINVAL)?, at: a2 },
            Number::Unmap => Self::Unmap { at: a0, len_bytes: a1 },
            Number::Protect => Self::Protect { at: a0, len_bytes: a1, protection: Protection::from_number(a2).ok_or(Errno::EINVAL)? },
            Number::OpenHostFile => Self::OpenHostFile { path: slice(a0, a1), mode: OpenMode::from_number(a2).ok_or(Errno::EINVAL)? },
            Number::HostFileLength => Self::HostFileLength { fd: fd_of(a0)? },
            Number::Arguments => Self::Arguments { into: slice(a0, a1) },
            Number::Counters => Self::Counters { into: slice(a0, a1) },
            Number::Yield => Self::Yield,
            Number::Sleep => Self::Sleep { nanoseconds: a0 },
            Number::Spawn => Self::Spawn { program: slice(a0, a1), arguments: slice(a2, a3) },
            Number::Wait => Self::Wait { process: ProcessId(number32(a0, Errno::ECHILD)?) },
            Number::Identity => Self::Identity,
            Number::Fork => Self::Fork,
            Number::Exec => Self::Exec { program: slice(a0, a1), arguments: slice(a2, a3) },
            Number::Kill => Self::Kill { process: ProcessId(number32(a0, Errno::ESRCH)?) },
        })
    }
}

/// The kernel as a process reaches it. The one implementation on target is an `svc`; host tests implement it over the kernel core.
pub trait Kernel {
    /// Makes a call; returns the value of `x0`, not yet split.
    fn invoke(&self, call: Call<'_>) -> i64;

    /// Makes a call.
    ///
    /// # Errors
    /// The error number that came back.
    fn call(&self, call: Call<'_>) -> Result<u64, Errno> {
        Errno::split(self.invoke(call))
    }

    /// Opens a node; the handle is closed at an exec.
    ///
    /// # Errors
    /// `ENODEV`, `EBUSY`, `EMFILE`, `ENOMEM`.
    fn open_node(&self, node: NodeIndex) -> Result<Fd, Errno> {
        self.call(Call::OpenNode { node, on_exec: OnExec::Close }).map(|fd| Fd(fd as i32))
    }

    /// Closes a handle.
    ///
    /// # Errors
    /// `EBADF`.
    fn close(&self, fd: Fd) -> Result<(), Errno> {
        self.call(Call::Close { fd }).map(drop)
    }

    /// Reads an attribute into `into`; returns the part of it that was written.
    ///
    /// # Errors
    /// `ENODEV`, `ENOENT`, `ERANGE`.
    fn attribute<'b>(&self, node: NodeIndex, attribute: Attribute, into: &'b mut [u8]) -> Result<&'b str, Errno> {
        let len = self.call(Call::Attribute { node, attribute, into: &mut *into })? as usize;
        let value = into.get(..len).ok_or(Errno::ERANGE)?;
        core::str::from_utf8(value).map_err(|_| Errno::EIO)
    }

    /// Starts or puts a queue: a command without an argument.
    ///
    /// # Errors
    /// As the command defines.
    fn ioctl(&self, fd: Fd, command: Command) -> Result<(), Errno> {
        self.call(Call::Ioctl { fd, command, argument: &mut [] }).map(drop)
    }

    /// Sets the direction of a queue; returns its number.
    ///
    /// # Errors
    /// `EINVAL` in the wrong state or for an unknown direction.
    fn set_qp_context(&self, fd: Fd, qc_type: u16) -> Result<u16, Errno> {
        let mut bytes = QpContext { id: 0, qc_type }.to_bytes();
        self.call(Call::Ioctl { fd, command: Command::SET_QP_CTX, argument: &mut bytes })?;
        Ok(QpContext::from_bytes(bytes).id)
    }

    /// Reads entry size and depths of a queue.
    ///
    /// # Errors
    /// `EINVAL` in the wrong state.
    fn set_qp_info(&self, fd: Fd) -> Result<QpInfo, Errno> {
        let mut bytes = QpInfo::default().to_bytes();
        self.call(Call::Ioctl { fd, command: Command::SET_QP_INFO, argument: &mut bytes })?;
        Ok(QpInfo::from_bytes(bytes))
    }

    /// Maps a region; returns its address.
    ///
    /// # Errors
    /// See [`Call::MapRegion`].
    fn map_region(&self, fd: Fd, region: impl Into<FileRegion>, len_bytes: u64) -> Result<u64, Errno> {
        self.call(Call::MapRegion { fd, region: region.into(), len_bytes })
    }

    /// Returns the physical address of a queue's reserved memory: what requests carry where nothing translates.
    ///
    /// # Errors
    /// `EINVAL` in any other profile, or before the region is mapped.
    fn ss_dma(&self, fd: Fd) -> Result<u64, Errno> {
        let mut bytes = [0; 8];
        self.call(Call::Ioctl { fd, command: Command::GET_SS_DMA, argument: &mut bytes })?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Makes a copy of this process; `None` in the copy, which has copies of all memory but queue regions, and whose copies of queue handles
    /// are refused.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn fork(&self) -> Result<Option<ProcessId>, Errno> {
        self.call(Call::Fork).map(|id| if id == 0 { None } else { Some(ProcessId(id as u32)) })
    }

    /// Waits for a child; returns its code, or the exception class that killed it with bit 31 set.
    ///
    /// # Errors
    /// `ECHILD`.
    fn wait(&self, process: ProcessId) -> Result<u32, Errno> {
        self.call(Call::Wait { process }).map(|code| code as u32)
    }

    /// Adds demand-zero memory; returns its address.
    ///
    /// # Errors
    /// `EINVAL`, `ENOMEM`.
    fn map_memory(&self, len_bytes: u64, protection: Protection) -> Result<u64, Errno> {
        self.call(Call::MapMemory { len_bytes, protection, at: 0 })
    }

    /// Waits for queue handles; returns how many have something to report.
    ///
    /// # Errors
    /// `EINVAL` for too many entries.
    fn poll(&self, entries: &mut [PollFd], timeout_nanoseconds: u64) -> Result<usize, Errno> {
        self.call(Call::Poll { entries, timeout_nanoseconds }).map(|ready| ready as usize)
    }

    /// Writes all of `data`.
    ///
    /// # Errors
    /// The first refusal; part of `data` may then have been written. `EIO` if nothing more is taken.
    fn write_all(&self, fd: Fd, mut data: &[u8]) -> Result<(), Errno> {
        while !data.is_empty() {
            let done = self.call(Call::Write { fd, data })? as usize;
            data = data.get(done..).ok_or(Errno::EIO)?;
            if done == 0 {
                return Err(Errno::EIO);
            }
        }
        Ok(())
    }

    /// Reads the counters.
    ///
    /// # Errors
    /// `EFAULT`.
    fn counters(&self) -> Result<Counters, Errno> {
        let mut bytes = [0; Counters::BYTES];
        self.call(Call::Counters { into: &mut bytes })?;
        Ok(Counters::from_bytes(&bytes))
    }

    /// Ends the process.
    fn exit(&self, code: i32) -> ! {
        loop {
            self.invoke(Call::Exit { code });
        }
    }
}

impl<K: Kernel + ?Sized> Kernel for &K {
    fn invoke(&self, call: Call<'_>) -> i64 {
        (**self).invoke(call)
    }
}

#[cfg(test)]
mod tests;
