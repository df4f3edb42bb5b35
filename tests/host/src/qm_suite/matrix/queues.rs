//! Queue errors, broken completions, lost doorbells, memory that flips: what touches one queue.

use std::cell::RefCell;
use std::rc::Rc;

use hal::{Pa, QueueId};
use qm_driver::AsyncEvent;
use qm_spec::AeqeType;

use super::rig::{DEPTH, DoorbellFault, Record, Rig, row};

fn asynchronous(rig: &Rig) -> Vec<(usize, AsyncEvent)> {
    rig.log.iter().filter_map(|record| if let Record::Async(f, event) = record { Some((*f, *event)) } else { None }).collect()
}

/// Nobody but queue 0 lost anything.
fn only_queue_0_suffers(rig: &Rig) {
    assert_eq!(rig.resets(), 0, "{:?}", rig.log);
    let (_, [_, errors, cancelled]) = rig.ledger.sums();
    assert!(errors + cancelled <= 3 * usize::from(DEPTH), "{errors} errors, {cancelled} cancelled: one queue's at most");
    assert!(!rig.log.iter().any(|record| matches!(record, Record::Qm(report) if report.needs_reset != 0)));
}

/// Completion ring of queue 0.
fn completions(rig: &Rig) -> std::ops::Range<u64> {
    let layout = *rig.drivers[0].0.borrow().dus_layout();
    let at = rig.queues[0].dus + layout.cq_offset() as u64;
    at..at + layout.cq_bytes() as u64
}

/// Changes the next completion of queue 0 on its way to memory.
fn next_completion(rig: &Rig, change: impl Fn(&mut [u8]) -> bool + 'static) {
    let range = completions(rig);
    let mut done = false;
    rig.device.port.tamper(Some(Box::new(move |at, data| {
        if done || !range.contains(&at) {
            return true;
        }
        done = true;
        change(data)
    })));
}

#[test]
fn fm_aeq_0_cq_overflow() {
    row(
        |rig| {
            // A process that submits on and on, and does not look.
            rig.queues[0].asleep = true;
            for _ in 0..12 {
                rig.submit_anyway(0);
                let mut silicon = rig.device.silicon();
                rig.cores.borrow_mut().run(&mut silicon);
            }
            rig.serve();
            assert_eq!(asynchronous(rig), [(0, AsyncEvent::CqOverflow(QueueId(rig.queues[0].qn)))]);
            rig.queues[0].asleep = false;
        },
        only_queue_0_suffers,
    );
}

#[test]
fn fm_aeq_2_cqe_error() {
    row(
        |rig| {
            let qn = rig.queues[0].qn;
            rig.ring(0, qn, u64::from(DEPTH) << 32 | u64::from(qn));
            rig.serve();
            assert_eq!(asynchronous(rig), [(0, AsyncEvent::CqeError(QueueId(qn)))]);
        },
        only_queue_0_suffers,
    );
}

#[test]
fn fm_aeq_1_eq_overflow() {
    row(
        |rig| {
            // The kernel is deaf on the physical function for as long as its event queue of 16 entries lasts, its timer stopped.
            rig.timer = 0;
            rig.lost_vectors = vec![0; 64];
            for _ in 0..20 {
                rig.turn();
                for index in 0..2 {
                    rig.submit(index);
                }
                if rig.log.iter().any(|record| matches!(record, Record::Restart(..))) {
                    break;
                }
            }
            assert_eq!(asynchronous(rig), [(0, AsyncEvent::EqOverflow)]);
            assert!(rig.log.contains(&Record::Restart(0, Ok(()))), "{:?}", rig.log);
            rig.lost_vectors.clear();
            rig.timer = 5;
        },
        |rig| {
            assert_eq!(rig.resets(), 0, "one function starts anew, the device goes on");
            let (_, [_, errors, _]) = rig.ledger.sums();
            assert_eq!(errors, 0);
        },
    );
}

#[test]
fn fm_aeq_unknown_type() {
    row(
        |rig| {
            let mut done = false;
            rig.device.port.tamper(Some(Box::new(move |_, data| {
                // An asynchronous event of type 2 becomes one of type 9.
                if !done && data.len() == 4 && data[2] >> 1 == 2 {
                    data[2] = data[2] & 1 | 9 << 1;
                    done = true;
                }
                true
            })));
            let qn = rig.queues[0].qn;
            rig.ring(0, qn, u64::from(DEPTH) << 32 | u64::from(qn));
            rig.serve();
            rig.device.port.tamper(None);
            assert_eq!(asynchronous(rig), [(0, AsyncEvent::Unknown { queue: qn, kind: AeqeType(9) })]);
        },
        only_queue_0_suffers,
    );
}

#[test]
fn fm_cqe_index_out_of_range() {
    row(
        |rig| {
            next_completion(rig, |data| {
                data[8..10].copy_from_slice(&0xfff0u16.to_le_bytes());
                true
            })
        },
        only_queue_0_suffers,
    );
}

#[test]
fn fm_cqe_phase_early() {
    row(
        |rig| {
            // The phase bit arrives, the rest is what stood there.
            next_completion(rig, |data| {
                data[..12].fill(0);
                true
            })
        },
        only_queue_0_suffers,
    );
}

