//! Calls of tests, benches and the tour to the silicon: SMC calling convention, conduit HVC, vendor-specific hypervisor service range, 64-bit
//! fast calls (Arm DEN 0028). x0 = function, x1 to x4 = arguments; x0 returns 0 or [`NOT_SUPPORTED`], x1 the result.
//!
//! They are refused for a foreign payload. The kernel must not need any of them: without the EL2 row there is nobody to answer.

/// Returns a [`Counter`](crate::trace::Counter), named by x1.
pub const COUNTER: u64 = 0xc600_0000;
/// Returns the running hash of the access trace.
pub const TRACE_HASH: u64 = 0xc600_0001;
/// Sets the SMMU model's TLB policy: x1 = 0 always miss, 1 sticky, 2 random with seed x2, 3 prefetch.
pub const SET_TLB_POLICY: u64 = 0xc600_0002;
/// x1 = 0 lets the engine take no request (doorbells are recorded only), 1 lets it go on.
pub const SET_ENGINE: u64 = 0xc600_0003;
/// Returns image figures: x1 = 0 bytes of EL2's room, 1 bytes of EL2's heap in use.
pub const MEMORY: u64 = 0xc600_0004;
/// Translates as a device's access would be, with all its consequences (event, stall): x1 = StreamID, x2 = SubstreamID or [`NO_SUBSTREAM`],
/// x3 = address, x4 = 0 read, 1 write; both unprivileged. Returns the physical address, or [`TRANSLATE_ABORTED`], [`TRANSLATE_IGNORED`], or
/// [`TRANSLATE_STALLED`] with the STAG in bits 15:0.
pub const TRANSLATE: u64 = 0xc600_0005;

/// As [`TRANSLATE`], x5 times in a row (1 to 4096), with the answer of the last: what one translation costs without the call.
pub const TRANSLATE_AGAIN: u64 = 0xc600_0011;
/// Sends a page request of the accelerator, one of a group: x1 = SubstreamID, x2 = page, with the bits below, x3 = index of the group. The answer
/// to the group counts as a resume.
pub const PAGE_REQUEST: u64 = 0xc600_0010;
/// x2 of [`PAGE_REQUEST`]: reading is wanted.
pub const PAGE_READ: u64 = 1 << 0;
/// x2 of [`PAGE_REQUEST`]: writing is wanted.
pub const PAGE_WRITE: u64 = 1 << 1;
/// x2 of [`PAGE_REQUEST`]: it is the last of its group.
pub const PAGE_LAST: u64 = 1 << 2;

/// Decides how device resets end from now on: x1 = 0 well, 1 the service fails, 2 they never end.
pub const SET_RESET_FAULT: u64 = 0xc600_0020;

/// x2 of [`TRANSLATE`]: the transaction carries no SubstreamID.
pub const NO_SUBSTREAM: u64 = u64::MAX;
/// Result of [`TRANSLATE`]: an abort.
pub const TRANSLATE_ABORTED: u64 = 1 << 63;
/// Result of [`TRANSLATE`]: a read returns zero, a write is dropped.
pub const TRANSLATE_IGNORED: u64 = 1 << 62;
/// Result of [`TRANSLATE`]: it waits for software.
pub const TRANSLATE_STALLED: u64 = 1 << 61;

/// x0 of an unknown or refused call.
pub const NOT_SUPPORTED: u64 = u64::MAX;
/// x0 of a call with an argument out of range.
pub const INVALID: u64 = u64::MAX - 2;
