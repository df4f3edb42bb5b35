//! Resets amid everything else: callers that come while one is under way, errors that come while one is under way, resets that nobody asked for, very
//! many of them, and processes that would like to cause them.

use hal::{ConfigSpace, Iova, QueueId, Verdict};
use qm_driver::{Qm, QmError, QmState, QpState, ResetStep};
use qm_model::{Bar, Completion};
use qm_spec::MailboxCommand;
use zip_model::{Direction, EngineMemory, Step};

use super::many::*;
use crate::support::PageRule;

/// The device's driver where a reset has failed at the platform: dead hardware.
fn dead(device: &Device) -> (Driver, QueueId) {
    let mut pf = device.physical();
    let own = queue(&mut pf);
    pf.submit(own, &[0; 32]).expect("room");
    device.silicon().refuse = Some(hal::ResetError::Failed);
    // Frozen: the queue does not drain, and stays with the device.
    device.silicon().write(0, 0x10_000c, 1 << 2);
    assert_eq!(device.reset(&mut pf, true, true).expect_err("the platform refuses").step, ResetStep::Platform);
    assert_eq!(pf.queue_state(own), QpState::Stopping);
    (pf, own)
}

/// Who wants a command while the device is dead is told so at once: no time passes, nothing is stored.
#[test]
fn qm_m10_r04_nobody_waits_for_dead_hardware_and_nothing_is_sent_to_it() {
    let device = Device::new(2);
    let (mut pf, own) = dead(&device);
    let (now, stored) = (device.clock.micros(), device.silicon().taken);
    let free = QueueId(own.0 + 1);
    assert_eq!(pf.dump_context(MailboxCommand::SQC, own.0), Err(QmError::Resetting));
    assert_eq!(pf.read_share(), Err(QmError::Resetting));
    assert_eq!(pf.start_queue(free), Err(QmError::Resetting));
    assert_eq!(pf.stop_queue(own), Err(QmError::Resetting), "its memory is still the device's");
    assert_eq!(pf.disable_queue(own), Err(QmError::Resetting));
    assert_eq!(pf.get_queue(None), Err(QmError::WrongFunctionState(QmState::Resetting)));
    assert_eq!(pf.inspect_queue(own).err(), Some(QmError::WrongFunctionState(QmState::Resetting)));
    assert_eq!(pf.enable_vfs(1, &device.config), Err(QmError::WrongFunctionState(QmState::Resetting)));
    assert_eq!(pf.set_qos(0, 500), Err(QmError::WrongFunctionState(QmState::Resetting)));
    for queue in [own, free] {
        assert!(matches!(pf.submit(queue, &[0; 32]), Err(QmError::WrongQueueState(_))));
        assert!(matches!(pf.ring_again(queue), Err(QmError::WrongQueueState(_))));
        assert!(matches!(pf.arm(queue), Err(QmError::WrongQueueState(_))));
    }
    assert_eq!((device.clock.micros(), device.silicon().taken), (now, stored));
    device.reset(&mut pf, true, true).expect("a reset that works");
    restart(&mut pf, own);
    good_jobs(&device, &mut pf, own, 10);
}

/// A function-level reset has the same time between, with a driver that lives: requests are refused until its end.
#[test]
fn qm_r04_a_request_between_the_two_halves_of_a_function_level_reset_is_refused() {
    let device = Device::new(0);
    let mut pf = device.physical();
    let own = queue(&mut pf);
    pf.prepare_function_reset().expect("a started function");
    let stored = device.silicon().taken;
    assert_eq!(pf.submit(own, &[0; 32]), Err(QmError::WrongQueueState(QpState::Init)));
    assert_eq!(pf.start_queue(own), Err(QmError::Resetting));
    assert_eq!(device.silicon().taken, stored, "no doorbell");
}

