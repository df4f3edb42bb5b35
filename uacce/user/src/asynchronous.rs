//! Many one-shot requests in flight: submitted with a tag of the caller's, polled for, and handed back in the order of submission.
//!
//! A job keeps its buffers borrowed from its submission until it is handed back, and [`ZipQueue::asynchronous`] does not return before the
//! device has let go of all of them: whatever the caller forgets, no buffer is anybody else's while a request names it.

use core::marker::PhantomData;

use heapless::Deque;
use zip_spec::{Completion, Container, Request, Sqe, Window};

use crate::one_shot::{Limits, Plan, outcome};
use crate::{CompletionWait, Direction, System, WdError, ZipError, ZipQueue};

/// What is done with every job. It must be what the queue was requested for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// Compress, header and trailer included.
    Compress(Container, Window),
    /// Decompress one stream.
    Decompress(Container),
}

impl Coding {
    /// The queue that it needs.
    pub const fn direction(self) -> Direction {
        match self {
            Self::Compress(..) => Direction::Compress,
            Self::Decompress(_) => Direction::Decompress,
        }
    }

    fn plan(self, input: &[u8], output: &mut [u8]) -> Result<Plan, ZipError> {
        match self {
            Self::Compress(container, window) => Plan::compression(container, window, input, output),
            Self::Decompress(container) => Plan::decompression(container, input, output),
        }
    }
}

/// One job: a whole stream.
#[derive(Debug)]
pub struct Job<'b, T> {
    /// What the engine reads.
    pub input: &'b [u8],
    /// Where it writes.
    pub output: &'b mut [u8],
    /// Anything by which the caller knows it again: a number, or what is to be called with the result.
    pub tag: T,
}

/// What a job came to, in bytes, headers and trailers included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finished {
    /// Input taken.
    pub consumed: usize,
    /// Output written.
    pub produced: usize,
}

/// A job that has ended, with its buffers.
#[derive(Debug)]
pub struct Done<'b, T> {
    /// The job, as it was submitted.
    pub job: Job<'b, T>,
    /// How it ended. An error of the queue means that the queue is dead, and ends every job that was in flight.
    pub result: Result<Finished, ZipError>,
}

#[derive(Debug)]
enum State {
    Sent(Limits),
    Ended(Result<Finished, ZipError>),
}

/// A queue with up to `N` jobs in flight.
pub struct Asynchronous<'scope, 'env: 'scope, 'q, 's, S: System, T, const N: usize> {
    queue: &'q mut ZipQueue<'s, S>,
    coding: Coding,
    /// From the oldest to the youngest.
    jobs: Deque<(Job<'scope, T>, State), N>,
    /// The hardware's tag of the oldest: tags count.
    oldest: u32,
    is_rung: bool,
    /// Buffers live as long as the call that lent this, and longer.
    scope: PhantomData<&'scope mut &'env mut ()>,
}

impl<'s, S: System> ZipQueue<'s, S> {
    /// Lends the queue for jobs in flight. When `body` has returned, what it did not poll for is waited for and dropped.
    pub fn asynchronous<'env, T, R, const N: usize>(
        &mut self,
        coding: Coding,
        body: impl for<'scope> FnOnce(&mut Asynchronous<'scope, 'env, '_, 's, S, T, N>) -> R,
    ) -> R {
        let mut lent = Asynchronous { queue: self, coding, jobs: Deque::new(), oldest: 0, is_rung: true, scope: PhantomData };
        body(&mut lent)
    }
}

