//! EL2's system registers on one core: what the payload may do, what it cannot.

use core::arch::asm;

use hal_aarch64::context::{El2Core, install_el2_core};
use hal_aarch64::{gic, read_sysreg, sysreg, tlb, vectors, write_sysreg};

use crate::memory::{self, Tables};

/// HCR_EL2.VM: stage 2 on.
const HCR_VM: u64 = 1;
/// HCR_EL2.IMO: IRQs to EL2 (engine cores only).
const HCR_IMO: u64 = 1 << 4;
/// HCR_EL2.TSC: SMC of EL1 traps.
const HCR_TSC: u64 = 1 << 19;
/// HCR_EL2.RW: EL1 is AArch64.
const HCR_RW: u64 = 1 << 31;
/// HCR_EL2.APK, API: no traps of pointer authentication.
const HCR_APK_API: u64 = 3 << 40;
/// HCR_EL2.ATA: no traps of allocation tags.
const HCR_ATA: u64 = 1 << 56;

/// CPTR_EL2: RES1 bits, no traps.
const CPTR_RES1: u64 = 0x33ff;
/// CPTR_EL2.TZ: SVE traps (RES1 without SVE).
const CPTR_TZ: u64 = 1 << 8;
/// CPTR_EL2.TSM: SME traps (RES1 without SME).
const CPTR_TSM: u64 = 1 << 12;

/// The value of CPTR_EL2 that lets the payload use what the core has.
pub fn guest_cptr() -> u64 {
    let mut cptr = CPTR_RES1;
    if (read_sysreg!("id_aa64pfr0_el1") >> 32) & 0xf != 0 {
        cptr &= !CPTR_TZ;
    }
    if (read_sysreg!("id_aa64pfr1_el1") >> 24) & 0xf != 0 {
        cptr &= !CPTR_TSM;
    }
    cptr
}

/// What every core at EL2 needs: vectors, translation, its block, the GIC's system registers.
///
/// # Safety
/// `block` belongs to this core for ever.
pub unsafe fn common(tables: &Tables, block: *mut El2Core) {
    // SAFETY: the table is part of the image.
    unsafe { sysreg::set_vbar_el2(vectors::el2_vector_base()) };
    memory::enable_stage1(tables);
    // SAFETY: the caller's promise.
    unsafe { install_el2_core(block) };
    gic::enable_system_registers_el2();
}

/// Makes this core a host core: everything that the payload sees of EL2.
pub fn guest(tables: &Tables) {
    let mut hcr = HCR_RW | HCR_TSC | HCR_VM;
    let isar1 = read_sysreg!("id_aa64isar1_el1");
    // API, APA, GPA, GPI.
    if isar1 & 0x0000_0000_ff00_0ff0 != 0 {
        hcr |= HCR_APK_API;
    }
    if (read_sysreg!("id_aa64pfr1_el1") >> 8) & 0xf >= 2 {
        hcr |= HCR_ATA;
    }
    if (read_sysreg!("id_aa64pfr0_el1") >> 32) & 0xf != 0 {
        // ZCR_EL2: all vector lengths.
        // SAFETY: exists where SVE does.
        unsafe { write_sysreg!("S3_4_C1_C2_0", 0xf) };
    }
    if (read_sysreg!("id_aa64pfr1_el1") >> 24) & 0xf != 0 {
        // SMCR_EL2: all vector lengths.
        // SAFETY: exists where SME does.
        unsafe { write_sysreg!("S3_4_C1_C2_6", 0xf) };
    }
    let counters = (read_sysreg!("pmcr_el0") >> 11) & 0x1f;
    let (midr, mpidr) = (read_sysreg!("midr_el1"), read_sysreg!("mpidr_el1"));
    // SAFETY: EL2's registers describe the level below; this core runs none yet. MDCR.HPMN = all counters to the guest, counting at EL2 allowed.
    unsafe {
        asm!(
            "msr vtcr_el2, {vtcr}", "msr vttbr_el2, {vttbr}", "msr hcr_el2, {hcr}", "msr cnthctl_el2, {three}", "msr cntvoff_el2, xzr",
            "msr hstr_el2, xzr", "msr vpidr_el2, {midr}", "msr vmpidr_el2, {mpidr}", "msr mdcr_el2, {mdcr}", "msr sctlr_el1, {sctlr}",
            "msr cpacr_el1, xzr", "isb",
            vtcr = in(reg) tables.vtcr, vttbr = in(reg) tables.vttbr, hcr = in(reg) hcr, three = in(reg) 3_u64, midr = in(reg) midr,
            mpidr = in(reg) mpidr, mdcr = in(reg) counters, sctlr = in(reg) 0x30d0_0800_u64, options(nostack, preserves_flags)
        );
    }
    tlb::invalidate_all_stage12();
}

/// Makes this core an engine core: interrupts come to EL2, nothing runs below.
pub fn engine() {
    // SAFETY: no lower level runs here.
    unsafe { asm!("msr hcr_el2, {}", "isb", in(reg) HCR_RW | HCR_IMO, options(nostack, preserves_flags)) };
}
