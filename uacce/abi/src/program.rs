//! Programs of the image: where a process starts, and where its memory lies.

use core::ops::Range;

/// First instruction of a program: called at EL0 on a fresh stack, `x0` = a number that the spawner chose (0 for programs started by
/// name). The argument string is read by the `Arguments` call. It must not return, and must not touch statics: it ends by the `Exit` call.
pub type Entry = extern "C" fn(u64) -> !;

/// A program by name.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Name on the kernel's command line and in the `Spawn` call.
    pub name: &'static str,
    /// Its first instruction.
    pub entry: Entry,
}

/// Addresses of a process's own memory: stack, mapped memory, queue regions. Everything below belongs to the image and the kernel; code and
/// constants of the image can be read there, nothing can be written.
pub const USER_ADDRESSES: Range<u64> = 0x10_0000_0000..0x20_0000_0000;

/// Length of a process's stack in bytes. It lies at the top of [`USER_ADDRESSES`] and appears page by page as it is touched.
pub const STACK_BYTES: u64 = 0x10_0000;
