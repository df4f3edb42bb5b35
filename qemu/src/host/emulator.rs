//! One run of QEMU: start, listen, end. QEMU never outlives the runner, and the runner never waits for ever.

use super::complaint::{Complaint, Outcome};
use super::machine::{Blob, ConsolePort, Line, Machine, find_program, find_qemu};
use super::ram::GuestRam;
use super::trace;
use super::tree::{self, Boot};
use std::io::Read;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How often the watcher is called and the clock is read while QEMU is silent.
const TICK: Duration = Duration::from_millis(50);
/// What QEMU gets to put the terminal back after SIGTERM, before SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// What is to be run.
pub struct Launch<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// The image (ELF).
    pub image: &'a Path,
    /// What the device tree says beyond the machine.
    pub boot: &'a Boot,
    /// Files placed in guest memory besides the device tree.
    pub blobs: &'a [Blob],
    /// Arguments by semihosting; `None` closes semihosting and gives the terminal to the guest's console.
    pub semihosting: Option<&'a [String]>,
    /// Time limit.
    pub limit: Option<Duration>,
    /// File for what the silicon recorded.
    pub trace: Option<&'a Path>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The guest ended the machine with this code, or powered it off (0).
    Exit(u8),
    /// The time limit passed.
    TimedOut,
    /// The user interrupted the run.
    Interrupted,
}

/// Somebody who looks at a run while it goes on.
pub trait Watcher {
    /// Takes bytes of the guest's log (defmt frames).
    fn log(&mut self, bytes: &[u8]);
    /// Takes bytes of the guest's console.
    fn console(&mut self, bytes: &[u8]);
    /// Takes bytes that QEMU itself wrote to its standard error.
    fn emulator(&mut self, bytes: &[u8]);
    /// Is called about twenty times a second.
    fn tick(&mut self, _ram: &GuestRam, _qemu: u32) {}
}

enum Event {
    Log(Vec<u8>),
    Console(Vec<u8>),
    Emulator(Vec<u8>),
}

/// Runs QEMU to its end.
///
/// # Errors
/// QEMU or `setpriv` is missing, QEMU cannot be started, or it was killed by a signal that the runner did not send.
pub fn run(launch: &Launch<'_>, watcher: &mut dyn Watcher) -> Outcome<Ending> {
    let interrupted = interrupt_flag();
    let ram = GuestRam::new()?;
    let directory =
        tempfile::Builder::new().prefix("soc-").tempdir().map_err(|error| Complaint::io("cannot make a temporary directory", &error))?;
    let tree_file = directory.path().join("tree.dtb");
    let socket = directory.path().join("uart");
    std::fs::write(&tree_file, tree::make(launch.machine, launch.boot)?)
        .map_err(|error| Complaint::io("cannot write the device tree", &error))?;
    let mut blobs = vec![Blob { file: tree_file, address: firmware_platform::DTB_BASE }];
    blobs.extend_from_slice(launch.blobs);

    let piped = launch.semihosting.is_some();
    let console = if piped { ConsolePort::Socket(socket.clone()) } else { ConsolePort::Stdio };
    let ram_file = ram.path();
    let line = Line {
        machine: launch.machine,
        image: launch.image,
        ram_file: &ram_file,
        blobs: &blobs,
        console: &console,
        semihosting: launch.semihosting,
    };
    let words = line.words()?;
    let listener = match &console {
        ConsolePort::Socket(path) => {
            Some(UnixListener::bind(path).map_err(|error| Complaint::io("cannot make the console's socket", &error))?)
        }
        ConsolePort::Stdio => None,
    };

    let started = Instant::now();
    let mut child = start(&words, piped)?;
    let (sender, receiver) = sync_channel(64);
    if let Some(stdout) = child.stdout.take() {
        forward(stdout, sender.clone(), Event::Log);
    }
    if let Some(stderr) = child.stderr.take() {
        forward(stderr, sender.clone(), Event::Emulator);
    }
    if let Some(listener) = listener {
        std::thread::spawn(move || {
            if let Ok((stream, _)) = listener.accept() {
                pump(stream, &sender, Event::Console);
            }
        });
    } else {
        drop(sender);
    }

    let ending = attend(&mut child, &receiver, &ram, watcher, |now| {
        if interrupted.load(Ordering::Relaxed) {
            Some(Ending::Interrupted)
        } else {
            launch.limit.is_some_and(|limit| now.duration_since(started) >= limit).then_some(Ending::TimedOut)
        }
    });
    // A QEMU that ended before it connected leaves the console's reader in accept(): this lets it go.
    if piped {
        drop(UnixStream::connect(&socket));
    }
    drain(&receiver, watcher);
    watcher.tick(&ram, child.id());
    if let Some(path) = launch.trace {
        trace::write(&ram, path)?;
    }
    if interrupted.load(Ordering::Relaxed) {
        return Ok(Ending::Interrupted);
    }
    ending
}

