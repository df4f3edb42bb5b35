//! The driver alone, with a table written out by hand, on the SMMU that the kernel has let go.

use core::sync::atomic::{AtomicU64, Ordering};

use firmware_kerncore::tree::Block;
use firmware_kernel::{Buffer, PhysicalMemory, Report};
use hal::{DmaBuffer, DmaMapper, RegisterWindow, Va};
use hal_aarch64::{GenericTimer, MmioWindow, barrier};
use smmu_driver::{Config, Event, FaultModel, Features, Granule, Leaf, Smmu, SmmuError, TableDescription};
use smmu_spec::event::{EventId, EventRecord};
use smmu_spec::regs::{SMMU_CMDQ_BASE, SMMU_CMDQ_PROD, SMMU_STRTAB_BASE, SMMU_STRTAB_BASE_CFG};

use crate::edu::Edu;

/// Where QEMU has its SMMU.
const QEMU_SMMU: Block = Block { base: 0x0905_0000, len_bytes: 0x2_0000 };
/// What the rig's table maps: four pages, far from any physical address.
pub const IOVA: u64 = 0x56_7890_1000;
/// Page descriptor bits: attribute 0, EL0 and EL1, inner shareable, Access flag, not global; read-write.
pub const READ_WRITE: u64 = 0xf43;
/// The same, read-only.
pub const READ_ONLY: u64 = 0xfc3;

/// Address bits of the SMMU's pointers.
const POINTER: u64 = 0x000f_ffff_ffff_ffc0;

/// The registers, with a switch that spoils the next command behind the driver's back.
#[derive(Clone, Copy)]
pub struct Registers(MmioWindow);

/// First word of what the next command is spoilt with.
static SPOIL: AtomicU64 = AtomicU64::new(NOTHING);
const NOTHING: u64 = u64::MAX;
/// First words of commands that are illegal for this SMMU: reserved opcodes (IHI 0070, section 4.1), and a CMD_CFGI_STE of the Secure state (SSec).
pub const ILLEGAL: [u64; 6] = [0x00, 0x07, 0x50, 0x70, 0x80, 1 << 10 | 0x03];

impl RegisterWindow for Registers {
    fn read32(&self, offset: u64) -> u32 {
        self.0.read32(offset)
    }
    fn write32(&self, offset: u64, value: u32) {
        if offset == SMMU_CMDQ_PROD.offset() {
            let command = SPOIL.swap(NOTHING, Ordering::Relaxed);
            if command != NOTHING {
                let base = SMMU_CMDQ_BASE.get(&self.0);
                let log2_entries = base & 0x1f;
                let first = u64::from(SMMU_CMDQ_PROD.get(&self.0)) & ((1 << log2_entries) - 1);
                write_word((base & 0x000f_ffff_ffff_ffe0) + 16 * first, command);
                write_word((base & 0x000f_ffff_ffff_ffe0) + 16 * first + 8, 0);
            }
        }
        self.0.write32(offset, value);
    }
    fn read64(&self, offset: u64) -> u64 {
        self.0.read64(offset)
    }
    fn write64(&self, offset: u64, value: u64) {
        self.0.write64(offset, value);
    }
    fn write128(&self, offset: u64, low: u64, high: u64) {
        self.0.write128(offset, low, high);
    }
}

/// What makes a node of the device tree an SMMU.
const SMMU: &[u8] = b"arm,smmu-v3";

/// Boots the kernel as the image does.
pub fn boot() -> Report {
    assert_eq!(hal_aarch64::sysreg::current_el(), 1);
    firmware_kernel::init(&crate::firmware::boot(crate::device_tree())).expect("the kernel boots")
}

/// Boots the kernel with a device tree whose SMMU it cannot recognise: it is left as reset left it.
pub fn boot_without_smmu() -> Report {
    let tree = core::ptr::with_exposed_provenance_mut::<u8>(crate::device_tree().0 as usize);
    // SAFETY: the tree's header, in RAM where the runner has put it.
    let header = unsafe { core::slice::from_raw_parts(tree, 8) };
    let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
    // SAFETY: the whole tree, as long as it says; nobody else reads it before the kernel starts.
    let bytes = unsafe { core::slice::from_raw_parts_mut(tree, len) };
    let at = bytes.windows(SMMU.len()).position(|window| window == SMMU).expect("the machine has an SMMU");
    bytes[at] = b'x';
    let report = boot();
    assert!(report.machine.smmus.is_empty() && report.smmu.is_none());
    report
}

