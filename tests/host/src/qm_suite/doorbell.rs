//! QM-D: doorbells, as an attacker may ring them.

use hal::Pa;
use qm_model::{Bar, Completion};
use qm_spec::QmVersion;

use super::machine::*;

const SQ_INVALID: u32 = 1 << 9;
const CQ_INVALID: u32 = 1 << 8;
const RANDOM_INVALID: u32 = 1 << 12;

fn bare(version: QmVersion) -> Machine {
    let machine = Machine::new(config(version, 4, 8, 4));
    machine.bare();
    for qn in 0..3 {
        machine.bare_queue(qn, 4, false);
    }
    machine
}

fn views(machine: &Machine) -> Vec<qm_model::QueueView> {
    (0..QUEUES as u16).map(|qn| machine.silicon().model.queue_view(qn).unwrap()).collect()
}

#[test]
fn qm_d01_golden_doorbells_move_what_they_name() {
    let machine = bare(QmVersion::V3);
    let mut s = machine.silicon();
    // Rows 13 to 15 with queue 1: SQ tail 2, then CQ head 1 after one completion.
    s.ring(0x1000, 0x0000_0002_0000_0001);
    assert_eq!(s.model.queue_view(1).unwrap().sq_tail, 2);
    let task = s.take().unwrap();
    s.give_back(task);
    s.ring_page(1, 0x0000_0001_0000_1001);
    let view = s.model.queue_view(1).unwrap();
    assert_eq!((view.sq_head, view.cq_tail, view.cq_head), (1, 1, 1));
    assert_eq!((s.read(0x10_4180), s.read(0x10_4184)), (0x1001, 1), "the last doorbell is kept for debuggers");
}

#[test]
fn qm_d02_a_bad_index_halts_its_queue_and_no_other() {
    // Tail at the depth, past it, and such that it passes the head.
    for (first, bad) in [(0, 4u16), (0, 5), (0, 0xffff), (2, 1), (3, 2), (3, 0)] {
        let machine = bare(QmVersion::V3);
        let mut s = machine.silicon();
        if first != 0 {
            s.ring_page(1, sq_doorbell(1, first));
        }
        let others: Vec<_> = [0, 2].map(|qn| s.model.queue_view(qn).unwrap()).into();
        s.ring_page(1, sq_doorbell(1, bad));
        let view = s.model.queue_view(1).unwrap();
        assert!(view.halted && !view.running, "tail {first} then {bad}");
        assert_eq!(s.read(0x10_0000), SQ_INVALID);
        assert_eq!([0, 2].map(|qn| s.model.queue_view(qn).unwrap()), others[..]);
        assert!(s.take().is_none(), "what had been submitted does not run any more");
        drop(s);
        assert_eq!(machine.words::<1>(RAM + 0x100), [0x0005_0001], "asynchronous event: type 2, queue 1, phase 1");
        assert_eq!(machine.vectors(), [1], "AEQ only: bits 8 and 9 belong to no class");
    }
}

#[test]
fn qm_d02_a_bad_completion_index_halts_its_queue() {
    for bad in [1u16, 2, 3, 4, 0xffff] {
        let machine = bare(QmVersion::V3);
        let mut s = machine.silicon();
        s.ring_page(1, cq_doorbell(1, bad, true));
        assert!(s.model.queue_view(1).unwrap().halted, "head {bad} of an empty ring");
        assert_eq!(s.read(0x10_0000), CQ_INVALID);
    }
}

#[test]
fn qm_d02_repeating_a_doorbell_is_harmless() {
    let machine = bare(QmVersion::V3);
    let mut s = machine.silicon();
    for _ in 0..5 {
        s.ring_page(1, sq_doorbell(1, 3));
    }
    assert_eq!(s.run(), 3);
    for _ in 0..5 {
        s.ring_page(1, cq_doorbell(1, 3, false));
    }
    assert_eq!(s.read(0x10_0000), 0);
    // Row 20: looking at the queue again does not move its tail.
    s.ring(0x1000, 0x0001_0000_0000_0001);
    let view = s.model.queue_view(1).unwrap();
    assert_eq!((view.running, view.sq_tail), (true, 3));
}

