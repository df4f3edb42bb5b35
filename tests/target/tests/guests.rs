//! Stage 2 on the target: a virtual function in a guest's hands, with and without a stage 1 of the guest's, whose memory comes on demand.
//!
//! The kernel owns stage 2 (`firmware_kernel::guests`); the test is the guest's kernel: it chooses intermediate addresses, writes contexts, and sends
//! requests. Event records are compared word by word with what IHI 0070, section 7.3, makes of them.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
target_tests::suite!();

/// What runs at EL0.
#[cfg(target_os = "none")]
mod programs {
    use target_tests::check;
    use target_tests::user::{self, FREE_AT, RawQueue, await_words, deflate, hold, leave, memory, memory_at, set_word, word};
    use uacce_abi::{NodeIndex, Protection, QpContext};

    pub const PAGE: u64 = 4096;
    pub const SOURCE: u64 = FREE_AT;
    /// Nobody has touched it.
    pub const OUTPUT: u64 = FREE_AT + 0x20_0000;
    /// The process may read and write it, and so may the device by stage 1.
    pub const VAULT: u64 = FREE_AT + 0x40_0000;
    /// Words of the board.
    pub const DONE: usize = 0;
    pub const GO: usize = 8;
    pub const PRODUCED: usize = 16;

    /// A process that has a PASID, and data.
    pub extern "C" fn owner(_: u64) -> ! {
        let (mut there, mut back) = (RawQueue::compressing(), RawQueue::decompressing());
        memory_at(SOURCE, PAGE, Protection::ReadWrite);
        memory_at(OUTPUT, PAGE, Protection::ReadWrite);
        user::fill(SOURCE, PAGE, 3);
        set_word(DONE, 1);
        await_words(GO..GO + 1, 1);
        // The device that went through both stages has written here.
        let again = memory(PAGE);
        check!(back.run(&deflate(OUTPUT, word(PRODUCED), again, PAGE, 1)).status.is_good());
        check!(user::holds(again, PAGE, 3));
        // Process and device agree on the vault by stage 1 alone.
        user::fill(VAULT, PAGE, 4);
        let completion = there.run(&deflate(VAULT, PAGE, again, PAGE, 2));
        check!(completion.status.is_good() && completion.consumed as u64 == PAGE, completion.status.0);
        set_word(DONE + 1, 1);
        await_words(GO + 1..GO + 2, 1);
        check!(user::holds(VAULT, PAGE, 4));
        set_word(DONE + 2, 1);
        hold()
    }

    /// Has a queue of the virtual function, for a while.
    pub extern "C" fn visitor(_: u64) -> ! {
        let queue = RawQueue::open_on(NodeIndex(1), QpContext::COMPRESS);
        set_word(DONE, 1);
        await_words(GO..GO + 1, 1);
        check!(queue.close().is_ok());
        set_word(DONE + 1, 1);
        leave()
    }
}

#[cfg(target_os = "none")]
mod steps {
    use super::programs as p;
    use alloc::vec::Vec;
    use firmware_kerncore::vma::Rights;
    use firmware_kernel::guests::{self, GuestError, GuestId, Offer};
    use firmware_kernel::{
        Buffer, DomainMemory, IOVA_WINDOW, Identity, ServingClock, domain_table, enable_virtual, identity, lookup_iova, take_events,
        with_smmu,
    };
    use firmware_platform::MSI_FRAME_BASE;
    use firmware_platform::trace::Counter;
    use hal::{AccessKind, Clock, DmaBuffer, DmaMapper, Iova, Ipa, Pa, StreamId, SubstreamId};
    use hal_aarch64::mmu;
    use smmu_driver::{CdShape, Event, Granule, GuestContexts, Operation, SmmuError, Untagged};
    use smmu_spec::command::TlbiRange;
    use target_tests::board::{frames, lend_frames, space};
    use target_tests::kernel_queue::KernelQueue;
    use target_tests::user::deflate;
    use target_tests::vendor::Answer;
    use target_tests::{Board, pattern, start_kernel, vendor};
    use uacce_abi::ProcessId;
    use zip_spec::Status;

