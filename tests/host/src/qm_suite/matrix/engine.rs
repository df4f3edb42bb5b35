//! A null engine with two cores that moves data: word 0 of an entry is the tag, words 4 and 6 say from where and to where 64 bytes go.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use hal::{DmaPort, Iova, Requester};
use qm_model::{Completion, Task};

use super::super::many::Silicon;

/// Bytes that a request moves.
pub const JOB_BYTES: usize = 64;
/// Status of a request whose memory the bus refused.
pub const STATUS_BUS: u32 = 0x80;

/// What a byte becomes.
pub const fn turned(byte: u8) -> u8 {
    byte ^ 0x5a
}

/// Cores and what they hold.
#[derive(Default)]
pub struct Engine {
    pub held: VecDeque<Task>,
    /// Cores do not finish what they hold.
    pub paused: bool,
    /// Cores that died: what they took never comes back until the device is reset.
    pub lost: Vec<Task>,
    /// The next tasks are taken by cores that die at once.
    pub dying: u32,
    /// Tags whose data were moved.
    pub moved: BTreeSet<u32>,
}

/// Shared between the test and whoever waits for the device.
pub type Cores = Rc<RefCell<Engine>>;

impl Engine {
    /// Fills the cores.
    pub fn take(&mut self, silicon: &mut Silicon) {
        while self.held.len() < 2 && !silicon.zip.is_frozen() {
            let Some(task) = silicon.model.next_task(&mut silicon.port) else { return };
            if self.dying > 0 {
                self.dying -= 1;
                self.lost.push(task);
            } else {
                self.held.push_back(task);
            }
        }
    }

    /// Finishes the oldest task; false if there is none.
    pub fn finish(&mut self, silicon: &mut Silicon) -> bool {
        let Some(mut task) = self.held.pop_front() else { return false };
        if silicon.zip.is_frozen() {
            silicon.model.abandon(&task);
            return true;
        }
        if silicon.model.may_transfer(&task) {
            let status = self.transfer(&task, silicon);
            task.sqe[1] = task.sqe[0].wrapping_add(1);
            task.sqe[3] = status;
        }
        assert_ne!(silicon.model.complete(&task, &mut silicon.port), Ok(Completion::Parked), "no page of these tests stalls");
        true
    }

    fn transfer(&mut self, task: &Task, silicon: &mut Silicon) -> u32 {
        let who = Requester { stream: task.stream, substream: task.substream, privileged: false };
        let address = |low: usize| Iova(u64::from(task.sqe[low]) | u64::from(task.sqe[low + 1]) << 32);
        let mut data = [0; JOB_BYTES];
        let done = silicon.port.read(who, address(4), &mut data).and_then(|()| {
            data = data.map(turned);
            silicon.port.write(who, address(6), &data)
        });
        match done {
            Ok(()) => {
                self.moved.insert(task.sqe[0]);
                0
            }
            Err(_) => STATUS_BUS,
        }
    }

    /// Works until nothing is left to do.
    pub fn run(&mut self, silicon: &mut Silicon) {
        if self.paused {
            return;
        }
        loop {
            self.take(silicon);
            if !self.finish(silicon) {
                return;
            }
        }
    }
}
