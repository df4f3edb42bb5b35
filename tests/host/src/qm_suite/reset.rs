//! Controller reset, function-level reset, suspension: each step failing in turn, under load, with virtual functions.

use hal::{ConfigSpace, QueueId, ResetError};
use qm_driver::{QmError, QmState, QpState, ResetStep};
use qm_model::Completion;
use qm_spec::QmVersion;

use super::many::*;
use crate::support::PageRule;

/// Puts `count` requests into a queue and runs `done` of them.
fn load(device: &Device, driver: &mut Driver, queue: QueueId, count: u32, done: usize) {
    for tag in 0..count {
        driver.submit(queue, &[tag; 32]).unwrap();
    }
    for _ in 0..done {
        let mut s = device.silicon();
        let s = &mut *s;
        let task = s.model.next_task(&mut s.port).unwrap();
        s.model.complete(&task, &mut s.port).unwrap();
    }
}

/// Where a started queue's block lies: its submission ring's base, as the device knows it.
fn block(driver: &mut Driver, queue: QueueId) -> hal::Pa {
    let context = driver.dump_context(qm_spec::MailboxCommand::SQC, queue.0).unwrap();
    hal::Pa(u64::from(context[1]) | u64::from(context[2]) << 32)
}

fn stop_words(device: &Device, driver: &Driver, base: hal::Pa) -> (u32, u32) {
    let layout = *driver.dus_layout();
    let word = |offset: usize| {
        let mut bytes = [0; 4];
        device.memory.peek(base.checked_add(offset as u64).unwrap(), &mut bytes);
        u32::from_le_bytes(bytes)
    };
    (word(layout.tx_stop_offset()), word(layout.rx_stop_offset()))
}

#[test]
fn qm_r03_every_request_ends_once_and_a_second_reset_works() {
    let device = Device::new(2);
    let (mut pf, vfs) = device.with_vfs(2);
    let own = queue(&mut pf);
    let base = block(&mut pf, own);
    let other = queue(&mut vfs[0].borrow_mut());
    for round in 1..=3 {
        load(&device, &mut pf, own, 6, 2);
        // Frozen bus: nothing drains.
        device.silicon().write(0, 0x10_000c, 1 << 0);
        assert_eq!(pf.handle_abnormal().needs_reset, 1);
        let mut done = 0;
        let mut sqe = [0; 32];
        while pf.poll_completion(own, &mut sqe).unwrap().is_some() {
            done += 1;
        }
        let reset = device.reset(&mut pf, true, true).unwrap();
        assert_eq!((done, reset.cancelled), (2, 4), "6 accepted = 2 done + 4 cancelled");
        assert_eq!(reset.silent_vfs, 0);
        assert_eq!(reset.last_words.at(0x10_0000), Some(1), "the error is in the last words");
        assert_eq!(device.silicon().resets, round);
        assert_eq!((pf.state(), pf.queue_state(own), pf.outstanding(own)), (QmState::Started, QpState::Init, 4));
        assert_eq!(pf.start_queue(own), Err(QmError::Unfinished { requests: 4 }), "nobody may wait for ever");
        // The hundred good jobs of a round end in the middle of the ring.
        assert_eq!(cancel(&mut pf, own), if round == 1 { [2, 3, 4, 5] } else { [6, 7, 0, 1] });
        assert_eq!(stop_words(&device, &pf, base), (1, 1));
        pf.start_queue(own).unwrap();
        assert_eq!(stop_words(&device, &pf, base), (0, 0));
        good_jobs(&device, &mut pf, own, 100);
        let mut vf = vfs[0].borrow_mut();
        assert_eq!(vf.queue_state(other), QpState::Init);
        assert_eq!(vf.start_queue(other), Ok(()), "its share is back");
        drop(vf);
        // Configuration space of a virtual function survives a controller reset.
        good_jobs(&device, &mut vfs[0].borrow_mut(), other, 100);
    }
}

