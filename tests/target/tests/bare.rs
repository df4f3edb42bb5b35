//! The kernel and its SMMU driver without our silicon: at EL1 from reset, on QEMU's own SMMUv3, with QEMU's `edu` as DMA master.
//!
//! This SMMU was written by others and knows nothing of our models. Where QEMU 7.2 deviates from IHI 0070 the comment says so; nothing
//! here asks it for substreams or stalls, which it has not.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

/// QEMU's educational device (1234:11e8): copies between its own 4 KiB of memory and an address that it emits.
#[cfg(target_os = "none")]
mod edu {
    use core::time::Duration;

    use firmware_kernel::{Found, Report};
    use hal::{Clock, DmaBuffer, RegisterWindow, StreamId};
    use hal_aarch64::timer::VirtualTimer;
    use hal_aarch64::{GenericTimer, MmioWindow, barrier, cpu};

    const VENDOR: u16 = 0x1234;
    const DEVICE: u16 = 0x11e8;
    /// Reads 0xRRrr00ed: RR.rr is the device's version.
    const IDENTIFICATION: u64 = 0x00;
    const SOURCE: u64 = 0x80;
    const DESTINATION: u64 = 0x88;
    const COUNT: u64 = 0x90;
    const COMMAND: u64 = 0x98;
    const RUN: u64 = 1;
    const TO_RAM: u64 = 2;
    /// Where the device's own memory lies, as a DMA address.
    const OWN_MEMORY: u64 = 0x4_0000;
    /// A transfer takes 100 ms of virtual time; this much means that it never ends.
    const PATIENCE: Duration = Duration::from_secs(10);
    /// StreamID of the first device behind QEMU's host bridge.
    pub const FIRST_STREAM: StreamId = StreamId(8);

    /// The device, decoding and mastering.
    pub struct Edu {
        registers: MmioWindow,
        /// Its StreamID, as the device tree's `iommu-map` has it.
        pub stream: StreamId,
    }

    impl Edu {
        /// Brings the device up as the kernel brings any function up.
        pub fn bring_up(report: &Report) -> Self {
            let is_edu = |found: &&Found| (found.function.vendor, found.function.device) == (VENDOR, DEVICE);
            let found = report.functions.iter().find(is_edu).expect("edu is enumerated");
            let bars = firmware_kernel::bring_up_function(found).expect("room for BAR0");
            let registers = firmware_kernel::map_bar(&bars[0], u64::MAX).expect("BAR0 is mappable");
            assert_eq!(registers.read32(IDENTIFICATION) & 0xff, 0xed);
            // Where the SMMU was hidden from the kernel, nothing tells.
            let stream = match report.machine.smmus.is_empty() {
                true => FIRST_STREAM,
                false => firmware_kernel::stream_of(&report.machine, found).expect("it is behind the SMMU"),
            };
            Self { registers, stream }
        }

        fn start(&self, source: u64, destination: u64, bytes: u64, command: u64) {
            barrier::dsb_sy();
            self.registers.write64(SOURCE, source);
            self.registers.write64(DESTINATION, destination);
            self.registers.write64(COUNT, bytes);
            self.registers.write64(COMMAND, command | RUN);
        }

        fn is_done(&self) -> bool {
            self.registers.read64(COMMAND) & RUN == 0
        }

        /// Starts a read of memory into the device.
        pub fn start_load(&self, from: u64, bytes: u64) {
            self.start(from, OWN_MEMORY, bytes, 0);
        }

        /// Starts a write of the device's memory to memory.
        pub fn start_store(&self, to: u64, bytes: u64) {
            self.start(OWN_MEMORY, to, bytes, TO_RAM);
        }

        /// Waits for the end of a transfer, asleep between timer interrupts; interrupts are taken, so the kernel's handlers run.
        pub fn sleep_until_done(&self) {
            let end = GenericTimer.deadline(PATIENCE);
            while !self.is_done() {
                assert!(!end.has_passed(&GenericTimer), "edu never ended a transfer");
                VirtualTimer.arm(GenericTimer.now_ticks() + GenericTimer.ticks_per_second() / 200);
                cpu::wfi();
                cpu::unmask_interrupts();
                barrier::isb();
                cpu::mask_interrupts();
            }
            barrier::dsb_sy();
        }

