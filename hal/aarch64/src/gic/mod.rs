//! GICv3: distributor, redistributors, CPU interface. Arm IHI 0069.
//!
//! One security state, affinity routing, all interrupts in group 1: what EL1 sees on QEMU virt and what Linux sets up.

mod cpu_interface;
mod distributor;
mod redistributor;

pub use cpu_interface::{acknowledge, enable_cpu_interface, enable_system_registers_el2, end_of_interrupt, send_sgi};
pub use distributor::Distributor;
pub use redistributor::{REDISTRIBUTOR_BYTES, Redistributor};

/// How a peripheral signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// Asserted as long as the cause stands.
    Level,
    /// One event per edge.
    Edge,
}

/// An SGI, PPI or SPI number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct IntId(pub u32);

impl IntId {
    /// First SPI.
    pub const SPI_BASE: u32 = 32;
    /// First number that is not an SPI.
    pub const SPI_END: u32 = 1020;

    /// True for a shared peripheral interrupt.
    pub const fn is_spi(self) -> bool {
        self.0 >= Self::SPI_BASE && self.0 < Self::SPI_END
    }
    /// Offset of the 32-bit word that holds this interrupt's bit in a bitmap register file.
    const fn word(self) -> u64 {
        (self.0 as u64 / 32) * 4
    }
    /// The interrupt's bit in that word.
    const fn bit(self) -> u32 {
        1 << (self.0 % 32)
    }
}
