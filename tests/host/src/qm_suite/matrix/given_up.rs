//! A queue that is closed while its device is dead. No row of the matrix: its PASID does not come back.

use hal::{QueueId, ResetError};
use qm_driver::{QmState, QpState};

use super::rig::Rig;

/// A process gives its queue up while the device is dead. The device keeps the queue until a reset works, and not for good; what is lost is the PASID.
#[test]
fn qm_r04_a_queue_given_up_while_its_device_is_dead_comes_back_with_it() {
    let mut rig = Rig::new();
    let (free, bonds, cut, mappings, blocks) = rig.counts();
    rig.open_all();
    rig.good_jobs(5);
    assert!(rig.submit(0));
    rig.device.silicon().refuse = Some(ResetError::Failed);
    // The bus is frozen: nothing drains.
    rig.device.silicon().write(0, 0x10_000c, 1 << 2);
    rig.serve();
    assert_eq!(rig.drivers[0].0.borrow().state(), QmState::Resetting);
    let queue = rig.queues.remove(0);
    let id = QueueId(queue.qn);
    rig.close(queue);
    assert_eq!(rig.drivers[0].0.borrow().queue_state(id), QpState::Stopping, "its memory is the device's");
    rig.reset();
    rig.settle();
    rig.good_jobs(20);
    while let Some(queue) = rig.queues.pop() {
        rig.close(queue);
    }
    rig.ledger.check();
    assert_eq!(rig.counts(), (free, bonds, cut + 1, mappings, blocks));
    rig.assert_lawful();
}
