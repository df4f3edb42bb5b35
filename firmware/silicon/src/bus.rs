//! Who answers at which address of the aperture.

use firmware_platform::trace::Counter;
use firmware_platform::{
    ACCELERATOR_RID, DUMMY_RID, ECAM_BASE, ECAM_BYTES, MSI_FRAME_BASE, MSI_FRAME_BYTES, PCI_MEM32_BASE, PCI_MEM32_BUS, PCI_MEM32_BYTES,
    PCI_MEM64_BASE, PCI_MEM64_BYTES, SMMU_BASE, SMMU_BYTES,
};
use hal_aarch64::cpu;
use qm_model::Bar;

use crate::dma::TranslatedDma;
use crate::doorbells::Doorbells;
use crate::lines::{self, SmmuLines};
use crate::state::{FUNCTIONS, PF, Silicon};
use crate::trace;

/// First and past-the-last BAR2 offset of the zip engine's own registers; everything else of BAR2 is the queue manager's.
const ZIP_REGISTERS: core::ops::Range<u64> = 0x30_1000..0x30_a000;
/// BAR2 offset of the mailbox's 16-byte store.
pub const MAILBOX: u64 = qm_spec::regs::function::MB_CMD_SEND_BASE.offset();

/// An address of the aperture, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// Offset in the SMMU's pages.
    Smmu(u64),
    /// Offset in the ECAM.
    Config(u64),
    /// PCI memory address, through one of the bridge's windows.
    Pci(u64),
    /// Offset in the MSI frame.
    MsiFrame(u64),
    /// Nobody's.
    Nothing,
}

impl Target {
    /// Decodes an address. Doorbells come first: BAR4 lies in the 64-bit window.
    #[inline(always)]
    pub fn of(ipa: u64) -> Self {
        if ipa.wrapping_sub(PCI_MEM64_BASE) < PCI_MEM64_BYTES {
            Self::Pci(ipa)
        } else if ipa.wrapping_sub(PCI_MEM32_BASE) < PCI_MEM32_BYTES {
            Self::Pci(ipa - PCI_MEM32_BASE + PCI_MEM32_BUS)
        } else if ipa.wrapping_sub(SMMU_BASE) < SMMU_BYTES {
            Self::Smmu(ipa - SMMU_BASE)
        } else if ipa.wrapping_sub(ECAM_BASE) < ECAM_BYTES {
            Self::Config(ipa - ECAM_BASE)
        } else if ipa.wrapping_sub(MSI_FRAME_BASE) < MSI_FRAME_BYTES {
            Self::MsiFrame(ipa - MSI_FRAME_BASE)
        } else {
            Self::Nothing
        }
    }

    /// The counter of its block.
    #[inline(always)]
    pub const fn block(self) -> Counter {
        match self {
            Self::Pci(_) => Counter::BarAccesses,
            Self::Smmu(_) => Counter::SmmuAccesses,
            Self::Config(_) => Counter::ConfigAccesses,
            Self::MsiFrame(_) | Self::Nothing => Counter::OtherAccesses,
        }
    }
}

impl Silicon {
    /// Answers a load of 1, 2, 4 or 8 bytes. What nobody decodes reads as ones on PCI and as zero elsewhere.
    #[inline]
    pub fn read(&mut self, target: Target, bytes: u8) -> u64 {
        match target {
            Target::Smmu(offset) => self.smmu.mmio_read(offset, bytes),
            Target::Config(offset) => {
                self.ats.report(&mut self.qm);
                config_read(self, offset, bytes)
            }
            Target::Pci(address) => match self.qm.decode_function(address) {
                Some((PF, Bar::Bar2, offset)) if ZIP_REGISTERS.contains(&offset) => self.zip.mmio_read(offset, bytes),
                Some((function, bar, offset)) => self.qm.function_read(function, bar, offset, bytes),
                None => self.dummy.read(address, bytes),
            },
            Target::MsiFrame(offset) => lines::frame_read(offset),
            Target::Nothing => {
                trace::count(Counter::Unknown);
                0
            }
        }
    }