#[test]
fn qm_d03_random_data_must_match_the_context() {
    let machine = bare(QmVersion::V3);
    machine.put_words(RAM + 0x1040, &[0, Machine::sq_at(1) as u32, 0, 0x7003, 0x5a, 0, 0x0010_0001, 0]);
    let mut s = machine.silicon();
    s.write(0x10_00f4, RANDOM_INVALID);
    s.write(0x10_0004, !RANDOM_INVALID);
    assert_eq!(s.command(qm_spec::Mailbox::decode(0x0001_2000 | (RAM + 0x1040) << 32, 0)).0, 0);
    s.ring_page(1, sq_doorbell(1, 1));
    assert_eq!(s.read(0x10_0008), RANDOM_INVALID);
    assert_eq!(s.model.queue_view(1).unwrap().sq_tail, 0);
    assert!(s.model.queue_view(1).unwrap().running, "the doorbell is dropped, the queue is not");
    // Row 19's random data.
    s.ring_page(1, 0x0000_0001_005a_0001);
    assert_eq!(s.model.queue_view(1).unwrap().sq_tail, 1);
    drop(s);
    assert_eq!(machine.vectors(), [3]);
}

#[test]
fn qm_d04_a_doorbell_to_a_queue_that_does_not_run_has_no_effect() {
    let machine = bare(QmVersion::V3);
    let before = views(&machine);
    for qn in [3u16, 4, 7, 8, 100, 1023] {
        for (word, bit) in [(sq_doorbell(qn, 1), SQ_INVALID), (cq_doorbell(qn, 0, true), CQ_INVALID)] {
            let mut s = machine.silicon();
            s.ring(0x1000, word);
            assert_eq!(s.read(0x10_0000), bit, "queue {qn}");
            s.write(0x10_0000, bit);
        }
    }
    assert_eq!(views(&machine), before);
    let mut s = machine.silicon();
    assert_eq!(s.command(qm_spec::Mailbox::decode(0x0001_2008, 0)).0, 0, "row 27: STOP_QP of queue 1");
    s.ring_page(1, sq_doorbell(1, 1));
    assert_eq!(s.read(0x10_0000), SQ_INVALID, "stopped");
    assert!(s.take().is_none());
}

/// The silicon tries the short way of a store to a queue's page first. Whatever the store is, that must come to the same as the long way alone.
#[test]
fn qm_d05_the_short_way_of_a_doorbell_is_the_long_way() {
    let mut random = 1u64;
    let mut any = |below: u64| {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (random >> 33) % below
    };
    let (mut taken, mut runs) = (0, 0);
    // An impossible index halts a queue for good: many short lives.
    let (mut short, mut long) = (bare(QmVersion::V3), bare(QmVersion::V3));
    for round in 0..20_000 {
        if round % 40 == 0 {
            assert_eq!(short.vectors(), long.vectors());
            (short, long) = (bare(QmVersion::V3), bare(QmVersion::V3));
        }
        let page = any(5);
        // Mostly the page's own queue and a plausible word, so that queues stay alive; now and then anything.
        let queue = if any(4) == 0 { any(6) } else { page };
        let index = if any(200) == 0 { any(0x1_0000) } else { any(4) };
        let mut word = queue | any(2) << 12 | index << 32;
        if any(50) == 0 {
            word ^= 1 << any(64);
        }
        let offset = page * 0x1_0000 + if any(50) == 0 { any(0x2000) * 8 } else { 0x1000 };
        let bytes = if any(50) == 0 { 4 } else { 8 };
        {
            let mut s = short.silicon();
            let Silicon { model, port } = &mut *s;
            if model.ring_submission(offset, bytes, word) || model.ring_completion(offset, bytes, word) {
                taken += 1;
            } else {
                model.mmio_write(Bar::Bar4, offset, bytes, word, port);
            }
        }
        {
            let mut s = long.silicon();
            let Silicon { model, port } = &mut *s;
            model.mmio_write(Bar::Bar4, offset, bytes, word, port);
        }
        assert_eq!(views(&short), views(&long), "round {round}: page {page}, word {word:#018x}");
        let next = short.silicon().take();
        assert_eq!(next.as_ref().map(|task| (task.qn, task.sq_index)), long.silicon().take().as_ref().map(|task| (task.qn, task.sq_index)));
        if let Some(task) = next {
            runs += 1;
            short.silicon().give_back(task);
            long.silicon().give_back(task);
        }
    }
    assert!(taken > 2_000 && runs > 1_000, "{taken} stores took the short way, {runs} requests ran");
}

