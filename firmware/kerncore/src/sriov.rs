//! SR-IOV as the kernel sees it: which virtual functions a function offers, where they are, and what their registers want. PCI Express Base
//! 4.0, section 9.3.3.

use alloc::vec::Vec;

use crate::pci::{BarDemand, ConfigSpace, EXTENDED_SRIOV, extended_capability, sound};

/// Offset of TotalVFs (31:16) in the capability.
const TOTAL: u16 = 0x0c;
/// Offset of First VF Offset (15:0) and VF Stride (31:16).
const ROUTE: u16 = 0x14;
/// Offset of the word with the VF Device ID (31:16).
const DEVICE: u16 = 0x18;
/// Offset of System Page Size: bit n is 2^(n + 12) bytes.
const SYSTEM_PAGE: u16 = 0x20;
/// Offset of VF BAR0.
const BAR0: u16 = 0x24;

/// A function's offer of virtual functions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sriov {
    /// Offset of the capability.
    pub at: u16,
    /// Virtual functions that there can be.
    pub total: u16,
    /// Device ID of each.
    pub device: u16,
    /// What each of them wants per register; the registers of all of them lie in a row.
    pub bars: Vec<BarDemand>,
    first: u16,
    stride: u16,
}

impl Sriov {
    /// Requester ID of virtual function `number`, from 1 on; `None` if there can be no such function, or it would lie on another bus.
    pub fn rid(&self, physical: u16, number: u16) -> Option<u16> {
        if number == 0 || number > self.total {
            return None;
        }
        let steps = self.stride.checked_mul(number - 1)?;
        let rid = physical.checked_add(self.first)?.checked_add(steps)?;
        (rid >> 8 == physical >> 8).then_some(rid)
    }
}

/// Reads the offer of a function whose virtual functions are off; `None` if it makes none. Their page size becomes 4 KiB.
pub fn probe(space: &impl ConfigSpace, rid: u16) -> Option<Sriov> {
    let at = extended_capability(space, rid, EXTENDED_SRIOV)?;
    space.write32(rid, at + SYSTEM_PAGE, 1);
    let route = space.read32(rid, at + ROUTE);
    let mut bars = Vec::new();
    let mut index = 0;
    while index < 6 {
        let register = at + BAR0 + u16::from(index) * 4;
        let (value, mask) = sound(space, rid, register);
        let is_64bit = value >> 1 & 3 == 2 && index < 5;
        let high = if is_64bit { sound(space, rid, register + 4).1 } else { u32::MAX };
        let wide = u64::from(mask & !0xf) | u64::from(high) << 32;
        if mask & !0xf != 0 || is_64bit && high != 0 {
            bars.push(BarDemand { index, len_bytes: wide & wide.wrapping_neg(), is_64bit, prefetchable: value & 8 != 0 });
        }
        index += 1 + u8::from(is_64bit);
    }
    Some(Sriov {
        at,
        total: (space.read32(rid, at + TOTAL) >> 16) as u16,
        device: (space.read32(rid, at + DEVICE) >> 16) as u16,
        bars,
        first: route as u16,
        stride: (route >> 16) as u16,
    })
}

/// Says where the registers of all virtual functions begin.
pub fn set_bar(space: &impl ConfigSpace, rid: u16, sriov: &Sriov, bar: &BarDemand, address: u64) {
    let register = sriov.at + BAR0 + u16::from(bar.index) * 4;
    space.write32(rid, register, address as u32);
    if bar.is_64bit {
        space.write32(rid, register + 4, (address >> 32) as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;

    /// Function 8 with a capability at 0x140: 3 virtual functions, a 64-bit VF BAR2 of 64 KiB.
    struct Space(RefCell<[u32; 0x400]>);

    impl ConfigSpace for Space {
        fn read32(&self, function: u16, offset: u16) -> u32 {
            if function == 8 { self.0.borrow()[usize::from(offset) / 4] } else { u32::MAX }
        }
        fn write32(&self, function: u16, offset: u16, value: u32) {
            let fixed = match offset {
                0x16c => 0xffff_0000 & value | 0xc,
                0x170 | 0x160 => value,
                _ => return,
            };
            assert_eq!(function, 8);
            self.0.borrow_mut()[usize::from(offset) / 4] = fixed;
        }
    }

    fn space() -> Space {
        let mut words = [0; 0x400];
        for (at, word) in [(0x100, 0x1401_001b), (0x140, 0x0001_0010), (0x14c, 0x0003_0003), (0x154, 0x0002_0001), (0x158, 0xa251_0000)] {
            words[at / 4] = word;
        }
        words[0x16c / 4] = 0xc;
        Space(RefCell::new(words))
    }

    #[test]
    fn the_offer_is_read_and_registers_are_sized_and_placed() {
        let space = space();
        let sriov = probe(&space, 8).expect("a capability");
        assert_eq!((sriov.at, sriov.total, sriov.device), (0x140, 3, 0xa251));
        assert_eq!(sriov.bars, [BarDemand { index: 2, len_bytes: 0x1_0000, is_64bit: true, prefetchable: true }]);
        assert_eq!(space.read32(8, 0x160), 1, "4 KiB pages");
        assert_eq!((space.read32(8, 0x16c), space.read32(8, 0x170)), (0xc, 0), "sizing leaves no address behind");
        set_bar(&space, 8, &sriov, &sriov.bars[0], 0x21_4000_0000);
        assert_eq!((space.read32(8, 0x16c), space.read32(8, 0x170)), (0x4000_000c, 0x21));
    }

    #[test]
    fn functions_are_found_by_offset_and_stride_on_their_bus_only() {
        let sriov = probe(&space(), 8).expect("a capability");
        assert_eq!([0, 1, 2, 3, 4].map(|number| sriov.rid(8, number)), [None, Some(9), Some(11), Some(13), None]);
        assert_eq!(sriov.rid(0xfd, 2), None, "the next bus");
        assert_eq!(probe(&space(), 9), None);
    }
}
