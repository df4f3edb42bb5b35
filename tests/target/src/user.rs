//! The EL0 side of a test: memory, queues by hand, and a way to fail with a line number. Nothing here writes a static.

use core::ops::Range;
use core::panic::Location;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use hal::{Barriers, Clock, Iova, Region};
use hal_aarch64::GenericTimer;
use qm_spec::{Arm, CQE_BYTES, Cqe, Doorbell, DoorbellLayout, DusLayout};
use uacce_abi::{Call, Command, Counters, Errno, Fd, Kernel, NodeIndex, PAGE_BYTES, Protection, QpContext, USER_ADDRESSES};
use uacce_user::System;
use zip_spec::{BufferType, Completion, Mode, Request, RequestType, Sqe, SqeType, Window};

use crate::board::FAILED_LINE;
use crate::pattern;

pub use firmware_apps::SvcSystem;

/// Where a process has the board.
pub const BOARD_AT: u64 = USER_ADDRESSES.start;
/// Where tests map memory at addresses of their choice; the kernel's own choices lie at the other end.
pub const FREE_AT: u64 = USER_ADDRESSES.start + 0x4000_0000;
/// Offset of the doorbell in a queue's page.
pub const DOORBELL: u64 = 0x1000;
/// How long a completion is waited for before a process gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Ends the process as failed unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr) => {
        if !$condition {
            $crate::user::fail(line!(), 0)
        }
    };
    ($condition:expr, $value:expr) => {
        if !$condition {
            $crate::user::fail(line!(), $value as u64)
        }
    };
}

/// The value of a result; ends the process as failed if there is none.
#[macro_export]
macro_rules! get {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(_) => $crate::user::fail(line!(), 1),
        }
    };
}

/// Ends the process, leaving a line and a value on the board.
#[cold]
pub fn fail(line: u32, value: u64) -> ! {
    // The first complaint is the one that tells something.
    if word(FAILED_LINE) == 0 {
        set_word(FAILED_LINE + 1, value);
        set_word(FAILED_LINE, line.into());
    }
    SvcSystem.exit(1)
}

/// Ends the process well.
pub fn leave() -> ! {
    SvcSystem.exit(0)
}

/// Keeps the process, its queues and its memory for ever.
pub fn hold() -> ! {
    loop {
        SvcSystem.invoke(Call::Sleep { nanoseconds: 1_000_000_000 });
    }
}

/// Lets others run.
pub fn give_way() {
    SvcSystem.invoke(Call::Yield);
}

/// A word of the board.
pub fn board(index: usize) -> &'static AtomicU64 {
    assert!(index < crate::board::WORDS);
    // SAFETY: every process of a test has the board there, for its whole life; it is only accessed as atomics.
    unsafe { AtomicU64::from_ptr(core::ptr::with_exposed_provenance_mut(BOARD_AT as usize + index * 8)) }
}

/// Reads a word of the board.
pub fn word(index: usize) -> u64 {
    board(index).load(Ordering::Acquire)
}

/// Writes a word of the board.
pub fn set_word(index: usize, value: u64) {
    board(index).store(value, Ordering::Release);
}

/// Waits until the words of a range are all at least `least`.
pub fn await_words(range: Range<usize>, least: u64) {
    for index in range {
        while word(index) < least {
            check!(word(FAILED_LINE) == 0, index);
            give_way();
        }
    }
}

/// Entry of the process that waits for the others: `number` is the first word and, in its upper half, the one past the last.
pub extern "C" fn wait_for_words(number: u64) -> ! {
    for _ in 0..30_000 {
        if word(FAILED_LINE) != 0 {
            SvcSystem.exit(1);
        }
        if (number as u32 as usize..(number >> 32) as usize).all(|index| word(index) != 0) {
            SvcSystem.exit(0);
        }
        SvcSystem.invoke(Call::Sleep { nanoseconds: 1_000_000 });
    }
    SvcSystem.exit(2)
}

/// The counters of this process. The call itself is one exception more.
pub fn counters() -> Counters {
    get!(SvcSystem.counters())
}

/// Fresh memory that nobody has touched.
pub fn memory(len_bytes: u64) -> u64 {
    get!(SvcSystem.map_memory(len_bytes, Protection::ReadWrite))
}

/// Fresh memory at an address.
pub fn memory_at(at: u64, len_bytes: u64, protection: Protection) {
    let result = SvcSystem.call(Call::MapMemory { len_bytes, protection, at });
    check!(result == Ok(at));
}

/// Changes what may be done with memory.
pub fn protect(at: u64, len_bytes: u64, protection: Protection) {
    get!(SvcSystem.call(Call::Protect { at, len_bytes, protection }));
}

/// Loads a word of this process.
pub fn load(at: u64) -> u64 {
    // SAFETY: a test's own memory, or an address that must fault; volatile, since devices write behind the compiler's back.
    unsafe { core::ptr::with_exposed_provenance::<u64>(at as usize).read_volatile() }
}

/// Stores a word.
pub fn store(at: u64, value: u64) {
    // SAFETY: as for the load.
    unsafe { core::ptr::with_exposed_provenance_mut::<u64>(at as usize).write_volatile(value) };
}

