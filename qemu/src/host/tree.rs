//! The device tree: dumped from QEMU once per machine line, then edited into what the machine with our silicon looks like.
//!
//! One path for every payload. EL2 reads `/silicon`; the EL1 software, ours or Linux, reads the rest.

use super::complaint::{Complaint, Outcome};
use super::machine::{Machine, find_qemu};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node, Property, ToPropertyValue};
use firmware_platform as platform;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Interrupt specifier of a GIC: shared peripheral interrupt, rising edge.
const SPI: u32 = 0;
const EDGE_RISING: u32 = 1;
/// Nodes of QEMU's tree that the EL1 software must not see beside our silicon, by the word before the `@`.
const HIDDEN: [&str; 6] = ["pcie", "smmuv3", "virtio_mmio", "flash", "fw-cfg", "platform-bus"];
/// `ranges` flags (PCI bus binding): 32-bit memory, and 64-bit prefetchable memory.
const PCI_MEM32: u32 = 0x0200_0000;
const PCI_MEM64_PREFETCHABLE: u32 = 0x4300_0000;

/// What the device tree says beyond the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boot {
    /// `/chosen bootargs`.
    pub bootargs: String,
    /// Entry point of a foreign EL1 payload; without it the image's own kernel runs.
    pub payload: Option<u64>,
    /// First and one-past-last guest physical address of an initial RAM file system.
    pub initrd: Option<(u64, u64)>,
}

/// Makes the device tree of one run.
///
/// # Errors
/// QEMU is missing or does not dump its tree; the tree lacks a node that the edit starts from.
pub fn make(machine: &Machine, boot: &Boot) -> Outcome<Vec<u8>> {
    edit(&dumped(machine)?, machine, boot)
}

/// Returns QEMU's own tree for this machine, from the cache where it can.
fn dumped(machine: &Machine) -> Outcome<Vec<u8>> {
    let qemu = find_qemu()?;
    let Some(directory) = cache_directory() else { return dump(&qemu, machine) };
    let cached = directory.join(format!("virt-{:016x}.dtb", cache_key(&qemu, machine)));
    if let Ok(bytes) = std::fs::read(&cached)
        && Fdt::new(&bytes).is_ok()
    {
        return Ok(bytes);
    }
    let bytes = dump(&qemu, machine)?;
    // A cache that cannot be written costs the next run 40 ms, no more.
    let _ = store(&directory, &cached, &bytes);
    Ok(bytes)
}

/// Writes beside and renames, so that two runners at once never read half a tree.
fn store(directory: &Path, file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let mut beside = tempfile::NamedTempFile::new_in(directory)?;
    std::io::Write::write_all(&mut beside, bytes)?;
    beside.persist(file)?;
    Ok(())
}

/// The per-user cache directory; none where the environment names no home.
fn cache_directory() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache"))).map(|cache| cache.join("accelerator-soc"))
}

/// One key per QEMU build and machine line. The file's identity stands for the version: it changes with every package.
fn cache_key(qemu: &Path, machine: &Machine) -> u64 {
    let mut hasher = DefaultHasher::new();
    qemu.hash(&mut hasher);
    if let Ok(data) = std::fs::metadata(qemu) {
        data.len().hash(&mut hasher);
        data.modified().ok().hash(&mut hasher);
    }
    machine.line().hash(&mut hasher);
    hasher.finish()
}

fn dump(qemu: &Path, machine: &Machine) -> Outcome<Vec<u8>> {
    let file = tempfile::NamedTempFile::new().map_err(|error| Complaint::io("cannot make a temporary file for the device tree", &error))?;
    let output = Command::new(qemu)
        .args(machine.dump_words(file.path())?)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Complaint::io(format!("cannot start {}", qemu.display()), &error))?;
    let bytes = std::fs::read(file.path()).map_err(|error| Complaint::io("cannot read the device tree that QEMU dumped", &error))?;
    if !output.status.success() || bytes.is_empty() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(Complaint::new(format!("QEMU did not dump its device tree: {}", reason.trim())));
    }
    Ok(bytes)
}