    const PAGE: u64 = 4096;
    /// The first virtual function, and its StreamID.
    const VF: usize = 1;
    const STREAM: StreamId = StreamId(9);
    /// Where a guest has things; nothing of the machine lies there.
    const GUEST_SOURCE: Ipa = Ipa(0x50_1234_5000);
    const GUEST_OUTPUT: Ipa = Ipa(0x50_2345_6000);
    const GUEST_CONSTANTS: Ipa = Ipa(0x50_3456_7000);
    const GUEST_CONTEXTS: Ipa = Ipa(0x60_0000_0000);

    // Word 1 of a record: RnW, S2, CLASS, Stall (IHI 0070, section 7.3).
    const READ: u64 = 1 << 35;
    const WRITE: u64 = 0;
    const STAGE_2: u64 = 1 << 39;
    const CLASS_CD: u64 = 0 << 40;
    const CLASS_TT: u64 = 1 << 40;
    const CLASS_IN: u64 = 2 << 40;
    const STALL: u64 = 1 << 31;
    // Numbers of events.
    const F_TRANSLATION: u64 = 0x10;
    const F_PERMISSION: u64 = 0x13;

    /// Word 0 of a record of the stream: number, SSV and SubstreamID, StreamID.
    fn word0(number: u64, substream: Option<SubstreamId>) -> u64 {
        9 << 32 | substream.map_or(0, |substream| u64::from(substream.0) << 12 | 1 << 11) | number
    }

    /// The records since the last call, without the tags of stalled ones (15:0 of word 1).
    fn records() -> Vec<[u64; 4]> {
        ServingClock.relax();
        let mut records = Vec::new();
        take_events(|event| match event {
            Event::Fault(fault) => {
                let [who, how, at, ipa] = fault.record.0;
                let tag = if how & STALL == 0 { 0 } else { 0xffff };
                records.push([who, how & !tag, at, ipa]);
            }
            other => panic!("{other:?}"),
        });
        records
    }

    /// Brings the kernel up, and one virtual function.
    fn start() -> Board {
        start_kernel();
        let report = enable_virtual(0, 1).expect("a virtual function").remove(0).expect("it comes up");
        assert_eq!((report.index, report.stream), (VF, STREAM));
        Board::new()
    }

    /// A page with the pattern of a seed.
    fn filled(seed: u64) -> Buffer {
        let page = frames(PAGE as usize, PAGE as usize);
        (0..512).for_each(|index| page.write64(8 * index, pattern::word(seed, index as u64)));
        page
    }

    fn base(buffer: &Buffer) -> Pa {
        buffer.physical_address().expect("frames")
    }

    /// What a page compresses to, by the physical function, in the kernel's own domain.
    fn expected(page: &Buffer) -> Vec<u8> {
        let queue = KernelQueue::compressing(0, None);
        let room = |bytes| DomainMemory::default().alloc(bytes, PAGE as usize).expect("memory");
        let (source, output) = (room(PAGE as usize), room(PAGE as usize));
        (0..512).for_each(|index| source.write64(8 * index, page.read64(8 * index)));
        let completion = queue.run(&deflate(source.device_address().0, PAGE, output.device_address().0, PAGE, 0));
        assert_eq!((completion.status, completion.consumed as u64), (Status::SUCCESS, PAGE));
        bytes_of(&output, completion.produced as usize)
    }

    fn bytes_of(buffer: &Buffer, len: usize) -> Vec<u8> {
        (0..len).map(|index| buffer.read8(index)).collect()
    }

