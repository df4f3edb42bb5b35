//! The kernel's own table code, walked by the model behind the driver: what is refused changes nothing, what is taken away is told.

use firmware_kerncore::table::{Blocks, Leaf as Page, PageTable, TableError, TableMemory};
use hal::{Barriers, DmaBuffer, DmaMapper, Pa, Va};
use smmu_driver::{Config, FaultModel, Granule, Leaf, TableDescription};
use smmu_model::{Fault, Profile};

use super::driver_machine::{DATA, STREAM, user};
use super::driver_runs::on_every;
use crate::support::{HostBuffer, HostDma};

/// Tables in memory that the SMMU reads.
struct Frames {
    dma: HostDma,
    tables: Vec<HostBuffer>,
}

impl Frames {
    fn place(&self, at: Pa) -> (&HostBuffer, usize) {
        let table = self.tables.iter().find(|table| table.device_address().0 == at.0 & !0xfff).expect("inside a table");
        (table, (at.0 & 0xfff) as usize)
    }
}

impl TableMemory for Frames {
    fn read(&self, at: Pa) -> u64 {
        let (table, offset) = self.place(at);
        table.read64(offset)
    }
    fn write(&mut self, at: Pa, descriptor: u64) {
        let (table, offset) = self.place(at);
        table.write64(offset, descriptor);
    }
    fn write_run(&mut self, at: Pa, entries: u64, descriptor: u64, step: u64) {
        (0..entries).for_each(|i| self.write(Pa(at.0 + 8 * i), descriptor + i * step));
    }
    fn clear_run(&mut self, at: Pa, entries: u64, mut old: impl FnMut(u64, u64)) {
        for i in 0..entries {
            let slot = Pa(at.0 + 8 * i);
            let descriptor = self.read(slot);
            if descriptor & 1 != 0 {
                self.write(slot, 0);
                old(i, descriptor);
            }
        }
    }
    fn first_valid(&self, at: Pa, entries: u64) -> Option<u64> {
        (0..entries).find(|i| self.read(Pa(at.0 + 8 * i)) & 1 != 0)
    }
    fn alloc_table(&mut self) -> Option<Pa> {
        let table = self.dma.alloc(4096, 4096).ok()?;
        let at = Pa(table.device_address().0);
        self.tables.push(table);
        Some(at)
    }
    fn free_table(&mut self, at: Pa) {
        self.tables.retain(|table| table.device_address().0 != at.0);
    }
}

#[test]
fn sm_t12_overlaps_and_parts_of_a_block_are_refused_and_change_nothing() {
    const BLOCK: u64 = 0x20_0000;
    const PAGES: u64 = 0x40_0000;
    on_every(|run| {
        let mut bench = run.attached_with(Profile::STALL_S1, Config::default(), FaultModel::Terminate);
        let mut memory = Frames { dma: bench.machine.dma.clone(), tables: Vec::new() };
        let mut table = PageTable::new(&mut memory).expect("memory");
        let asid = bench.driver.allocate_asid().expect("an ASID");
        let ips = bench.driver.features().oas_code.min(5);
        // Attribute 1 is write-back: the kernel's order.
        let description = TableDescription { ttb0: table.root(), t0sz: 25, granule: Granule::Kib4, ips, mair: 0xff00, asid };
        let process = bench.driver.allocate_substream().expect("a SubstreamID");
        bench.driver.bind(STREAM, process, &description).expect("the table binds");
        for page in 0..4 {
            bench.machine.page(page, 0x10 + page);
        }
        bench.machine.page(511, 0x511);
        table.map(&mut memory, BLOCK, Pa(DATA), BLOCK, Page::Domain, Blocks::Allowed).expect("a block");
        table.map(&mut memory, PAGES, Pa(DATA), 0x2000, Page::Domain, Blocks::PagesOnly).expect("two pages");
        bench.machine.dma.dma_wmb();
        let sees = |at: u64| bench.machine.read(user(process), at);
        let is_whole =
            || [(BLOCK, 0x10), (BLOCK + 0x1ff000, 0x511), (PAGES, 0x10), (PAGES + 0x1000, 0x11)].map(|(at, value)| sees(at) == Ok(value));
        assert_eq!(is_whole(), [true; 4]);

        // Overlaps: with a page of a block, with a page of a table, by a block over a table. What lies before the overlap is mapped.
        let mut map =
            |table: &mut PageTable, at, len_bytes, blocks| table.map(&mut memory, at, Pa(DATA + 0x2000), len_bytes, Page::Domain, blocks);
        let occupied = |at| Err(TableError::Occupied { at });
        assert_eq!(map(&mut table, BLOCK + 0x3000, 0x1000, Blocks::PagesOnly), occupied(BLOCK + 0x3000));
        assert_eq!(map(&mut table, PAGES + 0x1000, 0x2000, Blocks::PagesOnly), occupied(PAGES + 0x1000));
        assert_eq!(map(&mut table, BLOCK - 0x1000, 0x2000, Blocks::PagesOnly), occupied(BLOCK));
        bench.machine.dma.dma_wmb();
        assert_eq!(is_whole(), [true; 4], "a refusal replaces nothing");
        assert_eq!(sees(BLOCK - 0x1000), Ok(0x12));

        // A part of a block is not split off: the call names the block, and all of it stays.
        let mut gone = Vec::new();
        for (at, len_bytes) in [(BLOCK, 0x1000), (BLOCK + 0x1000, 0x1000), (BLOCK + 0x10_0000, BLOCK)] {
            let refused = table.unmap(&mut memory, at, len_bytes, |at, pa, len| gone.push((at, pa, len)));
            assert_eq!(refused, Err(TableError::Block { at: BLOCK }));
        }
        bench.machine.dma.dma_wmb();
        assert_eq!((is_whole(), gone.as_slice()), ([true; 4], [].as_slice()));

        // The whole: every byte is told, and out of reach after the invalidation.
        table.unmap(&mut memory, BLOCK - 0x1000, 2 * BLOCK, |at, pa, len| gone.push((at, pa, len))).expect("whole blocks");
        let page = |at, offset| (at, Pa(DATA + offset), 0x1000);
        assert_eq!(gone, [page(BLOCK - 0x1000, 0x2000), (BLOCK, Pa(DATA), BLOCK), page(PAGES, 0), page(PAGES + 0x1000, 0x1000)]);
        bench.driver.invalidate_range(asid, Va(BLOCK - 0x1000), 2 * BLOCK, Leaf::Only).expect("invalidated");
        for at in [BLOCK - 0x1000, BLOCK, BLOCK + 0x1ff000, PAGES, PAGES + 0x1000] {
            assert_eq!(bench.machine.read(user(process), at), Err(Fault::Abort), "{at:#x}");
        }
        assert_eq!(bench.machine.violations(), []);
        bench.driver.unbind(STREAM, process).expect("bound");
    });
}
