//! `tour`: one compression and one decompression per format through a queue of this process, with figures.

use core::fmt::{self, Write};

use uacce_abi::{Call, Counters, Errno, Fd, Kernel, OpenMode};
use uacce_user::{CompletionWait, Direction, WdError, ZipError, ZipQueue, compress_one_shot, decompress_one_shot};
use zip_spec::{Container, Window};

use crate::args::{ArgumentError, Arguments};
use crate::figures::Quotient;
use crate::{AppSystem, Console, text};

/// Most input of the tour.
const INPUT_BYTES: usize = 256 << 10;
/// Room for either direction's output.
const OUTPUT_BYTES: usize = INPUT_BYTES + INPUT_BYTES / 8 + 4096;
/// Requests over memory that is already there, after the first one.
const WARM_REQUESTS: u64 = 16;

/// Polls without ever entering the kernel: the figures count every exception.
const POLL: CompletionWait = CompletionWait { spins: u32::MAX, timeout_nanoseconds: 0 };

/// Why the tour stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Failure {
    Arguments(ArgumentError),
    Kernel(Errno),
    Queue(WdError),
    Data(ZipError),
    NotEqual { container: Container },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(error) => write!(f, "{error}"),
            Self::Kernel(errno) => write!(f, "the kernel refused: {errno}"),
            Self::Queue(error) => write!(f, "no queue: {error:?}"),
            Self::Data(error) => write!(f, "{error}"),
            Self::NotEqual { container } => write!(f, "{} did not come back as it went", container.algorithm_name()),
        }
    }
}

impl From<ZipError> for Failure {
    fn from(error: ZipError) -> Self {
        Self::Data(error)
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Kernel(errno)
    }
}

/// Runs the program; returns its exit code.
pub fn run_tour(system: &impl AppSystem) -> i32 {
    match tour(system) {
        Ok(()) => 0,
        Err(failure) => {
            let _ = writeln!(Console::new(system, Fd::STDERR), "tour: {failure}");
            1
        }
    }
}

/// What one direction of one format came to.
struct Leg {
    bytes_in: usize,
    bytes_out: usize,
    device_faults: u64,
    warm_el1_exceptions: u64,
}

fn tour<S: AppSystem>(system: &S) -> Result<(), Failure> {
    let arguments = Arguments::read(system).map_err(Failure::Arguments)?;
    let original = system.take_memory(INPUT_BYTES)?;
    let input = match arguments.value("in").map_err(Failure::Arguments)? {
        Some(path) => load(system, &path, original)?,
        None => {
            text::fill(original);
            &*original
        }
    };
    let mut out = Console::new(system, Fd::STDOUT);
    let _ = writeln!(out, "format   direction    bytes in  bytes out   ratio  device faults  EL1 traps/request");
    for container in [Container::Zlib, Container::Gzip, Container::Raw] {
        match there_and_back(system, container, input) {
            Ok((there, back)) => {
                print(&mut out, container, "compress", &there, there.bytes_in, there.bytes_out);
                print(&mut out, container, "decompress", &back, back.bytes_out, back.bytes_in);
            }
            // Raw DEFLATE is not on every revision.
            Err(Failure::Queue(WdError::NoDevice)) if container == Container::Raw => {
                let _ = writeln!(out, "{:<8} not offered by this device", container.algorithm_name());
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

fn there_and_back<S: AppSystem>(system: &S, container: Container, input: &[u8]) -> Result<(Leg, Leg), Failure> {
    let packed = system.take_memory(OUTPUT_BYTES)?;
    let there = compress(system, container, input, packed)?;
    let unpacked = system.take_memory(OUTPUT_BYTES)?;
    let back = decompress(system, container, &packed[..there.bytes_out], unpacked)?;
    if unpacked[..back.bytes_out] == *input { Ok((there, back)) } else { Err(Failure::NotEqual { container }) }
}

fn print(out: &mut impl Write, container: Container, direction: &str, leg: &Leg, plain: usize, packed: usize) {
    let ratio = Quotient { dividend: plain as u64, divisor: packed as u64 };
    let traps = Quotient { dividend: leg.warm_el1_exceptions, divisor: WARM_REQUESTS };
    let _ = writeln!(
        out,
        "{:<8} {:<11} {:>9}  {:>9}  {ratio:>6}  {:>13}  {traps:>17}",
        container.algorithm_name(),
        direction,
        leg.bytes_in,
        leg.bytes_out,
        leg.device_faults
    );
}

fn load<'m, S: AppSystem>(system: &S, path: &str, into: &'m mut [u8]) -> Result<&'m [u8], Failure> {
    let fd = Fd(system.call(Call::OpenHostFile { path, mode: OpenMode::Read })? as i32);
    let mut len = 0;
    while len < into.len() {
        match system.call(Call::Read { fd, into: &mut into[len..] })? as usize {
            0 => break,
            read => len = (len + read).min(into.len()),
        }
    }
    system.close(fd)?;
    Ok(&into[..len])
}

fn compress<S: AppSystem>(system: &S, container: Container, input: &[u8], output: &mut [u8]) -> Result<Leg, Failure> {
    let mut queue = ZipQueue::request(system, container, Direction::Compress, POLL).map_err(Failure::Queue)?;
    measure(system, input.len(), || compress_one_shot(&mut queue, container, Window::K32, input, output))
}

fn decompress<S: AppSystem>(system: &S, container: Container, input: &[u8], output: &mut [u8]) -> Result<Leg, Failure> {
    let mut queue = ZipQueue::request(system, container, Direction::Decompress, POLL).map_err(Failure::Queue)?;
    measure(system, input.len(), || decompress_one_shot(&mut queue, container, input, output).map(|done| done.produced))
}

/// Runs a request once over fresh memory and then over memory that has been touched, with the kernel's counters read around both.
fn measure(system: &impl Kernel, bytes_in: usize, mut run: impl FnMut() -> Result<usize, ZipError>) -> Result<Leg, Failure> {
    let before = system.counters()?;
    let bytes_out = run()?;
    let cold = system.counters()?.since(&before);
    let before = system.counters()?;
    for _ in 0..WARM_REQUESTS {
        run()?;
    }
    let warm = system.counters()?.since(&before);
    Ok(Leg { bytes_in, bytes_out, device_faults: cold.device_page_faults, warm_el1_exceptions: data_path_exceptions(&warm) })
}

/// Exceptions between two queries: the query that ends the interval counts itself.
fn data_path_exceptions(between: &Counters) -> u64 {
    between.el1_exceptions.saturating_sub(1)
}