    /// Takes a store to a doorbell BAR; true if the engine may have work now.
    #[inline(always)]
    pub fn ring(&mut self, function: u8, offset: u64, bytes: u8, value: u64) -> bool {
        let mut dma = TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory, ats: &mut self.ats };
        self.qm.function_write(function, Bar::Bar4, offset, bytes, value, &mut dma);
        self.engine_is_on && self.qm.has_task()
    }

    /// Takes a store of 1, 2, 4 or 8 bytes; true if the engine may have work now.
    #[inline]
    pub fn write(&mut self, target: Target, bytes: u8, value: u64) -> bool {
        match target {
            Target::Pci(address) => {
                let mut dma = TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory, ats: &mut self.ats };
                let Some((function, bar, offset)) = self.qm.decode_function(address) else {
                    self.dummy.write(address, bytes, value, &mut dma);
                    return self.has_work();
                };
                if (function, bar) == (PF, Bar::Bar2) && ZIP_REGISTERS.contains(&offset) {
                    let was_abnormal = self.zip.has_abnormal_interrupt();
                    self.zip.mmio_write(offset, bytes, value);
                    if self.zip.has_abnormal_interrupt() && !was_abnormal {
                        self.qm.engine_error(&mut dma);
                    }
                } else {
                    self.qm.function_write(function, bar, offset, bytes, value, &mut dma);
                }
                self.has_work()
            }
            Target::Smmu(offset) => {
                self.smmu.mmio_write(offset, bytes, value, &mut self.memory, &mut SmmuLines);
                self.ats.serve(&mut self.smmu, &mut self.memory);
                if self.smmu.take_sev() {
                    trace::count(Counter::WakeEvents);
                    cpu::sev();
                }
                trace::smmu_steps(&mut self.smmu);
                self.collect_resumed()
            }
            Target::Config(offset) => {
                config_write(self, offset, bytes, value);
                self.collect_resumed()
            }
            Target::MsiFrame(offset) => {
                // A store of a CPU is a message like any other; a wrong number is dropped, as by a frame that has no such interrupt.
                if offset == lines::MSI_SETSPI && bytes == 4 {
                    let _ = lines::pend_msi(value as u32);
                }
                false
            }
            Target::Nothing => {
                trace::count(Counter::Unknown);
                false
            }
        }
    }

    /// Takes a 16-byte store, which only the mailbox does; true if the engine may have work now, `None` if it is not the mailbox.
    pub fn write_pair(&mut self, target: Target, low: u64, high: u64) -> Option<bool> {
        let Target::Pci(address) = target else { return None };
        let mut dma = TranslatedDma { smmu: &mut self.smmu, memory: &mut self.memory, ats: &mut self.ats };
        let Some(decoded) = self.qm.decode_function(address) else {
            return self.dummy.write_pair(address, low, high, &mut dma).then(|| self.has_work());
        };
        let (function, Bar::Bar2, MAILBOX) = decoded else { return None };
        self.qm.function_write128(function, MAILBOX, low, high, &mut dma);
        Some(self.engine_is_on && self.qm.has_task())
    }
}

/// Whose configuration space an ECAM offset addresses.
enum Space {
    /// The accelerator's function of this number, if it is one that the part can have.
    Accelerator(u8),
    /// The dummy engine's.
    Dummy,
    /// Nobody's.
    Nobody,
}

impl Space {
    /// The space, and the offset in it.
    fn of(offset: u64) -> (Self, u16) {
        const DUMMY: u64 = DUMMY_RID as u64;
        let space = match offset >> 12 {
            DUMMY => Self::Dummy,
            rid => {
                let index = rid.wrapping_sub(u64::from(ACCELERATOR_RID));
                if index < FUNCTIONS as u64 { Self::Accelerator(index as u8) } else { Self::Nobody }
            }
        };
        (space, (offset & 0xfff) as u16)
    }
}

fn config_read(silicon: &Silicon, offset: u64, bytes: u8) -> u64 {
    let (space, register) = Space::of(offset);
    // An 8-byte access is two of 4, as a host bridge makes it.
    let read = |register: u16, bytes: u8| -> u64 {
        let word = match space {
            Space::Accelerator(function) => silicon.qm.function_config_read(function, register, bytes),
            Space::Dummy => silicon.dummy.config_read(register, bytes),
            Space::Nobody => u32::MAX,
        };
        u64::from(word)
    };
    match bytes {
        8 => read(register, 4) | read(register + 4, 4) << 32,
        4 => read(register, 4),
        narrow => read(register, narrow) & ((1 << (8 * u64::from(narrow))) - 1),
    }
}

fn config_write(silicon: &mut Silicon, offset: u64, bytes: u8, value: u64) {
    let (space, register) = Space::of(offset);
    let resets = silicon.qm.counters().device_resets;
    let mut dma = TranslatedDma { smmu: &mut silicon.smmu, memory: &mut silicon.memory, ats: &mut silicon.ats };
    let mut write = |register: u16, bytes: u8, value: u32| match space {
        Space::Accelerator(function) => silicon.qm.function_config_write(function, register, bytes, value, &mut dma),
        Space::Dummy => silicon.dummy.config_write(register, bytes, value, &mut dma),
        Space::Nobody => {}
    };
    match bytes {
        8 => {
            write(register, 4, value as u32);
            write(register + 4, 4, (value >> 32) as u32);
        }
        narrow => write(register, narrow, value as u32),
    }
    if silicon.qm.counters().device_resets != resets {
        // A function-level reset of the physical function takes the engine with it.
        silicon.zip.reset();
    }
    silicon.ats.follow(&mut silicon.qm);
    silicon.doorbells = Doorbells::of(&silicon.qm);
}
