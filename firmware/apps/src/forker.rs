//! `forker`: copies of a process and their queues, step by step.
//!
//! The program compresses a text, makes a copy of itself, and both go on: the copy finds the handle refused and the text intact, takes a queue
//! of its own and gets the same bytes; then it gives its place to another program. `role=leaf` is that other program.

use core::fmt::Write;

use uacce_abi::{Call, Command, Errno, Fd};
use uacce_user::{CompletionWait, Direction, WdError, ZipError, ZipQueue, compress_one_shot};
use zip_spec::{Container, Window};

use crate::{AppSystem, Arguments, Console, text};

/// Exit code of the program that takes the copy's place.
const LEAF: i32 = 7;
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
            if code == LEAF as u32 && again == len { Ok(()) } else { Err(kernel(Errno::EIO)) }
        }
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
