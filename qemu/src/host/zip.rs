//! `zip`: hands a host file to the sample program and takes its output over, whole or not at all.

use super::cli::{Options, Zip};
use super::complaint::{Complaint, Outcome};
use super::emulator::{Ending, Launch, Watcher, run as run_emulator};
use super::image::Image;
use super::ram::GuestRam;
use super::transcript::{Detail, Style, Transcript};
use super::tree::Boot;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempDir};

/// Time limit in seconds: 40 MiB take a minute at most, so this is a hang.
const LIMIT_SECONDS: u64 = 600;
/// Input from this length on gets a progress bar.
const LONG_INPUT_BYTES: u64 = 1 << 20;

/// Runs the sample program on a file.
pub fn run(image: &Image, options: &Options, zip: &Zip) -> Outcome<Ending> {
    let room = tempfile::Builder::new()
        .prefix("soc-zip-")
        .tempdir()
        .map_err(|error| Complaint::io("cannot make a temporary directory", &error))?;
    let input = Input::open(zip.input.as_deref(), room.path())?;
    let output = Output::beside(zip.output.as_deref())?;

    // The guest opens two short names in a directory of this run, whatever the real names are.
    let (guest_input, guest_output) = (link(&room, "in", input.path())?, link(&room, "out", output.path())?);
    let boot = Boot {
        bootargs: format!(
            "app=zip fmt={} dir={} in={} out={}",
            zip.format.letter(),
            if zip.decompress { 'd' } else { 'c' },
            percent_encode(&guest_input),
            percent_encode(&guest_output)
        ),
        ..Boot::default()
    };
    let machine = options.machine();
    let launch = Launch {
        machine: &machine,
        image: image.path(),
        boot: &boot,
        blobs: &[],
        semihosting: Some(&[]),
        limit: options.limit(LIMIT_SECONDS),
        trace: options.trace.as_deref(),
    };
    let style = Style {
        detail: if options.verbose { Detail::Verbose } else { Detail::Quiet },
        colour: std::io::stderr().is_terminal(),
        hold_console: false,
    };
    let mut bar = WithBar { transcript: Transcript::new(image, style, std::io::stderr()), bar: input.bar(), input: input.path() };
    let ending = run_emulator(&launch, &mut bar);
    bar.bar.finish_and_clear();
    bar.transcript.finish();
    let ending = ending?;
    if ending == Ending::Exit(0) {
        output.commit()?;
    }
    Ok(ending)
}

/// Where the guest reads from: a regular file.
struct Input {
    path: PathBuf,
    bytes: u64,
}

impl Input {
    /// Takes the named file, or spools standard input (or a named pipe) into the run's directory.
    fn open(named: Option<&Path>, room: &Path) -> Outcome<Self> {
        let unreadable = |path: &Path, error: &std::io::Error| Complaint::io(format!("cannot read {}", path.display()), error);
        let Some(named) = named else { return Self::spool(&mut std::io::stdin().lock(), "standard input", room) };
        let mut file = File::open(named).map_err(|error| unreadable(named, &error))?;
        let data = file.metadata().map_err(|error| unreadable(named, &error))?;
        if data.is_dir() {
            return Err(Complaint::new(format!("cannot read {}: it is a directory", named.display())));
        }
        if !data.is_file() {
            return Self::spool(&mut file, &named.display().to_string(), room);
        }
        let path = std::fs::canonicalize(named).map_err(|error| unreadable(named, &error))?;
        Ok(Self { path, bytes: data.len() })
    }

    fn spool(source: &mut impl std::io::Read, name: &str, room: &Path) -> Outcome<Self> {
        let path = room.join("spool");
        let failed = |error: std::io::Error| Complaint::io(format!("cannot read {name}"), &error);
        let mut file = File::create(&path).map_err(failed)?;
        let bytes = std::io::copy(source, &mut file).map_err(failed)?;
        let path = std::fs::canonicalize(&path).map_err(failed)?;
        Ok(Self { path, bytes })
    }

    fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the progress bar: shown for long input, on a terminal.
    fn bar(&self) -> ProgressBar {
        if self.bytes < LONG_INPUT_BYTES {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(self.bytes);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
            bar.set_style(style);
        }
        bar
    }
}

/// Where the guest writes to: a file beside the target, renamed at the end, or a spool for a stream.
struct Output {
    file: NamedTempFile,
    target: Target,
}