/// Loads a byte.
pub fn load8(at: u64) -> u8 {
    // SAFETY: as for the word.
    unsafe { core::ptr::with_exposed_provenance::<u8>(at as usize).read_volatile() }
}

/// Stores a byte.
pub fn store8(at: u64, value: u8) {
    // SAFETY: as for the word.
    unsafe { core::ptr::with_exposed_provenance_mut::<u8>(at as usize).write_volatile(value) };
}

/// Writes the pattern of a seed.
pub fn fill(at: u64, len_bytes: u64, seed: u64) {
    for index in 0..len_bytes / 8 {
        store(at + index * 8, pattern::word(seed, index));
    }
}

/// True if memory holds the pattern of a seed.
pub fn holds(at: u64, len_bytes: u64, seed: u64) -> bool {
    (0..len_bytes / 8).all(|index| load(at + index * 8) == pattern::word(seed, index))
}

/// True if memory holds one word, everywhere.
pub fn is_all(at: u64, len_bytes: u64, value: u64) -> bool {
    (0..len_bytes / 8).all(|index| load(at + index * 8) == value)
}

/// Reads every page once.
pub fn touch(at: u64, len_bytes: u64) {
    for page in (at..at + len_bytes).step_by(PAGE_BYTES as usize) {
        store(page, load(page));
    }
}

/// A request over raw DEFLATE data: no header, so nothing but the device touches the buffers.
pub fn deflate(source: u64, source_bytes: u64, destination: u64, destination_bytes: u64, tag: u64) -> Sqe {
    request(RequestType::DEFLATE, source, source_bytes, destination, destination_bytes, tag)
}

/// A request; the direction is the queue's.
pub fn request(request_type: RequestType, source: u64, source_bytes: u64, destination: u64, destination_bytes: u64, tag: u64) -> Sqe {
    let request = Request {
        sqe_type: SqeType::TYPE3,
        request_type,
        buffer_type: BufferType::FLAT,
        window: Window::K32,
        source: Iova(source),
        source_bytes: source_bytes as u32,
        source_offset: 0,
        destination: Iova(destination),
        destination_bytes: destination_bytes as u32,
        destination_offset: 0,
        mode: Mode::ONE_SHOT,
        tag,
    };
    request.encode()
}

/// A queue driven by hand: where `wd_send` does everything at once, tests want the steps.
pub struct RawQueue {
    /// Its handle.
    pub fd: Fd,
    /// Its number.
    pub number: u16,
    /// Address of its doorbell page.
    pub mmio: u64,
    /// Length of its doorbell page.
    pub mmio_bytes: u64,
    /// Address of its shared region.
    pub dus: u64,
    /// Length of a submission entry.
    pub entry_bytes: u64,
    layout: DusLayout,
    sq_depth: u16,
    cq_depth: u16,
    tail: u16,
    head: u16,
    phase: bool,
}

impl RawQueue {
    /// Length of a queue's doorbell page on revision 0x30.
    pub const MMIO_BYTES: u64 = 0x1_0000;

    /// Opens, maps and starts a queue of the first node.
    pub fn open(direction: u16) -> Self {
        Self::open_on(NodeIndex(0), direction)
    }

    /// Opens, maps and starts a queue of a node.
    pub fn open_on(node: NodeIndex, direction: u16) -> Self {
        Self::of(get!(SvcSystem.open_node(node)), direction)
    }

    /// Maps and starts an open queue.
    pub fn of(fd: Fd, direction: u16) -> Self {
        get!(Self::try_of(fd, direction))
    }

    /// Maps and starts an open queue, if that can be done.
    ///
    /// # Errors
    /// What the first call that was refused has answered. The handle is still the caller's.
    pub fn try_of(fd: Fd, direction: u16) -> Result<Self, Errno> {
        let system = SvcSystem;
        let number = system.set_qp_context(fd, direction)?;
        let info = system.set_qp_info(fd)?;
        let layout = DusLayout::new(info.sqe_size as usize, info.sq_depth.into(), info.cq_depth.into(), PAGE_BYTES as usize);
        let dus = system.map_region(fd, Region::Dus, layout.len_bytes() as u64)?;
        let mmio = system.map_region(fd, Region::Mmio, Self::MMIO_BYTES)?;
        system.ioctl(fd, Command::START_Q)?;
        let (sq_depth, cq_depth, entry_bytes) = (info.sq_depth, info.cq_depth, info.sqe_size.into());
        Ok(Self {
            fd,
            number,
            mmio,
            mmio_bytes: Self::MMIO_BYTES,
            dus,
            entry_bytes,
            layout,
            sq_depth,
            cq_depth,
            tail: 0,
            head: 0,
            phase: true,
        })
    }

    /// A queue that compresses.
    pub fn compressing() -> Self {
        Self::open(QpContext::COMPRESS)
    }

    /// A queue that decompresses.
    pub fn decompressing() -> Self {
        Self::open(QpContext::DECOMPRESS)
    }

