//! QM-X: states, contexts, shares, draining.

use hal::{Iova, QueueDevice, QueueError, QueueId, Region, SubstreamId};
use qm_driver::{Lock, MailboxError, QmDevice, QmError, QmState, QpState};
use qm_model::{Bar, Completion};
use qm_spec::{MailboxCommand, MailboxStatus, QmVersion};

use super::machine::*;
use crate::support::{Fault, Faulty};

#[test]
fn qm_x01_function_states_and_refused_edges() {
    let machine = Machine::v3(4);
    let mut driver = machine.driver();
    assert_eq!(driver.start(), Err(QmError::WrongFunctionState(QmState::Down)));
    assert_eq!(driver.get_queue(None), Err(QmError::WrongFunctionState(QmState::Down)));
    driver.initialise().unwrap();
    assert_eq!(driver.initialise(), Err(QmError::WrongFunctionState(QmState::Initialised)));
    assert_eq!(driver.get_queue(None), Err(QmError::WrongFunctionState(QmState::Initialised)));
    driver.start().unwrap();
    assert_eq!(driver.start(), Err(QmError::WrongFunctionState(QmState::Started)));
    assert_eq!(driver.available(), 4);
    driver.shutdown().unwrap();
    assert_eq!((driver.state(), driver.available(), machine.dma.live_buffers()), (QmState::Down, 0, 0));
    driver.initialise().unwrap();
    driver.start().unwrap();
    let queue = machine.queue(&mut driver);
    driver.submit(queue, &[1; 32]).unwrap();
    assert_eq!(machine.silicon().run(), 1, "a second life works");
}

#[test]
fn qm_x02_queue_states_and_refused_edges() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    machine.run_while_waiting();
    let queue = driver.get_queue(None).unwrap();
    let wrong = |state| QmError::WrongQueueState(state);
    assert_eq!(driver.submit(queue, &[0; 32]), Err(wrong(QpState::Init)));
    assert_eq!(driver.poll_completion(queue, &mut [0; 32]), Err(wrong(QpState::Init)));
    assert_eq!(driver.arm(queue), Err(wrong(QpState::Init)));
    assert_eq!(driver.stop_queue(queue), Ok(()), "stopping a stopped queue does nothing");
    driver.start_queue(queue).unwrap();
    assert_eq!(driver.start_queue(queue), Err(wrong(QpState::Started)));
    assert_eq!(driver.set_alg_type(queue, 1), Err(wrong(QpState::Started)));
    driver.put_queue(queue);
    assert_eq!(driver.queue_state(queue), QpState::Started, "a running queue cannot be given back");
    driver.stop_queue(queue).unwrap();
    driver.put_queue(queue);
    assert_eq!(driver.queue_state(queue), QpState::Free);
    for refused in [driver.start_queue(queue), driver.stop_queue(queue), driver.set_alg_type(queue, 1)] {
        assert_eq!(refused, Err(wrong(QpState::Free)));
    }
    for missing in [QueueId(4), QueueId(8), QueueId(0xffff)] {
        assert_eq!(driver.start_queue(missing), Err(QmError::NoSuchQueue));
        assert_eq!(driver.queue_state(missing), QpState::Free);
        assert!(!driver.is_updated(missing));
    }
}

#[test]
fn qm_x03_a_user_queue_carries_its_pasid_as_its_version_says() {
    for (version, w5) in [(QmVersion::V2, [0x0000_0005, 0x0000_0005]), (QmVersion::V3, [0x0080_0005, 0x0001_0005])] {
        let machine = Machine::new(config(version, 1024, 2048, 1024));
        let mut driver = machine.started();
        let queue = driver.get_queue(Some(SubstreamId(5))).unwrap();
        driver.set_alg_type(queue, 1).unwrap();
        driver.start_queue(queue).unwrap();
        let sqc = driver.dump_context(MailboxCommand::SQC, queue.0).unwrap();
        let cqc = driver.dump_context(MailboxCommand::CQC, queue.0).unwrap();
        assert_eq!([sqc[5], cqc[5]], w5, "{version:?}");
        assert_eq!((sqc[3], sqc[6], cqc[3], cqc[6]), (0x73ff, 0x0110_0000, 0x43ff, 3));
        assert_eq!(cqc[1], sqc[1] + 0x2_0000, "CQ behind SQ in one block");
        assert_eq!(driver.get_queue(Some(SubstreamId(0x1_0000))), Err(QmError::Invalid), "a context has 16 PASID bits");
    }
}

