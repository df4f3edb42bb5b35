//! The machine, as its device tree describes it. Nothing about a device is known before this was read.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use fdt::Fdt;
use fdt::node::FdtNode;

/// A register block or a piece of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// First address.
    pub base: u64,
    /// Length in bytes.
    pub len_bytes: u64,
}

/// An interrupt: its INTID and its trigger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interrupt {
    /// INTID.
    pub intid: u32,
    /// True for an edge, false for a level.
    pub edge: bool,
}

/// An `arm,smmu-v3` node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Smmu {
    /// Registers.
    pub registers: Block,
    /// Handle by which `iommu-map` names it.
    pub phandle: u32,
    /// Event queue interrupt.
    pub eventq: Option<Interrupt>,
    /// PRI queue interrupt.
    pub priq: Option<Interrupt>,
    /// Global error interrupt.
    pub gerror: Option<Interrupt>,
    /// Interrupt of CMD_SYNC.
    pub cmdq_sync: Option<Interrupt>,
    /// Its structures are coherent with the CPU's caches.
    pub coherent: bool,
}

/// A window of a host bridge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Address on the PCI side.
    pub bus_base: u64,
    /// Address on the CPU side.
    pub cpu_base: u64,
    /// Length in bytes.
    pub len_bytes: u64,
    /// Addresses may need 64 bits.
    pub is_64bit: bool,
    /// Reads may be prefetched.
    pub prefetchable: bool,
}

/// A stretch of a map from requester IDs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RidMap {
    /// First requester ID.
    pub rid_base: u32,
    /// Handle of the target.
    pub phandle: u32,
    /// What the first requester ID becomes.
    pub output_base: u32,
    /// Number of requester IDs.
    pub len: u32,
}

impl RidMap {
    /// What a requester ID becomes, if it is in this stretch.
    pub fn lookup(&self, rid: u32) -> Option<u32> {
        let offset = rid.checked_sub(self.rid_base)?;
        (offset < self.len).then(|| self.output_base.wrapping_add(offset))
    }
}

/// A `pci-host-ecam-generic` node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bridge {
    /// Configuration space.
    pub ecam: Block,
    /// First bus.
    pub first_bus: u8,
    /// Last bus.
    pub last_bus: u8,
    /// Memory windows.
    pub windows: Vec<Window>,
    /// Requester ID → StreamID.
    pub iommu_map: Vec<RidMap>,
    /// Requester ID → MSI controller.
    pub msi_map: Vec<RidMap>,
}

/// An `arm,gic-v2m-frame` node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MsiFrame {
    /// The frame.
    pub registers: Block,
    /// Handle by which `msi-map` names it.
    pub phandle: u32,
    /// First INTID.
    pub first_intid: u32,
    /// Number of INTIDs.
    pub count: u32,
}

/// An `arm,gic-v3` node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gic {
    /// Distributor.
    pub distributor: Block,
    /// Redistributors.
    pub redistributors: Block,
}

/// A device reset service: see [`hal::device_reset`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceReset {
    /// Conduit: "smc" or "hvc".
    pub method: String,
    /// Function identifier.
    pub function: u32,
}

/// All that the kernel asks the tree for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Machine {
    /// RAM.
    pub memory: Vec<Block>,
    /// Parts of it that are taken: `/reserved-memory`, the tree's reservation block, the tree itself is the caller's to add.
    pub reserved: Vec<Block>,
    /// Interrupt controller.
    pub gic: Option<Gic>,
    /// SMMUs.
    pub smmus: Vec<Smmu>,
    /// Host bridges.
    pub bridges: Vec<Bridge>,
    /// MSI frames.
    pub msi_frames: Vec<MsiFrame>,
    /// First PL011.
    pub uart: Option<Block>,
    /// `/chosen` bootargs.
    pub bootargs: String,
    /// `/psci` method.
    pub psci_method: Option<String>,
    /// The platform's reset of devices.
    pub device_reset: Option<DeviceReset>,
    /// `/psci` node or not, the machine has this many CPUs.
    pub cpus: usize,
    /// Length of the tree in bytes.
    pub tree_bytes: usize,
}

