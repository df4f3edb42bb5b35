//! `cargo run` without a command: the image's tour; and what else needs no file of the host.

use super::cli::Options;
use super::complaint::Outcome;
use super::emulator::{Ending, Launch, Watcher, run as run_emulator};
use super::image::Image;
use super::ram::GuestRam;
use super::trace::Summary;
use super::transcript::{Detail, Style, Transcript};
use super::tree::Boot;
use std::io::{IsTerminal, Write};

/// Time limit of a tour in seconds, on a slow and busy host.
const LIMIT_SECONDS: u64 = 300;

/// Boots the image with an app and shows what it says. Where instructions are counted, every run is the same: then their counts are shown too, and the hash
/// of what the silicon saw.
pub fn run(image: &Image, options: &Options, app: &str, seed: Option<u64>) -> Outcome<Ending> {
    let machine = options.machine();
    let counts = machine.icount_shift.is_some();
    let mut bootargs = format!("app={app}");
    if let Some(seed) = seed {
        bootargs += &format!(" seed={seed}");
    }
    if counts {
        bootargs += " count=1";
    }
    let boot = Boot { bootargs, ..Boot::default() };
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
        detail: if options.verbose { Detail::Verbose } else { Detail::Normal },
        colour: std::io::stdout().is_terminal(),
        hold_console: counts,
    };
    let mut watcher = WithSummary { transcript: Transcript::new(image, style, std::io::stdout()), summary: None };
    let ending = run_emulator(&launch, &mut watcher);
    let mut out = watcher.transcript.finish();
    if counts && let Some(summary) = watcher.summary {
        // A closed output is no failure of the run.
        let _ = writeln!(out, "{summary}");
    }
    ending
}

/// A transcript that remembers what the silicon has counted; the last look is after the machine's end.
struct WithSummary<'a, W: Write> {
    transcript: Transcript<'a, W>,
    summary: Option<Summary>,
}

impl<W: Write> Watcher for WithSummary<'_, W> {
    fn log(&mut self, bytes: &[u8]) {
        self.transcript.log(bytes);
    }

    fn console(&mut self, bytes: &[u8]) {
        self.transcript.console(bytes);
    }

    fn emulator(&mut self, bytes: &[u8]) {
        self.transcript.emulator(bytes);
    }

    fn tick(&mut self, ram: &GuestRam, qemu: u32) {
        self.transcript.tick(ram, qemu);
        self.summary = Summary::read(ram).ok();
    }
}
