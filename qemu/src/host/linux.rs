//! `linux`: an unmodified kernel as the EL1 payload of our silicon.

use super::cli::{Linux, Options, TraceLevel};
use super::complaint::{Complaint, Outcome};
use super::emulator::{Ending, Launch, Watcher, run as run_emulator};
use super::image::{Image, Variable};
use super::machine::{Blob, Machine};
use super::ram::GuestRam;
use super::tree::Boot;
use firmware_platform as platform;
use std::io::Read;
use std::path::Path;

/// Time limit in seconds.
const LIMIT_SECONDS: u64 = 600;
/// `-icount shift=` under which Linux was found to repeat bit by bit.
const ICOUNT_SHIFT: u32 = 1;
/// Command line of every guest. QEMU 7.2 announces LPIs without having an ITS for us; without the first word Linux takes that path and finds no MSI.
const BOOTARGS: &str = "irqchip.gicv3_nolpi=1 console=ttyAMA0 earlycon";
/// Offset and value of the magic number in the header of an arm64 `Image`.
const IMAGE_MAGIC_OFFSET: usize = 56;
const IMAGE_MAGIC: &[u8; 4] = b"ARM\x64";

/// Boots Linux; its console is the terminal.
pub fn run(image: &Image, options: &Options, linux: &Linux) -> Outcome<Ending> {
    if options.bare {
        return Err(Complaint { sentence: "linux runs on the modelled silicon: --bare takes it away".to_owned(), code: 2 });
    }
    check_kernel(&linux.kernel)?;
    place(&linux.kernel, platform::LINUX_IMAGE_BASE, platform::INITRD_BASE)?;
    let initrd_bytes = place(&linux.initrd, platform::INITRD_BASE, platform::DTB_BASE)?;

    let machine = Machine {
        icount_shift: options.icount.then_some(ICOUNT_SHIFT),
        trace_level: u32::from(options.trace.is_some() && linux.trace_level == TraceLevel::Access),
        ..options.machine()
    };
    let boot = Boot {
        bootargs: linux.append.as_ref().map_or_else(|| BOOTARGS.to_owned(), |words| format!("{BOOTARGS} {words}")),
        payload: Some(platform::LINUX_IMAGE_BASE),
        initrd: Some((platform::INITRD_BASE, platform::INITRD_BASE + initrd_bytes)),
    };
    let blobs = [
        Blob { file: linux.kernel.clone(), address: platform::LINUX_IMAGE_BASE },
        Blob { file: linux.initrd.clone(), address: platform::INITRD_BASE },
    ];
    let launch = Launch {
        machine: &machine,
        image: image.path(),
        boot: &boot,
        blobs: &blobs,
        semihosting: None,
        limit: options.limit(LIMIT_SECONDS),
        trace: options.trace.as_deref(),
    };
    let variables = linux.peek.as_ref().map_or_else(|| Ok(Vec::new()), |name| image.variables(name))?;
    let mut watcher = Peek { words: vec![0; variables.len()], variables };
    let ending = run_emulator(&launch, &mut watcher);
    for (variable, word) in watcher.variables.iter().zip(&watcher.words) {
        eprintln!("{} = {word}", variable.name);
    }
    ending
}

/// QEMU has the terminal: nothing passes through the runner. Looks at variables; the last look is after the machine's end.
struct Peek {
    variables: Vec<Variable>,
    words: Vec<u32>,
}

impl Watcher for Peek {
    fn log(&mut self, _bytes: &[u8]) {}
    fn console(&mut self, _bytes: &[u8]) {}
    fn emulator(&mut self, _bytes: &[u8]) {}

    fn tick(&mut self, ram: &GuestRam, _qemu: u32) {
        for (variable, word) in self.variables.iter().zip(&mut self.words) {
            let mut bytes = [0; 4];
            if ram.read(variable.address, &mut bytes).is_ok() {
                *word = u32::from_le_bytes(bytes);
            }
        }
    }
}

/// Refuses what EL2 could not enter: a compressed or foreign kernel.
fn check_kernel(path: &Path) -> Outcome<()> {
    let mut header = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| Complaint::io(format!("cannot read {}", path.display()), &error))?;
    file.take(64).read_to_end(&mut header).map_err(|error| Complaint::io(format!("cannot read {}", path.display()), &error))?;
    if header.get(IMAGE_MAGIC_OFFSET..IMAGE_MAGIC_OFFSET + 4) != Some(IMAGE_MAGIC) {
        return Err(Complaint::new(format!("{} is not an uncompressed arm64 kernel Image (unpack it first)", path.display())));
    }
    Ok(())
}

/// Checks that a file fits between two addresses and returns its length in bytes.
fn place(path: &Path, start: u64, end: u64) -> Outcome<u64> {
    let data = std::fs::metadata(path).map_err(|error| Complaint::io(format!("cannot read {}", path.display()), &error))?;
    if !data.is_file() || data.len() == 0 || data.len() > end - start {
        let reason = if data.is_file() { format!("{} bytes; the place has {}", data.len(), end - start) } else { "not a file".to_owned() };
        return Err(Complaint::new(format!("{} does not fit into guest memory: {reason}", path.display())));
    }
    Ok(data.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_uncompressed_image_is_booted() {
        let room = tempfile::tempdir().expect("a directory");
        let path = room.path().join("Image");
        let mut bytes = vec![0u8; 4096];
        std::fs::write(&path, &bytes).expect("writable");
        assert!(check_kernel(&path).is_err());
        bytes[56..60].copy_from_slice(&[0x41, 0x52, 0x4d, 0x64]);
        std::fs::write(&path, &bytes).expect("writable");
        check_kernel(&path).expect("the magic number of an Image");
        std::fs::write(&path, b"short").expect("writable");
        assert!(check_kernel(&path).is_err());
    }

    #[test]
    fn a_payload_must_fit_below_its_neighbour() {
        let room = tempfile::tempdir().expect("a directory");
        let path = room.path().join("initrd");
        std::fs::write(&path, [0; 16]).expect("writable");
        assert_eq!(place(&path, 0x1000, 0x1010), Ok(16));
        assert!(place(&path, 0x1000, 0x100f).is_err());
        assert!(place(room.path(), 0x1000, 0x2000).is_err());
    }
}
