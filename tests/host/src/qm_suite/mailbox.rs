//! QM-M: the mailbox.

use core::time::Duration;

use hal::{Iova, Verdict};
use qm_driver::{MailboxError, QmError};
use qm_model::Bar;
use qm_spec::{Mailbox, MailboxCommand, MailboxOp, MailboxStatus, QmVersion};

use super::machine::*;
use crate::support::{Fault, Faulty, PageRule, Touch, Traced};

const BUSY: u32 = 0x2000;

#[test]
fn qm_m01_torn_halves_start_nothing_and_are_flagged() {
    let machine = Machine::v3(4);
    machine.bare();
    machine.put_words(RAM + 0x1040, &[0, 0x1_0000, 0, 0x7003, 0, 0, 0x0010_0001, 0]);
    let mut s = machine.silicon();
    let (window, mailboxes) = (s.read(0x300), s.read(0x10_4018));
    // Row 25 of the golden words, in two 64-bit halves and in four words.
    let (low, high) = (0x0001_2000 | (RAM + 0x1040) << 32, 0);
    for (offset, bytes, value) in
        [(0x300, 8, low), (0x308, 8, high), (0x300, 4, 0x0001_2000), (0x304, 4, RAM + 0x1040), (0x308, 4, 0), (0x30c, 4, 0)]
    {
        let Silicon { model, port } = &mut *s;
        model.mmio_write(Bar::Bar2, offset, bytes, value, port);
    }
    assert_eq!(s.model.counters().torn_mailboxes, 6);
    assert_eq!((s.read(0x300), s.read(0x10_4018)), (window, mailboxes), "no command, window as it was");
    assert!(!s.model.queue_view(1).unwrap().running);
    assert_eq!(s.command(Mailbox::decode(low, high)).0, 0, "whole, it works");
    assert!(s.model.queue_view(1).unwrap().running);
}

#[test]
fn qm_m02_a_command_that_takes_too_long_keeps_its_buffer_and_the_next_one_works() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let buffers = machine.dma.live_buffers();
    // The device's read of the context buffer stalls. Every page of the driver may hold it.
    let pages: Vec<u64> = (0..64).map(|page| DMA_BASE + page * 4096).collect();
    let rule = |rule| pages.iter().for_each(|page| machine.port.set_rule(Iova(*page), rule));
    let queue = driver.get_queue(None).unwrap();
    rule(Some(PageRule::Stall(7)));
    let before = machine.clock.micros();
    assert_eq!(driver.start_queue(queue), Err(QmError::Mailbox(MailboxError::TimedOut { command: MailboxCommand::SQC })));
    assert!(machine.clock.micros() - before >= 10_000);
    assert_eq!(driver.statistics().mailbox_errors, 1);
    assert_eq!(driver.dump_context(MailboxCommand::EQC, 0), Err(QmError::Mailbox(MailboxError::Busy { command: MailboxCommand::EQC })));
    assert_eq!(machine.dma.live_buffers(), buffers + 1, "only the queue's block was added, nothing was freed");
    driver.put_queue(queue);
    assert_eq!(driver.available(), 3, "the device may still load that context: the queue is nobody's");
    rule(None);
    assert!(machine.silicon().resume(7, Verdict::Retry));
    assert!(driver.dump_context(MailboxCommand::EQC, 0).is_ok());
    driver.stop_queue(queue).expect("the late command has ended; the queue can be stopped");
    driver.put_queue(queue);
    assert_eq!(driver.available(), 4);
}

#[test]
fn qm_m02_a_slow_mailbox_inside_the_deadline_is_a_success() {
    let machine = Machine::v3(4);
    let faulty = Faulty::new(machine.window(Bar::Bar2));
    let mut parameters = machine.parameters();
    parameters.timeouts.mailbox = Duration::from_millis(1);
    machine.clock.set_relax_micros(10);
    let mut driver: Driver<_> = qm_driver::Qm::new(
        parameters,
        faulty.clone(),
        Some(Faulty::new(machine.window(Bar::Bar4))),
        machine.clock.clone(),
        machine.dma.clone(),
    );
    driver.initialise().unwrap();
    driver.start().unwrap();
    let stuck = faulty.clone();
    for _ in 0..60 {
        stuck.inject(Fault::ReadOnce { offset: 0x300, nth: 0, value: BUSY.into() });
    }
    assert!(driver.read_share().is_ok(), "busy for less than the deadline");
    faulty.inject(Fault::Stuck { offset: 0x300, value: BUSY.into() });
    assert!(driver.read_share().is_err());
    assert_eq!(driver.statistics().mailbox_errors, 1);
    faulty.heal();
    assert!(driver.read_share().is_ok());
}