#[test]
fn qm_r01_each_step_failing_in_turn_is_refused_and_the_next_reset_recovers() {
    use ResetStep as S;
    let cases =
        [S::QuietMessages, S::VfMemoryOff, S::BusShutdown, S::QuiesceEngine, S::MemoryOff, S::Platform, S::MemoryOn, S::InitialiseEngine];
    for step in cases {
        let device = Device::new(2);
        let (mut pf, vfs) = device.with_vfs(2);
        let own = queue(&mut pf);
        let base = block(&mut pf, own);
        load(&device, &mut pf, own, 5, 1);
        let buffers = device.dma.live_buffers();
        let mut held = None;
        match step {
            S::QuietMessages => device.config.stuck.set(Some((0x80, 1 << 16))),
            S::VfMemoryOff => device.config.stuck.set(Some((0x148, 8))),
            S::BusShutdown => {
                let s = &mut *device.silicon();
                held = s.model.next_task(&mut s.port);
            }
            S::MemoryOff | S::MemoryOn => device.config.stuck.set(Some((4, if step == S::MemoryOff { 2 } else { 0 }))),
            S::Platform => device.silicon().refuse = Some(ResetError::TimedOut),
            _ => {}
        }
        device.silicon().write(0, 0x10_000c, 1 << 2);
        let platform = device.platform();
        let config = device.config.clone();
        let mut quiesce = || {
            if step == S::MemoryOn {
                // From here on memory decode goes off, and does not come back.
                config.write32(4, 4);
                config.stuck.set(Some((4, 2)));
            }
            step != S::QuiesceEngine
        };
        let failure = pf.controller_reset(&mut device.around(&mut quiesce, &mut || step != S::InitialiseEngine, &platform)).unwrap_err();
        assert_eq!(failure.step, step);
        assert!(pf.is_isolated() && pf.state() == QmState::Resetting, "{step:?}");
        assert_eq!(pf.get_queue(None), Err(QmError::WrongFunctionState(QmState::Resetting)), "{step:?}");
        assert!(pf.submit(own, &[0; 32]).is_err());
        assert_eq!((pf.available(), stop_words(&device, &pf, base)), (0, (1, 1)), "{step:?}");
        assert_eq!(pf.shutdown(), Err(QmError::WrongFunctionState(QmState::Resetting)));
        assert_eq!(device.dma.live_buffers(), buffers, "{step:?}: nothing is freed");
        // The engine lets go of what it had: it goes nowhere.
        if let Some(task) = held {
            let s = &mut *device.silicon();
            device.port.take_log();
            assert_eq!(s.model.complete(&task, &mut s.port), Ok(Completion::Dropped));
            assert_eq!(device.port.take_log(), []);
        }
        device.config.stuck.set(None);
        device.reset(&mut pf, true, true).unwrap();
        assert!(!pf.is_isolated());
        restart(&mut pf, own);
        good_jobs(&device, &mut pf, own, 100);
        let mut vf = vfs[1].borrow_mut();
        let own = queue(&mut vf);
        good_jobs(&device, &mut vf, own, 10);
    }
}

/// A start that fails after the reset: the context block's page refuses the device.
#[test]
fn qm_r01_a_start_that_fails_leaves_the_device_isolated() {
    let device = Device::new(0);
    let mut pf = device.physical();
    // The first buffer is the context block.
    device.port.set_rule(hal::Iova(super::machine::DMA_BASE), Some(PageRule::Abort));
    let failure = device.reset(&mut pf, true, true).unwrap_err();
    assert_eq!(failure.step, ResetStep::Start);
    assert!(pf.is_isolated());
    device.port.set_rule(hal::Iova(super::machine::DMA_BASE), None);
    device.reset(&mut pf, true, true).unwrap();
    let own = queue(&mut pf);
    good_jobs(&device, &mut pf, own, 10);
}

#[test]
fn qm_v03_functions_that_do_not_answer_do_not_keep_a_reset() {
    let device = Device::new(3);
    let (mut pf, vfs) = device.with_vfs(3);
    // The second function's driver is dead.
    let dead = vfs[1].clone();
    let _held = dead.borrow_mut();
    let before = device.clock.micros();
    let reset = device.reset(&mut pf, true, true).unwrap();
    assert_eq!(reset.silent_vfs, 1 << 2);
    assert!(device.clock.micros() - before < 1_000_000, "bounded");
    let own = queue(&mut vfs[2].borrow_mut());
    good_jobs(&device, &mut vfs[2].borrow_mut(), own, 10);
}

