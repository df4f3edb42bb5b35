//! Names for the addresses of the silicon's aperture. What a BAR holds is learnt from the writes that placed it.

use firmware_platform as platform;
use hal::RegInfo;
use std::collections::HashMap;

/// Offsets of BAR0 and of one past BAR5 in configuration space.
const BAR0: u64 = 0x10;
const BARS_END: u64 = 0x28;
/// Index of the register BAR and of the doorbell BAR of a function.
const REGISTER_BAR: u64 = 2;
const DOORBELL_BAR: u64 = 4;

/// Finds names, and follows where the BARs go.
#[derive(Default)]
pub struct Names {
    /// Base address registers as last written: (function, index of the BAR register) to value.
    bars: HashMap<(u64, u64), u32>,
}

impl Names {
    /// Names an address.
    pub fn of(&self, address: u64) -> String {
        if let Some(offset) = inside(address, platform::SMMU_BASE, platform::SMMU_BYTES) {
            return format!("smmu {}", register(smmu_spec::regs::ALL, offset));
        }
        if let Some(offset) = inside(address, platform::ECAM_BASE, platform::ECAM_BYTES) {
            return format!("config {}+{:#x}", function(offset >> 12), offset & 0xfff);
        }
        if let Some(offset) = inside(address, platform::MSI_FRAME_BASE, platform::MSI_FRAME_BYTES) {
            return format!("msi frame+{offset:#x}");
        }
        self.in_bar(address).unwrap_or_else(|| format!("{address:#x}"))
    }

    /// Takes note of a store that may place a BAR.
    pub fn follow(&mut self, address: u64, value: u64) {
        let Some(offset) = inside(address, platform::ECAM_BASE, platform::ECAM_BYTES) else { return };
        if (BAR0..BARS_END).contains(&(offset & 0xfff)) {
            // A BAR is written with all ones to learn its size, and is placed by the next write.
            self.bars.insert((offset >> 12, ((offset & 0xfff) - BAR0) / 4), value as u32);
        }
    }

    fn in_bar(&self, address: u64) -> Option<String> {
        let bus = bus_address(address)?;
        // How long a BAR is was never written down here; the nearest one below the address is the one that decodes it.
        let bars = self.bars.keys().filter(|(_, index)| [REGISTER_BAR, DOORBELL_BAR].contains(index));
        let placed = bars.filter_map(|&(function, index)| Some((self.base(function, index)?, function, index)));
        let (base, function_number, index) = placed.filter(|(base, ..)| *base <= bus).max()?;
        let (name, offset) = (function(function_number), bus - base);
        if index == REGISTER_BAR {
            return (offset < qm_spec::regs::BAR2_BYTES).then(|| format!("{name} {}", device_register(offset)));
        }
        let page = qm_spec::regs::DOORBELL_PAGE_BYTES;
        Some(format!("{name} queue {} doorbell page+{:#x}", offset / page, offset % page))
    }

    /// The bus address in a pair of 32-bit BAR registers, without the type bits.
    fn base(&self, function_number: u64, index: u64) -> Option<u64> {
        let low = *self.bars.get(&(function_number, index))?;
        let high = self.bars.get(&(function_number, index + 1)).copied().unwrap_or(0);
        let base = u64::from(high) << 32 | u64::from(low & !0xf);
        (base != 0 && low != u32::MAX).then_some(base)
    }
}

/// Turns a CPU address in one of the bridge's windows into the address on the bus.
fn bus_address(address: u64) -> Option<u64> {
    let low = inside(address, platform::PCI_MEM32_BASE, platform::PCI_MEM32_BYTES).map(|offset| platform::PCI_MEM32_BUS + offset);
    low.or_else(|| inside(address, platform::PCI_MEM64_BASE, platform::PCI_MEM64_BYTES).map(|offset| platform::PCI_MEM64_BASE + offset))
}

fn inside(address: u64, base: u64, bytes: u64) -> Option<u64> {
    address.checked_sub(base).filter(|offset| *offset < bytes)
}

fn function(rid: u64) -> String {
    format!("{:02x}:{:02x}.{}", rid >> 8, (rid >> 3) & 0x1f, rid & 7)
}

fn register(table: &[RegInfo], offset: u64) -> String {
    find(table, offset).unwrap_or_else(|| format!("+{offset:#x}"))
}

fn device_register(offset: u64) -> String {
    use qm_spec::regs::{am, function as queue, pf};
    [queue::REGISTERS, pf::REGISTERS, am::REGISTERS, &zip_spec::registers::REGISTERS[..]]
        .iter()
        .find_map(|table| find(table, offset))
        .unwrap_or_else(|| format!("bar2+{offset:#x}"))
}

fn find(table: &[RegInfo], offset: u64) -> Option<String> {
    let register = table.iter().find(|register| inside(offset, register.offset, u64::from(register.bytes)).is_some())?;
    Some(match offset - register.offset {
        0 => register.name.to_owned(),
        inner => format!("{}+{inner}", register.name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_known_once_it_is_placed() {
        let mut names = Names::default();
        let bar2 = platform::ECAM_BASE + 0x8018;
        assert_eq!(names.of(platform::PCI_MEM32_BASE + 0x10_0000), "0x2020100000");
        names.follow(bar2, 0xffff_ffff);
        names.follow(bar2 + 4, 0);
        assert_eq!(names.of(platform::PCI_MEM32_BASE + 0x10_0000), "0x2020100000");
        names.follow(bar2, 0x3010_0004);
        assert_eq!(names.of(platform::PCI_MEM32_BASE + 0x10_0300), format!("00:01.0 {}", device_register(0x300)));
        assert!(!device_register(0x300).starts_with("bar2+"), "the mailbox has a name");
    }

    #[test]
    fn the_nearest_bar_below_decodes() {
        let mut names = Names::default();
        for (offset, low, high) in [(0x18, 0x0400_000c, 0x21), (0x20, 0x0000_000c, 0x21)] {
            names.follow(platform::ECAM_BASE + 0x8000 + offset, low);
            names.follow(platform::ECAM_BASE + 0x8004 + offset, high);
        }
        assert_eq!(names.of(0x21_0410_0054), format!("00:01.0 {}", device_register(0x10_0054)));
        assert_eq!(names.of(0x21_03ff_1000), "00:01.0 queue 1023 doorbell page+0x1000");
    }

    #[test]
    fn doorbell_pages_are_numbered_by_queue() {
        let mut names = Names::default();
        names.follow(platform::ECAM_BASE + 0x8020, 0x0000_000c);
        names.follow(platform::ECAM_BASE + 0x8024, 0x21);
        assert_eq!(names.of(0x21_0003_1000), "00:01.0 queue 3 doorbell page+0x1000");
    }
}