        /// Waits for the end of a transfer with interrupts masked: the kernel does not see what the SMMU reports.
        pub fn poll_until_done(&self) {
            let end = GenericTimer.deadline(PATIENCE);
            while !self.is_done() {
                assert!(!end.has_passed(&GenericTimer), "edu never ended a transfer");
                GenericTimer.relax();
            }
            barrier::dsb_sy();
        }
    }

    /// Fills a buffer with a pattern that no other seed gives.
    pub fn fill(buffer: &impl DmaBuffer, seed: u64) {
        for at in (0..buffer.len_bytes()).step_by(8) {
            buffer.write64(at, (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed.rotate_left(32));
        }
    }

    /// True if a buffer holds the pattern of a seed in its first `bytes`.
    pub fn holds(buffer: &impl DmaBuffer, seed: u64, bytes: usize) -> bool {
        (0..bytes).step_by(8).all(|at| buffer.read64(at) == (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed.rotate_left(32))
    }
}

/// The kernel, brought up.
#[cfg(target_os = "none")]
mod kernel {
    use firmware_kernel::Report;

    /// What makes a node of the device tree an SMMU.
    const SMMU: &[u8] = b"arm,smmu-v3";

    /// Boots the kernel as the image does.
    pub fn boot() -> Report {
        assert_eq!(hal_aarch64::sysreg::current_el(), 1);
        firmware_kernel::init(&target_tests::firmware::boot(target_tests::device_tree())).expect("the kernel boots")
    }

    /// Boots the kernel with a device tree whose SMMU it cannot recognise: it is left as reset left it.
    pub fn boot_without_smmu() -> Report {
        let tree = core::ptr::with_exposed_provenance_mut::<u8>(target_tests::device_tree().0 as usize);
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
}

/// The driver alone, with a table written out by hand, on the SMMU that the kernel has let go.
#[cfg(target_os = "none")]
mod rig {
    use core::sync::atomic::{AtomicBool, Ordering};

    use firmware_kerncore::tree::Block;
    use firmware_kernel::{Buffer, PhysicalMemory, Report};
    use hal::{DmaBuffer, DmaMapper, RegisterWindow, Va};
    use hal_aarch64::{GenericTimer, MmioWindow, barrier};
    use smmu_driver::{Config, Event, FaultModel, Granule, Leaf, Smmu, SmmuError, TableDescription};
    use smmu_spec::event::{EventId, EventRecord};
    use smmu_spec::regs::{SMMU_CMDQ_BASE, SMMU_CMDQ_PROD, SMMU_STRTAB_BASE, SMMU_STRTAB_BASE_CFG};

    use super::edu::Edu;

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

    static SPOIL: AtomicBool = AtomicBool::new(false);
    /// Opcode 0x50 is reserved (IHI 0070, section 4.1).
    pub const ILLEGAL: [u64; 2] = [0x50, 0];

    impl RegisterWindow for Registers {
        fn read32(&self, offset: u64) -> u32 {
            self.0.read32(offset)
        }
        fn write32(&self, offset: u64, value: u32) {
            if offset == SMMU_CMDQ_PROD.offset() && SPOIL.swap(false, Ordering::Relaxed) {
                let base = SMMU_CMDQ_BASE.get(&self.0);
                let log2_entries = base & 0x1f;
                let first = u64::from(SMMU_CMDQ_PROD.get(&self.0)) & ((1 << log2_entries) - 1);
                write_word((base & 0x000f_ffff_ffff_ffe0) + 16 * first, ILLEGAL[0]);
                write_word((base & 0x000f_ffff_ffff_ffe0) + 16 * first + 8, ILLEGAL[1]);
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
        pages: Buffer,
    }

    fn table() -> Buffer {
        PhysicalMemory.alloc(4096, 4096).expect("memory for a table")
    }

    fn physical(buffer: &Buffer) -> u64 {
        buffer.physical_address().expect("one run").0
    }

    /// A page of memory.
    pub fn page() -> Buffer {
        table()
    }

    impl Rig {
        /// Takes the SMMU over from the kernel, with a two-level stream table, and attaches edu to a table that maps nothing yet.
        pub fn new() -> Self {
            let report = super::kernel::boot();
            Self::over(&report, report.machine.smmus[0].registers, Config::default())
        }

        /// The same with a linear stream table for 16 streams. The SMMU must be fresh: QEMU 7.2 keeps the two-level format until reset.
        pub fn linear() -> Self {
            let report = super::kernel::boot_without_smmu();
            Self::over(&report, QEMU_SMMU, Config { stream_bits: 4, ..Config::default() })
        }

        fn over(report: &Report, smmu: Block, config: Config) -> Self {
            let registers = firmware_kernel::map_device(smmu).expect("within reach");
            let edu = Edu::bring_up(report);
            let mut smmu = Smmu::init(Registers(registers), GenericTimer, PhysicalMemory, config).expect("taken over");
            let (root, middle, pages) = (table(), table(), table());
            // 39-bit addresses: three levels, next-level descriptors end in 0b11.
            root.write64((IOVA >> 30 & 0x1ff) as usize * 8, physical(&middle) | 3);
            middle.write64((IOVA >> 21 & 0x1ff) as usize * 8, physical(&pages) | 3);
            let asid = smmu.allocate_asid().expect("an ASID");
            let ips = smmu.features().oas_code.min(5);
            let description = TableDescription { ttb0: hal::Pa(physical(&root)), t0sz: 25, granule: Granule::Kib4, ips, mair: 0xff, asid };
            smmu.attach(edu.stream, &description, FaultModel::Terminate).expect("attached");
            Self { smmu, edu, asid, registers, pages }
        }

        /// Sets the descriptor of page `index` of the window; nothing is invalidated.
        pub fn set_page(&self, index: u64, to: Option<(&Buffer, u64)>) {
            let descriptor = to.map_or(0, |(page, bits)| physical(page) | bits);
            self.pages.write64((((IOVA >> 12) + index) & 0x1ff) as usize * 8, descriptor);
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
        pub fn spoil_next_command(&self) {
            SPOIL.store(true, Ordering::Relaxed);
        }

        /// Takes all records; each must be of this kind and this stream. Returns the first and their number.
        pub fn records(&mut self, id: EventId) -> (EventRecord, usize) {
            let mut first = None;
            let mut count = 0;
            while let Some(event) = self.smmu.next_event().expect("a sound event queue") {
                let record = match event {
                    Event::Fault(fault) => fault.record,
                    Event::Other(record) => record,
                    Event::RecordsLost => panic!("records lost"),
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
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 30)]
mod on_bare {
    use super::kernel;

    /// The kernel finds QEMU's SMMU by device tree, enables it, and finds no accelerator.
    #[test]
    fn the_kernel_boots_at_el1_on_qemus_own_smmu() {
        let report = kernel::boot();
        let features = report.smmu.expect("there is an SMMU").expect("it is usable");
        assert!(features.substream_bits == 0 && !features.stall_model.can_stall() && features.two_level_streams);
        assert!(!firmware_kernel::supports_sva());
        assert!(report.accelerators.is_empty());
        assert_eq!(report.machine.smmus[0].registers.base, 0x0905_0000);
        assert_eq!(report.functions.len(), 1, "the host bridge only");
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 30)]
mod on_bare_edu {
    use firmware_kernel::{Buffer, PhysicalMemory};
    use hal::{AccessKind, DmaBuffer, DmaMapper, Iova};
    use smmu_driver::{CommandError, Event, FaultKind, FaultModel, SmmuError, TranslationFault};
    use smmu_spec::event::EventId;

    use super::edu::{Edu, FIRST_STREAM, fill, holds};
    use super::kernel;
    use super::rig::{self, IOVA, READ_ONLY, READ_WRITE, Rig};

    const PAGE: u64 = 4096;
    /// What a transfer moves. QEMU ends itself when one reaches the last byte of edu's memory.
    const BLOCK: u64 = 2048;

    /// Attaches edu to the kernel's domain; returns it and two pages mapped there, with their IOVAs.
    fn attached() -> (Edu, [(Buffer, Iova); 2]) {
        let report = kernel::boot();
        let edu = Edu::bring_up(&report);
        assert_eq!(edu.stream, FIRST_STREAM);
        let table = firmware_kernel::domain_table().expect("the kernel has a domain");
        firmware_kernel::with_smmu(|smmu| smmu.attach(edu.stream, &table, FaultModel::Terminate)).expect("an SMMU").expect("attached");
        let page = || {
            let buffer = PhysicalMemory.alloc(PAGE as usize, PAGE as usize).expect("memory");
            let at = buffer.physical_address().expect("one run");
            let iova = firmware_kernel::map_iova(at, PAGE, PAGE).expect("an IOVA");
            assert_ne!(iova.0, at.0);
            (buffer, iova)
        };
        (edu, [page(), page()])
    }

    fn take_faults() -> alloc_free::Faults {
        let mut faults = alloc_free::Faults::default();
        firmware_kernel::take_events(|event| match event {
            Event::Fault(fault) => faults.push(fault),
            other => panic!("unexpected event {other:?}"),
        });
        faults
    }

    /// A short list without an allocator.
    mod alloc_free {
        use super::TranslationFault;

        /// At most eight faults.
        #[derive(Default)]
        pub struct Faults {
            faults: [Option<TranslationFault>; 8],
            pub len: usize,
        }

        impl Faults {
            pub fn push(&mut self, fault: TranslationFault) {
                self.faults[self.len] = Some(fault);
                self.len += 1;
            }
            pub fn iter(&self) -> impl Iterator<Item = &TranslationFault> {
                self.faults.iter().flatten()
            }
        }
    }

    /// The kernel's own path: its domain, its SMMU driver, its interrupts.
    #[test]
    fn sm_t01_dma_goes_through_an_enabled_stage_1() {
        let (edu, [(source, from), (destination, to)]) = attached();
        fill(&source, 1);
        edu.start_load(from.0, BLOCK);
        edu.sleep_until_done();
        edu.start_store(to.0, BLOCK);
        edu.sleep_until_done();
        assert!(holds(&destination, 1, BLOCK as usize), "what arrived is not what was sent");
        assert_eq!(take_faults().len, 0);
    }

    /// After the kernel's unmap, which invalidates, the same DMA that worked a moment ago faults, and memory stays as it is.
    #[test]
    fn sm_i02_after_unmap_the_device_reaches_nothing() {
        let (edu, [(source, from), (destination, to)]) = attached();
        fill(&source, 2);
        edu.start_load(from.0, BLOCK);
        edu.sleep_until_done();
        edu.start_store(to.0, BLOCK);
        edu.sleep_until_done();
        assert!(holds(&destination, 2, BLOCK as usize));

        firmware_kernel::unmap_iova(to, PAGE).expect("unmapped");
        fill(&destination, 3);
        let interrupts = firmware_kernel::interrupts_handled();
        edu.start_store(to.0, 16);
        edu.sleep_until_done();
        assert!(holds(&destination, 3, PAGE as usize), "the device reached memory that was unmapped");
        assert!(firmware_kernel::interrupts_handled() > interrupts);
        let faults = take_faults();
        // QEMU splits a DMA that faults into 4-byte accesses, one record each.
        assert_eq!(faults.len, 4);
        for (index, fault) in faults.iter().enumerate() {
            assert_eq!((fault.kind, fault.stream, fault.substream), (FaultKind::Translation, edu.stream, None));
            assert_eq!((fault.address.0, fault.access), (to.0 + 4 * index as u64, AccessKind::Write));
            assert!(fault.stall.is_none() && !fault.privileged);
        }

        // The page beside it is still there, and a read of the one that went faults as a read.
        edu.start_load(from.0, 16);
        edu.sleep_until_done();
        assert_eq!(take_faults().len, 0);
        edu.start_load(to.0, 4);
        edu.sleep_until_done();
        let faults = take_faults();
        assert!(faults.len == 1 && faults.iter().all(|fault| fault.access == AccessKind::Read && fault.address == to));
    }

    /// QEMU keeps what it has translated: without the invalidation the old page is served. So the tests above would see a missing one.
    #[test]
    fn sm_i01_without_an_invalidation_the_old_page_is_served() {
        let mut rig = Rig::new();
        let (old, new, out) = (rig::page(), rig::page(), rig::page());
        fill(&old, 4);
        fill(&new, 5);
        rig.set_page(0, Some((&old, READ_WRITE)));
        rig.set_page(1, Some((&out, READ_WRITE)));
        rig.copy(BLOCK);
        assert!(holds(&out, 4, BLOCK as usize));

        rig.set_page(0, Some((&new, READ_WRITE)));
        rig.copy(BLOCK);
        assert!(holds(&out, 4, BLOCK as usize), "this QEMU has no TLB: the negative control controls nothing");
        rig.invalidate(0).expect("invalidated");
        rig.copy(BLOCK);
        assert!(holds(&out, 5, BLOCK as usize), "the invalidation did not reach the TLB");
        rig.assert_quiet();
    }

    /// The same with a linear stream table: 16 streams.
    #[test]
    fn sm_t01_a_linear_stream_table_serves_too() {
        let mut rig = Rig::linear();
        let (source, out) = (rig::page(), rig::page());
        fill(&source, 6);
        rig.set_page(0, Some((&source, READ_WRITE)));
        rig.set_page(1, Some((&out, READ_WRITE)));
        rig.copy(BLOCK);
        assert!(holds(&out, 6, BLOCK as usize));
        rig.assert_quiet();
    }

    #[test]
    fn sm_f01_a_hole_is_f_translation() {
        let mut rig = Rig::new();
        rig.edu.start_load(IOVA + 2 * PAGE + 0x40, 16);
        rig.edu.poll_until_done();
        let (record, count) = rig.records(EventId::F_TRANSLATION);
        assert_eq!((record.input_address(), count), (IOVA + 2 * PAGE + 0x40, 4));
        assert!(record.is_read() && !record.is_privileged() && !record.is_instruction() && record.stall().is_none());
        // Word 0 by hand: StreamID 8, event 0x10. CLASS is 0 where IHI 0070 wants 2.
        assert_eq!(record.0[0], 0x0000_0008_0000_0010);
    }

    #[test]
    fn sm_f01_a_write_to_a_read_only_page_is_f_permission() {
        let mut rig = Rig::new();
        let (source, out) = (rig::page(), rig::page());
        fill(&source, 7);
        fill(&out, 8);
        rig.set_page(0, Some((&source, READ_ONLY)));
        rig.set_page(1, Some((&out, READ_ONLY)));
        rig.copy(16);
        assert!(holds(&out, 8, PAGE as usize), "a read-only page was written");
        let (record, count) = rig.records(EventId::F_PERMISSION);
        assert_eq!((record.input_address(), record.is_read(), count), (IOVA + PAGE, false, 4));
    }

    /// An STE that asks for stage 2, which this SMMU has not.
    #[test]
    fn sm_f01_an_illegal_ste_is_c_bad_ste() {
        let mut rig = Rig::new();
        let ste = rig.ste();
        let word = rig::read_word(ste);
        assert_eq!(word & 0xf, 0xb, "valid, stage 1");
        rig::write_word(ste, word & !0xe | 6 << 1);
        rig.edu.start_load(IOVA, 4);
        rig.edu.poll_until_done();
        let (record, _) = rig.records(EventId::C_BAD_STE);
        assert_eq!(record.0[0], 0x0000_0008_0000_0004);
    }

    /// A CD that asks for stalls, which this SMMU has not (CD.S, bit 44).
    #[test]
    fn sm_f01_an_illegal_cd_is_c_bad_cd() {
        let mut rig = Rig::new();
        let cd = rig::read_word(rig.ste()) & 0x00ff_ffff_ffff_ffc0;
        rig::write_word(cd, rig::read_word(cd) | 1 << 44);
        rig.edu.start_load(IOVA, 4);
        rig.edu.poll_until_done();
        let (record, _) = rig.records(EventId::C_BAD_CD);
        assert_eq!(record.0[0], 0x0000_0008_0000_000a);
    }

    /// A command that this SMMU refuses: the driver names it, replaces it, and goes on.
    #[test]
    fn sm_i11_the_driver_repairs_the_command_queue() {
        let mut rig = Rig::new();
        let (old, new, out) = (rig::page(), rig::page(), rig::page());
        fill(&old, 9);
        fill(&new, 10);
        rig.set_page(0, Some((&old, READ_WRITE)));
        rig.set_page(1, Some((&out, READ_WRITE)));
        rig.copy(16);
        rig.set_page(0, Some((&new, READ_WRITE)));
        rig.spoil_next_command();
        match rig.invalidate(0) {
            Err(SmmuError::Command(failure)) => {
                assert_eq!((failure.error, failure.command), (CommandError::Illegal, rig::ILLEGAL));
            }
            other => panic!("the refused command was not reported: {other:?}"),
        }
        rig.invalidate(0).expect("the queue goes on");
        rig.copy(16);
        assert!(holds(&out, 10, 16));
        rig.assert_quiet();
    }
}
