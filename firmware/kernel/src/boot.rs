//! From the boot stack to a kernel that can run processes, in the only order that works.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use alloc::vec::Vec;
use firmware_kerncore::bootargs;
use firmware_kerncore::frames::{FRAME_BYTES, FrameMap};
use firmware_kerncore::table::TableError;
use firmware_kerncore::tree::{Block, Machine, TreeError};
use hal::Pa;
use hal_aarch64::{SpinLock, pmu, timer};
use smmu_driver::{Features, SmmuError};
use uacce_abi::Program;

use crate::accelerator::{self, AcceleratorError, AcceleratorReport};
use crate::interrupts::{self, GicError, Purpose};
use crate::kernel_table::{self, MapDeviceError};
use crate::pci::Found;
use crate::{console, domain, memory, pci, recovery, smmu};

/// What whoever entered EL1 tells the kernel; all else is found in the device tree.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The device tree.
    pub tree: Pa,
    /// Code and constants of the image.
    pub shared: Range<usize>,
    /// What the kernel writes: data, boot stack, heap.
    pub data: Range<usize>,
    /// Programs that can be started by name.
    pub programs: &'static [Program],
}

/// The kernel cannot run here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BootError {
    /// No device tree, or a broken one.
    Tree(TreeError),
    /// It names no memory below the image.
    NoMemory,
    /// The kernel's own table could not be made.
    Table(TableError),
    /// It names no GICv3, or one out of reach.
    NoGic,
    /// The GIC does not answer.
    Gic(GicError),
    /// A device lies out of reach.
    Device(MapDeviceError),
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The machine, as the device tree has it.
    pub machine: Machine,
    /// The SMMU, if there is one: what it can do, or why it was left alone.
    pub smmu: Option<Result<Features, SmmuError>>,
    /// All PCI functions.
    pub functions: Vec<Found>,
    /// The accelerators.
    pub accelerators: Vec<Result<AcceleratorReport, (Found, AcceleratorError)>>,
}

/// A device tree is taken up to this length.
const TREE_BYTES_MAX: usize = 0x10_0000;

static SHARED_START: AtomicU64 = AtomicU64::new(0);
static SHARED_END: AtomicU64 = AtomicU64::new(0);
static PROGRAMS: SpinLock<&'static [Program]> = SpinLock::new(&[]);

/// Code and constants of the image: what processes may read without owning it.
pub(crate) fn shared_room() -> Range<u64> {
    SHARED_START.load(Ordering::Relaxed)..SHARED_END.load(Ordering::Relaxed)
}

/// Copies constants of the image.
///
/// # Panics
/// If the range leaves them.
pub(crate) fn copy_constants(at: Pa, into: &mut [u8]) {
    let room = shared_room();
    let end = at.0.checked_add(into.len() as u64);
    assert!(at.0 >= room.start && end.is_some_and(|end| end <= room.end), "not in the image");
    let from = core::ptr::with_exposed_provenance::<u8>(at.0 as usize);
    // SAFETY: inside the image's read-only room, mapped for the kernel's whole life, written by nobody.
    unsafe { core::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
}

/// The program of a name.
pub(crate) fn program(name: &str) -> Option<Program> {
    PROGRAMS.lock().iter().find(|program| program.name == name).copied()
}

/// The device tree's bytes.
fn tree_bytes(tree: Pa) -> Result<&'static [u8], TreeError> {
    if tree.0 == 0 || !tree.is_aligned(8) {
        return Err(TreeError::BadMagic);
    }
    let start = core::ptr::with_exposed_provenance::<u8>(tree.0 as usize);
    // SAFETY: RAM between 1 and 2 GiB is mapped; the loader wrote the tree before the kernel ran, and nobody writes there afterwards: the
    // tree's frames are reserved for good.
    let header = unsafe { core::slice::from_raw_parts(start, 8) };
    if header[..4] != [0xd0, 0x0d, 0xfe, 0xed] {
        return Err(TreeError::BadMagic);
    }
    let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
    if len > TREE_BYTES_MAX {
        return Err(TreeError::Truncated);
    }
    // SAFETY: as above, bounded.
    Ok(unsafe { core::slice::from_raw_parts(start, len) })
}

