//! The register block, and the driver's bring-up on it.

use super::rig::*;
use crate::support::FakeClock;
use hal::{RegisterWindow, Requester};
use std::cell::RefCell;
use std::collections::HashSet;
use zip_driver::{CapabilityWords, InitError, UserTraffic, bring_up, read_capabilities, read_statistics, take_errors};
use zip_model::{Direction, Job, Step, ZipCore};
use zip_spec::registers::{
    CORE_INT_MASK, CORE_INT_SET, CORE_INT_SOURCE, CORE_SRAM_ECC_ERR_INFO, Core, PREFETCH_CFG, REGISTERS, ZIP_CONTROL,
};
use zip_spec::{Capabilities, Container, Sqe, SqeType, Status, error_mask};

/// The engine behind a window, with capability words as the queue manager shows them.
struct Window {
    core: RefCell<ZipCore>,
    words: Vec<(u64, u32)>,
    log: RefCell<Vec<(u64, u32)>>,
}

impl Window {
    fn new(capabilities: Capabilities) -> Self {
        let words = vec![(0x3130, 0x1ffe), (0x3134, 0x07fe_07fe), (0x3138, 1), (0x313c, 0x1205_0203), (0x3148, capabilities.algorithms)];
        Self { core: RefCell::new(ZipCore::new(capabilities)), words, log: RefCell::default() }
    }
    fn last_write(&self, offset: u64) -> Option<u32> {
        self.log.borrow().iter().rev().find(|(at, _)| *at == offset).map(|(_, value)| *value)
    }
}

impl RegisterWindow for Window {
    fn read32(&self, offset: u64) -> u32 {
        match self.words.iter().find(|(at, _)| *at == offset) {
            Some((_, value)) => *value,
            None => self.core.borrow_mut().mmio_read(offset, 4) as u32,
        }
    }
    fn write32(&self, offset: u64, value: u32) {
        self.log.borrow_mut().push((offset, value));
        self.core.borrow_mut().mmio_write(offset, 4, value.into());
    }
    fn read64(&self, offset: u64) -> u64 {
        self.core.borrow_mut().mmio_read(offset, 8)
    }
    fn write64(&self, offset: u64, value: u64) {
        self.core.borrow_mut().mmio_write(offset, 8, value);
    }
    fn write128(&self, _: u64, _: u64, _: u64) {
        unreachable!("the engine has no 128-bit register");
    }
}

fn up(capabilities: Capabilities, traffic: UserTraffic) -> Window {
    let window = Window::new(capabilities);
    bring_up(&window, &FakeClock::new(), &capabilities, traffic).unwrap();
    window
}

#[test]
fn bring_up_writes_rows_45_48_and_58_on_v3() {
    let window = up(Capabilities::V3, UserTraffic::Sva);
    let gates: Vec<u32> = window.log.borrow().iter().filter(|(at, _)| *at == 0x30_1004).map(|(_, value)| *value).collect();
    assert_eq!(gates, [0x0001_001f, 0x2001_ff1f]);
    let expected = [(0x30_10a0, 0x1fff), (0x30_1160, 1), (0x30_1164, 0x1ffe), (0x30_120c, 0x7fe), (0x30_100c, 0x4000), (0x30_10a4, 0)];
    for (offset, value) in expected {
        assert_eq!(window.last_write(offset), Some(value), "{offset:#x}");
    }
    for offset in [0x30_1110, 0x30_111c, 0x30_1128, 0x30_1134, 0x30_1140] {
        assert_eq!(window.last_write(offset), Some(0x4000_1070), "{offset:#x}");
    }
    for offset in [0x30_1040, 0x30_1044, 0x30_1060, 0x30_1064] {
        assert_eq!(window.last_write(offset), Some(u32::MAX));
    }
    assert_eq!(window.read32(0x30_11b0), 0, "prefetch is open");
    assert_eq!(window.read32(0x30_11a8), 1);
    assert_eq!(window.last_write(0x30_1000), Some(0));
}

#[test]
fn bring_up_writes_rows_45_and_58_on_v2() {
    let window = up(Capabilities::V2, UserTraffic::Sva);
    assert_eq!(window.read32(0x30_1004), 0x0001_00ff);
    for offset in [0x30_111c, 0x30_1128, 0x30_1134] {
        assert_eq!(window.last_write(offset), Some(0x4000_1071), "{offset:#x}");
    }
    assert_eq!((window.last_write(0x30_1110), window.last_write(0x30_1140)), (Some(0x4000_1070), Some(0x4000_1070)));
    assert_eq!((window.last_write(0x30_11b0), window.last_write(0x30_120c)), (None, None), "V3's registers are not touched");
    let window = up(Capabilities::V2, UserTraffic::Kernel);
    assert_eq!(window.last_write(0x30_1128), Some(0x4000_1070));
}

