//! QM-P: phases, wraps, order, barriers, completions of a hostile device.

use hal::{Barriers, Pa, PhysMemory};
use hal::{DmaBuffer, DmaMapper, QueueId};
use qm_driver::QmError;
use qm_spec::QmVersion;

use super::machine::*;
use crate::support::StoreRelease;

fn entry(word: u32) -> [u32; 32] {
    let mut sqe = [0; 32];
    sqe[0] = word;
    sqe[31] = !word;
    sqe
}

/// What the null engine makes of [`entry`].
fn result(word: u32) -> [u32; 32] {
    let mut sqe = entry(word);
    sqe[1] = word.wrapping_add(1);
    sqe[3] = u32::MAX;
    sqe
}

/// Pushes `count` requests through a queue, `burst` at a time, and checks each result.
fn lap(machine: &Machine, driver: &mut Driver, queue: QueueId, count: u32, burst: u32) {
    let mut sqe = [0; 32];
    let mut sent = 0;
    let mut seen = 0;
    while seen < count {
        while sent < count && sent - seen < burst {
            driver.submit(queue, &entry(0x1000 + sent)).unwrap();
            sent += 1;
        }
        assert_eq!(driver.poll_completion(queue, &mut sqe), Ok(None), "nothing has run yet: nothing may look complete");
        machine.silicon().run();
        while let Some(_slot) = driver.poll_completion(queue, &mut sqe).unwrap() {
            assert_eq!(sqe, result(0x1000 + seen), "result {seen}");
            seen += 1;
        }
        assert_eq!(seen, sent, "every request completes exactly once");
    }
    assert_eq!(driver.outstanding(queue), 0);
}

#[test]
fn qm_p01_rings_wrap_without_loss_or_repeat() {
    for depth in [2u16, 3, 4, 5, 64, 1024] {
        for version in [QmVersion::V2, QmVersion::V3] {
            if version == QmVersion::V2 && depth != 1024 {
                continue;
            }
            let machine = Machine::new(config(version, depth, 2 * depth, depth));
            let mut driver = machine.started();
            let queue = machine.queue(&mut driver);
            let requests = 3 * u32::from(depth) + 1;
            for burst in 1..=u32::from(depth - 1).min(3) {
                lap(&machine, &mut driver, queue, requests, burst);
            }
            lap(&machine, &mut driver, queue, requests, u32::from(depth) - 1);
        }
    }
}

#[test]
fn qm_p01_rings_wrap_with_a_store_buffer_that_leaks_early() {
    for seed in 0..20 {
        let machine = Machine::v3(3);
        let dma = crate::support::HostDma::with_release(&machine.memory, Pa(0x9000_0000), 0x400_0000, StoreRelease::Seeded(seed));
        let machine = Machine { dma, ..machine };
        let mut driver = machine.started();
        let queue = machine.queue(&mut driver);
        lap(&machine, &mut driver, queue, 10, 2);
    }
}

/// All interleavings of submit, run one and poll, 12 steps, depth 2 to 4: the driver's counts agree with two counters at every step.
#[test]
fn qm_p01_every_short_history_agrees_with_counters() {
    for depth in 2..=4u16 {
        let machine = Machine::v3(depth);
        let mut driver = machine.started();
        let queue = machine.queue(&mut driver);
        let mut sqe = [0; 32];
        for history in 0..3u32.pow(7) {
            let (mut sent, mut run, mut seen) = (0u32, 0u32, 0u32);
            let mut steps = history;
            for _ in 0..7 {
                match steps % 3 {
                    0 => match driver.submit(queue, &entry(sent)) {
                        Ok(_) => sent += 1,
                        Err(error) => assert_eq!((error, sent - seen), (QmError::Full, u32::from(depth) - 1)),
                    },
                    1 => {
                        let mut silicon = machine.silicon();
                        let task = silicon.take();
                        assert_eq!(task.is_some(), run < sent);
                        if let Some(task) = task {
                            silicon.give_back(task);
                            run += 1;
                        }
                    }
                    _ => {
                        let done = driver.poll_completion(queue, &mut sqe).unwrap();
                        assert_eq!(done.is_some(), seen < run);
                        if done.is_some() {
                            assert_eq!(sqe, result(seen));
                            seen += 1;
                        }
                    }
                }
                assert_eq!(u32::from(driver.outstanding(queue)), sent - seen);
                steps /= 3;
            }
            machine.silicon().run();
            while driver.poll_completion(queue, &mut sqe).unwrap().is_some() {}
        }
    }
}

#[test]
fn qm_p02_an_old_phase_bit_is_no_completion() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    let mut sqe = [0; 32];
    assert_eq!(driver.poll_completion(queue, &mut sqe), Ok(None), "zeroed ring");
    driver.submit(queue, &entry(1)).unwrap();
    assert_eq!(driver.poll_completion(queue, &mut sqe), Ok(None), "submitted, not run");
    // One lap further every slot shows phase 1, which is old by then.
    lap_without_check(&machine, &mut driver, queue, 5);
    driver.submit(queue, &entry(2)).unwrap();
    assert_eq!(driver.poll_completion(queue, &mut sqe), Ok(None), "an entry of the last lap");
}