#[test]
fn qm_x04_depths_that_a_context_cannot_hold_are_refused() {
    for (sq_cq, eq, aeq) in [(1, 8, 4), (0, 8, 4), (4097, 8, 4), (65535, 8, 4), (4, 1, 4), (4, 8, 0)] {
        let machine = Machine::new(config(QmVersion::V3, sq_cq, eq, aeq));
        assert_eq!(machine.driver().initialise(), Err(QmError::Unsupported), "{sq_cq} {eq} {aeq}");
        assert_eq!(machine.dma.live_buffers(), 0);
    }
    let machine = Machine::new(config(QmVersion::V3, 4096, 65535, 65535));
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    driver.submit(queue, &[3; 32]).unwrap();
    assert_eq!(machine.silicon().run(), 1);
}

#[test]
fn qm_x05_shares_read_back_and_those_past_the_device_give_nothing() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let share = driver.read_share().unwrap().unwrap();
    assert_eq!((share.first, share.count), (0, 4));
    assert_eq!(machine.silicon().read(0x10_0158), 0x0000_4008, "8 queues, 8 for one function");
    let mut s = machine.silicon();
    // Row 37's entries for another function are kept and read back by OP_WR = 1.
    for (offset, value) in
        [(0x58, 0), (0x5c, 0), (0x60, 3), (0x64, 0), (0x68, 0x0027_f004), (0x6c, 0), (0x54, 1), (0x58, 1), (0x68, 0), (0x54, 1)]
    {
        s.write(0x10_0000 + offset, value);
    }
    assert_eq!((s.read(0x10_0064), s.read(0x10_0068)), (0, 0x0027_f004));
    assert_eq!(s.model.queue_count(), 4);
    s.vft(0, 0x0007_f000_0000_0000);
    assert_eq!(s.model.queue_count(), 0, "64 queues of a device that has 8");
    drop(s);
    let mut parameters = machine.parameters();
    parameters.queues = 9;
    let mut greedy: Driver = qm_driver::Qm::new(
        parameters,
        machine.window(Bar::Bar2),
        Some(machine.window(Bar::Bar4)),
        machine.clock.clone(),
        machine.dma.clone(),
    );
    assert_eq!(greedy.initialise(), Err(QmError::TooManyQueues { wanted: 9, available: 8 }));
}

#[test]
fn qm_x05_taking_the_share_away_ends_the_queues() {
    let machine = Machine::v3(4);
    machine.bare();
    machine.bare_queue(1, 4, false);
    let mut s = machine.silicon();
    s.ring_page(1, sq_doorbell(1, 2));
    let task = s.take().unwrap();
    s.vft(0, 0);
    machine.port.take_log();
    assert_eq!(s.give_back(task), Completion::Dropped);
    assert_eq!(machine.port.take_log().len(), 0, "no access for a queue that is somebody else's by now");
    assert!(s.take().is_none() && !s.model.queue_view(1).unwrap().running);
    s.ring_page(1, sq_doorbell(1, 2));
    assert!(s.take().is_none());
}

#[test]
fn qm_x06_memory_that_never_initialises_is_a_bounded_wait() {
    let machine = Machine::v3(4);
    let faulty = Faulty::new(machine.window(Bar::Bar2));
    let pages = Some(Faulty::new(machine.window(Bar::Bar4)));
    let mut driver: Driver<_> = qm_driver::Qm::new(machine.parameters(), faulty.clone(), pages, machine.clock.clone(), machine.dma.clone());
    faulty.inject(Fault::Stuck { offset: 0x10_0044, value: 0 });
    assert_eq!(driver.initialise(), Err(QmError::RegisterTimeout { offset: 0x10_0044, wanted: 1, seen: 0 }));
    faulty.heal();
    driver.initialise().unwrap();
    faulty.inject(Fault::Stuck { offset: 0x10_006c, value: 0 });
    assert_eq!(driver.start(), Err(QmError::RegisterTimeout { offset: 0x10_006c, wanted: 1, seen: 0 }));
    faulty.heal();
    driver.start().unwrap();
}

#[test]
fn qm_x06_a_share_given_before_memory_initialisation_is_not_taken() {
    let machine = Machine::v3(4);
    let mut s = machine.silicon();
    for (offset, value) in [(0x5c, 0), (0x68, 0x7000), (0x6c, 0), (0x54, 1)] {
        s.write(0x10_0000 + offset, value);
    }
    assert!((0..100).all(|_| s.read(0x10_006c) == 0), "never ready");
    assert_eq!(s.model.queue_count(), 0);
}

