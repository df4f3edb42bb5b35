//! What the silicon hides, what it answers, and what its traps leave alone.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

#[cfg(target_os = "none")]
extern crate alloc;

/// FP and SIMD registers filled, something done, and read back, in one piece of assembly.
#[cfg(target_os = "none")]
mod vectors {
    use target_tests::pattern::Random;

    /// q0 to q31, FPSR, FPCR.
    #[derive(Clone, Copy, PartialEq, Eq)]
    #[repr(C, align(16))]
    pub struct State {
        pub q: [u64; 64],
        pub fpsr: u64,
        pub fpcr: u64,
    }

    impl State {
        /// No register has what another has.
        pub fn of(seed: u64) -> Self {
            let mut random = Random(seed);
            // Cumulative exception bits; round towards plus infinity, flush to zero.
            Self { q: core::array::from_fn(|_| random.number()), fpsr: 0x9f & random.number(), fpcr: 0x0140_0000 }
        }

        pub const ZERO: Self = Self { q: [0; 64], fpsr: 0, fpcr: 0 };
    }

    /// Fills the registers, runs the given instructions (`x2`, `x3`, `x4` are theirs), and reads the registers back.
    #[macro_export]
    macro_rules! keep_state {
        ($state:expr, $x2:expr, $x3:expr, $x4:expr, $($instruction:literal),+) => {{
            let wanted: &$crate::vectors::State = $state;
            let mut found = $crate::vectors::State::ZERO;
            // SAFETY: registers are given away as clobbers; `found` is as long as what is stored; FPCR gets its old value back. What the
            // instructions between do is the caller's: accesses of devices.
            unsafe {
                core::arch::asm!(
                    "mrs x9, fpcr",
                    "ldr x10, [x0, #512]",
                    "ldr x11, [x0, #520]",
                    "msr fpsr, x10",
                    "msr fpcr, x11",
                    "ldp q0, q1, [x0]", "ldp q2, q3, [x0, #32]", "ldp q4, q5, [x0, #64]", "ldp q6, q7, [x0, #96]",
                    "ldp q8, q9, [x0, #128]", "ldp q10, q11, [x0, #160]", "ldp q12, q13, [x0, #192]", "ldp q14, q15, [x0, #224]",
                    "ldp q16, q17, [x0, #256]", "ldp q18, q19, [x0, #288]", "ldp q20, q21, [x0, #320]", "ldp q22, q23, [x0, #352]",
                    "ldp q24, q25, [x0, #384]", "ldp q26, q27, [x0, #416]", "ldp q28, q29, [x0, #448]", "ldp q30, q31, [x0, #480]",
                    $($instruction,)+
                    "stp q0, q1, [x1]", "stp q2, q3, [x1, #32]", "stp q4, q5, [x1, #64]", "stp q6, q7, [x1, #96]",
                    "stp q8, q9, [x1, #128]", "stp q10, q11, [x1, #160]", "stp q12, q13, [x1, #192]", "stp q14, q15, [x1, #224]",
                    "stp q16, q17, [x1, #256]", "stp q18, q19, [x1, #288]", "stp q20, q21, [x1, #320]", "stp q22, q23, [x1, #352]",
                    "stp q24, q25, [x1, #384]", "stp q26, q27, [x1, #416]", "stp q28, q29, [x1, #448]", "stp q30, q31, [x1, #480]",
                    "mrs x10, fpsr",
                    "mrs x11, fpcr",
                    "str x10, [x1, #512]",
                    "str x11, [x1, #520]",
                    "msr fpcr, x9",
                    inlateout("x0") core::ptr::from_ref(wanted) => _,
                    inlateout("x1") core::ptr::from_mut(&mut found) => _,
                    inlateout("x2") $x2 => _,
                    inlateout("x3") $x3 => _,
                    inlateout("x4") $x4 => _,
                    inlateout("x5") core::ptr::from_mut(&mut found) => _,
                    out("x8") _, out("x9") _, out("x10") _, out("x11") _,
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                    out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _, out("v15") _,
                    out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _,
                    out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                    options(nostack),
                );
            }
            found
        }};
    }
}

/// What runs at EL0.
#[cfg(target_os = "none")]
mod programs {
    use super::vectors::State;
    use crate::keep_state;
    use target_tests::check;
    use target_tests::user::{self, DOORBELL, FREE_AT, RawQueue, counters, deflate, leave, memory, set_word, word};
    use zip_spec::Status;

    pub const PAGE: u64 = 4096;
    /// Words of the board.
    pub const DONE: usize = 0;
    pub const INTERRUPTS: usize = 8;
    pub const PAGES: usize = 16;
    /// Where the test lends what no device may reach.
    pub const HIDDEN: u64 = FREE_AT + 0x1000_0000;