fn lap_without_check(machine: &Machine, driver: &mut Driver, queue: QueueId, count: u32) {
    let mut sqe = [0; 32];
    for word in 0..count {
        let _ = driver.submit(queue, &entry(word));
        machine.silicon().run();
        while driver.poll_completion(queue, &mut sqe).unwrap().is_some() {}
    }
}

#[test]
fn qm_p02_nothing_of_a_completion_is_older_than_its_phase_bit() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    let mut sqe = [0; 32];
    for word in 0..13 {
        driver.submit(queue, &entry(word)).unwrap();
        assert_eq!(driver.poll_completion(queue, &mut sqe), Ok(None));
        machine.silicon().run();
        assert!(driver.poll_completion(queue, &mut sqe).unwrap().is_some());
        assert_eq!(sqe, result(word));
    }
}

/// The machine notices a driver without `dma_rmb`: switched off, the same program reads an old entry.
#[test]
fn qm_p02_a_missing_read_barrier_is_noticed_by_the_test_memory() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    let mut sqe = [0; 32];
    machine.dma.dma_rmb();
    machine.dma.break_barriers(false, true);
    driver.submit(queue, &entry(7)).unwrap();
    machine.silicon().run();
    let seen = driver.poll_completion(queue, &mut sqe);
    assert!(seen != Ok(Some(0)) || sqe != result(7));
}

#[test]
fn qm_d06_the_entry_is_visible_before_its_doorbell() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    for word in 0..9 {
        driver.submit(queue, &entry(word)).unwrap();
        let mut silicon = machine.silicon();
        let task = silicon.take().expect("the doorbell has reached the device");
        assert_eq!(task.sqe, entry(word), "what the device fetched");
        silicon.give_back(task);
        drop(silicon);
        driver.poll_completion(queue, &mut [0; 32]).unwrap();
    }
}

/// An engine that fetches while the doorbell's store is still under way sees the whole entry.
#[test]
fn qm_d06_an_engine_that_is_as_early_as_it_may_be_fetches_the_entry() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    machine.eager.set(true);
    let mut sqe = [0; 32];
    for word in 0..9 {
        driver.submit(queue, &entry(word)).unwrap();
        assert!(driver.poll_completion(queue, &mut sqe).unwrap().is_some());
        assert_eq!(sqe, result(word));
    }
}

/// The machine notices a driver without `dma_wmb`: switched off, the device fetches what stood there before.
#[test]
fn qm_d06_a_missing_write_barrier_is_noticed_by_the_test_memory() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    machine.dma.break_barriers(true, false);
    driver.submit(queue, &entry(7)).unwrap();
    assert_ne!(machine.silicon().take().unwrap().sqe, entry(7));
}

#[test]
fn qm_p03_a_completion_that_names_what_does_not_exist_is_refused() {
    let mut machine = Machine::v3(4);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    driver.submit(queue, &entry(1)).unwrap();
    let block = driver.dus_layout().cq_offset() as u64;
    // The queue's block is the last allocation; its address is what the context says.
    let sqc = driver.dump_context(qm_spec::MailboxCommand::SQC, queue.0).unwrap();
    let cq = u64::from(sqc[1]) + block;
    for (sq_head, sq_num) in [(4u16, 0u16), (0xffff, 0), (0, 1), (0, 0xffff), (0x7fff, 0x7fff)] {
        let mut bytes = [0; 16];
        bytes[8..10].copy_from_slice(&sq_head.to_le_bytes());
        bytes[10..12].copy_from_slice(&sq_num.to_le_bytes());
        bytes[14] = 1;
        machine.memory.write(Pa(cq), &bytes).unwrap();
        let mut sqe = [0x55; 32];
        assert_eq!(driver.poll_completion(queue, &mut sqe), Err(QmError::HostileCompletion { sq_head, sq_num }));
        assert_eq!(sqe, [0x55; 32], "nothing is copied");
        machine.dma.dma_rmb();
    }
}

#[test]
fn qm_p03_a_completion_of_nothing_is_refused() {
    let mut machine = Machine::v3(4);
    let mut driver = machine.started();
    let queue = machine.queue(&mut driver);
    let sqc = driver.dump_context(qm_spec::MailboxCommand::SQC, queue.0).unwrap();
    let cq = u64::from(sqc[1]) + driver.dus_layout().cq_offset() as u64;
    machine.memory.write(Pa(cq + 12), &[0, 0, 1, 0]).unwrap();
    let mut sqe = [0; 32];
    assert_eq!(driver.poll_completion(queue, &mut sqe), Err(QmError::HostileCompletion { sq_head: 0, sq_num: 0 }));
}