fn word(at: u64) -> *mut u64 {
    core::ptr::with_exposed_provenance_mut(at as usize)
}

/// Reads a word of the SMMU's structures.
pub fn read_word(at: u64) -> u64 {
    // SAFETY: the caller takes addresses from the SMMU's registers and structures: aligned words of RAM that the kernel maps identically
    // and to which no reference exists.
    unsafe { word(at).read_volatile() }
}

/// Writes a word of the SMMU's structures behind the driver's back.
pub fn write_word(at: u64, value: u64) {
    // SAFETY: as for the read.
    unsafe { word(at).write_volatile(value) };
    barrier::dsb_sy();
}

/// The driver, the device and its table.
pub struct Rig {
    /// The driver.
    pub smmu: Smmu<Registers, GenericTimer, PhysicalMemory>,
    /// The device.
    pub edu: Edu,
    /// The address space.
    pub asid: u16,
    registers: MmioWindow,
    table: HandTable,
}

/// A table written out by hand: three levels that cover a window of addresses at [`IOVA`].
pub struct HandTable {
    root: Buffer,
    middle: Buffer,
    pages: Buffer,
}

impl Default for HandTable {
    fn default() -> Self {
        Self::new()
    }
}

impl HandTable {
    /// Maps nothing yet: 39-bit addresses, next-level descriptors end in 0b11.
    pub fn new() -> Self {
        let [root, middle, pages] = [page(), page(), page()];
        root.write64((IOVA >> 30 & 0x1ff) as usize * 8, physical(&middle) | 3);
        middle.write64((IOVA >> 21 & 0x1ff) as usize * 8, physical(&pages) | 3);
        Self { root, middle, pages }
    }

    /// The table as a stream is given it.
    pub fn describe(&self, features: &Features, asid: u16) -> TableDescription {
        let ttb0 = hal::Pa(physical(&self.root));
        TableDescription { ttb0, t0sz: 25, granule: Granule::Kib4, ips: features.oas_code.min(5), mair: 0xff, asid }
    }

    /// Sets the descriptor of page `index` of the window; nothing is invalidated.
    pub fn set_page(&self, index: u64, to: Option<(&Buffer, u64)>) {
        let descriptor = to.map_or(0, |(page, bits)| physical(page) | bits);
        self.pages.write64((((IOVA >> 12) + index) & 0x1ff) as usize * 8, descriptor);
        barrier::dsb_ishst();
    }
}

fn physical(buffer: &Buffer) -> u64 {
    buffer.physical_address().expect("one run").0
}

