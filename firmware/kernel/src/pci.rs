//! PCI: the host bridges of the device tree, their functions, and what those get: addresses, bus mastering, interrupts.

use alloc::vec::Vec;

use firmware_kerncore::pci::{self, BarDemand, ConfigSpace, Function};
use firmware_kerncore::ranges::RangeAllocator;
use firmware_kerncore::sriov::{self, Sriov};
use firmware_kerncore::tree::{Block, Bridge, Machine};
use hal::{Pa, RegisterWindow, StreamId};
use hal_aarch64::{MmioWindow, SpinLock};

use crate::kernel_table::{self, MapDeviceError};

/// Configuration space behind an ECAM: 4 KiB per function from the bridge's first bus on.
#[derive(Clone, Copy, Debug)]
pub struct Ecam {
    window: MmioWindow,
    first_bus: u8,
}

impl Ecam {
    fn offset(&self, function: u16, offset: u16) -> Option<u64> {
        let bus = (function >> 8).checked_sub(u16::from(self.first_bus))?;
        let at = u64::from(bus) << 20 | u64::from(function & 0xff) << 12 | u64::from(offset & 0xffc);
        (at + 4 <= self.window.len_bytes()).then_some(at)
    }
}

impl ConfigSpace for Ecam {
    fn read32(&self, function: u16, offset: u16) -> u32 {
        self.offset(function, offset).map_or(!0, |at| self.window.read32(at))
    }
    fn write32(&self, function: u16, offset: u16, value: u32) {
        if let Some(at) = self.offset(function, offset) {
            self.window.write32(at, value);
        }
    }
}

/// Configuration space of one function, as its driver sees it.
#[derive(Clone, Copy, Debug)]
pub struct FunctionSpace {
    /// The bridge's space.
    pub ecam: Ecam,
    /// The function.
    pub rid: u16,
}

impl hal::ConfigSpace for FunctionSpace {
    fn read32(&self, offset: u16) -> u32 {
        self.ecam.read32(self.rid, offset)
    }
    fn write32(&self, offset: u16, value: u32) {
        self.ecam.write32(self.rid, offset, value);
    }
}

/// A memory window of a bridge, and what of it is free.
#[derive(Debug)]
struct Room {
    is_64bit: bool,
    prefetchable: bool,
    cpu_minus_bus: u64,
    free: RangeAllocator,
}

/// A bridge in use.
#[derive(Debug)]
struct Host {
    bridge: Bridge,
    ecam: Ecam,
    rooms: Vec<Room>,
    functions: Vec<Function>,
}

static HOSTS: SpinLock<Vec<Host>> = SpinLock::new(Vec::new());

/// A function of a bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Which bridge, in the order of the device tree.
    pub host: usize,
    /// The function.
    pub function: Function,
}

/// A base address register with its address.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// What the register demanded.
    pub demand: BarDemand,
    /// Where the CPU finds it.
    pub base: Pa,
}

/// A function could not be brought up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FunctionError {
    /// There is no such bridge.
    NoHost,
    /// No window has room for a register.
    NoRoom {
        /// The register's index.
        bar: u8,
        /// What it wants, in bytes.
        len_bytes: u64,
    },
    /// It lies where the kernel cannot map it.
    Unmappable(MapDeviceError),
}

/// Takes the bridges over and finds their functions.
pub(crate) fn init(machine: &Machine) {
    let mut hosts = HOSTS.lock();
    for bridge in &machine.bridges {
        let buses = u64::from(bridge.last_bus - bridge.first_bus) + 1;
        let registers = Block { base: bridge.ecam.base, len_bytes: bridge.ecam.len_bytes.min(buses << 20) };
        let window = match kernel_table::map_device(registers) {
            Ok(window) => window,
            Err(error) => {
                defmt::warn!("host bridge at {=u64:#x} left alone: {}", bridge.ecam.base, defmt::Debug2Format(&error));
                continue;
            }
        };
        let ecam = Ecam { window, first_bus: bridge.first_bus };
        let is_reachable = |w: &&firmware_kerncore::tree::Window| w.cpu_base + w.len_bytes <= 1 << kernel_table::VA_BITS;
        let rooms = bridge.windows.iter().filter(is_reachable).map(|window| Room {
            is_64bit: window.is_64bit,
            prefetchable: window.prefetchable,
            cpu_minus_bus: window.cpu_base.wrapping_sub(window.bus_base),
            free: RangeAllocator::new(window.bus_base, window.bus_base + window.len_bytes),
        });
        let rooms = rooms.collect();
        // Bridges behind the bridge are not entered: their buses have no numbers yet.
        let functions = pci::enumerate(&ecam, bridge.first_bus, bridge.first_bus);
        hosts.push(Host { bridge: bridge.clone(), ecam, rooms, functions });
    }
}

