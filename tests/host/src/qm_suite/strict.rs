//! A model that says what software did wrong: every rule broken once, by its name; and lives that break none.

use std::collections::BTreeSet;

use hal::PlatformReset;
use qm_model::{Bar, Violation};
use qm_spec::{BadIndex, DoorbellCommand, Mailbox, MailboxCommand, MailboxOp, MailboxStatus, QmVersion};

use super::machine::{Machine, QUEUES, RAM, STREAM, Silicon, config, cq_doorbell, sq_doorbell};
use super::many::{Device, good_jobs, queue, restart};

fn name(violation: &Violation) -> String {
    format!("{violation:?}").split([' ', '{']).next().unwrap_or_default().to_owned()
}

fn all(machine: &Machine) -> Vec<Violation> {
    let mut s = machine.silicon();
    std::iter::from_fn(|| s.model.take_violation()).collect()
}

fn only(machine: &Machine, expected: Violation) -> String {
    let seen = all(machine);
    assert_eq!(seen, [expected], "{}", expected.clause());
    name(&expected)
}

/// A running model of 4 queues of depth 4, of which queue 1 runs.
fn running() -> Machine {
    let machine = Machine::v3(4);
    machine.bare();
    machine.bare_queue(1, 4, false);
    assert_eq!(all(&machine), []);
    machine
}

fn load(machine: &Machine, command: MailboxCommand, queue: u16, base: u64) -> u8 {
    machine.silicon().command(Mailbox { command, op: MailboxOp::Write, queue, base }).0
}

#[test]
fn qm_every_rule_has_a_name_and_is_noticed() {
    let mut shown = BTreeSet::new();
    let mut note = |name: String| {
        shown.insert(name);
    };
    let function = 0;

    let machine = running();
    machine.silicon().write(0x304, 1);
    note(only(&machine, Violation::TornMailbox { function, offset: 0x304, bytes: 4 }));
    machine.silicon().model.mmio_write(Bar::Bar2, 0x300, 8, 0x6006, &mut machine.port.clone());
    note(only(&machine, Violation::TornMailbox { function, offset: 0x300, bytes: 8 }));
    {
        let s = &mut *machine.silicon();
        let Silicon { model, port } = s;
        model.mmio_write128(0x300, 0x6006, 0, port);
        model.mmio_write128(0x300, 0x6002, 0, port);
    }
    note(only(&machine, Violation::MailboxWhileBusy { function, command: MailboxCommand::EQC }));
    while machine.silicon().read(0x300) & 0x2000 != 0 {}
    let refusals = [
        (MailboxCommand::SQC, 4, RAM + 0x1040, MailboxStatus::BAD_QUEUE),
        (MailboxCommand::SQC, 1, RAM + 0x1044, MailboxStatus::MISALIGNED),
        (MailboxCommand::SQC, 1, RAM + 0x3000, MailboxStatus::BAD_CONTEXT),
        (MailboxCommand(0xb), 0, 0, MailboxStatus::UNSUPPORTED),
    ];
    for (command, queue, base, status) in refusals {
        assert_eq!(load(&machine, command, queue, base), status.0);
        note(only(&machine, Violation::MailboxRefused { function, command, status }));
    }
    assert_eq!(load(&machine, MailboxCommand::AEQC, 0, RAM + 0x1020), 0);
    note(only(&machine, Violation::EventContextWhileLive { function, command: MailboxCommand::AEQC }));

    let machine = running();
    machine.silicon().ring_page(1, sq_doorbell(1, 2));
    for command in [MailboxCommand::CQC, MailboxCommand::SQC] {
        assert_eq!(load(&machine, command, 1, if command == MailboxCommand::SQC { RAM + 0x1040 } else { RAM + 0x1060 }), 0);
        note(only(&machine, Violation::ContextWhileLive { function, command, queue: 1 }));
    }
    machine.silicon().vft(0, 0);
    note(only(&machine, Violation::ShareWhileLive { function }));

    let device = Device::new(2);
    let _driver = device.physical();
    {
        let mut s = device.silicon();
        for (offset, value) in [(0x58, 0), (0x5c, 0), (0x60, 1), (0x64, 0), (0x68, 0x1000), (0x6c, 0), (0x54, 1)] {
            s.write(0, 0x10_0000 + offset, value);
        }
        assert_eq!(s.model.take_violation(), Some(Violation::ShareOverlaps { function: 1 }));
        note(name(&Violation::ShareOverlaps { function: 1 }));
    }

    let machine = Machine::v3(4);
    machine.silicon().write(0x10_0054, 1);
    note(only(&machine, Violation::VftBeforeMemory));
    let machine = running();
    machine.silicon().write(0x10_0058, 1);
    machine.silicon().write(0x10_0054, 1);
    assert_eq!(all(&machine), []);
    machine.silicon().write(0x10_0054, 1);
    note(only(&machine, Violation::VftWhileBusy));
    machine.silicon().write(0x10_0040, 1);
    note(only(&machine, Violation::MemoryInitWhileLive));

    let machine = running();
    machine.silicon().ring_page(1, sq_doorbell(1, 1));
    let task = machine.silicon().take();
    assert!(task.is_some());
    machine.silicon().model.reset();
    note(only(&machine, Violation::ResetWhileBusy));

    let device = Device::new(1);
    let mut pf = device.physical();
    pf.enable_vfs(1, &device.config).unwrap();
    device.silicon().write(1, 0x10_0004, 0);
    let foreign = Violation::PhysicalRegister { function: 1, offset: 0x10_0004 };
    assert_eq!(device.silicon().model.take_violation(), Some(foreign));
    note(name(&foreign));

    // What a process can do with its page.
    let machine = running();
    machine.silicon().model.mmio_write(Bar::Bar4, 0x1_1000, 4, 0, &mut machine.port.clone());
    note(only(&machine, Violation::DoorbellShape { function, page: Some(1), bytes: 4 }));
    let page = |word| {
        machine.silicon().ring_page(1, word);
        let seen = all(&machine);
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert!(seen[0].comes_from_a_process(), "{seen:?}");
        seen[0]
    };
    let rows = [
        (0x2000, Violation::DoorbellMisplaced { function, page: Some(1), command: DoorbellCommand::EQ }),
        (sq_doorbell(2, 1), Violation::ForeignDoorbell { function, page: Some(1), queue: 2 }),
        (sq_doorbell(1, 1) | 0x5a_0000, Violation::WrongRandom { function, queue: 1 }),
        (
            cq_doorbell(1, 1, false),
            Violation::BadIndex {
                function,
                queue: 1,
                command: DoorbellCommand::CQ,
                index: BadIndex::Overtakes { index: 1, head: 0, tail: 0 },
            },
        ),
        (sq_doorbell(1, 1), Violation::IdleDoorbell { function, queue: 1 }),
    ];
    for (word, expected) in rows {
        assert_eq!(page(word), expected);
        note(name(&expected));
    }
    // In BAR2 no process is near.
    machine.silicon().ring(0x2000, 0x9_0000_2000);
    let seen = all(&machine);
    let expected = BadIndex::OutOfRange { index: 9, depth_entries: 8 };
    assert_eq!(seen, [Violation::BadIndex { function, queue: 0, command: DoorbellCommand::EQ, index: expected }]);
    assert!(!seen[0].comes_from_a_process());
    machine.silicon().ring(0x1000, sq_doorbell(QUEUES as u16, 0));
    let seen = all(&machine);
    assert_eq!(seen, [Violation::ForeignDoorbell { function, page: None, queue: QUEUES as u16 }]);
    assert!(!seen[0].comes_from_a_process());

    // All but the model's own rule, which nothing from outside can break: its unit test breaks it from inside.
    let rules = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../qm/model/src/violation.rs")).unwrap();
    let body = rules.split("pub enum Violation {").nth(1).unwrap().split("\nimpl").next().unwrap();
    let declared: BTreeSet<String> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|line| line.trim_end_matches([' ', '{', ',']).to_owned())
        .collect();
    shown.insert("AccessAfterStop".to_owned());
    assert_eq!(shown, declared);
}

