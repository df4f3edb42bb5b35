//! The kernel and its SMMU driver without our silicon: at EL1 from reset, on QEMU's own SMMUv3, with QEMU's `edu` as DMA master.
//!
//! This SMMU was written by others and knows nothing of our models. Where QEMU 7.2 deviates from IHI 0070 the comment says so; nothing
//! here asks it for substreams or stalls, which it has not.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 30)]
mod on_bare {
    use target_tests::rig::boot;

    /// The kernel finds QEMU's SMMU by device tree, enables it, and finds no accelerator.
    #[test]
    fn the_kernel_boots_at_el1_on_qemus_own_smmu() {
        let report = boot();
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

    use target_tests::edu::{Edu, FIRST_STREAM, fill, holds};
    use target_tests::rig::{self, IOVA, READ_ONLY, READ_WRITE, Rig, boot};

    const PAGE: u64 = 4096;
    /// What a transfer moves. QEMU ends itself when one reaches the last byte of edu's memory.
    const BLOCK: u64 = 2048;

    /// Attaches edu to the kernel's domain; returns it and two pages mapped there, with their IOVAs.
    fn attached() -> (Edu, [(Buffer, Iova); 2]) {
        let report = boot();
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

    /// StreamID 8 and an event number: word 0 of every record here.
    const fn word0(number: u64) -> u64 {
        8 << 32 | number
    }

    /// Word 1 of a fault: RnW, bit 35. CLASS is 0 where IHI 0070 wants 2.
    const READ: u64 = 1 << 35;
    const WRITE: u64 = 0;
    /// An address that nobody answers, below the end of the SMMU's output addresses.
    const HOLE: u64 = 0x20_0000_0000;

    #[test]
    fn sm_f01_a_hole_is_f_translation() {
        let mut rig = Rig::new();
        let at = IOVA + 2 * PAGE + 0x40;
        rig.edu.start_load(at, 16);
        rig.edu.poll_until_done();
        rig.assert_records([word0(0x10), READ, at, 0], 4, 4);
        rig.edu.start_store(at, 8);
        rig.edu.poll_until_done();
        rig.assert_records([word0(0x10), WRITE, at, 0], 4, 2);
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
        rig.assert_records([word0(0x13), WRITE, IOVA + PAGE, 0], 4, 4);
    }

    /// A level-3 table where nobody answers. Word 1: RnW of the transaction, CLASS 1 (TT). Word 3: where the descriptor would be.
    #[test]
    fn sm_f01_a_table_that_nobody_holds_is_f_walk_eabt() {
        let mut rig = Rig::new();
        rig.set_table(HOLE);
        rig.edu.start_load(IOVA, 4);
        rig.edu.poll_until_done();
        let (record, _) = rig.records(EventId::F_WALK_EABT);
        assert_eq!(record.0, [word0(0x0b), READ | 1 << 40, IOVA, HOLE + 8 * (IOVA >> 12 & 0x1ff)]);
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
        rig.assert_records([word0(0x04), 0, 0, 0], 0, 1);
    }

    /// Level 2 of the stream table where nobody answers. Word 3: where the STE would be.
    #[test]
    fn sm_f01_an_ste_that_nobody_holds_is_f_ste_fetch() {
        let mut rig = Rig::new();
        let level1 = rig.level1();
        rig::write_word(level1, HOLE | rig::read_word(level1) & 0x1f);
        rig.edu.start_load(IOVA, 4);
        rig.edu.poll_until_done();
        rig.assert_records([word0(0x03), 0, 0, HOLE + 64 * 8], 0, 1);
    }

    /// No level 2 at all (Span = 0), and a linear table that ends before the stream: the StreamID is bad.
    #[test]
    fn sm_f01_a_stream_outside_the_table_is_c_bad_streamid() {
        let mut rig = Rig::new();
        rig::write_word(rig.level1(), 0);
        rig.edu.start_load(IOVA, 4);
        rig.edu.poll_until_done();
        rig.assert_records([word0(0x02), 0, 0, 0], 0, 1);
    }

    #[test]
    fn sm_f01_a_stream_past_a_linear_table_is_c_bad_streamid() {
        let mut rig = Rig::linear();
        // Streams 0 to 7; edu is 8.
        rig.set_stream_bits(3);
        rig.edu.start_load(IOVA, 4);
        rig.edu.poll_until_done();
        rig.assert_records([word0(0x02), 0, 0, 0], 0, 1);
    }

    /// A CD that asks for stalls, which this SMMU has not (CD.S, bit 44).
    #[test]
    fn sm_f01_an_illegal_cd_is_c_bad_cd() {
        let mut rig = Rig::new();
        let cd = rig::read_word(rig.ste()) & 0x00ff_ffff_ffff_ffc0;
        rig::write_word(cd, rig::read_word(cd) | 1 << 44);
        rig.edu.start_load(IOVA, 4);
        rig.edu.poll_until_done();
        rig.assert_records([word0(0x0a), 0, 0, 0], 0, 1);
    }

    /// QEMU 7.2 puts the address into word 2; IHI 0070 wants it in word 3.
    #[test]
    fn sm_f01_a_cd_that_nobody_holds_is_f_cd_fetch() {
        let mut rig = Rig::new();
        let ste = rig.ste();
        rig::write_word(ste, rig::read_word(ste) & !0x00ff_ffff_ffff_ffc0 | HOLE);
        rig.edu.start_load(IOVA, 4);
        rig.edu.poll_until_done();
        rig.assert_records([word0(0x09), 0, HOLE, 0], 0, 1);
    }

    /// The configuration cache is real: what the driver changes in a live STE or CD is seen only because it invalidates.
    #[test]
    fn sm_i05_a_blocked_stream_reaches_nothing_and_a_new_table_is_used_at_once() {
        let mut rig = Rig::new();
        let (old, new, out) = (rig::page(), rig::page(), rig::page());
        fill(&old, 11);
        fill(&new, 12);
        rig.set_page(0, Some((&old, READ_WRITE)));
        rig.set_page(1, Some((&out, READ_WRITE)));
        rig.copy(16);
        assert!(holds(&out, 11, 16));

        // The negative control: the STE changed in memory alone is not seen.
        let ste = rig.ste();
        let word = rig::read_word(ste);
        rig::write_word(ste, word & !0xe);
        fill(&out, 13);
        rig.copy(16);
        assert!(holds(&out, 11, 16), "this QEMU caches no STE: the negative control controls nothing");
        rig::write_word(ste, word);

        let stream = rig.edu.stream;
        rig.smmu.block(stream).expect("blocked");
        fill(&out, 13);
        rig.copy(16);
        assert!(holds(&out, 13, 16), "a blocked stream wrote");
        rig.smmu.unblock(stream).expect("unblocked");
        rig.copy(16);
        assert!(holds(&out, 11, 16));

        // Another table in the same CD: loads come from the new page, stores find no mapping.
        let other = rig.other_table(&new, READ_WRITE);
        rig.smmu.replace_kernel_table(stream, &other).expect("replaced");
        rig.edu.start_load(IOVA, 16);
        rig.edu.poll_until_done();
        rig.edu.start_store(IOVA + 8, 8);
        rig.edu.poll_until_done();
        assert_eq!(new.read64(8), pattern_word(12, 0), "the device stored what it had loaded from the new page");
        rig.assert_quiet();
        rig.edu.start_load(IOVA + PAGE, 4);
        rig.edu.poll_until_done();
        rig.assert_records([word0(0x10), READ, IOVA + PAGE, 0], 4, 1);
    }

    /// The word that [`fill`] puts at an offset.
    fn pattern_word(seed: u64, at: u64) -> u64 {
        (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed.rotate_left(32)
    }

    /// Commands that this SMMU refuses, more of them than the queue has slots for: the driver names each, replaces it, and goes on.
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
        for round in 0..300 {
            let illegal = rig::ILLEGAL[round % rig::ILLEGAL.len()];
            rig.spoil_next_command(illegal);
            match rig.invalidate(0) {
                Err(SmmuError::Command(failure)) => {
                    assert_eq!((failure.error, failure.command), (CommandError::Illegal, [illegal, 0]), "round {round}");
                }
                other => panic!("round {round}: the refused command {illegal:#x} was not reported: {other:?}"),
            }
        }
        rig.copy(16);
        assert!(holds(&out, 9, 16), "every invalidation was spoilt");
        rig.invalidate(0).expect("the queue goes on");
        rig.copy(16);
        assert!(holds(&out, 10, 16));
        rig.assert_quiet();
    }
}