    /// The function's own rings and its messages lie where its driver has told it: what is an IOVA in the kernel's domain is an intermediate
    /// address for a guest.
    fn offer_domain(guest: GuestId) {
        let offer = |at: u64, pa: Pa, len| guests::offer(guest, Ipa(at), pa, len, Offer::Memory(Rights::ReadWrite)).expect("offered");
        let mut run: Option<(u64, Pa, u64)> = None;
        // IOVAs are handed out from the end.
        let window = IOVA_WINDOW.end - 0x800_0000..IOVA_WINDOW.end;
        assert_eq!(lookup_iova(Iova(window.start)), None, "the domain is larger than that");
        for at in window.step_by(PAGE as usize) {
            let found = lookup_iova(Iova(at));
            match (&mut run, found) {
                (Some((_, first, len)), Some(pa)) if pa.0 == first.0 + *len => *len += PAGE,
                _ => {
                    run.take().into_iter().for_each(|(at, pa, len)| offer(at, pa, len));
                    match found {
                        Some(Pa(MSI_FRAME_BASE)) => {
                            guests::offer(guest, Ipa(at), Pa(MSI_FRAME_BASE), PAGE, Offer::Device).expect("offered");
                        }
                        found => run = found.map(|pa| (at, pa, PAGE)),
                    }
                }
            }
        }
        run.into_iter().for_each(|(at, pa, len)| offer(at, pa, len));
    }