/// Bring-up, work, stop, restart, reset, suspension and removal by our driver break no rule, on either version.
#[test]
fn qm_a_whole_life_breaks_no_rule() {
    for version in [QmVersion::V2, QmVersion::V3] {
        let machine = Machine::new(config(version, 8, 16, 8));
        machine.run_while_waiting();
        let mut driver = machine.started();
        let queue = machine.queue(&mut driver);
        for round in 0..3 {
            for _ in 0..20 {
                driver.submit(queue, &[round; 32]).unwrap();
                machine.silicon().run();
                assert!(driver.poll_completion(queue, &mut [0; 32]).unwrap().is_some());
            }
            driver.submit(queue, &[round; 32]).unwrap();
            driver.stop_queue(queue).unwrap();
            assert!(driver.poll_completion(queue, &mut [0; 32]).unwrap().is_some(), "{version:?}: drained, and not lost");
            driver.start_queue(queue).unwrap();
        }
        driver.shutdown().unwrap();
        assert_eq!(all(&machine), [], "{version:?}");
    }
    let device = Device::new(2);
    let (mut pf, vfs) = device.with_vfs(2);
    let own = queue(&mut pf);
    let other = queue(&mut vfs[1].borrow_mut());
    for _ in 0..3 {
        good_jobs(&device, &mut pf, own, 10);
        good_jobs(&device, &mut vfs[1].borrow_mut(), other, 10);
        device.reset(&mut pf, true, true).unwrap();
        restart(&mut pf, own);
        restart(&mut vfs[1].borrow_mut(), other);
    }
    let mut s = device.silicon();
    assert_eq!(s.model.take_violation(), None);
    assert_eq!(s.model.counters().violations, 0);
}

#[test]
fn qm_a_reset_without_draining_is_noticed() {
    let device = Device::new(0);
    let mut pf = device.physical();
    let own = queue(&mut pf);
    pf.submit(own, &[1; 32]).unwrap();
    let task = device.silicon().model.next_task(&mut device.port.clone());
    assert!(task.is_some());
    device.silicon().write(0, 0x30_0000, 1);
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| device.platform().reset(STREAM)));
    assert!(refused.is_err(), "the platform of these tests insists on it");
    device.silicon().model.reset();
    assert_eq!(device.silicon().model.take_violation(), Some(Violation::ResetWhileBusy));
}
