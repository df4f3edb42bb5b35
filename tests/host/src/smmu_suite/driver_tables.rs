//! Tables of every size and granule that the driver accepts, against what the SMMU makes of them.

use hal::{Barriers, DmaBuffer, DmaMapper, Pa, Va};
use smmu_driver::{Config, Event, FaultKind, FaultModel, Granule, Leaf, SmmuError, TableDescription, TableField};
use smmu_model::{Fault, Profile};

use super::driver_machine::{Machine, STREAM, config_for, kernel};
use super::driver_runs::on_every;
use crate::support::HostBuffer;

/// A page: valid, attribute 0, user read-write, inner shareable, AF, nG.
const PAGE: u64 = 0xf43;

/// Address bits below a page, and bits that each level resolves; typed from the table of index ranges.
const fn shape(granule: Granule) -> (u32, u32) {
    match granule {
        Granule::Kib4 => (12, 9),
        Granule::Kib16 => (14, 11),
        Granule::Kib64 => (16, 13),
    }
}

/// The tables of one mapped page, the start table first.
struct Chain {
    tables: Vec<HostBuffer>,
    /// Where the page's own descriptor lies in the last of them.
    last: usize,
}

impl Chain {
    /// Maps one page. Levels are counted from the last upwards, until all address bits are resolved.
    fn new(machine: &Machine, granule: Granule, input_bits: u32, va: u64, pa: u64) -> Self {
        let (page_bits, stride) = shape(granule);
        let mut tables = Vec::new();
        let mut below = pa | PAGE;
        let mut low = page_bits;
        let mut last = 0;
        loop {
            let bits = stride.min(input_bits - low);
            let bytes = (8_usize << bits).max(64);
            let table = machine.dma.alloc(bytes, bytes).expect("memory");
            let slot = ((va >> low) & ((1 << bits) - 1)) as usize * 8;
            table.write64(slot, below);
            if tables.is_empty() {
                last = slot;
            }
            below = table.device_address().0 | 3;
            tables.insert(0, table);
            low += stride;
            if low >= input_bits {
                machine.dma.dma_wmb();
                return Self { tables, last };
            }
        }
    }

    fn clear(&self) {
        self.tables[self.tables.len() - 1].write64(self.last, 0);
    }
}

#[test]
fn sm_t02_granules_are_served_as_advertised_or_refused_by_name() {
    on_every(|run| {
        for profile in Profile::ALL {
            let machine = run.machine(profile);
            let mut driver = machine.start(config_for(&profile)).unwrap();
            let asid = driver.allocate_asid().unwrap();
            for (granule, bit) in [(Granule::Kib4, 4), (Granule::Kib16, 5), (Granule::Kib64, 6)] {
                let va = 0x123_0000;
                let chain = Chain::new(&machine, granule, 32, va, machine.page(0, 0x77));
                let ttb0 = Pa(chain.tables[0].device_address().0);
                let table = TableDescription { ttb0, t0sz: 32, granule, ips: 0, mair: 0xff, asid };
                let attached = driver.attach(STREAM, &table, FaultModel::Terminate);
                if profile.ids.idr5 >> bit & 1 == 0 {
                    assert_eq!(attached, Err(SmmuError::BadTable(TableField::Granule)), "{} {granule:?}", profile.name);
                    let config = smmu_driver::Config { granule, ..config_for(&profile) };
                    assert!(matches!(run.machine(profile).start(config).err(), Some(SmmuError::Refused(_))));
                    continue;
                }
                attached.unwrap();
                let read = machine.read(kernel(), va + 8);
                // Data lies above 32 bits of output nowhere: the page is at 1 GiB.
                assert_eq!(read, Ok(0x77), "{} {granule:?}", profile.name);
                chain.clear();
                driver.invalidate_range(asid, Va(va), 0x1000, Leaf::Only).unwrap();
                assert_eq!(machine.read(kernel(), va + 8), Err(Fault::Abort), "{} {granule:?}", profile.name);
                driver.detach(STREAM).unwrap();
            }
            assert_eq!(machine.violations(), []);
        }
    });
}

#[test]
fn sm_t03_walks_of_every_size_start_at_the_right_level() {
    on_every(|run| {
        let machine = run.machine(Profile::STALL_S1);
        let mut driver = machine.start(Config::default()).unwrap();
        let asid = driver.allocate_asid().unwrap();
        let mut random = run.rng();
        for granule in [Granule::Kib4, Granule::Kib16, Granule::Kib64] {
            let (page_bits, _) = shape(granule);
            for t0sz in 16..=39_u8 {
                let input_bits = 64 - u32::from(t0sz);
                let va = random.next() & ((1 << input_bits) - 1) & !((1 << page_bits) - 1) | 1 << (input_bits - 1);
                let pa = machine.page(16 * random.below(8), 0x55);
                let chain = Chain::new(&machine, granule, input_bits, va, pa);
                let ttb0 = Pa(chain.tables[0].device_address().0);
                let table = TableDescription { ttb0, t0sz, granule, ips: 5, mair: 0xff, asid };
                driver.attach(STREAM, &table, FaultModel::Terminate).unwrap_or_else(|e| panic!("{granule:?} {t0sz}: {e:?}"));
                assert_eq!(machine.read(kernel(), va + 8), Ok(0x55), "{granule:?} T0SZ {t0sz}");
                // One page further nothing is mapped, one bit further nothing can be (SM-T08).
                for beyond in [va ^ 1 << page_bits, va | 1 << input_bits] {
                    assert_eq!(machine.read(kernel(), beyond), Err(Fault::Abort), "{granule:?} T0SZ {t0sz}");
                    let events = machine.events(&mut driver);
                    let [Event::Fault(fault)] = events[..] else { panic!("{events:?}") };
                    assert_eq!((fault.kind, fault.address.0), (FaultKind::Translation, beyond));
                }
                driver.detach(STREAM).unwrap();
                for table in chain.tables {
                    machine.dma.free(table);
                }
                machine.clock.advance(1_000_000);
            }
        }
        assert_eq!(machine.violations(), []);
    });
}

