//! Stage 2 alone and below a guest's stage 1: VMIDs, faults, invalidation by both owners.

use hal::{DmaBuffer, DmaMapper, Ipa, Pa, Requester, StreamId, SubstreamId, Va, Verdict};
use smmu_driver::{
    CdShape, Config, Event, FaultClass, FaultKind, FaultModel, GuestContexts, Leaf, Operation, SmmuError, Stage2Description, TableField,
    Untagged,
};
use smmu_model::{Fault, Profile};
use smmu_spec::command::{SyncSignal, TlbiRange};
use smmu_spec::event::EventId;

use super::driver_machine::{Driver, Machine, Right, STAGE2_RO, STAGE2_RW, STREAM, Tables, kernel, user};
use super::driver_runs::{Run, on_every};
use crate::support::HostBuffer;

/// Guests find their memory here above where it lies.
const OFFSET: u64 = 0x10_0000_0000;

fn start(run: Run) -> (Machine, Driver) {
    let machine = run.machine(Profile::STALL);
    let driver = machine.start(Config::default()).expect("the driver comes up");
    (machine, driver)
}

/// A guest: its stage 2.
struct Guest {
    vmid: u16,
    stage2: Tables,
}

impl Guest {
    fn new(machine: &Machine, driver: &mut Driver) -> Self {
        Self { vmid: driver.allocate_vmid().expect("a VMID"), stage2: Tables::at(machine, driver, 0, 0) }
    }

    fn table(&self) -> Stage2Description {
        self.stage2.stage2(self.vmid)
    }

    /// Puts a page there; nothing was there before.
    fn give(&mut self, machine: &Machine, ipa: u64, descriptor: u64) {
        self.stage2.store(ipa, descriptor);
        hal::Barriers::dma_wmb(&machine.dma);
    }

    /// Takes a page away as its owner must.
    fn take(&mut self, driver: &mut Driver, ipa: u64) {
        self.stage2.store(ipa, 0);
        driver.invalidate_ipa(self.vmid, Ipa(ipa), 0x1000, Leaf::Only).expect("invalidation completes");
    }
}

/// A guest's own stage 1: a linear table of 16 CDs.
struct Contexts {
    cds: HostBuffer,
}

/// T0SZ 25, 4 KiB, write-back inner shareable, EPD1, V, IPS 44 bits, AA64, R, A.
const CD: u64 = 0x0000_6204_c000_3519;
const CD_STALLS: u64 = 1 << 44;

impl Contexts {
    fn new(machine: &Machine, guest: &mut Guest) -> Self {
        let cds = machine.dma.alloc(4096, 4096).expect("memory");
        let pa = cds.device_address().0;
        guest.give(machine, pa + OFFSET, pa | STAGE2_RW);
        Self { cds }
    }

    fn set(&self, machine: &Machine, at: usize, table: &Tables, asid: u64, extra: u64) {
        for (i, word) in [CD | extra | asid << 48, table.root(), 0, 0xff].into_iter().enumerate() {
            self.cds.write64(at * 64 + 8 * i, word);
        }
        hal::Barriers::dma_wmb(&machine.dma);
    }

    /// Makes context `at` invalid.
    fn clear(&self, machine: &Machine, at: usize) {
        self.cds.write64(at * 64, 0);
        hal::Barriers::dma_wmb(&machine.dma);
    }

    fn describe(&self) -> GuestContexts {
        let pointer = Ipa(self.cds.device_address().0 + OFFSET);
        GuestContexts { pointer, shape: CdShape::Linear, substream_bits: 4, untagged: Untagged::Table, may_stall: true }
    }
}