/// All functions found.
pub fn functions() -> Vec<Found> {
    let hosts = HOSTS.lock();
    let of_host = |(host, entry): (usize, &Host)| -> Vec<Found> {
        entry.functions.iter().map(|function| Found { host, function: function.clone() }).collect()
    };
    hosts.iter().enumerate().flat_map(of_host).collect()
}

/// The configuration space of a bridge.
pub fn config_space(host: usize) -> Option<Ecam> {
    HOSTS.lock().get(host).map(|host| host.ecam)
}

/// Gives every memory register of a function an address and turns decoding and bus mastering on.
///
/// # Errors
/// `NoHost`, `NoRoom`; registers before the one that failed keep their addresses, decoding stays off.
pub fn bring_up(found: &Found) -> Result<Vec<Bar>, FunctionError> {
    let mut hosts = HOSTS.lock();
    let host = hosts.get_mut(found.host).ok_or(FunctionError::NoHost)?;
    let rid = found.function.rid;
    let mut bars = Vec::new();
    for demand in pci::bar_demands(&host.ecam, rid) {
        let no_room = FunctionError::NoRoom { bar: demand.index, len_bytes: demand.len_bytes };
        let (bus, cpu) = place(&mut host.rooms, &demand, demand.len_bytes).ok_or(no_room)?;
        pci::set_bar(&host.ecam, rid, &demand, bus);
        bars.push(Bar { demand, base: Pa(cpu) });
    }
    pci::enable(&host.ecam, rid);
    Ok(bars)
}

/// What a function offers as virtual functions, and where their registers lie: of all of them in a row, from the first one's on.
#[derive(Clone, Debug)]
pub struct VirtualFunctions {
    /// The offer.
    pub sriov: Sriov,
    /// The first function's registers.
    pub bars: Vec<Bar>,
}

/// Finds a function's offer of virtual functions and gives their registers addresses, those of all that there can be. `None` if it makes none.
///
/// # Errors
/// As for [`bring_up`].
pub fn place_virtual(found: &Found) -> Result<Option<VirtualFunctions>, FunctionError> {
    let mut hosts = HOSTS.lock();
    let host = hosts.get_mut(found.host).ok_or(FunctionError::NoHost)?;
    let rid = found.function.rid;
    let Some(sriov) = sriov::probe(&host.ecam, rid) else { return Ok(None) };
    let mut bars = Vec::new();
    for demand in &sriov.bars {
        let len_bytes = demand.len_bytes * u64::from(sriov.total);
        let (bus, cpu) = place(&mut host.rooms, demand, len_bytes).ok_or(FunctionError::NoRoom { bar: demand.index, len_bytes })?;
        sriov::set_bar(&host.ecam, rid, &sriov, demand, bus);
        bars.push(Bar { demand: *demand, base: Pa(cpu) });
    }
    Ok(Some(VirtualFunctions { sriov, bars }))
}

/// Finds room for a register: a wide prefetchable one prefers the window of its kind, and takes any other that is not stricter than it.
fn place(rooms: &mut [Room], demand: &BarDemand, len_bytes: u64) -> Option<(u64, u64)> {
    let fits = |room: &Room| (demand.is_64bit || !room.is_64bit) && (demand.prefetchable || !room.prefetchable);
    let is_kind = |room: &Room| room.is_64bit == demand.is_64bit && room.prefetchable == demand.prefetchable;
    let order: Vec<usize> = (0..rooms.len())
        .filter(|i| is_kind(&rooms[*i]))
        .chain((0..rooms.len()).filter(|i| !is_kind(&rooms[*i]) && fits(&rooms[*i])))
        .collect();
    order.into_iter().find_map(|index| {
        let room = &mut rooms[index];
        let bus = room.free.alloc(len_bytes, demand.len_bytes.max(4096))?;
        Some((bus, bus.wrapping_add(room.cpu_minus_bus)))
    })
}

/// Maps a register for the kernel: `len_bytes` from its beginning, at most its length.
///
/// # Errors
/// `Unmappable`.
pub fn map_bar(bar: &Bar, len_bytes: u64) -> Result<MmioWindow, FunctionError> {
    let registers = Block { base: bar.base.0, len_bytes: len_bytes.min(bar.demand.len_bytes) };
    kernel_table::map_device(registers).map_err(FunctionError::Unmappable)
}

/// The StreamID of a function, if it is behind the kernel's SMMU.
pub fn stream_of(machine: &Machine, found: &Found) -> Option<StreamId> {
    let hosts = HOSTS.lock();
    let (smmu, stream) = machine.stream_of(&hosts.get(found.host)?.bridge, found.function.rid)?;
    machine.smmus.first().is_some_and(|first| first == smmu).then_some(StreamId(stream))
}

/// The bridge's entry of the device tree.
pub fn bridge_of(found: &Found) -> Option<Bridge> {
    HOSTS.lock().get(found.host).map(|host| host.bridge.clone())
}
