//! GICD: shared interrupts. IHI 0069, 12.9.

use core::time::Duration;

use hal::{Clock, Expired, Permission, Reg, RegisterWindow, poll_until};

use super::{IntId, Trigger};

/// GICD_CTLR - control. Bit 1 EnableGrp1NS, bit 4 ARE_NS, bit 31 RWP.
const GICD_CTLR: Reg<u32> = Reg::<u32>::new("GICD_CTLR", 0x0000, Permission::ReadWrite, 0);
/// GICD_TYPER - what is implemented. Bits 4:0 ITLinesNumber.
const GICD_TYPER: Reg<u32> = Reg::<u32>::new("GICD_TYPER", 0x0004, Permission::ReadOnly, 0);
/// GICD_IGROUPR - group, one bit each.
const GICD_IGROUPR: u64 = 0x0080;
/// GICD_ISENABLER - set enable.
const GICD_ISENABLER: u64 = 0x0100;
/// GICD_ICENABLER - clear enable.
const GICD_ICENABLER: u64 = 0x0180;
/// GICD_ISPENDR - set pending.
const GICD_ISPENDR: u64 = 0x0200;
/// GICD_ICPENDR - clear pending.
const GICD_ICPENDR: u64 = 0x0280;
/// GICD_IPRIORITYR - priority, 8 bits each.
const GICD_IPRIORITYR: u64 = 0x0400;
/// GICD_ICFGR - trigger, 2 bits each; the upper one is 1 for edge.
const GICD_ICFGR: u64 = 0x0c00;
/// GICD_IROUTER - affinity, 64 bits each, indexed by INTID.
const GICD_IROUTER: u64 = 0x6000;

const ENABLE_GRP1: u32 = 1 << 1;
const ARE: u32 = 1 << 4;
const RWP: u32 = 1 << 31;

/// The distributor. Every call touches one interrupt's bits by write-one registers, so two cores may use it at once;
/// [`Distributor::configure`] is the exception (it reads and writes shared words).
#[derive(Clone, Copy, Debug)]
pub struct Distributor<W> {
    window: W,
}

impl<W: RegisterWindow> Distributor<W> {
    /// Names the distributor; touches nothing.
    pub const fn new(window: W) -> Self {
        Self { window }
    }

    /// Turns group 1 and affinity routing on.
    ///
    /// # Errors
    /// [`Expired`] if the write does not complete within 100 ms.
    pub fn enable(&self, clock: &impl Clock) -> Result<(), Expired> {
        GICD_CTLR.set(&self.window, ENABLE_GRP1 | ARE);
        self.wait(clock)
    }

    fn wait(&self, clock: &impl Clock) -> Result<(), Expired> {
        poll_until(clock, Duration::from_millis(100), || (GICD_CTLR.get(&self.window) & RWP == 0).then_some(()))
    }

    /// One past the highest INTID implemented.
    pub fn intid_end(&self) -> u32 {
        (((GICD_TYPER.get(&self.window) & 0x1f) + 1) * 32).min(IntId::SPI_END)
    }

    /// Puts an SPI into group 1 with a priority and a trigger, routed to the core of `affinity`.
    pub fn configure(&self, spi: IntId, trigger: Trigger, priority: u8, affinity: u64) {
        assert!(spi.is_spi(), "not an SPI");
        let group = GICD_IGROUPR + spi.word();
        self.window.write32(group, self.window.read32(group) | spi.bit());
        let at = GICD_IPRIORITYR + u64::from(spi.0 & !3);
        let shift = (spi.0 % 4) * 8;
        self.window.write32(at, (self.window.read32(at) & !(0xff << shift)) | (u32::from(priority) << shift));
        let at = GICD_ICFGR + u64::from(spi.0 / 16) * 4;
        let edge = 2 << ((spi.0 % 16) * 2);
        let old = self.window.read32(at);
        self.window.write32(at, if trigger == Trigger::Edge { old | edge } else { old & !edge });
        self.window.write64(GICD_IROUTER + u64::from(spi.0) * 8, affinity);
    }

    /// Lets an SPI through.
    pub fn enable_spi(&self, spi: IntId) {
        self.window.write32(GICD_ISENABLER + spi.word(), spi.bit());
    }

    /// Holds an SPI back.
    ///
    /// # Errors
    /// [`Expired`] if the write does not complete within 100 ms.
    pub fn disable_spi(&self, spi: IntId, clock: &impl Clock) -> Result<(), Expired> {
        self.window.write32(GICD_ICENABLER + spi.word(), spi.bit());
        self.wait(clock)
    }

    /// Makes an SPI pending, as an edge of its line would.
    #[inline]
    pub fn set_pending(&self, spi: IntId) {
        self.window.write32(GICD_ISPENDR + spi.word(), spi.bit());
    }

    /// Takes a pending state away.
    pub fn clear_pending(&self, spi: IntId) {
        self.window.write32(GICD_ICPENDR + spi.word(), spi.bit());
    }

    /// True if pending.
    pub fn is_pending(&self, spi: IntId) -> bool {
        self.window.read32(GICD_ISPENDR + spi.word()) & spi.bit() != 0
    }
}
