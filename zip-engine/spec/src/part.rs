//! What the part is called on the bus.

/// PCI device id of the physical function; the vendor is the queue manager's.
pub const PF_DEVICE: u16 = 0xa250;