/// A process holds queue 1's page. Whatever it stores there, at any offset and width, only queue 1 may react.
#[test]
fn qm_d05_a_page_rings_only_its_own_queue() {
    let machine = bare(QmVersion::V3);
    let others = |machine: &Machine| [0, 2, 3, 4].map(|qn| machine.silicon().model.queue_view(qn).unwrap());
    let before = others(&machine);
    for foreign in [0u16, 2, 3, 4, 8, 1023] {
        let mut s = machine.silicon();
        s.ring_page(1, sq_doorbell(foreign, 1));
        assert_eq!(s.read(0x10_0000), SQ_INVALID, "SQ doorbell of queue {foreign} in page 1");
        s.write(0x10_0000, SQ_INVALID);
        s.ring_page(1, cq_doorbell(foreign, 0, true));
        assert_eq!(s.read(0x10_0000), CQ_INVALID, "CQ doorbell of queue {foreign} in page 1");
        s.write(0x10_0000, CQ_INVALID);
        assert!(s.take().is_none(), "nothing runs");
    }
    let mut random = 1u64;
    for offset in (0..0x1_0000).step_by(4) {
        for bytes in [4u8, 8] {
            for _ in 0..4 {
                random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                let mut s = machine.silicon();
                let Silicon { model, port } = &mut *s;
                model.mmio_write(Bar::Bar4, 0x1_0000 + offset, bytes, random, port);
            }
        }
    }
    assert_eq!(others(&machine), before);
    assert!(machine.silicon().take().is_none_or(|task| task.qn == 1));
    assert!(machine.vectors().iter().all(|vector| *vector == 1), "its own queue's error, reported once");
    let mut s = machine.silicon();
    s.ring_page(0, sq_doorbell(0, 1));
    assert_eq!(s.take().map(|task| task.qn), Some(0), "the neighbour still works");
    assert_eq!(s.read(0x10_0000) & !(SQ_INVALID | CQ_INVALID | RANDOM_INVALID), 0, "no error that resets the controller");
}

#[test]
fn qm_d05_event_doorbells_are_not_in_a_queues_page() {
    let machine = bare(QmVersion::V3);
    machine.bare_queue(0, 4, true);
    let mut s = machine.silicon();
    s.ring_page(0, sq_doorbell(0, 1));
    s.run();
    assert_eq!(s.read(0x8), 1, "an event is pending");
    let refused = s.model.counters().doorbells_refused;
    s.ring_page(0, 0x0000_0001_0000_2000);
    s.ring(0x1000, 0x0000_0001_0000_2000);
    s.ring(0x2000, sq_doorbell(0, 2));
    s.ring_page(0, 0x0000_0000_0000_7000);
    assert_eq!(s.model.counters().doorbells_refused, refused + 4);
    assert_eq!((s.read(0x8), s.model.queue_view(0).unwrap().sq_tail), (1, 1));
}

/// Version 2 has no isolation: any queue's doorbell is in reach of whoever maps the shared page. What such a doorbell can do is bounded by the ring.
#[test]
fn qm_d05_without_isolation_there_are_no_pages() {
    let machine = bare(QmVersion::V2);
    let mut s = machine.silicon();
    assert_eq!(s.read(0x30), 0);
    assert_eq!(s.model.bar_bytes(Bar::Bar4), 0);
    s.ring(0x1000, sq_doorbell(2, 1));
    assert_eq!(s.take().map(|task| task.qn), Some(2));
}