#[test]
fn bring_up_names_what_did_not_answer() {
    struct Dead;
    impl RegisterWindow for Dead {
        fn read32(&self, _: u64) -> u32 {
            u32::MAX
        }
        fn write32(&self, _: u64, _: u32) {}
        fn read64(&self, _: u64) -> u64 {
            u64::MAX
        }
        fn write64(&self, _: u64, _: u64) {}
        fn write128(&self, _: u64, _: u64, _: u64) {}
    }
    let clock = FakeClock::new();
    assert_eq!(bring_up(&Dead, &clock, &Capabilities::V3, UserTraffic::Sva), Err(InitError::PrefetchTimeout { seen: u32::MAX }));
    let error = bring_up(&Dead, &clock, &Capabilities::V2, UserTraffic::Sva);
    assert_eq!(error, Err(InitError::CoresNotEnabled { wanted: 0x0001_00ff, seen: u32::MAX }));
    assert_eq!(zip_driver::wait_sva_idle(&Dead, &clock), Err(InitError::SvaBusy { seen: u32::MAX }));
}

#[test]
fn capability_words_are_read_from_v3_on_only() {
    let window = Window::new(Capabilities::V3);
    assert_eq!(read_capabilities(&window, 0x30, CapabilityWords::Present), Capabilities::V3);
    assert_eq!(read_capabilities(&window, 0x30, CapabilityWords::Absent), Capabilities::V3_UNTOLD);
    let newest = Window::new(Capabilities::V5);
    assert_eq!(read_capabilities(&newest, 0x51, CapabilityWords::Present), Capabilities::V5);
    assert_eq!(read_capabilities(&window, 0x21, CapabilityWords::Present), Capabilities::V2);
    let mut window = Window::new(Capabilities::V3);
    window.words = vec![(0x3130, 0x1ffe), (0x3134, 0x07fe_07fe), (0x3138, 1), (0x313c, 0x1205_ffff), (0x3148, 0x3)];
    let odd = read_capabilities(&window, 0x30, CapabilityWords::Present);
    assert_eq!((odd.compress_cores, odd.decompress_cores, odd.algorithm_names()), (2, 6, "zlib"));
}

#[test]
fn every_register_reads_its_reset_value() {
    for capabilities in [Capabilities::V2, Capabilities::V3] {
        let window = Window::new(capabilities);
        for register in REGISTERS {
            let is_v3_only = register.offset == PREFETCH_CFG.offset();
            let expected = if is_v3_only && capabilities == Capabilities::V2 { 0 } else { register.reset as u32 };
            assert_eq!(window.read32(register.offset), expected, "{}", register.name);
        }
    }
}

#[test]
fn unknown_words_and_odd_widths_do_no_harm() {
    let mut core = ZipCore::new(Capabilities::V3);
    for offset in (0x30_1000..0x30_a000).step_by(4) {
        core.mmio_write(offset, 4, 0xffff_ffff);
        core.mmio_read(offset, 4);
    }
    for bytes in [1, 2, 4, 8] {
        for offset in 0x30_0ff8..0x30_1010 {
            core.mmio_write(offset, bytes, 0x1234_5678_9abc_def0);
            core.mmio_read(offset, bytes);
        }
    }
    let mut core = ZipCore::new(Capabilities::V3);
    core.mmio_write(0x30_1040, 4, 0x1122_3344);
    core.mmio_write(0x30_1042, 2, 0xffff);
    assert_eq!(core.mmio_read(0x30_1040, 4), 0x1122_3344, "part of a register cannot be written");
    assert_eq!((core.mmio_read(0x30_1041, 1), core.mmio_read(0x30_1042, 2)), (0x33, 0x1122));
    core.mmio_write(0x30_1040, 8, 0x8877_6655_4433_2211);
    assert_eq!(core.mmio_read(0x30_1040, 8), 0x8877_6655_4433_2211);
    assert_eq!(core.mmio_read(0x31_0000, 4), 0);
}

