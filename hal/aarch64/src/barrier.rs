//! Memory barriers by name.

use core::arch::asm;

use hal::Barriers;

macro_rules! barrier {
    ($(#[$doc:meta])* $name:ident, $insn:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() {
            // SAFETY: a barrier changes no state; without `nomem` it also orders the compiler.
            unsafe { asm!($insn, options(nostack, preserves_flags)) };
        }
    };
}

barrier!(/** Waits for all accesses before it (`dsb sy`). */ dsb_sy, "dsb sy");
barrier!(/** Waits for all accesses of the inner shareable domain (`dsb ish`). */ dsb_ish, "dsb ish");
barrier!(/** Waits for stores of the inner shareable domain (`dsb ishst`): between a page-table store and its use or TLBI. */ dsb_ishst, "dsb ishst");
barrier!(/** Waits for accesses of this core only (`dsb nsh`). */ dsb_nsh, "dsb nsh");
barrier!(/** Orders accesses of the inner shareable domain (`dmb ish`). */ dmb_ish, "dmb ish");
barrier!(/** Orders everything against everything (`dmb sy`). */ dmb_sy, "dmb sy");
barrier!(/** Refetches instructions and applies system-register writes (`isb`). */ isb, "isb");

/// The hand-over barriers between a CPU and a coherent device.
#[derive(Clone, Copy, Default, Debug)]
pub struct SystemBarriers;

impl Barriers for SystemBarriers {
    #[inline(always)]
    fn dma_wmb(&self) {
        // SAFETY: as above. Outer shareable: devices are in that domain.
        unsafe { asm!("dmb oshst", options(nostack, preserves_flags)) };
    }
    #[inline(always)]
    fn dma_rmb(&self) {
        // SAFETY: as above.
        unsafe { asm!("dmb oshld", options(nostack, preserves_flags)) };
    }
}