impl<'scope, S: System, T, const N: usize> Asynchronous<'scope, '_, '_, '_, S, T, N> {
    /// Jobs submitted and not yet handed back.
    pub fn in_flight(&self) -> usize {
        self.jobs.len()
    }

    /// Submits a job.
    ///
    /// # Errors
    /// `Busy` if `N` jobs are in flight or the ring is full, `Stopped`; the job comes back with it. What is wrong with the job itself is
    /// told when it is handed back.
    pub fn submit(&mut self, job: Job<'scope, T>) -> Result<(), (WdError, Job<'scope, T>)> {
        self.stage(job)?;
        self.ring();
        Ok(())
    }

    /// Submits a job that the device is told of later: by [`ring`](Self::ring), or by the next call that looks for completions.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn stage(&mut self, job: Job<'scope, T>) -> Result<(), (WdError, Job<'scope, T>)> {
        if self.jobs.is_full() {
            return Err((WdError::Busy, job));
        }
        let Job { input, output, tag } = job;
        let state = match self.coding.plan(input, output) {
            Err(error) => State::Ended(Err(error)),
            Ok(Plan::Made { produced }) => State::Ended(Ok(Finished { consumed: 0, produced })),
            Ok(Plan::Request { request, limits }) => {
                let number = self.oldest.wrapping_add(self.jobs.len() as u32);
                let sqe_type = self.queue.format().sqe_type();
                if let Err(error) = self.queue.queue().put(&Request { sqe_type, tag: number.into(), ..request }.encode()) {
                    return Err((error, Job { input, output, tag }));
                }
                self.is_rung = false;
                State::Sent(limits)
            }
        };
        // There is room: it was looked at first.
        let _ = self.jobs.push_back((Job { input, output, tag }, state));
        Ok(())
    }

    /// Tells the device of all jobs that were staged, with one doorbell. If the queue takes no more, the jobs end in that error.
    pub fn ring(&mut self) {
        if self.is_rung {
            return;
        }
        self.is_rung = true;
        if let Err(error) = self.queue.queue().ring() {
            self.abandon(ZipError::Queue(error));
        }
    }

    /// Takes what is complete, and hands every job that has ended to `sink`, in the order of submission; returns how many.
    ///
    /// # Errors
    /// `Again` if none has.
    pub fn poll(&mut self, sink: impl FnMut(Done<'scope, T>)) -> Result<usize, WdError> {
        self.ring();
        let mut sqe = Sqe::ZERO;
        let mut taken = 0;
        let ended = loop {
            match self.queue.queue().take(&mut sqe) {
                Ok(()) => {
                    taken += 1;
                    if let Err(error) = self.record(&sqe) {
                        break Some(error);
                    }
                }
                Err(WdError::Again) => break None,
                // A queue without a request in flight has nothing to lose.
                Err(error) => break self.has_sent().then_some(ZipError::Queue(error)),
            }
        };
        if taken > 0 {
            self.queue.queue().acknowledge();
        }
        if let Some(error) = ended {
            self.abandon(error);
        }
        match self.hand_back(sink) {
            0 => Err(WdError::Again),
            count => Ok(count),
        }
    }

    /// As [`poll`](Self::poll), but sleeps until the oldest job has ended.
    ///
    /// # Errors
    /// `Again` if none is in flight, `TimedOut`: they still are.
    pub fn wait(&mut self, wait: CompletionWait, mut sink: impl FnMut(Done<'scope, T>)) -> Result<usize, WdError> {
        loop {
            match self.poll(&mut sink) {
                Err(WdError::Again) if !self.jobs.is_empty() => self.sleep(wait)?,
                other => return other,
            }
        }
    }

    /// Takes one completion, asleep.
    fn sleep(&mut self, wait: CompletionWait) -> Result<(), WdError> {
        let mut sqe = Sqe::ZERO;
        match self.queue.queue().receive_sync(&mut sqe, wait) {
            Ok(()) => {
                if let Err(error) = self.record(&sqe) {
                    self.abandon(error);
                }
            }
            Err(WdError::TimedOut) => return Err(WdError::TimedOut),
            Err(error) => self.abandon(ZipError::Queue(error)),
        }
        Ok(())
    }

    fn has_sent(&self) -> bool {
        self.jobs.iter().any(|(_, state)| matches!(state, State::Sent(_)))
    }

    /// Finds the job of a completion.
    fn record(&mut self, sqe: &Sqe) -> Result<(), ZipError> {
        let completion = Completion::from(sqe);
        let strange = ZipError::WrongTag { sent: self.oldest.into(), received: completion.tag };
        let number = u32::try_from(completion.tag).map_err(|_| strange)?;
        let (_, state) = self.jobs.get_mut(number.wrapping_sub(self.oldest) as usize).ok_or(strange)?;
        let State::Sent(limits) = *state else { return Err(strange) };
        *state = State::Ended(outcome(&limits, &completion).map(|(consumed, produced)| Finished { consumed, produced }));
        Ok(())
    }

    /// Stops the queue, and ends with it whatever was in flight.
    #[cold]
    fn abandon(&mut self, error: ZipError) {
        self.queue.queue().halt();
        for (_, state) in self.jobs.iter_mut() {
            if matches!(state, State::Sent(_)) {
                *state = State::Ended(Err(error));
            }
        }
    }

    fn hand_back(&mut self, mut sink: impl FnMut(Done<'scope, T>)) -> usize {
        let mut count = 0;
        while let Some((_, State::Ended(_))) = self.jobs.front() {
            let Some((job, State::Ended(result))) = self.jobs.pop_front() else { break };
            self.oldest = self.oldest.wrapping_add(1);
            count += 1;
            sink(Done { job, result });
        }
        count
    }
}

impl<S: System, T, const N: usize> Drop for Asynchronous<'_, '_, '_, '_, S, T, N> {
    fn drop(&mut self) {
        self.ring();
        while self.has_sent() {
            let wait = self.queue.wait();
            if self.sleep(wait).is_err() {
                self.abandon(ZipError::Queue(WdError::TimedOut));
            }
        }
    }
}
