//! `forker`: copies of a process and their queues, step by step.
//!
//! The program compresses a text, makes a copy of itself, and both go on: the copy finds the handle refused and the text intact, takes a queue
//! of its own and gets the same bytes; then it gives its place to another program. `role=leaf` is that other program.
//!
//! Then it plays the two tables of the discussion: after a fork one of the two writes a word, and the device reads it, and then writes it. With
//! a device that walks the parent's own table, the parent and the device agree, whoever writes.

use core::fmt::Write;

use uacce_abi::{Call, Command, Errno, Fd};
use uacce_user::{CompletionWait, Direction, WdError, ZipError, ZipQueue, compress_one_shot, decompress_one_shot};
use zip_spec::{Container, Window};

use crate::{AppSystem, Arguments, Console, text};

/// Exit code of the program that takes the copy's place.
const LEAF: i32 = 7;
/// The word before the fork.
const CAFE: u32 = 0xcafe;
/// What the copy writes.
const DEAD: u32 = 0xdead;
/// What the parent writes.
const BEEF: u32 = 0xbeef;
/// What the device writes.
const FOOD: u32 = 0xf00d;
/// How long a copy waits until the others have done their part.
const PATIENCE_NANOSECONDS: u64 = 30_000_000;
/// A page, in bytes.
const PAGE: usize = 4096;
/// Bytes of text.
const TEXT_BYTES: usize = 16 << 10;

/// Runs the program; returns its exit code.
pub fn run_forker<S: AppSystem>(system: &S) -> i32 {
    if Arguments::read(system).is_ok_and(|arguments| arguments.raw("role") == Some("leaf")) {
        return LEAF;
    }
    let mut console = Console::new(system, Fd::STDOUT);
    match steps(system, &mut console) {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(console, "forker: {error}");
            1
        }
    }
}

/// Compresses the text on a queue of the caller's own; returns length and queue handle.
fn compress<'s, S: AppSystem>(system: &'s S, input: &[u8], output: &mut [u8]) -> Result<(usize, ZipQueue<'s, S>), ZipError> {
    let mut queue = ZipQueue::request(system, Container::Zlib, Direction::Compress, CompletionWait::PATIENT)?;
    let len = compress_one_shot(&mut queue, Container::Zlib, Window::K32, input, output)?;
    Ok((len, queue))
}

fn kernel(errno: Errno) -> ZipError {
    ZipError::Queue(WdError::Kernel(errno))
}

fn steps<S: AppSystem>(system: &S, console: &mut Console<'_, S>) -> Result<(), ZipError> {
    let input = system.take_memory(TEXT_BYTES).map_err(kernel)?;
    text::fill(input, 1);
    let output = system.take_memory(2 * TEXT_BYTES).map_err(kernel)?;
    let (len, mut queue) = compress(system, input, output)?;
    let _ = writeln!(console, "parent: {TEXT_BYTES} bytes of text, {len} compressed");
    console.flush();
    match system.fork().map_err(kernel)? {
        None => system.exit(child(system, console, input, &output[..len], queue.queue().fd())),
        Some(process) => {
            let _ = writeln!(console, "parent: the copy is process {}", process.0);
            console.flush();
            let code = system.wait(process).map_err(kernel)?;
            let again = compress_one_shot(&mut queue, Container::Zlib, Window::K32, input, output)?;
            let _ = writeln!(console, "parent: the copy ended with {code}; its own queue still gives {again} bytes");
            if code != LEAF as u32 || again != len {
                return Err(kernel(Errno::EIO));
            }
        }
    }
    let mut words = Words::new(system)?;
    let _ = writeln!(console, "after the fork   parent  copy  device reads   then it writes: parent  copy");
    let by_copy = words.play(system, console, true)?;
    let by_parent = words.play(system, console, false)?;
    let agrees = by_copy == [CAFE, CAFE, FOOD, DEAD] && by_parent == [BEEF, BEEF, FOOD, CAFE];
    if agrees { Ok(()) } else { Err(kernel(Errno::EIO)) }
}

