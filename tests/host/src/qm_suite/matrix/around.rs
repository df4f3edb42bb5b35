//! Mailbox, interrupts, resets that fail, functions that do not answer, cores that die, a CPU that stalls: what touches everybody.

use hal::ResetError;
use qm_driver::{QmState, ResetStep};
use qm_model::Violation;
use qm_spec::DoorbellCommand;
use uacce_abi::Errno;

use super::rig::{Record, Rig, row};

/// Nothing was lost at all.
fn nobody_suffers(rig: &Rig) {
    let (_, [_, errors, cancelled]) = rig.ledger.sums();
    assert_eq!((errors, cancelled, rig.resets()), (0, 0, 0), "{:?}", rig.log);
}

/// A process that opens a queue while the mailbox of function 0 reads `word` gets `errno`; afterwards it gets its queue. Deaf, the mailbox takes no
/// command meanwhile.
fn mailbox(word: u32, deaf: bool, errno: Errno) {
    row(
        |rig| {
            let before = rig.drivers[0].0.borrow().statistics().mailbox_errors;
            rig.device.silicon().stuck = Some((0, 0x300, word));
            rig.device.silicon().deaf_mailbox = deaf.then_some(0);
            assert_eq!(rig.try_open(0, 0).err(), Some(errno));
            rig.device.silicon().stuck = None;
            rig.device.silicon().deaf_mailbox = None;
            let errors = rig.drivers[0].0.borrow().statistics().mailbox_errors - before;
            assert!((1..=2).contains(&errors), "{errors} errors counted");
            // Both free queues, one of which the device may have kept.
            let queues = [rig.open(0, 0), rig.open(0, 0)];
            queues.into_iter().for_each(|queue| rig.close(queue));
        },
        nobody_suffers,
    );
}

#[test]
fn fm_mailbox_stuck_busy() {
    mailbox(0x2000, true, Errno::ETIMEDOUT);
}

#[test]
fn fm_mailbox_status() {
    mailbox(0x0200, true, Errno::EIO);
}

#[test]
fn fm_mailbox_done_for_wrong_queue() {
    mailbox(0x0003_0000, false, Errno::EIO);
}

/// Interrupts go wrong while the processes sleep until they are woken.
fn interrupts(during: impl FnOnce(&mut Rig)) {
    row(
        |rig| {
            rig.sleepy = true;
            rig.queues.iter_mut().for_each(|queue| queue.asleep = true);
            during(rig);
            // No completion later than the timer's period and a turn.
            for _ in 0..6 {
                rig.turn();
            }
            let waiting: usize = rig.queues.iter().map(|queue| queue.in_flight.len()).sum();
            assert_eq!(waiting, 0, "within the stated bound");
        },
        nobody_suffers,
    );
}

#[test]
fn fm_irq_lost() {
    interrupts(|rig| rig.lost_vectors = vec![0, 4, 0, 4]);
}

#[test]
fn fm_irq_doubled() {
    interrupts(|rig| {
        for vector in rig.device.vectors() {
            for _ in 0..2 {
                rig.interrupt((vector / 4) as usize, vector % 4);
            }
        }
    });
}

#[test]
fn fm_irq_early() {
    interrupts(|rig| {
        for function in 0..2 {
            for vector in 0..3 {
                rig.interrupt(function, vector);
            }
        }
        rig.interrupt(0, 3);
    });
}

#[test]
fn fm_irq_wrong_vector() {
    interrupts(|rig| {
        {
            let mut silicon = rig.device.silicon();
            rig.cores.borrow_mut().run(&mut silicon);
        }
        for vector in rig.device.vectors() {
            rig.interrupt((vector / 4) as usize, if vector % 4 == 0 { 1 } else { 0 });
        }
    });
}

#[test]
fn fm_irq_level_stuck() {
    interrupts(|rig| {
        let before = rig.drivers[0].0.borrow().statistics().spurious_eq_interrupts;
        for _ in 0..10_000 {
            rig.interrupt(0, 0);
        }
        let spurious = rig.drivers[0].0.borrow().statistics().spurious_eq_interrupts - before;
        assert!(spurious >= 9_990, "{spurious} counted");
    });
}

/// A reset fails at one step: stop words for all, no queue for anybody, nothing freed; the next reset works.
fn reset_step(step: ResetStep, break_it: impl Fn(&Rig), heal: impl Fn(&Rig)) {
    row(
        |rig| {
            let blocks = rig.device.dma.live_buffers();
            break_it(rig);
            rig.device.silicon().write(0, 0x10_000c, 1 << 2);
            rig.serve();
            let failed: Vec<_> =
                rig.log.iter().filter_map(|r| if let Record::Reset(Err(failure)) = r { Some(failure.step) } else { None }).collect();
            assert_eq!(failed, [step], "{:?}", rig.log);
            assert_eq!(rig.drivers[0].0.borrow().state(), QmState::Resetting);
            for function in 0..2 {
                assert!(rig.try_open(0, function).is_err(), "no queue of a device that may be in any state");
            }
            for index in 0..2 {
                assert!(!rig.submit(index), "TX-stop");
                rig.poll(index);
                assert!(rig.queues[index].dead, "RX-stop");
            }
            assert_eq!(rig.device.dma.live_buffers(), blocks, "nothing is freed");
            heal(rig);
            rig.reset();
        },
        |rig| assert_eq!(rig.resets(), 1, "{:?}", rig.log),
    );
}