#[test]
fn sm_c16_stage_2_is_refused_by_name_where_it_does_not_exist() {
    on_every(|run| {
        let machine = run.machine(Profile::STALL_S1);
        let mut driver = machine.start(Config::default()).unwrap();
        assert_eq!(driver.allocate_vmid(), Err(SmmuError::NoIdentifiers));
        let table = Tables::at(&machine, &driver, 0, 0).stage2(1);
        assert_eq!(driver.attach_stage2(STREAM, &table, FaultModel::Terminate), Err(SmmuError::NoStage2));
        assert_eq!(driver.invalidate_ipa(1, Ipa(0), 0x1000, Leaf::Only), Err(SmmuError::NoStage2));
        assert_eq!((driver.invalidate_guest(1), driver.execute_for_guest(1, &[])), (Err(SmmuError::NoStage2), Err(SmmuError::NoStage2)));
        assert_eq!((driver.free_vmid(1), driver.handle_global_error().unwrap().active.get()), (Err(SmmuError::VmidInUse(1)), 0));
    });
}

#[test]
fn sm_c16_stage_2_tables_that_the_smmu_cannot_walk_are_refused_by_name() {
    on_every(|run| {
        let (machine, mut driver) = start(run);
        let guest = Guest::new(&machine, &mut driver);
        let good = guest.table();
        for (bad, field) in [
            (Stage2Description { vmid: 0, ..good }, TableField::Vmid),
            (Stage2Description { t0sz: 15, ..good }, TableField::T0sz),
            (Stage2Description { t0sz: 40, ..good }, TableField::T0sz),
            (Stage2Description { start_level: 3, ..good }, TableField::StartLevel),
            (Stage2Description { start_level: 2, ..good }, TableField::StartLevel),
            (Stage2Description { t0sz: 34, ..good }, TableField::StartLevel),
            (Stage2Description { ps: 6, ..good }, TableField::OutputSize),
            (Stage2Description { ttb: Pa(good.ttb.0 + 0x800), ..good }, TableField::Ttb0),
            (Stage2Description { ttb: Pa(1 << 40), ps: 1, ..good }, TableField::Ttb0),
        ] {
            assert_eq!(driver.attach_stage2(STREAM, &bad, FaultModel::Terminate), Err(SmmuError::BadTable(field)), "{bad:?}");
        }
        let contexts = GuestContexts {
            pointer: Ipa(0x8000_0000),
            shape: CdShape::Linear,
            substream_bits: 4,
            untagged: Untagged::Table,
            may_stall: false,
        };
        for (bad, field) in [
            (GuestContexts { substream_bits: 17, ..contexts }, TableField::SubstreamBits),
            (GuestContexts { shape: CdShape::TwoLevel4K, substream_bits: 0, ..contexts }, TableField::Shape),
            (GuestContexts { pointer: Ipa(0x8000_0040), ..contexts }, TableField::ContextPointer),
            (GuestContexts { pointer: Ipa(1 << 39), ..contexts }, TableField::ContextPointer),
        ] {
            let refused = driver.attach_nested(STREAM, &good, &bad, FaultModel::Terminate);
            assert_eq!(refused, Err(SmmuError::BadTable(field)), "{bad:?}");
        }
        // Each that was accepted is legal to the SMMU: sixteen tables side by side, and one bit of a level.
        for (t0sz, start_level) in [(25, 1), (30, 2), (34, 2), (33, 1), (24, 0), (16, 0)] {
            let table = Stage2Description { t0sz, start_level, ttb: Pa(good.ttb.0 & !0x1_ffff), ..good };
            driver.attach_stage2(STREAM, &table, FaultModel::Terminate).unwrap_or_else(|e| panic!("{table:?}: {e:?}"));
            assert_eq!(machine.read(kernel(), 0x7000), Err(Fault::Abort));
            let events = machine.events(&mut driver);
            assert!(matches!(events[..], [Event::Fault(f)] if f.kind == FaultKind::Translation), "{table:?}: {events:?}");
            driver.detach(STREAM).unwrap();
        }
        assert_eq!(machine.violations(), []);
    });
}