#[test]
fn qm_r09_too_many_errors_isolate_until_the_operator_says_otherwise() {
    let device = Device::new(0);
    let mut pf = device.physical();
    pf.set_isolate_threshold(3);
    for _ in 0..3 {
        device.reset(&mut pf, true, true).unwrap();
        assert!(!pf.is_isolated());
    }
    // An hour later the earlier ones do not count.
    device.clock.advance(3_700_000_000);
    for error in 1..=4 {
        device.reset(&mut pf, true, true).unwrap();
        assert_eq!(pf.is_isolated(), error == 4);
    }
    assert_eq!((pf.get_queue(None), pf.available()), (Err(QmError::Isolated), 0));
    pf.release().unwrap();
    assert_eq!(pf.available(), 4);
    queue(&mut pf);
}

#[test]
fn a_function_level_reset_of_the_physical_function_takes_everything_and_comes_back() {
    let device = Device::new(2);
    let (mut pf, vfs) = device.with_vfs(2);
    let own = queue(&mut pf);
    load(&device, &mut pf, own, 3, 3);
    assert_eq!(pf.prepare_function_reset(), Ok(0));
    device.config.write32(0x48, 1 << 15);
    assert_eq!(device.config.read32(4) & 0xffff, 0, "configuration space is reset, too");
    assert_eq!(device.silicon().model.virtual_functions(), 0);
    // What PCI software restores.
    device.set_up(0);
    for (at, value) in [(0x150, 2), (0x148, 9)] {
        device.config.write32(at, value);
    }
    (1..=2).for_each(|vf| device.set_up(vf));
    let platform = device.platform();
    assert_eq!(pf.finish_function_reset(&mut device.around(&mut || true, &mut || true, &platform)), Ok(0));
    restart(&mut pf, own);
    good_jobs(&device, &mut pf, own, 50);
    let queue = queue(&mut vfs[1].borrow_mut());
    good_jobs(&device, &mut vfs[1].borrow_mut(), queue, 50);
}

#[test]
fn suspension_with_queues_open_drains_them_and_resume_serves_again() {
    let device = Device::new(2);
    let mut pf = device.physical();
    let own = queue(&mut pf);
    let base = block(&mut pf, own);
    let silicon = device.silicon.clone();
    device.clock.on_relax(move || {
        silicon.borrow_mut().run();
    });
    load(&device, &mut pf, own, 5, 0);
    let platform = device.platform();
    let (mut yes, mut sure) = (|| true, || true);
    let mut around = device.around(&mut yes, &mut sure, &platform);
    pf.suspend(&mut around).unwrap();
    assert_eq!((pf.state(), stop_words(&device, &pf, base)), (QmState::Resetting, (1, 1)));
    assert_eq!(device.config.read32(4) & 2, 0);
    assert_eq!(pf.get_queue(None), Err(QmError::WrongFunctionState(QmState::Resetting)));
    pf.resume(&mut around).unwrap();
    let mut sqe = [0; 32];
    for tag in 0..5 {
        assert_eq!(pf.poll_completion(own, &mut sqe), Ok(Some(tag)), "what was drained is not lost");
        assert_eq!(sqe[1], u32::from(tag) + 1);
    }
    assert_eq!(pf.poll_completion(own, &mut sqe), Err(QmError::WrongQueueState(QpState::Init)));
    restart(&mut pf, own);
    good_jobs(&device, &mut pf, own, 50);
    pf.enable_vfs(1, &device.config).unwrap();
    assert!(pf.suspend(&mut around).is_err(), "not with virtual functions");
}

/// What freezes the bus is not what a process can cause: only the classes of a reset do, and each recovers.
#[test]
fn qm_r02_every_reset_bit_freezes_and_recovers_and_no_other_bit_does() {
    for bit in 0..15 {
        let device = Device::new(0);
        let mut pf = device.physical();
        let own = queue(&mut pf);
        let neighbour = queue(&mut pf);
        load(&device, &mut pf, own, 4, 1);
        device.silicon().write(0, 0x10_000c, 1 << bit);
        let report = pf.handle_abnormal();
        let resets = 0x6c77 >> bit & 1 == 1;
        assert_eq!(report.needs_reset != 0, resets, "bit {bit}");
        if !resets {
            assert_eq!(device.silicon().run().len(), 3, "bit {bit}: work goes on");
            good_jobs(&device, &mut pf, neighbour, 10);
            continue;
        }
        assert_eq!(device.silicon().run().len(), 0, "bit {bit}: the bus is frozen");
        // A second error while the first stands is one reset.
        device.silicon().write(0, 0x10_000c, 1 << 6);
        assert_eq!(device.reset(&mut pf, true, true).unwrap().cancelled, 3, "one had completed");
        assert_eq!(pf.handle_abnormal().errors, 0);
        for queue in [own, neighbour] {
            restart(&mut pf, queue);
            good_jobs(&device, &mut pf, queue, 100);
        }
    }
}