/// Edits QEMU's tree into the one that the guest gets.
fn edit(dumped: &[u8], machine: &Machine, boot: &Boot) -> Outcome<Vec<u8>> {
    let fdt = Fdt::new(dumped).map_err(|error| Complaint::new(format!("QEMU's device tree does not parse: {error}")))?;
    let mut tree = DeviceTree::from_fdt(&fdt);
    edit_chosen(&mut tree, boot)?;
    end_memory_below_image(&mut tree)?;
    if !machine.bare {
        hide_qemu_devices(&mut tree);
        drop_engine_cores(&mut tree, machine)?;
        add_silicon_devices(&mut tree, machine)?;
        tree.root.add_child(device_reset_node());
        tree.root.add_child(silicon_node(machine, boot));
    }
    Ok(tree.to_dtb())
}

fn edit_chosen(tree: &mut DeviceTree, boot: &Boot) -> Outcome<()> {
    let chosen = child_mut(&mut tree.root, "chosen")?;
    // Random seeds would make two runs differ.
    chosen.remove_property("rng-seed");
    chosen.remove_property("kaslr-seed");
    set(chosen, "bootargs", boot.bootargs.as_str());
    if let Some((start, end)) = boot.initrd {
        set(chosen, "linux,initrd-start", start);
        set(chosen, "linux,initrd-end", end);
    }
    Ok(())
}

fn end_memory_below_image(tree: &mut DeviceTree) -> Outcome<()> {
    let bytes = platform::IMAGE_BASE - platform::RAM_BASE;
    set(child_mut(&mut tree.root, &format!("memory@{:x}", platform::RAM_BASE))?, "reg", wide(&[platform::RAM_BASE, bytes]));
    Ok(())
}

fn hide_qemu_devices(tree: &mut DeviceTree) {
    let hidden: Vec<String> =
        tree.root.children().filter(|node| HIDDEN.contains(&node.name_without_address())).map(|node| node.name().to_owned()).collect();
    for name in hidden {
        tree.root.remove_child(&name);
    }
}

fn drop_engine_cores(tree: &mut DeviceTree, machine: &Machine) -> Outcome<()> {
    let cpus = child_mut(&mut tree.root, "cpus")?;
    cpus.remove_child("cpu-map");
    for core in machine.host_cores..machine.cpus() {
        let name = format!("cpu@{core:x}");
        cpus.remove_child(&name).ok_or_else(|| lacks(&name))?;
    }
    Ok(())
}

fn add_silicon_devices(tree: &mut DeviceTree, machine: &Machine) -> Outcome<()> {
    let first_free = highest_phandle(&tree.root) + 1;
    let (smmu, msi_frame) = (first_free, first_free + 1);

    let gic = format!("intc@{:x}", platform::GICD_BASE);
    let gic = child_mut(&mut tree.root, &gic)?;
    let its: Vec<String> = gic.children().filter(|node| node.name_without_address() == "its").map(|node| node.name().to_owned()).collect();
    for name in its {
        gic.remove_child(&name);
    }
    gic.add_child(msi_frame_node(msi_frame));
    tree.root.add_child(smmu_node(smmu));
    let mut bridge = bridge_node(smmu, msi_frame);
    if machine.smmu_profile == "atspri" {
        // Requests and messages of ATS pass the host bridge.
        set(&mut bridge, "ats-supported", [0u8; 0]);
    }
    tree.root.add_child(bridge);
    Ok(())
}

fn msi_frame_node(phandle: u32) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new_unchecked(format!("v2m@{:x}", platform::MSI_FRAME_BASE));
    set(&mut node, "compatible", "arm,gic-v2m-frame");
    set(&mut node, "msi-controller", [0u8; 0]);
    set(&mut node, "reg", wide(&[platform::MSI_FRAME_BASE, platform::MSI_FRAME_BYTES]));
    set(&mut node, "arm,msi-base-spi", platform::MSI_BASE_INTID);
    set(&mut node, "arm,msi-num-spis", platform::MSI_COUNT);
    set(&mut node, "phandle", phandle);
    node
}