/// An error before the platform's reset goes with it; one after it is told when the device runs again. Either way there is one reset for one error.
#[test]
fn qm_r05_an_error_that_comes_during_a_reset_is_answered_once_and_not_lost() {
    for is_late in [false, true] {
        let device = Device::new(0);
        let mut pf = device.physical();
        let own = queue(&mut pf);
        pf.submit(own, &[0; 32]).expect("room");
        device.silicon().write(0, 0x10_000c, 1 << 6);
        assert_eq!(pf.handle_abnormal().needs_reset, 1 << 6);
        let platform = device.platform();
        let (early, late) = (device.clone(), device.clone());
        let mut quiesce = move || {
            if !is_late {
                early.silicon().write(0, 0x10_000c, 1 << 5);
            }
            true
        };
        let mut initialise = move || {
            if is_late {
                late.silicon().write(0, 0x10_000c, 1 << 5);
            }
            true
        };
        pf.controller_reset(&mut device.around(&mut quiesce, &mut initialise, &platform)).expect("a reset");
        assert_eq!(device.silicon().resets, 1);
        assert_eq!(pf.handle_abnormal().needs_reset, if is_late { 1 << 5 } else { 0 });
        if is_late {
            device.reset(&mut pf, true, true).expect("a reset of its own");
            assert_eq!(pf.handle_abnormal().errors, 0);
        }
        restart(&mut pf, own);
        good_jobs(&device, &mut pf, own, 100);
    }
}

/// Transactions that a hundred jobs need.
fn work(device: &Device, driver: &mut Driver, queue: QueueId) -> usize {
    device.port.take_log();
    good_jobs(device, driver, queue, 100);
    device.port.take_log().len()
}

/// 1,000 in the long form (`SOC_LONG`).
#[test]
fn qm_r06_reset_after_reset_under_load_loses_and_leaks_nothing() {
    let device = Device::new(2);
    let (mut pf, vfs) = device.with_vfs(2);
    let queues = [queue(&mut pf), queue(&mut pf)];
    let theirs = queue(&mut vfs[0].borrow_mut());
    let before = work(&device, &mut pf, queues[0]);
    let (buffers, available) = (device.dma.live_buffers(), pf.available());
    let rounds = if std::env::var_os("SOC_LONG").is_some() { 1000 } else { 40 };
    let mut random = 1_u32;
    for round in 0..rounds {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (bit, finished) = ([0, 1, 2, 4, 5, 6][(random >> 16) as usize % 6], (random >> 24) as usize % 6);
        for queue in queues {
            for tag in 0..5 {
                pf.submit(queue, &[tag; 32]).expect("room");
            }
        }
        vfs[0].borrow_mut().submit(theirs, &[0; 32]).expect("room");
        for _ in 0..finished {
            let s = &mut *device.silicon();
            if let Some(task) = s.model.next_task(&mut s.port) {
                s.model.complete(&task, &mut s.port).expect("the bus is well");
            }
        }
        device.silicon().write(0, 0x10_000c, 1 << bit);
        assert_eq!(pf.handle_abnormal().needs_reset, 1 << bit);
        // Whoever owns both drivers tells it: a virtual function cannot see that the bus is frozen, and would wait for its queue.
        vfs[0].borrow_mut().note_frozen_bus();
        let reset = device.reset(&mut pf, true, true).expect("a reset");
        assert_eq!((reset.silent_vfs, device.silicon().resets), (0, round + 1));
        let mut ended = 0;
        for queue in queues {
            while matches!(pf.poll_completion(queue, &mut [0; 32]), Ok(Some(_))) {
                ended += 1;
            }
            let cancelled = cancel(&mut pf, queue).len();
            ended += cancelled;
            pf.start_queue(queue).expect("start");
        }
        assert_eq!(ended, 10, "round {round}: every request ended once");
        assert_eq!((device.dma.live_buffers(), pf.available()), (buffers, available), "round {round}");
        let mut vf = vfs[0].borrow_mut();
        while matches!(vf.poll_completion(theirs, &mut [0; 32]), Ok(Some(_))) {}
        restart(&mut vf, theirs);
    }
    let after = work(&device, &mut pf, queues[0]);
    assert!(after * 20 <= before * 21, "{before} transactions before, {after} after");
    good_jobs(&device, &mut vfs[0].borrow_mut(), theirs, 100);
    assert_eq!(device.silicon().model.take_violation(), None);
}

/// All that a driver stores: bring-up, virtual functions, queues, requests, inspection, removal. What fails, fails; nothing may hang or panic.
fn traffic(device: &Device) -> Result<(), QmError> {
    let (registers, pages) = (device.window(0, Bar::Bar2), Some(device.window(0, Bar::Bar4)));
    let mut driver: Driver = Qm::new(device.parameters(4), registers, pages, device.clock.clone(), device.dma.clone());
    driver.set_base_rates([750, 140]);
    driver.initialise()?;
    driver.start()?;
    driver.enable_vfs(2, &device.config)?;
    driver.set_qos(1, 300)?;
    for _ in 0..2 {
        let queue = driver.get_queue(None)?;
        driver.start_queue(queue)?;
        driver.arm(queue)?;
        for tag in 0..3 {
            driver.submit(queue, &[tag; 32])?;
        }
        device.silicon().run();
        while driver.poll_completion(queue, &mut [0; 32])?.is_some() {}
        driver.inspect_queue(queue)?;
        driver.stop_queue(queue)?;
        driver.put_queue(queue);
    }
    driver.write_back_contexts()?;
    driver.disable_vfs(&device.config, |_| false)?;
    driver.shutdown()
}

