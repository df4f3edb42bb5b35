//! A page that a test lends to its processes: words that both sides read and write.

use alloc::vec::Vec;

use firmware_kerncore::vma::Rights;
use firmware_kernel::{Buffer, Exit, PhysicalMemory, lend, living, run_until_exit, space_of, spawn};
use hal::{DmaBuffer, DmaMapper, Pa};
use uacce_abi::{Entry, ProcessId};
use uacce_kernel::SpaceId;

use crate::user;

/// Words of the board.
pub const WORDS: usize = 512;
/// The word that a failing process leaves its source line in, and the next one for a value.
pub const FAILED_LINE: usize = 510;

/// The page, as the kernel holds it.
pub struct Board {
    page: Buffer,
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

impl Board {
    /// A page of zeroes.
    ///
    /// # Panics
    /// Without memory.
    pub fn new() -> Self {
        Self { page: frames(WORDS * 8, 4096) }
    }

    /// Reads a word.
    pub fn word(&self, index: usize) -> u64 {
        self.page.read64(index * 8)
    }

    /// Writes a word.
    pub fn set(&self, index: usize, value: u64) {
        self.page.write64(index * 8, value);
    }

    /// Makes a process of `entry` that has the board.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn start(&self, name: &str, entry: Entry, number: u64) -> ProcessId {
        let process = spawn(name, entry, number, "").expect("a process");
        lend_frames(process, user::BOARD_AT, &self.page, Rights::ReadWrite);
        process
    }

    /// Runs a process to its end, and wants that to be a good one.
    ///
    /// # Panics
    /// If it is not.
    pub fn run(&self, process: ProcessId) {
        let exit = run_until_exit(process);
        assert!(exit == Ok(Exit::Code(0)), "{exit:?}, {}", self.complaint());
    }

    /// Makes a process that ends when the words of a range are all set.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn start_waiter(&self, words: core::ops::Range<usize>) -> ProcessId {
        self.start("waiter", user::wait_for_words, words.start as u64 | (words.end as u64) << 32)
    }

    /// Runs all processes until the words of a range are all set, each by one of them.
    ///
    /// # Panics
    /// If a process failed, or it takes too long.
    pub fn run_until(&self, words: core::ops::Range<usize>) {
        let waiter = self.start_waiter(words.clone());
        let exit = run_until_exit(waiter);
        let missing: Vec<usize> = words.filter(|index| self.word(*index) == 0).collect();
        assert!(exit == Ok(Exit::Code(0)), "words {missing:?} not set, {exit:?}, {}, living: {:?}", self.complaint(), living());
    }

    fn complaint(&self) -> alloc::string::String {
        match self.word(FAILED_LINE) {
            0 => "no process complained".into(),
            line => alloc::format!("a process failed at line {line} with {:#x}", self.word(FAILED_LINE + 1)),
        }
    }
}

/// Frames in a row for a test, zeroed.
///
/// # Panics
/// Without memory.
pub fn frames(len_bytes: usize, align: usize) -> Buffer {
    PhysicalMemory.alloc(len_bytes, align).expect("memory for a test")
}

/// The address space of a living process.
///
/// # Panics
/// If it has ended.
pub fn space(process: ProcessId) -> SpaceId {
    space_of(process).expect("a living process")
}

/// Lends frames to a process.
///
/// # Panics
/// If something lies there.
pub fn lend_frames(process: ProcessId, at: u64, frames: &Buffer, rights: Rights) {
    let base = frames.physical_address().expect("frames");
    lend_physical(process, at, base, frames.len_bytes() as u64, rights);
}

/// Lets a process's table point to any physical memory.
///
/// # Panics
/// If something lies there.
pub fn lend_physical(process: ProcessId, at: u64, base: Pa, len_bytes: u64, rights: Rights) {
    lend(space(process), at, base, len_bytes, rights).expect("free user addresses");
}
