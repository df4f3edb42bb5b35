//! A process's own translation table, walked by the CPU for the process and by QEMU's SMMUv3 for a device: shared virtual addressing as far as an
//! SMMU without SubstreamIDs and stalls goes. The table stands in the context of transactions without SubstreamID.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

/// What runs at EL0.
#[cfg(target_os = "none")]
mod programs {
    use firmware_apps::SvcSystem;
    use target_tests::check;
    use target_tests::user::{self, FREE_AT, await_words, hold, memory_at, protect, set_word, word};
    use uacce_abi::{Call, Kernel, Protection};

    pub const PAGE: u64 = 4096;
    pub const SOURCE: u64 = FREE_AT;
    pub const OUTPUT: u64 = FREE_AT + 0x20_0000;
    pub const UNTOUCHED: u64 = FREE_AT + 0x40_0000;
    /// Bytes that the device copies: across the border of two pages.
    pub const BYTES: u64 = 2048;
    pub const FROM: u64 = SOURCE + PAGE - BYTES / 2;
    /// Words of the board: steps done, and steps allowed.
    pub const DONE: usize = 0;
    pub const GO: usize = 16;

    /// Says that a step is done and waits for the next.
    fn step(number: usize) {
        set_word(DONE + number, 1);
        await_words(GO + number..GO + number + 1, 1);
    }

    /// Owns memory that the device works in; changes it step by step.
    pub extern "C" fn owner(_: u64) -> ! {
        memory_at(SOURCE, 2 * PAGE, Protection::ReadWrite);
        memory_at(OUTPUT, 2 * PAGE, Protection::ReadWrite);
        memory_at(UNTOUCHED, PAGE, Protection::ReadWrite);
        // Another page between the two, so that they do not lie side by side.
        user::fill(SOURCE, PAGE, 1);
        user::touch(OUTPUT, 2 * PAGE);
        user::fill(SOURCE, 2 * PAGE, 1);
        step(0);
        for index in 0..BYTES / 8 {
            check!(user::load(OUTPUT + index * 8) == user::load(FROM + index * 8), index);
        }
        user::store(UNTOUCHED, word(GO));
        step(1);
        protect(OUTPUT, 2 * PAGE, Protection::Read);
        step(2);
        check!(SvcSystem.call(Call::Unmap { at: SOURCE, len_bytes: 2 * PAGE }).is_ok());
        step(3);
        check!(user::load(OUTPUT) == user::load(OUTPUT), 0);
        set_word(DONE + 4, 1);
        hold()
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_bare_edu {
    use super::programs as p;
    use firmware_kernel::{identity, lookup_user, with_smmu};
    use hal::Va;
    use hal_aarch64::mmu;
    use smmu_driver::{Event, FaultModel, Granule, Leaf, TableDescription};
    use target_tests::Board;
    use target_tests::board::space;
    use target_tests::edu::Edu;
    use target_tests::rig::boot;

    const READ: u64 = 1 << 35;

    /// Takes all records: one for each 4 bytes of a transfer, number and word 1 as given. None for a count of 0.
    fn assert_records(number: u64, word1: u64, at: u64, count: u64) {
        for index in 0..count {
            let event = with_smmu(|smmu| smmu.next_event()).expect("an SMMU").expect("a sound event queue");
            let Some(Event::Fault(fault)) = event else { panic!("record {index} of {count}: {event:?}") };
            assert!(fault.stall.is_none() && fault.substream.is_none());
            assert_eq!(fault.record.0, [8 << 32 | number, word1, at + 4 * index, 0], "record {index}");
        }
        assert_eq!(with_smmu(|smmu| smmu.next_event()).expect("an SMMU"), Ok(None));
    }

    #[test]
    fn sm_a_device_works_on_a_processs_own_table() {
        let report = boot();
        let edu = Edu::bring_up(&report);
        let board = Board::new();
        let process = board.start("owner", p::owner, 0);
        let next = |step: usize| {
            if step > 0 {
                board.set(p::GO + step - 1, 1);
            }
            board.run_until(p::DONE + step..p::DONE + step + 1);
        };
        let load = |at: u64, bytes: u64| {
            edu.start_load(at, bytes);
            edu.poll_until_done();
        };
        let store = |at: u64, bytes: u64| {
            edu.start_store(at, bytes);
            edu.poll_until_done();
        };
        next(0);
        let space = space(process);
        let identity = identity(space).expect("alive");
        let place = |at: u64| lookup_user(space, at).map(|found| found.pa.0);
        let (first, second) = (place(p::SOURCE).expect("touched"), place(p::SOURCE + p::PAGE).expect("touched"));
        assert_ne!(second, first + p::PAGE, "two pages that do not lie side by side");
        let oas = with_smmu(|smmu| smmu.features().oas_code).expect("an SMMU");
        let ips = (mmu::pa_range() as u8).min(oas);
        // The very root that TTBR0_EL1 has while the process runs, and its ASID.
        let table = TableDescription { ttb0: identity.root, t0sz: 25, granule: Granule::Kib4, ips, mair: mmu::MAIR, asid: identity.asid };
        with_smmu(|smmu| smmu.attach(edu.stream, &table, FaultModel::Terminate)).expect("an SMMU").expect("attached");
        let invalidate = |at: u64| {
            with_smmu(|smmu| smmu.invalidate_range(identity.asid, Va(at), 2 * p::PAGE, Leaf::Only)).expect("an SMMU").expect("done")
        };

        // The process's pointers, for both; what the device wrote, the process reads.
        load(p::FROM, p::BYTES);
        store(p::OUTPUT, p::BYTES);
        assert_records(0, 0, 0, 0);
        // Nobody has touched this page: it is not in the table, and nothing here waits for it.
        assert!(place(p::UNTOUCHED).is_none());
        load(p::UNTOUCHED, 16);
        assert_records(0x10, READ, p::UNTOUCHED, 4);

        // The process touches it: a page that was not there needs no invalidation.
        next(1);
        load(p::UNTOUCHED, 16);
        assert_records(0, 0, 0, 0);

        // A right taken away: the store that was allowed a moment ago is refused once the SMMU was told.
        next(2);
        invalidate(p::OUTPUT);
        store(p::OUTPUT + 64, 16);
        assert_records(0x13, 0, p::OUTPUT + 64, 4);
        load(p::OUTPUT, 16);
        assert_records(0, 0, 0, 0);

        // Unmapped: gone for the CPU, and for the device no earlier than the SMMU is told. Its TLB is real.
        load(p::SOURCE, 16);
        next(3);
        assert!(place(p::SOURCE).is_none());
        load(p::SOURCE, 16);
        assert_records(0, 0, 0, 0);
        invalidate(p::SOURCE);
        load(p::SOURCE, 16);
        assert_records(0x10, READ, p::SOURCE, 4);

        // What every process can read of the image the device can read, and not write.
        let text = firmware_text();
        load(text, 16);
        store(text, 8);
        assert_records(0x13, 0, text, 2);
        next(4);
    }

    fn firmware_text() -> u64 {
        target_tests::firmware::shared_room().start as u64
    }
}
