//! The fast loops: the one place of this crate with `unsafe`.
//!
//! They read and write through pointers without a check per access. What makes that sound is slack: a round starts only while input and output have
//! at least as many bytes left as the round may touch, which each loop states and proves in its comments, and which debug builds assert. Where
//! there is less, the safe code does the work; it is also what the fast loops are compared with.

pub(crate) mod deflate;
pub(crate) mod inflate;

/// Loads eight bytes, the first one lowest.
///
/// # Safety
/// Eight bytes from `at` are readable.
#[inline(always)]
unsafe fn load64(at: *const u8) -> u64 {
    // SAFETY: readable by the contract; any alignment will do.
    u64::from_le(unsafe { at.cast::<u64>().read_unaligned() })
}

/// Stores eight bytes, the lowest one first.
///
/// # Safety
/// Eight bytes from `at` are writable.
#[inline(always)]
unsafe fn store64(at: *mut u8, word: u64) {
    // SAFETY: writable by the contract; any alignment will do.
    unsafe { at.cast::<u64>().write_unaligned(word.to_le()) }
}

/// Copies sixteen bytes; all are loaded before the first is stored.
///
/// # Safety
/// Sixteen bytes from `from` are readable, sixteen from `to` writable.
#[inline(always)]
unsafe fn copy16(from: *const u8, to: *mut u8) {
    // SAFETY: readable by the contract; any alignment will do.
    let bytes = unsafe { from.cast::<[u8; 16]>().read() };
    // SAFETY: writable by the contract.
    unsafe { to.cast::<[u8; 16]>().write(bytes) }
}

/// Whether this CPU has BMI2, asked once per process.
#[cfg(target_arch = "x86_64")]
fn has_bmi2() -> bool {
    use core::arch::x86_64::__cpuid_count;
    use core::sync::atomic::{AtomicU8, Ordering};
    // CPUID traps in virtual machines: thousands of cycles. 0 not asked, 1 no, 2 yes. A race asks twice.
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            let highest = __cpuid_count(0, 0).eax;
            // Leaf 7: EBX bit 3 is BMI1, bit 8 BMI2.
            let known = highest >= 7 && __cpuid_count(7, 0).ebx & 0x108 == 0x108;
            KNOWN.store(1 + u8::from(known), Ordering::Relaxed);
            known
        }
        known => known == 2,
    }
}