    /// Stage 2 alone: a device that is passed through as it is.
    pub fn stage_2_alone() {
        let _board = start();
        let (source, other, output) = (filled(1), filled(2), filled(9));
        let [packed, packed_other] = [&source, &other].map(expected);
        assert_ne!(packed, packed_other);
        let queue = KernelQueue::compressing(VF, None);
        let guest = guests::make().expect("a guest");
        offer_domain(guest);
        let offer = |at, page: &Buffer, rights| guests::offer(guest, at, base(page), PAGE, Offer::Memory(rights));
        offer(GUEST_SOURCE, &source, Rights::ReadWrite).expect("offered");
        assert_eq!(records(), [] as [[u64; 4]; 0]);
        guests::give(guest, VF, None).expect("given");

        // Nobody has offered the output: stage 2 says so, and what the device found first it has.
        let request = |from: Ipa, to: Ipa, tag| deflate(from.0, PAGE, to.0, PAGE, tag);
        assert_eq!(queue.run(&request(GUEST_SOURCE, GUEST_OUTPUT, 1)).status, Status::DESTINATION_ABORT);
        let seen = records();
        let who = word0(F_TRANSLATION, None);
        let wanted = |how: u64, at: Ipa| [who, STALL | STAGE_2 | CLASS_IN | how, at.0, at.0];
        assert!([wanted(READ, GUEST_SOURCE), wanted(WRITE, GUEST_OUTPUT)].iter().all(|record| seen.contains(record)), "{seen:#x?}");
        // Its rings came on demand as well, each page once.
        assert!(seen.iter().all(|[id, how, at, ipa]| *id == who && how & !READ == STALL | STAGE_2 | CLASS_IN && at & !0xfff == *ipa));
        assert!(seen.iter().enumerate().all(|(index, record)| seen[..index].iter().all(|other| other[3] != record[3])), "{seen:#x?}");
        assert!(seen.len() > 3, "{seen:#x?}");

        // It is offered, and the work goes on; what is there is there.
        offer(GUEST_OUTPUT, &output, Rights::ReadWrite).expect("offered");
        let completion = queue.run(&request(GUEST_SOURCE, GUEST_OUTPUT, 2));
        assert_eq!((completion.status, completion.produced as usize), (Status::SUCCESS, packed.len()));
        assert_eq!(bytes_of(&output, packed.len()), packed);
        assert_eq!(records(), [wanted(WRITE, GUEST_OUTPUT)]);
        assert_eq!(queue.run(&request(GUEST_SOURCE, GUEST_OUTPUT, 3)).status, Status::SUCCESS);
        assert_eq!(records(), [] as [[u64; 4]; 0]);

        // Taken back, it is gone at once; another page in its place is what the device reads from now on.
        guests::withdraw(guest, GUEST_SOURCE).expect("withdrawn");
        assert_eq!(queue.run(&request(GUEST_SOURCE, GUEST_OUTPUT, 4)).status, Status::SOURCE_ABORT);
        assert_eq!(records(), [wanted(READ, GUEST_SOURCE)]);
        offer(GUEST_SOURCE, &other, Rights::ReadWrite).expect("offered");
        let completion = queue.run(&request(GUEST_SOURCE, GUEST_OUTPUT, 5));
        assert_eq!(completion.status, Status::SUCCESS);
        assert_eq!(bytes_of(&output, completion.produced as usize), packed_other);
        assert_eq!(records(), [wanted(READ, GUEST_SOURCE)]);

        // To read is not to write: before the page is there, and after.
        offer(GUEST_CONSTANTS, &source, Rights::Read).expect("offered");
        for (number, tag) in [(F_TRANSLATION, 6), (F_PERMISSION, 8)] {
            assert_eq!(queue.run(&request(GUEST_SOURCE, GUEST_CONSTANTS, tag)).status, Status::DESTINATION_ABORT);
            let mut refused = wanted(WRITE, GUEST_CONSTANTS);
            refused[0] = word0(number, None);
            assert_eq!(records(), [refused]);
            assert_eq!(queue.run(&request(GUEST_CONSTANTS, GUEST_OUTPUT, tag + 1)).status, Status::SUCCESS);
            records();
        }
        assert_eq!(source.read64(0), pattern::word(1, 0));

        // Back in the kernel's domain, where the guest's addresses mean nothing, and the kernel's do without any stage 2.
        assert_eq!(guests::remove(guest), Err(GuestError::InUse));
        guests::take_back(VF).expect("taken back");
        assert_eq!(queue.run(&request(GUEST_SOURCE, GUEST_OUTPUT, 10)).status, Status::SOURCE_ABORT);
        let [record] = records().try_into().expect("one record");
        assert_eq!(record, [who, CLASS_IN | READ, GUEST_SOURCE.0, 0]);
        let memory = DomainMemory::default().alloc(2 * PAGE as usize, PAGE as usize).expect("memory");
        let at = memory.device_address().0;
        assert_eq!(queue.run(&deflate(at, PAGE, at + PAGE, PAGE, 11)).status, Status::SUCCESS);
        assert_eq!(records(), [] as [[u64; 4]; 0]);
        assert_eq!(vendor::counter(Counter::Violations), 0, "no rule of the SMMU was broken");
        guests::remove(guest).expect("ended");
        assert_eq!(guests::remove(guest), Err(GuestError::NoGuest));
    }

    /// A context of the house's shape, by hand: T0SZ 25, 4 KiB, write-back inner shareable walks, no TTB1, V, IPS, AA64, R, A; IHI 0070, section 5.4.
    fn context(root: Pa, asid: u16, stalls: bool) -> [u64; 8] {
        let ips = domain_table().expect("a domain").ips;
        [u64::from(asid) << 48 | u64::from(stalls) << 44 | u64::from(ips) << 32 | 0x6200_c000_3519, root.0, 0, mmu::MAIR, 0, 0, 0, 0]
    }

    /// A guest with a stage 1 of its own: 16 contexts at [`GUEST_CONTEXTS`], of which 0 is the guest's kernel's, and one a process's.
    struct Nested {
        board: Board,
        process: ProcessId,
        guest: GuestId,
        contexts: Buffer,
        vault: Buffer,
        substream: SubstreamId,
        identity: Identity,
        queue: KernelQueue,
    }

    fn set_context(contexts: &Buffer, index: u32, words: [u64; 8]) {
        // V is in the first word: it comes last.
        (0..8).rev().for_each(|word| contexts.write64(64 * index as usize + 8 * word, words[word]));
    }