#[test]
fn qm_m03_a_busy_mailbox_is_not_written() {
    let machine = Machine::v3(4);
    let faulty = Faulty::new(Traced::new(machine.window(Bar::Bar2)));
    let traced = Traced::new(faulty.clone());
    let pages = Traced::new(Faulty::new(Traced::new(machine.window(Bar::Bar4))));
    let mut driver: Driver<_> =
        qm_driver::Qm::new(machine.parameters(), traced.clone(), Some(pages), machine.clock.clone(), machine.dma.clone());
    driver.initialise().unwrap();
    driver.start().unwrap();
    faulty.inject(Fault::Stuck { offset: 0x300, value: BUSY.into() });
    traced.take();
    assert_eq!(driver.read_share(), Err(QmError::Mailbox(MailboxError::Busy { command: MailboxCommand::SQC_VFT })));
    assert!(traced.take().iter().all(|touch| matches!(touch, Touch::Read { offset: 0x300, .. })));
}

#[test]
fn qm_m04_a_status_is_an_error() {
    let machine = Machine::v3(4);
    let faulty = Faulty::new(machine.window(Bar::Bar2));
    let mut driver: Driver<_> = qm_driver::Qm::new(
        machine.parameters(),
        faulty.clone(),
        Some(Faulty::new(machine.window(Bar::Bar4))),
        machine.clock.clone(),
        machine.dma.clone(),
    );
    driver.initialise().unwrap();
    driver.start().unwrap();
    // Golden form of status 1: bits 12:9.
    faulty.inject(Fault::Stuck { offset: 0x300, value: 0x0003_0200 });
    let refused = MailboxError::Refused { command: MailboxCommand::SQC_VFT, status: MailboxStatus(1) };
    assert_eq!(driver.read_share(), Err(QmError::Mailbox(refused)));
    assert_eq!(driver.statistics().mailbox_errors, 1);
}

/// Every command code in both directions, on a running function: what must succeed, and what must be refused.
#[test]
fn qm_m05_every_command_code_in_both_directions() {
    for version in [QmVersion::V2, QmVersion::V3] {
        for code in 0..=0xffu8 {
            for op in [MailboxOp::Write, MailboxOp::Read] {
                let machine = Machine::new(config(version, 4, 8, 4));
                machine.bare();
                machine.bare_queue(1, 4, false);
                let v3 = version == QmVersion::V3;
                let expected = match (code, op) {
                    (0x0..=0x5, _) | (0x6, MailboxOp::Read) => MailboxStatus::SUCCESS,
                    (0x8 | 0x9, MailboxOp::Write) if v3 => MailboxStatus::SUCCESS,
                    // Messages between functions work, and there is nobody to talk to.
                    (0xc, MailboxOp::Write) | (0xd, _) if v3 => MailboxStatus::NO_PEER,
                    _ => MailboxStatus::UNSUPPORTED,
                };
                let mut s = machine.silicon();
                let base = match code {
                    0x0 => RAM + 0x1040,
                    0x1 => RAM + 0x1060,
                    0x2 => RAM + 0x1000,
                    _ => RAM + 0x1020,
                };
                let result = s.command(Mailbox { command: MailboxCommand(code), op, queue: 1, base });
                assert_eq!(result.0, expected.0, "{version:?} {code:#x} {op:?}");
            }
        }
    }
}

#[test]
fn qm_m05_nothing_works_before_memory_initialisation() {
    let machine = Machine::v3(4);
    for code in 0..0x10 {
        let status = machine.silicon().command(Mailbox { command: MailboxCommand(code), op: MailboxOp::Write, queue: 0, base: RAM }).0;
        assert_eq!(status, MailboxStatus::NOT_READY.0, "{code:#x}");
    }
}

