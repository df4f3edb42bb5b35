//! What a process has open.

use alloc::vec::Vec;

use hal_aarch64::semihost;
use uacce_abi::{Errno, Fd, OnExec};
use uacce_kernel::QueueHandle;

/// Handles of one process, the console not counted.
const MAX_FILES: usize = 64;
/// The first number that is not the console's.
const FIRST: usize = 3;

/// An open file.
#[derive(Debug)]
pub(crate) enum File {
    /// A device queue, and what becomes of it at an exec.
    Queue(QueueHandle, OnExec),
    /// A file of the host.
    Host(semihost::File),
}

/// A process's table of open files.
#[derive(Debug, Default)]
pub(crate) struct Files {
    files: Vec<Option<File>>,
}

impl Files {
    fn index(fd: Fd) -> Option<usize> {
        usize::try_from(fd.0).ok()?.checked_sub(FIRST)
    }

    /// True if another file fits.
    pub(crate) fn has_room(&self) -> bool {
        self.files.len() < MAX_FILES || self.files.iter().any(Option::is_none)
    }

    /// Adds a file under the lowest free number.
    ///
    /// # Errors
    /// `EMFILE`.
    pub(crate) fn add(&mut self, file: File) -> Result<Fd, Errno> {
        let at = match self.files.iter().position(Option::is_none) {
            Some(at) => at,
            None if self.files.len() < MAX_FILES => {
                self.files.push(None);
                self.files.len() - 1
            }
            None => return Err(Errno::EMFILE),
        };
        self.files[at] = Some(file);
        Ok(Fd((at + FIRST) as i32))
    }

    /// The queue behind a number.
    ///
    /// # Errors
    /// `EBADF` if nothing is open there, `ENOTTY` if it is no queue.
    pub(crate) fn queue(&self, fd: Fd) -> Result<QueueHandle, Errno> {
        match Self::index(fd).and_then(|at| self.files.get(at)) {
            Some(Some(File::Queue(handle, _))) => Ok(*handle),
            Some(Some(File::Host(_))) => Err(Errno::ENOTTY),
            _ if fd == Fd::STDOUT || fd == Fd::STDERR => Err(Errno::ENOTTY),
            _ => Err(Errno::EBADF),
        }
    }

    /// The host file behind a number.
    ///
    /// # Errors
    /// `EBADF`.
    pub(crate) fn host(&mut self, fd: Fd) -> Result<&mut semihost::File, Errno> {
        match Self::index(fd).and_then(|at| self.files.get_mut(at)) {
            Some(Some(File::Host(file))) => Ok(file),
            _ => Err(Errno::EBADF),
        }
    }

    /// Takes a file out.
    pub(crate) fn take(&mut self, fd: Fd) -> Option<File> {
        self.files.get_mut(Self::index(fd)?)?.take()
    }

    /// All queues.
    pub(crate) fn queues(&self) -> impl Iterator<Item = QueueHandle> + '_ {
        self.files.iter().filter_map(|file| match file {
            Some(File::Queue(handle, _)) => Some(*handle),
            _ => None,
        })
    }

    /// What a copy of the process has open: copies of its queue handles. Files of the host stay the original's.
    pub(crate) fn inherited(&self) -> Self {
        let copy = |file: &Option<File>| match file {
            Some(File::Queue(handle, on_exec)) => Some(File::Queue(*handle, *on_exec)),
            Some(File::Host(_)) | None => None,
        };
        Self { files: self.files.iter().map(copy).collect() }
    }

    /// Closes what is to be closed when another program is executed.
    pub(crate) fn close_on_exec(&mut self) {
        for file in &mut self.files {
            if matches!(file, Some(File::Queue(_, OnExec::Close))) {
                *file = None;
            }
        }
    }
}