    fn nested() -> Nested {
        let board = start();
        let process = board.start("owner", p::owner, 0);
        let vault = frames(PAGE as usize, PAGE as usize);
        lend_frames(process, p::VAULT, &vault, Rights::ReadWrite);
        board.run_until(p::DONE..p::DONE + 1);
        let identity = identity(space(process)).expect("alive");
        let substream = identity.substream.expect("a process with a queue has a PASID");
        assert!((1..16).contains(&substream.0), "{substream:?}");
        let queue = KernelQueue::compressing(VF, Some(substream));

        let contexts = frames(PAGE as usize, PAGE as usize);
        let domain = domain_table().expect("a domain");
        set_context(&contexts, 0, context(domain.ttb0, domain.asid, false));
        set_context(&contexts, substream.0, context(identity.root, identity.asid, true));
        let guest = guests::make().expect("a guest");
        guests::offer(guest, GUEST_CONTEXTS, base(&contexts), PAGE, Offer::Memory(Rights::Read)).expect("offered");
        guests::offer(guest, Ipa(MSI_FRAME_BASE), Pa(MSI_FRAME_BASE), PAGE, Offer::Device).expect("offered");
        // Everything that this machine's stage 1 speaks of lies where it says, but for the vault.
        let ram = 0x4000_0000..0x7c00_0000_u64;
        for (start, end) in [(ram.start, base(&vault).0), (base(&vault).0 + PAGE, ram.end)] {
            guests::offer(guest, Ipa(start), Pa(start), end - start, Offer::Memory(Rights::ReadWrite)).expect("offered");
        }
        let own = GuestContexts {
            pointer: GUEST_CONTEXTS,
            shape: CdShape::Linear,
            substream_bits: 4,
            untagged: Untagged::Table,
            may_stall: true,
        };
        records();
        guests::give(guest, VF, Some(&own)).expect("given");
        Nested { board, process, guest, contexts, vault, substream, identity, queue }
    }