#[test]
fn qm_x07_the_write_back_shows_final_positions_in_the_tables() {
    let machine = Machine::v3(4);
    machine.bare();
    machine.bare_queue(2, 4, false);
    let mut s = machine.silicon();
    for round in 0..2u16 {
        for tail in 1..=3u16 {
            s.ring_page(2, sq_doorbell(2, (round * 3 + tail) % 4));
            s.run();
            s.ring_page(2, cq_doorbell(2, (round * 3 + tail) % 4, false));
        }
    }
    s.write(0x204, 1);
    assert_eq!((0..8).filter(|_| s.read(0x208) == 1).count(), 6, "done after two reads");
    drop(s);
    let sqc = machine.words::<8>(RAM + 0x200 + 2 * 32);
    let cqc = machine.words::<8>(RAM + 0x300 + 2 * 32);
    // Six of a ring of four: both ends at 2, both wrap signatures (bits 5 and 6 of the upper half) set.
    assert_eq!((sqc[0], sqc[5]), (0x0002_0002, 0x0060_0000));
    assert_eq!((cqc[0], cqc[5]), (0x0002_0002, 0x0060_0000));
    assert_eq!(machine.words::<8>(RAM + 0x200 + 32), [0; 8], "queues without a context are left alone");
    let mut driver = Machine::v3(4).started();
    driver.write_back_contexts().unwrap();
}

#[test]
fn qm_x08_stopping_waits_for_what_was_submitted() {
    for version in [QmVersion::V2, QmVersion::V3] {
        let machine = Machine::new(config(version, if version == QmVersion::V2 { 1024 } else { 4 }, 2048, 1024));
        let mut driver = machine.started();
        let queue = machine.queue(&mut driver);
        for word in 0..3 {
            driver.submit(queue, &[word; 32]).unwrap();
        }
        let held = machine.silicon().take().unwrap();
        let error = driver.stop_queue(queue).unwrap_err();
        assert!(
            matches!(error, QmError::DrainTimedOut | QmError::Mailbox(MailboxError::TimedOut { command: MailboxCommand::STOP_QP })),
            "{error:?}"
        );
        assert_eq!(driver.queue_state(queue), QpState::Stopping);
        assert_eq!(driver.submit(queue, &[0; 32]), Err(QmError::WrongQueueState(QpState::Stopping)));
        driver.put_queue(queue);
        assert_eq!(driver.available(), 3, "memory that the device may use is nobody's");
        machine.run_while_waiting();
        machine.silicon().give_back(held);
        driver.stop_queue(queue).unwrap();
        let silicon = machine.silicon();
        let view = silicon.model.queue_view(queue.0).unwrap();
        assert!(!view.running && !view.halted, "{version:?}");
        drop(silicon);
        driver.put_queue(queue);
        assert_eq!(driver.available(), 4);
        assert!(machine.silicon().take().is_none());
    }
}

#[test]
fn qm_x08_stop_lets_the_submitted_run_and_refuses_new_doorbells() {
    let machine = Machine::v3(4);
    machine.bare();
    machine.bare_queue(1, 4, false);
    let mut s = machine.silicon();
    s.ring_page(1, sq_doorbell(1, 2));
    let Silicon { model, port } = &mut *s;
    model.mmio_write128(0x300, 0x0001_2008, 0, port);
    assert!((0..10).all(|_| s.read(0x300) & 0x2000 != 0), "busy while entries are left");
    s.ring_page(1, sq_doorbell(1, 3));
    assert_eq!(s.model.queue_view(1).unwrap().sq_tail, 2);
    let task = s.take().unwrap();
    assert_eq!(s.give_back(task), Completion::Delivered);
    assert!(s.read(0x300) & 0x2000 != 0);
    assert_eq!(s.run(), 1);
    let words = [s.read(0x300), s.read(0x300), s.read(0x300)];
    assert_eq!(words[2], 0x0001_0008, "busy gone, status 0");
    assert_eq!(s.read(0x30_0150), 3);
}

#[test]
fn qm_x08_flush_drains_the_whole_function() {
    let machine = Machine::v3(4);
    machine.bare();
    for qn in 0..3 {
        machine.bare_queue(qn, 4, false);
    }
    let mut s = machine.silicon();
    for qn in 0..3 {
        s.ring_page(qn.into(), sq_doorbell(qn, 2));
    }
    let Silicon { model, port } = &mut *s;
    model.mmio_write128(0x300, 0x0000_2009, 0, port);
    let busy = |s: &mut Silicon| (0..3).all(|_| s.read(0x300) & 0x2000 != 0);
    assert!(busy(&mut s));
    for left in (0..6).rev() {
        let task = s.take().unwrap();
        s.give_back(task);
        assert_eq!(busy(&mut s), left > 0, "{left} left");
    }
    assert_eq!(s.model.running_queues(), 0);
}

