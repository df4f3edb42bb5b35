//! PCI configuration space of every function: header, PCI Express with FLR, MSI; for the physical function PASID and SR-IOV.

use hal::{DmaPort, Iova};
use qm_spec::pci::sriov;
use qm_spec::regs::{DOORBELL_PAGE_BYTES, VF_BAR2_BYTES};
use qm_spec::{pci, vector};

use crate::ats::{ATS_CONTROL, AtsSpace, EXT_ATS, EXT_ATS_END};
use crate::function::PF;
use crate::{Bar, QmConfig, QmModel};

const CAP_PCIE: u16 = 0x40;
const CAP_MSI: u16 = 0x80;
const EXT_PASID: u16 = 0x100;
const EXT_SRIOV: u16 = 0x140;
/// Last dword of the SR-IOV capability.
const EXT_SRIOV_END: u16 = EXT_SRIOV + 0x3c;
/// Page sizes that VF BARs can be aligned to: 4 KiB, 16 KiB and 64 KiB.
const SRIOV_PAGES: u32 = 0b1_0101;
/// log2 of the vectors wanted.
const MSI_LOG2_VECTORS: u32 = 2;
/// Capability version 2; root complex integrated endpoint.
const PCIE_VERSION: u32 = 2;
const PCIE_RCIEP: u32 = 9;
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
    sriov_control: u32,
    num_vfs: u16,
    system_page: u32,
    vf_bar2: u64,
    vf_bar4: u64,
    ats: AtsSpace,
}

/// What a function's space looks like apart from what software set.
struct Shape<'a> {
    config: &'a QmConfig,
    bar2_bytes: u64,
    bar4_bytes: u64,
    vf_bar4_bytes: u64,
    total_vfs: u16,
    is_virtual: bool,
}