#[test]
fn sm_i01_a_page_taken_from_a_guest_is_out_of_reach_when_the_call_returns() {
    on_every(|run| {
        let (machine, mut driver) = start(run);
        let mut guest = Guest::new(&machine, &mut driver);
        driver.attach_stage2(STREAM, &guest.table(), FaultModel::Terminate).unwrap();
        let pa = machine.page(0, 0x11);
        for round in 0..10 {
            guest.give(&machine, 0x7000, pa | STAGE2_RW);
            assert_eq!(machine.read(kernel(), 0x7000), Ok(0x11), "round {round}");
            guest.take(&mut driver, 0x7000);
            assert_eq!(machine.read(kernel(), 0x7000), Err(Fault::Abort), "round {round}");
            let events = machine.events(&mut driver);
            let [Event::Fault(fault)] = events[..] else { panic!("{events:?}") };
            let stage2 = fault.stage2().expect("stage 2 refused");
            assert_eq!((stage2.class, stage2.address, fault.substream), (Some(FaultClass::In), Ipa(0x7000), None));
        }
        driver.detach(STREAM).unwrap();
        assert_eq!(machine.read(kernel(), 0x7000), Err(Fault::Abort));
        assert_eq!((machine.events(&mut driver), machine.violations()), (vec![], vec![]));
    });
}

#[test]
fn sm_p01_guests_and_hosts_see_their_own_page_at_one_address() {
    on_every(|run| {
        let (machine, mut driver) = start(run);
        // One address, a guest per stream, two streams of one guest, and a host stream of stage 1 with VMID 0.
        let mut guests = Vec::new();
        for i in 0..6_u64 {
            let mut guest = Guest::new(&machine, &mut driver);
            guest.give(&machine, 0x7000, machine.page(i, 0x100 + i) | STAGE2_RW);
            for stream in [0x100 + i as u32, 0x200 + i as u32] {
                driver.attach_stage2(StreamId(stream), &guest.table(), FaultModel::Terminate).unwrap();
            }
            guests.push(guest);
        }
        let mut host = Tables::new(&machine, &mut driver);
        host.map(0x7000, machine.page(10, 0xaa), Right::ReadWrite);
        driver.attach(STREAM, &host.description(), FaultModel::Terminate).unwrap();
        let of = |stream| Requester { stream: StreamId(stream), ..kernel() };
        for _ in 0..2 {
            for i in 0..6_u32 {
                assert_eq!(machine.read(of(0x100 + i), 0x7000), Ok(0x100 + u64::from(i)));
                assert_eq!(machine.read(of(0x200 + i), 0x7000), Ok(0x100 + u64::from(i)));
            }
            assert_eq!(machine.read(kernel(), 0x7000), Ok(0xaa));
        }
        // What one guest loses the others keep.
        guests[2].take(&mut driver, 0x7000);
        for i in 0..6_u32 {
            let expected = if i == 2 { Err(Fault::Abort) } else { Ok(0x100 + u64::from(i)) };
            assert_eq!([machine.read(of(0x100 + i), 0x7000), machine.read(of(0x200 + i), 0x7000)], [expected; 2]);
        }
        let wrong = guests[3].stage2.stage2(guests[1].vmid);
        assert_eq!(driver.attach_stage2(StreamId(0x300), &wrong, FaultModel::Terminate), Err(SmmuError::VmidInUse(guests[1].vmid)));
        assert_eq!(driver.free_vmid(guests[1].vmid), Err(SmmuError::VmidInUse(guests[1].vmid)));
        assert_eq!(machine.violations(), []);
    });
}

#[test]
fn sm_i06_a_vmid_that_changes_hands_shows_nothing_of_its_old_table() {
    on_every(|run| {
        let mut profile = Profile::STALL;
        // 8 bits, so that the numbers come round.
        profile.ids.idr0 &= !(1 << 18);
        let machine = run.machine(profile);
        let mut driver = machine.start(Config::default()).unwrap();
        // All but three are taken, so that the numbers come round while the TLB may still hold what they stood for.
        let taken: Vec<_> = (0..252).map(|_| driver.allocate_vmid().unwrap()).collect();
        let mut seen = [0_u32; 256];
        for round in 0..60_u64 {
            let mut guest = Guest::new(&machine, &mut driver);
            seen[usize::from(guest.vmid)] += 1;
            if round % 2 == 0 {
                guest.give(&machine, 0x7000, machine.page(round % 16, round) | STAGE2_RW);
            }
            driver.attach_stage2(STREAM, &guest.table(), FaultModel::Terminate).unwrap();
            let read = machine.read(kernel(), 0x7000);
            assert_eq!(read, if round % 2 == 0 { Ok(round) } else { Err(Fault::Abort) }, "round {round}, VMID {}", guest.vmid);
            driver.detach(STREAM).unwrap();
            driver.free_vmid(guest.vmid).unwrap();
            guest.stage2.free();
        }
        assert!(!taken.contains(&0) && seen[0] == 0, "VMID 0 is the host's");
        assert_eq!(seen.iter().filter(|n| **n == 20).count(), 3, "each was used again and again");
        assert_eq!(machine.violations(), []);
    });
}

