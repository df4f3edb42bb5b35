//! Text from a process, a line at a time.

use core::fmt;

use uacce_abi::{Fd, Kernel};

/// A line-buffered writer to a handle. What the kernel refuses is dropped: there is nowhere to complain.
pub struct Console<'k, K: Kernel> {
    kernel: &'k K,
    fd: Fd,
    line: [u8; 160],
    len: usize,
}

impl<'k, K: Kernel> Console<'k, K> {
    /// A writer to `fd`.
    pub fn new(kernel: &'k K, fd: Fd) -> Self {
        Self { kernel, fd, line: [0; 160], len: 0 }
    }

    /// Writes out what is buffered.
    pub fn flush(&mut self) {
        if self.len > 0 {
            let _ = self.kernel.write_all(self.fd, &self.line[..self.len]);
            self.len = 0;
        }
    }
}

impl<K: Kernel> fmt::Write for Console<'_, K> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.len == self.line.len() {
                self.flush();
            }
            self.line[self.len] = byte;
            self.len += 1;
            if byte == b'\n' {
                self.flush();
            }
        }
        Ok(())
    }
}

impl<K: Kernel> Drop for Console<'_, K> {
    fn drop(&mut self) {
        self.flush();
    }
}
