//! Who runs next: in turn over the ready, as long as nobody has had much more time than the others; deadlines for the sleeping.
//!
//! Time is what a task ran, and what was spent on its behalf while another one ran: then that is not the other one's. Somebody who sleeps saves
//! nothing up. So whoever gives the core away early is not at the mercy of whoever never does, and work that is done for a task at any moment,
//! such as the faults of its devices, is bounded by the task's share.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

/// A schedulable thing's number.
pub type TaskId = u32;

/// The run queue of one core. A task is running, ready, asleep until a deadline, asleep without one (then it is in no list here), or ended.
#[derive(Debug, Default)]
pub struct RunQueue {
    running: Option<TaskId>,
    /// The running task's time is counted up to here.
    since: u64,
    ready: VecDeque<TaskId>,
    /// The task that had the core last, and is ready: it lets somebody else run first.
    gave_way: Option<TaskId>,
    sleeping: BTreeSet<(u64, TaskId)>,
    /// Ticks that each task has had: an ordering, with a beginning of its own for each that comes later.
    times: Vec<(TaskId, u64)>,
    /// The least time of those who wanted the core. It never falls.
    floor: u64,
}

impl RunQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { running: None, since: 0, ready: VecDeque::new(), gave_way: None, sleeping: BTreeSet::new(), times: Vec::new(), floor: 0 }
    }

    /// The task that runs.
    pub fn running(&self) -> Option<TaskId> {
        self.running
    }

    /// Makes a task ready, behind all others. Whatever deadline it had is forgotten. A ready or running task stays as it is, so that a
    /// wake-up that comes twice, or early, is harmless.
    pub fn make_ready(&mut self, task: TaskId, now_ticks: u64) {
        self.sleeping.retain(|(_, sleeper)| *sleeper != task);
        if self.running != Some(task) && !self.ready.contains(&task) {
            self.enter(task, now_ticks);
        }
    }

    /// Lets a task want the core, as if it had had as much of it as anybody who wants it already.
    fn enter(&mut self, task: TaskId, now_ticks: u64) {
        self.raise_floor(now_ticks);
        let floor = self.floor;
        let time = self.time_mut(task);
        *time = (*time).max(floor);
        self.ready.push_back(task);
    }

    /// The running task gives up the core but stays ready.
    pub fn preempt(&mut self, now_ticks: u64) {
        if let Some(task) = self.stop(now_ticks) {
            self.ready.push_back(task);
            self.gave_way = Some(task);
        }
    }

    /// The running task sleeps until woken, or until `deadline_ticks`; it no longer runs.
    pub fn sleep(&mut self, deadline_ticks: Option<u64>, now_ticks: u64) {
        if let (Some(task), Some(at)) = (self.stop(now_ticks), deadline_ticks) {
            self.sleeping.insert((at, task));
        }
    }

    /// Takes the core from the running task, and counts its time.
    fn stop(&mut self, now_ticks: u64) -> Option<TaskId> {
        let task = self.running.take()?;
        let had = now_ticks.saturating_sub(self.since);
        *self.time_mut(task) += had;
        Some(task)
    }

    fn time_mut(&mut self, task: TaskId) -> &mut u64 {
        let at = match self.times.iter().position(|(other, _)| *other == task) {
            Some(at) => at,
            None => {
                self.times.push((task, self.floor));
                self.times.len() - 1
            }
        };
        &mut self.times[at].1
    }

    fn time(&self, task: TaskId) -> u64 {
        self.times.iter().find(|(other, _)| *other == task).map_or(self.floor, |(_, time)| *time)
    }

    /// Forgets a task wherever it is.
    pub fn remove(&mut self, task: TaskId) {
        self.ready.retain(|other| *other != task);
        self.sleeping.retain(|(_, other)| *other != task);
        self.times.retain(|(other, _)| *other != task);
        if self.running == Some(task) {
            self.running = None;
        }
    }

    /// Makes all sleepers ready whose deadline has come, earliest first, and reports each.
    pub fn expire(&mut self, now_ticks: u64, mut woken: impl FnMut(TaskId)) {
        while let Some((at, task)) = self.sleeping.first().copied().filter(|(at, _)| *at <= now_ticks) {
            self.sleeping.remove(&(at, task));
            self.enter(task, now_ticks);
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

    /// Lets the task run that has waited longest among those who have had at most `slack_ticks` more than the one that has had least; whoever
    /// gave way just now only if nobody else is ready. The running one must have been preempted, put to sleep or removed before.
    ///
    /// # Panics
    /// If a task still runs.
    pub fn dispatch(&mut self, now_ticks: u64, slack_ticks: u64) -> Option<TaskId> {
        assert!(self.running.is_none(), "dispatched over a running task");
        let gave_way = self.gave_way.take();
        self.raise_floor(now_ticks);
        self.running = if self.ready.len() < 2 {
            self.ready.pop_front()
        } else {
            let may_run = |task: TaskId| gave_way != Some(task);
            let least = self.ready.iter().filter(|task| may_run(**task)).map(|task| self.time(*task)).min()?;
            let limit = least.saturating_add(slack_ticks);
            let at = self.ready.iter().position(|task| may_run(*task) && self.time(*task) <= limit)?;
            self.ready.remove(at)
        };
        self.since = now_ticks;
        self.running
    }

    /// True if work for a task may be done now, although it does not run: it has had at most `slack_ticks` more than whoever wants the core and has
    /// had least. If nobody wants it, the work may be done.
    pub fn may_spend(&mut self, task: TaskId, now_ticks: u64, slack_ticks: u64) -> bool {
        self.raise_floor(now_ticks);
        let least = self.wanting(now_ticks).filter(|(other, _)| *other != task).map(|(_, time)| time).min();
        least.is_none_or(|least| self.time(task).max(self.floor) <= least.saturating_add(slack_ticks))
    }

    /// Who wants the core, and how much time each has had.
    fn wanting(&self, now_ticks: u64) -> impl Iterator<Item = (TaskId, u64)> {
        let running = self.running.map(|task| (task, self.time(task) + now_ticks.saturating_sub(self.since)));
        running.into_iter().chain(self.ready.iter().map(|task| (*task, self.time(*task))))
    }

    fn raise_floor(&mut self, now_ticks: u64) {
        if let Some(least) = self.wanting(now_ticks).map(|(_, time)| time).min() {
            self.floor = self.floor.max(least);
        }
    }

    /// Counts work that was done for a task as the task's time. Of whoever runs it is none.
    pub fn spend(&mut self, task: TaskId, ticks: u64) {
        if self.running == Some(task) {
            return;
        }
        let floor = self.floor;
        let time = self.time_mut(task);
        *time = (*time).max(floor).saturating_add(ticks);
        self.since = self.since.saturating_add(ticks);
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
            queue.make_ready(task, 0);
        }
        let mut order = Vec::new();
        for _ in 0..7 {
            order.push(queue.dispatch(0, 0).unwrap());
            queue.preempt(0);
        }
        assert_eq!(order, [1, 2, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn a_sleeper_wakes_by_event_or_by_deadline_but_once() {
        let mut queue = RunQueue::new();
        queue.make_ready(1, 0);
        queue.make_ready(2, 0);
        queue.dispatch(0, 0);
        queue.sleep(Some(100), 0);
        queue.dispatch(0, 0);
        queue.sleep(Some(50), 0);
        assert_eq!((queue.dispatch(0, 0), queue.next_deadline()), (None, Some(50)));
        queue.make_ready(1, 0);
        queue.make_ready(1, 0);
        let mut woken = Vec::new();
        queue.expire(1000, |task| woken.push(task));
        assert_eq!(woken, [2], "1 was woken by its event and has no deadline left");
        assert_eq!((queue.dispatch(0, 0), queue.has_ready()), (Some(1), true));
        queue.preempt(0);
        assert_eq!(queue.dispatch(0, 0), Some(2));
    }

    #[test]
    fn a_sleeper_without_deadline_wakes_only_by_event() {
        let mut queue = RunQueue::new();
        queue.make_ready(1, 0);
        queue.dispatch(0, 0);
        queue.sleep(None, 0);
        queue.expire(u64::MAX, |_| panic!("woken by time"));
        assert_eq!(queue.dispatch(0, 0), None);
        queue.make_ready(1, 0);
        assert_eq!(queue.dispatch(0, 0), Some(1));
    }

    #[test]
    fn waking_the_running_task_does_not_run_it_twice() {
        let mut queue = RunQueue::new();
        queue.make_ready(1, 0);
        queue.dispatch(0, 0);
        queue.make_ready(1, 0);
        assert!(!queue.has_ready());
    }

    #[test]
    fn a_removed_task_is_nowhere() {
        let mut queue = RunQueue::new();
        for task in 1..=3 {
            queue.make_ready(task, 0);
        }
        queue.dispatch(0, 0);
        queue.sleep(Some(5), 0);
        queue.dispatch(0, 0);
        for task in 1..=3 {
            queue.remove(task);
        }
        assert_eq!((queue.running(), queue.next_deadline(), queue.dispatch(0, 0)), (None, None, None));
    }

    /// Lets the tasks run by turns of these lengths until `end`, each giving way at the end of its turn; returns how long each ran.
    fn share(queue: &mut RunQueue, turns: &[u64], end: u64) -> Vec<u64> {
        let (mut now, mut had) = (0, std::vec![0; turns.len()]);
        while now < end {
            let task = queue.dispatch(now, 10).unwrap() as usize;
            now += turns[task];
            had[task] += turns[task];
            queue.preempt(now);
        }
        had
    }

    #[test]
    fn whoever_gives_way_early_has_as_much_time_as_whoever_does_not() {
        let mut queue = RunQueue::new();
        (0..5).for_each(|task| queue.make_ready(task, 0));
        let had = share(&mut queue, &[3, 4, 100, 5, 3], 50_000);
        assert!(had.iter().all(|had| had.abs_diff(10_000) <= 110), "{had:?}");
    }

    #[test]
    fn whoever_gives_way_does_not_run_next() {
        let mut queue = RunQueue::new();
        queue.make_ready(1, 0);
        queue.make_ready(2, 0);
        let mut now = 0;
        for round in 0..20 {
            let task = queue.dispatch(now, 10);
            assert_eq!(task, Some(1 + round % 2), "however much the other has had");
            now += if task == Some(1) { 1 } else { 1000 };
            queue.preempt(now);
        }
    }

    #[test]
    fn a_sleeper_saves_nothing_up() {
        let mut queue = RunQueue::new();
        (1..=3).for_each(|task| queue.make_ready(task, 0));
        assert_eq!(queue.dispatch(0, 10), Some(1));
        queue.sleep(None, 0);
        let mut now = 0;
        for _ in 0..100 {
            queue.dispatch(now, 10);
            now += 50;
            queue.preempt(now);
        }
        queue.make_ready(1, now);
        let mut had = [0; 4];
        for _ in 0..30 {
            had[queue.dispatch(now, 10).unwrap() as usize] += 1;
            now += 50;
            queue.preempt(now);
        }
        assert!(had[1..].iter().all(|turns| (9..=11).contains(turns)), "{had:?}");
    }

    #[test]
    fn what_is_spent_for_a_task_is_its_time_and_bounded_by_its_share() {
        let mut queue = RunQueue::new();
        (0..4).for_each(|task| queue.make_ready(task, 0));
        // Task 0 never wants the core: it sleeps, and there is always more to do for it.
        assert_eq!(queue.dispatch(0, 10), Some(0));
        queue.sleep(None, 0);
        assert!(queue.may_spend(0, 0, 10), "nobody has had more");
        let (mut now, mut spent, mut had) = (0_u64, 0_u64, [0_u64; 4]);
        while now < 40_000 {
            let task = queue.dispatch(now, 10).unwrap();
            for _ in 0..20 {
                while queue.may_spend(0, now, 10) && spent < 100_000 {
                    now += 2;
                    spent += 2;
                    queue.spend(0, 2);
                }
                now += 1;
                had[task as usize] += 1;
            }
            queue.preempt(now);
        }
        assert!(spent.abs_diff(10_000) <= 200, "{spent} for the sleeper, {had:?}");
        assert!(had[1..].iter().all(|had| had.abs_diff(10_000) <= 200), "{had:?}");
        // The others sleep as well: nobody is in the way.
        for _ in 1..4 {
            queue.dispatch(now, 10);
            queue.sleep(None, now);
        }
        queue.spend(0, 1_000_000);
        assert!(queue.may_spend(0, now, 10));
    }
}