#[test]
fn fm_reset_step_quiet_messages() {
    reset_step(ResetStep::QuietMessages, |rig| rig.device.config.stuck.set(Some((0x80, 1 << 16))), |rig| rig.device.config.stuck.set(None));
}

#[test]
fn fm_reset_step_vf_memory_off() {
    reset_step(ResetStep::VfMemoryOff, |rig| rig.device.config.stuck.set(Some((0x148, 8))), |rig| rig.device.config.stuck.set(None));
}

#[test]
fn fm_reset_step_bus_shutdown() {
    reset_step(ResetStep::BusShutdown, |rig| rig.device.silicon().stuck = Some((0, 0x30_0150, 1)), |rig| rig.device.silicon().stuck = None);
}

#[test]
fn fm_reset_step_quiesce_engine() {
    reset_step(
        ResetStep::QuiesceEngine,
        |rig| rig.device.silicon().stuck = Some((0, 0x30_11c4, 1)),
        |rig| rig.device.silicon().stuck = None,
    );
}

#[test]
fn fm_reset_step_memory_off() {
    reset_step(ResetStep::MemoryOff, |rig| rig.device.config.stuck.set(Some((4, 2))), |rig| rig.device.config.stuck.set(None));
}

#[test]
fn fm_reset_step_platform_fails() {
    reset_step(ResetStep::Platform, |rig| rig.device.silicon().refuse = Some(ResetError::Failed), |_| {});
}

#[test]
fn fm_reset_step_platform_times_out() {
    reset_step(ResetStep::Platform, |rig| rig.device.silicon().refuse = Some(ResetError::TimedOut), |_| {});
}

#[test]
fn fm_reset_step_initialise() {
    reset_step(ResetStep::Initialise, |rig| rig.device.silicon().stuck = Some((0, 0x10_0044, 0)), |rig| rig.device.silicon().stuck = None);
}

#[test]
fn fm_reset_step_initialise_engine() {
    reset_step(ResetStep::InitialiseEngine, |rig| rig.initialises.set(false), |rig| rig.initialises.set(true));
}

/// The driver of the virtual function is dead while its physical function resets: a bounded wait, and then its own function-level reset.
#[test]
fn fm_peer_never_answers() {
    row(
        |rig| {
            // Nobody told it: it rings an event queue that the reset took away.
            rig.excused = Some(Violation::DoorbellMisplaced { function: 1, page: None, command: DoorbellCommand::EQ });
            let dead = rig.drivers[1].clone();
            {
                let _held = dead.0.borrow_mut();
                let before = rig.device.clock.micros();
                rig.device.silicon().write(0, 0x10_000c, 1);
                rig.abnormal();
                assert!(rig.device.clock.micros() - before < 2_000_000, "bounded");
            }
            assert!(rig.log.contains(&Record::Reset(Ok(2))), "named: {:?}", rig.log);
            // The late message is still there, and brings the function back.
            rig.serve();
        },
        |rig| assert_eq!(rig.resets(), 1),
    );
}

/// A core dies with a task; the part's own timeout (bit 5) says so, and the reset ends the request once.
#[test]
fn fm_core_dies_running() {
    row(
        |rig| {
            rig.cores.borrow_mut().dying = 1;
            {
                let mut silicon = rig.device.silicon();
                let mut engine = rig.cores.borrow_mut();
                engine.run(&mut silicon);
                assert_eq!(engine.lost.len(), 1);
                silicon.write(0, 0x10_000c, 1 << 5);
                // Its bus traffic has returned: nothing of it is under way.
                for task in core::mem::take(&mut engine.lost) {
                    silicon.model.abandon(&task);
                }
            }
            rig.serve();
        },
        |rig| assert_eq!(rig.resets(), 1, "{:?}", rig.log),
    );
}

#[test]
fn fm_power_gate_during_a_job_is_refused() {
    row(
        |rig| {
            let platform = rig.device.platform();
            let (mut quiesce, mut initialise) = (|| true, || true);
            let mut around = rig.device.around(&mut quiesce, &mut initialise, &platform);
            let refused = rig.drivers[0].0.borrow_mut().suspend(&mut around);
            assert!(refused.is_err(), "virtual functions are on");
            assert_eq!(rig.drivers[0].0.borrow().state(), QmState::Started);
        },
        nobody_suffers,
    );
}

/// Every allocation that an open can make fails in turn.
#[test]
fn fm_cpu_allocation_fails() {
    row(
        |rig| {
            // All blocks are warm: what fails is the first block of a function that grows. A fresh rig has nothing left to allocate, so an open works.
            rig.device.dma.fail_after(Some(0));
            let queue = rig.open(0, 0);
            rig.close(queue);
            rig.device.dma.fail_after(None);
        },
        nobody_suffers,
    );
}

#[test]
fn fm_cpu_stalls_in_an_interrupt() {
    row(
        |rig| {
            for _ in 0..3 {
                rig.device.clock.advance(100_000);
                rig.serve();
            }
        },
        nobody_suffers,
    );
}
