//! `tour`: one compression and one decompression per format through a queue of this process, with figures.
//!
//! Each is run cold, over output memory that nobody has touched, and then warm, several times over the same memory. Every output is compared
//! with what it must be, and overwritten before the next request, so that no figure stands for work that was not done.

use core::fmt::{self, Write};

use heapless::Vec;
use uacce_abi::{Call, Errno, Fd, OpenMode};
use uacce_user::{CompletionWait, Direction, WdError, ZipError, ZipQueue, compress_one_shot, decompress_one_shot};
use zip_spec::{Container, Window};

use crate::args::{ArgumentError, Arguments};
use crate::figures::Quotient;
use crate::{AppSystem, Console, Instructions, text};

/// Most input of the tour.
const INPUT_BYTES: usize = 256 << 10;
/// Room for either direction's output.
const OUTPUT_BYTES: usize = INPUT_BYTES + INPUT_BYTES / 8 + 4096;
/// Requests over memory that is already there, after the first one.
const WARM_REQUESTS: u64 = 16;
/// What an output is overwritten with before the next request.
const SCRUB: u8 = 0xa5;
/// Formats of the tour.
const CONTAINERS: [Container; 3] = [Container::Zlib, Container::Gzip, Container::Raw];

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
            Self::Queue(WdError::SharedDoorbells) => {
                f.write_str("the queues of this device share their doorbells (revision 0x21): the kernel lets no process ring")
            }
            Self::Queue(error) => write!(f, "no queue: {error:?}"),
            Self::Data(error) => write!(f, "{error}"),
            Self::NotEqual { container } => write!(f, "{}: the output is not what it must be", container.algorithm_name()),
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

/// What some requests took together.
#[derive(Clone, Copy, Default)]
struct Cost {
    requests: u64,
    device_faults: u64,
    el1_exceptions: u64,
    /// At EL0, EL1 and EL2 of the core that this process runs on.
    instructions: [u64; 3],
}

impl Cost {
    /// The mean of one of the figures.
    fn mean(&self, figure: u64) -> Quotient {
        Quotient { dividend: figure, divisor: self.requests }
    }
}

/// What one direction of one format came to.
struct Leg {
    container: Container,
    direction: &'static str,
    bytes_in: usize,
    bytes_out: usize,
    ratio: Quotient,
    cold: Cost,
    warm: Cost,
}

fn tour<S: AppSystem>(system: &S) -> Result<(), Failure> {
    let arguments = Arguments::read(system).map_err(Failure::Arguments)?;
    let counts = arguments.raw("count") == Some("1");
    let mut out = Console::new(system, Fd::STDOUT);
    let original = system.take_memory(INPUT_BYTES)?;
    let input = if let Some(path) = arguments.value("in").map_err(Failure::Arguments)? {
        let input = load(system, &path, original)?;
        let _ = writeln!(out, "tour of {} bytes of {path}", input.len());
        input
    } else {
        let seed = arguments.number("seed").map_err(Failure::Arguments)?.unwrap_or(0);
        text::fill(original, seed);
        let _ = writeln!(out, "tour of {} bytes of text, seed {seed}", original.len());
        original
    };
    let mut legs: Vec<Leg, { 2 * CONTAINERS.len() }> = Vec::new();
    for container in CONTAINERS {
        match there_and_back(&Meter { system, counts, container }, input) {
            Ok(both) => legs.extend(both),
            // Raw DEFLATE is not on every revision.
            Err(Failure::Queue(WdError::NoDevice)) if container == Container::Raw => {
                let _ = writeln!(out, "{:<8} not offered by this device", container.algorithm_name());
            }
            Err(failure) => return Err(failure),
        }
    }
    print_paths(&mut out, &legs);
    if counts {
        print_instructions(&mut out, &legs);
    }
    Ok(())
}

fn there_and_back<S: AppSystem>(meter: &Meter<'_, S>, input: &[u8]) -> Result<[Leg; 2], Failure> {
    let memory = || meter.system.take_memory(OUTPUT_BYTES);
    let (there, packed) = compress(meter, input, memory()?, memory()?)?;
    let back = decompress(meter, packed, input, memory()?)?;
    Ok([there, back])
}

/// Runs requests and reads the counters around them.
struct Meter<'s, S> {
    system: &'s S,
    /// Instructions are counted too.
    counts: bool,
    container: Container,
}

