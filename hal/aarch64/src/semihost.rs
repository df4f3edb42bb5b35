//! Semihosting: host files, the log channel and the exit code. Works at EL1 and EL2 where QEMU enables it, never at EL0.

use core::ffi::CStr;

use semihosting::fd::{AsFd, OwnedFd};
use semihosting::sys::arm_compat as sys;

/// Ends QEMU with `code` as its exit status (SYS_EXIT_EXTENDED).
pub fn exit(code: i32) -> ! {
    semihosting::process::exit(code)
}

/// A host call failed; the host's errno.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostError {
    /// errno as the host gave it, 0 if it gave none.
    pub errno: i32,
}

fn host_error(error: &semihosting::io::Error) -> HostError {
    HostError { errno: error.raw_os_error().map_or(0, |e| e) }
}

/// How a host file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// For reading; it must exist.
    Read,
    /// For writing; created or emptied.
    Create,
}

/// An open host file; closed on drop.
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
}

impl File {
    /// Opens a host file (SYS_OPEN).
    ///
    /// # Errors
    /// The host's errno.
    pub fn open(path: &CStr, mode: Mode) -> Result<Self, HostError> {
        let mode = match mode {
            Mode::Read => sys::OpenMode::RDONLY_BINARY,
            Mode::Create => sys::OpenMode::WRONLY_TRUNC_BINARY,
        };
        sys::sys_open(path, mode).map(|fd| Self { fd }).map_err(|e| host_error(&e))
    }

    /// Opens QEMU's standard output (`:tt`, mode "w").
    ///
    /// # Errors
    /// The host's errno.
    pub fn console() -> Result<Self, HostError> {
        sys::sys_open(c":tt", sys::OpenMode::WRONLY_TRUNC).map(|fd| Self { fd }).map_err(|e| host_error(&e))
    }

    /// Length in bytes (SYS_FLEN).
    ///
    /// # Errors
    /// The host's errno, e.g. for a pipe.
    pub fn len_bytes(&self) -> Result<u64, HostError> {
        sys::sys_flen(self.fd.as_fd()).map(|n| n as u64).map_err(|e| host_error(&e))
    }

    /// Reads up to `out.len()` bytes (SYS_READ); 0 means the end.
    ///
    /// # Errors
    /// The host's errno.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, HostError> {
        sys::sys_read_orig(self.fd.as_fd(), out).map(|not_read| out.len() - not_read).map_err(|e| host_error(&e))
    }

    /// Writes up to `data.len()` bytes (SYS_WRITE) and returns how many were taken.
    ///
    /// # Errors
    /// The host's errno.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, HostError> {
        sys::sys_write_orig(self.fd.as_fd(), data).map(|not_written| data.len() - not_written).map_err(|e| host_error(&e))
    }

    /// Moves to an absolute position (SYS_SEEK), at most the file's length.
    ///
    /// # Errors
    /// The host's errno.
    pub fn seek(&mut self, at_bytes: u64) -> Result<(), HostError> {
        // SAFETY: QEMU bounds the position by lseek; a position past the end of a regular file is harmless there.
        unsafe { sys::sys_seek(self.fd.as_fd(), at_bytes as usize) }.map_err(|e| host_error(&e))
    }
}