/// Version 2 has neither messages between functions nor STOP_QP: posted stores are flushed by a read-back, messages are masked, and after a memory
/// error the port of the engine's messages stays shut until everything is up.
#[test]
fn qm_r01_version_2_resets_in_its_own_way() {
    for bit in [2, 6] {
        let device = Device::of(QmVersion::V2, 0);
        let mut pf = device.physical();
        let own = queue(&mut pf);
        load(&device, &mut pf, own, 5, 2);
        device.silicon().write(0, 0x10_000c, 1 << bit);
        assert_eq!(pf.handle_abnormal().needs_reset, 1 << bit);
        // Only the memory error freezes the bus of this version; with the others the queue drains.
        if bit == 2 {
            assert_eq!(device.silicon().run().len(), 0);
        }
        let silicon = device.silicon.clone();
        device.clock.on_relax(move || {
            silicon.borrow_mut().run();
        });
        device.silicon().stores.clear();
        let reset = device.reset(&mut pf, true, true).unwrap();
        assert_eq!(reset.cancelled, if bit == 2 { 3 } else { 0 });
        let stores = core::mem::take(&mut device.silicon().stores);
        let of = |offset: u64| stores.iter().filter(|(at, _)| *at == offset).map(|(_, value)| *value).collect::<Vec<_>>();
        assert_eq!(of(0x10_00d8), [0x5a5a, 0x19e5]);
        let ports: &[u32] = if bit == 2 { &[0xffff_f7ff, 0xffff_ffff] } else { &[] };
        assert_eq!(of(0x30_001c), ports);
        assert_eq!(of(0x30_0104), if bit == 2 { vec![2] } else { vec![] });
        assert_eq!(device.config.read32(0x90), 0, "messages are out again");
        let mut done = 0;
        while matches!(pf.poll_completion(own, &mut [0; 32]), Ok(Some(_))) {
            done += 1;
        }
        assert_eq!(done + cancel(&mut pf, own).len(), 5);
        pf.start_queue(own).unwrap();
        good_jobs(&device, &mut pf, own, 100);
        assert_eq!(device.silicon().model.take_violation(), None);
        // Stores that never arrive: the reset is refused there, and the next one works.
        device.silicon().stuck = Some((0, 0x10_00d8, 0x19e5));
        let failure = device.reset(&mut pf, true, true).unwrap_err();
        let expected = QmError::RegisterTimeout { offset: 0x10_00d8, wanted: 0x5a5a, seen: 0x19e5 };
        assert_eq!((failure.step, failure.error), (ResetStep::QuietMessages, expected));
        device.silicon().stuck = None;
        device.reset(&mut pf, true, true).unwrap();
        restart(&mut pf, own);
        good_jobs(&device, &mut pf, own, 10);
    }
}

/// The class that a driver chooses decides whether an error is told; which class it is does not change the bit.
#[test]
fn qm_r11_every_class_tells_and_none_means_silence() {
    let device = Device::new(0);
    let mut pf = device.physical();
    for (class, offset) in [("correctable", 0x10_00ec), ("fatal", 0x10_00f0), ("non-fatal", 0x10_00f4)] {
        let mut s = device.silicon();
        s.write(0, 0x10_0004, 0);
        for other in [0x10_00ec, 0x10_00f0, 0x10_00f4] {
            s.write(0, other, if other == offset { 1 << 12 } else { 0 });
        }
        s.write(0, 0x10_000c, 1 << 12 | 1 << 3);
        drop(s);
        assert_eq!(device.vectors(), [3], "{class}");
        assert_eq!(pf.handle_abnormal().errors, 1 << 12 | 1 << 3);
        device.silicon().write(0, 0x10_000c, 1 << 3);
        assert_eq!(device.vectors(), [], "{class}: in no class");
        device.silicon().write(0, 0x10_0000, 0x7fff);
    }
}
