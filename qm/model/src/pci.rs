//! The function's PCI configuration space: header, PCI Express, MSI and PASID capabilities.

use hal::{DmaPort, Iova};
use qm_spec::{pci, vector};

use crate::{Bar, QmConfig, QmModel};

const CAP_PCIE: u16 = 0x40;
const CAP_MSI: u16 = 0x80;
const EXT_PASID: u16 = 0x100;
/// log2 of the vectors wanted.
const MSI_LOG2_VECTORS: u32 = 2;
/// Capability version 2; root complex integrated endpoint.
const PCIE_VERSION: u32 = 2;
const PCIE_RCIEP: u32 = 9;
/// Device capabilities: role-based error reporting, extended tags.
const PCIE_DEVICE_CAPABILITIES: u32 = 1 << 15 | 1 << 5;
const COMMAND_WRITABLE: u32 = 0x546;
const DEVICE_CONTROL_WRITABLE: u32 = 0x7fff;

/// What software can set.
pub struct PciSpace {
    command: u32,
    bar2: u64,
    bar4: u64,
    interrupt_line: u8,
    device_control: u32,
    device_control2: u32,
    msi_enable: bool,
    msi_enabled_log2: u32,
    msi_address: u64,
    msi_data: u16,
    msi_mask: u32,
    msi_pending: u32,
    pasid_enable: bool,
}

const VECTORS: u32 = (1 << vector::COUNT) - 1;

impl PciSpace {
    pub const fn new() -> Self {
        Self {
            command: 0,
            bar2: 0,
            bar4: 0,
            interrupt_line: 0,
            device_control: 0,
            device_control2: 0,
            msi_enable: false,
            msi_enabled_log2: 0,
            msi_address: 0,
            msi_data: 0,
            msi_mask: 0,
            msi_pending: 0,
            pasid_enable: false,
        }
    }

    pub const fn bus_master(&self) -> bool {
        self.command & pci::COMMAND::BME::SET.value != 0
    }

    /// Address and data of a vector's message; `None` if MSI is off or the vector is masked. With fewer vectors granted than wanted, the
    /// last one stands for the rest.
    pub fn message(&self, vector: u8) -> Option<(Iova, u32)> {
        if !self.msi_enable || self.msi_mask >> vector & 1 == 1 {
            return None;
        }
        let granted = 1u32 << self.msi_enabled_log2;
        let number = u32::from(vector).min(granted - 1);
        Some((Iova(self.msi_address), u32::from(self.msi_data) & !(granted - 1) | number))
    }

    /// Keeps a message pending if its vector is masked; false if MSI is off.
    pub fn hold_masked(&mut self, vector: u8) -> bool {
        if self.msi_enable {
            self.msi_pending |= 1 << vector;
        }
        self.msi_enable
    }

    fn dword(&self, config: &QmConfig, bar4: bool, offset: u16) -> u32 {
        let bar = |base: u64, half: u16| if half == 0 { base as u32 | pci::BAR_MEM64_PREFETCH } else { (base >> 32) as u32 };
        match offset {
            pci::ID => u32::from(config.vendor) | u32::from(config.device) << 16,
            pci::COMMAND_STATUS => self.command | pci::COMMAND::CAP_LIST::SET.value,
            pci::REVISION_CLASS => u32::from(config.version.revision()) | pci::CLASS << 8,
            pci::BAR2 | 0x1c => bar(self.bar2, offset - pci::BAR2),
            pci::BAR4 | 0x24 if bar4 => bar(self.bar4, offset - pci::BAR4),
            pci::SUBSYSTEM => config.subsystem,
            pci::CAPABILITIES => CAP_PCIE.into(),
            pci::INTERRUPT => self.interrupt_line.into(),
            CAP_PCIE => u32::from(pci::CAP_ID_PCIE) | u32::from(CAP_MSI) << 8 | (PCIE_VERSION | PCIE_RCIEP << 4) << 16,
            0x44 => PCIE_DEVICE_CAPABILITIES,
            0x48 => self.device_control,
            0x68 => self.device_control2,
            CAP_MSI => {
                (pci::MSI_CONTROL::ID.val(pci::CAP_ID_MSI.into())
                    + pci::MSI_CONTROL::ENABLE.val(self.msi_enable.into())
                    + pci::MSI_CONTROL::CAPABLE.val(MSI_LOG2_VECTORS)
                    + pci::MSI_CONTROL::ENABLED.val(self.msi_enabled_log2)
                    + pci::MSI_CONTROL::ADDRESS64::SET
                    + pci::MSI_CONTROL::PER_VECTOR_MASK::SET)
                    .value
            }
            0x84 => self.msi_address as u32,
            0x88 => (self.msi_address >> 32) as u32,
            0x8c => self.msi_data.into(),
            0x90 => self.msi_mask,
            0x94 => self.msi_pending,
            EXT_PASID if config.pasid_width != 0 => u32::from(pci::EXT_CAP_ID_PASID) | 1 << 16,
            0x104 if config.pasid_width != 0 => {
                (pci::PASID::WIDTH.val(config.pasid_width.into()) + pci::PASID::ENABLE.val(self.pasid_enable.into())).value
            }
            _ => 0,
        }
    }

