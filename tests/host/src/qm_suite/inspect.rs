//! Debug access: registers and what changed in them, contexts decoded, counters.

use hal::{QueueId, SubstreamId};
use qm_driver::{Clear, QmError, QmState, QpState};
use qm_spec::QmVersion;

use super::machine::{DMA_BASE, Machine, config};
use super::many::{self, Device};

#[test]
fn qm_a_queue_in_the_middle_of_its_work_is_shown_from_both_sides() {
    for version in [QmVersion::V2, QmVersion::V3] {
        let machine = Machine::new(config(version, 8, 16, 8));
        let mut driver = machine.started();
        let queue = driver.get_queue(Some(SubstreamId(0x51))).unwrap();
        driver.set_alg_type(queue, 1).unwrap();
        driver.start_queue(queue).unwrap();
        for tag in 0..5 {
            driver.submit(queue, &[tag; 32]).unwrap();
        }
        for _ in 0..3 {
            let mut s = machine.silicon();
            let task = s.take().unwrap();
            s.give_back(task);
        }
        driver.poll_completion(queue, &mut [0; 32]).unwrap();
        let report = driver.inspect_queue(queue).unwrap();
        assert_eq!((report.queue, report.state, report.outstanding), (queue, QpState::Started, 4));
        assert_eq!((report.submitted(), report.unconsumed()), (2, 2), "5 sent, 3 done, 1 taken");
        // Version 2 has no enable bit and 1,024 entries.
        let (depth, enabled) = if version == QmVersion::V3 { (8, true) } else { (1024, false) };
        let sqc = report.sqc.fields;
        assert_eq!((sqc.head, sqc.tail, sqc.depth_entries, sqc.log2_sqe_bytes), (3, 5, depth, 7));
        assert_eq!((sqc.pasid, sqc.pasid_enable, sqc.cqn, sqc.alg_type, sqc.order), (0x51, enabled, 0, 1, 1));
        assert_eq!(report.sqc.words[0], 0x0005_0003);
        assert_eq!(report.sqc.words[5], if enabled { 0x0080_0051 } else { 0x51 });
        assert_eq!(report.cqc.words[0], 0x0003_0001);
        let cqc = report.cqc.fields;
        assert_eq!((cqc.head, cqc.tail, cqc.depth_entries, cqc.phase, cqc.c_flag), (1, 3, depth, true, false));
        assert!(sqc.base.0 >= DMA_BASE && cqc.base.0 == sqc.base.0 + u64::from(depth) * 128);
        // One that nobody has.
        let free = driver.inspect_queue(QueueId(3)).unwrap();
        assert_eq!((free.state, free.sqc.words, free.submitted()), (QpState::Free, [0; 8], 0));
        assert_eq!(driver.inspect_queue(QueueId(4)), Err(QmError::NoSuchQueue));
    }
}

#[test]
fn qm_a_function_shows_its_event_queues_and_counts_its_queues() {
    let machine = Machine::v3(8);
    let mut driver = machine.driver();
    driver.initialise().unwrap();
    assert_eq!(driver.inspect_function(), Err(QmError::WrongFunctionState(QmState::Initialised)));
    driver.start().unwrap();
    let queue = machine.queue(&mut driver);
    driver.get_queue(None).unwrap();
    for tag in 0..3 {
        driver.submit(queue, &[tag; 32]).unwrap();
        machine.silicon().run();
        driver.poll_completion(queue, &mut [0; 32]).unwrap();
        driver.arm(queue).unwrap();
    }
    // The queue came armed and was armed twice before a completion: three events, of which none has been looked at.
    let report = driver.inspect_function().unwrap();
    assert_eq!((report.state, report.queues, report.heads), (QmState::Started, [2, 1, 1, 0], [0, 0]));
    assert_eq!((report.eqc.fields.head, report.eqc.fields.tail, report.eqc.fields.depth_entries), (0, 3, 16));
    assert_eq!(report.eqc.words[6], 0x0001_000f);
    assert_eq!((report.aeqc.fields.tail, report.aeqc.fields.depth_entries), (0, 8));
    driver.handle_eq(|_| {});
    let report = driver.inspect_function().unwrap();
    assert_eq!((report.eqc.fields.head, report.heads[0]), (3, 3));
}

#[test]
fn qm_counters_say_what_happened_and_clear_when_told() {
    let device = Device::new(1);
    let mut pf = device.physical();
    pf.device_counters(0, Clear::OnRead).unwrap();
    let own = many::queue(&mut pf);
    many::good_jobs(&device, &mut pf, own, 10);
    let counters = pf.device_counters(0, Clear::No).unwrap();
    assert_eq!((counters.sent, counters.written_back, counters.finished), (10, 10, 10));
    assert_eq!((counters.mailboxes, counters.doorbells), (2, 20), "two contexts; ten tails, ten heads");
    assert_eq!((counters.written[0], counters.completion_errors, counters.ecc), (10, 0, [0, 0]));
    assert_eq!(pf.device_counters(0, Clear::OnRead), Ok(counters), "reading changes nothing");
    let after = pf.device_counters(0, Clear::No).unwrap();
    assert_eq!((after.sent, after.mailboxes, after.doorbells), (0, 0, 0));
    assert_eq!(pf.device_counters(64, Clear::No), Err(QmError::Invalid));
    pf.enable_vfs(1, &device.config).unwrap();
    let vf = device.virtual_function(1);
    assert_eq!(vf.device_counters(1, Clear::No), Err(QmError::Invalid), "the physical function's to ask");
    assert!(pf.device_counters(1, Clear::No).unwrap().mailboxes >= 4);
}

#[test]
fn qm_r10_the_difference_of_two_moments_names_registers() {
    let device = Device::new(0);
    let pf = device.physical();
    let before = pf.snapshot();
    device.silicon().write(0, 0x10_000c, 1 << 5);
    let after = pf.snapshot();
    let changed: Vec<_> = before.differences(&after).map(|d| (d.register.name, d.before, d.after)).collect();
    assert_eq!(changed, [("ABNORMAL_INT_SOURCE", 0, 1 << 5), ("ABNORMAL_INT_STATUS", 0, 1 << 5)]);
    assert!(before.registers().count() > 100, "every named register");
}
