//! From the boot entry to the payload, and what further cores become.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU64, Ordering};

use firmware_platform::{DTB_BASE, ENGINE_SGI, GICR_BASE};
use hal_aarch64::boot::{self, MAX_CORES};
use hal_aarch64::context::{El2Core, SPSR_EL1H_MASKED, enter_el1};
use hal_aarch64::gic::{self, IntId, REDISTRIBUTOR_BYTES, Redistributor};
use hal_aarch64::psci::Conduit;
use hal_aarch64::{GenericTimer, MmioWindow};

use crate::memory::{self, Tables};
use crate::{Image, core_setup, engine, lines, options, smc, state, trace};

/// One core's block, made by the core itself.
struct Block(UnsafeCell<MaybeUninit<El2Core>>);

// SAFETY: each core touches its own only.
unsafe impl Sync for Block {}

#[unsafe(link_section = ".bss.el2")]
static BLOCKS: [Block; MAX_CORES] = [const { Block(UnsafeCell::new(MaybeUninit::zeroed())) }; MAX_CORES];

/// The tables, for cores whose MMU is still off: plain words, no lock.
#[unsafe(link_section = ".bss.el2")]
static TABLES: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

/// The boot core: builds the machine that the device tree asks for and enters the payload.
///
/// # Panics
/// If there is no device tree at the agreed address, or `/silicon` asks for what does not exist.
pub fn primary(image: Image) -> ! {
    let tables = memory::build(&image);
    for (word, value) in TABLES.iter().zip([tables.ttbr0_el2, tables.vttbr, tables.vtcr]) {
        word.store(value, Ordering::Release);
    }
    prepare(&tables, 0);
    // SAFETY: this is the boot core, and the payload starts at the end of this function.
    let options = match unsafe { options::read() } {
        Ok(options) => options,
        Err(error) => panic!("device tree at {DTB_BASE:#x}: {error:?}"),
    };
    if options.payload.is_some() {
        (image.mute_log)();
        smc::IS_FOREIGN.store(true, Ordering::Relaxed);
    }
    state::configure(&image, &options);
    trace::begin(options.trace_level);
    defmt::info!(
        "silicon: revision {=u8:#x}, {=usize} host and {=usize} engine cores",
        options.revision,
        options.host_cores,
        options.engine_cores
    );
    start_engine_cores(options.host_cores, options.engine_cores);
    core_setup::guest(&tables);
    let entry = options.payload.unwrap_or(image.kernel_entry);
    // SAFETY: this core is set up for a guest and nothing on its stack is needed any more.
    unsafe { enter_el1(entry, SPSR_EL1H_MASKED, [DTB_BASE, 0, 0, 0], boot::el2_stack(0).end) }
}

/// A further core, started by PSCI: an engine core, or a host core on its way to EL1.
///
/// # Panics
/// If the GIC does not wake.
pub fn secondary(core: usize) -> ! {
    let [ttbr0_el2, vttbr, vtcr] = [0, 1, 2].map(|i: usize| TABLES[i].load(Ordering::Acquire));
    let tables = Tables { ttbr0_el2, vttbr, vtcr };
    prepare(&tables, core);
    if core >= state::host_cores() {
        core_setup::engine();
        let redistributor = redistributor(core);
        redistributor.wake(&GenericTimer).expect("the redistributor wakes");
        redistributor.enable(IntId(u32::from(ENGINE_SGI)), 0);
        gic::enable_cpu_interface();
        engine::serve();
    }
    core_setup::guest(&tables);
    let (entry, context) = smc::start_of(core);
    // SAFETY: as for the boot core.
    unsafe { enter_el1(entry, SPSR_EL1H_MASKED, [context, 0, 0, 0], boot::el2_stack(core).end) }
}

fn prepare(tables: &Tables, core: usize) {
    let block = BLOCKS[core].0.get().cast::<El2Core>();
    // SAFETY: this core's own block, not in use yet.
    unsafe { block.write(El2Core::new(core as u64, core_setup::guest_cptr())) };
    // SAFETY: a static of this core.
    unsafe { core_setup::common(tables, block) };
}

fn redistributor(core: usize) -> Redistributor<MmioWindow> {
    let base = GICR_BASE + core as u64 * REDISTRIBUTOR_BYTES;
    // SAFETY: EL2's table maps the redistributors identically as device memory, for ever.
    Redistributor::new(unsafe { MmioWindow::new(base as usize, REDISTRIBUTOR_BYTES) })
}

/// Starts the engine cores, numbered after the host cores.
fn start_engine_cores(host_cores: usize, engine_cores: usize) {
    if engine_cores == 0 {
        return;
    }
    // SGIs of group 1 need the distributor on; the payload writes the same later.
    lines::distributor().enable(&GenericTimer).expect("the distributor answers");
    for core in host_cores..host_cores + engine_cores {
        if let Err(error) = Conduit::Smc.cpu_on(core as u64, boot::el2_secondary_entry(), core as u64) {
            panic!("engine core {core} does not start: {error:?}");
        }
    }
}