fn smmu_node(phandle: u32) -> DeviceTreeNode {
    let lines = [
        ("eventq", platform::SMMU_EVENTQ_INTID),
        ("priq", platform::SMMU_PRIQ_INTID),
        ("gerror", platform::SMMU_GERROR_INTID),
        ("cmdq-sync", platform::SMMU_CMDQ_SYNC_INTID),
    ];
    let mut node = DeviceTreeNode::new_unchecked(format!("smmu@{:x}", platform::SMMU_BASE));
    set(&mut node, "compatible", "arm,smmu-v3");
    set(&mut node, "reg", wide(&[platform::SMMU_BASE, platform::SMMU_BYTES]));
    set(&mut node, "interrupts", lines.iter().flat_map(|(_, intid)| [SPI, intid - platform::SPI_BASE, EDGE_RISING]).collect::<Vec<u32>>());
    set(&mut node, "interrupt-names", lines.map(|(name, _)| name).to_vec());
    set(&mut node, "dma-coherent", [0u8; 0]);
    set(&mut node, "#iommu-cells", 1u32);
    set(&mut node, "phandle", phandle);
    node
}

fn bridge_node(smmu: u32, msi_frame: u32) -> DeviceTreeNode {
    let window = |flags: u32, bus: u64, cpu: u64, bytes: u64| {
        let mut cells = vec![flags];
        cells.extend(wide(&[bus, cpu, bytes]));
        cells
    };
    let mut ranges = window(PCI_MEM32, platform::PCI_MEM32_BUS, platform::PCI_MEM32_BASE, platform::PCI_MEM32_BYTES);
    ranges.extend(window(PCI_MEM64_PREFETCHABLE, platform::PCI_MEM64_BASE, platform::PCI_MEM64_BASE, platform::PCI_MEM64_BYTES));
    let mut node = DeviceTreeNode::new_unchecked(format!("pcie@{:x}", platform::ECAM_BASE));
    set(&mut node, "compatible", "pci-host-ecam-generic");
    set(&mut node, "device_type", "pci");
    set(&mut node, "reg", wide(&[platform::ECAM_BASE, platform::ECAM_BYTES]));
    set(&mut node, "ranges", ranges);
    set(&mut node, "#address-cells", 3u32);
    set(&mut node, "#size-cells", 2u32);
    set(&mut node, "bus-range", [0u32, 0]);
    set(&mut node, "linux,pci-domain", 0u32);
    set(&mut node, "iommu-map", [0u32, smmu, 0, 0x1_0000]);
    set(&mut node, "msi-map", [0u32, msi_frame, 0, 0x1_0000]);
    set(&mut node, "dma-coherent", [0u8; 0]);
    node
}

fn device_reset_node() -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new_unchecked("device-reset");
    set(&mut node, "compatible", hal::device_reset::COMPATIBLE);
    set(&mut node, "method", "smc");
    set(&mut node, "function-id", platform::DEVICE_RESET);
    node
}

fn silicon_node(machine: &Machine, boot: &Boot) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new_unchecked("silicon");
    set(&mut node, "compatible", "soc,silicon");
    set(&mut node, "revision", machine.revision.id());
    set(&mut node, "host-cores", machine.host_cores);
    set(&mut node, "engine-cores", machine.engine_cores);
    set(&mut node, "trace-level", machine.trace_level);
    set(&mut node, "tlb-policy", machine.tlb_policy.as_str());
    set(&mut node, "smmu-profile", machine.smmu_profile.as_str());
    if let Some(bits) = machine.ssid_bits {
        set(&mut node, "ssid-bits", bits);
    }
    if machine.has_dummy() {
        set(&mut node, "dummy-engine", 1u32);
    }
    if let Some(entry) = boot.payload {
        set(&mut node, "payload", entry);
    }
    node
}

fn highest_phandle(node: &DeviceTreeNode) -> u32 {
    let own = node.property("phandle").and_then(|property| <[u8; 4]>::try_from(property.value()).ok()).map_or(0, u32::from_be_bytes);
    node.children().map(highest_phandle).fold(own, u32::max)
}

/// Splits 64-bit numbers into cells, high half first.
fn wide(numbers: &[u64]) -> Vec<u32> {
    numbers.iter().flat_map(|number| [(number >> 32) as u32, (number & 0xffff_ffff) as u32]).collect()
}

fn set<T: ToPropertyValue>(node: &mut DeviceTreeNode, name: &str, value: T) {
    node.add_property(DeviceTreeProperty::new_unchecked(name, value));
}

fn child_mut<'a>(node: &'a mut DeviceTreeNode, name: &str) -> Outcome<&'a mut DeviceTreeNode> {
    node.child_mut(name).ok_or_else(|| lacks(name))
}

fn lacks(name: &str) -> Complaint {
    Complaint::new(format!("QEMU's device tree has no {name}: this QEMU is not one that the runner knows"))
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
