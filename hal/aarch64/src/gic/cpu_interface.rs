//! ICC_*: this core's window on pending interrupts. IHI 0069, 12.2. `aarch64-cpu` names few of these registers; the others are written by encoding.

use core::arch::asm;

use aarch64_cpu::registers::{ICC_SRE_EL2, ICH_HCR_EL2, Writeable};

use super::IntId;
use crate::{barrier, read_sysreg};

/// Opens the GIC system registers to EL2 and EL1 (ICC_SRE_EL2 = 0xf) and turns the virtual interface off. At EL2.
pub fn enable_system_registers_el2() {
    ICC_SRE_EL2.write(ICC_SRE_EL2::ENABLE::SET + ICC_SRE_EL2::DIB::SET + ICC_SRE_EL2::DFB::SET + ICC_SRE_EL2::SRE::SET);
    barrier::isb();
    ICH_HCR_EL2.set(0);
    barrier::isb();
}

/// Lets group 1 interrupts of every priority reach this core.
pub fn enable_cpu_interface() {
    // SAFETY: changes how interrupts are delivered, not what Rust sees. `aarch64-cpu` lacks them: ICC_SRE_EL1, ICC_PMR_EL1, ICC_BPR1_EL1,
    // ICC_CTLR_EL1 (EOImode 0; it can only be read there), ICC_IGRPEN1_EL1.
    unsafe {
        asm!(
            "msr S3_0_C12_C12_5, {sre}", "isb", "msr S3_0_C4_C6_0, {pmr}", "msr S3_0_C12_C12_3, xzr", "msr S3_0_C12_C12_4, xzr",
            "msr S3_0_C12_C12_7, {one}", "isb",
            sre = in(reg) 7_u64, pmr = in(reg) 0xff_u64, one = in(reg) 1_u64, options(nostack, preserves_flags)
        );
    }
}

/// Acknowledges the highest pending interrupt (ICC_IAR1_EL1); `None` if it was spurious.
pub fn acknowledge() -> Option<IntId> {
    let intid = (read_sysreg!("S3_0_C12_C12_0") & 0xff_ffff) as u32;
    crate::barrier::dsb_sy();
    (intid < IntId::SPI_END).then_some(IntId(intid))
}

/// Ends an acknowledged interrupt (ICC_EOIR1_EL1): priority drop and deactivation.
pub fn end_of_interrupt(intid: IntId) {
    // SAFETY: the GIC ignores a number that is not active.
    unsafe { asm!("msr S3_0_C12_C12_1, {}", "isb", in(reg) u64::from(intid.0), options(nostack, preserves_flags)) };
}

/// Sends SGI `number` (0..16) to the core of `affinity` (ICC_SGI1R_EL1).
pub fn send_sgi(number: u8, affinity: u64) {
    let (aff0, aff1, aff2, aff3) = (affinity & 0xff, (affinity >> 8) & 0xff, (affinity >> 16) & 0xff, (affinity >> 32) & 0xff);
    let value = (1 << (aff0 & 0xf)) | (aff1 << 16) | (u64::from(number & 0xf) << 24) | (aff2 << 32) | ((aff0 >> 4) << 44) | (aff3 << 48);
    // SAFETY: makes an interrupt pend elsewhere; the barrier makes what was stored before visible to its handler.
    unsafe { asm!("dsb ishst", "msr S3_0_C12_C11_5, {}", "isb", in(reg) value, options(nostack, preserves_flags)) };
}
