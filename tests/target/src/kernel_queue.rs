//! A compressing queue that the kernel drives: its requests carry no SubstreamID, or that of a process.

use core::time::Duration;

use firmware_kernel::{ServingClock, with_qm};
use hal::{Clock, QueueId, SubstreamId};
use uacce_abi::QpContext;
use zip_spec::{Completion, Sqe};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A started queue of a function.
#[derive(Clone, Copy, Debug)]
pub struct KernelQueue {
    function: usize,
    queue: QueueId,
}

impl KernelQueue {
    /// Takes a queue of the function with an index. With a SubstreamID its requests use that address space, whether or not the kernel has
    /// bound it.
    ///
    /// # Panics
    /// If there is none.
    pub fn compressing(function: usize, substream: Option<SubstreamId>) -> Self {
        let queue = with_qm(function, |qm| {
            let queue = qm.get_queue(substream).expect("a free queue");
            qm.set_alg_type(queue, QpContext::COMPRESS).expect("a fresh queue");
            qm.start_queue(queue).expect("a startable queue");
            queue
        })
        .expect("a QM");
        Self { function, queue }
    }

    /// Submits a request.
    ///
    /// # Panics
    /// If there is no room.
    pub fn submit(&self, sqe: &Sqe) {
        with_qm(self.function, |qm| qm.submit(self.queue, &sqe.0)).expect("a QM").expect("room");
    }

    /// Takes the next completion, if there is one.
    ///
    /// # Panics
    /// If the device is not honest.
    pub fn take(&self) -> Option<Completion> {
        let mut done = Sqe::ZERO;
        let taken = with_qm(self.function, |qm| qm.poll_completion(self.queue, &mut done.0)).expect("a QM").expect("an honest ring");
        taken.map(|_| Completion::from(&done))
    }

    /// Waits for the next completion; what devices ask for meanwhile is served.
    ///
    /// # Panics
    /// If none comes.
    pub fn wait(&self) -> Completion {
        let deadline = ServingClock.deadline(PATIENCE);
        while !deadline.has_passed(&ServingClock) {
            ServingClock.relax();
            if let Some(completion) = self.take() {
                return completion;
            }
        }
        panic!("no completion")
    }

    /// Runs one request to its completion.
    ///
    /// # Panics
    /// As [`submit`](Self::submit) and [`wait`](Self::wait); or if it is another one that completes.
    pub fn run(&self, sqe: &Sqe) -> Completion {
        self.submit(sqe);
        let completion = self.wait();
        assert_eq!(completion.tag, sqe.tag());
        completion
    }
}