impl Shape<'_> {
    /// What follows SR-IOV in the list of extended capabilities; 0 for nothing.
    fn after_sriov(&self) -> u32 {
        if self.config.ats { EXT_ATS.into() } else { 0 }
    }

    /// What follows PASID.
    fn after_pasid(&self) -> u32 {
        if self.total_vfs != 0 { EXT_SRIOV.into() } else { self.after_sriov() }
    }
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
            sriov_control: 0,
            num_vfs: 0,
            system_page: 1,
            vf_bar2: 0,
            vf_bar4: 0,
            ats: AtsSpace::new(),
        }
    }

    pub const fn ats(&self) -> &AtsSpace {
        &self.ats
    }

    pub const fn ats_mut(&mut self) -> &mut AtsSpace {
        &mut self.ats
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

    /// Number of virtual functions that are enabled.
    pub const fn enabled_vfs(&self) -> u16 {
        if self.sriov_control & pci::SRIOV_CONTROL::VF_ENABLE::SET.value != 0 { self.num_vfs } else { 0 }
    }

    fn sriov(&self, shape: &Shape<'_>, offset: u16) -> u32 {
        let bar = |base: u64, half: bool| if half { (base >> 32) as u32 } else { base as u32 | pci::BAR_MEM64_PREFETCH };
        let vfs = u32::from(shape.total_vfs);
        match offset - EXT_SRIOV {
            0 => u32::from(pci::EXT_CAP_ID_SRIOV) | 1 << 16 | shape.after_sriov() << 20,
            sriov::CONTROL => self.sriov_control,
            sriov::VFS => (pci::SRIOV_VFS::INITIAL.val(vfs) + pci::SRIOV_VFS::TOTAL.val(vfs)).value,
            sriov::NUM_VFS => self.num_vfs.into(),
            sriov::ROUTE => (pci::SRIOV_ROUTE::OFFSET.val(1) + pci::SRIOV_ROUTE::STRIDE.val(1)).value,
            sriov::DEVICE => u32::from(shape.config.vf_device()) << 16,
            sriov::SUPPORTED_PAGES => SRIOV_PAGES,
            sriov::SYSTEM_PAGE => self.system_page,
            at @ (sriov::BAR2 | 0x30) => bar(self.vf_bar2, at != sriov::BAR2),
            at @ (sriov::BAR4 | 0x38) if shape.vf_bar4_bytes != 0 => bar(self.vf_bar4, at != sriov::BAR4),
            _ => 0,
        }
    }

    fn write_sriov(&mut self, shape: &Shape<'_>, offset: u16, new: u32) {
        let bar = |base: u64, bytes: u64, high: bool| {
            let word = if high { base & 0xffff_ffff | u64::from(new) << 32 } else { base & !0xffff_ffff | u64::from(new) };
            word & !(bytes - 1)
        };
        let enabled = self.enabled_vfs() != 0;
        match offset - EXT_SRIOV {
            sriov::CONTROL => {
                let writable = pci::SRIOV_CONTROL::VF_ENABLE::SET + pci::SRIOV_CONTROL::VF_MSE::SET + pci::SRIOV_CONTROL::ARI::SET;
                self.sriov_control = new & writable.value;
                if self.num_vfs == 0 || self.num_vfs > shape.total_vfs {
                    // A number that cannot be had enables nothing.
                    self.sriov_control &= !pci::SRIOV_CONTROL::VF_ENABLE::SET.value;
                }
            }
            sriov::NUM_VFS if !enabled => self.num_vfs = new as u16,
            sriov::SYSTEM_PAGE if !enabled => self.system_page = new & SRIOV_PAGES,
            at @ (sriov::BAR2 | 0x30) => self.vf_bar2 = bar(self.vf_bar2, VF_BAR2_BYTES, at != sriov::BAR2),
            at @ (sriov::BAR4 | 0x38) if shape.vf_bar4_bytes != 0 => {
                self.vf_bar4 = bar(self.vf_bar4, shape.vf_bar4_bytes, at != sriov::BAR4);
            }
            _ => {}
        }
    }

    fn dword(&self, shape: &Shape<'_>, offset: u16) -> u32 {
        let config = shape.config;
        let bar4 = shape.bar4_bytes != 0;
        let pasid = config.pasid_width != 0;
        let first_extended = if pasid { EXT_PASID } else { 0 };
        if shape.is_virtual {
            // Ids and BARs of a virtual function live in the physical function's capability; PASID is shared with it, too.
            match offset {
                pci::ID => return u32::MAX,
                EXT_PASID.. if config.ats => return self.ats.virtual_dword(offset),
                pci::BAR2 | 0x1c | pci::BAR4 | 0x24 | EXT_PASID.. => return 0,
                _ => {}
            }
        }
        let bar = |base: u64, half: u16| if half == 0 { base as u32 | pci::BAR_MEM64_PREFETCH } else { (base >> 32) as u32 };
        match offset {
            pci::ID => u32::from(config.vendor) | u32::from(config.device) << 16,
            pci::COMMAND_STATUS => self.command | pci::COMMAND::CAP_LIST::SET.value,
            pci::REVISION_CLASS => u32::from(config.version.revision()) | pci::CLASS << 8,
            pci::BAR2 | 0x1c => bar(self.bar2, offset - pci::BAR2),
            pci::BAR4 | 0x24 if bar4 => bar(self.bar4, offset - pci::BAR4),
            // Without PASID the chain begins with an empty header that points on.
            EXT_PASID if first_extended == 0 && shape.after_pasid() != 0 => shape.after_pasid() << 20 | 1 << 16,
            EXT_ATS..=EXT_ATS_END if config.ats => self.ats.dword(offset),
            EXT_SRIOV..=EXT_SRIOV_END if shape.total_vfs != 0 => self.sriov(shape, offset),
            pci::SUBSYSTEM => config.subsystem,
            pci::CAPABILITIES => CAP_PCIE.into(),
            pci::INTERRUPT => self.interrupt_line.into(),
            CAP_PCIE => u32::from(pci::CAP_ID_PCIE) | u32::from(CAP_MSI) << 8 | (PCIE_VERSION | PCIE_RCIEP << 4) << 16,
            0x44 => {
                (pci::DEVICE_CAPABILITIES::EXTENDED_TAG::SET
                    + pci::DEVICE_CAPABILITIES::ROLE_BASED::SET
                    + pci::DEVICE_CAPABILITIES::FLR::SET)
                    .value
            }
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
            EXT_PASID if pasid => u32::from(pci::EXT_CAP_ID_PASID) | 1 << 16 | shape.after_pasid() << 20,
            0x104 if pasid => (pci::PASID::WIDTH.val(config.pasid_width.into()) + pci::PASID::ENABLE.val(self.pasid_enable.into())).value,
            _ => 0,
        }
    }

    /// Writes a dword; only bits in `lanes` change.
    fn write(&mut self, shape: &Shape<'_>, offset: u16, value: u32, lanes: u32) {
        let bars = (shape.bar2_bytes, shape.bar4_bytes);
        let old = self.dword(shape, offset);
        let new = old & !lanes | value & lanes;
        let bar = |base: u64, bytes: u64, half: u16| {
            let word = if half == 0 { base & !0xffff_ffff | u64::from(new) } else { base & 0xffff_ffff | u64::from(new) << 32 };
            word & !(bytes - 1)
        };
        match offset {
            // Memory decode of a virtual function is the physical function's VF MSE.
            pci::COMMAND_STATUS if shape.is_virtual => self.command = new & pci::COMMAND::BME::SET.value,
            pci::COMMAND_STATUS => self.command = new & COMMAND_WRITABLE,
            ATS_CONTROL if shape.is_virtual && shape.config.ats => self.ats.write(offset, new, lanes),
            pci::BAR2 | 0x1c | pci::BAR4 | 0x24 | EXT_PASID.. if shape.is_virtual => {}
            EXT_SRIOV..=EXT_SRIOV_END if shape.total_vfs != 0 => self.write_sriov(shape, offset, new),
            EXT_ATS..=EXT_ATS_END if shape.config.ats => self.ats.write(offset, new, lanes),
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
            0x104 if shape.config.pasid_width != 0 => self.pasid_enable = new & pci::PASID::ENABLE::SET.value != 0,
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

impl<const QUEUES: usize, const FUNCTIONS: usize> QmModel<QUEUES, FUNCTIONS> {
    fn shape(&self, f: usize) -> Shape<'_> {
        let total_vfs = self.config.total_vfs;
        Shape {
            config: &self.config,
            bar2_bytes: self.bar_bytes(Bar::Bar2),
            bar4_bytes: self.bar_bytes(Bar::Bar4),
            vf_bar4_bytes: self.vf_bar_bytes(Bar::Bar4),
            total_vfs,
            is_virtual: f != PF,
        }
    }

    /// Length in bytes of a BAR of each virtual function, 0 if it does not have it.
    pub const fn vf_bar_bytes(&self, bar: Bar) -> u64 {
        match bar {
            Bar::Bar2 => VF_BAR2_BYTES,
            Bar::Bar4 if self.config.isolated_doorbells() => (QUEUES as u64).next_power_of_two() * DOORBELL_PAGE_BYTES,
            Bar::Bar4 => 0,
        }
    }

    /// Number of virtual functions that are enabled now.
    pub const fn virtual_functions(&self) -> u16 {
        self.functions[PF].pci.enabled_vfs()
    }

    /// True for the physical function, and for a virtual one that is enabled.
    pub(crate) fn is_enabled(&self, f: usize) -> bool {
        f == PF || f <= usize::from(self.virtual_functions())
    }

    /// Reads configuration space of the physical function; `bytes` 1, 2 or 4, naturally aligned. Anything else reads all ones, as an aborted
    /// request does.
    pub fn config_read(&self, offset: u16, bytes: u8) -> u32 {
        self.function_config_read(0, offset, bytes)
    }

    /// Reads configuration space of any function; a virtual one that is not enabled reads all ones.
    pub fn function_config_read(&self, function: u8, offset: u16, bytes: u8) -> u32 {
        let f = usize::from(function);
        match lanes(offset, bytes) {
            Some((mask, shift)) if offset < pci::CONFIG_BYTES && self.is_enabled(f) => {
                (self.functions[f].pci.dword(&self.shape(f), offset & !3) & mask) >> shift
            }
            _ => u32::MAX,
        }
    }

    /// Writes configuration space of the physical function; `bytes` 1, 2 or 4, naturally aligned. A vector that is unmasked here sends its pending
    /// message. A function-level reset happens at once.
    pub fn config_write(&mut self, offset: u16, bytes: u8, value: u32, dma: &mut impl DmaPort) {
        self.function_config_write(0, offset, bytes, value, dma);
    }

    /// Writes configuration space of any function; a virtual one that is not enabled takes nothing.
    pub fn function_config_write(&mut self, function: u8, offset: u16, bytes: u8, value: u32, dma: &mut impl DmaPort) {
        let f = usize::from(function);
        let Some((mask, shift)) = lanes(offset, bytes).filter(|_| offset < pci::CONFIG_BYTES && self.is_enabled(f)) else { return };
        let vfs_before = self.virtual_functions();
        let mut space = core::mem::replace(&mut self.functions[f].pci, PciSpace::new());
        space.write(&self.shape(f), offset & !3, value << shift, mask);
        self.functions[f].pci = space;
        for vf in 1..FUNCTIONS {
            // Enabled or disabled, a virtual function begins anew.
            if (vf <= usize::from(vfs_before)) != (vf <= usize::from(self.virtual_functions())) {
                self.reset_function(vf);
                self.functions[vf].pci = PciSpace::new();
            }
        }
        if offset & !3 == CAP_PCIE + 8 && (value << shift) & mask & pci::DEVICE_CONTROL::INITIATE_FLR::SET.value != 0 {
            self.function_level_reset(f);
        }
        for vector in 0..vector::COUNT {
            if self.functions[f].pci.msi_pending_released(vector) {
                self.send_message(f, vector, dma);
            }
        }
    }

    /// Resets one function with its configuration space; the physical one takes the device and its virtual functions with it. The internal
    /// memory stays usable, empty: software goes on after it without a memory initialisation (F.7), other than after a controller reset.
    fn function_level_reset(&mut self, f: usize) {
        if f == PF {
            let memory_ready = self.memory_ready;
            self.reset_device();
            self.memory_ready = memory_ready;
            for vf in 1..FUNCTIONS {
                self.functions[vf].pci = PciSpace::new();
            }
        } else {
            self.reset_function(f);
        }
        self.functions[f].pci = PciSpace::new();
    }

    /// Finds what a PCI memory address selects in the physical function; `None` if memory decode is off or no BAR matches.
    pub fn decode(&self, pci_address: u64) -> Option<(Bar, u64)> {
        let pci = &self.functions[PF].pci;
        if pci.command & pci::COMMAND::MSE::SET.value == 0 {
            return None;
        }
        [(Bar::Bar2, pci.bar2), (Bar::Bar4, pci.bar4)].into_iter().find_map(|(bar, base)| {
            let offset = pci_address.checked_sub(base)?;
            (base != 0 && offset < self.bar_bytes(bar)).then_some((bar, offset))
        })
    }

    /// Finds what a PCI memory address selects in any function: its number, the BAR and the offset.
    pub fn decode_function(&self, pci_address: u64) -> Option<(u8, Bar, u64)> {
        if let Some((bar, offset)) = self.decode(pci_address) {
            return Some((0, bar, offset));
        }
        let pci = &self.functions[PF].pci;
        if pci.sriov_control & pci::SRIOV_CONTROL::VF_MSE::SET.value == 0 {
            return None;
        }
        [(Bar::Bar2, pci.vf_bar2), (Bar::Bar4, pci.vf_bar4)].into_iter().find_map(|(bar, base)| {
            let bytes = self.vf_bar_bytes(bar);
            let offset = pci_address.checked_sub(base).filter(|_| base != 0 && bytes != 0)?;
            let index = offset / bytes;
            (index < u64::from(self.virtual_functions())).then_some((index as u8 + 1, bar, offset % bytes))
        })
    }

    /// True if software has enabled PASID in the capability. The part's sideband ignores it, and so does the model.
    pub const fn pasid_enabled(&self) -> bool {
        self.functions[PF].pci.pasid_enable
    }
}
