//! Middleware between a driver and its registers: one that writes down, one that misbehaves.

use std::cell::RefCell;
use std::rc::Rc;

use hal::RegisterWindow;

/// One register access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Touch {
    /// `value` was read.
    Read {
        /// Byte offset.
        offset: u64,
        /// 4 or 8.
        bytes: u8,
        /// What the driver got.
        value: u64,
    },
    /// `value` was written.
    Write {
        /// Byte offset.
        offset: u64,
        /// 4 or 8.
        bytes: u8,
        /// What the driver wrote.
        value: u64,
    },
    /// 16 bytes were written at once.
    Write128 {
        /// Byte offset.
        offset: u64,
        /// First 8 bytes.
        low: u64,
        /// Last 8 bytes.
        high: u64,
    },
}

/// Writes every access down. A clone shares the list.
#[derive(Clone)]
pub struct Traced<W> {
    inner: W,
    touches: Rc<RefCell<Vec<Touch>>>,
}

impl<W> Traced<W> {
    /// Wraps `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, touches: Rc::default() }
    }

    /// Takes the accesses so far.
    pub fn take(&self) -> Vec<Touch> {
        std::mem::take(&mut *self.touches.borrow_mut())
    }

    /// Takes the writes so far: `(offset, value)`.
    pub fn take_writes(&self) -> Vec<(u64, u64)> {
        let writes = |touch: &Touch| match *touch {
            Touch::Write { offset, value, .. } => Some((offset, value)),
            _ => None,
        };
        self.take().iter().filter_map(writes).collect()
    }

    fn note(&self, touch: Touch) {
        self.touches.borrow_mut().push(touch);
    }
}

impl<W: RegisterWindow> RegisterWindow for Traced<W> {
    fn read32(&self, offset: u64) -> u32 {
        let value = self.inner.read32(offset);
        self.note(Touch::Read { offset, bytes: 4, value: u64::from(value) });
        value
    }
    fn write32(&self, offset: u64, value: u32) {
        self.note(Touch::Write { offset, bytes: 4, value: u64::from(value) });
        self.inner.write32(offset, value);
    }
    fn read64(&self, offset: u64) -> u64 {
        let value = self.inner.read64(offset);
        self.note(Touch::Read { offset, bytes: 8, value });
        value
    }
    fn write64(&self, offset: u64, value: u64) {
        self.note(Touch::Write { offset, bytes: 8, value });
        self.inner.write64(offset, value);
    }
    fn write128(&self, offset: u64, low: u64, high: u64) {
        self.note(Touch::Write128 { offset, low, high });
        self.inner.write128(offset, low, high);
    }
}

/// A way in which registers misbehave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Reads of `offset` give this value always: an acknowledge that never comes, an index of garbage.
    Stuck {
        /// Byte offset.
        offset: u64,
        /// What is read.
        value: u64,
    },
    /// The `nth` read of `offset` from now (0 = the next) gives `value`, once.
    ReadOnce {
        /// Byte offset.
        offset: u64,
        /// Which read.
        nth: u32,
        /// What is read.
        value: u64,
    },
    /// Writes to `offset` are lost.
    WritesLost {
        /// Byte offset.
        offset: u64,
    },
    /// The `nth` write to `offset` from now (0 = the next) is lost, once.
    WriteLostOnce {
        /// Byte offset.
        offset: u64,
        /// Which write.
        nth: u32,
    },
}

/// Misbehaves as told. A clone shares the faults.
#[derive(Clone)]
pub struct Faulty<W> {
    inner: W,
    faults: Rc<RefCell<Vec<Fault>>>,
}

impl<W> Faulty<W> {
    /// Wraps `inner`, well-behaved for now.
    pub fn new(inner: W) -> Self {
        Self { inner, faults: Rc::default() }
    }

    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.faults.borrow_mut().clear();
    }

    fn on_read(&self, at: u64, value: u64) -> u64 {
        let mut faults = self.faults.borrow_mut();
        let mut seen = value;
        faults.retain_mut(|fault| match fault {
            Fault::Stuck { offset, value } if *offset == at => {
                seen = *value;
                true
            }
            Fault::ReadOnce { offset, nth, value } if *offset == at => {
                if *nth == 0 {
                    seen = *value;
                    return false;
                }
                *nth -= 1;
                true
            }
            _ => true,
        });
        seen
    }

    fn loses_write(&self, at: u64) -> bool {
        let mut faults = self.faults.borrow_mut();
        let mut lost = false;
        faults.retain_mut(|fault| match fault {
            Fault::WritesLost { offset } if *offset == at => {
                lost = true;
                true
            }
            Fault::WriteLostOnce { offset, nth } if *offset == at => {
                if *nth == 0 {
                    lost = true;
                    return false;
                }
                *nth -= 1;
                true
            }
            _ => true,
        });
        lost
    }
}

impl<W: RegisterWindow> RegisterWindow for Faulty<W> {
    fn read32(&self, offset: u64) -> u32 {
        self.on_read(offset, u64::from(self.inner.read32(offset))) as u32
    }
    fn write32(&self, offset: u64, value: u32) {
        if !self.loses_write(offset) {
            self.inner.write32(offset, value);
        }
    }
    fn read64(&self, offset: u64) -> u64 {
        self.on_read(offset, self.inner.read64(offset))
    }
    fn write64(&self, offset: u64, value: u64) {
        if !self.loses_write(offset) {
            self.inner.write64(offset, value);
        }
    }
    fn write128(&self, offset: u64, low: u64, high: u64) {
        if !self.loses_write(offset) {
            self.inner.write128(offset, low, high);
        }
    }
}
