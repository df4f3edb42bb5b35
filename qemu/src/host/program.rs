//! `cargo run` without a command: the image's tour.

use super::cli::Options;
use super::complaint::Outcome;
use super::emulator::{Ending, Launch, run as run_emulator};
use super::image::Image;
use super::transcript::{Detail, Style, Transcript};
use super::tree::Boot;
use std::io::IsTerminal;

/// Time limit of a tour in seconds, on a slow and busy host.
const LIMIT_SECONDS: u64 = 300;

/// Boots the image and shows what it says.
pub fn run(image: &Image, options: &Options) -> Outcome<Ending> {
    let machine = options.machine();
    let boot = Boot { bootargs: "app=tour".to_owned(), ..Boot::default() };
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
        hold_console: machine.icount_shift.is_some(),
    };
    let mut transcript = Transcript::new(image, style, std::io::stdout());
    let ending = run_emulator(&launch, &mut transcript);
    transcript.finish();
    ending
}