#[test]
fn errors_are_reported_masked_and_cleared_by_one() {
    let window = up(Capabilities::V3, UserTraffic::Sva);
    CORE_INT_SET.set(&window, error_mask::SVA | error_mask::ECC_1BIT);
    assert!(window.core.borrow().has_abnormal_interrupt());
    assert!(!window.core.borrow().is_frozen());
    let report = take_errors(&window, &Capabilities::V3).unwrap();
    assert_eq!((report.errors, report.needs_reset), (0x1001, false));
    assert!(report.ecc_info.is_some());
    assert_eq!((take_errors(&window, &Capabilities::V3), CORE_INT_SOURCE.get(&window)), (None, 0));

    CORE_INT_SET.set(&window, error_mask::AXI_READ);
    assert!(window.core.borrow().is_frozen(), "a selected error freezes the bus");
    let report = take_errors(&window, &Capabilities::V3).unwrap();
    assert!(report.needs_reset);
    // It stays pending for the reset, and its interrupt does not storm.
    assert_eq!(CORE_INT_SOURCE.get(&window), error_mask::AXI_READ);
    assert!(!window.core.borrow().has_abnormal_interrupt());
    ZIP_CONTROL.set(&window, 0);
    assert!(window.core.borrow().is_frozen());
    ZIP_CONTROL.set(&window, 0x4000);
    assert!(!window.core.borrow().is_frozen(), "0 to 1 opens it again");

    CORE_INT_MASK.set(&window, error_mask::ALL);
    CORE_INT_SET.set(&window, u32::MAX);
    assert!(!window.core.borrow().has_abnormal_interrupt());
    let v2 = up(Capabilities::V2, UserTraffic::Sva);
    CORE_INT_SET.set(&v2, error_mask::AXI_POISON | error_mask::AXI_READ);
    assert_eq!(CORE_INT_SOURCE.get(&v2), error_mask::AXI_READ, "V2 has no poison bit");
    assert!(!v2.core.borrow().is_frozen());
    CORE_INT_SET.set(&v2, error_mask::ECC_2BIT);
    assert!(v2.core.borrow().is_frozen());
}

/// Class and reaction of each error bit, by the tables of E.2: corrected, non-fatal, with a reset, with a frozen bus.
#[test]
fn zip_b0_to_b12_each_error_bit_has_its_class() {
    for (capabilities, bits, freezing) in [(Capabilities::V2, 11, 0x2), (Capabilities::V3, 13, 0x7fe)] {
        for bit in 0..13 {
            let error = 1u32 << bit;
            let window = up(capabilities, UserTraffic::Sva);
            window.core.borrow_mut().raise(error);
            if bit >= bits {
                assert_eq!((CORE_INT_SOURCE.get(&window), take_errors(&window, &capabilities)), (0, None), "bit {bit} is not this part's");
                continue;
            }
            assert!(window.core.borrow().has_abnormal_interrupt(), "bit {bit}");
            assert_eq!(window.core.borrow().is_frozen(), error & freezing != 0, "bit {bit}");
            let report = take_errors(&window, &capabilities).unwrap();
            assert_eq!((report.errors, report.needs_reset), (error, (1..=10).contains(&bit)), "bit {bit}");
            assert_eq!(report.ecc_info.is_some(), bit < 2, "bit {bit}");
            // What needs a reset stays for it; what does not is cleared and can come again.
            assert_eq!(CORE_INT_SOURCE.get(&window), if report.needs_reset { error } else { 0 }, "bit {bit}");
            assert!(!window.core.borrow().has_abnormal_interrupt(), "bit {bit}");
            window.core.borrow_mut().raise(error);
            assert_eq!(take_errors(&window, &capabilities).is_some(), !report.needs_reset, "bit {bit}");
            // A reset ends it all.
            window.core.borrow_mut().reset();
            bring_up(&window, &FakeClock::new(), &capabilities, UserTraffic::Sva).unwrap();
            assert_eq!((CORE_INT_SOURCE.get(&window), window.core.borrow().is_frozen()), (0, false), "bit {bit}");
        }
    }
}

#[test]
fn zip_b0_an_ecc_error_names_its_place() {
    let window = up(Capabilities::V3, UserTraffic::Sva);
    for (errors, ram, address, word) in [(error_mask::ECC_1BIT, 0x12, 0x34, 0x3412_0000), (error_mask::ECC_2BIT, 0xff, 0x01, 0x01ff_0000)] {
        window.core.borrow_mut().raise_ecc(errors, ram, address);
        assert_eq!(CORE_SRAM_ECC_ERR_INFO.get(&window), word);
        assert_eq!(take_errors(&window, &Capabilities::V3).and_then(|report| report.ecc_info), Some(word));
    }
    window.core.borrow_mut().raise_ecc(error_mask::AXI_READ, 1, 1);
    assert_eq!(CORE_INT_SOURCE.get(&window), error_mask::ECC_2BIT, "only ECC errors have a place");
}

