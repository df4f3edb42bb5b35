//! The CPU's walker and the SMMU's on one table: they agree on every address, or on why there is none.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

#[cfg(target_os = "none")]
extern crate alloc;

/// What runs at EL0.
#[cfg(target_os = "none")]
mod programs {
    use target_tests::user::{self, FREE_AT, RawQueue, hold, memory_at, set_word};
    use uacce_abi::Protection;

    pub const PAGE: u64 = 4096;
    /// Pages of which every second one was touched.
    pub const CHEQUERED: u64 = FREE_AT;
    pub const CHEQUERED_PAGES: u64 = 300;
    /// Touched, then read-only.
    pub const READ_ONLY: u64 = FREE_AT + 0x40_0000;
    pub const READ_ONLY_PAGES: u64 = 64;
    /// Touched, then closed.
    pub const CLOSED: u64 = FREE_AT + 0x60_0000;
    pub const CLOSED_PAGES: u64 = 16;
    /// An area that nobody has touched.
    pub const UNTOUCHED: u64 = FREE_AT + 0x80_0000;
    pub const UNTOUCHED_PAGES: u64 = 64;
    /// Lent as 2 MiB blocks.
    pub const BLOCKS: u64 = FREE_AT + 0x4000_0000;
    /// Words of the board.
    pub const DONE: usize = 0;
    pub const DUS: usize = 1;
    pub const MMIO: usize = 2;

    /// A process with memory of every kind.
    pub extern "C" fn holder(_: u64) -> ! {
        let queue = RawQueue::compressing();
        memory_at(CHEQUERED, CHEQUERED_PAGES * PAGE, Protection::ReadWrite);
        for page in (0..CHEQUERED_PAGES).step_by(2) {
            user::store(CHEQUERED + page * PAGE, page);
        }
        memory_at(READ_ONLY, READ_ONLY_PAGES * PAGE, Protection::ReadWrite);
        user::touch(READ_ONLY, READ_ONLY_PAGES * PAGE);
        user::protect(READ_ONLY, READ_ONLY_PAGES * PAGE, Protection::Read);
        memory_at(CLOSED, CLOSED_PAGES * PAGE, Protection::ReadWrite);
        user::touch(CLOSED, CLOSED_PAGES * PAGE);
        user::protect(CLOSED, CLOSED_PAGES * PAGE, Protection::None);
        memory_at(UNTOUCHED, UNTOUCHED_PAGES * PAGE, Protection::ReadWrite);
        set_word(DUS, queue.dus);
        set_word(MMIO, queue.mmio);
        set_word(DONE, 1);
        hold()
    }
}

#[cfg(target_os = "none")]
mod steps {
    use super::programs as p;
    use alloc::vec::Vec;
    use firmware_kerncore::vma::Rights;
    use firmware_kernel::{identity, lookup_user, smmu_features, with_smmu};
    use hal::{AccessKind, DmaBuffer, Iova, Pa, StreamId, SubstreamId, Va};
    use hal_aarch64::{at, mmu};
    use smmu_driver::{Event, FaultKind, FaultModel, Granule, TableDescription};
    use smmu_spec::event::EventId;
    use target_tests::board::{frames, lend_frames, lend_physical, space};
    use target_tests::pattern::Random;
    use target_tests::{Board, start_kernel, vendor};

    /// A stream of no device: what is bound to it is asked for by nobody but this test.
    const STREAM: StreamId = StreamId(0x10);
    const BLOCK: u64 = 2 << 20;

    pub fn describe(ttb0: Pa, asid: u16) -> TableDescription {
        let oas = smmu_features().expect("an SMMU").oas_code;
        TableDescription { ttb0, t0sz: 25, granule: Granule::Kib4, ips: (mmu::pa_range() as u8).min(oas), mair: mmu::MAIR, asid }
    }

    /// Attaches the test's stream, whose transactions without a SubstreamID find an empty table, and which never stalls; returns a
    /// SubstreamID for the table under test.
    pub fn attach() -> SubstreamId {
        let empty = frames(4096, 4096);
        with_smmu(|smmu| {
            let asid = smmu.allocate_asid().expect("an ASID");
            let table = describe(empty.physical_address().expect("frames"), asid);
            smmu.attach(STREAM, &table, FaultModel::Terminate).expect("a free stream");
            smmu.allocate_substream().expect("a SubstreamID")
        })
        .expect("an SMMU")
    }

