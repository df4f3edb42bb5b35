//! What the part is called, and how much of it there is.

/// PCI device id of the physical function; the vendor is the queue manager's.
pub const PF_DEVICE: u16 = 0xfd00;
/// Name of the queue format for user libraries.
pub const API: &str = "hisi_dummy_v1";
/// Algorithms, one per line.
pub const ALGORITHMS: &str = "memcpy";
/// Queues of the part.
pub const QUEUES: usize = 64;
/// Algorithm types that a queue can have: only 0.
pub const ALG_TYPES: u8 = 1;
