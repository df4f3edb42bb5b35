//! The guest's words made readable: log frames with their place in the source, console text, and names for the addresses of a backtrace.

use super::emulator::Watcher;
use super::image::{Image, name_address};
use super::ram::GuestRam;
use defmt_decoder::{DecodeError, Encoding, Frame, StreamDecoder};
use std::cell::OnceCell;
use std::io::Write;
use std::path::Path;

/// Which log lines are written. Lines without a level (`defmt::println!`) always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Warnings and errors.
    Quiet,
    /// Information as well.
    Normal,
    /// Everything.
    Verbose,
}

/// How a transcript is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Which log lines are written.
    pub detail: Detail,
    /// Whether levels are coloured.
    pub colour: bool,
    /// Whether console text waits for the end, so that its order beside the log does not depend on the host's scheduler.
    pub hold_console: bool,
}

/// Writes the guest's words as text.
pub struct Transcript<'a, W: Write> {
    pages: Pages<'a, W>,
    decoder: Option<Box<dyn StreamDecoder + Send + Sync + 'a>>,
}

/// The writing half; apart from the decoder, which lends its frames.
struct Pages<'a, W: Write> {
    image: &'a Image,
    recovers: bool,
    debug: OnceCell<Option<addr2line::Loader>>,
    style: Style,
    /// Console text not yet written: an unfinished line, or everything with `hold_console`.
    held: Vec<u8>,
    /// Whether the unfinished line has been waiting since the last tick.
    waited: bool,
    root: Option<String>,
    out: W,
}

impl<'a, W: Write> Transcript<'a, W> {
    /// Starts a transcript.
    pub fn new(image: &'a Image, style: Style, out: W) -> Self {
        let table = image.table();
        let root = std::env::current_dir().ok().and_then(|path| path.to_str().map(|path| format!("{path}/")));
        let recovers = table.is_some_and(|table| matches!(table.encoding(), Encoding::Rzcobs));
        let pages = Pages { image, recovers, debug: OnceCell::new(), style, held: Vec::new(), waited: false, root, out };
        Self { pages, decoder: table.map(|table| table.new_stream_decoder()) }
    }

    /// Ends the transcript and returns what it was written to.
    pub fn finish(self) -> W {
        let Pages { held, mut out, .. } = self.pages;
        // A closed output (`| head`) is not the guest's fault and changes no verdict.
        let _ = out.write_all(&held).and_then(|()| out.flush());
        out
    }
}

impl<W: Write> Pages<'_, W> {
    fn write_held(&mut self, bytes: usize) {
        let _ = self.out.write_all(&self.held[..bytes]).and_then(|()| self.out.flush());
        self.held.drain(..bytes);
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        let level = frame.level().map(|level| level.as_str());
        let wanted = match level {
            Some("trace" | "debug") => Detail::Verbose,
            Some("info") => Detail::Normal,
            _ => Detail::Quiet,
        };
        let message = frame.display_message().to_string();
        if wanted <= self.style.detail {
            let text = match level {
                None => message.clone(),
                Some(level) => self.levelled(level, frame, &message),
            };
            self.line(&text);
        }
        if level == Some("error") {
            self.name_addresses(&message);
        }
    }

    fn levelled(&self, level: &str, frame: &Frame<'_>, message: &str) -> String {
        let time = frame.display_timestamp().map(|time| format!("{time} ")).unwrap_or_default();
        let place = self.image.location(frame.index()).map(|(file, line)| format!("  ({}:{line})", self.short(file))).unwrap_or_default();
        let label = format!("{:<5}", level.to_uppercase());
        if !self.style.colour {
            return format!("{time}{label} {message}{place}");
        }
        let code = match level {
            "error" => 31,
            "warn" => 33,
            "info" => 32,
            _ => 36,
        };
        format!("{time}\x1b[{code}m{label}\x1b[0m {message}\x1b[2m{place}\x1b[0m")
    }

    /// Shortens a path of this checkout to what the user would type.
    fn short(&self, file: &Path) -> String {
        let text = file.to_string_lossy();
        self.root.as_deref().and_then(|root| text.strip_prefix(root)).unwrap_or(&text).to_owned()
    }

    /// Writes, under an error that holds addresses of code, which functions these are. In a backtrace the addresses are return addresses:
    /// the call is the instruction before, which after a call that never returns may be another function's last.
    fn name_addresses(&mut self, message: &str) {
        let returns = message.contains("backtrace");
        let addresses: Vec<u64> = hexadecimal_words(message).filter(|address| self.image.is_code(*address)).collect();
        for address in addresses {
            let probe = if returns { address - 1 } else { address };
            let loader = self.debug.get_or_init(|| self.image.debug_information());
            let names = loader.as_ref().map(|loader| name_address(loader, probe)).unwrap_or_default();
            for name in names {
                let name = self.root.as_deref().map_or(name.clone(), |root| name.replace(root, ""));
                self.line(&format!("      {address:#x} {name}"));
            }
        }
    }
}

/// Finds the words of the form `0x…`; `_` may part the digits.
fn hexadecimal_words(text: &str) -> impl Iterator<Item = u64> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter_map(|word| word.strip_prefix("0x"))
        .filter_map(|digits| u64::from_str_radix(&digits.replace('_', ""), 16).ok())
}

impl<W: Write> Watcher for Transcript<'_, W> {
    fn log(&mut self, bytes: &[u8]) {
        let Some(decoder) = &mut self.decoder else {
            // An image without log formats writes plain text there.
            let _ = self.pages.out.write_all(bytes);
            return;
        };
        decoder.received(bytes);
        loop {
            match decoder.decode() {
                Ok(frame) => self.pages.frame(&frame),
                Err(DecodeError::UnexpectedEof) => break,
                Err(DecodeError::Malformed) => {
                    self.pages.line("(a log frame that does not decode)");
                    if !self.pages.recovers {
                        break;
                    }
                }
            }
        }
    }

    fn console(&mut self, bytes: &[u8]) {
        self.pages.held.extend(bytes.iter().copied().filter(|byte| *byte != b'\r'));
        self.pages.waited = false;
        // Whole lines only: the log has the same output.
        let whole = self.pages.held.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if !self.pages.style.hold_console {
            self.pages.write_held(whole);
        }
    }

    fn emulator(&mut self, bytes: &[u8]) {
        let _ = self.pages.out.write_all(bytes);
    }

    fn tick(&mut self, _ram: &GuestRam, _qemu: u32) {
        // A prompt has no line end: it is written when nothing followed it for a tick.
        if self.pages.waited && !self.pages.style.hold_console {
            self.pages.write_held(self.pages.held.len());
        }
        self.pages.waited = !self.pages.held.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_words_are_found_between_anything() {
        let found: Vec<u64> = hexadecimal_words("elr=0x7c00_1234, at (0X1) 0x10; 0xzz 12 0x").collect();
        assert_eq!(found, [0x7c00_1234, 0x10]);
    }

    #[test]
    fn quiet_is_less_than_verbose() {
        assert!(Detail::Quiet < Detail::Normal && Detail::Normal < Detail::Verbose);
    }
}