#[test]
fn qm_d08_halves_of_a_doorbell_ring_nothing() {
    let machine = bare(QmVersion::V3);
    let before = views(&machine);
    let mut s = machine.silicon();
    let refused = s.model.counters().doorbells_refused;
    let Silicon { model, port } = &mut *s;
    for (bar, base) in [(Bar::Bar2, 0x1000), (Bar::Bar4, 0x1_1000)] {
        for (offset, bytes, value) in [(0, 4, 1u64), (4, 4, 1), (0, 2, 1), (0, 1, 1)] {
            model.mmio_write(bar, base + offset, bytes, value, port);
        }
    }
    model.mmio_write(Bar::Bar2, 0x2000, 4, 0x2000, port);
    assert_eq!(s.model.counters().doorbells_refused, refused + 9);
    assert_eq!(s.read(0x10_0000), 0);
    drop(s);
    assert_eq!(views(&machine), before);
}

#[test]
fn qm_d05_pasid_of_the_queue_goes_with_its_entries_and_rings_stay_on_the_plain_stream() {
    let machine = bare(QmVersion::V3);
    // Row 3: PASID 1 enabled, decompress; here queue 1.
    machine.put_words(RAM + 0x1040, &[0, Machine::sq_at(1) as u32, 0, 0x7003, 0, 0x0080_0001, 0x0110_0001, 0]);
    let mut s = machine.silicon();
    assert_eq!(s.command(qm_spec::Mailbox::decode(0x0001_2000 | (RAM + 0x1040) << 32, 0)).0, 0);
    machine.port.take_log();
    s.ring_page(1, sq_doorbell(1, 1));
    let task = s.take().unwrap();
    assert_eq!((task.alg_type, task.substream, task.stream), (1, Some(hal::SubstreamId(1)), STREAM));
    s.give_back(task);
    let log = machine.port.take_log();
    assert_eq!(log.len(), 3, "fetch, write-back, completion");
    assert!(log.iter().all(|(who, ..)| who.stream == STREAM && who.substream.is_none() && !who.privileged));
    let mut cqe = [0; 16];
    machine.memory.peek(Pa(Machine::cq_at(1)), &mut cqe);
    assert_eq!(cqe[8..], [0, 0, 1, 0, 0, 0, 1, 0], "row 50's form: queue 1, entry 0, phase 1");
}

/// A queue that is rung all the time, with a ring that is always full, delays another by one request at most. 10⁶ doorbells in the long form (`SOC_LONG`).
#[test]
fn qm_d07_a_flood_of_doorbells_does_not_delay_another_queue() {
    let machine = Machine::new(config(QmVersion::V3, 4, 8, 4));
    machine.bare();
    (0..2).for_each(|qn| machine.bare_queue(qn, 4, false));
    let mut s = machine.silicon();
    let doorbells = if std::env::var_os("SOC_LONG").is_some() { 1_000_000 } else { 50_000 };
    let (mut tails, mut heads) = ([3_u16, 0], [0_u16; 2]);
    let (mut ahead, mut served, mut worst) = (None, 0, 0);
    for ring in 0..doorbells {
        s.ring_page(0, sq_doorbell(0, tails[0]));
        if ring % 1000 == 0 && ahead.is_none() {
            tails[1] = (tails[1] + 1) % 4;
            s.ring_page(1, sq_doorbell(1, tails[1]));
            ahead = Some(0);
        }
        // The engine is much slower than whoever rings.
        if ring % 64 != 0 {
            continue;
        }
        let task = s.take().expect("there is always work");
        let qn = task.qn;
        let at = usize::from(qn);
        assert_eq!(s.give_back(task), Completion::Delivered);
        heads[at] = (heads[at] + 1) % 4;
        s.ring_page(qn.into(), cq_doorbell(qn, heads[at], false));
        if qn == 0 {
            tails[0] = (tails[0] + 1) % 4;
            ahead = ahead.map(|ahead| ahead + 1);
        } else {
            worst = worst.max(ahead.take().expect("it was asked"));
            served += 1;
        }
    }
    assert!(served >= doorbells / 1000 - 1 && worst <= 1, "{served} requests, at worst {worst} others first");
    assert!(!s.model.queue_view(0).expect("a queue").halted);
}
