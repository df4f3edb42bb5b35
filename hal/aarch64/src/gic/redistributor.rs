//! GICR: one core's SGIs and PPIs. IHI 0069, 12.11.

use core::time::Duration;

use hal::{Clock, Expired, Permission, Reg, RegisterWindow, poll_until};

use super::IntId;

/// Length of one redistributor: RD and SGI frame of 64 KiB each.
pub const REDISTRIBUTOR_BYTES: u64 = 0x2_0000;

/// GICR_TYPER - affinity in bits 63:32, Last in bit 4.
const GICR_TYPER: Reg<u64> = Reg::<u64>::new("GICR_TYPER", 0x0008, Permission::ReadOnly, 0);
/// GICR_WAKER - bit 1 ProcessorSleep, bit 2 ChildrenAsleep.
const GICR_WAKER: Reg<u32> = Reg::<u32>::new("GICR_WAKER", 0x0014, Permission::ReadWrite, 0x6);
/// GICR_IGROUPR0 in the SGI frame.
const GICR_IGROUPR0: u64 = 0x1_0080;
/// GICR_ISENABLER0 in the SGI frame.
const GICR_ISENABLER0: u64 = 0x1_0100;
/// GICR_ICENABLER0 in the SGI frame.
const GICR_ICENABLER0: u64 = 0x1_0180;
/// GICR_IPRIORITYR in the SGI frame.
const GICR_IPRIORITYR: u64 = 0x1_0400;

/// The redistributor of one core.
#[derive(Clone, Copy, Debug)]
pub struct Redistributor<W> {
    window: W,
}

impl<W: RegisterWindow> Redistributor<W> {
    /// Names a redistributor; touches nothing.
    pub const fn new(window: W) -> Self {
        Self { window }
    }

    /// The affinity of the core it serves, MPIDR layout (Aff3 in bits 39:32).
    pub fn affinity(&self) -> u64 {
        let aff = GICR_TYPER.get(&self.window) >> 32;
        (aff & 0xff_ffff) | ((aff >> 24) << 32)
    }

    /// True if no further redistributor follows.
    pub fn is_last(&self) -> bool {
        GICR_TYPER.get(&self.window) & (1 << 4) != 0
    }

    /// Wakes it and puts all SGIs and PPIs into group 1, disabled.
    ///
    /// # Errors
    /// [`Expired`] if it does not wake within 100 ms.
    pub fn wake(&self, clock: &impl Clock) -> Result<(), Expired> {
        GICR_WAKER.set(&self.window, GICR_WAKER.get(&self.window) & !2);
        poll_until(clock, Duration::from_millis(100), || (GICR_WAKER.get(&self.window) & 4 == 0).then_some(()))?;
        self.window.write32(GICR_ICENABLER0, !0);
        self.window.write32(GICR_IGROUPR0, !0);
        Ok(())
    }

    /// Lets an SGI or PPI through with a priority.
    pub fn enable(&self, intid: IntId, priority: u8) {
        assert!(intid.0 < 32, "not an SGI or PPI");
        let at = GICR_IPRIORITYR + u64::from(intid.0 & !3);
        let shift = (intid.0 % 4) * 8;
        self.window.write32(at, (self.window.read32(at) & !(0xff << shift)) | (u32::from(priority) << shift));
        self.window.write32(GICR_ISENABLER0, intid.bit());
    }

    /// Holds an SGI or PPI back.
    pub fn disable(&self, intid: IntId) {
        assert!(intid.0 < 32, "not an SGI or PPI");
        self.window.write32(GICR_ICENABLER0, intid.bit());
    }
}
