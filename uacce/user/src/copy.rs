//! The driver of the dummy engine, which copies memory: all that a user driver is, in one file.
//!
//! A driver names its entry, the formats and algorithms that it knows, and turns requests into entries and entries into answers. Queues,
//! doorbells, waiting and errors are the library's.

use core::any::TypeId;

use dummy_spec::{API, Completion, MAX_BYTES, Request, SQE_BYTES, Sqe, Status};
use hal::Iova;
use qm_spec::{DoorbellLayout, QmVersion};

use crate::{CompletionWait, Direction, Library, QueueFormat, RingEntry, Sharing, System, UserDriver, Wanted, WdError, WdQueue};

impl RingEntry for Sqe {
    const BYTES: usize = SQE_BYTES;
    const ZERO: Self = Self::ZERO;

    #[inline(always)]
    fn words(&self) -> &[u32] {
        &self.0
    }

    #[inline(always)]
    fn words_mut(&mut self) -> &mut [u32] {
        &mut self.0
    }
}

/// The driver of the dummy engine.
#[derive(Clone, Copy, Debug)]
pub struct CopyDriver;

impl CopyDriver {
    /// Its one algorithm.
    pub const ALGORITHM: &'static str = "memcpy";
}

impl UserDriver for CopyDriver {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn format_of(&self, api: &str) -> Option<QueueFormat> {
        (api == API).then_some(QueueFormat { version: QmVersion::V3, doorbell: DoorbellLayout::V2, doorbell_offset: 0x1000 })
    }

    fn serves(&self, algorithm: &str) -> bool {
        algorithm == Self::ALGORITHM
    }

    fn entry(&self) -> TypeId {
        TypeId::of::<Sqe>()
    }
}

/// Why memory was not copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyError {
    /// The queue failed.
    Queue(WdError),
    /// The engine refused the request, or met memory that is not there.
    Refused {
        /// Its status.
        status: Status,
        /// Bytes that were copied before.
        written_bytes: u32,
    },
    /// The two slices differ in length, or are longer than a request can be.
    Length,
    /// A completion came back for another request.
    WrongTag {
        /// The request's tag.
        sent: u32,
        /// The completion's.
        received: u32,
    },
}

impl From<WdError> for CopyError {
    fn from(error: WdError) -> Self {
        Self::Queue(error)
    }
}

/// A queue of the dummy engine.
pub struct CopyQueue<'s, S: System> {
    queue: WdQueue<'s, S, Sqe>,
    wait: CompletionWait,
    /// Tags of the oldest request in flight and of the next one: they count.
    oldest: u32,
    next: u32,
}

impl<'s, S: System> CopyQueue<'s, S> {
    /// Requests a queue by a library that has the driver.
    ///
    /// # Errors
    /// As [`Library::request`].
    pub fn request(system: &'s S, library: &Library<'_>, wait: CompletionWait) -> Result<Self, WdError> {
        let wanted = Wanted { algorithm: CopyDriver::ALGORITHM, direction: Direction::Compress };
        Ok(Self { queue: library.request(system, &wanted)?, wait, oldest: 0, next: 0 })
    }

    /// The queue itself.
    pub const fn queue(&self) -> &WdQueue<'s, S, Sqe> {
        &self.queue
    }

    /// Copies a slice into another one.
    ///
    /// # Errors
    /// `Length`, `Queue`, `Refused`, `WrongTag`; `Queue` with `Busy` while requests that were started are in flight, with `NoSva` if the device does
    /// not have the addresses of slices. A request whose completion does not come is not left to run: the queue is stopped.
    pub fn copy(&mut self, source: &[u8], destination: &mut [u8]) -> Result<(), CopyError> {
        if source.len() != destination.len() || source.len() > MAX_BYTES as usize {
            return Err(CopyError::Length);
        }
        if self.queue.sharing() != Sharing::Sva {
            return Err(CopyError::Queue(WdError::NoSva));
        }
        if self.queue.in_flight() > 0 {
            return Err(CopyError::Queue(WdError::Busy));
        }
        let from = Iova(source.as_ptr().expose_provenance() as u64);
        let to = Iova(destination.as_mut_ptr().expose_provenance() as u64);
        self.start(from, to, source.len() as u32)?;
        let result = self.finish();
        if matches!(result, Err(CopyError::Queue(_) | CopyError::WrongTag { .. })) {
            // The destination is the caller's again when this returns.
            self.queue.halt();
        }
        result
    }

    /// Starts a copy between two addresses. What lies there is the device's until [`finish`](Self::finish) has told of it.
    ///
    /// # Errors
    /// `Busy`, `Stopped`.
    pub fn start(&mut self, source: Iova, destination: Iova, len_bytes: u32) -> Result<(), WdError> {
        self.queue.send(&Request { source, destination, len_bytes, tag: self.next }.encode())?;
        self.next = self.next.wrapping_add(1);
        Ok(())
    }

    /// Waits for the oldest copy that was started.
    ///
    /// # Errors
    /// `Queue`, `Refused`, `WrongTag`.
    pub fn finish(&mut self) -> Result<(), CopyError> {
        let mut sqe = Sqe::ZERO;
        self.queue.receive_sync(&mut sqe, self.wait)?;
        let Completion { status, written_bytes, tag } = Completion::from(&sqe);
        let sent = self.oldest;
        self.oldest = self.oldest.wrapping_add(1);
        match status {
            _ if tag != sent => Err(CopyError::WrongTag { sent, received: tag }),
            status if status.is_good() => Ok(()),
            status => Err(CopyError::Refused { status, written_bytes }),
        }
    }
}
