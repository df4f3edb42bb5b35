//! Numbers of the RFC generation, kept so that documents and the legacy profiles name one definition.
//!
//! The default profile is the merged one: regions MMIO = 0 and DUS = 1 ([`hal::Region`]).

/// MMIO region, `UACCE_QFRT_MMIO`.
pub const QFRT_MMIO: u32 = 0;
/// Device-kernel-only region, `UACCE_QFRT_DKO`.
pub const QFRT_DKO: u32 = 1;
/// Device-user-share region, `UACCE_QFRT_DUS`.
pub const QFRT_DUS: u32 = 2;
/// Static-share memory, `UACCE_QFRT_SS`.
pub const QFRT_SS: u32 = 3;
/// Number of region kinds, `UACCE_QFRT_MAX`.
pub const QFRT_MAX: u32 = 4;