#[test]
fn qm_x08_a_result_of_an_earlier_life_is_dropped() {
    let machine = Machine::v3(4);
    machine.bare();
    machine.bare_queue(1, 4, true);
    let mut s = machine.silicon();
    s.ring_page(1, sq_doorbell(1, 1));
    let old = s.take().unwrap();
    drop(s);
    machine.bare_queue(1, 4, true);
    machine.put_words(Machine::sq_at(1), &[9; 32]);
    machine.port.take_log();
    let mut s = machine.silicon();
    s.ring_page(1, sq_doorbell(1, 1));
    assert!(s.take().is_none(), "one in flight per queue, whatever its life");
    assert_eq!(s.give_back(old), Completion::Dropped);
    assert_eq!(machine.port.take_log().len(), 0, "no access at all");
    assert_eq!(s.model.counters().results_dropped, 1);
    let new = s.take().unwrap();
    assert_eq!((new.sqe[0], new.generation == old.generation), (9, false));
    assert_eq!(s.give_back(new), Completion::Delivered);
}

#[test]
fn qm_x08_a_halted_queue_is_not_drained_before_the_engine_has_let_go() {
    let machine = Machine::v3(4);
    machine.bare();
    machine.bare_queue(1, 4, false);
    let mut s = machine.silicon();
    s.ring_page(1, sq_doorbell(1, 1));
    let task = s.take().unwrap();
    s.ring_page(1, sq_doorbell(1, 99));
    assert!(s.model.queue_view(1).unwrap().halted);
    let Silicon { model, port } = &mut *s;
    model.mmio_write128(0x300, 0x0001_2008, 0, port);
    assert!((0..5).all(|_| s.read(0x300) & 0x2000 != 0), "the engine may still write that process's memory");
    assert_eq!(s.read(0x30_0150), 0);
    assert_eq!(s.give_back(task), Completion::Dropped);
    assert_eq!([s.read(0x300), s.read(0x300), s.read(0x300)][2], 0x0001_0008);
    assert_eq!(s.read(0x30_0150), 3);
}

#[test]
fn qm_x09_a_queue_whose_second_context_is_refused_is_closed_again() {
    // Four pages are allocated before the queue; the CQ table is gone, so that the CQC is refused while the SQC is taken.
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    machine.bare();
    let mut s = machine.silicon();
    // A fresh mailbox life without a CQC table: reset, memory, share, SQC table only.
    s.model.reset();
    s.write(0x10_0040, 1);
    while s.read(0x10_0044) == 0 {}
    s.vft(0, 0x0000_7000_0000_0000);
    s.vft(1, 0x1000_0000);
    assert_eq!(s.command(qm_spec::Mailbox::with_address(MailboxCommand::SQC_BT, qm_spec::MailboxOp::Write, 0, Iova(RAM + 0x200))).0, 0);
    drop(s);
    let queue = driver.get_queue(None).unwrap();
    let refused = MailboxError::Refused { command: MailboxCommand::CQC, status: MailboxStatus::NOT_READY };
    assert_eq!(driver.start_queue(queue), Err(QmError::Mailbox(refused)));
    assert!(!machine.silicon().model.queue_view(queue.0).unwrap().running, "closed");
    driver.put_queue(queue);
    assert_eq!(driver.available(), 4, "the slot is free again");
}

#[test]
fn qm_x10_sy_i02_each_allocation_failing_in_turn_unwinds() {
    for nth in 0..4 {
        let machine = Machine::v3(4);
        let mut driver = machine.driver();
        machine.dma.fail_after(Some(nth));
        let first =
            driver.initialise().and_then(|()| driver.start()).and_then(|()| driver.get_queue(None)).and_then(|_| driver.get_queue(None));
        assert!(matches!(first, Err(QmError::Alloc(_))), "allocation {nth}");
        machine.dma.fail_after(None);
        if driver.state() == QmState::Down {
            driver.initialise().unwrap();
        }
        if driver.state() == QmState::Initialised {
            driver.start().unwrap();
        }
        let queue = machine.queue(&mut driver);
        driver.submit(queue, &[1; 32]).unwrap();
        assert_eq!(machine.silicon().run(), 1);
        assert_eq!(driver.stop_queue(queue), Ok(()));
        driver.shutdown().unwrap();
        assert_eq!(machine.dma.live_buffers(), 0, "allocation {nth}");
    }
}

