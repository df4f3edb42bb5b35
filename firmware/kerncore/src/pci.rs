//! PCI as the kernel sees it: functions behind an ECAM, base address registers, capabilities. PCI Local Bus 3.0, PCI Express Base 4.0.

use alloc::vec::Vec;

/// Configuration space of one bus segment. Offsets are bytes, multiples of 4; functions are requester IDs (bus 15:8, device 7:3, function 2:0).
pub trait ConfigSpace {
    /// Reads 32 bits; all ones where no function answers.
    fn read32(&self, function: u16, offset: u16) -> u32;
    /// Writes 32 bits.
    fn write32(&self, function: u16, offset: u16, value: u32);
}

/// Offset of vendor and device ID.
const IDS: u16 = 0x00;
/// Offset of command (15:0) and status (31:16, write-one-to-clear).
const COMMAND: u16 = 0x04;
/// Offset of revision (7:0) and class code (31:8).
const CLASS: u16 = 0x08;
/// Offset of the word that holds the header type (23:16).
const HEADER: u16 = 0x0c;
/// Offset of the first base address register.
const BAR0: u16 = 0x10;
/// Offset of the capability pointer (7:0).
const CAPABILITIES: u16 = 0x34;
/// Offset of the first extended capability.
const EXTENDED: u16 = 0x100;

/// Command: answer memory accesses.
const COMMAND_MEMORY: u32 = 1 << 1;
/// Command: may master the bus.
const COMMAND_MASTER: u32 = 1 << 2;
/// Command: do not assert INTx.
const COMMAND_INTX_OFF: u32 = 1 << 10;
/// Status: there is a capability list.
const STATUS_CAPABILITIES: u32 = 1 << 20;

/// PCI Express device capabilities: function-level reset.
const DEVICE_FLR: u32 = 1 << 28;
/// PCI Express device control: begin a function-level reset.
const CONTROL_INITIATE_FLR: u32 = 1 << 15;

/// Capability ID of MSI.
pub const CAPABILITY_MSI: u8 = 0x05;
/// Capability ID of PCI Express.
pub const CAPABILITY_PCIE: u8 = 0x10;
/// Extended capability ID of PASID.
pub const EXTENDED_PASID: u16 = 0x001b;
/// Extended capability ID of ATS.
pub const EXTENDED_ATS: u16 = 0x000f;
/// Extended capability ID of PRI.
pub const EXTENDED_PRI: u16 = 0x0013;

/// ATS and PRI: enable bit of each, in the second word of the capability.
const ATS_ENABLE: u32 = 1 << 31;
const PRI_ENABLE: u32 = 1;
/// PRI: answers to requests with a PASID must carry it.
const PRI_RESPONSE_PASID: u32 = 1 << 31;

/// Extended capability ID of SR-IOV.
pub const EXTENDED_SRIOV: u16 = 0x0010;

/// A base address register's demand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BarDemand {
    /// Its index, 0 to 5.
    pub index: u8,
    /// Length in bytes, a power of two.
    pub len_bytes: u64,
    /// It takes a 64-bit address, and the next register with it.
    pub is_64bit: bool,
    /// Reads have no side effects.
    pub prefetchable: bool,
}

/// A function that answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Requester ID.
    pub rid: u16,
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// Revision ID.
    pub revision: u8,
    /// Class code: base, sub, interface.
    pub class: u32,
    /// True for a plain function (header type 0); bridges are listed, not entered.
    pub is_endpoint: bool,
}

/// Finds the functions of the buses `first..=last`.
pub fn enumerate(space: &impl ConfigSpace, first_bus: u8, last_bus: u8) -> Vec<Function> {
    let mut found = Vec::new();
    for bus in first_bus..=last_bus {
        for device in 0..32_u16 {
            let base = u16::from(bus) << 8 | device << 3;
            let Some(zero) = probe(space, base) else { continue };
            let many = space.read32(base, HEADER) >> 23 & 1 != 0;
            found.push(zero);
            if many {
                found.extend((1..8).filter_map(|function| probe(space, base | function)));
            }
        }
    }
    found
}

fn probe(space: &impl ConfigSpace, rid: u16) -> Option<Function> {
    let ids = space.read32(rid, IDS);
    if ids & 0xffff == 0xffff || ids == 0 {
        return None;
    }
    let class = space.read32(rid, CLASS);
    let header = space.read32(rid, HEADER) >> 16 & 0x7f;
    Some(Function {
        rid,
        vendor: ids as u16,
        device: (ids >> 16) as u16,
        revision: class as u8,
        class: class >> 8,
        is_endpoint: header == 0,
    })
}