/// A reset that nobody told the driver of, behind each of its stores in turn: registers are as after power-on, no queue and no context is left, and a new
/// driver finds a device like any other.
#[test]
fn qm_r07_a_reset_at_every_point_of_register_traffic_leaves_no_residue() {
    let fresh: Vec<(u64, u32)> = {
        let device = Device::new(2);
        let mut s = device.silicon();
        register_offsets().map(|offset| (offset, s.read(0, offset))).collect()
    };
    let whole = Device::new(2);
    traffic(&whole).expect("undisturbed, it works");
    let points = whole.silicon().taken;
    assert!(points > 150, "{points}");
    for point in 1..=points {
        let device = Device::new(2);
        device.silicon().strike = Some(point);
        // How far it came is not the question.
        let _ = traffic(&device);
        {
            let mut s = device.silicon();
            assert_eq!(s.struck.len(), fresh.len(), "point {point}");
            for (found, expected) in s.struck.iter().zip(&fresh) {
                assert_eq!(found, expected, "point {point}");
            }
            let s = &mut *s;
            s.strike = None;
            s.model.reset();
            assert_eq!(s.model.running_queues(), 0);
        }
        // What PCI software does with functions whose driver is gone.
        device.config.write32(0x148, 0);
        let mut next = device.physical();
        for qn in 0..4 {
            assert_eq!(next.dump_context(MailboxCommand::SQC, qn), Ok([0; 8]), "point {point}");
            assert_eq!(next.dump_context(MailboxCommand::CQC, qn), Ok([0; 8]), "point {point}");
        }
        let own = queue(&mut next);
        good_jobs(&device, &mut next, own, 3);
    }
}

/// A core dies with a request, on the way back from one, or with none: other queues go on as long as a core is left, the request ends with the reset that
/// the part's timeout demands, and then all queues are there again.
#[test]
fn sy_e01_a_core_that_dies_costs_its_request_and_nothing_else() {
    for (dies_in, bit) in [("a job", 5), ("its write-back", 6), ("no job", 4)] {
        let device = Device::new(0);
        let mut pf = device.physical();
        let (own, neighbour) = (queue(&mut pf), queue(&mut pf));
        let available = pf.available();
        pf.submit(own, &[1; 32]).expect("room");
        let task = {
            let s = &mut *device.silicon();
            match dies_in {
                "no job" => None,
                _ => s.model.next_task(&mut s.port),
            }
        };
        let ring = Iova(pf.dump_context(MailboxCommand::SQC, own.0).map(|words| u64::from(words[1])).expect("a context"));
        if dies_in == "its write-back" {
            // The entry's way back waits for ever.
            device.port.set_rule(ring, Some(PageRule::Stall(7)));
            let s = &mut *device.silicon();
            assert_eq!(s.model.complete(&task.expect("a task"), &mut s.port), Ok(Completion::Parked));
        }
        if task.is_some() {
            good_jobs(&device, &mut pf, neighbour, 20);
        }
        device.port.set_rule(ring, None);
        device.silicon().write(0, 0x10_000c, 1 << bit);
        assert_eq!(pf.handle_abnormal().needs_reset, 1 << bit, "{dies_in}");
        // What the dead core holds goes when its power does: the bus is free by then, or the reset says that it is not.
        if let Some(task) = task {
            let s = &mut *device.silicon();
            s.model.resume(hal::StallTag { stream: task.stream, stag: 7 }, Verdict::Abort, &mut s.port);
            s.model.abandon(&task);
        }
        let reset = device.reset(&mut pf, true, true).expect("a reset");
        assert_eq!(reset.cancelled, 1, "{dies_in}");
        assert_eq!(pf.available(), available);
        for queue in [own, neighbour] {
            restart(&mut pf, queue);
            good_jobs(&device, &mut pf, queue, 100);
        }
    }
}