#[test]
fn sm_f03_a_stalled_stage_2_fault_completes_after_the_page_came_or_may_be_written() {
    on_every(|run| {
        let (machine, mut driver) = start(run);
        let mut guest = Guest::new(&machine, &mut driver);
        driver.attach_stage2(STREAM, &guest.table(), FaultModel::Stall).unwrap();
        let pa = machine.page(0, 0x22);
        let Err(Fault::Stalled(tag)) = machine.read(kernel(), 0x7008) else { panic!() };
        let events = machine.events(&mut driver);
        let [Event::Fault(fault)] = events[..] else { panic!("{events:?}") };
        assert_eq!((fault.kind, fault.stage2().map(|s| s.address)), (FaultKind::Translation, Some(Ipa(0x7000))));
        guest.give(&machine, 0x7000, pa | STAGE2_RO);
        driver.resume(fault.stall.expect("a ticket"), Verdict::Retry).unwrap();
        assert_eq!(machine.take_resumed(), [(tag, Verdict::Retry)]);
        assert_eq!(machine.read(kernel(), 0x7008), Ok(0x22));
        // The denying entry may be cached now.
        assert!(matches!(machine.write(kernel(), 0x7008, 5), Err(Fault::Stalled(_))));
        let events = machine.events(&mut driver);
        let [Event::Fault(fault)] = events[..] else { panic!("{events:?}") };
        assert_eq!(fault.kind, FaultKind::Permission);
        guest.give(&machine, 0x7000, pa | STAGE2_RW);
        driver.resume(fault.stall.expect("a ticket"), Verdict::Retry).unwrap();
        assert_eq!(machine.write(kernel(), 0x7008, 5), Ok(()), "the denied mapping must not be served again");
        // Blocking ends what still stalls.
        assert!(matches!(machine.read(kernel(), 0x9000), Err(Fault::Stalled(_))));
        machine.take_resumed();
        driver.detach(STREAM).unwrap();
        assert!(matches!(machine.take_resumed()[..], [(_, Verdict::Abort)]));
        assert_eq!((driver.pending_stalls(), machine.violations()), (0, vec![]));
    });
}

/// A guest with a nested stream: two address spaces of its own.
struct Nested {
    machine: Machine,
    driver: Driver,
    guest: Guest,
    contexts: Contexts,
    first: Tables,
    second: Tables,
}

impl Nested {
    fn new(run: Run) -> Self {
        let (machine, mut driver) = start(run);
        let mut guest = Guest::new(&machine, &mut driver);
        let contexts = Contexts::new(&machine, &mut guest);
        let mut first = Tables::at(&machine, &driver, 1, OFFSET);
        let mut second = Tables::at(&machine, &driver, 2, OFFSET);
        // The guest's address 0x7000 is its intermediate 0x5_x000, which lies where the host wants.
        first.map(0x7000, 0x5_1000, Right::ReadWrite);
        second.map(0x7000, 0x5_2000, Right::ReadWrite);
        for tables in [&first, &second] {
            tables.put_into(&mut guest.stage2);
        }
        guest.give(&machine, 0x5_1000, machine.page(1, 0x71) | STAGE2_RW);
        guest.give(&machine, 0x5_2000, machine.page(2, 0x72) | STAGE2_RW);
        contexts.set(&machine, 0, &first, 1, 0);
        contexts.set(&machine, 3, &second, 2, CD_STALLS);
        driver.attach_nested(STREAM, &guest.table(), &contexts.describe(), FaultModel::Terminate).unwrap();
        Self { machine, driver, guest, contexts, first, second }
    }
}