impl<S: AppSystem> Meter<'_, S> {
    fn queue(&self, direction: Direction) -> Result<ZipQueue<'_, S>, Failure> {
        ZipQueue::request(self.system, self.container, direction, POLL).map_err(Failure::Queue)
    }

    /// Runs the same request several times, with `scrub_bytes` of the output overwritten before each and `is_right` asked after each; returns
    /// the length of the last output.
    fn repeat(
        &self,
        requests: u64,
        output: &mut [u8],
        scrub_bytes: usize,
        mut run: impl FnMut(&mut [u8]) -> Result<usize, ZipError>,
        is_right: impl Fn(&[u8]) -> bool,
    ) -> Result<(usize, Cost), Failure> {
        let now = || if self.counts { self.system.instructions() } else { Instructions::default() };
        let mut cost = Cost { requests, ..Cost::default() };
        let mut len = 0;
        let before = self.system.counters()?;
        for _ in 0..requests {
            output[..scrub_bytes].fill(SCRUB);
            let start = now();
            len = run(output)?;
            let spent = now().since(start);
            for (sum, part) in cost.instructions.iter_mut().zip(spent.0) {
                *sum += u64::from(part);
            }
            if !is_right(&output[..len]) {
                return Err(Failure::NotEqual { container: self.container });
            }
        }
        let between = self.system.counters()?.since(&before);
        cost.device_faults = between.device_page_faults;
        // The query that ends the interval is an exception too.
        cost.el1_exceptions = between.kernel_el1_exceptions - 1;
        Ok((len, cost))
    }
}

/// Compresses; returns what it came to, and the output in `kept`.
fn compress<'m, S: AppSystem>(
    meter: &Meter<'_, S>,
    input: &[u8],
    output: &mut [u8],
    kept: &'m mut [u8],
) -> Result<(Leg, &'m [u8]), Failure> {
    let mut queue = meter.queue(Direction::Compress)?;
    let mut run = |output: &mut [u8]| compress_one_shot(&mut queue, meter.container, Window::K32, input, output);
    // Right is what decompresses to the input, which is for later to see.
    let (len, cold) = meter.repeat(1, output, 0, &mut run, |_| true)?;
    kept[..len].copy_from_slice(&output[..len]);
    let packed = &kept[..len];
    let (_, warm) = meter.repeat(WARM_REQUESTS, output, len, run, |output| output == packed)?;
    let ratio = Quotient { dividend: input.len() as u64, divisor: len as u64 };
    let leg = Leg { container: meter.container, direction: "compress", bytes_in: input.len(), bytes_out: len, ratio, cold, warm };
    Ok((leg, packed))
}

/// Decompresses `packed`, which must give `plain`.
fn decompress<S: AppSystem>(meter: &Meter<'_, S>, packed: &[u8], plain: &[u8], output: &mut [u8]) -> Result<Leg, Failure> {
    let mut queue = meter.queue(Direction::Decompress)?;
    let mut run = |output: &mut [u8]| decompress_one_shot(&mut queue, meter.container, packed, output).map(|done| done.produced);
    let (len, cold) = meter.repeat(1, output, 0, &mut run, |output| output == plain)?;
    let (_, warm) = meter.repeat(WARM_REQUESTS, output, len, run, |output| output == plain)?;
    let ratio = Quotient { dividend: len as u64, divisor: packed.len() as u64 };
    Ok(Leg { container: meter.container, direction: "decompress", bytes_in: packed.len(), bytes_out: len, ratio, cold, warm })
}

fn print_paths(out: &mut impl Write, legs: &[Leg]) {
    let _ = writeln!(out, "{:51}first request              each of {WARM_REQUESTS} more", "");
    let _ = writeln!(out, "format   direction    bytes in  bytes out   ratio  device faults   EL1 traps  device faults   EL1 traps");
    for leg in legs {
        let (name, cold, warm) = (leg.container.algorithm_name(), &leg.cold, &leg.warm);
        let _ = writeln!(
            out,
            "{name:<8} {:<11} {:>9}  {:>9}  {:>6}  {:>13}  {:>10}  {:>13}  {:>10}",
            leg.direction,
            leg.bytes_in,
            leg.bytes_out,
            leg.ratio,
            cold.device_faults,
            cold.el1_exceptions,
            warm.mean(warm.device_faults),
            warm.mean(warm.el1_exceptions),
        );
    }
    let _ = writeln!(
        out,
        "first request: over output memory that nobody has touched; the others over the same memory, completions by polling."
    );
    let _ =
        writeln!(out, "EL1 traps: exceptions taken to EL1 through any vector, interrupts included, from before the request to after it.");
    let compared: u64 = legs.iter().map(|leg| leg.cold.requests + leg.warm.requests).sum();
    let _ = writeln!(out, "{compared} outputs compared: every decompression gave the input, every compression what the first one gave.");
}

fn print_instructions(out: &mut impl Write, legs: &[Leg]) {
    let _ = writeln!(out, "instructions of this core        first request                   each of {WARM_REQUESTS} more");
    let _ = writeln!(out, "format   direction           EL0        EL1        EL2            EL0         EL1            EL2");
    for leg in legs {
        let (name, [el0, el1, el2], warm) = (leg.container.algorithm_name(), leg.cold.instructions, &leg.warm);
        let [warm0, warm1, warm2] = warm.instructions.map(|sum| warm.mean(sum));
        let _ = writeln!(out, "{name:<8} {:<11} {el0:>10} {el1:>10} {el2:>10}  {warm0:>13}  {warm1:>10}  {warm2:>13}", leg.direction);
    }
    let _ = writeln!(out, "EL0 includes polling while an engine core works; without engine cores (--engines 0) EL2 includes the engine.");
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