/// A device tree cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TreeError {
    /// No tree at all: wrong magic.
    BadMagic,
    /// Shorter than it says.
    Truncated,
}

fn cells(value: &[u8]) -> impl Iterator<Item = u32> + '_ {
    value.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

fn word(node: &FdtNode<'_, '_>, name: &str) -> Option<u32> {
    cells(node.property(name)?.value).next()
}

fn blocks(node: &FdtNode<'_, '_>) -> Vec<Block> {
    let Some(regions) = node.reg() else { return Vec::new() };
    regions.map(|r| Block { base: r.starting_address.addr() as u64, len_bytes: r.size.unwrap_or(0) as u64 }).collect()
}

fn compatible(node: &FdtNode<'_, '_>, wanted: &str) -> bool {
    node.compatible().is_some_and(|list| list.all().any(|name| name == wanted))
}

fn is_enabled(node: &FdtNode<'_, '_>) -> bool {
    node.property("status").and_then(|p| p.as_str()).is_none_or(|status| status == "okay" || status == "ok")
}

/// Decodes GIC interrupt cells: kind (0 SPI, 1 PPI), number, trigger (1 and 2 are edges).
fn interrupts(node: &FdtNode<'_, '_>) -> Vec<Interrupt> {
    let Some(property) = node.property("interrupts") else { return Vec::new() };
    let cells: Vec<u32> = cells(property.value).collect();
    let decode = |c: &[u32]| Interrupt { intid: c[1] + if c[0] == 0 { 32 } else { 16 }, edge: matches!(c[2] & 0xf, 1 | 2) };
    cells.chunks_exact(3).map(decode).collect()
}

fn smmu(node: &FdtNode<'_, '_>) -> Option<Smmu> {
    let registers = *blocks(node).first()?;
    let interrupts = interrupts(node);
    let names = node.property("interrupt-names").and_then(|p| p.as_str()).unwrap_or("");
    let names: Vec<&str> = names.split('\0').filter(|name| !name.is_empty()).collect();
    let named = |wanted| interrupts.get(names.iter().position(|name| *name == wanted)?).copied();
    Some(Smmu {
        registers,
        phandle: word(node, "phandle").unwrap_or(0),
        eventq: named("eventq"),
        priq: named("priq"),
        gerror: named("gerror"),
        cmdq_sync: named("cmdq-sync"),
        coherent: node.property("dma-coherent").is_some(),
    })
}

fn rid_map(node: &FdtNode<'_, '_>, name: &str) -> Vec<RidMap> {
    let Some(property) = node.property(name) else { return Vec::new() };
    let cells: Vec<u32> = cells(property.value).collect();
    cells.chunks_exact(4).map(|c| RidMap { rid_base: c[0], phandle: c[1], output_base: c[2], len: c[3] }).collect()
}

/// Decodes `ranges`: three cells of PCI address, two of CPU address, two of length.
fn windows(node: &FdtNode<'_, '_>) -> Vec<Window> {
    let Some(property) = node.property("ranges") else { return Vec::new() };
    let cells: Vec<u32> = cells(property.value).collect();
    let wide = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let memory = cells.chunks_exact(7).filter(|c| c[0] >> 24 & 3 >= 2);
    memory
        .map(|c| Window {
            bus_base: wide(c[1], c[2]),
            cpu_base: wide(c[3], c[4]),
            len_bytes: wide(c[5], c[6]),
            is_64bit: c[0] >> 24 & 3 == 3,
            prefetchable: c[0] >> 30 & 1 != 0,
        })
        .collect()
}