const THREE: SubstreamId = SubstreamId(3);

#[test]
fn sm_p12_a_nested_stream_uses_its_guests_contexts_below_the_hosts_stage_2() {
    on_every(|run| {
        let mut n = Nested::new(run);
        for _ in 0..2 {
            assert_eq!(n.machine.read(kernel(), 0x7000), Ok(0x71));
            assert_eq!(n.machine.read(user(THREE), 0x7000), Ok(0x72));
        }
        // The guest maps a page that the host has not given: stage 2 terminates, whatever the guest's context says.
        n.second.map(0x9000, 0x5_9000, Right::ReadWrite);
        assert_eq!(n.machine.read(user(THREE), 0x9000), Err(Fault::Abort));
        let events = n.machine.events(&mut n.driver);
        let [Event::Fault(fault)] = events[..] else { panic!("{events:?}") };
        assert_eq!(fault.stage2().map(|s| (s.class, s.address)), Some((Some(FaultClass::In), Ipa(0x5_9000))));
        assert_eq!((fault.substream, fault.address.0), (Some(THREE), 0x9000));
        // A fault of the guest's own stage 1 stalls, as its context asks; the owner of the stream answers for the guest.
        assert!(matches!(n.machine.read(user(THREE), 0xa000), Err(Fault::Stalled(_))));
        let events = n.machine.events(&mut n.driver);
        let [Event::Fault(fault)] = events[..] else { panic!("{events:?}") };
        assert_eq!(fault.stage2(), None);
        n.second.map(0xa000, 0x5_2000, Right::ReadWrite);
        n.driver.resume(fault.stall.expect("a ticket"), Verdict::Retry).unwrap();
        assert_eq!(n.machine.read(user(THREE), 0xa000), Ok(0x72));
        assert_eq!(n.machine.violations(), []);
    });
}

#[test]
fn sm_i01_what_either_owner_of_a_nested_stream_takes_away_is_out_of_reach() {
    on_every(|run| {
        let mut n = Nested::new(run);
        assert_eq!(n.machine.read(kernel(), 0x7000), Ok(0x71));
        assert_eq!(n.machine.read(user(THREE), 0x7000), Ok(0x72));
        // The host: the SMMU may hold both stages in one entry.
        n.guest.take(&mut n.driver, 0x5_1000);
        assert_eq!(n.machine.read(kernel(), 0x7000), Err(Fault::Abort));
        assert_eq!(n.machine.read(user(THREE), 0x7000), Ok(0x72));
        n.guest.give(&n.machine, 0x5_1000, n.machine.page(3, 0x73) | STAGE2_RW);
        assert_eq!(n.machine.read(kernel(), 0x7000), Ok(0x73));
        // The guest, by a command that names a VMID of its own fancy.
        n.second.store(0x7000, 0);
        let range = TlbiRange::single(0x7000, Leaf::Only);
        let unmap = [Operation::TlbiNhVa { vmid: 0x77, asid: 2, range }, Operation::Sync(SyncSignal::None)];
        n.driver.execute_for_guest(n.guest.vmid, &unmap).unwrap();
        assert!(matches!(n.machine.read(user(THREE), 0x7000), Err(Fault::Stalled(_))));
        n.machine.dma.take_interrupt();
        n.driver.handle_events(|_| Some(Verdict::Abort)).unwrap();
        // A context of the guest changes hands. ASID and TTB0 lie in two words and the SMMU reads a CD word by word, so the way leads through V = 0
        // (IHI 0070 3.21.3.1); either state may have been cached.
        let look = [
            Operation::CfgiCd { stream: STREAM, substream: THREE, leaf: Leaf::Only },
            Operation::Sync(SyncSignal::None),
            Operation::TlbiNhAsid { vmid: 0, asid: 2 },
            Operation::Sync(SyncSignal::None),
        ];
        n.contexts.clear(&n.machine, 3);
        n.driver.execute_for_guest(n.guest.vmid, &look).unwrap();
        assert_eq!(n.machine.read(user(THREE), 0x7000), Err(Fault::Abort), "no context in between");
        let events = n.machine.events(&mut n.driver);
        assert!(matches!(events[..], [Event::Other(r)] if r.id() == EventId::C_BAD_CD), "{events:?}");
        n.contexts.set(&n.machine, 3, &n.first, 1, 0);
        n.driver.execute_for_guest(n.guest.vmid, &look[..2]).unwrap();
        assert_eq!(n.machine.read(user(THREE), 0x7000), Ok(0x73));
        assert_eq!(n.machine.violations(), []);
    });
}