/// Asks a function how much each memory register wants. Decoding is off meanwhile; I/O registers are passed over.
pub fn bar_demands(space: &impl ConfigSpace, rid: u16) -> Vec<BarDemand> {
    let command = space.read32(rid, COMMAND) & 0xffff;
    space.write32(rid, COMMAND, command & !COMMAND_MEMORY);
    let mut demands = Vec::new();
    let mut index = 0;
    while index < 6 {
        let at = BAR0 + u16::from(index) * 4;
        let (value, mask) = sound(space, rid, at);
        let is_64bit = value & 1 == 0 && value >> 1 & 3 == 2 && index < 5;
        let mut wide = u64::from(mask & !0xf) | 0xffff_ffff_0000_0000;
        if is_64bit {
            let (_, high) = sound(space, rid, at + 4);
            wide = u64::from(mask & !0xf) | u64::from(high) << 32;
        }
        if value & 1 == 0 && mask & !0xf != 0 || is_64bit && wide != 0 {
            demands.push(BarDemand { index, len_bytes: wide.wrapping_neg() & wide, is_64bit, prefetchable: value & 8 != 0 });
        }
        index += 1 + u8::from(is_64bit);
    }
    space.write32(rid, COMMAND, command);
    demands
}

/// Writes all ones to a register, reads what sticks, and puts the old value back.
pub(crate) fn sound(space: &impl ConfigSpace, rid: u16, at: u16) -> (u32, u32) {
    let old = space.read32(rid, at);
    space.write32(rid, at, !0);
    let mask = space.read32(rid, at);
    space.write32(rid, at, old);
    (old, mask)
}

/// Gives a base address register its PCI address.
pub fn set_bar(space: &impl ConfigSpace, rid: u16, bar: &BarDemand, address: u64) {
    let at = BAR0 + u16::from(bar.index) * 4;
    space.write32(rid, at, address as u32);
    if bar.is_64bit {
        space.write32(rid, at + 4, (address >> 32) as u32);
    }
}

/// Turns bus mastering on: all that a virtual function's command register decides.
pub fn enable_master(space: &impl ConfigSpace, rid: u16) {
    let command = space.read32(rid, COMMAND) & 0xffff;
    space.write32(rid, COMMAND, command | COMMAND_MASTER);
}

/// Turns memory decoding and bus mastering on, INTx off.
pub fn enable(space: &impl ConfigSpace, rid: u16) {
    let command = space.read32(rid, COMMAND) & 0xffff;
    space.write32(rid, COMMAND, command | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_INTX_OFF);
}

/// Resets a function by its PCI Express capability; false if it has none or cannot be reset. Its configuration space is then as after power-on.
pub fn function_level_reset(space: &impl ConfigSpace, rid: u16) -> bool {
    let Some(at) = capability(space, rid, CAPABILITY_PCIE) else { return false };
    let can = space.read32(rid, at + 4) & DEVICE_FLR != 0;
    if can {
        let control = space.read32(rid, at + 8);
        space.write32(rid, at + 8, (control & 0xffff) | CONTROL_INITIATE_FLR);
    }
    can
}

/// What software has set in a function's header and capabilities (MSI, PASID, SR-IOV): lost in a function-level reset, and brought back after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedSpace {
    /// Offsets and words in the order of their restoration.
    words: Vec<(u16, u32)>,
}

impl SavedSpace {
    /// Reads what there is to save.
    pub fn of(space: &impl ConfigSpace, rid: u16) -> Self {
        let mut offsets: Vec<u16> = (0..6).map(|bar| BAR0 + 4 * bar).collect();
        if let Some(at) = capability(space, rid, CAPABILITY_MSI) {
            let words = if space.read32(rid, at) >> 16 & 1 << 7 != 0 { 4 } else { 3 };
            offsets.extend((1..=words).map(|word| at + 4 * word));
            offsets.push(at);
        }
        if let Some(at) = extended_capability(space, rid, EXTENDED_PASID) {
            offsets.push(at + 4);
        }
        if let Some(at) = extended_capability(space, rid, EXTENDED_ATS) {
            offsets.push(at + 4);
        }
        if let Some(at) = extended_capability(space, rid, EXTENDED_PRI) {
            // The allocation may change only while requests are off.
            offsets.extend([at + 12, at + 4]);
        }
        if let Some(at) = extended_capability(space, rid, EXTENDED_SRIOV) {
            // Page size, registers and number of the virtual functions, and then the switch.
            offsets.extend((0..6).map(|bar| at + 0x24 + 4 * bar));
            offsets.extend([at + 0x20, at + 0x10, at + 0x08]);
        }
        // Decoding and mastering come back last.
        offsets.push(COMMAND);
        let read = |at: u16| (at, if at == COMMAND { space.read32(rid, at) & 0xffff } else { space.read32(rid, at) });
        Self { words: offsets.into_iter().map(read).collect() }
    }

    /// Writes it back.
    pub fn restore(&self, space: &impl ConfigSpace, rid: u16) {
        for (at, word) in &self.words {
            space.write32(rid, *at, *word);
        }
    }
}

/// Finds a capability: the offset of its header. A list that loops ends.
pub fn capability(space: &impl ConfigSpace, rid: u16, id: u8) -> Option<u16> {
    if space.read32(rid, COMMAND) & STATUS_CAPABILITIES == 0 {
        return None;
    }
    let mut at = (space.read32(rid, CAPABILITIES) & 0xfc) as u16;
    for _ in 0..48 {
        if at < 0x40 {
            return None;
        }
        let header = space.read32(rid, at);
        if header as u8 == id {
            return Some(at);
        }
        at = (header >> 8 & 0xfc) as u16;
    }
    None
}

