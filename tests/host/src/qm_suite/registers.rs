//! Registers: reset values, snapshots without side effects, errors, statistics.

use qm_driver::AbnormalReport;
use qm_model::Bar;
use qm_spec::QmVersion;

use super::machine::*;
use crate::support::Traced;

/// Section G.3 and the tables, typed here once more.
#[test]
fn registers_read_their_reset_values() {
    let machine = Machine::new(qm_model::QmConfig {
        engine_capabilities: &[(0x3130, 0x1ffe)],
        ..qm_model::QmConfig::new(QmVersion::V3, STREAM, 0xa250)
    });
    let mut s = machine.silicon();
    for (offset, value) in [
        (0x0, 0),
        (0x4, 1),
        (0x8, 0),
        (0xc, 1),
        (0x20, 0),
        (0x24, 1),
        (0x30, 1),
        (0x210, 0),
        (0x300, 0),
        // 0x6f01 less shaper, messages between functions and power management, which are not built.
        (0x3100, 0x4f01),
        (0x3104, 0x0400_0800),
        (0x3108, 0x0400_0400),
        (0x310c, 0x1_0000),
        (0x3110, 0x1_0001),
        (0x3114, 0x1_0003),
        (0x3118, 0x1_0002),
        (0x311c, 0x0004_0003),
        (0x3124, 0x7c77),
        (0x3128, 0x6c77_6c77),
        (0x312c, 8),
        (0x3130, 0x1ffe),
        (0x3134, 0),
        (0x317c, 1),
        (0x10_0000, 0),
        (0x10_0004, 0x7fff),
        (0x10_0044, 0),
        (0x10_006c, 1),
        (0x10_00d8, 0x19e5),
        (0x10_00dc, 0x30),
        (0x10_00fc, 0),
        (0x10_0100, 0),
        (0x10_0158, 0x4008),
        (0x30_0150, 3),
    ] {
        assert_eq!(s.read(offset), value, "{offset:#x}");
    }
}

#[test]
fn a_part_that_says_nothing_of_its_engine_shows_no_capability_table() {
    let machine = Machine::new(qm_model::QmConfig::new(QmVersion::V3, STREAM, 0xa250));
    assert_eq!(machine.silicon().read(0x3100) & 0xff, 0, "the constants of the version apply");
    let mut driver = machine.driver();
    driver.initialise().unwrap();
    assert_eq!(driver.capabilities().depths, qm_spec::DepthCaps { eq: 2048, aeq: 1024, sq: 1024, cq: 1024 });
    let v2 = Machine::new(config(QmVersion::V2, 4, 8, 4));
    assert_eq!(v2.silicon().read(0x3100), 0);
}

