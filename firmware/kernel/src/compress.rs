//! Compression for the kernel itself: what a kernel's crypto or compression framework would register, with the accelerator behind it.
//!
//! Requests carry no SubstreamID: their memory is the kernel's own, in the device's domain. So the kernel compresses while processes do, on the
//! same device, wherever processes have tables of their own; a device whose one table belongs to a process has no room for it.

use core::time::Duration;

use hal::{Clock, DmaBuffer, DmaMapper, QueueId};
use uacce_kernel::Profile;
use zip_spec::{BufferType, Completion, Container, Mode, Request, Sqe, SqeType, Status, Window};

use crate::accelerator::{self, ServingClock};
use crate::dma::{Buffer, DomainMemory};

/// Longest input in bytes; the output has twice the room.
pub const MAX_INPUT_BYTES: usize = 64 << 10;
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request could not be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompressError {
    /// There is no such accelerator, its one table belongs to processes, or it has no queue or memory left.
    Unavailable,
    /// The input is too long, or the result does not fit the output.
    TooLong,
    /// The queue failed or did not answer in time.
    Queue,
    /// The engine refused the data.
    Data(Status),
}

/// A queue of the kernel's own, in one direction, with memory for one request.
#[derive(Debug)]
pub struct Compressor {
    accelerator: usize,
    queue: QueueId,
    memory: DomainMemory,
    source: Buffer,
    output: Buffer,
    sqe_type: SqeType,
    container: Container,
    /// A request has not come back: the device may still use the memory, and what comes later must not be taken for the next one's.
    is_lost: bool,
}

/// What a queue does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Direction {
    /// Compresses.
    Compress = 0,
    /// Decompresses.
    Decompress = 1,
}

impl Compressor {
    /// Takes a queue of an accelerator. Zlib and gzip data are without their headers here: engine data and trailer.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn new(index: usize, container: Container, direction: Direction) -> Result<Self, CompressError> {
        let (memory, profile, sqe_type) = accelerator::kernel_side(index).ok_or(CompressError::Unavailable)?;
        if profile == Some(Profile::ShareDomain) {
            return Err(CompressError::Unavailable);
        }
        let taken = accelerator::with_qm(index, |qm| {
            let queue = qm.get_queue(None)?;
            let started = qm.set_alg_type(queue, direction as u16).and_then(|()| qm.start_queue(queue));
            started.inspect_err(|_| qm.put_queue(queue)).map(|()| queue)
        });
        let Some(Ok(queue)) = taken else { return Err(CompressError::Unavailable) };
        let room = |len| memory.alloc(len, 4096).map_err(|_| CompressError::Unavailable);
        match (room(MAX_INPUT_BYTES), room(2 * MAX_INPUT_BYTES)) {
            (Ok(source), Ok(output)) => Ok(Self { accelerator: index, queue, memory, source, output, sqe_type, container, is_lost: false }),
            (source, output) => {
                source.into_iter().chain(output).for_each(|buffer| memory.free(buffer));
                give_back(index, queue);
                Err(CompressError::Unavailable)
            }
        }
    }

    /// Runs one request; returns the bytes that it wrote to `output`.
    ///
    /// # Errors
    /// `TooLong`, `Data`; `Queue`, and after that nothing else.
    pub fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, CompressError> {
        if input.len() > MAX_INPUT_BYTES {
            return Err(CompressError::TooLong);
        }
        if self.is_lost {
            return Err(CompressError::Queue);
        }
        self.source.copy_in(input);
        let request = Request {
            sqe_type: self.sqe_type,
            request_type: self.container.request_type(),
            buffer_type: BufferType::FLAT,
            window: Window::K32,
            source: self.source.device_address(),
            source_bytes: input.len() as u32,
            source_offset: 0,
            destination: self.output.device_address(),
            destination_bytes: 2 * MAX_INPUT_BYTES as u32,
            destination_offset: 0,
            mode: Mode::ONE_SHOT,
            tag: 0,
        };
        let mut sqe = request.encode();
        let submitted = accelerator::with_qm(self.accelerator, |qm| qm.submit(self.queue, &sqe.0));
        if !matches!(submitted, Some(Ok(_))) {
            return Err(CompressError::Queue);
        }
        self.await_completion(&mut sqe).inspect_err(|_| self.is_lost = true)?;
        let completion = Completion::from(&sqe);
        if !completion.status.is_good() {
            return Err(CompressError::Data(completion.status));
        }
        // The device's count is believed as far as there is memory.
        let produced = (completion.produced as usize).min(2 * MAX_INPUT_BYTES);
        self.output.copy_out(output.get_mut(..produced).ok_or(CompressError::TooLong)?);
        Ok(produced)
    }

    fn await_completion(&self, sqe: &mut Sqe) -> Result<(), CompressError> {
        let mut deadline = None;
        loop {
            match accelerator::with_qm(self.accelerator, |qm| qm.poll_completion(self.queue, &mut sqe.0)) {
                Some(Ok(Some(_))) => return Ok(()),
                Some(Ok(None)) => {}
                _ => return Err(CompressError::Queue),
            }
            if deadline.get_or_insert_with(|| ServingClock.deadline(PATIENCE)).has_passed(&ServingClock) {
                return Err(CompressError::Queue);
            }
            ServingClock.relax();
        }
    }

    /// Gives queue and memory back.
    pub fn close(self) {
        // Memory that the device may still reach is lost rather than reused.
        if give_back(self.accelerator, self.queue) {
            self.memory.free(self.source);
            self.memory.free(self.output);
        }
    }
}

/// Stops a queue and puts it; false if it did not stop.
fn give_back(index: usize, queue: QueueId) -> bool {
    let stopped = accelerator::with_qm(index, |qm| {
        let stopped = qm.stop_queue(queue).is_ok();
        qm.put_queue(queue);
        stopped
    });
    stopped == Some(true)
}