/// RAM that the kernel manages: the largest piece below the image.
fn managed(machine: &Machine, image_start: u64) -> Option<Block> {
    let below = machine.memory.iter().map(|block| {
        let end = (block.base + block.len_bytes).min(image_start) & !(FRAME_BYTES - 1);
        let base = block.base.next_multiple_of(FRAME_BYTES);
        Block { base, len_bytes: end.saturating_sub(base) }
    });
    below.max_by_key(|block| block.len_bytes).filter(|block| block.len_bytes > 0)
}

/// Brings the kernel up: its table, memory, interrupts, SMMU, buses, accelerators. Called once, on the boot core, interrupts masked.
///
/// # Errors
/// See [`BootError`]. An SMMU or accelerator that cannot be used is no error: it is in the report.
pub fn init(boot: &Boot) -> Result<Report, BootError> {
    timer::open_counters_to_el0();
    SHARED_START.store(boot.shared.start as u64, Ordering::Relaxed);
    SHARED_END.store(boot.shared.end as u64, Ordering::Relaxed);
    *PROGRAMS.lock() = boot.programs;

    let machine = Machine::parse(tree_bytes(boot.tree).map_err(BootError::Tree)?).map_err(BootError::Tree)?;
    if bootargs::value(&machine.bootargs, "count") == Some("1") {
        pmu::start();
    }
    let ram = managed(&machine, boot.shared.start.min(boot.data.start) as u64).ok_or(BootError::NoMemory)?;
    let mut frames = FrameMap::new(Pa(ram.base), ram.len_bytes);
    frames.reserve(boot.tree, machine.tree_bytes as u64);
    for block in &machine.reserved {
        frames.reserve(Pa(block.base), block.len_bytes);
    }
    memory::init(frames, Pa(ram.base), Pa(ram.base + ram.len_bytes));
    kernel_table::init(&[ram], &boot.shared, &boot.data).map_err(BootError::Table)?;

    if let Some(uart) = machine.uart {
        console::init(kernel_table::map_device(uart).map_err(BootError::Device)?);
    }
    let gic = machine.gic.ok_or(BootError::NoGic)?;
    let distributor = kernel_table::map_device(gic.distributor).map_err(BootError::Device)?;
    let redistributors = kernel_table::map_device(gic.redistributors).map_err(BootError::Device)?;
    interrupts::init(&gic, distributor, redistributors).map_err(BootError::Gic)?;

    let smmu = bring_up_smmu(&machine);
    pci::init(&machine);
    recovery::init(machine.device_reset.as_ref());
    let accelerators = accelerator::init(&machine);
    Ok(Report { functions: pci::functions(), smmu, accelerators, machine })
}

fn bring_up_smmu(machine: &Machine) -> Option<Result<Features, SmmuError>> {
    let node = machine.smmus.first()?;
    let registers = match kernel_table::map_device(node.registers) {
        Ok(registers) => registers,
        Err(error) => {
            defmt::error!("SMMU at {=u64:#x}: {}", node.registers.base, defmt::Debug2Format(&error));
            return None;
        }
    };
    let features = match smmu::init(registers) {
        Ok(features) => features,
        Err(error) => return Some(Err(error)),
    };
    if let Some(interrupt) = node.eventq {
        interrupts::enable(interrupt, Purpose::SmmuEvents);
    }
    if let Some(interrupt) = node.priq {
        interrupts::enable(interrupt, Purpose::SmmuPages);
    }
    if let Some(interrupt) = node.gerror {
        interrupts::enable(interrupt, Purpose::SmmuErrors);
    }
    match domain::init() {
        Ok(_) => Some(Ok(features)),
        Err(error) => Some(Err(error)),
    }
}
