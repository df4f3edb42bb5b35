//! The queue manager's driver, driven by the kernel itself: no process, no system call, no library.

extern crate alloc;

use alloc::vec::Vec;
use firmware_kernel::{DomainMemory, with_qm};
use hal::{DmaBuffer, DmaMapper, Iova, QueueId};
use hal_aarch64::pmu;
use zip_spec::{BufferType, Container, Mode, Request, Sqe, SqeType, Window};

use crate::kernel::{median, sample, traps};
use crate::row::Row;

/// Bytes of a request's input.
const INPUT_BYTES: u32 = 64;
/// Requests of a batch.
const BATCH: u64 = 16;

/// A started queue of the kernel's, and a request.
pub struct Driver {
    queue: QueueId,
    request: Sqe,
}

impl Driver {
    /// Takes a queue and memory.
    pub fn new() -> Self {
        let memory = DomainMemory::default().alloc(0x2000, 0x1000).expect("memory");
        let source = memory.device_address();
        let request = Request {
            sqe_type: SqeType::TYPE3,
            request_type: Container::Zlib.request_type(),
            buffer_type: BufferType::FLAT,
            window: Window::K32,
            source,
            source_bytes: INPUT_BYTES,
            source_offset: 0,
            destination: Iova(source.0 + 0x1000),
            destination_bytes: 0x1000,
            destination_offset: 0,
            mode: Mode::ONE_SHOT,
            tag: 1,
        };
        let queue = with_qm(0, |qm| {
            let queue = qm.get_queue(None).expect("a free queue");
            qm.start_queue(queue).expect("a startable queue");
            queue
        });
        Self { queue: queue.expect("a QM"), request: request.encode() }
    }

    fn send(&self) {
        with_qm(0, |qm| qm.submit(self.queue, &self.request.0)).expect("a QM").expect("room");
    }

    fn receive(&self) {
        let mut done = Sqe::ZERO;
        let taken = with_qm(0, |qm| qm.poll_completion(self.queue, &mut done.0)).expect("a QM").expect("an honest ring");
        assert!(taken.is_some(), "the request was run in its trap");
    }

    /// What an operation costs more than another.
    fn row(operation: impl Fn(), beside: impl Fn()) -> Row {
        let before = traps();
        operation();
        let all = traps() - before;
        let before = traps();
        beside();
        let traps_hundredths = 100 * (all - (traps() - before));
        let spent = sample(|_| operation());
        let spent = spent.since(sample(|_| beside()));
        Row { el0: None, el1: spent.el1, el2: spent.el2, traps_hundredths }
    }

    /// The life of a queue, by its driver: started, stopped when nothing is in flight, given back with its memory wiped.
    pub fn life() -> [Row; 3] {
        const SAMPLES: usize = 16;
        let mut samples = [const { Vec::new() }; 3];
        let mut trapped = [0; 3];
        for _ in 0..SAMPLES {
            let queue = with_qm(0, |qm| qm.get_queue(None)).expect("a QM").expect("a free queue");
            for (step, samples) in samples.iter_mut().enumerate() {
                let traps_before = traps();
                let before = pmu::instructions();
                let done = with_qm(0, |qm| match step {
                    0 => qm.start_queue(queue),
                    1 => qm.stop_queue(queue),
                    _ => {
                        qm.put_queue(queue);
                        Ok(())
                    }
                });
                samples.push(pmu::instructions().since(before));
                trapped[step] = traps() - traps_before;
                assert_eq!(done, Some(Ok(())));
            }
        }
        core::array::from_fn(|step| {
            let spent = median(&samples[step]);
            Row { el0: None, el1: spent.el1, el2: spent.el2, traps_hundredths: 100 * trapped[step] }
        })
    }

    /// A submission, which runs the request.
    pub fn submit(&self) -> Row {
        let both = Self::row(
            || {
                self.send();
                self.receive();
            },
            || {},
        );
        let poll = self.poll();
        both.beyond(&poll)
    }

    /// A completion that is there.
    pub fn poll(&self) -> Row {
        let deep = |completions: usize| {
            move || {
                self.send();
                self.send();
                (0..completions).for_each(|_| self.receive());
            }
        };
        // Two are sent in both; what was left is taken afterwards, outside the measurement.
        let two = Self::row(deep(2), || {});
        let one = {
            let row = Self::row(deep(1), || {});
            while self.outstanding() > 0 {
                self.receive();
            }
            row
        };
        two.beyond(&one)
    }

    /// Arming, the event, its interrupt handled, the completion taken.
    pub fn interrupt(&self) -> Row {
        // What the queue said when it was started.
        with_qm(0, |qm| qm.handle_eq(|_| ())).expect("a QM");
        let with = Self::row(
            || {
                with_qm(0, |qm| qm.arm(self.queue)).expect("a QM").expect("a started queue");
                self.send();
                let mut served = 0;
                with_qm(0, |qm| qm.handle_eq(|_| served += 1)).expect("a QM");
                assert_eq!(served, 1);
                self.receive();
            },
            || {},
        );
        with.beyond(&self.submit())
    }

    /// Sixteen submissions, then sixteen completions.
    pub fn batch(&self) -> Row {
        let all = Self::row(
            || {
                (0..BATCH).for_each(|_| self.send());
                (0..BATCH).for_each(|_| self.receive());
            },
            || {},
        );
        all.each_of(BATCH)
    }

    fn outstanding(&self) -> u16 {
        with_qm(0, |qm| qm.outstanding(self.queue)).expect("a QM")
    }
}
