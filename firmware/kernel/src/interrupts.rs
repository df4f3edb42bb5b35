//! Interrupts: who wants which, and their dispatch.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use firmware_kerncore::tree::{Gic, Interrupt};
use hal::Expired;
use hal_aarch64::gic::{self, Distributor, IntId, REDISTRIBUTOR_BYTES, Redistributor, Trigger};
use hal_aarch64::timer::{VIRTUAL_TIMER_INTID, VirtualTimer};
use hal_aarch64::{GenericTimer, MmioWindow, SpinLock, sysreg};

use crate::{accelerator, faults, smmu, task};

/// Priority of everything: there is no nesting.
const PRIORITY: u8 = 0x80;

/// What an interrupt means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// The SMMU's event queue.
    SmmuEvents,
    /// The SMMU's PRI queue.
    SmmuPages,
    /// The SMMU's global errors.
    SmmuErrors,
    /// Vector of the accelerator with this index.
    Accelerator {
        /// Index in the table of accelerators.
        index: usize,
        /// MSI vector.
        vector: u32,
    },
}

struct Interrupts {
    distributor: Distributor<MmioWindow>,
    purposes: Vec<(IntId, Purpose)>,
}

static INTERRUPTS: SpinLock<Option<Interrupts>> = SpinLock::new(None);
static HANDLED: AtomicU64 = AtomicU64::new(0);
static UNWANTED: AtomicU64 = AtomicU64::new(0);

/// The GIC cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GicError {
    /// A register did not show what it should in time.
    TimedOut,
    /// No redistributor belongs to this core.
    NoRedistributor,
}

impl From<Expired> for GicError {
    fn from(_: Expired) -> Self {
        Self::TimedOut
    }
}

/// Takes the GIC over: distributor, this core's redistributor and interface, the timer's interrupt.
pub(crate) fn init(gic: &Gic, distributor: MmioWindow, redistributors: MmioWindow) -> Result<(), GicError> {
    let distributor = Distributor::new(distributor);
    distributor.enable(&GenericTimer)?;
    let me = sysreg::affinity();
    let count = gic.redistributors.len_bytes / REDISTRIBUTOR_BYTES;
    let mut own = None;
    for index in 0..count {
        let redistributor = Redistributor::new(redistributors.sub_window(index * REDISTRIBUTOR_BYTES, REDISTRIBUTOR_BYTES));
        if redistributor.affinity() == me {
            own = Some(redistributor);
            break;
        }
        if redistributor.is_last() {
            break;
        }
    }
    let own = own.ok_or(GicError::NoRedistributor)?;
    own.wake(&GenericTimer)?;
    own.enable(IntId(VIRTUAL_TIMER_INTID), PRIORITY);
    gic::enable_cpu_interface();
    *INTERRUPTS.lock() = Some(Interrupts { distributor, purposes: Vec::new() });
    Ok(())
}

/// Lets a shared interrupt through to this core.
pub(crate) fn enable(interrupt: Interrupt, purpose: Purpose) {
    if let Some(interrupts) = INTERRUPTS.lock().as_mut() {
        let spi = IntId(interrupt.intid);
        let trigger = if interrupt.edge { Trigger::Edge } else { Trigger::Level };
        interrupts.distributor.configure(spi, trigger, PRIORITY, sysreg::affinity());
        interrupts.distributor.enable_spi(spi);
        interrupts.purposes.push((spi, purpose));
    }
}

/// Handles every pending interrupt.
pub(crate) fn handle_pending() {
    while let Some(intid) = gic::acknowledge() {
        HANDLED.fetch_add(1, Ordering::Relaxed);
        handle(intid);
        gic::end_of_interrupt(intid);
    }
}

fn handle(intid: IntId) {
    if intid == IntId(VIRTUAL_TIMER_INTID) {
        // The line is a level: it falls with the comparator. Whoever runs next arms it again.
        VirtualTimer.disarm();
        faults::serve_due();
        return;
    }
    let purpose = {
        let interrupts = INTERRUPTS.lock();
        interrupts.as_ref().and_then(|i| i.purposes.iter().find(|(wanted, _)| *wanted == intid).map(|(_, purpose)| *purpose))
    };
    match purpose {
        Some(Purpose::SmmuEvents) => faults::handle_events(),
        Some(Purpose::SmmuPages) => faults::handle_pages(),
        Some(Purpose::SmmuErrors) => smmu::service_errors(),
        Some(Purpose::Accelerator { index, vector }) => {
            let woken = accelerator::interrupt(index, vector);
            if !woken.is_empty() {
                task::wake_pollers(&woken);
            }
        }
        None => {
            UNWANTED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Interrupts handled since boot, with or without an exception.
pub fn handled() -> u64 {
    HANDLED.load(Ordering::Relaxed)
}

/// Interrupts that nobody wanted since boot.
pub fn unwanted() -> u64 {
    UNWANTED.load(Ordering::Relaxed)
}
