//! EL2's system registers on one core: what the payload may do, what it cannot.

use aarch64_cpu::registers::{
    CNTHCTL_EL2, CNTVOFF_EL2, CPACR_EL1, HCR_EL2, ID_AA64ISAR1_EL1, ID_AA64PFR0_EL1, ID_AA64PFR1_EL1, MDCR_EL2, MIDR_EL1, MPIDR_EL1,
    Readable, SCTLR_EL1, VMPIDR_EL2, VTCR_EL2, VTTBR_EL2, Writeable,
};
use hal_aarch64::context::{El2Core, install_el2_core};
use hal_aarch64::{barrier, boot, gic, mmu, pmu, tlb, write_sysreg};

use crate::memory::{self, Tables};

/// CPTR_EL2.TZ: SVE traps (RES1 without SVE).
const CPTR_TZ: u64 = 1 << 8;
/// CPTR_EL2.TSM: SME traps (RES1 without SME).
const CPTR_TSM: u64 = 1 << 12;
/// ID_AA64PFR1_EL1.SME.
const PFR1_SME_SHIFT: u32 = 24;
/// ID_AA64PFR1_EL1.MTE: tags in memory from this value on.
const MTE_IN_MEMORY: u64 = 2;

fn has_sve() -> bool {
    ID_AA64PFR0_EL1.is_set(ID_AA64PFR0_EL1::SVE)
}

fn has_sme() -> bool {
    (ID_AA64PFR1_EL1.get() >> PFR1_SME_SHIFT) & 0xf != 0
}

/// The value of CPTR_EL2 that lets the payload use what the core has.
pub fn guest_cptr() -> u64 {
    let mut cptr = boot::CPTR_EL2_OPEN;
    if has_sve() {
        cptr &= !CPTR_TZ;
    }
    if has_sme() {
        cptr &= !CPTR_TSM;
    }
    cptr
}

/// What every core at EL2 needs beyond the boot entry: translation, its block, the GIC's system registers.
///
/// # Safety
/// `block` belongs to this core for ever.
pub unsafe fn common(tables: &Tables, block: *mut El2Core) {
    memory::enable_stage1(tables);
    // SAFETY: the caller's promise.
    unsafe { install_el2_core(block) };
    gic::enable_system_registers_el2();
}

/// Makes this core a host core: everything that the payload sees of EL2.
pub fn guest(tables: &Tables) {
    let mut hcr = HCR_EL2::RW::EL1IsAarch64 + HCR_EL2::TSC::EnableTrapEl1SmcToEl2 + HCR_EL2::VM::Enable;
    let isar1 = ID_AA64ISAR1_EL1.extract();
    let has_authentication = [ID_AA64ISAR1_EL1::API, ID_AA64ISAR1_EL1::APA, ID_AA64ISAR1_EL1::GPA, ID_AA64ISAR1_EL1::GPI];
    if has_authentication.into_iter().any(|field| isar1.is_set(field)) {
        hcr += HCR_EL2::APK::DisableTrapPointerAuthKeyRegsToEl2 + HCR_EL2::API::DisableTrapPointerAuthInstToEl2;
    }
    if ID_AA64PFR1_EL1.read(ID_AA64PFR1_EL1::MTE) >= MTE_IN_MEMORY {
        hcr += HCR_EL2::ATA::SET;
    }
    if has_sve() {
        // ZCR_EL2, which `aarch64-cpu` lacks: vectors of 128 bits. The trap path keeps q0 to q31 of the payload, and EL2's own use of a q
        // register clears what lies above it in a longer z register.
        // SAFETY: exists where SVE does.
        unsafe { write_sysreg!("S3_4_C1_C2_0", 0) };
    }
    if has_sme() {
        // SMCR_EL2, which `aarch64-cpu` lacks: the shortest vectors, for the same reason.
        // SAFETY: exists where SME does.
        unsafe { write_sysreg!("S3_4_C1_C2_6", 0) };
    }
    VTCR_EL2.set(tables.vtcr);
    VTTBR_EL2.set(tables.vttbr);
    HCR_EL2.write(hcr);
    CNTHCTL_EL2.write(CNTHCTL_EL2::EL1PCEN::SET + CNTHCTL_EL2::EL1PCTEN::SET);
    CNTVOFF_EL2.set(0);
    // HSTR_EL2 and VPIDR_EL2, which `aarch64-cpu` lacks: no traps, and the core is what it is.
    // SAFETY: describes the level below; this core runs none yet.
    unsafe { write_sysreg!("hstr_el2", 0) };
    // SAFETY: as above.
    unsafe { write_sysreg!("vpidr_el2", MIDR_EL1.get()) };
    VMPIDR_EL2.set(MPIDR_EL1.get());
    // All counters to the payload, counting at EL2 allowed.
    MDCR_EL2.write(MDCR_EL2::HPMN.val(pmu::counters()));
    SCTLR_EL1.set(mmu::SCTLR_EL1_RES1);
    CPACR_EL1.set(0);
    barrier::isb();
    tlb::invalidate_all_stage12();
}

/// Makes this core an engine core: interrupts come to EL2, nothing runs below.
pub fn engine() {
    HCR_EL2.write(HCR_EL2::RW::EL1IsAarch64 + HCR_EL2::IMO::EnableVirtualIRQ);
    barrier::isb();
}
