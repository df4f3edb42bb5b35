//! The defmt logger: one frame, one SYS_WRITE to QEMU's standard output, so that frames of two writers stay whole.
//!
//! Each level has its own encoder and lock: a trap to EL2 in the middle of an EL1 frame must not find the lock taken. A frame begun while its
//! own core is inside a frame (a panic in a formatter) takes that frame's place instead of waiting for itself. EL0 has no semihosting and does not log here.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hal_aarch64::semihost::File;
use hal_aarch64::{cpu, sysreg};

use crate::level::{Level, level};

/// Longest encoded frame; the rest of a longer one is cut, which the decoder reports as malformed.
const FRAME_BYTES: usize = 2048;
/// No core writes.
const NOBODY: u64 = u64::MAX;

struct Frame {
    encoder: defmt::Encoder,
    bytes: [u8; FRAME_BYTES],
    len: usize,
    daif: u64,
    console: Option<File>,
}

struct Channel {
    owner: AtomicU64,
    /// Frames written since boot.
    frames: AtomicU64,
    frame: UnsafeCell<Frame>,
}

// SAFETY: `frame` is touched only between `begin` and `end` by the core whose number `owner` holds.
unsafe impl Sync for Channel {}

impl Channel {
    const fn new() -> Self {
        let frame = Frame { encoder: defmt::Encoder::new(), bytes: [0; FRAME_BYTES], len: 0, daif: 0, console: None };
        Self { owner: AtomicU64::new(NOBODY), frames: AtomicU64::new(0), frame: UnsafeCell::new(frame) }
    }
}

static EL1: Channel = Channel::new();
#[unsafe(link_section = ".data.el2")]
static EL2: Channel = Channel::new();
#[unsafe(link_section = ".data.el2")]
static EL2_MUTED: AtomicBool = AtomicBool::new(false);

/// Turns EL2's log off: the host has semihosting closed because the payload is not ours.
pub fn mute_el2() {
    EL2_MUTED.store(true, Ordering::Relaxed);
}

/// True if the caller's level has no log.
pub fn is_closed() -> bool {
    level() == Level::El2 && EL2_MUTED.load(Ordering::Relaxed)
}

/// The caller's channel, if it may log.
fn channel() -> Option<&'static Channel> {
    match level() {
        Level::El0 => None,
        Level::El1 => Some(&EL1),
        Level::El2 => (!EL2_MUTED.load(Ordering::Relaxed)).then_some(&EL2),
    }
}

/// Records that the caller's level has written to its log since boot, at any severity.
pub fn log_records() -> u64 {
    channel().map_or(0, |channel| channel.frames.load(Ordering::Relaxed))
}

fn me() -> u64 {
    sysreg::affinity()
}

#[defmt::global_logger]
struct Logger;

impl Logger {
    /// The frame that this core has open.
    #[allow(clippy::mut_from_ref)]
    fn open_frame(channel: &Channel) -> Option<&mut Frame> {
        if channel.owner.load(Ordering::Relaxed) != me() {
            return None;
        }
        // SAFETY: this core owns the channel, interrupts are masked, and defmt makes no two references at once.
        Some(unsafe { &mut *channel.frame.get() })
    }

    fn append(frame: &mut Frame, bytes: &[u8]) {
        let room = bytes.len().min(FRAME_BYTES - frame.len);
        frame.bytes[frame.len..frame.len + room].copy_from_slice(&bytes[..room]);
        frame.len += room;
    }
}

// SAFETY: `acquire` gives the channel to one core until `release`; defmt calls `write` in between on the same core.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        let Some(channel) = channel() else { return };
        let daif = cpu::mask_interrupts();
        if channel.owner.load(Ordering::Relaxed) != me() {
            while channel.owner.compare_exchange_weak(NOBODY, me(), Ordering::Acquire, Ordering::Relaxed).is_err() {
                cpu::relax();
            }
        }
        if let Some(frame) = Self::open_frame(channel) {
            frame.len = 0;
            frame.daif = daif;
            let mut encoder = core::mem::replace(&mut frame.encoder, defmt::Encoder::new());
            encoder.start_frame(|bytes| Self::append(frame, bytes));
            frame.encoder = encoder;
        }
    }

    unsafe fn flush() {}

    unsafe fn release() {
        let Some(channel) = channel() else { return };
        let Some(frame) = Self::open_frame(channel) else { return };
        let mut encoder = core::mem::replace(&mut frame.encoder, defmt::Encoder::new());
        encoder.end_frame(|bytes| Self::append(frame, bytes));
        if frame.console.is_none() {
            frame.console = File::console().ok();
        }
        if let Some(console) = &mut frame.console {
            // A log line that the host does not take has no one to be reported to.
            let _ = console.write(&frame.bytes[..frame.len]);
        }
        channel.frames.fetch_add(1, Ordering::Relaxed);
        let daif = frame.daif;
        channel.owner.store(NOBODY, Ordering::Release);
        cpu::restore_interrupts(daif);
    }

    unsafe fn write(bytes: &[u8]) {
        let Some(channel) = channel() else { return };
        let Some(frame) = Self::open_frame(channel) else { return };
        let mut encoder = core::mem::replace(&mut frame.encoder, defmt::Encoder::new());
        encoder.write(bytes, |bytes| Self::append(frame, bytes));
        frame.encoder = encoder;
    }
}
