//! The bottom of a process: the system call instruction, the barriers, and raw memory from the kernel.
//!
//! Invariants: the kernel writes only what a call names (its buffers are borrowed mutably in the `Call`), and every address that a mapping
//! call returns is a mapping of its own, which nothing else in this process knows.
#![allow(unsafe_code)]

use core::arch::asm;

use hal::Barriers;
use uacce_abi::{Call, Errno, Kernel, Protection};
use uacce_user::{QueueRegions, RingEntry, System, UserQueueMemory};

use crate::{AppSystem, Instructions};

/// The kernel, reached by `svc`.
#[derive(Clone, Copy, Debug)]
pub struct SvcSystem;

impl Kernel for SvcSystem {
    fn invoke(&self, mut call: Call<'_>) -> i64 {
        let registers = call.registers();
        let [a0, a1, a2, a3, a4, a5] = registers.arguments;
        let result: i64;
        // SAFETY: 1. the ABI keeps every register but x0; 2. memory that the kernel writes is borrowed mutably by `call`, which lives until
        // after the instruction; 3. no `nomem`, so no access moves across it.
        unsafe {
            asm!(
                "svc #0",
                in("x8") registers.number,
                inlateout("x0") a0 => result,
                in("x1") a1,
                in("x2") a2,
                in("x3") a3,
                in("x4") a4,
                in("x5") a5,
                options(nostack),
            );
        }
        result
    }
}

impl Barriers for SvcSystem {
    #[inline(always)]
    fn dma_wmb(&self) {
        // SAFETY: a barrier changes no state. The device is an observer in the outer shareable domain.
        unsafe { asm!("dmb oshst", options(nostack, preserves_flags)) }
    }

    #[inline(always)]
    fn dma_rmb(&self) {
        // SAFETY: as above.
        unsafe { asm!("dmb oshld", options(nostack, preserves_flags)) }
    }
}

impl System for SvcSystem {
    type Memory<E: RingEntry> = UserQueueMemory<E>;

    fn queue_memory<E: RingEntry>(&self, regions: &QueueRegions) -> UserQueueMemory<E> {
        // SAFETY: the library calls this with what MapRegion has just returned for a queue of its own: page-aligned mappings that no
        // reference points to and that live until the queue, which owns the value, closes its handle.
        unsafe { UserQueueMemory::new(regions) }
    }

    #[inline(always)]
    fn relax(&self) {
        // SAFETY: a hint. `yield`, since under a single-threaded simulator it hands the turn over where `isb` does not.
        unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) }
    }
}

impl AppSystem for SvcSystem {
    fn take_memory(&self, len_bytes: usize) -> Result<&'static mut [u8], Errno> {
        let at = self.map_memory(len_bytes as u64, Protection::ReadWrite)?;
        let base = core::ptr::with_exposed_provenance_mut(at as usize);
        // SAFETY: MapMemory returned a new mapping of `len_bytes` zeroed bytes, which no one else knows and which is never unmapped.
        Ok(unsafe { core::slice::from_raw_parts_mut(base, len_bytes) })
    }
    #[inline(always)]
    fn instructions(&self) -> Instructions {
        let (el0, el1, el2): (u64, u64, u64);
        // SAFETY: reads counters, which the caller knows to be open; the barrier keeps what is measured on its side.
        unsafe {
            asm!("isb", "mrs {}, pmevcntr0_el0", "mrs {}, pmevcntr1_el0", "mrs {}, pmevcntr2_el0", out(reg) el0, out(reg) el1, out(reg) el2,
                options(nostack, preserves_flags))
        };
        Instructions([el0, el1, el2].map(|count| count as u32))
    }
}