/// Runs a job of the engine to its end.
fn finish(rig: &mut Rig, window: &Window, mut job: Job) -> Sqe {
    for _ in 0..MAX_STEPS {
        if let Step::Done(words) = job.step(&mut rig.port, &mut rig.engine) {
            window.core.borrow_mut().retire(&job);
            return Sqe(words);
        }
    }
    panic!("wedged");
}

#[test]
fn zp_c08_requests_go_to_cores_of_their_direction_in_turn_and_are_counted() {
    let window = up(Capabilities::V3, UserTraffic::Sva);
    let mut rig = Rig::new(1);
    let data = text(5000, 1);
    let body = judge_encode(Container::Zlib, &data, 6);
    let (plain, packed, room) = (rig.put(&data), rig.put(&body), rig.room(9000));
    let mut outputs = HashSet::new();
    for _ in 0..4 {
        let job = window.core.borrow_mut().accept(flat(Container::Zlib, plain, 5000, room, 9000).encode().0, Direction::Compress, WHO);
        let produced = finish(&mut rig, &window, job).0[1];
        outputs.insert(rig.peek(room, produced as usize));
    }
    assert_eq!(outputs.len(), 1, "every core gives the same output");
    for _ in 0..6 {
        let job =
            window.core.borrow_mut().accept(flat(Container::Zlib, packed, body.len(), room, 9000).encode().0, Direction::Decompress, WHO);
        finish(&mut rig, &window, job);
    }
    let mut bad = flat(Container::Zlib, packed, body.len(), room, 9000).encode().0;
    bad[9] = 0;
    let job = window.core.borrow_mut().accept(bad, Direction::Decompress, WHO);
    assert!(!job.is_well_formed());
    finish(&mut rig, &window, job);

    let statistics = Core::ALL.map(|core| read_statistics(&window, core));
    assert_eq!(statistics.map(|core| core.done), [2, 2, 2, 2, 2, 0, 0, 0]);
    for core in statistics {
        assert_eq!(core.received, core.right + core.error);
        assert!(core.done <= core.right);
    }
    assert_eq!(statistics.iter().map(|core| core.error).sum::<u32>(), 1);
    assert_eq!((statistics[0].consumed, statistics[2].produced), (10_000, 10_000));
    zip_driver::clear_statistics(&window);
    assert!(Core::ALL.iter().all(|core| read_statistics(&window, *core).received == 0));
}

#[test]
fn a_direction_without_an_enabled_core_answers_with_an_error() {
    let mut rig = Rig::new(1);
    let (source, room) = (rig.put(&text(100, 1)), rig.room(500));
    let window = Window::new(Capabilities::V3);
    let entry = flat(Container::Zlib, source, 100, room, 500).encode().0;
    let job = window.core.borrow_mut().accept(entry, Direction::Compress, WHO);
    assert_eq!(finish(&mut rig, &window, job).status(), Status::NO_CORE);
    // One core is enough, and gets all of it; the bits of cores that do not exist do not stick.
    window.write32(0x30_1004, 0xff & !1);
    assert_eq!(window.read32(0x30_1004), 0x1e);
    for _ in 0..3 {
        let job = window.core.borrow_mut().accept(entry, Direction::Compress, WHO);
        assert_eq!(finish(&mut rig, &window, job).status(), Status::SUCCESS);
    }
    assert_eq!((read_statistics(&window, Core::Compress(0)).done, read_statistics(&window, Core::Compress(1)).done), (0, 3));
}

#[test]
fn on_v2_the_bus_attribute_decides_about_the_substream() {
    for (traffic, has_substream) in [(UserTraffic::Sva, true), (UserTraffic::Kernel, false)] {
        let window = up(Capabilities::V2, traffic);
        let mut rig = Rig::new(1);
        rig.port.expected = Requester { substream: WHO.substream.filter(|_| has_substream), ..WHO };
        let (source, room) = (rig.put(&text(100, 1)), rig.room(500));
        let request = zip_spec::Request { sqe_type: SqeType::TYPE0, ..flat(Container::Zlib, source, 100, room, 500) };
        let job = window.core.borrow_mut().accept(request.encode().0, Direction::Compress, WHO);
        assert_eq!(finish(&mut rig, &window, job).status(), Status::SUCCESS);
    }
}