    /// Registers keep what they have across doorbells that run a request in the trap, waits that are interrupted, and system calls.
    pub extern "C" fn registers(who: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (source, output) = (memory(PAGE), memory(PAGE));
        user::fill(source, PAGE, who);
        let before = counters();
        for round in 0..200 {
            let state = State::of(who << 32 | round);
            queue.put(&deflate(source, PAGE, output, PAGE, round));
            let found = keep_state!(
                &state,
                queue.mmio + DOORBELL,
                queue.doorbell(),
                20_000_u64,
                "dmb oshst",
                "str x3, [x2]",
                "2: subs x4, x4, #1",
                "b.ne 2b",
                // Yield, which lets the other process run.
                "mov x8, #16",
                "mov x5, x1",
                "svc #0",
                "mov x1, x5",
                "ldr x3, [x2]"
            );
            for index in 0..64 {
                check!(found.q[index] == state.q[index], round << 32 | index as u64);
            }
            check!(found.fpsr == state.fpsr, found.fpsr);
            check!(found.fpcr == state.fpcr, found.fpcr);
            let completion = queue.wait();
            check!(completion.status == Status::SUCCESS && completion.tag == round, completion.tag);
        }
        set_word(INTERRUPTS + who as usize, counters().since(&before).interrupts);
        set_word(DONE + who as usize, 1);
        // The other one still wants company.
        user::await_words(DONE..DONE + 2, 1);
        leave()
    }

    /// Lets the device read and write every page that was lent: none may be reached.
    pub extern "C" fn reaches_out(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (source, output) = (memory(PAGE), memory(PAGE));
        user::fill(source, PAGE, 1);
        for index in 0..word(PAGES) {
            let at = HIDDEN + index * PAGE + 8 * (index % 500);
            let completion = queue.run(&deflate(at, 64, output, PAGE, index));
            check!(completion.status == Status::SOURCE_ABORT, completion.status.0);
            let completion = queue.run(&deflate(source, PAGE, at, 8, index));
            check!(completion.status == Status::DESTINATION_ABORT, completion.status.0);
            if index % 64 == 0 {
                let completion = queue.run(&deflate(source, PAGE, output, PAGE, index));
                check!(completion.status == Status::SUCCESS, completion.status.0);
            }
        }
        set_word(DONE, word(PAGES));
        leave()
    }

    /// One request that must be fine.
    pub extern "C" fn one_request(_: u64) -> ! {
        let mut queue = RawQueue::compressing();
        let (source, output) = (memory(PAGE), memory(PAGE));
        user::fill(source, PAGE, 1);
        let completion = queue.run(&deflate(source, PAGE, output, PAGE, 9));
        check!(completion.status == Status::SUCCESS, completion.status.0);
        set_word(DONE, 1);
        leave()
    }
}

#[cfg(target_os = "none")]
mod steps {
    use super::programs as p;
    use super::vectors::State;
    use crate::keep_state;
    use firmware_kerncore::tree::Block;
    use firmware_kerncore::vma::Rights;
    use firmware_kernel::{living, map_device};
    use firmware_platform::trace::Counter;
    use firmware_platform::{ACCELERATOR_RID, ECAM_BASE, PCI_MEM32_BASE, RAM_BASE, RAM_BYTES, SMMU_BASE, TRACE_BASE};
    use hal::{Access, Pa, RegisterWindow};
    use target_tests::board::lend_physical;
    use target_tests::probe::{self, Outcome};
    use target_tests::{Board, probe_instruction, start_kernel, vendor};

    /// Memory of the silicon: its room of the image.
    fn el2_room() -> core::ops::Range<u64> {
        let room = firmware::shared_room().end as u64..firmware::el1_room().start as u64;
        assert!(room.end - room.start > 4 << 20 && room.start.is_multiple_of(4096), "{room:x?}");
        room
    }

