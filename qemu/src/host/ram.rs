//! Guest memory as a file of the runner: what lies in it can be read after, or during, the run.
//!
//! The file is anonymous (`memfd`), so nothing stays behind however the runner ends. QEMU opens it through the runner's `/proc` entry.

use super::complaint::{Complaint, Outcome};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Guest memory.
#[derive(Debug)]
pub struct GuestRam {
    file: File,
}

impl GuestRam {
    /// Makes the file, sparse, with the machine's size.
    ///
    /// # Errors
    /// The host refuses an anonymous file.
    pub fn new() -> Outcome<Self> {
        let refused = |error: std::io::Error| Complaint::io("the host gives no anonymous file for guest memory", &error);
        let fd: OwnedFd = rustix::fs::memfd_create("guest-ram", rustix::fs::MemfdFlags::CLOEXEC).map_err(|error| refused(error.into()))?;
        let file = File::from(fd);
        file.set_len(firmware_platform::RAM_BYTES).map_err(refused)?;
        Ok(Self { file })
    }

    /// Returns the path by which another process of the same user opens the file.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()))
    }

    /// Reads guest memory at a guest physical address.
    ///
    /// # Errors
    /// The range is not inside the machine's RAM.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> Outcome<()> {
        let outside = || Complaint::new(format!("guest memory has no {} bytes at {address:#x}", bytes.len()));
        let offset = address.checked_sub(firmware_platform::RAM_BASE).ok_or_else(outside)?;
        let end = offset.checked_add(bytes.len() as u64).ok_or_else(outside)?;
        if end > firmware_platform::RAM_BYTES {
            return Err(outside());
        }
        self.file.read_exact_at(bytes, offset).map_err(|error| Complaint::io("cannot read guest memory", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stay_inside_the_machine() {
        let ram = GuestRam::new().expect("a memfd");
        let mut word = [1u8; 4];
        ram.read(firmware_platform::TRACE_BASE, &mut word).expect("inside");
        assert_eq!(word, [0; 4]);
        assert!(ram.read(firmware_platform::RAM_BASE - 1, &mut word).is_err());
        assert!(ram.read(firmware_platform::RAM_BASE + firmware_platform::RAM_BYTES - 3, &mut word).is_err());
        assert!(ram.read(u64::MAX, &mut word).is_err());
    }

    #[test]
    fn another_process_reaches_the_file_by_its_path() {
        let ram = GuestRam::new().expect("a memfd");
        let status = std::process::Command::new("test").arg("-s").arg(ram.path()).status().expect("test(1)");
        assert!(status.success());
    }
}