#[test]
fn qm_m06_a_bad_context_address_is_refused_and_leaves_no_partial_context() {
    let machine = Machine::v3(4);
    machine.bare();
    machine.bare_queue(1, 4, false);
    let before = machine.silicon().model.queue_view(1).unwrap();
    for command in [MailboxCommand::SQC, MailboxCommand::CQC, MailboxCommand::EQC, MailboxCommand::AEQC] {
        for op in [MailboxOp::Write, MailboxOp::Read] {
            let mut s = machine.silicon();
            let status = |s: &mut Silicon, base| s.command(Mailbox::with_address(command, op, 1, Iova(base))).0;
            assert_eq!(status(&mut s, RAM + 0x1010), MailboxStatus::MISALIGNED.0, "{command:?} {op:?}");
            assert_eq!(s.read(0x10_0000), 0);
            assert_eq!(status(&mut s, 0x7000_0000), MailboxStatus::BUS_ERROR.0, "{command:?} {op:?}");
            let error = if op == MailboxOp::Write { 1 } else { 2 };
            assert_eq!(s.read(0x10_0000), error, "the abort is an error of the read or write response");
            s.write(0x10_0000, 3);
        }
    }
    assert_eq!(machine.silicon().model.queue_view(1).unwrap(), before);
}

#[test]
fn qm_m06_contexts_that_contradict_themselves_are_refused() {
    let machine = Machine::v3(4);
    machine.bare();
    let good_sqc = [0, 0x2_0000, 0, 0x7003, 0, 0, 0x0010_0001, 0];
    let good_cqc = [0, 0x2_8000, 0, 0x4003, 0, 0, 3, 0];
    let good_eqc = [0, RAM as u32, 0, 0, 0, 0, 0x1_0007, 0];
    let bad: [(MailboxCommand, [u32; 8], &str); 10] = [
        (MailboxCommand::SQC, [4, good_sqc[1], 0, 0x7003, 0, 0, good_sqc[6], 0], "head past the ring"),
        (MailboxCommand::SQC, [4 << 16, good_sqc[1], 0, 0x7003, 0, 0, good_sqc[6], 0], "tail past the ring"),
        (MailboxCommand::SQC, [0, good_sqc[1], 0, 0x7000, 0, 0, good_sqc[6], 0], "one entry"),
        (MailboxCommand::SQC, [0, good_sqc[1], 0, 0x8003, 0, 0, good_sqc[6], 0], "entries of 256 bytes"),
        (MailboxCommand::SQC, [0, good_sqc[1], 0, 0x3003, 0, 0, good_sqc[6], 0], "entries of 8 bytes"),
        (MailboxCommand::SQC, [0, good_sqc[1], 0, 0x7003, 0, 0, 0x0010_0004, 0], "a CQ of somebody else"),
        (MailboxCommand::CQC, [0, good_cqc[1], 0, 0x5003, 0, 0, 3, 0], "completions of 32 bytes"),
        (MailboxCommand::CQC, [0xffff_0000, good_cqc[1], 0, 0x4003, 0, 0, 3, 0], "tail past the ring"),
        (MailboxCommand::EQC, [0, good_eqc[1], 0, 0, 0, 0, 0x1_0000, 0], "one entry"),
        (MailboxCommand::AEQC, [8, good_eqc[1], 0, 0, 0, 0, 0x1_0007, 0], "head past the ring"),
    ];
    for (command, words, why) in bad {
        machine.put_words(RAM + 0x1080, &words);
        let status = machine.silicon().command(Mailbox::with_address(command, MailboxOp::Write, 1, Iova(RAM + 0x1080))).0;
        assert_eq!(status, MailboxStatus::BAD_CONTEXT.0, "{why}");
    }
    assert!(!machine.silicon().model.queue_view(1).unwrap().running);
}

#[test]
fn qm_m07_queue_numbers_past_the_share_are_refused_and_recorded() {
    let machine = Machine::v3(4);
    machine.bare();
    for (command, bit) in [(MailboxCommand::SQC, 1 << 9), (MailboxCommand::CQC, 1 << 8)] {
        for queue in [4, 7, 8, 1023, 0xffff] {
            let mut s = machine.silicon();
            assert_eq!(
                s.command(Mailbox::with_address(command, MailboxOp::Write, queue, Iova(RAM + 0x1040))).0,
                MailboxStatus::BAD_QUEUE.0
            );
            assert_eq!(s.read(0x10_0000), bit);
            s.write(0x10_0000, bit);
            let dump = s.command(Mailbox::with_address(command, MailboxOp::Read, queue, Iova(RAM + 0x1040))).0;
            assert_eq!(dump, MailboxStatus::BAD_QUEUE.0);
            s.write(0x10_0000, bit);
        }
    }
    let stop = Mailbox { command: MailboxCommand::STOP_QP, op: MailboxOp::Write, queue: 4, base: 0 };
    assert_eq!(machine.silicon().command(stop).0, MailboxStatus::BAD_QUEUE.0);
}

