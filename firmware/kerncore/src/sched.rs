//! Who runs next: round robin over the ready, deadlines for the sleeping.

use alloc::collections::{BTreeSet, VecDeque};

/// A schedulable thing's number.
pub type TaskId = u32;

/// The run queue of one core. A task is running, ready, asleep until a deadline, asleep without one (then it is in no list here), or ended.
#[derive(Debug, Default)]
pub struct RunQueue {
    running: Option<TaskId>,
    ready: VecDeque<TaskId>,
    sleeping: BTreeSet<(u64, TaskId)>,
}

impl RunQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { running: None, ready: VecDeque::new(), sleeping: BTreeSet::new() }
    }

    /// The task that runs.
    pub fn running(&self) -> Option<TaskId> {
        self.running
    }

    /// Makes a task ready, behind all others. Whatever deadline it had is forgotten. A ready or running task stays as it is, so that a
    /// wake-up that comes twice, or early, is harmless.
    pub fn make_ready(&mut self, task: TaskId) {
        self.sleeping.retain(|(_, sleeper)| *sleeper != task);
        if self.running != Some(task) && !self.ready.contains(&task) {
            self.ready.push_back(task);
        }
    }

    /// The running task gives up the core but stays ready.
    pub fn preempt(&mut self) {
        if let Some(task) = self.running.take() {
            self.ready.push_back(task);
        }
    }

    /// The running task sleeps until woken, or until `deadline_ticks`; it no longer runs.
    pub fn sleep(&mut self, deadline_ticks: Option<u64>) {
        if let (Some(task), Some(at)) = (self.running.take(), deadline_ticks) {
            self.sleeping.insert((at, task));
        }
    }

    /// Forgets a task wherever it is.
    pub fn remove(&mut self, task: TaskId) {
        self.ready.retain(|other| *other != task);
        self.sleeping.retain(|(_, other)| *other != task);
        if self.running == Some(task) {
            self.running = None;
        }
    }

    /// Makes all sleepers ready whose deadline has come, earliest first, and reports each.
    pub fn expire(&mut self, now_ticks: u64, mut woken: impl FnMut(TaskId)) {
        while let Some((at, task)) = self.sleeping.first().copied().filter(|(at, _)| *at <= now_ticks) {
            self.sleeping.remove(&(at, task));
            self.ready.push_back(task);
            woken(task);
        }
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<u64> {
        self.sleeping.first().map(|(at, _)| *at)
    }

    /// True if a switch would find somebody else.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Lets the task that has waited longest run. The running one must have been preempted, put to sleep or removed before.
    ///
    /// # Panics
    /// If a task still runs.
    pub fn dispatch(&mut self) -> Option<TaskId> {
        assert!(self.running.is_none(), "dispatched over a running task");
        self.running = self.ready.pop_front();
        self.running
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn everybody_has_a_turn() {
        let mut queue = RunQueue::new();
        for task in 1..=3 {
            queue.make_ready(task);
        }
        let mut order = Vec::new();
        for _ in 0..7 {
            order.push(queue.dispatch().unwrap());
            queue.preempt();
        }
        assert_eq!(order, [1, 2, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn a_sleeper_wakes_by_event_or_by_deadline_but_once() {
        let mut queue = RunQueue::new();
        queue.make_ready(1);
        queue.make_ready(2);
        queue.dispatch();
        queue.sleep(Some(100));
        queue.dispatch();
        queue.sleep(Some(50));
        assert_eq!((queue.dispatch(), queue.next_deadline()), (None, Some(50)));
        queue.make_ready(1);
        queue.make_ready(1);
        let mut woken = Vec::new();
        queue.expire(1000, |task| woken.push(task));
        assert_eq!(woken, [2], "1 was woken by its event and has no deadline left");
        assert_eq!((queue.dispatch(), queue.has_ready()), (Some(1), true));
        queue.preempt();
        assert_eq!(queue.dispatch(), Some(2));
    }

    #[test]
    fn a_sleeper_without_deadline_wakes_only_by_event() {
        let mut queue = RunQueue::new();
        queue.make_ready(1);
        queue.dispatch();
        queue.sleep(None);
        queue.expire(u64::MAX, |_| panic!("woken by time"));
        assert_eq!(queue.dispatch(), None);
        queue.make_ready(1);
        assert_eq!(queue.dispatch(), Some(1));
    }

    #[test]
    fn waking_the_running_task_does_not_run_it_twice() {
        let mut queue = RunQueue::new();
        queue.make_ready(1);
        queue.dispatch();
        queue.make_ready(1);
        assert!(!queue.has_ready());
    }

    #[test]
    fn a_removed_task_is_nowhere() {
        let mut queue = RunQueue::new();
        for task in 1..=3 {
            queue.make_ready(task);
        }
        queue.dispatch();
        queue.sleep(Some(5));
        queue.dispatch();
        for task in 1..=3 {
            queue.remove(task);
        }
        assert_eq!((queue.running(), queue.next_deadline(), queue.dispatch()), (None, None, None));
    }
}