enum Target {
    File(PathBuf),
    Stream(PathBuf),
    StandardOutput,
}

impl Output {
    fn beside(named: Option<&Path>) -> Outcome<Self> {
        let target = match named {
            None => Target::StandardOutput,
            Some(path) if path.is_dir() => return Err(Complaint::new(format!("cannot write {}: it is a directory", path.display()))),
            // A device, a pipe or a socket cannot be renamed over without being lost.
            Some(path) if std::fs::metadata(path).is_ok_and(|data| is_stream(&data)) => Target::Stream(path.to_owned()),
            // A link keeps pointing: its target is what is replaced.
            Some(path) => Target::File(std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".zip-").suffix(".partial");
        let file = match &target {
            Target::File(path) => {
                let mode = std::fs::metadata(path).map_or(0o666, |data| data.permissions().mode() & 0o777);
                builder.permissions(std::fs::Permissions::from_mode(mode));
                let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                // The error names the temporary file too, which is nothing that the user knows.
                builder
                    .tempfile_in(directory)
                    .map_err(|error| Complaint::io(format!("cannot write {}", path.display()), &error.kind().into()))?
            }
            _ => builder.tempfile().map_err(|error| Complaint::io("cannot make a temporary file", &error))?,
        };
        Ok(Self { file, target })
    }

    fn path(&self) -> &Path {
        self.file.path()
    }

    /// Makes the output the user's.
    fn commit(self) -> Outcome<()> {
        let copy = |to: &mut dyn Write| -> std::io::Result<()> {
            std::io::copy(&mut File::open(self.file.path())?, to)?;
            to.flush()
        };
        match &self.target {
            Target::StandardOutput => {
                copy(&mut std::io::stdout().lock()).map_err(|error| Complaint::io("cannot write standard output", &error))
            }
            Target::Stream(path) => File::options()
                .write(true)
                .open(path)
                .and_then(|mut stream| copy(&mut stream))
                .map_err(|error| Complaint::io(format!("cannot write {}", path.display()), &error)),
            Target::File(path) => {
                let path = path.clone();
                self.file.persist(&path).map(drop).map_err(|error| Complaint::io(format!("cannot write {}", path.display()), &error.error))
            }
        }
    }
}

fn is_stream(data: &std::fs::Metadata) -> bool {
    let kind = data.file_type();
    kind.is_char_device() || kind.is_block_device() || kind.is_fifo() || kind.is_socket()
}

fn link(room: &TempDir, name: &str, to: &Path) -> Outcome<PathBuf> {
    let failed = |error: std::io::Error| Complaint::io("cannot prepare the run's directory", &error);
    let absolute = std::path::absolute(to).map_err(failed)?;
    let path = room.path().join(name);
    std::os::unix::fs::symlink(absolute, &path).map_err(failed)?;
    Ok(path)
}

/// Encodes a path as one word of the kernel's command line.
fn percent_encode(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut word = String::new();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            word.push(char::from(*byte));
        } else {
            word += &format!("%{byte:02X}");
        }
    }
    word
}

/// A transcript with a progress bar below, moved by how far QEMU has read in the input file.
struct WithBar<'a, W: Write> {
    transcript: Transcript<'a, W>,
    bar: ProgressBar,
    input: &'a Path,
}

impl<W: Write> Watcher for WithBar<'_, W> {
    fn log(&mut self, bytes: &[u8]) {
        self.bar.suspend(|| self.transcript.log(bytes));
    }

    fn console(&mut self, bytes: &[u8]) {
        self.bar.suspend(|| self.transcript.console(bytes));
    }

    fn emulator(&mut self, bytes: &[u8]) {
        self.bar.suspend(|| self.transcript.emulator(bytes));
    }

    fn tick(&mut self, ram: &GuestRam, qemu: u32) {
        self.transcript.tick(ram, qemu);
        if let Some(position) = read_position(qemu, self.input) {
            self.bar.set_position(position);
        }
    }
}

/// Returns how far a process has read in an open file; the kernel says so in `/proc`.
fn read_position(process: u32, file: &Path) -> Option<u64> {
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    let open = descriptors.flatten().find(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target == file))?;
    let info = std::fs::read_to_string(format!("/proc/{process}/fdinfo/{}", open.file_name().to_str()?)).ok()?;
    info.lines().find_map(|line| line.strip_prefix("pos:"))?.trim().parse().ok()
}

#[cfg(test)]
#[path = "zip_tests.rs"]
mod tests;