/// Starts QEMU so that the kernel kills it when the thread that called this ends: `setpriv` asks for that and becomes QEMU.
fn start(words: &[String], piped: bool) -> Outcome<Child> {
    let qemu = find_qemu()?;
    let setpriv = find_program("setpriv").ok_or_else(|| {
        Complaint::new("setpriv is not on the PATH: install it with `./setup.sh` or `apt-get install --no-install-recommends util-linux`")
    })?;
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(&qemu).args(words);
    if piped {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    command.spawn().map_err(|error| Complaint::io(format!("cannot start {}", qemu.display()), &error))
}

/// Passes events on until QEMU ends or `stop` names a reason to end it.
fn attend(
    child: &mut Child,
    events: &Receiver<Event>,
    ram: &GuestRam,
    watcher: &mut dyn Watcher,
    stop: impl Fn(Instant) -> Option<Ending>,
) -> Outcome<Ending> {
    let mut next_tick = Instant::now();
    let lost = |error: std::io::Error| Complaint::io("cannot wait for QEMU", &error);
    loop {
        match events.recv_timeout(TICK) {
            Ok(event) => deliver(event, watcher),
            Err(RecvTimeoutError::Timeout) => {}
            // Nobody sends: QEMU has closed its outputs, or has the terminal to itself.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(5)),
        }
        let now = Instant::now();
        if now >= next_tick {
            next_tick = now + TICK;
            watcher.tick(ram, child.id());
        }
        if let Some(status) = child.try_wait().map_err(lost)? {
            return ending_of(status);
        }
        if let Some(reason) = stop(now) {
            end(child, events, watcher).map_err(lost)?;
            return Ok(reason);
        }
    }
}

/// Ends QEMU: politely, so that it puts the terminal back, then for good.
fn end(child: &mut Child, events: &Receiver<Event>, watcher: &mut dyn Watcher) -> std::io::Result<()> {
    if let Ok(Some(pid)) = i32::try_from(child.id()).map(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let patience = Instant::now() + GRACE;
    while Instant::now() < patience {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        if let Ok(event) = events.recv_timeout(Duration::from_millis(5)) {
            deliver(event, watcher);
        }
    }
    child.kill()?;
    child.wait().map(|_| ())
}

fn ending_of(status: ExitStatus) -> Outcome<Ending> {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ok(Ending::Exit(u8::try_from(code).unwrap_or(u8::MAX))),
        (None, signal) => Err(Complaint::new(format!("QEMU was killed by signal {}", signal.unwrap_or(0)))),
    }
}

fn deliver(event: Event, watcher: &mut dyn Watcher) {
    match event {
        Event::Log(bytes) => watcher.log(&bytes),
        Event::Console(bytes) => watcher.console(&bytes),
        Event::Emulator(bytes) => watcher.emulator(&bytes),
    }
}

/// Delivers what the readers still hold after QEMU's end; each of them ends by itself then.
fn drain(events: &Receiver<Event>, watcher: &mut dyn Watcher) {
    let patience = Instant::now() + GRACE;
    while let Ok(event) = events.recv_timeout(patience.saturating_duration_since(Instant::now())) {
        deliver(event, watcher);
    }
}

fn forward(source: impl Read + Send + 'static, sender: SyncSender<Event>, wrap: fn(Vec<u8>) -> Event) {
    std::thread::spawn(move || pump(source, &sender, wrap));
}

fn pump(mut source: impl Read, sender: &SyncSender<Event>, wrap: fn(Vec<u8>) -> Event) {
    let mut buffer = [0u8; 8192];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                if sender.send(wrap(buffer[..count].to_vec())).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Turns SIGINT, SIGTERM and SIGHUP into a flag, so that partial files are removed on the way out.
fn interrupt_flag() -> Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let flag = FLAG.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
            // Refused only for signals that cannot be caught; these can.
            let _ = signal_hook::flag::register(signal, Arc::clone(&flag));
        }
        flag
    });
    Arc::clone(flag)
}
