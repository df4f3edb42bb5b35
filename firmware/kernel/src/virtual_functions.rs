//! Virtual functions of an accelerator: room for them, their drivers, their messages.
//!
//! Every function is driven by the same driver. What a virtual one lacks (the device's own registers, the engine's, errors) its physical
//! function does for it; what both must do together they agree on by messages, which [`serve_peers`] delivers while the physical function's
//! driver waits for an answer: one core runs here, and nobody else would.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use firmware_kerncore::pci::{self as pci_core, ConfigSpace, Function};
use hal::Pa;
use hal_aarch64::MmioWindow;
use qm_driver::{QmError, QmState, Role};
use uacce_kernel::QueueHandle;

use crate::accelerator::{
    self, Accelerator, AcceleratorError, AcceleratorReport, DOORBELLS, DOORBELLS_BYTES, Doorbells, KernelQm, REGISTERS, Resources,
};
use crate::pci::{self, Bar, Found, VirtualFunctions};
use crate::smmu;

/// Virtual functions that the kernel maps registers of: as many as there are vectors for on the machine that it was written on. Registers can
/// only be mapped before the first process is made.
pub const MOST: u16 = 11;

/// Registers of the virtual functions of one physical function.
pub(crate) struct VirtualWindows {
    offer: VirtualFunctions,
    registers: Vec<MmioWindow>,
    doorbells: Vec<Doorbells>,
}

/// The physical function's driver waits for its virtual ones.
static PEERS_ARE_AWAITED: AtomicBool = AtomicBool::new(false);
/// They are being served.
static SERVING: AtomicBool = AtomicBool::new(false);

/// Makes room for a function's virtual functions and maps the registers of the first [`MOST`].
pub(crate) fn map(found: &Found) -> Result<Option<VirtualWindows>, AcceleratorError> {
    let Some(offer) = pci::place_virtual(found).map_err(AcceleratorError::Function)? else { return Ok(None) };
    let of = |bar: &Bar, number: u16, most_bytes: u64| {
        let base = Pa(bar.base.0 + u64::from(number - 1) * bar.demand.len_bytes);
        pci::map_bar(&Bar { demand: bar.demand, base }, most_bytes)
            .map(|pages| Doorbells { pages, base })
            .map_err(AcceleratorError::Function)
    };
    let (mut registers, mut doorbells) = (Vec::new(), Vec::new());
    for number in 1..=offer.sriov.total.min(MOST) {
        for bar in &offer.bars {
            match bar.demand.index {
                REGISTERS => registers.push(of(bar, number, u64::MAX)?.pages),
                DOORBELLS => doorbells.push(of(bar, number, DOORBELLS_BYTES)?),
                _ => {}
            }
        }
    }
    Ok(Some(VirtualWindows { offer, registers, doorbells }))
}

/// Enables virtual functions of an accelerator and brings each up, with a node of its own. One that fails does not hold the others up.
///
/// # Errors
/// `NoFunction` for more than the kernel has room for, or none to offer; `Qm` as the driver says.
pub fn enable_virtual(index: usize, vfs: u16) -> Result<Vec<Result<AcceleratorReport, AcceleratorError>>, AcceleratorError> {
    let physical = accelerator::at(index).ok_or(AcceleratorError::NoFunction)?;
    let windows = physical.windows.as_ref().ok_or(AcceleratorError::NoFunction)?;
    if usize::from(vfs) > windows.registers.len() {
        return Err(AcceleratorError::NoFunction);
    }
    let config = physical.config().ok_or(AcceleratorError::NoFunction)?;
    physical.qm.with_lock(|qm| qm.enable_vfs(vfs, &config)).map_err(AcceleratorError::Qm)?;
    Ok((1..=vfs).map(|number| bring_up(index, physical, windows, number)).collect())
}

fn bring_up(index: usize, physical: &Accelerator, windows: &VirtualWindows, number: u16) -> Result<AcceleratorReport, AcceleratorError> {
    let (index, accelerator) = match find(index, number) {
        Some(known) => known,
        None => make(index, physical, windows, number)?,
    };
    let config = accelerator.config().ok_or(AcceleratorError::NoFunction)?;
    pci_core::enable_master(&config.ecam, config.rid);
    accelerator::connect(&accelerator.found, physical.found.function.rid, &accelerator.connection)?;
    accelerator::program_interrupts(&accelerator.found, accelerator.vectors)?;
    accelerator.qm.with_lock(|qm| qm.initialise().and_then(|()| qm.start())).map_err(AcceleratorError::Qm)?;
    accelerator.publish(index)
}

/// The function, if it was in use before.
fn find(physical: usize, number: u16) -> Option<(usize, &'static Accelerator)> {
    let is_it = |index: usize| accelerator::at(index).filter(|one| one.physical == Some((physical, number))).map(|one| (index, one));
    (0..accelerator::count()).find_map(is_it)
}

