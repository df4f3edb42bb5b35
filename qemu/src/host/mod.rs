//! The runner on its host.

mod cli;
mod complaint;
mod counted;
mod emulator;
mod image;
mod linux;
mod machine;
mod program;
mod ram;
mod registers;
mod suite;
mod trace;
mod transcript;
mod tree;
mod zip;

use cli::{Cli, Command};
use complaint::{Complaint, EXIT_INTERRUPTED, EXIT_TIMED_OUT, Outcome};
use emulator::Ending;
use image::Image;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Runs the runner with the process's arguments: the ELF file first, as cargo passes it, then the user's words.
pub fn main() -> ExitCode {
    match run(std::env::args_os().skip(1)) {
        Ok(code) => ExitCode::from(code),
        Err(complaint) => {
            eprintln!("error: {complaint}");
            ExitCode::from(complaint.code)
        }
    }
}

fn run(mut words: impl Iterator<Item = OsString>) -> Outcome<u8> {
    let file = words.next().ok_or_else(|| Complaint {
        sentence: "no image given: this is cargo's runner, use `cargo run`, `cargo test` or `cargo bench`".to_owned(),
        code: 2,
    })?;
    let image = Image::load(Path::new(&file))?;
    if !image.tests().is_empty() {
        return suite::run(&image, words);
    }
    let Cli { command, options, seed } = cli::parse(words)?;
    let ending = match command {
        None => program::run(&image, &options, "tour", seed)?,
        Some(Command::Dump) => program::run(&image, &options, "dump", None)?,
        Some(Command::Forker) => program::run(&image, &options, "forker", None)?,
        Some(Command::Abuse) => program::run(&image, &options, "abuse", None)?,
        Some(Command::Pingpong) => program::run(&image, &options, "pingpong", None)?,
        Some(Command::Zip(zip)) => zip::run(&image, &options, &zip)?,
        Some(Command::Linux(linux)) => linux::run(&image, &options, &linux)?,
    };
    Ok(match ending {
        Ending::Exit(code) => code,
        Ending::TimedOut => {
            eprintln!("error: the time limit passed; --timeout S changes it");
            EXIT_TIMED_OUT
        }
        Ending::Interrupted => EXIT_INTERRUPTED,
    })
}
