//! Virtual functions: queues for each, then the PCI switch (C.7, F.8).

use hal::{Clock, ConfigSpace, DmaMapper, RegisterWindow};
use qm_spec::pci::{self, sriov};
use qm_spec::{SqcVft, VfShares};

use crate::{Qm, QmError, QmState, Role};

/// Where the SR-IOV capability lies; `None` if the function has none. The walk is bounded, whatever the chain says.
pub fn find_sriov(config: &dyn ConfigSpace) -> Option<u16> {
    let mut at = 0x100;
    for _ in 0..64 {
        let header = config.read32(at);
        if header == u32::MAX {
            return None;
        }
        if header as u16 == pci::EXT_CAP_ID_SRIOV {
            return Some(at);
        }
        at = (header >> 20) as u16 & !3;
        if at < 0x100 {
            return None;
        }
    }
    None
}

impl<W: RegisterWindow, C: Clock, M: DmaMapper, const QUEUES: usize> Qm<W, C, M, QUEUES> {
    fn shares(&self, vfs: u16) -> Result<VfShares, QmError> {
        let capabilities = &self.capabilities;
        VfShares::new(capabilities.device_queues, self.queue_count, vfs, capabilities.function_queues).ok_or(QmError::Invalid)
    }

    /// Gives every virtual function its queues.
    pub(crate) fn give_vf_shares(&mut self, vfs: u16) -> Result<(), QmError> {
        for (vf, share) in self.shares(vfs)? {
            if let Err(error) = self.give_share(vf, Some(share)) {
                for done in (vf..=vfs).rev() {
                    // What was written is taken back as far as it goes; the first error is the one to tell.
                    let _ = self.give_share(done, None);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Share of queues that a virtual function gets among `vfs`.
    pub fn vf_share(&self, vf: u16, vfs: u16) -> Option<SqcVft> {
        self.shares(vfs).ok()?.find(|(number, _)| *number == vf).map(|(_, share)| share)
    }

    /// Enables `vfs` virtual functions: each has a quality of service of 1000 and its share of the queues that the physical function left.
    ///
    /// # Errors
    /// [`QmError::VfsEnabled`], [`QmError::Invalid`] for 0, for more than the capability offers or than there are queues,
    /// [`QmError::Unsupported`] without the capability or if the switch does not take, [`QmError::RegisterTimeout`]. No share stays behind.
    pub fn enable_vfs(&mut self, vfs: u16, config: &dyn ConfigSpace) -> Result<(), QmError> {
        if self.role != Role::Physical || self.state != QmState::Started {
            return Err(QmError::WrongFunctionState(self.state));
        }
        if self.vfs != 0 {
            return Err(QmError::VfsEnabled);
        }
        let at = find_sriov(config).ok_or(QmError::Unsupported)?;
        let total = (config.read32(at + sriov::VFS) >> 16) as u16;
        if vfs == 0 || vfs > total || vfs > qm_spec::MAX_VFS {
            return Err(QmError::Invalid);
        }
        self.qos[1..=usize::from(vfs)].fill(1000);
        self.give_vf_shares(vfs)?;
        config.write32(at + sriov::NUM_VFS, vfs.into());
        let on = pci::SRIOV_CONTROL::VF_ENABLE::SET + pci::SRIOV_CONTROL::VF_MSE::SET;
        config.write32(at + sriov::CONTROL, on.value);
        if config.read32(at + sriov::CONTROL) & on.value != on.value {
            config.write32(at + sriov::CONTROL, 0);
            for vf in 1..=vfs {
                let _ = self.give_share(vf, None);
            }
            return Err(QmError::Unsupported);
        }
        self.vfs = vfs;
        Ok(())
    }

    /// Disables the virtual functions and takes their queues away. `in_use` says of each whether its driver still has queues open.
    ///
    /// # Errors
    /// [`QmError::VfsBusy`], and nothing is done; the first [`QmError::RegisterTimeout`] after everything was tried.
    pub fn disable_vfs(&mut self, config: &dyn ConfigSpace, in_use: impl Fn(u16) -> bool) -> Result<(), QmError> {
        if (1..=self.vfs).any(&in_use) {
            return Err(QmError::VfsBusy);
        }
        if self.vfs == 0 {
            return Ok(());
        }
        let at = find_sriov(config).ok_or(QmError::Unsupported)?;
        config.write32(at + sriov::CONTROL, 0);
        let mut result = Ok(());
        for vf in 1..=self.vfs {
            // One that fails does not keep the others.
            result = result.and(self.give_share(vf, None));
        }
        self.vfs = 0;
        result
    }
}
