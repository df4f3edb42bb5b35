//! The state machine of a queue: every state that twenty calls can reach, every call in each of them, against a machine of a few lines.

use std::collections::{BTreeSet, VecDeque};

use hal::QueueId;
use qm_driver::{QmError, QpState};

use super::machine::{Driver, Machine};

/// Entries of the rings.
const DEPTH: u16 = 3;
/// The queue that is looked at; the driver's other one is taken.
const QUEUE: QueueId = QueueId(1);

/// A call, or a step of the device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Step {
    Get,
    Start,
    Submit,
    /// The engine runs one entry.
    Run,
    Poll,
    Stop,
    Disable,
    Put,
    Cancel,
}
use Step::{Cancel, Disable, Get, Poll, Put, Run, Start, Stop, Submit};
const STEPS: [Step; 9] = [Get, Start, Submit, Run, Poll, Stop, Disable, Put, Cancel];

/// What a call says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Said {
    Done,
    Nothing,
    NoFreeQueue,
    Wrong,
    Full,
    Unfinished,
}

/// What a queue is, as this test believes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Believed {
    state: u8,
    is_orphan: bool,
    /// Submitted and neither taken nor cancelled; of these, run.
    outstanding: u16,
    run: u16,
}

const FREE: u8 = 0;
const INIT: u8 = 1;
const STARTED: u8 = 2;

impl Believed {
    /// The device finishes what it has, and the queue is its holder's, or nobody's.
    fn released(&mut self) {
        self.run = self.outstanding;
        self.state = INIT;
        if self.is_orphan {
            *self = Self::NEW;
        }
    }

    const NEW: Self = Self { state: FREE, is_orphan: false, outstanding: 0, run: 0 };

    fn step(&mut self, step: Step) -> Said {
        match (step, self.state) {
            (Get, FREE) => {
                *self = Self { state: INIT, ..Self::NEW };
                Said::Done
            }
            (Get, STARTED) if self.is_orphan => {
                *self = Self { state: INIT, ..Self::NEW };
                Said::Done
            }
            (Get, _) => Said::NoFreeQueue,
            (Start, INIT) if self.outstanding != 0 => Said::Unfinished,
            (Start, INIT) => {
                self.state = STARTED;
                Said::Done
            }
            (Submit, STARTED) if self.outstanding == DEPTH - 1 => Said::Full,
            (Submit, STARTED) => {
                self.outstanding += 1;
                Said::Done
            }
            (Run, STARTED) if self.run < self.outstanding => {
                self.run += 1;
                Said::Done
            }
            (Run, _) => Said::Nothing,
            (Poll, STARTED | INIT) if self.run != 0 => {
                self.run -= 1;
                self.outstanding -= 1;
                Said::Done
            }
            (Poll, STARTED) => Said::Nothing,
            (Stop | Disable, STARTED) => {
                self.released();
                Said::Done
            }
            (Stop | Disable, INIT) => Said::Done,
            (Put, INIT) => {
                *self = Self::NEW;
                Said::Done
            }
            (Put, STARTED) => {
                self.is_orphan = true;
                Said::Done
            }
            (Put, _) => Said::Done,
            (Cancel, INIT) => {
                (self.outstanding, self.run) = (0, 0);
                Said::Done
            }
            (Start | Submit | Poll | Stop | Disable | Cancel, _) => Said::Wrong,
        }
    }
}

fn said<T>(result: Result<T, QmError>) -> Said {
    match result {
        Ok(_) => Said::Done,
        Err(QmError::NoFreeQueue) => Said::NoFreeQueue,
        Err(QmError::WrongQueueState(_)) => Said::Wrong,
        Err(QmError::Full) => Said::Full,
        Err(QmError::Unfinished { .. }) => Said::Unfinished,
        Err(other) => panic!("{other:?}"),
    }
}

fn really(machine: &Machine, driver: &mut Driver, step: Step) -> Said {
    match step {
        Get => said(driver.get_queue(None)),
        Start => said(driver.start_queue(QUEUE)),
        Submit => said(driver.submit(QUEUE, &[1; 32])),
        Run => {
            let mut s = machine.silicon();
            match s.take() {
                Some(task) => {
                    s.give_back(task);
                    Said::Done
                }
                None => Said::Nothing,
            }
        }
        Poll => match driver.poll_completion(QUEUE, &mut [0; 32]) {
            Ok(None) => Said::Nothing,
            other => said(other),
        },
        Stop => said(driver.stop_queue(QUEUE)),
        Disable => said(driver.disable_queue(QUEUE)),
        Put => {
            driver.put_queue(QUEUE);
            Said::Done
        }
        Cancel => said(driver.cancel_outstanding(QUEUE, |_| {})),
    }
}

#[test]
fn qm_x02_every_call_in_every_state_within_twenty_steps() {
    let mut seen = BTreeSet::from([Believed::NEW]);
    let mut paths = VecDeque::from([Vec::new()]);
    let mut calls = 0;
    while let Some(path) = paths.pop_front() {
        for step in STEPS {
            // The whole way anew: what a state remembers and does not show would otherwise be lost.
            let machine = Machine::v3(DEPTH);
            machine.run_while_waiting();
            let mut parameters = machine.parameters();
            parameters.queues = 2;
            let windows = (machine.window(qm_model::Bar::Bar2), machine.window(qm_model::Bar::Bar4));
            let mut driver = Driver::new(parameters, windows.0, Some(windows.1), machine.clock.clone(), machine.dma.clone());
            driver.initialise().unwrap();
            driver.start().unwrap();
            driver.get_queue(None).unwrap();
            let mut believed = Believed::NEW;
            let way: Vec<Step> = path.iter().copied().chain([step]).collect();
            for step in &way {
                let expected = believed.step(*step);
                assert_eq!(really(&machine, &mut driver, *step), expected, "{way:?}");
                let state = match driver.queue_state(QUEUE) {
                    QpState::Free => FREE,
                    QpState::Init => INIT,
                    QpState::Started => STARTED,
                    QpState::Stopping => panic!("every drain ends here: {way:?}"),
                };
                assert_eq!((state, driver.outstanding(QUEUE)), (believed.state, believed.outstanding), "{way:?}");
                calls += 1;
            }
            assert_eq!(machine.silicon().model.take_violation(), None, "{way:?}");
            if way.len() < 20 && seen.insert(believed) {
                paths.push_back(way);
            }
        }
    }
    assert!(seen.len() > 15 && calls > 300, "{} states, {calls} calls", seen.len());
}