#[test]
fn qm_m08_a_dump_shows_what_was_loaded() {
    let machine = Machine::v3(4);
    machine.bare();
    // Rows 3 and 7 of the golden words with queue 3 as it was recorded, row 9 and 11 with their undefined dword.
    let rows: [(MailboxCommand, [u32; 8]); 4] = [
        (MailboxCommand::SQC, [0, 0xfff0_0000, 0, 0x0000_73ff, 0, 0x0080_0001, 0x0110_0003, 0]),
        (MailboxCommand::CQC, [0, 0xfff2_0000, 0, 0x0000_43ff, 0, 0x0001_0001, 0x0000_0003, 0]),
        (MailboxCommand::EQC, [0, 0xffff_8000, 0, 0, 0, 0, 0x0001_07ff, 0]),
        (MailboxCommand::AEQC, [0, 0xffff_a000, 0, 0, 0, 0, 0x0001_03ff, 0]),
    ];
    for (command, words) in rows {
        let mut loaded = words;
        if matches!(command, MailboxCommand::EQC | MailboxCommand::AEQC) {
            loaded[7] = 0x5555_5555;
        }
        machine.put_words(RAM + 0x1080, &loaded);
        machine.put_words(RAM + 0x10a0, &[0xffff_ffff; 8]);
        let mut s = machine.silicon();
        assert_eq!(s.command(Mailbox::with_address(command, MailboxOp::Write, 3, Iova(RAM + 0x1080))).0, 0);
        assert_eq!(s.command(Mailbox::with_address(command, MailboxOp::Read, 3, Iova(RAM + 0x10a0))).0, 0);
        assert_eq!(machine.words::<8>(RAM + 0x10a0), words, "{command:?}");
    }
    let mut s = machine.silicon();
    assert_eq!(s.command(Mailbox { command: MailboxCommand::SQC_BT, op: MailboxOp::Read, queue: 0, base: 0 }), (0, RAM + 0x200));
    assert_eq!(s.command(Mailbox { command: MailboxCommand::CQC_BT, op: MailboxOp::Read, queue: 0, base: 0 }), (0, RAM + 0x300));
}

#[test]
fn qm_m08_the_driver_sends_the_recorded_words() {
    let machine = Machine::v3(1024);
    let traced = Traced::new(machine.window(Bar::Bar2));
    let pages = Traced::new(machine.window(Bar::Bar4));
    let mut driver: Driver<_> =
        qm_driver::Qm::new(machine.parameters(), traced.clone(), Some(pages.clone()), machine.clock.clone(), machine.dma.clone());
    driver.initialise().unwrap();
    driver.start().unwrap();
    let queue = driver.get_queue(None).unwrap();
    driver.start_queue(queue).unwrap();
    driver.stop_queue(queue).unwrap();
    let first_words: Vec<u32> = traced
        .take()
        .iter()
        .filter_map(|touch| if let Touch::Write128 { offset: 0x300, low, high: 0 } = touch { Some(*low as u32) } else { None })
        .collect();
    // Rows 21 to 27, here for queue 0: EQC, AEQC, SQC_BT, CQC_BT, SQC, CQC, STOP_QP; each one 128-bit store.
    assert_eq!(first_words, [0x2002, 0x2003, 0x2004, 0x2005, 0x2000, 0x2001, 0x2008]);
}

#[test]
fn qm_m08_own_share_reads_back_as_rows_31_and_36() {
    let machine = Machine::v3(4);
    machine.bare();
    let mut s = machine.silicon();
    // A device of 8 queues: 4 of them from queue 0; word 2 of the reply is the entry's upper half.
    assert_eq!(s.command(Mailbox::decode(0x0000_6006, 0)), (0, 0x0000_7000_0000_0000));
    s.vft(0, 0);
    assert_eq!(s.command(Mailbox::decode(0x0000_6006, 0)), (0, 0));
}

#[test]
fn a_command_on_top_of_a_running_one_is_dropped_and_counted() {
    let machine = Machine::v3(4);
    machine.bare();
    let mut s = machine.silicon();
    for _ in 0..2 {
        let Silicon { model, port } = &mut *s;
        model.mmio_write128(0x300, 0x0000_6006, 0, port);
    }
    assert_eq!(s.model.counters().mailbox_overruns, 1);
    assert_eq!(s.read(0x300) & BUSY, BUSY);
    assert_eq!(s.read(0x300) & BUSY, BUSY);
    assert_eq!(s.read(0x300) & BUSY, 0, "busy is seen by software that looks");
}

