//! Device accesses that a hypervisor can decode: one register, base addressing only.
//!
//! A volatile pointer walk may compile to a post-indexed or paired access, which aborts to EL2 without a syndrome (`ESR_ELx.ISV` = 0). So every
//! MMIO access of the house is one of the functions below. The invariant of this file: [`MmioWindow`] is only ever built over device memory
//! that stays mapped for its life, and no access leaves the window's length.

use core::arch::asm;

use hal::RegisterWindow;

/// A device's register block, mapped at a virtual address.
#[derive(Clone, Copy, Debug)]
pub struct MmioWindow {
    base: usize,
    len_bytes: u64,
}

macro_rules! load {
    ($name:ident, $t:ty, $insn:literal) => {
        #[doc = concat!("Loads with one `", $insn, "`, base register only.")]
        #[inline(always)]
        fn $name(address: usize) -> $t {
            let value: $t;
            // SAFETY: `address` lies inside a window (checked by `MmioWindow::address`), which its maker promised is mapped device memory. `nomem`
            // is left out on purpose: the access is a compiler barrier too.
            unsafe { asm!(concat!($insn, ", [{address}]"), value = out(reg) value, address = in(reg) address, options(nostack, preserves_flags)) };
            value
        }
    };
}

macro_rules! store {
    ($name:ident, $t:ty, $insn:literal) => {
        #[doc = concat!("Stores with one `", $insn, "`, base register only.")]
        #[inline(always)]
        fn $name(address: usize, value: $t) {
            // SAFETY: as for the loads.
            unsafe { asm!(concat!($insn, ", [{address}]"), value = in(reg) value, address = in(reg) address, options(nostack, preserves_flags)) };
        }
    };
}

load!(load8, u8, "ldrb {value:w}");
load!(load16, u16, "ldrh {value:w}");
load!(load32, u32, "ldr {value:w}");
load!(load64, u64, "ldr {value:x}");
store!(store8, u8, "strb {value:w}");
store!(store16, u16, "strh {value:w}");
store!(store32, u32, "str {value:w}");
store!(store64, u64, "str {value:x}");

/// Stores 16 bytes with one `stp`, base register only.
#[inline(always)]
fn store_pair(address: usize, low: u64, high: u64) {
    // SAFETY: as for the loads.
    unsafe {
        asm!("stp {low}, {high}, [{address}]", low = in(reg) low, high = in(reg) high, address = in(reg) address, options(nostack, preserves_flags))
    };
}

impl MmioWindow {
    /// Makes a window of `len_bytes` at virtual address `base`.
    ///
    /// # Safety
    /// The range must be mapped as device memory for as long as the window or a copy of it is used, and hold device registers only: nothing that
    /// Rust owns.
    pub const unsafe fn new(base: usize, len_bytes: u64) -> Self {
        Self { base, len_bytes }
    }

    /// The virtual address of the first register.
    pub const fn base(&self) -> usize {
        self.base
    }

    /// Length in bytes.
    pub const fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// A window of `len_bytes` starting `offset` bytes into this one.
    ///
    /// # Panics
    /// If it does not fit.
    pub const fn sub_window(&self, offset: u64, len_bytes: u64) -> Self {
        assert!(offset <= self.len_bytes && len_bytes <= self.len_bytes - offset, "sub-window outside its window");
        Self { base: self.base + offset as usize, len_bytes }
    }

    /// The address of `bytes` bytes at `offset`.
    #[inline(always)]
    fn address(&self, offset: u64, bytes: u64) -> usize {
        assert!(
            offset.is_multiple_of(bytes) && offset <= self.len_bytes && bytes <= self.len_bytes - offset,
            "register outside the window"
        );
        self.base + offset as usize
    }

    /// Reads an 8-bit register.
    #[inline]
    pub fn read8(&self, offset: u64) -> u8 {
        load8(self.address(offset, 1))
    }
    /// Writes an 8-bit register.
    #[inline]
    pub fn write8(&self, offset: u64, value: u8) {
        store8(self.address(offset, 1), value);
    }
    /// Reads a 16-bit register.
    #[inline]
    pub fn read16(&self, offset: u64) -> u16 {
        load16(self.address(offset, 2))
    }
    /// Writes a 16-bit register.
    #[inline]
    pub fn write16(&self, offset: u64, value: u16) {
        store16(self.address(offset, 2), value);
    }
}

impl RegisterWindow for MmioWindow {
    #[inline]
    fn read32(&self, offset: u64) -> u32 {
        load32(self.address(offset, 4))
    }
    #[inline]
    fn write32(&self, offset: u64, value: u32) {
        store32(self.address(offset, 4), value);
    }
    #[inline]
    fn read64(&self, offset: u64) -> u64 {
        load64(self.address(offset, 8))
    }
    #[inline]
    fn write64(&self, offset: u64, value: u64) {
        store64(self.address(offset, 8), value);
    }
    #[inline]
    fn write128(&self, offset: u64, low: u64, high: u64) {
        store_pair(self.address(offset, 16), low, high);
    }
}
