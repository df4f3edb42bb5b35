//! The SMMU's registers, the machine's time and memory, as the driver's parts share them.

use core::time::Duration;

use hal::{Clock, DmaMapper, Reg, RegisterWindow, poll_until};
use tock_registers::RegisterLongName;

use crate::error::Timeout;

/// What every part of the driver works with.
pub(crate) struct Port<W, C, M> {
    /// Both register pages.
    pub(crate) window: W,
    /// Time.
    pub(crate) clock: C,
    /// Where the SMMU's own structures live: device addresses are physical addresses.
    pub(crate) memory: M,
    /// How long any single wait may take.
    pub(crate) patience: Duration,
}

impl<W: RegisterWindow, C: Clock, M: DmaMapper> Port<W, C, M> {
    /// Waits until `register` reads `wanted` under `mask`.
    pub(crate) fn wait<R: RegisterLongName>(&self, register: &Reg<u32, R>, mask: u32, wanted: u32) -> Result<(), Timeout> {
        let mut seen = 0;
        poll_until(&self.clock, self.patience, || {
            seen = register.get(&self.window);
            (seen & mask == wanted).then_some(())
        })
        .map_err(|_| Timeout { register: register.info.name, wanted, seen })
    }

    /// Makes stores to memory visible before the next register write.
    pub(crate) fn publish(&self) {
        self.memory.dma_wmb();
    }

    /// Makes later loads newer than the register or flag that was just read.
    pub(crate) fn acquire(&self) {
        self.memory.dma_rmb();
    }
}