    /// With the MMU off, so that nothing but stage 2 is in the way.
    pub fn hidden_from_loads_and_stores() {
        let (el1, everything_else) = (firmware::el1_room(), firmware::el1_room().end as u64..RAM_BASE + RAM_BYTES);
        let mut pages = 0;
        let mut expect_aborts = |at: u64| {
            let (load, store) = probe::with_vectors(|| (probe::load(at), probe::store(at, 0xdead_beef_dead_beef)));
            assert!(load.is_external_abort(Access::Read), "{at:#x}: {load:?}");
            assert!(store.is_external_abort(Access::Write), "{at:#x}: {store:?}");
            pages += 1;
        };
        for page in el2_room().step_by(4096) {
            expect_aborts(page + 8 * (page / 4096 % 512));
        }
        // The rest of the image's memory and the trace, here and there.
        for page in everything_else.step_by(64 * 4096) {
            expect_aborts(page);
        }
        expect_aborts(TRACE_BASE);
        expect_aborts(RAM_BASE + RAM_BYTES - 8);
        assert!(pages > 1000, "{pages} pages");
        // The probe sees a difference: what is EL1's own answers, what all levels read cannot be written.
        let own = el1.end as u64 - 4096;
        probe::with_vectors(|| {
            assert_eq!(probe::store(own, 0x1234_5678_9abc_def0), Outcome::Done(0x1234_5678_9abc_def0));
            assert_eq!(probe::load(own), Outcome::Done(0x1234_5678_9abc_def0));
            let shared = firmware::shared_room().start as u64;
            assert!(matches!(probe::load(shared), Outcome::Done(_)));
            assert!(matches!(probe::store(shared, 0), Outcome::Aborted(_)));
        });
        // And the silicon has lost nothing.
        start_kernel();
        let board = Board::new();
        board.run(board.start("one request", p::one_request, 0));
        assert_eq!(board.word(p::DONE), 1);
    }

    pub fn hidden_from_devices() {
        start_kernel();
        let board = Board::new();
        let process = board.start("reaches out", p::reaches_out, 0);
        let room = el2_room();
        let trace_pages = 16;
        let (room_bytes, trace_bytes) = (room.end - room.start, trace_pages * 4096);
        lend_physical(process, p::HIDDEN, Pa(room.start), room_bytes, Rights::ReadWrite);
        lend_physical(process, p::HIDDEN + room_bytes, Pa(TRACE_BASE), trace_bytes, Rights::ReadWrite);
        let pages = (room_bytes + trace_bytes) / 4096;
        board.set(p::PAGES, pages);
        board.run(process);
        assert_eq!(board.word(p::DONE), pages);
        assert!(pages > 1000, "{pages} pages");
    }

    pub fn registers_at_el0() {
        start_kernel();
        let board = Board::new();
        let other = board.start("registers 1", p::registers, 1);
        board.run(board.start("registers 0", p::registers, 0));
        if living().contains(&other) {
            board.run(other);
        }
        assert_eq!([board.word(p::DONE), board.word(p::DONE + 1)], [1, 1]);
        assert!(board.word(p::INTERRUPTS) + board.word(p::INTERRUPTS + 1) > 0, "nothing was interrupted");
    }

    pub fn registers_at_el1() {
        start_kernel();
        let translate = firmware_platform::vendor::TRANSLATE;
        for round in 0..500 {
            let state = State::of(round);
            // A register of the SMMU, one of configuration space, and a walk in EL2, which ends in an event: BAD_STREAMID's 64-bit stores.
            let found = keep_state!(
                &state,
                SMMU_BASE,
                ECAM_BASE + u64::from(ACCELERATOR_RID) * 0x1000,
                translate,
                "ldr w10, [x2]",
                "ldr x10, [x3]",
                "str wzr, [x2, #0x700]",
                "mov x8, x1",
                "mov x0, x4",
                "mov x1, #8",
                "mov x2, #-1",
                "mov x3, #0x1000",
                "mov x4, #0",
                "hvc #0",
                "mov x1, x8"
            );
            assert!(found == state, "round {round}");
        }
    }

    /// A register block, in the kernel's table.
    fn window(base: u64, len_bytes: u64) -> hal_aarch64::MmioWindow {
        map_device(Block { base, len_bytes }).expect("room in the kernel's table")
    }

    pub fn unknown_offsets() {
        start_kernel();
        let before = vendor::counter(Counter::Unknown);
        let aborts = vendor::counter(Counter::Aborts);
        // Between the blocks nobody answers: zero, whatever was written, in every width.
        let hole = window(0x20_0800_0000, 0x1000);
        for offset in [0, 8, 0xff8] {
            hole.write8(offset, 0xff);
            hole.write16(offset, 0xffff);
            hole.write32(offset, u32::MAX);
            hole.write64(offset, u64::MAX);
            let all = (hole.read8(offset), hole.read16(offset), hole.read32(offset), hole.read64(offset));
            assert_eq!(all, (0, 0, 0, 0), "{offset:#x}");
        }
        assert_eq!(vendor::counter(Counter::Unknown) - before, 24);
        // Reserved space of the blocks.
        let smmu = window(SMMU_BASE, 0x2_0000);
        for offset in [0x0b0, 0x3f0, 0x700, 0xdfc, 0x1_0000] {
            smmu.write32(offset, u32::MAX);
            assert_eq!(smmu.read32(offset), 0, "{offset:#x}");
        }
        // A window of the bridge where no BAR decodes, and a function that is not there: all ones, as PCI has it.
        let memory = window(PCI_MEM32_BASE + 0x0f00_0000, 0x1000);
        assert_eq!((memory.read8(3), memory.read32(0), memory.read64(8)), (u8::MAX, u32::MAX, u64::MAX));
        let absent = window(ECAM_BASE + 0x1_0000, 0x1000);
        absent.write32(0, 0);
        assert_eq!((absent.read8(0), absent.read16(2), absent.read32(0), absent.read64(0)), (u8::MAX, u16::MAX, u32::MAX, u64::MAX));
        assert_eq!(vendor::counter(Counter::Aborts), aborts, "none of this is an error");
    }