/// A page of memory.
pub fn page() -> Buffer {
    PhysicalMemory.alloc(4096, 4096).expect("memory for a page")
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

impl Rig {
    /// Takes the SMMU over from the kernel, with a two-level stream table, and attaches edu to a table that maps nothing yet.
    pub fn new() -> Self {
        let report = boot();
        Self::over(&report, report.machine.smmus[0].registers, Config::default())
    }

    /// The same with a linear stream table for 16 streams. The SMMU must be fresh: QEMU 7.2 keeps the two-level format until reset.
    pub fn linear() -> Self {
        let report = boot_without_smmu();
        Self::over(&report, QEMU_SMMU, Config { stream_bits: 4, ..Config::default() })
    }

    fn over(report: &Report, smmu: Block, config: Config) -> Self {
        let registers = firmware_kernel::map_device(smmu).expect("within reach");
        let edu = Edu::bring_up(report);
        let mut smmu = Smmu::init(Registers(registers), GenericTimer, PhysicalMemory, config).expect("taken over");
        let table = HandTable::new();
        let asid = smmu.allocate_asid().expect("an ASID");
        let description = table.describe(smmu.features(), asid);
        smmu.attach(edu.stream, &description, FaultModel::Terminate).expect("attached");
        Self { smmu, edu, asid, registers, table }
    }

    /// Sets the descriptor of page `index` of the window; nothing is invalidated.
    pub fn set_page(&self, index: u64, to: Option<(&Buffer, u64)>) {
        self.table.set_page(index, to);
    }

    /// Lets the window's level-3 table be anywhere; nothing is invalidated.
    pub fn set_table(&self, at: u64) {
        self.table.middle.write64((IOVA >> 21 & 0x1ff) as usize * 8, at | 3);
        barrier::dsb_ishst();
    }

    /// Invalidates page `index` of the window.
    pub fn invalidate(&mut self, index: u64) -> Result<(), SmmuError> {
        self.smmu.invalidate_range(self.asid, Va(IOVA + 4096 * index), 4096, Leaf::Only)
    }

    /// Copies `bytes` from page 0 of the window through the device to page 1.
    pub fn copy(&self, bytes: u64) {
        self.edu.start_load(IOVA, bytes);
        self.edu.poll_until_done();
        self.edu.start_store(IOVA + 4096, bytes);
        self.edu.poll_until_done();
    }

    /// The address of edu's STE.
    pub fn ste(&self) -> u64 {
        let base = SMMU_STRTAB_BASE.get(&self.registers) & POINTER;
        let stream = u64::from(self.edu.stream.0);
        if SMMU_STRTAB_BASE_CFG.get(&self.registers) >> 16 & 3 == 0 {
            return base + 64 * stream;
        }
        // Two levels, split at 8 bits: a level-1 descriptor of 8 bytes per 256 streams.
        (read_word(base + 8 * (stream >> 8)) & POINTER) + 64 * (stream & 0xff)
    }

    /// Spoils the next command that the driver sends.
    pub fn spoil_next_command(&self, command: u64) {
        SPOIL.store(command, Ordering::Relaxed);
    }

    /// Tells the SMMU that the Stream table is for this many streams, behind the driver's back.
    pub fn set_stream_bits(&self, bits: u32) {
        let cfg = SMMU_STRTAB_BASE_CFG.get(&self.registers);
        SMMU_STRTAB_BASE_CFG.set(&self.registers, cfg & !0x3f | bits);
    }

    /// The level-1 descriptor of edu's STE, in a two-level table.
    pub fn level1(&self) -> u64 {
        (SMMU_STRTAB_BASE.get(&self.registers) & POINTER) + 8 * (u64::from(self.edu.stream.0) >> 8)
    }

    /// A second table, which maps nothing but one page at the window's first address.
    pub fn other_table(&mut self, page: &Buffer, bits: u64) -> TableDescription {
        let table = HandTable::new();
        table.set_page(0, Some((page, bits)));
        let asid = self.smmu.allocate_asid().expect("an ASID");
        table.describe(self.smmu.features(), asid)
    }

    /// Takes all records: each must be `first`, word 2 growing by `step` from one to the next.
    pub fn assert_records(&mut self, first: [u64; 4], step: u64, count: u64) {
        for index in 0..count {
            let mut wanted = first;
            wanted[2] += step * index;
            let record = match self.smmu.next_event().expect("a sound event queue") {
                Some(Event::Fault(fault)) => fault.record,
                Some(Event::Other(record)) => record,
                other => panic!("record {index} of {count}: {other:?}"),
            };
            assert!(record.0 == wanted, "record {index}: {:#018x?}, wanted {wanted:#018x?}", record.0);
        }
        self.assert_quiet();
    }

    /// Takes all records; each must be of this kind and this stream. Returns the first and their number.
    pub fn records(&mut self, id: EventId) -> (EventRecord, usize) {
        let mut first = None;
        let mut count = 0;
        while let Some(event) = self.smmu.next_event().expect("a sound event queue") {
            let record = match event {
                Event::Fault(fault) => fault.record,
                Event::Other(record) => record,
                Event::RecordsLost | Event::Suppressed { .. } => panic!("records lost"),
            };
            defmt::debug!("{}", defmt::Debug2Format(&record));
            assert_eq!((record.id(), record.stream(), record.substream()), (id, self.edu.stream, None));
            count += 1;
            first.get_or_insert(record);
        }
        (first.expect("an event"), count)
    }

    /// Checks that the SMMU has reported nothing.
    pub fn assert_quiet(&mut self) {
        assert_eq!(self.smmu.next_event(), Ok(None));
    }
}
