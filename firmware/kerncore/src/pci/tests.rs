extern crate std;
use super::*;
use core::cell::RefCell;
use std::collections::BTreeMap;
use std::vec;

/// Registers by function and offset; each with the bits that can be written.
#[derive(Default)]
struct Bus {
    words: RefCell<BTreeMap<(u16, u16), (u32, u32)>>,
}

impl Bus {
    fn set(&self, rid: u16, offset: u16, value: u32, writable: u32) {
        self.words.borrow_mut().insert((rid, offset), (value, writable));
    }
    fn get(&self, rid: u16, offset: u16) -> u32 {
        self.words.borrow()[&(rid, offset)].0
    }
    /// The accelerator: two 64-bit registers, 4 MiB and 64 MiB, MSI with 4 vectors, 64-bit, maskable; PCIe; PASID of 16 bits.
    fn with_accelerator() -> Self {
        let bus = Self::default();
        let rid = 0x08;
        bus.set(rid, 0x00, 0xa250_19e5, 0);
        bus.set(rid, 0x04, 0x0010_0000, 0xffff);
        bus.set(rid, 0x08, 0x1200_0030, 0);
        bus.set(rid, 0x0c, 0, 0);
        for offset in [0x10, 0x14] {
            bus.set(rid, offset, 0, 0);
        }
        bus.set(rid, 0x18, 0xc, 0xffc0_0000);
        bus.set(rid, 0x1c, 0, !0);
        bus.set(rid, 0x20, 0xc, 0xfc00_0000);
        bus.set(rid, 0x24, 0, !0);
        bus.set(rid, 0x34, 0x40, 0);
        bus.set(rid, 0x40, 0x0002_8010, 0);
        bus.set(rid, 0x80, 0x0184_0005, 0x0071_0000);
        for offset in [0x84, 0x88, 0x8c, 0x90] {
            bus.set(rid, offset, 0xdead_beef, !0);
        }
        bus.set(rid, 0x100, 0x1501_0001, 0);
        bus.set(rid, 0x150, 0x0001_001b, 0);
        bus.set(rid, 0x154, 0x0000_1000, 0x0007_0000);
        bus
    }
}

impl ConfigSpace for Bus {
    fn read32(&self, function: u16, offset: u16) -> u32 {
        let words = self.words.borrow();
        match words.get(&(function, offset)) {
            Some((value, _)) => *value,
            None if words.contains_key(&(function, 0)) => 0,
            None => !0,
        }
    }
    fn write32(&self, function: u16, offset: u16, value: u32) {
        if let Some((old, writable)) = self.words.borrow_mut().get_mut(&(function, offset)) {
            *old = *old & !*writable | value & *writable;
        }
    }
}

#[test]
fn functions_are_found_with_identity_and_header() {
    let bus = Bus::with_accelerator();
    bus.set(0x00, 0, 0x0008_1b36, 0);
    bus.set(0x00, 0x08, 0x0600_0000, 0);
    bus.set(0x18, 0, 0x1234_5678, 0);
    bus.set(0x18, 0x0c, 0x0081_0000, 0);
    bus.set(0x1a, 0, 0x1234_5678, 0);
    bus.set(0x21, 0, 0x1234_5678, 0);
    let found = enumerate(&bus, 0, 0);
    assert_eq!(found.iter().map(|f| f.rid).collect::<Vec<_>>(), vec![0x00, 0x08, 0x18, 0x1a], "function 1 of device 4 has no function 0");
    let accelerator = &found[1];
    assert_eq!((accelerator.vendor, accelerator.device, accelerator.revision), (0x19e5, 0xa250, 0x30));
    assert_eq!((accelerator.class, accelerator.is_endpoint), (0x12_0000, true));
    assert!(!found[2].is_endpoint, "a bridge");
}

#[test]
fn demands_are_sounded_and_the_registers_put_back() {
    let bus = Bus::with_accelerator();
    bus.set(0x08, 0x10, 0x1, 0xffff_fffc);
    bus.set(0x08, 0x14, 0x1000_0000, 0xfff0_0000);
    bus.set(0x08, 0x04, 0x0010_0006, 0xffff);
    let demands = bar_demands(&bus, 0x08);
    let bar = |index, len_bytes, is_64bit, prefetchable| BarDemand { index, len_bytes, is_64bit, prefetchable };
    assert_eq!(demands, [bar(1, 0x10_0000, false, false), bar(2, 0x40_0000, true, true), bar(4, 0x400_0000, true, true)]);
    assert_eq!((bus.get(8, 0x14), bus.get(8, 0x04)), (0x1000_0000, 0x0010_0006));
}

#[test]
fn a_register_of_four_gigabytes_or_more_is_measured_in_its_upper_half() {
    let bus = Bus::with_accelerator();
    bus.set(0x08, 0x18, 0xc, 0);
    bus.set(0x08, 0x1c, 0, 0xffff_fffe);
    assert_eq!(bar_demands(&bus, 0x08)[0], BarDemand { index: 2, len_bytes: 2 << 32, is_64bit: true, prefetchable: true });
}

