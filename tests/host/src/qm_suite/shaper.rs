//! Quality of service: entries that read back, and engine work divided by them.

use qm_driver::QmError;
use qm_model::Task;

use super::many::*;

/// Keeps both functions' queues full for `tasks` tasks of 1 to 16 units each; returns the units that each got.
fn contend(device: &Device, tasks: usize, units: impl Fn(usize, &Task) -> u64) -> [u64; 3] {
    let mut work = [0u64; 3];
    for step in 0..tasks {
        let mut s = device.silicon();
        let s = &mut *s;
        let task = s.model.next_task(&mut s.port).expect("both have work");
        let units = units(step, &task);
        work[usize::from(task.function)] += units;
        s.model.charge_work(&task, units - 1);
        s.model.complete(&task, &mut s.port).unwrap();
        // The queue's user keeps it full: consume one, submit one.
        let (tail, head) = ((task.sq_index + 7) % 8, (task.sq_index + 1) % 8);
        s.store(task.function, qm_model::Bar::Bar2, 0x1000, 8, u64::from(head) << 32 | 0x1000 | u64::from(task.qn));
        let next = (tail + 1) % 8;
        s.store(task.function, qm_model::Bar::Bar2, 0x1000, 8, u64::from(next) << 32 | u64::from(task.qn));
    }
    work
}

#[test]
fn qm_v05_work_divides_as_the_rates_say() {
    for (first, second) in [(900, 100), (500, 500), (1000, 250), (100, 1)] {
        let device = Device::new(2);
        let (mut pf, vfs) = device.with_vfs(2);
        pf.set_qos(1, first).unwrap();
        pf.set_qos(2, second).unwrap();
        // Both have their queue before either submits: a wait would let the engine run.
        let queues: Vec<_> = vfs.iter().map(|vf| queue(&mut vf.borrow_mut())).collect();
        for (vf, queue) in vfs.iter().zip(queues) {
            for _ in 0..7 {
                vf.borrow_mut().submit(queue, &[1; 32]).unwrap();
            }
        }
        let work = contend(&device, 60_000, |step, task| 1 + (step as u64 * 7 + u64::from(task.function)) % 16);
        let (share, wanted) = (work[1] as f64 / (work[1] + work[2]) as f64, f64::from(first) / f64::from(first + second));
        assert!((share - wanted).abs() / wanted < 0.05, "{first}:{second} gave {work:?}");
        assert!((work[2] as f64 / (work[1] + work[2]) as f64 / (1.0 - wanted) - 1.0).abs() < 0.05, "{first}:{second} gave {work:?}");
    }
}

#[test]
fn qm_v05_who_is_alone_gets_everything_and_earns_no_debt_or_credit_by_waiting() {
    let device = Device::new(2);
    let (mut pf, vfs) = device.with_vfs(2);
    pf.set_qos(1, 100).unwrap();
    let queues: Vec<_> = vfs.iter().map(|vf| queue(&mut vf.borrow_mut())).collect();
    let a = queues[0];
    good_jobs(&device, &mut vfs[0].borrow_mut(), a, 500);
    for (vf, queue) in vfs.iter().zip(queues) {
        for _ in 0..7 {
            vf.borrow_mut().submit(queue, &[1; 32]).unwrap();
        }
    }
    let served = device.silicon().run();
    assert!(served[..8].iter().filter(|f| **f == 2).count() >= 6, "ten times the rate: {served:?}");
    assert_eq!(served.len(), 14);
}

#[test]
fn qm_v05_rates_read_back_and_bad_ones_are_refused() {
    let device = Device::new(2);
    let (mut pf, _vfs) = device.with_vfs(2);
    for qos in [1, 2, 3, 10, 11, 99, 100, 333, 500, 999, 1000] {
        pf.set_qos(1, qos).unwrap();
        let read = pf.read_shaper(1).unwrap();
        assert!(read.abs_diff(qos) <= qos / 200 + u16::from(qos > 100), "{qos}: {read}");
    }
    for (function, qos) in [(1, 0), (1, 1001), (3, 10), (64, 10), (u16::MAX, 10)] {
        assert_eq!(pf.set_qos(function, qos), Err(QmError::Invalid));
    }
    assert_eq!((pf.qos(1), pf.read_shaper(1)), (Some(1000), Ok(1000)), "as before");
    assert_eq!(device.silicon().read(0, 0x10_0164), 0x4002_32ee, "golden row 43");
}
