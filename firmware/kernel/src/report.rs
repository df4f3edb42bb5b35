//! The boot report: what was probed, one line each.

use uacce_kernel::Profile;

use crate::PageFaults;
use crate::accelerator::AcceleratorReport;
use crate::boot::Report;
use crate::pci::Found;

fn place(found: &Found) -> (u16, u16, u16) {
    let rid = found.function.rid;
    (rid >> 8, rid >> 3 & 0x1f, rid & 7)
}

/// Prints what the kernel has found on the console.
pub fn print_report(report: &Report) {
    let (free, total) = (crate::free_frames() / 256, crate::total_frames() / 256);
    console_line!("memory: {total} MiB managed, {free} MiB free");
    match &report.smmu {
        None => console_line!("SMMU: none"),
        Some(Err(error)) => console_line!("SMMU: left alone: {error:?}"),
        Some(Ok(f)) => {
            let streams = if f.two_level_streams { "two-level" } else { "linear" };
            let sva = match crate::page_faults().filter(|_| crate::supports_sva()) {
                Some(PageFaults::Stall) => "by stalls",
                Some(PageFaults::PageRequest) => "by page requests",
                None => "no",
            };
            console_line!(
                "SMMU: v3.{}, StreamID {} bits ({streams} table), SubstreamID {} bits, ASID {} bits, output {} bits, {:?} (at most {}), shared virtual addressing: {sva}",
                f.minor_revision,
                f.stream_bits,
                f.substream_bits,
                f.asid_bits,
                f.output_bits,
                f.stall_model,
                f.stall_max,
            );
        }
    }
    for found in &report.functions {
        let (bus, device, function) = place(found);
        let f = &found.function;
        console_line!(
            "PCI {bus:02x}:{device:02x}.{function}: {:04x}:{:04x} revision {:#04x} class {:06x}",
            f.vendor,
            f.device,
            f.revision,
            f.class
        );
    }
    for accelerator in &report.accelerators {
        match accelerator {
            Ok(a) => print_accelerator(a),
            Err((found, error)) => {
                let (bus, device, function) = place(found);
                console_line!("accelerator {bus:02x}:{device:02x}.{function}: left alone: {error:?}");
            }
        }
    }
    if report.accelerators.is_empty() {
        console_line!("accelerator: none");
    }
}

fn print_accelerator(a: &AcceleratorReport) {
    let (bus, device, function) = place(&a.found);
    console_line!(
        "accelerator {bus:02x}:{device:02x}.{function}: {}, StreamID {}, QM {:?}, {} of {} queue pairs free,{}",
        Node(a),
        a.stream,
        a.version,
        a.free_queues,
        a.queues,
        Algorithms(a.algorithms)
    );
}

/// The node, and what is unusual about it.
struct Node<'a>(&'a AcceleratorReport);

impl core::fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match (self.0.node, self.0.profile) {
            (Some(node), Some(Profile::Sva) | None) => write!(f, "node {}", node.0),
            (Some(node), Some(Profile::PasidOnly)) => write!(f, "node {} (PASIDs without faults: reserved memory only)", node.0),
            (Some(node), Some(Profile::ShareDomain)) => write!(f, "node {} (one table: one process, reserved memory only)", node.0),
            (Some(node), Some(Profile::NoIommu)) => write!(f, "node {} (NOT CONFINED: no translation, kernel tainted)", node.0),
            (None, _) => f.write_str("no node"),
        }
    }
}

/// Algorithms on one line.
struct Algorithms(&'static str);

impl core::fmt::Display for Algorithms {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.lines().try_for_each(|name| write!(f, " {name}"))
    }
}