#[test]
fn ua_a01_taking_everything_and_one_more() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let queues: Vec<QueueId> = (0..4).map(|_| driver.get_queue(None).unwrap()).collect();
    assert_eq!(driver.available(), 0);
    assert_eq!(driver.get_queue(None), Err(QmError::NoFreeQueue));
    assert_eq!(driver.statistics().create_qp_errors, 1);
    driver.put_queue(queues[1]);
    assert_eq!(driver.get_queue(None), Ok(queues[1]));
}

#[test]
fn qm_x08_shutdown_frees_nothing_while_a_task_is_with_the_engine() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    driver.submit(queue, &[1; 32]).unwrap();
    let held = machine.silicon().take().unwrap();
    let live = machine.dma.live_buffers();
    assert!(driver.shutdown().is_err());
    assert_eq!(machine.dma.live_buffers(), live);
    machine.silicon().give_back(held);
    machine.run_while_waiting();
    driver.shutdown().expect("the second try goes on where it can");
    assert_eq!(machine.dma.live_buffers(), 0);
}

struct Shared(std::cell::RefCell<Driver>);
impl Lock for Shared {
    type Target = Driver;
    fn with<R>(&self, f: impl FnOnce(&mut Driver) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }
}

#[test]
fn the_device_serves_the_queue_file_contract() {
    let machine = Machine::v3(1024);
    let device = QmDevice::new(Shared(machine.started().into()));
    assert_eq!((device.api(), device.algorithms(), device.available_instances()), ("hisi_qm_v3", "null", 4));
    assert_eq!((device.region_len_bytes(Region::Mmio), device.region_len_bytes(Region::Dus)), (65536, 151_552));
    let queue = device.get_queue(Some(SubstreamId(1))).unwrap();
    let mut context = [0xff, 0xff, 1, 0];
    device.ioctl(queue, uacce_abi::Command::SET_QP_CTX.0, &mut context).unwrap();
    assert_eq!(context, [0, 0, 1, 0]);
    assert_eq!(
        device.ioctl(queue, uacce_abi::Command::SET_QP_CTX.0, &mut [0, 0, 2, 0]),
        Err(QueueError::Invalid),
        "no third algorithm type"
    );
    assert_eq!(device.ioctl(queue, uacce_abi::Command::SET_QP_CTX.0, &mut [0, 0, 1]), Err(QueueError::Invalid), "short argument");
    let mut info = [0xff; 16];
    device.ioctl(queue, uacce_abi::Command::SET_QP_INFO.0, &mut info).unwrap();
    assert_eq!(info, [128, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(device.ioctl(queue, uacce_abi::Command::START_Q.0, &mut []), Err(QueueError::Invalid));
    let page = device.region(queue, Region::Mmio).unwrap();
    assert_eq!((page.base.0, page.len_bytes, page.kind), (0x21_0000_0000, 0x1_0000, hal::RegionKind::Device));
    device.start_queue(queue).unwrap();
    assert_eq!(device.ioctl(queue, uacce_abi::Command::SET_QP_CTX.0, &mut context), Err(QueueError::WrongState));
    assert!(!device.is_updated(queue));
    device.lock().with(|qm| qm.submit(queue, &[1; 32])).unwrap();
    machine.silicon().run();
    assert!(device.is_updated(queue));
    assert!(!device.is_updated(queue), "once per completion");
    device.stop_queue(queue).unwrap();
    device.put_queue(queue);
    assert_eq!(device.available_instances(), 4);
}

#[test]
fn without_isolation_no_doorbell_page_is_handed_out() {
    let machine = Machine::new(config(QmVersion::V2, 1024, 2048, 1024));
    let device = QmDevice::new(Shared(machine.started().into()));
    assert_eq!((device.api(), device.region_len_bytes(Region::Mmio)), ("hisi_qm_v2", 8192));
    let queue = device.get_queue(None).unwrap();
    assert!(device.region(queue, Region::Mmio).is_none(), "that page would hold the mailbox and everybody's doorbell");
}

#[test]
fn a_ring_written_by_its_process_cannot_hold_the_kernel() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    let sqc = driver.dump_context(MailboxCommand::SQC, queue.0).unwrap();
    let cq = u64::from(sqc[1]) + driver.dus_layout().cq_offset() as u64;
    for slot in 0..4 {
        machine.memory.poke(hal::Pa(cq + slot * 16 + 12), &[0, 0, 1, 0]);
    }
    assert!(driver.is_updated(queue));
    assert!(!driver.is_updated(queue), "a lap at most");
}