    /// What a walk came to.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Verdict {
        At(Pa),
        Fault(FaultKind),
    }

    fn ask_cpu(va: u64, kind: AccessKind) -> Verdict {
        let par = if kind == AccessKind::Write { at::s1e0w(Va(va)) } else { at::s1e0r(Va(va)) };
        assert!(!par.is_stage2_fault(), "{va:#x}: stage 2");
        match par.result(Va(va)) {
            Ok(pa) => Verdict::At(pa),
            Err(code) => Verdict::Fault(match code >> 2 {
                0 => FaultKind::AddressSize,
                1 => FaultKind::Translation,
                2 => FaultKind::Access,
                3 => FaultKind::Permission,
                _ => panic!("{va:#x}: fault status {code:#x}"),
            }),
        }
    }

    /// The device's answer, and the event that goes with a refusal: who, where, what.
    fn ask_smmu(substream: SubstreamId, va: u64, kind: AccessKind) -> Verdict {
        let answer = vendor::translate(STREAM, Some(substream), Iova(va), kind);
        let event = with_smmu(|smmu| smmu.next_event()).expect("an SMMU").expect("an honest queue");
        match (answer, event) {
            (vendor::Answer::At(pa), None) => Verdict::At(pa),
            (vendor::Answer::Abort, Some(Event::Fault(fault))) => {
                assert_eq!((fault.stream, fault.substream), (STREAM, Some(substream)), "{va:#x}");
                assert_eq!((fault.address, fault.access), (Iova(va), kind));
                assert!(fault.stall.is_none() && !fault.privileged);
                Verdict::Fault(fault.kind)
            }
            other => panic!("{va:#x} {kind:?}: {other:?}"),
        }
    }

    /// What came out, by kind: addresses, translation faults, permission faults.
    #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
    struct Tally {
        mapped: u32,
        translation: u32,
        permission: u32,
    }

    impl Tally {
        fn count(&mut self, verdict: Verdict) {
            match verdict {
                Verdict::At(_) => self.mapped += 1,
                Verdict::Fault(FaultKind::Translation) => self.translation += 1,
                Verdict::Fault(FaultKind::Permission) => self.permission += 1,
                Verdict::Fault(other) => panic!("{other:?} was not expected"),
            }
        }
    }

    /// Picks `count` addresses of a range.
    fn pick(into: &mut Vec<u64>, random: &mut Random, start: u64, len_bytes: u64, count: usize) {
        into.extend((0..count).map(|_| start + random.below(len_bytes)));
    }

    pub fn thousand_addresses() {
        start_kernel();
        let board = Board::new();
        let process = board.start("holder", p::holder, 0);
        let (writable, readable) = (frames(2 * BLOCK as usize, BLOCK as usize), frames(BLOCK as usize, BLOCK as usize));
        lend_frames(process, p::BLOCKS, &writable, Rights::ReadWrite);
        lend_frames(process, p::BLOCKS + 4 * BLOCK, &readable, Rights::Read);
        board.run_until(p::DONE..p::DONE + 1);
        let identity = identity(space(process)).expect("alive");
        for (at, len) in [(p::CHEQUERED, 4096), (p::BLOCKS, BLOCK), (p::BLOCKS + BLOCK, BLOCK), (p::BLOCKS + 4 * BLOCK, BLOCK)] {
            assert_eq!(lookup_user(space(process), at).map(|found| found.len_bytes), Some(len), "{at:#x}");
        }

        let mut random = Random(2026);
        let mut addresses = Vec::new();
        let text = firmware::shared_room();
        for (start, len_bytes, count) in [
            (p::CHEQUERED, p::CHEQUERED_PAGES * p::PAGE, 300),
            (p::READ_ONLY, p::READ_ONLY_PAGES * p::PAGE, 80),
            (p::CLOSED, p::CLOSED_PAGES * p::PAGE, 30),
            (p::UNTOUCHED, p::UNTOUCHED_PAGES * p::PAGE, 60),
            // Two blocks that may be written, a hole of two, one that may be read, a hole.
            (p::BLOCKS, 6 * BLOCK, 300),
            // Where nothing was ever mapped, in the process's part of the table and beyond it.
            (p::BLOCKS + 0x1_0000_0000, 0x2_0000_0000, 60),
            (1 << 39, 1 << 40, 20),
            (0xffff_ff80_0000_0000, 1 << 39, 20),
            // The kernel's: RAM, devices; the image's text, which processes read.
            (0x4000_0000, 0x3c00_0000, 60),
            (firmware_platform::SMMU_BASE, firmware_platform::SMMU_BYTES, 20),
            (text.start as u64, text.len() as u64, 40),
            // The process's queue.
            (board.word(p::DUS), 0x2_0000, 20),
            (board.word(p::MMIO), 0x1_0000, 20),
        ] {
            pick(&mut addresses, &mut random, start, len_bytes, count);
        }
        // The borders of everything.
        for at in [p::CHEQUERED, p::READ_ONLY, p::CLOSED, p::UNTOUCHED, p::BLOCKS, p::BLOCKS + BLOCK, p::BLOCKS + 2 * BLOCK, 1 << 39] {
            addresses.extend([at - 1, at]);
        }
        addresses.extend([0, u64::MAX]);
        assert!(addresses.len() > 1000, "{}", addresses.len());

        let substream = attach();
        with_smmu(|smmu| smmu.bind(STREAM, substream, &describe(identity.root, identity.asid))).expect("an SMMU").expect("bound");
        // SAFETY: a process's table maps the kernel as the kernel's own does.
        unsafe { mmu::set_ttbr0_el1(identity.root.0 | u64::from(identity.asid) << 48) };
        let (mut reads, mut writes) = (Tally::default(), Tally::default());
        for at in &addresses {
            for (kind, tally) in [(AccessKind::Read, &mut reads), (AccessKind::Write, &mut writes)] {
                let cpu = ask_cpu(*at, kind);
                assert_eq!(cpu, ask_smmu(substream, *at, kind), "{at:#x} {kind:?}: CPU, SMMU");
                tally.count(cpu);
            }
        }
        defmt::info!("reads {}, writes {}", defmt::Debug2Format(&reads), defmt::Debug2Format(&writes));
        // Every kind of answer was among them, for both kinds of access.
        for tally in [reads, writes] {
            assert!(tally.mapped > 250 && tally.translation > 250 && tally.permission > 80, "{tally:?}");
        }
        assert!(writes.permission > reads.permission + 100, "read-only memory was among them");
    }

    /// A table may say what it likes: where it leads into the silicon's own memory, nothing is read or written.
    pub fn tables_in_hidden_memory() {
        start_kernel();
        let substream = attach();
        let hidden = Pa(firmware::shared_room().end as u64);
        let asid = with_smmu(|smmu| smmu.allocate_asid()).expect("an SMMU").expect("an ASID");
        with_smmu(|smmu| smmu.bind(STREAM, substream, &describe(hidden, asid))).expect("an SMMU").expect("bound");
        for (at, kind) in [(0, AccessKind::Read), (0x12_3456_7890, AccessKind::Write)] {
            assert_eq!(vendor::translate(STREAM, Some(substream), Iova(at), kind), vendor::Answer::Abort);
            let event = with_smmu(|smmu| smmu.next_event()).expect("an SMMU").expect("an honest queue");
            let Some(Event::Other(record)) = event else { panic!("{event:?}") };
            assert_eq!(record.id(), EventId::F_WALK_EABT);
            assert_eq!((record.stream(), record.substream(), record.input_address()), (STREAM, Some(substream), at));
        }
    }

    /// What was unmapped is gone for the device as well, and what was mapped anew is seen.
    pub fn remapping() {
        start_kernel();
        let board = Board::new();
        let process = board.start("holder", p::holder, 0);
        board.run_until(p::DONE..p::DONE + 1);
        let substream = attach();
        let identity = identity(space(process)).expect("alive");
        with_smmu(|smmu| smmu.bind(STREAM, substream, &describe(identity.root, identity.asid))).expect("an SMMU").expect("bound");
        let at = p::BLOCKS;
        // A fault is not remembered: a mapping made afterwards needs no invalidation.
        assert_eq!(ask_smmu(substream, at, AccessKind::Read), Verdict::Fault(FaultKind::Translation));
        let frame = frames(4096, 4096);
        lend_physical(process, at, frame.physical_address().expect("frames"), 4096, Rights::ReadWrite);
        for kind in [AccessKind::Read, AccessKind::Write] {
            assert_eq!(ask_smmu(substream, at + 5, kind), Verdict::At(Pa(frame.physical_address().expect("frames").0 + 5)));
        }
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod plain {
    use super::steps;

    #[test]
    fn ua_a1_at_and_the_smmu_agree_on_1000_addresses() {
        steps::thousand_addresses();
    }

    #[test]
    fn ua_v1_o8_a_mapping_made_later_is_used_at_once() {
        steps::remapping();
    }

    #[test]
    fn sm_a_table_in_hidden_memory_aborts_the_walk() {
        steps::tables_in_hidden_memory();
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_miss {
    #[test]
    fn ua_a1_at_and_the_smmu_agree_on_1000_addresses() {
        super::steps::thousand_addresses();
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_random {
    #[test]
    fn ua_a1_at_and_the_smmu_agree_on_1000_addresses() {
        super::steps::thousand_addresses();
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_prefetch {
    #[test]
    fn ua_a1_at_and_the_smmu_agree_on_1000_addresses() {
        super::steps::thousand_addresses();
    }
}