    /// Both stages, and what neither lets through.
    pub fn both_stages() {
        let Nested { board, process, guest, vault, substream, identity, queue, .. } = nested();
        let who = Some(substream);
        let completion = queue.run(&deflate(p::SOURCE, PAGE, p::OUTPUT, PAGE, 1));
        assert_eq!((completion.status, completion.consumed as u64), (Status::SUCCESS, PAGE));
        let seen = records();
        let place = |at: u64| firmware_kernel::lookup_user(space(process), at).expect("mapped").pa.0;
        let fault = |who, how: u64, at: u64, ipa: u64| [word0(F_TRANSLATION, who), STALL | STAGE_2 | how, at, ipa];
        // The contexts' page, once: for the first access of all, which was one of the function's own.
        let of_contexts: Vec<_> = seen.iter().filter(|record| record[3] == GUEST_CONTEXTS.0).collect();
        assert_eq!(of_contexts.len(), 1, "{seen:#x?}");
        assert_eq!((of_contexts[0][0], of_contexts[0][1] & !READ), (word0(F_TRANSLATION, None), STALL | STAGE_2 | CLASS_CD));
        // The process's root and the source, for the same read; each later level of the walk once.
        let source = place(p::SOURCE);
        for wanted in [fault(who, CLASS_TT | READ, p::SOURCE, identity.root.0), fault(who, CLASS_IN | READ, p::SOURCE, source)] {
            assert_eq!(seen.iter().filter(|record| **record == wanted).count(), 1, "{wanted:#x?} in {seen:#x?}");
        }
        // The output was nobody's: stage 1 stalls first, the process gets a page, then stage 2 stalls for it.
        let first = seen.iter().position(|record| *record == [word0(F_TRANSLATION, who), STALL | CLASS_IN | WRITE, p::OUTPUT, 0]);
        let second = seen.iter().position(|record| *record == fault(who, CLASS_IN | WRITE, p::OUTPUT, place(p::OUTPUT)));
        assert!(first.is_some() && first < second, "{seen:#x?}");
        // Nothing is asked for twice.
        assert_eq!(queue.run(&deflate(p::SOURCE, PAGE, p::OUTPUT, PAGE, 2)).status, Status::SUCCESS);
        assert_eq!(records(), [] as [[u64; 4]; 0]);
        board.set(p::PRODUCED, u64::from(completion.produced));
        board.set(p::GO, 1);
        board.run_until(p::DONE + 1..p::DONE + 2);
        assert_eq!(vault.read64(0), pattern::word(4, 0));

        // The process's own table, by which it works in the vault, lets the device through as well. Stage 2 does not, in either direction.
        let refused = |how| [fault(who, CLASS_IN | how, p::VAULT, base(&vault).0)];
        records();
        assert_eq!(queue.run(&deflate(p::VAULT, PAGE, p::OUTPUT, PAGE, 3)).status, Status::SOURCE_ABORT);
        // The last level of the walk is another table than the source's, and comes on demand like all else.
        let last_level = leaf_of(identity.root, p::VAULT) & !0xfff;
        assert_eq!(records(), [fault(who, CLASS_TT | READ, p::VAULT, last_level), refused(READ)[0]]);
        assert_eq!(queue.run(&deflate(p::SOURCE, PAGE, p::VAULT, PAGE, 4)).status, Status::DESTINATION_ABORT);
        assert_eq!(records(), refused(WRITE));
        assert!((0..512).all(|index| vault.read64(8 * index) == pattern::word(4, index as u64)), "a refused write arrived");
        // It is offered, and the very same request goes through.
        guests::offer(guest, Ipa(base(&vault).0), base(&vault), PAGE, Offer::Memory(Rights::Read)).expect("offered");
        assert_eq!(queue.run(&deflate(p::VAULT, PAGE, p::OUTPUT, PAGE, 5)).status, Status::SUCCESS);
        assert_eq!(records(), refused(READ));
        board.set(p::GO + 1, 1);
        board.run_until(p::DONE + 2..p::DONE + 3);
        assert_eq!(vendor::counter(Counter::Violations), 0, "no rule of the SMMU was broken");
    }

    /// A guest's own invalidations: what its stage 1 and its contexts were is served until it says so, and it speaks for itself only.
    pub fn invalidations() {
        let Nested { guest, contexts, vault, substream, identity, .. } = nested();
        guests::offer(guest, Ipa(base(&vault).0), base(&vault), PAGE, Offer::Memory(Rights::ReadWrite)).expect("offered");
        let ask = |at: u64| {
            let answer = vendor::translate(STREAM, Some(substream), Iova(at), AccessKind::Read);
            // A stalled one is answered here.
            ServingClock.relax();
            answer
        };
        let settle = |at: u64| (0..8).map(|_| ask(at)).find(|answer| !matches!(answer, Answer::Stalled(_))).expect("an answer");
        assert_eq!(settle(p::VAULT), Answer::At(base(&vault)));

        // The descriptor goes; the kernel's invalidation is for its own streams, not for what a guest has made of the same table.
        let slot = leaf_of(identity.root, p::VAULT);
        let descriptor = target_tests::rig::read_word(slot);
        target_tests::rig::write_word(slot, 0);
        with_smmu(|smmu| smmu.invalidate_asid(identity.asid)).expect("an SMMU").expect("done");
        assert_eq!(ask(p::VAULT), Answer::At(base(&vault)), "no TLB: the control controls nothing");
        // The VMID of the command is the guest's own, whatever it says.
        let range = TlbiRange::single(p::VAULT, smmu_driver::Leaf::Only);
        guests::execute(guest, &[Operation::TlbiNhVa { vmid: 0, asid: identity.asid, range }]).expect("done");
        assert!(matches!(ask(p::VAULT), Answer::Stalled(_)));
        target_tests::rig::write_word(slot, descriptor);
        assert_eq!(settle(p::VAULT), Answer::At(base(&vault)));

        // Contexts are kept, too.
        set_context(&contexts, substream.0, [0; 8]);
        assert_eq!(ask(p::VAULT), Answer::At(base(&vault)), "no cache: the control controls nothing");
        guests::execute(guest, &[Operation::CfgiCd { stream: STREAM, substream, leaf: smmu_driver::Leaf::Only }]).expect("done");
        assert_eq!(ask(p::VAULT), Answer::Abort);
        let mut bad = Vec::new();
        take_events(|event| {
            if let Event::Other(record) = event {
                bad.push(record.0);
            }
        });
        assert_eq!(bad, [[word0(0x0a, Some(substream)), 0, 0, 0]], "C_BAD_CD");

        for other in [Operation::CfgiCdAll { stream: StreamId(8) }, Operation::CFGI_ALL] {
            assert_eq!(guests::execute(guest, &[other]), Err(GuestError::Smmu(SmmuError::NotForGuests(0))));
        }
    }