fn make(
    index: usize,
    physical: &Accelerator,
    windows: &VirtualWindows,
    number: u16,
) -> Result<(usize, &'static Accelerator), AcceleratorError> {
    let of = &physical.found.function;
    let sriov = &windows.offer.sriov;
    let rid = sriov.rid(of.rid, number).ok_or(AcceleratorError::NoFunction)?;
    let space = pci::config_space(physical.found.host).ok_or(AcceleratorError::NoFunction)?;
    // Ids of a virtual function are its physical one's to tell; the revision and class it shows itself.
    let class = space.read32(rid, 0x08);
    let function = Function { rid, vendor: of.vendor, device: sriov.device, revision: class as u8, class: class >> 8, is_endpoint: true };
    let found = Found { host: physical.found.host, function };
    let registers = *windows.registers.get(usize::from(number) - 1).ok_or(AcceleratorError::NoRegister(REGISTERS))?;
    let doorbells = windows.doorbells.get(usize::from(number) - 1).copied();
    let connection = accelerator::connection(accelerator::stream_of(&found)?)?;
    let vectors = accelerator::set_up_interrupts(&found, accelerator::count(), connection.addresses)?;
    let resources = Resources { registers, doorbells, connection, vectors, windows: None };
    let mut made = Accelerator::new(&found, physical.engine.kind(), Role::Virtual, resources)?;
    made.physical = Some((index, number));
    let made: &'static Accelerator = Box::leak(Box::new(made));
    Ok((accelerator::add(made), made))
}

/// Disables the virtual functions of an accelerator: their nodes go, their drivers stop, their streams abort.
///
/// # Errors
/// `Qm` with `VfsBusy` while one of their queues is open, and nothing was done; else the first error, after everything was tried.
pub fn disable_virtual(index: usize) -> Result<(), AcceleratorError> {
    let physical = accelerator::at(index).ok_or(AcceleratorError::NoFunction)?;
    let config = physical.config().ok_or(AcceleratorError::NoFunction)?;
    let functions: Vec<&Accelerator> = of(index).collect();
    let is_open =
        |one: &&Accelerator| one.qm.with_lock(|qm| qm.state() == QmState::Started && qm.available() != u32::from(qm.queue_count()));
    if functions.iter().any(is_open) {
        return Err(AcceleratorError::Qm(QmError::VfsBusy));
    }
    let mut result = Ok(());
    for one in &functions {
        one.unpublish();
        result = result.and(one.qm.with_lock(KernelQm::shutdown).map_err(AcceleratorError::Qm));
        if let Some(Err(error)) = smmu::with(|smmu| smmu.detach(one.connection.stream)) {
            result = result.and(Err(AcceleratorError::Smmu(error)));
        }
    }
    result.and(physical.qm.with_lock(|qm| qm.disable_vfs(&config, |_| false)).map_err(AcceleratorError::Qm))
}

/// The virtual functions of an accelerator that have been in use.
pub(crate) fn of(physical: usize) -> impl Iterator<Item = &'static Accelerator> {
    (0..accelerator::count()).filter_map(accelerator::at).filter(move |one| one.physical.is_some_and(|(of, _)| of == physical))
}

/// Runs a step of a physical function's driver that waits for its virtual ones.
pub(crate) fn awaiting_peers<T>(step: impl FnOnce() -> T) -> T {
    PEERS_ARE_AWAITED.store(true, Ordering::Relaxed);
    let result = step();
    PEERS_ARE_AWAITED.store(false, Ordering::Relaxed);
    result
}

/// Delivers what physical functions have told their virtual ones. Does nothing unless somebody waits for it, or while it is being done.
pub(crate) fn serve_peers() {
    if !PEERS_ARE_AWAITED.load(Ordering::Relaxed) || SERVING.swap(true, Ordering::Relaxed) {
        return;
    }
    for one in (0..accelerator::count()).filter_map(accelerator::at).filter(|one| one.physical.is_some()) {
        one.serve_physical();
    }
    SERVING.store(false, Ordering::Relaxed);
}

impl Accelerator {
    /// Takes a message of the physical function, if the driver is free; true if it was taken.
    fn serve_physical(&self) -> bool {
        let taken = self.qm.try_with_lock(|qm| if qm.state() == QmState::Down { Ok(None) } else { qm.handle_pf_message() });
        match taken {
            Some(Ok(message)) => message.is_some(),
            Some(Err(error)) => {
                defmt::error!("QM: virtual function, message: {}", defmt::Debug2Format(&error));
                true
            }
            None => false,
        }
    }
}

/// Answers the mailbox interrupt of a function; returns the open queues that a message took out of service.
pub(crate) fn message(index: usize, accelerator: &Accelerator) -> Vec<QueueHandle> {
    if accelerator.physical.is_some() {
        return if accelerator.serve_physical() { accelerator.handles() } else { Vec::new() };
    }
    let answered = awaiting_peers(|| {
        accelerator.qm.with_lock(|qm| qm.handle_vf_messages(|peer| defmt::debug!("QM {=usize}: {}", index, defmt::Debug2Format(&peer))))
    });
    if let Err(error) = answered {
        defmt::error!("QM: message of a virtual function: {}", defmt::Debug2Format(&error));
    }
    Vec::new()
}
