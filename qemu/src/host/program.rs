//! `cargo run` without a command: the image's tour; and what else needs no file of the host.

use super::cli::Options;
use super::complaint::Outcome;
use super::counted::Counted;
use super::emulator::{Ending, Launch, run as run_emulator};
use super::image::Image;
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
    let mut watcher = Counted::new(Transcript::new(image, style, std::io::stdout()));
    let ending = run_emulator(&launch, &mut watcher);
    let (mut out, summary) = watcher.finish();
    if counts && let Some(summary) = summary {
        // A closed output is no failure of the run.
        let _ = writeln!(out, "{summary}");
    }
    ending
}