    /// Where the page descriptor of an address lies.
    fn leaf_of(root: Pa, at: u64) -> u64 {
        let next = |table: u64, level: u32| target_tests::rig::read_word(table + (at >> Granule::Kib4.level_shift(level) & 0x1ff) * 8);
        let middle = next(root.0, 1) & 0x0000_ffff_ffff_f000;
        (next(middle, 2) & 0x0000_ffff_ffff_f000) + (at >> 12 & 0x1ff) * 8
    }

    /// Who has it keeps it: a function that processes use is not given away, and comes back with its node.
    pub fn in_use() {
        let board = start();
        let guest = guests::make().expect("a guest");
        board.start("visitor", p::visitor, 0);
        board.run_until(p::DONE..p::DONE + 1);
        assert_eq!(guests::give(guest, VF, None), Err(GuestError::Smmu(SmmuError::StreamBound(STREAM))));
        board.set(p::GO, 1);
        board.run_until(p::DONE + 1..p::DONE + 2);
        guests::give(guest, VF, None).expect("given");
        assert_eq!(guests::give(guest, 7, None), Err(GuestError::NoFunction));
        guests::take_back(VF).expect("taken back");
        assert_eq!(guests::take_back(VF), Err(GuestError::NoFunction));
        board.set(p::DONE, 0);
        board.set(p::DONE + 1, 0);
        board.start("visitor", p::visitor, 0);
        board.run_until(p::DONE + 1..p::DONE + 2);
    }

    /// Without stalls nothing could wait for its page.
    pub fn refused() {
        start_kernel();
        assert!(with_smmu(|smmu| smmu.features().has_stage2).expect("an SMMU"));
        assert_eq!(guests::make(), Err(GuestError::Smmu(SmmuError::NoStall)));
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod plain {
    use super::steps;

    #[test]
    fn sm_f01_f03_a_function_behind_stage_2_alone_gets_its_memory_on_demand() {
        steps::stage_2_alone();
    }

    #[test]
    fn sm_f01_f03_p02_nested_a_process_does_not_reach_what_stage_2_does_not_map() {
        steps::both_stages();
    }

    #[test]
    fn sm_i02_i04_a_guest_invalidates_its_own_stage_1_and_contexts_and_nobody_elses() {
        steps::invalidations();
    }

    #[test]
    fn a_function_in_use_is_not_given_to_a_guest() {
        steps::in_use();
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_miss {
    use super::steps;

    #[test]
    fn sm_f01_f03_a_function_behind_stage_2_alone_gets_its_memory_on_demand() {
        steps::stage_2_alone();
    }

    #[test]
    fn sm_f01_f03_p02_nested_a_process_does_not_reach_what_stage_2_does_not_map() {
        steps::both_stages();
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_atspri {
    #[test]
    fn sm_c23_guests_are_refused_where_no_access_can_wait() {
        super::steps::refused();
    }
}
