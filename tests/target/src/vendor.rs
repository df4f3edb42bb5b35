//! Calls to the silicon that only tests make.

use core::arch::asm;

use firmware_platform::trace::Counter;
use firmware_platform::vendor;
use hal::{AccessKind, Iova, Pa, StreamId, SubstreamId};

/// Makes a vendor call; returns x1.
///
/// # Panics
/// If it is refused.
fn call(function: u64, arguments: [u64; 4]) -> u64 {
    let (status, result): (u64, u64);
    // SAFETY: the silicon changes x0 and x1 only, and no memory of EL1 but what the SMMU writes to its own queues.
    unsafe {
        asm!(
            "hvc #0",
            inlateout("x0") function => status,
            inlateout("x1") arguments[0] => result,
            in("x2") arguments[1],
            in("x3") arguments[2],
            in("x4") arguments[3],
            options(nostack),
        );
    }
    assert_eq!(status, 0, "vendor call {function:#x} refused");
    result
}

/// A counter of the silicon.
pub fn counter(counter: Counter) -> u64 {
    call(vendor::COUNTER, [counter as u64, 0, 0, 0])
}

/// Lets the engine take requests, or lets them wait in their queues.
pub fn set_engine(is_on: bool) {
    call(vendor::SET_ENGINE, [u64::from(is_on), 0, 0, 0]);
}

/// How device resets end from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum ResetFault {
    /// Well.
    None = 0,
    /// The service fails.
    Fails = 1,
    /// They never end.
    NeverEnds = 2,
}

/// Decides how device resets end.
pub fn set_reset_fault(fault: ResetFault) {
    call(vendor::SET_RESET_FAULT, [fault as u64, 0, 0, 0]);
}

/// What the SMMU model answers to a device's access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// An address.
    At(Pa),
    /// An abort.
    Abort,
    /// A read returns zero, a write is dropped.
    Ignored,
    /// It waits for software.
    Stalled(u16),
}

/// Asks the SMMU model as a device would.
pub fn translate(stream: StreamId, substream: Option<SubstreamId>, at: Iova, kind: AccessKind) -> Answer {
    let substream = substream.map_or(vendor::NO_SUBSTREAM, |substream| u64::from(substream.0));
    match call(vendor::TRANSLATE, [u64::from(stream.0), substream, at.0, u64::from(kind == AccessKind::Write)]) {
        vendor::TRANSLATE_ABORTED => Answer::Abort,
        vendor::TRANSLATE_IGNORED => Answer::Ignored,
        stalled if stalled & vendor::TRANSLATE_STALLED != 0 => Answer::Stalled(stalled as u16),
        pa => Answer::At(Pa(pa)),
    }
}

/// Sends a page request of the accelerator, one of the group `index`: a read, or a read and a write.
pub fn request_page(substream: SubstreamId, page: Iova, write: bool, last: bool, index: u64) {
    let mut what = page.0 & !0xfff | vendor::PAGE_READ;
    if write {
        what |= vendor::PAGE_WRITE;
    }
    if last {
        what |= vendor::PAGE_LAST;
    }
    call(vendor::PAGE_REQUEST, [u64::from(substream.0), what, index, 0]);
}