/// Where the function stands when a command comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stand {
    NoShare,
    NoTables,
    NoContexts,
    Running,
    /// An entry is submitted, and the engine does not take it.
    Loaded,
    Halted,
}

fn stand(stand: Stand) -> Machine {
    let machine = Machine::v3(4);
    machine.bare();
    match stand {
        Stand::NoShare => {
            machine.silicon().vft(0, 0);
        }
        Stand::NoTables => {
            let mut s = machine.silicon();
            // A reset of the function by PCI forgets the tables and keeps nothing else, either; memory and shares are given anew.
            s.model.reset();
            s.write(0x10_0040, 1);
            while s.read(0x10_0044) == 0 {}
            s.vft(0, 0x0000_7000_0000_0000);
            s.vft(1, 0x1000_0000);
        }
        Stand::NoContexts => {}
        Stand::Running | Stand::Loaded | Stand::Halted => machine.bare_queue(1, 4, false),
    }
    match stand {
        Stand::Loaded => machine.silicon().ring_page(1, sq_doorbell(1, 2)),
        Stand::Halted => machine.silicon().ring_page(1, sq_doorbell(1, 9)),
        _ => {}
    }
    machine.put_words(RAM + 0x1000, &[0, RAM as u32, 0, 0, 0, 0, 0x1_0007, 0]);
    machine.put_words(RAM + 0x1040, &[0, Machine::sq_at(1) as u32, 0, 0x7003, 0, 0, 0x0010_0001, 0]);
    machine.put_words(RAM + 0x1060, &[0, Machine::cq_at(1) as u32, 0, 0x4003, 0, 0, 1, 0]);
    machine
}

/// Every command in every state: the documented result, or busy (0xff) for a drain that does not end.
#[test]
fn qm_m05_every_command_in_every_state() {
    use MailboxOp::{Read, Write};
    let states = [Stand::NoShare, Stand::NoTables, Stand::NoContexts, Stand::Running, Stand::Loaded, Stand::Halted];
    let rows = [
        (0x0, Write, [2, 6, 0, 0, 0, 0]),
        (0x0, Read, [2, 0, 0, 0, 0, 0]),
        (0x1, Write, [2, 6, 0, 0, 0, 0]),
        (0x1, Read, [2, 0, 0, 0, 0, 0]),
        (0x2, Write, [0; 6]),
        (0x2, Read, [0; 6]),
        (0x3, Write, [0; 6]),
        (0x3, Read, [0; 6]),
        (0x4, Write, [0; 6]),
        (0x4, Read, [0; 6]),
        (0x5, Write, [0; 6]),
        (0x5, Read, [0; 6]),
        (0x6, Write, [1; 6]),
        (0x6, Read, [0; 6]),
        (0x7, Write, [1; 6]),
        (0x8, Write, [2, 0, 0, 0, 0xff, 0]),
        (0x8, Read, [1; 6]),
        (0x9, Write, [0, 0, 0, 0, 0xff, 0]),
        (0x9, Read, [1; 6]),
        (0xa, Write, [1; 6]),
        (0xb, Write, [1; 6]),
        (0xc, Write, [7; 6]),
        (0xc, Read, [1; 6]),
        (0xd, Write, [7; 6]),
        (0xd, Read, [7; 6]),
        (0xe, Write, [1; 6]),
        (0xf, Write, [1; 6]),
    ];
    for (code, op, expected) in rows {
        for (state, expected) in states.into_iter().zip(expected) {
            let machine = stand(state);
            let base = match (code, op) {
                (0x0, Write) => RAM + 0x1040,
                (0x1, Write) => RAM + 0x1060,
                (0x2 | 0x3, Write) => RAM + 0x1000,
                _ => RAM + 0x2000,
            };
            let mut s = machine.silicon();
            let result = s.command(Mailbox { command: MailboxCommand(code), op, queue: 1, base });
            assert_eq!(result.0, expected, "{code:#x} {op:?} in {state:?}");
            if expected == 0xff {
                // The engine takes what was submitted, and the drain ends.
                s.run();
                for _ in 0..4 {
                    s.read(0x300);
                }
                assert_eq!(s.read(0x300) & 0x3e00, 0, "{code:#x} in {state:?}");
            }
            // Whatever it was, the next command works.
            assert_eq!(s.command(Mailbox { command: MailboxCommand::SQC_VFT, op: Read, queue: 0, base: 0 }).0, 0);
        }
    }
}