#[test]
fn sm_t07_tables_beyond_the_output_size_are_refused_by_name() {
    on_every(|run| {
        let machine = run.machine(Profile::STALL_S1.with_oas(6));
        let mut driver = machine.start(Config::default()).unwrap();
        let asid = driver.allocate_asid().unwrap();
        let good = TableDescription { ttb0: Pa(0x4000_0000), t0sz: 16, granule: Granule::Kib4, ips: 5, mair: 0xff, asid };
        for (bad, field) in [
            (TableDescription { ttb0: Pa(1 << 48), ..good }, TableField::Ttb0),
            // Small granules reach 48 bits, whatever the output size.
            (TableDescription { ttb0: Pa(1 << 48), ips: 6, ..good }, TableField::Ttb0),
            (TableDescription { ttb0: Pa(1 << 40), ips: 2, ..good }, TableField::Ttb0),
            (TableDescription { ips: 7, ..good }, TableField::OutputSize),
        ] {
            assert_eq!(driver.attach(STREAM, &bad, FaultModel::Terminate), Err(SmmuError::BadTable(field)), "{bad:?}");
        }
        // Legal to the SMMU, though nothing decodes there.
        let far = TableDescription { ttb0: Pa(1 << 48), ips: 6, granule: Granule::Kib64, ..good };
        driver.attach(STREAM, &far, FaultModel::Terminate).unwrap();
        assert_eq!(machine.read(kernel(), 0x7000), Err(Fault::Abort));
        let records = machine.records(&mut driver);
        assert!(matches!(records[..], [r] if r.id() == smmu_spec::event::EventId::F_WALK_EABT), "{records:?}");
        assert_eq!(machine.violations(), []);
    });
}

#[test]
fn sm_t08_addresses_beyond_the_range_fault_before_any_table_is_read() {
    on_every(|run| {
        let machine = run.machine(Profile::STALL_S1);
        let mut driver = machine.start(Config::default()).unwrap();
        let asid = driver.allocate_asid().unwrap();
        // The start table lies in a hole: whoever read it would end in F_WALK_EABT.
        let table = TableDescription { ttb0: Pa(0x9000_0000), t0sz: 32, granule: Granule::Kib4, ips: 5, mair: 0xff, asid };
        driver.attach(STREAM, &table, FaultModel::Terminate).unwrap();
        for beyond in [1 << 32, 1 << 47, 1 << 55, 0xffff_ffff_0000_0000, !7] {
            assert_eq!(machine.read(kernel(), beyond), Err(Fault::Abort));
            let events = machine.events(&mut driver);
            let [Event::Fault(fault)] = events[..] else { panic!("{beyond:#x}: {events:?}") };
            assert_eq!((fault.kind, fault.address.0), (FaultKind::Translation, beyond));
        }
        assert_eq!(machine.read(kernel(), 0xffff_f000), Err(Fault::Abort));
        let records = machine.records(&mut driver);
        assert!(matches!(records[..], [r] if r.id() == smmu_spec::event::EventId::F_WALK_EABT), "{records:?}");
        assert_eq!(machine.violations(), []);
    });
}

#[test]
fn sm_t10_whatever_description_the_driver_accepts_is_legal_to_the_smmu() {
    on_every(|run| {
        for profile in [Profile::STALL_S1, Profile::STALL_S1.with_oas(6), Profile::QEMU72] {
            let machine = run.machine(profile);
            let mut driver = machine.start(Config::default()).unwrap();
            let asid = driver.allocate_asid().unwrap();
            let mut accepted = 0;
            for granule in [Granule::Kib4, Granule::Kib16, Granule::Kib64] {
                for t0sz in 0..=u8::MAX {
                    for ips in [0, 5, 6, 7, 255] {
                        let table = TableDescription { ttb0: Pa(0x4100_0000), t0sz, granule, ips, mair: 0xff, asid };
                        match driver.attach(STREAM, &table, FaultModel::Terminate) {
                            Err(SmmuError::BadTable(_)) => continue,
                            Err(other) => panic!("{table:?}: {other:?}"),
                            Ok(()) => accepted += 1,
                        }
                        assert_eq!(machine.read(kernel(), 0x7000), Err(Fault::Abort));
                        let events = machine.events(&mut driver);
                        assert!(matches!(events[..], [Event::Fault(f)] if f.kind == FaultKind::Translation), "{table:?}: {events:?}");
                        driver.detach(STREAM).unwrap();
                    }
                }
            }
            assert!(accepted >= 24 * 3, "{accepted} of {}", profile.name);
            assert_eq!(machine.violations(), []);
        }
    });
}