/// A word that a device reads and writes: by compressing the page that it is in, and by decompressing into it.
struct Words<'s, S: AppSystem> {
    there: ZipQueue<'s, S>,
    back: ZipQueue<'s, S>,
    page: &'static mut [u8],
    packed: &'static mut [u8],
    other: &'static mut [u8],
}

fn word(page: &[u8]) -> u32 {
    page.first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
}

fn set(page: &mut [u8], value: u32) {
    page[..4].copy_from_slice(&value.to_le_bytes());
}

impl<'s, S: AppSystem> Words<'s, S> {
    fn new(system: &'s S) -> Result<Self, ZipError> {
        let queue = |direction| ZipQueue::request(system, Container::Raw, direction, CompletionWait::PATIENT);
        let page = |pages: usize| system.take_memory(pages * PAGE).map_err(kernel);
        let (there, back) = (queue(Direction::Compress)?, queue(Direction::Decompress)?);
        Ok(Self { there, back, page: page(1)?, packed: page(2)?, other: page(1)? })
    }

    fn device_reads(&mut self) -> Result<u32, ZipError> {
        let len = compress_one_shot(&mut self.there, Container::Raw, Window::K32, self.page, self.packed)?;
        decompress_one_shot(&mut self.back, Container::Raw, &self.packed[..len], self.other)?;
        Ok(word(self.other))
    }

    fn device_writes(&mut self, value: u32) -> Result<(), ZipError> {
        self.other.fill(0);
        set(self.other, value);
        let len = compress_one_shot(&mut self.there, Container::Raw, Window::K32, self.other, self.packed)?;
        decompress_one_shot(&mut self.back, Container::Raw, &self.packed[..len], self.page).map(drop)
    }

    /// Plays a table; returns the word in the parent, as the device reads it, and after the device has written it in parent and copy.
    fn play(&mut self, system: &S, console: &mut Console<'_, S>, copy_writes: bool) -> Result<[u32; 4], ZipError> {
        self.page.fill(0);
        set(self.page, CAFE);
        console.flush();
        let Some(process) = system.fork().map_err(kernel)? else {
            if copy_writes {
                set(self.page, DEAD);
            }
            let _ = system.call(Call::Sleep { nanoseconds: PATIENCE_NANOSECONDS });
            system.exit(word(self.page) as i32)
        };
        if copy_writes {
            // Let it write first.
            system.call(Call::Sleep { nanoseconds: PATIENCE_NANOSECONDS / 3 }).map_err(kernel)?;
        } else {
            set(self.page, BEEF);
        }
        let (parent, device) = (word(self.page), self.device_reads()?);
        self.device_writes(FOOD)?;
        let after = word(self.page);
        let copy = system.wait(process).map_err(kernel)?;
        let who = if copy_writes { "the copy writes" } else { "the parent writes" };
        let _ = writeln!(console, "{who:<17}{parent:>6x}{copy:>6x}{device:>14x}{after:>24x}{copy:>6x}");
        Ok([parent, device, after, copy])
    }
}

/// The copy's part; returns only if something went wrong.
fn child<S: AppSystem>(system: &S, console: &mut Console<'_, S>, input: &[u8], expected: &[u8], inherited: Fd) -> i32 {
    let refused = system.ioctl(inherited, Command::PUT_Q);
    let _ = writeln!(console, "copy: the inherited handle is {}", refused.err().and_then(Errno::name).unwrap_or("usable"));
    let Ok(output) = system.take_memory(2 * TEXT_BYTES) else { return 2 };
    match compress(system, input, output) {
        Ok((len, _queue)) if &output[..len] == expected => {
            let _ = writeln!(console, "copy: a queue of its own gives the same {len} bytes");
        }
        Ok(_) => return 3,
        Err(error) => {
            let _ = writeln!(console, "copy: {error}");
            return 4;
        }
    }
    console.flush();
    if refused != Err(Errno::EACCES) {
        return 5;
    }
    let _ = system.call(Call::Exec { program: "forker", arguments: "role=leaf" });
    6
}