/// No core is left: nothing drains, so the reset cannot be made safe. Users are told to stop, nobody gets a queue, and the driver answers all the same;
/// when power has taken the cores' state the next reset brings everything back.
#[test]
fn sy_e02_without_any_core_users_are_told_and_the_driver_lives() {
    let device = Device::new(0);
    let mut pf = device.physical();
    let queues = [queue(&mut pf), queue(&mut pf)];
    for queue in queues {
        pf.submit(queue, &[1; 32]).expect("room");
    }
    let tasks: Vec<_> = {
        let s = &mut *device.silicon();
        core::iter::from_fn(|| s.model.next_task(&mut s.port)).collect()
    };
    assert_eq!(tasks.len(), 2, "each core has one, and dies");
    assert_eq!(pf.stop_queue(queues[0]).map_err(QmError::queue_error), Err(hal::QueueError::TimedOut), "a stop has an end");
    device.silicon().write(0, 0x10_000c, 1 << 5);
    let failure = device.reset(&mut pf, true, true).expect_err("the bus is not drained");
    assert_eq!(failure.step, ResetStep::BusShutdown);
    assert_eq!((pf.available(), pf.get_queue(None).is_err()), (0, true), "nothing is handed out");
    assert!(queues.iter().all(|queue| pf.queue_state(*queue) == QpState::Stopping), "and no memory is taken back");
    assert_eq!(pf.handle_abnormal().needs_reset, 1 << 5, "the driver still answers");
    for task in &tasks {
        device.silicon().model.abandon(task);
    }
    assert_eq!(device.reset(&mut pf, true, true).expect("a reset").cancelled, 2);
    for queue in queues {
        restart(&mut pf, queue);
        good_jobs(&device, &mut pf, queue, 100);
    }
}

/// What a process can write: entries of any content, doorbells of any value, completions never taken. None of it is an error that resets others.
#[test]
fn sy_m04_no_request_and_no_doorbell_of_a_process_resets_the_controller() {
    let device = Device::new(0);
    let mut pf = device.physical();
    let (victim, hostile) = (queue(&mut pf), queue(&mut pf));
    let mut state = 7_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut memory = Box::new(EngineMemory::new());
    let mut restarts = 0;
    for _ in 0..1500 {
        let mut sqe: [u32; 32] = core::array::from_fn(|_| random() as u32);
        // Often an entry that the engine takes further: known types, small lengths, addresses of memory.
        if random() % 4 != 0 {
            sqe[4] %= 0x4000;
            sqe[7] = 3 << 28 | sqe[7] & 0x0e00_0000;
            sqe[9] = [2, 3, 1, 7][random() as usize % 4] | (sqe[9] & 1) << 8;
            sqe[14] %= 0x4000;
            for low in [18, 20, 22, 24] {
                (sqe[low], sqe[low + 1]) = (super::machine::RAM as u32 + sqe[low] % 0xf_0000, 0);
            }
        }
        if pf.submit(hostile, &sqe).is_err() {
            // It never took its completions: the device has halted the queue, and its owner opens another one.
            pf.stop_queue(hostile).expect("a halted queue stops");
            restart(&mut pf, hostile);
            restarts += 1;
            continue;
        }
        let s = &mut *device.silicon();
        while let Some(mut task) = s.model.next_task(&mut s.port) {
            let direction = if random() % 2 == 0 { Direction::Compress } else { Direction::Decompress };
            let who = hal::Requester { stream: task.stream, substream: None, privileged: false };
            let mut job = s.zip.accept(task.sqe, direction, who);
            task.sqe = loop {
                match job.step(&mut s.port, &mut memory) {
                    Step::Progress => {}
                    Step::Stalled(_) => unreachable!("no page of this test stalls"),
                    Step::Done(sqe) => break sqe,
                }
            };
            s.zip.retire(&job);
            let _ = s.model.complete(&task, &mut s.port);
        }
        let page = u64::from(hostile.0) * 0x1_0000;
        s.store(0, Bar::Bar4, page + (random() & 0xfff8), 8, random() & 0x0001_0fff_ffff_1fff);
        assert!(!s.zip.has_abnormal_interrupt());
    }
    assert!(restarts > 10, "{restarts}");
    assert_eq!(pf.handle_abnormal().needs_reset, 0);
    assert_eq!(device.silicon().resets, 0);
    good_jobs(&device, &mut pf, victim, 100);
}
