//! Memory barriers by name. All of them are barriers to the compiler as well: `aarch64-cpu` declares them without `nomem`.

use aarch64_cpu::asm::barrier as cpu;
use hal::Barriers;

macro_rules! barrier {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $domain:ident) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() {
            cpu::$kind(cpu::$domain);
        }
    };
}

barrier!(/** Waits for all accesses before it (`dsb sy`). */ dsb_sy, dsb, SY);
barrier!(/** Waits for all accesses of the inner shareable domain (`dsb ish`). */ dsb_ish, dsb, ISH);
barrier!(/** Waits for stores of the inner shareable domain (`dsb ishst`): between a page-table store and its use or TLBI. */ dsb_ishst, dsb, ISHST);
barrier!(/** Waits for accesses of this core only (`dsb nsh`). */ dsb_nsh, dsb, NSH);
barrier!(/** Orders accesses of the inner shareable domain (`dmb ish`). */ dmb_ish, dmb, ISH);
barrier!(/** Orders everything against everything (`dmb sy`). */ dmb_sy, dmb, SY);
barrier!(/** Refetches instructions and applies system-register writes (`isb`). */ isb, isb, SY);

/// The hand-over barriers between a CPU and a coherent device.
#[derive(Clone, Copy, Default, Debug)]
pub struct SystemBarriers;

impl Barriers for SystemBarriers {
    #[inline(always)]
    fn dma_wmb(&self) {
        // Outer shareable: devices are in that domain.
        cpu::dmb(cpu::OSHST);
    }
    #[inline(always)]
    fn dma_rmb(&self) {
        cpu::dmb(cpu::OSHLD);
    }
}