fn bridge(node: &FdtNode<'_, '_>) -> Option<Bridge> {
    let ecam = *blocks(node).first()?;
    let range: Vec<u32> = node.property("bus-range").map(|p| cells(p.value).collect()).unwrap_or_default();
    let room = (ecam.len_bytes >> 20).clamp(1, 256) as u32;
    let first = range.first().copied().unwrap_or(0).min(255);
    let last = range.get(1).copied().unwrap_or(255).min(first + room - 1).min(255);
    Some(Bridge {
        ecam,
        first_bus: first as u8,
        last_bus: last as u8,
        windows: windows(node),
        iommu_map: rid_map(node, "iommu-map"),
        msi_map: rid_map(node, "msi-map"),
    })
}

fn msi_frame(node: &FdtNode<'_, '_>) -> Option<MsiFrame> {
    Some(MsiFrame {
        registers: *blocks(node).first()?,
        phandle: word(node, "phandle").unwrap_or(0),
        first_intid: word(node, "arm,msi-base-spi")?,
        count: word(node, "arm,msi-num-spis")?,
    })
}

impl Machine {
    /// Reads a tree.
    ///
    /// # Errors
    /// See [`TreeError`].
    pub fn parse(tree: &[u8]) -> Result<Self, TreeError> {
        let fdt = Fdt::new(tree).map_err(|error| match error {
            fdt::FdtError::BufferTooSmall => TreeError::Truncated,
            _ => TreeError::BadMagic,
        })?;
        let mut machine = Self { tree_bytes: fdt.total_size(), ..Self::default() };
        if fdt.total_size() > tree.len() {
            return Err(TreeError::Truncated);
        }
        let nodes = fdt.all_nodes().filter(is_enabled);
        for node in nodes {
            machine.take(&node);
        }
        if let Some(reserved) = fdt.find_node("/reserved-memory") {
            machine.reserved.extend(reserved.children().flat_map(|child| blocks(&child)));
        }
        machine.bootargs = fdt.chosen().bootargs().unwrap_or("").to_string();
        machine.cpus = fdt.cpus().count();
        Ok(machine)
    }

    fn take(&mut self, node: &FdtNode<'_, '_>) {
        if node.property("device_type").and_then(|p| p.as_str()) == Some("memory") {
            self.memory.extend(blocks(node));
        } else if compatible(node, "arm,gic-v3") {
            if let [distributor, redistributors, ..] = blocks(node)[..] {
                self.gic = Some(Gic { distributor, redistributors });
            }
        } else if compatible(node, "arm,smmu-v3") {
            self.smmus.extend(smmu(node));
        } else if compatible(node, "pci-host-ecam-generic") {
            self.bridges.extend(bridge(node));
        } else if compatible(node, "arm,gic-v2m-frame") {
            self.msi_frames.extend(msi_frame(node));
        } else if compatible(node, "arm,pl011") && self.uart.is_none() {
            self.uart = blocks(node).first().copied();
        } else if compatible(node, hal::device_reset::COMPATIBLE) {
            let method = node.property("method").and_then(|p| p.as_str()).map(ToString::to_string);
            self.device_reset = method.zip(word(node, "function-id")).map(|(method, function)| DeviceReset { method, function });
        } else if compatible(node, "arm,psci-1.0") || compatible(node, "arm,psci-0.2") {
            self.psci_method = node.property("method").and_then(|p| p.as_str()).map(ToString::to_string);
        }
    }

    /// The SMMU and the StreamID of a function of a bridge.
    pub fn stream_of(&self, bridge: &Bridge, rid: u16) -> Option<(&Smmu, u32)> {
        let (map, stream) = bridge.iommu_map.iter().find_map(|map| Some((map, map.lookup(u32::from(rid))?)))?;
        Some((self.smmus.iter().find(|smmu| smmu.phandle == map.phandle)?, stream))
    }

    /// The MSI frame of a function of a bridge.
    pub fn msi_frame_of(&self, bridge: &Bridge, rid: u16) -> Option<&MsiFrame> {
        let map = bridge.msi_map.iter().find(|map| map.lookup(u32::from(rid)).is_some())?;
        self.msi_frames.iter().find(|frame| frame.phandle == map.phandle)
    }
}

#[cfg(test)]
mod tests;