/// Debug files of an operating system read every dword of these ranges at any time (B.10). Nothing may move.
#[test]
fn snapshots_have_no_side_effects() {
    let machine = Machine::v3(4);
    machine.bare();
    machine.bare_queue(0, 4, true);
    let mut s = machine.silicon();
    s.ring_page(0, sq_doorbell(0, 2));
    s.run();
    s.ring_page(0, sq_doorbell(0, 9));
    while s.read(0x300) & 0x2000 != 0 {}
    let snapshot = |s: &mut Silicon| {
        let ranges = [(0x10_0000u64, 0x5a), (0x10_4000, 0x2e), (0x10_40c8, 0x11), (0x0, 0xc3u64), (0x3100, 0x20), (0x30_0000, 0x62)];
        ranges.iter().flat_map(|(start, count)| (0..*count).map(|i| s.read(start + i * 4)).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let first = snapshot(&mut s);
    let second = snapshot(&mut s);
    assert_eq!(first, second);
    assert_eq!((s.read(0x8), s.read(0x0), s.read(0x10_0000)), (1, 1, 1 << 9));
    let mut random = 7u64;
    for _ in 0..20_000 {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let offset = random >> 20 & 0x3f_ffff;
        for bytes in [1, 2, 4, 8] {
            s.model.mmio_read(Bar::Bar2, offset, bytes);
            s.model.mmio_read(Bar::Bar4, offset, bytes);
        }
    }
}

#[test]
fn random_stores_to_every_register_never_wedge_the_model() {
    let machine = Machine::v3(4);
    let mut s = machine.silicon();
    let mut random = 99u64;
    for _ in 0..200_000 {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let blocks = [0x0, 0x300, 0x1000, 0x2000, 0x10_0000, 0x10_4000, 0x30_0000];
        let offset = blocks[(random >> 60) as usize % 7] + (random >> 40 & 0x1fc);
        let Silicon { model, port } = &mut *s;
        model.mmio_write(Bar::Bar2, offset, [4, 8][(random >> 30 & 1) as usize], random >> 8, port);
        if random.is_multiple_of(5) {
            model.mmio_write128(0x300, random & 0x0003_600f | (RAM + (random >> 10 & 0xffff)) << 32, 0, port);
        }
        model.mmio_read(Bar::Bar2, 0x300, 4);
    }
    s.model.reset();
    drop(s);
    machine.bare();
    machine.bare_queue(1, 4, false);
    let mut s = machine.silicon();
    s.ring_page(1, sq_doorbell(1, 3));
    assert_eq!(s.run(), 3, "after a reset it works as new");
}

/// Rows 44, 46, 47 and the bus attributes of B.6, as the driver writes them.
#[test]
fn the_driver_sets_errors_and_attributes_as_recorded() {
    for version in [QmVersion::V2, QmVersion::V3] {
        let machine = Machine::new(config(version, 4, 8, 4));
        let traced = Traced::new(machine.window(Bar::Bar2));
        let pages = Some(Traced::new(machine.window(Bar::Bar4)));
        let mut driver: Driver<_> =
            qm_driver::Qm::new(machine.parameters(), traced.clone(), pages, machine.clock.clone(), machine.dma.clone());
        driver.initialise().unwrap();
        let writes = traced.take_writes();
        let last = |offset: u64| writes.iter().rev().find(|(at, _)| *at == offset).map(|(_, value)| *value);
        let errors = [last(0x10_0000), last(0x10_00ec), last(0x10_00f4), last(0x10_0004), last(0x10_40f8)];
        match version {
            QmVersion::V3 => {
                assert_eq!(errors, [Some(0x7c7f), Some(8), Some(0x7c77), Some(0x380), Some(0x6c77)]);
                assert_eq!(last(0x10_0148), Some(0x200));
            }
            _ => assert_eq!(errors, [Some(0x1c5f), Some(8), Some(0x1c57), Some(0x63a0), None]),
        }
        let attributes = [
            (0x10_0088, 0x4000_1070),
            (0x10_0090, 0xffff_fffe),
            (0x10_0098, 0x4000_1070),
            (0x10_00a0, 0xffff_fffe),
            (0x10_00a8, 0xffff_ffff),
            (0x10_00ac, 0xffff),
            (0x10_00b0, 0xffff_ffff),
            (0x10_00cc, 0x40_1001),
            (0x10_00d0, 0xffff_ffff),
            (0x10_0050, 0x1833),
            (0x10_00f8, 1),
            (0x10_00f0, 0),
            (0x10_0040, 1),
        ];
        for (offset, value) in attributes {
            assert_eq!(last(offset), Some(value), "{offset:#x}");
        }
        traced.take();
        driver.start().unwrap();
        let vft: Vec<_> = traced.take_writes().into_iter().filter(|(at, _)| (0x10_0054..=0x10_006c).contains(at)).collect();
        let entry = |table, low, high| {
            [(0x58, 0), (0x5c, table), (0x60, 0), (0x64, low), (0x68, high), (0x6c, 0), (0x54, 1)]
                .map(|(at, value)| (0x10_0000 + at, value))
        };
        // Row 36's form for 4 queues, row 38, and where there is a shaper row 40 at the addresses of row 42's form.
        let mut expected = [entry(0, 0, 0x7000), entry(1, 0x1000_0000, 0)].concat();
        if version == QmVersion::V3 {
            expected.extend(entry(2, 0x0098_8696, 0));
            let mut second = entry(2, 0x0098_8696, 0);
            second[2].1 = 0x40;
            expected.extend(second);
        }
        assert_eq!(vft, expected);
    }
}

#[test]
fn qm_r11_errors_are_told_once_and_classes_decide() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let inject = |bits| machine.silicon().write(0x10_000c, bits);
    inject(1 << 3);
    assert_eq!(machine.vectors(), [3]);
    assert_eq!(driver.handle_abnormal(), AbnormalReport { errors: 1 << 3, needs_reset: 0, fifo_owner: 0, doorbell_owner: 0 });
    assert_eq!(machine.silicon().read(0x10_0000), 0, "a corrected error is cleared");
    assert_eq!(machine.silicon().read(0x10_4000), 1, "and counted");
    inject(0x380);
    assert_eq!(machine.vectors(), [], "ownership errors belong to no class");
    assert_eq!(machine.silicon().read(0x10_0008), 0, "and are masked");
    inject(1 << 12);
    assert_eq!(machine.vectors(), [3]);
    assert_eq!(driver.handle_abnormal().needs_reset, 0);
    inject(1 << 2);
    assert_eq!(machine.vectors(), [3]);
    let report = driver.handle_abnormal();
    assert_eq!((report.errors, report.needs_reset), (1 << 2, 1 << 2));
    assert_eq!(machine.silicon().read(0x10_0008), 1 << 2, "left for the reset");
    inject(1 << 2);
    assert_eq!(machine.vectors(), [], "and not told again");
}

#[test]
fn an_error_that_freezes_the_bus_stops_the_queues() {
    for (version, freezing, harmless) in [(QmVersion::V3, 1 << 0, 1 << 12), (QmVersion::V2, 1 << 2, 1 << 0)] {
        let machine = Machine::new(config(version, 1024, 2048, 1024));
        let mut driver = machine.started();
        let queue = machine.queue(&mut driver);
        machine.silicon().write(0x10_000c, harmless);
        driver.submit(queue, &[1; 32]).unwrap();
        assert_eq!(machine.silicon().run(), 1);
        machine.silicon().write(0x10_000c, freezing);
        driver.submit(queue, &[1; 32]).unwrap();
        assert_eq!(machine.silicon().run(), 0, "{version:?}");
        assert!(!machine.silicon().model.has_task());
    }
}

#[test]
fn statistics_count_and_clear_on_read_only_when_told() {
    let machine = Machine::v3(8);
    machine.bare();
    machine.bare_queue(1, 8, true);
    machine.bare_queue(2, 8, true);
    let mut s = machine.silicon();
    s.ring_page(1, sq_doorbell(1, 3));
    s.ring_page(2, sq_doorbell(2, 2));
    s.run();
    s.write(0x10_4030, 1 << 16);
    s.write(0x10_4040, 2 << 16);
    let read = |s: &mut Silicon| [0x4038u64, 0x4048, 0x4050, 0x4058, 0x4060, 0x4018, 0x4028].map(|at| s.read(0x10_0000 + at));
    // Mailboxes: EQC, AEQC, two tables, two contexts of each queue. Doorbells: two of events, two of submissions.
    let counted = [3, 2, 5, 5, 5, 8, 4];
    assert_eq!(read(&mut s), counted);
    assert_eq!(read(&mut s), counted, "reading does not clear");
    s.write(0x10_0118, 1);
    assert_eq!(read(&mut s), counted);
    assert_eq!(read(&mut s), [0; 7], "now it does");
    assert_eq!((s.read(0x10_4100), s.read(0x10_4104), s.read(0x10_4108)), (5, 2, 0));
    s.write(0x10_4030, 1 << 16 | 5);
    assert_eq!(s.read(0x10_4038), 0, "another function's queue");
}

#[test]
fn unknown_offsets_read_zero_and_are_counted() {
    let machine = Machine::v3(4);
    let mut s = machine.silicon();
    let before = *s.model.counters();
    for offset in [0x38, 0x340, 0x4000, 0x10_001c, 0x10_4010 + 4, 0x30_0004, 0x17_fffc] {
        s.write(offset, u32::MAX);
        assert_eq!(s.read(offset), 0, "{offset:#x}");
    }
    let after = *s.model.counters();
    assert_eq!((after.unknown_reads - before.unknown_reads, after.unknown_writes - before.unknown_writes), (7, 7));
    s.write(0x10_00d8, 0x5a5a);
    assert_eq!(s.read(0x10_00d8), 0x5a5a, "the scratch word reads back");
    assert_eq!(s.model.mmio_read(Bar::Bar2, 0x10_00d9, 1), 0x5a);
    assert_eq!(s.model.mmio_read(Bar::Bar2, 0x10_00d8, 2), 0x5a5a);
    let Silicon { model, port } = &mut *s;
    model.mmio_write(Bar::Bar2, 0x10_00d8, 2, 1, port);
    assert_eq!(s.read(0x10_00d8), 0x5a5a, "registers take 32 bits");
}
