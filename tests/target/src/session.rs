//! A queue and memory that its device can reach, in whatever way this kernel shares memory: programs of all four profiles are one program.

use uacce_abi::{Attribute, FileRegion, Kernel, NodeIndex, PAGE_BYTES, VALUE_MAX_BYTES, flags};

use crate::get;
use crate::user::{self, RawQueue, SvcSystem};

/// Reads a decimal attribute of node 0.
pub fn number(attribute: Attribute) -> u64 {
    number_of(NodeIndex(0), attribute)
}

/// Reads a decimal attribute of a node.
pub fn number_of(node: NodeIndex, attribute: Attribute) -> u64 {
    let mut value = [0; VALUE_MAX_BYTES];
    let text = get!(SvcSystem.attribute(node, attribute, &mut value));
    get!(text.trim_end().parse::<u64>())
}

/// Memory for requests of one queue.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// Where this process has it.
    pub at: u64,
    /// What is added to an address for the device.
    offset: u64,
}

impl Shared {
    /// Takes memory that a queue's device can reach: any memory where addresses are shared, else reserved memory.
    pub fn take(queue: &RawQueue, len_bytes: u64) -> Self {
        let effective = number(Attribute::Flags);
        if effective & u64::from(flags::SVA) != 0 {
            return Self { at: user::memory(len_bytes), offset: 0 };
        }
        let at = get!(SvcSystem.map_region(queue.fd, FileRegion::Ss, len_bytes.next_multiple_of(PAGE_BYTES)));
        let offset = if effective & u64::from(flags::NOIOMMU) != 0 { get!(SvcSystem.ss_dma(queue.fd)).wrapping_sub(at) } else { 0 };
        Self { at, offset }
    }

    /// What a request carries for an address of this memory.
    pub fn device(&self, at: u64) -> u64 {
        at.wrapping_add(self.offset)
    }
}
