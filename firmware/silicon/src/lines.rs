//! Interrupt lines and messages, as edges at the GIC distributor.

use firmware_platform::trace::{Counter, Kind};
use firmware_platform::{
    GICD_BASE, MSI_BASE_INTID, MSI_COUNT, MSI_FRAME_BASE, SMMU_CMDQ_SYNC_INTID, SMMU_EVENTQ_INTID, SMMU_GERROR_INTID, SMMU_PRIQ_INTID,
};
use hal::{BusError, IrqLines, Pa};
use hal_aarch64::MmioWindow;
use hal_aarch64::gic::{Distributor, IntId};
use smmu_spec::irq;

use crate::trace;

/// Offset of the register that takes messages.
pub const MSI_SETSPI: u64 = 0x040;
/// Offset of MSI_TYPER: base INTID and count.
pub const MSI_TYPER: u64 = 0x008;

/// The machine's distributor.
pub fn distributor() -> Distributor<MmioWindow> {
    // SAFETY: EL2's table maps the distributor identically as device memory, for ever.
    Distributor::new(unsafe { MmioWindow::new(GICD_BASE as usize, 0x1_0000) })
}

/// The SMMU model's lines.
#[derive(Clone, Copy, Debug)]
pub struct SmmuLines;

impl IrqLines for SmmuLines {
    fn pulse(&mut self, line: u32) {
        let intid = match line {
            irq::EVENTQ => SMMU_EVENTQ_INTID,
            irq::PRIQ => SMMU_PRIQ_INTID,
            irq::CMDQ_SYNC => SMMU_CMDQ_SYNC_INTID,
            _ => SMMU_GERROR_INTID,
        };
        trace::note(None, Kind::Line, u64::from(intid), 0, 0);
        distributor().set_pending(IntId(intid));
    }
}

/// True for the address that devices send messages to.
#[inline]
pub fn is_msi_doorbell(at: Pa) -> bool {
    at.0 == MSI_FRAME_BASE + MSI_SETSPI
}

/// Delivers a message: its data is the INTID.
///
/// # Errors
/// [`BusError`] if it is not one of the frame's.
pub fn pend_msi(data: u32) -> Result<(), BusError> {
    if !(MSI_BASE_INTID..MSI_BASE_INTID + MSI_COUNT).contains(&data) {
        return Err(BusError);
    }
    trace::note(Some(Counter::Messages), Kind::Message, u64::from(data), 0, 0);
    distributor().set_pending(IntId(data));
    Ok(())
}

/// Answers a CPU load from the frame.
pub const fn frame_read(offset: u64) -> u64 {
    match offset {
        MSI_TYPER => ((MSI_BASE_INTID as u64) << 16) | MSI_COUNT as u64,
        // MSI_IIDR at 0xfcc and everything else read 0: no erratum is claimed.
        _ => 0,
    }
}