#[test]
fn qm_p04_depth_minus_one_is_full() {
    for depth in [2u16, 3, 64, 1024] {
        let machine = Machine::v3(depth);
        let mut driver = machine.started();
        let queue = machine.queue(&mut driver);
        for round in 0..3 {
            for word in 0..u32::from(depth) - 1 {
                driver.submit(queue, &entry(word)).unwrap();
            }
            assert_eq!(driver.submit(queue, &entry(0)), Err(QmError::Full), "depth {depth} round {round}");
            assert_eq!(driver.outstanding(queue), depth - 1);
            assert_eq!(machine.silicon().run(), usize::from(depth) - 1);
            let mut sqe = [0; 32];
            while driver.poll_completion(queue, &mut sqe).unwrap().is_some() {}
            assert_eq!(driver.outstanding(queue), 0);
        }
    }
}

#[test]
fn qm_p09_order_holds_inside_a_queue_and_queues_take_turns() {
    let machine = Machine::v3(8);
    let mut driver = machine.started();
    let queues = [machine.queue(&mut driver), machine.queue(&mut driver), machine.queue(&mut driver)];
    for word in 0..5 {
        for queue in queues {
            driver.submit(queue, &entry(word)).unwrap();
        }
    }
    let mut silicon = machine.silicon();
    for word in 0..5 {
        let tasks = [silicon.take().unwrap(), silicon.take().unwrap(), silicon.take().unwrap()];
        assert_eq!(tasks.map(|task| task.qn), [0, 1, 2]);
        assert!(tasks.iter().all(|task| task.sqe[0] == word && u32::from(task.sq_index) == word));
        assert!(silicon.take().is_none(), "one in flight per queue");
        for task in tasks.into_iter().rev() {
            silicon.give_back(task);
        }
    }
}

#[test]
fn a_mapper_gives_zeroed_memory_to_a_queue_that_was_used_before() {
    let machine = Machine::v3(4);
    let mut driver = machine.started();
    let queues: Vec<QueueId> = (0..4).map(|_| machine.queue(&mut driver)).collect();
    lap(&machine, &mut driver, queues[2], 5, 2);
    let base = u64::from(driver.dump_context(qm_spec::MailboxCommand::SQC, 2).unwrap()[1]);
    machine.run_while_waiting();
    driver.stop_queue(queues[2]).unwrap();
    driver.put_queue(queues[2]);
    assert_eq!(driver.get_queue(None), Ok(queues[2]));
    machine.dma.dma_wmb();
    let mut bytes = vec![0xff; driver.dus_layout().len_bytes()];
    machine.memory.peek(Pa(base), &mut bytes);
    assert!(bytes.iter().all(|byte| *byte == 0));
    let scratch = machine.dma.alloc(8, 8).unwrap();
    assert_ne!(scratch.device_address().0, base);
}

/// A producer's ring, the entries' phase bits and a consumer, reached from the start in up to 20 steps: every state, not a sample of histories.
#[test]
fn qm_p01_every_state_of_short_rings_within_twenty_steps() {
    use std::collections::HashSet;
    for depth in 1..=4u32 {
        let start = (qm_spec::RingCursors::at(depth, 0, 0, false, false), qm_spec::PhaseRing::new(depth).unwrap());
        let Some(producer) = start.0 else {
            assert_eq!(depth, 1, "a ring of one entry holds nothing");
            continue;
        };
        // Phases in memory, entries produced and not consumed, entries consumed whose doorbell was not rung.
        let key = |p: &qm_spec::RingCursors, c: &qm_spec::PhaseRing, memory: u8, new: u32, owed: u32| {
            (p.head(), p.tail(), p.head_wrap(), p.tail_wrap(), c.head(), c.expected_phase(), memory, new, owed)
        };
        let mut seen = HashSet::new();
        let mut edge = vec![(producer, start.1, 0u8, 0u32, 0u32)];
        for _ in 0..20 {
            let mut next = Vec::new();
            for (producer, consumer, memory, new, owed) in edge {
                let looks_new = consumer.is_new(memory >> consumer.head() & 1 == 1);
                assert_eq!(looks_new, new != 0, "depth {depth}: an entry is seen exactly when it is there");
                assert_eq!(producer.is_full(), new + owed == depth - 1, "room is what the doorbells gave back");
                let mut reach = |producer: qm_spec::RingCursors, consumer: qm_spec::PhaseRing, memory, new, owed| {
                    if seen.insert(key(&producer, &consumer, memory, new, owed)) {
                        next.push((producer, consumer, memory, new, owed));
                    }
                };
                if !producer.is_full() {
                    let (mut after, at) = (producer, producer.tail());
                    let phase = u8::from(!producer.tail_wrap());
                    after.push();
                    reach(after, consumer, memory & !(1 << at) | phase << at, new + 1, owed);
                }
                if looks_new {
                    let mut after = consumer;
                    after.advance();
                    reach(producer, after, memory, new - 1, owed + 1);
                }
                let mut after = producer;
                after.move_head(consumer.head()).expect("an honest doorbell");
                reach(after, consumer, memory, new, 0);
            }
            edge = next;
        }
        assert!(edge.is_empty() || depth == 4, "depth {depth}: all states were reached");
        assert!(seen.len() > 4 * depth as usize, "depth {depth}: {} states", seen.len());
    }
}