#[test]
fn sm_i09_a_guest_gives_no_command_that_reaches_beyond_it_or_stops_the_queue() {
    on_every(|run| {
        let mut n = Nested::new(run);
        let other = StreamId(0x30);
        let mut second = Guest::new(&n.machine, &mut n.driver);
        let seconds = Contexts::new(&n.machine, &mut second);
        n.driver.attach_nested(other, &second.table(), &seconds.describe(), FaultModel::Terminate).unwrap();
        let range = TlbiRange::single(0x7000, Leaf::Only);
        let odd = |tg, num, scale, ttl, address| TlbiRange { address, leaf: Leaf::Only, tg, num, scale, ttl };
        for command in [
            Operation::CFGI_ALL,
            Operation::CfgiSte { stream: STREAM, leaf: Leaf::Only },
            Operation::CfgiCd { stream: other, substream: THREE, leaf: Leaf::Only },
            Operation::CfgiCdAll { stream: other },
            Operation::TlbiNsnhAll,
            Operation::TlbiEl2All,
            Operation::TlbiS12Vmall { vmid: second.vmid },
            Operation::TlbiS2Ipa { vmid: n.guest.vmid, range },
            Operation::AtcInv { stream: STREAM, substream: None, global: false, address: 0, size: 52 },
            Operation::Resume { stream: STREAM, stag: 0, action: smmu_spec::command::ResumeAction::Retry },
            Operation::StallTerm { stream: STREAM },
            Operation::Sync(SyncSignal::Reserved),
            Operation::Other(smmu_spec::command::Opcode(0x50)),
            // Illegal or unpredictable ranges.
            Operation::TlbiNhVaa { vmid: 0, range: odd(1, 0, 0, 0, 0x7000) },
            Operation::TlbiNhVaa { vmid: 0, range: odd(0, 1, 0, 0, 0x7000) },
            Operation::TlbiNhVaa { vmid: 0, range: odd(0, 0, 0, 1, 0x7000) },
            Operation::TlbiNhVaa { vmid: 0, range: odd(3, 1, 0, 0, 0x7000) },
            Operation::TlbiNhVaa { vmid: 0, range: odd(1, 1, 40, 0, 0x7000) },
        ] {
            let commands = [Operation::TlbiNhAll { vmid: 0 }, command];
            assert_eq!(n.driver.execute_for_guest(n.guest.vmid, &commands), Err(SmmuError::NotForGuests(1)), "{command:?}");
        }
        // All forms that a guest may give, legal ones of the range too.
        let legal = [
            Operation::TlbiNhVaa { vmid: 9, range: odd(1, 31, 5, 3, 0x7000) },
            Operation::TlbiNhVa { vmid: 9, asid: 3, range: odd(1, 0, 0, 3, 0x7000) },
            Operation::CfgiCdAll { stream: STREAM },
        ];
        n.driver.execute_for_guest(n.guest.vmid, &legal).unwrap();
        assert_eq!(n.driver.execute_for_guest(99, &legal), Err(SmmuError::VmidInUse(99)));
        assert_eq!(n.driver.handle_global_error().unwrap().active.get(), 0, "no command was illegal");
        assert_eq!(n.machine.read(kernel(), 0x7000), Ok(0x71));
        assert_eq!(n.machine.violations(), []);
    });
}