    /// Writes a dword; only bits in `lanes` change.
    fn write(&mut self, config: &QmConfig, bars: (u64, u64), offset: u16, value: u32, lanes: u32) {
        let old = self.dword(config, bars.1 != 0, offset);
        let new = old & !lanes | value & lanes;
        let bar = |base: u64, bytes: u64, half: u16| {
            let word = if half == 0 { base & !0xffff_ffff | u64::from(new) } else { base & 0xffff_ffff | u64::from(new) << 32 };
            word & !(bytes - 1)
        };
        match offset {
            pci::COMMAND_STATUS => self.command = new & COMMAND_WRITABLE,
            pci::BAR2 | 0x1c => self.bar2 = bar(self.bar2, bars.0, offset - pci::BAR2),
            pci::BAR4 | 0x24 if bars.1 != 0 => self.bar4 = bar(self.bar4, bars.1, offset - pci::BAR4),
            pci::INTERRUPT => self.interrupt_line = new as u8,
            0x48 => self.device_control = new & DEVICE_CONTROL_WRITABLE,
            0x68 => self.device_control2 = new & DEVICE_CONTROL_WRITABLE,
            CAP_MSI => {
                let control = tock_registers::LocalRegisterCopy::<u32, pci::MSI_CONTROL::Register>::new(new);
                self.msi_enable = control.is_set(pci::MSI_CONTROL::ENABLE);
                self.msi_enabled_log2 = control.read(pci::MSI_CONTROL::ENABLED).min(MSI_LOG2_VECTORS);
            }
            0x84 => self.msi_address = self.msi_address & !0xffff_ffff | u64::from(new & !3),
            0x88 => self.msi_address = self.msi_address & 0xffff_ffff | u64::from(new) << 32,
            0x8c => self.msi_data = new as u16,
            0x90 => self.msi_mask = new & VECTORS,
            0x104 if config.pasid_width != 0 => self.pasid_enable = new & pci::PASID::ENABLE::SET.value != 0,
            _ => {}
        }
    }

    /// Takes the pending message of a vector that is not masked any more; false if there is none.
    fn msi_pending_released(&mut self, vector: u8) -> bool {
        let released = self.msi_enable && (self.msi_pending & !self.msi_mask) >> vector & 1 == 1;
        if released {
            self.msi_pending &= !(1 << vector);
        }
        released
    }
}

/// The lanes of a `bytes`-wide access inside its dword, and the shift to them; `None` if it is not aligned or too wide.
fn lanes(offset: u16, bytes: u8) -> Option<(u32, u32)> {
    let shift = u32::from(offset % 4) * 8;
    match bytes {
        1 => Some((0xff << shift, shift)),
        2 if offset.is_multiple_of(2) => Some((0xffff << shift, shift)),
        4 if offset.is_multiple_of(4) => Some((u32::MAX, 0)),
        _ => None,
    }
}

impl<const QUEUES: usize> QmModel<QUEUES> {
    /// Reads configuration space; `bytes` 1, 2 or 4, naturally aligned. Anything else reads all ones, as an aborted request does.
    pub fn config_read(&self, offset: u16, bytes: u8) -> u32 {
        match lanes(offset, bytes) {
            Some((mask, shift)) if offset < pci::CONFIG_BYTES => {
                (self.pci.dword(&self.config, self.config.isolated_doorbells(), offset & !3) & mask) >> shift
            }
            _ => u32::MAX,
        }
    }

    /// Writes configuration space; `bytes` 1, 2 or 4, naturally aligned. A vector that is unmasked here sends its pending message.
    pub fn config_write(&mut self, offset: u16, bytes: u8, value: u32, dma: &mut impl DmaPort) {
        if let Some((mask, shift)) = lanes(offset, bytes)
            && offset < pci::CONFIG_BYTES
        {
            let bars = (self.bar_bytes(Bar::Bar2), self.bar_bytes(Bar::Bar4));
            self.pci.write(&self.config, bars, offset & !3, value << shift, mask);
            for vector in 0..vector::COUNT {
                if self.pci.msi_pending_released(vector) {
                    self.send_message(vector, dma);
                }
            }
        }
    }

    /// Finds what a PCI memory address selects; `None` if memory decode is off or no BAR matches.
    pub fn decode(&self, pci_address: u64) -> Option<(Bar, u64)> {
        if self.pci.command & pci::COMMAND::MSE::SET.value == 0 {
            return None;
        }
        [(Bar::Bar2, self.pci.bar2), (Bar::Bar4, self.pci.bar4)].into_iter().find_map(|(bar, base)| {
            let offset = pci_address.checked_sub(base)?;
            (base != 0 && offset < self.bar_bytes(bar)).then_some((bar, offset))
        })
    }

    /// True if software has enabled PASID in the capability. The part's sideband ignores it, and so does the model.
    pub const fn pasid_enabled(&self) -> bool {
        self.pci.pasid_enable
    }
}