    /// Writes an entry; the device is not told.
    pub fn put(&mut self, sqe: &Sqe) {
        self.put_words(&sqe.0);
    }

    /// Writes an entry of any engine; the device is not told.
    pub fn put_words(&mut self, sqe: &[u32]) {
        check!(sqe.len() as u64 * 4 == self.entry_bytes, self.entry_bytes);
        let at = self.dus + self.layout.sq_offset() as u64 + u64::from(self.tail) * self.entry_bytes;
        for (index, pair) in sqe.as_chunks::<2>().0.iter().enumerate() {
            store(at + index as u64 * 8, u64::from(pair[0]) | u64::from(pair[1]) << 32);
        }
        self.tail = if self.tail + 1 == self.sq_depth { 0 } else { self.tail + 1 };
    }

    /// The word that tells the device of what was put.
    pub fn doorbell(&self) -> u64 {
        Doorbell::sq(self.number, self.tail).encode(DoorbellLayout::V2)
    }

    /// Tells the device.
    pub fn ring(&self) {
        SvcSystem.dma_wmb();
        store(self.mmio + DOORBELL, self.doorbell());
    }

    /// Asks for an interrupt at the next completion.
    pub fn arm(&self) {
        store(self.mmio + DOORBELL, Doorbell::cq(self.number, self.head, Arm::NextEvent).encode(DoorbellLayout::V2));
    }

    /// Takes the next completion, if there is one, and tells the device so.
    pub fn take(&mut self) -> Option<Completion> {
        let completion = self.take_quietly()?;
        self.tell_taken();
        Some(completion)
    }

    /// Tells the device which completions were taken.
    fn tell_taken(&self) {
        store(self.mmio + DOORBELL, Doorbell::cq(self.number, self.head, Arm::No).encode(DoorbellLayout::V2));
    }

    /// Takes the next completion, if there is one; the device is not told.
    pub fn take_quietly(&mut self) -> Option<Completion> {
        let mut sqe = Sqe::ZERO;
        self.take_words_quietly(&mut sqe.0).then(|| Completion::from(&sqe))
    }

    /// Takes the entry of the next completion of any engine, if there is one, and tells the device so.
    pub fn take_words(&mut self, sqe: &mut [u32]) -> bool {
        let is_there = self.take_words_quietly(sqe);
        if is_there {
            self.tell_taken();
        }
        is_there
    }

    /// Takes the entry of the next completion of any engine, if there is one; the device is not told.
    pub fn take_words_quietly(&mut self, sqe: &mut [u32]) -> bool {
        let cqe = self.dus + self.layout.cq_offset() as u64 + u64::from(self.head) * CQE_BYTES as u64;
        let high = load(cqe + 8);
        if Cqe::phase_of((high >> 32) as u32) != self.phase {
            return false;
        }
        SvcSystem.dma_rmb();
        let high = load(cqe + 8);
        let entry = Cqe::decode(high as u32, (high >> 32) as u32);
        check!(entry.sq_num == self.number, entry.sq_num);
        check!(entry.sq_head < self.sq_depth, entry.sq_head);
        let at = self.dus + self.layout.sq_offset() as u64 + u64::from(entry.sq_head) * self.entry_bytes;
        for (index, pair) in sqe.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let word = load(at + index as u64 * 8);
            *pair = [word as u32, (word >> 32) as u32];
        }
        self.head += 1;
        if self.head == self.cq_depth {
            (self.head, self.phase) = (0, !self.phase);
        }
        true
    }

    /// Waits for the next completion, letting others run now and then.
    #[track_caller]
    pub fn wait(&mut self) -> Completion {
        let mut sqe = Sqe::ZERO;
        self.wait_words(&mut sqe.0);
        Completion::from(&sqe)
    }

    /// Waits for the entry of the next completion of any engine.
    #[track_caller]
    pub fn wait_words(&mut self, sqe: &mut [u32]) {
        let deadline = GenericTimer.deadline(PATIENCE);
        loop {
            for _ in 0..64 {
                if self.take_words(sqe) {
                    return;
                }
                SvcSystem.relax();
            }
            if deadline.has_passed(&GenericTimer) {
                fail(Location::caller().line(), u64::from(self.number))
            }
            give_way();
        }
    }

    /// Runs one request to its completion.
    #[track_caller]
    pub fn run(&mut self, sqe: &Sqe) -> Completion {
        self.put(sqe);
        self.ring();
        let completion = self.wait();
        if completion.tag != sqe.tag() {
            fail(Location::caller().line(), completion.tag)
        }
        completion
    }

    /// The kernel's words to a queue's user: submit nothing more, wait for nothing more.
    pub fn stop_words(&self) -> (bool, bool) {
        let at = |offset: usize| (load(self.dus + (offset & !7) as u64) >> (8 * (offset & 7))) as u32 != 0;
        // The second to be set is read first: who sees it sees the other one, too.
        let wait_for_nothing = at(self.layout.rx_stop_offset());
        (at(self.layout.tx_stop_offset()), wait_for_nothing)
    }

    /// Gives the queue back.
    pub fn close(self) -> Result<(), Errno> {
        SvcSystem.close(self.fd)
    }
}