#[test]
fn fm_cqe_duplicate() {
    row(
        |rig| {
            let range = completions(rig);
            let mut last = None;
            let mut done = false;
            rig.device.port.tamper(Some(Box::new(move |at, data| {
                if range.contains(&at) {
                    // The second completion names the first's entry again.
                    if let (Some(slot), false) = (last, done) {
                        data[8..10].copy_from_slice(&u16::to_le_bytes(slot));
                        done = true;
                    }
                    last = Some(u16::from_le_bytes([data[8], data[9]]));
                }
                true
            })));
        },
        only_queue_0_suffers,
    );
}

#[test]
fn fm_cqe_torn() {
    row(
        |rig| {
            // The lower half arrives at once, the half with the phase bit four turns later: nothing is taken before.
            let range = completions(rig);
            let late = Rc::new(RefCell::new(None));
            let keep = late.clone();
            rig.device.port.tamper(Some(Box::new(move |at, data| {
                if range.contains(&at) && keep.borrow().is_none() {
                    *keep.borrow_mut() = Some((at, data.to_vec()));
                    return false;
                }
                true
            })));
            rig.poll(0);
            let before = rig.queues[0].in_flight.front().copied();
            for _ in 0..4 {
                rig.turn();
                assert_eq!(rig.queues[0].in_flight.front().copied(), before, "not half a completion");
            }
            let (at, data) = late.borrow_mut().take().expect("a completion was held back");
            rig.device.port.tamper(None);
            rig.device.memory.poke(Pa(at), &data);
        },
        |rig| {
            let (_, [_, errors, cancelled]) = rig.ledger.sums();
            assert_eq!((errors, cancelled), (0, 0), "late is not lost");
        },
    );
}

#[test]
fn fm_eqe_index_out_of_range() {
    row(
        |rig| {
            let mut done = false;
            rig.device.port.tamper(Some(Box::new(move |at, data| {
                // An event entry, not a message to the interrupt frame.
                if !done && data.len() == 4 && !(0x5000_0000..0x5000_1000).contains(&at) {
                    data[..2].copy_from_slice(&0x3ffu16.to_le_bytes());
                    done = true;
                }
                true
            })));
        },
        |rig| {
            let stray: u32 = rig.drivers.iter().map(|driver| driver.0.borrow().statistics().stray_events).sum();
            assert_eq!(stray, 1, "dropped and counted");
            let (_, [_, errors, cancelled]) = rig.ledger.sums();
            assert_eq!((errors, cancelled), (0, 0));
        },
    );
}

#[test]
fn fm_write_back_reordered() {
    row(
        |rig| {
            // A completion overtakes its entry: the process reads an entry that does not say ok, and never takes it for one.
            let layout = *rig.drivers[0].0.borrow().dus_layout();
            let ring = rig.queues[0].dus..rig.queues[0].dus + layout.sq_bytes() as u64;
            let mut done = false;
            rig.device.port.tamper(Some(Box::new(move |at, _| {
                let late = !done && ring.contains(&at);
                done |= late;
                !late
            })));
        },
        |rig| {
            let (_, [_, errors, cancelled]) = rig.ledger.sums();
            assert_eq!((errors, cancelled), (1, 0), "its own request only");
        },
    );
}

fn doorbells(fault: DoorbellFault, during: impl FnOnce(&mut Rig)) {
    row(
        |rig| {
            rig.doorbells = fault;
            for index in 0..4 {
                rig.submit(index);
            }
            rig.turn();
            during(rig);
            rig.doorbells = DoorbellFault::None;
        },
        |rig| {
            let (_, [_, errors, cancelled]) = rig.ledger.sums();
            assert_eq!((errors, cancelled), (0, 0));
        },
    );
}

#[test]
fn fm_doorbell_dropped() {
    doorbells(DoorbellFault::Dropped, |_| {});
}

#[test]
fn fm_doorbell_delayed_one_second() {
    doorbells(DoorbellFault::Delayed, |rig| {
        rig.device.clock.advance(1_000_000);
        rig.deliver_doorbells();
    });
}

#[test]
fn fm_doorbell_duplicated() {
    doorbells(DoorbellFault::Doubled, |_| {});
}

#[test]
fn fm_table_flip_entry() {
    for bit in [0, 5, 9, 15] {
        row(
            |rig| {
                rig.wild = true;
                // The newest waiting entry of queue 0 points far away now.
                let queue = &rig.queues[0];
                let at = queue.dus + 128 * u64::from((queue.tail + DEPTH - 1) % DEPTH) + 28;
                let word = rig.word(at) ^ 1 << bit;
                rig.device.memory.poke(Pa(at), &word.to_le_bytes());
            },
            |rig| {
                let (_, [_, errors, cancelled]) = rig.ledger.sums();
                assert_eq!((errors, cancelled), (1, 0), "the owner's request fails, and no other");
            },
        );
    }
}

#[test]
fn fm_table_flip_context_table() {
    row(
        |rig| {
            // Contexts live inside the part: its tables in memory are written, never believed.
            for function in 0..2 {
                let driver = rig.drivers[function].0.borrow_mut();
                drop(driver);
                let base = rig.device.silicon().command(function as u8, 0x4004, 0).1;
                assert_ne!(base, 0);
                rig.device.memory.poke(Pa(base), &[0xff; 64]);
            }
        },
        |rig| {
            let (_, [_, errors, cancelled]) = rig.ledger.sums();
            assert_eq!((errors, cancelled), (0, 0));
        },
    );
}