#[test]
fn sm_c22_a_guest_that_writes_another_entry_is_followed() {
    on_every(|run| {
        let mut n = Nested::new(run);
        assert_eq!(n.machine.read(kernel(), 0x7000), Ok(0x71));
        // Another CD table: context 0 is the second space now.
        let next = Contexts::new(&n.machine, &mut n.guest);
        next.set(&n.machine, 0, &n.second, 2, 0);
        n.driver.replace_guest_contexts(STREAM, Some(&next.describe())).unwrap();
        assert_eq!(n.machine.read(kernel(), 0x7000), Ok(0x72));
        // Traffic without a SubstreamID passes the guest's stage 1, not the host's stage 2.
        let untagged = GuestContexts { untagged: Untagged::Bypass, ..next.describe() };
        n.driver.replace_guest_contexts(STREAM, Some(&untagged)).unwrap();
        assert_eq!(n.machine.read(kernel(), 0x5_1000), Ok(0x71));
        assert_eq!(n.machine.read(kernel(), 0x7000), Err(Fault::Abort));
        // The guest switches stage 1 off.
        n.driver.replace_guest_contexts(STREAM, None).unwrap();
        assert_eq!(n.machine.read(kernel(), 0x5_2000), Ok(0x72));
        assert_eq!(n.machine.read(user(THREE), 0x7000), Err(Fault::Abort));
        // And on again, while the host has the stream blocked.
        n.driver.block(STREAM).unwrap();
        n.driver.replace_guest_contexts(STREAM, Some(&n.contexts.describe())).unwrap();
        assert_eq!(n.machine.read(kernel(), 0x7000), Err(Fault::Abort));
        n.driver.unblock(STREAM).unwrap();
        assert_eq!(n.machine.read(kernel(), 0x7000), Ok(0x71));
        let stray = GuestContexts { pointer: Ipa(1 << 40), ..n.contexts.describe() };
        let refused = n.driver.replace_guest_contexts(STREAM, Some(&stray));
        assert_eq!(refused, Err(SmmuError::BadTable(TableField::ContextPointer)));
        n.driver.detach(STREAM).unwrap();
        n.driver.free_vmid(n.guest.vmid).unwrap();
        assert_eq!(n.machine.violations(), []);
    });
}

#[test]
fn a_guest_is_invalidated_in_ranges_and_without_them() {
    on_every(|run| {
        for has_ranges in [true, false] {
            let mut profile = Profile::STALL;
            if !has_ranges {
                profile.ids.idr3 &= !(1 << 10);
            }
            let machine = run.machine(profile);
            let mut driver = machine.start(Config::default()).unwrap();
            let mut guest = Guest::new(&machine, &mut driver);
            driver.attach_stage2(STREAM, &guest.table(), FaultModel::Terminate).unwrap();
            for (first, pages) in [(0_u64, 1_u64), (3, 7), (100, 33), (0, 600)] {
                for i in first..first + pages {
                    guest.stage2.store(0x10_0000 + i * 0x1000, machine.page(i % 8, i % 8) | STAGE2_RW);
                }
                hal::Barriers::dma_wmb(&machine.dma);
                for i in first..first + pages {
                    assert_eq!(machine.read(kernel(), 0x10_0000 + i * 0x1000), Ok(i % 8));
                    guest.stage2.store(0x10_0000 + i * 0x1000, 0);
                }
                driver.invalidate_ipa(guest.vmid, Ipa(0x10_0000 + first * 0x1000), pages * 0x1000, Leaf::Only).unwrap();
                for i in first..first + pages {
                    assert_eq!(machine.read(kernel(), 0x10_0000 + i * 0x1000), Err(Fault::Abort), "page {i} of ({first}, {pages})");
                }
                let _ = machine.events(&mut driver);
            }
            driver.invalidate_ipa(guest.vmid, Ipa(0), 0, Leaf::Only).unwrap();
            driver.invalidate_ipa(guest.vmid, Ipa(0x1000), u64::MAX, Leaf::AllLevels).unwrap();
            driver.invalidate_range(0, Va(0), 0, Leaf::Only).unwrap();
            assert_eq!(machine.violations(), []);
        }
    });
}