#[test]
fn addresses_go_to_both_halves() {
    let bus = Bus::with_accelerator();
    let demands = bar_demands(&bus, 0x08);
    set_bar(&bus, 0x08, &demands[0], 0x21_0040_0000);
    assert_eq!((bus.get(8, 0x18), bus.get(8, 0x1c)), (0x0040_000c, 0x21));
    enable(&bus, 0x08);
    assert_eq!(bus.get(8, 0x04) & 0xffff, 0x0406);
}

#[test]
fn msi_is_programmed_in_the_form_that_the_capability_has() {
    let bus = Bus::with_accelerator();
    set_msi(&bus, 0x08, 0x1_ffff_f040, 0xd0, 4).unwrap();
    assert_eq!(bus.get(8, 0x80), 0x01a5_0005, "enabled, 4 vectors");
    assert_eq!((bus.get(8, 0x84), bus.get(8, 0x88), bus.get(8, 0x8c), bus.get(8, 0x90)), (0xffff_f040, 1, 0xd0, 0));
    assert_eq!(set_msi(&bus, 0x08, 0, 0, 8), Err(MsiError::TooFew { available: 4 }));
    assert_eq!(set_msi(&bus, 0x08, 0, 0, 3), Err(MsiError::TooFew { available: 4 }));
    bus.set(0x08, 0x80, 0x0004_0005, 0x0071_0000);
    assert_eq!(set_msi(&bus, 0x08, 1 << 32, 0, 1), Err(MsiError::AddressTooWide));
    set_msi(&bus, 0x08, 0xffff_f040, 0xd4, 1).unwrap();
    assert_eq!((bus.get(8, 0x80), bus.get(8, 0x88)), (0x0005_0005, 0xd4), "32-bit form: data follows the low address");
}

#[test]
fn capability_lists_that_loop_or_lie_end() {
    let bus = Bus::with_accelerator();
    assert_eq!(capability(&bus, 0x08, CAPABILITY_PCIE), Some(0x40));
    bus.set(0x08, 0x80, 0x0000_4005, 0);
    assert_eq!(capability(&bus, 0x08, 0x11), None);
    bus.set(0x08, 0x150, 0x1501_0077, 0);
    assert_eq!(extended_capability(&bus, 0x08, EXTENDED_PASID), None);
    bus.set(0x08, 0x04, 0, 0);
    assert_eq!(capability(&bus, 0x08, CAPABILITY_MSI), None);
    assert_eq!(set_msi(&bus, 0x08, 0, 0, 1), Err(MsiError::Absent));
}

#[test]
fn pasid_is_enabled_and_its_width_told() {
    let bus = Bus::with_accelerator();
    assert_eq!(enable_pasid(&bus, 0x08), Some(16));
    assert_eq!(bus.get(8, 0x154), 0x0001_1000);
    assert_eq!(enable_pasid(&bus, 0x10), None);
}

#[test]
fn page_requests_are_enabled_after_ats_and_with_their_allocation() {
    let bus = Bus::with_accelerator();
    assert_eq!((page_requests(&bus, 0x08), enable_page_requests(&bus, 0x08, 8)), (None, false), "no ATS");
    bus.set(0x08, 0x150, 0x1801_001b, 0);
    bus.set(0x08, 0x180, 0x1901_000f, 0);
    bus.set(0x08, 0x184, 0x0000_0060, 0x801f_0000);
    assert_eq!(page_requests(&bus, 0x08), None, "ATS alone");
    bus.set(0x08, 0x190, 0x0001_0013, 0);
    bus.set(0x08, 0x194, 0x8001_0000, 0x0000_0001);
    bus.set(0x08, 0x198, 96, 0);
    bus.set(0x08, 0x19c, 0, !0);
    assert_eq!(page_requests(&bus, 0x08), Some(PageRequests { capacity: 96, answers_carry_pasid: true }));
    assert!(enable_page_requests(&bus, 0x08, 32));
    // Smallest translation 4 KiB, enabled; 32 requests; enabled.
    assert_eq!((bus.get(8, 0x184), bus.get(8, 0x19c), bus.get(8, 0x194)), (0x8000_0060, 32, 0x8001_0001));
    // A reset of the function takes both away; they come back with its space.
    let saved = SavedSpace::of(&bus, 0x08);
    bus.set(0x08, 0x184, 0x0000_0060, 0x801f_0000);
    bus.set(0x08, 0x19c, 0, !0);
    bus.set(0x08, 0x194, 0x8001_0000, 0x0000_0001);
    saved.restore(&bus, 0x08);
    assert_eq!((bus.get(8, 0x184), bus.get(8, 0x19c), bus.get(8, 0x194)), (0x8000_0060, 32, 0x8001_0001));
    bus.set(0x08, 0x194, 0, 1);
    assert_eq!(page_requests(&bus, 0x08), Some(PageRequests { capacity: 96, answers_carry_pasid: false }));
}
