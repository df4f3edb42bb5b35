//! ATS and PRI extended capabilities: what software has switched on, and what the device's port reports back. A virtual function has ATS of its own; page
//! requests of all functions go by the physical function's PRI.
//!
//! The capabilities are registers only. Whoever owns the function's port to memory asks them after every write to configuration space.

use qm_spec::pci::{self, ATS, PRI};

use crate::QmModel;
use crate::function::PF;

/// Offset of the ATS extended capability.
pub const EXT_ATS: u16 = 0x180;
/// Offset of the PRI extended capability, the last of the list.
pub const EXT_PRI: u16 = 0x190;
/// Last dword of both.
pub const EXT_ATS_END: u16 = EXT_PRI + 0xc;
/// Page requests that the function can have under way.
pub const PAGE_REQUESTS: u32 = 96;

/// What software may do to the page requests of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRequests {
    /// They may be sent.
    pub enabled: bool,
    /// This many at a time.
    pub allocation: u32,
}

/// What the function's port has seen of its page requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PageRequestStatus {
    /// An answer was Response Failure.
    pub failed: bool,
    /// An answer fitted no request.
    pub unexpected: bool,
    /// Requests that wait for their answers.
    pub outstanding: bool,
}

/// First dword of what a virtual function has of them, and the header that leads there.
pub const VF_HEADER: u16 = 0x100;
/// ATS control.
pub const ATS_CONTROL: u16 = 0x184;

/// The registers behind both capabilities.
pub struct AtsSpace {
    ats_control: u32,
    pri_enable: bool,
    allocation: u32,
    status: PageRequestStatus,
    reset: bool,
}

impl AtsSpace {
    pub const fn new() -> Self {
        let status = PageRequestStatus { failed: false, unexpected: false, outstanding: false };
        Self { ats_control: 0, pri_enable: false, allocation: 0, status, reset: false }
    }

    pub fn dword(&self, offset: u16) -> u32 {
        match offset {
            EXT_ATS => u32::from(pci::EXT_CAP_ID_ATS) | 1 << 16 | u32::from(EXT_PRI) << 20,
            ATS_CONTROL => (ATS::PAGE_ALIGNED::SET + ATS::GLOBAL::SET).value | self.ats_control,
            EXT_PRI => u32::from(pci::EXT_CAP_ID_PRI) | 1 << 16,
            0x194 => {
                let PageRequestStatus { failed, unexpected, outstanding } = self.status;
                (PRI::ENABLE.val(self.pri_enable.into())
                    + PRI::RESPONSE_FAILURE.val(failed.into())
                    + PRI::UNEXPECTED_GROUP.val(unexpected.into())
                    + PRI::STOPPED.val((!self.pri_enable && !outstanding).into())
                    + PRI::RESPONSE_PASID::SET)
                    .value
            }
            0x198 => PAGE_REQUESTS,
            0x19c => self.allocation,
            _ => 0,
        }
    }

    /// What a virtual function shows: an empty header that points on, and ATS as the last capability.
    pub fn virtual_dword(&self, offset: u16) -> u32 {
        match offset {
            VF_HEADER => 1 << 16 | u32::from(EXT_ATS) << 20,
            EXT_ATS => u32::from(pci::EXT_CAP_ID_ATS) | 1 << 16,
            ATS_CONTROL => self.dword(offset),
            _ => 0,
        }
    }

    /// Writes a dword; only bits in `lanes` change. Status bits that are not in them are not cleared by what they read as.
    pub fn write(&mut self, offset: u16, new: u32, lanes: u32) {
        match offset {
            // The smallest translation is that of the only page size: STU is read-only zero.
            ATS_CONTROL => self.ats_control = new & ATS::ENABLE::SET.value,
            0x194 => {
                self.pri_enable = new & PRI::ENABLE::SET.value != 0;
                let cleared = new & lanes;
                self.reset |= !self.pri_enable && cleared & PRI::RESET::SET.value != 0;
                self.status.failed &= cleared & PRI::RESPONSE_FAILURE::SET.value == 0;
                self.status.unexpected &= cleared & PRI::UNEXPECTED_GROUP::SET.value == 0;
            }
            // May be changed only while requests are off.
            0x19c if !self.pri_enable => self.allocation = new,
            _ => {}
        }
    }
}

impl<const QUEUES: usize, const FUNCTIONS: usize> QmModel<QUEUES, FUNCTIONS> {
    /// Gives the physical function its ATS and PRI capabilities, and virtual ones their ATS: for a part behind an SMMU that has both. To be called
    /// before any software looks.
    pub fn offer_ats(&mut self) {
        self.config.ats = true;
    }

    /// True if software has switched ATS on in the physical function.
    pub fn ats_enabled(&self) -> bool {
        self.function_ats_enabled(PF as u8)
    }

    /// True if software has switched ATS on in a function; false for a virtual one that is not enabled.
    pub fn function_ats_enabled(&self, function: u8) -> bool {
        let f = usize::from(function);
        self.config.ats && f < FUNCTIONS && self.is_enabled(f) && self.functions[f].pci.ats().ats_control != 0
    }

    /// What software lets the physical function ask for.
    pub fn page_requests(&self) -> PageRequests {
        let space = self.functions[PF].pci.ats();
        PageRequests { enabled: self.config.ats && space.pri_enable, allocation: space.allocation.min(PAGE_REQUESTS) }
    }

    /// True once after software has reset page requests: those under way are forgotten.
    pub fn take_page_request_reset(&mut self) -> bool {
        core::mem::take(&mut self.functions[PF].pci.ats_mut().reset)
    }

    /// Shows software what became of page requests. Failures stay until it clears them.
    pub fn note_page_requests(&mut self, seen: PageRequestStatus) {
        let status = &mut self.functions[PF].pci.ats_mut().status;
        status.failed |= seen.failed;
        status.unexpected |= seen.unexpected;
        status.outstanding = seen.outstanding;
    }
}
