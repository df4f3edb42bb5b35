//! `zip`: compresses or decompresses a host file, chunk by chunk, so that its length does not matter.

use core::fmt::{self, Write};

use uacce_abi::{Call, Errno, Fd, Kernel, OpenMode};
use uacce_user::{CompletionWait, Direction, StreamContext, Tail, WdError, ZipCompressor, ZipDecompressor, ZipError, ZipQueue};
use zip_spec::{Container, Flush, Window};

use crate::args::{self, ArgumentError, Arguments};
use crate::{AppSystem, Console};

/// Input taken from the file at a time.
const INPUT_BYTES: usize = 1 << 20;
/// Output of one request; a compressed chunk fits whole when it is an eighth larger than the input.
const OUTPUT_BYTES: usize = 4 << 20;

/// Why the file was not converted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Failure {
    Arguments(ArgumentError),
    Open(Errno),
    Create(Errno),
    Read(Errno),
    Write(Errno),
    Memory(Errno),
    Queue(WdError),
    Data(ZipError),
    Garbage { offset: u64 },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(error) => write!(f, "{error}"),
            Self::Open(errno) => write!(f, "cannot open the input: {errno}"),
            Self::Create(errno) => write!(f, "cannot create the output: {errno}"),
            Self::Read(errno) => write!(f, "cannot read the input: {errno}"),
            Self::Write(errno) => write!(f, "cannot write the output: {errno}"),
            Self::Memory(errno) => write!(f, "out of memory: {errno}"),
            Self::Queue(WdError::NoDevice) => f.write_str("no device offers this format"),
            Self::Queue(WdError::SharedDoorbells) => {
                f.write_str("the queues of this device share their doorbells (revision 0x21): the kernel lets no process ring")
            }
            Self::Queue(error) => write!(f, "no queue: {error:?}"),
            Self::Data(error) => write!(f, "{error}"),
            Self::Garbage { offset } => write!(f, "bad data at offset {offset}: bytes behind the end of the stream"),
        }
    }
}

impl From<ZipError> for Failure {
    fn from(error: ZipError) -> Self {
        Self::Data(error)
    }
}

/// Runs the program; returns its exit code: 0, or 1 with one line on the error console.
pub fn run_zip(system: &impl AppSystem) -> i32 {
    match convert(system) {
        Ok(()) => 0,
        Err(failure) => {
            let _ = writeln!(Console::new(system, Fd::STDERR), "zip: {failure}");
            1
        }
    }
}

fn convert<S: AppSystem>(system: &S) -> Result<(), Failure> {
    let arguments = Arguments::read(system).map_err(Failure::Arguments)?;
    let container = arguments.choice("fmt", args::container).map_err(Failure::Arguments)?;
    let direction = arguments.choice("dir", direction).map_err(Failure::Arguments)?;
    let (input, output) = (arguments.path("in").map_err(Failure::Arguments)?, arguments.path("out").map_err(Failure::Arguments)?);

    let memory = |len_bytes| system.take_memory(len_bytes).map_err(Failure::Memory);
    let (source, destination) = (memory(INPUT_BYTES)?, memory(OUTPUT_BYTES)?);
    let context = StreamContext::new(memory(StreamContext::BYTES)?).ok_or(Failure::Memory(Errno::ENOMEM))?;
    let from = open(system, &input, OpenMode::Read).map_err(Failure::Open)?;
    // The queue comes before the output file: without a device nothing is left behind.
    let mut queue = ZipQueue::request(system, container, direction, CompletionWait::PATIENT).map_err(Failure::Queue)?;
    let into = open(system, &output, OpenMode::Create).map_err(Failure::Create)?;
    let mut files = Files { system, from, into, is_at_end: false };
    match direction {
        Direction::Compress => compress(&mut files, &mut queue, container, context, source, destination)?,
        Direction::Decompress => decompress(&mut files, &mut queue, container, context, source, destination)?,
    }
    // Closing is the last chance of the host to say that the data did not get there.
    system.close(into).map_err(Failure::Write)?;
    system.close(from).map_err(Failure::Read)
}

fn direction(word: &str) -> Option<Direction> {
    match word {
        "c" => Some(Direction::Compress),
        "d" => Some(Direction::Decompress),
        _ => None,
    }
}

fn open(kernel: &impl Kernel, path: &str, mode: OpenMode) -> Result<Fd, Errno> {
    kernel.call(Call::OpenHostFile { path, mode }).map(|fd| Fd(fd as i32))
}

/// The two host files.
struct Files<'s, S> {
    system: &'s S,
    from: Fd,
    into: Fd,
    is_at_end: bool,
}

impl<S: Kernel> Files<'_, S> {
    /// Fills `buffer` as far as the file goes; returns the bytes read, fewer only at the end.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let mut len = 0;
        while len < buffer.len() && !self.is_at_end {
            let read = self.system.call(Call::Read { fd: self.from, into: &mut buffer[len..] }).map_err(Failure::Read)? as usize;
            self.is_at_end = read == 0;
            len = (len + read).min(buffer.len());
        }
        Ok(len)
    }

    fn write(&self, data: &[u8]) -> Result<(), Failure> {
        self.system.write_all(self.into, data).map_err(Failure::Write)
    }
}

fn compress<S: AppSystem>(
    files: &mut Files<'_, S>,
    queue: &mut ZipQueue<'_, S>,
    container: Container,
    context: StreamContext<'_>,
    source: &mut [u8],
    destination: &mut [u8],
) -> Result<(), Failure> {
    let mut stream = ZipCompressor::new(container, Window::K32, context);
    loop {
        let len = files.read(source)?;
        // Only a read that came short is known to be the last one; a file of whole chunks ends with an empty one.
        let flush = if files.is_at_end { Flush::Finish } else { Flush::Sync };
        let mut at = 0;
        loop {
            let progress = stream.compress(queue, &source[at..len], destination, flush)?;
            files.write(&destination[..progress.produced])?;
            at += progress.consumed;
            if progress.is_end {
                return Ok(());
            }
            if at == len && !progress.has_held_output && flush == Flush::Sync {
                break;
            }
        }
    }
}

fn decompress<S: AppSystem>(
    files: &mut Files<'_, S>,
    queue: &mut ZipQueue<'_, S>,
    container: Container,
    context: StreamContext<'_>,
    source: &mut [u8],
    destination: &mut [u8],
) -> Result<(), Failure> {
    let mut stream = ZipDecompressor::new(container, context);
    let (mut at, mut len) = (0, 0);
    let mut has_held_output = false;
    loop {
        if at == len && !has_held_output {
            (at, len) = (0, files.read(source)?);
            if len == 0 {
                return Ok(stream.finish()?);
            }
        }
        let progress = stream.decompress(queue, &source[at..len], destination)?;
        files.write(&destination[..progress.produced])?;
        at += progress.consumed;
        has_held_output = progress.has_held_output;
        if !progress.is_end {
            continue;
        }
        if at == len {
            (at, len) = (0, files.read(source)?);
        }
        match Tail::of(container, &source[at..len]) {
            Tail::Nothing => return Ok(()),
            // Members of a gzip file follow one another (RFC 1952 §2.2).
            Tail::Member => stream.restart(),
            Tail::Garbage => return Err(Failure::Garbage { offset: stream.total_in() }),
        }
    }
}