    pub fn access_widths() {
        start_kernel();
        let config = window(ECAM_BASE + u64::from(ACCELERATOR_RID) * 0x1000, 0x1000);
        assert_eq!(config.read32(0), 0xa250_19e5);
        assert_eq!([0, 1, 2, 3].map(|offset| config.read8(offset)), [0xe5, 0x19, 0x50, 0xa2]);
        assert_eq!([0, 2].map(|offset| config.read16(offset)), [0x19e5, 0xa250]);
        assert_eq!(config.read64(0), u64::from(config.read32(0)) | u64::from(config.read32(4)) << 32);
        // The interrupt line register is a byte of storage: a byte and a halfword reach it, and nothing beside it changes.
        let rest = config.read32(0x3c) & !0xff;
        config.write8(0x3c, 0x5a);
        assert_eq!(config.read32(0x3c), rest | 0x5a);
        config.write16(0x3c, 0x00a5);
        assert_eq!(config.read32(0x3c), rest | 0xa5);
        // 64-bit registers of the SMMU in one access or two halves.
        let smmu = window(SMMU_BASE, 0x2_0000);
        let strtab = smmu.read64(0x80);
        assert!(strtab != 0);
        assert_eq!((smmu.read32(0x80), smmu.read32(0x84)), (strtab as u32, (strtab >> 32) as u32));

        // Loads that extend the sign, to 32 and to 64 bits; to the zero register; pairs and write-back, which carry no syndrome.
        let at = config.base() as u64;
        probe::with_vectors(|| {
            assert_eq!(probe_instruction!("ldrsb x10, [x9]", at, 0_u64), Outcome::Done(0xffff_ffff_ffff_ffe5));
            assert_eq!(probe_instruction!("ldrsb w10, [x9]", at, u64::MAX), Outcome::Done(0xffff_ffe5));
            assert_eq!(probe_instruction!("ldrsh x10, [x9, #2]", at, 0_u64), Outcome::Done(0xffff_ffff_ffff_a250));
            assert_eq!(probe_instruction!("ldrsw x10, [x9]", at, 0_u64), Outcome::Done(0xffff_ffff_a250_19e5));
            assert_eq!(probe_instruction!("ldrb w10, [x9, #3]", at, u64::MAX), Outcome::Done(0xa2));
            assert_eq!(probe_instruction!("ldr wzr, [x9]", at, 7_u64), Outcome::Done(7));
            assert_eq!(probe_instruction!("strb wzr, [x9, #0x3c]", at, 7_u64), Outcome::Done(7));
            for outcome in [probe_instruction!("ldp x10, x11, [x9]", at, 0_u64), probe_instruction!("ldr x10, [x9], #8", at, 0_u64)] {
                assert!(outcome.is_external_abort(Access::Read), "{outcome:?}");
            }
            for outcome in [probe_instruction!("stp x10, x11, [x9]", at, 0_u64), probe_instruction!("str x10, [x9], #8", at, 0_u64)] {
                assert!(outcome.is_external_abort(Access::Write), "{outcome:?}");
            }
        });
        assert_eq!(config.read32(0x3c), rest);
        assert_eq!(config.read32(0), 0xa250_19e5);
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 120)]
mod plain {
    use super::steps;

    #[test]
    fn el2_memory_aborts_loads_and_stores_of_el1() {
        steps::hidden_from_loads_and_stores();
    }

    #[test]
    fn el2_memory_aborts_dma() {
        steps::hidden_from_devices();
    }

    #[test]
    fn fp_state_survives_traps_and_interrupts_at_el0() {
        steps::registers_at_el0();
    }

    #[test]
    fn fp_state_survives_traps_at_el1() {
        steps::registers_at_el1();
    }

    #[test]
    fn unknown_offsets_read_zero() {
        steps::unknown_offsets();
    }

    #[test]
    fn accesses_of_every_width_are_answered() {
        steps::access_widths();
    }
}

/// With the engine inline: the codec itself runs in the trap.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 120)]
mod on_1p0 {
    #[test]
    fn fp_state_survives_a_request_in_the_trap() {
        super::steps::registers_at_el0();
    }
}
