//! Register windows over models.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use hal::RegisterWindow;

/// A model together with the machine that its calls need: what a suite wraps around `SmmuModel` or `QmModel`.
pub trait MmioDevice {
    /// Reads `bytes` (4 or 8) at `offset`.
    fn mmio_read(&mut self, offset: u64, bytes: u8) -> u64;
    /// Writes `bytes` (4 or 8) at `offset`.
    fn mmio_write(&mut self, offset: u64, bytes: u8, value: u64);
    /// Writes 16 bytes at once; devices without such a register see two 8-byte writes.
    fn mmio_write128(&mut self, offset: u64, low: u64, high: u64) {
        self.mmio_write(offset, 8, low);
        self.mmio_write(offset + 8, 8, high);
    }
}

/// A register window over a device of this process; a clone is another handle of the same device.
pub struct ModelWindow<D> {
    device: Rc<RefCell<D>>,
}

impl<D> Clone for ModelWindow<D> {
    fn clone(&self) -> Self {
        Self { device: Rc::clone(&self.device) }
    }
}

impl<D> ModelWindow<D> {
    /// Wraps `device`.
    pub fn new(device: D) -> Self {
        Self { device: Rc::new(RefCell::new(device)) }
    }

    /// The device itself, to look into it or to make it do DMA. Give it back before the driver runs.
    pub fn device(&self) -> RefMut<'_, D> {
        self.device.borrow_mut()
    }
}

impl<D: MmioDevice> RegisterWindow for ModelWindow<D> {
    fn read32(&self, offset: u64) -> u32 {
        self.device().mmio_read(offset, 4) as u32
    }
    fn write32(&self, offset: u64, value: u32) {
        self.device().mmio_write(offset, 4, u64::from(value));
    }
    fn read64(&self, offset: u64) -> u64 {
        self.device().mmio_read(offset, 8)
    }
    fn write64(&self, offset: u64, value: u64) {
        self.device().mmio_write(offset, 8, value);
    }
    fn write128(&self, offset: u64, low: u64, high: u64) {
        self.device().mmio_write128(offset, low, high);
    }
}
