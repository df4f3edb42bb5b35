//! Where the doorbells of all functions lie for the CPU, so that the commonest trap decodes its address with two comparisons.

use qm_model::Bar;
use qm_spec::pci::{self, sriov};

use crate::bus::Target;
use crate::state::{Accelerator, PF};

/// Finds extended capabilities from here on.
const EXTENDED: u16 = 0x100;

/// A stretch of addresses; PCI and CPU addresses are equal in the 64-bit window, where doorbells lie.
#[derive(Clone, Copy, Debug)]
struct Span {
    base: u64,
    len_bytes: u64,
}

impl Span {
    const NONE: Self = Self { base: 0, len_bytes: 0 };

    #[inline(always)]
    const fn offset(&self, address: u64) -> Option<u64> {
        let offset = address.wrapping_sub(self.base);
        if offset < self.len_bytes { Some(offset) } else { None }
    }
}

/// The doorbell BARs as configuration space says now; empty while they are not decoded, or lie outside the 64-bit window.
#[derive(Clone, Copy, Debug)]
pub struct Doorbells {
    physical: Span,
    virtual_functions: Span,
    /// log2 of the length of one virtual function's BAR.
    log2_bytes: u32,
}

impl Doorbells {
    /// Nothing is decoded.
    pub const NONE: Self = Self { physical: Span::NONE, virtual_functions: Span::NONE, log2_bytes: 0 };

    /// Looks at every function's configuration.
    pub fn of(qm: &Accelerator) -> Self {
        let bar = |at: u16| u64::from(qm.config_read(at, 4) & !0xf) | u64::from(qm.config_read(at + 4, 4)) << 32;
        let span = |base: u64, function: u8, len_bytes: u64| {
            let is_decoded = qm.decode_function(base) == Some((function, Bar::Bar4, 0)) && Target::of(base) == Target::Pci(base);
            if is_decoded { Span { base, len_bytes } } else { Span::NONE }
        };
        let one = qm.vf_bar_bytes(Bar::Bar4);
        let virtual_functions = match find_sriov(qm) {
            Some(at) => span(bar(at + sriov::BAR4), PF + 1, one * u64::from(qm.virtual_functions())),
            None => Span::NONE,
        };
        Self { physical: span(bar(pci::BAR4), PF, qm.bar_bytes(Bar::Bar4)), virtual_functions, log2_bytes: one.trailing_zeros() }
    }

    /// The function whose doorbell BAR holds an address, and the offset in it.
    #[inline(always)]
    pub const fn find(&self, address: u64) -> Option<(u8, u64)> {
        if let Some(offset) = self.physical.offset(address) {
            return Some((PF, offset));
        }
        match self.virtual_functions.offset(address) {
            Some(offset) => Some((PF + 1 + (offset >> self.log2_bytes) as u8, offset & ((1 << self.log2_bytes) - 1))),
            None => None,
        }
    }
}

/// Where the physical function's SR-IOV capability lies.
fn find_sriov(qm: &Accelerator) -> Option<u16> {
    let mut at = EXTENDED;
    while at >= EXTENDED {
        let header = qm.config_read(at, 4);
        if header as u16 == pci::EXT_CAP_ID_SRIOV {
            return Some(at);
        }
        // The model's chain ascends; one that does not ends here.
        let next = (header >> 20) as u16;
        at = if next > at { next } else { 0 };
    }
    None
}