/// Finds an extended capability: the offset of its header. A list that loops ends.
pub fn extended_capability(space: &impl ConfigSpace, rid: u16, id: u16) -> Option<u16> {
    let mut at = EXTENDED;
    for _ in 0..64 {
        let header = space.read32(rid, at);
        if header == 0 || header == !0 {
            return None;
        }
        if header as u16 == id {
            return Some(at);
        }
        at = (header >> 20 & 0xffc) as u16;
        if at < EXTENDED {
            return None;
        }
    }
    None
}

/// An MSI capability could not be programmed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MsiError {
    /// The function has none.
    Absent,
    /// It has fewer vectors than wanted.
    TooFew {
        /// Vectors it can have.
        available: u32,
    },
    /// The address needs 64 bits, and the capability has 32.
    AddressTooWide,
}

/// Programs MSI: `vectors`, a power of two, with message `data` + vector at `address`; enabled, unmasked.
///
/// # Errors
/// See [`MsiError`]; nothing is changed then.
pub fn set_msi(space: &impl ConfigSpace, rid: u16, address: u64, data: u16, vectors: u32) -> Result<(), MsiError> {
    let at = capability(space, rid, CAPABILITY_MSI).ok_or(MsiError::Absent)?;
    let control = space.read32(rid, at) >> 16;
    let available = 1 << (control >> 1 & 7).min(5);
    if !vectors.is_power_of_two() || vectors > available {
        return Err(MsiError::TooFew { available });
    }
    let wide = control & 1 << 7 != 0;
    if !wide && address >> 32 != 0 {
        return Err(MsiError::AddressTooWide);
    }
    let disabled = control & !(1 | 7 << 4);
    space.write32(rid, at, disabled << 16);
    space.write32(rid, at + 4, address as u32);
    let mut next = at + 8;
    if wide {
        space.write32(rid, next, (address >> 32) as u32);
        next += 4;
    }
    space.write32(rid, next, u32::from(data));
    if control & 1 << 8 != 0 {
        space.write32(rid, next + 4, 0);
    }
    space.write32(rid, at, (disabled | vectors.trailing_zeros() << 4 | 1) << 16);
    Ok(())
}

/// Turns PASID on, without execute and privileged requests; returns its width in bits, `None` if the function has no PASID capability.
pub fn enable_pasid(space: &impl ConfigSpace, rid: u16) -> Option<u8> {
    let at = extended_capability(space, rid, EXTENDED_PASID)?;
    let word = space.read32(rid, at + 4);
    space.write32(rid, at + 4, (word & 0xffff) | 1 << 16);
    Some((word >> 8 & 0x1f) as u8)
}

/// What a function with page requests says about them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRequests {
    /// Requests that it can have under way.
    pub capacity: u32,
    /// Answers to requests with a PASID must carry it.
    pub answers_carry_pasid: bool,
}

/// Finds out whether a function has both ATS and PRI.
pub fn page_requests(space: &impl ConfigSpace, rid: u16) -> Option<PageRequests> {
    extended_capability(space, rid, EXTENDED_ATS)?;
    let at = extended_capability(space, rid, EXTENDED_PRI)?;
    let answers_carry_pasid = space.read32(rid, at + 4) & PRI_RESPONSE_PASID != 0;
    Some(PageRequests { capacity: space.read32(rid, at + 8), answers_carry_pasid })
}

/// True if the function keeps translations if it is let.
pub fn has_ats(space: &impl ConfigSpace, rid: u16) -> bool {
    extended_capability(space, rid, EXTENDED_ATS).is_some()
}

/// Turns ATS on, pages of 4 KiB being the smallest translation: all there is to do for a virtual function, which asks for pages by the physical one's
/// PRI. PASID must be on already: it may not change while ATS is on. False if the function lacks it.
pub fn enable_ats(space: &impl ConfigSpace, rid: u16) -> bool {
    let at = extended_capability(space, rid, EXTENDED_ATS);
    if let Some(at) = at {
        space.write32(rid, at + 4, ATS_ENABLE);
    }
    at.is_some()
}

/// Turns ATS on, pages of 4 KiB being the smallest translation, then page requests, `allocation` at a time. PASID must be on already: it may
/// not change while ATS is on. False if the function lacks one of the two.
pub fn enable_page_requests(space: &impl ConfigSpace, rid: u16, allocation: u32) -> bool {
    let (Some(ats), Some(pri)) = (extended_capability(space, rid, EXTENDED_ATS), extended_capability(space, rid, EXTENDED_PRI)) else {
        return false;
    };
    space.write32(rid, ats + 4, ATS_ENABLE);
    // Off while the allocation changes. Status bits are cleared by ones: whatever an earlier owner left there is history.
    let status = space.read32(rid, pri + 4) & 0x0003_0000;
    space.write32(rid, pri + 4, status);
    space.write32(rid, pri + 12, allocation);
    space.write32(rid, pri + 4, PRI_ENABLE);
    true
}

#[cfg(test)]
mod tests;
